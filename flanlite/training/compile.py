"""Compile a run's train step for devices that are not here, and say what it would need of each: memory,
traffic, arithmetic.
"""

import importlib.util
import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from flanlite.config import check_field
from flanlite.data.batches import batches
from flanlite.data.mixing import mixtures
from flanlite.limits import whole
from flanlite.mesh.partitioning import MeshConfig, Partitioner, make_partitioner
from flanlite.model.flops import PEAKS, train_step_flops
from flanlite.model.models import REMAT_POLICIES
from flanlite.training import pcgrad
from flanlite.training.collectives import Traffic, traffic
from flanlite.training.config import TrainConfig
from flanlite.training.explain import bytes_of
from flanlite.training.step import abstract_state, jit_train_step

GIB = 2.0**30
MOST_CHIPS = 16_384  # twice the largest slice that there is
# The compiler would ask the cloud where it is, and lock the TPU that it takes to be here.
COMPILER_ENVIRONMENT = {
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_ACCELERATOR_TYPE': 'v5p-8',  # any; the topology says which
    'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',
}
OUT_OF_MEMORY = re.compile(r'([\d.]+)([KMG])\)? (?:of|exceeds available HBM) \(?([\d.]+)([KMG])')


class Chip(NamedTuple):
    """A kind of accelerator: memory that programs may use, in GiB, and bytes a second between chips, over all
    links of one.
    """

    memory: float
    bandwidth: float
    peak: str  # its name in `flops.PEAKS`
    options: Mapping[str, str] = {}


# TPU memory: what the compiler says it has. Bandwidth: cloud.google.com/tpu/docs, the page of each version;
# NVIDIA's data sheets (NVLink).
CHIPS = {
    'v4': Chip(30.75, 300e9, 'TPU v4', {'chip_config_name': 'megacore'}),
    'v5e': Chip(15.75, 200e9, 'TPU v5e'),
    'v5p': Chip(95.74, 600e9, 'TPU v5p'),
    'v6e': Chip(31.25, 448e9, 'TPU v6e'),
    'a100': Chip(80e9 / GIB, 300e9, 'A100'),
    'h100': Chip(80e9 / GIB, 450e9, 'H100'),
    'h200': Chip(141e9 / GIB, 450e9, 'H200'),
}


class Forecast(NamedTuple):
    """What one device needs for a step: bytes, FLOPs of all devices, collectives by kind; `refused` says why
    it does not fit.
    """

    config: TrainConfig
    partitioner: Partitioner
    parameters: int
    optimizer: int
    batch: int
    peak: float
    flops: float
    traffic: dict[str, Traffic]
    seconds: float
    refused: str = ''

    @property
    def ring_bytes(self) -> float:
        """Bytes that a device sends in a step."""
        return sum(kind.ring_bytes for kind in self.traffic.values())

    def ideal_seconds(self, chip: Chip) -> float:
        """Bound a step's time: arithmetic at the peak, and after it the traffic over all links."""
        return self.flops / self.partitioner.mesh.size / PEAKS[chip.peak] + self.ring_bytes / chip.bandwidth


def topology_devices(topology: str) -> tuple[Chip, Sequence[jax.Device]]:
    """Find the devices of `v5e:16x16` (TPU), `2*v5e:16x16` (slices of it) or `h100:8` (GPUs, for which CPU
    devices stand in).
    """
    match = re.fullmatch(r'(?:([1-9]\d{0,8})\*)?([a-z]\w*):([1-9]\d{0,8}(?:x\d{1,9})*)', topology)
    if not match or match[2] not in CHIPS:
        raise ValueError(
            f'topology {topology!r}; expected CHIP:SIZE such as v5e:16x16, 2*v5e:16x16 or h100:8, of '
            f'{", ".join(CHIPS)}'
        )
    slices, chip, size = int(match[1] or 1), CHIPS[match[2]], match[3]
    check_field(
        f'the number of chips of topology {topology!r}',
        slices * math.prod(map(int, size.split('x'))),
        Annotated[int, whole(1, MOST_CHIPS)],
    )
    if not chip.peak.startswith('TPU'):
        if 'x' in size:
            raise ValueError(f'topology {topology!r}; expected a number of GPUs, such as {match[2]}:8')
        jax.config.update('jax_num_cpu_devices', slices * int(size))
        return chip, jax.devices('cpu')
    for name, value in COMPILER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if importlib.util.find_spec('libtpu') is None:
        raise ValueError(
            f'topology {topology!r} needs the TPU compiler, libtpu; expected it from pip install '
            "'flanlite[tpu]'"
        )
    try:
        described = topologies.get_topology_desc(
            platform='tpu', topology_name=f'{match[2]}:{size}', num_slices=slices, **chip.options
        )
    except (RuntimeError, ValueError) as error:  # JAX's errors are of both kinds
        raise ValueError(
            f'topology {topology!r} is none that libtpu knows: {str(error).splitlines()[0]}'
        ) from error
    return chip, described.devices


