"""The train step: microbatches, normalisation, dropout by step, and the same losses on every mesh."""

import dataclasses
import functools
import json
import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest

from flanlite.mesh import partitioning
from flanlite.model.t5 import T5Config
from flanlite.training import optimizers, step, task_gradients
from flanlite.training.step import StepConfig

CONFIG = T5Config(
    vocab_size=64, emb_dim=16, num_heads=8, num_encoder_layers=1, num_decoder_layers=1, head_dim=4, mlp_dim=32, dropout_rate=0.0,
    dtype='float32',
)  # fmt: skip
LAYOUTS = {  # by mesh, slices, dims of activations and of parameters, and microbatches
    'data': ((8, 1), 1, 1, 1, 1),
    'model': ((1, 8), 1, 1, 1, 1),
    'fully sharded': ((8, 1), 1, 1, 2, 1),
    'both': ((4, 2), 1, 1, 1, 1),
    'two-dimensional': ((2, 4), 1, 2, 2, 1),
    'two slices, fully sharded': ((2, 2), 2, 1, 2, 1),
    'two slices, microbatches': ((4, 1), 2, 1, 1, 2),
}


PROJECTED = ('both', 'two slices, fully sharded', 'two slices, microbatches')  # the layouts to try PCGrad on


def batch_of(rows=16, source=12, target=6, seed=0):
    random = np.random.default_rng(seed)
    targets = random.integers(2, 64, (rows, target), dtype=np.int32)
    targets[:, 4:] *= random.integers(0, 2, (rows, 1), dtype=np.int32)  # some rows end early
    return {
        'encoder_input_tokens': random.integers(2, 64, (rows, source), dtype=np.int32),
        'decoder_input_tokens': np.pad(targets[:, :-1], ((0, 0), (1, 0))),
        'decoder_target_tokens': targets,
        'decoder_loss_weights': (targets > 0).astype(np.float32),
        'decoder_group_ids': random.integers(0, 3, (rows, target), dtype=np.int32),  # of PCGrad
    }


OPTIMIZER = optimizers.Adafactor(learning_rate=1e-2).build()


def losses(config, settings, partitioner=None, start=None, steps=3, num_groups=0):
    """Train on a few batches; return each step's mean loss and gradient norm, and the last state."""
    partitioner = partitioner or partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(1, 1)))
    seed = partitioner.replicate(np.uint32(0))
    state = start or step.jit_init(config, OPTIMIZER, partitioner)(seed)
    train_step = step.jit_train_step(config, OPTIMIZER, settings, partitioner, num_groups)
    curve = []
    for number in range(steps):
        state, sums = train_step(state, partitioner.place(batch_of(seed=number)), seed)
        curve.append((float(sums['loss'] / sums['weight_sum']), float(sums['gradient_norm'])))
    return np.array(curve), state


@pytest.fixture(scope='module')
def whole():
    return losses(CONFIG, StepConfig())


