"""Whole runs: what they leave behind, and that stopping them in any way changes no loss."""

import dataclasses
import json
import math
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import gin
import jax
import numpy as np
import pytest
import toy

from flanlite.cli import command, gin_config, main
from flanlite.data.mixing.stages import Stage
from flanlite.data.specs import registry, specs
from flanlite.data.specs.collection import Collection
from flanlite.data.tokens import vocabularies
from flanlite.eval.evaluate import EvalConfig, evaluate
from flanlite.eval.infer import infer
from flanlite.mesh.partitioning import Partitioner
from flanlite.training import convert, journal, parameters, run
from flanlite.training.config import TrainConfig
from flanlite.training.meter import NonFiniteLoss
from flanlite.training.optimizers import Adafactor, AdamW
from flanlite.training.schedules import FactorSchedule

STEPS = 12
EXACT = (
    'step',
    'loss',
    'z_loss',
    'accuracy',
    'learning_rate',
    'gradient_norm',
    'encoder_fill',
    'decoder_fill',
)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run that nothing disturbed."""
    return toy.train(tmp_path_factory.mktemp('whole'), STEPS, eval_every_steps=8, eval_batches=2)


def start(model_dir, steps, *, variables=None, **settings):
    environment = os.environ | {'JAX_PLATFORMS': 'cpu', 'BLOCK_TENSORFLOW': '1'} | (variables or {})
    command = [sys.executable, toy.__file__, str(model_dir), str(steps), json.dumps(settings)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, 'nothing happened for too long'
        time.sleep(0.005)


def training_records(model_dir, names=EXACT):
    return [
        {name: record[name] for name in names}
        for record in journal.read_metrics(model_dir)
        if 'loss' in record
    ]


def assert_same_run(model_dir, expected_dir, step=STEPS):
    assert training_records(model_dir) == training_records(expected_dir)
    got, expected = (
        parameters.load_run(pathlib.Path(folder) / 'checkpoints' / str(step))
        for folder in (model_dir, expected_dir)
    )
    jax.tree.map(np.testing.assert_array_equal, got.params, expected.params)


def test_a_run_leaves_all_that_is_needed_to_know_it(whole):
    records = journal.read_metrics(whole.model_dir)
    assert [record['step'] for record in records if 'loss' in record] == [2, 4, 6, 8, 10, 12]
    assert [record['step'] for record in records if 'eval_loss' in record] == [8, 12]
    assert all(math.isfinite(value) for record in records for value in record.values())
    assert records[-2]['tokens_per_second'] > 0 and 0.3 < records[-2]['encoder_fill'] <= 1
    assert records[0]['loss'] > 1.3 * records[-2]['loss'] and records[0]['loss'] > records[-1]['eval_loss']
    assert whole.step == STEPS and whole.metrics['loss'] == records[-2]['loss']
    manifest = json.loads((whole.model_dir / 'manifest.json').read_text())
    assert (
        manifest['tasks']['toy_order']['num_examples'] == 300
        and manifest['tasks']['toy_order']['rate'] == 300
    )
    assert (
        manifest['vocabulary']['name'] == 'bytes'
        and manifest['feature_lengths'] == toy.LENGTHS
        and manifest['skipped'] == {}
    )
    assert TrainConfig.load(whole.model_dir) == toy.settings(
        whole.model_dir, STEPS, eval_every_steps=8, eval_batches=2
    )
    assert list(whole.model_dir.glob('events.*'))


def test_a_done_run_returns_at_once(whole, capsys):
    began = time.monotonic()
    again = toy.train(whole.model_dir, STEPS, mixture='needs no data')
    assert time.monotonic() - began < 5 and again.metrics['loss'] == whole.metrics['loss']
    told = 'it was trained with data.mixture.name = "toy", not "needs no data"'
    assert f'already at step {STEPS} in {whole.model_dir}; {told}' in capsys.readouterr().out
    toy.train(whole.model_dir, STEPS, eval_every_steps=8, eval_batches=2)
    assert f'already at step {STEPS} in {whole.model_dir}\n' in capsys.readouterr().out


def test_train_save_resume_gives_the_same_run(whole, tmp_path, capsys):
    toy.train(tmp_path, 5)
    toy.train(tmp_path, STEPS)
    assert f'goes on from step 5 in {tmp_path}\n' in capsys.readouterr().out
    lines = [record for record in training_records(tmp_path) if record['step'] != 5]
    assert lines == training_records(whole.model_dir)
    got, expected = (parameters.load_run(folder) for folder in (tmp_path, whole.model_dir))
    jax.tree.map(np.testing.assert_array_equal, got.params, expected.params)


def test_killed_while_saving_the_same_command_gives_the_same_run(whole, tmp_path):
    """Also without TensorFlow, from start to resumption."""
    process = start(tmp_path, STEPS, every_steps=1)
    saving = tmp_path / 'checkpoints'
    wait_for(
        lambda: (
            len(list(saving.glob('[0-9]'))) >= 1
            and any(not folder.name.isdigit() for folder in saving.iterdir())
        ),
        process,
    )
    process.kill()
    process.wait()
    reached = max(int(folder.name) for folder in saving.iterdir() if folder.name.isdigit())
    assert reached < STEPS
    with (tmp_path / 'metrics.jsonl').open('a') as file:
        file.write('{"step": 99, "lo')  # as a kill in the middle of a line leaves it
    process = start(tmp_path, STEPS, every_steps=1)
    output = process.communicate()[0]
    assert process.returncode == 0 and f'goes on from step {reached}' in output, output
    assert_same_run(tmp_path, whole.model_dir)
    assert all(folder.name.isdigit() for folder in saving.iterdir())


def test_a_run_falls_back_to_its_newest_whole_checkpoint(whole, tmp_path, capsys):
    toy.train(tmp_path, 6, every_steps=2)
    newest = tmp_path / 'checkpoints' / '6'
    shutil.rmtree(newest / 'optimizer')
    before = sorted(tmp_path.rglob('*'))
    for steps in (6, STEPS):  # it is not done either
        with pytest.raises(
            ValueError, match=rf'{newest} is damaged: optimizer/.*checkpoints/4: .*--fall_back'
        ):
            toy.train(tmp_path, steps)
    assert sorted(tmp_path.rglob('*')) == before
    toy.train(tmp_path, STEPS, fall_back=True)
    output = capsys.readouterr().out
    assert f'{newest} is damaged: optimizer/' in output and 'goes on from step 4' in output
    assert_same_run(tmp_path, whole.model_dir)
    assert [path.name for path in (tmp_path / 'damaged').iterdir()] == ['6']


def test_sigterm_saves_and_leaves(tmp_path):
    process = start(tmp_path / 'stopped', 100_000, eval_every_steps=50_000)
    wait_for(lambda: len(journal.read_metrics(tmp_path / 'stopped')) >= 3, process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate()[0]
    assert process.returncode == 143 and 'interrupted; saved step' in output, output
    step = parameters.load_run(tmp_path / 'stopped').step
    toy.train(tmp_path / 'stopped', step + 5)
    toy.train(tmp_path / 'whole', step + 5)
    assert_same_run(tmp_path / 'stopped', tmp_path / 'whole', step + 5)


def test_a_run_that_stops_where_it_evaluates_evaluates_as_it_goes_on(whole, tmp_path, monkeypatch, capsys):
    settings = {'eval_every_steps': 8, 'eval_batches': 2}
    stops = [8, STEPS]

    def requested(interrupts, step):
        stopped = step == stops[0]
        interrupts.received = signal.SIGTERM if stopped else None
        return stopped

    monkeypatch.setattr(run.Interrupts, 'requested', requested)
    while stops:
        with pytest.raises(SystemExit, match='143'):
            toy.train(tmp_path, STEPS, **settings)
        del stops[0]
    toy.train(tmp_path, STEPS, **settings)
    found, expected = (journal.read_metrics(folder) for folder in (tmp_path, whole.model_dir))
    evaluated = ['step', 'eval_loss', 'eval_accuracy']
    assert training_records(tmp_path) == training_records(whole.model_dir)
    assert [[record.get(name) for name in evaluated] for record in found] == [
        [record.get(name) for name in evaluated] for record in expected
    ]
    assert 'already' not in capsys.readouterr().out
    toy.train(tmp_path, STEPS, **settings)
    assert f'already at step {STEPS}' in capsys.readouterr().out


def assert_close(folder, other, count):
    """Compare the first records of two runs on different devices: losses closely, gradient norms and the rest
    less so.
    """
    found, expected = (training_records(each)[:count] for each in (folder, other))
    np.testing.assert_allclose(
        [record['loss'] for record in found], [record['loss'] for record in expected], rtol=1e-5
    )
    np.testing.assert_allclose(
        *([list(record.values()) for record in records] for records in (found, expected)), rtol=1e-4
    )


def test_two_processes_train_as_one_and_stop_together(whole, tmp_path):
    processes = [start(tmp_path, 100_000, variables=each) for each in toy.process_variables()]
    wait_for(lambda: len(journal.read_metrics(tmp_path)) >= STEPS // 2, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [143, 143], outputs
    assert json.loads((tmp_path / 'manifest.json').read_text())['mesh'] == {'dcn': 1, 'data': 2, 'model': 1}
    assert_close(tmp_path, whole.model_dir, STEPS // 2)
    resumed = parameters.load_run(tmp_path)
    assert resumed.step >= STEPS and resumed.config == toy.CONFIG
    on_one = toy.train(tmp_path, resumed.step + 2)  # onto another mesh, with the data from where it stood
    assert math.isfinite(on_one.metrics['loss']) and on_one.step == resumed.step + 2


def test_a_run_goes_on_with_other_processes_and_meshes(whole, tmp_path):
    """One process of eight devices in two slices, then two processes of two devices, then one device: as if
    nothing had happened.
    """

    def go_on(steps, processes, devices, **settings):
        variables = {
            'XLA_FLAGS': f'{os.environ["XLA_FLAGS"]} --xla_force_host_platform_device_count={devices}'
        }
        numbers = toy.process_variables(processes) if processes > 1 else [{}]
        started = [start(tmp_path, steps, variables=variables | each, **settings) for each in numbers]
        outputs = [process.communicate()[0] for process in started]
        assert not any(process.returncode for process in started), outputs
        return json.loads((tmp_path / 'manifest.json').read_text())['mesh']

    meshes = [go_on(4, 1, 8, num_partitions=2, num_slices=2, parameter_partitioning_dims=2)]
    meshes.append(go_on(8, 2, 2, parameter_partitioning_dims=2))
    assert meshes == [{'dcn': 2, 'data': 2, 'model': 2}, {'dcn': 1, 'data': 4, 'model': 1}]
    toy.train(tmp_path, STEPS)
    assert_close(tmp_path, whole.model_dir, STEPS)


OWN = """
from flanlite import Collection, DatasetSpec, JsonLines, Template, register

