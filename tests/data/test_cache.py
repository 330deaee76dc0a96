import dataclasses
import errno
import gzip
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
from toy_specs import BYTES, TEMPLATES, choices, colours, make_rows, prose, separate

from flanlite import workers
from flanlite.data.cache import build, cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.rendering import rendering
from flanlite.data.specs import registry, sources, specs, text
from flanlite.data.specs.collection import Collection


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)


def register(*data_sets):
    registry.COLLECTIONS.clear()
    registry.register(Collection('toy', data_sets, vocabulary='bytes'))


@pytest.fixture
def built(monkeypatch):
    """List the tasks that were built, as they are."""
    names, original = [], build.build
    monkeypatch.setattr(
        build, 'build', lambda request, *rest: names.append(request.name) or original(request, *rest)
    )
    return names


@pytest.fixture
def ensure(tmp_path):
    def run(*names, split='train', vocabulary=BYTES, cache_dir=tmp_path / 'cache', **settings):
        names = names or [spec.name for spec in registry.COLLECTIONS['toy'].specs]
        view, options = separate(settings)
        return cache.ensure(names, View(split, vocabulary, **view), BuildOptions(cache_dir, **options))

    return run


def same(cached, expected):
    found, expected = list(cached.examples()), list(expected)
    assert len(found) == len(expected) == cached.num_examples
    for one, other in zip(found, expected, strict=True):
        assert (
            dataclasses.astuple(one)[2:5] == dataclasses.astuple(other)[2:5] and one.answers == other.answers
        )
        pairs = [(one.inputs, other.inputs), (one.targets, other.targets)]
        for first, second in pairs + list(zip(one.option_tokens, other.option_tokens, strict=True)):
            np.testing.assert_array_equal(first, second)
    return True


def test_cached_examples_are_the_rendered_ones(ensure, built):
    register(colours(), choices(), prose())
    for split, renderings in (('train', 1), ('test', 'all'), ('train', 2)):
        for name, cached in ensure(split=split, renderings=renderings, fail_fast=True).splits.items():
            same(cached, rendering.examples(registry.find_spec(name), split, BYTES, renderings=renderings))
    assert len(built) == 9
    assert set(ensure().splits) == {'toy_colours', 'toy_choices', 'toy_prose'} and len(built) == 9


def test_manifest(ensure):
    register(colours())
    report = ensure(max_examples=12)
    manifest = report.splits['toy_colours'].manifest
    expected = {'name': 'toy_colours', 'num_examples': 12, 'split': 'train', 'style': 'instructions', 'renderings': 1, 'rows': 12,
                'source_rows': 23, 'filtered': {'keep': 2}, 'truncated': True, 'max_examples': 12, 'examples_per_row': 1}  # fmt: skip
    assert {key: manifest[key] for key in expected} == expected
    assert manifest['version'] == colours().source.version() and manifest['source'] == 'InMemory in memory'
    lengths = [
        (len(example.inputs), len(example.targets)) for example in report.splits['toy_colours'].examples()
    ]
    for place, feature in enumerate(('inputs', 'targets')):
        counts = manifest['lengths'][feature]
        assert {int(length): count for length, count in counts.items()} == {
            length: sum(pair[place] == length for pair in lengths)
            for length in {pair[place] for pair in lengths}
        }
    long = report.too_long({'inputs': 80, 'targets': 5})['toy_colours']
    assert long == {
        'inputs': sum(pair[0] > 80 for pair in lengths),
        'targets': sum(pair[1] > 5 for pair in lengths),
    }
    assert json.loads(json.dumps(report.to_json()))['tasks']['toy_colours']['num_examples'] == 12


def edit(**changes):
    return lambda: colours(**changes)


EDITS = {
    'templates': edit(templates=TEMPLATES[:4]),
    'keep': edit(keep=lambda row: text.every(row['number'] > 0)),
    'options': edit(options=('a', 'b', 'c')),
    'source': edit(source=sources.InMemory(lambda split: make_rows(split)[1:])),
    'splits': edit(splits=specs.Splits('train[:5]')),
}


@pytest.mark.parametrize('what', EDITS)
def test_only_the_task_that_changed_is_rebuilt(what, ensure, built):
    register(colours(), choices())
    ensure()
    register(EDITS[what](), choices())
    built.clear()
    same(ensure().splits['toy_colours'], rendering.examples(EDITS[what](), 'train', BYTES))
    assert built == ['toy_colours']


