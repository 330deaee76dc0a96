"""`flanlite infer` goes on with the answers that it has, and with no others."""

import fcntl
import gzip
import io
import json
import sys

import jax
import pytest

from flanlite.cli import main as cli
from flanlite.eval import answers, infer
from flanlite.training import parameters

BASE = 'mixtures/pocket/assets/base.safetensors'
RECORDS = [{'inputs': f'was the cake good? {word} 木'} for word in ('yes', 'no', 'so', 'well', 'ok')]
RECORDS[1]['options'] = ['good', 'bad']
RECORDS[4] |= {'targets': 'good', 'prediction': 'mine', 'n': 1.5}


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A file of five lines of which two are answered at once, and the texts that the model is asked."""
    texts, answer = [], infer.answer

    def recorded(model, records, *others):
        texts.append([record['inputs'] for record in records])
        if texts.count('stop') and len(texts) > texts.index('stop') + 2:
            raise KeyboardInterrupt
        return answer(model, records, *others)

    monkeypatch.setattr(infer, 'answer', recorded)
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'in.jsonl').write_text('\n'.join(map(json.dumps, RECORDS)))
    return texts


def ask(output, input='in.jsonl', checkpoint=BASE, **settings):
    settings = {'temperature': 1.0, 'max_length': 3, 'lines_at_a_time': 2} | settings
    return infer.infer(checkpoint, input, str(output), **settings)


def test_answers_go_on(asked, tmp_path, monkeypatch, capsys):
    output, kept = tmp_path / 'out.jsonl', tmp_path / 'out.jsonl.unfinished'
    assert ask(output) == 5
    whole = output.read_bytes()
    assert not kept.exists() and len(whole.splitlines()) == 5
    output.write_text('of yesterday')
    asked[:] = ['stop']
    with pytest.raises(KeyboardInterrupt):
        ask(output)
    assert output.read_text() == 'of yesterday'
    there = kept.read_bytes()
    assert there.splitlines(True)[1:] == whole.splitlines(True)[:2]
    kept.write_bytes(there + whole.splitlines(True)[2] + b'{"inputs": "was th')  # as a kill may leave it
    asked.clear()
    assert ask(output) == 5
    assert asked == [[record['inputs'] for record in RECORDS[start:][:2]] for start in (2, 4)]
    assert output.read_bytes() == whole and not kept.exists()
    assert 'going on after 2 answered lines' in capsys.readouterr().err

    # Lines that come by a pipe: the third is mended and all are piped again.
    lines = [json.dumps(record) for record in RECORDS]
    for each, error in ([*lines[:2], '{"inp": 1}', *lines[3:]], 'line 3 of standard input'), (lines, None):
        monkeypatch.setattr(sys, 'stdin', io.StringIO('\n'.join(each)))
        if error:
            with pytest.raises(ValueError, match=f'{error}.*the answers to 2 lines before are in {kept}'):
                ask(output, '-')
    asked.clear()
    assert ask(output, '-') == 5
    assert len(asked) == 2 and output.read_bytes() == whole


def test_nothing_to_answer_or_nowhere_to_write_is_said(asked, tmp_path, capsys):
    (tmp_path / 'empty.jsonl').write_text('\n')
    assert ask(tmp_path / 'out.jsonl', 'empty.jsonl') == 0
    assert 'answered 0 lines: there are none in empty.jsonl' in capsys.readouterr().err
    (tmp_path / 'in.jsonl.gz').write_bytes(gzip.compress(b'{"inputs": "a"}\n'))
    with pytest.raises(ValueError, match=r'in\.jsonl\.gz is compressed; unpack it first'):
        ask(tmp_path / 'other.jsonl', 'in.jsonl.gz')
    with pytest.raises(OSError, match='cannot write /dev/full: No space left on device; free some space'):
        ask('/dev/full')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'empty.jsonl', 'in.jsonl', 'in.jsonl.gz', 'out.jsonl',
    ]  # fmt: skip


def test_answers_of_another_kind_are_not_gone_on_with(asked, tmp_path):
    output, kept = tmp_path / 'out.jsonl', tmp_path / 'out.jsonl.unfinished'
    asked[:] = ['stop']
    with pytest.raises(KeyboardInterrupt):
        ask(output)
    asked.clear()
    model = parameters.load_run(BASE)
    changed = jax.tree.map(lambda leaf: leaf + 0.5, model.params)
    near = jax.tree.map(lambda leaf: leaf.astype('float32') * (1 + 2**-12), model.params)  # alike in bfloat16
    metadata = {'vocabulary': model.vocabulary, 'feature_lengths': model.feature_lengths}
    parameters.save_params(tmp_path / 'other.safetensors', changed, model.config, metadata=metadata)
    parameters.save_params(
        tmp_path / 'near.safetensors', near, model.config, dtype='float32', metadata=metadata
    )
    (tmp_path / 'other.jsonl').write_text('\n'.join(map(json.dumps, [RECORDS[0], *RECORDS])))
    (tmp_path / 'short.jsonl').write_text(json.dumps(RECORDS[0]))
    there = kept.read_bytes()
    for changes, words in (
        ({'max_length': 4}, 'with max_length 3, not 4; remove it'),
        ({'temperature': 0.5}, 'with temperature 1.0, not 0.5'),
        ({'lines_at_a_time': 1}, 'with lines_at_a_time 2, not 1'),
        ({'model_changes': {'dtype': 'float32'}}, "with model_changes {}, not {'dtype': 'float32'}"),
        ({'checkpoint': str(tmp_path / 'other.safetensors')}, "with model '"),
        ({'checkpoint': str(tmp_path / 'near.safetensors')}, "with model '"),
        ({'input': 'other.jsonl'}, 'answer 2 in .* is not to line 2 of other.jsonl; remove it'),
        ({'input': 'short.jsonl'}, 'answer 2 in .* is not to a line of the input'),
    ):
        with pytest.raises(ValueError, match=words):
            ask(output, **changes)
        assert kept.read_bytes() == there and not asked and not output.exists(), changes
    for damaged in (b'{{{\n', b'\xff\n', b'[1]\n'):
        kept.write_bytes(b''.join([*there.splitlines(True)[:2], damaged]))
        with pytest.raises(ValueError, match=r'answer 2 in .* is not to line 2 of in.jsonl; remove it'):
            ask(output)
    kept.write_bytes(there)
    with kept.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match=f'another process writes the answers for {output}; wait'):
            ask(output)
    for foreign in (b'{"a": 1}\n', b'mine', b'\xff\n', b'{"made_by": 3}\n'):
        kept.write_bytes(foreign)
        assert cli.main(['infer', f'--checkpoint={BASE}', '--input=in.jsonl', f'--output={output}']) == 2
        with pytest.raises(ValueError, match='does not say what its answers were made by'):
            answers.check_made_by(output, {'beams': 1})
        assert kept.read_bytes() == foreign


def test_processes_that_make_no_sense_are_refused(asked, tmp_path, monkeypatch):
    monkeypatch.setenv('FLANLITE_COORDINATOR', 'nonsense')
    with pytest.raises(ValueError, match='HOST:PORT'):
        ask(tmp_path / 'out.jsonl')
    assert not asked
