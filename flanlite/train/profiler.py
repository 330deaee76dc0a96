"""A trace of some steps, for TensorBoard's profile plugin and for Perfetto."""

import os
import pathlib
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

import gin
import jax

FOLDER = 'profile'
WARM = 3  # steps that a run takes before a trace: the first compiles, and the next wait for it


@gin.configurable
class Profiler:
    """Traces steps into the run's folder; without `steps`, or where the run goes on from behind the first of them, does nothing.

    Args:
        model_dir: the run's folder.
        start_step: the step that the run goes on from.
        train_steps: the run's last step.
        steps: 'A-B' traces the steps from A to B, 'N' traces N steps as soon as the run is warm.

    Raises:
        ValueError: steps that are none, or that lie behind the run's last.
    """

    def __init__(self, model_dir: str | os.PathLike[str], start_step: int, train_steps: int, steps: str | int | None = None) -> None:
        self.folder = pathlib.Path(model_dir) / FOLDER
        self._first = self._last = -1
        self._tracing = False
        if steps is None:
            return
        found = re.fullmatch(r'(?:(\d+)-)?(\d+)', str(steps))
        if not found:
            raise ValueError(f"profile_steps is {steps!r}; expected a number of steps, '5', or the first and last of them, '100-105'")
        self._last = int(found[2])
        self._first = int(found[1]) if found[1] else start_step + WARM + 1
        if not found[1]:
            self._last = min(self._first + self._last - 1, train_steps)
        elif not 1 <= self._first <= self._last <= train_steps:
            raise ValueError(f'profile_steps is {steps!r}; expected the first and the last of some steps from 1 to {train_steps}')

    def __enter__(self) -> 'Profiler':
        return self

    def before(self, step: int) -> None:
        """Begin the trace if this is its first step."""
        if step == self._first:
            jax.profiler.start_trace(self.folder, create_perfetto_trace=jax.process_index() == 0)
            self._tracing = True

    def after(self, step: int, result: Any, say: Callable[[str], None]) -> None:
        """End the trace if this was its last step, when its result is computed."""
        if self._tracing and step == self._last:
            jax.block_until_ready(result)
            self._stop()
            say(
                f'the trace of steps {self._first} to {self._last} is in {self.folder}: open the perfetto_trace.json.gz below it at '
                f'https://ui.perfetto.dev, or pip install xprof and run xprof --logdir={self.folder}'
            )

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()
