"""Task vectors (Ilharco et al. 2023): what training changed in a model, added to the model or taken from it.

A task vector is a tuned checkpoint minus the one that it came from, parameter by parameter, in float32.
Several are put together by their sum, by TIES (Yadav et al. 2023), or by DARE (Yu et al. 2024). Nothing holds
a whole checkpoint: of each one, an array is in memory at a time.
"""

import dataclasses
import functools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated

import numpy as np

from flanlite.config import value
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.limits import Below1, Number, PositiveShare, Seed, one_of
from flanlite.model.adapters import Adapter
from flanlite.model.models import ModelConfig
from flanlite.progress import progress_bar
from flanlite.training import fit, lazy, locate, merged, parameters
from flanlite.training.base import fingerprint
from flanlite.training.interop import LazyArrays
from flanlite.training.lazy import LazyArray
from flanlite.training.parameters import Known

# Of each method, what it reads of a `Method`, with the papers' usual values.
METHODS: dict[str, dict[str, float]] = {
    'sum': {},
    'ties': {'density': 0.2},
    'dare': {'drop': 0.9, 'seed': 0},
    'dare_ties': {'drop': 0.9, 'seed': 0, 'density': 0.2},
}
LOW_BITS = 16  # of the 32 of a number, counted after the upper ones


@value
class TaskVector:
    """A task vector: a checkpoint, and what its difference from the base is multiplied by.

    Args:
        checkpoint: as for `parameters.load_params`; an adapter's vector is what it changes in its base.
        scale: below 0 the vector is taken away.
    """

    checkpoint: Annotated[str, locate.checkpoint_path]
    scale: Number = 1.0


@value
class Method:
    """How task vectors are put together.

    Args:
        name: `sum` adds them, each times its scale. `ties` keeps of each the numbers of largest magnitude,
            multiplies by its scale, and takes for each parameter the mean of those that have the sign of
            their sum. `dare` sets random numbers to zero, divides the others by the rate that stays, and
            adds up. `dare_ties` does what DARE does to each, then TIES.
        density: of TIES, the part of each vector's numbers that is kept, by default 0.2. The magnitudes of
            all parameters are compared together, as the paper's code does.
        drop: of DARE, the probability to set a number to zero, by default 0.9.
        seed: of DARE, by default 0.

    Raises:
        ValueError: an unknown method, a number out of range, or one that the method does not read.
    """

    name: Annotated[str, one_of(*METHODS)] = 'sum'
    density: PositiveShare | None = None
    drop: Below1 | None = None
    seed: Seed | None = None

    def __post_init__(self) -> None:
        used = METHODS[self.name]
        for field in ('density', 'drop', 'seed'):
            if getattr(self, field) is None:
                object.__setattr__(self, field, used.get(field))
            elif field not in used:
                fitting = ', '.join(name for name, fields in METHODS.items() if field in fields)
                raise ValueError(f'the method {self.name} has no {field}; leave it out, or take {fitting}')


@dataclasses.dataclass(frozen=True)
class Tuned:
    """A tuned checkpoint whose arrays are on disk.

    Args:
        vector: which one, and its scale.
        arrays: its parameters by our names; of an adapter's, only the adapter's.
        adapter: None where it is no adapter's.
    """

    vector: TaskVector
    arrays: LazyArrays
    adapter: Adapter | None

    def difference(self, name: str, base: np.ndarray, rows: slice) -> np.ndarray:
        """Compute a part of the vector, float32.

        Args:
            name: of the parameter.
            base: that part of the base, float32.
            rows: which entries of the first axis these are.
        """
        if self.adapter is None:
            found = self.arrays[name].read_first(rows).astype(np.float32, copy=False) - base
        else:
            found = merged.merge_part(self.adapter, name, base, self.arrays, rows)
            found = found - merged.rounded(self.adapter, base)
        if not np.isfinite(found).all():
            raise ValueError(
                f'{name} of {self.vector.checkpoint} minus the base is not finite; expected finite numbers'
            )
        return found


