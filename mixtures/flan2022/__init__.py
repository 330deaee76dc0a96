"""FLAN 2022, the FLAN Collection (Longpre et al., "The Flan Collection"; google-research/FLAN, flan/v2): five submixtures, each with a share.

Seven collections: `flan2022` with the shares and caps of the release, `flan2022_paper` with those of Chung et al. ("Scaling instruction-finetuned language
models"), and the submixtures alone: `flan2022_flan2021`, `flan2022_t0`, `flan2022_natural_instructions`, `flan2022_chain_of_thought`, `flan2022_dialog`.

Program synthesis and TaskMaster are missing here as they are in the release. The caps clip rates, as in the release; those of `flan2022_paper` truncate the
data, as the paper counts examples, and its shares leave out the dialogues, which the release added. docs/data.md lists the differences.
"""

import functools
import os
import pathlib

from flanlite.config import absolute
from flanlite.data.specs import specs
from flanlite.data.specs.specs import Collection, Part
from flanlite.mixtures import flan2021, t0
from flanlite.mixtures.flan2022 import chain_of_thought, dialog, natural_instructions, others
from flanlite.mixtures.super_natural_instructions import FOLDER

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
# The data sets of T0, T0+ and T0++ that the release takes from T0: those that FLAN 2021 has in no form.
T0 = (
    'adversarial_qa_dbidaf', 'adversarial_qa_dbert', 'adversarial_qa_droberta', 'amazon_polarity', 'app_reviews', 'cos_e', 'dbpedia_14', 'dream',
    'duorc_self', 'duorc_paraphrase', 'kilt_hotpotqa', 'qasc', 'quail', 'quarel', 'quartz', 'quoref', 'race_high', 'race_middle', 'ropes', 'sciq',
    'social_i_qa', 'web_questions', 'wiki_bio', 'wiki_hop', 'wiki_qa', 'wiqa',
)  # fmt: skip


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the collections, with the tasks of Super-NaturalInstructions that the data folder has, or else those of the release."""
    root = data_dir or os.environ.get('FLANLITE_DATA_DIR')
    root = absolute(root) if root else ''
    folder = pathlib.Path(root) / FOLDER
    listed = tuple(natural_instructions.listed(folder)) if root and (folder / 'tasks').is_dir() else ()
    made = collections(root, listed)
    if specs.COLLECTIONS.get('flan2022') is not made[0]:
        specs.COLLECTIONS.pop('opt_iml', None)  # made of the former ones; it is made anew when it is asked for
    specs.register(*made, replace=True)


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
        cap = CAPS[name.removesuffix('_inverted')]
        return Part(name, share, tuple(spec.name for spec in members[name]), cap, cap if truncates else None)

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
