"""Rank classification: the log-probability of every answer option, given the input; the best one is the
prediction.

An option's score is the sum of its tokens' log-probabilities, EOS included, without length normalisation, as
in FLAN and T0. Each input is encoded once for all its options. Lengths are rounded up to a few sizes, so that
few shapes are compiled; all models of one configuration share them.

Letters in the names of arrays are those of `flanlite.model.layers`; P are the options of a batch, each with
the row of its input.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flanlite.eval.score_cache import NOT_KEPT, ScoredBatches, batch_key
from flanlite.mesh import activations
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import models
from flanlite.model.attention.attention import segments_within
from flanlite.model.models import ModelConfig
from flanlite.training import losses

SHARES = (1, 2, 3, 4, 6, 8, 16)  # the possible ratios of options to inputs in a batch
MIN_LENGTHS = (16, 4)  # the shortest padded lengths of inputs and options


class Question(NamedTuple):
    """An input and its answer options, as token ids with EOS."""

    inputs: np.ndarray
    options: Sequence[np.ndarray]


class Batch(NamedTuple):
    """A batch of B inputs and P options.

    Args:
        inputs_BS: token ids, padded.
        input_lengths_B: the number of tokens of each input.
        source_P: the row of `inputs_BS` that each option belongs to.
        options_PT: token ids, padded.
        option_lengths_P: the number of tokens of each option.
        places: (question, option) of each option that is no padding, as indices.
    """

    inputs_BS: np.ndarray
    input_lengths_B: np.ndarray
    source_P: np.ndarray
    options_PT: np.ndarray
    option_lengths_P: np.ndarray
    places: list[tuple[int, int]]


def log_probs(
    params: models.Params,
    inputs_BS: jax.Array,
    input_lengths_B: jax.Array,
    source_P: jax.Array,
    options_PT: jax.Array,
    option_lengths_P: jax.Array,
    *,
    config: ModelConfig,
    greedy: bool = False,
) -> jax.Array:
    """Return the log-probability of each option given its input: scores_P, float32; with `greedy`, beside
    each a 1 where greedy decoding would write it, else a 0: float32[P, 2].

    Args:
        params: the model's parameters.
        inputs_BS: as in a `Batch`, as the next four.
        input_lengths_B: the number of tokens of each input.
        source_P: the row of each option's input.
        options_PT: token ids, padded.
        option_lengths_P: the number of tokens of each option.
        config: the model's.
        greedy: see above.
    """
    logits_PTV = models.bind(config, params).option_logits(inputs_BS, input_lengths_B, source_P, options_PT)
    weights_PT = segments_within(option_lengths_P, options_PT.shape[1])
    scores_P = losses.target_log_likelihoods(logits_PTV, options_PT, weights_PT)
    if not greedy:
        return scores_P
    same_PT = (jnp.argmax(logits_PTV, axis=-1) == options_PT) | (weights_PT == 0)
    return jnp.stack([scores_P, jnp.all(same_PT, axis=1).astype(scores_P.dtype)], axis=1)


@functools.lru_cache
def jit_log_probs(
    config: ModelConfig, partitioner: Partitioner, greedy: bool = False
) -> Callable[..., jax.Array]:
    """Return `log_probs` jitted on the mesh; equal arguments return the same function, so that nothing is
    compiled twice.
    """

    def score(params: models.Params, *batch: jax.Array) -> jax.Array:
        with activations.activation_rules(partitioner):
            return log_probs(params, *batch, config=config, greedy=greedy)

    placed = models.shardings(config, partitioner)
    return jax.jit(
        score, in_shardings=(placed, *[partitioner.batch] * 5), out_shardings=partitioner.replicated
    )


def length_bucket(length: int, least: int = MIN_LENGTHS[0]) -> int:
    """Round a length up to the next of 16, 32, 48, 64, 96, 128, ...: powers of two, and from 48 on also 1.5
    times a power of two.
    """
    power = max(least, 1 << max(length - 1, 0).bit_length())
    return power * 3 // 4 if power >= 64 and length <= power * 3 // 4 else power


def score(
    config: ModelConfig,
    params: models.Params,
    partitioner: Partitioner,
    questions: Sequence[Question],
    tokens_per_batch: int = 4096,
    advance: Callable[[int], Any] = lambda options: None,
    name: Callable[[int], str] = 'question {}'.format,
    greedy: bool = False,
    kept: ScoredBatches = NOT_KEPT,
) -> list[np.ndarray]:
    """Return the log-probabilities of every option: float32[number of options] for each question; with
    `greedy`, as in `log_probs`, float32[number of options, 2].

    Args:
        config: the model's.
        params: its parameters, placed on the mesh.
        partitioner: the mesh; every process must ask the same questions.
        questions: inputs and options; the order does not matter for speed.
        tokens_per_batch: approximate number of tokens in a batch, padding included.
        advance: called after each batch with its number of options.
        name: what an error calls a question, given its index.
        greedy: see above.
        kept: batches that were scored before.

    Raises:
        ValueError: a score is not finite.
    """
    compiled = jit_log_probs(config, partitioner, greedy)
    shape = (2,) if greedy else ()
    scores = [np.zeros((len(question.options), *shape), np.float32) for question in questions]
    waiting: list[tuple[Batch, str, jax.Array]] = []

    def take(batch: Batch, scored_P: np.ndarray) -> None:
        for place, value in zip(batch.places, scored_P, strict=True):
            scores[place[0]][place[1]] = value
        advance(len(batch.places))

    def collect(limit: int) -> None:
        while len(waiting) > limit:
            batch, key, scored = waiting.pop(0)
            scored_P = np.asarray(scored)[: len(batch.places)]
            for place, value in zip(batch.places, scored_P, strict=True):
                check_finite(value[0] if greedy else value, name(place[0]))
            kept.keep(key, scored_P.tolist())
            take(batch, scored_P)

    for batch in batches(questions, tokens_per_batch, partitioner.data_size):
        key = batch_key('rank', greedy, *batch[:-1])
        if (found := kept.find(key)) is not None:
            take(batch, np.array(found, np.float32))
            continue
        arrays = place_rows(partitioner, *batch[:-1])
        # Returns at once: the next batch is made while this one is computed.
        waiting.append((batch, key, compiled(params, *arrays)))
        collect(1)
    collect(0)
    return scores


def best(question: Question, scores: np.ndarray) -> int:
    """Return the index of the most probable option; of options that are the same tokens, the first one.

    The model cannot tell such options apart, and rounding, which may differ from row to row of a batch, must
    not choose.
    """
    winner = question.options[int(np.argmax(scores))]
    return next(index for index, option in enumerate(question.options) if np.array_equal(option, winner))


def check_finite(score: float, name: str) -> None:
    """Refuse a score that is not finite: no order or mean of such scores means anything.

    Args:
        score: a log-probability that the model gave.
        name: what it is of.
    """
    if not np.isfinite(score):
        raise ValueError(
            f'the model gives {name} the log-probability {score}: its parameters or activations are not '
            'finite; expected another checkpoint, or dtype float32 where activations are too large'
        )


def place_rows(partitioner: Partitioner, *arrays: np.ndarray) -> list[jax.Array]:
    """Place arrays onto the mesh, sharded by rows; every process has the whole arrays and places its own
    rows.
    """
    share = {str(number): array[partitioner.host_rows(len(array))] for number, array in enumerate(arrays)}
    return list(partitioner.place(share).values())


def batches(questions: Sequence[Question], tokens_per_batch: int, multiple: int = 1) -> Iterator[Batch]:
    """Group questions of similar lengths and numbers of options into batches of few shapes.

    Args:
        questions: inputs and options.
        tokens_per_batch: approximate number of tokens in a batch, padding included.
        multiple: the numbers of inputs and options are multiples of this.
    """
    groups: dict[tuple[int, int, int], list[int]] = {}
    for number, question in enumerate(questions):
        if len(question.options):
            longest = max(len(option) for option in question.options)
            share = max(share for share in SHARES if share <= len(question.options))
            shape = (share, length_bucket(longest, MIN_LENGTHS[1]), length_bucket(len(question.inputs)))
            groups.setdefault(shape, []).append(number)
    for (share, T, S), following in itertools.pairwise([*sorted(groups), ()]):
        B = max(1, tokens_per_batch // (S + share * T) // multiple) * multiple
        numbers = groups[share, T, S]
        # Too few to compile a shape for: they join longer ones.
        if len(numbers) < B / 2 and following[:2] == (share, T):
            groups[following].extend(numbers)
        else:
            yield from _fill(questions, numbers, (B, S), (B * share, T))


def _fill(
    questions: Sequence[Question], numbers: Sequence[int], inputs: tuple[int, int], options: tuple[int, int]
) -> Iterator[Batch]:
    """Yield batches of one shape; a question with more options than fit continues in the next batch."""
    empty = functools.partial(_empty, inputs, options)
    batch, rows = empty(), 0
    for number in numbers:
        for option, tokens in enumerate(questions[number].options):
            if len(batch.places) == options[0]:
                yield batch
                batch, rows = empty(), 0
            if not batch.places or batch.places[-1][0] != number:
                if rows == inputs[0]:
                    yield batch
                    batch, rows = empty(), 0
                batch.inputs_BS[rows, : len(questions[number].inputs)] = questions[number].inputs
                batch.input_lengths_B[rows] = len(questions[number].inputs)
                rows += 1
            batch.source_P[len(batch.places)] = rows - 1
            batch.options_PT[len(batch.places), : len(tokens)] = tokens
            batch.option_lengths_P[len(batch.places)] = len(tokens)
            batch.places.append((number, option))
    if batch.places:
        yield batch


def _empty(inputs: tuple[int, int], options: tuple[int, int]) -> Batch:
    shapes = inputs, inputs[0], options[0], options, options[0]
    return Batch(*[np.zeros(shape, np.int32) for shape in shapes], [])
