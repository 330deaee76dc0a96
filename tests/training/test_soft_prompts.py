"""Soft prompts: ids beside the vocabulary's, packed as tokens are; trained, saved and asked with."""

import collections
import dataclasses
import functools
import gzip
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import t5x_fixtures
import tensorstore
import toy
from drawn import loss_of, randomly
from flax import serialization, traverse_util

import flanlite
from flanlite.cli import main as cli
from flanlite.data.batches import packing, prefix_lm
from flanlite.data.tokens import vocabularies
from flanlite.data.training_data import TrainingData
from flanlite.eval import evaluate, generate, infer
from flanlite.eval.evaluator import Evaluator
from flanlite.mesh import partitioning
from flanlite.model import adapters, models
from flanlite.model.attempt import Attempt
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.llama import LlamaConfig
from flanlite.model.soft_prompt import SchemaPrompt, SoftPrompt, prompts_of
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import begin, convert, parameters, soft_prompts

SIZES = {'vocab_size': 90, 'emb_dim': 16, 'num_heads': 4, 'head_dim': 4, 'mlp_dim': 32, 'dtype': 'float32'}
ROTARY = {'num_kv_heads': 2, 'num_layers': 2, 'windows': (5, 0), 'local_rope_theta': 50.0}
CONFIGS = {
    't5': toy.CONFIG.replace(vocab_size=90),
    'decoder-only': DecoderOnlyConfig(**SIZES, num_layers=2),
    'llama': LlamaConfig(**SIZES, **ROTARY, scale_embedding=True),
    't5gemma 2': T5GemmaConfig(**SIZES, **ROTARY, qk_norm='head', scale_embedding=True),
}
STEPS = 40
PROMPTS = SoftPrompt(length=3, tasks=('a', 'b'))
RNG = np.random.default_rng(0)
EXAMPLES = [
    (task, RNG.integers(3, 90, length).astype(np.int32), RNG.integers(3, 90, 4).astype(np.int32))
    for task, length in [('a', 6), ('b', 9), ('a', 4), ('b', 5)]
]


