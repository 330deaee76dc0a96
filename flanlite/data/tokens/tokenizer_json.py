"""The tokenizer of a Hugging Face folder without a SentencePiece model: tokenizer.json, read by the library
`tokenizers`. No TensorFlow.

It differs from transformers in one point: text that spells a special token, such as `</s>`, is tokenised as
the text that it is, so that no data can end an answer. transformers' `split_special_tokens=True` is about the
same, but still finds `</s>` where the model's own pieces include it, as T5's do.
"""

import functools
import hashlib
import itertools
import json
import pathlib
import secrets
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flanlite import reading
from flanlite.config import shown
from flanlite.data.tokens import chat
from flanlite.data.tokens.chat import Turns

MOST_IDS = 1 << 24
FILE = 'tokenizer.json'
SENTINEL = '<extra_id_{}>'
# Where transformers keeps the names of special tokens.
NAMED_IN = ('tokenizer_config.json', 'special_tokens_map.json')
NAMES = ('bos_token', 'eos_token', 'unk_token', 'pad_token', 'sep_token', 'cls_token', 'mask_token')
# The files that name the id that ends an answer, the first that has one decides. A model that was tuned to
# answer may say it in the first only.
ENDS_IN = ('generation_config.json', 'config.json')


class Loaded(NamedTuple):
    """A tokenizer and the ids that the model expects beside a text's own.

    Args:
        tokenizer: a `tokenizers.Tokenizer` that gives special tokens for no text.
        size: the number of ids.
        bos_id: what inputs begin with, None for nothing.
        eos_id: what ends an answer.
        input_eos: whether inputs end with EOS.
        sentinels: how many of T5's sentinels are the last ids, in falling order.
        pieces: the text of each id as the file has it, empty where there is none.
        turns: the ids around what is asked in a chat, None where nothing is.
        fingerprint: a hash of all that decides the ids.
    """

    tokenizer: Any
    size: int
    bos_id: int | None
    eos_id: int
    input_eos: bool
    sentinels: int
    pieces: tuple[str, ...]
    turns: Turns | None
    fingerprint: str


@functools.cache
def load(folder: str, in_chat: bool = False) -> Loaded:
    """Load a folder's tokenizer once per process.

    Inputs have BOS and EOS where its post-processor puts them; as in transformers 5, `add_bos_token` and
    `add_eos_token` in tokenizer_config.json say nothing beside a tokenizer.json. The id that ends an answer
    is `eos_token_id` in generation_config.json, or config.json; of several, the one that is the tokenizer's
    `eos_token`, else the first. Where neither file has it, it is the tokenizer's `eos_token`. In a chat, all
    this is as the template has it.

    Args:
        folder: with tokenizer.json.
        in_chat: whether inputs are a user's turn, and answers the assistant's.

    Raises:
        ValueError: a file cannot be read, or none says what ends an answer.
    """
    import tokenizers  # takes 40 ms, and most runs need it not

    path = pathlib.Path(folder)
    described = read_json(path / FILE)
    named: dict[str, Any] = {}
    for name in reversed(NAMED_IN):
        named |= read_json(path / name) if (path / name).is_file() else {}
    try:
        plain = tokenizers.Tokenizer.from_str(json.dumps(described | {'truncation': None, 'padding': None}))
        ids = plain.get_vocab(with_added_tokens=True)
        special = special_tokens(described, named) & ids.keys()
        renamed = secret_names(special, ids)
        closed = tokenizers.Tokenizer.from_str(json.dumps(without_names(described, renamed, ids)))
    except Exception as error:  # tokenizers raises plain exceptions
        raise ValueError(
            f'cannot load the vocabulary {path / FILE} ({error}); expected one that transformers saved'
        ) from error
    if (last := max(ids.values(), default=0)) >= MOST_IDS:
        raise ValueError(f'{path / FILE} has the id {last:,}; expected ids below {MOST_IDS:,}')
    own_eos = ids.get(content(named.get('eos_token')))
    eos_id = find_eos(path, own_eos)
    if eos_id not in ids.values():
        raise ValueError(
            f'{path} says that {shown(eos_id)} ends an answer; expected an id of its {FILE}, at most {last}'
        )
    before, after = added(plain, ids)
    if len(before) > 1 or set(after) - {eos_id, own_eos}:
        raise ValueError(
            f'the vocabulary {path / FILE} puts the tokens {before} before a text and {after} behind it; '
            f'expected one at most before it, and behind it EOS ({eos_id}) or nothing'
        )
    bos_id, input_eos = next(iter(before), None), bool(after)
    turns = None
    if in_chat:
        plain_ids = lambda text: closed.encode(text, add_special_tokens=False).ids  # noqa: E731
        turns = chat.read_turns(path, named, {name: ids[name] for name in special}, renamed, plain_ids)
        bos_id, eos_id, input_eos = None, eos_id if turns.end is None else turns.end, False
    size = max(ids.values()) + 1
    sentinels = next(
        count for count in itertools.count() if ids.get(SENTINEL.format(count)) != size - 1 - count
    )
    decisive = json.dumps([described, sorted(special), bos_id, eos_id, turns], sort_keys=True)
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:16]
    by_id = {i: piece for piece, i in ids.items()}
    pieces = tuple(by_id.get(i, '') for i in range(size))
    return Loaded(closed, size, bos_id, eos_id, input_eos, sentinels, pieces, turns, digest)


