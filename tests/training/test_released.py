"""Checkpoints of T5X's and Hugging Face's: read and written without their libraries, to the same numbers."""

import dataclasses
import functools
import hashlib
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy
import t5x_fixtures
from flax import traverse_util

import flanlite
from flanlite.data.tokens import vocabularies
from flanlite.mesh import partitioning
from flanlite.model import models
from flanlite.model.t5 import T5Config
from flanlite.training import convert, interop, lazy, optimizers, parameters, released, step

SMALL = T5Config(
    vocab_size=32, emb_dim=8, num_heads=2, num_encoder_layers=3, num_decoder_layers=2, head_dim=4, mlp_dim=16, dropout_rate=0.0,
    dtype='float32',
)  # fmt: skip
VARIANTS = {
    't5 1.1': SMALL,
    't5 1.0': dataclasses.replace(SMALL, mlp_activations=('relu',), logits_via_embedding=True),
    'gelu by itself': dataclasses.replace(SMALL, mlp_activations=('gelu',), logits_via_embedding=True),
}
# The last if at hand.
KINDS = {
    'unscanned_t5x_orbax': 'unscanned',
    'scanned_t5x_legacy': 'scanned',
    'unscanned_t5x_legacy': 'unscanned',
}


def drawn(config, seed=0):
    flat = traverse_util.flatten_dict(
        jax.eval_shape(functools.partial(models.init_params, config), jax.random.key(0)), sep='/'
    )
    random = np.random.default_rng(seed)
    return {
        name: lazy.from_numpy(random.normal(size=value.shape).astype(np.float32))
        for name, value in flat.items()
    }


def written(folder, config, seed=0, **options):
    released.write_huggingface(folder, config, drawn(config, seed), vocabulary=None, **options)
    return folder


def config_of(folder):
    return dataclasses.replace(t5x_fixtures.CONFIG, relpos_bias_per_layer=KINDS[folder] == 'scanned')


@pytest.mark.parametrize('folder', KINDS)
def test_arrays_of_t5x_checkpoints_are_read_to_the_bit(folder):
    expected = dict(line.split() for line in t5x_fixtures.stored()[f'digests/{KINDS[folder]}'])
    got = {
        name: hashlib.sha256(array.tobytes()).hexdigest()[:16]
        for name, array in t5x_fixtures.read(folder).items()
    }
    assert got == expected


@pytest.mark.parametrize('folder', KINDS)
def test_t5x_checkpoints_give_t5xs_parameters(folder):
    expected = t5x_fixtures.from_t5x(t5x_fixtures.under(t5x_fixtures.read(folder), 'params'))
    for path in (t5x_fixtures.checkpoint(folder), t5x_fixtures.checkpoint(folder) / 'checkpoint_400'):
        run = parameters.load_run(path)
        assert dataclasses.replace(run.config, dropout_rate=0.0) == config_of(folder), path
        assert run.step == 400, path
        jax.tree.map(np.testing.assert_array_equal, run.params, expected)


@functools.cache
def resumed(folder):
    """Load a T5X checkpoint's state for an optimizer with a moving average."""
    config, scanned = config_of(folder), KINDS[folder] == 'scanned'
    optimizer = optimizers.average(optimizers.Adafactor(1e-3, factor_small_layers=scanned).build(), 0.9)
    abstract = step.abstract_state(config, optimizer, partitioning.make_partitioner())
    return parameters.load_state(t5x_fixtures.checkpoint(folder), config, abstract)


@pytest.mark.parametrize('folder', KINDS)
def test_training_goes_on_from_t5xs_step_and_parameters(folder):
    state = resumed(folder)
    assert int(state.step) == 400
    expected = t5x_fixtures.from_t5x(t5x_fixtures.under(t5x_fixtures.read(folder), 'params'))
    jax.tree.map(np.testing.assert_array_equal, state.params, expected)
    jax.tree.map(np.testing.assert_array_equal, state.ema, state.params)


