"""SeqIO's vocabularies for ours: SentencePiece with one TensorFlow tokenizer for all tasks, and any other of
ours, called from TensorFlow. Imports SeqIO and TensorFlow.
"""

import functools
from collections.abc import Sequence
from typing import Any

import seqio
import tensorflow as tf
import tensorflow_text as tf_text


class SharedSentencePieceVocabulary(seqio.SentencePieceVocabulary):
    """SeqIO's SentencePiece vocabulary with one TensorFlow tokenizer per process.

    SeqIO makes a tokenizer for every graph, which takes 34 MB and 0.6 s for each feature of each task with
    T5's model.
    """

    @property
    def tf_tokenizer(self) -> tf_text.SentencepieceTokenizer:
        """Return this process's tokenizer; a new one inside a TensorFlow 1 graph, which cannot use what was
        made outside of it.
        """
        if tf.compat.v1.executing_eagerly_outside_functions():
            return make_tokenizer(self.sp_model)
        return super().tf_tokenizer


@functools.cache
def make_tokenizer(model: bytes) -> tf_text.SentencepieceTokenizer:
    """Make the tokenizer of a serialized model once per process."""
    with tf.init_scope():  # else the tokenizer would belong to the graph in which it is asked for first
        return tf_text.SentencepieceTokenizer(model=model)


class WrappedVocabulary(seqio.Vocabulary):
    """A vocabulary of ours for SeqIO, which has none of its kind.

    Args:
        wrapped: a `vocabulary.Vocabulary` that has its sentinels among its own ids.
    """

    def __init__(self, wrapped: Any) -> None:
        super().__init__(extra_ids=0)
        self.wrapped = wrapped
        self.fingerprint = wrapped.fingerprint()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WrappedVocabulary) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def bos_id(self) -> int | None:
        """Return the id that inputs begin with, None for nothing."""
        return self.wrapped.bos_id

    @property
    def eos_id(self) -> int:
        """Return the id that ends an answer."""
        return self.wrapped.eos_id

    @property
    def unk_id(self) -> None:
        """Return None: what a tokenizer does not know, it writes in several ways."""
        return None

    @property
    def _base_vocab_size(self) -> int:
        return self.wrapped.size

    def _encode(self, s: str) -> list[int]:
        return self.wrapped.encode(s)

    def _decode(self, ids: Sequence[int]) -> str:
        return self.wrapped.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        def encode(text: tf.Tensor) -> tf.Tensor:
            return tf.constant(self.wrapped.encode(text.numpy().decode()), tf.int32)

        return tf.ensure_shape(tf.py_function(encode, [s], tf.int32), [None])

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        text = tf.py_function(lambda ids: self.wrapped.decode(ids.numpy()), [ids], tf.string)
        return tf.ensure_shape(text, [])
