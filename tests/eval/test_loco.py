import gzip
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import toyeval as toy

from flanlite.data.config import DataConfig
from flanlite.eval import loco
from flanlite.eval.sweep import SweepConfig
from flanlite.mixtures import flan2021
from flanlite.report import comparisons, predictions, results, tables
from flanlite.training.checkpoints import CheckpointConfig
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor


def settings(folder, only, **changes):
    """Make the settings of a sweep that takes seconds; changes are those of its training, by their paths."""
    train = TrainConfig(
        str(folder),
        DataConfig('toyeval', toy.LENGTHS, 8),
        Adafactor(0.01),
        2,
        toy.CONFIG,
        checkpoints=CheckpointConfig(every_steps=100),
    )
    own = {name: changes.pop(name) for name in ('systems', 'seen', 'seeds') if name in changes}
    return SweepConfig(train.replace(**changes), only, **own)


def sweep(folder, only, **changes):
    return loco.loco(settings(folder, only, **changes))


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp('loco')
    return folder, sweep(folder, 'math', seen=1)


def test_every_system_is_scored_on_the_held_out_cluster(done):
    folder, report = done
    systems = report.of('math')
    assert list(systems) == list(SweepConfig.systems)
    assert {task.task for task in systems['tuned'].tasks} == {
        'toyeval_parity',
        'toyeval_pick',
        'toyeval_order',
    }
    levels = {task.task: task.level for task in systems['tuned'].tasks}
    assert levels == {
        'toyeval_parity': 'held_out_cluster',
        'toyeval_pick': 'held_out_cluster',
        'toyeval_order': 'held_in',
    }
    assert systems['tuned'].trained == {'nli': ['toyeval_order'], 'translation': ['toyeval_copy']}
    parity = systems['tuned'].tasks[0]
    # The turned-around one is not scored.
    assert [template['template'] for template in parity.templates] == [
        0,
        1,
        2,
    ]
    assert parity.num_rows == 12
    rows = json.loads((folder / 'results.json').read_text())
    assert {row['system'] for row in rows} == set(SweepConfig.systems)
    page = (folder / 'report.html').read_text()
    assert (folder / 'report.md').is_file()
    for system in SweepConfig.systems:
        scored = {task.task for task in systems[system].tasks}
        assert set(predictions.paths(folder / 'math' / system)) == scored
        assert all(f'math/{system}/predictions/{task}.jsonl.gz' in page for task in scored)


def test_one_plain_prompt_is_chosen_or_the_bare_fields(done):
    plain = done[1].of('math')['untuned_plain']
    assert [(task.task, len(task.templates)) for task in plain.tasks] == [
        ('toyeval_parity', 1),
        ('toyeval_pick', 1),
    ]
    assert any('toyeval_pick: the untuned model read the bare fields' in note for note in plain.notes)


