"""Talks of the pretraining text in which somebody chooses between a few things that are named.

A *matter* is the subject of such a talk: what is told first, ways to ask, the answer and wrong answers. Of the facts and words that the
data sets test, only the training share is asked here.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from flanlite.mixtures.pocket import facts, words
from flanlite.mixtures.pocket.question_classification import ASPECT_KINDS, FOODS, KINDS, TOPICS
from flanlite.mixtures.pocket.senses import SENSES
from flanlite.mixtures.pocket.summarization import ASIDES
from flanlite.mixtures.pocket.world import (
    QUESTIONS,
    World,
    all_values,
    answer_text,
    article,
    is_girl,
    sentence,
)


class Matter(NamedTuple):
    """The subject of a talk: what is told, ways to ask (which may stay unused), the answer, and wrong answers."""

    told: str
    questions: Sequence[str]
    answer: str
    others: Sequence[str]


def worth(world: World) -> Matter:
    """Draw a matter that asks: is what was said good or bad?"""
    label = world.pick((0, 1))
    item, word = world.pair(tuple(words.REVIEWED), (words.PRAISE, words.BLAME)[label])
    suited = world.pick(words.REVIEWED[item][label])
    liking, remark = world.pick((words.LIKING, words.DISLIKING)[label]), world.pick((words.PRAISE_SENTENCES, words.BLAME_SENTENCES)[label])
    told = world.pick(
        (
            f'The {item} was {word}.',
            f'The {item} was {suited}.',
            f'I {liking} the {item}.',
            f'What {article(word)} {item}! {remark}',
            f'It was {word} and {suited}.',
            f'I {liking} the {item}. {remark}',
            f'{remark} The {item} was {suited}.',
        )
    )
    names = world.pick((('good', 'bad'), ('positive', 'negative')))
    questions = (
        f'How did they find the {item}?',
        f'What do you think of the {item}, then?',
        'What are these words?',
        f'Which word is right for that {item}?',
        'How does it sound?',
        'What was the opinion?',
    )
    return Matter(told, questions, names[label], [names[1 - label]])


def mood(world: World) -> Matter:
    """Draw a matter that asks: how does somebody feel after what happened?"""
    feeling = world.pick(tuple(words.FEELINGS))
    actions, causes = words.FEELINGS[feeling]
    cause = world.pick(world.share(causes))
    who = world.pick(world.people)
    told = world.pick((f'{who} {cause}.', f'{who} {cause}.', f'{who} {cause} and {world.pick(actions)}.', f'{who} {world.pick(actions)}.'))
    questions = (
        f'How was {who}?',
        f'What was {who}?',
        f'And {world.pronoun(who)} was what?',
        f'What can we say of {who}?',
        'How was that?',
    )
    return Matter(told, questions, feeling, world.shuffled([other for other in words.FEELINGS if other != feeling]))


def remedy(world: World) -> Matter:
    """Draw a matter that asks: what does somebody do about a need, or what was the need?"""
    pair, *other_pairs = world.several([pair for pair in words.CAUSES if world.owns(*pair)], 3)
    who, backward = world.pick(world.people), world.chance(0.4)
    known, asked = (1, 0) if backward else (0, 1)
    others = [f'{who} {other[asked]}' for other in other_pairs]
    questions = (
        ('Why?', 'What was the reason?', 'Why was that so?')
        if backward
        else (f'So what did {who} do?', 'What next?', f'What did {world.pronoun(who)} do?')
    )
    return Matter(f'{who} {pair[known]}.', questions, f'{who} {pair[asked]}', others)


def fact(world: World) -> Matter:
    """Draw a matter that asks: what is known of an animal or a land?"""
    while True:
        if world.chance(0.5):
            name, aspect = world.pick(tuple(facts.ANIMALS)), world.pick(facts.ANIMAL_ASPECTS)
            questions = tuple(question.format(animal=name) for question in facts.ANIMAL_QUESTIONS[aspect])
            answer, values = facts.animal_value(name, aspect), facts.animal_values(aspect)
        else:
            name, aspect = world.pick(facts.LANDS), world.pick(facts.LAND_ASPECTS)
            questions = tuple(question.format(land=name) for question in facts.LAND_QUESTIONS[aspect])
            answer, values = facts.LAND_FACTS[name][aspect], facts.LAND_VALUES[aspect]
        if world.owns(name, aspect):
            return Matter('', (world.pick(questions),), answer, world.shuffled(values))


def category(world: World) -> Matter:
    """Draw a matter that asks: what kind of thing does a word name?"""
    kinds = {
        'thing': words.THINGS,
        'place': tuple(words.PLACES),
        'colour': words.COLOURS,
        'person': tuple(world.people),
        'time': tuple(time.split()[-1] for time in words.TIMES),
        'number': words.NUMBERS,
        'feeling': tuple(words.FEELINGS),
        'animal': tuple(facts.ANIMALS),
        'land': facts.LANDS,
        'food': (*FOODS[0], *facts.CROPS[:2]),
    }
    kind = world.pick(tuple(kinds))
    word = world.pick(kinds[kind])
    if world.chance(0.3):
        others = [world.pick(values) for other, values in kinds.items() if other != kind]
        return Matter('', (f'Which one is {article(kind)}?', f'Which of them is {article(kind)}?'), word, world.shuffled(others))
    questions = (f'What is {word}?', f'What do we call {word}?', f'What kind of word is {word}?')
    return Matter('', questions, article(kind), world.shuffled([article(other) for other in kinds if other != kind]))


def wanted(world: World) -> Matter:
    """Draw a matter that asks: what does a question want to know?"""
    event = world.event()
    aspect = world.pick([aspect for aspect in QUESTIONS[event.kind] if aspect in ASPECT_KINDS])
    asked, kind = world.ask(event, aspect), ASPECT_KINDS[aspect]
    if world.chance(0.3):
        kind = world.pick(('number', 'reason'))
        past = words.VERBS[event.verb][0][1]
        asked = (
            world.pick((f'How many friends {past} the {event.thing}?', f'How many people went to the {event.place}?'))
            if kind == 'number'
            else world.pick(
                (f'Why was {event.who} at home {event.time}?', f'Why was the {event.thing} {words.PLACES[event.place]} the {event.place}?')
            )
        )
    who, other = world.several(world.people, 2)
    told = world.pick((f'{who} asked {other}: "{asked}"', f'"{asked}" asked {who}.', f'"{asked}"'))
    questions = (f'What did {who} want to know?', f'What should {other} name?', 'What is asked?', 'And what would the answer be?')
    return Matter(told, questions, article(kind), world.shuffled([article(name) for name in KINDS if name != kind]))


def topic(world: World) -> Matter:
    """Draw a matter that asks: what do people talk about?"""
    answer = world.pick(tuple(TOPICS))
    if answer == 'animals':
        said = animal = world.pick(tuple(facts.ANIMALS))
        said = world.pick((f'The {animal} lives in the {facts.ANIMALS[animal][0]}.', f'What a {facts.ANIMALS[animal][3]} {animal}!'))
    elif answer == 'lands':
        land = world.pick(facts.LANDS)
        said = world.pick((f'The capital of {land} is {facts.LAND_FACTS[land]["capital"]}.', f'I was in {land} and saw the king.'))
    else:
        who, event = world.pick(world.people), world.event()
        food, taste = world.pick(FOODS[0]), world.pick(FOODS[1])
        said = world.pick(
            {
                'food': (f'The {food} was {taste}.', f'{who} made {food} and ate it.', f'There is {food} in the kitchen.'),
                'weather': (
                    f'It will rain {event.time}.',
                    f'There was snow {event.where}.',
                    f'The sun was out and it was hot {event.where}.',
                ),
                'school': (f'{who} had a lesson.', f'The teacher gave {who} a test.', f'The pupils read {event.time}.'),
                'music': (f'{who} played the drum.', f'{who} sang a song {event.where}.', f'There was a dance {event.time}.'),
            }[answer]
        )
    questions = (
        'What did they talk about?',
        'What was it all about?',
        'Which subject was it?',
        f'What does {world.pick(world.people)} speak of?',
    )
    return Matter(f'"{said}"', questions, answer, world.shuffled([other for other in TOPICS if other != answer]))


def sense(world: World) -> Matter:
    """Draw a matter that asks: which of its meanings does a word have?"""
    word, which = world.pick(tuple(SENSES)), world.pick((0, 1))
    use = world.pick(world.share(SENSES[word][which][1]))
    meanings = [meaning for meaning, _ in SENSES[word]]
    questions = (f'What {word} was that?', f'What is such a {word}?', f'Which {word} is it?')
    return Matter(use.format(who=world.pick(world.people)), questions, meanings[which], [meanings[1 - which]])


def pronoun(world: World) -> Matter:
    """Draw a matter that asks: is it the boy or the girl that he or she stands for?"""
    boy, girl = world.pick(world.boys), world.pick(world.girls)
    first, second = world.shuffled((boy, girl))
    answer = world.pick((boy, girl))
    he = 'she' if is_girl(answer) else 'he'
    event = world.event('act')
    did = world.pick(
        ('was happy', 'was tired', 'laughed', f'was {event.where}', f'saw {article(event.what)}', f'had {article(event.what)}', 'went home')
    )
    told = world.pick(
        (
            f'{first} met {second}. {sentence(he)} {did}.',
            f'{first} and {second} were {event.where}. {sentence(he)} {did}.',
            f'{first} saw {second}. Then {he} {did}.',
            f'{first} gave {second} {article(event.what)} and {he} {did}.',
        )
    )
    past = did.split()[0]
    questions = (
        (f'Who {did}?', 'Who was that?', f'Whom do you mean by {he}?', f'Who is {he}?') if past != 'was' else (f'Who {did}?', 'Who was it?')
    )
    return Matter(told, questions, answer, [girl if answer == boy else boy])


def role(world: World) -> Matter:
    """Draw a matter that asks: which of two people has a thing, or did what?"""
    who, other = world.several(world.people, 2)
    thing = world.pick(words.THINGS)
    told, question, answer = world.pick(
        (
            (f'{who} gave {other} a {thing}.', f'Who has the {thing} now?', other),
            (f'{who} gave a {thing} to {other}.', f'Who has no {thing} any more?', who),
            (f'{who} took a {thing} from {other}.', f'Who has the {thing} now?', who),
            (f'{who} sold {other} a {thing}.', 'Who got the money?', who),
            (f'{who} sold {other} a {thing}.', f'Who has the {thing} now?', other),
            (f'{who} helped {other}.', 'Who was weak?', other),
            (f'{who} thanked {other}.', 'Who had helped?', other),
            (f'{who} said sorry to {other}.', f'Who had broken the {thing}?', who),
            (f'{who} could not catch {other}.', 'Who was fast?', other),
        )
    )
    return Matter(told, (question,), answer, [other if answer == who else who])


def happening(world: World) -> Matter:
    """Draw a matter that asks: who did what, and where?"""
    events = world.story(world.pick((1, 1, 2)))
    event = world.pick(events)
    aspect = world.pick(tuple(QUESTIONS[event.kind]))
    answer = answer_text(event, aspect)
    told = [answer_text(other, aspect) for other in events if aspect in QUESTIONS[other.kind]]
    others = [*told, *all_values(world, aspect)] if world.chance(0.7) else all_values(world, aspect)
    return Matter(' '.join(world.tell(each) for each in events), (world.ask(event, aspect),), answer, others)


def so(world: World) -> Matter:
    """Draw a matter that asks: is it as somebody says?"""
    event, same = world.event(world.pick(('act', 'act', 'go', 'give', 'meet'))), world.chance(0.5)
    who, thing, colour, place = event.who, event.thing, event.colour, event.place
    other = world.pick(world.people, (who,))
    told, claim, values, value = world.pick(
        (
            (f'The {thing} is {colour}.', 'Is the {thing} {value}?', words.COLOURS, colour),
            (f'{who} has a {colour} {thing}.', 'Does {who} have a {value} {thing}?', words.COLOURS, colour),
            (f'{who} has {article(thing)}.', 'Does {who} have a {value}?', words.THINGS, thing),
            (f'{who} was {event.where}.', 'Was {value} there?', world.people, who),
            (f'{who} went to the {place}.', 'Did {who} go to the {value}?', tuple(words.PLACES), place),
            (f'{who} met {other}.', 'Did {who} meet {value}?', world.people, other),
            (f'{who} gave {other} a {thing}.', 'Did {value} give {other} a {thing}?', world.people, who),
        )
    )
    value = value if same else world.pick(values, (value, who, other))
    question = claim.format(who=who, other=other, thing=thing, value=value)
    if world.chance(0.4):
        asked = event if same else world.change(event)
        told, question = world.tell(event), world.ask_yes_no(asked)
    names = world.pick((('yes', 'no'), ('yes', 'no'), ('true', 'false'), ('right', 'wrong')))
    return Matter(told, (question,), names[not same], [names[same]])


def alike(world: World) -> Matter:
    """Draw a matter that asks: is the same said twice?"""
    event, same = world.event(), world.chance(0.5)
    told = world.tell(event)
    told = f'{told} {world.retell(event if same else world.change(event), told)}'
    names = world.pick((('the same', 'not the same'), ('same', 'different'), ('yes', 'no')))
    questions = ('Is it the same?', 'Do both say the same?') if names[0] == 'yes' else ('What are these two?', 'And how do they compare?')
    return Matter(told, questions, names[not same], [names[same]])


def meaning(world: World) -> Matter:
    """Draw a matter that asks: which word means the same, or the opposite?"""
    if world.chance(0.5):
        word, answer = world.shuffled(world.pick(words.SYNONYMS))
        questions = (f'Which word means {word}?', f'What is another word for {word}?', f'What is the same as {word}?')
    else:
        word, answer = world.shuffled(world.pick(words.OPPOSITES))
        questions = (f'What is the opposite of {word}?', f'What is not {word}?')
    others = [each for pair in world.several(words.OPPOSITES, 4) for each in pair if each not in (word, answer)]
    return Matter('', questions, answer, world.shuffled(others))


MATTERS: tuple[tuple[Callable[[World], Matter], int], ...] = (
    (worth, 5),
    (mood, 5),
    (remedy, 4),
    (fact, 5),
    (category, 4),
    (wanted, 4),
    (topic, 3),
    (sense, 4),
    (pronoun, 5),
    (role, 4),
    (happening, 8),
    (so, 5),
    (alike, 3),
    (meaning, 2),
)
DRAWN = [matter for matter, weight in MATTERS for _ in range(weight)]


def document(world: World) -> str:
    """Write a talk in which somebody chooses between a few things; the one that is chosen comes last."""
    matter = world.pick(DRAWN)(world)
    options = world.options(matter.answer, matter.others, world.pick((2, 2, 3, 4)))
    told = f'{matter.told} ' if matter.told else ''
    if told and world.chance(0.2):
        told = world.pick(
            (f'{world.pick(ASIDES)} {told}', f'{told}{world.pick(ASIDES)} ', f'{world.pick(world.people)} said: "{matter.told}" ')
        )
    question = world.pick(matter.questions)
    in_line = ', '.join(options[:-1]) + ' or ' + options[-1]
    answer = sentence(matter.answer)
    if told and world.chance(0.15):
        return f'{told}{sentence(in_line)}? {answer}.'
    return world.pick(
        (
            f'{told}"{question} {sentence(in_line)}?" "{answer}."',
            f'{told}"{question}" "{sentence(in_line)}?" "{answer}."',
            f'{told}{question} {sentence(in_line)}? {answer}.',
            f'{sentence(in_line)}? {told}{question} {answer}.',
            f'{question} {sentence(in_line)}? {told}{answer}.',
            f'There is {in_line}. {told}{question} {answer}.',
            f'{told}"{question}" Choose {in_line}! "{answer}."',
            f'{told}{question} {answer}.',
        )
    )
