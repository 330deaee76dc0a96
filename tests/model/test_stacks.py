import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from flanlite.data.batches import batches
from flanlite.model import models, stacks
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.layers import Linear
from flanlite.model.llama import LlamaConfig
from flanlite.model.t5 import T5Config
from flanlite.model.t5gemma import T5GemmaConfig

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


def scans_of(jaxpr):
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'scan':
            yield equation.params['jaxpr'].jaxpr
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, 'eqns') or hasattr(x, 'jaxpr')
        ):
            if hasattr(inner, 'eqns') or hasattr(inner, 'jaxpr'):
                yield from scans_of(getattr(inner, 'jaxpr', inner))


def products_of(jaxpr, var):
    """List what a parameter goes into after its cast: the equations with other operands."""
    for equation in jaxpr.eqns:
        if not any(each is var for each in equation.invars):
            continue
        if len(equation.invars) == 1 and 'jaxpr' not in equation.params:
            yield from products_of(jaxpr, equation.outvars[0])
        elif inner := equation.params.get('jaxpr'):
            at = next(i for i, each in enumerate(equation.invars) if each is var)
            inner = getattr(inner, 'jaxpr', inner)
            yield from products_of(inner, inner.invars[at])
        else:
            yield equation.primitive.name


FEW = {'num_heads': 4, 'num_kv_heads': 2, 'head_dim': 6, 'num_layers': 3, 'qk_norm': 'head', 'qkv_bias': True}


@pytest.mark.parametrize(
    'config',
    [
        T5Config(num_encoder_layers=2, num_decoder_layers=2),
        DecoderOnlyConfig(num_layers=2),
        LlamaConfig(**FEW),
        T5GemmaConfig(**FEW),
        T5GemmaConfig(**FEW, version=1),
    ],
    ids=['t5', 'decoder alone', 'llama', 't5gemma 2', 't5gemma'],
)
def test_a_layer_uses_each_rounded_parameter_once(config):
    """A second use would be rounded; see `stacks`."""
    config = dataclasses.replace(config, remat_policy='none')
    batch, params = batches.CONVERTERS[config.converter].pack([[]], (8, 4)), models.abstract_params(config)
    traced = jax.make_jaxpr(lambda params: models.bind(config, params)(batch))(params)
    stacked = 0
    for body in scans_of(traced.jaxpr):
        for equation in body.eqns:
            shapes = [each.aval.shape for each in equation.invars]
            # A parameter and its slot.
            if equation.primitive.name == 'custom_vjp_call' and shapes == shapes[:1] * 2:
                used = list(products_of(body, equation.outvars[0]))
                assert len(used) == 1, (shapes, used)
                stacked += 1
    names = map(jax.tree_util.keystr, (path for path, _ in jax.tree.leaves_with_path(params)))
    assert stacked == len([name for name in names if 'layers' in name and 'scale' not in name])
