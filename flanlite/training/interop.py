"""Convert names and layouts of parameters between T5X, Hugging Face and flanlite.

Our parameters have the names of T5X's `t5` network, but the layers of a stack are stacked on axis 0:
`encoder/layers/mlp/wo/kernel` in place of `encoder/layers_0/mlp/wo/kernel`, ... Everything works on lazy
arrays, so a conversion reads nothing (see `lazy`).
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.models import ModelConfig
from flanlite.model.t5 import T5Config
from flanlite.training import lazy
from flanlite.training.lazy import LazyArray

LazyArrays = dict[str, LazyArray]

# T5X's networks name their layers `encoder/layers_3/...` (t5), or `encoder/encoder/...` with layers stacked
# on axis 1 (scalable_t5).
UNSCANNED_LAYER = re.compile(r'^(encoder|decoder)/layers_(\d+)/(.*)$')
SCANNED_LAYER = re.compile(r'^(encoder|decoder)/\1/(.*)$')
SCAN_AXIS = 1
# Names in Adafactor's state: optax's -> T5X's.
T5X_SLOTS = {'v_row': 'v_row', 'v_col': 'v_col', 'v': 'v', 'ema': 'm'}

HF_BLOCK = re.compile(r'^(encoder|decoder)\.block\.(\d+)\.layer\.(.*)\.weight$')
HF_BIAS = '0.SelfAttention.relative_attention_bias'
# Hugging Face's names within a block -> T5X's within a layer.
HF_LAYER = {
    'encoder': {
        '0.layer_norm': 'pre_attention_layer_norm/scale',
        '0.SelfAttention': 'attention',
        '1.layer_norm': 'pre_mlp_layer_norm/scale',
        '1.DenseReluDense': 'mlp',
        HF_BIAS: 'relpos_bias/rel_embedding',
    },
    'decoder': {
        '0.layer_norm': 'pre_self_attention_layer_norm/scale',
        '0.SelfAttention': 'self_attention',
        '1.layer_norm': 'pre_cross_attention_layer_norm/scale',
        '1.EncDecAttention': 'encoder_decoder_attention',
        '2.layer_norm': 'pre_mlp_layer_norm/scale',
        '2.DenseReluDense': 'mlp',
        HF_BIAS: 'relpos_bias/rel_embedding',
    },
}
HF_KERNELS = {
    'q': 'query',
    'k': 'key',
    'v': 'value',
    'o': 'out',
    'wi': 'wi',
    'wi_0': 'wi_0',
    'wi_1': 'wi_1',
    'wo': 'wo',
}
HF_TOP = {
    'shared.weight': 'token_embedder/embedding',
    'encoder.final_layer_norm.weight': 'encoder/encoder_norm/scale',
    'decoder.final_layer_norm.weight': 'decoder/decoder_norm/scale',
    'lm_head.weight': 'decoder/logits_dense/kernel',
}
# Names of one and the same array.
HF_EMBEDDINGS = (
    'shared.weight',
    'encoder.embed_tokens.weight',
    'decoder.embed_tokens.weight',
)
# Early checkpoints hold a bias that no network uses.
HF_UNUSED = re.compile(r'EncDecAttention\.relative_attention_bias')
MODEL_TYPES = ('t5', 'mt5', 'umt5')
HF_SIZES = ('vocab_size', 'd_model', 'num_heads', 'num_layers', 'd_kv', 'd_ff')
HF_FIXED = {
    'relative_attention_num_buckets': 32,
    'relative_attention_max_distance': 128,
    'layer_norm_epsilon': 1e-6,
    'decoder_start_token_id': 0,
}
# `feed_forward_proj` in Hugging Face's config.json -> T5X's activations. 'gelu' alone is missing: there it is
# the exact function, not the approximation that T5 uses.
HF_MLPS = {
    'relu': ('relu',),
    'silu': ('silu',),
    'gelu_new': ('gelu',),
    'gated-gelu': ('gelu', 'linear'),
    'gated-gelu_new': ('gelu', 'linear'),
    'gated-relu': ('relu', 'linear'),
    'gated-silu': ('silu', 'linear'),
    'gated-swish': ('silu', 'linear'),
}


def stack_layers(flat: Mapping[str, LazyArray]) -> LazyArrays:
    """Convert the parameters of T5X's `t5`, `scalable_t5` or `decoder_only` network to our layout.

    scalable_t5 has a relative position bias in each layer, so its parameters fit a config with
    `relpos_bias_per_layer`.

    Args:
        flat: arrays by T5X's names, such as `decoder/layers_0/mlp/wo/kernel`.

    Returns:
        Arrays by our names.

    Raises:
        ValueError: a layer is missing, or has another shape than the others.
    """
    params: LazyArrays = {}
    unscanned: dict[str, dict[int, LazyArray]] = {}
    for path, value in flat.items():
        if match := UNSCANNED_LAYER.match(path):
            stack, number, name = match.groups()
            unscanned.setdefault(f'{stack}/layers/{name}', {})[int(number)] = value
        elif match := SCANNED_LAYER.match(path):
            stack, name = match.groups()
            params[f'{stack}/layers/{name}'] = _join_heads(name, lazy.move_axis_first(value, SCAN_AXIS))
        else:
            params[path] = value
    for path, layers in unscanned.items():
        if sorted(layers) != list(range(len(layers))):
            raise ValueError(f'{path} has layers {sorted(layers)}; expected each of 0 to {max(layers)}')
        if odd := [number for number in sorted(layers) if layers[number].shape != layers[0].shape]:
            raise ValueError(
                f'{path} is {layers[odd[0]].shape} in layer {odd[0]}, and {layers[0].shape} in layer 0; '
                'expected one shape'
            )
        params[path] = _join_heads(path, lazy.stack([layers[number] for number in range(len(layers))]))
    return params


def _join_heads(name: str, value: LazyArray) -> LazyArray:
    """Merge heads and head dimension, which are two axes in scalable_t5's attention kernels."""
    if len(value.shape) < 4:
        return value
    return lazy.merge_axes(value, 1 if name.endswith('out/kernel') else 2)


