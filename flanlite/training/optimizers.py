"""Adafactor as T5X runs it, AdamW, and what holds for any optimizer: frozen parameters, a moving average.

An optimizer's settings are a value (`Adafactor`, `AdamW`) with a method `build`; `make_optimizer` makes of it
what the train step uses.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from flanlite.config import check_field, value
from flanlite.limits import Below1, Between0And1, Count, NotNegative, Number, Pattern, Positive, Whole
from flanlite.model import patterns
from flanlite.training.schedules import Schedule

NORM_SCALES = ('.*scale',)


class Optimizer(NamedTuple):
    """What turns gradients into the next parameters.

    Args:
        transform: of gradients.
        schedule: of its learning rate, for those who log it.
        frozen: patterns of parameters that stay as they are; `transform` never sees them.
        ema_decay: of a moving average of the parameters, (1 - decay) of the newest ones; None keeps none.
    """

    transform: optax.GradientTransformation
    schedule: Schedule
    frozen: tuple[str, ...] = ()
    ema_decay: float | None = None


class OptimizerConfig(Protocol):
    """The settings of an optimizer: `Adafactor`, `AdamW`, or a value of your own with this method."""

    def build(self) -> Optimizer:
        """Make the optimizer."""


@functools.lru_cache
def make_optimizer(
    config: OptimizerConfig | Optimizer,
    frozen: tuple[str, ...] = (),
    ema_decay: float | None = None,
    factors: tuple[tuple[str, float], ...] = (),
) -> Optimizer:
    """Make an optimizer of its settings; equal ones give the same object, by which compiled steps are found
    again.

    Args:
        config: the settings, or an optimizer made by hand of optax's parts.
        frozen: patterns of parameters to leave as they are.
        ema_decay: of a moving average of the parameters; None keeps none but that of one made by hand.
        factors: see `scale_rates`.
    """
    built = config if isinstance(config, Optimizer) else config.build()
    transform = scale_rates(built.transform, factors) if factors else built.transform
    decay = built.ema_decay if ema_decay is None else ema_decay
    return average(built._replace(transform=transform, frozen=(*built.frozen, *frozen)), decay)


def scale_rates(
    transform: optax.GradientTransformation, factors: Sequence[tuple[str, float]]
) -> optax.GradientTransformation:
    """Multiply the learning rate of some parameters.

    Args:
        transform: of gradients, its learning rate included.
        factors: of the parameters whose names match a pattern; of several that match the first counts. The
            whole update is multiplied, Adafactor's weight decay with it.

    Raises:
        ValueError: in `init`, a pattern matches no parameter.
    """

    names = tuple(pattern for pattern, _ in factors)

    def init(params: Any) -> Any:
        patterns.check(params, names)
        return transform.init(params)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = transform.update(gradients, state, params)
        for number, (pattern, factor) in enumerate(factors):
            earlier = patterns.matching(updates, names[:number])
            updates = jax.tree.map(
                lambda update, matches, taken, factor=factor: (
                    update * factor if matches and not taken else update
                ),
                updates,
                patterns.matching(updates, (pattern,)),
                earlier,
            )
        return updates, state

    return optax.GradientTransformation(init, update)


def as_schedule(learning_rate: float | Schedule) -> Schedule:
    """Return a learning rate as a function of the step."""
    return learning_rate if callable(learning_rate) else optax.constant_schedule(learning_rate)


def average(optimizer: Optimizer, decay: float | None) -> Optimizer:
    """Keep a moving average of the parameters, of decay 0.999 for example; None keeps none."""
    decay = check_field("the decay of the parameters' average", decay, Between0And1 | None)
    return optimizer._replace(ema_decay=decay)


def update_ema(ema: Any, params: Any, decay: float | None) -> Any:
    """Move an average of parameters towards the newest ones; None, which is no average, stays."""
    return (
        None
        if decay is None
        else jax.tree.map(lambda mean, new: mean + (1.0 - decay) * (new - mean), ema, params)
    )


def decay_weights(rate: float | Schedule, excluded: Sequence[str]) -> optax.GradientTransformation:
    """Add a share of each parameter to its update, but not of those whose names match a pattern."""

    def decays(params: Any) -> Any:
        return jax.tree.map(lambda out: not out, patterns.matching(params, excluded))

    decay = optax.add_decayed_weights(rate, mask=decays)

    def init(params: Any) -> Any:
        patterns.check(params, excluded)
        return decay.init(params)

    return optax.GradientTransformation(init, decay.update)


def per_layer(
    transform: optax.GradientTransformation, of_layers: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Treat each layer of stacked parameters (those below `layers`, stacked on axis 0) as a parameter of its
    own, with `of_layers`.
    """

    def stack_of(path: tuple[Any, ...], _: Any) -> str:
        names = [key.key for key in path]
        return names[0] if 'layers' in names else 'unstacked'

    def over_layers() -> optax.GradientTransformation:
        def axes(params: Any) -> Any:
            one_layer = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), params)
            # Step counts are shared.
            return jax.tree.map(lambda x: 0 if x.ndim else None, jax.eval_shape(of_layers.init, one_layer))

        def init(params: Any) -> Any:
            if not jax.tree.leaves(params):  # a stack that this model has not
                return of_layers.init(params)
            return jax.vmap(of_layers.init, out_axes=axes(params))(params)

        def update(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
            if not jax.tree.leaves(params):
                return of_layers.update(updates, state, params)
            state_axes = axes(params)
            return jax.vmap(of_layers.update, in_axes=(0, state_axes, 0), out_axes=(0, state_axes))(
                updates, state, params
            )

        return optax.GradientTransformation(init, update)

    return optax.partition(
        {'unstacked': transform, 'encoder': over_layers(), 'decoder': over_layers()},
        lambda params: jax.tree.map_with_path(stack_of, params),
    )


def factor_kernels(decay_rate: float, step_offset: int, epsilon1: float) -> optax.GradientTransformation:
    """Factor the second moments of kernels whatever their size, and of nothing else."""

    def labels(params: Any) -> Any:
        return jax.tree.map(
            lambda kernel: 'factored' if kernel else 'whole', patterns.matching(params, ('.*kernel',))
        )

    def rms(factored: bool) -> optax.GradientTransformation:
        return optax.scale_by_factored_rms(
            factored, decay_rate, step_offset, min_dim_size_to_factor=1, epsilon=epsilon1
        )

    return optax.partition({'factored': rms(True), 'whole': rms(False)}, labels)


def scale_by_parameter(least: float, greatest: float | None) -> optax.GradientTransformation:
    """Scale a parameter's update by its root mean square, between two bounds."""

    def scale(update: jax.Array, param: jax.Array) -> jax.Array:
        return update * jnp.clip(jnp.sqrt(jnp.mean(jnp.square(param))), least, greatest)

    return optax.stateless_with_tree_map(scale)


@value
class Adafactor:
    """Adafactor as `t5x.adafactor.Adafactor` runs it, argument by argument (Shazeer and Stern 2018); a layer
    of a stack fares as if apart.

    Args:
        learning_rate: a rate or a schedule of steps; relative to each parameter's scale.
        factored: keep the second moments of matrices as rows and columns.
        multiply_by_parameter_scale: scale updates by the parameter's root mean square.
        beta1: momentum; None keeps none, and no memory for it.
        decay_rate: the second moment decays by 1 - (step + 1)^-decay_rate.
        step_offset: the step at which this phase began, to forget the second moments of an earlier one.
        clipping_threshold: greatest root mean square of a parameter's update before scaling.
        weight_decay_rate: share of each parameter taken away at every step, whatever the learning rate.
        min_dim_size_to_factor: matrices smaller than this in either dimension keep the whole second moment.
        epsilon1: added to the square of the gradient.
        epsilon2: least scale of a parameter.
        weight_decay_rate_lr_exponent: the weight decay is the learning rate to this power, times
            `weight_decay_rate` where that is given.
        global_norm_clip_threshold: greatest norm of all gradients together.
        max_parameter_scale: greatest scale of a parameter.
        weight_decay_exclude: patterns of parameters that do not decay; T5X lets all decay.
        factor_small_layers: factor the kernels of the layers whatever their size, as T5X does in its scanned
            networks and only there; at sizes of 128 and more it makes no difference.
    """

    learning_rate: NotNegative | Callable
    factored: bool = True
    multiply_by_parameter_scale: bool = True
    beta1: Below1 | None = None
    decay_rate: NotNegative = 0.8
    step_offset: Whole = 0
    clipping_threshold: Positive | None = 1.0
    weight_decay_rate: NotNegative | None = None
    min_dim_size_to_factor: Count = 128
    epsilon1: NotNegative = 1e-30
    epsilon2: NotNegative = 1e-3
    weight_decay_rate_lr_exponent: Number | None = None
    global_norm_clip_threshold: Positive | None = None
    max_parameter_scale: Positive | None = None
    weight_decay_exclude: tuple[Pattern, ...] = ()
    factor_small_layers: bool = False

    def build(self) -> Optimizer:
        """Make the optimizer."""
        schedule = as_schedule(self.learning_rate)
        decay = (self.decay_rate, self.step_offset)
        moments = optax.scale_by_factored_rms(
            self.factored, *decay, self.min_dim_size_to_factor, self.epsilon1
        )
        of_layers = (
            factor_kernels(*decay, self.epsilon1) if self.factor_small_layers and self.factored else moments
        )
        scale = []
        if self.clipping_threshold is not None:
            scale.append(optax.clip_by_block_rms(self.clipping_threshold))
        if self.multiply_by_parameter_scale:
            scale.append(scale_by_parameter(self.epsilon2, self.max_parameter_scale))

        steps = [
            per_layer(optax.chain(moments, *scale), optax.chain(of_layers, *scale)),
            optax.scale_by_schedule(schedule),
        ]
        if self.global_norm_clip_threshold is not None:
            steps.insert(0, optax.clip_by_global_norm(self.global_norm_clip_threshold))
        if self.beta1 is not None:
            steps.append(optax.ema(self.beta1, debias=False))
        if self.weight_decay_rate_lr_exponent:  # as in T5X, 0 is none
            factor = 1.0 if self.weight_decay_rate is None else self.weight_decay_rate
            power = self.weight_decay_rate_lr_exponent
            steps.append(
                decay_weights(lambda step: factor * schedule(step) ** power, self.weight_decay_exclude)
            )
        elif self.weight_decay_rate is not None:
            steps.append(decay_weights(self.weight_decay_rate, self.weight_decay_exclude))
        return Optimizer(optax.chain(*steps, optax.scale(-1.0)), schedule)


@value
class AdamW:
    """AdamW (Loshchilov and Hutter 2019).

    Args:
        learning_rate: a rate or a schedule of steps; absolute.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root of the second moment.
        weight_decay: times the learning rate, taken away at every step.
        global_norm_clip_threshold: greatest norm of all gradients together.
        weight_decay_exclude: patterns of parameters that do not decay.
    """

    learning_rate: NotNegative | Callable
    b1: Below1 = 0.9
    b2: Below1 = 0.999
    eps: NotNegative = 1e-8
    weight_decay: NotNegative = 0.0
    global_norm_clip_threshold: Positive | None = None
    weight_decay_exclude: tuple[Pattern, ...] = NORM_SCALES

    def build(self) -> Optimizer:
        """Make the optimizer."""
        schedule = as_schedule(self.learning_rate)
        steps = [optax.scale_by_adam(self.b1, self.b2, self.eps), optax.scale_by_learning_rate(schedule)]
        if self.weight_decay:
            steps.insert(1, decay_weights(self.weight_decay, self.weight_decay_exclude))
        if self.global_norm_clip_threshold is not None:
            steps.insert(0, optax.clip_by_global_norm(self.global_norm_clip_threshold))
        return Optimizer(optax.chain(*steps), schedule)


GIN_NAMES = {'adafactor': Adafactor, 'adamw': AdamW}  # as gin files call them
