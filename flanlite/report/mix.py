"""What a sweep over mixtures found: the chosen weights, how far the fits can be trusted, as Markdown and
JSON.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class MixReport:
    """A chosen mixture, and what it was chosen by.

    Args:
        title: the heading.
        groups: the tasks that have a weight together, by their names.
        own: the weights of the mixture as it is set.
        chosen: the weights that the law foretells the least loss of.
        targets: the groups whose mean loss is to be low.
        observed: the loss of each run, the mixture as it is set first.
        foretold: what the law says of the mixture as it is set, and of the chosen one.
        law: the law that was used.
        qualities: of each law, `law`, `rmse`, `r2`, `spearman` and `p` on runs that it was not fitted to.
        notes: sentences for the reader.
    """

    title: str
    groups: Mapping[str, Sequence[str]]
    own: Mapping[str, float]
    chosen: Mapping[str, float]
    targets: Sequence[str]
    observed: Sequence[float]
    foretold: tuple[float, float]
    law: str
    qualities: Sequence[Mapping[str, Any]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """Write it as Markdown."""
        lines = [f'# {self.title}', '', '| group | share | chosen | times |', '|---|---|---|---|']
        for name, share in self.own.items():
            chosen = self.chosen[name]
            lines.append(f'| {name} | {100 * share:.1f}% | {100 * chosen:.1f}% | {chosen / share:.2f} |')
        lines += [
            '',
            f'Loss on the validation data of {", ".join(self.targets)}, mean over these: '
            f'{self.observed[0]:.4f} of the mixture as it is set; {min(self.observed):.4f} to '
            f'{max(self.observed):.4f} of all {len(self.observed)} runs. The {self.law} law foretells '
            f'{self.foretold[0]:.4f} of the mixture as it is set, {self.foretold[1]:.4f} of the chosen one.',
            '',
            '| law | error (RMSE) | R² | rank correlation | p |',
            '|---|---|---|---|---|',
        ]
        for each in self.qualities:
            lines.append(
                f'| {each["law"]} | {each["rmse"]:.4f} | {each["r2"]:.2f} | {each["spearman"]:.2f} | '
                f'{each["p"]:.3g} |'
            )
        lines += ['', 'Each law was fitted to seven eighths of the runs and judged on the rest, in turn.', '']
        return '\n'.join([*lines, *(f'- {note}' for note in self.notes), ''])
