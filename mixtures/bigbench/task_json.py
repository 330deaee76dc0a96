"""A `task.json` of BIG-bench: what its keys mean, and how its examples are written, as `bigbench/api/json_task.py` does it.

An example is `example_input_prefix`, the input, its choices each behind `choice_prefix`, and `example_output_prefix`; exemplars are written
likewise, each with its answer and `few_shot_example_separator` behind it; `task_prefix` stands before all. Choices stand in an order that is drawn by
the row. An option counts what `target_scores` says.
"""

import json
import pathlib
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

from flanlite.data.specs.sources import Row
from flanlite.metrics.classification import graded

NAME = 'task.json'
WHOLE = 1 << 18  # bytes up to which a file is read whole to list it; of a larger one, what stands before its examples
WRITTEN = {'example_input_prefix': '', 'example_output_prefix': '', 'append_choices_to_input': False}  # of inputs that have all this in them
KEYS = ('preferred_score', 'metrics', 'stop_string', 'output_regex')  # what is said of a task before its examples are read
SENTENCE = r'[^\.\?\!\;\n]+'  # what is scored of a generated text, where a task says nothing else


def read_about(path: pathlib.Path) -> dict[str, Any]:
    """Read what a file says of its task, without its examples.

    Raises:
        ValueError: it is no task.
    """
    content = path.read_bytes()
    before, _, behind = content.partition(b'"examples"')
    if len(content) > WHOLE and not any(f'"{key}"'.encode() in behind for key in KEYS):
        try:
            return json.loads(before.decode('utf-8-sig').rstrip().rstrip(',') + '}')
        except ValueError:
            pass  # the word stands elsewhere first
    return load(path)


def load(path: pathlib.Path) -> dict[str, Any]:
    """Read a file whole."""
    try:
        task = json.loads(path.read_text(encoding='utf-8-sig'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path} is no JSON in UTF-8: {error}') from error
    if not isinstance(task, dict) or not isinstance(task.get('examples'), list):
        raise ValueError(f'{path} has no list "examples"')
    return task


def read(file: str, chosen: bool, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a task's examples, each once.

    Args:
        file: below the folder.
        chosen: whether an answer is chosen from options rather than written.
        folder: that of all tasks.
        split: there is only one, `test`.
    """
    del split
    task, seen = load(folder / file), set()
    for number, example in enumerate(task['examples']):
        if (text := json.dumps(example)) in seen:
            continue
        seen.add(text)
        try:
            yield row_of(task, example, number, chosen)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f'{folder / file}, example {number}: {type(error).__name__}: {error}; it is {text[:200]}') from error


def row_of(task: Mapping[str, Any], example: Mapping[str, Any], number: int, chosen: bool) -> Row:
    """Write an example, and its answers."""
    scores = example.get('target_scores') or {}
    shown = ''
    if scores and task.get('append_choices_to_input', True):
        order = random.Random(number).sample(sorted(scores), len(scores))
        shown = ''.join(task.get('choice_prefix', '\n  choice: ') + choice for choice in order)
    asked = task.get('example_input_prefix', '\nQ: ') + example['input'] + shown + task.get('example_output_prefix', '\nA: ')
    row = {
        'header': task.get('task_prefix') or '',
        'input': asked,
        'separator': task.get('few_shot_example_separator', '\n'),
    }
    if not chosen:
        answers = example.get('target', [choice for choice, score in scores.items() if score == max(scores.values())])
        answers = [answers] if isinstance(answers, str) else list(answers)
        if not answers:
            raise ValueError('it has no target')
        return row | {'answer': answers[0], 'answers': answers}
    if not scores:
        raise ValueError('it has no target_scores')
    best = max(scores, key=scores.get)
    binary = set(scores.values()) <= {0, 1} and max(scores.values()) == 1
    answers = [choice if binary else graded(choice, score) for choice, score in scores.items() if score > 0]
    return row | {'options': list(scores), 'answer': best, 'answers': answers or [graded(best, 0)]}


def texts(value: Any) -> list[str]:
    """Return the texts of a key that may hold one or several."""
    return [text for text in ([value] if isinstance(value, str) else value or ()) if isinstance(text, str) and text]


def stops(about: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the texts at which a generated answer ends."""
    return tuple(texts(about.get('stop_string')))


def extraction(about: Mapping[str, Any]) -> str:
    """Return the regular expression of the answer in a generated text: the first match of the task's own, or the first sentence where it
    says neither this nor where an answer stops; the empty text where nothing matches.
    """
    pattern = about.get('output_regex') or ('' if stops(about) else SENTENCE)
    if not pattern:
        return ''
    flags = re.match(r'(\(\?[aiLmsux]+\))*', pattern)[0]  # which may stand at the beginning alone
    own = pattern[len(flags) :] + ('\n' if 'x' in flags else '')  # a comment may end it
    return rf'{flags}\A[\s\S]*?({"?:" if re.compile(pattern).groups else ""}{own})|\A'
