"""Inputs and targets end to end in one row, for a decoder alone: which examples share a row, and SeqIO's keys, shift and masks.

What `packing` does for an encoder-decoder, under the same names. An example is cut to S and T tokens, and a row has room for S + T.
"""

from collections.abc import Sequence

import numpy as np

from flanlite.data.batches import packing
from flanlite.data.tokens.example import Tokens


def best_fit(lengths: np.ndarray, capacity: tuple[int, int]) -> list[list[int]]:
    """Put every example whole into one row; see `packing.best_fit`."""
    joined = np.stack([lengths.sum(axis=1), np.zeros(len(lengths), lengths.dtype)], axis=1)
    return packing.example_by_example(joined, (sum(capacity), 1), scarce=0)


def room(capacity: tuple[int, int]) -> dict[str, int]:
    """Count the tokens that a row has room for, by side."""
    return {'decoder': sum(capacity)}


def pack(rows: Sequence[Sequence[Tokens]], capacity: tuple[int, int]) -> dict[str, np.ndarray]:
    """Make a batch of rows that hold several examples each, as SeqIO's `PrefixLMFeatureConverter(pack=True)` does.

    Args:
        rows: the examples (inputs, targets) of each row; longer ones are cut to the capacity.
        capacity: S and T.
    """
    batch, segments, positions = lay(rows, capacity)
    batch['decoder_input_tokens'][positions == 0] = 0
    return batch | {'decoder_segment_ids': segments, 'decoder_positions': positions}


def pad(examples: Sequence[Tokens], capacity: tuple[int, int]) -> dict[str, np.ndarray]:
    """Make a batch of one example a row, as `PrefixLMFeatureConverter(pack=False)` does."""
    return lay([[example] for example in examples], capacity)[0]


def lay(rows: Sequence[Sequence[Tokens]], capacity: tuple[int, int]) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Lay out the tokens of each row; return what follows from them and from where the targets are, segment ids and positions."""
    cut = [[(inputs[: capacity[0]], targets[: capacity[1]]) for inputs, targets in row] for row in rows]
    length = sum(capacity)
    tokens, segments, positions = packing.place([[np.concatenate(example) for example in row] for row in cut], length)
    widths, _, _ = packing.place([[np.full(sum(map(len, example)), len(example[0])) for example in row] for row in cut], length)
    shifted = np.zeros_like(tokens)
    shifted[:, 1:] = tokens[:, :-1]
    real = segments > 0
    batch = {
        'decoder_input_tokens': shifted,
        'decoder_target_tokens': tokens,
        'decoder_loss_weights': (real & (positions >= widths)).astype(np.float32),
        # With the place from which the first target is predicted: there the last of the inputs is read.
        'decoder_causal_attention': (real & (positions <= widths)).astype(np.int32),
    }
    return batch, segments, positions
