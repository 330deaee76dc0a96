import csv
import dataclasses
import errno
import gzip
import html.parser
import json
import math
import os
import re
import shutil
from collections.abc import Mapping

import numpy as np
import pytest
from toysweep import CHANCES, task_scores, write_sweep

from flanlite import config, writing
from flanlite.eval import loco
from flanlite.metrics import metrics
from flanlite.report import (
    collected,
    comparisons,
    data_sets,
    figures,
    latex,
    page,
    paired,
    predictions,
    report,
    results,
    robustness,
    series,
    settings,
    tables,
)
from flanlite.report.scores import OwnScores, TaskScores

VOID = {'meta', 'br', 'hr', 'img', 'input', 'link', 'wbr'}


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
        set(row) == {'run', 'system', 'held_out', 'seed', 'level', 'task', 'template', 'metric', 'value', 'n'}
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
    rows = collected.collect(sweep).rows()
    made = results.make_result(
        {'a': task_scores('a', 0.5, 3, 0)}, {'a': ('nli', 'held_in')}, run='r', system='mine'
    )
    types = {
        'run': str, 'system': str, 'held_out': str | None, 'seed': int | None, 'level': str, 'task': str, 'template': int | None, 'metric': str, 'value': float,
        'n': int,
    }  # fmt: skip
    for row in (*rows, *made.rows()):
        assert list(row) == list(types)
        assert all(
            isinstance(row[name], kind) and type(row[name]).__module__ == 'builtins'
            for name, kind in types.items()
        )


def test_plots_of_percent_have_the_same_axis_and_others_enclose_their_values(sweep):
    text = (sweep / 'report.html').read_text()
    drawings = re.findall('<svg.*?</svg>', text, re.DOTALL)
    others = ('over training steps', 'right answers in rows', 'answers of each probability')
    for drawing in [each for each in drawings if not any(name in each for name in others)]:
        found = re.findall(r'class="tick">([^<]*)<', drawing)
        assert found == ['0', '25', '50', '75', '100'], drawing[:200]
    # Curves of a metric stand beside each other too.
    for metric in ('loss', 'accuracy'):
        axes = [re.findall(r'class="tick">([^<]*)<', each) for each in drawings if f'"{metric} over' in each]
        assert len(axes) == 2 and axes[0] == axes[1]
    assert figures.score_ticks([-20.0, 80.0, math.nan], percent=True) == (-100, -50, 0, 50, 100)
    assert max(figures.score_ticks([0.2, 0.31], percent=False)) <= 0.4
    assert '>0.3123<' in figures.bars('own', [figures.Bar('m-tuned', 'x', 0.3123, 0.2, 0.4)], percent=False)


def test_wordings_stand_at_their_dots_and_in_a_table(sweep):
    text = (sweep / 'report.html').read_text()
    assert re.search(r'<title>Tuned, template 3: [\d.]+\nWording 3 of\n\{text\}</title>', text)
    headings, rows = tables.template_rows(collected.collect(sweep), 'nli')
    assert headings == ['data set', 'template', 'wording', 'Tuned', 'No instructions', 'Untuned']
    row = next(row for row in rows if row[:2] == ['a', '3'])
    expected = task_scores('a', 0.8, 5, 0).template_scores()[3]['accuracy']
    assert row[2:4] == ['Wording 3 of\n{text}', f'{expected:.1f}']
    assert 'Wording 3 of\n{text}' in parse(text).text


def test_tables_have_captions_and_scopes(sweep):
    text = (sweep / 'report.html').read_text()
    found = re.findall('<table>.*?</table>', text, re.DOTALL)
    assert len(found) >= 8
    for table in found:
        assert re.match(r'<table>\s*<caption>\w', table)
        assert not re.search(r'<th\b(?! (class="shared" )?scope=)', table) and 'scope="row"' in table


def test_predictions_are_linked_and_are_json(sweep):
    links = {
        attributes['href']
        for tag, attributes in parse((sweep / 'report.html').read_text()).seen
        if tag == 'a' and not attributes['href'].startswith('#')
    }
    assert len(links) == 3 * len(CHANCES)
    for link in links:
        assert f']({link})' in (sweep / 'report.md').read_text()
        lines = gzip.decompress((sweep / link).read_bytes()).decode().splitlines()
        assert len(lines) in (80, 400) and all(json.loads(line)['answers'] for line in lines)


