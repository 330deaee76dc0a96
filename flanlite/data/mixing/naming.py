"""Names of mixtures: collections, with what they hold out, data sets, and SeqIO's registered tasks and
mixtures.
"""

import contextlib
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from flanlite import config
from flanlite.data.rendering import seqio_tasks
from flanlite.data.specs import clusters, files, registry, specs
from flanlite.data.specs.collection import Collection

HELD_OUT = '_held_out_'
MANY = 500  # data sets of a collection, whose hold-outs are not suggested for any other name
UNSEEN = '_eval'  # at the end of the name of a mixture that holds something out: what it holds out
# At the end of any name: the number of templates to train with, and that of exemplars before each example.
ENDINGS = re.compile(r'(.+?)(?:_(\d+)templates)?(?:_(\d+)shots)?')


class Found(NamedTuple):
    """The meaning of a name.

    Args:
        name: the name.
        collection: the collection that it belongs to; None for SeqIO's tasks and mixtures.
        data_sets: the data sets of that collection that it means.
        in_name: the cluster, or other hold-out, that the name holds out.
    """

    name: str
    collection: Collection | None
    data_sets: Sequence[specs.Spec] = ()
    in_name: str | None = None

    @property
    def is_file(self) -> bool:
        """Return whether it is the data set of a path."""
        return bool(self.data_sets) and isinstance(self.data_sets[0].source, files.Files)

    def holding_out(self, held_out: str | None) -> str | None:
        """Return the cluster or split that is held out, by the name or by the setting `held_out`.

        Raises:
            ValueError: name and setting differ, or the name is not that of a collection, so that nothing can
                be held out.
        """
        if held_out and self.in_name and held_out != self.in_name:
            raise ValueError(
                f'the mixture {self.name!r} holds out {self.in_name}, but held_out is {held_out!r}; expected '
                'only one of them'
            )
        held_out = held_out or self.in_name
        if held_out and not (self.collection and len(self.data_sets) == len(self.collection.specs)):
            raise ValueError(
                f'{self.name!r} is no collection, so no cluster can be held out of it: got {held_out!r}; '
                f'{valid_names()}'
            )
        return held_out


def resolve_name(name: str, data_dir: str | os.PathLike | None = None) -> Found:
    """Return the meaning of a mixture's name.

    Built-in collections are imported only as far as needed: first the one with which the name begins, then
    all, and benchmarks, FLAN 2022 among them, only for a name that nothing else has. With `seqio:` before it,
    a name is looked up in SeqIO's registry only.

    A path means the data set that lies there; see `files.find`.

    Args:
        name: the name or path.
        data_dir: the data folder, in which benchmarks are looked for; by default that of FLANLITE_DATA_DIR.

    Raises:
        ValueError: the name is unknown, and the message has the closest valid names; or both flanlite and the
            user's SeqIO have something by it; or there is nothing at a path.
    """
    if collection := files.find(name):
        return Found(collection.name, collection, collection.specs)
    bare = ENDINGS.fullmatch(name)[1] if name else name
    for load in (lambda: load_builtin(name, data_dir), import_collections):
        load()
        if found := find_in_collection(bare) or find_data_set(bare):
            if len(found.data_sets) == 1 and registry.builtin_of(found.collection.name) is None:
                import_collections()  # refuses a data set that has the name of one of ours
            if seqio_tasks.is_users(name):
                raise ValueError(
                    f'{name!r} is a name of the collection {found.collection.name!r}, and of your SeqIO task '
                    f"or mixture; name SeqIO's {seqio_tasks.PREFIX + name!r}, or register yours by another "
                    f'name, so that {name!r} is that of the collection'
                )
            return found
    if name.removeprefix(seqio_tasks.PREFIX) in seqio_names():
        return Found(name, None)
    find_benchmarks(data_dir)
    if found := find_data_set(bare):
        return found
    known = [
        *collection_names(),
        *(spec.name for collection in registry.COLLECTIONS.values() for spec in collection.specs),
        *seqio_names(),
    ]
    for collection in registry.COLLECTIONS.values():
        if len(collection.specs) <= MANY or name.startswith(collection.name):
            known += names_without(collection)
    raise ValueError(
        f'unknown mixture or task {name!r} (import your module first, --import=MODULE, if it is yours); '
        f'{config.closest(name, known)}{valid_names()}'
    )