@pytest.mark.parametrize('kind', CONFIGS)
def test_a_prompt_is_rows_beside_the_table(kind):
    """A model with a larger table of embeddings computes the same, packed and not, forward and backward."""
    config = CONFIGS[kind].replace(adapter=PROMPTS)
    params = randomly(config)
    converter = packing if config.converter == 'encoder_decoder' else prefix_lm
    tokens = [(np.concatenate([config.prompt(task), inputs]), targets) for task, inputs, targets in EXAMPLES]
    padded = converter.pad(tokens, (16, 8))
    rows = [tokens[:2], tokens[2:]]
    packed = converter.pack(rows, (24, 12))
    of = jax.jit(jax.value_and_grad(functools.partial(loss_of, config)))
    (loss, gradient), (packed_loss, packed_gradient) = of(params, padded), of(params, packed)
    np.testing.assert_allclose(loss, packed_loss, rtol=1e-5)
    prompts, packed_prompts = prompts_of(gradient), prompts_of(packed_gradient)
    for name in PROMPTS.tasks:
        np.testing.assert_allclose(prompts[name], packed_prompts[name], rtol=1e-3, atol=1e-5)
        assert np.abs(prompts[name]).max() > 1e-4

    # The reference: the prompts as rows of the table itself, which a scaled embedding would scale.
    scale = 4.0 if getattr(config, 'scale_embedding', False) else 1.0
    base = adapters.parts(params)[0]
    table = (
        base['decoder']['token_embedder'] if 'token_embedder' in base['decoder'] else base['token_embedder']
    )
    own = prompts_of(params)
    table['embedding'] = np.concatenate([table['embedding'], *(own[name] / scale for name in PROMPTS.tasks)])
    larger = config.replace(adapter=None, vocab_size=96)
    head = base['decoder'] if 'logits_dense' in base['decoder'] else base
    head['logits_dense']['kernel'] = np.pad(head['logits_dense']['kernel'], ((0, 0), (0, 6)))
    with jax.default_matmul_precision('highest'):
        expected, found = (
            jax.jit(lambda params, of=of: models.bind(of, params)(padded)[..., :90])(params)
            for of, params in ((larger, base), (config, params))
        )
    real = padded['decoder_segment_ids'] > 0
    np.testing.assert_allclose(np.asarray(found)[real], np.asarray(expected)[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', ['t5', 'llama'])
def test_attempt_by_hand(kind):
    """What each example's prompt is mixed of, in numpy, alone in a row and packed."""
    adapter = Attempt(3, ('a', 'b'), sources=('x', 'y'), source_file='any', bottleneck=5, temperature=0.7)
    config = CONFIGS[kind].replace(adapter=adapter)
    params = randomly(config)
    base, own = adapters.parts(params)
    flat = {path[-2:]: leaf for path, leaf in traverse_util.flatten_dict(own).items()}
    by_name = {path[-1]: leaf for path, leaf in flat.items()}
    table = (base['decoder'] if kind == 'llama' else base)['token_embedder']['embedding']
    scale = 4.0 if kind == 'llama' else 1.0
    prompts = []
    for task, inputs, _ in EXAMPLES:
        h = (table[inputs] * scale).max(axis=0) @ by_name['down']
        h = h / (1 + np.exp(-h)) @ by_name['up']
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-5) * by_name['norm_scale'] + by_name['norm_bias']
        mixed = np.stack([flat['sources', 'x'], flat['sources', 'y'], flat['prompts', task]])
        scores = np.exp(mixed.max(axis=1) @ h / 0.7)
        prompts.append(np.einsum('M,MPD->PD', scores / scores.sum(), mixed) + flat['prompts', task])

    # The reference has a prompt for each example, which nothing mixes.
    single = CONFIGS[kind].replace(adapter=SoftPrompt(3, tuple('0123')))
    told = traverse_util.flatten_dict(adapters.parts(randomly(single))[1])
    told = {path: prompts[int(path[-1])] for path in told}
    reference = adapters.put_together(base, traverse_util.unflatten_dict(told))
    converter = packing if config.converter == 'encoder_decoder' else prefix_lm
    found = {}
    for name, of, weights in (('mixed', config, params), ('single', single, reference)):
        tokens = [
            (np.concatenate([of.prompt(task if name == 'mixed' else str(number)), inputs]), targets)
            for number, (task, inputs, targets) in enumerate(EXAMPLES)
        ]
        for batch in (converter.pad(tokens, (16, 8)), converter.pack([tokens[:2], tokens[2:]], (24, 12))):
            found.setdefault(name, []).append(jax.jit(functools.partial(loss_of, of))(weights, batch))
    np.testing.assert_allclose(found['mixed'], found['single'], rtol=1e-5)
    asked = [np.concatenate([config.prompt(task), inputs]) for task, inputs, _ in EXAMPLES]
    shares = generate.attended(config, params, asked)
    np.testing.assert_allclose(shares[-1], scores / scores.sum(), rtol=1e-4)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-5)


@pytest.fixture(scope='module')
def base(tmp_path_factory):
    """The run of a model to adapt."""
    folder = tmp_path_factory.mktemp('base')
    toy.train(folder, 60, mixture='toy_order')
    return folder


def prompted(base, **fields):
    return {
        'model': toy.CONFIG.replace(adapter=SoftPrompt(**{'length': 4} | fields)),
        'initial_checkpoint_path': str(base),
        'optimizer': flanlite.AdamW(0.3),
    }


@pytest.fixture(scope='module')
def runs(base, tmp_path_factory):
    """A run with one prompt and a run with one for each task, which nothing disturbed."""
    folder = tmp_path_factory.mktemp('prompts')
    toy.train(folder / 'one', STEPS, **prompted(base))
    toy.train(folder / 'each', STEPS, **prompted(base, tasks=('toy_order', 'toy_parity')))
    return {'one': folder / 'one', 'each': folder / 'each'}


