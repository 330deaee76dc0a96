"""Other scores of a ranking, by name: log-probabilities that are normalised in one way or another, and how
well the probabilities of options are calibrated.

`acc`, `acc_norm`, `acc_bytes`, `acc_mutual_info` and `brier_score` are those of EleutherAI's
lm-evaluation-harness (`process_results` of its `api/task.py`, 0.4.13), in percent.

Letters in the names of arrays: N examples, K options of one of them.
"""

from collections.abc import Callable, Sequence

import numpy as np

from flanlite.data.tokens.example import Example
from flanlite.metrics.classification import count_equal, count_grade
from flanlite.metrics.metric import Metric, means, ratio
from flanlite.report.scores import Variant

MUTUAL_INFORMATION = 'acc_mutual_info'
# What the log-probability of an option is divided by; `acc_mutual_info` subtracts from it that of the option
# without an input.
LENGTHS: dict[str, Callable[[str, np.ndarray], int]] = {
    'acc': lambda text, tokens: 1,
    'acc_norm': lambda text, tokens: len(text),
    'acc_bytes': lambda text, tokens: len(text.encode()),
    'acc_tokens': lambda text, tokens: len(tokens),
}
BRIER, CALIBRATION_ERROR = 'brier_score', 'ece'
NAMES = (*LENGTHS, MUTUAL_INFORMATION, BRIER, CALIBRATION_ERROR)
BINS = 15  # of confidence, equally wide (Guo et al. 2017)


def check_names(names: Sequence[str]) -> None:
    """Raise a `ValueError` where a score is unknown, or named twice."""
    for name in names:
        if name not in NAMES or list(names).count(name) > 1:
            raise ValueError(
                f'got the scores {", ".join(names)}; expected some of {", ".join(NAMES)}, each once'
            )


def variants(
    names: Sequence[str],
    metric: Metric,
    examples: Sequence[Example],
    answers: Sequence[Sequence[str]],
    scores: Sequence[np.ndarray],
    unconditional: Sequence[np.ndarray],
) -> tuple[Variant, ...]:
    """Score a ranking in other ways.

    Of options that score the same, the first is taken, and of options that are the same tokens, too.

    Args:
        names: some of `NAMES`.
        metric: that of the task, by which an option is worth 1, 0, or a part of 1.
        examples: N examples.
        answers: the texts that count as right.
        scores: the log-probability of each option, float32[K] for each example.
        unconditional: the same without an input; empty unless `acc_mutual_info` is asked for.
    """
    count = count_grade if metric.name == 'multiple_choice_grade' else count_equal
    worth = [
        np.array([count(option, right)[0] for option in example.options])
        for example, right in zip(examples, answers, strict=True)
    ]
    probabilities = [softmax(each) for each in scores]
    found = []
    for name in names:
        if name == BRIER:
            counts = [[brier(p_K, worth_K), 1.0] for p_K, worth_K in zip(probabilities, worth, strict=True)]
            found.append(Variant(name, np.array(counts), means))
        elif name == CALIBRATION_ERROR:
            counts = [
                binned(p_K[best], worth_K[best])
                for p_K, worth_K in zip(probabilities, worth, strict=True)
                for best in [int(np.argmax(p_K))]
            ]
            found.append(Variant(name, np.array(counts), calibration_error))
        else:
            counts = []
            for number, example in enumerate(examples):
                if name == MUTUAL_INFORMATION:
                    normalised_K = scores[number] - unconditional[number]
                else:
                    pairs = zip(example.options, example.option_tokens, strict=True)
                    normalised_K = scores[number] / [max(1, LENGTHS[name](*pair)) for pair in pairs]
                counts.append([worth[number][first_of(example, int(np.argmax(normalised_K)))], 1.0])
            found.append(Variant(name, np.array(counts), means))
    return tuple(found)


def first_of(example: Example, option: int) -> int:
    """Return the first option that is the same tokens as one."""
    tokens = example.option_tokens[option]
    return next(i for i, other in enumerate(example.option_tokens) if np.array_equal(other, tokens))


def softmax(scores_K: np.ndarray) -> np.ndarray:
    """Return the probabilities of options among each other, float64[K]."""
    exponents = np.exp(scores_K.astype(np.float64) - scores_K.max())
    return exponents / exponents.sum()


def brier(probabilities_K: np.ndarray, worth_K: np.ndarray) -> float:
    """Return the squared error of the probabilities, from 0 to 2. Right options, of which there may be
    several, are one outcome; each wrong one is one.
    """
    right = worth_K >= max(worth_K.max(), np.finfo(float).tiny)
    return float((right.any() - probabilities_K[right].sum()) ** 2 + np.square(probabilities_K[~right]).sum())


def binned(confidence: float, worth: float) -> np.ndarray:
    """Return what `calibration_error` sums up of one example: confidence and worth, each in its bin; 1."""
    counts = np.zeros(2 * BINS + 1)
    place = min(int(confidence * BINS), BINS - 1)
    counts[[place, BINS + place, -1]] = confidence, worth, 1.0
    return counts


def calibration_error(sums_K: np.ndarray) -> np.ndarray:
    """Return the expected calibration error from sums of `binned` [..., 2 * BINS + 1]: [..., 1]. It is the
    mean over examples of how far confidence and accuracy of their bin are apart.
    """
    gaps = np.abs(sums_K[..., :BINS] - sums_K[..., BINS:-1]).sum(axis=-1, keepdims=True)
    return 100 * ratio(gaps, sums_K[..., -1:])
