import itertools

import numpy as np
import pytest

from flanlite.data.specs import denoising

pytestmark = pytest.mark.smoke

SENTINELS = range(199, 99, -1)


def restore(inputs, targets):
    """Put what the targets say in the sentinels' places."""
    spans, current = {}, None
    for token in targets:
        if token in SENTINELS:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    return [
        token for position in inputs for token in (spans[position] if position in SENTINELS else [position])
    ]


@pytest.mark.parametrize('length', [2, 3, 7, 40, 512])
def test_span_corruption_hides_and_keeps_everything(length):
    tokens = list(range(3, 3 + min(length, 90))) * 6
    tokens = tokens[:length]
    for seed in range(20):
        inputs, targets = denoising.span_corruption(
            tokens, denoising.generator(seed, 'task', 0), sentinels=SENTINELS
        )
        assert restore(inputs, targets) == tokens
        used = [token for token in inputs if token in SENTINELS]
        assert used == [token for token in targets if token in SENTINELS] == list(SENTINELS[: len(used)])
        assert inputs[0] not in SENTINELS, 'a kept span comes first'
        assert targets[0] == SENTINELS[0]


def test_density_and_span_length_are_t5s():
    mask = denoising.noise_mask(512, 0.15, 3.0, denoising.generator(0, 'task'))
    spans = [(hidden, len(list(group))) for hidden, group in itertools.groupby(mask)]
    assert len(mask) == 512 and sum(mask) == 77
    assert [hidden for hidden, _ in spans] == [False, True] * 26


def test_rolled_masks_hide_any_place():
    ends = [
        denoising.noise_mask(10, 0.15, 3.0, denoising.generator(seed, 'task'), roll=True)
        for seed in range(200)
    ]
    assert all(sum(mask) == 2 for mask in ends)
    hidden = np.mean(ends, axis=0)
    assert hidden.min() > 0.1 and hidden.max() < 0.3
    tokens = list(range(3, 13))
    for seed in range(50):
        inputs, targets = denoising.span_corruption(
            tokens, denoising.generator(seed, 'task'), sentinels=SENTINELS, roll=True
        )
        assert restore(inputs, targets) == tokens


def test_every_segmentation_is_as_likely():
    counts = {}
    random = denoising.generator(0, 'task')
    for _ in range(3_000):
        lengths = tuple(denoising.segment(5, 3, random))
        counts[lengths] = counts.get(lengths, 0) + 1
    assert len(counts) == 6 and min(counts.values()) > 400


def test_prefix_lm_cuts_in_two():
    tokens = list(range(10))
    cuts = set()
    for seed in range(100):
        inputs, targets = denoising.prefix_lm(tokens, denoising.generator(seed, 'task'))
        assert [*inputs, *targets] == tokens
        cuts.add(len(inputs))
    assert cuts == set(range(1, 10))


def test_random_numbers_depend_on_the_place_alone():
    def draw(*place):
        return denoising.generator(*place).integers(0, 1 << 30, 4).tolist()

    assert draw(0, 'a', 1, 2) == draw(0, 'a', 1, 2)
    draws = [
        draw(0, 'a', 1, 2),
        draw(1, 'a', 1, 2),
        draw(0, 'b', 1, 2),
        draw(0, 'a', 2, 2),
        draw(0, 'a', 1, 3),
    ]
    assert len({tuple(numbers) for numbers in draws}) == len(draws)


def test_faults():
    with pytest.raises(ValueError, match='too short'):
        denoising.span_corruption([5], np.random.default_rng(0), sentinels=SENTINELS)
    with pytest.raises(ValueError, match='cannot be cut'):
        denoising.prefix_lm([5], np.random.default_rng(0))
    with pytest.raises(ValueError, match='more spans than the 3 sentinels'):
        denoising.span_corruption([5] * 512, np.random.default_rng(0), sentinels=SENTINELS[:3])


def test_prefix_lm_keeps_targets_short_when_asked():
    lengths = {
        len(denoising.prefix_lm(range(30), denoising.generator(0, 'task', row), longest=4)[1])
        for row in range(200)
    }
    assert lengths == {1, 2, 3, 4}
    assert denoising.prefix_lm(range(3), denoising.generator(0, 'task', 0), longest=8)[0]
