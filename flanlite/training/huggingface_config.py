"""The config.json of Hugging Face's models of Llama's kind and of T5Gemma, to our configs and back.

A field of config.json is either read here, or known to change no number (`HARMLESS`), or has the one value
that our networks have (`FIXED`). Any other is refused by its name.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from flanlite.model.llama import LlamaConfig
from flanlite.model.models import ModelConfig
from flanlite.model.rotary import RotaryConfig
from flanlite.model.t5gemma import T5GemmaConfig

# What the families have in all their sizes; our fields.
GEMMA = {'scale_embedding': True, 'norms': 'pre'}
GEMMA_2 = {'scale_embedding': True, 'norms': 'pre_and_post'}
GEMMA_3 = GEMMA_2 | {'qk_norm': 'head'}
LLAMA_KINDS: dict[str, dict[str, Any]] = {
    'llama': {},
    'mistral': {},
    'qwen2': {'qkv_bias': True},
    'qwen3': {'qk_norm': 'head'},
    'gemma': GEMMA,
    'gemma2': GEMMA_2,
    'gemma3_text': GEMMA_3,
    'olmo2': {'norms': 'post', 'qk_norm': 'joined'},
}
T5GEMMA_KINDS = {'t5gemma': GEMMA_2, 't5gemma2': GEMMA_3}
# What transformers takes where config.json says nothing, if it differs from what most kinds have; null is
# another thing.
WINDOW = {'sliding_window': 4096}
QWEN = WINDOW | {'max_window_layers': 28}
CAPS = {'attn_logit_softcapping': 50.0, 'final_logit_softcapping': 30.0}
SIZES = ('vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads')
SIZES += ('num_key_value_heads',)
GEMMA_2_SIZES = dict(zip(SIZES, (256_000, 2_304, 9_216, 26, 8, 4), strict=True))
GEMMA_3_SIZES = GEMMA_2_SIZES | {'vocab_size': 262_208}
DEFAULTS: dict[str, dict[str, Any]] = {
    'llama': dict(zip(SIZES[:-1], (32_000, 4_096, 11_008, 32, 32), strict=True)),
    'mistral': WINDOW | dict(zip(SIZES, (32_000, 4_096, 14_336, 32, 32, 8), strict=True)),
    'qwen2': QWEN | dict(zip(SIZES, (151_936, 4_096, 22_016, 32, 32, 32), strict=True)),
    'qwen3': QWEN | dict(zip(SIZES, (151_936, 4_096, 22_016, 32, 32, 32), strict=True)) | {'head_dim': 128},
    'gemma': dict(zip(SIZES, (256_000, 3_072, 24_576, 28, 16, 16), strict=True)),
    'gemma2': WINDOW | CAPS | GEMMA_2_SIZES,
    'gemma3_text': WINDOW | GEMMA_3_SIZES,
    'olmo2': dict(zip(SIZES[:-1], (50_304, 4_096, 11_008, 32, 32), strict=True)) | {'rms_norm_eps': 1e-5},
    't5gemma': WINDOW | CAPS | GEMMA_2_SIZES,
    't5gemma2': WINDOW | GEMMA_3_SIZES,
}
# Nested in another config: a Gemma 3 with pictures, whose decoder is read.
NESTED = {'gemma3': 'text_config'}
MODEL_TYPES = (*LLAMA_KINDS, *NESTED, *T5GEMMA_KINDS)
ACTIVATIONS = {'silu': 'silu', 'gelu_pytorch_tanh': 'gelu', 'relu': 'relu', 'swish': 'silu'}
LOCAL, GLOBAL = 'sliding_attention', 'full_attention'

# Fields of config.json that change no logits of text.
HARMLESS = re.compile(
    r'_.*|architectures|auto_map|transformers_version|transformers\.js_config|torch_dtype|dtype|'
    r'use_cache|cache_implementation|initializer_range|max_position_embeddings|model_type|'
    r'(pad|bos|eos|unk|sep|boi|eoi|image|decoder_start|forced_\w+)_token_(id|index)|'
    r'attention_dropout|classifier_dropout(_rate)?|hidden_dropout|id2label|label2id|problem_type|return_dict|'
    r'output_attentions|output_hidden_states|is_encoder_decoder|is_decoder|chunk_size_feed_forward|'
    r'pretraining_tp|is_llama_config|attn_implementation|'
    r'mm_tokens_per_image|vision_config|cross_attention_hidden_size|num_labels|tokenizer_class'
)
# Fields with the one value that our networks have.
FIXED: dict[str, tuple[Any, ...]] = {
    'attention_bias': (False, None),
    'mlp_bias': (False, None),
    'use_bidirectional_attention': (False, None),
    'rope_interleaved': (False, None),
    'partial_rotary_factor': (1.0, None),
    'add_cross_attention': (False, None),
    'clip_qkv': (None,),
    'quantization_config': (None,),
}


def config_from_huggingface(described: Mapping[str, Any]) -> ModelConfig:
    """Convert the content of a config.json of one of `MODEL_TYPES` to a config; activations are float32.

    Raises:
        ValueError: a field is missing, or has a value that no network of ours has.
    """
    kind = described['model_type']
    if kind in NESTED:
        inner = described.get(NESTED[kind])
        if not isinstance(inner, Mapping):
            raise ValueError(f'config.json has no {NESTED[kind]}; expected it of a {kind}')
        outer = {name: item for name, item in described.items() if name != NESTED[kind]}
        tied = {'tie_word_embeddings': outer.pop('tie_word_embeddings', True)}
        refuse_rest(outer, '')
        unread = {'final_logit_softcapping': None}  # by transformers' models with pictures
        described, kind = {**inner, **tied, **unread}, inner.get('model_type', f'{kind}_text')
    if kind in LLAMA_KINDS:
        return LlamaConfig(**stack_fields(described, kind, LLAMA_KINDS[kind]), dtype='float32')
    return t5gemma_config(described)


def t5gemma_config(described: Mapping[str, Any]) -> T5GemmaConfig:
    """Convert the content of a T5Gemma's config.json."""
    kind, rest = described['model_type'], dict(described)
    stacks = [rest.pop(name, None) for name in ('encoder', 'decoder')]
    if kind == 't5gemma2' and isinstance(stacks[0], Mapping) and 'text_config' in stacks[0]:
        outer = dict(stacks[0])
        stacks[0] = outer.pop('text_config')
        refuse_rest({**outer, 'vocab_size': None, 'tie_word_embeddings': None}, 'encoder.')
    if not all(isinstance(stack, Mapping) for stack in stacks):
        raise ValueError(f'config.json lacks encoder or decoder; expected both of a {kind}')
    top = {'tie_word_embeddings': rest.pop('tie_word_embeddings', True)}
    if 'dropout_rate' in rest:
        top['dropout_rate'] = rest.pop('dropout_rate')
    rest.pop('vocab_size', None)
    refuse_rest(rest, '')
    begin = stacks[1].get('bos_token_id', 2)
    if not isinstance(begin, int):
        raise ValueError(f'config.json says decoder.bos_token_id {begin!r}; expected the id of <bos>')
    encoder, decoder = (
        stack_fields({**stack, **top}, kind, T5GEMMA_KINDS[kind], f'{name}.')
        for name, stack in zip(('encoder', 'decoder'), stacks, strict=True)
    )
    return T5GemmaConfig(
        **decoder,
        version=1 if kind == 't5gemma' else 2,
        encoder=None if encoder == decoder else RotaryConfig(**encoder),
        begin_id=begin,
        dtype='float32',
    )


