"""Adapters in the folders of Hugging Face's PEFT, `adapter_config.json` and `adapter_model.safetensors`, to
ours and back.

A field of adapter_config.json is either read here, or known to change no number (`HARMLESS`), or has the one
value that our adapters have (`FIXED`). Any other is refused by its name.
"""

import json
import math
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from flanlite.model.adapters import PART, Adapter
from flanlite.model.linear_adapters import IA3, LoRA
from flanlite.model.llama import LlamaConfig
from flanlite.model.models import ModelConfig
from flanlite.model.rotary import RotaryConfig
from flanlite.model.soft_prefix import SoftPrefix
from flanlite.model.soft_prompt import ONE, SoftPrompt, SoftTokens, prompts_of
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import huggingface, huggingface_config, interop, lazy, released, soft_prompts
from flanlite.training.lazy import LazyArray
from flanlite.writing import whole_folder

CONFIG_FILE, TENSORS_FILE = 'adapter_config.json', 'adapter_model.safetensors'
PREFIX = 'base_model.model.'  # of the tensors' names
# PEFT's name of a tensor, behind that of its linear map -> ours.
TENSORS = {'lora_A.weight': 'lora_a', 'lora_B.weight': 'lora_b', 'ia3_l': 'ia3'}
PROMPT = 'prompt_embeddings'  # the name of a soft prompt's or a prefix's tensor
FACTORS = ('prefix_task_cols', 'prefix_task_rows')  # of a prompt for several tasks, beside it
KINDS = ('LORA', 'IA3', 'PROMPT_TUNING', 'MULTITASK_PROMPT_TUNING', 'PREFIX_TUNING')
TABLES = ('lm_head', 'embed_tokens', 'shared')  # the last parts of the names of embeddings and logits
LAYER = re.compile(r'(\.layers\.|\.block\.|^layers\.)\d+(\.)')  # in the name of a tensor
PREFIXED = 'decoder/layers/self_attention'  # where a prefix is
TASKS = {'encoder_decoder': 'SEQ_2_SEQ_LM'}  # by the layout of batches; CAUSAL_LM for others

HARMLESS = re.compile(
    r'auto_mapping|base_model_class|base_model_name_or_path|revision|inference_mode|task_type|peft_type|'
    r'peft_version|target_modules|feedforward_modules|init_lora_weights|init_ia3_weights|lora_dropout|'
    r'(r|lora_alpha|use_rslora)|runtime_config|loftq_config|megatron_\w+|eva_config|corda_config|'
    r'layers_to_transform|layers_pattern|exclude_modules|qalora_group_size|ensure_weight_tying|'
    r'fan_in_fan_out|'  # of a linear map PEFT takes it as false
    r'num_transformer_submodules|'  # see `_check_prompt`
    r'num_virtual_tokens|token_dim|num_attention_heads|num_layers|num_tasks|num_ranks|prompt_tuning_init\w*|'
    r'tokenizer_name_or_path|tokenizer_kwargs|'
    r'prefix_projection|encoder_hidden_size|init_weights'  # a prefix is saved as its projection made it
)
# Fields with the values that say nothing, which are the ones that our adapters have.
FIXED: dict[str, tuple[Any, ...]] = {
    'bias': ('none',),
    'init_lora_weights': (True, False, 'gaussian', 'eva', 'orthogonal', None),
}
NOTHING = (None, False, {}, [])


def holds(path: pathlib.Path) -> bool:
    """Return whether there is an adapter of PEFT at a path."""
    return (path / CONFIG_FILE).is_file()


def base_of(path: pathlib.Path) -> str:
    """Return the model that an adapter's folder names as its base."""
    return released.read_json(path / CONFIG_FILE).get('base_model_name_or_path') or '(not named)'


