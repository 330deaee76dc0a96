"""Documents of the pretraining text that state knowledge: facts, meanings of words, what people like and feel, how Talo is spoken."""

from flanlite.mixtures.pocket import facts, prose, words
from flanlite.mixtures.pocket.language import lexicon, talo
from flanlite.mixtures.pocket.senses import SENSES
from flanlite.mixtures.pocket.stories import asked
from flanlite.mixtures.pocket.world import World, article, sentence


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
    """Write prose about questions, texts, opinions and the like."""
    return ' '.join(world.several(prose.SENTENCES, world.pick((3, 4, 5))))


def opinions(world: World) -> str:
    """Let people speak of what they like; whether they find it good or bad comes last."""
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
        use = world.pick(world.share(uses)).format(who=world.pick(world.people))
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
