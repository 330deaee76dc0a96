"""One example as token ids: `Tokens`, all that training reads, and `Example`, which adds what evaluation
needs.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Tokens = tuple[np.ndarray, np.ndarray]  # inputs int32[S] and targets int32[T]


@dataclasses.dataclass(frozen=True)
class Example:
    """One rendered, tokenised example, with what evaluation needs to know of it.

    Args:
        inputs: int32[S] token ids, with EOS if the vocabulary says so.
        targets: int32[T] token ids, with EOS.
        row: the index of the row in its data set's split.
        template: the index of the template that rendered the row; of plain text, the number of the rendering.
        options: the texts of the answer options.
        option_tokens: the token ids of each option, with EOS.
        answers: all texts that count as right.
        group: the hash of the group that the row is scored with; empty where each row is scored alone.
        shots: the number of few-shot exemplars in the inputs.
        setting: the setting of a prompt mix by which it is asked; empty where nothing was drawn.
        form: how its options are listed, by the first line, where a prompt mix shows them.
        fields: the other fields of a SeqIO task's example, for the task's own postprocessor: bytes, numbers,
            arrays, dictionaries.
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
    setting: str = ''
    form: str = ''
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
