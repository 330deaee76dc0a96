"""A table of where every parameter and the optimizer's state lie on the mesh, from shapes only."""

import math
import sys
from typing import Any

import jax
from jax.sharding import PartitionSpec
from rich.console import Console
from rich.table import Table

from flanlite.mesh import processes
from flanlite.mesh.partitioning import Partitioner, is_axes, make_partitioner, parameter_name
from flanlite.model import models, patterns
from flanlite.model.models import ModelConfig
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Optimizer
from flanlite.training.step import abstract_state

WIDE = 200  # columns, if the output is not a terminal


def explain(config: ModelConfig, optimizer: Optimizer, partitioner: Partitioner) -> Table:
    """Make the table.

    It has a row for each parameter with shape, dtype, logical axes, storage sharding and bytes a device, and
    sums for parameters, optimizer state and moving average.

    Args:
        config: the model's.
        optimizer: the run's.
        partitioner: the mesh and its rules.
    """
    state = abstract_state(config, optimizer, partitioner)
    axes = jax.tree.leaves(models.logical_axes(config), is_leaf=is_axes)
    frozen = jax.tree.leaves(patterns.matching(state.whole(), optimizer.frozen))
    devices = partitioner.mesh.size
    table = Table(
        title=f'{devices} device{"s" * (devices > 1)}, mesh data {partitioner.data_size} x model '
        f'{partitioner.model_size}'
    )
    for heading in ('parameter', 'shape', 'dtype', 'logical axes', 'PartitionSpec'):
        table.add_column(heading)
    table.add_column('bytes a device', justify='right')
    for (path, leaf), names, stays in zip(
        jax.tree.leaves_with_path(state.whole()), axes, frozen, strict=True
    ):
        name = parameter_name(path) + ' (frozen)' * stays
        spec = format_spec(leaf.sharding.spec)
        table.add_row(
            name, format_tuple(leaf.shape), leaf.dtype.name, format_tuple(names), spec, f'{bytes_of(leaf):,}'
        )
    table.add_section()
    sums = {'parameters': state.whole(), 'optimizer state': state.opt_state, 'moving average': state.ema}
    for name, tree in sums.items():
        leaves = jax.tree.leaves(tree)
        if leaves:
            count = sum(math.prod(leaf.shape) for leaf in leaves)
            table.add_row(
                f'{name}, {len(leaves)} arrays', f'{count:,}', '', '', '', f'{sum(map(bytes_of, leaves)):,}'
            )
    table.add_row('in all', '', '', '', '', f'{sum(map(bytes_of, jax.tree.leaves(state))):,}')
    return table


def show(config: TrainConfig) -> None:
    """Print the table of a run, in the first process only. Nothing is trained."""
    processes.join()
    partitioner = make_partitioner(config.mesh)
    partitioner.check_heads(*config.model.head_counts)
    optimizer = config.make_optimizer()
    if jax.process_index() == 0:
        console = Console(emoji=False, file=sys.stdout)
        (console if console.is_terminal else Console(emoji=False, file=sys.stdout, width=WIDE)).print(
            explain(config.model, optimizer, partitioner)
        )


def bytes_of(leaf: jax.ShapeDtypeStruct) -> int:
    """Return the bytes of an array that one device holds."""
    return math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize


def format_tuple(values: tuple[Any, ...]) -> str:
    """Format a tuple without quotes."""
    return f'({", ".join(map(str, values))})'


def format_spec(spec: PartitionSpec) -> str:
    """Format a PartitionSpec as `P(...)`."""
    return f'P{format_tuple(tuple(spec))}'
