"""Answers to the lines of a file, kept beside the file that they are for until all are there, so that the
same command goes on with them.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import IO, Any

from flanlite.config import shown
from flanlite.reading import check_ordinary, parse_json
from flanlite.writing import explained, whole_file

SUFFIX = '.unfinished'
MADE_BY = 'made_by'  # the key of the first line, which says what the answers were made by
ADDED = ('prediction', 'scores', 'score')  # what an answer has beside its record


def unfinished(output: str | os.PathLike[str]) -> pathlib.Path:
    """Return the file in which the answers for another are kept until that is whole."""
    target = pathlib.Path(output).resolve()
    return target.with_name(target.name[:200] + SUFFIX)


def check_made_by(output: str | os.PathLike[str], made_by: Mapping[str, Any]) -> None:
    """Raise a `ValueError` where answers are kept for a file that were made by something else.

    Args:
        output: the file that they are for.
        made_by: the settings that decide an answer, or some of them, as JSON holds them.
    """
    path = unfinished(output)
    check_ordinary(path)
    if not path.exists():
        return
    with path.open('rb') as file:
        first = file.readline()
    if not first:  # its process was killed just then
        return
    remedy = f'remove it to answer all lines again, or name another output than {output}'
    try:
        kept = parse_json(first.decode(), str(path))[MADE_BY]
        differing = next((name for name in made_by if kept[name] != made_by[name]), None)
    except (ValueError, KeyError, TypeError):
        raise ValueError(f'{path} does not say what its answers were made by; {remedy}') from None
    if differing is not None:
        raise ValueError(
            f'{path} holds answers that were made with {differing} {shown(kept[differing])}, not '
            f'{shown(made_by[differing])}; {remedy}'
        )


class Stream:
    """Answers that are written as they come, to standard output or a pipe."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def go_on(self, records: Iterator[tuple[str, dict[str, Any]]], unit: int) -> int:
        """Return 0: nothing is kept."""
        return 0

    def write(self, records: list[dict[str, Any]]) -> None:
        """Add answers."""
        self._file.write(''.join(map(line, records)))
        self._file.flush()


@contextlib.contextmanager
def kept(output: str | os.PathLike[str], made_by: Mapping[str, Any]) -> Iterator['Answers']:
    """Open the answers that are kept for a file, which takes its place when all is written; an error leaves
    them where there are some.

    Args:
        output: the file that they are for, an ordinary one or none yet.
        made_by: see `check_made_by`; all of them.

    Raises:
        ValueError: they were made by something else, or another process writes them.
        OSError: they cannot be written; names `output`.
    """
    path = unfinished(output)
    with explained(output, path), path.open('ab+') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(file.fileno()).st_nlink:  # it has just been done with, and removed
                raise BlockingIOError
        except BlockingIOError:
            raise ValueError(
                f'another process writes the answers for {output}; wait for it, or name another output'
            ) from None
        except OSError:  # a file system without locks
            pass
        check_made_by(output, made_by)
        answers = Answers(path, file)
        try:
            if not file.tell():
                file.write(line({MADE_BY: dict(made_by)}).encode())
            yield answers
        except BaseException:
            if not answers.count:
                path.unlink(missing_ok=True)
            raise
        file.seek(0)
        file.readline()
        with whole_file(output, 'wb') as whole:
            shutil.copyfileobj(file, whole)
        path.unlink(missing_ok=True)


class Answers:
    """Answers that are kept in a file.

    Args:
        path: of the file.
        file: opened to read and to append bytes.
    """

    def __init__(self, path: pathlib.Path, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self.count = 0  # how many there are

    def go_on(self, records: Iterator[tuple[str, dict[str, Any]]], unit: int) -> int:
        """Take the answered records from the front of all, and return how many they are.

        Args:
            records: the records that are asked, each with where it stands.
            unit: how many are answered together; what was written of fewer is answered again.

        Raises:
            ValueError: the answers are to other records; names the first.
        """
        self._file.seek(0)
        position = ends = len(self._file.readline())
        count = 0
        for found in self._file:
            if not found.endswith(b'\n'):
                break
            count, position = count + 1, position + len(found)
            if count % unit == 0:
                self.count, ends = count, position
        self._file.truncate(ends)
        self._file.seek(0)
        self._file.readline()
        for number in range(1, self.count + 1):
            where, record = next(records, ('', {}))
            try:
                answer = parse_json(self._file.readline().decode(), '')
                same = record | {name: answer[name] for name in ADDED if name in answer} == answer
            except (ValueError, TypeError):
                same = False
            if not same:
                raise ValueError(
                    f'answer {number:,} in {self.path} is not to {where or "a line of the input"}; '
                    'remove it to answer all lines again, or name another output'
                )
        return self.count

    def write(self, records: list[dict[str, Any]]) -> None:
        """Add answers."""
        self._file.write(''.join(map(line, records)).encode())
        self._file.flush()
        self.count += len(records)


def line(record: dict[str, Any]) -> str:
    """Write a record as a line of JSON."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + '\n'
