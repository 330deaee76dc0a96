import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types

import pytest
from toy_specs import BYTES, choices, colours, make_rows, prose, separate

from flanlite import workers
from flanlite.data.cache import cache, processes
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.tokens import vocabularies
from flanlite.progress import BuildProgress


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)


def build(folder, *data_sets, vocabulary=BYTES, **settings):
    registry.COLLECTIONS.clear()
    registry.register(Collection('toy', data_sets, vocabulary='bytes'))
    view, options = separate(settings)
    return cache.ensure(
        [spec.name for spec in data_sets], View('train', vocabulary, **view), BuildOptions(folder, **options)
    )


def only_helpers(monkeypatch, count=2):
    """Leave all the building to other processes, as if this one were busy."""

    def build_all(requests, options, progress, skip):
        with processes.Helpers(requests, options, progress, skip) as helpers:
            helpers.start(count)
            helpers.wait()

    monkeypatch.setattr(workers, 'QUICK_SECONDS', 0)
    monkeypatch.setattr(processes, 'build_all', build_all)


def leftovers(folder):
    return [path for path in pathlib.Path(folder).rglob('*') if '.tmp-' in path.name]


def contents(folder):
    files = (
        path for path in sorted(pathlib.Path(folder).rglob('*')) if path.is_file() and path.suffix != '.lock'
    )
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_other_processes_write_the_same_bytes(tmp_path, monkeypatch):
    """A task's functions are its module's, a lambda or a closure; what they print harms nothing."""
    log = str(tmp_path / 'pid')

    def rows(split):
        print('reading')
        pathlib.Path(log).write_text(str(os.getpid()))
        return make_rows(split)

    data_sets = [colours(source=sources.InMemory(rows)), choices(), prose(), colours('toy_more')]
    alone = build(tmp_path / 'alone', *data_sets, processes=1)
    assert not alone.skipped and int(pathlib.Path(log).read_text()) == os.getpid()
    only_helpers(monkeypatch)
    beside = build(tmp_path / 'beside', *data_sets)
    assert (
        not beside.skipped
        and list(beside.splits) == list(alone.splits)
        and int(pathlib.Path(log).read_text()) != os.getpid()
    )
    assert (
        contents(tmp_path / 'alone') == contents(tmp_path / 'beside')
        and len(contents(tmp_path / 'alone')) == 16
    )


def test_long_work_is_shared(tmp_path, monkeypatch):
    """The first task, which this process takes, ends only when another process has begun the second."""
    monkeypatch.setattr(workers, 'QUICK_SECONDS', 0.1)
    seen = tmp_path / 'seen'

    def first(split):
        limit = time.monotonic() + 120
        while not seen.exists() and time.monotonic() < limit:
            time.sleep(0.05)
        return make_rows(split)

    def second(split):
        seen.write_text(str(os.getpid()))
        return make_rows(split)

    data_sets = [
        colours('toy_first', source=sources.InMemory(first)),
        colours('toy_second', source=sources.InMemory(second)),
    ]
    report = build(tmp_path / 'cache', *data_sets, processes=2)
    assert len(report.splits) == 2 and int(seen.read_text()) != os.getpid()


def test_little_work_starts_no_process(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, 'Worker', None)
    assert len(build(tmp_path, colours(), choices(), prose(), processes=8).splits) == 3


def test_a_worker_that_is_killed_costs_its_task_only(tmp_path, monkeypatch, capsys):
    def rows(split):
        yield from make_rows(split)
        os.kill(os.getpid(), signal.SIGKILL)

    only_helpers(monkeypatch, 1)
    cache.say_skipped.cache_clear()
    report = build(tmp_path, colours('toy_killed', source=sources.InMemory(rows)), colours(), choices())
    assert set(report.splits) == {'toy_colours', 'toy_choices'}
    assert 'came to its end (SIGKILL); if memory ran out, fewer --processes' in report.skipped['toy_killed']
    assert 'skipped toy_killed' in capsys.readouterr().err
    assert not leftovers(tmp_path)


def test_reasons_and_faults_come_from_workers(tmp_path, monkeypatch):
    def rows(split):
        raise ConnectionError('no network today')

    broken = colours('toy_broken', source=sources.InMemory(rows))
    only_helpers(monkeypatch, 1)
    report = build(tmp_path / 'cache', broken, colours())
    assert report.skipped == {'toy_broken': 'ConnectionError: no network today'} and set(report.splits) == {
        'toy_colours'
    }
    with pytest.raises(ValueError, match="task 'toy_broken' cannot be cached: ConnectionError"):
        build(tmp_path / 'cache', broken, fail_fast=True)
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='cannot write the token cache'):
        build(tmp_path / 'file', colours())


