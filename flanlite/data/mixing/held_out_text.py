"""Held-out rows as an index of hashes, and the rows of one training data set looked up in it."""

import array
import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from flanlite.data.mixing import overlap, text_files
from flanlite.data.mixing.overlap import Batch, Hashed, Index
from flanlite.data.rendering import rendering
from flanlite.data.specs import sources, specs

INDEX_RUNS = 1 << 23  # runs of words that an index holds; making it takes about 0.5 GB
TOLD_ROWS = 1_000  # between steps of the progress bar
HOW = ('field', 'ngram')
# Why a data set is not searched.
ABSENT = 'neither in the data folder nor prepared by TFDS, and an audit downloads nothing'
FOREIGN = "a task of SeqIO's, whose rows an audit does not read"


@dataclasses.dataclass(frozen=True)
class Source:
    """Rows to index or to search.

    Args:
        name: of the data set, or of the file.
        spec: the data set; None for a file, or for a task of SeqIO's.
        file: the file.
        splits: of the data set, the first one that can be read.
        limit: at most so many rows.
        dropped: the indices of rows that are not trained on.
    """

    name: str
    spec: specs.Spec | None = None
    file: pathlib.Path | None = None
    splits: tuple[str, ...] = ()
    limit: int | None = None
    dropped: frozenset[int] = frozenset()

    def rows(self, ngram: int) -> Iterator[tuple[int, Any]]:
        """Yield (index, content) of each row, as training or evaluation reads it.

        Raises:
            Exception: whatever a reader raises, of the first split.
        """
        if self.file:
            yield from itertools.islice(text_files.read(self.file, ngram), self.limit)
            return
        if self.spec is None:
            raise sources.MissingDataError(FOREIGN)
        if not sources.at_hand(self.spec.source):
            raise sources.MissingDataError(ABSENT)
        failed = None
        for split in self.splits:
            count = 0
            try:
                kept = rendering.kept_rows(self.spec, split, rendering.Tally(), self.dropped)
                for row, _, value in itertools.takewhile(lambda found: found[1] != self.limit, kept):
                    count += 1
                    yield row, value
                return
            except Exception as error:  # whatever a reader raises
                failed = failed or error
                if count:
                    break
        raise failed


