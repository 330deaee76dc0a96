import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import t5x_fixtures

from flanlite.model import models
from flanlite.training import losses, optimizers, step
from flanlite.training import state as train_state

CONFIG = t5x_fixtures.CONFIG


@functools.lru_cache
def gradient(kind):
    """Compile T5X's loss on one of its batches, once for all variants."""
    batch = t5x_fixtures.under(t5x_fixtures.outputs(), f'{kind}/batch')

    def loss(params):
        logits_BTV = models.bind(CONFIG, params)(batch)
        return losses.loss_sums(
            logits_BTV, batch['decoder_target_tokens'], batch['decoder_loss_weights'], 1e-4
        )['loss']

    return jax.jit(jax.grad(loss))


VARIANTS = {'fresh_default': {}, 'fresh_min8': {'min_dim_size_to_factor': 8}, 'resumed': {}}
EACH_VARIANT = pytest.mark.parametrize('variant', VARIANTS)
KINDS = pytest.mark.parametrize('kind', ['unpacked', 'packed'])


@functools.cache
def three_steps(kind, variant):
    """Take three steps of Adafactor from T5X's parameters, with an empty state or T5X's own; return
    parameters, state and their number.
    """
    params = t5x_fixtures.params()
    transform = optimizers.Adafactor(1e-3, **VARIANTS[variant]).build().transform
    state = jax.eval_shape(transform.init, params)
    if variant == 'resumed':
        step, state = t5x_fixtures.STEP, t5x_fixtures.state(state)
    else:
        step, state = 0, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), state)

    @jax.jit
    def update(grads, state, params):
        updates, state = transform.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(3):
        params, state = update(gradient(kind)(params), state, params)
    return params, state, step + 3


@KINDS
@EACH_VARIANT
def test_parameters_after_three_steps_of_adafactor_are_t5xs(kind, variant):
    params, *_ = three_steps(kind, variant)
    expected = t5x_fixtures.from_t5x(
        t5x_fixtures.under(t5x_fixtures.outputs(), f'{kind}/adafactor3_{variant}/params')
    )
    t5x_fixtures.assert_close(params, expected, rtol=1e-5, atol=1e-6)


@KINDS
@EACH_VARIANT
def test_moments_after_three_steps_of_adafactor_are_t5xs(kind, variant):
    _, state, step = three_steps(kind, variant)
    theirs = t5x_fixtures.under(t5x_fixtures.outputs(), f'{kind}/adafactor3_{variant}/state')
    t5x_fixtures.assert_close(state, t5x_fixtures.adafactor_state(theirs, step, state), rtol=1e-4, atol=1e-7)


@KINDS
def test_a_step_in_two_microbatches_is_t5xs(kind):
    outputs, params = t5x_fixtures.outputs(), t5x_fixtures.params()
    optimizer = optimizers.Adafactor(1e-3).build()
    state = t5x_fixtures.state(jax.eval_shape(optimizer.transform.init, params))
    begun = train_state.create(params, optimizer)._replace(step=np.int32(t5x_fixtures.STEP), opt_state=state)
    settings = step.StepConfig(z_loss=1e-4, loss_normalizing_factor=1.0, microbatches=2)
    train_step = jax.jit(
        functools.partial(step.train_step, config=CONFIG, optimizer=optimizer, settings=settings)
    )
    after, _ = train_step(begun, t5x_fixtures.under(outputs, f'{kind}/batch'), np.uint32(0))
    expected = t5x_fixtures.from_t5x(
        t5x_fixtures.under(outputs, f'{kind}/adafactor1_resumed_microbatch2/params')
    )
    t5x_fixtures.assert_close(after.params, expected, rtol=1e-5, atol=1e-6)


def stacked_case():
    """Make three layers of unlike scale, large enough in one parameter to be factored, and the same layers
    apart.
    """
    rng = np.random.default_rng(0)
    scale_L = np.array([1e-4, 1.0, 30.0], np.float32)

    def draw(*shape):
        return rng.normal(size=(3, *shape)).astype(np.float32) * scale_L.reshape(3, *[1] * len(shape))

    layers = {'mlp': {'kernel': draw(130, 140)}, 'norm': {'scale': draw(16)}}
    return {'encoder': {'layers': layers}}, [
        {'encoder': jax.tree.map(lambda x, i=i: x[i], layers)} for i in range(3)
    ]


