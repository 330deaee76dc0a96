import dataclasses
import gzip
import json

import pytest
import toyeval as toy

from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.eval import ablation, loco
from flanlite.eval.ablation import AblationConfig
from flanlite.mixtures import flan2021
from flanlite.report import predictions, series
from flanlite.training.checkpoints import CheckpointConfig
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor


def settings(folder, **changes):
    train = TrainConfig(
        str(folder),
        DataConfig('toyeval', {'inputs': 120, 'targets': 8}, 8),
        Adafactor(0.01),
        2,
        toy.CONFIG,
        checkpoints=CheckpointConfig(every_steps=100),
    )
    return AblationConfig(train, **{'held_out': 'math', 'templates': (1, 2), 'shots': (1,)} | changes)


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ablation')
    first = ablation.ablate(settings(folder, studies='clusters,templates', rivals=('untuned', 'chance')))
    return folder, first, ablation.ablate(settings(folder, studies='instructions,shots', rivals=('untuned',)))


def test_studies_share_the_run_on_all_and_one_folder(done):
    folder, first, report = done
    tuned = {result.held_out for result in first.results if result.system == 'tuned'}
    assert tuned == {'math', 'math_first_1', 'math_1templates', 'math_2templates'}
    assert {(each.held_out, each.system) for each in report.results} - {
        (each.held_out, each.system) for each in first.results
    } == {('math_1shots', 'tuned'), ('math', 'names'), ('math', 'names_asked'), ('math', 'no_instructions')}
    assert not (folder / 'math' / 'names_asked' / 'checkpoints').exists(), 'it is the run of names'
    assert report.of('math_first_1')['tuned'].trained == {'nli': ['toyeval_order']}
    assert report.of('math')['tuned'].trained == {'nli': ['toyeval_order'], 'translation': ['toyeval_copy']}


def test_a_report_made_again_is_of_ablations(done, tmp_path):
    folder, _, _ = done
    merged = loco.merge([str(folder)], str(tmp_path / 'merged'))
    assert merged.title == 'merged: ablations'
    assert [each.kind for each in series.find(merged)] == [each.kind for each in series.find(done[2])]


def test_each_study_is_a_curve(done):
    folder, _, report = done
    found = {each.kind: each for each in series.find(report)}
    assert {kind: [number for number, _ in each.points] for kind, each in found.items()} == {
        'clusters': [1, 2],
        'templates': [1, 2, 3],
        'exemplars': [0, 1],
    }
    assert {each.held_out for each in found.values()} == {'math'}
    last, whole = list(series.summaries(report, found['clusters']))[-1][1], report.of('math')['tuned']
    group = whole.groups['held_out']
    assert dataclasses.astuple(last)[:1] == pytest.approx([group.mean])
    assert (last.low, last.high) == pytest.approx((group.low, group.high))
    page = (folder / 'report.html').read_text()
    for kind in ('clusters tuned on', 'templates tuned on', 'exemplars'):
        assert f'aria-label="math held out: score by {kind}' in page


def test_what_models_were_asked(done):
    folder, _, _ = done

    def asked(held_out, system):
        path = predictions.paths(folder / held_out / system)['toyeval_parity']
        return [json.loads(line)['inputs'] for line in gzip.decompress(path.read_bytes()).splitlines()]

    assert {text[: text.index('\n')] for text in asked('math', 'names_asked')} == {'[math: toyeval_parity]'}
    assert all(not text.startswith('[') for text in asked('math', 'names'))
    assert all(text.count('Answer:') == 2 for text in asked('math_1shots', 'tuned'))
    assert all('Answer:' not in text for text in asked('math', 'tuned'))


def test_what_is_done_is_not_done_again(done, monkeypatch):
    folder, _, _ = done
    monkeypatch.setattr(loco, 'score_system', None)
    report = ablation.ablate(settings(folder, studies='clusters', rivals=('untuned',)))
    assert {'tuned', 'names'} <= set(report.of('math'))
    with pytest.raises(ValueError, match=r'train\.train_steps was 2, now it is 3'):
        config = settings(folder)
        ablation.ablate(config.replace(train=config.train.replace(train_steps=3)))


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'studies': 'cluster'}, ['cluster', 'did you mean clusters', 'shots']),
        ({'studies': ()}, ['at least one of each']),
        ({'templates': (0,)}, ['AblationConfig.templates[0] is 0', 'from 1']),
        ({'held_out': 'maths'}, ['unknown cluster', 'math']),
        ({'held_out': 'math,math'}, ['each cluster once']),
        ({'held_out': 'intra_3'}, ['intra_3', 'no cluster', 'clusters, data_sets', 'nli, translation, math']),
        ({'clusters': (5,)}, ['math_first_5', '_first_1 to _first_2']),
        ({'more': ('intra_99',)}, ['intra_99']),
        ({'rivals': ('random',)}, ['AblationConfig.rivals', 'random', 'untuned']),
        ({'seeds': 0}, ['AblationConfig.seeds is 0', 'from 1']),
    ],
)
def test_settings_that_cannot_be(tmp_path, changes, words):
    with pytest.raises(ValueError, match=r'.') as caught:
        ablation.ablate(settings(tmp_path / 'run', **changes))
    assert all(word in str(caught.value) for word in words)
    assert not (tmp_path / 'run').exists()


def test_flans_own_studies():
    """The points of FLAN's figures 6 to 8 and appendix, on its collection."""
    config = settings(
        'run', held_out=('nli', 'commonsense', 'closed_book_qa'), more=('diversity_?', 'superglue_*')
    )
    plan = config.plan(flan2021.COLLECTION)
    held = 'nli+commonsense+closed_book_qa'
    assert plan[:4] == [(held, system) for system in ('tuned', 'untuned', 'majority', 'chance')]
    assert [(held, 'names'), (held, 'names_asked'), (held, 'no_instructions')] == plan[4:7]
    points = [name for name, _ in plan]
    assert f'{held}_first_11' in points and f'{held}_first_12' not in points, 'all twelve are the whole'
    assert {f'diversity_{count}' for count in range(1, 8)} <= set(points)
    mixture = mixtures.resolve(f'flan2021_held_out_{held}_each_2_4templates_1shots')
    assert (mixture.templates_per_task, mixture.shots.number) == (4, 1)
    clusters = [entry.cluster for entry in mixture.entries]
    assert max(map(clusters.count, clusters)) == 2
    assert not {
        'nli',
        'commonsense',
        'closed_book_qa',
        'paraphrase',
        'reading_comprehension_commonsense',
    } & set(clusters)
