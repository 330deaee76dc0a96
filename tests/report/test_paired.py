"""Two models on the same examples, by hand."""

import itertools
import os

import numpy as np
import pytest

from flanlite.cli import main as cli
from flanlite.metrics import metrics
from flanlite.report import paired, results
from flanlite.report.scores import TaskScores

RNG = np.random.default_rng(3)
RIGHT = {  # rows x templates
    ('a', 'one'): RNG.random((9, 2)) < 0.8,
    ('a', 'two'): RNG.random((9, 2)) < 0.4,
    ('b', 'one'): RNG.random((10, 1)) < 0.9,
    ('b', 'two'): RNG.random((10, 1)) < 0.3,
}


def write(folder, right, metric='accuracy', split='test', first_row=0, clusters=('nli', 'nli'), **fields):
    scores = {}
    for task, found in right.items():
        rows, templates = found.shape
        columns = [found.ravel().astype(float)] * len(metrics.get_metric(metric).names)
        counts = np.stack([*columns, np.ones(found.size)], axis=1)
        scores[task] = TaskScores(
            task,
            metrics.get_metric(metric),
            'rank',
            np.repeat(np.arange(rows) + first_row, templates),
            np.tile(np.arange(templates), rows),
            counts,
        )
    places = dict(zip(scores, ((cluster, '') for cluster in clusters), strict=False))
    result = results.make_result(scores, places, run='r', system='s', split=split, **fields)
    results.save(folder, result, scores)
    return str(folder)


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp('both')
    return [write(folder / name, {task: RIGHT[task, name] for task in 'ab'}) for name in ('one', 'two')]


def test_every_exchange_of_answers_by_hand(both):
    found = {row.name: row for row in paired.compare(*both).table}
    assert list(found) == ['a', 'b', 'nli', paired.ALL]
    p = {}
    for task in 'ab':
        changes = (RIGHT[task, 'one'].mean(axis=1) - RIGHT[task, 'two'].mean(axis=1)) * 100
        assert found[task].difference == pytest.approx(changes.mean())
        assert found[task].first == pytest.approx(100 * RIGHT[task, 'one'].mean())
        signs = np.array(list(itertools.product([1, -1], repeat=len(changes))))
        exact = np.mean(np.abs((signs * changes).mean(axis=1)) >= abs(changes.mean()) - 1e-9)
        assert found[task].p == pytest.approx(exact, abs=0.02) and found[task].rows == len(changes)
        drawn = np.random.default_rng(0).choice(changes, (20_000, len(changes))).mean(axis=1)
        np.testing.assert_allclose(
            [found[task].low, found[task].high], np.percentile(drawn, [2.5, 97.5]), atol=6
        )
        p[task] = found[task].p
    # Holm: the smaller p of two counts twice, and the greater is not below it.
    small, great = sorted(p, key=p.get)
    assert found[small].adjusted == pytest.approx(min(1, 2 * p[small]))
    assert found[great].adjusted == pytest.approx(max(2 * p[small], p[great]))
    assert found[paired.ALL].difference == pytest.approx((found['a'].difference + found['b'].difference) / 2)
    assert found[paired.ALL].p < min(p.values())


def test_the_same_model_does_not_differ(both):
    for row in paired.compare(both[0], both[0]).table:
        assert (row.difference, row.low, row.high, row.p) == (0, 0, 0, 1)


def test_a_score_that_is_no_number_has_no_p(both, tmp_path):
    none = write(tmp_path / 'none', {'a': RIGHT['a', 'two'] * np.nan})
    (row,) = paired.compare(both[0], none).table
    assert np.isnan([row.second, row.p, row.adjusted]).all() and row.first == row.first


def test_only_the_same_examples_are_compared(both, tmp_path, capsys):
    right = {'a': RIGHT['a', 'two'], 'c': RIGHT['b', 'two']}
    later = write(tmp_path / 'later', right, first_row=4)
    compared = paired.compare(both[0], later)
    (row,) = compared.table
    assert row.rows == 5
    assert row.first == pytest.approx(100 * RIGHT['a', 'one'][4:].mean())
    assert row.second == pytest.approx(100 * RIGHT['a', 'two'][:5].mean())
    assert [note.partition(' has')[0].rpartition('/')[2] for note in compared.notes[:2]] == ['one', 'later']
    assert 'a: compared on the 5 rows that both were asked, of 9 and 9' in compared.notes
    fewer = write(tmp_path / 'fewer', {'a': RIGHT['a', 'two'][:, :1]})
    assert any('different templates' in note for note in paired.compare(both[0], fewer).notes)
    told = ['compare', both[0], later, f'--output={tmp_path}/out']
    assert cli.main(told) == 0
    assert 'A - B has its 95% interval' in capsys.readouterr().out
    assert '| a | 5 |' in (tmp_path / 'out/comparison.md').read_text()


def test_rows_with_other_answers_are_not_the_same_rows(tmp_path):
    def keyed(name, keys):
        folder = tmp_path / name
        path = write(folder, {'a': RIGHT['a', 'two'], 'b': RIGHT['b', 'two']})
        with np.load(folder / results.RESAMPLES) as kept:
            arrays = dict(kept)
        arrays['keys/a'] = np.array(keys, np.uint32)
        np.savez(folder / results.RESAMPLES, **arrays)
        return path

    one, other = keyed('one', range(1, 10)), keyed('other', [*range(1, 9), 77])
    compared = paired.compare(one, other)
    assert [row.name for row in compared.table] == ['b']
    assert 'a is left out: 1 of the 9 rows that both were asked have other options or right answers' in compared.notes[0]
    # A row without a key may be any.
    assert [row.name for row in paired.compare(one, keyed('none', [0] * 9)).table][:2] == ['a', 'b']


