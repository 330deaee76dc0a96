"""Metrics as sums over examples: every example gives a few numbers, and every score is a function of their sums.

So a score can be taken of any subset, merged over hosts and resampled without looking at a text again. All scores are percent, 0 to 100.
"""

import dataclasses
import functools
import re
import string
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

import numpy as np

BLEU_ORDER = 4
ROUGE_TYPES = ('rougeL', 'rouge1', 'rouge2')
UNPARSED_NUMBER = -1.0  # what T5's evaluation makes of a text that is no number
HIGHEST_RATING = 5  # of STS-B; the lowest is 0
PUNCTUATION = str.maketrans('', '', string.punctuation + '‘’´`“”')


@dataclasses.dataclass(frozen=True)
class Metric:
    """What to count in one example, and the scores that follow from the sums of the counts.

    Args:
        names: the scores' names; the first is the data set's headline.
        count: (prediction, acceptable answers) -> one example's counts, K numbers.
        score: sums [..., K] -> scores in percent [..., len(names)]; a score of nothing is nan.
        grouped: whether two more counts say which examples begin a group, and whether all of it is right; `count` then ends with
            (right, 1), as that of `count_equal`.
    """

    names: tuple[str, ...]
    count: Callable[[str, Sequence[str]], Sequence[float]]
    score: Callable[[np.ndarray], np.ndarray]
    grouped: bool = False

    def counts(
        self, predictions: Sequence[str], answers: Sequence[Sequence[str]], groups: Sequence[Hashable] | None = None
    ) -> np.ndarray:
        """Count every example: float64[N, K]. Without groups, a score of whole groups is nan."""
        if len(predictions) != len(answers):
            raise ValueError(f'got {len(predictions)} predictions for {len(answers)} lists of answers; expected as many')
        counted = np.array([self.count(*pair) for pair in zip(predictions, answers, strict=True)], np.float64)
        return self.with_groups(counted.reshape(len(predictions), -1), groups)

    def with_groups(self, counts_NK: np.ndarray, groups: Sequence[Hashable] | None) -> np.ndarray:
        """Append each group's (right, 1) to the counts of its first example, zeros to the others'; nothing where groups do not count.

        A group is right as a whole with the product of its examples' chances to be right, which are 0 or 1 unless a rule was scored.
        """
        if not self.grouped:
            return counts_NK
        whole = np.zeros((len(counts_NK), 2))
        first: dict[Hashable, int] = {}
        for place, group in enumerate(groups or ()):
            if first.setdefault(group, place) == place:
                whole[place] = 1.0
            whole[first[group], 0] *= counts_NK[place, -2]
        return np.concatenate([counts_NK, whole], axis=1)

    def scores(self, sums_K: np.ndarray) -> dict[str, float]:
        """Name the scores of one vector of sums."""
        return dict(zip(self.names, self.score(sums_K).tolist(), strict=True))


def means(sums_K: np.ndarray) -> np.ndarray:
    """Divide the sums by their last, the number of examples, into percent."""
    return 100 * ratio(sums_K[..., :-1], sums_K[..., -1:])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide; nothing by nothing is nan, without a warning."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


def count_equal(prediction: str, answers: Sequence[str]) -> tuple[float, float]:
    """Count a prediction that is one of the answers, but for white space around it."""
    return float(prediction.strip() in {answer.strip() for answer in answers}), 1.0


