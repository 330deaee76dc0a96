import functools

import jax
import numpy as np
import pytest
import t5x_fixtures

from flanlite.model import models, t5
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.training import interop, lazy, optimizers

CONFIG = t5.T5Config(
    vocab_size=32,
    emb_dim=8,
    num_heads=2,
    num_encoder_layers=3,
    num_decoder_layers=2,
    head_dim=3,
    mlp_dim=12,
    dtype='float32',
)


def t5x_scanned(config):
    """Name and shape parameters as scalable_t5 does: layers on axis 1, heads apart in attention."""
    H, K = config.num_heads, config.head_dim
    rng = np.random.default_rng(0)
    flat = {}
    for path, shape in jax.tree.leaves_with_path(
        jax.eval_shape(functools.partial(models.init_params, config), jax.random.key(0))
    ):
        name = '/'.join(key.key for key in path)
        value = rng.normal(size=shape.shape).astype(np.float32)
        if '/layers/' in name:
            if 'attention' in name and 'out/kernel' in name:
                value = value.reshape(-1, H, K, config.emb_dim)
            elif 'attention' in name and 'kernel' in name:
                value = value.reshape(-1, config.emb_dim, H, K)
            value = np.moveaxis(value, 0, 1)
            name = name.replace('encoder/layers', 'encoder/encoder').replace(
                'decoder/layers', 'decoder/decoder'
            )
        flat[name] = value
    return flat


def unscanned(flat):
    """Take layers apart, as scalable_t5 does with scan_layers=False."""
    apart = {name: value for name, value in flat.items() if not interop.SCANNED_LAYER.match(name)}
    for name in flat.keys() - apart.keys():
        stack, rest = interop.SCANNED_LAYER.match(name).groups()
        apart |= {
            f'{stack}/layers_{i}/{rest}': value
            for i, value in enumerate(np.moveaxis(flat[name], interop.SCAN_AXIS, 0))
        }
    return apart


def test_scanned_parameters_fit_a_bias_for_each_layer():
    config = t5.T5Config(**{**CONFIG.__dict__, 'relpos_bias_per_layer': True})
    flat = t5x_scanned(config)
    jax.tree.map(
        np.testing.assert_array_equal, t5x_fixtures.from_t5x(unscanned(flat)), t5x_fixtures.from_t5x(flat)
    )
    params = t5x_fixtures.from_t5x(flat)
    models.check_params(config, params)
    out = flat['decoder/decoder/self_attention/out/kernel']
    np.testing.assert_array_equal(
        params['decoder']['layers']['self_attention']['out']['kernel'][1], out[:, 1].reshape(6, 8)
    )
    query = flat['encoder/encoder/attention/query/kernel']
    np.testing.assert_array_equal(
        params['encoder']['layers']['attention']['query']['kernel'][2], query[:, 2].reshape(8, 6)
    )


@pytest.mark.parametrize('per_layer', [False, True])
def test_t5xs_decoder_alone_is_read(per_layer):
    config = DecoderOnlyConfig(
        vocab_size=32,
        emb_dim=8,
        num_heads=2,
        num_layers=3,
        head_dim=3,
        mlp_dim=12,
        dtype='float32',
        relpos_bias_per_layer=per_layer,
    )
    flat = {}
    for path, shape in jax.tree.leaves_with_path(
        jax.eval_shape(functools.partial(models.init_params, config), jax.random.key(0))
    ):
        name = '/'.join(key.key for key in path)
        if '/layers/' in name:
            flat |= {
                name.replace('/layers/', f'/layers_{i}/'): np.full(shape.shape[1:], i, np.float32)
                for i in range(3)
            }
        else:
            flat[name] = np.zeros(shape.shape, np.float32)
    assert (
        interop.infer_config(
            interop.stack_layers({name: lazy.from_numpy(value) for name, value in flat.items()})
        )
        == config
    )
    params = t5x_fixtures.from_t5x(flat)
    models.check_params(config, params)
    np.testing.assert_array_equal(params['decoder']['layers']['mlp']['wo']['kernel'][:, 0, 0], [0, 1, 2])


def test_layers_are_stacked_by_number():
    flat = {f'encoder/layers_{i}/mlp/wo/kernel': np.full((2, 2), i) for i in reversed(range(12))}
    kernel = t5x_fixtures.from_t5x(flat)['encoder']['layers']['mlp']['wo']['kernel']
    np.testing.assert_array_equal(kernel[:, 0, 0], np.arange(12))


def test_a_missing_layer_is_named():
    flat = {f'encoder/layers_{i}/mlp/wo/kernel': np.ones((2, 2)) for i in (0, 2)}
    with pytest.raises(
        ValueError, match=r'encoder/layers/mlp/wo/kernel has layers \[0, 2\]; expected each of 0 to 2'
    ):
        t5x_fixtures.from_t5x(flat)


def t5x_scanned_adafactor(config, params):
    """Make what T5X's scanned Adafactor would hold: of each kernel of a layer, means over embed and over the
    rest; a `v` of the others.
    """
    state = {}
    for name, value in params.items():
        in_layers, kernel = '/encoder/' in name or '/decoder/' in name, name.endswith('kernel')
        if in_layers and kernel:
            embed = value.ndim - 1 if name.endswith(('out/kernel', 'wo/kernel')) else 0
            others = tuple(
                axis
                for axis in range(value.ndim)
                if axis not in (embed, 1 if embed == 0 else interop.SCAN_AXIS)
            )
            slots = {'v_row': np.mean(value**2, others), 'v_col': np.mean(value**2, embed), 'v': np.zeros(1)}
        else:
            slots = {'v_row': np.zeros(1), 'v_col': np.zeros(1), 'v': value**2}
        state |= {f'{name}/{slot}': array for slot, array in (slots | {'m': np.zeros(1)}).items()}
    return state


@pytest.mark.parametrize('mlp_dim', [6, 8, 12])
def test_scanned_moments_go_to_our_rows_and_columns(mlp_dim):
    """Whichever of the two axes is the greater, what is restored is what one step of our own optimizer
    makes.
    """
    config = t5.T5Config(**{**CONFIG.__dict__, 'relpos_bias_per_layer': True, 'mlp_dim': mlp_dim})
    flat = t5x_scanned(config)
    params = t5x_fixtures.from_t5x(flat)
    transform = optimizers.Adafactor(1e-3, factor_small_layers=True).build().transform
    # The decay of step 0 is 0.
    expected = jax.jit(lambda params: transform.update(params, transform.init(params), params)[1])(params)
    state = t5x_fixtures.adafactor_state(
        t5x_scanned_adafactor(config, flat), 1, jax.eval_shape(transform.init, params)
    )
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), state, expected)


@pytest.mark.parametrize(
    'optimizer, words',
    [
        (optimizers.Adafactor(1e-3).build(), 'factor_small_layers=True'),
        (optimizers.Adafactor(1e-3, factor_small_layers=True, beta1=0.9).build(), 'm of .* is missing'),
        (optimizers.AdamW(1e-3).build(), 'the state of Adafactor'),
    ],
)
def test_moments_of_another_optimizer_are_refused(optimizer, words):
    config = t5.T5Config(**{**CONFIG.__dict__, 'relpos_bias_per_layer': True})
    flat = t5x_scanned(config)
    template = jax.eval_shape(optimizer.transform.init, t5x_fixtures.from_t5x(flat))
    with pytest.raises(ValueError, match=words):
        t5x_fixtures.adafactor_state(t5x_scanned_adafactor(config, flat), 1, template)
