"""The pocket collection: a little world made by rule, twelve of FLAN's clusters over it, and a small model pretrained on its text."""

import functools

from flanlite.data.seqio_bridge import registration
from flanlite.data.specs import registry, specs
from flanlite.data.specs.collection import Collection
from flanlite.mixtures.pocket import (
    closed_book_qa,
    commonsense,
    coreference,
    exmix,
    label_blanks,
    linked,
    matching,
    nli,
    paraphrase,
    proxies,
    question_classification,
    reading_comprehension,
    retrieval,
    schemas,
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

COLLECTION = Collection(
    name='pocket',
    specs=tuple(spec for cluster in CLUSTERS for spec in cluster.SPECS),
    vocabulary='pocket',
)

# The text on which the shipped base was pretrained; it is not part of the instruction mixture.
TEXT = Collection(name='pocket_text', specs=text.SPECS, vocabulary='pocket', max_examples=None, max_rate=None)


def some(name: str, *chosen: specs.DatasetSpec, templates: int = 10) -> Collection:
    """Make a collection of some of the world's data sets."""
    return Collection(name, chosen, vocabulary='pocket', templates=templates)


# In CLUES's forms: a label, a relation of two texts, a set of spans, an answer about a text.
CLUES = some(
    'pocket_clues', sentiment.REVIEWS, nli.THREE_WAY, schemas.NAMED_ENTITIES, reading_comprehension.STORIES, templates=3
)
EXTRACTION = some('pocket_extraction', schemas.NAMED_ENTITIES, reading_comprehension.STORIES, templates=3)
CLOSED_BOOK = some('pocket_closed_book', *closed_book_qa.SPECS)

registry.register(COLLECTION, TEXT, exmix.collection(COLLECTION), CLUES, EXTRACTION, CLOSED_BOOK)
registry.register(*(each.COLLECTION for each in (retrieval, schemas, label_blanks, linked, matching, proxies)))

register = functools.partial(registration.register, COLLECTION)  # in SeqIO's registry
