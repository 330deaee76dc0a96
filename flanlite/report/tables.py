"""The results of a run, collected: what was held out, verdicts, the tables of the report, and the report as
Markdown.
"""

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from flanlite.data.specs import clusters
from flanlite.report import results
from flanlite.report.figures import number
from flanlite.report.results import HELD_IN, HELD_OUT, SYSTEMS, Result
from flanlite.report.scores import Summary
from flanlite.training.journal import read_metrics

FEW_COLUMNS = 3  # that fit side by side in 80 characters
CURVES = ('loss', 'accuracy')

METHOD = (
    'All scores are percent (0 to 100). A data set with answer options is scored by rank: the option with '
    'the greatest sum of token '
    'log-probabilities, without length normalisation. Others are decoded greedily and compared by the data '
    "set's own metric.",
    "Mean, sd, median and IQR are over the data set's templates (those that turn the task around are left "
    "out); a cluster's numbers "
    "are the means of its data sets' numbers.",
    'The 95% interval is a percentile bootstrap over the rows of the data set: all templates of a row are '
    'drawn together.',
    'The model tuned without instructions is asked with instructions, as in FLAN (section 4.3): without them '
    'it could not know the task.',
)


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of one run or sweep, with the curves of what was trained.

    Args:
        title: the heading.
        results: in the order of the tables: by what was held out, then by system.
        curves: {(held out, system): {metric: [(step, value)]}}; nothing held out is the empty text.
    """

    title: str
    results: tuple[Result, ...]
    curves: Mapping[tuple[str, str], Mapping[str, list[tuple[float, float]]]]

    def held_out(self) -> list[str]:
        """List what was held out: clusters' names, or other hold-outs', in the order of the results."""
        return [held_out for held_out in self.sections() if held_out]

    def sections(self) -> list[str | None]:
        """List what was held out, in the order of the results; None stands for results with nothing held
        out.
        """
        return list(dict.fromkeys(result.held_out for result in self.results))

    def of(self, held_out: str | None) -> dict[str, Result]:
        """Return the results with one thing held out, by system, in the order of the tables."""
        found = {result.system: result for result in self.results if result.held_out == held_out}
        return {system: found[system] for system in sorted(found, key=system_order)}

    def rows(self) -> list[dict[str, Any]]:
        """Return all scores as flat dictionaries with the same keys, as `pandas.DataFrame(report.rows())`
        takes them.
        """
        return [row for result in self.results for row in result.rows()]


def system_order(system: str) -> tuple[int, str]:
    """Return a sort key that orders systems as `SYSTEMS` does, and others by name behind them."""
    return (list(SYSTEMS).index(system), '') if system in SYSTEMS else (len(SYSTEMS), system)


def label(system: str) -> str:
    """Return the name of a system in tables."""
    return SYSTEMS[system][0] if system in SYSTEMS else system


def collect(folder: pathlib.Path, title: str = '') -> Report:
    """Read all results of a folder, and the training curves that lie beside them.

    Args:
        folder: of one evaluation, or of a sweep, with the results in `<held_out>/<system>/`.
        title: the report's heading; by default the run's name.

    Raises:
        ValueError: the folder holds no results, an unreadable one, or some of an earlier version.
    """
    found, curves = [], {}
    for path in results.result_paths(folder):
        result = results.load(path)
        found.append(result)
        if read := read_curves(path.parent):
            curves[result.held_out or '', result.system] = read
    found.sort(key=lambda result: (natural(result.held_out or ''), system_order(result.system)))
    if not found:
        raise ValueError(f'{folder} holds no results ({results.RESULT}) to report')
    return Report(title or found[0].run, tuple(found), curves)


def read_curves(model_dir: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """Read the curves of a run's metrics.jsonl: {metric: [(step, value)]}, without the metrics that have no
    points.
    """
    records = read_metrics(model_dir)
    curves = {
        name: [(record['step'], record[name]) for record in records if name in record] for name in CURVES
    }
    return {name: points for name, points in curves.items() if points}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How the tuned model compares with a rival.

    Args:
        rival: what it is compared with, in words.
        gain: the tuned model's mean score minus the rival's, in points.
        apart: whether the two 95% intervals do not overlap.
    """

    rival: str
    gain: float
    apart: bool

    def sentence(self) -> str:
        """Return the gain and the rival in words."""
        return f'{abs(self.gain):.1f} points {"above" if self.gain >= 0 else "below"} {self.rival}'


