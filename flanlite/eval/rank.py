"""Rank classification: the log-probability of every answer option, given the input; the best one is the
prediction.

An option's score is the sum of its tokens' log-probabilities, EOS included, without length normalisation, as
in FLAN and T0. Each input is encoded once for all its options, and where the model can, these stand one
behind the other in one row of the decoder, so that little of it is padding, and the keys and values of the
input are computed once. Lengths are rounded up to a few sizes, so that few shapes are compiled; all models of
one configuration share them.

Letters in the names of arrays are those of `flanlite.model.layers`; P are the rows of options of a batch,
each with the row of its input.
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
from flanlite.model.models import ModelConfig
from flanlite.training import losses

SHARES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16)  # how many rows of options a batch has for each input
MIN_LENGTHS = (16, 4)  # the shortest padded lengths of inputs and options
FEW = 4  # batches of one shape that are cut to the rows they need
PACKED = 128  # tokens of a row up to which options are put into one


class Question(NamedTuple):
    """An input and its answer options, as token ids with EOS."""

    inputs: np.ndarray
    options: Sequence[np.ndarray]


class Place(NamedTuple):
    """Where an option stands in a batch.

    Args:
        question: its question's index.
        option: its own among the question's.
        row: of `Batch.options_PT`.
        start: its first token there.
        length: the number of its tokens.
    """

    question: int
    option: int
    row: int
    start: int
    length: int


class Batch(NamedTuple):
    """A batch of B inputs and P rows of options.

    Args:
        inputs_BS: token ids, padded.
        input_lengths_B: the number of tokens of each input.
        source_P: the row of `inputs_BS` that each row of options belongs to.
        options_PT: token ids, padded; of several options one behind the other.
        segments_PT: which of the options of its row each token is of, from 1; 0 is padding.
        places: of all options.
    """

    inputs_BS: np.ndarray
    input_lengths_B: np.ndarray
    source_P: np.ndarray
    options_PT: np.ndarray
    segments_PT: np.ndarray
    places: list[Place]


def log_probs(
    params: models.Params,
    inputs_BS: jax.Array,
    input_lengths_B: jax.Array,
    source_P: jax.Array,
    options_PT: jax.Array,
    segments_PT: jax.Array,
    *,
    config: ModelConfig,
    greedy: bool = False,
) -> jax.Array:
    """Return the log-probability of each token of options given their input and what stands before it:
    float32[P, T], 0 for padding; with `greedy`, beside each a 1 where greedy decoding would write it, else a
    0: float32[P, T, 2].

    Args:
        params: the model's parameters.
        inputs_BS: as in a `Batch`, as the next four.
        input_lengths_B: the number of tokens of each input.
        source_P: the input of each row of options.
        options_PT: token ids, padded.
        segments_PT: which option each token is of; where the model does not pack options, 1 or 0.
        config: the model's.
        greedy: see above.
    """
    packed = {'segments_PT': segments_PT} if config.packs_options else {}
    logits_PTV = models.bind(config, params).option_logits(
        inputs_BS, input_lengths_B, source_P, options_PT, **packed
    )
    loss_PT, _ = losses.cross_entropy_with_logits(logits_PTV, options_PT)
    scores_PT = jnp.where(segments_PT > 0, -loss_PT, 0.0)
    if not greedy:
        return scores_PT
    same_PT = (jnp.argmax(logits_PTV, axis=-1) == options_PT) | (segments_PT == 0)
    return jnp.stack([scores_PT, same_PT.astype(scores_PT.dtype)], axis=2)


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
    """Round a length up to a multiple of an eighth of the next power of two, or of `least`: from 16 on to 16,
    32, 48, ..., 128, 160, 192, 224, 256, 320, ...
    """
    step = max(least, (1 << max(length - 1, 0).bit_length()) // 8)
    return max(least, -(-length // step) * step)


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
    `greedy`, beside each a 1 where greedy decoding would write the option: float32[number of options, 2].

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

    def take(batch: Batch, values: np.ndarray) -> None:
        for place, value in zip(batch.places, values, strict=True):
            scores[place.question][place.option] = value
        advance(len(batch.places))

    def collect(limit: int) -> None:
        while len(waiting) > limit:
            batch, key, scored = waiting.pop(0)
            values = of_options(np.asarray(scored), batch.places)
            for place, value in zip(batch.places, values, strict=True):
                check_finite(value[0] if greedy else value, name(place.question))
            kept.keep(key, values.tolist())
            take(batch, values)

    for batch in batches(questions, tokens_per_batch, partitioner.data_size, config.packs_options):
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


def of_options(scored: np.ndarray, places: Sequence[Place]) -> np.ndarray:
    """Sum up the log-probabilities of the tokens of each option: float32[number of places]; beside it, where
    `scored` has that, a 1 where greedy decoding would write all of them: float32[number of places, 2].
    """
    tokens = [scored[place.row, place.start : place.start + place.length] for place in places]
    if scored.ndim == 2:
        return np.array([each.sum(dtype=np.float64) for each in tokens], np.float32)
    return np.array(
        [(each[:, 0].sum(dtype=np.float64), each[:, 1].all()) for each in tokens], np.float32
    ).reshape(-1, 2)


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


def batches(
    questions: Sequence[Question], tokens_per_batch: int, multiple: int = 1, packed: bool = True
) -> Iterator[Batch]:
    """Group questions of similar lengths into batches of few shapes.

    Args:
        questions: inputs and options.
        tokens_per_batch: approximate number of tokens in a batch, padding included.
        multiple: the numbers of rows are multiples of this.
        packed: whether a row may have several options of its input; else each has its own.
    """
    rows = [pack(question, PACKED if packed else 0) for question in questions]
    widths = [
        max((sum(len(q.options[each]) for each in row) for row in own), default=0)
        for q, own in zip(questions, rows, strict=True)
    ]
    groups: dict[tuple[int, int], list[int]] = {}
    for number, own in enumerate(rows):
        if own:
            share = min((share for share in SHARES if share >= len(own)), default=SHARES[-1])
            groups.setdefault((share, length_bucket(len(questions[number].inputs))), []).append(number)
    waiting: list[int] = []
    for (share, S), (following, *_) in itertools.pairwise([*sorted(groups), (0,)]):
        waiting = sorted([*waiting, *groups[share, S]], key=widths.__getitem__)
        longest = length_bucket(widths[waiting[-1]], MIN_LENGTHS[1])
        B = max(1, tokens_per_batch // (S + share * longest) // multiple) * multiple
        # Too few to compile a shape for: they join those with longer inputs.
        if len(waiting) < B / 2 and following == share:
            continue
        B = rows_of(len(waiting), B, multiple)
        for start in range(0, len(waiting), B):
            numbers = waiting[start : start + B]
            T = length_bucket(widths[numbers[-1]], MIN_LENGTHS[1])
            yield from _fill(questions, rows, numbers, (B, S), (B * share, T))
        waiting = []


def pack(question: Question, capacity: int) -> list[list[int]]:
    """Put the options of a question into rows, in their order: as many into one as have no more than
    `capacity` tokens together.
    """
    rows: list[list[int]] = []
    filled = 0
    for option, tokens in enumerate(question.options):
        filled += len(tokens)
        if not rows or filled > capacity:
            rows.append([])
            filled = len(tokens)
        rows[-1].append(option)
    return rows


def rows_of(count: int, most: int, multiple: int) -> int:
    """Return how many rows the batches of `count` rows have: the most, so that few shapes are compiled; where
    there are few batches, only as many eighths of it as they need.
    """
    batches = -(-count // most)
    if batches > FEW:
        return most
    eighths = (-(-most * number // 8 // multiple) * multiple for number in range(1, 9))
    return min(rows for rows in eighths if rows * batches >= count)


def _fill(
    questions: Sequence[Question],
    rows: Sequence[list[list[int]]],
    numbers: Sequence[int],
    inputs: tuple[int, int],
    options: tuple[int, int],
) -> Iterator[Batch]:
    """Yield batches of one shape; a question with more rows than fit continues in the next batch."""
    batch, filled, used, last = _empty(inputs, options), 0, 0, -1
    for number in numbers:
        for row in rows[number]:
            if used == options[0] or (last != number and filled == inputs[0]):
                yield batch
                batch, filled, used, last = _empty(inputs, options), 0, 0, -1
            if last != number:
                batch.inputs_BS[filled, : len(questions[number].inputs)] = questions[number].inputs
                batch.input_lengths_B[filled] = len(questions[number].inputs)
                filled, last = filled + 1, number
            batch.source_P[used] = filled - 1
            start = 0
            for segment, option in enumerate(row, 1):
                tokens = questions[number].options[option]
                end = start + len(tokens)
                batch.options_PT[used, start:end] = tokens
                batch.segments_PT[used, start:end] = segment
                batch.places.append(Place(number, option, used, start, len(tokens)))
                start = end
            used += 1
    if batch.places:
        yield batch


def _empty(inputs: tuple[int, int], options: tuple[int, int]) -> Batch:
    shapes = inputs, inputs[0], options[0], options, options
    return Batch(*[np.zeros(shape, np.int32) for shape in shapes], [])
