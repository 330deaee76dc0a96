"""Tiny models of transformers, and the numbers that it computes with them, in tests/golden/huggingface.npz.

To make that file again, with torch and transformers installed: `python tests/huggingface_models.py`.
"""

import json
import pathlib
import tempfile
import zlib

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

GOLDEN = pathlib.Path(__file__).parent / 'golden' / 'huggingface.npz'
TOKENS_BT = np.random.default_rng(0).integers(3, 40, (2, 11))
INPUTS_BS = np.random.default_rng(1).integers(3, 40, (2, 9))

SIZES = {
    'vocab_size': 40,
    'hidden_size': 12,
    'intermediate_size': 16,
    'num_hidden_layers': 3,
    'num_attention_heads': 6,
    'num_key_value_heads': 2,
    'head_dim': 4,
    'max_position_embeddings': 64,
}
JOINED = {name: size for name, size in SIZES.items() if name != 'head_dim'} | {'hidden_size': 24}
LLAMA_3 = {
    'rope_type': 'llama3',
    'factor': 8.0,
    'low_freq_factor': 1.0,
    'high_freq_factor': 4.0,
    'original_max_position_embeddings': 32,
    'rope_theta': 500.0,
}
LINEAR = {'rope_type': 'linear', 'factor': 4.0, 'rope_theta': 300.0}
TWO = {
    'full_attention': {'rope_type': 'linear', 'factor': 8.0, 'rope_theta': 1e4},
    'sliding_attention': {'rope_type': 'default', 'rope_theta': 100.0},
}
GEMMA_2 = {
    **SIZES,
    'sliding_window': 4,
    'query_pre_attn_scalar': 20,
    'attn_logit_softcapping': 1.5,
    'final_logit_softcapping': 2.0,
}
UNEVEN = {**GEMMA_2, 'hidden_size': 20, 'num_attention_heads': 4, 'num_key_value_heads': 4, 'head_dim': 6}
GEMMA_3 = {**SIZES, 'num_hidden_layers': 7, 'sliding_window': 3, 'query_pre_attn_scalar': 20}
PICTURES = {
    'hidden_size': 4,
    'intermediate_size': 4,
    'num_hidden_layers': 1,
    'num_attention_heads': 1,
    'image_size': 28,
    'patch_size': 14,
}


def merged(window, **decoder):
    """Describe a T5Gemma 2 whose encoder sees no pictures here."""
    stack = {**GEMMA_3, 'num_hidden_layers': 3, 'sliding_window': window, 'rope_parameters': TWO}
    encoder = {
        'text_config': stack,
        'vision_config': PICTURES,
        'mm_tokens_per_image': 4,
        'eoi_token_index': 1,
    }
    return {'encoder': encoder, 'decoder': {**stack, **decoder}, 'image_token_index': 2}


# Name -> transformers' config class, and its fields.
CASES = {
    'llama': ('LlamaConfig', SIZES),
    'llama tied, llama3': (
        'LlamaConfig',
        {**SIZES, 'tie_word_embeddings': True, 'rope_parameters': LLAMA_3, 'rms_norm_eps': 1e-5},
    ),
    'llama linear, one head of keys': (
        'LlamaConfig',
        {**SIZES, 'num_attention_heads': 3, 'num_key_value_heads': 1, 'rope_parameters': LINEAR},
    ),
    'mistral': ('MistralConfig', {**SIZES, 'sliding_window': 4}),
    'mistral without windows': ('MistralConfig', {**SIZES, 'sliding_window': None}),
    'qwen2': (
        'Qwen2Config',
        {**JOINED, 'use_sliding_window': True, 'sliding_window': 5, 'max_window_layers': 1},
    ),
    'qwen3': ('Qwen3Config', {**SIZES, 'tie_word_embeddings': True}),
    'gemma': ('GemmaConfig', SIZES),
    'gemma2': ('Gemma2Config', GEMMA_2),
    'gemma3': ('Gemma3TextConfig', {**GEMMA_3, 'rope_parameters': TWO, 'final_logit_softcapping': 3.0}),
    'olmo2': ('Olmo2Config', JOINED),
    't5gemma': ('T5GemmaConfig', {'encoder': GEMMA_2, 'decoder': GEMMA_2, 'vocab_size': 40}),
    't5gemma uneven': (
        'T5GemmaConfig',
        {'encoder': UNEVEN, 'decoder': GEMMA_2, 'vocab_size': 40, 'tie_word_embeddings': False},
    ),
    't5gemma2': ('T5Gemma2Config', merged(4)),
    't5gemma2 odd window': ('T5Gemma2Config', merged(5, final_logit_softcapping=2.5)),
}
# Of these the file has gradients, too.
WITH_GRADIENTS = ('gemma3', 't5gemma2')


