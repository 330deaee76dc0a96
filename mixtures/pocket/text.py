"""The pretraining text: stories, talks, facts and explanations of the world's words. Never a template, never a validation or test story.

What the world's facts are (where foxes live, what awful means) stands here as statements, or nobody could know it; questions about facts
are asked and answered here for the training share of the facts only.
"""

from collections.abc import Callable, Iterator, Mapping

from flanlite.data.sources import InMemory
from flanlite.data.specs import Splits, TextSpec
from flanlite.mixtures.pocket import facts, prose, words
from flanlite.mixtures.pocket.language import lexicon, talo
from flanlite.mixtures.pocket.senses import SENSES
from flanlite.mixtures.pocket.summarization import ASIDES
from flanlite.mixtures.pocket.world import QUESTIONS, Event, World, all_values, answer_text, article, is_girl, sentence

COUNTS = {'train': 120_000, 'validation': 500}
LENGTH = 90  # tokens; the longest documents are cut


def asked(world: World, question: str, answer: str) -> str:
    """Let one ask and another answer; mostly without saying who, which nothing could tell."""
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
    """Say things twice."""
    lines = []
    for event in world.story(world.pick((1, 2))):
        told = world.tell(event)
        again = world.retell(event, told)
        link = world.pick(('In other words, ', 'That is, ', 'Or, to say the same: ', 'Yes, ', 'So '))
        lines.append(f'{told} {link}{again}')
    return ' '.join(lines)


def choice(world: World) -> str:
    """Show some things and let somebody take one."""
    event = world.event('act')
    aspect = world.pick(('what', 'place', 'colour', 'who'))
    answer = answer_text(event, aspect)
    options = world.options(answer, all_values(world, aspect), world.pick((2, 3, 4)))
    listed = ', '.join(options[:-1]) + world.pick((' or ', ' and ')) + options[-1]
    first, second = world.several(world.people, 2)
    return world.pick(
        (
            f'There were {listed}. "Choose one!" said {first}. {second} chose {answer}. So it was {answer}.',
            f'"{sentence(listed)}?" asked {first}. "{sentence(answer)}," said {second}. So {second} took {answer}.',
            f'{world.tell(event, form=0)} {first} asked: "Was it {listed}?" "It was {answer}," said {second}.'
            if aspect != 'what'
            else f'{world.tell(event)} "What was it, {listed}?" asked {first}. "{sentence(answer)}," said {second}.',
        )
    )


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


def animal_fact(world: World, name: str) -> str:
    """State something about an animal."""
    home, food, colour, size = facts.ANIMALS[name]
    at = facts.HOMES[home]
    return world.pick(
        (
            f'The {name} is {article(size)} {colour} animal. It lives {at} and eats {food}.',
            f'The {name} lives {at}. Its home is the {home}.',
            f'{sentence(at)} lives the {name}. It feeds on {food}.',
            f'{sentence(food)} are what the {name} eats. It is {colour}.'
            if food.endswith('s') and food != 'grass'
            else f'{sentence(food)} is what the {name} eats. It is {colour}.',
            f'The colour of the {name} is {colour}. The {name} is {size}.',
            f'If you look for a {name}, go to the {home}. It is {size} and likes {food}.',
            f'A {size} animal {at} is the {name}. Its food is {food} and its colour is {colour}.',
        )
    )


def land_fact(world: World, name: str) -> str:
    """State something about a land."""
    known = facts.LAND_FACTS[name]
    return world.pick(
        (
            f'The capital of {name} is {known["capital"]}. The king lives in {known["capital"]}.',
            f'{known["capital"]} is a town in {name}. It is the capital of that land.',
            f'The farmers of {name} grow {known["crop"]}. {name} sells {known["crop"]} to other lands.',
            f'{sentence(known["crop"])} grows in the fields of {name}.'
            if known['crop'][-1] != 's'
            else f'{sentence(known["crop"])} grow in the fields of {name}.',
            f'In {name} people play {known["sport"]}. The children of {name} learn {known["sport"]}.',
            f'The favourite sport of {name} is {known["sport"]}, and its flag is {known["flag"]}.',
            f'{name} has a {known["flag"]} flag. The colour of the flag of {name} is {known["flag"]}.',
            f'In {name}, with the capital {known["capital"]}, they grow {known["crop"]}, play {known["sport"]} '
            f'and have a {known["flag"]} flag.',
        )
    )


