"""T5 1.0 and 1.1 in Flax NNX, with T5X's parameter names; layers are stacked on axis 0 and scanned: compile time does not grow with depth.

Parameters are a plain nested dict of float32 arrays outside (`init_params`), and a module inside (`bind`):

    params = init_params(config, key)
    logits_BTV = bind(config, params)(batch, dropout_key=key)
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin
import jax
import jax.numpy as jnp
from flax import nnx, traverse_util

from flanlite.model.attention import IMPLEMENTATIONS, DecodingCache, attention, prepare_bias
from flanlite.model.layers import (
    ACTIVATIONS,
    MLP,
    PRODUCT,
    RESIDUAL,
    WHOLE,
    Embedding,
    LayerNorm,
    Linear,
    RelativePositionBias,
    constrain,
    dropout,
    dropout_masks,
    reshard,
    spread_bias,
)

Params = dict[str, Any]
Batch = Mapping[str, jax.Array]

# What the backward pass of a layer finds saved; the rest it computes again.
REMAT_POLICIES = {
    'none': None,
    'minimal': jax.checkpoint_policies.save_only_these_names(PRODUCT),
    'full': jax.checkpoint_policies.nothing_saveable,
}


@gin.configurable
@dataclasses.dataclass(frozen=True)
class T5Config:
    """Sizes and variants of a T5, under T5X's names (t5x.examples.t5.network.T5Config).

    Args:
        vocab_size: rows of the embedding; T5's 32,100 pieces are padded to 32,128.
        emb_dim: width of the residual stream.
        num_heads: attention heads.
        num_encoder_layers: encoder layers.
        num_decoder_layers: decoder layers.
        head_dim: width of a head; heads x head_dim need not be emb_dim.
        mlp_dim: width of the feed-forward block.
        mlp_activations: ('gelu', 'linear') is T5 1.1, ('relu',) is T5 1.0.
        dropout_rate: used wherever a dropout key is given.
        logits_via_embedding: tie the logits to the embedding (T5 1.0).
        dtype: of activations, 'float32' or 'bfloat16'; parameters, norms, softmax and logits are float32.
        remat_policy: what the backward pass recomputes: 'none', 'minimal' (all but matrix products,
            and of these the decoder's keys and values of the source, which are large) or 'full'.
        relpos_bias_per_layer: a relative position bias for each layer (scalable_t5) instead of one a stack (T5).
        attention: how attention is computed: one of `attention.IMPLEMENTATIONS`, or 'auto' to choose by platform and length.
    """

    vocab_size: int = 32128
    emb_dim: int = 768
    num_heads: int = 12
    num_encoder_layers: int = 12
    num_decoder_layers: int = 12
    head_dim: int = 64
    mlp_dim: int = 2048
    mlp_activations: tuple[str, ...] = ('gelu', 'linear')
    dropout_rate: float = 0.1
    logits_via_embedding: bool = False
    dtype: str = 'bfloat16'
    remat_policy: str = 'minimal'
    relpos_bias_per_layer: bool = False
    attention: str = 'auto'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'dtype', jnp.dtype(self.dtype).name)
        object.__setattr__(self, 'mlp_activations', tuple(self.mlp_activations))
        if self.dtype not in ('float32', 'bfloat16'):
            remedy = "T5's activations overflow in float16; use bfloat16" if self.dtype == 'float16' else 'use float32 or bfloat16'
            raise ValueError(f'T5Config.dtype is {self.dtype!r}: {remedy}')
        for size in ('vocab_size', 'emb_dim', 'num_heads', 'num_encoder_layers', 'num_decoder_layers', 'head_dim', 'mlp_dim'):
            if getattr(self, size) < 1:
                raise ValueError(f'T5Config.{size} is {getattr(self, size)}; expected at least 1')
        if not 0.0 <= self.dropout_rate < 1.0:
            raise ValueError(f'T5Config.dropout_rate is {self.dropout_rate}; expected at least 0 and below 1')
        unknown = [name for name in self.mlp_activations if name not in ACTIVATIONS]
        if unknown or not self.mlp_activations:
            raise ValueError(f'T5Config.mlp_activations is {self.mlp_activations}; expected names among {sorted(ACTIVATIONS)}')
        if self.remat_policy not in REMAT_POLICIES:
            raise ValueError(f'T5Config.remat_policy is {self.remat_policy!r}; expected one of {sorted(REMAT_POLICIES)}')
        if self.attention not in IMPLEMENTATIONS:
            raise ValueError(f'T5Config.attention is {self.attention!r}; expected one of {", ".join(IMPLEMENTATIONS)}')


class Attention(nnx.Module):
    """Multi-head attention with T5's initialisation, which folds the 1/sqrt(K) scale into the query's kernel."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs, *, saves_source: bool = True) -> None:
        self.config = config
        joined = config.num_heads * config.head_dim
        into, out = ((config.emb_dim, joined), ('embed', 'joined_kv')), ((joined, config.emb_dim), ('joined_kv', 'embed'))
        self.query = Linear(*into, config.dtype, rngs, init='normal', scale=1.0 / config.head_dim)
        self.key = Linear(*into, config.dtype, rngs, init='normal', saved=saves_source)
        self.value = Linear(*into, config.dtype, rngs, init='normal', saved=saves_source)
        self.out = Linear(*out, config.dtype, rngs, init='normal')

    def _heads(self, x_BTJ: jax.Array) -> jax.Array:
        x_BTHK = x_BTJ.reshape(*x_BTJ.shape[:2], self.config.num_heads, self.config.head_dim)
        return constrain(x_BTHK, ('batch', 'length', 'heads', 'kv'))

    def keys_values(self, x_BSD: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Compute k_BSHK and v_BSHK, which decoding keeps."""
        return self._heads(self.key(x_BSD)), self._heads(self.value(x_BSD))

    def __call__(
        self, x_BTD: jax.Array, keys_values: tuple[jax.Array, jax.Array], keep_BSH1: jax.Array | None = None, **options: Any
    ) -> jax.Array:
        k_BSHK, v_BSHK = keys_values
        v_BSHK = dropout(v_BSHK, keep_BSH1, self.config.dropout_rate)  # T5 drops a key for all queries of a head: its value, then
        out_BTHK = attention(self._heads(self.query(x_BTD)), k_BSHK, v_BSHK, implementation=self.config.attention, **options)
        return self.out(out_BTHK.reshape(*x_BTD.shape[:2], -1))


class EncoderLayer(nnx.Module):
    """Self-attention and MLP, each on a normed input and added to the residual stream."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.pre_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.attention = Attention(config, rngs)
        self.pre_mlp_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.mlp = MLP(config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs)
        if config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=True)

    def __call__(self, x_BSD: jax.Array, segments_BS: jax.Array, bias: jax.Array | None, key: jax.Array | None) -> jax.Array:
        config, rate = self.config, self.config.dropout_rate
        B, S, D = x_BSD.shape
        shapes = [(S, config.num_heads, 1), (1, D), (1, config.mlp_dim), (1, D)]
        keep_source, keep_attended, keep_mlp, keep_out = dropout_masks(key, rate, B, shapes)
        if config.relpos_bias_per_layer:
            bias = self.relpos_bias(S)

        h_BSD = reshard(self.pre_attention_layer_norm(x_BSD), RESIDUAL, WHOLE)
        segments = {'q_segments_BT': segments_BS, 'kv_segments_BS': segments_BS}
        h_BSD = self.attention(h_BSD, self.attention.keys_values(h_BSD), keep_source, **segments, bias=bias)
        x_BSD = x_BSD + dropout(reshard(h_BSD, WHOLE, RESIDUAL), keep_attended, rate)

        h_BSD = self.mlp(reshard(self.pre_mlp_layer_norm(x_BSD), RESIDUAL, WHOLE), keep_mlp)
        return x_BSD + dropout(reshard(h_BSD, WHOLE, RESIDUAL), keep_out, rate)


class DecoderLayer(nnx.Module):
    """Causal self-attention, attention on the encoded source, and MLP; one position at a time when decoding."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.pre_self_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.self_attention = Attention(config, rngs)
        self.pre_cross_attention_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.encoder_decoder_attention = Attention(config, rngs, saves_source=False)
        self.pre_mlp_layer_norm = LayerNorm(config.emb_dim, config.dtype)
        self.mlp = MLP(config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs)
        if config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)

    def __call__(
        self,
        x_BTD: jax.Array,
        encoded_BSD: jax.Array,
        segments_BT: jax.Array,
        encoder_segments_BS: jax.Array,
        bias: jax.Array | None,
        key: jax.Array | None,
    ) -> jax.Array:
        (B, T, D), S, H = x_BTD.shape, encoded_BSD.shape[1], self.config.num_heads
        shapes = [(T, H, 1), (S, H, 1), (1, D), (1, D), (1, self.config.mlp_dim), (1, D)]
        keep_target, keep_source, *keeps = dropout_masks(key, self.config.dropout_rate, B, shapes)
        if self.config.relpos_bias_per_layer:
            bias = self.relpos_bias(T)

        def attend_self(h_BTD: jax.Array) -> jax.Array:
            segments = {'q_segments_BT': segments_BT, 'kv_segments_BS': segments_BT}
            keys_values = self.self_attention.keys_values(h_BTD)
            return self.self_attention(h_BTD, keys_values, keep_target, **segments, bias=bias, causal=True)

        def attend_source(h_BTD: jax.Array) -> jax.Array:
            segments = {'q_segments_BT': segments_BT, 'kv_segments_BS': encoder_segments_BS}
            keys_values = self.encoder_decoder_attention.keys_values(reshard(encoded_BSD, RESIDUAL, WHOLE))
            return self.encoder_decoder_attention(h_BTD, keys_values, keep_source, **segments)

        return self._blocks(x_BTD, attend_self, attend_source, keeps)

    def decode_step(
        self, x_B1D: jax.Array, cache: DecodingCache, number: jax.Array, source: tuple[jax.Array, jax.Array], bias_HTT: jax.Array | None
    ) -> tuple[jax.Array, DecodingCache]:
        """Run one position as layer `number` of the stack, with what earlier positions and the source left in the cache."""
        B, T = cache.key_LBTHK.shape[1:3]
        if self.config.relpos_bias_per_layer:
            bias_HTT = spread_bias(self.relpos_bias(T), T)
        ones_B1 = jnp.ones((B, 1), jnp.int32)
        seen_BT = jnp.broadcast_to((jnp.arange(T) <= cache.index)[None], (B, T)).astype(jnp.int32)
        bias_H1T = jax.lax.dynamic_slice_in_dim(bias_HTT, cache.index, 1, axis=1)

        def attend_self(h_B1D: jax.Array) -> jax.Array:
            nonlocal cache
            cache = cache.write(number, *self.self_attention.keys_values(h_B1D))
            return self.self_attention(h_B1D, cache.read(number), q_segments_BT=ones_B1, kv_segments_BS=seen_BT, bias=bias_H1T)

        def attend_source(h_B1D: jax.Array) -> jax.Array:
            return self.encoder_decoder_attention(h_B1D, source, q_segments_BT=ones_B1, kv_segments_BS=cache.source_segments_BS)

        x_B1D = self._blocks(x_B1D, attend_self, attend_source, [None] * 4)
        return x_B1D, cache

    def _blocks(
        self, x_BTD: jax.Array, attend_self: Callable, attend_source: Callable, keeps: Sequence[jax.Array | None]
    ) -> jax.Array:
        rate = self.config.dropout_rate
        h_BTD = attend_self(reshard(self.pre_self_attention_layer_norm(x_BTD), RESIDUAL, WHOLE))
        x_BTD = x_BTD + dropout(reshard(h_BTD, WHOLE, RESIDUAL), keeps[0], rate)
        h_BTD = attend_source(reshard(self.pre_cross_attention_layer_norm(x_BTD), RESIDUAL, WHOLE))
        x_BTD = x_BTD + dropout(reshard(h_BTD, WHOLE, RESIDUAL), keeps[1], rate)
        h_BTD = self.mlp(reshard(self.pre_mlp_layer_norm(x_BTD), RESIDUAL, WHOLE), keeps[2])
        return x_BTD + dropout(reshard(h_BTD, WHOLE, RESIDUAL), keeps[3], rate)


def _stack(make: Callable[[nnx.Rngs], nnx.Module], num_layers: int, rngs: nnx.Rngs) -> nnx.Module:
    """Make layers whose parameters lie stacked on axis 0."""
    return nnx.vmap(lambda key: make(nnx.Rngs(key)))(jax.random.split(rngs.params(), num_layers))


def _scan(step: Callable, layers: nnx.Module, carry: Any, xs: Any, remat_policy: str = 'none') -> tuple[Any, Any]:
    """Run `step(layer, carry, x) -> (carry, y)` over stacked layers."""
    graphdef, params = nnx.split(layers)

    def body(carry: Any, layer: tuple[Any, Any]) -> tuple[Any, Any]:
        return step(nnx.merge(graphdef, layer[0]), carry, layer[1])

    if remat_policy != 'none':
        body = jax.checkpoint(body, policy=REMAT_POLICIES[remat_policy], prevent_cse=False)
    return jax.lax.scan(body, carry, (params, xs))


def _split_keys(key: jax.Array | None, num_layers: int) -> tuple[jax.Array | None, jax.Array | None]:
    """Make a stack's key, and the stacked keys of its layers."""
    if key is None:
        return None, None
    own, for_layers = jax.random.split(key)
    return own, jax.random.split(for_layers, num_layers)


class Encoder(nnx.Module):
    """A stack of encoder layers with one relative position bias for all, and a norm."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.layers = _stack(functools.partial(EncoderLayer, config), config.num_encoder_layers, rngs)
        self.encoder_norm = LayerNorm(config.emb_dim, config.dtype)
        if not config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=True)

    def __call__(self, x_BSD: jax.Array, segments_BS: jax.Array, key: jax.Array | None = None) -> jax.Array:
        config = self.config
        B, S, D = x_BSD.shape
        key, layer_keys = _split_keys(key, config.num_encoder_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        bias = None if config.relpos_bias_per_layer else prepare_bias(self.relpos_bias(S), S, config.attention)

        def step(layer: EncoderLayer, x_BSD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, None]:
            return layer(x_BSD, segments_BS, bias, key), None

        x_BSD = constrain(dropout(x_BSD, keep_in, config.dropout_rate), RESIDUAL)
        x_BSD, _ = _scan(step, self.layers, x_BSD, layer_keys, config.remat_policy)
        return reshard(dropout(self.encoder_norm(x_BSD), keep_out, config.dropout_rate), RESIDUAL, WHOLE)


class Decoder(nnx.Module):
    """A stack of decoder layers with one relative position bias for all, a norm, and the logits where they are not tied."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.layers = _stack(functools.partial(DecoderLayer, config), config.num_decoder_layers, rngs)
        self.decoder_norm = LayerNorm(config.emb_dim, config.dtype)
        if not config.relpos_bias_per_layer:
            self.relpos_bias = RelativePositionBias(config.num_heads, rngs, bidirectional=False)
        if not config.logits_via_embedding:
            self.logits_dense = Linear((config.emb_dim, config.vocab_size), ('embed', 'vocab'), 'float32', rngs)

    def __call__(
        self,
        x_BTD: jax.Array,
        encoded_BSD: jax.Array,
        segments_BT: jax.Array,
        encoder_segments_BS: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        config = self.config
        B, T, D = x_BTD.shape
        key, layer_keys = _split_keys(key, config.num_decoder_layers)
        keep_in, keep_out = dropout_masks(key, config.dropout_rate, B, [(1, D), (1, D)])
        bias = None if config.relpos_bias_per_layer else prepare_bias(self.relpos_bias(T), T, config.attention)

        def step(layer: DecoderLayer, x_BTD: jax.Array, key: jax.Array | None) -> tuple[jax.Array, None]:
            return layer(x_BTD, encoded_BSD, segments_BT, encoder_segments_BS, bias, key), None

        x_BTD = constrain(dropout(x_BTD, keep_in, config.dropout_rate), RESIDUAL)
        x_BTD, _ = _scan(step, self.layers, x_BTD, layer_keys, config.remat_policy)
        return reshard(dropout(self.decoder_norm(x_BTD), keep_out, config.dropout_rate), RESIDUAL, WHOLE)

    def start(self, encoded_BSD: jax.Array, source_segments_BS: jax.Array, max_length: int) -> DecodingCache:
        """Compute the source's keys and values for all layers and make room for `max_length` positions."""

        def step(layer: DecoderLayer, carry: None, x: None) -> tuple[None, tuple[jax.Array, jax.Array]]:
            return None, layer.encoder_decoder_attention.keys_values(encoded_BSD)

        _, (source_key_LBSHK, source_value_LBSHK) = _scan(step, self.layers, None, None)
        L, B, _, H, K = source_key_LBSHK.shape
        empty_LBTHK = jnp.zeros((L, B, max_length, H, K), source_key_LBSHK.dtype)
        return DecodingCache(jnp.int32(0), source_segments_BS, empty_LBTHK, empty_LBTHK, source_key_LBSHK, source_value_LBSHK)

    def decode_step(self, x_B1D: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Run the next position through all layers; the cache is carried whole, so that XLA updates it in place."""
        T = cache.key_LBTHK.shape[2]
        bias_HTT = None if self.config.relpos_bias_per_layer else spread_bias(self.relpos_bias(T), T)

        def step(layer: DecoderLayer, carry: tuple[jax.Array, DecodingCache], x: Any) -> tuple[tuple[jax.Array, DecodingCache], None]:
            number, *source = x
            x_B1D, running = layer.decode_step(carry[0], carry[1], number, tuple(source), bias_HTT)
            return (x_B1D, running), None

        xs = (jnp.arange(self.config.num_decoder_layers), cache.source_key_LBSHK, cache.source_value_LBSHK)
        (x_B1D, cache), _ = _scan(step, self.layers, (x_B1D, cache), xs)
        return self.decoder_norm(x_B1D), cache._replace(index=cache.index + 1)


class T5(nnx.Module):
    """An encoder-decoder; called on a batch with SeqIO's keys it gives logits."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.token_embedder = Embedding(config.vocab_size, config.emb_dim, config.dtype, rngs)
        self.encoder = Encoder(config, rngs)
        self.decoder = Decoder(config, rngs)

    def __call__(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32.

        Args:
            batch: `encoder_input_tokens`, `decoder_input_tokens`, `decoder_target_tokens`, and for packed rows `encoder_segment_ids`
                and `decoder_segment_ids`; 0 pads. T5 needs no positions, since its biases are relative.
            dropout_key: turns dropout on.
        """
        encoder_key, decoder_key = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        return self.decode(self.encode(batch, encoder_key), batch, decoder_key)

    def encode(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute encoded_BSD of `encoder_input_tokens`."""
        segments_BS = _segments(batch['encoder_input_tokens'], batch.get('encoder_segment_ids'))
        return self.encoder(self.token_embedder(batch['encoder_input_tokens']), segments_BS, dropout_key)

    def decode(self, encoded_BSD: jax.Array, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV at every target position, each given the targets before it."""
        segments_BT = _segments(batch['decoder_target_tokens'], batch.get('decoder_segment_ids'))
        source_segments_BS = _segments(batch['encoder_input_tokens'], batch.get('encoder_segment_ids'))
        x_BTD = self.token_embedder(batch['decoder_input_tokens'])
        return self._logits(self.decoder(x_BTD, encoded_BSD, segments_BT, source_segments_BS, dropout_key))

    def start_decoding(self, encoder_input_tokens_BS: jax.Array, max_length: int) -> DecodingCache:
        """Encode sources, one a row, and make the cache for up to `max_length` target positions."""
        batch = {'encoder_input_tokens': encoder_input_tokens_BS}
        return self.decoder.start(self.encode(batch), _segments(encoder_input_tokens_BS, None), max_length)

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Feed the tokens of the next position (0 at the first) and compute logits_BV of the one after."""
        x_B1D, cache = self.decoder.decode_step(self.token_embedder(tokens_B[:, None]), cache)
        return self._logits(x_B1D)[:, 0], cache

    def _logits(self, x_BTD: jax.Array) -> jax.Array:
        tied = self.config.logits_via_embedding
        logits_BTV = self.token_embedder.attend(x_BTD) if tied else self.decoder.logits_dense(x_BTD)
        return constrain(logits_BTV, ('batch', 'length', 'vocab'))


def _segments(tokens_BT: jax.Array, segment_ids_BT: jax.Array | None) -> jax.Array:
    """Give padding segment 0; without ids the rest of a row is one segment."""
    return jnp.where(tokens_BT > 0, 1 if segment_ids_BT is None else segment_ids_BT, 0)


def init_params(config: T5Config, key: jax.Array) -> Params:
    """Draw parameters: a nested dict of float32 arrays. May be jitted, or only evaluated for its shapes."""
    return nnx.to_pure_dict(nnx.state(T5(config, nnx.Rngs(key)), nnx.Param))


def bind(config: T5Config, params: Params) -> T5:
    """Make the module that computes with these parameters; cheap, and meant to be called inside `jit`."""
    graphdef, state = _abstract(config)
    check_params(config, params)
    return nnx.merge(graphdef, jax.tree.map(lambda param, value: param.replace(value), state, nnx.State(params), is_leaf=_is_param))


def check_params(config: T5Config, params: Params) -> None:
    """Refuse parameters of another model than the config's, naming what is missing, unexpected or of another shape."""
    expected, got = (
        {'/'.join(path): tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(tree).items()}
        for tree in (nnx.to_pure_dict(_abstract(config)[1]), params)
    )
    wrong = [f'{name} is missing' for name in expected if name not in got]
    wrong += [f'{name} is unexpected' for name in got if name not in expected]
    wrong += [f'{name} is {got[name]}, not {expected[name]}' for name in expected if got.get(name, expected[name]) != expected[name]]
    if wrong:
        more = f', and {len(wrong) - 4} more' if len(wrong) > 4 else ''
        raise ValueError(f'the parameters do not fit the config: {"; ".join(wrong[:4])}{more}; use the T5Config they were trained with')


def logical_axes(config: T5Config) -> dict[str, Any]:
    """Name the axes of every parameter, in the tree of `init_params`."""
    state = _abstract(config)[1]
    axes = {path: (('layers',) if 'layers' in path else ()) + param.get_metadata()['axes'] for path, param in nnx.to_flat_state(state)}
    return nnx.to_pure_dict(nnx.from_flat_state(axes))


def _is_param(x: Any) -> bool:
    return isinstance(x, nnx.Param)


@functools.lru_cache
def _abstract(config: T5Config) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: T5(config, nnx.Rngs(0))))
