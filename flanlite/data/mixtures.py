"""Which tasks train together and at which rates: collections, with or without a cluster held out, single tasks, SeqIO's own mixtures."""

import dataclasses
import difflib
import fnmatch
import functools
import importlib
import math
import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin

from flanlite.data import clusters, specs

SCHEMES = ('proportional', 'equal')
HELD_OUT = '_held_out_'
OWN = 'own'  # the cap that the collection itself sets
BUILTIN = 'flanlite.mixtures'


@dataclasses.dataclass(frozen=True)
class Entry:
    """One task of a mixture.

    Args:
        task: its name.
        cluster: its cluster, where it has one.
        max_examples: truncates its training data; None for no cap.
        max_rate: clips its mixing rate; None for no cap.
        rate: the rate that a SeqIO mixture gives it, asked for when it is needed; None for the number of its examples.
    """

    task: str
    cluster: str | None = None
    max_examples: int | None = None
    max_rate: int | None = None
    rate: Callable[[], float] | None = None


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Tasks to train on, and how to weigh them.

    Args:
        name: the name that was resolved.
        entries: the tasks.
        collection: the collection they come from; None for SeqIO's tasks and mixtures.
        held_out: the cluster that was left out.
        removed: the clusters that left together with it.
        scheme: `proportional` or `equal`.
        temperature: as in T5.
    """

    name: str
    entries: tuple[Entry, ...]
    collection: specs.Collection | None = None
    held_out: str | None = None
    removed: tuple[str, ...] = ()
    scheme: str = 'proportional'
    temperature: float = 1.0


@gin.configurable(name_or_fn='mixture', denylist=['name', 'held_out'])
def resolve(
    name: str,
    *,
    held_out: str | None = None,
    scheme: str = 'proportional',
    max_examples: int | str | None = OWN,
    max_rate: int | str | None = OWN,
    temperature: float = 1.0,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Mixture:
    """Find a mixture by name.

    Args:
        name: a collection, `<collection>_held_out_<cluster>`, a data set, or a registered SeqIO task or mixture.
        held_out: a cluster of the collection to leave out, with those that overlap with it.
        scheme: `proportional` to the numbers of examples, or `equal`. SeqIO's mixtures keep their own rates unless it is `equal`.
        max_examples: truncates each data set's training data; 'own' for the collection's cap, None for none. A data set's own cap stays.
        max_rate: clips each data set's rate, in the same way.
        temperature: rates become rate^(1/temperature), after the cap, as in T5.
        include: tasks to keep, as names or patterns such as `anli_*`; by default all.
        exclude: tasks to leave out, likewise.

    Raises:
        ValueError: a name, cluster, scheme or cap that does not exist, or a mixture that nothing is left of.
    """
    check(scheme, max_examples, max_rate, temperature)
    collection, data_sets, in_name = find(name)
    if held_out and in_name and held_out != in_name:
        raise ValueError(f'the mixture {name!r} holds out {in_name}, but held_out is {held_out!r}; expected only one of them')
    held_out = held_out or in_name
    if held_out and not (collection and len(data_sets) == len(collection.specs)):
        raise ValueError(f'{name!r} is no collection, so no cluster can be held out of it: got {held_out!r}; {valid_names()}')

    if collection:
        entries = [entry_of(spec, collection, max_examples, max_rate) for spec in data_sets]
    else:
        caps = [None if cap == OWN else cap for cap in (max_examples, max_rate)]
        entries = [Entry(task, None, *caps, rate) for task, rate in seqio_rates(name).items()]
    entries = select(entries, name, include, exclude)
    removed = ()
    if held_out:
        clusters.check_cluster(held_out, collection.clusters())
        removed = tuple(cluster for cluster in clusters.also_removed(held_out) if cluster in collection.clusters())
        entries = [entry for entry in entries if entry.cluster not in (held_out, *removed)]
    if not entries:
        raise ValueError(f'no task of the mixture {name!r} is left with {held_out=}, {include=}, {exclude=}; hold out or exclude less')
    return Mixture(name, tuple(entries), collection, held_out, removed, scheme, temperature)


def check(scheme: str, max_examples: int | str | None, max_rate: int | str | None, temperature: float) -> None:
    """Refuse settings that cannot be."""
    if scheme not in SCHEMES:
        raise ValueError(f'unknown scheme {scheme!r}; expected {" or ".join(SCHEMES)}')
    for cap, value in (('max_examples', max_examples), ('max_rate', max_rate)):
        if value not in (OWN, None) and (isinstance(value, str) or value <= 0):
            raise ValueError(f'got {cap}={value!r}; expected a number above 0, None for no cap, or {OWN!r} for what the collection sets')
    if not 0 < temperature < math.inf:
        raise ValueError(f'got temperature={temperature!r}; expected a number above 0')


def entry_of(spec: specs.Spec, collection: specs.Collection, max_examples: int | str | None, max_rate: int | str | None) -> Entry:
    """Make a data set's entry; its own caps come before those asked for, and those before the collection's."""
    if max_examples == OWN:
        max_examples = collection.max_examples
    if max_rate == OWN:
        max_rate = collection.max_rate
    return Entry(spec.name, spec.cluster, spec.max_examples or max_examples, spec.max_rate or max_rate)


def select(entries: Sequence[Entry], name: str, include: Sequence[str], exclude: Sequence[str]) -> list[Entry]:
    """Keep the tasks that some pattern includes, or all, and that none excludes."""
    tasks = [entry.task for entry in entries]
    for pattern in (*include, *exclude):
        if not fnmatch.filter(tasks, pattern):
            raise ValueError(f'the mixture {name!r} has no task {pattern!r}; {closest(pattern, tasks)}its tasks are {", ".join(tasks)}')

    def matches(task: str, patterns: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(task, pattern) for pattern in patterns)

    return [entry for entry in entries if (not include or matches(entry.task, include)) and not matches(entry.task, exclude)]


def rates(mixture: Mixture, num_examples: Mapping[str, int]) -> dict[str, float]:
    """Weigh a mixture's tasks, in its order; only those that are counted take part.

    Args:
        mixture: what `resolve` found.
        num_examples: each task's number of examples.

    Returns:
        Rates as SeqIO's: min(examples, max_examples, max_rate)^(1/temperature); they do not sum to 1.
    """
    found = {}
    for entry in mixture.entries:
        if entry.task in num_examples:
            found[entry.task] = 1.0 if mixture.scheme == 'equal' else weigh(entry, num_examples[entry.task], mixture.temperature)
    return found


def weigh(entry: Entry, num_examples: int, temperature: float) -> float:
    """Return one task's rate, in proportion to its examples or as its SeqIO mixture has it."""
    rate = entry.rate() if entry.rate else min(num_examples, entry.max_examples or num_examples)
    if entry.max_rate:
        rate = min(rate, entry.max_rate)
    return float(rate if temperature == 1.0 else rate ** (1 / temperature))


