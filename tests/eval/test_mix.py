"""Choosing a mixture by small runs: the laws beside a library and known truths, and whole sweeps on three
clusters in seconds.
"""

import json

import numpy as np
import pytest
import toyeval as toy
from sklearn.linear_model import RidgeCV

from flanlite.config import to_text
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.mixing.stages import Stage
from flanlite.eval import mix, mixing_laws
from flanlite.eval.mix import MixConfig
from flanlite.mesh import partitioning
from flanlite.model import models
from flanlite.training import parameters
from flanlite.training.bandit import BanditConfig
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor

CLUSTERS = ['nli', 'math', 'translation']
PRIOR = np.array([0.6, 0.3, 0.1])


def drawn(count, seed=0, **more):
    return mixing_laws.draw(PRIOR, count, np.random.default_rng(seed), **more)


def test_drawn_mixtures_lie_around_the_prior():
    weights = drawn(4_000, strengths=(200.0, 200.0), temperature=1.0)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(weights.mean(axis=0), PRIOR, atol=0.01)
    np.testing.assert_allclose(weights.var(axis=0), PRIOR * (1 - PRIOR) / 201, rtol=0.15)  # Dirichlet's
    flat = drawn(4_000, strengths=(200.0, 200.0))
    np.testing.assert_allclose(flat.mean(axis=0), PRIOR**0.5 / np.sum(PRIOR**0.5), atol=0.01)
    wide = drawn(500, most=2.0)
    assert (wide <= 2 * PRIOR).all() and len(wide) == 500 and wide.std(axis=0).max() > 0.1
    np.testing.assert_array_equal(wide, drawn(500, most=2.0))
    with pytest.raises(ValueError, match=r'expected a greater MixConfig\.most'):
        drawn(100, strengths=(0.01, 0.02), most=1.01)


def test_the_linear_law_is_ridge_regression_with_leave_one_out():
    random, weights = np.random.default_rng(0), drawn(30)
    losses = weights @ random.normal(size=(3, 2)) + random.normal(size=(30, 2)) * 0.3 + 3
    middle = weights - weights.mean(axis=0)
    alphas = mixing_laws.RIDGES * np.linalg.svd(middle, compute_uv=False)[0] ** 2
    theirs = RidgeCV(alphas).fit(weights, losses)
    asked = drawn(10, seed=1)
    np.testing.assert_allclose(mixing_laws.linear(weights, losses, ())(asked), theirs.predict(asked))
    exact = np.exp(weights @ np.array([[0.5, -1.0], [0.0, 0.3], [-0.5, 0.2]]))
    foretold = mixing_laws.log_linear(weights, exact, ())(asked)
    np.testing.assert_allclose(
        foretold, np.exp(asked @ np.array([[0.5, -1.0], [0.0, 0.3], [-0.5, 0.2]])), rtol=1e-4
    )


def test_the_law_of_effective_data_is_found_again():
    weights = drawn(40, strengths=(1.0, 10.0))
    truth = {0: (0.5, 0.3, 0.8, 0.4, 1.2), 2: (0.2, 0.05, 1.0, 0.7, 0.9)}  # C, k, alpha, beta, E

    def losses(weights_NK):
        own = {place: weights_NK[:, place] for place in truth}
        found = [
            c * (own[place] + k * (1 - own[place]) ** alpha) ** -beta + e
            for place, (c, k, alpha, beta, e) in truth.items()
        ]
        return np.stack([*found, np.full(len(weights_NK), 2.0) + 0 * own[0]], axis=1)

    asked = drawn(20, seed=2, strengths=(1.0, 10.0))
    law = mixing_laws.effective_data(weights, losses(weights), [0, 2, None])
    np.testing.assert_allclose(law(asked), losses(asked), rtol=0.01)


def test_what_a_law_foretells_is_judged_on_other_runs():
    random, weights = np.random.default_rng(0), drawn(32)
    good = mixing_laws.judge('linear', weights, weights @ np.array([[1.0], [2.0], [4.0]]), [None])
    assert good.r2 > 0.999 and good.spearman > 0.99 and good.p < 1e-9 and good.rmse < 0.01
    for name in mixing_laws.LAWS:
        noise = mixing_laws.judge(name, weights, 2 + 0.1 * random.normal(size=(32, 1)), [0])
        assert noise.r2 < 0.3 and noise.p > 1e-3
        level = mixing_laws.judge(name, weights, np.full((32, 1), 2.0), [0])
        assert level.spearman == 0 and level.p == 1


def settings(folder, mixture='toyeval', **changes):
    train = TrainConfig(str(folder), DataConfig(mixture, toy.LENGTHS, 4), Adafactor(0.01), 2, toy.CONFIG)
    return MixConfig(train, **{'runs': 8, 'batches': 1, 'samples': 500, 'average': 10} | changes)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp('mix')
    assert mix.mix(settings(folder, only='0-2, 5')) is None
    assert not (folder / 'rates.json').exists()
    return folder, mix.mix(settings(folder))


