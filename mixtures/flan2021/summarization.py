"""Summarization: the gist of a text. Two of FLAN's data sets, one of which asks for the topic."""

from flanlite.data import text
from flanlite.data.sources import Tfds
from flanlite.data.specs import DatasetSpec, Splits
from flanlite.data.templates import Template

# AESLC: what is the subject line of an email? Mail of the Enron corporation.
#     body     Hello all, the meeting room is being painted on Thursday. We shall meet in the canteen instead, at the usual time.
#     subject  Thursday's meeting moves to the canteen
AESLC = DatasetSpec(
    name='aeslc',
    cluster='summarization',
    source=Tfds('aeslc:1.0.0'),
    splits=Splits('train', 'validation[:200]', 'test'),
    fields=lambda row: {'body': text.strip(row['email_body']), 'answer': text.strip(row['subject_line'])},
    keep=lambda row: text.every(text.matches(row['email_body'], r'(?s).*\S.*'), text.matches(row['subject_line'], r'(?s).*\S.*')),
    metric='rouge',
    lineage=('Enron',),
    licence='CC BY-NC-SA 4.0',
    link='https://github.com/ryanzhumich/AESLC',
    templates=(
        Template('{body}\n\nThe email above is to go out under a subject that says what it is about. Write the subject.'),
        Template('Read the message and write the line that would stand above it in the inbox.\n\nMessage: {body}'),
        Template('What is this mail about? Say it in a few words.\n\n{body}'),
        Template('New message\nBody: {body}\nSubject:'),
        Template('Assistant, I have dictated the following, and it still lacks a heading.\n\n{body}\n\nAssistant: How about'),
        Template('An email was saved without its subject. Restore what the subject may have been.\n\n"{body}"'),
        Template('Boil this down to the few words that a busy colleague needs to see first:\n\n{body}\n\nFew words:'),
        Template('Here is a letter from our archive, to be listed by title.\n\n{body}\n\nTitle for the list:'),
        Template('This is to be the subject of an email: {answer}\nNow write the email itself.', '{body}', inverted=True),
        Template('To: everyone\nSubject: {answer}\nBody:', '{body}', inverted=True),
    ),
    baselines=(
        Template('{body}\nsubject:'),
        Template('email: {body}\nTL;DR:'),
    ),
)

# AG News: the section of a newspaper that a news item belongs to. FLAN counts this as summarization.
#     article  Oil climbs as storm nears. Crude rose by a dollar on Tuesday, as producers shut their wells before the storm.
#     answer   business
AG_NEWS_SUBSET = DatasetSpec(
    name='ag_news_subset',
    cluster='summarization',
    source=Tfds('ag_news_subset:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {
        'article': text.strip(text.unescape(text.replace(text.join([row['title'], row['description']], '\n'), '\\', ' '))),
        'answer': row['label'],
    },
    options=('world news', 'sports', 'business', 'science and technology'),
    lineage=("AG's corpus",),
    licence='non-commercial research',
    link='http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html',
    templates=(
        Template('{article}\n\nUnder what heading does this news item belong?\n\n{options_}'),
        Template('Which section of a newspaper would print the following?\n\n{article}\n{options_}'),
        Template('Sort the article by subject.\n\nArticle: {article}\n\n{options_}'),
        Template('Listener: I turned the radio on too late. What was this about?\nThe radio: {article}\n{options_}\n'
                 'Somebody who heard it all:'),
        Template('One of four tags has to be set before a report can go online.\n{options_}\n\nReport: {article}\nTag:'),
        Template('News in a word. Read the text, then sum up its field in one of the terms given.\n\n"{article}"\n\n{options_}'),
        Template('Our paper has four desks: world news, sports, business, and science and technology. Which one wrote this?\n\n{article}'),
        Template('{options_}\n\nA reader who cares for only one of these subjects has cut out an article. Which subject is it?\n\n'
                 '{article}'),
        Template('Write the beginning of a news report for the section "{answer}".', '{article}', inverted=True),
        Template('You report on {answer} for a news agency, and something has just happened. Send the first lines.',
                 '{article}', inverted=True),
    ),
    baselines=(
        Template('{article}\ntopic:'),
        Template('article: {article}\nsection of the newspaper:'),
    ),
)

SPECS = (AESLC, AG_NEWS_SUBSET)