def read(path: pathlib.Path, config: ModelConfig) -> tuple[Adapter, dict[str, LazyArray]]:
    """Read an adapter of PEFT.

    Args:
        path: the folder.
        config: the model's that it belongs to.

    Returns:
        The adapter, and its parameters by our names.

    Raises:
        ValueError: a file is missing, or the adapter is of another kind than ours, or of another model.
    """
    described = released.read_json(path / CONFIG_FILE)
    kind = described.get('peft_type')
    if kind not in KINDS:
        raise ValueError(
            f'{path}/{CONFIG_FILE} has peft_type {kind!r}; expected one of {", ".join(KINDS)}, which are '
            'read here'
        )
    for field, found in described.items():
        allowed = FIXED.get(field, () if HARMLESS.fullmatch(field) else NOTHING)
        if allowed and found not in allowed:
            raise ValueError(
                f'{path}/{CONFIG_FILE} has {field} {found!r}, which would change the numbers and is not '
                f'supported; expected {allowed[0]!r}'
            )
    if not (path / TENSORS_FILE).is_file():
        raise ValueError(f'{path} has no {TENSORS_FILE}; write it with save_pretrained of peft')
    if kind == 'PREFIX_TUNING':
        return _read_prefix(path, config, described)
    if kind in KINDS[2:]:
        return _read_prompts(path, config, described)
    apart: dict[str, dict[str, LazyArray]] = {}
    for name, tensor in released.safetensors_arrays(path / TENSORS_FILE):
        place = name.removeprefix(PREFIX)
        linear, ours = next(
            (
                (place.removesuffix(f'.{last}'), ours)
                for last, ours in TENSORS.items()
                if place.endswith(f'.{last}')
            ),
            (place, None),
        )
        if linear.rpartition('.')[2] in TABLES:
            raise ValueError(
                f'{path}/{TENSORS_FILE} holds {name}, of an adapter of embeddings or logits, which is not '
                'supported; expected those of linear maps in the layers'
            )
        if ours is None or len(tensor.shape) != 2:
            raise ValueError(
                f'{path}/{TENSORS_FILE} holds {name} {tensor.shape}; expected matrices named '
                f'*.{", *.".join(TENSORS)}'
            )
        apart.setdefault(ours, {})[f'{linear}.weight'] = tensor
    params, inputs = {}, []
    for ours, tensors in apart.items():
        for kernel, value in _from_huggingface(_in_all_layers(tensors, config, ours), config).items():
            linear = kernel.removesuffix('/kernel')
            if ours == 'ia3':
                # [layers, 1, outputs] or, of a map whose inputs are multiplied, [layers, inputs, 1].
                inputs += [linear] * (value.shape[-1] == 1)
                value = lazy.from_numpy(value.to_numpy().reshape(value.shape[0], -1))
            params[f'{linear}/{PART}/{ours}'] = value
    targets = tuple(sorted({re.escape(name.rsplit(f'/{PART}/')[0]) for name in params}))
    if not targets:
        raise ValueError(f'{path}/{TENSORS_FILE} holds no tensors')
    if kind == 'IA3':
        return IA3(targets, input_targets=tuple(map(re.escape, sorted(inputs)))), params
    scale = {'rank': described.get('r', 8), 'alpha': float(described.get('lora_alpha', 8))}  # PEFT's own
    scale['rank_stabilized'] = bool(described.get('use_rslora'))
    return LoRA(targets, **scale, dropout=described.get('lora_dropout') or 0.0), params


def _in_all_layers(tensors: Mapping[str, LazyArray], config: ModelConfig, ours: str) -> dict[str, LazyArray]:
    """Add what changes nothing for the layers that an adapter leaves as they are: ours are stacked."""
    found, shapes = dict(tensors), {}
    for name, tensor in tensors.items():
        shapes.setdefault(LAYER.sub(r'\g<1>{}\g<2>', name), tensor.shape)
    for name, shape in shapes.items():
        for layer in range(_layers_of(name, config) if '{}' in name else 0):
            nothing = np.full(shape, 1.0 if ours == 'ia3' else 0.0, np.float32)
            found.setdefault(name.replace('{}', str(layer)), lazy.from_numpy(nothing))
    return found


def _layers_of(name: str, config: ModelConfig) -> int:
    """Return how many layers the stack has that a Hugging Face tensor is of."""
    encoders = 'encoder' in name.split('.')
    if isinstance(config, T5GemmaConfig):
        return (config.encoder_stack if encoders else config).num_layers
    if isinstance(config, RotaryConfig):
        return config.num_layers
    return config.num_encoder_layers if encoders else config.num_decoder_layers


def _check_prompt(described: Mapping[str, Any], rows: int, path: pathlib.Path) -> None:
    """Refuse a prompt that stands before a decoder's inputs, too, or has other rows than it says."""
    modules = described.get('num_transformer_submodules')
    if modules is None:  # which PEFT takes for this
        modules = 2 if described.get('task_type') == 'SEQ_2_SEQ_LM' else 1
    if modules != 1:
        raise ValueError(
            f'{path}/{CONFIG_FILE} has num_transformer_submodules {modules}, which is 2 for SEQ_2_SEQ_LM '
            "where it is not said: a prompt before the decoder's inputs, too, is not supported; expected 1"
        )
    if described.get('num_virtual_tokens', rows) != rows:
        raise ValueError(
            f'{path}/{CONFIG_FILE} has num_virtual_tokens {described["num_virtual_tokens"]}, and '
            f'{TENSORS_FILE} has {rows} rows; expected as many'
        )