TEMPLATES = (Template('{text} {options_}'), Template('Is it so? {text} {options_}'))
FIELDS = lambda row: {'text': row['text'], 'answer': row['label']}
SPECS = [
    DatasetSpec(f'{__name__}_{cluster}', cluster, JsonLines(cluster), FIELDS, TEMPLATES, options=('bad', 'good'))
    for cluster in ('sentiment', 'math')
]
register(Collection(__name__, tuple(SPECS), vocabulary='bytes', templates=2))
"""
OWN_GIN = f"""
include 'part.gin'
MODEL_DIR = '~/trained'
TASK_FEATURE_LENGTHS = {toy.LENGTHS}
TRAIN_STEPS = 2
BATCH_SIZE = 8
MODEL = @T5Config()
adafactor.learning_rate = 0.01
SweepConfig.systems = ('untuned',)
"""


def commands_in_folders(folder, name):
    """Run all that reads or writes files from inside a folder: a module, data and gin files of a user's."""
    (folder / f'{name}.py').write_text(OWN, encoding='utf-8')
    for cluster in ('sentiment', 'math'):
        (folder / 'data' / cluster).mkdir(parents=True)
        for split in ('train', 'test'):
            rows = [{'text': f'{split} {number}', 'label': number % 2} for number in range(20)]
            text = ''.join(json.dumps(row) + '\n' for row in rows)
            (folder / 'data' / cluster / f'{split}.jsonl').write_text(text)
    (folder / 'drop.jsonl').write_text(
        json.dumps({'task': f'{name}_math', 'split': 'train', 'row': 3}) + '\n'
    )
    # As Windows' editors write files.
    fields = ''.join(
        f'T5Config.{field} = {value!r}\n' for field, value in dataclasses.asdict(toy.CONFIG).items()
    )
    (folder / 'gins').mkdir()
    for file, text in (
        ('run.gin', OWN_GIN),
        ('part.gin', "include 'gin/train.gin'\ninclude 'gin/loco.gin'\n" + fields),
    ):
        (folder / 'gins' / file).write_text(text, encoding='utf-8-sig', newline='\r\n')
    vocabulary = folder / 'vocab:extra_ids=9' / 'a:b.model'
    vocabulary.parent.mkdir()
    shutil.copy(vocabularies.find_model('pocket'), vocabulary)

    own = [f'--import={name}', '--data_dir=data', '--cache_dir=~/cache']
    gins = ['--gin_file=run.gin', '--gin_search_paths=~/gins', f'--mixture={name}']
    drops, trained = ['--shots=1', '--drop=drop.jsonl'], folder / 'trained'
    assert main.main(['cache', *own, f'--mixture={name}', '--vocabulary=~/vocab:extra_ids=9/a:b.model']) == 0
    assert list((folder / 'cache').glob(f'{name}_math/train-*'))
    assert main.main(['train', *own, *gins, *drops, '--profile_steps=2-2']) == 0
    assert list(trained.glob('profile/**/perfetto_trace.json.gz')) and list(trained.glob('events.*'))
    assert json.loads((trained / 'manifest.json').read_text())['tasks'][f'{name}_math']['num_examples'] == 19
    scored = ['eval', *own, f'--mixture={name}', '--checkpoint=~/trained', '--output=scores', '--max_rows=2']
    assert main.main(scored) == 0 and (folder / 'scores' / 'report.html').is_file()
    assert main.main(['loco', *own, *gins, '--model_dir=loco', '--only=math']) == 0
    assert main.main(['report', '--model_dir=~/loco', '--output=merged']) == 0
    assert (folder / 'merged' / 'report.html').is_file()

    # What is saved means the same from elsewhere, and after an editor.
    settings = trained / 'settings.json'
    settings.write_text(settings.read_text(), encoding='utf-8-sig', newline='\r\n')
    os.chdir(folder.parents[1])
    for saved in ('--settings=~/trained', f'--gin_file={trained}/config.gin'):
        config, _ = command.read_run(main.parse(['train', saved]))
        assert config == TrainConfig.load(trained) and config.model_dir == str(trained)
        assert (config.data.data_dir, config.data.mixture.drop) == (
            str(folder / 'data'),
            str(folder / 'drop.jsonl'),
        )
    assert run.train(config.replace(train_steps=3)).step == 3


