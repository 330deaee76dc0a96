"""Few examples of a data set to tune on, and as few to choose a checkpoint by: the true few-shot setting of
PPT (Gu et al. 2022, section 4.1).
"""

import dataclasses
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from flanlite.data.specs import fingerprints, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.specs import DatasetSpec, Source, Splits

Row = Mapping[str, Any]


def few_examples(collection: Collection, examples: int = 32, seed: int = 0) -> Collection:
    """Make a collection of a few rows of each data set: `examples` to train on, as many others of its
    training rows to validate on, and its own rows to test on.

    Args:
        collection: of data sets with training rows; plain texts are left out.
        examples: how many.
        seed: of the draw; several seeds give several collections.

    Raises:
        ValueError: fewer than one example, or nothing to draw from.
    """
    if examples < 1:
        raise ValueError(f'few_examples got examples={examples}; expected at least 1')
    found = tuple(
        few_of(spec, examples, seed)
        for spec in collection.specs
        if isinstance(spec, DatasetSpec) and spec.splits.train and spec.splits.test
    )
    if not found:
        raise ValueError(f'no data set of {collection.name!r} has rows to train and to test on')
    name = draw_name(collection.name, examples, seed)
    return dataclasses.replace(collection, name=name, specs=found, max_rates={}, prompted={}, parts=())


def draw_name(name: str, examples: int, seed: int) -> str:
    """Return what a few examples of a data set or collection are called."""
    return f'{name}_{examples}examples_seed{seed}'


def few_of(spec: DatasetSpec, examples: int, seed: int) -> DatasetSpec:
    """Make the data set of a few rows of another; see `few_examples`."""
    source = Few(spec.source, spec.splits.train, spec.splits.test, spec.name, examples, seed, spec.keep)
    return dataclasses.replace(
        spec,
        name=draw_name(spec.name, examples, seed),
        family=spec.family or spec.name,
        source=source,
        splits=Splits(),
        train_examples=None,
        validation_examples=None,
        test_examples=None,
    )


@dataclasses.dataclass(frozen=True)
class Few:
    """A source of a few of another's rows, in its splits `train`, `validation` and `test`.

    Args:
        source: the other.
        train: its split that both are drawn from.
        test: its split that is left whole.
        name: of the data set, which tells its draw from others'.
        examples: rows of either.
        seed: of the draw.
        keep: a function from a row to whether it may be drawn; by default all may.
    """

    source: Source
    train: str
    test: str
    name: str
    examples: int
    seed: int
    keep: Callable[[Row], Any] | None = None

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows; see `specs.Source`."""
        return sources.sliced(self.read, split)

    def read(self, split: str) -> Iterator[Row]:
        """Read all rows of one split.

        Raises:
            MissingDataError: there is no such split, or fewer rows than are to be drawn.
        """
        if split == 'test':
            yield from self.source.rows(self.test)
            return
        if split not in ('train', 'validation'):
            raise sources.MissingDataError(
                f'a few examples have no split {split!r}; expected train, validation or test'
            )
        rows = [row for row in self.source.rows(self.train) if self.keep is None or self.keep(row)]
        if len(rows) < 2 * self.examples:
            raise sources.MissingDataError(
                f'{self.name} has {len(rows)} rows to train on; expected at least {2 * self.examples}, of '
                f'which {self.examples} train and as many validate'
            )
        drawn = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())]).permutation(len(rows))
        first = 0 if split == 'train' else self.examples
        yield from (rows[place] for place in drawn[first : first + self.examples])

    def version(self) -> str:
        """Identify the data, and what is drawn of it."""
        settings = (self.train, self.test, self.name, self.examples, self.seed, self.keep)
        return f'{self.source.version()} {fingerprints.of(*settings)}'
