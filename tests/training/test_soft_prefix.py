"""Keys and values of soft tokens: prefix tuning and HyperPrompt."""

import functools

import jax
import numpy as np
import pytest
import toy
from drawn import loss_of, randomly
from flax import traverse_util

import flanlite
from flanlite.data.batches import packing, prefix_lm
from flanlite.data.tokens import vocabularies
from flanlite.eval import generate
from flanlite.model import adapters, models
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.llama import LlamaConfig
from flanlite.model.soft_prefix import HyperPrompt, SoftPrefix
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import convert, journal, parameters

SIZES = {'vocab_size': 384, 'emb_dim': 16, 'num_heads': 4, 'head_dim': 4, 'mlp_dim': 32, 'dtype': 'float32'}
ROTARY = {'num_kv_heads': 2, 'num_layers': 2, 'windows': (5, 0), 'local_rope_theta': 50.0}
CONFIGS = {
    't5': toy.CONFIG,
    'decoder-only': DecoderOnlyConfig(**SIZES, num_layers=2),
    'llama': LlamaConfig(**SIZES, **ROTARY, qk_norm='head'),
    't5gemma': T5GemmaConfig(**SIZES, version=1, num_kv_heads=2, num_layers=2),
    't5gemma 2': T5GemmaConfig(**SIZES, **ROTARY),
}
ADAPTERS = {
    'prefix': SoftPrefix(3, ('a', 'b')),
    'hyper': HyperPrompt(3, ('a', 'b'), bottleneck=4, task_dim=5),
}
RNG = np.random.default_rng(0)
EXAMPLES = [
    (task, RNG.integers(3, 90, length).astype(np.int32), RNG.integers(3, 90, 4).astype(np.int32))
    for task, length in [('a', 6), ('b', 9), ('a', 4), ('b', 5)]
]
BOTH = [
    ('t5', 'hyper'),
    ('decoder-only', 'prefix'),
    ('llama', 'prefix'),
    ('t5gemma', 'prefix'),
    ('t5gemma 2', 'hyper'),
]


@pytest.mark.parametrize(('kind', 'name'), BOTH)
def test_packed_as_alone_and_asked_as_trained(kind, name):
    """Every parameter of the adapter trains; options and greedy answers are scored as whole rows are."""
    config = CONFIGS[kind].replace(adapter=ADAPTERS[name])
    params = randomly(config)
    converter = packing if config.converter == 'encoder_decoder' else prefix_lm
    tokens = [(np.concatenate([config.prompt(task), inputs]), targets) for task, inputs, targets in EXAMPLES]
    padded = converter.pad(tokens, (16, 8))
    packed = converter.pack([tokens[:2], tokens[2:]], (24, 12))
    of = jax.jit(jax.value_and_grad(functools.partial(loss_of, config)))
    (loss, gradient), (packed_loss, packed_gradient) = of(params, padded), of(params, packed)
    np.testing.assert_allclose(loss, packed_loss, rtol=1e-5)
    own, packed_own = (
        traverse_util.flatten_dict(adapters.parts(each)[1], sep='/') for each in (gradient, packed_gradient)
    )
    for path, leaf in own.items():
        np.testing.assert_allclose(leaf, packed_own[path], rtol=1e-3, atol=1e-5, err_msg=path)
        assert np.abs(leaf).max() > 1e-6, path

    if kind not in ('t5', 'llama'):
        return
    model = flanlite.Model(config, params, vocabularies.load('bytes'))
    text, options = 'what?', ['abc', 'de']
    ranked = model.rank([text] * 2, options, prompt=['a', 'b'])
    for task, each in zip('ab', ranked, strict=True):
        for option, score in zip(options, each.scores, strict=True):
            batch = model.batch(text, option, prompt=task)
            np.testing.assert_allclose(score, -model.loss(batch) * (len(option) + 1), rtol=1e-4)
    assert np.abs(ranked[0].scores - ranked[1].scores).max() > 1e-3, 'each task has its own'
    asked = model.encode_inputs([text], 'a')
    decoding = generate.Decoding(max_length=4)
    (answer,) = generate.generate(config, params, model.partitioner, asked, decoding, eos_id=1)
    predicted = model.logits(converter.pad([(asked[0], answer)], (len(asked[0]), len(answer))))
    np.testing.assert_array_equal(predicted[0, -len(answer) :].argmax(axis=-1), answer)


