"""Checkpoints of a run, through Orbax: parameters, optimizer, moving average, data position, configuration
and manifest.
"""

import asyncio
import contextlib
import errno
import itertools
import logging
import math
import os
import pathlib
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers
from orbax.checkpoint.path import atomicity

from flanlite import checksums
from flanlite.config import closest, value
from flanlite.limits import Count, Whole, one_of
from flanlite.model import adapters
from flanlite.model.models import ModelConfig
from flanlite.paths import absolute, check_folder
from flanlite.training import watch
from flanlite.training.fit import abstract_params, check_shapes, shapes_by_name
from flanlite.training.state import TrainState, like

# Orbax warns whenever a checkpoint is opened read-only, which is intended here, or lacks a file, which its
# checksums tell; what its threads log as an error is raised as well.
logging.getLogger('absl').addFilter(
    lambda record: (
        record.levelno < logging.ERROR
        and not re.search('is read only|^Metadata file does not exist', record.getMessage())
    )
)

FOLDER = 'checkpoints'
DAMAGED = 'damaged'  # folder of a run's damaged checkpoints, which were put aside
METRICS = ('loss', 'accuracy')  # of a run's records, and of its evaluations with eval_ before
EMA = 'ema'  # the item that holds the moving average of the parameters
UNFINISHED = '.orbax-checkpoint-tmp'  # part of the names of unfinished folders, which a killed run leaves
SEALS = (  # and the folder
    'one that an earlier version wrote, or that was changed on purpose, is sealed by python -m '
    'flanlite.checksums'
)
STILL_WRITES = 5.0  # seconds that other threads may still write of a checkpoint that failed
SHOWN = 200  # characters of another library's error
Tree = Any


@value
class CheckpointConfig:
    """When a run saves checkpoints, and which of them it keeps.

    Args:
        every_steps: a checkpoint is saved at each multiple of this, and at the last step.
        keep_last: number of the newest checkpoints that are kept.
        keep_best: number of the best checkpoints that are kept beside them.
        best_metric: the metric that orders checkpoints; `eval_loss` and `eval_accuracy` need evaluation
            during the run.
        best_mode: whether the 'min' or the 'max' of it is best; by default the greatest accuracy, and the
            least of others.
        fall_back: where the newest checkpoint is damaged, put it aside and go on from the newest whole one.
    """

    every_steps: Count = 500
    keep_last: Count = 2
    keep_best: Whole = 0
    best_metric: str = 'eval_loss'
    best_mode: Annotated[str, one_of('min', 'max')] | None = None
    fall_back: bool = False

    def check_metric(self, evaluates: bool, averages: bool) -> None:
        """Raise a `ValueError` if checkpoints are ordered by a metric that the run does not have.

        Args:
            evaluates: whether the run evaluates.
            averages: whether it keeps a moving average of the parameters, which is then evaluated too.
        """
        if not self.keep_best:
            return
        known = [*METRICS, *(f'eval_{name}' for name in METRICS), *(f'eval_ema_{name}' for name in METRICS)]
        if self.best_metric not in known:
            raise ValueError(
                f'CheckpointConfig.best_metric is {self.best_metric!r}; {closest(self.best_metric, known)}'
                f'the metrics of a run are {", ".join(known)}'
            )
        if self.best_metric.startswith('eval_ema_') and not averages:
            raise ValueError(
                f'CheckpointConfig.best_metric is {self.best_metric!r}, but no moving average is kept; set '
                'TrainConfig.ema_decay'
            )
        if self.best_metric.startswith('eval_') and not evaluates:
            raise ValueError(
                f'CheckpointConfig.best_metric is {self.best_metric!r}, but nothing is evaluated; set '
                'RecordsConfig.eval_every_steps'
            )

    def policy(self) -> checkpoint_managers.PreservationPolicy:
        """Return Orbax's rule of which checkpoints to keep."""
        latest = checkpoint_managers.LatestN(self.keep_last)
        if not self.keep_best:
            return latest
        return checkpoint_managers.AnyPreservationPolicy([latest, Best(self)])

    def goodness(self, metrics: Mapping[str, float] | None) -> float | None:
        """Return a number that is higher for better checkpoints, or None if `best_metric` was not measured.

        Args:
            metrics: the checkpoint's; None if it was saved without.
        """
        found = (metrics or {}).get(self.best_metric)
        if found is None or not math.isfinite(found):
            return None
        mode = self.best_mode or ('max' if self.best_metric.endswith('accuracy') else 'min')
        return found if mode == 'max' else -found


