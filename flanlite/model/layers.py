"""The parts of a T5 layer: projections, norms, MLP, embeddings, relative positions, dropout.

Axis legend, used in the names of arrays throughout the model (`x_BTD`):
    B batch    S source (key) length    T target (query) length
    D embedding    H heads    K head dimension    J heads x head dimension    F MLP    V vocabulary
    L layers    R relative-position buckets

Logical axis names of parameters: vocab, embed, mlp, heads, joined_kv, relpos_buckets, layers; of activations also batch, length, and
residual_length: the residual stream may be split along its length where attention and MLP are split by heads and width.
Initialisation follows t5x.examples.t5.layers.
"""

import functools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from flanlite.mesh.activations import MODEL_COPIES, RESIDUAL, Axes, constrain, current_rules, gather_param

ACTIVATIONS = {'gelu': jax.nn.gelu, 'linear': lambda x: x, 'relu': jax.nn.relu, 'silu': jax.nn.silu, 'swish': jax.nn.silu}
NUM_BUCKETS = 32
MAX_DISTANCE = 128
PRODUCT, MLP_PRODUCT = 'product', 'mlp_product'  # what remat policies save


def save_gathered(x_BTD: jax.Array) -> jax.Array:
    """Let remat policies save what was gathered for a block as they do products, where parameters are whole: to gather again is traffic."""
    rules = current_rules()
    whole = rules is not None and rules.mesh.shape['model'] > 1 and rules.spec(('embed', 'mlp'))[0] is None
    return checkpoint_name(x_BTD, PRODUCT) if whole else x_BTD


def cast(param: jax.Array, dtype: str) -> jax.Array:
    """Bring a layer's parameter to the dtype that it is multiplied in.

    It is rounded first, since the TPU's compiler would else cast all layers' before the first, and keep them beside the float32 ones.
    """
    if param.dtype == dtype:
        return param
    info = jnp.finfo(dtype)
    return jax.lax.reduce_precision(param, info.nexp, info.nmant).astype(dtype)


