"""Text formatting: restore the capitals, the punctuation or the spaces of a line. Three of FLAN's data sets, made from one corpus.

FLAN takes the English side of ParaCrawl's English-Danish part: another range of rows for each, and the last 3,000 rows to test all three.
"""

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Row, Splits
from flanlite.data.specs.templates import Template

TEST = 'train[-3000:]'
TRUE_CASE_SPLITS = Splits('train[:30000]', 'train[30000:30200]', TEST)
FIX_PUNCT_SPLITS = Splits('train[30200:60200]', 'train[60200:60400]', TEST)
WORD_SEGMENT_SPLITS = Splits('train[60400:90400]', 'train[90400:90600]', TEST)
LINEAGE = ('ParaCrawl',)
LICENCE = 'CC0'
LINK = 'https://paracrawl.eu'


def corpus(splits: Splits, part: str) -> Tfds:
    """Make the source of ParaCrawl, or of a smaller replacement in the data folder, with a training part of its own for each data set."""
    pairs = ((splits.train, part), (splits.validation, 'validation'), (splits.test, 'test'))
    return Tfds('para_crawl/enda:1.2.0', folder='text_formatting_source', folder_splits=pairs)


def sentence(row: Row) -> text.Text:
    """Return a row's English text as one line with single spaces."""
    return text.strip(text.substitute(row['en'], r'[ \t\r\n]+', ' '))


def bare(row: Row) -> text.Text:
    """Drop the punctuation marks before and after words; those inside a word, as in "3.5" or "don't", remain."""
    value = text.substitute(sentence(row), r'(^| )["\'(\[“‘«¿¡]+', r'\1')
    value = text.substitute(value, r'["\'’”».,:;!?)\]…]+( |$)', r'\1')
    return text.strip(text.substitute(value, '  +', ' '))


# True case: small letters only, to be written with capitals where they belong.
#     lowercase  the ferry to skerry leaves on mondays.
#     answer     The ferry to Skerry leaves on Mondays.
TRUE_CASE = DatasetSpec(
    name='true_case',
    cluster='text_formatting',
    source=corpus(TRUE_CASE_SPLITS, 'train[:6000]'),
    splits=TRUE_CASE_SPLITS,
    fields=lambda row: {'lowercase': text.lower(sentence(row)), 'answer': sentence(row)},
    keep=lambda row: sentence(row) != text.lower(sentence(row)),
    metric='edit_similarity',
    lineage=LINEAGE,
    licence=LICENCE,
    link=LINK,
    train_examples=29_260,
    validation_examples=200,
    test_examples=3_000,
    templates=(
        Template('Somebody typed this without the shift key. Put in the capital letters.\n\n{lowercase}'),
        Template('{lowercase}\n\nWrite the line again, with large and small letters where they belong.'),
        Template('Which letters ought to be capitals? Give the corrected text.\n\n"{lowercase}"'),
        Template('What my keyboard makes of it: {lowercase}\nWhat I had in mind, capitals and all:'),
        Template('Copy-editing, step 1: case\nbefore: {lowercase}\nafter:'),
        Template(
            'Pupil, writing: {lowercase}\nTeacher: Names and the beginnings of sentences have a capital. Once more, please.\n'
            'Pupil, writing:'
        ),
        Template(
            'The speech recognizer knows no upper case. It has put out "{lowercase}", and readers are to see it as it is usually spelt.'
        ),
        Template('Restore the case and change nothing else.\n\nText: {lowercase}\nText, restored:'),
        Template('With capitals, how would the following be printed?\n\n{lowercase}'),
        Template('Change all capital letters to small ones.\n\n{answer}', '{lowercase}', inverted=True),
    ),
    baselines=(
        Template('{lowercase}\ncapitalized:'),
        Template('lower case: {lowercase}\ntrue case:'),
    ),
)

