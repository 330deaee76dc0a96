import numpy as np
import pytest
import tensorflow as tf

from flanlite.data import text

CASES = {
    'concat': (lambda a, b: text.concat(a, ' and ', b), 'é', 'b'),
    'join': (lambda a: text.join(a, '; '), ['a', '', 'c']),
    'join_list': (lambda a, b: text.join([a, b], '\n'), 'a', 'b'),
    'join_nested': (lambda a: text.join(text.join(a, ','), ';'), [['a', 'b'], ['c', 'd']]),
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
    'choose': (lambda a: text.choose(a, ['no', 'yes']), True),
    'choose_row': (lambda a, b: text.choose(b, a), ['a', 'b', 'c'], 2),
    'every': (lambda a, b: text.every(a > 1, b > 1), 2, 1),
    'some': (lambda a, b: text.some(a > 1, b > 1), 2, 1),
    'negate': (lambda a: text.negate(a > 1), 2),
    'among': (lambda a: text.among(a, ['x', 'y']), 'y'),
    'among_not': (lambda a: text.among(a, [1, 2]), 3),
    'part': (lambda a, b: text.part(a, 1, b), 'naïve', 3),
    'part_rest': (lambda a, b: text.part(a, b), 'naïve', 3),
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
