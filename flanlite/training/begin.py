"""The state that a run begins with: its own last checkpoint's, another checkpoint's, or a drawn one."""

import jax
import numpy as np

from flanlite.mesh.partitioning import Partitioner
from flanlite.training.checkpoints import Checkpoints, Restored
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Optimizer
from flanlite.training.parameters import load_params, load_state
from flanlite.training.state import TrainState
from flanlite.training.step import jit_create, jit_init


def begin(
    checkpoints: Checkpoints,
    config: TrainConfig,
    optimizer: Optimizer,
    partitioner: Partitioner,
    abstract: TrainState,
) -> Restored:
    """Restore the run's last checkpoint, if it has one; else begin with another's parameters, if one is
    named; else draw them.

    Args:
        checkpoints: the run's.
        config: the run's.
        optimizer: what `config` says, made.
        partitioner: says where the state goes.
        abstract: what `abstract_state` says of them.

    Raises:
        ValueError: a checkpoint that does not fit, or that is at the run's last step already.
    """
    model, path = config.model, config.initial_checkpoint_path
    if step := checkpoints.latest_step():
        return checkpoints.restore(step, abstract, model)
    if config.restore_optimizer:
        state = load_state(path, model, abstract)
        if int(state.step) >= config.train_steps:
            raise ValueError(
                f'{path} is at step {state.step} and TRAIN_STEPS is {config.train_steps}; expected more than '
                'that'
            )
        return Restored(state, None, {})
    if path:
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract.params)
        return Restored(
            jit_create(model, optimizer, partitioner)(load_params(path, model, shardings)), None, {}
        )
    return Restored(jit_init(model, optimizer, partitioner)(run_seed(config.seed, partitioner)), None, {})


def run_seed(seed: int, partitioner: Partitioner) -> jax.Array:
    """Put a run's seed onto the mesh: uint32."""
    return partitioner.replicate(np.uint32(seed % 2**32))
