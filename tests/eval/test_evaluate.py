import dataclasses
import gzip
import json
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
import toyeval as toy

from flanlite.data.cache import cache
from flanlite.data.cache.view import View
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import ByteVocabulary
from flanlite.eval import baselines, evaluate, evaluator, rank, splits, systems
from flanlite.eval.evaluate import EvalConfig
from flanlite.eval.evaluator import Evaluator, sample_places
from flanlite.eval.load import Model
from flanlite.eval.splits import Opened
from flanlite.mesh.partitioning import make_partitioner
from flanlite.metrics.metric import Metric
from flanlite.mixtures import flan2021
from flanlite.model.soft_prompt import SoftPrompt
from flanlite.report import predictions, results
from flanlite.training import parameters

VOCABULARY = vocabularies.load('bytes')


@pytest.fixture(scope='module')
def opened():
    return splits.open_splits(['toyeval_parity', 'toyeval_copy'], View('test', VOCABULARY, renderings='all'))


@pytest.fixture(scope='module')
def scored(opened):
    return Evaluator(opened.splits, VOCABULARY, toy.LENGTHS).run(toy.CONFIG, toy.params())


def test_ranked_predictions_are_the_best_options(opened, scored):
    parity = scored['toyeval_parity']
    examples = list(opened.splits['toyeval_parity'].examples())
    questions = [rank.Question(example.inputs, example.option_tokens) for example in examples]
    scores = rank.score(toy.CONFIG, toy.params(), make_partitioner(), questions)
    assert parity.method == 'rank'
    assert parity.predictions == tuple(
        example.options[np.argmax(each)] for example, each in zip(examples, scores, strict=True)
    )
    right = [
        prediction in example.answers
        for prediction, example in zip(parity.predictions, examples, strict=True)
    ]
    np.testing.assert_array_equal(parity.counts, np.stack([right, np.ones(len(right))], axis=1))


def test_every_row_meets_every_template_but_inverted_ones(scored):
    assert {name: scores.sums().shape[:2] for name, scores in scored.items()} == {
        'toyeval_parity': (12, 3),
        'toyeval_copy': (12, 2),
    }


def test_without_options_answers_are_generated(scored):
    copied = scored['toyeval_copy']
    assert (copied.method, copied.metric_name, len(copied.predictions)) == (
        'generate',
        'squad_exact_match',
        24,
    )


def test_one_template_only(opened, scored):
    only = Evaluator({'toyeval_parity': opened.splits['toyeval_parity']}, VOCABULARY, toy.LENGTHS)
    alone = only.run(toy.CONFIG, toy.params(), template={'toyeval_parity': 1})['toyeval_parity']
    every = scored['toyeval_parity']
    kept = every.templates == 1
    assert alone.predictions == tuple(np.array(every.predictions)[kept])
    np.testing.assert_array_equal(alone.counts, every.counts[kept])


def test_long_inputs_are_cut_and_noted(opened):
    evaluator = Evaluator(opened.splits, VOCABULARY, {'inputs': 9, 'targets': 4})
    assert len(evaluator.cut(np.arange(20))) == 9
    assert any('toyeval_parity are longer than 9 tokens' in note for note in evaluator.notes(toy.CONFIG))
    assert Evaluator(opened.splits, VOCABULARY).notes(toy.CONFIG) == []
    # A soft prompt takes its room.
    longest = max(int(split.lengths[:, 0].max()) for split in opened.splits.values())
    roomy = Evaluator(opened.splits, VOCABULARY, {'inputs': longest, 'targets': 4})
    assert roomy.notes(toy.CONFIG) == []
    (note, *_) = roomy.notes(toy.CONFIG.replace(adapter=SoftPrompt(length=3)))
    assert f'longer than {longest} tokens, 3 of a soft prompt among them, and were cut.' in note


class Rows:
    """A split of examples in memory."""

    manifest = {'source': 'made up'}

    def __init__(self, examples):
        self.rows = list(examples)
        self.lengths = np.array([[len(example.inputs), len(example.targets)] for example in self.rows])

    def examples(self, limit=None):
        return iter(self.rows[:limit])


