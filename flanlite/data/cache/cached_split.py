"""A cached split: a folder with one task's tokenised examples, read by random access. Importing it imports no
TensorFlow or JAX.

    manifest.json   at least `name`, `num_examples` and `shards`: [{"file": name, "num_examples": n}, ...]
                    in the examples' order
    lengths.npy     uint16[num_examples, 2]: how many tokens the inputs and the targets have (65535 for that
                    many or more)
    the shards      uncompressed ArrayRecord files of group size 1, a record an example, as `encode_example`
                    makes it
    checksums.json  of all other files, which are read whole against it when a split is opened
The lengths let every host plan the same packing without reading a record, and then read only the records of
its own rows.
"""

import copy
import json
import pathlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgpack
import numpy as np

from flanlite import checksums
from flanlite.data.cache.array_record import ArrayRecordFile
from flanlite.data.cache.faults import DamagedCacheError, reason
from flanlite.data.tokens import example
from flanlite.data.tokens.example import Example
from flanlite.limits import MAX_LENGTH

MANIFEST = 'manifest.json'
LENGTHS = 'lengths.npy'
SOME = 256  # examples that a fingerprint is made of


def encode_example(example: Example, width: int | None = None) -> bytes:
    """Make an example's record: a msgpack map, token ids as little-endian integers of `width` bytes (by
    default 2 if they fit, else 4).
    """
    tokens = (example.inputs, example.targets, *example.option_tokens)
    width = width or (2 if all(len(ids) == 0 or np.max(ids) < 1 << 16 for ids in tokens) else 4)
    dtype = np.dtype(f'<u{width}')
    inputs, targets, *options = (np.asarray(ids).astype(dtype).tobytes() for ids in tokens)
    record = {'i': inputs, 't': targets, 'w': width, 'r': example.row, 'p': example.template}
    if example.options:
        record |= {'o': example.options, 'ot': options}
    record |= {
        key: value
        for key, value in (
            ('a', example.answers),
            ('g', example.group),
            ('s', example.shots),
            ('n', example.setting),
            ('m', example.form),
        )
        if value
    }
    if example.fields:
        record['f'] = pack_field(example.fields)
    return msgpack.packb(record)


def pack_field(value: Any) -> Any:
    """Turn a field's value into what msgpack takes: a number or array becomes a list of its type, shape and
    content.
    """
    if isinstance(value, Mapping):
        return {name: pack_field(item) for name, item in value.items()}
    if isinstance(value, bytes):
        return value
    array = np.asarray(value)
    return [
        array.dtype.str,
        array.shape,
        array.ravel().tolist() if array.dtype == object else array.tobytes(),
    ]


def unpack_field(packed: Any) -> Any:
    """Read back what `pack_field` made."""
    if isinstance(packed, dict):
        return {name: unpack_field(item) for name, item in packed.items()}
    if isinstance(packed, bytes):
        return packed
    dtype, shape, content = packed
    array = np.array(content, object) if isinstance(content, list) else np.frombuffer(content, dtype).copy()
    return array.reshape(shape)[()]


def decode_example(record: bytes) -> Example:
    """Read back what `encode_example` made."""
    fields = msgpack.unpackb(record)
    dtype = np.dtype(f'<u{fields["w"]}')

    def ids(tokens: bytes) -> np.ndarray:
        return np.frombuffer(tokens, dtype).astype(np.int32)

    return Example(
        ids(fields['i']),
        ids(fields['t']),
        fields['r'],
        fields['p'],
        options=tuple(fields.get('o', ())),
        option_tokens=tuple(map(ids, fields.get('ot', ()))),
        answers=tuple(fields.get('a', ())),
        group=fields.get('g', ''),
        shots=fields.get('s', 0),
        setting=fields.get('n', ''),
        form=fields.get('m', ''),
        fields=unpack_field(fields.get('f', {})),
    )


def decode_tokens(record: bytes) -> example.Tokens:
    """Read only a record's inputs and targets."""
    fields = msgpack.unpackb(record)
    dtype = '<u2' if fields['w'] == 2 else '<u4'
    return np.frombuffer(fields['i'], dtype), np.frombuffer(fields['t'], dtype)


