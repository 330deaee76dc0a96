"""A decoder-only T5, with the parameter names of t5x.examples.decoder_only: inputs and targets are one
sequence.

In a prefix LM the inputs see each other in both directions; in a causal LM every position sees earlier ones
only. In both, the network predicts the first target from the last input token.

Ranking and decoding read the inputs once: `Decoder.prefill` computes the keys and values of all inputs but
the last token, and options or decoded tokens attend to these (`Decoder.extend`, `Decoder.decode_step`).
Inputs are moved to the end of their rows first, so that the distance between an input and a later token does
not depend on the padding. In the names below X is the sequence of S inputs and T later tokens.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.limits import Count
from flanlite.mesh.activations import GATHERED, RESIDUAL, constrain, reshard
from flanlite.model.attention.attention import (
    DecodingCache,
    KeysValues,
    prepare_bias,
    segment_mask,
    segments_of,
)
from flanlite.model.attention.blocks import spread_bias
from flanlite.model.blocks import Attention
from flanlite.model.layers import (
    MLP,
    Embedding,
    LayerNorm,
    Logits,
    RelativePositionBias,
    attended_tokens,
    dropout,
    dropout_masks,
)
from flanlite.model.models import Batch, ModelConfig
from flanlite.model.stacks import scan, split_keys, stack

BEGIN = 2  # in `Prefix.segments_BS`, the token 0 that begins a sequence, where later tokens do not see it


@value
class DecoderOnlyConfig(ModelConfig):
    """Sizes and variants of a decoder-only model, under T5X's names (t5x.examples.decoder_only.network).

    Args:
        num_layers: number of layers.
        prefix_lm: whether inputs see each other in both directions; otherwise every position sees earlier
            ones only.
        relpos_bias_per_layer: a relative position bias for each layer instead of one for all.

    The other fields are those of every model; see `models.ModelConfig`.
    """

    converter: ClassVar[str] = 'prefix_lm'

    num_layers: Count = 12
    prefix_lm: bool = True
    relpos_bias_per_layer: bool = False

    def build(self, rngs: nnx.Rngs) -> 'DecoderOnly':
        """Make the network, with parameters drawn from `rngs`."""
        return DecoderOnly(self, rngs)

    def multiply_adds(self, inputs: int, targets: int) -> float:
        """Count the multiply-adds of a row's forward pass; see `models.ModelConfig.multiply_adds`."""
        D, J, T = self.emb_dim, self.num_heads * self.head_dim, inputs + targets
        layer = T * (4 * D * J + (len(self.mlp_activations) + 1) * D * self.mlp_dim) + 2 * T * T * J
        return self.num_layers * layer + T * D * self.vocab_size


class Prefix(NamedTuple):
    """Keys and values of inputs without their last tokens. The inputs of all rows end at position S - 1."""

    last_B: jax.Array  # the last tokens, which are fed first when options or decoded tokens follow
    segments_BS: jax.Array  # 1 for what later tokens see, 0 for the padding before it, or `BEGIN`
    key_LBSGK: jax.Array
    value_LBSGK: jax.Array