class Best(NamedTuple):
    """Orbax's rule that keeps the best checkpoints; of equal ones, the newest. Orbax's own `BestN` fills up
    with checkpoints that lack the metric.
    """

    settings: CheckpointConfig

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Say of each checkpoint, in the order of steps, whether it is among the best."""
        del context
        goodness = [self.settings.goodness(info.metrics) for info in checkpoints]
        measured = [index for index, found in enumerate(goodness) if found is not None]
        best = sorted(measured, key=goodness.__getitem__)[-self.settings.keep_best :]
        return [index in best for index in range(len(checkpoints))]


class OrbaxPath(type(epath.Path('/'))):
    """A path for Orbax. Its own take `[` and `*` in a folder's name for a pattern when they look for files,
    so that what it wrote into such a folder could not be read.
    """

    def glob(self, pattern: str) -> Iterator['OrbaxPath']:
        """Find files below this folder by a pattern, of which this folder's own name is no part."""
        yield from map(type(self), pathlib.Path(self).glob(pattern))


class SealedPath(atomicity.AtomicRenameTemporaryPath):
    """Orbax's path of a checkpoint that is being written, which gets its checksums before its name: what
    bears the name of a step was whole once.
    """

    async def finalize(self) -> None:
        """Seal what was written, if it is a whole checkpoint and not an item of one, and rename it."""
        if self._checkpoint_metadata_store:
            await asyncio.to_thread(self._checkpoint_metadata_store.wait_until_finished)
        if self.get_final().name.isdecimal():
            await asyncio.to_thread(checksums.write, self.get())
        await asyncio.to_thread(os.rename, self.get(), self.get_final())


class Restored(NamedTuple):
    """What a run continues from: the state, the position in the data, and the sums that no record holds yet
    (`Meter.get_unlogged`).
    """

    state: TrainState
    position: dict[str, Any] | None
    unlogged: dict[str, float]


