import io
import json
import pathlib

import gin
import jax
import numpy as np
import pytest
import toyeval as toy

import flanlite
from flanlite.cli import gin_config
from flanlite.data.tokens import vocabularies
from flanlite.eval import infer as infer_module
from flanlite.eval.infer import infer
from flanlite.eval.load import Model
from flanlite.model import models
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.training import parameters

TEXTS = ['order of 3 4?', 'parity 12 5?', 'which 9 1?']


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'toy.safetensors'
    metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    parameters.save_params(path, toy.params(), toy.CONFIG, dtype='float32', metadata=metadata)
    return path


@pytest.fixture(scope='module')
def model(path):
    return flanlite.load(str(path))


def test_score_loss_and_logits_agree(model):
    batch = model.batch(TEXTS, ['rises', 'odd', 'falls'])
    logits_BTV = model.logits(batch)
    log_probs_BTV = np.asarray(jax.nn.log_softmax(logits_BTV))
    targets_BT = batch['decoder_target_tokens']
    picked_BT = np.take_along_axis(log_probs_BTV, targets_BT[..., None], axis=-1)[..., 0] * (targets_BT > 0)
    scores = model.score(TEXTS, ['rises', 'odd', 'falls'])
    np.testing.assert_allclose(scores, picked_BT.sum(axis=1), rtol=1e-5)
    assert model.loss(batch) == pytest.approx(-picked_BT.sum() / (targets_BT > 0).sum(), rel=1e-5)
    assert scores.dtype == np.float32 and scores.shape == (3,)


def test_rank_shared_and_own_options(model):
    shared = model.rank(TEXTS, ['rises', 'falls'])
    own = model.rank(TEXTS[:2], [['rises', 'falls'], ['even', 'odd', 'neither']])
    assert [len(ranking.scores) for ranking in own] == [2, 3]
    np.testing.assert_allclose(own[0].scores, shared[0].scores, rtol=1e-5)
    assert own[1].text == ('even', 'odd', 'neither')[own[1].index] and own[1].index == int(
        np.argmax(own[1].scores)
    )
    np.testing.assert_allclose(model.score(TEXTS[0], 'falls'), shared[0].scores[1], rtol=1e-5)


def test_generate_returns_a_text_for_each_input(model):
    answers = model.generate(TEXTS, max_length=4)
    assert len(answers) == 3 and all(isinstance(answer, str) for answer in answers)
    assert model.generate(TEXTS[1], max_length=4) == answers[1:2]


def test_no_inputs_give_no_results(model):
    assert model.generate([]) == model.generate([], beams=2) == []
    assert model.rank([], []) == model.rank([], ['even', 'odd']) == []
    scores = model.score([], [])
    assert scores.dtype == np.float32 and scores.shape == (0,)
    assert model.encode([]) == model.encode_inputs([]) == []


@pytest.mark.parametrize(
    'config',
    [
        toy.CONFIG,
        DecoderOnlyConfig(vocab_size=384, emb_dim=16, num_heads=2, head_dim=8, mlp_dim=32, num_layers=1),
    ],
)
def test_no_inputs_make_an_empty_batch(config):
    loaded = Model(config, models.init_params(config, jax.random.key(0)), vocabularies.load('bytes'))
    batch, one = loaded.batch([], []), loaded.batch(['a'], ['b'])
    assert {name: (array.dtype, len(array), array.ndim) for name, array in batch.items()} == {
        name: (array.dtype, 0, array.ndim) for name, array in one.items()
    }
    logits = loaded.logits(batch)
    assert logits.dtype == np.float32 and logits.shape == (0, 0, loaded.logits(one).shape[-1])
    with pytest.raises(ValueError, match='a batch without target tokens'):
        loaded.loss(batch)


def test_bad_calls_are_refused(model):
    with pytest.raises(ValueError, match='3 inputs and 1 targets'):
        model.score(TEXTS, ['x'])
    with pytest.raises(ValueError, match='without options'):
        model.rank(TEXTS[:1], [[]])
    for options in ('yes', [['good', 'bad'], 'no']):
        with pytest.raises(ValueError, match=r"got the options '\w+'; expected a list of texts"):
            model.rank(TEXTS[:2], options)
    for decoding in ({'top_k': 5}, {'top_p': 0.5}, {'top_k': 5, 'top_p': 0.5, 'temperature': 1.0}):
        with pytest.raises(ValueError, match='got top_k='):
            model.generate(TEXTS[:1], **decoding)
    with pytest.raises(ValueError, match=r"got an EvalConfig of 'pocket', and 'flan2021'"):
        flanlite.evaluate(flanlite.EvalConfig('run', 'pocket'), 'flan2021')
    with pytest.raises(ValueError, match='no checkpoint at'):
        flanlite.load('/nowhere/at/all')


