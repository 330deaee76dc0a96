"""Summarization of the news: a headline, a sentence, highlights. Five of FLAN's data sets; the others are in `summarization`."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace, Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

NOT_BLANK = r'(?s).*\S.*'
LONGEST = 4000  # characters of an article, about 900 tokens; after a longer one, the instruction would be cut off
LONGEST_OF_SEVERAL = 1500  # characters of one article among several


def article(value: text.Text) -> text.Text:
    """Tidy an article and cut it, so that there is room for the instruction."""
    return text.strip(text.part(text.strip(value), 0, LONGEST))


def wire(value: text.Text) -> text.Text:
    """Replace Gigaword's codes for brackets and quotation marks by the characters."""
    return text.plain_quotes(text.replace(text.replace(text.strip(value), '-lrb-', '('), '-rrb-', ')'))


def articles(value: text.Text) -> text.Text:
    """Return the beginnings of Multi-News's articles one below the other; in the data, five bars separate the articles."""
    parts = text.collect(text.split(text.strip(text.substitute(value, r'\s*\|\|\|\|\|\s*', '|||||')), '|||||'))
    return article(text.join(text.part(parts, 0, LONGEST_OF_SEVERAL), '\n\n'))


# CNN/DailyMail: the few lines that these two put above a story on their pages.
#     article  The island's only ferry will be out of service until May. A crack was found in its hull on Monday, the harbour master said.
#              Until then the mail comes by helicopter, and schoolchildren stay with families on the mainland.
#     answer   The ferry's hull has a crack.
#              No service is expected before May.
CNN_DAILYMAIL = DatasetSpec(
    name='cnn_dailymail',
    cluster='summarization',
    source=Tfds('cnn_dailymail:3.4.0'),  # FLAN read 3.1.0, which TFDS no longer has; it had a space before full stops
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'article': article(row['article']), 'answer': text.strip(row['highlights'])},
    keep=lambda row: text.every(text.matches(row['article'], NOT_BLANK), text.matches(row['highlights'], NOT_BLANK)),
    metric='t5_rouge',
    lineage=('CNN/DailyMail',),
    licence="the publishers' copyright",
    link='https://github.com/abisee/cnn-dailymail',
    train_examples=287_040,
    validation_examples=200,
    test_examples=11_490,
    templates=(
        Template('{article}\n\nGive the highlights of this story, one a line.'),
        Template('Summarize the news article below in three or four short sentences.\n\n{article}'),
        Template('What are the key facts that a reader should take away from this report?\n\n{article}'),
        Template('Story: {article}\n\nThe main points, each on a line of its own:'),
        Template('Breakfast television. The presenter opens her paper and reads to herself.\n\n{article}\n\nPresenter: In brief,'),
        Template(
            'You edit a news site, where each story begins with a few lines for readers in a hurry. Write these lines for the text that '
            'follows.\n\n{article}'
        ),
        Template('Reading test: the press\n\n{article}\n\nTask: retell only what matters most, in no more than four sentences.'),
        Template('These are the main points of a news story.\n\n{answer}\n\nWrite the story in full.', '{article}', inverted=True),
        Template("From a reporter's notebook:\n{answer}\n\nThe article as it went to print:", '{article}', inverted=True),
        Template('Take the facts that are listed here and report on them as a newspaper would.\n{answer}', '{article}', inverted=True),
    ),
    baselines=(
        Template('{article}\nTL;DR:'),
        Template('article: {article}\nhighlights:'),
    ),
)

