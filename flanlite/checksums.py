"""Checksums of all files of a folder, kept in it: whether it still is what was written.

    python -m flanlite.checksums FOLDER

writes them anew, for a checkpoint's or cached split's folder that was changed on purpose, or that an earlier
version wrote.
"""

import errno
import json
import os
import pathlib
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

FILE = 'checksums.json'
BLOCK = 1 << 22  # bytes that are read together
SEALED = ('params', 'lengths.npy')  # what a checkpoint has, and a cached split
ABSENT = f'it has no {FILE}'
# Errors of what lies there; others, as of permissions, are of the process or the host.
DAMAGE = (errno.EIO, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EBADMSG)
DAMAGE += (errno.EUCLEAN,) if hasattr(errno, 'EUCLEAN') else ()  # Linux has it
SMALL = 1 << 24  # bytes of a folder that one thread reads sooner than several would have started


def write(folder: str | os.PathLike[str]) -> None:
    """Write the length and CRC-32 of each file in a folder into its `checksums.json`."""
    folder = pathlib.Path(folder)
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob('*')
        if path.is_file() and path != folder / FILE
    )
    files = dict(zip(names, of_files([folder / name for name in names]), strict=True))
    content = {'checksum': of_text(files), 'files': files}
    # Without spaces: each byte counts.
    (folder / FILE).write_text(json.dumps(content, separators=(',', ':')), encoding='utf-8')


def fault(folder: str | os.PathLike[str], parts: Iterable[str] | None = None) -> str | None:
    """Return what is wrong with a folder, or None where it is as `write` found it.

    Args:
        folder: the folder.
        parts: folders in it that are looked at, beside the files that lie in no folder; by default all.

    Raises:
        OSError: a file cannot be read, for a reason that says nothing of it, as for want of permission.
    """
    folder = pathlib.Path(folder)
    try:
        return difference(folder, None if parts is None else {*parts})
    except OSError as error:
        error.filename = error.filename or str(folder / FILE)
        if error.errno not in DAMAGE:
            raise
        return f'{os.path.relpath(error.filename, folder)} cannot be read: {error.strerror}'


def difference(folder: pathlib.Path, parts: set[str] | None) -> str | None:
    """Return what is wrong with a folder, or with parts of it; see `fault`."""
    try:
        content = json.loads((folder / FILE).read_text(encoding='utf-8'))
        files = content['files']
        if of_text(files) != content['checksum']:
            return f'{FILE} was changed'
    except FileNotFoundError:
        return ABSENT
    except (ValueError, KeyError, TypeError) as error:
        return f'{FILE} cannot be read: {" ".join(str(error).split())}'
    wanted = [name for name in files if parts is None or '/' not in name or name.split('/')[0] in parts]
    if parts and (absent := parts - {name.split('/')[0] for name in wanted}):
        return f'it has no {min(absent)}'
    for name in wanted:  # first: this costs nothing
        try:
            size = (folder / name).stat().st_size
        except FileNotFoundError:
            return f'{name} is missing'
        if size != files[name][0]:
            return f'{name} has {size:,} bytes, not the {files[name][0]:,} that were written'
    for name, found in zip(wanted, of_files([folder / name for name in wanted]), strict=True):
        if found != files[name]:
            return f'{name} does not have the checksum that was written with it'
    return None


def of_files(paths: Sequence[pathlib.Path]) -> Iterator[list[int]]:
    """Yield the length and CRC-32 of each file; larger ones are read in threads, since CRC-32 is computed
    outside Python's lock.
    """
    if sum(path.stat().st_size for path in paths) < SMALL:
        yield from map(of_file, paths)
        return
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix='checksums') as pool:
        yield from pool.map(of_file, paths)


def of_file(path: pathlib.Path) -> list[int]:
    """Return a file's length in bytes and its CRC-32; an `OSError` names the file."""
    size = checksum = 0
    try:
        with path.open('rb') as file:
            while block := file.read(BLOCK):
                size, checksum = size + len(block), zlib.crc32(block, checksum)
    except OSError as error:
        error.filename = error.filename or str(path)  # the system names it only where it is opened
        raise
    return [size, checksum]


def of_text(files: dict[str, list[int]]) -> int:
    """Return the CRC-32 of the checksums themselves."""
    return zlib.crc32(json.dumps(files, sort_keys=True).encode())


def seal(folder: str) -> None:
    """Write the checksums of a checkpoint or cached split anew.

    Raises:
        ValueError: the folder is none; says what to name.
    """
    path = pathlib.Path(folder)
    if not any((path / name).exists() for name in SEALED):
        steps = [each.parent for each in path.glob('checkpoints/*/params')]
        hint = f', such as {max(steps, key=lambda step: (len(step.name), step.name))}' if steps else ''
        raise ValueError(
            f'{folder} is {"" if path.is_dir() else "no folder, and so "}neither a checkpoint nor a cached '
            f'split; expected MODEL_DIR/checkpoints/STEP{hint}, or the folder of a split in the cache'
        )
    write(path)


def main(argv: Sequence[str]) -> int:
    """Seal a folder; return 2, with a line that says why, where it cannot be."""
    try:
        if len(argv) != 1:
            raise ValueError(f'got {len(argv)} folders; expected one: python -m flanlite.checksums FOLDER')
        seal(argv[0])
    except (ValueError, OSError) as error:
        print(f'flanlite.checksums: error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
