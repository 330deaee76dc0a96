"""What the columns of instruction data mean: chats, instructions, pairs of inputs and targets."""

import dataclasses
import functools
import pathlib
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flanlite.data.specs.sources import Row

TURNS = ('messages', 'conversations')
ROLES = {'user': 'User', 'human': 'User', 'assistant': 'Assistant', 'gpt': 'Assistant', 'model': 'Assistant'}
ROLES |= {'chatgpt': 'Assistant', 'bot': 'Assistant', 'system': 'System', 'developer': 'System'}
ROLES |= {'tool': 'Tool', 'function': 'Tool', 'observation': 'Tool'}
# Columns of inputs and of the target; of the first pair that a file has.
PAIRS = (
    ('inputs_pretokenized', 'targets_pretokenized'),  # P3's
    ('inputs', 'targets'),
    ('prompt', 'completion'),
    ('instruction', 'output'),  # Alpaca's, with `input` below the instruction
    ('instruction', 'response'),
    ('prompt', 'response'),
    ('input', 'output'),
    ('question', 'answer'),
)
# What stands below an instruction or a question, where a row has it: Alpaca's, and Dolly's.
BELOW = {'instruction': ('input', 'context'), 'question': ('context',)}
OPTIONS = ('options', 'answer_choices', 'choices')
INDEXED = 'choices'  # options of which an answer that is a number or a letter says which (MMLU)
BEFORE = ('system', 'history')  # of what is asked: a text, and pairs of what was asked and answered
WRONG = 'is_correct'  # false in rows of P3 whose target is a wrong one


class BadRow(ValueError):
    """A row that is no example; the message says why."""


@dataclasses.dataclass(frozen=True)
class Form:
    """What the columns of a file mean.

    Args:
        meaning: in words.
        examples: turns a row into rows of `Files`; a `BadRow` where it cannot.
    """

    meaning: str
    examples: Callable[[Row], Iterator[Row]]


def form_of(row: Row, file: pathlib.Path) -> Form:
    """Tell by a row's columns what they mean.

    Raises:
        ValueError: they mean nothing that is known here.
    """
    for column in TURNS:
        if column in row:
            return Form(
                f'{column} are chats, whose answers of the assistant are the targets'
                + unread(row, {column, BEFORE[0]}),
                functools.partial(chat_examples, column),
            )
    for inputs, target in PAIRS:
        if inputs in row and target in row:
            below = BELOW.get(inputs, ())
            there = [name for name in below if name in row]
            more = f' with {" and ".join(there)} below it' if there else ''
            read = {inputs, target, *below, *OPTIONS, *BEFORE, WRONG}
            return Form(
                f'{inputs}{more} is the input, {target} the target{unread(row, read)}',
                functools.partial(pair_examples, inputs, below, target),
            )
    pairs = ', '.join(f'{inputs} and {target}' for inputs, target in PAIRS)
    columns = ' '.join(', '.join(map(str, row)).split())[:200]
    raise ValueError(
        f'{file} has the columns {columns}; expected {" or ".join(TURNS)}, or one of these '
        f'pairs: {pairs}; rename them, or write a DatasetSpec'
    )


def unread(row: Row, read: set[str]) -> str:
    """Name the columns of a row that are not read and hold something, as the end of a sentence."""
    others = [str(name) for name in row if name not in read and row[name] not in (None, '', [], {})]
    return f'; not read: {", ".join(others)[:200]}' if others else ''


def pair_examples(inputs: str, below: Sequence[str], target: str, row: Row) -> Iterator[Row]:
    """Make the example of a row with an input and a target."""
    if row.get(WRONG) is False:
        return
    if chats := [column for column in (inputs, target) if isinstance(row.get(column), list)]:
        if len(chats) < 2:
            raise BadRow(f'{chats[0]} is a list of turns and the other column is not')
        both = {'both': [*row[inputs], *row[target]], **{name: row[name] for name in BEFORE if name in row}}
        yield from chat_examples('both', both, len(row[inputs]))
        return
    text = text_of(row, inputs)
    for name in below:
        if not is_empty(row.get(name)):
            text = f'{text}\n\n{text_of(row, name)}'
    example = {'input': written([*said_before(row), ('User', text)]), 'answer': text_of(row, target)}
    for column in OPTIONS:
        options = row.get(column)
        if isinstance(options, list) and options and all(map(is_option, options)):
            example['options'] = [str(option) for option in options]
            example['answer'] = option_of(row[target], example['options'], column)
    yield example


def is_empty(found: Any) -> bool:
    """Return whether a column says nothing."""
    return found is None or (isinstance(found, str) and not found.strip())


