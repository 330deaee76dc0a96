"""Llama's kind and T5Gemma have transformers' logits and gradients, and go back into the same folders."""

import dataclasses
import json

import huggingface_models
import jax
import numpy as np
import pytest
from flax import traverse_util
from huggingface_models import CASES, INPUTS_BS, TOKENS_BT, WITH_GRADIENTS
from safetensors.numpy import load_file, save_file

from flanlite.model import models, rotary
from flanlite.model.llama import LlamaConfig
from flanlite.training import huggingface, huggingface_config, lazy, parameters, released


def batch_of(config):
    """Make the batch in which position t of the logits follows token t."""
    if config.converter == 'prefix_lm':
        ones_BT = np.ones((2, TOKENS_BT.shape[1] + 1), np.int32)
        return {
            'decoder_input_tokens': np.pad(TOKENS_BT, ((0, 0), (1, 0))),
            'decoder_target_tokens': np.pad(TOKENS_BT, ((0, 0), (0, 1))),
            'decoder_segment_ids': ones_BT,
        }
    return {
        'encoder_input_tokens': INPUTS_BS,
        'decoder_input_tokens': np.pad(TOKENS_BT, ((0, 0), (1, 0)))[:, :-1],
        'decoder_target_tokens': TOKENS_BT,
    }


def logits_of(config, params):
    logits_BTV = models.bind(config, params)(batch_of(config))
    return logits_BTV[:, 1:] if config.converter == 'prefix_lm' else logits_BTV


def by_name(tree):
    return {'/'.join(path): np.asarray(leaf) for path, leaf in traverse_util.flatten_dict(tree).items()}