def test_predictions_are_all_there_or_as_before(tmp_path):
    predictions.write(tmp_path, {'a': [{'row': 1}], 'seqio:b/c': [{'row': 2}]})
    assert list(predictions.paths(tmp_path)) == ['a', 'seqio:b/c']

    def failing():
        yield {'row': 3}
        raise OSError('disk full')

    with pytest.raises(OSError, match='disk full'):
        predictions.write(tmp_path, {'a': [{'row': 3}], 'd': failing()})
    assert list(predictions.paths(tmp_path)) == ['a', 'seqio:b/c']
    predictions.write(tmp_path, {'d': [{'row': 3}]})
    assert list(predictions.paths(tmp_path)) == ['d'] and len(list(tmp_path.iterdir())) == 1


def luminance(colour):
    """Relative luminance, by WCAG 2."""
    shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize('theme', [0, 1])
def test_colours_contrast_with_the_page(theme):
    """3 to 1 for graphics and 4.5 to 1 for text, as WCAG 2.1 asks."""
    roots = re.findall(r':root \{(.*?)\}', (page.FOLDER / 'report.css').read_text(), re.DOTALL)
    colours = dict(re.findall(r'--(\w+): (#\w{6})\b', roots[theme]))
    for name in (*results.SYSTEMS, 'ink', 'soft'):
        for ground in ('card', 'page'):
            light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
            least = 4.5 if name in ('ink', 'soft', 'tuned') else 3
            assert (light + 0.05) / (dark + 0.05) >= least, (name, ground)


def test_curves_differ_by_more_than_colour():
    drawn = figures.curves(
        't', [figures.Curve('m-tuned', name, [(1, 0.5), (2, 0.7)]) for name in ('x', 'y')], 0, 1
    )
    first, second = (
        drawn[place : drawn.index('</g>', place)]
        for place in (found.start() for found in re.finditer('<g ', drawn))
    )
    assert ('dash0' in first and '<circle' in first) and ('dash1' in second and '<polygon' in second)


def test_further_metrics_are_shown(tmp_path, capsys):
    own = OwnScores(
        'own', 'm, n', 'generate', np.arange(4), {'share': 0.25, 'length': 7.5}, np.array([0.2, 0.3])
    )
    squad = np.tile([1.0, 0.5, 1.0], (4, 1))
    other = TaskScores(
        's', metrics.get_metric('squad_exact_match'), 'generate', np.arange(4), np.array([0, 1, 0, 1]), squad
    )
    made = results.make_result(
        {'own': own, 's': other},
        dict.fromkeys(('own', 's'), ('', '')),
        run='r',
        system='x',
        notes=('Half was cut.',),
    )
    results.save(tmp_path, made, {'own': own, 's': other})
    built = report.build(tmp_path)
    tables.print_tasks(made)
    printed = capsys.readouterr().out
    assert 'Half was cut.' in printed
    text = parse((tmp_path / 'report.html').read_text()).text
    for name, score in (
        ('share', '0.25'),
        ('length', '7.5'),
        ('squad_exact_match', '100.0'),
        ('squad_f1', '50.0'),
    ):
        row = next(row for row in tables.task_rows(built.of(None)) if row[1] == name)
        assert row[4].split(' ')[0] == score
        assert name in text and re.search(rf'\b{name[:12]}.*{score}', printed), (
            'a long name goes on in the next line'
        )
    # A constant 100 has Wilson's interval; a metric in its own units the one of its draws.
    assert [row[5] for row in tables.task_rows(built.of(None))] == ['0.2 to 0.3', '–', '51.0 to 100.0', '–']


