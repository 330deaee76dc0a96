import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flanlite.cli import gin_config
from flanlite.training import schedules

t5x = schedules.FactorSchedule


@pytest.mark.parametrize(
    'schedule, expected',
    [
        (schedules.ConstantSchedule(3e-3), {0: 3e-3, 10**6: 3e-3}),
        (schedules.RsqrtSchedule(), {0: 0.01, 10_000: 0.01, 40_000: 0.005}),
        (schedules.RsqrtSchedule(2.0, 100, ramp=True), {0: 0.0, 50: 0.1, 100: 0.2, 400: 0.1}),
        (
            schedules.LinearSchedule(1.0, 100, 10, final=0.1),
            {0: 0.0, 5: 0.5, 10: 1.0, 55: 0.55, 100: 0.1, 200: 0.1},
        ),
        (schedules.LinearSchedule(1.0, 100), {0: 1.0, 50: 0.5, 100: 0.0}),
        (schedules.CosineSchedule(1.0, 110, 10), {0: 0.0, 5: 0.5, 10: 1.0, 60: 0.5, 110: 0.0, 200: 0.0}),
        (schedules.CosineSchedule(1.0, 100, final=0.2), {0: 1.0, 50: 0.6, 100: 0.2}),
        # Trials that end within the rise.
        (schedules.LinearSchedule(1.0, 2, 10), {0: 0.0, 2: 0.2}),
        (schedules.LinearSchedule(1.0, 10, 10, final=0.1), {10: 1.0, 11: 0.1, 1000: 0.1}),
        (schedules.CosineSchedule(1.0, 2, 10), {0: 0.0, 2: 0.2}),
    ],
)
def test_schedules(schedule, expected):
    np.testing.assert_allclose(
        [schedule(step) for step in expected], list(expected.values()), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize(
    'schedule, expected',
    [
        (t5x(), {0: 1e-8, 500: 0.5 * 0.5 / 1000**0.5, 1000: 0.5 / 1000**0.5, 4000: 0.5 / 4000**0.5}),
        (t5x('constant * rsqrt_decay', 1.0, 10_000), {0: 0.01, 10_000: 0.01, 40_000: 0.005}),
        (t5x('constant * rsqrt_normalized_decay', 0.2, 100), {0: 0.2, 100: 0.2, 400: 0.1}),
        (t5x('constant', 1e-3), {0: 1e-3, 10**6: 1e-3}),
        (t5x('linear_decay', 0.5, 100, 0.001), {0: 1e-8, 50: 0.25, 100: 0.5, 600: 0.25, 5000: 1e-8}),
        (
            t5x('constant*decay_every', 1.0, decay_factor=0.5, steps_per_decay=10),
            {0: 1.0, 9: 1.0, 10: 0.5, 35: 0.125},
        ),
        (
            t5x('constant * cosine_decay', 1.0, 10, steps_per_cycle=100),
            {0: 1.0, 10: 1.0, 60: 0.5, 110: 1.0, 35: 0.5 + 0.5**1.5},
        ),
        (t5x('constant * linear_warmup', 1.0, 10, step_offset=100), {0: 1e-8, 100: 1e-8, 105: 0.5, 200: 1.0}),
        (t5x('constant * rsqrt_decay', 1.0, 1, min_learning_rate=0.1), {4: 0.5, 10_000: 0.1}),
    ],
)
def test_t5xs_factors(schedule, expected):
    got = jax.jit(jax.vmap(schedule))(jnp.array(list(expected), jnp.int32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, list(expected.values()), rtol=1e-5)


def test_an_unknown_factor_is_refused_with_the_valid_ones():
    with pytest.raises(
        ValueError, match=r"'rsqrt' in .* is no factor; expected .*linear_warmup.*cosine_decay"
    ):
        t5x('constant * rsqrt')


def test_gin_makes_schedules_as_t5xs_files_do_and_takes_plain_functions():
    @gin.configurable('halving')
    def halving(step):
        return 0.5**step

    lines = [
        'utils.create_learning_rate_scheduler.factors="constant * decay_every"',
        'adamw.learning_rate=@halving',
    ]
    lines += [
        'utils.create_learning_rate_scheduler.steps_per_decay=2',
        'adafactor.learning_rate=@utils.create_learning_rate_scheduler()',
    ]
    try:
        gin_config.load([], lines)
        assert float(gin_config.build('adafactor').build().schedule(4)) == 0.5 * 0.5**2
        assert gin_config.build('adamw').build().schedule(3) == 0.125
    finally:
        gin.clear_config()
