"""From each step's sums to the record of an interval: means, rates, fill of the rows, MFU.

JAX dispatches steps without waiting for their results. Reading a step's loss at once would wait for the step,
and the devices would idle while the host prepares the next batch. So `Meter.add` starts to copy the sums to
the host and reads them `IN_FLIGHT` steps later, when they have arrived. Reading also paces the host: the time
between two reads is the time of a step.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import jax

# Steps that are dispatched but not read: enough to keep the devices busy, few enough to find a bad loss soon.
IN_FLIGHT = 2


class NonFiniteLoss(RuntimeError):
    """The loss or the gradient norm of a step is not finite; no checkpoint holds that step."""


class Meter:
    """Adds up the sums of steps and returns a record for every interval.

    Args:
        capacity: number of tokens that a step's batch has room for, by side: encoder (if there is one) and
            decoder.
        every_steps: a record is due at each multiple of this.
        last_step: a record is due here, too. It does not reset the sums: if the run is continued, its next
            record is as if never stopped.
        unlogged: what `get_unlogged` returned at the step that this run continues from.
        ideal_seconds: time of a step at the devices' peak; divided by the measured time it is the MFU. None
            if the peak is not known.
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
        """Take the sums of a dispatched step, and return the records that became due.

        Args:
            step: number of the step.
            sums: of `train_step`, on the devices.
            data_seconds: time that the host waited for the step's batch.

        Raises:
            NonFiniteLoss: the loss or gradient norm of an earlier step, which is read now, is not finite.
        """
        for value in sums.values():
            value.copy_to_host_async()
        self._pending.append((step, dict(sums), data_seconds))
        return self._read(IN_FLIGHT)

    def finish(self) -> list[dict[str, Any]]:
        """Wait for all dispatched steps, and return the records that became due; raises as `add` does."""
        return self._read(0)

    def restart_clock(self) -> None:
        """Start the clock again after work that belongs to no step: saving or evaluating."""
        self._clock = time.perf_counter()

    def get_unlogged(self) -> dict[str, float]:
        """Return the sums since the last record, for `unlogged` of a continued run. Call `finish` before."""
        assert not self._pending
        return dict(self._totals)

    def _read(self, in_flight: int) -> list[dict[str, Any]]:
        records = []
        while len(self._pending) > in_flight:
            step, sums, data_seconds = self._pending.popleft()
            values = {name: float(value) for name, value in jax.device_get(sums).items()}
            if not (math.isfinite(values['loss']) and math.isfinite(values['gradient_norm'])):
                raise NonFiniteLoss(
                    f'the loss at step {step} is {values["loss"] / values["weight_sum"]:g}, its gradient '
                    f'norm {values["gradient_norm"]:g} '
                    f'(learning rate {values["learning_rate"]:g}); lower the learning rate, or warm up '
                    'longer, and start again: '
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
        record['learning_rate'] = values['learning_rate']
        means = ('gradient_norm', 'gradient_conflicts')
        record |= {name: totals[name] / steps for name in means if name in totals}
        record |= {
            name: value
            for name, value in values.items()
            if name.startswith(('gradient_norm/', 'parameter_norm/'))
        }
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