def test_one_checkpoint_has_no_words_of_others(tmp_path, capsys):
    name = 'a_name_of_20_letters'
    scores = {name: task_scores(name, 0.5, 1, 0)}
    made = results.make_result(scores, {name: ('', '')}, run='r', system='r at step 2')
    results.save(tmp_path, made, scores)
    merged = loco.merge([str(tmp_path)])
    assert merged.title == 'r', 'nothing was held out'
    tables.print_tasks(made)
    printed = capsys.readouterr().out
    assert re.search(rf'^{name} +accuracy +\d+ x \d', printed, re.MULTILINE), printed  # 80 columns wide
    page, text = (tmp_path / 'report.html').read_text(), (tmp_path / 'report.md').read_text()
    assert 'Every data set: 1 score<' in page
    for part in ('Two systems', 'tuned without instructions', '| level |', '| held out |'):
        assert part not in text and part not in page
    assert f'| {name} | accuracy | r at step 2 |' in text


def test_results_without_resamples_have_no_interval_of_the_difference(tmp_path):
    for system, chance in (('tuned', 0.8), ('untuned', 0.5)):
        scores, places = {'a': task_scores('a', chance, 1, 0)}, {'a': ('nli', 'held_out_cluster')}
        made = results.make_result(scores, places, run='r', system=system, held_out='nli')
        results.save(tmp_path / 'nli' / system, made)
    (found,) = comparisons.verdict(collected.collect(tmp_path), 'nli')
    assert found.difference.mean > 0 and not found.above and 'not known' in found.interval()


def test_page_is_whole_and_self_contained(sweep):
    text = (sweep / 'report.html').read_text()
    parser = parse(text)
    tags = [tag for tag, _ in parser.seen]
    # Bars for each cluster, boxes for each task, loss and accuracy for each tuned run, reliability for
    # each task.
    assert tags.count('svg') == 2 + 3 + 4 + 3
    assert not [
        attributes for tag, attributes in parser.seen if tag in ('link', 'img') or 'src' in attributes
    ]
    assert tags.count('script') == 1 and '://' not in text
    ids = {attributes['id'] for _, attributes in parser.seen if 'id' in attributes}
    links = [attributes['href'] for tag, attributes in parser.seen if tag == 'a' and attributes['href'][0] == '#']
    assert len(links) > 8 and {link[1:] for link in links} <= ids
    for said in ('broken', 'template 3 | names no field', 'TRAIN_STEPS = 5', '1 x cpu', 'difference +'):
        assert said in parser.text
    # What was held out comes first.
    assert parser.text.index('removed with it') < parser.text.index('Scores on what was held out')


def test_markdown_opens_with_what_was_held_out(sweep):
    text = (sweep / 'report.md').read_text()
    lines = text.splitlines()
    assert lines[2] == (
        'The tuned model is above the untuned model with the same instructions on 2 of 2 held-out clusters '
        '(2 with the 95% interval of the difference above 0). '
        'The tuned model is above the untuned model with its best plain prompt on 2 of 2 held-out clusters '
        '(2 with the 95% interval of the difference above 0). '
        'The tuned model is above the better simple rule on 2 of 2 held-out clusters '
        '(2 with the 95% interval of the difference above 0).'
    )
    assert lines[4].startswith(
        '- **Held out: nli**; also removed because they overlap with it: paraphrase; tuned on 2 data sets of '
        '1'
    )
    assert 'template 3 \\| names no field' in text
    table = [line for line in lines if line.startswith('| nli | Tuned |')]
    summary = collected.collect(sweep).of('nli')['tuned'].groups['held_out_cluster']
    assert (
        f'{summary.mean:.1f} ± {summary.sd:.1f}' in table[0]
        and f'{summary.low:.1f} to {summary.high:.1f}' in table[0]
    )


def test_texts_of_strangers_stay_on_their_lines_of_markdown():
    text = 'a\n# b\r\n<img src=x> | \u202ec\x00 \n- d'
    assert tables.markdown_line(text) == 'a # b \\<img src=x> \\| ⟨U+202E⟩c⟨U+0000⟩ - d'
    assert tables.markdown_table(['x', 'y'], [[text, '1']])[2] == f'| {tables.markdown_line(text)} | 1 |'


def test_verdict_compares_with_the_best_rival(sweep):
    untuned, plain, rules = comparisons.verdict(collected.collect(sweep), 'nli')
    assert untuned.difference.mean > 15 and untuned.above and plain.above and rules.above
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
        collected.collect(tmp_path)
    with pytest.raises(ValueError, match='no results'):
        collected.collect(tmp_path / 'empty')


