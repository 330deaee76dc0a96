"""Common sense: how somebody feels, and what somebody does about a need."""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.world import World, rows


def feeling(world: World) -> Row:
    """Draw a row such as 'Tom got a gift on Monday.': happy."""
    label = world.pick(tuple(words.FEELINGS))
    happening = world.pick(world.share(words.FEELINGS[label][1]))
    who = world.pick(world.people)
    others = world.shuffled(tuple(words.FEELINGS))
    text = f'{who} {happening}.' if world.chance(0.6) else f'{who} {happening} and {world.pick(words.FEELINGS[label][0])}.'
    return {'text': text, 'who': who, 'options': world.options(label, others, 3), 'answer': label}


def need(world: World) -> Row:
    """Draw a row such as 'Tom was hungry.', 'Tom ate some bread.' or 'Tom went to bed.': the first."""
    who = world.pick(world.people)
    pair, other = world.several([pair for pair in words.CAUSES if world.owns(*pair)], 2)
    answer = f'{who} {pair[1]}.'
    return {'text': f'{who} {pair[0]}.', 'options': world.options(answer, [f'{who} {other[1]}.'], 2), 'answer': answer}


FEELING = DatasetSpec(
    name='pocket_feelings',
    cluster='commonsense',
    source=InMemory(rows('pocket_feelings', feeling, mixed=False)),
    fields=lambda row: {'text': row['text'], 'who': row['who'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text} How did {who} feel?\n{options_}'),
        Template('{text}\n\nWhich feeling fits best?\n\n{options_}'),
        Template('What would you say about {who}, if you heard this? {text}\n{options_}'),
        Template('Guess the feeling of {who}.\nWhat happened: {text}\n{options_}'),
        Template('"{text}" "Oh! And was {who} ..." Finish the question in the most likely way.\n{options_}'),
        Template('{options_}\nChoose the word for {who} after this: {text}'),
        Template('{text} So we can guess that {who} was'),
        Template('People feel something when such things happen. {text} What is it here?\n{options_}'),
        Template('Tell in one sentence why {who} was {answer}.', '{text}', inverted=True),
        Template('{who} felt {answer}. What may have happened?', '{text}', inverted=True),
    ),
    baselines=(Template('{text} {who} was'), Template('{text} {who} felt'), Template('{text} How did {who} feel?')),
)

NEED = DatasetSpec(
    name='pocket_needs',
    cluster='commonsense',
    source=InMemory(rows('pocket_needs', need, mixed=False)),
    fields=lambda row: {'text': row['text'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text} What happened next?\n\n{options_}'),
        Template('Here is how a story starts: {text} Choose how it goes on.\n{options_}'),
        Template('{text} What did that lead to?\n{options_}'),
        Template('Which of the two makes sense after "{text}"?\n{options_}'),
        Template('{text} And then?\n{options_}'),
        Template('Use your common sense.\n{text} The result was:\n{options_}'),
        Template('{options_}\nOne of these belongs to this beginning. Which? {text}'),
        Template('Go on with the story. {text}'),
        Template('What comes before "{answer}" in a story?', '{text}', inverted=True),
        Template('{answer} Why was that?', '{text}', inverted=True),
    ),
    baselines=(Template('{text}'), Template('{text} So'), Template('{text} What happened next?')),
)

SPECS = (FEELING, NEED)
