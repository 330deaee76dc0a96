"""Attention behind one function, and the cache of decoding.

Which query sees which key is given by segments, causality, a prefix and a window, not by a mask array
[B, T, S]. So an implementation need not hold such an array, and may skip whole blocks of scores.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from flanlite.mesh.activations import current_rules
from flanlite.model.attention import blocks, blockwise, gpu, tpu
from flanlite.model.attention.blocks import MASKED, Window, soft_capped, spread_bias, visible_range

PLATFORMS = {'cudnn': ('gpu',), 'pallas': ('tpu', 'gpu')}  # of the implementations that do not run everywhere
PALLAS = {'tpu': (tpu.KERNELS, tpu.BLOCKS), 'gpu': (gpu.KERNELS, gpu.BLOCKS)}
BLOCKWISE = (blockwise.KERNELS, (16, 256))  # least and most queries and keys of a block
# From this many queries and as many keys on, 'auto' does not use plain XLA. Chosen by the memory of scores;
# not timed on GPU or TPU yet.
LONG = {'cpu': 2048, 'gpu': 1024, 'tpu': 512}


def attention(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    *,
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    bias: jax.Array | None = None,
    causal: bool = False,
    kv_prefix_BS: jax.Array | None = None,
    kv_alone_BS: jax.Array | None = None,
    window: Window | None = None,
    source: tuple[jax.Array, jax.Array, jax.Array] | None = None,
    soft_cap: float = 0.0,
    implementation: str = 'xla',
) -> jax.Array:
    """Attend with T5's unscaled dot product. Logits and softmax are float32 whatever the dtype of the inputs
    is.

    Args:
        q_BTHK: queries.
        k_BSGK: keys. They may have fewer heads than queries: each then serves H / G query heads, one after
            the other (grouped-query attention).
        v_BSGK: values.
        q_segments_BT: segment of each query; a query sees keys of its own segment only. 0 is padding.
        kv_segments_BS: segment of each key; 0 is padding, which no query sees.
        bias: float32, added to the logits: bias_HN by distance (see `blocks.spread_bias`), or bias_HTS, which
            `prepare_bias` may return.
        causal: hide keys at later positions than the query.
        kv_prefix_BS: True for keys that all queries of their segment see in spite of `causal` (the inputs of
            a prefix LM).
        kv_alone_BS: True for keys that only the query at their own position sees.
        window: how many positions before and after a query it sees; None for all.
        source: keys, values and their segments, arrays as k_BSGK, v_BSGK and kv_segments_BS, that every query
            of their segment sees in the same softmax, whatever else is said above (merged attention).
        soft_cap: bounds the logits; see `blocks.soft_capped`. 0 for none.
        implementation: one of `IMPLEMENTATIONS`, on the platforms in brackets.
            'auto' [all]: see `choose_implementation`.
            'xla' [all]: keeps B x H x T x S scores in memory, in the forward and the backward pass. The
            others do not.
            'blockwise' [all]: computes scores block by block, and again in the backward pass.
            'pallas' [TPU, GPU]: the same in a kernel, which builds the bias of each block from bias_HN.
            'cudnn' [NVIDIA GPU]: cuDNN's kernel, for bfloat16 and even lengths, and without soft caps. It
            takes bias and mask as one bfloat16 array, so it saves the scores, but needs one B x H x T x S
            array (B x T x S without a bias).

    Returns:
        out_BTHK in v's dtype. Rows of padding queries have no meaning.

    Raises:
        ValueError: an unknown implementation, one that does not run on the platform or cannot do what is
            asked, a bias for other lengths, heads that do not divide, or a bias with grouped heads, a soft
            cap or a source.
    """
    (_, T, H, _), G = q_BTHK.shape, k_BSGK.shape[2]
    if H % G:
        raise ValueError(f'attention got {H} heads of queries and {G} of keys; expected a multiple of {G}')
    if bias is not None and (soft_cap or source is not None or G < H):
        raise ValueError(
            'attention got a bias with grouped heads, a soft cap or a source; expected no bias with these'
        )
    triangular = causal and kv_prefix_BS is None and source is None
    first_BS, last_BS = visible_range(
        kv_segments_BS, causal=causal, kv_prefix_BS=kv_prefix_BS, kv_alone_BS=kv_alone_BS, window=window
    )
    if source is not None:
        *kept, segments_BS = source
        k_BSGK, v_BSGK = (
            jnp.concatenate([own, other], axis=1) for own, other in zip((k_BSGK, v_BSGK), kept, strict=True)
        )
        kv_segments_BS = jnp.concatenate([kv_segments_BS, segments_BS], axis=1)
        more = ((0, 0), (0, segments_BS.shape[1]))
        first_BS = jnp.pad(first_BS, more)
        last_BS = None if last_BS is None else jnp.pad(last_BS, more, constant_values=blocks.FAR)
    S = k_BSGK.shape[1]
    chosen = choose_implementation(implementation, T, S)
    refusal = _refusal(chosen, q_BTHK, k_BSGK, bias is not None, soft_cap)
    if refusal and implementation != 'auto':
        raise ValueError(f"attention implementation {chosen!r} {refusal}; use 'auto', 'xla' or 'blockwise'")
    chosen = 'blockwise' if refusal else chosen
    if chosen in WHOLE:
        return WHOLE[chosen](
            q_BTHK,
            k_BSGK,
            v_BSGK,
            _mask(
                q_segments_BT, kv_segments_BS, first_BS if causal or last_BS is not None else None, last_BS
            ),
            spread_bias(bias, T) if bias is not None and bias.ndim == 2 else bias,
            soft_cap,
        )
    if bias is not None and bias.shape[1:] != (T + S,):
        raise ValueError(
            f'{chosen!r} attention got a bias of shape {bias.shape}, expected {(bias.shape[0], T + S)}: one '
            'by distance'
        )
    kernels, tiling = IN_BLOCKS[chosen](_platform())
    attend = functools.partial(blocks.attend, kernels, tiling, triangular=triangular, soft_cap=soft_cap)
    return _on_mesh(attend, q_BTHK, k_BSGK, v_BSGK, q_segments_BT, kv_segments_BS, first_BS, last_BS, bias)


def choose_implementation(implementation: str, targets: int, sources: int) -> str:
    """Choose the implementation for the platform that will run the traced program.

    A single query, as in decoding, has no square of scores, so it uses plain XLA. So does 'auto' for lengths
    below `LONG`. For longer ones the memory of the scores counts for more than computing them twice: 'auto'
    uses the kernel on TPU, as long as the lengths fit it (`tpu.fast_bytes`), and blocks in pure JAX
    elsewhere, since the GPU kernel has not been run on a GPU yet, and cuDNN needs an array as large as the
    scores.

    Args:
        implementation: one of `IMPLEMENTATIONS`.
        targets: number of queries.
        sources: number of keys.

    Raises:
        ValueError: an unknown implementation, or one that does not run on the platform.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f'attention implementation {implementation!r}; expected one of {", ".join(IMPLEMENTATIONS)}'
        )
    platform = _platform()
    if platform not in PLATFORMS.get(implementation, (platform,)):
        raise ValueError(
            f"attention implementation {implementation!r} does not run on {platform}; use 'auto', 'xla' or "
            "'blockwise'"
        )
    if targets == 1:
        return 'xla'
    if implementation != 'auto':
        return implementation
    if targets * sources < LONG.get(platform, LONG['cpu']) ** 2:
        return 'xla'
    return 'pallas' if platform == 'tpu' else 'blockwise'


