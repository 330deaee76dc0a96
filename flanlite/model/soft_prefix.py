"""Prefix tuning (Li and Liang 2021) and HyperPrompt (He et al. 2022): keys and values of soft tokens.

The soft tokens stand before the inputs as those of a `SoftPrompt` do, so that packing, ranking, decoding and
meshes need not know of them. Wherever a layer attends to the inputs, their keys and values are replaced by
others that train; what the layer computes at soft tokens themselves is seen by nothing else. A replaced key
is what queries are multiplied with, as in PEFT: it is not normed or turned by a position any more.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.limits import Count, Length, Pattern
from flanlite.model import patterns
from flanlite.model.blocks import Attention
from flanlite.model.layers import Embedding, given_at_keys
from flanlite.model.soft_prompt import SoftTokens, table_of

DEVIATION = 0.02  # of first values


class AtKeys(NamedTuple):
    """What the adapters of attention are given; see `layers.attended_tokens`."""

    place_BS: jax.Array  # of a soft token among all of the adapter, -1 at other tokens
    shared: Any  # what all layers make their keys and values from


@value
class SoftPrefix(SoftTokens):
    """Prefix tuning: keys and values of soft tokens train, in each layer others.

    Args:
        targets: patterns of the attentions that have them, for whole names such as
            `encoder/layers/attention`. The others see the soft tokens as layers compute them.

    The other fields are those of `soft_prompt.SoftTokens`.
    """

    length: Length = 20
    targets: tuple[Pattern, ...] = ('.*',)

    def attach(self, network: nnx.Module, rngs: nnx.Rngs) -> None:
        """See `Adapter.attach`."""
        super().attach(network, rngs)
        there = attentions(network)
        patterns.check_names(there, self.targets, 'attention to inputs')
        chosen = [patterns.compile_pattern(each) for each in self.targets]
        key = rngs.params()
        for name, attention in there.items():
            if any(each.fullmatch(name) for each in chosen):
                own = jax.random.fold_in(key, zlib.crc32(name.encode()))
                attention.adapter = nnx.data(self.keys_values(network, attention, name, own))

    def tokens(self, table: Embedding, key: jax.Array) -> nnx.Module:
        """See `SoftTokens.tokens`."""
        del key
        return HiddenTokens(table)

    def keys_values(
        self, network: nnx.Module, attention: Attention, name: str, key: jax.Array
    ) -> 'KeysValuesOfSoftTokens':
        """Make what replaces the keys and values of soft tokens in one attention, or in those of a stack.

        Args:
            network: the whole.
            attention: of one layer, or of a stack.
            name: its name.
            key: source of the first values.
        """
        del network, name
        return Kept(attention, self.names, self.length, key)


def attentions(network: nnx.Module) -> dict[str, Attention]:
    """Return a network's attentions whose keys are those of inputs, by their names. In an encoder-decoder the
    decoder's self-attention has none.
    """
    found = {
        '/'.join(map(str, path)): module
        for path, module in nnx.iter_modules(network)
        if isinstance(module, Attention)
    }
    if not hasattr(network, 'encoder'):
        return found
    return {name: module for name, module in found.items() if name != 'decoder/layers/self_attention'}


class HiddenTokens(nnx.Module):
    """Embeds soft tokens as zeros, which their keys and values do not depend on.

    Args:
        table: the embeddings of tokens.
    """

    def __init__(self, table: Embedding) -> None:
        self.vocab = table.embedding.shape[0]

    def __call__(self, tokens_BT: jax.Array, look_up: Any, inputs_BT: jax.Array | None = None) -> jax.Array:
        """See `PromptRows.__call__`."""
        del inputs_BT
        is_soft_BT = tokens_BT >= self.vocab
        x_BTD = look_up(jnp.where(is_soft_BT, 0, tokens_BT))
        return jnp.where(is_soft_BT[..., None], jnp.zeros_like(x_BTD), x_BTD)

    def at_keys(self, tokens_BS: jax.Array) -> AtKeys:
        """Return what adapters of attention are given of the tokens that keys are made of."""
        return AtKeys(jnp.where(tokens_BS >= self.vocab, tokens_BS - self.vocab, -1), self.shared())

    def shared(self) -> Any:
        """Compute what all layers make their keys and values from."""
        return None


class KeysValuesOfSoftTokens(nnx.Module):
    """Replaces the keys and values of soft tokens.

    In the names of arrays P are the soft tokens of all tasks, in the order of their ids.
    """

    def rows(self, shared: Any) -> tuple[jax.Array, jax.Array]:
        """Compute key_PJ and value_PJ.

        Args:
            shared: see `AtKeys`.
        """
        raise NotImplementedError

    def __call__(self, k_BSGK: jax.Array, v_BSGK: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return keys and values, replaced where soft tokens are; see `layers.attended_tokens`."""
        given: AtKeys | None = given_at_keys()
        if given is None:
            return k_BSGK, v_BSGK
        is_soft_BS11 = (given.place_BS >= 0)[..., None, None]
        place_BS = jnp.maximum(given.place_BS, 0)

        def replace(x_BSGK: jax.Array, rows_PJ: jax.Array) -> jax.Array:
            rows_PGK = rows_PJ.reshape(-1, *x_BSGK.shape[2:]).astype(x_BSGK.dtype)
            return jnp.where(is_soft_BS11, rows_PGK[place_BS], x_BSGK)

        key_PJ, value_PJ = self.rows(given.shared)
        return replace(k_BSGK, key_PJ), replace(v_BSGK, value_PJ)


