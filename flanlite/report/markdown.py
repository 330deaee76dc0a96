"""The report as Markdown."""

from collections.abc import Mapping

from flanlite.report import comparisons, costs, tables
from flanlite.report.collected import Report
from flanlite.report.results import SYSTEMS, Result
from flanlite.report.tables import markdown_line, markdown_table


def removal(systems: Mapping[str, Result]) -> str:
    """Write which clusters left training with what was held out, and which stayed."""
    result = tables.trained_result(systems)
    gone = (
        f'also removed because they overlap with it: {", ".join(result.removed)}'
        if result.removed
        else 'nothing else had to be removed'
    )
    of = result.trained_clusters
    stayed = (
        f'; tuned on {len(result.trained_tasks)} data sets of {len(of)} clusters ({", ".join(of)})'
        if result.trained
        else ''
    )
    return gone + stayed


def text(report: Report) -> str:
    """Return the whole report."""
    lines = [
        f'# {markdown_line(report.title)}',
        '',
        *([' '.join(sentences), ''] if (sentences := comparisons.overall(report)) else []),
    ]
    for held_out in report.held_out():
        systems = report.of(held_out)
        lines.append(f'- **Held out: {held_out}**; {removal(systems)}.')
        for comparison in comparisons.verdict(report, held_out):
            lines.append(f'  - tuned is {comparison.sentence()} (95% interval: {comparison.interval()})')
    if rows := tables.headline_rows(report):
        lines += ['', '## What was held out', '', *markdown_table(tables.HEADLINE_HEADINGS, rows)]
    for heading, headings, rows in tables.extra_tables(report):
        lines += ['', f'## {heading}', '', *markdown_table(headings, rows)]
    lines += (
        ['', *(f'- {name}: {meaning}' for name, meaning in SYSTEMS.values())] if report.held_out() else []
    )
    for held_out in report.sections():
        heading = f'Data sets with {held_out} held out' if held_out else 'Data sets'
        lines += [
            '',
            f'## {heading}',
            '',
            *markdown_table(tables.TASK_HEADINGS, tables.task_rows(report.of(held_out))),
        ]
    if rows := tables.prediction_rows(report):
        links = [
            [*row[:-1], ', '.join(f'[{task}]({path})' for task, path in row[-1].items())] for row in rows
        ]
        lines += ['', f'## {tables.PREDICTIONS}', '', *markdown_table(tables.PREDICTION_HEADINGS, links)]
    lines += ['', '## Held out, removed, skipped', '']
    left_out = tables.left_out_rows(report)
    lines += markdown_table(tables.LEFT_OUT_HEADINGS, left_out) if left_out else ['Nothing was left out.']
    lines += ['', '## Costs', '', *markdown_table(costs.COST_HEADINGS, costs.cost_rows(report))]
    lines += [
        '',
        '## How the numbers were made',
        '',
        *(f'- {markdown_line(sentence)}' for sentence in tables.method(report)),
    ]
    first = report.results[0]
    lines += ['', '## Environment', '', *(f'- {name}: {value}' for name, value in first.environment.items())]
    lines += ['', '## Configuration', '', '```', first.settings.strip(), '```', '']
    return '\n'.join(lines)
