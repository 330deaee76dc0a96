"""Adapters of Hugging Face's PEFT, to ours and back: with PEFT itself where it is installed."""

import json
import re

import jax
import numpy as np
import pytest
from flax import traverse_util

import flanlite
from flanlite.cli import main as cli
from flanlite.model import adapters, models
from flanlite.model.linear_adapters import IA3, LoRA
from flanlite.model.llama import LlamaConfig
from flanlite.model.soft_prefix import SoftPrefix
from flanlite.model.soft_prompt import SoftPrompt, SoftTokens, prompts_of
from flanlite.model.t5 import T5Config
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import convert, lazy, parameters, peft, released

SIZES = {'vocab_size': 384, 'emb_dim': 16, 'num_heads': 4, 'head_dim': 4, 'mlp_dim': 32, 'dtype': 'float32'}
CONFIGS = {
    't5': T5Config(**SIZES, num_encoder_layers=2, num_decoder_layers=3),
    'llama': LlamaConfig(**SIZES, num_kv_heads=2, num_layers=2, qkv_bias=True),
    'gemma': LlamaConfig(
        **SIZES,
        num_kv_heads=1,
        num_layers=4,
        windows=(4, 4, 0),
        local_rope_theta=50.0,
        qk_norm='head',
        norms='pre_and_post',
        scale_embedding=True,
        logits_via_embedding=True,
        mlp_activations=('gelu', 'linear'),
    ),
    't5gemma': T5GemmaConfig(
        **SIZES, version=1, num_kv_heads=2, num_layers=2, scale_embedding=True, norms='pre_and_post'
    ),
    't5gemma 2': T5GemmaConfig(
        **SIZES,
        num_kv_heads=2,
        num_layers=2,
        windows=(3, 0),
        local_rope_theta=50.0,
        qk_norm='head',
        norms='pre_and_post',
        scale_embedding=True,
        logits_via_embedding=True,
        mlp_activations=('gelu', 'linear'),
    ),
}
ADAPTERS = {
    'lora': LoRA(rank=2, alpha=5.0),
    'lora everywhere': LoRA(('.*',), rank=3, rank_stabilized=True),
    'ia3': IA3(),
    'prompt': SoftPrompt(length=3),
    'prefix': SoftPrefix(length=3),
}
IDS = np.random.default_rng(0).integers(3, 380, (2, 7))
EACH = pytest.mark.parametrize(
    ('kind', 'adapter'),
    [
        (kind, adapter)
        for kind in CONFIGS
        for adapter in ADAPTERS
        if adapter != 'prefix' or kind in ('llama', 'gemma')
    ],
)


@pytest.fixture(scope='module')
def bases(tmp_path_factory):
    """A Hugging Face folder of a random model of each kind."""
    folders = {}
    for kind, config in CONFIGS.items():
        folders[kind] = tmp_path_factory.mktemp('base') / kind
        released.write_huggingface(folders[kind], config, as_lazy(randomly(config)), None)
    return folders


def randomly(config):
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.2).astype(np.float32), models.abstract_params(config)
    )


def as_lazy(params):
    return {name: lazy.from_numpy(leaf) for name, leaf in traverse_util.flatten_dict(params, sep='/').items()}


def written(folder, bases, kind, adapter):
    """Write a random adapter as a folder of PEFT; return our parameters of it."""
    config = CONFIGS[kind].replace(adapter=ADAPTERS[adapter])
    own = adapters.parts(randomly(config))[1]
    peft.write(folder, config, own, str(bases[kind]))
    return own


@EACH
def test_what_is_written_is_read_again(kind, adapter, bases, tmp_path):
    own = written(tmp_path / 'a', bases, kind, adapter)
    run = parameters.load_run(tmp_path / 'a')
    found = adapters.parts(run.params)[1]
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-6), found, own)
    was, now = ADAPTERS[adapter], run.config.adapter
    for field in ('scale', 'length'):
        assert getattr(now, field, None) == getattr(was, field, None)
    form = ['--form=peft', f'--output={tmp_path}/b']
    assert cli.main(['convert', f'--checkpoint={tmp_path}/a', *form]) == 0
    again = [json.loads((tmp_path / name / peft.CONFIG_FILE).read_text()) for name in 'ab']
    assert again[0] == again[1]


