"""Files that are written beside their place and take it when all is there: nobody's file is lost to one that
is cut off.
"""

import contextlib
import errno
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator, Mapping
from typing import IO, Any

SPACE = 'free some space there'
# What to do about errors that are not for want of space.
REMEDIES = dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), 'make it writable')
REMEDIES |= dict.fromkeys((errno.ENOENT, errno.ENOTDIR), 'make its folder first')
REMEDIES |= dict.fromkeys(
    (errno.EEXIST, errno.ENOTEMPTY), 'something else was written there meanwhile: keep that'
)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], mode: str = 'w') -> Iterator[IO[Any]]:
    """Open a file to write, in UTF-8, that takes its place when all is written; until then, and after an
    error, what stood there stays. What is no ordinary file, such as a pipe, is written as it goes.

    Args:
        path: of the file, whose folder is there.
        mode: 'w' for text, 'wb' for bytes.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    target = pathlib.Path(path).resolve()
    ordinary = target.is_file() or not target.exists()
    unfinished = target.with_name(unfinished_name(target)) if ordinary else target
    try:
        with explained(path, unfinished):
            with open(unfinished, mode, encoding=None if 'b' in mode else 'utf-8') as sink:
                yield sink
            if ordinary:
                if target.exists():
                    shutil.copymode(target, unfinished)
                unfinished.replace(target)
    finally:
        if ordinary:
            with contextlib.suppress(OSError):
                unfinished.unlink()


def unfinished_name(target: pathlib.Path) -> str:
    """Name what is to take a place when it is whole. Nobody else writes by that name: in containers, which
    may share a folder, all processes have the same number.
    """
    return f'.{target.name[:50]}.{os.getpid()}.{secrets.token_hex(4)}'  # 255 bytes at most


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file as `whole_file` does."""
    with whole_file(path, 'wb') as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_all(contents: Mapping[pathlib.Path, str]) -> None:
    """Write files as `whole_file` does, all of them or none."""
    with contextlib.ExitStack() as stack:
        for path, content in contents.items():
            file = stack.enter_context(whole_file(path, 'wb'))
            file.write(content.encode())
            file.flush()  # what fails does so before any takes its place


@contextlib.contextmanager
def explained(path: str | os.PathLike[str], unfinished: pathlib.Path | None = None) -> Iterator[None]:
    """Name a file or folder and the remedy in what the system says of it, or of what is written in its place;
    errors of other files stay as they are.
    """
    try:
        yield
    except OSError as error:
        # What wrote in it has explained that.
        if error.errno is None and unfinished and str(unfinished) in str(error):
            raise OSError(str(error).replace(str(unfinished), str(path))) from error
        own = tuple(str(each) for each in (path, unfinished) if each)
        if error.errno is None or not str(error.filename or path).startswith(own):
            raise
        raise OSError(
            f'cannot write {path}: {error.strerror or error}; {REMEDIES.get(error.errno, SPACE)}, or name '
            'another folder; the same command goes on from what is kept'
        ) from error


def check_new(path: str | os.PathLike[str]) -> None:
    """Raise a `ValueError` where there is a file, or a folder that is not empty."""
    target = pathlib.Path(path)
    if target.is_dir():
        if found := next(target.iterdir(), None):
            raise ValueError(f'{path} has {found.name} in it; expected a new or empty folder: name another')
    elif target.exists():
        raise ValueError(f'{path} exists already; remove it, or name another output')


@contextlib.contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Make a folder that has its files when all are written, and none after an error.

    Args:
        path: of the folder, which is not there, or empty.

    Yields:
        The folder to write in.

    Raises:
        ValueError: something is there.
        OSError: it cannot be written; the error names `path`.
    """
    check_new(path)
    target = pathlib.Path(path).resolve()
    inside = target.is_dir()  # it may be a mount, which no other folder can take the place of
    unfinished = (target if inside else target.parent) / unfinished_name(target)
    try:
        with explained(path, unfinished):
            unfinished.mkdir(parents=True)
            yield unfinished
            if inside:
                for file in unfinished.iterdir():
                    file.replace(target / file.name)
            else:
                unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
