"""Few-shot tuning as CLUES measures it (Mukherjee et al. 2021): each task by itself, on 10, 20 and 30 of its
examples, with five draws of these; mean and standard deviation over the draws.
"""

import dataclasses
import pathlib
import re
import time
from collections.abc import Sequence

import jax

from flanlite.config import load_as, to_text, value
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.few_examples import draw_name, few_of
from flanlite.data.specs.specs import DatasetSpec
from flanlite.eval import comparison, splits
from flanlite.eval.evaluate import EvalConfig, open_evaluator
from flanlite.eval.evaluator import ScoringConfig, keep_predictions
from flanlite.eval.transfer_work import results_of
from flanlite.limits import Count, Whole
from flanlite.mesh import partitioning, processes
from flanlite.progress import duration
from flanlite.report import results
from flanlite.report.few_shot import FewShotReport
from flanlite.training import parameters, run
from flanlite.training.config import TrainConfig

DRAWN = re.compile(r'(?P<task>.+)_(?P<examples>\d+)examples_seed(?P<draw>\d+)')  # see `draw_name`
RUNS = 'runs'
# What may differ between results that lie in one folder.
FREE = (
    'train.model_dir',
    'train.data.data_dir',
    'train.data.cache_dir',
    'train.data.fail_fast',
    'train.records.',
    'train.checkpoints.fall_back',
    'examples',
    'draws',
    'predictions',
)


@value
class FewShotConfig:
    """All that decides what `few_shot` tunes and scores.

    Args:
        train: how each task is tuned; `model_dir` is the folder of all, and the data sets of `data.mixture`
            are the tasks. Draws that a benchmark publishes, such as those of `clues`, are taken as they are.
        examples: how many training examples.
        draws: the seeds of the draws. A run has `train.seed` plus that of its draw.
        max_rows: at most so many test rows of each task are scored; by default all.
        scoring: how a model is asked.
        predictions: whether to keep each question with its answer, in `predictions/` beside each result.

    Raises:
        ValueError: nothing to draw.
    """

    train: TrainConfig
    examples: tuple[Count, ...] = (10, 20, 30)
    draws: tuple[Whole, ...] = (1, 2, 3, 4, 5)
    max_rows: Count | None = None
    scoring: ScoringConfig = ScoringConfig()
    predictions: bool = True

    def __post_init__(self) -> None:
        for name in ('examples', 'draws'):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f'FewShotConfig.{name} is {given}; expected at least one, and each once')

    @classmethod
    def load(cls, path: str | pathlib.Path) -> 'FewShotConfig':
        """Read the settings from a folder of results, or from a file; a `ValueError` where there are none."""
        return load_as(cls, path)


@dataclasses.dataclass(frozen=True)
class Draw:
    """A task, as many of its examples, and the seed that they are drawn with; `name` is the data set."""

    task: str
    examples: int
    seed: int
    name: str

    def folder(self, above: pathlib.Path) -> pathlib.Path:
        """Return the folder of its result, or of its run."""
        return above / self.task / f'{self.examples}-{self.seed}'

    def __str__(self) -> str:
        drawn = f'{self.examples} examples, draw {self.seed}' if self.examples else 'before tuning'
        return f'{self.task}: {drawn}'


def few_shot(config: FewShotConfig, gin: str | None = None) -> FewShotReport:
    """Tune each task on each draw, score it on its test rows, and report mean and standard deviation.

    Where the model is a pretrained one, it is scored before tuning too. What is done already is not done
    again; a run that was killed goes on. The folder has `<task>/<examples>-<draw>/` with each result,
    results.json and report.md.

    Args:
        config: all that decides it.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Raises:
        ValueError: no task with training and test rows, no such draw, or results of other settings in the
            folder; all before anything is trained.
    """
    comparison.begin(config, FewShotConfig, 'fewshot')
    folder = pathlib.Path(config.train.model_dir)
    drawn = open_draws(config)
    results.check_settings(folder, to_text(config), FREE, 'MODEL_DIR')
    tasks = dict.fromkeys(each.task for each in drawn)
    plan = [*(Draw(task, 0, 0, task) for task in tasks if config.train.initial_checkpoint_path), *drawn]
    waiting = [each for each in plan if not (each.folder(folder) / results.RESULT).is_file()]
    check_rows(waiting, config.train.data.data_dir)
    comparison.keep_settings(folder, config, gin)
    began = time.monotonic()
    for number, each in enumerate(waiting, 1):
        if jax.process_index() == 0:
            print(f'[{number} of {len(waiting)}, {duration(time.monotonic() - began)}]  {each}', flush=True)
        same = [each.task, *(one.name for one in drawn if one.task == each.task)]
        measure(config, each, next(name for name in same if registry.find_spec(name)))
    report = FewShotReport([(each, results.load(each.folder(folder) / results.RESULT)) for each in plan])
    if jax.process_index() == 0:
        report.write(folder)
    return report