def count_classes(classes: Sequence[str]) -> Callable[[str, Sequence[str]], Sequence[float]]:
    """Make a counter of (hits, predicted, right) for each class, then of equal answers and examples."""

    def count(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
        predicted, right = prediction.strip(), {answer.strip() for answer in answers}
        triples = [(predicted == name and name in right, predicted == name, name in right) for name in classes]
        return *(float(value) for triple in triples for value in triple), *count_equal(prediction, answers)

    return count


def accuracy_and_f1(sums_K: np.ndarray) -> np.ndarray:
    """Score accuracy, and F1 averaged over the classes; a class that is neither predicted nor right counts as 0, as in scikit-learn."""
    hits, predicted, right = np.moveaxis(sums_K[..., :-2].reshape(*sums_K.shape[:-1], -1, 3), -1, 0)
    accuracy = ratio(sums_K[..., -2], sums_K[..., -1])
    f1 = np.nan_to_num(ratio(2 * hits, predicted + right)).mean(axis=-1)
    return 100 * np.stack([accuracy, np.where(sums_K[..., -1] > 0, f1, np.nan)], axis=-1)


def f1_match_and_accuracy(sums_K: np.ndarray) -> np.ndarray:
    """Score F1 as `accuracy_and_f1` does, then the share of groups that are right as a whole, then accuracy."""
    accuracy, f1 = np.moveaxis(accuracy_and_f1(sums_K[..., :-2]), -1, 0)
    return np.stack([f1, 100 * ratio(sums_K[..., -2], sums_K[..., -1]), accuracy], axis=-1)


def normalize(text: str) -> str:
    """Lower case, without punctuation, articles and extra white space, as SQuAD's and TriviaQA's scorers compare answers."""
    text = text.lower().translate(PUNCTUATION)
    return ' '.join(re.sub(r'\b(a|an|the)\b', ' ', text).split())


def token_f1(prediction: str, answer: str) -> float:
    """Measure the overlap of two texts' normalised words (SQuAD's F1)."""
    predicted, expected = normalize(prediction).split(), normalize(answer).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected))


