"""Where activations and gathered parameters lie on the mesh while a model is traced."""

import contextlib
import contextvars
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from flanlite.mesh.partitioning import Axes, Partitioner

RESIDUAL = ('batch', 'residual_length', 'embed')  # between the blocks, and what is kept of a layer for the backward pass
GATHERED = ('batch', 'length', None)  # what a block multiplies with its share of the weights
MODEL_COPIES = ('joined_kv', 'batch', 'length', None)  # a copy of it for each part of the model

_rules: contextvars.ContextVar[Partitioner | None] = contextvars.ContextVar('activation_rules', default=None)


@contextlib.contextmanager
def activation_rules(rules: Partitioner) -> Iterator[None]:
    """Constrain every activation that the model names, and choose implementations for the mesh, while it is traced in this context."""
    token = _rules.set(rules)
    try:
        yield
    finally:
        _rules.reset(token)


def constrain(x: jax.Array, axes: Axes) -> jax.Array:
    """Constrain the sharding of an activation by its logical axes; does nothing unless `activation_rules` are in force."""
    rules = _rules.get()
    return x if rules is None else rules.constrain(x, axes)


def current_rules() -> Partitioner | None:
    """Return the `activation_rules` in force."""
    return _rules.get()


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def reshard(x: jax.Array, before: Axes, after: Axes) -> jax.Array:
    """Take an activation from one sharding to another, and its gradient back the same way.

    From the residual stream's to a block's, this gathers; from a block's partial sums to the residual stream's, it sums and scatters.
    """
    return constrain(x, after)


reshard.defvjp(lambda x, before, after: (reshard(x, before, after), None), lambda before, after, _, grad: (constrain(grad, before),))


def broadcast_over_model(x_BSD: jax.Array) -> jax.Array:
    """Give each part of the model a copy, x_MBSD, of what all layers read; each has it whole anyway.

    Gradients of the copies add up over the layers where they are, and the parts' sums are summed and scattered once, not in every layer.
    """
    rules = _rules.get()
    if rules is None or (parts := rules.mesh.shape['model']) == 1:
        return x_BSD
    return constrain(jnp.broadcast_to(x_BSD[None], (parts, *x_BSD.shape)), MODEL_COPIES)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather_param(param: jax.Array, axes: Axes) -> jax.Array:
    """Take a parameter whole in its width, as it is multiplied with, and scatter its gradient to where it lies between steps."""
    return constrain(param, tuple(None if axis == 'embed' else axis for axis in axes))


def _scatter(axes: Axes, _: None, grad: jax.Array) -> tuple[jax.Array]:
    if (rules := _rules.get()) is None:
        return (grad,)
    if axes[-1] == 'embed':  # turned, since TPUs do not scatter narrow pieces of the last axis, but sum it everywhere
        return (rules.constrain_to_storage(grad.T, axes[::-1]).T,)
    return (rules.constrain_to_storage(grad, axes),)


gather_param.defvjp(lambda param, axes: (gather_param(param, axes), None), _scatter)