@pytest.mark.parametrize(
    'settings', [{}, {'beta1': 0.9, 'weight_decay_rate': 0.01, 'multiply_by_parameter_scale': False}]
)
def test_stacked_layers_fare_as_apart(settings):
    optimizer = optimizers.Adafactor(1e-2, **settings).build()
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
    assert {(3, 130), (3, 140)} <= shapes, (
        'the second moment of matrices is kept as rows and columns of each layer'
    )
    assert (3, 130, 140) not in shapes or 'beta1' in settings
    for i, layer in enumerate(apart):
        expected = two_steps(layer)[0]['encoder']
        jax.tree.map(
            lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5), got['encoder']['layers'], expected
        )  # fmt: skip


def test_global_norm_is_clipped_before_all_else():
    params = {'w': np.ones((4, 4), np.float32)}
    grads = {'w': np.full((4, 4), 100.0, np.float32)}
    clipped = optimizers.AdamW(1.0, global_norm_clip_threshold=1.0).build().transform
    state = clipped.update(grads, clipped.init(params), params)[1]
    np.testing.assert_allclose(optax.tree.get(state, 'mu')['w'], 0.1 * 0.25, rtol=1e-5)


def test_adamw_leaves_norm_scales_undecayed():
    params = {'norm': {'scale': np.ones(4, np.float32)}, 'kernel': np.ones((4, 4), np.float32)}
    transform, schedule, *_ = optimizers.AdamW(0.1, weight_decay=0.5).build()
    zeros = jax.tree.map(np.zeros_like, params)
    updates, _ = transform.update(zeros, transform.init(params), params)
    np.testing.assert_allclose(updates['norm']['scale'], 0.0)
    np.testing.assert_allclose(updates['kernel'], -0.05)
    assert schedule(0) == np.float32(0.1)


def test_t5xs_scanned_adafactor_factors_kernels_of_any_size():
    """Against T5X's rules written out: of a stack, each kernel is factored by embed and the rest, and norms
    and biases are not.
    """
    rng = np.random.default_rng(0)
    shapes = {
        'wo': {'kernel': (3, 6, 4)},
        'wi': {'kernel': (3, 4, 6)},
        'norm': {'scale': (3, 4)},
        'bias': {'rel_embedding': (3, 2, 8)},
    }
    drawn = {
        name: {kind: rng.normal(size=shape).astype(np.float32) for kind, shape in each.items()}
        for name, each in shapes.items()
    }
    params = {'decoder': {'layers': drawn}}
    grads = jax.tree.map(lambda x: np.square(x) + 0.1, params)
    transform = optimizers.Adafactor(0.5, factor_small_layers=True).build().transform
    updates, _ = transform.update(grads, transform.init(params), params)
    for name, kind in (('wo', 'kernel'), ('wi', 'kernel'), ('norm', 'scale'), ('bias', 'rel_embedding')):
        for layer in range(3):
            param, grad = (tree['decoder']['layers'][name][kind][layer] for tree in (params, grads))
            square = grad**2
            if kind == 'kernel':
                square = np.outer(square.mean(1), square.mean(0)) / square.mean()
            y = grad / np.sqrt(square)
            y /= max(1.0, np.sqrt(np.mean(y**2)))
            expected = -0.5 * max(np.sqrt(np.mean(param**2)), 1e-3) * y
            np.testing.assert_allclose(updates['decoder']['layers'][name][kind][layer], expected, rtol=1e-5)


@pytest.mark.parametrize('settings, expected', [
    ({}, -1.0),
    ({'max_parameter_scale': 2.0}, -0.2),
    ({'multiply_by_parameter_scale': False, 'epsilon1': 3.0}, -0.05),
    ({'weight_decay_rate': 0.01}, -1.0 - 0.1),
    ({'weight_decay_rate': 0.01, 'weight_decay_rate_lr_exponent': 2.0}, -1.0 - 0.001),
    ({'weight_decay_rate_lr_exponent': 2.0}, -1.0 - 0.1),
    ({'weight_decay_rate': 0.01, 'weight_decay_rate_lr_exponent': 0.0}, -1.0 - 0.1),
])  # fmt: skip
def test_t5xs_rarer_arguments(settings, expected):
    params, grads = {'w': np.full((2, 2), 10.0, np.float32)}, {'w': np.ones((2, 2), np.float32)}
    transform = optimizers.Adafactor(0.1, **settings).build().transform
    updates, _ = transform.update(grads, transform.init(params), params)
    assert float(updates['w'][0, 0]) == pytest.approx(expected)


PARAMS = {
    'encoder': {
        'layers': {
            'mlp': {'wi': {'kernel': np.ones((2, 3, 4), np.float32)}},
            'norm': {'scale': np.ones((2, 3), np.float32)},
        }
    },
    'decoder': {'logits_dense': {'kernel': np.ones((3, 5), np.float32)}},
}


