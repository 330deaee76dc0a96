"""The report of task conflict: the transfer matrix, the cosines between gradients, and how far one goes with
the other.
"""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from flanlite.metrics.correlation import weighted_correlations
from flanlite.report import comparisons, figures, gradients
from flanlite.report.collected import Report, label
from flanlite.report.gradients import Agreement, TaskGradients
from flanlite.report.results import ALONE, JOINT, JOINT_PCGRAD
from flanlite.report.scores import interval

RESAMPLES = 1_000
FEWEST = 4  # clusters of which an interval can be drawn
STRONG = 25.0  # points of gain that have the full colour
HELD_OUT = 'tuned'  # the system that is tuned on all other clusters
UNTUNED = 'untuned'


class Score(NamedTuple):
    """A cell of the transfer matrix.

    Args:
        system: what was tuned on.
        cluster: what was scored.
        score: the mean over the cluster's data sets.
        gain: the score less that of the model before tuning; nan where that was not scored.
        low: the lower end of its 95% interval.
        high: its upper end.
    """

    system: str
    cluster: str
    score: float
    gain: float
    low: float
    high: float


class Correlation(NamedTuple):
    """How the cosine between clusters A and B goes with what tuning on A alone gains on B.

    Args:
        cosines: of which checkpoint, in words.
        gains: how the gains are taken, in words.
        pairs: the number of pairs (A, B).
        pearson: Pearson's correlation.
        pearson_low: the lower end of its 95% interval.
        pearson_high: its upper end.
        spearman: Spearman's.
        spearman_low: the lower end of its 95% interval.
        spearman_high: its upper end.
    """

    cosines: str
    gains: str
    pairs: int
    pearson: float
    pearson_low: float
    pearson_high: float
    spearman: float
    spearman_low: float
    spearman_high: float


@dataclasses.dataclass(frozen=True)
class Conflict:
    """What is reported: the cells of the transfer matrix, the clusters that are its columns, and what was
    measured of each checkpoint of the joint run, in the order of steps.
    """

    clusters: tuple[str, ...]
    matrix: tuple[Score, ...]
    measured: tuple[TaskGradients, ...]

    def systems(self) -> list[str]:
        """Return the rows of the matrix: clusters alone, then all but the scored one, all, and none."""
        present = {score.system for score in self.matrix}
        alone = [ALONE + cluster for cluster in self.clusters]
        rest = sorted(system for system in present if system.startswith(ALONE) and system not in alone)
        order = (*alone, *rest, HELD_OUT, JOINT, JOINT_PCGRAD, UNTUNED)
        return [system for system in order if system in present]

    def cell(self, system: str, cluster: str) -> Score | None:
        """Return a cell of the matrix, if it was scored."""
        return next((each for each in self.matrix if (each.system, each.cluster) == (system, cluster)), None)


def collect(folder: pathlib.Path, report: Report) -> Conflict | None:
    """Read what a sweep's folder says of task conflict; None where it has no gradients, and nothing that was
    tuned on a cluster alone or on all.

    Args:
        folder: the sweep's.
        report: its results.
    """
    measured = gradients.read_folder(folder)
    systems = {result.system for result in report.results}
    if not measured and not any(system == JOINT or system.startswith(ALONE) for system in systems):
        return None
    ranks = measured[-1].clusters if measured else ()  # in the collection's order
    ranked = [cluster for cluster in dict.fromkeys(ranks) if cluster in report.held_out()]
    held_out = tuple(dict.fromkeys([*ranked, *report.held_out()]))
    matrix = tuple(
        score
        for cluster in held_out
        for system in report.of(cluster)
        if system in (HELD_OUT, UNTUNED, JOINT, JOINT_PCGRAD) or system.startswith(ALONE)
        for score in [score_of(report, system, cluster)]
        if score is not None
    )
    return Conflict(held_out, matrix, measured)


def score_of(report: Report, system: str, cluster: str) -> Score | None:
    """Compute a cell of the matrix; None where nothing of the cluster was scored."""
    systems = report.of(cluster)
    own = [task.summary.mean for task in systems[system].tasks if task.cluster == cluster]
    if not own:
        return None
    gain = low = high = math.nan
    if UNTUNED in systems and system != UNTUNED:
        only = dataclasses.replace(
            report,
            results=tuple(
                dataclasses.replace(each, tasks=tuple(task for task in each.tasks if task.cluster == cluster))
                for each in (systems[system], systems[UNTUNED])
            ),
        )
        if found := comparisons.compare(only, cluster, system, UNTUNED, tuned_on=True):
            gain, low, high = found.mean, found.low, found.high
    return Score(system, cluster, float(np.mean(own)), gain, low, high)


