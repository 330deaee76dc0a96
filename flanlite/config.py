"""Settings as values: frozen dataclasses that check their fields when they are made, print, compare, hash,
and are saved as JSON.

    @value
    class StepConfig:
        microbatches: int = 1

`StepConfig(microbatch=2)`, `StepConfig(microbatches='2')` and whatever the class's `__post_init__` refuses
are one-line `ValueError`s. Lists become tuples and dictionaries read-only, so that a value can be a key.
Nothing here knows gin: `flanlite.cli.gin_config` fills values from gin files, and whatever runs takes them as
arguments.
"""

import contextlib
import dataclasses
import difflib
import functools
import importlib
import inspect
import json
import math
import numbers
import pathlib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from flanlite.limits import Limit
from flanlite.paths import at_home
from flanlite.reading import read_json
from flanlite.writing import whole_file

T = TypeVar('T')
TYPES: dict[str, type] = {}  # every class of values by its name, as saved values name it
TYPE = 'type'  # the key of a saved value that names its class
SETTINGS_FILE = 'settings.json'  # in a run's folder; not config.json, by which a Hugging Face folder is known
FUNCTION = 'function'  # the key of a saved function, as module:name
PARTIAL = 'partial'  # the key of a saved functools.partial, with `args` and `keywords` beside it
OBJECT = 'object'  # the key of what was no value and cannot be read back, with its class
PARENT = '_parent'  # the attribute of a value that notes what it was made from
ABSENT = '–'  # what stands for a field that one of two values does not have
SHOWN = 200  # characters of a value in an error
UNIONS = (types.UnionType, typing.Union)


