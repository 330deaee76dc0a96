"""The compared systems: tuned, tuned without instructions, untuned, and rules without a model; each gives a
`Result`.
"""

import dataclasses
import functools
import json
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flanlite.data.cache import cache
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.view import View
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import registry
from flanlite.eval import baselines, costs, splits
from flanlite.eval.evaluator import Evaluator, left_out_notes, records, sample_places
from flanlite.eval.score_cache import ScoreCache
from flanlite.eval.splits import Opened
from flanlite.eval.sweep import STYLES, Sweep
from flanlite.mesh.partitioning import make_partitioner
from flanlite.model import models
from flanlite.report import results
from flanlite.report.results import Result
from flanlite.report.scores import TaskScores
from flanlite.training import parameters
from flanlite.training import run as training


@dataclasses.dataclass(frozen=True)
class OpenedHoldOut:
    """One hold-out of a sweep, with its data.

    Args:
        sweep: the sweep.
        name: the held-out cluster's name, or another hold-out's, with a number of templates behind it where
            it has one.
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
        mixture = mixtures.resolve(sweep.mixture(name))
        return cls(sweep, name, mixture, sweep.open_splits(sweep.tasks(name), mixture=mixture))

    def seen(self) -> Opened:
        """Open evaluation splits of data sets that are tuned on: as many as the sweep says, one from each of
        the first clusters.
        """
        first = {entry.cluster: entry.task for entry in reversed(self.mixture.entries) if entry.cluster}
        chosen = [first[cluster] for cluster in self.sweep.collection.clusters() if cluster in first][
            : self.sweep.config.seen
        ]
        return self.sweep.open_splits(chosen, mixture=self.mixture) if chosen else Opened({}, {})

    def run(
        self,
        scored: Mapping[str, CachedSplit],
        model: models.ModelConfig,
        params: models.Params,
        template: Mapping[str, int] | None = None,
    ) -> 'Outcome':
        """Score parameters on evaluation splits.

        Args:
            scored: the split of each task.
            model: the model's config.
            params: its parameters.
            template: the only template to read of each task; None reads all.
        """
        config = self.sweep.config
        evaluator = Evaluator(
            scored,
            self.sweep.vocabulary,
            config.train.data.feature_lengths,
            config.scoring,
            cache=ScoreCache.inside(cache.cache_folder(config.train.data.cache_dir)),
        )
        scores = evaluator.run(model, params, make_partitioner(config.train.mesh), template=template)
        shown = [
            record for each in scores.values() for record in evaluator.records(each, sample_places(each))
        ]
        wordings = {name: splits.wordings(name, split) for name, split in scored.items()}
        notes = [*evaluator.notes(model), *evaluator.attention_notes(model, params)]
        chosen = dict.fromkeys(scores) if template is None else template
        asked = {name: evaluator.examples(name, chosen[name]) for name in scores}
        spent = costs.of_scoring(scores, asked, model, self.sweep.vocabulary)
        return Outcome(scores, {}, notes, evaluator.records, shown, wordings, costs=spent)


class Outcome(NamedTuple):
    """What a system scored: scores, reasons of skipped tasks, notes, what writes out a task's questions and
    answers, samples of these, the templates' texts, training data sets, seconds, and what was computed.
    """

    scores: dict[str, TaskScores]
    skipped: dict[str, str]
    notes: Sequence[str] = ()
    records: Callable[[TaskScores], Iterator[dict[str, Any]]] = lambda scored: iter(())
    samples: Sequence[dict[str, Any]] = ()
    wordings: Mapping[str, Mapping[int, str]] = {}
    trained: Mapping[str, Sequence[str]] = {}
    seconds: Mapping[str, float] = {}
    costs: Mapping[str, float] = {}


def score_system(held: OpenedHoldOut, system: str, seed: int | None = None) -> tuple[Result, Outcome]:
    """Score one system on one hold-out; tune it first where it is a tuned one.

    Args:
        held: the hold-out.
        system: a key of `results.SYSTEMS`, or one of `Sweep.shared_run`, which is tuned already.
        seed: what it is tuned with; one of `Sweep.seeds`.
    """
    start = time.monotonic()
    unreadable = Outcome({}, {}, [f'No data set that {held.name} holds out could be read.'])
    shared = results.is_shared(system)
    if seed is not None:
        score = functools.partial(score_shared if shared else score_tuned, system=system, seed=seed)
    else:
        score = SCORERS[system]
    outcome = score(held) if held.test.splits else unreadable
    spent = time.monotonic() - start - outcome.seconds.get('train', 0.0)
    tuned_on = outcome.trained if shared else by_cluster(held.mixture.entries)
    named = {spec.name: spec.cluster or '' for spec in held.sweep.collection.specs}
    places = {task: (cluster, splits.level(task, cluster, tuned_on)) for task, cluster in named.items()}
    result = results.make_result(
        outcome.scores,
        places,
        outcome.wordings,
        run=held.sweep.folder.name,
        system=system,
        held_out=held.name,
        removed=() if shared else held.mixture.removed,
        trained=outcome.trained,
        templates=most_templates(held.mixture) if outcome.trained else 0,
        shots=held.mixture.shots.most if outcome.trained and held.mixture.shots else 0,
        skipped=held.test.skipped | outcome.skipped,
        notes=(*held.sweep.config.notes, *held.test.notes, *outcome.notes),
        samples=tuple(outcome.samples),
        seconds={'train': 0.0} | dict(outcome.seconds) | {'score': spent},
        costs=dict(outcome.costs),
        seed=seed,
        **results.told_settings(held.sweep.config),
        environment=splits.environment(),
    )
    return result, outcome


def by_cluster(entries: Sequence[mixtures.Entry]) -> dict[str, list[str]]:
    """Return the names of tasks by cluster."""
    found: dict[str, list[str]] = {}
    for entry in entries:
        found.setdefault(entry.cluster or '', []).append(entry.task)
    return found


def most_templates(mixture: Mixture) -> int:
    """Return the greatest number of templates that a data set of a mixture is tuned with."""
    counts = [len(getattr(registry.find_spec(entry.task), 'templates', ())) for entry in mixture.entries]
    return min(max(counts), mixture.templates_per_task or max(counts))


def score_tuned(held: OpenedHoldOut, system: str, seed: int) -> Outcome:
    """Tune without what is held out, in the style that `STYLES` has for the system, and score with
    instructions.
    """
    sweep = held.sweep
    start = time.monotonic()
    asked = system == 'names_asked'
    folder = sweep.result_folder(held.name, 'names' if asked else system, seed)
    changes = {
        'model_dir': str(folder),
        'data.mixture': sweep.mixture(held.name),
        'data.style': STYLES[system],
        'seed': seed,
    }
    training.train(sweep.config.train.replace(**changes))
    seconds = {'train': time.monotonic() - start}
    trained, untrained = tuned_tasks(folder, held.mixture)
    test, model = held.test.merge(held.seen()), sweep.config.train.model
    if asked:
        test = sweep.open_splits(list(test.splits), style=STYLES[system], shots=None, prompt_mix=None)
    outcome = held.run(test.splits, model, parameters.load_params(folder, model))
    notes = [*held.mixture.notes(), *outcome.notes]
    spent = {} if asked else costs.of_training(folder, sweep.config.train, model)
    return outcome._replace(
        skipped=test.skipped | untrained,
        notes=notes,
        trained=trained,
        seconds=seconds,
        costs={**spent, **outcome.costs},
    )


def score_shared(held: OpenedHoldOut, system: str, seed: int) -> Outcome:
    """Score a model that was tuned for all hold-outs at once, with instructions."""
    run = held.sweep.shared_run(system, seed)
    outcome = held.run(held.test.splits, run.model, parameters.load_params(run.model_dir, run.model))
    trained, untrained = tuned_tasks(pathlib.Path(run.model_dir), mixtures.resolve(run.data.mixture))
    return outcome._replace(skipped=untrained, trained=trained)


def tuned_tasks(folder: pathlib.Path, mixture: Mixture) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the tasks that a run was tuned on, by cluster, and why it was not tuned on others."""
    manifest = json.loads((folder / 'manifest.json').read_text(encoding='utf-8'))
    trained = by_cluster([entry for entry in mixture.entries if entry.task in manifest['tasks']])
    return trained, {task: f'not tuned on: {reason}' for task, reason in manifest['skipped'].items()}


