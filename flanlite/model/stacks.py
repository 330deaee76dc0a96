"""Layers whose parameters lie stacked on axis 0, and the scan over them: compile time does not grow with depth."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.model.models import REMAT_POLICIES


def stack(make: Callable[[nnx.Rngs], nnx.Module], num_layers: int, rngs: nnx.Rngs) -> nnx.Module:
    """Make layers whose parameters lie stacked on axis 0."""
    return nnx.vmap(lambda key: make(nnx.Rngs(key)))(jax.random.split(rngs.params(), num_layers))


def scan(step: Callable, layers: nnx.Module, carry: Any, xs: Any, remat_policy: str = 'none') -> tuple[Any, Any]:
    """Run `step(layer, carry, x) -> (carry, y)` over stacked layers.

    Gradients are stacked in the dtype that they were computed in: in bfloat16 they take half of float32's memory, and lose nothing.
    """
    graphdef, state = nnx.split(layers)
    params, tree = jax.tree.flatten(state)
    variables = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, nnx.Param))
    dtypes = [variable.get_metadata().get('computed_in') or variable.dtype for variable in variables]
    slots = [None if param.dtype == dtype else gradient_slot(param, dtype) for param, dtype in zip(params, dtypes, strict=True)]
    params = [param if slot is None else jax.lax.stop_gradient(param) for param, slot in zip(params, slots, strict=True)]

    def body(carry: Any, layer: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        params, slots, x = layer
        params = [param if slot is None else redirect_gradient(param, slot) for param, slot in zip(params, slots, strict=True)]
        return step(nnx.merge(graphdef, jax.tree.unflatten(tree, params)), carry, x)

    if remat_policy != 'none':
        body = jax.checkpoint(body, policy=REMAT_POLICIES[remat_policy], prevent_cse=False)
    return jax.lax.scan(body, carry, (params, slots, xs))


@jax.custom_vjp
def redirect_gradient(param: jax.Array, slot: jax.Array) -> jax.Array:
    """Return the parameter, and let its gradient be that of the slot, in the slot's dtype."""
    return param


redirect_gradient.defvjp(lambda param, slot: (param, slot[:0]), lambda like_slot, grad: (None, grad.astype(like_slot.dtype)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gradient_slot(param: jax.Array, dtype: str) -> jax.Array:
    """Make zeros in `dtype`, which nothing reads, and whose gradient is the parameter's."""
    return jnp.zeros(param.shape, dtype)


gradient_slot.defvjp(
    lambda param, dtype: (gradient_slot(param, dtype), param[:0]), lambda dtype, like_param, grad: (grad.astype(like_param.dtype),)
)


def split_keys(key: jax.Array | None, num_layers: int) -> tuple[jax.Array | None, jax.Array | None]:
    """Make a stack's key, and the stacked keys of its layers."""
    if key is None:
        return None, None
    own, for_layers = jax.random.split(key)
    return own, jax.random.split(for_layers, num_layers)
