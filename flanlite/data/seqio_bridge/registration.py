"""Registration of collections in SeqIO, for other trainers: their data sets as tasks, and mixtures with their
rates.

SeqIO and TensorFlow are imported when something is registered, not before.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flanlite.data.mixing import mixtures, naming
from flanlite.data.rendering import seqio_tasks
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import clusters, notices, registry, sources
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.tokens import vocabularies

Rate = float | Callable[[Any], float]  # a function of SeqIO's task


def register(
    *collections: Collection,
    vocabulary: str | None = None,
    at_hand: bool | None = None,
    data_dir: str | os.PathLike | None = None,
) -> list[str]:
    """Add collections to SeqIO's registry.

    Each becomes a mixture of its name, and one for every hold-out of `clusters.hold_outs`:
    `<name>_held_out_<cluster>`, `<name>_intra_3` and so on. The same names with `_eval` are mixtures of the
    data sets that are held out.

    A task has the name of its data set. If an earlier collection has the same data set with other tokens or
    another cap (T0 shares some with FLAN 2021), the collection's name comes before it. Rates are those of the
    collection; they are computed from the sizes on record, or else from the rows, when SeqIO asks for them.
    Data sets that are held out have equal rates. Registering again changes nothing.

    Args:
        collections: the collections; plain texts among their data sets are left out.
        vocabulary: what `vocabularies.load` takes; by default each collection's own.
        at_hand: leave out data sets that cannot be read without the network, with a warning; by default if
            FLANLITE_DATA_DIR is set. Data sets without training data in that folder are never trained on.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.

    Returns:
        The names of the mixtures.

    Raises:
        ValueError: the vocabulary does not exist, or something else is registered by one of these names.
    """
    import seqio

    if at_hand is None:
        at_hand = bool(data_dir or os.environ.get('FLANLITE_DATA_DIR'))
    every = {spec.name: spec for collection in collections for spec in collection.specs}
    absent = [name for name, spec in every.items() if at_hand and not sources.at_hand(spec.source, data_dir)]
    if absent:
        notices.warn_once(
            f'not at hand, and so left out of what SeqIO has of {collections[0].name}: '
            f'{mixtures.listed(absent)}'
        )
    registered = []
    for collection in collections:
        members = {
            spec.name: spec
            for spec in collection.specs
            if isinstance(spec, DatasetSpec) and spec.name not in absent
        }
        names = {}
        for name, spec in members.items():
            try:
                names[name] = add_task(spec, collection, vocabulary, data_dir)
            except sources.MissingDataError as error:
                notices.warn_once(f'left out of what SeqIO has of {collection.name}: {error}')
        trained = [name for name in names if 'train' in seqio.TaskRegistry.get(names[name]).splits]
        rates = {names[name]: task_rate(members[name], collection, data_dir) for name in trained}
        lacking = [name for name in names if members[name].splits.train and name not in trained]
        if lacking:
            notices.warn_once(
                'no training data in the data folder, and so left out of training in SeqIO: '
                f'{mixtures.listed(lacking)}'
            )
        registered += add_mixtures(collection, names, rates)
    return registered


def seqio_vocabulary(name: str = 't5', data_dir: str | os.PathLike | None = None) -> Any:
    """Make the SeqIO vocabulary of the registered tasks, for trainers whose model needs the same one."""
    return vocabularies.load(name, data_dir).to_seqio()


def add_task(
    spec: DatasetSpec, collection: Collection, vocabulary: str | None, data_dir: str | os.PathLike | None
) -> str:
    """Register a collection's data set unless it is registered already, and return the task's name.

    Raises:
        ValueError: SeqIO has another task of that name, or the same with another vocabulary.
    """
    import seqio

    name = task_name(spec, collection)
    loaded = vocabularies.load(vocabulary or collection.vocabulary, data_dir)
    if name not in seqio.TaskRegistry.names():
        max_examples = entry_of(spec, collection).max_examples
        tasks.register(
            spec.name, seqio_name=name, vocabulary=loaded, max_examples=max_examples, data_dir=data_dir
        )
    found = seqio.TaskRegistry.get(name)
    if (
        seqio_tasks.spec_of(found) is not spec
        or found.output_features['inputs'].vocabulary != loaded.to_seqio()
    ):
        raise ValueError(
            f'SeqIO has another task {name!r}, or with another vocabulary than {loaded.name!r}; register it '
            'once a process'
        )
    return name


def task_name(spec: DatasetSpec, collection: Collection) -> str:
    """Return the name of a data set's task.

    It is the data set's name if the first collection that has the data set has the same vocabulary and cap.
    Otherwise it begins with the name of the first collection that has these.
    """

    def settings(other: Collection) -> tuple[str, int | None]:
        return other.vocabulary, entry_of(spec, other).max_examples

    sharing = [
        other for other in registry.COLLECTIONS.values() if any(member is spec for member in other.specs)
    ]
    first = next(other for other in sharing if settings(other) == settings(collection))
    return spec.name if first is sharing[0] else f'{first.name}_{spec.name}'


def task_rate(spec: DatasetSpec, collection: Collection, data_dir: str | os.PathLike | None) -> Rate:
    """Return a data set's rate or, if its size is not on record, a function that counts its rows when SeqIO
    asks for the rate.
    """
    entry = entry_of(spec, collection)
    if entry.prompted or spec.train_examples:
        return mixtures.weigh(entry, spec.train_examples or 0, 1.0)
    resolved = dataclasses.replace(spec, source=sources.prefer_data_folder(spec.source, data_dir))
    return lambda task: mixtures.weigh(entry, tasks.count_rows(resolved, spec.splits.train), 1.0)


def entry_of(spec: DatasetSpec, collection: Collection) -> mixtures.Entry:
    """Return a data set's entry with the collection's caps."""
    return mixtures.entry_of(spec, collection, mixtures.OWN, mixtures.OWN)


def with_shares(collection: Collection, rates: Mapping[str, Rate]) -> dict[str, Rate]:
    """Weigh data sets so that those of each part of a collection have its share; see `mixtures.rates`.

    Args:
        collection: the collection.
        rates: of data sets by themselves.
    """

    @functools.cache
    def own(name: str) -> float:
        rate = rates[name]
        return rate(None) if callable(rate) else rate

    @functools.cache
    def total(part: Part) -> float:
        return sum(own(name) for name in part.tasks if name in rates)

    def shared(task: Any, name: str, part: Part) -> float:
        del task  # SeqIO's
        return own(name) * part.share / total(part) if total(part) else 0.0

    parts = {name: collection.part_of(name) for name in rates}
    return {
        name: functools.partial(shared, name=name, part=part) if part else rates[name]
        for name, part in parts.items()
    }


def add_mixtures(collection: Collection, names: Mapping[str, str], rates: Mapping[str, Any]) -> list[str]:
    """Register a collection's mixtures unless they are registered already, and return their names; empty ones
    are left out.

    A collection without any training data becomes a mixture to evaluate, with equal rates.

    Args:
        collection: the collection.
        names: the names of its tasks in SeqIO, by data set.
        rates: the rates of the tasks that can be trained on.

    Raises:
        ValueError: SeqIO has another mixture by one of these names.
    """
    import seqio

    def trained(members: Iterable[str]) -> dict[str, Any]:
        own = {name: rates[names[name]] for name in members if names.get(name) in rates}
        return {names[name]: rate for name, rate in with_shares(collection, own).items()}

    def evaluated(members: Iterable[str]) -> dict[str, Any]:
        return {names[name]: 1.0 for name in members if name in names}

    made = {collection.name: trained(names) or evaluated(names)}
    for hold_out in clusters.hold_outs(collection.specs).values():
        name = naming.name_without(collection, hold_out.name)
        made |= {name: trained(hold_out.train), f'{name}{naming.UNSEEN}': evaluated(hold_out.test)}
    made = {name: members for name, members in made.items() if members}
    for name, members in made.items():
        if name not in seqio.MixtureRegistry.names():
            seqio_tasks.OWN_MIXTURES.add(seqio.MixtureRegistry.add(name, list(members.items())))
        elif {task.name for task in seqio.MixtureRegistry.get(name).tasks} != set(members):
            raise ValueError(f'SeqIO has another mixture {name!r}; register the collection once a process')
    return list(made)
