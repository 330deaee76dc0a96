import html.parser
import json
import math
import re

import numpy as np
import pytest

from flanlite.metrics import metrics
from flanlite.report import figures, report, results, tables
from flanlite.report.scores import TaskScores

VOID = {'meta', 'br', 'hr', 'img', 'input', 'link'}
CHANCES = {
    'tuned': 0.8,
    'no_instructions': 0.55,
    'untuned': 0.5,
    'untuned_plain': 0.5,
    'majority': 0.5,
    'chance': 0.5,
}


def task_scores(task, chance, templates, seed):
    random = np.random.default_rng(seed)
    right = (random.random((80, templates)) < chance).astype(float)
    places = np.tile(np.arange(templates), 80) if templates > 1 else np.full(80, -1)
    counts = np.stack([right.ravel(), np.ones(right.size)], axis=1)
    return TaskScores(
        task, metrics.get_metric('accuracy'), 'rank', np.repeat(np.arange(80), templates), places, counts
    )


def write_sweep(folder):
    for cluster, tasks in {'nli': ('a', 'b'), 'sentiment': ('c',)}.items():
        for system, chance in CHANCES.items():
            templates = 5 if system in ('tuned', 'no_instructions', 'untuned') else 1
            scores = {task: task_scores(task, chance, templates, seed) for seed, task in enumerate(tasks)}
            sample = {
                'task': tasks[0], 'row': 3, 'template': 1, 'inputs': 'is <b>1</b> & 2\nright?', 'answers': ['yes'], 'prediction': 'yes',
            }  # fmt: skip
            skipped = {'broken': 'template 3 | names no field'} if cluster == 'nli' else {}
            result = results.make_result(
                scores, {task: (cluster, 'held_out_cluster') for task in tasks}, run='r', system=system, held_out=cluster,
                removed=('paraphrase',) if cluster == 'nli' else (), trained={'math': ['m1', 'm2']} if system == 'tuned' else {},
                skipped=skipped, samples=(sample,) if system == 'tuned' else (),
                settings='TRAIN_STEPS = 5', environment={'device': '1 x cpu', 'jax': '0'}, seconds={'train': 60.0},
            )  # fmt: skip
            results.save(folder / cluster / system, result)
        lines = [json.dumps({'step': step, 'loss': 3 / step, 'accuracy': step / 20}) for step in range(1, 20)]
        (folder / cluster / 'tuned' / 'metrics.jsonl').write_text('\n'.join([*lines, '{"step": 20, "lo']))


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp('sweep')
    write_sweep(folder)
    report.build(folder, 'toy: leave one cluster out')
    return folder


