"""SIGTERM and Ctrl-C: a run finishes its step, saves a checkpoint and ends. The same command continues from
there.
"""

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType

import jax
from jax.experimental import multihost_utils

from flanlite.mesh import termination

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """A context in which the first signal is only recorded, and the second ends the process at once.

    With several processes, JAX handles SIGTERM: it makes all processes agree on a step after which they stop,
    since a checkpoint needs all of them at the same step. SIGINT is sent on as SIGTERM. Outside the main
    thread signal handlers stay unchanged, as Python requires.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._several = jax.process_count() > 1
        self._before: dict[signal.Signals, object] = {}
        self._noted = contextlib.ExitStack()

    def __enter__(self) -> 'Interrupts':
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT,) if self._several else SIGNALS:
                self._before[number] = signal.signal(number, self._note)
            if self._several:
                self._noted.enter_context(termination.noted_by_jax())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()
        self._noted.close()

    def requested(self, step: int) -> bool:
        """Tell whether to stop after this step. All processes must ask at every step; all get the same
        answer.
        """
        if self._several and self.received is None and multihost_utils.reached_preemption_sync_point(step):
            self.received = signal.SIGTERM
        return self.received is not None

    def leave(self) -> None:
        """End the process as the signal would have: `KeyboardInterrupt` for SIGINT, exit status 143 (128 +
        15) for SIGTERM.
        """
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