RIVALS = (
    (('untuned',), 'the untuned model with the same instructions'),
    (('untuned_plain',), 'the untuned model with its best plain prompt'),
    (('majority', 'chance'), 'the better simple rule'),
)


def verdict(systems: Mapping[str, Result]) -> list[Comparison]:
    """Compare the tuned model, on what was held out, with each of `RIVALS` that has a result; of two rules
    with the better one.
    """
    groups = {
        system: result.groups[HELD_OUT] for system, result in systems.items() if HELD_OUT in result.groups
    }
    comparisons = []
    for names, phrase in RIVALS:
        rivals = [groups[name] for name in names if name in groups]
        if rivals and 'tuned' in groups:
            tuned, best = groups['tuned'], max(rivals, key=lambda rival: rival.mean)
            above = all(tuned.low > rival.high for rival in rivals)
            comparisons.append(Comparison(phrase, tuned.mean - best.mean, above or tuned.high < best.low))
    return comparisons


def only_clusters(report: Report) -> bool:
    """Return whether nothing but clusters was held out."""
    return set(report.held_out()) <= set(clusters.CLUSTERS)


def overall(report: Report) -> list[str]:
    """Write a sentence for each rival: on how many hold-outs the tuned model is above it."""
    by_rival: dict[str, list[Comparison]] = {}
    for held_out in report.held_out():
        for comparison in verdict(report.of(held_out)):
            by_rival.setdefault(comparison.rival, []).append(comparison)
    sentences = []
    for rival, comparisons in by_rival.items():
        above = [comparison for comparison in comparisons if comparison.gain > 0]
        clear = sum(comparison.apart for comparison in above)
        kind = 'held-out clusters' if only_clusters(report) else 'hold-outs'
        share = f'{len(above)} of {len(comparisons)} {kind}'
        sentences.append(f'The tuned model is above {rival} on {share} ({clear} with 95% intervals apart).')
    return sentences


def summary_cells(summary: Summary) -> list[str]:
    """Return the four cells of a summary, as `SUMMARY_HEADINGS` names them; what was not measured is a
    dash.
    """
    mean, sd, median, q1, q3, low, high = (number(value) for value in dataclasses.astuple(summary))
    several, drawn = math.isfinite(summary.sd), math.isfinite(summary.low)
    over_templates = [f'{mean} ± {sd}', median, f'{q1} to {q3}'] if several else [mean, '–', '–']
    return [*over_templates, f'{low} to {high}' if drawn else '–']


SUMMARY_HEADINGS = ['mean ± sd', 'median', 'IQR', '95% interval']
HEADLINE_HEADINGS = ['held out', 'system', *SUMMARY_HEADINGS]


def headline_rows(report: Report) -> list[list[str]]:
    """Return a row for each hold-out and system: the summary over all that was held out."""
    rows = []
    for held_out in report.held_out():
        for system, result in report.of(held_out).items():
            if HELD_OUT in result.groups:
                rows.append([held_out, label(system), *summary_cells(result.groups[HELD_OUT])])
    return rows


LEVEL_HEADINGS = ['held out', 'system', 'level', 'data sets', *SUMMARY_HEADINGS]


def level_rows(report: Report) -> list[list[str]]:
    """Return a row for each hold-out, system and level of generalization; none where all that was scored is
    of a held-out cluster.
    """
    rows = []
    for held_out in report.held_out():
        for system, result in report.of(held_out).items():
            for level in (level for level in clusters.LEVELS if level in result.groups):
                count = sum(task.level == level for task in result.tasks)
                rows.append(
                    [
                        held_out,
                        label(system),
                        level.replace('_', ' '),
                        str(count),
                        *summary_cells(result.groups[level]),
                    ]
                )
    return rows if len({row[2] for row in rows} | {'held out cluster'}) > 1 else []