def _read_prompts(
    path: pathlib.Path, config: ModelConfig, described: Mapping[str, Any]
) -> tuple[Adapter, dict[str, LazyArray]]:
    """Read a soft prompt, or the prompts of several tasks, which are named by their numbers."""
    found = {name: each.to_numpy() for name, each in released.safetensors_arrays(path / TENSORS_FILE)}
    if set(found) not in ({PROMPT}, {PROMPT, *FACTORS}):
        raise ValueError(
            f'{path}/{TENSORS_FILE} holds {", ".join(sorted(found))}; expected {PROMPT}, and of several '
            f'tasks {" and ".join(FACTORS)}'
        )
    shared = soft_prompts.check_rows(found[PROMPT], path / TENSORS_FILE)
    _check_prompt(described, len(shared), path)
    prompts = {ONE: shared}
    if len(found) > 1:
        columns, rows = (found[name].astype(np.float32) for name in FACTORS)
        tasks, ranks = (*columns.shape, 0)[0], (*columns.shape, 0)[-2]
        if columns.shape != (tasks, len(shared), ranks) or rows.shape != (tasks, ranks, shared.shape[1]):
            raise ValueError(
                f'{path}/{TENSORS_FILE} holds {FACTORS[0]} {list(columns.shape)} and {FACTORS[1]} '
                f'{list(rows.shape)}; expected [tasks, {len(shared)}, ranks] and [tasks, ranks, '
                f'{shared.shape[1]}]'
            )
        prompts = {str(task): shared * (columns[task] @ rows[task]) for task in range(len(rows))}
    scaled = {name: rows_PD * _prompt_scale(config) for name, rows_PD in prompts.items()}
    return soft_prompts.as_adapter(scaled, config, path)


def _read_prefix(
    path: pathlib.Path, config: ModelConfig, described: Mapping[str, Any]
) -> tuple[Adapter, dict[str, LazyArray]]:
    """Read a prefix: each layer's keys and then its values stand beside each other in a row."""
    _check_prefix(config)
    found = {name: each.to_numpy() for name, each in released.safetensors_arrays(path / TENSORS_FILE)}
    width = 2 * config.num_layers * _joined(config)
    if set(found) != {PROMPT} or found[PROMPT].ndim != 2 or found[PROMPT].shape[1] != width:
        shapes = ', '.join(f'{name} {list(each.shape)}' for name, each in found.items())
        raise ValueError(
            f'{path}/{TENSORS_FILE} holds {shapes}; expected {PROMPT} [length, {width}], as the model has '
            f'{config.num_layers} layers, whose keys and values have {_joined(config)} numbers each'
        )
    _check_prompt(described, len(found[PROMPT]), path)
    rows = found[PROMPT].reshape(-1, config.num_layers, 2, _joined(config))
    params = {
        f'{PREFIXED}/{PART}/{kind}/{ONE}': lazy.from_numpy(np.ascontiguousarray(rows[:, :, i].swapaxes(0, 1)))
        for i, kind in enumerate(('keys', 'values'))
    }
    return SoftPrefix(length=len(rows)), params


def _check_prefix(config: ModelConfig) -> None:
    if not isinstance(config, LlamaConfig):
        raise ValueError(
            f'PEFT puts the prefix of an encoder-decoder before its targets, and ours stand before inputs; '
            f"its prefixes are read and written for decoders of Llama's kind, and the model is a "
            f'{type(config).__name__}'
        )


def _joined(config: LlamaConfig) -> int:
    """Return how many numbers a key has in all heads."""
    return config.num_kv_heads * config.head_dim


def _prompt_scale(config: ModelConfig) -> float:
    """Return what transformers multiplies a prompt with in the model: T5Gemma's embeddings are scaled after
    they are looked up, where the prompt is among them already.
    """
    if not isinstance(config, T5GemmaConfig) or config.version != 1:
        return 1.0
    encoder = config.encoder_stack
    return math.sqrt(encoder.emb_dim) if encoder.scale_embedding else 1.0


