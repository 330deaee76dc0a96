"""Rates that somebody decided: of tasks by name, in a file or at hand; and epochs of tasks by pattern."""

import csv
import fnmatch
import io
import json
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flanlite.config import closest
from flanlite.limits import GREATEST
from flanlite.reading import parse_json, read_text
from flanlite.writing import write_whole

COLUMNS = ['task', 'rate']
NAMED = 5  # names in an error
EXPECTED = 'expected a rate for each task that trains, 0 for none'


def read(path: str | os.PathLike[str]) -> dict[str, float]:
    """Read the rates of tasks from a file: `.json` with `{"task": rate}`, or `.csv` with a header `task,rate`
    and a line a task.

    Raises:
        ValueError: there is none, it is another file, has a task twice, or a rate that is no finite number
            from 0.
        OSError: it cannot be read.
    """
    if not pathlib.Path(path).exists():
        raise ValueError(f'there is no file {path}; expected one with the rate of each task')
    text, ending = read_text(path), pathlib.Path(path).suffix
    if ending not in ('.json', '.csv'):
        raise ValueError(f'{path} ends with {ending!r}; expected .json or .csv')
    pairs = list(from_json(text, path).items()) if ending == '.json' else from_csv(text, path)
    found: dict[str, float] = {}
    for task, rate in pairs:
        if task in found:
            raise ValueError(f'{path} has the task {task!r} twice; expected each once')
        number = as_number(rate) if ending == '.csv' or isinstance(rate, int | float) else None
        if number is None or not 0 <= number <= GREATEST:
            raise ValueError(
                f'{path}: the rate of {task!r} is {rate!r:.60}; expected a number from 0 (finite in float32)'
            )
        found[task] = number
    if not found:
        raise ValueError(f'{path} has no rates; expected one for each task')
    return found


def as_number(rate: Any) -> float | None:
    """Return what a rate says as a number, or None where it says none."""
    if isinstance(rate, bool) or '_' in str(rate):  # Python reads 1_000 as a number, tables have none such
        return None
    try:
        return float(rate)
    except (TypeError, ValueError, OverflowError):
        return None


def from_json(text: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what an object of JSON has; a `ValueError` where there is none."""
    found = parse_json(text, str(path))
    if not isinstance(found, dict):
        raise ValueError(f'{path} is a {type(found).__name__}; expected an object, {{"task": rate}}')
    return found


def from_csv(text: str, path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Return the tasks and rates of a table; a `ValueError` where it is none, or has other
    columns."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=''), strict=True) if line]
    except csv.Error as error:
        raise ValueError(f'{path} is no table: {error}') from None
    if not lines or [cell.strip() for cell in lines[0]] != COLUMNS:
        raise ValueError(
            f'{path} begins with {lines[0] if lines else "nothing"}; expected the header task,rate'
        )
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(COLUMNS):
            raise ValueError(f'{path}: row {number} is {line}; expected a task and its rate')
    return [(task.strip(), rate.strip()) for task, rate in lines[1:]]


def write(path: str | os.PathLike[str], rates: Mapping[str, float]) -> None:
    """Write rates as a `.json` file that `read` takes."""
    write_whole(pathlib.Path(path), json.dumps(dict(rates), indent=1) + '\n')


def check_known(
    where: str, rates: Mapping[str, float], known: Collection[str], needed: Sequence[str]
) -> None:
    """Check that rates are of tasks of a mixture.

    Args:
        where: the setting, for the error.
        rates: by task.
        known: all tasks of the mixture, those that are held out or left out too.
        needed: the tasks that train.

    Raises:
        ValueError: a task is unknown; says which of those that train have no rate, too.
    """
    if unknown := [task for task in rates if task not in known]:
        hint = closest(unknown[0], known).removesuffix(' ')
        missing = [task for task in needed if task not in rates]
        raise ValueError(
            f'{where} has unknown tasks, {shortened(unknown)}{"; " * bool(hint)}{hint}'
            f'{f" and no rate for {shortened(missing)}" if missing else ""}; {EXPECTED}'
        )


def check_whole(where: str, rates: Mapping[str, float], needed: Sequence[str]) -> None:
    """Raise a `ValueError` where a task that trains has no rate, or where all their rates are 0."""
    if missing := [task for task in needed if task not in rates]:
        raise ValueError(f'{where} has no rate for {shortened(missing)}; {EXPECTED}')
    if not any(rates[task] for task in needed):
        raise ValueError(f'{where} is 0 for all tasks that train; expected a rate above 0')


def shortened(names: Sequence[str]) -> str:
    """Write the first few of some names, and how many more there are."""
    more = f' and {len(names) - NAMED:,} more' if len(names) > NAMED else ''
    return ', '.join(map(repr, names[:NAMED])) + more


def check_epochs(where: str, epochs: float | Mapping[str, float], known: Collection[str]) -> None:
    """Raise a `ValueError` where a pattern of epochs by task matches none."""
    for pattern in epochs if isinstance(epochs, Mapping) else ():
        if not fnmatch.filter(known, pattern):
            raise ValueError(
                f'{where} has {pattern!r}, which matches no task; {closest(pattern, known)}expected names or '
                'patterns of tasks'
            )


def epochs_of(task: str, epochs: float | Mapping[str, float]) -> float:
    """Return a task's number of epochs: that of the first pattern that matches its name, else 1."""
    if not isinstance(epochs, Mapping):
        return epochs
    return next((number for pattern, number in epochs.items() if fnmatch.fnmatchcase(task, pattern)), 1.0)
