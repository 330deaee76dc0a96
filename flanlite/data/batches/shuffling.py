"""Shuffled orders as pure functions of seeds and positions: any place in them without making the rest."""

import numpy as np


def shuffle(size: int, *seeds: int) -> np.ndarray:
    """Permute `size` numbers as a function of the seeds; the same with every version of NumPy."""
    keys = np.random.Philox(np.random.SeedSequence(seeds)).random_raw(size)
    return np.argsort(keys, kind='stable')


def permute(position: np.ndarray, size: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Say what stands at positions of shuffled ranges, each of its own size and seed, without making the ranges.

    A Feistel network over the smallest grid that holds the range; what falls beside the range goes through it again (Black and Rogaway
    2002, "Ciphers with arbitrary finite domains").

    Args:
        position: int64[N], each from 0 to its size - 1.
        size: int64[N].
        seed: uint64[N].
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
    """Hash numbers to 31 bits (the finalizer of SplitMix64)."""
    mixed = value.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + seed * np.uint64(0xD1342543DE82EF95) + np.uint64(turn << 56)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return (mixed >> np.uint64(33)).astype(np.int64)
