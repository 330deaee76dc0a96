"""What a run begins with is what the checkpoint says of itself: its model and its vocabulary."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest
import t5x_fixtures
import toy
import toy_tokenizers
from flax import traverse_util

import flanlite
from flanlite.cli import main as cli
from flanlite.data.config import DataConfig
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies
from flanlite.eval.sweep import Sweep, SweepConfig
from flanlite.model import models
from flanlite.model.kinds import FromCheckpoint
from flanlite.model.t5 import T5Config
from flanlite.training import convert, lazy, parameters, released
from flanlite.training.begin import choose_vocabulary
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import AdamW

SIZES = {'emb_dim': 8, 'num_heads': 2, 'num_encoder_layers': 3, 'num_decoder_layers': 2, 'head_dim': 4}
FLAN_T5 = T5Config(1152, **SIZES, mlp_dim=16)
T5 = dataclasses.replace(FLAN_T5, mlp_activations=('relu',), logits_via_embedding=True)
BYT5 = dataclasses.replace(FLAN_T5, vocab_size=384, mlp_dim=24)
PIECES = dataclasses.replace(T5, vocab_size=64)


@functools.cache
def drawn(config):
    shapes = jax.eval_shape(functools.partial(models.init_params, config), jax.random.key(0))
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: random.normal(size=x.shape).astype(np.float32) / 4, shapes)


def hugging_face(folder, config, vocabulary=None):
    arrays = {
        name: lazy.from_numpy(value)
        for name, value in traverse_util.flatten_dict(drawn(config), sep='/').items()
    }
    loaded = vocabulary and vocabularies.load(vocabulary)
    released.write_huggingface(folder, config, arrays, loaded)
    return str(folder)


def file_of_ours(folder):
    folder.mkdir()
    path = folder / 'tuned.safetensors'
    metadata = {'vocabulary': 'pocket', 'feature_lengths': toy.LENGTHS, 'step': 5}
    parameters.save_params(path, drawn(FLAN_T5), FLAN_T5, metadata=metadata)
    return str(path)


# A checkpoint, its model, and the name of its vocabulary behind the folder's.
CHECKPOINTS = {
    'flan-t5': (
        lambda folder: hugging_face(folder, FLAN_T5, 'pocket'),
        FLAN_T5,
        '/spiece.model:extra_ids=32',
    ),
    't5': (lambda folder: hugging_face(folder, T5, 'pocket'), T5, '/spiece.model:extra_ids=32'),
    'byt5': (lambda folder: hugging_face(folder, BYT5, 'bytes'), BYT5, 'bytes'),
    'tokenizer.json': (
        lambda folder: hugging_face(folder, PIECES, toy_tokenizers.t5(folder.with_name('tokenizer'))),
        PIECES,
        '',
    ),
    'our file': (file_of_ours, FLAN_T5, 'pocket'),
}


def settings(folder, checkpoint, **changes):
    return TrainConfig(
        str(folder / 'run'),
        DataConfig('toy', toy.LENGTHS, 8, **changes.pop('data', {})),
        AdamW(1e-3),
        1,
        initial_checkpoint_path=str(checkpoint),
        **changes,
    )


@pytest.fixture(scope='module')
def pocket(tmp_path_factory):
    return hugging_face(tmp_path_factory.mktemp('checkpoints') / 'pocket', T5, 'pocket')


@pytest.mark.parametrize('kind', CHECKPOINTS)
def test_the_checkpoint_says_model_and_vocabulary(tmp_path, kind):
    make, model, vocabulary = CHECKPOINTS[kind]
    path = make(tmp_path / 'model')
    config = settings(tmp_path, path, model=FromCheckpoint(dropout_rate=0.25))
    assert config.model == dataclasses.replace(model, dropout_rate=0.25)
    name = vocabulary if vocabulary in ('bytes', 'pocket') else f'{tmp_path}/model{vocabulary}'
    assert choose_vocabulary(config).name == name
    assert Sweep.open(SweepConfig(config)).vocabulary.name == name
    assert TrainConfig.load(saved(config, tmp_path)) == config


def saved(config, folder):
    from flanlite.config import to_json

    (folder / 'settings.json').write_text(json.dumps(to_json(config)))
    return folder / 'settings.json'


def test_finetune_gin_needs_a_checkpoint_only(tmp_path, capsys):
    """A folder with tokenizer.json alone; then the run itself, and its average, begin another."""
    toy_tokenizers.t5(tmp_path / 'tokenizer')
    path = hugging_face(tmp_path / 'model', PIECES, str(tmp_path / 'tokenizer'))
    smaller = ['--mixture=toy', '--gin.TRAIN_STEPS=1', f'--cache_dir={tmp_path}/cache', '--gin.BATCH_SIZE=8']
    smaller += [f'--gin.TASK_FEATURE_LENGTHS={toy.LENGTHS}', '--gin.TrainConfig.ema_decay=0.9']

    def train(begun, name, *flags):
        flags = [
            '--gin_file=gin/runs/finetune.gin',
            f'--gin.INITIAL_CHECKPOINT_PATH={begun}',
            *smaller,
            *flags,
        ]
        return cli.main(['train', *flags, f'--model_dir={tmp_path}/{name}'])

    assert train(path, 'first') == 0
    # The cache that the command of that name builds is the one that is trained on.
    begins = ['--gin_file=gin/runs/finetune.gin', f'--gin.INITIAL_CHECKPOINT_PATH={path}', '--split=train']
    trained_on = set((tmp_path / 'cache').glob('toy_*/train-*'))
    assert trained_on and cli.main(['cache', *begins, '--mixture=toy', f'--cache_dir={tmp_path}/cache']) == 0
    assert set((tmp_path / 'cache').glob('toy_*/train-*')) == trained_on
    for begun, name in ((f'{tmp_path}/first', 'second'), (f'{tmp_path}/first/ema', 'third')):
        assert train(begun, name) == 0
        known = parameters.describe(f'{tmp_path}/{name}')
        assert (known.config, known.vocabulary) == (dataclasses.replace(PIECES, dropout_rate=0.1), path)
    # A run that has begun needs what it began with no more.
    assert train(f'{tmp_path}/gone', 'third', '--gin.TRAIN_STEPS=2') == 0
    assert parameters.describe(f'{tmp_path}/third').step == 2
    assert train(f'{tmp_path}/gone', 'fourth') == cli.USAGE_ERROR
    assert 'no checkpoint at' in capsys.readouterr().err
    exported = str(tmp_path / 'exported')
    convert.convert(f'{tmp_path}/third', exported)
    back = flanlite.load(exported)
    assert back.vocabulary.folder == exported
    assert back.vocabulary.fingerprint() == vocabularies.load(path).fingerprint()


def test_what_contradicts_a_checkpoint_names_both(pocket, tmp_path):
    wider = dataclasses.replace(T5, mlp_dim=32, dtype='float32')
    with pytest.raises(ValueError, match=r'\(2, 8, 16\) in .*\(2, 8, 32\).*T5Config.mlp_dim = 16'):
        parameters.load_params(pocket, wider)
    other = dataclasses.replace(T5, mlp_activations=('silu',))
    with pytest.raises(ValueError, match=r"mlp_activations \('relu',\), and .* is \('silu',\)"):
        parameters.load_params(pocket, other)
    own, asked = r"the vocabulary '.*/pocket/spiece.model:extra_ids=32'", "and 'bytes' is asked for"
    asks_bytes = {'data': {'vocabulary': 'bytes'}}
    with pytest.raises(ValueError, match=f'{own}, {asked}.*SeqIO.*TrainConfig.other_vocabulary = True'):
        choose_vocabulary(settings(tmp_path, pocket, **asks_bytes))
    for refused in (
        lambda: flanlite.load(pocket, vocabulary='bytes'),
        lambda: convert.convert(pocket, str(tmp_path / 'x.safetensors'), 'safetensors', vocabulary='bytes'),
        lambda: Sweep.open(SweepConfig(settings(tmp_path, pocket, **asks_bytes))),
        lambda: flanlite.evaluate(flanlite.EvalConfig(pocket, 'toy', vocabulary='bytes')),
    ):
        with pytest.raises(ValueError, match=f'{own}, {asked}'):
            refused()
    chosen = choose_vocabulary(settings(tmp_path, pocket, other_vocabulary=True, **asks_bytes))
    assert chosen.name == 'bytes'


def test_the_same_vocabulary_may_have_other_names(pocket, tmp_path, monkeypatch):
    for name in ('pocket', 'pocket:extra_ids=0', 'pocket:no_input_eos'):
        assert choose_vocabulary(settings(tmp_path, pocket, data={'vocabulary': name})).name == name
    # The mixture says whether inputs end with EOS.
    bare = dataclasses.replace(toy.COLLECTION, name='toy_bare', vocabulary='t5:no_input_eos')
    monkeypatch.setattr(registry, 'COLLECTIONS', dict(registry.COLLECTIONS) | {'toy_bare': bare})
    config = settings(tmp_path, pocket).replace(**{'data.mixture.name': 'toy_bare'})
    assert choose_vocabulary(config).name == f'{pocket}/spiece.model:extra_ids=32:no_input_eos'


def test_a_checkpoint_without_vocabulary_says_what_to_do(tmp_path, monkeypatch):
    path = t5x_fixtures.checkpoint('unscanned_t5x_orbax')
    with pytest.raises(ValueError, match=r'does not come with its vocabulary; name it: --vocabulary'):
        choose_vocabulary(settings(tmp_path, path))
    named = toy_tokenizers.t5(tmp_path / 'tokenizer')
    assert choose_vocabulary(settings(tmp_path, path, data={'vocabulary': named})).name == named
    # T5X says no activations, so that others may be meant; T5's number of embeddings means T5's pieces.
    model = dataclasses.replace(parameters.describe(path).config, mlp_activations=('silu', 'linear'))
    parameters.load_params(path, model)
    monkeypatch.setattr(parameters, 'T5_VOCAB', 128)
    monkeypatch.setenv('FLANLITE_T5_VOCAB', vocabularies.load('pocket').path)
    assert choose_vocabulary(settings(tmp_path, path)).name == 't5'


def test_a_run_has_a_model_or_a_checkpoint():
    with pytest.raises(ValueError, match='neither a model nor a checkpoint'):
        TrainConfig('unused', DataConfig('toy', toy.LENGTHS, 8), AdamW(1e-3), 1)