@pytest.mark.parametrize('metric', ['accuracy', 'sacrebleu_intl'])
def test_different_templates_are_averaged_as_in_results(metric, tmp_path):
    """Of a template that asks few rows, and of a metric that is no mean over rows."""
    rows, counts = np.arange(8), metrics.get_metric(metric)
    texts = ['the cat sat on a mat here', 'all of it was quite other']

    def scored(asked):
        wrote = [texts[int((row + template) % 3 > 0)] for row, template in asked]
        found = counts.counts(wrote, [[texts[0]]] * len(asked), None)
        each = np.array(asked)
        return {'a': TaskScores('a', counts, 'rank', each[:, 0], each[:, 1], found)}

    both = []
    for name, asked in {
        'two': [(row, 0) for row in rows] + [(row, 1) for row in rows[:3]],
        'one': [(row, 2) for row in rows],
    }.items():
        scores = scored(asked)
        result = results.make_result(scores, {'a': ('nli', '')}, run='r', system='s', split='test')
        results.save(tmp_path / name, result, scores)
        both.append(result.tasks[0].summary.mean)
    compared = paired.compare(str(tmp_path / 'two'), str(tmp_path / 'one'))
    (row,) = compared.table
    assert [row.first, row.second] == pytest.approx(both) and row.low <= row.difference <= row.high
    assert 0 < row.p <= 1 and 'different templates' in compared.notes[0]


def test_sweeps_are_compared_by_a_system(tmp_path):
    for name in ('one', 'two'):
        for held_out, task in {'nli': 'a', 'sentiment': 'b'}.items():
            folder = tmp_path / name / held_out / 'tuned'
            write(folder, {task: RIGHT[task, name]}, clusters=(held_out,), held_out=held_out)
    sweeps = [str(tmp_path / name) for name in ('one', 'two')]
    assert [row.name for row in paired.compare(*sweeps).table] == ['a', 'b', paired.ALL]
    with pytest.raises(ValueError, match=r"is a sweep without 'untuned'; --system names one of tuned"):
        paired.compare(*sweeps, system='untuned')


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'split': 'validation'}, 'its split is test in .*one, validation in'),
        ({'metric': 'edit_similarity'}, 'its metric is accuracy in .*, edit_similarity in'),
    ],
)
def test_what_was_scored_otherwise_is_not_compared(fields, words, both, tmp_path):
    with pytest.raises(ValueError, match=words):
        paired.compare(both[0], write(tmp_path / 'x', {'a': RIGHT['a', 'two']}, **fields))


def test_two_folders_are_needed(both, tmp_path, capsys):
    assert cli.main(['compare', both[0]]) == 2
    assert 'compare needs two folders or more: flanlite compare FIRST SECOND' in capsys.readouterr().err
    assert cli.main(['compare', *both, '--system=untuned']) == 2
    assert '--system=untuned is of sweeps, and these are evaluations' in capsys.readouterr().err
    assert cli.main(['compare', both[0], str(tmp_path)]) == 2
    assert 'has no result.json; expected the folder that flanlite eval' in capsys.readouterr().err


def test_several_models_are_compared_on_a_page(both, tmp_path, capsys):
    third = write(tmp_path / 'third', {task: RIGHT[task, 'one'] for task in 'ab'}, settings='lr = 1')
    assert cli.main(['compare', *both, third, f'--output={tmp_path / "out"}']) == 0
    rows = results.reading.read_json(tmp_path / 'out/comparison.json')['rows']
    assert [(row['runs'][1], row['name']) for row in rows] == [
        (other, name) for other in (both[1], third) for name in ('a', 'b', 'nli', paired.ALL)
    ]
    # Four comparisons of data sets, by hand: Holm's factors are 4, 3, 2, 1 in the order of p.
    tested = sorted((row['p'], row['adjusted']) for row in rows if row['kind'] == 'data set')
    expected = np.maximum.accumulate(
        [min(1, p * factor) for (p, _), factor in zip(tested, (4, 3, 2, 1), strict=True)]
    )
    np.testing.assert_allclose([adjusted for _, adjusted in tested], expected)
    assert all(row['difference'] == 0 and row['p'] == 1 for row in rows if row['runs'][1] == third)
    page, text = ((tmp_path / 'out' / f'comparison.{kind}').read_text() for kind in ('html', 'md'))
    assert (
        page.count('<svg') == 2 + 2 and '>C</b>: ' in page and '3 models compared' in page and '>lr<' in page
    )
    for section in ('scores', 'differences', 'settings', 'costs'):
        assert page.count(f'<a href="#{section}">') == page.count(f'<h2 id="{section}">') == 1
    assert text.startswith('# 3 models compared') and text.count('## ') == 2
    capsys.readouterr()
    for same in (both[0], f'{both[0]}/', os.path.relpath(both[0])):
        assert cli.main(['compare', both[0], both[1], same]) == 2
        assert 'expected two or more different folders' in capsys.readouterr().err
