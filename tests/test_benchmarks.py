"""Benchmarks name what there is, and the rows of benchmarks/gpu.py run, with tiny sizes on the CPU: a borrowed GPU
is no place to find out that one does not.
"""

import ast
import importlib
import importlib.util
import json
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / 'benchmarks'


def missing(tree):
    """Return the names that a file takes from flanlite, or from its modules, and that are not there."""
    modules, found, nodes = {}, [], list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or '').split('.')[0] == 'flanlite':
            source = importlib.import_module(node.module)
            for name in node.names:
                part = f'{node.module}.{name.name}'
                if hasattr(source, '__path__') and importlib.util.find_spec(part):
                    modules[name.asname or name.name] = importlib.import_module(part)
                elif not hasattr(source, name.name):
                    found.append(part)
    own = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    own |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id) if node.value.id not in own else None
            if module and not hasattr(module, node.attr):
                found.append(f'{node.value.id}.{node.attr}')
    return found


@pytest.mark.parametrize('file', sorted(FOLDER.glob('*.py')), ids=lambda file: file.stem)
def test_a_benchmark_names_what_there_is(file):
    assert missing(ast.parse(file.read_text())) == []


def test_a_name_that_is_not_there_is_found():
    code = 'from flanlite.model import models, nothing\nfrom flanlite.cli.main import no\nmodels.bind, models.bound'
    assert missing(ast.parse(code)) == ['flanlite.model.nothing', 'flanlite.cli.main.no', 'models.bound']


PEER = {'rows': 2, 'layers': None}


@pytest.mark.parametrize(
    ('kind', 'row', 'figure'),
    [
        ('check', {'way': 'blockwise'}, 'right'),
        ('train', {'model': 'T5 base', 'way': 'xla'}, 'tokens_a_second'),
        ('train', {'model': 'Llama 3.2 1B', 'way': 'blockwise'}, 'tokens_a_second'),
        ('rank', {'model': 'T5 base', 'way': 'xla'}, 'options_a_second'),
        ('peer', {'what': 'train', 'model': 'Llama 3.2 1B', **PEER}, 'tokens_a_second'),
        ('peer', {'what': 'rank', 'model': 'T5 base', **PEER}, 'options_a_second'),
    ],
    ids=['check', 'T5', 'Llama', 'rank', 'transformers', 'rank, transformers'],
)
def test_a_row_on_a_gpu_tells_its_figures(kind, row, figure, capsys, monkeypatch):
    if kind == 'peer':
        pytest.importorskip('transformers', reason="needs transformers: pip install 'flanlite[hf]'")
        pytest.importorskip('torch', reason='needs torch')
    monkeypatch.syspath_prepend(FOLDER)
    gpu = importlib.import_module('gpu')
    gpu.KINDS[kind](**row, tiny=True)
    told = [
        line.removeprefix(gpu.MARK) for line in capsys.readouterr().out.splitlines() if line[:1] == gpu.MARK
    ]
    found = {name: value for line in told for name, value in json.loads(line).items()}
    assert found[figure] > 0 and 'error' not in found
