"""Cached tasks in, mixed and packed batches out: this host's share of them, from any position. Importing it imports no TensorFlow or JAX.

A cached split is a folder:
    manifest.json   at least `name`, `num_examples` and `shards`: [{"file": name, "num_examples": n}, ...] in the examples' order
    lengths.npy     uint16[num_examples, 2]: how many tokens the inputs and the targets have (65535 for that many or more)
    the shards      ArrayRecord files of group size 1, a record an example, as `encode_example` makes it
The lengths let every host plan the same packing without reading a record, and then read only the records of its own rows.
"""

import copy
import dataclasses
import json
import math
import pathlib
import resource
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin
import msgpack
import numpy as np
from array_record.python import array_record_module

from flanlite.data import packing, shuffling

MANIFEST = 'manifest.json'
LENGTHS = 'lengths.npy'
MAX_LENGTH = 65_535


@dataclasses.dataclass(frozen=True)
class Example:
    """One rendered, tokenised example, and what evaluation needs to know of it.

    Args:
        inputs: int32[S] token ids, with EOS.
        targets: int32[T] token ids, with EOS.
        row: the row's index in its data set's split.
        template: the index of the template that rendered it.
        options: the answer options' texts.
        option_tokens: each option's token ids, with EOS.
        answers: all texts that count as right.
    """

    inputs: np.ndarray
    targets: np.ndarray
    row: int = 0
    template: int = 0
    options: tuple[str, ...] = ()
    option_tokens: tuple[np.ndarray, ...] = ()
    answers: tuple[str, ...] = ()


def encode_example(example: Example, width: int | None = None) -> bytes:
    """Make an example's record: a msgpack map, token ids as little-endian integers of `width` bytes (by default 2 if they fit, else 4)."""
    tokens = (example.inputs, example.targets, *example.option_tokens)
    width = width or (2 if all(len(ids) == 0 or np.max(ids) < 1 << 16 for ids in tokens) else 4)
    dtype = np.dtype(f'<u{width}')
    inputs, targets, *options = (np.asarray(ids).astype(dtype).tobytes() for ids in tokens)
    record = {'i': inputs, 't': targets, 'w': width, 'r': example.row, 'p': example.template}
    if example.options:
        record |= {'o': example.options, 'ot': options}
    if example.answers:
        record['a'] = example.answers
    return msgpack.packb(record)


def decode_example(record: bytes) -> Example:
    """Read back what `encode_example` made."""
    fields = msgpack.unpackb(record)
    dtype = np.dtype(f'<u{fields["w"]}')

    def ids(tokens: bytes) -> np.ndarray:
        return np.frombuffer(tokens, dtype).astype(np.int32)

    return Example(
        ids(fields['i']),
        ids(fields['t']),
        fields['r'],
        fields['p'],
        options=tuple(fields.get('o', ())),
        option_tokens=tuple(map(ids, fields.get('ot', ()))),
        answers=tuple(fields.get('a', ())),
    )


def decode_tokens(record: bytes) -> packing.Tokens:
    """Read only a record's inputs and targets."""
    fields = msgpack.unpackb(record)
    dtype = '<u2' if fields['w'] == 2 else '<u4'
    return np.frombuffer(fields['i'], dtype), np.frombuffer(fields['t'], dtype)


