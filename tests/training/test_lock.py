"""One run at a time in a folder: what is alive is named, what is dead is no hindrance."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from flanlite.training import lock

HOLD = """
import sys, time
from flanlite.training import lock
with lock.held(sys.argv[1]):
    print('held', flush=True)
    time.sleep(300)
"""


def test_a_live_holder_is_named_and_a_killed_one_is_no_hindrance(tmp_path):
    folder = tmp_path / 'new' / 'run'
    holder = subprocess.Popen([sys.executable, '-c', HOLD, folder], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == 'held\n'
    words = f'process {holder.pid} on {socket.gethostname()} trains in {folder}; .*--model_dir'
    with pytest.raises(ValueError, match=words), lock.held(folder):
        pass
    assert (folder / lock.FILE).is_file(), 'who is refused leaves it'
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with lock.held(folder):
        assert json.loads((folder / lock.FILE).read_text())['process'] == os.getpid()
    assert list(folder.iterdir()) == []


def test_nothing_is_left(tmp_path):
    with lock.held(tmp_path / 'a' / 'b'):
        assert (tmp_path / 'a' / 'b').is_dir()
    assert not (tmp_path / 'a').exists()
    with lock.held(tmp_path / 'a'):
        (tmp_path / 'a' / 'kept').touch()
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['kept']


@pytest.mark.parametrize('locks', [True, False])
def test_a_holder_on_another_host_is_alive_if_it_counts(locks, monkeypatch, tmp_path, capsys):
    """As on a file system that does not share locks between hosts, or has none."""
    monkeypatch.setattr(lock, 'BEAT', 0.05)
    monkeypatch.setattr(lock, 'PATIENCE', 0.5)
    host = 'elsewhere' if locks else socket.gethostname()
    if not locks:

        def none(*_):
            raise OSError(lock.NO_LOCKS[0], 'No locks available')

        monkeypatch.setattr(lock.fcntl, 'flock', none)
    path = tmp_path / lock.FILE

    def count_up(number):
        path.write_text(json.dumps({'host': host, 'process': 7, 'count': number}))

    count_up(1)
    timer = threading.Timer(0.15, count_up, [2])
    timer.start()
    with pytest.raises(ValueError, match=f'process 7 on {host} trains in'), lock.held(tmp_path):
        pass
    timer.join()
    began = time.monotonic()
    with lock.held(tmp_path):
        assert time.monotonic() - began > 0.4
        first = path.read_text()
        time.sleep(0.3)
        assert path.read_text() != first, 'it counts up'
    assert f'is of process 7 on {host}; waiting up to' in capsys.readouterr().out


def test_who_was_taken_for_dead_ends_and_leaves_the_folder(tmp_path):
    """A holder whose sign came too late finds another in its file."""
    code = HOLD.replace('with', 'lock.BEAT = 0.1\nwith')
    streams = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    holder = subprocess.Popen([sys.executable, '-c', code, tmp_path], **streams)
    assert holder.stdout.readline() == 'held\n'
    theirs = {'host': 'elsewhere', 'process': 7, 'token': 'other', 'count': 1}
    with (tmp_path / lock.FILE).open('r+') as file:
        file.write(json.dumps(theirs).ljust(200))
    _, errors = holder.communicate(timeout=30)
    assert holder.returncode == lock.BAD_INPUT
    assert errors.startswith(f'flanlite: error: process 7 on elsewhere trains in {tmp_path}; ')
    assert json.loads((tmp_path / lock.FILE).read_text()) == theirs


def test_each_count_is_synced(monkeypatch, tmp_path):
    synced = []
    monkeypatch.setattr(lock, 'BEAT', 0.05)
    monkeypatch.setattr(lock.os, 'fsync', synced.append)
    with lock.held(tmp_path):
        time.sleep(0.5)
    assert len(synced) > 2


@pytest.mark.parametrize('content', ['[]', '{}', 'x', '{"host": 3'])
def test_a_file_that_names_nobody_is_no_hindrance(content, tmp_path):
    (tmp_path / lock.FILE).write_text(content)
    with lock.held(tmp_path):
        pass
