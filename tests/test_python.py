"""The pages for Python and on adapters, run as they stand."""

import json
import pathlib
import re
import subprocess
import sys

import pytest
from rich.table import Table

import flanlite
from flanlite.cli.console import CONSOLE
from flanlite.progress import BuildProgress

DOCS = pathlib.Path(__file__).parents[1] / 'docs'


def blocks(page, language):
    return re.findall(rf'```{language}\n(.*?)```', (DOCS / page).read_text(encoding='utf-8'), re.DOTALL)


def test_the_page_runs_from_top_to_bottom(tmp_path):
    code = '\n'.join(blocks('python.md', 'python'))
    (tmp_path / 'page.py').write_text(code, encoding='utf-8')
    done = subprocess.run([sys.executable, 'page.py'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "soup_reviews 0 'cold soup, table 0\\n\\nHow was it?" in done.stdout
    assert "('tuned', 'sentiment', 'soup_reviews'," in done.stdout
    assert (tmp_path / 'runs' / 'soup_loco' / 'report.html').is_file()
    losses = [
        (tmp_path / 'runs' / name / 'metrics.jsonl').read_text().splitlines()[-1].partition('"tokens')[0]
        for name in ('soup', 'soup_again')
    ]
    assert losses[0] == losses[1]


def test_the_page_on_adapters_runs(tmp_path):
    commands = []
    for language, text in blocks('adaptation.md', '(python|sh)'):
        if language == 'python':
            commands.append(['-c', f'import flanlite\n{text}'])
        else:
            lines = [line.removeprefix('flanlite ').split() for line in text.splitlines()]
            commands += [['-m', 'flanlite', *line] for line in lines]
    for command in commands:
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / 'my_adapter' / 'eval' / 'pocket-test' / 'report.html').is_file()
    tried = json.loads((tmp_path / 'less' / 'arithmetic.json').read_text())['scales']
    assert [row['scale'] for row in tried] == [0.0, 0.5, 1.0]


def test_importing_is_quick_and_a_misspelt_name_is_refused_with_the_closest():
    code = 'import sys, flanlite; print(sorted({"jax", "numpy", "tensorflow"} & set(sys.modules)))'
    assert (
        subprocess.run(
            [sys.executable, '-c', code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == '[]'
    )
    with pytest.raises(AttributeError, match='did you mean TrainConfig'):
        flanlite.TrainConfg  # noqa: B018


@pytest.mark.parametrize(
    ('model', 'data', 'message'),
    [
        (3, 'pocket', 'got 3 as a model'),
        ('runs/any', None, 'nothing to score it on'),
        (pathlib.Path('nowhere'), 'pocket', 'no checkpoint at .*nowhere'),
    ],
)
def test_evaluate_says_what_it_expects(model, data, message):
    with pytest.raises(ValueError, match=message):
        flanlite.evaluate(model, data)


def test_a_build_tells_one_line_where_there_is_no_terminal(capsys):
    for total, lines in ((0, 0), (1, 1)):
        with BuildProgress('building', total) as progress:
            progress.advance(3, task=True)
        assert capsys.readouterr().err.count('\n') == lines


def test_names_are_printed_as_they_are(capsys):
    """To rich, `:x:` is a picture."""
    BuildProgress('mmlu:x:', 1).tell('[bbh:cat: none')
    CONSOLE.print(Table('bigbench:key:lock', title='mmlu:x:'))
    printed = capsys.readouterr()
    assert printed.err == 'mmlu:x:: [bbh:cat: none\n'
    assert 'bigbench:key:lock' in printed.out and 'mmlu:x:' in printed.out
