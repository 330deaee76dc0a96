"""A bandit that decides the mixing rates during a run: DynamixSFT (Shin et al. 2025, arXiv 2508.12116).

Tasks, or clusters of them, are the arms. Every so many steps each arm is looked at: one step of the optimizer
is taken on a batch of it and undone, and the reward is the share of the batch's loss that the step took away
(the paper's equation 4). The rewards, scaled to run from 0 to 1, move the arm's value (equation 5), and the
values tilt the shares that the mixture gives the arms (equation 3).

The paper's algorithm takes this step, with its backward pass; its estimate of the cost counts forward passes
only. Here the step is taken: a look at K arms costs about 4/3 K training steps of `rows` rows.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from flanlite.config import value
from flanlite.data.mixing.mixtures import GROUPS, Entry, groups_of
from flanlite.data.training_data import TrainingData
from flanlite.limits import Below1, Count, Positive, Share, one_of
from flanlite.mesh import activations
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import models
from flanlite.model.layers import adapter_dropout
from flanlite.model.models import ModelConfig
from flanlite.training import losses
from flanlite.training.optimizers import Optimizer
from flanlite.training.state import TrainState
from flanlite.training.step import COMPILED, Batch, StepConfig, gradient, state_shardings

SMALL = 1e-8  # beside the loss that the reward divides by


@value
class BanditConfig:
    """How a bandit decides the mixing rates of a run; the defaults are the paper's for 1B parameters.

    Args:
        arms: what has a share of its own: 'tasks', or 'clusters' of them, within which the tasks keep their
            rates to each other.
        every_steps: how often the arms are looked at, and the shares change.
        sharpness: how much the values tilt the shares (the paper's beta).
        exploration: the part of the shares that is spread evenly over the arms (gamma), so that each is
            always drawn.
        smoothing: the weight of an arm's old value beside its new reward (alpha).
        rows: how many examples of an arm are looked at; by default BATCH_SIZE.
    """

    arms: Annotated[str, one_of(*GROUPS)] = 'tasks'
    every_steps: Count = 50
    sharpness: Positive = 4.0
    exploration: Share = 0.3
    smoothing: Below1 = 0.95
    rows: Count | None = None

    def probabilities(self, values_K: np.ndarray, prior_K: np.ndarray) -> np.ndarray:
        """Return the shares of the arms (the paper's equation 3).

        Args:
            values_K: the arms' values.
            prior_K: the shares that the mixture gives the arms.
        """
        tilted_K = np.exp(self.sharpness * (values_K - values_K.max())) * prior_K
        return (1 - self.exploration) * tilted_K / tilted_K.sum() + self.exploration / len(prior_K)

    def learned(self, values_K: np.ndarray, rewards_K: np.ndarray) -> np.ndarray:
        """Return the arms' values after rewards, which count by their place between the least and the
        greatest of them (equation 5).
        """
        low, high = rewards_K.min(), rewards_K.max()
        scaled_K = (rewards_K - low) / (high - low) if high > low else np.zeros_like(rewards_K)
        return self.smoothing * values_K + (1 - self.smoothing) * scaled_K


def check_arms(entries: Sequence[Entry], by: str) -> None:
    """Raise a `ValueError` where the tasks of a mixture are fewer than two arms."""
    if len(found := groups_of(entries, by)) < 2:
        raise ValueError(
            f'BanditConfig.arms is {by!r}, and all that is trained on is one arm, {", ".join(found)}; '
            f'expected several: leave the bandit out, or name a mixture of more {by}'
            + ", or take 'tasks'"
            * (by == 'clusters')
        )


class Bandit:
    """The bandit of a run: its arms' values, and the shares that follow from them.

    Args:
        config: its settings.
        data: what the run trains on, built.
        look: see `jit_look_ahead`.
        partitioner: the mesh.

    Raises:
        ValueError: fewer than two arms have training data.
    """

    def __init__(
        self,
        config: BanditConfig,
        data: TrainingData,
        look: Callable[[TrainState, Batch], jax.Array],
        partitioner: Partitioner,
    ) -> None:
        self._config, self._data, self._look, self._partitioner = config, data, look, partitioner
        self._rows = config.rows or data.config.batch_size
        mixed = [entry for entry in data.mixture.entries if data.rates.get(entry.task, 0) > 0]
        check_arms(mixed, config.arms)
        self.arms = groups_of(mixed, config.arms)
        self.values, self.looks = np.zeros(len(self.arms)), 0
        sums = np.array([sum(data.rates[task] for task in tasks) for tasks in self.arms.values()])
        self.prior = sums / sums.sum()

    def shares(self) -> np.ndarray:
        """Return the share of each arm: float64[K]."""
        return self._config.probabilities(self.values, self.prior)

    def rates(self) -> dict[str, float]:
        """Return the rates of the tasks."""
        rates = self._data.rates
        return {
            task: share * rates[task] / sum(rates[each] for each in tasks)
            for share, tasks in zip(self.shares(), self.arms.values(), strict=True)
            for task in tasks
        }

    def learn(self, state: TrainState) -> dict[str, float]:
        """Look at each arm from a state, move the values, and return the new shares by `share/<arm>`."""
        mine = self._partitioner.host_rows(self._rows)
        rewards = [
            self._look(state, self._partitioner.place(self._data.sample(tasks, self.looks, self._rows, mine)))
            for tasks in self.arms.values()
        ]
        self.values = self._config.learned(self.values, np.array(jax.device_get(rewards), np.float64))
        self.looks += 1
        return {f'share/{arm}': float(share) for arm, share in zip(self.arms, self.shares(), strict=True)}

    def get_state(self) -> dict[str, Any]:
        """Return the values, and how often the arms were looked at, as JSON holds them exactly."""
        return {'arms': list(self.arms), 'values': self.values.tolist(), 'looks': self.looks}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is of other arms.
        """
        if state['arms'] != list(self.arms):
            raise ValueError(
                f'the saved bandit has the arms {", ".join(state["arms"])}, and the run has '
                f'{", ".join(self.arms)}; restore BanditConfig.arms and the data, or begin a new run from '
                'the checkpoint'
            )
        self.values, self.looks = np.array(state['values']), state['looks']


def look_ahead(
    train_state: TrainState, batch: Batch, *, config: ModelConfig, optimizer: Optimizer, settings: StepConfig
) -> jax.Array:
    """Return the mean share of an example's loss that a step on the batch takes away, without dropout.

    Args:
        train_state: the state, which stays.
        batch: an example a row, under SeqIO's keys.
        config: the model's.
        optimizer: whose step is taken.
        settings: of the step's loss; no part of PCGrad.
    """
    grads, _ = gradient(
        train_state.whole(), batch, None, config=config, frozen=optimizer.frozen, settings=settings
    )
    updates, _ = optimizer.transform.update(grads, train_state.opt_state, train_state.params)
    stepped = train_state.whole(optax.apply_updates(train_state.params, updates))
    before_B, after_B = (row_losses(params, batch, config) for params in (train_state.whole(), stepped))
    return jnp.mean((before_B - after_B) / (before_B + SMALL))


def row_losses(params: Any, batch: Batch, config: ModelConfig) -> jax.Array:
    """Return loss_B, the mean cross entropy of each row's target tokens."""
    with adapter_dropout(None):
        logits_BTV = models.bind(config, models.prepare_for_compute(config, params))(batch, dropout_key=None)
    weights_BT = batch['decoder_loss_weights']
    summed_B = -losses.target_log_likelihoods(logits_BTV, batch['decoder_target_tokens'], weights_BT)
    return summed_B / jnp.maximum(jnp.sum(weights_BT, axis=-1), 1.0)


@functools.lru_cache(COMPILED)
def jit_look_ahead(
    config: ModelConfig, optimizer: Optimizer, settings: StepConfig, partitioner: Partitioner
) -> Callable[[TrainState, Batch], jax.Array]:
    """Return `look_ahead` jitted for the mesh, (state, batch) -> reward on every device; the arguments are
    those of `step.jit_train_step`.
    """
    placed = state_shardings(config, optimizer, partitioner)
    settings = settings.replace(pcgrad=None)

    def look(train_state: TrainState, batch: Batch) -> jax.Array:
        with activations.activation_rules(partitioner):
            return look_ahead(train_state, batch, config=config, optimizer=optimizer, settings=settings)

    return jax.jit(look, in_shardings=(placed, partitioner.batch), out_shardings=partitioner.replicated)
