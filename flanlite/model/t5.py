"""T5 1.0 and 1.1 in Flax NNX, an encoder-decoder with T5X's parameter names (t5x.examples.t5.network).

Layers are stacked on axis 0 and scanned (see `stacks`). Each block of a layer gathers its input and scatters
its output (see `mesh.activations`).
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.limits import Count
from flanlite.mesh.activations import GATHERED, RESIDUAL, broadcast_over_model, constrain, reshard
from flanlite.model.attention.attention import DecodingCache, prepare_bias, segments_of, segments_within
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


@value
class T5Config(ModelConfig):
    """Sizes and variants of a T5, under T5X's names (t5x.examples.t5.network.T5Config).

    Args:
        num_encoder_layers: number of encoder layers.
        num_decoder_layers: number of decoder layers.
        relpos_bias_per_layer: a relative position bias for each layer (scalable_t5) instead of one a stack
            (T5).

    The other fields are those of every model; see `models.ModelConfig`.
    """

    converter: ClassVar[str] = 'encoder_decoder'
    packs_options: ClassVar[bool] = True

    num_encoder_layers: Count = 12
    num_decoder_layers: Count = 12
    relpos_bias_per_layer: bool = False

    def build(self, rngs: nnx.Rngs) -> 'T5':
        """Make the network, with parameters drawn from `rngs`."""
        return T5(self, rngs)

    def multiply_adds(self, inputs: int, targets: int) -> float:
        """Count the multiply-adds of a row's forward pass; see `models.ModelConfig.multiply_adds`."""
        D, J = self.emb_dim, self.num_heads * self.head_dim
        projection = D * J
        mlp = (len(self.mlp_activations) + 1) * D * self.mlp_dim

        encoder_layer = inputs * (4 * projection + mlp) + 2 * inputs * inputs * J
        self_attention = targets * 4 * projection + 2 * targets * targets * J
        cross_attention = (targets + inputs) * 2 * projection + 2 * targets * inputs * J
        decoder_layer = self_attention + cross_attention + targets * mlp
        logits = targets * D * self.vocab_size
        return self.num_encoder_layers * encoder_layer + self.num_decoder_layers * decoder_layer + logits


