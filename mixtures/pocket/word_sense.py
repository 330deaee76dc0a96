"""Word sense: which of its two meanings does a word have, and is it the same one in two sentences?"""

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket.senses import SENSES
from flanlite.mixtures.pocket.world import World, rows


def which(world: World) -> Row:
    """Draw a row such as 'Tom hit the ball with the bat.' and 'bat': a club for a game."""
    word, sense = world.pick(tuple(SENSES)), world.pick((0, 1))
    use = world.pick(world.share(SENSES[word][sense][1]))
    meanings = [meaning for meaning, _ in SENSES[word]]
    return {'text': use.format(who=world.pick(world.people)), 'word': word, 'options': world.shuffled(meanings), 'answer': meanings[sense]}


def same(world: World) -> Row:
    """Draw a row such as 'A bat ate the flies.', 'Tom swung the bat.' and 'bat': no."""
    word, sense, label = world.pick(tuple(SENSES)), world.pick((0, 1)), world.pick((0, 1))
    first = world.pick(SENSES[word][sense][1])
    second = world.pick(SENSES[word][1 - sense if label else sense][1], (first,))
    return {
        'first': first.format(who=world.pick(world.people)),
        'second': second.format(who=world.pick(world.people)),
        'word': word,
        'label': label,
    }


WHICH = DatasetSpec(
    name='pocket_senses',
    cluster='word_sense',
    source=InMemory(rows('pocket_senses', which, mixed=False)),
    fields=lambda row: {'text': row['text'], 'word': row['word'], 'options': row['options'], 'answer': row['answer']},
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{text}\n\nWhat is "{word}" here?\n\n{options_}'),
        Template('What does the word "{word}" mean in this sentence? {text}\n{options_}'),
        Template('Choose the meaning of "{word}".\n{text}\n{options_}'),
        Template('{options_}\nWhich explanation suits "{word}" in the text? {text}'),
        Template('A child asks: "What is a {word}?" The child has read this: {text} Explain.\n{options_}'),
        Template('From a dictionary: "{word}" can be more than one thing. Which is it in "{text}"\n{options_}'),
        Template('{text} By {word} the writer means\n{options_}'),
        Template('{text} Explain the word {word} as it is used here.'),
        Template('Use the word "{word}" in a sentence. It should mean: {answer}.', '{text}', inverted=True),
        Template('Show by an example that "{word}" can be {answer}.', '{text}', inverted=True),
    ),
    baselines=(Template('{text} Here {word} means'), Template('{text} A {word} is'), Template('{text} The {word} is')),
)

SAME = DatasetSpec(
    name='pocket_same_sense',
    cluster='word_sense',
    source=InMemory(rows('pocket_same_sense', same)),
    fields=lambda row: {'first': row['first'], 'second': row['second'], 'word': row['word'], 'answer': row['label']},
    options=('yes', 'no'),
    lineage=('pocket world',),
    licence='Apache-2.0',
    templates=(
        Template('{first}\n{second}\n\nDoes "{word}" mean the same in these two sentences?\n{options_}'),
        Template('Is it one kind of {word}? {first} {second}\n{options_}'),
        Template('Sentence A: {first}\nSentence B: {second}\nDoes the word "{word}" keep its meaning?\n{options_}'),
        Template('The word "{word}" stands in both lines. Is the sense equal?\n- {first}\n- {second}\n{options_}'),
        Template('{options_}\nWould a dictionary explain "{word}" in one way for both? {first} {second}'),
        Template('Look at "{word}" in "{first}" and then in "{second}" Are we talking of one thing?\n{options_}'),
        Template('Word: {word}\n1: {first}\n2: {second}\nSame sense in both?\n{options_}'),
        Template('{first} {second} Do both use "{word}" alike?'),
        Template(
            '{first} Write a sentence with {word}. If asked whether the sense is the same, one should say {answer}.',
            '{second}',
            inverted=True,
        ),
        Template(
            'I wrote "{second}" What else could I write with {word}, if the sense should be the same: {answer}?', '{first}', inverted=True
        ),
    ),
    baselines=(
        Template('{first} {second}'),
        Template('{first} {second} Is it the same {word}?'),
        Template('"{first}" "{second}" The same?'),
    ),
)

SPECS = (WHICH, SAME)
