import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flanlite.model import stacks
from flanlite.model.layers import Linear

LAYERS, WIDTH = 3, 8


def make(dtype, rngs):
    return Linear((WIDTH, WIDTH), ('embed', 'mlp'), dtype, rngs)


def scanned(layers, x):
    return stacks.scan(lambda layer, x, _: (jnp.tanh(layer(x)), None), layers, x, None)[0]


def one_by_one(layers, x):
    graphdef, params = nnx.split(layers)
    for i in range(LAYERS):
        x = jnp.tanh(nnx.merge(graphdef, jax.tree.map(lambda leaf, i=i: leaf[i], params))(x))
    return x


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_stacked_gradients_are_those_of_the_layers(dtype):
    layers = stacks.stack(functools.partial(make, dtype), LAYERS, nnx.Rngs(0))
    graphdef, params = nnx.split(layers)
    x = jax.random.normal(jax.random.key(1), (2, 5, WIDTH)).astype(dtype)

    def gradient(run):
        return jax.grad(lambda params: jnp.sum(run(nnx.merge(graphdef, params), x).astype(jnp.float32)))

    (got,), (expected,) = (jax.tree.leaves(jax.jit(gradient(run))(params)) for run in (scanned, one_by_one))
    assert got.dtype == expected.dtype == jnp.float32
    np.testing.assert_allclose(
        got, expected, rtol=1e-6 if dtype == 'float32' else 2e-2, atol=1e-6 if dtype == 'float32' else 2e-2
    )

    stacked = {
        var.aval.dtype.name
        for equation in jax.make_jaxpr(gradient(scanned))(params).eqns
        if equation.primitive.name == 'scan' and equation.params['reverse']
        for var in equation.outvars
        if var.aval.shape == (LAYERS, WIDTH, WIDTH)
    }
    assert stacked == {dtype}
