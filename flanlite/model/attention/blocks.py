"""Attention block by block: what the implementations that never hold B x H x T x S scores have in common.

An implementation is a pair of functions, forward and backward, over padded `Inputs` (`Kernels`). Scores are
computed in tiles of `Tiling.targets` queries and `Tiling.sources` keys, forward with a running maximum and
sum (the online softmax of Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022). In place of the
scores, backward gets two numbers a query:

    log_sum  the logarithm of the sum of exp(logit) over the keys that the query sees. So exp(logit - log_sum)
             is the query's weight of a key, and backward computes the weights again tile by tile, in one
             pass and without a maximum.
    delta    the sum over K of the output times its gradient; backward gets it computed. The softmax's
             gradient is weight x (dweight - sum(weight x dweight)), and that sum over all keys equals delta:
             so a tile of dlogits needs no other tile.

Small arrays say which query sees which key, in place of a mask: `kv_segments_BS`, which must equal the
query's segment, and `first_BS` and `last_BS`, the first and the last query position that may see the key
(`visible_range`). Causality is first_BS = the key's own position; a prefix LM's inputs and attention without
causality have 0; padding has T, which no query reaches; a window has last_BS = the key's position and as many
more. `visible_blocks` tells from the same arrays which tiles can be skipped.

Keys and values may have fewer heads than queries, G in place of H: each serves H / G of them, one after the
other.

Numerics: products accumulate in float32, and logits, softmax and the sums over tiles are float32. Weights and
dlogits are rounded to the inputs' dtype before they are multiplied, as plain XLA does with weights. A masked
logit has weight exactly 0: it is not left to exp(MASKED - maximum), which is 1 in a row that sees nothing.
The output of such a row is 0, and so are its gradients (see `log_sum`).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

# How many positions before and after a query it sees, itself not counted: numbers, or int32 scalars.
Window = tuple[int | jax.Array, int | jax.Array]
FAR = 2**30  # a position that no sequence reaches
MASKED = -1e10  # T5X's logit of a hidden key; finite, so that a row in which all keys are hidden has no NaN


class Inputs(NamedTuple):
    """Padded inputs of attention: T and S are multiples of the tile's sizes, K a power of two, N is T + S.

    A query at position t sees a key if their segments are equal and the key's first_BS <= t <= last_BS.
    """

    q_BHTK: jax.Array
    k_BGSK: jax.Array
    v_BGSK: jax.Array
    q_segments_BT: jax.Array
    kv_segments_BS: jax.Array
    # Int32, the first query position that may see the key: T for padding, 0 without causality.
    first_BS: jax.Array
    last_BS: jax.Array | None  # int32, the last one; None where it is the last of all for every key
    bias_HN: jax.Array | None


class Tiling(NamedTuple):
    """Sizes of a tile of scores, and how they are computed."""

    targets: int  # queries of a tile
    sources: int  # keys of a tile
    triangular: bool  # keys later than the query are always hidden, so that loops may end at the diagonal
    soft_cap: float  # see `soft_capped`; 0 for none


class Gradients(NamedTuple):
    """Gradients of `Inputs`, float32 or in the inputs' dtypes."""

    q_BHTK: jax.Array
    k_BGSK: jax.Array
    v_BGSK: jax.Array
    bias_HN: jax.Array | None


class Kernels(NamedTuple):
    """An implementation of attention in blocks; the module's docstring explains log_sum and delta.

    Args:
        forward: (inputs, tiling) -> (out_BHTK in v's dtype, log_sum_BHT in float32).
        backward: (inputs, tiling, log_sum_BHT, delta_BHT, grad_BHTK) -> gradients, where grad is the
            output's.
    """

    forward: Callable[[Inputs, Tiling], tuple[jax.Array, jax.Array]]
    backward: Callable[[Inputs, Tiling, jax.Array, jax.Array, jax.Array], Gradients]