# Punctuation: a line without the marks around its words, to be punctuated.
#     bare    If the hull isn't mended by May the harbour master said there is no ferry
#     answer  "If the hull isn't mended by May," the harbour master said, "there is no ferry!"
FIX_PUNCT = DatasetSpec(
    name='fix_punct',
    cluster='text_formatting',
    source=corpus(FIX_PUNCT_SPLITS, 'train[6000:12000]'),
    splits=FIX_PUNCT_SPLITS,
    fields=lambda row: {'bare': bare(row), 'answer': sentence(row)},
    keep=lambda row: text.every(text.matches(bare(row), r'.*\w.*'), sentence(row) != bare(row)),
    metric='edit_similarity',
    lineage=LINEAGE,
    licence=LICENCE,
    link=LINK,
    train_examples=28_070,
    validation_examples=200,
    test_examples=3_000,
    templates=(
        Template('Add the punctuation.\n\n{bare}'),
        Template('{bare}\n\nThe marks are missing from this text. Set them.'),
        Template('Where do the commas, full stops and other marks go? Write it out with them: {bare}'),
        Template('Telegram: {bare}\nThe same, pointed as in a letter:'),
        Template('An old printer loses every comma, stop and quotation mark next to a word. Repair what has come out of it.\n\n"{bare}"'),
        Template('From the microphone: {bare}\nFor the record, punctuated:'),
        Template('Typist: I never know where the pauses are. {bare}\nColleague: Look, I shall write the signs in for you.'),
        Template('Proofread for punctuation alone; the words and their spelling are right.\n\n{bare}\n\nProofread:'),
        Template('English exam, part C. Punctuate. A point will be taken off for each sign that is wrong or wanting.\n\n{bare}'),
        Template('This is hard to read without any signs between the words: "{bare}" Could you make it easier?'),
    ),
    baselines=(
        Template('{bare}\npunctuated:'),
        Template('without punctuation: {bare}\nwith punctuation:'),
    ),
)

# Word segmentation: a line without spaces, to be split into words.
#     joined  TheferrytoSkerryleavesonMondays.
#     answer  The ferry to Skerry leaves on Mondays.
WORD_SEGMENT = DatasetSpec(
    name='word_segment',
    cluster='text_formatting',
    source=corpus(WORD_SEGMENT_SPLITS, 'train[12000:18000]'),
    splits=WORD_SEGMENT_SPLITS,
    fields=lambda row: {'joined': text.replace(sentence(row), ' ', ''), 'answer': sentence(row)},
    keep=lambda row: text.contains(sentence(row), ' '),
    metric='edit_similarity',
    lineage=LINEAGE,
    licence=LICENCE,
    link=LINK,
    train_examples=30_000,
    validation_examples=200,
    test_examples=3_000,
    templates=(
        Template('The space bar did not work. Write this as it was meant.\n\n{joined}'),
        Template('{joined}\n\nWhere does one word end and the next begin? Put in the spaces.'),
        Template('Separate the words: {joined}'),
        Template('Somebody has made a whole sentence into a hashtag: #{joined}\nThe sentence:'),
        Template(
            'Ancient scribes left no room between words, and neither did the copyist of this line. "{joined}" Give it in the modern '
            'way, with gaps.'
        ),
        Template('input without spaces: {joined}\noutput with spaces:'),
        Template('Son: All I can see is one very long word. {joined}\nFather: Take it slowly, word by word.\nSon:'),
        Template('A file was damaged, and every blank in it was deleted. Recover this piece of it: {joined}'),
        Template('Take out all the spaces.\n\n{answer}', '{joined}', inverted=True),
        Template('Write this as a single string that runs on without a gap: {answer}', '{joined}', inverted=True),
    ),
    baselines=(
        Template('{joined}\nsegmented:'),
        Template('without spaces: {joined}\nwith spaces:'),
    ),
)

SPECS = (TRUE_CASE, FIX_PUNCT, WORD_SEGMENT)
