"""The parts of a layer: projections, norms, MLP, embeddings, relative positions, dropout.

The name of an array ends with a letter for each of its axes (`x_BTD`), in model, mesh, training and eval:

    B  batch rows
    S  source length: the keys of attention, or the inputs
    T  target length: the queries of attention, or the targets
    D  embedding, the width of the residual stream
    H  attention heads, of the queries
    G  attention heads of keys and values, where these may be fewer
    K  dimension of a head
    J  heads x dimension of a head, joined
    F  width of the MLP
    V  vocabulary
    L  layers of a stack
    R  buckets of relative positions
    N  distances between a query and a key, key position minus query position: T + S of them (see
       `attention.blocks.spread_bias`)
    M  devices of the mesh axis `model`, one copy of an array for each
    P  pairs of an input and an option
    W  beams of a search
    C  candidates among which a beam search chooses, 2 W
    X  any other axis: a comment or the line itself says which
    1, 8  an axis of that size

einsum strings use the same letters. The rooms metrics and report have other axes; their modules name the
letters.

Logical axes of parameters are vocab, embed, mlp, heads, joined_kv, relpos_buckets and layers; activations
also have batch, length and residual_length (see `mesh.activations`). Initialisation follows
t5x.examples.t5.layers.
"""

import contextlib
import contextvars
import functools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from flanlite.mesh.activations import (
    MODEL_COPIES,
    RESIDUAL,
    Axes,
    constrain,
    current_rules,
    gather_param,
    look_up,
    scatters_in_stages,
)
from flanlite.model.products import cast, logits_product, product

ACTIVATIONS = {
    'gelu': jax.nn.gelu,
    'linear': lambda x: x,
    'relu': jax.nn.relu,
    'silu': jax.nn.silu,
    'swish': jax.nn.silu,
}
NUM_BUCKETS = 32
MAX_DISTANCE = 128
PRODUCT, MLP_PRODUCT = 'product', 'mlp_product'  # names of arrays, by which remat policies save them
WATCHER: contextvars.ContextVar[Callable[[Any], None] | None] = contextvars.ContextVar(
    'watcher', default=None
)


@contextlib.contextmanager
def watch_mlps(watcher: Callable[[Any], None]) -> Iterator[None]:
    """Call a function with the product of each MLP's first branch, product_BTF, in the order of the layers,
    in what is traced meanwhile for one device.
    """
    token = WATCHER.set(watcher)
    try:
        yield
    finally:
        WATCHER.reset(token)


def save_gathered(x_BTD: jax.Array) -> jax.Array:
    """Name a block's gathered input, so that remat policies save it with the products; only where a mesh has
    1-D parameters.

    Otherwise the backward pass would gather the input again over `model`. With 1-D parameters the step has
    memory to spare for it (see the storage sharding in `mesh.partitioning`), and traffic is what limits it;
    with 2-D parameters memory counts for more.
    """
    rules = current_rules()
    whole = rules is not None and rules.mesh.shape['model'] > 1 and rules.spec(('embed', 'mlp'))[0] is None
    return checkpoint_name(x_BTD, PRODUCT) if whole else x_BTD


@contextlib.contextmanager
def adapter_dropout(key: jax.Array | None) -> Iterator[None]:
    """Let adapters drop out what is computed inside; None turns it off. Linear maps are given no keys, since
    most have no adapter, so an adapter takes this one; `stacks.scan` makes one of it for each layer.

    Args:
        key: randomness.
    """
    token = _adapter_key.set(key)
    try:
        yield
    finally:
        _adapter_key.reset(token)


def adapter_key() -> jax.Array | None:
    """Return the key of `adapter_dropout`, if it is on."""
    return _adapter_key.get()


_adapter_key: contextvars.ContextVar[jax.Array | None] = contextvars.ContextVar('adapter_key', default=None)


@contextlib.contextmanager
def attended_tokens(table: 'Embedding', tokens_BS: jax.Array) -> Iterator[None]:
    """Let adapters of attention know what the keys that are computed inside are made of. Most attention has
    no adapter, so keys are given without their tokens.

    Args:
        table: embeds the tokens.
        tokens_BS: ids of tokens and of soft tokens.
    """
    token = _attended.set(table.adapter and table.adapter.at_keys(tokens_BS))
    try:
        yield
    finally:
        _attended.reset(token)


def given_at_keys() -> Any:
    """Return what the adapter of the table of `attended_tokens` has for keys, if there is one."""
    return _attended.get()


