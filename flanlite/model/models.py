"""What all model families have in common: a config, parameters as a nested dict of float32 arrays, and a
network that computes with them.

    params = init_params(config, key)
    logits_BTV = bind(config, params)(batch, dropout_key=key)

Training and evaluation use models through this file only; `flanlite.model.kinds` lists the families.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Protocol

import jax
import numpy as np
from flax import nnx, traverse_util

from flanlite.config import value
from flanlite.limits import Below1, Count, Limit, one_of
from flanlite.mesh.activations import Axes, current_rules
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import adapters
from flanlite.model.adapters import Adapter
from flanlite.model.attention.attention import IMPLEMENTATIONS, DecodingCache
from flanlite.model.layers import ACTIVATIONS, MLP_PRODUCT, PRODUCT

Params = dict[str, Any]
Batch = Mapping[str, jax.Array]
DTYPES = ('float32', 'bfloat16')
Activation = Annotated[str, one_of(*ACTIVATIONS)]
Attention = Annotated[str, one_of(*IMPLEMENTATIONS)]
DType = Annotated[
    str, Limit(f"{' or '.join(DTYPES)}, since T5's activations overflow in float16", DTYPES.__contains__)
]

# What is saved of a layer for its backward pass, which computes the rest again.
REMAT_POLICIES = {
    'none': None,
    'minimal': jax.checkpoint_policies.save_only_these_names(PRODUCT, MLP_PRODUCT),
    'save_dot_except_mlp': jax.checkpoint_policies.save_only_these_names(PRODUCT),
    'full': jax.checkpoint_policies.nothing_saveable,
}
RematPolicy = Annotated[str, one_of(*REMAT_POLICIES)]


class Network(Protocol):
    """The module that a config builds: the methods that training and evaluation call."""

    def __call__(self, batch: Batch, dropout_key: jax.Array | None = None) -> jax.Array:
        """Compute logits_BTV in float32 at every position of `decoder_target_tokens`.

        Args:
            batch: arrays [rows, length] under SeqIO's keys; which ones, the network says.
            dropout_key: turns dropout on.
        """

    def option_logits(
        self,
        inputs_BS: jax.Array,
        lengths_B: jax.Array,
        source_P: jax.Array,
        options_PT: jax.Array,
        segments_PT: jax.Array | None = None,
    ) -> jax.Array:
        """Compute logits_PTV in float32 at every token of options, each given its own input.

        Args:
            inputs_BS: input tokens; the network reads each row once, however many options it has.
            lengths_B: the number of tokens of each input; what stands behind them is padding.
            source_P: for each row of options the row of its input.
            options_PT: option tokens; logits of the padding behind them have no meaning.
            segments_PT: where a row has several options of its input, one behind the other, which of them
                each token is of, from 1, and 0 of padding. Only where the config says `packs_options`.
        """

    def start_decoding(self, inputs_BS: jax.Array, lengths_B: jax.Array, max_length: int) -> DecodingCache:
        """Read inputs and make the cache for decoding.

        Args:
            inputs_BS: input tokens, one example a row.
            lengths_B: the number of tokens of each input; what stands behind them is padding.
            max_length: the most tokens that will be decoded after each input.
        """

    def decode_step(self, tokens_B: jax.Array, cache: DecodingCache) -> tuple[jax.Array, DecodingCache]:
        """Feed one token a row and compute logits_BV of the position after it.

        Args:
            tokens_B: the last decoded tokens; `cache.first_B` at the first step.
            cache: from `start_decoding` or the last `decode_step`.
        """


@value
class ModelConfig:
    """Sizes and variants that all model families have, under T5X's names.

    Args:
        vocab_size: rows of the embedding; T5's 32,100 pieces are padded to 32,128.
        emb_dim: width of the residual stream.
        num_heads: number of attention heads.
        head_dim: width of a head; num_heads x head_dim need not be emb_dim.
        mlp_dim: width of the feed-forward block.
        mlp_activations: ('gelu', 'linear') is T5 1.1, ('relu',) is T5 1.0.
        dropout_rate: probability that an entry is dropped, wherever a dropout key is given.
        logits_via_embedding: tie the logits to the embedding (T5 1.0).
        dtype: of activations, 'float32' or 'bfloat16'; parameters, norms, softmax, T5's logits are float32.
            Llama's kind and T5Gemma multiply to logits in this dtype, as transformers does.
        remat_policy: what the backward pass computes again. 'none': nothing. 'minimal': everything but matrix
            products; also the decoder's keys and values of the source, since these are large. Where
            parameters are 1-D, the MLP's gathered input is saved, too. 'save_dot_except_mlp' (MaxText's
            name): as 'minimal', and the MLP's products. 'full': everything.
        attention: one of `attention.IMPLEMENTATIONS`; 'auto' chooses by platform and length.
        adapter: what trains beside the model's own parameters, which then stay as they are.
    """

    converter: ClassVar[str]  # the layout of batches, a name of `batches.CONVERTERS`
    packs_options: ClassVar[bool] = False  # whether rows of `Network.option_logits` may have several options

    vocab_size: Count = 32128
    emb_dim: Count = 768
    num_heads: Count = 12
    head_dim: Count = 64
    mlp_dim: Count = 2048
    mlp_activations: tuple[Activation, ...] = ('gelu', 'linear')
    dropout_rate: Below1 = 0.1
    logits_via_embedding: bool = False
    dtype: DType = 'bfloat16'
    remat_policy: RematPolicy = 'minimal'
    attention: Attention = 'auto'
    adapter: Adapter | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, 'mlp_activations', tuple(self.mlp_activations))
        if not self.mlp_activations:
            raise ValueError(
                f'{type(self).__name__}.mlp_activations is empty; expected names among '
                f'{", ".join(ACTIVATIONS)}'
            )

    def check_vocabulary(self, name: str, size: int) -> None:
        """Raise a `ValueError` if a vocabulary has more ids than the model has embeddings.

        Args:
            name: the vocabulary's, for the error.
            size: number of its ids.
        """
        if self.vocab_size < size:
            raise ValueError(
                f'{type(self).__name__}.vocab_size is {self.vocab_size}, but the vocabulary {name!r} has '
                f'{size} ids; '
                f'expected at least that, such as {-(-size // 128) * 128}'
            )

    @property
    def adapter_drops(self) -> bool:
        """Whether an adapter drops something in training."""
        return bool(getattr(self.adapter, 'dropout', 0.0))

    @property
    def head_counts(self) -> tuple[int, ...]:
        """The number of query heads of each stack, which the mesh must divide."""
        return (self.num_heads,)

    def prompt(self, task: str | None = None) -> np.ndarray:
        """Return the ids of the soft tokens that stand before a task's inputs: int32[P], most often none.

        Args:
            task: its name, or None where no task is known.

        Raises:
            ValueError: tasks have soft prompts, and this one has none.
        """
        return np.zeros(0, np.int32) if self.adapter is None else self.adapter.prompt(task, self.vocab_size)

    def check_prompts(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` if soft prompts are named and the model has none to choose from, or others."""
        if names and not getattr(self.adapter, 'choices', ()):
            raise ValueError(
                f'the soft prompts {", ".join(names)} are named (--prompt, prompt=...), and the model does '
                'not have several to choose from; leave them out'
            )
        for name in names:
            self.prompt(name)

    def build(self, rngs: nnx.Rngs) -> Network:
        """Make the network, with parameters drawn from `rngs`."""
        raise NotImplementedError

    def multiply_adds(self, inputs: int, targets: int) -> float:
        """Count the multiply-adds of all matrix products in the forward pass of one row; see
        `flanlite.model.flops`.

        Args:
            inputs: length of a row's inputs, padding included.
            targets: length of a row's targets, padding included.
        """
        raise NotImplementedError


