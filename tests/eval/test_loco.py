import json
import subprocess
import sys

import numpy as np
import pytest
import toyeval as toy

from flanlite import config
from flanlite.eval import contenders, loco, results
from flanlite.train import optimizers  # noqa: F401 (gin configures it below)

SETTINGS = [
    'train.train_steps=2', 'train.batch_size=8', 'train.optimizer=@adafactor()', 'adafactor.learning_rate=0.01',
    'CheckpointConfig.every_steps=100',
]  # fmt: skip


def sweep(folder, only, bindings=(), **more):
    config.load([], [*SETTINGS, *bindings])
    return loco.loco(str(folder), 'toyeval', toy.LENGTHS, only=only, config=toy.CONFIG, **more)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp('loco')
    return folder, sweep(folder, 'math', seen=1)


def test_every_model_is_scored_on_the_held_out_cluster(done):
    folder, report = done
    models = report.of('math')
    assert list(models) == list(results.MODELS)
    assert {task.task for task in models['tuned'].tasks} == {'toyeval_parity', 'toyeval_pick', 'toyeval_order'}
    levels = {task.task: task.level for task in models['tuned'].tasks}
    assert levels == {'toyeval_parity': 'held_out_cluster', 'toyeval_pick': 'held_out_cluster', 'toyeval_order': 'held_in'}
    assert models['tuned'].trained == {'nli': ['toyeval_order'], 'translation': ['toyeval_copy']}
    parity = models['tuned'].tasks[0]
    assert [template['template'] for template in parity.templates] == [0, 1, 2]  # the turned-around one is not scored
    assert parity.num_rows == 12
    rows = json.loads((folder / 'results.json').read_text())
    assert {row['model'] for row in rows} == set(results.MODELS)
    assert (folder / 'report.html').is_file() and (folder / 'report.md').is_file()


def test_one_plain_prompt_is_chosen_or_the_bare_fields(done):
    plain = done[1].of('math')['untuned_plain']
    assert [(task.task, len(task.templates)) for task in plain.tasks] == [('toyeval_parity', 1), ('toyeval_pick', 1)]
    assert any('toyeval_pick: the untuned model read the bare fields' in note for note in plain.notes)


def test_baselines(done):
    models = done[1].of('math')
    tests = toy.rows('test')
    chance = {task.task: task.summary.mean for task in models['chance'].tasks}
    assert chance['toyeval_parity'] == pytest.approx(50)
    assert chance['toyeval_pick'] == pytest.approx(100 / 3)
    commonest = int(np.mean([row['a'] % 2 for row in toy.rows('train')]) > 0.5)
    majority = {task.task: task.summary.mean for task in models['majority'].tasks}
    assert majority['toyeval_parity'] == pytest.approx(100 * np.mean([row['a'] % 2 == commonest for row in tests]))


def test_missing_test_split_and_random_base_are_noted(done):
    notes = ' '.join(note for piece in done[1].pieces for note in piece.notes)
    assert 'validation split' in notes and 'toyeval_pick' in notes
    assert 'the untuned model is a random one' in notes


def test_what_is_done_is_not_done_again(done, monkeypatch):
    folder, _ = done
    before = {path: path.stat().st_mtime_ns for path in folder.glob(f'*/*/{results.PIECE}')}
    (folder / 'math' / 'chance' / results.PIECE).unlink()
    scored = []
    score_piece = contenders.score_piece
    monkeypatch.setattr(loco, 'score_piece', lambda held, model: scored.append(model) or score_piece(held, model))
    report = sweep(folder, 'math', seen=1)
    assert scored == ['chance']
    assert list(report.of('math')) == list(results.MODELS)
    after = {path: path.stat().st_mtime_ns for path in folder.glob(f'*/*/{results.PIECE}')}
    assert {path.parent.name for path in after if after[path] != before[path]} == {'chance'}


def test_other_settings_are_refused(done):
    with pytest.raises(ValueError, match=r'train\.train_steps was 2, now it is 3'):
        sweep(done[0], 'nli', ['train.train_steps=3'])


def test_clusters_merge_and_overlaps_are_removed(done):
    folder, _ = done
    report = sweep(folder, 'translation', models=('majority', 'chance'))
    assert report.held_out() == ['math', 'translation']
    chance = report.of('translation')['chance'].tasks[0]
    assert (chance.method, chance.headline) == ('chance', 'exact_match')  # a copy of "a b" is never b


@pytest.mark.parametrize(
    ('only', 'more', 'message'),
    [
        ('mathh', {}, 'unknown cluster .*did you mean math'),
        ('sentiment', {}, 'unknown cluster .* nli, translation, math'),
        ('', {}, 'no cluster to hold out'),
        ('nli', {'models': ('tund',)}, 'unknown model .*tuned'),
        ('nli', {'initial_checkpoint_path': '/nowhere'}, 'no checkpoint at /nowhere'),
    ],
)
def test_bad_input_fails_before_anything_starts(tmp_path, only, more, message):
    with pytest.raises(ValueError, match=message):
        sweep(tmp_path, only, **more)
    assert not list(tmp_path.iterdir())


def test_all_and_several_clusters():
    assert loco.choose_clusters('all', toy.COLLECTION) == list(toy.COLLECTION.clusters())
    assert loco.choose_clusters('math, nli', toy.COLLECTION) == ['math', 'nli']


def test_clock_guesses_from_what_is_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loco.time, 'monotonic', lambda: now[0])
    clock = loco.Clock([('a', 'untuned'), ('a', 'tuned'), ('b', 'untuned'), ('b', 'tuned')])
    assert clock.seconds_left() is None
    for model, seconds in (('untuned', 5), ('tuned', 60)):
        now[0] += seconds
        clock.done(model)
    assert clock.seconds_left() == pytest.approx(65)
    assert clock.status() == '[3/4, 1:05 elapsed, about 1:05 left]'


def test_importing_needs_no_tensorflow():
    code = 'import sys; sys.modules["tensorflow"] = None; import flanlite.eval.loco, flanlite.eval.infer, flanlite.eval.run'
    subprocess.run([sys.executable, '-c', code], check=True)


def test_jobs_of_a_cluster_each_are_merged(done, tmp_path, capsys):
    one, _ = done
    sweep(tmp_path / 'two', 'nli', models=('majority', 'chance'), seen=1)
    with pytest.raises(ValueError, match='--output'):
        loco.merge([str(one), str(tmp_path / 'two')])
    merged = loco.merge([str(one), str(tmp_path / 'two')], str(tmp_path / 'all'))
    assert {'math', 'nli'} <= set(merged.held_out())  # other tests have added to the first folder
    assert merged.of('math')['tuned'] == done[1].of('math')['tuned']
    assert (tmp_path / 'all' / 'report.html').is_file() and 'report.html' in capsys.readouterr().out
    assert loco.merge([str(tmp_path / 'all')]).pieces == merged.pieces
    other = tmp_path / 'other'
    sweep(other, 'nli', ['train.batch_size=4'], models=('majority',))
    with pytest.raises(ValueError, match=r'results of other settings: train.batch_size was 8, now it is 4'):
        loco.merge([str(other)], str(tmp_path / 'all'))
    with pytest.raises(ValueError, match='holds no results'):
        loco.merge([str(tmp_path / 'missing')])
