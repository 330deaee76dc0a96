"""Question classification: what does a question ask for? FLAN's one data set."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# TREC: questions of a contest in question answering, in six coarse classes.
#     question  How tall is the lighthouse at Skerry Point ?
#     answer    number
TREC = DatasetSpec(
    name='trec',
    cluster='question_classification',
    source=Tfds('trec:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {'question': text.plain_quotes(row['text']), 'answer': row['label-coarse']},
    options=('description', 'entity', 'abbreviation', 'person', 'number', 'place'),
    lineage=('TREC QA',),
    licence='research use',
    link='https://cogcomp.seas.upenn.edu/Data/QA/QC/',
    train_examples=5_250,
    validation_examples=200,
    test_examples=500,
    templates=(
        Template('{question}\n\nWhat kind of answer does this question call for?\n\n{options_}'),
        Template('Classify the question by what it asks about.\n\nQuestion: {question}\n{options_}'),
        Template('There are six drawers, one for each kind of question.\n{options_}\nInto which of them do you put "{question}"'),
        Template('A: "{question}"\nB: Before I look for it, what sort of thing are you after?\n{options_}\nA:'),
        Template('Search assistant, step 1: find the type of the expected answer\nquery: {question}\n{options_}\ntype:'),
        Template('Do not answer the following question. Only tell me what its answer would be.\n\n{question}\n\n{options_}'),
        Template('What should be found for somebody who wonders, "{question}" A person, a place, a number, an entity of another sort, the '
                 'meaning of an abbreviation, or a description?'),
        Template('{options_}\n\nTag the item with one of the above.\nItem: {question}'),
        Template('At a quiz the categories are as follows.\n{options_}\nThe host reads out, "{question}" In which category are we?'),
        Template('Think up a question for the category "{answer}" in a quiz.', '{question}', inverted=True),
    ),
    baselines=(
        Template('question: {question}\ntype of answer:'),
        Template('{question}\nThis asks for a'),
    ),
)

SPECS = (TREC,)