def init_params(config: ModelConfig, key: jax.Array) -> Params:
    """Draw parameters, a nested dict of float32 arrays. May be called inside `jit`."""
    params = nnx.to_pure_dict(nnx.state(_build(config, nnx.Rngs(key)), nnx.Param))
    kept = abstract_params(config)  # a base beside an adapter may be bfloat16
    return jax.tree.map(lambda param, leaf: param.astype(leaf.dtype), params, kept)


def abstract_network(config: ModelConfig) -> Any:
    """Make the `Network` of a config with shapes and dtypes for parameters; nothing is drawn."""
    return nnx.merge(*_abstract(config))


def abstract_params(config: ModelConfig) -> Params:
    """Return the shapes and dtypes of `init_params` without drawing anything."""
    params = nnx.to_pure_dict(_abstract(config)[1])
    if config.adapter is None:
        return params
    base, own = adapters.parts(params)
    dtype = config.adapter.base_dtype
    return adapters.put_together(
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype), base), own
    )


def bind(config: ModelConfig, params: Params) -> Any:
    """Make the `Network` that computes with these parameters. It is cheap, and meant to be called inside
    `jit`.

    Raises:
        ValueError: the parameters do not fit the config.
    """
    graphdef, state = _abstract(config)
    check_params(config, params)
    return nnx.merge(
        graphdef,
        jax.tree.map(lambda param, value: param.replace(value), state, nnx.State(params), is_leaf=_is_param),
    )


