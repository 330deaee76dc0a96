"""The vocabularies that are known by name, or lie in a file or folder, and the names that make them again."""

import importlib.resources
import os
import pathlib
import re
from typing import Annotated, Any

from flanlite import reading
from flanlite.config import check_field, read_text
from flanlite.data.tokens import tokenizer_json
from flanlite.data.tokens.vocabulary import (
    NO_INPUT_EOS,
    ByteVocabulary,
    SentencePieceVocabulary,
    TokenizerVocabulary,
    Vocabulary,
    load_processor,
)
from flanlite.limits import whole
from flanlite.paths import absolute, at_home

NAMES = ('pocket', 't5', 'bytes')
# T5's and ByT5's own numbers; a small model can spare few embeddings.
EXTRA_IDS = {
    'pocket': 32,
    't5': 100,
    'bytes': 125,
}
USUAL_EXTRA_IDS = 100  # of other models
ExtraIds = Annotated[int, whole(0, 10_000)]
SPIECE_FILE = 'spiece.model'
CONFIG_FILES = ('tokenizer_config.json', 'config.json')
BYTES_SIZE = 384  # vocab_size of ByT5, the only released T5 without SentencePiece
T5_FILE = 't5_sentencepiece.model'
CHAT = ':chat'  # behind a folder: inputs and targets are turns of its chat template
SENTINELS = ':extra_ids='  # before that, where the number of sentinels is not the usual one
# A path may have colons, too.
NAME = re.compile(
    rf'(?s)(?P<kind>.*?)({SENTINELS}(?P<extra_ids>[^/:]*))?(?P<chat>{CHAT})?(?P<no_eos>{NO_INPUT_EOS})?'
)


def load(
    name: str | Vocabulary, data_dir: str | os.PathLike | None = None, extra_ids: int | None = None
) -> Vocabulary:
    """Load a vocabulary by name or path.

    Args:
        name: `pocket`, `t5`, `bytes`, the path of a SentencePiece model, or a Hugging Face folder, with
            spiece.model or tokenizer.json; a vocabulary is returned as it is. If the name ends with
            `:no_input_eos`, only targets end with EOS, and inputs do not, as in T0. With `:chat` behind a
            folder, inputs and targets are turns of its chat template.
        data_dir: the data folder, where T5's vocabulary may be; by default that of FLANLITE_DATA_DIR.
        extra_ids: the number of sentinels to append; by default 100, for `pocket` 32 and for `bytes` 125. A
            number in the name, such as `bytes:extra_ids=7`, overrides it. A folder says it itself.

    Raises:
        ValueError: there is no such vocabulary, or the file is not a SentencePiece model with T5's special
            ids.
    """
    if isinstance(name, Vocabulary):
        return name
    kind, in_name, in_chat, input_eos = parts_of(name)
    if in_name is not None:
        extra_ids = read_text(f'{SENTINELS} in the vocabulary {name!r}', in_name, ExtraIds)
    if kind not in NAMES and (folder := pathlib.Path(kind)).is_dir():
        if in_name:
            raise ValueError(
                f'got the vocabulary {name!r}; expected no {SENTINELS!r}: a folder says it itself'
            )
        with reading.foreign(folder):
            return load_folder(folder, in_chat, input_eos, data_dir)
    if in_chat:
        raise ValueError(
            f'got the vocabulary {name!r}; expected a folder with {tokenizer_json.FILE} before {CHAT!r}'
        )
    usual = EXTRA_IDS.get(kind, USUAL_EXTRA_IDS)
    count = usual if extra_ids is None else check_field('extra_ids', extra_ids, ExtraIds)
    name = full_name(kind, count, input_eos)
    if kind == 'bytes':
        return ByteVocabulary(name, count, input_eos)
    return SentencePieceVocabulary(name, count, input_eos, path=find_model(kind, data_dir))


def load_folder(
    folder: pathlib.Path, in_chat: bool, input_eos: bool, data_dir: str | os.PathLike | None
) -> Vocabulary:
    """Load the vocabulary of a Hugging Face folder; see `load`."""
    own = name_in_folder(folder)
    if own is None:
        raise ValueError(
            f'the folder {folder} has neither {SPIECE_FILE} nor {tokenizer_json.FILE}; expected a folder '
            "that save_pretrained of transformers wrote, with the tokenizer's, or another vocabulary"
        )
    if own != str(folder):
        return load(own + (CHAT if in_chat else '') + ('' if input_eos else NO_INPUT_EOS), data_dir)
    found = tokenizer_json.load(own, in_chat)
    bare = found.input_eos and not input_eos
    full = own + (CHAT if in_chat else '') + (NO_INPUT_EOS if bare else '')
    return TokenizerVocabulary(full, found.sentinels, found.input_eos and not bare, folder=own, chat=in_chat)


def parts_of(name: str) -> tuple[str, str | None, bool, bool]:
    """Split a vocabulary's name: its kind or absolute path, the number of sentinels as it stands there,
    whether texts are turns of a chat, and whether inputs end with EOS.
    """
    found = NAME.fullmatch(name)
    kind = found['kind'] if found['kind'] in NAMES else absolute(found['kind'])
    return kind, found['extra_ids'], bool(found['chat']), not found['no_eos']


def absolute_name(name: str) -> str:
    """Return a vocabulary's name with an absolute path, so that it means the same from any folder."""
    kind = NAME.fullmatch(name)['kind']
    return parts_of(name)[0] + name.removeprefix(kind)


