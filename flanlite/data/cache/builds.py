"""One task's cached split: asked for, found or built. The same bytes come out in whatever process it is built."""

import contextlib
import dataclasses
import errno
import functools
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from array_record.python import array_record_module

from flanlite.data.cache import cached, remote
from flanlite.data.cache.cached import CachedSplit
from flanlite.data.cache.remote import CacheFolderError
from flanlite.data.rendering import fewshot, rendering, seqio_tasks
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import fingerprints, sources, specs
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.example import Example
from flanlite.progress import CONSOLE
from flanlite.version import __version__

FORMAT = 1  # raise it when records change, so that older caches are rebuilt
SHARD_EXAMPLES = 100_000
TOLD_EXAMPLES = 500  # between steps of the progress bar
EDGE = 1 << 15  # bytes of a shard's ends whose checksum is in the manifest
UNUSED_DAYS = 7  # stale versions of a task's cache are removed after so long without use
WRITER_OPTIONS = 'group_size:1,uncompressed'

Told = Callable[[int], None]  # is called with numbers of examples that were written


@dataclasses.dataclass(frozen=True)
class Request:
    """One task's split, as asked for.

    Args:
        name: the task.
        spec: its data set or plain text; None for a foreign SeqIO task.
        split: train, validation or test.
        style: see `specs.STYLES`.
        renderings: how many templates a row gets, or `all`.
        vocabulary: makes the tokens.
        max_examples: at most so many rows.
        root: the local folder of all caches.
        store: the URL of the remote folder that `root` is a copy of, where there is one.
        shots: the few-shot exemplars before each example.
        dropped: the indices of rows to leave out.
    """

    name: str
    spec: specs.Spec | None
    split: str
    style: str
    renderings: int | str
    vocabulary: vocabularies.Vocabulary
    max_examples: int | None
    root: pathlib.Path
    store: str | None = None
    shots: Shots | None = None
    dropped: frozenset[int] = frozenset()

    @functools.cached_property
    def described(self) -> dict[str, Any]:
        """Say for the manifest what decides the records. It travels with the request: code that was sent elsewhere may hash differently."""
        spec, vocabulary = self.spec, self.vocabulary
        made_of = seqio_tasks.seqio_fingerprint(self.name) if spec is None else spec.fingerprint()
        more = (self.shots, fewshot.Exemplars, fewshot.sample_pool) if self.shots else ()
        more += (sorted(self.dropped), self.max_examples) if self.dropped else ()  # the first part of more rows may be others
        return {
            'name': self.name,
            'split': self.split,
            'style': self.style,
            'renderings': self.renderings,
            'examples_per_row': rendering.examples_per_row(spec, self.split, self.style, self.renderings) if spec else 1,
            'source': sources.label(spec.source) if spec else 'SeqIO task',
            'version': spec.source.version() if spec else made_of,
            'sample_seed': None if self.split == 'train' else rendering.SAMPLE_SEED,
            'spec': fingerprints.of(FORMAT, made_of, self.split, self.style, self.renderings, vocabulary.fingerprint(), *more),
            'templates': fingerprints.of(getattr(spec, 'templates', ()), getattr(spec, 'baselines', ())),
            'vocabulary': {'name': vocabulary.name, 'size': vocabulary.size, 'fingerprint': vocabulary.fingerprint()},
            'format': FORMAT,
            'flanlite': __version__,
        }

    @property
    def folder(self) -> pathlib.Path:
        """Return the folder of the whole split; one cut to `max_examples` has `-max<number>` behind it."""
        few_shot = (f'{self.shots.number}shot',) if self.shots else ()
        words = (self.split, self.style, str(self.renderings), *few_shot, pathlib.Path(self.vocabulary.name).stem)
        return self.root / file_name(self.name) / f'{file_name("-".join(words))}-{self.described["spec"]}'

    @property
    def task_url(self) -> str:
        """Name the task's remote folder."""
        return f'{self.store}/{file_name(self.name)}'

    def serving(self, names: list[str]) -> list[str]:
        """Choose, among folders, those that hold what is asked for."""
        limits = {name: name.removeprefix(self.folder.name).removeprefix('-max') for name in names if name.startswith(self.folder.name)}
        return [name for name, limit in limits.items() if not limit or (self.max_examples and int(limit) >= self.max_examples)]


class DamagedCacheError(ValueError):
    """A cached split does not hold what its manifest says."""


def attempt(request: Request, rebuild: bool, told: Told, fail_fast: bool = False) -> str | None:
    """Build a split; return why that cannot be done, or None where it was. Faults of the cache itself are raised."""
    try:
        build(request, rebuild, told)
    except Exception as error:  # whatever a data set's reader, field map or templates raise: the other tasks go on
        return excuse(request.name, error, request.root, fail_fast)
    return None


