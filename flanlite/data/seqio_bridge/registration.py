"""Collections in SeqIO's registry, for other people's trainers: their data sets as tasks, and mixtures with their rates.

SeqIO and TensorFlow are imported when something is registered, not before.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flanlite.data.mixing import mixtures, naming
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import clusters, sources, specs
from flanlite.data.specs.specs import Collection, DatasetSpec
from flanlite.data.tokens import vocabularies


def register(
    *collections: Collection,
    vocabulary: str | None = None,
    at_hand: bool | None = None,
    data_dir: str | os.PathLike | None = None,
) -> list[str]:
    """Add collections to SeqIO's registry: each as a mixture, `<name>_held_out_<cluster>`, `<name>_intra_3` and all other splits of
    `clusters.splits`, and these with `_eval` for what is held out.

    Tasks have the data sets' names; where an earlier collection has the same data set with other tokens or another cap, as FLAN 2021 has
    T0's, the collection's name stands before it. Rates are the collection's, from the sizes on record, else counted when they are asked
    for; what is held out has equal ones. Registering again is harmless.

    Args:
        collections: what to register; plain texts among their data sets are passed over.
        vocabulary: what `vocabularies.load` takes; by default each collection's own.
        at_hand: leave out data sets that cannot be read without the network, and say so; by default where there is a data folder.
            What has no training data in that folder does not train in any case.
        data_dir: the folder of local data; by default FLANLITE_DATA_DIR.

    Returns:
        The names of the mixtures.

    Raises:
        ValueError: the vocabulary is not there, or something else is registered by one of these names.
    """
    import seqio

    if at_hand is None:
        at_hand = bool(data_dir or os.environ.get('FLANLITE_DATA_DIR'))
    every = {spec.name: spec for collection in collections for spec in collection.specs}
    absent = [name for name, spec in every.items() if at_hand and not sources.at_hand(spec.source, data_dir)]
    if absent:
        mixtures.say_once(f'not at hand, and so left out of what SeqIO has of {collections[0].name}: {mixtures.listed(absent)}')
    registered = []
    for collection in collections:
        members = {spec.name: spec for spec in collection.specs if isinstance(spec, DatasetSpec) and spec.name not in absent}
        names = {}
        for name, spec in members.items():
            try:
                names[name] = add_task(spec, collection, vocabulary, data_dir)
            except sources.MissingDataError as error:
                mixtures.say_once(f'left out of what SeqIO has of {collection.name}: {error}')
        trained = [name for name in names if 'train' in seqio.TaskRegistry.get(names[name]).splits]
        rates = {names[name]: rate(members[name], collection, data_dir) for name in trained}
        lacking = [name for name in names if members[name].splits.train and name not in trained]
        if lacking:
            mixtures.say_once(f'no training data in the data folder, and so left out of training in SeqIO: {mixtures.listed(lacking)}')
        registered += add_mixtures(collection, names, rates)
    return registered


def seqio_vocabulary(name: str = 't5', data_dir: str | os.PathLike | None = None) -> Any:
    """Make the SeqIO vocabulary of the registered tasks, for a trainer that wants its model to have the very same."""
    return vocabularies.load(name, data_dir).to_seqio()


def add_task(spec: DatasetSpec, collection: Collection, vocabulary: str | None, data_dir: str | os.PathLike | None) -> str:
    """Register a data set as a collection has it, unless that is done, and return the task's name."""
    import seqio

    name, loaded = task_name(spec, collection), vocabularies.load(vocabulary or collection.vocabulary, data_dir)
    if name not in seqio.TaskRegistry.names():
        max_examples = spec.max_examples or collection.max_examples
        tasks.register(spec.name, seqio_name=name, vocabulary=loaded, max_examples=max_examples, data_dir=data_dir)
    found = seqio.TaskRegistry.get(name)
    ours = getattr(found.preprocessors[0], 'keywords', {}).get('spec') is spec if found.preprocessors else False
    if not ours or found.output_features['inputs'].vocabulary != loaded.to_seqio():
        raise ValueError(f'SeqIO has another task {name!r}, or with another vocabulary than {loaded.name!r}; register it once a process')
    return name


def task_name(spec: DatasetSpec, collection: Collection) -> str:
    """Name a data set's task: by itself, or behind the first collection that has it with these tokens and this cap."""

    def settings(other: Collection) -> tuple[str, int | None]:
        return other.vocabulary, spec.max_examples or other.max_examples

    sharing = [other for other in specs.COLLECTIONS.values() if any(member is spec for member in other.specs)]
    first = next(other for other in sharing if settings(other) == settings(collection))
    return spec.name if first is sharing[0] else f'{first.name}_{spec.name}'


def rate(spec: DatasetSpec, collection: Collection, data_dir: str | os.PathLike | None) -> float | Callable[[Any], float]:
    """Return a data set's rate; where its size is not on record, a function that counts."""
    entry = mixtures.entry_of(spec, collection, mixtures.OWN, mixtures.OWN)
    if entry.prompted or spec.train_examples:
        return mixtures.weigh(entry, spec.train_examples or 0, 1.0)
    return lambda task: mixtures.weigh(entry, count(dataclasses.replace(spec, source=sources.resolve(spec.source, data_dir))), 1.0)


@functools.cache
def count(spec: DatasetSpec) -> int:
    """Count the training examples of a data set, whose source is resolved, by reading it."""
    return sum(1 for row in spec.source.rows(spec.splits.train) if spec.keep is None or spec.keep(row))


def add_mixtures(collection: Collection, names: Mapping[str, str], rates: Mapping[str, Any]) -> list[str]:
    """Register a collection's mixtures, unless that is done; what would be empty is left out. One that cannot train is to be evaluated."""
    import seqio

    def trained(members: Iterable[str]) -> dict[str, Any]:
        return {names[name]: rates[names[name]] for name in members if names.get(name) in rates}

    def evaluated(members: Iterable[str]) -> dict[str, Any]:
        return {names[name]: 1.0 for name in members if name in names}

    made = {collection.name: trained(names) or evaluated(names)}
    for split in clusters.splits(collection.specs).values():
        name = naming.name_without(collection, split.name)
        made |= {name: trained(split.train), f'{name}{naming.UNSEEN}': evaluated(split.test)}
    made = {name: members for name, members in made.items() if members}
    for name, members in made.items():
        if name not in seqio.MixtureRegistry.names():
            seqio.MixtureRegistry.add(name, list(members.items()))
        elif {task.name for task in seqio.MixtureRegistry.get(name).tasks} != set(members):
            raise ValueError(f'SeqIO has another mixture {name!r}; register the collection once a process')
    return list(made)
