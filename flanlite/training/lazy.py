"""Arrays on disk that are read in parts, so that a process loads only what its devices hold of a checkpoint.

A `LazyArray` is a shape and a function that reads a slice. The functions below change the layout (transpose,
stack, merge axes) without reading: each returns a new `LazyArray` whose `read` maps the slice asked for back
to slices of its source. To add one, make the new shape, and map the index; `read` must return exactly the
part that numpy would give for that index on the changed array.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

Index = tuple[slice, ...]
BLOCK = 2**22  # numbers that `blocks` takes together


@dataclasses.dataclass(frozen=True)
class LazyArray:
    """An array that is not in memory.

    Args:
        shape: of the whole array.
        read: takes a slice for each axis, with step 1, and returns that part.
    """

    shape: tuple[int, ...]
    read: Callable[[Index], np.ndarray]

    def to_numpy(self) -> np.ndarray:
        """Read the whole array."""
        return self.read((slice(None),) * len(self.shape))

    def read_first(self, part: slice) -> np.ndarray:
        """Read a part of the first axis, and all of the others."""
        return self.read((part, *(slice(None),) * (len(self.shape) - 1)))

    @classmethod
    def by_first(cls, shape: tuple[int, ...], read: Callable[[slice], np.ndarray]) -> 'LazyArray':
        """Make a lazy array of a function that reads a part of the first axis, and all of the others."""
        return cls(shape, lambda index: read(index[0])[(slice(None), *index[1:])])


def from_numpy(value: np.ndarray) -> LazyArray:
    """Make a lazy array of an array in memory."""
    return LazyArray(tuple(value.shape), lambda index: np.asarray(value[index]))


def stack(layers: Sequence[LazyArray]) -> LazyArray:
    """Stack arrays of one shape along a new first axis. Only those that an index asks for are read."""

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
    """Merge an axis with the one after it into a single axis, as a reshape does.

    Both axes are read whole, since a slice of the merged axis is not a slice of both in general.
    """
    shape = array.shape
    size = shape[axis] * shape[axis + 1]

    def read(index: Index) -> np.ndarray:
        both = array.read((*index[:axis], slice(None), slice(None), *index[axis + 1 :]))
        flat = both.reshape(*both.shape[:axis], size, *both.shape[axis + 2 :])
        return flat[(slice(None),) * axis + (index[axis],)]

    return LazyArray((*shape[:axis], size, *shape[axis + 2 :]), read)


def take_layer(array: LazyArray, number: int) -> LazyArray:
    """Take one entry of the first axis; the result has one axis less."""
    return LazyArray(array.shape[1:], lambda index: array.read((slice(number, number + 1), *index))[0])


def add(array: LazyArray, number: float) -> LazyArray:
    """Add a number, in float32."""
    return LazyArray(array.shape, lambda index: array.read(index).astype(np.float32) + np.float32(number))


def same(array: LazyArray, other: LazyArray, difference: str) -> LazyArray:
    """Return an array that is held twice; reading it raises `ValueError(difference)` where the two differ."""

    def read(index: Index) -> np.ndarray:
        part, again = array.read(index), other.read(index)
        if not np.array_equal(part, again):
            raise ValueError(difference)
        return part

    return LazyArray(array.shape, read)


def one_at_a_time(arrays: Mapping[str, LazyArray]) -> dict[str, LazyArray]:
    """Return arrays that are read whole, and of which the last one stays in memory: where a part cannot be
    read without the rest, as often with tensorstore, each array is so read once for all its parts. The parts
    are views, to be left as they are.
    """
    held: dict[str, np.ndarray] = {}

    def keeping(name: str, array: LazyArray) -> LazyArray:
        def read(index: Index) -> np.ndarray:
            if name not in held:
                held.clear()
                held[name] = array.to_numpy()
            return held[name][index]

        return LazyArray(array.shape, read)

    return {name: keeping(name, array) for name, array in arrays.items()}


def blocks(shape: Sequence[int], rows: slice = slice(None)) -> Iterator[slice]:
    """Cut a part of the first axis of an array to parts of about `BLOCK` numbers, or of one entry.

    Args:
        shape: of the array.
        rows: which entries of the first axis.
    """
    begin, end, _ = rows.indices(shape[0])
    step = max(1, BLOCK // max(1, math.prod(shape[1:])))
    for first in range(begin, end, step):
        yield slice(first, min(first + step, end))