class Kept(KeysValuesOfSoftTokens):
    """Those of a `SoftPrefix`, as parameters.

    Args:
        attention: of one layer, or of a stack.
        names: of the tasks.
        length: soft tokens of each.
        key: source of the first values.
    """

    def __init__(self, attention: Attention, names: tuple[str, ...], length: int, key: jax.Array) -> None:
        *stacked, _, J = attention.key.kernel.shape

        def drawn(kind: int, name: str) -> nnx.Param:
            own = jax.random.fold_in(jax.random.fold_in(key, kind), zlib.crc32(name.encode()))
            return parameter(jax.random.normal(own, (*stacked, length, J)) * DEVIATION, 2)

        self.keys = nnx.Dict({name: drawn(0, name) for name in names})
        self.values = nnx.Dict({name: drawn(1, name) for name in names})
        self.names = names

    def rows(self, shared: None) -> tuple[jax.Array, jax.Array]:
        """See `KeysValuesOfSoftTokens.rows`."""
        key_PJ, value_PJ = (
            jnp.concatenate([each[name][...] for name in self.names]) for each in (self.keys, self.values)
        )
        return key_PJ, value_PJ


def parameter(first: jax.Array, axes: int) -> nnx.Param:
    """Make a parameter that is whole on every device, as it is small.

    Args:
        first: its first value, in a stack with an axis of the layers before.
        axes: how many it has in one layer.
    """
    return nnx.Param(first.astype(jnp.float32), axes=(None,) * axes, computed_in='float32')


@value
class HyperPrompt(SoftPrefix):
    """HyperPrompt, with its global hypernetworks: the keys and values of a task's soft tokens are made from
    embeddings of these tokens, which all layers share, by a bottleneck whose two matrices a hypernetwork
    makes from embeddings of the task and the layer. In the paper the model itself trains too.

    Args:
        bottleneck: width of what is between the two matrices.
        task_dim: size of the embeddings of tasks and of layers.

    The other fields are those of `SoftPrefix`. In the names of arrays E is `task_dim`, C the bottleneck, and
    N are the tasks.
    """

    bottleneck: Count = 16
    task_dim: Count = 32

    def tokens(self, table: Embedding, key: jax.Array) -> nnx.Module:
        """See `SoftTokens.tokens`."""
        return HyperTokens(table, self, key)

    def keys_values(
        self, network: nnx.Module, attention: Attention, name: str, key: jax.Array
    ) -> KeysValuesOfSoftTokens:
        """See `SoftPrefix.keys_values`."""
        maker, layers = jax.random.split(key)
        place = name.replace('/', '_')
        table_of(network).adapter.add(place, attention.key.kernel.shape[-1], maker)
        return Made(attention, place, self.task_dim, layers)