def test_prompts_train_alone_and_go_on_bit_by_bit(base, runs, tmp_path):
    for steps in (3, STEPS):
        toy.train(tmp_path / 'run', steps, **prompted(base, tasks=('toy_order', 'toy_parity')))
    found, again = (parameters.load_run(each).params for each in (runs['each'], tmp_path / 'run'))
    moved = prompted(base, tasks=('toy_order', 'toy_parity'), init='random')
    toy.train(tmp_path / 'run', STEPS + 1, **moved)  # what it began with means nothing now
    jax.tree.map(np.testing.assert_array_equal, found, again)
    jax.tree.map(np.testing.assert_array_equal, adapters.parts(found)[0], parameters.load_run(base).params)
    assert set(prompts_of(found)) == {'toy_order', 'toy_parity'}
    config = parameters.describe(runs['each']).config
    first = begun(base, tmp_path / 'first', tasks=config.adapter.tasks)
    numbers = np.random.default_rng(0).integers(0, 50, (64, 2)).tolist()
    inputs = [f'even or odd: {one} and {other}?' for one, other in numbers]
    targets = [('even', 'odd')[one % 2] for one, _ in numbers]
    before, after = (flanlite.Model(config, params, vocabularies.load('bytes')) for params in (first, found))
    batch = after.batch(inputs, targets, prompt='toy_parity')
    assert after.loss(batch) < before.loss(batch) - 0.1
    settings = json.loads((runs['each'] / 'settings.json').read_text())
    assert settings['model']['adapter']['type'] == 'SoftPrompt'


def test_a_task_is_asked_with_its_own_prompt(base, runs, tmp_path):
    model = flanlite.load(str(base), adapter=str(runs['each']), vocabulary='bytes')
    texts = ['order of 3 and 4?', 'order of 9 and 2?']
    with pytest.raises(ValueError, match=r'the input has no soft prompt; .*toy_order, toy_parity: name one'):
        model.rank(texts, ['falls', 'rises'])
    both = [model.rank(texts, ['falls', 'rises'], prompt=name) for name in ('toy_order', 'toy_parity')]
    mixed = model.rank(texts, ['falls', 'rises'], prompt=['toy_order', 'toy_parity'])
    for number, each in enumerate(mixed):
        np.testing.assert_allclose(each.scores, both[number][number].scores, rtol=1e-5)
        assert np.abs(each.scores - both[1 - number][number].scores).max() > 1e-4
    answer = [record['prediction'] for record in answers(runs['each'], tmp_path, texts, mixed=True)]
    assert answer == model.generate(texts, prompt=['toy_order', 'toy_parity'], max_length=4)

    told = [
        'eval',
        f'--checkpoint={runs["each"]}',
        '--mixture=toy_order',
        '--split=validation',
        '--max_rows=6',
    ]
    assert cli.main([*told, f'--output={tmp_path}/own']) == 0
    assert cli.main([*told, f'--output={tmp_path}/other', '--prompt=toy_parity']) == 0
    asked, other = (read(tmp_path / name / 'predictions/toy_order.jsonl.gz') for name in ('own', 'other'))
    assert asked and all(record['inputs'].endswith('?') for record in asked)
    scored = model.rank([record['inputs'] for record in asked], ['falls', 'rises'], prompt='toy_order')
    for record, each in zip(asked, scored, strict=True):
        np.testing.assert_allclose(record['scores'], each.scores, atol=2e-4)
    assert [record['scores'] for record in asked] != [record['scores'] for record in other]


def test_the_answers_of_several_prompts_are_put_to_the_vote():
    config = toy.CONFIG.replace(adapter=SoftPrompt(4, tuple('abc')))
    model = flanlite.Model(
        config, jax.tree.map(lambda leaf: 4 * leaf, randomly(config)), vocabularies.load('bytes')
    )
    texts, options = (
        [f'which way {number} and {50 - number}?' for number in range(30)],
        ['ab', 'cd', 'ef', 'xyz'],
    )
    examples = [{'inputs': text, 'options': options, 'answers': ['cd']} for text in texts]
    voters = [model.rank(texts, options, prompt=name) for name in 'abc']
    chosen = np.array([[each.index for each in ranked] for ranked in voters])
    means = np.mean([[each.scores for each in ranked] for ranked in voters], axis=0)
    assert any(len(set(column)) == 2 for column in chosen.T), 'not all agree'
    expected = [
        max(set(column), key=lambda option: (list(column).count(option), mean[option]))
        for column, mean in zip(chosen.T.tolist(), means, strict=True)
    ]
    evaluator = Evaluator({}, model.vocabulary, None, prompts=tuple('abc'))
    made = [evaluate.example_of(model, number, example) for number, example in enumerate(examples)]
    asked = (model.config, model.params, model.partitioner)
    predictions, scores = evaluator.ranked('any', made, *asked)
    assert predictions == [options[index] for index in expected]
    np.testing.assert_allclose(scores, means, rtol=1e-5)
    result = flanlite.evaluate(model, examples, prompts='abc')
    assert result.rows()[0]['value'] == pytest.approx(100 * np.mean([index == 1 for index in expected]))
    written = [model.generate(texts, prompt=name, max_length=4) for name in 'abc']
    counted = [collections.Counter(column).most_common(1)[0][0] for column in zip(*written, strict=True)]
    evaluator = dataclasses.replace(evaluator, config=flanlite.ScoringConfig(flanlite.Decoding(4)))
    assert evaluator.generated('any', made, *asked) == counted