def score_untuned(held: OpenedHoldOut) -> Outcome:
    """Score the model before tuning, with instructions."""
    sweep = held.sweep
    outcome = held.run(held.test.splits | held.seen().splits, sweep.base_model, sweep.base_params)
    random = (
        []
        if sweep.config.train.initial_checkpoint_path
        else ['No initial checkpoint was given: the untuned model is a random one.']
    )
    return outcome._replace(notes=[*outcome.notes, *random])


def score_untuned_plain(held: OpenedHoldOut) -> Outcome:
    """Score the model before tuning, with the plain prompt of each data set that is best on validation
    rows.
    """
    sweep = held.sweep
    bare = [task for task in held.test.splits if not registry.find_spec(task).baselines]
    dev, test = Opened({}, {}), Opened({}, {})
    for style, tasks in (
        ('baseline', [task for task in held.test.splits if task not in bare]),
        ('fields', bare),
    ):
        if tasks:
            dev = dev.merge(
                sweep.open_splits(tasks, 'validation', style=style, max_examples=sweep.config.dev_rows)
            )
            test = test.merge(sweep.open_splits(tasks, style=style))
    chosen = {task: split.read(0).template for task, split in test.splits.items()}
    chosen |= {
        task: scores.best_template()
        for task, scores in held.run(dev.splits, sweep.base_model, sweep.base_params).scores.items()
    }
    outcome = held.run(test.splits, sweep.base_model, sweep.base_params, chosen)
    notes = (
        [f'No plain prompt is known of {", ".join(bare)}: the untuned model read the bare fields.']
        if bare
        else []
    )
    if blind := [task for task in test.splits if task not in dev.splits]:
        notes.append(f'There is no validation data of {", ".join(blind)}: the first plain prompt was taken.')
    if same := [task for task in test.splits if test.splits[task].manifest['split'] == 'validation']:
        notes.append(f'The plain prompt of {", ".join(same)} was chosen on the split that it is scored on.')
    return outcome._replace(skipped=test.skipped, notes=[*outcome.notes, *notes])


