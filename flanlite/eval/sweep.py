"""A sweep as a value, and what its settings name."""

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

import jax

from flanlite.config import load_as, value
from flanlite.data.cache.view import view_of
from flanlite.data.mixing import mixtures, naming
from flanlite.data.mixing.mixtures import Mixture, MixtureConfig
from flanlite.data.specs import clusters, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval import splits
from flanlite.eval.evaluator import ScoringConfig
from flanlite.eval.splits import Opened
from flanlite.limits import Count, Whole, one_of
from flanlite.model import models
from flanlite.report.results import ALONE, JOINT, JOINT_PCGRAD, SYSTEMS, is_shared
from flanlite.training import parameters
from flanlite.training.begin import choose_vocabulary
from flanlite.training.config import TrainConfig

# The systems that are tuned for a hold-out, and the style of their training examples, see `specs.STYLES`.
STYLES = {
    'tuned': 'instructions',
    'no_instructions': 'fields',
    'names': 'names',
    'names_asked': 'names',
}
ABLATED = ('names', 'names_asked')  # that sweeps have only on request


@value
class SweepConfig:
    """All that decides a sweep: what is tuned, what is held out one after the other, and what is compared.

    Args:
        train: how the tuned systems are trained; `model_dir` is the sweep's folder, and `data.mixture` a
            collection.
        held_out: what is held out: names of clusters, or 'all' for every one of the collection; several names
            may be separated by commas. Other hold-outs may stand there too, such as `intra_3`, or
            `diversity_*` for all that fit, also with a number of templates, `superglue_4templates`.
        systems: which of `results.SYSTEMS` to compare; by default all but `ABLATED`.
        max_rows: at most so many rows of each data set are scored; by default all.
        dev_rows: how many validation rows of each data set choose the plain prompt of the model before tuning
            (FLAN, section 3).
        seen: how many data sets that the model was tuned on are scored too, each from another cluster.
        seeds: how often each tuned system is tuned: with `train.seed` and the whole numbers behind it.
        scoring: how a model is asked.
        predictions: whether to keep each question with its answer, in `predictions/` beside each result.
        notes: what a reader of the report should know of the model or the data, a sentence each.

    Raises:
        ValueError: an unknown system, or settings that contradict each other.
    """

    train: TrainConfig
    held_out: str | tuple[str, ...] = 'all'
    systems: tuple[Annotated[str, one_of(*SYSTEMS)], ...] = tuple(
        system for system in SYSTEMS if system not in ABLATED
    )
    max_rows: Count | None = None
    dev_rows: Count = 200
    seen: Whole = 0
    seeds: Count = 1
    scoring: ScoringConfig = ScoringConfig()
    predictions: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.systems or len(set(self.systems)) < len(self.systems):
            raise ValueError(f'got systems={self.systems}; expected at least one, and each once')
        if self.train.data.mixture.held_out:
            raise ValueError(
                f'the mixture of a sweep holds out {self.train.data.mixture.held_out!r} already; expected '
                'nothing: name it in held_out'
            )

    @classmethod
    def load(cls, path: str | pathlib.Path) -> 'SweepConfig':
        """Read the settings of a sweep from its folder, or from a file that holds them; a `ValueError` where
        there are none.
        """
        return load_as(cls, path)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep with what its settings name: the collection, and the vocabulary of its model."""

    config: SweepConfig
    collection: Collection
    vocabulary: Vocabulary

    @classmethod
    def open(cls, config: SweepConfig) -> 'Sweep':
        """Find what the settings name.

        Raises:
            ValueError: the mixture is no collection, or there is no such vocabulary.
        """
        data = config.train.data
        sources.check_data_folder(data.data_dir)
        collection = mixtures.resolve(data.mixture).collection
        if collection is None or data.mixture.name != collection.name:
            raise ValueError(
                f'{data.mixture.name!r} is no collection; the collections are '
                f'{", ".join(naming.collection_names())}'
            )
        for spec in collection.specs:
            config.train.model.prompt(spec.name)  # what is held out has no prompt of its own
        return cls(config, collection, choose_vocabulary(config.train))

    @property
    def folder(self) -> pathlib.Path:
        """The folder of runs and results: `<folder>/<held_out>/<system>/`."""
        return pathlib.Path(self.config.train.model_dir)

    def result_folder(self, held_out: str, system: str, seed: int | None) -> pathlib.Path:
        """Return the folder of a result: `<folder>/<held_out>/<system>`, with `_seed_<seed>` behind it for
        other seeds than the first.
        """
        return self.folder / held_out / (system + self.ending(seed))

    def ending(self, seed: int | None) -> str:
        """Return what stands behind the names of folders and files of another seed than the first."""
        return '' if seed in (None, self.config.train.seed) else f'_seed_{seed}'

    def seeds(self, system: str) -> tuple[int | None, ...]:
        """Return the seeds that a system is tuned with; only None for what is not tuned."""
        first, tuned = self.config.train.seed, system in STYLES or is_shared(system)
        return tuple(range(first, first + self.config.seeds)) if tuned else (None,)

    @functools.cached_property
    def base_model(self) -> models.ModelConfig:
        """The model before tuning, which has an adapter only where the sweep begins with one."""
        train = self.config.train
        if train.model.adapter is None or parameters.describe(train.initial_checkpoint_path).config.adapter:
            return train.model
        return train.model.replace(adapter=None)

    @functools.cached_property
    def base_params(self) -> models.Params:
        """The parameters of the model before tuning: loaded, or random."""
        train = self.config.train
        if train.initial_checkpoint_path:
            return parameters.load_params(train.initial_checkpoint_path, self.base_model)
        return jax.jit(models.init_params, static_argnums=0)(train.model, jax.random.key(train.seed))

    def shared_run(self, system: str, seed: int) -> TrainConfig:
        """Return a seed's run of a system that is tuned once for all hold-outs; see `results.is_shared`."""
        folder = self.folder / 'runs' / (system + self.ending(seed))
        changes: dict[str, Any] = {'model_dir': str(folder), 'seed': seed}
        if system == JOINT_PCGRAD:
            changes['step.pcgrad'] = 'clusters'
        elif system != JOINT:
            entries = mixtures.resolve(self.config.train.data.mixture).entries
            cluster = system.removeprefix(ALONE)
            own = tuple(entry.task for entry in entries if entry.cluster == cluster)
            changes['data.mixture.include'] = own
        return self.config.train.replace(**changes)

    def tasks(self, held_out: str) -> tuple[str, ...]:
        """Return the names of the data sets that are held out: a cluster's, or another hold-out's."""
        return clusters.get_hold_out(naming.numbers_in_name(held_out).bare, self.collection.specs).test

    def mixture(self, held_out: str) -> MixtureConfig:
        """Return the mixture to tune on while a cluster, or another hold-out's data sets, are held out."""
        return self.config.train.data.mixture.replace(name=naming.name_without(self.collection, held_out))

    def open_splits(
        self, tasks: Sequence[str], split: str = 'test', mixture: Mixture | None = None, **changes: Any
    ) -> Opened:
        """Open evaluation splits with the vocabulary and cap on rows of the sweep and the exemplars of a
        mixture, by default the sweep's own, but for `changes` of the view.
        """
        data = self.config.train.data
        view = view_of(
            mixture or mixtures.resolve(data.mixture),
            split,
            self.vocabulary,
            data.feature_lengths,
            max_rows=self.config.max_rows,
            soft_tokens=max((len(self.config.train.model.prompt(task)) for task in tasks), default=0),
        )
        return splits.open_splits(tasks, dataclasses.replace(view, **changes), data.build_options())
