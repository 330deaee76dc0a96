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
from flanlite.report.scores import Summary


class Kind(NamedTuple):
    """What varies in a series.

    Args:
        name: what is counted.
        ending: the number in names of hold-outs, without which those of a series are the same.
        count: how many a system was tuned with, which are fewer than its name says where data is missing.
    """

    name: str
    ending: re.Pattern[str]
    count: Callable[[Result], int]


def data_sets_of_a_cluster(result: Result) -> int:
    """Return the greatest number of data sets of a cluster that a system was tuned on."""
    return max((len(result.trained[cluster]) for cluster in result.trained_clusters), default=0)


KINDS = (
    Kind(
        'clusters',
        re.compile(r'_first_\d+|(?<=^diversity)_\d+'),
        lambda result: len(result.trained_clusters),
    ),
    Kind('data sets of each cluster', re.compile(r'_each_\d+'), data_sets_of_a_cluster),
    Kind('data sets', re.compile(r'(?<=^superglue)_\d+$'), lambda result: len(result.trained_tasks)),
    Kind('templates', re.compile(r'_\d+templates'), lambda result: result.templates),
    Kind('exemplars', re.compile(r'_\d+shots'), lambda result: result.shots),
)


@dataclasses.dataclass(frozen=True)
class Series:
    """Results of one system that differ in one number.

    Args:
        held_out: the hold-out without the number, which is a point too where it was tuned.
        kind: what is counted.
        points: (number, result), in order.
    """

    held_out: str
    kind: str
    points: tuple[tuple[int, Result], ...]


def find(report: Report, system: str = 'tuned') -> list[Series]:
    """Return every series of a system: results of at least two numbers."""
    results = [
        each for each in report.results if each.system == system and each.held_out and HELD_OUT in each.groups
    ]
    found = []
    for kind in KINDS:
        members: dict[str, list[tuple[int, Result]]] = {}
        for result in results:
            base = kind.ending.sub('', result.held_out)
            members.setdefault(base, []).append((kind.count(result), result))
        found += [
            Series(base, kind.name, tuple(sorted(points, key=lambda point: point[0])))
            for base, points in members.items()
            if len({number for number, _ in points}) > 1
        ]
    return found


def standing_alone(report: Report) -> list[str]:
    """Return what was held out without the points of series that are drawn as curves, but for the one of each
    whose name has no number; where that is missing, for the last one.
    """
    points: set[str | None] = set()
    for each in find(report):
        names = [result.held_out for _, result in each.points]
        points |= {*names} - {each.held_out if each.held_out in names else names[-1]}
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
    tasks = [task for task in result.tasks if task.level != HELD_IN and cluster in (None, task.cluster)]
    if not tasks:
        return None
    names = [task.task for task in tasks]
    key = (result.held_out or '', result.system)
    each = [mean_over(one, names) for one in report.by_seed.get(key, (result,))]
    return seeds.mean_summary(each, tasks, report.resamples.get(key, {}))


def mean_over(result: Result, names: Sequence[str]) -> Summary:
    """Average the summaries of some tasks."""
    own = [dataclasses.astuple(task.summary) for task in result.tasks if task.task in names]
    return Summary(*np.mean(own, axis=0).tolist())