def prepare_for_compute(config: ModelConfig, params: Params) -> Params:
    """Move parameters from their storage sharding to the rules' sharding, once a step (see
    `flanlite.mesh.partitioning`).

    They are cast first to the dtype that layers multiply them in, so that bfloat16 and not float32 is sent.
    Parameters whose two shardings are the same stay as they are, float32: each layer casts and gathers its
    own. Without rules in force nothing changes.

    Args:
        config: the model's.
        params: the tree of `init_params`.
    """
    if (rules := current_rules()) is None:
        return params
    dtypes = {
        path: param.get_metadata().get('computed_in')
        for path, param in nnx.to_flat_state(_abstract(config)[1])
    }

    def bring(x: jax.Array, axes: Axes, dtype: str | None) -> jax.Array:
        if rules.storage_sharding(x.shape, axes).spec == rules.spec(axes, x.shape):
            return x
        return rules.constrain(rules.constrain_to_storage(x.astype(dtype or x.dtype), axes), axes)

    return jax.tree.map(bring, params, logical_axes(config), nnx.to_pure_dict(nnx.from_flat_state(dtypes)))


def check_params(config: ModelConfig, params: Params) -> None:
    """Raise a `ValueError` if parameters are not those of the config; name what is missing, unexpected or of
    another shape.
    """
    expected, got = (
        {'/'.join(path): tuple(leaf.shape) for path, leaf in traverse_util.flatten_dict(tree).items()}
        for tree in (abstract_params(config), params)
    )
    wrong = [f'{name} is missing' for name in expected if name not in got]
    wrong += [f'{name} is unexpected' for name in got if name not in expected]
    wrong += [
        f'{name} is {got[name]}, not {expected[name]}'
        for name in expected
        if got.get(name, expected[name]) != expected[name]
    ]
    if wrong:
        more = f', and {len(wrong) - 4} more' if len(wrong) > 4 else ''
        remedy = f'use the {type(config).__name__} they were trained with'
        raise ValueError(f'the parameters do not fit the config: {"; ".join(wrong[:4])}{more}; {remedy}')


def logical_axes(config: ModelConfig) -> dict[str, Any]:
    """Return the logical axes of every parameter, in the tree of `init_params`."""
    state = _abstract(config)[1]
    axes = {
        path: (('layers',) if 'layers' in path else ()) + param.get_metadata()['axes']
        for path, param in nnx.to_flat_state(state)
    }
    return nnx.to_pure_dict(nnx.from_flat_state(axes))


def shardings(config: ModelConfig, partitioner: Partitioner) -> dict[str, Any]:
    """Return the sharding that the rules give every parameter, in the tree of `init_params`.

    Raises:
        ValueError: the model does not divide over the mesh.
    """
    shapes, axes = abstract_params(config), logical_axes(config)
    partitioner.check_heads(*config.head_counts)
    partitioner.check_shapes(shapes, axes)
    return jax.tree.map(lambda leaf, names: partitioner.sharding(names, leaf.shape), shapes, axes)


def _is_param(x: Any) -> bool:
    return isinstance(x, nnx.Param)


@functools.lru_cache
def _abstract(config: ModelConfig) -> tuple[nnx.GraphDef, nnx.State]:
    return nnx.split(nnx.eval_shape(lambda: _build(config, nnx.Rngs(0))))


def _build(config: ModelConfig, rngs: nnx.Rngs) -> Network:
    network = config.build(rngs)
    if config.adapter is not None:
        config.adapter.attach(network, rngs)
    return network
