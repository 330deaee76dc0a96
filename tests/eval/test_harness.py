"""lm-evaluation-harness on our models, and our evaluation splits in the harness: the same scores both ways."""

import dataclasses
import functools
import json
import runpy
import types

import jax
import numpy as np
import pytest
import toyeval as toy
import yaml

from flanlite.cli import main
from flanlite.data.cache.view import View
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies
from flanlite.eval import export, splits
from flanlite.eval.evaluator import Evaluator
from flanlite.eval.load import Model
from flanlite.model import models
from flanlite.model.decoder_only import DecoderOnlyConfig

BYTES = vocabularies.load('bytes')
DECODER = DecoderOnlyConfig(
    vocab_size=384,
    emb_dim=16,
    num_heads=2,
    head_dim=8,
    mlp_dim=32,
    num_layers=1,
    dropout_rate=0.0,
    dtype='float32',
)
MODELS = {
    name: Model(config, models.init_params(config, jax.random.key(3)), BYTES)
    for name, config in (('t5', toy.CONFIG), ('decoder', DECODER))
}


def both(row):
    """Two of three answers are right."""
    return {
        **row,
        'answer': 0,
        'options': ['low', 'high', 'odd'],
        'answers': ['low', ('high', 'odd')[row['b'] % 2]],
    }


COLLECTION = Collection(
    'toyharness',
    (
        *toy.COLLECTION.specs,
        toy.spec('toyharness_both', 'nli', both, ('two of', 'several')),
        dataclasses.replace(
            toy.spec('toyharness_chain', 'math', lambda row: {**row, 'answer': str(row['a'])}, ('add',)), extract=r'I think: (.*)'
        ),
        dataclasses.replace(
            toy.spec('toyharness_blank', 'nli', both, ('two of',)), templates=(Template('{a} and {b}\nA: '),)
        ),
        dataclasses.replace(
            toy.spec('toyharness_lead', 'nli', lambda row: {**row, 'answer': row['a'] % 2}, ('is',), (' yes', ' no')),
            templates=(Template('{a}?\nA: '),),
        ),
        toy.spec('toyharness_f1', 'nli', lambda row: {**row, 'answer': row['a'] % 2}, ('is',), ('yes', 'no'), metric='glue_accuracy_f1'),
    ),
    vocabulary='bytes',
)  # fmt: skip
registry.register(COLLECTION)


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp('export') / 'tasks'
    assert export.export('toyharness', str(folder), feature_lengths=toy.LENGTHS) == folder
    return folder


@pytest.fixture(scope='module')
def harness():
    pytest.importorskip(
        'lm_eval', reason="needs EleutherAI's lm-evaluation-harness: pip install 'flanlite[harness]'"
    )
    from flanlite.eval import harness

    return harness


def asked(*args):
    return types.SimpleNamespace(args=args)


def test_tasks_have_the_texts_and_the_right_answers(exported):
    task = yaml.safe_load((exported / 'toyeval_pick_t1.yaml').read_text().replace('!function ', ''))
    assert (task['output_type'], task['doc_to_text'], task['doc_to_choice']) == (
        'multiple_choice',
        'inputs',
        'options',
    )
    rows = [json.loads(line) for line in (exported / 'data/toyeval_pick_t1.jsonl').open()]
    split = splits.open_splits(['toyeval_pick'], View('validation', BYTES, renderings='all')).splits[
        'toyeval_pick'
    ]
    examples = [each for each in split.examples() if each.template == 1]
    assert [row['inputs'] for row in rows] == [BYTES.decode_inputs(each.inputs) for each in examples]
    assert [[row['options'][i] for i in row['gold']] for row in rows] == [
        list(each.answers) for each in examples
    ]
    several = json.loads((exported / 'data/toyharness_both_t0.jsonl').read_text().splitlines()[0])
    assert len(several['gold']) == 2
    group = json.loads((exported / 'toyeval_parity.group.yaml').read_text())
    assert group['task'] == ['toyeval_parity_t0', 'toyeval_parity_t1', 'toyeval_parity_t2']


