"""Sentiment: reviewers' opinions of products, apps, films and businesses. The data sets of T0 that FLAN lacks."""

from flanlite.data.specs import text
from flanlite.data.specs.sources import HuggingFace
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

STARS = ('1', '2', '3', '4', '5')
NOT_BLANK = r'(?s).*\S.*'

# Amazon polarity: reviews of products, of one or two stars (negative) and of four or five (positive).
#     title   Stays warm for hours
#     review  I take this flask out on the boat every morning, and at noon my tea is still hot.
#     answer  positive
AMAZON_POLARITY = DatasetSpec(
    name='amazon_polarity',
    cluster='sentiment',
    source=HuggingFace('fancyzhx/amazon_polarity', folder='amazon_polarity'),
    splits=Splits('train', 'test[:2000]', 'test[2000:]'),
    fields=lambda row: {'title': text.strip(row['title']), 'review': text.strip(row['content']), 'answer': row['label']},
    keep=lambda row: text.every(text.matches(row['title'], NOT_BLANK), text.matches(row['content'], NOT_BLANK)),
    options=('negative', 'positive'),
    lineage=('Amazon reviews',),
    licence='Amazon terms, unclear',
    link='https://arxiv.org/abs/1509.01626',
    train_examples=3_600_000,
    validation_examples=2_000,
    test_examples=398_000,
    templates=(
        Template('{title}\n{review}\n\nIs the buyer who wrote this positive or negative about the product?'),
        Template('A shop files what customers write under two headings.\n{options_}\n\nWhere does this one go?\n"{review}"'),
        Template('Review of a purchase: {review}\nTone:\n{options_}'),
        Template('Going by the headline and the text, was the money well spent? Call it positive if so, negative if not.\n\n'
                 'Headline: {title}\nText: {review}'),
        Template('{options_}\n\nOne of these words sums up the feelings of a customer who says: {title}. {review}'),
        Template('Give this review a headline.\n\n{review}', '{title}', inverted=True),
        Template('A buyer is {answer} about something bought on the web, and wants to say so under the headline "{title}". Write the '
                 'review.',
                 '{review}', inverted=True),
    ),
    baselines=(
        Template('review: {title}. {review}\nsentiment:'),
        Template('{title}\n{review}\nAll in all, that is'),
    ),
)

# App reviews: what users write about an app for Android, and how many stars they give it.
#     review  Crashes whenever I open the chart of tides. Was fine before the update.
#     answer  2
APP_REVIEWS = DatasetSpec(
    name='app_reviews',
    cluster='sentiment',
    source=HuggingFace('sealuzh/app_reviews', folder='app_reviews'),
    splits=Splits('train', None, None),
    fields=lambda row: {'app': row['package_name'], 'review': text.strip(row['review']), 'answer': row['star'] - 1},
    keep=lambda row: text.matches(row['review'], NOT_BLANK),
    options=STARS,
    lineage=('App reviews',),
    licence='unknown',
    link='https://giograno.me/assets/pdf/workshop/wama17.pdf',
    train_examples=288_065,
    templates=(
        Template('{review}\n\nHow many stars, from one to five, does the app get from this user?\n{options_}'),
        Template('Package: {app}\nComment: {review}\nStars:\n{options_}'),
        Template('As the developer of {app} I read every comment. This one says: "{review}" What rating will it have come '
                 'with?\n{options_}'),
        Template('Turn the words into a number between worst and best.\n\n"{review}"\n{options_}'),
        Template('Write what somebody may say of an app on their phone, who rates it {answer} out of 5.', '{review}', inverted=True),
    ),
    baselines=(
        Template('review: {review}\nstars:'),
        Template('{app}: {review}\nrating out of 5:'),
    ),
)

# Rotten Tomatoes: a sentence from a critic's review of a film (Pang and Lee, 2005).
#     snippet  an hour too long , and the lighthouse is the best actor in it .
#     answer   negative
ROTTEN_TOMATOES = DatasetSpec(
    name='rotten_tomatoes',
    cluster='sentiment',
    source=HuggingFace('cornell-movie-review-data/rotten_tomatoes', folder='rotten_tomatoes'),
    fields=lambda row: {'snippet': text.strip(row['text']), 'answer': row['label']},
    options=('negative', 'positive'),
    lineage=('Rotten Tomatoes',),
    licence='research',
    link='https://www.cs.cornell.edu/people/pabo/movie-review-data/',
    train_examples=8_530,
    validation_examples=1_066,
    test_examples=1_066,
    templates=(
        Template('{snippet}\n\nFrom a film review. Thumbs up (positive) or thumbs down (negative)?'),
        Template('The poster quotes the press: "{snippet}" Should the studio be glad of the quote?\n{options_}'),
        Template("Tell the critic's mood from one sentence.\n\nSentence: {snippet}\n{options_}\nMood:"),
        Template('Maja: What do the papers say about the film?\nJon: "{snippet}"\nMaja: So on the whole they are\n{options_}'),
        Template('{options_}\nWhich label would you give to the following words about a film?\n{snippet}'),
        Template('Put a {answer} opinion of a film into one sentence, in small letters, as a critic would.', '{snippet}', inverted=True),
    ),
    baselines=(
        Template('review: {snippet}\nsentiment:'),
        Template('"{snippet}" For the film, this is'),
    ),
)

# Yelp: reviews of businesses, with one to five stars.
#     review  Friendly crew and a fair price, but the chowder came cold. I might give them another try.
#     answer  3
YELP_REVIEW_FULL = DatasetSpec(
    name='yelp_review_full',
    cluster='sentiment',
    source=HuggingFace('Yelp/yelp_review_full', folder='yelp_review_full'),
    splits=Splits('train', 'test[:2000]', 'test[2000:]'),
    fields=lambda row: {
        'review': text.strip(text.replace(text.replace(row['text'], '\\n', '\n'), '\\"', '"')),
        'answer': row['label'],
    },
    options=STARS,
    lineage=('Yelp reviews',),
    licence='Yelp data set terms',
    link='https://arxiv.org/abs/1509.01626',
    train_examples=650_000,
    validation_examples=2_000,
    test_examples=48_000,
    templates=(
        Template('{review}\n\nPut a number of stars to that.\n{options_}'),
        Template('Guess the rating, five stars being the best, of the visit described here.\n\n{review}\n{options_}'),
        Template('I run a small place, and a guest has left me this.\n\n"{review}"\n\nOn the scale below, how did we do?\n{options_}'),
        Template('{options_}\n\nThe stars of the next review have been lost. Restore them.\n\n{review}'),
        Template('Guide for travellers\nWhat a guest wrote: {review}\nOverall score, 1 to 5:'),
        Template('You have been to a business of some kind and would rate it {answer} on a scale that ends with 5. Tell others about it.',
                 '{review}', inverted=True),
    ),
    baselines=(
        Template('review: {review}\nstars:'),
        Template('{review}\nrating out of 5:'),
    ),
)

SPECS = (AMAZON_POLARITY, APP_REVIEWS, ROTTEN_TOMATOES, YELP_REVIEW_FULL)