def open_draws(config: FewShotConfig) -> list[Draw]:
    """Find the draws of all tasks, and register those that no benchmark publishes.

    Raises:
        ValueError: a mixture without data sets of its own, or without one that has training and test rows; or
            a benchmark without a draw that is asked for.
    """
    mixed = mixtures.resolve(config.train.data.mixture, config.train.data.data_dir)
    found = [registry.find_spec(entry.task) for entry in mixed.entries]
    usable = [
        spec for spec in found if isinstance(spec, DatasetSpec) and spec.splits.train and spec.splits.test
    ]
    if not usable:
        raise ValueError(
            f'{mixed.name!r} has no data set with rows to train and to test on; expected some with '
            "templates, which files and SeqIO's tasks have not"
        )
    published = [(spec.name, match) for spec in usable if (match := DRAWN.fullmatch(spec.name))]
    there = {
        Draw(match['task'], int(match['examples']), int(match['draw']), name) for name, match in published
    }
    asked = [(examples, draw) for examples in config.examples for draw in config.draws]
    drawn = []
    for task in dict.fromkeys(match['task'] for _, match in published):
        for examples, draw in asked:
            each = Draw(task, examples, draw, draw_name(task, examples, draw))
            if each not in there:
                raise ValueError(
                    f'{mixed.name!r} has no draw {each.name!r}; expected FewShotConfig.examples of '
                    f'{sorted({one.examples for one in there})} and draws of '
                    f'{sorted({one.seed for one in there})}'
                )
            drawn.append(each)
    for spec in usable:
        if not DRAWN.fullmatch(spec.name):
            drawn += [
                Draw(spec.name, examples, draw, draw_name(spec.name, examples, draw))
                for examples, draw in asked
            ]
            for made in (few_of(spec, *each) for each in asked):
                if registry.find_spec(made.name) is None:
                    registry.register(
                        Collection(made.name, (made,), mixed.vocabulary, templates=mixed.collection.templates)
                    )
    return drawn


def check_rows(waiting: Sequence[Draw], data_dir: str | None) -> None:
    """Read the largest draw of each task; a `ValueError` where it cannot be, as of too few rows."""
    for each in {draw.task: draw for draw in sorted(waiting, key=lambda draw: draw.examples)}.values():
        if each.examples:
            spec = registry.find_spec(each.name)
            next(iter(sources.prefer_data_folder(spec.source, data_dir).rows(spec.splits.train)), None)


def mixture_of(config: FewShotConfig, name: str) -> MixtureConfig:
    """Return the mixture of one data set, with the settings of the mixture that it is of."""
    asked = config.train.data.mixture
    mixed = mixtures.resolve(asked, config.train.data.data_dir)
    return asked.replace(
        name=name,
        include=(),
        exclude=(),
        templates_per_task=mixed.templates_per_task,
        shots=mixed.shots or Shots(0),
    )


def measure(config: FewShotConfig, draw: Draw, scored: str) -> None:
    """Tune on a draw, score, and keep the result.

    Args:
        config: all that decides it.
        draw: what is tuned on; of 0 examples nothing.
        scored: the data set whose test rows are asked.
    """
    folder, train = pathlib.Path(config.train.model_dir), config.train
    began = time.monotonic()
    if draw.examples:
        changes = {'data.mixture': mixture_of(config, draw.name), 'seed': train.seed + draw.seed}
        train = train.replace(model_dir=str(draw.folder(folder / RUNS)), **changes)
        run.train(train)
    trained = time.monotonic() - began
    evaluated = EvalConfig(
        train.model_dir if draw.examples else train.initial_checkpoint_path,
        mixture_of(config, scored),
        vocabulary=train.data.vocabulary,
        feature_lengths=train.data.feature_lengths,
        max_rows=config.max_rows,
        scoring=config.scoring,
        mesh=train.mesh,
        data_dir=train.data.data_dir,
        cache_dir=train.data.cache_dir,
    )
    model = parameters.load_run(evaluated.checkpoint)
    mixed = mixtures.resolve(evaluated.mixture, evaluated.data_dir)
    evaluator, opened = open_evaluator(evaluated, mixed, [scored], model.config, model.feature_lengths)
    (scores,) = evaluator.run(
        model.config, model.params, partitioning.make_partitioner(evaluated.mesh)
    ).values()
    result = results_of(
        draw.task,
        scores,
        [*opened.notes, *evaluator.notes(model.config)],
        getattr(registry.find_spec(scored), 'cluster', None) or '',
        run=folder.name,
        system=f'{draw.examples} examples',
        seed=draw.seed,
        seconds={'train': trained, 'score': time.monotonic() - began - trained},
        **results.told_settings(config),
        environment=splits.environment(),
    )
    if jax.process_index() == 0:
        keep_predictions(draw.folder(folder), config.predictions, {draw.task: scores}, evaluator.records)
        results.save(draw.folder(folder), result, {draw.task: scores})
    processes.wait_for_all(f'{draw}')