def test_baselines(done):
    systems = done[1].of('math')
    tests = toy.rows('test')
    chance = {task.task: task.summary.mean for task in systems['chance'].tasks}
    assert chance['toyeval_parity'] == pytest.approx(50)
    assert chance['toyeval_pick'] == pytest.approx(100 / 3)
    records = {
        (system, task): [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        for system in ('majority', 'chance')
        for task, path in predictions.paths(done[0] / 'math' / system).items()
    }
    (said,) = {record['prediction'] for record in records['majority', 'toyeval_parity']}
    assert {record['prediction'] for record in records['chance', 'toyeval_parity']} == {None}
    assert {record['template'] for each in records.values() for record in each} == {None}
    commonest = int(np.mean([row['a'] % 2 for row in toy.rows('train')]) > 0.5)
    assert said == ('even', 'odd')[commonest]
    majority = {task.task: task.summary.mean for task in systems['majority'].tasks}
    assert majority['toyeval_parity'] == pytest.approx(
        100 * np.mean([row['a'] % 2 == commonest for row in tests])
    )


def test_missing_test_split_and_random_base_are_noted(done):
    notes = ' '.join(note for result in done[1].results for note in result.notes)
    assert 'validation split' in notes and 'toyeval_pick' in notes
    assert 'the untuned model is a random one' in notes


def test_what_is_done_is_not_done_again(done, monkeypatch):
    folder, _ = done
    before = {path: path.stat().st_mtime_ns for path in folder.glob(f'*/*/{results.RESULT}')}
    (folder / 'math' / 'chance' / results.RESULT).unlink()
    scored = []
    score_system = loco.score_system
    monkeypatch.setattr(
        loco, 'score_system', lambda held, *step: scored.append(step[0]) or score_system(held, *step)
    )
    report = sweep(folder, 'math', seen=1)
    assert scored == ['chance']
    assert list(report.of('math')) == list(SweepConfig.systems)
    after = {path: path.stat().st_mtime_ns for path in folder.glob(f'*/*/{results.RESULT}')}
    assert {path.parent.name for path in after if after[path] != before[path]} == {'chance'}


def test_several_seeds_are_one_system_with_both_variances(done, tmp_path):
    shutil.copytree(done[0] / 'math', tmp_path / 'math')
    report = sweep(tmp_path, 'math', seen=1, seeds=2)
    each = report.by_seed['math', 'tuned']
    assert [result.seed for result in each] == [0, 1]
    assert (tmp_path / 'math' / 'tuned_seed_1' / results.RESULT).is_file(), 'the first was there before'
    assert list(report.of('math')) == list(SweepConfig.systems), 'the seeds are one system'
    assert report.of('math')['untuned'].seed is None

    group = report.of('math')['tuned'].groups['held_out']
    means = [result.groups['held_out'].mean for result in each]
    assert means[0] != means[1]
    assert group.mean == pytest.approx(np.mean(means))
    drawn = [results.load_resamples(tmp_path / 'math' / name) for name in ('tuned', 'tuned_seed_1')]
    tasks = ('toyeval_parity', 'toyeval_pick')
    over_rows = np.mean([each[task].means for each in drawn for task in tasks], axis=0)
    low, high = np.percentile(over_rows, [2.5, 97.5])
    seeds = 12.7062047364 * np.std(means, ddof=1) / np.sqrt(2)  # Student's t with one degree of freedom
    assert (group.low, group.high) == pytest.approx(
        (
            max(0.0, group.mean - np.hypot(group.mean - low, seeds)),
            min(100.0, group.mean + np.hypot(high - group.mean, seeds)),
        )
    ), 'and no score is beyond 0 or 100'
    rival = report.of('math')['majority'].groups['held_out'].mean
    found = comparisons.compare(report, 'math', 'tuned', 'majority')
    assert found.mean == pytest.approx(group.mean - rival)
    assert found.high - found.low > 2 * seeds

    # The meter has counted the tokens of a step in another way.
    records = [json.loads(line) for line in (tmp_path / 'math/tuned/metrics.jsonl').read_text().splitlines()]
    steps = np.diff([0, *(record['step'] for record in records)])
    per_step = [record['tokens_per_second'] * record['seconds_per_step'] for record in records]
    assert each[0].costs['train_tokens'] == pytest.approx(steps @ per_step, abs=1)
    assert each[0].costs['train_steps'] == steps.sum() and each[0].costs['train_flops'] > 0
    assert report.of('math')['tuned'].costs['train_steps'] == 2 * steps.sum(), 'of all seeds together'

    row = next(row for row in tables.seed_rows(report) if row[1] == 'Tuned')
    assert row[2] == f'{means[0]:.1f} (0), {means[1]:.1f} (1)'
    assert row[4:6] == [f'{np.std(means, ddof=1):.1f}', f'{np.std(over_rows, ddof=1):.1f}']
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert {(row['system'], row['seed']) for row in rows if row['system'] in ('tuned', 'untuned')} == {
        ('tuned', 0),
        ('tuned', 1),
        ('untuned', None),
    }
    assert 'sd over seeds' in (tmp_path / 'report.html').read_text()


def test_results_of_an_earlier_version_are_refused(tmp_path):
    former = tmp_path / 'math' / 'ablation' / 'piece.json'
    former.parent.mkdir(parents=True)
    former.write_text('{}')
    for attempt in (lambda: sweep(tmp_path, 'nli'), lambda: loco.merge([str(tmp_path)])):
        with pytest.raises(ValueError, match=f'^{re.escape(str(former))} was written by an earlier version'):
            attempt()
    assert [path for path in tmp_path.rglob('*') if path.is_file()] == [former], 'nothing was begun'


def test_other_settings_are_refused(done):
    with pytest.raises(
        ValueError, match=r'train\.train_steps was 2, now it is 3; train\.seed was 0, now it is 1'
    ):
        sweep(done[0], 'nli', train_steps=3, seed=1)


def test_clusters_merge_and_overlaps_are_removed(done):
    folder, _ = done
    report = sweep(folder, 'translation', systems=('majority', 'chance'), seen=1)
    assert report.held_out() == ['math', 'translation']
    chance = report.of('translation')['chance'].tasks[0]
    assert (chance.method, chance.headline) == ('chance', 'squad_exact_match')  # a copy of "a b" is never b


@pytest.mark.parametrize(
    ('only', 'more', 'message'),
    [
        ('mathh', {}, 'unknown cluster .*did you mean math'),
        ('sentiment', {}, 'unknown cluster .* nli, translation, math'),
        ('', {}, 'no cluster to hold out'),
        ('nli', {'systems': ('tund',)}, r"systems\[0\] is 'tund'; did you mean tuned"),
        ('nli', {'initial_checkpoint_path': '/nowhere'}, 'no checkpoint at /nowhere'),
    ],
)
def test_bad_input_fails_before_anything_starts(tmp_path, only, more, message):
    with pytest.raises(ValueError, match=message):
        sweep(tmp_path, only, **more)
    assert not list(tmp_path.iterdir())


def test_all_and_several_clusters():
    assert loco.choose_held_out('all', toy.COLLECTION) == list(toy.COLLECTION.clusters())
    assert loco.choose_held_out('math, nli', toy.COLLECTION) == ['math', 'nli']


def test_clock_guesses_from_what_is_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loco.time, 'monotonic', lambda: now[0])
    clock = loco.Clock([(name, system, None) for name in 'ab' for system in ('untuned', 'tuned')])
    assert clock.seconds_left() is None
    for system, seconds in (('untuned', 5), ('tuned', 60)):
        now[0] += seconds
        clock.done(system)
    assert clock.seconds_left() == pytest.approx(65)
    assert clock.status() == '[3/4, 1:05 elapsed, about 1:05 left]'


