"""Decoders of Llama's kind: Llama, SmolLM2, Qwen 2 and 3, Gemma, Gemma 2 and 3, Mistral, OLMo 2.

Inputs and targets are one sequence, as in `decoder_only`, whose reading of inputs they share. There a
sequence begins with the token 0, which T5X's shift puts there. These models were trained without it, so here
it is seen by itself only, and the first input has position 0; a token that begins texts, such as Gemma's
<bos>, is the first input (see `tokens.vocabularies`).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.mesh.activations import GATHERED, RESIDUAL, constrain, reshard
from flanlite.model.attention.attention import DecodingCache, KeysValues, segment_mask, segments_of
from flanlite.model.decoder_only import BEGIN, DecoderOnly, Prefix, inputs_of
from flanlite.model.layers import Logits, attended_tokens, dropout, dropout_masks
from flanlite.model.models import Batch
from flanlite.model.rotary import LayerKinds, RotaryConfig, RotaryLayer, logits_of
from flanlite.model.stacks import scan, split_keys, stack


@value
class LlamaConfig(RotaryConfig):
    """Sizes and variants of a decoder of Llama's kind.

    Args:
        prefix_lm: whether inputs see each other in both directions; otherwise, as these models were
            trained, every position sees earlier ones only.

    The other fields are those of `rotary.RotaryConfig` and `models.ModelConfig`.
    """

    converter: ClassVar[str] = 'prefix_lm'

    prefix_lm: bool = False

    def build(self, rngs: nnx.Rngs) -> 'Llama':
        """Make the network, with parameters drawn from `rngs`."""
        return Llama(self, rngs)

    def multiply_adds(self, inputs: int, targets: int) -> float:
        """Count the multiply-adds of a row's forward pass; see `models.ModelConfig.multiply_adds`."""
        T = inputs + targets
        return self.num_layers * self.layer_multiply_adds(T, T) + T * self.emb_dim * self.vocab_size


