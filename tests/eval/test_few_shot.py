"""Few-shot tuning with several draws, on the toy collection."""

import json
import types

import pytest
import toyeval as toy

from flanlite.data.config import DataConfig
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.eval import few_shot
from flanlite.eval.few_shot import FewShotConfig
from flanlite.report import results
from flanlite.report.few_shot import FewShotReport
from flanlite.report.results import Result, TaskResult
from flanlite.report.scores import Summary
from flanlite.training.checkpoints import CheckpointConfig
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor


def settings(folder, **changes):
    mixture = MixtureConfig('toyeval', include=('toyeval_order', 'toyeval_copy'))
    train = TrainConfig(
        str(folder), DataConfig(mixture, toy.LENGTHS, 4), Adafactor(0.01), 2, toy.CONFIG, checkpoints=CheckpointConfig(every_steps=100)
    )  # fmt: skip
    return FewShotConfig(train, **{'examples': (3,), 'draws': (1, 2), 'max_rows': 4} | changes)


def test_each_task_is_tuned_on_each_draw(tmp_path, capsys):
    report = few_shot.few_shot(settings(tmp_path))
    assert [str(drawn) for drawn, _ in report.found] == [
        f'toyeval_{task}: 3 examples, draw {draw}' for task in ('order', 'copy') for draw in (1, 2)
    ]
    tables = {}
    for draw in (1, 2):
        manifest = json.loads((tmp_path / f'runs/toyeval_order/3-{draw}/manifest.json').read_text())
        (task,) = manifest['tasks']
        assert task == f'toyeval_order_3examples_seed{draw}' and manifest['tasks'][task]['num_examples'] == 3
        result = results.load(tmp_path / f'toyeval_order/3-{draw}' / results.RESULT)
        assert result.tasks[0].num_rows == 4 and (tmp_path / f'toyeval_order/3-{draw}/predictions').is_dir()
        tables[draw] = result.tasks[0].summary.mean
    cell = report.cells()['toyeval_order', 3]
    assert cell.mean == pytest.approx(sum(tables.values()) / 2) and cell.draws == 2
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert {(row['task'], row['metric']) for row in rows} == {
        ('toyeval_order', 'accuracy'), ('toyeval_copy', 'squad_exact_match'), ('toyeval_copy', 'squad_f1')
    }  # fmt: skip
    assert '| task | 3 examples |' in (tmp_path / 'report.md').read_text()
    capsys.readouterr()
    before = (tmp_path / 'toyeval_order/3-1' / results.RESULT).read_bytes()
    few_shot.few_shot(settings(tmp_path, draws=(1, 2, 5), examples=(3,)))
    printed = capsys.readouterr().out
    assert '[2 of 2' in printed and 'draw 1' not in printed, 'what is done is not done again'
    assert (tmp_path / 'toyeval_order/3-1' / results.RESULT).read_bytes() == before
    with pytest.raises(ValueError, match=r'holds results of other settings: max_rows was 4, now it is 5'):
        few_shot.few_shot(settings(tmp_path, max_rows=5))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'examples': ()}, r'examples is \(\); expected at least one'),
        ({'draws': (1, 1)}, r'draws is \(1, 1\); expected at least one, and each once'),
        ({'examples': (0,)}, 'examples'),
    ],
)
def test_settings_that_cannot_be(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, **changes)


def test_a_mixture_without_test_rows(tmp_path):
    config = settings(tmp_path)
    config = config.replace(**{'train.data.mixture': MixtureConfig('toyeval_pick')})
    with pytest.raises(
        ValueError,
        match=r"'toyeval_pick' has no data set with rows to train and to test on.*SeqIO's tasks have not",
    ):
        few_shot.few_shot(config)


def test_too_many_examples_are_told_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(few_shot, 'measure', lambda *_: pytest.fail('something is tuned'))
    with pytest.raises(ValueError, match='rows to train on; expected at least 2000000'):
        few_shot.few_shot(settings(tmp_path, examples=(3, 1_000_000)))
    assert not list(tmp_path.glob('settings*'))


def result(task, value):
    scores = {'template': 0, 'text': '', 'n': 10, 'scores': {'s1': value, 'exact_match': 0.0}}
    return Result(
        'run',
        'system',
        tasks=(TaskResult(task, '', '', 'span_sets', 'generate', 10, (scores,), Summary(*[value] * 7)),),
    )


def test_the_mean_and_its_deviation_are_those_of_clues():
    """T5-Large with 30 examples in the table of microsoft/CLUES: 43.1 ± 6.7."""
    published = {
        'sst': (52.3, 2.9),
        'mnli': (36.8, 3.8),
        'conll': (51.2, 0.1),
        'wikiann': (62.4, 0.6),
        'squad': (43.7, 2.7),
        'record': (12.0, 3.8),
    }
    found = []
    for task, (mean, sd) in published.items():
        for seed, value in enumerate((mean - sd, mean, mean + sd)):  # whose deviation (n - 1) is sd
            found.append((types.SimpleNamespace(task=task, examples=30, seed=seed), result(task, value)))
    report = FewShotReport(found)
    heading, *rows = report.table()
    assert heading == ['task', '30 examples'] and rows[0] == ['sst (s1)', '52.3 ± 2.9']
    assert rows[-1] == ['mean', '43.1 ± 6.7']
