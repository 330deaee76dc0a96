"""Does text that is trained on stand in held-out data? Looks in the rows themselves, for shared runs of words and for whole fields."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flanlite.data.mixing import mixtures
from flanlite.data.rendering import rendering
from flanlite.data.specs import clusters, sources, specs
from flanlite.progress import BuildProgress

NGRAM = 13  # words, as in GPT-3's study of contamination (Brown et al. 2020, appendix C)
SHORTEST = 40  # characters from which two equal fields are no accident
WORD = re.compile(r'\w+')
HOW = ('field', 'ngram')
ABSENT = 'neither in the data folder nor prepared by TFDS, and an audit downloads nothing'


@dataclasses.dataclass
class Pair:
    """What a training data set shares with a held-out one.

    Args:
        trained: the training data set.
        held_out: the held-out data set.
        rows: the held-out rows with shared text, by how it is shared: a whole `field`, or an `ngram`.
        examples: the training rows with shared text.
        sample: some of that text.
    """

    trained: str
    held_out: str
    rows: dict[str, set[int]] = dataclasses.field(default_factory=lambda: {how: set() for how in HOW})
    examples: set[int] = dataclasses.field(default_factory=set)
    sample: str = ''

    def affected(self) -> int:
        """Count the held-out rows with shared text."""
        return len(set().union(*self.rows.values()))


@dataclasses.dataclass
class Audit:
    """What was found.

    Args:
        mixture: what trains.
        ngram: how many words a shared run has.
        pairs: data sets that share text, by (trained, held out).
        searched: how many rows of each data set were searched.
        skipped: data sets that could not be searched, and why.
    """

    mixture: mixtures.Mixture
    ngram: int
    pairs: dict[tuple[str, str], Pair] = dataclasses.field(default_factory=dict)
    searched: dict[str, int] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def worst(self) -> list[Pair]:
        """List the pairs, those first that touch the greatest share of the held-out rows."""
        return sorted(self.pairs.values(), key=lambda pair: pair.affected() / self.searched[pair.held_out], reverse=True)

    def to_drop(self) -> Iterator[dict[str, Any]]:
        """Yield a line for each training example that shares text: its data set, its row in the training split, and with what."""
        found: dict[tuple[str, int], list[str]] = {}
        for pair in self.pairs.values():
            for row in pair.examples:
                found.setdefault((pair.trained, row), []).append(pair.held_out)
        for (task, row), held_out in sorted(found.items()):
            yield {'task': task, 'split': 'train', 'row': row, 'held_out': held_out}


class HeldOutText:
    """The text of held-out rows, to look others up in.

    Args:
        ngram: how many words a shared run has.
    """

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self.texts: dict[str, int] = {}  # normalised text -> its number
        self.owners: list[set[tuple[str, int]]] = []  # by that number: (data set, row)s that have it
        self.runs: dict[int, set[int]] = {}  # hash of a run of words -> numbers of the texts with it

    def add(self, task: str, row: int, value: Any) -> None:
        """Take in all text of a row."""
        for words in row_words(value):
            text = ' '.join(words)
            number = self.texts.setdefault(text, len(self.texts))
            if number == len(self.owners):
                self.owners.append(set())
                for run in self.hashes(words):
                    self.runs.setdefault(run, set()).add(number)
            self.owners[number].add((task, row))

    def hashes(self, words: list[str]) -> Iterator[int]:
        """Hash each run of words, in order."""
        return map(hash, zip(*(itertools.islice(words, start, None) for start in range(self.ngram)), strict=False))

    def find(self, value: Any) -> Iterator[tuple[str, str, set[tuple[str, int]]]]:
        """Yield what a row shares: how, the shared words, and the held-out (data set, row)s that have them."""
        for words in row_words(value):
            text = ' '.join(words)
            if len(text) >= SHORTEST and text in self.texts:
                yield 'field', text, self.owners[self.texts[text]]
            for start, run in enumerate(self.hashes(words)):
                if run in self.runs:
                    owners = set().union(*(self.owners[number] for number in self.runs[run]))
                    yield 'ngram', ' '.join(words[start : start + self.ngram]), owners


def row_words(value: Any) -> Iterator[list[str]]:
    """Yield the words of each text in a row, at any depth, in small letters and without punctuation."""
    if isinstance(value, str):
        yield WORD.findall(value.lower())
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from row_words(item)


def search(
    mixture: str,
    held_out: str | None = None,
    ngram: int = NGRAM,
    max_rows: int | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Audit:
    """Search what a mixture trains on for text of what it holds out.

    Args:
        mixture: a name for `mixtures.resolve`, which holds something out or comes with `held_out`.
        held_out: a cluster, or another split.
        ngram: how many words a shared run has.
        max_rows: at most so many rows of each data set.
        data_dir: the folder of local data; by default FLANLITE_DATA_DIR.

    Raises:
        ValueError: nothing is held out, or nothing of it can be read.
    """
    if ngram < 1:
        raise ValueError(f'got ngram={ngram}; expected a number above 0')
    mixed = mixtures.resolve(mixture, held_out=held_out)
    if not mixed.held_out:
        raise ValueError(f'the mixture {mixture!r} holds nothing out; name a cluster with --held_out')
    audit, text = Audit(mixed, ngram), HeldOutText(ngram)
    members = {}
    for spec in mixed.collection.specs:
        members[spec.name] = dataclasses.replace(spec, source=sources.resolve(spec.source, data_dir))
    test = clusters.find_split(mixed.held_out, mixed.collection.specs).test
    with BuildProgress('auditing', len(test) + len(mixed.entries)) as progress:
        for task in test:
            for row, value in read(audit, members[task], ('test', 'validation'), max_rows, progress):
                text.add(task, row, value)
        if not text.texts:
            raise ValueError(f'nothing of {mixed.held_out} could be read: {"; ".join(audit.skipped.values())}')
        for entry in mixed.entries:
            limit = min(filter(None, (entry.max_examples, max_rows)), default=None)
            for row, value in read(audit, members[entry.task], ('train',), limit, progress):
                note(audit, entry.task, row, text.find(value))
    return audit


def read(
    audit: Audit, spec: specs.Spec, splits: tuple[str, ...], limit: int | None, progress: BuildProgress
) -> Iterator[tuple[int, specs.Row]]:
    """Read the rows of the first split that can be read, as training or evaluation does; where none can, note why."""
    for split in splits:
        try:
            if not sources.at_hand(spec.source):
                raise sources.MissingDataError(ABSENT)
            for row, place, value in rendering.kept_rows(spec, split, rendering.Tally()):
                if place == limit:
                    break
                progress.advance(1)
                audit.searched[spec.name] = audit.searched.get(spec.name, 0) + 1
                yield row, value
            break
        except Exception as error:  # whatever a reader raises: the other data sets are searched
            audit.skipped.setdefault(spec.name, (str(error).strip() or type(error).__name__).splitlines()[0])
    if spec.name in audit.searched:
        audit.skipped.pop(spec.name, None)
    progress.advance(0, task=True)


def note(audit: Audit, task: str, row: int, found: Iterator[tuple[str, str, set[tuple[str, int]]]]) -> None:
    """Enter what a training row shares."""
    for how, text, owners in found:
        for held_out, held_row in owners:
            pair = audit.pairs.setdefault((task, held_out), Pair(task, held_out))
            pair.rows[how].add(held_row)
            pair.examples.add(row)
            pair.sample = pair.sample or text
