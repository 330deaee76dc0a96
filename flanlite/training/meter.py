"""From each step's sums to what is logged of an interval: means, rates, fill. Reads the devices late, so that they never wait for it."""

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import jax

IN_FLIGHT = 2  # steps the devices may be ahead of what is read here


class NonFiniteLoss(RuntimeError):
    """The loss or the gradient is no finite number; nothing of that step is saved."""


class Meter:
    """Adds up steps and gives a record for every interval.

    Args:
        capacity: tokens that a step's batch has room for, by side: encoder (where there is one) and decoder.
        every_steps: a record is due at each multiple of this.
        last_step: a record is due there too; should the run be prolonged, the next regular one is what it would have been.
        unlogged: what `get_unlogged` gave at the step that this run goes on from.
        ideal_seconds: a step's at the devices' peak, of which the model's FLOP utilisation is the share; None where that is not known.
    """

    def __init__(
        self,
        capacity: Mapping[str, int],
        every_steps: int,
        last_step: int,
        unlogged: Mapping[str, float],
        ideal_seconds: float | None = None,
    ) -> None:
        self._capacity, self._ideal_seconds = capacity, ideal_seconds
        self._every, self._last_step = every_steps, last_step
        self._pending: deque[tuple[int, dict[str, jax.Array], float]] = deque()
        self._totals: dict[str, float] = dict(unlogged)
        self._clock: float | None = None

    def add(self, step: int, sums: Mapping[str, jax.Array], data_seconds: float) -> list[dict[str, Any]]:
        """Take the sums of a step that was started, and return the records that became due."""
        for value in sums.values():
            value.copy_to_host_async()
        self._pending.append((step, dict(sums), data_seconds))
        return self._read(IN_FLIGHT)

    def finish(self) -> list[dict[str, Any]]:
        """Wait for all steps that were started; return the records that became due."""
        return self._read(0)

    def restart_clock(self) -> None:
        """Count time from now on: what went before (compiling, saving, evaluating) is no step's."""
        self._clock = time.perf_counter()

    def get_unlogged(self) -> dict[str, float]:
        """Return the sums since the last record, to go on with after a restart. All steps must be finished."""
        assert not self._pending
        return dict(self._totals)

    def _read(self, in_flight: int) -> list[dict[str, Any]]:
        records = []
        while len(self._pending) > in_flight:
            step, sums, data_seconds = self._pending.popleft()
            values = {name: float(value) for name, value in jax.device_get(sums).items()}
            if not (math.isfinite(values['loss']) and math.isfinite(values['gradient_norm'])):
                raise NonFiniteLoss(
                    f'the loss at step {step} is {values["loss"] / values["weight_sum"]:g}, its gradient norm {values["gradient_norm"]:g} '
                    f'(learning rate {values["learning_rate"]:g}); lower the learning rate, or warm up longer, and start again: '
                    'the run goes on from its last checkpoint'
                )
            self._count(values, data_seconds)
            if step % self._every == 0 or step == self._last_step:
                records.append(self._record(step, values))
        return records

    def _count(self, values: Mapping[str, float], data_seconds: float) -> None:
        added = {**values, 'steps': 1.0}
        now = time.perf_counter()
        if self._clock is not None:
            added |= {'timed_steps': 1.0, 'seconds': now - self._clock, 'data_seconds': data_seconds}
        self._clock = now
        for name, value in added.items():
            self._totals[name] = self._totals.get(name, 0.0) + value

    def _record(self, step: int, values: Mapping[str, float]) -> dict[str, Any]:
        totals = self._totals
        if step % self._every == 0:
            self._totals = {}
        steps, weights = totals['steps'], totals['weight_sum'] or 1.0
        record = {'step': step, **{name: totals[name] / weights for name in ('loss', 'z_loss', 'accuracy')}}
        record |= {'learning_rate': values['learning_rate'], 'gradient_norm': totals['gradient_norm'] / steps}
        record |= {name: value for name, value in values.items() if name.startswith(('gradient_norm/', 'parameter_norm/'))}
        for side, room in self._capacity.items():
            record[f'{side}_fill'] = totals[f'{side}_tokens'] / (steps * room)
        if timed := totals.get('timed_steps'):
            seconds, data = totals['seconds'] / timed, totals['data_seconds'] / timed
            tokens = sum(totals[f'{side}_tokens'] for side in self._capacity) / steps
            record |= {'tokens_per_second': tokens / seconds, 'seconds_per_step': seconds}
            record |= {'data_seconds': data, 'compute_seconds': max(seconds - data, 0.0)}
            if self._ideal_seconds is not None:
                record['mfu'] = self._ideal_seconds / seconds
        return record
