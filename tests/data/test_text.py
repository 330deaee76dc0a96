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
    'part_from_end': (lambda a: text.part(a, -9, -1), 'naïve'),
    'part_beyond': (lambda a: text.part(a, 7, 9), 'naïve'),
    'part_each_from_end': (lambda a: text.join(text.part(a, 0, -1)), ['naïve', '', 'a']),
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


HOSTILE = (
    '', ' ', '\n', 'a\n', 'яблоко и 3 \u0663', 'a\u00a0b', 'a\x0bb\x0cc\x1cd', 'naïve café_1', 'ΑΣ İ ẞ K', 'a\u2028b\r\n',
    '[x] \\ $1 ^', 'baac', '😀 👩‍💻', 'e\u0301', '\u3000全角１２', '\0a',
)  # fmt: skip
PATTERNS = (
    r'\s', r'\S', r'\s+', r'\s*', r'[\s]', r'[^\s]', r'[\S]', r'[^\S]', r'[^\s|]', r'\w', r'\W+', r'[\w.]+', r'[^\w]', r'\d', r'[^\d]', r'\D',
    r'\b', r'$', r'a$', r'(?m)$', r'^', r'a*', r'(?s).*\S.*', r'(?s).*\w.*', r'[]$]', r'[^]]', r'\$', r'\\', r'[\\w]', r'[$]', r'\\s',
    r'(?i)я', r'(?i)[к-я]+', r'(?i)k', r'(?i)\w', r'\[\w', r'.', r'(?s).', r'[a\]]', r'(a)|(я)',
)  # fmt: skip


@pytest.mark.parametrize('pattern', PATTERNS)
def test_a_pattern_means_on_rows_what_it_means_in_tensorflow(pattern):
    tensors = tf.constant(HOSTILE)
    found = [text.matches(value, pattern) for value in HOSTILE]
    assert found == text.matches(tensors, pattern).numpy().tolist()
    replaced = [text.substitute(value, pattern, r'<\0\\>') for value in HOSTILE]
    assert replaced == [each.decode() for each in text.substitute(tensors, pattern, r'<\0\\>').numpy()]


def test_no_word_boundary_is_tensorflows():
    found = [text.matches(value, r'(?s).*\Bо.*') for value in HOSTILE]
    assert found == text.matches(tf.constant(HOSTILE), r'(?s).*\Bо.*').numpy().tolist() and any(found)


@pytest.mark.parametrize(
    'function',
    [
        text.lower, text.strip, text.unescape, text.plain_quotes, text.length, lambda a: text.part(a, 1, -1), lambda a: text.part(a, -3),
        lambda a: text.contains(a, 'a\n'), lambda a: text.contains(a, 'я'), lambda a: text.replace(a, '\\', r'\0'),
        lambda a: text.join(text.split(a, ' '), '|'), lambda a: text.join(text.split(a, '\u00a0'), '|'),
    ],
)  # fmt: skip
def test_hostile_texts_are_the_same_on_rows_and_in_tensorflow(function):
    for value in HOSTILE:
        assert to_python(function(tf.constant(value))) == function(value), repr(value)


def test_what_rows_and_tensorflow_do_not_share_is_refused():
    for value in ('ab', tf.constant('ab')):
        for new in (r'\2', r'\n', r'\g<1>', 'a\\'):
            with pytest.raises(ValueError, match='expected groups of'):
                text.substitute(value, '(a)', new)
        with pytest.raises(ValueError, match='the separator is empty'):
            text.split(value, '')
