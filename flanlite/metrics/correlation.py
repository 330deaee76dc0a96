"""Metrics that correlate predicted numbers with the right ones, from moments and tables of pairs."""

from collections.abc import Sequence

import numpy as np

UNPARSED_NUMBER = -1.0  # the value of a text that is not a number, as in T5's evaluation
HIGHEST_RATING = 5  # of STS-B; the lowest is 0
ROUNDING = 1e-12  # the part of a sum of squares below which a variance is an error of rounding


def parse_number(text: str) -> float:
    """Return the number that a text holds, or -1 where it holds none."""
    try:
        number = float(text)
    except ValueError:
        return UNPARSED_NUMBER
    return number if np.isfinite(number) else UNPARSED_NUMBER


def count_numbers(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Return the predicted number x and the right one y, which is the first answer."""
    return parse_number(prediction), parse_number(answers[0]) if answers else UNPARSED_NUMBER


def moments_about_the_middle(numbers_NK: np.ndarray) -> np.ndarray:
    """Turn the first two columns, x and y, into the moments (x, y, x², y², xy, 1) of each example; further
    columns stay.

    Both are first taken from their median over all examples, and divided by the largest distance from it.
    A correlation does not change with that, but sums of squares of numbers far from 0 would leave nothing of
    how they differ. The (upper) median, unlike the mean, is one of the numbers, so that numbers which are
    all equal are exactly 0. A power of two, which rounds nothing, first brings all below 1, since the
    difference of two large numbers may not be finite.
    """
    pairs_N2 = numbers_NK[:, :2]
    pairs_N2 = np.ldexp(pairs_N2, -np.frexp(np.abs(pairs_N2).max(axis=0))[1])
    offsets_N2 = pairs_N2 - np.sort(pairs_N2, axis=0)[len(pairs_N2) // 2]
    reach = np.abs(offsets_N2).max(axis=0)
    x, y = (offsets_N2 / np.where(reach > 0, reach, 1.0)).T
    return np.column_stack([x, y, x * x, y * y, x * y, np.ones(len(x)), numbers_NK[:, 2:]])


def pearson(sums_K: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation from the sums of moments about a centre [..., 6]: [..., 1]. Where either
    side does not vary, it is 0.
    """
    x, y, xx, yy, xy, count = np.moveaxis(np.asarray(sums_K, np.float64), -1, 0)
    covariance = xy * count - x * y
    spreads = [
        np.where(varies, np.sqrt(np.where(varies, spread, 0.0)), np.inf)
        for square, spread in ((xx * count, xx * count - x * x), (yy * count, yy * count - y * y))
        for varies in [spread > ROUNDING * square]
    ]
    correlation = np.clip(covariance / spreads[0] / spreads[1], -1.0, 1.0)
    return 100 * np.where(count > 0, correlation, np.nan)[..., None]


def count_ratings(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Return the numbers of `count_numbers`, then a table that has a 1 at the pair of ratings to which the
    two numbers round.

    The table has a row for each predicted rating and a column for each right one: below 0 (which includes
    texts that are no number), then 0 to `HIGHEST_RATING`.
    """
    numbers = count_numbers(prediction, answers)
    table = np.zeros((HIGHEST_RATING + 2, HIGHEST_RATING + 2))
    table[tuple(min(max(round(number), -1), HIGHEST_RATING) + 1 for number in numbers)] = 1
    return *numbers, *table.flat


def pearson_and_spearman(sums_K: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of the numbers, from their moments, and Spearman's of the rounded ratings,
    from the table: [..., 2].

    Spearman's correlation is Pearson's of the ranks, where equal ratings share their mean rank.
    """
    table = sums_K[..., 6:].reshape(*sums_K.shape[:-1], HIGHEST_RATING + 2, HIGHEST_RATING + 2)
    count = table.sum(axis=(-2, -1))
    totals = [table.sum(axis=-1), table.sum(axis=-2)]
    # Mean ranks, centred at 0.
    x, y = (np.cumsum(total, axis=-1) - total / 2 - count[..., None] / 2 for total in totals)
    sums = [
        (total * rank**power).sum(axis=-1)
        for power in (1, 2)
        for total, rank in zip(totals, (x, y), strict=True)
    ]
    moments = np.stack([*sums, np.einsum('...xy,...x,...y->...', table, x, y), count], axis=-1)
    return np.concatenate([pearson(sums_K[..., :6]), pearson(moments)], axis=-1)


def weighted_correlations(x_N: np.ndarray, y_N: np.ndarray, weights_SN: np.ndarray) -> np.ndarray:
    """Return Pearson's and Spearman's correlation of N pairs of numbers with each of S sets of weights, from
    -1 to 1: float64[S, 2]. Where either side does not vary, it is 0; without a pair, nan.

    A weight says how many times a pair is there.
    """
    moments_N6 = moments_about_the_middle(np.column_stack([x_N, y_N]))
    ranks = []
    for values_N in (x_N, y_N):
        below_NN, same_NN = (
            compared(values_N[:, None], values_N[None]).astype(float) for compared in (np.less, np.equal)
        )
        middle_S1 = weights_SN.sum(axis=1, keepdims=True) / 2
        ranks.append(weights_SN @ (below_NN + same_NN / 2) - middle_S1)  # equal ones share their mean rank
    x, y = ranks
    of_ranks_S6N = np.stack([x, y, x * x, y * y, x * y, np.ones_like(x)], axis=1)
    sums = [weights_SN @ moments_N6, np.einsum('SN,SKN->SK', weights_SN, of_ranks_S6N)]
    return np.concatenate([pearson(each) for each in sums], axis=1) / 100
