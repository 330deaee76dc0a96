"""Norms of gradients and parameters by module."""

from typing import Any

import jax
import jax.numpy as jnp

from flanlite.mesh.partitioning import parameter_name


def by_module(tree: Any, depth: int, label: str) -> dict[str, jax.Array]:
    """Compute the L2 norm of all arrays below each module, in float32: {'label/encoder/layers': norm}.

    Args:
        tree: parameters, or gradients in their tree.
        depth: number of parts of a name that make a module: 1 is `encoder`, 2 `encoder/layers`, 3
            `encoder/layers/mlp`.
        label: first part of the keys.
    """
    squares: dict[str, jax.Array] = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        module = '/'.join([label, *parameter_name(path).split('/')[:depth]])
        squares[module] = squares.get(module, 0.0) + jnp.sum(jnp.square(leaf.astype(jnp.float32)))
    return {module: jnp.sqrt(square) for module, square in squares.items()}
