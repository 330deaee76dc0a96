"""What the columns of instruction data mean: chats, instructions, pairs of inputs and targets."""

import dataclasses
import functools
import pathlib
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
BELOW = 'input'  # of an instruction
OPTIONS = ('options', 'answer_choices')


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
                f'{column} are chats, whose answers of the assistant are the targets',
                functools.partial(chat_examples, column),
            )
    for inputs, target in PAIRS:
        if inputs in row and target in row:
            below = BELOW if inputs == 'instruction' and BELOW in row else None
            more = f' with {BELOW} below it' if below else ''
            return Form(
                f'{inputs}{more} is the input, {target} the target',
                functools.partial(pair_examples, inputs, below, target),
            )
    pairs = ', '.join(f'{inputs} and {target}' for inputs, target in PAIRS)
    columns = ' '.join(', '.join(map(str, row)).split())[:200]
    raise ValueError(
        f'{file} has the columns {columns}; expected {" or ".join(TURNS)}, or one of these '
        f'pairs: {pairs}; rename them, or write a DatasetSpec'
    )


def pair_examples(inputs: str, below: str | None, target: str, row: Row) -> Iterator[Row]:
    """Make the example of a row with an input and a target."""
    if chats := [column for column in (inputs, target) if isinstance(row.get(column), list)]:
        if len(chats) < 2:
            raise BadRow(f'{chats[0]} is a list of turns and the other column is not')
        yield from chat_examples('both', {'both': [*row[inputs], *row[target]]}, len(row[inputs]))
        return
    text = text_of(row, inputs)
    if below and row.get(below) not in (None, ''):
        text = f'{text}\n\n{text_of(row, below)}'
    example = {'input': text, 'answer': text_of(row, target)}
    for column in OPTIONS:
        options = row.get(column)
        if isinstance(options, list) and options and all(isinstance(option, str) for option in options):
            if example['answer'] not in options:
                raise BadRow(f'the target {example["answer"]!r} is none of the {column} {options}')
            example['options'] = options
    yield example


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
    said: list[tuple[str, str]] = []
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
