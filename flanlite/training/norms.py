"""Norms of gradients and parameters, a module at a time."""

from typing import Any

import jax
import jax.numpy as jnp

from flanlite.mesh.partitioning import parameter_name


def by_module(tree: Any, depth: int, label: str) -> dict[str, jax.Array]:
    """Compute the norm of all that lies below each module, {'label/encoder/layers': norm}.

    Args:
        tree: parameters, or what has their names.
        depth: how many parts of a name make a module: 1 is `encoder`, 2 `encoder/layers`, 3 `encoder/layers/mlp`.
        label: what the keys begin with.
    """
    squares: dict[str, jax.Array] = {}
    for path, leaf in jax.tree.leaves_with_path(tree):
        module = '/'.join([label, *parameter_name(path).split('/')[:depth]])
        squares[module] = squares.get(module, 0.0) + jnp.sum(jnp.square(leaf.astype(jnp.float32)))
    return {module: jnp.sqrt(square) for module, square in squares.items()}
