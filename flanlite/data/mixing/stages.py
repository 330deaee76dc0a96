"""Stages of a curriculum: from which step on a mixture is mixed in which other way."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated

from flanlite.config import FrozenDict, value
from flanlite.data.mixing import given_rates
from flanlite.limits import Count, NotNegative, Positive, one_of, real
from flanlite.paths import LocalPath

SCHEMES = ('proportional', 'equal', 'unimax', 'epochs')
Scheme = Annotated[str, one_of(*SCHEMES)]
Temperature = Annotated[float, real('a number from 0.1', lambda x: x >= 0.1)]
Rates = LocalPath | Mapping[str, NotNegative]
Epochs = Positive | Mapping[str, Positive]


def read_rates(settings: object) -> None:
    """Put the rates of a file in the place of its path, in a value that is being made; so the value holds all
    that decides the run.
    """
    if isinstance(settings.rates, str):
        object.__setattr__(settings, 'rates', FrozenDict(given_rates.read(settings.rates)))


@value
class Stage:
    """How a mixture is mixed from a step on; what is None here is as in the mixture's own settings.

    Args:
        first_step: the first training step that it counts for, from 1.
        include: the tasks to train on, as names or patterns; by default all of the mixture.
        exclude: the tasks to leave out, as names or patterns.
        rates: see `MixtureConfig`.
        scheme: see `MixtureConfig`; in place of `rates` that the mixture has.
        temperature: see `MixtureConfig`.
        epochs: see `MixtureConfig`.
    """

    first_step: Count
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    rates: Rates | None = None
    scheme: Scheme | None = None
    temperature: Temperature | None = None
    epochs: Epochs | None = None

    def __post_init__(self) -> None:
        read_rates(self)
        if self.rates is not None and self.scheme is not None:
            raise ValueError(f'Stage.rates is set, and scheme={self.scheme!r}; expected one of the two')
        if self.rates is not None and self.temperature not in (None, 1.0):
            raise ValueError(
                f'Stage.rates is set, and temperature={self.temperature}, which changes no rates that are '
                'given; expected one of the two'
            )

    def changes(self) -> dict[str, object]:
        """Return the fields of the mixture that are other ones in this stage, but for its tasks."""
        fields = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name in ('rates', 'scheme', 'temperature', 'epochs')
        }
        changed = {name: new for name, new in fields.items() if new is not None}
        return {'rates': None} | changed if self.scheme is not None else changed
