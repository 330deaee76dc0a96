"""The mesh, the rules, and the clear refusals."""

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from flanlite.train import partitioning
from flanlite.train.partitioning import Partitioner, standard_logical_axis_rules


def partitioner_of(*dims, data=2, model=4):
    """Make a partitioner of a mesh larger than this process has: enough for all that places nothing."""
    mesh = jax.sharding.AbstractMesh((data, model), partitioning.MESH_AXES)
    return Partitioner(mesh, standard_logical_axis_rules(*dims))


@pytest.mark.parametrize(
    ('dims', 'axes', 'expected'),
    [
        ((1, 1), ('embed', 'mlp'), (None, 'model')),
        ((1, 1), ('layers', 'joined_kv', 'embed'), (None, 'model', None)),
        ((1, 2), ('embed', 'mlp'), ('data', 'model')),
        ((1, 2), ('batch', 'length', 'embed'), ('data', None, None)),
        ((2, 1), ('batch', 'length', 'embed'), ('data', None, 'model')),
        ((2, 1), ('embed', 'mlp'), (None, 'model')),
        ((2, 2), ('vocab', 'embed'), ('model', 'data')),
        ((2, 2), ('embed',), ('model',)),
    ],
)
def test_rules_place_axes_as_t5x_does(dims, axes, expected):
    assert partitioner_of(*dims).spec(axes) == PartitionSpec(*expected)


def test_additional_rules_go_first():
    rules = standard_logical_axis_rules(additional_rules=[('vocab', None)])
    assert Partitioner(partitioner_of().mesh, rules).spec(('vocab', 'embed')) == PartitionSpec(None, None)


@pytest.mark.parametrize(
    ('refused', 'words'),
    [
        (lambda: partitioner_of().spec(('embd',)), ["'embd'", 'embed']),
        (lambda: standard_logical_axis_rules(3, 1), ['1 or 2', '3']),
        (lambda: standard_logical_axis_rules(additional_rules=[('embed', 'modle')]), ["'modle'", 'model']),
        (lambda: partitioner_of().check_batch(7), ['BATCH_SIZE is 7', 'multiple of 2', 'BATCH_SIZE=8']),
        (lambda: partitioner_of().check_batch(10, 4), ['BATCH_SIZE is 10', 'multiple of 8', '4 microbatches', 'MICROBATCHES']),
        (lambda: partitioner_of().check_heads(6), ['6 attention heads', '4 model partitions', 'num_partitions', 'num_heads']),
        (
            lambda: partitioner_of().check_shapes({'mlp': {'wi': np.zeros((8, 30))}}, {'mlp': {'wi': ('embed', 'mlp')}}),
            ['mlp/wi', '30', "'mlp'", 'multiple of 4'],
        ),
        (lambda: partitioning.make_partitioner(num_partitions=3 * jax.device_count()), ['num_partitions', str(jax.device_count())]),
        (lambda: partitioning.make_partitioner(mesh_shape=(64, 64)), ['mesh_shape is (64, 64)', 'devices']),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(refused, words):
    with pytest.raises(ValueError) as raised:
        refused()
    assert all(word in str(raised.value) for word in words), raised.value


def test_half_said_processes_are_refused(monkeypatch):
    monkeypatch.setenv('FLANLITE_NUM_PROCESSES', '2')
    with pytest.raises(ValueError, match='FLANLITE_COORDINATOR=HOST:PORT'):
        partitioning.join_processes()


def test_batches_are_placed_by_rows():
    partitioner = partitioning.make_partitioner()
    assert partitioner.host_share() == (0, 1)
    placed = partitioner.place({'tokens': np.arange(16).reshape(8, 2)})
    assert placed['tokens'].sharding.is_equivalent_to(partitioner.sharding(('batch', None)), 2)
    np.testing.assert_array_equal(placed['tokens'], np.arange(16).reshape(8, 2))
