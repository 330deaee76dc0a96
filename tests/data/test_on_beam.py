import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from test_processes import build, contents
from toy_specs import BYTES, choices, colours, make_rows, prose

from flanlite.data.cache import cache, on_beam
from flanlite.data.cache.request import Request
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.specs import registry, sources

FLAGS = ['--runner=DirectRunner']
DASK = '--runner=apache_beam.runners.dask.dask_runner.DaskRunner'


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)


def test_beam_writes_the_same_bytes_and_skips_what_fails(tmp_path, capsys):
    pytest.importorskip('apache_beam', reason='needs the extra beam')

    def rows(split):
        raise ConnectionError('no network today')

    data_sets = [colours(), choices(), colours('toy_broken', source=sources.InMemory(rows)), prose()]
    native = build(tmp_path / 'native', *data_sets)
    report = build(tmp_path / 'beam', *data_sets, beam_flags=FLAGS)
    assert set(report.splits) == {'toy_colours', 'toy_choices', 'toy_prose'}
    assert report.skipped == native.skipped == {'toy_broken': 'ConnectionError: no network today'}
    assert 'skipped toy_broken: ConnectionError' in capsys.readouterr().err
    assert contents(tmp_path / 'native') == contents(tmp_path / 'beam')
    with pytest.raises(ValueError, match="task 'toy_broken' cannot be cached"):
        build(tmp_path / 'beam', *data_sets, beam_flags=FLAGS, fail_fast=True)


def test_a_dask_cluster_writes_the_same_bytes_and_survives_the_death_of_a_worker(tmp_path):
    """One worker of two is killed while it builds; another one builds that split again."""
    pytest.importorskip('apache_beam', reason='needs the extra beam')
    distributed = pytest.importorskip('distributed', reason='needs the extra dask')
    died = tmp_path / 'died'

    def deadly(split):
        if not died.exists():
            died.touch()
            yield from make_rows(split)[:5]
            os.kill(os.getpid(), signal.SIGKILL)
        yield from make_rows(split)

    def rows(split):
        raise ConnectionError('no network today')

    good = [colours(), choices(), prose(), colours('toy_deadly', source=sources.InMemory(deadly))]
    data_sets = [*good, colours('toy_broken', source=sources.InMemory(rows))]
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster:
        flags = [DASK, f'--dask_client_address={cluster.scheduler_address}']
        report = build(tmp_path / 'dask', *data_sets, beam_flags=flags)
        distributed.default_client().close()
    assert died.exists() and report.skipped == {'toy_broken': 'ConnectionError: no network today'}
    assert set(report.splits) == {spec.name for spec in good}
    assert not list((tmp_path / 'dask').rglob('*.tmp-*'))
    build(tmp_path / 'native', *data_sets)
    assert contents(tmp_path / 'native') == contents(tmp_path / 'dask')


def test_without_beam_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'apache_beam', None)
    with pytest.raises(
        ValueError, match=r'got --runner=DirectRunner, but Beam cannot be imported .*flanlite\[beam\]'
    ):
        build(tmp_path, colours(), beam_flags=FLAGS)
    assert cache.cache_folder(tmp_path) == tmp_path and not list(tmp_path.iterdir())


def test_code_that_is_installed_nowhere_travels():
    """The rows come from the module `toy_specs`, which the other process does not find."""
    request = Request('toy_colours', colours(), View('train', BYTES), pathlib.Path('/nowhere'))
    show = 'print(len(list(request.spec.source.rows("train"))), request.folder)'
    code = f'import sys, cloudpickle; request, _ = cloudpickle.load(sys.stdin.buffer); {show}'
    done = subprocess.run(
        [sys.executable, '-c', code], input=on_beam.pack([request], BuildOptions())[0], capture_output=True
    )
    assert done.stdout.decode().split() == ['23', str(request.folder)], done.stderr
    assert dataclasses.replace(request).folder == request.folder
