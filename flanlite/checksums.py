"""Checksums of all files of a folder, kept in it: whether it still is what was written.

    python -m flanlite.checksums FOLDER

writes them anew, for a folder that was changed on purpose, or that an earlier version wrote.
"""

import json
import os
import pathlib
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

FILE = 'checksums.json'
BLOCK = 1 << 22  # bytes that are read together
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
    """
    folder = pathlib.Path(folder)
    try:
        content = json.loads((folder / FILE).read_text(encoding='utf-8'))
        files = content['files']
        if of_text(files) != content['checksum']:
            return f'{FILE} was changed'
    except FileNotFoundError:
        return f'it has no {FILE}'
    except (ValueError, KeyError, TypeError) as error:
        return f'{FILE} cannot be read: {" ".join(str(error).split())}'
    parts = None if parts is None else {*parts}
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
    """Return a file's length in bytes and its CRC-32."""
    size = checksum = 0
    with path.open('rb') as file:
        while block := file.read(BLOCK):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return [size, checksum]


def of_text(files: dict[str, list[int]]) -> int:
    """Return the CRC-32 of the checksums themselves."""
    return zlib.crc32(json.dumps(files, sort_keys=True).encode())


if __name__ == '__main__':
    write(sys.argv[1])
