"""An audit of the rows themselves for text that is also trained on and must not be: shared runs of words, and
whole fields that are equal.

What must not be trained on is indexed first, as hashes; then the training rows are looked up in it, in
several processes. Its size is bounded: of more text than one index holds, the next part is indexed after
that, and the training rows are read again.
"""

import dataclasses
import itertools
import os
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flanlite import workers
from flanlite.data.mixing import drop_list, held_out_text, mixtures, text_files
from flanlite.data.mixing.held_out_text import HOW, Found, HeldOutText, Source
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import clusters, registry, sources, specs
from flanlite.progress import BuildProgress

NGRAM = 13  # words, as in GPT-3's study of contamination (Brown et al. 2020, appendix C)
MOSTLY = 0.7  # the share of a row's runs from which PaLM counts it as seen (Chowdhery et al. 2022, section 8)
EXAMPLES = 5  # rows that a report names of each pair


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

    def to_json(self) -> dict[str, Any]:
        """Return counts, and the first rows of both."""
        return {
            'trained': self.trained,
            'held_out': self.held_out,
            'held_out_rows': self.affected(),
            'by_field': len(self.rows['field']),
            'by_run': len(self.rows['ngram']),
            'examples': len(self.examples),
            'such_as': {
                'text': self.sample,
                'held_out_rows': sorted(set().union(*self.rows.values()))[:EXAMPLES],
                'examples': sorted(self.examples)[:EXAMPLES],
            },
        }


@dataclasses.dataclass
class HeldOut:
    """What was found of a held-out data set or file, in all that is trained on.

    Args:
        rows: how many rows, or paragraphs, it has.
        short: how many of these have no run of words, so that only whole fields tell.
        shared: how many share text.
        mostly: how many have at least `MOSTLY` of their runs of words in what is trained on.
    """

    rows: int = 0
    short: int = 0
    shared: int = 0
    mostly: int = 0


@dataclasses.dataclass
class Audit:
    """The result of an audit.

    Args:
        mixture: the mixture that is trained on.
        ngram: the number of words in a shared run.
        pairs: data sets that share text, by (trained, held out).
        searched: the number of rows that were searched in each data set.
        skipped: the data sets that could not be searched, with the reason.
        held_out: what was found of each held-out data set or file.
    """

    mixture: mixtures.Mixture
    ngram: int
    pairs: dict[tuple[str, str], Pair] = dataclasses.field(default_factory=dict)
    searched: dict[str, int] = dataclasses.field(default_factory=dict)
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    held_out: dict[str, HeldOut] = dataclasses.field(default_factory=dict)

    def worst(self) -> list[Pair]:
        """Return the pairs, sorted by the share of held-out rows that they affect, the greatest first."""
        return sorted(
            self.pairs.values(),
            key=lambda pair: pair.affected() / self.held_out[pair.held_out].rows,
            reverse=True,
        )

    def most_shared(self) -> float:
        """Return the greatest share of rows, of any held-out data set, that share text."""
        return max((found.shared / found.rows for found in self.held_out.values()), default=0.0)

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

    def to_json(self) -> dict[str, Any]:
        """Return all but the rows that share text, of which a drop list has those to leave out."""
        return {
            'mixture': self.mixture.name,
            'ngram': self.ngram,
            'held_out': {name: dataclasses.asdict(found) for name, found in self.held_out.items()},
            'pairs': [pair.to_json() for pair in self.worst()],
            'searched': self.searched,
            'not_searched': self.skipped,
        }


def search(
    mixture: MixtureConfig | str,
    ngram: int = NGRAM,
    max_rows: int | None = None,
    data_dir: str | os.PathLike | None = None,
    against: Sequence[str] = (),
    processes: int | None = None,
) -> Audit:
    """Search the training rows of a mixture for text of the data sets that it holds out, and of others.

    Args:
        mixture: settings or a name for `mixtures.resolve`. Rows of its drop list are not searched.
        ngram: the number of words in a shared run.
        max_rows: the greatest number of rows to search in each data set; by default all.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.
        against: what must not be trained on either: collections such as `bbh` and `mmlu`, other mixtures,
            data sets, or paths of files or folders of texts.
        processes: how many processes search; by default as many as there are CPUs to use.

    Raises:
        ValueError: nothing is held out, or nothing of it can be read.
    """
    if ngram < 1:
        raise ValueError(f'got ngram={ngram}; expected a number above 0')
    mixed = mixtures.resolve(mixture, data_dir)
    if not mixed.held_out and not against:
        raise ValueError(
            f'the mixture {mixed.name!r} holds nothing out; name a cluster with --held_out, or other data '
            'with --against'
        )
    audit = Audit(mixed, ngram)
    test = clusters.get_hold_out(mixed.held_out, mixed.collection.specs).test if mixed.held_out else ()
    held_out = [evaluated(task, max_rows, data_dir) for task in test]
    for name in against:
        held_out += named(name, max_rows, data_dir)
    held_out = list({source.name: source for source in held_out}.values())
    dropped = drop_list.read_drop_list(mixed.drop) if mixed.drop else {}
    trained = []
    for entry in mixed.entries:
        limit = min(filter(None, (entry.max_examples, max_rows)), default=None)
        rows = dropped.get(entry.task, frozenset())
        trained.append(Source(entry.task, at_hand(entry.task, data_dir), None, ('train',), limit, rows))
    fill(audit, held_out, trained, processes or workers.usable_cpus())
    if not audit.held_out:
        reasons: dict[str, list[str]] = {}
        for source in held_out:
            reasons.setdefault(audit.skipped.get(source.name, 'it has no rows'), []).append(source.name)
        told = '; '.join(f'{", ".join(names)}: {why}' for why, names in reasons.items())
        raise ValueError(f'nothing of {mixed.held_out or ", ".join(against)} could be read: {told}')
    return audit