class DecoderOnlyLayer(nnx.Module):
    """A pre-norm layer: self-attention and MLP, each added to the residual stream."""

    def __init__(self, config: DecoderOnlyConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.pre_self_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.self_attention = Attention(config, rngs)
        self.pre_mlp_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.mlp = MLP(
            config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs
        )
        if config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)

    def __call__(
        self,
        x_BTD: jax.Array,
        segments_BT: jax.Array,
        prefix_BT: jax.Array | None,
        bias: jax.Array | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        """Compute the layer's output for whole rows.

        Args:
            x_BTD: the residual stream.
            segments_BT: segment of each position; 0 is padding.
            prefix_BT: True at positions that all of their segment see; None in a causal LM.
            bias: the stack's, from `prepare_bias`; None if each layer has its own.
            key: turns dropout on.

        Returns:
            x_BTD, and the keys and values of self-attention.
        """
        (B, T, D), H = x_BTD.shape, self.config.num_heads
        keep_source, *keeps = dropout_masks(
            key, self.config.dropout_rate, B, [(T, H, 1), (1, D), (1, self.config.mlp_dim), (1, D)]
        )
        if self.config.relpos_bias_per_layer:
            bias = self.relpos_bias(T)
        h_BTD = reshard(self.pre_self_attention_layer_norm(x_BTD), RESIDUAL, GATHERED)
        keys_values = self.self_attention.keys_values(h_BTD)
        seen = {
            'q_segments_BT': segments_BT,
            'kv_segments_BS': segments_BT,
            'kv_prefix_BS': prefix_BT,
            'causal': True,
        }
        queries = self.self_attention.queries(h_BTD)
        h_BTD = self.self_attention(queries, keys_values, keep_source, bias=bias, **seen)
        return self._add(x_BTD, h_BTD, keeps), keys_values

    def extend(
        self, x_BTD: jax.Array, parts: Callable[[tuple[jax.Array, jax.Array]], Sequence[KeysValues]]
    ) -> jax.Array:
        """Compute the layer's output at positions after a prefix.

        Args:
            x_BTD: the residual stream at these positions.
            parts: from the keys and values of these positions, all that they attend to, the prefix's
                included.
        """
        h_BTD = reshard(self.pre_self_attention_layer_norm(x_BTD), RESIDUAL, GATHERED)
        own = self.self_attention.keys_values(h_BTD)
        h_BTD = self.self_attention.over_parts(self.self_attention.queries(h_BTD), parts(own))
        return self._add(x_BTD, h_BTD, [None] * 3)

    def _add(self, x_BTD: jax.Array, attended_BTD: jax.Array, keeps: Sequence[jax.Array | None]) -> jax.Array:
        rate = self.config.dropout_rate
        x_BTD = x_BTD + dropout(reshard(attended_BTD, GATHERED, RESIDUAL), keeps[0], rate)
        h_BTD = self.mlp(reshard(self.pre_mlp_layer_norm(x_BTD), RESIDUAL, GATHERED), keeps[1])
        return x_BTD + dropout(reshard(h_BTD, GATHERED, RESIDUAL), keeps[2], rate)


class Decoder(nnx.Module):
    """Embeddings, a stack of layers, a norm, and the logits' kernel where it is not tied.

    The layers share one relative position bias unless each has its own.
    """

    sees_begin = True  # whether tokens see the token 0 that begins their sequence

    def __init__(self, config: DecoderOnlyConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        logits_dtype = 'float32' if config.logits_via_embedding else None
        self.token_embedder = Embedding(
            config.vocab_size, config.emb_dim, config.dtype, rngs, logits_dtype=logits_dtype
        )
        self.layers = stack(functools.partial(DecoderOnlyLayer, config), config.num_layers, rngs)
        self.decoder_norm = LayerNorm(config.emb_dim, config.dtype)
        if not config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)
        if not config.logits_via_embedding:
            self.logits_dense = Logits(config.emb_dim, config.vocab_size, 'float32', rngs)

    def __call__(
        self,
        tokens_BT: jax.Array,
        segments_BT: jax.Array,
        prefix_BT: jax.Array | None,
        inputs_BT: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Compute logits_BTV of whole rows.

        Args:
            tokens_BT: input tokens of the network, the targets moved on by one position.
            segments_BT: segment of each position; 0 is padding.
            prefix_BT: True at positions that all of their segment see; None in a causal LM.
            inputs_BT: at inputs the segment, 0 elsewhere.
            key: turns dropout on.
        """
        config, (B, _), D = self.config, tokens_BT.shape, self.config.emb_dim
        key, layer_keys = split_keys(key, config.num_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        x_BTD = self.token_embedder(tokens_BT, inputs_BT)
        x_BTD = constrain(dropout(x_BTD, keep_in, config.dropout_rate), RESIDUAL)
        with attended_tokens(self.token_embedder, tokens_BT):
            x_BTD, _ = self._run_layers(x_BTD, segments_BT, prefix_BT, layer_keys, keeps_keys=False)
        return self._logits(x_BTD, keep_out)

    def prefill(
        self, tokens_BS: jax.Array, segments_BS: jax.Array, inputs_BS: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Compute the keys and values of inputs in all layers: key_LBSGK and value_LBSGK. `inputs_BS` is 0 at
        padding and at the token 0 that begins a sequence.
        """
        prefix_BS = segments_BS > 0 if self.config.prefix_lm else None
        x_BSD = self.token_embedder(tokens_BS, inputs_BS)
        with attended_tokens(self.token_embedder, tokens_BS):
            return self._run_layers(x_BSD, segments_BS, prefix_BS, None, keeps_keys=True)[1]

    def _run_layers(
        self,
        x_BTD: jax.Array,
        segments_BT: jax.Array,
        prefix_BT: jax.Array | None,
        layer_keys: jax.Array | None,
        *,
        keeps_keys: bool,
    ) -> tuple[jax.Array, Any]:
        T, per_layer = x_BTD.shape[1], self.config.relpos_bias_per_layer
        bias = None if per_layer else prepare_bias(self.relpos_bias(T), T, self.config.attention)

        def step(layer: DecoderOnlyLayer, x_BTD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, Any]:
            x_BTD, keys_values = layer(x_BTD, segments_BT, prefix_BT, bias, key)
            return x_BTD, keys_values if keeps_keys else None

        return scan(step, self.layers, x_BTD, layer_keys, self.config.remat_policy)

    def extend(self, tokens_PT: jax.Array, prefix: Prefix, source_P: jax.Array) -> jax.Array:
        """Compute logits_PTV of token rows that continue prefixes.

        Args:
            tokens_PT: the first is the last token of the prefix; no token sees the padding behind it.
            prefix: from `prefill`, one row for each input.
            source_P: for each row of tokens the row of its prefix.
        """
        (P, T), S = tokens_PT.shape, prefix.segments_BS.shape[1]
        seen_PTS = jnp.broadcast_to((prefix.segments_BS[source_P] > 0)[:, None], (P, T, S))
        ones_PT = jnp.ones_like(tokens_PT)
        own_PTT = segment_mask(ones_PT, ones_PT, causal=True)
        shared_HTX = None if self.config.relpos_bias_per_layer else _bias_rows(self.relpos_bias(S + T), S, T)

        def step(
            layer: DecoderOnlyLayer, x_PTD: jax.Array, kept: tuple[jax.Array, jax.Array]
        ) -> tuple[jax.Array, None]:
            bias_HTX = _bias_rows(layer.relpos_bias(S + T), S, T) if shared_HTX is None else shared_HTX

            def parts(own: tuple[jax.Array, jax.Array]) -> list[KeysValues]:
                source = KeysValues(kept[0][source_P], kept[1][source_P], seen_PTS, bias_HTX[:, :, :S])
                return [source, KeysValues(*own, own_PTT, bias_HTX[:, :, S:])]

            return layer.extend(x_PTD, parts), None

        x_PTD, _ = scan(
            step,
            self.layers,
            self.token_embedder(tokens_PT),
            (prefix.key_LBSGK, prefix.value_LBSGK),
        )
        return self._logits(x_PTD)

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Compute logits_BV of the next position.

        The scan carries the cache of all layers, and does not slice it by layer: XLA then updates it in
        place.
        """
        (B, T), S = cache.key_LBTGK.shape[1:3], cache.source_segments_BS.shape[1]
        source_B1S = (cache.source_segments_BS > 0)[:, None]
        seen_B1T = jnp.broadcast_to((jnp.arange(T) <= cache.index)[None, None], (B, 1, T))
        shared_H1X = (
            None
            if self.config.relpos_bias_per_layer
            else _bias_rows(self.relpos_bias(S + T), S + cache.index, 1)
        )

        def step(
            layer: DecoderOnlyLayer, carry: tuple[jax.Array, DecodingCache], x: Any
        ) -> tuple[tuple[jax.Array, DecodingCache], None]:
            x_B1D, cache = carry
            layer_index, *kept = x
            bias_H1X = (
                _bias_rows(layer.relpos_bias(S + T), S + cache.index, 1) if shared_H1X is None else shared_H1X
            )

            def parts(own: tuple[jax.Array, jax.Array]) -> list[KeysValues]:
                nonlocal cache
                cache = cache.write(layer_index, *own)
                source = KeysValues(*kept, source_B1S, bias_H1X[:, :, :S])
                return [source, KeysValues(*cache.read(layer_index), seen_B1T, bias_H1X[:, :, S:])]

            return (layer.extend(x_B1D, parts), cache), None

        xs = (jnp.arange(self.config.num_layers), cache.source_key_LBSGK, cache.source_value_LBSGK)
        (x_B1D, cache), _ = scan(
            step,
            self.layers,
            (self.token_embedder(tokens_B[:, None]), cache),
            xs,
        )
        return self._logits(x_B1D)[:, 0], cache._replace(index=cache.index + 1)

    def _logits(self, x_BTD: jax.Array, keep: jax.Array | None = None) -> jax.Array:
        x_BTD = reshard(dropout(self.decoder_norm(x_BTD), keep, self.config.dropout_rate), RESIDUAL, GATHERED)
        tied = self.config.logits_via_embedding
        logits_BTV = self.token_embedder.attend(x_BTD) if tied else self.logits_dense(x_BTD)
        return constrain(logits_BTV, ('batch', 'length', 'vocab'))


def _bias_rows(bias_HN: jax.Array, first: jax.Array | int, count: int) -> jax.Array:
    """Compute bias_HTS of `count` query positions, beginning with `first`, and all N / 2 key positions.

    bias_HN holds the distances of N / 2 queries and as many keys. A query at position p uses the N / 2
    entries that begin with its distance to key 0, which stands at N / 2 - 1 - p. So the rows from `first` on
    need the window that begins N / 2 - first - count entries in.
    """
    length = bias_HN.shape[1] // 2
    return spread_bias(
        jax.lax.dynamic_slice_in_dim(bias_HN, length - first - count, length + count, axis=1), count
    )


def inputs_of(batch: Batch, segments_BT: jax.Array) -> jax.Array:
    """Return the segment of each position that has an input, 0 at others. Without
    `decoder_causal_attention` no position has one.
    """
    begins_BT = segments_BT != jnp.pad(segments_BT, ((0, 0), (1, 0)))[:, :-1]
    return jnp.where(begins_BT, 0, segments_BT * batch.get('decoder_causal_attention', 0))


class DecoderOnly(nnx.Module):
    """The network of a `DecoderOnlyConfig`; see `models.Network`."""

    def __init__(self, config: DecoderOnlyConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.decoder = Decoder(config, rngs)

    def __call__(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32.

        Args:
            batch: `decoder_input_tokens`, `decoder_target_tokens`, for a prefix LM
                `decoder_causal_attention`, which is 1 at positions that their whole example sees, and
                `decoder_segment_ids`, which are 0 for padding, all [rows, length]; for `segments_of` a batch
                without ids is padded by the token 0.
            dropout_key: turns dropout on.
        """
        segments_BT = segments_of(batch['decoder_target_tokens'], batch.get('decoder_segment_ids'))
        prefix_BT = batch['decoder_causal_attention'] > 0 if self.config.prefix_lm else None
        inputs_BT = inputs_of(batch, segments_BT)
        return self.decoder(batch['decoder_input_tokens'], segments_BT, prefix_BT, inputs_BT, dropout_key)

    def option_logits(
        self,
        inputs_BS: jax.Array,
        lengths_B: jax.Array,
        source_P: jax.Array,
        options_PT: jax.Array,
        segments_PT: jax.Array | None = None,
    ) -> jax.Array:
        """Compute logits_PTV at every token of options, one a row; see `models.Network.option_logits`."""
        assert segments_PT is None
        prefix = self._prefill(inputs_BS, lengths_B)
        tokens_PT = jnp.concatenate([prefix.last_B[source_P][:, None], options_PT[:, :-1]], axis=1)
        return self.decoder.extend(tokens_PT, prefix, source_P)

    def start_decoding(self, inputs_BS: jax.Array, lengths_B: jax.Array, max_length: int) -> DecodingCache:
        """Read inputs_BS and make the cache for `max_length` tokens after each; see
        `models.Network.start_decoding`.
        """
        prefix = self._prefill(inputs_BS, lengths_B)
        L, B, _, G, K = prefix.key_LBSGK.shape
        empty_LBTGK = jnp.zeros((L, B, max_length, G, K), prefix.key_LBSGK.dtype)
        return DecodingCache(
            jnp.int32(0), prefix.last_B, prefix.segments_BS, empty_LBTGK, empty_LBTGK, *prefix[2:]
        )

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Feed one token a row and compute logits_BV of the position after it; see
        `models.Network.decode_step`.
        """
        return self.decoder.decode_step(tokens_B, cache)

    def _prefill(self, inputs_BS: jax.Array, lengths_B: jax.Array) -> Prefix:
        """Compute the prefixes of inputs: each is the token 0, which begins every sequence, and the input,
        moved to the end of the row.
        """
        S = inputs_BS.shape[1]  # X is S + 1 here
        place_BX = jnp.arange(S + 1)[None] - (S - lengths_B[:, None])
        begun_BX = jnp.pad(inputs_BS, ((0, 0), (1, 0)))
        tokens_BX = jnp.where(
            place_BX >= 0, jnp.take_along_axis(begun_BX, jnp.maximum(place_BX, 0), axis=1), 0
        )
        segments_BX = (place_BX >= 0).astype(jnp.int32)
        if not self.decoder.sees_begin:
            segments_BX = jnp.where(place_BX == 0, BEGIN, segments_BX)
        keys_values = self.decoder.prefill(tokens_BX, segments_BX, (place_BX > 0).astype(jnp.int32))
        return Prefix(tokens_BX[:, -1], segments_BX[:, :-1], *(x[:, :, :-1] for x in keys_values))
