"""The token cache: each task once as ArrayRecord shards and a manifest, built natively or, for foreign SeqIO tasks, through SeqIO."""

import contextlib
import dataclasses
import difflib
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
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from array_record.python import array_record_module

import flanlite
from flanlite.data import batches, fingerprints, rendering, sources, specs, tasks, vocabularies
from flanlite.data.batches import CachedSplit, Example
from flanlite.data.progress import CONSOLE, Progress

FORMAT = 1  # raise it when records change, so that older caches are rebuilt
SHARD_EXAMPLES = 100_000
TOLD_EXAMPLES = 500  # between steps of the progress bar
EDGE = 1 << 15  # bytes of a shard's ends whose checksum is in the manifest
UNUSED_DAYS = 7  # stale versions of a task's cache are removed after so long without use
WRITER_OPTIONS = 'group_size:1,uncompressed'


@dataclasses.dataclass(frozen=True)
class CacheReport:
    """What `ensure` found or built.

    Args:
        splits: the cached split of each task.
        skipped: why each of the other tasks could not be cached.
    """

    splits: dict[str, CachedSplit]
    skipped: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return what a run's manifest says of its data."""
        kept = ('split', 'style', 'renderings', 'source', 'version', 'rows', 'filtered', 'truncated', 'spec', 'templates', 'vocabulary')
        told = {name: {key: cached.manifest.get(key) for key in kept} for name, cached in self.splits.items()}
        for name, cached in self.splits.items():
            told[name] |= {'num_examples': cached.num_examples, 'path': str(cached.path)}
        return {'tasks': told, 'skipped': self.skipped}

    def too_long(self, feature_lengths: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Count each task's examples whose inputs or targets are longer than these lengths, and so would be cut."""
        limits = [feature_lengths['inputs'], feature_lengths['targets']]
        counts = {name: (cached.lengths > limits).sum(0) for name, cached in self.splits.items()}
        return {name: {'inputs': int(inputs), 'targets': int(targets)} for name, (inputs, targets) in counts.items()}


@dataclasses.dataclass(frozen=True)
class Request:
    """One task's split, as asked for; `spec` is None for a foreign SeqIO task."""

    name: str
    spec: specs.Spec | None
    split: str
    style: str
    renderings: int | str
    vocabulary: vocabularies.Vocabulary
    max_examples: int | None
    root: pathlib.Path
    num_workers: int = rendering.THREADS

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash all that decides the records."""
        made_of = tasks.seqio_fingerprint(self.name) if self.spec is None else self.spec.fingerprint()
        return fingerprints.of(FORMAT, made_of, self.split, self.style, self.renderings, self.vocabulary.fingerprint())

    @functools.cached_property
    def folder(self) -> pathlib.Path:
        """Return the folder of the whole split; one cut to `max_examples` has `-max<number>` behind it."""
        words = (self.split, self.style, str(self.renderings), pathlib.Path(self.vocabulary.name).stem)
        return self.root / file_name(self.name) / f'{file_name("-".join(words))}-{self.fingerprint}'


def ensure(
    names: Sequence[str],
    *,
    split: str,
    vocabulary: str | vocabularies.Vocabulary,
    cache_dir: str | os.PathLike | None = None,
    data_dir: str | os.PathLike | None = None,
    style: str = 'instructions',
    renderings: int | str = 1,
    max_examples: int | Mapping[str, int | None] | None = None,
    fail_fast: bool = False,
    rebuild: bool = False,
    num_workers: int = rendering.THREADS,
) -> CacheReport:
    """Open tasks' cached splits; build those that are not there, or whose data set, templates or vocabulary changed.

    Args:
        names: data sets, plain texts or registered SeqIO tasks.
        split: train, validation or test.
        vocabulary: the vocabulary, or what `vocabularies.load` takes.
        cache_dir: where caches lie; by default FLANLITE_CACHE_DIR, or flanlite's part of the user's cache folder.
        data_dir: the folder of local data; by default FLANLITE_DATA_DIR.
        style: `instructions`, `baseline` (plain prompts) or `fields` (no words of a template).
        renderings: how many templates each row gets; `all` for every one that is not inverted, as evaluation needs.
        max_examples: at most so many rows, for all tasks or by name: the first of `train`, a random sample of other splits.
        fail_fast: raise at the first task that fails, instead of skipping it.
        rebuild: build again what is there.
        num_workers: threads that tokenise while the rows are read.

    Raises:
        ValueError: an unknown name, split or style; a damaged cache; with `fail_fast`, a task that fails.
        OSError: the disk is full or cannot be written.
    """
    check(names, split, renderings, style, max_examples)
    vocabulary = vocabularies.load(vocabulary)
    root = cache_folder(cache_dir)
    report = CacheReport({}, {})
    missing = []
    for name in dict.fromkeys(names):
        with skipping(report, name, root, fail_fast):
            spec = specs.find_spec(name)
            if spec is not None:
                spec = dataclasses.replace(spec, source=sources.resolve(spec.source, data_dir))
            limit = max_examples.get(name) if isinstance(max_examples, Mapping) else max_examples
            request = Request(name, spec, split, style, renderings, vocabulary, limit, root, num_workers)
            if rebuild or not (found := find(request)):
                missing.append(request)
            else:
                report.splits[name] = found
    with Progress(f'caching {split} in {root}', len(missing)) as progress:
        for request in missing:
            with skipping(report, request.name, root, fail_fast):
                report.splits[request.name] = build(request, rebuild, progress)
    return CacheReport({name: report.splits[name] for name in names if name in report.splits}, report.skipped)


class CacheFolderError(OSError):
    """The cache folder cannot be written."""


class DamagedCacheError(ValueError):
    """A cached split does not hold what its manifest says."""


@contextlib.contextmanager
def skipping(report: CacheReport, name: str, root: pathlib.Path, fail_fast: bool) -> Iterator[None]:
    """Enter a task that fails into the report; faults of the cache itself are raised."""
    try:
        yield
    except DamagedCacheError:
        raise
    except Exception as error:  # whatever a data set's reader, field map or templates raise: the other tasks go on
        if fault := folder_fault(error, root):
            raise CacheFolderError(
                f'cannot write the token cache in {root}: {fault}; free some space there, or name another folder '
                'with --cache_dir or FLANLITE_CACHE_DIR'
            ) from error
        if fail_fast:
            raise ValueError(f'task {name!r} cannot be cached: {reason(error)}') from error
        report.skipped[name] = reason(error)
        CONSOLE.print(f'skipped {name}: {reason(error)}', style='yellow', markup=False)


def folder_fault(error: Exception, root: pathlib.Path) -> str | None:
    """Say what is wrong with the cache folder where an error comes from it; ArrayRecord's writer gives the system's words only."""
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        if getattr(error, 'errno', None) == number or (isinstance(error, RuntimeError) and os.strerror(number) in str(error)):
            return os.strerror(number)
    if isinstance(error, PermissionError | NotADirectoryError | FileExistsError) and str(error.filename).startswith(str(root)):
        return f'{error.strerror}: {error.filename}'
    return None


def check(names: Sequence[str], split: str, renderings: int | str, style: str, max_examples: int | Mapping[str, int | None] | None) -> None:
    """Refuse unknown names and choices before anything is built."""
    specs.Splits().get(split)
    if style not in specs.STYLES:
        raise ValueError(f'unknown style {style!r}; expected one of {", ".join(specs.STYLES)}')
    if renderings != 'all' and (not isinstance(renderings, int) or renderings < 1):
        raise ValueError(f"got renderings={renderings!r}; expected a number from 1, or 'all'")
    limits = max_examples.values() if isinstance(max_examples, Mapping) else [max_examples]
    if any(limit is not None and limit < 1 for limit in limits):
        raise ValueError(f'got max_examples={max_examples!r}; expected numbers from 1, or None for all')
    known = [spec.name for collection in specs.COLLECTIONS.values() for spec in collection.specs] + tasks.seqio_names()
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f'did you mean {" or ".join(close)}?' if close else f'there are {", ".join(known[:20]) or "none"}'
            raise ValueError(f'no data set or registered SeqIO task {name!r}; {hint} (a collection is known once its module is imported)')


def cache_folder(cache_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Return the folder that holds all caches."""
    named = cache_dir or os.environ.get('FLANLITE_CACHE_DIR')
    user = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'flanlite'
    return pathlib.Path(named or user).expanduser().absolute()


def find(request: Request) -> CachedSplit | None:
    """Open a cached split that serves a request, or return None."""
    folder = request.folder
    for candidate in [folder, *sorted(folder.parent.glob(f'{folder.name}-max*'))]:
        if not candidate.is_dir():
            continue
        cut = candidate.name.removeprefix(folder.name).removeprefix('-max')
        if cut and (request.max_examples is None or int(cut) < request.max_examples):
            continue
        cached = open_split(candidate)
        with contextlib.suppress(OSError):  # a shared cache may be read-only
            os.utime(candidate)
        return cached if request.max_examples is None else cached.take(request.max_examples * cached.manifest['examples_per_row'])
    return None


def open_split(folder: pathlib.Path) -> CachedSplit:
    """Open a cached split and check its files against the manifest."""
    remedy = 'build it again with --rebuild (rebuild=True), or remove the folder'
    try:
        cached = CachedSplit(folder)
        for shard in cached.manifest['shards']:
            file = folder / shard['file']
            size = file.stat().st_size if file.is_file() else None
            if size != shard['bytes']:
                raise ValueError(f'the shard {file} has {size} bytes, the manifest says {shard["bytes"]}')
            if edge_checksum(file) != shard['checksum']:
                raise ValueError(f'the shard {file} does not have the checksum that the manifest says')
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCacheError(f'the cache is damaged: {reason(error)}; {remedy}: {folder}') from error
    return cached


def edge_checksum(file: pathlib.Path) -> int:
    """Checksum a file's ends, which is quick for any size; ArrayRecord checks what lies between as it is read."""
    with file.open('rb') as content:
        checksum = zlib.crc32(content.read(EDGE))
        content.seek(max(0, file.stat().st_size - EDGE))
        return zlib.crc32(content.read(EDGE), checksum)


def build(request: Request, rebuild: bool, progress: Progress) -> CachedSplit:
    """Build a task's split in a temporary folder and move it to its place when it is whole."""
    folder = request.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not rebuild and (found := find(request)):  # another process built it meanwhile
            progress.advance(0, task=True)
            return found
        for left in folder.parent.glob(f'.{folder.name}.tmp-*'):  # of builds that were killed: who holds the lock builds alone
            shutil.rmtree(left, ignore_errors=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f'.{folder.name}.tmp-', dir=folder.parent))
        try:
            manifest = write(request, temporary, progress)
            final = folder.with_name(f'{folder.name}-max{request.max_examples}') if manifest['truncated'] else folder
            if final.exists():
                final.rename(temporary / 'replaced')
            (temporary / 'whole').rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    remove_unused(folder)
    progress.advance(0, task=True)
    return open_split(final)