def count_match_and_f1(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Count the best exact match after normalisation, and the best token F1, over the answers."""
    match = float(normalize(prediction) in {normalize(answer) for answer in answers})
    return match, max((token_f1(prediction, answer) for answer in answers), default=0.0), 1.0


def count_f1_and_match(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Count as `count_match_and_f1`, F1 first."""
    match, f1, one = count_match_and_f1(prediction, answers)
    return f1, match, one


@functools.cache
def rouge_scorer() -> object:
    """Make the ROUGE scorer once; its package takes a second to import."""
    from rouge_score import rouge_scorer as rouge

    return rouge.RougeScorer(ROUGE_TYPES)


def count_rouge(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Count the best ROUGE F-measures over the references, without stemming."""
    per_answer = [rouge_scorer().score(answer, prediction) for answer in answers]
    return *(max((scores[name].fmeasure for scores in per_answer), default=0.0) for name in ROUGE_TYPES), 1.0


@functools.cache
def bleu_scorer() -> object:
    """Make sacrebleu's default BLEU (13a tokens) once."""
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)


def count_bleu(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Count matching and all n-grams, and both lengths; an empty list of answers counts nothing."""
    if not answers:
        return (0.0,) * (2 * BLEU_ORDER + 2)
    score = bleu_scorer().sentence_score(prediction, list(answers))
    return *score.counts, *score.totals, score.sys_len, score.ref_len


def corpus_bleu(sums_K: np.ndarray) -> np.ndarray:
    """Score corpus BLEU as sacrebleu does: exponential smoothing of the orders that match nothing, brevity penalty."""
    correct, total = sums_K[..., :BLEU_ORDER], sums_K[..., BLEU_ORDER : 2 * BLEU_ORDER]
    system, reference = sums_K[..., -2], sums_K[..., -1]
    missed = (correct == 0) & (total > 0)
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), correct)
    logs = np.log(np.maximum(ratio(smoothed, total), 1e-300))
    penalty = np.where(system >= reference, 1.0, np.exp(np.minimum(0.0, 1 - ratio(reference, system))))
    scored = (total > 0).all(axis=-1) & (correct > 0).any(axis=-1)
    bleu = 100 * penalty * np.exp(np.where(scored[..., None], logs, 0.0).mean(axis=-1))
    return np.where(reference > 0, np.where(scored, bleu, 0.0), np.nan)[..., None]


def parse_number(text: str) -> float:
    """Read a number; a text that is none counts as -1."""
    try:
        number = float(text)
    except ValueError:
        return UNPARSED_NUMBER
    return number if np.isfinite(number) else UNPARSED_NUMBER


def count_numbers(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Count the moments of (predicted, right) numbers; the first answer is the right one."""
    x, y = parse_number(prediction), parse_number(answers[0]) if answers else UNPARSED_NUMBER
    return x, y, x * x, y * y, x * y, 1.0


def pearson(sums_K: np.ndarray) -> np.ndarray:
    """Correlate from the moments; without variance on either side the correlation counts as 0."""
    x, y, xx, yy, xy, count = np.moveaxis(np.asarray(sums_K, np.float64), -1, 0)
    covariance = xy * count - x * y
    spread = (xx * count - x * x) * (yy * count - y * y)
    correlation = ratio(covariance, np.sqrt(np.where(spread > 1e-9, spread, np.inf)))
    return 100 * np.where(count > 0, correlation, np.nan)[..., None]


def count_ratings(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Count the moments of numbers, and which pair of whole ratings (below 0 as one, no number among them) the two are nearest to."""
    moments = count_numbers(prediction, answers)
    table = np.zeros((HIGHEST_RATING + 2, HIGHEST_RATING + 2))
    table[tuple(min(max(round(number), -1), HIGHEST_RATING) + 1 for number in moments[:2])] = 1
    return *moments, *table.flat


def pearson_and_spearman(sums_K: np.ndarray) -> np.ndarray:
    """Correlate the numbers from their moments, and the ranks of the ratings, ties at their mean, from the table of pairs."""
    table = sums_K[..., 6:].reshape(*sums_K.shape[:-1], HIGHEST_RATING + 2, HIGHEST_RATING + 2)
    count = table.sum(axis=(-2, -1))
    totals = [table.sum(axis=-1), table.sum(axis=-2)]
    x, y = (np.cumsum(total, axis=-1) - total / 2 - count[..., None] / 2 for total in totals)  # mean ranks, from the middle one
    sums = [(total * rank**power).sum(axis=-1) for power in (1, 2) for total, rank in zip(totals, (x, y), strict=True)]
    moments = np.stack([*sums, np.einsum('...xy,...x,...y->...', table, x, y), count], axis=-1)
    return np.concatenate([pearson(sums_K[..., :6]), pearson(moments)], axis=-1)


def edit_distance(first: str, second: str) -> int:
    """Count the fewest character edits from one text to the other, a row of the table at a time."""
    ids = np.array([ord(character) for character in second], np.int64)
    ramp = np.arange(len(second) + 1)
    row = ramp.copy()
    for index, character in enumerate(first):
        best = np.minimum(row[1:] + 1, row[:-1] + (ids != ord(character)))
        row = np.minimum.accumulate(np.concatenate([[index + 1], best]) - ramp) + ramp
    return int(row[-1])


def count_similarity(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Count the best edit similarity (1 less distance over the longer length) and exact copies over the answers."""
    similarities = [1 - edit_distance(prediction, answer) / max(len(prediction), len(answer), 1) for answer in answers]
    return max(similarities, default=0.0), float(prediction in answers), 1.0


METRICS: dict[str, Metric] = {
    'accuracy': Metric(('accuracy',), count_equal, means),
    'accuracy_f1': Metric(('accuracy', 'f1'), count_classes(('yes',)), accuracy_and_f1),  # MRPC and QQP: F1 of "yes"
    'accuracy_mean_f1': Metric(('accuracy', 'f1'), count_classes(('yes', 'no', 'unclear')), accuracy_and_f1),  # CommitmentBank
    # MultiRC: F1 of "yes" over the answers of all questions, and exact match: the questions all of whose answers are judged right.
    'f1a': Metric(('f1a', 'exact_match', 'accuracy'), count_classes(('yes',)), f1_match_and_accuracy, grouped=True),
    'exact_match': Metric(('exact_match', 'f1'), count_match_and_f1, means),
    'f1': Metric(('f1', 'exact_match'), count_f1_and_match, means),
    'rouge': Metric(ROUGE_TYPES, count_rouge, means),
    'bleu': Metric(('bleu',), count_bleu, corpus_bleu),
    'pearson': Metric(('pearson',), count_numbers, pearson),
    'pearson_spearman': Metric(('pearson', 'spearman'), count_ratings, pearson_and_spearman),  # STS-B: ratings from 0 to 5
    'edit_distance': Metric(('edit_similarity', 'copied'), count_similarity, means),  # as a similarity, so that more is better
}


def get_metric(name: str) -> Metric:
    """Return a metric by its name; an unknown one is a `ValueError` that lists those there are."""
    if name not in METRICS:
        raise ValueError(f'unknown metric {name!r}; the metrics are {", ".join(METRICS)}')
    return METRICS[name]