@pytest.mark.parametrize('case', CASES)
def test_logits_gradients_and_folders_are_those_of_transformers(case, tmp_path):
    expected, gradients = huggingface_models.write(tmp_path / 'theirs', case)
    run = parameters.load_run(tmp_path / 'theirs')
    config, params = run.config, run.params

    def loss(params):
        logits_BTV = logits_of(config, params)
        predicting = logits_BTV[:, :-1] if config.converter == 'prefix_lm' else logits_BTV
        targets_BT = TOKENS_BT[:, 1:] if config.converter == 'prefix_lm' else TOKENS_BT
        log_probs_BTV = jax.nn.log_softmax(predicting)
        return -np.take_along_axis(log_probs_BTV, targets_BT[..., None], axis=-1).mean()

    got = jax.jit(lambda params: logits_of(config, params))(params)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)

    flat = {name: lazy.from_numpy(value) for name, value in by_name(params).items()}
    released.write_huggingface(tmp_path / 'ours', config, flat, None)
    theirs, ours = (load_file(tmp_path / name / 'model.safetensors') for name in ('theirs', 'ours'))
    spelt = {name.replace('.text_model.', '.'): value for name, value in ours.items()}
    text = [name for name in theirs if not huggingface.UNUSED.search(name)]
    assert sorted(spelt) == sorted(text)
    for name in text:
        np.testing.assert_allclose(spelt[name], theirs[name], atol=1e-6)
    assert parameters.load_run(tmp_path / 'ours').config == config

    assert bool(gradients) == (case in WITH_GRADIENTS)
    if gradients:
        found = by_name(jax.jit(jax.grad(loss))(params))
        read = huggingface.params_from_huggingface(
            {name: lazy.from_numpy(value) for name, value in gradients.items()},
            # A gradient gets no 1 added.
            dataclasses.replace(config, scale_embedding=False),
        )
        assert read.keys() == found.keys()
        for name, value in read.items():
            np.testing.assert_allclose(found[name], value.to_numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize('case', CASES)
def test_transformers_computes_the_same_with_what_is_written(case, tmp_path):
    torch = pytest.importorskip('torch', reason='torch is not installed')
    transformers = pytest.importorskip('transformers', reason='transformers is not installed')
    expected, _ = huggingface_models.write(tmp_path / 'theirs', case)
    run = parameters.load_run(tmp_path / 'theirs')
    flat = {name: lazy.from_numpy(value) for name, value in by_name(run.params).items()}
    released.write_huggingface(tmp_path / 'ours', run.config, flat, None)
    kind = json.loads((tmp_path / 'ours' / 'config.json').read_text())['architectures'][0]
    model = getattr(transformers, kind).from_pretrained(
        tmp_path / 'ours', dtype=torch.float32, attn_implementation='eager'
    )
    tokens, given = torch.tensor(TOKENS_BT), {}
    if run.config.converter == 'encoder_decoder':
        begun = torch.cat([torch.full((2, 1), 2), tokens[:, :-1]], 1)
        inputs = torch.tensor(INPUTS_BS)
        given = {'decoder_input_ids': begun, 'attention_mask': torch.ones_like(inputs)}
        tokens = inputs
    with torch.no_grad():
        got = model(input_ids=tokens, **given).logits.numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_frequencies_are_those_of_pytorch_to_the_last_bit():
    """At position 8000 one bit more or less is a turn of 0.0005."""
    config = LlamaConfig(num_heads=2, num_kv_heads=2, head_dim=128, rope_theta=500000.0)  # Llama 3's
    found = rotary.frequencies(config, local=False)
    expected = np.float32([0.663601279258728, 0.2922278344631195, 0.2380538135766983])  # of PyTorch 2
    np.testing.assert_array_equal(found[[2, 6, 7]], expected)


def test_the_other_spelling_of_t5gemma_2_and_gemma_3_with_pictures_are_read(tmp_path):
    for case, spell in (
        ('t5gemma2', lambda name: name.replace('.encoder.', '.encoder.text_model.')),
        ('gemma3', lambda name: f'language_model.{name}'),
    ):
        huggingface_models.write(tmp_path / 'plain', case)
        huggingface_models.write(tmp_path / 'spelt', case, spell)
        plain, spelt = (parameters.load_run(tmp_path / name) for name in ('plain', 'spelt'))
        jax.tree.map(np.testing.assert_array_equal, plain.params, spelt.params)


def test_what_is_there_twice_must_be_the_same(tmp_path):
    """transformers takes two that differ for untied, whatever config.json says."""
    for case, first, second, remedy in (
        ('llama tied, llama3', 'model.embed_tokens', 'lm_head', 'tie_word_embeddings false'),
        ('t5gemma', 'model.decoder.embed_tokens', 'lm_head.out_proj', 'tie_word_embeddings false'),
        ('t5gemma2', 'model.encoder.embed_tokens', 'model.decoder.embed_tokens', 'tie_word_embeddings false'),
    ):
        folder = tmp_path / case
        huggingface_models.write(folder, case)
        tensors = load_file(folder / 'model.safetensors')
        held = tensors[f'{first}.weight']
        save_file(tensors | {f'{second}.weight': held}, folder / 'model.safetensors')
        parameters.load_run(folder)
        save_file(tensors | {f'{second}.weight': held + 1}, folder / 'model.safetensors')
        with pytest.raises(ValueError, match=rf'{first}\.weight.* hold different numbers.*{remedy}'):
            parameters.load_run(folder)


def test_an_untied_t5gemma_2_has_its_embedding_twice(tmp_path):
    huggingface_models.write(tmp_path / 'tied', 't5gemma2')
    run = parameters.load_run(tmp_path / 'tied')
    config = dataclasses.replace(run.config, logits_via_embedding=False)
    flat = {name: lazy.from_numpy(value) for name, value in by_name(run.params).items()}
    embedding = flat['token_embedder/embedding'].to_numpy()
    flat['decoder/logits_dense/kernel'] = lazy.from_numpy(2 * embedding.T)
    released.write_huggingface(tmp_path / 'untied', config, flat, None)
    tensors = load_file(tmp_path / 'untied' / 'model.safetensors')
    for name in ('encoder.text_model', 'decoder'):
        np.testing.assert_array_equal(tensors[f'model.{name}.embed_tokens.weight'], embedding)
    again = parameters.load_run(tmp_path / 'untied')
    assert again.config == config
    for name, value in by_name(again.params).items():
        np.testing.assert_allclose(value, flat[name].to_numpy(), atol=1e-6)
    tensors['model.decoder.embed_tokens.weight'] += 1
    save_file(tensors, tmp_path / 'untied' / 'model.safetensors')
    with pytest.raises(ValueError, match=r'hold different numbers.*expected the same in both'):
        parameters.load_run(tmp_path / 'untied')


def described(case, **changes):
    content = json.loads(str(np.load(huggingface_models.GOLDEN)[f'{case}/config']))
    return {name: value for name, value in (content | changes).items() if value != 'none'}


def test_configs_as_transformers_4_wrote_them():
    """Before version 5 the rotary positions stood in other fields, and layers had no types."""
    llama = described(
        'llama tied, llama3',
        rope_parameters='none',
        rope_theta=500.0,
        rope_scaling={
            **{name: value for name, value in huggingface_models.LLAMA_3.items() if name != 'rope_theta'}
        },
    )
    new = huggingface_config.config_from_huggingface(described('llama tied, llama3'))
    assert huggingface_config.config_from_huggingface(llama) == new
    gemma = described(
        'gemma3',
        rope_parameters='none',
        layer_types='none',
        rope_theta=1e4,
        rope_local_base_freq=100.0,
        rope_scaling={'rope_type': 'linear', 'factor': 8.0},
        sliding_window_pattern=6,
    )
    assert huggingface_config.config_from_huggingface(gemma) == huggingface_config.config_from_huggingface(
        described('gemma3')
    )
    nested = {'model_type': 'gemma3', 'text_config': gemma, 'vision_config': {}, 'image_token_index': 5}
    alone = huggingface_config.config_from_huggingface(gemma | {'final_logit_softcapping': None})
    assert huggingface_config.config_from_huggingface(nested) == alone
    qwen = described('qwen2', layer_types='none', use_sliding_window=False, sliding_window=32768)
    assert huggingface_config.config_from_huggingface(qwen).windows == (0,)


def test_what_config_json_does_not_say_is_as_transformers_takes_it():
    """Null says something: no window, or no soft cap."""
    gone = {'attn_logit_softcapping': 'none', 'final_logit_softcapping': 'none', 'sliding_window': 'none'}
    gemma = huggingface_config.config_from_huggingface(described('gemma2', **gone))
    assert (gemma.attention_soft_cap, gemma.logits_soft_cap, gemma.windows) == (50.0, 30.0, (4096, 0))
    null = huggingface_config.config_from_huggingface(described('gemma2', **dict.fromkeys(list(gone)[:2])))
    assert (null.attention_soft_cap, null.logits_soft_cap) == (0.0, 0.0)
    mistral = described('mistral', sliding_window='none', layer_types=['full_attention'] * 3)  # not read
    assert huggingface_config.config_from_huggingface(mistral).windows == (4096,)
    qwen = described('qwen2', layer_types='none', max_window_layers='none')
    assert huggingface_config.config_from_huggingface(qwen).windows == (0,)  # windows from layer 28 on
    assert (
        huggingface_config.config_from_huggingface(described('olmo2', rms_norm_eps='none')).norm_epsilon
        == 1e-5
    )
    # Sizes, too: gemma-3-4b-it was published with these alone.
    four = {'hidden_size': 2560, 'intermediate_size': 10240, 'num_hidden_layers': 34, 'sliding_window': 1024}
    four |= {'model_type': 'gemma3_text', 'rope_scaling': {'factor': 8.0, 'rope_type': 'linear'}}
    found = huggingface_config.config_from_huggingface({'model_type': 'gemma3', 'text_config': four})
    sizes = (found.vocab_size, found.num_heads, found.num_kv_heads, found.head_dim, found.windows)
    assert sizes == (262_208, 8, 4, 256, (1024,) * 5 + (0,)) and found.rope_factor == 8.0
    assert huggingface_config.config_from_huggingface(described('mistral', num_attention_heads=16, num_key_value_heads='none')).num_kv_heads == 8


def test_of_two_fields_the_one_counts_that_transformers_reads():
    def read(case, **changes):
        return huggingface_config.config_from_huggingface(described(case, **changes))

    act = {'hidden_activation': 'none', 'hidden_act': 'silu'}
    assert read('gemma2', **act).mlp_activations == ('gelu', 'linear')
    assert read('gemma2', hidden_activation='relu', hidden_act='silu').mlp_activations == ('relu', 'linear')
    llama = read('llama tied, llama3', hidden_activation='gelu_pytorch_tanh', hidden_act='silu')
    assert llama.mlp_activations == ('silu', 'linear')
    gemma = {name: item for name, item in described('llama tied, llama3').items() if not name.startswith('rope')}
    gemma |= {'model_type': 'gemma', 'hidden_act': 'gelu', 'attention_bias': False}
    assert huggingface_config.config_from_huggingface(gemma).mlp_activations == ('gelu', 'linear')
    # Patterns of windows.
    gone = {'layer_types': 'none', 'num_hidden_layers': 6}
    assert read('gemma2', **gone, sliding_window_pattern=3) == read('gemma2', **gone)
    assert read('gemma3', **gone, _sliding_window_pattern=3) == read('gemma3', **gone)
    assert read('gemma3', **gone, sliding_window_pattern=3) != read('gemma3', **gone)
    # Of a Gemma 3 with pictures the outer config ties, and no soft cap is read.
    inner = described('gemma3')
    nested = {'model_type': 'gemma3', 'text_config': inner, 'tie_word_embeddings': False}
    assert not huggingface_config.config_from_huggingface(nested).logits_via_embedding
    nested['text_config'] = inner | {'final_logit_softcapping': 30.0}
    assert huggingface_config.config_from_huggingface(nested).logits_soft_cap == 0.0


def test_the_weights_are_those_that_transformers_reads(tmp_path):
    """`model.safetensors`, else what the index names, else all, where no tensor is there twice."""
    huggingface_models.write(tmp_path, 'llama tied, llama3')
    file, other = tmp_path / 'model.safetensors', tmp_path / 'model_ema.safetensors'
    tensors = load_file(file)
    plain = parameters.load_run(tmp_path).params
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, other)
    index = tmp_path / released.INDEX_FILE
    index.write_text(json.dumps({'weight_map': dict.fromkeys(tensors, 'model-00001-of-00002.safetensors')}))
    jax.tree.map(np.testing.assert_array_equal, parameters.load_run(tmp_path).params, plain)
    index.unlink()
    file.rename(tmp_path / 'model_last.safetensors')
    with pytest.raises(ValueError, match=r'in model_last\.safetensors and in another file'):
        parameters.load_run(tmp_path)
    other.unlink()
    jax.tree.map(np.testing.assert_array_equal, parameters.load_run(tmp_path).params, plain)


