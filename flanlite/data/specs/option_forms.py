"""The forms in which answer options are listed, as FLAN 2022 draws them: a header, a mark before each option,
and what stands between (flan/v2 of its release, `format_options_non_deterministic`).
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

HEADERS = (
    '',
    'OPTIONS:',
    'Options:',
    'Choices:',
    'Possible answers:',
    'Answers to choose from:',
    'Choose one of these:',
    'Pick one:',
    'The answer is one of:',
    'Available choices:',
    'Select from these.',
    'It can be:',
)
BULLETS = ('-', '--', '+', '*', '[-]', '[+]')
WRAPS = ('{}.', '{})', '({})', '[{}]', '({}).', '[{}].')  # of what tells options apart
BEFORE = ('\n', '\n ', ' ')
ENDS = ('', ';', '.')
TRIES = 10  # forms that are drawn for one list; if all are unclear, FLAN 2021's stands


def letters(number: int) -> str:
    """Write a number, from 1, as a spreadsheet does its columns: A to Z, AA, AB and so on."""
    text = ''
    while number:
        number, place = divmod(number - 1, 26)
        text = chr(ord('A') + place) + text
    return text


def roman(number: int) -> str:
    """Write a number from 1 as a Roman numeral."""
    text = ''
    for value, sign in (
        (1000, 'M'), (900, 'CM'), (500, 'D'), (400, 'CD'), (100, 'C'), (90, 'XC'),
        (50, 'L'), (40, 'XL'), (10, 'X'), (9, 'IX'), (5, 'V'), (4, 'IV'), (1, 'I'),
    ):  # fmt: skip
        text += sign * (number // value)
        number %= value
    return text


COUNTS: dict[str, Callable[[int], str]] = {
    'A': letters,
    'a': lambda number: letters(number).lower(),
    '1': str,
    'I': roman,
    'i': lambda number: roman(number).lower(),
}
# Of 87 marks that the release draws from, 23 are the same for all options; the others are letters, numbers
# and Roman numerals.
KINDS = {'-': 23, 'A': 16, 'a': 16, '1': 16, 'I': 8, 'i': 8}


class OptionForm(NamedTuple):
    """How options are listed.

    Args:
        header: what stands above them.
        before: what stands before each mark.
        count: a key of `COUNTS`, by which the marks tell the options apart; empty where all have one mark.
        mark: the mark, with a place for the count.
        space: between mark and option.
        end: behind each option.
    """

    header: str = 'OPTIONS:'
    before: str = '\n'
    count: str = ''
    mark: str = '-'
    space: str = ' '
    end: str = ''

    def marks(self, number: int) -> tuple[str, ...]:
        """Return the marks of so many options."""
        count = COUNTS.get(self.count)
        return tuple(self.mark.format(count(place)) if count else self.mark for place in range(1, number + 1))

    def block(self, options: Sequence[str]) -> str:
        """Write options as a template's `{options_}`."""
        listed = zip(self.marks(len(options)), options, strict=True)
        text = ''.join(f'{self.before}{mark}{self.space}{option}{self.end}' for mark, option in listed)
        return self.header + text if self.header else text.lstrip()

    def answers(self, options: Sequence[str]) -> tuple[str, ...]:
        """Return how each option is named in an answer: by its mark where these differ, else by its text."""
        return self.marks(len(options)) if self.count else tuple(options)

    def is_clear(self, options: Sequence[str]) -> bool:
        """Return whether no option has in it what separates them."""
        separators = [f'{self.before}{mark}' for mark in {*self.marks(len(options))}]
        separators += [f'{self.end}{self.before}'] if self.end else []
        return not any(each in f' {option}' for each in separators for option in options)

    @property
    def name(self) -> str:
        """Its first line, with `...` for the option."""
        return f'{self.header}{self.before}{self.marks(1)[0]}{self.space}...{self.end}'


PLAIN = OptionForm()  # FLAN 2021's, as `templates.options_block` writes it


def draw(key: str, options: Sequence[str]) -> OptionForm:
    """Draw a form, in which the options are clear; FLAN 2021's where it is hard to find one.

    Args:
        key: decides the draw.
        options: the options.
    """
    drawn = random.Random(key)
    for _ in range(TRIES):
        (count,) = drawn.choices(list(KINDS), list(KINDS.values()))
        if count == '-':
            form = OptionForm(drawn.choice(HEADERS), drawn.choice(BEFORE), '', drawn.choice(BULLETS))
            form = form._replace(space=drawn.choice((' ', '')))
        else:
            form = OptionForm(drawn.choice(HEADERS), drawn.choice(BEFORE), count, drawn.choice(WRAPS))
        form = form._replace(end=drawn.choice(ENDS))
        if form.is_clear(options):
            return form
    return PLAIN
