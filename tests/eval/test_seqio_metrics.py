import fractions
import functools
import json

import flax
import numpy as np
import pytest
import toyeval as toy

from flanlite.cli import main as cli
from flanlite.data.cache import cache
from flanlite.data.cache.view import View
from flanlite.data.mixing import mixtures
from flanlite.data.tokens import vocabularies
from flanlite.eval import evaluate, generate, rank, seqio_metrics, splits
from flanlite.eval.evaluate import EvalConfig
from flanlite.eval.evaluator import Evaluator
from flanlite.eval.rank import Question
from flanlite.eval.seqio_metrics import MetricError
from flanlite.mesh.partitioning import make_partitioner
from flanlite.report.scores import summarize
from flanlite.training import parameters

seqio = pytest.importorskip('seqio')
tf = pytest.importorskip('tensorflow')

BYTES = vocabularies.load('bytes')
COUNT = 9


@pytest.fixture(autouse=True)
def registry(monkeypatch, tmp_path):
    monkeypatch.setenv('FLANLITE_CACHE_DIR', str(tmp_path / 'cache'))
    yield
    seqio.TaskRegistry.reset()
    seqio.MixtureRegistry.reset()


def postprocess(text, example, is_target):
    """A target becomes all its aliases with their weight; a prediction gets what stands in its example behind
    it.
    """
    if is_target:
        return [text, *(alias.decode() for alias in example['aliases'])], example['about']['weight']
    return text + example['behind'].decode() + example['inputs_pretokenized'].decode()


def alike(targets, predictions):
    pairs = zip(targets, predictions, strict=True)
    shares = [weight * max(len(set(text) & set(given)) for text in texts) for (texts, weight), given in pairs]
    in_order = sum(place * len(given) for place, given in enumerate(predictions))
    return {
        'alike': np.mean(shares),
        'in_order': seqio.metrics.Scalar(in_order),
        'said': seqio.metrics.Text(predictions[0]),
    }


def likely(targets, scores, base=2):
    return {'likely': float(np.sum(scores * [weight for _, weight in targets]) / np.log(base))}


@flax.struct.dataclass
class Tokens(seqio.metrics.CollectingMetric):
    model_output_type: seqio.metrics.ModelOutputType = seqio.metrics.ModelOutputType.PREDICTION

    def actual_compute(self, dataset, features, target_field_name='targets', cached_targets=None):
        return {
            'tokens': int(np.asarray(self.values['model_output']).sum()),
            'examples': len(list(dataset)),
        }, {'targets': []}


def add(name, metric_fns=(alike, likely), postprocess_fn=postprocess, **more):
    rows = {
        'inputs': [f'question {place}' for place in range(COUNT)],
        'targets': [f'{place}' * (1 + place % 3) for place in range(COUNT)],
        'aliases': [[f'a{place}', 'é'] for place in range(COUNT)],
        'behind': ['!' * place for place in range(COUNT)],
        'about': {'weight': np.linspace(1, 2, COUNT, dtype=np.float32)},
        'spans': tf.ragged.constant([[[place] * place, [1]] for place in range(COUNT)]),
    }
    feature = seqio.Feature(seqio.ByteVocabulary(), add_eos=True)

    def dataset(split, shuffle_files, seed=None):
        return tf.data.Dataset.from_tensor_slices(rows)

    return seqio.TaskRegistry.add(
        name,
        source=seqio.FunctionDataSource(dataset, ['train', 'test']),
        preprocessors=[seqio.preprocessors.tokenize, seqio.preprocessors.append_eos],
        output_features={'inputs': feature, 'targets': feature}, metric_fns=list(metric_fns), postprocess_fn=postprocess_fn, **more,
    )  # fmt: skip


def answer(place):
    """Made-up tokens of an answer, with EOS."""
    return np.array([*np.random.default_rng(place).integers(36, 120, 2 + place % 4), 1], np.int32)


def log_prob(place):
    return np.float32(-1.5 * place)


def scored(name):
    """What our scorer makes of the made-up answers."""
    opened = splits.open_splits([name], View('test', BYTES, renderings='all'))
    examples = list(opened.splits[name].examples())
    answers = [answer(example.row) for example in examples]
    log_probs = np.array([log_prob(example.row) for example in examples])
    return opened, seqio_metrics.score(seqio.TaskRegistry.get(name), examples, answers, log_probs)


def seqio_result(name):
    """What SeqIO's Evaluator makes of the same answers."""
    evaluator = seqio.Evaluator(name, seqio.EncDecFeatureConverter(pack=False), eval_split='test')
    answers = [(place, np.pad(answer(place), (0, 8))[:8]) for place in range(COUNT)]
    log_probs = [(place, log_prob(place)) for place in range(COUNT)]
    return evaluator.evaluate(
        compute_metrics=True, predict_fn=lambda _: answers, score_fn=lambda _: log_probs
    )[0].result()[name]


