"""Inputs and targets in one row: every example whole, tightly, and as SeqIO lays it out."""

import os

import numpy as np
import pytest

from flanlite.data.batches import prefix_lm

CAPACITY = (40, 24)


def examples(count, seed=0):
    """Make random examples, none with a 0 in it."""
    rng = np.random.default_rng(seed)
    lengths = np.minimum(
        rng.integers(1, np.array(CAPACITY) + 1, (count, 2)) // rng.integers(1, 6, (count, 1)) + 1, CAPACITY
    )
    return [
        (rng.integers(1, 100, source), rng.integers(1, 100, target)) for source, target in lengths.tolist()
    ]


def packed(given):
    lengths = np.array([[len(inputs), len(targets)] for inputs, targets in given])
    return [[given[number] for number in row] for row in prefix_lm.best_fit(lengths, CAPACITY)]


def test_rows_are_full_and_hold_every_example_whole():
    given = examples(400)
    rows = packed(given)
    assert sorted(id(example) for row in rows for example in row) == sorted(map(id, given))
    totals = [sum(len(inputs) + len(targets) for inputs, targets in row) for row in rows]
    assert max(totals) <= 64 and np.mean(totals) > 0.98 * 64
    assert prefix_lm.best_fit(np.zeros((0, 2), np.int64), CAPACITY) == []


def test_a_packed_row_by_hand():
    """The id 0 is a token in the second example."""
    row = [(np.array([7, 8, 5, 1]), np.array([3, 9, 1])), (np.array([8, 0, 9, 3, 1]), np.array([4, 0]))]
    batch = prefix_lm.pack([row], (7, 8))
    expected = {
        'decoder_target_tokens': [7, 8, 5, 1, 3, 9, 1, 8, 0, 9, 3, 1, 4, 0, 0],
        'decoder_input_tokens': [0, 7, 8, 5, 1, 3, 9, 0, 8, 0, 9, 3, 1, 4, 0],
        'decoder_loss_weights': [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0],
        'decoder_positions': [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0],
        'decoder_segment_ids': [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 0],
        'decoder_causal_attention': [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0],
    }
    assert {name: array[0].tolist() for name, array in batch.items()} == expected
    assert {name: array.dtype.name for name, array in batch.items()} == {
        name: 'float32' if name == 'decoder_loss_weights' else 'int32' for name in expected
    }


def test_overlong_examples_are_cut():
    batch = prefix_lm.pad([(np.arange(1, 9), np.arange(11, 19))], (4, 3))
    assert batch['decoder_target_tokens'].tolist() == [[1, 2, 3, 4, 11, 12, 13]]
    assert batch['decoder_loss_weights'].tolist() == [[0, 0, 0, 0, 1, 1, 1]]
    assert batch['decoder_causal_attention'].tolist() == [[1, 1, 1, 1, 1, 0, 0]]


@pytest.fixture(scope='module')
def seqio():
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    return pytest.importorskip('seqio')


def converted(seqio, given, pack):
    """Run SeqIO's own converter."""
    import tensorflow as tf

    rows = (
        {'inputs': inputs.astype(np.int32), 'targets': targets.astype(np.int32)} for inputs, targets in given
    )
    spec = {name: tf.TensorSpec([None], tf.int32) for name in ('inputs', 'targets')}
    dataset = tf.data.Dataset.from_generator(lambda: rows, output_signature=spec)
    lengths = dict(zip(('inputs', 'targets'), CAPACITY, strict=True))
    return list(seqio.PrefixLMFeatureConverter(pack=pack)(dataset, lengths).as_numpy_iterator())


def test_unpacked_equals_seqio(seqio):
    given = examples(12)
    theirs = converted(seqio, given, pack=False)
    ours = prefix_lm.pad(given, CAPACITY)
    assert set(ours) - set(theirs[0]) == {'decoder_segment_ids'}
    for name in theirs[0]:
        np.testing.assert_array_equal(ours[name], [row[name] for row in theirs], err_msg=name)


def test_packed_rows_equal_seqio(seqio):
    rows = packed(examples(20))[:3]
    ours = prefix_lm.pack(rows, CAPACITY)
    for number, row in enumerate(rows):
        (theirs,) = converted(seqio, row, pack=True)
        assert set(ours) == set(theirs)
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name][number], array, err_msg=name)
