"""Types of settings that cannot hold what makes no sense: counts, rates, names.

They are annotations of the fields of values, and kinds of flags. `flanlite.config` checks them where a value
is made, and says of what does not fit the setting, what it is, and what was expected.
"""

import re
import urllib.parse
from collections.abc import Callable, Collection
from typing import Annotated, Any, NamedTuple

MOST = 2**31 - 1  # JAX counts with 32 bits
GREATEST = 3.4e38  # of float32, with which models compute
MAX_LENGTH = 65_535  # tokens of a text: the cache counts them with 16 bits
LONGEST_NAME = 200  # a file may be named after it, and what it is called has at most 255 bytes


class Limit(NamedTuple):
    """What a value must be, beside its type.

    Args:
        expected: the value in words, for the error: `a whole number from 1`.
        holds: whether a value of the type fits.
        known: the values, where they are few; the error then names the closest.
    """

    expected: str
    holds: Callable[[Any], bool]
    known: Collection[str] = ()


def whole(least: int = 0, most: int = MOST) -> Limit:
    """Take whole numbers from `least` to `most`."""
    return Limit(f'a whole number from {least:,} to {most:,}', lambda n: least <= n <= most)


def real(expected: str, holds: Callable[[float], bool]) -> Limit:
    """Take numbers that a condition holds for; neither NaN nor what float32 cannot hold."""
    return Limit(f'{expected} (finite in float32)', lambda x: abs(x) <= GREATEST and holds(x))


def one_of(*known: str) -> Limit:
    """Take one of some words."""
    named = f'one of {", ".join(known)}' if len(known) > 1 else repr(known[0])
    return Limit(named, known.__contains__, known)


def is_name(text: str) -> bool:
    """Return whether a file can be named after a text, in any folder and without leaving it."""
    return (
        0 < len(urllib.parse.quote(text, safe='', errors='replace')) <= LONGEST_NAME
        and text.isprintable()
        and '/' not in text
        and text.strip('. ') != ''
    )


def is_pattern(text: str) -> bool:
    """Return whether a text is a regular expression."""
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return text != ''


Whole = Annotated[int, whole()]
Count = Annotated[int, whole(1)]
Length = Annotated[int, whole(1, MAX_LENGTH)]
Processes = Annotated[int, whole(1, 4_096)]
Beams = Annotated[int, whole(1, 1_000)]
Seed = Annotated[int, whole(0, 2**32 - 1)]
Number = Annotated[float, real('a number', lambda x: True)]
Positive = Annotated[float, real('a number above 0', lambda x: x > 0)]
NotNegative = Annotated[float, real('a number from 0', lambda x: x >= 0)]
Share = Annotated[float, real('a number from 0 to 1', lambda x: 0 <= x <= 1)]
PositiveShare = Annotated[float, real('a number above 0 and at most 1', lambda x: 0 < x <= 1)]
Below1 = Annotated[float, real('a number from 0 to below 1', lambda x: 0 <= x < 1)]
Between0And1 = Annotated[float, real('a number above 0 and below 1', lambda x: 0 < x < 1)]
NAMED = f'a name of 1 to {LONGEST_NAME} characters as in a URL, without a slash, not . or ..'
Name = Annotated[str, Limit(NAMED, is_name)]
Pattern = Annotated[str, Limit('a regular expression', is_pattern)]
