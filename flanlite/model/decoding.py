"""Greedy decoding, sampling and beam search over a step function that decodes one token of each row.

A step is `step(tokens_B, cache) -> (logits_BV, cache)`, such as a network's `decode_step`. The first step
gets `cache.first_B`. Every loop stops as soon as no row can change any more. In beam search X is B x W: the
cache has a row for each beam.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from flanlite.model.attention.attention import DecodingCache

Step = Callable[[jax.Array, DecodingCache], tuple[jax.Array, DecodingCache]]

EOS = 1
UNREACHABLE = -1e7  # log-probability of what is excluded (t5x.decoding.NEG_INF)


class Decoded(NamedTuple):
    """Decoded tokens, each row ended by EOS unless it was cut off, and padded by 0; and their scores."""

    tokens: jax.Array
    scores: jax.Array


def greedy(step: Step, cache: DecodingCache, eos_id: int = EOS) -> Decoded:
    """Take the most probable token at each position.

    Args:
        step: see the module's docstring.
        cache: from `start_decoding`.
        eos_id: the token that ends a row.

    Returns:
        tokens_BT, and scores_B: the summed log-probabilities of each row's tokens.
    """
    return _decode(
        step, cache, lambda logits_BV, _: jnp.argmax(logits_BV, axis=-1), jax.random.key(0), eos_id
    )


def temperature_sample(
    step: Step,
    cache: DecodingCache,
    key: jax.Array,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 0.0,
    eos_id: int = EOS,
) -> Decoded:
    """Sample each token.

    Args:
        step: see the module's docstring.
        cache: from `start_decoding`; `cache.repeat(n)` gives n samples a source.
        key: randomness.
        temperature: divides the logits; 0 is greedy decoding.
        top_k: sample among the k most probable tokens; 0 for all.
        top_p: sample among the fewest most probable tokens whose probabilities sum to at least this; 0 for
            all.
        eos_id: the token that ends a row.

    Returns:
        tokens_BT, and scores_B: the summed log-probabilities of each row's tokens before temperature, `top_k`
            and `top_p`.

    Raises:
        ValueError: both `top_k` and `top_p`, or a negative temperature.
    """
    if top_k and top_p:
        raise ValueError(f'got top_k={top_k} and top_p={top_p}; give one of them, the other 0')
    if temperature < 0.0:
        raise ValueError(f'temperature is {temperature}; expected 0 (greedy) or more')
    if temperature == 0.0:
        return greedy(step, cache, eos_id)

    def pick(logits_BV: jax.Array, key: jax.Array) -> jax.Array:
        logits_BV = logits_BV / temperature
        if top_k:
            least_B1 = jax.lax.top_k(logits_BV, min(top_k, logits_BV.shape[-1]))[0][:, -1:]
            logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
        if top_p:
            sorted_BV = -jnp.sort(-logits_BV, axis=-1)
            before_BV = jnp.cumsum(jax.nn.softmax(sorted_BV), axis=-1) - jax.nn.softmax(sorted_BV)
            least_B1 = jnp.min(jnp.where(before_BV < top_p, sorted_BV, jnp.inf), axis=-1, keepdims=True)
            logits_BV = jnp.where(logits_BV < least_B1, -jnp.inf, logits_BV)
        return jax.random.categorical(key, logits_BV)

    return _decode(step, cache, pick, key, eos_id)


def _decode(
    step: Step,
    cache: DecodingCache,
    pick: Callable[[jax.Array, jax.Array], jax.Array],
    key: jax.Array,
    eos_id: int,
) -> Decoded:
    """Decode until every row has ended; `pick(logits_BV, key)` chooses the next tokens."""
    B, T = cache.key_LBTGK.shape[1:3]

    def unfinished(state: tuple) -> jax.Array:
        i, _, ended_B, *_ = state
        return (i < T) & ~jnp.all(ended_B)

    def body(state: tuple) -> tuple:
        i, last_B, ended_B, tokens_BT, scores_B, cache = state
        logits_BV, cache = step(last_B, cache)
        next_B = jnp.where(ended_B, 0, pick(logits_BV, jax.random.fold_in(key, i)).astype(jnp.int32))
        log_prob_B = jnp.take_along_axis(jax.nn.log_softmax(logits_BV), next_B[:, None], axis=-1)[:, 0]
        scores_B = scores_B + jnp.where(ended_B, 0.0, log_prob_B)
        tokens_BT = jax.lax.dynamic_update_slice(tokens_BT, next_B[:, None], (0, i))
        return i + 1, next_B, ended_B | (next_B == eos_id), tokens_BT, scores_B, cache

    start = (
        jnp.int32(0),
        cache.first_B,
        jnp.zeros(B, bool),
        jnp.zeros((B, T), jnp.int32),
        jnp.zeros(B),
        cache,
    )
    _, _, _, tokens_BT, scores_B, _ = jax.lax.while_loop(unfinished, body, start)
    return Decoded(tokens_BT, scores_B)


class _Beams(NamedTuple):
    """Hypotheses of each row, unfinished (live) and finished (done), each in descending order of score."""

    live_scores_BW: jax.Array  # log-probabilities
    live_tokens_BWT: jax.Array
    done_scores_BW: jax.Array  # normalised by length
    done_tokens_BWT: jax.Array
    done_BW: jax.Array  # whether there is a finished hypothesis in this place


def _penalty(length: jax.Array | int, alpha: float) -> jax.Array:
    return jnp.power((5.0 + length) / 6.0, alpha)


def _best(scores_BC: jax.Array, n: int, *others: jax.Array) -> list[jax.Array]:
    """Take the n best of C hypotheses: return their scores, their places, and the entries of the other arrays
    at these places.
    """
    top_BW, places_BW = jax.lax.top_k(scores_BC, n)
    gathered = [
        jnp.take_along_axis(x, places_BW.reshape(places_BW.shape + (1,) * (x.ndim - 2)), axis=1)
        for x in others
    ]
    return [top_BW, places_BW, *gathered]


def beam_search(
    step: Step, cache: DecodingCache, num_beams: int = 4, alpha: float = 0.6, eos_id: int = EOS
) -> Decoded:
    """Search for the most probable sequences as t5x.decoding.beam_search does.

    Finished hypotheses are compared by log-probability / ((5 + length) / 6)^alpha. A row without a finished
    hypothesis returns its unfinished ones, with their log-probabilities as scores. Each step considers the 2
    W best continuations, so that W stay alive even if W of them end.

    Args:
        step: see the module's docstring.
        cache: from `start_decoding`, one row a source.
        num_beams: number W of hypotheses kept and returned.
        alpha: exponent of the length penalty; 0 compares log-probabilities.
        eos_id: the token that ends a hypothesis.

    Returns:
        tokens_BWT and scores_BW, the best hypothesis first.
    """
    B, T = cache.key_LBTGK.shape[1:3]
    W = num_beams
    rows_B1 = jnp.arange(B)[:, None] * W

    def can_improve(state: tuple) -> jax.Array:
        i, _, beams, _ = state
        # T + 1: T5X counts the first token fed as well.
        best_live_B = beams.live_scores_BW[:, 0] / _penalty(T + 1, alpha)
        worst_done_B = jnp.where(jnp.all(beams.done_BW, axis=1), beams.done_scores_BW[:, -1], UNREACHABLE)
        return (i < T) & ~jnp.all(worst_done_B > best_live_B)

    def body(state: tuple) -> tuple:
        i, last_BW, beams, cache = state
        logits_XV, cache = step(last_BW.reshape(B * W), cache)
        V = logits_XV.shape[-1]
        scores_BWV = jax.nn.log_softmax(logits_XV).reshape(B, W, V) + beams.live_scores_BW[..., None]
        scores_BC, places_BC = jax.lax.top_k(scores_BWV.reshape(B, W * V), 2 * W)
        parents_BC, next_BC = places_BC // V, (places_BC % V).astype(jnp.int32)
        tokens_BCT = jnp.take_along_axis(beams.live_tokens_BWT, parents_BC[..., None], axis=1)
        tokens_BCT = jax.lax.dynamic_update_slice(tokens_BCT, next_BC[..., None], (0, 0, i))
        ended_BC = next_BC == eos_id

        live_scores_BC = jnp.where(ended_BC, UNREACHABLE + scores_BC, scores_BC)
        live_scores_BW, _, parents_BW, last_BW, live_tokens_BWT = _best(
            live_scores_BC, W, parents_BC, next_BC, tokens_BCT
        )
        cache = cache.reorder((rows_B1 + parents_BW).reshape(B * W))

        done_scores_BC = jnp.where(ended_BC, scores_BC / _penalty(i + 1, alpha), UNREACHABLE)
        candidates = (
            jnp.concatenate([beams.done_scores_BW, done_scores_BC], axis=1),
            W,
            jnp.concatenate([beams.done_tokens_BWT, tokens_BCT], axis=1),
            jnp.concatenate([beams.done_BW, ended_BC], axis=1),
        )
        done_scores_BW, _, done_tokens_BWT, done_BW = _best(*candidates)
        return (
            i + 1,
            last_BW,
            _Beams(live_scores_BW, live_tokens_BWT, done_scores_BW, done_tokens_BWT, done_BW),
            cache,
        )

    empty_BWT = jnp.zeros((B, W, T), jnp.int32)
    # All beams begin equal, so only one counts.
    first_BW = jnp.broadcast_to(jnp.where(jnp.arange(W) == 0, 0.0, UNREACHABLE)[None], (B, W))
    beams = _Beams(first_BW, empty_BWT, jnp.full((B, W), UNREACHABLE), empty_BWT, jnp.zeros((B, W), bool))
    cache = cache.repeat(W)
    start = (jnp.int32(0), cache.first_B.reshape(B, W), beams, cache)
    beams = jax.lax.while_loop(can_improve, body, start)[2]
    any_done_B = jnp.any(beams.done_BW, axis=1)
    tokens_BWT = jnp.where(any_done_B[:, None, None], beams.done_tokens_BWT, beams.live_tokens_BWT)
    return Decoded(tokens_BWT, jnp.where(any_done_B[:, None], beams.done_scores_BW, beams.live_scores_BW))
