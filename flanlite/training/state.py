"""The train state (step number, parameters, optimizer state, moving average) and its shardings."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flanlite.mesh.partitioning import Axes, Partitioner, parameter_name

Tree = Any


class TrainState(NamedTuple):
    """The state that a run carries from step to step.

    Args:
        step: number of finished steps, int32.
        params: nested dict of float32 arrays.
        opt_state: optax's.
        ema: moving average of the parameters, in their tree; None if there is none.
    """

    step: jax.Array
    params: Tree
    opt_state: Tree
    ema: Tree | None = None


def create(params: Tree, transform: optax.GradientTransformation, ema: bool = False) -> TrainState:
    """Make the state before the first step. May be called inside `jit` or `jax.eval_shape`.

    Args:
        params: the first parameters.
        transform: the optimizer's.
        ema: whether to keep a moving average, which begins with `params`.
    """
    return TrainState(
        jnp.zeros((), jnp.int32),
        params,
        transform.init(params),
        jax.tree.map(jnp.copy, params) if ema else None,
    )


def shardings(abstract: TrainState, logical_axes: Tree, partitioner: Partitioner) -> TrainState:
    """Return the shardings of a state: parameters by their logical axes, optimizer arrays as the parameters
    that they belong to.

    An optimizer array belongs to the parameter whose name is the end of its own name: optax keeps a
    parameter's path below its own.

    Args:
        abstract: shapes of the state.
        logical_axes: of every parameter, in the tree of the parameters.
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
    placed = jax.tree.map(
        lambda leaf, axes: partitioner.storage_sharding(leaf.shape, axes), abstract.params, logical_axes
    )
    return TrainState(partitioner.replicated, placed, opt_state, placed if abstract.ema is not None else None)


def reduced_axes(shape: tuple[int, ...], param_shape: tuple[int, ...], param_axes: Axes) -> Axes:
    """Return the logical axes of an optimizer array that lacks some axes of its parameter, as Adafactor's
    rows and columns do.

    Axes are matched by their sizes, in order. If a size is not found, or sizes are equal so that another axis
    is taken, the array may be placed less well: that costs memory or traffic, but no result depends on it.

    Args:
        shape: of the optimizer array.
        param_shape: of the parameter.
        param_axes: logical axes of the parameter.
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
