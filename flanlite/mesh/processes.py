"""The processes of one run, on one host or several: how they find each other, agree that they run the same,
and end together.

They are gathered at the coordinator's port before JAX takes it, so that who is missing can be said. Then each
counts up in the store of JAX's coordinator while it is alive, and leaves there why it fails.
"""

import atexit
import contextlib
import ctypes
import errno
import functools
import json
import os
import platform
import re
import select
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import jax
from jax._src import distributed
from jax._src.lib import utils
from jax.experimental import multihost_utils

from flanlite.config import to_lines
from flanlite.mesh import termination

VARIABLES = ('FLANLITE_COORDINATOR', 'FLANLITE_NUM_PROCESSES', 'FLANLITE_PROCESS_ID')
SAYS_AFTER = 30.0  # seconds until it is said who is waited for, and between such lines
STARTS_WITHIN = 600.0  # seconds that the processes of a run are waited for
CONNECTS_WITHIN = 60.0  # seconds that they are waited for once more, after all were there
BEAT = 2.0  # seconds between counts
PATIENCE = 30.0  # seconds without a count after which a process is taken to be gone
ENDED = 1  # exit status of a process whose peer ended; 2 is bad input, which no launcher tries again
FATAL = 3  # of absl's levels
SHOWN = 300  # characters of an error
LOST = r'[Gg]loo|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED|[Bb]arrier|[Hh]eartbeat'  # in errors of JAX and Orbax
ALIVE, FAILED, SAME = 'flanlite/alive/', 'flanlite/failed/', 'flanlite/same/'  # keys of the store
# Errors of connecting that pass when the other host, or the network, is up; or that one of a host's several
# addresses gives, as ::1 where there is no IPv6.
NOT_THERE = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
)
DONE = -1  # the count of a process that ended as it should


def join() -> None:
    """Join the other processes of this run, if there are any. Call it before anything else uses the devices.

    The environment variables FLANLITE_COORDINATOR (host:port), FLANLITE_NUM_PROCESSES and FLANLITE_PROCESS_ID
    set up the processes by hand, each with all its local devices. Without them, JAX looks for a cluster that
    it knows (TPU pod, Slurm, Open MPI, Kubernetes).

    Raises:
        ValueError: only some of the environment variables are set, or one of them makes no sense.
        Apart: some process did not come within `STARTS_WITHIN` seconds; names it.
    """
    if jax.distributed.is_initialized():
        return
    coordinator, count, index = (os.environ.get(name) for name in VARIABLES)
    if coordinator or count or index:
        host, port, numbers = check_variables(coordinator, count, index)
        if numbers[0] > 1:
            gather(host, port, *numbers)
            end_in_one_line()
        connect(CONNECTS_WITHIN, coordinator, *numbers, cluster_detection_method='deactivate')
    else:
        try:
            with warnings.catch_warnings(action='ignore'):
                connect(STARTS_WITHIN)
        except ValueError as error:
            if 'coordinator_address' not in str(error):
                raise
        # JAX has computed before, for example in a notebook: this is one process, then.
        except RuntimeError as error:
            if 'must be called before' not in str(error):
                raise
    # JAX's own count would wait for the devices of all processes, and one may be gone by now.
    if (distributed.global_state.num_processes or 1) > 1:
        end_in_one_line()
        Peers.watch()
        termination.heed()


def check_variables(
    coordinator: str | None, count: str | None, index: str | None
) -> tuple[str, int, tuple[int, int]]:
    """Return the coordinator's host and port, and the number of processes and of this one."""
    found = ', '.join(f'{name}={os.environ.get(name)}' for name in VARIABLES)
    address = re.fullmatch(r'(\[[^\]\s]+\]|[^:\s]+):(\d{1,5})', coordinator or '')
    if not address or not 0 < int(address[2]) < 1 << 16:
        raise ValueError(
            f'expected {VARIABLES[0]}=HOST:PORT, with a port from 1 to 65535, and two numbers beside it; got '
            f'{found}'
        )
    if not (count or '').isdecimal() or not (index or '').isdecimal() or int(index) >= int(count):
        raise ValueError(
            f'expected {VARIABLES[1]}=N, a number from 1, and {VARIABLES[2]}, one of 0..N-1, beside '
            f'{VARIABLES[0]}; got {found}'
        )
    return address[1].strip('[]'), int(address[2]), (int(count), int(index))


