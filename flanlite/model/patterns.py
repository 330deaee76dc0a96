"""Choose parameters by patterns: regular expressions that match whole names, such as `encoder/.*` or
`.*/relpos_bias/.*`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import optax

from flanlite import config
from flanlite.mesh.partitioning import parameter_name

Tree = Any


def matching(tree: Tree, patterns: Sequence[str]) -> Tree:
    """Return a tree of booleans: for each parameter, whether a pattern matches its name."""
    expressions = [compile_pattern(pattern) for pattern in patterns]
    return jax.tree.map_with_path(
        lambda path, _: any(each.fullmatch(parameter_name(path)) for each in expressions), tree
    )


def check(tree: Tree, patterns: Sequence[str]) -> None:
    """Raise a `ValueError` for a pattern that matches no parameter; name parameters with similar names."""
    # A parameter that optax masks is a parameter, too.
    held = jax.tree.leaves_with_path(tree, is_leaf=lambda leaf: isinstance(leaf, optax.MaskedNode))
    check_names([parameter_name(path) for path, _ in held], patterns, 'parameter')


def check_names(names: Iterable[str], patterns: Sequence[str], kind: str) -> None:
    """Raise a `ValueError` for a pattern that matches none of the names of things of a kind."""
    names = list(names)
    for pattern in patterns:
        if not any(compile_pattern(pattern).fullmatch(name) for name in names):
            hint = config.closest(pattern, names) or f'the {kind}s are {", ".join(names[:3])} ... '
            raise ValueError(
                f'the pattern {pattern!r} matches no {kind}; {hint}a pattern stands for whole names, as '
                'in encoder/.*'
            )


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern; raise a `ValueError` if it is no regular expression."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f'the pattern {pattern!r} is no regular expression: {error}; expected one such as encoder/.*'
        ) from error