@pytest.mark.parametrize(
    ('field', 'found'), [('task', None), ('cluster', {}), ('num_rows', '9'), ('method', 1), ('level', [])]
)
def test_a_result_with_a_field_of_another_type_is_named(field, found, sweep, tmp_path):
    result = json.loads((sweep / 'nli' / 'chance' / results.RESULT).read_text())
    result['tasks'][0][field] = found
    (tmp_path / results.RESULT).write_text(json.dumps(result))
    with pytest.raises(ValueError, match=f'holds no readable result .{field} is'):
        results.load(tmp_path / results.RESULT)


def test_files_of_a_report_are_written_all_or_none(tmp_path):
    results.write_texts(tmp_path, {'a': 'old', 'b': 'old'})
    with pytest.raises(OSError, match='cannot write'):
        results.write_texts(tmp_path, {'a': 'new', 'b/c': 'new', 'd': 'new'})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {'a': 'old', 'b': 'old'}


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
    assert printed.count('95.4-100.0') == len(clusters) and '…' not in printed
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
    assert collected.collect(tmp_path).held_out() == names


def test_series_count_what_was_tuned_on(tmp_path):
    """The third cluster of five has no data, and plain text is no cluster."""
    tuned_on = {
        'nli_first_1': ('math',),
        'nli_first_2': ('math', 'sentiment'),
        'nli_first_3': ('math', 'sentiment'),
        'nli_first_4': ('math', 'sentiment', 'coreference'),
        'nli': ('math', 'sentiment', 'coreference', 'translation'),
    }
    for place, (name, trained) in enumerate(tuned_on.items()):
        result = results.make_result(
            {'a': task_scores('a', 0.5, 1, place)}, {'a': ('nli', 'held_out_cluster')}, run='r', system='tuned', held_out=name,
            trained={cluster: ['m'] for cluster in trained} | {'': ['text']}, shots=2,
        )  # fmt: skip
        results.save(tmp_path / name / 'tuned', result)

    def points():
        found = series.find(collected.collect(tmp_path))
        return {each.kind: [(count, result.held_out) for count, result in each.points] for each in found}

    counts = [(1, 'nli_first_1'), (2, 'nli_first_2'), (2, 'nli_first_3'), (3, 'nli_first_4')]
    assert points() == {'clusters': [*counts, (4, 'nli')]}
    assert series.standing_alone(collected.collect(tmp_path)) == ['nli']
    report.build(tmp_path)
    assert 'Tuned on 5 data sets of 4 clusters' in (tmp_path / 'report.html').read_text()
    assert 'tuned on 5 data sets of 4 clusters (math,' in (tmp_path / 'report.md').read_text()
    shutil.rmtree(tmp_path / 'nli')
    assert points() == {'clusters': counts}
    assert series.standing_alone(collected.collect(tmp_path)) == ['nli_first_4'], 'the last that is there'


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
    assert drawn.index('"halo"') < drawn.index('"whisker"'), 'which contrasts with the bar below it, too'
    assert 'nan' not in figures.boxes(
        't', [figures.Box('m-tuned', 'x', [('a', math.nan, ''), ('b', 3.0, '')])]
    )
    assert figures.curves('t', [figures.Curve('m-tuned', 'x', [])], 0, 1) == ''


