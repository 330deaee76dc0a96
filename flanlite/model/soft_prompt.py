"""Soft prompts (Lester et al. 2021): rows of an embedding that no token of the vocabulary has.

Soft tokens are ids, from `vocab_size` on. Batches put those of a task before the inputs of each of its
examples, so that packing, ranking, decoding and meshes treat them as they treat tokens, and one batch may
hold many prompts. In the names of arrays P are the rows of a prompt, and N those of all prompts.
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx, traverse_util

from flanlite.config import closest, value
from flanlite.limits import Length, Name, one_of
from flanlite.model.adapters import PART, Adapter, Start
from flanlite.model.layers import Embedding
from flanlite.paths import LocalPath

FREQUENT = 5_000  # ids that 'vocabulary' draws from: a vocabulary has its most frequent tokens first
BOUND = 0.5  # of 'random' rows, as in the paper
ONE = 'prompt'  # the name of a prompt that all tasks share
INIT = ('vocabulary', 'random', 'labels', 'text', 'file')
Tree = Any


@value
class SoftTokens(Adapter):
    """Soft tokens before the inputs.

    Args:
        length: how many. They count as inputs, and take their room in a row.
        tasks: the data sets that have soft tokens of their own, by their names; by default all have the same.

    The other fields are those of every adapter; see `adapters.Adapter`.
    """

    length: Length = 100
    tasks: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f'{kind}.tasks is {self.tasks}; expected different names')

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks, or the one name of what all share."""
        return self.tasks or (ONE,)

    def attach(self, network: nnx.Module, rngs: nnx.Rngs) -> None:
        """See `Adapter.attach`."""
        table = table_of(network)
        table.adapter = nnx.data(self.tokens(table, rngs.params()))

    def tokens(self, table: Embedding, key: jax.Array) -> nnx.Module:
        """Make what embeds soft tokens, beside a table of embeddings.

        Args:
            table: the embeddings.
            key: source of the first values.
        """
        raise NotImplementedError

    def prompt(self, task: str | None, first: int) -> np.ndarray:
        """See `Adapter.prompt`; a `ValueError` where the task has none."""
        if not self.choices:
            return self._ids(first, 0)
        self._check_choice(task)
        return self._ids(first, self.names.index(task))

    @property
    def choices(self) -> tuple[str, ...]:
        """The tasks whose soft tokens may be asked for; none where all share the same."""
        return self.tasks

    def _check_choice(self, task: str | None) -> None:
        if task not in self.choices:
            raise ValueError(
                f'{task or "the input"} has no soft prompt; {closest(str(task), self.choices)}there are '
                f'those of {", ".join(self.choices)}: name one with --prompt (prompt=...)'
            )

    def _ids(self, first: int, number: int) -> np.ndarray:
        return first + number * self.length + np.arange(self.length, dtype=np.int32)


