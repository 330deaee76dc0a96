import subprocess
import sys

import pytest

from flanlite.report import collected
from flanlite.training import journal

RECORD = {'loss': 0.58184, 'accuracy': 0.854, 'learning_rate': 2.77e-03, 'tokens_per_second': 1_234_685.0, 'mfu': 0.41, 'seconds_per_step': 0.769}  # fmt: skip


def written(folder, title):
    records = journal.Journal(folder, title, 0, 250_000)
    records.write({'step': 130_000, **RECORD})
    records.write({'step': 130_000, 'eval_loss': 0.6})
    records.close()


@pytest.mark.parametrize('columns', [80, 100])
def test_live_bar_is_one_line_of_the_terminal(tmp_path, capsys, monkeypatch, columns):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', str(columns))
    written(tmp_path, 'flan2021_held_out_reading_comprehension')
    lines = [line for line in capsys.readouterr().out.splitlines() if 'loss 0.5818' in line]
    assert lines and all('step 130000/250000' in line and '25:38:00 left' in line for line in lines)
    assert all('━' in line for line in lines), 'with a bar'


def test_lines_without_a_terminal(tmp_path, capsys):
    written(tmp_path, 'pocket')
    assert capsys.readouterr().out.splitlines() == [
        'pocket: step 130000/250000  loss 0.5818  accuracy 0.854  25:38:00 left  1,234,685 tokens/s, MFU 41.0%  lr 2.77e-03',
        'pocket: step 130000/250000  eval_loss 0.6000',
    ]


def test_lines_that_are_no_records_are_left_out_and_told(tmp_path, capsys):
    path = tmp_path / journal.METRICS
    good = b'{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.0}\n'
    bad = b'{"loss": 1}\n\xff\xfe{}\n[1]\n{"step": "3"}\n{"step": true}\n' + b'[' * 100_000 + b'\n'
    path.write_bytes(good + bad + b'{"step": 3, "lo')
    assert [record['step'] for record in journal.read_metrics(tmp_path)] == [1, 2]
    assert journal.read_metrics(tmp_path) and collected.read_curves(tmp_path) == {
        'loss': [(1, 2.5), (2, 2.0)]
    }
    assert capsys.readouterr().err == (
        f'{path}: 6 lines are no records, objects with a whole number "step", and are left out\n'
    )
    journal.Journal(tmp_path, 'toy', 1, 3).close()
    assert path.read_text() == '{"step": 1, "loss": 2.5}\n'
    path.write_text('{"step": 1, "loss": null}\n{"step": 2, "loss": "x"}\n')
    assert collected.read_curves(tmp_path) == {}


def test_a_run_goes_on_when_nobody_reads_its_lines(tmp_path):
    code = """
import sys
from flanlite.training.journal import Journal
records = Journal(sys.argv[1], 'toy', 0, 9)
sys.stdin.readline()  # the pipe is closed
for step in (1, 2):
    records.say('a line')
    print('of others', flush=True)
    records.write({'step': step})
records.close()
"""
    process = subprocess.Popen(
        [sys.executable, '-c', code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.close()
    process.stdin.write(b'closed\n')
    process.stdin.close()
    assert process.wait(60) == 0
    assert len(journal.read_metrics(tmp_path)) == 2
