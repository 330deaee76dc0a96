"""Documents of the pretraining text that tell what happens, and talk about it."""

from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.summarization import ASIDES
from flanlite.mixtures.pocket.world import QUESTIONS, Event, World, answer_text, article, is_girl, sentence


def asked(world: World, question: str, answer: str) -> str:
    """Let one person ask and another answer, mostly without their names, which nothing in the text could tell."""
    if world.chance(0.8):
        return f'"{question}" "{sentence(answer)}."'
    first, second = world.several(world.people, 2)
    return world.pick(
        (
            f'{first} asked: "{question}" {second} said: "{sentence(answer)}."',
            f'"{question}" asked {first}. "{sentence(answer)}," said {second}.',
            f'{first} wanted to know: "{question}" And {second} replied: "{sentence(answer)}."',
        )
    )


def talk_about_story(world: World) -> str:
    """Tell a story and let people ask about it."""
    events = world.story(world.pick((1, 1, 2, 2, 2, 3)))
    lines = [world.tell(event) for event in events]
    for _ in range(world.pick((1, 1, 2))):
        event = world.pick(events)
        aspect = world.pick(tuple(QUESTIONS[event.kind]))
        lines.append(asked(world, world.ask(event, aspect), answer_text(event, aspect)))
    return ' '.join(lines)


def talk_yes_no(world: World) -> str:
    """Tell a story and let people ask whether this or that happened."""
    events = world.story(world.pick((1, 1, 2)))
    lines = [world.tell(event) for event in events]
    for _ in range(world.pick((1, 1, 2))):
        event = world.pick(events)
        if world.chance(0.5):
            answer = world.pick(('yes', 'yes', 'yes, that is true', 'yes, that is right'))
            lines.append(asked(world, world.ask_yes_no(event), answer))
        else:
            other = world.change(event)
            answer = world.pick(('no', 'no', 'no, that is false', 'no, that is wrong'))
            lines.append(asked(world, world.ask_yes_no(other), answer))
    return ' '.join(lines)


def in_other_words(world: World) -> str:
    """Tell events twice, in other words."""
    lines = []
    for event in world.story(world.pick((1, 2))):
        told = world.tell(event)
        again = world.retell(event, told)
        link = world.pick(('In other words, ', 'That is, ', 'Or, to say the same: ', 'Yes, ', 'So '))
        lines.append(f'{told} {link}{again}')
    return ' '.join(lines)


def same_different(world: World) -> str:
    """Compare what two people have, or where they were."""
    first, second = world.several(world.people, 2)
    one, two = world.event('act'), world.event('act')
    same = world.chance(0.5)
    if world.chance(0.5):
        other = one.colour if same else world.pick(words.COLOURS, (one.colour,))
        facts_ = f'{first} has {article(one.what)} and {second} has {article(f"{other} {two.thing}")}.'
        noun = 'colour'
    else:
        other = one.place if same else world.pick(tuple(words.PLACES), (one.place,))
        facts_ = f'{first} was {one.where} and {second} was {words.PLACES[other]} the {other}.'
        noun = 'place'
    end = (
        f'It is the same {noun}.' if same else f'The two {noun}s are different.',
        asked(world, f'Is it the same {noun}?', 'yes' if same else 'no'),
        asked(world, f'Is the {noun} different?', 'no' if same else 'yes'),
        f'Both {noun}s are equal.' if same else f'These {noun}s are not the same.',
    )
    return f'{facts_} {world.pick(end)}'


def people(world: World) -> str:
    """Tell of a boy and a girl, by name and by pronoun."""
    boy, girl = world.pick(world.boys), world.pick(world.girls)
    lines = [f'{boy} is a boy and {girl} is a girl.'] if world.chance(0.3) else []
    for _ in range(world.pick((2, 3))):
        who = world.pick((boy, girl))
        other = girl if who == boy else boy
        event = Event(**{**vars(world.event(world.pick(('give', 'meet', 'act')))), 'who': who, 'other': other})
        he, his = ('she', 'her') if is_girl(who) else ('he', 'his')
        tail = world.pick(
            (
                f'{sentence(he)} was happy, and {who} laughed.',
                f'Then {he} went home. {who} was tired.',
                f'{who} had {his} {event.colour} coat on, and {he} was cold.',
                f'{sentence(he)} said to {other}: "I am {who}."',
                f'{who} was {event.where}. Nobody saw {"her" if is_girl(who) else "him"} there.',
                f'{sentence(he)} was tired. I mean {who}.',
                f'{sentence(he)} was hungry, that is, {who}.',
                f'Then {he} laughed. So it was {who} who laughed.',
            )
        )
        lines.append(f'{world.tell(event)} {tail}')
    return ' '.join(lines)


def having(world: World) -> str:
    """Tell who has a thing in the end, and who helped whom."""
    who, other = world.several(world.people, 2)
    event = world.event('act')
    thing = article(event.what)
    return world.pick(
        (
            f'{who} gave {other} {thing}. Then {other} had the {event.thing} and {who} had it no more.',
            f'{who} took {thing} from {other}. Then {who} had the {event.thing} and {other} had it no more.',
            f'{who} sold {thing} to {other}. {other} paid, and {who} got the money.',
            f'{who} was weak and {other} was strong. {other} helped {who}, and {who} thanked {other}.',
            f'{who} broke {thing}. It was the {event.thing} of {other}, so {who} said sorry.',
            f'{other} fixed {thing} for {who}. "Thank you, {other}," said {who}.',
            f'{other} ran fast and {who} ran slowly. {who} could not catch {other}.',
            f'{who} was small. {other}, who was big, could lift {thing}.',
        )
    )


def retold(world: World) -> str:
    """Tell a story with asides, and sum it up."""
    event = world.event()
    aside, other = world.several(ASIDES, 2)
    told = world.tell(event)
    lines = world.shuffled([told, aside]) + [other]
    end = world.pick(('So it was: ', 'That was it: ', 'What matters is this: ', 'To make it short, '))
    return f'{" ".join(lines)} {end}{world.retell(event, told)}'


def repeat(world: World) -> str:
    """Let one person say something, and another repeat it."""
    first, second = world.several(world.people, 2)
    if world.chance(0.5):
        text = world.tell(world.event())
    else:
        text = sentence(', '.join(article(world.event('act').what) for _ in range(world.pick((2, 3))))) + '.'
    return world.pick(
        (f'{first} said: "{text}" {second} said it again: "{text}"', f'{first} wrote: {text} And {second} wrote the same: {text}')
    )