@pytest.mark.parametrize(
    'names', [('lr[1e-3]',), ('a b%20', '#?*{}', '\'"~日', '[!x]')], ids=['brackets', 'all']
)
def test_folders_may_have_any_name(monkeypatch, tmp_path, names):
    monkeypatch.setenv('HOME', str(tmp_path.joinpath(*names)))
    cached = {'data.cache_dir': '~/cache'}
    toy.train('~/run', 2, **cached)
    toy.train('~/run', 4, **cached)
    assert [record['step'] for record in journal.read_metrics(os.path.expanduser('~/run'))] == [2, 4]
    begun = toy.train('~/begun', 1, initial_checkpoint_path='~/run', **cached)
    assert begun.model_dir == tmp_path.joinpath(*names, 'begun')
    trained = parameters.load_run('~/run')
    assert trained.step == 4

    settings = {'split': 'validation', 'max_rows': 2, 'cache_dir': '~/cache'}
    evaluate(EvalConfig('~/run', 'toy', output='~/results', **settings))
    assert pathlib.Path(os.path.expanduser('~/results/results.json')).is_file()
    for form, output in (('huggingface', '~/hf'), ('safetensors', '~/one.safetensors')):
        convert.convert('~/run', output, form)
        jax.tree.map(np.testing.assert_array_equal, parameters.load_run(output).params, trained.params)
    lines = tmp_path.joinpath(*names, 'lines.txt')
    lines.write_text('parity of first: 3 and 4?\n', encoding='utf-8')
    assert infer('~/run', '~/lines.txt', '~/answers.jsonl', max_length=2, cache_dir='~/cache') == 1
    assert lines.with_name('answers.jsonl').is_file()
    monkeypatch.chdir(tmp_path.joinpath(*names))
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(registry, 'COLLECTIONS', dict(registry.COLLECTIONS))
    commands_in_folders(tmp_path.joinpath(*names), f'own_{len(names)}')
    assert {path.name for path in tmp_path.iterdir()} == {names[0]}
    assert not list(tmp_path.rglob('~'))


