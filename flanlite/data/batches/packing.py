"""Packing for an encoder-decoder: which examples share a row, and the rows as arrays with SeqIO's keys, shift
and masks.

An example takes room on two sides of a row, inputs and targets, which makes packing a vector bin packing
problem in two dimensions.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flanlite.data.tokens.example import Tokens

MAX_ROOM = np.iinfo(np.int32).max


def best_fit(lengths: np.ndarray, capacity: tuple[int, int]) -> list[list[int]]:
    """Assign every example to a row, none of them cut, in as few rows as two heuristics find.

    Args:
        lengths: int[N, 2], the numbers of tokens in inputs and targets, none greater than its capacity.
        capacity: S and T.

    Returns:
        The examples' numbers, one list per row.
    """
    # Rows needed if each side could be filled completely; the greater one is a lower bound.
    demand = lengths.sum(axis=0) / capacity
    rows = example_by_example(lengths, capacity, scarce=int(demand.argmax()))
    # Both sides are scarce, and rows are not yet full.
    if demand.min() > 0.5 * demand.max() and len(rows) > 1.02 * demand.max():
        rows = min(rows, row_by_row(lengths, capacity), key=len)
    return rows


def largest_first(lengths: np.ndarray, capacity: tuple[int, int]) -> np.ndarray:
    """Return the order of examples by the greater of the shares of a row that their inputs and targets take,
    the greatest first.
    """
    return np.argsort(-(lengths / capacity).max(axis=1), kind='stable')


def example_by_example(lengths: np.ndarray, capacity: tuple[int, int], scarce: int) -> list[list[int]]:
    """Assign examples by best-fit decreasing: each goes to the row it fits in that has the least room left on
    the scarce side.

    Args:
        lengths: int[N, 2].
        capacity: S and T.
        scarce: the side whose room is compared: 0 for inputs, 1 for targets.

    Returns:
        The examples' numbers, one list per row.
    """
    # Every example is compared with all open rows at once, in numpy: rows have two kinds of room, so no
    # sorted order of them would serve.
    rows: list[list[int]] = []
    room = np.tile(np.array([capacity], np.int32).T, (1, len(lengths)))
    for number in largest_first(lengths, capacity).tolist():
        inputs, targets = lengths[number].tolist()
        opened = room[:, : len(rows)]
        too_small = (opened[0] < inputs) | (opened[1] < targets)
        best = int(np.where(too_small, MAX_ROOM, opened[scarce]).argmin()) if rows else 0
        if not rows or too_small[best]:
            best = len(rows)
            rows.append([])
        rows[best].append(number)
        room[0, best] -= inputs
        room[1, best] -= targets
    return rows


def row_by_row(lengths: np.ndarray, capacity: tuple[int, int]) -> list[list[int]]:
    """Fill one row after the other, each time with the example that leaves the least room on both sides
    together.

    The room is the length of the vector (room of inputs / S, room of targets / T): the norm-based greedy
    heuristic of Panigrahy et al. 2011, "Heuristics for vector bin packing". Where both sides are scarce, it
    needs up to 5% fewer rows than best-fit decreasing.

    Args:
        lengths: int[N, 2].
        capacity: S and T.

    Returns:
        The examples' numbers, one list per row.
    """
    scale_inputs, scale_targets = 1 / np.square(capacity, dtype=np.float64)
    order = largest_first(lengths, capacity)
    inputs, targets = np.ascontiguousarray(lengths[order].astype(np.int64).T)
    rows = []
    while len(order):
        room_inputs, room_targets = capacity
        row = []
        while True:
            left_inputs, left_targets = room_inputs - inputs, room_targets - targets
            # Either is negative: the sign bit of "or" is that of either.
            too_long = (left_inputs | left_targets) < 0
            left = scale_inputs * (left_inputs * left_inputs) + scale_targets * (left_targets * left_targets)
            left[too_long] = np.inf
            best = int(left.argmin())
            if too_long[best]:
                break
            row.append(best)
            room_inputs, room_targets = int(left_inputs[best]), int(left_targets[best])
            inputs[best] = capacity[0] + 1  # it fits in no row from now on, so it is not chosen twice
        waiting = inputs <= capacity[0]
        rows.append(order[row].tolist())
        order, inputs, targets = order[waiting], inputs[waiting], targets[waiting]
    return rows


def room(capacity: tuple[int, int]) -> dict[str, int]:
    """Return the number of tokens that a row has room for, by side."""
    return {'encoder': capacity[0], 'decoder': capacity[1]}


def pack(rows: Sequence[Sequence[Tokens]], capacity: tuple[int, int]) -> dict[str, np.ndarray]:
    """Make a batch of rows of several examples each, as SeqIO's `EncDecFeatureConverter(pack=True)` does.

    Args:
        rows: the examples (inputs, targets) of each row; longer ones are cut to the capacity.
        capacity: S and T.

    Returns:
        Arrays by SeqIO's keys: [rows, S] for the encoder, [rows, T] for the decoder.
    """
    inputs, input_segments, input_positions = place(
        [[example[0] for example in row] for row in rows], capacity[0]
    )
    targets, target_segments, target_positions = place(
        [[example[1] for example in row] for row in rows], capacity[1]
    )
    batch = features(inputs, input_segments, targets, target_segments)
    batch['decoder_input_tokens'][target_positions == 0] = (
        0  # the shift must not carry a token into the next example
    )
    return batch | {'encoder_positions': input_positions, 'decoder_positions': target_positions}


def pad(examples: Sequence[Tokens], capacity: tuple[int, int]) -> dict[str, np.ndarray]:
    """Make a batch of one example per row, as SeqIO's `EncDecFeatureConverter(pack=False)` does, and with
    segment ids, which tell padding from a token 0; see `pack`.
    """
    inputs, input_segments, _ = place([[example[0]] for example in examples], capacity[0])
    targets, target_segments, _ = place([[example[1]] for example in examples], capacity[1])
    return features(inputs, input_segments, targets, target_segments)


def features(
    inputs: np.ndarray, input_segments: np.ndarray, targets: np.ndarray, target_segments: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the tokens and segments by SeqIO's keys, with the decoder's shifted inputs and the loss
    weights.
    """
    shifted = np.zeros_like(targets)
    shifted[:, 1:] = targets[:, :-1]
    return {
        'encoder_input_tokens': inputs,
        'decoder_input_tokens': shifted,
        'decoder_target_tokens': targets,
        'decoder_loss_weights': (target_segments > 0).astype(np.float32),
        'encoder_segment_ids': input_segments,
        'decoder_segment_ids': target_segments,
    }


