"""What all adapters have in common.

An adapter is a value, the field `adapter` of a model's config, which puts its parameters into the network. It
touches a network in three places: at linear maps (`linear_adapters`), where tokens are embedded
(`soft_prompt`), and at the keys and values of attention (`soft_prefix`). The names of its parameters have
`adapter` among their parts, by which training and checkpoints tell them from the model's own (`FROZEN`).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from flax import nnx, traverse_util

from flanlite.config import value
from flanlite.limits import one_of

PART = 'adapter'  # of the names of an adapter's parameters
FROZEN = (rf'(?!(.*/)?{PART}/).*',)  # pattern of all other parameters
Tree = Any


@value
class Adapter:
    """What all adapters have.

    Args:
        base_dtype: in which the model's own parameters are kept: 'float32' or 'bfloat16'.
    """

    base_dtype: Annotated[str, one_of('float32', 'bfloat16')] = dataclasses.field(
        default='float32', kw_only=True
    )

    @property
    def frozen(self) -> tuple[str, ...]:
        """Patterns of those of the adapter's own parameters that do not train."""
        return ()

    def attach(self, network: nnx.Module, rngs: nnx.Rngs) -> None:
        """Put the adapter's parameters into a network.

        Raises:
            ValueError: there is no place for them.
        """
        raise NotImplementedError

    def prompt(self, task: str | None, first: int) -> np.ndarray:
        """Return the ids of the soft tokens before a task's inputs: int32[P], none by default.

        Args:
            task: its name, or None where no task is known.
            first: the first id that is no token of the vocabulary.
        """
        del task, first
        return np.zeros(0, np.int32)

    def begin(self, params: Tree, start: 'Start') -> Tree:
        """Return the parameters that training begins with.

        Args:
            params: the model's own, and the adapter's as they were drawn, a nested dict.
            start: what they may be made from.
        """
        del start
        return params


class Start:
    """What the first parameters of an adapter may be made from.

    Args:
        encode: turns a text into token ids, without EOS.
        options: returns the answer options of a task's data set; of None, those of the whole mixture.
        seed: of what is drawn.
        embedding_scale: what the model multiplies the embeddings of its inputs' tokens by.
    """

    def __init__(
        self,
        encode: Callable[[str], np.ndarray],
        options: Callable[[str | None], Sequence[str]],
        seed: int,
        embedding_scale: float,
    ) -> None:
        self.encode, self.options, self.seed = encode, options, seed
        self.embedding_scale = embedding_scale


def is_adapters(path: Sequence[Any]) -> bool:
    """Return whether a parameter is an adapter's, by the parts of its name."""
    return PART in path


def parts(params: Tree) -> tuple[Tree, Tree]:
    """Split a model's parameters, a nested dict: into the model's own and the adapter's."""
    flat = traverse_util.flatten_dict(params)
    return tuple(
        traverse_util.unflatten_dict({path: leaf for path, leaf in flat.items() if is_adapters(path) == of})
        for of in (False, True)
    )


def put_together(base: Tree, own: Tree) -> Tree:
    """Join what `parts` splits."""
    return traverse_util.unflatten_dict(traverse_util.flatten_dict(base) | traverse_util.flatten_dict(own))
