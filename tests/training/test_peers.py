"""Several processes of one run, on this machine: who is missing or differs is named, and all end together."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import toy
from test_watch import start as start_command

from flanlite import checksums
from flanlite.mesh import processes
from flanlite.training import parameters


def started(tmp_path, count=2, steps=100_000, changes=None, **settings):
    """Start the processes of `flanlite train` of a toy run; `changes` are of some processes only, by number."""
    made = []
    for index, variables in enumerate(toy.process_variables(count)):
        folder = tmp_path / f'settings{index}'
        folder.mkdir(exist_ok=True)
        own = {'model_dir': str(tmp_path / 'run'), **settings, **(changes or {}).get(index, {})}
        made.append(start_command(folder, steps, variables | {'PEERS_PATIENCE': '6'}, **own))
    return made


def wait_for(condition, running, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        for process in running:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, 'nothing happened for too long'
        time.sleep(0.02)


def ends(process, seconds):
    """Return the exit status and the only line of errors of a process that ends in time."""
    _, errors = process.communicate(timeout=seconds)
    found = [line for line in errors.splitlines() if line.strip() and not line.startswith('caching ')]
    assert len(found) == 1, errors
    return process.returncode, found[0]


def run_codes(*codes):
    """Start two processes of a run, each with code of its own."""
    return [
        subprocess.Popen(
            [sys.executable, '-c', code],
            env=os.environ | {'JAX_PLATFORMS': 'cpu', **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for code, variables in zip(codes, toy.process_variables(), strict=True)
    ]


WAITS = """
import argparse, signal, time
from flanlite.cli import main
from flanlite.mesh import processes

def wait(args):
    processes.join()
    print('joined', flush=True)
    time.sleep(100)

