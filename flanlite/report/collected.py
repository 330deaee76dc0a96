"""The results of a run or sweep, collected from its folder."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping
from typing import Any

from flanlite.report import predictions, results
from flanlite.report.results import ALONE, JOINT, JOINT_PCGRAD, SYSTEMS, Result
from flanlite.report.scores import Resampled
from flanlite.training.journal import read_metrics

CURVES = ('loss', 'accuracy')


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of one run or sweep, with the curves of what was trained.

    Args:
        title: the heading.
        results: in the order of the tables: by what was held out, then by system.
        curves: {(held out, system): {metric: [(step, value)]}}; nothing held out is the empty text.
        resamples: {(held out, system): {task: resampled scores}}, for comparisons.
        predictions: {(held out, system): {task: path}} of what was asked and answered, as seen from the
            report.
    """

    title: str
    results: tuple[Result, ...]
    curves: Mapping[tuple[str, str], Mapping[str, list[tuple[float, float]]]]
    resamples: Mapping[tuple[str, str], Mapping[str, Resampled]]
    predictions: Mapping[tuple[str, str], Mapping[str, str]]

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
    if system in SYSTEMS:
        return SYSTEMS[system][0]
    if system.startswith(ALONE):
        return f'{system.removeprefix(ALONE)} alone'
    return {JOINT: 'Joint', JOINT_PCGRAD: 'Joint, PCGrad'}.get(system, system)


def collect(folder: pathlib.Path, title: str = '') -> Report:
    """Read all results of a folder, and the training curves that lie beside them.

    Args:
        folder: of one evaluation, or of a sweep, with the results in `<held_out>/<system>/`.
        title: the report's heading; by default the run's name.

    Raises:
        ValueError: the folder holds no results, an unreadable one, or some of an earlier version.
    """
    found, curves, resamples, asked = [], {}, {}, {}
    for path in results.result_paths(folder):
        result = results.load(path)
        found.append(result)
        key = (result.held_out or '', result.system)
        if read := read_curves(path.parent):
            curves[key] = read
        resamples[key] = results.load_resamples(path.parent)
        if files := predictions.paths(path.parent):
            asked[key] = {task: file.relative_to(folder).as_posix() for task, file in files.items()}
    found.sort(key=lambda result: (natural(result.held_out or ''), system_order(result.system)))
    if not found:
        raise ValueError(f'{folder} holds no results ({results.RESULT}) to report')
    return Report(title or found[0].run, tuple(found), curves, resamples, asked)


def read_curves(model_dir: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """Read the curves of a run's metrics.jsonl: {metric: [(step, value)]}, without the metrics that have no
    points.
    """
    records = read_metrics(model_dir)
    curves = {
        name: [(record['step'], record[name]) for record in records if name in record] for name in CURVES
    }
    return {name: points for name, points in curves.items() if points}


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders names by the numbers in them: `superglue_5` stands before
    `superglue_10`.
    """
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', name)]