class Checkpoints:
    """The checkpoints in a run's folder.

    Saving returns as soon as the state is copied from the devices; a thread writes it while the next steps
    run. A checkpoint is written under another name, sealed with its checksums and then renamed, so a process
    killed at any moment leaves complete checkpoints only; what is read is checked against them first.

    Args:
        model_dir: the run's folder.
        settings: what to keep; None opens the checkpoints read-only.

    Raises:
        ValueError: the folder is a URL of a bucket, or has a backslash in its path; a damaged checkpoint
            cannot be listed.
        OSError: the folder cannot be written.
    """

    def __init__(self, model_dir: str | os.PathLike[str], settings: CheckpointConfig | None = None) -> None:
        self.path = pathlib.Path(absolute(model_dir)) / FOLDER
        check_backslash(self.path)
        self._failed = False
        self._looked = -math.inf  # when the bytes of a checkpoint that is being written were counted last
        self._grown: tuple[int | None, float] = None, math.inf  # how many, and since when
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        if settings is None:
            options = ocp.CheckpointManagerOptions(read_only=True, save_interval_steps=0, create=False)
        else:
            check_folder(model_dir, 'name another MODEL_DIR, with --model_dir')
            # Now: Orbax cleans up in a thread, and logs an error if the run ends first.
            if jax.process_index() == 0:
                self._remove_unfinished()
            # Orbax writes metrics, which it reads when it is opened again, only where `best_fn` is set.
            options = ocp.CheckpointManagerOptions(
                preservation_policy=settings.policy(),
                best_fn=settings.goodness,
                temporary_path_class=SealedPath,
            )
        # Compression would make float32 weights 10% smaller, and writing and reading 50% slower.
        handlers = {
            name: ocp.PyTreeCheckpointHandler(use_compression=False) for name in ('params', EMA, 'optimizer')
        }
        handlers |= {name: ocp.JsonCheckpointHandler() for name in ('position', 'config', 'manifest')}
        try:
            self._manager = ocp.CheckpointManager(
                OrbaxPath(self.path), item_handlers=handlers, options=options
            )
        except Exception:  # it reads what was measured at each step
            for step in steps(self.path):
                if (self.path / str(step) / 'metrics').is_dir():
                    self.check(step, 'metrics')
            raise

    def check(self, step: int, *items: str) -> None:
        """Read items of a checkpoint, by default all, against their checksums.

        Raises:
            ValueError: they are not what was written; says what is wrong, and which checkpoint is whole.
        """
        folder = self.path / str(step)
        if why := checksums.fault(folder, items or None):
            sealed = f'; {SEALS} {folder}' if why == checksums.ABSENT else ''
            raise ValueError(f'the checkpoint {folder} is damaged: {why}; {self._remedy(step)}{sealed}')

    def _remedy(self, damaged: int) -> str:
        """Say what to do about a damaged checkpoint."""
        if (whole := newest_whole(self.path, without=damaged)) is None:
            return 'no other one is whole: begin a new run, with another MODEL_DIR'
        return (
            f'the newest whole one is {self.path / str(whole)}: name that, or go on from it with --fall_back '
            '(CheckpointConfig.fall_back = True)'
        )

    def latest_step(self) -> int | None:
        """Return the step of the last complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(
        self,
        train_state: TrainState,
        *,
        step: int,
        position: Mapping[str, Any],
        unlogged: Mapping[str, float],
        config: Mapping[str, Any],
        manifest: Mapping[str, Any],
        metrics: Mapping[str, float],
        adapter: bool = False,
    ) -> None:
        """Start to save a checkpoint.

        Args:
            train_state: the state after `step` steps.
            step: the checkpoint's name.
            position: of the data.
            unlogged: sums that no record in metrics.jsonl holds yet.
            config: the run's settings, as JSON holds them.
            manifest: see `flanlite.training.run`.
            metrics: what was measured at this very step; without `best_metric` it is none of the best.
            adapter: save the parameters of an adapter alone, and not those of the model that it belongs to.

        Raises:
            OSError: this checkpoint, or the one before, cannot be written.
        """

        def kept(tree: Tree) -> ocp.args.PyTreeSave:
            return ocp.args.PyTreeSave(adapters.parts(tree)[1] if adapter else tree)

        averaged = {} if train_state.ema is None else {EMA: kept(train_state.whole(train_state.ema))}
        items = ocp.args.Composite(
            **averaged,
            params=kept(train_state.whole()),
            optimizer=ocp.args.PyTreeSave({'step': train_state.step, 'state': train_state.opt_state}),
            position=ocp.args.JsonSave({'data': dict(position), 'unlogged': dict(unlogged)}),
            config=ocp.args.JsonSave(dict(config)),
            manifest=ocp.args.JsonSave(dict(manifest)),
        )
        self.wait()
        with self._writing(), watch.within(watch.WAITS, f'beginning the checkpoint {self.path / str(step)}'):
            if jax.process_index() == 0:
                (probe := self.path / f'{step}{UNFINISHED}.probe').mkdir()  # or Orbax's threads would wait
                probe.rmdir()
            self._manager.save(step, args=items, metrics=dict(metrics), force=True)

    def restore(self, step: int, abstract: TrainState, config: ModelConfig) -> Restored:
        """Restore a checkpoint with the shardings of `abstract`; it may have been saved from any mesh.

        Args:
            step: the checkpoint's.
            abstract: shapes, dtypes and shardings of the state.
            config: the model's. With an adapter, of the frozen parameters only the shapes come back.

        Raises:
            ValueError: the checkpoint's parameters have other shapes, or its optimizer or moving average are
                other ones.
        """
        self.check(step)
        params, saved = self._shapes(step, 'params', 'optimizer')
        whole = abstract.whole()
        kept = adapters.parts(whole)[1] if config.adapter else whole
        check_shapes(params, kept, config, self.manifest(step).get('model'), f'{self.path}/{step}')
        optimizer = {'step': abstract.step, 'state': abstract.opt_state}
        if saved != shapes_by_name(optimizer):
            raise ValueError(
                f'{self.path}/{step} holds the state of another optimizer; set the optimizer that the run '
                'began with, '
                'or begin a new run from its parameters: another MODEL_DIR, and '
                f'INITIAL_CHECKPOINT_PATH={self.path}/{step}'
            )
        if self._has_average(step) != (abstract.ema is not None):
            kept = 'a' if self._has_average(step) else 'no'
            raise ValueError(
                f'{self.path}/{step} holds {kept} moving average of the parameters; set '
                'TrainConfig.ema_decay as the run began with'
            )
        averaged = {} if abstract.ema is None else {EMA: restore_args(kept)}
        restored = self._read(
            step,
            **averaged,
            params=restore_args(kept),
            optimizer=restore_args(optimizer),
            position=ocp.args.JsonRestore(),
        )

        def filled(half: Tree, item: Tree) -> Tree:
            return like(half, adapters.put_together(whole, item))

        train_state = TrainState(
            restored.optimizer['step'],
            filled(abstract.params, restored.params),
            restored.optimizer['state'],
            None if abstract.ema is None else filled(abstract.ema, restored[EMA]),
            filled(abstract.frozen, restored.params),
        )
        return Restored(train_state, restored.position['data'], restored.position['unlogged'])

    def restore_params(
        self,
        step: int,
        config: ModelConfig,
        shardings: Tree | None = None,
        item: str = 'params',
        dtype: str = 'float32',
    ) -> Tree:
        """Restore only a checkpoint's parameters, or their moving average; of a model with an adapter, only
        the adapter's.

        Args:
            step: the checkpoint's.
            config: the model's.
            shardings: tree of shardings; by default everything goes to this process's first device.
            item: `params` or `ema`.
            dtype: of the parameters.

        Raises:
            ValueError: the parameters have other shapes, or there is no moving average.
        """
        self.item_folder(step, item)  # checks it
        abstract = abstract_params(config, shardings, dtype)
        abstract = adapters.parts(abstract)[1] if config.adapter else abstract
        check_shapes(
            *self._shapes(step, item),
            abstract,
            config,
            self.manifest(step).get('model'),
            f'{self.path}/{step}',
        )
        return self._read(step, **{item: restore_args(abstract)})[item]

    def item_folder(self, step: int, item: str) -> pathlib.Path:
        """Return the folder of a checkpoint's parameters, or of their moving average; a `ValueError` where
        there is none, or it is damaged.
        """
        if item == EMA and not self._has_average(step):
            raise ValueError(
                f'{self.path}/{step} holds no moving average of the parameters; name it without /{EMA}'
            )
        self.check(step, item)
        return self.path / str(step) / item

    def manifest(self, step: int) -> dict[str, Any]:
        """Read a checkpoint's manifest; a `ValueError` if it is damaged."""
        self.check(step, 'manifest')
        return self._read(step, manifest=ocp.args.JsonRestore()).manifest

    def check_written(self) -> None:
        """Raise an `OSError` if a checkpoint that is being written failed, or has not grown for
        `watch.WAITS` seconds.
        """
        with self._writing():
            self._manager.check_for_errors()
            now = time.monotonic()
            if not self._manager.is_saving_in_progress() or now - self._looked < 1:
                return
            self._looked, size = now, self._unfinished_bytes()
            if size != self._grown[0]:
                self._grown = size, now
            elif now - self._grown[1] > watch.WAITS:
                raise TimeoutError(f'it has not grown for {watch.WAITS:.0f} s')

    def wait(self) -> None:
        """Wait until all checkpoints are on disk; raise an `OSError` if one could not be written."""
        self.check_written()
        while self._manager.is_saving_in_progress():
            time.sleep(0.01)
            self.check_written()
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait until all checkpoints are on disk, and close them; of a run that failed before its first one,
        no empty folders stay, and of a checkpoint that could not be written nothing.
        """
        if self._failed:  # Orbax would wait for threads that wait for others
            until = time.monotonic() + STILL_WRITES
            while jax.process_index() == 0 and self._remove_unfinished() and time.monotonic() < until:
                time.sleep(0.1)
        else:
            self.wait()
            with self._writing():
                self._manager.close()
        with contextlib.suppress(OSError):  # not empty
            for folder in self._made:
                folder.rmdir()

    def _remove_unfinished(self) -> bool:
        left = list(self.path.glob(f'*{UNFINISHED}*'))
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return bool(left)

    def _unfinished_bytes(self) -> int | None:
        with contextlib.suppress(FileNotFoundError):  # it gets its name just now
            return sum(
                file.stat().st_size
                for folder in self.path.glob(f'*{UNFINISHED}*')
                for file in folder.rglob('*')
                if file.is_file()
            )
        return None

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Raise an `OSError` that names the folder and a remedy if a checkpoint, this one or an earlier one,
        cannot be written.
        """
        try:
            yield
        except Exception as error:  # of many kinds: from the system, Orbax or TensorStore
            self._failed = True
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            system = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS))
            reason = next((words for words in system if words in reason), reason[:SHOWN])
            raise OSError(
                f'cannot write a checkpoint to {self.path}: {reason}; free some space there, or set another '
                'MODEL_DIR; '
                'the same command goes on from the last whole checkpoint'
            ) from error

    def _read(self, step: int, **items: Any) -> Any:
        """Restore items of a checkpoint by Orbax's arguments for them."""
        with self._reading(step):
            return self._manager.restore(step, args=ocp.args.Composite(**items))

    @contextlib.contextmanager
    def _reading(self, step: int) -> Iterator[None]:
        """Raise a `ValueError` that names the checkpoint and a remedy if it cannot be read."""
        try:
            yield
        except Exception as error:  # of many kinds: from the system, Orbax, TensorStore or JSON
            reason = (str(error).splitlines() or [''])[0][:SHOWN]
            raise ValueError(
                f'cannot read the checkpoint {self.path / str(step)}: {type(error).__name__}: {reason}; '
                f'{self._remedy(step)}'
            ) from error

    def _has_average(self, step: int) -> bool:
        return (self.path / str(step) / EMA).is_dir()

    def _shapes(self, step: int, *items: str) -> list[dict[str, tuple[int, ...]]]:
        """Read the shapes of items' arrays by parameter name."""
        with self._reading(step):
            found = self._manager.item_metadata(step)
            return [shapes_by_name(found[item].tree) for item in items]


