"""Structure to text: put a record, or some words, into a sentence."""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import facts, words
from flanlite.mixtures.pocket.world import TELLINGS, Event, World, article, rows


def tellings(world: World, event: Event) -> list[str]:
    """Tell an event in all ways that use its verb without synonyms; the plainest first."""
    return [world.tell(event, form=form, synonyms=False) for form in range(len(TELLINGS[event.kind]))]


def record(world: World) -> Row:
    """Draw a row such as 'who: Tom; action: find; what: a red ball; where: in the park': Tom found a red ball in the park."""
    event = world.event(world.pick(('act', 'give', 'meet')))
    action = {'act': words.VERBS[event.verb][0][0], 'give': 'give', 'meet': 'meet'}[event.kind]
    parts = {'who': event.who, 'action': action}
    if event.kind != 'meet':
        parts['what'] = article(event.what)
    if event.other:
        parts['to whom' if event.kind == 'give' else 'whom'] = event.other
    parts['where'] = event.where
    if event.kind == 'meet':
        parts['when'] = event.time
    texts = tellings(world, event)
    return {'record': '; '.join(f'{key}: {value}' for key, value in parts.items()), 'answers': texts, 'answer': texts[0]}


def animal_record(world: World) -> Row:
    """Draw a row such as 'animal: fox; colour: red; home: forest': The fox is red and lives in the forest."""
    name, _ = world.pair(tuple(facts.ANIMALS), world.people)
    home, food, colour, size = (world.pick(facts.animal_values(aspect)) for aspect in facts.ANIMAL_ASPECTS)
    shown = world.pick(('food', 'colour', 'size'))
    if shown == 'food':
        text, value = f'The {name} lives {facts.HOMES[home]} and eats {food}.', food
    else:
        value = colour if shown == 'colour' else size
        text = f'The {name} is {value} and lives {facts.HOMES[home]}.'
    return {'record': f'animal: {name}; {shown}: {value}; home: {home}', 'answer': text}


RECORDS = DatasetSpec(
    name='pocket_records',
    cluster='struct_to_text',
    source=InMemory(rows('pocket_records', record)),
    fields=lambda row: {'record': row['record'], 'answers': row['answers'], 'answer': row['answer']},
    metric='t5_rouge',
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{record}\n\nWrite a sentence about this.'),
        Template('Turn the record into a sentence.\n\n{record}'),
        Template('Here is a note: {record}. Say it in plain English.'),
        Template('What happened? Use all of these details: {record}'),
        Template('{record}\nPut the data above into words.'),
        Template('A line from the diary of the town, for you to write out in full. {record}'),
        Template('Tell this as a person would tell it. {record}'),
        Template('Data: {record}\nSentence:'),
        Template('Write the record for this sentence. {answer}', '{record}', inverted=True),
        Template('"{answer}" Who did what, and where? Give the details one by one.', '{record}', inverted=True),
    ),
    baselines=(Template('{record}.'), Template('{record}. In other words,'), Template('{record} That means:')),
)

ANIMAL_RECORDS = DatasetSpec(
    name='pocket_animal_records',
    cluster='struct_to_text',
    source=InMemory(rows('pocket_animal_records', animal_record)),
    fields=lambda row: {'record': row['record'], 'answer': row['answer']},
    metric='t5_rouge',
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{record}\n\nDescribe the animal in one sentence.'),
        Template('From a table in a book of animals: {record}. Write it as a sentence.'),
        Template('Make a sentence out of this list of facts: {record}'),
        Template('{record} How would you say this to a child?'),
        Template('Put these facts into words.\n{record}'),
        Template('We write a book about animals, which need not exist. Our notes say {record}. Write the line for the book.'),
        Template('Facts: {record}\nText:'),
        Template('Please write out: {record}'),
        Template('{answer} Give me that as a list of facts.', '{record}', inverted=True),
        Template('Fill a table with what this sentence tells. {answer}', '{record}', inverted=True),
    ),
    baselines=(Template('{record}.'), Template('{record}. In other words,'), Template('{record} That means:')),
)

SPECS = (RECORDS, ANIMAL_RECORDS)
