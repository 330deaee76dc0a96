"""Struct to text: the data sets of T0 that FLAN lacks."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.mixtures.t0.groups import PARQUET

BRACKETS = (('-lrb-', '('), ('-rrb-', ')'))
NOT_BLANK = r'(?s).*\S.*'


def bracketed(value: text.Text) -> text.Text:
    """Replace a tokenised corpus's codes for brackets and quotation marks by the characters, and drop the spaces around them."""
    for name, bracket in BRACKETS:
        value = text.replace(value, name, bracket)
    return text.strip(text.plain_quotes(value))


# WikiBio: the box of facts beside a person's article in Wikipedia, and the article's first sentences.
#     facts   name: agnes tolland
#             occupation: lighthouse keeper
#             birth_date: 4 march 1890
#     answer  agnes tolland ( born 4 march 1890 ) was a lighthouse keeper .
WIKI_BIO = DatasetSpec(
    name='wiki_bio',
    cluster='struct_to_text',
    source=HuggingFace('michaelauli/wiki_bio', revision=PARQUET, folder='wiki_bio'),
    fields=lambda row: {
        'facts': bracketed(
            text.join(text.paired(row['input_text']['table']['column_header'], row['input_text']['table']['content'], ': '), '\n')
        ),
        'answer': bracketed(text.replace(row['target_text'], '\n', ' ')),
    },
    keep=lambda row: text.every(
        text.length(row['input_text']['table']['content']) > 0, text.matches(row['target_text'], NOT_BLANK)
    ),
    metric='t5_rouge',
    lineage=('WikiBio',),
    licence='CC BY-SA 3.0',
    link='https://arxiv.org/abs/1603.07771',
    train_examples=582_659,
    validation_examples=72_831,
    test_examples=72_831,
    templates=(
        Template('{facts}\n\nBegin the biography of the person with these data.'),
        Template('Introduce somebody in a sentence or two, of whom this is on record:\n\n{facts}'),
        Template('The box beside an article reads:\n{facts}\n\nThe article itself, which is all in small letters, opens:'),
        Template('Write, for a dictionary of famous people, a short entry on the strength of the following '
                 'card.\n\nCard:\n{facts}\n\nEntry:'),
        Template('Reporter: Who is that over there?\nColleague: Let me see my sheet.\n{facts}\nColleague: Well,'),
        Template('"{answer}"\n\nMake a table of it: one line for each thing that is said of the person, its name in front.',
                 '{facts}', inverted=True),
    ),
    baselines=(
        Template('{facts}\nbiography:'),
        Template('facts: {facts}\ntext:'),
    ),
)

SPECS = (WIKI_BIO,)