def test_settings_that_differ_from_the_defaults():
    """A part of another class than the default has its own defaults; of one without a default nothing is
    said but its values.
    """

    @config.value
    class Inner:
        size: int = 3
        rate: float = 0.5

    @config.value
    class Other:
        size: int = 3
        depth: int = 1

    @config.value
    class Outer:
        path: str
        given: Inner
        part: Inner | Other = Inner(size=4)
        names: tuple[str, ...] = ('a',)
        extra: Mapping[str, int] = config.FrozenDict()

    same = Outer('x', Inner())
    assert settings.changed(config.to_text(same)) == [('path', '"x"', 'no default')]
    other = Outer('x', Inner(rate=1.0), Other(depth=2), ('a', 'b = c'), {'k': 1})
    found = settings.changed(config.to_text(other))
    place = [field for field, _, _ in found].index('part.type')
    assert [text.rpartition('.')[2] for text in found.pop(place)[1:]] == ['Other"', 'Inner"']
    assert found == [
        ('path', '"x"', 'no default'),
        ('given.rate', '1.0', '0.5'),
        ('part.depth', '2', '1'),
        ('names', '["a", "b = c"]', '["a"]'),
        ('extra.k', '1', 'no default'),
    ]
    texts = {name: config.to_text(each) for name, each in (('A', same), ('B', other))}
    assert ['given.rate', '0.5', '1.0'] in settings.differing(texts)
    assert ['part.depth', '–', '2'] in settings.differing(texts) and len(settings.differing(texts)) == 7
    assert settings.changed('TRAIN_STEPS = 5\nno line') == [('TRAIN_STEPS', '5', 'no default')]
    for name in ('Inner', 'Other', 'Outer'):
        config.TYPES.pop(name)


def test_settings_stand_beside_what_they_were_made_from(sweep):
    text = parse((sweep / 'report.html').read_text()).text
    table = ''.join(text[text.index('Settings that differ from some.gin') :][:200].split())
    assert table.startswith('Settingsthatdifferfromsome.ginsettingvalueinsome.ginTRAIN_STEPS5250')


