"""Builds cached splits in this process and, where that takes a while, in others beside it."""

import collections
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Sequence

from flanlite import workers
from flanlite.data.cache import build, faults
from flanlite.data.cache.request import Request
from flanlite.data.cache.view import BuildOptions
from flanlite.progress import BuildProgress


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
        helpers.start((options.processes or workers.usable_cpus()) - 1)
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
    """Threads that each hand requests to a process of their own, once `workers.QUICK_SECONDS` are over."""

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
        self._workers: list[workers.Worker] = []
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
        self._taken.wait(workers.QUICK_SECONDS)
        worker = None
        try:
            while request := pop(self.queue):
                if worker is None or worker.ended():
                    worker = workers.Worker()
                    self._workers.append(worker)
                if self._stopping.is_set():
                    return worker.stop()
                why = build_in(worker, request, self._options, self._progress.advance)
                if self._stopping.is_set():
                    return None
                self.finish(request, why)
        except Exception as error:  # the main thread raises it
            self._error = self._error or error
            self.queue.clear()


def build_in(worker: workers.Worker, request: Request, options: BuildOptions, told: build.Told) -> str | None:
    """Have a process build a split; return why that cannot be done, as `build.attempt` does. A process that
    dies is a reason too.
    """
    try:
        sent = dataclasses.replace(options, fail_fast=False)  # a reason comes back, not an error
        return worker.call(build.attempt, request, sent, told=told)
    except workers.CannotTravelError:  # this thread builds it here
        return build.attempt(request, options, told)
    except workers.EndedError as how:
        with build.locked(request.folder):
            build.remove_leftovers(request.folder)
        remedy = 'if memory ran out, fewer --processes need less'
        return f'the process that built it came to its end ({how}); {remedy}'
