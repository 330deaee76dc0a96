"""The mesh, the rules, and the clear refusals."""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import toy
from jax.sharding import PartitionSpec

from flanlite.mesh import partitioning
from flanlite.mesh.partitioning import Partitioner, standard_logical_axis_rules

BATCH = ('dcn', 'data')


def partitioner_of(*dims, slices=1, data=2, model=4):
    """Make a partitioner of a mesh larger than this process has: enough for all that places nothing."""
    mesh = jax.sharding.AbstractMesh((slices, data, model), partitioning.MESH_AXES)
    return Partitioner(mesh, standard_logical_axis_rules(*dims))


@pytest.mark.parametrize(
    ('dims', 'axes', 'expected'),
    [
        ((1, 1), ('embed', 'mlp'), (None, 'model')),
        ((1, 1), ('layers', 'joined_kv', 'embed'), (None, 'model', None)),
        ((1, 2), ('embed', 'mlp'), ('data', 'model')),
        ((1, 2), ('batch', 'length', 'embed'), (BATCH, None, None)),
        ((2, 1), ('batch', 'length', 'embed'), (BATCH, None, 'model')),
        ((2, 1), ('embed', 'mlp'), (None, 'model')),
        ((2, 2), ('vocab', 'embed'), ('model', 'data')),
        ((2, 2), ('embed',), ('model',)),
    ],
)
def test_rules_place_axes_as_t5x_does(dims, axes, expected):
    assert partitioner_of(*dims).spec(axes) == PartitionSpec(*expected)


@pytest.mark.parametrize(
    ('dims', 'shape', 'axes', 'expected'),
    [
        ((1, 1), (8, 32), ('embed', 'mlp'), ('data', 'model')),
        ((1, 1), (6, 32, 8), ('layers', 'mlp', 'embed'), (None, 'model', 'data')),
        ((1, 1), (7, 32), ('embed', 'mlp'), (None, 'model')),  # 7 do not divide
        ((1, 1), (8,), ('embed',), ('data',)),
        ((1, 1), (8, 32), ('heads', 'relpos_buckets'), ('model', None)),
        ((2, 1), (8,), ('embed',), ('model',)),
        ((1, 2), (8, 32), ('embed', 'mlp'), ('data', 'model')),
        ((1, 1), (8, 12), ('embed', 'joined_kv'), ('data', 'model')),
        ((1, 2), (8, 6), ('embed', 'joined_kv'), ('data', None)),  # few heads of keys: every device has them
    ],
)
def test_between_steps_parameters_lie_over_data_too(dims, shape, axes, expected):
    assert partitioner_of(*dims).storage_sharding(shape, axes).spec == PartitionSpec(*expected)
    alone = partitioner_of(*dims, data=1)  # whose steps have nothing to gather
    assert alone.storage_sharding(shape, axes).spec == alone.spec(axes, shape)


def test_additional_rules_go_first():
    rules = standard_logical_axis_rules(additional_rules=[('vocab', None)])
    assert Partitioner(partitioner_of().mesh, rules).spec(('vocab', 'embed')) == PartitionSpec(None, None)


def test_parameters_may_lie_over_several_slices_too():
    """By default each slice has all of them; a rule over both axes takes neither twice."""
    assert partitioner_of(1, 2, slices=2).spec(('embed', 'mlp')) == PartitionSpec('data', 'model')
    rules = standard_logical_axis_rules(additional_rules=[['embed', ['dcn', 'data']]])
    over_all = Partitioner(partitioner_of(slices=2).mesh, rules)
    assert over_all.spec(('embed', 'mlp')) == PartitionSpec(BATCH, 'model')
    assert over_all.spec(('batch', 'embed')) == PartitionSpec(None, BATCH)  # the rule that goes first has it
    with pytest.raises(ValueError, match=r"10 along 'embed', expected a multiple of 4"):
        over_all.check_shapes({'scale': np.zeros(10)}, {'scale': ('embed',)})


@dataclasses.dataclass(frozen=True)
class Device:
    """As much of a device as a mesh is made of."""

    id: int
    process_index: int = 0
    slice_index: int | None = None
    platform: str = 'gpu'
    device_kind: str = 'made up'


def owners(partitioner):
    return np.vectorize(lambda device: device.id)(partitioner.mesh.devices).tolist()