def find(name: str) -> tuple[specs.Collection | None, Sequence[specs.Spec], str | None]:
    """Find a name: its collection, which of that collection's data sets are meant, and the cluster that the name holds out.

    Names are looked up among what is registered, then in the built-in collections, which are imported only as far as needed.
    """
    for load in (lambda: None, lambda: load_builtin(name), lambda: [load_builtin(builtin) for builtin in builtin_names()]):
        load()
        whole, _, cluster = name.partition(HELD_OUT)
        for candidate, held_out in ((name, None), (whole, cluster)):
            if candidate in specs.COLLECTIONS and (held_out is None or cluster):
                collection = specs.COLLECTIONS[candidate]
                return collection, collection.specs, held_out
        for collection in specs.COLLECTIONS.values():
            for spec in collection.specs:
                if spec.name == name:
                    return collection, (spec,), None
    if name in seqio_names():
        return None, (), None
    known = [*collection_names(), *(spec.name for collection in specs.COLLECTIONS.values() for spec in collection.specs), *seqio_names()]
    raise ValueError(f'unknown mixture or task {name!r}; {closest(whole if HELD_OUT in name else name, known)}{valid_names()}')


def builtin_names() -> list[str]:
    """List the collections that come with flanlite, without importing them."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module(BUILTIN).__path__) if module.ispkg)


def load_builtin(name: str) -> None:
    """Import the built-in collection whose name is the longest to begin this one."""
    fitting = [builtin for builtin in builtin_names() if name == builtin or name.startswith(f'{builtin}_')]
    if fitting:
        importlib.import_module(f'{BUILTIN}.{max(fitting, key=len)}')


def collection_names() -> list[str]:
    """List the collections: built-in ones, and those that a user's module registered."""
    return sorted({*builtin_names(), *specs.COLLECTIONS})


def valid_names() -> str:
    """Say which names there are."""
    return (
        f'the collections are {", ".join(collection_names())}; valid are also <collection>{HELD_OUT}<cluster>, the name of a data set, and '
        'that of a SeqIO task or mixture, once the module that registers it is imported'
    )


def closest(name: str, valid: Sequence[str]) -> str:
    """Suggest the closest valid names."""
    close = difflib.get_close_matches(name, valid, n=3, cutoff=0.5)
    return f'did you mean {" or ".join(close)}? ' if close else ''


def seqio_names() -> list[str]:
    """List SeqIO's registered tasks and mixtures. Where nobody imported SeqIO there are none, and it is not imported for that."""
    if 'seqio' not in sys.modules:
        return []
    seqio: Any = sys.modules['seqio']
    return [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]


def seqio_rates(name: str) -> dict[str, Callable[[], float] | None]:
    """Take a SeqIO task, or a mixture's tasks with the mixture's own rates."""
    seqio: Any = sys.modules['seqio']
    if name in seqio.TaskRegistry.names():
        return {name: None}
    mixture = seqio.MixtureRegistry.get(name)
    return {task.name: functools.partial(mixture.get_rate, task) for task in mixture.tasks}
