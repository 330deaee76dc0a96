"""The collections that are known by name: those that come with flanlite, and those that code registers."""

import collections
import importlib
import pkgutil
import re
import types
from collections.abc import Mapping

from flanlite.data.specs.collection import Collection
from flanlite.data.specs.specs import Spec

COLLECTIONS: dict[str, Collection] = {}
BUILTIN = 'flanlite.mixtures'


def builtin_names() -> list[str]:
    """Return the names of the collections that come with flanlite, without importing them."""
    return sorted(
        module.name
        for module in pkgutil.iter_modules(importlib.import_module(BUILTIN).__path__)
        if module.ispkg
    )


def builtin_of(name: str) -> str | None:
    """Return the built-in collection with whose name another begins, the longest of several, or None."""
    fitting = [builtin for builtin in builtin_names() if re.match(rf'{builtin}($|[_:])', name)]
    return max(fitting, key=len, default=None)


def load_builtin(name: str) -> types.ModuleType | None:
    """Import the built-in collection with whose name that of a mixture begins, if any."""
    builtin = builtin_of(name)
    return builtin and importlib.import_module(f'{BUILTIN}.{builtin}')


def is_benchmark(module: types.ModuleType) -> bool:
    """Return whether a built-in package lists the files of a folder, in place of a table of data sets."""
    return hasattr(module, 'find')


def register(*given: Collection, replace: bool = False) -> None:
    """Make collections known by their names. Registering the same ones again changes nothing.

    Args:
        *given: the collections; all of them are registered, or none.
        replace: whether they take the place of others with their names, such as those of another folder.

    Raises:
        ValueError: another collection has the name of one, one that comes with flanlite too, or another data
            set has the name of one of their data sets.
    """
    named = {collection.name: collection for collection in given}
    for collection in given:
        check_collection(collection, COLLECTIONS | named, replace)
    COLLECTIONS.update(named)


def check_collection(collection: Collection, known: Mapping[str, Collection], replace: bool) -> None:
    """Raise a `ValueError` where a collection cannot be registered beside those that are known then."""
    module = None if replace else load_builtin(collection.name)
    benchmark = module and is_benchmark(module) and builtin_of(collection.name) == collection.name
    if benchmark or (not replace and COLLECTIONS.get(collection.name, collection) is not collection):
        raise ValueError(f'a collection named {collection.name!r} is there already; give yours another name')
    names = collections.Counter(spec.name for spec in collection.specs)
    if names and (most := max(names, key=names.get)) and names[most] > 1:
        raise ValueError(f'the collection {collection.name!r} has two data sets named {most!r}')
    taken = {
        spec.name: (other.name, spec)
        for other in known.values()
        if other.name != collection.name
        for spec in other.specs
    }
    for spec in collection.specs:
        # Collections may share a data set, but not its name.
        if spec.name in taken and taken[spec.name][1] is not spec:
            raise ValueError(
                f'data set {spec.name!r} of {collection.name!r} is in the collection {taken[spec.name][0]!r} '
                'already; give yours another name'
            )


def find_spec(name: str) -> Spec | None:
    """Return the registered data set or text of a name, or None."""
    return next((each.by_name[name] for each in COLLECTIONS.values() if name in each.by_name), None)