def test_rows_without_options_are_left_out_with_a_note(opened, scored):
    every, name = list(opened.splits['toyeval_parity'].examples()), 'toyeval_parity'
    bare = [
        dataclasses.replace(each, options=(), option_tokens=()) if each.row == every[0].row else each
        for each in every
    ]
    some = Evaluator({name: Rows(bare)}, VOCABULARY, toy.LENGTHS)
    found, whole = some.run(toy.CONFIG, toy.params())[name], scored[name]
    kept = whole.rows != every[0].row
    assert found.method == 'rank' and found.predictions == tuple(np.array(whole.predictions)[kept])
    np.testing.assert_array_equal(found.counts, whole.counts[kept])
    note = 'Rows of toyeval_parity without options were left out, since others have some: 1 of 12.'
    assert some.notes(toy.CONFIG) == [note]
    chance = baselines.chance(name, Rows(bare), None, VOCABULARY)
    assert chance.counts.tolist() == [[0.5, 1.0]] * 11
    held = types.SimpleNamespace(
        test=Opened({name: Rows(bare)}, {}), sweep=types.SimpleNamespace(vocabulary=VOCABULARY)
    )
    ruled = systems.by_rule(held, {name: chance}, {})
    assert ruled.notes == [note] and len(list(ruled.records(chance))) == 11


def test_options_that_are_the_same_tokens_are_counted_in_a_note(opened):
    every, name = list(opened.splits['toyeval_parity'].examples()), 'toyeval_parity'
    rows = sorted({example.row for example in every})[:3]
    alike = [
        dataclasses.replace(each, option_tokens=each.option_tokens[:1] * 2) if each.row in rows else each
        for each in every
    ]
    some = Evaluator({name: Rows(alike)}, VOCABULARY, toy.LENGTHS)
    found = some.run(toy.CONFIG, toy.params())[name]
    taken = [text for text, row in zip(found.predictions, found.rows, strict=True) if row in rows]
    assert taken == [every[0].options[0]] * 9
    (note,) = some.notes(toy.CONFIG)
    assert 'toyeval_parity have options that are the same tokens' in note and note.endswith(': 3 of 12.')


def test_notes_on_examples_of_ones_own():
    """Two emoji that a vocabulary does not know are one unknown token each."""

    @dataclasses.dataclass(frozen=True)
    class Ascii(ByteVocabulary):
        def encode_batch(self, texts):
            return super().encode_batch([text.encode('ascii', 'replace').decode() for text in texts])

    model = Model(toy.CONFIG, toy.params(), Ascii(VOCABULARY.name))
    asked = [{'inputs': 'mood', 'options': ['😀', '😡'], 'answers': ['😀']}] * 2
    result = evaluate.evaluate_examples(model, [*asked, {**asked[0], 'options': ['😀', 'no']}], name='moods')
    (note,) = result.notes
    assert 'moods have options that are the same tokens' in note and note.endswith(': 2 of 3.')
    assert [sample['prediction'] for sample in result.samples[:2]] == ['😀'] * 2


def test_records_say_what_was_asked_and_answered(opened, scored):
    """Whoever reads them can compute the scores again."""
    asking = Evaluator(opened.splits, VOCABULARY, toy.LENGTHS)
    for name, words in (
        ('toyeval_parity', ('parity', 'even', 'odd')),
        ('toyeval_copy', ('second of', 'last of')),
    ):
        found = list(asking.records(scored[name]))
        assert [record['prediction'] for record in found] == list(scored[name].predictions)
        rows = toy.rows('test')
        for record in found:
            assert record['inputs'] == '{} {a} {b}?'.format(words[record['template']], **rows[record['row']])
        right = [100.0 * (record['prediction'] in record['answers']) for record in found]
        if name == 'toyeval_parity':
            assert [record['options'] for record in found] == [['even', 'odd']] * len(found)
            best = [record['options'][int(np.argmax(record['scores']))] for record in found]
            assert best == list(scored[name].predictions)
            assert [record['values'] for record in found] == [{'accuracy': each} for each in right]
        else:
            assert not any({'options', 'scores'} & set(record) for record in found)
            assert [record['values']['squad_exact_match'] for record in found] == right
    cut = Evaluator(opened.splits, VOCABULARY, {'inputs': 4, 'targets': 8})
    assert next(cut.records(scored['toyeval_copy']))['inputs'] == 'seco', 'as the model read it'


