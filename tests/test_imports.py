"""The data flows one way, and the folders show it: a room imports lower rooms only. Light modules stay
light.
"""

import ast
import importlib.metadata
import pathlib
import re
import subprocess
import sys

import pytest

import flanlite
from flanlite.data.specs import registry

PACKAGE = pathlib.Path(flanlite.__file__).parent
# The rooms in the order of the data's way, from the ground up; a room imports lower ones only.
ROOMS = [
    '', 'metrics', 'data.specs', 'data.tokens', 'data.rendering', 'data.mixing', 'data.seqio_bridge', 'data.cache', 'data.batches', 'data',
    'mesh', 'model.attention', 'model', 'training', 'report', 'eval', 'cli',
]  # fmt: skip
GROUND = {  # modules beside the rooms that all may import
    'checksums', 'config', 'limits', 'paths', 'progress', 'reading', 'sandbox', 'version', 'workers', 'writing',
}  # fmt: skip
TOP = {'__init__', '__main__', 'api'}  # modules beside the rooms that may import all


def modules() -> dict[str, pathlib.Path]:
    """Find every module by its name below flanlite; collections are users of the package."""
    found = {
        '.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path
        for path in sorted(PACKAGE.rglob('*.py'))
    }
    return {
        name: path for name, path in found.items() if not name.startswith('mixtures.') and path.stat().st_size
    }


def room_of(name: str) -> str:
    return name.rpartition('.')[0]


def imported(path: pathlib.Path) -> set[str]:
    """Name the modules that a file imports, wherever in it: 'data.specs.specs'."""
    known, found = modules(), set()
    for name in every_import(path):
        inside = name.removeprefix('flanlite').removeprefix('.') if name.startswith('flanlite') else None
        if inside is not None:
            found.add(inside if inside in known else inside.rpartition('.')[0] or '__init__')
    return found & set(known)


def every_import(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return names


def test_every_folder_is_a_room():
    assert {room_of(name) for name in modules()} == set(ROOMS), (
        'add a new room to ROOMS, where it stands in the order, and to docs/design.md'
    )


@pytest.mark.parametrize('room', ROOMS)
def test_rooms_import_lower_rooms_only(room):
    wrong = []
    for name, path in modules().items():
        if room_of(name) == room and name not in TOP:
            for other in imported(path):
                higher = ROOMS.index(room_of(other)) > ROOMS.index(room)
                if higher or other in TOP or (room == '' and other not in GROUND):
                    wrong.append(f'{name} imports {other}')
    assert not wrong


def test_no_modules_import_each_other():
    """Not even within a room: an import that waits inside a function would hide it."""
    edges = {name: imported(path) for name, path in modules().items() if name not in TOP}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, ' -> '.join((*above[above.index(name) :], name))
        if name not in done:
            for other in edges.get(name, ()):
                visit(other, (*above, name))
            done.add(name)

    for name in edges:
        visit(name, ())


def test_only_the_command_line_knows_gin():
    """A value made in Python is the same whatever gin holds."""
    gin_users = {
        name
        for name, path in modules().items()
        if any(each.partition('.')[0] == 'gin' for each in every_import(path))
    }
    assert {room_of(name) for name in gin_users} == {'cli'}


def test_every_package_that_is_imported_is_asked_for():
    if not (PACKAGE.parent / 'setup.py').exists():
        pytest.skip('needs a checkout with setup.py')
    constants = [
        node.value
        for node in ast.walk(ast.parse((PACKAGE.parent / 'setup.py').read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    required = {found[1] for each in constants if (found := re.match(r'([\w-]+)(\[.*\])?[<>]', each))}
    files = [path for folder in (PACKAGE, PACKAGE.parent / 'mixtures') for path in folder.rglob('*.py')]
    used = {name.partition('.')[0] for path in files for name in every_import(path)}
    distributions = importlib.metadata.packages_distributions()  # of what is installed
    missing = {
        name
        for name in used - set(sys.stdlib_module_names) - {'flanlite'}
        if not {normal(each) for each in distributions.get(name, [name])} & set(map(normal, required))
    }
    assert not missing


def normal(distribution: str) -> str:
    return distribution.lower().replace('_', '-')


def test_the_public_names_are_where_they_are_said_to_be():
    tree = ast.parse((PACKAGE / '__init__.py').read_text())
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {
        alias.name: node.module.removeprefix('flanlite.') for node in checked.body for alias in node.names
    }
    assert typed == flanlite.HOMES
    assert all(
        getattr(flanlite, name).__module__.removeprefix('flanlite.') == module
        for name, module in flanlite.HOMES.items()
    )


HEAVY = ('jax', 'tensorflow', 'seqio', 'orbax', 'rouge_score', 'sacrebleu')


def heavy_after(code: str) -> set[str]:
    probe = f'{code}\nimport sys\nprint(" ".join(m for m in {HEAVY} if m in sys.modules))'
    return set(
        subprocess.run(
            [sys.executable, '-c', probe], capture_output=True, text=True, check=True
        ).stdout.split()
    )


COLLECTIONS = [f'flanlite.mixtures.{name}' for name in registry.builtin_names()]
LIGHT = ['flanlite', 'flanlite', 'flanlite.data.mixing.mixtures', *COLLECTIONS]


@pytest.mark.parametrize('module', LIGHT)
def test_light_imports_stay_light(module):
    assert heavy_after(f'import {module}') == set()


def test_gin_folder_is_no_package():
    assert not list((PACKAGE.parent / 'gin').rglob('*.py')), 'a package named gin would shadow gin-config'
