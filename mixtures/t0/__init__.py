"""T0 (Sanh et al., "Multitask prompted training enables zero-shot task generalization"): its data sets by group, and its rule of mixing.

Six collections: the training sets `t0`, `t0_plus` (T0+) and `t0_plus_plus` (T0++), the groups held out from training `t0_eval`, both
`t0` and these for sweeps `t0_loco`, and the tasks of BIG-bench `t0_bigbench`. Data sets that FLAN has too are FLAN's own, with its ten
templates and its splits: so T0 trains on the few hundred examples less that FLAN sets aside, on IMDb and others under FLAN's names, and on
TriviaQA with documents where T0 has it without. The others have at least five templates, in our own words.

If there is a promptsource (a checkout named by `--promptsource_dir` or PROMPTSOURCE_DIR, or an installed package), T0's own prompts replace
all templates, over the rows of the Hugging Face hub. Then each prompt is a task of its own, with its name in T0's release. BIG-bench has no
such prompts.

Rates are those of T0's release, computed from the sizes on record: a data set of more than 500,000 examples counts 500,000, any other its
examples times its prompts. With `prompts=False` the rates are what T0's authors meant: the examples, at most 500,000. Inputs do not
end with EOS, as in T0.
"""

import dataclasses
import functools
import itertools

from flanlite.data.rendering import promptsource
from flanlite.data.seqio_bridge import registration
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection, Prompted
from flanlite.data.specs.sources import HuggingFace
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.mixtures import flan2021
from flanlite.mixtures.t0 import (
    bigbench,
    closed_book_qa,
    extractive_qa,
    groups,
    multiple_choice_qa,
    science_qa,
    sentiment,
    struct_to_text,
    topic_classification,
)

MAX_RATE = 500_000
VOCABULARY = 't5:no_input_eos'

OWN = (
    *multiple_choice_qa.SPECS,
    *science_qa.SPECS,
    *extractive_qa.SPECS,
    *closed_book_qa.SPECS,
    *sentiment.SPECS,
    *topic_classification.SPECS,
    *struct_to_text.SPECS,
)
SPECS: dict[str, DatasetSpec] = {spec.name: spec for spec in (*flan2021.COLLECTION.specs, *OWN)}
PROMPTS = promptsource.find_folder()


@functools.cache
def members(name: str) -> tuple[DatasetSpec, ...]:
    """Return the specs of one of T0's data sets: ours, or one for each of its prompts where there is a promptsource."""
    if PROMPTS is None:
        return (SPECS[name],)
    like, listed = SPECS[name], groups.LISTED[name]
    config = groups.CONFIGS.get((listed.hub, listed.config), listed.config)
    source = HuggingFace(groups.HUB[listed.hub], config, revision=groups.REVISIONS.get(listed.hub))
    splits = Splits(*groups.SPLITS.get(name, ('train', 'validation', None)))
    settings = {'splits': splits, 'lineage': like.lineage, 'train_examples': listed.train or None}
    prompts = promptsource.read_prompts(PROMPTS, listed.hub, listed.config)
    sources = [promptsource.PromptSource(source, prompt, groups.RENAMED.get(listed.hub, ())) for prompt in prompts]
    made = [promptsource.make_spec(source, like.cluster, licence=like.licence, link=like.link, **settings) for source in sources]
    if listed.hub == 'anli':  # at the hub its rounds are splits of one data set
        made = [dataclasses.replace(task, name=f'{task.name}_{name.rpartition("_")[2]}') for task in made]
    return tuple(task for task in made if task.name not in groups.LEFT_OUT)


def training(name: str, *parts: dict[str, tuple[str, ...]]) -> Collection:
    """Make one of T0's training sets, with the rates of its release."""
    common = {'vocabulary': VOCABULARY, 'max_examples': None, 'max_rate': MAX_RATE}
    made = {data_set: members(data_set) for data_set in groups.listed(*parts)}
    prompted = {task.name: counted(data_set) for data_set, tasks in made.items() for task in tasks}
    return Collection(name, tuple(itertools.chain(*made.values())), prompted=prompted, templates=5 if PROMPTS is None else 1, **common)


def counted(name: str) -> Prompted:
    """Return a data set's numbers for T0's mixing rule; as in T0's release, prompts that are left out of training count too."""
    listed = groups.LISTED[name]
    if PROMPTS is None:
        return Prompted(listed.train, listed.prompts)
    prompts = len(promptsource.read_prompts(PROMPTS, listed.hub, listed.config))
    return Prompted(listed.train, prompts, tasks=prompts)


def held_out() -> Collection:
    """Make the collection that T0 is evaluated on; of promptsource's prompts, only those of the data sets' original tasks."""
    tasks = [task for name in groups.listed(groups.HELD_OUT) for task in members(name)]
    original = [task for task in tasks if PROMPTS is None or task.source.prompt.original_task]
    return Collection('t0_eval', tuple(original), vocabulary=VOCABULARY, templates=5 if PROMPTS is None else 1)


COLLECTIONS = (
    *(training(name, *parts) for name, parts in groups.TRAINING.items()),
    held_out(),
    training('t0_loco', groups.GROUPS, groups.HELD_OUT),
    Collection('t0_bigbench', bigbench.SPECS, vocabulary=VOCABULARY, templates=5),
)
COLLECTION = COLLECTIONS[0]

registry.register(*COLLECTIONS)

register = functools.partial(registration.register, *COLLECTIONS)  # in SeqIO's registry