@EACH
def test_pefts_own_forward_pass_agrees(kind, adapter, bases, tmp_path):
    """With adapters that we wrote, and with those that PEFT drew and saved."""
    torch, theirs = pytest.importorskip('torch'), pytest.importorskip('peft')
    import transformers

    both = CONFIGS[kind].converter == 'encoder_decoder'
    loader = transformers.AutoModelForSeq2SeqLM if both else transformers.AutoModelForCausalLM

    begun = np.pad(IDS[:, :-1], ((0, 0), (1, 0)), constant_values=getattr(CONFIGS[kind], 'begin_id', 0))

    def logits(model):
        ids = torch.tensor(IDS)
        more = {'decoder_input_ids': torch.tensor(begun)} if both else {}
        if not isinstance(ADAPTERS[adapter], SoftTokens) or both:
            more |= {'attention_mask': torch.ones_like(ids)}
        with torch.no_grad():
            found = model.eval()(input_ids=ids, **more).logits.numpy()
        return found[:, -IDS.shape[1] :]  # without those of a prompt

    def ours(path):
        model = flanlite.load(str(path))
        soft = np.tile(model.config.prompt(), (len(IDS), 1))
        if both:
            asked = np.concatenate([soft, IDS], axis=1)
            batch = {
                'encoder_input_tokens': asked,
                'decoder_input_tokens': begun,
                'decoder_target_tokens': IDS,
            }
            return model.logits(batch)
        # The first position is the beginning, which transformers does not have.
        ids = np.concatenate([soft, IDS], axis=1)
        batch = {
            'decoder_input_tokens': np.pad(ids, ((0, 0), (1, 0))),
            'decoder_target_tokens': np.pad(ids, ((0, 0), (0, 1)), constant_values=1),
        }
        return model.logits(batch)[:, 1 + soft.shape[1] :]

    written(tmp_path / 'ours', bases, kind, adapter)
    whole = theirs.PeftModel.from_pretrained(loader.from_pretrained(bases[kind]), tmp_path / 'ours')
    expected = logits(whole)
    np.testing.assert_allclose(ours(tmp_path / 'ours'), expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected - logits(loader.from_pretrained(bases[kind]))).max() > 0.01

    described = json.loads((tmp_path / 'ours' / peft.CONFIG_FILE).read_text())
    made = {
        'LORA': lambda: theirs.LoraConfig(
            r=2, lora_alpha=7, target_modules=['q', 'wo'] if kind == 't5' else ['q_proj', 'down_proj'], init_lora_weights=False
        ),
        'IA3': lambda: theirs.IA3Config(
            target_modules=described['target_modules'],
            feedforward_modules=described.get('feedforward_modules'),
            init_ia3_weights=False,
        ),
        'PROMPT_TUNING': lambda: theirs.PromptTuningConfig(
            task_type=described['task_type'], num_virtual_tokens=4, num_transformer_submodules=1,
            num_layers=2, token_dim=16, num_attention_heads=4,
        ),
        'PREFIX_TUNING': lambda: theirs.PrefixTuningConfig(
            task_type='CAUSAL_LM', num_virtual_tokens=5, prefix_projection=True, encoder_hidden_size=7
        ),
    }[described['peft_type']]()  # fmt: skip
    torch.manual_seed(0)
    drawn = theirs.get_peft_model(loader.from_pretrained(bases[kind]), made)
    drawn.save_pretrained(tmp_path / 'theirs')
    np.testing.assert_allclose(ours(tmp_path / 'theirs'), logits(drawn), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({'peft_type': 'ADALORA'}, ["'ADALORA'", 'LORA, IA3, PROMPT_TUNING']),
        ({'use_dora': True}, ['use_dora True', 'would change the numbers']),
        ({'rank_pattern': {'q': 4}}, ['rank_pattern']),
        ({'init_lora_weights': 'pissa'}, ['init_lora_weights', 'pissa']),
        ({'bias': 'all'}, ['bias', "'none'"]),
        ({'new_field': 1}, ['new_field 1']),
        ({'base_model_name_or_path': 'google/t5-v1_1-small'}, ['google/t5-v1_1-small', '--base']),
        ({'r': 4}, ['adapter/lora_a', '(3, 16, 2)', '(3, 16, 4)']),
        ({'target_parameters': ['x']}, ['target_parameters']),
    ],
)
def test_adapters_that_would_compute_something_else_are_refused(fields, words, bases, tmp_path):
    written(tmp_path / 'a', bases, 't5', 'lora')
    file = tmp_path / 'a' / peft.CONFIG_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    with pytest.raises(ValueError) as raised:
        flanlite.load(str(tmp_path / 'a'))
    assert all(word in str(raised.value) for word in words), raised.value


