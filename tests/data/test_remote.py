import json
import shutil
import sys

import fsspec
import pytest
from test_processes import build, contents
from toy_specs import choices, colours

from flanlite.data.cache import build as building
from flanlite.data.cache import cache
from flanlite.data.specs import registry


@pytest.fixture(autouse=True)
def no_collections(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'user'))


@pytest.fixture(params=['memory://bucket/cache', 'memory://bucket/lr[1e-3] %20?*/cache', 'file'])
def url(request, tmp_path):
    yield f'file://{tmp_path}/bucket' if request.param == 'file' else request.param
    fsspec.filesystem('memory').store.clear()


def test_a_remote_cache_is_sent_and_copied(url, tmp_path, monkeypatch):
    sent = build(url, colours(), choices())
    assert not sent.skipped
    local = cache.cache_folder(url)
    built = contents(local)
    files = fsspec.filesystem(url.partition(':')[0]).find(fsspec.core.url_to_fs(url)[1])
    assert len(files) == len(built) == 8
    shutil.rmtree(local)  # another machine
    monkeypatch.setattr(building, 'write', None)
    copied = build(url, colours(), choices())
    assert not copied.skipped and contents(local) == built
    assert copied.splits['toy_colours'].read(3).row == sent.splits['toy_colours'].read(3).row


def test_what_is_not_whole_there_is_built_again(url, tmp_path):
    build(url, colours(), max_examples=8)
    local = cache.cache_folder(url)
    shutil.rmtree(local)
    system, path = fsspec.core.url_to_fs(url)
    manifest = next(file for file in system.find(path) if file.endswith('manifest.json'))
    assert '-max8' in manifest
    assert build(url, colours(), max_examples=5).splits['toy_colours'].path.name.endswith('-max8')
    shutil.rmtree(local)
    system.rm_file(manifest)
    assert build(url, colours(), max_examples=5).splits['toy_colours'].path.name.endswith('-max5')
    system.invalidate_cache()
    assert json.loads(system.cat_file(manifest.replace('-max8', '-max5')))['num_examples'] == 5


def test_a_file_system_that_cannot_be_used_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'gcsfs', None)
    with pytest.raises(
        OSError, match=r'cannot use the token cache gs://bucket/cache/toy_colours: .*needs the package gcsfs'
    ):
        build('gs://bucket/cache', colours())