def saved_step(model_dir: str | os.PathLike[str]) -> int:
    """Return the step of the last complete checkpoint in a run's folder, 0 where there is none; nothing is
    made or removed, and no other process is waited for, as Orbax does where it opens a folder.
    """
    return max(steps(pathlib.Path(model_dir) / FOLDER), default=0)


def steps(folder: pathlib.Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, whole or not, the newest first."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def newest_whole(folder: pathlib.Path, without: int | None = None) -> int | None:
    """Return the step of the newest whole checkpoint in a folder, or None; all that are newer are read.

    Args:
        folder: of the checkpoints.
        without: a step that is known not to be whole.
    """
    others = (step for step in steps(folder) if step != without)
    return next((step for step in others if checksums.fault(folder / str(step)) is None), None)


def put_aside_damaged(model_dir: str | os.PathLike[str]) -> list[str]:
    """Move a run's damaged checkpoints to its folder `damaged`; say of each, as text, what is wrong with it
    and where it is now.

    Raises:
        ValueError: none is whole.
    """
    folder = pathlib.Path(model_dir) / FOLDER
    found = {step: checksums.fault(folder / str(step)) for step in steps(folder)}
    if found and all(found.values()):
        step, why = next(iter(found.items()))
        sealed = f'; {SEALS} {folder}/STEP' if checksums.ABSENT in found.values() else ''
        raise ValueError(
            f'none of the checkpoints in {folder} is whole, so that there is none to fall back to ({step}: '
            f'{why}); begin a new run, with another MODEL_DIR{sealed}'
        )
    moved = []
    for step, why in found.items():
        if why:
            aside = free_name(folder.parent / DAMAGED / str(step))
            aside.parent.mkdir(exist_ok=True)
            (folder / str(step)).rename(aside)
            moved.append(f'the checkpoint {folder / str(step)} is damaged: {why}; it is now {aside}')
    return moved


def free_name(path: pathlib.Path) -> pathlib.Path:
    """Return a path, with a number behind it if there is something already."""
    numbered = (path.with_name(f'{path.name}.{number}') for number in itertools.count(1))
    return next(each for each in itertools.chain([path], numbered) if not each.exists())


def check_backslash(path: pathlib.Path) -> None:
    """Raise a `ValueError` if there is a backslash in a path: TensorStore takes it for a slash, and would
    read and write another folder.
    """
    if '\\' in str(path):
        raise ValueError(
            f'there is a backslash in the path {path}, which TensorStore takes for a slash; rename that '
            'folder, or name another one'
        )


def restore_args(abstract: Tree) -> ocp.args.PyTreeRestore:
    """Return Orbax's arguments to restore arrays with the shapes, dtypes and shardings of `abstract`."""
    return ocp.args.PyTreeRestore(
        abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract)
    )
