"""One example as token ids, and what evaluation needs to know of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Example:
    """One rendered, tokenised example, and what evaluation needs to know of it.

    Args:
        inputs: int32[S] token ids, with EOS.
        targets: int32[T] token ids, with EOS.
        row: the row's index in its data set's split.
        template: the index of the template that rendered it.
        options: the answer options' texts.
        option_tokens: each option's token ids, with EOS.
        answers: all texts that count as right.
        group: what rows that are right only together have in common; empty where each counts alone.
        shots: how many few-shot exemplars stand in the inputs.
        fields: what a SeqIO task's example has beside inputs and targets, for its own postprocessor: bytes, numbers, arrays, dictionaries.
    """

    inputs: np.ndarray
    targets: np.ndarray
    row: int = 0
    template: int = 0
    options: tuple[str, ...] = ()
    option_tokens: tuple[np.ndarray, ...] = ()
    answers: tuple[str, ...] = ()
    group: str = ''
    shots: int = 0
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


Tokens = tuple[np.ndarray, np.ndarray]
