"""A training run, top to bottom."""

import contextlib
import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from flanlite.config import ABSENT, SETTINGS_FILE, check_kind, check_own, to_json, to_lines, unsaved
from flanlite.data.cache import cache
from flanlite.data.training_data import TrainingData
from flanlite.mesh import partitioning, processes
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import adapters
from flanlite.model.flops import ideal_seconds, train_step_flops
from flanlite.model.kinds import fields_of
from flanlite.paths import check_folder
from flanlite.reading import read_json
from flanlite.training import lock, pcgrad, watch
from flanlite.training.bandit import Bandit, check_arms, jit_look_ahead
from flanlite.training.base import base_record
from flanlite.training.begin import begin, choose_vocabulary, run_seed
from flanlite.training.checkpoints import Checkpoints, put_aside_damaged, saved_step
from flanlite.training.config import TrainConfig
from flanlite.training.interrupts import Interrupts
from flanlite.training.journal import Journal, read_metrics
from flanlite.training.meter import Meter
from flanlite.training.profiler import Profiler
from flanlite.training.state import TrainState
from flanlite.training.step import abstract_state, jit_eval_step, jit_train_step
from flanlite.training.weights_biases import WandbLog
from flanlite.version import __version__
from flanlite.writing import write_whole

GIN_FILE = 'config.gin'


class TrainResult(NamedTuple):
    """Where a run ended: its folder, the last step, and the last training record of metrics.jsonl."""

    model_dir: pathlib.Path
    step: int
    metrics: dict[str, Any]