def test_metrics_and_postprocessor_give_what_seqio_gives(capfd):
    add('theirs', metric_objs=[Tokens.empty()])
    opened, found = scored('theirs')
    theirs = seqio_result('theirs')
    theirs['in_order'] = theirs['in_order'].value
    assert theirs.pop('said').textdata, 'a text is no score'
    assert list(found.values) == ['alike', 'in_order', 'likely', 'tokens', 'examples']
    assert found.values == pytest.approx(theirs, rel=1e-5)
    assert found.rows.tolist() != list(range(COUNT)) and len(found.predictions) == COUNT
    assert (found.method, found.metric_name) == ('generate, score', 'alike, likely, Tokens')
    assert 'not cached, so its postprocess_fn does not see: spans (RaggedTensorSpec' in capfd.readouterr().err
    summary = summarize(found)
    assert summary.mean == found.values['alike'] and summary.low < summary.mean < summary.high
    first = next(Evaluator(opened.splits, BYTES, toy.LENGTHS).records(found))
    assert first['inputs'] == f'question {first["row"]}' and first['prediction'] == found.predictions[0]
    assert first['score'] == pytest.approx(found.log_probs[0], abs=1e-5) and 'values' not in first


def test_cached_fields_are_those_of_seqio():
    task = add('theirs')
    cached = splits.open_splits(['theirs'], View('test', BYTES, renderings='all')).splits['theirs']
    examples = list(task.get_dataset(sequence_length=None, split='test', shuffle=False).as_numpy_iterator())
    for example in cached.examples():
        expected = examples[example.row]
        assert set(example.fields) == set(expected) - {'inputs', 'targets', 'spans'}
        assert (
            example.fields['behind'] == expected['behind']
            and example.fields['aliases'].tolist() == expected['aliases'].tolist()
        )
        weight = example.fields['about']['weight']
        assert type(weight) is np.float32 and weight == expected['about']['weight']
    assert not cache.ensure(['theirs'], View('train', BYTES)).splits['theirs'].read(0).fields


def test_without_postprocessor_texts_are_compared_as_they_are():
    add('bare', metric_fns=[lambda targets, predictions: {'texts': all(isinstance(text, str) for text in [*targets, *predictions])}],
        postprocess_fn=None)  # fmt: skip
    assert scored('bare')[1].values == {'texts': 1.0}


def test_a_task_with_the_name_of_a_data_set_is_scored_by_its_own_metrics():
    add('toyeval_parity', metric_fns=[likely])
    seqio.MixtureRegistry.add('mine', ['toyeval_parity'], default_rate=1.0)
    (name,) = [entry.task for entry in mixtures.resolve('mine').entries]
    opened = splits.open_splits([name], View('test', BYTES, renderings='all')).splits
    found = Evaluator(opened, BYTES, toy.LENGTHS).run(toy.CONFIG, toy.params())[name]
    assert (name, found.task, found.metric_name) == ('seqio:toyeval_parity', 'seqio:toyeval_parity', 'likely')
    assert seqio_metrics.get_seqio_task('toyeval_parity') is None, 'the data set'


def test_score_metrics_alone_score_the_targets_and_decode_nothing(monkeypatch):
    monkeypatch.setattr(generate, 'generate', None)
    add('scores', metric_fns=[functools.partial(likely, base=10)])
    cached = splits.open_splits(['scores'], View('test', BYTES, renderings='all')).splits['scores']
    found = Evaluator({'scores': cached}, BYTES, toy.LENGTHS).run(toy.CONFIG, toy.params())['scores']
    examples = list(cached.examples())
    questions = [Question(example.inputs, [example.targets]) for example in examples]
    log_probs = np.concatenate(rank.score(toy.CONFIG, toy.params(), make_partitioner(), questions))
    weights = [example.fields['about']['weight'] for example in examples]
    assert found.values == pytest.approx({'likely': np.dot(log_probs, weights) / np.log(10)})
    assert (found.method, found.metric_name, found.predictions) == ('score', 'likely', ())
    written = list(Evaluator({'scores': cached}, BYTES, toy.LENGTHS).records(found))
    assert [record['score'] for record in written] == pytest.approx(log_probs.tolist(), abs=1e-5)
    assert [record['answers'] for record in written] == [[BYTES.decode(each.targets)] for each in examples]
    assert {record['prediction'] for record in written} == {None}


def test_no_interval_where_the_metric_fails_on_draws_or_is_slow(monkeypatch):
    def every_row(targets, predictions):
        return {
            'all': len({texts[0] for texts, _ in targets})
            / (len({texts[0] for texts, _ in targets}) == COUNT)
        }

    add('every', metric_fns=[every_row])
    summary = summarize(scored('every')[1])
    assert summary.mean == COUNT and np.isnan([summary.low, summary.high]).all()
    monkeypatch.setattr(seqio_metrics, 'RESAMPLE_SECONDS', 0.0)
    add('slow')
    assert np.isnan(summarize(scored('slow')[1]).low)


