"""The rows of benchmarks/gpu.py, with tiny sizes on the CPU: a borrowed GPU is no place to find out that one fails."""

import importlib.util
import json
import pathlib

import pytest

FILE = pathlib.Path(__file__).parents[1] / 'benchmarks' / 'gpu.py'


@pytest.mark.parametrize(
    ('kind', 'row', 'figure'),
    [
        ('check', {'way': 'blockwise'}, 'right'),
        ('train', {'model': 'T5 base', 'way': 'xla'}, 'tokens_a_second'),
        ('train', {'model': 'Llama 3.2 1B', 'way': 'blockwise'}, 'tokens_a_second'),
        ('rank', {'model': 'T5 base', 'way': 'xla'}, 'options_a_second'),
    ],
)
def test_a_row_tells_its_figures(kind, row, figure, capsys):
    spec = importlib.util.spec_from_file_location('gpu', FILE)
    gpu = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(gpu)
    gpu.KINDS[kind](**row, tiny=True)
    told = [line.removeprefix(gpu.MARK) for line in capsys.readouterr().out.splitlines() if line[:1] == gpu.MARK]
    found = {name: value for line in told for name, value in json.loads(line).items()}
    assert found[figure] > 0 and 'error' not in found
