"""What a system answered on a data set, read back from its predictions: which answers it takes for which, how
far the probabilities of its options can be trusted, and some of the questions.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flanlite.metrics.classification import count_grade
from flanlite.report import predictions

BINS = 15  # of probabilities, as `eval.variants` has them
CLASSES = 12  # answers that a confusion matrix has room for
OTHER = '(another text)'
QUESTIONS = 60  # kept of each data set


class Key(NamedTuple):
    """Which question a system was asked: systems that read the same text have the same one."""

    row: int
    template: int | None
    inputs: str


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a system answered on a data set.

    Args:
        asked: the number of answers.
        right: how many count as right.
        classes: the answers in the rows and columns of `confusion`; none where they are too many.
        confusion: int[L, L], answers by the right one (rows) and the one given (columns).
        by_place: whether the classes are the places of the options, since each row has options of its own.
        bins: float64[BINS, 3], of the answers whose option's probability lies in each bin: the sum of these
            probabilities, how many are right, how many there are.
        brier: the mean squared error of the options' probabilities, from 0 to 2; nan without options.
        questions: some of the questions, evenly over the rows, each with its record.
    """

    asked: int
    right: int
    classes: tuple[str, ...]
    confusion: np.ndarray
    by_place: bool
    bins: np.ndarray
    brier: float
    questions: Mapping[Key, Mapping[str, Any]]

    @property
    def ranked(self) -> bool:
        """Return whether the model gave probabilities of options."""
        return bool(self.bins[:, 2].sum())

    @property
    def calibration_error(self) -> float:
        """Return the expected calibration error in percent, over all answers; nan without options."""
        count = self.bins[:, 2].sum()
        return 100 * float(np.abs(self.bins[:, 0] - self.bins[:, 1]).sum() / count) if count else np.nan

    @property
    def confidence(self) -> float:
        """Return the mean probability of the options that were chosen, percent; nan without options."""
        count = self.bins[:, 2].sum()
        return 100 * float(self.bins[:, 0].sum() / count) if count else np.nan


def read(path: pathlib.Path) -> Answers:
    """Read the predictions of a system on a data set.

    Raises:
        ValueError: the file cannot be read, or lacks what predictions have.
    """
    at = path.stat()
    return read_once(path, at.st_mtime_ns, at.st_size)


@functools.lru_cache(maxsize=1024)
def read_once(path: pathlib.Path, changed: int, size: int) -> Answers:
    """Read predictions once as long as the file is the same: a sweep writes its report after each result."""
    del changed, size
    return of(list(predictions.read(path)))


def of(records: Sequence[Mapping[str, Any]]) -> Answers:
    """Look at all answers of a system on a data set; see `eval.evaluator.records`."""
    right = [is_right(record) for record in records]
    bins, errors = np.zeros((BINS, 3)), []
    for record in records:
        if probabilities := probabilities_of(record):
            best = int(np.argmax(probabilities))
            worth_K = worth_of(record)
            place = min(int(probabilities[best] * BINS), BINS - 1)
            bins[place] += probabilities[best], worth_K[best], 1
            most = max(worth_K.max(), np.finfo(float).tiny)
            errors.append(brier(np.array(probabilities), worth_K >= most))
    classes, confusion, by_place = confused(records, right)
    brier_score = float(np.mean(errors)) if errors else np.nan
    return Answers(len(records), sum(right), classes, confusion, by_place, bins, brier_score, some(records))


def is_right(record: Mapping[str, Any]) -> bool:
    """Return whether an answer has the full score, by the metric where it scores one answer alone."""
    values = record.get('values')
    return next(iter(values.values())) == 100 if values else answer(record) in record['answers']


def worth_of(record: Mapping[str, Any]) -> np.ndarray:
    """Return what each option is worth, from 0 to 1: float64[K]."""
    return np.array([count_grade(option, record['answers'])[0] for option in record['options']], np.float64)