def kept_steps(model_dir):
    return sorted(int(folder.name) for folder in (pathlib.Path(model_dir) / 'checkpoints').iterdir())


@pytest.fixture
def losses(monkeypatch):
    """Evaluations that give the losses of a test, by step."""
    by_step = {}

    def evaluator(data, config, partitioner):
        return lambda state: {'eval_loss': by_step[int(jax.device_get(state.step))]}

    monkeypatch.setattr(run, 'evaluator', evaluator)
    return by_step


def test_the_best_checkpoint_outlives_restarts(losses, tmp_path):
    losses |= {2: 3.0, 4: 1.0, 6: 2.0, 8: 2.5, 10: 2.2, 12: 2.1}
    for steps, kept in ((6, [4, 6]), (8, [4, 8]), (12, [4, 12])):
        toy.train(tmp_path, steps, every_steps=2, eval_every_steps=2, keep_last=1, keep_best=1)
        assert kept_steps(tmp_path) == kept


def test_a_checkpoint_that_was_not_evaluated_is_none_of_the_best(losses, tmp_path):
    losses |= {5: 1.0, 10: 2.0, 12: 3.0}
    toy.train(tmp_path, 12, every_steps=1, eval_every_steps=5, keep_last=1, keep_best=1)
    assert kept_steps(tmp_path) == [5, 12]


