"""The report of few-shot tuning: mean and standard deviation over draws, by task and number of examples."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from rich.console import Console
from rich.table import Table

from flanlite.report import results
from flanlite.report.results import Result
from flanlite.report.seeds import deviation


class Drawn(Protocol):
    """What was tuned on: so many examples of a task, drawn with a seed; 0 before tuning."""

    task: str
    examples: int
    seed: int


class Cell(NamedTuple):
    """The scores of a task over the draws of a number of examples, in percent."""

    mean: float
    sd: float
    draws: int

    def __str__(self) -> str:
        return f'{self.mean:.1f} ± {self.sd:.1f}' if self.draws > 1 else f'{self.mean:.1f}'


@dataclasses.dataclass(frozen=True)
class FewShotReport:
    """The results of few-shot tuning.

    Args:
        found: each draw with its result, of one task.
    """

    found: Sequence[tuple[Drawn, Result]]

    @property
    def metrics(self) -> dict[str, str]:
        """The main score of each task."""
        return {
            task.task: next(iter(task.templates[0]['scores']))
            for _, result in self.found
            for task in result.tasks
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each score, the mean over templates, for `pandas.DataFrame`."""
        return [
            {
                'task': drawn.task,
                'examples': drawn.examples,
                'draw': drawn.seed,
                'metric': name,
                'value': float(np.mean([entry['scores'][name] for entry in task.templates])),
                'n': sum(entry['n'] for entry in task.templates),
            }
            for drawn, result in self.found
            for task in result.tasks
            for name in task.templates[0]['scores']
        ]

    def cells(self) -> dict[tuple[str, int], Cell]:
        """Return mean and standard deviation (n - 1) of the main score over the draws, by task and number of
        examples.
        """
        metrics, held = self.metrics, {}
        for row in self.rows():
            if row['metric'] == metrics[row['task']]:
                held.setdefault((row['task'], row['examples']), []).append(row['value'])
        return {key: Cell(float(np.mean(each)), deviation(each), len(each)) for key, each in held.items()}

    def averages(self) -> dict[int, Cell]:
        """Return the mean over tasks by number of examples; its standard deviation is CLUES's aggregate, the
        root of the sum of the tasks' variances.
        """
        by_number: dict[int, list[Cell]] = {}
        for (_, examples), cell in sorted(self.cells().items(), key=lambda item: item[0][1]):
            by_number.setdefault(examples, []).append(cell)
        return {
            number: Cell(
                float(np.mean([cell.mean for cell in cells])),
                float(np.sqrt(np.sum([cell.sd**2 for cell in cells]))),
                min(cell.draws for cell in cells),
            )
            for number, cells in by_number.items()
        }

    def table(self) -> list[list[str]]:
        """Return the table of main scores, its heading first."""
        found, averages = self.cells(), self.averages()
        return [
            ['task', *(f'{number} examples' if number else 'before tuning' for number in averages)],
            *(
                [f'{task} ({metric})', *(str(found.get((task, number), '–')) for number in averages)]
                for task, metric in self.metrics.items()
            ),
            ['mean', *(str(cell) for cell in averages.values())],
        ]

    def write(self, folder: pathlib.Path) -> None:
        """Write results.json and report.md, and print the table."""
        heading, *rows = self.table()
        notes = dict.fromkeys(note for _, result in self.found for note in result.notes)
        lines = [
            f'# {folder.name}: few-shot tuning\n',
            'Percent: the mean over templates, then over draws of the examples, ± the standard deviation '
            'over draws. That of the mean is the root of the sum of the variances, as in CLUES.\n',
            *(f'| {" | ".join(line)} |' for line in (heading, ['---'] * len(heading), *rows)),
            *(f'\n{note}' for note in notes),
        ]
        texts = {'results.json': results.to_json(self.rows()), 'report.md': '\n'.join(lines) + '\n'}
        results.write_texts(folder, texts)
        table = Table(*heading)
        for row in rows:
            table.add_row(*row)
        Console(emoji=False, markup=False).print(table)
        print(f'wrote {folder}/report.md and results.json')
