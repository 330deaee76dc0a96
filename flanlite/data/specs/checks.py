"""Checks that data sets, texts and collections make of their own settings, when they are made and before any
row is read.
"""

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Annotated, Any

from flanlite.config import check_field, shown
from flanlite.limits import NAMED, is_name, whole

# What SeqIO's registry accepts; other characters would also break patterns of names.
NAME = re.compile(r'[\w.:#]+')
SPLIT = re.compile(r'[^\[\]()+]+(\[[^\[\]]+\](\(\w+\))?)?')  # a name, a slice, and how TFDS rounds it


@contextlib.contextmanager
def prefix_errors(kind: str, name: str) -> Iterator[None]:
    """Put a kind and a name, such as that of a data set, before the message of a `ValueError`."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f'{kind} {name!r}: {error}') from error


def check_name(name: str) -> None:
    """Raise a `ValueError` where a name is empty, or has characters that the name of a task or mixture cannot
    have, or no folder can be named after it.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name) or not is_name(name):
        raise ValueError(
            f'got the name {shown(name)}; expected letters, digits and any of _ . : # since tasks and '
            f'mixtures are named after it, {NAMED}'
        )


def as_name(text: str) -> str:
    """Return a text of others, such as the name of a file, as a part of a name: what a name cannot have
    becomes `_`.
    """
    return re.sub(r'[^0-9A-Za-z_.]', '_', text)


def check_split(split: str, value: Any) -> None:
    """Raise a `ValueError` where a source's split does not parse; None, for no split, is accepted."""
    if value is not None and (
        not isinstance(value, str) or not all(SPLIT.fullmatch(part.strip()) for part in value.split('+'))
    ):
        raise ValueError(
            f'got the {split} split {value!r}; expected None or such as train, train[:-200], '
            'validation[10%:] or train+test'
        )


def check_texts(kind: str, values: Any) -> None:
    """Raise a `ValueError` where values are not a tuple of different texts. A lone text is refused too: it
    would be read as letters.
    """
    if not isinstance(values, tuple) or not all(isinstance(value, str) and value.strip() for value in values):
        raise ValueError(
            f"got {kind}={values!r}; expected a tuple of texts that are not empty, such as ('yes', 'no')"
        )
    repeated = next((value for value in values if values.count(value) > 1), None)
    if repeated is not None:
        raise ValueError(
            f'got {kind}={values!r}; expected different texts, but {repeated!r} is there '
            f'{values.count(repeated)} times'
        )


def check_pattern(kind: str, pattern: str) -> None:
    """Raise a `ValueError` where a text is no regular expression with one group; an empty one is accepted."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f'got {kind}={pattern!r}, which is no regular expression: {error}') from error
    if pattern and groups != 1:
        raise ValueError(
            f'got {kind}={pattern!r} with {groups} groups; expected one, around the answer: (...), and '
            '(?:...) for others'
        )


@functools.cache
def number_from(least: int) -> Any:
    """Return the type of whole numbers from a least one, or None."""
    return Annotated[int, whole(least)] | None


def check_numbers(least: int, **values: Any) -> None:
    """Raise a `ValueError` where a whole number is below the least that makes sense; None is accepted."""
    for kind, value in values.items():
        check_field(kind, value, number_from(least))
