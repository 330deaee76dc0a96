"""Arithmetic on checkpoints: task vectors added to a model at a scale that is given, or chosen on validation
data.
"""

import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated

import jax
from rich.console import Console
from rich.table import Table

from flanlite.config import to_json, value
from flanlite.data.cache import cache
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.tokens import vocabularies
from flanlite.eval import evaluate
from flanlite.eval.evaluate import EvalConfig
from flanlite.eval.sweep import SweepConfig
from flanlite.limits import Number, one_of
from flanlite.mesh import partitioning, processes
from flanlite.model import kinds, models
from flanlite.paths import LocalPath, at_home
from flanlite.progress import CONSOLE
from flanlite.report.scores import summarize_group
from flanlite.training import checkpoints, convert, locate, parameters, released, task_vectors
from flanlite.training.task_vectors import Method, Opened, TaskVector
from flanlite.version import __version__
from flanlite.writing import whole_file

GRID = tuple(round(0.05 * step, 2) for step in range(21))  # the paper's
KEPT = 0.95  # of the base's score on what is to be kept, as in the paper's experiments on forgetting
RECORD = 'arithmetic.json'
TUNED = 'tuned'  # the system of a sweep whose runs are meant


@value
class ArithmeticConfig:
    """All that decides which model comes out: base + scale x (the vectors together).

    Args:
        base: the model that the vectors are differences from, and are added to; as for
            `parameters.load_params`.
        vectors: the task vectors, each with a scale of its own.
        output: the folder or file to write.
        method: how the vectors are put together.
        scale: what they are multiplied by together.
        scales: with `evaluation`, the scales to choose from.
        evaluation: what the scale is chosen by: the one with the highest mean score over its tasks, on its
            split; its checkpoint and vocabulary are not read.
        keep: the name of a mixture that is not to be forgotten. With it the scale is the one with the lowest
            score of `evaluation`, of those that leave at least 95% of the base's score on this mixture.
        form: `huggingface` or `safetensors`, as for `convert.convert`.
        vocabulary: a name or path for `vocabularies.load`; by default what the checkpoints say.
        data_dir: the folder of local data, where T5's vocabulary may lie; by default that of
            FLANLITE_DATA_DIR.

    Raises:
        ValueError: no vectors, or settings that contradict each other.
    """

    base: Annotated[str, locate.checkpoint_path]
    vectors: tuple[TaskVector, ...]
    output: LocalPath
    method: Method = Method()
    scale: Number = 1.0
    scales: tuple[Number, ...] = GRID
    evaluation: EvalConfig | None = None
    keep: str | None = None
    form: Annotated[str, one_of('huggingface', 'safetensors')] = 'huggingface'
    vocabulary: Annotated[str, vocabularies.absolute_name] | None = None
    data_dir: LocalPath | None = None

    def __post_init__(self) -> None:
        if not self.vectors:
            raise ValueError('got no task vectors; expected checkpoints to add or to subtract')
        if not self.scales:
            raise ValueError('got no scales; expected at least one to choose from')
        if self.keep and self.evaluation is None:
            raise ValueError(f'{self.keep!r} is to be kept, and nothing to be scored; name a mixture')


def arithmetic(config: ArithmeticConfig) -> pathlib.Path:
    """Add task vectors to a model, and write the model that comes out, with a record of what it was made of:
    arithmetic.json in a folder, `arithmetic` in the header of a file.

    Of several processes, all try the scales, and the first writes.

    Returns:
        The folder or file.

    Raises:
        ValueError: what cannot be read or put together, or an output that exists; before anything is
            computed. Or another process has other settings or checkpoints.
    """
    output = convert.check_output(config.output, config.form)
    if config.form == 'huggingface':
        base = parameters.describe(config.base).config
        released.config_to_huggingface(base.replace(adapter=None))
    scored = {} if config.evaluation is None else {'score': config.evaluation.mixture}
    scored |= {'keep': MixtureConfig(config.keep)} if config.keep else {}
    resolved = {column: mixtures.resolve(mixture) for column, mixture in scored.items()}
    processes.join()
    processes.compare_settings(config)
    opened = task_vectors.open_vectors(
        config.base, config.vectors, config.method, config.vocabulary, config.data_dir
    )
    paths = (config.base, *(each.checkpoint for each in config.vectors))
    processes.compare('checkpoints', dict(zip(paths, opened.fingerprints, strict=True)))
    first = jax.process_index() == 0
    scale, tried = config.scale, []
    if config.evaluation is not None:
        tried = try_scales(config, opened, resolved)
        scale = best_scale(tried)
        if first:
            show_scales(tried, scale, {column: mixture.name for column, mixture in resolved.items()})
    record = {
        'flanlite': __version__,
        'base': {'checkpoint': config.base, 'fingerprint': opened.fingerprints[0]},
        'vectors': [
            to_json(each) | {'fingerprint': fingerprint}
            for each, fingerprint in zip(config.vectors, opened.fingerprints[1:], strict=True)
        ],
        'method': to_json(config.method),
        'scale': scale,
        'scales': tried,
        'evaluation': to_json(config.evaluation),
        'keep': config.keep,
    }
    if first:
        arrays = opened.at(scale)
        convert.write_model(output, config.form, opened.known, arrays, opened.vocabulary, arithmetic=record)
        if output.is_dir():
            with whole_file(output / RECORD) as file:
                file.write(json.dumps(record, indent=1) + '\n')
        print(
            f'wrote {output}: {config.base} + {scale:g} x the {config.method.name} of {len(config.vectors)}'
        )
    processes.wait_for_all('arithmetic')  # none ends well before all is written
    return output


