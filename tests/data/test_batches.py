"""Cached splits and training batches: coverage, order, exact resume, hosts' shares, damage."""

import collections
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from array_record.python import array_record_module

from flanlite.data.batches import batches, shuffling
from flanlite.data.cache import cached_split
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.tokens.example import Example

LENGTHS = {'inputs': 32, 'targets': 16}


def write_split(folder, examples, shard_size=1_000):
    """Write a cached split as the cache builder does."""
    folder.mkdir(parents=True)
    shards = []
    for start in range(0, len(examples), shard_size):
        shards.append(
            {'file': f'{start}.arrayrecord', 'num_examples': len(examples[start : start + shard_size])}
        )
        writer = array_record_module.ArrayRecordWriter(
            str(folder / shards[-1]['file']), 'group_size:1,uncompressed'
        )
        for example in examples[start : start + shard_size]:
            writer.write(cached_split.encode_example(example))
        writer.close()
    np.save(
        folder / cached_split.LENGTHS,
        np.array([[len(example.inputs), len(example.targets)] for example in examples], np.uint16),
    )
    (folder / cached_split.MANIFEST).write_text(
        json.dumps({'name': folder.name, 'num_examples': len(examples), 'shards': shards})
    )
    return CachedSplit(folder)


def toy_split(folder, count, first=0, seed=0, shard_size=1_000):
    """Make a task whose example i has the target (first + i, EOS), and some inputs."""
    rng = np.random.default_rng(seed)
    made = [
        Example(rng.integers(2, 9, rng.integers(3, 20)), np.array([first + i, 1]), i, i % 10)
        for i in range(count)
    ]
    return write_split(folder, made, shard_size)


@pytest.fixture(scope='module')
def splits(tmp_path_factory):
    root = tmp_path_factory.mktemp('splits')
    sizes = {'long': 50, 'middle': 23, 'short': 3}
    return [
        toy_split(root / name, size, 100 * number, number, 20)
        for number, (name, size) in enumerate(sizes.items(), 1)
    ]


def read(splits, rates=(5, 3, 2), *, steps=None, **options):
    options = {'feature_lengths': LENGTHS, 'batch_size': 4, 'seed': 0, 'window': 64, 'prefetch': 0, **options}
    iterator = batches.train_iterator(splits, rates, **options)
    return iterator if steps is None else list(itertools.islice(iterator, steps))


