"""Attention behind one function, and the cache of decoding.

Which query sees which key is given by segments, causality and a prefix, not by a mask array [B, T, S]. So an
implementation need not hold such an array, and may skip whole blocks of scores.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from flanlite.mesh.activations import current_rules
from flanlite.model.attention import blocks, blockwise, gpu, tpu
from flanlite.model.attention.blocks import MASKED, spread_bias

PLATFORMS = {'cudnn': ('gpu',), 'pallas': ('tpu', 'gpu')}  # of the implementations that do not run everywhere
PALLAS = {'tpu': (tpu.KERNELS, tpu.BLOCKS), 'gpu': (gpu.KERNELS, gpu.BLOCKS)}
BLOCKWISE = (blockwise.KERNELS, (16, 256))  # least and most queries and keys of a block
# From this many queries and as many keys on, 'auto' does not use plain XLA. Chosen by the memory of scores;
# not timed on GPU or TPU yet.
LONG = {'cpu': 2048, 'gpu': 1024, 'tpu': 512}


def attention(
    q_BTHK: jax.Array,
    k_BSHK: jax.Array,
    v_BSHK: jax.Array,
    *,
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    bias: jax.Array | None = None,
    causal: bool = False,
    kv_prefix_BS: jax.Array | None = None,
    implementation: str = 'xla',
) -> jax.Array:
    """Attend with T5's unscaled dot product. Logits and softmax are float32 whatever the dtype of the inputs
    is.

    Args:
        q_BTHK: queries.
        k_BSHK: keys.
        v_BSHK: values.
        q_segments_BT: segment of each query; a query sees keys of its own segment only. 0 is padding.
        kv_segments_BS: segment of each key; 0 is padding, which no query sees.
        bias: float32, added to the logits: bias_HN by distance (see `blocks.spread_bias`), or bias_HTS, which
            `prepare_bias` may return.
        causal: hide keys at later positions than the query.
        kv_prefix_BS: True for keys that all queries of their segment see in spite of `causal` (the inputs of
            a prefix LM).
        implementation: one of `IMPLEMENTATIONS`, on the platforms in brackets.
            'auto' [all]: see `choose_implementation`.
            'xla' [all]: keeps B x H x T x S scores in memory, in the forward and the backward pass. The
            others do not.
            'blockwise' [all]: computes scores block by block, and again in the backward pass.
            'pallas' [TPU, GPU]: the same in a kernel, which builds the bias of each block from bias_HN.
            'cudnn' [NVIDIA GPU]: cuDNN's kernel, for bfloat16 and even lengths. It takes bias and mask as one
            bfloat16 array, so it saves the scores, but needs one B x H x T x S array (B x T x S without a
            bias).

    Returns:
        out_BTHK in v's dtype. Rows of padding queries have no meaning.

    Raises:
        ValueError: an unknown implementation, one that does not run on the platform, or a bias for other
            lengths.
    """
    T, S = q_BTHK.shape[1], k_BSHK.shape[1]
    chosen = choose_implementation(implementation, T, S)
    if chosen in WHOLE:
        mask_BTS = segment_mask(q_segments_BT, kv_segments_BS, causal=causal, kv_prefix_BS=kv_prefix_BS)
        return WHOLE[chosen](
            q_BTHK,
            k_BSHK,
            v_BSHK,
            mask_BTS,
            spread_bias(bias, T) if bias is not None and bias.ndim == 2 else bias,
        )
    if bias is not None and bias.shape[1:] != (T + S,):
        raise ValueError(
            f'{chosen!r} attention got a bias of shape {bias.shape}, expected {(bias.shape[0], T + S)}: one '
            'by distance'
        )
    kernels, tiling = IN_BLOCKS[chosen](_platform())
    attend = functools.partial(blocks.attend, kernels, tiling, causal=causal)
    return _on_mesh(attend, q_BTHK, k_BSHK, v_BSHK, q_segments_BT, kv_segments_BS, kv_prefix_BS, bias)


def choose_implementation(implementation: str, targets: int, sources: int) -> str:
    """Choose the implementation for the platform that will run the traced program.

    A single query, as in decoding, has no square of scores, so it uses plain XLA. So does 'auto' for lengths
    below `LONG`. For longer ones the memory of the scores counts for more than computing them twice: 'auto'
    uses the kernel on TPU, and blocks in pure JAX elsewhere, since the GPU kernel has not been run on a GPU
    yet, and cuDNN needs an array as large as the scores.

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


def _on_mesh(attend: Callable[..., jax.Array], *arrays: jax.Array | None) -> jax.Array:
    """Run an implementation on each device's own rows and heads.

    XLA cannot partition a kernel, and partitions loops over blocks badly. Attention needs no communication
    here: rows and heads are independent. `check_vma` is off since kernels do not declare over which mesh axes
    their results vary.
    """
    rules = current_rules()
    if rules is None or rules.mesh.size == 1:
        return attend(*arrays)
    x_BTHK, ids_BT = rules.spec(('batch', 'length', 'heads', 'kv')), rules.spec(('batch', 'length'))
    bias_HN = PartitionSpec(x_BTHK[2], None)
    specs = (x_BTHK, x_BTHK, x_BTHK, ids_BT, ids_BT, ids_BT, bias_HN)
    return jax.shard_map(attend, mesh=rules.mesh, in_specs=specs, out_specs=x_BTHK, check_vma=False)(*arrays)