_attended: contextvars.ContextVar[Any] = contextvars.ContextVar('attended', default=None)


def dropout_masks(
    key: jax.Array | None, rate: float, rows: int, shapes: Sequence[tuple[int, ...]]
) -> list[jax.Array | None]:
    """Draw the boolean keep masks of several dropouts, [rows, *shape] each.

    One draw serves all dropouts of a layer, since every use of the random generator takes long to compile. As
    in T5, all positions share a draw (their axis is 1 in `shapes`), so masks are small beside activations;
    those of the encoder's output do so, too, for which T5X draws each.

    Args:
        key: randomness; without a key every mask is None, which keeps everything.
        rate: probability that an entry is dropped.
        rows: rows of the batch.
        shapes: of the masks, without the rows.
    """
    if key is None or rate == 0.0:
        return [None] * len(shapes)
    sizes = [math.prod(shape) for shape in shapes]
    keep_BX = constrain(jax.random.bernoulli(key, 1.0 - rate, (rows, sum(sizes))), ('batch', None))
    pieces = jnp.split(keep_BX, np.cumsum(sizes)[:-1], axis=1)
    return [piece.reshape(rows, *shape) for piece, shape in zip(pieces, shapes, strict=True)]


def dropout(x: jax.Array, keep: jax.Array | None, rate: float) -> jax.Array:
    """Set dropped entries to 0, and divide the others by 1 - rate.

    Args:
        x: an activation.
        keep: boolean mask from `dropout_masks` that broadcasts to x; None keeps everything.
        rate: probability that an entry was dropped.
    """
    return x if keep is None else x * (keep / (1.0 - rate)).astype(x.dtype)


class Linear(nnx.Module):
    """A matrix multiplication in `dtype` with a float32 kernel, and a bias if that is asked for.

    Args:
        shape: (inputs, outputs) of the kernel.
        axes: logical axes of the kernel.
        dtype: dtype of the product.
        rngs: source of the kernel's first values.
        init: distribution of the first values, for `jax.nn.initializers.variance_scaling`; their fan is the
            number of inputs.
        scale: variance of the first values, times the number of inputs.
        name: name of the product, by which remat policies save it; a product named None is never saved.
        bias: add a float32 vector to the product.
    """

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
        bias: bool = False,
    ) -> None:
        initializer = jax.nn.initializers.variance_scaling(scale, 'fan_in', init)
        self.kernel = nnx.Param(initializer(rngs.params(), shape, jnp.float32), axes=axes, computed_in=dtype)
        self.bias = (
            nnx.Param(jnp.zeros(shape[1], jnp.float32), axes=axes[1:], computed_in=dtype) if bias else None
        )
        self.axes = axes
        self.name = name
        self.dtype = dtype
        self.adapter = None  # see `linear_adapters`

    def __call__(self, x: jax.Array) -> jax.Array:
        """Multiply the last axis of x with the kernel; return the product in `dtype`, changed by an adapter
        if there is one.
        """
        x = x.astype(self.dtype)
        product = self.adapter(x, self._product) if self.adapter is not None else self._product(x)
        return checkpoint_name(product, self.name) if self.name else product

    def _product(self, x: jax.Array) -> jax.Array:
        product = self._multiply(x, cast(self.kernel[...], self.dtype))
        return product if self.bias is None else product + cast(self.bias[...], self.dtype)[None, None]

    def _multiply(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        if (rules := current_rules()) and rules.mesh.size > 1:
            # A kernel that is split over `data` is gathered once in a layer's pass, in `dtype`, and its
            # gradient is scattered. Rows and positions stay two axes, since they may lie on different mesh
            # axes.
            kernel = gather_param(kernel, self.axes)
            if (
                x.ndim == 4
                # X_MBSD of `broadcast_over_model`: each device of `model` multiplies its own copy with its
                # columns.
            ):
                specs = rules.spec(MODEL_COPIES), rules.spec((None, 'joined_kv'))
                multiply = jax.shard_map(
                    lambda x_1BSD, kernel_DJ: x_1BSD[0] @ kernel_DJ,
                    mesh=rules.mesh,
                    in_specs=specs,
                    out_specs=rules.spec(('batch', 'length', 'joined_kv')),
                )
                return multiply(x, kernel)
            if scatters_in_stages(kernel.shape, self.axes):
                return product(x, kernel, self.axes)
            return x @ kernel
        # Rows and positions are flattened, so that the kernel's gradient contracts one axis: for two, XLA's
        # CPU backend transposes first.
        return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)