def test_a_sweep_chooses_rates_that_a_run_reads(done):
    folder, report = done
    assert list(report.chosen) == CLUSTERS == list(report.targets) and len(report.observed) == 8
    assert sum(report.chosen.values()) == pytest.approx(1)
    rates = mixtures.rates(
        mixtures.resolve(MixtureConfig('toyeval', rates=str(folder / 'rates.json'))),
        dict.fromkeys(['toyeval_order', 'toyeval_parity', 'toyeval_pick', 'toyeval_copy'], 40),
    )
    assert rates['toyeval_order'] == pytest.approx(report.chosen['nli'])
    # Within a cluster, data sets keep their rates to each other, and 40 rows are 40 rows.
    assert rates['toyeval_parity'] == rates['toyeval_pick'] == pytest.approx(report.chosen['math'] / 2)
    kept = json.loads((folder / 'mix.json').read_text())
    assert kept['own'] == pytest.approx({'nli': 0.25, 'math': 0.5, 'translation': 0.25})
    assert {each['law'] for each in kept['qualities']} == set(mixing_laws.LAWS)
    page = (folder / 'mix.md').read_text()
    assert 'need not be for large' in page and '| math | 50.0% |' in page
    trained = TrainConfig.load(folder / '3').data.mixture.rates
    losses = [json.loads((folder / str(number) / 'losses.json').read_text()) for number in range(8)]
    assert trained['toyeval_copy'] == pytest.approx(losses[3]['weights']['translation'])
    assert losses[0]['weights'] == pytest.approx(kept['own'])
    assert len({each['losses']['math'] for each in losses}) == 8
    assert report.observed == pytest.approx([np.mean(list(each['losses'].values())) for each in losses])


def test_the_losses_are_those_of_the_validation_data(done):
    folder, _ = done
    sweep = mix.Mix.open(settings(folder))
    batches = mix.open_validation(sweep)
    params = parameters.load_params(folder / '0', toy.CONFIG)
    found = {}
    for task, (batch,) in batches.items():
        placed = partitioning.make_partitioner(sweep.config.train.mesh).place(batch)
        logits = np.asarray(models.bind(toy.CONFIG, params)(placed, dropout_key=None), np.float64)
        targets, weights = batch['decoder_target_tokens'], batch['decoder_loss_weights']
        chosen = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        log_z = np.log(np.exp(logits).sum(axis=-1))
        each = log_z - chosen + 1e-4 * log_z**2  # with the run's z-loss
        found[task] = float((each * weights).sum() / weights.sum())
    saved = json.loads((folder / '0' / 'losses.json').read_text())['losses']
    assert saved['translation'] == pytest.approx(found['toyeval_copy'], rel=1e-4)
    assert saved['math'] == pytest.approx(np.mean([found['toyeval_parity'], found['toyeval_pick']]), rel=1e-4)


def test_what_is_done_is_not_done_again(done, monkeypatch):
    folder, report = done
    monkeypatch.setattr(mix.run, 'train', None)
    again = mix.mix(settings(folder, law='log_linear', samples=200))
    assert again.law == 'log_linear' and again.observed == report.observed
    with pytest.raises(ValueError, match=r'other settings: runs was 8, now it is 9'):
        mix.mix(settings(folder, runs=9))


def test_a_target_may_be_held_out(tmp_path):
    mix.mix(settings(tmp_path, 'toyeval_held_out_math', targets='math', only='0'))
    saved = json.loads((tmp_path / '0' / 'losses.json').read_text())
    assert set(saved['losses']) == {'math'} and set(saved['weights']) == {'nli', 'translation'}
    sweep = mix.Mix.open(settings(tmp_path, 'toyeval_held_out_math', targets='math'))
    made = [{'math': 2.0 + weights[0]} for weights in sweep.weights()]
    report = mix.choose(sweep, sweep.weights(), made)
    assert report.chosen['translation'] > 0.8, 'the less of the first, the lower'
    assert any('no longer zero-shot' in note for note in report.notes)
    noise = np.random.default_rng(0).normal(size=8)
    weak = mix.choose(sweep, sweep.weights(), [{'math': 2.0 + each} for each in noise])
    assert any('no evidence' in note for note in weak.notes)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'runs': 7}, 'runs is 7; expected a whole number from 8'),
        ({'only': '3-9'}, "only is '3-9'; expected all, or numbers from 0 to 7"),
        ({'only': 'x'}, "only is 'x'"),
        ({'only': ','}, 'only is empty'),
        ({'most': 1.0}, 'expected most above 1'),
        ({'strengths': (5.0, 1.0)}, 'the least strength before the most'),
        ({'average': 501}, 'expected at most samples, 500'),
        ({'law': 'linar'}, "law is 'linar'; did you mean linear"),
        ({'targets': ' '}, 'targets is empty'),
        ({'targets': 'maths'}, "unknown target 'maths'; did you mean math"),
        ({'mixture': 'toyeval_order'}, 'expected at least two'),
        ({'mixture': 'toyeval_nope'}, 'unknown mixture'),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        mix.mix(settings(tmp_path, **changes))
    assert not list(tmp_path.iterdir())


def test_a_run_of_the_sweep_has_one_mixture(tmp_path):
    train = settings(tmp_path).train
    for changes in ({'bandit': BanditConfig()}, {'data.mixture.stages': (Stage(2),)}):
        with pytest.raises(ValueError, match='expected neither'):
            MixConfig(train.replace(**changes))


@pytest.mark.parametrize('losses', [None, {}, {'math': 1.0}, {'nli': 1.0, 'math': '1', 'translation': 1.0}])
def test_losses_that_are_none_are_named(losses, tmp_path):
    (path := tmp_path / '0' / 'losses.json').parent.mkdir()
    config = settings(tmp_path)
    found = [] if losses is None else {'settings': to_text(config), 'losses': losses}
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=r'0/losses\.json does not hold the settings and losses') as raised:
        mix.mix(config)
    assert 'remove it' in str(raised.value) and len(list(tmp_path.iterdir())) == 1