def tensor(name, shape):
    """Draw a tensor that depends on its name and shape only."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return (rng.normal(size=shape) * (0.3 if len(shape) == 1 else shape[-1] ** -0.5)).astype(np.float32)


def write(folder, case, spell=lambda name: name):
    """Write a case's Hugging Face folder; `spell` may change the names of tensors.

    Returns:
        logits, and gradients by Hugging Face's names where the file has them.
    """
    golden = np.load(GOLDEN)
    described = json.loads(str(golden[f'{case}/config']))
    shapes = json.loads(str(golden[f'{case}/shapes']))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.json').write_text(json.dumps(described))
    tensors = {spell(name): tensor(name, shape) for name, shape in shapes.items()}
    save_file(tensors, folder / 'model.safetensors', {'format': 'pt'})
    start = f'{case}/gradients/'
    gradients = {name.removeprefix(start): golden[name] for name in golden.files if name.startswith(start)}
    return golden[f'{case}/logits'], gradients


def main():
    """Compute the numbers with transformers."""
    import torch
    import transformers

    found = {}
    for case, (config_class, fields) in CASES.items():
        config = getattr(transformers, config_class)(**fields)
        both = config.is_encoder_decoder
        name = config_class.removesuffix('Config').removesuffix('Text')
        model = getattr(transformers, name + ('ForConditionalGeneration' if both else 'ForCausalLM'))(config)
        model = model.float().eval()
        model.set_attn_implementation('eager')
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            described = json.loads((pathlib.Path(folder) / 'config.json').read_text())
            with safe_open(pathlib.Path(folder) / 'model.safetensors', 'numpy') as file:
                shapes = {each: file.get_slice(each).get_shape() for each in file.keys()}  # noqa: SIM118
        state = dict(model.named_parameters())
        # T5Gemma 2 writes the names of its encoder without `text_model`.
        held = {
            each: each if each in state else each.replace('encoder.', 'encoder.text_model.')
            for each in shapes
        }
        with torch.no_grad():
            for each, shape in shapes.items():
                state[held[each]].copy_(torch.tensor(tensor(each, shape)))
        tokens = torch.tensor(TOKENS_BT)
        if both:
            begun = torch.cat([torch.full((2, 1), 2), tokens[:, :-1]], 1)
            inputs = torch.tensor(INPUTS_BS)
            output = model(input_ids=inputs, decoder_input_ids=begun, attention_mask=torch.ones_like(inputs))
            loss = torch.nn.functional.cross_entropy(output.logits.flatten(0, 1), tokens.flatten())
        else:
            output = model(tokens)
            loss = torch.nn.functional.cross_entropy(
                output.logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
            )
        found[f'{case}/config'] = json.dumps(described)
        found[f'{case}/shapes'] = json.dumps({each: list(shape) for each, shape in shapes.items()})
        found[f'{case}/logits'] = output.logits.detach().numpy()
        if case in WITH_GRADIENTS:
            loss.backward()
            for each in shapes:
                if state[held[each]].grad is not None:
                    found[f'{case}/gradients/{each}'] = state[held[each]].grad.numpy()
    np.savez_compressed(GOLDEN, **found)


if __name__ == '__main__':
    main()