def stack_fields(
    described: Mapping[str, Any], kind: str, fields: Mapping[str, Any], where: str = ''
) -> dict[str, Any]:
    """Convert what a config.json says of one stack to fields of a `RotaryConfig`.

    Args:
        described: what it says.
        kind: its model_type; transformers' defaults differ by it.
        fields: what the kind has in all its sizes.
        where: what stands before the names of fields in errors.
    """
    rest = {**DEFAULTS.get(kind, {}), **described}

    def number(name: str, default: Any = None) -> Any:
        found = rest.pop(name, None)
        item = default if found is None else found
        if not isinstance(item, int | float) or isinstance(item, bool) or item <= 0:
            raise ValueError(f'config.json says {where}{name} {item!r}; expected a number above 0')
        return item

    def size(name: str, default: int | None = None) -> int:
        item = number(name, default)
        if not isinstance(item, int):
            raise ValueError(f'config.json says {where}{name} {item!r}; expected a whole number')
        return item

    gemma = fields.get('scale_embedding', False)
    width, heads, layers = (
        size(name) for name in ('hidden_size', 'num_attention_heads', 'num_hidden_layers')
    )
    tied = rest.pop('tie_word_embeddings', gemma)
    if not isinstance(tied, bool):
        raise ValueError(f'config.json says {where}tie_word_embeddings {tied!r}; expected true or false')
    newer, older = rest.pop('hidden_activation', None), rest.pop('hidden_act', None)
    read = newer if fields.get('norms') == 'pre_and_post' else older  # the one that transformers reads
    activation = read or ('gelu_pytorch_tanh' if gemma else 'silu')
    if (kind, activation) == ('gemma', 'gelu'):  # as early releases have it, which meant the approximation
        activation = 'gelu_pytorch_tanh'
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise ValueError(
            f'config.json says {where}hidden_act {activation!r}; expected one of {", ".join(ACTIVATIONS)}'
        )
    converted = {
        **fields,
        'vocab_size': size('vocab_size'),
        'emb_dim': width,
        'num_heads': heads,
        'num_kv_heads': size('num_key_value_heads', heads),
        'head_dim': size('head_dim', 256 if gemma else width // heads),
        'mlp_dim': size('intermediate_size'),
        'num_layers': layers,
        'mlp_activations': (ACTIVATIONS[activation], 'linear'),
        'norm_epsilon': number('rms_norm_eps', 1e-6),
        'logits_via_embedding': tied,
        'dropout_rate': rest.pop('dropout_rate', None) or 0.0,
        'windows': windows(rest, kind, layers, where),
    }
    if fields.get('norms') == 'pre_and_post':  # from Gemma 2 on
        scalar = number('query_pre_attn_scalar', 256)
        if scalar != converted['head_dim']:
            converted['query_scale'] = scalar**-0.5
        converted['logits_soft_cap'] = rest.pop('final_logit_softcapping', None) or 0.0
        if kind in ('gemma2', 't5gemma'):
            converted['attention_soft_cap'] = rest.pop('attn_logit_softcapping', None) or 0.0
        # transformers' Gemma 3 and T5Gemma 2 do not read it.
        elif rest.pop('attn_logit_softcapping', None):
            raise ValueError(
                f'config.json says {where}attn_logit_softcapping, which no {kind} has; expected null'
            )
    converted |= ropes(rest, kind, where)
    refuse_rest(rest, where)
    return converted


def windows(rest: dict[str, Any], kind: str, layers: int, where: str) -> tuple[int, ...]:
    """Read the window of each layer, in `RotaryConfig`'s sense; take what is read out of `rest`."""
    width, types = rest.pop('sliding_window', None), rest.pop('layer_types', None)
    uses, first = rest.pop('use_sliding_window', None), rest.pop('max_window_layers', 0)
    period = rest.pop('sliding_window_pattern', None)
    if 'windows' not in SAYS[kind]:
        types = [GLOBAL] * layers
    elif kind == 'mistral':
        types = [GLOBAL if width is None else LOCAL] * layers
    elif kind in ('qwen2', 'qwen3'):
        width = width if uses else None
        if not isinstance(first, int):
            raise ValueError(f'config.json says {where}max_window_layers {first!r}; expected a number')
        types = types or [GLOBAL if width is None or i < first else LOCAL for i in range(layers)]
    elif types is None:
        period = 2 if kind in ('gemma2', 't5gemma') else period or 6
        types = [LOCAL if (i + 1) % period else GLOBAL for i in range(layers)]
    if unknown := [each for each in types if each not in (LOCAL, GLOBAL)]:
        raise ValueError(f'config.json says {where}layer_types {unknown[0]!r}; expected {LOCAL}, {GLOBAL}')
    if len(types) < layers or (LOCAL in types and (not isinstance(width, int) or width < 1)):
        raise ValueError(
            f'config.json says {where}layer_types of {len(types)} layers and sliding_window {width!r}; '
            f'expected {layers} layers and a number above 0'
        )
    sizes = tuple(width if each == LOCAL else 0 for each in types[:layers])
    # The shortest pattern that gives them all.
    for length in range(1, layers + 1):
        if all(sizes[i] == sizes[i % length] for i in range(layers)):
            return sizes[:length]
    return sizes


def ropes(rest: dict[str, Any], kind: str, where: str) -> dict[str, Any]:
    """Read the rotary positions, as transformers 5 writes them (`rope_parameters`, for each type of layer
    where these differ) or as 4 did; take what is read out of `rest`.
    """
    two = kind in ('gemma3_text', 't5gemma2')
    told, scaling = (rest.pop(name, None) or {} for name in ('rope_parameters', 'rope_scaling'))
    theta = rest.pop('rope_theta', None) or (1e6 if two else 1e4)
    local_theta = rest.pop('rope_local_base_freq', None) or 1e4
    nested = LOCAL in told or GLOBAL in told
    parts = [told, scaling, *(told.get(name) or {} for name in (LOCAL, GLOBAL) if nested)]
    if not all(isinstance(part, Mapping) for part in parts) or (told and (scaling or (two and not nested))):
        raise ValueError(
            f'config.json says {where}rope_parameters {told!r} and rope_scaling {scaling!r}; expected one of '
            f'them, an object{f", with one for {GLOBAL} and one for {LOCAL}" if two else ""}'
        )
    whole = dict(told.get(GLOBAL) or {} if nested else told) or dict(scaling)
    local = dict(told.get(LOCAL) or {}) if nested else {}
    length = rest.get('max_position_embeddings')
    fields = rope_fields(whole, theta, length, where)
    if two:
        own = rope_fields(local, local_theta, length, where)
        if own['rope_scaling'] != 'none':
            raise ValueError(
                f'config.json stretches the rotary positions of {where}{LOCAL}; expected rope_type default'
            )
        fields['local_rope_theta'] = own['rope_theta']
    elif nested and local and rope_fields(local, theta, length, where) != fields:
        raise ValueError(
            f'config.json says two rotary positions in {where}rope_parameters; expected one for all layers '
            f'of a {kind}'
        )
    return fields


def rope_fields(told: dict[str, Any], theta: float, length: int | None, where: str) -> dict[str, Any]:
    """Read the rotary positions of one type of layer."""
    told = dict(told)
    kinds = [each for each in (told.pop('rope_type', None), told.pop('type', None)) if each]
    kind = str(kinds[0]) if kinds else 'default'
    needs = {'linear': ['factor'], 'llama3': ['factor', 'low_freq_factor', 'high_freq_factor']}.get(kind, [])
    if missing := [name for name in needs if not isinstance(told.get(name), int | float)]:
        raise ValueError(
            f'config.json says {where}rope_type {kind!r} and no {", ".join(missing)}; expected a number for '
            'each'
        )
    fields: dict[str, Any] = {'rope_theta': told.pop('rope_theta', theta), 'rope_scaling': 'none'}
    if kind in ('linear', 'llama3'):
        fields |= {'rope_scaling': kind, 'rope_factor': told.pop('factor')}
    elif kind != 'default':
        raise ValueError(f'config.json says {where}rope_type {kind!r}; expected default, linear or llama3')
    if kind == 'llama3':
        fields |= {
            'rope_low_freq_factor': told.pop('low_freq_factor'),
            'rope_high_freq_factor': told.pop('high_freq_factor'),
            'rope_original_length': told.pop('original_max_position_embeddings', length),
        }
    if told.pop('partial_rotary_factor', 1.0) != 1.0:
        raise ValueError(f'config.json says {where}partial_rotary_factor; expected 1, every entry turned')
    if kind == 'default':  # what a table of another kind left there
        told = {}
    if told:
        raise ValueError(
            f'config.json says {", ".join(sorted(told))} of the rotary positions, which {kind} does not have'
        )
    return fields


def refuse_rest(rest: Mapping[str, Any], where: str) -> None:
    """Raise a `ValueError` if a field that was not read might change numbers."""
    for name, item in rest.items():
        if name in FIXED and item not in FIXED[name]:
            raise ValueError(f'config.json says {where}{name} {item!r}; expected {FIXED[name][0]!r}')
        if name not in FIXED and item is not None and not HARMLESS.fullmatch(name):
            raise ValueError(
                f'config.json says {where}{name} {item!r}, which is not known here; take it out if it '
                'changes no logits'
            )


# What a model_type can say beside the fields that it fixes.
SAYS: dict[str, tuple[str, ...]] = {
    'llama': (),
    'mistral': ('windows',),
    'qwen2': ('windows',),
    'qwen3': ('windows',),
    'gemma': (),
    'gemma2': ('windows', 'query_scale', 'attention_soft_cap', 'logits_soft_cap'),
    'gemma3_text': ('windows', 'query_scale', 'logits_soft_cap', 'local_rope_theta'),
    'olmo2': (),
    't5gemma': ('windows', 'query_scale', 'attention_soft_cap', 'logits_soft_cap'),
    't5gemma2': ('windows', 'query_scale', 'logits_soft_cap', 'local_rope_theta'),
}
ARCHITECTURES = {
    'llama': 'LlamaForCausalLM',
    'mistral': 'MistralForCausalLM',
    'qwen2': 'Qwen2ForCausalLM',
    'qwen3': 'Qwen3ForCausalLM',
    'gemma': 'GemmaForCausalLM',
    'gemma2': 'Gemma2ForCausalLM',
    'gemma3_text': 'Gemma3ForCausalLM',
    'olmo2': 'Olmo2ForCausalLM',
    't5gemma': 'T5GemmaForConditionalGeneration',
    't5gemma2': 'T5Gemma2ForConditionalGeneration',
}


def config_to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """Convert a config to the content of a config.json.

    Raises:
        ValueError: transformers has no such model.
    """
    assert isinstance(config, RotaryConfig)
    if isinstance(config, T5GemmaConfig):
        kind = 't5gemma' if config.version == 1 else 't5gemma2'
        require_kind(config, [kind])
        require_kind(config.encoder_stack, [kind])
        encoder, decoder = (
            {**described_stack(stack, kind), 'bos_token_id': config.begin_id}
            for stack in (config.encoder_stack, config)
        )
        if kind == 't5gemma2':
            encoder = {
                'model_type': 't5gemma2_encoder',
                'text_config': encoder | {'model_type': 't5gemma2_text'},
            }
            decoder |= {'model_type': 't5gemma2_decoder'}
        else:
            encoder |= {'model_type': 't5_gemma_module'}
            decoder |= {'model_type': 't5_gemma_module', 'is_decoder': True}
            decoder['cross_attention_hidden_size'] = config.encoder_stack.emb_dim
        return {
            'architectures': [ARCHITECTURES[kind]],
            'model_type': kind,
            'encoder': encoder,
            'decoder': decoder,
            'is_encoder_decoder': True,
            'tie_word_embeddings': config.logits_via_embedding,
            'dropout_rate': config.dropout_rate,
            'vocab_size': config.vocab_size,
            'dtype': 'float32',
        }
    assert isinstance(config, LlamaConfig)
    if config.prefix_lm:
        raise ValueError(
            'transformers has no prefix LM, and would compute other logits; --form=safetensors writes a file '
            'of ours'
        )
    kind = require_kind(config, LLAMA_KINDS)
    return {
        'architectures': [ARCHITECTURES[kind]],
        **described_stack(config, kind),
        'model_type': kind,
        'dtype': 'float32',
    }


def require_kind(config: RotaryConfig, kinds: Iterable[str]) -> str:
    """Find the first model_type that can say all of a config; a `ValueError` if there is none."""
    usual = {field.name: field.default for field in dataclasses.fields(RotaryConfig)}
    special = ('norms', 'qk_norm', 'qkv_bias', 'scale_embedding', 'windows', 'query_scale')
    special += ('attention_soft_cap', 'logits_soft_cap', 'local_rope_theta')
    differs: dict[str, list[str]] = {}
    for kind in kinds:
        fixed = {**usual, **(LLAMA_KINDS | T5GEMMA_KINDS)[kind]}
        differs[kind] = [
            name for name in special if name not in SAYS[kind] and getattr(config, name) != fixed[name]
        ]
        if kind == 'mistral' and len(set(config.windows)) > 1:
            differs[kind].append('windows')
        if not differs[kind]:
            return kind
    kind, least = min(differs.items(), key=lambda item: len(item[1]))
    told = ', '.join(f'{name} {getattr(config, name)!r}' for name in least)
    raise ValueError(
        f'transformers has no model with these fields together; the nearest, {kind}, has no {told}; '
        '--form=safetensors writes a file of ours'
    )


def described_stack(config: RotaryConfig, kind: str) -> dict[str, Any]:
    """Write what a config.json says of one stack."""
    activation, *linear = config.mlp_activations
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    if linear != ['linear'] or activation not in names:
        raise ValueError(
            f'transformers has no {kind} with mlp_activations {config.mlp_activations}; expected silu or '
            'gelu and linear'
        )
    rope = {'rope_theta': config.rope_theta, 'rope_type': 'default'}
    if config.rope_scaling != 'none':
        rope |= {'rope_type': config.rope_scaling, 'factor': config.rope_factor}
    if config.rope_scaling == 'llama3':
        rope |= {
            'low_freq_factor': config.rope_low_freq_factor,
            'high_freq_factor': config.rope_high_freq_factor,
            'original_max_position_embeddings': config.rope_original_length,
        }
    if 'local_rope_theta' in SAYS[kind]:
        local = config.local_rope_theta or config.rope_theta
        if config.local_rope_theta is None and config.rope_scaling != 'none' and any(config.windows):
            raise ValueError(
                f'a {kind} of transformers stretches no rotary positions within windows, as rope_scaling '
                f'{config.rope_scaling!r} without local_rope_theta does; --form=safetensors writes a file of '
                'ours'
            )
        rope = {GLOBAL: rope, LOCAL: {'rope_theta': local, 'rope_type': 'default'}}
    described = {
        'vocab_size': config.vocab_size,
        'hidden_size': config.emb_dim,
        'intermediate_size': config.mlp_dim,
        'num_hidden_layers': config.num_layers,
        'num_attention_heads': config.num_heads,
        'num_key_value_heads': config.num_kv_heads,
        'head_dim': config.head_dim,
        'rms_norm_eps': config.norm_epsilon,
        'tie_word_embeddings': config.logits_via_embedding,
        'rope_parameters': rope,
        'attention_dropout': 0.0,
    }
    gemma_2 = config.norms == 'pre_and_post'
    described['hidden_activation' if gemma_2 else 'hidden_act'] = names[activation]
    if gemma_2:
        scalar = (config.query_scale or config.head_dim**-0.5) ** -2
        described['query_pre_attn_scalar'] = (
            round(scalar) if abs(scalar - round(scalar)) < 1e-6 * scalar else scalar
        )
        described['final_logit_softcapping'] = config.logits_soft_cap or None
        described['attn_logit_softcapping'] = config.attention_soft_cap or None
    if 'windows' in SAYS[kind]:
        sizes = config.layer_windows
        if len(set(sizes) - {0}) > 1:
            raise ValueError(
                f'transformers has one width for all windows of a {kind}; got {sorted(set(sizes) - {0})}'
            )
        described['sliding_window'] = max(sizes) or (4096 if gemma_2 else None)
        if kind != 'mistral':
            described['layer_types'] = [LOCAL if size else GLOBAL for size in sizes]
        if kind in ('qwen2', 'qwen3'):
            described['use_sliding_window'] = any(sizes)
    return described