class EncoderLayer(nnx.Module):
    """A pre-norm layer: self-attention and MLP, each added to the residual stream."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.pre_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.attention = Attention(config, rngs)
        self.pre_mlp_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.mlp = MLP(
            config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs
        )
        if config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=True)

    def __call__(
        self, x_BSD: jax.Array, segments_BS: jax.Array, bias: jax.Array | None, key: jax.Array | None
    ) -> jax.Array:
        """Compute the layer's output from the residual stream.

        Args:
            x_BSD: the residual stream.
            segments_BS: segment of each position; 0 is padding.
            bias: the stack's, from `prepare_bias`; None if each layer has its own.
            key: turns dropout on.
        """
        config, rate = self.config, self.config.dropout_rate
        B, S, D = x_BSD.shape
        shapes = [(S, config.num_heads, 1), (1, D), (1, config.mlp_dim), (1, D)]
        keep_source, keep_attended, keep_mlp, keep_out = dropout_masks(key, rate, B, shapes)
        if config.relpos_bias_per_layer:
            bias = self.relpos_bias(S)

        h_BSD = reshard(self.pre_attention_layer_norm(x_BSD), RESIDUAL, GATHERED)
        segments = {'q_segments_BT': segments_BS, 'kv_segments_BS': segments_BS}
        queries, keys_values = self.attention.queries(h_BSD), self.attention.keys_values(h_BSD)
        h_BSD = self.attention(queries, keys_values, keep_source, **segments, bias=bias)
        x_BSD = x_BSD + dropout(reshard(h_BSD, GATHERED, RESIDUAL), keep_attended, rate)

        h_BSD = self.mlp(reshard(self.pre_mlp_layer_norm(x_BSD), RESIDUAL, GATHERED), keep_mlp)
        return x_BSD + dropout(reshard(h_BSD, GATHERED, RESIDUAL), keep_out, rate)


class DecoderLayer(nnx.Module):
    """A pre-norm layer: causal self-attention, attention to the encoded source, and MLP; `decode_step` runs a
    single position.
    """

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.pre_self_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.self_attention = Attention(config, rngs)
        self.pre_cross_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.encoder_decoder_attention = Attention(config, rngs, saves_source=False)
        self.pre_mlp_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.mlp = MLP(
            config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs
        )
        if config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)

    def __call__(
        self,
        x_BTD: jax.Array,
        encoded: jax.Array,
        segments_BT: jax.Array,
        encoder_segments_BS: jax.Array,
        bias: jax.Array | None,
        key: jax.Array | None,
        read_segments_BT: jax.Array,
    ) -> jax.Array:
        """Compute the layer's output from the residual stream.

        Args:
            x_BTD: the residual stream.
            encoded: the encoder's output, x_BSD, or x_MBSD where `broadcast_over_model` made copies.
            segments_BT: segment of each target position; 0 is padding.
            encoder_segments_BS: segment of each source position; 0 is padding.
            bias: of self-attention, from `prepare_bias`; None if each layer has its own.
            key: turns dropout on.
            read_segments_BT: the segment of the source that each target position reads.
        """
        (B, T, D), S, H = x_BTD.shape, encoder_segments_BS.shape[1], self.config.num_heads
        shapes = [(T, H, 1), (S, H, 1), (1, D), (1, D), (1, self.config.mlp_dim), (1, D)]
        keep_target, keep_source, *keeps = dropout_masks(key, self.config.dropout_rate, B, shapes)
        if self.config.relpos_bias_per_layer:
            bias = self.relpos_bias(T)

        def attend_self(h_BTD: jax.Array) -> jax.Array:
            segments = {'q_segments_BT': segments_BT, 'kv_segments_BS': segments_BT}
            keys_values = self.self_attention.keys_values(h_BTD)
            queries = self.self_attention.queries(h_BTD)
            return self.self_attention(queries, keys_values, keep_target, **segments, bias=bias, causal=True)

        def attend_source(h_BTD: jax.Array) -> jax.Array:
            segments = {'q_segments_BT': read_segments_BT, 'kv_segments_BS': encoder_segments_BS}
            keys_values = self.encoder_decoder_attention.keys_values(encoded)
            queries = self.encoder_decoder_attention.queries(h_BTD)
            return self.encoder_decoder_attention(queries, keys_values, keep_source, **segments)

        return self._sublayers(x_BTD, attend_self, attend_source, keeps)

    def decode_step(
        self,
        x_B1D: jax.Array,
        cache: DecodingCache,
        layer_index: jax.Array,
        source: tuple[jax.Array, jax.Array],
        bias_HTT: jax.Array | None,
    ) -> tuple[jax.Array, DecodingCache]:
        """Compute the layer's output at one position.

        Args:
            x_B1D: the residual stream at the position.
            cache: keys and values of all layers; those of this position are written to it.
            layer_index: this layer's place in the stack.
            source: keys and values of the source in this layer.
            bias_HTT: of self-attention for all positions; None if each layer has its own.
        """
        B, T = cache.key_LBTGK.shape[1:3]
        if self.config.relpos_bias_per_layer:
            bias_HTT = spread_bias(self.relpos_bias(T), T)
        ones_B1 = jnp.ones((B, 1), jnp.int32)
        seen_BT = jnp.broadcast_to((jnp.arange(T) <= cache.index)[None], (B, T)).astype(jnp.int32)
        bias_H1T = jax.lax.dynamic_slice_in_dim(bias_HTT, cache.index, 1, axis=1)

        def attend_self(h_B1D: jax.Array) -> jax.Array:
            nonlocal cache
            cache = cache.write(layer_index, *self.self_attention.keys_values(h_B1D))
            return self.self_attention(
                self.self_attention.queries(h_B1D),
                cache.read(layer_index),
                q_segments_BT=ones_B1,
                kv_segments_BS=seen_BT,
                bias=bias_H1T,
            )

        def attend_source(h_B1D: jax.Array) -> jax.Array:
            return self.encoder_decoder_attention(
                self.encoder_decoder_attention.queries(h_B1D),
                source,
                q_segments_BT=ones_B1,
                kv_segments_BS=cache.source_segments_BS,
            )

        x_B1D = self._sublayers(x_B1D, attend_self, attend_source, [None] * 4)
        return x_B1D, cache

    def _sublayers(
        self,
        x_BTD: jax.Array,
        attend_self: Callable,
        attend_source: Callable,
        keeps: Sequence[jax.Array | None],
    ) -> jax.Array:
        rate = self.config.dropout_rate
        h_BTD = attend_self(reshard(self.pre_self_attention_layer_norm(x_BTD), RESIDUAL, GATHERED))
        x_BTD = x_BTD + dropout(reshard(h_BTD, GATHERED, RESIDUAL), keeps[0], rate)
        h_BTD = attend_source(reshard(self.pre_cross_attention_layer_norm(x_BTD), RESIDUAL, GATHERED))
        x_BTD = x_BTD + dropout(reshard(h_BTD, GATHERED, RESIDUAL), keeps[1], rate)
        h_BTD = self.mlp(reshard(self.pre_mlp_layer_norm(x_BTD), RESIDUAL, GATHERED), keeps[2])
        return x_BTD + dropout(reshard(h_BTD, GATHERED, RESIDUAL), keeps[3], rate)


class Encoder(nnx.Module):
    """A stack of encoder layers and a norm; the layers share one relative position bias unless each has its
    own.
    """

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.layers = stack(functools.partial(EncoderLayer, config), config.num_encoder_layers, rngs)
        self.encoder_norm = LayerNorm(config.emb_dim, config.dtype)
        if not config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=True)

    def __call__(self, x_BSD: jax.Array, segments_BS: jax.Array, key: jax.Array | None = None) -> jax.Array:
        """Compute the normed output, encoded_BSD, of embedded tokens.

        Args:
            x_BSD: embedded input tokens.
            segments_BS: segment of each position; 0 is padding.
            key: turns dropout on.
        """
        config = self.config
        B, S, D = x_BSD.shape
        key, layer_keys = split_keys(key, config.num_encoder_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        bias = (
            None if config.relpos_bias_per_layer else prepare_bias(self.relpos_bias(S), S, config.attention)
        )

        def step(layer: EncoderLayer, x_BSD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, None]:
            return layer(x_BSD, segments_BS, bias, key), None

        x_BSD = constrain(dropout(x_BSD, keep_in, config.dropout_rate), RESIDUAL)
        x_BSD, _ = scan(step, self.layers, x_BSD, layer_keys, config.remat_policy)
        return reshard(dropout(self.encoder_norm(x_BSD), keep_out, config.dropout_rate), RESIDUAL, GATHERED)


class Decoder(nnx.Module):
    """A stack of decoder layers, a norm, and the logits' kernel where it is not tied; the bias is shared as
    in `Encoder`.
    """

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.layers = stack(functools.partial(DecoderLayer, config), config.num_decoder_layers, rngs)
        self.decoder_norm = LayerNorm(config.emb_dim, config.dtype)
        if not config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)
        if not config.logits_via_embedding:
            self.logits_dense = Logits(config.emb_dim, config.vocab_size, 'float32', rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        encoded_BSD: jax.Array,
        segments_BT: jax.Array,
        encoder_segments_BS: jax.Array,
        key: jax.Array | None = None,
        read_segments_BT: jax.Array | None = None,
    ) -> jax.Array:
        """Compute the normed output, x_BTD, of embedded tokens.

        Args:
            x_BTD: embedded target tokens.
            encoded_BSD: the encoder's output.
            segments_BT: segment of each target position; 0 is padding.
            encoder_segments_BS: segment of each source position; 0 is padding.
            key: turns dropout on.
            read_segments_BT: the segment of the source that each target position reads; by default its own.
        """
        reads_BT = segments_BT if read_segments_BT is None else read_segments_BT
        config = self.config
        B, T, D = x_BTD.shape
        key, layer_keys = split_keys(key, config.num_decoder_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        bias = (
            None if config.relpos_bias_per_layer else prepare_bias(self.relpos_bias(T), T, config.attention)
        )

        def step(layer: DecoderLayer, x_BTD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, None]:
            return layer(x_BTD, encoded, segments_BT, encoder_segments_BS, bias, key, reads_BT), None

        encoded = broadcast_over_model(encoded_BSD, config.num_heads * config.head_dim)
        x_BTD = constrain(dropout(x_BTD, keep_in, config.dropout_rate), RESIDUAL)
        x_BTD, _ = scan(step, self.layers, x_BTD, layer_keys, config.remat_policy)
        return reshard(dropout(self.decoder_norm(x_BTD), keep_out, config.dropout_rate), RESIDUAL, GATHERED)

    def start_decoding(
        self, encoded_BSD: jax.Array, source_segments_BS: jax.Array, max_length: int
    ) -> DecodingCache:
        """Compute the source's keys and values in all layers, and make a cache for decoding.

        Args:
            encoded_BSD: the encoder's output.
            source_segments_BS: segment of each source position; 0 is padding.
            max_length: number of target positions that the cache has room for.
        """

        def step(layer: DecoderLayer, carry: None, x: None) -> tuple[None, tuple[jax.Array, jax.Array]]:
            return None, layer.encoder_decoder_attention.keys_values(encoded_BSD)

        _, (source_key_LBSGK, source_value_LBSGK) = scan(step, self.layers, None, None)
        L, B, _, H, K = source_key_LBSGK.shape
        empty_LBTGK = jnp.zeros((L, B, max_length, H, K), source_key_LBSGK.dtype)
        first_B = jnp.zeros(B, jnp.int32)
        return DecodingCache(
            jnp.int32(0),
            first_B,
            source_segments_BS,
            empty_LBTGK,
            empty_LBTGK,
            source_key_LBSGK,
            source_value_LBSGK,
        )

    def decode_step(self, x_B1D: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Run the next position through all layers.

        The scan carries the cache of all layers, and does not slice it by layer: XLA then updates it in
        place.
        """
        T = cache.key_LBTGK.shape[2]
        bias_HTT = None if self.config.relpos_bias_per_layer else spread_bias(self.relpos_bias(T), T)

        def step(
            layer: DecoderLayer, carry: tuple[jax.Array, DecodingCache], x: Any
        ) -> tuple[tuple[jax.Array, DecodingCache], None]:
            layer_index, *source = x
            x_B1D, running = layer.decode_step(carry[0], carry[1], layer_index, tuple(source), bias_HTT)
            return (x_B1D, running), None

        xs = (jnp.arange(self.config.num_decoder_layers), cache.source_key_LBSGK, cache.source_value_LBSGK)
        (x_B1D, cache), _ = scan(step, self.layers, (x_B1D, cache), xs)
        return self.decoder_norm(x_B1D), cache._replace(index=cache.index + 1)