def _plain(
    q_BTHK: jax.Array, k_BSHK: jax.Array, v_BSHK: jax.Array, mask_BTS: jax.Array, bias_HTS: jax.Array | None
) -> jax.Array:
    logits_BHTS = jnp.einsum('BTHK,BSHK->BHTS', q_BTHK, k_BSHK, preferred_element_type=jnp.float32)
    if bias_HTS is not None:
        logits_BHTS = _add_bias(logits_BHTS, bias_HTS)
    weights_BHTS = jax.nn.softmax(logits_BHTS + jnp.where(mask_BTS, 0.0, MASKED)[:, None]).astype(
        v_BSHK.dtype
    )
    return jnp.einsum('BHTS,BSHK->BTHK', weights_BHTS, v_BSHK)


def _cudnn(
    q_BTHK: jax.Array, k_BSHK: jax.Array, v_BSHK: jax.Array, mask_BTS: jax.Array, bias_HTS: jax.Array | None
) -> jax.Array:
    bias_1HTS = None if bias_HTS is None else bias_HTS[None].astype(q_BTHK.dtype)
    return jax.nn.dot_product_attention(
        q_BTHK, k_BSHK, v_BSHK, bias=bias_1HTS, mask=mask_BTS[:, None], scale=1.0, implementation='cudnn'
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


def segment_mask(
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    *,
    causal: bool = False,
    kv_prefix_BS: jax.Array | None = None,
) -> jax.Array:
    """Compute mask_BTS, True where a query may see a key; the arguments are those of `attention`."""
    mask_BTS = (q_segments_BT[:, :, None] == kv_segments_BS[:, None, :]) & (kv_segments_BS[:, None, :] > 0)
    if causal:
        T, S = mask_BTS.shape[1:]
        past_BTS = jnp.tri(T, S, dtype=bool)[None]
        mask_BTS = mask_BTS & (past_BTS if kv_prefix_BS is None else past_BTS | kv_prefix_BS[:, None, :])
    return mask_BTS


class KeysValues(NamedTuple):
    """Keys and values in one array each, the mask of the queries that see them, and the bias of these
    queries.
    """

    k_BSHK: jax.Array
    v_BSHK: jax.Array
    mask_BTS: jax.Array
    bias_HTS: jax.Array


def attention_over_parts(q_BTHK: jax.Array, parts: Sequence[KeysValues]) -> jax.Array:
    """Attend to keys in several arrays as if they were one, without joining the arrays.

    Args:
        q_BTHK: queries. Each must see at least one key.
        parts: the arrays of keys and values.

    Returns:
        out_BTHK in v's dtype.
    """

    def part_logits(part: KeysValues) -> jax.Array:
        logits_BHTS = jnp.einsum('BTHK,BSHK->BHTS', q_BTHK, part.k_BSHK, preferred_element_type=jnp.float32)
        return jnp.where(part.mask_BTS[:, None], logits_BHTS + part.bias_HTS[None], MASKED)

    weights_BHTS = jax.nn.softmax(jnp.concatenate([part_logits(part) for part in parts], axis=-1))
    weights = jnp.split(weights_BHTS, np.cumsum([part.k_BSHK.shape[1] for part in parts])[:-1], axis=-1)
    attended = [
        jnp.einsum('BHTS,BSHK->BTHK', w.astype(part.v_BSHK.dtype), part.v_BSHK)
        for w, part in zip(weights, parts, strict=True)
    ]
    return functools.reduce(jnp.add, attended)


class DecodingCache(NamedTuple):
    """What decoding keeps between positions: keys and values of all layers, for the positions decoded so far
    and for the source.
    """

    index: jax.Array  # the next position, int32
    first_B: jax.Array  # the tokens to feed at the first position
    source_segments_BS: jax.Array
    key_LBTHK: jax.Array
    value_LBTHK: jax.Array
    source_key_LBSHK: jax.Array
    source_value_LBSHK: jax.Array

    def write(self, layer_index: jax.Array, key_B1HK: jax.Array, value_B1HK: jax.Array) -> 'DecodingCache':
        """Write the keys and values of one layer at the next position.

        Args:
            layer_index: the layer's place in the stack.
            key_B1HK: keys of one position.
            value_B1HK: values of one position.
        """
        start = (layer_index, 0, self.index, 0, 0)
        key_LBTHK = jax.lax.dynamic_update_slice(self.key_LBTHK, key_B1HK[None], start)
        value_LBTHK = jax.lax.dynamic_update_slice(self.value_LBTHK, value_B1HK[None], start)
        return self._replace(key_LBTHK=key_LBTHK, value_LBTHK=value_LBTHK)

    def read(self, layer_index: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Read key_BTHK and value_BTHK of one layer."""
        return tuple(
            jax.lax.dynamic_index_in_dim(x, layer_index, keepdims=False)
            for x in (self.key_LBTHK, self.value_LBTHK)
        )

    def repeat(self, n: int) -> 'DecodingCache':
        """Repeat each row n times, for n continuations of each source."""
        rows = [jnp.repeat(x, n, axis=0) for x in (self.first_B, self.source_segments_BS)]
        return DecodingCache(self.index, *rows, *(jnp.repeat(x, n, axis=1) for x in self[3:]))

    def reorder(self, rows_B: jax.Array) -> 'DecodingCache':
        """Make row i a copy of row `rows_B[i]`, which must have the same source: the source's keys and values
        are not moved.
        """
        return self._replace(key_LBTHK=self.key_LBTHK[:, rows_B], value_LBTHK=self.value_LBTHK[:, rows_B])


def segments_of(tokens_BT: jax.Array, segment_ids_BT: jax.Array | None) -> jax.Array:
    """Compute the segment of each position: 0 for padding (token 0), else its segment id, or 1 if there are
    no ids.
    """
    return jnp.where(tokens_BT > 0, 1 if segment_ids_BT is None else segment_ids_BT, 0)
