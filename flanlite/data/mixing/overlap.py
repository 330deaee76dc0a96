"""Finds text that occurs in two places by hashes: runs of words, and whole texts.

Words are what a regular expression's `\\w+` finds, in lower case; what stands between them does not count.
Texts are hashed some thousands at a time in NumPy, so that a million rows take less time to compare than to
read, and every process hashes alike. Two different runs of words have the same hash of 64 bits by accident
once in about 10^19 comparisons.
"""

import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

SHORTEST = 40  # equal texts of this many characters or more are not equal by accident
PIECE = 1 << 20  # characters that are hashed together; longer texts are cut into pieces
OVERLAP = 32  # characters for each word of a run that a piece has of the one before
WORD = re.compile(r'\w+')
# For bytes of ASCII: lower case, and a space for what is no part of a word.
ASCII = bytes(
    ord(chr(code).lower()) if code < 128 and (chr(code).isalnum() or code == ord('_')) else ord(' ')
    for code in range(256)
)
SPACE, END = ord(' '), ord('\n')
# A text is hashed as the sum of a number for each byte times a power of this, modulo 2^64.
FACTOR = 0x9E3779B97F4A7C15
INVERSE = pow(FACTOR, -1, 1 << 64)
NUMBERS = np.random.SeedSequence(0).generate_state(256, np.uint64)
LARGEST_FILTER = 26  # bits of a hash that tell that most others are not in an index


def words_of(text: str) -> bytes:
    """Return a text's words with a space between them, in UTF-8."""
    if text.isascii():
        return b' '.join(text.encode().translate(ASCII).split())
    return ' '.join(WORD.findall(text.lower())).encode('utf-8', 'surrogatepass')


def texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a row, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(item)


