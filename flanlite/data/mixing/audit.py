"""An audit of the rows themselves for held-out text that is also trained on: shared runs of words, and whole
fields that are equal.
"""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering import rendering
from flanlite.data.specs import clusters, sources, specs
from flanlite.progress import BuildProgress

NGRAM = 13  # words, as in GPT-3's study of contamination (Brown et al. 2020, appendix C)
SHORTEST = 40  # equal fields of this many characters or more are not equal by accident
WORD = re.compile(r'\w+')
HOW = ('field', 'ngram')
# Why a data set is not searched.
ABSENT = 'neither in the data folder nor prepared by TFDS, and an audit downloads nothing'


@dataclasses.dataclass
class Pair:
    """What a training data set and a held-out one have in common.

    Args:
        trained: the training data set.
        held_out: the held-out data set.
        rows: the held-out rows with shared text, by what is shared: a whole `field`, or an `ngram`.
        examples: the training rows with shared text.
        sample: some of the shared text.
    """

    trained: str
    held_out: str
    rows: dict[str, set[int]] = dataclasses.field(default_factory=lambda: {how: set() for how in HOW})
    examples: set[int] = dataclasses.field(default_factory=set)
    sample: str = ''

    def affected(self) -> int:
        """Return the number of held-out rows with shared text."""
        return len(set().union(*self.rows.values()))


@dataclasses.dataclass
class Audit:
    """The result of an audit.

    Args:
        mixture: the mixture that is trained on.
        ngram: the number of words in a shared run.
        pairs: data sets that share text, by (trained, held out).
        searched: the number of rows that were searched in each data set.
        skipped: the data sets that could not be searched, with the reason.
    """

    mixture: mixtures.Mixture
    ngram: int
    pairs: dict[tuple[str, str], Pair] = dataclasses.field(default_factory=dict)
    searched: dict[str, int] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)

    def worst(self) -> list[Pair]:
        """Return the pairs, sorted by the share of held-out rows that they affect, the greatest first."""
        return sorted(
            self.pairs.values(), key=lambda pair: pair.affected() / self.searched[pair.held_out], reverse=True
        )

    def to_drop(self) -> Iterator[dict[str, Any]]:
        """Yield an entry of a drop list for each training row with shared text: its data set, its index and
        the held-out data sets.
        """
        found: dict[tuple[str, int], list[str]] = {}
        for pair in self.pairs.values():
            for row in pair.examples:
                found.setdefault((pair.trained, row), []).append(pair.held_out)
        for (task, row), held_out in sorted(found.items()):
            yield {'task': task, 'split': 'train', 'row': row, 'held_out': held_out}


class HeldOutText:
    """An index of the text of held-out rows, in which the text of training rows is looked up.

    Args:
        ngram: the number of words in a shared run.
    """

    def __init__(self, ngram: int) -> None:
        self.ngram = ngram
        self.texts: dict[str, int] = {}  # number of each normalised text
        # By the text's number: the pairs (data set, row) that have it.
        self.owners: list[set[tuple[str, int]]] = []
        # By the hash of a run of words: the numbers of the texts that contain it.
        self.runs: dict[int, set[int]] = {}

    def add(self, task: str, row: int, value: Any) -> None:
        """Add all text of a row."""
        for words in row_words(value):
            text = ' '.join(words)
            number = self.texts.setdefault(text, len(self.texts))
            if number == len(self.owners):
                self.owners.append(set())
                for run in self.hashes(words):
                    self.runs.setdefault(run, set()).add(number)
            self.owners[number].add((task, row))

    def hashes(self, words: list[str]) -> Iterator[int]:
        """Return the hash of each run of `ngram` words, in order."""
        return map(
            hash, zip(*(itertools.islice(words, start, None) for start in range(self.ngram)), strict=False)
        )

    def shared_with(self, value: Any) -> Iterator[tuple[str, str, set[tuple[str, int]]]]:
        """Yield each text that a row shares: how it is shared, its words, and the held-out pairs (data set,
        row) that have it.
        """
        for words in row_words(value):
            text = ' '.join(words)
            if len(text) >= SHORTEST and text in self.texts:
                yield 'field', text, self.owners[self.texts[text]]
            for start, run in enumerate(self.hashes(words)):
                if run in self.runs:
                    owners = set().union(*(self.owners[number] for number in self.runs[run]))
                    yield 'ngram', ' '.join(words[start : start + self.ngram]), owners


def row_words(value: Any) -> Iterator[list[str]]:
    """Yield the words of each text in a row, at any depth, in lower case and without punctuation."""
    if isinstance(value, str):
        yield WORD.findall(value.lower())
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from row_words(item)


def search(
    mixture: MixtureConfig | str,
    ngram: int = NGRAM,
    max_rows: int | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Audit:
    """Search the training rows of a mixture for text of the data sets that it holds out.

    Args:
        mixture: settings or a name for `mixtures.resolve`, which hold something out.
        ngram: the number of words in a shared run.
        max_rows: the greatest number of rows to search in each data set; by default all.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.

    Raises:
        ValueError: nothing is held out, or nothing of it can be read.
    """
    if ngram < 1:
        raise ValueError(f'got ngram={ngram}; expected a number above 0')
    mixed = mixtures.resolve(mixture)
    if not mixed.held_out:
        raise ValueError(f'the mixture {mixed.name!r} holds nothing out; name a cluster with --held_out')
    audit, text = Audit(mixed, ngram), HeldOutText(ngram)
    members = {
        spec.name: dataclasses.replace(spec, source=sources.prefer_data_folder(spec.source, data_dir))
        for spec in mixed.collection.specs
    }
    test = clusters.get_hold_out(mixed.held_out, mixed.collection.specs).test
    with BuildProgress('auditing', len(test) + len(mixed.entries)) as progress:
        for task in test:
            for row, value in read_rows(audit, members[task], ('test', 'validation'), max_rows, progress):
                text.add(task, row, value)
        if not text.texts:
            reasons: dict[str, list[str]] = {}
            for task, reason in audit.skipped.items():
                reasons.setdefault(reason, []).append(task)
            told = '; '.join(f'{", ".join(tasks)}: {reason}' for reason, tasks in reasons.items())
            raise ValueError(f'nothing of {mixed.held_out} could be read: {told}')
        for entry in mixed.entries:
            limit = min(filter(None, (entry.max_examples, max_rows)), default=None)
            for row, value in read_rows(audit, members[entry.task], ('train',), limit, progress):
                note_shared(audit, entry.task, row, text.shared_with(value))
    return audit


def read_rows(
    audit: Audit, spec: specs.Spec, splits: tuple[str, ...], limit: int | None, progress: BuildProgress
) -> Iterator[tuple[int, specs.Row]]:
    """Yield (index, row) of the first of some splits that can be read, as training or evaluation reads it.

    Rows are counted in the audit; where no split can be read, the reason is stored there.
    """
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


def note_shared(
    audit: Audit, task: str, row: int, found: Iterator[tuple[str, str, set[tuple[str, int]]]]
) -> None:
    """Store in the audit what a training row shares."""
    for how, text, owners in found:
        for held_out, held_row in owners:
            pair = audit.pairs.setdefault((task, held_out), Pair(task, held_out))
            pair.rows[how].add(held_row)
            pair.examples.add(row)
            pair.sample = pair.sample or text
