"""The train step and the evaluation step: pure functions of state and batch, and their compiled forms on a
mesh.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import optax

from flanlite.config import value
from flanlite.data.mixing.mixtures import GROUPS
from flanlite.limits import Below1, Count, NotNegative, Positive, Whole, one_of
from flanlite.mesh import activations
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import models
from flanlite.model.attention.attention import segments_of
from flanlite.model.layers import adapter_dropout
from flanlite.model.models import ModelConfig
from flanlite.training import losses, norms, optimizers, pcgrad, state
from flanlite.training.optimizers import Optimizer
from flanlite.training.state import TrainState

Batch = Mapping[str, jax.Array]
Sums = dict[str, jax.Array]

COMPILED = 8  # compiled steps of each kind that a process keeps; a sweep over runs of one shape needs one


@value
class StepConfig:
    """How the gradient of a batch is computed.

    Args:
        z_loss: weight of log(Z)^2 in the loss.
        label_smoothing: see `losses.cross_entropy_with_logits`.
        loss_normalizing_factor: divisor of the whole batch's summed loss: one of
            `losses.NORMALIZING_FACTORS`, or a number (T5X's default is the sum itself, 1.0).
        microbatches: number of pieces that the batch is computed in, one after the other, to save memory;
            gradients are added up.
        norms_depth: number of parts of a parameter's name that make a module (2 is `encoder/layers`), to log
            the norms of gradients and parameters by module; 0 logs none.
        pcgrad: PCGrad between 'clusters' or between 'tasks' of the mixture: where the gradients of two of
            them conflict, each loses its part along the other (see `flanlite.training.pcgrad`). A group's
            loss is its part of the batch's loss, so that without a conflict the step is the usual one. A
            step has one forward pass and a backward pass for each group, and holds the gradients of all
            groups at once, over the devices as the parameters are between steps.
    """

    z_loss: NotNegative = 1e-4
    label_smoothing: Below1 = 0.0
    loss_normalizing_factor: Positive | Annotated[str, one_of(*losses.NORMALIZING_FACTORS)] = (
        'NUM_REAL_TARGET_TOKENS'
    )
    microbatches: Count = 1
    norms_depth: Whole = 0
    pcgrad: Annotated[str, one_of(*GROUPS)] | None = None


def train_step(
    train_state: TrainState,
    batch: Batch,
    seed: jax.Array,
    *,
    config: ModelConfig,
    optimizer: Optimizer,
    settings: StepConfig,
    num_groups: int = 0,
) -> tuple[TrainState, Sums]:
    """Take one step of the optimizer.

    Args:
        train_state: the state before the step.
        batch: arrays [rows, length] under SeqIO's keys; for PCGrad also `decoder_group_ids`.
        seed: the run's; dropout, and PCGrad's orders, are functions of it and the step's number.
        config: the model's.
        optimizer: transform and learning-rate schedule.
        settings: loss and microbatches.
        num_groups: how many groups of tasks there are, for PCGrad; 0 without it.

    Returns:
        The next state, and sums over the batch: `loss`, `z_loss` and `accuracy` over target tokens, their
        `weight_sum`, and the numbers of tokens without padding, `encoder_tokens` (if there is an encoder) and
        `decoder_tokens`. Beside these sums, the step's `gradient_norm` and `learning_rate`, norms by module
        if `settings` ask for them, and with PCGrad `gradient_conflicts`, the share of the pairs of groups
        whose gradients conflicted.
    """

    assert bool(num_groups) == bool(settings.pcgrad)
    drops = config.dropout_rate or config.adapter_drops
    key = jax.random.fold_in(jax.random.key(seed), train_state.step) if drops else None
    grads, sums = gradient(
        train_state.whole(),
        batch,
        key,
        config=config,
        frozen=optimizer.frozen,
        settings=settings,
        num_groups=num_groups,
    )
    if num_groups:
        grads, sums['gradient_conflicts'] = pcgrad.surgery(grads, seed, train_state.step)
    updates, opt_state = optimizer.transform.update(grads, train_state.opt_state, train_state.params)
    params = optax.apply_updates(train_state.params, updates)

    sums['gradient_norm'] = optax.global_norm(grads)
    sums['learning_rate'] = jnp.asarray(optimizer.schedule(train_state.step), jnp.float32)
    if settings.norms_depth:
        sums |= norms.by_module(grads, settings.norms_depth, 'gradient_norm')
        sums |= norms.by_module(params, settings.norms_depth, 'parameter_norm')
    return TrainState(
        train_state.step + 1,
        params,
        opt_state,
        optimizers.update_ema(train_state.ema, params, optimizer.ema_decay),
        train_state.frozen,
    ), sums


def gradient(
    params: Any,
    batch: Batch,
    key: jax.Array | None,
    *,
    config: ModelConfig,
    frozen: Sequence[str],
    settings: StepConfig,
    num_groups: int = 0,
) -> tuple[Any, Sums]:
    """Compute the gradient of a batch's loss.

    Args:
        params: all parameters.
        batch: arrays [rows, length] under SeqIO's keys.
        key: of dropout; None for none.
        config: the model's.
        frozen: patterns of the parameters that do not train.
        settings: loss and microbatches.
        num_groups: see `train_step`.

    Returns:
        The gradient in the tree of the parameters that train, with an axis of groups before the others if
        there are groups; and the sums over the batch.
    """
    # Once a step and outside the microbatches: the weights are gathered once for all of them.
    weights, fixed = state.split(models.prepare_for_compute(config, params), frozen)
    trained, _ = state.split(params, frozen)
    axes = state.like(trained, models.logical_axes(config))

    def loss(weights: Any, *data: Any) -> tuple[jax.Array, tuple[Sums, jax.Array]]:
        return _loss(
            state.join(weights, fixed), *data, config=config, settings=settings, num_groups=num_groups
        )

    def keep(grads: Any) -> Any:
        return jax.tree.map(lambda grad, param: grad.astype(param.dtype), grads, trained)

    def of_batch(*data: Any) -> tuple[Any, tuple[Sums, jax.Array]]:
        if not num_groups:
            grads, others = jax.grad(loss, has_aux=True)(weights, *data)
            return keep(grads), others
        _, pull, others = jax.vjp(lambda weights: loss(weights, *data), weights, has_aux=True)

        def of_group(chosen_K: jax.Array) -> Any:
            return jax.tree.map(activations.constrain_to_storage, keep(pull(chosen_K)[0]), axes)

        return jax.lax.map(of_group, jnp.eye(num_groups)), others

    if settings.microbatches == 1:
        grads, (sums, divisor) = of_batch(batch, key)
    else:
        grads, (sums, divisor) = _accumulate(of_batch, batch, key, settings.microbatches)

    factor = settings.loss_normalizing_factor
    # A number is not added up over microbatches.
    divisor = divisor if factor in losses.NORMALIZING_FACTORS else factor
    scale = 1.0 / jnp.where(divisor == 0.0, 1.0, divisor)
    return jax.tree.map(lambda grad: grad * scale, grads), sums


def eval_step(params: Any, batch: Batch, *, config: ModelConfig, settings: StepConfig) -> Sums:
    """Sum the loss and accuracy of a batch, without dropout.

    Args:
        params: the parameters.
        batch: arrays [rows, length] under SeqIO's keys.
        config: the model's.
        settings: of the loss.

    Returns:
        The sums over the batch that `train_step` returns, without the step's own numbers.
    """
    return _loss(models.prepare_for_compute(config, params), batch, None, config=config, settings=settings)[
        1
    ][0]


def _loss(
    params: Any,
    batch: Batch,
    key: jax.Array | None,
    *,
    config: ModelConfig,
    settings: StepConfig,
    num_groups: int = 0,
) -> tuple[jax.Array, tuple[Sums, jax.Array]]:
    """Compute the loss summed over tokens, all of them or those of each group; beside it the sums for
    logging, and the divisor of the loss.
    """
    with adapter_dropout(key if config.adapter_drops else None):
        logits_BTV = models.bind(config, params)(batch, dropout_key=key if config.dropout_rate else None)
    targets_BT = batch['decoder_target_tokens']
    objective_weights_BT, divisor = losses.normalization(settings.loss_normalizing_factor, batch)
    if num_groups:
        groups_BT = batch['decoder_group_ids']
        own_GBT = jnp.arange(num_groups)[:, None, None] == groups_BT[None]
        objective_weights_BT = own_GBT * objective_weights_BT[None]
    sums = losses.loss_sums(
        logits_BTV,
        targets_BT,
        batch['decoder_loss_weights'],
        settings.z_loss,
        settings.label_smoothing,
        objective_weights_BT,
    )
    for side, name in {'encoder': 'encoder_input_tokens', 'decoder': 'decoder_target_tokens'}.items():
        if name in batch:
            segments = segments_of(batch[name], batch.get(f'{side}_segment_ids'))
            sums[f'{side}_tokens'] = jnp.sum(segments > 0)
    return sums.pop('objective'), (sums, divisor)


def _accumulate(
    gradient: Callable, batch: Batch, key: jax.Array | None, count: int
) -> tuple[Any, tuple[Sums, jax.Array]]:
    """Add up gradients, sums and divisors over microbatches.

    A microbatch takes every `count`-th row, so that every device has rows of each microbatch and none has to
    be moved.

    Args:
        gradient: from a batch and a key, a tree of arrays to add up.
        batch: arrays [rows, ...].
        key: of dropout, or None; each microbatch gets its own.
        count: number of microbatches.
    """
    pieces = {
        name: x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1) for name, x in batch.items()
    }

    def add(total: tuple[Any, Sums], index: jax.Array) -> tuple[tuple[Any, Sums], None]:
        piece = {name: activations.constrain(x[index], ('batch', 'length')) for name, x in pieces.items()}
        piece_key = None if key is None else jax.random.fold_in(key, index)
        return jax.tree.map(jnp.add, total, gradient(piece, piece_key)), None

    first = jax.tree.map(lambda x: x[0], pieces)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient, first, key))
    return jax.lax.scan(add, zeros, jnp.arange(count))[0]


@functools.lru_cache(COMPILED)
def abstract_state(config: ModelConfig, optimizer: Optimizer, partitioner: Partitioner) -> TrainState:
    """Return the shapes, dtypes and shardings of a run's state without computing it.

    Args:
        config: the model's.
        optimizer: the run's.
        partitioner: the mesh and its rules.
    """
    create = functools.partial(state.create, optimizer=optimizer)
    shapes = jax.eval_shape(create, models.abstract_params(config))
    placed = state.shardings(shapes, models.logical_axes(config), optimizer.frozen, partitioner)
    return jax.tree.map(
        lambda shape, sharding: jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding),
        shapes,
        placed,
    )


def state_shardings(config: ModelConfig, optimizer: Optimizer, partitioner: Partitioner) -> TrainState:
    """Return where each array of a run's state lies; the arguments are those of `abstract_state`."""
    return jax.tree.map(lambda leaf: leaf.sharding, abstract_state(config, optimizer, partitioner))


@functools.lru_cache(COMPILED)
def jit_init(
    config: ModelConfig, optimizer: Optimizer, partitioner: Partitioner
) -> Callable[[jax.Array], TrainState]:
    """Return the jitted `seed -> state` with new parameters; each device draws only the part that it holds.

    The arguments are those of `abstract_state`.
    """

    def init(seed: jax.Array) -> TrainState:
        return state.create(models.init_params(config, jax.random.key(seed)), optimizer)

    # It runs once: compiling takes longer.
    quick = {'xla_backend_optimization_level': 1} if jax.default_backend() == 'cpu' else None
    return jax.jit(
        init, out_shardings=state_shardings(config, optimizer, partitioner), compiler_options=quick
    )


@functools.lru_cache(COMPILED)
def jit_create(
    config: ModelConfig, optimizer: Optimizer, partitioner: Partitioner
) -> Callable[[Any], TrainState]:
    """Return the jitted `params -> state`, for parameters from a checkpoint; the arguments are those of
    `abstract_state`.
    """
    placed = state_shardings(config, optimizer, partitioner)
    create = functools.partial(state.create, optimizer=optimizer)
    return jax.jit(create, in_shardings=(placed.whole(),), out_shardings=placed)


@functools.lru_cache(COMPILED)
def jit_train_step(
    config: ModelConfig,
    optimizer: Optimizer,
    settings: StepConfig,
    partitioner: Partitioner,
    num_groups: int = 0,
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Sums]]:
    """Return `train_step` jitted for the mesh. The state is donated; equal arguments give the same compiled
    step again.

    Args:
        config: the model's.
        optimizer: transform and schedule.
        settings: loss and microbatches.
        partitioner: the mesh and its rules.
        num_groups: see `train_step`.

    Returns:
        (state, batch, seed) -> (state, sums), with the seed replicated and the sums on every device.
    """
    placed = state_shardings(config, optimizer, partitioner)

    def step(train_state: TrainState, batch: Batch, seed: jax.Array) -> tuple[TrainState, Sums]:
        with activations.activation_rules(partitioner):
            return train_step(
                train_state,
                batch,
                seed,
                config=config,
                optimizer=optimizer,
                settings=settings,
                num_groups=num_groups,
            )

    arguments, results = (placed, partitioner.batch, partitioner.replicated), (placed, partitioner.replicated)
    # The TPU compiler may split gathers and scatters into steps of a ring that overlap with products. Each
    # then sends up to two thirds more, so a large threshold turns that off.
    whole = (
        {'xla_jf_spmd_threshold_for_windowed_einsum_mib': '1000000'}
        if partitioner.platform == 'tpu'
        else None
    )
    return jax.jit(
        step, donate_argnums=0, in_shardings=arguments, out_shardings=results, compiler_options=whole
    )


