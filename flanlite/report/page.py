"""What the pages of this folder share: their tables and plots, how text of strangers is shown, and what fills
a template.

A page is one file. It asks nothing of the network, which its content security policy lets the browser
enforce: the only script that runs is the page's own, known by its hash.
"""

import base64
import collections
import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from flanlite.report.collected import label
from flanlite.report.figures import visible
from flanlite.report.results import SYSTEMS

FOLDER = pathlib.Path(__file__).parent
LABEL_LENGTH = 15  # characters that fit beside a plot
SCRIPT = 'page.js'


class Plot(NamedTuple):
    """A plot with its heading and the metric it shows."""

    heading: str
    metric: str
    drawing: str


@dataclasses.dataclass(frozen=True)
class PageTable:
    """A table of a page.

    Args:
        caption: what it shows.
        headings: of the columns.
        rows: their cells; those of the first columns that rows share are written once, above them.
        shared: the number of these columns.
        links: the anchor of what a first cell names, by the cell's text.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    shared: int = 0
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def blocks(self) -> list[tuple[tuple[str, ...], list[Sequence[Any]]]]:
        """Return the rows that share their first cells, with these cells, in the order of the rows."""
        found: dict[tuple[str, ...], list[Sequence[Any]]] = {}
        for row in self.rows:
            found.setdefault(tuple(row[: self.shared]), []).append(row[self.shared :])
        return list(found.items())


def render(template: str, values: Mapping[str, Any]) -> str:
    """Fill a page's template."""
    return environment().get_template(template).render(values)


def environment() -> jinja2.Environment:
    """Return what fills the pages of this folder."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=jinja2.select_autoescape(['html']),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    script = (FOLDER / SCRIPT).read_text(encoding='utf-8')
    digest = base64.b64encode(hashlib.sha256(f'\n{script}'.encode()).digest()).decode()
    found.filters |= {'label': label, 'colour': colour, 'visible': visible}
    found.globals |= {'script_hash': f'sha256-{digest}', 'colours': {}}
    return found


def colour(system: str) -> str:
    """Return the CSS class of a system's colour; a checkpoint that is none of `SYSTEMS` has the colour of the
    tuned one.
    """
    return f'm-{system if system in SYSTEMS else "tuned"}'


def shorten(name: str, length: int = LABEL_LENGTH) -> str:
    """Shorten a label to what fits beside a plot."""
    return name if len(name) <= length else name[: length - 1] + '…'


def shortened(names: Sequence[str]) -> dict[str, str]:
    """Shorten the labels of one plot: where one is too long, without the words that all begin with, such as
    the name of a collection; those that would be alike keep their ends.
    """
    words = {name: name.split('_') for name in names}
    shared = 0
    if len(words) > 1 and max(map(len, names)) > LABEL_LENGTH:
        alike = itertools.takewhile(
            lambda each: len(set(each)) == 1, zip(*(each[:-1] for each in words.values()), strict=False)
        )
        shared = len(list(alike))
    own = {name: '_'.join(each[shared:]) for name, each in words.items()}
    found = {name: shorten(label) for name, label in own.items()}
    count = collections.Counter(found.values())
    ends = LABEL_LENGTH // 2
    return {
        name: short if count[short] == 1 else f'{own[name][: LABEL_LENGTH - ends - 1]}…{own[name][-ends:]}'
        for name, short in found.items()
    }


def named(caption: str, held_out: str | None) -> str:
    """Add to a caption what was held out, if anything was."""
    return f'{caption} with {held_out} held out' if held_out else caption
