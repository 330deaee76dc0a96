"""Products of the gradients of tasks with each other, by module and layer: from them come the cosines between
tasks and between clusters.

Each task has two gradients, of two halves of its batches. The cosine of the two says how much of a gradient
is the task, and how much the draw of its examples: no two tasks can be expected to agree more than that.

Letters in the names of arrays: P parts (a module in a layer), H halves, T tasks.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from flanlite.mesh.partitioning import Partitioner, parameter_name
from flanlite.training.pcgrad import EXACT

HALVES = 2
NO_LAYER = -1  # of a module outside the stacks of layers
LAYERS = 'layers'  # in the name of a parameter that has a layer on axis 0
Tree = Any


def part_of(name: str) -> tuple[str, bool]:
    """Return the module of a parameter, such as `decoder/mlp` or `token_embedder`, and whether it is stacked
    by layers.
    """
    parts = name.split('/')
    module = '/'.join([part for part in parts[:-1] if part != LAYERS][:2])
    return module or name, LAYERS in parts


def measure(
    params: Tree,
    batches: Mapping[str, Sequence[Mapping[str, np.ndarray]]],
    gradient: Callable[[Tree, Mapping[str, jax.Array]], Tree],
    partitioner: Partitioner,
    advance: Callable[[int], None],
) -> tuple[list[tuple[str, int]], np.ndarray]:
    """Compute the gradients of tasks, and their products. All of them are held at once: 8 bytes a task and
    parameter, which lie over the devices as the parameters do between steps.

    Args:
        params: all parameters.
        batches: this process's rows of the batches of each task, an even number of them.
        gradient: of `step.jit_gradient`.
        partitioner: the mesh.
        advance: is told of each task that is done.

    Returns:
        The module and layer of each part, and the products, float64[P, H, T, H, T].
    """
    grads: list[list[Tree]] = [[] for _ in range(HALVES)]
    for each in batches.values():
        size = len(each) // HALVES
        for half, own in enumerate(grads):
            total = None
            for batch in each[half * size : (half + 1) * size]:
                found = gradient(params, partitioner.place(batch))
                total = found if total is None else _add(total, found)
            own.append(total)
        advance(1)
    parts: dict[tuple[str, int], np.ndarray] = {}
    leaves = [jax.tree.leaves(tree) for own in grads for tree in own]
    for place, (path, _) in enumerate(jax.tree.leaves_with_path(grads[0][0])):
        module, stacked = part_of(parameter_name(path))
        found = np.asarray(_products(partitioner)([each[place] for each in leaves], stacked), np.float64)
        for layer, gram in enumerate(found):
            key = (module, layer if stacked else NO_LAYER)
            parts[key] = parts.get(key, 0.0) + gram
    shape = (len(parts), HALVES, len(batches), HALVES, len(batches))
    return list(parts), np.stack(list(parts.values())).reshape(shape)


@functools.partial(jax.jit, donate_argnums=0)
def _add(total: Tree, more: Tree) -> Tree:
    return jax.tree.map(jnp.add, total, more)


@functools.lru_cache
def _products(partitioner: Partitioner) -> Callable[[list[jax.Array], bool], jax.Array]:
    """Compile the products of the same parameter's gradients by layer: [L, N, N], on every device."""

    def compute(grads: list[jax.Array], stacked: bool) -> jax.Array:
        stack = jnp.stack(grads, axis=int(stacked)).astype(jnp.float32)
        stack = stack if stacked else stack[None]
        axes = tuple(range(2, stack.ndim))
        return jax.lax.dot_general(stack, stack, ((axes, axes), ((0,), (0,))), precision=EXACT)

    return jax.jit(compute, static_argnums=1, out_shardings=partitioner.replicated)
