"""OPT-IML (Iyer et al. 2022, "OPT-IML: Scaling language model instruction meta learning through the lens of generalization", arXiv 2212.12017): its
benchmarks as parts, each of clusters of tasks, as far as their data is to be had.

Of its eight benchmarks four are here: FLAN, PromptSource (T0++'s training sets; those that FLAN has too count as FLAN's, unless there is a promptsource,
whose prompts are tasks of their own), Super-NaturalInstructions, and of the fourteen reasoning sets the nine of FLAN 2022. Of CrossFit, ExMix and T5 the
paper keeps only tasks that no other benchmark has; these and UnifiedSKG, 10% of its mixture together, are missing. Its dialogues, those of BlenderBot 3, are
missing too: WikiDialog and QReCC of FLAN 2022 stand in their place. They have no share, as in the paper's final models, until `MixtureConfig.shares` gives
them one.

The shares are those of the final models (section 4.3, "4/2/20/25/45/2/2"; section 4.6, 1% reasoning), the cap on each task's rate is 4,096 (section 4.2),
and a task has at most 100,000 examples, of FLAN 30,000 (section 2.1); the paper draws these at random, here they are the first. Templates that turn a
task around train here; the paper takes them out.
"""

import os

from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.specs import Spec
from flanlite.mixtures import flan2021, flan2022, t0

MAX_RATE = 4_096
SHARES = {'flan': 0.20, 'promptsource': 0.45, 'natural_instructions': 0.25, 'reasoning': 0.01, 'dialogue': 0.0}
MAX_EXAMPLES = {'flan': 30_000}
MOST = 100_000  # examples of a task of any other part


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the collection, with the tasks of Super-NaturalInstructions that the data folder has, or else those of FLAN 2022's release."""
    flan2022.find(data_dir)
    registry.register(collection(registry.COLLECTIONS['flan2022']), replace=True)


def collection(source: Collection) -> Collection:
    """Make the collection.

    Args:
        source: FLAN 2022's, which has the tasks of three of the parts.
    """
    inside = {part.name: [source.by_name[name] for name in part.tasks] for part in source.parts}
    flan = flan2021.COLLECTION.specs
    prompted = next(each for each in t0.COLLECTIONS if each.name == 't0_plus_plus')
    members: dict[str, list[Spec]] = {
        'flan': list(flan),
        'promptsource': [spec for spec in prompted.specs if spec not in flan],
        'natural_instructions': inside['natural_instructions'],
        'reasoning': inside['chain_of_thought'],
        'dialogue': inside['dialog'],
    }
    parts = tuple(
        Part(name, share, tuple(spec.name for spec in members[name]), MAX_RATE, MAX_EXAMPLES.get(name, MOST))
        for name, share in SHARES.items()
    )
    every = tuple(spec for name in SHARES for spec in members[name])
    return Collection('opt_iml', every, max_examples=None, max_rate=None, parts=parts, templates=1)
