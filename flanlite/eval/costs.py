"""What tuning and scoring cost beside time: steps, tokens, floating-point operations."""

import os
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.model.flops import train_step_flops
from flanlite.model.models import ModelConfig
from flanlite.report.costs import (
    QUESTIONS,
    SCORE_FLOPS,
    SCORE_TOKENS,
    STEPS,
    TRAIN_FLOPS,
    TRAIN_TOKENS,
)
from flanlite.report.scores import OwnScores, TaskScores
from flanlite.training.config import TrainConfig
from flanlite.training.journal import read_metrics


def of_training(
    model_dir: str | os.PathLike[str], config: TrainConfig, model: ModelConfig
) -> dict[str, float]:
    """Count what a run has computed, from its records.

    Args:
        model_dir: the run's folder.
        config: its settings.
        model: the model that it trains.

    Returns:
        The steps, the tokens without padding, and the FLOPs as `flops.train_step_flops` counts them, with
        padding; nothing where the run has no records.
    """
    lengths, tokens, before = config.data.feature_lengths, 0.0, 0
    inputs, targets = lengths['inputs'], lengths['targets']
    for record in read_metrics(model_dir):
        if 'decoder_fill' in record:
            apart = 'encoder_fill' in record  # else a row holds both
            filled = record['decoder_fill'] * (targets if apart else inputs + targets)
            filled += record['encoder_fill'] * inputs if apart else 0.0
            tokens += (record['step'] - before) * config.data.batch_size * filled
            before = record['step']
    if not before:
        return {}
    flops = before * train_step_flops(model, config.data.batch_size, inputs, targets)
    return {STEPS: before, TRAIN_TOKENS: round(tokens), TRAIN_FLOPS: flops}


def of_scoring(
    scores: Mapping[str, TaskScores | OwnScores],
    examples: Mapping[str, Sequence[Example]],
    model: ModelConfig,
    vocabulary: Vocabulary,
) -> dict[str, float]:
    """Count what a model has read and written to answer questions.

    Args:
        scores: its scores of each task.
        examples: what it was asked, in the same order.
        model: the model.
        vocabulary: that of the examples.

    Returns:
        The questions; the tokens of inputs, of options and of what was written; the FLOPs of one forward pass
        without padding over an input and all its options, or what was written, behind each other.
    """
    questions, tokens, flops = 0, 0, 0.0
    for task, scored in scores.items():
        for example, written in zip(
            examples[task], written_lengths(scored, examples[task], vocabulary), strict=True
        ):
            questions += 1
            tokens += len(example.inputs) + written
            flops += 2.0 * model.multiply_adds(len(example.inputs), written)
    return {QUESTIONS: questions, SCORE_TOKENS: tokens, SCORE_FLOPS: flops}


def written_lengths(
    scored: TaskScores | OwnScores, examples: Sequence[Example], vocabulary: Vocabulary
) -> Iterable[int]:
    """Return how many tokens each answer has, of ranked options all together."""
    if scored.method == 'rank':
        return [int(np.sum([len(option) for option in example.option_tokens])) for example in examples]
    if not scored.predictions:
        return [len(example.targets) for example in examples]
    return list(map(len, vocabulary.encode_arrays(scored.predictions)))
