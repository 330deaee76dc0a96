"""Mixed and packed training batches from cached tasks: this host's rows of each batch, from any position on.

Imports no TensorFlow; JAX is imported with Grain's prefetch thread only.
"""

import json
import math
import resource
import weakref
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flanlite.data.batches import packing, prefix_lm, shuffling
from flanlite.data.cache.cached_split import CachedSplit, groups
from flanlite.data.tokens.example import Tokens
from flanlite.limits import MAX_LENGTH

# How examples become rows, as in SeqIO's feature converters. Each is a module with `best_fit`, `room`, `pack`
# and `pad`.
CONVERTERS = {'encoder_decoder': packing, 'prefix_lm': prefix_lm}

Stages = Sequence[tuple[int, Sequence[float]]]


class Mix(NamedTuple):
    """The shares in force from a window on.

    Args:
        start: the window.
        drawn: float64[K], of each task the exact number of examples, in proportion, that come before it.
        shares: float64[K], the tasks' shares, which sum to 1.
    """

    start: int
    drawn: np.ndarray
    shares: np.ndarray


class Order:
    """The endless order of a mixture's examples, cut into windows; a pure function of the seed, the rates and
    the position.

    Every window holds examples of each task in proportion to the task's rate. Up to the end of any window,
    the number of a task's examples differs by less than one from the exact proportion. Each epoch of a task
    reads every example once, in a new shuffled order; both hold across changes of the rates, too.

    Args:
        splits: the tasks' cached splits.
        rates: a mixing rate for each split; they need not sum to 1.
        seed: decides the order.
        window: the number of examples in a window, up to rounding.
        stages: the later stages of a curriculum: the number of the first batch of each, from 0, and its rate
            for each split.

    Raises:
        ValueError: the rates are not finite numbers from 0, one for each split, or nothing is left to train
            on.
    """

    def __init__(
        self,
        splits: Sequence[CachedSplit],
        rates: Sequence[float],
        seed: int,
        window: int,
        stages: Stages = (),
    ) -> None:
        every = [rates, *(later for _, later in stages)]
        for each in every:
            if len(splits) != len(each):
                raise ValueError(
                    f'got {len(splits)} splits and {len(each)} rates; expected one rate for each split'
                )
            if any(not (math.isfinite(rate) and rate >= 0) for rate in each):
                raise ValueError(f'got the rates {list(each)}; expected finite numbers, none below 0')
            if not any(rate > 0 and split.num_examples for split, rate in zip(splits, each, strict=True)):
                raise ValueError(
                    f'nothing to train on: of {len(splits)} cached splits none has both examples and a rate '
                    'above 0'
                )
        mixed = [
            place
            for place, split in enumerate(splits)
            if split.num_examples and any(each[place] > 0 for each in every)
        ]
        self.splits = [splits[place] for place in mixed]
        self.seed, self.window = seed, window
        first, *later = ([each[place] for place in mixed] for each in every)
        self.stages = [(batch, self.shares_of(each)) for (batch, _), each in zip(stages, later, strict=True)]
        self.first = Mix(0, np.zeros(len(mixed)), self.shares_of(first))
        hashes = [zlib.crc32(f'{seed}/{split.name}'.encode()) for split in self.splits]
        self._phases, self._seeds = np.array(hashes) / 2**32, np.array(hashes, np.uint64) << np.uint64(32)
        self._sizes = np.array([split.num_examples for split in self.splits])

    def identity(self) -> str:
        """Return a text of all that decides the order, so that a saved position is not used with another
        order.
        """
        tasks = [
            (split.name, split.num_examples, float(share).hex())
            for split, share in zip(self.splits, self.first.shares, strict=True)
        ]
        stages = [(batch, [float(share).hex() for share in shares]) for batch, shares in self.stages]
        return json.dumps([self.seed, self.window, tasks, *([stages] if stages else [])])

    @staticmethod
    def shares_of(rates: Sequence[float]) -> np.ndarray:
        """Return rates of the tasks in `splits` as shares: float64[K], which sum to 1."""
        return np.array(rates) / math.fsum(rates)

    def drawn(self, window: int, mix: Mix) -> np.ndarray:
        """Return the exact numbers of examples, in proportion, before a window: float64[K]."""
        return (window - mix.start) * self.window * mix.shares + mix.drawn

    def draw(self, window: int, mix: Mix | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return a window's examples in shuffled order: the number of each one's split, and its index in the
        split; int64[N] both.

        Args:
            window: its number, from 0.
            mix: the shares in force; by default the first.
        """
        # Up to the start of a window, floor(exact number before it + phase) examples of a task were drawn.
        # The phase, from 0 to 1, is a hash of seed and name. Without it, tasks of equal shares would all gain
        # an example in the same window.
        first, last = (
            np.floor(self.drawn(number, mix or self.first) + self._phases).astype(np.int64)
            for number in (window, window + 1)
        )
        counts = last - first
        task = np.repeat(np.arange(len(self.splits)), counts)
        drawn = np.arange(len(task)) + np.repeat(first - np.cumsum(counts) + counts, counts)
        epoch, position = np.divmod(drawn, self._sizes[task])
        index = shuffling.permute(position, self._sizes[task], self._seeds[task] + epoch.astype(np.uint64))
        shuffled = shuffling.shuffle(len(task), self.seed, window, 0)
        return task[shuffled], index[shuffled]

    def lengths(self, task: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return the lengths of drawn examples: int64[N, 2], of inputs and of targets, in tokens."""
        found = np.empty((len(task), 2), np.int64)
        for number, places in groups(task):
            found[places] = self.splits[number].lengths[index[places]]
        return found

    def read(self, task: np.ndarray, index: np.ndarray) -> list[Tokens]:
        """Read drawn examples, in the order given."""
        found: dict[int, Tokens] = {}
        for number, places in groups(task):
            found |= zip(places.tolist(), self.splits[number].read_tokens(index[places]), strict=True)
        return [found[place] for place in range(len(task))]


class RowReader:
    """An iterator over global batches that returns this host's rows of each; its state is the number of a
    window and of a row in it, and where the stages of a curriculum began.

    Where the rates change, the rest of a window is left unread, and the next one has the new rates.

    Every host plans the rows of all hosts, from the lengths alone, and reads the records of its own rows
    only. So the state is the same on all hosts, and a run may continue on another number of hosts.

    Args:
        order: the order of the examples.
        capacity: S and T, the lengths of inputs and targets.
        batch_size: the number of rows of the global batch.
        pack: put several examples into a row.
        host_rows: the rows of each batch that this host reads.
        converter: one of `CONVERTERS`.
        groups: the number of each task's group, for the batches' `decoder_group_ids`; by default they have
            none.
    """

    def __init__(
        self,
        order: Order,
        capacity: tuple[int, int],
        batch_size: int,
        pack: bool,
        host_rows: Sequence[int],
        converter: str,
        groups: Mapping[str, int] | None = None,
    ) -> None:
        self._groups = np.array([groups[split.name] for split in order.splits]) if groups else None
        self._order = order
        self._capacity = capacity
        self._pack = pack
        self._converter = CONVERTERS[converter]
        self._batch_size = batch_size
        self._mine = frozenset(host_rows)
        self._identity = f'{zlib.crc32(f"{order.identity()}/{capacity}/{pack}/{converter}".encode()):08x}'
        self._window, self._row, self._batch = 0, 0, 0
        self._begun: list[int] = []  # the first window of each later stage that has begun
        self._mix, self._shifted = order.first, False
        self._planned: list[tuple[list[Tokens], np.ndarray] | None] | None = None

    def __iter__(self) -> 'RowReader':
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        later = self._order.stages[len(self._begun) :]
        if later and self._batch == later[0][0]:
            self._window, self._row, self._planned = self._window + (self._row > 0), 0, None
            self._begin_stage(self._window)
        self._batch += 1
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
        examples = [row for row, _ in rows]
        if self._pack:
            batch = self._converter.pack(examples, self._capacity)
        else:
            batch = self._converter.pad([example for row in examples for example in row], self._capacity)
        if self._groups is None:
            return batch
        # The examples of a row are its segments, counted from 1; 0 is padding, which has no weight.
        table = np.zeros((len(rows), 1 + max(len(tasks) for _, tasks in rows)), np.int32)
        for place, (_, tasks) in enumerate(rows):
            table[place, 1 : 1 + len(tasks)] = self._groups[tasks]
        return batch | {'decoder_group_ids': np.take_along_axis(table, batch['decoder_segment_ids'], axis=1)}

    def get_state(self) -> dict[str, Any]:
        """Return the position at which the next batch starts."""
        state: dict[str, Any] = {'window': self._window, 'row': self._row, 'order': self._identity}
        if self._order.stages:
            state |= {'batch': self._batch, 'stages': list(self._begun)}
        if self._shifted:
            state['mix'] = mix_to_json(self._mix)
        return state

    def shift(self, state: Mapping[str, Any], rates: Mapping[str, float]) -> dict[str, Any]:
        """Return the state from which on other rates count.

        Args:
            state: a state of this order.
            rates: by task; those that the order does not have do not count.

        Raises:
            ValueError: none of the order's tasks has a rate above 0.
        """
        found = [rates.get(split.name, 0.0) for split in self._order.splits]
        if not sum(found) > 0:
            raise ValueError(f'got the rates {dict(rates)}; expected one above 0')
        before = mix_from_json(state['mix']) if 'mix' in state else self._order.first
        window = state['window'] + (state['row'] > 0)
        mix = Mix(window, self._order.drawn(window, before), self._order.shares_of(found))
        return {**state, 'window': window, 'row': 0, 'mix': mix_to_json(mix)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from the position of a state.

        Raises:
            ValueError: the state belongs to other data, rates or lengths, or to another seed, so that the
                position means nothing here.
        """
        if state['order'] != self._identity:
            raise ValueError(
                f'the saved data position {dict(state)} belongs to another order of data than '
                f'{self._identity!r}: data sets, their sizes, '
                'rates, seed, feature lengths, window or packing differ; restore them, or begin a new run '
                'from the checkpoint'
            )
        self._window, self._row, self._planned = state['window'], state['row'], None
        self._batch, self._begun = state.get('batch', 0), []
        self._mix, self._shifted = self._order.first, 'mix' in state
        for window in state.get('stages', ()):
            self._begin_stage(window)
        if self._shifted:
            self._mix = mix_from_json(state['mix'])

    def _begin_stage(self, window: int) -> None:
        """Take the shares of the next stage from a window on."""
        shares = self._order.stages[len(self._begun)][1]
        self._mix = Mix(window, self._order.drawn(window, self._mix), shares)
        self._begun.append(window)

    def _read_window(self, place: int) -> list[tuple[list[Tokens], np.ndarray] | None]:
        """Plan the current window, and read this host's rows of it from the current row on.

        Args:
            place: the place that the current row has in its batch; it decides which rows are this host's.

        Returns:
            The window's rows, each a list of examples, with the number of each one's split; None for rows
            that are past or of other hosts.
        """
        task, index = self._order.draw(self._window, self._mix)
        best_fit = self._converter.best_fit if self._pack else None
        rows = plan(
            self._order.lengths(task, index), self._capacity, best_fit, (self._order.seed, self._window, 1)
        )
        wanted = [
            number
            for number in range(self._row, len(rows))
            if (place + number - self._row) % self._batch_size in self._mine
        ]
        examples = np.array([example for number in wanted for example in rows[number]], np.int64)
        read = self._order.read(task[examples], index[examples])
        tokens = dict(zip(examples.tolist(), read, strict=True))
        planned: list[tuple[list[Tokens], np.ndarray] | None] = [None] * len(rows)
        for number in wanted:
            planned[number] = [tokens[example] for example in rows[number]], task[rows[number]]
        return planned


def mix_to_json(mix: Mix) -> dict[str, Any]:
    """Write shares in force as JSON holds them, exactly."""
    return {'start': mix.start, 'drawn': mix.drawn.tolist(), 'shares': mix.shares.tolist()}


def mix_from_json(found: Mapping[str, Any]) -> Mix:
    """Read what `mix_to_json` wrote."""
    return Mix(found['start'], np.array(found['drawn']), np.array(found['shares']))


def plan(
    lengths: np.ndarray, capacity: tuple[int, int], best_fit: Callable | None, seeds: tuple[int, ...]
) -> list[list[int]]:
    """Decide which examples share a row, and shuffle the rows.

    Args:
        lengths: int64[N, 2], the examples' lengths.
        capacity: S and T.
        best_fit: packs the examples; without it, every example has its own row, in the given order.
        seeds: decide how the rows are shuffled.

    Returns:
        The examples' numbers, one list per row.
    """
    if not best_fit:
        return [[example] for example in range(len(lengths))]
    rows = best_fit(np.minimum(lengths, capacity), capacity)
    return [rows[number] for number in shuffling.shuffle(len(rows), *seeds)]


class TrainBatches:
    """An endless iterator over batches, read ahead by Grain's prefetch thread.

    Its position is that of the batch that was returned last, not of those that were read ahead.
    """

    def __init__(self, reader: RowReader, prefetch: int) -> None:
        from grain.experimental import ThreadPrefetchDatasetIterator  # imports JAX

        self._reader = reader
        self._source = [ThreadPrefetchDatasetIterator(reader, prefetch)]
        # The thread must end before the interpreter clears its modules, or it prints an error then. A
        # finalizer runs in time, also at exit.
        weakref.finalize(self, self._source.clear)

    def __iter__(self) -> 'TrainBatches':
        return self

    def __next__(self) -> dict[str, np.ndarray]:
        return next(self._source[0])

    def get_state(self) -> dict[str, Any]:
        """Return the position of the next batch as a JSON value, the same on every host."""
        return self._source[0].get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Continue from the position of a state; see `RowReader.set_state`."""
        self._source[0].set_state(state)

    def shift(self, rates: Mapping[str, float]) -> None:
        """Mix by other rates from the next batch on; what was read ahead is read anew.

        Args:
            rates: by task.
        """
        self.set_state(self._reader.shift(self.get_state(), rates))

    def close(self) -> None:
        """Stop reading ahead."""
        self._source[0].close()


def train_iterator(
    splits: Sequence[CachedSplit],
    rates: Sequence[float],
    *,
    feature_lengths: Mapping[str, int],
    batch_size: int,
    seed: int,
    converter: str = 'encoder_decoder',
    pack: bool = True,
    host_rows: Sequence[int] | None = None,
    window: int = 4_096,
    prefetch: int = 8,
    groups: Mapping[str, int] | None = None,
    stages: Stages = (),
) -> TrainBatches:
    """Read batches without end: mixed by the rates, packed, this host's rows of each.

    Args:
        splits: the tasks' cached splits.
        rates: a mixing rate for each split; they need not sum to 1.
        feature_lengths: the row's lengths by `inputs` and `targets`; what is longer is cut at the end, as
            SeqIO does.
        batch_size: rows of the global batch.
        seed: decides the order, together with the position.
        converter: one of `CONVERTERS`; the model's config names it.
        pack: put several examples into a row, with segment ids and positions; else one example a row.
        host_rows: the rows of each batch that this host reads; by default all.
        window: the number of examples that are packed together: more of them fill rows better, fewer are
            ready sooner.
        prefetch: the number of batches that a thread reads ahead; 0 reads each when it is asked for. Changes
            nothing but the speed.
        groups: the number of each task's group; each batch then says of every target token, under
            `decoder_group_ids`, which group it is of.
        stages: see `Order`.

    Returns:
        An iterator over this host's rows by SeqIO's keys: int32[rows, length], `decoder_loss_weights`
            float32.

    Raises:
        ValueError: a length, rate or size cannot be; while iterating, a damaged shard.
    """
    capacity = check_lengths(feature_lengths)
    host_rows = range(batch_size) if host_rows is None else [int(row) for row in host_rows]
    if batch_size < 1 or not host_rows or not 0 <= min(host_rows) <= max(host_rows) < batch_size:
        raise ValueError(
            f'got the rows {list(host_rows)} of a batch of {batch_size}; expected some of 0 to '
            f'{batch_size - 1}'
        )
    if window < 1 or prefetch < 0:
        raise ValueError(
            f'got window={window} and prefetch={prefetch}; expected at least 1 example, and 0 batches or more'
        )
    allow_open_files(sum(len(split.manifest['shards']) for split in splits))
    order = Order(splits, rates, seed, window, stages)
    reader = RowReader(order, capacity, batch_size, pack, host_rows, converter, groups)
    return TrainBatches(reader, prefetch)


def check_lengths(feature_lengths: Mapping[str, int]) -> tuple[int, int]:
    """Return the lengths of inputs and targets.

    Raises:
        ValueError: there are other features, or a length is out of range.
    """
    if set(feature_lengths) != {'inputs', 'targets'} or not all(
        1 <= length <= MAX_LENGTH for length in feature_lengths.values()
    ):
        raise ValueError(
            f"got the feature lengths {dict(feature_lengths)}; expected 'inputs' and 'targets', each from 1 "
            f'to {MAX_LENGTH}'
        )
    return feature_lengths['inputs'], feature_lengths['targets']


def allow_open_files(count: int) -> None:
    """Raise the process's soft limit on open files, so that `count` shards can be open at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 512
    if soft != resource.RLIM_INFINITY and soft < needed:
        limit = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def hint_shape(
    splits: Sequence[CachedSplit],
    rates: Sequence[float],
    feature_lengths: Mapping[str, int],
    *,
    window: int = 4_096,
) -> tuple[packing.Shape, packing.Shape]:
    """Measure how well a mixture fills rows of some lengths, and find the decoder length that fits better;
    see `packing.hint`.
    """
    order = Order(splits, rates, 0, window)
    return packing.hint(order.lengths(*order.draw(0)), check_lengths(feature_lengths))
