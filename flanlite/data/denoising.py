"""T5's objectives on plain text, in numpy: span corruption and prefix language modelling. Random, and the same for the same place."""

import zlib

import numpy as np

OBJECTIVES = ('span_corruption', 'prefix_lm')


def generator(seed: int, task: str, *place: int) -> np.random.Generator:
    """Make the random numbers of one place: a task's row, a piece of it, a rendering."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(task.encode()), *place]))


def noise_mask(length: int, density: float, mean_span: float, random: np.random.Generator) -> np.ndarray:
    """Choose the spans to hide, as T5's `random_spans_noise_mask` does: bool[length], kept and hidden spans in turn, a kept one first.

    Source: Raffel et al. 2020, section 3.1.4, and t5/data/preprocessors.py.
    """
    if length < 2:
        raise ValueError(f'a text of {length} tokens is too short to hide a span of; expected 2 or more')
    hidden = min(max(int(np.round(length * density)), 1), length - 1)
    kept = length - hidden
    spans = min(max(int(np.round(hidden / mean_span)), 1), kept)
    lengths = np.stack([segment(kept, spans, random), segment(hidden, spans, random)], axis=1).reshape(-1)
    return np.repeat(np.arange(2 * spans) % 2 == 1, lengths)


def segment(items: int, segments: int, random: np.random.Generator) -> np.ndarray:
    """Cut a number of items into so many segments of at least one, each way as likely: int[segments]."""
    cuts = np.sort(random.permutation(items - 1)[: segments - 1]) + 1
    return np.diff(cuts, prepend=0, append=items)


def span_corruption(
    tokens: np.ndarray, random: np.random.Generator, *, sentinels: np.ndarray, density: float = 0.15, mean_span: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """Hide spans: the inputs have a sentinel in each one's place, the targets each sentinel and what it hides.

    Args:
        tokens: int[length], 2 or more, without EOS.
        random: the random numbers to use.
        sentinels: int[count], the sentinels' ids in the order of their use.
        density: the share of tokens to hide.
        mean_span: the mean length of a hidden span.

    Returns:
        inputs and targets, without EOS.

    Raises:
        ValueError: there are more spans than sentinels.
    """
    mask = noise_mask(len(tokens), density, mean_span, random)
    starts = mask & ~np.concatenate([[False], mask[:-1]])
    count = int(starts.sum())
    if count > len(sentinels):
        raise ValueError(f'{len(tokens)} tokens have {count} spans, the vocabulary has {len(sentinels)} sentinels; cut shorter pieces')
    inputs = tokens.copy()
    inputs[starts] = sentinels[:count]
    spans = np.insert(tokens, np.flatnonzero(starts), sentinels[:count])  # each sentinel before the span that it stands for
    return inputs[~mask | starts], spans[np.insert(mask, np.flatnonzero(starts), True)]


def prefix_lm(tokens: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut a text at a random place: the inputs are what stands before, the targets the rest; neither is empty."""
    if len(tokens) < 2:
        raise ValueError(f'a text of {len(tokens)} tokens cannot be cut in two; expected 2 or more')
    cut = int(random.integers(1, len(tokens)))
    return tokens[:cut], tokens[cut:]