def forecast(config: TrainConfig, partitioner: Partitioner, chip: Chip) -> Forecast:
    """Compile the step of a run for a mesh whose devices need not be here, and measure the program.

    Raises:
        ValueError: the batch or the model does not divide over the mesh.
    """
    partitioner.check_batch(config.data.batch_size, config.step.microbatches)
    partitioner.check_heads(*config.model.head_counts)
    optimizer = config.make_optimizer()
    state = abstract_state(config.model, optimizer, partitioner)

    def rows(empty: np.ndarray) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(
            (config.data.batch_size, empty.shape[1]), empty.dtype, sharding=partitioner.batch
        )

    empty = batches.CONVERTERS[config.model.converter].pack(
        [[]], batches.check_lengths(config.data.feature_lengths)
    )
    batch = {name: rows(array) for name, array in empty.items()}
    num_groups = 0
    if config.step.pcgrad:
        entries = mixtures.resolve(config.data.mixture).entries
        num_groups = len(set(pcgrad.number_groups(entries, config.step.pcgrad).values()))
        batch['decoder_group_ids'] = rows(empty['decoder_segment_ids'])
    seed = jax.ShapeDtypeStruct((), jnp.uint32, sharding=partitioner.replicated)
    held, kept, read = (
        sum(map(bytes_of, jax.tree.leaves(tree))) for tree in (state.whole(), state.opt_state, batch)
    )

    began = time.perf_counter()
    step = jit_train_step(config.model, optimizer, config.step, partitioner, num_groups)
    traced = step.trace(state, batch, seed)
    flops = count_flops(traced.jaxpr.jaxpr)
    try:
        compiled = traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if not (found := OUT_OF_MEMORY.search(str(error))):
            raise
        peak, limit = (float(found[i]) * 2.0 ** {'K': 10, 'M': 20, 'G': 30}[found[i + 1]] for i in (1, 3))
        refused = f'needs {peak / GIB:.1f} of {limit / GIB:.2f} GiB'
        return Forecast(
            config, partitioner, held, kept, read, peak, flops, {}, time.perf_counter() - began, refused
        )
    peak = peak_bytes(compiled.memory_analysis(), partitioner.platform)
    refused = f'needs {peak / GIB:.1f} of {chip.memory:.2f} GiB' if peak > chip.memory * GIB else ''
    moved, seconds = traffic(compiled.as_text()), time.perf_counter() - began
    return Forecast(config, partitioner, held, kept, read, peak, flops, moved, seconds, refused)


def peak_bytes(memory: Any, platform: str) -> int:
    """Read the most memory that a program has in use at once; the CPU compiler tells only the sizes of all
    its parts.
    """
    if platform != 'cpu':
        return memory.peak_memory_in_bytes
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


