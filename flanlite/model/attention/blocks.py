"""Attention block by block: what all implementations share that never hold B x H x T x S scores.

An implementation is a pair of functions over padded `Inputs`; here are the padding, who sees what in two small arrays, and the custom
gradient, which keeps the output and the logarithm of each row's normaliser, and computes the scores again. Axes are those of
flanlite.model.layers, and N the distances between a query and a key (see `layers.spread_bias`).
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

MASKED = -1e10  # T5X's logit of what is hidden; finite, so that a row in which everything is masked stays finite


class Inputs(NamedTuple):
    """What attention computes from; T, S and N are whole blocks. A query at position t sees a key of its segment whose first_BS <= t."""

    q_BHTK: jax.Array
    k_BHSK: jax.Array
    v_BHSK: jax.Array
    q_segments_BT: jax.Array
    kv_segments_BS: jax.Array
    first_BS: jax.Array  # the first query position that may see a key: T for padding, 0 without causality
    bias_HN: jax.Array | None


class Tiling(NamedTuple):
    """How many queries and keys a block has, and whether keys later than a query are hidden always, so that blocks of them are skipped."""

    targets: int
    sources: int
    triangular: bool


class Gradients(NamedTuple):
    """The gradients of `Inputs`, float32 or in the inputs' dtypes."""

    q_BHTK: jax.Array
    k_BHSK: jax.Array
    v_BHSK: jax.Array
    bias_HN: jax.Array | None


class Kernels(NamedTuple):
    """An implementation.

    forward: (inputs, tiling) -> out_BHTK in v's dtype, and log_sum_BHT, float32: the logarithm of each row's sum of exponentials.
    backward: (inputs, tiling, log_sum_BHT, delta_BHT, grad_BHTK) -> gradients; delta is the row's sum of output times its gradient.
    """

    forward: Callable[[Inputs, Tiling], tuple[jax.Array, jax.Array]]
    backward: Callable[[Inputs, Tiling, jax.Array, jax.Array, jax.Array], Gradients]


def attend(
    kernels: Kernels,
    blocks: tuple[int, int],
    q_BTHK: jax.Array,
    k_BSHK: jax.Array,
    v_BSHK: jax.Array,
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    kv_prefix_BS: jax.Array | None,
    bias_HN: jax.Array | None,
    *,
    causal: bool,
) -> jax.Array:
    """Attend as `flanlite.model.attention.attention` does, in blocks of (at least, at most) so many queries and keys."""
    (B, T), S = q_segments_BT.shape, k_BSHK.shape[1]
    tiling = Tiling(block_size(T, *blocks), block_size(S, *blocks), causal and kv_prefix_BS is None)
    more_T, more_S = -T % tiling.targets, -S % tiling.sources
    K = q_BTHK.shape[3]
    more_K = max(16, 1 << (K - 1).bit_length()) - K  # a power of two, as Triton wants
    first_BS = jnp.broadcast_to(jnp.arange(S, dtype=jnp.int32) if causal else jnp.zeros(S, jnp.int32), (B, S))
    if causal and kv_prefix_BS is not None:
        first_BS = jnp.where(kv_prefix_BS, 0, first_BS)
    first_BS = jnp.where(kv_segments_BS > 0, first_BS, T + more_T)

    def padded(x_BTHK: jax.Array, more: int) -> jax.Array:
        return jnp.pad(x_BTHK.swapaxes(1, 2), ((0, 0), (0, 0), (0, more), (0, more_K)))

    inputs = Inputs(
        padded(q_BTHK, more_T),
        padded(k_BSHK, more_S),
        padded(v_BSHK, more_S),
        jnp.pad(q_segments_BT.astype(jnp.int32), ((0, 0), (0, more_T))),
        jnp.pad(kv_segments_BS.astype(jnp.int32), ((0, 0), (0, more_S))),
        jnp.pad(first_BS, ((0, 0), (0, more_S)), constant_values=T + more_T),
        None if bias_HN is None else jnp.pad(bias_HN, ((0, 0), (more_T, more_S))),
    )
    return _attend(kernels, tiling, inputs)[:, :, :T, :K].swapaxes(1, 2)


def block_size(length: int, least: int, most: int) -> int:
    """Choose a power of two, no larger than holds the length."""
    return min(most, max(least, 1 << (length - 1).bit_length()))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _attend(kernels: Kernels, tiling: Tiling, inputs: Inputs) -> jax.Array:
    return kernels.forward(inputs, tiling)[0]


def _attend_forward(kernels: Kernels, tiling: Tiling, inputs: Inputs) -> tuple[jax.Array, tuple[Inputs, jax.Array, jax.Array]]:
    out_BHTK, log_sum_BHT = kernels.forward(inputs, tiling)
    return out_BHTK, (inputs, out_BHTK, log_sum_BHT)


def _attend_backward(
    kernels: Kernels, tiling: Tiling, saved: tuple[Inputs, jax.Array, jax.Array], grad_BHTK: jax.Array
) -> tuple[Inputs]:
    inputs, out_BHTK, log_sum_BHT = saved
    delta_BHT = jnp.einsum('BHTK,BHTK->BHT', out_BHTK, grad_BHTK, preferred_element_type=jnp.float32)
    grads = kernels.backward(inputs, tiling, log_sum_BHT, delta_BHT, grad_BHTK)
    q, k, v = (grad.astype(x.dtype) for grad, x in zip(grads[:3], inputs[:3], strict=True))
    return (Inputs(q, k, v, None, None, None, grads.bias_HN),)


_attend.defvjp(_attend_forward, _attend_backward)


def log_sum(max_: jax.Array, sum_: jax.Array) -> jax.Array:
    """Combine a row's running maximum and sum; a row that sees nothing has sum 0 and gets a value that keeps its gradients at 0."""
    return jnp.where(sum_ > 0.0, max_ + jnp.log(jnp.maximum(sum_, jnp.finfo(jnp.float32).tiny)), -MASKED)


def visible_blocks(inputs: Inputs, tiling: Tiling) -> jax.Array:
    """Compute int32 [B, blocks of queries, blocks of keys]: 0 where no query of the block can see a key, judged by ranges of segments."""
    B, T = inputs.q_segments_BT.shape
    q = inputs.q_segments_BT.reshape(B, -1, 1, tiling.targets)
    kv = inputs.kv_segments_BS.reshape(B, 1, -1, tiling.sources)
    last = jnp.arange(tiling.targets - 1, T, tiling.targets)[None, :, None]
    first = inputs.first_BS.reshape(B, 1, -1, tiling.sources).min(axis=-1)
    none = jnp.iinfo(jnp.int32).max
    lowest = jnp.maximum(jnp.where(q > 0, q, none).min(axis=-1), jnp.where(kv > 0, kv, none).min(axis=-1))
    highest = jnp.minimum(q.max(axis=-1), kv.max(axis=-1))
    return ((lowest <= highest) & (first <= last)).astype(jnp.int32)


def spread_bias(bias_HN: jax.Array, length: int) -> jax.Array:
    """Spread biases by distance to bias_HTS, T = `length` and S = N - T: a reshape, whose gradient needs no scatter.

    The first of the N is of distance 1 - T (key position minus query position), the last but one of S - 1, and the last is never read.
    """
    heads, n = bias_HN.shape
    rows_HTN = jnp.broadcast_to(bias_HN[:, None], (heads, length, n))
    skewed = rows_HTN.reshape(heads, length * n)[:, : length * (n - 1)].reshape(heads, length, n - 1)
    return skewed[:, :, length - 1 :]
