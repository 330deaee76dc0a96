"""Attention behind one function; what may attend to what is given by segments, so that an implementation may skip whole blocks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

MASKED = -1e10  # T5X's; finite, so that a row in which everything is masked stays finite


def attention(
    q_BTHK: jax.Array,
    k_BSHK: jax.Array,
    v_BSHK: jax.Array,
    *,
    q_segments_BT: jax.Array,
    kv_segments_BS: jax.Array,
    bias_HTS: jax.Array | None = None,
    causal: bool = False,
) -> jax.Array:
    """Attend with T5's unscaled dot product; logits and softmax are float32 whatever the inputs are.

    Args:
        q_segments_BT: segment of each query; a query sees keys of its own segment only. 0 is padding.
        kv_segments_BS: segment of each key; 0 is padding, which nothing sees.
        bias_HTS: float32, added to the logits.
        causal: hide keys at later positions than the query.

    Returns:
        out_BTHK in v's dtype. Rows of padding queries hold no meaning.
    """
    logits_BHTS = jnp.einsum('BTHK,BSHK->BHTS', q_BTHK, k_BSHK, preferred_element_type=jnp.float32)
    if bias_HTS is not None:
        logits_BHTS = _add_bias(logits_BHTS, bias_HTS)
    mask_BTS = jnp.where(segment_mask(q_segments_BT, kv_segments_BS, causal=causal), 0.0, MASKED)
    weights_BHTS = jax.nn.softmax(logits_BHTS + mask_BTS[:, None]).astype(v_BSHK.dtype)
    return jnp.einsum('BHTS,BSHK->BTHK', weights_BHTS, v_BSHK)


@jax.custom_vjp
def _add_bias(logits_BHTS: jax.Array, bias_HTS: jax.Array) -> jax.Array:
    """Add a bias to every row; its gradient sums over rows as a matrix product, since XLA's CPU backend is slow at sums over axis 0."""
    return logits_BHTS + bias_HTS[None]


def _add_bias_backward(_: None, grad_BHTS: jax.Array) -> tuple[jax.Array, jax.Array]:
    ones_B = jnp.ones(grad_BHTS.shape[0], grad_BHTS.dtype)
    return grad_BHTS, jnp.einsum('B,BHTS->HTS', ones_B, grad_BHTS, precision='highest')


_add_bias.defvjp(lambda logits_BHTS, bias_HTS: (_add_bias(logits_BHTS, bias_HTS), None), _add_bias_backward)


def segment_mask(q_segments_BT: jax.Array, kv_segments_BS: jax.Array, *, causal: bool = False) -> jax.Array:
    """Compute mask_BTS, True where a query may see a key."""
    mask_BTS = (q_segments_BT[:, :, None] == kv_segments_BS[:, None, :]) & (kv_segments_BS[:, None, :] > 0)
    if causal:
        T, S = mask_BTS.shape[1:]
        mask_BTS = mask_BTS & jnp.tri(T, S, dtype=bool)[None]
    return mask_BTS


class DecodingCache(NamedTuple):
    """What decoding keeps between positions: keys and values of all layers, of the positions so far and of the source."""

    index: jax.Array  # the next position
    source_segments_BS: jax.Array
    key_LBTHK: jax.Array
    value_LBTHK: jax.Array
    source_key_LBSHK: jax.Array
    source_value_LBSHK: jax.Array

    def write(self, number: jax.Array, key_B1HK: jax.Array, value_B1HK: jax.Array) -> 'DecodingCache':
        """Write the keys and values of one layer at the next position."""
        start = (number, 0, self.index, 0, 0)
        key_LBTHK = jax.lax.dynamic_update_slice(self.key_LBTHK, key_B1HK[None], start)
        value_LBTHK = jax.lax.dynamic_update_slice(self.value_LBTHK, value_B1HK[None], start)
        return self._replace(key_LBTHK=key_LBTHK, value_LBTHK=value_LBTHK)

    def read(self, number: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Read key_BTHK and value_BTHK of one layer."""
        return tuple(jax.lax.dynamic_index_in_dim(x, number, keepdims=False) for x in (self.key_LBTHK, self.value_LBTHK))

    def repeat(self, n: int) -> 'DecodingCache':
        """Repeat each row n times, for n continuations of each source."""
        stacked = [jnp.repeat(x, n, axis=1) for x in self[2:]]
        return DecodingCache(self.index, jnp.repeat(self.source_segments_BS, n, axis=0), *stacked)

    def take(self, rows_B: jax.Array) -> 'DecodingCache':
        """Let row i continue row `rows_B[i]`, which must be of the same source: its keys and values stay where they are."""
        return self._replace(key_LBTHK=self.key_LBTHK[:, rows_B], value_LBTHK=self.value_LBTHK[:, rows_B])