def from_huggingface(tensors: Mapping[str, LazyArray]) -> LazyArrays:
    """Convert the parameters of a Hugging Face T5 to our layout.

    Args:
        tensors: arrays by Hugging Face's names, such as `encoder.block.0.layer.0.SelfAttention.q.weight`.

    Returns:
        Arrays by our names.

    Raises:
        ValueError: a tensor that no T5 has.
    """
    flat: LazyArrays = {}
    per_layer = any(HF_BIAS in name and '.block.0.' not in name for name in tensors)  # UMT5
    embedding = next((name for name in HF_EMBEDDINGS if name in tensors), None)
    for name, value in tensors.items():
        if HF_UNUSED.search(name) or (name in HF_EMBEDDINGS and name != embedding):
            continue
        if name == embedding:
            flat[HF_TOP['shared.weight']] = value
        elif name in HF_TOP:
            flat[HF_TOP[name]] = lazy.transpose(value) if name.startswith('lm_head') else value
        elif match := HF_BLOCK.match(name):
            stack, number, rest = match.groups()
            path = _t5x_name(stack, rest, name)
            path = (
                f'{stack}/{path}' if rest == HF_BIAS and not per_layer else f'{stack}/layers_{number}/{path}'
            )
            flat[path] = value if path.endswith('scale') else lazy.transpose(value)
        else:
            raise ValueError(f'{name} is no parameter of a T5; expected a T5, Flan-T5, mT5, ByT5 or UMT5')
    return stack_layers(flat)


def _t5x_name(stack: str, rest: str, name: str) -> str:
    table = HF_LAYER[stack]
    if rest in table:
        return table[rest]
    module, _, kernel = rest.rpartition('.')
    if module not in table or kernel not in HF_KERNELS:
        raise ValueError(f'{name} is no parameter of a T5; expected a T5, Flan-T5, mT5, ByT5 or UMT5')
    return f'{table[module]}/{HF_KERNELS[kernel]}/kernel'


