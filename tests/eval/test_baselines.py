import types

import numpy as np
import pytest

from flanlite.data.tokens.example import Example
from flanlite.eval import baselines
from flanlite.metrics import metrics


@pytest.mark.parametrize('offset', [0, 1_000_000])
def test_chance_of_correlated_numbers_is_counted_about_one_centre(monkeypatch, offset):
    """The counts of a row are the mean over its options, and their sums those of all pairs."""
    monkeypatch.setattr(baselines, 'metric_of', lambda name: metrics.get_metric('pearson'))
    options, answers = [(1, 2), (2, 5, 9), (7,)], [1, 3, 4]
    none = np.zeros(0, np.int32)
    examples = [
        Example(
            none,
            none,
            row=row,
            options=tuple(str(offset + option) for option in options[row]),
            answers=(str(offset + answers[row]),),
        )
        for row in range(3)
    ]
    found = baselines.chance('sums', types.SimpleNamespace(examples=lambda: examples), None, None)
    weights = [1 / len(each) for each in options for _ in each]
    x = [option for each in options for option in each]
    y = [right for each, right in zip(options, answers, strict=True) for _ in each]
    covariance = np.cov(x, y, aweights=weights)
    expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert found.template_scores()[-1]['pearson'] == pytest.approx(100 * expected)