class CachedSplit:
    """One split of one task, tokenised: random access to its examples.

    Args:
        path: the folder that the cache builder wrote.

    Raises:
        ValueError: the folder holds no complete cached split.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        self.path = pathlib.Path(path)
        try:
            self.manifest: dict[str, Any] = json.loads((self.path / MANIFEST).read_text(encoding='utf-8'))
            self.lengths: np.ndarray = np.asarray(np.load(self.path / LENGTHS, mmap_mode='r'))
        except (OSError, ValueError) as error:
            raise ValueError(
                f'{self.path} holds no complete cached split ({error}); remove it and build it again'
            ) from error
        self.name: str = self.manifest['name']
        self.num_examples: int = self.manifest['num_examples']
        self._files = [self.path / shard['file'] for shard in self.manifest['shards']]
        self._starts = np.cumsum([0, *(shard['num_examples'] for shard in self.manifest['shards'])])
        self._readers: dict[int, ArrayRecordFile] = {}
        self._prompt = np.zeros(0, np.int32)
        if self.lengths.shape != (self.num_examples, 2) or self._starts[-1] != self.num_examples:
            raise ValueError(
                f'{self.path}: the manifest says {self.num_examples} examples, its shards '
                f'{self._starts[-1]}, '
                f'{LENGTHS} has shape {self.lengths.shape}; remove the folder and build it again'
            )

    def __len__(self) -> int:
        return self.num_examples

    def take(self, limit: int | None) -> 'CachedSplit':
        """Return the split cut to its first `limit` examples; None cuts nothing."""
        if limit is None or limit >= self.num_examples:
            return self
        cut = copy.copy(self)
        cut.num_examples, cut.lengths = limit, self.lengths[:limit]
        return cut

    def with_prompt(self, prompt: np.ndarray) -> 'CachedSplit':
        """Return the split with ids before the inputs of every example, as training reads them.

        Args:
            prompt: int32[P], of soft tokens.
        """
        if not len(prompt):
            return self
        longer = copy.copy(self)
        longer.lengths = np.minimum(self.lengths + np.array([len(prompt), 0]), MAX_LENGTH).astype(np.uint16)
        longer._prompt = prompt
        return longer

    def fingerprint(self) -> str:
        """Return a short text that tells this split's examples from others: of their number, their lengths,
        what they were made of, and some of the examples.
        """
        some = self.read_records(range(0, self.num_examples, max(1, self.num_examples // SOME)))
        parts = (self.manifest.get('spec', '').encode(), np.ascontiguousarray(self.lengths).tobytes(), *some)
        return f'{self.num_examples:,} examples, {zlib.crc32(b"".join(parts)):08x}'

    def read_tokens(self, indices: Sequence[int]) -> list[example.Tokens]:
        """Read the inputs and targets of examples, in the order asked for."""
        read = map(decode_tokens, self.read_records(indices))
        if not len(self._prompt):
            return list(read)
        return [(np.concatenate([self._prompt, inputs]), targets) for inputs, targets in read]

    def read(self, index: int) -> Example:
        """Read one example."""
        return decode_example(self.read_records([index])[0])

    def examples(self, limit: int | None = None) -> Iterator[Example]:
        """Read the examples in order, at most `limit` of them."""
        stop = self.num_examples if limit is None else min(limit, self.num_examples)
        for start in range(0, stop, 1_000):
            yield from map(decode_example, self.read_records(range(start, min(start + 1_000, stop))))

    def read_records(self, indices: Sequence[int]) -> list[bytes]:
        """Read records by number, in the order asked for.

        Raises:
            ValueError: a shard is missing or damaged; the message names it.
        """
        wanted = np.asarray(indices, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < self.num_examples:
            raise IndexError(
                f'{self.name} has {self.num_examples} examples, got the index {wanted.min()} or '
                f'{wanted.max()}'
            )
        shard_of = np.searchsorted(self._starts, wanted, side='right') - 1
        records: list[bytes] = [b''] * len(wanted)
        for shard, places in groups(shard_of):
            found = self._read_shard(shard, (wanted[places] - self._starts[shard]).tolist())
            for place, record in zip(places.tolist(), found, strict=True):
                records[place] = record
        return records

    def _read_shard(self, shard: int, positions: list[int]) -> list[bytes]:
        file = self._files[shard]
        expected = int(self._starts[shard + 1] - self._starts[shard])
        try:
            if shard not in self._readers:
                reader = ArrayRecordFile(file)
                if len(reader) != expected:
                    raise ValueError(f'it holds {len(reader)} records, the manifest says {expected}')
                self._readers[shard] = reader
            return self._readers[shard].read(positions)
        except (ValueError, OSError) as error:
            raise ValueError(
                f'the shard {file} is damaged: {error}; remove {self.path} and build the cache again'
            ) from error


def open_checked(folder: pathlib.Path) -> CachedSplit:
    """Open a cached split and check its files against their checksums.

    Raises:
        DamagedCacheError: they are not what was written.
    """
    why = checksums.fault(folder)
    try:
        opened = None if why else CachedSplit(folder)
    except (ValueError, KeyError, TypeError) as error:
        why = reason(error)
    if why:
        raise DamagedCacheError(
            f'the cache is damaged: {why}; build it again with --rebuild (rebuild=True), or remove the '
            f'folder: {folder}'
        )
    return opened


def groups(keys: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each key, and where it stands."""
    order = np.argsort(keys, kind='stable')
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for places in np.split(order, starts[1:]) if len(order) else ():
        yield int(keys[places[0]]), places
