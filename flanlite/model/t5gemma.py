"""T5Gemma (Zhang et al. 2025, arXiv:2504.06225) and T5Gemma 2 (arXiv:2512.14856), of text: encoder-decoders
made of the layers of Gemma 2 and of Gemma 3.

What transformers' modeling_t5gemma.py and modeling_t5gemma2.py say beyond the papers:

    The decoder's input begins with <bos>, not with padding.
    A window of w in the encoder: T5Gemma sees w positions on each side, T5Gemma 2 (w - 1) // 2 before and
    w // 2 after. In the decoder both see w positions, the query's own counted, and the whole source.
    T5Gemma attends to the source without positions, in a sublayer that is normed as the others.
    T5Gemma 2 makes keys and values of the source with the kernels and norms of self-attention, turns only the
    decoder's own keys, and takes one softmax over both.
    T5Gemma has two embeddings, T5Gemma 2 has one. Both give the logits from the decoder's.
"""

import dataclasses
import functools
from contextlib import AbstractContextManager
from typing import Annotated, Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.limits import Whole, whole
from flanlite.mesh.activations import GATHERED, RESIDUAL, broadcast_over_model, constrain, reshard
from flanlite.model.attention.attention import DecodingCache, KeysValues, segments_of
from flanlite.model.layers import Embedding, Logits, attended_tokens, dropout, dropout_masks
from flanlite.model.models import Batch
from flanlite.model.rotary import LayerKinds, RotaryConfig, RotaryLayer, logits_of, rotate
from flanlite.model.stacks import scan, split_keys, stack
from flanlite.model.t5 import T5


@value
class T5GemmaConfig(RotaryConfig):
    """Sizes and variants of a T5Gemma; those of a stack are the decoder's.

    Args:
        version: 1, T5Gemma: a sublayer of its own attends to the source, and the stacks have embeddings of
            their own. 2, T5Gemma 2: merged attention, and one embedding.
        encoder: the encoder's sizes and variants; by default the decoder's. Its vocab_size, dtype,
            remat_policy, attention and dropout_rate are the decoder's in any case.
        begin_id: the token that begins the decoder's input, <bos>.

    The other fields are those of `rotary.RotaryConfig` and `models.ModelConfig`.
    """

    converter: ClassVar[str] = 'encoder_decoder'

    version: Annotated[int, whole(1, 2)] = 2
    encoder: RotaryConfig | None = None
    begin_id: Whole = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.begin_id >= self.vocab_size:
            raise ValueError(
                f'T5GemmaConfig.begin_id is {self.begin_id}; expected an id below vocab_size, '
                f'{self.vocab_size}'
            )
        if self.version == 2 and self.encoder_stack.emb_dim != self.emb_dim:
            raise ValueError(
                f'T5GemmaConfig.encoder.emb_dim is {self.encoder_stack.emb_dim} and emb_dim {self.emb_dim}; '
                'expected one width in version 2, whose attention is merged'
            )

    @property
    def encoder_stack(self) -> RotaryConfig:
        """The encoder's config, with what it shares with the decoder."""
        shared = ('vocab_size', 'dtype', 'remat_policy', 'attention', 'dropout_rate')
        if self.encoder is None:
            return self
        return dataclasses.replace(self.encoder, **{name: getattr(self, name) for name in shared})

    @property
    def head_counts(self) -> tuple[int, ...]:
        """See `models.ModelConfig`."""
        return self.encoder_stack.num_heads, self.num_heads

    def build(self, rngs: nnx.Rngs) -> 'T5Gemma':
        """Make the network, with parameters drawn from `rngs`."""
        return T5Gemma(self, rngs)

    def multiply_adds(self, inputs: int, targets: int) -> float:
        """Count the multiply-adds of a row's forward pass; see `models.ModelConfig.multiply_adds`."""
        encoder = self.encoder_stack
        D, J, kv_J = self.emb_dim, self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        source = 2 * inputs * encoder.emb_dim * kv_J + 2 * targets * inputs * J
        if self.version == 1:
            source += 2 * targets * D * J
        encoded = encoder.num_layers * encoder.layer_multiply_adds(inputs, inputs)
        decoded = self.num_layers * (self.layer_multiply_adds(targets, targets) + source)
        return encoded + decoded + targets * D * self.vocab_size


