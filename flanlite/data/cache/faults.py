"""What can go wrong with a cached split: with the cache itself, which stops everything, or with one task,
which is left out.
"""

import errno
import os
import pathlib


class CacheFolderError(OSError):
    """The cache folder cannot be read or written."""


class DamagedCacheError(ValueError):
    """A cached split is not what was written."""


def excuse(name: str, error: Exception, root: pathlib.Path, fail_fast: bool) -> str:
    """Return why a task failed, for the report of skipped tasks.

    Args:
        name: the task.
        error: what building or finding it raised.
        root: the local folder of all caches.
        fail_fast: raise instead of returning.

    Raises:
        DamagedCacheError, CacheFolderError: the cache is at fault, not the task.
        ValueError: with `fail_fast`.
    """
    if isinstance(error, DamagedCacheError | CacheFolderError):
        raise error
    if fault := folder_fault(error, root):
        raise CacheFolderError(
            f'cannot write the token cache in {root}: {fault}; free some space there, or name another folder '
            'with --cache_dir or FLANLITE_CACHE_DIR'
        ) from error
    if fail_fast:
        raise failed(name, reason(error)) from error
    return reason(error)


def failed(name: str, why: str) -> ValueError:
    """Make the error for a task that cannot be cached, where that stops everything."""
    return ValueError(f'task {name!r} cannot be cached: {why}')


def folder_fault(error: Exception, root: pathlib.Path) -> str | None:
    """Return what is wrong with the cache folder where an error comes from it; ArrayRecord's writer gives the
    system's words only.
    """
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        if getattr(error, 'errno', None) == number or (
            isinstance(error, RuntimeError) and os.strerror(number) in str(error)
        ):
            return os.strerror(number)
    if isinstance(error, OSError) and error.filename is not None:
        about = pathlib.Path(os.fsdecode(error.filename))
        if about.is_relative_to(root) or root.is_relative_to(about):
            return f'{error.strerror}: {about}'
    return None


def reason(error: BaseException) -> str:
    """Return in one line what went wrong."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError | FileNotFoundError) else f'{type(error).__name__}: {text}'
