"""Prompt transfer, whole and in parts: files, what is chosen, resumption, jobs, and what is reported."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import toyeval as toy

from flanlite.cli import main as cli
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.eval import projector, similarity, transfer
from flanlite.eval.transfer_config import TransferConfig
from flanlite.eval.transfer_work import Transfer, own_pairs
from flanlite.model.soft_prompt import SoftPrompt
from flanlite.report import results, scores, transfer_page
from flanlite.report import transfer as reports
from flanlite.training import parameters
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import AdamW

SOURCES = ('toyeval_order', 'toyeval_parity', 'toyeval_copy')
TARGET = 'toyeval_pick'


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp('base') / 'base.safetensors'
    parameters.save_params(
        path, toy.params(), toy.CONFIG, metadata={'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS}
    )
    return path


def settings(base, folder, **changes):
    train = TrainConfig(
        str(folder),
        DataConfig('toyeval', toy.LENGTHS, 4, vocabulary='bytes'),
        AdamW(0.3),
        4,
        toy.CONFIG.replace(adapter=SoftPrompt(length=3)),
        initial_checkpoint_path=str(base),
    )
    own = {name: changes.pop(name) for name in list(changes) if '.' not in name}
    fields = {'sources': SOURCES, 'targets': (TARGET,), 'embedding_steps': 2, 'every_steps': 2, 'top_k': 2}
    return TransferConfig(train.replace(**changes), **fields | {'dev_rows': 4} | own)


@pytest.fixture(scope='module')
def whole(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp('transfer')
    return folder, transfer.transfer(settings(base, folder))


def test_everything_is_scored_and_chosen_by_validation(whole):
    folder, report = whole
    scored = {path.parent.name for path in results.result_paths(folder)}
    pairs = {f'{system}.{source}-0' for system in ('zero_shot', 'start') for source in SOURCES}
    assert scored == pairs | {'untuned-0', 'plain-0', 'average-0', 'mixture-0'}
    curves = {(trial.system, trial.source): [step for step, _ in trial.curve] for trial in report.trials}
    assert curves['plain', ''] == [2, 4] and curves['start', SOURCES[0]] == [0, 2, 4]
    assert curves['untuned', ''] == curves['zero_shot', SOURCES[0]] == []

    prompts = {name: np.load(folder / 'prompts' / f'{name}-0.npy') for name in (*SOURCES, TARGET)}
    early = {
        name: np.load(folder / 'prompts' / f'{name}-0.embedding.npz')['prompt'].astype(float)
        for name in prompts
    }
    assert all(np.abs(prompts[name] - early[name]).max() > 0.01 for name in prompts)
    alike = {name: similarity.average_cosine(early[name], early[TARGET]) for name in SOURCES}
    taken = sorted(SOURCES, key=alike.get, reverse=True)[:2]
    assert report.retrieved == {(TARGET, 0): tuple(taken)}
    weights = np.maximum([alike[name] for name in taken], 0)
    average = np.einsum('k,kpd->pd', weights / weights.sum(), np.stack([prompts[name] for name in taken]))
    made = np.load(folder / 'runs' / TARGET / 'average-0' / 'start.npy')
    np.testing.assert_allclose(made, average, rtol=1e-5)
    manifest = json.loads((folder / 'runs' / TARGET / 'mixture-0' / 'source' / 'manifest.json').read_text())
    assert set(manifest['tasks']) == set(taken)

    validated = {source: report.of(TARGET, 'start', source)[0].curve[-1][1] for source in SOURCES}
    (best,) = report.of_strategy(TARGET, 'best')
    assert best.source in taken and validated[best.source] == max(validated[name] for name in taken)
    assert validated[report.of_strategy(TARGET, 'oracle')[0].source] == max(validated.values())
    (plain,) = report.of(TARGET, 'plain')
    wanted = [step for step, score in best.curve if score >= 0.95 * plain.curve[-1][1]]
    assert report.steps(best) == (wanted[0] if wanted else math.inf)

    cells = {row[0]: row[2:] for row in transfer_page.strategy_rows(report)}
    assert cells['Best of top-k'][0] == f'{best.score:.1f}'
    assert cells['Best of top-k'][2].startswith(f'{best.score - plain.score:+.1f} (')
    took = [report.steps(best), report.steps(plain)]
    assert cells['Best of top-k'][4] == (
        f'{took[1] / took[0]:.1f}×' if np.isfinite(took).all() and took[0] else ''
    )

    rows = json.loads((folder / 'results.json').read_text())
    zero_shot = {row['source']: row for row in rows if row['system'] == 'zero_shot'}
    assert {source: row['average_cosine'] for source, row in zero_shot.items()} == pytest.approx(alike)
    page, text = (folder / 'report.html').read_text(), (folder / 'report.md').read_text()
    assert all(source in page and source in text for source in SOURCES)
    assert page.count('<svg') == 3 + 2 * 5 + 1  # heat maps, scatter plots, curves
    assert 'Weighted average' in text


def test_jobs_in_folders_give_the_same_and_go_on_after_a_kill(whole, base, tmp_path, monkeypatch, capsys):
    one, other, both = tmp_path / 'one', tmp_path / 'other', tmp_path / 'both'
    transfer.transfer(settings(base, one, only=SOURCES[1]))
    transfer.transfer(settings(base, other, only=f'{SOURCES[0]},{SOURCES[2]}, {TARGET}'))
    assert f'{TARGET} wait for the prompts of {SOURCES[1]}' in capsys.readouterr().out
    assert cli.main(['report', f'--model_dir={one},{other}', f'--output={both}']) in (0, None)

    measure, measured = Transfer.measure, []

    def killed(self, *what):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(what)
        measure(self, *what)

    monkeypatch.setattr(Transfer, 'measure', killed)
    with pytest.raises(KeyboardInterrupt):
        transfer.transfer(settings(base, both))
    monkeypatch.setattr(
        Transfer, 'measure', lambda self, *what: measured.append(what) or measure(self, *what)
    )
    transfer.transfer(settings(base, both))
    assert len(measured) == len(set(measured)) == 10, 'nothing is done twice'
    rows = [json.loads((folder / 'results.json').read_text()) for folder in (whole[0], both)]
    assert rows[0] == rows[1]

    with pytest.raises(ValueError, match=r'holds results of other settings: top_k was 2, now it is 1'):
        transfer.transfer(settings(base, both, top_k=1))
    with pytest.raises(ValueError, match='top_k was 2, now it is 1'):  # prompts alone say it, too
        transfer.transfer(settings(base, one, top_k=1))


@pytest.mark.parametrize(
    'name',
    [
        f'prompts/{TARGET}-0.embedding.npz',
        f'{TARGET}/plain-0/curve.json',
        f'{TARGET}/plain-0/resamples.npz',
        f'{TARGET}/plain-0/result.json',
    ],
)
@pytest.mark.parametrize('content', [b'', b'PK\3\4' + b'x' * 99, b'[3]', b'\x93NUMPY\1\0'])
def test_a_damaged_file_is_named(name, content, whole, tmp_path, capsys):
    folder = tmp_path / 'damaged'
    shutil.copytree(whole[0], folder, ignore=shutil.ignore_patterns('runs'))
    (folder / name).write_bytes(content)
    assert cli.main(['report', f'--model_dir={folder}']) == cli.USAGE_ERROR
    assert name in capsys.readouterr().err


def test_seeds_are_averaged(whole, base, tmp_path):
    for name in ('prompts', TARGET):
        shutil.copytree(whole[0] / name, tmp_path / name)
    for path in sorted(tmp_path.glob('*/*-0*')):
        second = path.with_name(path.name.replace('-0', '-1'))
        (shutil.copytree if path.is_dir() else shutil.copy)(path, second)
        if path.is_dir():
            result = json.loads((second / 'result.json').read_text())
            summary = result['tasks'][0]['summary']
            changed = result | {'system': second.name}
            summary['mean'] += 6.0
            (second / 'result.json').write_text(json.dumps(changed))
    config = settings(base, tmp_path, seeds=2)
    report = transfer.collect(tmp_path, config, whole[1].own)
    assert len(report.of_strategy(TARGET, 'random')) == 2 * len(SOURCES)
    for strategy in ('plain', 'random', 'best', 'oracle', 'average', 'mixture', 'zero_shot'):
        one, both = (each.combined(TARGET, strategy) for each in (whole[1], report))
        assert both.score == pytest.approx(one.score + 3.0)
        np.testing.assert_allclose(both.resampled.means, one.resampled.means)
        assert both.steps == 2 * one.steps
        # The seeds are 6 points apart; Student's t of one degree of freedom is 12.7062.
        reach, drawn = 12.7062 * 6 / 2, both.resampled
        low, high = scores.bounds(both.score, drawn.means, [(drawn.below, drawn.above)])
        ends = both.score - math.hypot(both.score - low, reach), both.score + math.hypot(high - both.score, reach)
        assert transfer_page.over_targets([both])[:2] == pytest.approx((max(0, ends[0]), min(100, ends[1])), abs=1e-3)
    # What was done with more seeds is reported as that, whatever the settings say now.
    fewer = transfer.collect(tmp_path, settings(base, tmp_path, seeds=1), whole[1].own)
    for strategy in ('plain', 'best', 'zero_shot'):
        assert fewer.combined(TARGET, strategy).by_seed == report.combined(TARGET, strategy).by_seed
    # All strategies gained 6 points at once, so that their differences have no more variance than before.
    first, second = (
        transfer_page.compare(*({TARGET: each.combined(TARGET, name)} for name in ('best', 'plain')))
        for each in (whole[1], report)
    )
    assert (second.low, second.high) == pytest.approx((first.low, first.high))
    # Of a beginning that one seed lacks, the gain is that of the other, and sources at random need all.
    lacking = dataclasses.replace(
        report,
        trials=tuple(
            trial for trial in report.trials if (trial.system, trial.source, trial.seed) != ('start', SOURCES[0], 1)
        ),
    )
    assert lacking.gain(TARGET, 'start', SOURCES[0]) == pytest.approx(whole[1].gain(TARGET, 'start', SOURCES[0]))
    assert {trial.seed for trial in lacking.of_strategy(TARGET, 'random')} == {0}
    untuned = {TARGET: whole[1].combined(TARGET, 'untuned')}
    against = transfer_page.compare(untuned, {TARGET: report.combined(TARGET, 'plain')})
    assert against.high - against.low > 2 * reach - 1e-3
    assert report.alike('euclidean', SOURCES[0], TARGET) == whole[1].alike('euclidean', SOURCES[0], TARGET)


def test_correlations_are_those_of_numpy():
    pairs = [(source, target) for target in 'xyz' for source in 'abcd']
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 12))
    y[4] = y[5]
    pearson, spearman = reports.correlate(pairs, x, y)
    assert pearson.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    ranks = [[(v > values).sum() + ((v == values).sum() - 1) / 2 for v in values] for values in (x, y)]
    assert spearman.value == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert pearson.low < pearson.value < pearson.high and pearson.low >= -1 and pearson.high <= 1
    centred = [np.ravel(v.reshape(3, 4) - v.reshape(3, 4).mean(axis=1, keepdims=True)) for v in (x, y)]
    assert reports.correlate(pairs, x, y, within=True)[0].value == pytest.approx(np.corrcoef(centred)[0, 1])
    x[3] = np.nan
    rest = np.arange(12) != 3
    assert reports.correlate(pairs, x, y)[0].value == pytest.approx(np.corrcoef(x[rest], y[rest])[0, 1])
    # An interval of pairs that lie on a line has no width; of two pairs there is none.
    line = reports.correlate(pairs, y, 2 * y)[0]
    assert (line.value, line.low, line.high) == pytest.approx((1, 1, 1))
    assert math.isnan(reports.correlate(pairs[:2], y[:2], y[:2])[0].value)


def test_a_source_that_has_the_target_is_not_retrieved(base, tmp_path):
    config = settings(base, tmp_path, sources=('toyeval', *SOURCES), targets=(SOURCES[0], TARGET))
    mixed = {name: mixtures.resolve(transfer.mixture_of(config, name)) for name in config.names}
    own = {('toyeval', SOURCES[0]), ('toyeval', TARGET), (SOURCES[0], SOURCES[0])}
    assert own_pairs(config, mixed) == own


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        (
            {'sources': ('toyeval_ordr',), 'top_k': 1},
            r"unknown mixture or task 'toyeval_ordr'.*toyeval_order",
        ),
        ({'targets': ('toyeval',)}, "the target 'toyeval' is no task but a mixture of 4;"),
        ({'top_k': 4}, 'top_k is 4, and there are 3 sources'),
        ({'targets': (SOURCES[0],), 'top_k': 3}, "3 sources are to be retrieved for 'toyeval_order'"),
        ({'embedding_steps': 3}, 'embedding_steps is 3; expected a multiple of every_steps'),
        ({'similarity': 'cosine'}, "similarity is 'cosine'; .*average_cosine"),
        ({'strategies': ('bets',)}, r"strategies\[0\] is 'bets'; did you mean best"),
        ({'only': 'toyeval_x'}, "only has 'toyeval_x'"),
        ({'train.model.adapter': SoftPrompt(tasks=('a',))}, 'expected a SoftPrompt without tasks'),
        ({'train.data.mixture.exclude': ('toyeval_copy',)}, 'expected none of them'),
        ({'projector': '/nowhere'}, 'which has prompts of no source or target'),
    ],
)
def test_bad_settings_are_refused_before_anything_is_trained(base, tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        transfer.transfer(settings(base, tmp_path / 'new').replace(**changes))
    assert not (tmp_path / 'new').exists()


def test_a_projector_carries_prompts_of_another_model(whole, base, tmp_path):
    """By what it learnt on other tasks; the target's own prompt of this model is not looked at."""
    shutil.copytree(whole[0] / 'prompts', tmp_path / 'bad' / 'prompts')
    np.save(tmp_path / f'bad/prompts/{SOURCES[2]}-0.npy', np.full((3, 16), np.nan, np.float32))
    with pytest.raises(ValueError, match=rf'{SOURCES[2]}-0.npy holds float32.*expected finite numbers'):
        transfer.transfer(settings(base, tmp_path / 'none', projector=str(tmp_path / 'bad')))
    assert not (tmp_path / 'none').exists()
    rng = np.random.default_rng(0)
    ours, other = tmp_path / 'ours', tmp_path / 'other'
    shutil.copytree(whole[0] / 'prompts', ours / 'prompts')
    shutil.copytree(whole[0] / TARGET, ours / TARGET)
    (other / 'prompts').mkdir(parents=True)
    made = {}
    for name in (*SOURCES, TARGET):
        made[name] = rng.normal(size=(3, 8)).astype(np.float32)
        np.save(other / 'prompts' / f'{name}-0.npy', made[name])
    work = Transfer.open(settings(base, ours, projector=other))
    carried = work.projected(TARGET, 0)
    assert carried.shape == (3, 16)
    np.save(ours / 'prompts' / f'{TARGET}-0.npy', np.zeros((3, 16), np.float32))
    np.testing.assert_array_equal(work.projected(TARGET, 0), carried)

    # What was learnt is met, and a prompt near to it is carried near to its like.
    theirs = [work.prompt(name, 0) for name in SOURCES]
    project = projector.train([made[name] for name in SOURCES], theirs)
    for name, expected in zip(SOURCES, theirs, strict=True):
        scale = np.abs(expected).mean()
        np.testing.assert_allclose(project(made[name]), expected, atol=0.05 * scale)
        np.testing.assert_allclose(project(made[name] + 0.01), expected, atol=0.5 * scale)

    assert ('projected', '') in list(work.systems(TARGET, 0))
    work.measure(TARGET, 'projected', '', 0)
    report = transfer.collect(ours, work.config, work.own)
    assert [trial.system for trial in report.of_strategy(TARGET, 'projected')] == ['projected']
    assert any(row[0] == 'Projected, zero-shot' for row in transfer_page.strategy_rows(report))
