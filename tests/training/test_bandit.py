"""The bandit: the paper's equations by hand, the look ahead beside the train step, and runs that resume."""

import json

import jax
import numpy as np
import optax
import pytest
import toy
from test_step import CONFIG, batch_of

from flanlite.config import load_as
from flanlite.data.mixing.stages import Stage
from flanlite.model import models
from flanlite.training import bandit, optimizers, parameters, state, step
from flanlite.training.bandit import BanditConfig
from flanlite.training.config import TrainConfig
from flanlite.training.journal import read_metrics
from flanlite.training.step import StepConfig

STEPS = 8


def test_shares_and_values_are_the_papers():
    config = BanditConfig(sharpness=2.0, exploration=0.2, smoothing=0.9)
    values = config.learned(np.array([0.5, 0.0, 1.0]), np.array([-0.1, 0.3, 0.1]))
    np.testing.assert_allclose(values, [0.45, 0.1, 0.95])  # rewards scaled to 0, 1 and 0.5
    prior = np.array([0.7, 0.2, 0.1])
    tilted = [0.7 * np.exp(0.9), 0.2 * np.exp(0.2), 0.1 * np.exp(1.9)]
    np.testing.assert_allclose(
        config.probabilities(values, prior), 0.8 * np.array(tilted) / sum(tilted) + 0.2 / 3
    )
    np.testing.assert_allclose(config.learned(values, np.full(3, 0.2)), 0.9 * values)  # none better
    far = BanditConfig(sharpness=1e4).probabilities(np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(far, [0.15, 0.85])


def test_the_reward_is_what_a_train_step_takes_off_each_examples_loss():
    optimizer = optimizers.Optimizer(optax.sgd(0.1), optax.constant_schedule(0.1), ())
    batch = {name: array for name, array in batch_of(rows=5).items() if name != 'decoder_group_ids'}
    batch['decoder_loss_weights'][0] = 0.0  # a row without targets has nothing to lose
    before = state.create(models.init_params(CONFIG, jax.random.key(1)), optimizer)
    own = {'config': CONFIG, 'optimizer': optimizer, 'settings': StepConfig()}
    after, _ = step.train_step(before, batch, np.uint32(0), **own)

    def losses(params):
        rows = [{name: array[row : row + 1] for name, array in batch.items()} for row in range(1, 5)]
        sums = [step.eval_step(params, row, config=CONFIG, settings=StepConfig(z_loss=0.0)) for row in rows]
        return np.array([float(each['loss'] / each['weight_sum']) for each in sums])

    first, last = losses(before.whole()), losses(after.whole())
    reward = bandit.look_ahead(before, batch, **own)
    assert float(reward) == pytest.approx(float(np.sum((first - last) / first) / 5), rel=1e-3)
    assert float(reward) > 0


def train(folder, steps, **changes):
    settings = BanditConfig(every_steps=2, sharpness=8.0, smoothing=0.5, rows=16)
    return toy.train(folder, steps, **{'bandit': settings} | changes)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp('bandit'), STEPS).model_dir


def position(folder):
    return json.loads((folder / 'checkpoints' / str(STEPS) / 'position' / 'metadata').read_text())


def test_a_run_with_a_bandit_resumes_to_the_bit(whole, tmp_path, capsys):
    for steps in (1, 3, 4, STEPS):  # before any look, between two, at one, to the end
        train(tmp_path, steps)
    assert capsys.readouterr().out.count('TRAIN_STEPS is 1, and the bandit never looks') == 1
    late = load_as(TrainConfig, whole).replace(bandit=None, **{'data.mixture.stages': (Stage(2), Stage(9))})
    assert late.notes() == [
        'TRAIN_STEPS is 8, and the stage of MixtureConfig.stages from step 9 on never begins'
    ]
    mine, theirs = (
        [each for each in read_metrics(folder) if 'learning_rate' not in each] for folder in (tmp_path, whole)
    )
    assert mine == theirs and [each['step'] for each in mine] == [2, 4, 6, 8]
    shares = np.array([[each['share/toy_order'], each['share/toy_parity']] for each in mine])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares >= 0.15).all() and len({tuple(row) for row in shares.round(6)}) == 4
    got, expected = (parameters.load_run(folder) for folder in (tmp_path, whole))
    jax.tree.map(np.testing.assert_array_equal, got.params, expected.params)
    assert position(tmp_path) == position(whole)
    saved = position(whole)['data']
    assert saved['bandit']['looks'] == 4 and saved['bandit']['arms'] == ['toy_order', 'toy_parity']
    np.testing.assert_allclose(saved['mix']['shares'], shares[-1])
    assert load_as(TrainConfig, whole).bandit.every_steps == 2


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'bandit': None}, 'has the state of a bandit'),
        (
            {'bandit': BanditConfig('clusters', every_steps=2)},
            'has the arms toy_order, toy_parity.*nli, math',
        ),
        (
            {'mixture': 'toy_order', 'train_steps': 9},
            "'tasks', and all that is trained on is one arm, toy_order",
        ),
        ({'data.mixture.stages': (Stage(2),)}, 'both decide the rates'),
        (
            {'bandit': BanditConfig(rows=3), 'microbatches': 2},
            'rows is 3, expected a multiple of MICROBATCHES',
        ),
    ],
)
def test_what_does_not_go_with_the_bandit_is_refused(whole, changes, message):
    with pytest.raises(ValueError, match=message):
        train(whole, changes.pop('train_steps', STEPS + 2), **changes)