def score_majority(held: OpenedHoldOut) -> Outcome:
    """Score the most frequent training answer of each data set."""
    vocabulary = held.sweep.vocabulary
    data = held.sweep.config.train.data
    caps = {entry.task: entry.max_examples for entry in mixtures.resolve(data.mixture).entries}
    has_train = [task for task in held.test.splits if registry.find_spec(task).splits.train]
    train = cache.ensure(
        has_train, View('train', vocabulary, 'fields', max_examples=caps), data.build_options()
    )
    skipped = {
        task: 'it has no training answers' for task in held.test.splits if task not in has_train
    } | train.skipped
    scores = {
        task: baselines.majority(
            task, held.test.splits[task], baselines.training_answers(split, vocabulary), vocabulary
        )
        for task, split in train.splits.items()
    }
    return by_rule(held, scores, skipped)


def score_chance(held: OpenedHoldOut) -> Outcome:
    """Score a random option, or a copy of the input where there are no options."""
    open_ended = [
        task
        for task, split in held.test.splits.items()
        if not any(example.options for example in split.examples())
    ]
    bare = held.sweep.open_splits(open_ended, style='fields', shots=None, prompt_mix=None)
    scores = {
        task: baselines.chance(task, split, bare.splits.get(task), held.sweep.vocabulary)
        for task, split in held.test.splits.items()
        if task not in bare.skipped
    }
    return by_rule(held, scores, bare.skipped)


def by_rule(held: OpenedHoldOut, scores: dict[str, TaskScores], skipped: dict[str, str]) -> Outcome:
    """Return what a rule without a model scored, with a note on the rows that it too leaves out."""

    def written(scored: TaskScores) -> Iterator[dict[str, Any]]:
        split = held.test.splits[scored.task]
        for record in records(scored, baselines.asked(split), held.sweep.vocabulary):
            yield record | {'source': split.manifest['source']}

    notes = [
        note for task in scores for note in left_out_notes(task, list(held.test.splits[task].examples()))
    ]
    return Outcome(scores, skipped, notes, written)


SCORERS: dict[str, Callable[[OpenedHoldOut], Outcome]] = {  # of what is not tuned
    'majority': score_majority,
    'chance': score_chance,
    'untuned': score_untuned,
    'untuned_plain': score_untuned_plain,
}
