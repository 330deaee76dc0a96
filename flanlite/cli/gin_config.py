"""gin files and bindings in, values out: the only place that reads gin. Every mistake is one line with the
closest valid names.

gin builds a value by T5X's convention: `train.config = @TrainConfig()` and `TrainConfig.data = @DataConfig()`
name the parts, and `DataConfig.batch_size = %BATCH_SIZE` fills a field from a macro. Each class of values is
made known to gin here. The classes know nothing of gin, so that a value made in Python is the same whatever
gin holds.
"""

import ast
import contextlib
import difflib
import functools
import inspect
import io
import logging
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import gin

from flanlite.config import (
    SHOWN,
    TYPES,
    annotations,
    check_kind,
    closest,
    made_from,
    misfit,
    readers,
    to_lines,
)
from flanlite.paths import at_home

REFERENCE = re.compile(r'[%@][A-Za-z_]|[\[({].*[%@][A-Za-z_]')  # how a value begins that names others
MISSING = 'No values supplied by Gin'
# The class of what gin builds for a command, `<command>.config`.
COMMANDS = {
    'train': 'TrainConfig',
    'loco': 'SweepConfig',
    'ablate': 'AblationConfig',
    'conflict': 'ConflictConfig',
    'mix': 'MixConfig',
    'transfer': 'TransferConfig',
    'fewshot': 'FewShotConfig',
    'evaluate': 'EvalConfig',
}
OPEN: list[str] = []  # the gin files that are being read, each included by the one before
VALUES: dict[str, type] = {}  # the classes of values, by what gin calls them
# Settings of earlier versions whose names have changed, as words that no likeness of names would find: what
# to say of them.
RENAMED = {
    'loco.clusters': 'SweepConfig.held_out',
    'loco.only': 'SweepConfig.held_out',
    'loco.models': 'SweepConfig.systems',
    'model.config': 'MODEL',
    'train.style': 'DataConfig.style',
    'evaluate_checkpoint.checkpoint': 'EvalConfig.checkpoint',
    'few_shot.seed': 'Shots.seed',
    'Profiler.steps': 'RecordsConfig.profile_steps',
}


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


@functools.cache
def register_mixtures() -> None:
    """Make known to gin what a mixture is made of; imports neither JAX nor TensorFlow."""
    from flanlite.data.mixing.mixtures import MixtureConfig, schemas
    from flanlite.data.mixing.stages import Stage
    from flanlite.data.rendering.fewshot import Shots
    from flanlite.data.specs.prompt_mix import PromptMix

    for kind in (MixtureConfig, Stage, Shots, PromptMix, schemas):
        configurable(kind, kind.__name__)


@functools.cache
def register() -> None:
    """Make every class of values known to gin, which imports all that runs them."""
    from flanlite.data.config import DataConfig
    from flanlite.eval.ablation import AblationConfig
    from flanlite.eval.conflict import ConflictConfig
    from flanlite.eval.evaluate import EvalConfig
    from flanlite.eval.evaluator import ScoringConfig
    from flanlite.eval.few_shot import FewShotConfig
    from flanlite.eval.generate import Decoding
    from flanlite.eval.mix import MixConfig
    from flanlite.eval.robustness import RobustnessConfig
    from flanlite.eval.sweep import SweepConfig
    from flanlite.eval.transfer_config import TransferConfig
    from flanlite.mesh.partitioning import MeshConfig
    from flanlite.model import kinds
    from flanlite.model.rotary import RotaryConfig
    from flanlite.training import optimizers, schedules
    from flanlite.training.bandit import BanditConfig
    from flanlite.training.checkpoints import CheckpointConfig
    from flanlite.training.config import RecordsConfig, TrainConfig
    from flanlite.training.step import StepConfig
    from flanlite.training.weights_biases import WandbConfig

    comparisons = (SweepConfig, AblationConfig, ConflictConfig, MixConfig, TransferConfig, FewShotConfig)
    runs = (TrainConfig, *comparisons, EvalConfig)
    parts = (
        RobustnessConfig,
        BanditConfig,
        DataConfig,
        StepConfig,
        MeshConfig,
        CheckpointConfig,
        RecordsConfig,
        WandbConfig,
        ScoringConfig,
        Decoding,
    )
    register_mixtures()
    for kind in (*runs, *parts, kinds.FromCheckpoint, *kinds.KINDS, RotaryConfig, *kinds.ADAPTERS):
        configurable(kind, kind.__name__)
    for name, kind in (optimizers.GIN_NAMES | schedules.GIN_NAMES).items():
        # T5X's gin files call the learning rate utils.create_learning_rate_scheduler.
        configurable(kind, name, 'flanlite.utils' if name.startswith('create_') else 'flanlite')
    with gin.unlock_config():
        for command in COMMANDS:
            gin.external_configurable(lambda config: config, name=command, module='flanlite')


