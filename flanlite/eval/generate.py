"""Generation: decode an answer to every input, greedily, by beam search or by sampling, in batches of few
shapes.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from flanlite.config import value
from flanlite.eval.rank import check_finite, length_bucket, place_rows
from flanlite.eval.score_cache import NOT_KEPT, ScoredBatches, batch_key
from flanlite.limits import Beams, Length, NotNegative, Number, Seed, Share, Whole
from flanlite.mesh import activations
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import attempt, decoding, models
from flanlite.model.decoding import Decoded
from flanlite.model.models import ModelConfig


@value
class Decoding:
    """How answers are decoded.

    Args:
        max_length: the longest answer, in tokens; rows that end earlier cost nothing more.
        beams: beam search with that many beams; 1 is greedy, or sampling where the temperature is above 0.
        temperature: divides the logits when sampling; 0 is greedy.
        top_k: sample among the k most probable tokens; 0 for all.
        top_p: sample among the most probable tokens that together have this probability; 0 for all.
        alpha: the length penalty of beam search.
        seed: of sampling.
    """

    max_length: Length = 64
    beams: Beams = 1
    temperature: NotNegative = 0.0
    top_k: Whole = 0
    top_p: Share = 0.0
    alpha: Number = 0.6
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.beams > 1 and self.temperature > 0:
            raise ValueError(
                f'got beams={self.beams} and temperature={self.temperature}; expected beams=1 for sampling, '
                'or temperature=0'
            )
        if self.top_k and self.top_p:
            raise ValueError(
                f'got top_k={self.top_k} and top_p={self.top_p}; expected one of them, the other 0'
            )
        if (self.top_k or self.top_p) and not self.temperature:
            raise ValueError(
                f'got top_k={self.top_k} and top_p={self.top_p} without a temperature, where nothing is '
                'sampled; expected temperature=1 or another above 0 beside them'
            )


def decode(
    params: models.Params,
    inputs_BS: jax.Array,
    lengths_B: jax.Array,
    key: jax.Array,
    *,
    config: ModelConfig,
    settings: Decoding,
    eos_id: int,
) -> Decoded:
    """Decode a batch of inputs: tokens_BT, int32, each row padded after EOS, and scores_B.

    Args:
        params: the model's parameters.
        inputs_BS: token ids, padded.
        lengths_B: the number of tokens of each input.
        key: of sampling.
        config: the model's.
        settings: greedy, beams or sampling.
        eos_id: the vocabulary's.
    """
    model = models.bind(config, params)
    cache = model.start_decoding(inputs_BS, lengths_B, settings.max_length)
    if settings.beams > 1:
        found = decoding.beam_search(model.decode_step, cache, settings.beams, settings.alpha, eos_id)
        return Decoded(found.tokens[:, 0], found.scores[:, 0])
    sampling = {'temperature': settings.temperature, 'top_k': settings.top_k, 'top_p': settings.top_p}
    return decoding.temperature_sample(model.decode_step, cache, key, **sampling, eos_id=eos_id)


@functools.lru_cache
def jit_decode(
    config: ModelConfig, settings: Decoding, eos_id: int, partitioner: Partitioner
) -> Callable[..., Decoded]:
    """Return `decode` jitted on the mesh; equal arguments return the same function, so that nothing is
    compiled twice.
    """

    def run(params: models.Params, *batch: jax.Array) -> Decoded:
        with activations.activation_rules(partitioner):
            return decode(params, *batch, config=config, settings=settings, eos_id=eos_id)

    placed = models.shardings(config, partitioner)
    return jax.jit(
        run,
        in_shardings=(placed, partitioner.batch, partitioner.batch, partitioner.replicated),
        out_shardings=partitioner.replicated,
    )


def generate(
    config: ModelConfig,
    params: models.Params,
    partitioner: Partitioner,
    inputs: Sequence[np.ndarray],
    settings: Decoding,
    eos_id: int,
    tokens_per_batch: int = 4096,
    advance: Callable[[int], Any] = lambda rows: None,
    name: Callable[[int], str] = 'the answer to input {}'.format,
    kept: ScoredBatches = NOT_KEPT,
) -> list[np.ndarray]:
    """Decode an answer to every input: int32 token ids of its own length, with EOS unless it was cut at
    `max_length`.

    Args:
        config: the model's.
        params: its parameters, placed on the mesh.
        partitioner: the mesh; every process must give the same inputs.
        inputs: token ids as the vocabulary's inputs have them; the order does not matter for speed.
        settings: greedy, beams or sampling.
        eos_id: the vocabulary's.
        tokens_per_batch: approximate number of tokens in a batch, padding included; beams count as rows.
        advance: called after each batch with its number of inputs.
        name: what an error calls the answer to an input, given its index.
        kept: batches that were answered before.

    Raises:
        ValueError: the log-probability of an answer is not finite.
    """
    compiled = jit_decode(config, settings, eos_id, partitioner)
    answers: list[np.ndarray] = [np.zeros(0, np.int32)] * len(inputs)
    groups: dict[int, list[int]] = {}
    for number, tokens in enumerate(inputs):
        groups.setdefault(length_bucket(len(tokens)), []).append(number)
    unit = partitioner.data_size
    for S, longer in itertools.pairwise([*sorted(groups), None]):
        B = max(1, tokens_per_batch // ((S + settings.max_length) * settings.beams) // unit) * unit
        numbers = groups[S]
        if len(numbers) < B / 2 and longer:  # too few to compile a shape for: they join longer ones
            groups[longer].extend(numbers)
            continue
        for start in range(0, len(numbers), B):
            rows = numbers[start : start + B]
            # An empty row might never end, and keep the batch decoding.
            batch = [inputs[number] for number in rows] + [inputs[rows[0]]] * (B - len(rows))
            inputs_BS = np.zeros((B, S), np.int32)
            for row, tokens in enumerate(batch):
                inputs_BS[row, : len(tokens)] = tokens
            lengths_B = np.array([len(tokens) for tokens in batch], np.int32)
            asked = batch_key('generate', settings, eos_id, rows[0], inputs_BS, lengths_B)
            if (given := kept.find(asked)) is None:
                key = jax.random.fold_in(jax.random.key(settings.seed), rows[0])
                found = compiled(params, *place_rows(partitioner, inputs_BS, lengths_B), key)
                given = []
                for number, tokens, score in zip(rows, *map(np.asarray, found), strict=False):
                    check_finite(score, name(number))
                    given.append(until_end(tokens, eos_id).tolist())
                kept.keep(asked, given)
            for number, tokens in zip(rows, given, strict=True):
                answers[number] = np.array(tokens, np.int32)
            advance(len(rows))
    return answers


def attended(
    config: ModelConfig, params: models.Params, inputs: Sequence[np.ndarray], tokens_per_batch: int = 4096
) -> np.ndarray:
    """Compute which prompts an `Attempt` mixes for inputs, on this process's first device; see
    `attempt.attended`.

    Args:
        config: the model's.
        params: its parameters.
        inputs: N inputs with their soft tokens.
        tokens_per_batch: approximate number of tokens in a batch, padding included.

    Returns:
        float32[N, M].
    """
    compiled = jit_attended(config)
    longest = length_bucket(max(map(len, inputs)))
    rows = max(1, tokens_per_batch // longest)
    found = []
    for start in range(0, len(inputs), rows):
        batch = inputs[start : start + rows]
        tokens_BT, mask_BT = np.zeros((2, rows, longest), np.int32)
        for row, tokens in enumerate(batch):
            tokens_BT[row, : len(tokens)] = tokens
            mask_BT[row, : len(tokens)] = 1
        found.append(np.asarray(compiled(params, tokens_BT, mask_BT))[: len(batch)])
    return np.concatenate(found)


@functools.lru_cache
def jit_attended(config: ModelConfig) -> Callable[..., jax.Array]:
    """Return `attempt.attended` of a model's parameters, jitted."""
    return jax.jit(lambda params, *batch: attempt.attended(models.bind(config, params), *batch))


def until_end(tokens: np.ndarray, eos_id: int) -> np.ndarray:
    """Cut decoded tokens behind their first EOS; all of them are the answer where there is none.

    A model may write the id 0 inside an answer, so padding does not tell where it ends.
    """
    ends = np.flatnonzero(tokens == eos_id)
    return tokens[: ends[0] + 1] if ends.size else tokens
