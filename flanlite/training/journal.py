"""A run's records: metrics.jsonl, TensorBoard events, Weights & Biases if asked for, and a live bar on the
terminal.
"""

import contextlib
import functools
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from flanlite.progress import duration
from flanlite.training.watch import View
from flanlite.training.weights_biases import WandbLog
from flanlite.writing import explained, write_whole

METRICS = 'metrics.jsonl'
SECONDS_BETWEEN_LINES = 10.0  # where the output is not a terminal
BAR_WIDTH = 14  # of the live bar


def read_metrics(model_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read a run's metrics.jsonl, without the end, where that was cut off while it was written, and without
    lines that are no record, of which it says how many there are; no file gives no records.
    """
    path = pathlib.Path(model_dir) / METRICS
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    records = [read_record(line) for line in lines]
    others = [line for line, record in zip(lines, records, strict=True) if record is None]
    if count := sum(line.endswith(b'\n') for line in others):
        tell_others(path, count)
    return [record for record in records if record is not None]


def read_record(line: bytes) -> dict[str, Any] | None:
    """Read a line of metrics.jsonl; None where it is no object with a `step`."""
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and type(record.get('step')) is int else None


@functools.cache
def tell_others(path: pathlib.Path, count: int) -> None:
    """Say, once, that lines of a file are left out."""
    said = 'line is no record, an object with a whole number "step", and is'
    if count > 1:
        said = 'lines are no records, objects with a whole number "step", and are'
    print(f'{path}: {count:,} {said} left out', file=sys.stderr, flush=True)


class Journal:
    """Writes records to metrics.jsonl, TensorBoard, the terminal and maybe Weights & Biases.

    `last` holds the newest value of each name; processes other than the first keep only that.

    Args:
        model_dir: the run's folder, which exists.
        title: text at the beginning of each line.
        start_step: the step that the run continues from. Records of later steps are removed: they will be
            written again.
        train_steps: the run's last step.
        active: False in processes other than the first.
        wandb: the run on Weights & Biases, or None.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str],
        title: str,
        start_step: int,
        train_steps: int,
        active: bool = True,
        wandb: WandbLog | None = None,
    ) -> None:
        self._title, self._train_steps, self._active = title, train_steps, active
        self._said = -math.inf
        self._waiting: str | None = None
        self.last: dict[str, Any] = {}
        self._newest: dict[str, Any] = {}  # of the last step that has a record
        if not active:
            return
        kept = [record for record in read_metrics(model_dir) if record['step'] <= start_step]
        self._path = pathlib.Path(model_dir) / METRICS
        write_whole(self._path, ''.join(json.dumps(record) + '\n' for record in kept))
        self._file = self._path.open('a', encoding='utf-8')
        self._console = Screen(emoji=False, file=sys.stdout, highlight=False)
        self._live: Live | None = None
        board = Board(model_dir, start_step + 1)
        self._views = [View(f"TensorBoard's {board.path}", board.write, board.close, self.say)]
        if wandb is not None:
            self._views.append(View('the page on Weights & Biases', wandb.write, wandb.close, self.say))

    def write(self, *records: Mapping[str, Any]) -> None:
        """Write records, each with its `step`, and show those of training on the terminal.

        Raises:
            OSError: metrics.jsonl cannot be written, or is no longer there.
        """
        if self._active:
            self._check_there()
        for record in records:
            self.last |= record
            same = record['step'] == self._newest.get('step')
            self._newest = {**(self._newest if same else {}), **record}
            if self._active:
                self._write(record)

    def measured_at(self, step: int) -> dict[str, float]:
        """Return what the records of the newest step say of it; nothing if they are of an earlier one."""
        found = self._newest if self._newest.get('step') == step else {}
        return {name: value for name, value in found.items() if name != 'step'}

    def say(self, text: str) -> None:
        """Print a line of text; a training record that waits to be shown comes before it."""
        if self._active:
            self._show_waiting()
            self._print(text)

    def close(self) -> None:
        """Show the record that waits to be shown, and close the files."""
        if not self._active:
            return
        if self._live is not None:
            self._live.stop()
        self._show_waiting()
        with contextlib.suppress(OSError):  # what could not be written was told
            self._file.close()
        for view in self._views:
            view.close()

    def _check_there(self) -> None:
        """Raise an `OSError` if the file was removed: the system would take what is written all the same."""
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(self._file.fileno()), self._path.stat()):
                return
        raise OSError(
            f'{self._path} was removed or replaced during the run, which ends, as its records would be lost; '
            'the same command goes on from the last checkpoint, if that is still there'
        )

    def _write(self, record: Mapping[str, Any]) -> None:
        with explained(self._path):
            self._file.write(json.dumps(record) + '\n')
            self._file.flush()
        for view in self._views:
            view.write(record)
        if 'loss' in record:
            self._show(record)
        if 'eval_loss' in record:
            named = '  '.join(f'{name} {value:.4f}' for name, value in record.items() if name != 'step')
            self.say(f'step {record["step"]}/{self._train_steps}  {named}')

    def _show(self, record: Mapping[str, Any]) -> None:
        text = record_line(record, self._train_steps)
        if self._console.is_terminal:
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False)
                self._live.start()
            bar = ProgressBar(self._train_steps, record['step'], width=BAR_WIDTH)
            shown = Table.grid(padding=(0, 1))
            shown.add_row(bar, Text(text, no_wrap=True, overflow='ellipsis'))
            self._live.update(shown, refresh=True)
        else:
            self._waiting = text
            if time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
                self._show_waiting()

    def _show_waiting(self) -> None:
        if self._waiting is not None:
            text, self._waiting, self._said = self._waiting, None, time.monotonic()
            self._print(text)

    def _print(self, text: str) -> None:
        with contextlib.suppress(OSError):  # what is shown is in metrics.jsonl as well
            self._console.print(Text(f'{self._title}: {text}'), soft_wrap=True)


