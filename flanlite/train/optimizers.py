"""Adafactor as T5X runs it, AdamW, and learning-rate schedules."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import gin
import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]


class Optimizer(NamedTuple):
    """A gradient transformation, and the schedule of its learning rate for those who log it."""

    transform: optax.GradientTransformation
    schedule: Schedule


def kept(make: Callable) -> Callable:
    """Return the same object for the same arguments, so that a step compiled for one run is found again by the next."""
    cached = functools.lru_cache(make)
    return functools.wraps(make)(lambda *args, **settings: cached(*args, **settings))


@gin.configurable
@kept
def constant(learning_rate: float) -> Schedule:
    """Keep one learning rate: 1e-3 for T5's fine-tuning with Adafactor."""
    return optax.constant_schedule(learning_rate)


@gin.configurable
@kept
def rsqrt(base: float = 1.0, warmup_steps: int = 10_000, ramp: bool = False) -> Schedule:
    """Follow base / sqrt(step), held until `warmup_steps`: T5's pretraining.

    Args:
        base: numerator; the highest rate is base / sqrt(warmup_steps).
        warmup_steps: steps before the decay begins.
        ramp: rise linearly from 0 during the warm-up instead.
    """

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        rate = base / jnp.sqrt(jnp.maximum(step, warmup_steps))
        return rate * jnp.minimum(1.0, step / warmup_steps) if ramp else rate

    return schedule


@gin.configurable
@kept
def linear(peak: float, steps: int, warmup_steps: int = 0, final: float = 0.0) -> Schedule:
    """Rise linearly to `peak` over `warmup_steps`, then fall linearly to `final` at `steps`."""
    warmup = optax.linear_schedule(0.0, peak, warmup_steps)
    return optax.join_schedules([warmup, optax.linear_schedule(peak, final, steps - warmup_steps)], [warmup_steps])


@gin.configurable
@kept
def cosine(peak: float, steps: int, warmup_steps: int = 0, final: float = 0.0) -> Schedule:
    """Rise linearly to `peak` over `warmup_steps`, then fall along a half cosine to `final` at `steps`."""
    return optax.warmup_cosine_decay_schedule(0.0 if warmup_steps else peak, peak, warmup_steps, steps, final)


def per_layer(transform: optax.GradientTransformation) -> optax.GradientTransformation:
    """Treat each layer of stacked parameters (those below `layers`, stacked on axis 0) as a parameter of its own."""

    def stack_of(path: tuple[Any, ...], _: Any) -> str:
        names = [key.key for key in path]
        return names[0] if 'layers' in names else 'unstacked'

    def over_layers() -> optax.GradientTransformation:
        def axes(params: Any) -> Any:
            one_layer = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), params)
            return jax.tree.map(lambda x: 0 if x.ndim else None, jax.eval_shape(transform.init, one_layer))  # step counts are shared

        def init(params: Any) -> Any:
            if not jax.tree.leaves(params):  # a stack that this model has not
                return transform.init(params)
            return jax.vmap(transform.init, out_axes=axes(params))(params)

        def update(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
            if not jax.tree.leaves(params):
                return transform.update(updates, state, params)
            state_axes = axes(params)
            return jax.vmap(transform.update, in_axes=(0, state_axes, 0), out_axes=(0, state_axes))(updates, state, params)

        return optax.GradientTransformation(init, update)

    return optax.partition(
        {'unstacked': transform, 'encoder': over_layers(), 'decoder': over_layers()},
        lambda params: jax.tree.map_with_path(stack_of, params),
    )


@gin.configurable
@kept
def adafactor(
    learning_rate: Schedule | float,
    multiply_by_parameter_scale: bool = True,
    beta1: float | None = None,
    decay_rate: float = 0.8,
    step_offset: int = 0,
    clipping_threshold: float | None = 1.0,
    weight_decay_rate: float | None = None,
    min_dim_size_to_factor: int = 128,
    global_norm_clip_threshold: float | None = None,
) -> Optimizer:
    """Adafactor as `t5x.adafactor.Adafactor` runs it on unstacked layers, argument by argument (Shazeer and Stern 2018).

    Args:
        learning_rate: a rate or a schedule of steps; relative to each parameter's scale.
        multiply_by_parameter_scale: scale updates by the parameter's root mean square, at least 1e-3.
        beta1: momentum; None keeps none, and no memory for it.
        decay_rate: the second moment decays by 1 - (step + 1)^-decay_rate.
        step_offset: the step at which this phase began, to forget the second moments of an earlier one.
        clipping_threshold: greatest root mean square of a parameter's update before scaling.
        weight_decay_rate: share of each parameter taken away at every step, whatever the learning rate.
        min_dim_size_to_factor: matrices smaller than this in either dimension keep the whole second moment.
        global_norm_clip_threshold: greatest norm of all gradients together.
    """
    schedule = learning_rate if callable(learning_rate) else optax.constant_schedule(learning_rate)
    scale = [optax.scale_by_factored_rms(True, decay_rate, step_offset, min_dim_size_to_factor, epsilon=1e-30)]
    if clipping_threshold is not None:
        scale.append(optax.clip_by_block_rms(clipping_threshold))
    if multiply_by_parameter_scale:
        scale.append(optax.scale_by_param_block_rms(min_scale=1e-3))

    steps = [per_layer(optax.chain(*scale)), optax.scale_by_schedule(schedule)]
    if global_norm_clip_threshold is not None:
        steps.insert(0, optax.clip_by_global_norm(global_norm_clip_threshold))
    if beta1 is not None:
        steps.append(optax.ema(beta1, debias=False))
    if weight_decay_rate is not None:
        steps.append(optax.add_decayed_weights(weight_decay_rate))
    return Optimizer(optax.chain(*steps, optax.scale(-1.0)), schedule)


@gin.configurable
@kept
def adamw(
    learning_rate: Schedule | float,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    global_norm_clip_threshold: float | None = None,
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019); matrices decay, norm scales do not.

    Args:
        learning_rate: a rate or a schedule of steps; absolute.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root of the second moment.
        weight_decay: times the learning rate, taken away at every step.
        global_norm_clip_threshold: greatest norm of all gradients together.
    """
    schedule = learning_rate if callable(learning_rate) else optax.constant_schedule(learning_rate)

    def decays(params: Any) -> Any:
        return jax.tree.map_with_path(lambda path, _: path[-1].key != 'scale', params)

    transform = optax.adamw(schedule, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mask=decays)
    if global_norm_clip_threshold is not None:
        transform = optax.chain(optax.clip_by_global_norm(global_norm_clip_threshold), transform)
    return Optimizer(transform, schedule)