def test_samples_are_spread_over_rows_and_templates(opened, scored):
    places = sorted(sample_places(scored['toyeval_parity'], count=3))
    rows, templates = (getattr(scored['toyeval_parity'], name)[places] for name in ('rows', 'templates'))
    assert rows.tolist() == [2, 6, 10] and len(places) == 3
    assert sample_places(scored['toyeval_parity'], count=40) == sample_places(
        scored['toyeval_parity'], count=12
    )
    shown = list(Evaluator(opened.splits, VOCABULARY, toy.LENGTHS).records(scored['toyeval_parity'], places))
    assert [(each['row'], each['template']) for each in shown] == list(zip(rows, templates, strict=True))


def test_copy_baseline_reads_the_bare_fields():
    test = splits.open_splits(['toyeval_copy'], View('test', VOCABULARY, renderings='all')).splits[
        'toyeval_copy'
    ]
    bare = splits.open_splits(
        ['toyeval_copy'], View('test', VOCABULARY, style='fields', renderings='all')
    ).splits['toyeval_copy']
    assert VOCABULARY.decode(bare.read(0).inputs) == '{a}\n{b}'.format(**toy.rows('test')[bare.read(0).row])
    assert baselines.chance('toyeval_copy', test, bare, VOCABULARY).counts.shape[0] == 12


def test_training_answers_are_spread_over_the_split():
    train = cache.ensure(['toyeval_parity'], View('train', VOCABULARY, style='fields')).splits[
        'toyeval_parity'
    ]
    answers = baselines.training_answers(train, VOCABULARY)
    assert sorted(answers) == sorted(('even', 'odd')[row['a'] % 2] for row in toy.rows('train'))


def test_eight_devices_and_any_size_of_batches_give_the_same_scores():
    code = """
import numpy as np, toyeval as toy, test_rank, jax
from flanlite.eval import generate, rank
from flanlite.model import models
from flanlite.mesh.partitioning import MeshConfig, make_partitioner
asked = test_rank.questions(9, max_options=4)
found = []
for shape, tokens in (((1, 1), 100), ((1, 1), 4096), ((8, 1), 512), ((4, 2), 100)):
    partitioner = make_partitioner(MeshConfig(mesh_shape=shape))
    params = jax.device_put(toy.params(), models.shardings(toy.CONFIG, partitioner))
    answers = generate.generate(toy.CONFIG, params, partitioner, [q.inputs for q in asked], generate.Decoding(max_length=3), 1, tokens)
    found.append((np.concatenate(rank.score(toy.CONFIG, params, partitioner, asked, tokens)), [answer.tolist() for answer in answers]))
for scores, answers in found[1:]:
    np.testing.assert_allclose(scores, found[0][0], rtol=0, atol=1e-4)
    assert answers == found[0][1]
"""
    here = str(pathlib.Path(__file__).parent)
    environment = os.environ | {
        'XLA_FLAGS': '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0',
        'PYTHONPATH': here,
        'JAX_PLATFORMS': 'cpu',
    }
    subprocess.run([sys.executable, '-c', code], check=True, env=environment)


def test_broken_tasks_are_skipped_with_their_reason(monkeypatch):
    broken = dataclasses.replace(toy.COLLECTION.specs[0], fields=lambda row: {'a': row['a'], 'answer': 0})
    monkeypatch.setattr('flanlite.data.specs.registry.find_spec', lambda name: broken)
    found = splits.open_splits(['toyeval_order'], View('test', VOCABULARY, renderings='all'))
    assert not found.splits and "names the field 'b'" in found.skipped['toyeval_order']


