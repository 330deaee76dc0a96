"""The scores of one system on one task: by template, over the templates, and with a bootstrap interval over
the task's rows; and the difference of two systems on the same tasks.

Letters in the names of arrays (`sums_RPK`): S resamples, R rows of the task, P templates (prompts), K counts
of the metric.
"""

import dataclasses
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from flanlite.metrics.metric import Metric, ratio

RESAMPLES = 1_000
NO_KEY = np.uint32(0)  # of a row that is not known by its answers
CONFIDENCE = 0.95
NORMAL_QUANTILE = 1.959964  # of that confidence, two-sided


@dataclasses.dataclass(frozen=True)
class Variant:
    """Another score of the answers of a `TaskScores`.

    Args:
        name: of the score.
        counts: float64[N, K], the K counts of each example.
        score: a function from their sums to [..., 1], in percent.
    """

    name: str
    counts: np.ndarray
    score: Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class TaskScores:
    """The answers of one system to the N examples of one task, and what the metric counted in each answer.

    Args:
        task: the task's name.
        metric: what counted; `metrics.METRICS` has those with a name.
        method: `rank`, `generate`, or the rule of a baseline without a model.
        rows: int[N], the row of the data set that each example renders.
        templates: int[N], the template that rendered it; -1 for a baseline that reads no template.
        counts: float64[N, K], the K counts of the metric; see `metrics.Metric`.
        predictions: the N answers as text; None where a rule averages over several.
        option_scores: the log-probabilities of the options of each of the N examples; empty where none were
            computed.
        variants: other scores, reported beside those of the metric.
        keys: uint32[N], a hash of the options and right answers of each example, whatever template asks it;
            `NO_KEY` where a template has others. By it two results tell that they were asked the same row.
    """

    task: str
    metric: Metric
    method: str
    rows: np.ndarray
    templates: np.ndarray
    counts: np.ndarray
    predictions: tuple[str | None, ...] = ()
    option_scores: tuple[np.ndarray, ...] = ()
    variants: tuple[Variant, ...] = ()
    keys: np.ndarray | None = None

    def row_keys(self) -> np.ndarray:
        """Return the key of each row, uint32[R]."""
        _, first = np.unique(self.rows, return_index=True)
        return np.full(len(first), NO_KEY) if self.keys is None else self.keys[first]

    def template_scores(self) -> dict[int, dict[str, float]]:
        """Return the scores of each template alone: {template: {name: percent}}."""
        found = {}
        for t in np.unique(self.templates):
            own = self.templates == t
            found[int(t)] = self.metric.scores(self.counts[own].sum(axis=0)) | {
                variant.name: float(variant.score(variant.counts[own].sum(axis=0))[0])
                for variant in self.variants
            }
        return found

    def sums(self) -> np.ndarray:
        """Return the counts by row and template, float64[R, P, K]; they are zero where a row lacks a
        template.
        """
        row_ids, row = np.unique(self.rows, return_inverse=True)
        template_ids, template = np.unique(self.templates, return_inverse=True)
        sums_RPK = np.zeros((len(row_ids), len(template_ids), self.counts.shape[1]))
        np.add.at(sums_RPK, (row, template), self.counts)
        return sums_RPK

    def best_template(self) -> int:
        """Return the template with the best headline score."""
        scores = self.template_scores()
        return max(scores, key=lambda template: np.nan_to_num(scores[template][self.headline], nan=-np.inf))

    @property
    def metric_name(self) -> str:
        """Return what results call the metric."""
        return self.metric.name

    @property
    def headline(self) -> str:
        """Return the name of the score that is summarized."""
        return self.metric.names[0]

    def resampled_means(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Return the headline score, averaged over the templates, of repeated draws of the rows with
        replacement: float64[resamples].

        All templates of a row are drawn together: the spread is that of other rows, not of other wordings.
        """
        sums_RPK = self.sums()
        rows, templates, count = sums_RPK.shape
        random = np.random.default_rng([seed, zlib.crc32(self.task.encode())])
        drawn = random.multinomial(rows, np.full(rows, 1 / rows), size=resamples).astype(np.float64)
        sums_SPK = (drawn @ sums_RPK.reshape(rows, -1)).reshape(resamples, templates, count)
        return nanmean(self.metric.score(sums_SPK)[..., 0], axis=1)


@dataclasses.dataclass(frozen=True)
class OwnScores:
    """The scores of one system by a SeqIO task's own metrics, in their own units. These read all examples at
    once, and no templates.

    Args:
        task: the task's name.
        metric_name: the names of its metrics.
        method: `generate`, `score` or both.
        rows: int[N], the row of the data set that each example renders.
        values: each score by its name; the first is the headline.
        resampled: float64[S], the headline on examples drawn with replacement; float64[0] where it could not
            be computed.
        predictions: the N answers as text, before they were postprocessed; empty where none were written.
        missing: a statement for each score that a metric gave as no finite number, or did not give.
        log_probs: float32[N], of the targets; float32[0] where no metric needs them.
    """

    task: str
    metric_name: str
    method: str
    rows: np.ndarray
    values: dict[str, float]
    resampled: np.ndarray
    predictions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    log_probs: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def templates(self) -> np.ndarray:
        """Return int[N] of -1: no template is read."""
        return np.full(len(self.rows), -1)

    @property
    def headline(self) -> str:
        """Return the name of the score that is summarized."""
        return next(iter(self.values))

    def template_scores(self) -> dict[int, dict[str, float]]:
        """Return the scores under -1, the index of no template."""
        return {-1: self.values}

    def resampled_means(self, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
        """Return `resampled`, repeated to float64[resamples]; nan where it is empty."""
        del seed  # `seqio_metrics.score` has drawn already, since only it can compute the metrics
        return np.resize(self.resampled, resamples) if len(self.resampled) else np.full(resamples, np.nan)


@dataclasses.dataclass(frozen=True)
class Summary:
    """A headline score, summarized; nan where there is no number.

    Of a group of tasks, each number but the interval is the mean of the tasks' numbers, and the interval is
    that of the mean.

    Args:
        mean: over the templates.
        sd: the standard deviation over the templates; nan with one template.
        median: over the templates.
        q1: the first quartile over the templates.
        q3: the third quartile over the templates.
        low: the lower end of the 95% interval over the rows.
        high: its upper end.
    """

    mean: float
    sd: float
    median: float
    q1: float
    q3: float
    low: float
    high: float


def nanmean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean without nan values; nan where all are nan, without a warning."""
    valid = ~np.isnan(values)
    return ratio(np.where(valid, values, 0.0).sum(axis), valid.sum(axis))


def percentiles(values: np.ndarray, places: Sequence[float]) -> list[float]:
    """Return percentiles without nan values; nan where all are nan, without a warning."""
    return (
        [float(found) for found in np.nanpercentile(values, places)]
        if np.isfinite(values).any()
        else [np.nan] * len(places)
    )


def interval(samples: np.ndarray) -> tuple[float, float]:
    """Return the (low, high) percentile interval of resampled scores that covers `CONFIDENCE`."""
    tail = 50 * (1 - CONFIDENCE)
    return tuple(percentiles(samples, [tail, 100 - tail]))


def over_templates(values: Sequence[float]) -> Summary:
    """Summarize the scores of a task's templates, without an interval."""
    array = np.array(values, np.float64)
    sd = float(np.nanstd(array, ddof=1)) if np.isfinite(array).sum() > 1 else np.nan
    mean = float(nanmean(array, axis=0))
    return Summary(mean, sd, *percentiles(array, [50, 25, 75]), low=np.nan, high=np.nan)


def summarize(scores: TaskScores | OwnScores, resamples: int = RESAMPLES, seed: int = 0) -> Summary:
    """Summarize one task's headline score over its templates and rows."""
    return summarize_group([scores], resamples, seed)


def summarize_group(
    group: Sequence[TaskScores | OwnScores], resamples: int = RESAMPLES, seed: int = 0
) -> Summary:
    """Average the summaries of tasks with equal weights; the interval is that of the average, with each
    task's rows drawn independently.
    """
    each = [
        over_templates([named[scores.headline] for named in scores.template_scores().values()])
        for scores in group
    ]
    mean, sd, median, q1, q3, _, _ = np.mean([dataclasses.astuple(one) for one in each], axis=0).tolist()
    drawn = [Resampled.draw(scores, resamples, seed) for scores in group]
    low, high = bounds(
        mean, np.mean([each.means for each in drawn], axis=0), [(each.below, each.above) for each in drawn]
    )
    return Summary(mean, sd, median, q1, q3, low, high)


@dataclasses.dataclass(frozen=True)
class Resampled:
    """The headline score of one system on one task, on draws of the task's rows. Two systems that were asked
    the same rows have the same draws, so that their difference is taken draw by draw.

    Args:
        rows: int[R], the distinct rows in order.
        means: float64[S], the score on each draw.
        below: how far Wilson's interval reaches below a score of 0 or 100 that all draws have; else 0.
        above: how far it reaches above.
    """

    rows: np.ndarray
    means: np.ndarray
    below: float = 0.0
    above: float = 0.0

    @classmethod
    def draw(cls, scores: TaskScores | OwnScores, resamples: int = RESAMPLES, seed: int = 0) -> 'Resampled':
        """Draw the rows of a task."""
        rows, means = np.unique(scores.rows), scores.resampled_means(resamples, seed)
        # A correlation, and a metric in units of its own, is no mean of rows.
        alike = len(rows) and isinstance(scores, TaskScores) and (means == means[0]).all()
        if not alike or scores.metric.together or means[0] not in (0, 100):
            return cls(rows, means)
        reach = 100 * NORMAL_QUANTILE**2 / (len(rows) + NORMAL_QUANTILE**2)
        return cls(rows, means, *((0.0, reach) if means[0] == 0 else (reach, 0.0)))


def bounds(value: float, samples: np.ndarray, reaches: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the (low, high) interval of a mean over tasks: the percentiles of resampled means, widened by
    what resampling cannot show.

    A score of 0 or 100 in every row is the same in every draw. Such a task contributes Wilson's interval
    instead, and the two are put together as the squares of what they reach: the rule of Newcombe (1998) and
    of Zou and Donner (2008).

    Args:
        value: the mean.
        samples: float64[S], the mean on each draw.
        reaches: of each task, how far its interval reaches below and above where all draws agree; else 0.
    """
    low, high = interval(samples)
    below, above = (
        float(np.sqrt(np.sum(np.square(side)))) / len(reaches) for side in zip(*reaches, strict=True)
    )
    if below:
        low = value - np.hypot(max(value - low, 0.0), below)
    if above:
        high = value + np.hypot(max(high - value, 0.0), above)
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Difference:
    """The mean score of one system minus that of another over some tasks.

    Args:
        mean: in points.
        low: the lower end of its 95% interval; nan where nothing was resampled.
        high: its upper end.
        paired: whether both systems were asked the same rows of each task.
    """

    mean: float
    low: float
    high: float
    paired: bool


def difference(
    mean: float, ours: Sequence[Resampled], theirs: Sequence[Resampled], seed: int = 0
) -> Difference:
    """Compare two systems on the same tasks: by the bootstrap of the differences over rows that both were
    asked, else of two independent samples.

    Args:
        mean: the difference of their mean scores.
        ours: the resampled scores of the one, a task each.
        theirs: those of the other, in the same order.
        seed: of the order that takes draws of different rows apart.
    """
    random, differences, paired = np.random.default_rng(seed), [], True
    for one, other in zip(ours, theirs, strict=True):
        same = np.array_equal(one.rows, other.rows)
        differences.append(one.means - (other.means if same else random.permutation(other.means)))
        paired = paired and same
    reaches = [
        (np.hypot(one.below, other.above), np.hypot(one.above, other.below))
        for one, other in zip(ours, theirs, strict=True)
    ]
    return Difference(mean, *bounds(mean, np.mean(differences, axis=0), reaches), paired)