@pytest.mark.parametrize('folder', KINDS)
@pytest.mark.parametrize(
    'name', ['a b', 'a%20b', 'a#b', 'a?b', 'a*', 'a[1e-3]', '{a}', '\'a\'"b"', '~a', 'ä日']
)
def test_a_t5x_checkpoint_is_read_from_a_folder_of_any_name(tmp_path, folder, name):
    path = t5x_fixtures.checkpoint(folder)
    (tmp_path / 'a b' / 'checkpoint_400').mkdir(parents=True)  # what `a%20b` is as a URL
    shutil.copytree(path, tmp_path / name, dirs_exist_ok=True)
    found = released.open_released(tmp_path / name)
    expected = released.open_released(path)
    assert found.step == 400
    assert found.params.keys() == expected.params.keys()
    for parameter, array in expected.params.items():
        np.testing.assert_array_equal(found.params[parameter].to_numpy(), array.to_numpy())


@pytest.mark.parametrize('folder', KINDS)
def test_a_t5x_checkpoint_says_its_step_itself_where_its_folder_does_not(tmp_path, folder):
    for name in ('my_t5', '2024'):
        shutil.copytree(t5x_fixtures.checkpoint(folder) / f'checkpoint_{t5x_fixtures.STEP}', tmp_path / name)
        assert released.open_released(tmp_path / name).step == t5x_fixtures.STEP == 400


@pytest.mark.parametrize('folder', KINDS)
def test_a_t5x_checkpoint_below_a_backslash_is_refused(tmp_path, folder):
    path = shutil.copytree(t5x_fixtures.checkpoint(folder), tmp_path / 'a\\b')
    with pytest.raises(ValueError, match='a backslash in the path'):
        released.open_released(path)


@pytest.mark.parametrize('folder', KINDS)
def test_training_goes_on_from_t5xs_optimizer_state(folder):
    state = resumed(folder)
    expected = t5x_fixtures.adafactor_state(
        t5x_fixtures.under(t5x_fixtures.read(folder), 'state'), 400, state.opt_state
    )
    jax.tree.map(np.testing.assert_array_equal, state.opt_state, expected)
    assert any(leaf.any() for leaf in jax.tree.leaves(state.opt_state) if leaf.size > 100), (
        'all moments are zero'
    )


def test_a_t5x_checkpoint_can_be_tuned_with_dropout_and_not_with_another_vocabulary():
    path = t5x_fixtures.checkpoint('scanned_t5x_legacy')
    config = dataclasses.replace(config_of('scanned_t5x_legacy'), dropout_rate=0.1)
    assert parameters.load_params(path, config)['decoder']['logits_dense']['kernel'].shape == (16, 128)
    with pytest.raises(ValueError, match=r'\(16, 128\).*\(16, 256\).*T5Config.vocab_size = 128'):
        parameters.load_params(path, dataclasses.replace(config, vocab_size=256))


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('shard_bytes', [1_000, 10**9])
def test_a_hugging_face_folder_gives_back_the_model(tmp_path, variant, shard_bytes):
    config = VARIANTS[variant]
    folder = written(tmp_path / 'hf', config, shard_bytes=shard_bytes)
    assert (folder / released.INDEX_FILE).exists() == (shard_bytes == 1_000)
    run = parameters.load_run(folder)
    assert run.config == config
    expected = {name: value.to_numpy() for name, value in drawn(config).items()}
    got = traverse_util.flatten_dict(run.params, sep='/')
    assert set(got) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


@pytest.mark.parametrize('variant', VARIANTS)
def test_transformers_reads_the_folder_to_equal_logits(tmp_path, variant):
    torch, transformers = pytest.importorskip('torch'), pytest.importorskip('transformers')
    config = VARIANTS[variant]
    folder = written(tmp_path / 'hf', config)
    theirs = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    random = np.random.default_rng(0)
    inputs, targets = random.integers(2, 32, (3, 9)), random.integers(2, 32, (3, 5))
    decoder_inputs = np.pad(targets[:, :-1], ((0, 0), (1, 0)))
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(inputs), decoder_input_ids=torch.tensor(decoder_inputs)
        ).logits.numpy()
    run = parameters.load_run(folder)
    batch = {
        'encoder_input_tokens': inputs,
        'decoder_input_tokens': decoder_inputs,
        'decoder_target_tokens': targets,
    }
    got = jax.jit(lambda params: models.bind(run.config, params)(batch))(run.params)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    theirs.save_pretrained(tmp_path / 'back')
    jax.tree.map(np.testing.assert_array_equal, parameters.load_run(tmp_path / 'back').params, run.params)


