"""gin files and bindings in, values out. Every mistake is one line with the closest valid names.

gin builds a value by T5X's convention: `train.config = @TrainConfig()` and `TrainConfig.data = @DataConfig()`
name the parts, and `DataConfig.batch_size = %BATCH_SIZE` fills a field from a macro. Each class of values is
made known to gin in `gin_names`. The classes know nothing of gin, so that a value made in Python is the same
whatever gin holds.
"""

import ast
import contextlib
import io
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import gin

from flanlite.cli import gin_mistakes, gin_names
from flanlite.config import TYPES, check_kind, closest, made_from, readers, to_lines
from flanlite.paths import at_home

REFERENCE = re.compile(r'[%@][A-Za-z_]|[\[({].*[%@][A-Za-z_]')  # how a value begins that names others
MISSING = 'No values supplied by Gin'
OPEN: list[str] = []  # the gin files that are being read, each included by the one before


@contextlib.contextmanager
def opened(path: str) -> Iterator[io.StringIO]:
    """Open a gin file for gin to read.

    Raises:
        ValueError: it is no text in UTF-8, or is being read already, since it includes itself.
    """
    if (real := os.path.realpath(path)) in OPEN:
        again = ' includes '.join([*OPEN[OPEN.index(real) :], real])
        raise ValueError(f'a gin file includes itself: {again}')
    try:
        # Some editors begin a file with a byte-order mark.
        text = pathlib.Path(path).read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path} is no text in UTF-8: byte {error.start} is {error.object[error.start]:#x}'
        ) from None
    lines = io.StringIO(text)
    lines.name = path  # which gin's errors name
    OPEN.append(real)
    try:
        yield lines
    except RecursionError:
        raise ValueError(f'{path} has values that are nested too deep') from None
    finally:
        OPEN.pop()


gin.config._FILE_READERS[0] = (opened, os.path.isfile)  # gin has no public way to put one before its own


def gin_root() -> pathlib.Path:
    """Return the folder of the gin files that come with flanlite, in a checkout as in an installed wheel."""
    package = pathlib.Path(__file__).parents[1]
    return package / 'gin' if (package / 'gin').is_dir() else package.parent / 'gin'


def gin_files() -> list[str]:
    """List the gin files that come with flanlite, by the names they are found by: `gin/runs/pocket.gin`."""
    own = gin_root()
    return sorted(f'gin/{path.relative_to(own)}' for path in own.rglob('*.gin'))


def find_gin_file(name: str, search_paths: Sequence[str] = ()) -> pathlib.Path:
    """Find a gin file: as given, below a search path, or among flanlite's own by the same name
    (`gin/runs/pocket.gin`).
    """
    own = gin_root()
    folders = [
        folder.resolve() for folder in (pathlib.Path(), *map(pathlib.Path, search_paths), own.parent, own)
    ]
    for folder in folders:
        if (file := folder / at_home(name)).is_file():
            return file
    raise ValueError(
        f'no gin file {name!r}; {closest(name, gin_files())}looked in '
        f'{", ".join(map(str, dict.fromkeys(folders)))}'
    )


def load(
    gin_files: Sequence[str] = (),
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    known_macros: Sequence[str] = (),
    modules: Sequence[str] = (),
    mixtures_only: bool = False,
) -> None:
    """Parse gin files, then bindings, and check every name in them. Replaces any configuration parsed before.

    Args:
        gin_files: names or paths, later ones override earlier ones.
        bindings: `NAME=value` overrides. A value that is no gin literal is taken as a string, so
            `MODEL_DIR=/tmp/run` needs no quotes.
        search_paths: where else to look for gin files and what they include, as T5X's `--gin_search_paths`.
        known_macros: macros that may be bound although no gin file mentions them.
        modules: modules to import first; the resolved configuration imports them too.
        mixtures_only: whether nothing but mixtures is bound, so that what runs them need not be imported.

    Raises:
        ValueError: a file, configurable, parameter or macro that does not exist, or a value of another type.
    """
    search_paths = [at_home(path) for path in search_paths]
    files = [str(find_gin_file(name, search_paths)) for name in gin_files]  # before anything slow is imported
    gin.clear_config()
    (gin_names.register_mixtures if mixtures_only else gin_names.register)()
    own = gin_root()
    for path in (*search_paths, str(own), str(own.parent)):
        gin.add_config_file_search_path(path)
    with gin_mistakes.one_line_errors():
        for name in modules:
            gin.parse_config(f'import {name}')
        for file in files:
            gin.parse_config_file(file)
        in_files = gin_names.macros()
        for binding in bindings:
            gin.parse_config(quote_binding(binding))
        gin_mistakes.check_macros(in_files | set(known_macros))
        gin_mistakes.check_cycles()
        gin_mistakes.check_types()
        make_paths_absolute()
        gin.finalize()


