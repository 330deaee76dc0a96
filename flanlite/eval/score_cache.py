"""What models gave batches of questions, kept: an evaluation that was interrupted goes on behind its last
batch, and one that is repeated asks nothing.

A batch is found by a hash of all that it holds: tokens, lengths, and how it is asked. So rows, lengths,
templates and exemplars count without being named, and a batch is computed as a whole or not at all: what an
evaluation finds here is, bit for bit, what it would compute. What else decides the numbers names the folder:
parameters and config of the model, devices, and the code.

    scores/<model>/model.json       what the name stands for
    scores/<model>/<task>/*.jsonl   a line a batch, with a checksum; each process writes a file of its own
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import sys
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from flanlite.config import to_text
from flanlite.data.cache.request import file_name
from flanlite.mesh import processes
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import models
from flanlite.model.models import ModelConfig
from flanlite.progress import CONSOLE
from flanlite.training import base
from flanlite.writing import write_whole

FOLDER = 'scores'
MODEL = 'model.json'
CODE = ('model', 'mesh', 'eval/rank.py', 'eval/generate.py', 'training/losses.py')  # that decides numbers


class ScoredBatches:
    """What a model gave the batches of a task.

    Args:
        folder: of the task; None finds and keeps nothing.
        title: comes before what is said.
    """

    def __init__(self, folder: pathlib.Path | None = None, title: str = '') -> None:
        self._folder, self._title = folder, title
        self._sink: Any = None
        self.found = self._added = 0  # batches that were not computed again, and that were
        self._known = dict(self._read()) if folder else {}

    def find(self, key: str) -> list[Any] | None:
        """Return what was kept of a batch, or None."""
        values = self._known.get(key)
        self.found += values is not None
        return values

    def keep(self, key: str, values: list[Any]) -> None:
        """Keep what a model gave a batch, as values of JSON. Of several processes only the first writes."""
        self._added += 1
        if self._folder is None or jax.process_index() != 0:
            return
        try:
            if self._sink is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._sink = (self._folder / f'{uuid.uuid4().hex[:16]}.jsonl').open('ab', buffering=0)
            self._sink.write(line_of(key, values))
        except OSError as error:
            CONSOLE.print(
                f'{self._title}: scores are not kept from here on: cannot write {self._folder}: '
                f'{error.strerror}; an interrupted evaluation begins here again',
                style='yellow', markup=False,
            )  # fmt: skip
            self._close()
            self._folder = None

    def __enter__(self) -> 'ScoredBatches':
        return self

    def __exit__(self, *_: object) -> None:
        if self.found:
            CONSOLE.print(
                f'{self._title}: batches scored before: {self.found:,}, now: {self._added:,}', markup=False
            )
        self._close()

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.close()
            self._sink = None

    def _read(self) -> Iterator[tuple[str, list[Any]]]:
        """Read the batches that are kept; the first process's are those of all, which must ask the same."""
        content = b''
        if jax.process_index() == 0:
            for path in sorted(self._folder.glob('*.jsonl')):
                try:
                    # A process that was killed leaves the beginning of a line.
                    content += path.read_bytes().rpartition(b'\n')[0] + b'\n'
                except OSError as error:
                    CONSOLE.print(f'{path} is not read: {error.strerror}', style='yellow', markup=False)
        damaged = 0
        for line in shared(content).splitlines():
            if (found := batch_of(line)) is not None:
                yield found
            else:
                damaged += line != b''
        if damaged:
            CONSOLE.print(
                f'{self._title}: {damaged:,} damaged lines in {self._folder} are not believed; what they '
                'held is computed again',
                style='yellow', markup=False,
            )  # fmt: skip


NOT_KEPT = ScoredBatches()


@dataclasses.dataclass(frozen=True)
class ScoreCache:
    """Where scores are kept.

    Args:
        folder: of all models; None keeps none.
        model: the folder of the model that is asked.
    """

    folder: pathlib.Path | None = None
    model: pathlib.Path | None = None

    @classmethod
    def inside(cls, folder: pathlib.Path) -> 'ScoreCache':
        """Keep scores in the folder of all caches."""
        return cls(folder / FOLDER)

    def of_model(self, config: ModelConfig, params: models.Params, partitioner: Partitioner) -> 'ScoreCache':
        """Return the cache of a model, with its parameters on the mesh."""
        if self.folder is None:
            return self
        about = {
            'parameters': base.fingerprint(params, exact=True),
            'config': f'{type(config).__name__}\n{to_text(config)}',
            'devices': f'{partitioner.mesh.shape} of {jax.devices()[0].device_kind}',
            'rules': repr(partitioner.rules),
            'matmul_precision': str(jax.config.jax_default_matmul_precision),
            'code': code_hash(),
            **processes.versions(),
        }
        text = json.dumps(about, indent=1)
        folder = self.folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        if jax.process_index() == 0 and not (folder / MODEL).is_file():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                write_whole(folder / MODEL, text)
            except OSError as error:
                CONSOLE.print(f'scores are not kept: {error}', style='yellow', markup=False)
        return dataclasses.replace(self, model=folder)

    def open(self, task: str) -> ScoredBatches:
        """Open what is kept of a task."""
        return ScoredBatches(self.model and self.model / file_name(task), task)


NOWHERE = ScoreCache()


def line_of(key: str, values: list[Any]) -> bytes:
    """Return the line of a batch."""
    checksum = zlib.crc32(json.dumps([key, values]).encode())
    return json.dumps({'batch': key, 'crc32': checksum, 'values': values}).encode() + b'\n'


def batch_of(line: bytes) -> tuple[str, list[Any]] | None:
    """Return the hash and values of a line; None where it is not as it was written."""
    try:
        kept = json.loads(line)
        key, values = kept['batch'], kept['values']
        whole = zlib.crc32(json.dumps([key, values]).encode()) == kept['crc32']
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (key, values) if whole else None


def batch_key(*parts: Any) -> str:
    """Hash what a batch is: arrays, and what else decides how it is asked, as values whose `repr` tells
    them.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f'{part.dtype} {part.shape}'.encode() + part.tobytes())
        else:
            digest.update(repr(part).encode() + b'\0')
    return digest.hexdigest()


def shared(content: bytes) -> bytes:
    """Return what the first process of a run has."""
    if jax.process_count() == 1:
        return content
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    sent = np.frombuffer(content.ljust(size, b'\0')[:size], np.uint8)
    return multihost_utils.broadcast_one_to_all(sent).tobytes()


@functools.cache
def code_hash() -> str:
    """Hash the source of what computes scores."""
    package = pathlib.Path(sys.modules['flanlite'].__file__).parent
    digest = hashlib.sha256()
    for name in CODE:
        path = package / name
        for file in sorted(path.rglob('*.py')) if path.is_dir() else [path]:
            digest.update(f'{file.relative_to(package)}\n'.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
