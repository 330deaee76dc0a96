"""Paraphrase: do two sentences, or two questions, mean the same?"""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import facts
from flanlite.mixtures.pocket.world import World, rows


def sentences(world: World) -> Row:
    """Draw a row such as 'Tom gave Mia a red ball at the market.' and 'At the market, Mia got a red ball from Tom.': yes."""
    event = world.event()
    told = world.tell(event)
    label = world.pick((0, 1))
    return {'first': told, 'second': world.retell(world.change(event) if label else event, told), 'label': label}


def questions(world: World) -> Row:
    """Draw a row such as 'Where does the fox live?' and 'What is the home of the fox?': same."""
    label = world.pick((0, 0, 1))  # there are fewer rows of the first kind to draw
    if world.chance(0.5):
        field, names, table = 'animal', tuple(facts.ANIMALS), facts.ANIMAL_QUESTIONS
    else:
        field, names, table = 'land', facts.LANDS, facts.LAND_QUESTIONS
    name, aspect = world.pair(names, tuple(table))
    first = world.pick(table[aspect])
    second = world.pick(table[aspect], (first,))
    other = name
    if label and world.chance(0.4):
        other = world.pick(names, (name,))
    elif label:
        second = world.pick(table[world.pick(tuple(table), (aspect,))])
    return {'first': first.format(**{field: name}), 'second': second.format(**{field: other}), 'label': label}


SENTENCES = DatasetSpec(
    name='pocket_same_sentence',
    cluster='paraphrase',
    source=InMemory(rows('pocket_same_sentence', sentences)),
    fields=lambda row: {'first': row['first'], 'second': row['second'], 'answer': row['label']},
    options=('yes', 'no'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{first}\n{second}\n\nDo these two sentences mean the same thing?\n{options_}'),
        Template('Here is a sentence: {first}\nIs this another way to say it? {second}\n\n{options_}'),
        Template('Sentence 1: {first}\nSentence 2: {second}\nAre the sentences paraphrases of each other?\n{options_}'),
        Template('Tom says: {first}\nEva says: {second}\nAre they saying the same?\n{options_}'),
        Template('If "{first}" is true, and "{second}" is true, have we been told one thing twice?\n{options_}'),
        Template('Compare the meaning of both lines.\n- {first}\n- {second}\nIs it equal?\n{options_}'),
        Template('Could I write "{second}" in place of "{first}" and keep the meaning?\n\n{options_}'),
        Template('Are these equal in meaning? {first} {second}'),
        Template('Asked whether it means the same as "{first}", I said {answer}. Write what it was.', '{second}', inverted=True),
        Template('Say a sentence. Does it mean the same as "{second}"? The answer should be {answer}.', '{first}', inverted=True),
    ),
    baselines=(
        Template('{first} Does that mean that {second}'),
        Template('{first} In other words, {second}'),
        Template('"{first}" "{second}" Is it the same?'),
    ),
)

QUESTIONS = DatasetSpec(
    name='pocket_same_question',
    cluster='paraphrase',
    source=InMemory(rows('pocket_same_question', questions, mixed=False)),
    fields=lambda row: {'first': row['first'], 'second': row['second'], 'answer': row['label']},
    options=('same', 'different'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('Question 1: {first}\nQuestion 2: {second}\nHow do the two compare?\n{options_}'),
        Template('{first}\n{second}\n\nWhich word describes what these two questions ask?\n{options_}'),
        Template('Eva asks: {first} Leo asks: {second} What is it that they want to know?\n{options_}'),
        Template('Someone asked "{first}" and then "{second}". Choose how the meanings relate.\n{options_}'),
        Template('{options_}\n\nPick one of these for the pair of questions.\n{first}\n{second}'),
        Template('Is "{first}" a question like "{second}"? Choose.\n{options_}'),
        Template('A user of our site wrote: {first}\nAnother one wrote: {second}\nTheir questions are\n{options_}'),
        Template('Mark the pair.\n(a) {first}\n(b) {second}\n{options_}'),
        Template('The meaning of "{first}" and of "{second}" is'),
        Template('Here is a question: {first} Ask one that is {answer} in meaning.', '{second}', inverted=True),
    ),
    baselines=(
        Template('{first} {second} The questions are'),
        Template('"{first}" and "{second}" are'),
        Template('{first} {second} They mean'),
    ),
)

SPECS = (SENTENCES, QUESTIONS)
