"""Topic classification: the data sets of T0 that FLAN lacks."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

# DBpedia: what kind of thing an article of Wikipedia is about. FLAN counts topic classification as summarization, and so do we.
#     title    Skerry Light
#     content  Skerry Light is a lighthouse on Skerry Point. It was built of granite in 1856.
#     answer   building
DBPEDIA_14 = DatasetSpec(
    name='dbpedia_14',
    cluster='summarization',
    source=HuggingFace('fancyzhx/dbpedia_14', folder='dbpedia_14'),
    splits=Splits('train', 'test[:2000]', 'test[2000:]'),
    fields=lambda row: {'title': text.strip(row['title']), 'content': text.strip(row['content']), 'answer': row['label']},
    options=(
        'company',
        'educational institution',
        'artist',
        'athlete',
        'office holder',
        'means of transportation',
        'building',
        'natural place',
        'village',
        'animal',
        'plant',
        'album',
        'film',
        'written work',
    ),
    lineage=('DBpedia',),
    licence='CC BY-SA 3.0',
    link='https://arxiv.org/abs/1509.01626',
    train_examples=560_000,
    validation_examples=2_000,
    test_examples=68_000,
    templates=(
        Template('{title}: {content}\n\nWhat is {title}?\n{options_}'),
        Template('An encyclopedia sorts its entries into fourteen drawers.\n{options_}\n\nInto which does the entry below '
                 'go?\n\n{content}'),
        Template('Entry: {title}\nText: {content}\n{options_}\nKind of thing:'),
        Template('"{content}" So it says here. In a word or two from the list, what sort of thing is meant?\n\n{options_}'),
        Template('Twenty questions, last round. All you are told is this: {content}\nName the category.\n{options_}'),
        Template('Make up the first lines of an encyclopedia article headed "{title}". It falls under the category "{answer}".',
                 '{content}', inverted=True),
    ),
    baselines=(
        Template('{title}: {content}\ncategory:'),
        Template('{content}\n{title} is a kind of'),
    ),
)

SPECS = (DBPEDIA_14,)