def _platform() -> str:
    """Return the platform that will run the traced program: the mesh's, if there is one, which need not be
    this process's own.
    """
    rules = current_rules()
    return jax.default_backend() if rules is None else rules.platform


def _refusal(chosen: str, q_BTHK: jax.Array, k_BSGK: jax.Array, has_bias: bool, soft_cap: float) -> str:
    """Say why an implementation cannot do what is asked; '' if it can."""
    if chosen == 'cudnn' and soft_cap:
        return f'has no soft caps, and got {soft_cap}'
    if chosen == 'pallas' and _platform() == 'tpu':
        need, rules = tpu.fast_bytes(q_BTHK, k_BSGK, has_bias), current_rules()
        kind = '' if rules is None else rules.mesh.devices.flat[0].device_kind
        most = tpu.FAST_BYTES.get(kind, tpu.FAST_BYTES['TPU v4'])
        if need > most:
            return (
                f"needs about {need / 2**20:.1f} MiB of a TPU core's fast memory for the gradients of "
                f'{q_BTHK.shape[1]} queries and {k_BSGK.shape[1]} keys of size {q_BTHK.shape[3]}, and may '
                f'use {most / 2**20:.0f}'
            )
    return ''


def prepare_bias(bias_HN: jax.Array, length: int, implementation: str) -> jax.Array:
    """Expand the bias of self-attention to bias_HTS once for all layers of a stack, if the implementation
    needs it in this form.

    Args:
        bias_HN: the bias by distance.
        length: number of queries and of keys.
        implementation: for `choose_implementation`.
    """
    return (
        spread_bias(bias_HN, length)
        if choose_implementation(implementation, length, length) in WHOLE
        else bias_HN
    )


