"""Rows of JSON lines: a line of a file in, a dictionary out. What is no JSON or no Unicode is named by its
file and line.
"""

import functools
import gzip
import hashlib
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

from flanlite.data.specs.notices import warn_once
from flanlite.reading import check_ordinary, parse_json

Row = dict[str, Any]
# Bytes at each end of a compressed file that identify it: the last ones hold the checksum of its content.
EDGE = 4096


class Surrogates:
    """Replaces lone surrogates by U+FFFD and counts the texts that had some.

    JSON can write half of a character's pair, `\\ud83d`, as where a text was cut in the middle of an emoji.
    That is no character: UTF-8 and the vocabularies lack it.
    """

    def __init__(self) -> None:
        self.count, self.first = 0, ''

    def replaced(self, value: Any, where: str) -> Any:
        """Return a value in which the texts have no lone surrogates; the same object where none has.

        Args:
            value: a text, or rows, lists and dictionaries that hold texts.
            where: the value's place, for `tell`.
        """
        if isinstance(value, str):
            if is_unicode(value):
                return value
            self.count, self.first = self.count + 1, self.first or where
            # Both halves of a pair, written one by one, are a character.
            return value.encode('utf-16-le', 'surrogatepass').decode('utf-16-le', 'replace')
        before = self.count
        if isinstance(value, dict):
            mended = {self.replaced(key, where): self.replaced(item, where) for key, item in value.items()}
        elif isinstance(value, list | tuple):
            mended = [self.replaced(item, where) for item in value]
        else:
            return value
        return mended if self.count > before else value

    def tell(self, name: str) -> None:
        """Log how many texts were mended, once for each number."""
        if self.count:
            warn_once(
                f'{name}: {self.count:,} {"text" if self.count == 1 else "texts"} with half a character (a '
                f'lone surrogate), the first in {self.first}; U+FFFD takes its place'
            )


def is_unicode(text: str) -> bool:
    """Return whether a text can be written in UTF-8: it has no lone surrogates."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_lines(file: pathlib.Path) -> Iterator[tuple[str, Row]]:
    """Read a file of JSON objects, one per line and perhaps compressed: pairs of a line's place, for
    messages, and its object. Half a character becomes U+FFFD (see `Surrogates`).

    Raises:
        ValueError: the file is damaged, or a line is not a JSON object in UTF-8.
    """
    check_ordinary(file)
    opened, surrogates = gzip.open if file.suffix == '.gz' else open, Surrogates()
    try:
        # What is not UTF-8 is let through, so that the line can be named.
        with opened(file, 'rt', encoding='utf-8-sig', errors='surrogateescape') as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f'{file}, line {number}'
                    if not is_unicode(line):
                        raise ValueError(f'{where} is not in UTF-8; {encoding_remedy(line)}')
                    row = parse_row(line, where)
                    yield where, surrogates.replaced(row, f'line {number}') if '\\u' in line else row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f'{file} is damaged ({error}); get it again') from error
    finally:
        surrogates.tell(str(file))


def encoding_remedy(line: str) -> str:
    """Say what to do about a line that is not UTF-8 (with what is not as surrogates), by how it begins."""
    if line.startswith('\x1f\udc8b'):
        return 'it is compressed by gzip: give the file a name that ends with .jsonl.gz'
    name = 'utf-16' if line.startswith(('\udcff\udcfe', '\udcfe\udcff')) else 'latin1'
    return f'convert the file, for example with iconv -f {name} -t utf-8'


def parse_row(line: str, where: str) -> Row:
    """Parse one line of JSON.

    Raises:
        ValueError: the line is not a JSON object; the message has its place, `where`.
    """
    row = parse_json(line, where)
    if not isinstance(row, dict):
        raise ValueError(f'{where}: expected a JSON object with a field a name, got {type(row).__name__}')
    return row


@functools.cache
def file_identity(file: pathlib.Path, size: int, modified: int) -> str:
    """Hash a file's content or, for a compressed file, its size and ends; the hash is kept until size or time
    of change differ.
    """
    del modified  # only a part of the cache's key
    with file.open('rb') as content:
        if file.suffix != '.gz':
            return hashlib.file_digest(content, 'blake2b').hexdigest()[:16]
        head = content.read(EDGE)
        content.seek(max(0, size - EDGE))
        return hashlib.blake2b(f'{size}'.encode() + head + content.read()).hexdigest()[:16]
