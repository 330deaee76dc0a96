import jax
import numpy as np
import pytest
import toyeval as toy

from flanlite.data.batches import packing
from flanlite.eval import generate, rank
from flanlite.eval.generate import Decoding
from flanlite.eval.rank import Question
from flanlite.mesh.partitioning import make_partitioner
from flanlite.model import models

EOS = 1


def questions(count, seed=0, max_options=5):
    random = np.random.default_rng(seed)

    def tokens(low, high):
        return np.append(random.integers(2, 380, random.integers(low, high)), 1).astype(np.int32)

    made = [
        Question(tokens(16, 32), [tokens(4, 7) for _ in range(random.integers(1, max_options + 1))])
        for _ in range(count)
    ]
    # In some vocabularies the id 0 is a token like any other.
    made[0].inputs[[3, -1]] = made[0].options[0][[1, -1]] = 0
    return made


@jax.jit
def logits(params, batch):
    return models.bind(toy.CONFIG, params)(batch)


def log_probs(params, inputs, target):
    """Compute log-probabilities at each position of one pair on its own, straight from the logits."""
    pair = packing.pad([(inputs, target)], (32, 8 if len(target) <= 8 else 160))
    return np.asarray(jax.nn.log_softmax(logits(params, pair)[0]))[: len(target)]


def log_prob(params, inputs, target):
    return log_probs(params, inputs, target)[np.arange(len(target)), target].sum()


def test_scores_equal_brute_force():
    params, asked = toy.params(), questions(24, max_options=3)
    long = np.arange(2, 150, dtype=np.int32)  # options of which not all fit into a row
    asked.append(Question(asked[0].inputs, [long[:70], long[:60], long[:5], long]))
    scores = rank.score(toy.CONFIG, params, make_partitioner(), asked, tokens_per_batch=256)
    scored = [log_prob(params, asked[-1].inputs, option) for option in asked[-1].options]
    np.testing.assert_allclose(scores[-1], scored, rtol=1e-5, atol=1e-4)
    for question, scored in list(zip(asked, scores, strict=True))[::6]:
        expected = [log_prob(params, question.inputs, option) for option in question.options]
        np.testing.assert_allclose(scored, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('packed', [True, False])
@pytest.mark.parametrize('tokens_per_batch', [64, 700])
def test_batches_hold_every_option_once(tokens_per_batch, packed):
    asked = questions(60, seed=1, max_options=60)
    seen = []
    for batch in rank.batches(asked, tokens_per_batch, 2, packed):
        assert len(batch.inputs_BS) % 2 == len(batch.options_PT) % 2 == 0
        held = np.zeros_like(batch.segments_PT)
        for question, option, row, start, length in batch.places:
            inputs, target = asked[question].inputs, asked[question].options[option]
            np.testing.assert_array_equal(batch.inputs_BS[batch.source_P[row], : len(inputs)], inputs)
            assert batch.input_lengths_B[batch.source_P[row]] == len(inputs)
            np.testing.assert_array_equal(batch.options_PT[row, start : start + length], target)
            assert start == 0 or (
                packed and batch.segments_PT[row, start - 1] == batch.segments_PT[row, start] - 1
            )
            held[row, start : start + length] += 1
            seen.append((question, option))
        np.testing.assert_array_equal(held, batch.segments_PT > 0)
    assert sorted(seen) == [
        (question, option) for question, asks in enumerate(asked) for option in range(len(asks.options))
    ]


def test_the_first_of_options_that_are_the_same_tokens_is_best():
    odd, even = np.array([5, 6, 1], np.int32), np.array([5, 7, 1], np.int32)
    asked = Question(odd, [even, odd, even, odd])
    assert rank.best(asked, np.array([-2.0, -3.0, -1.9999998, -3.0], np.float32)) == 0
    assert rank.best(asked, np.array([-3.0, -2.0, -3.0, -1.9999998], np.float32)) == 1


def test_few_shapes_are_compiled():
    lengths = {rank.length_bucket(length) for length in range(1, 1025)}
    assert len(lengths) <= 24 and max(lengths) == 1024
    assert all(rank.length_bucket(length) >= length for length in range(1, 1025))
    shapes = {
        batch.options_PT.shape + batch.inputs_BS.shape for batch in rank.batches(questions(300, seed=2), 1024)
    }
    assert len(shapes) <= 8


def test_greedy_equals_the_argmax_rollout():
    params = toy.params(1)
    inputs = [question.inputs for question in questions(3, seed=3)]
    found = generate.generate(toy.CONFIG, params, make_partitioner(), inputs, Decoding(max_length=4), EOS)
    for source, answer in zip(inputs, found, strict=True):
        written = []
        while len(written) < 4 and 1 not in written:
            written.append(
                int(log_probs(params, source, np.array([*written, 2], np.int32))[-1].argmax())
            )  # 2 stands for the next
        assert answer.tolist() == written


def test_beams_score_at_least_as_well_as_greedy_without_length_penalty():
    params, partitioner = toy.params(2), make_partitioner()
    inputs = [question.inputs for question in questions(4, seed=4)]
    greedy, beams = (
        generate.generate(
            toy.CONFIG, params, partitioner, inputs, Decoding(max_length=4, beams=count, alpha=0.0), EOS
        )
        for count in (1, 4)
    )
    for source, one, best in zip(inputs, greedy, beams, strict=True):
        if one[-1] == best[-1] == 1:
            assert log_prob(params, source, best) >= log_prob(params, source, one) - 1e-4


@pytest.mark.parametrize(
    ('decoded', 'answer'),
    [
        ([5, 0, 7, 1, 0, 0], [5, 0, 7, 1]),
        ([0, 5, 0, 7, 8, 9], [0, 5, 0, 7, 8, 9]),
        ([5, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0]),
        ([1, 0, 0, 0, 0, 0], [1]),
    ],
)
def test_answers_end_at_their_first_eos_and_keep_padding_inside(monkeypatch, decoded, answer):
    def made(params, inputs_BS, lengths_B, key):
        return np.array([decoded] * len(inputs_BS), np.int32), np.zeros(len(inputs_BS))

    monkeypatch.setattr(generate, 'jit_decode', lambda *settings: made)
    inputs = [question.inputs for question in questions(1)]
    found = generate.generate(
        toy.CONFIG, toy.params(), make_partitioner(), inputs, Decoding(max_length=6), EOS
    )
    assert [tokens.tolist() for tokens in found] == [answer]


def test_decoding_refuses_what_cannot_be():
    with pytest.raises(ValueError, match='beams=1 for sampling'):
        Decoding(beams=2, temperature=1.0)
    with pytest.raises(ValueError, match='a whole number from 1'):
        Decoding(max_length=0)
