"""Llama's kind and T5Gemma through the whole of training and evaluation: the same losses and gradients on
every mesh, runs that go on bit by bit, and folders that say the same.
"""

import dataclasses
import json
import os
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
import toy

import flanlite
from flanlite.cli import main as cli
from flanlite.data.batches import packing, prefix_lm
from flanlite.mesh import partitioning
from flanlite.model import adapters, models, products
from flanlite.model.linear_adapters import IA3, LoRA
from flanlite.model.llama import LlamaConfig
from flanlite.model.rotary import RotaryConfig
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import explain, journal, optimizers, parameters, step
from flanlite.training.step import StepConfig

SIZES = {
    'vocab_size': 64,
    'emb_dim': 16,
    'num_heads': 8,
    'num_kv_heads': 2,
    'num_layers': 3,
    'head_dim': 6,
    'mlp_dim': 32,
    'dtype': 'float32',
    'remat_policy': 'none',
    'windows': (3, 3, 0),
    'local_rope_theta': 50.0,
}
GEMMA_3 = {
    'qk_norm': 'head',
    'norms': 'pre_and_post',
    'scale_embedding': True,
    'logits_via_embedding': True,
    'mlp_activations': ('gelu', 'linear'),
}
ONE_HEAD = {'num_kv_heads': 1}  # its 6 columns do not divide over 4 devices
THREE_HEADS = {'num_heads': 12, 'num_kv_heads': 3}  # a head of keys serves queries on two of 4 devices
MERGED = T5GemmaConfig(**SIZES, **GEMMA_3)
CONFIGS = {
    'llama': LlamaConfig(
        **SIZES | THREE_HEADS, qk_norm='joined', norms='post', qkv_bias=True, attention_soft_cap=2.0
    ),
    't5gemma 2': MERGED,
    't5gemma': dataclasses.replace(
        MERGED,
        **ONE_HEAD,
        version=1,
        encoder=RotaryConfig(
            emb_dim=24, num_heads=4, num_kv_heads=1, num_layers=2, head_dim=8, mlp_dim=32, windows=(2,)
        ),
        qk_norm='none',
        attention_soft_cap=2.0,
        logits_soft_cap=3.0,
    ),
}
CONFIGS['llama with LoRA'] = CONFIGS['llama'].replace(adapter=LoRA(('.*',), rank=2, alpha=2.0))
CONFIGS['t5gemma 2 with (IA)3'] = MERGED.replace(adapter=IA3(targets=('.*/(key|value|wo)',)))
CONFIGS['t5 with LoRA'] = toy.CONFIG.replace(dropout_rate=0.0, adapter=LoRA(rank=2, rank_stabilized=True))
# By a config's name: mesh, dims of activations and of parameters, microbatches, and fields that change no
# number.
LAYOUTS = [
    *((name, (1, 1), (1, 1), 1, {}) for name in CONFIGS),
    # With all devices on `data`, gradients are scattered in stages, the logits' in pieces.
    ('llama', (8, 1), (1, 2), 2, {'remat_policy': 'save_dot_except_mlp'}),
    ('t5gemma 2', (8, 1), (1, 2), 1, {'remat_policy': 'full'}),
    ('llama', (2, 4), (1, 2), 1, {'attention': 'blockwise'}),
    ('t5gemma 2', (2, 4), (1, 1), 2, {'remat_policy': 'minimal'}),
    ('t5gemma 2', (4, 2), (1, 2), 1, {'remat_policy': 'full', 'dtype': 'bfloat16'}),
    ('t5gemma', (2, 4), (1, 1), 1, {'remat_policy': 'minimal', 'attention': 'blockwise'}),
    ('t5gemma', (4, 2), (2, 2), 1, {'remat_policy': 'full'}),
    ('llama with LoRA', (2, 4), (1, 2), 2, {'remat_policy': 'minimal'}),
    ('t5gemma 2 with (IA)3', (2, 4), (1, 1), 1, {'remat_policy': 'full'}),
    ('t5 with LoRA', (2, 4), (2, 2), 1, {'remat_policy': 'minimal'}),
    ('t5 with LoRA', (4, 2), (1, 1), 1, {}),
]
SCALE = 1024.0  # of the gradient beside the parameters that it is subtracted from
OPTIMIZER = optimizers.Optimizer(optax.sgd(SCALE), optax.constant_schedule(SCALE))


def batch_of(config):
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 8, (16, 3, 2))
    examples = [
        [[rng.integers(3, 64, size).astype(np.int32) for size in pair] for pair in row] for row in sizes
    ]
    return (prefix_lm if config.converter == 'prefix_lm' else packing).pack(examples, (24, 24))