@dataclasses.dataclass(frozen=True)
class Opened:
    """A model and task vectors of it, on disk.

    Args:
        known: of the model that comes out, which has no adapter.
        base: its parameters by our names, before anything is added.
        tuned: where the vectors come from.
        method: how they are put together.
        vocabulary: of all of them; None where none comes with one.
        fingerprints: of the base and of each checkpoint, see `fingerprint`.
    """

    known: Known
    base: LazyArrays
    tuned: tuple[Tuned, ...]
    method: Method
    vocabulary: Vocabulary | None
    fingerprints: tuple[str, ...]

    def at(self, scale: float) -> LazyArrays:
        """Return the base plus what `together` gives times a scale, as lazy float32 arrays by our names."""
        if self.method.density is not None:
            _ = self.limits  # now, while nothing else shows its progress

        def added(name: str, array: LazyArray) -> LazyArray:
            def read(rows: slice) -> np.ndarray:
                begin, end, _ = rows.indices(array.shape[0])
                found = np.empty((end - begin, *array.shape[1:]), np.float32)
                for part in lazy.blocks(array.shape, rows):
                    found[part.start - begin : part.stop - begin] = self.changed(name, part, scale)
                return found

            return LazyArray.by_first(array.shape, read)

        return {name: added(name, array) for name, array in self.base.items()}

    def changed(self, name: str, rows: slice, scale: float) -> np.ndarray:
        """Compute a part of a parameter of the model that comes out; see `at` and `Tuned.difference`."""
        base = self.base[name].read_first(rows).astype(np.float32, copy=False)
        return base + np.float32(scale) * self.together(name, base, rows) if scale else base

    def together(self, name: str, base: np.ndarray, rows: slice) -> np.ndarray:
        """Put a part of all vectors together; see `Tuned.difference`."""
        if self.method.density is None:
            total = np.zeros_like(base)
            for number, each in enumerate(self.tuned):
                total += np.float32(each.vector.scale) * self.dropped(number, name, base, rows)
            return total
        sums, counts = np.zeros((2, *base.shape), np.float32), np.zeros((2, *base.shape), np.float32)
        for number, each in enumerate(self.tuned):
            found = self.dropped(number, name, base, rows)
            found *= np.abs(found) >= self.limits[number]
            found *= np.float32(each.vector.scale)
            for side, of in enumerate((found > 0, found < 0)):
                sums[side] += np.where(of, found, 0)
                counts[side] += of
        means = sums / np.maximum(counts, 1)
        mass = sums[0] + sums[1]
        # Where the two sides are equal no sign is elected.
        return np.where(mass > 0, means[0], np.where(mass < 0, means[1], np.float32(0)))

    def dropped(self, number: int, name: str, base: np.ndarray, rows: slice) -> np.ndarray:
        """Compute a part of one vector, after DARE where the method has it."""
        found = self.tuned[number].difference(name, base, rows)
        if self.method.drop is None:
            return found
        keys = (self.method.seed, number, zlib.crc32(name.encode()))
        stays = kept(self.base[name].shape, rows, self.method.drop, keys)
        return np.where(stays, found / np.float32(1 - self.method.drop), np.float32(0))

    @functools.cached_property
    def limits(self) -> list[np.float32]:
        """The smallest magnitude of each vector that TIES keeps, over all its parameters.

        As in the paper's code: of d numbers in order of magnitude, the one at place d - int(d * density),
        counting from 1. It is found by counting the upper bits of all magnitudes, then the lower bits of
        those that share its upper bits; the order of float32s that are not negative is that of their bits.
        """
        size = sum(math.prod(array.shape) for array in self.base.values())
        place = size - int(size * self.method.density)
        if place < 1:
            return [np.float32(0)] * len(self.tuned)
        upper, lower = np.zeros((2, len(self.tuned), 2**LOW_BITS), np.int64)
        with progress_bar('comparing magnitudes', 2 * len(self.base), 'arrays') as advance:
            self.count(upper, advance)
            chosen = np.argmax(upper.cumsum(axis=1) >= place, axis=1)
            self.count(lower, advance, chosen)
        limits = []
        for number, high in enumerate(chosen):
            rest = place - upper[number, :high].sum()
            low = np.argmax(lower[number].cumsum() >= rest)
            limits.append(np.uint32(high << LOW_BITS | low).view(np.float32))
        return limits

    def count(
        self, counts: np.ndarray, advance: Callable[[int], None], chosen: np.ndarray | None = None
    ) -> None:
        """Count the bits of all magnitudes of each vector.

        Args:
            counts: int64[vectors, 2^16], of the upper 16 bits; the number of each is added.
            advance: is called after each parameter, see `progress_bar`.
            chosen: count the lower bits instead, of the numbers with these upper bits, one of each vector.
        """

        def magnitudes(name: str, rows: slice) -> Iterator[np.ndarray]:
            base = self.base[name].read_first(rows).astype(np.float32, copy=False)
            for number in range(len(self.tuned)):
                yield np.abs(self.dropped(number, name, base, rows)).ravel().view(np.uint32)

        for name, array in self.base.items():
            for rows in lazy.blocks(array.shape):
                for number, bits in enumerate(magnitudes(name, rows)):
                    upper = bits >> LOW_BITS
                    if chosen is not None:
                        upper = bits[upper == chosen[number]] & (2**LOW_BITS - 1)
                    counts[number] += np.bincount(upper, minlength=counts.shape[1])
            advance(1)