def connect(within: float, *args: Any, **settings: Any) -> None:
    """Start JAX's part. What it finds wrong later ends this process in one line, and not by an abort.

    Args:
        within: how long the others are waited for, in seconds.
        *args: for `jax.distributed.initialize`.
        **settings: likewise.
    """
    made = distributed._jax.get_distributed_runtime_client
    distributed._jax.get_distributed_runtime_client = functools.partial(
        made,
        missed_heartbeat_callback=print,  # see `end_in_one_line`
    )
    said = threading.Timer(
        SAYS_AFTER, say, ['the other processes of this run are waited for; it ends if they do not come']
    )
    said.daemon = True
    said.start()
    try:
        jax.distributed.initialize(*args, initialization_timeout=int(within), **settings)
    except RuntimeError as error:
        if 'must be called before' in str(error):
            raise
        # What JAX calls with the reason cannot take it; see `end_in_one_line`.
        why = 'one of them ended meanwhile' if 'bad_cast' in str(error) else ' '.join(str(error).split())
        raise Apart(f'the processes of this run did not come together: {why[:SHOWN]}') from error
    finally:
        said.cancel()
        distributed._jax.get_distributed_runtime_client = made


@ctypes.CFUNCTYPE(None)
def coordinator_ended() -> None:
    """End this process where JAX says that it has lost the coordinator, or before all are watched another."""
    elsewhere = Peers.current and distributed.global_state.process_id
    lost = 'process 0, which coordinates this run,' if elsewhere else 'another process of this run'
    leave(f'{lost} ended or cannot be reached')


def end_in_one_line() -> None:
    """Have `coordinator_ended` called where JAX's client aborts the process.

    JAX calls what is given as `missed_heartbeat_callback` with a status of C++, which it cannot turn into a
    Python object: nothing but the error of that, and so the end of all, ever comes of it. What C++ calls at
    the end can be set.
    """
    utils.absl_set_min_log_level(FATAL)  # errors of other processes, which are told or raised
    with contextlib.suppress(OSError, AttributeError):  # as where there is another library of C++
        ctypes.CDLL('libstdc++.so.6')._ZSt13set_terminatePFvvE(coordinator_ended)