def attend(
    kernels: Kernels,
    blocks: tuple[int, int],
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    first_BS: jax.Array,
    last_BS: jax.Array | None,
    bias_HN: jax.Array | None,
    *,
    triangular: bool,
    soft_cap: float,
) -> jax.Array:
    """Attend as `attention.attention` does, block by block.

    Args:
        kernels: the implementation.
        blocks: the least and the most queries and keys of a block.
        q_BTHK: queries; this and the other arrays are those of `attention.attention`.
        k_BSGK: keys.
        v_BSGK: values.
        q_segments_BT: segment of each query.
        kv_segments_BS: segment of each key.
        first_BS: from `visible_range`.
        last_BS: from `visible_range`.
        bias_HN: the bias by distance, or None.
        triangular: no query sees a key at a later position.
        soft_cap: see `soft_capped`; 0 for none.

    Returns:
        out_BTHK in v's dtype.
    """
    (_, T), S = q_segments_BT.shape, k_BSGK.shape[1]
    tiling = Tiling(block_size(T, *blocks), block_size(S, *blocks), triangular, soft_cap)
    more_T, more_S = -T % tiling.targets, -S % tiling.sources
    K = q_BTHK.shape[3]
    more_K = padded_head(K) - K
    first_BS = jnp.where(kv_segments_BS > 0, first_BS, T + more_T)

    def padded(x_BTHK: jax.Array, more: int) -> jax.Array:
        return jnp.pad(x_BTHK.swapaxes(1, 2), ((0, 0), (0, 0), (0, more), (0, more_K)))

    inputs = Inputs(
        padded(q_BTHK, more_T),
        padded(k_BSGK, more_S),
        padded(v_BSGK, more_S),
        jnp.pad(q_segments_BT.astype(jnp.int32), ((0, 0), (0, more_T))),
        jnp.pad(kv_segments_BS.astype(jnp.int32), ((0, 0), (0, more_S))),
        jnp.pad(first_BS, ((0, 0), (0, more_S)), constant_values=T + more_T),
        None if last_BS is None else jnp.pad(last_BS, ((0, 0), (0, more_S))),
        None if bias_HN is None else jnp.pad(bias_HN, ((0, 0), (more_T, more_S))),
    )
    return _attend(kernels, tiling, inputs)[:, :, :T, :K].swapaxes(1, 2)


def visible_range(
    kv_segments_BS: jax.Array,
    *,
    causal: bool = False,
    kv_prefix_BS: jax.Array | None = None,
    kv_alone_BS: jax.Array | None = None,
    window: Window | None = None,
) -> tuple[jax.Array, jax.Array | None]:
    """Compute the first and the last query position that may see each key, where its segment allows it.

    The arguments are those of `attention.attention`.

    Returns:
        first_BS, int32, and last_BS, int32, or None where every later query may see each key.
    """
    position_BS = jnp.broadcast_to(jnp.arange(kv_segments_BS.shape[1], dtype=jnp.int32), kv_segments_BS.shape)
    first_BS = position_BS if causal else jnp.zeros_like(position_BS)
    if causal and kv_prefix_BS is not None:
        first_BS = jnp.where(kv_prefix_BS, 0, first_BS)
    last_BS = None
    if window is not None:
        back, ahead = window
        first_BS, last_BS = jnp.maximum(first_BS, position_BS - ahead), position_BS + back
    if kv_alone_BS is not None:
        first_BS = jnp.where(kv_alone_BS, position_BS, first_BS)
        last_BS = jnp.where(kv_alone_BS, position_BS, FAR if last_BS is None else last_BS)
    return first_BS, last_BS


def soft_capped(logits: jax.Array, soft_cap: float) -> jax.Array:
    """Bound logits smoothly to (-soft_cap, soft_cap), as Gemma 2 does; 0 leaves them as they are."""
    return soft_cap * jnp.tanh(logits / soft_cap) if soft_cap else logits


def soft_cap_slope(capped: jax.Array, soft_cap: float) -> jax.Array:
    """Compute the derivative of `soft_capped` from its result."""
    return 1.0 - jnp.square(capped / soft_cap)


def padded_head(size: int) -> int:
    """Return the head dimension that the kernels are given; Triton takes powers of two only."""
    return max(16, 1 << (size - 1).bit_length())


def block_size(length: int, least: int, most: int) -> int:
    """Return the least power of two that holds the length, but at least `least` and at most `most`, which are
    powers of two.
    """
    return min(most, max(least, 1 << (length - 1).bit_length()))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(kernels: Kernels, tiling: Tiling, inputs: Inputs) -> jax.Array:
    return kernels.forward(inputs, tiling)[0]


