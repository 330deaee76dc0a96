"""Builds one task's cached split. The same bytes come out in whatever process it is built."""

import contextlib
import dataclasses
import io
import itertools
import json
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import filelock
import numpy as np
from array_record.python import array_record_module

from flanlite import checksums, config
from flanlite.data.cache import cached_split, faults, remote
from flanlite.data.cache.request import Request, open_cached
from flanlite.data.cache.view import BuildOptions
from flanlite.data.rendering import rendering, seqio_tasks
from flanlite.data.specs import sources, specs
from flanlite.data.tokens.example import Example
from flanlite.limits import MAX_LENGTH
from flanlite.progress import CONSOLE

SHARD_EXAMPLES = 100_000
TOLD_EXAMPLES = 500  # between steps of the progress bar
UNUSED_DAYS = 7  # stale versions of a task's cache are removed after so long without use
WRITER_OPTIONS = 'group_size:1,uncompressed'

Told = Callable[[int], None]  # is called with numbers of examples that were written


def attempt(request: Request, options: BuildOptions, told: Told) -> str | None:
    """Build a split; return why that cannot be done, or None where it was.

    Args:
        request: the split.
        options: how it is built; with `fail_fast`, a task that fails raises.
        told: is called with numbers of examples that were written.

    Raises:
        DamagedCacheError, CacheFolderError: the cache is at fault, not the task.
        ValueError: with `fail_fast`, the task fails.
    """
    try:
        build(request, options.rebuild, told)
    # Whatever a data set's reader, field map or templates raise: the other tasks go on.
    except Exception as error:
        return faults.excuse(request.name, error, request.root, options.fail_fast)
    return None


def build(request: Request, rebuild: bool, told: Told) -> None:
    """Build a task's split in a temporary folder and move it to its place when it is whole; then send it to
    the remote cache.
    """
    folder = request.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        if not rebuild and open_cached(request):  # another process built it meanwhile
            return
        remove_leftovers(folder)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f'.{folder.name}.tmp-', dir=folder.parent))
        try:
            manifest = write(request, temporary, told)
            final = (
                folder.with_name(f'{folder.name}-max{request.view.max_examples}')
                if manifest['truncated']
                else folder
            )
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
    """Write a split's shards, lengths, manifest and checksums into `temporary/whole`; return the manifest."""
    folder = temporary / 'whole'
    folder.mkdir()
    tally, spec, view = rendering.Tally(), request.spec, request.view
    width = 2 if view.vocabulary.size <= 1 << 16 else 4
    shards, lengths = write_shards(folder, examples(request, tally), width, told)
    array = io.BytesIO()
    np.save(array, np.minimum(lengths, MAX_LENGTH).astype(np.uint16))
    (folder / cached_split.LENGTHS).write_bytes(array.getvalue())
    if not len(lengths):
        read = specs.source_split(spec, view.split) if spec else view.split
        raise ValueError(
            f'no examples: {tally.read} rows were read of {read!r}, and dropped {tally.filtered or "none"}'
        )
    manifest = request.described | {
        'num_examples': len(lengths),
        'shards': shards,
        'shots': None
        if view.prompt_mix
        else view.shots
        and dataclasses.asdict(view.shots)
        | {'kept': dict(sorted(tally.exemplars.items()))}
        | ({'fixed': True} if spec and spec.few_shot else {}),
        'rows': tally.used,
        'source_rows': sources.count_rows(spec.source, specs.source_split(spec, view.split))
        if tally.truncated and spec
        else tally.read,
        'filtered': tally.filtered,
        'truncated': tally.truncated,
        'max_examples': view.max_examples,
        'lengths': {name: histogram(lengths[:, place]) for place, name in enumerate(('inputs', 'targets'))},
    }
    if view.prompt_mix:
        manifest['prompt_mix'] = config.to_json(view.prompt_mix) | {
            'examples': dict(sorted(tally.settings.items())),
            'kept': dict(sorted(tally.exemplars.items())),
        }
    (folder / cached_split.MANIFEST).write_text(json.dumps(manifest, indent=1), encoding='utf-8')
    checksums.write(folder)
    return manifest


