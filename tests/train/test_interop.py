import functools

import jax
import numpy as np
import pytest

from flanlite.model import t5
from flanlite.train import interop

CONFIG = t5.T5Config(
    vocab_size=32, emb_dim=8, num_heads=2, num_encoder_layers=3, num_decoder_layers=2, head_dim=3, mlp_dim=12, dtype='float32'
)


def t5x_scanned(config):
    """Name and shape parameters as scalable_t5 does: layers on axis 1, heads apart in attention."""
    H, K = config.num_heads, config.head_dim
    rng = np.random.default_rng(0)
    flat = {}
    for path, shape in jax.tree.leaves_with_path(jax.eval_shape(functools.partial(t5.init_params, config), jax.random.key(0))):
        name = '/'.join(key.key for key in path)
        value = rng.normal(size=shape.shape).astype(np.float32)
        if '/layers/' in name:
            if 'attention' in name and 'out/kernel' in name:
                value = value.reshape(-1, H, K, config.emb_dim)
            elif 'attention' in name and 'kernel' in name:
                value = value.reshape(-1, config.emb_dim, H, K)
            value = np.moveaxis(value, 0, 1)
            name = name.replace('encoder/layers', 'encoder/encoder').replace('decoder/layers', 'decoder/decoder')
        flat[name] = value
    return flat


def test_scanned_parameters_fit_a_bias_for_each_layer():
    config = t5.T5Config(**{**CONFIG.__dict__, 'relpos_bias_per_layer': True})
    flat = t5x_scanned(config)
    params = interop.from_t5x(flat)
    t5.check_params(config, params)
    out = flat['decoder/decoder/self_attention/out/kernel']
    np.testing.assert_array_equal(params['decoder']['layers']['self_attention']['out']['kernel'][1], out[:, 1].reshape(6, 8))
    query = flat['encoder/encoder/attention/query/kernel']
    np.testing.assert_array_equal(params['encoder']['layers']['attention']['query']['kernel'][2], query[:, 2].reshape(8, 6))


def test_layers_are_stacked_by_number():
    flat = {f'encoder/layers_{i}/mlp/wo/kernel': np.full((2, 2), i) for i in reversed(range(12))}
    kernel = interop.from_t5x(flat)['encoder']['layers']['mlp']['wo']['kernel']
    np.testing.assert_array_equal(kernel[:, 0, 0], np.arange(12))


def test_a_missing_layer_is_named():
    flat = {f'encoder/layers_{i}/mlp/wo/kernel': np.ones((2, 2)) for i in (0, 2)}
    with pytest.raises(ValueError, match=r'encoder/layers/mlp/wo/kernel has layers \[0, 2\]; expected each of 0 to 2'):
        interop.from_t5x(flat)