# Gigaword: the headline that belongs to the first sentence of a report, in small letters, with spaces around the punctuation marks.
#     opening  the island 's only ferry will be out of service until may after a crack was found in its hull , the harbour master said .
#     answer   crack in hull stops island ferry until may
GIGAWORD = DatasetSpec(
    name='gigaword',
    cluster='summarization',
    source=Tfds('gigaword:1.2.0'),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'opening': wire(row['document']), 'answer': wire(row['summary'])},
    keep=lambda row: text.every(  # as in FLAN, without the rows that hide a rare word or a number's digits
        text.negate(text.some(text.contains(row['document'], 'UNK'), text.contains(row['document'], '#'))),
        text.negate(text.some(text.contains(row['summary'], 'UNK'), text.contains(row['summary'], '#'))),
        text.matches(row['document'], NOT_BLANK),
        text.matches(row['summary'], NOT_BLANK),
    ),
    metric='t5_rouge',
    lineage=('English Gigaword',),
    licence='LDC user agreement',
    link='https://github.com/harvardnlp/sent-summary',
    train_examples=2_044_370,
    validation_examples=200,
    test_examples=1_951,
    templates=(
        Template('{opening}\n\nWrite a headline for the report that begins this way.'),
        Template('Find a title for the dispatch. Small letters will do.\n\nDispatch: {opening}'),
        Template('news wire: {opening}\nheadline:'),
        Template('Which words would you set in large type above this sentence? "{opening}"'),
        Template('Leave out all but the bare news, as headlines do.\n\n{opening}'),
        Template('Trainee: This has come in from the agency. "{opening}"\nEditor: And what do we print over it?\nTrainee:'),
        Template('The screen in the lobby shows some eight words at a time. What should it show, to go by the following? "{opening}"'),
        Template('How would a newspaper boil this down for its front page?\n\n{opening}'),
        Template('The headline says "{answer}". How does the article begin?', '{opening}', inverted=True),
        Template(
            'Write, in small letters, the sentence with which a news agency opens its report. The title is there already.\n\n{answer}',
            '{opening}',
            inverted=True,
        ),
    ),
    baselines=(
        Template('{opening}\nheadline:'),
        Template('sentence: {opening}\ntitle:'),
    ),
)

# Multi-News: an editor's summary of several articles on one event.
#     sources  The ferry to Skerry is out of service, its owner said on Monday.
#
#              Islanders are angry. "In May we had warned them about the hull," says Edda Rae, who runs the shop.
#     answer   A crack in its hull has put the Skerry ferry out of service, and islanders say that they had given warning.
MULTI_NEWS = DatasetSpec(
    name='multi_news',
    cluster='summarization',
    source=Tfds('multi_news:2.1.0'),  # FLAN read 1.0.0, whose address is gone
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {
        'sources': articles(row['document']),
        'answer': text.strip(text.substitute(text.strip(row['summary']), '^(–|-) ', '')),
    },
    keep=lambda row: text.every(text.matches(row['document'], r'(?s).*[^\s|].*'), text.matches(row['summary'], r'(?s).*\w.*')),
    metric='t5_rouge',
    lineage=('Multi-News',),
    licence='non-commercial research and education',
    link='https://github.com/Alex-Fabbri/Multi-News',
    train_examples=44_960,
    validation_examples=200,
    test_examples=5_622,
    templates=(
        Template('Several papers covered the same event.\n\n{sources}\n\nWrite one account that draws on all of them.'),
        Template('Merge these reports into a single summary.\n\n{sources}'),
        Template('{sources}\n\nWhat do we learn from these texts, taken together?'),
        Template('Press review. Clippings on one subject:\n\n{sources}\n\nOur digest:'),
        Template('Compare what different journalists have written, and tell the story in a paragraph of your own.\n\n{sources}'),
        Template('I have no time to read everything that was published about this. Can you brief me?\n\n{sources}'),
        Template('Sources for an article\n{sources}\n\nThe finished article, without repetitions:'),
        Template('One story, more than one teller. Collect the facts from each and put the weightiest first.\n\n{sources}'),
        Template(
            'A digest of the news states: {answer}\n\nWhat may the articles that it was made from have said?', '{sources}', inverted=True
        ),
        Template('Write the original news coverage from which somebody drew this overview.\n\n{answer}', '{sources}', inverted=True),
    ),
    baselines=(
        Template('{sources}\nTL;DR:'),
        Template('articles: {sources}\nsummary of all:'),
    ),
)

