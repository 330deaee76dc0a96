"""Files of strangers: what is wrong with one is an error that names it and the place."""

import contextlib
import functools
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

SHOWN = 300  # characters of another error


@contextlib.contextmanager
def foreign(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make a `ValueError` that names a file or folder of all that a reader raises where something in it is
    not what it takes it to be.
    """
    try:
        yield
    except ValueError as error:
        if os.path.basename(path) in str(error):
            raise
        raise ValueError(f'{path}: {error}') from error
    except OSError:
        raise
    except Exception as error:  # of any type: libraries have their own
        told = ' '.join(f'{type(error).__name__}: {error}'.split())[:SHOWN]
        raise ValueError(f'{path} cannot be read: something in it is not as expected: {told}') from error


def check_ordinary(path: str | os.PathLike[str]) -> None:
    """Raise a `ValueError` where there is something that is no ordinary file: a pipe would be waited for."""
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        kind = 'a folder' if path.is_dir() else 'a pipe or device'
        raise ValueError(f'{path} is {kind}; expected an ordinary file')


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a file of JSON in UTF-8.

    Raises:
        ValueError: it is no such file; see `parse_json`.
        OSError: it cannot be read.
    """
    return parse_json(read_text(path), str(path))


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a file of text in UTF-8; a `ValueError` where it is none, or no ordinary file."""
    check_ordinary(path)
    try:
        # Some editors begin a file with a byte-order mark.
        return pathlib.Path(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not in UTF-8, at byte {error.start}') from None


def parse_json(text: str, where: str, allow_nan: bool = True) -> Any:
    """Read JSON.

    Args:
        text: the JSON.
        where: its place, for the error.
        allow_nan: whether NaN and Infinity are numbers, as Python's JSON has them and others' does not.

    Raises:
        ValueError: it is no JSON, is nested too deep, or has a key twice or a number of thousands of digits.
    """
    try:
        return decoder(allow_nan).decode(text)
    except RecursionError:
        raise ValueError(f'{where} is no JSON that can be read: it is nested too deep') from None
    except ValueError as error:
        raise ValueError(f'{where} is no JSON: {error}') from None


@functools.cache
def decoder(allow_nan: bool) -> json.JSONDecoder:
    """Return what reads JSON; `json.loads` would make another one for each line of a file."""
    numbers = {} if allow_nan else {'parse_float': finite, 'parse_constant': finite}
    return json.JSONDecoder(object_pairs_hook=unique, **numbers)


def finite(text: str) -> float:
    """Read a number; one that is not finite is a `ValueError`."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f'{text} is no JSON number')
    return number


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values; a key that is there twice is a `ValueError`."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'an object has the key {twice!r} twice')
    return found
