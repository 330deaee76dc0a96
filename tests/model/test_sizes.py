"""The models in gin/models have the parameters that were published."""

import math
import pathlib

import jax
import pytest

import flanlite
from flanlite.cli import gin_config
from flanlite.model import models

# Counted in the checkpoints that T5, mT5, ByT5, SmolLM2, Llama, Qwen and Gemma published; of UL2 and T5Gemma 2B,
# as their config.json says, and of the decoders by hand.
PUBLISHED = {
    't5_small': 60_506_624, 't5_base': 222_903_552, 't5_large': 737_668_096, 't5_3b': 2_851_598_336, 't5_11b': 11_307_321_344,
    'small': 76_961_152, 'base': 247_577_856, 'large': 783_150_080, 'xl': 2_849_757_184, 'xxl': 11_135_332_352,
    'mt5_small': 300_176_768, 'mt5_base': 582_401_280, 'mt5_large': 1_229_581_312, 'mt5_xl': 3_742_619_648, 'mt5_xxl': 12_921_057_280,
    'byt5_small': 299_637_760, 'byt5_base': 581_653_248, 'ul2': 19_459_613_696,
    'decoder_base': 109_628_544, 'decoder_xl': 1_223_527_424, 'decoder_xxl': 4_762_310_656,
    'smollm2_135m': 134_515_008, 'smollm2_360m': 361_821_120, 'llama3_2_1b': 1_235_814_400, 'llama3_1_8b': 8_030_261_248,
    'qwen3_0_6b': 596_049_920, 'qwen3_8b': 8_190_735_360,
    'gemma3_270m': 268_098_176, 'gemma3_1b': 999_885_952, 'gemma3_4b': 3_880_263_168, 't5gemma_2b_2b': 5_596_853_760,
}  # fmt: skip
ROUNDED = {
    'byt5_large': 1.23e9,
    'byt5_xl': 3.74e9,
    'byt5_xxl': 12.9e9,
    't5gemma2_270m_270m': 370e6,
    't5gemma2_1b_1b': 1.7e9,
    't5gemma2_4b_4b': 7e9,
}  # as the papers round them


def count(model, *bindings):
    config = gin_config.read('MODEL', [f'gin/models/{model}.gin'], bindings)
    shapes = jax.eval_shape(lambda: models.init_params(config, jax.random.key(0)))
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


@pytest.mark.parametrize('model', PUBLISHED)
def test_parameters(model):
    assert count(model) == PUBLISHED[model]


@pytest.mark.parametrize('model', ROUNDED)
def test_parameters_about(model):
    assert count(model) == pytest.approx(ROUNDED[model], rel=0.03)


def test_decoders_have_the_parameters_that_t5x_states():
    """T5X counted them with a position bias in each layer, and the base one with logits of its own."""
    per_layer = 'DecoderOnlyConfig.relpos_bias_per_layer=True'
    assert count('decoder_base', per_layer, 'DecoderOnlyConfig.logits_via_embedding=False') == 134_307_072
    assert count('decoder_xxl', per_layer) == 4_762_357_760


def test_every_model_is_counted():
    folder = pathlib.Path(flanlite.__file__).parents[1] / 'gin' / 'models'
    assert {path.stem for path in folder.glob('*.gin')} == {*PUBLISHED, *ROUNDED, 'pocket', 'decoder_pocket'}
