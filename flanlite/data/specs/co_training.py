"""Plain text and supervised tasks in one mixture, as ExT5 is pretrained (Aribandi et al. 2022, section 3)."""

import dataclasses

from flanlite.config import check_field
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.specs import DatasetSpec, TextSpec
from flanlite.limits import Count, Positive

RATIO = 2.0  # examples of C4 to one of ExMix in ExT5
MAX_RATE = 300_000  # of a data set in ExMix
TEXT, SUPERVISED = 'text', 'supervised'  # the parts


def co_training(
    name: str,
    supervised: Collection,
    texts: tuple[TextSpec, ...],
    *,
    ratio: float = RATIO,
    max_rate: int | None = MAX_RATE,
) -> Collection:
    """Make a collection in which plain text stands beside a collection's data sets, at a ratio of examples
    that does not depend on their numbers.

    Within either part rates are in proportion to the numbers of examples, with a cap. Where a cluster is held
    out, the text stays.

    Args:
        name: of the new collection.
        supervised: the data sets, or other texts. Where it has parts, they keep their shares of it.
        texts: the plain texts.
        ratio: examples of text to one of the data sets: R in ExT5.
        max_rate: clips the rate of each data set that sets no cap of its own, in a collection without parts;
            None for no cap. Text is clipped and truncated by the caps of its own specs only.

    Raises:
        ValueError: no text, or a number that cannot be.
    """
    check_field('ratio', ratio, Positive)
    check_field('max_rate', max_rate, Count | None)
    if not texts or not all(isinstance(text, TextSpec) for text in texts):
        raise ValueError(f'co_training got texts={texts!r}; expected a tuple of TextSpec(...)')
    if not any(isinstance(spec, DatasetSpec) for spec in supervised.specs):
        raise ValueError(f'{supervised.name!r} has no data set; expected a collection of supervised tasks')
    whole = sum(part.share for part in supervised.parts)
    parts = tuple(
        dataclasses.replace(
            part,
            share=part.share / whole / (1 + ratio),
            max_rate=part.max_rate or supervised.max_rate,
            max_examples=part.max_examples or supervised.max_examples,
        )
        for part in supervised.parts
    )
    tasks = tuple(spec.name for spec in supervised.specs)
    return dataclasses.replace(
        supervised,
        name=name,
        specs=(*supervised.specs, *texts),
        max_rate=None,
        max_examples=None,  # text has the caps of its own specs only
        parts=(
            *(parts or (Part(SUPERVISED, 1 / (1 + ratio), tasks, max_rate, supervised.max_examples),)),
            Part(TEXT, ratio / (1 + ratio), tuple(text.name for text in texts)),
        ),
    )
