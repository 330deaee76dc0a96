"""The tables of the report, the report as Markdown, and what is printed of it."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table

from flanlite.data.specs import clusters
from flanlite.report import paired, results, seeds
from flanlite.report.collected import Report, label, system_order
from flanlite.report.figures import number, visible
from flanlite.report.results import HELD_IN, HELD_OUT, Result, TaskResult, averages, is_shared
from flanlite.report.scores import Summary, over_templates

FEW_COLUMNS = 3  # that fit side by side in 80 characters

METHOD = (
    'All scores are percent (0 to 100). A data set with answer options is scored by rank: the option with '
    'the greatest sum of token '
    'log-probabilities, without length normalisation. Others are decoded greedily and compared by the data '
    "set's own metric.",
    "Mean, sd, median and IQR are over the data set's templates (those that turn the task around are left "
    "out); a cluster's numbers "
    "are the means of its data sets' numbers.",
    'The 95% interval is a percentile bootstrap over the rows of the data set: all templates of a row are '
    'drawn together. Where every row scores 100, or every row 0, all draws agree, and the interval is '
    "Wilson's for as many rows; any other score on which all draws agree, such as chance between two "
    'options, has none.',
)
COMPARED = (
    'Two systems are compared by the difference of their means, with the 95% interval of that difference: a '
    'paired bootstrap, which scores both on the same draws of rows.'
)
OVER_SEEDS = (
    'A system that was tuned with several seeds has the mean over them, also of each template. The 95% '
    'interval of such a mean, and of a difference, holds two sources of variance: other rows (the bootstrap '
    "of the mean over the seeds) and other seeds (Student's t with a degree of freedom less than seeds); "
    'what each reaches to a side is put together as the root of the sum of squares; that of a mean ends '
    'where scores do, at 0 and 100. Curves and predictions are of the first seed.'
)
NO_INSTRUCTIONS = (
    'The model tuned without instructions is asked with instructions, as in FLAN (section 4.3): without them '
    'it could not know the task.'
)


def summary_cells(summary: Summary, percent: bool = True) -> list[str]:
    """Return the four cells of a summary, as `SUMMARY_HEADINGS` names them; what was not measured is a
    dash.
    """
    mean, sd, median, q1, q3, low, high = (number(value, percent) for value in dataclasses.astuple(summary))
    over_templates = [median, f'{q1} to {q3}'] if math.isfinite(summary.sd) else ['–', '–']
    first = f'{mean} ± {sd}' if math.isfinite(summary.sd) else mean
    return [first, f'{low} to {high}' if summary.high > summary.low else '–', *over_templates]


SUMMARY_HEADINGS = ['mean ± sd', '95% interval', 'median', 'IQR']
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


AVERAGE_HEADINGS = ['group', 'metric', 'held out', 'system', 'data sets', 'rows', 'macro', 'micro']


def average_rows(report: Report) -> list[list[str]]:
    """Return a row for each average over a benchmark's groups of data sets; see `results.averages`."""
    return [
        [
            average.category or 'all',
            average.metric,
            result.held_out or '',
            label(result.system),
            f'{average.data_sets}',
            f'{average.num_rows:,}',
            number(average.macro),
            number(average.micro),
        ]
        for result in report.results
        for average in averages(result.tasks)
    ]


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
            counts = (str(len(result.trained_clusters)), str(len(result.trained_tasks)))
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


def task_rows(systems: Mapping[str, Result]) -> list[list[str]]:
    """Return a row for each task, metric and system of one hold-out; the systems of a metric stand
    together.
    """
    tasks = dict.fromkeys((task.level, task.task) for result in systems.values() for task in result.tasks)
    rows = []
    for level, name in tasks:
        found = [
            (system, task)
            for system, result in systems.items()
            for task in result.tasks
            if (task.level, task.task) == (level, name)
        ]
        for metric in dict.fromkeys(metric for _, task in found for metric in task.templates[0]['scores']):
            rows += [
                [
                    name,
                    metric,
                    level.replace('_', ' '),
                    label(system),
                    *summary_cells(
                        task.summary if metric == task.headline else spread(task, metric), task.percent
                    ),
                    f'{task.num_rows:,} × {len(task.templates)}',
                ]
                for system, task in found
                if metric in task.templates[0]['scores']
            ]
    return rows


SEEDS = 'Seeds'
SEED_HEADINGS = [
    'held out',
    'system',
    'mean of each seed',
    'mean',
    'sd over seeds',
    'sd over rows',
    '95% interval',
]