def test_another_vocabulary_and_changed_files_are_noticed(ensure, built, tmp_path):
    folder = tmp_path / 'data' / 'toy'
    folder.mkdir(parents=True)
    (folder / 'train.jsonl').write_text('\n'.join(map(json.dumps, make_rows('train'))))
    register(colours(source=sources.Tfds('toy:1.0.0')), choices())
    options = {'data_dir': tmp_path / 'data'}
    assert ensure(**options).splits['toy_colours'].manifest['version'].startswith('jsonl toy')
    ensure(**options, vocabulary=dataclasses.replace(BYTES, extra_ids=0))
    assert len(built) == 4
    (folder / 'train.jsonl').write_text('\n'.join(map(json.dumps, make_rows('train')[1:])))
    ensure(**options)
    assert built[4:] == ['toy_colours']


def test_smaller_caps_read_a_prefix_and_larger_ones_rebuild(ensure, built):
    register(colours())
    whole = [
        example.row
        for example in ensure('toy_colours', split='test', renderings='all').splits['toy_colours'].examples()
    ]
    for cap in (3, 7, 500):
        cut = ensure(split='test', renderings='all', max_examples=cap).splits['toy_colours']
        assert [example.row for example in cut.examples()] == whole[: 4 * cap]
    assert len(built) == 1
    for cap, number in ((5, 2), (3, 2), (9, 3), (7, 3), (None, 4), (11, 4)):
        cached = ensure(max_examples={'toy_colours': cap}).splits['toy_colours']
        assert cached.num_examples == (cap or 20) and len(built) == number
    assert [example.row for example in cached.examples()] == sorted(
        example.row for example in cached.examples()
    )


def test_evaluation_caps_draw_a_sample(ensure):
    register(colours(keep=None, source=sources.InMemory(lambda split: make_rows('train') * 20)))
    rows = [example.row for example in ensure(split='test', max_examples=60).splits['toy_colours'].examples()]
    answers = [
        example.answers for example in ensure(split='test', max_examples=60).splits['toy_colours'].examples()
    ]
    assert max(rows) > 400 and len(set(answers)) == 3
    assert rows == [
        example.row
        for example in ensure(split='test', max_examples=60, rebuild=True).splits['toy_colours'].examples()
    ]


def failing(**changes):
    def rows(split):
        raise ConnectionError('no network today')

    return colours('toy_failing', source=sources.InMemory(rows), **changes)


def test_a_failing_task_is_skipped_and_named(ensure, capsys):
    register(
        failing(),
        colours(),
        colours('toy_empty', keep=lambda row: False),
        choices('toy_field', templates=TEMPLATES),
    )
    cache.say_skipped.cache_clear()
    report = ensure()
    assert set(report.splits) == {'toy_colours'}
    assert report.skipped['toy_failing'] == 'ConnectionError: no network today'
    assert (
        "no examples: 23 rows were read of 'train', and dropped {'keep': 23}" in report.skipped['toy_empty']
    )
    assert 'names the field' in report.skipped['toy_field']
    assert report.to_json()['skipped'] == report.skipped
    assert 'skipped toy_failing: ConnectionError: no network today' in capsys.readouterr().err
    assert ensure().skipped == report.skipped and 'skipped toy' not in capsys.readouterr().err  # said once
    with pytest.raises(ValueError, match="task 'toy_failing' cannot be cached: ConnectionError"):
        ensure(fail_fast=True)


