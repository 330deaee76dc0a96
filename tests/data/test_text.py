import inspect
import random

import hostile
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
    if isinstance(value, list):
        return [to_python(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize('case', CASES)
def test_same_on_python_and_tensors(case):
    function, *values = CASES[case]
    expected = function(*values)
    graph = tf.function(function, autograph=False)
    assert to_python(graph(*(tf.constant(value) for value in values))) == to_python(expected)


def test_pluck_takes_a_field_of_each_record():
    records = [{'a': 'x', 'b': 1}, {'a': None, 'b': 0}]
    assert text.pluck(records, 'a') == ['x', ''] and text.pluck([], 'a') == []
    assert text.pluck(records, 'b') == [1, 0] and text.pluck({'b': [1, 0]}, 'b') == [1, 0]
    tensors = {'a': tf.constant(['x', '']), 'b': tf.constant([1, 2])}
    assert text.pluck(tensors, 'a').numpy().tolist() == [b'x', b'']


PATTERNS = (
    r'\s', r'\S', r'\s+', r'\s*', r'[\s]', r'[^\s]', r'[\S]', r'[^\S]', r'[^\s|]', r'\w', r'\W+', r'[\w.]+', r'[^\w]', r'\d', r'[^\d]', r'\D',
    r'\b', r'$', r'a$', r'(?m)$', r'^', r'a*', r'(?s).*\S.*', r'(?s).*\w.*', r'[]$]', r'[^]]', r'\$', r'\\', r'[\\w]', r'[$]', r'\\s',
    r'(?i)я', r'(?i)[к-я]+', r'(?i)k', r'(?i)\w', r'\[\w', r'.', r'(?s).', r'[a\]]', r'(a)|(я)',
)  # fmt: skip


@pytest.mark.parametrize('pattern', PATTERNS)
def test_a_pattern_means_on_rows_what_it_means_in_tensorflow(pattern):
    tensors = tf.constant(hostile.TEXTS)
    found = [text.matches(value, pattern) for value in hostile.TEXTS]
    assert found == text.matches(tensors, pattern).numpy().tolist()
    replaced = [text.substitute(value, pattern, r'<\0\\>') for value in hostile.TEXTS]
    assert replaced == [each.decode() for each in text.substitute(tensors, pattern, r'<\0\\>').numpy()]


def test_no_word_boundary_is_tensorflows():
    found = [text.matches(value, r'(?s).*\Bо.*') for value in hostile.TEXTS]
    assert found == text.matches(tf.constant(hostile.TEXTS), r'(?s).*\Bо.*').numpy().tolist() and any(found)


# Calls with values that are drawn: t is a text, l a list of texts, p its pair of the same length, c a text that
# is no tensor, i an integer, n one of any size, f a number, b a truth value.
CALLS = {
    'concat': [('tt', lambda a, b: text.concat(a, '{', b))],
    'join': [('l', lambda a: text.join(a, '\\1; ')), ('tt', lambda a, b: text.join([a, b])), ('lp', lambda a, b: text.join([a, b], ''))],
    'collect': [('lt', lambda a, b: text.collect(a, b, 'z')), ('', lambda: text.collect('', 'a'))],
    'numbered': [('l', text.numbered), ('tt', lambda a, b: text.numbered([a, b]))],
    'pluck': [('lp', lambda a, b: text.pluck({'a': a, 'b': b}, 'b'))],
    'paired': [('lp', lambda a, b: text.paired(a, b, ': ')), ('ll', lambda a, b: text.paired(a, b, ''))],
    'split': [('tc', lambda a, b: text.split(a, b or ' ')), ('tc', lambda a, b: text.split(text.concat(a, b, a), b or '\0'))],
    'part': [('tii', text.part), ('tn', text.part), ('lii', text.part)],
    'replace': [('tcc', text.replace), ('tcc', lambda a, b, c: text.replace(text.concat(b, a, b), b, c))],
    'plain_quotes': [('t', text.plain_quotes)],
    'unescape': [('t', text.unescape)],
    'substitute': [('t', lambda a: text.substitute(a, r'(\w*)\s', r'\\\1'))],
    'lower': [('t', text.lower)],
    'strip': [('t', text.strip)],
    'contains': [('tc', text.contains), ('tc', lambda a, b: text.contains(text.concat(a, b, a), b))],
    'matches': [('t', lambda a: text.matches(a, r'(?s).*\S.*'))],
    'length': [('t', text.length), ('l', text.length), ('tn', lambda a, b: text.length(a) + b)],
    'string': [('t', text.string), ('n', text.string), ('b', text.string)],
    'decimal': [('f', text.decimal), ('f', lambda a: text.decimal(a, 3)), ('i', lambda a: text.decimal(a, 0))],
    'rounded': [('f', text.rounded), ('i', text.rounded), ('fn', lambda a, b: text.rounded(a) + b)],
    'index': [('lt', text.index), ('lti', lambda a, b, c: text.index(text.collect(a, b), b) + c), ('t', lambda a: text.index(('', '\0'), a))],
    'choose': [('il', text.choose), ('btt', lambda a, b, c: text.choose(a, (b, c)))],
    'every': [('bb', text.every), ('bi', text.every)],
    'some': [('bb', text.some), ('bi', text.some)],
    'negate': [('b', text.negate), ('i', text.negate)],
    'among': [('tl', text.among), ('t', lambda a: text.among(a, ('', '\0', '{}')))],
}  # fmt: skip
DRAWS = 40
NUMBERS = (
    0.0,
    0.5,
    1.5,
    2.5,
    2.675,
    1.005,
    0.1,
    -3.14159,
    -0.001,
    1e-7,
    1.4999999999,
    16777217.0,
    2.0**31,
    -(2.0**40),
    1e10,
    -0.0,
    1e22,
    -1e300,
    float('inf'),
    float('nan'),
)


def drawn(kinds, draw):
    """Draw a value of each kind."""
    values = []
    for kind in kinds:
        values.append(
            {
                't': lambda: hostile.text(draw),
                'c': lambda: hostile.text(draw),
                'l': lambda: [hostile.text(draw) for _ in range(draw.choice((0, 1, 2, 3, 9)))],
                'p': lambda: [hostile.text(draw) for _ in values[-1]],
                'i': lambda: draw.choice((0, 1, 2, -1, -2, 5, 100, -100)),
                'n': lambda: draw.choice((0, 7, -1, 2**31, -(2**31), 2**32 + 1, 2**53 + 1, 1 - 2**60)),
                'f': lambda: draw.choice(NUMBERS),
                'b': lambda: draw.random() < 0.5,
            }[kind]()
        )
    return values


def as_tensor(kind, value):
    types = {'l': tf.string, 'p': tf.string, 'i': tf.int64, 'n': tf.int64, 'f': tf.float64}
    return value if kind == 'c' else tf.constant(value, types.get(kind))


def outcome(function, values):
    """Return what a call gives, or that it fails."""
    try:
        return to_python(function(*values))
    except (ValueError, LookupError, tf.errors.OpError):
        return 'an error'


def test_every_function_has_calls():
    functions = {name for name, value in vars(text).items() if inspect.isfunction(value)}
    assert set(CALLS) == functions - {'tensorflow', 'as_re2', 'quote', 'quote_one'}


@pytest.mark.parametrize('name', CALLS)
def test_hostile_values_give_the_same_on_rows_and_in_tensorflow(name):
    draw = random.Random(name)
    for kinds, function in CALLS[name]:
        for _ in range(DRAWS):
            values = drawn(kinds, draw)
            tensors = [as_tensor(kind, value) for kind, value in zip(kinds, values, strict=True)]
            assert outcome(function, tensors) == outcome(function, values), (kinds, values)


def test_what_rows_and_tensorflow_do_not_share_is_refused():
    for value in ('ab', tf.constant('ab')):
        for new in (r'\2', r'\n', r'\g<1>', 'a\\'):
            with pytest.raises(ValueError, match='expected groups of'):
                text.substitute(value, '(a)', new)
        with pytest.raises(ValueError, match='the separator is empty'):
            text.split(value, '')
        for pattern in ('a{,3}', '[[:alpha:]]+', '[^_[:^space:]]'):
            for call in (text.matches, lambda *given: text.substitute(*given, '')):
                with pytest.raises(ValueError, match='RE2 read differently'):
                    call(value, pattern)
    assert text.substitute('a{,3}b[:c:]', r'\{,3\}|\[:c:\]', '') == 'ab', 'plain brackets are not meant'
