"""What README.md says of data of one's own, line by line, from the rows to a report."""

import json
import pathlib
import re
import shlex
import sys

import pytest

import flanlite
from flanlite.cli import command
from flanlite.cli import main as cli
from flanlite.data.specs import registry

README = pathlib.Path(flanlite.__file__).parents[1] / 'README.md'


def test_data_of_ones_own(tmp_path, monkeypatch, capsys):
    if not README.is_file():
        pytest.skip('needs a checkout with README.md')
    section = re.search(r'## Use your own data\n(.*?)\n## ', README.read_text(encoding='utf-8'), re.DOTALL)[1]
    code, commands = re.findall(r'```(?:python|sh)\n(.*?)```', section, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(registry, 'COLLECTIONS', dict(registry.COLLECTIONS))
    pathlib.Path('my_reviews.py').write_text(code)
    folder = pathlib.Path('data/my_reviews')
    folder.mkdir(parents=True)
    for split in ('train', 'validation', 'test'):
        rows = [{'text': f'The soup of {split} day {i} was fine.', 'label': i % 2} for i in range(12)]
        (folder / f'{split}.jsonl').write_text(''.join(json.dumps(row) + '\n' for row in rows))
    for line in commands.splitlines():
        program, *argv = shlex.split(line)
        short = ['--gin.TRAIN_STEPS=11', '--gin.BATCH_SIZE=2'] if argv[0] == 'train' else []
        assert program == 'flanlite' and cli.main([*argv, *short]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert 'mine: 1 data set, 3 templates checked' in printed and 'inputs (' in printed
    assert pathlib.Path('runs/mine/eval/mine-test/report.html').is_file()
    # Without a checkpoint and its vocabulary, as the section says.
    words = re.search(r'`(--gin\.INITIAL_CHECKPOINT_PATH=None.*?)`', section)[1].split()
    train = next(shlex.split(line)[1:] for line in commands.splitlines() if ' train ' in line)
    config, _ = command.read_run(cli.parse([*train, *words]))
    assert (config.initial_checkpoint_path, config.data.vocabulary) == (None, 'bytes')