def count_flops(jaxpr: jax.extend.core.Jaxpr, times: float = 1.0) -> float:
    """Count two operations for each multiply-add of a program's matrix products, loops as often as they run;
    on all devices together.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            shape = equation.invars[0].aval.shape
            total += (
                2.0 * times * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
            )
        repeats = {'scan': lambda params: params['length'], 'shard_map': lambda params: params['mesh'].size}
        inner = times * repeats.get(equation.primitive.name, lambda params: 1)(equation.params)
        if equation.primitive.name == 'pallas_call':
            for size in equation.params['grid_mapping'].grid:
                inner *= size
        total += sum(count_flops(each, inner) for each in _programs(equation.params))
    return total


def _programs(params: Mapping[str, Any]) -> Iterator[jax.extend.core.Jaxpr]:
    for value in jax.tree.leaves(
        list(params.values()), is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr')
    ):
        jaxpr = getattr(value, 'jaxpr', value)
        if hasattr(jaxpr, 'eqns'):
            yield jaxpr


def candidates(
    config: TrainConfig, devices: Sequence[jax.Device]
) -> Iterator[tuple[TrainConfig, Partitioner]]:
    """List meshes and remat policies worth a try: parameters split over `data` too, as they need the least
    memory so.
    """
    for remat in REMAT_POLICIES:
        for model in (2**i for i in range(len(devices).bit_length())):
            data, rest = divmod(len(devices), model)
            if rest or math.gcd(*config.model.head_counts) % model or config.data.batch_size % data:
                continue
            mesh = MeshConfig(num_partitions=model, parameter_partitioning_dims=2)
            yield (
                config.replace(**{'model.remat_policy': remat, 'mesh': mesh}),
                make_partitioner(mesh, devices),
            )


def search(
    config: TrainConfig, devices: Sequence[jax.Device], chip: Chip, say: Callable[[str], None]
) -> list[Forecast]:
    """Compile all candidates, each with as few microbatches as fit; return those that fit, the quickest by
    `ideal_seconds` first.
    """
    found = []
    for candidate, partitioner in candidates(config, devices):
        most = candidate.data.batch_size // partitioner.data_size
        for microbatches in (2**i for i in range(most.bit_length()) if most % 2**i == 0):
            result = forecast(candidate.replace(**{'step.microbatches': microbatches}), partitioner, chip)
            say(f'{named(result)}: {result.refused or written(result.peak)}')
            if not result.refused:
                found.append(result)
                break
    return sorted(found, key=lambda result: result.ideal_seconds(chip))


def named(result: Forecast) -> str:
    """Name what a candidate differs in."""
    mesh = f'{result.partitioner.data_size} x {result.partitioner.model_size}'
    step, policy = result.config.step, result.config.model.remat_policy
    pieces = f'{step.microbatches} microbatch{"es" * (step.microbatches > 1)}'
    return f'mesh {mesh} (data x model), remat {policy}, {pieces}'


def written(size: float) -> str:
    """Write a number of bytes."""
    return f'{size / GIB:.2f} GiB' if size >= GIB / 10 else f'{size / 2**20:.2f} MiB'


def details(result: Forecast, chip: Chip) -> Table:
    """Make the table of one step's needs, for each chip."""
    table = Table(title=f'{result.partitioner.mesh.size} chips, {named(result)}', show_header=False)
    table.add_column()
    table.add_column(justify='right')
    rest = result.peak - result.parameters - result.optimizer - result.batch
    memory = {'parameters': result.parameters, 'optimizer state': result.optimizer, 'batch': result.batch}
    for name, size in (memory | {'activations, gradients and the rest': rest}).items():
        table.add_row(name, written(size))
    table.add_row('peak', f'{written(result.peak)} of {chip.memory:.2f} GiB')
    table.add_section()
    for kind, moved in result.traffic.items():
        table.add_row(f'{kind} ({moved.count:,})', written(moved.ring_bytes))
    table.add_row('sent by each chip in a step', written(result.ring_bytes))
    table.add_section()
    data = result.config.data
    model = train_step_flops(
        result.config.model, data.batch_size, *batches.check_lengths(data.feature_lengths)
    )
    table.add_row('FLOPs of the model, a step', f'{model:.3g}')
    table.add_row('FLOPs with what is computed again', f'{result.flops:.3g}')
    table.add_row('FLOPs a chip', f'{result.flops / result.partitioner.mesh.size:.3g}')
    table.add_row('step, at peak and full bandwidth', f'{1e3 * result.ideal_seconds(chip):.3g} ms')
    table.add_row('compiled in', f'{result.seconds:.0f} s')
    return table


def ranking(results: Sequence[Forecast], chip: Chip) -> Table:
    """Make the table of those that fit."""
    table = Table(title='what fits, the quickest first')
    for heading in ('data x model', 'remat', 'microbatches', 'peak', 'sent', 'FLOPs a chip', 'ideal step'):
        table.add_column(heading, justify='left' if heading == 'remat' else 'right')
    for result in results:
        placed, config = result.partitioner, result.config
        settings = (
            f'{placed.data_size} x {placed.model_size}',
            config.model.remat_policy,
            f'{config.step.microbatches}',
        )
        needs = (written(result.peak), written(result.ring_bytes), f'{result.flops / placed.mesh.size:.3g}')
        table.add_row(*settings, *needs, f'{1e3 * result.ideal_seconds(chip):.3g} ms')
    return table


def compile_ahead(config: TrainConfig, topology: str, try_all: bool = False) -> list[Forecast]:
    """Compile a run's train step for a topology, and print what each chip would need.

    Args:
        config: the run's; on a machine without those chips.
        topology: see `topology_devices`.
        try_all: try meshes, remat policies and microbatches instead of the run's, and rank those that fit.

    Raises:
        ValueError: the step does not fit; says by how much, and what may help.
    """
    # Whatever accelerator is here is not what the step is compiled for.
    jax.config.update('jax_platforms', 'cpu')
    chip, devices = topology_devices(topology)
    console = Console(emoji=False)
    if devices[0].platform == 'cpu':
        console.print(
            'GPUs are stood in for by CPU devices: their compiler computes bfloat16 products in float32, so '
            'the peak is too high'
        )
    with Progress(
        SpinnerColumn(),
        TextColumn('{task.description}'),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        progress.add_task(f'compiling for {topology}')
        found = (
            search(config, devices, chip, console.print)
            if try_all
            else [forecast(config, make_partitioner(config.mesh, devices), chip)]
        )
    if try_all:
        if not found:
            raise ValueError(
                f'nothing fits {topology}: take more chips, a smaller BATCH_SIZE, or shorter '
                'TASK_FEATURE_LENGTHS'
            )
        console.print(ranking(found, chip))
    elif found[0].refused:
        raise ValueError(
            f'{topology}: the step {found[0].refused} a chip; --search tries more num_partitions, '
            'parameter_partitioning_dims=2, '
            "remat_policy='full' and MICROBATCHES"
        )
    else:
        console.print(details(found[0], chip))
    return found
