"""Chat templates of Hugging Face folders: the token ids around a user's turn and behind an answer. No
TensorFlow.
"""

import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import jinja2.ext

from flanlite import sandbox
from flanlite.data.specs import notices
from flanlite.reading import read_text

FILE = 'chat_template.jinja'
FIELD = 'chat_template'  # in tokenizer_config.json, where there is no such file
PROBE = 'the hen'  # a plain text
ASKED, ANSWERED = '\ue000asked\ue000', '\ue000answered\ue000'  # private characters: no template has them


class Generation(jinja2.ext.Extension):
    """The tag around what a model writes, by which others mask the loss: its content is written as it is."""

    tags = {'generation'}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        """See `jinja2.ext.Extension.parse`."""
        next(parser.stream)
        return parser.parse_statements(('name:endgeneration',), drop_needle=True)


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
    renamed: Mapping[str, str],
    encode: Callable[[str], Sequence[int]],
) -> Turns:
    """Fill a folder's template with one turn of a user and one of the assistant.

    What the template says of tools, dates and the like is left out; a system's turn is the template's own.
    The ids of the template and those of a text are made apart. Where a template has text of its own next to
    that of a turn, so that transformers has other ids where they meet, a warning says so.

    Args:
        folder: of the model.
        named: the content of tokenizer_config.json.
        special: special tokens, text to id.
        renamed: the names of special tokens that `encode` knows, by their own.
        encode: turns text into ids.

    Raises:
        ValueError: there is no template, or it cannot be filled.
    """
    template = read_template(folder, named)
    environment = sandbox.LimitedImmutable(
        trim_blocks=True, lstrip_blocks=True, extensions=['jinja2.ext.loopcontrols', Generation]
    )
    environment.add_filters(
        {'tojson': lambda value, **options: json.dumps(value, ensure_ascii=False, **options)}
    )
    environment.globals['raise_exception'] = refuse
    tokens = {name: token for name, token in named.items() if name.endswith('_token') and token}
    tokens = {name: token['content'] if isinstance(token, dict) else token for name, token in tokens.items()}
    tokens |= {'tools': None, 'documents': None}  # as transformers fills a template without them
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

    spelled = [parts.sub(lambda found: renamed[found[0]], text) for text in (before, behind)]
    if tuple(encode(PROBE.join(spelled))) != (*ids(before), *encode(PROBE), *ids(behind)):
        notices.warn_once(
            f'the chat template of {folder} has text of its own next to that of a turn; ids may differ from '
            "transformers' where they meet"
        )
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
