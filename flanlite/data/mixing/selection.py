"""Which tasks of a collection train: those of parts with a share, asked for, and not held out."""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from flanlite.config import closest
from flanlite.data.specs import clusters
from flanlite.data.specs.collection import Collection, Part


class Task(Protocol):
    """What is known here of a task of a mixture; see `mixtures.Entry`."""

    task: str
    part: Part | None


E = TypeVar('E', bound=Task)


def with_shares(entries: Sequence[E], collection: Collection | None, shares: Mapping[str, float]) -> list[E]:
    """Give parts of a collection other shares, and leave those out that have none.

    Raises:
        ValueError: the collection has no such part.
    """
    parts = [part.name for part in collection.parts] if collection else []
    for name in shares:
        if name not in parts:
            raise ValueError(
                f'MixtureConfig.shares has {name!r}; {closest(name, parts)}expected some of '
                f'{", ".join(parts) or "the parts of a collection, and this mixture has none"}'
            )
    found = [
        dataclasses.replace(entry, part=dataclasses.replace(entry.part, share=shares[entry.part.name]))
        if entry.part and entry.part.name in shares
        else entry
        for entry in entries
    ]
    return [entry for entry in found if entry.part is None or entry.part.share > 0]


def hold_out(
    entries: Sequence[E], collection: Collection | None, held_out: str | None, lineage: str
) -> tuple[list[E], tuple[str, ...], dict[str, dict[str, tuple[str, ...]]]]:
    """Return the entries that a hold-out trains on, the clusters that leave with the held-out one, and the
    corpora that are shared.

    The last is {data set: {corpus: held-out data sets}}; with `strict` lineage, these data sets are not among
    the entries.
    """
    if not held_out:
        return list(entries), (), {}
    found = clusters.get_hold_out(held_out, collection.specs)
    kept = [entry for entry in entries if entry.task in found.train]
    shared = (
        {}
        if lineage == 'off'
        else clusters.shared_corpora(collection.specs, [entry.task for entry in kept], found.test)
    )
    return [entry for entry in kept if lineage != 'strict' or entry.task not in shared], found.removed, shared


def select(entries: Sequence[E], name: str, include: Sequence[str], exclude: Sequence[str]) -> list[E]:
    """Return the entries whose task matches a pattern of `include` (or all, if it is empty) and none of
    `exclude`.

    Raises:
        ValueError: a pattern matches no task.
    """
    tasks = [entry.task for entry in entries]
    for pattern in (*include, *exclude):
        if not fnmatch.filter(tasks, pattern):
            close = closest(pattern, tasks)
            raise ValueError(
                f'the mixture {name!r} has no task {pattern!r}; {close}its tasks are {", ".join(tasks)}'
            )

    def matches(task: str, patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(task, pattern) for pattern in patterns)

    return [
        entry
        for entry in entries
        if (not include or matches(entry.task, include)) and not matches(entry.task, exclude)
    ]