@pytest.mark.parametrize(
    ('kind', 'options'), [('T5', {}), ('T5', {'tie_word_embeddings': False}), ('MT5', {}), ('UMT5', {})]
)
def test_models_that_transformers_makes_are_read_to_equal_logits(tmp_path, kind, options):
    torch, transformers = pytest.importorskip('torch'), pytest.importorskip('transformers')
    sizes = {
        'vocab_size': 32,
        'd_model': 12,
        'd_kv': 5,
        'd_ff': 16,
        'num_layers': 2,
        'num_decoder_layers': 1,
        'num_heads': 3,
    }
    config = getattr(transformers, f'{kind}Config')(**sizes, **options, decoder_start_token_id=0)
    theirs = getattr(transformers, f'{kind}ForConditionalGeneration')(config).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    theirs.save_pretrained(tmp_path, max_shard_size='2KB')
    inputs, targets = np.random.default_rng(0).integers(2, 32, (2, 2, 7))
    with torch.no_grad():
        expected = theirs(
            input_ids=torch.tensor(inputs), decoder_input_ids=torch.tensor(targets)
        ).logits.numpy()
    batch = {
        'encoder_input_tokens': inputs,
        'decoder_input_tokens': targets,
        'decoder_target_tokens': targets,
    }
    np.testing.assert_allclose(
        flanlite.load(str(tmp_path)).logits(batch), expected, atol=1e-4 * np.abs(expected).max()
    )


@pytest.mark.parametrize('kind', ['mt5', 'umt5'])
def test_relatives_of_t5_are_read(tmp_path, kind):
    config = dataclasses.replace(SMALL, relpos_bias_per_layer=kind == 'umt5')
    folder = written(tmp_path / 'hf', SMALL)
    params = drawn(config)
    described = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(
        json.dumps(described | {'model_type': kind, 'tie_word_embeddings': True})
    )
    tensors = {name: value.to_numpy().copy() for name, value in interop.to_huggingface(params).items()}
    safetensors.numpy.save_file(tensors, folder / 'model.safetensors')
    run = parameters.load_run(folder)
    assert run.config == config
    for name, value in traverse_util.flatten_dict(run.params, sep='/').items():
        np.testing.assert_array_equal(value, params[name].to_numpy(), err_msg=name)


@pytest.mark.parametrize(
    ('fields', 'scaled'),
    [
        ({}, True),
        ({'tie_word_embeddings': False}, False),
        ({'tie_word_embeddings': None}, True),
        ({'tie_word_embeddings': True, 'scale_decoder_outputs': False}, False),
        ({'tie_word_embeddings': False, 'scale_decoder_outputs': None}, False),
        ({'tie_word_embeddings': False, 'scale_decoder_outputs': True}, True),
    ],
)
def test_logits_are_scaled_as_the_config_says(fields, scaled):
    """As transformers 5.24 has it; never of mT5."""
    described = interop.config_to_huggingface(SMALL)
    for name in ('tie_word_embeddings', 'scale_decoder_outputs'):
        described.pop(name, None)
    for kind in interop.MODEL_TYPES:
        found = interop.config_from_huggingface(described | {'model_type': kind} | fields)
        assert found.logits_via_embedding == (scaled and kind != 'mt5'), kind


