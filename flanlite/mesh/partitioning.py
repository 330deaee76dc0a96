"""The mesh, the rules that map logical axes to mesh axes, and the transfer of host arrays to devices.

Nothing here knows a model: parameters and activations come with the names of their axes (`embed`, `heads`,
`mlp`, ...), as in T5X.

A parameter has two shardings:

    `Partitioner.spec`
        The rules' own: where layers compute with it.
    `Partitioner.storage_sharding`
        Between steps, for the parameter, its gradient and the optimizer's arrays. If the rules do not use
        `data` for a parameter, its `embed` axis is split over `data` here.

With 1-D parameters T5X keeps all weights and optimizer state of a part of the model on every device of the
`data` axis, and all-reduces gradients. Here a step gathers the weights once, in the dtype that they are
multiplied in, and reduce-scatters the gradients, as ZeRO-2 does. This sends as many bytes as the all-reduce,
and the state takes 1/data of the memory. With 2-D parameters (ZeRO-3) both shardings are the same, and each
layer gathers its own weights (`activations.gather_param`). docs/pods.md has figures beside T5X's.
"""

import dataclasses
import hashlib
import math
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from flanlite.config import value
from flanlite.limits import Count, whole

Axes = tuple[str | None, ...]
MeshAxes = str | tuple[str, ...] | None
Rules = tuple[tuple[str, MeshAxes], ...]

# `dcn` counts slices, joined by a slower network; `data` and `model` are T5X's axes within a slice.
MESH_AXES = (
    'dcn',
    'data',
    'model',
)

# T5X's rules (t5x.partitioning.standard_logical_axis_rules), and `residual_length` (see `activations`).
# Earlier rules win, and a tensor uses each mesh axis once. Only the batch is split over slices: every slice
# has all parameters, and slices exchange gradients only, once a step.
SHARDED = (
    ('batch', ('dcn', 'data')),
    *((name, 'model') for name in ('vocab', 'mlp', 'heads', 'joined_kv', 'residual_length')),
)
REPLICATED = (('kv', None), ('length', None), ('layers', None), ('relpos_buckets', None))
EMBED = {  # by (activation dims, parameter dims): the mesh axes of `embed`
    (1, 1): (('embed', None),),
    (2, 1): (('embed', 'model'),),
    (1, 2): (('embed', 'data'),),
    (2, 2): (('embed', 'model'), ('embed', 'data')),
}


def standard_logical_axis_rules(
    activation_partitioning_dims: int = 1,
    parameter_partitioning_dims: int = 1,
    additional_rules: Sequence[Sequence[Any]] = (),
) -> Rules:
    """Return T5X's rules for 1-D or 2-D partitioned activations and parameters.

    Args:
        activation_partitioning_dims: 1 shards activations over `data` by batch only; 2 shards their `embed`
            over `model` too.
        parameter_partitioning_dims: 1 shards parameters over `model` only, so that a step begins by gathering
            what lies over `data` between steps (see `Partitioner.storage_sharding`); 2 shards their `embed`
            over `data` too, and each layer gathers its own, as in ZeRO-3.
        additional_rules: pairs (logical axis, mesh axis) that go before the standard rules; instead of one
            mesh axis, a pair may have several, or None.

    Raises:
        ValueError: dims other than 1 and 2, or a rule that names an axis which the mesh does not have.
    """
    dims = (activation_partitioning_dims, parameter_partitioning_dims)
    if dims not in EMBED:
        raise ValueError(
            f'activations and parameters are partitioned over 1 or 2 dimensions; got {dims[0]} and {dims[1]}'
        )
    rules = tuple(
        (str(name), tuple(axis) if isinstance(axis, list) else axis) for name, axis in additional_rules
    )
    for name, axis in rules:
        if unknown := set(mesh_axes(axis)) - set(MESH_AXES):
            raise ValueError(
                f'the rule for {name!r} names the mesh axis {unknown.pop()!r}; the mesh has '
                f'{", ".join(MESH_AXES)}'
            )
    return rules + SHARDED + EMBED[dims] + REPLICATED


