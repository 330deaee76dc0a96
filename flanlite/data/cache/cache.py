"""The token cache: tasks in, cached splits out. What is missing or stale is built, natively or, for foreign SeqIO tasks, through SeqIO."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flanlite import config
from flanlite.data.cache import builds, on_beam, remote, workers
from flanlite.data.cache.builds import Request
from flanlite.data.cache.cached import CachedSplit
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import drop_list
from flanlite.data.rendering import seqio_tasks
from flanlite.data.specs import sources, specs
from flanlite.data.tokens import vocabularies
from flanlite.progress import CONSOLE, BuildProgress


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
        kept = (
            'split', 'style', 'renderings', 'shots', 'source', 'version', 'rows', 'filtered', 'truncated', 'spec', 'templates',
            'vocabulary',
        )  # fmt: skip
        told = {name: {key: cached.manifest.get(key) for key in kept} for name, cached in self.splits.items()}
        for name, cached in self.splits.items():
            told[name] |= {'num_examples': cached.num_examples, 'path': str(cached.path)}
        return {'tasks': told, 'skipped': self.skipped}

    def too_long(self, feature_lengths: Mapping[str, int]) -> dict[str, dict[str, int]]:
        """Count each task's examples whose inputs or targets are longer than these lengths, and so would be cut."""
        limits = [feature_lengths['inputs'], feature_lengths['targets']]
        counts = {name: (cached.lengths > limits).sum(0) for name, cached in self.splits.items()}
        return {name: {'inputs': int(inputs), 'targets': int(targets)} for name, (inputs, targets) in counts.items()}


def ensure(names: Sequence[str], view: View, options: BuildOptions = BuildOptions()) -> CacheReport:
    """Open tasks' cached splits; build those that are not there, or whose data set, templates or vocabulary changed.

    Raises:
        ValueError: an unknown name, split or style; an unreadable `drop`; a damaged cache; with `fail_fast`, a task that fails.
        OSError: the disk is full or cannot be written.
    """
    split, renderings, style, max_examples, templates, shots, drop = (
        view.split, view.renderings, view.style, view.max_examples, view.templates, view.shots, view.drop)
    cache_dir, data_dir, processes, fail_fast, rebuild, beam_flags = (
        options.cache_dir, options.data_dir, options.processes, options.fail_fast, options.rebuild, options.beam_flags)
    vocabulary = view.vocabulary
    check(names, split, renderings, style, max_examples, processes)
    vocabulary = vocabularies.load(vocabulary)
    root, url = cache_folder(cache_dir), cache_url(cache_dir)
    dropped = drop_list.read_drop_list(drop) if drop and split == 'train' else {}
    splits, skipped, missing = {}, {}, []
    skip = functools.partial(note_skipped, skipped)
    for name in dict.fromkeys(names):
        try:
            spec = spec_at_hand(name, data_dir, templates)
            asked = shots.within(None) if shots and isinstance(spec, specs.DatasetSpec) else None
            limit = max_examples.get(name) if isinstance(max_examples, Mapping) else max_examples
            rows = dropped.get(name, frozenset())
            request = Request(name, spec, split, style, renderings, vocabulary, limit, root, url, asked, rows)
            if found := None if rebuild and request.described else builds.find(request):
                splits[name] = found
            else:
                missing.append(request)
        except Exception as error:  # the data set's source may be at fault
            skip(name, builds.excuse(name, error, root, fail_fast))
    build_all(missing, rebuild, fail_fast, processes, beam_flags, BuildProgress(f'caching {split} in {url or root}', len(missing)), skip)
    splits |= {request.name: builds.find(request) for request in missing if request.name not in skipped}
    return CacheReport({name: splits[name] for name in names if name in splits}, skipped)


def note_skipped(skipped: dict[str, str], name: str, why: str) -> None:
    """Note that a task is skipped, and say so."""
    skipped[name] = why
    say_skipped(name, why)


@functools.cache
def say_skipped(name: str, why: str) -> None:
    """Print why a task is skipped, once: a sweep asks for the same tasks again and again."""
    CONSOLE.print(f'skipped {name}: {why}', style='yellow', markup=False)


def spec_at_hand(name: str, data_dir: str | os.PathLike | None, templates: int | None) -> specs.Spec | None:
    """Find a spec, its source resolved and its templates cut to the first ones; None for a foreign SeqIO task."""
    spec = specs.find_spec(name)
    if spec is not None:
        spec = dataclasses.replace(spec, source=sources.prefer_data_folder(spec.source, data_dir))
    if templates and isinstance(spec, specs.DatasetSpec):
        spec = dataclasses.replace(spec, templates=spec.templates[:templates])
    return spec


def build_all(
    missing: Sequence[Request],
    rebuild: bool,
    fail_fast: bool,
    processes: int | None,
    beam_flags: Sequence[str],
    progress: BuildProgress,
    skip: Callable[[str, str], None],
) -> None:
    """Build data sets on Beam where there are flags for it, and all else in processes of this machine."""
    with progress:
        if beam_flags:
            ours = [request for request in missing if request.spec]
            on_beam.build_all(ours, rebuild, fail_fast, beam_flags, progress, skip)
        rest = [request for request in missing if not (beam_flags and request.spec)]
        workers.build_all(rest, rebuild, fail_fast, processes or workers.usable_cpus(), progress, skip)


def check(
    names: Sequence[str],
    split: str,
    renderings: int | str,
    style: str,
    max_examples: int | Mapping[str, int | None] | None,
    processes: int | None,
) -> None:
    """Refuse unknown names and choices before anything is built."""
    specs.Splits().get(split)
    if style not in specs.STYLES:
        raise ValueError(f'unknown style {style!r}; expected one of {", ".join(specs.STYLES)}')
    if renderings != 'all' and (not isinstance(renderings, int) or renderings < 1):
        raise ValueError(f"got renderings={renderings!r}; expected a number from 1, or 'all'")
    limits = max_examples.values() if isinstance(max_examples, Mapping) else [max_examples]
    if any(limit is not None and limit < 1 for limit in limits):
        raise ValueError(f'got max_examples={max_examples!r}; expected numbers from 1, or None for all')
    if processes is not None and processes < 1:
        raise ValueError(f'got processes={processes}; expected a number from 1')
    known = [spec.name for collection in specs.COLLECTIONS.values() for spec in collection.specs] + seqio_tasks.registered_names()
    for name in names:
        if name not in known:
            hint = config.closest(name, known) or f'there are {", ".join(known[:20]) or "none"} '
            raise ValueError(f'no data set or registered SeqIO task {name!r}; {hint}(a collection is known once its module is imported)')


def cache_folder(cache_dir: str | os.PathLike | None = None) -> pathlib.Path:
    """Return the local folder that holds all caches, or copies of those that lie on another file system."""
    named = cache_dir or os.environ.get('FLANLITE_CACHE_DIR')
    user = pathlib.Path(os.environ.get('XDG_CACHE_HOME') or '~/.cache') / 'flanlite'
    if url := cache_url(cache_dir):
        return (user / 'copies' / builds.file_name(url)).expanduser().absolute()
    return pathlib.Path(named or user).expanduser().absolute()


def cache_url(cache_dir: str | os.PathLike | None = None) -> str | None:
    """Return the URL of the folder that holds all caches, where it is on another file system."""
    named = str(cache_dir or os.environ.get('FLANLITE_CACHE_DIR'))
    return named.rstrip('/') if remote.is_remote(named) else None
