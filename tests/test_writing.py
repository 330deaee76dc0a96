"""Nothing of the user's is overwritten, emptied or half-written, and errors name the user's path."""

import errno
import io
import json
import os
import stat
import sys

import numpy as np
import pytest

from flanlite import writing
from flanlite.cli import main as cli
from flanlite.eval import infer
from flanlite.report import paired, results
from flanlite.training import soft_prompts

BASE = 'mixtures/pocket/assets/base.safetensors'


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / 'answers'
    path.write_text('before')
    path.chmod(0o600)
    with pytest.raises(KeyError), writing.whole_file(path) as file:
        file.write('half')
        raise KeyError
    assert path.read_text() == 'before' and list(tmp_path.iterdir()) == [path]
    link = tmp_path / 'link'
    link.symlink_to(path)
    with writing.whole_file(link) as file:
        file.write('whole é')
    assert path.read_bytes() == 'whole é'.encode() and link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_errors_name_the_path_that_was_asked_for(tmp_path):
    for mode, name in (('w', 'a'), ('wb', 'b' * 250)):
        with (
            pytest.raises(OSError, match='No space left') as raised,
            writing.whole_file(tmp_path / name, mode),
        ):
            raise OSError(errno.ENOSPC, 'No space left on device')
        assert str(tmp_path / name) in str(raised.value) and str(os.getpid()) not in str(raised.value)
    missing = tmp_path / 'none' / 'a.npy'
    with pytest.raises(OSError) as raised:
        soft_prompts.write(missing, {'one': np.zeros((1, 2))})
    assert str(raised.value).startswith(f'cannot write {missing}: No such file or directory; make its folder')
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_wrote_meanwhile_stays(tmp_path):
    with pytest.raises(OSError, match='out: Directory not empty; something else was written there meanwhile'):
        with writing.whole_folder(tmp_path / 'out') as folder:
            (folder / 'a').write_text('mine')
            (tmp_path / 'out').mkdir()
            (tmp_path / 'out' / 'a').write_text('theirs')
    assert [file.read_text() for file in tmp_path.rglob('a')] == ['theirs']


@pytest.mark.parametrize('there', [False, True])
def test_a_folder_is_whole_or_not_there(there, tmp_path):
    path = tmp_path / 'out'
    if there:
        path.mkdir()
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(KeyError), writing.whole_folder(path) as folder:
        (folder / 'a').write_text('a')
        raise KeyError
    assert sorted(tmp_path.rglob('*')) == before
    with writing.whole_folder(path) as folder:
        (folder / 'a').write_text('a')
    assert [file.name for file in path.iterdir()] == ['a']
    with pytest.raises(ValueError, match='out has a in it; expected a new or empty folder'):
        with writing.whole_folder(path):
            pass


@pytest.mark.parametrize(
    ('form', 'output'),
    [('huggingface', 'mine'), ('safetensors', 'mine/model.safetensors'), ('peft', 'mine'), ('npy', 'mine')],
)
def test_convert_replaces_nothing(form, output, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'model.safetensors').write_text('precious')
    argv = ['convert', f'--checkpoint={BASE}', f'--output={output}', f'--form={form}']
    assert cli.main(argv) == cli.USAGE_ERROR
    assert 'another' in capsys.readouterr().err
    assert [file.read_text() for file in (tmp_path / 'mine').iterdir()] == ['precious']


FOREIGN = ['report.html', 'results.json', 'report.md', 'settings.json', 'predictions/mine.txt', 'result.json']