def try_scales(
    config: ArithmeticConfig, opened: Opened, mixed: Mapping[str, mixtures.Mixture]
) -> list[dict[str, float]]:
    """Score the model at each scale: rows with `scale`, and the mean score on each mixture by its column.

    Args:
        config: what is asked for.
        opened: the vectors.
        mixed: the mixtures by column.
    """
    evaluation = config.evaluation
    if opened.vocabulary is None:
        raise ValueError(parameters.NO_VOCABULARY.format(config.base))
    partitioning.keep_compiled(cache.cache_folder(evaluation.cache_dir) / 'jax')
    model = kinds.replace_fields(opened.known.config, evaluation.model_changes)
    partitioner = partitioning.make_partitioner(evaluation.mesh)
    shardings = models.shardings(model, partitioner)
    settings = evaluation.replace(
        checkpoint=config.base,
        base=None,
        vocabulary=opened.vocabulary.name,
        data_dir=evaluation.data_dir or config.data_dir,
    )
    evaluators = {}
    for column, mixture in mixed.items():
        names, _ = evaluate.scorable(mixture)
        evaluators[column], _ = evaluate.open_evaluator(
            settings, mixture, names, model, opened.known.feature_lengths
        )
    rows = []
    for scale in dict.fromkeys((*((0.0,) if config.keep else ()), *config.scales)):
        params = parameters.place_params(opened.at(scale), model, shardings, {}, pathlib.Path(config.base))
        row = {'scale': scale}
        for column, evaluator in evaluators.items():
            row[column] = summarize_group([*evaluator.run(model, params, partitioner).values()]).mean
        if jax.process_index() == 0:
            CONSOLE.print('  '.join(f'{name} {number:.4g}' for name, number in row.items()), markup=False)
        rows.append(row)
    return rows


def best_scale(rows: Sequence[Mapping[str, float]]) -> float:
    """Choose a scale: the one with the highest score; or, where something is to be kept, the one with the
    lowest score of those that keep it. Of equals, the one nearest 0.

    Args:
        rows: see `try_scales`.
    """
    known = [row for row in rows if math.isfinite(row['score'])]
    if not known:
        raise ValueError('no scale has a score that is a number')
    if 'keep' not in known[0]:
        return min(known, key=lambda row: (-row['score'], abs(row['scale'])))['scale']
    base = next(row['keep'] for row in rows if row['scale'] == 0)
    if not math.isfinite(base):
        raise ValueError(f'the base has the score {base} on what is to be kept; expected a number')
    least = base - (1 - KEPT) * abs(base)  # a correlation may be below 0
    kept = [row for row in known if row['keep'] >= least]
    if not kept:
        raise ValueError('no scale that keeps the other score has a score that is a number')
    return min(kept, key=lambda row: (row['score'], abs(row['scale'])))['scale']


def show_scales(rows: Sequence[Mapping[str, float]], chosen: float, names: Mapping[str, str]) -> None:
    """Print a table of scales and scores.

    Args:
        rows: see `try_scales`.
        chosen: the scale that was chosen.
        names: of the mixtures, by column.
    """
    table = Table('scale', *(f'{name} ({column})' for column, name in names.items()), '')
    for row in rows:
        scores = (f'{row[column]:.1f}' for column in names)
        table.add_row(f'{row["scale"]:g}', *scores, 'chosen' if row['scale'] == chosen else '')
    Console(emoji=False, markup=False).print(table)


def in_sweep(folder: str) -> dict[str, str]:
    """Return the tuned runs in a sweep's folder, by what each held out."""
    runs = {
        path.parents[1].name: str(path.parent)
        for path in sorted(pathlib.Path(at_home(folder)).glob(f'*/{TUNED}/{checkpoints.FOLDER}'))
        if checkpoints.saved_step(path.parent)
    }
    if not runs:
        raise ValueError(f'{folder} has no tuned runs; expected a folder that flanlite loco wrote')
    return runs


def base_of_sweep(folder: str) -> str:
    """Return the checkpoint that a sweep's runs began with; a `ValueError` if these were random weights."""
    path = SweepConfig.load(folder).train.initial_checkpoint_path
    if not path:
        raise ValueError(f'the runs of {folder} began with random weights, so their vectors have no base')
    return path
