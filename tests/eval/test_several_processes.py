"""What two processes of one run do is what one does, and one of them writes."""

import gzip
import json
import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import toyeval as toy

from flanlite.eval import arithmetic, infer
from flanlite.eval.arithmetic import ArithmeticConfig
from flanlite.eval.evaluate import EvalConfig, evaluate
from flanlite.report import predictions
from flanlite.training import locate, parameters
from flanlite.training.task_vectors import TaskVector


def work(folder):
    """Evaluate, answer lines and try scales of a task vector, in a folder with models and lines."""
    base = str(folder / 'base.safetensors')
    # First: it is what lets the processes of `flanlite infer` join.
    infer.infer(base, str(folder / 'in.txt'), str(folder / 'out.jsonl'), 4, lines_at_a_time=2)
    cache = folder / 'cache' / os.environ.get('FLANLITE_PROCESS_ID', '0')
    config = EvalConfig(
        base, 'toyeval', max_rows=2, output=str(folder / 'scores'), cache_dir=str(cache), predictions=False
    )
    evaluate(config)
    # What the first process has kept counts for all: of some tasks all scores, of others none.
    for path in sorted(cache.glob('scores/*/*/*.jsonl'))[1::2]:
        path.unlink()
    evaluate(config.replace(predictions=True))
    arithmetic.arithmetic(
        ArithmeticConfig(
            base,
            (TaskVector(str(folder / 'tuned.safetensors')),),
            str(folder / 'sum.safetensors'),
            scales=(0, 1),
            evaluation=EvalConfig(base, 'toyeval_order', max_rows=4, split='validation'),
            form='safetensors',
        )
    )


def put(folder):
    """Make a folder to work in."""
    folder.mkdir()
    params, metadata = toy.params(), {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS, 'step': 7}
    for name, scale in ('base', 1), ('tuned', 1.1):
        scaled = jax.tree.map(lambda leaf, scale=scale: leaf * scale, params)
        parameters.save_params(
            folder / f'{name}.safetensors', scaled, toy.CONFIG, dtype='float32', metadata=metadata
        )
    (folder / 'in.txt').write_text('one\ntwo\nthree\nfour\nfive\n')
    return folder


def test_two_processes_do_what_one_does_and_one_writes(tmp_path):
    folders = [put(tmp_path / name) for name in ('alone', 'together')]
    work(folders[0])
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        coordinator = f'127.0.0.1:{free.getsockname()[1]}'
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(sys.path), 'JAX_PLATFORMS': 'cpu'}
    several = {'FLANLITE_COORDINATOR': coordinator, 'FLANLITE_NUM_PROCESSES': '2'}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, str(folders[1])],
            env=environment | several | {'FLANLITE_PROCESS_ID': str(index)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    said = [process.communicate()[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert [sum('wrote ' in line for line in lines) for lines in said] == [3, 0]
    assert [(folders[1] / 'cache' / str(index) / 'scores').is_dir() for index in range(2)] == [True, False]

    rows = [json.loads((folder / 'scores/results.json').read_text()) for folder in folders]
    assert without_times(rows[0]) == without_times(rows[1])
    lines = [(folder / 'out.jsonl').read_text() for folder in folders]
    assert lines[0] == lines[1] and len(lines[0].splitlines()) == 5
    answers = [answers_of(folder / 'scores') for folder in folders]
    assert len(answers[0]) == 4 and answers[0] == answers[1]
    sums = [parameters.load_run(folder / 'sum.safetensors').params for folder in folders]
    jax.tree.map(np.testing.assert_array_equal, *sums)
    tried = [locate.file_metadata(folder / 'sum.safetensors')['arithmetic'] for folder in folders]
    assert tried[0]['scales'] == tried[1]['scales'] and len(tried[0]['scales']) == 2
    assert not [path for path in folders[1].rglob('.*') if path.suffix != '.lock']  # those of a cache


def without_times(rows):
    return [{name: value for name, value in row.items() if 'seconds' not in name} for row in rows]


def answers_of(folder):
    return {
        task: [json.loads(line)['prediction'] for line in gzip.decompress(file.read_bytes()).splitlines()]
        for task, file in predictions.paths(folder).items()
    }


if __name__ == '__main__':
    work(pathlib.Path(sys.argv[1]))
