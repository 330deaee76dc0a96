"""Reading ArrayRecord files by position, against the library that writes them."""

import pathlib
import random
import subprocess
import sys

import pytest
from array_record.python import array_record_module

from flanlite.data.cache.array_record import BLOCK, ArrayRecordFile

SIZES = (0, 1, 127, 128, 300, 16_383, 16_384, 2 * BLOCK - 66, 3 * BLOCK)


def write(path, records, options='group_size:1,uncompressed'):
    writer = array_record_module.ArrayRecordWriter(str(path), options)
    for record in records:
        writer.write(record)
    writer.close()
    return path


@pytest.mark.parametrize('count', [1, 2, 3_000])
def test_records_are_what_was_written(tmp_path, count):
    """Three thousand records of up to some blocks: some begin or end where a block does."""
    rng = random.Random(count)
    sizes = [rng.choice(SIZES[:5]) if rng.random() < 0.95 else rng.choice(SIZES) for _ in range(count)]
    records = [rng.randbytes(size + rng.randrange(3)) for size in sizes]
    file = ArrayRecordFile(write(tmp_path / 'file', records))
    library = array_record_module.ArrayRecordReader(str(tmp_path / 'file'))
    wanted = [rng.randrange(count) for _ in range(500)]
    assert len(file) == library.num_records() == count
    assert file.read(wanted) == [records[place] for place in wanted] == library.read(wanted)
    assert file.read(range(count)) == records and file.read([]) == []


@pytest.mark.parametrize('options, said', [
    ('group_size:1', 'compressed'),
    ('group_size:3,uncompressed', 'several records in a chunk'),
])  # fmt: skip
def test_other_files_of_the_library_are_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        ArrayRecordFile(write(tmp_path / 'file', [b'abc'] * 7, options))


def test_damaged_files_raise_value_errors_only(tmp_path):
    """A changed byte is no other error, wherever it is; in what holds the records together it is one."""
    records = [bytes([place % 256]) * 40 for place in range(200)]
    whole = write(tmp_path / 'file', records).read_bytes()
    rng, failed = random.Random(0), 0
    damaged = [b'', whole[:-1], whole[:BLOCK], whole[BLOCK:], bytes(len(whole)), rng.randbytes(len(whole))]
    footer = whole.index(b'group_size')
    for place in [*range(len(whole) - BLOCK, len(whole) - BLOCK + 90), *range(footer - 80, footer + 400)]:
        damaged.append(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
    for content in damaged:
        (tmp_path / 'file').write_bytes(content)
        try:
            file = ArrayRecordFile(tmp_path / 'file')
            file.read(range(len(file)))
        except ValueError:
            failed += 1
    assert failed > 300


def test_no_thread_is_started(tmp_path):
    """The library's reader starts 64."""
    path = write(tmp_path / 'file', [b'abc'])
    if not pathlib.Path('/proc/self/task').is_dir():
        pytest.skip('no /proc to count threads in')
    code = f"""
import os
from flanlite.data.cache.array_record import ArrayRecordFile
before = len(os.listdir('/proc/self/task'))
assert ArrayRecordFile({str(path)!r}).read([0]) == [b'abc']
print(len(os.listdir('/proc/self/task')) - before)
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout == '0\n', done.stderr