def histogram(lengths: np.ndarray) -> dict[str, int]:
    """Count how many examples have each length."""
    values, counts = np.unique(lengths, return_counts=True)
    return {str(value): int(count) for value, count in zip(values.tolist(), counts.tolist(), strict=True)}


def examples(request: Request, tally: rendering.Tally) -> Iterator[Example]:
    """Make a request's examples."""
    if request.spec is None:
        return foreign_examples(request, tally)
    view = request.view
    return rendering.examples(
        request.spec,
        view.split,
        view.vocabulary,
        style=view.style,
        renderings=view.renderings,
        limit=view.max_examples,
        shots=view.shots,
        mix=view.prompt_mix,
        dropped=request.dropped,
        tally=tally,
    )


def foreign_examples(request: Request, tally: rendering.Tally) -> Iterator[Example]:
    """Run a SeqIO task; of other splits than `train`, a limit takes a random sample."""
    view = request.view
    prompted = bool(view.shots or view.prompt_mix)
    made = seqio_tasks.seqio_examples(request.name, view.split, view.vocabulary, texts=prompted)
    if view.split != 'train':
        made = list(made)
        made = iter([made[place] for place in rendering.sample_order(len(made))])
    prompt = seqio_tasks.prompter(request.name, view.split, view.vocabulary, view.shots, view.prompt_mix)
    for chunk in rendering.in_chunks(counted(made, view.max_examples, tally), rendering.CHUNK):
        for example in prompt(chunk):
            tally.exemplars[example.shots] += 1
            tally.settings[example.setting] += 1
            yield example


def counted(made: Iterator[Example], limit: int | None, tally: rendering.Tally) -> Iterator[Example]:
    """Yield examples, at most `limit`, and count them."""
    for example in made:
        tally.read += 1
        if tally.used == limit:
            tally.truncated = True
            return
        tally.used += 1
        yield example


def write_shards(
    folder: pathlib.Path, made: Iterator[Example], width: int, told: Told
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Write examples as ArrayRecord files; return the manifest's list of them, and all lengths,
    int64[num_examples, 2].
    """
    shards, lengths = [], []
    for first in made:
        file = folder / f'{len(shards):05d}.arrayrecord'
        written = len(lengths)
        with closing_writer(file) as writer:
            for example in itertools.chain([first], itertools.islice(made, SHARD_EXAMPLES - 1)):
                lengths.append((len(example.inputs), len(example.targets)))
                writer.write(cached_split.encode_example(example, width))
                if len(lengths) % TOLD_EXAMPLES == 0:
                    told(TOLD_EXAMPLES)
        count = len(lengths) - written
        told(len(lengths) % TOLD_EXAMPLES)
        shards.append({'file': file.name, 'num_examples': count})
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
    """Hold a folder's lock, after waiting for a process that holds it; the system frees it when a process
    ends, however it ends.

    Where the file system has no such locks, or is read-only, nothing is held: renaming keeps the cache whole,
    though work may be done twice.
    """
    # A soft one would outlive its process.
    lock = filelock.FileLock(folder.with_name(f'.{folder.name}.lock'), fallback_to_soft=False)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            try:
                stack.enter_context(lock.acquire(blocking=False))
            except filelock.Timeout:
                CONSOLE.print(f'waiting for another process that builds {folder}', markup=False)
                stack.enter_context(lock.acquire())
        yield


def remove_leftovers(folder: pathlib.Path) -> None:
    """Remove what killed builds left. The caller holds the lock, so that no other process is building
    there.
    """
    for left in folder.parent.glob(f'.{folder.name}.tmp-*'):
        shutil.rmtree(left, ignore_errors=True)


def remove_unused(folder: pathlib.Path) -> None:
    """Remove other versions of a cached split, and what killed builds of them left, that were not opened for
    `UNUSED_DAYS`.
    """
    family, limit = folder.name.rpartition('-')[0], time.time() - UNUSED_DAYS * 86_400
    for other in folder.parent.iterdir():
        if (
            other.name.lstrip('.').startswith(f'{family}-')
            and other.is_dir()
            and other.stat().st_mtime < limit
        ):
            shutil.rmtree(other, ignore_errors=True)