class T5(nnx.Module):
    """The encoder-decoder network of a `T5Config`; see `models.Network`."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        logits_dtype = 'float32' if config.logits_via_embedding else None
        self.token_embedder = Embedding(
            config.vocab_size, config.emb_dim, config.dtype, rngs, logits_dtype=logits_dtype
        )
        self.encoder = Encoder(config, rngs)
        self.decoder = Decoder(config, rngs)

    def __call__(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32.

        Args:
            batch: `encoder_input_tokens`, `decoder_input_tokens`, `decoder_target_tokens`, and
                `encoder_segment_ids` and `decoder_segment_ids`, which are 0 for padding, all [rows, length];
                for `segments_of` a batch without ids is padded by the token 0. T5 needs no positions, since
                its biases are relative.
            dropout_key: turns dropout on.
        """
        encoder_key, decoder_key = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        return self.decode(self.encode(batch, encoder_key), batch, decoder_key)

    def encode(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute encoded_BSD of `encoder_input_tokens`."""
        segments_BS = segments_of(batch['encoder_input_tokens'], batch.get('encoder_segment_ids'))
        x_BSD = self.token_embedder(batch['encoder_input_tokens'], segments_BS)
        with self._attends(batch['encoder_input_tokens']):
            return self.encoder(x_BSD, segments_BS, dropout_key)

    def decode(
        self,
        encoded_BSD: jax.Array,
        batch: Batch,
        dropout_key: jax.Array | None = None,
        read_segments_BT: jax.Array | None = None,
    ) -> jax.Array:
        """Compute logits_BTV in float32 at every target position, each given the encoded inputs and the
        targets before it.

        Args:
            encoded_BSD: from `encode`.
            batch: as for a call.
            dropout_key: turns dropout on.
            read_segments_BT: see `Decoder`.
        """
        segments_BT = segments_of(batch['decoder_target_tokens'], batch.get('decoder_segment_ids'))
        source_segments_BS = segments_of(batch['encoder_input_tokens'], batch.get('encoder_segment_ids'))
        x_BTD = self.token_embedder(batch['decoder_input_tokens'])
        with self._attends(batch['encoder_input_tokens']):
            x_BTD = self.decoder(
                x_BTD, encoded_BSD, segments_BT, source_segments_BS, dropout_key, read_segments_BT
            )
        return self._logits(x_BTD)

    def option_logits(
        self,
        inputs_BS: jax.Array,
        lengths_B: jax.Array,
        source_P: jax.Array,
        options_PT: jax.Array,
        segments_PT: jax.Array | None = None,
    ) -> jax.Array:
        """Compute logits_PTV at every token of options; see `models.Network.option_logits`."""
        segments_BS = segments_within(lengths_B, inputs_BS.shape[1])
        inputs = {'encoder_input_tokens': inputs_BS, 'encoder_segment_ids': segments_BS}
        before_PT = jnp.pad(options_PT, ((0, 0), (1, 0)))[:, :-1]
        # No token sees the padding behind it.
        ones_PT = jnp.ones_like(options_PT)
        if segments_PT is None:
            own, reads = ones_PT, {}
        else:
            first_PT = segments_PT != jnp.pad(segments_PT, ((0, 0), (1, 0)))[:, :-1]
            before_PT, own, reads = (
                jnp.where(first_PT, 0, before_PT),
                segments_PT,
                {'read_segments_BT': ones_PT},
            )
        rows = {name: array[source_P] for name, array in inputs.items()} | {
            'decoder_input_tokens': before_PT,
            'decoder_target_tokens': options_PT,
            'decoder_segment_ids': own,
        }
        return self.decode(self.encode(inputs)[source_P], rows, **reads)

    def start_decoding(self, inputs_BS: jax.Array, lengths_B: jax.Array, max_length: int) -> DecodingCache:
        """Encode inputs_BS and make the cache for `max_length` target positions; see
        `models.Network.start_decoding`.
        """
        segments_BS = segments_within(lengths_B, inputs_BS.shape[1])
        encoded_BSD = self.encode({'encoder_input_tokens': inputs_BS, 'encoder_segment_ids': segments_BS})
        with self._attends(inputs_BS):
            return self.decoder.start_decoding(encoded_BSD, segments_BS, max_length)

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Feed one token a row and compute logits_BV of the position after it; see
        `models.Network.decode_step`.
        """
        x_B1D, cache = self.decoder.decode_step(self.token_embedder(tokens_B[:, None]), cache)
        return self._logits(x_B1D)[:, 0], cache

    def _attends(self, inputs_BS: jax.Array) -> AbstractContextManager[None]:
        return attended_tokens(self.token_embedder, inputs_BS)

    def _logits(self, x_BTD: jax.Array) -> jax.Array:
        tied = self.config.logits_via_embedding
        logits_BTV = self.token_embedder.attend(x_BTD) if tied else self.decoder.logits_dense(x_BTD)
        return constrain(logits_BTV, ('batch', 'length', 'vocab'))
