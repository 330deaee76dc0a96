"""The models that a held-out cluster is scored with: tuned, tuned without instructions, untuned, and rules without a model."""

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
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.view import View, view_of
from flanlite.data.mixing import mixtures, naming
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import clusters, specs
from flanlite.data.tokens.vocabularies import Vocabulary
from flanlite.eval import baselines, splits
from flanlite.eval.evaluator import Evaluator, samples
from flanlite.eval.splits import Opened
from flanlite.model import models
from flanlite.model.models import ModelConfig
from flanlite.report import results
from flanlite.report.results import Piece
from flanlite.report.scores import TaskScores
from flanlite.train import parameters
from flanlite.train import run as training

STYLES = {'tuned': 'instructions', 'ablation': 'fields'}  # how what a model is tuned on reads
DEV_ROWS = 200  # validation rows that choose the plain prompt (FLAN, section 3)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What all held-out clusters have in common.

    Args:
        folder: where runs and results lie: `<folder>/<cluster>/<model>/`.
        collection: whose clusters are held out.
        config: the model's.
        vocabulary: the model's.
        feature_lengths: tokens that a model reads and writes at most.
        initial_checkpoint_path: the model before tuning; None for a random one.
        seed: of a random model, and of tuning.
        max_rows: at most so many rows of each data set are scored.
        seen: how many data sets that the model was tuned on are scored too, each from another cluster.
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

    @functools.cached_property
    def base_params(self) -> models.Params:
        """Load the model before tuning, or draw it."""
        if self.initial_checkpoint_path:
            return parameters.load_params(self.initial_checkpoint_path, self.config)
        return jax.jit(models.init_params, static_argnums=0)(self.config, jax.random.key(self.seed))

    @functools.cached_property
    def all_tasks(self) -> Mixture:
        """Resolve the mixture that holds nothing out."""
        return mixtures.resolve(self.collection.name)

    def tasks(self, cluster: str) -> tuple[str, ...]:
        """Name the data sets of a cluster, or those that another split holds out."""
        return clusters.find_split(naming.templates_in_name(cluster)[0], self.collection.specs).test

    def mixture(self, cluster: str) -> Mixture:
        """Resolve what is tuned on with a cluster, or what another split names, held out."""
        return mixtures.resolve(naming.name_without(self.collection, cluster))


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """One held-out cluster, or other split: what is tuned on without it, and its evaluation splits."""

    sweep: Sweep
    cluster: str
    mixture: Mixture
    test: Opened

    @classmethod
    def open(cls, sweep: Sweep, cluster: str) -> 'HeldOut':
        """Open a cluster's data; builds what is not cached."""
        return cls(sweep, cluster, sweep.mixture(cluster), sweep_splits(sweep, sweep.tasks(cluster)))

    def seen(self) -> Opened:
        """Open splits of data sets that are tuned on, one from each of the first clusters."""
        first = {entry.cluster: entry.task for entry in reversed(self.mixture.entries) if entry.cluster}
        chosen = [first[cluster] for cluster in self.sweep.collection.clusters() if cluster in first][: self.sweep.seen]
        return sweep_splits(self.sweep, chosen) if chosen else Opened({}, {})

    def run(self, scored: Mapping[str, CachedSplit], params: models.Params, template: Mapping[str, int] | None = None) -> 'Outcome':
        """Score parameters on splits."""
        evaluator = Evaluator(scored, self.sweep.vocabulary, self.sweep.feature_lengths)
        scores = evaluator.run(self.sweep.config, params, template=template)
        return Outcome(scores, {}, evaluator.cut_notes(), samples(scores, scored, self.sweep.vocabulary))


def sweep_splits(sweep: Sweep, tasks: Sequence[str], split: str = 'test', max_rows: int | None = None, **changes: Any) -> Opened:
    """Open splits as the sweep's mixture has them, within its cap on rows; `changes` are of the view."""
    view = view_of(sweep.all_tasks, split, sweep.vocabulary, sweep.feature_lengths, max_rows=max_rows or sweep.max_rows)
    return splits.open_splits(tasks, dataclasses.replace(view, **changes))


