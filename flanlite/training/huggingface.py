"""The tensors of Hugging Face's models of Llama's kind and of T5Gemma, to our parameters and back.

Gemma's norms multiply by 1 + weight. Ours multiply by a scale, so the 1 is added to the weight as it is read.
"""

import re
from collections.abc import Mapping

from flanlite.model.models import ModelConfig
from flanlite.model.rotary import RotaryConfig
from flanlite.model.t5gemma import T5GemmaConfig
from flanlite.training import lazy
from flanlite.training.lazy import LazyArray

LazyArrays = dict[str, LazyArray]

# Hugging Face's name in a layer -> ours.
LAYER = {
    'self_attn.q_proj': 'self_attention/query',
    'self_attn.k_proj': 'self_attention/key',
    'self_attn.v_proj': 'self_attention/value',
    'self_attn.o_proj': 'self_attention/out',
    'self_attn.q_norm': 'self_attention/query_norm',
    'self_attn.k_norm': 'self_attention/key_norm',
    'cross_attn.q_proj': 'encoder_decoder_attention/query',
    'cross_attn.k_proj': 'encoder_decoder_attention/key',
    'cross_attn.v_proj': 'encoder_decoder_attention/value',
    'cross_attn.o_proj': 'encoder_decoder_attention/out',
    'mlp.gate_proj': 'mlp/wi_0',
    'mlp.up_proj': 'mlp/wi_1',
    'mlp.down_proj': 'mlp/wo',
}
# The norms' names differ: `post_attention_layernorm` comes before the MLP in Llama, and after attention in
# Gemma 2.
LLAMA_NORMS = {
    'input_layernorm': 'pre_self_attention_layer_norm',
    'post_attention_layernorm': 'pre_mlp_layer_norm',
}
GEMMA_2_NORMS = {
    'input_layernorm': 'pre_self_attention_layer_norm',
    'post_attention_layernorm': 'post_self_attention_layer_norm',
    'pre_feedforward_layernorm': 'pre_mlp_layer_norm',
    'post_feedforward_layernorm': 'post_mlp_layer_norm',
}
OLMO_NORMS = {
    'post_attention_layernorm': 'post_self_attention_layer_norm',
    'post_feedforward_layernorm': 'post_mlp_layer_norm',
}
T5GEMMA_NORMS = {
    'pre_self_attn_layernorm': 'pre_self_attention_layer_norm',
    'post_self_attn_layernorm': 'post_self_attention_layer_norm',
    'pre_cross_attn_layernorm': 'pre_cross_attention_layer_norm',
    'post_cross_attn_layernorm': 'post_cross_attention_layer_norm',
    'pre_feedforward_layernorm': 'pre_mlp_layer_norm',
    'post_feedforward_layernorm': 'post_mlp_layer_norm',
}
NORMS = {'pre': LLAMA_NORMS, 'pre_and_post': GEMMA_2_NORMS, 'post': OLMO_NORMS}
# Parts of a model that reads pictures; its decoder of text needs none of them. And what old versions saved of
# rotary positions, which their config says too.
UNUSED = re.compile(r'vision_tower|multi_modal_projector|\.vision_model\.|eoi_embedding|rotary_emb\.inv_freq')


def params_from_huggingface(tensors: Mapping[str, LazyArray], config: ModelConfig) -> LazyArrays:
    """Convert the tensors of one of `MODEL_TYPES` to our parameters.

    Args:
        tensors: arrays by Hugging Face's names.
        config: from `config_from_huggingface`.

    Returns:
        Arrays by our names.

    Raises:
        ValueError: a tensor that the model does not have, or a layer is missing; when it is read, a parameter
            that is there twice with different numbers.
    """
    assert isinstance(config, RotaryConfig)
    found: dict[tuple[str, int | None], tuple[str, LazyArray]] = {}
    for name, value in tensors.items():
        if UNUSED.search(name):
            continue
        path, number = our_name(name, config)
        if path.endswith('kernel'):
            value = lazy.transpose(value)
        elif path.endswith('scale') and config.scale_embedding:
            value = lazy.add(value, 1.0)
        if (path, number) in found:  # tied tensors, of which most folders hold one
            first, held = found[path, number]
            value = lazy.same(held, value, difference(first, name, tied=config.logits_via_embedding))
        found[path, number] = (name, value)
    params: LazyArrays = {}
    layers: dict[str, dict[int, LazyArray]] = {}
    for (path, number), (_, value) in found.items():
        if number is None:
            params[path] = value
        else:
            layers.setdefault(path, {})[number] = value
    for path, by_number in layers.items():
        if sorted(by_number) != list(range(len(by_number))):
            raise ValueError(f'{path} has layers {sorted(by_number)}; expected each of 0 to {max(by_number)}')
        if len(shapes := {value.shape for value in by_number.values()}) > 1:
            raise ValueError(f'{path} has layers of the shapes {sorted(shapes)}; expected one for all')
        params[path] = lazy.stack([by_number[number] for number in range(len(by_number))])
    return params