def read(path):
    with gzip.open(path, 'rt') as file:
        return list(map(json.loads, file))


def answers(path, folder, texts, mixed=False):
    named = ({'prompt': name} if mixed else {} for name in ('toy_order', 'toy_parity'))
    lines = [json.dumps({'inputs': text} | more) for text, more in zip(texts, named, strict=True)]
    (folder / 'in.jsonl').write_text('\n'.join(lines))
    told = [f'--checkpoint={path}', '--vocabulary=bytes', f'--input={folder}/in.jsonl', '--max_length=4']
    assert cli.main(['infer', *told, f'--output={folder}/out.jsonl']) == 0
    return [json.loads(line) for line in (folder / 'out.jsonl').open()]


def test_files_of_prompts_go_both_ways(base, runs, tmp_path):
    for name, output in {'one': 'one.npy', 'each': 'each'}.items():
        told = [f'--checkpoint={runs[name]}', f'--output={tmp_path}/{output}', '--form=npy']
        assert cli.main(['convert', *told]) == 0
        found = parameters.load_run(tmp_path / output, base=str(base))
        expected = parameters.load_run(runs[name])
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
        assert found.feature_lengths == {'inputs': 52, 'targets': 8}
    rows = np.load(tmp_path / 'one.npy')
    assert rows.shape == (4, 16) and rows.dtype == np.float32
    assert sorted(file.name for file in (tmp_path / 'each').iterdir()) == ['toy_order.npy', 'toy_parity.npy']

    # T5X's prompt tuning writes each checkpoint's prompt like this.
    for step, values in (('2', rows * 0), ('10', rows), ('99.tmp-1690000000.5', rows * 0)):
        there = tmp_path / f't5x/numpy_checkpoints/checkpoint_{step}'
        there.mkdir(parents=True)
        with open(there / soft_prompts.T5X_FILE, 'wb') as file:
            np.save(file, values)
    found = parameters.load_run(tmp_path / 't5x', base=str(base)).params
    np.testing.assert_array_equal(prompts_of(found)['prompt'], rows)

    # A new run begins with another's prompt: from a file, and from the run of several.
    for fields, expected in [
        ({'file': str(tmp_path / 'one.npy')}, rows),
        ({'file': str(runs['each']), 'source': 'toy_parity'}, np.load(tmp_path / 'each/toy_parity.npy')),
    ]:
        found = begun(base, tmp_path, init='file', **fields)
        np.testing.assert_array_equal(prompts_of(found)['prompt'], expected)


@pytest.mark.parametrize('kind', t5x_fixtures.CHECKPOINTS.values())
def test_prompts_among_the_parameters_of_t5x(kind, tmp_path, capsys):
    """Prompt tuning in T5X saves whole checkpoints, in either of its forms."""
    model, rows = (
        t5x_fixtures.checkpoint(kind),
        np.random.default_rng(1).normal(size=(3, 16)).astype(np.float32),
    )
    made = {name: tmp_path / name / 'checkpoint_7' for name in ('both', 'alone')}
    for name, folder in made.items():
        shutil.copytree(model / f'checkpoint_{t5x_fixtures.STEP}', folder)
        put_in_t5x(folder, rows, alone=name == 'alone')
    np.save(tmp_path / 'rows.npy', rows)
    expected = parameters.load_run(tmp_path / 'rows.npy', base=str(model))
    for path, base in (
        (made['both'], None),
        (tmp_path / 'both', None),
        (made['both'], model),
        (made['alone'], model),
    ):
        found = parameters.load_run(path, base=base and str(base))
        assert found.config == expected.config and found.config.adapter == SoftPrompt(length=3)
        assert found.feature_lengths == expected.feature_lengths
        jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
    assert expected.config.replace(adapter=None) == parameters.describe(model).config
    told = [f'--checkpoint={tmp_path}/both', '--form=npy', f'--output={tmp_path}/again.npy']
    assert cli.main(['convert', *told]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / 'again.npy'), rows)
    assert cli.main(['eval', f'--checkpoint={made["alone"]}', '--mixture=pocket']) == cli.USAGE_ERROR
    assert (
        'the model (not named), which is not there; say where it is: --base=PATH' in capsys.readouterr().err
    )
    for other, told in (
        (rows[0], r'float32\[16\]'),
        (rows[:0], r'float32\[0, 16\]'),
        (np.full((3, 16), 1e300), r'float64\[3, 16\]'),
    ):
        put_in_t5x(made['alone'], other, alone=True)
        with pytest.raises(
            ValueError, match=rf'checkpoint_7 holds {told}; expected finite .*\[length, width\]'
        ):
            parameters.load_run(made['alone'], base=str(model))
    half = rows.astype(jnp.bfloat16)
    put_in_t5x(made['both'], half, alone=False)
    found = parameters.load_run(made['both']).params
    np.testing.assert_array_equal(prompts_of(found)['prompt'], half.astype(np.float32))


