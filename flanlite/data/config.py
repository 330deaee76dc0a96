"""The data of a run as a value."""

from collections.abc import Mapping
from typing import Annotated

from flanlite.config import FrozenDict, LocalPath, PathOrUrl, value
from flanlite.data.batches import batches
from flanlite.data.cache.view import BuildOptions
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import specs
from flanlite.data.tokens import vocabularies


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
    feature_lengths: Mapping[str, int]
    batch_size: int
    vocabulary: Annotated[str, vocabularies.absolute_name] | None = None
    style: str = 'instructions'
    pack: bool = True
    window: int = 4_096
    prefetch: int = 8
    fail_fast: bool = False
    data_dir: LocalPath | None = None
    cache_dir: PathOrUrl | None = None

    def __post_init__(self) -> None:
        if isinstance(self.mixture, str):
            object.__setattr__(self, 'mixture', MixtureConfig(self.mixture))
        object.__setattr__(self, 'feature_lengths', FrozenDict(self.feature_lengths))
        batches.check_lengths(self.feature_lengths)
        if self.batch_size < 1:
            raise ValueError(f'BATCH_SIZE is {self.batch_size}, expected at least 1')
        if self.style not in specs.STYLES:
            raise ValueError(f'unknown style {self.style!r}; expected one of {", ".join(specs.STYLES)}')
        if self.window < 1 or self.prefetch < 0:
            raise ValueError(
                f'got window={self.window} and prefetch={self.prefetch}; expected at least 1 example, and 0 '
                'batches or more'
            )

    def build_options(self) -> BuildOptions:
        """Return how the cache is built."""
        return BuildOptions(cache_dir=self.cache_dir, data_dir=self.data_dir, fail_fast=self.fail_fast)
