"""The pocket collection: a little world made by rule, twelve of FLAN's clusters over it, and a small model pretrained on its text."""

import functools

from flanlite.data.seqio_bridge import registration
from flanlite.data.specs import specs
from flanlite.mixtures.pocket import (
    closed_book_qa,
    commonsense,
    coreference,
    nli,
    paraphrase,
    question_classification,
    reading_comprehension,
    sentiment,
    struct_to_text,
    summarization,
    text,
    translation,
    word_sense,
)

CLUSTERS = (
    nli,
    reading_comprehension,
    commonsense,
    closed_book_qa,
    coreference,
    paraphrase,
    sentiment,
    struct_to_text,
    summarization,
    translation,
    word_sense,
    question_classification,
)

COLLECTION = specs.Collection(
    name='pocket',
    specs=tuple(spec for cluster in CLUSTERS for spec in cluster.SPECS),
    vocabulary='pocket',
)

# The text on which the shipped base was pretrained; it is not part of the instruction mixture.
TEXT = specs.Collection(name='pocket_text', specs=text.SPECS, vocabulary='pocket', max_examples=None, max_rate=None)

specs.register(COLLECTION, TEXT)

register = functools.partial(registration.register, COLLECTION)  # in SeqIO's registry
