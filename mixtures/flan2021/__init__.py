"""FLAN 2021 (Wei et al., "Finetuned language models are zero-shot learners"): its data sets, with ten templates each in our own words.

Names are those of FLAN's release, and so are splits and caps. `lineage` names collections that somebody made and annotated; the web as a
whole, or Wikipedia, is no lineage.
"""

from flanlite.data.specs import Collection, register
from flanlite.mixtures.flan2021 import (
    closed_book_qa,
    commonsense,
    coreference,
    linguistic_acceptability,
    nli,
    paraphrase,
    question_classification,
    reading_comprehension,
    reading_comprehension_commonsense,
    sentiment,
    struct_to_text,
    summarization,
    word_sense,
)

COLLECTION = Collection(
    name='flan2021',
    specs=(
        *summarization.SPECS,
        *struct_to_text.SPECS,
        *reading_comprehension.SPECS,
        *closed_book_qa.SPECS,
        *paraphrase.SPECS,
        *sentiment.SPECS,
        *commonsense.SPECS,
        *coreference.SPECS,
        *nli.SPECS,
        *word_sense.SPECS,
        *linguistic_acceptability.SPECS,
        *question_classification.SPECS,
        *reading_comprehension_commonsense.SPECS,
    ),
    vocabulary='t5',
    max_examples=30_000,
    max_rate=3_000,
)

register(COLLECTION)