class FrozenDict(dict):
    """A dictionary that cannot be changed, and so can be hashed; equal to an ordinary one with the same
    items.
    """

    def _refuse(self, *_: Any, **__: Any) -> None:
        raise TypeError('a value cannot be changed; make another with dataclasses.replace')

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def value(cls: type[T]) -> type[T]:
    """Make a class of values: a frozen dataclass whose fields are checked by their annotations before its
    `__post_init__` runs.

    Its `__str__` is laid out over lines, and `value.replace(...)` makes another one. The class is registered
    by its name, by which saved values are read again.

    Raises:
        ValueError: when a value is made: a field that the class does not have, one without a value, or one of
            another type.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    make = cls.__init__
    signature = inspect.signature(make)

    @functools.wraps(make)
    def __init__(self: Any, *args: Any, **fields: Any) -> None:
        names = [name for name in signature.parameters if name != 'self']
        for name in fields:
            if name not in names:
                raise ValueError(
                    f'{cls.__name__} has no field {name!r}; {closest(name, names)}its fields are '
                    f'{", ".join(names)}'
                )
        if len(args) > len(names):
            raise ValueError(
                f'{cls.__name__} got {len(args)} values; expected at most {len(names)}: {", ".join(names)}'
            )
        given = dict(zip(names, args, strict=False))
        if twice := [name for name in fields if name in given]:
            raise ValueError(f'{cls.__name__} got two values for {twice[0]}; expected one')
        given |= fields
        missing = [
            name
            for name in names
            if name not in given and signature.parameters[name].default is inspect.Parameter.empty
        ]
        if missing:
            raise ValueError(f'{cls.__name__} needs a value for {", ".join(missing)}')
        hints, reads = annotations(cls), readers(cls)
        checked = {
            name: check_field(f'{cls.__name__}.{name}', freeze(item), hints[name], reads.get(name))
            for name, item in given.items()
        }
        make(self, **checked)

    cls.__init__ = __init__
    cls.__str__, cls.replace = pretty, replace
    TYPES[cls.__name__] = cls
    return cls


@functools.cache
def annotations(cls: type) -> dict[str, Any]:
    """Return the resolved annotation of each field of a class of values, its limits included."""
    return typing.get_type_hints(cls, include_extras=True)


@functools.cache
def readers(cls: type) -> dict[str, Callable[[str], str]]:
    """Return what a text goes through in the fields of a class that are `Annotated[str, function]`, such as
    `LocalPath`.
    """
    return {
        name: read
        for name, annotation in annotations(cls).items()
        for kind in (annotation, *typing.get_args(annotation))
        for read in getattr(kind, '__metadata__', ())
        if not isinstance(read, Limit)
    }


def pretty(self: Any) -> str:
    """Lay a value out over lines, a field a line where it is long."""
    from rich.pretty import pretty_repr

    return pretty_repr(self, max_width=120)


def replace(self: T, **changes: Any) -> T:
    """Return a value with some fields changed, those of parts by their path:
    `config.replace(**{'data.batch_size': 8})`.

    Raises:
        ValueError: a field that there is not, or a value that does not fit.
    """
    whole = {name: new for name, new in changes.items() if '.' not in name}
    parts: dict[str, dict[str, Any]] = {}
    for path, new in changes.items():
        first, dot, rest = path.partition('.')
        if dot:
            parts.setdefault(first, {})[rest] = new
    # All changes of a part at once, since one alone may contradict the rest.
    for first, inner in parts.items():
        part = whole.get(first, getattr(self, first, None))
        if type(part) not in TYPES.values():
            path = f'{first}.{next(iter(inner))}'
            raise ValueError(
                f'{type(self).__name__}.{first} has no fields of its own, so {path!r} cannot be changed'
            )
        whole[first] = part.replace(**inner)
    new = type(self)(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | whole)
    return made_from(new, *vars(self)[PARENT]) if PARENT in vars(self) else new


def made_from(item: T, name: str, lines: Mapping[str, str]) -> T:
    """Note in a value, and in what `replace` makes of it, which settings it was made from; it compares as
    before.

    Args:
        item: the value.
        name: what the reader knows these settings by: gin files, or a run's folder.
        lines: they, as `to_lines` writes them.
    """
    vars(item)[PARENT] = name, lines
    return item


def departures(item: Any) -> tuple[str, tuple[tuple[str, str, str], ...]]:
    """Return the name of the settings that a value was made from, and each field that differs from them:
    (field, value, value there). The name is empty where a value was made from none.
    """
    name, before = vars(item).get(PARENT, ('', {}))
    now = to_lines(item)
    fields = dict.fromkeys((*now, *before)) if name else ()
    rows = ((field, now.get(field, ABSENT), before.get(field, ABSENT)) for field in fields)
    return name, tuple(row for row in rows if row[1] != row[2])


def freeze(item: Any) -> Any:
    """Return lists as tuples and dictionaries read-only, at any depth, so that a value can be hashed."""
    if isinstance(item, Mapping):
        return FrozenDict({name: freeze(each) for name, each in item.items()})
    if type(item) in (list, tuple):
        return tuple(freeze(each) for each in item)
    if isinstance(item, numbers.Number) and hasattr(item, 'item'):  # one of NumPy's
        return item.item()
    return item


def check_field(name: str, item: Any, annotation: Any, read: Callable[[str], str] | None = None) -> Any:
    """Return a field's value, a path as text, and a text as `read` returns it; a `ValueError` where it does
    not fit the annotation.
    """
    if isinstance(item, pathlib.Path) and fits('', annotation):
        item = str(item)
    if wrong := misfit(name, item, annotation):
        raise ValueError(wrong)
    if isinstance(item, float) and math.isnan(item):
        raise ValueError(f'{name} is nan; expected a number')
    if read and isinstance(item, str):
        try:
            return read(item)
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from None
    return item


def read_text(name: str, text: str, annotation: Any) -> Any:
    """Read a setting from text: a number where its type takes one, else the text.

    Args:
        name: of the setting, for the error.
        text: as it was typed.
        annotation: the setting's type.

    Raises:
        ValueError: the text does not fit the type.
    """
    for read in (int, float):
        with contextlib.suppress(ValueError):
            if read in bare_types(annotation) and fits(number := read(text), annotation):
                return number
    return check_field(name, text, annotation)


def bare_types(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows, without their limits."""
    kind, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        return bare_types(inner[0])
    return set().union(*map(bare_types, inner)) if kind in UNIONS else {annotation}


def type_name(annotation: Any) -> str:
    """Write an annotation as an error names it: `a whole number from 1 to 16 or None`."""
    kind, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        limits = [each.expected for each in inner[1:] if isinstance(each, Limit)]
        return limits[0] if limits else type_name(inner[0])
    if kind in UNIONS:
        return ' or '.join(map(type_name, inner))
    if annotation in (None, types.NoneType):
        return 'None'
    if annotation is Ellipsis:
        return '...'
    name = getattr(kind or annotation, '__name__', str(annotation))
    return f'{name}[{", ".join(map(type_name, inner))}]' if inner and kind is not Callable else name


def shown(item: Any) -> str:
    """Write a value as an error names it, a long one cut."""
    try:
        text = repr(item)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists of lists without end
        return f'a {type(item).__name__} too long to show'
    return text if len(text) <= SHOWN else f'{text[:SHOWN]}... ({len(text):,} characters)'


def fits(item: object, annotation: Any) -> bool:
    """Return whether a value is of an annotated type, within its limits. Protocols, and what else cannot be
    looked at, fit anything.
    """
    return misfit('', item, annotation) is None


