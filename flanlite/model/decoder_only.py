"""A decoder alone, in T5's style, with the parameter names of T5X's decoder_only: inputs and targets are one sequence.

The inputs are a prefix that is seen whole (a prefix LM), or one position after the other as the targets are (a causal LM). Either way the
input's last token is what the first target is predicted from.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.mesh.activations import GATHERED, RESIDUAL, constrain, reshard
from flanlite.model.attention.attention import DecodingCache, KeysValues, prepare_bias, segment_mask, segments_of
from flanlite.model.attention.blocks import spread_bias
from flanlite.model.blocks import Attention
from flanlite.model.layers import MLP, Embedding, LayerNorm, Logits, RelativePositionBias, dropout, dropout_masks
from flanlite.model.models import Batch, ModelConfig
from flanlite.model.stacks import scan, split_keys, stack


@value
class DecoderOnlyConfig(ModelConfig):
    """Sizes and variants of a decoder alone, under T5X's names (t5x.examples.decoder_only.network); beside those of every model:

    Args:
        num_layers: layers.
        prefix_lm: whether the inputs see each other whole; else every position sees the earlier ones only.
    """

    converter: ClassVar[str] = 'prefix_lm'

    num_layers: int = 12
    prefix_lm: bool = True

    def build(self, rngs: nnx.Rngs) -> 'DecoderOnly':
        """Make the module."""
        return DecoderOnly(self, rngs)

    def multiply_adds(self, inputs: int, targets: int) -> float:
        """Count the multiply-adds of a row; see `models.ModelConfig`."""
        D, J, T = self.emb_dim, self.num_heads * self.head_dim, inputs + targets
        layer = T * (4 * D * J + (len(self.mlp_activations) + 1) * D * self.mlp_dim) + 2 * T * T * J
        return self.num_layers * layer + T * D * self.vocab_size


class Prefix(NamedTuple):
    """What is kept of inputs that were read, all but their last tokens: these are fed first. Inputs end at the same place in every row."""

    last_B: jax.Array
    segments_BS: jax.Array
    key_LBSHK: jax.Array
    value_LBSHK: jax.Array


class DecoderOnlyLayer(nnx.Module):
    """Self-attention and MLP, each on a normed input and added to the residual stream."""

    def __init__(self, config: DecoderOnlyConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.pre_self_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.self_attention = Attention(config, rngs)
        self.pre_mlp_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.mlp = MLP(config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs)
        if config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)

    def __call__(
        self, x_BTD: jax.Array, segments_BT: jax.Array, prefix_BT: jax.Array | None, bias: jax.Array | None, key: jax.Array | None
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Run whole rows; beside the output, return the keys and values."""
        (B, T, D), H = x_BTD.shape, self.config.num_heads
        keep_source, *keeps = dropout_masks(key, self.config.dropout_rate, B, [(T, H, 1), (1, D), (1, self.config.mlp_dim), (1, D)])
        if self.config.relpos_bias_per_layer:
            bias = self.relpos_bias(T)
        h_BTD = reshard(self.pre_self_attention_layer_norm(x_BTD), RESIDUAL, GATHERED)
        keys_values = self.self_attention.keys_values(h_BTD)
        seen = {'q_segments_BT': segments_BT, 'kv_segments_BS': segments_BT, 'kv_prefix_BS': prefix_BT, 'causal': True}
        h_BTD = self.self_attention(h_BTD, keys_values, keep_source, bias=bias, **seen)
        return self._add(x_BTD, h_BTD, keeps), keys_values

    def extend(self, x_BTD: jax.Array, parts: Callable[[tuple[jax.Array, jax.Array]], Sequence[KeysValues]]) -> jax.Array:
        """Run further positions of rows; `parts` adds to their own keys and values those that were kept."""
        h_BTD = reshard(self.pre_self_attention_layer_norm(x_BTD), RESIDUAL, GATHERED)
        return self._add(x_BTD, self.self_attention.over_parts(h_BTD, parts(self.self_attention.keys_values(h_BTD))), [None] * 3)

    def _add(self, x_BTD: jax.Array, attended_BTD: jax.Array, keeps: Sequence[jax.Array | None]) -> jax.Array:
        rate = self.config.dropout_rate
        x_BTD = x_BTD + dropout(reshard(attended_BTD, GATHERED, RESIDUAL), keeps[0], rate)
        h_BTD = self.mlp(reshard(self.pre_mlp_layer_norm(x_BTD), RESIDUAL, GATHERED), keeps[1])
        return x_BTD + dropout(reshard(h_BTD, GATHERED, RESIDUAL), keeps[2], rate)