@jax.custom_vjp
def gradient_barrier(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return both, with their gradients computed at one time: a kernel's alone could come late, and keep alive what it is computed from."""
    return x, kernel


gradient_barrier.defvjp(lambda x, kernel: ((x, kernel), None), lambda _, grads: jax.lax.optimization_barrier(grads))


def dropout_masks(key: jax.Array | None, rate: float, rows: int, shapes: Sequence[tuple[int, ...]]) -> list[jax.Array | None]:
    """Draw what to keep at several places, [rows, *shape] each; None for each without a key, which keeps all.

    One draw serves all the places of a layer, since every use of the generator takes long to compile. As in T5, positions share a draw
    (their axis is 1 in `shapes`), so the masks are small beside the activations.
    """
    if key is None or rate == 0.0:
        return [None] * len(shapes)
    sizes = [math.prod(shape) for shape in shapes]
    keep_BX = constrain(jax.random.bernoulli(key, 1.0 - rate, (rows, sum(sizes))), ('batch', None))
    pieces = jnp.split(keep_BX, np.cumsum(sizes)[:-1], axis=1)
    return [piece.reshape(rows, *shape) for piece, shape in zip(pieces, shapes, strict=True)]


def dropout(x: jax.Array, keep: jax.Array | None, rate: float) -> jax.Array:
    """Drop what `keep` does not keep, and scale the rest up to the same mean."""
    return x if keep is None else x * (keep / (1.0 - rate)).astype(x.dtype)


class Linear(nnx.Module):
    """A matrix multiplication without bias, in `dtype`, over a float32 kernel."""

    def __init__(
        self,
        shape: tuple[int, int],
        axes: Axes,
        dtype: str,
        rngs: nnx.Rngs,
        *,
        init: str = 'truncated_normal',
        scale: float = 1.0,
        name: str | None = PRODUCT,
    ) -> None:
        initializer = jax.nn.initializers.variance_scaling(scale, 'fan_in', init)
        self.kernel = nnx.Param(initializer(rngs.params(), shape, jnp.float32), axes=axes, computed_in=dtype)
        self.axes = axes
        self.name = name  # by which a remat policy saves the product; None is never saved
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        product = self._multiply(x.astype(self.dtype), cast(self.kernel[...], self.dtype))
        return checkpoint_name(product, self.name) if self.name else product

    def _multiply(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        if (rules := current_rules()) and rules.mesh.size > 1:
            # Where kernels are split over the data axis too, a layer's are gathered once a pass, in `dtype`, and their gradients
            # scattered. Rows and positions stay apart, since they may lie on mesh axes of their own.
            kernel = gather_param(kernel, self.axes)
            if x.ndim == 4:  # lent to the parts of the model: each multiplies its own copy with its columns
                specs = rules.spec(MODEL_COPIES), rules.spec((None, 'joined_kv'))
                multiply = jax.shard_map(
                    lambda x_1BSD, kernel_DJ: x_1BSD[0] @ kernel_DJ,
                    mesh=rules.mesh,
                    in_specs=specs,
                    out_specs=rules.spec(('batch', 'length', 'joined_kv')),
                )
                return multiply(x, kernel)
            return x @ kernel
        # Over flat rows: the kernel's gradient then contracts one axis, where XLA's CPU backend would transpose for two.
        return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


class Logits(Linear):
    """The last matrix multiplication, in float32; the logits' gradient, which is large, is used up before the layers' backward pass."""

    def __init__(self, embed: int, vocab: int, rngs: nnx.Rngs) -> None:
        super().__init__((embed, vocab), ('embed', 'vocab'), 'float32', rngs)

    def _multiply(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        return super()._multiply(*gradient_barrier(x, kernel))


class LayerNorm(nnx.Module):
    """T5's root-mean-square norm: statistics in float32, neither mean nor bias."""

    def __init__(self, features: int, dtype: str) -> None:
        self.scale = nnx.Param(jnp.ones(features, jnp.float32), axes=('embed',))
        self.dtype = dtype

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        x_BTD = x_BTD.astype(jnp.float32)
        mean_square_BT1 = jnp.mean(jnp.square(x_BTD), axis=-1, keepdims=True)
        normed_BTD = (x_BTD * jax.lax.rsqrt(mean_square_BT1 + 1e-6)).astype(self.dtype)
        return normed_BTD * self.scale[...].astype(self.dtype)[None, None]


class MLP(nnx.Module):
    """T5's feed-forward block; with several activations (T5 1.1) their branches are multiplied."""

    def __init__(self, embed: int, mlp: int, activations: Sequence[str], dropout_rate: float, dtype: str, rngs: nnx.Rngs) -> None:
        self.activations = tuple(activations)
        self.dropout_rate = dropout_rate
        for name in self._branches():
            setattr(self, name, Linear((embed, mlp), ('embed', 'mlp'), dtype, rngs, name=MLP_PRODUCT))
        self.wo = Linear((mlp, embed), ('mlp', 'embed'), dtype, rngs)

    def _branches(self) -> list[str]:
        return ['wi'] if len(self.activations) == 1 else [f'wi_{i}' for i in range(len(self.activations))]

    def __call__(self, x_BTD: jax.Array, keep_B1F: jax.Array | None = None) -> jax.Array:
        x_BTD = save_gathered(x_BTD)
        branches = [ACTIVATIONS[act](getattr(self, name)(x_BTD)) for name, act in zip(self._branches(), self.activations, strict=True)]
        h_BTF = functools.reduce(operator.mul, branches)
        h_BTF = constrain(dropout(h_BTF, keep_B1F, self.dropout_rate), ('batch', 'length', 'mlp'))
        return self.wo(h_BTF)


class Embedding(nnx.Module):
    """Token embeddings, shared by encoder and decoder, and by the logits where they are tied."""

    def __init__(self, vocab: int, embed: int, dtype: str, rngs: nnx.Rngs, *, tied: bool) -> None:
        table_VD = jax.random.normal(rngs.params(), (vocab, embed), jnp.float32)
        self.embedding = nnx.Param(table_VD, axes=('vocab', 'embed'), computed_in='float32' if tied else dtype)
        self.dtype = dtype

    def __call__(self, tokens_BT: jax.Array) -> jax.Array:
        # Whole in its width, else XLA gathers the rows over all devices, not the table.
        table_VD = gather_param(self.embedding[...].astype(self.dtype), ('vocab', 'embed'))
        return constrain(table_VD[tokens_BT], RESIDUAL)

    def attend(self, x_BTD: jax.Array) -> jax.Array:
        """Compute tied logits in float32, scaled by 1/sqrt(D)."""
        table_VD = gather_param(self.embedding[...], ('vocab', 'embed'))
        return x_BTD.astype(jnp.float32) @ table_VD.T / math.sqrt(x_BTD.shape[-1])


def relative_position_bucket(distance: np.ndarray, *, bidirectional: bool) -> np.ndarray:
    """Map key position minus query position to T5's buckets: exact when near, logarithmic to `MAX_DISTANCE`, then one for all."""
    buckets = NUM_BUCKETS // 2 if bidirectional else NUM_BUCKETS
    offset = np.where(distance > 0, buckets, 0) if bidirectional else 0
    n = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
    exact = buckets // 2
    log_ratio = np.log(n.astype(np.float32) / exact + np.finfo(np.float32).eps) / np.log(MAX_DISTANCE / exact)
    far = np.minimum(exact + (log_ratio * (buckets - exact)).astype(np.int32), buckets - 1)
    return offset + np.where(n < exact, n, far)


class RelativePositionBias(nnx.Module):
    """T5's learnt bias on attention logits, one value a head for each bucket of distances; float32."""

    def __init__(self, num_heads: int, rngs: nnx.Rngs, *, bidirectional: bool) -> None:
        initializer = jax.nn.initializers.variance_scaling(1.0, 'fan_avg', 'uniform')
        self.rel_embedding = nnx.Param(
            initializer(rngs.params(), (num_heads, NUM_BUCKETS), jnp.float32), axes=('heads', 'relpos_buckets')
        )
        self.bidirectional = bidirectional

    def __call__(self, length: int) -> jax.Array:
        """Compute the bias by distance, bias_HN, of `length` queries on as many keys; see `spread_bias`."""
        distance_N = np.arange(1 - length, length + 1)  # the last is a filler that is never read
        bucket_N = relative_position_bucket(distance_N, bidirectional=self.bidirectional)
        one_hot_RN = jnp.asarray(np.arange(NUM_BUCKETS)[:, None] == bucket_N[None, :], jnp.float32)
        return jnp.dot(self.rel_embedding[...], one_hot_RN, precision='highest')