class Decoder(nnx.Module):
    """Embeddings, a stack of layers, a norm, and the logits' kernel where it is not tied."""

    sees_begin = False

    def __init__(self, config: LlamaConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.token_embedder = config.embedding(rngs, tied=config.logits_via_embedding)
        self.layers = stack(functools.partial(RotaryLayer, config), config.num_layers, rngs)
        self.decoder_norm = config.norm()
        self.logits_dense = (
            None
            if config.logits_via_embedding
            else Logits(config.emb_dim, config.vocab_size, config.dtype, rngs)
        )

    def __call__(
        self,
        tokens_BT: jax.Array,
        segments_BT: jax.Array,
        prefix_BT: jax.Array | None,
        positions: jax.Array,
        inputs_BT: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Compute logits_BTV of whole rows.

        Args:
            tokens_BT: input tokens of the network, the targets moved on by one position.
            segments_BT: segment of each position; 0 is padding.
            prefix_BT: True at positions that all of their segment see; None in a causal LM.
            positions: int[T] or int[B, T], of tokens in their segments; 0 is the token that begins one.
            inputs_BT: at inputs the segment, 0 elsewhere.
            key: turns dropout on.
        """
        config, B, D = self.config, tokens_BT.shape[0], self.config.emb_dim
        key, layer_keys = split_keys(key, config.num_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        x_BTD = self.token_embedder(tokens_BT, inputs_BT)
        x_BTD = constrain(dropout(x_BTD, keep_in, config.dropout_rate), RESIDUAL)
        alone_BT = jnp.broadcast_to(positions == 0, tokens_BT.shape)
        with attended_tokens(self.token_embedder, tokens_BT):
            x_BTD, _ = self._run_layers(
                x_BTD, segments_BT, prefix_BT, alone_BT, positions - 1, layer_keys, keeps_keys=False
            )
        return self._logits(x_BTD, keep_out)

    def prefill(
        self, tokens_BS: jax.Array, segments_BS: jax.Array, inputs_BS: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Compute the keys and values of inputs in all layers: key_LBSGK and value_LBSGK. `inputs_BS` is 0 at
        padding and at the token 0 that begins a sequence.
        """
        prefix_BS = segments_BS > 0 if self.config.prefix_lm else None
        x_BSD, alone_BS = self.token_embedder(tokens_BS, inputs_BS), segments_BS == BEGIN
        positions_BS = _positions(segments_BS, jnp.arange(tokens_BS.shape[1]))
        with attended_tokens(self.token_embedder, tokens_BS):
            return self._run_layers(
                x_BSD, jnp.minimum(segments_BS, 1), prefix_BS, alone_BS, positions_BS, None, keeps_keys=True
            )[1]

    def _run_layers(
        self,
        x_BTD: jax.Array,
        segments_BT: jax.Array,
        prefix_BT: jax.Array | None,
        alone_BT: jax.Array,
        positions: jax.Array,
        layer_keys: jax.Array | None,
        *,
        keeps_keys: bool,
    ) -> tuple[jax.Array, Any]:
        kinds = LayerKinds(self.config, positions)
        seen = {
            'q_segments_BT': segments_BT,
            'kv_segments_BS': segments_BT,
            'kv_prefix_BS': prefix_BT,
            'kv_alone_BS': alone_BT,
            'causal': True,
        }

        def step(layer: RotaryLayer, x_BTD: jax.Array, x: Any) -> tuple[jax.Array, Any]:
            key, kind = x
            rotation, window = kinds.of(kind)
            kept = None

            def attend(h_BTD: jax.Array) -> jax.Array:
                nonlocal kept
                kept = layer.self_attention.keys_values(h_BTD, rotation)
                queries = layer.self_attention.queries(h_BTD, rotation)
                return layer.self_attention(queries, kept, window=window, **seen)

            x_BTD = layer(x_BTD, attend, key=key)
            return x_BTD, kept if keeps_keys else None

        return scan(step, self.layers, x_BTD, (layer_keys, kinds.xs), self.config.remat_policy)

    def extend(self, tokens_PT: jax.Array, prefix: Prefix, source_P: jax.Array) -> jax.Array:
        """Compute logits_PTV of token rows that continue prefixes.

        Args:
            tokens_PT: the first is the last token of the prefix; no token sees the padding behind it.
            prefix: from `prefill`, one row for each input.
            source_P: for each row of tokens the row of its prefix.
        """
        (P, T), S = tokens_PT.shape, prefix.segments_BS.shape[1]
        seen_PTS = jnp.broadcast_to((prefix.segments_BS[source_P] == 1)[:, None], (P, T, S))
        ones_PT = jnp.ones_like(tokens_PT)
        begins_PT = _begins(prefix.segments_BS)[source_P][:, None] & (jnp.arange(T) == 0)[None]
        kinds = LayerKinds(self.config, _positions(prefix.segments_BS, S + jnp.arange(T))[source_P])
        distance_TS = S + jnp.arange(T)[:, None] - jnp.arange(S)[None]

        def step(layer: RotaryLayer, x_PTD: jax.Array, x: Any) -> tuple[jax.Array, None]:
            *kept, kind = x
            rotation, window = kinds.of(kind)
            own_PTT = segment_mask(ones_PT, ones_PT, causal=True, kv_alone_BS=begins_PT, window=window)
            near_PTS = seen_PTS if window is None else seen_PTS & (distance_TS <= window[0])[None]

            def parts(own: tuple[jax.Array, jax.Array]) -> list[KeysValues]:
                return [KeysValues(kept[0][source_P], kept[1][source_P], near_PTS), KeysValues(*own, own_PTT)]

            return _extend(layer, x_PTD, rotation, parts), None

        xs = (prefix.key_LBSGK, prefix.value_LBSGK, kinds.xs)
        x_PTD, _ = scan(step, self.layers, self.token_embedder(tokens_PT), xs)
        return self._logits(x_PTD)

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Compute logits_BV of the next position.

        The scan carries the cache of all layers, and does not slice it by layer: XLA then updates it in
        place.
        """
        T, S = cache.key_LBTGK.shape[2], cache.source_segments_BS.shape[1]
        index, place_T = cache.index, jnp.arange(cache.key_LBTGK.shape[2])
        hidden_BT = _begins(cache.source_segments_BS)[:, None] & ((place_T == 0) & (index > 0))[None]
        seen_B1T = ((place_T <= index)[None] & ~hidden_BT)[:, None]
        source_B1S = (cache.source_segments_BS == 1)[:, None]
        kinds = LayerKinds(self.config, _positions(cache.source_segments_BS, (S + index)[None]))

        def step(
            layer: RotaryLayer, carry: tuple[jax.Array, DecodingCache], x: Any
        ) -> tuple[tuple[jax.Array, DecodingCache], None]:
            x_B1D, cache = carry
            layer_index, kept_key, kept_value, kind = x
            rotation, window = kinds.of(kind)
            far = (T + S) if window is None else window[0]

            def parts(own: tuple[jax.Array, jax.Array]) -> list[KeysValues]:
                nonlocal cache
                cache = cache.write(layer_index, *own)
                near_11S = (S + index - jnp.arange(S) <= far)[None, None]
                source = KeysValues(kept_key, kept_value, source_B1S & near_11S)
                return [
                    source,
                    KeysValues(*cache.read(layer_index), seen_B1T & (index - place_T <= far)[None, None]),
                ]

            return (_extend(layer, x_B1D, rotation, parts), cache), None

        layers = jnp.arange(self.config.num_layers)
        xs = (layers, cache.source_key_LBSGK, cache.source_value_LBSGK, kinds.xs)
        (x_B1D, cache), _ = scan(step, self.layers, (self.token_embedder(tokens_B[:, None]), cache), xs)
        return self._logits(x_B1D)[:, 0], cache._replace(index=index + 1)

    def _logits(self, x_BTD: jax.Array, keep: jax.Array | None = None) -> jax.Array:
        x_BTD = reshard(dropout(self.decoder_norm(x_BTD), keep, self.config.dropout_rate), RESIDUAL, GATHERED)
        logits_BTV = logits_of(self.config, x_BTD, self.token_embedder, self.logits_dense)
        return constrain(logits_BTV, ('batch', 'length', 'vocab'))


def _extend(
    layer: RotaryLayer,
    x_BTD: jax.Array,
    rotation: Any,
    parts: Callable[[tuple[jax.Array, jax.Array]], Sequence[KeysValues]],
) -> jax.Array:
    """Compute a layer's output at positions after a prefix; `parts` makes all that they attend to from their
    own keys and values.
    """

    def attend(h_BTD: jax.Array) -> jax.Array:
        own = layer.self_attention.keys_values(h_BTD, rotation)
        return layer.self_attention.over_parts(layer.self_attention.queries(h_BTD, rotation), parts(own))

    return layer(x_BTD, attend)


def _positions(segments_BS: jax.Array, place_T: jax.Array) -> jax.Array:
    """Compute the positions of tokens, position_BT: that of the first input is 0, however many padding tokens
    stand before it. Keys that are not turned by their positions, a `SoftPrefix`'s, can tell.
    """
    padding_B1 = jnp.sum(segments_BS == 0, axis=1, keepdims=True)
    return place_T[None] - padding_B1 - 1


def _begins(segments_BS: jax.Array) -> jax.Array:
    """Return whether nothing stands before what follows the rows, so that it begins with the token 0."""
    return ~jnp.any(segments_BS == BEGIN, axis=1)


class Llama(DecoderOnly):
    """The network of a `LlamaConfig`; see `models.Network`."""

    def __init__(self, config: LlamaConfig, rngs: nnx.Rngs) -> None:
        self.config = config
        self.decoder = Decoder(config, rngs)

    def __call__(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32.

        Args:
            batch: as for `DecoderOnly`, and for packed rows `decoder_positions`.
            dropout_key: turns dropout on.
        """
        segments_BT = segments_of(batch['decoder_target_tokens'], batch.get('decoder_segment_ids'))
        prefix_BT = batch['decoder_causal_attention'] > 0 if self.config.prefix_lm else None
        positions = batch.get('decoder_positions', jnp.arange(segments_BT.shape[1]))
        inputs_BT = inputs_of(batch, segments_BT)
        return self.decoder(
            batch['decoder_input_tokens'], segments_BT, prefix_BT, positions, inputs_BT, dropout_key
        )
