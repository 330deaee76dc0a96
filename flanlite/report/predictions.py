"""What a system was asked and what it answered, kept beside its results: a file of JSON lines a task."""

import contextlib
import gzip
import json
import pathlib
import shutil
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flanlite.config import shown
from flanlite.report import results
from flanlite.writing import explained, unfinished_name

FOLDER, ENDING = results.PREDICTIONS, results.PREDICTIONS_ENDING
LEFT = 86_400.0  # seconds after which an unfinished folder is one that a killed process left


def write(folder: pathlib.Path, tasks: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write the records of each task to `predictions/<task>.jsonl.gz`, all or none: what lay there before is
    replaced when the last one is written.

    Args:
        folder: that of the results.
        tasks: the records of each task; what is not finite becomes null.

    Raises:
        OSError: a file cannot be written; the error names it, and nothing of it is left.
    """
    with taking_their_place(folder) as unfinished:
        for task, records in tasks.items():
            path = unfinished / file_name(task)
            with (
                explained(folder / FOLDER / path.name, path),
                gzip.open(path, 'wt', encoding='utf-8', newline='\n') as file,
            ):
                for record in records:
                    file.write(
                        json.dumps(results.without_nan(record), ensure_ascii=False, allow_nan=False) + '\n'
                    )


@contextlib.contextmanager
def taking_their_place(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Make a folder to write predictions in, which replaces those that were there when all are written; after
    an error nothing of it is left.
    """
    for left in folder.glob(f'.{FOLDER}*'):
        with contextlib.suppress(FileNotFoundError):
            if left.stat().st_mtime < time.time() - LEFT:
                shutil.rmtree(left, ignore_errors=True)
    unfinished = folder / unfinished_name(folder / FOLDER)
    try:
        with explained(folder / FOLDER, unfinished):
            unfinished.mkdir(parents=True)
            yield unfinished
            remove(folder)
            unfinished.rename(folder / FOLDER)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def remove(folder: pathlib.Path) -> None:
    """Remove predictions, which belong to the results that were there before."""
    with contextlib.suppress(FileNotFoundError):  # maybe just now
        shutil.rmtree(folder / FOLDER)


def copy(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Copy the predictions beside a result, where there are some, to the folder of its copy."""
    if (folder / FOLDER).is_dir():
        with taking_their_place(target) as unfinished:
            for file in sorted((folder / FOLDER).glob(f'*{ENDING}')):
                with explained(target / FOLDER / file.name, unfinished / file.name):
                    (unfinished / file.name).write_bytes(file.read_bytes())


def file_name(task: str) -> str:
    """Name a task's file; what a file's name cannot have is written as in a URL."""
    return urllib.parse.quote(task, safe='') + ENDING


def paths(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """List the files beside a result, by task; none where none were kept."""
    found = sorted((folder / FOLDER).glob(f'*{ENDING}'))
    return {urllib.parse.unquote(path.name.removesuffix(ENDING)): path for path in found}


def read(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Read the records of a task.

    Raises:
        ValueError: the file is not one of gzipped JSON lines, was cut off, or a line has not what `write`
            has written.
    """
    try:
        with gzip.open(path, 'rt', encoding='utf-8') as lines:
            for number, line in enumerate(lines, 1):
                record = json.loads(line)
                if (wrong := unexpected(record)) is not None:
                    raise ValueError(f'line {number:,} has {wrong}')
                yield record
    except (EOFError, OSError, RecursionError, ValueError, zlib.error) as error:
        raise ValueError(
            f'{path} holds no readable predictions ({error}); remove the folder {path.parent}, and the '
            'report is made without them'
        ) from error


def unexpected(record: Any) -> str | None:
    """Say what of a record cannot be shown or counted; None where all is as expected."""
    if not isinstance(record, dict):
        return f'{shown(record)}; expected an object'
    for name, (expected, holds) in FIELDS.items():
        if name not in record and name not in OPTIONAL:
            return f'no "{name}"; expected {expected}'
        if name in record and not holds(record[name]):
            return f'"{name}" {shown(record[name])}; expected {expected}'
    if 'scores' in record and len(record['scores']) != len(record.get('options', ())):
        return f'{len(record["scores"])} "scores"; expected one for each of "options"'
    return None


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is a number, or null, which is written for one that is not finite."""
    return value is None or isinstance(value, int | float)


def are_texts(value: Any) -> bool:
    """Return whether a value of JSON is a list of texts."""
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


FIELDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {  # those that are read
    'row': ('a whole number', lambda value: isinstance(value, int)),
    'template': ('a whole number or null', lambda value: isinstance(value, int | None)),
    'inputs': ('a text or null', lambda value: isinstance(value, str | None)),
    'answers': ('a list of texts', are_texts),
    'prediction': ('a text or null', lambda value: isinstance(value, str | None)),
    'options': ('a list of texts', are_texts),
    'extracted': ('a text or null', lambda value: isinstance(value, str | None)),
    'scores': ('a list of numbers', lambda value: isinstance(value, list) and all(map(is_number, value))),
    'score': ('a number', is_number),
    'values': (
        'numbers by the names of scores',
        lambda value: isinstance(value, dict) and all(map(is_number, value.values())),
    ),
}
OPTIONAL = ('options', 'extracted', 'scores', 'score', 'values')