def assert_same(ones, others):
    for one, other in zip(ones, others, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def numbers(batch):
    """List the examples in a batch: the decoder's first tokens."""
    return batch['decoder_target_tokens'][
        (batch['decoder_input_tokens'] == 0) & (batch['decoder_target_tokens'] > 0)
    ].tolist()


def test_records_keep_everything(tmp_path):
    examples = [
        Example(
            np.array([5, 70_000, 1]),
            np.array([1]),
            3,
            7,
            ('yes', 'no'),
            (np.array([4, 1]), np.array([9, 9, 1])),
            ('yes', 'aye'),
        ),
        Example(np.array([5, 65_535, 1]), np.array([], np.int32), 4, 8),
    ]
    split = write_split(tmp_path / 'task', examples)
    assert (split.name, split.num_examples, len(split)) == ('task', 2, 2)
    for given, found in zip(examples, split.examples(), strict=True):
        np.testing.assert_array_equal(found.inputs, given.inputs)
        np.testing.assert_array_equal(found.targets, given.targets)
        assert found.inputs.dtype == np.int32
        assert (found.row, found.template, found.options, found.answers) == (
            given.row,
            given.template,
            given.options,
            given.answers,
        )
        assert [ids.tolist() for ids in found.option_tokens] == [ids.tolist() for ids in given.option_tokens]


def test_splits_read_any_example_of_any_shard(splits):
    split = splits[0]
    assert [split.read(index).row for index in (49, 0, 20, 19)] == [49, 0, 20, 19]
    assert [example.row for example in split.examples(limit=45)] == list(range(45))
    assert split.take(7).num_examples == 7
    assert split.take(None) is split
    assert split.take(99) is split
    with pytest.raises(IndexError, match='has 7 examples'):
        split.take(7).read(7)


@pytest.mark.parametrize('size', [1, 2, 3, 10, 64, 1_000])
def test_shuffled_orders_are_permutations_and_differ(size):
    orders = [
        shuffling.permute(np.arange(size), np.full(size, size), np.full(size, seed, np.uint64))
        for seed in range(20)
    ]
    for seed, order in enumerate(orders):
        assert sorted(order.tolist()) == list(range(size)), f'seed {seed}'
    assert len({tuple(order) for order in orders}) >= min(size, 10)


def test_each_epoch_reads_every_example_once_in_a_new_order(splits):
    epochs = [
        numbers(batch) for batch in read(splits[:1], [1], pack=False, window=50, batch_size=50, steps=3)
    ]
    for epoch in epochs:
        assert sorted(epoch) == list(range(100, 150))
    assert len(set(map(tuple, epochs))) == 3


def test_packed_epochs_read_every_example_once(splits):
    iterator = read(splits[:1], [1], window=50, batch_size=1)
    seen = []
    while iterator.get_state()['window'] == 0:
        seen += numbers(next(iterator))
    assert sorted(seen[:50]) == list(range(100, 150))
    assert max(collections.Counter(seen).values()) <= 2


def test_tasks_come_in_proportion(splits):
    seen = [number // 100 for batch in read(splits, pack=False, steps=250) for number in numbers(batch)]
    assert len(seen) == 1_000
    np.testing.assert_allclose([seen.count(task) for task in (1, 2, 3)], [500, 300, 200], atol=20)
    order = batches.Order(splits, [5, 3, 2], 0, 64)
    whole = np.sum([np.bincount(order.draw(window)[0], minlength=3) for window in range(50)], axis=0)
    np.testing.assert_allclose(whole, np.array([0.5, 0.3, 0.2]) * 50 * 64, atol=1)


def test_tasks_without_rate_or_examples_take_no_part(splits):
    seen = [
        number // 100
        for batch in read([*splits[:2], splits[2].take(0)], [1, 0, 1], steps=20)
        for number in numbers(batch)
    ]
    assert set(seen) == {1}


def test_windows_may_be_empty(splits):
    seen = [number for batch in read(splits, window=1, steps=30) for number in numbers(batch)]
    assert {number // 100 for number in seen} == {1, 2, 3}


@pytest.mark.parametrize('pack', [True, False])
def test_order_depends_on_the_seed_only(splits, pack):
    first = read(splits, pack=pack, steps=30)
    assert_same(first, read(splits, pack=pack, steps=30, prefetch=3))
    assert any((one['decoder_target_tokens'] != other['decoder_target_tokens']).any()
               for one, other in zip(first, read(splits, pack=pack, steps=30, seed=1), strict=True))  # fmt: skip


CONVERTERS = pytest.mark.parametrize('converter', list(batches.CONVERTERS))


@CONVERTERS
@pytest.mark.parametrize(('pack', 'prefetch'), [(True, 0), (True, 2), (False, 0)])
def test_resume_at_any_position_equals_going_on(splits, pack, prefetch, converter):
    iterator = read(splits, pack=pack, prefetch=prefetch, converter=converter)
    states, whole = [], []
    for _ in range(25):
        states.append(json.loads(json.dumps(iterator.get_state())))
        whole.append(next(iterator))
    resumed = read(splits, pack=pack, prefetch=prefetch, converter=converter)
    for position in (*range(22), 7, 0):
        resumed.set_state(states[position])
        assert resumed.get_state() == states[position]
        assert_same(list(itertools.islice(resumed, 3)), whole[position : position + 3])


STAGES = [(5, (0, 1, 0)), (9, (1, 1, 2))]  # the first batches, and the rates from there on


@pytest.mark.parametrize('prefetch', [0, 3])
@pytest.mark.parametrize('pack', [True, False])
def test_stages_change_the_rates_at_their_batches(splits, pack, prefetch):
    options = {'pack': pack, 'window': 16, 'stages': STAGES}
    iterator = read(splits, (1, 0, 0), prefetch=prefetch, **options)
    states, whole = [], []
    for _ in range(40):
        states.append(json.loads(json.dumps(iterator.get_state())))
        whole.append(next(iterator))
    seen = [[number // 100 for number in numbers(batch)] for batch in whole]
    assert set(itertools.chain(*seen[:5])) == {1} and set(itertools.chain(*seen[5:9])) == {2}
    later = list(itertools.chain(*seen[9:]))
    np.testing.assert_allclose(
        [later.count(task) / len(later) for task in (1, 2, 3)], [0.25, 0.25, 0.5], atol=0.1
    )
    # What a stage has not read of an epoch comes in no later stage before the next epoch.
    first = list(itertools.chain(*([n for n in numbers(batch) if n < 200] for batch in whole)))
    assert len(set(first[:30])) == 30
    # The position is a few numbers, from which all goes on: as it was, and read by two hosts.
    assert set(states[-1]) == {'window', 'row', 'order', 'batch', 'stages'} and len(states[-1]['stages']) == 2
    for position in (0, 4, 5, 6, 9, 20):
        resumed = read(splits, (1, 0, 0), prefetch=prefetch, **options)
        resumed.set_state(states[position])
        assert_same(list(itertools.islice(resumed, 6)), whole[position : position + 6])
    half = read(splits, (1, 0, 0), host_rows=[1, 3], steps=12, **options)
    assert_same(half, [{name: each[[1, 3]] for name, each in batch.items()} for batch in whole[:12]])
    with pytest.raises(ValueError, match='another order of data'):
        read(splits, (1, 0, 0), **options | {'stages': [(6, (0, 1, 0)), STAGES[1]]}).set_state(states[3])
    with pytest.raises(ValueError, match='nothing to train on'):
        read(splits, (1, 1, 1), stages=[(6, (0, 0, 0))])


@pytest.mark.parametrize('prefetch', [0, 3])
def test_shifted_rates_count_from_the_next_batch_on(splits, prefetch):
    iterator, states, whole = read(splits, pack=False, prefetch=prefetch), [], []
    for number in range(30):
        if number in (7, 13):
            iterator.shift({'long': 0.25, 'middle': 0.75} if number == 7 else {'short': 3, 'other': 1})
        states.append(json.loads(json.dumps(iterator.get_state())))
        whole.append(next(iterator))
    seen = [[number // 100 for number in numbers(batch)] for batch in whole]
    assert seen[13:] == [[3] * 4] * 17
    middle = list(itertools.chain(*seen[7:13]))
    assert set(middle) == {1, 2} and middle.count(2) > middle.count(1)
    for position in (6, 7, 8, 13, 20):
        resumed = read(splits, pack=False, prefetch=prefetch)
        resumed.set_state(states[position])
        expected = whole[position : min(position + 5, 13) if position < 13 else position + 5]
        expected = expected[: 7 - position] if position < 7 else expected
        assert_same(list(itertools.islice(resumed, len(expected))), expected)
    with pytest.raises(ValueError, match='expected one above 0'):
        iterator.shift({'other': 1})


def test_a_state_of_another_order_is_refused(splits):
    state = read(splits).get_state()
    for other in (
        read(splits, seed=1),
        read(splits, rates=(5, 3, 1)),
        read([splits[0].take(49), *splits[1:]]),
        read(splits, feature_lengths={'inputs': 32, 'targets': 8}),
        read(splits, converter='prefix_lm'),
    ):
        with pytest.raises(ValueError, match='belongs to another order of data'):
            other.set_state(state)


@pytest.mark.parametrize('hosts', [2, 4])
@pytest.mark.parametrize('pack', [True, False])
@CONVERTERS
def test_hosts_share_each_batch_and_read_only_their_own(splits, hosts, pack, converter, monkeypatch):
    whole = read(splits, pack=pack, converter=converter, steps=20)
    shares, loads = [], []
    original = CachedSplit.read_records
    for host in range(hosts):
        loads.append([])
        monkeypatch.setattr(
            CachedSplit,
            'read_records',
            lambda split, indices, load=loads[-1]: load.extend(indices) or original(split, indices),
        )
        shares.append(read(splits, pack=pack, converter=converter, steps=20, host_rows=range(host, 4, hosts)))
    joined = [
        {name: np.stack([share[name] for share in step], 1).reshape(4, -1) for name in step[0]}
        for step in zip(*shares, strict=True)
    ]
    assert_same(joined, whole)
    per_window = sum(map(len, loads))
    assert max(map(len, loads)) < 1.3 * per_window / hosts


def test_a_run_may_go_on_with_another_number_of_hosts(splits):
    whole = read(splits, steps=12)
    one = read(splits, host_rows=[2, 3])
    list(itertools.islice(one, 9))
    iterator = read(splits)
    iterator.set_state(one.get_state())
    assert_same(list(itertools.islice(iterator, 3)), whole[9:])


def test_overlong_examples_are_cut_at_the_end(splits):
    batch = read(splits, feature_lengths={'inputs': 6, 'targets': 1}, steps=1)[0]
    assert batch['encoder_input_tokens'].shape == (4, 6)
    assert batch['decoder_target_tokens'].shape == (4, 1)
    assert 1 not in batch['decoder_target_tokens']


def test_one_row_holds_the_inputs_and_targets_of_every_example(splits):
    seen = []
    for batch in read(splits[:1], [1], converter='prefix_lm', window=50, batch_size=1, steps=40):
        first_targets = batch['decoder_loss_weights'] * batch['decoder_causal_attention'] > 0
        seen += batch['decoder_target_tokens'][first_targets].tolist()
        assert batch['decoder_target_tokens'].shape == (1, 48)
    assert sorted(seen[:50]) == list(range(100, 150))


@pytest.mark.parametrize('pack', [True, False])
@pytest.mark.parametrize('converter', batches.CONVERTERS)
def test_each_target_is_told_its_tasks_group(splits, converter, pack):
    """The targets of each task's examples are of one hundred; the order stays that without groups."""
    options, seen = {'converter': converter, 'pack': pack, 'steps': 8}, set()
    for plain, batch in zip(
        read(splits, **options),
        read(splits, groups={'long': 0, 'middle': 2, 'short': 1}, **options),
        strict=True,
    ):
        groups = batch.pop('decoder_group_ids')
        assert_same([plain], [batch])
        counted = (batch['decoder_target_tokens'] >= 100) & (batch['decoder_loss_weights'] > 0)
        hundreds = batch['decoder_target_tokens'][counted] // 100
        seen |= set(hundreds.tolist())
        np.testing.assert_array_equal(groups[counted], np.array([None, 0, 2, 1])[hundreds].astype(int))
        ends = (batch['decoder_target_tokens'] == 1) & (batch['decoder_loss_weights'] > 0)
        rows, places = np.nonzero(ends)
        np.testing.assert_array_equal(groups[rows, places], groups[rows, places - 1])
    assert seen == {1, 2, 3}


def test_rows_are_full(tmp_path):
    rng = np.random.default_rng(0)
    parts = []
    for task in range(20):
        sizes = (
            rng.lognormal(np.log(rng.lognormal(np.log([130, 8]), 0.7)), 0.4, (300, 2))
            .clip(2, [1024, 256])
            .astype(int)
        )
        parts.append(
            write_split(
                tmp_path / str(task),
                [Example(np.full(source, 5), np.full(target, 6)) for source, target in sizes],
            )
        )
    lengths = {'inputs': 1024, 'targets': 256}
    rows = read(parts, [1] * 20, feature_lengths=lengths, window=2_048, batch_size=32, steps=20)
    filled = np.mean([(batch['encoder_segment_ids'] > 0).mean() for batch in rows])
    now, better = batches.hint_shape(parts, [1] * 20, lengths)
    assert filled >= 0.98
    assert now.encoder_fill == pytest.approx(filled, abs=0.01)
    assert better.targets < 256
    assert better.encoder_fill > 0.97


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'batch_size': 0}, 'of a batch of 0'),
        ({'batch_size': 2, 'host_rows': [1, 2]}, 'expected some of 0 to 1'),
        ({'feature_lengths': {'inputs': 8}}, "expected 'inputs' and 'targets'"),
        ({'feature_lengths': {'inputs': 8, 'targets': 0}}, "expected 'inputs' and 'targets'"),
        ({'rates': (1, 2)}, 'got 3 splits and 2 rates'),
        ({'rates': (1, -2, 1)}, 'none below 0'),
        ({'rates': (0, 0, 0)}, 'nothing to train on'),
        ({'window': 0}, 'got window=0'),
    ],
)
def test_settings_that_cannot_be(splits, options, message):
    with pytest.raises(ValueError, match=message):
        read(splits, **options)


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def blank(file):
    data = bytearray(file.read_bytes())
    data[100:] = bytes(len(data) - 100)
    file.write_bytes(data)


def swap(file):
    writer = array_record_module.ArrayRecordWriter(str(file), 'group_size:1,uncompressed')
    writer.write(b'x')
    writer.close()


@pytest.mark.parametrize(
    'damage', [cut, blank, swap, lambda file: file.write_bytes(b''), lambda file: file.unlink()]
)
@pytest.mark.parametrize('prefetch', [0, 2])
def test_a_damaged_shard_is_named(tmp_path, damage, prefetch):
    split = toy_split(tmp_path / 'task', 900, shard_size=500)
    damage(tmp_path / 'task' / '500.arrayrecord')
    with pytest.raises(
        ValueError, match=r'shard .*task/500\.arrayrecord is damaged: .*build the cache again'
    ):
        read([split], [1], steps=300, prefetch=prefetch)
    assert split.read(5).row == 5


@pytest.mark.parametrize('file', [cached_split.MANIFEST, cached_split.LENGTHS])
def test_an_incomplete_split_is_refused(tmp_path, file):
    toy_split(tmp_path / 'task', 5)
    (tmp_path / 'task' / file).unlink()
    with pytest.raises(ValueError, match='no complete cached split'):
        CachedSplit(tmp_path / 'task')


def test_lengths_that_disagree_are_refused(tmp_path):
    toy_split(tmp_path / 'task', 5)
    np.save(tmp_path / 'task' / cached_split.LENGTHS, np.zeros((4, 2), np.uint16))
    with pytest.raises(ValueError, match='the manifest says 5 examples'):
        CachedSplit(tmp_path / 'task')


def test_reading_needs_neither_tensorflow_nor_seqio(splits):
    code = f"""
import sys
sys.modules.update(tensorflow=None, seqio=None, tensorflow_datasets=None, t5=None)
from flanlite.data.batches import batches
from flanlite.data.cache import cached_split
assert 'jax' not in sys.modules and 'grain' not in sys.modules
split = cached_split.CachedSplit({str(splits[0].path)!r})
iterator = batches.train_iterator([split], [1.0], feature_lengths={LENGTHS}, batch_size=2, seed=0)
state = iterator.get_state()
first = next(iterator)['decoder_target_tokens']
iterator.set_state(state)
assert (next(iterator)['decoder_target_tokens'] == first).all()
print('read')
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == 'read\n', done.stderr
    assert 'ignored' not in done.stderr, done.stderr
