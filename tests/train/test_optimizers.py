import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import t5x_fixtures

from flanlite.model import t5
from flanlite.train import interop, losses, optimizers, step

CONFIG = t5x_fixtures.CONFIG


@functools.lru_cache
def gradient(kind):
    """Compile T5X's loss on one of its batches, once for all variants."""
    batch = t5x_fixtures.under(t5x_fixtures.load('unscanned_outputs'), f'{kind}/batch')

    def loss(params):
        logits_BTV = t5.bind(CONFIG, params)(batch)
        return losses.loss_sums(logits_BTV, batch['decoder_target_tokens'], batch['decoder_loss_weights'], 1e-4)['loss']

    return jax.jit(jax.grad(loss))


@pytest.mark.parametrize('kind', ['unpacked', 'packed'])
@pytest.mark.parametrize('variant, settings', [('fresh_default', {}), ('fresh_min8', {'min_dim_size_to_factor': 8}), ('resumed', {})])
def test_three_steps_of_adafactor_are_t5xs(kind, variant, settings):
    start, outputs = t5x_fixtures.load('unscanned_params'), t5x_fixtures.load('unscanned_outputs')
    optimizer = optimizers.adafactor(1e-3, **settings)
    params = interop.from_t5x(t5x_fixtures.under(start, 'params'))
    state = jax.eval_shape(optimizer.transform.init, params)
    if variant == 'resumed':
        step = int(start['step'])
        state = interop.optimizer_state_from_t5x(t5x_fixtures.under(start, 'state'), step, state)
    else:
        step = 0
        state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)

    @jax.jit
    def update(grads, state, params):
        updates, state = optimizer.transform.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(3):
        params, state = update(gradient(kind)(params), state, params)
    name = f'{kind}/adafactor3_{variant}'
    expected = interop.from_t5x(t5x_fixtures.under(outputs, f'{name}/params'))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), params, expected)
    expected = interop.optimizer_state_from_t5x(t5x_fixtures.under(outputs, f'{name}/state'), step + 3, state)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-7), state, expected)


@pytest.mark.parametrize('kind', ['unpacked', 'packed'])
def test_a_step_in_two_microbatches_is_t5xs(kind):
    start, outputs = t5x_fixtures.load('unscanned_params'), t5x_fixtures.load('unscanned_outputs')
    optimizer, number = optimizers.adafactor(1e-3), int(start['step'])
    params = interop.from_t5x(t5x_fixtures.under(start, 'params'))
    shapes = jax.eval_shape(optimizer.transform.init, params)
    before = step.TrainState(np.int32(number), params, interop.optimizer_state_from_t5x(t5x_fixtures.under(start, 'state'), number, shapes))
    settings = step.StepConfig(z_loss=1e-4, loss_normalizing_factor=1.0, microbatches=2)
    train_step = jax.jit(functools.partial(step.train_step, config=CONFIG, optimizer=optimizer, settings=settings))
    after, _ = train_step(before, t5x_fixtures.under(outputs, f'{kind}/batch'), np.uint32(0))
    expected = interop.from_t5x(t5x_fixtures.under(outputs, f'{kind}/adafactor1_resumed_microbatch2/params'))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), after.params, expected)


def stacked_case():
    """Make three layers of unlike scale, large enough in one parameter to be factored, and the same layers apart."""
    rng = np.random.default_rng(0)
    scale_L = np.array([1e-4, 1.0, 30.0], np.float32)

    def draw(*shape):
        return rng.normal(size=(3, *shape)).astype(np.float32) * scale_L.reshape(3, *[1] * len(shape))

    layers = {'mlp': {'kernel': draw(130, 140)}, 'norm': {'scale': draw(16)}}
    return {'encoder': {'layers': layers}}, [{'encoder': jax.tree.map(lambda x, i=i: x[i], layers)} for i in range(3)]


@pytest.mark.parametrize('settings', [{}, {'beta1': 0.9, 'weight_decay_rate': 0.01, 'multiply_by_parameter_scale': False}])
def test_stacked_layers_fare_as_apart(settings):
    optimizer = optimizers.adafactor(1e-2, **settings)
    stacked, apart = stacked_case()

    @jax.jit
    def two_steps(params):
        state = optimizer.transform.init(params)
        for power in (2, 1):
            grads = jax.tree.map(lambda x, power=power: jnp.abs(x) ** power * jnp.sign(x), params)
            updates, state = optimizer.transform.update(grads, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    got, state = two_steps(stacked)
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert {(3, 130), (3, 140)} <= shapes, 'the second moment of matrices is kept as rows and columns of each layer'
    assert (3, 130, 140) not in shapes or 'beta1' in settings
    for i, layer in enumerate(apart):
        expected = two_steps(layer)[0]['encoder']
        jax.tree.map(
            lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5), got['encoder']['layers'], expected
        )  # fmt: skip


def test_global_norm_is_clipped_before_all_else():
    params = {'w': np.ones((4, 4), np.float32)}
    grads = {'w': np.full((4, 4), 100.0, np.float32)}
    clipped = optimizers.adamw(1.0, global_norm_clip_threshold=1.0).transform
    state = clipped.update(grads, clipped.init(params), params)[1]
    np.testing.assert_allclose(optax.tree.get(state, 'mu')['w'], 0.1 * 0.25, rtol=1e-5)


def test_adamw_leaves_norm_scales_undecayed():
    params = {'norm': {'scale': np.ones(4, np.float32)}, 'kernel': np.ones((4, 4), np.float32)}
    transform, schedule = optimizers.adamw(0.1, weight_decay=0.5)
    zeros = jax.tree.map(np.zeros_like, params)
    updates, _ = transform.update(zeros, transform.init(params), params)
    np.testing.assert_allclose(updates['norm']['scale'], 0.0)
    np.testing.assert_allclose(updates['kernel'], -0.05)
    assert schedule(0) == np.float32(0.1)


@pytest.mark.parametrize(
    'schedule, expected',
    [
        (optimizers.constant(3e-3), {0: 3e-3, 10**6: 3e-3}),
        (optimizers.rsqrt(), {0: 0.01, 10_000: 0.01, 40_000: 0.005}),
        (optimizers.rsqrt(2.0, 100, ramp=True), {0: 0.0, 50: 0.1, 100: 0.2, 400: 0.1}),
        (optimizers.linear(1.0, 100, 10, final=0.1), {0: 0.0, 5: 0.5, 10: 1.0, 55: 0.55, 100: 0.1, 200: 0.1}),
        (optimizers.linear(1.0, 100), {0: 1.0, 50: 0.5, 100: 0.0}),
        (optimizers.cosine(1.0, 110, 10), {0: 0.0, 5: 0.5, 10: 1.0, 60: 0.5, 110: 0.0, 200: 0.0}),
        (optimizers.cosine(1.0, 100, final=0.2), {0: 1.0, 50: 0.6, 100: 0.2}),
    ],
)
def test_schedules(schedule, expected):
    np.testing.assert_allclose([schedule(step) for step in expected], list(expected.values()), rtol=1e-5, atol=1e-7)
