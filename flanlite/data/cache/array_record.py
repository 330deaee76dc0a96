"""Reads ArrayRecord files by position, in the calling thread.

The library's own reader starts 64 threads in each process that opens a file, and no option of its says fewer.
The format (`array_record/cpp/layout.proto`, on Riegeli's records) is simple where a file is uncompressed and
has a record in each chunk, as the cache writes it: a chunk is a header of 40 bytes and the record behind some
bytes about its length; the footer says where each chunk begins, and the last block where the footer does. At
each multiple of 64 KiB stand 24 bytes that belong to no chunk.
"""

import os
import pathlib
import struct
import weakref
from collections.abc import Sequence

import numpy as np

BLOCK, BLOCK_HEADER = 1 << 16, 24
LAST = 256  # bytes that suffice for what the last block says, three times the same two numbers
# A hash of the header, the bytes of data, a hash of these, the number of records above the chunk's kind in
# the lowest byte, and the bytes of all records.
CHUNK_HEADER = struct.Struct('<8xQ8xQQ')
SIMPLE = ord('r')
MAGIC = 0x71930E704FDAE05E
UNCOMPRESSED = 0


class ArrayRecordFile:
    """An ArrayRecord file, opened to be read by position; it is closed when nothing refers to it.

    Args:
        path: the file, written with the options `group_size:1,uncompressed`.

    Raises:
        ValueError: it is no such file, or damaged.
        OSError: it cannot be read.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self._descriptor = os.open(pathlib.Path(path), os.O_RDONLY | getattr(os, 'O_CLOEXEC', 0))
        weakref.finalize(self, os.close, self._descriptor)
        size = os.fstat(self._descriptor).st_size
        if size < 2 * BLOCK or size % BLOCK:
            raise ValueError(f'it has {size:,} bytes, which no whole ArrayRecord file has')
        _, _, last = self._chunk(size - BLOCK, size - BLOCK + LAST)
        footer, place = varint(last, 1)
        magic, _ = varint(last, place + 1)
        if magic != MAGIC or not 0 < footer < size - BLOCK:
            raise ValueError('it does not end as ArrayRecord files do')
        count, about, messages = self._chunk(footer, size - BLOCK)
        lengths = np.frombuffer(about, np.uint8)[-count:]
        if len(lengths) != count or lengths.sum() != len(messages):
            raise ValueError('its footer cannot be read')
        # Each chunk ends where the next one begins, and the last one where the footer does.
        self._begins = np.append(chunk_begins(lengths, messages), footer)

    def __len__(self) -> int:
        return len(self._begins) - 1

    def read(self, positions: Sequence[int]) -> list[bytes]:
        """Read the records at positions from 0, in the order asked for.

        Raises:
            ValueError: the file is damaged.
        """
        wanted = np.asarray(positions, np.int64)
        begins, ends = self._begins[wanted].tolist(), self._begins[wanted + 1].tolist()
        records = []
        for begin, end in zip(begins, ends, strict=True):
            count, _, record = self._chunk(begin, end)
            if count != 1:
                raise ValueError(f'the chunk at byte {begin:,} has {count} records')
            records.append(record)
        return records

    def _chunk(self, begin: int, end: int) -> tuple[int, bytes, bytes]:
        """Read the chunk that begins at `begin` and ends at `end` or before.

        Returns:
            The number of its records, the lengths of these as they are written, and the records.
        """
        chunk = os.pread(self._descriptor, end - begin, begin)
        first = -(-begin // BLOCK) * BLOCK
        if first < end:
            parts = [chunk[: first - begin]]
            for block in range(first - begin, end - begin, BLOCK):
                parts.append(chunk[block + BLOCK_HEADER : block + BLOCK])
            chunk = b''.join(parts)
        if len(chunk) <= CHUNK_HEADER.size:
            raise ValueError(f'it ends before byte {end:,}')
        size, kind, decoded = CHUNK_HEADER.unpack_from(chunk)
        stop = CHUNK_HEADER.size + size
        if kind & 0xFF != SIMPLE or stop > len(chunk) or decoded >= size:
            raise ValueError(f'no records begin at byte {begin:,}')
        if chunk[CHUNK_HEADER.size] != UNCOMPRESSED:
            raise ValueError(f'the records at byte {begin:,} are compressed')
        return kind >> 8, chunk[CHUNK_HEADER.size + 1 : stop - decoded], chunk[stop - decoded : stop]


def chunk_begins(lengths: np.ndarray, footer: bytes) -> np.ndarray:
    """Return where each chunk begins: int64[num_records].

    Args:
        lengths: of the footer's records. The first one is about the file.
        footer: these: after the first, a message of Protocol Buffers for each chunk, with its begin, the
            bytes of its records, and their number, which is 1.

    Raises:
        ValueError: a chunk has several records, or this is no footer.
    """
    content, stops = np.frombuffer(footer, np.uint8), np.cumsum(lengths, dtype=np.int64)
    starts, stops = stops[:-1], stops[1:]
    # Each field is a byte that names it and a number of seven bits a byte, the lowest first.
    if (lengths[1:] < 6).any() or (content[starts] != 0x08).any():
        raise ValueError('its footer cannot be read')
    if (content[stops - 2] != 0x18).any() or (content[stops - 1] != 1).any():
        raise ValueError('it has several records in a chunk')
    begins, more = np.zeros(len(starts), np.int64), np.ones(len(starts), bool)
    for place in range(9):
        byte = content[np.minimum(starts + 1 + place, stops - 1)].astype(np.int64)
        begins += np.where(more, (byte & 0x7F) << 7 * place, 0)
        more &= byte > 0x7F
        if not more.any():
            break
    if (np.diff(begins, prepend=0) <= 0).any():
        raise ValueError('its footer cannot be read')
    return begins


def varint(content: bytes, place: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the lowest first; return it, and the place behind it."""
    number = 0
    for shift, byte in zip(range(0, 64, 7), content[place:], strict=False):
        number, place = number | (byte & 0x7F) << shift, place + 1
        if byte <= 0x7F:
            return number, place
    raise ValueError('a number in it has no end')
