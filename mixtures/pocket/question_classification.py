"""Question classification: what does a question ask for, and what is it about?"""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import facts, words
from flanlite.mixtures.pocket.world import QUESTIONS, World, rows

KINDS = ('person', 'place', 'time', 'colour', 'number', 'reason')
ASPECT_KINDS = {'who': 'person', 'other': 'person', 'place': 'place', 'time': 'time', 'colour': 'colour'}
NUMBER_QUESTIONS = (
    'How many {things} did {who} {base}?',
    'How many people were {where}?',
    'How many friends did {who} meet {where}?',
    'How old is {who}?',
)
REASON_QUESTIONS = ('Why did {who} {base} the {thing}?', 'Why was {who} {where} {time}?', 'Why did {who} go to the {place}?')
# topic -> questions on it
TOPICS = {
    'food': (
        'Is the {food} {taste}?',
        'Who wants some more {food}?',
        'How do you make {food}?',
        'Is there any {food} left in the kitchen?',
    ),
    'weather': ('Will it rain {time}?', 'Does the sun shine {where}?', 'Was there snow {where}?', 'Is it cold {where} {time}?'),
    'animals': (),
    'lands': (),
    'school': (
        'Did {who} read well at school?',
        'Which teacher does {who} like?',
        'When does the lesson start {time}?',
        'Did {who} pass the test?',
    ),
    'music': ('Can {who} play the drum?', 'Did {who} sing {where}?', 'Which song does {who} like?', 'Is there a dance {where} {time}?'),
}
FOODS = (('soup', 'bread', 'cake', 'tea'), ('tasty', 'stale', 'fresh', 'sweet'))


def kind(world: World) -> Row:
    """Draw a row such as 'Where did Tom find the ball?': place."""
    event = world.event()
    answer = world.pick(KINDS)
    if answer in ('number', 'reason'):
        form = world.pick(NUMBER_QUESTIONS if answer == 'number' else REASON_QUESTIONS)
        base = words.VERBS[event.verb][0][0]
        text = form.format(
            things=plural(event.thing), thing=event.thing, who=event.who, base=base, where=event.where, time=event.time, place=event.place
        )
    else:
        while answer not in [ASPECT_KINDS.get(aspect) for aspect in QUESTIONS[event.kind]]:
            event = world.event()
        text = world.ask(event, world.pick([aspect for aspect in QUESTIONS[event.kind] if ASPECT_KINDS.get(aspect) == answer]))
    return {'question': text, 'options': world.options(answer, world.shuffled(KINDS), 4), 'answer': answer}


def topic(world: World) -> Row:
    """Draw a row such as 'Will it rain at noon?': weather."""
    answer = world.pick(tuple(TOPICS))
    if answer == 'animals':
        name, aspect = world.pair(tuple(facts.ANIMALS), facts.ANIMAL_ASPECTS)
        text = world.pick(facts.ANIMAL_QUESTIONS[aspect]).format(animal=name)
    elif answer == 'lands':
        name, aspect = world.pair(facts.LANDS, facts.LAND_ASPECTS)
        text = world.pick(facts.LAND_QUESTIONS[aspect]).format(land=name)
    else:
        event = world.event()
        food, taste = world.pick(FOODS[0]), world.pick(FOODS[1])
        text = world.pick(TOPICS[answer]).format(who=event.who, where=event.where, time=event.time, food=food, taste=taste)
    return {'question': text, 'options': world.options(answer, world.shuffled(tuple(TOPICS)), 4), 'answer': answer}


def plural(noun: str) -> str:
    """Write sentences about several things of a kind."""
    return noun + ('es' if noun.endswith('x') else 's')


QUESTION_KINDS = DatasetSpec(
    name='pocket_question_kinds',
    cluster='question_classification',
    source=InMemory(rows('pocket_question_kinds', kind)),
    fields=lambda row: {'question': row['question'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{question}\n\nWhat kind of answer does this question want?\n\n{options_}'),
        Template('Question: {question}\nThe one who asks would like to hear about a\n{options_}'),
        Template('{options_}\nWhich of these does "{question}" ask for?'),
        Template('Sort the question by what its answer will be.\n{question}\n{options_}'),
        Template('You need not answer "{question}" but tell us what an answer would name.\n{options_}'),
        Template('Somebody calls and asks: {question} What is he looking for?\n{options_}'),
        Template('Type of question: {question}\n{options_}'),
        Template('Choose what is asked for.\n\n{question}\n{options_}'),
        Template('"{question}" asks for a'),
        Template('Ask a question. Its answer should be a {answer}.', '{question}', inverted=True),
    ),
    baselines=(Template('{question} It asks for a'), Template('{question} The answer is a'), Template('"{question}" is about a')),
)

TOPIC = DatasetSpec(
    name='pocket_topics',
    cluster='question_classification',
    source=InMemory(rows('pocket_topics', topic)),
    fields=lambda row: {'question': row['question'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{question}\nWhat is this question about?\n{options_}'),
        Template('Give the topic. {question}\n\n{options_}'),
        Template('Which shelf of a library would help with "{question}"\n{options_}'),
        Template('{options_}\nFind the subject of this question among these.\n{question}'),
        Template('A pupil asks: {question} Who can help? Someone who knows about\n{options_}'),
        Template('Letters to the editor go into boxes. This one says "{question}" and belongs in the box\n{options_}'),
        Template('Question: {question}\nTopic:\n{options_}'),
        Template('Name what "{question}" deals with.'),
        Template('Ask me something about {answer}.', '{question}', inverted=True),
        Template('The topic is {answer}. Write a question.', '{question}', inverted=True),
    ),
    baselines=(Template('{question} It is about'), Template('{question} They talked about'), Template('"{question}" is about')),
)

SPECS = (QUESTION_KINDS, TOPIC)
