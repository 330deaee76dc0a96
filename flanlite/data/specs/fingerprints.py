"""Fingerprints of values and of code. A cache stores one, and is rebuilt when the code or settings that made
it were edited.

A function is hashed by its compiled code, since its source may not be at hand (in a notebook, say), and
comments should not count. Its docstring does count, as one of its constants.
"""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import hashlib
import operator
import pathlib
import re
import sys
import types
from typing import Any

import numpy as np

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range)
COUNTED = (*PLAIN, tuple, list, dict, set, frozenset)  # the kinds of an object's attributes that count
# Others whose repr says all that they hold.
SAID_WHOLE = (pathlib.PurePath, datetime.date, datetime.time, datetime.timedelta, decimal.Decimal)
SAID_WHOLE += (fractions.Fraction, operator.itemgetter, operator.attrgetter)
INSTALLED = ('site-packages', 'dist-packages')
# Names of functions that read files; what is in these is no part of a function's code.
READERS = {
    *('open', 'urlopen', 'urlretrieve', 'read_text', 'read_bytes', 'read_csv', 'read_table', 'read_json'),
    *(
        'read_excel',
        'read_parquet',
        'read_feather',
        'read_pickle',
        'loadtxt',
        'genfromtxt',
        'fromfile',
        'memmap',
    ),
    *('load_dataset', 'load_from_disk', 'GFile', 'read_file', 'TextLineDataset', 'TFRecordDataset'),
}


def of(*values: Any) -> str:
    """Hash values. A function counts by its code, constants, defaults and captured values, and by the
    functions that it calls.

    The functions, classes and constants that the code names are followed into flanlite and the user's own
    modules. Functions of the standard library and of installed packages count by their name only. Lists and
    dictionaries of a module count if their name is in capitals, as the name of a constant is: others may be
    caches that change while the program runs.

    Returns:
        16 hexadecimal digits, the same in every process.
    """
    seen: dict[int, tuple[int, Any]] = {}
    text = '\x00'.join(canonical_text(value, seen) for value in values)
    return hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]


def unnoticed(*values: Any) -> list[str]:
    """Say what is no part of the fingerprint of functions, though it may decide what they return: for each
    function among values, and each that they call, the readers of files and the lists that it names.
    """
    seen: dict[int, tuple[int, Any]] = {}
    for value in values:
        canonical_text(value, seen)
    found = []
    for _, function in seen.values():
        if isinstance(function, types.FunctionType) and followed(function.__module__):
            names = {name for code in nested_codes(function.__code__) for name in code.co_names}
            named, namespace = function.__qualname__, function.__globals__
            found += [f'{named} calls {name}' for name in sorted(names & READERS)]
            found += [
                f'{named} names the {type(namespace[name]).__name__} {name}, which would count if its name '
                'were in capitals'
                for name in sorted(names & set(namespace))
                if isinstance(namespace[name], list | dict | set) and not name.isupper()
            ]
    return found


def canonical_text(value: Any, seen: dict[int, tuple[int, Any]]) -> str:
    """Return a text for a value that is the same in every process, and differs where the value differs.

    A function or class is written in full where it is met first, and as its number in `seen` after that, so
    that functions that call each other come to an end. `seen` also holds the object itself: otherwise it
    might be freed, and another one get the same id. Constants are always written in full, since Python
    decides whether equal constants are one object.
    """
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, list | tuple):
        return f'[{",".join(canonical_text(item, seen) for item in value)}]'
    if isinstance(value, set | frozenset):
        return f'{{{",".join(sorted(canonical_text(item, {}) for item in value))}}}'
    if isinstance(value, dict):
        pairs = (f'{canonical_text(key, seen)}:{canonical_text(item, seen)}' for key, item in value.items())
        return f'{{{",".join(pairs)}}}'
    if isinstance(value, enum.Enum):
        return f'{type(value).__qualname__}.{value.name}={canonical_text(value.value, seen)}'
    if isinstance(value, re.Pattern):
        return repr((value.pattern, value.flags))
    if isinstance(value, SAID_WHOLE):
        return f'<{type(value).__qualname__} {value!r}>'
    if isinstance(value, collections.deque):
        return f'<deque {canonical_text(list(value), seen)}>'
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
        return f'<{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}>'
    if isinstance(value, types.MethodType):
        return canonical_text([value.__self__, value.__func__], seen)
    if isinstance(value, types.BuiltinMethodType) and not isinstance(value.__self__, types.ModuleType):
        return canonical_text([value.__self__, value.__qualname__], seen)  # rows.get, with the rows
    if isinstance(value, functools.partial):
        return canonical_text([value.func, value.args, value.keywords], seen)
    if id(value) in seen:
        return f'#{seen[id(value)][0]}'
    seen[id(value)] = (len(seen), value)
    if isinstance(value, types.FunctionType):
        return function_text(value, seen)
    if hasattr(value, '__wrapped__'):  # a function behind a decorator such as functools.cache
        return canonical_text(value.__wrapped__, seen)
    if isinstance(value, type):
        return class_text(value, seen)
    if dataclasses.is_dataclass(value):
        fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return f'{type(value).__qualname__}{canonical_text(fields, seen)}'
    if followed(type(value).__module__):
        attributes = sorted(getattr(value, '__dict__', {}).items())
        return canonical_text(
            [type(value), [(name, item) for name, item in attributes if isinstance(item, COUNTED)]],
            seen,
        )
    return f'<{type(value).__module__}.{type(value).__qualname__} {getattr(value, "__qualname__", "")}>'


