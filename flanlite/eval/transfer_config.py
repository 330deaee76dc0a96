"""A prompt transfer as a value: which prompts are trained and what they are tried on."""

import pathlib
from typing import Annotated

from flanlite.config import closest, load_as, value
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.eval.evaluator import ScoringConfig
from flanlite.eval.similarity import SIMILARITIES
from flanlite.limits import Count, Name, PositiveShare, one_of
from flanlite.model.soft_prompt import SoftPrompt
from flanlite.paths import LocalPath
from flanlite.training.config import TrainConfig

STRATEGIES = ('best', 'average', 'mixture')
STARTS = ('all', 'retrieved')


@value
class TransferConfig:
    """All that decides what `transfer` trains and scores.

    Args:
        train: how each prompt is trained: the model with a `SoftPrompt` that all tasks of a run share, how
            its rows begin, and the steps of a target. `model_dir` is the folder of all; the name of
            `data.mixture` gives way to that of each source and target, its caps and rates stay.
        sources: names of tasks and mixtures, from any collections.
        targets: names of tasks, each with a validation split.
        source_steps: of a source's prompt; by default as many as of a target.
        embedding_steps: the early step at which a prompt stands for its task.
        every_steps: a target is scored on validation rows at each multiple of this, and at its end.
        similarity: a name of `similarity.SIMILARITIES`, by which sources are retrieved.
        top_k: how many sources are retrieved for a target.
        strategies: what is done with them, of `best`, `average` and `mixture`; see
            `report.transfer.STRATEGIES`.
        starts: which sources' prompts each target begins with, one after the other: 'all', as correlations
            with what transferred need it, or those 'retrieved'.
        share: of the plain result on validation rows, to which steps are counted.
        seeds: how often all is repeated, with the seeds from `train.seed` on.
        only: the sources and targets that this job works on, or 'all'.
        projector: the folder of a transfer with another model, whose prompts of the same names are carried to
            this model; see `projector.train`.
        max_rows: at most so many test rows of each target are scored; by default all.
        dev_rows: so many validation rows.
        scoring: how a model is asked.
        notes: what a reader of the report should know, a sentence each.

    Raises:
        ValueError: settings that contradict each other.
    """

    train: TrainConfig
    sources: tuple[Name, ...]
    targets: tuple[Name, ...]
    embedding_steps: Count
    every_steps: Count
    source_steps: Count | None = None
    similarity: Annotated[str, one_of(*SIMILARITIES)] = 'average_cosine'
    top_k: Count = 3
    strategies: tuple[Annotated[str, one_of(*STRATEGIES)], ...] = STRATEGIES
    starts: Annotated[str, one_of(*STARTS)] = 'all'
    share: PositiveShare = 0.95
    seeds: Count = 1
    only: str | tuple[str, ...] = 'all'
    projector: LocalPath | None = None
    max_rows: Count | None = None
    dev_rows: Count = 100
    scoring: ScoringConfig = ScoringConfig()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        adapter = self.train.model.adapter
        if type(adapter) is not SoftPrompt or adapter.tasks:
            raise ValueError(
                f"the adapter of TransferConfig.train's model is {adapter}; expected a SoftPrompt without "
                'tasks of its own, such as T5Config.adapter = @SoftPrompt()'
            )
        mixture = self.train.data.mixture
        if mixture.include or mixture.exclude or mixture.held_out:
            raise ValueError(
                f'the mixture has include={mixture.include}, exclude={mixture.exclude} and '
                f'held_out={mixture.held_out!r}; expected none of them: sources and targets are named in '
                'TransferConfig'
            )
        for field in ('sources', 'targets'):
            names = getattr(self, field)
            if not names or len(set(names)) < len(names):
                raise ValueError(f'TransferConfig.{field} is {names}; expected at least one name, each once')
        if self.top_k > len(self.sources):
            raise ValueError(
                f'TransferConfig.top_k is {self.top_k}, and there are {len(self.sources)} sources; '
                'expected no more than sources'
            )
        least = min(self.train.train_steps, self.steps_of_source)
        if self.embedding_steps > least or self.embedding_steps % self.every_steps:
            raise ValueError(
                f'TransferConfig.embedding_steps is {self.embedding_steps}; expected a multiple of '
                f'every_steps ({self.every_steps}), and at most {least}, the steps of a run'
            )

    @property
    def steps_of_source(self) -> int:
        """Return the steps of a source's prompt."""
        return self.source_steps or self.train.train_steps

    @property
    def names(self) -> tuple[str, ...]:
        """Return sources and targets, each once."""
        return tuple(dict.fromkeys((*self.sources, *self.targets)))

    def chosen(self) -> list[str]:
        """Return the names that this job works on, in order; an unknown one is a `ValueError`."""
        wanted = self.only.split(',') if isinstance(self.only, str) else self.only
        wanted = [name.strip() for name in wanted if name.strip()]
        if unknown := [name for name in wanted if name not in (*self.names, 'all')]:
            raise ValueError(
                f'only has {unknown[0]!r}; {closest(unknown[0], self.names)}expected all, or some of '
                f'{", ".join(self.names)}'
            )
        return [name for name in self.names if 'all' in wanted or name in wanted]

    @classmethod
    def load(cls, path: str | pathlib.Path) -> 'TransferConfig':
        """Read the settings from a folder that `transfer` wrote, or from a file that holds them."""
        return load_as(cls, path)


def mixture_of(config: TransferConfig, name: str) -> MixtureConfig:
    """Return the mixture that a source or target means."""
    return config.train.data.mixture.replace(name=name)
