"""Products with parameters: casts, and gradients that are summed over devices, also of kernels too large to
be whole on one.
"""

import functools

import jax
import jax.numpy as jnp

from flanlite.mesh.activations import (
    Axes,
    constrain,
    current_rules,
    gather_param,
    is_gathered,
    kernel_gradient,
    scatters_in_stages,
)

# The TPU compiler scatters a sum of a multiple of so many columns, however many there are.
SCATTERED = 1024


def cast(param: jax.Array, dtype: str) -> jax.Array:
    """Cast a layer's parameter to the dtype that it is multiplied in.

    `reduce_precision` rounds it first, so that the cast is exact. Without it the TPU compiler moves the cast
    out of the scan over layers: it casts the whole stack before the first layer, and keeps the copy beside
    the float32 parameters.
    """
    if param.dtype == dtype:
        return param
    info = jnp.finfo(dtype)
    return jax.lax.reduce_precision(param, info.nexp, info.nmant).astype(dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: jax.Array, kernel: jax.Array, axes: Axes) -> jax.Array:
    """Multiply the last axis of x with a kernel whose logical axes are `axes`. See `kernel_gradient` for what
    differs from `x @ kernel`.
    """
    return x @ kernel


product.defvjp(
    lambda x, kernel, axes: (x @ kernel, (x, kernel)),
    lambda axes, saved, grad: (grad @ saved[1].T, kernel_gradient(saved[0], grad, axes)),
)


@jax.custom_vjp
def gradient_barrier(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return both unchanged; a barrier makes XLA compute their two gradients at the same time.

    Without it XLA may put off the kernel's gradient, and would keep the gradient of the product in memory
    until then.
    """
    return x, kernel


gradient_barrier.defvjp(
    lambda x, kernel: ((x, kernel), None), lambda _, grads: jax.lax.optimization_barrier(grads)
)


def logits_product(x: jax.Array, kernel: jax.Array, axes: Axes) -> jax.Array:
    """Multiply the last axis of x with the kernel of the logits, whose logical axes are `axes`.

    Kernel, logits and their gradients are the largest arrays of a step. The kernel's gradient is computed at
    once, before the backward pass of the layers, so that the memory of the logits' gradient is free then.
    """
    if scatters_in_stages(kernel.shape, axes):
        return product_in_pieces(x, kernel, axes)
    x, kernel = gradient_barrier(x, gather_param(kernel, axes))
    if (rules := current_rules()) and rules.mesh.size > 1:
        return x @ kernel
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], -1)  # flattened as in `Linear`


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product_in_pieces(x: jax.Array, kernel: jax.Array, axes: Axes) -> jax.Array:
    """Multiply as `product` does, with some columns of the kernel at a time: they are gathered, and their
    gradient is computed and scattered, before the next ones are, so that neither is ever whole on a device.
    The backward pass gathers them again.
    """
    if not is_gathered(axes):
        return x @ kernel
    width = _piece_width(kernel.shape[1])

    def multiply(result: jax.Array, start: jax.Array) -> tuple[jax.Array, None]:
        # The last piece begins earlier where the width does not divide, and computes some columns twice.
        piece = jax.lax.dynamic_slice_in_dim(kernel, start, width, 1)
        piece = current_rules().constrain_to_storage(piece, axes)  # else XLA would gather before it slices
        return jax.lax.dynamic_update_slice_in_dim(result, x @ gather_param(piece, axes), start, -1), None

    empty = constrain(jnp.zeros((*x.shape[:-1], kernel.shape[1]), x.dtype), ('batch', 'length', None))
    return jax.lax.scan(multiply, empty, jnp.arange(0, kernel.shape[1], width))[0]


def _piece_width(columns: int) -> int:
    """Return an eighth of a kernel's columns, rounded up to a width that the TPU compiler scatters."""
    return min(-(-columns // (8 * SCATTERED)) * SCATTERED, columns)


def _gradients_in_pieces(
    axes: Axes, saved: tuple[jax.Array, jax.Array], grad: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    columns, of_x, of_kernel = kernel.shape[1], jnp.zeros(x.shape, jnp.float32), []
    width = _piece_width(columns)
    for start in range(0, columns, width):
        here = min(width, columns - start)
        grad_piece, piece = grad[..., start : start + here], kernel[:, start : start + here]
        of_x += jnp.matmul(grad_piece, gather_param(piece, axes).T, preferred_element_type=jnp.float32)
        padded = jnp.pad(grad_piece, ((0, 0), (0, 0), (0, width - here)))
        of_piece = kernel_gradient(x, padded, axes)[:, :here]
        # One piece after the other.
        of_x, of_piece, kernel = jax.lax.optimization_barrier((of_x, of_piece, kernel))
        of_kernel.append(of_piece)
    return of_x.astype(x.dtype), jnp.concatenate(of_kernel, axis=1)


product_in_pieces.defvjp(
    lambda x, kernel, axes: (product_in_pieces(x, kernel, axes), (x, kernel)), _gradients_in_pieces
)
