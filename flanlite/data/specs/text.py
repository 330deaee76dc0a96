"""Small functions on text that work on Python values and on TensorFlow tensors alike, for
`DatasetSpec.fields` and `keep`.

A data set's functions are written once and run in two ways: on the Python rows of a cache build, and on
tensors in the graph of a `seqio.Task`. A tensor in a graph has no value yet, so `if`, f-strings and methods
of `str` do not work on it. Indexing a row (`row['premise']`), comparing values (`row['label'] >= 0`) and
arithmetic work on both. For everything else there is a function here, which looks at its arguments and
computes in Python or in TensorFlow. Both ways must give the same text, to the byte.
"""

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

    In TFDS's tensors such records are a record of lists, in Python rows they may be a list of records.
    """
    return (
        values[name]
        if tensorflow(*values.values() if isinstance(values, dict) else ())
        else [value[name] or '' for value in values]
    )


def paired(first: Texts, second: Texts, separator: str) -> Texts:
    """Join the texts of two sequences pair by pair."""
    tf = tensorflow(first, second)
    if tf:
        return tf.strings.join([first, second], separator=separator)
    return [separator.join(pair) for pair in zip(first, second, strict=True)]


def split(value: Text, separator: str) -> Texts:
    """Split a text at each occurrence of a separator."""
    tf = tensorflow(value)
    return tf.strings.split(value, separator) if tf else value.split(separator)


def part(value: Text, start: Number, stop: Number | None = None) -> Text:
    """Return the characters of a text, or of each of several, from `start` up to `stop` (by default the end),
    counted as in Python.
    """
    tf = tensorflow(value, start, stop)
    if tf:
        start = tf.cast(start, tf.int32)
        stop = tf.strings.length(value, unit='UTF8_CHAR') if stop is None else tf.cast(stop, tf.int32)
        return tf.strings.substr(value, start, stop - start, unit='UTF8_CHAR')
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
    r"""Replace every match of a pattern, in the syntax that `re` and RE2 share.

    It has no look-around, and `\1` is a group.
    """
    tf = tensorflow(value)
    return tf.strings.regex_replace(value, pattern, new) if tf else re.sub(pattern, new, value)


def lower(value: Text) -> Text:
    """Return a text in lower case."""
    tf = tensorflow(value)
    return tf.strings.lower(value, encoding='utf-8') if tf else value.lower()


def strip(value: Text) -> Text:
    """Drop ASCII white space at both ends of a text; this is what TensorFlow drops."""
    tf = tensorflow(value)
    return tf.strings.strip(value) if tf else value.strip(' \t\n\r\f\v')


def contains(value: Text, part: str) -> Number:
    """Return whether a text contains another."""
    tf = tensorflow(value)
    return tf.strings.regex_full_match(value, f'(?s).*{quote(part)}.*') if tf else part in value


def matches(value: Text, pattern: str) -> Number:
    """Return whether a whole text matches a pattern; the syntax is what `re` and RE2 share."""
    tf = tensorflow(value)
    return tf.strings.regex_full_match(value, pattern) if tf else re.fullmatch(pattern, value) is not None


def length(value: Any) -> Number:
    """Return the number of characters of a text, or of elements of a sequence."""
    tf = tensorflow(value)
    if not tf:
        return len(value)
    if isinstance(value, list | tuple):
        return len(value)
    return tf.shape(value)[0] if value.shape.rank else tf.strings.length(value, unit='UTF8_CHAR')


def string(value: Number) -> Text:
    """Return an integer as text; a text is returned as it is."""
    tf = tensorflow(value)
    if tf:
        return value if value.dtype == tf.string else tf.strings.as_string(value)
    return value if isinstance(value, str) else str(int(value))


def decimal(value: Number, places: int = 1) -> Text:
    """Return a number as text with a number of decimal places."""
    tf = tensorflow(value)
    return tf.strings.as_string(value, precision=places) if tf else f'{value:.{places}f}'


def rounded(value: Number) -> Number:
    """Round to the nearest integer; a half is rounded to the even one."""
    tf = tensorflow(value)
    return tf.cast(tf.round(value), tf.int32) if tf else round(value)


def index(texts: Sequence[Text], value: Text) -> Number:
    """Return the first index of a text among texts.

    Where it is not among them, Python raises a ValueError, and a tensor gives the last index.
    """
    tf = tensorflow(texts, value)
    if tf:
        texts = tf.stack(list(texts)) if isinstance(texts, list | tuple) else texts
        return tf.minimum(
            tf.argmax(tf.cast(tf.equal(texts, value), tf.int32), output_type=tf.int32), tf.shape(texts)[0] - 1
        )
    return list(texts).index(value)


def choose(place: Number, texts: Sequence[Text]) -> Text:
    """Return the text at an index; False is the index 0, True the index 1."""
    tf = tensorflow(place, texts)
    if tf:
        return tf.gather(
            tf.stack(list(texts)) if isinstance(texts, list | tuple) else texts, tf.cast(place, tf.int32)
        )
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
    return tf.logical_not(condition) if tf else not condition


def among(value: Any, values: Sequence[Any]) -> Number:
    """Return whether a value is one of several."""
    tf = tensorflow(value, values)
    return tf.reduce_any(tf.equal(value, tf.convert_to_tensor(values))) if tf else value in values


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
