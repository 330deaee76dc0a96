"""The model families, and how their configs are changed and read back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flanlite.config import from_json, to_json, value
from flanlite.limits import Below1
from flanlite.model.adapters import Adapter
from flanlite.model.attempt import Attempt
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.linear_adapters import IA3, LoRA
from flanlite.model.llama import LlamaConfig
from flanlite.model.models import Attention, DType, ModelConfig, RematPolicy
from flanlite.model.rotary import RotaryConfig
from flanlite.model.soft_prefix import HyperPrompt, SoftPrefix
from flanlite.model.soft_prompt import SchemaPrompt, SoftPrompt
from flanlite.model.t5 import T5Config
from flanlite.model.t5gemma import T5GemmaConfig

KINDS = (T5Config, DecoderOnlyConfig, LlamaConfig, T5GemmaConfig)
ADAPTERS = (LoRA, IA3, SoftPrompt, SoftPrefix, Attempt, HyperPrompt, SchemaPrompt)


@value
class FromCheckpoint:
    """In place of a model's config: the model of the checkpoint that a run begins with. It has the
    checkpoint's family, sizes and activations; how it is computed stands here.

    Args:
        dropout_rate: as in `ModelConfig`, as are the others; None for what the checkpoint says.
        dtype: of activations.
        remat_policy: what the backward pass computes again.
        attention: the implementation.
        adapter: what trains beside the checkpoint's parameters; None for what the checkpoint says.
    """

    dropout_rate: Below1 | None = None
    dtype: DType = ModelConfig.dtype
    remat_policy: RematPolicy = ModelConfig.remat_policy
    attention: Attention = ModelConfig.attention
    adapter: Adapter | None = None

    def of(self, config: ModelConfig) -> ModelConfig:
        """Return a checkpoint's config, computed as this says."""
        changes = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ('dropout_rate', 'adapter'):
            if changes[name] is None:
                del changes[name]
        return replace_fields(config, changes)


def replace_fields(config: ModelConfig, changes: Mapping[str, Any]) -> ModelConfig:
    """Replace fields of a config; raise a `ValueError` if it has no such field."""
    fields = [field.name for field in dataclasses.fields(config)]
    if unknown := [name for name in changes if name not in fields]:
        raise ValueError(
            f'the model is a {type(config).__name__}, which has no {", ".join(unknown)}; expected some of '
            f'{", ".join(fields)}'
        )
    return dataclasses.replace(config, **changes)


def fields_of(config: ModelConfig) -> dict[str, Any]:
    """Return a config as JSON can hold it, for `config_from_fields`."""
    fields = dataclasses.asdict(config)
    return fields | ({} if config.adapter is None else {'adapter': to_json(config.adapter)})


def config_from_fields(fields: Mapping[str, Any]) -> ModelConfig:
    """Make a config from a dict of its fields, which tell the model family.

    Raises:
        ValueError: no family has all these fields.
    """
    if fields.get('adapter'):
        fields = {**fields, 'adapter': from_json(fields['adapter'])}
    if isinstance(fields.get('encoder'), Mapping):  # T5Gemma's
        fields = {**fields, 'encoder': RotaryConfig(**fields['encoder'])}
    for kind in KINDS:
        if set(fields) <= {field.name for field in dataclasses.fields(kind)}:
            return kind(**fields)
    names = ' or '.join(kind.__name__ for kind in KINDS)
    raise ValueError(
        f'got a config with {", ".join(sorted(fields))}; expected the fields of a {names}: was it saved by a '
        'newer version?'
    )
