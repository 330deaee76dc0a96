"""Attention with its projections, as all model families have it."""

from collections.abc import Sequence
from typing import Any

import jax
from flax import nnx

from flanlite.mesh.activations import constrain
from flanlite.model.attention.attention import KeysValues, attention, attention_over_parts
from flanlite.model.layers import PRODUCT, Linear, dropout
from flanlite.model.models import ModelConfig


class Attention(nnx.Module):
    """Multi-head attention with T5's initialisation, which folds the factor 1/sqrt(K) into the query's
    kernel.

    Args:
        config: the model's.
        rngs: source of the kernels' first values.
        saves_source: whether remat policies save the products of keys and values; a decoder's keys and values
            of the source are large, and cheap to compute again.
    """

    soft_cap = 0.0
    adapter = None  # see `soft_prefix`

    def __init__(self, config: ModelConfig, rngs: nnx.Rngs, *, saves_source: bool = True) -> None:
        self.config = config
        joined = config.num_heads * config.head_dim
        into = ((config.emb_dim, joined), ('embed', 'joined_kv'))
        out = ((joined, config.emb_dim), ('joined_kv', 'embed'))
        self.query = Linear(*into, config.dtype, rngs, init='normal', scale=1.0 / config.head_dim)
        self.key, self.value = (
            Linear(*into, config.dtype, rngs, init='normal', name=PRODUCT if saves_source else None)
            for _ in range(2)
        )
        self.out = Linear(*out, config.dtype, rngs, init='normal')

    def _heads(self, x_BTJ: jax.Array) -> jax.Array:
        x_BTHK = x_BTJ.reshape(*x_BTJ.shape[:2], -1, self.config.head_dim)
        return constrain(x_BTHK, ('batch', 'length', 'heads', 'kv'))

    def queries(self, x_BTD: jax.Array) -> jax.Array:
        """Compute q_BTHK of the normed input."""
        return self._heads(self.query(x_BTD))

    def keys_values(self, x_BSD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Compute k_BSGK and v_BSGK. Decoding keeps them in its cache."""
        return self._adapted(self._heads(self.key(x_BSD)), self._heads(self.value(x_BSD)))

    def _adapted(self, k_BSGK: jax.Array, v_BSGK: jax.Array) -> tuple[jax.Array, jax.Array]:
        return (k_BSGK, v_BSGK) if self.adapter is None else self.adapter(k_BSGK, v_BSGK)

    def __call__(
        self,
        q_BTHK: jax.Array,
        keys_values: tuple[jax.Array, jax.Array],
        keep_BSH1: jax.Array | None = None,
        **options: Any,
    ) -> jax.Array:
        """Attend to keys and values; return x_BTD.

        Args:
            q_BTHK: from `queries`.
            keys_values: from `keys_values`.
            keep_BSH1: mask of dropout.
            options: segments, bias and what is seen, for `attention.attention`.
        """
        k_BSGK, v_BSGK = keys_values
        # T5 drops a key for all queries of a head; that is to drop its value.
        v_BSGK = dropout(v_BSGK, keep_BSH1, self.config.dropout_rate)
        implementation = self.config.attention
        out_BTHK = attention(
            q_BTHK, k_BSGK, v_BSGK, soft_cap=self.soft_cap, implementation=implementation, **options
        )
        return self.out(out_BTHK.reshape(*q_BTHK.shape[:2], -1))

    def over_parts(self, q_BTHK: jax.Array, parts: Sequence[KeysValues]) -> jax.Array:
        """Attend to keys and values that lie in several arrays, without dropout; see
        `attention.attention_over_parts`.
        """
        out_BTHK = attention_over_parts(q_BTHK, parts, self.soft_cap)
        return self.out(out_BTHK.reshape(*q_BTHK.shape[:2], -1))
