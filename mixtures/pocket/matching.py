"""Text matching as one task in five kinds (Match-Prompt, Xu et al. 2022): do two texts belong together, in the sense that the words of the task say?

Each kind is a cluster of its own, so that it can be held out.
"""

from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import facts, nli, paraphrase
from flanlite.mixtures.pocket.world import QUESTIONS, World, all_values, answer_text, rows


def retrieved(world: World) -> Row:
    """Draw a question and a document such as 'Where did Mia go?' and 'Tom found a ball. Mia went to the farm.': yes."""
    events, others = world.story(2), world.story(2)
    event = world.pick(events)
    label = world.pick((0, 1))
    shown = others if label else events
    return {'first': world.ask(event, world.pick(tuple(QUESTIONS[event.kind]))), 'second': ' '.join(map(world.tell, shown)), 'label': label}


def answered(world: World) -> Row:
    """Draw a question and an answer such as 'Where does the fox live?' and 'in the forest': yes."""
    name, aspect = world.pair(tuple(facts.ANIMALS), facts.ANIMAL_ASPECTS)
    answer = facts.animal_value(name, aspect)
    label = world.pick((0, 1))
    said = world.pick(facts.animal_values(aspect), (answer,)) if label else answer
    return {'first': world.pick(facts.ANIMAL_QUESTIONS[aspect]).format(animal=name), 'second': said, 'label': label}


def replied(world: World) -> Row:
    """Draw a talk and a reply such as 'Mia went to the farm. "Where did she go?"' and 'the farm': yes."""
    event = world.event()
    aspect = world.pick(tuple(QUESTIONS[event.kind]))
    answer = answer_text(event, aspect)
    label = world.pick((0, 1))
    said = world.pick(all_values(world, aspect), (answer,)) if label else answer
    return {'first': f'{world.tell(event)} "{world.ask(event, aspect)}"', 'second': said, 'label': label}


def as_pair(spec: DatasetSpec, fields: tuple[str, str], split: str) -> list[Row]:
    """Return the rows of a data set as pairs of texts."""
    return [{'first': row[fields[0]], 'second': row[fields[1]], 'label': row['label']} for row in spec.source.rows(split)]


def inferred(split: str) -> list[Row]:
    """Return the rows of `pocket_entail` as pairs."""
    return as_pair(nli.ENTAIL, ('premise', 'hypothesis'), split)


def paraphrased(split: str) -> list[Row]:
    """Return the rows of `pocket_same_sentence` as pairs."""
    return as_pair(paraphrase.SENTENCES, ('first', 'second'), split)


# kind -> (its rows, its manual prompt)
KINDS = {
    'retrieval': (rows('pocket_match_retrieval', retrieved), 'Is the second text a document that answers the first, a question?'),
    'answer': (rows('pocket_match_answer', answered, mixed=False), 'Is the second text the right answer to the first?'),
    'paraphrase': (paraphrased, 'Does the second text mean the same as the first?'),
    'inference': (inferred, 'Does the second text follow from the first?'),
    'dialogue': (rows('pocket_match_dialogue', replied), 'Is the second text a fitting reply to the first?'),
}

COLLECTION = Collection(
    'pocket_match',
    tuple(
        DatasetSpec(
            name=f'pocket_match_{kind}',
            cluster=f'match:{kind}',
            source=InMemory(make),
            fields=lambda row: {'first': row['first'], 'second': row['second'], 'answer': row['label']},
            options=('yes', 'no'),
            templates=(Template(f'{prompt}\n1. {{first}}\n2. {{second}}\n{{options_}}'),),
            lineage=('pocket world',),
            licence='Apache-2.0',
        )
        for kind, (make, prompt) in KINDS.items()
    ),
    vocabulary='pocket',
    templates=1,
)
