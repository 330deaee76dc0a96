"""The compared systems: tuned, tuned without instructions, untuned, and rules without a model; each gives a `Result`."""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from flanlite.cli import gin_config
from flanlite.data.cache import cache
from flanlite.data.cache.cached import CachedSplit
from flanlite.data.mixing import mixtures, naming
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import clusters, specs
from flanlite.data.tokens.vocabularies import Vocabulary
from flanlite.eval import baselines, splits
from flanlite.eval.evaluator import Evaluator, samples
from flanlite.eval.splits import Opened
from flanlite.model import models
from flanlite.model.models import ModelConfig
from flanlite.report import results
from flanlite.report.results import Result
from flanlite.report.scores import TaskScores
from flanlite.train import parameters
from flanlite.train import run as training

STYLES = {'tuned': 'instructions', 'no_instructions': 'fields'}  # of the training examples, see `specs.STYLES`
DEV_ROWS = 200  # validation rows that choose the plain prompt (FLAN, section 3)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What all results of a sweep have in common.

    Args:
        folder: where runs and results lie: `<folder>/<held_out>/<system>/`.
        collection: the data sets, some of which are held out.
        config: the model's.
        vocabulary: the model's.
        feature_lengths: the most tokens that the model reads and writes, {'inputs': S, 'targets': T}.
        initial_checkpoint_path: the model before tuning; None for a random one.
        seed: seeds a random model, and tuning.
        max_rows: at most so many rows of each data set are scored.
        seen: the number of data sets that are scored although they are tuned on, each from another cluster.
        shots: the exemplars before each example, in tuning and in scoring; None for none.
    """

    folder: pathlib.Path
    collection: specs.Collection
    config: ModelConfig
    vocabulary: Vocabulary
    feature_lengths: Mapping[str, int]
    initial_checkpoint_path: str | None = None
    seed: int = 0
    max_rows: int | None = None
    seen: int = 0
    shots: Shots | None = None

    @functools.cached_property
    def base_params(self) -> models.Params:
        """The parameters of the model before tuning: loaded, or random."""
        if self.initial_checkpoint_path:
            return parameters.load_params(self.initial_checkpoint_path, self.config)
        return jax.jit(models.init_params, static_argnums=0)(self.config, jax.random.key(self.seed))

    def tasks(self, held_out: str) -> tuple[str, ...]:
        """Return the names of the data sets that are held out: a cluster's, or another hold-out's."""
        return clusters.get_hold_out(naming.templates_in_name(held_out)[0], self.collection.specs).test

    def mixture(self, held_out: str) -> Mixture:
        """Return the mixture to tune on while a cluster, or another hold-out's data sets, are held out."""
        return mixtures.resolve(naming.name_without(self.collection, held_out))


@dataclasses.dataclass(frozen=True)
class OpenedHoldOut:
    """One hold-out of a sweep, with its data.

    Args:
        sweep: the sweep.
        name: the held-out cluster's name, or another hold-out's, with a number of templates behind it where it has one.
        mixture: the data sets to tune on.
        test: the evaluation splits of what is held out.
    """

    sweep: Sweep
    name: str
    mixture: Mixture
    test: Opened

    @classmethod
    def open(cls, sweep: Sweep, name: str) -> 'OpenedHoldOut':
        """Open the data of a hold-out; build what is not cached."""
        return cls(sweep, name, sweep.mixture(name), sweep_splits(sweep, sweep.tasks(name)))

    def seen(self) -> Opened:
        """Open evaluation splits of data sets that are tuned on: `sweep.seen` of them, one from each of the first clusters."""
        first = {entry.cluster: entry.task for entry in reversed(self.mixture.entries) if entry.cluster}
        chosen = [first[cluster] for cluster in self.sweep.collection.clusters() if cluster in first][: self.sweep.seen]
        return sweep_splits(self.sweep, chosen) if chosen else Opened({}, {})

    def run(self, scored: Mapping[str, CachedSplit], params: models.Params, template: Mapping[str, int] | None = None) -> 'Outcome':
        """Score parameters on evaluation splits.

        Args:
            scored: the split of each task.
            params: the model's parameters.
            template: the only template to read of each task; None reads all.
        """
        evaluator = Evaluator(scored, self.sweep.vocabulary, self.sweep.feature_lengths)
        scores = evaluator.run(self.sweep.config, params, template=template)
        return Outcome(scores, {}, evaluator.cut_notes(), samples(scores, scored, self.sweep.vocabulary))


def sweep_splits(sweep: Sweep, tasks: Sequence[str], split: str = 'test', **options: Any) -> Opened:
    """Open evaluation splits with the sweep's vocabulary, cap on rows and exemplars; `options` for `splits.open_splits` override."""
    return splits.open_splits(tasks, split, sweep.vocabulary, **{'max_rows': sweep.max_rows, 'shots': sweep.shots} | options)


class Outcome(NamedTuple):
    """What a system scored, as `Result` has it: scores, reasons of skipped tasks, notes, samples, training data sets, seconds."""

    scores: dict[str, TaskScores]
    skipped: dict[str, str]
    notes: Sequence[str] = ()
    samples: Sequence[dict[str, Any]] = ()
    trained: Mapping[str, Sequence[str]] = {}
    seconds: Mapping[str, float] = {}


