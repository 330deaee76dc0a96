"""T5's objectives on plain text, in numpy: span corruption and prefix language modelling.

The choices are random, and a function of the seed, task, row, piece and rendering, so that a rebuilt cache is
the same.
"""

import itertools
import operator
import zlib
from collections.abc import Sequence

import numpy as np

OBJECTIVES = ('span_corruption', 'prefix_lm')


def generator(seed: int, task: str, *place: int) -> np.random.Generator:
    """Return the random generator of one place: (row, start of a piece, rendering) of a task."""
    return np.random.Generator(np.random.PCG64([seed, zlib.crc32(task.encode()), *place]))


def noise_mask(
    length: int, density: float, mean_span: float, random: np.random.Generator, roll: bool = False
) -> list[bool]:
    """Choose the tokens to hide, as T5's `random_spans_noise_mask` does: kept and hidden spans alternate,
    starting with a kept one.

    Source: Raffel et al. 2020, section 3.1.4, and t5/data/preprocessors.py.

    Args:
        length: the number of tokens.
        density: the share of tokens to hide.
        mean_span: the mean length of a hidden span.
        random: the random numbers to use.
        roll: rotate the mask by a random offset.

    Returns:
        For each token, whether it is hidden.

    Raises:
        ValueError: there are fewer than 2 tokens.
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
    """Cut items into segments of at least one item, every way to cut being as likely; return the lengths of
    the segments.
    """
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
    """Hide spans: in the inputs a sentinel replaces each span, and the targets have each sentinel followed by
    its span.

    Args:
        tokens: 2 or more ids, without EOS.
        random: the random numbers to use.
        sentinels: the ids of the sentinels in the order of their use.
        density: the share of tokens to hide.
        mean_span: the mean length of a hidden span, in tokens.
        roll: rotate the choice of tokens by a random offset. Without it, as in T5, a text always ends with a
            hidden span.

    Returns:
        Inputs and targets, without EOS.

    Raises:
        ValueError: there are fewer than 2 tokens, or more spans than sentinels.
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
            raise ValueError(
                f'{len(tokens)} tokens have more spans than the {len(sentinels)} sentinels; cut shorter '
                'pieces'
            )
        inputs.append(sentinel)
        targets += [sentinel, *span]
    return inputs, targets


def prefix_lm(
    tokens: Sequence[int], random: np.random.Generator, *, longest: int | None = None
) -> tuple[Sequence[int], Sequence[int]]:
    """Cut a text at a random place into inputs and targets, neither of them empty.

    Args:
        tokens: 2 or more ids, without EOS.
        random: the random numbers to use.
        longest: the greatest number of tokens in the targets; by default there is no limit.

    Returns:
        Inputs and targets, without EOS.

    Raises:
        ValueError: there are fewer than 2 tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f'a text of {len(tokens)} tokens cannot be cut in two; expected 2 or more')
    first = 1 if longest is None else max(1, len(tokens) - longest)
    cut = int(random.integers(first, len(tokens)))
    return tokens[:cut], tokens[cut:]
