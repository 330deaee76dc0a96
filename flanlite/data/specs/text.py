"""Small functions on text that work alike on Python values and on TensorFlow tensors, for `DatasetSpec.fields` and `keep`.

A data set's field map is written once and runs twice: natively on the rows of a cache build, and inside a `seqio.Task`'s graph. Indexing
a row (`row['premise']`), comparing values (`row['label'] >= 0`) and arithmetic work on both by themselves; the rest is here.
"""

import re
import sys
from collections.abc import Sequence
from typing import Any

Text = Any  # a str, or a scalar string tensor
Number = Any  # an int, float or bool, or a scalar tensor
Texts = Any  # a sequence of texts, or a string tensor with one axis more

ENTITIES = (('lt', '<'), ('gt', '>'), ('quot', '"'), ('#39', "'"), ('#36', '$'), ('#151', '—'), ('nbsp', ' '), ('amp', '&'))


def tensorflow(*values: Any) -> Any:
    """Return TensorFlow where a value is, or holds, a tensor, else None; never imports it."""
    tf = sys.modules.get('tensorflow')
    if tf is None:
        return None
    for value in values:
        if tf.is_tensor(value) or (isinstance(value, list | tuple) and tensorflow(*value)):
            return tf
    return None


def concat(*parts: Text) -> Text:
    """Write texts one after another."""
    tf = tensorflow(*parts)
    return tf.strings.join(list(parts)) if tf else ''.join(parts)


def join(parts: Texts, separator: str = ' ') -> Text:
    """Join texts with a separator; of nested texts, the innermost (and get one level less)."""
    tf = tensorflow(parts)
    if tf:
        parts = tf.stack(list(parts)) if isinstance(parts, list | tuple) else parts
        return tf.strings.reduce_join(parts, -1, separator=separator)
    if len(parts) and not isinstance(parts[0], str):
        return [join(part, separator) for part in parts]
    return separator.join(parts)


def collect(*parts: Text | Texts) -> Texts:
    """Put texts, and sequences of texts, into one sequence, without empty ones."""
    tf = tensorflow(*parts)
    if tf:
        texts = tf.concat([tf.reshape(part, [-1]) for part in parts], 0)
        return tf.boolean_mask(texts, tf.not_equal(texts, ''))
    return [text for part in parts for text in ([part] if isinstance(part, str) else part) if text]


def numbered(parts: Texts) -> Text:
    """Write texts on a line each, numbered from 1."""
    tf = tensorflow(parts)
    if tf:
        texts = tf.convert_to_tensor(parts)
        return tf.strings.reduce_join(tf.strings.join([tf.strings.as_string(tf.range(1, tf.size(texts) + 1)), '. ', texts]), separator='\n')
    return '\n'.join(f'{number}. {each}' for number, each in enumerate(parts, 1))


def pluck(values: Any, name: str) -> Texts:
    """Take one field of each of several records."""
    return values[name] if tensorflow(*values.values() if isinstance(values, dict) else ()) else [value[name] or '' for value in values]


def paired(first: Texts, second: Texts, separator: str) -> Texts:
    """Join each text of one sequence to the one at its place in another."""
    tf = tensorflow(first, second)
    if tf:
        return tf.strings.join([first, second], separator=separator)
    return [separator.join(pair) for pair in zip(first, second, strict=True)]


def split(value: Text, separator: str) -> Texts:
    """Split a text at each occurrence of a separator."""
    tf = tensorflow(value)
    return tf.strings.split(value, separator) if tf else value.split(separator)


def part(value: Text, start: Number, stop: Number | None = None) -> Text:
    """Cut a text, or each of several, from one character to another, by default to its end, as Python counts characters."""
    tf = tensorflow(value, start, stop)
    if tf:
        start = tf.cast(start, tf.int32)
        stop = tf.strings.length(value, unit='UTF8_CHAR') if stop is None else tf.cast(stop, tf.int32)
        return tf.strings.substr(value, start, stop - start, unit='UTF8_CHAR')
    return value[start:stop] if isinstance(value, str) else [part(each, start, stop) for each in value]


def replace(value: Text, old: str, new: str) -> Text:
    """Replace every occurrence of a text."""
    tf = tensorflow(value)
    return tf.strings.regex_replace(value, quote(old), new.replace('\\', r'\\')) if tf else value.replace(old, new)


def plain_quotes(value: Text) -> Text:
    """Write the quotation marks of tokenised corpora, `` and '', as plain ones."""
    return replace(replace(value, '``', '"'), "''", '"')