def test_infer_jsonl(path, tmp_path):
    source, sink = tmp_path / 'in.jsonl', tmp_path / 'out.jsonl'
    records = [
        {'inputs': TEXTS[0], 'options': ['rises', 'falls'], 'id': 5},
        {'inputs': TEXTS[1]},
        {'inputs': TEXTS[2], 'targets': 'falls'},
    ]
    source.write_text('\n'.join(json.dumps(record) for record in records) + '\n\n')
    assert infer(str(path), str(source), str(sink), max_length=4, lines_at_a_time=2) == 3
    answers = [json.loads(line) for line in sink.read_text().splitlines()]
    assert [answer['inputs'] for answer in answers] == TEXTS
    assert (
        answers[0]['prediction'] in ('rises', 'falls')
        and len(answers[0]['scores']) == 2
        and answers[0]['id'] == 5
    )
    assert answers[2]['score'] < 0 and 'prediction' in answers[2]


@pytest.mark.parametrize(
    'ask',
    [
        lambda model: model.rank('which?', ['rises', 'falls']),
        lambda model: model.score('which?', 'rises'),
        lambda model: model.generate('which?', max_length=4),
        lambda model: model.generate('which?', max_length=4, beams=2),
        lambda model: model.generate('which?', max_length=4, temperature=1.0),
    ],
)
def test_scores_that_are_not_finite_are_refused(model, ask):
    broken = Model(toy.CONFIG, toy.not_finite(), model.vocabulary)
    with pytest.raises(ValueError, match=r"an answer to 'which\?' .* nan: its parameters or activations"):
        ask(broken)


def test_infer_with_a_model_that_is_not_finite_writes_nothing(tmp_path):
    path, source, sink = (tmp_path / name for name in ('toy.safetensors', 'in.jsonl', 'out.jsonl'))
    metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    parameters.save_params(path, toy.not_finite(), toy.CONFIG, dtype='float32', metadata=metadata)
    source.write_text('{"inputs": "which?", "options": ["rises", "falls"]}')
    sink.write_text('of before')
    with pytest.raises(ValueError, match=r'decoder_norm/scale in .* has 1 of 16 numbers that are not finite'):
        infer(str(path), str(source), str(sink))
    assert sink.read_text() == 'of before'


def test_answers_are_whole_or_as_before(path, tmp_path, monkeypatch, capsys):
    """A fault after the first lines leaves the file that stood there, and them beside it; standard output has
    had them.
    """
    source, sink = tmp_path / 'in.txt', tmp_path / 'out' / 'answers.jsonl'
    source.write_text('\n'.join(TEXTS))
    sink.parent.mkdir()
    sink.write_text('of before')
    answer = infer_module.answer

    def failing(model, records, *others):
        if records[0]['inputs'] == TEXTS[2]:
            raise ValueError('not finite')
        return answer(model, records, *others)

    monkeypatch.setattr(infer_module, 'answer', failing)
    for output in (str(sink), '-'):
        with pytest.raises(ValueError, match='not finite'):
            infer(str(path), str(source), output, max_length=4, lines_at_a_time=2)
    assert [json.loads(line)['inputs'] for line in capsys.readouterr().out.splitlines()] == TEXTS[:2]
    unfinished = sink.with_name(f'{sink.name}.unfinished')
    assert sink.read_text() == 'of before' and sorted(sink.parent.iterdir()) == [sink, unfinished]
    monkeypatch.undo()
    infer(str(path), str(source), str(sink), max_length=4, lines_at_a_time=2)
    assert len(sink.read_text().splitlines()) == 3 and list(sink.parent.iterdir()) == [sink]
    assert infer(str(path), str(source), '/dev/null', max_length=4) == 3
    assert not pathlib.Path('/dev/null').is_file()


def test_settings_change_the_model_that_is_asked(path, tmp_path):
    source, sink = tmp_path / 'in.jsonl', tmp_path / 'out.jsonl'
    source.write_text(json.dumps({'inputs': TEXTS[0], 'targets': 'falls'}))
    scores = []
    for dtype in ('float32', 'bfloat16'):
        infer(str(path), str(source), str(sink), model_changes={'dtype': dtype})
        scores.append(json.loads(sink.read_text())['score'])
    assert scores[0] != scores[1]
    assert scores == pytest.approx([scores[0]] * 2, rel=0.05)
    with pytest.raises(ValueError, match='the model is a T5Config, which has no num_layers'):
        infer(str(path), str(source), str(sink), model_changes={'num_layers': 2})


