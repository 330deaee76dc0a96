"""Attention as Pallas kernels for NVIDIA GPUs, through Triton.

These kernels have been run in Pallas's interpreter and lowered to Triton, but not run on a GPU yet: 'auto'
does not choose them.

A program has a block of queries (or keys) of one row and head, and a loop over the blocks of keys (or
queries). It looks up the bias of a tile by distance. Backward is three kernels, for queries, for keys and
values, and for the bias. Each computes the scores again, so that each gradient is summed by a single program:
there are no atomic additions, every sum has one order, and results repeat bit for bit. A program for keys
goes over all query heads that share them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plgpu

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
    visible_blocks,
)

# Least and most; blocks of queries and of keys are equal, so that tiles on a diagonal of tiles have the same
# biases.
BLOCKS = (64, 64)
# The axes that a product contracts.
ROWS = (((1,), (1,)), ((), ()))
KEYS = (((0,), (0,)), ((), ()))
NORMAL = (((1,), (0,)), ((), ()))

Ref = Any  # a Pallas reference to memory


def forward(inputs: Inputs, tiling: Tiling, *, interpret: bool = False) -> tuple[jax.Array, jax.Array]:
    """Compute out_BHTK and log_sum_BHT, a program for each row, head and block of queries.

    Args:
        inputs: padded to whole blocks.
        tiling: its two sizes are equal.
        interpret: run in Pallas's interpreter, for tests.
    """
    B, H, T, K = inputs.q_BHTK.shape
    n = tiling.targets

    def kernel(visible_ref: Ref, *refs: Ref) -> None:
        refs, (out_ref, log_sum_ref) = refs[:-2], refs[-2:]
        i = pl.program_id(2)

        def add(j: jax.Array, carry: tuple) -> tuple:
            max_T, sum_T, acc_TK = carry
            logits_TS, mask_TS = _logits(refs, tiling, T, i, j)
            logits_TS = jnp.where(mask_TS, logits_TS, MASKED)
            higher_T = jnp.maximum(max_T, jnp.max(logits_TS, axis=1))
            weights_TS = jnp.where(mask_TS, jnp.exp(logits_TS - higher_T[:, None]), 0.0)
            scale_T = jnp.exp(max_T - higher_T)
            v_SK = refs[2][_block(j, n), :]
            acc_TK = acc_TK * scale_T[:, None] + _dot(weights_TS.astype(v_SK.dtype), v_SK, NORMAL)
            return higher_T, sum_T * scale_T + jnp.sum(weights_TS, axis=1), acc_TK

        start = (
            jnp.full((n,), MASKED, jnp.float32),
            jnp.zeros((n,), jnp.float32),
            jnp.zeros((n, K), jnp.float32),
        )
        max_T, sum_T, acc_TK = _over(visible_ref.shape[1], lambda j: visible_ref[i, j], add, start)
        out_ref[...] = (acc_TK / jnp.where(sum_T > 0.0, sum_T, 1.0)[:, None]).astype(out_ref.dtype)
        log_sum_ref[...] = log_sum(max_T, sum_T)

    return _call(
        kernel,
        (B, H, T // n),
        inputs,
        tiling,
        [],
        [
            (
                pl.BlockSpec((None, None, n, K), lambda b, h, i: (b, h, i, 0)),
                jax.ShapeDtypeStruct((B, H, T, K), inputs.v_BGSK.dtype),
            ),
            (
                pl.BlockSpec((None, None, n), lambda b, h, i: (b, h, i)),
                jax.ShapeDtypeStruct((B, H, T), jnp.float32),
            ),
        ],
        interpret,
    )


def backward(
    inputs: Inputs,
    tiling: Tiling,
    log_sum_BHT: jax.Array,
    delta_BHT: jax.Array,
    grad_BHTK: jax.Array,
    *,
    interpret: bool = False,
) -> Gradients:
    """Compute the gradients: of queries by blocks of queries, of keys and values by blocks of keys, of the
    bias by diagonals of tiles.

    Args:
        inputs: padded to whole blocks.
        tiling: its two sizes are equal.
        log_sum_BHT: see `blocks`.
        delta_BHT: see `blocks`.
        grad_BHTK: the output's gradient.
        interpret: run in Pallas's interpreter, for tests.
    """
    rows = [grad_BHTK, log_sum_BHT, delta_BHT]
    dq_BHTK = _queries_backward(inputs, tiling, rows, interpret)
    dk_BGSK, dv_BGSK = _keys_backward(inputs, tiling, rows, interpret)
    dbias_HN = None if inputs.bias_HN is None else _bias_backward(inputs, tiling, rows, interpret)
    return Gradients(dq_BHTK, dk_BGSK, dv_BGSK, dbias_HN)


KERNELS = Kernels(forward, backward)


def _queries_backward(inputs: Inputs, tiling: Tiling, rows: list[jax.Array], interpret: bool) -> jax.Array:
    B, H, T, K = inputs.q_BHTK.shape
    n = tiling.targets

    def kernel(visible_ref: Ref, *refs: Ref) -> None:
        i = pl.program_id(2)

        def add(j: jax.Array, dq_TK: jax.Array) -> jax.Array:
            k_SK = refs[1][_block(j, n), :]
            return dq_TK + _dot(_dlogits(refs[:-1], tiling, T, i, j)[1].astype(k_SK.dtype), k_SK, NORMAL)

        zeros_TK = jnp.zeros((n, K), jnp.float32)
        refs[-1][...] = _over(visible_ref.shape[1], lambda j: visible_ref[i, j], add, zeros_TK).astype(
            refs[-1].dtype
        )

    spec = pl.BlockSpec((None, None, n, K), lambda b, h, i: (b, h, i, 0))
    shape = jax.ShapeDtypeStruct(inputs.q_BHTK.shape, inputs.q_BHTK.dtype)
    return _call(kernel, (B, H, T // n), inputs, tiling, rows, [(spec, shape)], interpret)[0]


def _keys_backward(
    inputs: Inputs, tiling: Tiling, rows: list[jax.Array], interpret: bool
) -> tuple[jax.Array, jax.Array]:
    (B, G, S, K), (_, H, T, _) = inputs.k_BGSK.shape, inputs.q_BHTK.shape
    n = tiling.targets

    def kernel(visible_ref: Ref, *refs: Ref) -> None:
        refs, (dk_ref, dv_ref) = refs[:-2], refs[-2:]
        j = pl.program_id(2)

        def add(x: jax.Array, i: jax.Array, carry: tuple) -> tuple:
            q_TK, grad_TK = refs[0][x, _block(i, n), :], refs[-3][x, _block(i, n), :]
            weights_TS, dlogits_TS = _dlogits(refs, tiling, T, i, j, head=(x,))
            dk_SK = carry[0] + _dot(dlogits_TS.astype(q_TK.dtype), q_TK, KEYS)
            return dk_SK, carry[1] + _dot(weights_TS.astype(grad_TK.dtype), grad_TK, KEYS)

        zeros_SK = jnp.zeros((n, K), jnp.float32)
        dk_SK, dv_SK = jax.lax.fori_loop(
            0,
            H // G,  # query heads that share the keys
            lambda x, carry: _over(
                visible_ref.shape[0], lambda i: visible_ref[i, j], functools.partial(add, x), carry
            ),
            (zeros_SK, zeros_SK),
        )
        dk_ref[...] = dk_SK.astype(dk_ref.dtype)
        dv_ref[...] = dv_SK.astype(dv_ref.dtype)

    spec = pl.BlockSpec((None, None, n, K), lambda b, g, j: (b, g, j, 0))
    outs = [(spec, jax.ShapeDtypeStruct((B, G, S, K), x.dtype)) for x in (inputs.k_BGSK, inputs.v_BGSK)]
    return _call(kernel, (B, G, S // n), inputs, tiling, rows, outs, interpret, of_groups=True)


def _bias_backward(inputs: Inputs, tiling: Tiling, rows: list[jax.Array], interpret: bool) -> jax.Array:
    """Compute the bias's gradient.

    All tiles (i, j) with the same j - i have the same distances at the same places. A program adds up the
    dlogits of one such diagonal of tiles over all rows of the batch. Outside the kernel XLA sums each
    resulting [n, n] tile along its diagonals, by the transpose of `spread_bias`, to a window of 2 n
    distances. The windows of neighbouring diagonals overlap by n and are added.
    """
    (B, H, T, _), S, n = inputs.q_BHTK.shape, inputs.k_BGSK.shape[2], tiling.targets
    num_T, num_S, diagonals = T // n, S // n, (T + S) // n - 1

    def kernel(visible_ref: Ref, *refs: Ref) -> None:
        shift = pl.program_id(1) - (num_T - 1)  # j - i of this diagonal

        def visible(step: jax.Array) -> jax.Array:
            b, i = jax.lax.div(step, num_T), jax.lax.rem(step, num_T)
            j = i + shift
            return jnp.where((j >= 0) & (j < num_S), visible_ref[b, i, jnp.clip(j, 0, num_S - 1)], 0)

        def add(step: jax.Array, sum_TS: jax.Array) -> jax.Array:
            b, i = jax.lax.div(step, num_T), jax.lax.rem(step, num_T)
            return sum_TS + _dlogits(refs[:-1], tiling, T, i, i + shift, row=(b,))[1]

        refs[-1][...] = _over(B * num_T, visible, add, jnp.zeros((n, n), jnp.float32))

    spec = pl.BlockSpec((None, None, n, n), lambda h, d: (h, d, 0, 0))
    shape = jax.ShapeDtypeStruct((H, diagonals, n, n), jnp.float32)
    tiles = _call(kernel, (H, diagonals), inputs, tiling, rows, [(spec, shape)], interpret)[0]
    windows = jax.ShapeDtypeStruct((H * diagonals, 2 * n), jnp.float32)
    (windows,) = jax.linear_transpose(lambda bias: spread_bias(bias, n), windows)(
        tiles.reshape(H * diagonals, n, n)
    )
    # A window covers n distances of its own and n of the next.
    low, high = jnp.split(windows.reshape(H, diagonals, 2 * n), 2, axis=-1)
    return (jnp.pad(low, ((0, 0), (0, 1), (0, 0))) + jnp.pad(high, ((0, 0), (1, 0), (0, 0)))).reshape(
        H, T + S
    )


def _call(
    kernel: Callable[..., None],
    grid: tuple[int, ...],
    inputs: Inputs,
    tiling: Tiling,
    rows: Sequence[jax.Array],
    outs: Sequence[tuple[pl.BlockSpec, jax.ShapeDtypeStruct]],
    interpret: bool,
    *,
    of_groups: bool = False,
) -> Sequence[jax.Array]:
    """Call a kernel for every position of a grid.

    A kernel gets references to whole arrays of its row and head, and loads the blocks that it needs itself.

    Args:
        kernel: takes references to the visible blocks, the arrays of `inputs`, `rows` and the results.
        grid: (rows, heads, blocks) or (heads, diagonals); with the latter, references hold all rows.
        inputs: of attention.
        tiling: of attention.
        rows: more arrays [B, H, T, ...].
        outs: block and shape of each result.
        interpret: run in Pallas's interpreter.
        of_groups: the grid's heads are those of keys, and references to queries and `rows` hold all heads
            that share them.
    """
    with_rows, shared = len(grid) == 2, inputs.q_BHTK.shape[1] // inputs.k_BGSK.shape[1]

    def spec(
        x: jax.Array | None, *, of_row: bool, of_head: bool, heads: int | None = None, sharing: int = 1
    ) -> pl.BlockSpec | None:
        if x is None:
            return None
        lead = ((x.shape[0] if with_rows else None),) * of_row + (heads,) * of_head
        rest = x.shape[len(lead) :]

        def pick(*position: jax.Array) -> tuple[jax.Array | int, ...]:
            b, h = (0, position[0]) if with_rows else position[:2]
            return (b,) * of_row + (jax.lax.div(h, sharing),) * of_head + (0,) * len(rest)

        return pl.BlockSpec((*lead, *rest), pick)

    visible = visible_blocks(inputs, tiling)
    of_queries = functools.partial(spec, of_row=True, of_head=True, heads=shared if of_groups else None)
    of_keys = functools.partial(spec, of_row=True, of_head=True, sharing=1 if of_groups else shared)
    in_specs = [
        spec(visible, of_row=True, of_head=False),
        of_queries(inputs.q_BHTK),
        of_keys(inputs.k_BGSK),
        of_keys(inputs.v_BGSK),
        *(spec(x, of_row=True, of_head=False) for x in inputs[3:7]),
        spec(inputs.bias_HN, of_row=False, of_head=True),
        *map(of_queries, rows),
    ]
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=in_specs,
        out_specs=[out for out, _ in outs],
        out_shape=[shape for _, shape in outs],
        compiler_params=plgpu.CompilerParams(num_warps=4, num_stages=2),
        interpret=interpret,
        name=f'attention_{kernel.__qualname__.split(".")[0].strip("_")}',
    )(visible, *inputs, *rows)


def _over(count: int, visible: Callable, add: Callable, start: Any) -> Any:
    """Fold `add(step, carry)` over the steps whose block `visible` says is not masked everywhere."""
    return jax.lax.fori_loop(
        0,
        count,
        lambda step, carry: jax.lax.cond(visible(step) > 0, lambda: add(step, carry), lambda: carry),
        start,
    )


def _block(number: jax.Array, n: int) -> pl.Slice:
    return pl.ds(number * n, n)


def _logits(
    refs: Sequence[Ref],
    tiling: Tiling,
    T: int,
    i: jax.Array,
    j: jax.Array,
    row: tuple = (),
    head: tuple = (),
) -> tuple[jax.Array, jax.Array]:
    """Compute logits_TS of the tile of query block i and key block j, and mask_TS: True where its queries see
    its keys.

    Args:
        refs: the arrays of `Inputs`, and maybe more.
        tiling: of attention.
        T: number of queries, padded.
        i: block of queries.
        j: block of keys.
        row: (row of the batch,) where references hold all rows, else ().
        head: (query head of the group,) where references hold all, else ().
    """
    q_ref, k_ref, _, q_segments_ref, kv_segments_ref, first_ref, last_ref, bias_ref = refs[:8]
    n = tiling.targets
    of_queries, of_keys = (*row, _block(i, n)), (*row, _block(j, n))
    q_TK, k_SK = q_ref[(*row, *head, _block(i, n), slice(None))], k_ref[(*of_keys, slice(None))]
    logits_TS = soft_capped(_dot(q_TK, k_SK, ROWS), tiling.soft_cap)
    position_T, position_S = i * n + jnp.arange(n), j * n + jnp.arange(n)
    if bias_ref is not None:
        logits_TS += bias_ref[position_S[None, :] - position_T[:, None] + T - 1]
    mask_TS = q_segments_ref[of_queries][:, None] == kv_segments_ref[of_keys][None, :]
    mask_TS &= first_ref[of_keys][None, :] <= position_T[:, None]
    if last_ref is not None:
        mask_TS &= position_T[:, None] <= last_ref[of_keys][None, :]
    return logits_TS, mask_TS


def _dlogits(
    refs: Sequence[Ref],
    tiling: Tiling,
    T: int,
    i: jax.Array,
    j: jax.Array,
    row: tuple = (),
    head: tuple = (),
) -> tuple[jax.Array, jax.Array]:
    """Compute weights_TS of a tile, and the gradient of its logits; the arguments are those of `_logits`."""
    v_ref, (grad_ref, log_sum_ref, delta_ref) = refs[2], refs[8:]
    n = tiling.targets
    of_queries = (*row, *head, _block(i, n))
    logits_TS, mask_TS = _logits(refs, tiling, T, i, j, row, head)
    weights_TS = jnp.where(mask_TS, jnp.exp(logits_TS - log_sum_ref[of_queries][:, None]), 0.0)
    dweights_TS = _dot(grad_ref[(*of_queries, slice(None))], v_ref[(*row, _block(j, n), slice(None))], ROWS)
    dlogits_TS = weights_TS * (dweights_TS - delta_ref[of_queries][:, None])
    if tiling.soft_cap:
        dlogits_TS *= soft_cap_slope(logits_TS, tiling.soft_cap)
    return weights_TS, dlogits_TS


def _dot(a: jax.Array, b: jax.Array, axes: tuple) -> jax.Array:
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)