@pytest.mark.parametrize('kind', ['t5', 'mt5'])
@pytest.mark.parametrize('name', interop.HF_EMBEDDINGS)
def test_an_embedding_that_is_there_once_serves_for_the_logits(tmp_path, kind, name):
    """From version 5, transformers ties all models that it makes, and leaves arrays that share their memory
    out but for one.
    """
    folder = written(tmp_path / 'hf', SMALL)
    tensors = safetensors.numpy.load_file(folder / 'model.safetensors')
    embedding = tensors.pop('shared.weight')
    del tensors['lm_head.weight']
    safetensors.numpy.save_file(tensors | {name: embedding}, folder / 'model.safetensors')
    changes = {'model_type': kind, 'tie_word_embeddings': True, 'scale_decoder_outputs': False}
    (folder / 'config.json').write_text(
        json.dumps(json.loads((folder / 'config.json').read_text()) | changes)
    )
    run = parameters.load_run(folder)
    assert run.config == SMALL
    np.testing.assert_array_equal(run.params['token_embedder']['embedding'], embedding)
    np.testing.assert_array_equal(run.params['decoder']['logits_dense']['kernel'], embedding.T)


def test_a_tied_embedding_may_be_there_twice_but_not_with_other_numbers(tmp_path):
    folder = written(tmp_path / 'hf', VARIANTS['t5 1.0'])
    tensors = safetensors.numpy.load_file(folder / 'model.safetensors')
    embedding = tensors['shared.weight']
    for head in (embedding, embedding + 1):
        safetensors.numpy.save_file(tensors | {'lm_head.weight': head}, folder / 'model.safetensors')
        if head is embedding:
            assert parameters.load_run(folder).config == VARIANTS['t5 1.0']
    with pytest.raises(ValueError, match=r'shared\.weight and lm_head\.weight hold different numbers'):
        parameters.load_run(folder)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'d_model': None, 'd_kv': None}, r'config.json says nothing of d_model, d_kv; expected numbers for'),
        ({'feed_forward_proj': 'gelu'}, r"says feed_forward_proj 'gelu'; expected one of relu, .*gelu_new"),
        ({'layer_norm_epsilon': 1e-5}, r'says layer_norm_epsilon 1e-05; expected 1e-06'),
        ({'decoder_start_token_id': 2}, r'says decoder_start_token_id 2; expected 0'),
        ({'relative_attention_num_buckets': 8}, r'says relative_attention_num_buckets 8; expected 32'),
    ],
)
def test_a_config_json_that_is_not_t5s_is_refused(tmp_path, changes, message):
    folder = written(tmp_path / 'hf', SMALL)
    described = json.loads((folder / 'config.json').read_text()) | changes
    (folder / 'config.json').write_text(
        json.dumps({name: value for name, value in described.items() if value is not None})
    )
    with pytest.raises(ValueError, match=message):
        parameters.load_run(folder)
    with pytest.raises(ValueError, match=r"no T5 with mlp_activations \('gelu', 'relu'\)"):
        written(tmp_path / 'other', dataclasses.replace(SMALL, mlp_activations=('gelu', 'relu')))


@pytest.mark.parametrize(
    ('name', 'extra_ids'),
    [('bytes', 125), ('bytes:extra_ids=7', 7), ('pocket', 32), ('pocket:extra_ids=0', 0)],
)
def test_the_tokenizer_comes_along(tmp_path, name, extra_ids):
    vocabulary = vocabularies.load(name)
    released.write_huggingface(tmp_path / 'hf', SMALL, drawn(SMALL), vocabulary)
    described = json.loads((tmp_path / 'hf' / 'tokenizer_config.json').read_text())
    assert described['tokenizer_class'] == ('ByT5Tokenizer' if 'bytes' in name else 'T5Tokenizer')
    back = vocabularies.load(parameters.load_run(tmp_path / 'hf').vocabulary)
    assert (back.size, back.extra_ids, back.encode('a b')) == (
        vocabulary.size,
        extra_ids,
        vocabulary.encode('a b'),
    )


def test_each_device_reads_its_part(tmp_path):
    """Only the rows that are asked for are read, and what several devices hold, once."""
    reads = []

    def read(index):
        reads.append(index)
        return np.arange(32.0).reshape(8, 4)[index]

    stacked = lazy.stack([lazy.LazyArray((8, 4), read), lazy.LazyArray((8, 4), read)])
    np.testing.assert_array_equal(
        stacked.read((slice(1, 2), slice(2, 4), slice(None))), [np.arange(32.0).reshape(8, 4)[2:4]]
    )
    assert reads == [(slice(2, 4), slice(None))]

    partitioner = partitioning.make_partitioner()
    folder = written(tmp_path / 'hf', SMALL)
    shardings = models.shardings(SMALL, partitioner)
    params = parameters.load_params(folder, SMALL, shardings)
    jax.tree.map(
        lambda value, place: value.sharding.is_equivalent_to(place, value.ndim) or pytest.fail(),
        params,
        shardings,
    )


