"""Vocabularies: SentencePiece models and bytes, with T5's conventions (pad 0, end 1, sentinels last in
falling order), and the tokenizers of Hugging Face folders, with their model's. No TensorFlow.
"""

import dataclasses
import functools
import hashlib
import importlib.resources
import itertools
import os
import pathlib
import re
import struct
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import sentencepiece

from flanlite import reading
from flanlite.config import check_field, read_text
from flanlite.data.tokens import ties, tokenizer_json
from flanlite.limits import whole
from flanlite.paths import absolute, at_home

PAD_ID = 0
EOS_ID = 1
UNK_ID = 2
USER_DEFINED = 4  # SentencePiece's number for the type of piece that is always one token
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
NO_INPUT_EOS = ':no_input_eos'  # at the end of a vocabulary's name: inputs do not end with EOS
SENTINELS = ':extra_ids='  # before that, where the number of sentinels is not the usual one
# A path may have colons, too.
NAME = re.compile(
    rf'(?s)(?P<kind>.*?)({SENTINELS}(?P<extra_ids>[^/:]*))?(?P<chat>{CHAT})?(?P<no_eos>{NO_INPUT_EOS})?'
)


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A vocabulary turns text into token ids and back; its subclasses do the work.

    Args:
        name: the name or path that `load` took.
        extra_ids: the number of sentinels at the end of the vocabulary.
        input_eos: whether inputs end with EOS, as targets always do.
    """

    name: str
    extra_ids: int = 0
    input_eos: bool = True

    pad_id: ClassVar[int | None] = PAD_ID

    @property
    def eos_id(self) -> int:
        """Return the id that ends an answer."""
        return EOS_ID

    @property
    def bos_id(self) -> int | None:
        """Return the id that inputs begin with, None for nothing."""
        return None

    @property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ids before and behind those of an input's text."""
        before = () if self.bos_id is None else (self.bos_id,)
        return before, (self.eos_id,) if self.input_eos else ()

    @property
    def size(self) -> int:
        """Return the number of ids, sentinels included."""
        raise NotImplementedError

    def sentinel(self, index: int) -> int:
        """Return the id of a sentinel: the vocabulary's last id is the first sentinel, the one before it the
        second, as in T5.

        Raises:
            ValueError: there are fewer sentinels.
        """
        if not 0 <= index < self.extra_ids:
            raise ValueError(f'vocabulary {self.name!r} has {self.extra_ids} sentinels, no index {index}')
        return self.size - 1 - index

    def encode(self, text: str) -> list[int]:
        """Turn a text into token ids, without EOS."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into token ids, without EOS."""
        raise NotImplementedError

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Turn texts into int32 arrays of token ids that end with EOS."""
        return [np.array([*ids, self.eos_id], np.int32) for ids in self.encode_batch(texts)]

    def as_inputs(self, ids: np.ndarray) -> np.ndarray:
        """Turn ids that end with EOS into inputs, with what stands around them in place of EOS."""
        before, behind = self.around
        if not before and behind == (self.eos_id,):
            return ids
        return np.concatenate([np.array(before, ids.dtype), ids[:-1], np.array(behind, ids.dtype)])

    def decode(self, ids: Iterable[int]) -> str:
        """Turn the ids of an answer into text, up to the first EOS and without padding."""
        kept = itertools.takewhile(lambda token: token != self.eos_id, map(int, ids))
        return self.decode_kept([token for token in kept if token != self.pad_id])

    def decode_inputs(self, ids: Iterable[int]) -> str:
        """Turn the ids of inputs into their text, without what stands around it; EOS may stand anywhere."""
        ids = [int(token) for token in ids]
        before, behind = self.around
        start = len(before) if tuple(ids[: len(before)]) == before else 0
        end = len(ids) - len(behind)
        kept = ids[start : end if tuple(ids[end:]) == behind else len(ids)]
        return self.decode_kept([token for token in kept if token not in (self.eos_id, self.pad_id)])

    def decode_kept(self, ids: list[int]) -> str:
        """Turn token ids that are neither EOS nor padding into text."""
        raise NotImplementedError

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the text that each token id stands for, a blank as `▁`."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Hash what decides the token ids."""
        raise NotImplementedError

    def own_pieces(self) -> list[str]:
        """Return what each id stands for, sentinels left out; where these are equal, ids mean the same."""
        return self.pieces(range(self.size - self.extra_ids))

    def to_seqio(self) -> Any:
        """Make SeqIO's object for the same vocabulary."""
        raise NotImplementedError

    def has_ids_of(self, other: Any) -> bool:
        """Return whether the ids of a SeqIO vocabulary mean the same here.

        SeqIO's vocabulary may lack the sentinels: these come after all other ids and change none of them.
        """
        same = self if other.extra_ids else dataclasses.replace(self, extra_ids=0)
        return same.equals(other)

    def equals(self, other: Any) -> bool:
        """Return whether SeqIO's vocabulary is this one."""
        return self.to_seqio() == other