def special_tokens(described: Mapping[str, Any], named: Mapping[str, Any]) -> set[str | None]:
    """Collect the texts of special tokens: those that tokenizer.json says to be special, and those that the
    other files name for a purpose, but for a lone character such as `!` for padding, which is text.
    """
    listed = {token['content'] for token in described['added_tokens'] if token['special']}
    named_here = {content(named.get(name)) for name in NAMES}
    return listed | {name for name in named_here if name is not None and len(name) > 1}


def has_more(folder: pathlib.Path, extra_ids: int) -> bool:
    """Return whether tokens were added to a folder's tokenizer beside special ones and T5's sentinels."""
    sentinels = {SENTINEL.format(number) for number in range(extra_ids)}
    listed = read_json(folder / FILE).get('added_tokens') or ()
    return any(not token.get('special') and token.get('content') not in sentinels for token in listed)


def content(token: Any) -> str | None:
    """Return the text of a token, which transformers writes as it is or in a dictionary."""
    return token.get('content') if isinstance(token, dict) else token


def secret_names(special: set[str], ids: Mapping[str, int]) -> dict[str, str]:
    """Return names of special tokens that no text can spell, by their own."""
    unknowable = secrets.token_hex(16)
    return {name: f'{unknowable}{ids[name]}' for name in special}


def without_names(
    described: Mapping[str, Any], renamed: Mapping[str, str], ids: Mapping[str, int]
) -> dict[str, Any]:
    """Return a tokenizer's description with other names for special tokens."""
    special = set(renamed)

    def rename(name: str) -> str:
        return renamed.get(name, name)

    model = dict(described['model'])
    if isinstance(model['vocab'], dict):
        model['vocab'] = {rename(name): i for name, i in model['vocab'].items()}
    else:  # Unigram's pieces with their scores
        model['vocab'] = [[rename(name), score] for name, score in model['vocab']]
    if model.get('unk_token'):
        model['unk_token'] = rename(model['unk_token'])
    if 'merges' in model:  # either 'a b' or ['a', 'b']
        model['merges'] = [
            merge
            for merge in model['merges']
            if not special
            & {*(parts := merge.split(' ') if isinstance(merge, str) else merge), ''.join(parts)}
        ]
    listed = [
        token | {'content': rename(token['content']), 'special': token['content'] in special}
        for token in described['added_tokens']
    ]
    usual = {'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': False, 'special': True}
    for name in sorted(special - {token['content'] for token in described['added_tokens']}):
        listed.append({'id': ids[name], 'content': rename(name)} | usual)
    return {**described, 'model': model, 'added_tokens': listed, 'truncation': None, 'padding': None}


def added(tokenizer: Any, pieces: Iterable[str]) -> tuple[list[int], list[int]]:
    """Return the ids that a tokenizer's post-processor puts before and behind a text, which is one that it
    knows: `a`, or one of its pieces.
    """
    known = (each for each in ('a', *pieces) if tokenizer.encode(each, add_special_tokens=False).ids)
    text = next(known, 'a')
    bare, whole = (tokenizer.encode(text, add_special_tokens=flag).ids for flag in (False, True))
    start = next(place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def find_eos(path: pathlib.Path, own: int | None) -> int:
    """Return the id that ends an answer; see `load`."""
    for name in ENDS_IN:
        found = read_json(path / name).get('eos_token_id') if (path / name).is_file() else None
        several = [found] if isinstance(found, int) else found
        if several:
            return own if own in several else several[0]
    if own is None:
        raise ValueError(
            f'no file in {path} says what ends an answer; expected eos_token_id in {" or ".join(ENDS_IN)}, '
            f'or eos_token in {NAMED_IN[0]}'
        )
    return own


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Read a JSON object; raise a `ValueError` if the file holds none."""
    found = reading.read_json(path)
    if not isinstance(found, dict):
        raise ValueError(f'{path} is {shown(found)}; expected a JSON object')
    return found