def to_huggingface(params: Mapping[str, LazyArray]) -> LazyArrays:
    """Convert our parameters to those of a Hugging Face T5, with a tensor for each layer.

    Args:
        params: arrays by our names, such as `encoder/layers/mlp/wo/kernel`.

    Returns:
        Arrays by Hugging Face's names.
    """
    tensors: LazyArrays = {}
    top = {path: name for name, path in HF_TOP.items()}
    kernels = {ours: theirs for theirs, ours in HF_KERNELS.items()}
    for path, value in params.items():
        stack, _, rest = path.partition('/')
        if path in top:
            tensors[top[path]] = lazy.transpose(value) if path.endswith('kernel') else value
        elif rest.startswith('relpos_bias'):
            tensors[f'{stack}.block.0.layer.{HF_BIAS}.weight'] = lazy.transpose(value)
        else:
            module, _, last = rest.removeprefix('layers/').partition('/')
            names = {ours: theirs for theirs, ours in HF_LAYER[stack].items()}
            inner = (
                names.get(f'{module}/{last}') or f'{names[module]}.{kernels[last.removesuffix("/kernel")]}'
            )
            for number in range(value.shape[0]):
                one = lazy.take_layer(value, number)
                tensors[f'{stack}.block.{number}.layer.{inner}.weight'] = (
                    one if last == 'scale' else lazy.transpose(one)
                )
    return tensors


def infer_config(params: Mapping[str, LazyArray]) -> ModelConfig:
    """Infer a model's config from the shapes of its parameters, by our names.

    Shapes tell all sizes, but not everything else: a gated MLP is taken for T5 1.1's ('gelu', 'linear'), and
    a decoder-only model for a prefix LM, whose parameters are the same as a causal LM's.

    Raises:
        ValueError: the parameters are not those of a T5.
    """
    decoder_only = 'decoder/token_embedder/embedding' in params
    embedding = 'decoder/token_embedder/embedding' if decoder_only else 'token_embedder/embedding'
    decoder = 'decoder/layers/self_attention/query/kernel'
    query = decoder if decoder_only else 'encoder/layers/attention/query/kernel'
    if missing := [name for name in (embedding, query, decoder) if name not in params]:
        raise ValueError(
            f'there is no {missing[0]} among the parameters, {", ".join(sorted(params)[:3])} ...; expected '
            'those of a T5'
        )
    per_layer = 'decoder/layers/relpos_bias/rel_embedding' in params
    heads = params[
        'decoder/layers/relpos_bias/rel_embedding' if per_layer else 'decoder/relpos_bias/rel_embedding'
    ].shape[-2]
    layers, emb_dim, joined = params[query].shape
    sizes = {
        'vocab_size': params[embedding].shape[0],
        'emb_dim': emb_dim,
        'num_heads': heads,
        'head_dim': joined // heads,
        'mlp_dim': params['decoder/layers/mlp/wo/kernel'].shape[1],
        'mlp_activations': ('gelu', 'linear') if 'decoder/layers/mlp/wi_0/kernel' in params else ('relu',),
        'logits_via_embedding': 'decoder/logits_dense/kernel' not in params,
        'relpos_bias_per_layer': per_layer,
        'dtype': 'float32',
    }
    if decoder_only:
        return DecoderOnlyConfig(num_layers=layers, **sizes)
    return T5Config(num_encoder_layers=layers, num_decoder_layers=params[decoder].shape[0], **sizes)


# What `infer_config` takes to be as usual: no shape tells it.
INFERRED = ('mlp_activations', 'prefix_lm')


