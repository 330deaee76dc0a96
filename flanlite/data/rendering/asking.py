"""How a prompt mix asks: which template is used for a row, with or without its options, and in which form."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from flanlite.data.specs import templates
from flanlite.data.specs.option_forms import OptionForm
from flanlite.data.specs.prompt_mix import PromptMix, Way
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import MixedTemplate, Template


class Asked(NamedTuple):
    """A row as a prompt mix asks it.

    Args:
        way: what was drawn.
        form: of its options.
        header: what stands before exemplars and inputs.
    """

    way: Way
    form: OptionForm
    header: str = ''


class Asking:
    """Asks the rows of a data set by a prompt mix.

    Args:
        mix: the mix.
        name: the data set's.
        shown: the templates of the style, and behind them the data set's `mixed_templates`.
        indices: of those that are used where nothing is drawn.
        strict: whether templates whose words speak of options take no turn where these are not shown.
    """

    def __init__(
        self,
        mix: PromptMix,
        name: str,
        shown: Sequence[Template],
        indices: Sequence[int],
        strict: bool,
    ) -> None:
        self.mix, self.name, self.shown, self.strict = mix, name, shown, strict
        self.indices = (*indices, *(i for i, each in enumerate(shown) if isinstance(each, MixedTemplate)))
        self._turns: dict[tuple[Any, ...], tuple[int, ...]] = {}

    def draw(self, row: int, example: Mapping[str, Any]) -> Asked:
        """Draw how a row is asked."""
        way = self.mix.draw(self.name, row)
        return Asked(way, way.form(example['shown']))

    def turns(self, way: Way, has_options: bool) -> tuple[int, ...]:
        """Return the indices of the templates that take turns for a row that is asked so."""
        key = (way.shots > 0, way.chain, way.inverted, way.shows_options and has_options)
        if key not in self._turns:
            self._turns[key] = self._find_turns(*key)
        return self._turns[key]

    def _find_turns(
        self, few_shot: bool, chain: str, inverted: bool | None, shows_options: bool
    ) -> tuple[int, ...]:
        def kept(indices: Sequence[int], wanted: Callable[[Template], Any]) -> tuple[int, ...]:
            return tuple(index for index in indices if wanted(self.shown[index]))

        plain = kept(self.indices, lambda template: not chain_of(template) and not header_of(template))
        headed = kept(self.indices, header_of) if few_shot else ()
        found = headed or kept(self.indices, lambda template: chain_of(template) == chain) or plain
        if inverted is not None:
            turned = kept(self.indices if inverted else found, lambda template: template.inverted is inverted)
            found = turned or found
        if not shows_options and self.strict:
            found = kept(found, templates.can_hide_options) or found
        return found

    def fill(
        self, template: Template, example: Mapping[str, Any], asked: Asked
    ) -> tuple[str, str, tuple[str, ...], bool]:
        """Fill a template with a row, or with an exemplar.

        Args:
            template: one of `shown`.
            example: what `DatasetSpec.example` made of it.
            asked: how the row is asked, or that which the exemplar stands before.

        Returns:
            inputs without the header, targets, the options as the answer names them, and whether they are
            shown.
        """
        texts, shown = example['texts'], example['shown']
        if not (asked.way.shows_options and shown):
            template = templates.without_options(template)
        place = templates.OPTIONS_FIELD in template.fields() and bool(shown)
        if place and asked.way.draws_form:
            answers = asked.form.answers(shown)
            texts = texts | {
                templates.OPTIONS_FIELD: asked.form.block(shown),
                'answer': answers[shown.index(texts['answer'])],
            }
            shown = answers
        inputs, targets = (templates.fill(text, texts) for text in (template.inputs, template.targets))
        return inputs, targets, shown, place

    def header(self, template: Template, example: Mapping[str, Any]) -> str:
        """Return what stands once before exemplars and inputs."""
        return templates.fill(header_of(template), example['texts'])


def chain_of(template: Template) -> str:
    """Return where a template has the answer beside a chain of thought, where that is told."""
    return template.chain if isinstance(template, MixedTemplate) else ''


def header_of(template: Template) -> str:
    """Return the header of a template."""
    return template.header if isinstance(template, MixedTemplate) else ''


def all_templates(spec: DatasetSpec, style: str, mix: PromptMix | None) -> tuple[Template, ...]:
    """Return the templates of a style, and with a prompt mix those that only it asks with behind them."""
    mixed = spec.mixed_templates if mix and style == 'instructions' else ()
    return (*spec.style_templates(style), *mixed)
