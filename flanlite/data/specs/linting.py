"""Faults of data sets, found in their templates and in the examples that their first rows become."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flanlite.data.specs import templates
from flanlite.data.specs.specs import DatasetSpec, Row

TELLING = 8  # an answer of this many characters or more is not among a template's words by accident


def lint(
    spec: DatasetSpec,
    rows: Iterable[Row],
    count: int = 10,
    encode: Callable[[str], Any] | None = None,
    split: str = '',
) -> Iterator[str]:
    """Yield one line for each fault of a data set: in its templates, and in the examples that its first rows
    become.

    Args:
        spec: the data set.
        rows: some of its rows.
        count: the smallest number of templates that it should have.
        encode: turns a text into token ids, by which options are compared; without, their texts are.
        split: what the rows are of, for the faults; they are counted from 0, as everywhere.
    """
    where = f'{split} row'.strip()
    fields: dict[str, None] = {}
    faults: dict[str, str] = {}
    for place, row in enumerate(rows):
        try:
            example = spec.example(row)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            yield f'{where} {place} cannot be read: {type(error).__name__}: {error}'
            return
        if example is not None:
            fields.update(dict.fromkeys(example['texts']))
            for fault in example_faults(spec, example, encode):
                faults.setdefault(fault, f'{where} {place}: {fault}')
    if not fields:
        yield 'no row is left to check the templates with'
        return
    yield from templates.lint(spec.templates, tuple(fields), count=count)
    forward = [template for template in spec.templates if not template.inverted]
    shown = sum(templates.OPTIONS_FIELD in template.fields() for template in forward)
    # A lone prompt may have them in its words.
    if count > 1 and templates.OPTIONS_FIELD in fields and shown <= len(forward) / 2:
        yield f'{shown} of {len(forward)} templates show the options; expected more than half'
    for index, template in enumerate(spec.baselines):
        for field in template.fields():
            if field not in fields:
                yield f'baseline {index} names the field {field!r}; the data set has {sorted(fields)}'
    yield from faults.values()


def option_faults(options: tuple[str, ...], encode: Callable[[str], Any] | None = None) -> Iterator[str]:
    """Yield a fault where two options are the same text, or the same tokens."""
    if len(set(options)) < len(options):
        yield 'two options are the same'
    elif encode and len({tuple(encode(option)) for option in options}) < len(options):
        yield 'two options are the same tokens, which no model can tell apart'


def example_faults(
    spec: DatasetSpec, example: Mapping[str, Any], encode: Callable[[str], Any] | None = None
) -> Iterator[str]:
    """Yield the faults of one example: an empty field, the same option twice, a template whose own words
    contain the answer.
    """
    texts, options = example['texts'], example['options']
    shown = {field for template in spec.templates + spec.baselines for field in template.fields()}
    shown -= {spec.few_shot.header} if spec.few_shot else set()  # which some tasks do not have
    for name in sorted(shown & set(texts)):
        if not texts[name].strip():
            yield f'the field {name!r} is empty'
    yield from option_faults(options, encode)
    if not options and len(texts['answer']) >= TELLING:
        for index, template in enumerate(spec.templates):
            literal = ''.join(literal for literal, _ in templates.parse(template.inputs))
            if not template.inverted and texts['answer'] in literal:
                yield f'template {index} tells the answer in its own words'