def test_csv_and_latex_lie_beside_the_page(sweep):
    with (sweep / 'report.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    kept = json.loads((sweep / 'results.json').read_text())
    assert rows == [{name: '' if cell is None else str(cell) for name, cell in row.items()} for row in kept]
    text = (sweep / 'report.tex').read_text()
    found = re.findall(r'\\begin\{longtable\}\{([^\n]+)\}\n(.*?)\\end\{longtable\}', text, re.DOTALL)
    assert len(found) >= 4 and text.count(r'\toprule') == text.count(r'\bottomrule') == len(found)
    for columns, body in found:
        for line in body.splitlines():
            if line.endswith(r' \\'):
                assert len(re.findall(r'(?<!\\)&', line)) == len(re.sub('{.*?}', '', columns)) - 1, line
    assert 'template 3 \\textbar{} names no field' in text and found[0][0] == 'llrrrr'
    assert latex.tex('50% of_x & {a}\\b ~^#$ \u202e<') == (
        r'50\% of\_\allowbreak{}x \& \{a\}\textbackslash{}b \textasciitilde{}\textasciicircum{}\#\$ '
        r'$\langle$U+202E$\rangle$\textless{}'
    )


def test_what_was_left_out_has_its_reasons(sweep):
    rows = tables.left_out_rows(collected.collect(sweep))
    assert ['nli', 'nli', 'held out', '', 'all are scored, and none was tuned on: a, b'] in rows
    assert [
        'nli',
        'paraphrase',
        'removed from tuning',
        '',
        'it overlaps with nli (FLAN, section 2.2)',
    ] in rows
    skipped = [row for row in rows if row[2] == 'skipped']
    everyone = 'Tuned, No instructions, Untuned, Untuned, plain, Majority, Chance or copy'
    assert skipped == [['nli', 'broken', 'skipped', everyone, 'template 3 | names no field']]


def test_questions_and_size_are_capped(tmp_path):
    """25 data sets of long texts, which letters of other scripts and of markup make longer yet."""
    text = '<&"\'> 森林 ' * 400
    records = [
        {'row': row, 'template': template, 'inputs': f'{row} {text}', 'options': [text + str(n) for n in range(20)], 'answers': [text + '1'],
         'prediction': text + '2', 'scores': [-0.5 * n for n in range(20)], 'values': {'accuracy': 0.0}}
        for row in range(6) for template in range(10)
    ]  # fmt: skip
    tasks = {f'd{number}': task_scores('d', 0.5, 10, number) for number in range(25)}
    tasks = {name: dataclasses.replace(scored, task=name) for name, scored in tasks.items()}
    for system in ('tuned', 'untuned'):
        places = dict.fromkeys(tasks, ('nli', 'held_out_cluster'))
        made = results.make_result(tasks, places, run='r', system=system, held_out='nli')
        predictions.write(tmp_path / 'nli' / system, dict.fromkeys(tasks, records))
        results.save(tmp_path / 'nli' / system, made, tasks)
    report.build(tmp_path)
    assert (tmp_path / 'report.html').stat().st_size < 5e6
    shown = parse((tmp_path / 'report.html').read_text())
    counts = [attributes for tag, attributes in shown.seen if attributes.get('class') == 'question']
    assert len(counts) == 25 * data_sets.FEWEST
    assert f'{data_sets.FEWEST} questions, taken evenly over rows and templates' in shown.text
    assert 'more characters)' in shown.text and 'and 8 more options' in shown.text


def test_robustness_stands_in_the_report(sweep, tmp_path):
    """Of a model of the sweep, also where it is merged, and of a run beside whose evaluation it lies."""
    row = paired.Row('data set', 'a', 40.0, 62.5, -30.0, -15.0, 0.01, 0.02, 80)
    changes = (
        robustness.Change('option_order', row, (39.0, 41.0), 37.5),
        robustness.Change('templates', dataclasses.replace(row, p=math.nan), (), 12.0),
    )
    found = robustness.Robustness(
        'tuned at step 5', changes, ({'a': {'yes': 'lemon'}},), ('One is left out.',)
    )
    for folder in (sweep / 'nli/tuned', sweep / 'run'):
        robustness.write(folder / 'robustness/toy-test', found)
    again = robustness.load(sweep / 'run/robustness/toy-test/robustness.json')
    assert str(again) == str(found)  # nan is not equal to itself
    shutil.copytree(sweep / 'nli/untuned', sweep / 'run/eval/toy-test')
    loco.merge([str(sweep)], str(tmp_path / 'merged'))
    for place in (sweep, sweep / 'run/eval/toy-test', tmp_path / 'merged'):
        report.build(place)
        text = parse((place / 'report.html').read_text()).text
        for said in (
            'tuned at step 5',
            '-30.0 to -15.0',
            '37.5%',
            'yes → lemon',
            'One is left out.',
            '39.0 to 41.0',
        ):
            assert said in text
    (sweep / 'nli/tuned/robustness/toy-test/robustness.json').write_text('{"rows": [{}]}')
    with pytest.raises(ValueError, match=r'robustness\.json holds no readable robustness'):
        report.build(sweep)
    for folder in (sweep / 'nli/tuned/robustness', sweep / 'run'):
        shutil.rmtree(folder)


def test_labels_that_would_be_alike_keep_their_ends():
    names = ['pocket_same_sentence', 'pocket_same_sense', 'short', 'reading_comprehension']
    assert list(page.shortened(names).values()) == [
        'pocket_…entence',
        'pocket_…e_sense',
        'short',
        'reading_compre…',
    ]
    names = ['pocket_story_yes_no', 'pocket_same_sentence', 'pocket_nli']
    assert list(page.shortened(names).values()) == ['story_yes_no', 'same_sentence', 'nli']
    assert list(page.shortened(['pocket_ab', 'pocket_a']).values()) == ['pocket_ab', 'pocket_a']
    assert page.shortened([]) == {}


def test_jobs_that_share_a_folder_do_not_break_each_others_predictions(tmp_path, monkeypatch):
    monkeypatch.setattr(writing.os, 'getpid', lambda: 1)

    def records():
        yield {'row': 1}
        predictions.write(tmp_path, {'a': [{'row': 2}]})

    predictions.write(tmp_path, {'a': records()})
    lines = gzip.decompress((tmp_path / 'predictions' / 'a.jsonl.gz').read_bytes())
    assert json.loads(lines) == {'row': 1} and len(list(tmp_path.iterdir())) == 1


def test_predictions_that_cannot_be_written_name_the_file_and_leave_nothing(tmp_path):
    def full():
        raise OSError(errno.ENOSPC, 'No space left on device')
        yield

    killed = tmp_path / '.predictions.1.00'
    killed.mkdir()
    os.utime(killed, (0, 0))
    with pytest.raises(OSError, match=r'cannot write .*/predictions/a\.jsonl\.gz: No space left') as raised:
        predictions.write(tmp_path, {'a': full()})
    assert 'free some space' in str(raised.value) and not list(tmp_path.iterdir())
