"""A trace of some training steps, for TensorBoard's profile plugin and for Perfetto."""

import os
import pathlib
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

import jax

FOLDER = 'profile'
WARM = 3  # steps before a trace of 'N' steps: the first one compiles, and the next ones wait for it


def parse_steps(steps: str | int, train_steps: int) -> tuple[int | None, int]:
    """Parse the steps to trace: 'A-B' means the steps from A to B, 'N' means N steps after the first `WARM`.

    Args:
        steps: in either form.
        train_steps: the run's last step.

    Returns:
        (A, B), or (None, N).

    Raises:
        ValueError: `steps` is in neither form, or lies beyond the run's last step.
    """
    found = re.fullmatch(r'(?:(\d+)-)?(\d+)', str(steps))
    if not found:
        raise ValueError(
            f"profile_steps is {steps!r}; expected a number of steps, '5', or the first and last of them, "
            "'100-105'"
        )
    first, last = found[1] and int(found[1]), int(found[2])
    if last < 1 or (first is None and train_steps <= WARM):
        raise ValueError(
            f'profile_steps is {steps!r}; expected at least 1 step, of a run of more than {WARM}; '
            f'this one has {train_steps}'
        )
    if first is not None and not 1 <= first <= last <= train_steps:
        raise ValueError(
            f'profile_steps is {steps!r}; expected the first and the last of some steps from 1 to '
            f'{train_steps}'
        )
    return first, last


class Profiler:
    """Traces steps into the run's folder. It does nothing without `steps`, or if the run continues from
    beyond the first of them.

    Args:
        model_dir: the run's folder.
        start_step: the step that the run continues from.
        train_steps: the run's last step.
        steps: for `parse_steps`; None traces nothing.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        start_step: int,
        train_steps: int,
        steps: str | int | None = None,
    ) -> None:
        self.folder = pathlib.Path(model_dir) / FOLDER
        self._first = self._last = -1
        self._tracing = False
        if steps is None:
            return
        first, last = parse_steps(steps, train_steps)
        self._first = start_step + WARM + 1 if first is None else first
        self._last = min(self._first + last - 1, train_steps) if first is None else last

    def __enter__(self) -> 'Profiler':
        return self

    def before(self, step: int) -> None:
        """Start the trace if this is its first step."""
        if step == self._first:
            jax.profiler.start_trace(self.folder, create_perfetto_trace=jax.process_index() == 0)
            self._tracing = True

    def after(self, step: int, result: Any, say: Callable[[str], None]) -> None:
        """Stop the trace if this was its last step.

        Args:
            step: number of the step that was dispatched.
            result: arrays of the step, to wait for.
            say: prints where the trace is.
        """
        if self._tracing and step == self._last:
            jax.block_until_ready(result)
            self._stop()
            say(
                f'the trace of steps {self._first} to {self._last} is in {self.folder}: open the '
                'perfetto_trace.json.gz below it at '
                f'https://ui.perfetto.dev, or pip install xprof and run xprof --logdir={self.folder}'
            )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._tracing:
            self._tracing = False
            jax.profiler.stop_trace()