def loss_and_gradient(name, mesh_shape, dims, microbatches, fields):
    """Take a step with the gradient itself; return the mean loss, and the gradient of what trains by names."""
    config = dataclasses.replace(CONFIGS[name], **fields)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: (rng.normal(size=x.shape) * x.shape[-1] ** -0.5).astype(np.float32),
        models.abstract_params(config),
    )
    places = partitioning.MeshConfig(
        mesh_shape=mesh_shape, activation_partitioning_dims=dims[0], parameter_partitioning_dims=dims[1]
    )
    partitioner = partitioning.make_partitioner(places)
    partitioner.check_heads(*config.head_counts)
    optimizer = OPTIMIZER._replace(frozen=adapters.FROZEN if config.adapter else ())
    state = step.jit_create(config, optimizer, partitioner)(params)
    train_step = step.jit_train_step(config, optimizer, StepConfig(microbatches=microbatches), partitioner)
    after, sums = train_step(state, partitioner.place(batch_of(config)), partitioner.replicate(np.uint32(0)))
    gradient = jax.tree.map(lambda before, after: (before - np.asarray(after)) / SCALE, params, after.whole())
    base, own = adapters.parts(gradient)
    if config.adapter:
        assert not any(leaf.any() for leaf in jax.tree.leaves(base))
        gradient = own
    named = {partitioning.parameter_name(path): leaf for path, leaf in jax.tree.leaves_with_path(gradient)}
    return {'loss': np.asarray(sums['loss'] / sums['weight_sum']), **named}


def test_every_layout_gives_the_losses_and_gradients_of_one_device(tmp_path):
    """On virtual devices, so in a process of its own."""
    # The latter compiles sooner.
    flags = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
    environment = os.environ | {'XLA_FLAGS': flags, 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
    one = {}
    for number, (name, *_, fields) in enumerate(LAYOUTS):
        found = dict(np.load(tmp_path / f'{number}.npz'))
        expected = one.setdefault(name, found)
        assert sorted(found) == sorted(expected)
        rounded = fields.get('dtype') == 'bfloat16'
        for path, value in expected.items():
            assert value.any(), path
            off = np.abs(found[path] - value).max() / np.abs(value).max()
            limit = 2e-5 if not rounded else 1e-3 if path == 'loss' else 0.3
            assert off < limit, (LAYOUTS[number], path, off)


STEPS = 4
RUNS = {
    'llama': LlamaConfig(**SIZES | {'vocab_size': 384, 'dropout_rate': 0.1}, **GEMMA_3),
    't5gemma 2': dataclasses.replace(MERGED, vocab_size=384, dropout_rate=0.1),
}


@pytest.fixture(scope='module', params=RUNS)
def whole(request, tmp_path_factory):
    """A run that nothing disturbed, and its model."""
    folder = tmp_path_factory.mktemp('whole')
    toy.train(folder, STEPS, model=RUNS[request.param])
    return folder, RUNS[request.param]


def test_a_run_goes_on_bit_by_bit(whole, tmp_path, capsys):
    folder, config = whole
    explain.show(toy.settings(tmp_path, 2, model=config))
    assert 'layers/self_attention/key_norm/scale' in capsys.readouterr().out and not list(tmp_path.iterdir())
    for steps in (2, STEPS):
        toy.train(tmp_path, steps, model=config)
    got, expected = (
        [(record['step'], record['loss'], record['gradient_norm']) for record in journal.read_metrics(each)]
        for each in (tmp_path, folder)
    )
    assert got == expected and got[0][1] > got[-1][1]
    runs = [parameters.load_run(each) for each in (tmp_path, folder)]
    assert runs[0].config == config
    jax.tree.map(np.testing.assert_array_equal, *(run.params for run in runs))


def test_a_tuned_model_goes_to_hugging_face_and_back(whole, tmp_path):
    folder, _ = whole
    (tmp_path / 'in.txt').write_text('order of 3 and 4?\n')
    ways = {'ours': str(folder), 'theirs': f'{tmp_path}/hf'}
    assert cli.main(['convert', f'--checkpoint={folder}', f'--output={ways["theirs"]}']) == 0
    answers, logits = {}, {}
    for name, path in ways.items():
        told = [f'--checkpoint={path}', '--vocabulary=bytes']
        output, results = tmp_path / f'{name}.jsonl', tmp_path / name
        asked = [f'--input={tmp_path}/in.txt', f'--output={output}', '--max_length=4']
        assert cli.main(['infer', *told, *asked]) == 0
        scored = ['--mixture=toy', '--split=validation', '--max_rows=4', f'--output={results}']
        assert cli.main(['eval', *told, *scored]) == 0
        answers[name] = [json.loads(line)['prediction'] for line in output.read_text().splitlines()]
        answers[name] += [row['value'] for row in json.loads((results / 'results.json').read_text())]
        model = flanlite.load(path, vocabulary='bytes')
        logits[name] = model.logits(model.batch(['order of 3 and 4?'], ['rises']))
    assert answers['ours'] == answers['theirs']
    np.testing.assert_allclose(logits['ours'], logits['theirs'], rtol=1e-4, atol=1e-5)


if __name__ == '__main__':
    products.SCATTERED = 3  # so that the logits' kernel has several pieces, the last of another width
    for number, layout in enumerate(LAYOUTS):
        np.savez(f'{sys.argv[1]}/{number}.npz', **loss_and_gradient(*layout))
