"""Templates: text with `{field}` places, filled from one example; and the lint that every collection must pass."""

import dataclasses
import difflib
import functools
import re
import string
from collections.abc import Iterator, Mapping, Sequence

OPTIONS_FIELD = 'options_'  # the place where a template shows the answer options, as a block
OPTIONS_HEADER = 'OPTIONS:'
MOST_INVERTED = 3  # templates of a data set that may be turned around
ALIKE = 0.75  # the share of words in common from which two wordings count as one


@dataclasses.dataclass(frozen=True)
class Template:
    """One way to pose a data set's question.

    Args:
        inputs: what the model reads, with `{field}` places; `{options_}` shows the answer options. Double a brace to mean itself.
        targets: what the model must write, with `{field}` places.
        inverted: whether the task is turned around: the targets are not (only) the answer. Such templates train but are not evaluated.
    """

    inputs: str
    targets: str = '{answer}'
    inverted: bool = False

    def fields(self) -> tuple[str, ...]:
        """Name the fields that the template needs, inputs first."""
        return tuple(dict.fromkeys(field for _, field in parse(self.inputs) + parse(self.targets) if field is not None))


@functools.cache
def parse(text: str) -> tuple[tuple[str, str | None], ...]:
    """Split a template's text into (literal, field) pairs; the field is None behind the last literal."""
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f'template {text!r} does not parse: {error}; write {{{{ and }}}} for braces that stand for themselves') from error
    for _, field, format_spec, conversion in pieces:
        if field is not None and (not field.isidentifier() or format_spec or conversion):
            raise ValueError(f'template {text!r} has the place {{{field}}}; expected a plain field name such as {{premise}}')
    return tuple((literal, field) for literal, field, _, _ in pieces)


def fill(text: str, fields: Mapping[str, str]) -> str:
    """Fill a template's text; a missing field is a `ValueError` that names it and the fields there are."""
    parts = []
    for literal, field in parse(text):
        parts.append(literal)
        if field is not None:
            if field not in fields:
                raise ValueError(f'template {text!r} names the field {field!r}, but the data set gives only {sorted(fields)}')
            parts.append(fields[field])
    return ''.join(parts)


def options_block(options: Sequence[str]) -> str:
    """Show options as FLAN does: a header, then one line an option."""
    return '\n'.join([OPTIONS_HEADER, *('- ' + option for option in options)])


def lint(templates: Sequence[Template], fields: Sequence[str], *, count: int = 10) -> Iterator[str]:
    """Yield one line for each fault in a data set's templates; the rules are FLAN's (paper, section 2.1) and common sense.

    Args:
        templates: the data set's templates.
        fields: the names its examples have (with `options_` where it has options).
        count: how many templates a data set should have at least.
    """
    if len(templates) < count:
        yield f'has {len(templates)} templates, expected {count} or more, as its Collection(templates=...) says'
    inverted = sum(template.inverted for template in templates)
    if inverted > MOST_INVERTED:
        yield f'has {inverted} inverted templates, expected at most {MOST_INVERTED}'
    for index, template in enumerate(templates):
        for field in template.fields():
            if field not in fields:
                yield f'template {index} names the field {field!r}; the data set has {sorted(fields)}'
        input_fields = {field for _, field in parse(template.inputs) if field is not None}
        target_fields = {field for _, field in parse(template.targets) if field is not None}
        if not target_fields:
            yield f'template {index} has targets without a field: {template.targets!r}'
        if not input_fields:
            yield f'template {index} has inputs without a field'
        for field in sorted(input_fields & target_fields):
            yield f'template {index} shows its own target {{{field}}} in the inputs'
        if 'answer' not in target_fields and not template.inverted:
            yield f'template {index} has targets without {{answer}} but is not marked inverted=True'
        for other in range(index):
            if template.targets == templates[other].targets and likeness(template.inputs, templates[other].inputs) >= ALIKE:
                yield f'templates {other} and {index} have nearly the same wording'


def likeness(one: str, other: str) -> float:
    """Say what share of their own words two texts have in common, in the same order; without words of their own, of their places."""
    words = [re.findall(r'\w+', ' '.join(literal for literal, _ in parse(text)).lower()) or text.split() for text in (one, other)]
    return difflib.SequenceMatcher(None, *words, autojunk=False).ratio()