def build(name: str, /, **fields: Any) -> Any:
    """Build what gin calls `name`: a class of values, or a command's `config`; fields that are given here go
    before gin's.

    Raises:
        ValueError: gin lacks a value, or the value refuses what gin says.
    """
    (gin_names.register_mixtures if name == 'MixtureConfig' else gin_names.register)()
    if name in gin_names.COMMANDS and 'config' not in gin.get_bindings(
        f'flanlite.{name}', resolve_references=False, inherit_scopes=False
    ):
        raise ValueError(
            f'the gin files say nothing of {name}.config; expected one that includes gin/{name}.gin, as '
            'files in gin/runs do'
        )
    try:
        built = gin.get_configurable(f'flanlite.{name}')(**fields)
        if name in gin_names.COMMANDS:
            check_kind(built, TYPES[gin_names.COMMANDS[name]], f'{name}.config')
        return built
    except (ValueError, TypeError) as error:
        raise ValueError(one_line(error)) from error


def one_line(error: Exception) -> str:
    """Drop what gin adds below an error's own message, and name the gin parameters that have no value."""
    message = str(error).split('\n  In call to configurable', 1)[0]
    if missing := re.search(rf'{MISSING}.*?: \[(.*?)\]', message, re.DOTALL):
        return f'no value for {missing[1]}; give it in the gin file, or with --gin.NAME=VALUE'
    return message


def read(
    what: str,
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    modules: Sequence[str] = (),
) -> Any:
    """Build a value from gin files and forget the configuration: see `flanlite.from_gin`.

    Args:
        what: a command, or the name of a class of values or of a macro such as MODEL.
        gin_files: see `load`.
        bindings: see `load`.
        search_paths: see `load`.
        modules: see `load`.
    """
    try:
        load(gin_files, bindings, search_paths, modules=modules)
        if not what.isupper() and what not in gin_names.COMMANDS and what not in TYPES:
            known = (*gin_names.COMMANDS, *sorted(TYPES), 'the name of a macro, such as MODEL')
            raise ValueError(
                f'unknown settings {what!r}; {closest(what, known)}expected one of {", ".join(known)}'
            )
        if what.isupper():
            return macro(what)
        built = build(what)
        return made_from(built, *alone(what, gin_files, search_paths, modules)) if gin_files else built
    finally:
        gin.clear_config()


def alone(
    what: str, gin_files: Sequence[str], search_paths: Sequence[str] = (), modules: Sequence[str] = ()
) -> tuple[str, dict[str, str]]:
    """Return what gin files are called, and the settings that they make without bindings; nothing of both
    where they are not whole by themselves. Replaces any configuration parsed before.

    Args:
        what: see `read`.
        gin_files: see `load`.
        search_paths: see `load`.
        modules: see `load`.
    """
    try:
        load(gin_files, (), search_paths, modules=modules)
        return ', '.join(gin_files), to_lines(build(what))
    except ValueError:
        return '', {}


def resolved() -> str:
    """Return the whole configuration as gin text; parsed again, it gives the same run."""
    return gin.config_str(max_line_length=120)


def macro(name: str, default: object = gin.REQUIRED) -> Any:
    """Return a macro's value, references resolved, or the default; without either, a `ValueError` tells how
    to give one.
    """
    try:
        found = gin.query_parameter(f'%{name}')
    except ValueError:
        if default is gin.REQUIRED:
            raise ValueError(
                f'{name} has no value; give one with --gin.{name}=VALUE or a gin file that sets it'
            ) from None
        return default
    return found.scoped_configurable_fn() if gin_names.is_reference(found) else found


def set_fields(name: str) -> dict[str, Any]:
    """Return the fields that gin sets of a class of values, without its defaults."""
    gin_names.register()
    return dict(gin.get_bindings(f'flanlite.{name}'))


def model_fields() -> dict[str, Any]:
    """Return the fields that gin sets of the model that MODEL names, or of a T5 where nothing does."""
    model = macro('MODEL', None)
    return set_fields('T5Config' if model is None else type(model).__name__)


def make_paths_absolute() -> None:
    """Bind the paths in values to their absolute forms, so that `resolved` means the same in any folder."""
    for (scope, selector), bound in list(gin.config._CONFIG.items()):  # gin has no public list
        for name, read in readers(gin_names.VALUES[selector]).items() if selector in gin_names.VALUES else ():
            through, value = gin_names.followed(bound.get(name))
            if isinstance(value, str):
                where = (f'{through[-1]}/gin.macro', 'value') if through else (f'{scope}/{selector}', name)
                try:
                    gin.bind_parameter('.'.join(where).lstrip('/'), read(value))
                except ValueError as error:
                    named = through[-1] if through else f'{selector.rpartition(".")[2]}.{name}'
                    raise ValueError(f'{named}: {error}') from None


def quote_binding(binding: str) -> str:
    """Quote a binding's value as a string where it is no gin literal, reference or macro."""
    name, equals, value = binding.partition('=')
    if not equals or not name.strip():
        raise ValueError(f'expected a binding such as TRAIN_STEPS=100, got {binding!r}')
    value = value.strip()
    if not REFERENCE.match(value):
        try:
            if isinstance(ast.literal_eval(value), tuple):
                value = f'({value})'  # gin reads none without parentheses
        except (ValueError, SyntaxError, MemoryError, RecursionError):  # of what is nested deep
            value = repr(value)
    return f'{name.strip()} = {value}'
