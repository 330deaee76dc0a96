"""Progress of long work: a live bar on a terminal, an occasional line elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

CONSOLE = Console(stderr=True, soft_wrap=True, highlight=False)
SECONDS_BETWEEN_LINES = 20.0


def duration(seconds: float) -> str:
    """Write a duration as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02d}:{rest:02d}' if hours else f'{minutes}:{rest:02d}'


@contextlib.contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how much of some work is done; the body calls the function it gets with each number of units done."""
    if CONSOLE.is_terminal:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeElapsedColumn(), TimeRemainingColumn())
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
