"""The pretraining text: choices, stories, talks, facts and what words mean. Never a template, never a validation or test story.

What the world's facts are (where foxes live, what awful means) stands here as statements, or nobody could know it; questions about facts
are asked and answered here for the training share of the facts only.
"""

from collections.abc import Callable, Iterator, Mapping

from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import Splits, TextSpec
from flanlite.mixtures.pocket import choices, knowledge, stories
from flanlite.mixtures.pocket.world import World

COUNTS = {'train': 300_000, 'validation': 500}
LENGTH = 90  # tokens; the longest documents are cut

# Each kind of document and how often it comes.
KINDS: tuple[tuple[Callable[[World], str], int], ...] = (
    (choices.document, 100),
    (stories.talk_about_story, 14),
    (stories.talk_yes_no, 14),
    (stories.in_other_words, 6),
    (stories.repeat, 6),
    (stories.same_different, 5),
    (stories.people, 6),
    (stories.having, 6),
    (knowledge.tell_facts, 14),
    (knowledge.meanings, 10),
    (knowledge.explanations, 2),
    (knowledge.opinions, 10),
    (knowledge.feelings, 10),
    (knowledge.senses, 6),
    (knowledge.talo_talk, 4),
    (stories.retold, 3),
)


def documents(split: str) -> Iterator[Mapping[str, str]]:
    """Yield the text's documents, one per row; raise a KeyError for splits other than train and validation."""
    count = COUNTS[split]
    world = World('text', f'text/{split}')
    kinds = [kind for kind, weight in KINDS for _ in range(weight)]
    for _ in range(count):
        yield {'text': world.pick(kinds)(world)}


def pretraining(name: str, objective: str) -> TextSpec:
    """Make the spec of the text with one of T5's objectives."""
    return TextSpec(
        name=name,
        source=InMemory(documents),
        text=lambda row: row['text'],
        objective=objective,
        splits=Splits(test=None),
        length=LENGTH,
        density=0.25,  # documents are short; with one word in four hidden, enough is left to guess it from
        roll=True,
        longest_target=6,  # documents end with what follows from the rest of them, which is worth predicting
        corruptions=2,
        lineage=('pocket world',),
        licence='Apache-2.0',
    )


SPECS = (pretraining('pocket_spans', 'span_corruption'), pretraining('pocket_prefix', 'prefix_lm'))
