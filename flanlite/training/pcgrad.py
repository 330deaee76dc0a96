"""PCGrad, "gradient surgery" (Yu et al. 2020, arXiv 2001.06782): where the gradients of two groups of tasks
conflict, which is that their product is negative, each loses its part along the other.

All that PCGrad makes of K gradients is a weighted sum of them, and their products with each other, a matrix
[K, K], are all that it takes to find the weights. So nothing but these products is summed over devices.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from flanlite.data.mixing.mixtures import Entry, groups_of

Tree = Any
ORDER = 0x5043  # sets the key of the orders apart from that of dropout

# The projection is small, and its signs decide; TPUs would else multiply in bfloat16.
EXACT = jax.lax.Precision.HIGHEST


def number_groups(entries: Sequence[Entry], by: str | None) -> dict[str, int]:
    """Return the number of each task's group, counted from 0; nothing where `by` is None, which is no PCGrad.

    Args:
        entries: the tasks of a mixture.
        by: of `StepConfig.pcgrad`; see `mixtures.groups_of`.

    Raises:
        ValueError: there is only one group, so that nothing can conflict.
    """
    if by is None:
        return {}
    groups = groups_of(entries, by)
    if len(groups) < 2:
        raise ValueError(
            f'StepConfig.pcgrad is {by!r}, and all that is trained on is of one group, {", ".join(groups)}; '
            "expected several: leave pcgrad out, or name a mixture of more clusters, or 'tasks'"
        )
    return {task: number for number, tasks in enumerate(groups.values()) for task in tasks}


def products(grads: Tree) -> jax.Array:
    """Return gram_KK, the product of each two of K gradients, over all arrays of a tree.

    Args:
        grads: tree of arrays [K, ...].
    """
    return sum(_product(leaf) for leaf in jax.tree.leaves(grads))


def _product(grads: jax.Array) -> jax.Array:
    axes = tuple(range(1, grads.ndim))
    grads = grads.astype(jnp.float32)
    return jax.lax.dot_general(grads, grads, ((axes, axes), ((), ())), precision=EXACT)


def share_of_conflicts(gram_KK: jax.Array) -> jax.Array:
    """Return the share of the pairs of groups with a negative product; groups without a gradient are in no
    pair, and without pairs it is 0.
    """
    here_K = jnp.diag(gram_KK) > 0
    pairs_KK = here_K[:, None] & here_K[None, :] & ~jnp.eye(len(gram_KK), dtype=bool)
    return jnp.sum((gram_KK < 0) & pairs_KK) / jnp.maximum(jnp.sum(pairs_KK), 1)


def weights(gram_KK: jax.Array, key: jax.Array) -> jax.Array:
    """Return weights_K: the sum of K gradients with these weights is PCGrad's gradient (algorithm 1).

    Each gradient is projected against the others as they were, one after the other in a random order of its
    own, wherever what is left of it has a negative product with them; the projected ones are added up.

    Args:
        gram_KK: of `products`.
        key: of the orders.
    """
    count = len(gram_KK)
    orders_KK = jax.vmap(lambda own: jax.random.permutation(own, count))(jax.random.split(key, count))

    def project(group: jax.Array, order_K: jax.Array) -> jax.Array:
        def against(place: int, mix_K: jax.Array) -> jax.Array:
            other = order_K[place]
            square = gram_KK[other, other]
            product = jnp.minimum(jnp.sum(mix_K * gram_KK[other]), 0.0)
            change = -product / jnp.where(square > 0.0, square, 1.0)
            return mix_K.at[other].add(jnp.where((other == group) | (square <= 0.0), 0.0, change))

        return jax.lax.fori_loop(0, count, against, jax.nn.one_hot(group, count))

    return jnp.sum(jax.vmap(project)(jnp.arange(count), orders_KK), axis=0)


def surgery(grads: Tree, seed: jax.Array, step: jax.Array) -> tuple[Tree, jax.Array]:
    """Return PCGrad's gradient, and the share of conflicts.

    Args:
        grads: tree of arrays [K, ...], the gradient of each group's part of the loss.
        seed: the run's.
        step: its number; with the seed it decides the orders.
    """
    gram_KK = products(grads)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), ORDER)
    weights_K = weights(gram_KK, key)
    combined = jax.tree.map(lambda leaf: jnp.einsum('K,K...->...', weights_K, leaf, precision=EXACT), grads)
    return combined, share_of_conflicts(gram_KK)
