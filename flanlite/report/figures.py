"""Plots as inline SVG: bars with intervals, boxes over templates, curves over steps. Colours are the page's
CSS classes.

Each plot is as wide as a phone's screen, so that it is legible there; a page sets several side by side where
there is room.
"""

import dataclasses
import html
import math
from collections.abc import Sequence

import numpy as np

WIDTH = 380
LABEL_WIDTH = 106
VALUE_WIDTH = 44
ROW = 26
AXIS = 22
CURVE_HEIGHT = 210
CURVE_POINTS = 240


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
    """One row of a box plot: a CSS colour class, its label, and (name, value) points."""

    colour: str
    label: str
    points: Sequence[tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Curve:
    """One curve: a CSS colour class, its label, and (x, y) points."""

    colour: str
    label: str
    points: Sequence[tuple[float, float]]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` evenly spaced round numbers that enclose a range."""
    span = max(high - low, 1e-9)
    rough = span / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= rough * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def score_ticks(values: Sequence[float]) -> list[float]:
    """Return the ticks of an axis for scores: from 0, or from below where a correlation is negative, and at
    most to 100 for percent.
    """
    finite = [value for value in values if math.isfinite(value)]
    highest = max([1.0, *finite])
    return ticks(min(0.0, *finite), min(highest * 1.02, max(100.0, highest))) if finite else ticks(0, 100)


def number(value: float) -> str:
    """Return a score with one decimal; a dash where it is not finite."""
    return f'{value:.1f}' if math.isfinite(value) else '–'


def tick_label(value: float) -> str:
    """Return the label of a tick; 1500 becomes 1.5k."""
    return f'{value / 1000:g}k' if abs(value) >= 1000 else f'{value:g}'


def svg(height: float, title: str, parts: Sequence[str], width: float = WIDTH) -> str:
    """Return the SVG of a plot with its parts; the title is for screen readers."""
    name = html.escape(title)
    body = '\n'.join(parts)
    head = f'<svg class="plot" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{name}">'
    return f'{head}\n{body}\n</svg>'


def text(x: float, y: float, label: str, kind: str = '', anchor: str = 'start') -> str:
    """Return a text at a place, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(label)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a line between two places."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def hover(label: str, *parts: str) -> str:
    """Return shapes grouped under one tooltip."""
    return f'<g class="mark"><title>{html.escape(label)}</title>{"".join(parts)}</g>'


class ScoreAxis:
    """The horizontal axis of scores, for bars and boxes.

    Args:
        values: all that is drawn; the ticks enclose it.
        rows: the number of rows above the axis.
    """

    def __init__(self, values: Sequence[float], rows: int) -> None:
        self.ticks = score_ticks(values)
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


def bars(title: str, rows: Sequence[Bar], reference: float = math.nan) -> str:
    """Draw horizontal bars with their intervals.

    Args:
        title: for screen readers.
        rows: the bars from top to bottom.
        reference: the score where a dashed line stands; nan for none.
    """
    axis = ScoreAxis(
        [reference, *(value for bar in rows for value in (bar.value, bar.low, bar.high))], len(rows)
    )
    parts = axis.parts()
    for index, bar in enumerate(rows):
        middle = index * ROW + ROW / 2 + 2
        parts.append(text(axis.left - 8, middle + 4, bar.label, 'label', 'end'))
        parts.append(text(WIDTH, middle + 4, number(bar.value), 'value', 'end'))
        if not math.isfinite(bar.value):
            continue
        start, end = sorted((axis.x(0), axis.x(bar.value)))
        width = max(end - start, 1)
        shapes = [
            f'<rect x="{start:.1f}" y="{middle - 8:.1f}" width="{width:.1f}" height="16" rx="2" class="fill '
            f'{bar.colour}"/>'
        ]
        label = f'{bar.label}: {number(bar.value)}'
        if math.isfinite(bar.low) and bar.high > bar.low:
            low, high = axis.x(bar.low), axis.x(bar.high)
            shapes += [line(low, middle, high, middle, 'whisker')]
            shapes += [line(end, middle - 4, end, middle + 4, 'whisker') for end in (low, high)]
            label += f' (95% interval {number(bar.low)} to {number(bar.high)})'
        parts.append(hover(label, *shapes))
    if math.isfinite(reference):
        parts.append(
            hover(
                f'chance or copy: {number(reference)}',
                line(axis.x(reference), 2, axis.x(reference), axis.bottom, 'reference'),
            )
        )
    return svg(axis.height, title, parts)


def boxes(title: str, rows: Sequence[Box], reference: float = math.nan) -> str:
    """Draw a box plot: quartiles, whiskers to the extremes, and each point; for the arguments see `bars`."""
    axis = ScoreAxis([reference, *(value for box in rows for _, value in box.points)], len(rows))
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
        values = [value for _, value in box.points if math.isfinite(value)]
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
        for place, (name, value) in enumerate(box.points):
            if math.isfinite(value):
                y = middle + (place % 3 - 1) * 3.2
                y, radius = (y, 2.4) if len(values) > 1 else (middle, 4)
                dot = f'<circle cx="{axis.x(value):.1f}" cy="{y:.1f}" r="{radius}" class="dot {box.colour}"/>'
                parts.append(hover(f'{box.label}, {name}: {number(value)}', dot))
    return svg(axis.height, title, parts)


def thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return at most `CURVE_POINTS` points: averages of neighbours, without those that are not finite."""
    finite = np.array([point for point in points if math.isfinite(point[1])], np.float64).reshape(-1, 2)
    neighbours = np.array_split(finite, min(CURVE_POINTS, max(len(finite), 1)))
    return [tuple(points.mean(axis=0).tolist()) for points in neighbours if len(points)]


def curves(title: str, rows: Sequence[Curve]) -> str:
    """Draw curves over steps, each with a tooltip of its last value; empty where there are no points."""
    drawn = [(row, thin(row.points)) for row in rows]
    drawn = [(row, points) for row, points in drawn if points]
    if not drawn:
        return ''
    xs, ys = ([point[index] for _, points in drawn for point in points] for index in (0, 1))
    x_ticks, y_ticks = ticks(0, max(xs)), ticks(min(ys), max(max(ys), min(ys) + 0.01))
    left, right, top, bottom = 36, WIDTH - 10, 8, CURVE_HEIGHT - 34

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (right - left), bottom - up * (bottom - top)

    parts = []
    for tick in y_ticks:
        y = place(0, tick)[1]
        parts += [line(left, y, right, y, 'grid'), text(left - 6, y + 4, tick_label(tick), 'tick', 'end')]
    for tick in x_ticks:
        parts.append(text(place(tick, y_ticks[0])[0], bottom + 15, tick_label(tick), 'tick', 'middle'))
    parts.append(text(right, CURVE_HEIGHT - 4, 'step', 'tick', 'end'))
    for row, points in drawn:
        lone = '<circle cx="{:.1f}" cy="{:.1f}" r="2.4" class="dot {}"/>'.format(
            *place(*points[0]), row.colour
        )
        path = ' '.join('{:.1f},{:.1f}'.format(*place(x, y)) for x, y in points)
        label = f'{row.label}: {points[-1][1]:.3g} at step {points[-1][0]:,.0f}'
        parts.append(
            hover(
                label, f'<polyline points="{path}" class="curve {row.colour}"/>' if len(points) > 1 else lone
            )
        )
    return svg(CURVE_HEIGHT, title, parts)
