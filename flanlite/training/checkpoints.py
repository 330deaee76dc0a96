"""Checkpoints of a run, through Orbax."""

import contextlib
import logging
import math
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from flanlite.config import value
from flanlite.mesh.partitioning import parameter_name
from flanlite.model import models
from flanlite.model.models import ModelConfig
from flanlite.training.state import TrainState

# Orbax warns of every checkpoint that is opened to be read only, which is what is asked for.
logging.getLogger('absl').addFilter(lambda record: 'is read only' not in record.getMessage())

FOLDER = 'checkpoints'
EMA = 'ema'  # the item that holds the moving average of the parameters
UNFINISHED = '.orbax-checkpoint-tmp'  # in the names of what a killed run was writing
Tree = Any


@value
class CheckpointConfig:
    """When a run saves and what it keeps.

    Args:
        every_steps: a checkpoint is saved at each multiple of this, and at the last step.
        keep_last: how many of the last checkpoints are kept.
        keep_best: how many of the best are kept beside them.
        best_metric: the metric that says which are best; `eval_loss` and `eval_accuracy` need evaluation during the run.
        best_mode: 'min' or 'max' of it.
    """

    every_steps: int = 500
    keep_last: int = 2
    keep_best: int = 0
    best_metric: str = 'eval_loss'
    best_mode: str = 'min'

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.keep_last < 1 or self.keep_best < 0:
            raise ValueError(
                f'every_steps and keep_last are at least 1 and keep_best is not below 0; '
                f'got {self.every_steps}, {self.keep_last} and {self.keep_best}'
            )
        if self.best_mode not in ('min', 'max'):
            raise ValueError(f"best_mode is {self.best_mode!r}, expected 'min' or 'max'")

    def check_metric(self, evaluates: bool) -> None:
        """Refuse to keep the best by a metric that the run will not compute."""
        if self.keep_best and self.best_metric.startswith('eval_') and not evaluates:
            raise ValueError(f'CheckpointConfig.best_metric is {self.best_metric!r}, but nothing is evaluated; set RecordsConfig.eval_every_steps')

    def policy(self) -> checkpoint_managers.PreservationPolicy:
        """Make Orbax's rule of what to keep."""
        latest = checkpoint_managers.LatestN(self.keep_last)
        if not self.keep_best:
            return latest
        sign = 1.0 if self.best_mode == 'max' else -1.0
        best = checkpoint_managers.BestN(
            get_metric_fn=lambda metrics: sign * metrics.get(self.best_metric, -sign * math.inf),
            n=self.keep_best,
            keep_checkpoints_without_metrics=False,
        )
        return checkpoint_managers.AnyPreservationPolicy([latest, best])


class Restored(NamedTuple):
    """What a run goes on from."""

    state: TrainState
    position: dict[str, Any] | None
    unlogged: dict[str, float]