def put_in_t5x(folder, rows, alone):
    """Put a prompt among the parameters of T5X's checkpoint; `alone`, in their place."""
    if (file := folder / 'checkpoint').is_file():
        tree = serialization.msgpack_restore(file.read_bytes())
        target = tree['optimizer']['target'] = {'encoder': {}} if alone else tree['optimizer']['target']
        target['encoder']['prompt'] = {'prompt': {'prompt': rows}}
        file.write_bytes(serialization.msgpack_serialize(tree))
        return
    store = {'driver': 'ocdbt', 'base': {'driver': 'file', 'path': f'{folder}/state/'}}
    if alone:
        opened = tensorstore.KvStore.open(store).result()
        opened.delete_range(tensorstore.KvStore.KeyRange('target.', 'target/')).result()
    spec = {'driver': 'zarr', 'kvstore': store | {'path': 'target.encoder.prompt.prompt.prompt/'}}
    shape = {'dtype': rows.dtype.name, 'shape': rows.shape, 'create': True, 'delete_existing': True}
    tensorstore.open(spec, **shape).result().write(rows).result()


def begun(base, folder, adapter=None, model=None, **fields):
    """Make the parameters that a run begins with."""
    config, mesh = toy.settings(folder, 1, **prompted(base, **fields)), partitioning.make_partitioner()
    if adapter:
        config = config.replace(**{'model.adapter': adapter})
    if model:
        config = config.replace(model=model)
    data = TrainingData.resolve(config.data, 0, config.model.converter, vocabularies.load('bytes'))
    return begin.begin_adapter(config, models.shardings(config.model, mesh), mesh, data)


@pytest.mark.parametrize('init', ['vocabulary', 'labels', 'text', 'random'])
def test_first_rows(init, base, tmp_path):
    fields = {'init': init, 'length': 5} | ({'text': 'yes'} if init == 'text' else {})
    tasks = {'tasks': ('toy_order', 'toy_parity')} if init == 'labels' else {}
    params = begun(base, tmp_path, **fields, **tasks)
    found, table = prompts_of(params), np.asarray(params['token_embedder']['embedding'])
    if init == 'random':
        assert 0.3 < np.abs(found['prompt']).max() < 0.5
        return
    for name, rows in found.items():
        texts = {'labels': {'toy_order': ['falls', 'rises'], 'toy_parity': ['even', 'odd']}.get(name)}
        texts |= {'text': ['y', 'e', 's'], 'vocabulary': []}
        wanted = [np.mean([table[byte + 3] for byte in text.encode()], axis=0) for text in texts[init]]
        for row, expected in zip(rows, wanted, strict=False):
            np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-6)
        rest = np.asarray(rows)[len(wanted) :]
        among = [np.flatnonzero((np.abs(table - row) < 1e-6).all(axis=1)) for row in rest]
        assert all(len(places) for places in among)
        assert len({int(places[0]) for places in among}) == len(rest), 'drawn without replacement'


