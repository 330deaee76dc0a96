"""Processes that call functions: fresh interpreters that read calls from a pipe. Nothing is forked, and the
user's main module is not run again, so this works with JAX or TensorFlow loaded, in a notebook and in a
script without a main guard. What is called travels by cloudpickle.

A process pool would not do. In the standard library's and in loky's, one killed worker fails whatever the
others are doing; loky stops workers by SIGKILL, so that they leave half-written folders, and they outlive a
parent that is killed. Here each worker has a pipe of its own, whose end tells either side that the other is
gone.
"""

import collections
import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cloudpickle

QUICK_SECONDS = 3.0  # work that takes less is done before other processes would have started
STOP_SECONDS = 10.0  # for a process to remove what it has not finished
SERVE = (
    'import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); '
    'from flanlite import workers; workers.serve()'
)


class CannotTravelError(Exception):
    """A function or an argument cannot be sent to another process."""


class EndedError(Exception):
    """The process came to its end before its answer; the message says how."""


def usable_cpus() -> int:
    """Count the CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


class Worker:
    """A process that calls what it is sent."""

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

    def call(self, function: Callable[..., Any], *arguments: Any, told: Callable[[int], None]) -> Any:
        """Have the process call a function; return what that returns, or raise what it raises.

        Args:
            function: it is called with the arguments and a function like `told` behind them.
            arguments: these.
            told: is called here with what the other process says of its progress.

        Raises:
            CannotTravelError: such as a lambda that holds an open file, or code that only this process finds.
            EndedError: the process was killed.
        """
        try:
            message = cloudpickle.dumps((function, arguments))
        except Exception as error:  # whatever an object raises that cannot be pickled
            raise CannotTravelError from error
        try:
            self._send(message)
            while True:
                kind, *found = pickle.load(self._process.stdout)
                if kind == 'done':
                    return found[0]
                if kind == 'unread':
                    raise CannotTravelError
                if kind == 'raised':
                    raise found[0]
                told(*found)
        except (EOFError, pickle.UnpicklingError):
            status = self._process.wait()
        raise EndedError(signal.Signals(-status).name if status < 0 else f'exit status {status}')

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


def each(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    count: int,
    told: Callable[[int], None],
) -> Iterator[tuple[int, Any]]:
    """Call a function in this process and, once `QUICK_SECONDS` are over, in others; yield (number of the
    call, what it returned) as they are done. What a process was doing when it was killed is done here.

    Args:
        function: it is called with the arguments and a function like `told` behind them.
        calls: the arguments of each call.
        count: how many processes, with this one.
        told: is told of progress, from any thread.

    Raises:
        Exception: what the function raises.
    """
    waiting = collections.deque(enumerate(calls))
    own: collections.deque = collections.deque()  # calls that no other process can make
    answers: queue.SimpleQueue = queue.SimpleQueue()
    started: list[Worker] = []
    over, left = threading.Event(), len(calls)

    def work() -> None:
        over.wait(QUICK_SECONDS)
        worker = None
        while not over.is_set() and (taken := popped(waiting)):
            if worker is None or worker.ended():
                worker = Worker()
                started.append(worker)
            try:
                answers.put((taken[0], worker.call(function, *taken[1], told=told), None))
            except (CannotTravelError, EndedError):
                answers.put((taken[0], None, taken))
            except Exception as error:
                answers.put((taken[0], None, error))
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(count, left) - 1)]
    for thread in threads:
        thread.start()
    try:
        while left:
            if taken := popped(own) or popped(waiting):
                yield taken[0], function(*taken[1], told)
                left -= 1
            while left and (not answers.empty() or not (own or waiting)):
                number, found, other = answers.get()
                if isinstance(other, Exception):
                    raise other
                if other:
                    own.append(other)
                    break
                yield number, found
                left -= 1
    finally:
        over.set()
        for worker in started:
            worker.stop()
        for thread in threads:
            thread.join()


def popped(calls: collections.deque) -> Any:
    """Take the next call; None where there is none."""
    with contextlib.suppress(IndexError):
        return calls.popleft()
    return None


def serve() -> None:
    """Make the calls on standard input and answer on standard output; what else is printed goes to standard
    error.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the first process too, which ends this one
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    channel = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def tell(*message: object) -> None:
        channel.write(pickle.dumps(message))
        channel.flush()

    with contextlib.suppress(EOFError, BrokenPipeError):  # the first process is done, or was killed
        while True:
            message = pickle.load(sys.stdin.buffer)
            try:
                function, arguments = cloudpickle.loads(message)
            except Exception:
                tell('unread')
                continue
            try:
                tell('done', function(*arguments, lambda count: tell('told', count)))
            except Exception as error:
                tell('raised', error)
