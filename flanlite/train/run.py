"""A training run, top to bottom."""

import contextlib
import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import gin
import jax
import numpy as np

from flanlite.cli import gin_config
from flanlite.data.batches import batches
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, view_of
from flanlite.data.mixing import mixtures
from flanlite.data.tokens import vocabularies
from flanlite.mesh import partitioning
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import kinds
from flanlite.model.flops import ideal_seconds, train_step_flops
from flanlite.model.models import ModelConfig
from flanlite.train import optimizers
from flanlite.train.begin import begin
from flanlite.train.checkpoints import CheckpointConfig, Checkpoints
from flanlite.train.explain import show
from flanlite.train.interrupts import Interrupts
from flanlite.train.journal import Journal, read_metrics, write_whole
from flanlite.train.meter import Meter
from flanlite.train.optimizers import Optimizer
from flanlite.train.profiler import Profiler
from flanlite.train.state import TrainState
from flanlite.train.step import StepConfig, jit_eval_step, jit_train_step
from flanlite.train.weights_biases import WandbConfig, WandbLog
from flanlite.version import __version__

HINT_WINDOW = 1_024  # examples: a look at the lengths, not a measurement


class TrainResult(NamedTuple):
    """Where a run ended: its folder, the last step, and the last training record of metrics.jsonl."""

    model_dir: pathlib.Path
    step: int
    metrics: dict[str, Any]


