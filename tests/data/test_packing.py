"""Packing: every example whole in one row, tightly, and as SeqIO lays it out."""

import functools
import os

import numpy as np
import pytest

from flanlite.data.batches import packing


def examples(count, capacity=(40, 24), seed=0):
    """Make random examples, none with a 0 in it: SeqIO takes it for padding."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, np.array(capacity) + 1, (count, 2)) // rng.integers(1, 6, (count, 1)) + 1
    lengths = np.minimum(lengths, capacity)
    return [
        (rng.integers(1, 100, source), rng.integers(1, 100, target)) for source, target in lengths.tolist()
    ]


def lengths_of(examples):
    return np.array([[len(inputs), len(targets)] for inputs, targets in examples])


HEURISTICS = {
    'best_fit': packing.best_fit,
    'row_by_row': packing.row_by_row,
    'inputs': functools.partial(packing.example_by_example, scarce=0),
    'targets': functools.partial(packing.example_by_example, scarce=1),
}


@pytest.mark.parametrize('heuristic', HEURISTICS)
@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('capacity', [(40, 24), (24, 40), (1024, 256)])
def test_every_example_stands_whole_in_one_row(heuristic, seed, capacity):
    lengths = lengths_of(examples(200, capacity, seed))
    rows = HEURISTICS[heuristic](lengths, capacity)
    assert sorted(number for row in rows for number in row) == list(range(200))
    assert all((lengths[row].sum(axis=0) <= capacity).all() for row in rows)


@pytest.mark.parametrize('heuristic', HEURISTICS)
def test_packing_edge_cases(heuristic):
    pack = HEURISTICS[heuristic]
    assert pack(np.zeros((0, 2), np.int64), (8, 4)) == []
    assert pack(np.array([[8, 4]]), (8, 4)) == [[0]]
    assert sorted(map(sorted, pack(np.array([[8, 1], [0, 3], [4, 2], [4, 2]]), (8, 4)))) == [[0, 1], [2, 3]]


def instruction_lengths(count, mean_inputs, mean_targets, seed=0):
    rng = np.random.default_rng(seed)
    means = rng.lognormal(np.log([mean_inputs, mean_targets]), [0.7, 0.9], (60, 2))[
        rng.integers(0, 60, count)
    ]
    return np.clip(rng.lognormal(np.log(means), [0.4, 0.3]), 2, [1024, 256]).astype(int)


@pytest.mark.parametrize(('capacity', 'scarce'), [((1024, 256), 0), ((2048, 32), 1)])
def test_rows_are_full(capacity, scarce):
    lengths = np.minimum(instruction_lengths(2_048, 130, 8), capacity)
    rows = packing.best_fit(lengths, capacity)
    assert lengths[:, scarce].sum() / (capacity[scarce] * len(rows)) > 0.98


def test_two_scarce_lengths_fill_better_than_next_fit():
    lengths = instruction_lengths(1_000, 150, 35)
    rows = packing.best_fit(lengths, (1024, 256))
    assert len(rows) < len(packing.example_by_example(lengths, (1024, 256), scarce=1))
    next_fit, room = 1, np.array([1024, 256])
    for length in lengths:
        if (length > room).any():
            next_fit, room = next_fit + 1, np.array([1024, 256])
        room = room - length
    bound = np.ceil((lengths.sum(axis=0) / (1024, 256)).max())
    assert bound <= len(rows) < 1.15 * bound < 0.9 * next_fit


def test_packed_rows_by_hand():
    """The id 0 is a token in the second example."""
    row = [(np.array([7, 8, 5, 1]), np.array([3, 9, 1])), (np.array([8, 0, 9, 3, 0]), np.array([0, 1]))]
    batch = packing.pack([row], (10, 7))
    expected = {
        'encoder_input_tokens': [7, 8, 5, 1, 8, 0, 9, 3, 0, 0],
        'encoder_segment_ids': [1, 1, 1, 1, 2, 2, 2, 2, 2, 0],
        'encoder_positions': [0, 1, 2, 3, 0, 1, 2, 3, 4, 0],
        'decoder_target_tokens': [3, 9, 1, 0, 1, 0, 0],
        'decoder_input_tokens': [0, 3, 9, 0, 0, 0, 0],
        'decoder_loss_weights': [1, 1, 1, 1, 1, 0, 0],
        'decoder_segment_ids': [1, 1, 1, 2, 2, 0, 0],
        'decoder_positions': [0, 1, 2, 0, 1, 0, 0],
    }
    assert {name: array[0].tolist() for name, array in batch.items()} == expected
    assert {name: array.dtype.name for name, array in batch.items()} == {
        name: 'float32' if name == 'decoder_loss_weights' else 'int32' for name in expected
    }


def test_a_token_0_is_told_from_padding_in_rows_of_one_example():
    batch = packing.pad([(np.array([5, 0]), np.array([0, 6, 0]))], (4, 4))
    assert batch['encoder_segment_ids'].tolist() == [[1, 1, 0, 0]]
    assert batch['decoder_segment_ids'].tolist() == [[1, 1, 1, 0]]
    assert batch['decoder_loss_weights'].tolist() == [[1, 1, 1, 0]]


def test_segments_hold_the_examples():
    given = examples(100)
    rows = packing.best_fit(lengths_of(given), (40, 24))
    batch = packing.pack([[given[number] for number in row] for row in rows], (40, 24))
    for row, numbers in enumerate(rows):
        for segment, number in enumerate(numbers, 1):
            for side, tokens, name in (
                ('encoder', given[number][0], 'input'),
                ('decoder', given[number][1], 'target'),
            ):
                here = batch[f'{side}_segment_ids'][row] == segment
                np.testing.assert_array_equal(batch[f'{side}_{name}_tokens'][row][here], tokens)
                np.testing.assert_array_equal(batch[f'{side}_positions'][row][here], np.arange(len(tokens)))
            np.testing.assert_array_equal(batch['decoder_input_tokens'][row][here], np.append(0, tokens[:-1]))
        assert batch['encoder_segment_ids'][row].max() == len(numbers)


def test_overlong_examples_are_cut():
    batch = packing.pad([(np.arange(1, 9), np.arange(1, 9))], (4, 3))
    assert batch['encoder_input_tokens'].tolist() == [[1, 2, 3, 4]]
    assert batch['decoder_input_tokens'].tolist() == [[0, 1, 2]]
    assert batch['decoder_loss_weights'].sum() == 3


def test_hint_names_a_decoder_that_fits():
    lengths = instruction_lengths(1_000, 130, 8)
    now, better = packing.hint(lengths, (1024, 256))
    assert better.targets < 256
    assert better.decoder_fill > now.decoder_fill
    assert better.encoder_fill > now.encoder_fill - 0.02
    assert better.cut <= 0.011


def test_hint_names_a_longer_decoder_where_targets_are_what_fills_rows():
    long = np.stack([np.full(500, 100), np.full(500, 60)], axis=1)
    now, better = packing.hint(long, (1024, 256))
    assert now.encoder_fill < 0.5
    assert better.targets == 600
    assert better.encoder_fill > 0.95


@pytest.fixture(scope='module')
def seqio():
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    return pytest.importorskip('seqio')


def converted(seqio, given, capacity, pack):
    """Run SeqIO's own converter."""
    import tensorflow as tf

    rows = (
        {'inputs': inputs.astype(np.int32), 'targets': targets.astype(np.int32)} for inputs, targets in given
    )
    spec = {name: tf.TensorSpec([None], tf.int32) for name in ('inputs', 'targets')}
    dataset = tf.data.Dataset.from_generator(lambda: rows, output_signature=spec)
    lengths = dict(zip(('inputs', 'targets'), capacity, strict=True))
    return list(seqio.EncDecFeatureConverter(pack=pack)(dataset, lengths).as_numpy_iterator())


def test_unpacked_equals_seqio(seqio):
    given = examples(12)
    theirs = converted(seqio, given, (40, 24), pack=False)
    ours = packing.pad(given, (40, 24))
    assert set(ours) - set(theirs[0]) == {'encoder_segment_ids', 'decoder_segment_ids'}
    for name in theirs[0]:
        np.testing.assert_array_equal(ours[name], [row[name] for row in theirs], err_msg=name)


def test_packed_rows_equal_seqio(seqio):
    given = examples(20)
    rows = [[given[number] for number in row] for row in packing.best_fit(lengths_of(given), (40, 24))][:3]
    ours = packing.pack(rows, (40, 24))
    for number, row in enumerate(rows):
        (theirs,) = converted(seqio, row, (40, 24), pack=True)
        assert set(ours) == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name][number], array, err_msg=name)
