"""Closed-book questions with the book open: the facts of the pocket world as a corpus, and the best passages of it before each question."""

import dataclasses

from flanlite.data.specs import text as texts
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.retrieval import Retrieved
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.mixtures.pocket import closed_book_qa, facts, knowledge
from flanlite.mixtures.pocket.world import World

DRAWS = 12  # of a statement about each animal and land; equal ones count once
PASSAGES = 3


def passages(split: str) -> list[Row]:
    """State the world's facts, a passage each, never a question; raise a KeyError for splits other than train."""
    if split != 'train':
        raise KeyError(split)
    world = World('text', 'passages')
    stated = [knowledge.animal_fact(world, name) for name in facts.ANIMALS for _ in range(DRAWS)]
    stated += [knowledge.land_fact(world, name) for name in facts.LANDS for _ in range(DRAWS)]
    return [{'text': passage} for passage in dict.fromkeys(stated)]


def open_book(spec: DatasetSpec, name: str) -> DatasetSpec:
    """Make a data set whose questions come with passages, and templates that show them first; none is turned around."""
    source = Retrieved(
        spec.source, InMemory(passages, 'facts of the pocket world'), lambda row: row['text'], lambda row: row['question'], PASSAGES
    )
    return dataclasses.replace(
        spec,
        name=name,
        source=source,
        fields=lambda row: {
            'passages': texts.join(row['passages'], '\n'),
            'question': row['question'],
            'topic': row['topic'],
            'options': row['options'],
            'answer': row['answer'],
        },
        templates=tuple(
            Template(f'{{passages}}\n{template.inputs}', template.targets) for template in spec.templates if not template.inverted
        ),
        baselines=tuple(Template(f'{{passages}} {template.inputs}', template.targets) for template in spec.baselines),
    )


COLLECTION = Collection(
    'pocket_retrieval',
    (open_book(closed_book_qa.ANIMALS, 'pocket_animals_open'), open_book(closed_book_qa.LANDS, 'pocket_lands_open')),
    vocabulary='pocket',
    templates=8,
)
