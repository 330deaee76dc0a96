"""Adapters of linear maps: LoRA and (IA)3."""

import math
import zlib
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from flanlite.config import value
from flanlite.limits import Below1, Count, Pattern, Positive
from flanlite.model import patterns
from flanlite.model.adapters import Adapter
from flanlite.model.layers import Linear, Logits, adapter_key, dropout
from flanlite.model.products import cast

Array = jax.Array | np.ndarray


@value
class LinearAdapter(Adapter):
    """A change to linear maps.

    Args:
        targets: patterns of the linear maps that are adapted, for whole names such as
            `decoder/layers/self_attention/query`.

    The other fields are those of every adapter; see `adapters.Adapter`.
    """

    targets: tuple[Pattern, ...] = ('.*/(query|value)',)

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError(f'{type(self).__name__}.targets is empty; expected patterns of linear maps')

    def attach(self, network: nnx.Module, rngs: nnx.Rngs) -> None:
        """Put the adapter's parameters into a network.

        Raises:
            ValueError: a pattern matches no linear map.
        """
        linears = {
            '/'.join(map(str, path)): module
            for path, module in nnx.iter_modules(network)
            if isinstance(module, Linear) and not isinstance(module, Logits)
        }
        patterns.check_names(linears, self.targets, 'linear map')
        chosen = [patterns.compile_pattern(each) for each in self.targets]
        key = rngs.params()
        for name, linear in linears.items():
            if any(each.fullmatch(name) for each in chosen):
                own = jax.random.fold_in(key, zlib.crc32(name.encode()))
                linear.adapter = nnx.data(self.change(linear, name, own))

    def change(self, linear: Linear, name: str, key: jax.Array) -> nnx.Module:
        """Make what a linear map is changed by, with its first parameters.

        Args:
            linear: the map; its kernel has the shape [..., inputs, outputs], in a stack with an axis of the
                layers before.
            name: of the map.
            key: source of the first values.
        """
        raise NotImplementedError

    def merged(self, kind: str, array: Array, change: Mapping[str, Array], name: str) -> Array:
        """Return an array of a linear map with which it does alone what it does with its change.

        Args:
            kind: `kernel` or `bias`.
            array: of the map, or of a stack of maps; float32.
            change: the adapter's parameters of the map.
            name: of the map.
        """
        raise NotImplementedError


@value
class LoRA(LinearAdapter):
    """Low-rank adaptation (Hu et al. 2021): to the product of a linear map a second one is added, of two
    small matrices. The second begins with zeros, so that the model begins as it is.

    Args:
        rank: columns of the first matrix, and rows of the second.
        alpha: the second product is multiplied by alpha / rank.
        rank_stabilized: multiply by alpha / sqrt(rank) instead (Kalajdzievski 2023).
        dropout: probability, in training, that an entry of what the two matrices multiply is dropped.
    """

    rank: Count = 8
    alpha: Positive = 16.0
    rank_stabilized: bool = False
    dropout: Below1 = 0.0

    @property
    def scale(self) -> float:
        """What the second product is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilized else self.rank)

    def change(self, linear: Linear, name: str, key: jax.Array) -> nnx.Module:
        """See `LinearAdapter.change`."""
        return LowRank(linear, self.rank, self.scale, key, self.dropout, zlib.crc32(name.encode()))

    def merged(self, kind: str, array: Array, change: Mapping[str, Array], name: str) -> Array:
        """See `LinearAdapter.merged`."""
        del name
        if kind != 'kernel':
            return array
        return array + jnp.matmul(change['lora_a'], change['lora_b'], precision='highest') * self.scale


class LowRank(nnx.Module):
    """The two matrices of `LoRA` at one linear map.

    Args:
        linear: the map.
        rank: between the matrices.
        scale: of their product.
        key: source of the first values.
        dropout: see `LoRA`.
        number: tells the map's dropout from that of others.
    """

    def __init__(
        self, linear: Linear, rank: int, scale: float, key: jax.Array, dropout: float, number: int
    ) -> None:
        *stacked, inputs, outputs = linear.kernel.shape
        bound = 1.0 / math.sqrt(inputs)  # as in the paper's code
        first = jax.random.uniform(key, (*stacked, inputs, rank), jnp.float32, -bound, bound)
        kept = {'computed_in': linear.dtype}
        self.lora_a = nnx.Param(first, axes=(linear.axes[0], None), **kept)
        self.lora_b = nnx.Param(
            jnp.zeros((*stacked, rank, outputs), jnp.float32), axes=(None, linear.axes[1]), **kept
        )
        self.scale, self.dtype, self.dropout, self.number = scale, linear.dtype, dropout, number

    def __call__(self, x: jax.Array, multiply: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """Return the linear map's product, changed.

        Args:
            x: what is multiplied.
            multiply: the linear map.
        """
        kept = x[0] if x.ndim == 4 else x  # X_MBSD of `broadcast_over_model`, equal copies
        if self.dropout and (key := adapter_key()) is not None:
            keep = jax.random.bernoulli(jax.random.fold_in(key, self.number), 1.0 - self.dropout, kept.shape)
            kept = dropout(kept, keep, self.dropout)
        low = kept @ cast(self.lora_a[...], self.dtype)
        return multiply(x) + low @ cast(self.lora_b[...], self.dtype) * self.scale


@value
class IA3(LinearAdapter):
    """(IA)3 (Liu et al. 2022): a learnt factor for each output of a linear map, or for each input of the one
    that ends an MLP. The factors begin with 1.

    Args:
        input_targets: patterns of the maps whose inputs are multiplied, not their outputs.
    """

    targets: tuple[Pattern, ...] = ('.*/(key|value)', '.*/mlp/wo')
    input_targets: tuple[Pattern, ...] = ('.*/mlp/wo',)

    def change(self, linear: Linear, name: str, key: jax.Array) -> nnx.Module:
        """See `LinearAdapter.change`."""
        del key
        return Factors(linear, self.of_inputs(name))

    def of_inputs(self, name: str) -> bool:
        """Return whether the inputs of a map are multiplied, and not its outputs."""
        return any(patterns.compile_pattern(each).fullmatch(name) for each in self.input_targets)

    def merged(self, kind: str, array: Array, change: Mapping[str, Array], name: str) -> Array:
        """See `LinearAdapter.merged`."""
        factors = change['ia3']
        if self.of_inputs(name):
            return array * factors[..., :, None] if kind == 'kernel' else array
        return array * (factors[..., None, :] if kind == 'kernel' else factors)


class Factors(nnx.Module):
    """The factors of `IA3` at one linear map.

    Args:
        linear: the map.
        of_inputs: multiply its inputs, not its outputs.
    """

    def __init__(self, linear: Linear, of_inputs: bool) -> None:
        *stacked, inputs, outputs = linear.kernel.shape
        axis = linear.axes[0 if of_inputs else 1]
        self.ia3 = nnx.Param(
            jnp.ones((*stacked, inputs if of_inputs else outputs), jnp.float32),
            axes=(axis,),
            computed_in=linear.dtype,
        )
        self.of_inputs, self.dtype = of_inputs, linear.dtype

    def __call__(self, x: jax.Array, multiply: Callable[[jax.Array], jax.Array]) -> jax.Array:
        """See `LowRank.__call__`."""
        factors = cast(self.ia3[...], self.dtype)

        def scaled(x: jax.Array) -> jax.Array:
            return x * factors[(None,) * (x.ndim - 1)]

        return multiply(scaled(x)) if self.of_inputs else scaled(multiply(x))
