"""What the decoders of Llama's kind and T5Gemma share: their fields, rotary positions, attention with grouped
heads and windows, and a layer.

Layers of one stack may differ by their window and by the base of their rotary positions. Both travel through
the scan over layers as numbers (`LayerKinds`), so that a pattern of layers costs no compile time.

Where papers leave something open, the numbers are those of transformers 5 (the modeling_*.py of llama, qwen2,
qwen3, gemma, gemma2, gemma3, olmo2, t5gemma and t5gemma2, and modeling_rope_utils.py).
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from flanlite.config import value
from flanlite.limits import Below1, Count, NotNegative, Number, Positive, Whole, one_of
from flanlite.mesh.activations import GATHERED, RESIDUAL, reshard
from flanlite.model.attention.blocks import FAR, Window, soft_capped
from flanlite.model.blocks import Attention
from flanlite.model.layers import MLP, PRODUCT, Embedding, LayerNorm, Linear, Logits, dropout, dropout_masks
from flanlite.model.models import Activation, ModelConfig

NORMS = {'pre': ('pre',), 'pre_and_post': ('pre', 'post'), 'post': ('post',)}
QK_NORMS = ('none', 'head', 'joined')
ROPE_SCALINGS = ('none', 'linear', 'llama3')

Rotation = tuple[jax.Array, jax.Array]  # cosines and sines, [B or 1, T, 1, K / 2] in float32


@value
class RotaryConfig(ModelConfig):
    """Sizes and variants of a stack of layers with rotary positions.

    Args:
        num_layers: number of layers.
        num_kv_heads: heads of keys and values; each serves num_heads / num_kv_heads query heads.
        norm_epsilon: is added to the mean square in norms.
        norms: where a sublayer is normed: 'pre', its input; 'pre_and_post', its output too (Gemma 2 and 3);
            'post', its output only (OLMo 2).
        qk_norm: how queries and keys are normed: 'none', 'head', each head (Qwen 3, Gemma 3), or 'joined',
            all heads together (OLMo 2).
        qkv_bias: whether queries, keys and values have a bias (Qwen 2).
        query_scale: multiplies the queries; by default 1/sqrt(head_dim).
        attention_soft_cap: bounds the logits of attention (Gemma 2); 0 for none.
        logits_soft_cap: bounds the logits of the vocabulary (Gemma 2); 0 for none.
        windows: the window of each layer, the positions that a query sees, itself counted; 0 sees all. A
            tuple shorter than the stack is repeated: (512, 512, 512, 512, 512, 0) is Gemma 3's pattern.
        rope_theta: base of the rotary positions.
        local_rope_theta: base in layers with a window, where it is another (Gemma 3).
        rope_scaling: how rotary positions were stretched for long texts: 'none', 'linear', or 'llama3'
            (Llama 3.1). Layers with a base of their own are not stretched.
        rope_factor: by how much.
        rope_low_freq_factor: 'llama3' stretches wavelengths above rope_original_length / this by the whole
            factor.
        rope_high_freq_factor: 'llama3' leaves wavelengths below rope_original_length / this as they are.
        rope_original_length: of 'llama3', the length before stretching.
        scale_embedding: whether embedded tokens are multiplied by sqrt(emb_dim) (Gemma).

    `dropout_rate` drops embedded tokens, what a sublayer adds, the MLP's products and the normed output; not
    attention. The other fields are those of every model; see `models.ModelConfig`.
    """

    dropout_rate: Below1 = 0.0
    mlp_activations: tuple[Activation, ...] = ('silu', 'linear')

    num_layers: Count = 12
    num_kv_heads: Count = 12
    norm_epsilon: Positive = 1e-6
    norms: Annotated[str, one_of(*NORMS)] = 'pre'
    qk_norm: Annotated[str, one_of(*QK_NORMS)] = 'none'
    qkv_bias: bool = False
    query_scale: Positive | None = None
    attention_soft_cap: NotNegative = 0.0
    logits_soft_cap: NotNegative = 0.0
    windows: tuple[Whole, ...] = (0,)
    rope_theta: Positive = 10000.0
    local_rope_theta: Positive | None = None
    rope_scaling: Annotated[str, one_of(*ROPE_SCALINGS)] = 'none'
    rope_factor: Positive = 1.0
    rope_low_freq_factor: Number = 1.0
    rope_high_freq_factor: Number = 4.0
    rope_original_length: Count = 8192
    scale_embedding: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f'{kind}.num_heads is {self.num_heads} and num_kv_heads {self.num_kv_heads}; expected a '
                'multiple of it'
            )
        if self.head_dim % 2:
            raise ValueError(f'{kind}.head_dim is {self.head_dim}; expected an even number, for rotation')
        if not self.windows or self.num_layers < len(self.windows):
            raise ValueError(f'{kind}.windows is {self.windows}; expected 1 to {self.num_layers} numbers')
        if self.rope_high_freq_factor <= self.rope_low_freq_factor:
            raise ValueError(
                f'{kind}.rope_high_freq_factor is {self.rope_high_freq_factor}; expected more than '
                f'rope_low_freq_factor, {self.rope_low_freq_factor}'
            )
        if self.attention_soft_cap and self.attention == 'cudnn':
            raise ValueError(
                f"{kind}.attention is 'cudnn', which has no soft caps; use 'auto', 'xla' or 'blockwise'"
            )

    @property
    def layer_windows(self) -> tuple[int, ...]:
        """The window of every layer."""
        return tuple(self.windows[i % len(self.windows)] for i in range(self.num_layers))

    def embedding(self, rngs: nnx.Rngs, *, tied: bool) -> Embedding:
        """Make the table of token embeddings; `tied` says whether it gives the logits, too."""
        deviation, scale = self.emb_dim**-0.5, self.emb_dim**0.5 if self.scale_embedding else 1.0
        return Embedding(
            self.vocab_size,
            self.emb_dim,
            self.dtype,
            rngs,
            logits_dtype=self.dtype if tied else None,
            deviation=deviation,
            scale=scale,
            logits_scale=1.0,
        )

    def norm(self) -> LayerNorm:
        """Make a norm of the residual stream."""
        return LayerNorm(self.emb_dim, self.dtype, self.norm_epsilon)

    def layer_multiply_adds(self, queries: int, keys: int) -> float:
        """Count the multiply-adds of a layer's self-attention and MLP in the forward pass of one row, whole
        even where a window or a mask hides a part.

        Args:
            queries: positions that go through the layer.
            keys: positions that they attend to, padding included.
        """
        D, K = self.emb_dim, self.head_dim
        projections = 2 * D * K * (self.num_heads + self.num_kv_heads)
        mlp = (len(self.mlp_activations) + 1) * D * self.mlp_dim
        return queries * (projections + mlp) + 2 * queries * keys * self.num_heads * K


def frequencies(config: RotaryConfig, *, local: bool) -> np.ndarray:
    """Compute the angle by which each pair of a head's entries turns from one position to the next.

    Args:
        config: says the base, and how it is stretched.
        local: for layers with a window, whose base may be another.

    Returns:
        float32[K / 2].
    """
    own = local and config.local_rope_theta is not None
    base = config.local_rope_theta if own else config.rope_theta
    K = config.head_dim
    # Each operation rounded to float32, as PyTorch does. numpy's float32 power is off, by the processor.
    exponents = np.arange(0, K, 2, dtype=np.float32) / np.float32(K)
    plain = np.float32(1.0) / np.power(np.float64(base), exponents).astype(np.float32)
    if own or config.rope_scaling == 'none':
        return plain
    if config.rope_scaling == 'linear':
        return plain / np.float32(config.rope_factor)
    # llama3: long wavelengths are stretched, short ones are not, and those between are interpolated.
    low, high = config.rope_low_freq_factor, config.rope_high_freq_factor
    turns = config.rope_original_length * plain / (2 * np.pi)  # of each pair within the original length
    kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
    return ((1 - kept) * plain / config.rope_factor + kept * plain).astype(np.float32)


def rotate(x_BTHK: jax.Array, rotation: Rotation) -> jax.Array:
    """Turn each pair of a head's entries, i and i + K / 2, by its angle; in float32."""
    cos, sin = rotation
    a, b = jnp.split(x_BTHK.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x_BTHK.dtype)