def place(rows: Sequence[Sequence[np.ndarray]], length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Write each row's sequences one after another into a row of `length` tokens.

    All rows are written at once: for every token of the batch, its slot in the flat array [rows * length] is
    computed.

    Args:
        rows: the sequences of each row; longer ones are cut to `length`.
        length: the length of a row.

    Returns:
        Tokens, segment ids (from 1; 0 is padding) and positions in the segment, each int32[rows, length].
    """
    cut = [sequence[:length] for row in rows for sequence in row]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    lengths = np.fromiter(map(len, cut), np.int64, len(cut))
    row_of = np.repeat(np.arange(len(rows)), counts)
    segment_of = np.arange(len(cut)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    starts = np.cumsum(lengths) - lengths
    row_starts = np.append(starts, lengths.sum())[np.cumsum(counts) - counts]

    position = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    slot = np.repeat(row_of * length + starts - row_starts[row_of], lengths) + position
    tokens, segments, positions = np.zeros((3, len(rows) * length), np.int32)
    if cut:
        tokens[slot] = np.concatenate(cut)
    segments[slot] = np.repeat(segment_of, lengths)
    positions[slot] = position
    shape = (len(rows), length)
    return tokens.reshape(shape), segments.reshape(shape), positions.reshape(shape)


class Shape(NamedTuple):
    """A decoder length, the shares of encoder and decoder slots that then hold a token, and the share of
    targets that are cut.
    """

    targets: int
    encoder_fill: float
    decoder_fill: float
    cut: float


def hint(lengths: np.ndarray, capacity: tuple[int, int]) -> tuple[Shape, Shape]:
    """Find the decoder length that fits better at the same encoder length.

    Args:
        lengths: int[N, 2], the lengths of a sample of examples.
        capacity: the current S and T.

    Returns:
        The shape that T gives, and the shape of a better length. This is the shortest multiple of 8 that
        fills the encoder as well, to 1%, as a decoder without limit would, and cuts at most 1% of the
        targets, or as many as T does if these are more.
    """

    def measure(targets: int) -> Shape:
        cut = np.minimum(lengths, (capacity[0], targets))
        fills = cut.sum(axis=0) / len(best_fit(cut, (capacity[0], targets))) / (capacity[0], targets)
        return Shape(targets, float(fills[0]), float(fills[1]), float((lengths[:, 1] > targets).mean()))

    now = measure(capacity[1])
    shortest = float(np.quantile(lengths[:, 1], 1 - max(now.cut, 0.01)))
    longest = max(
        shortest, *capacity, float(lengths[:, 1].mean() / max(1, lengths[:, 0].mean()) * 2 * capacity[0])
    )
    enough = measure(math.ceil(longest)).encoder_fill - 0.01
    lowest, highest = max(1, math.ceil(shortest / 8)), math.ceil(longest / 8)
    while lowest < highest:
        middle = (lowest + highest) // 2
        if measure(8 * middle).encoder_fill >= enough:
            highest = middle
        else:
            lowest = middle + 1
    return now, measure(8 * lowest)