class Screen(Console):
    """The output of a run, which goes on, to save what it has, when nobody reads that any more."""

    def on_broken_pipe(self) -> None:
        """Let what is still written go nowhere, that of others too, in place of ending the process."""
        self.quiet = True
        with contextlib.suppress(OSError, ValueError):  # no file of the system
            nowhere, output = os.open(os.devnull, os.O_WRONLY), self.file.fileno()
            os.dup2(nowhere, output)
            os.close(nowhere)


class Board:
    """A run's events for TensorBoard.

    Args:
        model_dir: the run's folder.
        first_step: TensorBoard forgets what it has of this step and later ones.
    """

    def __init__(self, model_dir: str | os.PathLike[str], first_step: int) -> None:
        self._events = EventsWriter(os.path.join(model_dir, 'events'))
        self.path = self._events._file_name
        self._add(Event(step=first_step, session_log=SessionLog(status=SessionLog.START)))

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a record, which has its `step`."""
        for name, value in record.items():
            if name != 'step':
                self._add(Event(step=record['step'], summary=scalar(name, value)))
        self._events.flush()

    def close(self) -> None:
        """Close the file."""
        self._events.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._events.write_event(event)


def record_line(record: Mapping[str, Any], train_steps: int) -> str:
    """Format the main numbers of a training record as one line, what matters least at its end; metrics.jsonl
    has all.
    """
    parts = [
        f'step {record["step"]}/{train_steps}',
        f'loss {record["loss"]:.4f}',
        f'accuracy {record["accuracy"]:.3f}',
    ]
    if 'tokens_per_second' in record:
        left = (train_steps - record['step']) * record['seconds_per_step']
        parts.append(f'{duration(left)} left')
        parts.append(
            f'{record["tokens_per_second"]:,.0f} tokens/s'
            + (f', MFU {record["mfu"]:.1%}' if 'mfu' in record else '')
        )
    return '  '.join([*parts, f'lr {record["learning_rate"]:.2e}'])