class LayerKinds:
    """How the layers of a stack differ: window and rotation of each.

    Args:
        config: the stack's.
        positions: int[T] or int[B, T], of the tokens in their segments.
        ahead: from a window, how many positions after itself a query sees; None for window - 1.
        back: the same for positions before it.
    """

    def __init__(
        self,
        config: RotaryConfig,
        positions: jax.Array,
        back: Callable[[Any], Any] = lambda window: window - 1,
        ahead: Callable[[Any], Any] = lambda window: window - 1,
    ) -> None:
        windows = np.array(config.layer_windows, np.int32)
        self.windowed = bool((windows > 0).any())
        both = self.windowed and config.local_rope_theta is not None
        bases = [False, True] if both else [False]
        positions_BT = jnp.atleast_2d(positions).astype(jnp.float32)
        angles = [
            positions_BT[:, :, None, None] * frequencies(config, local=local)[None, None, None]
            for local in bases
        ]
        self.cos, self.sin = (jnp.stack([turn(angle) for angle in angles]) for turn in (jnp.cos, jnp.sin))
        base = (windows > 0).astype(np.int32) if both else np.zeros_like(windows)
        sees = [np.where(windows > 0, reach(windows), FAR).astype(np.int32) for reach in (back, ahead)]
        self.xs = jax.tree.map(jnp.asarray, (base, *sees)) if self.windowed else None

    def of(self, x: Any) -> tuple[Rotation, Window | None]:
        """Return the rotation and the window of one layer, from its entry of `xs` in the scan."""
        if not self.windowed:
            return (self.cos[0], self.sin[0]), None
        base, back, ahead = x
        pick = functools.partial(jax.lax.dynamic_index_in_dim, index=base, keepdims=False)
        return (pick(self.cos), pick(self.sin)), (back, ahead)