@pytest.mark.parametrize('kind', ['t5', 'llama', 't5gemma 2'])
@pytest.mark.parametrize('adapter', ['lora', 'ia3'])
def test_an_adapter_of_some_layers_leaves_the_others_as_they_are(kind, adapter, bases, tmp_path):
    """As `layers_to_transform` or a pattern of PEFT has it; fields that say nothing of numbers may stand there."""
    written(tmp_path, bases, kind, adapter)
    tensors = dict(released.safetensors_arrays(tmp_path / peft.TENSORS_FILE))
    first = re.compile(r'\.(layers|block)\.0\.')
    kept = {name: lazy.from_numpy(each.to_numpy()) for name, each in tensors.items() if not first.search(name)}
    assert 0 < len(kept) < len(tensors)
    released.write_tensors(tmp_path / peft.TENSORS_FILE, kept, {})
    file = tmp_path / peft.CONFIG_FILE
    described = json.loads(file.read_text())
    described |= {'layers_to_transform': [1, 2], 'exclude_modules': ['lm_head'], 'fan_in_fan_out': True}
    file.write_text(json.dumps(described))
    found = adapters.parts(flanlite.load(str(tmp_path)).params)[1]
    neutral = 1.0 if adapter == 'ia3' else 0.0
    for leaf in jax.tree.leaves(found):
        assert (np.asarray(leaf)[0] == neutral).all() and (np.asarray(leaf)[1:] != neutral).any()


def test_a_rank_is_8_where_it_is_not_said_and_may_exceed_the_matrix(bases, tmp_path):
    config = CONFIGS['t5'].replace(adapter=LoRA(rank=8, alpha=8.0, targets=('.*/query',)))
    own = tmp_path / 'own'
    peft.write(own, config, adapters.parts(randomly(config))[1], str(bases['t5']))
    file = own / peft.CONFIG_FILE
    described = json.loads(file.read_text())
    file.write_text(json.dumps({name: each for name, each in described.items() if name not in ('r', 'lora_alpha')}))
    assert flanlite.load(str(own)).config.adapter.scale == 1.0
    models.init_params(config.replace(adapter=LoRA(rank=100)), jax.random.key(0))
    tensor = {'base_model.model.lm_head.lora_A.weight': lazy.from_numpy(np.ones((8, 16), np.float32))}
    released.write_tensors(own / peft.TENSORS_FILE, tensor, {})
    with pytest.raises(ValueError, match=r'lm_head\.lora_A.* of embeddings or logits, which is not supported'):
        flanlite.load(str(own))
    with pytest.raises(ValueError, match='adapters of PEFT in own: name one'):
        flanlite.load(str(tmp_path))
    with pytest.raises(ValueError, match=r'lies in, with adapter_config\.json'):
        flanlite.load(str(own / peft.TENSORS_FILE))


