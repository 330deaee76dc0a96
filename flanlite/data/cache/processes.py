"""Builds cached splits in this process and, where that takes a while, in others beside it.

The others are fresh interpreters that read requests from a pipe: nothing is forked, and the user's main
module is not run again, so this works with JAX or TensorFlow loaded, in a notebook and in a script without a
main guard. Data sets travel by cloudpickle.

A process pool would not do. In the standard library's and in loky's, one killed worker fails whatever the
others are building; loky stops workers by SIGKILL, so that they leave half-written folders, and they outlive
a parent that is killed. Here each worker has a pipe of its own, whose end tells either side that the other is
gone.
"""

import collections
import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import cloudpickle

from flanlite.data.cache import build, faults
from flanlite.data.cache.request import Request
from flanlite.data.cache.view import BuildOptions
from flanlite.progress import BuildProgress

QUICK_SECONDS = 3.0  # work that takes less is done before other processes would have started
STOP_SECONDS = 10.0  # for a process to remove what it has not finished
SERVE = (
    'import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); '
    'from flanlite.data.cache import processes; processes.serve()'
)


def usable_cpus() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def build_all(
    requests: Sequence[Request],
    options: BuildOptions,
    progress: BuildProgress,
    skip: Callable[[str, str], None],
) -> None:
    """Build splits, each in one process, and wait for all.

    Args:
        requests: the splits.
        options: how they are built; `processes` includes this one.
        progress: is told of examples and tasks.
        skip: is called with the name of each task that fails, and why.

    Raises:
        ValueError: with `fail_fast`, a task that fails; a damaged cache.
        OSError: the cache cannot be written.
    """
    # SeqIO's tasks are registered in this process only.
    own = collections.deque(request for request in requests if request.spec is None)
    with Helpers([request for request in requests if request.spec], options, progress, skip) as helpers:
        helpers.start((options.processes or usable_cpus()) - 1)
        while request := pop(own) or pop(helpers.queue):
            helpers.finish(request, build.attempt(request, options, progress.advance))
            helpers.check()
        helpers.wait()


def pop(queue: collections.deque) -> Request | None:
    """Take the next item; None where there is none."""
    with contextlib.suppress(IndexError):
        return queue.popleft()
    return None


class Helpers:
    """Threads that each hand requests to a process of their own, once `QUICK_SECONDS` are over."""

    def __init__(
        self,
        requests: Sequence[Request],
        options: BuildOptions,
        progress: BuildProgress,
        skip: Callable[[str, str], None],
    ) -> None:
        self.queue = collections.deque(requests)
        self._options, self._progress, self._skip = options, progress, skip
        self._threads: list[threading.Thread] = []
        self._workers: list[Worker] = []
        self._taken, self._stopping = threading.Event(), threading.Event()
        self._error: Exception | None = None

    def __enter__(self) -> 'Helpers':
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.clear()
        self._taken.set()
        self._stopping.set()
        for worker in self._workers:
            worker.stop()
        for thread in self._threads:
            thread.join()

    def start(self, count: int) -> None:
        """Start the threads, not more than there may be work for."""
        for _ in range(min(count, len(self.queue))):
            self._threads.append(threading.Thread(target=self._run, daemon=True))
            self._threads[-1].start()

    def finish(self, request: Request, why: str | None) -> None:
        """Count a task that was built; skip one that could not be, or raise with `fail_fast`."""
        self._progress.advance(0, task=True)
        if why and self._options.fail_fast:
            raise faults.failed(request.name, why)
        if why:
            self._skip(request.name, why)

    def check(self) -> None:
        """Raise the error that ended a thread, where one did."""
        if self._error:
            raise self._error

    def wait(self) -> None:
        """Wait for the threads, when the queue is empty."""
        self._taken.set()
        for thread in self._threads:
            thread.join()
        self.check()

    def _run(self) -> None:
        self._taken.wait(QUICK_SECONDS)
        worker = None
        try:
            while request := pop(self.queue):
                if worker is None or worker.ended():
                    worker = Worker()
                    self._workers.append(worker)
                if self._stopping.is_set():
                    return worker.stop()
                why = worker.build(request, self._options, self._progress.advance)
                if self._stopping.is_set():
                    return None
                self.finish(request, why)
        except Exception as error:  # the main thread raises it
            self._error = self._error or error
            self.queue.clear()


class Worker:
    """A process that builds what it is sent."""

    def __init__(self) -> None:
        # TensorFlow, where a source needs it, would take hold of the GPU.
        unseen = {'CUDA_VISIBLE_DEVICES': ''}
        self._process = subprocess.Popen(
            [sys.executable, '-c', SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | unseen,
        )
        self._send(sys.path)

    def build(self, request: Request, options: BuildOptions, told: build.Told) -> str | None:
        """Have the process build a split; return why that cannot be done, as `build.attempt` does. A process
        that dies is a reason too.
        """
        try:
            # It returns the reason.
            message = cloudpickle.dumps((request, dataclasses.replace(options, fail_fast=False)))
        except Exception:  # whatever a source or function holds that cannot travel: a thread builds it here
            return build.attempt(request, options, told)
        try:
            self._send(message)
            while True:
                kind, *found = pickle.load(self._process.stdout)
                if kind == 'done':
                    return found[0]
                if kind == 'unread':  # such as code of a module that is found in this process only
                    return build.attempt(request, options, told)
                if kind == 'fault':
                    raise found[0]
                told(*found)
        except (EOFError, pickle.UnpicklingError):
            status = self._process.wait()
        with build.locked(request.folder):
            build.remove_leftovers(request.folder)
        how = signal.Signals(-status).name if status < 0 else f'exit status {status}'
        remedy = 'if memory ran out, fewer --processes need less'
        return f'the process that built it came to its end ({how}); {remedy}'

    def ended(self) -> bool:
        """Return whether the process is gone."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the process; it removes the folder that it has not finished."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _send(self, message: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # reading the answer shows how it ended
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()


def serve() -> None:
    """Build the requests on standard input and report on standard output; what else is printed goes to
    standard error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the first process too, which ends this one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    channel = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(*message: object) -> None:
        pickle.dump(message, channel)
        channel.flush()

    with contextlib.suppress(EOFError, BrokenPipeError):  # the first process is done, or was killed
        while True:
            message = pickle.load(sys.stdin.buffer)
            try:
                request, options = cloudpickle.loads(message)
            except Exception:
                tell('unread')
                continue
            try:
                tell('done', build.attempt(request, options, lambda count: tell('examples', count)))
            except (faults.DamagedCacheError, faults.CacheFolderError) as fault:
                tell('fault', fault)
