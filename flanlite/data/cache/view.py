"""What an example looks like, and how it is built: two values."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.tokens.vocabularies import Vocabulary


@dataclasses.dataclass(frozen=True)
class View:
    """What decides the bytes of a cached split."""

    split: str
    vocabulary: str | Vocabulary
    style: str = 'instructions'
    renderings: int | str = 1
    max_examples: int | Mapping[str, int | None] | None = None
    templates: int | None = None
    shots: Shots | None = None
    drop: str | os.PathLike | None = None


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """How splits are built."""

    cache_dir: str | None = None
    data_dir: str | None = None
    processes: int | None = None
    beam_flags: Sequence[str] = ()
    fail_fast: bool = False
    rebuild: bool = False


def view_of(
    mixture: Mixture,
    split: str,
    vocabulary: str | Vocabulary,
    feature_lengths: Mapping[str, int] | None = None,
    style: str = 'instructions',
    max_rows: int | None = None,
) -> View:
    """Decide what a mixture's examples look like."""
    shots = mixture.shots and mixture.shots.within(feature_lengths and feature_lengths['inputs'])
    if split == 'train':
        caps = {entry.task: entry.max_examples for entry in mixture.entries}
        return View(split, vocabulary, style, 1, caps, mixture.templates_per_task, shots, mixture.drop)
    return View(split, vocabulary, style, 'all', max_rows, None, shots)