@gin.configurable
def train(
    model_dir: str,
    mixture_or_task_name: str,
    task_feature_lengths: Mapping[str, int],
    train_steps: int,
    batch_size: int,
    optimizer: Optimizer,
    config: ModelConfig | None = None,
    vocabulary: str | None = None,
    *,
    style: str = 'instructions',
    held_out: str | None = None,
    initial_checkpoint_path: str | None = None,
    restore_optimizer: bool = False,
    frozen: Sequence[str] = (),
    ema_decay: float | None = None,
    seed: int = 0,
    log_every_steps: int = 10,
    eval_every_steps: int | None = None,
    eval_batches: int = 8,
    fail_fast: bool = False,
    explain: bool = False,
) -> TrainResult:
    """Train, or go on training, until `train_steps`; a run that is done returns at once.

    SIGTERM and Ctrl-C let the step end, save, and leave: with exit status 143, or with `KeyboardInterrupt` (130 from the command line).
    What a killed run did after its last checkpoint is done again, with the same losses.

    Args:
        model_dir: the run's folder; holds `checkpoints/`, `metrics.jsonl`, TensorBoard events, `config.gin` and `manifest.json`.
        mixture_or_task_name: a name for `mixtures.resolve`.
        task_feature_lengths: tokens in a row, {'inputs': S, 'targets': T}; longer examples are cut.
        train_steps: the last step.
        batch_size: packed rows in a step's batch, over all devices.
        optimizer: from `flanlite.train.optimizers`.
        config: the model; by default what gin says, see `kinds.model`.
        vocabulary: a name for `vocabularies.load`; by default the collection's.
        style: `instructions`, or `fields` for the ablation without them; see `specs.STYLES`.
        held_out: a cluster to leave out, together with those that overlap with it.
        initial_checkpoint_path: parameters to begin with, for `parameters.load_params`; by default they are drawn.
        restore_optimizer: take that checkpoint's optimizer state and step, too, and go on to `train_steps` from there, as T5X does.
        frozen: patterns of parameters to leave as they are: regular expressions for whole names, such as 'encoder/.*'.
        ema_decay: of a moving average of the parameters, kept and evaluated beside them; for example 0.999.
        seed: of parameters, dropout and the order of the data.
        log_every_steps: steps that a record in metrics.jsonl is of.
        eval_every_steps: how often the loss on the validation split is computed; never by default.
        eval_batches: how many batches of it.
        fail_fast: stop when a task cannot be cached, instead of skipping it.
        explain: only print where every parameter would lie on the mesh.

    Raises:
        ValueError: a setting that cannot work, before anything expensive.
        NonFiniteLoss: the loss or gradient is no number; names the step.
    """
    # Mesh.
    partitioning.join_processes()
    partitioning.keep_compiled(cache.cache_folder() / 'jax')
    partitioner, settings, saving, wandb = partitioning.make_partitioner(), StepConfig(), CheckpointConfig(), WandbConfig()
    config = config or kinds.model()
    optimizer = optimizers.average(optimizers.freeze(optimizer, frozen), ema_decay)
    check(config, partitioner, settings, saving, batch_size, train_steps, evaluates=eval_every_steps is not None)
    first = jax.process_index() == 0
    if explain:
        if first:
            show(config, optimizer, partitioner)
        return TrainResult(pathlib.Path(model_dir), 0, {})

    with contextlib.ExitStack() as stack:
        # Done already?
        checkpoints = stack.enter_context(contextlib.closing(Checkpoints(model_dir, saving)))
        start_step = checkpoints.latest_step() or 0
        if start_step >= train_steps:
            if first:
                print(f'{mixture_or_task_name}: already at step {start_step} in {model_dir}')
            return TrainResult(pathlib.Path(model_dir), start_step, last_record(model_dir))

        # Mixture: by name only, for now.
        data = TrainingData.resolve(
            mixture_or_task_name, task_feature_lengths, batch_size, seed, held_out, vocabulary, style, config.converter
        )
        config.check_vocabulary(data.vocabulary.name, data.vocabulary.size)

        # State: restored, begun from a checkpoint, or drawn. Before the data, which may take long, so that what does not fit shows.
        run_seed = partitioner.replicate(np.uint32(seed % 2**32))
        initial = (initial_checkpoint_path, restore_optimizer)
        state, position, unlogged = begin(checkpoints, config, optimizer, partitioner, run_seed, *initial, train_steps)
        start_step = int(state.step)
        profiler = stack.enter_context(Profiler(model_dir, start_step, train_steps))

        # Data.
        data = data.build(fail_fast)
        stream = stack.enter_context(contextlib.closing(data.batches(partitioner, position)))
        evaluate = data.evaluator(config, settings, partitioner, eval_batches) if eval_every_steps else None

        # What is written beside the checkpoints.
        config_text = gin_config.resolved()
        manifest = data.describe() | describe(config, partitioner, initial_checkpoint_path, train_steps)
        if first:
            write_whole(pathlib.Path(model_dir) / 'manifest.json', json.dumps(manifest, indent=1))
            write_whole(pathlib.Path(model_dir) / 'config.gin', config_text)
        remote = WandbLog(model_dir, wandb, manifest | {'gin': config_text}) if first and wandb.project else None
        journal = Journal(model_dir, data.mixture.name, start_step, train_steps, active=first, wandb=remote)
        stack.callback(journal.close)
        if start_step:
            journal.say(f'goes on from step {start_step} in {model_dir if position else initial_checkpoint_path}')
        elif first:
            data.hint(journal.say)

        # Loop. The devices run ahead of the records, so that no step but the first, which compiles, is waited for.
        train_step = jit_train_step(config, optimizer, settings, partitioner)
        flops = train_step_flops(config, batch_size, data.feature_lengths['inputs'], data.feature_lengths['targets'])
        ideal = ideal_seconds(flops, partitioner.mesh.devices.flat[0].device_kind, partitioner.mesh.size)
        meter = Meter(data.capacity(), log_every_steps, train_steps, unlogged, ideal)
        interrupts = stack.enter_context(Interrupts())
        size, mesh = sum(leaf.size for leaf in jax.tree.leaves(state.params)), f'{partitioner.data_size} x {partitioner.model_size}'
        journal.say(f'{size:,} parameters, {flops:.3g} FLOPs a step, mesh {mesh}; compiling the train step ...')
        began = time.perf_counter()
        for step in range(start_step + 1, train_steps + 1):
            waits = time.perf_counter()
            batch = partitioner.place(next(stream))
            waited = time.perf_counter() - waits
            profiler.before(step)
            with jax.transfer_guard('disallow'):
                state, sums = train_step(state, batch, run_seed)
                journal.write(*meter.add(step, sums, waited))
            if step == start_step + 1:
                jax.block_until_ready(sums)
                journal.say(f'the first step took {time.perf_counter() - began:.1f} s')
            profiler.after(step, sums, journal.say)
            stopped = interrupts.requested(step)
            evaluates = evaluate and not stopped and (step % eval_every_steps == 0 or step == train_steps)
            saves = stopped or step % saving.every_steps == 0 or step == train_steps
            if evaluates or saves:
                journal.write(*meter.finish())  # so that nothing is saved whose loss was not looked at
            if evaluates:
                journal.write({'step': step, **evaluate(state)})
            if saves:
                checkpoints.save(
                    state, step=step, position=stream.get_state(), unlogged=meter.get_unlogged(), config_text=config_text,
                    manifest=manifest, metrics=journal.last,
                )  # fmt: skip
            if evaluates or saves:
                meter.restart_clock()
            if stopped:
                break
        checkpoints.wait()
        if interrupts.received:
            journal.say(f'interrupted; saved step {step}, the same command goes on from there')
            interrupts.leave()
        return TrainResult(pathlib.Path(model_dir), step, dict(journal.last))


