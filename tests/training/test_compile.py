import importlib.util
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from flanlite.training import compile as ahead

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='libtpu, the TPU compiler, is not installed'
)

SCRIPT = """
import json
import sys
from flanlite.model.t5 import T5Config
from flanlite.data.config import DataConfig
from flanlite.mesh import partitioning
from flanlite.training import compile as ahead
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import AdamW
from flanlite.training.step import StepConfig

sizes = {'vocab_size': 256, 'emb_dim': 32, 'num_heads': 4, 'head_dim': 8, 'mlp_dim': 64}
model = T5Config(**sizes, num_encoder_layers=3, num_decoder_layers=2, remat_policy=sys.argv[2])
projected = sys.argv[4] == 'True'
data = DataConfig('pocket' if projected else 'any', {'inputs': 64, 'targets': 16}, 4)
step = StepConfig(pcgrad='clusters' if projected else None)
config = TrainConfig('unused', data, AdamW(1e-3), 1, model, step=step)
chip, devices = ahead.topology_devices(sys.argv[1])
mesh = partitioning.MeshConfig(num_partitions=2, parameter_partitioning_dims=int(sys.argv[3]))
partitioner = partitioning.make_partitioner(mesh, devices)
found = ahead.forecast(config, partitioner, chip)
fields = {name: getattr(found, name) for name in ('parameters', 'optimizer', 'batch', 'peak', 'flops', 'refused')}
print(json.dumps(fields | {'sent': found.ring_bytes, 'kinds': sorted(found.traffic)}))
"""


def compiled(topology, remat='none', dims=2, projected=False):
    environment = os.environ | {'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(
        [sys.executable, '-c', SCRIPT, topology, remat, str(dims), str(projected)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def by_hand():
    """Bytes on each of 4 devices, mesh 2 x 2: kernels and embedding lie in quarters, norms' scales in halves,
    biases of heads in halves.
    """
    D, J, F, V = 32, 32, 64, 256
    kernels = V * D + 3 * (4 * D * J + 3 * D * F) + 2 * (8 * D * J + 3 * D * F) + D * V
    scales = D * (3 * 2 + 1 + 2 * 3 + 1)
    biases = 2 * 4 * 32
    return 4 * (kernels // 4 + scales // 2 + biases // 2)


@pytest.mark.parametrize('topology', ['h100:4', pytest.param('v5e:2x2', marks=needs_libtpu)])
def test_a_step_is_forecast_as_counted_by_hand(topology):
    found = compiled(topology)
    assert found['parameters'] == by_hand()
    assert found['optimizer'] == pytest.approx(2 * by_hand(), abs=64)  # both moments, and counts of steps
    assert found['batch'] == 2 * 4 * (3 * 64 + 5 * 16)
    assert found['peak'] > found['parameters'] + found['optimizer'] and not found['refused']
    assert found['sent'] > 0 and 'all-gather' in found['kinds']
    assert compiled(topology, 'full')['flops'] > found['flops']


def test_weights_are_gathered_once_a_step_where_the_rules_keep_them_whole():
    once, by_layer = compiled('h100:4', 'full', dims=1), compiled('h100:4', 'full')
    assert once['parameters'] == by_layer['parameters'] and once['optimizer'] == by_layer['optimizer']
    assert once['sent'] < by_layer['sent']


def test_pcgrad_holds_a_gradient_of_each_cluster():
    plain, projected = compiled('h100:4', 'full'), compiled('h100:4', 'full', projected=True)
    assert projected['batch'] == plain['batch'] + 2 * 4 * 16  # the numbers of the groups
    more = (projected['peak'] - plain['peak']) / plain['parameters']
    # Pocket has 12 clusters, and a plain step holds one gradient; what the backward passes share stays, too.
    assert 11 < more < 24


def test_flops_are_counted_through_loops_and_gradients():
    def loss(x, weights):
        return jnp.sum(jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0])

    x, weights = jax.ShapeDtypeStruct((3, 8), 'float32'), jax.ShapeDtypeStruct((5, 8, 8), 'float32')
    product = 2 * 3 * 8 * 8
    assert ahead.count_flops(jax.make_jaxpr(loss)(x, weights).jaxpr) == 5 * product
    assert (
        ahead.count_flops(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(x, weights).jaxpr) == 3 * 5 * product
    )


@pytest.mark.parametrize(
    'message',
    [
        'Ran out of memory in memory space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.7G.',
        'Ran out of memory on HBM, the total memory required for HLO temporaries (20.50G) exceeds available '
        'HBM (15.75G).',
    ],
)
def test_the_compilers_refusals_are_understood(message):
    assert ahead.OUT_OF_MEMORY.search(message).groups() == ('20.50', 'G', '15.75', 'G')


@pytest.mark.parametrize('topology', ['v5e', 'v9:2x2', 'h100:2x2', '16x16', 'v5e:', 'h100:0', '0*v5e:2x2'])
def test_an_impossible_topology_is_refused(topology):
    with pytest.raises(ValueError, match='expected'):
        ahead.topology_devices(topology)