class RotaryAttention(Attention):
    """Attention with grouped heads, and norms, biases and a soft cap where the config has them.

    Args:
        config: the stack's.
        rngs: source of the kernels' first values.
        source_dim: width of what keys and values are made of; by default the stack's own.
        saves_source: see `blocks.Attention`.
    """

    def __init__(
        self,
        config: RotaryConfig,
        rngs: nnx.Rngs,
        *,
        source_dim: int | None = None,
        saves_source: bool = True,
    ) -> None:
        self.config, self.soft_cap = config, config.attention_soft_cap
        D, K = config.emb_dim, config.head_dim
        linear = functools.partial(Linear, dtype=config.dtype, rngs=rngs, init='normal')
        into = functools.partial(linear, axes=('embed', 'joined_kv'), bias=config.qkv_bias)
        self.query = into((D, config.num_heads * K))
        self.key, self.value = (
            into((source_dim or D, config.num_kv_heads * K), name=PRODUCT if saves_source else None)
            for _ in range(2)
        )
        self.out = linear((config.num_heads * K, D), axes=('joined_kv', 'embed'))
        if config.qk_norm != 'none':
            self.query_norm, self.key_norm = (
                LayerNorm(K, config.dtype, config.norm_epsilon, 'kv')
                if config.qk_norm == 'head'
                else LayerNorm(heads * K, config.dtype, config.norm_epsilon, 'joined_kv')
                for heads in (config.num_heads, config.num_kv_heads)
            )

    def queries(self, x_BTD: jax.Array, rotation: Rotation | None = None) -> jax.Array:
        """Compute q_BTHK of the normed input, scaled."""
        scale = self.config.query_scale or self.config.head_dim**-0.5
        return self._turned(self.query(x_BTD), 'query', rotation) * jnp.asarray(scale, self.config.dtype)

    def keys_values(self, x_BSD: jax.Array, rotation: Rotation | None = None) -> tuple[jax.Array, jax.Array]:
        """Compute k_BSGK and v_BSGK; without a rotation, keys have no position."""
        return self._adapted(self._turned(self.key(x_BSD), 'key', rotation), self._heads(self.value(x_BSD)))

    def _turned(self, x_BTJ: jax.Array, name: str, rotation: Rotation | None) -> jax.Array:
        norm = getattr(self, f'{name}_norm', None)
        x_BTHK = self._heads(norm(x_BTJ) if self.config.qk_norm == 'joined' else x_BTJ)
        x_BTHK = norm(x_BTHK) if self.config.qk_norm == 'head' else x_BTHK
        return x_BTHK if rotation is None else rotate(x_BTHK, rotation)