def test_what_is_no_finite_number_is_left_out_with_a_statement():
    def odd(targets, predictions):
        return {
            'undefined': float('nan'), 'several': np.arange(3), 'kept': np.float32(2), 'endless': seqio.metrics.Scalar(np.inf),
            'words': '3', 'ragged': [[1], [1, 2]], 'one': np.array([[4]]), 'exact': fractions.Fraction(1, 2),
        }  # fmt: skip

    add('odd', metric_fns=[broken, odd, alike])
    found = scored('odd')[1]
    assert list(found.values) == ['kept', 'one', 'exact', 'alike', 'in_order']
    assert [found.values[name] for name in ('kept', 'one', 'exact')] == [2, 4, 0.5]
    assert found.headline == 'kept' and len(found.resampled) == seqio_metrics.RESAMPLES
    said = '\n'.join(seqio_metrics.notes([found]))
    for statement in (
        "the metric 'broken' of the SeqIO task 'odd' fails: KeyError: 'no such",
        "the metric 'odd' of the SeqIO task 'odd' gave undefined = nan, which is no finite number",
        'gave several = [0 1 2], which',
        'gave endless = inf, which',
        'gave words = 3, which is no finite number',
        'gave ragged = [[1], [1, 2]], which',
        "the metric 'alike' of the SeqIO task 'odd' gave said = ",
    ):
        assert statement in said, statement


def test_no_interval_where_a_draw_gives_nan():
    def every_row(targets, predictions):
        return {'all': 1.0 if len({texts[0] for texts, _ in targets}) == COUNT else float('nan')}

    add('every', metric_fns=[every_row])
    summary = summarize(scored('every')[1])
    assert summary.mean == 1 and np.isnan([summary.low, summary.high]).all()


def broken(targets, predictions):
    raise KeyError('no such\nthing')


def missing(text, example, is_target):
    return example['spans']


@pytest.mark.parametrize(('options', 'message'), [
    ({'metric_fns': [broken]}, "^the metric 'broken' of the SeqIO task 'faulty' fails: KeyError: 'no "
                               "such.*thing'$"),
    ({'postprocess_fn': missing}, "postprocess_fn 'missing' of the SeqIO task 'faulty' fails: KeyError: "
                                  "'spans'; the cache has the fields"),
    ({'metric_fns': [lambda targets, predictions: 3]}, "'<lambda>' of the SeqIO task 'faulty' gave '3'; "
                                                       "expected a mapping"),
    ({'metric_fns': [lambda targets, predictions: {'a': float('nan')}]}, "gave a = nan, which is no finite"),
    ({'metric_fns': [lambda targets, predictions: {}, broken]}, "gave '{}'; expected a mapping.*; .*'broken'"),
    ({'metric_fns': [alike, alike]}, "two metrics of the SeqIO task 'faulty' give 'alike'"),
    ({'metric_fns': [lambda gold, predictions: {}]}, "function of the SeqIO task 'faulty' cannot be "
                                                     "called.*Got.*'gold'"),
    ({'metric_fns': [lambda targets, predictions, aux_values: {}]}, "SeqIO task 'faulty' needs "
                                                                    "prediction_with_aux; expected"),
])  # fmt: skip
def test_what_fails_is_named(options, message):
    add('faulty', **options)
    with pytest.raises(MetricError, match=message):
        scored('faulty')


def test_an_evaluation_writes_own_metrics_and_skips_what_fails(tmp_path, capsys):
    add('theirs')
    add('faulty', metric_fns=[broken])
    add('odd', metric_fns=[lambda gold, predictions: {}])
    seqio.MixtureRegistry.add('mixed', ['theirs', 'faulty', 'odd'], default_rate=1)
    path = tmp_path / 'toy.safetensors'
    metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    parameters.save_params(path, toy.params(), toy.CONFIG, dtype='float32', metadata=metadata)
    result = evaluate.evaluate(EvalConfig(str(path), 'mixed', output=str(tmp_path / 'out')))
    rows = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert [(row['task'], row['template'], row['metric'], row['n']) for row in rows] == [
        ('theirs', None, name, COUNT) for name in ('alike', 'in_order', 'likely')
    ]
    assert set(result.skipped) == {'faulty', 'odd'} and "metric 'broken'" in result.skipped['faulty']
    assert result.tasks[0].headline == 'alike' and 'in their own units' in result.notes[-1]
    assert "skipped faulty: the metric 'broken'" in capsys.readouterr().out
    with pytest.raises(ValueError, match="task 'odd' cannot be called"):
        evaluate.evaluate(EvalConfig('no/such/checkpoint', 'odd'))


def test_show_says_the_metrics(capsys):
    add('theirs')
    add('plain', metric_fns=())
    seqio.MixtureRegistry.add('both', ['theirs', 'plain'], default_rate=1)
    assert seqio_metrics.get_seqio_task('plain') is None, 'it is scored by accuracy'
    assert cli.main(['show', '--mixture=both', '--examples=0']) == 0
    shown = capsys.readouterr().out
    assert 'theirs: metrics alike (of predictions), likely (of scores); postprocess_fn postprocess' in shown
    assert 'plain: no metrics of its own; accuracy' in shown
