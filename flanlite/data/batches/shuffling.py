"""Shuffled orders as pure functions of seeds and positions, so that a run continues from any position without
replaying the order.
"""

import numpy as np


def shuffle(size: int, *seeds: int) -> np.ndarray:
    """Return a permutation of `size` numbers as a function of the seeds.

    It sorts raw bits of Philox, which NumPy keeps the same in all versions; it does not promise this of
    `Generator.permutation`.
    """
    keys = np.random.Philox(np.random.SeedSequence(seeds)).random_raw(size)
    return np.argsort(keys, kind='stable')


def permute(position: np.ndarray, size: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Return the numbers at positions of shuffled ranges, each of its own size and seed, without computing
    the whole ranges.

    A range is laid out on a grid of about sqrt(size) rows and columns. Each round of a Feistel network shifts
    the row by a hash of the column, or the column by a hash of the row. Such a shift can be undone, so the
    network is a permutation of the grid. The grid may have a few cells more than the range. A number that
    falls there goes through the network again until it falls into the range, which gives a permutation of the
    range (cycle walking; Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    Args:
        position: int64[N], each from 0 to its size - 1.
        size: int64[N], the sizes of the ranges.
        seed: uint64[N], the seeds of the ranges.

    Returns:
        int64[N], each from 0 to its size - 1.
    """
    height = np.ceil(np.sqrt(size)).astype(np.int64)
    width = -(-size // height)
    found = position.copy()
    todo = np.arange(len(position))
    while len(todo):
        high, low = np.divmod(found[todo], width[todo])
        for turn in range(0, 6, 2):
            high = (high + scramble(low, seed[todo], turn)) % height[todo]
            low = (low + scramble(high, seed[todo], turn + 1)) % width[todo]
        found[todo] = high * width[todo] + low
        todo = todo[found[todo] >= size[todo]]
    return found


def scramble(value: np.ndarray, seed: np.ndarray, turn: int) -> np.ndarray:
    """Hash numbers to 31 bits, with the finalizer of SplitMix64 (Steele et al. 2014); `turn` makes the rounds
    differ.
    """
    mixed = (
        value.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        + seed * np.uint64(0xD1342543DE82EF95)
        + np.uint64(turn << 56)
    )
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed >> np.uint64(33)).astype(np.int64)
