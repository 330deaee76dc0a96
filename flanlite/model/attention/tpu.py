"""Attention as Pallas kernels for TPU, one forward and one backward.

Layout. A TPU register has 8 sublanes (rows) of 128 lanes (columns). Arrays are transposed, so that positions
lie along lanes: a head dimension of 64 then fills sublanes without waste, and what belongs to a query
(maximum, sum, segment) is one row. So a tile of scores is [keys, queries], logits_ST.

Bias. A kernel builds each tile of the bias from the head's biases by distance, in the order of query position
minus key position. In a tile [keys, queries] the distance falls by one from each row to the next, so each row
is the row above, moved one lane to the right. `_operands` passes in the first `ROWS` rows, each moved by its
number. `_spread_diagonals` makes a tile of them by doubling: the lower half is the upper half, moved right by
as many lanes as it has rows. `_sum_diagonals` is the transpose, for the gradient: it adds the lower half,
moved left, to the upper one, until `ROWS` rows are left. (A strided rotation would do the former in one
operation, but TPU v4 has none.)

Grouped heads. A block of keys is found by its own head, so nothing is repeated. Where query heads share keys,
backward goes over queries outside and keys inside, so that the gradients of a head of keys can stay in fast
memory for all the query heads of its group: they are never written for each query head.

Skipping. `visible_blocks` is prefetched to scalar memory, and a grid position whose tile is masked everywhere
computes nothing. Its blocks are still loaded.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from flanlite.model.attention.blocks import (
    MASKED,
    Gradients,
    Inputs,
    Kernels,
    Tiling,
    log_sum,
    padded_head,
    soft_cap_slope,
    soft_capped,
    visible_blocks,
)

BLOCKS = (128, 512)  # least and most queries and keys of a block
ROWS = 8  # sublanes of a register; row r of the biases is moved r lanes to the right
MIB = 2**20
# What the compiler lets a kernel use; kinds of TPU that are not here have as much as v4.
FAST_BYTES = {'TPU v4': 16 * MIB, 'TPU v6 lite': 32 * MIB}
# The axes that a product contracts.
FIRST = (((0,), (0,)), ((), ()))
SECOND = (((1,), (0,)), ((), ()))
BOTH = (((1,), (1,)), ((), ()))

Ref = Any  # a Pallas reference to memory


def forward(inputs: Inputs, tiling: Tiling, *, interpret: bool = False) -> tuple[jax.Array, jax.Array]:
    """Compute out_BHTK and log_sum_BHT.

    The grid is (rows, heads, blocks of queries, blocks of keys). The last axis is sequential: maximum, sum
    and output of a block of queries stay in scratch memory while it runs.

    Args:
        inputs: padded to whole blocks.
        tiling: sizes of a tile.
        interpret: run in Pallas's interpreter, for tests.
    """
    B, H, T, K = inputs.q_BHTK.shape
    bt, grid = tiling.targets, (B, H, T // tiling.targets, inputs.k_BGSK.shape[2] // tiling.sources)
    in_specs = _specs(inputs, tiling, place=lambda b, h, i, j: (b, h, i, j))
    out_BHKT, log_sum_BH1T = pl.pallas_call(
        functools.partial(_forward_kernel, grid, tiling.soft_cap),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=grid,
            in_specs=in_specs,
            out_specs=[
                pl.BlockSpec((1, 1, K, bt), lambda b, h, i, j, _: (b, h, 0, i)),
                pl.BlockSpec((1, 1, 1, bt), lambda b, h, i, j, _: (b, h, 0, i)),
            ],
            scratch_shapes=[
                pltpu.VMEM((1, bt), jnp.float32),
                pltpu.VMEM((1, bt), jnp.float32),
                pltpu.VMEM((K, bt), jnp.float32),
            ],
        ),
        out_shape=[
            jax.ShapeDtypeStruct((B, H, K, T), inputs.v_BGSK.dtype),
            jax.ShapeDtypeStruct((B, H, 1, T), jnp.float32),
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=('parallel', 'parallel', 'parallel', 'arbitrary')
        ),
        interpret=interpret,
        name='attention_forward',
    )(visible_blocks(inputs, tiling).reshape(-1), *_operands(inputs))
    return out_BHKT.swapaxes(2, 3), log_sum_BH1T[:, :, 0]


def _forward_kernel(grid: tuple[int, ...], soft_cap: float, visible_ref: Ref, *refs: Ref) -> None:
    *inputs, out_ref, log_sum_ref, max_1T, sum_1T, acc_KT = refs
    v_ref = inputs[2]
    b, _, i, j = (pl.program_id(axis) for axis in range(4))

    @pl.when(j == 0)
    def start() -> None:
        max_1T[...] = jnp.full_like(max_1T, MASKED)
        sum_1T[...] = jnp.zeros_like(sum_1T)
        acc_KT[...] = jnp.zeros_like(acc_KT)

    @pl.when(visible_ref[(b * grid[2] + i) * grid[3] + j] > 0)
    def add() -> None:
        logits_ST, mask_ST = _logits(grid[3], soft_cap, i, j, inputs)
        logits_ST = jnp.where(mask_ST, logits_ST, MASKED)
        higher_1T = jnp.maximum(max_1T[...], jnp.max(logits_ST, axis=0, keepdims=True))
        weights_ST = jnp.where(mask_ST, jnp.exp(logits_ST - higher_1T), 0.0)
        scale_1T = jnp.exp(max_1T[...] - higher_1T)
        max_1T[...] = higher_1T
        sum_1T[...] = sum_1T[...] * scale_1T + jnp.sum(weights_ST, axis=0, keepdims=True)
        acc_KT[...] = acc_KT[...] * scale_1T + _dot(v_ref[0, 0], weights_ST.astype(v_ref.dtype), SECOND)

    @pl.when(j == grid[3] - 1)
    def finish() -> None:
        out_ref[0, 0] = (acc_KT[...] / jnp.where(sum_1T[...] > 0.0, sum_1T[...], 1.0)).astype(out_ref.dtype)
        log_sum_ref[0, 0] = log_sum(max_1T[...], sum_1T[...])


def backward(
    inputs: Inputs,
    tiling: Tiling,
    log_sum_BHT: jax.Array,
    delta_BHT: jax.Array,
    grad_BHTK: jax.Array,
    *,
    interpret: bool = False,
) -> Gradients:
    """Compute the scores again, and all four gradients from them.

    All axes of the grid but the heads are sequential, in an order in which each gradient stays in fast memory
    until it is complete.

    Where each query head has keys of its own, the grid is (heads, rows, blocks of keys, blocks of queries): a
    head's bias gradient stays for all rows, a row's query gradient for all its keys (at most K x T x 8 bytes,
    for the float32 sum and the result), and a block of keys' gradients for all blocks of queries.

    Where heads share keys, it is (heads of keys, rows, query heads of the group, blocks of queries, blocks of
    keys): a row's gradients of keys and values stay for the whole group (K x S x 8 bytes: they are summed in
    the results, in float32), and a block of queries' gradient for all blocks of keys.

    Args:
        inputs: padded to whole blocks; grouped heads have no bias.
        tiling: sizes of a tile.
        log_sum_BHT: see `blocks`.
        delta_BHT: see `blocks`.
        grad_BHTK: the output's gradient.
        interpret: run in Pallas's interpreter, for tests.
    """
    (B, H, T, K), (_, G, S, _) = inputs.q_BHTK.shape, inputs.k_BGSK.shape
    (bt, bs), shared = tiling[:2], H // G
    grid, place = _backward_grid(inputs, tiling)
    queries = _spec((1, 1, K, bt), lambda b, h, i, j: (b, h, 0, i), place)
    row = _spec((1, 1, 1, bt), lambda b, h, i, j: (b, h, 0, i), place)
    if shared > 1:
        # One buffer: a group's gradients are written to slow memory once, at its end.
        keys = pl.BlockSpec((1, 1, K, S), lambda g, b, *_: (b, g, 0, 0), pipeline_mode=pl.Buffered(1))
        dq_spec, sums, key_dtypes = queries, (bt,), (jnp.float32, jnp.float32)
    else:
        keys = _spec((1, 1, K, bs), lambda b, h, i, j: (b, h, 0, j), place)
        dq_spec, sums = pl.BlockSpec((1, 1, K, T), lambda h, b, *_: (b, h, 0, 0)), (T, bs, bs)
        key_dtypes = (inputs.k_BGSK.dtype, inputs.v_BGSK.dtype)
    has_bias = inputs.bias_HN is not None
    dq_BHKT, dk_BGKS, dv_BGKS, dbias_H8N = pl.pallas_call(
        functools.partial(_backward_kernel, grid, tiling.soft_cap),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            num_scalar_prefetch=1,
            grid=grid,
            in_specs=[*_specs(inputs, tiling, place), queries, row, row],
            out_specs=[
                dq_spec,
                keys,
                keys,
                pl.BlockSpec((1, ROWS, T + S), lambda h, *_: (h, 0, 0)) if has_bias else None,
            ],
            scratch_shapes=[pltpu.VMEM((K, n), jnp.float32) for n in sums],
        ),
        out_shape=[
            jax.ShapeDtypeStruct((B, H, K, T), inputs.q_BHTK.dtype),
            *(jax.ShapeDtypeStruct((B, G, K, S), dtype) for dtype in key_dtypes),
            jax.ShapeDtypeStruct((H, ROWS, T + S), jnp.float32) if has_bias else None,
        ],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=('parallel', *['arbitrary'] * (len(grid) - 1))
        ),
        interpret=interpret,
        name='attention_backward',
    )(
        visible_blocks(inputs, tiling).reshape(-1),
        *_operands(inputs),
        grad_BHTK.swapaxes(2, 3),
        log_sum_BHT[:, :, None],
        delta_BHT[:, :, None],
    )
    dbias_HN = None
    if has_bias:
        # Move row r back by r lanes, add the rows up, and restore the order of key position minus query
        # position.
        padded_H8N = jnp.pad(dbias_H8N, ((0, 0), (0, 0), (0, ROWS)))
        dbias_HN = sum(padded_H8N[:, r, r : r + T + S] for r in range(ROWS))[:, ::-1]
    return Gradients(*(x.swapaxes(2, 3) for x in (dq_BHKT, dk_BGKS, dv_BGKS)), dbias_HN)


def _backward_grid(inputs: Inputs, tiling: Tiling) -> tuple[tuple[int, ...], Callable[..., tuple]]:
    """Return the grid, and what maps its positions to (row, head, block of queries, block of keys)."""
    (B, H, T, _), (_, G, S, _) = inputs.q_BHTK.shape, inputs.k_BGSK.shape
    num_targets, num_sources, shared = T // tiling.targets, S // tiling.sources, H // G
    if shared == 1:
        return (H, B, num_sources, num_targets), lambda h, b, j, i: (b, h, i, j)
    return (G, B, shared, num_targets, num_sources), lambda g, b, x, i, j: (b, g * shared + x, i, j)


def _backward_kernel(grid: tuple[int, ...], soft_cap: float, visible_ref: Ref, *refs: Ref) -> None:
    inputs, (grad_ref, log_sum_ref, delta_ref, dq_ref, dk_ref, dv_ref, dbias_ref, dq_KT, *sums) = (
        refs[:8],
        refs[8:],
    )
    q_ref, k_ref, v_ref = inputs[:3]
    bs, bt = k_ref.shape[-1], q_ref.shape[-1]
    position = [pl.program_id(axis) for axis in range(len(grid))]
    # `over_*` are the axes that a gradient is summed over.
    if sums:
        (_, b, j, i), num_sources, over_keys, over_queries = position, grid[2], (2, 3), (3,)
        dk_KS, dv_KS = sums
    else:
        (_, b, _, i, j), num_sources, over_keys, over_queries = position, grid[4], (4,), (2, 3, 4)
        dk_KS, dv_KS = dk_ref.at[0, 0], dv_ref.at[0, 0]
    num_targets = grid[3]

    def at_start(axes: Sequence[int]) -> jax.Array:
        return functools.reduce(jnp.logical_and, [position[axis] == 0 for axis in axes])

    def at_end(axes: Sequence[int]) -> jax.Array:
        return functools.reduce(jnp.logical_and, [position[axis] == grid[axis] - 1 for axis in axes])

    @pl.when(at_start(over_keys))
    def start_queries() -> None:
        dq_KT[...] = jnp.zeros_like(dq_KT)

    @pl.when(at_start(over_queries))
    def start_keys() -> None:
        dk_KS[...] = jnp.zeros_like(dk_KS)
        dv_KS[...] = jnp.zeros_like(dv_KS)

    if dbias_ref is not None:

        @pl.when(at_start(range(1, len(grid))))
        def start_head() -> None:
            dbias_ref[...] = jnp.zeros_like(dbias_ref)

    @pl.when(visible_ref[(b * num_targets + i) * num_sources + j] > 0)
    def add() -> None:
        logits_ST, mask_ST = _logits(num_sources, soft_cap, i, j, inputs)
        weights_ST = jnp.where(mask_ST, jnp.exp(logits_ST - log_sum_ref[0, 0]), 0.0)
        dweights_ST = _dot(v_ref[0, 0], grad_ref[0, 0], FIRST)
        dlogits_ST = weights_ST * (dweights_ST - delta_ref[0, 0])
        if soft_cap:
            dlogits_ST *= soft_cap_slope(logits_ST, soft_cap)
        of_keys = _columns(dk_KS, j, bs)
        dv_KS[:, of_keys] += _dot(grad_ref[0, 0], weights_ST.astype(grad_ref.dtype), BOTH)
        dk_KS[:, of_keys] += _dot(q_ref[0, 0], dlogits_ST.astype(q_ref.dtype), BOTH)
        dq_KT[:, _columns(dq_KT, i, bt)] += _dot(k_ref[0, 0], dlogits_ST.astype(k_ref.dtype), SECOND)
        if dbias_ref is not None:
            dbias_ref[0, :, _window(i, j, bt, bs, num_sources)] += _sum_diagonals(dlogits_ST)

    if sums:

        @pl.when(at_end(over_queries))
        def finish_keys() -> None:
            dk_ref[0, 0] = dk_KS[...].astype(dk_ref.dtype)
            dv_ref[0, 0] = dv_KS[...].astype(dv_ref.dtype)

    @pl.when(at_end(over_keys))
    def finish_queries() -> None:
        dq_ref[0, 0] = dq_KT[...].astype(dq_ref.dtype)


KERNELS = Kernels(forward, backward)


def fast_bytes(q_BTHK: jax.Array, k_BSGK: jax.Array, has_bias: bool) -> int:
    """Estimate the fast memory that `backward` needs, from what the compiler said of some twenty shapes; it
    does not depend on the numbers of rows and heads.
    """
    (_, T, H, _), (_, S, G, K), size = q_BTHK.shape, k_BSGK.shape, q_BTHK.dtype.itemsize
    K = padded_head(K)
    held = K * S * 8 if G < H else K * T * (4 + 2 * size)
    biases = 4 * ROWS * (T + S) * 4 + MIB if has_bias else 0
    return held + biases + BLOCKS[1] * K * (12 * size + 24) + 2 * MIB


def _operands(inputs: Inputs) -> tuple[jax.Array | None, ...]:
    """Transpose the inputs for the kernels, and make the `ROWS` moved rows of biases, ordered by query
    position minus key position.
    """
    q_BHKT, k_BGKS, v_BGKS = (x.swapaxes(2, 3) for x in inputs[:3])
    bias_H8N = None
    if inputs.bias_HN is not None:
        n = inputs.bias_HN.shape[1]
        padded_HN = jnp.pad(inputs.bias_HN[:, ::-1], ((0, 0), (ROWS, 0)))
        bias_H8N = jnp.stack([padded_HN[:, ROWS - r : ROWS - r + n] for r in range(ROWS)], axis=1)
    return (
        q_BHKT,
        k_BGKS,
        v_BGKS,
        inputs.q_segments_BT[:, None],
        inputs.kv_segments_BS[..., None],
        inputs.first_BS[..., None],
        None if inputs.last_BS is None else inputs.last_BS[..., None],
        bias_H8N,
    )


def _specs(inputs: Inputs, tiling: Tiling, place: Callable[..., tuple]) -> list[pl.BlockSpec | None]:
    """Return the block of each operand that a grid position needs.

    Args:
        inputs: of attention.
        tiling: sizes of a tile.
        place: maps a grid position to (row, head, block of queries, block of keys).
    """
    (_, H, _, K), G = inputs.q_BHTK.shape, inputs.k_BGSK.shape[1]
    keys = _spec((1, 1, K, tiling.sources), lambda b, h, i, j: (b, jax.lax.div(h, H // G), 0, j), place)
    of_keys = _spec((1, tiling.sources, 1), lambda b, h, i, j: (b, j, 0), place)
    return [
        _spec((1, 1, K, tiling.targets), lambda b, h, i, j: (b, h, 0, i), place),
        keys,
        keys,
        _spec((1, 1, tiling.targets), lambda b, h, i, j: (b, 0, i), place),
        of_keys,
        of_keys,
        None if inputs.last_BS is None else of_keys,
        None
        if inputs.bias_HN is None
        else _spec((1, ROWS, inputs.bias_HN.shape[1]), lambda b, h, i, j: (h, 0, 0), place),
    ]


def _spec(shape: tuple[int, ...], pick: Callable[..., tuple], place: Callable[..., tuple]) -> pl.BlockSpec:
    """Return the block `pick(row, head, block of queries, block of keys)`; the last argument of an index map
    is the prefetched array.
    """
    return pl.BlockSpec(shape, lambda *position: pick(*place(*position[:-1])))


def _columns(sum_ref: Ref, number: jax.Array, size: int) -> slice | pl.Slice:
    """Return the columns of block `number` in a sum that is kept for one block or for all."""
    one = sum_ref.shape[1] == size
    return slice(None) if one else pl.ds(pl.multiple_of(number * size, size), size)


def _logits(
    num_sources: int, soft_cap: float, i: jax.Array, j: jax.Array, inputs: Sequence[Ref]
) -> tuple[jax.Array, jax.Array]:
    """Compute logits_ST of the tile of query block i and key block j, and mask_ST: True where its queries see
    its keys.
    """
    q_ref, k_ref, _, q_segments_ref, kv_segments_ref, first_ref, last_ref, bias_ref = inputs
    bs, bt = k_ref.shape[-1], q_ref.shape[-1]
    logits_ST = soft_capped(_dot(k_ref[0, 0], q_ref[0, 0], FIRST), soft_cap)
    if bias_ref is not None:
        logits_ST += _spread_diagonals(bias_ref[0, :, _window(i, j, bt, bs, num_sources)], bs)
    position_1T = i * bt + jax.lax.broadcasted_iota(jnp.int32, (1, bt), 1)
    mask_ST = (kv_segments_ref[0] == q_segments_ref[0]) & (first_ref[0] <= position_1T)
    if last_ref is not None:
        mask_ST &= position_1T <= last_ref[0]
    return logits_ST, mask_ST


def _window(i: jax.Array, j: jax.Array, bt: int, bs: int, num_sources: int) -> pl.Slice:
    """Return the window of the biases that a tile needs: bt + bs distances.

    Relative to the tile, distances go from 1 - bs (its first query, its last key) to bt - 1. The window
    begins one entry earlier, so that its start and length are multiples of 128 lanes.
    """
    return pl.ds(pl.multiple_of(i * bt + (num_sources - 1 - j) * bs, 128), bt + bs)


def _spread_diagonals(x_8N: jax.Array, bs: int) -> jax.Array:
    """Make a tile of `bs` rows from `ROWS` rows of biases by doubling: the lower half is the upper half,
    moved right.

    `roll` moves lanes around the end; what comes in from there lies in the first `bs` lanes, which are cut
    off.
    """
    while x_8N.shape[0] < bs:
        x_8N = jnp.concatenate([x_8N, pltpu.roll(x_8N, x_8N.shape[0], axis=1)], axis=0)
    return x_8N[:, bs:]


def _sum_diagonals(x_ST: jax.Array) -> jax.Array:
    """Sum a tile along its diagonals into `ROWS` rows by halving: the lower half, moved left, is added to the
    upper half.
    """
    x = jnp.concatenate([jnp.zeros((x_ST.shape[0], x_ST.shape[0]), x_ST.dtype), x_ST], axis=1)
    while x.shape[0] > ROWS:
        half, n = x.shape[0] // 2, x.shape[1]
        x = x[:half] + pltpu.roll(x[half:], n - half, axis=1)
    return x


def _dot(a: jax.Array, b: jax.Array, axes: tuple) -> jax.Array:
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)
