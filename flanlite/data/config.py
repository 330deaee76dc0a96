"""The data of a run as a value."""

from collections.abc import Mapping
from typing import Annotated

from flanlite.config import value
from flanlite.data.batches import batches
from flanlite.data.cache.view import BuildOptions
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import specs
from flanlite.data.tokens import vocabularies
from flanlite.limits import MOST, Count, Length, one_of, whole
from flanlite.paths import LocalPath, PathOrUrl


@value
class DataConfig:
    """What a run trains on.

    Args:
        mixture: the mixture's settings, or its name alone.
        feature_lengths: tokens in a row, {'inputs': S, 'targets': T}; longer examples are cut.
        batch_size: packed rows in a step's batch, over all devices.
        vocabulary: a name for `vocabularies.load`; by default that of the checkpoint that a run begins from,
            else the collection's.
        style: `instructions`, or `fields` to train without them; see `specs.STYLES`.
        pack: put several examples into a row, with segment ids and positions; else one example a row.
        window: from how many examples at a time the rows are packed: more fill better, fewer are ready
            sooner.
        prefetch: how many batches a thread reads ahead; changes nothing but the speed.
        fail_fast: stop when a task cannot be cached, instead of skipping it.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.
        cache_dir: the folder, or URL, of the token cache; by default FLANLITE_CACHE_DIR, or flanlite's part
            of the user's cache folder.
    """

    mixture: MixtureConfig | str
    feature_lengths: Mapping[str, Length]
    batch_size: Count
    vocabulary: Annotated[str, vocabularies.absolute_name] | None = None
    style: Annotated[str, one_of(*specs.STYLES)] = 'instructions'
    pack: bool = True
    window: Annotated[int, whole(1, 1_000_000)] = 4_096
    prefetch: Annotated[int, whole(0, 1_000)] = 8
    fail_fast: bool = False
    data_dir: LocalPath | None = None
    cache_dir: PathOrUrl | None = None

    def __post_init__(self) -> None:
        if isinstance(self.mixture, str):
            object.__setattr__(self, 'mixture', MixtureConfig(self.mixture))
        batches.check_lengths(self.feature_lengths)
        row = sum(self.feature_lengths.values())
        if self.batch_size * row > MOST:
            raise ValueError(
                f'BATCH_SIZE is {self.batch_size} and a row has {row:,} tokens; expected at most {MOST:,} '
                'tokens in a batch'
            )

    def build_options(self) -> BuildOptions:
        """Return how the cache is built."""
        return BuildOptions(cache_dir=self.cache_dir, data_dir=self.data_dir, fail_fast=self.fail_fast)