def write_jsonl(folder, lines, packed=False):
    """Write a training split; packed, as a download that broke off in the middle."""
    folder.mkdir(parents=True)
    text = '\n'.join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    if packed:
        whole = gzip.compress(text.encode())
        (folder / 'train.jsonl.gz').write_bytes(whole[: len(whole) // 2])
    else:
        (folder / 'train.jsonl').write_text(text)


FAULTY = {
    'empty': ([], "no examples: 0 rows were read of 'train', and dropped none"),
    'no_json': (['<html>rate limited</html>'], 'no_json/train.jsonl, line 1 is no JSON'),
    'no_object': (
        [[1, 2]],
        'no_object/train.jsonl, line 1: expected a JSON object with a field a name, got list',
    ),
    'no_field': ([{'thing': 'a'}], "'no_field', train row 0: KeyError: 'skip'; the row has thing (str)"),
    'other_type': (
        [row | {'thing': 4.5} for row in make_rows('train')],
        'float found; the row has id (int), thing (float)',
    ),
    'other_label': (
        [row | {'colour': 7} for row in make_rows('train')],
        "data set 'other_label': the answer 7 is none of the options",
    ),
    'text_label': (
        [row | {'colour': '1'} for row in make_rows('train')],
        "the answer '1' is none of the options ('red', 'green', 'blue')",
    ),
    'no_label': ([row | {'colour': None} for row in make_rows('train')], 'number (int), colour (NoneType)'),
    'half': (make_rows('train') * 50, 'half/train.jsonl.gz is damaged (Compressed file ended before'),
    'no_file': (make_rows('train'), "no_file has no split 'train', only test"),
}


@pytest.mark.parametrize('count', [1, 3])
def test_faulty_data_is_named_and_the_rest_is_built(count, ensure, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, 'QUICK_SECONDS', 0)
    data = tmp_path / 'data'
    for name, (lines, _) in FAULTY.items():
        write_jsonl(data / name, lines, packed=name == 'half')
    (data / 'no_file' / 'train.jsonl').rename(data / 'no_file' / 'test.jsonl')
    write_jsonl(data / 'good', make_rows('train'))
    register(*(colours(name, source=sources.JsonLines(name)) for name in (*FAULTY, 'nowhere', 'good')))
    report = ensure(data_dir=data, processes=count)
    assert set(report.splits) == {'good'} and report.splits['good'].num_examples == 20
    missing = f'no folder {str(data / "nowhere")!r}; expected one with <split>.jsonl[.gz], and --data_dir'
    assert missing in report.skipped.pop('nowhere')
    for name, (_, expected) in FAULTY.items():
        assert expected in report.skipped[name], report.skipped
    assert not leftovers(tmp_path)


def test_names_are_checked_first(ensure, built):
    register(colours(), choices())
    with pytest.raises(ValueError, match="'toy_colors'; did you mean toy_colours"):
        ensure('toy_choices', 'toy_colors')
    assert built == []


def files(cached):
    return sorted(cached.path.glob('*.arrayrecord'))


def flip(path, count=4):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + count] = (byte ^ 1 for byte in content[middle : middle + count])
    path.write_bytes(content)


DAMAGE = {
    'cut shard': lambda path: os.truncate(path / '00000.arrayrecord', 100),
    'changed shard': lambda path: flip(path / '00000.arrayrecord'),
    'changed lengths': lambda path: flip(path / 'lengths.npy', 1),
    'changed checksums': lambda path: flip(path / 'checksums.json'),
    'no checksums': lambda path: (path / 'checksums.json').unlink(),
    'no shard': lambda path: (path / '00000.arrayrecord').unlink(),
    'half a manifest': lambda path: os.truncate(path / 'manifest.json', 300),
    'no manifest': lambda path: (path / 'manifest.json').unlink(),
    'other counts': lambda path: (path / 'manifest.json').write_text(
        (path / 'manifest.json').read_text().replace('20', '21')
    ),
    'cut lengths': lambda path: os.truncate(path / 'lengths.npy', 150),
}


@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_named_with_the_remedy(damage, ensure):
    register(colours(), choices())
    path = ensure().splits['toy_colours'].path
    DAMAGE[damage](path)
    with pytest.raises(ValueError, match=r'damaged.*--rebuild') as caught:
        ensure()
    assert str(path) in str(caught.value)
    assert ensure('toy_colours', rebuild=True).splits['toy_colours'].num_examples == 20
    assert len(ensure().splits) == 2


def leftovers(folder):
    return [path for path in pathlib.Path(folder).rglob('*') if '.tmp-' in path.name]


def test_a_full_disk_leaves_nothing_and_one_clear_error(ensure, monkeypatch, tmp_path):
    register(colours(), choices())

    class FullWriter:
        def __init__(self, *args):
            self.writer = writer(*args)

        def write(self, record):
            self.writer.write(record)

        def close(self):
            self.writer.close()
            raise RuntimeError('write() failed: No space left on device; writing 00000.arrayrecord')

    writer = build.array_record_module.ArrayRecordWriter
    monkeypatch.setattr(build.array_record_module, 'ArrayRecordWriter', FullWriter)
    with pytest.raises(
        OSError, match=f'{tmp_path}/cache: No space left on device; free some space.*--cache_dir'
    ):
        ensure()
    assert not leftovers(tmp_path) and not list(tmp_path.rglob('manifest.json'))


def test_a_cache_folder_that_cannot_be(ensure, tmp_path):
    register(colours())
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='cannot write the token cache'):
        ensure(cache_dir=tmp_path / 'file')
    with pytest.raises(OSError, match='cannot write the token cache in /proc/there: No such file'):
        ensure(cache_dir='/proc/there')


def test_versions_that_nothing_opens_are_removed_in_time(ensure):
    register(colours())
    old = ensure().splits['toy_colours'].path
    register(colours(options=('a', 'b', 'c')))
    kept = ensure().splits['toy_colours'].path
    assert old.is_dir()
    os.utime(old, (0, 0))
    register(colours(options=('d', 'e', 'f')))
    ensure()
    assert kept.is_dir() and not old.exists()


