"""One run at a time in a run's folder.

The holder has a lock of the system's on `MODEL_DIR/train.lock`, which ends with its process, however that
ends; network file systems (NFS, Lustre) share such locks between hosts. For those that do not, as buckets
that are mounted, the file also says who holds it, and counts up while that one is alive.
"""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

FILE = 'train.lock'
BEAT = 5.0  # seconds between counts
PATIENCE = 4 * BEAT  # seconds without a count after which a holder on another host is taken to be gone
BAD_INPUT = 2  # exit status that no launcher tries again
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


# Of this process alone: in containers all have the same number.
TOKEN = secrets.token_hex(4)


@contextlib.contextmanager
def held(model_dir: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a run's folder, which is made if it is not there.

    Raises:
        ValueError: another process holds it; names its host and number.
    """
    folder = pathlib.Path(model_dir)
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for each in reversed(made):
            stack.callback(remove_empty, each)
        file = stack.enter_context(locked(folder))
        ended = threading.Event()
        beating = threading.Thread(target=beat, args=(file, folder, ended), name=FILE, daemon=True)
        beating.start()
        stack.callback(beating.join, BEAT)
        stack.callback(ended.set)
        yield


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[int]:
    """Open a folder's file and lock it, or raise a `ValueError` that names who holds it; remove it at the
    end.
    """
    path = folder / FILE
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shared = True
        except BlockingIOError:
            raise ValueError(taken(folder, read(file))) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            shared = False
        if not is_at(file, path):  # its holder ended between the two, and removed it
            with locked(folder) as anew:
                yield anew
            return
        holder = read(file)
        if holder and not (shared and holder['host'] == socket.gethostname()):
            wait_for_a_sign(folder, holder)
        write(file, 0)
        try:
            yield file
        finally:
            # Where somebody else has taken it, it is theirs.
            if is_at(file, path) and (read_anew(path) or {'token': TOKEN})['token'] == TOKEN:
                path.unlink(missing_ok=True)
    finally:
        os.close(file)


def is_at(file: int, path: pathlib.Path) -> bool:
    """Return whether an open file is the one that a path names."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), path.stat())
    return False


def wait_for_a_sign(folder: pathlib.Path, holder: dict[str, Any]) -> None:
    """Raise a `ValueError` if a holder, on a host that may not share locks with this one, is alive: only then
    its file counts on.
    """
    said = f'{folder / FILE} is of {named(holder)}; waiting up to {PATIENCE:.0f} s for a sign of it'
    print(said, flush=True)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        time.sleep(BEAT / 5)
        if (now := read_anew(folder / FILE)) and now != holder:
            raise ValueError(taken(folder, now))


def remove_empty(folder: pathlib.Path) -> None:
    """Remove a folder, if there is nothing in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def beat(file: int, folder: pathlib.Path, ended: threading.Event) -> None:
    """Count up in the file until the run ends; end the process if somebody else has taken the folder, who saw
    no sign of this one, as where its host stood still.
    """
    count = 0
    while not ended.wait(BEAT):
        count += 1
        with contextlib.suppress(OSError):  # a full disk is told where something is lost by it
            holder = read_anew(folder / FILE)
            if holder and holder['token'] != TOKEN and not ended.is_set():
                leave(taken(folder, holder))
            write(file, count)


def leave(why: str) -> NoReturn:
    """End this process at once: what it would save is another's."""
    with contextlib.suppress(OSError, AttributeError):  # nobody reads
        print(f'flanlite: error: {why}', file=sys.stderr, flush=True)
    os._exit(BAD_INPUT)


def write(file: int, count: int) -> None:
    """Write who holds the lock. Mounted buckets, and NFS, show it to other hosts only when it is synced."""
    told = {'host': socket.gethostname(), 'process': os.getpid(), 'token': TOKEN, 'count': count}
    os.pwrite(file, json.dumps(told).encode().ljust(200), 0)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def read(file: int) -> dict[str, Any] | None:
    """Read who holds the lock; None where nobody is named."""
    try:
        found = json.loads(os.pread(file, 200, 0))
    except ValueError:
        return None
    named_one = isinstance(found, dict) and {'host', 'process'} <= found.keys()
    return {'token': None, **found} if named_one else None


def read_anew(path: pathlib.Path) -> dict[str, Any] | None:
    """Read a lock's file as other hosts wrote it, which network file systems show where it is opened anew."""
    with contextlib.suppress(FileNotFoundError):
        file = os.open(path, os.O_RDONLY)
        try:
            return read(file)
        finally:
            os.close(file)
    return None


def named(holder: dict[str, Any] | None) -> str:
    """Name a holder."""
    return f'process {holder["process"]} on {holder["host"]}' if holder else 'another process'


def taken(folder: pathlib.Path, holder: dict[str, Any] | None) -> str:
    """Say that a run's folder is taken."""
    return (
        f'{named(holder)} trains in {folder}; wait for it, end it, or name another MODEL_DIR, with '
        '--model_dir'
    )
