"""The class of metrics: a few counts for each example, and scores that are functions of their sums.

A score can therefore be computed for any subset of the examples that were counted together, and resampled,
without reading a text again. All scores are percentages, from 0 to 100. Shapes: N examples, K counts.
"""

import dataclasses
from collections.abc import Callable, Hashable, Sequence

import numpy as np


def means(sums_K: np.ndarray) -> np.ndarray:
    """Divide sums [..., K] by their last one, the number of examples, and return percentages [..., K - 1]."""
    return 100 * ratio(sums_K[..., :-1], sums_K[..., -1:])


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide element by element; where the denominator is 0 the result is nan, without a warning."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)


@dataclasses.dataclass(frozen=True)
class Metric:
    """The counts to take of one example, and the scores that follow from their sums.

        Metric('brevity', ('brevity',), lambda prediction, answers: (len(prediction) <= 20, 1))

    Args:
        name: what results call the metric.
        names: the names of the scores; the first is the data set's main score.
        count: a function of (prediction, acceptable answers) that returns the counts of one example.
        score: a function from sums [..., K] to scores in percent [..., len(names)]; a score over no examples
            is nan. By default the sums divided by the last of them, which should then count the examples.
        classes: the answers that are counted apart; a data set's options must have them.
        grouped: whether whole groups of examples are scored too (MultiRC's questions). Two more counts are
            then appended to those of `count`, which must end with (right, 1), as the counts of `count_equal`
            do.
        together: a function that turns the counts of N examples into [N, K] where they depend on all
            examples, such as moments about a common centre; None where they do not.

    Raises:
        ValueError: the names are not a tuple of different texts, or `count` is no function.
    """

    name: str
    names: tuple[str, ...]
    count: Callable[[str, Sequence[str]], Sequence[float]]
    score: Callable[[np.ndarray], np.ndarray] = means
    classes: tuple[str, ...] = ()
    grouped: bool = False
    together: Callable[[np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not callable(self.count):
            raise ValueError(
                f'got Metric({self.name!r}, {self.names!r}, {self.count!r}); expected a name, the '
                'names of its scores, and a function of (prediction, answers)'
            )
        if (
            not isinstance(self.names, tuple)
            or not all(isinstance(name, str) for name in self.names)
            or not 0 < len(set(self.names)) == len(self.names)
        ):
            raise ValueError(
                f'the metric {self.name!r} has names={self.names!r}; expected a tuple of different texts'
            )

    def check_options(self, options: Sequence[str]) -> None:
        """Raise a `ValueError` where options, if there are some, lack an answer that is counted apart."""
        if options and (missing := set(self.classes) - set(options)):
            raise ValueError(
                f'the metric {self.name!r} counts the answers {", ".join(self.classes)}, but the options are '
                f'{tuple(options)}; expected {", ".join(sorted(missing))} among them, or another metric'
            )

    def check_counts(self, answers: Sequence[str]) -> None:
        """Score one of the right answers to an example, before a model is asked for its own; a `ValueError`
        where the metric cannot.
        """
        self.scores(self.counts(answers[:1], [answers]).sum(axis=0))

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
            ValueError: predictions and answers differ in number, or the metric cannot count an example.
        """
        return self.with_groups(self.counts_alone(predictions, answers), groups)

    def counts_alone(self, predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """Count every example as `counts` does, but no groups: float64[N, K]. Sums of rows of one call belong
        together; those of two calls may not be added.

        Raises:
            ValueError: predictions and answers differ in number, or the metric cannot count an example.
        """
        if len(predictions) != len(answers):
            raise ValueError(
                f'got {len(predictions)} predictions for {len(answers)} lists of answers; expected as many'
            )
        if len(predictions) == 0:
            return self.counts_alone([''], [['']])[:0]
        counted = [self.count_one(*pair) for pair in zip(predictions, answers, strict=True)]
        if len({len(counts) for counts in counted}) > 1:
            raise ValueError(
                f'the metric {self.name!r} gave {counted[0].tolist()} for {predictions[0]!r}, and another '
                'number of counts for others; expected as many for each prediction'
            )
        return self.together(np.array(counted)) if self.together else np.array(counted)

    def count_one(self, prediction: str, answers: Sequence[str]) -> np.ndarray:
        """Count one example: float64[K]; a `ValueError` that names the metric and the prediction where that
        fails, or a count is not finite.
        """
        try:
            counts = np.array(self.count(prediction, answers), np.float64)
        except Exception as error:  # whatever a user's function raises
            raise ValueError(
                f'the metric {self.name!r} fails on the prediction {prediction[:80]!r}: '
                f'{type(error).__name__}: {error}'
            ) from error
        if counts.ndim != 1 or not len(counts) or not np.isfinite(counts).all():
            raise ValueError(
                f'the metric {self.name!r} gave {counts.tolist()} for the prediction {prediction[:80]!r}; '
                'expected a few finite counts'
            )
        return counts

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
        """Return the scores of one vector of sums, by name; a `ValueError` where there are not as many as
        names.
        """
        found = self.score(sums_K)
        if found.shape != (len(self.names),):
            raise ValueError(
                f'the metric {self.name!r} gave {found.tolist()} from the sums {sums_K.tolist()}; expected '
                f'the scores {", ".join(self.names)}'
            )
        return dict(zip(self.names, found.tolist(), strict=True))
