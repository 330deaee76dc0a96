"""Files that are written whole, or not at all with the reason."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file atomically: a reader sees the old or the new content, even if the process is killed.

    Raises:
        OSError: it cannot be written; nothing of it is left.
    """
    path = pathlib.Path(path)
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield the path of another file to write, which takes the place of `path` in the end, or is removed if
    that fails.
    """
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        with explained(path):
            yield partial
            os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


@contextlib.contextmanager
def explained(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name a file and the remedy in what the system says of it."""
    try:
        yield
    except OSError as error:
        raise OSError(
            f'cannot write {path}: {error.strerror or error}; free some space there, or name another folder; '
            'the same command goes on from what is kept'
        ) from error
