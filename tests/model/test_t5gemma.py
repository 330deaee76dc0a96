"""T5Gemma: packed as alone, and every way of going on after inputs gives the logits of whole rows."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flanlite.data.batches import packing
from flanlite.model import decoding, kinds, models
from flanlite.model.rotary import RotaryConfig
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import losses

ENCODER = RotaryConfig(
    emb_dim=24, num_heads=2, num_kv_heads=1, num_layers=2, head_dim=8, mlp_dim=32, windows=(2,)
)
MERGED = T5GemmaConfig(
    vocab_size=64,
    emb_dim=16,
    num_heads=4,
    num_kv_heads=2,
    num_layers=3,
    head_dim=8,
    mlp_dim=32,
    dtype='float32',
    remat_policy='none',
    windows=(3, 3, 0),
    local_rope_theta=50.0,
    qk_norm='head',
    norms='pre_and_post',
    scale_embedding=True,
    logits_via_embedding=True,
)
CROSS = dataclasses.replace(
    MERGED, version=1, encoder=ENCODER, qk_norm='none', attention_soft_cap=2.0, logits_soft_cap=3.0
)
CONFIGS = pytest.mark.parametrize('config', [MERGED, CROSS], ids=['merged', 'cross'])
CAPACITY = (10, 6)


def examples(sizes=((5, 3), (9, 6), (3, 1)), seed=0):
    rng = np.random.default_rng(seed)
    return [tuple(rng.integers(3, 64, size).astype(np.int32) for size in pair) for pair in sizes]


@functools.lru_cache
def params_of(config):
    """Draw parameters with numpy, which compiles nothing."""
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda x: (rng.normal(size=x.shape) * x.shape[-1] ** -0.5).astype(np.float32),
        models.abstract_params(config),
    )


@functools.partial(jax.jit, static_argnames='config')
def logits_of(config, params, batch, key=None):
    return models.bind(config, params)(batch, key)


@CONFIGS
def test_packed_examples_lose_what_they_lose_alone(config):
    @jax.jit
    def token_losses(params, batch):
        loss_BT, _ = losses.cross_entropy_with_logits(
            models.bind(config, params)(batch), batch['decoder_target_tokens'], 1e-4, 0.0
        )
        return loss_BT * batch['decoder_loss_weights']

    params, given = params_of(config), examples()
    alone = [float(token_losses(params, packing.pad([example], (20, 12))).sum()) for example in given]
    packed = packing.pack([given], (20, 12))
    ids = packed['decoder_segment_ids'][0]
    together = np.bincount(ids, token_losses(params, packed)[0])[1:]
    np.testing.assert_allclose(together, alone, atol=1e-5)

    mixed = {name: np.minimum(each, 1) if 'segment' in name else each for name, each in packed.items()}
    leaked = np.bincount(ids, token_losses(params, mixed)[0])[1:]
    assert (np.abs(leaked - alone) > 1e-3).all(), 'in one segment they must differ, else this shows nothing'


def test_windows_hide_what_is_far_in_the_encoder():
    """With one layer, a window of 4 shows 1 position before and 2 after in T5Gemma 2, 4 and 4 in T5Gemma."""
    for version, expected in ((2, [3, 4, 5, 6]), (1, list(range(1, 10)))):
        config = dataclasses.replace(MERGED, num_layers=1, windows=(4,), version=version)
        tokens_BS = examples([(12, 1)])[0][0][None]

        @jax.jit
        def encode(tokens_BS, config=config):
            return models.bind(config, params_of(config)).encode({'encoder_input_tokens': tokens_BS})

        before, row = np.asarray(encode(tokens_BS)), []
        for position in range(12):
            changed_BS = tokens_BS.copy()
            changed_BS[0, position] = 2
            if (np.asarray(encode(changed_BS)) != before)[0, 5].any():
                row.append(position)
        assert row == expected if version == 1 else row == [4, 5, 6, 7]


def asked(sizes=((5, 4), (9, 4), (1, 4))):
    """Make padded inputs and a continuation of each, beside the batch of whole rows."""
    given = examples(sizes)
    batch = packing.pad(given, CAPACITY)
    lengths_B = np.array([len(inputs) for inputs, _ in given])
    return batch['encoder_input_tokens'], lengths_B, np.stack([targets for _, targets in given]), batch


@CONFIGS
def test_options_and_steps_have_the_logits_of_whole_rows(config):
    inputs_BS, lengths_B, targets_BT, batch = asked()
    params = params_of(config)
    expected = np.asarray(logits_of(config, params, batch))[:, :4]
    source_P = np.array([0, 1, 2, 1])

    @jax.jit
    def options(params):
        return models.bind(config, params).option_logits(
            inputs_BS, lengths_B, source_P, jnp.pad(targets_BT[source_P], ((0, 0), (0, 2)))
        )

    np.testing.assert_allclose(options(params)[:, :4], expected[source_P], rtol=1e-4, atol=1e-5)

    @jax.jit
    def steps(params):
        model = models.bind(config, params)
        cache = model.start_decoding(inputs_BS, lengths_B, 4)
        fed_TB = jnp.concatenate([cache.first_B[None], targets_BT.T[:-1]])

        def step(cache, tokens_B):
            logits_BV, cache = model.decode_step(tokens_B, cache)
            return cache, logits_BV

        return jax.lax.scan(step, cache, fed_TB)[1].swapaxes(0, 1)

    np.testing.assert_allclose(steps(params), expected, rtol=1e-4, atol=1e-5)


@CONFIGS
def test_beams_score_what_whole_rows_say(config):
    inputs_BS, lengths_B, _, _ = asked()

    @jax.jit
    def run(params):
        model = models.bind(config, params)
        cache = model.start_decoding(inputs_BS, lengths_B, 5)
        return decoding.beam_search(model.decode_step, cache, num_beams=3, alpha=0.0)

    beams = jax.tree.map(np.asarray, run(params_of(config)))
    for row, inputs in enumerate(inputs_BS):
        given = [(inputs[inputs > 0], answer[answer > 0]) for answer in beams.tokens[row]]
        batch = packing.pad(given, CAPACITY)
        log_probs_BTV = np.asarray(jax.nn.log_softmax(logits_of(config, params_of(config), batch)))
        targets_BT1 = batch['decoder_target_tokens'][..., None]
        picked_BT = np.take_along_axis(log_probs_BTV, targets_BT1, axis=-1)[..., 0]
        np.testing.assert_allclose(
            (picked_BT * batch['decoder_loss_weights']).sum(axis=1), beams.scores[row], rtol=1e-4
        )


@CONFIGS
def test_recomputing_changes_no_gradient(config):
    batch = packing.pad(examples(), CAPACITY)

    def gradient(config):
        def loss(params):
            logits_BTV = models.bind(config, params)(batch)
            weights = batch['decoder_loss_weights']
            return losses.loss_sums(logits_BTV, batch['decoder_target_tokens'], weights)['loss']

        return jax.jit(jax.grad(loss))(params_of(config))

    expected = gradient(config)
    got = gradient(dataclasses.replace(config, remat_policy='minimal'))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), got, expected)
    zero = [
        jax.tree_util.keystr(path) for path, leaf in jax.tree.leaves_with_path(expected) if not leaf.any()
    ]
    assert not zero, 'every parameter must be used'


@CONFIGS
def test_a_config_is_read_back_from_its_fields(config):
    assert kinds.config_from_fields(dataclasses.asdict(config)) == config


@pytest.mark.parametrize(
    ('fields', 'message'),
    [
        ({'num_kv_heads': 3}, 'num_heads is 4 and num_kv_heads 3; expected a multiple of it'),
        ({'windows': (3, -1)}, r'windows\[1\] is -1; expected a whole number from 0'),
        ({'norms': 'both'}, "norms is 'both'; did you mean post[?] expected one of pre, pre_and_post, post"),
        ({'head_dim': 7}, 'head_dim is 7; expected an even number, for rotation'),
        ({'attention_soft_cap': 1.0, 'attention': 'cudnn'}, "attention is 'cudnn', which has no soft caps"),
        ({'encoder': ENCODER}, 'emb_dim is 24 and emb_dim 16; expected one width in version 2'),
    ],
)
def test_contradictions_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(MERGED, **fields)
