"""Mistakes in gin files and bindings, each as one line with the closest valid names: those that gin would
pass over, and those that it raises.
"""

import contextlib
import difflib
import inspect
import logging
import re
from collections.abc import Iterator
from typing import Any

import gin

from flanlite.cli import gin_names
from flanlite.config import SHOWN, closest, misfit

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

SYNTAX = 'expected NAME = VALUE with one value, and a text that begins as other values do in quotes'


def check_macros(known: set[str]) -> None:
    """Refuse a macro that nothing uses: it is a misspelt one, and gin would pass over it in silence."""
    bound, used = gin_names.bound_macros(), gin_names.used_macros()
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
    for (scope, selector), bound in gin.config._CONFIG.items():  # gin has no public list
        expected = gin_names.annotations_of(selector)
        for name, value in bound.items():
            through, value = gin_names.followed(value)
            annotation = expected.get(name, Any)
            own = scope if selector == 'gin.macro' else f'{selector.rpartition(".")[2]}.{name}'
            named = through[-1] if through else own
            uncalled = gin_names.is_reference(value) and not value.evaluate
            if uncalled and value.configurable.selector in gin_names.VALUES:
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
    value = gin_names.followed(value)[1]
    if isinstance(value, list | tuple):
        return type(value)(map(without_macros, value))
    if isinstance(value, dict):
        return {name: without_macros(each) for name, each in value.items()}
    return value


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
        ours = error.msg.startswith(('Expected', 'Unable to parse', "Couldn't parse"))  # gin's, else Python's
        line = ' '.join(error.text.split())
        message = f'{SYNTAX if ours else message}: {line[:SHOWN]}'
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
    gin_names.register()
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