def test_microbatches_equal_the_whole_batch(whole):
    curve, state = losses(CONFIG, StepConfig(microbatches=4))
    np.testing.assert_allclose(curve, whole[0], rtol=1e-5)
    for got, expected in zip(jax.tree.leaves(state.params), jax.tree.leaves(whole[1].params), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_normalised_by_real_targets_or_a_number(whole):
    optimizer, batch = optimizers.Optimizer(optax.sgd(0.1), optax.constant_schedule(0.1)), batch_of()
    state = step.state.create(step.models.init_params(CONFIG, jax.random.key(0)), optimizer)
    sums = {}
    for factor in ('NUM_REAL_TARGET_TOKENS', 50.0):
        settings = StepConfig(loss_normalizing_factor=factor)
        train_step = functools.partial(step.train_step, config=CONFIG, optimizer=optimizer, settings=settings)
        sums[factor] = jax.jit(train_step)(state, batch, np.uint32(0))[1]
    tokens = batch['decoder_loss_weights'].sum()
    by_tokens, by_number = sums.values()
    assert float(by_tokens['gradient_norm'] * tokens) == pytest.approx(
        float(by_number['gradient_norm'] * 50), rel=1e-4
    )
    assert float(by_tokens['weight_sum']) == float(by_tokens['decoder_tokens']) == tokens
    assert float(by_tokens['encoder_tokens']) == 16 * 12
    assert float(by_tokens['learning_rate']) == pytest.approx(0.1)


@pytest.mark.parametrize(
    'factor', [50.0, 'NUM_REAL_TARGET_TOKENS', 'NUM_TOTAL_TARGET_TOKENS', 'AVERAGE_PER_SEQUENCE']
)
def test_microbatches_are_normalised_as_a_whole(factor):
    norms = [
        losses(CONFIG, StepConfig(loss_normalizing_factor=factor, microbatches=count), steps=1)[0][0, 1]
        for count in (1, 4)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_dropout_is_a_function_of_seed_and_step(whole):
    config, batch = dataclasses.replace(CONFIG, dropout_rate=0.5), batch_of()
    optimizer = optimizers.Adafactor(learning_rate=0.0).build()
    partitioner = partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(1, 1)))
    train_step = step.jit_train_step(config, optimizer, StepConfig(), partitioner)
    seen = []
    for seed in (0, 0, 1):
        start = jax.tree.map(lambda leaf: leaf.copy(), whole[1])
        after, first = train_step(start, batch, np.uint32(seed))
        _, second = train_step(after, batch, np.uint32(seed))
        seen.append((float(first['loss']), float(second['loss'])))
    assert seen[0] == seen[1]
    assert len({*seen[0], *seen[2]}) == 4


def test_equal_settings_find_the_compiled_step_again():
    def compiled(learning_rate):
        return step.jit_train_step(
            T5Config(**dataclasses.asdict(CONFIG)), optimizers.make_optimizer(optimizers.Adafactor(learning_rate)), StepConfig(),
            partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(1, 1))),
        )  # fmt: skip

    assert compiled(1e-2) is compiled(1e-2)
    assert compiled(1e-2) is not compiled(1e-3)


def test_frozen_parameters_have_no_backward_pass():
    def flops(frozen):
        optimizer = optimizers.make_optimizer(optimizers.AdamW(1e-3), tuple(frozen))
        state = jax.eval_shape(
            lambda: step.state.create(step.models.init_params(CONFIG, jax.random.key(0)), optimizer)
        )
        train_step = functools.partial(
            step.train_step, config=CONFIG, optimizer=optimizer, settings=StepConfig()
        )
        return jax.jit(train_step).lower(state, batch_of(), np.uint32(0)).cost_analysis()['flops']

    assert flops(['encoder/.*', 'token_embedder/.*']) < 0.75 * flops(())


@pytest.mark.parametrize(
    'settings',
    [
        {'loss_normalizing_factor': 0.0},
        {'loss_normalizing_factor': 'TOKENS'},
        {'microbatches': 0},
        {'norms_depth': -1},
    ],
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match='expected'):
        StepConfig(**settings)


@pytest.fixture(scope='module')
def layouts():
    """What training on eight virtual devices gives, each layout from the same parameters; in a process of its
    own.
    """
    # The latter compiles sooner.
    flags = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
    environment = os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_layout_gives_the_same_losses(whole, layouts):
    """Data-, model-, fully sharded, mixed, on slices, with dropout; the microbatches' dropout is another, so
    they go without.
    """
    for name, found in layouts.items():
        reference = whole[0] if name.endswith('microbatches') else layouts['data']['curve']
        np.testing.assert_allclose(found['curve'], reference, rtol=1e-5, err_msg=name)
    assert layouts['data']['curve'][0][0] != pytest.approx(whole[0][0, 0], rel=1e-3), 'there was no dropout'


