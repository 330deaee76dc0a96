import jax
import jax.numpy as jnp
import pytest

from flanlite.training.profiler import Profiler


def traced(folder, start, last, steps, monkeypatch):
    """Return the steps that run while a trace is taken."""
    calls = []
    monkeypatch.setattr(jax.profiler, 'start_trace', lambda *_, **__: calls.append('start'))
    monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: calls.append('stop'))
    with Profiler(folder, start, last, steps) as profiler:
        for step in range(start + 1, last + 1):
            profiler.before(step)
            calls.append(step)
            profiler.after(step, jnp.ones(1), calls.append)
    if 'start' not in calls:
        return []
    return calls[calls.index('start') + 1 : calls.index('stop')]


@pytest.mark.parametrize(
    'start, last, steps, expected',
    [
        (0, 9, None, []),
        (0, 9, 2, [4, 5]),
        (100, 109, '3', [104, 105, 106]),
        (0, 9, '2-4', [2, 3, 4]),
        (0, 5, 100, [4, 5]),
        (5, 9, '2-7', []),  # the same command once more, behind the steps that it names
    ],
)
def test_the_steps_that_are_asked_for_are_traced(tmp_path, monkeypatch, start, last, steps, expected):
    assert traced(tmp_path, start, last, steps, monkeypatch) == expected


@pytest.mark.parametrize('steps', ['many', '5-3', '0-3', '8-20', '-3'])
def test_steps_that_are_none_are_refused(tmp_path, steps):
    with pytest.raises(ValueError, match='profile_steps'):
        Profiler(tmp_path, 0, 10, steps)
    with pytest.raises(ValueError, match='a run of more than 3; this one has 2'):  # it would trace nothing
        Profiler(tmp_path, 0, 2, 1)