class Checkpoints:
    """The checkpoints in a run's folder. Saving returns once the state is copied from the devices; writing goes on beside the next steps.

    A checkpoint is written beside its place and then renamed: a process killed at any moment leaves whole checkpoints only.

    Args:
        model_dir: the run's folder.
        settings: what to keep; None opens the checkpoints only to read them.
    """

    def __init__(self, model_dir: str | os.PathLike[str], settings: CheckpointConfig | None = None) -> None:
        if '://' in str(model_dir):
            raise ValueError(f'MODEL_DIR is {model_dir}, expected a folder; mount the bucket, with gcsfuse for example, and name the mount')
        self.path = pathlib.Path(os.path.abspath(model_dir)) / FOLDER
        if settings is None:
            options = ocp.CheckpointManagerOptions(read_only=True, save_interval_steps=0, create=False)
        else:
            check_writable(self.path, model_dir)
            if jax.process_index() == 0:  # at once: Orbax's own cleaning goes on beside, and complains where the run ends before it
                for left in self.path.glob(f'*{UNFINISHED}*'):
                    shutil.rmtree(left, ignore_errors=True)
            options = ocp.CheckpointManagerOptions(preservation_policy=settings.policy())
        # Compressed, float32 weights would take a tenth less room, and half as long again to write and to read.
        handlers = {name: ocp.PyTreeCheckpointHandler(use_compression=False) for name in ('params', EMA, 'optimizer')}
        handlers |= {name: ocp.JsonCheckpointHandler() for name in ('position', 'config', 'manifest')}
        self._manager = ocp.CheckpointManager(self.path, item_handlers=handlers, options=options)

    def latest_step(self) -> int | None:
        """Return the step of the last whole checkpoint, None where there is none."""
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
    ) -> None:
        """Begin to save a checkpoint.

        Args:
            train_state: the state after `step` steps.
            step: names the checkpoint.
            position: where the data stands.
            unlogged: the sums that no record in metrics.jsonl holds yet.
            config: the run's settings, as JSON holds them.
            manifest: see `flanlite.training.run`.
            metrics: what `best_metric` chooses from.
        """
        averaged = {} if train_state.ema is None else {EMA: ocp.args.PyTreeSave(train_state.ema)}
        items = ocp.args.Composite(
            **averaged,
            params=ocp.args.PyTreeSave(train_state.params),
            optimizer=ocp.args.PyTreeSave({'step': train_state.step, 'state': train_state.opt_state}),
            position=ocp.args.JsonSave({'data': dict(position), 'unlogged': dict(unlogged)}),
            config=ocp.args.JsonSave(dict(config)),
            manifest=ocp.args.JsonSave(dict(manifest)),
        )
        with self._writing():
            self._manager.save(step, args=items, metrics=dict(metrics), force=True)

    def restore(self, step: int, abstract: TrainState, config: ModelConfig) -> Restored:
        """Restore a checkpoint onto the shardings of `abstract`, whatever mesh it was saved from.

        Raises:
            ValueError: the checkpoint is of a model of another shape or of another optimizer.
        """
        found = self._shapes(step)
        check_shapes(found['params'], abstract.params, config, self.manifest(step).get('model'), f'{self.path}/{step}')
        optimizer = {'step': abstract.step, 'state': abstract.opt_state}
        if found['optimizer'] != shapes_by_name(optimizer):
            raise ValueError(
                f'{self.path}/{step} holds the state of another optimizer; set the optimizer that the run began with, '
                f'or begin a new run from its parameters: another MODEL_DIR, and INITIAL_CHECKPOINT_PATH={self.path}/{step}'
            )
        if self._has_average(step) != (abstract.ema is not None):
            kept = 'a' if self._has_average(step) else 'no'
            raise ValueError(f'{self.path}/{step} holds {kept} moving average of the parameters; set TrainConfig.ema_decay as the run began with')
        averaged = {} if abstract.ema is None else {EMA: restore_args(abstract.ema)}
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                **averaged,
                params=restore_args(abstract.params),
                optimizer=restore_args(optimizer),
                position=ocp.args.JsonRestore(),
            ),
        )
        ema = None if abstract.ema is None else restored[EMA]
        train_state = TrainState(restored.optimizer['step'], restored.params, restored.optimizer['state'], ema)
        return Restored(train_state, restored.position['data'], restored.position['unlogged'])

    def restore_params(self, step: int, config: ModelConfig, shardings: Tree | None = None, item: str = 'params') -> Tree:
        """Restore a checkpoint's parameters only, or their average (`ema`); by default whole, onto this process's first device."""
        if item == EMA and not self._has_average(step):
            raise ValueError(f'{self.path}/{step} holds no moving average of the parameters; name it without /{EMA}')
        abstract = abstract_params(config, shardings)
        check_shapes(self._shapes(step)[item], abstract, config, self.manifest(step).get('model'), f'{self.path}/{step}')
        return self._manager.restore(step, args=ocp.args.Composite(**{item: restore_args(abstract)}))[item]

    def manifest(self, step: int) -> dict[str, Any]:
        """Read a checkpoint's manifest."""
        return self._manager.restore(step, args=ocp.args.Composite(manifest=ocp.args.JsonRestore())).manifest

    def wait(self) -> None:
        """Wait until all that was saved is on disk; raises what went wrong on the way."""
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for the writing, and let go."""
        with self._writing():
            self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Say where and what to do when a checkpoint cannot be written, this one or the one before that is still under way."""
        try:
            yield
        except Exception as error:  # of many kinds: from the system, Orbax or TensorStore
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise OSError(
                f'cannot write a checkpoint to {self.path}: {reason}; free some space there, or set another MODEL_DIR; '
                'the same command goes on from the last whole checkpoint'
            ) from error

    def _has_average(self, step: int) -> bool:
        return (self.path / str(step) / EMA).is_dir()

    def _shapes(self, step: int) -> dict[str, dict[str, tuple[int, ...]]]:
        return {name: shapes_by_name(item.tree) for name, item in self._manager.item_metadata(step).items() if item is not None}