@pytest.mark.parametrize('make', [
    functools.partial(optimizers.Adafactor, weight_decay_rate=0.1), functools.partial(optimizers.AdamW, weight_decay=0.1)
])  # fmt: skip
def test_weight_decay_spares_what_its_patterns_name(make):
    zeros = jax.tree.map(np.zeros_like, PARAMS)
    transform = make(1.0, weight_decay_exclude=['.*scale', 'decoder/.*']).build().transform
    updates, _ = transform.update(zeros, transform.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates['encoder']['layers']['mlp']['wi']['kernel'], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates['encoder']['layers']['norm']['scale'], 0.0)
    np.testing.assert_array_equal(updates['decoder']['logits_dense']['kernel'], 0.0)
    with pytest.raises(
        ValueError,
        match=r"'decoder/logits/.*' matches no parameter; did you mean decoder/logits_dense/kernel",
    ):
        make(1.0, weight_decay_exclude=['decoder/logits/.*']).build().transform.init(PARAMS)


@pytest.mark.parametrize('make', [optimizers.Adafactor, optimizers.AdamW])
def test_frozen_parameters_stay_and_take_no_memory(make):
    frozen = optimizers.make_optimizer(make(0.1), ('encoder/.*',))
    begun = train_state.create(PARAMS, frozen)
    assert {leaf.shape for leaf in jax.tree.leaves(begun.opt_state)} <= {(), (1,), (3, 5)}, (
        'step counts, and the moments of the one that trains'
    )
    ones = jax.tree.map(np.ones_like, begun.params)
    updates, _ = frozen.transform.update(ones, begun.opt_state, begun.params)
    assert [leaf.all() for leaf in jax.tree.leaves(updates)] == [True]
    jax.tree.map(np.testing.assert_array_equal, begun.whole(), PARAMS)
    assert optimizers.make_optimizer(make(0.1), ('encoder/.*',)) is frozen, (
        'so that compiled steps are found again'
    )


@pytest.mark.parametrize(
    'pattern, words',
    [
        ('encoder/layer/mlp/wi/kernel', 'did you mean encoder/layers/mlp/wi/kernel'),
        ('encoder', 'whole names'),
        ('*/kernel', 'no regular expression'),
        ('.*', 'freeze every parameter'),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(pattern, words):
    with pytest.raises(ValueError, match=words):
        train_state.split(PARAMS, [pattern])


@pytest.mark.parametrize('decay', [0.0, 1.0, 1.5])
def test_an_average_needs_a_decay_below_one(decay):
    with pytest.raises(ValueError, match='expected a number above 0 and below 1'):
        optimizers.average(optimizers.AdamW(0.1).build(), decay)


@pytest.mark.parametrize('settings', [optimizers.Adafactor(0.1), optimizers.AdamW(0.1, weight_decay=0.1)])
def test_rates_of_some_parameters_are_multiplied(settings):
    """What a step moves them by, weight decay included; the state is the same."""
    params = {'encoder': {'kernel': np.ones((3, 4), np.float32)}, 'scale': np.ones(4, np.float32)}
    factors = (('encoder/.*', 0.25), ('.*kernel', 7.0))
    plain, scaled = (
        optimizers.make_optimizer(settings, factors=each).transform for each in ((), factors)
    )
    (one, state), (other, scaled_state) = (
        each.update(params, each.init(params), params) for each in (plain, scaled)
    )
    jax.tree.map(np.testing.assert_array_equal, state, scaled_state)
    np.testing.assert_allclose(other['encoder']['kernel'], 0.25 * one['encoder']['kernel'], rtol=1e-6)
    np.testing.assert_array_equal(other['scale'], one['scale'])
    with pytest.raises(ValueError, match=r"'decoder/\.' matches no parameter"):
        optimizers.make_optimizer(settings, factors=(('decoder/.', 2.0),)).transform.init(params)
    # The first that matches counts, so that another order is another optimizer.
    other_way = optimizers.make_optimizer(settings, factors=factors[::-1]).transform
    turned, _ = other_way.update(params, other_way.init(params), params)
    np.testing.assert_allclose(turned['encoder']['kernel'], 7.0 * one['encoder']['kernel'], rtol=1e-6)


def test_what_an_optimizer_made_by_hand_freezes_and_averages_stays():
    own = optimizers.average(optimizers.AdamW(0.1).build()._replace(frozen=('encoder/.*',)), 0.99)
    made = optimizers.make_optimizer(own)
    assert (made.frozen, made.ema_decay) == (('encoder/.*',), 0.99)
    both = optimizers.make_optimizer(own, ('decoder/.*',), 0.9)
    assert (both.frozen, both.ema_decay) == (('encoder/.*', 'decoder/.*'), 0.9)