def difference(first: str, second: str, *, tied: bool) -> str:
    """Say that two tensors differ which are one parameter of ours."""
    remedy = 'say tie_word_embeddings false in config.json' if tied else 'expected the same in both'
    return f'{first} and {second} hold different numbers, and are one parameter here; {remedy}'


def our_name(name: str, config: RotaryConfig) -> tuple[str, int | None]:
    """Return our name of a Hugging Face tensor, and the number of its layer, if it lies in one."""
    both = isinstance(config, T5GemmaConfig)
    if re.fullmatch(r'(language_model\.)?lm_head(\.out_proj)?\.weight', name):
        tied = config.logits_via_embedding
        return (embedding_name(config, 'decoder') if tied else 'decoder/logits_dense/kernel'), None
    inner = re.sub(r'^(model\.)?(language_model\.)?(model\.)?', '', name)
    stack, inner = inner.split('.', 1) if both and '.' in inner else ('decoder', inner)
    inner = inner.removeprefix('text_model.')
    if stack in ('encoder', 'decoder'):
        if inner == 'embed_tokens.weight':
            return embedding_name(config, stack), None
        if inner == 'norm.weight':
            return f'{stack}/{stack}_norm/scale', None
        match = re.fullmatch(r'layers\.(\d+)\.(.+)\.(weight|bias)', inner)
        norms = T5GEMMA_NORMS if both else NORMS[config.norms]
        if match and match[2] in norms:
            return f'{stack}/layers/{norms[match[2]]}/scale', int(match[1])
        if match and match[2] in LAYER:
            last = 'scale' if match[2].endswith('norm') else 'bias' if match[3] == 'bias' else 'kernel'
            return f'{stack}/layers/{LAYER[match[2]]}/{last}', int(match[1])
    raise ValueError(f'{name} is no parameter of a {type(config).__name__}')


def embedding_name(config: RotaryConfig, stack: str) -> str:
    """Return our name of a stack's embedding."""
    if not isinstance(config, T5GemmaConfig):
        return 'decoder/token_embedder/embedding'
    own = config.version == 1 and stack == 'encoder'
    return 'encoder_embedder/embedding' if own else 'token_embedder/embedding'


def params_to_huggingface(params: Mapping[str, LazyArray], config: ModelConfig) -> LazyArrays:
    """Convert our parameters to those of transformers' model, with a tensor for each layer.

    Args:
        params: arrays by our names.
        config: the model's.
    """
    assert isinstance(config, RotaryConfig)
    both = isinstance(config, T5GemmaConfig)
    tensors: LazyArrays = {}
    norms = T5GEMMA_NORMS if both else NORMS[config.norms]
    theirs = {ours: name for name, ours in (LAYER | norms).items()}
    prefixes = {'decoder': 'model.decoder.' if both else 'model.', 'encoder': 'model.encoder.'}
    if both and config.version == 2:
        prefixes['encoder'] = 'model.encoder.text_model.'
    embeddings: dict[str, list[str]] = {}
    for stack in ('encoder', 'decoder') if both else ('decoder',):
        embeddings.setdefault(embedding_name(config, stack), []).append(
            f'{prefixes[stack]}embed_tokens.weight'
        )
    for path, value in params.items():
        stack, _, rest = path.partition('/')
        if path in embeddings:
            # T5Gemma 2 has its one embedding twice where the logits are not tied.
            tied = config.logits_via_embedding
            tensors |= {name: value for name in embeddings[path][: 1 if tied else None]}
            continue
        if path.endswith('scale') and config.scale_embedding:
            value = lazy.add(value, -1.0)
        if path == 'decoder/logits_dense/kernel':
            tensors['lm_head.out_proj.weight' if both else 'lm_head.weight'] = lazy.transpose(value)
        elif rest == f'{stack}_norm/scale':
            tensors[f'{prefixes[stack]}norm.weight'] = value
        else:
            module, last = rest.removeprefix('layers/').rsplit('/', 1)
            ending = 'bias' if last == 'bias' else 'weight'
            for number in range(value.shape[0]):
                one = lazy.take_layer(value, number)
                tensors[f'{prefixes[stack]}layers.{number}.{theirs[module]}.{ending}'] = (
                    lazy.transpose(one) if last == 'kernel' else one
                )
    return tensors