def check(
    config: ModelConfig,
    partitioner: Partitioner,
    settings: StepConfig,
    saving: CheckpointConfig,
    batch_size: int,
    train_steps: int,
    evaluates: bool,
) -> None:
    """Refuse settings that cannot work together."""
    partitioner.check_batch(batch_size, settings.microbatches)
    partitioner.check_heads(config.num_heads)
    if train_steps < 1:
        raise ValueError(f'TRAIN_STEPS is {train_steps}, expected at least 1')
    saving.check_metric(evaluates=evaluates)


def describe(config: ModelConfig, partitioner: Partitioner, initial_checkpoint_path: str | None, train_steps: int) -> dict[str, Any]:
    """Say for the manifest what is trained where, beside the data."""
    return {
        'model': dataclasses.asdict(config), 'initial_checkpoint_path': initial_checkpoint_path, 'train_steps': train_steps,
        'mesh': dict(partitioner.mesh.shape), 'flanlite': __version__, 'jax': jax.__version__,
    }  # fmt: skip


def last_record(model_dir: str) -> dict[str, Any]:
    """Merge a run's records, the newest value of each."""
    merged: dict[str, Any] = {}
    for record in read_metrics(model_dir):
        merged |= record
    return merged


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run trains on: a mixture, the shape of its batches, and, once `build` was called, its tasks' cached splits and rates."""

    mixture: mixtures.Mixture
    vocabulary: vocabularies.Vocabulary
    style: str
    feature_lengths: dict[str, int]
    batch_size: int
    seed: int
    converter: str
    cached: cache.CacheReport = dataclasses.field(default_factory=lambda: cache.CacheReport({}, {}))
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def resolve(
        cls,
        name: str,
        feature_lengths: Mapping[str, int],
        batch_size: int,
        seed: int,
        held_out: str | None,
        vocabulary: str | None,
        style: str,
        converter: str,
    ) -> 'TrainingData':
        """Find the mixture and the vocabulary; reads no data."""
        batches.check_lengths(feature_lengths)
        mixture = mixtures.resolve(name, held_out=held_out)
        loaded = vocabularies.load(vocabulary or mixture.vocabulary)
        return cls(mixture, loaded, style, dict(feature_lengths), batch_size, seed, converter)

    def build(self, fail_fast: bool) -> 'TrainingData':
        """Build what the cache lacks, and weigh the tasks."""
        view = view_of(self.mixture, 'train', self.vocabulary, self.feature_lengths, self.style)
        cached = cache.ensure([entry.task for entry in self.mixture.entries], view, BuildOptions(fail_fast=fail_fast))
        if not cached.splits:
            reasons = '; '.join(f'{task}: {reason}' for task, reason in cached.skipped.items())
            raise ValueError(f'no task of the mixture {self.mixture.name!r} could be cached: {reasons}')
        rates = mixtures.rates(self.mixture, {task: split.num_examples for task, split in cached.splits.items()})
        return dataclasses.replace(self, cached=cached, rates=rates)

    def hint(self, say: Callable[[str], None]) -> None:
        """Say how well these lengths fill the rows, and which would fill them better, where that is much."""
        if 'encoder' not in self.capacity():
            return  # rows that hold both need no balance
        splits = list(self.cached.splits.values())
        now, better = batches.hint_shape(splits, [self.rates[split.name] for split in splits], self.feature_lengths, window=HINT_WINDOW)
        if better.encoder_fill + better.decoder_fill > now.encoder_fill + now.decoder_fill + 0.1:
            shape = {'inputs': self.feature_lengths['inputs'], 'targets': better.targets}
            say(
                f'these lengths fill {now.encoder_fill:.2f} of the encoder and {now.decoder_fill:.2f} of the decoder; '
                f'TASK_FEATURE_LENGTHS={shape} would fill {better.encoder_fill:.2f} and {better.decoder_fill:.2f}'
            )

    def capacity(self) -> dict[str, int]:
        """Count the tokens that a batch has room for, by side."""
        room = batches.CONVERTERS[self.converter].room(batches.check_lengths(self.feature_lengths))
        return {side: self.batch_size * tokens for side, tokens in room.items()}

    def batches(self, partitioner: Partitioner, position: Mapping[str, Any] | None = None) -> Any:
        """Open this process's share of the endless training batches, at a position or the beginning."""
        stream = self._iterator(self.cached, partitioner, self.seed)
        if position:
            stream.set_state(position)
        return stream

    def _iterator(self, cached: cache.CacheReport, partitioner: Partitioner, seed: int, **options: Any) -> Any:
        return batches.train_iterator(
            list(cached.splits.values()), [self.rates[task] for task in cached.splits], feature_lengths=self.feature_lengths,
            batch_size=self.batch_size, seed=seed, converter=self.converter,
            host_rows=partitioner.host_rows(self.batch_size), **options,
        )  # fmt: skip

    def evaluator(
        self, config: ModelConfig, settings: StepConfig, partitioner: Partitioner, num_batches: int
    ) -> Callable[[TrainState], dict[str, float]]:
        """Make a function of the state: loss and accuracy on the same batches of the validation split each time, of the average too."""
        rows = self.batch_size * num_batches
        view = view_of(self.mixture, 'validation', self.vocabulary, self.feature_lengths, self.style, rows, scored=False)
        cached = cache.ensure(list(self.rates), view)
        iterator = self._iterator(cached, partitioner, 0, prefetch=0)
        held = [next(iterator) for _ in range(num_batches)]
        eval_step = jit_eval_step(config, settings, partitioner)

        def means(params: Any, label: str) -> dict[str, float]:
            sums = [jax.device_get(eval_step(params, partitioner.place(batch))) for batch in held]
            weights = math.fsum(float(each['weight_sum']) for each in sums)
            return {label + name: math.fsum(float(each[name]) for each in sums) / weights for name in ('loss', 'accuracy')}

        def evaluate(state: TrainState) -> dict[str, float]:
            return means(state.params, 'eval_') | (means(state.ema, 'eval_ema_') if state.ema is not None else {})

        return evaluate

    def describe(self) -> dict[str, Any]:
        """Say for the manifest what the data is: sources, versions, counts, caps, rates, what is cut, and what was skipped and why."""
        cached = self.cached.to_json()
        tasks = {}
        for entry in self.mixture.entries:
            if entry.task in self.rates:
                longer = self.cached.splits[entry.task].lengths > np.array(batches.check_lengths(self.feature_lengths))
                cut = dict(zip(('inputs', 'targets'), longer.sum(axis=0).tolist(), strict=True))
                own = {'cluster': entry.cluster, 'max_examples': entry.max_examples, 'max_rate': entry.max_rate}
                tasks[entry.task] = cached['tasks'][entry.task] | own | {'rate': self.rates[entry.task], 'cut_to_feature_lengths': cut}
        recorded = ('name', 'held_out', 'removed', 'scheme', 'temperature', 'lineage', 'shared', 'templates_per_task', 'drop')
        mixture = {name: getattr(self.mixture, name) for name in recorded}
        described = {name: getattr(self.vocabulary, name) for name in ('name', 'size')} | {'fingerprint': self.vocabulary.fingerprint()}
        return {
            'mixture': mixture, 'style': self.style, 'vocabulary': described, 'feature_lengths': self.feature_lengths,
            'batch_size': self.batch_size, 'seed': self.seed, 'tasks': tasks, 'skipped': cached['skipped'],
        }  # fmt: skip