def test_folders_that_are_not_whole_are_refused(tmp_path):
    huggingface_models.write(tmp_path, 'llama')
    config, weights = tmp_path / 'config.json', tmp_path / 'model.safetensors'
    config.write_bytes(b'\xef\xbb\xbf' + config.read_bytes())  # a byte order mark, as Windows writes it
    tensors = load_file(weights)
    save_file(tensors | {'model.layers.0.self_attn.rotary_emb.inv_freq': np.ones(2, np.float32)}, weights)
    parameters.load_run(tmp_path)
    name = 'model.layers.1.mlp.up_proj.weight'
    for changed, message in (
        (tensors | {name: np.ones((3, 3), np.float32)}, r'mlp/wi_1/kernel has layers of the shapes'),
        (
            {key: value for key, value in tensors.items() if key != name},
            r'has layers \[0, 2\]; expected each',
        ),
    ):
        save_file(changed, weights)
        with pytest.raises(ValueError, match=message):
            parameters.load_run(tmp_path)
    weights.unlink()
    for index in ('{}', '{"weight_map": ["a"]}', '{"weight_map": {"a": 3}}'):
        (tmp_path / 'model.safetensors.index.json').write_text(index)
        with pytest.raises(ValueError, match='has no weight_map from tensors to files'):
            parameters.load_run(tmp_path)