def misfit(name: str, item: object, annotation: Any) -> str | None:
    """Say what of a value does not fit a type, with what was expected; None where all does. See `fits`.

    Args:
        name: of the value, which the parts of a list or dictionary are named after.
        item: the value.
        annotation: the type.
    """
    kind, inner = typing.get_origin(annotation) or annotation, typing.get_args(annotation)

    def wrong(hint: str = '') -> str:
        return f'{name} is {shown(item)}; {hint}expected {type_name(annotation)}'

    if kind is Annotated:
        limits = [limit for limit in inner[1:] if isinstance(limit, Limit)]
        if inside := misfit(name, item, inner[0]):
            return wrong() if limits else inside
        failed = [limit for limit in limits if not limit.holds(item)]
        return wrong(closest(str(item), failed[0].known)) if failed else None
    if kind in UNIONS:
        if type(item) in inner:
            return None
        found = [misfit(name, item, each) for each in inner]
        if None in found:
            return None
        # Of one kind of list or dictionary, the part that is wrong; of several kinds, all that would do.
        lists = [each for each in found if not each.startswith(f'{name} is')]
        return lists[0] if len(lists) == 1 else wrong()
    parts: Iterable[tuple[str, object, Any]] = ()
    if kind is float:
        right = isinstance(item, int | float) and not isinstance(item, bool)
    elif kind is int:
        right = isinstance(item, int) and not isinstance(item, bool)
    elif kind in (Sequence, tuple):
        right = isinstance(item, list | tuple)
        if right and inner:
            one_kind = kind is Sequence or inner[-1] is Ellipsis
            right = one_kind or len(item) == len(inner)
            kinds = [inner[0]] * len(item) if one_kind else inner
            parts = [(f'{name}[{place}]', *pair) for place, pair in enumerate(zip(item, kinds, strict=False))]
    elif kind in (Mapping, dict, FrozenDict):
        right = isinstance(item, Mapping)
        if right and inner:
            parts = [(f'a key of {name}', key, inner[0]) for key in item]
            parts += [(f'{name}[{key!r}]', part, inner[1]) for key, part in item.items()]
    elif kind is Callable:
        right = callable(item) and not isinstance(item, type)
    elif getattr(kind, '_is_protocol', False):
        right = not isinstance(item, type)
    else:
        right = isinstance(item, kind) if kind is not Any and isinstance(kind, type) else True
    if not right:
        return wrong()
    return next(filter(None, (misfit(*part) for part in parts)), None)


def to_lines(item: Any, path: str = '') -> dict[str, str]:
    """Write a value as lines, `train.data.batch_size = 8`: a dictionary from each field's path to its value
    as JSON.

    Args:
        item: the value.
        path: where it stands, if it is a part of another.
    """
    item = to_json(item)
    if not isinstance(item, dict) or {FUNCTION, OBJECT, PARTIAL} & set(item):
        return {path: json.dumps(item)}
    return {
        field: line
        for name, part in item.items()
        for field, line in to_lines(part, f'{path}.{name}' if path else name).items()
    }


def to_text(item: Any) -> str:
    """Write a value as text, a field a line, as results keep settings."""
    return '\n'.join(f'{field} = {line}' for field, line in to_lines(item).items())


def unsaved(item: Any, path: str = '') -> list[str]:
    """Return the paths of what a value holds that JSON cannot: lambdas, methods, objects of other kinds."""
    found = item if isinstance(item, dict | list) else to_json(item)
    if OBJECT in found:
        return [path]
    parts = dict(enumerate(found)) if isinstance(found, list) else found
    return [
        each
        for name, part in parts.items()
        if isinstance(part, dict | list)
        for each in unsaved(part, f'{path}.{name}' if path else str(name))
    ]


def check_kind(item: Any, kind: type, where: str) -> None:
    """Refuse settings of another class than a function takes."""
    if not isinstance(item, kind):
        got = f'a {type(item).__name__}' if dataclasses.is_dataclass(item) else repr(item)
        raise ValueError(f'{where} got {got}; expected a {kind.__name__}')