def configurable(kind: type, name: str, module: str = 'flanlite') -> None:
    """Make a class known to gin by a function that calls it: gin would else change the class itself."""

    def make(**fields: Any) -> Any:
        return kind(**fields)

    make.__signature__ = inspect.signature(kind)
    VALUES[f'{module}.{name}'] = kind
    with gin.unlock_config():  # a command may register more once its bindings were read
        gin.external_configurable(make, name=name, module=module)


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
    (register_mixtures if mixtures_only else register)()
    own = gin_root()
    for path in (*search_paths, str(own), str(own.parent)):
        gin.add_config_file_search_path(path)
    with one_line_errors():
        for name in modules:
            gin.parse_config(f'import {name}')
        for file in files:
            gin.parse_config_file(file)
        in_files = macros()
        for binding in bindings:
            gin.parse_config(quote_binding(binding))
        check_macros(in_files | set(known_macros))
        check_cycles()
        check_types()
        make_paths_absolute()
        gin.finalize()


def build(name: str, /, **fields: Any) -> Any:
    """Build what gin calls `name`: a class of values, or a command's `config`; fields that are given here go
    before gin's.

    Raises:
        ValueError: gin lacks a value, or the value refuses what gin says.
    """
    (register_mixtures if name == 'MixtureConfig' else register)()
    if name in COMMANDS and 'config' not in gin.get_bindings(
        f'flanlite.{name}', resolve_references=False, inherit_scopes=False
    ):
        raise ValueError(
            f'the gin files say nothing of {name}.config; expected one that includes gin/{name}.gin, as '
            'files in gin/runs do'
        )
    try:
        built = gin.get_configurable(f'flanlite.{name}')(**fields)
        if name in COMMANDS:
            check_kind(built, TYPES[COMMANDS[name]], f'{name}.config')
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
        if not what.isupper() and what not in COMMANDS and what not in TYPES:
            known = (*COMMANDS, *sorted(TYPES), 'the name of a macro, such as MODEL')
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
    return found.scoped_configurable_fn() if is_reference(found) else found


def set_fields(name: str) -> dict[str, Any]:
    """Return the fields that gin sets of a class of values, without its defaults."""
    register()
    return dict(gin.get_bindings(f'flanlite.{name}'))


def model_fields() -> dict[str, Any]:
    """Return the fields that gin sets of the model that MODEL names, or of a T5 where nothing does."""
    model = macro('MODEL', None)
    return set_fields('T5Config' if model is None else type(model).__name__)


def is_reference(found: object) -> bool:
    """Return whether a binding refers to a configurable or macro."""
    return isinstance(found, gin.config.ConfigurableReference)


def macros() -> set[str]:
    """Name the macros that are bound or used."""
    return bound_macros() | used_macros()


def bound_macros() -> set[str]:
    """Name the macros that have a value."""
    # Gin has no public list.
    return {name for name, selector in gin.config._CONFIG if selector == 'gin.macro'}