def test_every_layout_projects_the_same_gradients(whole, layouts):
    expected, _ = losses(CONFIG, StepConfig(pcgrad='tasks'), num_groups=3)
    assert abs(expected[0, 1] / whole[0][0, 1] - 1) > 1e-3, 'nothing conflicted'
    found = {name: layouts[name]['projected'] for name in PROJECTED}
    for name, curve in found.items():
        np.testing.assert_allclose(curve, expected, rtol=1e-5, err_msg=name)


def test_every_layout_measures_the_same_products(layouts):
    partitioner = partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(1, 1)))
    params = step.jit_init(CONFIG, OPTIMIZER, partitioner)(partitioner.replicate(np.uint32(0))).whole()
    expected = products_of(params, partitioner)
    for name in PROJECTED:
        np.testing.assert_allclose(layouts[name]['products'], expected, rtol=1e-4, err_msg=name)


def test_each_layout_holds_its_share_of_the_state(whole, layouts):
    """Between steps all devices of a slice share parameters and the optimizer's state, whether or not the
    rules split them over `data`.
    """
    for name, found in layouts.items():
        (data, model), *_ = LAYOUTS[name]
        for part in ('params', 'opt_state'):
            all_of_it = sum(leaf.nbytes for leaf in jax.tree.leaves(getattr(whole[1], part)))
            assert found[part] < 1.4 * all_of_it / (data * model), (name, part)


def test_each_layout_donates_its_state(layouts):
    assert [name for name, found in layouts.items() if not found['donated']] == []


def products_of(params, partitioner, microbatches=1):
    """Return the products of the gradients of two tasks, over all parameters."""
    batches = {task: [batch_of(seed=seed), batch_of(seed=seed + 1)] for seed, task in ((0, 'a'), (2, 'b'))}
    gradient = step.jit_gradient(CONFIG, OPTIMIZER, StepConfig(microbatches=microbatches), partitioner)
    return task_gradients.measure(params, batches, gradient, partitioner, lambda done: None)[1].sum(axis=0)


def train_on(name, drawn):
    """Train from `drawn` on a layout; return the losses, bytes on a device, and whether the first state's
    buffers were given away.
    """
    mesh_shape, num_slices, activations, parameters, microbatches = LAYOUTS[name]
    partitioner = partitioning.make_partitioner(
        partitioning.MeshConfig(
            mesh_shape=mesh_shape,
            num_slices=num_slices,
            activation_partitioning_dims=activations,
            parameter_partitioning_dims=parameters,
        )
    )
    config = dataclasses.replace(CONFIG, dropout_rate=0.0 if microbatches > 1 else 0.1)
    placed = step.abstract_state(config, OPTIMIZER, partitioner)
    start = jax.tree.map(lambda value, leaf: jax.device_put(value, leaf.sharding), drawn, placed)
    projected = products = None
    if name in PROJECTED:
        products = products_of(start.whole(), partitioner, microbatches).tolist()
        copy = jax.tree.map(lambda leaf: leaf.copy(), start)
        settings = StepConfig(microbatches=microbatches, pcgrad='tasks')
        projected = losses(CONFIG, settings, partitioner, copy, num_groups=3)[0].tolist()
    curve, state = losses(config, StepConfig(microbatches=microbatches), partitioner, start)
    held = {
        part: sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(getattr(state, part)))
        for part in state._fields
    }
    # Size 1: Adafactor's fillers.
    donated = all(leaf.is_deleted() for leaf in jax.tree.leaves(start) if leaf.ndim == 0 or leaf.size > 1)
    return held | {'curve': curve.tolist(), 'donated': donated, 'projected': projected, 'products': products}


if __name__ == '__main__':
    drawn = jax.tree.map(
        np.asarray,
        step.jit_init(
            CONFIG, OPTIMIZER, partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(1, 1)))
        )(np.uint32(0)),
    )
    print(json.dumps({name: train_on(name, drawn) for name in LAYOUTS}))