def test_first_rows_of_a_model_that_scales_its_embeddings_are_what_it_reads(tmp_path):
    """Gemma multiplies what it looks up by the root of the width, and soft tokens stand among these."""
    model = CONFIGS['llama'].replace(vocab_size=384)
    params = models.init_params(model, jax.random.key(0))
    parameters.save_params(
        tmp_path / 'base.safetensors', params, model, metadata={'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS}
    )
    adapter = SoftPrompt(length=3, init='text', text='yes')
    made = begun(tmp_path / 'base.safetensors', tmp_path, model=model.replace(adapter=adapter))
    table = np.asarray(made['decoder']['token_embedder']['embedding'])
    np.testing.assert_allclose(
        prompts_of(made)['prompt'], [4.0 * table[byte + 3] for byte in b'yes'], rtol=1e-5, atol=1e-6
    )


def test_attempt_trains_its_own_prompts_and_tells_what_it_attends_to(base, runs, tmp_path):
    sources = {'sources': ('toy_order', 'toy_parity'), 'source_file': str(runs['each'])}
    adapter = Attempt(4, ('toy_order', 'toy_parity'), **sources, bottleneck=3, temperature=1.0)
    settings = prompted(base) | {'model': toy.CONFIG.replace(adapter=adapter)}
    for steps in (3, 6):
        toy.train(tmp_path / 'run', steps, **settings)
    toy.train(tmp_path / 'whole', 6, **settings)
    own, again, there = (
        traverse_util.flatten_dict(adapters.parts(parameters.load_run(path).params)[1])
        for path in (tmp_path / 'run', tmp_path / 'whole', runs['each'])
    )
    jax.tree.map(np.testing.assert_array_equal, own, again)
    for path, rows in there.items():
        np.testing.assert_array_equal(own[*path[:-2], 'sources', path[-1]], rows)
        assert np.abs(own[path] - rows).max() > 0.1
    told = [f'--checkpoint={tmp_path}/run', '--mixture=toy', '--split=validation', '--max_rows=2']
    assert cli.main(['eval', *told, f'--output={tmp_path}/scores']) == 0
    assert 'The prompt of toy_order is mixed of toy_order 0.' in (tmp_path / 'scores/report.md').read_text()
    with pytest.raises(ValueError, match=r"each has no prompt 'toy_ordre'; did you mean toy_order"):
        begun(base, tmp_path, adapter=adapter.replace(sources=('toy_ordre',)))


def test_fields_have_prompts_that_data_sets_share(base, tmp_path):
    """A data set that was not trained on is asked with the prompts of its fields."""
    found = flanlite.schemas('toy')
    assert found == {'toy_order': ('a', 'b'), 'toy_parity': ('a', 'b')}
    adapter = SchemaPrompt(2, schemas={'toy_order': ('b', 'a'), 'toy_parity': ('b',), 'other': ('a', 'new')})
    model = toy.CONFIG.replace(adapter=adapter)
    ids = {task: (model.prompt(task) - model.vocab_size).tolist() for task in adapter.schemas}
    assert ids == {'toy_order': [2, 3, 0, 1], 'toy_parity': [2, 3], 'other': [0, 1, 4, 5]}
    toy.train(tmp_path, 4, **prompted(base) | {'model': model})
    run = parameters.load_run(tmp_path)
    assert run.config.adapter == adapter
    first = begun(base, tmp_path / 'first', adapter=adapter)
    moved = {
        name: np.abs(rows - prompts_of(first)[name]).max() > 0.1
        for name, rows in prompts_of(run.params).items()
    }
    assert moved == {'a': True, 'b': True, 'new': False}
    asked = flanlite.Model(run.config, run.params, vocabularies.load('bytes'))
    with pytest.raises(ValueError, match='the input has no soft prompt; there are those of toy_order'):
        asked.rank('1?', ['a'])
    assert len(asked.rank('1?', ['a', 'b'], prompt='other')[0].scores) == 2
    for schemas in ({}, {'toy_order': ()}, {'toy_order': ('a/b',)}):
        with pytest.raises(ValueError, match=r'expected (the fields of each data set|a name of)'):
            SchemaPrompt(schemas=schemas)


def test_exemplars_leave_the_prompt_its_room(base, runs, tmp_path):
    """Few-shot inputs are as long as a row allows, and a prompt takes a part of that."""
    settings = toy.settings(tmp_path, 1, **prompted(base, length=20))
    shots = settings.replace(**{'data.mixture.name': 'toy_order', 'data.mixture.shots': 3})
    result = flanlite.train(shots)
    manifest = json.loads((result.model_dir / 'manifest.json').read_text())
    assert manifest['tasks']['toy_order']['cut_to_feature_lengths']['inputs'] == 0


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'length': 48}, ['soft prompt of toy_order has 48 tokens', 'room for 48', 'a shorter prompt']),
        ({'length': 0}, ['SoftPrompt.length is 0', 'from 1']),
        ({'init': 'lables'}, ["SoftPrompt.init is 'lables'", 'vocabulary, random, labels']),
        ({'init': 'text'}, ["init is 'text'", 'SoftPrompt.text is None']),
        ({'file': 'nowhere.npy'}, ["init is 'vocabulary'", 'nowhere.npy']),
        ({'init': 'file', 'file': 'nowhere.npy'}, ['nowhere.npy']),
        ({'tasks': ('toy_order',)}, ['toy_parity has no soft prompt', 'those of toy_order']),
        ({'tasks': ('a/b',)}, ['without a slash']),
    ],
)
def test_prompts_that_cannot_be(fields, words, base, tmp_path):
    with pytest.raises(ValueError) as raised:
        toy.train(tmp_path, 2, **prompted(base, **fields))
    assert all(word in str(raised.value) for word in words), raised.value
    assert not (tmp_path / 'manifest.json').exists()