def function_text(function: types.FunctionType, seen: dict[int, tuple[int, Any]]) -> str:
    """Return a function's text: its code, defaults and captured values, and the values that its code
    names.
    """
    if not followed(function.__module__):
        return f'<{function.__module__}.{function.__qualname__}>'
    parts = [function.__defaults__, function.__kwdefaults__]
    parts += [cell.cell_contents for cell in function.__closure__ or () if cell_filled(cell)]
    codes = nested_codes(function.__code__)
    for code in codes:
        parts += [
            code.co_code,
            code.co_names,
            [constant for constant in code.co_consts if not isinstance(constant, types.CodeType)],
        ]
    names = {name for code in codes for name in code.co_names}
    parts += named_values(function.__globals__, names)
    return f'({",".join(canonical_text(part, seen) for part in parts)})'


def class_text(cls: type, seen: dict[int, tuple[int, Any]]) -> str:
    """Return a class's text: its name and, where its module is followed, its methods and constants."""
    if not followed(cls.__module__):
        return f'<{cls.__module__}.{cls.__qualname__}>'
    members = [getattr(member, '__func__', getattr(member, 'fget', member)) for member in vars(cls).values()]
    counted = [member for member in members if isinstance(member, (*COUNTED, types.FunctionType, enum.Enum))]
    return f'{cls.__qualname__}{canonical_text(counted, seen)}'


def named_values(namespace: dict[str, Any], names: set[str]) -> list[Any]:
    """Return the values that names have in a module: functions, classes, constants, and those of the modules
    that are named there.

    Of a module (`text` in `text.concat`) only the attributes that the code names too are taken. Which
    attribute belongs to which module is not in the compiled code, so a few too many may count, which costs a
    rebuild at worst.
    """
    values = []
    for name in sorted(names & set(namespace)):
        value = namespace[name]
        if isinstance(value, types.ModuleType):
            if followed(value.__name__):
                values += named_values(
                    {
                        key: item
                        for key, item in vars(value).items()
                        if not isinstance(item, types.ModuleType)
                    },
                    names,
                )
        elif not isinstance(value, list | dict | set) or name.isupper():
            values.append(value)
    return values


def nested_codes(code: types.CodeType) -> list[types.CodeType]:
    """Return a code object and those of the functions, lambdas and comprehensions inside it."""
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return [code] + [nested for constant in inner for nested in nested_codes(constant)]


def cell_filled(cell: types.CellType) -> bool:
    """Return whether a captured variable has a value yet; a function that calls itself is captured before it
    has one.
    """
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


@functools.cache
def followed(module: str) -> bool:
    """Return whether a module's code counts: that of flanlite and the user does, the standard library and
    installed packages do not.
    """
    package = module.partition('.')[0]
    if package == 'flanlite':
        return True
    if package in sys.stdlib_module_names or package in sys.builtin_module_names:
        return package == '__main__'
    file = getattr(sys.modules.get(module), '__file__', None) or ''
    return not any(folder in pathlib.PurePath(file).parts for folder in INSTALLED)
