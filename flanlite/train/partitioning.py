"""The mesh, the rules that say which logical axis lies on which mesh axis, and the way of host arrays onto the devices.

Nothing here knows a model: parameters and activations come with the names of their axes (`embed`, `heads`, `mlp`, ...), as in T5X.
"""

import dataclasses
import hashlib
import math
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import gin
import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

Axes = tuple[str | None, ...]
Rules = tuple[tuple[str, str | None], ...]

MESH_AXES = ('data', 'model')
PROCESS_VARIABLES = ('FLANLITE_COORDINATOR', 'FLANLITE_NUM_PROCESSES', 'FLANLITE_PROCESS_ID')

# The rules as T5X has them (t5x.partitioning.standard_logical_axis_rules). Earlier rules win, and a mesh axis is used once a tensor.
SHARDED = (('batch', 'data'), *((name, 'model') for name in ('vocab', 'mlp', 'heads', 'joined_kv', 'residual_length')))
REPLICATED = (('kv', None), ('length', None), ('layers', None), ('relpos_buckets', None))
EMBED = {  # by (activation dims, parameter dims): where the residual stream's axis goes
    (1, 1): (('embed', None),),
    (2, 1): (('embed', 'model'),),
    (1, 2): (('embed', 'data'),),
    (2, 2): (('embed', 'model'), ('embed', 'data')),
}


def standard_logical_axis_rules(
    activation_partitioning_dims: int = 1, parameter_partitioning_dims: int = 1, additional_rules: Sequence[Sequence[str | None]] = ()
) -> Rules:
    """Return T5X's rules for 1-D or 2-D partitioned activations and parameters.

    Args:
        activation_partitioning_dims: 1 shards activations over `data` by batch only; 2 shards their `embed` over `model` too.
        parameter_partitioning_dims: 1 shards parameters over `model` only; 2 shards their `embed` over `data` too (as ZeRO-3 does).
        additional_rules: (logical axis, mesh axis or None) pairs that go before the standard ones.
    """
    dims = (activation_partitioning_dims, parameter_partitioning_dims)
    if dims not in EMBED:
        raise ValueError(f'activations and parameters are partitioned over 1 or 2 dimensions; got {dims[0]} and {dims[1]}')
    rules = tuple((str(name), axis) for name, axis in additional_rules)
    for name, axis in rules:
        if axis not in (*MESH_AXES, None):
            raise ValueError(f'the rule for {name!r} names the mesh axis {axis!r}; the mesh has {", ".join(MESH_AXES)}')
    return rules + SHARDED + EMBED[dims] + REPLICATED