def test_an_evaluation_writes_a_report(tmp_path):
    path = tmp_path / 'toy.safetensors'
    metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    parameters.save_params(path, toy.params(), toy.CONFIG, dtype='float32', metadata=metadata)
    config = EvalConfig(str(path), 'toyeval', output=str(tmp_path / 'out'), max_rows=4)
    (tmp_path / 'manifest.json').write_text('{"name": "of another program"}')
    result = evaluate.evaluate(config)
    assert [task.num_rows for task in result.tasks] == [4, 4, 4, 4]
    rows = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert {row['task'] for row in rows} == {spec.name for spec in toy.COLLECTION.specs}
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'toyeval' in page and 'max_rows = 4' in page, 'with its configuration'
    assert 'even {a} {b}?' in page, 'and with the wording of templates'
    kept = {task: path.read_bytes() for task, path in predictions.paths(tmp_path / 'out').items()}
    assert set(kept) == {spec.name for spec in toy.COLLECTION.specs}
    lines = gzip.decompress(kept['toyeval_parity']).decode().splitlines()
    assert len(lines) == 4 * 3 and 'predictions/toyeval_parity.jsonl.gz' in page
    mean = np.mean([json.loads(line)['values']['accuracy'] for line in lines])
    assert mean == pytest.approx(
        next(task.summary.mean for task in result.tasks if task.task == 'toyeval_parity')
    )
    # What was read and written, by the bytes of the texts; each has an end.
    asked = [
        json.loads(line) for each in kept.values() for line in gzip.decompress(each).decode().splitlines()
    ]
    sizes = [
        (
            len(each['inputs'].encode()) + 1,
            sum(len(text.encode()) + 1 for text in each.get('options', [each['prediction']])),
        )
        for each in asked
    ]
    assert result.costs == {
        'questions': len(asked),
        'score_tokens': np.sum(sizes),
        'score_flops': sum(2 * toy.CONFIG.multiply_adds(*size) for size in sizes),
    }
    # Other settings do not replace these results, the same ones do; where things lie is no setting.
    with pytest.raises(ValueError, match=r'other settings: max_rows was 4, now it is 2; .* another --output'):
        evaluate.evaluate(config.replace(max_rows=2))
    assert {task: path.read_bytes() for task, path in predictions.paths(tmp_path / 'out').items()} == kept
    evaluate.evaluate(config.replace(predictions=False))
    assert (
        not predictions.paths(tmp_path / 'out')
        and '.jsonl.gz' not in (tmp_path / 'out' / 'report.html').read_text()
    )
    assert dict(line.split(' = ') for line in result.settings.splitlines())['mixture.name'] == '"toyeval"'
    with pytest.raises(ValueError, match='EvalConfig needs a value for mixture'):
        EvalConfig(str(path))


@pytest.mark.parametrize('task', ['toyeval_parity', 'toyeval_copy'])
def test_scores_that_are_not_finite_are_refused(opened, task):
    only = Evaluator({task: opened.splits[task]}, VOCABULARY, toy.LENGTHS)
    with pytest.raises(ValueError, match=f'row [0-9]+ of {task} .* nan: its parameters or activations are'):
        only.run(toy.CONFIG, toy.not_finite())


def test_an_evaluation_of_what_is_not_finite_writes_nothing(tmp_path):
    path = tmp_path / 'toy.safetensors'
    metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    parameters.save_params(path, toy.not_finite(), toy.CONFIG, dtype='float32', metadata=metadata)
    with pytest.raises(ValueError, match=r'decoder_norm/scale in .* has 1 of 16 numbers that are not finite'):
        evaluate.evaluate(EvalConfig(str(path), 'toyeval', output=str(tmp_path / 'out'), max_rows=4))
    assert not (tmp_path / 'out').exists()


def test_examples_of_ones_own_are_scored():
    model = Model(toy.CONFIG, toy.params(), VOCABULARY)
    rows = toy.rows('test')[:6]
    ranked = [
        {'inputs': f'parity {row["a"]}', 'options': ['even', 'odd'], 'answers': ['even']} for row in rows
    ]
    result = evaluate.evaluate_examples(model, ranked)
    chosen = [model.rank(example['inputs'], ['even', 'odd'])[0].text for example in ranked]
    assert [sample['prediction'] for sample in result.samples] == chosen
    assert {(sample['template'], len(sample['scores'])) for sample in result.samples} == {(None, 2)}
    assert [sample['row'] for sample in result.samples] == list(range(6))
    assert result.tasks[0].summary.mean == pytest.approx(100 * np.mean([text == 'even' for text in chosen]))
    written = evaluate.evaluate_examples(
        model, [{'inputs': 'say', 'targets': 'something'}], metric='squad_f1'
    )
    assert written.tasks[0].headline == 'squad_f1'