def may_be_a_consequence(error: BaseException | None) -> bool:
    """Return whether an error may come from a computation, or a barrier, that lost another process."""
    while error is not None:
        if isinstance(error, jax.errors.JaxRuntimeError) or re.search(LOST, str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def say(text: str) -> None:
    """Print a line."""
    print(text, flush=True)


def leave(why: str) -> NoReturn:
    """End this process at once: its main thread may wait for the others in a computation."""
    if LEAVING.acquire(blocking=False):
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        print(f'flanlite: error: {why}; {GOES_ON}', file=sys.stderr, flush=True)
        os._exit(ENDED)
    threading.Event().wait()  # another thread says so just now
    raise AssertionError


LEAVING = threading.Lock()
GOES_ON = 'this process ends too; the same commands go on from the last checkpoint'


class Apart(TimeoutError):
    """The processes of a run did not come together."""


class Peers:
    """Watches the other processes of the run, in a thread."""

    current: 'Peers | None' = None

    def __init__(self) -> None:
        self._client = distributed.global_state.client
        self._index, self._count = distributed.global_state.process_id, distributed.global_state.num_processes
        self._me = {'host': socket.gethostname(), 'process': os.getpid()}
        self._began = time.monotonic()
        self._seen: dict[int, tuple[dict[str, Any], float]] = {}
        self._heard = self._began  # when the store answered last
        self._rounds = 0
        self._ended, self._done, self._counting = threading.Event(), False, threading.Lock()

    @classmethod
    def watch(cls) -> None:
        """Begin to watch."""
        cls.current = cls()
        for target in (cls.current._run, cls.current._listen):
            threading.Thread(target=target, name='peers', daemon=True).start()
        atexit.register(cls.current._end)

    def name(self, index: int) -> str:
        """Name a process."""
        found = self._seen.get(index, ({},))[0]
        return f'process {index}' + (f' ({found["process"]} on {found["host"]})' if found else '')

    def look(self) -> str | None:
        """Count up, and say which other process failed or stands still, if one does."""
        for name, text in self._client.key_value_dir_get(FAILED):
            if (index := int(name.rpartition('/')[2])) != self._index:
                return f'{self.name(index)} failed: {text}'
        now = time.monotonic()
        for name, text in self._client.key_value_dir_get(ALIVE):
            index, found = int(name.rpartition('/')[2]), json.loads(text)
            if index not in self._seen or self._seen[index][0] != found:
                self._seen[index] = found, now
        for index in range(self._count):
            found, since = self._seen.get(index, ({}, self._began))  # one may end before it has counted
            if found.get('count') != DONE and index != self._index and now - since > PATIENCE:
                return f'{self.name(index)} ended, or has not answered for {PATIENCE:.0f} s'
        return None

    def failed(self, error: BaseException) -> str | None:
        """Tell the others that this process fails; or return what failed elsewhere, if this is only its
        consequence.
        """
        why = f'{type(error).__name__}: {" ".join(str(error).split())[:SHOWN]}'
        if may_be_a_consequence(error):
            until = time.monotonic() + PATIENCE + 3 * BEAT
            while time.monotonic() < until:
                with contextlib.suppress(Exception):
                    if found := self.look():
                        return f'{found}; {GOES_ON}'
                time.sleep(BEAT / 4)
        self._ended.set()  # what ends another one now is none of this one's business
        with contextlib.suppress(Exception):
            self._client.key_value_set(f'{FAILED}{self._index}', why)
            time.sleep(2 * BEAT if self._index == 0 else 0)  # the store ends with process 0
        return None

    def compare(self, what: str, facts: Mapping[str, str]) -> None:
        """See `compare`."""
        self._rounds += 1
        key = f'{SAME}{self._rounds}/'
        self._client.key_value_set(f'{key}{self._index}', json.dumps([what, dict(facts)]))
        began = said = time.monotonic()
        while True:
            there = {
                int(name.rpartition('/')[2]): json.loads(text)
                for name, text in self._client.key_value_dir_get(key)
            }
            if len(there) == self._count:
                break
            if time.monotonic() - said > SAYS_AFTER:
                said = time.monotonic()
                missing = ', '.join(self.name(each) for each in range(self._count) if each not in there)
                say(f'waiting for {missing} to compare {what}, for {said - began:.0f} s')
            time.sleep(0.02)
        first, mine = there[0], there[self._index]
        for index, other in ((0, first), *sorted(there.items())):
            if other != mine:
                raise ValueError(
                    f'{self.name(index)} differs from this process, {self._index}: {differs(other, mine)}'
                )

    def _count_up(self, count: int) -> None:
        with self._counting:  # nothing comes after DONE
            text = json.dumps({**self._me, 'count': DONE if self._done else count})
            self._client.key_value_set(f'{ALIVE}{self._index}', text, allow_overwrite=True)

    def _run(self) -> None:
        count = 0
        while not self._ended.is_set():
            with contextlib.suppress(Exception):  # `_listen` minds a store that does not answer
                count += 1
                self._count_up(count)
                why = self.look()
                self._heard = time.monotonic()
                if why and not self._ended.is_set():
                    leave(why)
            self._ended.wait(BEAT)

    def _listen(self) -> None:
        while not self._ended.wait(BEAT):
            if time.monotonic() - self._heard > PATIENCE:
                leave(f'{self.name(0)}, which coordinates this run, has not answered for {PATIENCE:.0f} s')

    def _end(self) -> None:
        # The others are watched on: JAX waits for all at the end, 100 seconds for one that is gone.
        self._done = True
        with contextlib.suppress(Exception):
            self._count_up(DONE)


def compare(what: str, facts: Mapping[str, str]) -> None:
    """Check that all processes of a run do the same; all of them must ask, in the same order.

    Args:
        what: is compared, such as `configurations`.
        facts: texts by name, short ones or fingerprints.

    Raises:
        ValueError: another process has other facts; names it, and the first that differ.
    """
    if Peers.current is not None:
        Peers.current.compare(what, facts)


def wait_for_all(name: str) -> None:
    """Wait until all processes of a run are here; all of them must, in the same order.

    Args:
        name: of the place in the program.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def compare_settings(config: Any) -> None:
    """Check that all processes of a run have the same settings, but for where the data lies, and versions."""
    settings = {
        name: text for name, text in to_lines(config).items() if not name.endswith(('data_dir', 'cache_dir'))
    }
    compare('settings and versions', versions() | settings)


def versions() -> dict[str, str]:
    """Return the versions that decide what a process computes."""
    from importlib import metadata

    packages = ('flanlite', 'jax', 'jaxlib', 'flax', 'optax', 'numpy', 'orbax-checkpoint')
    found = {'python': platform.python_version()}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def differs(theirs: list[Any], mine: list[Any]) -> str:
    """Say what differs first between what two processes compare."""
    if theirs[0] != mine[0]:
        return f'it compares {theirs[0]}, this one {mine[0]}: they run other commands'
    name = next(name for name in {**theirs[1], **mine[1]} if theirs[1].get(name) != mine[1].get(name))
    return (
        f'{name} is {theirs[1].get(name, "not there")} there and {mine[1].get(name, "not there")} here; all '
        f'processes of a run need the same {theirs[0]}'
    )


def failed(error: BaseException) -> str | None:
    """Tell the other processes that this one fails; or return, as text, what failed elsewhere, if this is
    only the consequence. Nothing happens in a run of one process.
    """
    return Peers.current.failed(error) if Peers.current is not None else None


def gather(host: str, port: int, count: int, index: int) -> None:
    """Wait until all processes of a run are there, and say who is waited for.

    Raises:
        OSError: they did not come (`Apart`), or the port is taken.
        ValueError: two processes have one number, or other ideas of how many there are.
    """
    if index == 0:
        with contextlib.ExitStack() as stack:
            try:
                server = listen(port)
            except OSError as error:
                raise OSError(
                    f'process 0 cannot listen at port {port}, {VARIABLES[0]}: {error.strerror}; name another '
                    'port, or end what uses it'
                ) from error
            call_the_roll(stack.enter_context(server), count)
        return
    until, told = time.monotonic() + STARTS_WITHIN, time.monotonic()
    why = 'nobody is there'
    while time.monotonic() < until:
        try:
            if answer_the_roll(host, port, count, index, until):
                return
            why = 'something else is at that port'
        except ConnectionRefusedError:
            why = 'nobody is there'
        except OSError as error:
            passes = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
            if not passes and error.errno not in NOT_THERE:
                raise
            why = error.strerror or 'nobody answers'
        if time.monotonic() - told > SAYS_AFTER:
            told = time.monotonic()
            say(f'process {index} of {count} waits for process 0 at {host}:{port}: {why}')
        time.sleep(0.2)
    raise Apart(
        f'process 0 was not at {host}:{port} within {STARTS_WITHIN:.0f} s ({why}); start it, or set '
        f'{VARIABLES[0]}'
    )


def listen(port: int) -> socket.socket:
    """Listen at all addresses of this host: it may be reached by others than the one that is set."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(('', port))


def call_the_roll(server: socket.socket, count: int) -> None:
    """Wait, as process 0, for all others, and let them go on together."""
    began = said = time.monotonic()
    there: dict[int, socket.socket] = {}
    while len(there) < count - 1:
        ready, _, _ = select.select([server, *there.values()], [], [], 0.5)
        for number, one in list(there.items()):
            if one in ready:  # it says nothing more: it is gone
                there.pop(number).close()
        if server in ready:
            one = server.accept()[0]
            one.settimeout(5)
            hello = next(lines(one), {})
            number = hello.get('process')
            if hello.get('of') != count or number in there or number not in range(1, count):
                tell(one, error=f'process {number} of {hello.get("of")} came to a run of {count} processes '
                     f'that has {sorted([0, *there])}; expected each number once, and the same '
                     f'{VARIABLES[1]} everywhere')  # fmt: skip
                one.close()
            else:
                there[number] = one
        now, missing = time.monotonic(), [each for each in range(1, count) if each not in there]
        if missing and now - said > SAYS_AFTER:
            said, names = now, ', '.join(map(str, missing))
            text = f'waiting for process {names} of {count}, for {now - began:.0f} s of {STARTS_WITHIN:.0f}'
            say(text)
            for one in there.values():
                tell(one, say=text)
        if missing and now - began > STARTS_WITHIN:
            names = ', '.join(map(str, missing))
            text = f'process {names} of {count} did not come within {STARTS_WITHIN:.0f} s; start all of them'
            for one in there.values():
                tell(one, error=text)
            raise Apart(text)
    for one in there.values():
        tell(one, go=True)
    for one in there.values():
        one.settimeout(5)
        with contextlib.suppress(OSError):
            one.recv(1)  # they close first, so that the port is free at once
        one.close()


def answer_the_roll(host: str, port: int, count: int, index: int, until: float) -> bool:
    """Tell process 0 that this one is there, and wait until all are; False if it is not process 0."""
    with socket.create_connection((host, port), timeout=5) as to:
        tell(to, process=index, of=count)
        to.settimeout(until - time.monotonic() + 10)
        for told in lines(to):
            if 'say' in told:
                say(told['say'])
            if 'error' in told:
                raise ValueError(told['error'])
            if 'go' in told:
                return True
    return False


def tell(to: socket.socket, **content: Any) -> None:
    """Send a line."""
    with contextlib.suppress(OSError):
        to.sendall(json.dumps(content).encode() + b'\n')


def lines(of: socket.socket) -> Iterator[dict[str, Any]]:
    """Receive lines until one is none of ours, or the end."""
    with of.makefile('rb') as received, contextlib.suppress(ValueError, TimeoutError, ConnectionError):
        while line := received.readline(1 << 12):
            if not isinstance(content := json.loads(line), dict):
                return
            yield content