class HyperTokens(HiddenTokens):
    """What all layers share in a `HyperPrompt`.

    Args:
        table: the embeddings of tokens.
        adapter: the adapter.
        key: source of the first values.
    """

    def __init__(self, table: Embedding, adapter: HyperPrompt, key: jax.Array) -> None:
        super().__init__(table)
        self.width = table.embedding.shape[1]
        self.bottleneck, self.task_dim = adapter.bottleneck, adapter.task_dim
        rows, tasks, first, second = jax.random.split(key, 4)
        E = adapter.task_dim
        shape = (len(adapter.names), adapter.length, self.width)
        self.embeddings = parameter(jax.random.uniform(rows, shape, minval=-0.5, maxval=0.5), 3)
        self.tasks = parameter(jax.random.normal(tasks, (len(adapter.names), E)), 2)
        self.mix_in, self.mix_out = made_matrix(first, 2 * E, E), made_matrix(second, E, E)
        self.makers = nnx.Dict({})

    def add(self, place: str, joined: int, key: jax.Array) -> None:
        """Add the hypernetwork of an attention, or of those of a stack.

        Args:
            place: its name.
            joined: width of keys and of values.
            key: source of the first values.
        """
        keys = jax.random.split(key, 4)
        D, C, E = self.width, self.bottleneck, self.task_dim
        self.makers[place] = nnx.Dict(
            {
                f'{kind}_{part}': made_matrix(keys[2 * i + j], E, size, fan=E * fan)
                for i, kind in enumerate(('key', 'value'))
                for j, (part, size, fan) in enumerate((('down', D * C, D), ('up', C * joined, C)))
            }
        )

    def shared(self) -> Mapping[str, Any]:
        """See `HiddenTokens.shared`."""
        return nnx.to_pure_dict(nnx.state(self, nnx.Param))


def made_matrix(key: jax.Array, inputs: int, outputs: int, fan: int | None = None) -> nnx.Param:
    """Make a matrix with values drawn for `fan` inputs, by default its own."""
    return parameter(jax.random.normal(key, (inputs, outputs)) / math.sqrt(fan or inputs), 2)


class Made(KeysValuesOfSoftTokens):
    """Keys and values that a `HyperPrompt` makes in a layer.

    Args:
        attention: of one layer, or of a stack.
        place: the name of its hypernetwork in `HyperTokens.makers`.
        task_dim: size of the layer's embedding.
        key: source of the first values.
    """

    def __init__(self, attention: Attention, place: str, task_dim: int, key: jax.Array) -> None:
        stacked = attention.key.kernel.shape[:-2]
        self.layer = parameter(jax.random.normal(key, (*stacked, task_dim)), 1)
        self.place = place

    def rows(self, shared: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
        """See `KeysValuesOfSoftTokens.rows`."""
        tasks_NE, rows_NPD = shared['tasks'], shared['embeddings']
        N, D = tasks_NE.shape[0], rows_NPD.shape[-1]
        layer_NE = jnp.broadcast_to(self.layer[...][None], tasks_NE.shape)
        both_NX = jnp.concatenate([tasks_NE, layer_NE], axis=1)  # X is 2 E
        mixed_NE = jax.nn.relu(both_NX @ shared['mix_in']) @ shared['mix_out']
        made = shared['makers'][self.place]

        def rows_of(kind: str) -> jax.Array:
            down_NDC = (mixed_NE @ made[f'{kind}_down']).reshape(N, D, -1)
            up_NCJ = (mixed_NE @ made[f'{kind}_up']).reshape(N, down_NDC.shape[-1], -1)
            low_NPC = jax.nn.relu(jnp.einsum('NPD,NDC->NPC', rows_NPD, down_NDC))
            rows_NPJ = jnp.einsum('NPC,NCJ->NPJ', low_NPC, up_NCJ)
            return rows_NPJ.reshape(-1, rows_NPJ.shape[-1])

        return rows_of('key'), rows_of('value')
