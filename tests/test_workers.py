"""Processes that call functions."""

import functools
import os
import signal
import threading

import pytest

from flanlite import workers


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(workers, 'QUICK_SECONDS', 0.0)


def called(parent, what, number, told):
    """Square a number; in another process than `parent`, die of some numbers."""
    told(1)
    if number % 4 == 1 and what == 'die' and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2 and what == 'fail':
        raise KeyError('two')
    return number**2, os.getpid() != parent


def test_all_calls_are_made_though_processes_die():
    counted = []
    calls = [(os.getpid(), 'die', number) for number in range(40)]
    found = dict(workers.each(called, calls, 3, counted.append))
    assert {number: square for number, (square, _) in found.items()} == {n: n**2 for n in range(40)}
    assert len(counted) >= 40 and not found[1][1]


def test_what_cannot_travel_is_done_here():
    lock = threading.Lock()
    calls = [(os.getpid(), lock, number) for number in range(5)]
    assert dict(workers.each(called, calls, 2, lambda _: None)) == {n: (n**2, False) for n in range(5)}


@pytest.mark.parametrize('count', [1, 3])
def test_an_error_is_raised(count):
    with pytest.raises(KeyError, match='two'):
        list(workers.each(called, [(os.getpid(), 'fail', n) for n in range(9)], count, lambda _: None))


def test_a_worker_answers_until_it_is_stopped():
    worker, told = workers.Worker(), []
    call = functools.partial(worker.call, called, told=told.append)
    assert call(os.getpid(), '', 3) == call(os.getpid(), '', 3) == (9, True) and told == [1, 1]
    with pytest.raises(workers.EndedError, match='SIGKILL'):
        call(os.getpid(), 'die', 1)
    assert worker.ended()
    worker.stop()