class Decoder(nnx.Module):
    """Embeddings, a stack of layers with one relative position bias for all, a norm, and the logits where they are not tied."""

    def __init__(self, config: DecoderOnlyConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.token_embedder = Embedding(config.vocab_size, config.emb_dim, config.dtype, rngs, tied=config.logits_via_embedding)
        self.layers = stack(functools.partial(DecoderOnlyLayer, config), config.num_layers, rngs)
        self.decoder_norm = LayerNorm(config.emb_dim, config.dtype)
        if not config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)
        if not config.logits_via_embedding:
            self.logits_dense = Logits(config.emb_dim, config.vocab_size, rngs)

    def __call__(
        self, tokens_BT: jax.Array, segments_BT: jax.Array, prefix_BT: jax.Array | None, key: jax.Array | None = None
    ) -> jax.Array:
        """Compute logits_BTV of whole rows."""
        config, (B, _), D = self.config, tokens_BT.shape, self.config.emb_dim
        key, layer_keys = split_keys(key, config.num_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        x_BTD = constrain(dropout(self.token_embedder(tokens_BT), keep_in, config.dropout_rate), RESIDUAL)
        x_BTD, _ = self._run_layers(x_BTD, segments_BT, prefix_BT, layer_keys, keeps_keys=False)
        return self._logits(x_BTD, keep_out)

    def prefill(self, tokens_BS: jax.Array, segments_BS: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Compute the keys and values of inputs in all layers, key_LBSHK and value_LBSHK."""
        prefix_BS = segments_BS > 0 if self.config.prefix_lm else None
        return self._run_layers(self.token_embedder(tokens_BS), segments_BS, prefix_BS, None, keeps_keys=True)[1]

    def _run_layers(
        self, x_BTD: jax.Array, segments_BT: jax.Array, prefix_BT: jax.Array | None, layer_keys: jax.Array | None, *, keeps_keys: bool
    ) -> tuple[jax.Array, Any]:
        T, per_layer = x_BTD.shape[1], self.config.relpos_bias_per_layer
        bias = None if per_layer else prepare_bias(self.relpos_bias(T), T, self.config.attention)

        def step(layer: DecoderOnlyLayer, x_BTD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, Any]:
            x_BTD, keys_values = layer(x_BTD, segments_BT, prefix_BT, bias, key)
            return x_BTD, keys_values if keeps_keys else None

        return scan(step, self.layers, x_BTD, layer_keys, self.config.remat_policy)

    def extend(self, tokens_PT: jax.Array, segments_PT: jax.Array, prefix: Prefix, source_P: jax.Array) -> jax.Array:
        """Compute logits_PTV of rows that each go on after the prefix `source_P` says, whose last token is their first."""
        (P, T), S = tokens_PT.shape, prefix.segments_BS.shape[1]
        seen_PTS = jnp.broadcast_to((prefix.segments_BS[source_P] > 0)[:, None], (P, T, S))
        own_PTT = segment_mask(segments_PT, segments_PT, causal=True)
        shared_HTX = None if self.config.relpos_bias_per_layer else _bias_rows(self.relpos_bias(S + T), S, T)

        def step(layer: DecoderOnlyLayer, x_PTD: jax.Array, kept: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            bias_HTX = _bias_rows(layer.relpos_bias(S + T), S, T) if shared_HTX is None else shared_HTX

            def parts(own: tuple[jax.Array, jax.Array]) -> list[KeysValues]:
                source = KeysValues(kept[0][source_P], kept[1][source_P], seen_PTS, bias_HTX[:, :, :S])
                return [source, KeysValues(*own, own_PTT, bias_HTX[:, :, S:])]

            return layer.extend(x_PTD, parts), None

        x_PTD, _ = scan(step, self.layers, self.token_embedder(tokens_PT), (prefix.key_LBSHK, prefix.value_LBSHK))
        return self._logits(x_PTD)

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Compute logits_BV of the next position; the cache is carried whole, so that XLA updates it in place."""
        (B, T), S = cache.key_LBTHK.shape[1:3], cache.source_segments_BS.shape[1]
        source_B1S = (cache.source_segments_BS > 0)[:, None]
        seen_B1T = jnp.broadcast_to((jnp.arange(T) <= cache.index)[None, None], (B, 1, T))
        shared_H1X = None if self.config.relpos_bias_per_layer else _bias_rows(self.relpos_bias(S + T), S + cache.index, 1)

        def step(layer: DecoderOnlyLayer, carry: tuple[jax.Array, DecodingCache], x: Any) -> tuple[tuple[jax.Array, DecodingCache], None]:
            x_B1D, cache = carry
            layer_index, *kept = x
            bias_H1X = _bias_rows(layer.relpos_bias(S + T), S + cache.index, 1) if shared_H1X is None else shared_H1X

            def parts(own: tuple[jax.Array, jax.Array]) -> list[KeysValues]:
                nonlocal cache
                cache = cache.write(layer_index, *own)
                source = KeysValues(*kept, source_B1S, bias_H1X[:, :, :S])
                return [source, KeysValues(*cache.read(layer_index), seen_B1T, bias_H1X[:, :, S:])]

            return (layer.extend(x_B1D, parts), cache), None

        xs = (jnp.arange(self.config.num_layers), cache.source_key_LBSHK, cache.source_value_LBSHK)
        (x_B1D, cache), _ = scan(step, self.layers, (self.token_embedder(tokens_B[:, None]), cache), xs)
        return self._logits(x_B1D)[:, 0], cache._replace(index=cache.index + 1)

    def _logits(self, x_BTD: jax.Array, keep: jax.Array | None = None) -> jax.Array:
        x_BTD = reshard(dropout(self.decoder_norm(x_BTD), keep, self.config.dropout_rate), RESIDUAL, GATHERED)
        tied = self.config.logits_via_embedding
        logits_BTV = self.token_embedder.attend(x_BTD) if tied else self.logits_dense(x_BTD)
        return constrain(logits_BTV, ('batch', 'length', 'vocab'))


def _bias_rows(bias_HN: jax.Array, first: jax.Array | int, count: int) -> jax.Array:
    """Spread the bias of `count` query positions, from `first` on, on all key positions: bias_HTS, S = N / 2."""
    length = bias_HN.shape[1] // 2
    return spread_bias(jax.lax.dynamic_slice_in_dim(bias_HN, length - first - count, length + count, axis=1), count)


class DecoderOnly(nnx.Module):
    """A language model of inputs and targets end to end; called on a batch with SeqIO's keys it gives logits."""

    def __init__(self, config: DecoderOnlyConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.decoder = Decoder(config, rngs)

    def __call__(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32.

        Args:
            batch: `decoder_input_tokens`, `decoder_target_tokens`, for a prefix LM `decoder_causal_attention`, which is 1 at the positions
                that all of their example see, and for packed rows `decoder_segment_ids`; 0 pads.
            dropout_key: turns dropout on.
        """
        segments_BT = segments_of(batch['decoder_target_tokens'], batch.get('decoder_segment_ids'))
        prefix_BT = batch['decoder_causal_attention'] > 0 if self.config.prefix_lm else None
        return self.decoder(batch['decoder_input_tokens'], segments_BT, prefix_BT, dropout_key)

    def option_logits(self, inputs_BS: jax.Array, source_P: jax.Array, options_PT: jax.Array) -> jax.Array:
        """Compute logits_PTV at every token of options; see `models.Network`."""
        prefix = self._prefill(inputs_BS)
        tokens_PT = jnp.concatenate([prefix.last_B[source_P][:, None], options_PT[:, :-1]], axis=1)
        return self.decoder.extend(tokens_PT, segments_of(options_PT, None), prefix, source_P)

    def start_decoding(self, inputs_BS: jax.Array, max_length: int) -> DecodingCache:
        """Read inputs, one a row, and make the cache for up to `max_length` tokens after each."""
        prefix = self._prefill(inputs_BS)
        L, B, _, H, K = prefix.key_LBSHK.shape
        empty_LBTHK = jnp.zeros((L, B, max_length, H, K), prefix.key_LBSHK.dtype)
        return DecodingCache(jnp.int32(0), prefix.last_B, prefix.segments_BS, empty_LBTHK, empty_LBTHK, *prefix[2:])

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Feed the tokens of the next position (`cache.first_B` at the first) and compute logits_BV of the one after."""
        return self.decoder.decode_step(tokens_B, cache)

    def _prefill(self, inputs_BS: jax.Array) -> Prefix:
        """Read inputs moved to the end of their rows, behind the token 0 that begins each."""
        S = inputs_BS.shape[1]
        place_BX = jnp.arange(S + 1)[None] - (S - jnp.sum(inputs_BS > 0, axis=1, keepdims=True))
        begun_BX = jnp.pad(inputs_BS, ((0, 0), (1, 0)))
        tokens_BX = jnp.where(place_BX >= 0, jnp.take_along_axis(begun_BX, jnp.maximum(place_BX, 0), axis=1), 0)
        segments_BX = (place_BX >= 0).astype(jnp.int32)
        keys_values = self.decoder.prefill(tokens_BX, segments_BX)
        return Prefix(tokens_BX[:, -1], segments_BX[:, :-1], *(x[:, :, :-1] for x in keys_values))