# Newsroom: articles of 38 publishers, and the publishers' descriptions of them for search engines and social media. Downloaded by hand.
#     title    The last keeper of Skerry Point
#     article  For eleven winters Agnes Tolland climbed the 140 steps every evening. Nobody paid her for it after 1978.
#     answer   A lighthouse was meant to run on its own, but one woman would not leave it alone.
NEWSROOM = DatasetSpec(
    name='newsroom',
    cluster='summarization',
    source=Tfds('newsroom:1.0.0', manual=True),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'title': text.strip(row['title']), 'article': article(row['text']), 'answer': text.strip(row['summary'])},
    keep=lambda row: text.every(
        text.matches(row['title'], NOT_BLANK), text.matches(row['text'], NOT_BLANK), text.matches(row['summary'], NOT_BLANK)
    ),
    metric='t5_rouge',
    lineage=('Newsroom',),
    licence='non-commercial research, on registration',
    link='https://lil.nlp.cornell.edu/newsroom/',
    train_examples=994_560,
    validation_examples=200,
    test_examples=108_862,
    templates=(
        Template('{title}\n\n{article}\n\nA description of this page for those who find it with a search engine:'),
        Template("This is kept in a newspaper's archive. Condense it for the catalogue.\n\n{article}"),
        Template('What should stand under the link when somebody shares the following article?\n\n{article}'),
        Template('Title: {title}\nText: {article}\nAbstract:'),
        Template('What does the piece called "{title}" have to say? One or two sentences are enough.\n\n{article}'),
        Template('Librarian: Will our readers care for this? "{article}"\nColleague: I can tell you what it is about.'),
        Template(
            'Every Friday a magazine sends out a letter that makes people want to read on. Write the few words in it that announce '
            'the text below.\n\n{article}'
        ),
        Template('Write an article with the title "{title}". A summary of it would read: {answer}', '{article}', inverted=True),
        Template('{answer}\n\nThat was the teaser. Now the piece itself:', '{article}', inverted=True),
        Template('A newspaper announces one of its articles as follows. "{answer}" Suggest a title for it.', '{title}', inverted=True),
    ),
    baselines=(
        Template('{article}\nTL;DR:'),
        Template('{title}\n{article}\nsummary:'),
    ),
)

# XSum: the sentence with which the BBC introduces a report; the report is written as if the reader knew it.
#     article  It was found on Monday in a routine check. "We cannot say what caused it," the harbour master said. The mail now comes by
#              helicopter, and children who go to school on the mainland stay there with families.
#     answer   The only ferry to the island of Skerry will not sail before May because of a crack in its hull.
XSUM = DatasetSpec(
    name='xsum',
    cluster='summarization',
    source=HuggingFace('EdinburghNLP/xsum', revision='refs/convert/parquet', folder='xsum'),  # `datasets` 4 does not run main's script
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'article': article(row['document']), 'answer': text.strip(row['summary'])},
    keep=lambda row: text.every(text.matches(row['document'], NOT_BLANK), text.matches(row['summary'], NOT_BLANK)),
    metric='t5_rouge',
    lineage=('XSum',),
    licence='no licence known; text of the BBC',
    link='https://github.com/EdinburghNLP/XSum',
    train_examples=203_560,
    validation_examples=200,
    test_examples=11_334,
    templates=(
        Template('{article}\n\nSay what this is about in a single sentence.'),
        Template('A report has lost its first sentence, the one that tells all of it at once. Write that sentence.\n\n{article}'),
        Template('If you had just one sentence to tell a friend this news, what would it be?\n\n{article}'),
        Template('Newsreader, ten seconds before the weather forecast, with this on her desk: {article}\nNewsreader:'),
        Template('Compress the text to one line.\n\nText: {article}\nOne line:'),
        Template('Push service\nfull report: {article}\nmessage for the lock screen, one sentence:'),
        Template('Which sentence would serve as an introduction here? Make it up; it is not in the text.\n\n{article}'),
        Template('What has happened? The reporter writes at length, but a sentence is all that I want to read.\n\n{article}'),
        Template('The introduction to a news item reads, "{answer}" Write what follows it.', '{article}', inverted=True),
        Template('Turn one sentence of news into a whole report.\n\n{answer}', '{article}', inverted=True),
    ),
    baselines=(
        Template('{article}\nTL;DR:'),
        Template('article: {article}\nin one sentence:'),
    ),
)