@dataclasses.dataclass(frozen=True)
class SentencePieceVocabulary(Vocabulary):
    """A SentencePiece model with sentinels appended, as `seqio.SentencePieceVocabulary` has them.

    Args:
        path: the model file; it must reserve id 0 for padding, 1 for EOS and 2 for unknown pieces, as T5's
            models do.
    """

    path: str = ''

    def __post_init__(self) -> None:
        processor = self.processor
        got = (processor.pad_id(), processor.eos_id(), processor.unk_id())
        if got != (PAD_ID, EOS_ID, UNK_ID):
            raise ValueError(
                f'the vocabulary {self.path} has the ids pad, eos, unk = {got}; expected '
                f'{(PAD_ID, EOS_ID, UNK_ID)}: '
                'train it with --pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1'
            )

    @property
    def processor(self) -> sentencepiece.SentencePieceProcessor:
        """Return this process's tokenizer."""
        return load_processor(self.path, self.extra_ids)[0]

    @property
    def size(self) -> int:
        """Count the ids, sentinels included."""
        return self.processor.get_piece_size()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into token ids, without EOS."""
        return [ids[:-1].tolist() for ids in self.encode_arrays(texts)]

    def encode_arrays(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Turn texts into int32 arrays of token ids that end with EOS; they equal those of TensorFlow Text,
        and so of SeqIO.
        """
        encoded = self.processor.encode_as_numpy(list(texts), add_eos=True)
        return load_tie_breaker(self.path, self.extra_ids).mend(texts, encoded)

    def decode_kept(self, ids: list[int]) -> str:
        """Turn token ids into text; ids beyond the vocabulary, which padded embeddings have, count as unknown
        pieces.
        """
        size = self.size
        return self.processor.decode([token if token < size else UNK_ID for token in ids])

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the piece that each token id stands for; ids beyond the vocabulary are unknown pieces."""
        size = self.size
        return [self.processor.id_to_piece(token if token < size else UNK_ID) for token in map(int, ids)]

    def fingerprint(self) -> str:
        """Hash the model file's content and the number of sentinels."""
        return load_processor(self.path, self.extra_ids)[1] + ('' if self.input_eos else NO_INPUT_EOS)

    def to_seqio(self) -> Any:
        """Make SeqIO's object for the same vocabulary; all such objects share one tokenizer."""
        from flanlite.data.tokens import seqio_vocabulary

        return seqio_vocabulary.SharedSentencePieceVocabulary(self.path, extra_ids=self.extra_ids)

    def equals(self, other: Any) -> bool:
        """Return whether SeqIO's vocabulary is this one, no matter from which file it was loaded."""
        return getattr(other, 'sp_model', None) == self.to_seqio().sp_model


@dataclasses.dataclass(frozen=True)
class ByteVocabulary(Vocabulary):
    """UTF-8 bytes as in ByT5: the byte b has the id b + 3."""

    OFFSET = 3  # pad, eos, unk
    BYTES = 256

    @property
    def size(self) -> int:
        """Count the ids, sentinels included."""
        return self.OFFSET + self.BYTES + self.extra_ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into token ids, without EOS."""
        return [[byte + self.OFFSET for byte in text.encode()] for text in texts]

    def decode_kept(self, ids: list[int]) -> str:
        """Turn token ids into text; ids that are not bytes, and bytes that are not valid UTF-8, are left
        out.
        """
        return bytes(i - self.OFFSET for i in ids if self.OFFSET <= i < self.OFFSET + self.BYTES).decode(
            errors='ignore'
        )

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the character of each byte of ASCII, a blank as SentencePiece writes it; other bytes in
        hexadecimal.
        """
        written = ['<pad>', '</s>', '<unk>']
        for byte in range(self.BYTES):
            written.append(chr(byte) if 0x20 < byte < 0x7F else f'<0x{byte:02X}>')
        written[0x20 + self.OFFSET] = '▁'
        written += [f'<extra_id_{index}>' for index in reversed(range(self.extra_ids))]
        return [written[token] for token in map(int, ids)]

    def fingerprint(self) -> str:
        """Return a name for the scheme and the number of sentinels."""
        return f'bytes{self.extra_ids}' + ('' if self.input_eos else NO_INPUT_EOS)

    def to_seqio(self) -> Any:
        """Make SeqIO's object for the same vocabulary."""
        import seqio  # imports TensorFlow

        return seqio.ByteVocabulary(extra_ids=self.extra_ids)


