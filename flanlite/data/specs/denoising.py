"""T5's objectives on plain text, in numpy: span corruption and prefix language modelling. Random, and the same for the same place."""

import itertools
import operator
import zlib
from collections.abc import Sequence

import numpy as np

OBJECTIVES = ('span_corruption', 'prefix_lm')


def generator(seed: int, task: str, *place: int) -> np.random.Generator:
    """Make the random numbers of one place: a task's row, a piece of it, a rendering."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(task.encode()), *place]))


def noise_mask(length: int, density: float, mean_span: float, random: np.random.Generator, roll: bool = False) -> list[bool]:
    """Choose the tokens to hide, as T5's `random_spans_noise_mask` does: kept and hidden spans in turn, a kept one first.

    Source: Raffel et al. 2020, section 3.1.4, and t5/data/preprocessors.py.
    """
    if length < 2:
        raise ValueError(f'a text of {length} tokens is too short to hide a span of; expected 2 or more')
    hidden = min(max(round(length * density), 1), length - 1)
    kept = length - hidden
    spans = min(max(round(hidden / mean_span), 1), kept)
    mask: list[bool] = []
    for shown, gone in zip(segment(kept, spans, random), segment(hidden, spans, random), strict=True):
        mask += [False] * shown + [True] * gone
    offset = int(random.integers(length)) if roll else 0
    return mask[offset:] + mask[:offset]


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
    roll: bool = False,
) -> tuple[list[int], list[int]]:
    """Hide spans: the inputs have a sentinel in each one's place, the targets each sentinel and what it hides.

    Args:
        tokens: 2 or more, without EOS.
        random: the random numbers to use.
        sentinels: the sentinels' ids in the order of their use.
        density: the share of tokens to hide.
        mean_span: the mean length of a hidden span.
        roll: turn the choice of tokens round by a random offset. Without it, as in T5, a text always ends with a hidden span.

    Returns:
        inputs and targets, without EOS.

    Raises:
        ValueError: there are more spans than sentinels.
    """
    mask = noise_mask(len(tokens), density, mean_span, random, roll)
    remaining = iter(sentinels)
    inputs, targets = [], []
    for hidden, group in itertools.groupby(zip(mask, tokens, strict=True), operator.itemgetter(0)):
        span = [token for _, token in group]
        if not hidden:
            inputs += span
            continue
        sentinel = next(remaining, None)
        if sentinel is None:
            raise ValueError(f'{len(tokens)} tokens have more spans than the {len(sentinels)} sentinels; cut shorter pieces')
        inputs.append(sentinel)
        targets += [sentinel, *span]
    return inputs, targets


def prefix_lm(
    tokens: Sequence[int], random: np.random.Generator, *, longest: int | None = None
) -> tuple[Sequence[int], Sequence[int]]:
    """Cut a text at a random place: the inputs are what stands before, the targets the rest; neither is empty.

    Args:
        tokens: 2 or more, without EOS.
        random: the random numbers to use.
        longest: the targets' greatest number of tokens; by default any place is as likely.
    """
    if len(tokens) < 2:
        raise ValueError(f'a text of {len(tokens)} tokens cannot be cut in two; expected 2 or more')
    first = 1 if longest is None else max(1, len(tokens) - longest)
    cut = int(random.integers(first, len(tokens)))
    return tokens[:cut], tokens[cut:]
