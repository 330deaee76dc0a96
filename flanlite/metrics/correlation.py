"""Metrics that correlate predicted numbers with the right ones, from moments and tables of pairs."""

from collections.abc import Sequence

import numpy as np

from flanlite.metrics.metric import ratio

UNPARSED_NUMBER = -1.0  # the value of a text that is not a number, as in T5's evaluation
HIGHEST_RATING = 5  # of STS-B; the lowest is 0


def parse_number(text: str) -> float:
    """Return the number that a text holds, or -1 where it holds none."""
    try:
        number = float(text)
    except ValueError:
        return UNPARSED_NUMBER
    return number if np.isfinite(number) else UNPARSED_NUMBER


def count_numbers(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Return the moments (x, y, x², y², xy, 1) of the predicted number x and the right one y, which is the
    first answer.
    """
    x, y = parse_number(prediction), parse_number(answers[0]) if answers else UNPARSED_NUMBER
    return x, y, x * x, y * y, x * y, 1.0


def pearson(sums_K: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation from the sums of moments [..., 6]: [..., 1]. Where either side does not
    vary, it is 0.
    """
    x, y, xx, yy, xy, count = np.moveaxis(np.asarray(sums_K, np.float64), -1, 0)
    covariance = xy * count - x * y
    spread = (xx * count - x * x) * (yy * count - y * y)
    correlation = ratio(covariance, np.sqrt(np.where(spread > 1e-9, spread, np.inf)))
    return 100 * np.where(count > 0, correlation, np.nan)[..., None]


def count_ratings(prediction: str, answers: Sequence[str]) -> tuple[float, ...]:
    """Return the moments of `count_numbers`, then a table that has a 1 at the pair of ratings to which the
    two numbers round.

    The table has a row for each predicted rating and a column for each right one: below 0 (which includes
    texts that are no number), then 0 to `HIGHEST_RATING`.
    """
    moments = count_numbers(prediction, answers)
    table = np.zeros((HIGHEST_RATING + 2, HIGHEST_RATING + 2))
    table[tuple(min(max(round(number), -1), HIGHEST_RATING) + 1 for number in moments[:2])] = 1
    return *moments, *table.flat


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