class CachedSplit:
    """One split of one task, tokenised: random access to its examples.

    Args:
        path: the folder that the cache builder wrote.

    Raises:
        ValueError: the folder holds no complete cached split.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        try:
            self.manifest: dict[str, Any] = json.loads((self.path / MANIFEST).read_text(encoding='utf-8'))
            self.lengths: np.ndarray = np.asarray(np.load(self.path / LENGTHS, mmap_mode='r'))
        except (OSError, ValueError) as error:
            raise ValueError(f'{self.path} holds no complete cached split ({error}); remove it and build it again') from error
        self.name: str = self.manifest['name']
        self.num_examples: int = self.manifest['num_examples']
        self._files = [self.path / shard['file'] for shard in self.manifest['shards']]
        self._starts = np.cumsum([0, *(shard['num_examples'] for shard in self.manifest['shards'])])
        self._readers: dict[int, Any] = {}
        if self.lengths.shape != (self.num_examples, 2) or self._starts[-1] != self.num_examples:
            raise ValueError(
                f'{self.path}: the manifest says {self.num_examples} examples, its shards {self._starts[-1]}, '
                f'{LENGTHS} has shape {self.lengths.shape}; remove the folder and build it again'
            )

    def __len__(self) -> int:
        return self.num_examples

    def take(self, limit: int | None) -> 'CachedSplit':
        """Return the split cut to its first `limit` examples; None cuts nothing."""
        if limit is None or limit >= self.num_examples:
            return self
        cut = copy.copy(self)
        cut.num_examples, cut.lengths = limit, self.lengths[:limit]
        return cut

    def read(self, index: int) -> Example:
        """Read one example."""
        return decode_example(self.read_records([index])[0])

    def examples(self, limit: int | None = None) -> Iterator[Example]:
        """Read the examples in order, at most `limit` of them."""
        stop = self.num_examples if limit is None else min(limit, self.num_examples)
        for start in range(0, stop, 1_000):
            yield from map(decode_example, self.read_records(range(start, min(start + 1_000, stop))))

    def read_records(self, indices: Sequence[int]) -> list[bytes]:
        """Read records by number, in the order asked for.

        Raises:
            ValueError: a shard is missing or damaged; the message names it.
        """
        wanted = np.asarray(indices, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < self.num_examples:
            raise IndexError(f'{self.name} has {self.num_examples} examples, got the index {wanted.min()} or {wanted.max()}')
        shard_of = np.searchsorted(self._starts, wanted, side='right') - 1
        records: list[bytes] = [b''] * len(wanted)
        for shard, places in groups(shard_of):
            found = self._read_shard(shard, (wanted[places] - self._starts[shard]).tolist())
            for place, record in zip(places.tolist(), found, strict=True):
                records[place] = record
        return records

    def _read_shard(self, shard: int, positions: list[int]) -> list[bytes]:
        file = self._files[shard]
        expected = int(self._starts[shard + 1] - self._starts[shard])
        try:
            if shard not in self._readers:
                reader = array_record_module.ArrayRecordReader(str(file), options='readahead_buffer_size:0', file_reader_buffer_size=32_768)
                if reader.num_records() != expected:
                    raise ValueError(f'it holds {reader.num_records()} records, the manifest says {expected}')
                self._readers[shard] = reader
            return self._readers[shard].read(positions)
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            raise ValueError(f'the shard {file} is damaged: {error}; remove {self.path} and build the cache again') from error


class Order:
    """The endless order of a mixture's examples, in windows: a pure function of seed, rates and position.

    A window holds nearly the same number of examples of a task each time, in proportion to its rate: a task's count up to any window is
    within one of exact. A task's examples are shuffled anew every epoch, each once an epoch.
    """

    def __init__(self, splits: Sequence['CachedSplit'], rates: Sequence[float], seed: int, window: int) -> None:
        if len(splits) != len(rates):
            raise ValueError(f'got {len(splits)} splits and {len(rates)} rates; expected one rate for each split')
        if any(not (math.isfinite(rate) and rate >= 0) for rate in rates):
            raise ValueError(f'got the rates {list(rates)}; expected finite numbers, none below 0')
        mixed = [(split, rate) for split, rate in zip(splits, rates, strict=True) if rate > 0 and split.num_examples]
        if not mixed:
            raise ValueError(f'nothing to train on: of {len(splits)} cached splits none has both examples and a rate above 0')
        self.splits = [split for split, _ in mixed]
        self.seed, self.window = seed, window
        self._shares = np.array([rate for _, rate in mixed]) / math.fsum(rate for _, rate in mixed)
        hashes = [zlib.crc32(f'{seed}/{split.name}'.encode()) for split in self.splits]
        self._phases, self._seeds = np.array(hashes) / 2**32, np.array(hashes, np.uint64) << np.uint64(32)
        self._sizes = np.array([split.num_examples for split in self.splits])

    def describe(self) -> str:
        """Name all that decides the order."""
        tasks = [(split.name, split.num_examples, float(share).hex()) for split, share in zip(self.splits, self._shares, strict=True)]
        return json.dumps([self.seed, self.window, tasks])

    def draw(self, window: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a window's examples in shuffled order: the split's number and the index in the split of each."""
        first, last = (np.floor(number * self.window * self._shares + self._phases).astype(np.int64) for number in (window, window + 1))
        counts = last - first
        task = np.repeat(np.arange(len(self.splits)), counts)
        drawn = np.arange(len(task)) + np.repeat(first - np.cumsum(counts) + counts, counts)
        epoch, position = np.divmod(drawn, self._sizes[task])
        index = shuffling.permute(position, self._sizes[task], self._seeds[task] + epoch.astype(np.uint64))
        shuffled = shuffling.shuffle(len(task), self.seed, window, 0)
        return task[shuffled], index[shuffled]

    def lengths(self, task: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Look up the lengths of drawn examples, int64[N, 2]."""
        found = np.empty((len(task), 2), np.int64)
        for number, places in groups(task):
            found[places] = self.splits[number].lengths[index[places]]
        return found


def groups(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each key, and where it stands."""
    order = np.argsort(keys, kind='stable')
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for places in np.split(order, starts[1:]) if len(order) else ():
        yield int(keys[places[0]]), places


class RowReader:
    """This host's rows of one global batch after the other; its state is the number of a window and of a row in it.

    Every host plans all rows, from the lengths, and reads the records of its own only. So all hosts' states are the same, and a run may
    go on with another number of hosts.
    """

    def __init__(self, order: Order, capacity: tuple[int, int], batch_size: int, pack: bool, shard: tuple[int, int]) -> None:
        self._order, self._capacity, self._pack = order, capacity, pack
        self._batch_size = batch_size
        self._mine = range(shard[0] * batch_size // shard[1], (shard[0] + 1) * batch_size // shard[1])
        self._identity = f'{zlib.crc32(f"{order.describe()}/{capacity}/{pack}".encode()):08x}'
        self._window, self._row = 0, 0
        self._planned: list[list[packing.Tokens] | None] | None = None

    def __iter__(self) -> 'RowReader':
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        rows = []
        for place in range(self._batch_size):
            if self._planned is None:
                self._planned = self._read_window(place)
            while self._row == len(self._planned):
                self._window, self._row = self._window + 1, 0
                self._planned = self._read_window(place)
            if place in self._mine:
                rows.append(self._planned[self._row])
            self._row += 1
        if self._pack:
            return packing.pack(rows, self._capacity)
        return packing.pad([example for row in rows for example in row], self._capacity)

    def get_state(self) -> dict[str, Any]:
        """Return where the next batch starts."""
        return {'window': self._window, 'row': self._row, 'order': self._identity}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where a state was taken.

        Raises:
            ValueError: the state belongs to other data, rates, lengths or another seed, so that it names another place here.
        """
        if state['order'] != self._identity:
            raise ValueError(
                f'the saved data position {dict(state)} belongs to another order of data than {self._identity!r}: data sets, their sizes, '
                'rates, seed, feature lengths, window or packing differ; restore them, or begin a new run from the checkpoint'
            )
        self._window, self._row, self._planned = state['window'], state['row'], None

    def _read_window(self, place: int) -> list[list[packing.Tokens] | None]:
        """Plan the current window and read this host's rows from the current one on, which is the batch's row number `place`."""
        task, index = self._order.draw(self._window)
        rows = plan(self._order.lengths(task, index), self._capacity, self._pack, (self._order.seed, self._window, 1))
        wanted = [number for number in range(self._row, len(rows)) if (place + number - self._row) % self._batch_size in self._mine]
        examples = np.array([example for number in wanted for example in rows[number]], np.int64)
        tokens: dict[int, packing.Tokens] = {}
        for number, places in groups(task[examples]):
            chosen = examples[places]
            for example, record in zip(chosen.tolist(), self._order.splits[number].read_records(index[chosen]), strict=True):
                tokens[example] = decode_tokens(record)
        planned: list[list[packing.Tokens] | None] = [None] * len(rows)
        for number in wanted:
            planned[number] = [tokens[example] for example in rows[number]]
        return planned


def plan(lengths: np.ndarray, capacity: tuple[int, int], pack: bool, seeds: tuple[int, ...]) -> list[list[int]]:
    """Decide which examples share a row, and shuffle the rows."""
    if not pack:
        return [[example] for example in range(len(lengths))]
    rows = packing.best_fit(np.minimum(lengths, capacity), capacity)
    return [rows[number] for number in shuffling.shuffle(len(rows), *seeds)]


class TrainBatches:
    """Batches without end, read ahead by Grain's prefetch thread, which keeps the position of the batch that was last given out."""

    def __init__(self, reader: RowReader, prefetch: int) -> None:
        from grain.experimental import ThreadPrefetchDatasetIterator  # imports JAX

        self._source = [ThreadPrefetchDatasetIterator(reader, prefetch)]
        weakref.finalize(self, self._source.clear)  # else it outlives the interpreter's modules, and complains

    def __iter__(self) -> 'TrainBatches':
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self._source[0])

    def get_state(self) -> dict[str, Any]:
        """Return the position of the next batch, as JSON can hold it; the same on every host."""
        return self._source[0].get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to the position of a state; a `ValueError` where it belongs to other data, rates, lengths or another seed."""
        self._source[0].set_state(state)

    def close(self) -> None:
        """Stop reading ahead."""
        self._source[0].close()


@gin.configurable(denylist=['splits', 'rates', 'feature_lengths', 'batch_size', 'seed', 'shard_index', 'shard_count'])
def train_iterator(
    splits: Sequence[CachedSplit],
    rates: Sequence[float],
    *,
    feature_lengths: Mapping[str, int],
    batch_size: int,
    seed: int,
    pack: bool = True,
    shard_index: int = 0,
    shard_count: int = 1,
    window: int = 4_096,
    prefetch: int = 8,
) -> TrainBatches:
    """Read batches without end: mixed by the rates, packed, this host's rows of each.

    Args:
        splits: the tasks' cached splits.
        rates: a mixing rate for each split; they need not sum to 1.
        feature_lengths: the row's lengths by `inputs` and `targets`; what is longer is cut at the end, as SeqIO does.
        batch_size: rows of the global batch.
        seed: decides the order, together with the position.
        pack: put several examples into a row, with segment ids and positions; else one example a row.
        shard_index: this host's number.
        shard_count: the number of hosts; each reads batch_size / shard_count rows of each batch.
        window: from how many examples at a time the rows are packed: more fill better, fewer are ready sooner.
        prefetch: how many batches a thread reads ahead; 0 reads them when they are asked for. Changes nothing but the speed.

    Returns:
        An iterator of this host's rows by SeqIO's keys, int32[rows, length], `decoder_loss_weights` float32.

    Raises:
        ValueError: lengths, rates or sizes that cannot be; later, a damaged shard.
    """
    capacity = check_lengths(feature_lengths)
    if batch_size < 1 or shard_count < 1 or batch_size % shard_count:
        raise ValueError(f'the batch size {batch_size} does not divide over {shard_count} hosts; expected a multiple of {shard_count}')
    if not 0 <= shard_index < shard_count:
        raise ValueError(f'got the shard index {shard_index}; expected one from 0 to {shard_count - 1}')
    if window < 1 or prefetch < 0:
        raise ValueError(f'got window={window} and prefetch={prefetch}; expected at least 1 example, and 0 batches or more')
    allow_open_files(sum(len(split.manifest['shards']) for split in splits))
    reader = RowReader(Order(splits, rates, seed, window), capacity, batch_size, pack, (shard_index, shard_count))
    return TrainBatches(reader, prefetch)


def pad_examples(examples: Sequence[Example], feature_lengths: Mapping[str, int], num_rows: int | None = None) -> dict[str, np.ndarray]:
    """Make a batch of one example a row for evaluation; with `num_rows`, rows of padding make up the number."""
    return packing.pad([(example.inputs, example.targets) for example in examples], check_lengths(feature_lengths), num_rows)


def check_lengths(feature_lengths: Mapping[str, int]) -> tuple[int, int]:
    """Return the lengths of inputs and targets, or raise a `ValueError` for other features or lengths."""
    if set(feature_lengths) != {'inputs', 'targets'} or not all(1 <= length <= MAX_LENGTH for length in feature_lengths.values()):
        raise ValueError(f"got the feature lengths {dict(feature_lengths)}; expected 'inputs' and 'targets', each from 1 to {MAX_LENGTH}")
    return feature_lengths['inputs'], feature_lengths['targets']


def allow_open_files(count: int) -> None:
    """Raise the process's soft limit on open files where a mixture of many shards needs it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 512
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def hint_shape(
    splits: Sequence[CachedSplit], rates: Sequence[float], feature_lengths: Mapping[str, int], *, window: int = 4_096
) -> tuple[packing.Shape, packing.Shape]:
    """Measure how well a mixture fills rows of these lengths, and find the decoder length that would fit better; see `packing.hint`."""
    order = Order(splits, rates, 0, window)
    return packing.hint(order.lengths(*order.draw(0)), check_lengths(feature_lengths))
