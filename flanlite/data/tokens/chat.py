"""Chat templates of Hugging Face folders: the token ids around a user's turn and behind an answer. No
TensorFlow.
"""

import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2

from flanlite import sandbox
from flanlite.reading import read_text

FILE = 'chat_template.jinja'
FIELD = 'chat_template'  # in tokenizer_config.json, where there is no such file
ASKED, ANSWERED = '\ue000asked\ue000', '\ue000answered\ue000'  # private characters: no template has them


class Turns(NamedTuple):
    """The ids before and behind the text that a model is asked, and the id that ends its answer, None where
    the template has no special token there.
    """

    before: tuple[int, ...]
    behind: tuple[int, ...]
    end: int | None


def read_turns(
    folder: pathlib.Path,
    named: Mapping[str, Any],
    special: Mapping[str, int],
    encode: Callable[[str], Sequence[int]],
) -> Turns:
    """Fill a folder's template with one turn of a user and one of the assistant.

    What the template says of tools, dates and the like is left out; a system's turn is the template's own.

    Args:
        folder: of the model.
        named: the content of tokenizer_config.json.
        special: special tokens, text to id.
        encode: turns text without special tokens into ids.

    Raises:
        ValueError: there is no template, or it cannot be filled.
    """
    template = read_template(folder, named)
    environment = sandbox.LimitedImmutable(
        trim_blocks=True, lstrip_blocks=True, extensions=['jinja2.ext.loopcontrols']
    )
    environment.add_filters(
        {'tojson': lambda value, **options: json.dumps(value, ensure_ascii=False, **options)}
    )
    environment.globals['raise_exception'] = refuse
    tokens = {name: token for name, token in named.items() if name.endswith('_token') and token}
    tokens = {name: token['content'] if isinstance(token, dict) else token for name, token in tokens.items()}
    asked, answered = (
        [{'role': 'user', 'content': ASKED}, {'role': 'assistant', 'content': ANSWERED}][:count]
        for count in (1, 2)
    )
    try:
        compiled = environment.compiled(template)
        prompt = environment.filled(compiled, tokens | {'messages': asked, 'add_generation_prompt': True})
        whole = environment.filled(compiled, tokens | {'messages': answered, 'add_generation_prompt': False})
    except sandbox.TemplateFault as error:
        raise ValueError(f'the chat template of {folder} cannot be filled: {error}') from error
    if prompt.count(ASKED) != 1 or whole.count(ANSWERED) != 1:
        raise ValueError(
            f'the chat template of {folder} writes a turn {prompt.count(ASKED)} times; expected one place '
            'for the text of each turn'
        )
    before, behind = prompt.split(ASKED)
    names = sorted(special, key=len, reverse=True)
    parts = re.compile('(' + '|'.join(map(re.escape, names)) + ')')

    def ids(text: str) -> tuple[int, ...]:
        pieces = [part for part in parts.split(text) if part]
        return tuple(i for part in pieces for i in ([special[part]] if part in special else encode(part)))

    end = parts.match(whole.split(ANSWERED)[1])
    return Turns(ids(before), ids(behind), special[end[0]] if end else None)


def read_template(folder: pathlib.Path, named: Mapping[str, Any]) -> str:
    """Return a folder's chat template; of several in tokenizer_config.json the default one."""
    if (folder / FILE).is_file():
        return read_text(folder / FILE)
    found = named.get(FIELD)
    if isinstance(found, list):
        named_each = [each for each in found if isinstance(each, dict)]
        found = {str(each.get('name')): each.get('template') for each in named_each}.get('default')
    if not found or not isinstance(found, str):
        raise ValueError(
            f'{folder} has no chat template; expected {FILE}, or {FIELD} in tokenizer_config.json, or the '
            'folder without :chat behind it'
        )
    return found


def refuse(message: str) -> None:
    """Raise what a template calls an exception."""
    raise jinja2.TemplateError(message)