def unescape(value: Text) -> Text:
    """Write HTML's names of characters as the characters, also where damage put a space for the ampersand, and drop tags."""
    for name, character in ENTITIES:
        value = replace(replace(value, f'&{name};', character), f' {name};', character)
    return substitute(value, '<[A-Za-z/][^<>]*>', '')


def substitute(value: Text, pattern: str, new: str) -> Text:
    r"""Replace every match of a pattern in the syntax that `re` and RE2 share (no look-around; `\1` names a group)."""
    tf = tensorflow(value)
    return tf.strings.regex_replace(value, pattern, new) if tf else re.sub(pattern, new, value)


def lower(value: Text) -> Text:
    """Write a text in small letters."""
    tf = tensorflow(value)
    return tf.strings.lower(value, encoding='utf-8') if tf else value.lower()


def strip(value: Text) -> Text:
    """Drop spaces and line ends around a text."""
    tf = tensorflow(value)
    return tf.strings.strip(value) if tf else value.strip(' \t\n\r\f\v')


def contains(value: Text, part: str) -> Number:
    """Say whether a text holds another."""
    tf = tensorflow(value)
    return tf.strings.regex_full_match(value, f'(?s).*{quote(part)}.*') if tf else part in value


def matches(value: Text, pattern: str) -> Number:
    """Say whether a whole text matches a pattern (in the syntax that `re` and RE2 share)."""
    tf = tensorflow(value)
    return tf.strings.regex_full_match(value, pattern) if tf else re.fullmatch(pattern, value) is not None


def length(value: Any) -> Number:
    """Count a text's characters, or a sequence's elements."""
    tf = tensorflow(value)
    if not tf:
        return len(value)
    if isinstance(value, list | tuple):
        return len(value)
    return tf.shape(value)[0] if value.shape.rank else tf.strings.length(value, unit='UTF8_CHAR')


def string(value: Number) -> Text:
    """Write an integer as text; a text stays as it is."""
    tf = tensorflow(value)
    if tf:
        return value if value.dtype == tf.string else tf.strings.as_string(value)
    return value if isinstance(value, str) else str(int(value))


def decimal(value: Number, places: int = 1) -> Text:
    """Write a number with that many decimal places."""
    tf = tensorflow(value)
    return tf.strings.as_string(value, precision=places) if tf else f'{value:.{places}f}'


def rounded(value: Number) -> Number:
    """Round to the nearest integer, halves to the even one."""
    tf = tensorflow(value)
    return tf.cast(tf.round(value), tf.int32) if tf else round(value)


def index(texts: Sequence[Text], value: Text) -> Number:
    """Return where a text stands among texts (the first place; the last index where it is in none)."""
    tf = tensorflow(texts, value)
    if tf:
        texts = tf.stack(list(texts)) if isinstance(texts, list | tuple) else texts
        return tf.minimum(tf.argmax(tf.cast(tf.equal(texts, value), tf.int32), output_type=tf.int32), tf.shape(texts)[0] - 1)
    return list(texts).index(value)


def choose(place: Number, texts: Sequence[Text]) -> Text:
    """Take the text at an index; True takes the second, False the first."""
    tf = tensorflow(place, texts)
    if tf:
        return tf.gather(tf.stack(list(texts)) if isinstance(texts, list | tuple) else texts, tf.cast(place, tf.int32))
    return texts[int(place)]


def every(*conditions: Number) -> Number:
    """Say whether all conditions hold."""
    tf = tensorflow(*conditions)
    return tf.reduce_all([tf.cast(condition, tf.bool) for condition in conditions]) if tf else all(conditions)


def some(*conditions: Number) -> Number:
    """Say whether one of the conditions holds."""
    tf = tensorflow(*conditions)
    return tf.reduce_any([tf.cast(condition, tf.bool) for condition in conditions]) if tf else any(conditions)


def negate(condition: Number) -> Number:
    """Say whether a condition does not hold."""
    tf = tensorflow(condition)
    return tf.logical_not(condition) if tf else not condition


def among(value: Any, values: Sequence[Any]) -> Number:
    """Say whether a value is one of several."""
    tf = tensorflow(value, values)
    return tf.reduce_any(tf.equal(value, tf.convert_to_tensor(values))) if tf else value in values


def quote(part: str) -> str:
    """Quote a text for use in an RE2 pattern."""
    return re.sub(r'([^\w\s])', r'\\\1', part, flags=re.ASCII) if part.isascii() else ''.join(quote_one(letter) for letter in part)


def quote_one(letter: str) -> str:
    """Quote one letter for RE2, which takes a backslash before ASCII punctuation only."""
    return '\\' + letter if letter.isascii() and not letter.isalnum() and not letter.isspace() and letter != '_' else letter
