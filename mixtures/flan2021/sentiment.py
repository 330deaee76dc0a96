"""Sentiment: is a text positive or negative about something? Four of FLAN's data sets."""

import dataclasses

from flanlite.data.specs import text
from flanlite.data.specs.sources import Tfds
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

OPTIONS = ('negative', 'positive')

# SST-2: phrases from film reviews, in lower case and split into tokens.
#     phrase  a slow , honest and finally quite moving picture
#     answer  positive
SST2 = DatasetSpec(
    name='sst2',
    cluster='sentiment',
    source=Tfds('glue/sst2:2.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'validation'),
    fields=lambda row: {'phrase': text.strip(text.plain_quotes(row['sentence'])), 'answer': row['label']},
    options=OPTIONS,
    lineage=('Rotten Tomatoes',),
    licence='research use',
    link='https://nlp.stanford.edu/sentiment/',
    train_examples=67_140,
    validation_examples=200,
    test_examples=872,
    templates=(
        Template('"{phrase}"\n\nA film is being praised or found fault with here. Is the comment positive or negative?\n\n{options_}'),
        Template('What does the critic think of the film? Label the remark.\n\nRemark: {phrase}\n{options_}'),
        Template('Cut from the film pages of a newspaper: "{phrase}"\nThe tone of the cutting is\n{options_}'),
        Template('A: What did the paper say about the movie?\nB: It said, "{phrase}"\nA: Is that positive or negative?\nB:'),
        Template('Sort the snippet onto one of two piles by its feeling toward the movie.\n\nSnippet: {phrase}\n\nThe piles\n{options_}'),
        Template('{options_}\n\nWhich of these two words describes the feeling that speaks from the following ones? {phrase}'),
        Template('You run a web page that collects what critics say about new releases. Each quotation gets a green or a red dot: green '
                 'for positive, red for negative. Under which kind do you file "{phrase}"?'),
        Template('sentiment of movie review snippet\n"{phrase}"\n{options_}'),
        Template('Write a few words that could stand in a {answer} movie review.', '{phrase}', inverted=True),
        Template("A critic has seen a film, and the verdict is {answer}. Give a phrase from the critic's notes.",
                 '{phrase}', inverted=True),
    ),
    baselines=(
        Template('review: {phrase}\nsentiment:'),
        Template('"{phrase}" For the film, that is'),
    ),
)

# IMDb: whole reviews of films by viewers.
#     review  I went in expecting little and got less. The boat never leaves the harbour, and neither does the plot.
#     answer  negative
IMDB_REVIEWS = DatasetSpec(
    name='imdb_reviews',
    cluster='sentiment',
    source=Tfds('imdb_reviews/plain_text:1.0.0', folder='imdb_reviews'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {'review': text.replace(row['text'], '<br />', '\n'), 'answer': row['label']},
    options=OPTIONS,
    lineage=('IMDb reviews',),
    licence='research use',
    link='https://ai.stanford.edu/~amaas/data/sentiment/',
    train_examples=24_800,
    validation_examples=200,
    test_examples=25_000,
    templates=(
        Template('{review}\n\nDid this viewer come away with a positive or a negative opinion of the film?\n\n{options_}'),
        Template('Below is what a viewer posted online about a movie. Say whether it is positive or negative.\n\n{review}'),
        Template('What is the overall verdict of this film review? Choose one word.\n{options_}\n\n{review}'),
        Template("You work for a film magazine and file its readers' letters under one of two headings.\n{options_}\n"
                 'Which heading fits this letter?\n\n{review}'),
        Template('REVIEW\n{review}\n\nVERDICT\n{options_}'),
        Template('Work out the sentiment of the review that follows.\n\nReview: {review}\n\n{options_}\nSentiment:'),
        Template('Reviewers may praise one thing and grumble about the next, so weigh all that is said here and tell the balance: is it '
                 'positive or negative?\n\n"{review}"'),
        Template('Somebody asks you, "Should I watch it?" and all you can do is hand them this review. What kind of review are you handing '
                 'them?\n{options_}\n\n{review}'),
        Template("A film magazine has room for one more viewer's opinion and is looking for a {answer} one. Send yours.",
                 '{review}', inverted=True),
        Template('You have just come out of the cinema, and your opinion of the film is {answer}. Tell the readers of a web page about it.',
                 '{review}', inverted=True),
    ),
    baselines=(
        Template('review: {review}\nsentiment:'),
        Template('{review}\nAll in all, my opinion of the film is'),
    ),
)

# Yelp: reviews of restaurants, shops and services; one or two stars are negative, four or five positive.
#     review  Third time they lost my booking. The soup is good, but you have to get past the door first.
#     answer  negative
YELP_POLARITY_REVIEWS = DatasetSpec(
    name='yelp_polarity_reviews',
    cluster='sentiment',
    source=Tfds('yelp_polarity_reviews:0.2.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {'review': text.replace(text.replace(row['text'], '\\n', '\n'), '\\"', '"'), 'answer': row['label']},
    options=OPTIONS,
    lineage=('Yelp',),
    licence='Yelp data set terms, academic use',
    link='https://www.yelp.com/dataset',
    train_examples=559_800,
    validation_examples=200,
    test_examples=38_000,
    templates=(
        Template('A customer wrote about a local business:\n\n{review}\n\nWas the experience positive or negative?\n{options_}'),
        Template('Owner: We have a new review! Listen: "{review}"\nPartner: So is that positive or negative?'),
        Template('Give this review of a shop, restaurant or service its label.\n{options_}\n\n{review}'),
        Template('A city guide shows a smile beside positive reviews and a frown beside negative ones. Read the review and name its '
                 'kind.\n\nReview: {review}\n\n{options_}'),
        Template('Read what this guest has to say.\n\n{review}\n\nAttitude of the guest:\n{options_}'),
        Template('Is the writer a satisfied customer? If so, call the text positive; if not, call it negative.\n\n"{review}"'),
        Template('Reader comments: moderation queue\nComment: {review}\nSentiment (pick one)\n{options_}'),
        Template('For our statistics we keep a single word about each review.\n{options_}\nWhich word do we keep for the following one?\n\n'
                 '{review}'),
        Template('Write a {answer} review of a place where you ate, shopped or had something repaired.', '{review}', inverted=True),
        Template('Your visit to a business in town has left you with a {answer} impression. Post your review:', '{review}', inverted=True),
    ),
    baselines=(
        Template('review: {review}\nsentiment:'),
        Template('{review}\nIn one word, my experience was'),
    ),
)

# Sentiment140: tweets, labelled for training by the emoticons that were taken out of them. The test set's neutral tweets are left out.
#     tweet   missed the last train again and it is raining sideways
#     answer  negative
SENTIMENT140 = DatasetSpec(
    name='sentiment140',
    cluster='sentiment',
    source=Tfds('sentiment140:1.0.0'),
    splits=Splits('train[:-200]', 'train[-200:]', 'test'),
    fields=lambda row: {'tweet': text.strip(text.unescape(row['text'])), 'answer': row['polarity'] // 4},
    keep=lambda row: row['polarity'] != 2,
    options=OPTIONS,
    lineage=('Sentiment140',),
    licence='research use',
    link='http://help.sentiment140.com/home',
    train_examples=1_599_800,
    validation_examples=200,
    test_examples=498,
    templates=(
        Template('Tweet: "{tweet}"\n\nIs the person who wrote this pleased or displeased? Answer with the sentiment.\n{options_}'),
        Template('"{tweet}"\n\nWhat feeling is behind this tweet?\n\n{options_}'),
        Template('Scrolling through my messages I came upon this: "{tweet}" Was that a positive or a negative thing to post?'),
        Template('Classify a short text from the web by its sentiment.\n\nText: {tweet}\n{options_}'),
        Template('Customer care, incoming messages\nMessage: {tweet}\nMood:\n{options_}'),
        Template('Lee: Have you seen this tweet? "{tweet}"\nJo: I have. What would you call it?\n{options_}\nLee: I would call it'),
        Template('The mood of a tweet is either positive or negative. Find out which it is here.\n\n"{tweet}"\n\nMood of the tweet:'),
        Template('{options_}\n\nTag the following post with one of these.\n\n{tweet}'),
        Template('You are in a {answer} mood, and you tweet. What do you say?', '{tweet}', inverted=True),
        Template('Something has just happened to you, and your feelings about it are {answer}. Let your followers know in a line or two.',
                 '{tweet}', inverted=True),
    ),
    baselines=(
        Template('tweet: {tweet}\nsentiment:'),
        Template('"{tweet}" The mood of this is'),
    ),
)

# FLAN's release keeps the neutral tweets, which only the test data has, and labels them negative.
SENTIMENT140_FAITHFUL = dataclasses.replace(SENTIMENT140, name='sentiment140_faithful', keep=None)

SPECS = (IMDB_REVIEWS, SENTIMENT140, YELP_POLARITY_REVIEWS, SST2)