def test_what_cannot_travel_is_built_here(tmp_path, monkeypatch):
    """One data set holds a lock, another's rows come from a module that only this process has."""
    lock = BuildProgress('', 0).lock

    def rows(split):
        with lock:
            return make_rows(split)

    module = types.ModuleType('only_here')
    exec(
        'def rows(split):\n    return [{"thing": "x", "number": 1, "colour": 0, "skip": False}] * 3',
        module.__dict__,
    )
    monkeypatch.setitem(sys.modules, 'only_here', module)
    only_helpers(monkeypatch, 1)
    data_sets = [
        colours(source=sources.InMemory(rows)),
        colours('toy_here', source=sources.InMemory(module.rows)),
    ]
    counts = {name: len(split) for name, split in build(tmp_path, *data_sets).splits.items()}
    assert counts == {'toy_colours': 20, 'toy_here': 3}


@pytest.mark.parametrize('beside', [False, True])
def test_folders_are_values_not_variables(beside, tmp_path, monkeypatch):
    """Data, T5's vocabulary and the cache are found where the options say, in other processes too, with no
    variable set.
    """
    for name in ('FLANLITE_DATA_DIR', 'FLANLITE_CACHE_DIR', 'FLANLITE_T5_VOCAB'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'user'))
    for folder in ('ours', 'corpus', 'wrapped', 'vocab'):
        (tmp_path / 'data' / folder).mkdir(parents=True)
    for folder in ('ours', 'corpus', 'wrapped'):
        (tmp_path / 'data' / folder / 'train.jsonl').write_text(
            '\n'.join(map(json.dumps, make_rows('train')))
        )
    shutil.copy(vocabularies.find_model('pocket'), tmp_path / 'data' / 'vocab' / vocabularies.T5_FILE)
    data_sets = [
        colours('toy_ours', source=sources.JsonLines('ours')),
        colours('toy_corpus', source=sources.Tfds('corpus:1.0.0')),
        colours('toy_wrapped', source=Doubled(sources.HuggingFace('wrapped'))),
    ]
    if beside:
        only_helpers(monkeypatch)
    report = build(
        tmp_path / 'cache', *data_sets, vocabulary='t5', data_dir=tmp_path / 'data', fail_fast=True
    )
    assert {name: len(split) for name, split in report.splits.items()} == {
        'toy_ours': 20,
        'toy_corpus': 20,
        'toy_wrapped': 40,
    }
    assert (
        all(split.path.is_relative_to(tmp_path / 'cache') for split in report.splits.values())
        and not (tmp_path / 'user').exists()
    )
    assert report.splits['toy_ours'].manifest['vocabulary']['name'] == 't5'
    with pytest.raises(
        ValueError, match=r"'ours' lies in the data folder, and none is named; name it with --data_dir"
    ):
        build(tmp_path / 'cache', data_sets[0], fail_fast=True)


@dataclasses.dataclass(frozen=True)
class Doubled:
    """A source around another."""

    source: object

    def rows(self, split):
        for row in self.source.rows(split):
            yield row
            yield row

    def version(self):
        return self.source.version()


ENDLESS = """
    import os, pathlib, signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs would ignore
    sys.path.insert(0, {tests!r})
    from toy_specs import BYTES, colours, make_rows
    from flanlite import workers
    from flanlite.data.cache import cache
    from flanlite.data.cache.view import BuildOptions, View
    from flanlite.data.specs import registry, sources
    from flanlite.data.specs.collection import Collection

    def rows(split):
        (pathlib.Path({folder!r}) / f'pid_{{os.getpid()}}').touch()
        for row in make_rows(split):
            time.sleep(60)
            yield row

    workers.QUICK_SECONDS = 0
    names = ['toy_one', 'toy_two']
    registry.register(Collection('toy', tuple(colours(name, source=sources.InMemory(rows)) for name in names)))
    cache.ensure(names, View('train', BYTES), BuildOptions({folder!r} + '/cache', processes=2))
"""


def test_an_interrupt_ends_all_and_leaves_nothing(tmp_path):
    """The script has no main guard, which `multiprocessing` would ask for."""
    code = textwrap.dedent(ENDLESS).format(tests=str(pathlib.Path(__file__).parent), folder=str(tmp_path))
    (tmp_path / 'endless.py').write_text(code)
    process = subprocess.Popen([sys.executable, tmp_path / 'endless.py'], stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    while (
        len(pids := [int(path.name[4:]) for path in tmp_path.glob('pid_*')]) < 2 and time.monotonic() < limit
    ):
        time.sleep(0.1)
    assert len(pids) == 2 and len(leftovers(tmp_path)) == 2
    process.send_signal(signal.SIGINT)
    assert 'KeyboardInterrupt' in process.communicate(timeout=120)[1]
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not leftovers(tmp_path) and not list(tmp_path.rglob('manifest.json'))