SERIES_HEADINGS = [
    'held out',
    'system',
    'tuned on clusters',
    'on data sets',
    *SUMMARY_HEADINGS,
    'mean by cluster',
]


def series_rows(report: Report) -> list[list[str]]:
    """Return a row for each result of a series: several with the same held-out data sets, tuned on more and
    more, as FLAN's ablations.
    """
    series: dict[tuple[str, frozenset[str]], list[Result]] = {}
    for result in report.results:
        data_sets = frozenset(task.task for task in result.tasks if task.level != HELD_IN)
        if result.trained and HELD_OUT in result.groups:
            series.setdefault((result.system, data_sets), []).append(result)
    rows = []
    for (system, _), members in series.items():
        for result in members if len(members) > 1 else ():
            means: dict[str, list[float]] = {}
            for task in result.tasks:
                if task.level != HELD_IN:
                    means.setdefault(task.cluster, []).append(task.summary.mean)
            by_cluster = ', '.join(
                f'{cluster} {number(sum(values) / len(values))}' for cluster, values in means.items()
            )
            counts = (str(len(result.trained)), str(sum(map(len, result.trained.values()))))
            rows.append(
                [
                    result.held_out or '',
                    label(system),
                    *counts,
                    *summary_cells(result.groups[HELD_OUT]),
                    by_cluster,
                ]
            )
    return rows


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders names by the numbers in them: `superglue_5` stands before
    `superglue_10`.
    """
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', name)]


def task_rows(systems: Mapping[str, Result]) -> list[list[str]]:
    """Return a row for each task and system of one hold-out; the systems of a task stand together."""
    tasks = dict.fromkeys((task.level, task.task) for result in systems.values() for task in result.tasks)
    rows = []
    for level, name in tasks:
        for system, result in systems.items():
            for task in result.tasks:
                if (task.level, task.task) == (level, name):
                    size = f'{task.num_rows:,} × {len(task.templates)}'
                    rows.append(
                        [
                            name,
                            level.replace('_', ' '),
                            label(system),
                            task.headline,
                            size,
                            *summary_cells(task.summary),
                        ]
                    )
    return rows


TASK_HEADINGS = ['data set', 'level', 'system', 'metric', 'rows × templates', *SUMMARY_HEADINGS]


def skipped_rows(report: Report) -> list[list[str]]:
    """Return a row for each hold-out, task without scores, and reason, with the systems that it holds for."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for result in report.results:
        for task, reason in result.skipped.items():
            reasons.setdefault((result.held_out or '', task, reason), []).append(label(result.system))
    return [
        [held_out, task, ', '.join(systems), reason] for (held_out, task, reason), systems in reasons.items()
    ]


