"""A token cache on another file system (gs://, s3:// and what else fsspec knows): copied to this machine when
it is read.

ArrayRecord reads and writes local files only, and training reads at random; so a split is built and read in a
local folder, and the remote one holds the same files. There a split is whole when its manifest is there,
which is sent last and removed first.
"""

import contextlib
import functools
import glob
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from flanlite.data.cache.cached_split import MANIFEST
from flanlite.data.cache.faults import CacheFolderError


def is_remote(folder: str | os.PathLike) -> bool:
    """Return whether a folder is a URL rather than a folder of this machine."""
    return '://' in str(folder)


@functools.cache
def file_system(url: str) -> tuple[Any, str]:
    """Return the file system that serves a URL, and the path there."""
    import fsspec

    return fsspec.core.url_to_fs(url)


@contextlib.contextmanager
def explained(url: str) -> Iterator[None]:
    """Name the cache in whatever a remote file system raises."""
    try:
        yield
    except Exception as error:  # each file system has errors of its own
        raise CacheFolderError(
            f'cannot use the token cache {url}: {type(error).__name__}: {error}; a gs:// folder needs the '
            'package gcsfs and s3:// needs '
            's3fs, with access to the bucket; or name a local folder with --cache_dir or FLANLITE_CACHE_DIR'
        ) from error


def names(url: str) -> list[str]:
    """List the whole splits in a task's remote folder."""
    with explained(url):
        system, path = file_system(url)
        system.invalidate_cache(path)
        files = system.glob(f'{glob.escape(path)}/*/{MANIFEST}')
        return sorted(pathlib.PurePosixPath(file).parent.name for file in files)


def fetch(url: str, folder: pathlib.Path) -> None:
    """Copy a remote split to a local folder, which is there when it is whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{folder.name}.tmp-', dir=folder.parent) as temporary:
        whole = pathlib.Path(temporary) / 'whole'
        whole.mkdir()
        with explained(url):
            system, path = file_system(url)
            for file in system.ls(path, detail=False):
                system.get_file(file, str(whole / pathlib.PurePosixPath(file).name))
        if folder.exists():  # another process was quicker
            shutil.rmtree(whole)
        else:
            whole.rename(folder)


def send(folder: pathlib.Path, url: str) -> None:
    """Copy a local split to its remote folder, the manifest last."""
    with explained(url):
        system, path = file_system(url)
        if system.exists(f'{path}/{MANIFEST}'):
            system.rm_file(f'{path}/{MANIFEST}')
        system.makedirs(path, exist_ok=True)
        for file in sorted(folder.iterdir(), key=lambda file: (file.name == MANIFEST, file.name)):
            system.put_file(str(file), f'{path}/{file.name}')


def write_text(url: str, text: str) -> None:
    """Write a small remote file."""
    with explained(url):
        system, path = file_system(url)
        system.makedirs(path.rpartition('/')[0], exist_ok=True)
        system.pipe_file(path, text.encode())


def take_text(url: str) -> str | None:
    """Read a small remote file and remove it; None where there is none."""
    with explained(url):
        system, path = file_system(url)
        if not system.exists(path):
            return None
        text = system.cat_file(path).decode()
        system.rm_file(path)
        return text
