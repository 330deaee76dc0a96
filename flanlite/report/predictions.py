"""What a system was asked and what it answered, kept beside its results: a file of JSON lines a task."""

import gzip
import json
import pathlib
import shutil
import urllib.parse
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flanlite.report import results

FOLDER, ENDING = results.PREDICTIONS, results.PREDICTIONS_ENDING


def write(folder: pathlib.Path, tasks: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write the records of each task to `predictions/<task>.jsonl.gz`, all or none: what lay there before is
    replaced when the last one is written.

    Args:
        folder: that of the results.
        tasks: the records of each task; what is not finite becomes null.
    """
    unfinished = folder / f'.{FOLDER}'
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for task, records in tasks.items():
        with gzip.open(unfinished / file_name(task), 'wt', encoding='utf-8', newline='\n') as file:
            for record in records:
                file.write(
                    json.dumps(results.without_nan(record), ensure_ascii=False, allow_nan=False) + '\n'
                )
    remove(folder)
    unfinished.rename(folder / FOLDER)


def remove(folder: pathlib.Path) -> None:
    """Remove predictions, which belong to the results that were there before."""
    if (folder / FOLDER).exists():
        shutil.rmtree(folder / FOLDER)


def copy(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Copy the predictions beside a result, where there are some, to the folder of its copy."""
    if (folder / FOLDER).is_dir():
        unfinished = target / f'.{FOLDER}'
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(folder / FOLDER, unfinished)
        remove(target)
        unfinished.rename(target / FOLDER)


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
        ValueError: the file is not one of gzipped JSON lines, or was cut off.
    """
    try:
        with gzip.open(path, 'rt', encoding='utf-8') as lines:
            yield from map(json.loads, lines)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise ValueError(
            f'{path} holds no readable predictions ({error}); remove the folder {path.parent}, and the '
            'report is made without them'
        ) from error