def used_macros() -> set[str]:
    """Name the macros that a value refers to."""
    found = (reference.scoped_selector for reference in gin.config.iterate_references(gin.config._CONFIG))
    return {name.removesuffix('/gin.macro') for name in found if name.endswith('/gin.macro')}


def check_macros(known: set[str]) -> None:
    """Refuse a macro that nothing uses: it is a misspelt one, and gin would pass over it in silence."""
    bound, used = bound_macros(), used_macros()
    for name in sorted(bound):
        if name not in used | known:
            raise ValueError(
                f'nothing uses the macro {name!r}; {closest(name, sorted(used | known))}'
                f'the macros here are {", ".join(sorted(used | known)) or "none"}'
            )
    for name in sorted(used - bound):
        raise ValueError(
            f'the macro {name!r} has no value; give one with --gin.{name}=VALUE or in a gin file'
        )


def check_cycles() -> None:
    """Refuse a macro or class of values whose settings lead back to itself: gin would follow them without
    end.
    """
    whole: set[tuple[str, str]] = set()  # of what is all that it leads to known, and no cycle

    def visit(key: tuple[str, str], above: tuple[tuple[str, str], ...]) -> None:
        if key in above:
            names = [
                scope if selector == 'gin.macro' else selector.rpartition('.')[2]
                for scope, selector in (*above[above.index(key) :], key)
            ]
            raise ValueError(f'{names[0]!r} is bound to itself: {" = ".join(names)}; expected a value')
        if key not in whole:
            for reference in gin.config.iterate_references(gin.config._CONFIG.get(key, {})):
                visit(reference.config_key, (*above, key))
            whole.add(key)

    for key in list(gin.config._CONFIG):  # gin has no public list
        visit(key, ())


def check_types() -> None:
    """Refuse a value that is bound to a parameter annotated as something else, by the name of the macro where
    it came through one.
    """
    for (_, selector), bound in gin.config._CONFIG.items():  # gin has no public list
        expected = annotations_of(selector)
        for name, value in bound.items():
            through, value = followed(value)
            annotation = expected.get(name, Any)
            named = through[-1] if through else f'{selector.rpartition(".")[2]}.{name}'
            if is_reference(value) and not value.evaluate and value.configurable.selector in VALUES:
                raise ValueError(
                    f'{named} is @{value.selector}, which is not called; expected @{value.selector}()'
                )
            if not references(value := without_macros(value)) and (wrong := misfit(named, value, annotation)):
                raise ValueError(wrong)


def references(value: Any) -> list[Any]:
    """Return the references to macros and configurables in a bound value."""
    return list(gin.config.iterate_references(value))


def without_macros(value: Any) -> Any:
    """Return a bound value with what macros hold in their place, in lists and dictionaries too."""
    value = followed(value)[1]
    if isinstance(value, list | tuple):
        return type(value)(map(without_macros, value))
    if isinstance(value, dict):
        return {name: without_macros(each) for name, each in value.items()}
    return value


def annotations_of(selector: str) -> dict[str, Any]:
    """Return the annotations of a configurable's parameters; none for a macro, which holds anything."""
    if selector == 'gin.macro':
        return {}
    if selector in VALUES:
        return annotations(VALUES[selector])
    parameters = inspect.signature(gin.get_configurable(selector)).parameters
    return {name: parameter.annotation for name, parameter in parameters.items()}


def followed(value: Any) -> tuple[list[str], Any]:
    """Return the macros that a bound value comes through, and what the last of them holds."""
    through: list[str] = []
    while is_reference(value) and value.scoped_selector.endswith('/gin.macro'):
        through.append(value.scoped_selector.removesuffix('/gin.macro'))
        value = gin.query_parameter(f'%{through[-1]}')
    return through, value


