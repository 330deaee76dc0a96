"""A system that was tuned with several seeds, as one result: the means over the seeds, and how far the seeds
lie apart.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import special

from flanlite.report import results
from flanlite.report.results import Result, TaskResult
from flanlite.report.scores import CONFIDENCE, Resampled, Summary, bounds


def mean_result(each: Sequence[Result], drawn: Mapping[str, Resampled]) -> Result:
    """Average the results of one system over its seeds.

    Its intervals hold both sources of variance: that of other rows, by the bootstrap of the mean over the
    seeds, and that of other seeds; see `widened`.

    Args:
        each: a result a seed; the first says all that is not a score.
        drawn: the resampled scores of each task, averaged over the seeds.
    """
    found: dict[str, list[TaskResult]] = {}
    for result in each:
        for task in result.tasks:
            found.setdefault(task.task, []).append(task)
    tasks = tuple(mean_task(members, drawn) for members in found.values())
    named = {task.task: task for task in tasks}
    groups = {
        group: mean_summary(
            [result.groups[group] for result in each if group in result.groups],
            [named[name] for name in names],
            drawn,
        )
        for group, names in results.members(tasks).items()
    }
    notes = tuple(dict.fromkeys(note for result in each for note in result.notes))
    skipped = {task: reason for result in each for task, reason in result.skipped.items()}
    seconds, costs = (
        {
            what: sum(getattr(result, field).get(what, 0.0) for result in each)
            for what in getattr(each[0], field)
        }
        for field in ('seconds', 'costs')
    )
    return dataclasses.replace(
        each[0], tasks=tasks, groups=groups, notes=notes, skipped=skipped, seconds=seconds, costs=costs
    )


def mean_task(members: Sequence[TaskResult], drawn: Mapping[str, Resampled]) -> TaskResult:
    """Average the scores of a task over seeds, those of each template and their summary."""
    first = members[0]
    templates = tuple(
        entry
        | {
            'scores': {
                name: mean_score([task.templates[place]['scores'][name] for task in members])
                for name in entry['scores']
            }
        }
        for place, entry in enumerate(first.templates)
    )
    summary = mean_summary([task.summary for task in members], [first], drawn)
    return dataclasses.replace(first, templates=templates, summary=summary)


def mean_score(values: Sequence[float | None]) -> float:
    """Average what JSON holds of a score, None for nan."""
    return float(np.mean(np.array(values, np.float64)))


def mean_summary(
    summaries: Sequence[Summary], tasks: Sequence[TaskResult], drawn: Mapping[str, Resampled]
) -> Summary:
    """Average the summaries of some tasks over seeds, and put their interval together anew. It ends where
    scores do: the t of two seeds reaches far, and no score is beyond 0 or 100.
    """
    means = [summary.mean for summary in summaries]
    mean, sd, median, q1, q3, _, _ = np.mean(
        [dataclasses.astuple(summary) for summary in summaries], axis=0
    ).tolist()
    low = high = np.nan
    if all(task.task in drawn for task in tasks):
        own = [drawn[task.task] for task in tasks]
        rows = bounds(
            mean, np.mean([each.means for each in own], axis=0), [(each.below, each.above) for each in own]
        )
        low, high = widened(mean, *rows, reach(means))
        least, greatest = np.mean([task.limits for task in tasks], axis=0)
        low, high = float(max(low, least)), float(min(high, greatest))
    return Summary(mean, sd, median, q1, q3, low, high)


def mean_resampled(each: Sequence[Mapping[str, Resampled]]) -> dict[str, Resampled]:
    """Average the resampled scores of tasks over seeds, draw by draw: all seeds were asked the same rows.
    Tasks of which a seed has none are left out.
    """
    return {
        task: Resampled(
            first.rows,
            *(
                np.mean([getattr(drawn[task], name) for drawn in each], axis=0)
                for name in ('means', 'below', 'above')
            ),
        )
        for task, first in each[0].items()
        if all(task in drawn for drawn in each)
    }


def deviation(means: Sequence[float]) -> float:
    """Return the standard deviation of scores over seeds; 0 of one."""
    return float(np.std(means, ddof=1)) if len(means) > 1 else 0.0


def deviation_over_rows(drawn: Mapping[str, Resampled], tasks: Sequence[str]) -> float:
    """Return the standard deviation of the mean over tasks on draws of their rows; nan where one is not
    known.
    """
    if not all(task in drawn for task in tasks):
        return np.nan
    return float(np.std(np.mean([drawn[task].means for task in tasks], axis=0), ddof=1))


def mean_of(result: Result, tasks: Sequence[str]) -> float:
    """Return the mean score of one seed's result over some tasks."""
    return float(np.mean([task.summary.mean for task in result.tasks if task.task in tasks]))


def reach(means: Sequence[float]) -> float:
    """Return how far the 95% interval of a mean over seeds reaches to either side, by Student's t with a
    degree of freedom less than seeds; 0 of one seed, which says nothing of others.
    """
    if len(means) < 2:
        return 0.0
    quantile = special.stdtrit(len(means) - 1, 0.5 + CONFIDENCE / 2)
    return float(quantile * deviation(means) / np.sqrt(len(means)))


def told(means: Sequence[float], sign: str = '') -> str:
    """Write the mean over seeds and how far its 95% interval reaches, as `74.8 ± 2.8`; of one seed the mean.

    Args:
        means: a score of each seed, percent, or a difference of two.
        sign: '+' to write that of a difference.
    """
    mean = f'{np.mean(means):{sign}.1f}'
    return f'{mean} ± {reach(means):.1f}' if len(means) > 1 else mean


def widened(mean: float, low: float, high: float, by: float) -> tuple[float, float]:
    """Return an interval with another source of variance that is independent of the first: what the two reach
    to a side is put together as `scores.bounds` does.
    """
    if not by:
        return low, high
    return float(mean - np.hypot(mean - low, by)), float(mean + np.hypot(high - mean, by))