def test_a_run_begins_from_another_runs_parameters(whole, tmp_path):
    begun = toy.train(tmp_path, 1, initial_checkpoint_path=str(whole.model_dir))
    records = training_records(whole.model_dir)
    assert begun.metrics['loss'] < (records[0]['loss'] + records[-1]['loss']) / 2
    assert parameters.load_run(tmp_path).step == 1


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(monkeypatch, tmp_path):
    compiled = run.jit_train_step

    def broken(*settings):
        def step(state, batch, seed):
            state, sums = compiled(*settings)(state, batch, seed)
            if number.pop() == 4:
                sums['loss'] = jax.device_put(np.float32('nan'))
            return state, sums

        return step

    monkeypatch.setattr(run, 'jit_train_step', broken)
    number = list(range(8, 0, -1))
    with pytest.raises(NonFiniteLoss, match=r'loss at step 4 is nan.*lower the learning rate'):
        toy.train(tmp_path, 8)
    assert [record['step'] for record in journal.read_metrics(tmp_path)] == [2]
    with pytest.raises(ValueError, match='no checkpoint'):
        parameters.load_run(tmp_path)


def test_nothing_moves_to_the_devices_unseen(whole, monkeypatch, tmp_path):
    monkeypatch.setattr(Partitioner, 'place', lambda self, batch: batch)
    monkeypatch.setattr(
        run, 'jit_train_step', lambda *settings: jax.jit(lambda state, batch, seed: (state, batch))
    )
    with pytest.raises(Exception, match='Disallowed host-to-device transfer'):
        toy.train(tmp_path, 2)