def make_paths_absolute() -> None:
    """Bind the paths in values to their absolute forms, so that `resolved` means the same in any folder."""
    for (scope, selector), bound in list(gin.config._CONFIG.items()):  # gin has no public list
        for name, read in readers(VALUES[selector]).items() if selector in VALUES else ():
            through, value = followed(bound.get(name))
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
            ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):  # of what is nested deep
            value = repr(value)
    return f'{name.strip()} = {value}'


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn gin's errors into one-line `ValueError`s with the closest valid names."""
    # Gin logs each folder where an include is not.
    logging.getLogger().disabled, quiet = (
        True,
        logging.getLogger().disabled,
    )
    try:
        yield
    except Exception as error:  # what is in the file decides which: it may also import anything
        raise ValueError(explain(error)) from error
    finally:
        logging.getLogger().disabled = quiet


def explain(error: Exception) -> str:
    """Explain in one line what is wrong in a gin file or binding."""
    lines = str(error).splitlines() or [type(error).__name__]
    message = ' '.join(lines[0].split())
    if isinstance(error, ImportError):
        message += '; a module that a gin file imports must be in the working folder or on PYTHONPATH'
    if isinstance(error, SyntaxError) and error.text:
        message += f': {error.text.strip()[:SHOWN]}; a text that begins as other values do stands in quotes'
    where = next((line.strip() for line in lines[1:] if 'In file' in line), '').rstrip(':')
    if isinstance(error, SyntaxError) and error.filename and str(error.filename) not in message:
        where = f'in file "{error.filename}", line {error.lineno}'
    if found := re.search(r"No configurable matching (?:reference )?'@?([\w./]+)", message):
        bound = re.search(rf'\b{re.escape(found[1])}\.(\w+)', ' '.join(lines))
        hint = (
            elsewhere(found[1], bound[1] if bound else '') or 'a function of your own needs @gin.configurable'
        )
        message = f'gin knows nothing named {found[1]!r}; {hint}'.rstrip('; ')
    elif found := re.search(r"Configurable '([\w./]+)' doesn't have a parameter named '(\w+)'", message):
        name = found[1].rpartition('.')[2]
        parameters = list(inspect.signature(gin.get_configurable(found[1])).parameters)
        hint = (
            elsewhere(name, found[2])
            if parameters == ['config']
            else closest(found[2], parameters) or elsewhere(name, found[2])
        )
        message = f'{name!r} has no parameter {found[2]!r}; {hint}its parameters are {", ".join(parameters)}'
    elif found := re.search(r"No bindings specified for '([\w./]+)/gin.macro'", message):
        message = (
            f'the macro {found[1]!r} has no value; give one with --gin.{found[1]}=VALUE or in a gin file'
        )
    elif found := re.search(r'Required bindings for `(\w+)` not provided in config: (.*)', message):
        message = f'{found[1]!r} needs a value for {found[2]}'
    elif found := re.search(r'Unable to open file: ([^ ]+)\.', message):
        message = f'no gin file {found[1]!r} to include'
    return f'{message} ({where[0].lower()}{where[1:]})' if where else message


def elsewhere(name: str, parameter: str) -> str:
    """Suggest what was meant by `name.parameter`, where nothing is named so: by the name, else by the
    parameter, whosever it is.
    """
    if known := RENAMED.get(f'{name}.{parameter}'):
        return f'did you mean {known}? '
    register()
    owners = {
        selector.rpartition('.')[2]: set(inspect.signature(gin.get_configurable(selector)).parameters)
        for selector in gin.config._REGISTRY._selector_map  # gin has no public list
        if not selector.startswith('gin.')
    }
    alike = difflib.get_close_matches(name, owners, n=3, cutoff=0.5)
    having = [owner for owner in owners if parameter in owners[owner] and owner != name]
    if found := [owner for owner in alike if owner in having] or sorted(having):
        return f'did you mean {" or ".join(f"{owner}.{parameter}" for owner in found)}? '
    return closest(name, owners) if name not in owners else ''