@functools.lru_cache(COMPILED)
def jit_eval_step(
    config: ModelConfig, settings: StepConfig, partitioner: Partitioner
) -> Callable[[Any, Batch], Sums]:
    """Return `eval_step` jitted for the mesh, (params, batch) -> sums; the arguments are those of
    `jit_train_step`.
    """

    def step(params: Any, batch: Batch) -> Sums:
        with activations.activation_rules(partitioner):
            return eval_step(params, batch, config=config, settings=settings)

    return jax.jit(step, in_shardings=(None, partitioner.batch), out_shardings=partitioner.replicated)


@functools.lru_cache(COMPILED)
def jit_gradient(
    config: ModelConfig, optimizer: Optimizer, settings: StepConfig, partitioner: Partitioner
) -> Callable[[Any, Batch], Any]:
    """Return `gradient` without dropout, jitted for the mesh: (params, batch) -> the gradient, which lies as
    the parameters do between steps; the arguments are those of `jit_train_step`.
    """
    placed = state_shardings(config, optimizer, partitioner)

    def compute(params: Any, batch: Batch) -> Any:
        with activations.activation_rules(partitioner):
            return gradient(params, batch, None, config=config, frozen=optimizer.frozen, settings=settings)[0]

    return jax.jit(compute, in_shardings=(placed.whole(), partitioner.batch), out_shardings=placed.params)