def at_hand(task: str, data_dir: str | os.PathLike | None) -> specs.Spec | None:
    """Return a task's data set with the source that the data folder has of it; None for SeqIO's tasks."""
    spec = registry.find_spec(task)
    return spec and dataclasses.replace(spec, source=sources.prefer_data_folder(spec.source, data_dir))


def evaluated(task: str, limit: int | None, data_dir: str | os.PathLike | None) -> Source:
    """Return the rows that a data set is scored on."""
    return Source(task, at_hand(task, data_dir), None, ('test', 'validation'), limit)


def named(name: str, limit: int | None, data_dir: str | os.PathLike | None) -> Iterator[Source]:
    """Yield what a name of `against` stands for.

    Raises:
        ValueError: there is no such mixture, file or folder.
    """
    if text_files.is_path(name):
        for inside, file in text_files.find(name).items():
            whole = name if file.name == name.rpartition('/')[2] else f'{name.rstrip("/")}/{inside}'
            yield Source(whole, file=file, limit=limit)
        return
    try:
        mixed = mixtures.resolve(name, data_dir)
    except ValueError as error:
        if os.path.isdir(name):
            raise ValueError(f'{error}; {name!r} is a folder, too: {name}/ names it') from error
        raise
    for entry in mixed.entries:
        yield evaluated(entry.task, limit, data_dir)


def fill(audit: Audit, held_out: Sequence[Source], trained: Sequence[Source], processes: int) -> None:
    """Search all training rows for one index of held-out text after the other, and store in the audit what
    is found.
    """

    def rows() -> Iterator[tuple[int, int, Any]]:
        for number, source in enumerate(held_out):
            skip = lambda why, name=source.name: audit.skipped.setdefault(name, why)  # noqa: E731
            for row, value in held_out_text.read(source, audit.ngram, progress.advance, skip):
                yield number, row, value

    left, last = rows(), None
    while True:
        progress = BuildProgress('auditing', len(trained))
        if (first := next(left, None)) is None:
            return
        with progress, tempfile.TemporaryDirectory() as folder:
            text = HeldOutText.of(itertools.chain([first], left), audit.ngram)
            saved = pathlib.Path(folder) / 'index'
            text.save(saved)
            seen = np.zeros(len(text.runs.hashes), bool)
            calls = [(saved, source, audit.ngram) for source in trained]
            for number, found in workers.each(held_out_text.search, calls, processes, progress.advance):
                store(audit, trained[number].name, found, held_out)
                seen[found.runs] = True
                progress.advance(0, task=True)
            count(audit, text, seen, held_out, last)
            last = text.owners[-1].tolist()


def store(audit: Audit, task: str, found: Found, held_out: Sequence[Source]) -> None:
    """Store what a training data set shares."""
    if found.rows:
        audit.searched[task] = found.rows
    if found.skipped:
        audit.skipped[task] = found.skipped
    for number, shared in found.shared.items():
        name = held_out[number].name
        pair = audit.pairs.setdefault((task, name), Pair(task, name))
        for how in HOW:
            pair.rows[how] |= shared[how]
        pair.examples.update(found.examples[number])
        pair.sample = pair.sample or found.samples[number]


def count(
    audit: Audit, text: HeldOutText, seen: np.ndarray, held_out: Sequence[Source], last: list[int] | None
) -> None:
    """Count the rows of each held-out source in an index.

    Args:
        audit: gets the counts.
        text: the index.
        seen: bool, which of its runs of words are trained on.
        held_out: the sources.
        last: the source and index of the last row in the index before; where a long row did not end there,
            its rest is not counted again.
    """
    runs = text.runs.counts(len(text.owners))
    found = text.runs.counts(len(text.owners), np.flatnonzero(seen))
    new = (text.owners != (last or [-1, -1])).any(axis=1)
    shared: dict[str, set[int]] = {}
    for pair in audit.pairs.values():
        shared.setdefault(pair.held_out, set()).update(*pair.rows.values())
    for number in np.unique(text.owners[:, 0]).tolist():
        name, own = held_out[number].name, (text.owners[:, 0] == number) & new
        told = audit.held_out.setdefault(name, HeldOut())
        told.rows += int(own.sum())
        told.short += int((runs[own] == 0).sum())
        told.mostly += int(((found >= MOSTLY * runs) & (runs > 0))[own].sum())
        told.shared = len(shared.get(name, ()))