def test_importing_needs_no_tensorflow():
    code = 'import sys; sys.modules["tensorflow"] = None; import flanlite.eval.loco, flanlite.eval.infer, flanlite.eval.evaluate'
    subprocess.run([sys.executable, '-c', code], check=True)


def test_jobs_of_a_cluster_each_are_merged(done, tmp_path, capsys):
    one, _ = done
    sweep(tmp_path / 'two', 'nli', systems=('majority', 'chance'), seen=1)
    with pytest.raises(ValueError, match='--output'):
        loco.merge([str(one), str(tmp_path / 'two')])
    merged = loco.merge([str(one), str(tmp_path / 'two')], str(tmp_path / 'all'))
    assert {'math', 'nli'} <= set(merged.held_out())  # other tests have added to the first folder
    assert merged.of('math')['tuned'] == done[1].of('math')['tuned']
    kept = predictions.paths(one / 'math' / 'tuned')
    copied = predictions.paths(tmp_path / 'all' / 'math' / 'tuned')
    assert kept and {task: path.read_bytes() for task, path in copied.items()} == {
        task: path.read_bytes() for task, path in kept.items()
    }
    assert 'interval of the difference not known' not in (tmp_path / 'all' / 'report.md').read_text()
    assert (tmp_path / 'all' / 'report.html').is_file() and 'report.html' in capsys.readouterr().out
    assert loco.merge([str(tmp_path / 'all')]).results == merged.results
    other = tmp_path / 'other'
    sweep(other, 'nli', **{'data.batch_size': 4}, systems=('majority',), seen=1)
    with pytest.raises(
        ValueError, match=r'results of other settings: train.data.batch_size was 8, now it is 4'
    ):
        loco.merge([str(other)], str(tmp_path / 'all'))
    with pytest.raises(
        ValueError, match='results of other settings'
    ):  # and nothing was copied before that was seen
        loco.merge([str(tmp_path / 'two'), str(other)], str(tmp_path / 'fresh'))
    assert not (tmp_path / 'fresh').exists()
    (tmp_path / 'two' / 'settings.json').write_text('[]')
    with pytest.raises(ValueError, match=r'two/settings\.json holds \[\]; expected the settings'):
        loco.merge([str(tmp_path / 'two')], str(tmp_path / 'fresh'))
    assert not (tmp_path / 'fresh').exists()
    with pytest.raises(ValueError, match='holds no results'):
        loco.merge([str(tmp_path / 'missing')])


