"""The train state (step number, parameters, optimizer state, moving average) and its shardings."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flanlite.mesh.partitioning import Axes, Partitioner, parameter_name
from flanlite.model import patterns
from flanlite.training.optimizers import Optimizer

Tree = Any


class TrainState(NamedTuple):
    """The state that a run carries from step to step.

    The parameters are two trees of one form, a nested dict; each has `optax.MaskedNode()`, which is no array,
    where the other has an array.

    Args:
        step: number of finished steps, int32.
        params: the parameters that train, float32.
        opt_state: optax's.
        ema: moving average of the parameters that train, in their tree; None if there is none.
        frozen: the parameters that stay as they are.
    """

    step: jax.Array
    params: Tree
    opt_state: Tree
    ema: Tree | None
    frozen: Tree

    def whole(self, trained: Tree | None = None) -> Tree:
        """Return all parameters in one tree: those that train, or their average, and the others."""
        return join(self.params if trained is None else trained, self.frozen)


def create(params: Tree, optimizer: Optimizer) -> TrainState:
    """Make the state before the first step. May be called inside `jit` or `jax.eval_shape`.

    Args:
        params: the first parameters, all of them.
        optimizer: the run's, which says what is frozen, and whether there is a moving average; it begins with
            `params`.

    Raises:
        ValueError: a pattern of frozen parameters matches none, or all are frozen.
    """
    trained, frozen = split(params, optimizer.frozen)
    return TrainState(
        jnp.zeros((), jnp.int32),
        trained,
        optimizer.transform.init(trained),
        None if optimizer.ema_decay is None else jax.tree.map(jnp.copy, trained),
        frozen,
    )


def split(tree: Tree, frozen: Sequence[str]) -> tuple[Tree, Tree]:
    """Split a tree by patterns: into what trains, and what is frozen.

    Raises:
        ValueError: a pattern matches nothing, or all is frozen.
    """
    patterns.check(tree, frozen)
    stays = patterns.matching(tree, frozen)
    if all(jax.tree.leaves(stays)):
        raise ValueError(
            f'the patterns {", ".join(map(repr, frozen))} freeze every parameter; expected some that train'
        )
    hidden = optax.MaskedNode()
    trained = jax.tree.map(lambda leaf, stay: hidden if stay else leaf, tree, stays)
    return trained, jax.tree.map(lambda leaf, stay: leaf if stay else hidden, tree, stays)


def like(half: Tree, tree: Tree) -> Tree:
    """Return of a tree what stands where one of the two trees of `split` has something."""
    return jax.tree.map(
        lambda node, leaf: node if isinstance(node, optax.MaskedNode) else leaf,
        half,
        tree,
        is_leaf=lambda node: isinstance(node, optax.MaskedNode),
    )


def join(trained: Tree, frozen: Tree) -> Tree:
    """Put the two trees of `split` together again."""
    return jax.tree.map(
        lambda one, other: other if isinstance(one, optax.MaskedNode) else one,
        trained,
        frozen,
        is_leaf=lambda node: isinstance(node, optax.MaskedNode),
    )


def shardings(
    abstract: TrainState, logical_axes: Tree, frozen: Sequence[str], partitioner: Partitioner
) -> TrainState:
    """Return the shardings of a state: parameters by their logical axes, optimizer arrays as the parameters
    that they belong to.

    An optimizer array belongs to the parameter whose name is the end of its own name: optax keeps a
    parameter's path below its own.

    Args:
        abstract: shapes of the state.
        logical_axes: of every parameter, in the tree of the parameters.
        frozen: patterns of the parameters that do not train.
        partitioner: the mesh and its rules.

    Raises:
        ValueError: a parameter's axis does not divide over the mesh.
    """
    whole = abstract.whole()
    partitioner.check_shapes(whole, logical_axes)
    params: dict[str, tuple[tuple[int, ...], Axes]] = {}

    def note(path: Any, leaf: Any, axes: Axes) -> None:
        params[parameter_name(path)] = (leaf.shape, axes)

    jax.tree_util.tree_map_with_path(note, whole, logical_axes)

    def beside_parameter(path: Any, leaf: Any) -> jax.sharding.NamedSharding:
        keys = parameter_name(path).split('/')
        for start in range(len(keys)):
            if found := params.get('/'.join(keys[start:])):
                return partitioner.storage_sharding(leaf.shape, reduced_axes(leaf.shape, *found))
        return partitioner.replicated

    opt_state = jax.tree_util.tree_map_with_path(beside_parameter, abstract.opt_state)
    placed = jax.tree.map(
        lambda leaf, axes: partitioner.storage_sharding(leaf.shape, axes), whole, logical_axes
    )
    trained, stays = split(placed, frozen)
    average = trained if abstract.ema is not None else None
    return TrainState(partitioner.replicated, trained, opt_state, average, stays)


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