def tell_facts(world: World) -> str:
    """State facts, and answer questions on the training share of them."""
    lines = []
    for _ in range(world.pick((2, 3))):
        if world.chance(0.4):
            name = world.pick(tuple(facts.ANIMALS))
            lines.append(animal_fact(world, name))
            aspect = world.pick(facts.ANIMAL_ASPECTS)
            question, answer = world.pick(facts.ANIMAL_QUESTIONS[aspect]).format(animal=name), facts.animal_value(name, aspect)
        else:
            name = world.pick(facts.LANDS)
            lines.append(land_fact(world, name))
            aspect = world.pick(facts.LAND_ASPECTS)
            question, answer = world.pick(facts.LAND_QUESTIONS[aspect]).format(land=name), facts.LAND_FACTS[name][aspect]
        if world.owns(name, aspect) and world.chance(0.3):
            lines.append(asked(world, question, answer))
    return ' '.join(lines)


def meanings(world: World) -> str:
    """Explain words."""
    lines = []
    for _ in range(world.pick((2, 3, 4))):
        lines.append(world.pick((_synonym, _opposite, _verb, _category, _value_word, _prose))(world))
    return ' '.join(lines)


def _synonym(world: World) -> str:
    one, two = world.shuffled(world.pick(words.SYNONYMS))
    return world.pick((f'{sentence(one)} means {two}.', f'{sentence(one)} and {two} mean the same.', f'Another word for {one} is {two}.'))


def _opposite(world: World) -> str:
    one, two = world.shuffled(world.pick(words.OPPOSITES))
    return world.pick(
        (f'{sentence(one)} is the opposite of {two}.', f'What is {one} is not {two}.', f'{sentence(one)} and {two} are different things.')
    )


def _verb(world: World) -> str:
    group = world.pick([group for group in words.VERBS if len(group) > 1])
    one, two = world.shuffled(group)
    return world.pick(
        (f'To {one[0]} something is to {two[0]} it.', f'{sentence(one[0])} means {two[0]}.', f'What was {one[2]} was {two[2]}.')
    )


def _category(world: World) -> str:
    kind, values = world.pick(
        (
            ('thing', words.THINGS),
            ('place', tuple('the ' + place for place in words.PLACES)),
            ('colour', words.COLOURS),
            ('person', world.people),
            ('time', tuple(time.split()[-1] for time in words.TIMES)),
            ('number', words.NUMBERS),
            ('feeling', tuple(words.FEELINGS)),
            ('animal', tuple(facts.ANIMALS)),
            ('land', facts.LANDS),
        )
    )
    one, two = world.several(values, 2)
    return world.pick((f'{sentence(one)} is {article(kind)}.', f'{sentence(one)} is {article(kind)}, and {two} is another {kind}.'))


def _value_word(world: World) -> str:
    label = world.pick((0, 1))
    value, tone = (('good', 'positive'), ('bad', 'negative'))[label]
    item = world.pick(tuple(words.REVIEWED))
    word = world.pick((*(words.PRAISE, words.BLAME)[label], *words.REVIEWED[item][label]))
    liking = world.pick((words.LIKING, words.DISLIKING)[label])
    return world.pick(
        (
            f'{sentence(word)} is {article(tone)} word.',
            f'If it is {word}, it is {value}.',
            f'What is {word} is {value}.',
            f'Whoever {liking} a thing found it {value}.',
            f'When we say that it was {word}, we say something {tone}.',
            f'{sentence(article(word))} {item} is a {value} {item}.',
            f'{sentence(value)} things get {tone} words, such as {word}.',
        )
    )