def test_slices_are_found_and_joined_by_the_first_axis():
    shuffled = [Device(number, slice_index=number // 4) for number in (5, 0, 6, 1, 4, 2, 7, 3)]
    found = partitioning.make_partitioner(partitioning.MeshConfig(num_partitions=2), shuffled)
    assert owners(found) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert (found.data_size, found.model_size) == (4, 2)
    assert owners(partitioning.make_partitioner(partitioning.MeshConfig(num_slices=1), shuffled)) == [
        [[number] for number in range(8)]
    ]
    silent = [Device(number, platform='cpu') for number in range(8)]
    assert dict(partitioning.make_partitioner(devices=silent).mesh.shape) == {'dcn': 1, 'data': 8, 'model': 1}
    assert owners(
        partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(2, 2), num_slices=2), silent)
    ) == [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    on_tpus = [dataclasses.replace(device, platform='tpu') for device in shuffled]
    for refused, devices in ((3, silent), (1, on_tpus)):
        with pytest.raises(
            ValueError, match=f'num_slices is {refused}, expected one that fits the 8 devices'
        ):
            partitioning.make_partitioner(partitioning.MeshConfig(num_slices=refused), devices)
    with pytest.raises(ValueError, match='num_slices is 0; expected a whole number from 1'):
        partitioning.MeshConfig(num_slices=0)
    with pytest.raises(ValueError, match='divides the 4 devices of each slice: 1, 2, 4'):
        partitioning.make_partitioner(partitioning.MeshConfig(num_partitions=8), shuffled)


@pytest.mark.parametrize(
    ('refused', 'words'),
    [
        (lambda: partitioner_of().spec(('embd',)), ["'embd'", 'embed']),
        (lambda: standard_logical_axis_rules(3, 1), ['1 or 2', '3']),
        (lambda: standard_logical_axis_rules(additional_rules=[('embed', 'modle')]), ["'modle'", 'model']),
        (lambda: partitioner_of().check_batch(0), ['BATCH_SIZE is 0', 'at least 1']),
        (lambda: partitioner_of().check_batch(7), ['BATCH_SIZE is 7', 'multiple of 2', 'BATCH_SIZE=8']),
        (
            lambda: partitioner_of().check_batch(10, 4),
            ['BATCH_SIZE is 10', 'multiple of 8', '4 microbatches', 'MICROBATCHES'],
        ),
        (
            lambda: partitioner_of().check_heads(6),
            ['6 attention heads', '4 model partitions', 'num_partitions', 'num_heads'],
        ),
        (
            # Of an encoder and a decoder.
            lambda: partitioner_of().check_heads(6, 8),
            ['6 attention heads', 'num_partitions to a divisor of 2'],
        ),
        (
            lambda: partitioner_of().check_shapes(
                {'mlp': {'wi': np.zeros((8, 30))}}, {'mlp': {'wi': ('embed', 'mlp')}}
            ),
            ['mlp/wi', '30', "'mlp'", 'multiple of 4'],
        ),
        (
            lambda: partitioning.make_partitioner(
                partitioning.MeshConfig(num_partitions=3 * jax.device_count())
            ),
            ['num_partitions', str(jax.device_count())],
        ),
        (
            lambda: partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(64, 64))),
            ['mesh_shape is (64, 64)', 'devices'],
        ),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(refused, words):
    with pytest.raises(ValueError) as raised:
        refused()
    assert all(word in str(raised.value) for word in words), raised.value


INTERLEAVED = """
import jax, numpy as np
from flanlite.mesh import partitioning, processes
processes.join()
devices = np.array(jax.devices()).reshape(2, 2).T.ravel().tolist()
partitioner = partitioning.make_partitioner(partitioning.MeshConfig(num_partitions=%d), devices)
batch = np.arange(16).reshape(8, 2)
placed = partitioner.place({'tokens': batch[partitioner.host_rows(8)]})['tokens']
assert placed.shape == (8, 2) and len(placed.addressable_shards) == 2
for shard in placed.addressable_shards:
    np.testing.assert_array_equal(shard.data, batch[shard.index])
print(partitioner.host_rows(8).tolist())
"""


@pytest.mark.parametrize(
    ('num_partitions', 'rows'), [(1, [[0, 1, 4, 5], [2, 3, 6, 7]]), (2, [list(range(8))] * 2)]
)
def test_hosts_place_the_rows_of_their_devices_wherever_these_lie(num_partitions, rows):
    """As on TPU pods, where the mesh follows the network and not the hosts."""
    flags = {'XLA_FLAGS': '--xla_force_host_platform_device_count=2', 'JAX_PLATFORMS': 'cpu'}
    command = [sys.executable, '-c', INTERLEAVED % num_partitions]
    started = [
        subprocess.Popen(command, env=os.environ | flags | each, stdout=subprocess.PIPE)
        for each in toy.process_variables()
    ]
    assert [json.loads(process.communicate()[0]) for process in started] == rows


def test_batches_are_placed_by_rows():
    partitioner = partitioning.make_partitioner()
    assert partitioner.host_rows(8).tolist() == list(range(8))
    placed = partitioner.place({'tokens': np.arange(16).reshape(8, 2)})
    assert placed['tokens'].sharding.is_equivalent_to(partitioner.sharding(('batch', None)), 2)
    np.testing.assert_array_equal(placed['tokens'], np.arange(16).reshape(8, 2))