def test_lazy_axes():
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    index = (slice(0, 1), slice(1, 3), slice(1, 4), slice(2, 5))
    np.testing.assert_array_equal(
        lazy.move_axis_first(lazy.from_numpy(array), 1).read(index), np.moveaxis(array, 1, 0)[index]
    )
    np.testing.assert_array_equal(
        lazy.transpose(lazy.from_numpy(array)).read(index[::-1]), array.T[index[::-1]]
    )
    whole = array.reshape(2, 12, 5)
    np.testing.assert_array_equal(
        lazy.merge_axes(lazy.from_numpy(array), 1).read((slice(1, 2), slice(2, 9), slice(None))),
        whole[1:2, 2:9],
    )
    np.testing.assert_array_equal(
        lazy.take_layer(lazy.from_numpy(array), 1).read(index[1:]), array[1][index[1:]]
    )


def test_a_folder_without_a_checkpoint_says_what_would_be_one(tmp_path):
    with pytest.raises(ValueError, match=r'no checkpoint at .*config.json.*checkpoint_STEP'):
        parameters.load_run(tmp_path)


def test_what_hugging_face_has_no_model_for_is_not_written(tmp_path):
    with pytest.raises(ValueError, match='UMT5'):
        written(tmp_path / 'umt5', dataclasses.replace(SMALL, relpos_bias_per_layer=True))
    assert not (tmp_path / 'umt5').exists()


def test_no_model_is_written_over_another(tmp_path):
    folder = written(tmp_path / 'hf', SMALL)
    with pytest.raises(ValueError, match='expected a new or empty folder'):
        written(folder, SMALL)


def test_a_missing_file_is_named(tmp_path):
    folder = written(tmp_path / 'hf', SMALL, shard_bytes=1_000)
    next(folder.glob('model-00002*')).unlink()
    with pytest.raises(ValueError, match='it lacks model-00002'):
        parameters.load_run(folder)


def test_a_pickled_model_is_refused_with_the_remedy(tmp_path):
    folder = written(tmp_path / 'hf', SMALL)
    (folder / 'model.safetensors').unlink()
    (folder / 'pytorch_model.bin').write_bytes(b'')
    with pytest.raises(ValueError, match=r'it has pytorch_model.bin; .*save_pretrained'):
        parameters.load_run(folder)


def test_a_model_that_is_no_t5_is_refused(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'bert'}))
    with pytest.raises(ValueError, match=r"model_type 'bert'; expected one of t5, .*, llama, "):
        parameters.load_run(tmp_path)


def test_a_broken_t5x_checkpoint_is_refused(tmp_path):
    (tmp_path / 'checkpoint_5').mkdir()
    (tmp_path / 'checkpoint_5' / 'checkpoint').write_bytes(b'nothing')
    with pytest.raises(ValueError, match="is no checkpoint of T5X's"):
        parameters.load_run(tmp_path)


def test_a_t5x_checkpoint_without_all_its_chunks_is_refused(tmp_path):
    """Zarr reads what is missing as zeros."""
    path = shutil.copytree(t5x_fixtures.checkpoint('scanned_t5x_legacy'), tmp_path / 'there')
    lost = 'encoder.encoder.mlp.wo.kernel'
    next(path.glob(f'*/target.{lost}/0*')).unlink()
    with pytest.raises(ValueError, match=rf'parameter {lost.replace(".", "/")}: .* is missing'):
        parameters.load_params(path, config_of('scanned_t5x_legacy'))


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda array: array.astype(np.int32), 'is of int32; expected floating-point weights'),
        (lambda array: array * np.where(np.arange(array.size) == 3, np.nan, 1).reshape(array.shape), '1 of'),
        (lambda array: array / np.where(np.arange(array.size) < 2, 0, 1).reshape(array.shape), '2 of'),
    ],
)
def test_tensors_that_are_no_weights_are_refused(change, words, tmp_path):
    file = written(tmp_path / 'hf', SMALL) / 'model.safetensors'
    tensors, name = safetensors.numpy.load_file(file), 'encoder.block.0.layer.0.SelfAttention.q.weight'
    with np.errstate(divide='ignore'):
        safetensors.numpy.save_file(tensors | {name: change(tensors[name])}, file)
    with pytest.raises(ValueError, match=f'{name} in .*model.safetensors .*{words}'):
        parameters.load_run(tmp_path / 'hf')