def seed_rows(report: Report) -> list[list[str]]:
    """Return a row for each system that was tuned with several seeds: its scores, and both sources of their
    variance.
    """
    rows = []
    for result in report.results:
        key = (result.held_out or '', result.system)
        found = [each for each in report.by_seed.get(key, ()) if HELD_OUT in each.groups]
        if len(found) > 1 and HELD_OUT in result.groups:
            means = [each.groups[HELD_OUT].mean for each in found]
            summary, tasks = result.groups[HELD_OUT], results.members(result.tasks)[HELD_OUT]
            each = ', '.join(f'{number(mean)} ({one.seed})' for mean, one in zip(means, found, strict=True))
            spreads = seeds.deviation(means), seeds.deviation_over_rows(report.resamples[key], tasks)
            interval = f'{number(summary.low)} to {number(summary.high)}'
            cells = [each, number(summary.mean), *map(number, spreads), interval]
            rows.append([key[0], label(result.system), *cells])
    return rows


TASK_HEADINGS = ['data set', 'metric', 'level', 'system', *SUMMARY_HEADINGS, 'rows × templates']


def spread(task: TaskResult, metric: str) -> Summary:
    """Summarize a score other than the headline over a task's templates; it has no interval."""
    values = [template['scores'][metric] for template in task.templates]
    return over_templates([math.nan if value is None else value for value in values])


def template_rows(report: Report, held_out: str | None) -> tuple[list[str], list[list[str]]]:
    """Return the headings and rows of the templates' scores with one thing held out: a row for each wording
    that a system read, a column for each system.
    """
    systems = report.of(held_out)
    scores: dict[tuple[str, int, str], dict[str, str]] = {}
    for system, result in systems.items():
        for task in result.tasks:
            for template in task.templates:
                if template['template'] is not None:
                    value = template['scores'][task.headline]
                    key = (task.task, template['template'], template.get('text', ''))
                    scores.setdefault(key, {})[system] = number(math.nan if value is None else value)
    asked = [system for system in systems if any(system in each for each in scores.values())]
    tasks = list(dict.fromkeys(task for task, _, _ in scores))
    rows = [
        [task, str(index), text, *(scores[task, index, text].get(system, '') for system in asked)]
        for task, index, text in sorted(scores, key=lambda key: tasks.index(key[0]))
    ]
    return ['data set', 'template', 'wording', *map(label, asked)], rows


PREDICTIONS = 'Every question with its answer'
PREDICTION_HEADINGS = ['held out', 'system', 'data sets']


def prediction_rows(report: Report) -> list[tuple[str, str, Mapping[str, str]]]:
    """Return what was held out, the system and the files of predictions by data set, for each result that
    kept them.
    """
    return [
        (held_out, label(system), files)
        for result in report.results
        for held_out, system in [(result.held_out or '', result.system)]
        if (files := report.predictions.get((held_out, system)))
    ]


LEFT_OUT_HEADINGS = ['hold-out', 'what', 'what became of it', 'systems', 'reason']


def left_out_rows(report: Report) -> list[list[str]]:
    """Return a row for each cluster that was held out or removed, and for each data set that was skipped,
    with the reason.
    """
    rows = []
    for held_out in report.sections():
        systems, own = report.of(held_out), []
        if held_out:
            result = trained_result(systems)
            tasks = dict.fromkeys(
                task.task for each in systems.values() for task in each.tasks if task.level != HELD_IN
            )
            gone = (
                f'all are scored, and none was tuned on: {", ".join(tasks)}'
                if tasks
                else 'nothing of it was scored'
            )
            own.append([held_out, held_out, 'held out', '', gone])
            own += [
                [
                    held_out,
                    name,
                    'removed from tuning',
                    '',
                    f'it overlaps with {held_out} (FLAN, section 2.2)',
                ]
                for name in result.removed
            ]
        reasons: dict[tuple[str, str], list[str]] = {}
        for result in systems.values():
            for task, reason in result.skipped.items():
                reasons.setdefault((task, reason), []).append(label(result.system))
        rows += own
        rows += [
            [held_out or '', task, 'skipped', ', '.join(names), reason]
            for (task, reason), names in reasons.items()
        ]
    return rows


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, without the columns in which all cells are empty; see `markdown_line`."""
    filled = [any(cells) for cells in zip(*rows, strict=True)] or headings
    lines = [headings, ['---'] * len(headings), *rows]
    return [
        '| ' + ' | '.join(map(markdown_line, itertools.compress(cells, filled))) + ' |' for cells in lines
    ]


def markdown_line(text: str) -> str:
    """Write a text so that it stays on one line of Markdown and in one cell: line ends become spaces, what
    has no shape its number, and neither bars nor tags count.
    """
    return visible(' '.join(text.split())).replace('|', '\\|').replace('<', '\\<')


def trained_result(systems: Mapping[str, Result]) -> Result:
    """Return the first result of a system that is tuned for a hold-out, which says what was trained on and
    removed; without one, the first result.
    """
    own = [result for system, result in systems.items() if not is_shared(system)] or list(systems.values())
    return next((result for result in own if result.trained), own[0])


def extra_tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return (heading, column headings, rows) of each table that only some sweeps have."""
    tables = (
        ('Averages', AVERAGE_HEADINGS, average_rows(report)),
        ('Levels of generalization', LEVEL_HEADINGS, level_rows(report)),
        ('The same data sets held out, tuned on more', SERIES_HEADINGS, series_rows(report)),
        (SEEDS, SEED_HEADINGS, seed_rows(report)),
    )
    return [table for table in tables if table[2]]