@value
class SoftPrompt(SoftTokens):
    """Prompt tuning: the embeddings of soft tokens train, and nothing else.

    Args:
        init: the first rows. 'vocabulary': embeddings of tokens, drawn among the 5,000 most frequent.
            'random': uniform between -0.5 and 0.5. 'labels': the embeddings of the answer options of the data
            set, the mean where one has several tokens. 'text': the embeddings of the tokens of `text`.
            'file': those of `file`. Where there are fewer labels or tokens than rows, the others are as for
            'vocabulary'.
        text: see `init`.
        file: a prompt: a .npy file, a checkpoint, or a PEFT folder. Where it has several, that of the data
            set is taken, or else the one that `source` names.
        source: see `file`.

    The other fields are those of `SoftTokens`.
    """

    init: Annotated[str, one_of(*INIT)] = 'vocabulary'
    text: str | None = None
    file: LocalPath | None = None
    source: Name | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, wanted in (('text', 'text'), ('file', 'file')):
            if (getattr(self, name) is not None) != (self.init == wanted):
                raise ValueError(
                    f'SoftPrompt.init is {self.init!r} and SoftPrompt.{name} is {getattr(self, name)!r}; '
                    f'expected a {name} where init is {wanted!r}, and none elsewhere'
                )
        if self.source is not None and self.file is None:
            raise ValueError(f'SoftPrompt.source is {self.source!r}; expected a file that it is a prompt of')

    def tokens(self, table: Embedding, key: jax.Array) -> 'PromptRows':
        """See `SoftTokens.tokens`."""
        return PromptRows(table, self.names, self.length, key)

    def files(self) -> dict[tuple[str, str], tuple[str, str | None]]:
        """Return the prompts that begin as those of a file: by the last two parts of the parameters' names,
        the file, and the prompt's name in it where it is said.
        """
        return {('prompts', name): (self.file, self.source) for name in self.names if self.file}

    def begin(self, params: Tree, start: Start) -> Tree:
        """See `Adapter.begin`."""
        if self.init in ('random', 'file'):  # as they were drawn; a file's rows are put in their place
            return params
        flat = traverse_util.flatten_dict(params)
        for path in [path for path in flat if path[-3:-1] == (PART, 'prompts')]:
            table = flat[*path[: path.index(PART)], 'embedding']
            ids, shares = self._mixed(path[-1], start, table.shape[0])
            make = jax.jit(_mix, out_shardings=flat[path].sharding)
            flat[path] = make(table, ids, shares * np.float32(start.embedding_scale))
        return traverse_util.unflatten_dict(flat)

    def _mixed(self, name: str, start: Start, vocab: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what each row is the mean of: ids_PK, and their shares_PK."""
        drawn = np.random.default_rng([start.seed, zlib.crc32(name.encode())])
        frequent = min(FREQUENT, vocab)
        rows = [[token] for token in drawn.choice(frequent, self.length, replace=self.length > frequent)]
        texts: Sequence[Sequence[int]] = []
        if self.init == 'labels':
            options = start.options(name if self.tasks else None)
            if not options:
                raise ValueError(
                    f"SoftPrompt.init is 'labels', and {name if self.tasks else 'the mixture'} has no data "
                    "set whose answer options are the same for all rows; expected one, or init = 'text'"
                )
            texts = [start.encode(option) for option in options]
        elif self.init == 'text':
            texts = [[token] for token in start.encode(self.text)]
        for row, tokens in enumerate(texts[: self.length]):
            rows[row] = list(tokens) or rows[row]
        widest = max(map(len, rows))
        ids = np.array([row + [0] * (widest - len(row)) for row in rows], np.int32)
        shares = np.array(
            [[1 / len(row)] * len(row) + [0.0] * (widest - len(row)) for row in rows], np.float32
        )
        return ids, shares


@value
class SchemaPrompt(SoftPrompt):
    """Unified schema prompts (Zhong et al. 2022): a prompt for each field of a data set, such as `premise`,
    shared by all data sets that have a field of this name. Those of a data set's fields stand before its
    inputs, one after the other; in the paper each stands before the text of its field.

    Args:
        length: soft tokens of a field.
        schemas: the fields of each data set, by its name, such as `mixtures.schemas` finds. A data set that
            is not trained on may be among them.

    The other fields are those of `SoftPrompt`, but `tasks` and the labels of `init` mean nothing here.
    """

    length: Length = 10
    schemas: Mapping[Name, tuple[Name, ...]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        fields = self.schemas.values()
        if not fields or not all(fields):
            raise ValueError(
                f'SchemaPrompt.schemas is {dict(self.schemas)}; expected the fields of each data set'
            )
        if self.tasks or self.init == 'labels':
            raise ValueError(
                f'SchemaPrompt has tasks {self.tasks} and init {self.init!r}; expected no tasks, since '
                'fields have the prompts, and an init that needs no labels'
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The fields."""
        return tuple(sorted({field for each in self.schemas.values() for field in each}))

    @property
    def choices(self) -> tuple[str, ...]:
        """See `SoftTokens.choices`."""
        return tuple(self.schemas)

    def prompt(self, task: str | None, first: int) -> np.ndarray:
        """See `Adapter.prompt`."""
        self._check_choice(task)
        return np.concatenate([self._ids(first, self.names.index(field)) for field in self.schemas[task]])


def _mix(table_VD: jax.Array, ids_PK: np.ndarray, shares_PK: np.ndarray) -> jax.Array:
    return jnp.einsum('PK,PKD->PD', shares_PK, table_VD[ids_PK].astype(jnp.float32), precision='highest')


def table_of(network: nnx.Module) -> Embedding:
    """Return the table that embeds a network's inputs."""
    tables = {path[-1]: module for path, module in nnx.iter_modules(network) if isinstance(module, Embedding)}
    return tables.get('encoder_embedder') or tables['token_embedder']


class PromptRows(nnx.Module):
    """The prompts of a `SoftPrompt`, beside a table of embeddings.

    Args:
        table: the embeddings.
        names: of the prompts.
        length: rows of each.
        key: source of the first values.
    """

    def __init__(self, table: Embedding, names: Sequence[str], length: int, key: jax.Array) -> None:
        shape = (length, table.embedding.shape[1])
        drawn = {
            name: jax.random.uniform(
                jax.random.fold_in(key, zlib.crc32(name.encode())), shape, jnp.float32, -BOUND, BOUND
            )
            for name in names
        }
        # Whole on every device, as they are small.
        self.prompts = nnx.Dict(
            {
                name: nnx.Param(rows_PD, axes=(None, None), computed_in=table.dtype)
                for name, rows_PD in drawn.items()
            }
        )
        self.names, self.vocab, self.dtype = tuple(names), table.embedding.shape[0], table.dtype

    def __call__(
        self,
        tokens_BT: jax.Array,
        look_up: Callable[[jax.Array], jax.Array],
        inputs_BT: jax.Array | None = None,
    ) -> jax.Array:
        """Embed ids: x_BTD.

        Args:
            tokens_BT: ids of tokens and of soft tokens.
            look_up: embeds tokens.
            inputs_BT: see `Embedding.__call__`.
        """
        del inputs_BT
        is_soft_BT = tokens_BT >= self.vocab
        soft_BTD = self.rows().astype(self.dtype)[jnp.where(is_soft_BT, tokens_BT - self.vocab, 0)]
        return jnp.where(is_soft_BT[..., None], soft_BTD, look_up(jnp.where(is_soft_BT, 0, tokens_BT)))

    def at_keys(self, tokens_BS: jax.Array) -> None:
        """Return nothing: no adapter of attention needs to know of these (`layers.attended_tokens`)."""
        del tokens_BS

    def rows(self) -> jax.Array:
        """Return the rows of all prompts, in the order of their ids."""
        return jnp.concatenate([self.prompts[name][...] for name in self.names])


def prompts_of(params: Tree) -> dict[str, Any]:
    """Return the prompts among a model's parameters by their names."""
    found: Mapping[Any, Any] = traverse_util.flatten_dict(params)
    return {path[-1]: leaf for path, leaf in found.items() if path[-3:-1] == (PART, 'prompts')}