def pieces_of(text: str, ngram: int) -> Iterator[str]:
    """Yield a text, or overlapping pieces of a long one."""
    if len(text) <= PIECE:
        yield text
        return
    overlap = min(max(4_096, OVERLAP * ngram), PIECE // 2)
    for start in range(0, len(text) - overlap, PIECE - overlap):
        yield text[start : start + PIECE]


@dataclasses.dataclass
class Hashed:
    """The hashes of a batch of texts.

    Args:
        rows: int64[N], the row that each text is of.
        texts: uint64[N], the hash of each whole text.
        long: bool[N], whether the text is long enough to count as a whole, and whole.
        runs: uint64[M], the hash of each run of words.
        run_texts: int64[M], which of the texts it is in.
        begins, ends: int64[M], the bytes of `content` that it takes.
        content: all words of all texts.
    """

    rows: np.ndarray
    texts: np.ndarray
    long: np.ndarray
    runs: np.ndarray
    run_texts: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    content: bytes

    def run(self, number: int) -> str:
        """Return the words of a run."""
        return self.content[self.begins[number] : self.ends[number]].decode('utf-8', 'surrogatepass')

    def whole(self, number: int) -> str:
        """Return the words of a text."""
        return self.content.split(b'\n')[number].decode('utf-8', 'surrogatepass')


class Batch:
    """Texts that are hashed together.

    Args:
        ngram: the number of words in a run.
    """

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self.clear()

    def clear(self) -> None:
        """Forget the texts."""
        self._texts: list[bytes] = []
        self._rows: list[int] = []
        self._long: list[bool] = []
        self.size = 0

    def add(self, row: int, text: str) -> None:
        """Add a text, or a piece of one."""
        words = words_of(text)
        if not words:
            return
        long = len(words) >= SHORTEST and len(text) < PIECE
        if long and not words.isascii():
            long = len(words.decode('utf-8', 'surrogatepass')) >= SHORTEST
        self._texts.append(words)
        self._rows.append(row)
        self._long.append(long)
        self.size += len(words) + 1

    def full(self) -> bool:
        """Return whether it is time to hash the texts."""
        return self.size >= PIECE

    def hashed(self) -> Hashed:
        """Hash the texts, and all runs of words in them."""
        content = b'\n'.join([*self._texts, b''])
        codes = np.frombuffer(content, np.uint8)
        powers, inverse = (table[: len(codes)] for table in tables(max(PIECE, len(codes)).bit_length()))
        sums = np.zeros(len(codes) + 1, np.uint64)
        np.cumsum(NUMBERS[codes] * powers, out=sums[1:])

        def between(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
            return (sums[ends] - sums[begins]) * inverse[begins]

        word_ends = np.flatnonzero((codes == SPACE) | (codes == END))
        last = codes[word_ends] == END
        word_begins = np.append(0, word_ends + 1)[:-1]
        word_texts = np.cumsum(last) - last
        text_ends = word_ends[last]
        text_begins = np.append(0, text_ends + 1)[:-1]
        count = max(0, len(word_ends) - self.ngram + 1)
        inside = np.flatnonzero(word_texts[:count] == word_texts[len(word_texts) - count :])
        begins, ends = word_begins[inside], word_ends[inside + self.ngram - 1]
        return Hashed(
            np.array(self._rows, np.int64),
            between(text_begins, text_ends),
            np.array(self._long, bool),
            between(begins, ends),
            word_texts[inside],
            begins,
            ends,
            content,
        )


@functools.lru_cache(2)
def tables(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the powers of FACTOR and of its inverse: uint64[2^bits] each."""
    powers = np.ones((2, 1 << bits), np.uint64)
    powers[:, 1:] = np.array([[FACTOR], [INVERSE]], np.uint64)
    np.multiply.accumulate(powers, axis=1, out=powers)
    return powers[0], powers[1]


class Index:
    """Hashes with the numbers of the rows that have them, to be looked up.

    Args:
        hashes: uint64[N], sorted, each once.
        starts: int64[N + 1], where the rows of each begin in `rows`.
        rows: int32[M], the rows of the first hash, of the second, and so on.
        seen: bool[2^bits], whether any hash begins with these bits.
    """

    PARTS = ('hashes', 'starts', 'rows', 'seen')

    def __init__(self, hashes: np.ndarray, starts: np.ndarray, rows: np.ndarray, seen: np.ndarray) -> None:
        self.hashes, self.starts, self.rows, self.seen = hashes, starts, rows, seen
        self._shift = np.uint64(64 - (len(seen).bit_length() - 1))

    @classmethod
    def of(cls, hashes: np.ndarray, rows: np.ndarray) -> 'Index':
        """Make an index of hashes, each with a row; a pair may occur several times."""
        order = np.lexsort((rows, hashes))
        hashes, rows = hashes[order], rows[order].astype(np.int32)
        del order
        other = np.append(True, hashes[1:] != hashes[:-1])[: len(hashes)]
        kept = other | np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        hashes, rows, other = hashes[kept], rows[kept], other[kept]
        starts = np.append(np.flatnonzero(other), len(rows))
        bits = min(LARGEST_FILTER, max(10, (16 * len(hashes)).bit_length()))
        seen = np.zeros(1 << bits, bool)
        seen[hashes >> np.uint64(64 - bits)] = True
        return cls(hashes[other], starts, rows, seen)

    def find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of some hashes are in the index, and where in `self.hashes`; int64[K] both."""
        perhaps = np.flatnonzero(self.seen[hashes >> self._shift])
        if not len(self.hashes) or not len(perhaps):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        wanted = hashes[perhaps]
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        found = self.hashes[places] == wanted
        return perhaps[found], places[found]

    def rows_of(self, place: int) -> np.ndarray:
        """Return the rows that have the hash at a place."""
        return self.rows[self.starts[place] : self.starts[place + 1]]

    def counts(self, number: int, matched: Sequence[int] | None = None) -> np.ndarray:
        """Count the hashes of each of `number` rows, or those of them that stand at some places; int64."""
        if matched is None:
            return np.bincount(self.rows, minlength=number)
        wanted = np.zeros(len(self.hashes), bool)
        wanted[np.asarray(matched, np.int64)] = True
        return np.bincount(self.rows[np.repeat(wanted, np.diff(self.starts))], minlength=number)

    def save(self, folder: pathlib.Path) -> None:
        """Write the index into a folder."""
        folder.mkdir()
        for part in self.PARTS:
            np.save(folder / f'{part}.npy', getattr(self, part))

    @classmethod
    def open(cls, folder: pathlib.Path) -> 'Index':
        """Open what `save` wrote; the processes that do share the memory."""
        return cls(*(np.load(folder / f'{part}.npy', mmap_mode='r') for part in cls.PARTS))
