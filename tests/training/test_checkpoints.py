"""Saving and restoring: bit for bit, to another mesh, what is kept, and clear errors for what does not
fit.
"""

import contextlib
import dataclasses
import errno
import io
import itertools
import json
import os
import pathlib
import re
import resource
import shutil

import jax
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from flanlite import checksums
from flanlite.mesh import partitioning
from flanlite.model import models
from flanlite.model.t5 import T5Config
from flanlite.training import parameters, state, step
from flanlite.training.checkpoints import CheckpointConfig, Checkpoints, put_aside_damaged
from flanlite.training.optimizers import Optimizer

CONFIG = T5Config(
    vocab_size=32,
    emb_dim=8,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=1,
    head_dim=4,
    mlp_dim=16,
    dtype='float32',
)
ADAM = Optimizer(optax.adam(1e-3), optax.constant_schedule(1e-3))
MANIFEST = {
    'model': dataclasses.asdict(CONFIG),
    'vocabulary': {'name': 'bytes', 'fingerprint': 'x'},
    'feature_lengths': {'inputs': 8, 'targets': 4},
}


def made_up_state(seed=0, config=CONFIG, optimizer=ADAM):
    """Make a state of random numbers without compiling anything."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(lambda: state.create(models.init_params(config, jax.random.key(0)), optimizer))
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(random.normal(size=leaf.shape).astype(leaf.dtype)), shapes
    )


def save(kept, train_state, number, **metrics):
    kept.save(
        train_state, step=number, position={'window': number}, unlogged={'loss': 0.1 + number}, config={'a': 1}, manifest=MANIFEST,
        metrics=metrics,
    )  # fmt: skip


def abstract(config=CONFIG, optimizer=ADAM):
    return step.abstract_state(config, optimizer, partitioning.make_partitioner())


@pytest.fixture
def saved(tmp_path):
    kept = Checkpoints(tmp_path, CheckpointConfig())
    save(kept, made_up_state(), 3)
    kept.wait()
    yield kept
    kept.close()


def test_what_is_restored_is_bit_identical(saved):
    restored = saved.restore(3, abstract(), CONFIG)
    for got, expected in itertools.zip_longest(
        jax.tree.leaves(restored.state), jax.tree.leaves(made_up_state())
    ):
        assert np.asarray(got).tobytes() == np.asarray(expected).tobytes()
        assert got.dtype == expected.dtype


def test_what_goes_with_a_state_is_restored(saved):
    restored = saved.restore(3, abstract(), CONFIG)
    assert restored.position == {'window': 3}
    assert restored.unlogged == {'loss': 3.1}
    assert saved.manifest(3) == json.loads(json.dumps(MANIFEST))


def test_compressed_arrays_are_read_too(tmp_path, monkeypatch):
    handler = ocp.PyTreeCheckpointHandler
    with monkeypatch.context() as patched:
        # As runs before had it.
        patched.setattr(ocp, 'PyTreeCheckpointHandler', lambda use_compression: handler())
        with contextlib.closing(Checkpoints(tmp_path, CheckpointConfig())) as kept:
            save(kept, made_up_state(), 3)
    with contextlib.closing(Checkpoints(tmp_path)) as kept:
        restored = kept.restore(3, abstract(), CONFIG)
    jax.tree.map(np.testing.assert_array_equal, restored.state, made_up_state())


def test_what_a_killed_run_was_writing_is_removed(saved, tmp_path):
    left = tmp_path / 'checkpoints' / '4.orbax-checkpoint-tmp-5'
    left.mkdir()
    with contextlib.closing(Checkpoints(tmp_path)):
        assert left.is_dir(), 'who reads does not clean'
    with contextlib.closing(Checkpoints(tmp_path, CheckpointConfig())) as again:
        assert not left.is_dir()
        assert again.latest_step() == 3


def test_a_run_folder_gives_back_its_model(saved, tmp_path):
    for path in (tmp_path, tmp_path / 'checkpoints', tmp_path / 'checkpoints' / '3'):
        run = parameters.load_run(path)
        assert (run.config, run.vocabulary, run.feature_lengths, run.step) == (
            CONFIG,
            'bytes',
            {'inputs': 8, 'targets': 4},
            3,
        )
    jax.tree.map(np.testing.assert_array_equal, run.params, made_up_state().params)
    assert parameters.load_run(tmp_path, dtype='bfloat16').config.dtype == 'bfloat16'


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_shipped_file_gives_back_its_model(tmp_path, dtype):
    params = made_up_state().params
    file = tmp_path / 'base.safetensors'
    parameters.save_params(
        file,
        params,
        CONFIG,
        dtype=dtype,
        metadata={'vocabulary': 'bytes', 'feature_lengths': {'inputs': 8, 'targets': 4}, 'step': 7},
    )
    (tmp_path / 'any').touch()
    assert file.stat().st_mode == (tmp_path / 'any').stat().st_mode, 'others may read it, as any new file'
    run = parameters.load_run(file)
    assert run.config == CONFIG
    assert run[2:] == ('bytes', {'inputs': 8, 'targets': 4}, 7)
    rounded = jax.tree.map(lambda leaf: np.asarray(leaf.astype(dtype).astype('float32')), params)
    jax.tree.map(np.testing.assert_array_equal, run.params, rounded)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(run.params)} == {'float32'}


def test_last_and_best_are_kept(tmp_path):
    kept = Checkpoints(tmp_path, CheckpointConfig(keep_last=2, keep_best=1))
    for number, loss in ((1, 0.5), (2, 0.2), (3, 0.9), (4, 0.4), (5, 0.3)):
        save(kept, made_up_state(), number, eval_loss=loss)
    kept.close()
    assert sorted(int(folder.name) for folder in kept.path.iterdir()) == [2, 4, 5]


def test_only_what_was_measured_is_best(tmp_path):
    kept = Checkpoints(tmp_path, CheckpointConfig(keep_last=1, keep_best=2))
    for number, measured in ((1, {'eval_loss': 0.5}), (2, {}), (3, {'eval_loss': float('nan')}), (4, {})):
        save(kept, made_up_state(), number, **measured)
    kept.close()
    assert sorted(int(folder.name) for folder in kept.path.iterdir()) == [1, 4]


@pytest.mark.parametrize(
    ('metric', 'mode', 'best'),
    [
        ('eval_loss', 'min', 2), ('eval_loss', None, 2), ('eval_loss', 'max', 1),
        ('eval_accuracy', None, 1), ('eval_accuracy', 'min', 2),
    ],
)  # fmt: skip
def test_the_best_is_kept_when_opened_again(tmp_path, metric, mode, best):
    measured = {1: 0.5, 2: 0.2, 3: 0.3, 4: 0.4}
    for number, value in measured.items():
        kept = Checkpoints(tmp_path, CheckpointConfig(1, 1, 1, metric, mode))
        save(kept, made_up_state(), number, **{metric: value})
        kept.close()
    assert sorted(int(folder.name) for folder in kept.path.iterdir()) == [best, 4]


def test_checkpoints_without_metrics_are_opened_too(saved, tmp_path):
    saved.close()
    shutil.rmtree(tmp_path / 'checkpoints' / '3' / 'metrics')
    checksums.write(tmp_path / 'checkpoints' / '3')
    kept = Checkpoints(tmp_path, CheckpointConfig(keep_last=1, keep_best=1))
    assert kept.restore(3, abstract(), CONFIG).position == {'window': 3}
    save(kept, made_up_state(), 4, eval_loss=0.5)
    save(kept, made_up_state(), 5, eval_loss=0.6)
    kept.close()
    assert sorted(int(folder.name) for folder in kept.path.iterdir()) == [4, 5]


@pytest.mark.filterwarnings(
    'ignore::pytest.PytestUnraisableExceptionWarning'
)  # Orbax's, of the writing that failed
def test_a_full_disk_says_so(tmp_path):
    kept = Checkpoints(tmp_path, CheckpointConfig())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))
    try:
        with pytest.raises(OSError, match=r'cannot write a checkpoint to .*; free some space'):
            save(kept, made_up_state(), 1)
            kept.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    kept.close()
    with pytest.raises(ValueError, match='no checkpoint'):
        parameters.load_run(tmp_path)


@pytest.mark.parametrize('name', ['lr[1e-3]', 'a b%20#?*', '{a}\'"', '~日'])
def test_a_folder_may_have_any_name(tmp_path, name):
    kept = Checkpoints(tmp_path / name, CheckpointConfig())
    save(kept, made_up_state(), 3)
    kept.close()
    with contextlib.closing(Checkpoints(tmp_path / name)) as found:
        restored = found.restore(3, abstract(), CONFIG)
    jax.tree.map(np.testing.assert_array_equal, restored.state, made_up_state())


def test_a_backslash_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'a backslash in the path .*rename'):
        Checkpoints(tmp_path / 'a\\b', CheckpointConfig())
    assert not list(tmp_path.iterdir())


def test_a_bucket_is_refused():
    with pytest.raises(ValueError, match=r'gs://bucket.*gcsfuse'):
        Checkpoints('gs://bucket/run')


def test_the_best_by_what_is_not_computed_is_refused():
    with pytest.raises(ValueError, match=r"'eval_loss'.*RecordsConfig\.eval_every_steps"):
        CheckpointConfig(keep_best=1).check_metric(evaluates=False, averages=False)
    with pytest.raises(ValueError, match=r"'eval_ema_loss'.*TrainConfig\.ema_decay"):
        CheckpointConfig(keep_best=1, best_metric='eval_ema_loss').check_metric(
            evaluates=True, averages=False
        )
    with pytest.raises(ValueError, match=r"'eval_los'; did you mean eval_loss"):
        CheckpointConfig(keep_best=1, best_metric='eval_los').check_metric(evaluates=True, averages=True)


OTHER = dataclasses.replace(CONFIG, mlp_dim=24)


@pytest.mark.parametrize('source', ['run', 'file'])
def test_another_shape_names_parameter_shapes_and_remedy(saved, tmp_path, source):
    path = tmp_path
    if source == 'file':
        path = tmp_path / 'base.safetensors'
        parameters.save_params(path, made_up_state().params, CONFIG)
    with pytest.raises(ValueError) as raised:
        parameters.load_params(path, OTHER)
    for word in ('decoder/layers/mlp/wi_0/kernel', '(1, 8, 16)', '(1, 8, 24)', 'T5Config.mlp_dim = 16'):
        assert word in str(raised.value)


def test_resuming_with_another_shape_or_optimizer_is_refused(saved):
    with pytest.raises(ValueError, match=r'T5Config.mlp_dim = 16'):
        saved.restore(3, abstract(OTHER), OTHER)
    sgd = Optimizer(optax.sgd(1e-3, momentum=0.9), optax.constant_schedule(1e-3))
    with pytest.raises(ValueError, match=r'another optimizer.*INITIAL_CHECKPOINT_PATH'):
        saved.restore(3, abstract(optimizer=sgd), CONFIG)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path, place=0.5):
    content = bytearray(path.read_bytes())
    at = int(place * max(0, len(content) - 4))
    content[at : at + 4] = (byte ^ 0xFF for byte in content[at : at + 4])
    path.write_bytes(content)


def files(folder):
    return [path for path in sorted(folder.rglob('*')) if path.is_file()]


@pytest.mark.parametrize('damage', [cut, flip, pathlib.Path.unlink])
def test_damage_anywhere_in_a_checkpoint_is_found(saved, damage, tmp_path, caplog):
    """Before it trains or answers; the message names the file, and the newest checkpoint that is whole, and
    Orbax warns of nothing beside it.
    """
    for number in (4, 5):
        save(saved, made_up_state(number), number)
        saved.wait()
    folder = saved.path / '5'
    for file in files(folder):
        content, name = file.read_bytes(), file.relative_to(folder).as_posix()
        damage(file)
        with pytest.raises(ValueError, match=r'is damaged: .*newest whole one is .*checkpoints/4') as error:
            saved.restore(5, abstract(), CONFIG)
        assert f'{folder} is damaged' in str(error.value) and name in str(error.value)
        assert '\n' not in str(error.value)
        if name.startswith(('params', 'manifest')) or '/' not in name:
            with pytest.raises(ValueError, match='is damaged'):
                parameters.load_run(folder)
        with contextlib.suppress(ValueError), contextlib.closing(Checkpoints(tmp_path)):
            pass
        file.write_bytes(content)
    assert parameters.load_run(folder).step == 5
    assert not [record for record in caplog.records if record.levelname not in ('DEBUG', 'INFO')]


def test_falling_back_puts_damaged_checkpoints_aside(tmp_path):
    with contextlib.closing(Checkpoints(tmp_path, CheckpointConfig(keep_last=3))) as kept:
        for number in (3, 4, 5):
            save(kept, made_up_state(number), number)
    shutil.rmtree(tmp_path / 'checkpoints/5/params')
    cut(tmp_path / 'checkpoints/4/metrics/metrics')
    with pytest.raises(ValueError, match=r'checkpoints/4 is damaged: metrics/metrics has'):
        Checkpoints(tmp_path, CheckpointConfig())
    told = put_aside_damaged(tmp_path)
    assert len(told) == 2 and '5 is damaged: params/' in told[0] and 'damaged/5' in told[0]
    assert sorted(path.name for path in (tmp_path / 'damaged').iterdir()) == ['4', '5']
    with contextlib.closing(Checkpoints(tmp_path, CheckpointConfig())) as kept:
        assert kept.latest_step() == 3
    cut(tmp_path / 'checkpoints/3/manifest/metadata')
    with pytest.raises(ValueError, match=r'none of the checkpoints .* is whole'):
        put_aside_damaged(tmp_path)
    assert (tmp_path / 'checkpoints/3').is_dir()


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no checkpoint at'):
        parameters.load_run(tmp_path)
    with pytest.raises(ValueError, match=':chat belongs to the vocabulary, --vocabulary='):
        parameters.load_run(f'{tmp_path}:chat')
    (tmp_path / 'x.safetensors').write_text('nothing')
    with pytest.raises(ValueError, match='is no parameter file'):
        parameters.load_run(tmp_path / 'x.safetensors')
    with pytest.raises(ValueError, match='is no parameter file'):
        parameters.load_run(tmp_path / 'missing.safetensors')


@pytest.mark.parametrize('settings', [{'every_steps': 0}, {'keep_last': 0}, {'best_mode': 'least'}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError):
        CheckpointConfig(**settings)


def unreadable(monkeypatch, name, number):
    """Let files of a name give an error where they are read."""
    opened = pathlib.Path.open

    class Failing(io.BytesIO):
        def read(self, *_):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(
        pathlib.Path,
        'open',
        lambda path, *rest, **more: Failing() if path.name == name else opened(path, *rest, **more),
    )


def made_up(folder):
    """Make a sealed folder such as a checkpoint's."""
    (folder / 'params').mkdir(parents=True)
    (folder / 'params' / 'a').write_text('a')
    checksums.write(folder)
    return folder


