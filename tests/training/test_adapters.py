"""Adapters: merged they compute the same, alone they train, are saved and go on, and they know their base."""

import json
import shutil

import jax
import numpy as np
import pytest
import toy
from flax import traverse_util

import flanlite
from flanlite import checksums
from flanlite.cli import main as cli
from flanlite.model import adapters, layers, models
from flanlite.model.linear_adapters import IA3, LoRA
from flanlite.model.llama import LlamaConfig
from flanlite.training import journal, lazy, locate, merged, parameters

LLAMA = LlamaConfig(
    vocab_size=384, emb_dim=16, num_heads=4, num_kv_heads=2, num_layers=2, head_dim=4, mlp_dim=32, dtype='float32', qkv_bias=True
)  # fmt: skip
IDS = np.arange(1, 9)[None]
BATCH = {'encoder_input_tokens': IDS, 'decoder_input_tokens': IDS, 'decoder_target_tokens': IDS}


def randomly(config, seed=0):
    """Draw all parameters of a model, an adapter's zeros and ones too."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.3).astype(np.float32), models.abstract_params(config)
    )


@pytest.mark.parametrize('model', [toy.CONFIG, LLAMA], ids=['t5', 'llama'])
@pytest.mark.parametrize(
    'adapter',
    [LoRA(targets=('.*',), rank=3), LoRA(rank=2, alpha=3.0, rank_stabilized=True), IA3()],
    ids=['lora everywhere', 'rank-stabilized', 'ia3'],
)
def test_merged_parameters_compute_the_same(model, adapter):
    config = model.replace(adapter=adapter)
    params = randomly(config)
    with jax.default_matmul_precision('highest'):
        apart = models.bind(config, params)(BATCH)
        own, change = (
            {name: lazy.from_numpy(leaf) for name, leaf in traverse_util.flatten_dict(part, sep='/').items()}
            for part in adapters.parts(params)
        )
        whole = {name: array.to_numpy() for name, array in merged.merge(adapter, own, change).items()}
        together = models.bind(model, traverse_util.unflatten_dict(whole, sep='/'))(BATCH)
        base = models.bind(model, adapters.parts(params)[0])(BATCH)
    np.testing.assert_allclose(apart, together, rtol=1e-4, atol=1e-4)
    assert np.abs(apart - base).max() > 0.01
    drawn = models.init_params(config, jax.random.key(0))
    begun = models.bind(model, adapters.parts(drawn)[0])(BATCH)
    np.testing.assert_array_equal(models.bind(config, drawn)(BATCH), begun, 'a new adapter changes nothing')


def test_lora_by_hand():
    """The product of one linear map, in numpy."""
    adapter = LoRA(targets=('decoder/layers/mlp/wo',), rank=2, alpha=6.0)
    kernel, a, b = (np.random.default_rng(0).normal(size=shape) for shape in ((5, 4), (5, 2), (2, 4)))
    alone = adapter.merged('kernel', kernel, {'lora_a': a, 'lora_b': b}, 'decoder/layers/mlp/wo')
    np.testing.assert_allclose(alone, kernel + 3.0 * a @ b, rtol=1e-5)
    assert LoRA(rank=4, alpha=6.0, rank_stabilized=True).scale == 3.0


def test_lora_drops_in_training_only():
    """Of what the two matrices multiply alone, and in each layer and map something else."""
    config = toy.CONFIG.replace(adapter=LoRA(rank=2, dropout=0.5), num_encoder_layers=2, dropout_rate=0.0)
    params = randomly(config)
    whole = jax.jit(lambda params: models.bind(config, params)(BATCH))(params)
    network = models.bind(config, params)
    x = np.random.default_rng(0).normal(size=(1, 50, 16)).astype(np.float32)
    layer = network.decoder.layers.self_attention  # of one layer, stacked
    query, value = (
        jax.tree.map(lambda leaf: leaf[0], params['decoder']['layers']['self_attention'][name])
        for name in ('query', 'value')
    )

    def changed(linear, held):
        linear.kernel.set_value(held['kernel'])
        linear.adapter.lora_a.set_value(held['adapter']['lora_a'])
        linear.adapter.lora_b.set_value(held['adapter']['lora_b'])
        return linear(x) - x @ held['kernel']

    with layers.adapter_dropout(jax.random.key(0)):
        found = changed(layer.query, query), changed(layer.value, value)
    for held, linear, change in zip((query, value), (layer.query, layer.value), found, strict=True):
        key = jax.random.fold_in(jax.random.key(0), linear.adapter.number)
        keep = np.asarray(jax.random.bernoulli(key, 0.5, x.shape))
        own = held['adapter']
        expected = x * keep / 0.5 @ own['lora_a'] @ own['lora_b'] * 8.0
        np.testing.assert_allclose(change, expected, rtol=1e-3, atol=1e-4)
        assert 0.4 < keep.mean() < 0.6
    assert layer.query.adapter.number != layer.value.adapter.number

    def dropped(params, key):
        with layers.adapter_dropout(key):
            return models.bind(config, params)(BATCH)

    one, again, other = (jax.jit(dropped)(params, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0.01 and np.abs(one - whole).max() > 0.01


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """The run of a model to adapt."""
    folder = tmp_path_factory.mktemp('base')
    toy.train(folder, 2)
    return folder


def adapted(base, **fields):
    return {
        'model': toy.CONFIG.replace(adapter=LoRA(rank=2, **fields)),
        'initial_checkpoint_path': str(base),
    }


@pytest.fixture(scope='module')
def whole(base, tmp_path_factory):
    """The run of an adapter that nothing disturbed."""
    folder = tmp_path_factory.mktemp('adapter') / 'run'
    toy.train(folder, 6, **adapted(base, dropout=0.1), ema_decay=0.5)
    return folder


def test_an_adapter_trains_alone_and_goes_on_bit_by_bit(base, whole, tmp_path):
    settings = adapted(base, dropout=0.1) | {'ema_decay': 0.5}
    for steps in (4, 6):
        toy.train(tmp_path / 'run', steps, **settings)
    kept, again = (
        [(record['step'], record['loss']) for record in journal.read_metrics(each)]
        for each in (whole, tmp_path / 'run')
    )
    assert kept == again and kept[0][1] > kept[-1][1]
    before = parameters.load_run(base).params
    for item in ('', '/ema'):
        found, other = (parameters.load_run(f'{each}{item}').params for each in (whole, tmp_path / 'run'))
        jax.tree.map(np.testing.assert_array_equal, found, other)
        own, trained = adapters.parts(found)
        jax.tree.map(np.testing.assert_array_equal, own, before)
        assert all(leaf.any() for leaf in jax.tree.leaves(trained))
    saved = sum(file.stat().st_size for file in (whole / 'checkpoints/6/params').rglob('*'))
    assert saved < sum(leaf.nbytes for leaf in jax.tree.leaves(before)) / 2, 'the base is not saved again'
    toy.train(tmp_path / 'next', 8, **adapted(whole) | {'ema_decay': 0.5}, restore_optimizer=True)
    assert journal.read_metrics(tmp_path / 'next')[0]['step'] == 8
    assert locate.base_path(str(tmp_path / 'next')) == str(base), 'one that goes on from another'


def test_evaluated_answered_and_converted_like_any_model(base, whole, tmp_path):
    (tmp_path / 'in.txt').write_text('order of 3 and 4?\n')
    assert cli.main(['convert', f'--checkpoint={whole}', f'--output={tmp_path}/hf']) == 0
    answers = {}
    for name, path in {'ours': whole, 'merged': f'{tmp_path}/hf'}.items():
        told = [f'--checkpoint={path}', '--vocabulary=bytes']
        scored = ['--mixture=toy', '--split=validation', '--max_rows=4', f'--output={tmp_path}/{name}']
        assert cli.main(['eval', *told, *scored]) == 0
        output = tmp_path / f'{name}.jsonl'
        assert (
            cli.main(['infer', *told, f'--input={tmp_path}/in.txt', f'--output={output}', '--max_length=4'])
            == 0
        )
        answers[name] = [row['value'] for row in json.loads((tmp_path / name / 'results.json').read_text())]
        answers[name] += [json.loads(line)['prediction'] for line in output.read_text().splitlines()]
        answers[name].append(flanlite.load(str(path), vocabulary='bytes').score('order of 3 and 4?', 'rises'))
    np.testing.assert_allclose(answers['ours'].pop(), answers['merged'].pop(), rtol=1e-4)
    assert answers['ours'] == answers['merged']


def test_an_adapter_knows_its_base(base, whole, tmp_path):
    moved = tmp_path / 'moved'
    shutil.copytree(base, moved)
    expected = parameters.load_run(whole).params
    found = parameters.load_run(whole, base=str(moved)).params
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    toy.train(tmp_path / 'other', 2, seed=1)
    with pytest.raises(ValueError, match=r'and .*other is another, with other parameters; .*--base'):
        flanlite.load(str(tmp_path / 'other'), adapter=str(whole))
    with pytest.raises(ValueError, match=r'moved is no adapter, so it has no base; leave out .*base'):
        flanlite.load(str(base), adapter=str(moved))
    model = flanlite.load(str(moved), vocabulary='bytes')
    beside = model.with_adapter(str(whole))
    jax.tree.map(np.testing.assert_array_equal, beside.params, expected)
    shared = adapters.parts(beside.params)[0], adapters.parts(beside.with_adapter(str(whole)).params)[0]
    assert all(jax.tree.leaves(jax.tree.map(lambda one, other: one is other, model.params, shared[0])))
    assert all(jax.tree.leaves(jax.tree.map(lambda one, other: one is other, *shared)))
    with pytest.raises(ValueError, match='and the model that is loaded is another, with other parameters'):
        flanlite.load(str(tmp_path / 'other')).with_adapter(str(whole))
    with pytest.raises(ValueError, match='moved is no adapter; expected one of a T5Config'):
        model.with_adapter(str(moved))
    shutil.copytree(whole, tmp_path / 'lost')
    for manifest in (tmp_path / 'lost').rglob('metadata'):
        manifest.write_text(manifest.read_text().replace(str(base), str(tmp_path / 'nowhere')))
    checksums.write(tmp_path / 'lost/checkpoints/6')
    with pytest.raises(ValueError, match=r'nowhere, which is not there; say where it is: --base'):
        parameters.load_run(tmp_path / 'lost')
    half = parameters.load_run(whole, adapter=LoRA(rank=2, base_dtype='bfloat16')).params
    own, trained = adapters.parts(half)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(own)} == {'bfloat16'}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(trained)} == {'float32'}


def test_a_sweep_compares_an_adapter_with_its_base(base, tmp_path):
    settings = toy.settings(tmp_path, 2, **adapted(base))
    sweep = flanlite.SweepConfig(settings, 'math', ('tuned', 'untuned'), max_rows=4, notes=('It knew math.',))
    flanlite.loco(sweep)
    results = json.loads((tmp_path / 'results.json').read_text())
    assert {row['system'] for row in results} == {'tuned', 'untuned'}
    assert adapters.parts(parameters.load_run(tmp_path / 'math' / 'tuned').params)[1]
    assert all('It knew math.' in (tmp_path / f'report.{form}').read_text() for form in ('md', 'html'))


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'model': toy.CONFIG.replace(adapter=LoRA(rank=3))}, ['(1, 16, 2)', '(1, 16, 3)', 'adapter']),
        ({'model': toy.CONFIG.replace(adapter=LoRA(rank=2, alpha=2.0))}, ['adapter', 'alpha']),
        ({'model': toy.CONFIG.replace(adapter=IA3())}, ['adapter/ia3', 'no such parameter']),
        ({'frozen': ('encoder/.*',)}, ['TrainConfig.frozen', 'adapter']),
        ({'initial_checkpoint_path': None}, ['INITIAL_CHECKPOINT_PATH']),
    ],
)
def test_another_adapter_is_refused(base, whole, changes, words):
    with pytest.raises(ValueError) as raised:
        toy.train(whole, 8, **{**adapted(base), 'ema_decay': 0.5, **changes})
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'rank': 0}, ['LoRA.rank is 0', 'from 1']),
        ({'targets': ('encoder/layers/attention/querry',)}, ['matches no linear map', 'did you mean']),
        ({'targets': ()}, ['LoRA.targets is empty']),
        ({'dropout': 1.0}, ['LoRA.dropout is 1.0', 'below 1']),
        ({'base_dtype': 'float16'}, ['float16', 'float32, bfloat16']),
    ],
)
def test_adapters_that_cannot_be(fields, words):
    with pytest.raises(ValueError) as raised:
        models.abstract_params(toy.CONFIG.replace(adapter=LoRA(**fields)))
    assert all(word in str(raised.value) for word in words), raised.value
