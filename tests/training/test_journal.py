import pytest

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