def test_gin_says_which_model_is_asked():
    """A command that loads a checkpoint takes from gin what it sets of the model, and nothing else of it."""
    try:
        gin_config.load([], ["T5Config.dtype='float32'"])
        assert gin_config.model_fields() == {'dtype': 'float32'}
        gin_config.load(['gin/models/decoder_pocket.gin'], ['DecoderOnlyConfig.num_layers=3'])
        assert gin_config.model_fields()['num_layers'] == 3
    finally:
        gin.clear_config()


def test_infer_text_from_standard_input(path, monkeypatch, capsys):
    monkeypatch.setattr(infer_module.sys, 'stdin', io.StringIO('\n'.join(TEXTS)))
    assert infer(str(path), max_length=4) == 3
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer['inputs'] for answer in answers] == TEXTS


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('What is it?', 'line 2 of .* is no JSON.*not named .jsonl or'),
        ('{"input": "a"}', 'line 2 of .* has no text "inputs"'),
        ('{"inputs": "a", "options": "b"}', 'line 2 of .* expected a list of texts'),
        ('{"inputs": "a", "id": NaN}', 'line 2 of .* is no JSON: NaN'),
        ('{"inputs": "a", "targets": 3}', 'line 2 of .* expected a text'),
    ],
)
def test_infer_names_the_bad_line(tmp_path, line, message):
    source = tmp_path / 'in.jsonl'
    source.write_text('{"inputs": "fine"}\n' + line)
    with pytest.raises(ValueError, match=message):
        infer('no model is loaded for this', str(source), str(tmp_path / 'out.jsonl'), lines_at_a_time=1)
    assert not (tmp_path / 'out.jsonl').exists()


def test_infer_reads_byte_order_marks_and_half_characters(path, tmp_path, monkeypatch, caplog):
    texts, sink = tmp_path / 'in.txt', tmp_path / 'out.jsonl'
    texts.write_bytes(b'\xef\xbb\xbf' + TEXTS[0].encode())
    infer(str(path), str(texts), str(sink), max_length=4)
    assert json.loads(sink.read_text())['inputs'] == TEXTS[0]
    (tmp_path / 'in.jsonl').write_text('\ufeff' + json.dumps({'inputs': 'cut \ud83d', 'id': '\ud83d'}))
    infer(str(path), str(tmp_path / 'in.jsonl'), str(sink), max_length=4)
    answer = json.loads(sink.read_text(encoding='utf-8'))
    assert (answer['inputs'], answer['id']) == ('cut \ufffd', '\ufffd')
    assert 'in.jsonl: 2 texts with half a character' in caplog.text
    for name, stream in (
        ('stdin', texts.open(encoding='latin1')),
        ('stdout', sink.open('w', encoding='ascii')),
    ):
        monkeypatch.setattr(infer_module.sys, name, stream)
    texts.write_bytes(b'\xef\xbb\xbf' + 'é'.encode())
    infer(str(path), max_length=4)
    assert json.loads(sink.read_text(encoding='utf-8'))['inputs'] == 'é'


def test_infer_shows_what_is_not_utf8(tmp_path):
    source = tmp_path / 'in.txt'
    source.write_bytes('one\ncafé au lait\n'.encode('latin1'))
    with pytest.raises(ValueError, match=r"in\.txt is not in UTF-8, at b'caf\\xe9 au lait'; convert it"):
        infer('no model is loaded for this', str(source))


def test_infer_needs_a_model_and_a_file(path):
    with pytest.raises(ValueError, match='--checkpoint'):
        infer()
    with pytest.raises(ValueError, match='no input file'):
        infer(str(path), '/nowhere.jsonl')


def test_inputs_without_eos(path, model):
    bare = flanlite.load(str(path), vocabulary='bytes:no_input_eos')
    usual, cut = (loaded.batch(TEXTS[:1], ['odd']) for loaded in (model, bare))
    assert usual['encoder_input_tokens'].tolist() == [[*cut['encoder_input_tokens'][0].tolist(), 1]]
    assert usual['decoder_target_tokens'].tolist() == cut['decoder_target_tokens'].tolist()
    assert not np.allclose(model.score(TEXTS, ['odd'] * 3), bare.score(TEXTS, ['odd'] * 3))
    assert model.rank(TEXTS, ['odd', 'rises'])[0].scores[0] != bare.rank(TEXTS, ['odd', 'rises'])[0].scores[0]