def correlations(conflict: Conflict) -> list[Correlation]:
    """Correlate cosines with gains over all ordered pairs of clusters, for each checkpoint and for the mean
    of the cosines; once as they are, and once less the mean gain on the scored cluster, as some clusters gain
    by any tuning.

    The interval is a percentile bootstrap over clusters, not pairs, since the pairs of a cluster are not
    independent.
    """
    gains_NN = np.full((len(conflict.clusters),) * 2, np.nan)
    for a, source in enumerate(conflict.clusters):
        for b, scored in enumerate(conflict.clusters):
            cell = conflict.cell(ALONE + source, scored)
            gains_NN[a, b] = cell.gain if cell and a != b else np.nan
    found = {f'step {each.step:,}': cluster_cosines(each, conflict.clusters) for each in conflict.measured}
    if len(found) > 1:
        found |= {'mean over the steps': np.mean(list(found.values()), axis=0)}
    ways = {'gain': gains_NN, 'gain less the mean gain on B': gains_NN - column_means(gains_NN)}
    return [
        each
        for when, cosines_NN in found.items()
        for way, changed_NN in ways.items()
        for each in [correlation(cosines_NN, changed_NN, when, way)]
        if each is not None
    ]


def cluster_cosines(measured: TaskGradients, clusters: Sequence[str]) -> np.ndarray:
    """Return the cosine between each two clusters over all parameters, nan for those that are not measured:
    float64[N, N].
    """
    groups = measured.by_cluster()
    found_NN = np.full((len(clusters),) * 2, np.nan)
    places = [place for place, cluster in enumerate(clusters) if cluster in groups]
    own = [groups[clusters[place]] for place in places]
    if own:
        found_NN[np.ix_(places, places)] = gradients.mean_cosines(measured, own)
    return found_NN


def column_means(values_NN: np.ndarray) -> np.ndarray:
    """Return the mean of each column's numbers, in the matrix's shape; nan where it has none."""
    means = [gradients.mean(values_NN[:, column]) for column in range(len(values_NN))]
    return np.broadcast_to(np.array(means), values_NN.shape)


def correlation(cosines_NN: np.ndarray, gains_NN: np.ndarray, when: str, way: str) -> Correlation | None:
    """Correlate two matrices of clusters beside the diagonal; None with fewer than three pairs."""
    count = len(cosines_NN)
    usable_NN = np.isfinite(cosines_NN) & np.isfinite(gains_NN) & ~np.eye(count, dtype=bool)
    sources, scored = np.nonzero(usable_NN)
    if len(sources) < 3:
        return None
    pairs = cosines_NN[usable_NN], gains_NN[usable_NN]
    here = weighted_correlations(*pairs, np.ones((1, len(sources))))[0]
    ends = [(math.nan, math.nan)] * 2
    if len({*sources.tolist(), *scored.tolist()}) >= FEWEST:
        drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
        drawn = drawn[(drawn > 0).sum(axis=1) >= 3]  # two clusters have two pairs, which always correlate
        weights = (drawn[:, sources] * drawn[:, scored]).astype(np.float64)
        samples = weighted_correlations(*pairs, weights[weights.sum(axis=1) > 0])
        ends = [interval(samples[:, side]) for side in (0, 1)]
    return Correlation(when, way, len(sources), float(here[0]), *ends[0], float(here[1]), *ends[1])


def rows(conflict: Conflict) -> dict[str, Any]:
    """Return what `conflict.json` holds: flat rows of the matrix, the cosines and the correlations."""
    return {
        'matrix': [score._asdict() for score in conflict.matrix],
        'correlations': [each._asdict() for each in correlations(conflict)],
        'agreement': [
            {'step': each.step, 'module': module, 'layer': layer, **found._asdict()}
            for each in conflict.measured
            for module, layer, found in agreements(each)
        ],
        'cosines': [row for each in conflict.measured for row in cosine_rows(each)],
    }


def places(measured: TaskGradients) -> list[tuple[str | None, int | None]]:
    """List the parameters that cosines are taken over: all; each module; each module in each layer."""
    modules = dict.fromkeys(measured.modules)
    layered = [
        (module, layer)
        for module, layer in zip(measured.modules, measured.layers, strict=True)
        if layer >= 0 and measured.modules.count(module) > 1
    ]
    found: list[tuple[str | None, int | None]] = [(None, None)]
    for module in modules:
        found += [(module, None), *(each for each in layered if each[0] == module)]
    return found


