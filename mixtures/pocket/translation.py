"""Translation between English and Talo, and the words of Talo one by one."""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import words
from flanlite.mixtures.pocket.language import lexicon, talo
from flanlite.mixtures.pocket.world import World, article, rows, sentence

KINDS = (tuple(words.THINGS), tuple(words.PLACES), words.COLOURS)


def pair(world: World) -> Row:
    """Draw a row such as 'Tom found a red ball in the park.' and its Talo."""
    event = world.event(world.pick(('act', 'act', 'give')))
    _, past, _ = words.VERBS[event.verb][0]
    if event.kind == 'act':
        english = f'{event.who} {past} {article(event.what)} {event.where}.'
    else:
        english = f'{event.who} gave {event.other} {article(event.what)} {event.where}.'
    return {'english': sentence(english), 'talo': talo(event)}


def word(world: World) -> Row:
    """Draw a row such as 'ball': its Talo word, among four."""
    while True:
        kind = world.pick(KINDS)
        if world.owns('talo', english := world.pick(kind)):
            break
    others = [lexicon()[other] for other in world.several(kind, 4)]
    return {'english': english, 'options': world.options(lexicon()[english], others, 4), 'answer': lexicon()[english]}


TO_TALO = DatasetSpec(
    name='pocket_to_talo',
    cluster='translation',
    source=InMemory(rows('pocket_to_talo', pair)),
    fields=lambda row: {'english': row['english'], 'answer': row['talo']},
    metric='sacrebleu_intl',
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{english}\n\nTranslate this to Talo.'),
        Template('How do you say "{english}" in Talo?'),
        Template('Translate from English to Talo.\n\nEnglish: {english}\nTalo:'),
        Template('Write the sentence in the language Talo: {english}'),
        Template('{english} Say it so that people who speak Talo understand.'),
        Template('You work as a translator. A guest from Talo asks what this means: {english}'),
        Template('English: {english}\nNow in Talo, please.'),
        Template('Which Talo sentence has the same meaning as "{english}"'),
        Template('What does this Talo sentence mean? {answer}', '{english}', inverted=True),
        Template('Talo: {answer}\nEnglish:', '{english}', inverted=True),
    ),
    baselines=(Template('{english} In Talo:'), Template('{english} In Talo people say:'), Template('"{english}" In Talo this is')),
)

FROM_TALO = DatasetSpec(
    name='pocket_from_talo',
    cluster='translation',
    source=InMemory(rows('pocket_from_talo', pair)),
    fields=lambda row: {'talo': row['talo'], 'answer': row['english']},
    metric='t5_rouge',
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{talo}\n\nTranslate this Talo sentence to English.'),
        Template('What does "{talo}" mean in English?'),
        Template('Here is some Talo: {talo} Write it in English.'),
        Template('Talo text: {talo}\nEnglish translation:'),
        Template('A traveller in Talo heard this: "{talo}" What was said?'),
        Template('I cannot read Talo. Can you tell me what this is about? {talo}'),
        Template('Translate. {talo}'),
        Template('Give the English for the following.\n\n{talo}'),
        Template('Say this in Talo: {answer}', '{talo}', inverted=True),
        Template('English: {answer}\nTalo:', '{talo}', inverted=True),
    ),
    baselines=(Template('{talo} In English:'), Template('{talo} That is,'), Template('"{talo}" means')),
)

WORDS = DatasetSpec(
    name='pocket_talo_words',
    cluster='translation',
    source=InMemory(rows('pocket_talo_words', word, mixed=False)),
    fields=lambda row: {'english': row['english'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('What is the Talo word for "{english}"?\n{options_}'),
        Template('Which of these words means {english} in Talo?\n\n{options_}'),
        Template('Talo lesson 1. Find the word for: {english}\n{options_}'),
        Template('{options_}\nOne of these is {english}. Which?'),
        Template('My friend from Talo wants to say "{english}". Which word will it be?\n{options_}'),
        Template('Translate the word {english} to Talo.'),
        Template('Select the translation of "{english}".\n{options_}'),
        Template('English: {english}\nTalo:\n{options_}'),
        Template('What is the English for the Talo word {answer}?', '{english}', inverted=True),
        Template('Translate the Talo word {answer}.', '{english}', inverted=True),
    ),
    baselines=(Template('In Talo {english} is'), Template('{english} In Talo:'), Template('The Talo word for {english} is')),
)

SPECS = (TO_TALO, FROM_TALO, WORDS)