def write(path: pathlib.Path, config: ModelConfig, params: Mapping[str, Any], base: str) -> None:
    """Write a model's adapter as PEFT reads it.

    Args:
        path: the folder; it is created, and must not hold an adapter yet.
        config: the model's, with the adapter.
        params: the adapter's, a nested dict.
        base: names the model that it belongs to.

    Raises:
        ValueError: the folder holds an adapter, or the model has none that PEFT knows.
    """
    adapter = config.adapter
    if type(adapter) not in (LoRA, IA3, SoftPrompt, SoftPrefix):
        raise ValueError(
            f'the model has {"no adapter" if adapter is None else f"the adapter {type(adapter).__name__}"}; '
            'PEFT has folders for LoRA, IA3, SoftPrompt and SoftPrefix'
        )
    if isinstance(adapter, SoftTokens) and adapter.tasks:
        raise ValueError(
            f'the model has {len(adapter.tasks)} soft prompts, and a folder of PEFT holds one'
            + ('; --form=npy writes each' if isinstance(adapter, SoftPrompt) else '')
        )
    if isinstance(adapter, SoftPrefix):
        _check_prefix(config)
    if holds(path):
        raise ValueError(f'{path} holds an adapter already; name another folder')
    described = {
        'task_type': TASKS.get(config.converter, 'CAUSAL_LM'),
        'base_model_name_or_path': base,
        'inference_mode': True,
    }
    if isinstance(adapter, SoftPrompt):
        rows_PD = np.asarray(prompts_of(params)[ONE], np.float32) / _prompt_scale(config)
        described |= {'peft_type': 'PROMPT_TUNING', 'prompt_tuning_init': 'RANDOM'}
        described |= {'num_virtual_tokens': adapter.length, 'token_dim': rows_PD.shape[1]}
        described |= {'num_transformer_submodules': 1}
        # Not told by PEFT for all models, and not used for a prompt.
        described |= {'num_attention_heads': config.num_heads, 'num_layers': 1}
        _save(path, described, {PROMPT: lazy.from_numpy(rows_PD)})
        return
    if isinstance(adapter, SoftPrefix):
        own = traverse_util.flatten_dict(params, sep='/')
        kept = [np.asarray(own[f'{PREFIXED}/{PART}/{kind}/{ONE}'], np.float32) for kind in ('keys', 'values')]
        rows = np.stack(kept, axis=2).swapaxes(0, 1).reshape(adapter.length, -1)
        described |= {'peft_type': 'PREFIX_TUNING', 'prefix_projection': False}
        described |= {'num_virtual_tokens': adapter.length, 'num_layers': config.num_layers}
        described |= {'token_dim': _joined(config), 'num_attention_heads': config.num_kv_heads}
        described |= {'num_transformer_submodules': 1}
        _save(path, described, {PROMPT: lazy.from_numpy(np.ascontiguousarray(rows))})
        return
    tensors, modules, feedforward, nested = {}, set(), set(), _is_nested(base)
    for name, value in traverse_util.flatten_dict(params, sep='/').items():
        linear, ours = name.rsplit(f'/{PART}/')
        theirs = next(last for last, own in TENSORS.items() if own == ours)
        array = np.asarray(value)
        if ours == 'ia3':
            of_inputs = adapter.of_inputs(linear)
            array = array[..., :, None] if of_inputs else array[..., None, :]
        for weight, tensor in _to_huggingface({f'{linear}/kernel': lazy.from_numpy(array)}, config).items():
            module = weight.removesuffix('.weight')
            if nested:
                module = module.replace('model.', 'model.language_model.', 1)
            modules.add(module)
            if ours == 'ia3' and of_inputs:
                feedforward.add(module)
            tensors[f'{PREFIX}{module}.{theirs}'] = tensor
    described['target_modules'] = sorted(modules)
    if isinstance(adapter, LoRA):
        described |= {'peft_type': 'LORA'}
        described |= {'r': adapter.rank, 'lora_alpha': adapter.alpha, 'use_rslora': adapter.rank_stabilized}
        described |= {'lora_dropout': adapter.dropout, 'bias': 'none', 'fan_in_fan_out': False}
    else:
        described |= {'peft_type': 'IA3', 'feedforward_modules': sorted(feedforward)}
    _save(path, described, tensors)


def _is_nested(base: str) -> bool:
    """Return whether a model's Hugging Face folder is of one with pictures, whose layers lie deeper there."""
    file = pathlib.Path(base) / released.CONFIG_FILE
    return file.is_file() and released.read_json(file).get('model_type') in huggingface_config.NESTED


def _save(path: pathlib.Path, described: Mapping[str, Any], tensors: Mapping[str, LazyArray]) -> None:
    with whole_folder(path) as folder:
        released.write_tensors(folder / TENSORS_FILE, tensors, {'format': 'pt'})
        (folder / CONFIG_FILE).write_text(json.dumps(described, indent=1) + '\n')


def _from_huggingface(tensors: Mapping[str, LazyArray], config: ModelConfig) -> dict[str, LazyArray]:
    if isinstance(config, RotaryConfig):
        return huggingface.params_from_huggingface(tensors, config)
    return interop.from_huggingface(tensors)


def _to_huggingface(params: Mapping[str, LazyArray], config: ModelConfig) -> dict[str, LazyArray]:
    if isinstance(config, RotaryConfig):
        return huggingface.params_to_huggingface(params, config)
    return interop.to_huggingface(params)