def train(config: TrainConfig, gin: str | None = None) -> TrainResult:
    """Train, or go on training, until `config.train_steps`; a run that is done returns at once.

    SIGTERM and Ctrl-C let the step end, save, and leave: with exit status 143, or with `KeyboardInterrupt`
    (130 from the command line). What a killed run did after its last checkpoint is done again, with the same
    losses.

    The run's folder holds `checkpoints/`, `metrics.jsonl`, TensorBoard events, `settings.json` (these
    settings) and `manifest.json`.

    Args:
        config: all that decides the run.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Raises:
        ValueError: a setting that cannot work, before anything expensive.
        NonFiniteLoss: the loss or gradient is no number; names the step.
    """
    check_kind(config, TrainConfig, 'train')

    # Mesh.
    processes.join()
    partitioning.keep_compiled(cache.cache_folder(config.data.cache_dir) / 'jax')
    partitioner = partitioning.make_partitioner(config.mesh)
    optimizer = config.make_optimizer()
    partitioner.check_batch(config.data.batch_size, config.step.microbatches)
    partitioner.check_heads(*config.model.head_counts)
    model, records, train_steps = config.model, config.records, config.train_steps
    model_dir = pathlib.Path(config.model_dir)
    first = jax.process_index() == 0

    with contextlib.ExitStack() as stack:
        # Done already?
        if first and config.checkpoints.fall_back and saved_step(model_dir):
            with lock.held(model_dir):
                for moved in put_aside_damaged(model_dir):
                    print(f'{config.data.mixture.name}: {moved}')
        processes.compare_settings(config)
        done = saved_step(model_dir)
        owed = owes_evaluation(model_dir, config, done)
        processes.compare('saved steps', {'the saved step': f'{done:,}', 'what it lacks': f'{owed}'})
        if done >= train_steps and not owed:
            with contextlib.closing(Checkpoints(model_dir)) as saved:
                saved.check(done)
            if first:
                other = other_settings(model_dir, config)
                remedy = ': for a run of these settings name another MODEL_DIR' if other else ''
                print(f'{config.data.mixture.name}: already at step {done} in {model_dir}{other}{remedy}')
            return TrainResult(model_dir, done, last_record(model_dir))
        if not done:
            names = (SETTINGS_FILE, 'manifest.json', GIN_FILE)
            check_own(model_dir, names, 'name another MODEL_DIR, with --model_dir')

        # Mixture: by name only, for now.
        vocabulary = choose_vocabulary(config)
        data = TrainingData.resolve(config.data, config.seed, model.converter, vocabulary, model.prompt)
        model.check_vocabulary(vocabulary.name, vocabulary.size)
        groups = pcgrad.number_groups(data.mixture.entries, config.step.pcgrad)
        if config.bandit:
            check_arms(data.mixture.entries, config.bandit.arms)
            partitioner.check_batch(config.bandit.rows or config.data.batch_size, config.step.microbatches)

        for note in config.notes() if first else ():
            print(f'{config.data.mixture.name}: {note}')

        # State: restored, begun from a checkpoint, or drawn. Before the data, which may take long, so that
        # what does not fit shows.
        abstract = abstract_state(model, optimizer, partitioner)
        jax.eval_shape(optimizer.transform.update, abstract.params, abstract.opt_state, abstract.params)
        check_folder(model_dir, 'name another MODEL_DIR, with --model_dir')
        if first:
            stack.enter_context(lock.held(model_dir))
        checkpoints = stack.enter_context(contextlib.closing(Checkpoints(model_dir, config.checkpoints)))
        seed = run_seed(config.seed, partitioner)
        state, position, unlogged = begin(checkpoints, config, optimizer, partitioner, abstract, data)
        start_step = int(state.step)
        config.check_start(start_step)
        profiler = stack.enter_context(Profiler(model_dir, start_step, train_steps, records.profile_steps))

        # Data.
        data = data.build()
        processes.compare('caches', {name: split.fingerprint() for name, split in data.cached.splits.items()})
        host_rows = partitioner.host_rows(config.data.batch_size)
        stream = stack.enter_context(contextlib.closing(data.batches(host_rows, position, groups)))
        evaluate = evaluator(data, config, partitioner) if records.eval_every_steps else None
        bandit = begin_bandit(data, config, partitioner, position)
        if bandit and 'bandit' not in (position or {}):
            stream.shift(bandit.rates())

        # What is written beside the checkpoints.
        settings = to_json(config)
        manifest = data.manifest() | {
            'model': fields_of(model),
            'initial_checkpoint_path': config.initial_checkpoint_path,
            'train_steps': train_steps,
            'mesh': dict(partitioner.mesh.shape),
            'flanlite': __version__,
            'jax': jax.__version__,
        }
        if model.adapter is not None:
            manifest['base'] = base_record(config.initial_checkpoint_path, adapters.parts(state.whole())[0])
        beside = {
            SETTINGS_FILE: json.dumps(settings, indent=1) + '\n',
            'manifest.json': json.dumps(manifest, indent=1),
        }
        beside |= {GIN_FILE: gin} if gin else {}
        logged = first and records.wandb.project
        remote = WandbLog(model_dir, records.wandb, manifest | {'config': settings}) if logged else None
        journal = Journal(model_dir, data.mixture.name, start_step, train_steps, active=first, wandb=remote)
        stack.callback(journal.close)
        if start_step:
            begun_in = model_dir if position else config.initial_checkpoint_path
            other = other_settings(model_dir, config) if position else ''
            journal.say(f'goes on from step {start_step} in {begun_in}{other}')
        elif first:
            data.hint(journal.say)
        if lost := unsaved(settings):
            journal.say(
                f'{SETTINGS_FILE} cannot hold {", ".join(lost)}, so that no run can begin from it; use '
                'functions that a module holds by name'
            )

        # Loop. The devices run ahead of the records, so that no step but the first, which compiles, is waited
        # for.
        num_groups = len(set(groups.values()))
        train_step = jit_train_step(model, optimizer, config.step, partitioner, num_groups)
        flops = train_step_flops(model, config.data.batch_size, *data.lengths)
        ideal = ideal_seconds(flops, partitioner.mesh.devices.flat[0].device_kind, partitioner.mesh.size)
        cached_in = cache.cache_folder(config.data.cache_dir)
        meter = Meter(data.capacity(), records.log_every_steps, train_steps, unlogged, ideal)
        interrupts = stack.enter_context(Interrupts())
        size, trained = (
            sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state.whole(), state.params)
        )
        trains = f' of which {trained:,} train,' if trained < size else ''
        mesh = f'{partitioner.data_size} x {partitioner.model_size}'
        if owed:
            journal.write({'step': start_step, **evaluate(state)})
        journal.say(
            f'{size:,} parameters,{trains} {flops:.3g} FLOPs a step, mesh {mesh}; compiling the train step '
            '...'
        )
        began, step = time.perf_counter(), start_step
        for step in range(start_step + 1, train_steps + 1):
            waits = time.perf_counter()
            with watch.within(watch.WAITS, f'reading a batch from {cached_in}'):
                rows = next(stream)
            batch = partitioner.place(rows)
            waited = time.perf_counter() - waits
            profiler.before(step)
            with jax.transfer_guard('disallow'):
                state, sums = train_step(state, batch, seed)
                journal.write(*meter.add(step, sums, waited))
            if step == start_step + 1:
                jax.block_until_ready(sums)
                journal.say(f'the first step took {time.perf_counter() - began:.1f} s')
                # Now: what fails before leaves the files of a run before.
                for name, text in beside.items() if first else ():
                    write_whole(model_dir / name, text)
            checkpoints.check_written()
            profiler.after(step, sums, journal.say)
            stopped = interrupts.requested(step)
            evaluates = evaluate and not stopped and evaluates_at(config, step)
            saves = stopped or step % config.checkpoints.every_steps == 0 or step == train_steps
            learns = bandit and step % config.bandit.every_steps == 0  # also where the run stops
            if evaluates or saves or learns:
                journal.write(*meter.finish())  # so that nothing is saved whose loss was not looked at
            if evaluates:
                journal.write({'step': step, **evaluate(state)})
            if learns:
                journal.write({'step': step, **bandit.learn(state)})
                stream.shift(bandit.rates())
            if saves:
                checkpoints.save(
                    state,
                    step=step,
                    position=stream.get_state() | ({'bandit': bandit.get_state()} if bandit else {}),
                    unlogged=meter.get_unlogged(),
                    config=settings,
                    manifest=manifest,
                    metrics=journal.measured_at(step),
                    adapter=model.adapter is not None,
                )
            if evaluates or saves or learns:
                meter.restart_clock()
            if stopped:
                break
        checkpoints.wait()
        if interrupts.received:
            journal.say(f'interrupted; saved step {step}, the same command goes on from there')
            interrupts.leave()
        journal.say(f'saved step {step} in {checkpoints.path / str(step)}')
        return TrainResult(model_dir, step, dict(journal.last))


