"""How alike two tasks are, by their soft prompts, and by the neurons that these activate.

Letters in the names of arrays: P soft tokens of a prompt, D width of the embeddings, N neurons.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np


class TaskEmbedding(NamedTuple):
    """What stands for a task: its prompt_PD, and neurons_N, which of the model's neurons that activates."""

    prompt_PD: np.ndarray
    neurons_N: np.ndarray


def cosine(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """Return the cosine between two vectors; 0 where one of them is 0."""
    norms = np.linalg.norm(a_N) * np.linalg.norm(b_N)
    return float(a_N @ b_N / norms) if norms else 0.0


def average_cosine(a_PD: np.ndarray, b_PD: np.ndarray) -> float:
    """Return the cosine between the means of two prompts' tokens: SPoT's "cosine similarity of average
    tokens" (Vu et al. 2022).
    """
    return cosine(a_PD.mean(axis=0), b_PD.mean(axis=0))


def per_token_cosine(a_PD: np.ndarray, b_PD: np.ndarray) -> float:
    """Return the mean of the cosines of all pairs of a token of the one prompt and one of the other: SPoT's
    "per-token average cosine similarity", the C_average of Su et al. 2022.
    """
    a_PD, b_PD = (
        each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-30) for each in (a_PD, b_PD)
    )
    return float((a_PD @ b_PD.T).mean())


def euclidean(a_PD: np.ndarray, b_PD: np.ndarray) -> float:
    """Return 1 / (1 + the distance between two prompts, each one vector): the E_concat of Su et al. 2022."""
    return float(1 / (1 + np.linalg.norm(a_PD - b_PD)))


def per_token_euclidean(a_PD: np.ndarray, b_PD: np.ndarray) -> float:
    """Return 1 / (1 + the mean distance over all pairs of a token of the one prompt and one of the other):
    the E_average of Su et al. 2022.
    """
    return float(1 / (1 + np.mean([np.linalg.norm(row_D - b_PD, axis=1) for row_D in a_PD])))


def neuron_overlap(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """Return the overlapping rate of activated neurons, the ON of Su et al. 2022: the cosine of two vectors
    that have a 1 for each activated neuron and a 0 for each other one. This is the number of those that both
    activate, divided by the root of the product of how many each activates.
    """
    return cosine(a_N.astype(np.float64), b_N.astype(np.float64))


SIMILARITIES: Mapping[str, Callable[[TaskEmbedding, TaskEmbedding], float]] = {
    'average_cosine': lambda a, b: average_cosine(a.prompt_PD, b.prompt_PD),
    'per_token_cosine': lambda a, b: per_token_cosine(a.prompt_PD, b.prompt_PD),
    'euclidean': lambda a, b: euclidean(a.prompt_PD, b.prompt_PD),
    'per_token_euclidean': lambda a, b: per_token_euclidean(a.prompt_PD, b.prompt_PD),
    'neuron_overlap': lambda a, b: neuron_overlap(a.neurons_N, b.neurons_N),
}


def weighted_prompt(prompts: Sequence[np.ndarray], similarities: Sequence[float]) -> np.ndarray:
    """Average prompts with their similarities to a task, divided by their sum, as weights (SPoT, Vu et
    al. 2022). A similarity below 0 counts as 0; where none is above, all have the same weight.
    """
    weights = np.maximum(np.asarray(similarities, np.float64), 0.0)
    weights = weights / weights.sum() if weights.any() else np.full(len(weights), 1 / len(weights))
    return np.tensordot(weights, np.stack(prompts).astype(np.float64), axes=1).astype(np.float32)