def kept(shape: Sequence[int], rows: slice, drop: float, keys: tuple[int, int, int]) -> np.ndarray:
    """Draw which numbers of a part of an array DARE keeps, each with probability 1 - drop; a part is as it is
    in the whole.

    Args:
        shape: of the whole array.
        rows: which entries of the first axis are asked for.
        drop: the probability to drop a number.
        keys: the seed, the number of the vector, and a number of the parameter below 2^32.
    """
    seed, number, parameter = keys
    chosen = range(*rows.indices(shape[0]))
    random = np.empty((len(chosen), math.prod(shape[1:])), np.float32)
    for out, row in zip(random, chosen, strict=True):
        # Each row has a part of the generator's period of its own.
        bits = np.random.Philox(key=[seed % 2**64, number << 32 | parameter], counter=[0, row, 0, 0])
        np.random.Generator(bits).random(dtype=np.float32, out=out)
    return random.reshape(len(chosen), *shape[1:]) >= np.float32(drop)


def open_vectors(
    base: str,
    vectors: Sequence[TaskVector],
    method: Method,
    vocabulary: str | None = None,
    data_dir: str | None = None,
) -> Opened:
    """Open a model and task vectors of it. What needs no parameters is checked first; then they are read
    once, for their fingerprints.

    Args:
        base: the model that the vectors are differences from, and are added to; as for
            `parameters.load_params`.
        vectors: at least one.
        method: how they are put together.
        vocabulary: a name or path for `vocabularies.load`; by default what the checkpoints say.
        data_dir: the folder of local data, where T5's vocabulary may lie.

    Raises:
        ValueError: there is no such checkpoint, it is of another model than the base or has another
            vocabulary, or it says that it came from another base, which matters but for a sum whose scales
            add up to 0.
    """
    if not vectors:
        raise ValueError('got no task vectors; name checkpoints with --add and --subtract')
    known, *others = (parameters.describe(path) for path in (base, *(each.checkpoint for each in vectors)))
    config = known.config.replace(adapter=None)
    for each, other in zip(vectors, others, strict=True):
        config = check_model(base, known._replace(config=config), each.checkpoint, other)
        known = known._replace(inferred=tuple(name for name in known.inferred if name in other.inferred))
    arrays = parameters.open_model(base, known.config)
    tuned = []
    for each, other in zip(vectors, others, strict=True):
        if other.config.adapter is not None:
            merged.check(other.config.adapter)
        own = parameters.open_arrays(each.checkpoint, config.replace(adapter=other.config.adapter))
        tuned.append(Tuned(each, own, other.config.adapter))
    paths = (base, *(each.checkpoint for each in vectors))
    loaded = same_vocabulary(dict(zip(paths, (known, *others), strict=True)), vocabulary, data_dir)
    with progress_bar('reading fingerprints', 1 + len(vectors), 'checkpoints') as advance:
        prints = [fingerprint(arrays)]
        advance(1)
        # Where the scales of a sum cancel, so does the base: what comes out is the base plus what others
        # differ by.
        cancels = method.name == 'sum' and not math.fsum(each.scale for each in vectors)
        for each in tuned:
            if each.adapter is not None or not cancels:
                check_base(each.vector.checkpoint, base, prints[0])
        for each in tuned:
            prints.append(fingerprint(each.arrays))
            advance(1)
    known = known._replace(config=config, feature_lengths=others[0].feature_lengths, step=0)
    return Opened(known, arrays, tuple(tuned), method, loaded, tuple(prints))