class Logits(Linear):
    """The matrix multiplication to logits: in `dtype`, and then float32; see `logits_product`.

    Args:
        embed: inputs.
        vocab: outputs.
        dtype: of the product.
        rngs: source of the kernel's first values.
    """

    def __init__(self, embed: int, vocab: int, dtype: str, rngs: nnx.Rngs) -> None:
        super().__init__((embed, vocab), ('embed', 'vocab'), dtype, rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Multiply the last axis of x with the kernel; return the logits in float32."""
        product = logits_product(x.astype(self.dtype), cast(self.kernel[...], self.dtype), self.axes)
        return product.astype(jnp.float32)


class LayerNorm(nnx.Module):
    """T5's root-mean-square norm: statistics in float32, no mean subtracted, no bias.

    Args:
        features: size of the last axis, which is normed.
        dtype: of the result.
        epsilon: is added to the mean square.
        axis: logical axis of the scale.
    """

    def __init__(self, features: int, dtype: str, epsilon: float = 1e-6, axis: str = 'embed') -> None:
        self.scale = nnx.Param(jnp.ones(features, jnp.float32), axes=(axis,))
        self.dtype, self.epsilon = dtype, epsilon

    def __call__(self, x_BTD: jax.Array) -> jax.Array:
        """Divide each position by its root mean square, and multiply it with the scale; return it in
        `dtype`.
        """
        x_BTD = x_BTD.astype(jnp.float32)
        mean_square_BT1 = jnp.mean(jnp.square(x_BTD), axis=-1, keepdims=True)
        normed_BTD = (x_BTD * jax.lax.rsqrt(mean_square_BT1 + self.epsilon)).astype(self.dtype)
        return normed_BTD * self.scale[...].astype(self.dtype)[(None,) * (x_BTD.ndim - 1)]


class MLP(nnx.Module):
    """T5's feed-forward block; with several activations, as in T5 1.1, the branches are multiplied with each
    other.

    Args:
        embed: inputs and outputs.
        mlp: width between them.
        activations: names of `ACTIVATIONS`, one for each branch.
        dropout_rate: of dropout before the second product.
        dtype: of both products.
        rngs: source of the kernels' first values.
    """

    def __init__(
        self,
        embed: int,
        mlp: int,
        activations: Sequence[str],
        dropout_rate: float,
        dtype: str,
        rngs: nnx.Rngs,
    ) -> None:
        self.activations = tuple(activations)
        self.dropout_rate = dropout_rate
        for name in self._branches():
            setattr(self, name, Linear((embed, mlp), ('embed', 'mlp'), dtype, rngs, name=MLP_PRODUCT))
        self.wo = Linear((mlp, embed), ('mlp', 'embed'), dtype, rngs)

    def _branches(self) -> list[str]:
        return ['wi'] if len(self.activations) == 1 else [f'wi_{i}' for i in range(len(self.activations))]

    def __call__(self, x_BTD: jax.Array, keep_B1F: jax.Array | None = None) -> jax.Array:
        """Compute the block's output, x_BTD, from its normed input; `keep_B1F` is the mask of dropout."""
        x_BTD = save_gathered(x_BTD)
        products = [getattr(self, name)(x_BTD) for name in self._branches()]
        if watcher := WATCHER.get():
            jax.debug.callback(watcher, products[0], ordered=True)
        branches = [
            ACTIVATIONS[act](product) for act, product in zip(self.activations, products, strict=True)
        ]
        h_BTF = functools.reduce(operator.mul, branches)
        h_BTF = constrain(dropout(h_BTF, keep_B1F, self.dropout_rate), ('batch', 'length', 'mlp'))
        return self.wo(h_BTF)


class Embedding(nnx.Module):
    """Token embeddings, shared by encoder and decoder, and by the logits where they are tied.

    Args:
        vocab: rows of the table.
        embed: width of the table.
        dtype: of the embedded tokens.
        rngs: source of the table's first values.
        logits_dtype: in which `attend` multiplies, where the logits are tied; None where they are not.
        deviation: standard deviation of the first values.
        scale: multiplies the embedded tokens.
        logits_scale: multiplies the tied logits; by default 1/sqrt(D), as in T5.
    """

    def __init__(
        self,
        vocab: int,
        embed: int,
        dtype: str,
        rngs: nnx.Rngs,
        *,
        logits_dtype: str | None = None,
        deviation: float = 1.0,
        scale: float = 1.0,
        logits_scale: float | None = None,
    ) -> None:
        table_VD = jax.random.normal(rngs.params(), (vocab, embed), jnp.float32) * deviation
        self.embedding = nnx.Param(table_VD, axes=('vocab', 'embed'), computed_in=logits_dtype or dtype)
        self.dtype, self.logits_dtype, self.scale = dtype, logits_dtype, scale
        self.logits_scale = 1.0 / math.sqrt(embed) if logits_scale is None else logits_scale
        self.adapter = None  # see `soft_prompt` and `soft_prefix`

    def __call__(self, tokens_BT: jax.Array, inputs_BT: jax.Array | None = None) -> jax.Array:
        """Look up tokens: x_BTD in `dtype`; an adapter, if there is one, has ids of its own.

        Args:
            tokens_BT: the ids.
            inputs_BT: at inputs the segment, 0 elsewhere; by default there are none but soft tokens.
        """
        if self.adapter is not None:
            return constrain(self.adapter(tokens_BT, self.look_up, inputs_BT), RESIDUAL)
        return constrain(self.look_up(tokens_BT), RESIDUAL)

    def look_up(self, tokens_BT: jax.Array) -> jax.Array:
        """Look up tokens, without an adapter."""
        x_BTD = look_up(self.embedding[...].astype(self.dtype), tokens_BT)
        return x_BTD if self.scale == 1.0 else x_BTD * jnp.asarray(self.scale, self.dtype)

    def attend(self, x_BTD: jax.Array) -> jax.Array:
        """Compute the tied logits in float32; see `logits_product`."""
        kernel_DV = cast(self.embedding[...], self.logits_dtype).T
        product_BTV = logits_product(x_BTD.astype(self.logits_dtype), kernel_DV, ('embed', 'vocab'))
        return product_BTV.astype(jnp.float32) * self.logits_scale


def relative_position_bucket(distance: np.ndarray, *, bidirectional: bool) -> np.ndarray:
    """Map distances, key position minus query position, to T5's buckets
    (t5x.examples.t5.layers.RelativePositionBiases).

    Near distances have a bucket each, those up to `MAX_DISTANCE` logarithmic ones, and all farther distances
    share the last. A bidirectional stack has half of the buckets for keys before the query and half for keys
    after it; otherwise later keys are hidden.
    """
    buckets = NUM_BUCKETS // 2 if bidirectional else NUM_BUCKETS
    offset = np.where(distance > 0, buckets, 0) if bidirectional else 0
    n = np.abs(distance) if bidirectional else np.maximum(-distance, 0)
    exact = buckets // 2
    log_ratio = np.log(n.astype(np.float32) / exact + np.finfo(np.float32).eps) / np.log(MAX_DISTANCE / exact)
    far = np.minimum(exact + (log_ratio * (buckets - exact)).astype(np.int32), buckets - 1)
    return offset + np.where(n < exact, n, far)


class RelativePositionBias(nnx.Module):
    """T5's learnt bias on attention logits, float32: for each head one value for every bucket of distances.

    Args:
        num_heads: number of heads.
        rngs: source of the first values.
        bidirectional: whether keys after the query are seen; see `relative_position_bucket`.
    """

    def __init__(self, num_heads: int, rngs: nnx.Rngs, *, bidirectional: bool) -> None:
        initializer = jax.nn.initializers.variance_scaling(1.0, 'fan_avg', 'uniform')
        self.rel_embedding = nnx.Param(
            initializer(rngs.params(), (num_heads, NUM_BUCKETS), jnp.float32),
            axes=('heads', 'relpos_buckets'),
        )
        self.bidirectional = bidirectional

    def __call__(self, length: int) -> jax.Array:
        """Compute bias_HN of `length` queries and as many keys, by distance; `attention.blocks.spread_bias`
        makes bias_HTS of it.
        """
        # The last distance only fills up; nothing reads its bias.
        distance_N = np.arange(1 - length, length + 1)
        bucket_N = relative_position_bucket(distance_N, bidirectional=self.bidirectional)
        one_hot_RN = jnp.asarray(np.arange(NUM_BUCKETS)[:, None] == bucket_N[None, :], jnp.float32)
        return jnp.dot(self.rel_embedding[...], one_hot_RN, precision='highest')
