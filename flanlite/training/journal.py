"""A run's records: metrics.jsonl, TensorBoard events, Weights & Biases if asked for, and a live bar on the
terminal.
"""

import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import tensorboardX
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flanlite.progress import duration
from flanlite.training.weights_biases import WandbLog

METRICS = 'metrics.jsonl'
SECONDS_BETWEEN_LINES = 10.0  # where the output is not a terminal
BAR_WIDTH = 14  # of the live bar


def write_whole(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file atomically: a reader sees the old or the new content, even if the process is
    killed.
    """
    path = pathlib.Path(path)
    partial = path.with_name(f'{path.name}.{os.getpid()}.partial')
    partial.write_text(text, encoding='utf-8')
    os.replace(partial, path)


def read_metrics(model_dir: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read a run's metrics.jsonl, without a line that was cut off while it was written; no file gives no
    records.
    """
    path = pathlib.Path(model_dir) / METRICS
    records = []
    for line in path.read_text(encoding='utf-8').splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


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
        self._title, self._train_steps, self._active, self._wandb = title, train_steps, active, wandb
        self._said = -math.inf
        self._waiting: str | None = None
        self.last: dict[str, Any] = {}
        self._newest: dict[str, Any] = {}  # of the last step that has a record
        if not active:
            return
        kept = [record for record in read_metrics(model_dir) if record['step'] <= start_step]
        path = pathlib.Path(model_dir) / METRICS
        write_whole(path, ''.join(json.dumps(record) + '\n' for record in kept))
        self._file = path.open('a', encoding='utf-8')
        self._board = tensorboardX.SummaryWriter(str(model_dir), purge_step=start_step + 1, flush_secs=10)
        self._console = Console(file=sys.stdout, highlight=False)
        self._live: Live | None = None

    def write(self, *records: Mapping[str, Any]) -> None:
        """Write records, each with its `step`, and show those of training on the terminal."""
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
            self._console.print(Text(f'{self._title}: {text}'), soft_wrap=True)

    def close(self) -> None:
        """Show the record that waits to be shown, and close the files."""
        if not self._active:
            return
        if self._live is not None:
            self._live.stop()
        self._show_waiting()
        self._file.close()
        self._board.close()
        if self._wandb is not None:
            self._wandb.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record) + '\n')
        self._file.flush()
        for name, value in record.items():
            if name != 'step':
                self._board.add_scalar(name, value, record['step'])
        if self._wandb is not None:
            self._wandb.write(record)
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
            self._console.print(Text(f'{self._title}: {text}'), soft_wrap=True)


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