def evaluates_at(config: TrainConfig, step: int) -> bool:
    """Return whether a step is one of those that are evaluated."""
    every = config.records.eval_every_steps
    if every is None or not 0 < step <= config.train_steps:
        return False
    return step % every == 0 or step == config.train_steps


def owes_evaluation(model_dir: pathlib.Path, config: TrainConfig, step: int) -> bool:
    """Return whether the evaluation of a saved step is not there: a run that is stopped saves, and leaves."""
    return evaluates_at(config, step) and not any(
        record['step'] == step and 'eval_loss' in record for record in read_metrics(model_dir)
    )


def other_settings(model_dir: pathlib.Path, config: TrainConfig) -> str:
    """Say which settings a run has had so far that are others now, but for what is kept of it and where;
    nothing where none is.
    """
    try:
        then, now = to_lines(read_json(model_dir / SETTINGS_FILE)), to_lines(config)
    except (OSError, ValueError):
        return ''
    beside = ('model_dir', 'train_steps', 'records.', 'checkpoints.', 'data.data_dir', 'data.cache_dir')
    changed = [
        name for name in {**then, **now} if then.get(name) != now.get(name) and not name.startswith(beside)
    ]
    if not changed:
        return ''
    told = ', '.join(
        f'{name} = {then.get(name, ABSENT)}, not {now.get(name, ABSENT)}' for name in changed[:3]
    )
    more = f', and {len(changed) - 3} more' if changed[3:] else ''
    return f'; it was trained with {told}{more}'


def last_record(model_dir: pathlib.Path) -> dict[str, Any]:
    """Merge a run's records, the newest value of each."""
    merged: dict[str, Any] = {}
    for record in read_metrics(model_dir):
        merged |= record
    return merged


def begin_bandit(
    data: TrainingData, config: TrainConfig, partitioner: Partitioner, position: dict[str, Any] | None
) -> Bandit | None:
    """Make the bandit of a run that has one, as it was at the position that the run goes on from.

    Raises:
        ValueError: the run goes on without the bandit that it began with, or with another.
    """
    saved = (position or {}).get('bandit')
    if config.bandit is None:
        if saved:
            raise ValueError(
                f'the checkpoint in {config.model_dir} has the state of a bandit; set TrainConfig.bandit as '
                'the run began with, or begin a new run from the checkpoint'
            )
        return None
    look = jit_look_ahead(config.model, config.make_optimizer(), config.step, partitioner)
    bandit = Bandit(config.bandit, data, look, partitioner)
    if saved:
        bandit.set_state(saved)
    return bandit


def evaluator(
    data: TrainingData, config: TrainConfig, partitioner: Partitioner
) -> Callable[[TrainState], dict[str, float]]:
    """Make a function of the state: loss and accuracy on the same batches of the validation split each time,
    of the average too.
    """
    held = data.validation_batches(config.records.eval_batches, partitioner.host_rows(config.data.batch_size))
    eval_step = jit_eval_step(config.model, config.step, partitioner)

    def means(params: Any, label: str) -> dict[str, float]:
        sums = [jax.device_get(eval_step(params, partitioner.place(batch))) for batch in held]
        weights = math.fsum(float(each['weight_sum']) for each in sums)
        return {
            label + name: math.fsum(float(each[name]) for each in sums) / weights
            for name in ('loss', 'accuracy')
        }

    def evaluate(state: TrainState) -> dict[str, float]:
        average = {} if state.ema is None else means(state.whole(state.ema), 'eval_ema_')
        return means(state.whole(), 'eval_') | average

    return evaluate
