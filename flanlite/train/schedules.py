"""Learning rates as functions of the step: T5X's factor strings, and the usual curves. Any function of a step will do in their place."""

import functools
from collections.abc import Callable
from typing import Any

import gin
import jax
import jax.numpy as jnp
import optax

Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]


def kept(make: Callable) -> Callable:
    """Return the same object for the same arguments, so that a step compiled for one run is found again by the next."""
    cached = functools.lru_cache(make)

    @functools.wraps(make)
    def call(*args: Any, **settings: Any) -> Any:
        return cached(*map(hashable, args), **{name: hashable(value) for name, value in settings.items()})

    return call


def hashable(value: Any) -> Any:
    """Make a tuple of a list, as gin files have them."""
    return tuple(value) if isinstance(value, list) else value


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


@gin.configurable(module='flanlite.utils')  # T5X's gin files call it utils.create_learning_rate_scheduler
@kept
def create_learning_rate_scheduler(
    factors: str = 'constant * linear_warmup * rsqrt_decay',
    base_learning_rate: float = 0.5,
    warmup_steps: int = 1000,
    decay_factor: float = 0.5,
    steps_per_decay: int = 20_000,
    steps_per_cycle: int = 100_000,
    step_offset: int = 0,
    min_learning_rate: float = 1e-8,
) -> Schedule:
    """Multiply factors, with the names, arguments and defaults of `t5x.utils.create_learning_rate_scheduler`.

    Args:
        factors: names with `*` between them. Of the step s, with w for `warmup_steps` and b for `base_learning_rate`:
            constant: b
            linear_warmup: min(1, s / w)
            linear_decay: b min(s / w, 1 + decay_factor (w - s)), which holds the constant and the warm-up
            rsqrt_decay: 1 / sqrt(max(s, w))
            rsqrt_normalized_decay: sqrt(w / max(s, w))
            decay_every: decay_factor ^ floor(s / steps_per_decay)
            cosine_decay: (1 + cos(pi p)) / 2, with p = max(0, s - w) / steps_per_cycle, less its whole part
        base_learning_rate: b.
        warmup_steps: w.
        decay_factor: of linear_decay and decay_every.
        steps_per_decay: of decay_every.
        steps_per_cycle: of cosine_decay.
        step_offset: the step that counts as 0, and those before it too.
        min_learning_rate: the least value.

    Raises:
        ValueError: a factor that is none of these.
    """

    def falls_linearly(s: jax.Array) -> jax.Array:
        return base_learning_rate * jnp.minimum(s / warmup_steps, 1.0 + decay_factor * (warmup_steps - s))

    known: dict[str, Schedule] = {
        'constant': lambda s: base_learning_rate,
        'linear_warmup': lambda s: jnp.minimum(1.0, s / warmup_steps),
        'linear_decay': falls_linearly,
        'rsqrt_decay': lambda s: 1.0 / jnp.sqrt(jnp.maximum(s, warmup_steps)),
        'rsqrt_normalized_decay': lambda s: jnp.sqrt(warmup_steps / jnp.maximum(s, warmup_steps)),
        'decay_every': lambda s: decay_factor ** (s // steps_per_decay),
        'cosine_decay': lambda s: 0.5 * (1.0 + jnp.cos(jnp.pi * (jnp.maximum(0, s - warmup_steps) / steps_per_cycle % 1.0))),
    }
    names = [name.strip() for name in factors.split('*')]
    for name in names:
        if name not in known:
            raise ValueError(f'{name!r} in the learning rate {factors!r} is no factor; expected names among {", ".join(known)}')

    def schedule(step: jax.typing.ArrayLike) -> jax.Array:
        since = jnp.maximum(0, step - step_offset)
        rate = jnp.float32(1.0)
        for name in names:
            rate = rate * known[name](since)
        return jnp.maximum(rate, min_learning_rate)

    return schedule
