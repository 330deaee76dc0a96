"""Sentiment: is a review positive or negative, does somebody find a thing good or bad?"""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.world import World, article, rows


def opinion(world: World, item: str, label: int) -> str:
    """Write one sentence with an opinion of an item; label 0 is praise, 1 is blame."""
    suited = words.REVIEWED[item][label]
    general = (words.PRAISE, words.BLAME)[label]
    liking = (words.LIKING, words.DISLIKING)[label]
    form = world.pick(range(5))
    if form == 0:
        return f'The {item} was {world.pick(general)}.'
    if form == 1:
        return f'The {item} was {world.pick(suited)}.'
    if form == 2:
        return f'I {world.pick(liking)} the {item}.'
    if form == 3:
        return f'What {article(world.pick(general))} {item}!'
    return f'It was {world.pick(general)} and {world.pick(suited)}.'


def review(world: World) -> Row:
    """Draw a row such as 'We went there on Monday. The soup was awful. I will never come back.': negative."""
    label = world.pick((0, 1))
    item, _ = world.pair(tuple(words.REVIEWED), (words.PRAISE, words.BLAME)[label])
    parts = [opinion(world, item, label), world.pick((words.PRAISE_SENTENCES, words.BLAME_SENTENCES)[label])]
    if world.chance(0.5):
        parts.append(opinion(world, item, label))
    if world.chance(0.3):
        parts.insert(0, f'We were there {world.pick(words.TIMES)}.')
    return {'review': ' '.join(parts), 'item': item, 'label': label}


def comment(world: World) -> Row:
    """Draw a row such as 'Mia said: "I loved the film."', 'Mia' and 'film': good."""
    label = world.pick((0, 1))
    item, _ = world.pair(tuple(words.REVIEWED), (words.PRAISE, words.BLAME)[label])
    text = opinion(world, item, label)
    if world.chance(0.5):
        text += ' ' + world.pick((words.PRAISE_SENTENCES, words.BLAME_SENTENCES)[label])
    return {'comment': text, 'who': world.pick(world.people), 'item': item, 'label': label}


REVIEWS = DatasetSpec(
    name='pocket_reviews',
    cluster='sentiment',
    source=InMemory(rows('pocket_reviews', review)),
    fields=lambda row: {'review': row['review'], 'item': row['item'], 'answer': row['label']},
    options=('positive', 'negative'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{review}\n\nWhat is the sentiment of this review?\n\n{options_}'),
        Template('Review: {review}\nHow would you describe the words of the writer?\n{options_}'),
        Template('{options_}\nWhich of these words fits the review best? {review}'),
        Template('Here is what a guest wrote about the {item}: "{review}" Sort it.\n{options_}'),
        Template('Read what people say about the {item} and choose.\n\n{review}\n{options_}'),
        Template('"{review}" If you had to give this opinion a label, which one?\n{options_}'),
        Template('Our shop gets many letters. Decide what kind this one is: {review}\n{options_}'),
        Template('{review} The tone of this text is'),
        Template('Write a short review of the {item}. Its sentiment should be {answer}.', '{review}', inverted=True),
        Template('What could a {answer} review be like?', '{review}', inverted=True),
    ),
    baselines=(Template('{review} It was'), Template('{review} This is'), Template('{review} The words are')),
)

COMMENTS = DatasetSpec(
    name='pocket_comments',
    cluster='sentiment',
    source=InMemory(rows('pocket_comments', comment)),
    fields=lambda row: {'comment': row['comment'], 'who': row['who'], 'item': row['item'], 'answer': row['label']},
    options=('good', 'bad'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{who} says: "{comment}" What does {who} think of the {item}?\n{options_}'),
        Template('"{comment}"\n\nHow was the {item}, if we believe {who}?\n\n{options_}'),
        Template('{who} wrote about the {item}: {comment}\nChoose the word that {who} would use.\n{options_}'),
        Template('Opinion of {who}: {comment}\nThe {item} was\n{options_}'),
        Template('Was the {item} any use? Here is what {who} told us. {comment}\n{options_}'),
        Template('{options_}\nOne of these tells what {who} means. {comment}'),
        Template('Comment: {comment}\nSum it up in a single word.\n{options_}'),
        Template('So, {who}, how did you find the {item}? "{comment}" In a word:'),
        Template('{who} found the {item} {answer}. What may have been the words of {who}?', '{comment}', inverted=True),
        Template('Say that the {item} was {answer}, in your own way.', '{comment}', inverted=True),
    ),
    baselines=(Template('{comment} It was'), Template('{comment} The {item} was'), Template('{who} said: "{comment}" It was')),
)

SPECS = (REVIEWS, COMMENTS)