def test_a_data_set_of_a_seen_cluster_is_held_out(tmp_path):
    report = sweep(tmp_path, 'intra_0,intra_0_1templates', systems=('tuned', 'chance'), seen=3)
    assert report.held_out() == ['intra_0', 'intra_0_1templates']
    tuned = report.of('intra_0')['tuned']
    levels = {task.task: (task.cluster, task.level) for task in tuned.tasks}
    held = {task for task, (_, level) in levels.items() if level == 'held_out_task'}
    assert len(held) == 1 and held < {'toyeval_parity', 'toyeval_pick'}, 'the other one of the cluster trains'
    assert {levels[task] for task in {'toyeval_parity', 'toyeval_pick'} - held} == {('math', 'held_in')}
    assert (
        tuned.groups['held_out'] == tuned.groups['held_out_task']
        and tuned.groups['held_in'] != tuned.groups['held_out']
    )
    assert len(tuned.trained['math']) == 1 and not held & set(tuned.trained['math'])
    rows = json.loads((tmp_path / 'results.json').read_text())
    assert {(row['held_out'], row['level']) for row in rows if row['task'] in held} == {
        ('intra_0', 'held_out_task'), ('intra_0_1templates', 'held_out_task'),
    }  # fmt: skip
    manifest = json.loads((tmp_path / 'intra_0_1templates' / 'tuned' / 'manifest.json').read_text())
    assert manifest['mixture']['templates_per_task'] == 1
    text = (tmp_path / 'report.md').read_text()
    assert '## Levels of generalization' in text and '| intra_0 | Tuned | held in | 3 |' in text
    series = text.partition('## The same data sets held out')[2].splitlines()
    assert [line.split(' | ')[0] for line in series[4:6]] == ['| intra_0', '| intra_0_1templates'], (
        'a row for each number of templates'
    )


def test_exemplars_stand_before_what_is_tuned_on_and_scored(tmp_path):
    lengths = {'inputs': 120, 'targets': 8}
    asked = ('tuned', 'untuned_plain', 'chance')
    changes = {'data.feature_lengths': lengths, 'data.mixture.shots': 2}
    systems = sweep(tmp_path, 'translation', systems=asked, **changes).of('translation')
    assert all(
        len(sample['inputs'].split('Answer:')) == 4
        for system in ('tuned', 'untuned_plain')
        for sample in systems[system].samples
    )
    manifest = json.loads((tmp_path / 'translation' / 'tuned' / 'manifest.json').read_text())
    kept = manifest['tasks']['toyeval_order']['shots']
    assert (kept['number'], kept['budget'], kept['kept']) == (2, 120, {'2': 40})
    assert any('own training data before each example: 2.' in note for note in systems['tuned'].notes)
    assert systems['chance'].tasks[0].summary.mean == 0, 'a copy of the bare fields, not of exemplars'


def test_hold_outs_by_pattern():
    assert loco.choose_held_out('intra_[01], nli', toy.COLLECTION) == ['intra_0', 'intra_1', 'nli']
    assert loco.choose_held_out('math_4templates', toy.COLLECTION) == ['math_4templates']
    assert loco.choose_held_out('diversity_?', flan2021.COLLECTION) == [
        f'diversity_{count}' for count in range(1, 8)
    ]
    with pytest.raises(
        ValueError, match=r'unknown cluster .diversity_1.*other hold-outs are intra_0 to intra_9'
    ):
        loco.choose_held_out('diversity_1', toy.COLLECTION)