@dataclasses.dataclass(frozen=True)
class Partitioner:
    """A mesh with axes `dcn`, `data` and `model`, and the rules that place logical axes on it.

    It is hashable, so that compiled steps are cached by it.

    Args:
        mesh: of `MESH_AXES`.
        rules: (logical axis, mesh axis or axes) pairs, the most important first; see
            `standard_logical_axis_rules`.
    """

    mesh: Mesh
    rules: Rules

    @property
    def data_size(self) -> int:
        """Number of parts that the batch is split into."""
        return self.mesh.shape['dcn'] * self.mesh.shape['data']

    @property
    def model_size(self) -> int:
        """Number of parts that the model is split into."""
        return self.mesh.shape['model']

    @property
    def replicated(self) -> NamedSharding:
        """Sharding of an array that every device holds whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    @property
    def batch(self) -> NamedSharding:
        """Sharding of a batch's arrays: rows over `dcn` and `data`."""
        return NamedSharding(self.mesh, PartitionSpec(('dcn', 'data')))

    def spec(self, axes: Axes, shape: Sequence[int] | None = None) -> PartitionSpec:
        """Map logical axes to mesh axes, each by the first rule for it whose mesh axes are still free.

        Rules are tried in their order, not in the order of the axes (as in T5X): in ('embed', 'mlp') the rule
        for `mlp` takes `model` before a rule for `embed` may.

        Args:
            axes: the logical axes.
            shape: of a parameter. Its `joined_kv` stays whole if it does not divide: of keys and values with
                few heads, every device then computes all.

        Raises:
            ValueError: a logical axis that no rule names.
        """
        known = {name for name, _ in self.rules}
        if unknown := [name for name in axes if name is not None and name not in known]:
            raise ValueError(
                f'no rule for the logical axis {unknown[0]!r}; the rules have {", ".join(sorted(known))}'
            )
        placed: dict[int, MeshAxes] = {}
        for name, mesh_axis in self.rules:
            free = not set(mesh_axes(mesh_axis)) & {
                used for each in placed.values() for used in mesh_axes(each)
            }
            if name in axes and axes.index(name) not in placed and free:
                placed[axes.index(name)] = mesh_axis
        if shape is not None and 'joined_kv' in axes:
            at = axes.index('joined_kv')
            if shape[at] % self._ways(placed.get(at)):
                del placed[at]
        return PartitionSpec(*(placed.get(i) for i in range(len(axes))))

    def _ways(self, rule: MeshAxes) -> int:
        return math.prod(self.mesh.shape[each] for each in mesh_axes(rule))

    def sharding(self, axes: Axes, shape: Sequence[int] | None = None) -> NamedSharding:
        """Return the sharding of an array with these logical axes; see `spec`."""
        return NamedSharding(self.mesh, self.spec(axes, shape))

    def storage_sharding(self, shape: Sequence[int], axes: Axes) -> NamedSharding:
        """Return the sharding of a parameter between steps, which its gradient and the optimizer's arrays
        share.

        It is the rules' sharding, with `embed` split over `data` where the rules leave both free. If the size
        of `embed` is no multiple of the size of `data`, that axis stays whole. See the module's docstring for
        why this differs from `spec`.

        Args:
            shape: of the parameter.
            axes: its logical axes.
        """
        placed, ways = list(self.spec(axes, shape)), self.mesh.shape['data']
        used = {name for axis in placed for name in mesh_axes(axis)}
        if ways > 1 and 'embed' in axes and 'data' not in used:
            at = axes.index('embed')
            if placed[at] is None and shape[at] % ways == 0:
                placed[at] = 'data'
        return NamedSharding(self.mesh, PartitionSpec(*placed))

    @property
    def platform(self) -> str:
        """Platform of the mesh's devices, 'cpu', 'gpu' or 'tpu'; the devices need not be attached to this
        process.
        """
        return self.mesh.devices.flat[0].platform

    def constrain(self, x: jax.Array, axes: Axes) -> jax.Array:
        """Constrain an activation's sharding to the rules' own, inside jit; an axis that does not divide over
        the mesh stays whole.
        """
        if self.mesh.size == 1:
            return x
        placed = self.spec(axes)
        fits = (None if size % self._ways(axis) else axis for size, axis in zip(x.shape, placed, strict=True))
        return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, PartitionSpec(*fits)))

    def constrain_to_storage(self, x: jax.Array, axes: Axes) -> jax.Array:
        """Constrain a parameter or its gradient to its storage sharding, inside jit."""
        return (
            x
            if self.mesh.size == 1
            else jax.lax.with_sharding_constraint(x, self.storage_sharding(x.shape, axes))
        )

    def check_shapes(self, shapes: Any, logical_axes: Any) -> None:
        """Raise a `ValueError` if an axis of a parameter does not divide over the mesh; name the parameter
        and the remedy.

        Args:
            shapes: tree of parameters or of their `jax.ShapeDtypeStruct`s.
            logical_axes: tree of their logical axes.
        """

        def check(path: Any, leaf: Any, axes: Axes) -> None:
            for size, name, mesh_axis in zip(leaf.shape, axes, self.spec(axes, leaf.shape), strict=True):
                if size % (ways := self._ways(mesh_axis)):
                    raise ValueError(
                        f'{parameter_name(path)} has {size} along {name!r}, expected a multiple of {ways}, '
                        'which is '
                        f'the size of the mesh axis {mesh_axis!r}; change the size of the model, or '
                        f'num_partitions (now {self.model_size})'
                    )

        jax.tree_util.tree_map_with_path(check, shapes, logical_axes)

    def check_heads(self, *num_heads: int) -> None:
        """Raise a `ValueError` if the heads of one of the model's stacks do not divide over `model`: a head
        lies on one device.
        """
        for heads in num_heads:
            if heads % self.model_size:
                raise ValueError(
                    f'{heads} attention heads do not divide over {self.model_size} model partitions; '
                    f'set num_partitions to a divisor of {math.gcd(*num_heads)}, or num_heads to a multiple '
                    f'of {self.model_size}'
                )

    def check_batch(self, batch_size: int, microbatches: int = 1) -> None:
        """Raise a `ValueError` if a batch does not divide into microbatches, or a microbatch does not divide
        over the data axis.
        """
        if batch_size < 1:
            raise ValueError(f'BATCH_SIZE is {batch_size}, expected at least 1')
        unit = self.data_size * microbatches
        if batch_size % unit:
            near = max(unit, round(batch_size / unit) * unit)
            raise ValueError(
                f'BATCH_SIZE is {batch_size}, expected a multiple of {unit}: {microbatches} '
                f'microbatch{"es" * (microbatches > 1)} '
                f'x {self.data_size} devices on the data axis; set BATCH_SIZE={near}, or fewer MICROBATCHES, '
                'or more num_partitions'
            )

    def host_rows(self, num_rows: int) -> np.ndarray:
        """List the rows of a batch that this process's devices hold, ascending. Processes that share one copy
        of the model share rows.
        """
        held = self.batch.addressable_devices_indices_map((num_rows,)).values()
        return np.unique(np.concatenate([np.arange(num_rows)[index] for index in held]))

    def place(self, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        """Make global arrays of a batch from this host's rows of it.

        Args:
            batch: arrays [rows, ...] with the rows that `host_rows` lists, in its order.
        """
        held = len(self.host_rows(self.data_size))

        def put(array: np.ndarray) -> jax.Array:
            shape = (len(array) * self.data_size // held, *array.shape[1:])
            rows = self.host_rows(shape[0])

            def piece(index: tuple[slice, ...]) -> np.ndarray:
                start, stop, _ = index[0].indices(shape[0])
                first = np.searchsorted(rows, start)
                return array[first : first + stop - start]

            return jax.make_array_from_callback(shape, self.batch, piece)

        return {name: put(array) for name, array in batch.items()}

    def replicate(self, value: np.ndarray) -> jax.Array:
        """Put a value that is the same in all processes onto every device."""
        return jax.make_array_from_process_local_data(self.replicated, value)


def spread(tree: Any, shardings: Any) -> Any:
    """Place arrays that every process has whole, or that lie on the mesh already.

    Args:
        tree: the arrays, such as parameters.
        shardings: the sharding of each.
    """

    def put(array: jax.Array, sharding: NamedSharding) -> jax.Array:
        if jax.process_count() == 1 or not getattr(array, 'is_fully_addressable', True):
            return jax.device_put(array, sharding)
        # What lies in one process only cannot be sent to the devices of another.
        whole = np.asarray(array)
        return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

    return jax.tree.map(put, tree, shardings)


@value
class MeshConfig:
    """How the devices are laid out, and how parameters and activations are split over them.

    Args:
        num_partitions: number of devices that one copy of the model is split over; the rest of the devices
            split the batch.
        mesh_shape: (data, model) sizes of a slice, instead of `num_partitions`. In a single process their
            product may be smaller than the number of devices.
        num_slices: number of groups of devices that a slower network joins (TPU slices, nodes of GPUs); by
            default, as the devices report.
        activation_partitioning_dims: see `standard_logical_axis_rules`.
        parameter_partitioning_dims: see `standard_logical_axis_rules`.
        additional_rules: see `standard_logical_axis_rules`.
    """

    num_partitions: Count = 1
    mesh_shape: tuple[Count, Count] | None = None
    num_slices: Count | None = None
    activation_partitioning_dims: Annotated[int, whole(1, 2)] = 1
    parameter_partitioning_dims: Annotated[int, whole(1, 2)] = 1
    additional_rules: tuple[tuple[Any, ...], ...] = ()

    def __post_init__(self) -> None:
        if any(len(rule) != 2 for rule in self.additional_rules):
            raise ValueError(
                f'MeshConfig.additional_rules is {self.additional_rules}; expected pairs of a logical axis '
                'and a mesh axis'
            )
        self.rules()

    def rules(self) -> Rules:
        """Return the rules that place logical axes on the mesh's."""
        return standard_logical_axis_rules(
            self.activation_partitioning_dims, self.parameter_partitioning_dims, self.additional_rules
        )


def make_partitioner(
    config: MeshConfig = MeshConfig(), devices: Sequence[jax.Device] | None = None
) -> Partitioner:
    """Make the mesh over all devices of all processes.

    Args:
        config: its sizes and rules.
        devices: of the mesh; by default all there are.

    Raises:
        ValueError: the devices do not divide into such a mesh.
    """
    slices = split_slices(jax.devices() if devices is None else devices, config.num_slices)
    count, of_each = len(slices[0]), f'devices{" of each slice" * (len(slices) > 1)}'
    mesh_shape, num_partitions = config.mesh_shape, config.num_partitions
    if mesh_shape is None:
        if num_partitions < 1 or count % num_partitions:
            divisors = ', '.join(str(n) for n in range(1, count + 1) if count % n == 0)
            raise ValueError(
                f'num_partitions is {num_partitions}, expected one that divides the {count} {of_each}: '
                f'{divisors}'
            )
        mesh_shape = (count // num_partitions, num_partitions)
    needed = math.prod(mesh_shape)
    if min(mesh_shape) < 1 or needed > count or (needed < count and jax.process_count() > 1):
        raise ValueError(
            f'mesh_shape is {mesh_shape}, expected (data, model) sizes that multiply to the {count} {of_each}'
        )
    meshes = [
        mesh_utils.create_device_mesh(mesh_shape, each[:needed], allow_split_physical_axes=True)
        for each in slices
    ]
    return Partitioner(Mesh(np.stack(meshes), MESH_AXES, axis_types=(AxisType.Auto,) * 3), config.rules())


def split_slices(devices: Sequence[jax.Device], num_slices: int | None) -> list[list[jax.Device]]:
    """Group devices by the slice that they report; for another `num_slices`, cut that order into equal runs.

    Raises:
        ValueError: the devices do not divide into so many slices, or TPUs report another number of slices.
    """
    numbers = [getattr(device, 'slice_index', None) or 0 for device in devices]
    found = len(set(numbers))
    count = found if num_slices is None else num_slices
    if count < 1 or len(devices) % count or (found not in (1, count) and devices[0].platform == 'tpu'):
        said = f', in {found} slices' if found > 1 else ''
        raise ValueError(
            f'num_slices is {num_slices}, expected one that fits the {len(devices)} devices{said}; by '
            f'default it is {found}'
        )
    ordered = [devices[place] for place in np.argsort(numbers, kind='stable')]
    size = len(devices) // count
    return [ordered[start : start + size] for start in range(0, len(devices), size)]


def mesh_axes(rule: MeshAxes) -> tuple[str, ...]:
    """Return the mesh axes of a rule as a tuple."""
    return (rule,) if isinstance(rule, str) else rule or ()


def is_axes(leaf: Any) -> bool:
    """Tell whether a value is a tuple of logical axis names, which is a leaf of a tree and not one of its
    nodes.
    """
    return isinstance(leaf, tuple) and all(name is None or isinstance(name, str) for name in leaf)


def parameter_name(path: Sequence[Any]) -> str:
    """Format a tree path as T5X formats a parameter's name: `encoder/layers/mlp/wi_0/kernel`."""
    return '/'.join(str(getattr(key, 'key', getattr(key, 'name', getattr(key, 'idx', key)))) for key in path)


def keep_compiled(folder: str | os.PathLike[str]) -> None:
    """Keep compiled programs in a folder, so that the next process with the same programs need not compile
    them.

    JAX's own setting of a cache folder, if there is one, takes precedence. Programs for CPUs use the
    instructions of the CPU that they were compiled on, so each kind of CPU gets a folder of its own: machines
    of several kinds may share a home folder.
    """
    if jax.config.jax_compilation_cache_dir is not None:
        return
    kind = jax.default_backend()
    if kind == 'cpu':
        kind += '-' + hashlib.sha256(cpu_features().encode()).hexdigest()[:12]
    jax.config.update('jax_compilation_cache_dir', os.path.join(folder, kind))
    compilation_cache.reset_cache()  # JAX reads the setting only once, at the first compilation


def cpu_features() -> str:
    """Describe the CPU's instruction set, as far as compiled programs depend on it."""
    try:
        with open('/proc/cpuinfo', encoding='utf-8') as lines:
            return platform.machine() + ''.join(
                sorted({line for line in lines if line.startswith(('flags', 'Features', 'model name'))})
            )
    except OSError:
        return f'{platform.machine()} {platform.processor()} {platform.node()}'
