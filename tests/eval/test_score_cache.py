import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import toyeval as toy

from flanlite.data.cache.view import View
from flanlite.data.tokens import vocabularies
from flanlite.eval import generate, rank, score_cache, splits
from flanlite.eval.evaluate import EvalConfig, evaluate
from flanlite.eval.evaluator import Evaluator, ScoringConfig
from flanlite.eval.generate import Decoding
from flanlite.eval.score_cache import ScoreCache
from flanlite.mesh.partitioning import make_partitioner
from flanlite.training import parameters

VOCABULARY = vocabularies.load('bytes')
TASKS = ['toyeval_parity', 'toyeval_copy']  # one ranks, one writes


def opened(**view):
    return splits.open_splits(TASKS, View('test', VOCABULARY, **{'renderings': 'all'} | view)).splits


def evaluator(folder, **changes):
    scoring = ScoringConfig(tokens_per_batch=128, scores=('acc_mutual_info',))
    return dataclasses.replace(
        Evaluator(opened(), VOCABULARY, toy.LENGTHS, scoring), cache=ScoreCache(folder), **changes
    )


def told(scores):
    """Everything that an evaluation gives of a task, to the bit."""
    return {
        name: (each.predictions, [option.tobytes() for option in each.option_scores], repr(each.variants))
        for name, each in scores.items()
    }


@pytest.fixture(scope='module')
def expected():
    return told(evaluator(None).run(toy.CONFIG, toy.params()))


@pytest.fixture
def computed(monkeypatch):
    """Count the batches that a model is asked."""
    count = []
    for module, name in ((rank, 'jit_log_probs'), (generate, 'jit_decode')):
        compiled = getattr(module, name)

        def counting(*settings, compiled=compiled):
            run = compiled(*settings)
            return lambda *batch: count.append(batch) or run(*batch)

        monkeypatch.setattr(module, name, counting)
    return count


def files(folder):
    return sorted(folder.glob('*/*/*.jsonl'))


def test_what_was_scored_is_not_scored_again(tmp_path, expected, computed, capsys):
    assert told(evaluator(tmp_path).run(toy.CONFIG, toy.params())) == expected
    batches, kept = len(computed), files(tmp_path)
    assert batches > 8 and sum(len(path.read_bytes().splitlines()) for path in kept) == batches
    assert {path.parent.name for path in kept} == set(TASKS)
    assert 'batches scored before' not in capsys.readouterr().err
    assert told(evaluator(tmp_path).run(toy.CONFIG, toy.params())) == expected
    assert len(computed) == batches and files(tmp_path) == kept
    said = capsys.readouterr().err
    assert 'toyeval_copy: batches scored before: ' in said and ', now: 0' in said


def test_all_that_decides_scores_counts(tmp_path, computed, monkeypatch):
    def model(config=toy.CONFIG, **scale):
        params = toy.params()
        params['decoder']['decoder_norm'] |= scale
        return ScoreCache(tmp_path).of_model(config, params, make_partitioner()).model

    # The least change of one number, which bfloat16 would not show.
    scale = toy.params()['decoder']['decoder_norm']['scale']
    other = model(scale=scale.at[3].set(np.nextafter(scale[3], np.float32(9))))
    models = [
        model(),
        other,
        model(toy.CONFIG.replace(dtype='bfloat16')),
        model(scale=scale.astype('bfloat16')),
    ]
    monkeypatch.setattr(score_cache, 'code_hash', lambda: 'edited')
    models.append(model())
    assert len({*models}) == 5 and model() == models[4]

    evaluator(tmp_path).run(toy.CONFIG, toy.params())
    batches = len(computed)
    some = dataclasses.replace(evaluator(tmp_path), splits=opened(max_examples=5))
    expected = told(dataclasses.replace(some, cache=ScoreCache()).run(toy.CONFIG, toy.params()))
    computed.clear()
    assert told(some.run(toy.CONFIG, toy.params())) == expected
    assert 0 < len(computed) < batches
    computed.clear()
    seed = dataclasses.replace(some, config=some.config.replace(decoding=Decoding(8, temperature=1.0)))
    seed.run(toy.CONFIG, toy.params())
    assert {len(batch) for batch in computed} == {4}, 'what is ranked is not asked again'


def test_an_evaluation_that_was_killed_goes_on(tmp_path, computed):
    """Killed while it keeps its fourth batch."""
    path, cache = tmp_path / 'toy.safetensors', tmp_path / 'cache'
    metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    parameters.save_params(path, toy.params(), toy.CONFIG, dtype='float32', metadata=metadata)
    code = """
import os, signal, sys, toyeval
from flanlite.eval import evaluate, score_cache
from test_score_cache import config
keep, count = score_cache.ScoredBatches.keep, 0
def killed(self, key, values):
    global count
    count += 1
    if count == 4:
        keep(self, key, values)
        os.truncate(self._sink.name, os.path.getsize(self._sink.name) - 9)
        os.kill(os.getpid(), signal.SIGKILL)
    keep(self, key, values)
score_cache.ScoredBatches.keep = killed
evaluate.evaluate(config(*sys.argv[1:]))
"""
    here = str(pathlib.Path(__file__).parent)
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([here, *sys.path]), 'JAX_PLATFORMS': 'cpu'}
    asked = [str(path), str(tmp_path / 'out'), str(cache)]
    done = subprocess.run([sys.executable, '-c', code, *asked], env=environment)
    assert done.returncode == -signal.SIGKILL and not (tmp_path / 'out').exists()
    found = evaluate(config(*asked))
    again = len(computed)
    computed.clear()
    alone = evaluate(config(str(path), str(tmp_path / 'alone'), str(tmp_path / 'other')))
    assert again == len(computed) - 3
    assert found.rows() == alone.rows() and found.samples == alone.samples


def config(path, output, cache):
    scoring = ScoringConfig(tokens_per_batch=128)
    return EvalConfig(path, 'toyeval', output=output, cache_dir=cache, max_rows=6, scoring=scoring)


def test_damage_is_not_believed(tmp_path, expected, computed, capsys):
    evaluator(tmp_path).run(toy.CONFIG, toy.params())
    batches = len(computed)
    ranked = max(tmp_path.glob('*/toyeval_parity/*'), key=lambda path: path.stat().st_size)
    lines = ranked.read_bytes().splitlines()
    changed = json.loads(lines[0])
    changed['values'][0] += 0.5
    nested = b'[' * 100_000
    lines[:4] = [json.dumps(changed).encode(), lines[1].replace(b'-', b'+', 1), b'\xff\x00 no line', nested]
    ranked.write_bytes(b'\n'.join(lines))  # and the last line has no end
    (ranked.parent / 'folder.jsonl').mkdir()
    computed.clear()
    capsys.readouterr()
    assert told(evaluator(tmp_path).run(toy.CONFIG, toy.params())) == expected
    said = capsys.readouterr().err
    assert len(computed) == 5 < batches
    assert 'toyeval_parity: 4 damaged lines in' in said and 'folder.jsonl is not read' in said


def test_without_a_place_scores_are_not_kept_and_the_evaluation_goes_on(tmp_path, expected, capsys):
    (tmp_path / 'scores').write_text('no folder')
    assert told(evaluator(tmp_path / 'scores').run(toy.CONFIG, toy.params())) == expected
    assert 'toyeval_parity: scores are not kept' in capsys.readouterr().err
