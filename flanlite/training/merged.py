"""Adapters merged into the models that they belong to, in parts, so that no whole model is in memory."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from flanlite.model.adapters import PART, Adapter
from flanlite.model.linear_adapters import LinearAdapter
from flanlite.training.lazy import LazyArray


def merge(
    adapter: Adapter, own: Mapping[str, LazyArray], change: Mapping[str, LazyArray]
) -> dict[str, LazyArray]:
    """Return a model's own arrays, float32, changed so that the model computes without the adapter what it
    computed with it.

    Args:
        adapter: the adapter.
        own: the model's arrays by name.
        change: the adapter's arrays by name.

    Raises:
        ValueError: the adapter changes no parameters.
    """
    check(adapter)

    def merged(name: str, array: LazyArray) -> LazyArray:
        def read(layers: slice) -> np.ndarray:
            return merge_part(adapter, name, array.read_first(layers), change, layers)

        return LazyArray.by_first(array.shape, read)

    return {name: merged(name, array) for name, array in own.items()}


def check(adapter: Adapter) -> None:
    """Raise a `ValueError` if no parameters of a model do what an adapter does."""
    if not isinstance(adapter, LinearAdapter):
        raise ValueError(
            f'{type(adapter).__name__} changes no parameter of a model, so it cannot be merged into one; '
            'convert it alone: --form=peft, or --form=npy'
        )


def merge_part(
    adapter: LinearAdapter, name: str, part: np.ndarray, change: Mapping[str, LazyArray], layers: slice
) -> np.ndarray:
    """Return a part of an array of a model, float32, as it is with the adapter merged into it.

    Args:
        adapter: the adapter.
        name: of the array.
        part: of the model's own array.
        change: the adapter's arrays by name.
        layers: which entries of the first axis the part has.
    """
    part = rounded(adapter, part)
    linear, _, kind = name.rpartition('/')
    begins = f'{linear}/{PART}/'
    read = {
        key.removeprefix(begins): array.read_first(layers)
        for key, array in change.items()
        if key.startswith(begins)
    }
    return np.asarray(adapter.merged(kind, part, read, linear)) if read else part


def rounded(adapter: LinearAdapter, part: np.ndarray) -> np.ndarray:
    """Return a part of a model's own array as the adapter was trained beside it, in float32."""
    return part.astype(jnp.dtype(adapter.base_dtype)).astype(np.float32)