class Balanced(html.parser.HTMLParser):
    """Checks that every tag is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], ''

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def parse(page):
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert not parser.open
    return parser


def test_rows_are_flat(sweep):
    rows = json.loads((sweep / 'results.json').read_text())
    assert len(rows) == 3 * (3 * 5 + 3)  # three tasks; three systems of five templates, three without
    assert all(
        set(row) == {'run', 'system', 'held_out', 'level', 'task', 'template', 'metric', 'value', 'n'}
        for row in rows
    )
    row = next(
        row for row in rows if row['task'] == 'a' and row['system'] == 'tuned' and row['template'] == 2
    )
    expected = task_scores('a', 0.8, 5, 0)
    assert row['value'] == pytest.approx(100 * expected.counts[expected.templates == 2, 0].mean())
    assert row['n'] == 80


def test_rows_are_uniform_dictionaries_of_plain_values(sweep):
    """So that `pandas.DataFrame(report.rows())` takes them as they are."""
    rows = tables.collect(sweep).rows()
    made = results.make_result(
        {'a': task_scores('a', 0.5, 3, 0)}, {'a': ('nli', 'held_in')}, run='r', system='mine'
    )
    types = {
        'run': str, 'system': str, 'held_out': str | None, 'level': str, 'task': str, 'template': int | None, 'metric': str, 'value': float,
        'n': int,
    }  # fmt: skip
    for row in (*rows, *made.rows()):
        assert list(row) == list(types)
        assert all(
            isinstance(row[name], kind) and type(row[name]).__module__ == 'builtins'
            for name, kind in types.items()
        )


def test_page_is_whole_and_self_contained(sweep):
    page = (sweep / 'report.html').read_text()
    parser = parse(page)
    tags = [tag for tag, _ in parser.seen]
    # Bars for each cluster, boxes for each task, loss and accuracy for each tuned run.
    assert tags.count('svg') == 2 + 3 + 4
    assert not [
        attributes
        for tag, attributes in parser.seen
        if tag in ('link', 'script', 'img') or 'src' in attributes
    ]
    assert 'http' not in page
    assert '<b>1</b>' not in page and 'is <b>1</b> & 2' in parser.text
    for said in ('broken', 'template 3 | names no field', 'TRAIN_STEPS = 5', '1 x cpu', 'intervals apart'):
        assert said in parser.text
    # What was held out comes first.
    assert parser.text.index('removed with it') < parser.text.index('Scores on what was held out')


def test_markdown_opens_with_what_was_held_out(sweep):
    text = (sweep / 'report.md').read_text()
    lines = text.splitlines()
    assert lines[2] == (
        'The tuned model is above the untuned model with the same instructions on 2 of 2 held-out clusters '
        '(2 with 95% intervals apart). '
        'The tuned model is above the untuned model with its best plain prompt on 2 of 2 held-out clusters '
        '(2 with 95% intervals apart). '
        'The tuned model is above the better simple rule on 2 of 2 held-out clusters (2 with 95% intervals '
        'apart).'
    )
    assert lines[4].startswith(
        '- **Held out: nli**; also removed because they overlap with it: paraphrase; tuned on 2 data sets of '
        '1'
    )
    assert 'template 3 \\| names no field' in text
    table = [line for line in lines if line.startswith('| nli | Tuned |')]
    summary = tables.collect(sweep).of('nli')['tuned'].groups['held_out_cluster']
    assert (
        f'{summary.mean:.1f} ± {summary.sd:.1f}' in table[0]
        and f'{summary.low:.1f} to {summary.high:.1f}' in table[0]
    )


def test_verdict_compares_with_the_best_rival(sweep):
    untuned, plain, rules = tables.verdict(tables.collect(sweep).of('nli'))
    assert untuned.gain > 15 and untuned.apart and plain.apart and rules.apart
    assert untuned.sentence().endswith('points above the untuned model with the same instructions')


def test_results_survive_a_round_trip(sweep):
    path = sweep / 'nli' / 'chance' / results.RESULT
    result = results.load(path)
    assert math.isnan(result.tasks[0].summary.sd)  # of one template there is no spread
    results.save(sweep / 'copy', result)
    assert (sweep / 'copy' / results.RESULT).read_text() == path.read_text()


def test_unreadable_result_is_named(tmp_path):
    (tmp_path / results.RESULT).write_text('{"run": ')
    with pytest.raises(ValueError, match=r'result.json holds no readable result'):
        tables.collect(tmp_path)
    with pytest.raises(ValueError, match='no results'):
        tables.collect(tmp_path / 'empty')


@pytest.mark.parametrize('place', ['', 'nli/tuned'])
def test_results_of_an_earlier_version_are_refused(tmp_path, place):
    former = tmp_path / place / 'piece.json'
    former.parent.mkdir(parents=True, exist_ok=True)
    former.write_text('{}')
    results.save(
        tmp_path / 'math' / 'tuned', results.make_result({}, {}, run='r', system='tuned', held_out='math')
    )
    remedy = 'expected result.json; choose another MODEL_DIR, or remove the results'
    with pytest.raises(
        ValueError, match=f'^{re.escape(str(former))} was written by an earlier version of flanlite; {remedy}'
    ):
        report.build(tmp_path)


@pytest.mark.parametrize(
    'clusters', [('sentiment', 'nli'), ('nli', 'struct_to_text', 'question_classification', 'word_sense')]
)
def test_headline_fits_a_terminal(tmp_path, capsys, monkeypatch, clusters):
    monkeypatch.setenv('COLUMNS', '80')
    for cluster in clusters:
        for system, chance in (CHANCES | {'untuned_plain': 1.0}).items():
            scores, places = {'a': task_scores('a', chance, 1, 0)}, {'a': (cluster, 'held_out_cluster')}
            results.save(
                tmp_path / cluster / system,
                results.make_result(scores, places, run='r', system=system, held_out=cluster),
            )
    tables.print_headline(report.build(tmp_path, 'toy'))
    printed = capsys.readouterr().out
    assert printed.count('100.0-100.0') == len(clusters) and '…' not in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_hold_outs_stand_in_the_order_of_their_numbers(tmp_path):
    names = [
        'nli',
        'superglue',
        'superglue_1templates',
        'superglue_5',
        'superglue_10',
        'superglue_10templates',
    ]
    for name in names:
        scores, places = {'a': task_scores('a', 0.5, 1, 0)}, {'a': ('nli', 'held_out_cluster')}
        results.save(
            tmp_path / name / 'tuned',
            results.make_result(scores, places, run='r', system='tuned', held_out=name),
        )
    assert tables.collect(tmp_path).held_out() == names


def test_report_of_one_system(tmp_path):
    result = results.make_result(
        {'a': task_scores('a', 0.5, 3, 0)}, {'a': ('nli', 'held_in')}, run='r', system='mine at step 3'
    )
    results.save(tmp_path, result)
    report.build(tmp_path)
    parser = parse((tmp_path / 'report.html').read_text())
    assert [tag for tag, _ in parser.seen].count('svg') == 2


def test_report_of_a_result_without_tasks(tmp_path):
    results.save(
        tmp_path, results.make_result({}, {}, run='r', system='tuned', held_out='nli', skipped={'a': 'gone'})
    )
    report.build(tmp_path)
    parse((tmp_path / 'report.html').read_text())
    assert json.loads((tmp_path / 'results.json').read_text()) == []


@pytest.mark.parametrize(('low', 'high'), [(0, 100), (0, 3.2), (-30, 80), (0.2, 0.21), (0, 0)])
def test_ticks_enclose_the_range(low, high):
    marks = figures.ticks(low, high)
    assert marks[0] <= low and marks[-1] >= high and 2 <= len(marks) <= 7
    assert np.allclose(np.diff(marks), marks[1] - marks[0])


def test_nan_is_left_out_of_plots():
    drawn = figures.bars(
        't',
        [figures.Bar('m-tuned', 'x', math.nan, math.nan, math.nan), figures.Bar('m-tuned', 'y', 40, 30, 50)],
    )
    assert drawn.count('<rect') == 1 and 'nan' not in drawn
    assert 'nan' not in figures.boxes('t', [figures.Box('m-tuned', 'x', [('a', math.nan), ('b', 3.0)])])
    assert figures.curves('t', [figures.Curve('m-tuned', 'x', [])]) == ''
