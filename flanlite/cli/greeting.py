"""Leave out the notes with which TensorFlow greets whoever imports it; what else it says passes."""

import contextlib
import functools
import importlib.abc
import importlib.machinery
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

LOG_LEVEL = 'TF_CPP_MIN_LOG_LEVEL'
WAIT = 2.0  # seconds for the last lines to come through
# Notes that come before TensorFlow reads its log level, and the error of a machine without a GPU.
FILTER = """
import sys
for line in sys.stdin.buffer:
    note = line.startswith((b'WARNING: All log messages before absl::InitializeLog()', b'I0000 '))
    if not note and b'failed call to cuInit' not in line:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def leave_out() -> None:
    """Import TensorFlow quietly whenever it is imported; not where the user has set TF_CPP_MIN_LOG_LEVEL."""
    if LOG_LEVEL not in os.environ:
        os.environ[LOG_LEVEL] = '2'
        sys.meta_path.insert(0, QuietFinder())


class QuietFinder(importlib.abc.MetaPathFinder):
    """Finds TensorFlow, and has its code run quietly."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find TensorFlow; leave all other modules to the usual finders."""
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name == 'tensorflow' else None
        if spec and spec.loader:
            spec.loader.exec_module = functools.partial(run_quietly, spec.loader.exec_module)
        return spec


def run_quietly(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    """Run TensorFlow's code, and leave the GPU to JAX: asking for it is what fails aloud without one."""
    with filtered():
        run(module)
        tensorflow: Any = module
        tensorflow.config.set_visible_devices([], 'GPU')


@contextlib.contextmanager
def filtered() -> Iterator[None]:
    """Send what is written to file 2 through `FILTER`: in another process, which outlives a crash of this one
    and so hides no error. A process that was started meanwhile writes there as long as it lives.
    """
    sys.stderr.flush()
    whole = os.dup(2)
    command = [sys.executable, '-I', '-S', '-c', FILTER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=whole)
    os.dup2(process.stdin.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(whole, 2)
        os.close(whole)
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(WAIT)
