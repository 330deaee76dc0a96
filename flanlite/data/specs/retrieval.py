"""Passages of a corpus as a field of each row, retrieved by BM25. The reader of Atlas (Izacard et al. 2023)
is given such; there the retriever trains, and each passage is encoded apart.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from flanlite.config import check_field
from flanlite.data.specs import fingerprints, sources
from flanlite.data.specs.specs import Source
from flanlite.limits import Count

Row = Mapping[str, Any]
WORD = r'(?u)\b\w+\b'  # what counts as a word of a query and of a passage, in lower case
METHOD = {'method': 'lucene', 'k1': 1.5, 'b': 0.75, 'auto_compile': False}  # with the same scores everywhere
FIELD = 'passages'


@dataclasses.dataclass(frozen=True)
class Retrieved:
    """A source whose rows have the passages that BM25 ranks highest for them, as a list `passages`, the best
    first; of passages that score the same, the first in the corpus.

        Retrieved(
            JsonLines('quiz'), JsonLines('wikipedia'), lambda row: row['text'], lambda row: row['question']
        )

    A row that shares no word with any passage has none. The index is held in memory.

    Args:
        source: of the rows.
        corpus: a source of the passages.
        text: from a row of the corpus to its passage.
        query: from a row to what is searched for. It should not have the answer.
        number: how many passages.
        split: of the corpus; all splits of the rows search the same.

    Raises:
        ValueError: the number is below 1.
    """

    source: Source
    corpus: Source
    text: Callable[[Row], str]
    query: Callable[[Row], str]
    number: int = 3
    split: str = 'train'

    def __post_init__(self) -> None:
        check_field('Retrieved.number', self.number, Count)

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows with their passages; see `specs.Source`.

        Raises:
            MissingDataError: bm25s is not installed, or the corpus is empty.
            ValueError: a row has a field `passages` already, or a passage or query is no text.
        """
        index = open_index(self.corpus, self.split, self.text)
        for place, row in enumerate(self.source.rows(split)):
            if FIELD in row:
                raise ValueError(
                    f'{split} row {place} has a field {FIELD!r} already, which is what Retrieved adds; '
                    'expected a source without it'
                )
            yield {**row, FIELD: index.best(as_text('query', self.query(row), split, place), self.number)}

    def version(self) -> str:
        """Identify the rows, the corpus, and how it is searched."""
        settings = (self.text, self.query, self.number, self.split, WORD, METHOD)
        return f'{self.source.version()} with {self.corpus.version()} {fingerprints.of(*settings)}'


class Index:
    """An index of passages.

    Args:
        passages: at least one.
    """

    def __init__(self, passages: Sequence[str]) -> None:
        bm25s = import_bm25s()
        self.passages = passages
        self.bm25 = bm25s.BM25(**METHOD)
        words = bm25s.tokenize(
            passages, stopwords=None, token_pattern=WORD, return_ids=False, show_progress=False
        )
        self.bm25.index(words, show_progress=False)

    def best(self, query: str, number: int) -> list[str]:
        """Return the passages with the highest scores, at most `number`, and none that scores 0."""
        words = import_bm25s().tokenize(
            query, stopwords=None, token_pattern=WORD, return_ids=False, show_progress=False
        )[0]
        known = [word for word in words if word in self.bm25.vocab_dict]
        if not known:
            return []
        scores = self.bm25.get_scores(known)
        least = np.partition(scores, -number)[-number] if number < len(scores) else 0.0
        found = np.flatnonzero((scores >= least) & (scores > 0))
        order = found[np.argsort(-scores[found], kind='stable')][:number]
        return [self.passages[place] for place in order]


@functools.lru_cache(maxsize=2)
def open_index(corpus: Source, split: str, text: Callable[[Row], str]) -> Index:
    """Index a corpus, once in a process.

    Raises:
        MissingDataError: bm25s is not installed, or the corpus has no text.
    """
    import_bm25s()
    passages = [as_text('text', text(row), split, place) for place, row in enumerate(corpus.rows(split))]
    if not any(re.search(WORD, passage) for passage in passages):
        raise sources.MissingDataError(
            f'the split {split!r} of a corpus to retrieve from has no text; expected passages'
        )
    return Index(passages)


def as_text(name: str, found: Any, split: str, place: int) -> str:
    """Return what a function of `Retrieved` made of a row; a `ValueError` where that is no text."""
    if not isinstance(found, str):
        raise ValueError(
            f'Retrieved.{name} made a {type(found).__name__}, {found!r}, of {split} row {place}; expected '
            'a text'
        )
    return found


def import_bm25s() -> Any:
    """Import bm25s; a `MissingDataError` that says how to install it where it is not there."""
    try:
        import bm25s
    except ImportError as error:
        raise sources.MissingDataError(
            'passages are retrieved by bm25s, which is not installed; install flanlite[retrieval]'
        ) from error
    return bm25s