class Encoder(nnx.Module):
    """A stack of layers that see both ways, and a norm.

    Args:
        config: the encoder's own.
        version: of T5Gemma, which says how far a window reaches.
        rngs: source of the parameters' first values.
    """

    def __init__(self, config: RotaryConfig, version: int, rngs: nnx.Rngs) -> None:
        self.config, self.version = config, version
        self.layers = stack(functools.partial(RotaryLayer, config), config.num_layers, rngs)
        self.encoder_norm = config.norm()

    def __call__(
        self, x_BSD: jax.Array, segments_BS: jax.Array, positions: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """Compute the normed output, encoded_BSD, of embedded tokens.

        Args:
            x_BSD: embedded input tokens.
            segments_BS: segment of each position; 0 is padding.
            positions: int[S] or int[B, S], of tokens in their segments.
            key: turns dropout on.
        """
        config, (B, _, D) = self.config, x_BSD.shape
        key, layer_keys = split_keys(key, config.num_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        kinds = (
            LayerKinds(config, positions, back=lambda w: w, ahead=lambda w: w)
            if self.version == 1
            else LayerKinds(config, positions, back=lambda w: (w - 1) // 2, ahead=lambda w: w // 2)
        )

        def step(layer: RotaryLayer, x_BSD: jax.Array, x: Any) -> tuple[jax.Array, None]:
            key, kind = x
            rotation, window = kinds.of(kind)

            def attend(h_BSD: jax.Array) -> jax.Array:
                segments = {'q_segments_BT': segments_BS, 'kv_segments_BS': segments_BS}
                keys_values = layer.self_attention.keys_values(h_BSD, rotation)
                queries = layer.self_attention.queries(h_BSD, rotation)
                return layer.self_attention(queries, keys_values, window=window, **segments)

            return layer(x_BSD, attend, key=key), None

        x_BSD = constrain(dropout(x_BSD, keep_in, config.dropout_rate), RESIDUAL)
        x_BSD, _ = scan(step, self.layers, x_BSD, (layer_keys, kinds.xs), config.remat_policy)
        return reshard(dropout(self.encoder_norm(x_BSD), keep_out, config.dropout_rate), RESIDUAL, GATHERED)


class Decoder(nnx.Module):
    """A stack of layers that see earlier targets and the encoded source, and a norm; and the logits' kernel,
    where it is not tied.
    """

    def __init__(self, config: T5GemmaConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        source_dim = config.encoder_stack.emb_dim if config.version == 1 else None
        make = functools.partial(RotaryLayer, config, source_dim=source_dim)
        self.layers = stack(make, config.num_layers, rngs)
        self.decoder_norm = config.norm()
        self.logits_dense = (
            None
            if config.logits_via_embedding
            else Logits(config.emb_dim, config.vocab_size, config.dtype, rngs)
        )

    def __call__(
        self,
        x_BTD: jax.Array,
        encoded_BSD: jax.Array,
        segments_BT: jax.Array,
        source_segments_BS: jax.Array,
        positions: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Compute the normed output, x_BTD, of embedded tokens.

        Args:
            x_BTD: embedded target tokens.
            encoded_BSD: the encoder's output.
            segments_BT: segment of each target position; 0 is padding.
            source_segments_BS: segment of each source position; 0 is padding.
            positions: int[T] or int[B, T], of target tokens in their segments.
            key: turns dropout on.
        """
        config, (B, T, D) = self.config, x_BTD.shape
        key, layer_keys = split_keys(key, config.num_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        kinds, merged = LayerKinds(config, positions), config.version == 2
        copied = functools.partial(broadcast_over_model, columns=config.num_kv_heads * config.head_dim)
        encoded = copied(encoded_BSD)
        own = {'q_segments_BT': segments_BT, 'kv_segments_BS': segments_BT, 'causal': True}

        def step(layer: RotaryLayer, x_BTD: jax.Array, x: Any) -> tuple[jax.Array, None]:
            key, kind = x
            rotation, window = kinds.of(kind)

            def attend_self(h_BTD: jax.Array) -> jax.Array:
                attention = layer.self_attention
                queries = attention.queries(h_BTD, rotation)
                if not merged:
                    return attention(queries, attention.keys_values(h_BTD, rotation), window=window, **own)
                # One product for both, since `stacks.scan` rounds the gradient of each use of a kernel. Both
                # as copies, else XLA would sum the gradient of both on all devices of `model` in every layer.
                k, v = attention.keys_values(jnp.concatenate([copied(h_BTD), encoded], axis=-2))
                source = (k[:, T:], v[:, T:], source_segments_BS)
                return attention(
                    queries, (rotate(k[:, :T], rotation), v[:, :T]), window=window, source=source, **own
                )

            def attend_source(h_BTD: jax.Array) -> jax.Array:
                attention = layer.encoder_decoder_attention
                segments = {'q_segments_BT': segments_BT, 'kv_segments_BS': source_segments_BS}
                return attention(attention.queries(h_BTD), attention.keys_values(encoded), **segments)

            return layer(x_BTD, attend_self, None if merged else attend_source, key), None

        x_BTD = constrain(dropout(x_BTD, keep_in, config.dropout_rate), RESIDUAL)
        x_BTD, _ = scan(step, self.layers, x_BTD, (layer_keys, kinds.xs), config.remat_policy)
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
        name = 'encoder_decoder_attention' if self.config.version == 1 else 'self_attention'

        def step(layer: RotaryLayer, carry: None, x: None) -> tuple[None, tuple[jax.Array, jax.Array]]:
            return None, getattr(layer, name).keys_values(encoded_BSD)

        _, source = scan(step, self.layers, None, None)
        L, B, _, G, K = source[0].shape
        empty_LBTGK = jnp.zeros((L, B, max_length, G, K), source[0].dtype)
        begin_B = jnp.full(B, self.config.begin_id, jnp.int32)
        return DecodingCache(jnp.int32(0), begin_B, source_segments_BS, empty_LBTGK, empty_LBTGK, *source)

    def decode_step(self, x_B1D: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Run the next position through all layers.

        The scan carries the cache of all layers, and does not slice it by layer: XLA then updates it in
        place.
        """
        index, place_T = cache.index, jnp.arange(cache.key_LBTGK.shape[2])
        seen_11T = (place_T <= index)[None, None]
        source_B1S = (cache.source_segments_BS > 0)[:, None]
        kinds, merged = LayerKinds(self.config, index[None]), self.config.version == 2

        def step(
            layer: RotaryLayer, carry: tuple[jax.Array, DecodingCache], x: Any
        ) -> tuple[tuple[jax.Array, DecodingCache], None]:
            x_B1D, cache = carry
            layer_index, source_key, source_value, kind = x
            rotation, window = kinds.of(kind)
            near_11T = seen_11T if window is None else seen_11T & (index - place_T <= window[0])[None, None]
            source = [KeysValues(source_key, source_value, source_B1S)]

            def attend_self(h_B1D: jax.Array) -> jax.Array:
                nonlocal cache
                attention = layer.self_attention
                cache = cache.write(layer_index, *attention.keys_values(h_B1D, rotation))
                own = KeysValues(*cache.read(layer_index), near_11T)
                queries = attention.queries(h_B1D, rotation)
                return attention.over_parts(queries, [own, *source] if merged else [own])

            def attend_source(h_B1D: jax.Array) -> jax.Array:
                attention = layer.encoder_decoder_attention
                return attention.over_parts(attention.queries(h_B1D), source)

            return (layer(x_B1D, attend_self, None if merged else attend_source), cache), None

        layers = jnp.arange(self.config.num_layers)
        xs = (layers, cache.source_key_LBSGK, cache.source_value_LBSGK, kinds.xs)
        (x_B1D, cache), _ = scan(step, self.layers, (x_B1D, cache), xs)
        return self.decoder_norm(x_B1D), cache._replace(index=index + 1)


class T5Gemma(T5):
    """The encoder-decoder network of a `T5GemmaConfig`; see `models.Network`."""

    def __init__(self, config: T5GemmaConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.token_embedder = config.embedding(rngs, tied=config.logits_via_embedding)
        own = config.version == 1
        self.encoder_embedder = config.encoder_stack.embedding(rngs, tied=False) if own else None
        self.encoder = Encoder(config.encoder_stack, config.version, rngs)
        self.decoder = Decoder(config, rngs)

    def encode(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute encoded_BSD of `encoder_input_tokens`, which lie at `encoder_positions` in packed rows."""
        tokens_BS = batch['encoder_input_tokens']
        segments_BS = segments_of(tokens_BS, batch.get('encoder_segment_ids'))
        positions = batch.get('encoder_positions', jnp.arange(tokens_BS.shape[1]))
        x_BSD = self._source_embedder(tokens_BS, segments_BS)
        with self._attends(tokens_BS):
            return self.encoder(x_BSD, segments_BS, positions, dropout_key)

    def decode(self, encoded_BSD: jax.Array, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32 at every target position; see `T5.decode`. In packed rows targets lie
        at `decoder_positions`.
        """
        tokens_BT = batch['decoder_input_tokens']
        positions = batch.get('decoder_positions', jnp.arange(tokens_BT.shape[1]))
        begins_BT = jnp.broadcast_to(positions == 0, tokens_BT.shape)
        x_BTD = self.token_embedder(jnp.where(begins_BT, self.config.begin_id, tokens_BT))
        segments_BT = segments_of(batch['decoder_target_tokens'], batch.get('decoder_segment_ids'))
        source_segments_BS = segments_of(batch['encoder_input_tokens'], batch.get('encoder_segment_ids'))
        with self._attends(batch['encoder_input_tokens']):
            x_BTD = self.decoder(x_BTD, encoded_BSD, segments_BT, source_segments_BS, positions, dropout_key)
        return self._logits(x_BTD)

    @property
    def _source_embedder(self) -> Embedding:
        return self.encoder_embedder or self.token_embedder

    def _attends(self, inputs_BS: jax.Array) -> AbstractContextManager[None]:
        return attended_tokens(self._source_embedder, inputs_BS)

    def _logits(self, x_BTD: jax.Array) -> jax.Array:
        logits_BTV = logits_of(self.config, x_BTD, self.token_embedder, self.decoder.logits_dense)
        return constrain(logits_BTV, ('batch', 'length', 'vocab'))
