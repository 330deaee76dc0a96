"""Struct to text: sentences from data. FLAN's four data sets."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# E2E: a restaurant's attributes, and a recommendation.
#     attributes  name = The Lantern, eatType = pub, food = English, area = riverside
#     answer      The Lantern is a pub by the river that serves English food.
E2E_NLG = DatasetSpec(
    name='e2e_nlg',
    cluster='struct_to_text',
    source=Tfds('gem/e2e_nlg:1.1.0', folder='e2e_nlg'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'attributes': text.replace(text.replace(row['meaning_representation'], '[', ' = '), ']', ''),
        'answer': row['target'],
        'answers': row['references'],
    },
    metric='t5_rouge',
    lineage=('E2E',),
    licence='CC BY-SA 4.0',
    link='https://gem-benchmark.com/data_cards/e2e_nlg',
    train_examples=33_320,
    validation_examples=200,
    test_examples=4_299,
    templates=(
        Template('Facts about a restaurant: {attributes}\n\nTell them all in a sentence or two.'),
        Template('{attributes}.\n\nPut this into words.'),
        Template('Visitor: Where could I eat?\nTourist office, looking at the screen: ({attributes})\nTourist office, out loud:'),
        Template('Describe a place to eat from its entry in a table.\n\n{attributes}\n\nDescription:'),
        Template('Write the text for a restaurant guide. Mention everything in the record and invent nothing.\n\nRecord: {attributes}'),
        Template('A friend wants to know about one restaurant, and these are the facts: {attributes}. What would you tell your friend?'),
        Template('Turn data into prose.\ndata: {attributes}\nprose:'),
        Template('How would you say this in plain English?\n\n"{attributes}"'),
        Template('The city app has the following details and needs a short blurb to go with them: {attributes}'),
        Template('Recommendation wanted! Use these key words and what they stand for.\n\n{attributes}\n\nMy recommendation:'),
    ),
    baselines=(
        Template('{attributes}\ndescription:'),
        Template('data: {attributes}\ntext:'),
    ),
)

# WebNLG: triples of DBpedia, and a text that states them.
#     triples  Skerry Point Light | location | Skerry Point; Skerry Point Light | opened | 1856
#     answer   The lighthouse at Skerry Point was opened in 1856.
WEB_NLG_EN = DatasetSpec(
    name='web_nlg_en',
    cluster='struct_to_text',
    source=Tfds('gem/web_nlg_en:1.1.0', folder='web_nlg_en'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'triples': text.replace(text.replace(text.join(row['input'], '; '), '_', ' '), '"', ''),
        'answer': row['target'],
        'answers': row['references'],
    },
    metric='t5_rouge',
    lineage=('WebNLG', 'DBpedia'),
    licence='CC BY-NC-SA 4.0',
    link='https://gem-benchmark.com/data_cards/web_nlg',
    train_examples=35_220,
    validation_examples=200,
    test_examples=1_667,
    templates=(
        Template('Triples: {triples}.\n\nState these facts in fluent English.'),
        Template('"{triples}"\n\nWhat does this say? Answer in full sentences.'),
        Template('Each item gives a subject, a property and a value, with bars between them. Write a text that conveys them all.\n\n'
                 '{triples}'),
        Template('Knowledge base: {triples}\nEncyclopedia:'),
        Template('Pupil: I cannot read this! "{triples}"\nTeacher: It is quite simple. It means the following.'),
        Template('Write the opening of an article from these notes.\n\nNotes: {triples}\n\nArticle:'),
        Template('You are the voice of a smart speaker. The database has returned "{triples}". What do you say?'),
        Template('Tell me about this in a way that sounds natural: {triples}'),
        Template('Express the following text as subject, property and value, with bars between the three and semicolons between the '
                 'facts.\n\n{answer}', '{triples}', inverted=True),
        Template('"{answer}"\n\nWhich facts would a database hold of that? List them, each with its bars.', '{triples}', inverted=True),
    ),
    baselines=(
        Template('{triples}\ntext:'),
        Template('facts: {triples}\nin words:'),
    ),
)

# DART: triples from tables and from the two above, each with a sentence.
#     triples  Northern League | CHAMPION | Skerry United; Skerry United | GOALS | 41
#     answer   Skerry United, the champion of the Northern League, scored 41 goals.
DART = DatasetSpec(
    name='dart',
    cluster='struct_to_text',
    source=Tfds('gem/dart:1.1.0', folder='dart'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {
        'triples': text.replace(text.join(row['tripleset'], '; '), '_', ' '),
        'answer': row['target'],
        'answers': row['references'],
    },
    metric='t5_rouge',
    lineage=('WebNLG', 'E2E', 'WikiSQL', 'WikiTableQuestions'),
    licence='MIT',
    link='https://gem-benchmark.com/data_cards/dart',
    train_examples=62_450,
    validation_examples=200,
    test_examples=2_768,
    templates=(
        Template('Table, row by row: {triples}.\n\nWrite a sentence that holds all of this.'),
        Template('"{triples}"\n\nWhat could one say in English about these entries?'),
        Template('Summarize the records in words.\n\nRecords: {triples}\nIn words:'),
        Template('Radio announcer, reading from a sheet with "{triples}" on it:'),
        Template('These were the cells of a table: {triples}. Make a caption from them, as a whole sentence.'),
        Template('Connect the dots! Every item links one thing to another.\n\n{triples}.\n\nSay it without the bars:'),
        Template('How does one tell somebody who cannot see the table what it says?\n\nTable: {triples}\nTold:'),
        Template('Report the following to a reader who likes full sentences: {triples}'),
        Template('Read the sentence and fill the table from it, as items with bars in them.\n\nSentence: {answer}\nTable:',
                 '{triples}', inverted=True),
        Template('{answer}\n\nTake that apart into items of the form "thing | property | value".', '{triples}', inverted=True),
    ),
    baselines=(
        Template('{triples}\nsentence:'),
        Template('table: {triples}\ntext:'),
    ),
)

# CommonGen: a few words, and a sentence about everyday life that has all of them. Its training sentences are captions of pictures and
# films. FLAN inverts four of the ten templates, we three.
#     concepts  net, man, mend, quay
#     answer    A man sits on the quay, mending a net.
COMMON_GEN = DatasetSpec(
    name='common_gen',
    cluster='struct_to_text',
    source=Tfds('gem/common_gen:1.1.0', folder='common_gen', folder_splits=(('validation', 'test'),)),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'concepts': text.join(row['concepts'], ', '), 'answer': row['target'], 'answers': row['references']},
    keep=lambda row: text.matches(row['target'], r'(?s).*\S.*'),
    metric='t5_rouge',
    lineage=('CommonGen', 'SNLI', 'MultiNLI', 'Flickr30k', 'MSCOCO', 'Conceptual Captions', 'LSMDC', 'ActivityNet Captions', 'VATEX'),
    licence='MIT',
    link='https://gem-benchmark.com/data_cards/common_gen',
    train_examples=67_180,
    validation_examples=200,
    test_examples=993,
    templates=(
        Template('Write a sentence with all of these words in it: {concepts}'),
        Template('{concepts}\n\nWhat could be going on here? Describe an everyday scene in which each of them has a part.'),
        Template('You have been dealt these cards: {concepts}. Make a sentence of them, in any form and order, and leave none over.'),
        Template('Vocabulary exercise. Show that you know what the words mean by putting them into one sentence that makes sense.\n\n'
                 'Words: {concepts}\nSentence:'),
        Template('Imagine a picture that somebody has filed under {concepts}. Its caption might be'),
        Template('Child: My words are {concepts}.\nTeacher: Then tell us something short, and forget none of them!\nChild:'),
        Template('Combine the following into something that could really happen: {concepts}'),
        Template('Name the things and actions in the sentence in their basic form, with commas between them.\n\n{answer}',
                 '{concepts}', inverted=True),
        Template('Which key words had been given to the person who came up with this? "{answer}"', '{concepts}', inverted=True),
        Template('Caption: {answer}\nTags to find it by:', '{concepts}', inverted=True),
    ),
    baselines=(
        Template('{concepts}\nsentence:'),
        Template('words: {concepts}\nscene:'),
    ),
)

SPECS = (WEB_NLG_EN, COMMON_GEN, E2E_NLG, DART)