def method(report: Report) -> list[str]:
    """Return how the numbers of these systems were made, and the notes of all results, each once."""
    systems = {result.system for result in report.results}
    compared = [COMPARED] if len(systems) > 1 else []
    compared += [OVER_SEEDS] if report.by_seed else []
    fields_only = [NO_INSTRUCTIONS] if 'no_instructions' in systems else []
    notes = dict.fromkeys(note for result in report.results for note in result.notes)
    return [*METHOD, *compared, *fields_only, *notes]


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
    Console(emoji=False, markup=False).print(table)


def headline_cell(result: Result | None, between: str) -> str:
    """Return the mean and 95% interval over what was held out, with a text between the two; empty where there
    is no score.
    """
    if result is None or HELD_OUT not in result.groups:
        return ''
    group = result.groups[HELD_OUT]
    if not group.high > group.low:
        return number(group.mean)
    return f'{number(group.mean)}{between}{number(group.low)}-{number(group.high)}'


PAIRED_HEADINGS = ['data set or cluster', 'rows', 'A', 'B', 'A - B', '95% interval', 'p', 'p, corrected']


def paired_rows(compared: paired.Comparison) -> list[list[str]]:
    """Return the cells of a comparison of two models."""
    return [paired_cells(row) for row in compared.table]


def paired_cells(row: paired.Row) -> list[str]:
    """Return the cells of a line of a comparison."""
    name = row.name if row.kind != 'cluster' else f'{row.name} (cluster)'
    signed = ['–' if math.isnan(x) else f'{x:+.1f}' for x in (row.difference, row.low, row.high)]
    chances = ['–' if math.isnan(x) else f'{x:.4f}' for x in (row.p, row.adjusted)]
    between = '–' if signed[1] == '–' else f'{signed[1]} to {signed[2]}'
    return [name, str(row.rows), number(row.first), number(row.second), signed[0], between, *chances]


def print_paired(compared: paired.Comparison) -> None:
    """Print a comparison of two models."""
    table = Table(
        Column(PAIRED_HEADINGS[0], overflow='fold'), *PAIRED_HEADINGS[1:], box=box.SIMPLE, pad_edge=False
    )
    for cells in paired_rows(compared):
        table.add_row(*cells)
    Console(emoji=False, markup=False).print(table)
    for line in (*paired.lines(compared), *compared.notes):
        print(line)


def paired_markdown(compared: Sequence[paired.Comparison]) -> str:
    """Write comparisons of two models each as Markdown."""
    parts = ['# Two models compared' if len(compared) == 1 else f'# {len(compared) + 1} models compared', '']
    for each in compared:
        if len(compared) > 1:
            parts += [f'## {each.names[0]} and {each.names[1]}', '']
        notes = [f'- {markdown_line(line)}' for line in (*paired.lines(each), *each.notes)]
        parts += [*markdown_table(PAIRED_HEADINGS, paired_rows(each)), '', *notes, '']
    return '\n'.join(parts)


def print_tasks(result: Result) -> None:
    """Print the scores of one result, what was skipped, and what a reader should know."""
    table = Table(
        Column('data set', overflow='fold'),
        Column('metric', overflow='fold'),
        'rows x\ntemplates',
        'mean ± sd',
        '95% interval',
        box=box.SIMPLE,  # names of 20 characters in a width of 80
        show_edge=False,
        pad_edge=False,
    )
    for name, metric, _, _, mean, interval, _, _, size in task_rows({result.system: result}):
        table.add_row(name, metric, size.replace('×', 'x'), mean, interval)
    Console(emoji=False, markup=False).print(table)
    if found := averages(result.tasks):
        means = Table('group', 'metric', 'data sets', 'rows', 'macro', 'micro', box=box.SIMPLE)
        for each in found:
            sizes = f'{each.data_sets}', f'{each.num_rows:,}'
            means.add_row(each.category or 'all', each.metric, *sizes, number(each.macro), number(each.micro))
        Console(emoji=False, markup=False).print(means)
    for task, reason in result.skipped.items():
        print(f'skipped {task}: {reason}')
    for note in result.notes:
        print(note)