def test_answers_are_taken_from_what_is_written_as_eval_does(exported):
    """By the code beside the tasks, also where the pattern finds nothing."""
    code = runpy.run_path(str(exported / 'flanlite_tasks.py'))
    rows = [json.loads(line) for line in (exported / 'data/toyharness_chain_t0.jsonl').open()]
    for said in (f'I think: {rows[0]["answers"][0]}', rows[0]['answers'][0], 'x'):
        found = code['strip'](rows[0], [said])['exact_match']
        answer = registry.find_spec('toyharness_chain').read_answer(said).strip()
        assert found == (answer in rows[0]['answers']), said
    assert 'filter_list' not in (exported / 'toyharness_chain_t0.yaml').read_text()
    # A text that ends in a blank has no second one behind it.
    assert '"target_delimiter": ""' in (exported / 'toyharness_blank_t0.yaml').read_text()
    assert 'target_delimiter' not in (exported / 'toyeval_pick_t1.yaml').read_text()
    # The harness's mean over tasks is no mean over data sets of different numbers of templates.
    assert json.loads((exported / 'toyharness.group.yaml').read_text())['aggregate_metric_list'] == []


def test_names_texts_and_options_that_the_harness_cannot_have(tmp_path, capsys):
    def written(name, **more):
        return toy.spec(name, 'nli', lambda row: {**row, 'answer': str(row['a'])}, ('is',), **more)

    specs = (
        *map(written, ('toyodd', 'toyodd_a_t0', 'toyodd_a')),
        written('toyodd_stop', stop=('\x85', '\u2028')),
        toy.spec('toyodd_empty', 'nli', lambda row: {**row, 'answer': 0, 'options': ['', 'low']}, ('is',)),
    )
    registry.register(Collection('toyodd', specs, vocabulary='bytes'))
    folder = export.export('toyodd', str(tmp_path / 'tasks'), max_length=7)
    assert 'skipped toyodd_empty: row' in (said := capsys.readouterr().out) and 'an empty option' in said
    described = [yaml.safe_load(path.read_text().replace('!function ', '')) for path in folder.glob('*.yaml')]
    names = [each.get('group', each.get('task')) for each in described]
    assert len(names) == len({*names}) == 9
    whole = yaml.safe_load((folder / 'toyodd.group.yaml').read_text())['task']
    assert whole == ['toyodd_2', 'toyodd_a_t0', 'toyodd_a_2', 'toyodd_stop']
    (stop,) = [each for each in described if each.get('task') == 'toyodd_stop_t0']
    assert stop['generation_kwargs']['until'] == ['\x85', '\u2028']
    assert stop['generation_kwargs']['max_gen_toks'] == 7


def test_a_folder_that_is_there_is_left_alone(exported):
    before = sorted(exported.rglob('*'))
    with pytest.raises(ValueError, match='is there already; expected a new folder'):
        export.export('toyeval', str(exported))
    assert sorted(exported.rglob('*')) == before and [*exported.parent.iterdir()] == [exported]


def test_unknown_formats_and_missing_flags_are_named(capsys):
    assert main.main(['export', '--mixture=pocket', '--format=csv', '--output=x']) == 2
    assert 'got --format=csv; expected lm-eval, jsonl or parquet' in capsys.readouterr().err
    assert main.main(['export', '--mixture=pocket', '--format=jsonl', '--output=x', '--split=test']) == 2
    assert '--split is of --format=lm-eval; got --format=jsonl' in capsys.readouterr().err
    assert main.main(['harness', '--tasks=x']) == 2
    assert 'harness needs --checkpoint' in capsys.readouterr().err