def score_system(held: OpenedHoldOut, system: str) -> Result:
    """Score one system on one hold-out; tune it first where it is a tuned one.

    Args:
        held: the hold-out.
        system: a key of `results.SYSTEMS`.
    """
    start = time.monotonic()
    unreadable = Outcome({}, {}, [f'No data set that {held.name} holds out could be read.'])
    outcome = SCORERS[system](held) if held.test.splits else unreadable
    spent = time.monotonic() - start - outcome.seconds.get('train', 0.0)
    tuned_on = by_cluster(held.mixture.entries)
    named = {spec.name: spec.cluster or '' for spec in held.sweep.collection.specs}
    places = {task: (cluster, splits.level(task, cluster, tuned_on)) for task, cluster in named.items()}
    return results.make_result(
        outcome.scores,
        places,
        run=held.sweep.folder.name,
        system=system,
        held_out=held.name,
        removed=held.mixture.removed,
        trained=outcome.trained,
        skipped=held.test.skipped | outcome.skipped,
        notes=(*held.test.notes, *outcome.notes),
        samples=tuple(outcome.samples),
        seconds={'train': 0.0} | dict(outcome.seconds) | {'score': spent},
        settings=gin_config.resolved(),
        environment=splits.environment(),
    )


def by_cluster(entries: Sequence[mixtures.Entry]) -> dict[str, list[str]]:
    """Return the names of tasks by cluster."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry.cluster or '', []).append(entry.task)
    return found


def score_tuned(held: OpenedHoldOut, system: str) -> Outcome:
    """Tune without what is held out, in the style that `STYLES` has for the system, and score with instructions."""
    sweep = held.sweep
    start = time.monotonic()
    folder = sweep.folder / held.name / system
    training.train(
        model_dir=str(folder), mixture_or_task_name=held.mixture.name, style=STYLES[system],
        task_feature_lengths=sweep.feature_lengths, config=sweep.config, vocabulary=sweep.vocabulary.name,
        initial_checkpoint_path=sweep.initial_checkpoint_path, seed=sweep.seed,
    )  # fmt: skip
    seconds = {'train': time.monotonic() - start}
    manifest = json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))
    trained = by_cluster([entry for entry in held.mixture.entries if entry.task in manifest['tasks']])
    seen = held.seen()
    outcome = held.run(held.test.splits | seen.splits, parameters.load_params(folder, sweep.config))
    skipped = seen.skipped | {task: f'not tuned on: {reason}' for task, reason in manifest['skipped'].items()}
    notes = [*held.mixture.notes(), *outcome.notes]
    return outcome._replace(skipped=skipped, notes=notes, trained=trained, seconds=seconds)


def score_untuned(held: OpenedHoldOut) -> Outcome:
    """Score the model before tuning, with instructions."""
    outcome = held.run(held.test.splits | held.seen().splits, held.sweep.base_params)
    random = [] if held.sweep.initial_checkpoint_path else ['No initial checkpoint was given: the untuned model is a random one.']
    return outcome._replace(notes=[*outcome.notes, *random])


def score_untuned_plain(held: OpenedHoldOut) -> Outcome:
    """Score the model before tuning, with the plain prompt of each data set that is best on validation rows."""
    sweep = held.sweep
    bare = [task for task in held.test.splits if not specs.find_spec(task).baselines]
    dev, test = Opened({}, {}), Opened({}, {})
    for style, tasks in (('baseline', [task for task in held.test.splits if task not in bare]), ('fields', bare)):
        if tasks:
            dev = dev.merge(sweep_splits(sweep, tasks, 'validation', style=style, max_rows=DEV_ROWS))
            test = test.merge(sweep_splits(sweep, tasks, style=style))
    chosen = {task: split.read(0).template for task, split in test.splits.items()}
    chosen |= {task: scores.best_template() for task, scores in held.run(dev.splits, sweep.base_params).scores.items()}
    outcome = held.run(test.splits, sweep.base_params, chosen)
    notes = [f'No plain prompt is known of {", ".join(bare)}: the untuned model read the bare fields.'] if bare else []
    if blind := [task for task in test.splits if task not in dev.splits]:
        notes.append(f'There is no validation data of {", ".join(blind)}: the first plain prompt was taken.')
    if same := [task for task in test.splits if test.splits[task].manifest['split'] == 'validation']:
        notes.append(f'The plain prompt of {", ".join(same)} was chosen on the split that it is scored on.')
    return outcome._replace(skipped=test.skipped, notes=[*outcome.notes, *notes])


def score_majority(held: OpenedHoldOut) -> Outcome:
    """Score the most frequent training answer of each data set."""
    vocabulary = held.sweep.vocabulary
    caps = {entry.task: entry.max_examples for entry in mixtures.resolve(held.sweep.collection.name).entries}
    has_train = [task for task in held.test.splits if specs.find_spec(task).splits.train]
    train = cache.ensure(has_train, split='train', vocabulary=vocabulary, style='fields', max_examples=caps)
    skipped = {task: 'it has no training answers' for task in held.test.splits if task not in has_train} | train.skipped
    scores = {
        task: baselines.majority(task, held.test.splits[task], baselines.training_answers(split, vocabulary), vocabulary)
        for task, split in train.splits.items()
    }
    return Outcome(scores, skipped)


def score_chance(held: OpenedHoldOut) -> Outcome:
    """Score a random option, or a copy of the input where there are no options."""
    open_ended = [task for task, split in held.test.splits.items() if not split.read(0).options]
    bare = sweep_splits(held.sweep, open_ended, style='fields', shots=None)
    scores = {
        task: baselines.chance(task, split, bare.splits.get(task), held.sweep.vocabulary)
        for task, split in held.test.splits.items()
        if task not in bare.skipped
    }
    return Outcome(scores, bare.skipped)


SCORERS: dict[str, Callable[[OpenedHoldOut], Outcome]] = {
    'majority': score_majority,
    'chance': score_chance,
    'untuned': score_untuned,
    'untuned_plain': score_untuned_plain,
    'tuned': functools.partial(score_tuned, system='tuned'),
    'no_instructions': functools.partial(score_tuned, system='no_instructions'),
}