def test_layers_of_a_model_with_pictures_have_the_names_that_they_have_there(bases, tmp_path):
    """Gemma 3's decoder lies deeper there."""
    base = tmp_path / 'base'
    base.mkdir()
    inner = json.loads((bases['llama'] / released.CONFIG_FILE).read_text())
    (base / released.CONFIG_FILE).write_text(json.dumps({'model_type': 'gemma3', 'text_config': inner}))
    config = CONFIGS['llama'].replace(adapter=ADAPTERS['lora'])
    own = adapters.parts(randomly(config))[1]
    peft.write(tmp_path / 'a', config, own, str(base))
    described = json.loads((tmp_path / 'a' / peft.CONFIG_FILE).read_text())
    assert all(name.startswith('model.language_model.layers.') for name in described['target_modules'])
    found = peft.read(tmp_path / 'a', CONFIGS['llama'])[1]
    flat = traverse_util.flatten_dict(own, sep='/')
    assert {name: leaf.shape for name, leaf in found.items()} == {name: leaf.shape for name, leaf in flat.items()}


def test_prompts_of_several_tasks_are_read(bases, tmp_path):
    rng = np.random.default_rng(0)
    shared, columns, rows = (rng.normal(size=shape) for shape in ((3, 16), (2, 3, 1), (2, 1, 16)))
    written(tmp_path, bases, 't5', 'prompt')
    tensors = {'prompt_embeddings': shared, 'prefix_task_cols': columns, 'prefix_task_rows': rows}
    released.write_tensors(
        tmp_path / peft.TENSORS_FILE, {name: lazy.from_numpy(each) for name, each in tensors.items()}, {}
    )
    file = tmp_path / peft.CONFIG_FILE
    described = json.loads(file.read_text()) | {'peft_type': 'MULTITASK_PROMPT_TUNING', 'num_tasks': 2}
    file.write_text(json.dumps(described))
    model = flanlite.load(str(tmp_path))
    for task, rows_PD in prompts_of(model.params).items():
        np.testing.assert_allclose(
            rows_PD, shared * np.outer(columns[int(task), :, 0], rows[int(task), 0]), rtol=1e-5
        )
    with pytest.raises(ValueError, match='2 soft prompts, and a folder of PEFT holds one; --form=npy'):
        convert.convert(str(tmp_path), str(tmp_path / 'again'), 'peft')
    file.write_text(json.dumps(described | {'num_transformer_submodules': 2}))
    with pytest.raises(ValueError, match=r"num_transformer_submodules 2, .*before the decoder's inputs"):
        flanlite.load(str(tmp_path))
    file.write_text(json.dumps(described | {'num_transformer_submodules': None}))  # 2, as PEFT takes it
    with pytest.raises(ValueError, match='num_transformer_submodules 2, '):
        flanlite.load(str(tmp_path))
    file.write_text(json.dumps(described | {'num_virtual_tokens': 4}))
    with pytest.raises(ValueError, match=r'num_virtual_tokens 4, and .* has 3 rows'):
        flanlite.load(str(tmp_path))
    narrow = tensors | {'prefix_task_rows': rows[..., :1]}
    released.write_tensors(
        tmp_path / peft.TENSORS_FILE, {name: lazy.from_numpy(each) for name, each in narrow.items()}, {}
    )
    file.write_text(json.dumps(described))
    base = flanlite.load(str(bases['t5']))
    with pytest.raises(ValueError, match=r'prefix_task_rows \[2, 1, 1\]; expected'):
        base.with_adapter(str(tmp_path))
    file.write_text(json.dumps(described | {'peft_type': 'PREFIX_TUNING'}))
    with pytest.raises(ValueError, match="decoders of Llama's kind, and the model is a T5Config"):
        flanlite.load(str(tmp_path))


def test_a_folder_of_another_model_is_refused(bases, tmp_path):
    written(tmp_path / 'a', bases, 't5', 'lora')
    with pytest.raises(ValueError, match='no parameter of a LlamaConfig'):
        flanlite.load(str(bases['llama']), adapter=str(tmp_path / 'a'))
    with pytest.raises(ValueError, match='holds an adapter already'):
        written(tmp_path / 'a', bases, 't5', 'lora')
    (tmp_path / 'a' / peft.TENSORS_FILE).unlink()
    with pytest.raises(ValueError, match=r'no adapter_model\.safetensors'):
        flanlite.load(str(tmp_path / 'a'))
