"""Stacks of layers: parameters stacked on axis 0, and a scan over them, so that compile time does not grow
with depth.

The gradients of a scan's inputs are stacked by JAX in the dtype of those inputs. Parameters are float32, but
a layer casts them and multiplies in bfloat16, so their gradients are bfloat16 numbers that JAX would keep in
stacks of float32: twice the memory that they need, for the largest arrays of a training step. JAX has no
setting for this, so `scan` leads each gradient around the parameter:

    1. `gradient_slot(param, dtype)` makes zeros of the parameter's shape in `dtype`. The program never reads
       them.
    2. The scan runs over the parameters, cut off by `stop_gradient`, and over the slots.
    3. In the body, `redirect_gradient(param, slot)` returns the parameter, but its gradient is the slot's, in
       the slot's dtype. So the scan stacks gradients in `dtype`.
    4. Outside, the gradient rule of `gradient_slot` casts the slot's stacked gradient to the parameter's
       dtype and gives it to the parameter.

No bit is lost: the gradient of `cast` in a layer is a bfloat16 array cast to float32, and casting it back is
exact. This holds as long as a layer uses each such parameter once; a second use would be added in float32 and
then rounded.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.model.layers import adapter_dropout, adapter_key
from flanlite.model.models import REMAT_POLICIES


def stack(make: Callable[[nnx.Rngs], nnx.Module], num_layers: int, rngs: nnx.Rngs) -> nnx.Module:
    """Make a module whose parameters are those of `num_layers` layers, stacked on axis 0.

    Args:
        make: makes one layer.
        num_layers: length of axis 0.
        rngs: source of the layers' random numbers, each layer with a key of its own.
    """
    return nnx.vmap(lambda key: make(nnx.Rngs(key)))(jax.random.split(rngs.params(), num_layers))


def scan(
    step: Callable, layers: nnx.Module, carry: Any, xs: Any, remat_policy: str = 'none'
) -> tuple[Any, Any]:
    """Run `step(layer, carry, x) -> (carry, y)` over stacked layers, as `jax.lax.scan` does.

    Args:
        step: computes one layer.
        layers: from `stack`.
        carry: what the first layer gets, and each layer hands to the next.
        xs: tree of arrays with an entry for each layer on axis 0, or None.
        remat_policy: a name of `models.REMAT_POLICIES`: what the backward pass computes again.

    Returns:
        The last carry, and the stacked ys.
    """
    graphdef, state = nnx.split(layers)
    params, tree = jax.tree.flatten(state)
    variables = jax.tree.leaves(state, is_leaf=lambda x: isinstance(x, nnx.Param))
    dtypes = [variable.get_metadata().get('computed_in') or variable.dtype for variable in variables]
    slots = [
        None if param.dtype == dtype else gradient_slot(param, dtype)
        for param, dtype in zip(params, dtypes, strict=True)
    ]
    params = [
        param if slot is None else jax.lax.stop_gradient(param)
        for param, slot in zip(params, slots, strict=True)
    ]

    def body(carry: Any, layer: tuple[Any, Any, Any, Any]) -> tuple[Any, Any]:
        params, slots, x, key = layer
        params = [
            param if slot is None else redirect_gradient(param, slot)
            for param, slot in zip(params, slots, strict=True)
        ]
        with adapter_dropout(key):
            return step(nnx.merge(graphdef, jax.tree.unflatten(tree, params)), carry, x)

    if remat_policy != 'none':
        # In a scan, XLA cannot merge the recomputation with the forward pass, so the guard against it is not
        # needed.
        body = jax.checkpoint(body, policy=REMAT_POLICIES[remat_policy], prevent_cse=False)
    key = adapter_key()
    keys = None if key is None else jax.random.split(key, params[0].shape[0])
    return jax.lax.scan(body, carry, (params, slots, xs, keys))


@jax.custom_vjp
def redirect_gradient(param: jax.Array, slot: jax.Array) -> jax.Array:
    """Return the parameter; its gradient becomes that of the slot, in the slot's dtype."""
    return param


# `slot[:0]` is an empty array: it tells the backward pass the dtype, and takes no memory.
redirect_gradient.defvjp(
    lambda param, slot: (param, slot[:0]), lambda like_slot, grad: (None, grad.astype(like_slot.dtype))
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gradient_slot(param: jax.Array, dtype: str) -> jax.Array:
    """Return zeros of the parameter's shape in `dtype`; the gradient of these zeros becomes the parameter's,
    in the parameter's dtype.

    XLA removes the zeros from the program, since nothing reads them.
    """
    return jnp.zeros(param.shape, dtype)


gradient_slot.defvjp(
    lambda param, dtype: (gradient_slot(param, dtype), param[:0]),
    lambda dtype, like_param, grad: (grad.astype(like_param.dtype),),
)


def split_keys(key: jax.Array | None, num_layers: int) -> tuple[jax.Array | None, jax.Array | None]:
    """Split a key into one for the stack itself and a stack of keys for its layers; None gives None for
    both.
    """
    if key is None:
        return None, None
    own, for_layers = jax.random.split(key)
    return own, jax.random.split(for_layers, num_layers)
