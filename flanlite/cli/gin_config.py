"""gin files and bindings in, resolved configuration out; every mistake becomes one line with the closest valid names."""

import ast
import contextlib
import inspect
import logging
import pathlib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import gin

import flanlite
from flanlite import config

MACRO = re.compile(r'^([A-Za-z_][\w/.]*) = ', re.MULTILINE)
MACRO_USE = re.compile(r'%([A-Za-z_][\w/.]*)')


def gin_root() -> pathlib.Path:
    """Return the folder of the gin files that come with flanlite, in a checkout as in an installed wheel."""
    package = pathlib.Path(flanlite.__file__).parent
    return package / 'gin' if (package / 'gin').is_dir() else package.parent / 'gin'


def find_gin_file(name: str, search_paths: Sequence[str] = ()) -> pathlib.Path:
    """Find a gin file: as given, below a search path, or among flanlite's own by the same name (`gin/runs/pocket.gin`)."""
    own = gin_root()
    folders = [folder.resolve() for folder in (pathlib.Path(), *map(pathlib.Path, search_paths), own.parent, own)]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    valid = sorted(f'gin/{path.relative_to(own)}' for path in own.rglob('*.gin'))
    raise ValueError(f'no gin file {name!r}; {config.closest(name, valid)}looked in {", ".join(map(str, dict.fromkeys(folders)))}')


def load(
    gin_files: Sequence[str] = (), bindings: Sequence[str] = (), search_paths: Sequence[str] = (), known_macros: Sequence[str] = ()
) -> None:
    """Parse gin files, then bindings, and check every name in them. Replaces any configuration parsed before.

    Args:
        gin_files: names or paths, later ones override earlier ones.
        bindings: `NAME=value` overrides. A value that is no gin literal is taken as a string, so `MODEL_DIR=/tmp/run` needs no quotes.
        search_paths: where else to look for gin files and what they include, as T5X's `--gin_search_paths`.
        known_macros: macros that may be bound although no gin file mentions them.

    Raises:
        ValueError: a file, configurable, parameter or macro that does not exist.
    """
    gin.clear_config()
    own = gin_root()
    for path in (*search_paths, str(own), str(own.parent)):
        gin.add_config_file_search_path(path)
    with one_line_errors():
        for name in gin_files:
            gin.parse_config_file(str(find_gin_file(name, search_paths)))
        in_files = macros()
        for binding in bindings:
            gin.parse_config(quote_binding(binding))
        check_macros(in_files | set(known_macros))
        check_types()
        gin.finalize()


def resolved() -> str:
    """Return the whole configuration as gin text; parsed again, it gives the same run."""
    return gin.config_str(max_line_length=120)


def macro(name: str, default: object = gin.REQUIRED) -> object:
    """Return a macro's value, or the default; without either, a `ValueError` says how to give one."""
    try:
        return gin.query_parameter(f'%{name}')
    except ValueError:
        if default is gin.REQUIRED:
            raise ValueError(f'{name} has no value; give one with --gin.{name}=VALUE or a gin file that sets it') from None
        return default


def macros() -> set[str]:
    """Name the macros that are bound or used."""
    text = gin.config_str()
    return {name for name in MACRO.findall(text) if '.' not in name} | set(MACRO_USE.findall(text))


def check_macros(known: set[str]) -> None:
    """Refuse a macro that nothing uses: it is a misspelt one, and gin would pass over it in silence."""
    text = gin.config_str()
    used = set(MACRO_USE.findall(text))
    for name in MACRO.findall(text):
        if '.' not in name and name not in used | known:
            raise ValueError(f'nothing uses the macro {name!r}; {config.closest(name, sorted(used | known))}'
                             f'the macros here are {", ".join(sorted(used | known)) or "none"}')
    for name in sorted(used - set(MACRO.findall(text))):
        raise ValueError(f'the macro {name!r} has no value; give one with --gin.{name}=VALUE or in a gin file')