def test_gin_python_and_saved_settings_give_the_same_run(whole, tmp_path):
    """Nothing below the command line reads gin: what it holds then changes nothing."""
    fields = [f'T5Config.{name}={value!r}' for name, value in dataclasses.asdict(toy.CONFIG).items()]
    macros = [
        f'TASK_FEATURE_LENGTHS={toy.LENGTHS}',
        'TRAIN_STEPS=2',
        'BATCH_SIZE=8',
        'MIXTURE_OR_TASK_NAME=toy',
        f'MODEL_DIR={tmp_path}',
    ]
    others = [
        'TrainConfig.optimizer=@adamw()',
        'adamw.learning_rate=1e-2',
        'RecordsConfig.log_every_steps=2',
        'MODEL=@T5Config()',
    ]
    try:
        gin_config.load(['gin/train.gin'], [*fields, *macros, *others])
        config, text = gin_config.build('train'), gin_config.resolved()
        assert config == toy.settings(tmp_path, 2)
        gin_config.load([], ['StepConfig.microbatches=3', 'adamw.learning_rate=1'])
        run.train(config, gin=text)
        assert (tmp_path / 'config.gin').read_text() == text
        gin_config.load([str(tmp_path / 'config.gin')])
        assert gin_config.build('train') == config
    finally:
        gin.clear_config()
    assert training_records(tmp_path) == training_records(whole.model_dir)[:1]
    saved = TrainConfig.load(tmp_path)
    assert saved == config
    run.train(saved.replace(model_dir=str(tmp_path / 'again')))
    assert training_records(tmp_path / 'again') == training_records(tmp_path)


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'model': dataclasses.replace(toy.CONFIG, vocab_size=128)}, ['vocab_size is 128', '384 ids']),
        ({'batch_size': 0}, ['DataConfig.batch_size is 0', 'from 1']),
        ({'mixture': 'tyo'}, ["'tyo'", 'toy']),
        ({'feature_lengths': {'inputs': 8}}, ['inputs', 'targets']),
        ({'held_out': 'nil'}, ['nil', 'nli']),
        ({'frozen': ('nothing.*',)}, ["'nothing.*'", 'matches no parameter']),
        ({'data.data_dir': '/nowhere'}, ["data_dir is '/nowhere'"]),
        ({'profile_steps': '3-9'}, ["profile_steps is '3-9'"]),
        ({'optimizer': AdamW(lambda step: step.shape[3])}, ['index out of range']),
    ],
)
def test_bad_settings_are_refused_before_anything_expensive(settings, words, tmp_path):
    with pytest.raises((ValueError, IndexError)) as raised:
        toy.train(tmp_path, 2, **settings)
    assert all(word in str(raised.value) for word in words), raised.value
    assert not list(tmp_path.iterdir()), 'the folder stays as it was'


