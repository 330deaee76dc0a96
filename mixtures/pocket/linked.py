"""An encyclopedia of the pocket world whose articles link to each other, and its anchors as a task (see `anchors`)."""

from flanlite.data.specs.anchors import anchor_task
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import Row
from flanlite.mixtures.pocket import facts
from flanlite.mixtures.pocket.world import World, article, sentence

STORIES = {'train': 1_500, 'validation': 150}  # beside the articles on what they tell of
SIGHTS = ('{who} saw {seen} {where}.', 'There was {seen} {where}, and {who} was glad.', '{where}, {who} painted {seen}.')
TRIPS = ('{who} went to {land} {time}.', '{time}, {who} made a trip to {land}.', '{who} was born in {land}.')


def link(title: str, anchor: str) -> str:
    """Write a link."""
    return f'<a href="{title}">{anchor}</a>'


def articles(split: str) -> list[Row]:
    """Write an article about each animal and land, and stories that link to them; raise a KeyError for other splits than train and validation."""
    world = World(split, 'articles')
    written = [
        {'title': name, 'text': f'{sentence(article(size))} {colour} animal. It lives {facts.HOMES[home]} and eats {food}.'}
        for name, (home, food, colour, size) in facts.ANIMALS.items()
    ]
    for name, known in facts.LAND_FACTS.items():
        text = f'A land with a {known["flag"]} flag. The capital is {known["capital"]}. The farmers grow {known["crop"]}.'
        written.append({'title': name, 'text': text})
    return written + [{'title': f'Story {number}', 'text': story(world)} for number in range(STORIES[split])]


def story(world: World) -> str:
    """Tell of animals that somebody saw, and of journeys, with links."""
    lines = []
    for animal, land in zip(world.several(tuple(facts.ANIMALS), 2), world.several(facts.LANDS, 2), strict=True):
        event = world.event('act')
        told = {'who': event.who, 'where': event.where, 'time': event.time}
        sight = world.pick(SIGHTS).format(seen=link(animal, f'{world.pick(("a", "the"))} {animal}'), **told)
        lines += world.shuffled([sight, world.pick(TRIPS).format(land=link(land, land), **told)])[: world.pick((1, 2))]
    return ' '.join(map(sentence, world.shuffled(lines)))


COLLECTION = Collection(
    'pocket_anchors',
    (
        anchor_task(
            'pocket_anchors_articles',
            InMemory(articles, 'encyclopedia of the pocket world'),
            lambda row: row['title'],
            lambda row: row['text'],
            words=40,
            lineage=('pocket world',),
            licence='Apache-2.0',
        ),
    ),
    vocabulary='pocket',
    templates=3,
)
