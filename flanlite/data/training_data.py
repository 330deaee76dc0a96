"""What a run trains on, from its settings to batches."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from flanlite.data.batches import batches
from flanlite.data.batches.batches import Stages, TrainBatches
from flanlite.data.cache import cache
from flanlite.data.cache.view import View, view_of
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.data.specs import registry, sources
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import Vocabulary

Prompt = Callable[[str], np.ndarray]  # of a task's name: the ids of the soft tokens before its inputs
HINT_WINDOW = 1_024  # examples: a look at the lengths, not a measurement
SAMPLES = 2**32  # sets the seeds of `TrainingData.sample` apart from those of training


def no_prompt(task: str) -> np.ndarray:
    """Return no soft tokens, for any task."""
    del task
    return np.zeros(0, np.int32)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run trains on: its mixture and vocabulary and, once `build` was called, its tasks' cached splits
    and rates, also those of later stages from their first steps on.
    """

    config: DataConfig
    seed: int
    converter: str
    mixture: mixtures.Mixture
    vocabulary: Vocabulary
    prompt: Prompt = no_prompt
    cached: cache.CacheReport = dataclasses.field(default_factory=lambda: cache.CacheReport({}, {}))
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    stages: tuple[tuple[int, Mapping[str, float]], ...] = ()

    @classmethod
    def resolve(
        cls,
        config: DataConfig,
        seed: int,
        converter: str,
        vocabulary: Vocabulary | None = None,
        prompt: Prompt = no_prompt,
    ) -> 'TrainingData':
        """Find the mixture, and where it is not given the vocabulary; reads no data.

        Raises:
            ValueError: there is no such mixture or vocabulary; a task has no rate where some are given, or no
                soft prompt, or one that leaves its inputs no room.
        """
        sources.check_data_folder(config.data_dir)
        mixture = mixtures.resolve(config.mixture, config.data_dir)
        mixtures.check_rates(mixture)
        found = [registry.find_spec(entry.task) for entry in mixture.entries]
        if all(spec is not None and not spec.splits.train for spec in found):
            raise ValueError(
                f'{mixture.name!r} is for evaluation only: none of its data sets has a train split; expected '
                'another mixture to train on'
            )
        for entry in mixture.entries:
            if (length := len(prompt(entry.task))) >= config.feature_lengths['inputs']:
                raise ValueError(
                    f'the soft prompt of {entry.task} has {length} tokens, and a row has room for '
                    f'{config.feature_lengths["inputs"]} of inputs, the prompt among them; expected more '
                    "room (TASK_FEATURE_LENGTHS['inputs']), or a shorter prompt"
                )
        return cls(
            config,
            seed,
            converter,
            mixture,
            vocabulary or vocabularies.load(config.vocabulary or mixture.vocabulary, config.data_dir),
            prompt,
        )

    @property
    def lengths(self) -> tuple[int, int]:
        """Return the lengths of inputs and targets."""
        return batches.check_lengths(self.config.feature_lengths)

    def build(self) -> 'TrainingData':
        """Build what the cache lacks, and weigh the tasks."""
        tasks = [entry.task for entry in self.mixture.entries]
        cached = cache.ensure(tasks, self.view('train'), self.config.build_options())
        if not cached.splits:
            named = f'the mixture {self.mixture.name!r}'
            raise ValueError(f'no task of {named} could be cached: {cached.reasons()}')
        sizes = {task: split.num_examples for task, split in cached.splits.items()}
        rates = mixtures.rates(self.mixture, sizes)
        stages = tuple(
            (step, dict.fromkeys(rates, 0.0) | mixtures.rates(mixture, sizes))
            for step, mixture in self.mixture.stages
        )
        return dataclasses.replace(self, cached=self._with_prompts(cached), rates=rates, stages=stages)

    def _with_prompts(self, cached: cache.CacheReport) -> cache.CacheReport:
        splits = {task: split.with_prompt(self.prompt(task)) for task, split in cached.splits.items()}
        return dataclasses.replace(cached, splits=splits)

    def view(self, split: str) -> View:
        """Return what examples of a split look like."""
        soft = max((len(self.prompt(entry.task)) for entry in self.mixture.entries), default=0)
        lengths, style = self.config.feature_lengths, self.config.style
        return view_of(self.mixture, split, self.vocabulary, lengths, style, soft_tokens=soft)

    def hint(self, say: Callable[[str], None]) -> None:
        """Tell how well these lengths fill the rows, and which would fill them better, where that is much."""
        if 'encoder' not in self.capacity():
            return  # rows that hold both need no balance
        splits, lengths = list(self.cached.splits.values()), self.config.feature_lengths
        now, better = batches.hint_shape(
            splits, [self.rates[split.name] for split in splits], lengths, window=HINT_WINDOW
        )
        if better.encoder_fill + better.decoder_fill > now.encoder_fill + now.decoder_fill + 0.1:
            shape = {'inputs': lengths['inputs'], 'targets': better.targets}
            say(
                f'these lengths fill {now.encoder_fill:.2f} of the encoder and {now.decoder_fill:.2f} of the '
                'decoder; '
                f'TASK_FEATURE_LENGTHS={shape} would fill {better.encoder_fill:.2f} and '
                f'{better.decoder_fill:.2f}'
            )

    def capacity(self) -> dict[str, int]:
        """Count the tokens that a batch has room for, by side."""
        room = batches.CONVERTERS[self.converter].room(self.lengths)
        return {side: self.config.batch_size * tokens for side, tokens in room.items()}

    def batches(
        self,
        host_rows: Sequence[int] | None = None,
        position: Mapping[str, Any] | None = None,
        groups: Mapping[str, int] | None = None,
    ) -> TrainBatches:
        """Open the endless training batches.

        Args:
            host_rows: the rows of each batch that this process reads; by default all.
            position: where to begin, as `get_state` of the batches returned it; by default at the beginning.
            groups: see `batches.train_iterator`.
        """
        stages = [(step - 1, [rates[task] for task in self.cached.splits]) for step, rates in self.stages]
        stream = self._batches(self.cached, host_rows, self.seed, self.config.prefetch, groups, stages)
        if position:
            stream.set_state(position)
        return stream

    def batches_of(
        self, task: str, count: int, host_rows: Sequence[int] | None = None
    ) -> list[dict[str, np.ndarray]]:
        """Read batches of one task's training data, the same ones each time.

        Args:
            task: one of `cached.splits` with a rate above 0.
            count: how many.
            host_rows: the rows of each batch that this process reads; by default all.
        """
        alone = dataclasses.replace(self.cached, splits={task: self.cached.splits[task]})
        stream = self._batches(alone, host_rows, seed=0, prefetch=0)
        return [next(stream) for _ in range(count)]

    def sample(
        self, tasks: Sequence[str], number: int, rows: int, host_rows: Sequence[int]
    ) -> dict[str, np.ndarray]:
        """Draw a batch of some tasks' training examples by their rates, an example a row, as a function of
        the seed and the batch's number; in another order than that of training.

        Args:
            tasks: some of `cached.splits` with rates above 0.
            number: of the batch, from 0.
            rows: how many it has.
            host_rows: those that this process reads.
        """
        # A window of n examples of K tasks has more than n - K.
        order = batches.Order(
            [self.cached.splits[task] for task in tasks],
            [self.rates[task] for task in tasks],
            self.seed + SAMPLES,
            rows + len(tasks),
        )
        examples = order.read(*(drawn[host_rows] for drawn in order.draw(number)))
        return batches.CONVERTERS[self.converter].pad(examples, self.lengths)

    def validation_batches(
        self, count: int, host_rows: Sequence[int] | None = None
    ) -> list[dict[str, np.ndarray]]:
        """Read batches of the validation split, the same ones each time.

        Raises:
            ValueError: no task that is trained on has a validation split.
        """
        cached = cache.ensure(list(self.rates), self._validation_view(count), self.config.build_options())
        if not any(self.rates[task] > 0 for task in cached.splits):
            raise ValueError(
                f'nothing to evaluate on: no task that {self.mixture.name!r} trains on has a validation '
                f'split ({cached.reasons()}); leave out RecordsConfig.eval_every_steps, or add a task that '
                'has one'
            )
        stream = self._batches(self._with_prompts(cached), host_rows, seed=0, prefetch=0)
        return [next(stream) for _ in range(count)]

    def validation_by_task(
        self, tasks: Sequence[str], count: int, host_rows: Sequence[int] | None = None
    ) -> dict[str, list[dict[str, np.ndarray]]]:
        """Read batches of each task's validation split, the same ones each time; those of tasks that have
        none are missing.

        Args:
            tasks: data sets of the mixture's collection, also such that do not train.
            count: how many batches of each.
            host_rows: the rows of each batch that this process reads; by default all.
        """
        cached = cache.ensure(tasks, self._validation_view(count), self.config.build_options())
        found = {}
        for task, split in self._with_prompts(cached).splits.items():
            alone = dataclasses.replace(self, rates={task: 1.0})
            report = dataclasses.replace(cached, splits={task: split})
            stream = alone._batches(report, host_rows, seed=0, prefetch=0)
            found[task] = [next(stream) for _ in range(count)]
        return found

    def _validation_view(self, count: int) -> View:
        limits = {
            'max_examples': self.config.batch_size * count,
            'templates': self.mixture.templates_per_task,
        }
        asked = self.view('train').prompt_mix
        return dataclasses.replace(self.view('validation'), renderings=1, prompt_mix=asked, **limits)

    def _batches(
        self,
        cached: cache.CacheReport,
        host_rows: Sequence[int] | None,
        seed: int,
        prefetch: int,
        groups: Mapping[str, int] | None = None,
        stages: Stages = (),
    ) -> TrainBatches:
        config = self.config
        return batches.train_iterator(
            list(cached.splits.values()),
            [self.rates[task] for task in cached.splits],
            feature_lengths=config.feature_lengths,
            batch_size=config.batch_size,
            seed=seed,
            converter=self.converter,
            pack=config.pack,
            window=config.window,
            host_rows=host_rows,
            prefetch=prefetch,
            groups=groups,
            stages=stages,
        )

    def manifest(self) -> dict[str, Any]:
        """Describe the data for the manifest: sources, versions, counts, caps, rates, what is cut, and what
        was skipped and why.
        """
        cached = self.cached.to_json()
        tasks = {}
        for entry in self.mixture.entries:
            if entry.task in self.rates:
                longer = self.cached.splits[entry.task].lengths > np.array(self.lengths)
                cut = dict(zip(('inputs', 'targets'), longer.sum(axis=0).tolist(), strict=True))
                own = {
                    'cluster': entry.cluster,
                    'max_examples': entry.max_examples,
                    'max_rate': entry.max_rate,
                }
                tasks[entry.task] = (
                    cached['tasks'][entry.task]
                    | own
                    | {'rate': self.rates[entry.task], 'cut_to_feature_lengths': cut}
                )
        recorded = (
            'name',
            'held_out',
            'removed',
            'scheme',
            'temperature',
            'lineage',
            'shared',
            'templates_per_task',
            'drop',
        )
        mixture = {name: getattr(self.mixture, name) for name in recorded}
        described = {name: getattr(self.vocabulary, name) for name in ('name', 'size')} | {
            'fingerprint': self.vocabulary.fingerprint()
        }
        return {
            'mixture': mixture,
            'style': self.config.style,
            'vocabulary': described,
            'feature_lengths': self.config.feature_lengths,
            'batch_size': self.config.batch_size,
            'seed': self.seed,
            'tasks': tasks,
            'stages': [{'first_step': step, 'rates': dict(rates)} for step, rates in self.stages],
            'skipped': cached['skipped'],
        }
