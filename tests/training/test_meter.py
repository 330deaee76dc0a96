import jax.numpy as jnp
import pytest

from flanlite.training.meter import Meter

NAMES = (
    'loss',
    'z_loss',
    'accuracy',
    'weight_sum',
    'gradient_norm',
    'learning_rate',
    'encoder_tokens',
    'decoder_tokens',
)


def record(ideal_seconds=None, **more):
    meter = Meter({'encoder': 4, 'decoder': 4}, 2, 2, {}, ideal_seconds)
    sums = {name: jnp.float32(2.0) for name in (*NAMES, *more)}
    last = sums | {name: jnp.float32(value) for name, value in more.items()}
    return [*meter.add(1, sums, 0.1), *meter.add(2, last, 0.1), *meter.finish()][0]


def test_utilisation_is_the_share_of_the_ideal_time():
    found = record(1e-3)
    assert found['mfu'] == pytest.approx(1e-3 / found['seconds_per_step'])
    assert (
        found['encoder_fill'] == 0.5
        and found['data_seconds'] == pytest.approx(0.1)
        and found['tokens_per_second'] > 0
    )
    assert 'mfu' not in record()


def test_norms_by_module_are_the_last_steps():
    assert record(**{'gradient_norm/encoder': 7.0})['gradient_norm/encoder'] == 7.0
