"""FLAN 2022, the FLAN Collection (Longpre et al., "The Flan Collection"; google-research/FLAN, flan/v2): five submixtures, each with a share.

Seven collections: `flan2022` with the shares and caps of the release, `flan2022_paper` with those of Chung et al. ("Scaling instruction-finetuned language
models"), and the submixtures alone: `flan2022_flan2021`, `flan2022_t0`, `flan2022_natural_instructions`, `flan2022_chain_of_thought`, `flan2022_dialog`.

Program synthesis and TaskMaster are missing here as they are in the release. The caps clip rates, as in the release; those of `flan2022_paper` truncate the
data, as the paper counts examples, and its shares leave out the dialogues, which the release added. docs/data.md lists the differences.
"""

import functools
import os
import pathlib
from typing import Any

from flanlite.config import closest
from flanlite.data.seqio_bridge import registration
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.mixtures import flan2021, t0
from flanlite.mixtures.flan2022 import chain_of_thought, dialog, natural_instructions, others
from flanlite.mixtures.super_natural_instructions import FOLDER
from flanlite.paths import absolute

PARTS = ('flan2021', 't0', 'natural_instructions', 'chain_of_thought', 'dialog')
RELEASE = (0.40, 0.32, 0.20, 0.05, 0.03)
PAPER = (0.52, 0.15, 0.30, 0.03)  # of the first four; FLAN 2021 is called Muffin there
TURNED = 0.3  # the weight of tasks that are turned around, beside 1 of the same as they are
CAPS = {  # of each data set of a part
    'flan2021': 30_000,
    't0': 20_000,
    'natural_instructions': 5_000,
    'chain_of_thought': 100_000,
    'dialog': 200_000,
}
# The prompt settings of the release's submixtures. Those of chains of thought, dialogues and Super-NaturalInstructions always show options; the last
# has one exemplar or two.
HALF = {'zs_opt': 1.0, 'fs_opt': 1.0}
PROMPT_MIXES = {
    'flan2021': PromptMix(),
    't0': PromptMix(),
    'natural_instructions': PromptMix(shares=HALF, shots=(1, 2)),
    'chain_of_thought': PromptMix(shares=HALF),
    'dialog': PromptMix(shares=HALF),
}
# The data sets of T0, T0+ and T0++ that the release takes from T0: those that FLAN 2021 has in no form.
T0 = (
    'adversarial_qa_dbidaf', 'adversarial_qa_dbert', 'adversarial_qa_droberta', 'amazon_polarity', 'app_reviews', 'cos_e', 'dbpedia_14', 'dream',
    'duorc_self', 'duorc_paraphrase', 'kilt_hotpotqa', 'qasc', 'quail', 'quarel', 'quartz', 'quoref', 'race_high', 'race_middle', 'ropes', 'sciq',
    'social_i_qa', 'web_questions', 'wiki_bio', 'wiki_hop', 'wiki_qa', 'wiqa',
)  # fmt: skip


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the collections, with the tasks of Super-NaturalInstructions that the data folder has, or else those of the release."""
    made = found(data_dir)
    if registry.COLLECTIONS.get('flan2022') is not made[0]:
        registry.COLLECTIONS.pop('opt_iml', None)  # made of the former ones; it is made anew when it is asked for
    registry.register(*made, replace=True)


def found(data_dir: str | os.PathLike | None = None) -> tuple[Collection, ...]:
    """Return the collections, as `find` registers them."""
    root = data_dir or os.environ.get('FLANLITE_DATA_DIR')
    root = absolute(root) if root else ''
    folder = pathlib.Path(root) / FOLDER
    listed = tuple(natural_instructions.listed(folder)) if root and (folder / 'tasks').is_dir() else ()
    return collections(root, listed)


def register(*names: str, data_dir: str | os.PathLike | None = None, **settings: Any) -> list[str]:
    """Add collections to SeqIO's registry, where their tasks ask with the templates alone; see `registration.register`.

    Args:
        *names: of the collections, such as `flan2022_chain_of_thought`; by default all, which takes SeqIO minutes.
        data_dir: the data folder; by default that of FLANLITE_DATA_DIR.
        **settings: of `registration.register`.

    Raises:
        ValueError: no collection has a name.
    """
    find(data_dir)
    known = {collection.name: collection for collection in found(data_dir)}
    for name in names:
        if name not in known:
            raise ValueError(f'unknown collection {name!r}; {closest(name, known)}expected one of {", ".join(known)}')
    return registration.register(*(known[name] for name in names or known), data_dir=data_dir, **settings)


@functools.cache
def collections(root: str, listed: tuple[str, ...]) -> tuple[Collection, ...]:
    """Make the collections.

    Args:
        root: the data folder, absolute; empty where none is named.
        listed: the tasks of Super-NaturalInstructions in it; empty where there are none.
    """
    thoughts, dialogues = chain_of_thought.specs(root), dialog.specs()
    members = {
        'flan2021': (*flan2021.COLLECTION.specs, *others.SPECS),
        't0': tuple(task for name in T0 for task in t0.members(name)),
        'natural_instructions': natural_instructions.tasks(pathlib.Path(root) / FOLDER, listed),
        'chain_of_thought': thoughts[0],
        'chain_of_thought_inverted': thoughts[1],
        'dialog': dialogues[0],
        'dialog_inverted': dialogues[1],
    }

    def part(name: str, share: float, truncates: bool) -> Part:
        kind = name.removesuffix('_inverted')
        cap = CAPS[kind]
        return Part(name, share, tuple(spec.name for spec in members[name]), cap, cap if truncates else None, PROMPT_MIXES[kind])

    def collection(name: str, shares: dict[str, float], truncates: bool = False) -> Collection:
        inside = tuple(spec for each in shares for spec in members[each])
        parts = tuple(part(each, share, truncates) for each, share in shares.items())
        return Collection(name, inside, max_examples=None, max_rate=None, parts=parts, templates=1)

    def turned(shares: dict[str, float]) -> dict[str, float]:
        """Share what chains of thought and dialogues have with the same turned around."""
        found = {}
        for name, share in shares.items():
            inverted = f'{name}_inverted'
            found |= {name: share / (1 + TURNED), inverted: share * TURNED / (1 + TURNED)} if inverted in members else {name: share}
        return found

    paper = dict(zip(('flan2021', 't0', 'natural_instructions', 'chain_of_thought'), PAPER, strict=True))
    return (
        collection('flan2022', turned(dict(zip(PARTS, RELEASE, strict=True)))),
        collection('flan2022_paper', paper, truncates=True),
        *(collection(f'flan2022_{name}', turned({name: 1.0})) for name in PARTS),
    )