@dataclasses.dataclass(frozen=True)
class Partitioner:
    """A mesh with axes `data` and `model`, and the rules that place logical axes on it; hashable, to find compiled steps by."""

    mesh: Mesh
    rules: Rules

    @property
    def data_size(self) -> int:
        """How many ways the batch is split."""
        return self.mesh.shape['data']

    @property
    def model_size(self) -> int:
        """How many ways the model is split."""
        return self.mesh.shape['model']

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of what every device holds whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def batch(self) -> NamedSharding:
        """The sharding of a batch's arrays: by rows, over `data`."""
        return NamedSharding(self.mesh, PartitionSpec('data'))

    def spec(self, axes: Axes) -> PartitionSpec:
        """Place logical axes on mesh axes, by the first rule that fits and whose mesh axis is still free."""
        known = {name for name, _ in self.rules}
        if unknown := [name for name in axes if name is not None and name not in known]:
            raise ValueError(f'no rule for the logical axis {unknown[0]!r}; the rules have {", ".join(sorted(known))}')
        placed: dict[int, str | None] = {}
        for name, mesh_axis in self.rules:
            if name in axes and axes.index(name) not in placed and (mesh_axis is None or mesh_axis not in placed.values()):
                placed[axes.index(name)] = mesh_axis
        return PartitionSpec(*(placed.get(i) for i in range(len(axes))))

    def sharding(self, axes: Axes) -> NamedSharding:
        """Return the sharding of an array with these logical axes."""
        return NamedSharding(self.mesh, self.spec(axes))

    def shardings(self, logical_axes: Any) -> Any:
        """Return the shardings of a tree of logical axes."""
        return jax.tree.map(self.sharding, logical_axes, is_leaf=is_axes)

    @property
    def platform(self) -> str:
        """Of the mesh's devices, which need not be this process's: 'cpu', 'gpu' or 'tpu'."""
        return self.mesh.devices.flat[0].platform

    def constrain(self, x: jax.Array, axes: Axes) -> jax.Array:
        """Constrain an activation's sharding inside jit, for `flanlite.model.layers.activation_rules`.

        An axis that does not divide over the mesh is left whole.
        """
        if self.mesh.size == 1:
            return x
        placed = self.spec(axes)
        fits = (axis if axis and size % self.mesh.shape[axis] == 0 else None for size, axis in zip(x.shape, placed, strict=True))
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, PartitionSpec(*fits)))

    def check_shapes(self, shapes: Any, logical_axes: Any) -> None:
        """Refuse parameters of which an axis does not divide over the mesh, naming the parameter and the remedy."""

        def check(path: Any, leaf: Any, axes: Axes) -> None:
            for size, name, mesh_axis in zip(leaf.shape, axes, self.spec(axes), strict=True):
                if mesh_axis is not None and size % self.mesh.shape[mesh_axis]:
                    raise ValueError(
                        f'{parameter_name(path)} has {size} along {name!r}, expected a multiple of {self.mesh.shape[mesh_axis]}, which is '
                        f'the size of the mesh axis {mesh_axis!r}; change the size of the model, or num_partitions (now {self.model_size})'
                    )

        jax.tree_util.tree_map_with_path(check, shapes, logical_axes)

    def check_heads(self, num_heads: int) -> None:
        """Refuse a number of attention heads that the model axis would cut through."""
        if num_heads % self.model_size:
            raise ValueError(
                f'{num_heads} attention heads do not divide over {self.model_size} model partitions; '
                f'set num_partitions to a divisor of {num_heads}, or num_heads to a multiple of {self.model_size}'
            )

    def check_batch(self, batch_size: int, microbatches: int = 1) -> None:
        """Refuse a batch that does not divide into microbatches, or a microbatch that does not divide over the data axis."""
        unit = self.data_size * microbatches
        if batch_size < 1 or microbatches < 1 or batch_size % unit:
            near = max(unit, round(batch_size / unit) * unit)
            raise ValueError(
                f'BATCH_SIZE is {batch_size}, expected a multiple of {unit}: {microbatches} microbatch{"es" * (microbatches > 1)} '
                f'x {self.data_size} devices on the data axis; set BATCH_SIZE={near}, or fewer MICROBATCHES, or more num_partitions'
            )

    def host_share(self) -> tuple[int, int]:
        """Return (index, count): which share of a batch's rows this process reads. Processes that split a model read the same share."""
        owners = np.vectorize(lambda device: device.process_index)(self.mesh.devices)
        rows = sorted(set(np.nonzero(owners == jax.process_index())[0].tolist()))
        count, rest = divmod(self.data_size, len(rows))
        if rest or rows != list(range(rows[0], rows[0] + len(rows))) or rows[0] % len(rows):
            raise ValueError(
                f'this process has the rows {rows} of the {self.data_size} on the data axis, which is no even share; '
                f'set num_partitions (now {self.model_size}) to a multiple or divisor of the devices a process'
            )
        return rows[0] // len(rows), count

    def place(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """Put this host's rows of a batch onto its devices, as its share of global arrays."""
        sharding = self.batch
        return {name: jax.make_array_from_process_local_data(sharding, array) for name, array in batch.items()}

    def replicate(self, value: np.ndarray) -> jax.Array:
        """Put a value that all processes have onto every device."""
        return jax.make_array_from_process_local_data(self.replicated, value)


@gin.configurable
def make_partitioner(
    num_partitions: int = 1,
    mesh_shape: tuple[int, int] | None = None,
    activation_partitioning_dims: int = 1,
    parameter_partitioning_dims: int = 1,
    additional_rules: Sequence[Sequence[str | None]] = (),
) -> Partitioner:
    """Make the mesh over all devices of all processes.

    Args:
        num_partitions: over how many devices one copy of the model is split; the rest of the devices split the batch.
        mesh_shape: (data, model) sizes instead; their product may be smaller than the number of devices, on a single process.
        activation_partitioning_dims: see `standard_logical_axis_rules`.
        parameter_partitioning_dims: see `standard_logical_axis_rules`.
        additional_rules: see `standard_logical_axis_rules`.

    Raises:
        ValueError: the devices do not divide into such a mesh.
    """
    rules = standard_logical_axis_rules(activation_partitioning_dims, parameter_partitioning_dims, additional_rules)
    devices = jax.devices()
    if mesh_shape is None:
        if num_partitions < 1 or len(devices) % num_partitions:
            divisors = ', '.join(str(n) for n in range(1, len(devices) + 1) if len(devices) % n == 0)
            raise ValueError(f'num_partitions is {num_partitions}, expected one that divides the {len(devices)} devices: {divisors}')
        mesh_shape = (len(devices) // num_partitions, num_partitions)
    needed = math.prod(mesh_shape)
    if len(mesh_shape) != 2 or min(mesh_shape) < 1 or needed > len(devices) or (needed < len(devices) and jax.process_count() > 1):
        raise ValueError(f'mesh_shape is {tuple(mesh_shape)}, expected (data, model) sizes that multiply to the {len(devices)} devices')
    mesh = jax.make_mesh(tuple(mesh_shape), MESH_AXES, axis_types=(AxisType.Auto,) * 2, devices=devices[:needed])
    return Partitioner(mesh, rules)


def join_processes() -> None:
    """Join the other processes of this run, where there are any; call it before anything else touches the devices.

    The environment variables FLANLITE_COORDINATOR (host:port), FLANLITE_NUM_PROCESSES and FLANLITE_PROCESS_ID say it by hand, with all
    local devices in each process; without them, JAX looks for a cluster that it knows (TPU pod, Slurm, Open MPI, Kubernetes).
    """
    if jax.distributed.is_initialized():
        return
    coordinator, count, index = (os.environ.get(name) for name in PROCESS_VARIABLES)
    if coordinator or count or index:
        try:
            numbers = {'num_processes': int(count), 'process_id': int(index)}
        except (TypeError, ValueError):
            found = ', '.join(f'{name}={os.environ.get(name)}' for name in PROCESS_VARIABLES)
            raise ValueError(f'expected {PROCESS_VARIABLES[0]}=HOST:PORT and two numbers beside it, got {found}') from None
        if not coordinator or ':' not in coordinator or not 0 <= numbers['process_id'] < numbers['num_processes']:
            raise ValueError(f'expected a HOST:PORT and a process of 0..{int(count) - 1}, got {coordinator} and {index}')
        jax.distributed.initialize(coordinator, **numbers, cluster_detection_method='deactivate')
        return
    try:
        with warnings.catch_warnings(action='ignore'):
            jax.distributed.initialize()
    except ValueError as error:
        if 'coordinator_address' not in str(error):
            raise
    except RuntimeError as error:  # in a notebook, say, where JAX has computed before: one process, then
        if 'must be called before' not in str(error):
            raise


def is_axes(leaf: Any) -> bool:
    """Tell a tuple of logical axis names, a leaf, from a tuple that is a node of a tree."""
    return isinstance(leaf, tuple) and all(name is None or isinstance(name, str) for name in leaf)


def parameter_name(path: Sequence[Any]) -> str:
    """Write a tree path as T5X writes a parameter's name: `encoder/layers/mlp/wi_0/kernel`."""
    return '/'.join(str(getattr(key, 'key', getattr(key, 'name', getattr(key, 'idx', key)))) for key in path)


def keep_compiled(folder: str | os.PathLike[str]) -> None:
    """Keep compiled programs in a folder, so that the next process with the same ones starts in a second; JAX's own setting goes before.

    Programs for CPUs use what the CPU has, so each kind of machine gets a folder of its own: one home may serve many.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    kind = jax.default_backend()
    if kind == 'cpu':
        kind += '-' + hashlib.sha256(cpu_features().encode()).hexdigest()[:12]
    jax.config.update('jax_compilation_cache_dir', os.path.join(folder, kind))
    compilation_cache.reset_cache()  # JAX looks at the setting once only, at the first compilation


def cpu_features() -> str:
    """Describe the CPU by what programs compiled for it may use."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as lines:
            return platform.machine() + ''.join(sorted({line for line in lines if line.startswith(('flags', 'Features', 'model name'))}))
    except OSError:
        return f'{platform.machine()} {platform.processor()} {platform.node()}'
