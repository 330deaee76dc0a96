"""Vocabularies: SentencePiece models and bytes, with T5's conventions (pad 0, end 1, sentinels last in
falling order), and the tokenizers of Hugging Face folders, with their model's. No TensorFlow.
"""

import dataclasses
import functools
import hashlib
import itertools
import pathlib
import struct
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import sentencepiece

from flanlite.data.tokens import ties, tokenizer_json

PAD_ID = 0
EOS_ID = 1
UNK_ID = 2
NO_INPUT_EOS = ':no_input_eos'  # at the end of a vocabulary's name: inputs do not end with EOS
USER_DEFINED = 4  # SentencePiece's number for the type of piece that is always one token


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