def test_a_metric_of_ones_own_scores_a_data_set(opened, scored, monkeypatch):
    mine = Metric('brevity', ('brief', 'empty'), lambda said, answers: (len(said) < 9, not said, 1))
    spec = dataclasses.replace(registry.find_spec('toyeval_copy'), metric=mine)
    assert spec.fingerprint() == registry.find_spec('toyeval_copy').fingerprint(), 'the cache does not change'
    monkeypatch.setattr(registry, 'find_spec', lambda name: spec)
    examples = list(opened.splits['toyeval_copy'].examples())
    predictions = scored['toyeval_copy'].predictions
    found = evaluator.score_task('toyeval_copy', 'generate', examples, predictions, VOCABULARY)
    task = results.task_result(found, 'translation', '', {})
    assert (task.metric, task.headline) == ('brevity', 'brief')
    expected = {
        'brief': 100 * np.mean([len(said) < 9 for said in predictions]),
        'empty': 100 * np.mean([said == '' for said in predictions]),
    }
    assert tasks.metric_function(mine)([['']] * len(predictions), predictions) == pytest.approx(expected)
    by_template = [entry['scores'] for entry in task.templates]
    assert np.mean([named['brief'] for named in by_template]) == pytest.approx(expected['brief'])


def test_a_metric_that_cannot_count_is_refused_before_a_model_is_asked(opened, monkeypatch):
    broken = Metric('broken', ('broken',), lambda said, answers: (1 / (len(answers) - 1), 1))
    spec = dataclasses.replace(registry.find_spec('toyeval_copy'), metric=broken)
    monkeypatch.setattr(registry, 'find_spec', lambda name: spec)
    model = Model(toy.CONFIG, toy.params(), VOCABULARY)
    monkeypatch.setattr(rank, 'score', None)
    with pytest.raises(ValueError, match=r"the metric 'broken' fails on the prediction .*ZeroDivisionError"):
        Evaluator(opened.splits, VOCABULARY).run(toy.CONFIG, None)
    with pytest.raises(ValueError, match="the metric 'broken' fails on the prediction 'b'"):
        evaluate.evaluate_examples(model, [{'inputs': 'a', 'targets': 'b'}], metric=broken)
    with pytest.raises(ValueError, match=r"counts the answers yes, no, but the options are \('No', 'Yes'\)"):
        asked = [{'inputs': 'a', 'targets': 'Yes', 'options': ['No', 'Yes']}]
        evaluate.evaluate_examples(model, asked, metric='glue_accuracy_f1')


@pytest.mark.parametrize(
    ('examples', 'message'),
    [
        ([], 'got 0 examples'),
        (
            [{'inputs': 'a', 'targets': 'b'}, {'inputs': 'a', 'targets': 'b', 'options': ['b']}],
            'got 2 examples, 1 of them with options',
        ),
        ([{'targets': 'b'}], 'example 0 has inputs None'),
        ([{'inputs': 'a', 'answers': 'b'}], "example 0 has answers 'b'; expected .* lists of texts"),
        ([{'inputs': 'a'}], 'example 0 has answers None'),
    ],
)
def test_examples_that_lack_something_are_named(examples, message):
    with pytest.raises(ValueError, match=message):
        evaluate.evaluate_examples(Model(toy.CONFIG, toy.params(), VOCABULARY), examples)


def test_level_of_a_task():
    trained = {'nli': ['rte'], 'math': ['sums']}
    assert splits.level('rte', 'nli', trained) == 'held_in'
    assert splits.level('cb', 'nli', trained) == 'held_out_task'
    assert splits.level('sst2', 'sentiment', trained) == 'held_out_cluster'
    assert splits.level('rte', 'nli', {}) == ''


def test_questions_of_multirc_are_right_as_a_whole():
    """Template 0 judges both answers of question a right, and one of b; template 1 the other way round."""
    ids = np.array([5, 1], np.int32)
    asked = [(row, template, group) for row, group in enumerate('aabb') for template in (0, 1)]
    examples = [
        Example(ids, ids, row, template, ('no', 'yes'), answers=('yes',), group=group)
        for row, template, group in asked
    ]
    predictions = ['no' if (row, template) in ((3, 0), (0, 1)) else 'yes' for row, template, _ in asked]
    assert registry.find_spec('multirc') is flan2021.reading_comprehension.MULTIRC
    scores = evaluator.score_task('multirc', 'rank', examples, predictions, VOCABULARY)
    found = [
        [named[name] for name in ('multirc_f1a', 'multirc_exact_match', 'accuracy')]
        for named in scores.template_scores().values()
    ]
    assert found == [pytest.approx([100 * 6 / 7, 50, 75])] * 2