def test_what_is_asked_for_beside_training(tmp_path):
    """Frozen parameters, a moving average, norms by module, a trace; stopped in between, the same numbers."""
    settings = {
        'frozen': ['encoder/.*'],
        'ema_decay': 0.9,
        'eval_every_steps': 8,
        'eval_batches': 2,
        'norms_depth': 2,
    }
    toy.train(tmp_path / 'whole', 8, **settings, profile_steps='5-6')
    toy.train(tmp_path / 'stopped', 4, **settings | {'eval_every_steps': None})
    frozen = parameters.load_run(tmp_path / 'stopped').params['encoder']
    toy.train(tmp_path / 'stopped', 8, **settings)
    runs = [
        parameters.load_run(tmp_path / name)
        for name in ('whole/ema', 'stopped/ema', 'whole', 'stopped/checkpoints/8/ema')
    ]
    for other in (runs[1], runs[3]):
        jax.tree.map(np.testing.assert_array_equal, runs[0].params, other.params)
    jax.tree.map(np.testing.assert_array_equal, runs[2].params['encoder'], frozen)
    assert (
        np.abs(
            runs[0].params['decoder']['decoder_norm']['scale']
            - runs[2].params['decoder']['decoder_norm']['scale']
        ).max()
        > 1e-4
    )
    records = journal.read_metrics(tmp_path / 'whole')
    last = {name: value for record in records for name, value in record.items()}
    assert 0 < last['gradient_norm/decoder/layers'] < last['parameter_norm/decoder/layers']
    assert 'gradient_norm/encoder/layers' not in last
    assert last['eval_ema_loss'] != last['eval_loss'] and records[-1]['step'] == 8
    assert list(tmp_path.glob('whole/profile/**/perfetto_trace.json.gz'))
    with pytest.raises(ValueError, match=r'holds a moving average.*TrainConfig\.ema_decay'):
        toy.train(tmp_path / 'stopped', 9, frozen=['encoder/.*'])


def test_a_run_goes_on_from_another_runs_optimizer(whole, tmp_path):
    begun = toy.train(
        tmp_path, STEPS + 2, initial_checkpoint_path=str(whole.model_dir), restore_optimizer=True
    )
    assert [record['step'] for record in journal.read_metrics(tmp_path)] == [
        STEPS + 2
    ] and begun.step == STEPS + 2
    with pytest.raises(ValueError, match=f'is at step {STEPS} and TRAIN_STEPS is {STEPS}'):
        toy.train(
            tmp_path / 'short', STEPS, initial_checkpoint_path=str(whole.model_dir), restore_optimizer=True
        )
    with pytest.raises(ValueError, match='INITIAL_CHECKPOINT_PATH'):
        toy.train(tmp_path / 'none', STEPS, restore_optimizer=True)
    average = {'initial_checkpoint_path': str(whole.model_dir / 'ema'), 'restore_optimizer': True}
    with pytest.raises(ValueError, match='is an average of parameters, which has no optimizer state'):
        toy.train(tmp_path / 'average', STEPS, **average)
    with pytest.raises(ValueError, match=r'MixtureConfig\.stages are set, which count the steps of this run'):
        toy.settings(tmp_path / 'stages', STEPS, **average).replace(**{'data.mixture.stages': (Stage(3),)})
    late = FactorSchedule('constant', step_offset=1_000)
    for optimizer, told in (
        (Adafactor(0.1, step_offset=1_000), r'Adafactor\.step_offset is 1,000, and the run goes from step 0'),
        (Adafactor(late), r'FactorSchedule\.step_offset is 1,000'),
    ):
        with pytest.raises(ValueError, match=told):
            toy.train(tmp_path / 'late', STEPS, optimizer=optimizer)


def test_a_run_without_an_average_has_none_to_load(whole):
    with pytest.raises(ValueError, match='holds no moving average'):
        parameters.load_run(whole.model_dir / 'ema')


def test_what_cannot_be_evaluated_is_told_with_the_remedy(tmp_path, monkeypatch):
    """Before the first step, where no task has a validation split."""
    bare = [
        dataclasses.replace(spec, splits=specs.Splits('train', None, None)) for spec in toy.COLLECTION.specs
    ]
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    registry.register(Collection('bare', tuple(bare), vocabulary='bytes'))
    with pytest.raises(
        ValueError,
        match=r"no task that 'bare' trains on has a validation split .*RecordsConfig\.eval_every_steps",
    ):
        toy.train(tmp_path, 4, mixture='bare', eval_every_steps=2)
