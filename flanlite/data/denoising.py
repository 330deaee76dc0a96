"""T5's objectives on plain text, in numpy: span corruption and prefix language modelling. Random, and the same for the same place."""

import itertools
import zlib
from collections.abc import Sequence

import numpy as np

OBJECTIVES = ('span_corruption', 'prefix_lm')


def generator(seed: int, task: str, *place: int) -> np.random.Generator:
    """Make the random numbers of one place: a task's row, a piece of it, a rendering."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(task.encode()), *place]))


def noise_spans(length: int, density: float, mean_span: float, random: np.random.Generator) -> list[tuple[int, int]]:
    """Choose the spans to hide, as T5's `random_spans_noise_mask` does: (tokens kept, tokens hidden after them) for each.

    Source: Raffel et al. 2020, section 3.1.4, and t5/data/preprocessors.py.
    """
    if length < 2:
        raise ValueError(f'a text of {length} tokens is too short to hide a span of; expected 2 or more')
    hidden = min(max(round(length * density), 1), length - 1)
    kept = length - hidden
    spans = min(max(round(hidden / mean_span), 1), kept)
    return list(zip(segment(kept, spans, random), segment(hidden, spans, random), strict=True))


def segment(items: int, segments: int, random: np.random.Generator) -> list[int]:
    """Cut a number of items into so many segments of at least one, each way as likely; return their lengths."""
    cuts = [0, *sorted((random.permutation(items - 1)[: segments - 1] + 1).tolist()), items]
    return [stop - start for start, stop in itertools.pairwise(cuts)]


def span_corruption(
    tokens: Sequence[int],
    random: np.random.Generator,
    *,
    sentinels: Sequence[int],
    density: float = 0.15,
    mean_span: float = 3.0,
) -> tuple[list[int], list[int]]:
    """Hide spans: the inputs have a sentinel in each one's place, the targets each sentinel and what it hides.

    Args:
        tokens: 2 or more, without EOS.
        random: the random numbers to use.
        sentinels: the sentinels' ids in the order of their use.
        density: the share of tokens to hide.
        mean_span: the mean length of a hidden span.

    Returns:
        inputs and targets, without EOS.

    Raises:
        ValueError: there are more spans than sentinels.
    """
    spans = noise_spans(len(tokens), density, mean_span, random)
    if len(spans) > len(sentinels):
        raise ValueError(f'{len(tokens)} tokens have {len(spans)} spans, the vocabulary has {len(sentinels)} sentinels; cut shorter pieces')
    inputs, targets, start = [], [], 0
    for (kept, hidden), sentinel in zip(spans, sentinels, strict=False):
        inputs += [*tokens[start : start + kept], sentinel]
        targets += [sentinel, *tokens[start + kept : start + kept + hidden]]
        start += kept + hidden
    return inputs, targets


def prefix_lm(tokens: Sequence[int], random: np.random.Generator) -> tuple[Sequence[int], Sequence[int]]:
    """Cut a text at a random place: the inputs are what stands before, the targets the rest; neither is empty."""
    if len(tokens) < 2:
        raise ValueError(f'a text of {len(tokens)} tokens cannot be cut in two; expected 2 or more')
    cut = int(random.integers(1, len(tokens)))
    return tokens[:cut], tokens[cut:]
