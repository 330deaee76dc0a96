"""Progress of long work on the data: a bar on a terminal, else a line now and then."""

import threading
import time

import rich.progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

CONSOLE = Console(stderr=True, soft_wrap=True, highlight=False)
QUIET_SECONDS = 10  # between lines where there is no terminal


class Progress:
    """Shows how far a build is: a bar on a terminal, else a line now and then; nothing where nothing is built."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done, self.examples = title, total, 0, 0
        self.started = self.told = time.monotonic()
        self.lock = threading.Lock()
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TextColumn('{task.fields[examples]:,} examples'))
        self.bar = rich.progress.Progress(*columns, TimeElapsedColumn(), console=CONSOLE, transient=True)
        self.task = self.bar.add_task(title, total=total, examples=0)

    def __enter__(self) -> 'Progress':
        if self.total and CONSOLE.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        if self.total:
            self.tell(f'{self.done} of {self.total} tasks, {self.examples:,} examples in {time.monotonic() - self.started:.1f} s')

    def advance(self, examples: int, task: bool = False) -> None:
        """Count examples that were written, or a task that is finished; any thread may call it."""
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
