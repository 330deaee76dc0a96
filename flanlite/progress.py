"""Progress of long work: a live bar on a terminal, elsewhere a line now and then."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

CONSOLE = Console(emoji=False, stderr=True, soft_wrap=True, highlight=False)
SECONDS_BETWEEN_LINES = 20.0  # that `progress_bar` waits before another line, without a terminal
QUIET_SECONDS = 10  # that `BuildProgress` waits, likewise


class BuildProgress:
    """Shows the progress of a build: a bar on a terminal, elsewhere a line now and then; nothing if there is
    nothing to build.

    Args:
        title: comes before the bar and every line.
        total: the number of tasks to build.
    """

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done, self.examples = title, total, 0, 0
        self.started = self.told = time.monotonic()
        self.lock = threading.Lock()
        columns = (
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.fields[examples]:,} examples'),
        )
        self.bar = Progress(*columns, TimeElapsedColumn(), console=CONSOLE, transient=True)
        self.task = self.bar.add_task(title, total=total, examples=0)

    def __enter__(self) -> 'BuildProgress':
        if self.total and CONSOLE.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar.live.is_started:  # rich ends even a bar that never began with an empty line
            self.bar.stop()
        if self.total:
            self.tell(
                f'{self.done} of {self.total} tasks, {self.examples:,} examples in '
                f'{time.monotonic() - self.started:.1f} s'
            )

    def advance(self, examples: int, task: bool = False) -> None:
        """Count examples that were written and, with `task`, one finished task; any thread may call this."""
        with self.lock:
            self.examples += examples
            self.done += task
        self.bar.update(self.task, completed=self.done, examples=self.examples)
        if not CONSOLE.is_terminal and time.monotonic() - self.told > QUIET_SECONDS:
            self.tell(f'{self.done} of {self.total} tasks, {self.examples:,} examples')

    def tell(self, text: str) -> None:
        """Print a line."""
        self.told = time.monotonic()
        CONSOLE.print(f'{self.title}: {text}', markup=False)


def duration(seconds: float) -> str:
    """Return a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'


@contextlib.contextmanager
def progress_bar(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how much of some work is done. The body gets a function, and calls it with the number of units
    that were done since.

    Args:
        label: comes before the bar and every line.
        total: the number of units to do.
        unit: the name of a unit, in the plural.
    """
    if CONSOLE.is_terminal:
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(TextColumn('{task.description}'), *columns, console=CONSOLE, transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.advance(task, done)
        return
    start = last = time.monotonic()
    finished = 0

    def advance(done: int) -> None:
        nonlocal last, finished
        finished += done
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and finished < total:
            last = now
            left = (now - start) * (total - finished) / finished
            times = f'{duration(now - start)} elapsed, {duration(left)} left'
            print(f'{label}: {finished:,} of {total:,} {unit}, {times}', file=sys.stderr, flush=True)

    yield advance
