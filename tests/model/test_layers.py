import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flanlite.mesh import activations
from flanlite.model import layers
from flanlite.model.attention import blocks

pytestmark = pytest.mark.smoke


@pytest.fixture
def rngs():
    return nnx.Rngs(0)


@pytest.mark.parametrize('bidirectional', [True, False])
@pytest.mark.parametrize('length', [1, 2, 7, 140])
def test_relative_bias_is_a_look_up_by_distance(rngs, bidirectional, length):
    bias = layers.RelativePositionBias(3, rngs, bidirectional=bidirectional)
    got_HTS = blocks.spread_bias(bias(length), length)
    distance_TS = np.arange(length)[None, :] - np.arange(length)[:, None]
    expected_HTS = np.asarray(bias.rel_embedding[...])[
        :, layers.relative_position_bucket(distance_TS, bidirectional=bidirectional)
    ]
    np.testing.assert_allclose(got_HTS, expected_HTS, rtol=1e-6)


def test_buckets_are_t5s():
    near = layers.relative_position_bucket(np.arange(-7, 8), bidirectional=True)
    np.testing.assert_array_equal(near, [7, 6, 5, 4, 3, 2, 1, 0, 17, 18, 19, 20, 21, 22, 23])
    far = layers.relative_position_bucket(np.array([-8, -16, -127, -128, -5000, 5000]), bidirectional=True)
    np.testing.assert_array_equal(far, [8, 10, 15, 15, 15, 31])
    past = layers.relative_position_bucket(np.array([5, 0, -15, -16, -127, -128]), bidirectional=False)
    np.testing.assert_array_equal(past, [0, 0, 15, 16, 31, 31])


def test_dropout_draws_once_a_row_and_keeps_the_mean():
    shapes = [(1, 1000), (3, 40, 1)]
    keep_B1D, keep_BSH1 = layers.dropout_masks(jax.random.key(0), 0.25, 8, shapes)
    assert (keep_B1D.shape, keep_BSH1.shape) == ((8, 1, 1000), (8, 3, 40, 1))
    y_BTD = np.asarray(layers.dropout(jnp.ones((8, 5, 1000)), keep_B1D, 0.25))
    assert (y_BTD == y_BTD[:, :1]).all()
    assert (y_BTD[0] != y_BTD[1]).any()
    assert set(np.unique(y_BTD)) == {np.float32(0.0), np.float32(4 / 3)}
    assert abs(y_BTD.mean() - 1.0) < 0.02
    for key, rate in ((None, 0.25), (jax.random.key(0), 0.0)):
        assert layers.dropout_masks(key, rate, 8, shapes) == [None, None]


def test_norm_and_projection_compute_in_their_dtype(rngs):
    x_BTD = (np.random.default_rng(0).normal(size=(2, 3, 16)) * 1e4).astype(jnp.bfloat16)
    normed_BTD = layers.LayerNorm(16, 'bfloat16')(jnp.asarray(x_BTD))
    assert normed_BTD.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.square(np.asarray(normed_BTD, np.float32)).mean(axis=-1), 1.0, rtol=0.02)
    assert (
        layers.Linear((16, 4), ('embed', 'mlp'), 'bfloat16', rngs)(jnp.asarray(x_BTD)).dtype == jnp.bfloat16
    )
    assert (
        layers.Linear((16, 4), ('embed', 'vocab'), 'float32', rngs)(jnp.asarray(x_BTD)).dtype == jnp.float32
    )


def test_mlp_multiplies_its_branches(rngs):
    x_BTD = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 8)), jnp.float32)
    gated = layers.MLP(8, 16, ('gelu', 'linear'), 0.0, 'float32', rngs)
    expected = (
        jax.nn.gelu(x_BTD @ gated.wi_0.kernel[...]) * (x_BTD @ gated.wi_1.kernel[...])
    ) @ gated.wo.kernel[...]
    np.testing.assert_allclose(gated(x_BTD), expected, rtol=1e-5, atol=1e-5)
    plain = layers.MLP(8, 16, ('relu',), 0.0, 'float32', rngs)
    np.testing.assert_allclose(
        plain(x_BTD), jax.nn.relu(x_BTD @ plain.wi.kernel[...]) @ plain.wo.kernel[...], rtol=1e-5, atol=1e-5
    )


def test_activation_rules_see_what_is_traced_within_them():
    seen = []

    def note(x, axes):
        seen.append((x.shape, axes))
        return x

    x = jnp.ones((2, 3, 4))
    with activations.activation_rules(types.SimpleNamespace(constrain=note)):
        activations.constrain(x, ('batch', 'length', 'embed'))
    activations.constrain(x, ('batch', 'length', 'mlp'))
    assert seen == [((2, 3, 4), ('batch', 'length', 'embed'))]
