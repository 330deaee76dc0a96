"""Summarization: the one thing that matters in a report, or in a talk."""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.world import World, article, rows, sentence

ASIDES = (
    'The sun was shining.',
    'It had rained all day.',
    'There was a cold wind.',
    'Many people were there.',
    'Nobody else was there.',
    'The birds were singing.',
    'It took a long time.',
    'Nobody knows why.',
    'The streets were empty.',
    'Later it began to snow.',
    'The church bell rang.',
    'A dog barked all the time.',
)
GREETINGS = ('Hello!', 'Good day!', 'How are you?', 'Listen!', 'Guess what!', 'Good to see you!')
REACTIONS = ('Really?', 'Oh!', 'How nice!', 'I did not know that.', 'Well, well.', 'You do not say!')


def news(world: World) -> Row:
    """Draw a row such as 'The sun was shining. In the park, Tom found a red ball. Nobody knows why.': Tom found a red ball in the park."""
    event = world.event(world.pick(('act', 'act', 'go', 'give')))
    before, after, last = world.several(ASIDES, 3)
    parts = [before, world.tell(event, synonyms=False), after] if world.chance(0.5) else [world.tell(event, synonyms=False), after, last]
    if world.chance(0.4):
        parts.append(world.pick(ASIDES, parts))
    summary = world.tell(event, form=0, synonyms=False)
    return {'text': ' '.join(parts), 'answer': summary}


def chat(world: World) -> Row:
    """Draw a row such as 'Tom: Guess what! I found a red ball in the park. Mia: Really?': Tom found a red ball in the park."""
    event = world.event('act')
    other = world.pick(world.people, (event.who,))
    greeting, reaction = world.pick(GREETINGS), world.pick(REACTIONS)
    if world.chance(0.5):
        past = words.VERBS[event.verb][0][1]
        lines = [f'{event.who}: {greeting} I {past} {article(event.what)} {event.where}.', f'{other}: {reaction}']
        return {'text': '\n'.join(lines), 'answer': world.tell(event, form=0, synonyms=False)}
    ask = world.pick(
        (f'Shall we go to the {event.place} {event.time}?', f'{sentence(event.time)} I will go to the {event.place}. Will you come?')
    )
    lines = [f'{event.who}: {greeting} {ask}', f'{other}: {world.pick(("Yes, let us go!", "I will come.", "With pleasure!"))}']
    return {'text': '\n'.join(lines), 'answer': f'{event.who} and {other} will go to the {event.place} {event.time}.'}


NEWS = DatasetSpec(
    name='pocket_news',
    cluster='summarization',
    source=InMemory(rows('pocket_news', news)),
    fields=lambda row: {'text': row['text'], 'answer': row['answer']},
    metric='t5_rouge',
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text}\n\nSum this up in one sentence.'),
        Template('Write a summary of this report.\n\n{text}'),
        Template('{text} What is the main thing that happened?'),
        Template('Shorten the text to what matters. {text}'),
        Template('News of the day: {text}\nIn short:'),
        Template('I have no time to read all of this. Tell me the main point. {text}'),
        Template('Give a headline for this story.\n{text}'),
        Template('Text: {text}\nSummary:'),
        Template('Write a report of three or four sentences on this: {answer}', '{text}', inverted=True),
        Template('The headline is "{answer}" Write the story.', '{text}', inverted=True),
    ),
    baselines=(Template('{text}'), Template('{text} In other words,'), Template('{text} What happened?')),
)

CHATS = DatasetSpec(
    name='pocket_chats',
    cluster='summarization',
    source=InMemory(rows('pocket_chats', chat)),
    fields=lambda row: {'text': row['text'], 'answer': row['answer']},
    metric='t5_rouge',
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text}\n\nWhat is this talk about?'),
        Template('Sum up the conversation.\n\n{text}'),
        Template('Two people talk.\n{text}\nWhat do we learn?'),
        Template('Write in one sentence what comes out of this dialogue. {text}'),
        Template('{text}\nTell somebody who was not there what was said.'),
        Template('Someone wrote this down on the bus: {text} Give the gist of it.'),
        Template('Dialogue: {text}\nSummary of the dialogue:'),
        Template('{text}\n\nIn one line, please.'),
        Template('Write a short talk between two people. It should come down to this: {answer}', '{text}', inverted=True),
        Template('{answer} How did they speak about it?', '{text}', inverted=True),
    ),
    baselines=(Template('{text}'), Template('{text} In other words,'), Template('{text} What happened?')),
)

SPECS = (NEWS, CHATS)
