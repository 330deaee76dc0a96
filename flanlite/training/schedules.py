"""Learning rates as functions of the step: T5X's factor strings, and the usual curves. Any function of a step
will do in their place.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from flanlite.config import value
from flanlite.limits import Count, NotNegative, Number, Whole

Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]


@value
class ConstantSchedule:
    """One learning rate: 1e-3 for T5's fine-tuning with Adafactor."""

    learning_rate: NotNegative

    def __call__(self, step: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
        return optax.constant_schedule(self.learning_rate)(step)


@value
class RsqrtSchedule:
    """base / sqrt(step), held until `warmup_steps`: T5's pretraining.

    Args:
        base: numerator; the highest rate is base / sqrt(warmup_steps).
        warmup_steps: steps before the decay begins.
        ramp: rise linearly from 0 during the warm-up instead.
    """

    base: NotNegative = 1.0
    warmup_steps: Count = 10_000
    ramp: bool = False

    def __call__(self, step: jax.typing.ArrayLike) -> jax.Array:
        rate = self.base / jnp.sqrt(jnp.maximum(step, self.warmup_steps))
        return rate * jnp.minimum(1.0, step / self.warmup_steps) if self.ramp else rate


@value
class LinearSchedule:
    """A linear rise to `peak` over `warmup_steps`, then a linear fall to `final` at `steps`."""

    peak: NotNegative
    steps: Whole
    warmup_steps: Whole = 0
    final: NotNegative = 0.0

    def __call__(self, step: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
        warmup = optax.linear_schedule(0.0, self.peak, self.warmup_steps)
        end = max(self.steps, self.warmup_steps + 1)  # a short trial may end within the rise
        fall = optax.linear_schedule(self.peak, self.final, end - self.warmup_steps)
        return optax.join_schedules([warmup, fall], [self.warmup_steps])(step)


@value
class CosineSchedule:
    """A linear rise to `peak` over `warmup_steps`, then a fall along a half cosine to `final` at `steps`."""

    peak: NotNegative
    steps: Whole
    warmup_steps: Whole = 0
    final: NotNegative = 0.0

    def __call__(self, step: jax.typing.ArrayLike) -> jax.typing.ArrayLike:
        start = 0.0 if self.warmup_steps else self.peak
        end = max(self.steps, self.warmup_steps + 1)  # a short trial may end within the rise
        return optax.warmup_cosine_decay_schedule(start, self.peak, self.warmup_steps, end, self.final)(step)


@value
class FactorSchedule:
    """A product of factors, with the names, arguments and defaults of
    `t5x.utils.create_learning_rate_scheduler`, as gin calls it too.

    Args:
        factors: names with `*` between them. Of the step s, with w for `warmup_steps` and b for
            `base_learning_rate`:
                constant: b
                linear_warmup: min(1, s / w)
                linear_decay: b min(s / w, 1 + decay_factor (w - s)), which holds the constant and the warm-up
                rsqrt_decay: 1 / sqrt(max(s, w))
                rsqrt_normalized_decay: sqrt(w / max(s, w))
                decay_every: decay_factor ^ floor(s / steps_per_decay)
                cosine_decay: (1 + cos(pi p)) / 2, with p = max(0, s - w) / steps_per_cycle, less its whole
                    part
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

    factors: str = 'constant * linear_warmup * rsqrt_decay'
    base_learning_rate: NotNegative = 0.5
    warmup_steps: Count = 1000
    decay_factor: Number = 0.5
    steps_per_decay: Count = 20_000
    steps_per_cycle: Count = 100_000
    step_offset: Whole = 0
    min_learning_rate: NotNegative = 1e-8

    def __post_init__(self) -> None:
        known = self._known()
        for name in self._names():
            if name not in known:
                raise ValueError(
                    f'{name!r} in the learning rate {self.factors!r} is no factor; expected names among '
                    f'{", ".join(known)}'
                )

    def __call__(self, step: jax.typing.ArrayLike) -> jax.Array:
        since = jnp.maximum(0, step - self.step_offset)
        rate, known = jnp.float32(1.0), self._known()
        for name in self._names():
            rate = rate * known[name](since)
        return jnp.maximum(rate, self.min_learning_rate)

    def _names(self) -> list[str]:
        return [name.strip() for name in self.factors.split('*')]

    def _known(self) -> dict[str, Schedule]:
        base, warmup, decay = self.base_learning_rate, self.warmup_steps, self.decay_factor
        return {
            'constant': lambda s: base,
            'linear_warmup': lambda s: jnp.minimum(1.0, s / warmup),
            'linear_decay': lambda s: base * jnp.minimum(s / warmup, 1.0 + decay * (warmup - s)),
            'rsqrt_decay': lambda s: 1.0 / jnp.sqrt(jnp.maximum(s, warmup)),
            'rsqrt_normalized_decay': lambda s: jnp.sqrt(warmup / jnp.maximum(s, warmup)),
            'decay_every': lambda s: decay ** (s // self.steps_per_decay),
            'cosine_decay': lambda s: (
                0.5 * (1.0 + jnp.cos(jnp.pi * (jnp.maximum(0, s - warmup) / self.steps_per_cycle % 1.0)))
            ),
        }


GIN_NAMES = {  # as gin files call them
    'constant': ConstantSchedule,
    'rsqrt': RsqrtSchedule,
    'linear': LinearSchedule,
    'cosine': CosineSchedule,
    'create_learning_rate_scheduler': FactorSchedule,
}
