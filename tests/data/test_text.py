import numpy as np
import pytest
import tensorflow as tf

from flanlite.data.specs import text

CASES = {
    'concat': (lambda a, b: text.concat(a, ' and ', b), 'é', 'b'),
    'join': (lambda a: text.join(a, '; '), ['a', '', 'c']),
    'join_list': (lambda a, b: text.join([a, b], '\n'), 'a', 'b'),
    'join_nested': (lambda a: text.join(text.join(a, ','), ';'), [['a', 'b'], ['c', 'd']]),
    'collect': (lambda a, b: text.join(text.collect(a, b, 'd')), ['a', '', 'b'], 'c'),
    'collect_first': (lambda a: text.collect(a, 'none')[0], ['', '']),
    'numbered': (text.numbered, ['a', 'é']),
    'numbered_none': (lambda a: text.numbered(text.collect(a)), ''),
    'split': (lambda a: text.split(a, '_')[1], 'a_ b_c'),
    'replace': (lambda a: text.replace(a, '.*(\\', r'\1'), 'a.*(\\b.*(\\'),
    'substitute': (lambda a: text.substitute(a, r'(\d+)\s', r'<\1>'), 'a 12 b 3 c'),
    'lower': (text.lower, 'ÀB c'),
    'strip': (text.strip, ' \n a b\t '),
    'contains': (lambda a: text.contains(a, 'b.'), 'a\nb.c'),
    'contains_not': (lambda a: text.contains(a, 'b.'), 'a\nbxc'),
    'matches': (lambda a: text.matches(a, '[^_]+_[^_]+'), 'ab_c'),
    'matches_not': (lambda a: text.matches(a, '[^_]+'), 'ab_c'),
    'length_text': (text.length, 'naïve'),
    'length_list': (text.length, ['a', 'b']),
    'string': (text.string, -12),
    'string_text': (text.string, 'a'),
    'decimal': (lambda a: text.decimal(a, 2), 3.14159),
    'rounded': (text.rounded, 2.5),
    'rounded_up': (text.rounded, 3.7),
    'index': (lambda a: text.index(['x', 'y', 'z'], a), 'y'),
    'index_of_tensor': (lambda a: text.index(a, 1), [0, 1, 1]),
    'paired': (lambda a, b: text.join(text.paired(a, b, ': '), '; '), ['a', 'b'], ['c', '']),
    'choose': (lambda a: text.choose(a, ['no', 'yes']), True),
    'choose_list': (lambda a: text.choose(a, [['x', 'y'], ['y', 'x']])[0], 1),
    'choose_row': (lambda a, b: text.choose(b, a), ['a', 'b', 'c'], 2),
    'every': (lambda a, b: text.every(a > 1, b > 1), 2, 1),
    'some': (lambda a, b: text.some(a > 1, b > 1), 2, 1),
    'negate': (lambda a: text.negate(a > 1), 2),
    'among': (lambda a: text.among(a, ['x', 'y']), 'y'),
    'among_not': (lambda a: text.among(a, [1, 2]), 3),
    'part': (lambda a, b: text.part(a, 1, b), 'naïve', 3),
    'part_rest': (lambda a, b: text.part(a, b), 'naïve', 3),
    'part_each': (lambda a: text.join(text.part(a, 0, 3)), ['naïve', '', 'a']),
    'unescape': (text.unescape, 'a &lt;b&gt; &amp; c'),
    'plain_quotes': (text.plain_quotes, "``a''"),
}  # fmt: skip


def to_python(value):
    value = value.numpy() if tf.is_tensor(value) else value
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize('case', CASES)
def test_same_on_python_and_tensors(case):
    function, *values = CASES[case]
    expected = function(*values)
    graph = tf.function(function, autograph=False)
    assert to_python(graph(*(tf.constant(value) for value in values))) == to_python(expected)


def test_pluck_takes_a_field_of_each_record():
    records = [{'a': 'x', 'b': 1}, {'a': None, 'b': 2}]
    assert text.pluck(records, 'a') == ['x', ''] and text.pluck([], 'a') == []
    tensors = {'a': tf.constant(['x', '']), 'b': tf.constant([1, 2])}
    assert text.pluck(tensors, 'a').numpy().tolist() == [b'x', b'']
