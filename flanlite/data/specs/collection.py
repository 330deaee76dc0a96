"""Collection: data sets that belong together, with the caps and shares of their mixture."""

import collections
import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

from flanlite import config
from flanlite.data.specs import checks, clusters
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.specs import Spec
from flanlite.limits import NotNegative


class Prompted(NamedTuple):
    """A task's numbers in T0's mixing rule, which counts a data set's examples once for each of its prompts.

    Args:
        examples: the data set's training examples on record, no matter how many are cached.
        prompts: the data set's prompts. Each counts all examples; where these exceed the cap on the rate, the
            prompts share the cap.
        tasks: the number of tasks that the data set was made into; they share its rate.
    """

    examples: int
    prompts: int
    tasks: int = 1

    def rate(self, max_examples: int | None, max_rate: int | None) -> float:
        """Return the task's mixing rate as T0's release computes it (T0's `tasks.py`)."""
        examples = min(self.examples, max_examples or self.examples)
        each = examples if max_rate is None or examples <= max_rate else max_rate // self.prompts
        return each * self.prompts / self.tasks


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a collection that has a share of the mixture to itself, whatever the sizes of its data sets.

    Args:
        name: of the part.
        share: its weight beside the other parts; 0 for a part that does not train unless it is given one, by
            `MixtureConfig.shares`.
        tasks: the names of its data sets.
        max_rate: clips each of their rates, in place of the collection's cap.
        max_examples: truncates the training data of each, in the same way.
        prompt_mix: the prompt settings that its training examples are asked with, where nothing else is asked
            for; None for the templates alone.

    Raises:
        ValueError: a share below 0, or a cap that cannot be.
    """

    name: str
    share: float
    tasks: tuple[str, ...]
    max_rate: int | None = None
    max_examples: int | None = None
    prompt_mix: PromptMix | None = None

    def __post_init__(self) -> None:
        config.check_field('Part.share', self.share, NotNegative)
        checks.check_numbers(1, max_rate=self.max_rate, max_examples=self.max_examples)


@dataclasses.dataclass(frozen=True)
class Collection:
    """Data sets that belong together, with FLAN's two caps and the vocabulary they are meant for.

    Args:
        name: the name of the collection, and of the mixture of all its data sets.
        specs: its data sets and plain texts.
        vocabulary: a name or path for `flanlite.data.tokens.vocabularies.load`.
        max_examples: truncates each data set's training data (FLAN: 30,000); None for no cap.
        max_rate: clips each data set's mixing rate (FLAN: 3,000); None for no cap.
        max_rates: clips the rates of single data sets, by name; it overrides the data set's own `max_rate`.
        prompted: numbers for T0's mixing rule, by task; the rates of these tasks follow that rule.
        templates: the smallest number of templates that each of its data sets should have.
        shots: how many few-shot exemplars stand before each example, where nothing else is asked for.
        parts: its parts, where these have shares of the mixture; together they have each data set once.

    Raises:
        ValueError: the name or a cap cannot be, `max_rates` or `prompted` has a name that is not a data set
            of the collection, or the parts have other data sets.
    """

    name: str
    specs: tuple[Spec, ...]
    vocabulary: str = 't5'
    max_examples: int | None = 30_000
    max_rate: int | None = 3_000
    max_rates: Mapping[str, int] = dataclasses.field(default_factory=dict, hash=False)
    prompted: Mapping[str, Prompted] = dataclasses.field(default_factory=dict, hash=False)
    templates: int = 10
    shots: int = 0
    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        with checks.prefix_errors('collection', self.name):
            if self.parts:
                self._check_parts()
            checks.check_name(self.name)
            checks.check_numbers(1, max_examples=self.max_examples, max_rate=self.max_rate, **self.max_rates)
            names = [spec.name for spec in self.specs]
            for setting in ('max_rates', 'prompted'):
                for name in getattr(self, setting):
                    if name not in names:
                        close = config.closest(name, names)
                        raise ValueError(
                            f'{setting} has {name!r}; {close}its data sets are {", ".join(names)}'
                        )

    def _check_parts(self) -> None:
        names = [part.name for part in self.parts]
        checks.check_texts('names of parts', tuple(names))
        own = collections.Counter(spec.name for spec in self.specs)
        in_parts = collections.Counter(task for part in self.parts for task in part.tasks)
        for task in (own - in_parts) + (in_parts - own):
            parts = [part.name for part in self.parts if task in part.tasks]
            raise ValueError(
                f'{task!r} is in {" and ".join(parts) or "no part"}; expected each of its data sets in one '
                'part, and no others'
            )

    def clusters(self) -> tuple[str, ...]:
        """Return the names of the clusters that have a data set here; see `clusters.ordered`."""
        return clusters.ordered(self.specs)

    def part_of(self, task: str) -> Part | None:
        """Return the part that has a data set; None where there are no parts."""
        return self._parts_by_task.get(task)

    @functools.cached_property
    def by_name(self) -> dict[str, Spec]:
        """Its data sets and texts by their names."""
        return {spec.name: spec for spec in self.specs}

    @functools.cached_property
    def _parts_by_task(self) -> dict[str, Part]:
        return {task: part for part in self.parts for task in part.tasks}