def agreements(measured: TaskGradients) -> list[tuple[str | None, int | None, Agreement]]:
    """Summarize the cosines over each of `places`."""
    return [
        (module, layer, gradients.agreement(measured, module, layer)) for module, layer in places(measured)
    ]


def cosine_rows(measured: TaskGradients) -> list[dict[str, Any]]:
    """Return a row for each two clusters, over each of `places`, and for each two tasks, over all parameters;
    one of a group with itself is that between its halves.
    """
    found = []
    for module, layer in places(measured):
        whole = (('task', measured.by_task()),) if module is None else ()
        for kind, groups in (('cluster', measured.by_cluster()), *whole):
            names = list(groups)
            matrix_NN = gradients.mean_cosines(measured, list(groups.values()), module, layer)
            found += [
                {'step': measured.step, 'module': module, 'layer': layer, 'between': kind, 'a': a, 'b': b}
                | {'cosine': float(matrix_NN[i, j])}
                for i, a in enumerate(names)
                for j, b in enumerate(names[: i + 1])
            ]
    return found


def section(conflict: Conflict) -> dict[str, Any]:
    """Return the values of the page's section, by the names that `report.html` has for them."""
    last = conflict.measured[-1] if conflict.measured else None
    found = correlations(conflict)
    return {
        'sentences': sentences(conflict, found),
        'matrix': matrix_map(conflict) if conflict.matrix else '',
        'clusters': cosine_map(last, last.by_cluster()) if last else '',
        'tasks': cosine_map(last, last.by_task()) if last else '',
        'curves': curves(conflict.measured),
        'scatter': scatter(conflict),
        'step': f'{last.step:,}' if last else '',
        'correlations': [correlation_cells(each) for each in found],
        'modules': module_cells(last) if last else [],
    }


CORRELATION_HEADINGS = (
    'cosines',
    'against',
    'pairs',
    "Pearson's r",
    '95% interval',
    "Spearman's ρ",
    '95% interval',
)
MODULE_HEADINGS = (
    'parameters',
    'layer',
    'between clusters',
    'in conflict',
    'within a cluster',
    "a task's halves",
)


def correlation_cells(found: Correlation) -> list[str]:
    """Return a row of the table of correlations."""
    ends = [(found.pearson_low, found.pearson_high), (found.spearman_low, found.spearman_high)]
    spans = [f'{low:+.2f} to {high:+.2f}' if math.isfinite(low) else '–' for low, high in ends]
    return [
        found.cosines,
        found.gains,
        str(found.pairs),
        f'{found.pearson:+.2f}',
        spans[0],
        f'{found.spearman:+.2f}',
        spans[1],
    ]


def module_cells(measured: TaskGradients) -> list[list[str]]:
    """Return the rows of the table by module and layer."""
    return [
        [
            module or 'all',
            'all' if layer is None else str(layer),
            told_between(each),
            f'{100 * each.conflicts:.0f}%' if math.isfinite(each.conflicts) else '–',
            signed(each.within),
            signed(each.halves),
        ]
        for module, layer, each in agreements(measured)
    ]


def signed(value: float) -> str:
    """Return a cosine with its sign; a dash where there is none."""
    return f'{value:+.2f}' if math.isfinite(value) else '–'


def told_between(each: Agreement) -> str:
    """Return the mean cosine between clusters; with its interval where there are several seeds."""
    return signed(each.between) + (f' ± {each.reach:.2f}' if each.reach > 0 else '')


def sentences(conflict: Conflict, found: Sequence[Correlation]) -> list[str]:
    """Say what was found."""
    said = []
    if conflict.measured:
        last = conflict.measured[-1]
        each, count = gradients.agreement(last), len(last.by_cluster())
        over = f' (mean of {len(last.products)} seeds)' if len(last.products) > 1 else ''
        negative = f'{100 * each.conflicts:.0f}%' if math.isfinite(each.conflicts) else 'none'
        said.append(
            f'At step {last.step:,} of the joint run{over}, {negative} of the '
            f'{count * (count - 1) // 2} pairs of clusters have gradients in conflict, which is that their '
            f'cosine is negative. The mean cosine is {told_between(each)} between clusters, '
            f'{signed(each.within)} between the data sets of a cluster, and '
            f"{signed(each.halves)} between two halves of a data set's batches."
        )
    others = [
        each
        for each in conflict.matrix
        if each.system.startswith(ALONE) and each.system != ALONE + each.cluster and math.isfinite(each.low)
    ]
    if others:
        harmed, helped = (
            sum(found) for found in zip(*((e.high < 0, e.low > 0) for e in others), strict=True)
        )
        said.append(
            f'Of {len(others)} pairs of clusters, tuning on the one alone is worse for the other than no '
            f'tuning in {harmed} and better in {helped}, by the 95% interval of the difference.'
        )
    if found:
        chosen = found[-2]
        said.append(
            f"Cosine ({chosen.cosines}) and gain correlate by {chosen.pearson:+.2f} (Pearson's r over "
            f'{chosen.pairs} pairs).'
        )
    return said