command = argparse.Namespace(run=wait)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs the tests behind it ignores it
main.parse, main.prepare = lambda argv: argparse.Namespace(command=command), lambda args: None
main.run()
"""


LOST = '''
import os
from flanlite.mesh import processes

host, port = os.environ['FLANLITE_COORDINATOR'].split(':')
processes.gather(host, int(port), 2, 1)
if {connected}:
    processes.connect(20, f'{{host}}:{{port}}', 2, 1, cluster_detection_method='deactivate')
os._exit(9)
'''


@pytest.mark.parametrize(
    ('connected', 'words'),
    [
        (False, 'did not come together: one of them ended meanwhile'),
        (True, 'process 1 ended, or has not answered for 6 s'),
    ],
)
def test_a_process_that_ends_as_all_come_together(connected, words):
    """Before JAX waits for its devices, too; what JAX itself does then is an abort, after 100 seconds."""
    soon = WAITS.replace('def wait(', 'processes.PATIENCE, processes.CONNECTS_WITHIN = 6, 6\n\ndef wait(')
    soon = soon.replace("print('joined', flush=True)", 'import jax; jax.devices()')
    codes = soon, LOST.format(connected=connected)
    running = run_codes(*codes)
    assert running[1].wait(60) == 9
    status, line = ends(running[0], 40)
    assert status == processes.ENDED and words in line


def test_a_process_that_is_gone_as_the_others_are_done():
    """JAX waits for all at the end, 100 seconds for one that does not come."""
    soon = WAITS.replace('def wait(', 'processes.PATIENCE = 6\n\ndef wait(').replace('time.sleep(100)', 'pass')
    codes = soon, soon.replace('    pass', '    time.sleep(1); import os; os._exit(9)')
    running = run_codes(*codes)
    assert running[1].wait(60) == 9
    status, line = ends(running[0], 40)
    assert status == processes.ENDED and 'ended, or has not answered for 6 s' in line


@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_processes_that_do_not_train(number, status):
    running = run_codes(WAITS, WAITS)
    assert [process.stdout.readline() for process in running] == ['joined\n', 'joined\n']
    running[1].send_signal(number)
    said = 'flanlite: interrupted; the same command goes on from what is kept'
    assert ends(running[1], 30) == (status, said)
    code, error = ends(running[0], 30)
    assert code == processes.ENDED and re.match('flanlite: error: process 1 .*failed: ', error), error


@pytest.mark.parametrize(
    ('variables', 'words'),
    [
        (('localhost:xx', '2', '0'), 'HOST:PORT, with a port from 1 to 65535'),
        (('localhost', '2', '0'), 'HOST:PORT'),
        (('localhost:99999', '2', '0'), 'HOST:PORT'),
        (('', '2', None), 'HOST:PORT'),
        (('localhost:1234', 'two', '0'), 'FLANLITE_NUM_PROCESSES=N, a number from 1'),
        (('localhost:1234', '2', '2'), 'one of 0..N-1'),
        (('localhost:1234', None, '0'), 'FLANLITE_NUM_PROCESSES=None'),
    ],
)
def test_half_said_processes_are_refused(variables, words, monkeypatch):
    for name, text in zip(processes.VARIABLES, variables, strict=True):
        monkeypatch.delenv(name, raising=False) if text is None else monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=re.escape(words)):
        processes.join()


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        return free.getsockname()[1]


def roll(port, count, index, told):
    try:
        processes.gather('localhost', port, count, index)
        told[index] = 'went on'
    except (OSError, ValueError) as error:
        told[index] = str(error)


def call(port, count, numbers):
    """Gather some processes of a run, as threads; return how each of them ended."""
    told = {}
    threads = [threading.Thread(target=roll, args=(port, count, index, told)) for index in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return told


def test_all_go_on_together(port):
    assert call(port, 4, [3, 1, 0, 2]) == dict.fromkeys(range(4), 'went on')


def test_who_is_missing_is_named(port, monkeypatch, capsys):
    monkeypatch.setattr(processes, 'SAYS_AFTER', 0.5)
    monkeypatch.setattr(processes, 'STARTS_WITHIN', 2)
    told = call(port, 4, [0, 2])
    expected = 'process 1, 3 of 4 did not come within 2 s; start all of them'
    assert told == {0: expected, 2: expected}
    assert capsys.readouterr().out.count('waiting for process 1, 3 of 4, for ') >= 2, 'in both'
    assert f'process 0 was not at localhost:{port} within 2 s' in call(port, 2, [1])[1]
    assert f'process 1 of 2 waits for process 0 at localhost:{port}' in capsys.readouterr().out
    with socket.create_server(('', port)):
        assert f'cannot listen at port {port}' in call(port, 2, [0])[0]


def test_a_process_that_differs_is_named_and_all_end(tmp_path):
    toy.train(tmp_path / 'cached', 1)
    for changes, words in (
        ({1: {'batch_size': 16}}, 'data.batch_size is 8 there and 16 here'),
        ({1: {'data.cache_dir': str(tmp_path / 'other')}}, 'toy_order is 300 examples, '),
    ):
        if 'data.cache_dir' in changes[1]:
            other_cache(tmp_path)
        lines = [ends(each, 60) for each in started(tmp_path, changes=changes)]
        assert all(status in (1, 2) for status, _ in lines), lines
        assert any(words in line for _, line in lines), lines
        assert all('process 0' in line or 'process 1' in line for _, line in lines), lines
    assert not (tmp_path / 'run').exists()


def other_cache(tmp_path):
    """Make a cache of other examples, whose names and settings are the same."""
    copied = tmp_path / 'other'
    toy.train(tmp_path / 'once', 1, **{'data.cache_dir': str(copied)})
    lengths = next(copied.glob('toy_order/*/lengths.npy'))
    content = bytearray(lengths.read_bytes())
    content[-2] += 1
    lengths.write_bytes(content)
    checksums.write(lengths.parent)


@pytest.mark.parametrize(('how', 'lost'), [(signal.SIGKILL, 0), (signal.SIGSTOP, 1)])
def test_a_lost_process_ends_the_others_in_one_line(lost, how, tmp_path):
    """Killed or standing still, the coordinator or another; another number of processes then goes on."""
    running = started(tmp_path, every_steps=20)
    try:
        wait_for(lambda: (tmp_path / 'run/checkpoints/20').is_dir(), running)
        running[lost].send_signal(how)
        status, line = ends(running[1 - lost], 75)
        assert status == processes.ENDED and f'process {lost}' in line, line
        assert 'the same commands go on from the last checkpoint' in line
    finally:
        for process in running:
            process.kill()
    step = parameters.load_run(tmp_path / 'run').step
    assert toy.train(tmp_path / 'run', step + 2).step == step + 2


@pytest.mark.parametrize('number', [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EAFNOSUPPORT])
def test_a_host_that_cannot_be_reached_yet_is_waited_for(number, port, monkeypatch, capsys):
    monkeypatch.setattr(processes, 'SAYS_AFTER', 0.3)
    monkeypatch.setattr(processes, 'STARTS_WITHIN', 1)

    def unreachable(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(processes.socket, 'create_connection', unreachable)
    words = f'process 0 was not at localhost:{port} within 1 s ({os.strerror(number)})'
    assert words in call(port, 2, [1])[1]
    assert f'waits for process 0 at localhost:{port}: {os.strerror(number)}' in capsys.readouterr().out


def test_what_does_not_pass_is_not_waited_for(port, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(processes.socket, 'create_connection', refused)
    assert 'Permission denied' in call(port, 2, [1])[1]


def test_without_ipv6_they_meet_all_the_same(port, monkeypatch):
    monkeypatch.setattr(processes.socket, 'has_dualstack_ipv6', lambda: False)
    assert call(port, 2, [0, 1]) == dict.fromkeys(range(2), 'went on')
