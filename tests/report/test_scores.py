import numpy as np
import pytest

from flanlite.metrics import metrics
from flanlite.report import scores
from flanlite.report.scores import TaskScores


def accuracy(right_RP, task='task'):
    """Scores of a task whose answers are right or wrong."""
    rows, templates = right_RP.shape
    counts = np.stack([right_RP.ravel(), np.ones(right_RP.size)], axis=1)
    return TaskScores(
        task,
        metrics.get_metric('accuracy'),
        'rank',
        np.repeat(np.arange(rows), templates),
        np.tile(np.arange(templates), rows),
        counts,
    )


def test_summary_by_hand():
    # Templates score 100, 75, 50, 0.
    right = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]], float)
    found = scores.summarize(accuracy(right))
    assert found.mean == pytest.approx(56.25)
    assert found.sd == pytest.approx(np.std([100, 75, 50, 0], ddof=1))
    assert (found.q1, found.median, found.q3) == pytest.approx((37.5, 62.5, 81.25))
    assert found.low <= found.mean <= found.high


def test_template_scores_and_best():
    scored = accuracy(np.array([[0, 1], [1, 1]], float))
    assert scored.template_scores() == {0: {'accuracy': 50.0}, 1: {'accuracy': 100.0}}
    assert scored.best_template() == 1


def test_rows_that_lack_a_template():
    scored = accuracy(np.array([[1, 0], [1, 1]], float))
    fewer = TaskScores(
        'task', scored.metric, 'rank', scored.rows[:3], scored.templates[:3], scored.counts[:3]
    )
    assert fewer.template_scores() == {0: {'accuracy': 100.0}, 1: {'accuracy': 0.0}}
    assert scores.summarize(fewer).mean == 50


def test_intervals_draw_rows_not_renderings():
    # every template answers a row alike: ten templates say no more than one
    right = np.random.default_rng(0).random((100, 1)) < 0.5
    one, ten = (
        scores.summarize(accuracy(np.repeat(right, count, axis=1).astype(float))) for count in (1, 10)
    )
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))
    assert 15 < ten.high - ten.low < 25  # 2 x 1.96 x 5


def test_interval_covers_the_truth():
    random = np.random.default_rng(1)
    covered = 0
    for trial in range(120):
        chance = random.uniform(0.3, 0.7)
        found = scores.summarize(
            accuracy((random.random((80, 3)) < chance).astype(float)), resamples=300, seed=trial
        )
        covered += found.low <= 100 * chance <= found.high
    assert 0.87 <= covered / 120 <= 1.0


def test_bootstrap_is_seeded():
    scored = accuracy((np.random.default_rng(2).random((50, 2)) < 0.5).astype(float))
    np.testing.assert_array_equal(scored.resampled_means(seed=3), scored.resampled_means(seed=3))
    assert (scored.resampled_means(seed=3) != scored.resampled_means(seed=4)).any()


def test_group_is_the_mean_of_its_tasks_with_a_narrower_interval():
    random = np.random.default_rng(3)
    group = [accuracy((random.random((60, 4)) < 0.5).astype(float), f'task{index}') for index in range(4)]
    each = [scores.summarize(scored) for scored in group]
    found = scores.summarize_group(group)
    assert found.mean == pytest.approx(np.mean([one.mean for one in each]))
    assert found.high - found.low < 0.7 * np.mean([one.high - one.low for one in each])
