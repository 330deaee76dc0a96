"""SIGTERM in a run of several processes: JAX's handler only notes it, for a training loop that asks and then
saves; outside of one it must end the process.
"""

import contextlib
import ctypes
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

JAX_HANDLER = ctypes.create_string_buffer(1024)  # more than C's `struct sigaction` has on any system


class Terminated(BaseException):
    """SIGTERM came where no training loop could save first."""


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Raise `Terminated` in the main thread."""
    raise Terminated('it got SIGTERM')


def heed() -> None:
    """Let SIGTERM raise `Terminated`. Call it once JAX has set its own handler, which is kept.

    Python does not know the handlers of C++, so that only C can put one back. Nothing happens outside the
    main thread, where no handler can be set.
    """
    if threading.current_thread() is threading.main_thread():
        ctypes.CDLL(None).sigaction(signal.SIGTERM, None, JAX_HANDLER)
        signal.signal(signal.SIGTERM, terminate)


@contextlib.contextmanager
def noted_by_jax() -> Iterator[None]:
    """Leave SIGTERM to JAX's handler, if `heed` has taken it away."""
    if signal.getsignal(signal.SIGTERM) is not terminate:
        yield
        return
    ctypes.CDLL(None).sigaction(signal.SIGTERM, JAX_HANDLER, None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