@dataclasses.dataclass(frozen=True)
class TokenizerVocabulary(Vocabulary):
    """The tokenizer of a Hugging Face folder, tokenizer.json, with the BOS and EOS of its model; see
    `tokenizer_json`.

    Args:
        folder: with tokenizer.json.
        chat: whether inputs are a user's turn of the chat template, and targets the assistant's.
    """

    folder: str = ''
    chat: bool = False

    pad_id: ClassVar[int | None] = None  # lengths tell padding, and any id may be a token

    @property
    def loaded(self) -> tokenizer_json.Loaded:
        """Return this process's tokenizer."""
        return tokenizer_json.load(self.folder, self.chat)

    @property
    def size(self) -> int:
        """Count the ids."""
        return self.loaded.size

    @property
    def eos_id(self) -> int:
        """Return the id that ends an answer."""
        return self.loaded.eos_id

    @property
    def bos_id(self) -> int | None:
        """Return the id that inputs begin with, None for nothing, and in a chat."""
        return self.loaded.bos_id

    @property
    def around(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ids before and behind those of an input's text; in a chat, the template's."""
        turns = self.loaded.turns
        return super().around if turns is None else (turns.before, turns.behind)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Turn texts into token ids, without BOS and EOS."""
        encoded = self.loaded.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in encoded]

    def decode_kept(self, ids: list[int]) -> str:
        """Turn token ids into text as transformers does, without special tokens and with all spaces."""
        return self.loaded.tokenizer.decode(ids, skip_special_tokens=True)

    def fingerprint(self) -> str:
        """Hash what the folder's files say of the ids."""
        return self.loaded.fingerprint + ('' if self.input_eos else NO_INPUT_EOS)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """Return the tokenizer's piece of each token id."""
        return [self.loaded.pieces[token] for token in map(int, ids)]

    def to_seqio(self) -> Any:
        """Make SeqIO's object for the same vocabulary."""
        from flanlite.data.tokens import seqio_vocabulary

        return seqio_vocabulary.WrappedVocabulary(self)

    def has_ids_of(self, other: Any) -> bool:
        """Return whether the ids of a SeqIO vocabulary mean the same here."""
        return self.equals(other)


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

    A SentencePiece model comes before tokenizer.json: T5 was trained with it, and SeqIO reads it. ByT5, whose
    ids are bytes, has neither.

    Raises:
        ValueError: the two are of different vocabularies.
    """
    told, model = (
        tokenizer_json.read_json(folder / name) if (folder / name).is_file() else {} for name in CONFIG_FILES
    )
    if (folder / SPIECE_FILE).is_file():
        if (folder / tokenizer_json.FILE).is_file():
            check_same_pieces(folder)
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


@functools.cache
def load_processor(path: str, extra_ids: int) -> tuple[sentencepiece.SentencePieceProcessor, str]:
    """Load a tokenizer, and compute its fingerprint, once per process."""
    try:
        model = pathlib.Path(path).read_bytes()
        sentinels = b''.join(sentinel_piece(index) for index in reversed(range(extra_ids)))
        processor = sentencepiece.SentencePieceProcessor(model_proto=model + sentinels)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f'cannot load the vocabulary {path} ({error}); expected a SentencePiece model file'
        ) from error
    return processor, hashlib.sha256(model + sentinels).hexdigest()[:16]


@functools.cache
def load_tie_breaker(path: str, extra_ids: int) -> ties.TieBreaker:
    """Make the tie-breaker of a tokenizer once per process, when the tokenizer first encodes."""
    return ties.TieBreaker(load_processor(path, extra_ids)[0])


def sentinel_piece(index: int) -> bytes:
    """Return the bytes of a sentinel in a serialized SentencePiece model.

    The model is a protocol buffer, where bytes of a repeated field that are appended are one more element:
    the sentinel becomes the last piece. Its fields are the name (1), the score (2) and the type (3).
    """
    name = f'\u2581<extra_id_{index}>'.encode()
    piece = (
        b'\x0a'
        + bytes([len(name)])
        + name
        + b'\x15'
        + struct.pack('<f', 0.0)
        + b'\x18'
        + bytes([USER_DEFINED])
    )
    return b'\x0a' + bytes([len(piece)]) + piece