@pytest.mark.parametrize(
    ('case', 'changes', 'message'),
    [
        ('llama', {'attention_bias': True}, 'attention_bias True; expected False'),
        ('llama', {'mlp_bias': True}, 'mlp_bias True; expected False'),
        ('llama', {'hidden_act': 'gelu'}, "hidden_act 'gelu'; expected one of silu, gelu_pytorch_tanh"),
        (
            'llama',
            {'rope_parameters': {'rope_type': 'yarn', 'factor': 2.0}},
            "rope_type 'yarn'; expected default",
        ),
        (
            'llama',
            {'rope_parameters': {'rope_type': 'default', 'partial_rotary_factor': 0.5}},
            'partial_rotary_factor; expected 1',
        ),
        (
            'llama',
            {'rope_parameters': {'rope_type': 'llama3', 'factor': 8.0}},
            "rope_type 'llama3' and no low_freq_factor, high_freq_factor; expected a number for each",
        ),
        ('llama', {'residual_multiplier': 0.2}, 'residual_multiplier 0.2, which is not known here'),
        ('llama', {'hidden_size': None}, 'hidden_size None; expected a number'),
        ('llama', {'num_attention_heads': 0}, 'num_attention_heads 0; expected a number above 0'),
        ('llama', {'num_hidden_layers': 2.5}, 'num_hidden_layers 2.5; expected a whole number'),
        ('llama', {'tie_word_embeddings': None}, 'tie_word_embeddings None; expected true or false'),
        ('llama', {'hidden_act': ['silu']}, 'hidden_act .* expected one of silu'),
        ('llama', {'rope_parameters': 'default'}, "rope_parameters 'default' .* an object"),
        (
            'llama',
            {'rope_scaling': {'type': 'dynamic', 'factor': 2.0}},
            'rope_scaling .* expected one of them',
        ),
        ('gemma3', {'rope_parameters': {'rope_theta': 1e4}}, 'one for full_attention and one for'),
        ('gemma3', {'query_pre_attn_scalar': -3}, 'query_pre_attn_scalar -3; expected a number above 0'),
        ('gemma3', {'sliding_window': 0}, 'sliding_window 0; expected 7 layers and a number above 0'),
        ('qwen2', {'use_sliding_window': False}, 'sliding_window None; expected 3 layers and a number'),
        ('qwen2', {'max_window_layers': None}, 'max_window_layers None; expected a number'),
        (
            't5gemma',
            {'decoder': described('t5gemma')['decoder'] | {'bos_token_id': 999}},
            'begin_id is 999; expected an id below',
        ),
        ('gemma3', {'use_bidirectional_attention': True}, 'use_bidirectional_attention True; expected False'),
        ('gemma3', {'layer_types': ['chunked_attention'] * 7}, "layer_types 'chunked_attention'; expected"),
        ('gemma3', {'layer_types': ['full_attention']}, 'layer_types of 1 layers'),
        ('t5gemma2', {'decoder': None}, 'lacks encoder or decoder'),
    ],
)
def test_fields_that_would_change_numbers_are_refused_by_name(case, changes, message):
    with pytest.raises(ValueError, match=message):
        huggingface_config.config_from_huggingface(described(case) | changes)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'prefix_lm': True}, 'no prefix LM'),
        ({'qk_norm': 'head', 'qkv_bias': True}, 'no model with these fields together; the nearest'),
        ({'mlp_activations': ('silu',)}, 'mlp_activations'),
    ],
)
def test_what_transformers_cannot_say_is_not_written(changes, message, tmp_path):
    config = LlamaConfig(vocab_size=40, emb_dim=12, num_heads=3, num_kv_heads=3, num_layers=1, **changes)
    with pytest.raises(ValueError, match=message):
        released.write_huggingface(tmp_path / 'out', config, {}, None)
    assert not (tmp_path / 'out').exists()
