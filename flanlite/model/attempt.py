"""ATTEMPT (Asai et al. 2022): for each example a soft prompt mixed of others, by attention from its inputs.

The reference is the published code's method `sub` (AkariAsai/ATTEMPT, modeling_t5.py), but that padding is no
input here: there the embeddings of padding are pooled with the others.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from flanlite.config import value
from flanlite.limits import Count, Name, Positive
from flanlite.model.layers import Embedding
from flanlite.model.soft_prompt import PromptRows, SoftPrompt, table_of
from flanlite.paths import LocalPath

EPSILON = 1e-5  # of the norm, as torch.nn.LayerNorm's


@value
class Attempt(SoftPrompt):
    """A prompt of its own for each task, mixed for each example with source prompts that stay as they are.
    The attention is shared by all tasks of the run.

    Args:
        sources: names of the source prompts.
        source_file: where they are: the run of a `SoftPrompt` with these tasks, or a folder of .npy files.
        bottleneck: width between the two matrices that the pooled inputs go through.
        temperature: what the scores are divided by.

    The other fields are those of `SoftPrompt`, for the tasks' own prompts.
    """

    sources: tuple[Name, ...] = ()
    source_file: LocalPath | None = None
    bottleneck: Count = 100
    temperature: Positive = 2000.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources or len(set(self.sources)) < len(self.sources) or self.source_file is None:
            raise ValueError(
                f'Attempt.sources is {self.sources} and Attempt.source_file {self.source_file!r}; expected '
                'different names of source prompts, and the run or folder that has them'
            )

    @property
    def frozen(self) -> tuple[str, ...]:
        """See `Adapter.frozen`."""
        return ('.*/adapter/sources/.*',)

    def files(self) -> dict[tuple[str, str], tuple[str, str | None]]:
        """See `SoftPrompt.files`."""
        return super().files() | {('sources', name): (self.source_file, name) for name in self.sources}

    def tokens(self, table: Embedding, key: jax.Array) -> PromptRows:
        """See `SoftTokens.tokens`."""
        return MixedTokens(table, self, key)


class MixedTokens(PromptRows):
    """The prompts of an `Attempt`, beside a table of embeddings.

    In the names of arrays M are the prompts that an example's is mixed of: the sources, and its task's own.

    Args:
        table: the embeddings.
        adapter: the adapter.
        key: source of the first values.
    """

    def __init__(self, table: Embedding, adapter: Attempt, key: jax.Array) -> None:
        own, down, up = jax.random.split(key, 3)
        super().__init__(table, adapter.names, adapter.length, own)
        D, R = table.embedding.shape[1], adapter.bottleneck

        def parameter(first: jax.Array) -> nnx.Param:
            return nnx.Param(first, axes=(None,) * first.ndim, computed_in='float32')

        def uniform(key: jax.Array, inputs: int, outputs: int) -> nnx.Param:
            bound = 1.0 / math.sqrt(inputs)  # torch.nn.Linear's
            return parameter(jax.random.uniform(key, (inputs, outputs), jnp.float32, -bound, bound))

        self.sources = nnx.Dict({name: parameter(jnp.zeros((adapter.length, D))) for name in adapter.sources})
        self.down, self.up = uniform(down, D, R), uniform(up, R, D)
        self.norm_scale, self.norm_bias = parameter(jnp.ones(D)), parameter(jnp.zeros(D))
        self.source_names, self.temperature = tuple(adapter.sources), adapter.temperature

    def __call__(
        self,
        tokens_BT: jax.Array,
        look_up: Callable[[jax.Array], jax.Array],
        inputs_BT: jax.Array | None = None,
    ) -> jax.Array:
        """See `PromptRows.__call__`."""
        is_soft_BT = tokens_BT >= self.vocab
        x_BTD = look_up(jnp.where(is_soft_BT, 0, tokens_BT))
        inputs_BT = jnp.zeros_like(tokens_BT) if inputs_BT is None else inputs_BT
        place_BT = jnp.where(is_soft_BT, tokens_BT - self.vocab, 0)
        shares_BTM = self.shares(x_BTD, is_soft_BT, place_BT, inputs_BT)
        own_ND = self.rows()
        rows_BTD = own_ND[place_BT]
        mixed_BTD = (1.0 + shares_BTM[..., -1:]) * rows_BTD
        for number, name in enumerate(self.source_names):
            source_PD = self.sources[name][...].astype(jnp.float32)
            mixed_BTD += shares_BTM[..., number, None] * source_PD[place_BT % source_PD.shape[0]]
        return jnp.where(is_soft_BT[..., None], mixed_BTD.astype(self.dtype), x_BTD)

    def shares(
        self, x_BTD: jax.Array, is_soft_BT: jax.Array, place_BT: jax.Array, inputs_BT: jax.Array
    ) -> jax.Array:
        """Compute how much of each prompt an example gets: shares_BTM, which have a meaning at soft tokens.

        Args:
            x_BTD: embedded tokens.
            is_soft_BT: which are soft.
            place_BT: their places in the table of the tasks' prompts.
            inputs_BT: see `PromptRows.__call__`.
        """
        text_BT = (inputs_BT > 0) & ~is_soft_BT
        values_BTD = jnp.where(text_BT[..., None], x_BTD.astype(jnp.float32), -jnp.inf)
        pooled_BTD = greatest_behind(values_BTD, inputs_BT)
        pooled_BTD = jnp.where(jnp.isfinite(pooled_BTD), pooled_BTD, 0.0)  # of no inputs
        h_BTD = jax.nn.silu(pooled_BTD @ self.down[...]) @ self.up[...]
        h_BTD -= jnp.mean(h_BTD, axis=-1, keepdims=True)
        h_BTD *= jax.lax.rsqrt(jnp.mean(jnp.square(h_BTD), axis=-1, keepdims=True) + EPSILON)
        h_BTD = h_BTD * self.norm_scale[...][None, None] + self.norm_bias[...][None, None]

        rows_NPD = self.rows().reshape(len(self.names), -1, x_BTD.shape[-1])
        own_BTD = jnp.max(rows_NPD, axis=1)[place_BT // rows_NPD.shape[1]]
        source_MD = jnp.stack([jnp.max(self.sources[name][...], axis=0) for name in self.source_names])
        scores_BTM = jnp.concatenate(
            [h_BTD @ source_MD.T, jnp.sum(h_BTD * own_BTD, axis=-1, keepdims=True)], axis=-1
        )
        return jax.nn.softmax(scores_BTM / self.temperature, axis=-1)


def greatest_behind(values_BTD: jax.Array, groups_BT: jax.Array) -> jax.Array:
    """Compute at each position the maximum of the values from there to the end of its group.

    Args:
        values_BTD: the values.
        groups_BT: numbers of groups, each of neighbours.
    """
    turned_BT = jnp.flip(groups_BT, axis=1)
    begins_BT = turned_BT != jnp.pad(turned_BT, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]

    def combine(
        before: tuple[jax.Array, jax.Array], after: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        greatest = jnp.where(after[0], after[1], jnp.maximum(before[1], after[1]))
        return before[0] | after[0], greatest

    parts = begins_BT[..., None], jnp.flip(values_BTD, axis=1)
    return jnp.flip(jax.lax.associative_scan(combine, parts, axis=1)[1], axis=1)


def attended(network: nnx.Module, tokens_BT: jax.Array, inputs_BT: jax.Array) -> jax.Array:
    """Compute the shares of the prompts that each example of a batch is given: shares_BM, those of the
    sources and last that of the task's own.

    Args:
        network: of a model with an `Attempt`.
        tokens_BT: examples, one a row, with their soft tokens.
        inputs_BT: 1 for these, 0 for padding.
    """
    table = table_of(network)
    mixed: MixedTokens = table.adapter
    is_soft_BT = tokens_BT >= mixed.vocab
    place_BT = jnp.where(is_soft_BT, tokens_BT - mixed.vocab, 0)
    x_BTD = table.look_up(jnp.where(is_soft_BT, 0, tokens_BT))
    return mixed.shares(x_BTD, is_soft_BT, place_BT, inputs_BT)[:, 0]
