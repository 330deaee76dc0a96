"""The two data sets of FLAN 2022 that FLAN 2021 lacks: LAMBADA, and AI2's science questions of middle schools from UnifiedQA."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# LAMBADA: the last word of a passage, which the whole of it tells.
#     sentence  He had rowed out to the tower every week for thirty years, and he knew each stone of the
#     answer    lighthouse
LAMBADA = DatasetSpec(
    name='lambada',
    cluster='flan2022:last_word',
    source=Tfds('lambada:1.0.0'),
    fields=lambda row: {
        'sentence': text.substitute(text.strip(row['passage']), r' [^ ]*$', ''),
        'answer': text.substitute(text.strip(row['passage']), r'^.* ', ''),
    },
    metric='squad_exact_match',
    splits=Splits('train', 'validation', 'test'),
    lineage=('BookCorpus',),
    licence='CC BY 4.0',
    link='https://zenodo.org/record/2630551',
    train_examples=4_869,
    validation_examples=4_869,
    test_examples=5_153,
    templates=(
        Template('{sentence}'),
        Template('{sentence} ...\n\nWhich word comes next?'),
        Template('The last word of this passage is missing.\n{sentence}\nThe word:'),
        Template('Complete by a single word: {sentence}'),
        Template('One word is cut off at the end. Write it.\n\n{sentence}'),
        Template('Read to the end, and say the word that has to follow.\n{sentence}'),
        Template('Passage: {sentence} ____\nBlank:'),
        Template('A story stops just before its last word.\n\n"{sentence}"\n\nLast word:'),
        Template('Guess how it ends, in one word: {sentence}'),
        Template('Write a passage whose last word is "{answer}", without that word.', '{sentence}', inverted=True),
    ),
    baselines=(Template('{sentence}'),),
)

# UnifiedQA, AI2's science questions for middle schools: those with four answers, (A) to (D).
#     question  Which part of a lighthouse turns?
#     options   the lamp / the stairs / the rock / the door
#     answer    the lamp
UNIFIED_QA_SCIENCE = DatasetSpec(
    name='unified_qa_science_inst',
    cluster='closed_book_qa',
    source=Tfds('unified_qa/ai2_science_middle:1.0.0'),
    fields=lambda row: {
        'question': text.strip(text.substitute(row['input'], r'(?s)\(A\).*', '')),
        'options': text.collect(
            text.strip(text.substitute(row['input'], r'(?s).*\(A\)|\(B\).*', '')),
            text.strip(text.substitute(row['input'], r'(?s).*\(B\)|\(C\).*', '')),
            text.strip(text.substitute(row['input'], r'(?s).*\(C\)|\(D\).*', '')),
            text.strip(text.substitute(row['input'], r'(?s).*\(D\)', '')),
        ),
        'answer': row['output'],
    },
    keep=lambda row: text.matches(row['input'], r'(?s).*\(D\).*') & ~text.matches(row['input'], r'(?s).*\(E\).*'),
    splits=Splits('train', 'validation', 'test'),
    lineage=('AI2 science questions', 'ARC'),
    licence='CC BY-SA 4.0',
    link='https://github.com/allenai/unifiedqa',
    train_examples=605,
    templates=(
        Template('{question}\n{options_}'),
        Template('A science lesson for middle school.\n{question}\n{options_}\nAnswer:'),
        Template('Choose one.\n\n{options_}\n\n{question}'),
        Template('Question: {question}\n{options_}\nWhich is right?'),
        Template('Of the four answers below, one belongs to the question.\n{question}\n{options_}'),
        Template('{question} Pick the answer that science gives.\n{options_}'),
        Template('School test, part one\n{question}\n{options_}\nMy answer:'),
        Template('What would a teacher of physics, chemistry or biology say?\n{question}\n\n{options_}'),
        Template('Make a question for a science test to which this is the answer: {answer}', '{question}', inverted=True),
        Template('"{answer}" is correct.\n{options_}\nWhat was asked?', '{question}', inverted=True),
    ),
    baselines=(Template('question: {question}\n{options_}\nanswer:'),),
)

SPECS = (LAMBADA, UNIFIED_QA_SCIENCE)
