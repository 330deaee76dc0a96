"""An evaluator: cached splits and settings in, `run(params)` out -> every task's scores, with each example's
kept.
"""

import collections
import dataclasses
import pathlib
import zlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np

from flanlite.config import value
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.specs import registry, specs
from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval import generate, rank, seqio_metrics, variants
from flanlite.eval.generate import Decoding
from flanlite.eval.rank import Question
from flanlite.eval.score_cache import NOWHERE, ScoreCache
from flanlite.eval.seqio_metrics import MetricError
from flanlite.eval.splits import DEFAULT_TARGET_LENGTH
from flanlite.limits import whole
from flanlite.mesh import partitioning
from flanlite.mesh.partitioning import Partitioner, make_partitioner
from flanlite.metrics import metrics
from flanlite.metrics.metric import Metric, means
from flanlite.model import models
from flanlite.model.attempt import Attempt
from flanlite.model.models import ModelConfig
from flanlite.progress import progress_bar
from flanlite.report import predictions
from flanlite.report.scores import NO_KEY, OwnScores, TaskScores, Variant

RULES = ('majority', 'chance')  # methods that ask no model
SAMPLES = 2  # examples of a task that a report shows
DIGITS = 5  # of log-probabilities that are written down


@value
class ScoringConfig:
    """How a model is asked.

    Args:
        decoding: how answers are generated; by default greedily, as long as the targets in training.
        tokens_per_batch: padded tokens of a batch, about. More is faster on large devices, less on a CPU.
        scores: names of other scores to report beside those of the metric, where options are ranked; see
            `variants.NAMES`.
    """

    decoding: Decoding | None = None
    tokens_per_batch: Annotated[int, whole(1, 2**24)] = 4096
    scores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        variants.check_names(self.scores)