@pytest.mark.parametrize('kind', MODELS)
def test_the_harness_gives_our_scores(harness, exported, kind, tmp_path, monkeypatch):
    monkeypatch.setenv('HF_HOME', str(tmp_path / 'hf'))
    model = MODELS[kind]
    names = [spec.name for spec in COLLECTION.specs]
    opened = splits.open_splits(names, View('test', BYTES, renderings='all'))
    scored = Evaluator(opened.splits, BYTES, {'inputs': 100, 'targets': toy.LENGTHS['targets']}).run(
        model.config, model.params
    )
    found = harness.harness(model, ['toyharness'], str(exported), str(tmp_path / 'out'))
    compared = 0
    for name, scores in scored.items():
        for template, values in scores.template_scores().items():
            theirs = found['results'][f'{name}_t{template}']
            for metric, value in values.items():
                named = {'accuracy': 'acc' if 'acc,none' in theirs else 'exact_match'}
                key = named.get(metric, metric) if f'{metric},none' not in theirs else metric
                assert theirs[f'{key},none'] == pytest.approx(value / 100, abs=1e-6), (name, template, metric)
                compared += 1
    assert compared == 18
    mean = np.mean([found['results'][f'toyeval_parity_t{t}']['acc,none'] for t in range(3)])
    assert found['results']['toyeval_parity']['acc,none'] == pytest.approx(mean)
    kept = json.loads((tmp_path / 'out/results.json').read_text())
    assert kept['results']['toyeval_copy_t0'].keys() == found['results']['toyeval_copy_t0'].keys()
    assert len((tmp_path / 'out/samples_toyeval_copy_t0.jsonl').read_text().splitlines()) == 12


@functools.cache
def logits_of(kind):
    model = MODELS[kind]
    return jax.jit(lambda *arrays: models.bind(model.config, model.params).option_logits(*arrays)[0])


def brute_force(kind, context, target):
    """Score ids after others from the model's own logits: the sum, and whether each is the best."""
    padded = np.zeros((2, 1, 32), np.int32)
    padded[0, 0, : len(context)], padded[1, 0, : len(target)] = context, target
    logits = np.asarray(logits_of(kind)(padded[0], np.array([len(context)]), np.array([0]), padded[1]))[
        : len(target)
    ]
    log_probs = np.asarray(jax.nn.log_softmax(logits))
    return log_probs[np.arange(len(target)), target].sum(), (logits.argmax(axis=1) == target).all()


@pytest.mark.parametrize('kind', MODELS)
def test_log_likelihoods_in_any_order(harness, kind):
    model, lm = MODELS[kind], harness.FlanliteLM(MODELS[kind])
    pairs = [('What is it?', ' yes'), ('', 'no'), ('What is it?', 'maybe so'), ('Another', ' yes')]
    found = lm.loglikelihood([asked(*pair) for pair in pairs])
    for (context, target), (score, greedy) in zip(pairs, found, strict=True):
        ids = list(BYTES.as_inputs(BYTES.encode_arrays([context])[0]))
        expected = brute_force(kind, ids, [*BYTES.encode(target.removeprefix(' ')), BYTES.eos_id])
        assert (score, greedy) == (pytest.approx(float(expected[0]), abs=1e-3), bool(expected[1]))
    turned = lm.loglikelihood([asked(*pair) for pair in reversed(pairs)])[::-1]
    np.testing.assert_allclose(turned, found, atol=1e-4)
    (written,) = model.generate('What is it?', max_length=3)
    tokens = BYTES.encode(written)
    if written and BYTES.decode(tokens) == written:  # what greedy decoding writes is greedy
        open_ended = harness.FlanliteLM(model, 'text')
        assert (
            open_ended._scored([(BYTES.as_inputs(BYTES.encode_arrays(['What is it?'])[0]), tokens)])[0, 1]
            == 1
        )


def test_text_goes_on_its_context(harness):
    lm = harness.FlanliteLM(MODELS['decoder'], 'text')
    ((score, _),) = lm.loglikelihood([asked('One two ', 'three')])
    expected, _ = brute_force('decoder', BYTES.encode('One two'), BYTES.encode(' three'))
    assert score == pytest.approx(float(expected), abs=1e-3)


