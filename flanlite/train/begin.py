"""The state that a run begins with: its own last checkpoint's, another checkpoint's, or a drawn one."""

import os

import jax

from flanlite.mesh.partitioning import Partitioner
from flanlite.model.models import ModelConfig
from flanlite.train.checkpoints import Checkpoints, Restored
from flanlite.train.optimizers import Optimizer
from flanlite.train.parameters import load_params, load_state
from flanlite.train.step import abstract_state, jit_create, jit_init


def begin(
    checkpoints: Checkpoints,
    config: ModelConfig,
    optimizer: Optimizer,
    partitioner: Partitioner,
    seed: jax.Array,
    initial_checkpoint_path: str | os.PathLike[str] | None,
    restore_optimizer: bool,
    train_steps: int,
) -> Restored:
    """Restore the run's last checkpoint, if it has one; else begin with another's parameters, if one is named; else draw them.

    Args:
        checkpoints: the run's.
        config: the model's.
        optimizer: the run's.
        partitioner: says where the state goes.
        seed: of drawn parameters.
        initial_checkpoint_path: for `parameters.load_params`.
        restore_optimizer: take that checkpoint's step and optimizer state, too.
        train_steps: the run's last step, which must lie ahead.
    """
    if restore_optimizer and not initial_checkpoint_path:
        raise ValueError('train.restore_optimizer needs a checkpoint to take it from: set INITIAL_CHECKPOINT_PATH')
    abstract = abstract_state(config, optimizer, partitioner)
    if step := checkpoints.latest_step():
        return checkpoints.restore(step, abstract, config)
    if restore_optimizer:
        state = load_state(initial_checkpoint_path, config, abstract)
        if int(state.step) >= train_steps:
            raise ValueError(f'{initial_checkpoint_path} is at step {state.step} and TRAIN_STEPS is {train_steps}; expected more than that')
        return Restored(state, None, {})
    if initial_checkpoint_path:
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract.params)
        return Restored(jit_create(config, optimizer, partitioner)(load_params(initial_checkpoint_path, config, shardings)), None, {})
    return Restored(jit_init(config, optimizer, partitioner)(seed), None, {})
