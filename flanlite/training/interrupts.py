"""SIGTERM and Ctrl-C: a run finishes its step, saves, and leaves; the same command goes on from there."""

import os
import signal
import threading
from types import FrameType, TracebackType

import jax
from jax.experimental import multihost_utils

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """A context in which signals are noted instead of ending the process; a second signal ends it at once.

    With several processes, JAX hears SIGTERM and lets all processes agree on the step after which they stop; SIGINT is passed on as that.
    Outside the main thread signals stay as they are.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._several = jax.process_count() > 1
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> 'Interrupts':
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT,) if self._several else SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._restore()

    def requested(self, step: int) -> bool:
        """Tell whether to stop after this step; all processes ask at every step, and get the same answer."""
        if self._several and self.received is None and multihost_utils.reached_preemption_sync_point(step):
            self.received = signal.SIGTERM
        return self.received is not None

    def leave(self) -> None:
        """End as the signal asked: `KeyboardInterrupt` for SIGINT, exit status 143 for SIGTERM, as shells number them."""
        if self.received is signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        os.write(2, b'saving after this step; a second signal ends the run at once\n')
        if self._several:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            self.received = signal.Signals(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
