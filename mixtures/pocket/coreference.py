"""Coreference: whom does a pronoun, or a blank, stand for?"""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.world import World, article, rows

# What may be said of either; the pronoun tells which.
REMARKS = (
    '{he} was very happy.',
    '{he} was tired.',
    '{he} had a {colour} coat on.',
    'Then {he} went to the {place}.',
    '{he} had been there before.',
    'After that, {he} went home.',
    'On the way home, {he} lost a {colour} {thing}.',
    '{he} laughed a lot.',
    'Later {he} bought a {thing}.',
    'That day {he} was ill.',
)
# Sentences with a blank for one of the two people; who it is follows from the part that each plays.
BLANKS = {
    'who': (
        '{who} gave {other} {thing}, so now {blank} has no {noun} any more.',
        '{who} took {thing} from {other}, so now {blank} has the {noun}.',
        '{who} asked {other} for help, because {blank} was weak.',
        '{who} said sorry to {other}, because {blank} had broken {thing}.',
        '{who} sold {other} {thing}, so {blank} got some money.',
        '{who} could not lift {thing} as {other} did, because {blank} was too small.',
    ),
    'other': (
        '{who} gave {other} {thing}, so now {blank} has the {noun}.',
        '{who} took {thing} from {other}, so now {blank} has no {noun} any more.',
        '{who} asked {other} for help, because {blank} was strong.',
        '{who} thanked {other}, because {blank} had fixed {thing}.',
        '{who} sold {other} {thing}, so {blank} has less money now.',
        '{who} could not catch {other}, because {blank} was too fast.',
    ),
}


def pronoun(world: World) -> Row:
    """Draw a row such as 'Tom met Mia in the park. She was tired.' with 'she': Mia."""
    event = world.event(world.pick(('give', 'meet')))
    boy, girl = world.pick(world.boys), world.pick(world.girls)
    who, other = world.shuffled((boy, girl))
    event = type(event)(**{**vars(event), 'who': who, 'other': other})
    answer = world.pick((boy, girl))
    word = world.pronoun(answer)
    remark = world.pick(REMARKS).format(
        he=word, colour=world.pick(words.COLOURS), place=world.pick(tuple(words.PLACES)), thing=world.pick(words.THINGS)
    )
    text = f'{world.tell(event)} {remark[0].upper()}{remark[1:]}'
    return {'text': text, 'pronoun': word, 'options': world.shuffled((boy, girl)), 'answer': answer}


def blank(world: World) -> Row:
    """Draw a row such as 'Tom gave Ben a red ball, so now _ has the ball.': Ben."""
    role = world.pick(tuple(BLANKS))
    who, other = world.several(world.people, 2)
    noun = world.pick(words.THINGS)
    text = world.pick(BLANKS[role]).format(who=who, other=other, blank='_', noun=noun, thing=article(f'{world.pick(words.COLOURS)} {noun}'))
    return {'text': text, 'options': world.shuffled((who, other)), 'answer': who if role == 'who' else other}


PRONOUN = DatasetSpec(
    name='pocket_pronouns',
    cluster='coreference',
    source=InMemory(rows('pocket_pronouns', pronoun)),
    fields=lambda row: {'text': row['text'], 'pronoun': row['pronoun'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text}\n\nWho is meant by "{pronoun}"?\n\n{options_}'),
        Template('{text} In this text, "{pronoun}" is\n{options_}'),
        Template('Find out whom the word "{pronoun}" stands for.\n\n{text}\n{options_}'),
        Template('What is the name of "{pronoun}" here? {text}\n{options_}'),
        Template('{options_}\nOne of them is called "{pronoun}" in the text. Which one?\n{text}'),
        Template('Grammar exam. Give the person that the pronoun "{pronoun}" refers to.\nText: {text}\n{options_}'),
        Template('"{text}" "Wait, who is {pronoun}?"\n{options_}'),
        Template('The reader asks who "{pronoun}" is.\n{text}\nAnswer:'),
        Template('{text}\nReplace "{pronoun}" by a name.\n{options_}'),
        Template('Write two sentences in which the word "{pronoun}" stands for {answer}.', '{text}', inverted=True),
    ),
    baselines=(Template('{text} By "{pronoun}" we mean'), Template('{text} "{pronoun}" is'), Template('{text} It was')),
)

BLANK = DatasetSpec(
    name='pocket_blanks',
    cluster='coreference',
    source=InMemory(rows('pocket_blanks', blank)),
    fields=lambda row: {'text': row['text'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text}\n\nWho should stand in the place of the blank?\n{options_}'),
        Template('Fill in the blank: {text}\n\n{options_}'),
        Template('Which name goes in the gap of this sentence? {text}\n{options_}'),
        Template('A word is missing. {text} Choose the name that makes sense.\n{options_}'),
        Template('{options_}\nPut one of the names at the sign _ in "{text}"'),
        Template('{text} What does _ stand for?'),
        Template('Exercise 3. Complete the sentence with the right person.\n{text}\n{options_}'),
        Template('I cannot read one name in this line: {text} Whose name is it?\n{options_}'),
        Template('Somebody wiped a name from the board. It said: {text}\nThe name was\n{options_}'),
        Template('Write a sentence with a blank, _, where one has to put {answer}.', '{text}', inverted=True),
    ),
    baselines=(Template('{text} It is'), Template('{text} That was'), Template('{text}')),
)

SPECS = (PRONOUN, BLANK)