@dataclasses.dataclass(frozen=True)
class Evaluator:
    """Scores models on cached evaluation splits: by rank where examples have options, else by generating;
    by a SeqIO task's own metrics. Where only some examples of a split have options, the others are left out.

    Args:
        splits: the cached split of each task.
        vocabulary: that of the splits.
        feature_lengths: inputs longer than `inputs` are cut, as in training; None cuts nothing. Answers are
            as long as `targets`.
        config: how a model is asked.
        prompts: of a model with several soft prompts, those that all tasks are asked with; by default each
            has its own. Of several the answers are put to the vote (Lester et al. 2021, section 6).
        cache: where scores are kept; by default nowhere.
    """

    splits: Mapping[str, CachedSplit]
    vocabulary: Vocabulary
    feature_lengths: Mapping[str, int] | None = None
    config: ScoringConfig = ScoringConfig()
    prompts: tuple[str, ...] = ()
    cache: ScoreCache = NOWHERE

    def run(
        self,
        config: ModelConfig,
        params: models.Params,
        partitioner: Partitioner | None = None,
        *,
        template: Mapping[str, int] | None = None,
        skip: Callable[[str, str], Any] | None = None,
    ) -> dict[str, TaskScores | OwnScores]:
        """Score a model on all tasks.

        Args:
            config: the model's.
            params: its parameters, anywhere.
            partitioner: the mesh; by default `make_partitioner()`.
            template: reads only that template of each task; None reads all.
            skip: is called with the name of each task whose own metrics fail, and why; by default that is
                raised.

        Raises:
            ValueError: a score that the model gives is not finite, and the message names the task and the
                row; or a task has no soft prompt where others do, or its metric cannot count, which shows
                before the model is asked.
        """
        for name in self.splits:
            self.prompt_ids(name, config)
        for name, split in self.splits.items():
            if registry.find_spec(name):
                metric_of(name).check_counts(answers_of(next(split.examples(limit=1)), self.vocabulary))
        partitioner = partitioner or make_partitioner()
        params = partitioning.spread(params, models.shardings(config, partitioner))
        chosen = dict.fromkeys(self.splits) if template is None else template
        asking = dataclasses.replace(self, cache=self.cache.of_model(config, params, partitioner))
        scores = {}
        for name in self.splits:
            try:
                scores[name] = asking.run_task(name, config, params, partitioner, chosen[name])
            except MetricError as error:
                if skip is None:
                    raise
                skip(name, str(error))
        return scores

    def run_task(
        self,
        name: str,
        config: ModelConfig,
        params: models.Params,
        partitioner: Partitioner,
        template: int | None,
    ) -> TaskScores | OwnScores:
        """Score a model on one task."""
        own = seqio_metrics.get_seqio_task(name)
        examples = self.examples(name, template)
        model = (config, params, partitioner)
        if own is not None:
            return dataclasses.replace(self.by_own_metrics(own, examples, *model), task=name)
        if not any(example.options for example in examples):
            predictions = self.generated(name, examples, *model)
            return score_task(name, 'generate', examples, predictions, self.vocabulary)
        predictions, scores = self.ranked(name, examples, *model)
        found = score_task(name, 'rank', examples, predictions, self.vocabulary)
        return dataclasses.replace(
            found,
            option_scores=tuple(scores),
            variants=self.variants_of(name, found.metric, examples, scores, *model),
        )

    def variants_of(
        self,
        name: str,
        metric: Metric,
        examples: Sequence[Example],
        scores: Sequence[np.ndarray],
        *model: Any,
    ) -> tuple[Variant, ...]:
        """Compute the other scores that are asked for of ranked examples."""
        names = self.config.scores
        bare = self.unconditional(name, examples, *model) if variants.MUTUAL_INFORMATION in names else ()
        answers = [answers_of(example, self.vocabulary) for example in examples]
        return variants.variants(names, metric, examples, answers, scores, bare)

    def unconditional(self, name: str, examples: Sequence[Example], *model: Any) -> list[np.ndarray]:
        """Compute the log-probabilities of the options of examples given the empty input, each option once:
        float32[K] for each example.
        """
        options = {tokens.tobytes(): tokens for example in examples for tokens in example.option_tokens}
        nothing = Example(self.vocabulary.as_inputs(self.vocabulary.encode_arrays([''])[0]), np.zeros(0))
        questions = [
            Question(inputs, [tokens])
            for inputs in self.inputs(name, [nothing], model[0])
            for tokens in options.values()
        ]
        told = f'an option of {name} without an input'
        with self.cache.open(name) as kept:
            scored = rank.score(
                *model, questions, self.config.tokens_per_batch, name=lambda number: told, kept=kept
            )
        means = np.mean(np.concatenate(scored).reshape(-1, len(options)), axis=0)
        found = dict(zip(options, means, strict=True))
        return [
            np.array([found[tokens.tobytes()] for tokens in example.option_tokens]) for example in examples
        ]

    def examples(self, name: str, template: int | None = None) -> list[Example]:
        """Read the examples that are asked of a task, as a model reads them.

        Args:
            name: the task.
            template: the only one to read; None reads all.
        """
        examples = [
            dataclasses.replace(example, inputs=self.cut(example.inputs))
            for example in self.splits[name].examples()
            if template in (None, example.template)
        ]
        return examples if seqio_metrics.get_seqio_task(name) else askable(examples)

    def records(
        self, scored: TaskScores | OwnScores, places: Container[int] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Write out what a model was asked in `run` and what it answered; see `records`."""
        templates = np.unique(scored.templates)
        only = int(templates[0]) if len(templates) == 1 and templates[0] >= 0 else None
        source = self.splits[scored.task].manifest['source']
        for record in records(scored, self.examples(scored.task, only), self.vocabulary, places):
            yield record | {'source': source}

    def cut(self, inputs: np.ndarray) -> np.ndarray:
        """Cut inputs that are longer than those in training."""
        return inputs if self.feature_lengths is None else inputs[: self.feature_lengths['inputs']]

    def prompt_ids(self, name: str, config: ModelConfig) -> list[np.ndarray]:
        """Return the soft prompts that a task is asked with, as ids: most often one, of no ids."""
        return [config.prompt(prompt) for prompt in self.prompts or (name,)]

    def inputs(self, name: str, examples: Sequence[Example], config: ModelConfig) -> list[np.ndarray]:
        """Return the inputs of a task's examples with its soft prompt before them; with several prompts, all
        with the first, then all with the next.
        """
        prompts = self.prompt_ids(name, config)
        return [
            self.cut(np.concatenate([prompt, example.inputs])) for prompt in prompts for example in examples
        ]

    def ranked(
        self, name: str, examples: Sequence[Example], *model: Any
    ) -> tuple[list[str], list[np.ndarray]]:
        """Predict the most probable option of each example; return the log-probabilities of all too, of
        several prompts their means.
        """
        inputs = self.inputs(name, examples, model[0])
        voters = len(inputs) // max(1, len(examples))
        options = [example.option_tokens for example in examples] * voters
        questions = list(map(Question, inputs, options))
        label = f'ranking {name}'
        number = sum(len(question.options) for question in questions)
        with progress_bar(label, number, 'options') as advance, self.cache.open(name) as kept:
            scores = rank.score(
                *model, questions, self.config.tokens_per_batch, advance, namer(name, examples), kept=kept
            )
        best = list(map(rank.best, questions, scores))
        means = [np.mean(scores[number :: len(examples)], axis=0) for number in range(len(examples))]
        predictions = [
            example.options[vote(best[number :: len(examples)], means[number])]
            for number, example in enumerate(examples)
        ]
        return predictions, means

    def generated(self, name: str, examples: Sequence[Example], *model: Any) -> list[str]:
        """Predict by decoding."""
        return [self.vocabulary.decode(tokens) for tokens in self.decoded(name, examples, *model)]

    def decoded(self, name: str, examples: Sequence[Example], *model: Any) -> list[np.ndarray]:
        """Decode an answer to each example; of several prompts, that which most of them give."""
        length = DEFAULT_TARGET_LENGTH if self.feature_lengths is None else self.feature_lengths['targets']
        settings = self.config.decoding or Decoding(max_length=length)
        inputs = self.inputs(name, examples, model[0])
        label = f'answering {name}'
        with progress_bar(label, len(inputs), 'inputs') as advance, self.cache.open(name) as kept:
            answers = generate.generate(
                *model,
                inputs,
                settings,
                self.vocabulary.eos_id,
                self.config.tokens_per_batch,
                advance,
                namer(name, examples),
                kept,
            )
        chosen = []
        for number in range(len(examples)):
            given = answers[number :: len(examples)]
            keys = [tokens.tobytes() for tokens in given]
            chosen.append(given[keys.index(collections.Counter(keys).most_common(1)[0][0])])
        return chosen

    def by_own_metrics(self, task: Any, examples: Sequence[Example], *model: Any) -> OwnScores:
        """Score a SeqIO task with its own metrics: decode answers, or score the targets, or both, as they
        need.
        """
        needed = {metric.needs for metric in seqio_metrics.metrics_of(task)}
        answers = self.decoded(task.name, examples, *model) if 'PREDICTION' in needed else None
        log_probs = self.target_scores(task.name, examples, *model) if 'SCORE' in needed else None
        return seqio_metrics.score(task, examples, answers, log_probs)

    def target_scores(self, name: str, examples: Sequence[Example], *model: Any) -> np.ndarray:
        """Compute the log-probability of each target, cut as in training: float32[N]; of several prompts, the
        mean.
        """
        longest = None if self.feature_lengths is None else self.feature_lengths['targets']
        inputs = self.inputs(name, examples, model[0])
        targets = [[example.targets[:longest]] for example in examples] * (len(inputs) // len(examples))
        questions = list(map(Question, inputs, targets))
        label = f'scoring {name}'
        with progress_bar(label, len(questions), 'targets') as advance, self.cache.open(name) as kept:
            scores = rank.score(
                *model, questions, self.config.tokens_per_batch, advance, namer(name, examples), kept=kept
            )
        return np.mean(np.concatenate(scores).reshape(-1, len(examples)), axis=0)

    def attention_notes(self, config: ModelConfig, params: models.Params) -> list[str]:
        """Return a note for each task that says which prompts an `Attempt` mixed for it, on the mean of its
        examples.
        """
        if not isinstance(config.adapter, Attempt):
            return []
        names = (*config.adapter.sources, 'its own')
        notes = []
        for name in self.splits:
            inputs = self.inputs(name, self.examples(name), config)
            means = np.mean(generate.attended(config, params, inputs, self.config.tokens_per_batch), axis=0)
            shares = ', '.join(f'{each} {share:.3f}' for each, share in zip(names, means, strict=True))
            notes.append(f'The prompt of {name} is mixed of {shares}.')
        return notes

    def notes(self, config: ModelConfig) -> list[str]:
        """Return a note for each task of which some inputs, soft prompts included, are longer than what the
        model reads, or some rows lack options or have options that are the same tokens.

        Args:
            config: the model's.
        """
        notes = []
        for name, split in self.splits.items():
            longest = np.inf if self.feature_lengths is None else self.feature_lengths['inputs']
            prompt = max(map(len, self.prompt_ids(name, config)))
            share = float(np.mean(split.lengths[:, 0] + prompt > longest))
            if share > 0:
                notes.append(
                    f'{share:.1%} of the inputs of {name} are longer than {longest} tokens'
                    + (f', {prompt} of a soft prompt among them,' if prompt else '')
                    + ' and were cut.'
                )
            if seqio_metrics.get_seqio_task(name) is None:
                notes += option_notes(name, list(split.examples()))
        return [*notes, *extraction_notes(self.splits)]


def namer(name: str, examples: Sequence[Example]) -> Callable[[int], str]:
    """Return a function that names the answer to an example, given its index."""
    return lambda number: f'an answer to row {examples[number % len(examples)].row} of {name}'


def vote(choices: Sequence[int], means: np.ndarray) -> int:
    """Return the option that most voters choose; of several, the more probable one on the mean.

    Args:
        choices: the option of each voter.
        means: of the voters' log-probabilities, by option.
    """
    votes = collections.Counter(choices)
    return max(votes, key=lambda option: (votes[option], means[option]))


def askable(examples: Sequence[Example]) -> list[Example]:
    """Leave out the examples without options where others have some: an answer that is chosen and one that is
    written cannot be averaged.
    """
    with_options = [example for example in examples if example.options]
    return with_options or list(examples)


def left_out_notes(name: str, examples: Sequence[Example]) -> list[str]:
    """Return a note where rows of a task are left out."""
    rows = {example.row for example in examples}
    left_out = len(rows - {example.row for example in askable(examples)})
    why = 'without options were left out, since others have some'
    return [f'Rows of {name} {why}: {left_out:,} of {len(rows):,}.'] if left_out else []


def option_notes(name: str, examples: Sequence[Example]) -> list[str]:
    """Return notes where rows of a task are left out, or have options that a model cannot tell apart."""
    rows = {example.row for example in examples}
    notes = left_out_notes(name, examples)
    if same := {example.row for example in examples if has_same_tokens(example)}:
        notes.append(
            f'Rows of {name} have options that are the same tokens, which no model can tell apart; the first '
            f'of them is taken: {len(same):,} of {len(rows):,}.'
        )
    return notes


def extraction_notes(names: Iterable[str]) -> list[str]:
    """Return a note for each rule by which answers are taken from what the model writes."""
    rules: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name in names:
        spec = registry.find_spec(name)
        if isinstance(spec, specs.DatasetSpec) and (spec.extract or spec.stop):
            rules.setdefault((spec.extract, spec.stop), []).append(name)
    notes = []
    for (extract, stop), tasks in rules.items():
        until = f' before {" or ".join(map(repr, stop))}' if stop else ''
        what = f'the last match of {extract!r} in ' if extract else ''
        notes.append(f'Scored is {what}what the model writes{until}: of {", ".join(tasks)}.')
    return notes


def has_same_tokens(example: Example) -> bool:
    """Return whether two options of an example are the same tokens."""
    return len({tuple(tokens.tolist()) for tokens in example.option_tokens}) < len(example.option_tokens)


def metric_of(name: str) -> Metric:
    """Return a task's metric: its data set's, or accuracy of one that has none, whose answers may be
    anything.
    """
    return metrics.get_metric(getattr(registry.find_spec(name), 'metric', 'accuracy'))


def groups_of(examples: Sequence[Example]) -> list[tuple[int, str]] | None:
    """Return which examples are right only together: those of a group that the same template asks; None where
    each counts alone.
    """
    return (
        [(example.template, example.group) for example in examples]
        if any(example.group for example in examples)
        else None
    )


def answers_of(example: Example, vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the texts that count as right; the target where the example names none."""
    return example.answers or (vocabulary.decode(example.targets),)


def score_task(
    name: str,
    method: str,
    examples: Sequence[Example],
    predictions: Sequence[str],
    vocabulary: Vocabulary,
    templates: bool = True,
    metric: Metric | None = None,
) -> TaskScores:
    """Count what a metric, by default the task's own, counts in each prediction."""
    metric = metric or metric_of(name)
    answers = [answers_of(example, vocabulary) for example in examples]
    found = [read_answer(name, text) for text in predictions] if method == 'generate' else predictions
    counts = metric.counts(found, answers, groups_of(examples))
    where, keys = places(examples, templates), keys_of(examples)
    return TaskScores(name, metric, method, *where, counts, tuple(predictions), keys=keys)


def keys_of(examples: Sequence[Example]) -> np.ndarray:
    """Return a hash of the options and right answers of each example as its data set has them, uint32[N]."""
    return np.array([NO_KEY if example.setting else key_of(example) for example in examples], np.uint32)


def key_of(example: Example) -> int:
    """Return a hash of an example's options and right answers, in whatever order."""
    known = [sorted(example.options), sorted(example.answers)]
    return zlib.crc32(repr(known).encode()) if example.answers else int(NO_KEY)


def read_answer(name: str, text: str) -> str:
    """Return the answer in what a model wrote for a task: all, but where its data set says otherwise."""
    spec = registry.find_spec(name)
    return spec.read_answer(text) if isinstance(spec, specs.DatasetSpec) else text


def places(examples: Sequence[Example], templates: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and templates of examples; the templates are -1 where a baseline reads none."""
    rows = np.array([example.row for example in examples], np.int64)
    return rows, np.array([example.template if templates else -1 for example in examples], np.int64)


def sample_places(scored: TaskScores | OwnScores, count: int = SAMPLES) -> set[int]:
    """Choose examples to show, spread evenly over a task's rows, each with another template: their places."""
    rows, templates = np.unique(scored.rows), np.unique(scored.templates)
    count = min(count, len(rows))
    evenly = ((np.arange(count) + 0.5) * len(rows) / count).astype(int)
    wanted = {(rows[at], templates[number * 3 % len(templates)]) for number, at in enumerate(evenly)}
    asked = zip(scored.rows, scored.templates, strict=True)
    return {place for place, key in enumerate(asked) if key in wanted}


def records(
    scored: TaskScores | OwnScores,
    examples: Sequence[Example],
    vocabulary: Vocabulary,
    places: Container[int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Write out what a system was asked and what it answered, an example after the other, as values of JSON.

    Args:
        scored: the N scores of one task.
        examples: the N examples, as the system read them.
        vocabulary: that of the examples.
        places: which of the examples to write out; None for all.

    Yields:
        `task`, `row`, `template` and the number of exemplars, `shots`; of a prompt mix `setting` and `form`,
        how it is asked and the options are listed; `inputs`, null of a rule that reads none; `answers`;
        `prediction`, null where a rule averages over several; `extracted`, what is scored of the prediction,
        where that is not all. With options also `options` and, of a model, their
        log-probabilities `scores`; for a SeqIO metric that needs it the target's, `score`. `values` has the
        scores of this example alone, for metrics that are means over examples.
    """
    metric = scored.metric if isinstance(scored, TaskScores) else None
    names = metric.names if metric and metric.score is means else ('accuracy',)
    reads = scored.method not in RULES
    for place, example in enumerate(examples):
        if places is not None and place not in places:
            continue
        record: dict[str, Any] = {
            'task': scored.task,
            'row': example.row,
            'template': example.template if reads and example.template >= 0 else None,
            'shots': example.shots if reads else 0,
            **({'setting': example.setting, 'form': example.form} if reads and example.setting else {}),
            'inputs': vocabulary.decode_inputs(example.inputs) if reads else None,
        }
        if example.options:
            record['options'] = list(example.options)
        record['answers'] = list(answers_of(example, vocabulary))
        record['prediction'] = scored.predictions[place] if scored.predictions else None
        if scored.method == 'generate' and record['prediction'] is not None:
            found = read_answer(scored.task, record['prediction'])
            record |= {'extracted': found} if found != record['prediction'] else {}
        if isinstance(scored, OwnScores) and len(scored.log_probs):
            record['score'] = round(float(scored.log_probs[place]), DIGITS)
        if isinstance(scored, TaskScores) and scored.option_scores:
            record['scores'] = [round(float(score), DIGITS) for score in scored.option_scores[place]]
        alone = metric.scores(scored.counts[place]) if metric else {}
        if values := {name: alone[name] for name in names if name in alone}:
            record['values'] = values
        yield record


def keep_predictions(
    folder: pathlib.Path,
    wanted: bool,
    scores: Mapping[str, TaskScores | OwnScores],
    write_out: Callable[[TaskScores | OwnScores], Iterator[dict[str, Any]]],
) -> None:
    """Write what a system was asked and answered beside its results, or remove what earlier ones left.

    Args:
        folder: that of the results.
        wanted: whether predictions are kept.
        scores: the scores of each task.
        write_out: gives the records of a task's scores; see `records`.
    """
    if wanted:
        predictions.write(folder, {task: write_out(scored) for task, scored in scores.items()})
    else:
        predictions.remove(folder)
