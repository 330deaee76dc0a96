"""Which cached splits an evaluation reads, and on what machine it runs."""

import dataclasses
import importlib.metadata
import platform
from collections.abc import Sequence

import jax

import flanlite
from flanlite.data import cache, specs
from flanlite.data.batches import CachedSplit
from flanlite.data.vocabularies import Vocabulary

FALLBACK = {'test': 'validation'}  # where a data set has no labelled test split


@dataclasses.dataclass(frozen=True)
class Opened:
    """Cached splits by task, why the other tasks have none, and what a reader should know."""

    splits: dict[str, CachedSplit]
    skipped: dict[str, str]
    notes: tuple[str, ...] = ()

    def merge(self, other: 'Opened') -> 'Opened':
        """Put other tasks beside these."""
        return Opened(self.splits | other.splits, self.skipped | other.skipped, (*self.notes, *other.notes))


def split_of(name: str, split: str) -> str:
    """Name the split to read of a task: the one asked for, or its fallback where a data set has none."""
    spec = specs.find_spec(name)
    lacks = spec is not None and spec.splits.get(split) is None
    return FALLBACK.get(split, split) if lacks else split


def open_splits(
    names: Sequence[str], split: str, vocabulary: Vocabulary, *, style: str = 'instructions', max_rows: int | None = None
) -> Opened:
    """Open tasks' evaluation splits, every row with every template that is not turned around; builds what is not cached.

    Args:
        names: the tasks.
        split: train, validation or test.
        vocabulary: the vocabulary of the model.
        style: see `specs.STYLES`.
        max_rows: at most so many rows of each task.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(split_of(name, split), []).append(name)
    splits, skipped, notes = {}, {}, []
    for actual, members in groups.items():
        report = cache.ensure(members, split=actual, vocabulary=vocabulary, style=style, renderings='all', max_examples=max_rows)
        splits |= report.splits
        skipped |= report.skipped
        if actual != split:
            notes.append(f'Scored on the {actual} split, since there is no {split} split: {", ".join(report.splits)}.')
    for name in [name for name, opened in splits.items() if not opened.num_examples]:
        skipped[name] = f'its {split_of(name, split)} split has no examples'
        del splits[name]
    return Opened({name: splits[name] for name in names if name in splits}, skipped, tuple(notes))


def environment() -> dict[str, str]:
    """Describe what an evaluation runs on."""
    devices = jax.devices()
    packages = ('jax', 'flax', 'optax', 'grain', 'numpy')
    return {
        'device': f'{len(devices)} x {devices[0].device_kind}',
        'machine': f'{platform.system()} {platform.machine()}',
        'python': platform.python_version(),
        'flanlite': flanlite.__version__,
        **{name: importlib.metadata.version(name) for name in packages},
    }