def name_in_folder(folder: pathlib.Path) -> str | None:
    """Return the name, for `load`, of the vocabulary that a Hugging Face folder has; None if there is none.

    A SentencePiece model comes before tokenizer.json: T5 was trained with it, and SeqIO reads it; but where
    tokens were added to tokenizer.json, that has more. ByT5, whose ids are bytes, has neither.

    Raises:
        ValueError: the two are of different vocabularies.
    """
    told, model = (
        tokenizer_json.read_json(folder / name) if (folder / name).is_file() else {} for name in CONFIG_FILES
    )
    if (folder / SPIECE_FILE).is_file():
        if (folder / tokenizer_json.FILE).is_file():
            check_same_pieces(folder)
            if tokenizer_json.has_more(folder, told.get('extra_ids', USUAL_EXTRA_IDS)):
                return str(folder)
        return full_name(str(folder / SPIECE_FILE), told.get('extra_ids', USUAL_EXTRA_IDS))
    if (folder / tokenizer_json.FILE).is_file():
        return str(folder)
    if told.get('tokenizer_class') == 'ByT5Tokenizer' or model.get('vocab_size') == BYTES_SIZE:
        return full_name('bytes', told.get('extra_ids', EXTRA_IDS['bytes']))
    return None


def check_same_pieces(folder: pathlib.Path) -> None:
    """Raise a `ValueError` if a folder's SentencePiece model and its tokenizer.json give two pieces to one
    id; a tokenizer.json that cannot be read says nothing.
    """
    try:
        other = tokenizer_json.load(str(folder))
    except ValueError:
        return
    processor = load_processor(str(folder / SPIECE_FILE), 0)[0]
    pieces = processor.id_to_piece(list(range(processor.get_piece_size())))
    for number, (piece, theirs) in enumerate(zip(pieces, other.pieces, strict=False)):
        if piece != theirs:
            raise ValueError(
                f'{folder} has two vocabularies: id {number} is {piece!r} in {SPIECE_FILE} and {theirs!r} in '
                f'{tokenizer_json.FILE}; remove the one that the model was not trained with'
            )


def full_name(kind: str, extra_ids: int, input_eos: bool = True) -> str:
    """Return the name from which `load` makes a vocabulary again; settings that are usual are left out."""
    sentinels = '' if extra_ids == EXTRA_IDS.get(kind, USUAL_EXTRA_IDS) else f'{SENTINELS}{extra_ids}'
    return kind + sentinels + ('' if input_eos else NO_INPUT_EOS)


def with_input_eos_of(name: str, other: str) -> str:
    """Return the name of a vocabulary whose inputs end with EOS where those of `other` do."""
    return name.removesuffix(NO_INPUT_EOS) + (NO_INPUT_EOS if other.endswith(NO_INPUT_EOS) else '')


def name_of_seqio(feature: Any) -> str:
    """Return the name of the vocabulary of a SeqIO task's feature; one without sentinels gets the usual
    number.

    Raises:
        ValueError: flanlite has no vocabulary of its kind.
    """
    import seqio

    found, input_eos = feature.vocabulary, feature.add_eos
    if isinstance(ours := getattr(found, 'wrapped', None), TokenizerVocabulary):
        bare = ours.loaded.input_eos and not input_eos
        return ours.folder + (CHAT if ours.chat else '') + (NO_INPUT_EOS if bare else '')
    if isinstance(found, seqio.ByteVocabulary):
        return full_name('bytes', found.extra_ids or EXTRA_IDS['bytes'], input_eos)
    if isinstance(found, seqio.SentencePieceVocabulary):
        return full_name(found.sentencepiece_model_file, found.extra_ids or USUAL_EXTRA_IDS, input_eos)
    raise ValueError(
        f'the tokens are of a {type(found).__name__}; expected a ByteVocabulary, a SentencePieceVocabulary, '
        "or what to_seqio() makes of a Hugging Face folder's vocabulary"
    )


def find_model(name: str, data_dir: str | os.PathLike | None = None) -> str:
    """Return the path of a vocabulary's model file.

    Raises:
        ValueError: there is no such file; the message says how to get it.
    """
    if name == 'pocket':
        return str(importlib.resources.files('flanlite.mixtures') / 'pocket' / 'assets' / 'pocket.model')
    if name == 't5':
        named = os.environ.get('FLANLITE_T5_VOCAB')
        candidates = [at_home(named)] if named else []
        if folder := data_dir or os.environ.get('FLANLITE_DATA_DIR'):
            candidates.append(str(pathlib.Path(at_home(folder)) / 'vocab' / T5_FILE))
        for path in candidates:
            if pathlib.Path(path).is_file():
                return path
        raise ValueError(
            f"T5's vocabulary is in none of {candidates}; name its file in "
            'FLANLITE_T5_VOCAB, or put it at '
            f'vocab/{T5_FILE} in the data folder, --data_dir or FLANLITE_DATA_DIR '
            '(T5 publishes it as gs://t5-data/vocabs/cc_all.32000/sentencepiece.model), '
            'or use the vocabulary pocket, bytes, or the path of another SentencePiece model'
        )
    if not pathlib.Path(name).is_file():
        raise ValueError(
            f'no vocabulary {name!r}; expected one of {", ".join(NAMES)}, the path of a SentencePiece model, '
            'or a Hugging Face folder'
        )
    return name
