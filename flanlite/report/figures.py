"""Plots as inline SVG: bars with intervals, boxes over templates, curves over steps. Colours are the page's
CSS classes.

Each plot is as wide as a phone's screen, so that it is legible there; a page sets several side by side where
there is room.
"""

import dataclasses
import functools
import html
import math
import re
from collections.abc import Callable, Sequence

import numpy as np

WIDTH = 380
LABEL_WIDTH = 106
VALUE_WIDTH = 44
ROW = 26
AXIS = 22
CURVE_HEIGHT = 210
CURVE_POINTS = 240
MARKERS = 6  # on a curve
CELL = (46, 34)  # the width of a heat map's cell of few columns, and of more than `FEW`
FEW = 8
CELL_HEIGHT = 24
LETTER = 7.0  # the width of a letter, about
SLANT = math.radians(40)  # of headings
LEGEND_ROW = 16  # the height of a line of curves' names below a plot
# Control characters, which HTML has no place for, and those that turn the direction of what follows.
UNSEEN = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff\ud800-\udfff]'
)
PERCENT = ((0, 25, 50, 75, 100), (-100, -50, 0, 50, 100))  # ticks; the latter where a correlation is negative


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar of a plot: a CSS colour class, its label, the value and the ends of its interval (nan without
    one).
    """

    colour: str
    label: str
    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Box:
    """One row of a box plot: a CSS colour class, its label, and (name, value, more) points; the tooltip shows
    `more` below.
    """

    colour: str
    label: str
    points: Sequence[tuple[str, float, str]]


@dataclasses.dataclass(frozen=True)
class Curve:
    """One curve: a CSS colour class, its label, (x, y) points, and the ends of an interval at each of these,
    where there are some.
    """

    colour: str
    label: str
    points: Sequence[tuple[float, float]]
    ends: Sequence[tuple[float, float]] = ()


@dataclasses.dataclass(frozen=True)
class Reliability:
    """The answers of a system by the probability that it gave them: a CSS colour class, its label, and for
    each bin the sum of these probabilities, how many answers are right, and how many there are.
    """

    colour: str
    label: str
    bins: np.ndarray


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a heat map: its text, how strong its colour is (from -1 to 1, the sign chooses it; nan for
    none), and its tooltip.
    """

    text: str
    strength: float
    label: str


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` evenly spaced round numbers that enclose a range."""
    span = max(high - low, 1e-9)
    rough = span / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def score_ticks(values: Sequence[float], percent: bool) -> Sequence[float]:
    """Return the ticks of an axis for scores. All axes of percent are alike, so that plots side by side
    compare: from 0 to 100, or from -100 where a correlation is negative. Others enclose their values and 0.
    """
    finite = [value for value in values if math.isfinite(value)]
    if percent:
        return PERCENT[min(finite, default=0.0) < 0]
    return ticks(min(0.0, *finite), max(0.0, *finite)) if finite else ticks(0, 1)


def number(value: float, percent: bool = True) -> str:
    """Return a score: percent with one decimal, in other units with four digits; a dash where it is not
    finite.
    """
    if not math.isfinite(value):
        return '–'
    return f'{value:.1f}' if percent else f'{value:.4g}'


def tick_label(value: float) -> str:
    """Return the label of a tick; 1500 becomes 1.5k."""
    return f'{value / 1000:g}k' if abs(value) >= 1000 else f'{value:g}'


def visible(text: str) -> str:
    """Show the characters of a text that a page cannot have, or that would change how the rest of it reads:
    U+202E becomes ⟨U+202E⟩.
    """
    return UNSEEN.sub(lambda found: f'⟨U+{ord(found[0]):04X}⟩', text)


def escape(text: str) -> str:
    """Write a text as HTML has it."""
    return html.escape(visible(text))


def svg(height: float, title: str, parts: Sequence[str], width: float = WIDTH) -> str:
    """Return the SVG of a plot with its parts; the title is for screen readers."""
    name = escape(title)
    body = '\n'.join(parts)
    head = f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">'
    return f'{head}\n{body}\n</svg>'


def text(x: float, y: float, label: str, kind: str = '', anchor: str = 'start') -> str:
    """Return a text at a place, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(label)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a line between two places."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def hover(label: str, *parts: str) -> str:
    """Return shapes grouped under one tooltip."""
    return f'<g class="mark"><title>{escape(label)}</title>{"".join(parts)}</g>'


class ScoreAxis:
    """The horizontal axis of scores, for bars and boxes.

    Args:
        values: all that is drawn.
        rows: the number of rows above the axis.
        percent: see `score_ticks`.
    """

    def __init__(self, values: Sequence[float], rows: int, percent: bool) -> None:
        self.ticks = score_ticks(values, percent)
        self.left, self.right = LABEL_WIDTH, WIDTH - VALUE_WIDTH
        self.bottom = rows * ROW + 4
        self.height = self.bottom + AXIS

    def x(self, value: float) -> float:
        """Return the horizontal place of a score; scores beyond the axis stand at its ends."""
        share = (value - self.ticks[0]) / (self.ticks[-1] - self.ticks[0])
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def parts(self) -> list[str]:
        """Return the grid lines and the tick labels."""
        drawn = []
        for tick in self.ticks:
            drawn.append(line(self.x(tick), 2, self.x(tick), self.bottom, 'zero' if tick == 0 else 'grid'))
            drawn.append(text(self.x(tick), self.bottom + 15, tick_label(tick), 'tick', 'middle'))
        return drawn


def bars(
    title: str,
    rows: Sequence[Bar],
    reference: float = math.nan,
    percent: bool = True,
    told: Callable[[float], str] | None = None,
) -> str:
    """Draw horizontal bars with their intervals.

    Args:
        title: for screen readers.
        rows: the bars from top to bottom.
        reference: the score where a dashed line stands; nan for none.
        percent: whether the scores are percent; else they are in units of their own.
        told: writes a value; by default `number`.
    """
    told = told or functools.partial(number, percent=percent)
    values = [reference, *(value for bar in rows for value in (bar.value, bar.low, bar.high))]
    axis = ScoreAxis(values, len(rows), percent)
    parts = axis.parts()
    for index, bar in enumerate(rows):
        middle = index * ROW + ROW / 2 + 2
        parts.append(text(axis.left - 8, middle + 4, bar.label, 'label', 'end'))
        parts.append(text(WIDTH, middle + 4, told(bar.value), 'value', 'end'))
        if not math.isfinite(bar.value):
            continue
        start, end = sorted((axis.x(0), axis.x(bar.value)))
        width = max(end - start, 1)
        shapes = [
            f'<rect x="{start:.1f}" y="{middle - 8:.1f}" width="{width:.1f}" height="16" rx="2" class="fill '
            f'{bar.colour}"/>'
        ]
        label = f'{bar.label}: {told(bar.value)}'
        if math.isfinite(bar.low) and bar.high > bar.low:
            low, high = axis.x(bar.low), axis.x(bar.high)
            strokes = [(low, middle, high, middle)]
            strokes += [(end, middle - 4, end, middle + 4) for end in (low, high)]
            shapes += [line(*stroke, kind) for kind in ('halo', 'whisker') for stroke in strokes]
            label += f' (95% interval {told(bar.low)} to {told(bar.high)})'
        parts.append(hover(label, *shapes))
    if math.isfinite(reference):
        parts.append(
            hover(
                f'chance or copy: {number(reference)}',
                line(axis.x(reference), 2, axis.x(reference), axis.bottom, 'reference'),
            )
        )
    return svg(axis.height, title, parts)


def boxes(title: str, rows: Sequence[Box], reference: float = math.nan, percent: bool = True) -> str:
    """Draw a box plot: quartiles, whiskers to the extremes, and each point; for the arguments see `bars`."""
    values = [reference, *(value for box in rows for _, value, _ in box.points)]
    axis = ScoreAxis(values, len(rows), percent)
    parts = axis.parts()
    if math.isfinite(reference):
        parts.append(
            hover(
                f'chance or copy: {number(reference)}',
                line(axis.x(reference), 2, axis.x(reference), axis.bottom, 'reference'),
            )
        )
    for index, box in enumerate(rows):
        middle = index * ROW + ROW / 2 + 2
        values = [value for _, value, _ in box.points if math.isfinite(value)]
        parts.append(text(axis.left - 8, middle + 4, box.label, 'label', 'end'))
        if not values:
            continue
        low, q1, median, q3, high = (
            float(quantile) for quantile in np.percentile(values, [0, 25, 50, 75, 100])
        )
        parts.append(text(WIDTH, middle + 4, number(median), 'value', 'end'))
        if len(values) > 1:
            width = max(axis.x(q3) - axis.x(q1), 1.5)
            parts.append(
                hover(
                    f'{box.label}: median {number(median)}, quartiles {number(q1)} to {number(q3)}, range '
                    f'{number(low)} to {number(high)}',
                    line(axis.x(low), middle, axis.x(high), middle, f'stroke {box.colour}'),
                    f'<rect x="{axis.x(q1):.1f}" y="{middle - 8:.1f}" width="{width:.1f}" height="16" rx="2" '
                    f'class="box {box.colour}"/>',
                    line(axis.x(median), middle - 8, axis.x(median), middle + 8, f'median {box.colour}'),
                )
            )
        for place, (name, value, more) in enumerate(box.points):
            if math.isfinite(value):
                y = middle + (place % 3 - 1) * 3.2
                y, radius = (y, 2.8) if len(values) > 1 else (middle, 4)
                dot = f'<circle cx="{axis.x(value):.1f}" cy="{y:.1f}" r="{radius}" class="dot {box.colour}"/>'
                parts.append(
                    hover(f'{box.label}, {name}: {number(value)}' + (f'\n{more}' if more else ''), dot)
                )
    return svg(axis.height, title, parts)


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `CURVE_POINTS` points: averages of neighbours, without those that are not finite."""
    finite = np.array([point for point in points if math.isfinite(point[1])], np.float64).reshape(-1, 2)
    neighbours = np.array_split(finite, min(CURVE_POINTS, max(len(finite), 1)))
    return [tuple(points.mean(axis=0).tolist()) for points in neighbours if len(points)]


def marker(shape: int, x: float, y: float, colour: str) -> str:
    """Return a small circle, square, triangle or diamond, by the number of its shape."""
    kind = f'class="dot {colour}"'
    if shape % 4 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" {kind}/>'
    corners = (
        ((-3, -3), (3, -3), (3, 3), (-3, 3)),
        ((0, -3.8), (3.6, 2.8), (-3.6, 2.8)),
        ((0, -4.2), (4.2, 0), (0, 4.2), (-4.2, 0)),
    )[shape % 4 - 1]
    points = ' '.join(f'{x + across:.1f},{y + down:.1f}' for across, down in corners)
    return f'<polygon points="{points}" {kind}/>'


def curves(title: str, rows: Sequence[Curve], low: float, high: float, x_label: str = 'step') -> str:
    """Draw curves, which differ by colour, dashes and markers, with their names below; empty where there are
    no points.

    Args:
        title: for screen readers.
        rows: the curves.
        low: what the axis encloses at least, so that plots side by side have the same one.
        high: its other end.
        x_label: what the horizontal axis counts.
    """
    drawn = [(shape, row, thin(row.points)) for shape, row in enumerate(rows)]
    drawn = [each for each in drawn if each[-1]]
    if not drawn:
        return ''
    across_all, up_all = zip(*(point for *_, points in drawn for point in points), strict=True)
    x_ticks, y_ticks = ticks(0, max(across_all), 5), ticks(min(low, *up_all), max(high, *up_all))
    left, right, top, bottom = 36, WIDTH - 10, 8, CURVE_HEIGHT - 34

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    parts = []
    for tick in y_ticks:
        y = place(0, tick)[1]
        parts += [line(left, y, right, y, 'grid'), text(left - 6, y + 4, tick_label(tick), 'tick', 'end')]
    for tick in (tick for tick in x_ticks if tick == int(tick)):  # of steps, clusters and such
        parts.append(text(place(tick, y_ticks[0])[0], bottom + 15, tick_label(tick), 'tick', 'middle'))
    keys, height = legend([(shape, row.label, row.colour) for shape, row, _ in drawn], x_label)
    parts += keys
    for shape, row, points in drawn:
        looks = f'curve dash{shape % 4} {row.colour}'
        path = ' '.join('{:.1f},{:.1f}'.format(*place(x, y)) for x, y in points)
        marked = np.unique(np.linspace(0, len(points) - 1, MARKERS).astype(int)).tolist()
        label = f'{row.label}: {points[-1][1]:.3g} at {x_label} {points[-1][0]:,.0f}'
        whiskers = [
            line(*place(x, max(bottom_end, y_ticks[0])), *place(x, min(top_end, y_ticks[-1])), 'whisker')
            for (x, _), (bottom_end, top_end) in zip(row.points, row.ends, strict=False)
            if math.isfinite(bottom_end) and top_end > bottom_end
        ]
        shapes = [f'<polyline points="{path}" class="{looks}"/>'] if len(points) > 1 else []
        shapes += whiskers
        shapes += [marker(shape, *place(*points[at]), row.colour) for at in marked]
        parts.append(hover(label, *shapes))
    return svg(height, title, parts)


def legend(curves: Sequence[tuple[int, str, str]], x_label: str = '') -> tuple[list[str], float]:
    """Draw what curves look like, each a shape, a name and a colour, with their names below a plot;
    return the height of the plot with them, too.

    Args:
        curves: what is drawn.
        x_label: what the horizontal axis counts, which stands at the right where there is room.
    """
    parts, x, y = [], 36.0, CURVE_HEIGHT - 8.0
    for shape, label, colour in curves:
        width = 42 + LETTER * len(label)
        if x > 36 and x + width > WIDTH:
            x, y = 36.0, y + LEGEND_ROW
        parts.append(line(x, y, x + 22, y, f'curve dash{shape % 4} {colour}'))
        parts += [marker(shape, x + 11, y, colour), text(x + 28, y + 4, label, 'label')]
        x += width
    if x_label and x + LETTER * len(x_label) <= WIDTH - 10:  # else the heading says it alone
        parts.append(text(WIDTH - 10, y + 4, x_label, 'tick', 'end'))
    return parts, y + 8


def reliability(title: str, rows: Sequence[Reliability]) -> str:
    """Draw how often answers of each probability are right, beside the diagonal of how often they should be;
    the greater a mark, the more answers.
    """
    left, right, top, bottom = 44, WIDTH - 12, 20, CURVE_HEIGHT - 34

    def place(x: float, y: float) -> tuple[float, float]:
        return left + x * (right - left), bottom - y * (bottom - top)

    parts = [text(0, 10, '% right, by the probability of the answer', 'tick')]
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        (x, y), named = place(tick, tick), tick_label(100 * tick)
        parts += [line(left, y, right, y, 'grid'), text(left - 6, y + 4, named, 'tick', 'end')]
        parts.append(text(x, bottom + 15, named, 'tick', 'middle'))
    parts.append(line(*place(0, 0), *place(1, 1), 'reference'))
    for shape, row in enumerate(rows):
        looks = f'curve dash{shape % 4} {row.colour}'
        sums, rights, counts = row.bins.T
        points = [place(*point) for point in zip(sums / counts, rights / counts, strict=True)]
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in points)
        parts.append(f'<polyline points="{path}" class="{looks} thin"/>')
        for (x, y), told, well, count in zip(points, sums, rights, counts, strict=True):
            radius = 2 + 5 * math.sqrt(count / counts.sum())
            said = (
                f'{row.label}: {well:,.0f} of {count:,.0f} right at a mean probability of {told / count:.1%}'
            )
            mark = marker(shape, 0, 0, row.colour)
            scaled = f'<g transform="translate({x:.1f} {y:.1f}) scale({radius / 3.2:.2f})">{mark}</g>'
            parts.append(hover(said, scaled))
    keys, height = legend([(shape, row.label, row.colour) for shape, row in enumerate(rows)])
    return svg(height, title, parts + keys)


def heat_map(title: str, rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Cell]]) -> str:
    """Draw a matrix of coloured cells, as wide as it needs.

    Args:
        title: for screen readers.
        rows: the labels of the rows.
        columns: the headings of the columns.
        cells: those of each row.
    """
    across = CELL[len(columns) > FEW]
    left = 12 + LETTER * max(map(len, rows))
    longest = LETTER * max(map(len, columns))
    head = 16 + longest * math.sin(SLANT)
    width = left + across * (len(columns) - 0.5) + longest * math.cos(SLANT) + 6
    height = head + CELL_HEIGHT * len(rows) + 4
    parts = []
    for place, heading in enumerate(columns):
        x, y = left + across * (place + 0.5), head - 6
        slanted = f'transform="rotate({-math.degrees(SLANT):g} {x:.1f} {y:.1f})"'
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" {slanted} class="label">{escape(heading)}</text>')
    for row, (name, drawn) in enumerate(zip(rows, cells, strict=True)):
        top = head + CELL_HEIGHT * row
        parts.append(text(left - 8, top + CELL_HEIGHT / 2 + 4, name, 'label', 'end'))
        for place, cell in enumerate(drawn):
            x = left + across * place
            strength = cell.strength if math.isfinite(cell.strength) else 0.0
            box = (
                f'<rect x="{x + 1:.1f}" y="{top + 1:.1f}" width="{across - 2}" height="{CELL_HEIGHT - 2}" '
                f'rx="2" class="{"up" if strength >= 0 else "down"}" '
                f'fill-opacity="{min(abs(strength), 1.0) * 0.75:.3f}"/>'
            )
            middle = text(x + across / 2, top + CELL_HEIGHT / 2 + 4, cell.text, 'cell', 'middle')
            parts.append(hover(cell.label, box, middle))
    return svg(height, title, parts, width).replace(
        '<svg', f'<svg style="max-width: {1.25 * width:.0f}px"', 1
    )


def scatter(
    title: str, points: Sequence[tuple[float, float, str]], x_label: str, y_label: str, x_zero: bool = True
) -> str:
    """Draw points (x, y, tooltip), with lines where an axis is 0; empty where no point is finite.

    Args:
        title: for screen readers.
        points: what is drawn.
        x_label: of the horizontal axis.
        y_label: of the other.
        x_zero: whether the horizontal axis encloses 0.
    """
    finite = [point for point in points if math.isfinite(point[0]) and math.isfinite(point[1])]
    if not finite:
        return ''
    x_ticks, y_ticks = (
        ticks(min(values), max(values))
        for side, zero in ((0, x_zero), (1, True))
        for values in [[point[side] for point in finite] + [0.0] * zero]
    )
    left, right, top, bottom = 40, WIDTH - 12, 20, CURVE_HEIGHT - 34

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    parts = [text(0, 10, y_label, 'tick'), text(right, CURVE_HEIGHT - 4, x_label, 'tick', 'end')]
    for tick in y_ticks:
        y = place(x_ticks[0], tick)[1]
        parts += [line(left, y, right, y, 'grid' if tick else 'zero')]
        parts += [text(left - 6, y + 4, tick_label(tick), 'tick', 'end')]
    for tick in x_ticks:
        x = place(tick, y_ticks[0])[0]
        parts += [line(x, top, x, bottom, 'grid' if tick else 'zero')]
        parts += [text(x, bottom + 15, tick_label(tick), 'tick', 'middle')]
    parts += [hover(label, marker(0, *place(x, y), 'm-tuned')) for x, y, label in finite]
    return svg(CURVE_HEIGHT, title, parts)
