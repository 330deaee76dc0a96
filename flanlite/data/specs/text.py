"""Small functions on text that work on Python values and on TensorFlow tensors alike, for
`DatasetSpec.fields` and `keep`.

A data set's functions are written once and run in two ways: on the Python rows of a cache build, and on
tensors in the graph of a `seqio.Task`. A tensor in a graph has no value yet, so `if`, f-strings and methods
of `str` do not work on it. Indexing a row (`row['premise']`), comparing values (`row['label'] >= 0`) and
arithmetic work on both. For everything else there is a function here, which looks at its arguments and
computes in Python or in TensorFlow. Both ways must give the same text, to the byte.
"""

import functools
import re
import sys
from collections.abc import Sequence
from typing import Any

Text = Any  # a str, or a scalar string tensor
Number = Any  # an int, float or bool, or a scalar tensor
Texts = Any  # a sequence of texts, or a string tensor with one more axis

ENTITIES = (
    ('lt', '<'),
    ('gt', '>'),
    ('quot', '"'),
    ('#39', "'"),
    ('#36', '$'),
    ('#151', '—'),
    ('nbsp', ' '),
    ('amp', '&'),
)
# The parts of a pattern whose meaning depends on where they stand.
PATTERN_PART = re.compile(r'\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\$|[^\\\[$]+|.', re.DOTALL)
# What `re` and RE2 both take, and read differently: outside a set, and in one.
UNLIKE = re.compile(r'\{,\d+\}'), re.compile(r'\[:\^?\w+:\]')
# RE2's classes and word boundaries, written out: `re` searches wrongly with `(?a:...)` in a pattern.
CLASSES = {
    r'\s': r'\t\n\f\r ',
    r'\S': r'\x00-\x08\v\x0e-\x1f!-\U0010ffff',
    r'\d': '0-9',
    r'\D': r'\x00-/:-\U0010ffff',
    r'\w': '0-9A-Za-z_',
    r'\W': r'\x00-/:-@\[-\^`{-\U0010ffff',
}
BOUNDARIES = {
    r'\b': '(?:(?<![{0}])(?=[{0}])|(?<=[{0}])(?![{0}]))'.format(CLASSES[r'\w']),
    r'\B': '(?:(?<![{0}])(?![{0}])|(?<=[{0}])(?=[{0}]))'.format(CLASSES[r'\w']),
}
REWRITE_PART = re.compile(r'\\(.?)', re.DOTALL)


def tensorflow(*values: Any) -> Any:
    """Return the module TensorFlow if a value is a tensor or a list that holds one, else None."""
    tf = sys.modules.get('tensorflow')  # not imported here: without TensorFlow there are no tensors
    if tf is None:
        return None
    for value in values:
        if tf.is_tensor(value) or (isinstance(value, list | tuple) and tensorflow(*value)):
            return tf
    return None


def concat(*parts: Text) -> Text:
    """Join texts without a separator."""
    tf = tensorflow(*parts)
    return tf.strings.join(list(parts)) if tf else ''.join(parts)


def join(parts: Texts, separator: str = ' ') -> Text:
    """Join texts with a separator; of nested lists of texts, join the innermost, which leaves one level
    less.
    """
    tf = tensorflow(parts)
    if tf:
        parts = tf.stack(list(parts)) if isinstance(parts, list | tuple) else parts
        return tf.strings.reduce_join(parts, -1, separator=separator)
    if len(parts) and not isinstance(parts[0], str):
        return [join(part, separator) for part in parts]
    return separator.join(parts)


def collect(*parts: Text | Texts) -> Texts:
    """Return texts and sequences of texts as one sequence, without the empty texts."""
    tf = tensorflow(*parts)
    if tf:
        texts = tf.concat([tf.reshape(part, [-1]) for part in parts], 0)
        return tf.boolean_mask(texts, tf.not_equal(texts, ''))
    return [text for part in parts for text in ([part] if isinstance(part, str) else part) if text]


def numbered(parts: Texts) -> Text:
    """Return texts as numbered lines, from 1."""
    tf = tensorflow(parts)
    if tf:
        texts = tf.convert_to_tensor(parts)
        return tf.strings.reduce_join(
            tf.strings.join([tf.strings.as_string(tf.range(1, tf.size(texts) + 1)), '. ', texts]),
            separator='\n',
        )
    return '\n'.join(f'{number}. {each}' for number, each in enumerate(parts, 1))


def pluck(values: Any, name: str) -> Texts:
    """Return one field of each of several records.

    Such records are a record of lists in TFDS and in tensors, and a list of records in other rows, where a
    missing value counts as an empty text.
    """
    if isinstance(values, dict):
        return values[name]
    return ['' if value[name] is None else value[name] for value in values]


def paired(first: Texts, second: Texts, separator: str) -> Texts:
    """Join the texts of two sequences pair by pair."""
    tf = tensorflow(first, second)
    if tf:
        return tf.strings.join([first, second], separator=separator)
    return [separator.join(pair) for pair in zip(first, second, strict=True)]