def _on_mesh(
    attend: Callable[..., jax.Array],
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    *others: jax.Array | None,
) -> jax.Array:
    """Run an implementation on each device's own rows and heads.

    XLA cannot partition a kernel, and partitions loops over blocks badly. Attention needs no communication
    here: rows and heads are independent. Heads of keys that do not divide over the mesh are repeated, one for
    each query head. `check_vma` is off since kernels do not declare over which mesh axes their results vary.
    """
    rules = current_rules()
    if rules is None or rules.mesh.size == 1:
        return attend(q_BTHK, k_BSGK, v_BSGK, *others)
    H, G = q_BTHK.shape[2], k_BSGK.shape[2]
    if G % rules.model_size:
        k_BSGK, v_BSGK = (jnp.repeat(x_BSGK, H // G, axis=2) for x_BSGK in (k_BSGK, v_BSGK))
    x_BTHK, ids_BT = rules.spec(('batch', 'length', 'heads', 'kv')), rules.spec(('batch', 'length'))
    bias_HN = PartitionSpec(x_BTHK[2], None)
    specs = (x_BTHK, x_BTHK, x_BTHK, ids_BT, ids_BT, ids_BT, ids_BT, bias_HN)
    run = jax.shard_map(attend, mesh=rules.mesh, in_specs=specs, out_specs=x_BTHK, check_vma=False)
    return run(q_BTHK, k_BSGK, v_BSGK, *others)


def _scores(q_BTHK: jax.Array, k_BSGK: jax.Array) -> jax.Array:
    """Compute the dot products of queries and keys, logits_BHTS in float32."""
    (B, T, H, K), (_, S, G, _) = q_BTHK.shape, k_BSGK.shape
    if G == H:
        return jnp.einsum('BTHK,BSHK->BHTS', q_BTHK, k_BSGK, preferred_element_type=jnp.float32)
    q_BTGXK = q_BTHK.reshape(B, T, G, H // G, K)  # X are the query heads that share a head of keys
    logits = jnp.einsum('BTGXK,BSGK->BGXTS', q_BTGXK, k_BSGK, preferred_element_type=jnp.float32)
    return logits.reshape(B, H, T, S)


def _mix(weights_BHTS: jax.Array, v_BSGK: jax.Array) -> jax.Array:
    """Sum values by their weights: out_BTHK."""
    (B, H, T, S), G = weights_BHTS.shape, v_BSGK.shape[2]
    if G == H:
        return jnp.einsum('BHTS,BSHK->BTHK', weights_BHTS, v_BSGK)
    weights_BGXTS = weights_BHTS.reshape(B, G, H // G, T, S)
    return jnp.einsum('BGXTS,BSGK->BTGXK', weights_BGXTS, v_BSGK).reshape(B, T, H, -1)


def _plain(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    mask_BTS: jax.Array,
    bias_HTS: jax.Array | None,
    soft_cap: float,
) -> jax.Array:
    logits_BHTS = soft_capped(_scores(q_BTHK, k_BSGK), soft_cap)
    if bias_HTS is not None:
        logits_BHTS = _add_bias(logits_BHTS, bias_HTS)
    weights_BHTS = jax.nn.softmax(logits_BHTS + jnp.where(mask_BTS, 0.0, MASKED)[:, None]).astype(
        v_BSGK.dtype
    )
    return _mix(weights_BHTS, v_BSGK)


def _cudnn(
    q_BTHK: jax.Array,
    k_BSGK: jax.Array,
    v_BSGK: jax.Array,
    mask_BTS: jax.Array,
    bias_HTS: jax.Array | None,
    _: float,  # soft_cap, which `_refusal` lets through for none
) -> jax.Array:
    bias_1HTS = None if bias_HTS is None else bias_HTS[None].astype(q_BTHK.dtype)
    return jax.nn.dot_product_attention(
        q_BTHK, k_BSGK, v_BSGK, bias=bias_1HTS, mask=mask_BTS[:, None], scale=1.0, implementation='cudnn'
    )  # fmt: skip


# Every implementation stands in one of these tables. WHOLE ones are given a mask [B, T, S] and a bias
# [H, T, S]; those IN_BLOCKS are kernels for `blocks.attend`, with the least and most queries and keys of a
# block.
WHOLE: dict[str, Callable[..., jax.Array]] = {'xla': _plain, 'cudnn': _cudnn}
IN_BLOCKS: dict[str, Callable[[str], tuple[blocks.Kernels, tuple[int, int]]]] = {
    'blockwise': lambda platform: BLOCKWISE,
    'pallas': lambda platform: PALLAS[platform],
}
IMPLEMENTATIONS = ('auto', *WHOLE, *IN_BLOCKS)


@jax.custom_vjp
def _add_bias(logits_BHTS: jax.Array, bias_HTS: jax.Array) -> jax.Array:
    """Add a bias to every row. The bias's gradient sums over rows by a matrix product: XLA's CPU backend is
    slow at sums over axis 0.
    """
    return logits_BHTS + bias_HTS[None]


def _add_bias_backward(_: None, grad_BHTS: jax.Array) -> tuple[jax.Array, jax.Array]:
    ones_B = jnp.ones(grad_BHTS.shape[0], grad_BHTS.dtype)
    return grad_BHTS, jnp.einsum('B,BHTS->HTS', ones_B, grad_BHTS, precision='highest')


_add_bias.defvjp(lambda logits_BHTS, bias_HTS: (_add_bias(logits_BHTS, bias_HTS), None), _add_bias_backward)


def segment_mask(q_segments_BT: jax.Array, kv_segments_BS: jax.Array, **seen: Any) -> jax.Array:
    """Compute mask_BTS, True where a query may see a key; the arguments are those of `attention` and, in
    `seen`, of `blocks.visible_range`.
    """
    first_BS, last_BS = visible_range(kv_segments_BS, **seen)
    return _mask(q_segments_BT, kv_segments_BS, first_BS, last_BS)


def _mask(
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    first_BS: jax.Array | None,
    last_BS: jax.Array | None,
) -> jax.Array:
    mask_BTS = (q_segments_BT[:, :, None] == kv_segments_BS[:, None, :]) & (kv_segments_BS[:, None, :] > 0)
    position_1T1 = jnp.arange(q_segments_BT.shape[1], dtype=jnp.int32)[None, :, None]
    if first_BS is not None:
        mask_BTS &= first_BS[:, None, :] <= position_1T1
    if last_BS is not None:
        mask_BTS &= position_1T1 <= last_BS[:, None, :]
    return mask_BTS


class KeysValues(NamedTuple):
    """Keys and values in one array each, the mask of the queries that see them, and the bias of these
    queries, if there is one.
    """

    k_BSGK: jax.Array
    v_BSGK: jax.Array
    mask_BTS: jax.Array
    bias_HTS: jax.Array | None = None


def attention_over_parts(q_BTHK: jax.Array, parts: Sequence[KeysValues], soft_cap: float = 0.0) -> jax.Array:
    """Attend to keys in several arrays as if they were one, without joining the arrays.

    Args:
        q_BTHK: queries. Each must see at least one key.
        parts: the arrays of keys and values.
        soft_cap: as in `attention`.

    Returns:
        out_BTHK in v's dtype.
    """

    def part_logits(part: KeysValues) -> jax.Array:
        logits_BHTS = soft_capped(_scores(q_BTHK, part.k_BSGK), soft_cap)
        if part.bias_HTS is not None:
            logits_BHTS += part.bias_HTS[None]
        return jnp.where(part.mask_BTS[:, None], logits_BHTS, MASKED)

    weights_BHTS = jax.nn.softmax(jnp.concatenate([part_logits(part) for part in parts], axis=-1))
    weights = jnp.split(weights_BHTS, np.cumsum([part.k_BSGK.shape[1] for part in parts])[:-1], axis=-1)
    attended = [
        _mix(w.astype(part.v_BSGK.dtype), part.v_BSGK) for w, part in zip(weights, parts, strict=True)
    ]
    return functools.reduce(jnp.add, attended)


class DecodingCache(NamedTuple):
    """What decoding keeps between positions: keys and values of all layers, for the positions decoded so far
    and for the source.
    """

    index: jax.Array  # the next position, int32
    first_B: jax.Array  # the tokens to feed at the first position
    source_segments_BS: jax.Array
    key_LBTGK: jax.Array
    value_LBTGK: jax.Array
    source_key_LBSGK: jax.Array
    source_value_LBSGK: jax.Array

    def write(self, layer_index: jax.Array, key_B1GK: jax.Array, value_B1GK: jax.Array) -> 'DecodingCache':
        """Write the keys and values of one layer at the next position.

        Args:
            layer_index: the layer's place in the stack.
            key_B1GK: keys of one position.
            value_B1GK: values of one position.
        """
        start = (layer_index, 0, self.index, 0, 0)
        key_LBTGK = jax.lax.dynamic_update_slice(self.key_LBTGK, key_B1GK[None], start)
        value_LBTGK = jax.lax.dynamic_update_slice(self.value_LBTGK, value_B1GK[None], start)
        return self._replace(key_LBTGK=key_LBTGK, value_LBTGK=value_LBTGK)

    def read(self, layer_index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Read key_BTGK and value_BTGK of one layer."""
        return tuple(
            jax.lax.dynamic_index_in_dim(x, layer_index, keepdims=False)
            for x in (self.key_LBTGK, self.value_LBTGK)
        )

    def repeat(self, n: int) -> 'DecodingCache':
        """Repeat each row n times, for n continuations of each source."""
        rows = [jnp.repeat(x, n, axis=0) for x in (self.first_B, self.source_segments_BS)]
        return DecodingCache(self.index, *rows, *(jnp.repeat(x, n, axis=1) for x in self[3:]))

    def reorder(self, rows_B: jax.Array) -> 'DecodingCache':
        """Make row i a copy of row `rows_B[i]`, which must have the same source: the source's keys and values
        are not moved.
        """
        return self._replace(key_LBTGK=self.key_LBTGK[:, rows_B], value_LBTGK=self.value_LBTGK[:, rows_B])


def segments_of(tokens_BT: jax.Array, segment_ids_BT: jax.Array | None) -> jax.Array:
    """Return the segment of each position, 0 for padding: the ids of a batch that has them, as all of ours
    do; else, as in SeqIO's unpacked batches, 1 wherever there is another token than 0.
    """
    return (tokens_BT > 0).astype(jnp.int32) if segment_ids_BT is None else segment_ids_BT


def segments_within(lengths_B: jax.Array, length: int) -> jax.Array:
    """Compute segments_BT of rows that begin with `lengths_B` tokens: 1 there, and 0 for the padding after
    them.
    """
    return (jnp.arange(length)[None] < lengths_B[:, None]).astype(jnp.int32)