def test_what_the_disk_cannot_read_is_damage_that_one_falls_back_from(tmp_path, monkeypatch):
    for number in (1, 2, 3):
        made_up(tmp_path / 'checkpoints' / str(number))
    (tmp_path / 'checkpoints/2/params/b').write_text('b')
    checksums.write(tmp_path / 'checkpoints/2')
    shutil.rmtree(tmp_path / 'checkpoints/3/params')
    (tmp_path / 'checkpoints/3/params').write_text('no folder')
    assert checksums.fault(tmp_path / 'checkpoints/3') == 'params/a cannot be read: Not a directory'
    unreadable(monkeypatch, 'b', errno.EIO)
    assert checksums.fault(tmp_path / 'checkpoints/2') == 'params/b cannot be read: Input/output error'
    assert len(put_aside_damaged(tmp_path)) == 2
    assert [path.name for path in (tmp_path / 'checkpoints').iterdir()] == ['1']


def test_what_one_may_not_read_is_no_damage(tmp_path, monkeypatch):
    folder = made_up(tmp_path / 'checkpoints/1')
    unreadable(monkeypatch, 'a', errno.EACCES)
    with pytest.raises(PermissionError, match=re.escape(str(folder / 'params/a'))):
        checksums.fault(folder)


def test_a_checkpoint_without_checksums_can_be_sealed(tmp_path, capsys):
    with contextlib.closing(Checkpoints(tmp_path, CheckpointConfig())) as kept:
        save(kept, made_up_state(3), 3)
    folder = tmp_path / 'checkpoints/3'
    (folder / 'checksums.json').unlink()
    words = f'it has no checksums.json; .*python -m flanlite.checksums {re.escape(str(folder))}$'
    with pytest.raises(ValueError, match=words):
        parameters.load_run(folder)
    with pytest.raises(ValueError, match=r'python -m flanlite\.checksums'):
        put_aside_damaged(tmp_path)
    for wrong in ([str(tmp_path)], [str(tmp_path / 'checkpoints')], [str(tmp_path / 'none')], []):
        assert checksums.main(wrong) == 2
        assert (wrong or ['got 0 folders'])[0] in (said := capsys.readouterr().err)
    assert not list(tmp_path.glob('checksums.json')) and 'expected one' in said
    assert checksums.main([str(folder)]) == 0
    assert parameters.load_run(folder).step == 3