def right_answers(record: Mapping[str, Any]) -> list[str]:
    """Return the texts that count as right: of options those that are worth most."""
    if not record.get('options'):
        return list(record['answers'])
    worth_K = worth_of(record)
    best = worth_K.max()
    return [
        option for option, worth in zip(record['options'], worth_K, strict=True) if best > 0 and worth == best
    ] or list(record['answers'])


def told_answers(record: Mapping[str, Any]) -> list[str]:
    """Return the texts that count as right, as a reader is told them: options that are right in part with
    what they are worth, the best first.
    """
    worth_K = worth_of(record) if record.get('options') else np.zeros(0)
    if not ((worth_K > 0) & (worth_K < 1)).any():
        return list(record['answers'])
    order = np.argsort(-worth_K, kind='stable')
    return [f'{record["options"][place]} ({worth_K[place]:g})' for place in order if worth_K[place] > 0]


def answer(record: Mapping[str, Any]) -> str | None:
    """Return what is scored of an answer; None where there is none."""
    return record['extracted' if 'extracted' in record else 'prediction']


def probabilities_of(record: Mapping[str, Any]) -> list[float]:
    """Return the probabilities of the options among each other; nothing where a model gave none."""
    scores = record.get('scores') or []
    if not scores or any(score is None for score in scores):
        return []
    exponents = np.exp(np.array(scores, np.float64) - max(scores))
    return (exponents / exponents.sum()).tolist()


def brier(probabilities_K: np.ndarray, right_K: np.ndarray) -> float:
    """Return the squared error of the probabilities of K options, from 0 to 2; right ones are one outcome."""
    wrong = np.square(probabilities_K[~right_K]).sum()
    return float((right_K.any() - probabilities_K[right_K].sum()) ** 2 + wrong)


def confused(
    records: Sequence[Mapping[str, Any]], right: Sequence[bool]
) -> tuple[tuple[str, ...], np.ndarray, bool]:
    """Count which answer was given for which: by the answers' texts where a data set has few, else by the
    places of the options; nothing where there are too many.

    Returns:
        The classes, int[L, L], and whether they are places.
    """
    given = [record for record in records if answer(record) is not None]
    options = dict.fromkeys(option for record in given for option in record.get('options', ()))
    texts = options or dict.fromkeys(record['answers'][0] for record in given if record['answers'])
    most = max((len(record.get('options', ())) for record in given), default=0)
    by_place = len(texts) > CLASSES
    if not texts or (by_place and not 1 < most <= CLASSES):
        return (), np.zeros((0, 0), int), False
    classes = [f'option {place + 1}' for place in range(most)] if by_place else list(texts)
    pairs = []
    for record, well in zip(records, right, strict=True):
        said = answer(record)
        if said is None or not record['answers']:
            continue
        true_ones = right_answers(record)
        true = said if well and said in true_ones else true_ones[0]
        if by_place:
            places = list(record.get('options', ()))
            true, said = (
                f'option {places.index(text) + 1}' if text in places else OTHER for text in (true, said)
            )
        pairs.append((true, said if said in texts or by_place else OTHER))
    classes += [OTHER] if any(OTHER in pair for pair in pairs) and OTHER not in classes else []
    place_of = {name: place for place, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), int)
    for true, said in pairs:
        if true in place_of:
            counts[place_of[true], place_of[said]] += 1
    return tuple(classes), counts, by_place


def some(records: Sequence[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    """Take some of the questions: evenly over the rows, one template after the other. Systems that were asked
    the same questions have the same ones here.
    """
    rows = sorted({record['row'] for record in records})
    templates = sorted({record['template'] for record in records if record['template'] is not None})
    if not templates:  # of rules, which read none
        return {}
    count = min(QUESTIONS, len(rows) * len(templates))
    wanted = {}
    for number in range(count):
        row = rows[int((number + 0.5) * len(rows) / count)]
        wanted[row, templates[number % len(templates)]] = number
    found = {
        wanted[record['row'], record['template']]: record
        for record in records
        if (record['row'], record['template']) in wanted
    }
    return {
        Key(record['row'], record['template'], record['inputs'] or ''): record
        for _, record in sorted(found.items())
    }