def _prose(world: World) -> str:
    return world.pick(prose.SENTENCES)


def explanations(world: World) -> str:
    """Speak of questions, texts, opinions and the like, in prose."""
    return ' '.join(world.several(prose.SENTENCES, world.pick((3, 4, 5))))


def opinions(world: World) -> str:
    """Let people speak of what they like; what they mean by it comes last."""
    label = world.pick((0, 1))
    who, other = world.several(world.people, 2)
    item = world.pick(tuple(words.REVIEWED))
    general, suited = world.pick((words.PRAISE, words.BLAME)[label]), world.pick(words.REVIEWED[item][label])
    liking = world.pick((words.LIKING, words.DISLIKING)[label])
    value, tone = (('good', 'positive'), ('bad', 'negative'))[label]
    remark = world.pick((words.PRAISE_SENTENCES, words.BLAME_SENTENCES)[label])
    said = world.pick(
        (
            f'The {item} was {general}.',
            f'The {item} was {suited}.',
            f'I {liking} the {item}.',
            f'What {article(general)} {item}!',
            f'It was {general} and {suited}.',
            f'It was {suited}. {remark}',
            f'{remark}',
            f'I {liking} it. {remark}',
        )
    )
    end = world.pick(
        (
            f'"{said}" said {who} about the {item}. So {who} found it {value}.',
            f'{who} wrote about the {item}: "{said}" These words are {tone}.',
            f'{who} said: "{said}" To {who} the {item} was {value}.',
            f'"{said}" So {other} was told: {who} had an opinion that was {tone}.',
            f'{said} {who} told {other} that the {item} was {value}.',
            f'{said} That is a {tone} thing to say.',
            f'"{said}" "You think it is {value}," said {other}.',
            f'{said} In other words, the {item} is {value}.',
            f'{said} All this is {tone}.',
            f'{said} What is said here is {value}, and the tone is {tone}.',
            f'{said} Yes, {who} {liking} the {item}. It was {general}.',
            f'There are positive letters and negative letters. {who} wrote: "{said}" That one was {tone}.',
            f'Was it good or bad? "{said}" Then it was {value}.',
            f'{who} {liking} the {item}. {sentence(world.pronoun(who))} found it {value}.',
        )
    )
    return end


def feelings(world: World) -> str:
    """Tell how people felt, and why."""
    lines = []
    for who in world.several(world.people, world.pick((1, 2))):
        feeling = world.pick(tuple(words.FEELINGS))
        actions, causes = words.FEELINGS[feeling]
        cause, action = world.pick(causes), world.pick(actions)
        he = world.pronoun(who)
        lines.append(
            world.pick(
                (
                    f'{who} {cause}, so {he} was {feeling}.',
                    f'{who} {cause}. {sentence(he)} was {feeling}.',
                    f'{who} {cause} and {action}. Yes, {he} felt {feeling}.',
                    f'{who} {action}, because {he} {cause}. {sentence(he)} felt {feeling}.',
                    f'Whoever {cause} is {feeling}.',
                    f'"I {cause}," said {who}. "Then you must be {feeling}!"',
                )
            )
        )
    if world.chance(0.4):
        lines = [_need(world)]
    return ' '.join(lines)


def _need(world: World) -> str:
    who = world.pick(world.people)
    need, deed = world.pick(words.CAUSES)
    he = world.pronoun(who)
    return world.pick(
        (
            f'{who} {need}, so {he} {deed}.',
            f'{who} {deed}, because {he} {need}.',
            f'Whoever {need} {deed}.',
            f'"Why?" asked somebody when {who} {deed}. "I {need}," said {who}.',
        )
    )


