"""Several models side by side: what `flanlite compare` writes."""

import itertools
import math
import pathlib
import string
from collections.abc import Iterator, Sequence
from typing import Any

from flanlite.report import costs, figures, page, paired, results, settings, tables
from flanlite.report.figures import number
from flanlite.report.page import PageTable, Plot
from flanlite.report.paired import Comparison
from flanlite.report.results import HELD_IN, SYSTEMS, Result

JSON, MARKDOWN, PAGE = paired.COMPARISONS
COLOURS = [f'm-{system}' for system in SYSTEMS]


def write(folder: pathlib.Path, compared: Sequence[Comparison], system: str = 'tuned') -> None:
    """Write comparison.html, comparison.md and comparison.json.

    Args:
        folder: where to.
        compared: the first model with each of the others.
        system: of sweeps.
    """
    kept = {
        'rows': [row for each in compared for row in each.rows()],
        'notes': list(dict.fromkeys(note for each in compared for note in each.notes)),
    }
    texts = {
        MARKDOWN: tables.paired_markdown(compared),
        JSON: results.to_json(kept),
        PAGE: page.render('comparison.html', values(compared, system)),
    }
    results.write_texts(folder, texts)


def values(compared: Sequence[Comparison], system: str) -> dict[str, Any]:
    """Return the values of the page."""
    paths = [compared[0].names[0], *(each.names[1] for each in compared)]
    runs = [[results.load(file) for file in paired.result_files(path, system)] for path in paths]
    names = list(itertools.islice(letters(), len(paths)))
    texts = {name: run[0].settings for name, run in zip(names, runs, strict=True)}
    machines = {
        name: '\n'.join(f'{what} = {which}' for what, which in run[0].environment.items())
        for name, run in zip(names, runs, strict=True)
    }
    return {
        'title': f'{len(paths)} models compared',
        'runs': list(
            zip(names, itertools.cycle(COLOURS), paths, (run[0].system for run in runs), strict=False)
        ),
        'score_plots': score_plots(names, compared),
        'scores': PageTable('Scores', ['data set', 'metric', *names], score_rows(runs)),
        'pairs': [
            {
                'heading': f'{names[0]} and {name}',
                'plots': difference_plots(names[0], name, each),
                'table': PageTable(
                    f'{names[0]} and {name}', headings(names[0], name), tables.paired_rows(each)
                ),
                'notes': each.notes,
            }
            for name, each in zip(names[1:], compared, strict=True)
        ],
        'method': paired.lines(compared[0])[-1],
        'settings': PageTable('Settings that differ', ['setting', *names], settings.differing(texts)),
        'environment': PageTable('Machines that differ', ['what', *names], settings.differing(machines)),
        'costs': PageTable('Costs', ['run', *costs.COST_HEADINGS[2:]], cost_rows(names, runs)),
    }


def letters() -> Iterator[str]:
    """Name runs A to Z, and then AA and so on."""
    for length in itertools.count(1):
        for found in itertools.product(string.ascii_uppercase, repeat=length):
            yield ''.join(found)


def headings(first: str, second: str) -> list[str]:
    """Return the headings of a table of two runs."""
    names = {'A': first, 'B': second, 'A - B': f'{first} - {second}'}
    return [names.get(heading, heading) for heading in tables.PAIRED_HEADINGS]


def score_plots(names: Sequence[str], compared: Sequence[Comparison]) -> list[Plot]:
    """Draw the score of each run over each cluster of several data sets and over all, on the rows that it and
    the first were asked; where there are neither, over each data set. What the others share other rows of
    with the first is left out, since bars of other rows are not to be compared.
    """
    keys = list(dict.fromkeys((row.kind, row.name) for each in compared for row in each.table))
    groups = [key for key in keys if key[0] != 'data set']
    plots = []
    for key in reversed(groups) if groups else keys:
        rows = [next((row for row in each.table if (row.kind, row.name) == key), None) for each in compared]
        firsts = {row.first for row in rows if row}
        if len(firsts) > 1:
            continue
        scores = [*firsts, *(row.second if row else math.nan for row in rows)]
        bars = [
            figures.Bar(colour, name, score, math.nan, math.nan)
            for colour, name, score in zip(itertools.cycle(COLOURS), names, scores, strict=False)
        ]
        plots.append(Plot(key[1], '', figures.bars(f'{key[1]}: score of each run', bars)))
    return plots


def difference_plots(first: str, second: str, compared: Comparison) -> list[Plot]:
    """Draw the difference of two runs on each data set, with its interval."""
    rows = [row for row in compared.table if row.kind == 'data set']
    names = page.shortened([row.name for row in rows])
    bars = [figures.Bar('m-tuned', names[row.name], row.difference, row.low, row.high) for row in rows]
    title = f'{first} less {second}'
    return [
        Plot(title, 'points, 95% interval', figures.bars(title, bars, percent=False, told='{:+.1f}'.format))
    ]


def score_rows(runs: Sequence[Sequence[Result]]) -> list[list[str]]:
    """Return a row for each data set and its metric: the score of each run by itself, with its interval."""
    scored = [
        {
            (task.task, task.headline): task
            for result in run
            for task in result.tasks
            if held_out(run, task.level)
        }
        for run in runs
    ]
    rows = []
    for key in dict.fromkeys(key for each in scored for key in each):
        cells = []
        for each in scored:
            task = each.get(key)
            summary = task and task.summary
            cell = number(summary.mean, task.percent) if task else '–'
            between = task is not None and summary.high > summary.low
            cells.append(f'{cell} ({number(summary.low)} to {number(summary.high)})' if between else cell)
        rows.append([*key, *cells])
    return rows


def held_out(run: Sequence[Result], level: str) -> bool:
    """Return whether data sets of a level are compared: all of an evaluation, what is held out of a sweep."""
    return run[0].held_out is None or level != HELD_IN


def cost_rows(names: Sequence[str], runs: Sequence[Sequence[Result]]) -> list[list[str]]:
    """Return the costs of each run, of all its results together."""
    return [
        [name, *costs.cost_cells([each.seconds for each in run], [each.costs for each in run])]
        for name, run in zip(names, runs, strict=True)
    ]
