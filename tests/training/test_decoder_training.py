"""A decoder alone through the whole of training and evaluation: batches, step, meshes, checkpoints, gin and
the command line.
"""

import dataclasses
import json
import os
import subprocess
import sys

import gin
import jax
import numpy as np
import pytest
import toy

import flanlite
from flanlite.cli import main as cli
from flanlite.data.batches import prefix_lm
from flanlite.mesh import partitioning
from flanlite.model import kinds
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.training import journal, optimizers, parameters, step
from flanlite.training.step import StepConfig

STEPS = 4
CONFIG = DecoderOnlyConfig(
    vocab_size=384,
    emb_dim=16,
    num_heads=8,
    num_layers=2,
    head_dim=4,
    mlp_dim=32,
    dropout_rate=0.1,
    dtype='float32',
    remat_policy='none',
)
FIELDS = [f'DecoderOnlyConfig.{name}={value!r}' for name, value in dataclasses.asdict(CONFIG).items()]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """A run from the command line, which nothing disturbed."""
    folder = tmp_path_factory.mktemp('whole')
    macros = {'TASK_FEATURE_LENGTHS': toy.LENGTHS, 'TRAIN_STEPS': STEPS, 'BATCH_SIZE': 8}
    macros |= {'MIXTURE_OR_TASK_NAME': 'toy', 'MODEL_DIR': folder}
    bindings = [*(f'{name}={value}' for name, value in macros.items()), *FIELDS, 'MODEL=@DecoderOnlyConfig()']
    bindings += [
        'TrainConfig.optimizer=@adamw()',
        'adamw.learning_rate=1e-2',
        'RecordsConfig.log_every_steps=2',
    ]
    try:
        assert (
            cli.main(['train', '--gin_file=gin/train.gin', *(f'--gin.{binding}' for binding in bindings)])
            == 0
        )
    finally:
        gin.clear_config()
    return folder


def test_train_save_resume_gives_the_same_run(whole, tmp_path):
    toy.train(tmp_path, 2, model=CONFIG)
    toy.train(tmp_path, STEPS, model=CONFIG)
    names = ('step', 'loss', 'accuracy', 'gradient_norm', 'decoder_fill')
    got, expected = (
        [[record[name] for name in names] for record in journal.read_metrics(folder)]
        for folder in (tmp_path, whole)
    )
    assert got == expected and got[0][1] > got[-1][1]
    assert got[0][-1] > 0.8 and 'encoder_fill' not in journal.read_metrics(whole)[0]
    runs = [parameters.load_run(folder) for folder in (tmp_path, whole)]
    assert runs[0].config == CONFIG
    jax.tree.map(np.testing.assert_array_equal, *(run.params for run in runs))


def test_the_model_scores_ranks_and_answers(whole):
    model = flanlite.load(str(whole))
    texts, targets = ['order of 3 and 4?', 'even or odd: 7 and 2?'], ['rises', 'odd']
    batch = model.batch(texts, targets)
    log_probs_BTV = np.asarray(jax.nn.log_softmax(model.logits(batch)))
    picked_BT = np.take_along_axis(log_probs_BTV, batch['decoder_target_tokens'][..., None], axis=-1)[..., 0]
    expected_B = (picked_BT * batch['decoder_loss_weights']).sum(axis=1)
    np.testing.assert_allclose(model.score(texts, targets), expected_B, rtol=1e-4)
    assert model.loss(batch) == pytest.approx(
        -expected_B.sum() / batch['decoder_loss_weights'].sum(), rel=1e-4
    )
    np.testing.assert_allclose(model.rank(texts, ['rises', 'odd'])[1].scores[1], expected_B[1], rtol=1e-4)
    assert len(model.generate(texts, max_length=4)) == 2


def test_the_command_line_evaluates_and_answers(whole, tmp_path, capsys):
    assert (
        cli.main(['eval', f'--checkpoint={whole}', '--mixture=toy', '--split=validation', '--max_rows=4'])
        == 0
    )
    results = json.loads((whole / 'eval' / 'toy-validation' / 'results.json').read_text())
    assert {row['task'] for row in results} == {'toy_order', 'toy_parity'}
    (tmp_path / 'in.txt').write_text('order of 3 and 4?\n')
    assert (
        cli.main(
            ['infer', f'--checkpoint={whole}', f'--input={tmp_path}/in.txt', f'--output={tmp_path}/out.jsonl']
        )
        == 0
    )
    assert 'prediction' in json.loads((tmp_path / 'out.jsonl').read_text())
    assert cli.main(['convert', f'--checkpoint={whole}', f'--output={tmp_path}/hf']) == 2
    assert 'transformers has no decoder alone' in capsys.readouterr().err
    assert (
        cli.main(
            [
                'convert',
                f'--checkpoint={whole}',
                f'--output={tmp_path}/ours.safetensors',
                '--form=safetensors',
            ]
        )
        == 0
    )
    one, other = (parameters.load_run(path) for path in (whole, tmp_path / 'ours.safetensors'))
    assert one.config == other.config
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


def test_a_model_of_the_other_kind_is_refused(whole, tmp_path):
    with pytest.raises(ValueError, match='of the kind that it was trained as, not a T5Config'):
        parameters.load_params(whole, toy.CONFIG)
    with pytest.raises(ValueError, match='expected the fields of a T5Config or DecoderOnlyConfig'):
        kinds.config_from_fields({'vocab_size': 8, 'experts': 4})


def batch_of(seed):
    rng = np.random.default_rng(seed)

    def tokens():
        return rng.integers(2, 64, rng.integers(2, 7)).astype(np.int32)

    return prefix_lm.pack([[(tokens(), tokens()) for _ in range(3)] for _ in range(8)], (24, 12))


def losses(mesh_shape, dims=(1, 1)):
    """Train on packed batches; return each step's mean loss and gradient norm."""
    config = dataclasses.replace(CONFIG, vocab_size=64, dropout_rate=0.0)
    optimizer = optimizers.Adafactor(learning_rate=1e-2).build()
    rules = {'activation_partitioning_dims': dims[0], 'parameter_partitioning_dims': dims[1]}
    partitioner = partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=mesh_shape, **rules))
    seed = partitioner.replicate(np.uint32(0))
    state = step.jit_init(config, optimizer, partitioner)(seed)
    train_step = step.jit_train_step(config, optimizer, StepConfig(), partitioner)
    curve = []
    for number in range(2):
        state, sums = train_step(state, partitioner.place(batch_of(number)), seed)
        curve.append((float(sums['loss'] / sums['weight_sum']), float(sums['gradient_norm'])))
    return curve


def test_eight_devices_give_the_losses_of_one():
    """On virtual devices, so in a process of its own."""
    # The latter compiles sooner.
    flags = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
    done = subprocess.run(
        [sys.executable, __file__],
        env=os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found['devices'] == 8
    np.testing.assert_allclose(found['losses'], losses((1, 1)), rtol=2e-5)


if __name__ == '__main__':
    print(json.dumps({'devices': jax.device_count(), 'losses': losses((2, 4), (2, 2))}))
