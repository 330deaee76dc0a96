"""Two models on the same examples: their difference on each data set, cluster and overall, with a paired
bootstrap and a permutation test.

Letters in the names of arrays are those of `scores`: S resamples, R rows, P templates, K counts.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import zlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from flanlite import reading
from flanlite.metrics.metric import Metric
from flanlite.metrics.metrics import METRICS
from flanlite.paths import at_home
from flanlite.report import results
from flanlite.report.results import HELD_IN, Sums, TaskResult
from flanlite.report.scores import CONFIDENCE, NO_KEY, RESAMPLES, interval, nanmean

PERMUTATIONS = 10_000
AT_ONCE = 500  # permutations in memory
ALL = 'all data sets'
COMPARISONS = ('comparison.json', 'comparison.md', 'comparison.html')


@dataclasses.dataclass(frozen=True)
class Row:
    """How two models compare on a data set, or on the mean of several.

    Args:
        kind: `data set`, `cluster` or `all`.
        name: of the data set or the cluster.
        first: the score of the first model, percent, mean over templates.
        second: that of the second.
        low: the lower end of the 95% interval of the difference, first minus second; nan where the results
            keep no counts of rows.
        high: its upper end.
        p: of the permutation test, two-sided: how often models that were exchanged at random in each row
            differ by as much; nan where the metric is no function of sums over rows.
        adjusted: the same, corrected for the number of rows of the same kind (Holm 1979).
        rows: rows of data that both were asked.
    """

    kind: str
    name: str
    first: float
    second: float
    low: float
    high: float
    p: float
    adjusted: float
    rows: int

    @property
    def difference(self) -> float:
        """The first score minus the second."""
        return self.first - self.second


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How two models compare.

    Args:
        names: of both.
        table: a row for each data set, each cluster of several, and all.
        notes: what could not be compared, and why.
    """

    names: tuple[str, str]
    table: tuple[Row, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[dict[str, object]]:
        """Return the table as flat dictionaries."""
        return [
            {'runs': list(self.names)} | dataclasses.asdict(row) | {'difference': row.difference}
            for row in self.table
        ]


class OtherRows(ValueError):
    """Two models were asked different rows under the same numbers."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a model scored on a data set."""

    result: TaskResult
    split: str
    sums: Sums | None


def compare(first: str, second: str, system: str = 'tuned', seed: int = 0) -> Comparison:
    """Compare two models on the data sets that both were scored on.

    Args:
        first: the folder of an evaluation; or of a sweep, whose results of one system are then taken, each on
            what was held out.
        second: the same of the other model.
        system: of sweeps.
        seed: of draws and permutations.

    Raises:
        ValueError: a folder has no result, or the two have no data set in common that was scored in the same
            way.
    """
    ours, theirs = (read(path, system) for path in (first, second))
    notes = [
        f'only {name} has scores of {", ".join(sorted(set(one) - set(other)))}'
        for name, one, other in ((first, ours, theirs), (second, theirs, ours))
        if set(one) - set(other)
    ]
    tasks = []
    for name in ours:
        if name not in theirs:
            continue
        one, other = ours[name], theirs[name]
        for field, pair in (
            ('split', (one.split, other.split)),
            ('metric', (one.result.metric, other.result.metric)),
        ):
            if pair[0] != pair[1]:
                notes.append(
                    f'{name} is left out: its {field} is {pair[0]} in {first}, {pair[1]} in {second}'
                )
                break
        else:
            try:
                tasks.append(Task.of(name, one, other, seed, notes))
            except OtherRows as error:
                notes.append(str(error))
    if not tasks:
        raise ValueError(
            f'{first} and {second} have no data set in common that was scored in the same way'
            + (f': {"; ".join(notes)}' if notes else '')
        )
    return Comparison((first, second), tuple(table(tasks)), tuple(notes))


def compare_all(paths: Sequence[str], system: str = 'tuned', seed: int = 0) -> list[Comparison]:
    """Compare the first of several models with each of the others; their p-values are corrected for all that
    is compared. See `compare`.

    Raises:
        ValueError: fewer than two models, or one twice.
    """
    if len(paths) < 2 or len({os.path.realpath(at_home(path)) for path in paths}) < len(paths):
        raise ValueError(
            f'got {", ".join(paths) or "nothing"} to compare; expected two or more different folders'
        )
    each = [compare(paths[0], other, system, seed) for other in paths[1:]]
    for kind in dict.fromkeys(row.kind for one in each for row in one.table):
        rows = iter(corrected([row for one in each for row in one.table if row.kind == kind]))
        each = [
            dataclasses.replace(
                one, table=tuple(next(rows) if row.kind == kind else row for row in one.table)
            )
            for one in each
        ]
    return each


def result_files(path: str, system: str) -> list[pathlib.Path]:
    """List the results of a model: one of an evaluation; of a sweep, those of one system."""
    folder = pathlib.Path(at_home(path))
    found = results.result_paths(folder)
    if not found:
        raise ValueError(
            f'{path} has no {results.RESULT}; expected the folder that flanlite eval or loco wrote'
        )
    sweep = len(found) > 1 or found[0].parent != folder
    if sweep:
        systems = sorted({each.parent.name for each in found})
        found = [each for each in found if each.parent.name == system]
        if not found:
            raise ValueError(
                f'{path} is a sweep without {system!r}; --system names one of {", ".join(systems)}'
            )
    return found


def read(path: str, system: str) -> dict[str, Asked]:
    """Read the scores of a model by data set; see `compare`."""
    found, asked = result_files(path, system), {}
    sweep = found[0].parent != pathlib.Path(at_home(path))
    for each in found:
        result, sums = results.load(each), results.load_sums(each.parent)
        for task in result.tasks:
            if not sweep or task.level != HELD_IN:
                asked[task.task] = Asked(task, result.split, sums.get(task.task))
    return asked


@dataclasses.dataclass(frozen=True)
class Task:
    """Two models on one data set.

    Args:
        name: of the data set.
        cluster: its cluster.
        first: the score of the first, mean over templates.
        second: that of the second.
        rows: the rows that both were asked.
        drawn_S: the difference on draws of rows; none where counts are not kept.
        permuted_S: the difference of models that were exchanged at random; none where they cannot be.
    """

    name: str
    cluster: str
    first: float
    second: float
    rows: int
    drawn_S: np.ndarray
    permuted_S: np.ndarray

    @classmethod
    def of(cls, name: str, one: Asked, other: Asked, seed: int, notes: list[str]) -> 'Task':
        """Compare two models on a data set, and note what is in the way."""
        cluster, nothing = one.result.cluster, np.zeros(0)
        metric = METRICS.get(one.result.metric)
        if metric is None or one.sums is None or other.sums is None:
            why = (
                'results keep no counts of it'
                if metric
                else f'the metric {one.result.metric} is not known here'
            )
            notes.append(f'{name}: no interval and no test, since {why}')
            means = one.result.summary.mean, other.result.summary.mean
            return cls(name, cluster, *means, one.result.num_rows, nothing, nothing)
        both = np.intersect1d(one.sums.rows, other.sums.rows)
        if changed := int(np.sum(differ(one.sums.keys_of(both), other.sums.keys_of(both)))):
            raise OtherRows(
                f'{name} is left out: {changed} of the {len(both)} rows that both were asked have other '
                'options or right answers, so the two were not asked the same data'
            )
        if len(both) < max(len(one.sums.rows), len(other.sums.rows)):
            counts = f'{len(one.sums.rows)} and {len(other.sums.rows)}'
            notes.append(f'{name}: compared on the {len(both)} rows that both were asked, of {counts}')
        if not np.array_equal(one.sums.templates, other.sums.templates):
            notes.append(f'{name}: asked with different templates, so it is compared by the mean over them')
        # Each has counts of zero for templates of the other, whose score is then nan and in no mean.
        templates = np.union1d(one.sums.templates, other.sums.templates)
        pair = (each.sums.of(both, templates) for each in (one, other))
        return cls.of_sums(name, cluster, metric, *pair, seed)

    @classmethod
    def of_sums(
        cls,
        name: str,
        cluster: str,
        metric: Metric,
        first_RPK: np.ndarray,
        second_RPK: np.ndarray,
        seed: int = 0,
    ) -> 'Task':
        """Compare what a metric counted of two models in the same rows with the same templates."""

        def score(sums_SPK: np.ndarray) -> np.ndarray:
            return nanmean(metric.score(sums_SPK)[..., 0], axis=-1)

        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        first, second = (float(score(x.sum(axis=0))) for x in (first_RPK, second_RPK))
        pair = first_RPK, second_RPK
        drawn_S = drawn(*pair, score, random)
        permuted_S = np.zeros(0) if metric.together else permuted(*pair, score, random)
        return cls(name, cluster, first, second, len(first_RPK), drawn_S, permuted_S)


def differ(one_R: np.ndarray, other_R: np.ndarray) -> np.ndarray:
    """Return which rows have different keys, where both have one."""
    return (one_R != other_R) & (one_R != NO_KEY) & (other_R != NO_KEY)


def drawn(
    first_RPK: np.ndarray, second_RPK: np.ndarray, score: Callable, random: np.random.Generator
) -> np.ndarray:
    """Compute the difference of two models on draws of rows with replacement, the same rows for both."""
    rows = len(first_RPK)
    times_SR = random.multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES).astype(np.float64)
    one, other = (score(np.tensordot(times_SR, x, axes=1)) for x in (first_RPK, second_RPK))
    return one - other


