"""Answers that are sets of spans, such as the people that a text names, written as one text: "Mia; Tom", and
"none" for the empty set.
"""

from collections.abc import Iterable, Sequence

SEPARATOR = '; '
NONE = 'none'  # the empty set; no model can be trained to write nothing, and none is asked for it


def write_spans(spans: Iterable[str]) -> str:
    """Write a set of spans as an answer: each once, in their order, without the white space around them.

    Raises:
        TypeError: they are one text.
    """
    stripped = dict.fromkeys(span.strip() for span in check_several(spans))
    return SEPARATOR.join(span for span in stripped if span) or NONE


def check_several(texts: Iterable[str]) -> Iterable[str]:
    """Return texts; raise a `TypeError` where they are one, whose letters would count as texts."""
    if isinstance(texts, str):
        raise TypeError(f'{texts!r} is a text; expected a list of texts')
    return texts


def read_spans(text: str) -> frozenset[str]:
    """Read a set of spans from an answer."""
    found = {span.strip() for span in text.split(SEPARATOR.strip())} - {''}
    return frozenset() if found == {NONE} else frozenset(found)


def count_span_sets(prediction: str, answers: Sequence[str]) -> tuple[float, float, float]:
    """Return (S1, exact match, 1), both the best over the answers, of which each is a set.

    S1 is the F1 of a set of spans, of which two are equal letter for letter; of two empty sets it is 1
    (CLUES, Mukherjee et al. 2021, and its `eval/S1.py`).
    """
    predicted = read_spans(prediction)
    right = [read_spans(answer) for answer in answers]
    return max((s1(predicted, answer) for answer in right), default=0.0), float(predicted in right), 1.0


def s1(predicted: frozenset[str], right: frozenset[str]) -> float:
    """Return the F1 of one set of spans against another."""
    if not predicted and not right:
        return 1.0
    return 2 * len(predicted & right) / (len(predicted) + len(right))