def senses(world: World) -> str:
    """Explain a word with two meanings by examples."""
    word = world.pick(tuple(SENSES))
    lines = []
    for meaning, uses in world.shuffled(SENSES[word]):
        owned = [use for use in uses if world.owns(word, use)] or [uses[0]]
        use = world.pick(owned).format(who=world.pick(world.people))
        lines.append(
            world.pick(
                (
                    f'{sentence(article(word))} can be {meaning}: {use}',
                    f'{use} Such a {word} is {meaning}.',
                    f'{sentence(meaning)} is called {article(word)}. {use}',
                )
            )
        )
    return ' '.join(lines[: world.pick((1, 2, 2))])


def talo_talk(world: World) -> str:
    """Teach Talo: words, and sentences with what they mean."""
    table = lexicon()
    if world.chance(0.5):
        return ' '.join(
            world.pick(
                (
                    f'The people of Talo call it {table[word]}, we call it {word}.',
                    f'{sentence(table[word])} means {word}.',
                    f'For {word} they say {table[word]}.',
                )
            )
            for word in world.several(tuple(table), world.pick((3, 4)))
        )
    event = world.event(world.pick(('act', 'give')))
    english = world.tell(event, form=0, synonyms=False)
    return world.pick(
        (f'{english} The people of Talo would say: "{talo(event)}"', f'"{talo(event)}" said the guest from Talo. He meant: {english}')
    )


def retold(world: World) -> str:
    """Tell a story with asides, and say once more what it was about."""
    event = world.event()
    aside, other = world.several(ASIDES, 2)
    told = world.tell(event)
    lines = world.shuffled([told, aside]) + [other]
    end = world.pick(('So it was: ', 'That was it: ', 'What matters is this: ', 'To make it short, '))
    return f'{" ".join(lines)} {end}{world.retell(event, told)}'


def repeat(world: World) -> str:
    """Say something and let another say it again."""
    first, second = world.several(world.people, 2)
    if world.chance(0.5):
        text = world.tell(world.event())
    else:
        text = sentence(', '.join(article(world.event('act').what) for _ in range(world.pick((2, 3))))) + '.'
    return world.pick(
        (f'{first} said: "{text}" {second} said it again: "{text}"', f'{first} wrote: {text} And {second} wrote the same: {text}')
    )


# Each kind of document and how often it comes.
KINDS: tuple[tuple[Callable[[World], str], int], ...] = (
    (talk_about_story, 24),
    (talk_yes_no, 14),
    (in_other_words, 6),
    (repeat, 3),
    (choice, 12),
    (same_different, 5),
    (people, 12),
    (having, 6),
    (tell_facts, 14),
    (meanings, 10),
    (explanations, 2),
    (opinions, 16),
    (feelings, 12),
    (senses, 6),
    (talo_talk, 4),
    (retold, 3),
)


def documents(split: str) -> Iterator[Mapping[str, str]]:
    """Yield the text's documents, one a row; raises KeyError for a split other than train and validation."""
    count = COUNTS[split]
    world = World('text', f'text/{split}')
    kinds = [kind for kind, weight in KINDS for _ in range(weight)]
    for _ in range(count):
        yield {'text': world.pick(kinds)(world)}


def pretraining(name: str, objective: str) -> TextSpec:
    """Describe the text as a task with one of T5's objectives."""
    return TextSpec(
        name=name,
        source=InMemory(documents),
        text=lambda row: row['text'],
        objective=objective,
        splits=Splits(test=None),
        length=LENGTH,
        density=0.25,  # documents are short, and one hidden word in four leaves enough to tell it by
        roll=True,
        longest_target=8,  # documents end with what can be told from the rest of them, so that is what is worth predicting
        corruptions=2,
        lineage=('pocket world',),
        licence='Apache-2.0',
    )


SPECS = (pretraining('pocket_spans', 'span_corruption'), pretraining('pocket_prefix', 'prefix_lm'))
