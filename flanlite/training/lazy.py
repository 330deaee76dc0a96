"""Arrays that lie on disk and are read piece by piece: what is needed of a checkpoint, and no more of it, comes into memory."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

Index = tuple[slice, ...]


@dataclasses.dataclass(frozen=True)
class LazyArray:
    """An array by its shape and a function that reads a part of it.

    Args:
        shape: of the whole.
        read: takes a slice for each axis and returns that part.
    """

    shape: tuple[int, ...]
    read: Callable[[Index], np.ndarray]

    def to_numpy(self) -> np.ndarray:
        """Read all of it."""
        return self.read((slice(None),) * len(self.shape))


def from_numpy(value: np.ndarray) -> LazyArray:
    """Wrap an array that is in memory."""
    return LazyArray(tuple(value.shape), lambda index: np.asarray(value[index]))


def stack(layers: Sequence[LazyArray]) -> LazyArray:
    """Stack arrays of one shape on a new first axis."""

    def read(index: Index) -> np.ndarray:
        return np.stack([layer.read(index[1:]) for layer in layers[index[0]]])

    return LazyArray((len(layers), *layers[0].shape), read)


def transpose(array: LazyArray) -> LazyArray:
    """Reverse the axes."""
    return LazyArray(array.shape[::-1], lambda index: array.read(index[::-1]).T)


def move_axis_first(array: LazyArray, axis: int) -> LazyArray:
    """Move an axis to the front."""
    shape = list(array.shape)
    first = shape.pop(axis)

    def read(index: Index) -> np.ndarray:
        others = list(index[1:])
        others.insert(axis, index[0])
        return np.moveaxis(array.read(tuple(others)), axis, 0)

    return LazyArray((first, *shape), read)


def merge_axes(array: LazyArray, axis: int) -> LazyArray:
    """Join an axis with the one after it."""
    shape = array.shape
    size = shape[axis] * shape[axis + 1]

    def read(index: Index) -> np.ndarray:
        both = array.read((*index[:axis], slice(None), slice(None), *index[axis + 1 :]))
        flat = both.reshape(*both.shape[:axis], size, *both.shape[axis + 2 :])
        return flat[(slice(None),) * axis + (index[axis],)]

    return LazyArray((*shape[:axis], size, *shape[axis + 2 :]), read)


def take_layer(array: LazyArray, number: int) -> LazyArray:
    """Take one entry of the first axis, which is gone then."""
    return LazyArray(array.shape[1:], lambda index: array.read((slice(number, number + 1), *index))[0])