def _attend_forward(
    kernels: Kernels, tiling: Tiling, inputs: Inputs
) -> tuple[jax.Array, tuple[Inputs, jax.Array, jax.Array]]:
    out_BHTK, log_sum_BHT = kernels.forward(inputs, tiling)
    return out_BHTK, (inputs, out_BHTK, log_sum_BHT)


def _attend_backward(
    kernels: Kernels, tiling: Tiling, saved: tuple[Inputs, jax.Array, jax.Array], grad_BHTK: jax.Array
) -> tuple[Inputs]:
    inputs, out_BHTK, log_sum_BHT = saved
    delta_BHT = jnp.einsum('BHTK,BHTK->BHT', out_BHTK, grad_BHTK, preferred_element_type=jnp.float32)
    grads = kernels.backward(inputs, tiling, log_sum_BHT, delta_BHT, grad_BHTK)
    q, k, v = (grad.astype(x.dtype) for grad, x in zip(grads[:3], inputs[:3], strict=True))
    return (Inputs(q, k, v, None, None, None, None, grads.bias_HN),)


_attend.defvjp(_attend_forward, _attend_backward)


def log_sum(max_: jax.Array, sum_: jax.Array) -> jax.Array:
    """Compute the logarithm of a row's sum of exponentials from its running maximum and sum.

    A row that sees nothing has the sum 0. It gets +1e10, so that exp(logit - log_sum) is 0 and the row has no
    gradient.
    """
    return jnp.where(sum_ > 0.0, max_ + jnp.log(jnp.maximum(sum_, jnp.finfo(jnp.float32).tiny)), -MASKED)


def visible_blocks(inputs: Inputs, tiling: Tiling) -> jax.Array:
    """Compute an int32 array [B, blocks of queries, blocks of keys], 0 where no query of the one block can
    see a key of the other.

    A block of scores counts as visible if the ranges of segments of its queries and keys overlap, its last
    query comes at or after the least first_BS of its keys, and its first query at or before their greatest
    last_BS. So a visible block may still be masked everywhere, but a block with 0 is masked for certain.
    """
    B, T = inputs.q_segments_BT.shape
    q = inputs.q_segments_BT.reshape(B, -1, 1, tiling.targets)
    kv = inputs.kv_segments_BS.reshape(B, 1, -1, tiling.sources)
    last = jnp.arange(tiling.targets - 1, T, tiling.targets)[None, :, None]
    first = inputs.first_BS.reshape(B, 1, -1, tiling.sources).min(axis=-1)
    none = jnp.iinfo(jnp.int32).max  # padding (segment 0) must not lower the range
    lowest = jnp.maximum(jnp.where(q > 0, q, none).min(axis=-1), jnp.where(kv > 0, kv, none).min(axis=-1))
    highest = jnp.minimum(q.max(axis=-1), kv.max(axis=-1))
    visible = (lowest <= highest) & (first <= last)
    if inputs.last_BS is not None:
        final = inputs.last_BS.reshape(B, 1, -1, tiling.sources).max(axis=-1)
        visible &= final >= last - (tiling.targets - 1)
    return visible.astype(jnp.int32)


def spread_bias(bias_HN: jax.Array, length: int) -> jax.Array:
    """Expand biases by distance to bias_HTS, with T = `length` and S = N - T.

    Entry n of bias_HN belongs to the distance n + 1 - T, key position minus query position. So the distances
    go from 1 - T to S - 1, and the last entry is never read. Row t of the result is bias_HN from T - 1 - t
    on: each row begins one entry before the row above. Repeating bias_HN T times, and reading the flat array
    in rows of N - 1 in place of N, shifts row t by t entries, which gives just that. It is a broadcast, two
    reshapes and slices, so its gradient needs no scatter, which is slow on accelerators.
    """
    heads, n = bias_HN.shape
    rows_HTN = jnp.broadcast_to(bias_HN[:, None], (heads, length, n))
    skewed = rows_HTN.reshape(heads, length * n)[:, : length * (n - 1)].reshape(heads, length, n - 1)
    return skewed[:, :, length - 1 :]
