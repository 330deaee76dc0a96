import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import t5x_fixtures

from flanlite.model import models
from flanlite.training import losses

pytestmark = pytest.mark.smoke


def random_case(seed=0, shape=(2, 3), vocab=11):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(*shape, vocab)).astype(np.float32) * 4, rng.integers(0, vocab, shape)


@pytest.mark.parametrize('z_loss', [0.0, 1e-2])
@pytest.mark.parametrize('label_smoothing', [0.0, 0.1])
def test_loss_and_gradient_are_those_of_the_definition(z_loss, label_smoothing):
    logits_BTV, targets_BT = random_case()

    def definition(logits_BTV):
        vocab = logits_BTV.shape[-1]
        off = label_smoothing / (vocab - 1)
        soft_BTV = jnp.where(jax.nn.one_hot(targets_BT, vocab) > 0, 1 - label_smoothing, off)
        entropy = -jnp.sum(jax.scipy.special.xlogy(soft_BTV, soft_BTV), axis=-1)
        z_BT = z_loss * jax.nn.logsumexp(logits_BTV, axis=-1) ** 2
        return -jnp.sum(soft_BTV * jax.nn.log_softmax(logits_BTV), axis=-1) - entropy + z_BT, z_BT

    ours = functools.partial(
        losses.cross_entropy_with_logits,
        targets_BT=targets_BT,
        z_loss=z_loss,
        label_smoothing=label_smoothing,
    )
    weights_BT = np.arange(6.0, dtype=np.float32).reshape(2, 3)
    for got, expected in zip(jax.jit(ours)(logits_BTV), jax.jit(definition)(logits_BTV), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    got, expected = (
        jax.jit(jax.grad(lambda x, fn=fn: jnp.sum(fn(x)[0] * weights_BT)))(logits_BTV)
        for fn in (ours, definition)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_huge_logits_stay_finite():
    logits_BTV = np.array([[[1e4, -1e4, 0.0]]], np.float32)
    value, grad = jax.value_and_grad(
        lambda x: jnp.sum(losses.cross_entropy_with_logits(x, np.array([[1]]), 1e-4, 0.0)[0])
    )(logits_BTV)
    np.testing.assert_allclose(value, 2e4 + 1e-4 * 1e8, rtol=1e-6)
    assert np.isfinite(grad).all()


def test_sums_leave_out_what_has_no_weight():
    logits_BTV, targets_BT = random_case()
    weights_BT = np.array([[1, 1, 0], [1, 0, 0]])
    sums = losses.loss_sums(logits_BTV, targets_BT, weights_BT, 1e-4)
    loss_BT, z_loss_BT = losses.cross_entropy_with_logits(logits_BTV, targets_BT, 1e-4)
    correct_BT = logits_BTV.argmax(axis=-1) == targets_BT
    expected = {
        'objective': loss_BT,
        'loss': loss_BT,
        'z_loss': z_loss_BT,
        'accuracy': correct_BT,
        'weight_sum': np.ones((2, 3)),
    }
    assert set(sums) == set(expected)
    for name, value_BT in expected.items():
        np.testing.assert_allclose(
            sums[name], (np.asarray(value_BT) * weights_BT).sum(), rtol=1e-6, err_msg=name
        )


@functools.cache
def trained(kind, z_loss):
    """Compute what T5X did: the loss, its gradient, and the scores of the targets; and find T5X's outputs for
    that kind of batch.
    """
    outputs = t5x_fixtures.under(t5x_fixtures.outputs(), kind)
    batch = t5x_fixtures.under(outputs, 'batch')
    targets_BT, weights_BT = batch['decoder_target_tokens'], batch['decoder_loss_weights']

    def loss(params):
        logits_BTV = models.bind(t5x_fixtures.CONFIG, params)(batch)
        sums = losses.loss_sums(logits_BTV, targets_BT, weights_BT, z_loss)
        return sums['loss'], (
            sums,
            losses.target_log_likelihoods(logits_BTV, targets_BT, weights_BT),
            logits_BTV,
        )

    grads, (sums, scores_B, logits_BTV) = jax.jit(jax.grad(loss, has_aux=True))(t5x_fixtures.params())
    return outputs, batch, logits_BTV, sums, scores_B, grads


Z_LOSSES = pytest.mark.parametrize('z_loss, name', [(0.0, 'z0'), (1e-4, 'z1e-4')], ids=['z0', 'z1e-4'])
KINDS = pytest.mark.parametrize('kind', ['unpacked', 'packed'])


@KINDS
@Z_LOSSES
@pytest.mark.parametrize(
    'sum_name, theirs, rtol',
    [('loss', 'loss', 1e-6), ('z_loss', 'metric_z_loss', 1e-5)],
    ids=['loss', 'z-loss'],
)
def test_losses_are_t5xs(kind, z_loss, name, sum_name, theirs, rtol):
    outputs, _, _, sums, *_ = trained(kind, z_loss)
    np.testing.assert_allclose(sums[sum_name], outputs[f'{theirs}_{name}'], rtol=rtol)


@KINDS
@Z_LOSSES
def test_gradients_are_t5xs(kind, z_loss, name):
    outputs, *_, grads = trained(kind, z_loss)
    t5x_fixtures.assert_close(
        grads, t5x_fixtures.from_t5x(t5x_fixtures.under(outputs, f'grads_{name}')), rtol=1e-4, atol=2e-5
    )


@KINDS
@Z_LOSSES
def test_the_norm_of_all_gradients_is_t5xs(kind, z_loss, name):
    outputs, *_, grads = trained(kind, z_loss)
    norm = np.sqrt(sum(np.square(x, dtype=np.float64).sum() for x in jax.tree.leaves(grads)))
    np.testing.assert_allclose(norm, outputs[f'grad_global_norm_{name}'], rtol=1e-6)


@KINDS
@Z_LOSSES
def test_scores_of_targets_are_t5xs_whatever_the_z_loss(kind, z_loss, name):
    outputs, *_, scores_B, _ = trained(kind, z_loss)
    np.testing.assert_allclose(scores_B, outputs['score_batch'], rtol=1e-5)


@pytest.mark.parametrize('factor', losses.NORMALIZING_FACTORS)
@KINDS
def test_normalised_losses_are_t5xs(kind, factor):
    outputs, batch, logits_BTV, *_ = trained(kind, 1e-4)
    weights_BT, divisor = losses.normalization(factor, batch)
    targets_BT, loss_weights_BT = batch['decoder_target_tokens'], batch['decoder_loss_weights']
    sums = losses.loss_sums(logits_BTV, targets_BT, loss_weights_BT, 1e-4, objective_weights_BT=weights_BT)
    np.testing.assert_allclose(sums['objective'] / divisor, outputs[f'loss_z1e-4_{factor}'], rtol=1e-6)


def test_each_sequence_of_a_packed_row_counts_alike():
    batch = {
        'decoder_loss_weights': np.array([[1, 1, 1, 0, 1, 0]]),
        'decoder_segment_ids': np.array([[1, 1, 1, 1, 2, 0]]),
    }
    weights_BT, divisor = losses.normalization('AVERAGE_PER_SEQUENCE', batch)
    np.testing.assert_allclose(weights_BT, [[1 / 3, 1 / 3, 1 / 3, 0, 1, 0]], rtol=1e-6)
    assert float(divisor) == pytest.approx(2.0)