def excuse(name: str, error: Exception, root: pathlib.Path, fail_fast: bool) -> str:
    """Say why a task failed, or raise that; an error that is the cache folder's is raised always."""
    if isinstance(error, DamagedCacheError | CacheFolderError):
        raise error
    if fault := folder_fault(error, root):
        raise CacheFolderError(
            f'cannot write the token cache in {root}: {fault}; free some space there, or name another folder '
            'with --cache_dir or FLANLITE_CACHE_DIR'
        ) from error
    if fail_fast:
        raise ValueError(failed(name, reason(error))) from error
    return reason(error)


def failed(name: str, why: str) -> str:
    """Say that a task failed, where that stops everything."""
    return f'task {name!r} cannot be cached: {why}'


def folder_fault(error: Exception, root: pathlib.Path) -> str | None:
    """Say what is wrong with the cache folder where an error comes from it; ArrayRecord's writer gives the system's words only."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        if getattr(error, 'errno', None) == number or (isinstance(error, RuntimeError) and os.strerror(number) in str(error)):
            return os.strerror(number)
    if isinstance(error, OSError) and error.filename is not None:
        about = pathlib.Path(os.fsdecode(error.filename))
        if about.is_relative_to(root) or root.is_relative_to(about):
            return f'{error.strerror}: {about}'
    return None


def find(request: Request) -> CachedSplit | None:
    """Open a cached split that serves a request, or return None; one that lies in the remote cache only is copied here first."""
    home = request.folder.parent
    there = request.serving(sorted(folder.name for folder in home.iterdir() if folder.is_dir())) if home.is_dir() else []
    if not there and request.store and (there := request.serving(remote.names(request.task_url))):
        remote.fetch(f'{request.task_url}/{there[0]}', home / there[0])
    if not there:
        return None
    cached_split = open_split(home / there[0])
    with contextlib.suppress(OSError):  # a shared cache may be read-only
        os.utime(home / there[0])
    limit = request.max_examples
    return cached_split if limit is None else cached_split.take(limit * cached_split.manifest['examples_per_row'])


def open_split(folder: pathlib.Path) -> CachedSplit:
    """Open a cached split and check its files against the manifest."""
    remedy = 'build it again with --rebuild (rebuild=True), or remove the folder'
    try:
        cached_split = CachedSplit(folder)
        for shard in cached_split.manifest['shards']:
            file = folder / shard['file']
            size = file.stat().st_size if file.is_file() else None
            if size != shard['bytes']:
                raise ValueError(f'the shard {file} has {size} bytes, the manifest says {shard["bytes"]}')
            if edge_checksum(file) != shard['checksum']:
                raise ValueError(f'the shard {file} does not have the checksum that the manifest says')
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCacheError(f'the cache is damaged: {reason(error)}; {remedy}: {folder}') from error
    return cached_split


def edge_checksum(file: pathlib.Path) -> int:
    """Checksum a file's ends, which is quick for any size; ArrayRecord checks what lies between as it is read."""
    with file.open('rb') as content:
        checksum = zlib.crc32(content.read(EDGE))
        content.seek(max(0, file.stat().st_size - EDGE))
        return zlib.crc32(content.read(EDGE), checksum)


def build(request: Request, rebuild: bool, told: Told) -> None:
    """Build a task's split in a temporary folder and move it to its place when it is whole; then send it to the remote cache."""
    folder = request.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not rebuild and find(request):  # another process built it meanwhile
            return
        remove_leftovers(folder)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f'.{folder.name}.tmp-', dir=folder.parent))
        try:
            manifest = write(request, temporary, told)
            final = folder.with_name(f'{folder.name}-max{request.max_examples}') if manifest['truncated'] else folder
            if final.exists():
                final.rename(temporary / 'replaced')
            (temporary / 'whole').rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for other in (folder, *folder.parent.glob(f'{folder.name}-max*')) if rebuild else ():
            if other != final:  # it may be why this one was built again
                shutil.rmtree(other, ignore_errors=True)
    if request.store:
        remote.send(final, f'{request.task_url}/{final.name}')
    remove_unused(folder)