def is_option(found: Any) -> bool:
    """Return whether a value is an option: a text or a whole number."""
    return isinstance(found, str | int) and not isinstance(found, bool)


def option_of(found: str | int, options: Sequence[str], column: str) -> str:
    """Return the option that an answer is: the same text but for white space around it. Of `choices` a number
    is the place, from 0, and a text that is none of them a place or letter.
    """
    answer, indexed = str(found), column == INDEXED
    counted = indexed and isinstance(found, int)
    same = [] if counted else [option for option in options if option.strip() == answer.strip()]
    places = {str(place): place for place in range(len(options))} if indexed else {}
    places |= {letter: place for place, letter in enumerate(string.ascii_uppercase[: len(places)])}
    if not same and answer in places:
        return options[places[answer]]
    if not same:
        raise BadRow(f'the target {answer!r} is none of the {column} {list(options)}')
    return same[0]


def said_before(row: Row) -> list[tuple[str, str]]:
    """Return what was said before a row's input: its system's text, and the pairs of its history."""
    said = []
    system, history = (row.get(name) for name in BEFORE)
    if isinstance(system, str) and system.strip():
        said.append(('System', system))
    for number, pair in enumerate(history if isinstance(history, list) else ()):
        if not isinstance(pair, list | tuple) or [type(text) for text in pair] != [str, str]:
            raise BadRow(f'history has {shortened(pair)} at {number}; expected a pair of texts')
        said += zip(('User', 'Assistant'), pair, strict=True)
    return said


def text_of(row: Mapping[str, Any], column: str) -> str:
    """Return the text of a column."""
    if column not in row:
        raise BadRow(f'it has no {column}')
    found = row[column]
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str):
        raise BadRow(f'{column} is {shortened(found)}; expected a text')
    if not found.strip():
        raise BadRow(f'{column} is empty')
    return found


def chat_examples(column: str, row: Row, first: int = 0) -> Iterator[Row]:
    """Make an example of each answer of the assistant.

    Args:
        column: of the turns.
        row: has it.
        first: answers before this turn are none.
    """
    turns = row.get(column)
    if not isinstance(turns, list) or not turns:
        raise BadRow(f'{column} is {shortened(turns)}; expected a list of turns')
    told = isinstance(turns[0], dict) and turns[0].get('role', turns[0].get('from')) == 'system'
    said = [] if told or 'history' in row else said_before(row)
    answers = []
    for number, turn in enumerate(turns):
        role, text, counts = read_turn(turn, f'turn {number} of {column}')
        if role == 'Assistant':
            if not any(other == 'User' for other, _ in said):
                raise BadRow(f'turn {number} of {column} is an answer, and nobody asked before it')
            if number >= first and counts:
                answers.append({'input': written(said), 'answer': text})
        said.append((role, text))
    if not answers:
        raise BadRow(f'{column} has no answer of the assistant to train on')
    yield from answers


def read_turn(turn: Any, where: str) -> tuple[str, str, bool]:
    """Read a turn of OpenAI's or ShareGPT's form: who speaks, what is said, whether it is trained on."""
    if not isinstance(turn, dict):
        raise BadRow(f'{where} is {shortened(turn)}; expected role and content')
    named = turn.get('role', turn.get('from'))
    role = ROLES.get(named.lower()) if isinstance(named, str) else None
    if role is None:
        raise BadRow(f'{where} has the role {shortened(named)}; expected one of {", ".join(ROLES)}')
    content = turn.get('content', turn.get('value'))
    if content is None and (turn.get('tool_calls') or turn.get('function_call')):
        raise BadRow(f'{where} calls a tool, which is no text')
    if isinstance(content, list):
        kinds = [part.get('type') if isinstance(part, dict) else part for part in content]
        if other := [kind for kind in kinds if kind != 'text']:
            raise BadRow(f'{where} has a part {shortened(other[0])}; expected text')
        content = '\n'.join(text_of(part, 'text') for part in content)
    if not isinstance(content, str):
        raise BadRow(f'{where} says {shortened(content)}; expected a text')
    if not content.strip():
        raise BadRow(f'{where} is empty')
    return role, content, turn.get('weight', 1) != 0


def written(said: Sequence[tuple[str, str]]) -> str:
    """Write turns as an input: a lone question as it is, others with who speaks before each."""
    if len(said) == 1:
        return said[0][1]
    return '\n\n'.join(f'{role}: {text}' for role, text in said)


def shortened(found: Any) -> str:
    """Show a value in a message."""
    text = repr(found)
    return text if len(text) <= 60 else f'{text[:57]}...'
