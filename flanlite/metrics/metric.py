"""The class of metrics: a few counts for each example, and scores that are functions of their sums.

A score can therefore be computed for any subset of the examples that were counted together, and resampled,
without reading a text again. All scores are percentages, from 0 to 100. Shapes: N examples, K counts.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metric:
    """The counts to take of one example, and the scores that follow from their sums.

    Args:
        names: the names of the scores; the first is the data set's main score.
        count: a function of (prediction, acceptable answers) that returns the counts of one example.
        score: a function from sums [..., K] to scores in percent [..., len(names)]; a score over no examples
            is nan.
        grouped: whether whole groups of examples are scored too (MultiRC's questions). Two more counts are
            then appended to those of `count`, which must end with (right, 1), as the counts of `count_equal`
            do.
        together: a function that turns the counts of N examples into [N, K] where they depend on all
            examples, such as moments about a common centre; None where they do not.
    """

    names: tuple[str, ...]
    count: Callable[[str, Sequence[str]], Sequence[float]]
    score: Callable[[np.ndarray], np.ndarray]
    grouped: bool = False
    together: Callable[[np.ndarray], np.ndarray] | None = None

    def counts(
        self,
        predictions: Sequence[str],
        answers: Sequence[Sequence[str]],
        groups: Sequence[Hashable] | None = None,
    ) -> np.ndarray:
        """Count every example.

        Args:
            predictions: N texts.
            answers: the acceptable answers to each of them.
            groups: the group of each example; without groups, a score of whole groups is nan.

        Returns:
            float64[N, K], with two more columns where the metric is grouped.

        Raises:
            ValueError: predictions and answers differ in number.
        """
        return self.with_groups(self.counts_alone(predictions, answers), groups)

    def counts_alone(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """Count every example as `counts` does, but no groups: float64[N, K]. Sums of rows of one call belong
        together; those of two calls may not be added.

        Raises:
            ValueError: predictions and answers differ in number.
        """
        if len(predictions) != len(answers):
            raise ValueError(
                f'got {len(predictions)} predictions for {len(answers)} lists of answers; expected as many'
            )
        counted = np.array([self.count(*pair) for pair in zip(predictions, answers, strict=True)], np.float64)
        counted = counted.reshape(len(predictions), -1)
        return self.together(counted) if self.together and len(counted) else counted

    def with_groups(self, counts_NK: np.ndarray, groups: Sequence[Hashable] | None) -> np.ndarray:
        """Append each group's (right, 1) to the counts of its first example, and (0, 0) to those of its other
        examples.

        The counts of a metric without groups are returned as they are. A group counts as right with the
        product of its examples' "right", which is 0 or 1 for a prediction. For a baseline that guesses at
        random it is the chance of being right.
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
        """Return the scores of one vector of sums, by name."""
        return dict(zip(self.names, self.score(sums_K).tolist(), strict=True))


def means(sums_K: np.ndarray) -> np.ndarray:
    """Divide sums [..., K] by their last one, the number of examples, and return percentages [..., K - 1]."""
    return 100 * ratio(sums_K[..., :-1], sums_K[..., -1:])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide element by element; where the denominator is 0 the result is nan, without a warning."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)