def check_model(base: str, known: Known, path: str, other: Known) -> ModelConfig:
    """Return the config of the base, completed by what another checkpoint says; a `ValueError` if that one is
    of another model.

    Args:
        base: the base's path.
        known: what the base says.
        path: of the other checkpoint.
        other: what that one says.
    """
    ours, theirs = known.config, other.config
    one = 'a task vector is the difference of two checkpoints of one model'
    if type(ours) is not type(theirs):
        kinds = type(theirs).__name__, type(ours).__name__
        raise ValueError(f'{path} is a {kinds[0]}, and the base {base} a {kinds[1]}; {one}')
    for field in dataclasses.fields(ours):
        name = field.name
        if name in (*fit.CHOSEN, 'adapter', *known.inferred, *other.inferred):
            continue
        here, there = getattr(ours, name), getattr(theirs, name)
        if not fit.same(name, there, here):
            raise ValueError(f'{name} is {there!r} in {path}, and {here!r} in the base {base}; {one}')
    told = [name for name in known.inferred if name not in other.inferred and hasattr(ours, name)]
    return ours.replace(**{name: getattr(theirs, name) for name in told})


def same_vocabulary(known: Mapping[str, Known], named: str | None, data_dir: str | None) -> Vocabulary | None:
    """Load the vocabulary of checkpoints; None where none comes with one.

    Args:
        known: what each checkpoint says, by its path, the base first.
        named: what is asked for; by default what the checkpoints say.
        data_dir: see `open_vectors`.

    Raises:
        ValueError: the ids of two of them, or of what is named, mean different text.
    """
    base, *_ = known.values()
    said = {path: each for path, each in reversed(known.items()) if each.vocabulary}
    name = named or next((each.vocabulary for each in said.values()), base.usual_vocabulary())
    if name is None:
        return None
    loaded = vocabularies.load(name, data_dir)
    for path, each in said.items():
        if (why := parameters.differs(each, loaded, data_dir)) is not None:
            raise ValueError(
                f'{path} was trained with the vocabulary {each.vocabulary!r}{why}, and '
                f'{"what is named" if named else next(iter(said))} is {name!r}, whose ids mean other text; '
                'expected checkpoints with one vocabulary'
            )
    return loaded


def check_base(path: str, base: str, expected: str) -> None:
    """Raise a `ValueError` if a checkpoint says that it came from another model than the base.

    Args:
        path: of the checkpoint: a run says what it began with, an adapter what it belongs to.
        base: the base's path.
        expected: the fingerprint of the base.
    """
    if record := locate.recorded_base(path):
        if record['fingerprint'] not in (None, expected):
            raise ValueError(
                f'the adapter {path} belongs to the model that was {record["path"]}, and the base {base} is '
                'another, with other parameters'
            )
        return
    begun = locate.begun_with(path)
    places = [locate.place(each) for each in (path, *begun) if each]
    if not begun or locate.place(base) in places:
        return
    for each in begun:
        if each is None:
            break
        if not locate.locate(each).exists():
            return  # it cannot be known
        if fingerprint(parameters.open_model(each, parameters.describe(each).config)) == expected:
            return
    raise ValueError(
        f'{path} began with {begun[0] or "random weights"}, and the base {base} is another model, with other '
        'parameters; expected the base that it began with'
    )