def write(request: Request, temporary: pathlib.Path, told: Told) -> dict[str, Any]:
    """Write a split's shards, lengths and manifest into `temporary/whole`; return the manifest."""
    folder = temporary / 'whole'
    folder.mkdir()
    tally, spec = rendering.Tally(), request.spec
    width = 2 if request.vocabulary.size <= 1 << 16 else 4
    shards, lengths = write_shards(folder, examples(request, tally), width, told)
    array = io.BytesIO()
    np.save(array, np.minimum(lengths, cached.MAX_LENGTH).astype(np.uint16))
    (folder / cached.LENGTHS).write_bytes(array.getvalue())
    if not len(lengths):
        read = specs.source_split(spec, request.split) if spec else request.split
        raise ValueError(f'no examples: {tally.read} rows were read of {read!r}, and dropped {tally.filtered or "none"}')
    manifest = request.described | {
        'num_examples': len(lengths),
        'shards': shards,
        'shots': request.shots and dataclasses.asdict(request.shots) | {'kept': dict(sorted(tally.exemplars.items()))},
        'rows': tally.used,
        'source_rows': sources.count_rows(spec.source, specs.source_split(spec, request.split)) if tally.truncated and spec else tally.read,
        'filtered': tally.filtered,
        'truncated': tally.truncated,
        'max_examples': request.max_examples,
        'lengths': {name: histogram(lengths[:, place]) for place, name in enumerate(('inputs', 'targets'))},
    }
    (folder / cached.MANIFEST).write_text(json.dumps(manifest, indent=1), encoding='utf-8')
    return manifest


def histogram(lengths: np.ndarray) -> dict[str, int]:
    """Count how many examples have each length."""
    values, counts = np.unique(lengths, return_counts=True)
    return {str(value): int(count) for value, count in zip(values.tolist(), counts.tolist(), strict=True)}


def examples(request: Request, tally: rendering.Tally) -> Iterator[Example]:
    """Make a request's examples."""
    if request.spec is None:
        return foreign_examples(request, tally)
    return rendering.examples(
        request.spec,
        request.split,
        request.vocabulary,
        style=request.style,
        renderings=request.renderings,
        limit=request.max_examples,
        shots=request.shots,
        dropped=request.dropped,
        tally=tally,
    )


def foreign_examples(request: Request, tally: rendering.Tally) -> Iterator[Example]:
    """Run a SeqIO task; of other splits than `train`, a limit takes a random sample."""
    made = seqio_tasks.seqio_examples(request.name, request.split, request.vocabulary)
    if request.split != 'train':
        made = list(made)
        made = iter([made[place] for place in rendering.sample_order(len(made))])
    for example in made:
        tally.read += 1
        if tally.used == request.max_examples:
            tally.truncated = True
            return
        tally.used += 1
        yield example


def write_shards(
    folder: pathlib.Path, made: Iterator[Example], width: int, told: Told
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Write examples as ArrayRecord files; return the manifest's list of them, and all lengths, int64[num_examples, 2]."""
    shards, lengths = [], []
    for first in made:
        file = folder / f'{len(shards):05d}.arrayrecord'
        written = len(lengths)
        with closing_writer(file) as writer:
            for example in itertools.chain([first], itertools.islice(made, SHARD_EXAMPLES - 1)):
                lengths.append((len(example.inputs), len(example.targets)))
                writer.write(cached.encode_example(example, width))
                if len(lengths) % TOLD_EXAMPLES == 0:
                    told(TOLD_EXAMPLES)
        count = len(lengths) - written
        told(len(lengths) % TOLD_EXAMPLES)
        shards.append({'file': file.name, 'num_examples': count, 'bytes': file.stat().st_size, 'checksum': edge_checksum(file)})
    return shards, np.asarray(lengths, np.int64).reshape(-1, 2)


@contextlib.contextmanager
def closing_writer(file: pathlib.Path) -> Iterator[Any]:
    """Open an ArrayRecord file to write, and close it, whatever happens."""
    writer = array_record_module.ArrayRecordWriter(str(file), WRITER_OPTIONS)
    try:
        yield writer
    finally:
        writer.close()


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Hold a folder's lock; the system frees it when the process ends, however it ends."""
    with folder.with_name(f'.{folder.name}.lock').open('w') as lock:
        try:
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                CONSOLE.print(f'waiting for another process that builds {folder}', markup=False)
                fcntl.flock(lock, fcntl.LOCK_EX)
        except (ImportError, OSError):  # no locks here: the renaming keeps the cache whole, though the work may be done twice
            pass
        yield


def remove_leftovers(folder: pathlib.Path) -> None:
    """Remove what killed builds left: who holds the lock builds alone."""
    for left in folder.parent.glob(f'.{folder.name}.tmp-*'):
        shutil.rmtree(left, ignore_errors=True)


def remove_unused(folder: pathlib.Path) -> None:
    """Remove other versions of a cached split, and what killed builds of them left, that nothing opened for long."""
    family, limit = folder.name.rpartition('-')[0], time.time() - UNUSED_DAYS * 86_400
    for other in folder.parent.iterdir():
        if other.name.lstrip('.').startswith(f'{family}-') and other.is_dir() and other.stat().st_mtime < limit:
            shutil.rmtree(other, ignore_errors=True)


def reason(error: BaseException) -> str:
    """Say in a line what went wrong."""
    text = ' '.join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError | FileNotFoundError) else f'{type(error).__name__}: {text}'


def file_name(name: str) -> str:
    """Make a name fit for a file."""
    return re.sub(r'[^\w.=+-]', '_', name)
