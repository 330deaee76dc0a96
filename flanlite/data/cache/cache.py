"""The token cache: tasks in, cached splits out. What is missing or stale is built, natively or, for foreign
SeqIO tasks, through SeqIO.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flanlite import config
from flanlite.data.cache import faults, on_beam, processes, remote
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.request import Request, file_name, open_cached
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.rendering import seqio_tasks
from flanlite.data.specs import registry, sources, specs
from flanlite.data.tokens import vocabularies
from flanlite.paths import absolute, at_home
from flanlite.progress import CONSOLE, BuildProgress

TOLD = 5  # reasons in a sentence


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
        """Return what a run's manifest records of its data."""
        kept = (
            'split',
            'style',
            'renderings',
            'shots',
            'prompt_mix',
            'source',
            'version',
            'rows',
            'filtered',
            'truncated',
            'spec',
            'templates',
            'vocabulary',
        )
        told = {name: {key: cached.manifest.get(key) for key in kept} for name, cached in self.splits.items()}
        for name, cached in self.splits.items():
            told[name] |= {'num_examples': cached.num_examples, 'path': str(cached.path)}
        return {'tasks': told, 'skipped': self.skipped}

    def reasons(self) -> str:
        """Write why tasks were skipped, the first few; a line for each was printed as it was skipped."""
        told = '; '.join(f'{task}: {reason}' for task, reason in list(self.skipped.items())[:TOLD])
        more = len(self.skipped) - TOLD
        return f'{told}; {more:,} more stand above' if more > 0 else told

    def too_long(self, feature_lengths: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Count each task's examples whose inputs or targets are longer than these lengths, and so would be
        cut.
        """
        limits = [feature_lengths['inputs'], feature_lengths['targets']]
        counts = {name: (cached.lengths > limits).sum(0) for name, cached in self.splits.items()}
        return {
            name: {'inputs': int(inputs), 'targets': int(targets)}
            for name, (inputs, targets) in counts.items()
        }


def ensure(names: Sequence[str], view: View, options: BuildOptions = BuildOptions()) -> CacheReport:
    """Open tasks' cached splits; build those that are not there, or whose data set, templates or vocabulary
    changed.

    Args:
        names: data sets, plain texts or registered SeqIO tasks, these with `seqio:` before the name where a
            data set has it too.
        view: what their examples look like.
        options: how splits are built, and where they lie.

    Raises:
        ValueError: an unknown name; a vocabulary or drop list that cannot be read; a damaged cache; with
            `fail_fast`, a task that fails.
        OSError: the disk is full or cannot be written.
    """
    check_names(names)
    sources.check_data_folder(options.data_dir)
    view = dataclasses.replace(view, vocabulary=vocabularies.load(view.vocabulary, options.data_dir))
    root, url, dropped = cache_folder(options.cache_dir), cache_url(options.cache_dir), view.dropped_rows()
    splits, skipped, missing = {}, {}, []
    skip = functools.partial(note_skipped, skipped)
    for name in dict.fromkeys(names):
        try:
            spec = spec_at_hand(name, view, options.data_dir)
            request = Request(name, spec, view.of_task(name, spec), root, url, dropped.get(name, frozenset()))
            _ = request.described  # a source that cannot be read shows here
            if found := None if options.rebuild else open_cached(request):
                splits[name] = found
            else:
                missing.append(request)
        except Exception as error:  # the data set's source may be at fault
            skip(name, faults.excuse(name, error, root, options.fail_fast))
    build_all(missing, options, BuildProgress(f'caching {view.split} in {url or root}', len(missing)), skip)
    splits |= {request.name: open_cached(request) for request in missing if request.name not in skipped}
    return CacheReport({name: splits[name] for name in names if name in splits}, skipped)


def note_skipped(skipped: dict[str, str], name: str, why: str) -> None:
    """Record that a task is skipped, and print it."""
    skipped[name] = why
    say_skipped(name, why)


@functools.cache
def say_skipped(name: str, why: str) -> None:
    """Print why a task is skipped, once: a sweep asks for the same tasks again and again."""
    CONSOLE.print(f'skipped {name}: {why}', style='yellow', markup=False)


def spec_at_hand(name: str, view: View, data_dir: str | os.PathLike | None) -> specs.Spec | None:
    """Find a spec, its source resolved and seen as the view says; None for a foreign SeqIO task."""
    spec = registry.find_spec(name)
    if spec is not None and (source := sources.prefer_data_folder(spec.source, data_dir)) is not spec.source:
        spec = dataclasses.replace(spec, source=source)
    return view.applied_to(spec)


def build_all(
    missing: Sequence[Request],
    options: BuildOptions,
    progress: BuildProgress,
    skip: Callable[[str, str], None],
) -> None:
    """Build data sets on Beam where there are flags for it, and all else in processes of this machine."""
    with progress:
        if options.beam_flags:
            on_beam.build_all([request for request in missing if request.spec], options, progress, skip)
        rest = [request for request in missing if not (options.beam_flags and request.spec)]
        processes.build_all(rest, options, progress, skip)


def check_names(names: Sequence[str]) -> None:
    """Refuse names of no task before anything is built."""
    registered = seqio_tasks.registered_names()
    known = [
        spec.name for collection in registry.COLLECTIONS.values() for spec in collection.specs
    ] + registered
    for name in names:
        if name not in known and name not in [seqio_tasks.PREFIX + task for task in registered]:
            hint = config.closest(name, known) or f'there are {", ".join(known[:20]) or "none"} '
            raise ValueError(
                f'no data set or registered SeqIO task {name!r}; {hint}(a collection is known once its '
                'module is imported)'
            )


def cache_folder(cache_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Return the local folder that holds all caches, or copies of those that lie on another file system."""
    named = cache_dir or os.environ.get('FLANLITE_CACHE_DIR')
    user = pathlib.Path(at_home(os.environ.get('XDG_CACHE_HOME') or '~/.cache')) / 'flanlite'
    if url := cache_url(cache_dir):
        return (user / 'copies' / file_name(url)).absolute()
    return pathlib.Path(absolute(named or user))


def cache_url(cache_dir: str | os.PathLike | None = None) -> str | None:
    """Return the URL of the folder that holds all caches, where it is on another file system."""
    named = str(cache_dir or os.environ.get('FLANLITE_CACHE_DIR'))
    return named.rstrip('/') if remote.is_remote(named) else None
