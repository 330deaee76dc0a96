"""Packing for a decoder-only model: inputs and targets follow each other in one row, with SeqIO's keys, shift
and masks.

The functions have the names of those in `packing`, which does this for an encoder-decoder. Inputs are cut to
S tokens and targets to T, and a row has room for S + T.
"""

from collections.abc import Sequence

import numpy as np

from flanlite.data.batches import packing
from flanlite.data.tokens.example import Tokens


def best_fit(lengths: np.ndarray, capacity: tuple[int, int]) -> list[list[int]]:
    """Assign every example to a row, none of them cut; see `packing.best_fit`."""
    # One dimension only: the second has the length 0 in every example, so that it never limits.
    joined = np.stack([lengths.sum(axis=1), np.zeros(len(lengths), lengths.dtype)], axis=1)
    return packing.example_by_example(joined, (sum(capacity), 1), scarce=0)


def room(capacity: tuple[int, int]) -> dict[str, int]:
    """Return the number of tokens that a row has room for, by side."""
    return {'decoder': sum(capacity)}


def pack(rows: Sequence[Sequence[Tokens]], capacity: tuple[int, int]) -> dict[str, np.ndarray]:
    """Make a batch of rows of several examples each, as SeqIO's `PrefixLMFeatureConverter(pack=True)` does.

    Args:
        rows: the examples (inputs, targets) of each row; longer ones are cut to the capacity.
        capacity: S and T.

    Returns:
        Arrays [rows, S + T] by SeqIO's keys.
    """
    batch, positions = lay_out(rows, capacity)
    batch['decoder_input_tokens'][positions == 0] = (
        0  # the shift must not carry a token into the next example
    )
    return batch | {'decoder_positions': positions}


def pad(examples: Sequence[Tokens], capacity: tuple[int, int]) -> dict[str, np.ndarray]:
    """Make a batch of one example per row, as SeqIO's `PrefixLMFeatureConverter(pack=False)` does, and with
    segment ids, which tell padding from a token 0; see `pack`.
    """
    return lay_out([[example] for example in examples], capacity)[0]


def lay_out(
    rows: Sequence[Sequence[Tokens]], capacity: tuple[int, int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Write the examples of each row one after another; return the batch and the positions."""
    cut = [[(inputs[: capacity[0]], targets[: capacity[1]]) for inputs, targets in row] for row in rows]
    length = sum(capacity)
    tokens, segments, positions = packing.place(
        [[np.concatenate(example) for example in row] for row in cut], length
    )
    widths, _, _ = packing.place(
        [[np.full(sum(map(len, example)), len(example[0])) for example in row] for row in cut], length
    )
    shifted = np.zeros_like(tokens)
    shifted[:, 1:] = tokens[:, :-1]
    real = segments > 0
    batch = {
        'decoder_input_tokens': shifted,
        'decoder_target_tokens': tokens,
        'decoder_loss_weights': (real & (positions >= widths)).astype(np.float32),
        # The prefix that is seen from both sides. It is one place longer than the inputs in the shifted row,
        # where the last input token stands at the place that predicts the first target.
        'decoder_causal_attention': (real & (positions <= widths)).astype(np.int32),
        'decoder_segment_ids': segments,
    }
    return batch, positions
