"""Prompt settings that are mixed example by example, as in FLAN 2022 (Longpre et al. 2023, "The Flan
Collection", sections 2 and 3): zero-shot and few-shot, with and without answer options.
"""

import dataclasses
import random
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from flanlite.config import FrozenDict, value
from flanlite.data.specs import option_forms
from flanlite.data.specs.option_forms import OptionForm
from flanlite.limits import Count, Positive, Seed, Share, one_of, whole

SETTINGS = ('zs_opt', 'zs_noopt', 'fs_opt', 'fs_noopt')  # the release's names
SHOWN = ('zs_opt', 'fs_opt')  # those with the options
CHAINS = ('last', 'first', 'none')  # where the answer stands beside its chain of thought, or no chain
X_SHOT = 'x'
X_DRAWS, X_CHANCE, X_MOST = 25, 0.1, 25  # of 25 drawn exemplars, those of the example's template, one of ten
Setting = Annotated[str, one_of(*SETTINGS)]
MixShots = Annotated[int, whole(1, 100)] | Annotated[str, one_of(X_SHOT)]


class Way(NamedTuple):
    """How one example is asked.

    Args:
        setting: one of `SETTINGS`.
        shots: the number of exemplars that are to stand before it.
        chain: one of `CHAINS`.
        inverted: whether by a template that is turned around; None for the one whose turn it is.
        draws_form: whether the form of its options is drawn.
        key: decides what else is drawn for it.
    """

    setting: str
    shots: int
    chain: str
    inverted: bool | None
    draws_form: bool
    key: str

    @property
    def shows_options(self) -> bool:
        """Return whether its options are shown."""
        return self.setting in SHOWN

    def form(self, options: Iterable[str]) -> OptionForm:
        """Return the form of its options."""
        return (
            option_forms.draw(f'{self.key}/form', tuple(options)) if self.draws_form else option_forms.PLAIN
        )


@value
class PromptMix:
    """Prompt settings, one of which is drawn for each row, whatever its templates. The defaults are those of
    FLAN 2022's release for FLAN 2021 and T0.

    Args:
        shares: the weight of each setting: `zs_opt`, zero-shot with the options that a template shows;
            `zs_noopt`, without them; `fs_opt` and `fs_noopt`, the same behind exemplars.
        shots: the numbers of exemplars that one is drawn from for an example of `fs_opt`; one that is named
            twice is drawn twice as often. `x` is the release's x-shot, on average 2.7: of 25 draws those of
            the example's own template, of ten, and at least one.
        noopt_shots: the same of `fs_noopt`.
        drawn_forms: the settings in which the form of the options is drawn; in the others it is FLAN 2021's.
            Where the options are lettered or numbered, the answer is the letter or number.
        chains: the weight of each place of the answer beside a chain of thought: `last`, `first`, or `none`
            for no chain. Data sets without such templates know no difference.
        inverted: the share of templates that are turned around, in data sets that have some; None for their
            share among the templates.
        budget: the greatest number of tokens of exemplars and example together; by default the length of the
            inputs, which it never exceeds.
        seed: decides with the data set and the row what is drawn, exemplars included.

    Raises:
        ValueError: no setting or no number of exemplars, or a value that cannot be.
    """

    shares: Mapping[Setting, Positive] = FrozenDict(dict.fromkeys(SETTINGS, 1.0))
    shots: tuple[MixShots, ...] = (5, X_SHOT)
    noopt_shots: tuple[MixShots, ...] = (X_SHOT,)
    drawn_forms: tuple[Annotated[str, one_of(*SHOWN)], ...] = ('zs_opt',)
    chains: Mapping[Annotated[str, one_of(*CHAINS)], Positive] = FrozenDict({'last': 1.0})
    inverted: Share | None = None
    budget: Count | None = None
    seed: Seed = 0

    def __post_init__(self) -> None:
        for field in ('shares', 'shots', 'noopt_shots', 'chains'):
            if not getattr(self, field):
                raise ValueError(f'PromptMix.{field} is empty; expected at least one')
        # In one order, so that equal mixes draw the same.
        for field, names in (('shares', SETTINGS), ('chains', CHAINS)):
            given = getattr(self, field)
            ordered = {name: float(given[name]) for name in names if name in given}
            object.__setattr__(self, field, FrozenDict(ordered))

    @classmethod
    def of(cls, text: str) -> 'PromptMix':
        """Make a mix with shares that are given as text, such as `zs_opt:3,fs_opt:1`.

        Raises:
            ValueError: the text is something else, or has a setting twice.
        """
        shares: dict[str, float] = {}
        for part in text.split(','):
            name, _, weight = part.strip().partition(':')
            if name in shares:
                raise ValueError(f'a prompt mix has {name!r} twice; expected each setting once')
            try:
                shares[name] = float(weight or 1)
            except ValueError:
                raise ValueError(
                    f'a prompt mix has {part!r}; expected settings with their weights, such as '
                    f'zs_opt:3,fs_opt:1, of {", ".join(SETTINGS)}'
                ) from None
        return cls(shares=shares)

    @property
    def most(self) -> int:
        """Return the greatest number of exemplars that may be drawn."""
        asked = [
            number
            for setting, numbers in (('fs_opt', self.shots), ('fs_noopt', self.noopt_shots))
            for number in numbers
            if setting in self.shares
        ]
        return max((X_MOST if number == X_SHOT else number for number in asked), default=0)

    def within(self, length: int | None) -> 'PromptMix':
        """Return the mix with a budget of at most the length of inputs, in tokens, where that is known."""
        return dataclasses.replace(self, budget=min(filter(None, (self.budget, length)), default=None))

    def draw(self, name: str, row: int) -> Way:
        """Draw how a row is asked, by the seed, the data set's name and the row."""
        key = f'{self.seed}/{name}/{row}'
        drawn = random.Random(key)
        (setting,) = drawn.choices(list(self.shares), list(self.shares.values()))
        (chain,) = drawn.choices(list(self.chains), list(self.chains.values()))
        inverted = None if self.inverted is None else drawn.random() < self.inverted
        shots = 0
        if setting.startswith('fs_'):
            shots = drawn.choice(self.shots if setting == 'fs_opt' else self.noopt_shots)
            shots = x_shot(drawn) if shots == X_SHOT else shots
        return Way(setting, shots, chain, inverted, setting in self.drawn_forms, key)


def x_shot(drawn: random.Random) -> int:
    """Draw the number of exemplars of the release's x-shot, which leaves out examples without any."""
    while True:
        if found := sum(drawn.random() < X_CHANCE for _ in range(X_DRAWS)):
            return found


def note(manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence on the settings of tasks' examples, or nothing where none were drawn.

    Args:
        manifests: that of each task's cached split.
    """
    counts: dict[str, int] = {}
    for manifest in manifests.values():
        for setting, count in (manifest.get('prompt_mix') or {}).get('examples', {}).items():
            counts[setting] = counts.get(setting, 0) + count
    total = sum(counts.values())
    shares = ', '.join(f'{setting} {count / total:.1%}' for setting, count in sorted(counts.items()))
    return f'Prompt settings, drawn for each row: {shares}.' if counts else ''
