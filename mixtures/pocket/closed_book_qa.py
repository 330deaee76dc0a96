"""Closed-book questions: facts of the world, which stand in the pretraining text as statements and are not shown with the question."""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import facts
from flanlite.mixtures.pocket.world import World, rows


def animal(world: World) -> Row:
    """Draw a row such as 'What does the fox eat?': mice."""
    name, aspect = world.pair(tuple(facts.ANIMALS), facts.ANIMAL_ASPECTS)
    answer = facts.animal_value(name, aspect)
    others = world.shuffled(facts.animal_values(aspect))
    question = world.pick(facts.ANIMAL_QUESTIONS[aspect]).format(animal=name)
    return {'question': question, 'topic': name, 'options': world.options(answer, others, 4), 'answer': answer}


def land(world: World) -> Row:
    """Draw a row such as 'What is the capital of Avaria?': Farn."""
    name, aspect = world.pair(facts.LANDS, facts.LAND_ASPECTS)
    answer = facts.LAND_FACTS[name][aspect]
    others = world.shuffled(facts.LAND_VALUES[aspect])
    question = world.pick(facts.LAND_QUESTIONS[aspect]).format(land=name)
    return {'question': question, 'topic': name, 'options': world.options(answer, others, 4), 'answer': answer}


ANIMALS = DatasetSpec(
    name='pocket_animals',
    cluster='closed_book_qa',
    source=InMemory(rows('pocket_animals', animal, mixed=False)),
    fields=lambda row: {'question': row['question'], 'topic': row['topic'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{question}\n\n{options_}'),
        Template('Answer this question about animals.\n\n{question}\n{options_}'),
        Template('What do you know about the {topic}? {question}\n{options_}'),
        Template('Quiz! {question}\nPick your answer:\n{options_}'),
        Template('Child: {question}\nMother: That is easy. It is\n{options_}'),
        Template('{options_}\nWhich of these answers the question "{question}"'),
        Template('Question: {question}\nAnswer:'),
        Template('A friend of animals asks you: "{question}" What do you reply?\n{options_}'),
        Template('The answer is "{answer}", and it is about the {topic}. What was the question?', '{question}', inverted=True),
        Template('Write a quiz question for animal lovers with the answer "{answer}".', '{question}', inverted=True),
    ),
    baselines=(Template('{question}'), Template('{question} The {topic}:'), Template('"{question}"')),
)

LANDS = DatasetSpec(
    name='pocket_lands',
    cluster='closed_book_qa',
    source=InMemory(rows('pocket_lands', land, mixed=False)),
    fields=lambda row: {'question': row['question'], 'topic': row['topic'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{question}\n{options_}'),
        Template('A question on {topic}: {question}\n\n{options_}'),
        Template('Show what you know about the lands of the world. {question}\n{options_}'),
        Template('Teacher: {question}\nPupil: I know that! It is\n{options_}'),
        Template('I am writing about {topic} and must know: {question} Can you help?\n{options_}'),
        Template('{options_}\nOnly one of them is right. {question}'),
        Template('Geography test\n1. {question}\nYour answer:'),
        Template('Tell me, traveller: {question}\n{options_}'),
        Template('"{answer}" is the answer to a question about {topic}. Which question?', '{question}', inverted=True),
        Template('Ask something about {topic}. I will say "{answer}".', '{question}', inverted=True),
    ),
    baselines=(Template('{question}'), Template('{question} In {topic}:'), Template('"{question}"')),
)

SPECS = (ANIMALS, LANDS)
