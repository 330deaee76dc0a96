"""Metrics of answers that are one of a few classes: equal or not, and F1 over the classes."""

import contextlib
import json
from collections.abc import Callable, Sequence

import numpy as np

from flanlite.metrics.metric import ratio


def count_equal(prediction: str, answers: Sequence[str]) -> tuple[float, float]:
    """Return (right, 1): whether the prediction equals one of the answers, apart from white space around
    it.
    """
    return float(prediction.strip() in {answer.strip() for answer in answers}), 1.0


def graded(option: str, score: float) -> str:
    """Write an answer that is right in part, for `count_grade`: a text with what it is worth, from 0 to 1."""
    return json.dumps([option, score])


def count_grade(prediction: str, answers: Sequence[str]) -> tuple[float, float]:
    """Return (what the prediction is worth, 1): that of its `graded` answer, or whether it equals one."""
    if prediction in answers:  # blanks count: options may differ in them alone
        return 1.0, 1.0
    for answer in answers:
        with contextlib.suppress(ValueError, TypeError):
            option, score = json.loads(answer)
            if option == prediction:
                return float(score), 1.0
    return 0.0, 1.0


def count_classes(classes: Sequence[str]) -> Callable[[str, Sequence[str]], Sequence[float]]:
    """Make a function that counts (hits, predicted, right) for each class, then what `count_equal` counts."""

    def count(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
        predicted, right = prediction.strip(), {answer.strip() for answer in answers}
        triples = [
            (predicted == name and name in right, predicted == name, name in right) for name in classes
        ]
        return *(float(value) for triple in triples for value in triple), *count_equal(prediction, answers)

    return count


def count_yes(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Return (hits, predicted, right) of the class "yes", then what `count_equal` counts.

    As in T5, a prediction that is neither "yes" nor "no" counts as the wrong one of the two.
    """
    predicted, right = prediction.strip(), 'yes' in {answer.strip() for answer in answers}
    says_yes = predicted == 'yes' or (predicted != 'no' and not right)
    return float(says_yes and right), float(says_yes), float(right), *count_equal(prediction, answers)


def accuracy_and_f1(sums_K: np.ndarray) -> np.ndarray:
    """Return accuracy, and F1 averaged over the classes: [..., 2].

    A class that is neither predicted nor right anywhere has the F1 0, as in scikit-learn.
    """
    hits, predicted, right = np.moveaxis(sums_K[..., :-2].reshape(*sums_K.shape[:-1], -1, 3), -1, 0)
    accuracy = ratio(sums_K[..., -2], sums_K[..., -1])
    f1 = np.nan_to_num(ratio(2 * hits, predicted + right)).mean(axis=-1)
    return 100 * np.stack([accuracy, np.where(sums_K[..., -1] > 0, f1, np.nan)], axis=-1)


def f1_match_and_accuracy(sums_K: np.ndarray) -> np.ndarray:
    """Return F1 as in `accuracy_and_f1`, the share of groups that are right as a whole, and accuracy: [...,
    3].
    """
    accuracy, f1 = np.moveaxis(accuracy_and_f1(sums_K[..., :-2]), -1, 0)
    return np.stack([f1, 100 * ratio(sums_K[..., -2], sums_K[..., -1]), accuracy], axis=-1)
