"""What a run does beside its steps neither stops it nor is waited for without end."""

import contextlib
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any

WAITS = 600.0  # seconds that a run waits for its data, or for a checkpoint that does not grow
BEHIND = 10_000  # records that a view may be behind
ENDS = 60.0  # seconds that a run waits for a view's last records


@contextlib.contextmanager
def within(seconds: float, doing: str) -> Iterator[None]:
    """Raise a `TimeoutError` if what is done in this context takes longer; not in other threads than the
    main one, where signals do not arrive.

    Args:
        seconds: the limit.
        doing: what is done, and where.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(
            f'{doing} took longer than {seconds:.0f} s: a thread, a disk or a network stands still; the same '
            'command goes on from the last whole checkpoint'
        )

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class View:
    """A view of a run's records, such as TensorBoard's: written in a thread, and given up where that fails or
    stands still. The run goes on without it.

    Args:
        name: of the view, and where it lies.
        write: takes a record.
        close: is called after the last one.
        lost: is called with a line of text, once, when the view is given up.
    """

    def __init__(
        self,
        name: str,
        write: Callable[[Mapping[str, Any]], None],
        close: Callable[[], None],
        lost: Callable[[str], None],
    ) -> None:
        self._name, self._write, self._close, self._lost = name, write, close, lost
        self._records: queue.Queue[Mapping[str, Any] | None] = queue.Queue(BEHIND)
        self._fault: str | None = None
        self._given_up = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a record soon."""
        if not self._given_up:
            try:
                self._records.put_nowait(record)
            except queue.Full:
                self._fault = self._fault or f'{BEHIND:,} records wait to be written'
            self._give_up()

    def close(self) -> None:
        """Write what waits, for `ENDS` seconds at most."""
        if self._fault is None:
            with contextlib.suppress(queue.Full):
                self._records.put(None, timeout=ENDS)
            self._thread.join(ENDS)
        if self._thread.is_alive() and self._fault is None:
            self._fault = f'its last records were not written within {ENDS:.0f} s'
        self._give_up()

    def _give_up(self) -> None:
        if self._fault and not self._given_up:
            self._given_up = True
            self._lost(f'{self._name} is given up: {self._fault}; metrics.jsonl has all records')

    def _run(self) -> None:
        try:
            while (record := self._records.get()) is not None:
                self._write(record)
            self._close()
        except Exception as error:  # of another library
            self._fault = ' '.join(str(error).split()) or type(error).__name__