def check_types() -> None:
    """Refuse a value that is bound to a parameter annotated as something else, before the parameter is used."""
    for (_, selector), bound in gin.config._CONFIG.items():  # gin has no public list
        parameters = {} if selector == 'gin.macro' else inspect.signature(gin.get_configurable(selector)).parameters
        for name, value in bound.items():
            through = []
            while isinstance(value, gin.config.ConfigurableReference) and value.scoped_selector.endswith('/gin.macro'):
                through.append(value.scoped_selector.removesuffix('/gin.macro'))
                value = gin.query_parameter(f'%{through[-1]}')
            annotation = parameters[name].annotation if name in parameters else Any
            if not isinstance(value, gin.config.ConfigurableReference) and not fits(value, annotation):
                kinds = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else [annotation]
                expected = ' or '.join((typing.get_origin(kind) or kind).__name__ for kind in kinds)
                named = through[-1] if through else f'{selector.rpartition(".")[2]}.{name}'
                raise ValueError(f'{named} is {value!r}; expected {expected.replace("NoneType", "None")}')


def fits(value: object, annotation: Any) -> bool:
    """Whether a literal is of an annotated type; what is no plain type or collection is taken on trust."""
    if isinstance(annotation, types.UnionType):
        return any(fits(value, each) for each in typing.get_args(annotation))
    kind = typing.get_origin(annotation) or annotation
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (Sequence, tuple):
        return isinstance(value, list | tuple)
    if kind is Callable:
        return callable(value)
    return isinstance(value, kind) if kind in (str, bool, types.NoneType, Mapping, dict) else True


def quote_binding(binding: str) -> str:
    """Quote a binding's value as a string where it is no gin literal, reference or macro."""
    name, equals, value = binding.partition('=')
    if not equals or not name.strip():
        raise ValueError(f'expected a binding such as TRAIN_STEPS=100, got {binding!r}')
    value = value.strip()
    if not value.startswith(('@', '%')) and '@' not in value and '%' not in value:
        try:
            ast.literal_eval(value)
        except (ValueError, SyntaxError):
            value = repr(value)
    return f'{name.strip()} = {value}'


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn gin's errors into one-line `ValueError`s with the closest valid names."""
    logging.getLogger().disabled, quiet = True, logging.getLogger().disabled  # gin logs each folder where an include is not
    try:
        yield
    except (ValueError, OSError, SyntaxError, RuntimeError, ImportError) as error:
        raise ValueError(explain(error)) from error
    finally:
        logging.getLogger().disabled = quiet


def explain(error: Exception) -> str:
    """Say in one line what is wrong in a gin file or binding."""
    lines = str(error).splitlines() or [type(error).__name__]
    message = ' '.join(lines[0].split())
    where = next((line.strip() for line in lines[1:] if 'In file' in line), '').rstrip(':')
    if found := re.search(r"No configurable matching (?:reference )?'@?([\w./]+)", message):
        message = f'gin knows nothing named {found[1]!r}; {config.closest(found[1], configurables())}'.rstrip('; ')
    elif found := re.search(r"Configurable '([\w./]+)' doesn't have a parameter named '(\w+)'", message):
        parameters = list(inspect.signature(gin.get_configurable(found[1])).parameters)
        hint = config.closest(found[2], parameters)
        message = f'{found[1]!r} has no parameter {found[2]!r}; {hint}its parameters are {", ".join(parameters)}'
    elif found := re.search(r"No bindings specified for '([\w./]+)/gin.macro'", message):
        message = f'the macro {found[1]!r} has no value; give one with --gin.{found[1]}=VALUE or in a gin file'
    elif found := re.search(r'Required bindings for `(\w+)` not provided in config: (.*)', message):
        message = f'{found[1]!r} needs a value for {found[2]}'
    elif found := re.search(r'Unable to open file: ([^ ]+)\.', message):
        message = f'no gin file {found[1]!r} to include'
    return f'{message} ({where[0].lower()}{where[1:]})' if where else message


def configurables() -> list[str]:
    """Name all that gin can configure now."""
    return sorted({selector.rsplit('.', 1)[-1] for selector in gin.config._REGISTRY._selector_map})  # gin has no public list