def split(value: Text, separator: str) -> Texts:
    """Split a text at each occurrence of a separator.

    Raises:
        ValueError: the separator is empty.
    """
    if not separator:
        raise ValueError('the separator is empty; expected the text between the parts')
    tf = tensorflow(value)
    return tf.strings.split(value, separator) if tf else value.split(separator)


def part(value: Text, start: Number, stop: Number | None = None) -> Text:
    """Return the characters of a text, or of each of several, from `start` up to `stop` (by default the end),
    counted as in Python.
    """
    tf = tensorflow(value, start, stop)
    if tf:
        count = tf.cast(tf.strings.length(value, unit='UTF8_CHAR'), tf.int64)
        start, stop = (
            tf.clip_by_value(tf.where(place < 0, place + count, place), 0, count)
            for place in (tf.cast(start, tf.int64), count if stop is None else tf.cast(stop, tf.int64))
        )
        return tf.strings.substr(value, start, tf.maximum(stop - start, 0), unit='UTF8_CHAR')
    return value[start:stop] if isinstance(value, str) else [part(each, start, stop) for each in value]


def replace(value: Text, old: str, new: str) -> Text:
    """Replace every occurrence of a text."""
    tf = tensorflow(value)
    return (
        tf.strings.regex_replace(value, quote(old), new.replace('\\', r'\\'))
        if tf
        else value.replace(old, new)
    )


def plain_quotes(value: Text) -> Text:
    """Replace the quotation marks of tokenised corpora, `` and '', by plain ones."""
    return replace(replace(value, '``', '"'), "''", '"')


def unescape(value: Text) -> Text:
    """Replace HTML's character references by the characters, and drop tags.

    Damaged references, which have a space instead of the ampersand, are replaced too.
    """
    for name, character in ENTITIES:
        value = replace(replace(value, f'&{name};', character), f' {name};', character)
    return substitute(value, '<[A-Za-z/][^<>]*>', '')


def substitute(value: Text, pattern: str, new: str) -> Text:
    r"""Replace every match of a pattern; the syntax is what `re` and RE2 share, the meaning RE2's.

    See `as_re2`. It has no look-around, and no `\B`, at which RE2 cuts letters in pieces. In the new text
    `\1` is a group, `\0` the whole match, and `\\` a backslash. As in RE2, no empty match follows a
    match at once: with `a*`, `baa` has two.

    Raises:
        ValueError: the new text has another escape, or a group that the pattern lacks.
    """
    compiled = as_re2(pattern)
    for escaped in REWRITE_PART.findall(new):
        if escaped != '\\' and not (
            escaped.isascii() and escaped.isdigit() and int(escaped) <= compiled.groups
        ):
            raise ValueError(
                f'the new text {new!r} has "\\{escaped}"; expected groups of {pattern!r}, such as \\1, '
                'or \\\\'
            )
    tf = tensorflow(value)
    if tf:
        return tf.strings.regex_replace(value, pattern, new)
    end, plain = -1, '\\' not in new

    def filled(match: re.Match) -> str:
        nonlocal end
        if match.start() == match.end() == end:
            return ''
        end = match.end()
        if plain:
            return new
        return REWRITE_PART.sub(lambda part: '\\' if part[1] == '\\' else match[int(part[1])] or '', new)

    return compiled.sub(filled, value)


def lower(value: Text) -> Text:
    """Return a text in lower case.

    TensorFlow leaves the 40 capitals that are younger than Unicode 13, such as Vithkuqi's.
    """
    tf = tensorflow(value)
    if not tf:
        return value.lower()
    # TensorFlow's function ends at a NUL.
    return join(tf.strings.lower(split(value, '\0'), encoding='utf-8'), '\0')


def strip(value: Text) -> Text:
    """Drop ASCII white space at both ends of a text; this is what TensorFlow drops."""
    tf = tensorflow(value)
    return tf.strings.strip(value) if tf else value.strip(' \t\n\r\f\v')


def contains(value: Text, part: str) -> Number:
    """Return whether a text contains another."""
    tf = tensorflow(value)
    return tf.strings.regex_full_match(value, f'(?s).*{quote(part)}.*') if tf else part in value


def matches(value: Text, pattern: str) -> Number:
    """Return whether a whole text matches a pattern; the syntax is what `re` and RE2 share, the meaning RE2's
    (see `as_re2`).
    """
    compiled, tf = as_re2(pattern), tensorflow(value)
    return tf.strings.regex_full_match(value, pattern) if tf else compiled.fullmatch(value) is not None


def length(value: Any) -> Number:
    """Return the number of characters of a text, or of elements of a sequence."""
    tf = tensorflow(value)
    if not tf:
        return len(value)
    if isinstance(value, list | tuple):
        return len(value)
    count = tf.shape(value)[0] if value.shape.rank else tf.strings.length(value, unit='UTF8_CHAR')
    return tf.cast(count, tf.int64)  # the type of the integers in a row