def check_writable(path: pathlib.Path, model_dir: str | os.PathLike[str]) -> None:
    """Make a run's folder for checkpoints, and refuse one that nothing can be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OSError(
            f'MODEL_DIR is {model_dir}, which cannot be written: {error.strerror}; name another folder with --model_dir'
        ) from error


def restore_args(abstract: Tree) -> ocp.args.PyTreeRestore:
    """Ask for arrays of these shapes and types, where these lie."""
    return ocp.args.PyTreeRestore(abstract, restore_args=ocp.checkpoint_utils.construct_restore_args(abstract))


def shapes_by_name(tree: Tree) -> dict[str, tuple[int, ...]]:
    """List the shapes of a tree's arrays by name."""
    return {parameter_name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def abstract_params(config: ModelConfig, shardings: Tree | None = None) -> Tree:
    """Evaluate the parameters' shapes; without shardings, they are to lie on this process's first device."""
    found = models.abstract_params(config)
    if shardings is None:
        first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shardings = jax.tree.map(lambda leaf: first, found)
    return jax.tree.map(lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), found, shardings)


def check_shapes(
    found: Mapping[str, tuple[int, ...]], wanted: Tree, config: ModelConfig, saved_config: Mapping[str, Any] | None, source: str
) -> None:
    """Refuse parameters that do not fit the model, naming the first that does not, both shapes, and what to set."""
    expected = shapes_by_name(wanted)
    if dict(found) == expected:
        return
    name = next(name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name))
    shape, other = (str(each[name]) if name in each else 'no such parameter' for each in (found, expected))
    differing = {
        field: value
        for field, value in (saved_config or {}).items()
        if field in ARCHITECTURE and list(np.atleast_1d(value)) != list(np.atleast_1d(getattr(config, field, None)))
    }
    kind = type(config).__name__
    settings = ', '.join(f'{kind}.{field} = {value!r}' for field, value in differing.items())
    remedy = f'set {settings or f"the {kind} that it was trained with"}'
    if not all(hasattr(config, field) for field in differing):
        remedy = f'set a model of the kind that it was trained as, not a {kind}'
    elif saved_config and not differing:
        remedy = 'which is what it says of itself: is it whole?'
    raise ValueError(f'{name} is {shape} in {source}, and {other} in this configuration; {remedy}')


ARCHITECTURE = (
    'vocab_size', 'emb_dim', 'num_heads', 'num_encoder_layers', 'num_decoder_layers', 'num_layers', 'head_dim', 'mlp_dim',
    'mlp_activations', 'logits_via_embedding', 'relpos_bias_per_layer',
)  # fmt: skip


class FoundCheckpoint(NamedTuple):
    """A checkpoint of a run, and which of its items a path means: `params` or `ema`."""

    checkpoints: Checkpoints
    step: int
    item: str


def find_checkpoint(path: pathlib.Path) -> FoundCheckpoint | None:
    """Find the checkpoint that a path means: a run's last one, or the one that the path names; None where there is none.

    With `/ema` behind it, a path means the moving average of the parameters.
    """
    item = EMA if path.name == EMA and not (path / FOLDER).is_dir() else 'params'
    path = path.parent if item == EMA else path
    step = int(path.name) if path.name.isdigit() and path.parent.name == FOLDER else None
    model_dir = path.parents[1] if step is not None else path.parent if path.name == FOLDER else path
    if (model_dir / FOLDER).is_dir():
        checkpoints = Checkpoints(model_dir)
        step = step if step is not None else checkpoints.latest_step()
        if step is not None and (checkpoints.path / str(step)).is_dir():
            return FoundCheckpoint(checkpoints, step, item)
    return None