def matrix_map(conflict: Conflict) -> str:
    """Draw the transfer matrix: the colour is the gain over the model before tuning."""
    names = {HELD_OUT: 'All but this cluster', JOINT: 'All (joint)', JOINT_PCGRAD: 'All, PCGrad'}
    cells = []
    for system in conflict.systems():
        cells.append([])
        for cluster in conflict.clusters:
            each = conflict.cell(system, cluster)
            if each is None:
                cells[-1].append(figures.Cell('', math.nan, 'not scored'))
                continue
            told = f'{label(system)}, scored on {cluster}: {figures.number(each.score)}'
            if math.isfinite(each.gain):
                told += f'; {each.gain:+.1f} over the untuned model ({each.low:+.1f} to {each.high:+.1f})'
            cells[-1].append(figures.Cell(figures.number(each.score), each.gain / STRONG, told))
    shown = [names.get(system, label(system)) for system in conflict.systems()]
    return figures.heat_map('Tuned on (rows), scored on (columns)', shown, conflict.clusters, cells)


def cosine_map(measured: TaskGradients, groups: dict[str, list[int]]) -> str:
    """Draw the cosines between groups of tasks over all parameters."""
    names, found_NN = list(groups), gradients.mean_cosines(measured, list(groups.values()))
    cells = [
        [
            figures.Cell(
                f'{value:.2f}' if math.isfinite(value) else '',
                value,
                f'{a} and {b}: {signed(value)}' if a != b else f'two halves of {a}: {signed(value)}',
            )
            for b, value in zip(names, values, strict=True)
        ]
        for a, values in zip(names, found_NN.tolist(), strict=True)
    ]
    return figures.heat_map(f'Cosines between gradients at step {measured.step}', names, names, cells)


def curves(measured: Sequence[TaskGradients]) -> list[tuple[str, str]]:
    """Draw the mean cosines over the steps, for all parameters and for each module: (heading, drawing)."""
    if len(measured) < 2:
        return []
    drawn = []
    modules = [module for module, layer in places(measured[-1]) if layer is None]
    lines = (
        ('between', 'clusters', 'm-tuned'),
        ('within', 'one cluster', 'm-untuned'),
        ('halves', 'halves', 'm-chance'),
    )
    found = {
        module: [(each.step, gradients.agreement(each, module)) for each in measured] for module in modules
    }
    values = [getattr(each, field) for points in found.values() for _, each in points for field, *_ in lines]
    low = min([0.0, *(value for value in values if math.isfinite(value))])
    for module, points in found.items():
        rows = [
            figures.Curve(colour, name, [(step, getattr(each, field)) for step, each in points])
            for field, name, colour in lines
        ]
        heading = module or 'all parameters'
        if drawing := figures.curves(f'Mean cosines over training: {heading}', rows, low, 1.0):
            drawn.append((heading, drawing))
    return drawn


def scatter(conflict: Conflict) -> str:
    """Draw what each cluster alone gains on each other against the mean of their cosines over the steps."""
    if not conflict.measured:
        return ''
    found = [cluster_cosines(each, conflict.clusters) for each in conflict.measured]
    cosines_NN, points = np.mean(found, axis=0), []
    for a, source in enumerate(conflict.clusters):
        for b, scored in enumerate(conflict.clusters):
            each = conflict.cell(ALONE + source, scored)
            if each is not None and a != b:
                cosine = float(cosines_NN[a, b])
                told = f'{source} alone, scored on {scored}: cosine {signed(cosine)}, gain {each.gain:+.1f}'
                points.append((cosine, each.gain, told))
    return figures.scatter(
        'Gain on B of tuning on A alone against the cosine of their gradients',
        points,
        'cosine',
        'gain in points',
    )