def write(request: Request, temporary: pathlib.Path, progress: Progress) -> dict[str, Any]:
    """Write a split's shards, lengths and manifest into `temporary/whole`; return the manifest."""
    folder = temporary / 'whole'
    folder.mkdir()
    tally = rendering.Tally()
    width = 2 if request.vocabulary.size <= 1 << 16 else 4
    shards, lengths = write_shards(folder, examples(request, tally), width, progress)
    array = io.BytesIO()
    np.save(array, np.minimum(lengths, batches.MAX_LENGTH).astype(np.uint16))
    (folder / batches.LENGTHS).write_bytes(array.getvalue())
    spec, vocabulary = request.spec, request.vocabulary
    if not len(lengths):
        read = specs.source_split(spec, request.split) if spec else request.split
        raise ValueError(f'no examples: {tally.read} rows were read of {read!r}, and dropped {tally.filtered or "none"}')
    manifest = {
        'name': request.name,
        'num_examples': len(lengths),
        'shards': shards,
        'split': request.split,
        'style': request.style,
        'renderings': request.renderings,
        'examples_per_row': rendering.examples_per_row(spec, request.split, request.style, request.renderings) if spec else 1,
        'source': sources.label(spec.source) if spec else 'SeqIO task',
        'version': spec.source.version() if spec else tasks.seqio_fingerprint(request.name),
        'rows': tally.used,
        'source_rows': sources.count_rows(spec.source, specs.source_split(spec, request.split)) if tally.truncated and spec else tally.read,
        'filtered': tally.filtered,
        'truncated': tally.truncated,
        'max_examples': request.max_examples,
        'sample_seed': None if request.split == 'train' else rendering.SAMPLE_SEED,
        'lengths': {name: histogram(lengths[:, place]) for place, name in enumerate(('inputs', 'targets'))},
        'spec': request.fingerprint,
        'templates': fingerprints.of(getattr(spec, 'templates', ()), getattr(spec, 'baselines', ())),
        'vocabulary': {'name': vocabulary.name, 'size': vocabulary.size, 'fingerprint': vocabulary.fingerprint()},
        'format': FORMAT,
        'flanlite': flanlite.__version__,
    }
    (folder / batches.MANIFEST).write_text(json.dumps(manifest, indent=1), encoding='utf-8')
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
        tally=tally,
        threads=request.num_workers,
    )


def foreign_examples(request: Request, tally: rendering.Tally) -> Iterator[Example]:
    """Run a SeqIO task; of other splits than `train`, a limit takes a random sample."""
    made = tasks.seqio_examples(request.name, request.split, request.vocabulary)
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
    folder: pathlib.Path, made: Iterator[Example], width: int, progress: Progress
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Write examples as ArrayRecord files; return the manifest's list of them, and all lengths, int64[num_examples, 2]."""
    shards, lengths = [], []
    for first in made:
        file = folder / f'{len(shards):05d}.arrayrecord'
        written = len(lengths)
        with closing_writer(file) as writer:
            for example in itertools.chain([first], itertools.islice(made, SHARD_EXAMPLES - 1)):
                lengths.append((len(example.inputs), len(example.targets)))
                writer.write(batches.encode_example(example, width))
                if len(lengths) % TOLD_EXAMPLES == 0:
                    progress.advance(TOLD_EXAMPLES)
        count = len(lengths) - written
        progress.advance(len(lengths) % TOLD_EXAMPLES)
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
