"""Which cached splits an evaluation reads, and on what machine it runs."""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

import jax

from flanlite.data.cache import cache
from flanlite.data.cache.cached_split import CachedSplit
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.rendering import fewshot
from flanlite.data.specs import prompt_mix, registry, specs
from flanlite.mesh import processes
from flanlite.version import __version__

FALLBACK = {'test': 'validation'}  # where a data set has no test split with labels
DEFAULT_TARGET_LENGTH = 256  # tokens of a written answer, where a model has no length: the harness's


@dataclasses.dataclass(frozen=True)
class Opened:
    """Cached splits by task, why the other tasks have none, and what a reader should know."""

    splits: dict[str, CachedSplit]
    skipped: dict[str, str]
    notes: tuple[str, ...] = ()

    def merge(self, other: 'Opened') -> 'Opened':
        """Put other tasks beside these."""
        return Opened(self.splits | other.splits, self.skipped | other.skipped, (*self.notes, *other.notes))


def open_splits(names: Sequence[str], view: View, options: BuildOptions = BuildOptions()) -> Opened:
    """Open the splits that tasks are scored on; builds what is not cached.

    Args:
        names: the tasks.
        view: what their examples look like, such as `view_of` gives it; a task without a readable test split
            is scored on its validation split, which is noted.
        options: how splits are built, and where they lie.
    """
    split, second = view.split, cache.CacheReport({}, {})
    lacking = [name for name in names if split in FALLBACK and not has_split(name, split)]
    first = cache.ensure([name for name in names if name not in lacking], view, options)
    if split in FALLBACK:
        second = cache.ensure(
            [*lacking, *first.skipped], dataclasses.replace(view, split=FALLBACK[split]), options
        )
    opened = first.splits | second.splits
    processes.compare('caches', {name: each.fingerprint() for name, each in opened.items()})
    skipped = {name: first.skipped.get(name) or second.skipped[name] for name in names if name not in opened}
    why = f'since there is no {split} split to read'
    note = f'Scored on the {FALLBACK.get(split)} split, {why}: {", ".join(second.splits)}.'
    asked = fewshot.kept_note(
        {name: cached.manifest['shots'] for name, cached in opened.items() if cached.manifest.get('shots')}
    )
    mixed = prompt_mix.note({name: cached.manifest for name, cached in opened.items()})
    notes = [note] * bool(second.splits) + [each for each in (asked, mixed) if each]
    return Opened({name: opened[name] for name in names if name in opened}, skipped, tuple(notes))


def level(task: str, cluster: str | None, trained: Mapping[str, Sequence[str]]) -> str:
    """Return how far a task lies from what was trained on, by cluster, as in `clusters.LEVELS`; empty where
    that is not known.
    """
    if not trained:
        return ''
    if any(task in names for names in trained.values()):
        return 'held_in'
    return 'held_out_task' if cluster in trained else 'held_out_cluster'


def wordings(name: str, split: CachedSplit) -> dict[int, str]:
    """Return the text of each template that a cached split of a data set was rendered with; nothing of a
    SeqIO task.
    """
    spec = registry.find_spec(name)
    if not isinstance(spec, specs.DatasetSpec):
        return {}
    mixed = spec.mixed_templates if split.manifest.get('prompt_mix') else ()
    templates = (*spec.style_templates(split.manifest['style']), *mixed)
    return {number: template.inputs for number, template in enumerate(templates)}


def has_split(name: str, split: str) -> bool:
    """Return whether a data set has a split; a foreign task may have any, which shows when it is read."""
    spec = registry.find_spec(name)
    return spec is None or spec.splits.get(split) is not None


def environment() -> dict[str, str]:
    """Describe what an evaluation runs on."""
    devices = jax.devices()
    packages = ('jax', 'flax', 'optax', 'grain', 'numpy')
    return {
        'device': f'{len(devices)} x {devices[0].device_kind}',
        'machine': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'flanlite': __version__,
        **{name: importlib.metadata.version(name) for name in packages},
    }