def check_huggingface(described: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if a T5's config.json lacks sizes, or has settings that no released T5 has."""
    if missing := [name for name in HF_SIZES if not isinstance(described.get(name), int)]:
        raise ValueError(
            f'config.json says nothing of {", ".join(missing)}; expected numbers for {", ".join(HF_SIZES)}'
        )
    for name, usual in HF_FIXED.items():
        if described.get(name, usual) != usual:
            raise ValueError(
                f'config.json says {name} {described[name]}; expected {usual}, as in every released T5'
            )
    if (projection := _projection(described)) not in HF_MLPS:
        raise ValueError(
            f'config.json says feed_forward_proj {projection!r}; expected one of {", ".join(HF_MLPS)}'
        )


def _projection(described: Mapping[str, Any]) -> str:
    return described.get('feed_forward_proj', 'relu' if described['model_type'] == 't5' else 'gated-gelu')


def config_from_huggingface(described: Mapping[str, Any]) -> T5Config:
    """Convert the content of Hugging Face's config.json to a config.

    `logits_via_embedding` stands for the scale 1/sqrt(D) of the logits' input, as transformers applies it.
    For T5 and UMT5 their config tells: `scale_decoder_outputs` from version 5 on, `tie_word_embeddings`
    before. mT5 never has the scale. From version 5 on every model is saved with `tie_word_embeddings: true`,
    so that field alone tells nothing.

    Args:
        described: the content, checked by `check_huggingface`.
    """
    kind, scaled = described['model_type'], described.get('scale_decoder_outputs')
    if scaled is None:
        scaled = described.get('tie_word_embeddings') is not False
    return T5Config(
        vocab_size=described['vocab_size'],
        emb_dim=described['d_model'],
        num_heads=described['num_heads'],
        num_encoder_layers=described['num_layers'],
        num_decoder_layers=described.get('num_decoder_layers') or described['num_layers'],
        head_dim=described['d_kv'],
        mlp_dim=described['d_ff'],
        mlp_activations=HF_MLPS[_projection(described)],
        dropout_rate=described.get('dropout_rate', 0.1),
        logits_via_embedding=scaled and kind != 'mt5',
        relpos_bias_per_layer=kind == 'umt5',
        dtype='float32',
    )


def config_to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """Convert a config to the content of a config.json for `transformers.T5ForConditionalGeneration`.

    Raises:
        ValueError: transformers has no such model: it is decoder-only, has a position bias in each layer, or
            other activations.
    """
    if not isinstance(config, T5Config):
        raise ValueError(
            "transformers has no decoder alone with T5's layers, so none is written; --form=safetensors "
            'writes a file of ours'
        )
    if config.relpos_bias_per_layer:
        raise ValueError(
            'a position bias in each layer is UMT5, which is read, and not written; --form=safetensors '
            'writes a file of ours'
        )
    activations = tuple('silu' if name == 'swish' else name for name in config.mlp_activations)
    projection = next((name for name, each in HF_MLPS.items() if each == activations), None)
    if projection is None:
        raise ValueError(
            f'transformers has no T5 with mlp_activations {config.mlp_activations}; expected one of '
            f'{[*HF_MLPS.values()]}'
        )
    return {
        'architectures': ['T5ForConditionalGeneration'],
        'model_type': 't5',
        'vocab_size': config.vocab_size,
        'd_model': config.emb_dim,
        'd_kv': config.head_dim,
        'd_ff': config.mlp_dim,
        'num_heads': config.num_heads,
        'num_layers': config.num_encoder_layers,
        'num_decoder_layers': config.num_decoder_layers,
        'feed_forward_proj': projection,
        'tie_word_embeddings': config.logits_via_embedding,
        'scale_decoder_outputs': config.logits_via_embedding,
        'dropout_rate': config.dropout_rate,
        'relative_attention_num_buckets': 32,
        'relative_attention_max_distance': 128,
        'layer_norm_epsilon': 1e-6,
        'is_encoder_decoder': True,
        'pad_token_id': 0,
        'eos_token_id': 1,
        'decoder_start_token_id': 0,
        'dtype': 'float32',
    }


def adafactor_state(flat: Mapping[str, LazyArray], step: int, template: Any) -> Any:
    """Convert the state of T5X's Adafactor to the state of ours.

    Args:
        flat: T5X's `param_states` of its `t5` or `scalable_t5` network,
            {'encoder/layers_0/mlp/wo/kernel/v_row': array}.
        step: T5X's step, which the decay of the second moments depends on.
        template: the state of our `adafactor` with the same settings, or its shapes.

    Returns:
        Lazy arrays in the tree of the template.

    Raises:
        ValueError: the template is not a state of Adafactor, or has other settings.
    """
    moments = _moments(flat)

    def fill(path: tuple[Any, ...], leaf: Any) -> LazyArray:
        names = [getattr(key, 'name', getattr(key, 'key', None)) for key in path]
        if names[-1] == 'count':
            return lazy.from_numpy(np.full(leaf.shape, step, leaf.dtype))
        start = next((i for i, name in enumerate(names) if name in T5X_SLOTS), None)
        if start is None:
            raise ValueError(
                "T5X's checkpoints hold the state of Adafactor; set TrainConfig.optimizer=@adafactor(), or "
                'restore_optimizer=False'
            )
        slot, name = T5X_SLOTS[names[start]], '/'.join(names[start + 1 :])
        value = moments.get(f'{slot}/{name}')
        # optax keeps an array of size 1 for moments that a parameter does not have: v if it is factored,
        # v_row and v_col if not.
        if value is None and leaf.shape[-1] == 1 and slot != 'm':
            return lazy.from_numpy(np.zeros(leaf.shape, leaf.dtype))
        if value is None or value.shape != leaf.shape:
            found = 'is missing' if value is None else f'has the shape {value.shape}'
            raise ValueError(
                f'{slot} of {name} {found} in the checkpoint, and {leaf.shape} here; set '
                'min_dim_size_to_factor and beta1 of adafactor '
                'as they were, and factor_small_layers=True for a scanned network'
            )
        return value

    return jax.tree.map_with_path(fill, template)


def _moments(flat: Mapping[str, LazyArray]) -> LazyArrays:
    """Convert T5X's moments to our layout, {'v_row/encoder/layers/mlp/wo/kernel': array}, without T5X's
    placeholders of shape (1,).
    """
    slots: dict[str, LazyArrays] = {slot: {} for slot in T5X_SLOTS.values()}
    moments: LazyArrays = {}
    for path, value in flat.items():
        name, _, slot = path.rpartition('/')
        scanned = SCANNED_LAYER.match(name)
        if value.shape == (1,):
            continue
        if scanned and slot in ('v_row', 'v_col'):
            slot, value = _scanned_factor(name, slot, value, flat)
            moments[f'{slot}/{scanned[1]}/layers/{scanned[2]}'] = value
        else:
            slots[slot][name] = value
    for slot, values in slots.items():
        moments |= {f'{slot}/{name}': value for name, value in stack_layers(values).items()}
    return moments


def _scanned_factor(
    name: str, slot: str, value: LazyArray, flat: Mapping[str, LazyArray]
) -> tuple[str, LazyArray]:
    """Convert a row or column of moments of scalable_t5's kernel to [layers, size], and return its name in
    our state beside it.

    In scalable_t5 `v_row` belongs to embed and `v_col` to the other axes, in any order with `layers` ([embed,
    layers], [layers, heads, kv]). In ours, as in optax's, `v_row` belongs to the smaller axis, so the two
    names may have to be exchanged.

    Args:
        name: of the parameter, in T5X.
        slot: `v_row` or `v_col`.
        value: the moments.
        flat: all of T5X's moments.
    """
    embed_last = name.endswith(('out/kernel', 'wo/kernel'))
    embed, layers = flat[f'{name}/v_row'].shape[:: -1 if embed_last else 1]
    rest = int(np.prod(flat[f'{name}/v_col'].shape)) // layers
    value = lazy.move_axis_first(value, 1 if (slot == 'v_row') != embed_last else 0)
    if len(value.shape) == 3:
        value = lazy.merge_axes(value, 1)
    smaller = int(np.argsort((rest, embed) if embed_last else (embed, rest))[-2])
    return (slot if smaller == int(embed_last) else {'v_row': 'v_col', 'v_col': 'v_row'}[slot]), value
