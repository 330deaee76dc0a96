"""Series of hold-outs: the same data sets held out, tuned on more and more of one kind, as in FLAN's and
T0's ablations.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from flanlite.report import seeds
from flanlite.report.collected import Report
from flanlite.report.results import HELD_IN, HELD_OUT, Result
from flanlite.report.scores import Summary, nanmean


class Kind(NamedTuple):
    """What varies in a series.

    Args:
        name: what is counted.
        ending: what names of hold-outs have in common without: a pattern with the number as its group.
        whole: the number of the result whose name has no such ending.
    """

    name: str
    ending: re.Pattern[str]
    whole: Callable[[Result], int]


def data_sets_of_a_cluster(result: Result) -> int:
    """Return the greatest number of data sets of a cluster that a system was tuned on."""
    return max(map(len, result.trained.values()), default=0)


KINDS = (
    Kind('clusters', re.compile(r'_first_(\d+)|(?<=^diversity)_(\d+)'), lambda result: len(result.trained)),
    Kind('data sets of each cluster', re.compile(r'_each_(\d+)'), data_sets_of_a_cluster),
    Kind(
        'data sets',
        re.compile(r'(?<=^superglue)_(\d+)$'),
        lambda result: sum(map(len, result.trained.values())),
    ),
    Kind('templates', re.compile(r'_(\d+)templates'), lambda result: result.templates),
    Kind('exemplars', re.compile(r'_(\d+)shots'), lambda result: 0),
)


@dataclasses.dataclass(frozen=True)
class Series:
    """Results of one system that differ in one number.

    Args:
        held_out: the hold-out without the number, which is the last point where that was tuned, too.
        kind: what is counted.
        points: (number, result), in order.
    """

    held_out: str
    kind: str
    points: tuple[tuple[int, Result], ...]


def find(report: Report, system: str = 'tuned') -> list[Series]:
    """Return every series of at least two results of a system."""
    results = [
        each for each in report.results if each.system == system and each.held_out and HELD_OUT in each.groups
    ]
    found = []
    for kind in KINDS:
        members: dict[str, dict[int, Result]] = {}
        for result in results:
            ending = kind.ending.search(result.held_out)
            number = int(next(filter(None, ending.groups()))) if ending else kind.whole(result)
            members.setdefault(kind.ending.sub('', result.held_out), {}).setdefault(number, result)
        found += [
            Series(base, kind.name, tuple(sorted(points.items())))
            for base, points in members.items()
            if len(points) > 1 and any(kind.ending.search(each.held_out) for each in points.values())
        ]
    return found


def standing_alone(report: Report) -> list[str]:
    """Return what was held out without the points of series that are drawn as curves, but for the last of
    each.
    """
    points = {
        result.held_out
        for each in find(report)
        for _, result in each.points
        if result.held_out != each.held_out
    }
    return [held_out for held_out in report.held_out() if held_out not in points]


def clusters_of(series: Series) -> list[str]:
    """Return the held-out clusters of a series."""
    tasks = (task for _, result in series.points for task in result.tasks)
    return list(dict.fromkeys(task.cluster for task in tasks if task.level != HELD_IN and task.cluster))


def summaries(report: Report, series: Series, cluster: str | None = None) -> Iterator[tuple[int, Summary]]:
    """Summarize each point over all that is held out, or over one of its clusters, with its interval."""
    for number, result in series.points:
        if found := summary(report, result, cluster):
            yield number, found


def summary(report: Report, result: Result, cluster: str | None = None) -> Summary | None:
    """Summarize a result over all that is held out, or over one cluster of it; None where nothing was scored
    of it.
    """
    names = [task.task for task in result.tasks if task.level != HELD_IN and cluster in (None, task.cluster)]
    if not names:
        return None
    key = (result.held_out or '', result.system)
    each = [mean_over(one, names) for one in report.by_seed.get(key, (result,))]
    return seeds.mean_summary(each, names, report.resamples.get(key, {}))


def mean_over(result: Result, names: Sequence[str]) -> Summary:
    """Average the summaries of some tasks."""
    own = [dataclasses.astuple(task.summary) for task in result.tasks if task.task in names]
    return Summary(*nanmean(np.array(own), axis=0).tolist())