def find_in_collection(name: str) -> Found | None:
    """Return the meaning of a collection's name, alone or with what it holds out, or None where no collection
    has the name.

    With `_eval` at its end, the name means the data sets that are held out. Longer names of collections are
    tried first, since the name of one may begin with that of another.
    """
    for collection in sorted(
        registry.COLLECTIONS.values(), key=lambda collection: len(collection.name), reverse=True
    ):
        if name == collection.name:
            return Found(name, collection, collection.specs)
        found = re.fullmatch(
            rf'{re.escape(collection.name)}(?:(?P<cluster>{HELD_OUT})|_)(?P<held_out>.+?)(?P<unseen>{UNSEEN})?',
            name,
        )
        if found and (found['cluster'] or found['held_out'] in other_hold_outs(collection)):
            if not found['unseen']:
                return Found(name, collection, collection.specs, found['held_out'])
            test = clusters.get_hold_out(found['held_out'], collection.specs).test
            return Found(name, collection, tuple(spec for spec in collection.specs if spec.name in test))
    return None


def find_data_set(name: str) -> Found | None:
    """Return the meaning of a data set's name, or None where no collection has such a data set."""
    for collection in registry.COLLECTIONS.values():
        for spec in collection.specs:
            if spec.name == name:
                return Found(name, collection, (spec,))
    return None


class Numbers(NamedTuple):
    """A name without the numbers at its end, and these; None for those that it has not."""

    bare: str
    templates: int | None = None
    shots: int | None = None


def numbers_in_name(name: str) -> Numbers:
    """Split a name into the bare name, and the numbers of templates and of exemplars at its end. A name that
    the user registered in SeqIO is not split.
    """
    found = ENDINGS.fullmatch(name)
    if not found or seqio_tasks.is_users(name.removeprefix(seqio_tasks.PREFIX)):
        return Numbers(name)
    return Numbers(found[1], *(number and int(number) for number in found.groups()[1:]))


def name_without(collection: Collection, held_out: str) -> str:
    """Return the name of the mixture of a collection that holds out a cluster, or the data sets of another
    hold-out.
    """
    joins = '_' if numbers_in_name(held_out).bare in other_hold_outs(collection) else HELD_OUT
    return f'{collection.name}{joins}{held_out}'


def names_without(collection: Collection) -> list[str]:
    """Return the names of the mixtures of a collection that hold something out."""
    own = collection.clusters()
    return [
        f'{collection.name}{HELD_OUT if name in own else "_"}{name}'
        for name in clusters.hold_outs(collection.specs)
    ]


def other_hold_outs(collection: Collection) -> list[str]:
    """Return the names of a collection's hold-outs that are not clusters."""
    own = collection.clusters()
    return [name for name in clusters.hold_outs(collection.specs) if name not in own]


def load_builtin(name: str, data_dir: str | os.PathLike | None = None) -> None:
    """Import the built-in collection with whose name that of a mixture begins, if any. A benchmark, whose
    data sets are what its folder has, is listed anew.

    Args:
        name: of a mixture or data set.
        data_dir: the data folder; by default that of FLANLITE_DATA_DIR.

    Raises:
        MissingDataError: it is a benchmark, and not in the data folder.
    """
    module = registry.load_builtin(name)
    if module and registry.is_benchmark(module):
        module.find(data_dir)


def collection_names() -> list[str]:
    """Return the names of all collections: the built-in ones, and those that a user's module registered."""
    return sorted({*registry.builtin_names(), *registry.COLLECTIONS})


def import_collections() -> list[str]:
    """Import the built-in collections but for benchmarks, which are asked for by name; return the names of
    their packages, then those of the other collections.

    A package may register several collections: `t0` also registers `t0_plus`, for example.
    """
    modules = {name: registry.load_builtin(name) for name in registry.builtin_names()}
    builtin = [name for name, module in modules.items() if not registry.is_benchmark(module)]
    return [*builtin, *(name for name in sorted(registry.COLLECTIONS) if name not in modules)]


def find_benchmarks(data_dir: str | os.PathLike | None = None) -> None:
    """Register the data sets of benchmarks and collections that are listed only when they are asked for;
    those that are not in the data folder are left out.
    """
    for name in registry.builtin_names():
        module = registry.load_builtin(name)
        if registry.is_benchmark(module):
            with contextlib.suppress(ValueError):
                module.find(data_dir)


def seqio_names() -> list[str]:
    """Return the names of SeqIO's registered tasks and mixtures. SeqIO is not imported for this: if nobody
    did, there are none.
    """
    if 'seqio' not in sys.modules:
        return []
    seqio: Any = sys.modules['seqio']
    return [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]


def valid_names() -> str:
    """Return a clause for error messages that lists the names a mixture may have."""
    return (
        f'the collections are {", ".join(collection_names())}; valid are also '
        f'<collection>{HELD_OUT}<cluster>, <collection>_intra_3 and '
        'such, the name of a data set, the path of a file or folder, and the name of a SeqIO task or '
        'mixture, once the module that registers it is imported'
    )