def to_json(item: Any) -> Any:
    """Turn a value into what JSON can hold: a dictionary of its fields with its class under `type`; functions
    by module and name.
    """
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        fields = {field.name: to_json(getattr(item, field.name)) for field in dataclasses.fields(item)}
        module, name = type(item).__module__, type(item).__qualname__
        return {TYPE: name if module.startswith('flanlite.') else f'{module}:{name}'} | fields
    if isinstance(item, Mapping):
        return {name: to_json(each) for name, each in item.items()}
    if isinstance(item, list | tuple) and not hasattr(item, '_fields'):
        return [to_json(each) for each in item]
    if item is None or isinstance(item, bool | int | float | str):
        return item
    if isinstance(item, pathlib.PurePath):
        return str(item)
    if isinstance(item, functools.partial):
        return {PARTIAL: to_json(item.func), 'args': to_json(item.args), 'keywords': to_json(item.keywords)}
    if callable(item) and hasattr(item, '__qualname__'):
        name = f'{item.__module__}:{item.__qualname__}'
        # Of a lambda, a method or what is wrapped, the name is another's or nobody's.
        with contextlib.suppress(ValueError):
            if find_function(name) is item:
                return {FUNCTION: name}
    return {OBJECT: f'{type(item).__module__}:{type(item).__qualname__}'}


def from_json(item: Any) -> Any:
    """Make the value again that `to_json` turned into what JSON can hold.

    Raises:
        ValueError: a class or field that this version does not have, or a function that cannot be imported.
    """
    if isinstance(item, list):
        return tuple(from_json(each) for each in item)
    if not isinstance(item, dict):
        return item
    if OBJECT in item:
        raise ValueError(
            f'the settings hold an object of {item[OBJECT]!r}, which JSON cannot hold; expected values, or '
            'functions by name'
        )
    if FUNCTION in item:
        return find_function(item[FUNCTION])
    if PARTIAL in item:
        return functools.partial(
            from_json(item[PARTIAL]), *from_json(item['args']), **from_json(item['keywords'])
        )
    fields = {name: from_json(each) for name, each in item.items() if name != TYPE}
    if TYPE not in item:
        return fields
    if ':' in str(item[TYPE]):
        kind = find_function(item[TYPE])
        if not isinstance(kind, type) or not dataclasses.is_dataclass(kind):  # it is called
            raise ValueError(f'the settings name {item[TYPE]!r}, which is no class of values')
        return kind(**fields)
    if item[TYPE] not in TYPES:
        raise ValueError(
            f'unknown kind of settings {item[TYPE]!r}; {closest(str(item[TYPE]), TYPES)}was it saved by '
            'another version?'
        )
    return TYPES[item[TYPE]](**fields)


def find_function(name: str) -> Any:
    """Import a function by `module:name`."""
    module, _, path = str(name).partition(':')
    try:
        found = importlib.import_module(module)
        for part in path.split('.'):
            found = getattr(found, part)
    except Exception as error:  # whatever a user's module raises
        raise ValueError(
            f'the settings name the function {name!r}, which cannot be imported: {error}'
        ) from None
    return found


def save(item: Any, path: str | pathlib.Path) -> None:
    """Write a value as JSON."""
    with whole_file(path) as file:
        file.write(json.dumps(to_json(item), indent=1) + '\n')


def load(path: str | pathlib.Path) -> Any:
    """Read a value that `save` wrote; the module of its class must have been imported.

    Raises:
        ValueError: there is no such file, or it holds no value of this version.
    """
    try:
        return from_json(read_json(path))
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(
            f'cannot read settings from {path}: {error}; expected a file that a run of this version saved'
        ) from error


def load_as(kind: type[T], path: str | pathlib.Path) -> T:
    """Read a value of a class from a file, or from the `settings.json` of a run's folder.

    Raises:
        ValueError: there is none, or it is of another class or version.
    """
    path = pathlib.Path(at_home(path))
    found = load(path / SETTINGS_FILE if path.is_dir() else path)
    if not isinstance(found, kind):
        raise ValueError(f'{path} holds a {type(found).__name__}; expected a {kind.__name__}')
    return found


def check_own(folder: pathlib.Path, names: Iterable[str], remedy: str) -> None:
    """Raise a `ValueError` that ends with a remedy where a folder has files by the names of those that are to
    be written, but no settings of ours.
    """
    ours = None
    with contextlib.suppress(ValueError, OSError):
        ours = read_json(folder / SETTINGS_FILE)
    if isinstance(ours, dict) and str(ours.get(TYPE)) in TYPES:
        return
    if others := [name for name in names if (folder / name).exists()]:
        raise ValueError(
            f'{folder} has {others[0]}, which flanlite did not write and would replace; {remedy}'
        )


def closest(name: str, valid: Iterable[str]) -> str:
    """Suggest the valid names closest to one, as a clause that ends in '? ', or nothing."""
    # Collections share data sets.
    close = difflib.get_close_matches(name, dict.fromkeys(valid), n=3, cutoff=0.5)
    return f'did you mean {" or ".join(close)}? ' if close else ''