def test_what_is_wrong_with_the_tensors_is_named(tmp_path):
    folder = written(tmp_path / 'hf', SMALL)
    tensors = safetensors.numpy.load_file(folder / 'model.safetensors')
    query = 'encoder.block.1.layer.0.SelfAttention.q.weight'
    safetensors.numpy.save_file(tensors | {query: np.zeros((4, 8), np.float32)}, folder / 'model.safetensors')
    with pytest.raises(
        ValueError, match=r'attention/query/kernel is \(8, 4\) in layer 1, and \(8, 8\) in layer 0'
    ):
        parameters.load_run(folder)
    left = {
        name: value
        for name, value in tensors.items()
        if name != 'decoder.block.1.layer.2.DenseReluDense.wo.weight'
    }
    safetensors.numpy.save_file(left, folder / 'model.safetensors')
    with pytest.raises(
        ValueError, match=r'mlp/wo/kernel is \(1, 16, 8\) in .*, and \(2, 16, 8\) in .* is it whole'
    ):
        parameters.load_run(folder)


def test_a_vocabulary_with_more_ids_than_embeddings_is_refused(tmp_path):
    model = flanlite.load(str(written(tmp_path / 'hf', SMALL)), vocabulary='bytes')
    with pytest.raises(
        ValueError, match=r"T5Config.vocab_size is 32, but the vocabulary 'bytes' has 384 ids"
    ):
        model.score('a', 'b')


def test_a_model_without_a_vocabulary_has_logits_but_no_texts(tmp_path, capsys):
    folder = written(tmp_path / 'hf', SMALL)
    model = flanlite.load(str(folder))
    batch = {
        name: np.array([[5, 1]])
        for name in ('encoder_input_tokens', 'decoder_input_tokens', 'decoder_target_tokens')
    }
    assert model.logits(batch).shape == (1, 2, 32)
    with pytest.raises(ValueError, match='does not come with its vocabulary; name it: --vocabulary'):
        model.score('a', 'b')
    convert.convert(str(folder), str(tmp_path / 'again'))
    assert 'without a tokenizer' in capsys.readouterr().out
    assert not (tmp_path / 'again' / 'tokenizer_config.json').exists()
    convert.convert(str(folder), str(tmp_path / 'again.safetensors'), 'safetensors')
    assert parameters.load_run(tmp_path / 'again.safetensors').vocabulary is None


def test_convert_there_and_back(tmp_path, capsys):
    run = parameters.load_run('mixtures/pocket/assets/base.safetensors')
    convert.convert('mixtures/pocket/assets/base.safetensors', str(tmp_path / 'hf'))
    assert (tmp_path / 'hf' / released.TOKENIZER_FILE).read_bytes() == pathlib.Path(
        vocabularies.load('pocket').path
    ).read_bytes()
    assert json.loads((tmp_path / 'hf' / 'config.json').read_text())['tie_word_embeddings'] is True
    convert.convert(
        str(tmp_path / 'hf'), str(tmp_path / 'back.safetensors'), 'safetensors', vocabulary='pocket'
    )
    back = parameters.load_run(tmp_path / 'back.safetensors')
    assert back.vocabulary == 'pocket'
    assert 'back.safetensors' in capsys.readouterr().out
    jax.tree.map(np.testing.assert_array_equal, back.params, run.params)
    with pytest.raises(
        ValueError, match="unknown format 'torch'; expected one of huggingface, safetensors, peft"
    ):
        convert.convert(str(tmp_path / 'hf'), str(tmp_path / 'x'), 'torch')
