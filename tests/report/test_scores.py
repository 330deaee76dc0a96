import numpy as np
import pytest

from flanlite.metrics import metrics
from flanlite.report import scores, seeds
from flanlite.report.scores import Resampled, TaskScores


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


@pytest.mark.parametrize(('value', 'low', 'high'), [(1.0, 72.2467, 100.0), (0.0, 0.0, 27.7533)])
def test_interval_of_a_constant_is_wilsons(value, low, high):
    """statsmodels: proportion_confint(10, 10, method='wilson')."""
    found = scores.summarize(accuracy(np.full((10, 3), value)))
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3)


def test_interval_of_a_group_counts_its_constants():
    """Two constants: half of the root of the squares of their reaches; Newcombe's rule."""
    right = accuracy(np.ones((10, 1)))
    assert scores.summarize_group([right, right]).low == pytest.approx(100 - 27.7533 / np.sqrt(2), abs=1e-3)
    some = accuracy((np.random.default_rng(4).random((50, 1)) < 0.5).astype(float), 'some')
    one, both = scores.summarize(some), scores.summarize_group([some, right])
    assert both.mean - both.low == pytest.approx(np.hypot(one.mean - one.low, 27.7533) / 2, abs=1e-3)
    assert both.high - both.mean == pytest.approx((one.high - one.mean) / 2)


def test_chance_has_no_width():
    halves = accuracy(np.full((10, 1), 0.5))
    found = scores.summarize(halves)
    assert (found.low, found.high) == (50.0, 50.0)


def draws(scored):
    return [Resampled.draw(scored)]


def test_difference_is_paired_where_the_rows_are_the_same():
    """The second system is right where the first is, and on one row of ten more: the rows' difficulty, which
    both intervals have, is not in that of the difference.
    """
    random = np.random.default_rng(5)
    worse = (random.random((200, 2)) < 0.5).astype(float)
    better = np.maximum(worse, np.arange(200)[:, None] % 10 == 0)
    first, second = accuracy(better), accuracy(worse)
    mean = 100 * (better.mean() - worse.mean())
    apart = [scores.summarize(each) for each in (first, second)]
    assert apart[0].low < apart[1].high, 'the intervals overlap'
    found = scores.difference(mean, draws(first), draws(second))
    assert found.paired and found.low > 0
    by_row = 100 * (better - worse).mean(axis=1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * by_row.std() / np.sqrt(200), rel=0.1)
    shifted = TaskScores('task', second.metric, 'rank', second.rows + 1, second.templates, second.counts)
    unpaired = scores.difference(mean, draws(first), draws(shifted))
    assert not unpaired.paired and unpaired.low < 0
    widths = [each.high - each.low for each in apart]
    assert unpaired.high - unpaired.low == pytest.approx(np.hypot(*widths), rel=0.1)


def test_difference_to_a_constant_has_its_reach():
    some, right = accuracy((np.arange(40)[:, None] % 2).astype(float)), accuracy(np.ones((40, 1)))
    found = scores.difference(50.0, draws(right), draws(some))
    alone = scores.summarize(some)
    reach = 100 - scores.summarize(right).low
    assert found.low == pytest.approx(50 - np.hypot(alone.high - 50, reach))
    assert found.high == pytest.approx(50 + (50 - alone.low))


def test_scores_of_seeds_are_told_with_students_t():
    # 4.303, the quantile of two degrees of freedom, times the standard error of 0.656
    assert seeds.told([74.3, 76.1, 74.0]) == '74.8 ± 2.8'
    assert seeds.told([-1.25, 0.25], '+') == '-0.5 ± 9.5'  # 12.706 times 0.75
    assert seeds.told([74.3]) == '74.3' and seeds.told([3.0], '+') == '+3.0'
