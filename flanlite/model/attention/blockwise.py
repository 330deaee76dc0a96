"""Attention in blocks in pure JAX, for any platform: its memory grows with the length, not with the square of
the length.

Two nested loops go over tiles of scores. Forward has queries outside and keys inside, so that a block of
queries ends with its softmax finished. Backward has keys outside and queries inside: the gradients of a block
of keys stay in the inner loop's carry, those of queries are added up in the outer loop's carry, in place.
With `Tiling.triangular` the inner loop runs over the tiles on one side of the diagonal only. A tile has all
rows and heads: XLA computes it as one batched product.
"""

import functools

import jax
import jax.numpy as jnp

from flanlite.model.attention.blocks import (
    MASKED,
    Gradients,
    Inputs,
    Kernels,
    Tiling,
    log_sum,
    soft_cap_slope,
    soft_capped,
    spread_bias,
)


def forward(inputs: Inputs, tiling: Tiling) -> tuple[jax.Array, jax.Array]:
    """Compute the output and log_sum, with a running maximum and sum over blocks of keys (Rabe and Staats
    2021, arXiv:2112.05682).
    """
    B, H, T, K = inputs.q_BHTK.shape

    def of_queries(i: jax.Array) -> tuple[jax.Array, jax.Array]:
        def add(
            j: jax.Array, carry: tuple[jax.Array, jax.Array, jax.Array]
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            max_BHT, sum_BHT, acc_BHTK = carry
            logits_BHTS, mask_BTS = _logits(inputs, tiling, i, j, inputs.bias_HN)
            logits_BHTS = jnp.where(mask_BTS[:, None], logits_BHTS, MASKED)
            higher_BHT = jnp.maximum(max_BHT, logits_BHTS.max(axis=-1))
            weights_BHTS = jnp.where(mask_BTS[:, None], jnp.exp(logits_BHTS - higher_BHT[..., None]), 0.0)
            v_BHSK = _per_query_head(_block(inputs.v_BGSK, j, tiling.sources), H)
            scale_BHT = jnp.exp(max_BHT - higher_BHT)  # moves what was summed before to the new maximum
            sum_BHT = sum_BHT * scale_BHT + weights_BHTS.sum(axis=-1)
            return (
                higher_BHT,
                sum_BHT,
                acc_BHTK * scale_BHT[..., None] + _dot('BHTS,BHSK->BHTK', weights_BHTS, v_BHSK),
            )

        zeros_BHT = jnp.zeros((B, H, tiling.targets), jnp.float32)
        start = (zeros_BHT + MASKED, zeros_BHT, jnp.zeros((B, H, tiling.targets, K), jnp.float32))
        # Triangular: the last block of keys is the one that holds the position of the block's last query.
        stop = (
            jnp.minimum(((i + 1) * tiling.targets - 1) // tiling.sources + 1, num_sources)
            if tiling.triangular
            else num_sources
        )
        max_BHT, sum_BHT, acc_BHTK = jax.lax.fori_loop(0, stop, add, start)
        out_BHTK = acc_BHTK / jnp.where(sum_BHT > 0.0, sum_BHT, 1.0)[..., None]
        return out_BHTK.astype(inputs.v_BGSK.dtype), log_sum(max_BHT, sum_BHT)

    num_sources = inputs.k_BGSK.shape[2] // tiling.sources
    out, log_sums = jax.lax.map(of_queries, jnp.arange(T // tiling.targets))  # [blocks, B, H, ...]
    return jnp.moveaxis(out, 0, 2).reshape(B, H, T, K), jnp.moveaxis(log_sums, 0, 2).reshape(B, H, T)


def backward(
    inputs: Inputs, tiling: Tiling, log_sum_BHT: jax.Array, delta_BHT: jax.Array, grad_BHTK: jax.Array
) -> Gradients:
    """Compute the gradients from scores that are computed again, tile by tile.

    Args:
        inputs: padded to whole blocks.
        tiling: sizes of a tile.
        log_sum_BHT: see `blocks`.
        delta_BHT: see `blocks`.
        grad_BHTK: the output's gradient.
    """
    (B, G, S, K), H = inputs.k_BGSK.shape, inputs.q_BHTK.shape[1]
    num_targets = inputs.q_BHTK.shape[2] // tiling.targets
    ones_B = jnp.ones(B, jnp.float32)

    def of_keys(
        carry: tuple[jax.Array, jax.Array | None], j: jax.Array
    ) -> tuple[tuple, tuple[jax.Array, jax.Array]]:
        def add(i: jax.Array, carry: tuple) -> tuple:
            dq_BHTK, dbias_HN, dk_BHSK, dv_BHSK = carry
            take = functools.partial(_block, number=i, size=tiling.targets)
            logits_BHTS, mask_BTS = _logits(inputs, tiling, i, j, inputs.bias_HN)
            weights_BHTS = jnp.where(
                mask_BTS[:, None], jnp.exp(logits_BHTS - take(log_sum_BHT)[..., None]), 0.0
            )
            dv_BHSK += _dot('BHTS,BHTK->BHSK', weights_BHTS, take(grad_BHTK))
            dweights_BHTS = _dot('BHTK,BHSK->BHTS', take(grad_BHTK), v_BHSK)
            dlogits_BHTS = weights_BHTS * (dweights_BHTS - take(delta_BHT)[..., None])
            if tiling.soft_cap:
                dlogits_BHTS *= soft_cap_slope(logits_BHTS, tiling.soft_cap)
            dk_BHSK += _dot('BHTS,BHTK->BHSK', dlogits_BHTS, take(inputs.q_BHTK))
            dq = take(dq_BHTK) + _dot('BHTS,BHSK->BHTK', dlogits_BHTS, k_BHSK)
            dq_BHTK = jax.lax.dynamic_update_slice_in_dim(dq_BHTK, dq, i * tiling.targets, axis=2)
            if dbias_HN is not None:
                # A product with ones sums over rows, as in `attention._add_bias`; the VJP of `spread_bias`
                # sums along diagonals.
                dbias_HTS = jnp.einsum('B,BHTS->HTS', ones_B, dlogits_BHTS, precision='highest')
                dbias_HN += jax.vjp(lambda bias_HN: _bias(bias_HN, tiling, inputs, i, j), inputs.bias_HN)[1](
                    dbias_HTS
                )[0]
            return dq_BHTK, dbias_HN, dk_BHSK, dv_BHSK

        k_BHSK, v_BHSK = (
            _per_query_head(_block(x, j, tiling.sources), H) for x in (inputs.k_BGSK, inputs.v_BGSK)
        )
        zeros_BHSK = jnp.zeros((B, H, tiling.sources, K), jnp.float32)
        # Triangular: the first block of queries is the one that holds the position of the block's first key.
        start = jnp.minimum(j * tiling.sources // tiling.targets, num_targets) if tiling.triangular else 0
        *carry, dk_BHSK, dv_BHSK = jax.lax.fori_loop(
            start, num_targets, add, (*carry, zeros_BHSK, zeros_BHSK)
        )
        # X are the query heads that share a key-value head.
        return tuple(carry), tuple(
            x_BHSK.reshape(B, G, H // G, *x_BHSK.shape[2:]).sum(axis=2) for x_BHSK in (dk_BHSK, dv_BHSK)
        )

    zeros = (
        jnp.zeros(inputs.q_BHTK.shape, jnp.float32),
        None if inputs.bias_HN is None else jnp.zeros_like(inputs.bias_HN),
    )
    (dq_BHTK, dbias_HN), in_blocks = jax.lax.scan(of_keys, zeros, jnp.arange(S // tiling.sources))
    dk_BGSK, dv_BGSK = (jnp.moveaxis(x, 0, 2).reshape(B, G, S, K) for x in in_blocks)
    return Gradients(dq_BHTK, dk_BGSK, dv_BGSK, dbias_HN)


KERNELS = Kernels(forward, backward)


def _block(x: jax.Array, number: jax.Array, size: int) -> jax.Array:
    """Take block `number` along the last axis of a [B, S] array, or along axis 2 of a larger array."""
    return jax.lax.dynamic_slice_in_dim(x, number * size, size, axis=min(2, x.ndim - 1))


def _per_query_head(x_BGSK: jax.Array, heads: int) -> jax.Array:
    """Repeat the keys or values of each head for the query heads that share it."""
    return jnp.repeat(x_BGSK, heads // x_BGSK.shape[1], axis=1) if heads != x_BGSK.shape[1] else x_BGSK


def _dot(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """Multiply in the dtype of `b`, with a float32 result."""
    return jnp.einsum(spec, a.astype(b.dtype), b, preferred_element_type=jnp.float32)


def _logits(
    inputs: Inputs, tiling: Tiling, i: jax.Array, j: jax.Array, bias_HN: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """Compute logits_BHTS of the tile of query block i and key block j, and mask_BTS: True where its queries
    see its keys.
    """
    q_BHTK = _block(inputs.q_BHTK, i, tiling.targets)
    k_BHSK = _per_query_head(_block(inputs.k_BGSK, j, tiling.sources), q_BHTK.shape[1])
    logits_BHTS = soft_capped(_dot('BHTK,BHSK->BHTS', q_BHTK, k_BHSK), tiling.soft_cap)
    if bias_HN is not None:
        logits_BHTS += _bias(bias_HN, tiling, inputs, i, j)[None]
    position_T = i * tiling.targets + jnp.arange(tiling.targets)
    same_BTS = (
        _block(inputs.q_segments_BT, i, tiling.targets)[:, :, None]
        == _block(inputs.kv_segments_BS, j, tiling.sources)[:, None]
    )
    mask_BTS = same_BTS & (_block(inputs.first_BS, j, tiling.sources)[:, None] <= position_T[None, :, None])
    if inputs.last_BS is not None:
        mask_BTS &= position_T[None, :, None] <= _block(inputs.last_BS, j, tiling.sources)[:, None]
    return logits_BHTS, mask_BTS


def _bias(bias_HN: jax.Array, tiling: Tiling, inputs: Inputs, i: jax.Array, j: jax.Array) -> jax.Array:
    """Expand the biases of one tile to bias_HTS.

    The tile's own distances are a window of bias_HN. It begins at the distance from the tile's last query to
    its first key, entry T - 1 - (last query) + (first key).
    """
    start = inputs.q_BHTK.shape[2] - (i + 1) * tiling.targets + j * tiling.sources
    return spread_bias(
        jax.lax.dynamic_slice_in_dim(bias_HN, start, tiling.targets + tiling.sources, axis=1), tiling.targets
    )
