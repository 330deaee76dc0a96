"""What a run carries from step to step: the step number, the parameters and the optimizer's state, and how they lie on the mesh."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flanlite.mesh.partitioning import Axes, Partitioner, parameter_name

Tree = Any


class TrainState(NamedTuple):
    """A plain tree: `step` counts finished steps (int32), `params` is a nested dict, `opt_state` is optax's, `ema` is like `params`."""

    step: jax.Array
    params: Tree
    opt_state: Tree
    ema: Tree | None = None


def create(params: Tree, transform: optax.GradientTransformation, ema: bool = False) -> TrainState:
    """Make the state before the first step, where the moving average begins too. May be jitted, or only evaluated for its shapes."""
    return TrainState(jnp.zeros((), jnp.int32), params, transform.init(params), jax.tree.map(jnp.copy, params) if ema else None)


def shardings(abstract: TrainState, logical_axes: Tree, partitioner: Partitioner) -> TrainState:
    """Say how a state lies on the mesh: parameters by their logical axes, the optimizer's arrays beside the parameters they belong to.

    Args:
        abstract: the state's shapes.
        logical_axes: names of the axes of every parameter, in the tree of the parameters.
        partitioner: the mesh and its rules.

    Raises:
        ValueError: a parameter's axis does not divide over the mesh.
    """
    partitioner.check_shapes(abstract.params, logical_axes)
    params: dict[str, tuple[tuple[int, ...], Axes]] = {}

    def note(path: Any, leaf: Any, axes: Axes) -> None:
        params[parameter_name(path)] = (leaf.shape, axes)

    jax.tree_util.tree_map_with_path(note, abstract.params, logical_axes)

    def beside_parameter(path: Any, leaf: Any) -> jax.sharding.NamedSharding:
        keys = parameter_name(path).split('/')
        for start in range(len(keys)):
            if found := params.get('/'.join(keys[start:])):
                return partitioner.storage_sharding(leaf.shape, reduced_axes(leaf.shape, *found))
        return partitioner.replicated

    opt_state = jax.tree_util.tree_map_with_path(beside_parameter, abstract.opt_state)
    placed = jax.tree.map(lambda leaf, axes: partitioner.storage_sharding(leaf.shape, axes), abstract.params, logical_axes)
    return TrainState(partitioner.replicated, placed, opt_state, placed if abstract.ema is not None else None)


def reduced_axes(shape: tuple[int, ...], param_shape: tuple[int, ...], param_axes: Axes) -> Axes:
    """Name the axes of an optimizer's array that has some of a parameter's axes summed away, as Adafactor's rows and columns have.

    An axis that is none of the parameter's, or whose place is not clear from its size, may come out replicated: a matter of memory only.
    """
    axes: list[str | None] = []
    left = list(zip(param_shape, param_axes, strict=True))
    for size in shape:
        sizes = [candidate for candidate, _ in left]
        if size not in sizes:
            return (None,) * len(shape)
        at = sizes.index(size)
        axes.append(left[at][1])
        left = left[at + 1 :]
    return tuple(axes)
