"""One model's scores on one task: per template, over templates, and with a bootstrap interval over the task's rows."""

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np

from flanlite.metrics import metrics
from flanlite.metrics.metric import ratio

RESAMPLES = 1_000
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """What one model answered to one task's examples, and what a metric counted in each answer.

    Args:
        task: the task's name.
        metric: a name in `metrics.METRICS`.
        method: `rank`, `generate`, or the rule of a baseline without a model.
        rows: int[N], the row of the data set that each example renders.
        templates: int[N], the template that rendered it; -1 where a baseline reads no template.
        counts: float64[N, K], what the metric counted.
        predictions: the N answers as text.
    """

    task: str
    metric: str
    method: str
    rows: np.ndarray
    templates: np.ndarray
    counts: np.ndarray
    predictions: tuple[str, ...] = ()

    def template_scores(self) -> dict[int, dict[str, float]]:
        """Score each template alone."""
        metric = metrics.get_metric(self.metric)
        return {int(t): metric.scores(self.counts[self.templates == t].sum(axis=0)) for t in np.unique(self.templates)}

    def sums(self) -> np.ndarray:
        """Lay the counts out by row and template: float64[R, P, K], zero where a row lacks a template."""
        row_ids, row = np.unique(self.rows, return_inverse=True)
        template_ids, template = np.unique(self.templates, return_inverse=True)
        sums_RPK = np.zeros((len(row_ids), len(template_ids), self.counts.shape[1]))
        np.add.at(sums_RPK, (row, template), self.counts)
        return sums_RPK

    def best_template(self) -> int:
        """Name the template with the best headline score."""
        scores = self.template_scores()
        return max(scores, key=lambda template: np.nan_to_num(scores[template][self.headline], nan=-np.inf))

    @property
    def headline(self) -> str:
        """Name the score that is summarized."""
        return metrics.get_metric(self.metric).names[0]

    def resampled_means(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Draw the rows with replacement, again and again: the headline's mean over templates in each draw, float64[resamples].

        All templates of a row are drawn together, so the interval speaks of other rows, not of other wordings.
        """
        sums_RPK = self.sums()
        rows, templates, count = sums_RPK.shape
        random = np.random.default_rng([seed, zlib.crc32(self.task.encode())])
        drawn = random.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float64)
        sums_SPK = (drawn @ sums_RPK.reshape(rows, -1)).reshape(resamples, templates, count)
        return nanmean(metrics.get_metric(self.metric).score(sums_SPK)[..., 0], axis=1)


@dataclasses.dataclass(frozen=True)
class OwnScores:
    """What a SeqIO task's own metrics say of one model, in their own units. They see all examples at once and know of no templates.

    Args:
        task: the task's name.
        metric: the names of its metrics.
        method: `generate`, `score` or both.
        rows: int[N], the row of each example.
        values: each score by its name; the first is the headline.
        resampled: float64[S], the headline on examples drawn with replacement; none where that was not to be had.
        predictions: the N answers as text, before they were postprocessed.
    """

    task: str
    metric: str
    method: str
    rows: np.ndarray
    values: dict[str, float]
    resampled: np.ndarray
    predictions: tuple[str, ...] = ()

    @property
    def templates(self) -> np.ndarray:
        """Return -1 for each example, as where no template is read."""
        return np.full(len(self.rows), -1)

    @property
    def headline(self) -> str:
        """Name the score that is summarized."""
        return next(iter(self.values))

    def template_scores(self) -> dict[int, dict[str, float]]:
        """Give the scores as those of no template."""
        return {-1: self.values}

    def resampled_means(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Repeat what was resampled, float64[resamples]; nan where nothing was."""
        del seed  # it was drawn when the metrics were at hand
        return np.resize(self.resampled, resamples) if len(self.resampled) else np.full(resamples, np.nan)


@dataclasses.dataclass(frozen=True)
class Summary:
    """A headline score over the templates: their mean, spread (nan of one) and quartiles, and a 95% interval over the rows.

    For a group of tasks each number is the mean of the tasks' numbers, and the interval that of the mean.
    """

    mean: float
    sd: float
    median: float
    q1: float
    q3: float
    low: float
    high: float


def nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """Average what is no nan; nan where nothing is left, without a warning."""
    valid = ~np.isnan(values)
    return ratio(np.where(valid, values, 0.0).sum(axis), valid.sum(axis))


def percentiles(values: np.ndarray, places: Sequence[float]) -> list[float]:
    """Return percentiles of what is no nan; nan where nothing is left, without a warning."""
    return [float(found) for found in np.nanpercentile(values, places)] if np.isfinite(values).any() else [np.nan] * len(places)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of resampled scores."""
    tail = 50 * (1 - CONFIDENCE)
    return tuple(percentiles(samples, [tail, 100 - tail]))


def summarize(scores: TaskScores | OwnScores, resamples: int = RESAMPLES, seed: int = 0) -> Summary:
    """Summarize one task's headline score over its templates and rows."""
    values = np.array([named[scores.headline] for named in scores.template_scores().values()])
    low, high = interval(scores.resampled_means(resamples, seed))
    sd = np.nanstd(values, ddof=1) if len(values) > 1 else np.nan
    return Summary(float(nanmean(values, axis=0)), float(sd), *percentiles(values, [50, 25, 75]), low, high)


def summarize_group(group: Sequence[TaskScores | OwnScores], resamples: int = RESAMPLES, seed: int = 0) -> Summary:
    """Average tasks, each with equal weight; the interval is that of the average, each task's rows drawn on their own."""
    each = [dataclasses.astuple(summarize(scores, resamples, seed)) for scores in group]
    mean, sd, median, q1, q3, _, _ = np.mean(each, axis=0).tolist()
    low, high = interval(np.mean([scores.resampled_means(resamples, seed) for scores in group], axis=0))
    return Summary(mean, sd, median, q1, q3, low, high)
