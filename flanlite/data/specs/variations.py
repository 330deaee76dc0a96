"""Data sets whose examples are changed, to measure whether a model's answers hold: other orders of the
options, and other words for the answers.

Options keep their names in results: an example's `options` and `answers` are the data set's own, and only
what the model reads and ranks, `shown`, is changed. So every metric counts as before, those of classes too.
"""

import dataclasses
import functools
import re
import zlib
from typing import Annotated, Any

import numpy as np

from flanlite.config import value
from flanlite.data.specs import denoising, fingerprints, templates
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import OPTIONS_FIELD, Template
from flanlite.limits import Seed, one_of

OPTION_ORDER, ANSWER_WORDS = 'option_order', 'answer_words'
# Nouns that say nothing of an answer.
WORDS = (
    'lemon', 'candle', 'window', 'paper', 'stone', 'bottle', 'ladder', 'basket',
    'pillow', 'button', 'feather', 'hammer', 'carpet', 'mirror', 'bucket', 'blanket',
)  # fmt: skip


@value
class Variation:
    """How the examples of data sets are changed.

    Args:
        kind: `option_order` shows the options of each example in another order than its own; `answer_words`
            replaces the options that all rows of a data set have, one to one.
        seed: of the orders, with the data set and the row; or of the words, with the data set.
        words: from which `answer_words` draws.
    """

    kind: Annotated[str, one_of(OPTION_ORDER, ANSWER_WORDS)]
    seed: Seed = 0
    words: tuple[str, ...] = WORDS

    @property
    def name(self) -> str:
        """Its name in those of folders."""
        return f'{self.kind}_{self.seed}'

    def shows(self, spec: DatasetSpec, template: Template) -> bool:
        """Return whether what a template asks is changed: it shows the options and, where these have other
        words, does not name them itself.
        """
        literals = [literal for literal, _ in templates.parse(template.inputs)]
        named = self.kind == ANSWER_WORDS and any(
            re.search(rf'(?<!\w){re.escape(option)}(?!\w)', literal, re.IGNORECASE)
            for option in spec.options
            for literal in literals
        )
        return OPTIONS_FIELD in [field for _, field in templates.parse(template.inputs)] and not named

    def reason_against(self, spec: object, style: str) -> str:
        """Say why a data set cannot be changed so; nothing where it can."""
        if not isinstance(spec, DatasetSpec):
            return 'no data set with templates'
        if self.kind == ANSWER_WORDS:
            if not spec.options:
                return 'no options that all rows have'
            if (free := len(set(self.words) - set(spec.options))) < len(spec.options):
                return f'more options than the {free} words'
        asked = filter(spec.asks, spec.style_templates(style))
        if not any(self.shows(spec, template) for template in asked):
            unnamed = ' without naming them' if self.kind == ANSWER_WORDS else ''
            return f'no template shows the options as a block{unnamed}'
        return ''

    def renamed(self, spec: DatasetSpec) -> dict[str, str]:
        """Return the word for each of a data set's options."""
        free = [word for word in self.words if word not in spec.options]
        drawn = denoising.generator(self.seed, spec.name).permutation(len(free))
        return {option: free[place] for option, place in zip(spec.options, drawn, strict=False)}


@dataclasses.dataclass(frozen=True)
class VariedSpec(DatasetSpec):
    """A data set whose examples are changed.

    Args:
        variation: how.
    """

    variation: Variation = dataclasses.field(kw_only=True)

    @classmethod
    def of(cls, spec: DatasetSpec, variation: Variation) -> 'VariedSpec':
        """Change a data set."""
        return cls(
            **{field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)},
            variation=variation,
        )

    @functools.cached_property
    def words(self) -> dict[str, str]:
        """The word for each option."""
        return self.variation.renamed(self)

    def asks(self, template: Template) -> bool:
        """Return whether evaluation asks with a template: with those that show the change."""
        return super().asks(template) and self.variation.shows(self, template)

    def example(self, row: Row) -> dict[str, Any] | None:
        """Turn a row into an example, and change it."""
        found = super().example(row)
        if found is None or not found['options']:
            return found
        options, texts = found['options'], dict(found['texts'])
        if self.variation.kind == OPTION_ORDER:
            text = '\n'.join(f'{name}: {texts[name]}' for name in sorted(texts))
            random = denoising.generator(self.variation.seed, self.name, zlib.crc32(text.encode()))
            options = shown = tuple(options[place] for place in other_order(len(options), random))
        else:
            shown = tuple(self.words.get(option, option) for option in options)
            texts['answer'] = self.words.get(texts['answer'], texts['answer'])
        texts[OPTIONS_FIELD] = templates.options_block(shown)
        return found | {'texts': texts, 'options': options, 'shown': shown}

    def fingerprint(self) -> str:
        """Hash what decides the rendered text."""
        return fingerprints.of(super().fingerprint(), self.variation, VariedSpec.example)


def other_order(count: int, random: np.random.Generator) -> np.ndarray:
    """Draw an order of some things that is not their own, where there is another."""
    order = random.permutation(count)
    while count > 1 and (order == np.arange(count)).all():
        order = random.permutation(count)
    return order