class Outcome(NamedTuple):
    """A model's scores, why some tasks have none, what to note, and samples of its answers."""

    scores: dict[str, TaskScores]
    skipped: dict[str, str]
    notes: Sequence[str] = ()
    samples: Sequence[dict[str, Any]] = ()
    trained: Mapping[str, Sequence[str]] = {}
    seconds: Mapping[str, float] = {}


def score_piece(held: HeldOut, model: str) -> Piece:
    """Score one model with one cluster held out; tunes it first where it is a tuned one."""
    start = time.monotonic()
    unreadable = Outcome({}, {}, [f'No data set that {held.cluster} holds out could be read.'])
    outcome = SCORERS[model](held) if held.test.splits else unreadable
    spent = time.monotonic() - start - outcome.seconds.get('train', 0.0)
    tuned_on = by_cluster(held.mixture.entries)
    named = {spec.name: spec.cluster or '' for spec in held.sweep.collection.specs}
    places = {task: (cluster, splits.level(task, cluster, tuned_on)) for task, cluster in named.items()}
    return results.piece(
        outcome.scores,
        places,
        run=held.sweep.folder.name,
        model=model,
        held_out_cluster=held.cluster,
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
    """List tasks by cluster."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry.cluster or '', []).append(entry.task)
    return found


def score_tuned(held: HeldOut, model: str) -> Outcome:
    """Tune without the cluster, with or without instructions, and score with instructions."""
    sweep = held.sweep
    start = time.monotonic()
    folder = sweep.folder / held.cluster / model
    training.train(
        model_dir=str(folder), mixture_or_task_name=held.mixture.name, style=STYLES[model],
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


def score_untuned(held: HeldOut) -> Outcome:
    """Score the model before tuning, with instructions."""
    outcome = held.run(held.test.splits | held.seen().splits, held.sweep.base_params)
    random = [] if held.sweep.initial_checkpoint_path else ['No initial checkpoint was given: the untuned model is a random one.']
    return outcome._replace(notes=[*outcome.notes, *random])


def score_untuned_plain(held: HeldOut) -> Outcome:
    """Score the model before tuning with each data set's best plain prompt, chosen on validation rows."""
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


def score_majority(held: HeldOut) -> Outcome:
    """Score the commonest training answer."""
    vocabulary = held.sweep.vocabulary
    caps = {entry.task: entry.max_examples for entry in held.sweep.all_tasks.entries}
    has_train = [task for task in held.test.splits if specs.find_spec(task).splits.train]
    train = cache.ensure(has_train, View('train', vocabulary, style='fields', max_examples=caps))
    skipped = {task: 'it has no training answers' for task in held.test.splits if task not in has_train} | train.skipped
    scores = {
        task: baselines.majority(task, held.test.splits[task], baselines.training_answers(split, vocabulary), vocabulary)
        for task, split in train.splits.items()
    }
    return Outcome(scores, skipped)


def score_chance(held: HeldOut) -> Outcome:
    """Score a random option; where there are no options, a copy of the input."""
    open_ended = [task for task, split in held.test.splits.items() if not split.read(0).options]
    bare = sweep_splits(held.sweep, open_ended, style='fields', shots=None)
    scores = {
        task: baselines.chance(task, split, bare.splits.get(task), held.sweep.vocabulary)
        for task, split in held.test.splits.items()
        if task not in bare.skipped
    }
    return Outcome(scores, bare.skipped)


SCORERS: dict[str, Callable[[HeldOut], Outcome]] = {
    'majority': score_majority,
    'chance': score_chance,
    'untuned': score_untuned,
    'untuned_plain': score_untuned_plain,
    'tuned': functools.partial(score_tuned, model='tuned'),
    'ablation': functools.partial(score_tuned, model='ablation'),
}
