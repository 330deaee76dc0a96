"""What training data of a mixture looks like: examples by template, lengths, rows that are there twice, and
how packed rows are filled.
"""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from flanlite.data.batches import batches
from flanlite.data.cache import cache
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.view import View
from flanlite.data.config import DataConfig
from flanlite.data.rendering import rendering
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.tokens.example import Example
from flanlite.progress import progress_bar

SEARCHED = 100_000  # rows of a task in which duplicates are looked for
LOOKED_AT = 2_000  # examples of a task among which some of each template are looked for
SHOWN = 5  # groups of equal rows


class Segment(NamedTuple):
    """A packed example on one side of a row.

    Args:
        task: its name.
        number: of the example in its row, from 1.
        start: its first token.
        length: the number of its tokens there.
    """

    task: str
    number: int
    start: int
    length: int


@dataclasses.dataclass(frozen=True)
class Packing:
    """The first batch of a run.

    Args:
        sides: the segments of each row, by side.
        room: the tokens that a row has room for, by side.
    """

    sides: Mapping[str, list[list[Segment]]]
    room: Mapping[str, int]

    def fill(self, side: str) -> float:
        """Return the share of the tokens of a side that is filled."""
        rows = self.sides[side]
        return sum(part.length for row in rows for part in row) / (self.room[side] * len(rows))

    def examples(self) -> int:
        """Count the examples."""
        return sum(max((part.number for part in row), default=0) for row in self.sides['targets'])


@dataclasses.dataclass(frozen=True)
class Duplicates:
    """Rows of a task that are there more than once.

    Args:
        searched: how many rows were read, the first ones.
        repeated: how many of them are equal to an earlier one, answer included.
        contradicted: how many have the text of an earlier one, and another answer.
        groups: some groups of rows with the same text: the indices of the rows, the text, and the answers.
        reason: why no row was read, if none was.
    """

    searched: int = 0
    repeated: int = 0
    contradicted: int = 0
    groups: tuple[tuple[list[int], str, list[str]], ...] = ()
    reason: str = ''


def by_template(split: CachedSplit, count: int) -> dict[int, list[Example]]:
    """Return the first examples of each template of a task, at most `count` of each."""
    found: dict[int, list[Example]] = {}
    for example in split.examples(limit=LOOKED_AT):
        found.setdefault(example.template, [])
        if len(found[example.template]) < count:
            found[example.template].append(example)
    return dict(sorted(found.items()))


def duplicates(name: str, split: CachedSplit, view: View, data_dir: str | None = None) -> Duplicates:
    """Look for equal rows of a task: before templates are filled, which differ from row to row. A SeqIO
    task's are its tokens.

    Args:
        name: the task.
        split: its cached split.
        view: what its examples look like.
        data_dir: the folder of local data.
    """
    try:
        rows = list(itertools.islice(row_texts(name, split, view, data_dir), SEARCHED))
    except (ValueError, OSError) as error:
        return Duplicates(reason=str(error))
    groups: dict[bytes, list[int]] = {}
    for place, (_, text, _) in enumerate(rows):
        groups.setdefault(
            hashlib.blake2b(text.encode('utf-8', 'replace'), digest_size=12).digest(), []
        ).append(place)
    repeated = contradicted = 0
    found = []
    for places in groups.values():
        if len(places) == 1:
            continue
        answers = [rows[place][2] for place in places]
        repeated += len(answers) - len({*answers})
        contradicted += len({*answers}) - 1
        found.append(places)
    found.sort(key=len, reverse=True)
    shown = tuple(
        (
            [rows[place][0] for place in places],
            rows[places[0]][1],
            list(dict.fromkeys(rows[place][2] for place in places)),
        )
        for places in found[:SHOWN]
    )
    return Duplicates(len(rows), repeated, contradicted, shown)


def row_texts(
    name: str, split: CachedSplit, view: View, data_dir: str | None
) -> Iterator[tuple[int, str, str]]:
    """Yield the index of each row of a task, its text without the answer, and the answer."""
    spec = cache.spec_at_hand(name, view, data_dir)
    if spec is None:
        vocabulary = view.vocabulary
        for example in split.examples():
            yield example.row, vocabulary.decode_inputs(example.inputs), vocabulary.decode(example.targets)
        return
    dropped = view.dropped_rows().get(name, frozenset())
    for row, _, value in rendering.kept_rows(spec, view.split, rendering.Tally(), dropped):
        made = spec.example(value) if isinstance(spec, DatasetSpec) else None
        if made is None:
            yield row, as_text(value), ''
        else:
            fields = {
                name: text for name, text in made['texts'].items() if name not in ('answer', 'options_')
            }
            own = {} if spec.options or not made['options'] else {'options': made['options']}
            yield row, as_text(fields | own), as_text(made['answers'])


def as_text(value: Any) -> str:
    """Write fields as a text; one field alone, or a list of one, as it is."""
    if isinstance(value, Mapping) and len(value) == 1:
        value = next(iter(value.values()))
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def packing(
    splits: Iterable[CachedSplit], rates: Mapping[str, float], config: DataConfig, seed: int, converter: str
) -> Packing:
    """Pack the first batch of a run.

    Args:
        splits: the tasks' cached splits.
        rates: their mixing rates.
        config: lengths, size of a batch, window.
        seed: of the order.
        converter: as `T5Config.converter` and `DecoderOnlyConfig.converter` name it.
    """
    splits = list(splits)
    stream = batches.train_iterator(
        splits,
        [rates[split.name] for split in splits],
        feature_lengths=config.feature_lengths,
        batch_size=config.batch_size,
        seed=seed,
        converter=converter,
        pack=config.pack,
        window=config.window,
        prefetch=0,
        groups={split.name: number for number, split in enumerate(splits)},
    )
    batch = next(stream)
    named = {}  # the task of each (row, segment)
    rows, ids = batch['decoder_segment_ids'], batch['decoder_group_ids']
    for row, segment in np.argwhere(rows).tolist():
        named[row, int(rows[row, segment])] = splits[int(ids[row, segment])].name
    sides = {'inputs': 'encoder_segment_ids', 'targets': 'decoder_segment_ids'}
    found = {side: segments(batch[key], named) for side, key in sides.items() if key in batch}
    return Packing(found, {side: batch[sides[side]].shape[1] for side in found})


def segments(ids_BT: np.ndarray, named: Mapping[tuple[int, int], str]) -> list[list[Segment]]:
    """Return the segments of each row, by the ids of its tokens, of which 0 is padding."""
    found = []
    for row, ids in enumerate(ids_BT):
        starts = np.flatnonzero(np.diff(ids, prepend=0))
        ends = np.append(starts[1:], len(ids))
        found.append(
            [
                Segment(named.get((row, int(ids[start])), ''), int(ids[start]), int(start), int(end - start))
                for start, end in zip(starts, ends, strict=True)
                if ids[start]
            ]
        )
    return found


def all_duplicates(
    splits: Mapping[str, CachedSplit], view: View, data_dir: str | None = None
) -> dict[str, Duplicates]:
    """Look for equal rows of each task; see `duplicates`."""
    found = {}
    with progress_bar('looking for duplicates', len(splits), 'tasks') as advance:
        for name, split in splits.items():
            found[name] = duplicates(name, split, view, data_dir)
            advance(1)
    return found