def test_large_splits_have_several_shards(ensure, monkeypatch):
    monkeypatch.setattr(build, 'SHARD_EXAMPLES', 6)
    register(colours())
    cached = ensure().splits['toy_colours']
    assert [shard['num_examples'] for shard in cached.manifest['shards']] == [6, 6, 6, 2]
    same(cached, rendering.examples(colours(), 'train', BYTES))


SLOW = """
    import os, sys, time
    sys.path.insert(0, {tests!r})
    from toy_specs import BYTES, colours, make_rows
    from flanlite.data.cache import cache
    from flanlite.data.cache.view import BuildOptions, View
    from flanlite.data.specs import registry, sources
    from flanlite.data.specs.collection import Collection

    def rows(split):
        print('reading', flush=True)
        for row in make_rows(split):
            time.sleep(float(os.environ['PAUSE']))
            yield row

    registry.register(Collection('toy', (colours(source=sources.InMemory(rows)),)))
    report = cache.ensure(['toy_colours'], View('train', BYTES), BuildOptions({folder!r}))
    print(report.splits['toy_colours'].num_examples)
"""


def slow_build(folder, pause):
    code = textwrap.dedent(SLOW).format(tests=str(pathlib.Path(__file__).parent), folder=str(folder))
    (folder.parent / 'slow.py').write_text(code)
    environment = os.environ | {'PAUSE': str(pause)}
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    return subprocess.Popen([sys.executable, folder.parent / 'slow.py'], env=environment, text=True, **pipes)


def test_a_killed_build_leaves_nothing_half_valid(tmp_path):
    folder = tmp_path / 'cache'
    process = slow_build(folder, 5)
    assert process.stdout.readline() == 'reading\n'
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert leftovers(folder) and not [path for path in folder.glob('toy_colours/train*')]
    again = slow_build(folder, 0)
    assert again.communicate()[0].split() == ['reading', '20']
    assert not leftovers(folder) and len(list(folder.glob('toy_colours/train*'))) == 1


def test_two_processes_build_once(tmp_path):
    folder = tmp_path / 'cache'
    both = [slow_build(folder, 0.02), slow_build(folder, 0.02)]
    told = [process.communicate() for process in both]
    outputs = [output.split() for output, _ in told]
    assert (
        sum(f'waiting for another process that builds {folder}/toy_colours' in error for _, error in told)
        == 1
    )
    assert sorted(map(len, outputs)) == [1, 2], 'one reads the rows, the other waits and opens what was built'
    assert [output[-1] for output in outputs] == ['20', '20']


@pytest.mark.parametrize('fault', [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_will_do(fault, ensure, tmp_path, monkeypatch):
    def flock(*args):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr('fcntl.flock', flock)
    register(colours())
    assert ensure().splits['toy_colours'].num_examples == 20
    (lock,) = tmp_path.rglob('.*.lock')
    assert lock.read_text() == '', 'no lock that the process would leave when it is killed'
    assert ensure(rebuild=True, fail_fast=True).splits['toy_colours'].num_examples == 20


BLOCKED = """
    import sys

    class Block:
        def find_spec(self, name, path=None, target=None):
            if name.partition('.')[0] in ('tensorflow', 'tensorflow_datasets', 'seqio', 'jax'):
                raise ImportError(f'{{name}} is blocked')

    sys.meta_path.insert(0, Block())
    sys.path.insert(0, {tests!r})
    from toy_specs import BYTES, choices, colours, prose
    from flanlite.data.cache import cache
    from flanlite.data.cache.view import BuildOptions, View
    from flanlite.data.specs import registry
    from flanlite.data.specs.collection import Collection

    registry.register(Collection('toy', (colours(), choices(), prose())))
    names = ['toy_colours', 'toy_choices', 'toy_prose']
    for view in (View('train', BYTES), View('test', BYTES, renderings='all')):
        report = cache.ensure(names, view, BuildOptions({folder!r}, fail_fast=True))
        print(sum(cached.read(0).row >= 0 for cached in report.splits.values()))
"""


def test_tensorflow_is_not_needed(tmp_path):
    code = textwrap.dedent(BLOCKED).format(tests=str(pathlib.Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.split() == ['3', '3'], done.stderr


def test_a_folder_that_was_put_aside_is_not_looked_at(ensure, built):
    register(colours())
    folder = ensure().splits['toy_colours'].path
    folder.rename(folder.with_name(f'{folder.name}.bak'))
    folder.with_name(f'{folder.name}-max5.old').mkdir()
    report = ensure()
    assert not report.skipped and report.splits['toy_colours'].path == folder and len(built) == 2