def read(
    source: Source, ngram: int, told: Callable[[int], None], skip: Callable[[str], None]
) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a source; where it cannot be read, or no further, `skip` is called with the
    reason.
    """
    count = 0
    try:
        for count, found in enumerate(source.rows(ngram), 1):
            if count % TOLD_ROWS == 0:
                told(TOLD_ROWS)
            yield found
    except Exception as error:  # whatever a reader raises: the other sources are searched
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        skip(f'{why} (after {count:,} rows)' if count else why)
    told(count % TOLD_ROWS)


class HeldOutText:
    """Held-out rows to be looked up: the hashes of their texts, and of the runs of words in these.

    Args:
        owners: int64[R, 2], of each row the number of its source and its index there.
        runs: the index of runs of words.
        fields: the index of whole texts.
    """

    def __init__(self, owners: np.ndarray, runs: Index, fields: Index) -> None:
        self.owners, self.runs, self.fields = owners, runs, fields

    @classmethod
    def of(cls, rows: Iterator[tuple[int, int, Any]], ngram: int) -> 'HeldOutText':
        """Index rows (source, index, content) until the index is full or there are no more."""
        owners: list[tuple[int, int]] = []
        parts: dict[str, list[np.ndarray]] = {name: [] for name in ('runs', 'run_rows', 'texts', 'text_rows')}
        batch, count = Batch(ngram), 0

        def add_batch() -> int:
            hashed = batch.hashed()
            batch.clear()
            parts['runs'].append(hashed.runs)
            parts['run_rows'].append(hashed.rows[hashed.run_texts].astype(np.int32))
            parts['texts'].append(hashed.texts[hashed.long])
            parts['text_rows'].append(hashed.rows[hashed.long].astype(np.int32))
            return len(hashed.runs)

        for source, row, value in rows:
            if not owners or owners[-1] != (source, row):  # a long text comes in several pieces
                owners.append((source, row))
            for text in overlap.texts_in(value):
                for piece in overlap.pieces_of(text, ngram):
                    batch.add(len(owners) - 1, piece)
                    count += add_batch() if batch.full() else 0
            if count >= INDEX_RUNS:
                break
        add_batch()
        found = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        return cls(
            np.array(owners, np.int64).reshape(-1, 2),
            Index.of(found['runs'], found['run_rows']),
            Index.of(found['texts'], found['text_rows']),
        )

    def save(self, folder: pathlib.Path) -> None:
        """Write it into a new folder."""
        folder.mkdir()
        np.save(folder / 'owners.npy', self.owners)
        self.runs.save(folder / 'runs')
        self.fields.save(folder / 'fields')

    @staticmethod
    @functools.lru_cache(1)
    def open(folder: pathlib.Path) -> 'HeldOutText':
        """Open what `save` wrote; the processes that do share the memory."""
        owners = np.load(folder / 'owners.npy', mmap_mode='r')
        return HeldOutText(owners, Index.open(folder / 'runs'), Index.open(folder / 'fields'))


@dataclasses.dataclass
class Found:
    """What the rows of a training data set share with held-out ones. Held-out sources go by their numbers.

    Args:
        rows: how many rows were searched.
        skipped: why not all were, or none.
        shared: of each held-out source the rows with shared text, by what is shared.
        examples: for each held-out source the training rows.
        samples: for each held-out source some of the shared text.
        runs: which of the index's runs of words were found.
    """

    rows: int = 0
    skipped: str | None = None
    shared: dict[int, dict[str, set[int]]] = dataclasses.field(default_factory=dict)
    examples: dict[int, array.array] = dataclasses.field(default_factory=dict)
    samples: dict[int, str] = dataclasses.field(default_factory=dict)
    runs: list[int] = dataclasses.field(default_factory=list)


def search(folder: pathlib.Path, source: Source, ngram: int, told: Callable[[int], None]) -> Found:
    """Look the rows of a training data set up in the held-out text that is saved in a folder."""
    lookup, batch = Lookup(HeldOutText.open(folder)), Batch(ngram)
    found = lookup.found

    def skip(why: str) -> None:
        found.skipped = why

    for row, value in read(source, ngram, told, skip):
        found.rows += 1
        for text in overlap.texts_in(value):
            for piece in overlap.pieces_of(text, ngram):
                batch.add(row, piece)
                if batch.full():
                    lookup.add(batch.hashed())
                    batch.clear()
    lookup.add(batch.hashed())
    found.runs = sorted(lookup.owners_of['ngram'])
    return found


class Lookup:
    """Looks up batches of one training data set."""

    def __init__(self, text: HeldOutText) -> None:
        self.text, self.found = text, Found()
        # The held-out sources that have a hash, by its place in the index.
        self.owners_of: dict[str, dict[int, Sequence[int]]] = {how: {} for how in HOW}

    def add(self, hashed: Hashed) -> None:
        """Note what a batch shares."""
        long = np.flatnonzero(hashed.long)
        which, places = self.text.fields.find(hashed.texts[long])
        self._note('field', hashed.rows[long[which]], places, lambda place: hashed.whole(long[which[place]]))
        which, places = self.text.runs.find(hashed.runs)
        rows = hashed.rows[hashed.run_texts[which]]
        self._note('ngram', rows, places, lambda place: hashed.run(which[place]))

    def _note(self, how: str, rows: np.ndarray, places: np.ndarray, sample: Callable[[int], str]) -> None:
        known = self.owners_of[how]
        for number, (row, place) in enumerate(zip(rows.tolist(), places.tolist(), strict=True)):
            if place not in known:
                known[place] = self._owners(how, place)
            for source in known[place]:
                examples = self.found.examples.setdefault(source, array.array('q'))
                if not examples or examples[-1] != row:
                    examples.append(row)
                if source not in self.found.samples:
                    self.found.samples[source] = sample(number)

    def _owners(self, how: str, place: int) -> Sequence[int]:
        """Note the held-out rows that have a hash; return their sources."""
        index = self.text.runs if how == 'ngram' else self.text.fields
        owners = self.text.owners[index.rows_of(place)].tolist()
        for source, row in owners:
            shared = self.found.shared.setdefault(source, {each: set() for each in HOW})
            shared[how].add(row)
        return tuple({source for source, _ in owners})