@pytest.mark.parametrize('name', FOREIGN)
def test_a_report_replaces_nothing_of_others(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / 'mine' / name
    file.parent.mkdir(parents=True)
    file.write_text('{"precious": 1}')
    before = sorted(tmp_path.rglob('*'))
    commands = [
        ['eval', f'--checkpoint={BASE}', '--mixture=pocket_reviews', '--output=mine', '--max_rows=1'],
        ['loco', '--gin_file=gin/runs/pocket.gin', '--model_dir=mine'],
        ['conflict', '--gin_file=gin/runs/pocket_conflict.gin', '--model_dir=mine'],
        ['transfer', '--gin_file=gin/runs/pocket_transfer.gin', '--model_dir=mine'],
    ]
    if name == 'settings.json':
        commands.append(['train', '--gin_file=gin/runs/pocket_train.gin', '--model_dir=mine'])
    for command in commands[: 1 if name == 'result.json' else None]:
        assert cli.main(command) == cli.USAGE_ERROR, command
        assert file.name in (error := capsys.readouterr().err) and 'mine' in error
    assert sorted(tmp_path.rglob('*')) == before and file.read_text() == '{"precious": 1}'


def test_folders_of_flanlite_are_written_again(tmp_path):
    (tmp_path / 'report.html').write_text('an earlier one')
    with pytest.raises(ValueError, match=r'report\.html'):
        results.check_own(tmp_path, 'name another')
    (tmp_path / 'settings.json').write_text('{"type": "TransferConfig"}')
    results.check_own(tmp_path, 'name another')
    (tmp_path / 'comparison.md').write_text('x')
    with pytest.raises(ValueError, match=r'comparison\.md, which flanlite did not write'):
        paired.check_own(tmp_path, 'name another')
    (tmp_path / 'comparison.json').write_text('{"rows": [], "notes": []}')
    paired.check_own(tmp_path, 'name another')


@pytest.mark.parametrize(
    ('flags', 'lines', 'words'),
    [
        ([], '{"inputs": "a"}\n' * 600 + '{"inp": 3}\n', ['line 601 of q.jsonl', '"inputs"']),
        ([], '{"inputs": "a", "inputs": "b"}\n', ['line 1 of q.jsonl', "'inputs' twice"]),
        ([], '{"inputs": "a", "x": 1e999}\n', ['line 1 of q.jsonl', '1e999']),
        ([], '{"inputs": "a", "prompt": 3}\n', ['line 1 of q.jsonl', '"prompt"']),
        ([], '{"inputs": "' + 'good ' * 400_000 + '"}\n', ['line 1 of q.jsonl', 'tokens; expected at most 16,384', '--max_input_length']),
        (['--max_input_length=3'], '{"inputs": "a"}\n{"inputs": "a long text"}\n', ['line 2 of q.jsonl', 'at most 3']),
        (['--checkpoint=nowhere'], '{"inputs": "a"}\n', ['nowhere']),
        (['--output=q.jsonl'], '{"inputs": "a"}\n', ['both the input and the output']),
    ],
)  # fmt: skip
def test_yesterdays_answers_stay_where_todays_cannot_be_given(
    flags, lines, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'q.jsonl').write_text(lines)
    (tmp_path / 'answers.jsonl').write_text('yesterday')
    argv = [
        'infer',
        f'--checkpoint={BASE}',
        '--input=q.jsonl',
        '--output=answers.jsonl',
        '--cache_dir=../cache',
    ]
    assert cli.main([*argv, *flags]) == cli.USAGE_ERROR
    error = capsys.readouterr().err
    assert 'answered' not in error and all(word in error for word in words), error
    assert (tmp_path / 'answers.jsonl').read_text() == 'yesterday' and (
        tmp_path / 'q.jsonl'
    ).read_text() == lines
    assert len(list(tmp_path.iterdir())) == 2


def test_a_bad_line_of_standard_input_says_what_is_kept(tmp_path, monkeypatch, capsys):
    lines = '{"inputs": "a", "options": ["b", "c"]}\n'
    output = tmp_path / 'answers.jsonl'
    output.write_text('yesterday')
    for given, kept in ((str(output), f'are in {output}.unfinished'), ('-', 'are written')):
        monkeypatch.setattr(sys, 'stdin', io.StringIO(lines * 2 + 'bad\n'))
        with pytest.raises(ValueError, match='line 3 of standard input is no JSON') as raised:
            infer.infer(BASE, '-', given, lines_at_a_time=2, cache_dir=str(tmp_path / 'cache'))
        assert f'the answers to 2 lines before {kept}' in str(raised.value)
    assert output.read_text() == 'yesterday'
    assert [json.loads(line)['inputs'] for line in capsys.readouterr().out.splitlines()] == ['a', 'a']


@pytest.mark.parametrize('opened', [writing.whole_file, writing.whole_folder])
def test_jobs_of_one_process_number_do_not_meet(opened, tmp_path, monkeypatch):
    """As in containers, which share a folder and where each job is process 1."""
    monkeypatch.setattr(writing.os, 'getpid', lambda: 1)

    def put(made, text):
        (made / 'a').write_text(text) if opened is writing.whole_folder else made.write(text)

    def got():
        return (tmp_path / 'out' / 'a' if opened is writing.whole_folder else tmp_path / 'out').read_text()

    with pytest.raises(KeyError), opened(tmp_path / 'out') as first:
        put(first, 'first')
        with opened(tmp_path / 'out') as second:
            put(second, 'second')
        assert got() == 'second'
        raise KeyError
    assert got() == 'second' and len(list(tmp_path.iterdir())) == 1
    assert len(os.fsencode(writing.unfinished_name(tmp_path / ('\U0001f40c' * 63)))) < 255