@pytest.mark.parametrize('kind', MODELS)
def test_rolling_windows_score_each_token_once(harness, kind):
    model, text = MODELS[kind], 'A text of some length.'
    ids = BYTES.encode(text)
    (whole,) = harness.FlanliteLM(model).loglikelihood_rolling([asked(text)])
    behind = [BYTES.eos_id] if kind == 't5' else []
    assert whole == pytest.approx(float(brute_force(kind, behind, ids)[0]), abs=1e-3)
    (parts,) = harness.FlanliteLM(model, max_length=10).loglikelihood_rolling([asked(text)])
    expected = brute_force(kind, behind, ids[:10])[0]
    if kind == 't5':  # each window reads the one before it
        expected += (
            brute_force(kind, [*ids[:10], 1], ids[10:20])[0]
            + brute_force(kind, [*ids[10:20], 1], ids[20:])[0]
        )
    else:  # each has ten tokens, of which the last predict
        expected += brute_force(kind, ids[9:10], ids[10:20])[0] + brute_force(kind, ids[11:20], ids[20:])[0]
    assert parts == pytest.approx(float(expected), abs=1e-3)


def test_generation_stops_and_keeps_settings_apart(harness, monkeypatch):
    lm = harness.FlanliteLM(MODELS['t5'])
    (lone,) = lm.generate_until(
        [asked('Go on', {'until': [], 'max_gen_toks': 5, 'do_sample': False, 'temperature': 0.0})]
    )
    assert [lone] == MODELS['t5'].generate('Go on', max_length=5)
    monkeypatch.setattr(
        Model,
        'generate',
        lambda self, texts, **settings: [f'{text}; {sorted(settings.items())}' for text in texts],
    )
    found = lm.generate_until([
        asked('a. b', {'until': [], 'max_gen_toks': 12}),
        asked('c. d', {'until': ['never', '. '], 'max_gen_toks': 12}),
        asked('e. f', {'until': ';', 'do_sample': True, 'temperature': 0.5}),
    ])  # fmt: skip
    assert found == ["a. b; [('max_length', 12)]", 'c', 'e. f']
    assert harness.decoding_of({'do_sample': True, 'temperature': 0.7, 'top_p': None}) == {
        'max_length': 256,
        'temperature': 0.7,
    }
    assert harness.decoding_of({'do_sample': False, 'temperature': 0.7}) == {'max_length': 256}
    assert harness.decoding_of({'do_sample': True, 'max_tokens': 16}) == {'max_length': 16, 'temperature': 1.0}
    assert harness.decoding_of({'do_sample': None, 'temperature': 0.7, 'max_gen_toks': None}) == {
        'max_length': 256,
        'temperature': 0.7,
    }


def test_unknown_tasks_are_refused_before_a_model_is_loaded(harness, exported, monkeypatch):
    everything = types.SimpleNamespace(match_tasks=lambda names: [], all_tasks=['toyeval_copy'])
    real = harness.harness_tasks.TaskManager
    monkeypatch.setattr(
        harness.harness_tasks,
        'TaskManager',
        lambda **options: real(**options) if 'include_defaults' in options else everything,
    )
    with pytest.raises(ValueError, match="the harness has no task 'toyeval_copi'; did you mean toyeval_copy"):
        harness.harness('nowhere', ['toyeval_copi'], str(exported))
    with pytest.raises(ValueError, match=r"no folder 'nowhere'; expected one with tasks as YAML"):
        harness.harness('nowhere', ['x'], 'nowhere')
    with pytest.raises(ValueError, match="got continuations='end'; expected targets or text"):
        harness.FlanliteLM(MODELS['t5'], 'end')


@pytest.mark.parametrize('content', ['{"precious": 1}', '[{"task": "a"}]', 'mine'])
def test_results_of_others_are_not_replaced(harness, content, tmp_path):
    (tmp_path / 'results.json').write_text(content)
    with pytest.raises(ValueError, match=r'has results\.json, which flanlite harness did not write'):
        harness.harness('nowhere', ['x'], output=str(tmp_path))
    assert (tmp_path / 'results.json').read_text() == content
    (tmp_path / 'results.json').write_text('{"results": {}, "configs": {}, "versions": {}}')
    harness.check_own(tmp_path)
