"""What a run writes beside its steps: a view that is lost is told and left, and all else ends the run in one
line that names the path; nothing is waited for without end.
"""

import os
import queue
import resource
import shutil
import subprocess
import sys
import threading
import time

import pytest
import toy

from flanlite import config, writing
from flanlite.training import journal, watch


def full(record):
    raise OSError(28, 'No space left on device')


def test_a_view_that_fails_or_stands_still_is_given_up_and_told_once(monkeypatch):
    monkeypatch.setattr(watch, 'ENDS', 0.2)
    monkeypatch.setattr(watch, 'BEHIND', 3)
    told, written, closed = [], [], []
    good = watch.View('a view', written.append, lambda: closed.append(len(written)), told.append)
    for step in range(3):
        good.write({'step': step})
    good.close()
    assert (len(written), closed, told) == (3, [3], [])
    for write in (full, lambda record: threading.Event().wait()):
        told.clear()
        view = watch.View('events in /a/path', write, lambda: None, told.append)
        for step in range(9):
            view.write({'step': step})
        view.close()
        (line,) = told
        assert 'events in /a/path is given up: ' in line and 'metrics.jsonl has all records' in line


def test_what_takes_too_long_is_named():
    with pytest.raises(TimeoutError, match=r'reading a batch from /cache took longer than 0 s: a thread,'):
        with watch.within(0.1, 'reading a batch from /cache'):
            queue.Queue().get()
    with watch.within(0.1, 'this'):
        pass
    time.sleep(0.2)


def test_a_run_goes_on_without_tensorboard(monkeypatch, tmp_path, capsys):
    def fails(self, record):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(journal.Board, 'write', fails)
    toy.train(tmp_path, 4)
    output = capsys.readouterr().out
    assert f"TensorBoard's {tmp_path}/events.out" in output and 'No space left on device' in output
    assert [record['step'] for record in journal.read_metrics(tmp_path)] == [2, 4]


def test_records_that_cannot_be_kept_end_the_run(tmp_path):
    kept = journal.Journal(tmp_path, 'toy', 0, 10)
    kept.write({'step': 1, 'loss': 1.0, 'accuracy': 0.5, 'learning_rate': 1.0})
    with open('/dev/full', 'a') as disk:
        kept._file, before = disk, kept._file
        kept._path, path = '/dev/full', kept._path
        kept._check_there = lambda: None
        with pytest.raises(OSError, match='cannot write /dev/full: No space left on device; free some space'):
            kept.write({'step': 2, 'loss': 1.0, 'accuracy': 0.5, 'learning_rate': 1.0})
        del kept._check_there
        kept._file, kept._path = before, path
        disk.close = lambda: None
    shutil.rmtree(tmp_path)
    with pytest.raises(OSError, match=r'metrics.jsonl was removed or replaced during the run, which ends'):
        kept.write()
    kept.close()


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / 'kept').write_text('before')
    with pytest.raises(OSError, match=f'cannot write {tmp_path}/kept: No space'):
        with writing.whole_file(tmp_path / 'kept') as file:
            file.write('half')
            full(None)
    with pytest.raises(OSError, match=r'cannot write .*/nowhere/x: No such file or directory; '):
        writing.write_whole(tmp_path / 'nowhere' / 'x', '')
    assert [path.name for path in tmp_path.iterdir()] == ['kept']
    assert (tmp_path / 'kept').read_text() == 'before'


def start(folder, steps, variables=None, **changes):
    """Start the command `flanlite train` of a toy run."""
    model_dir = changes.pop('model_dir', folder / 'run')
    config.save(toy.settings(model_dir, steps, **changes), folder / 'settings.json')
    command = [sys.executable, '-m', 'flanlite', 'train', f'--settings={folder}/settings.json', '--import=toy']
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(toy.__file__),
        env=os.environ | {'JAX_PLATFORMS': 'cpu', 'BLOCK_TENSORFLOW': '1', **(variables or {})},
    )


def test_commands_end_with_one_line(tmp_path):
    """Where the disk takes no more, and where the run's folder is removed: real processes."""
    toy.train(tmp_path / 'cached', 1)
    for name in ('full', 'removed'):
        (tmp_path / name).mkdir()
    filling = start(tmp_path / 'full', 100_000, every_steps=1_000, log_every_steps=500)
    removed = start(tmp_path / 'removed', 100_000, every_steps=50_000)
    try:
        for process, name in ((filling, 'full'), (removed, 'removed')):
            while not journal.read_metrics(tmp_path / name / 'run'):
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
        resource.prlimit(filling.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
        shutil.rmtree(tmp_path / 'removed')
        for process, words in (
            (filling, f'cannot write a checkpoint to {tmp_path}/full/run/checkpoints: '),
            (removed, f'{tmp_path}/removed/run/metrics.jsonl was removed'),
        ):
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 2, errors
            (line,) = errors.splitlines()
            assert line.startswith(f'flanlite: error: {words}'), line
    finally:
        filling.kill()
        removed.kill()
    assert not [path for path in (tmp_path / 'full').rglob('*') if 'tmp' in path.name or 'partial' in path.name]
    assert not (tmp_path / 'removed').exists()
