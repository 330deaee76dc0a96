"""Linguistic acceptability: is a sentence good English? FLAN's one data set."""

from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# CoLA: sentences from the literature of linguistics, with its authors' judgement.
#     sentence  Whose did you borrow bicycle?
#     answer    unacceptable
COLA = DatasetSpec(
    name='cola',
    cluster='linguistic_acceptability',
    source=Tfds('glue/cola:2.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'sentence': row['sentence'], 'answer': row['label']},
    options=('unacceptable', 'acceptable'),
    lineage=('CoLA',),
    licence='published linguistics, academic fair use',
    link='https://nyu-mll.github.io/CoLA/',
    train_examples=8_350,
    validation_examples=200,
    test_examples=1_043,
    templates=(
        Template('{sentence}\n\nTo a native speaker of English, is this sentence acceptable or unacceptable?\n\n{options_}'),
        Template('Judge the grammar of the sentence below.\n\n{sentence}\n{options_}'),
        Template('Student: Can one say "{sentence}" in English?\nTutor: I would call that\n{options_}'),
        Template('Linguists put a star before a sentence that speakers reject. With a star it is unacceptable, without one it is '
                 'acceptable. What about this one?\n\n{sentence}'),
        Template('Grammar checker\ninput: {sentence}\nresult:\n{options_}'),
        Template('Would a careful editor let "{sentence}" stand as it is? Give the editor\'s verdict.\n{options_}'),
        Template('{options_}\n\nGo by your ear and by nothing else, and sort this sentence: {sentence}'),
        Template('It does not matter whether what the sentence says is true; is it well formed? Call it acceptable if so and unacceptable '
                 'if not.\n\nSentence: {sentence}'),
        Template('Write a sentence that is, as English, {answer}.', '{sentence}', inverted=True),
        Template('For an experiment we need sentences of two kinds, some that speakers find good and some that they find bad. Supply an '
                 'example of the {answer} kind.', '{sentence}', inverted=True),
    ),
    baselines=(
        Template('{sentence}\nquestion: acceptable or unacceptable?\nanswer:'),
        Template('"{sentence}" As English, this is'),
    ),
)

SPECS = (COLA,)
