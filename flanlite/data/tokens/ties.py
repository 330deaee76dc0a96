"""Which of several equally probable segmentations a text gets, where SentencePiece's releases differ. No TensorFlow."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import sentencepiece

SPACE = '\u2581'
UNKNOWN_PENALTY = 10.0  # an unknown character's log-probability lies this far below the least of a piece
USER_DEFINED = -0.1  # what counts for a piece that is always one token


class TieBreaker:
    """Takes, of a text's equally probable segmentations, the one that TensorFlow Text takes, and with it SeqIO and T5X.

    In a unigram model `?` `???` is as probable as `???` `?`, and rounding decides. TensorFlow Text's SentencePiece keeps sums of
    log-probabilities in float32 but compares a new one before it is rounded; from 0.2.2 on SentencePiece rounds it first. Such ties
    are of neighbours that can change places (`ab == ba`, so both repeat one string). They are found by table, and the words that have
    them are gone through again with the older arithmetic (SentencePiece 0.1.96, `Model::EncodeOptimized`). Of 269,212 texts of FLAN's
    data sets four stay otherwise, keys of a hundred letters and digits in which unlike pieces come out equal.

    Args:
        processor: the tokenizer; what one that is not of a unigram model says is left as it is.
    """

    def __init__(self, processor: sentencepiece.SentencePieceProcessor) -> None:
        self.processor = processor
        ids = list(range(processor.get_piece_size()))
        tests = processor.is_control, processor.is_unknown, processor.is_byte, processor.is_unused
        apart = zip(*(test(ids) for test in tests), strict=True)
        self.ids = {piece: i for i, piece, special in zip(ids, processor.id_to_piece(ids), apart, strict=True) if not any(special)}
        scores = dict(zip(self.ids, processor.get_score(list(self.ids.values())), strict=True))
        normal = [score for score in scores.values() if score < 0]  # a user-defined piece has 0, and none of its own
        self.is_unigram = any(score % 1 for score in normal)  # in a BPE model it is a merge's rank
        self.unknown = rounded(min(normal, default=0.0) - UNKNOWN_PENALTY)
        self.scores = {piece: score if score < 0 else USER_DEFINED for piece, score in scores.items()}
        self.longest = max(map(len, self.ids), default=0)
        roots: dict[str, int] = {}
        self.roots = -1 - np.arange(len(ids))  # what a piece repeats; no two of the others have it in common
        for piece, i in self.ids.items():
            self.roots[i] = roots.setdefault(piece[: (piece + piece).find(piece, 1)], len(roots))

    def mend(self, texts: Sequence[str], encoded: list[np.ndarray]) -> list[np.ndarray]:
        """Return the ids of texts with ties broken anew; `encoded` is what the tokenizer made of them, with EOS behind each."""
        if not self.is_unigram or not encoded:
            return encoded
        flat = np.concatenate(encoded)
        roots = self.roots[flat]
        tied = np.flatnonzero((roots[1:] == roots[:-1]) & (flat[1:] != flat[:-1]))
        rows = np.unique(np.searchsorted(np.cumsum([ids.size for ids in encoded]), tied, side='right'))
        anew = {row: self.encode(texts[row]) for row in rows.tolist()}
        return [np.array([*anew[row], ids[-1]], ids.dtype) if row in anew else ids for row, ids in enumerate(encoded)]

    def encode(self, text: str) -> list[int]:
        """Turn a text into token ids, without EOS."""
        ids: list[int] = []
        total = 0.0
        for word, pieces in self.words(text):
            if any(self.roots[a] == self.roots[b] and a != b for a, b in itertools.pairwise(word)):
                word, total = self.best_path(''.join(pieces), total)
            else:
                for piece, i in zip(pieces, word, strict=True):
                    for score in [self.scores[piece]] if piece in self.scores else [self.unknown] * self.characters(piece, i):
                        total = rounded(total + score)
            ids += word
        return ids

    def words(self, text: str) -> Iterator[tuple[list[int], list[str]]]:
        """Part a text's pieces where no piece reaches across: before a space, and on both sides of what is unknown."""
        word: list[int] = []
        pieces: list[str] = []
        for i, piece in zip(self.processor.encode(text), self.processor.encode(text, out_type=str), strict=True):
            if word and (piece.startswith(SPACE) or piece not in self.scores or pieces[-1] not in self.scores):
                yield word, pieces
                word, pieces = [], []
            word.append(i)
            pieces.append(piece)
        if word:
            yield word, pieces

    def characters(self, piece: str, i: int) -> int:
        """Count the characters of an unknown piece, which may be several; of those in bytes, the first byte stands for all."""
        if self.processor.is_byte(i):
            return int(int(piece[3:5], 16) & 0xC0 != 0x80)
        return len(piece)

    def best_path(self, word: str, total: float) -> tuple[list[int], float]:
        """Find a word's pieces, and the sum of all up to its end, by Viterbi's algorithm; `total` is the sum up to its start."""
        ends = [(total, 0, 0)] + [None] * len(word)  # of each place: the greatest sum there, its last piece's start and id
        for start, character in enumerate(word):
            steps = [(word[start:stop], stop) for stop in range(start + 1, min(start + self.longest, len(word)) + 1)]
            found = [(self.scores[piece], self.ids[piece], stop) for piece, stop in steps if piece in self.ids]
            if character not in self.ids:
                found.append((self.unknown, self.processor.unk_id(), start + 1))
            for score, i, stop in found:
                there = ends[start][0] + score
                if ends[stop] is None or there > ends[stop][0]:  # not rounded yet
                    ends[stop] = rounded(there), start, i
        ids, stop = [], len(word)
        while stop:
            _, stop, i = ends[stop]
            ids.append(i)
        return ids[::-1], ends[-1][0]


def rounded(number: float) -> float:
    """Round to float32."""
    return float(np.float32(number))
