"""Word sense: which of its meanings does a word have? FLAN's one data set."""

from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# Words in Context: does a word have one meaning in two sentences?
#     word       bank
#     sentence1  They moored the boat at the bank.
#     sentence2  The bank was lined with willows.
#     answer     yes
WIC = DatasetSpec(
    name='wic',
    cluster='word_sense',
    source=Tfds('super_glue/wic:1.0.2'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'word': row['word'], 'sentence1': row['sentence1'], 'sentence2': row['sentence2'], 'answer': row['label']},
    options=('no', 'yes'),
    lineage=('WordNet', 'VerbNet', 'Wiktionary'),
    licence='CC BY-NC 4.0',
    link='https://pilehvar.github.io/wic/',
    train_examples=5_220,
    validation_examples=200,
    test_examples=638,
    templates=(
        Template('{sentence1}\n{sentence2}\n\nIs the sense of "{word}" above the same both times?\n\n{options_}'),
        Template('Look at how the word "{word}" is used.\n\n1. {sentence1}\n2. {sentence2}\n\nIs its sense in 1 also its sense in 2?\n'
                 '{options_}'),
        Template('A dictionary lists the meanings of "{word}" one by one. Would it quote both "{sentence1}" and "{sentence2}" under one '
                 'number?\n{options_}'),
        Template('Learner: I know what "{word}" means in "{sentence1}" Is it just the same in "{sentence2}"\nTeacher (says yes or no):'),
        Template('Word: {word}\nFirst example: {sentence1}\nSecond example: {sentence2}\nSame meaning?\n{options_}'),
        Template('Suppose your language has a different word for each meaning of "{word}". Could one and the same word be used in '
                 'translating both of these?\n\n"{sentence1}"\n"{sentence2}"\n\n{options_}'),
        Template('Vocabulary test. Say whether the word in question keeps its meaning from the first line to the second.\n\n'
                 'Line 1: {sentence1}\nLine 2: {sentence2}\nWord in question: {word}\n{options_}'),
        Template('{options_}\n\nPick one: is it true that whoever says "{sentence1}" and whoever says "{sentence2}" have the same thing in '
                 'mind when they say "{word}"?'),
        Template('Some words are many words in disguise. Here, is "{word}" a single word, or are there two that only look alike? Reply '
                 'with yes if it is a single one, or else with no.\n\n{sentence1}\n{sentence2}'),
        Template('If I explain "{word}" to you by "{sentence1}", will that explanation also do for "{sentence2}"?\n{options_}'),
    ),
    baselines=(
        Template('{sentence1}\n{sentence2}\nquestion: is "{word}" used in the same sense?\nanswer:'),
        Template('{word}: {sentence1} {sentence2} same sense:'),
    ),
)

SPECS = (WIC,)
