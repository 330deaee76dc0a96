"""Cached tasks in, mixed and packed batches out: this host's share of them, from any position. Imports neither TensorFlow nor JAX.

A cached split is a folder:
    manifest.json   at least `name`, `num_examples` and `shards`: [{"file": name, "num_examples": n}, ...] in the examples' order
    lengths.npy     uint16[num_examples, 2]: how many tokens the inputs and the targets have (65535 for that many or more)
    the shards      ArrayRecord files of group size 1, a record an example, as `encode_example` makes it
The lengths let every host plan the same packing without reading a record, and then read only the records of its own rows.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
from array_record.python import array_record_module

MANIFEST = 'manifest.json'
LENGTHS = 'lengths.npy'
MAX_LENGTH = 65_535


@dataclasses.dataclass(frozen=True)
class Example:
    """One rendered, tokenised example, and what evaluation needs to know of it.

    Args:
        inputs: int32[S] token ids, with EOS.
        targets: int32[T] token ids, with EOS.
        row: the row's index in its data set's split.
        template: the index of the template that rendered it.
        options: the answer options' texts.
        option_tokens: each option's token ids, with EOS.
        answers: all texts that count as right.
    """

    inputs: np.ndarray
    targets: np.ndarray
    row: int = 0
    template: int = 0
    options: tuple[str, ...] = ()
    option_tokens: tuple[np.ndarray, ...] = ()
    answers: tuple[str, ...] = ()


def encode_example(example: Example) -> bytes:
    """Make an example's record: a msgpack map, token ids as little-endian integers of 2 bytes where they fit, else 4."""
    tokens = (example.inputs, example.targets, *example.option_tokens)
    width = 2 if all(len(ids) == 0 or np.max(ids) < 1 << 16 for ids in tokens) else 4
    dtype = np.dtype(f'<u{width}')
    inputs, targets, *options = (np.asarray(ids).astype(dtype).tobytes() for ids in tokens)
    record = {'i': inputs, 't': targets, 'w': width, 'r': example.row, 'p': example.template}
    if example.options:
        record |= {'o': example.options, 'ot': options}
    if example.answers:
        record['a'] = example.answers
    return msgpack.packb(record)


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
    )


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
            self.lengths: np.ndarray = np.load(self.path / LENGTHS, mmap_mode='r')
        except (OSError, ValueError) as error:
            raise ValueError(f'{self.path} holds no complete cached split ({error}); remove it and build it again') from error
        self.name: str = self.manifest['name']
        self.num_examples: int = self.manifest['num_examples']
        self._files = [self.path / shard['file'] for shard in self.manifest['shards']]
        self._ends = np.cumsum([shard['num_examples'] for shard in self.manifest['shards']])
        self._readers: dict[int, Any] = {}
        if self.lengths.shape != (self.num_examples, 2) or (self._ends[-1:] != self.num_examples).any():
            raise ValueError(
                f'{self.path}: the manifest says {self.num_examples} examples, its shards {self._ends[-1:].tolist()}, '
                f'{LENGTHS} has shape {self.lengths.shape}; remove the folder and build it again'
            )

    def __len__(self) -> int:
        return self.num_examples

    def read(self, index: int) -> Example:
        """Read one example."""
        return decode_example(self.read_record(index))

    def examples(self, limit: int | None = None) -> Iterator[Example]:
        """Read the examples in order, at most `limit` of them."""
        for index in range(self.num_examples if limit is None else min(limit, self.num_examples)):
            yield self.read(index)

    def read_record(self, index: int) -> bytes:
        """Read one record; an unreadable one is a `ValueError` that names the shard."""
        if not 0 <= index < self.num_examples:
            raise IndexError(f'{self.name} has {self.num_examples} examples, no index {index}')
        shard = int(np.searchsorted(self._ends, index, side='right'))
        position = index - int(self._ends[shard - 1] if shard else 0)
        try:
            if shard not in self._readers:
                self._readers[shard] = array_record_module.ArrayRecordReader(
                    str(self._files[shard]), options='readahead_buffer_size:0', file_reader_buffer_size=32_768
                )
            return self._readers[shard].read([position])[0]
        except (RuntimeError, ValueError, IndexError, OSError) as error:
            message = f'shard {self._files[shard]} is unreadable at record {position}: {error}; remove its folder and build the cache again'
            raise ValueError(message) from error

    def __getstate__(self) -> dict[str, Any]:
        return {'path': self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state['path'])
