import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import t5x_fixtures

from flanlite.model import decoding, models

CONFIG = t5x_fixtures.CONFIG
LENGTH = 12


def trained():
    """Return T5X's trained parameters and a batch to decode."""
    return t5x_fixtures.params(), t5x_fixtures.under(t5x_fixtures.outputs(), 'unpacked/batch')


def decode(search, rows=slice(None), config=CONFIG, params=None):
    default, batch = trained()
    params = params or default

    @jax.jit
    def run(params, inputs_BS):
        model = models.bind(config, params)
        lengths_B = (inputs_BS > 0).sum(axis=1)
        return search(model.decode_step, model.start_decoding(inputs_BS, lengths_B, LENGTH))

    return jax.tree.map(np.asarray, run(params, batch['encoder_input_tokens'][rows]))


def test_greedy_tokens_are_t5xs_and_scores_their_log_probabilities():
    tokens_BT, scores_B = decode(decoding.greedy)
    np.testing.assert_array_equal(tokens_BT, t5x_fixtures.outputs()['unpacked/greedy_tokens'][:, 0])
    params, batch = trained()
    again = dict(
        batch,
        decoder_target_tokens=tokens_BT,
        decoder_input_tokens=np.pad(tokens_BT, ((0, 0), (1, 0)))[:, :-1],
    )
    log_probs_BTV = jax.nn.log_softmax(jax.jit(lambda params: models.bind(CONFIG, params)(again))(params))
    chosen_BT = np.take_along_axis(np.asarray(log_probs_BTV), tokens_BT[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(scores_B, (chosen_BT * (tokens_BT > 0)).sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    'name, settings', [('beam1', {'num_beams': 1}), ('beam4', {}), ('beam4_alpha0', {'alpha': 0.0})]
)
def test_beams_are_t5xs(name, settings):
    outputs = t5x_fixtures.outputs()
    tokens_BNT, scores_BN = decode(functools.partial(decoding.beam_search, **settings))
    np.testing.assert_array_equal(
        tokens_BNT[:, ::-1], outputs[f'unpacked/{name}_tokens'], err_msg='T5X lists the best beam last'
    )
    np.testing.assert_allclose(scores_BN[:, ::-1], outputs[f'unpacked/{name}_scores'], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('per_layer', [False, True], ids=['shared bias', 'bias a layer'])
def test_steps_give_the_logits_of_the_whole(per_layer):
    config = dataclasses.replace(CONFIG, relpos_bias_per_layer=per_layer)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(functools.partial(models.init_params, config), jax.random.key(0))
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) * 0.3, shapes)
    inputs_BT = np.pad(rng.integers(2, 128, (4, LENGTH - 1)), ((0, 0), (1, 0)))
    source_BS = np.pad(rng.integers(2, 128, (4, 8)), ((0, 0), (0, 2)))
    source_BS[0, [3, 7]] = 0  # a token like any other, within the input and at its end
    batch = {
        'encoder_input_tokens': source_BS,
        'encoder_segment_ids': np.pad(np.ones((4, 8), np.int32), ((0, 0), (0, 2))),
        'decoder_input_tokens': inputs_BT,
        'decoder_target_tokens': np.ones_like(inputs_BT),
    }

    @jax.jit
    def both(params):
        model = models.bind(config, params)

        def step(cache, tokens_B):
            logits_BV, cache = model.decode_step(tokens_B, cache)
            return cache, logits_BV

        cache = model.start_decoding(source_BS, jnp.full(4, 8), LENGTH)
        steps_TBV = jax.lax.scan(step, cache, jnp.asarray(inputs_BT.T))[1]
        return model(batch), steps_TBV.swapaxes(0, 1)

    whole_BTV, steps_BTV = both(params)
    np.testing.assert_allclose(steps_BTV, whole_BTV, rtol=1e-4, atol=1e-4)


def counting_step(table_VV):
    """A step without a model: the logits depend on the last token only; the cache counts steps."""

    def step(tokens_B, cache):
        return jnp.asarray(table_VV)[tokens_B], cache._replace(index=cache.index + 1)

    return step


def empty_cache(rows, length):
    zeros = np.zeros((1, rows, length, 1, 1), np.float32)
    return decoding.DecodingCache(
        jnp.int32(0), np.zeros(rows, np.int32), np.zeros((rows, 1), np.int32), zeros, zeros, zeros, zeros
    )


# Token 0 starts a row, 1 ends it; 2 is likelier at first, but 3 leads to the likelier whole.
TABLE = np.log(
    np.array([[0.0, 0.0, 0.6, 0.4], [0.25, 0.25, 0.25, 0.25], [0.0, 0.4, 0.3, 0.3], [0.0, 0.98, 0.01, 0.01]])
    + 1e-9
).astype(np.float32)


def test_beams_find_what_greed_misses():
    greedy = decoding.greedy(counting_step(TABLE), empty_cache(1, 4))
    beams = decoding.beam_search(counting_step(TABLE), empty_cache(1, 4), num_beams=2, alpha=0.0)
    np.testing.assert_array_equal(greedy.tokens, [[2, 1, 0, 0]])
    np.testing.assert_array_equal(beams.tokens[0, 0], [3, 1, 0, 0])
    np.testing.assert_allclose(np.exp(beams.scores[0, 0]), 0.4 * 0.98, rtol=1e-4)
    np.testing.assert_allclose(np.exp(greedy.scores), 0.6 * 0.4, rtol=1e-4)


def test_samples_follow_the_probabilities():
    def share_of_2(**settings):
        sampled = decoding.temperature_sample(
            counting_step(TABLE), empty_cache(4000, 1), jax.random.key(0), **settings
        )
        return float((sampled.tokens[:, 0] == 2).mean())

    assert abs(share_of_2() - 0.6) < 0.03
    assert abs(share_of_2(temperature=0.5) - 0.36 / 0.52) < 0.03
    assert share_of_2(top_k=1) == 1.0
    assert share_of_2(top_p=0.5) == 1.0
    assert abs(share_of_2(top_p=0.7) - 0.6) < 0.03
    assert share_of_2(temperature=0.0) == 1.0
    assert abs(share_of_2(top_k=1000) - 0.6) < 0.03, 'all of a small vocabulary'


@pytest.mark.parametrize('settings', [{'top_k': 2}, {'top_p': 0.9}])
def test_what_is_left_out_is_never_sampled_however_cold(settings):
    """Logits below 0 become very small ones where the temperature is."""
    logits = np.array([-40.0, -45.0, -12.0, -13.0, -30.0], np.float32)
    sampled = decoding.temperature_sample(
        lambda tokens, cache: (jnp.broadcast_to(logits, (len(tokens), 5)), cache),
        empty_cache(50, 1), jax.random.key(0), temperature=1e-6, **settings,
    )  # fmt: skip
    assert (np.asarray(sampled.tokens)[:, 0] == 2).all()


def test_impossible_sampling_is_refused():
    for settings in ({'top_k': 2, 'top_p': 0.5}, {'temperature': -1.0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            decoding.temperature_sample(
                counting_step(TABLE), empty_cache(1, 1), jax.random.key(0), **settings
            )