class RotaryLayer(nnx.Module):
    """Self-attention, attention to a source where there is one, and an MLP, each normed as the config says
    and added to the residual stream.

    Args:
        config: the stack's.
        rngs: source of the parameters' first values.
        source_dim: width of the source that a sublayer of its own attends to; None for no such sublayer.
    """

    def __init__(self, config: RotaryConfig, rngs: nnx.Rngs, *, source_dim: int | None = None) -> None:
        self.config = config
        self.self_attention = RotaryAttention(config, rngs)
        sublayers = ['self_attention', 'mlp']
        if source_dim is not None:
            self.encoder_decoder_attention = RotaryAttention(
                config, rngs, source_dim=source_dim, saves_source=False
            )
            sublayers.append('cross_attention')
        self.mlp = MLP(
            config.emb_dim, config.mlp_dim, config.mlp_activations, config.dropout_rate, config.dtype, rngs
        )
        for sublayer in sublayers:
            for place in NORMS[config.norms]:
                setattr(self, f'{place}_{sublayer}_layer_norm', config.norm())

    def __call__(
        self,
        x_BTD: jax.Array,
        attend_self: Callable[[jax.Array], jax.Array],
        attend_source: Callable[[jax.Array], jax.Array] | None = None,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Compute the layer's output from the residual stream.

        Args:
            x_BTD: the residual stream.
            attend_self: self-attention of its input.
            attend_source: attention to the source, where the layer has a sublayer for it.
            key: turns dropout on.
        """
        (B, _, D), config = x_BTD.shape, self.config
        shapes = [(1, D), (1, D), (1, config.mlp_dim), (1, D)]
        keep_self, keep_source, keep_mlp, keep_out = dropout_masks(key, config.dropout_rate, B, shapes)
        x_BTD = self._add(x_BTD, 'self_attention', attend_self, keep_self)
        if attend_source is not None:
            x_BTD = self._add(x_BTD, 'cross_attention', attend_source, keep_source)
        return self._add(x_BTD, 'mlp', lambda h_BTD: self.mlp(h_BTD, keep_mlp), keep_out)

    def _add(
        self,
        x_BTD: jax.Array,
        sublayer: str,
        compute: Callable[[jax.Array], jax.Array],
        keep: jax.Array | None,
    ) -> jax.Array:
        before, after = (getattr(self, f'{place}_{sublayer}_layer_norm', None) for place in ('pre', 'post'))
        h_BTD = x_BTD if before is None else before(x_BTD)
        h_BTD = reshard(compute(reshard(h_BTD, RESIDUAL, GATHERED)), GATHERED, RESIDUAL)
        return x_BTD + dropout(h_BTD if after is None else after(h_BTD), keep, self.config.dropout_rate)


def logits_of(
    config: RotaryConfig, x_BTD: jax.Array, embedding: Embedding, dense: Logits | None
) -> jax.Array:
    """Compute logits_BTV in float32 of a stack's normed output, with the tied embedding unless there is a
    kernel.
    """
    return soft_capped(embedding.attend(x_BTD) if dense is None else dense(x_BTD), config.logits_soft_cap)