def test_prompts_of_another_model_are_refused(base, runs, tmp_path):
    bad = {
        'wide.npy': (np.zeros((4, 17), np.float32), ['width 17', 'have 16']),
        'whole.npy': (np.zeros((4, 16), np.int64), ['int64[4, 16]', 'finite numbers [length, width]']),
        'nan.npy': (np.full((4, 16), np.nan, np.float32), ['finite numbers']),
    }
    for name, (rows, words) in bad.items():
        np.save(tmp_path / name, rows)
        with pytest.raises(ValueError) as raised:
            parameters.load_run(tmp_path / name, base=str(base))
        assert all(word in str(raised.value) for word in words), raised.value
    (tmp_path / 'text.npy').write_text('no array')
    with pytest.raises(ValueError, match=r'text\.npy is no array of numpy'):
        parameters.load_run(tmp_path / 'text.npy', base=str(base))
    np.save(tmp_path / 'good.npy', np.zeros((4, 16), np.float32))
    with pytest.raises(ValueError, match=r'model \(not named\), which is not there; say where it is: --base'):
        parameters.load_run(tmp_path / 'good.npy')
    with pytest.raises(ValueError, match=r'one has SoftPrompt.*length=4.*expected .* length 7'):
        toy.train(tmp_path / 'run', 2, **prompted(base, init='file', file=str(runs['one']), length=7))
    with pytest.raises(
        ValueError, match=r"has no prompt 'toy_ordr'; did you mean toy_order or toy_parity\\?"
    ):
        source = {'init': 'file', 'file': str(runs['each']), 'source': 'toy_ordr'}
        toy.train(tmp_path / 'run', 2, **prompted(base, **source))
    with pytest.raises(ValueError, match='SoftPrompt changes no parameter of a model'):
        convert.convert(str(runs['one']), str(tmp_path / 'hf'))
    with pytest.raises(ValueError, match=r'one.npy is a file, and there are 2 prompts, toy_order'):
        convert.convert(str(runs['each']), str(tmp_path / 'one.npy'), 'npy')
    for ask in (
        lambda: flanlite.load(str(runs['one']), vocabulary='bytes').rank('a', ['b'], prompt='toy_order'),
        lambda: flanlite.evaluate(str(base), 'toy', prompts=('toy_order',), split='validation', max_rows=1),
        lambda: infer.infer(
            str(base), str(tmp_path / 'lines.txt'), str(tmp_path / 'out'), prompt='toy_order'
        ),
    ):
        (tmp_path / 'lines.txt').write_text('a line\n')
        with pytest.raises(
            ValueError, match=r'soft prompts toy_order are named .*, and the model does not have several'
        ):
            ask()
    np.save(base / 'beside.npy', np.zeros(3))  # a run with such a file in its folder stays a run
    assert parameters.describe(base).config.adapter is None
    sweep = toy.settings(tmp_path / 'sweep', 2, **prompted(base, tasks=('toy_order',)))
    with pytest.raises(ValueError, match='toy_parity has no soft prompt'):
        flanlite.loco(flanlite.SweepConfig(sweep, 'math', ('tuned',), max_rows=4))
