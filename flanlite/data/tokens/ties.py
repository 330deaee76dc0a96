"""Ties between equally probable segmentations of a text, which SentencePiece's releases break differently. No
TensorFlow.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import sentencepiece

SPACE = '\u2581'  # how SentencePiece writes a space
UNKNOWN_PENALTY = (
    10.0  # the log-probability of an unknown character is this much below the least of all pieces
)
USER_DEFINED = -0.1  # the score of a user-defined piece, which is always one token


class TieBreaker:
    """Chooses between equally probable segmentations as TensorFlow Text does, and therefore as SeqIO and T5X
    do.

    In a unigram model `?` `???` is as probable as `???` `?`, and rounding decides. The SentencePiece inside
    TensorFlow Text keeps sums of log-probabilities in float32, but compares a new sum before it is rounded.
    SentencePiece 0.2.2 and later round it first.

    Ties occur between neighbouring pieces that can change places without changing the text. If `ab == ba`,
    both strings repeat one shorter string, their root. So pieces are looked up in a table of roots, and words
    with two neighbours of one root are segmented again with the older arithmetic (SentencePiece 0.1.96,
    `Model::EncodeOptimized`). Of 269,212 texts of FLAN's data sets, four still differ: keys of a hundred
    letters and digits, in which pieces of different roots have the same sum.

    Args:
        processor: the tokenizer; the ids of one whose model is not a unigram model stay as they are.
    """

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.processor = processor
        ids = list(range(processor.get_piece_size()))
        tests = processor.is_control, processor.is_unknown, processor.is_byte, processor.is_unused
        apart = zip(*(test(ids) for test in tests), strict=True)
        self.ids = {
            piece: i
            for i, piece, special in zip(ids, processor.id_to_piece(ids), apart, strict=True)
            if not any(special)
        }
        scores = dict(zip(self.ids, processor.get_score(list(self.ids.values())), strict=True))
        normal = [score for score in scores.values() if score < 0]  # a user-defined piece has the score 0
        # In a BPE model scores are the ranks of merges, which are whole numbers.
        self.is_unigram = any(score % 1 for score in normal)
        self.unknown = rounded(min(normal, default=0.0) - UNKNOWN_PENALTY)
        self.scores = {piece: score if score < 0 else USER_DEFINED for piece, score in scores.items()}
        self.longest = max(map(len, self.ids), default=0)
        roots: dict[str, int] = {}
        # The number of each piece's root; control pieces get numbers of their own, which never tie.
        self.roots = -1 - np.arange(len(ids))
        # A text's root ends where the text is found in its own double again.
        for piece, i in self.ids.items():
            self.roots[i] = roots.setdefault(piece[: (piece + piece).find(piece, 1)], len(roots))

    def mend(self, texts: Sequence[str], encoded: list[np.ndarray]) -> list[np.ndarray]:
        """Return the ids of texts with their ties broken again.

        Args:
            texts: the texts.
            encoded: the tokenizer's ids of each text, with EOS at the end.
        """
        if not self.is_unigram or not encoded:
            return encoded
        flat = np.concatenate(encoded)
        roots = self.roots[flat]
        tied = np.flatnonzero((roots[1:] == roots[:-1]) & (flat[1:] != flat[:-1]))
        rows = np.unique(np.searchsorted(np.cumsum([ids.size for ids in encoded]), tied, side='right'))
        anew = {row: self.encode(texts[row]) for row in rows.tolist()}
        return [
            np.array([*anew[row], ids[-1]], ids.dtype) if row in anew else ids
            for row, ids in enumerate(encoded)
        ]

    def encode(self, text: str) -> list[int]:
        """Turn a text into token ids, without EOS."""
        ids: list[int] = []
        total = 0.0
        for word, pieces in self.words(text):
            if any(self.roots[a] == self.roots[b] and a != b for a, b in itertools.pairwise(word)):
                word, total = self.best_path(''.join(pieces), total)
            else:
                for piece, i in zip(pieces, word, strict=True):
                    for score in (
                        [self.scores[piece]]
                        if piece in self.scores
                        else [self.unknown] * self.characters(piece, i)
                    ):
                        total = rounded(total + score)
            ids += word
        return ids

    def words(self, text: str) -> Iterator[tuple[list[int], list[str]]]:
        """Yield a text's words as (ids, pieces), cut where no piece can reach across: before a space, and
        around unknown pieces.
        """
        word: list[int] = []
        pieces: list[str] = []
        for i, piece in zip(
            self.processor.encode(text), self.processor.encode(text, out_type=str), strict=True
        ):
            if word and (
                piece.startswith(SPACE) or piece not in self.scores or pieces[-1] not in self.scores
            ):
                yield word, pieces
                word, pieces = [], []
            word.append(i)
            pieces.append(piece)
        if word:
            yield word, pieces

    def characters(self, piece: str, i: int) -> int:
        """Return how many unknown characters a piece adds to the sum: all of an unknown piece; of a character
        in bytes, the first byte.
        """
        if self.processor.is_byte(i):
            return int(int(piece[3:5], 16) & 0xC0 != 0x80)
        return len(piece)

    def best_path(self, word: str, total: float) -> tuple[list[int], float]:
        """Find a word's best pieces by Viterbi's algorithm.

        Args:
            word: the word.
            total: the sum of log-probabilities of the text before it; it matters, since it decides how sums
                are rounded.

        Returns:
            The ids of the pieces, and the sum at the end of the word.
        """
        # For each place: the greatest sum there, and the start and id of its last piece.
        ends = [(total, 0, 0)] + [None] * len(word)
        for start, character in enumerate(word):
            steps = [
                (word[start:stop], stop)
                for stop in range(start + 1, min(start + self.longest, len(word)) + 1)
            ]
            found = [
                (self.scores[piece], self.ids[piece], stop) for piece, stop in steps if piece in self.ids
            ]
            if character not in self.ids:
                found.append((self.unknown, self.processor.unk_id(), start + 1))
            for score, i, stop in found:
                there = ends[start][0] + score
                # `there` is compared before it is rounded; this breaks the ties.
                if ends[stop] is None or there > ends[stop][0]:
                    ends[stop] = rounded(there), start, i
        ids, stop = [], len(word)
        while stop:
            _, stop, i = ends[stop]
            ids.append(i)
        return ids[::-1], ends[-1][0]


def rounded(number: float) -> float:
    """Round to float32."""
    return float(np.float32(number))
