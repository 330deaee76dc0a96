"""The cached splits that an evaluation reads, and the machine that it runs on."""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence

import jax

from flanlite.data.cache import cache
from flanlite.data.cache.cached import CachedSplit
from flanlite.data.rendering import fewshot
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import specs
from flanlite.data.tokens.vocabularies import Vocabulary
from flanlite.version import __version__

FALLBACK = {'test': 'validation'}  # where a data set has no test split with labels


@dataclasses.dataclass(frozen=True)
class Opened:
    """The evaluation splits of some tasks.

    Args:
        splits: the cached split of each task that could be read.
        skipped: the reason for each task that could not.
        notes: what a reader should know, a sentence each.
    """

    splits: dict[str, CachedSplit]
    skipped: dict[str, str]
    notes: tuple[str, ...] = ()

    def merge(self, other: 'Opened') -> 'Opened':
        """Return these and other tasks together."""
        return Opened(self.splits | other.splits, self.skipped | other.skipped, (*self.notes, *other.notes))


def open_splits(
    names: Sequence[str],
    split: str,
    vocabulary: Vocabulary,
    *,
    style: str = 'instructions',
    max_rows: int | None = None,
    shots: Shots | None = None,
) -> Opened:
    """Open the evaluation splits of tasks, every row with every template that is not inverted; build what is not cached.

    Args:
        names: the tasks.
        split: train, validation or test; a task without a readable test split is scored on its validation split, which is noted.
        vocabulary: the vocabulary of the model.
        style: see `specs.STYLES`.
        max_rows: at most so many rows of each task.
        shots: the few-shot exemplars before each example.
    """
    options = {'vocabulary': vocabulary, 'style': style, 'renderings': 'all', 'max_examples': max_rows, 'shots': shots}
    lacking = [name for name in names if split in FALLBACK and not has_split(name, split)]
    first = cache.ensure([name for name in names if name not in lacking], split=split, **options)
    second = cache.ensure([*lacking, *first.skipped], split=FALLBACK[split], **options) if split in FALLBACK else cache.CacheReport({}, {})
    opened = first.splits | second.splits
    skipped = {name: first.skipped.get(name) or second.skipped[name] for name in names if name not in opened}
    note = f'Scored on the {FALLBACK.get(split)} split, since there is no {split} split to read: {", ".join(second.splits)}.'
    asked = fewshot.kept_note({name: cached.manifest['shots'] for name, cached in opened.items() if cached.manifest.get('shots')})
    notes = [note] * bool(second.splits) + [asked] * bool(asked)
    return Opened({name: opened[name] for name in names if name in opened}, skipped, tuple(notes))


def level(task: str, cluster: str | None, trained: Mapping[str, Sequence[str]]) -> str:
    """Return the level of generalization of a task, one of `clusters.LEVELS`; empty where it is not known what was trained on.

    Args:
        task: the task's name.
        cluster: the task's cluster.
        trained: the tasks that were trained on, by cluster.
    """
    if not trained:
        return ''
    if any(task in names for names in trained.values()):
        return 'held_in'
    return 'held_out_task' if cluster in trained else 'held_out_cluster'


def has_split(name: str, split: str) -> bool:
    """Return whether a data set names a split; a foreign task may have any, which only reading it shows."""
    spec = specs.find_spec(name)
    return spec is None or spec.splits.get(split) is not None


def environment() -> dict[str, str]:
    """Return the devices, machine and package versions of an evaluation, by name."""
    devices = jax.devices()
    packages = ('jax', 'flax', 'optax', 'grain', 'numpy')
    return {
        'device': f'{len(devices)} x {devices[0].device_kind}',
        'machine': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'flanlite': __version__,
        **{name: importlib.metadata.version(name) for name in packages},
    }