def test_a_prefix_by_hand():
    """A head of one query sees the prefix's keys, its values come back in their shares."""
    config = LlamaConfig(
        vocab_size=8, emb_dim=4, num_heads=1, head_dim=4, mlp_dim=4, num_kv_heads=1, num_layers=1,
        dtype='float32', adapter=SoftPrefix(2),
    )  # fmt: skip
    params = randomly(config)
    layer = params['decoder']['layers']
    layer['mlp']['wo']['kernel'] *= 0  # attention alone
    batch = {
        'decoder_input_tokens': np.array([[0, 8, 9, 5]]),
        'decoder_target_tokens': np.array([[8, 9, 5, 1]]),
    }
    found = np.asarray(jax.jit(lambda params: models.bind(config, params)(batch))(params))[0, -1]

    def norm(x, scale):
        return x / np.sqrt(np.mean(x * x) + 1e-6) * scale

    x = params['decoder']['token_embedder']['embedding'][5]
    attention = layer['self_attention']
    h = norm(x, layer['pre_self_attention_layer_norm']['scale'][0])
    query, key, value = (h @ attention[name]['kernel'][0] for name in ('query', 'key', 'value'))
    angles = 2 * np.array([1.0, 10000**-0.5])  # the token is the third input

    def turned(x):
        a, b = np.split(x, 2)
        return np.concatenate(
            [a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)]
        )

    own = attention['adapter']
    keys = np.concatenate([own['keys']['prompt'][0], turned(key)[None]])
    values = np.concatenate([own['values']['prompt'][0], value[None]])
    scores = np.exp(keys @ turned(query) / 2)
    x = x + scores / scores.sum() @ values @ attention['out']['kernel'][0]
    logits = norm(x, params['decoder']['decoder_norm']['scale']) @ params['decoder']['logits_dense']['kernel']
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-5)


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp('base')
    toy.train(folder, 40, mixture='toy_order')
    return folder


def test_it_trains_alone_and_goes_on_bit_by_bit(base, tmp_path):
    settings = {
        'model': toy.CONFIG.replace(adapter=ADAPTERS['hyper'].replace(tasks=('toy_order', 'toy_parity'))),
        'initial_checkpoint_path': str(base),
        'optimizer': flanlite.AdamW(0.02),
    }
    for folder, steps in (('cut', 3), ('cut', 30), ('whole', 30)):
        toy.train(tmp_path / folder, steps, **settings)
    cut, whole = (parameters.load_run(tmp_path / each).params for each in ('cut', 'whole'))
    jax.tree.map(np.testing.assert_array_equal, cut, whole)
    jax.tree.map(np.testing.assert_array_equal, adapters.parts(whole)[0], parameters.load_run(base).params)
    curve = [record['loss'] for record in journal.read_metrics(tmp_path / 'whole')]
    assert curve[-1] < curve[0] - 0.3
    with pytest.raises(ValueError, match='HyperPrompt changes no parameter of a model'):
        convert.convert(str(tmp_path / 'whole'), str(tmp_path / 'hf'))


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'targets': ('decoder/layers/self_attention',)}, ['matches no attention to inputs', 'encoder']),
        ({'length': 0}, ['SoftPrefix.length is 0']),
        ({'length': 48}, ['has 48 tokens', 'a shorter prompt']),
    ],
)
def test_prefixes_that_cannot_be(fields, words, base, tmp_path):
    with pytest.raises(ValueError) as raised:
        model = toy.CONFIG.replace(adapter=SoftPrefix(**fields))
        toy.train(tmp_path, 2, model=model, initial_checkpoint_path=str(base))
    assert all(word in str(raised.value) for word in words), raised.value
