"""Baselines without a model: the most frequent training answer, and chance."""

from collections.abc import Callable, Sequence

import numpy as np

from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval.evaluator import answers_of, askable, groups_of, keys_of, metric_of, places
from flanlite.report.scores import TaskScores

TRAINING_ANSWERS = 5_000


def training_answers(train: CachedSplit, vocabulary: Vocabulary) -> list[str]:
    """Return at most `TRAINING_ANSWERS` answers, evenly spread over a training split, since many files are
    sorted.

    Args:
        train: the training split in the style `fields`, whose targets are the bare answers.
        vocabulary: that of the split.
    """
    indices = np.unique(np.linspace(0, train.num_examples - 1, TRAINING_ANSWERS).astype(int))
    return [vocabulary.decode(train.read(index).targets) for index in indices.tolist()]


def majority(name: str, test: CachedSplit, answers: Sequence[str], vocabulary: Vocabulary) -> TaskScores:
    """Score the rule that always gives the most frequent answer; a row whose options lack it counts as
    chance.

    Args:
        name: the task.
        test: its evaluation split.
        answers: training answers.
        vocabulary: that of the split.
    """
    texts, counts = np.unique(np.array(answers, dtype=object), return_counts=True)
    commonest = str(texts[np.argmax(counts)])

    def rule(example: Example) -> Sequence[str]:
        return (commonest,) if commonest in example.options or not example.options else example.options

    return by_rule(name, 'majority', test, vocabulary, rule)


def chance(name: str, test: CachedSplit, bare: CachedSplit | None, vocabulary: Vocabulary) -> TaskScores:
    """Score a random option (its expected score), or, where there are no options, a copy of the input's bare
    fields.

    Args:
        name: the task.
        test: its evaluation split.
        bare: the same rows in the style `fields`; needed where there are no options.
        vocabulary: that of both splits.
    """
    copies = (
        {example.row: vocabulary.decode_inputs(example.inputs) for example in bare.examples()} if bare else {}
    )
    return by_rule(
        name, 'chance', test, vocabulary, lambda example: example.options or (copies[example.row],)
    )


def by_rule(
    name: str,
    method: str,
    test: CachedSplit,
    vocabulary: Vocabulary,
    rule: Callable[[Example], Sequence[str]],
) -> TaskScores:
    """Score a rule that reads no template; the counts of a row are the mean over the texts that the rule
    gives for it.
    """
    examples = asked(test)
    metric = metric_of(name)
    texts = [rule(example) for example in examples]
    answers = [answers_of(example, vocabulary) for example in examples]
    counts = metric.counts_alone(
        [text for each in texts for text in each],
        [right for each, right in zip(texts, answers, strict=True) for _ in each],
    )
    starts = np.cumsum([len(each) for each in texts])[:-1]
    counts = np.array([part.mean(axis=0) for part in np.split(counts, starts)])
    counts = metric.with_groups(counts, groups_of(examples))
    predictions = tuple(each[0] if len(each) == 1 else None for each in texts)
    where = places(examples, templates=False)
    return TaskScores(name, metric, method, *where, counts, predictions, keys=keys_of(examples))


def asked(test: CachedSplit) -> list[Example]:
    """Return the examples that a rule answers: the first of each row that a model is asked."""
    every = askable(list(test.examples()))
    return list({example.row: example for example in reversed(every)}.values())[::-1]
