"""Files of texts that nobody may train on, whatever they are: plain text, and rows as JSON lines, JSON, CSV,
Parquet or Arrow.
"""

import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

from flanlite import reading
from flanlite.data.mixing import overlap
from flanlite.data.specs import files
from flanlite.data.specs.sources import MissingDataError
from flanlite.paths import at_home

HEAD = 1 << 16  # bytes in which a binary file has a zero
BLANK = re.compile(r'\n[^\S\n]*\n\s*')


def is_path(name: str) -> bool:
    """Return whether a name is that of a file or folder, as opposed to a data set's or mixture's."""
    return any(mark in name for mark in filter(None, ('/', os.sep, os.altsep))) or os.path.isfile(name)


def find(path: str) -> dict[str, pathlib.Path]:
    """Return a file, or all files below a folder but hidden ones, by their names in it.

    Raises:
        MissingDataError: there are none.
    """
    home = pathlib.Path(at_home(path))
    if home.is_file():
        return {home.name: home}
    found = {
        file.relative_to(home).as_posix(): file
        for file in sorted(home.rglob('*'))
        if file.is_file() and not any(part.startswith('.') for part in file.relative_to(home).parts)
    }
    if not found:
        raise MissingDataError(
            f'{path} has no files' if home.is_dir() else f'there is no file or folder {path}'
        )
    return found


def read(file: pathlib.Path, ngram: int) -> Iterator[tuple[int, Any]]:
    """Yield (number, content) of a file's rows, or of the paragraphs of plain text, in UTF-8.

    Args:
        file: the file.
        ngram: the words of a run; a long paragraph comes in pieces that have more than these in common.

    Raises:
        ValueError: it is damaged or, where it is plain text, empty or binary.
    """
    suffix = files.suffix_of(file)
    if suffix == '.json':  # of any shape
        content = reading.read_json(file)
        yield from enumerate(content if isinstance(content, list) else [content])
        return
    if suffix in files.READERS:
        for number, (_, row) in enumerate(files.READERS[suffix](file)):
            yield number, row
        return
    with file.open('rb') as content:
        if b'\0' in content.read(HEAD):
            raise ValueError('it is binary')
    rest, number, overlapping = '', 0, max(4_096, overlap.OVERLAP * ngram)
    with file.open(encoding='utf-8-sig', errors='replace') as content:
        while block := content.read(overlap.PIECE):
            *whole, rest = BLANK.split(rest + block)
            for paragraph in filter(str.strip, whole):
                yield number, paragraph
                number += 1
            if len(rest) > overlap.PIECE:
                yield number, rest
                rest = rest[-overlapping:]
    if rest.strip():
        yield number, rest
    elif not number:
        raise ValueError('it has no text')