def permuted(
    first_RPK: np.ndarray, second_RPK: np.ndarray, score: Callable, random: np.random.Generator
) -> np.ndarray:
    """Compute the difference of two models whose answers to each row, with all its templates, are exchanged
    with a probability of a half.
    """
    change_RPK, found = second_RPK - first_RPK, []
    for _ in range(PERMUTATIONS // AT_ONCE):
        exchanged_SR = random.integers(0, 2, (AT_ONCE, len(first_RPK))).astype(np.float64)
        moved_SPK = np.tensordot(exchanged_SR, change_RPK, axes=1)
        found.append(score(first_RPK.sum(axis=0) + moved_SPK) - score(second_RPK.sum(axis=0) - moved_SPK))
    return np.concatenate(found)


def table(tasks: Sequence[Task]) -> Iterator[Row]:
    """Make the rows of data sets, of clusters of several, and of all."""
    clusters: dict[str, list[Task]] = {}
    for task in tasks:
        clusters.setdefault(task.cluster, []).append(task)
    yield from corrected([row('data set', task.name, [task]) for task in tasks])
    several = {name: members for name, members in clusters.items() if name and len(members) > 1}
    yield from corrected([row('cluster', name, members) for name, members in several.items()])
    if len(tasks) > 1:
        yield row('all', ALL, tasks)


def row(kind: str, name: str, tasks: Sequence[Task]) -> Row:
    """Compare two models by the mean of some data sets."""
    first, second = (
        float(np.mean([getattr(task, which) for task in tasks])) for which in ('first', 'second')
    )
    low = high = p = math.nan
    if all(len(task.drawn_S) for task in tasks):
        low, high = interval(np.mean([task.drawn_S for task in tasks], axis=0))
    if math.isfinite(first - second) and all(len(task.permuted_S) for task in tasks):
        by_chance_S = np.mean([task.permuted_S for task in tasks], axis=0)
        as_far = np.abs(by_chance_S) >= abs(first - second) - 1e-9
        p = float((1 + as_far.sum()) / (1 + len(by_chance_S)))
    return Row(kind, name, first, second, low, high, p, p, sum(task.rows for task in tasks))


def corrected(rows: Sequence[Row]) -> list[Row]:
    """Correct the p-values of several comparisons for their number (Holm 1979)."""
    tested = sorted((row.p, place) for place, row in enumerate(rows) if math.isfinite(row.p))
    adjusted, greatest = {}, 0.0
    for number, (p, place) in enumerate(tested):
        greatest = max(greatest, min(1.0, p * (len(tested) - number)))
        adjusted[place] = greatest
    return [
        dataclasses.replace(row, adjusted=adjusted.get(place, math.nan)) for place, row in enumerate(rows)
    ]


def lines(comparison: Comparison) -> list[str]:
    """Say in words what the columns are."""
    first, second = comparison.names
    return [
        f'A is {first}',
        f'B is {second}',
        f'A - B has its {CONFIDENCE:.0%} interval by a paired bootstrap over rows, and p by a paired '
        f'permutation test ({PERMUTATIONS:,} permutations), corrected for the number of data sets or '
        'clusters (Holm).',
    ]


def check_own(folder: pathlib.Path, remedy: str) -> None:
    """Raise a `ValueError` that ends with a remedy where a folder has comparisons that others wrote."""
    ours = False
    with contextlib.suppress(ValueError, OSError):
        found = reading.read_json(folder / COMPARISONS[0])
        ours = isinstance(found, dict) and found.keys() == {'rows', 'notes'}
    if not ours and (others := [name for name in COMPARISONS if (folder / name).exists()]):
        raise ValueError(
            f'{folder} has {others[0]}, which flanlite did not write and would replace; {remedy}'
        )
