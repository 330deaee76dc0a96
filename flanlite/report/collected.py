"""The results of a run or sweep, collected from its folder."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flanlite.report import predictions, results, seeds
from flanlite.report.results import ALONE, JOINT, JOINT_PCGRAD, SYSTEMS, Result
from flanlite.report.scores import Resampled
from flanlite.training.journal import read_metrics

CURVES = ('loss', 'accuracy')


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of one run or sweep, with the curves of what was trained.

    Args:
        folder: where the results lie.
        title: the heading.
        results: in the order of the tables: by what was held out, then by system; of a system that was tuned
            with several seeds their mean (`seeds.mean_result`).
        curves: {(held out, system): {metric: [(step, value)]}}, of the first seed; nothing held out is the
            empty text.
        resamples: {(held out, system): {task: resampled scores}}, for comparisons.
        predictions: {(held out, system): {task: path}} of what was asked and answered, as seen from the
            report, of the first seed.
        by_seed: {(held out, system): the result of each seed}, of those that have several.
    """

    folder: pathlib.Path
    title: str
    results: tuple[Result, ...]
    curves: Mapping[tuple[str, str], Mapping[str, list[tuple[float, float]]]]
    resamples: Mapping[tuple[str, str], Mapping[str, Resampled]]
    predictions: Mapping[tuple[str, str], Mapping[str, str]]
    by_seed: Mapping[tuple[str, str], Sequence[Result]] = dataclasses.field(default_factory=dict)

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
        return [
            row
            for result in self.results
            for each in self.by_seed.get((result.held_out or '', result.system), [result])
            for row in each.rows()
        ]


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
    read: dict[tuple[str, str], list[tuple[Result, pathlib.Path]]] = {}
    for path in results.result_paths(folder):
        result = results.load(path)
        read.setdefault((result.held_out or '', result.system), []).append((result, path.parent))
    if not read:
        raise ValueError(f'{folder} holds no results ({results.RESULT}) to report')
    found, curves, resamples, asked, by_seed = [], {}, {}, {}, {}
    for key in sorted(read, key=lambda key: (natural(key[0]), system_order(key[1]))):
        each = sorted(read[key], key=lambda one: one[0].seed or 0)
        own, first = [result for result, _ in each], each[0][1]
        drawn = [results.load_resamples(place) for _, place in each]
        resamples[key] = seeds.mean_resampled(drawn) if len(each) > 1 else drawn[0]
        found.append(seeds.mean_result(own, resamples[key]) if len(each) > 1 else own[0])
        if len(each) > 1:
            by_seed[key] = own
        if points := read_curves(first):
            curves[key] = points
        if files := predictions.paths(first):
            asked[key] = {task: file.relative_to(folder).as_posix() for task, file in files.items()}
    return Report(folder, title or found[0].run, tuple(found), curves, resamples, asked, by_seed)


def read_curves(model_dir: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """Read the curves of a run's metrics.jsonl: {metric: [(step, value)]}, without the metrics that have no
    points.
    """
    records = read_metrics(model_dir)
    curves = {
        name: [(record['step'], record[name]) for record in records if type(record.get(name)) in (int, float)]
        for name in CURVES
    }
    return {name: points for name, points in curves.items() if points}


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that orders names by the numbers in them: `superglue_5` stands before
    `superglue_10`.
    """
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', name)]
