"""Templates: texts with `{field}` places that are filled from one example; and the lint that every collection
must pass.
"""

import dataclasses
import difflib
import functools
import re
import string
from collections.abc import Iterator, Mapping, Sequence

OPTIONS_FIELD = 'options_'  # the place where a template shows the answer options, as a block
OPTIONS_HEADER = 'OPTIONS:'
OPTIONS_PLACE = re.compile(r'^\{options_\}\s*|\s*\{options_\}')
# Words of a template that make no sense where its options are not shown.
OF_OPTIONS = re.compile(
    r'\b(?:choos|choice|option|pick|select|below|following|listed|(?:the|this) list|the piles|one of)'
    r'|\bas follows\b|\bof the two|\bthe(?:se|y)\b.*\b(?:answers?|words|one)\b|\b(?:of|with) these\b'
    r'|\bthese (?:two|three|four|things)\b|\b(?:two|three|four|six) (?:answers|ways|drawers|headings)\b'
    r'|\b(?:answers|replies|left):',
    re.IGNORECASE,
)
MOST_INVERTED = 3  # templates of a data set that may be turned around
ALIKE = 0.75  # two wordings count as one from this share of common words on


@dataclasses.dataclass(frozen=True)
class Template:
    """One way to pose a data set's question.

    Args:
        inputs: what the model reads, with `{field}` places; `{options_}` shows the answer options. Double a
            brace to mean itself.
        targets: what the model must write, with `{field}` places.
        inverted: whether the task is turned around, so that the targets are not (only) the answer. Such
            templates are used in training and not in evaluation.

    Raises:
        ValueError: a text does not parse, or names no field, so that it would be the same for every row.
    """

    inputs: str
    targets: str = '{answer}'
    inverted: bool = False

    def __post_init__(self) -> None:
        for part, example in (('inputs', 'premise'), ('targets', 'answer')):
            text = getattr(self, part)
            if all(field is None for _, field in parse(text)):
                raise ValueError(
                    f'template has {part} without a field: {text!r}; '
                    f'expected at least one, such as {{{example}}}'
                )

    def fields(self) -> tuple[str, ...]:
        """Return the names of the fields that the template needs, those of the inputs first."""
        return tuple(
            dict.fromkeys(field for _, field in parse(self.inputs) + parse(self.targets) if field is not None)
        )


@dataclasses.dataclass(frozen=True)
class MixedTemplate(Template):
    """A template that only a prompt mix asks with; see `PromptMix`.

    Args:
        chain: where the answer stands beside a chain of thought, `first`, or `none` for no chain; empty where
            it is last, or there is no chain in any template.
        header: a text with `{field}` places that stands once, before the exemplars and the inputs: few-shot
            examples are asked with such templates, where a data set has some.
    """

    chain: str = ''
    header: str = ''


@functools.cache
def parse(text: str) -> tuple[tuple[str, str | None], ...]:
    """Split a template's text into (literal, field) pairs; the field is None after the last literal.

    Raises:
        ValueError: a brace is not closed, or a place is not a plain field name.
    """
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError as error:
        raise ValueError(
            f'template {text!r} does not parse: {error}; double a brace, {{{{ or }}}}, to mean the character'
        ) from error
    for _, field, format_spec, conversion in pieces:
        if field is not None and (not field.isidentifier() or format_spec or conversion):
            raise ValueError(
                f'template {text!r} has the place {field!r} in braces; expected a plain field name such as '
                '{premise}'
            )
    return tuple((literal, field) for literal, field, _, _ in pieces)


def fill(text: str, fields: Mapping[str, str]) -> str:
    """Fill a template's text.

    Raises:
        ValueError: a field is missing; the message names it and the fields that are given.
    """
    parts = []
    for literal, field in parse(text):
        parts.append(literal)
        if field is not None:
            if field not in fields:
                raise ValueError(
                    f'template {text!r} names the field {field!r}, but the data set gives only '
                    f'{sorted(fields)}'
                )
            parts.append(fields[field])
    return ''.join(parts)


def options_block(options: Sequence[str]) -> str:
    """Return the options as FLAN shows them: a header, then one option per line."""
    return '\n'.join([OPTIONS_HEADER, *('- ' + option for option in options)])


def without_options(template: Template) -> Template:
    """Return a template without the place of the options, and the white space before it; as it is where no
    field would be left.
    """
    inputs = OPTIONS_PLACE.sub('', template.inputs)
    if inputs == template.inputs or all(field is None for _, field in parse(inputs)):
        return template
    return dataclasses.replace(template, inputs=inputs)


def can_hide_options(template: Template) -> bool:
    """Return whether a template makes sense without the options that it shows, as far as its words tell."""
    if OPTIONS_FIELD not in template.fields():
        return True
    bare = without_options(template)
    return bare is not template and not OF_OPTIONS.search(bare.inputs)


def lint(templates: Sequence[Template], fields: Sequence[str], *, count: int = 10) -> Iterator[str]:
    """Yield one line for each fault in a data set's templates; the rules are those of FLAN (paper, section
    2.1), and common sense.

    Args:
        templates: the data set's templates.
        fields: the fields that its examples have, with `options_` where it has options.
        count: the smallest number of templates that a data set should have.
    """
    if len(templates) < count:
        has = len(templates)
        noun = 'template' if has == 1 else 'templates'
        yield f'has {has} {noun}, expected {count} or more, or Collection(templates={has})'
    inverted = sum(template.inverted for template in templates)
    if MOST_INVERTED < inverted < len(templates):  # a data set may be nothing but another turned around
        yield f'has {inverted} inverted templates, expected at most {MOST_INVERTED}'
    for index, template in enumerate(templates):
        for field in template.fields():
            if field not in fields:
                yield f'template {index} names the field {field!r}; the data set has {sorted(fields)}'
        input_fields = {field for _, field in parse(template.inputs) if field is not None}
        target_fields = {field for _, field in parse(template.targets) if field is not None}

        for field in sorted(input_fields & target_fields):
            yield f'template {index} shows its own target {{{field}}} in the inputs'
        if 'answer' not in target_fields and not template.inverted:
            yield f'template {index} has targets without {{answer}} but is not marked inverted=True'
        for other in range(index):
            if (
                template.targets == templates[other].targets
                and likeness(template.inputs, templates[other].inputs) >= ALIKE
            ):
                yield f'templates {other} and {index} have nearly the same wording'


def likeness(one: str, other: str) -> float:
    """Return the share of words that two templates' texts have in common, in the same order, from 0 to 1.

    Fields do not count as words, except in a text that has no words besides.
    """
    words = [
        re.findall(r'\w+', ' '.join(literal for literal, _ in parse(text)).lower()) or text.split()
        for text in (one, other)
    ]
    return difflib.SequenceMatcher(None, *words, autojunk=False).ratio()
