r"""The tables of a report in LaTeX, with booktabs and longtable: `\input` the file, or copy a table of it."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2

from flanlite.report import costs, tables
from flanlite.report.collected import Report
from flanlite.report.figures import visible
from flanlite.report.page import FOLDER, named

SPECIAL = {
    '\\': r'\textbackslash{}', '{': r'\{', '}': r'\}', '$': r'\$', '&': r'\&', '#': r'\#', '%': r'\%',
    '_': r'\_\allowbreak{}', '~': r'\textasciitilde{}', '^': r'\textasciicircum{}', '–': '--', '±': r'$\pm$',
    '×': r'$\times$', '<': r'\textless{}', '>': r'\textgreater{}', '|': r'\textbar{}',
    '"': r'\textquotedbl{}',
    '→': r'$\rightarrow$', '⟨': r'$\langle$', '⟩': r'$\rangle$', '…': r'\dots{}',
}  # fmt: skip
LONG = 40  # characters that stay on one line
NUMBER = re.compile(r'[+-]?[\d,]+(\.\d+)?(e[+-]?\d+)?%?( ± .*| to .*| × .*| s)?|–|')


class LatexTable(NamedTuple):
    """A table: its caption, its label, the headings and alignment of its columns, and its cells."""

    caption: str
    label: str
    headings: Sequence[str]
    alignment: str
    rows: Sequence[Sequence[str]]


def latex(report: Report) -> str:
    """Return the report's tables."""
    found = [('What was held out', tables.HEADLINE_HEADINGS, tables.headline_rows(report))]
    found += tables.extra_tables(report)
    for held_out in report.sections():
        rows = tables.task_rows(report.of(held_out))
        found.append((named('Data sets', held_out), tables.TASK_HEADINGS, rows))
    found.append(('Costs', costs.COST_HEADINGS, costs.cost_rows(report)))
    found.append(('Held out, removed, skipped', tables.LEFT_OUT_HEADINGS, tables.left_out_rows(report)))
    made = [table(*each) for each in found if each[2]]
    return environment().get_template('report.tex').render(title=report.title, tables=made)


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> LatexTable:
    """Make a table of cells; columns in which all are empty are left out, and numbers stand right."""
    kept = [place for place, cells in enumerate(zip(*rows, strict=True)) if any(cells)]
    columns = [[row[place] for row in rows] for place in kept]
    sides = ''.join(map(alignment, columns))
    name = re.sub(r'\W+', '-', caption.lower()).strip('-')
    return LatexTable(
        caption, name, [headings[place] for place in kept], sides, list(zip(*columns, strict=True))
    )


def alignment(column: Sequence[str]) -> str:
    """Say how a column stands: numbers at the right, long texts in lines of a third of the page."""
    if all(map(NUMBER.fullmatch, column)):
        return 'r'
    return r'p{.33\linewidth}' if max(map(len, column)) > LONG else 'l'


def environment() -> jinja2.Environment:
    """Return what fills the template, whose marks are those that LaTeX does not use."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        block_start_string='<%',
        block_end_string='%>',
        variable_start_string='<<',
        variable_end_string='>>',
        comment_start_string='<#',
        comment_end_string='#>',
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters['tex'] = tex
    return found


def tex(value: Any) -> str:
    """Write a text so that LaTeX sets it as it is, on one line."""
    return ''.join(SPECIAL.get(letter, letter) for letter in ' '.join(visible(str(value)).split()))