def string(value: Number) -> Text:
    """Return an integer as text, and False and True as 0 and 1; a text is returned as it is."""
    tf = tensorflow(value)
    if tf:
        return value if value.dtype == tf.string else tf.strings.as_string(tf.cast(value, tf.int64))
    return value if isinstance(value, str) else str(int(value))


def decimal(value: Number, places: int = 1) -> Text:
    """Return a number as text with a number of decimal places."""
    tf = tensorflow(value)
    if tf:
        return tf.strings.as_string(tf.cast(value, tf.float64) + 0.0, precision=places)
    return f'{value + 0.0:.{places}f}'  # -0.0 is 0.0 then, on both sides


def rounded(value: Number) -> Number:
    """Round to the nearest integer; a half is rounded to the even one.

    Raises:
        ValueError: an integer of 64 bits cannot hold it; of tensors, TensorFlow's own error.
    """
    tf = tensorflow(value)
    if tf:
        size = tf.abs(tf.cast(value, tf.float64))
        with tf.control_dependencies([tf.debugging.assert_less(size, tf.constant(2.0**63, tf.float64))]):
            return tf.cast(tf.round(value), tf.int64)
    if not abs(value) < 2**63:
        raise ValueError(f'got {value!r} to round; expected a number that 64 bits hold')
    return round(value)


def index(texts: Sequence[Text], value: Text) -> Number:
    """Return the first index of a text among texts.

    Raises:
        ValueError: it is not among them; of tensors, TensorFlow's own error.
    """
    tf = tensorflow(texts, value)
    if tf:
        texts = tf.stack(list(texts)) if isinstance(texts, list | tuple) else texts
        return tf.where(tf.equal(texts, value))[0, 0]
    return list(texts).index(value)


def choose(place: Number, texts: Sequence[Text]) -> Text:
    """Return the text at an index; False is the index 0, True the index 1.

    Raises:
        IndexError: there is no text at the index, which is not counted from the end; of tensors, TensorFlow's
            own error.
    """
    tf = tensorflow(place, texts)
    if tf:
        return tf.gather(
            tf.stack(list(texts)) if isinstance(texts, list | tuple) else texts, tf.cast(place, tf.int64)
        )
    if not 0 <= place < len(texts):
        raise IndexError(f'got the index {place!r} of {len(texts)} texts')
    return texts[int(place)]


def every(*conditions: Number) -> Number:
    """Return whether all conditions hold."""
    tf = tensorflow(*conditions)
    return tf.reduce_all([tf.cast(condition, tf.bool) for condition in conditions]) if tf else all(conditions)


def some(*conditions: Number) -> Number:
    """Return whether at least one of the conditions holds."""
    tf = tensorflow(*conditions)
    return tf.reduce_any([tf.cast(condition, tf.bool) for condition in conditions]) if tf else any(conditions)


def negate(condition: Number) -> Number:
    """Return whether a condition does not hold."""
    tf = tensorflow(condition)
    return tf.logical_not(tf.cast(condition, tf.bool)) if tf else not condition


def among(value: Any, values: Sequence[Any]) -> Number:
    """Return whether a value is one of several."""
    tf = tensorflow(value, values)
    return tf.reduce_any(tf.equal(value, tf.convert_to_tensor(values))) if tf else value in values


@functools.cache
def as_re2(pattern: str) -> re.Pattern:
    r"""Compile a pattern so that `re` gives it the meaning that it has in RE2, TensorFlow's.

    There `\w`, `\d`, `\s` and `\b` know ASCII only, `\s` has no vertical tab, and `$` is the very end, not
    also before a last line break. Letters still match without regard to case (`(?i)`) in all of Unicode.

    Raises:
        ValueError: the pattern has `{,n}` or a class such as `[:alpha:]`.
    """
    multiline = re.search(r'\(\?[a-z]*m[a-z]*[):-]', pattern) is not None

    def translated(part: str) -> str:
        if differs := UNLIKE[part.startswith('[')].search(part):
            raise ValueError(
                f'the pattern {pattern!r} has {differs[0]!r}, which `re` and RE2 read differently; expected '
                '{0,n} for at most n, and letters and ranges in place of a named class'
            )
        if part == '$' and not multiline:
            return r'\Z'
        if part in BOUNDARIES or part in CLASSES:
            return f'(?-i:{BOUNDARIES.get(part) or f"[{CLASSES[part]}]"})'
        if part.startswith('['):
            return re.sub(r'(?s)\\.', lambda escape: CLASSES.get(escape[0], escape[0]), part)
        return part

    return re.compile(''.join(translated(part) for part in PATTERN_PART.findall(pattern)))


def quote(part: str) -> str:
    """Escape a text for use in an RE2 pattern."""
    return (
        re.sub(r'([^\w\s])', r'\\\1', part, flags=re.ASCII)
        if part.isascii()
        else ''.join(quote_one(letter) for letter in part)
    )


def quote_one(letter: str) -> str:
    """Escape one letter for RE2, which accepts a backslash before ASCII punctuation only."""
    return (
        '\\' + letter
        if letter.isascii() and not letter.isalnum() and not letter.isspace() and letter != '_'
        else letter
    )
