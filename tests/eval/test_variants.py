"""Other scores of a ranking: normalised, against no input, several right answers, calibration."""

import dataclasses

import numpy as np
import pytest
import toyeval as toy

from flanlite.data.cache.view import View
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.example import Example
from flanlite.eval import rank, splits, variants
from flanlite.eval.evaluator import Evaluator, ScoringConfig
from flanlite.mesh.partitioning import make_partitioner
from flanlite.metrics.classification import graded
from flanlite.metrics.metrics import get_metric
from flanlite.model import models
from flanlite.model.decoder_only import DecoderOnlyConfig

BYTES = vocabularies.load('bytes')
DECODER = DecoderOnlyConfig(
    vocab_size=384,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    num_layers=1,
    dropout_rate=0.0,
    dtype='float32',
)
ACCURACY = get_metric('accuracy')


def example(*options, tokens=None):
    ids = tokens or [[*option.encode(), 1] for option in options]
    return Example(
        np.zeros(0), np.zeros(0), options=options, option_tokens=tuple(np.array(each) for each in ids)
    )


def scored(names, options, answers, log_probs, bare=None, metric=ACCURACY, tokens=None):
    found = variants.variants(
        names, metric, [example(*options, tokens=tokens)], [answers], [np.array(log_probs, np.float32)],
        [np.array(bare, np.float32)] if bare else [],
    )  # fmt: skip
    return {each.name: float(each.score(each.counts.sum(axis=0))[0]) for each in found}


def test_each_normalisation_chooses_its_own_option():
    # By the sum: -2. A character: -.67, -.6, -.75. A byte: -.67, -.6, -.5. A token: -1, -1.5, -.4. Without input: 1, -1, 2.
    options, log_probs, bare = ('abc', 'defgh', 'äöüß'), [-2, -3, -4], [-3, -2, -6]
    tokens = [[2, 1], [3, 1], [4, 5, 6, 7, 8, 9, 10, 11, 1, 1]]
    right = {
        'acc': 'abc',
        'acc_norm': 'defgh',
        'acc_bytes': 'äöüß',
        'acc_tokens': 'äöüß',
        'acc_mutual_info': 'äöüß',
    }
    for name, best in right.items():
        for option in options:
            found = scored([name], options, [option], log_probs, bare, tokens=tokens)
            assert found == {name: 100.0 * (option == best)}, (name, option)


def test_of_equal_scores_and_of_equal_tokens_the_first_is_taken():
    assert scored(['acc'], ('a', 'b'), ['a'], [-1, -1]) == {'acc': 100.0}
    # The same tokens: a longer text must not win by its length.
    same = scored(['acc_norm'], ('a b', 'a  b'), ['a b'], [-3, -3], tokens=[[2, 1], [2, 1]])
    assert same == {'acc_norm': 100.0}
    assert scored(['acc_norm'], ('', 'b'), ['b'], [-3, -2]) == {'acc_norm': 100.0}


def test_several_right_answers_and_parts():
    assert scored(['acc'], ('a', 'b', 'c'), ['c', 'b'], [-3, -1, -2]) == {'acc': 100.0}
    metric = get_metric('multiple_choice_grade')
    assert scored(['acc'], ('a', 'b'), [graded('a', 1), graded('b', 0.25)], [-3, -1], metric=metric) == {
        'acc': 25.0
    }


def test_brier_score():
    log_probs = np.log([0.5, 0.3, 0.2])
    assert scored(['brier_score'], ('a', 'b', 'c'), ['b'], log_probs - 7)['brier_score'] == pytest.approx(
        100 * (0.5**2 + 0.7**2 + 0.2**2), rel=1e-5
    )
    two_right = scored(['brier_score'], ('a', 'b', 'c'), ['b', 'a'], log_probs)['brier_score']
    assert two_right == pytest.approx(100 * (0.2**2 + 0.2**2), rel=1e-5)


def test_calibration_error():
    confidence = np.array([0.55, 0.56, 0.95, 0.95, 0.95, 1.0])
    right = np.array([1, 0, 1, 1, 0, 1])
    counts = np.array([variants.binned(*pair) for pair in zip(confidence, right, strict=True)])
    bins = [[0, 1], [2, 3, 4, 5]]  # of 15: 8/15 to 9/15, and 14/15 to 1
    expected = sum(len(b) / 6 * abs(confidence[b].mean() - right[b].mean()) for b in bins)
    assert variants.calibration_error(counts.sum(axis=0))[0] == pytest.approx(100 * expected)


@pytest.mark.parametrize('model', [toy.CONFIG, DECODER], ids=['t5', 'decoder'])
def test_an_evaluation_reports_them_by_template(model):
    import jax

    opened = splits.open_splits(['toyeval_pick'], View('validation', BYTES, renderings='all'))
    params = models.init_params(model, jax.random.key(1))
    asked = Evaluator(opened.splits, BYTES, toy.LENGTHS, ScoringConfig(scores=variants.NAMES))
    found = asked.run(model, params)['toyeval_pick']
    plain = dataclasses.replace(asked, config=ScoringConfig()).run(model, params)['toyeval_pick']
    assert found.predictions == plain.predictions
    for template, scores in found.template_scores().items():
        assert list(scores) == ['accuracy', *variants.NAMES]
        assert scores['acc'] == scores['accuracy'] == plain.template_scores()[template]['accuracy']
        assert all(np.isfinite(value) for value in scores.values()) and 0 < scores['brier_score'] < 200
    # Without an input is: with the empty one.
    rows = list(opened.splits['toyeval_pick'].examples())
    bare = asked.unconditional('toyeval_pick', rows, model, params, make_partitioner())
    alone = rank.score(
        model,
        params,
        make_partitioner(),
        [rank.Question(BYTES.as_inputs(BYTES.encode_arrays([''])[0]), rows[3].option_tokens)],
    )
    np.testing.assert_allclose(bare[3], alone[0], rtol=1e-5)


def test_unknown_scores_are_refused():
    with pytest.raises(ValueError, match='got the scores acc, accnorm; expected some of acc, acc_norm'):
        ScoringConfig(scores=('acc', 'accnorm'))