SKIPPED_HEADINGS = ['held out', 'data set', 'systems', 'reason']


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; bars in cells are escaped, and line ends become spaces."""
    lines = [headings, ['---'] * len(headings), *rows]
    return [
        '| ' + ' | '.join(' '.join(cell.replace('|', '\\|').split()) for cell in cells) + ' |'
        for cells in lines
    ]


def trained_result(systems: Mapping[str, Result]) -> Result:
    """Return the first result of a tuned system, which says what was trained on and removed; without one, the
    first result.
    """
    return next((result for result in systems.values() if result.trained), next(iter(systems.values())))


def removal(systems: Mapping[str, Result]) -> str:
    """Write which clusters left training with what was held out, and which stayed."""
    result = trained_result(systems)
    gone = (
        f'also removed because they overlap with it: {", ".join(result.removed)}'
        if result.removed
        else 'nothing else had to be removed'
    )
    data_sets = sum(len(names) for names in result.trained.values())
    stayed = (
        f'; tuned on {data_sets} data sets of {len(result.trained)} clusters ({", ".join(result.trained)})'
        if data_sets
        else ''
    )
    return gone + stayed


def markdown(report: Report) -> str:
    """Return the report as Markdown."""
    lines = [f'# {report.title}', '', *([' '.join(sentences), ''] if (sentences := overall(report)) else [])]
    for held_out in report.held_out():
        systems = report.of(held_out)
        lines.append(f'- **Held out: {held_out}**; {removal(systems)}.')
        for comparison in verdict(systems):
            lines.append(
                f'  - tuned is {comparison.sentence()} (intervals '
                f'{"apart" if comparison.apart else "overlap"})'
            )
    if rows := headline_rows(report):
        lines += ['', '## What was held out', '', *markdown_table(HEADLINE_HEADINGS, rows)]
    for heading, headings, rows in extra_tables(report):
        lines += ['', f'## {heading}', '', *markdown_table(headings, rows)]
    lines += (
        ['', *(f'- {name}: {meaning}' for name, meaning in SYSTEMS.values())] if report.held_out() else []
    )
    for held_out in report.sections():
        heading = f'Data sets with {held_out} held out' if held_out else 'Data sets'
        lines += ['', f'## {heading}', '', *markdown_table(TASK_HEADINGS, task_rows(report.of(held_out)))]
    lines += ['', '## Skipped', '']
    skipped = skipped_rows(report)
    lines += markdown_table(SKIPPED_HEADINGS, skipped) if skipped else ['Nothing was skipped.']
    lines += [
        '',
        '## How the numbers were made',
        '',
        *(f'- {sentence}' for sentence in (*METHOD, *notes(report))),
    ]
    first = report.results[0]
    lines += ['', '## Environment', '', *(f'- {name}: {value}' for name, value in first.environment.items())]
    lines += ['', '## Configuration', '', '```', first.settings.strip(), '```', '']
    return '\n'.join(lines)


def extra_tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return (heading, column headings, rows) of each table that only some sweeps have."""
    tables = (
        ('Levels of generalization', LEVEL_HEADINGS, level_rows(report)),
        ('The same data sets held out, tuned on more', SERIES_HEADINGS, series_rows(report)),
    )
    return [table for table in tables if table[2]]


def notes(report: Report) -> list[str]:
    """Return the notes of all results, each once."""
    return list(dict.fromkeys(note for result in report.results for note in result.notes))


def print_headline(report: Report) -> None:
    """Print the results so far: a column for each hold-out, or, where these are many, for each system."""
    held_out = report.held_out()
    systems = sorted({result.system for result in report.results}, key=system_order)
    few = len(held_out) <= FEW_COLUMNS
    between = '  ' if few else '\n'
    cells = {
        (name, system): headline_cell(report.of(name).get(system), between)
        for name in held_out
        for system in systems
    }
    if few:
        table = Table('system', *held_out)
        for system in systems:
            table.add_row(label(system), *(cells[name, system] for name in held_out))
    else:
        headings = [label(system).replace(' ', '\n', 1) for system in systems]
        # Seven columns in 80 characters.
        table = Table('held out', *headings, box=box.SIMPLE, padding=0, show_edge=False)
        for name in held_out:
            table.add_row(name.replace('_', '_\n', 1), *(cells[name, system] for system in systems))
    Console().print(table)


def headline_cell(result: Result | None, between: str) -> str:
    """Return the mean and 95% interval over what was held out, with a text between the two; empty where there
    is no score.
    """
    if result is None or HELD_OUT not in result.groups:
        return ''
    group = result.groups[HELD_OUT]
    return f'{number(group.mean)}{between}{number(group.low)}-{number(group.high)}'


def print_tasks(result: Result) -> None:
    """Print the tasks of one result, and what was skipped."""
    table = Table('data set', 'metric', 'rows x templates', 'mean ± sd', '95% interval')
    for task in result.tasks:
        cells = summary_cells(task.summary)
        table.add_row(
            task.task, task.headline, f'{task.num_rows:,} x {len(task.templates)}', cells[0], cells[-1]
        )
    Console().print(table)
    for task, reason in result.skipped.items():
        print(f'skipped {task}: {reason}')
