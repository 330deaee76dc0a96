import dataclasses
import math

import jax
import numpy as np
import pytest

from flanlite.data.batches import batches
from flanlite.model import flops, models
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.llama import LlamaConfig
from flanlite.model.rotary import RotaryConfig
from flanlite.model.t5 import T5Config
from flanlite.model.t5gemma import T5GemmaConfig

XXL = T5Config(
    emb_dim=4096, num_heads=64, num_encoder_layers=24, num_decoder_layers=24, head_dim=64, mlp_dim=10240
)


def products(jaxpr, times=1):
    """Count the multiply-adds of all matrix products in a traced function, loops by their trips."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            total += (
                times
                * math.prod(equation.outvars[0].aval.shape)
                * math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            )
        inner = times * equation.params.get('length', 1) if equation.primitive.name == 'scan' else times
        for value in equation.params.values():
            if hasattr(value, 'jaxpr') or hasattr(value, 'eqns'):
                total += products(getattr(value, 'jaxpr', value), inner)
    return total


@pytest.mark.parametrize('activations, tied', [(('gelu', 'linear'), False), (('relu',), True)])
def test_flops_are_those_of_the_traced_model(activations, tied):
    config = T5Config(
        vocab_size=96, emb_dim=24, num_heads=3, num_encoder_layers=3, num_decoder_layers=2, head_dim=16, mlp_dim=40,
        mlp_activations=activations, logits_via_embedding=tied, dropout_rate=0.0, remat_policy='none',
    )  # fmt: skip
    rows, inputs, targets = 2, 128, 64
    tokens = {name: np.ones((rows, length), np.int32) for name, length in (
        ('encoder_input_tokens', inputs), ('decoder_input_tokens', targets), ('decoder_target_tokens', targets)
    )}  # fmt: skip
    params = jax.eval_shape(lambda: models.init_params(config, jax.random.key(0)))
    forward = products(jax.make_jaxpr(lambda params: models.bind(config, params)(tokens))(params).jaxpr)
    # The position bias is a product.
    assert flops.train_step_flops(config, rows, inputs, targets) == pytest.approx(6 * forward, rel=0.03)


SIZES = {'vocab_size': 96, 'emb_dim': 24, 'num_heads': 4, 'num_layers': 3, 'head_dim': 16, 'mlp_dim': 40}
FEW = SIZES | {'num_kv_heads': 2, 'windows': (5, 0, 5), 'qk_norm': 'head', 'qkv_bias': True}
ENCODER = RotaryConfig(emb_dim=16, num_heads=2, num_kv_heads=1, num_layers=2, head_dim=8, mlp_dim=48)


@pytest.mark.parametrize(
    ('config', 'off'),
    [
        (DecoderOnlyConfig(**SIZES), 0.03),  # the position bias is a product
        (LlamaConfig(**FEW, attention_soft_cap=2.0), 0.0),
        (T5GemmaConfig(**FEW, logits_via_embedding=True), 0.0),
        (T5GemmaConfig(**FEW, version=1, encoder=ENCODER), 0.0),
    ],
    ids=['decoder alone', 'llama', 't5gemma 2', 't5gemma'],
)
def test_flops_of_the_other_families_are_those_of_the_traced_model(config, off):
    config = dataclasses.replace(config, remat_policy='none')
    batch = batches.CONVERTERS[config.converter].pack([[], []], (128, 64))
    params = models.abstract_params(config)
    forward = products(jax.make_jaxpr(lambda params: models.bind(config, params)(batch))(params).jaxpr)
    assert flops.train_step_flops(config, 2, 128, 64) == pytest.approx(6 * forward, rel=off, abs=0)


def test_flops_of_xxl_are_six_times_parameters_times_tokens_and_attention():
    """An eleven-billion-parameter step of FLAN's: T5X's own, with attention computed again, is 5.73e15 by its
    traced products.
    """
    assert 5.0e15 < flops.train_step_flops(XXL, 128, 1024, 256) < 5.73e15


@pytest.mark.parametrize(
    'kind, peak',
    [('TPU v4', 275e12), ('TPU v5 lite', 197e12), ('TPU v5', 459e12), ('TPU v6 lite', 918e12), ('NVIDIA H100 80GB HBM3', 989e12),
     ('NVIDIA A100-SXM4-80GB', 312e12), ('NVIDIA H200', 989e12), ('NVIDIA H100 PCIe', None), ('NVIDIA H200 NVL', None), ('cpu', None)],
)  # fmt: skip
def test_peaks_are_found_by_jaxs_names(kind, peak):
    assert flops.peak_flops(kind) == peak
