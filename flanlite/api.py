"""What a notebook or a script calls: train, evaluate and compare from Python; see docs/python.md."""

import ast
import os
from collections.abc import Mapping, Sequence
from typing import Any

from flanlite.config import freeze
from flanlite.eval import evaluate as evaluation
from flanlite.eval.evaluate import EvalConfig
from flanlite.eval.load import Model
from flanlite.report.results import Result


def evaluate(
    model: EvalConfig | Model | str | os.PathLike[str],
    data: str | Sequence[Mapping[str, Any]] | None = None,
    **settings: Any,
) -> Result:
    """Score a checkpoint on a mixture, or a loaded model on examples of your own.

        flanlite.evaluate(flanlite.EvalConfig('runs/pocket_train', 'pocket', max_rows=20))
        flanlite.evaluate('runs/pocket_train', 'pocket', max_rows=20)
        flanlite.evaluate(model, [{'inputs': 'Good or bad? The soup was awful.',
                                   'options': ['good', 'bad'], 'answers': ['bad']}])

    Args:
        model: all settings of an evaluation; or the path of a checkpoint; or what `flanlite.load` returned.
        data: a mixture's name for a checkpoint, a list of examples for either.
        **settings: fields of `EvalConfig` for a mixture; `metric`, `name`, `scoring` and `prompts` for
            examples: see `evaluate_examples`.

    Returns:
        Scores with intervals, per task and template; `pandas.DataFrame(result.rows())` is a table of them. An
        evaluation on a mixture also writes results.json, report.md and report.html.

    Raises:
        ValueError: what cannot be found, read or scored.
    """
    if isinstance(model, EvalConfig):
        if data is not None:
            raise ValueError(
                f'got an EvalConfig of {model.mixture.name!r}, and {data!r:.100}; expected one of them'
            )
        return evaluation.evaluate(model.replace(**settings) if settings else model)
    model = os.fspath(model) if isinstance(model, os.PathLike) else model
    if not isinstance(model, Model | str):
        raise ValueError(
            f'got {model!r} as a model; expected the path of a checkpoint, what flanlite.load returned, or '
            'an EvalConfig'
        )
    if data is None:
        raise ValueError(
            'got a model and nothing to score it on; expected the name of a mixture, or a list of examples'
        )
    if isinstance(model, str) and isinstance(data, str):
        return evaluation.evaluate(EvalConfig(model, data, **settings))
    if isinstance(data, str):
        raise ValueError(
            f'got a loaded model and the mixture {data!r}; expected the path of its checkpoint, so that '
            'results lie beside it'
        )
    if isinstance(model, str):
        from flanlite.eval.load import load

        model = load(model)
    return evaluation.evaluate_examples(model, data, **settings)


def from_gin(*gin_files: str, what: str = 'train', **bindings: Any) -> Any:
    """Read settings from gin files, as the command line does, and leave nothing of gin behind.

        config = flanlite.from_gin('gin/runs/pocket_train.gin', TRAIN_STEPS=20, MODEL_DIR='runs/mine')
        sweep = flanlite.from_gin('gin/runs/pocket.gin', what='loco')
        model = flanlite.from_gin('gin/models/large.gin', what='MODEL')

    Args:
        *gin_files: paths, or names of flanlite's own; later ones override earlier ones.
        what: `train` for a TrainConfig, `loco` for a SweepConfig, `ablate` for an AblationConfig, `conflict`
            for a ConflictConfig, `mix` for a MixConfig, `transfer` for a TransferConfig, or the name of a
            macro or class of settings.
        **bindings: macros by name; parameters in a dictionary: `**{'StepConfig.microbatches': 2}`.

    Raises:
        ValueError: a file, name or value that does not exist.
    """
    from flanlite.cli import gin_config

    return gin_config.read(
        what, gin_files, [f'{name}={gin_literal(name, item)}' for name, item in bindings.items()]
    )


def gin_literal(name: str, item: Any) -> str:
    """Write a value as gin reads it; a `ValueError` where gin has no way to write it."""
    text = repr(str(item) if isinstance(item, os.PathLike) else freeze(item))
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(
            f'{name} is {item!r}; expected a number, a text, or a list or dictionary of them: change '
            'anything else with from_gin(...).replace(...)'
        ) from None
    return text
