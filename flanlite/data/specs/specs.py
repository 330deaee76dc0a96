"""DatasetSpec: everything about one data set in one place, and the registry of collections."""

import dataclasses
import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from flanlite.data.specs import clusters, denoising, fingerprints, templates
from flanlite.data.specs.templates import Template

Row = Mapping[str, Any]
SPLITS = ('train', 'validation', 'test')
TELLING = 8  # characters from which an answer that stands in a template's words is no accident
STYLES = ('instructions', 'baseline', 'fields')


class Source(Protocol):
    """Where a data set's rows come from; see `flanlite.data.specs.sources` for those there are."""

    def rows(self, split: str) -> Iterable[Row]:
        """Read a split's rows in their fixed order; `split` may be a slice such as `train[:-200]`."""

    def version(self) -> str:
        """Say which data this is, for the manifest and to notice that it changed."""


@dataclasses.dataclass(frozen=True)
class Splits:
    """Which of the source's splits serve to train, validate and test; slices as in TFDS, None where there is none."""

    train: str | None = 'train'
    validation: str | None = 'validation'
    test: str | None = 'test'

    def get(self, split: str) -> str | None:
        """Return the source's split for `train`, `validation` or `test`."""
        if split not in SPLITS:
            raise ValueError(f'unknown split {split!r}; expected one of {", ".join(SPLITS)}')
        return getattr(self, split)


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """One data set: its source, the fields its templates use, its answers, its metric and where it belongs.

    `fields` and `keep` are written once and run twice: on Python rows when the cache is built, and on TensorFlow tensors inside a
    `seqio.Task`. So they index the row and call functions of `flanlite.data.specs.text`, and do nothing else with the values.

    Args:
        name: unique among all collections; also the name of the SeqIO task.
        cluster: one of `clusters.CLUSTERS`.
        source: where the rows come from.
        fields: turns a row into the templates' fields. `answer` is an index into the options or a text; `options` (a list of texts)
            gives a row options of its own; `answers` (a list of texts) names all texts that count as right, where there are several.
        templates: ten `Template`s.
        metric: a name in `flanlite.metrics.metrics.METRICS`.
        options: the answer options where all rows share them.
        keep: which rows to use.
        group: what rows have in common that are right only together, for metrics that ask for it, such as MultiRC's question.
        splits: which of the source's splits serve to train, validate and test.
        baselines: plain prompts without instructions, for the comparison with an untuned model.
        family: data sets of one family are held out together (ANLI's rounds, say); by default the name.
        lineage: the corpora that the text descends from.
        licence: as the publisher words it, in short.
        link: the data set's page.
        max_examples: overrides the collection's cap on training examples.
        max_rate: overrides the collection's cap on the mixing rate.
        train_examples: how many training examples the publisher's data gives, before any cap; None where it is not known.
        validation_examples: likewise, as `splits` cuts them, before `keep`.
        test_examples: likewise.
    """

    name: str
    cluster: str
    source: Source
    fields: Callable[[Row], dict[str, Any]]
    templates: tuple[Template, ...]
    metric: str = 'accuracy'
    options: tuple[str, ...] = ()
    keep: Callable[[Row], Any] | None = None
    group: Callable[[Row], Any] | None = None
    splits: Splits = Splits()
    baselines: tuple[Template, ...] = ()
    family: str = ''
    lineage: tuple[str, ...] = ()
    licence: str = ''
    link: str = ''
    max_examples: int | None = None
    max_rate: int | None = None
    train_examples: int | None = None
    validation_examples: int | None = None
    test_examples: int | None = None

    def __post_init__(self) -> None:
        clusters.check_cluster(self.cluster)
        if not self.templates:
            raise ValueError(f'data set {self.name!r} has no templates')

    def example(self, row: Row) -> dict[str, Any] | None:
        """Turn a row into text fields, with `options` and `answers` as tuples and the hash of its group; None where `keep` drops it."""
        if self.keep is not None and not self.keep(row):
            return None
        fields = dict(self.fields(row))
        if 'answer' not in fields:
            raise ValueError(f'data set {self.name!r}: its fields are {sorted(fields)}; expected an answer among them')
        options = self.several_texts('options', fields.pop('options', self.options))
        answer = fields.pop('answer')
        if isinstance(answer, numbers.Integral) and 0 <= answer < len(options):
            answer = options[answer]
        if not isinstance(answer, str) or (options and answer not in options):
            raise ValueError(f'data set {self.name!r}: the answer {answer!r} is none of the options {options}, nor the index of one')
        answers = self.several_texts('answers', fields.pop('answers', ())) or (answer,)
        texts = {name: value if isinstance(value, str) else self.integer_text(name, value) for name, value in fields.items()}
        texts['answer'] = answer
        if options:
            texts[templates.OPTIONS_FIELD] = templates.options_block(options)
        group = fingerprints.of(self.group(row)) if self.group else ''
        return {'texts': texts, 'options': options, 'answers': answers, 'group': group}

    def several_texts(self, name: str, values: Any) -> tuple[str, ...]:
        """Take the texts of a list; a lone text would be taken for its letters, so it is refused, as is what else is no list of texts."""
        if values is None or isinstance(values, str) or not all(isinstance(value, str) for value in values):
            raise ValueError(f'data set {self.name!r}: the {name} are {values!r}; expected a list of texts')
        return tuple(values)

    def integer_text(self, name: str, value: Any) -> str:
        """Write an integer field as text; other kinds would read differently in TensorFlow, so they are refused."""
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError(
                f'data set {self.name!r}: the field {name!r} is a {type(value).__name__}, {value!r}; expected a text or an integer: '
                'use choose, decimal, join or string of flanlite.data.specs.text'
            )
        return str(value)

    def style_templates(self, style: str) -> tuple[Template, ...]:
        """Return the templates of a style: `instructions` (the ten), `baseline` (plain prompts), `fields` (bare fields, no words)."""
        if style == 'instructions':
            return self.templates
        if style == 'baseline':
            return self.baselines
        if style == 'fields':
            return (self.bare_template(),)
        raise ValueError(f'unknown style {style!r}; expected one of {", ".join(STYLES)}')

    def bare_template(self) -> Template:
        """Return the template without instructions: the fields that the instructions show, a line each (FLAN, section 4.3)."""
        shown: dict[str, None] = {}
        for template in self.templates:
            if not template.inverted:
                shown.update((field, None) for _, field in templates.parse(template.inputs) if field not in (None, templates.OPTIONS_FIELD))
        return Template('\n'.join(f'{{{field}}}' for field in shown))

    def fingerprint(self) -> str:
        """Hash what decides the rendered text (functions by their code), so that a stale cache is noticed."""
        grouped = (self.group,) if self.group else ()
        code = (self.fields, self.keep, *grouped)
        return fingerprints.of(self.name, self.options, self.splits, self.templates, self.baselines, *code, self.source.version())


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """Plain text to pretrain on: an ordinary task whose inputs and targets come from T5's objectives instead of templates.

    Args:
        name: unique among all collections.
        source: where the rows come from.
        text: turns a row into its text.
        objective: `span_corruption` (Raffel et al. 2020) or `prefix_lm`.
        keep: which rows to use.
        splits: which of the source's splits serve to train, validate and test.
        length: longer texts are cut into pieces of so many tokens; what is left of fewer than 2 is dropped.
        density: the share of tokens that span corruption hides.
        mean_span: the mean length of a hidden span.
        roll: hide spans anywhere; without it, as in T5, the last tokens are always hidden, which matters in short texts.
        longest_target: the most tokens that prefix_lm leaves for the targets; by default it cuts anywhere.
        corruptions: how many times each text stands in the training data, hidden or cut anew each time.
        seed: what the random choices depend on, besides the task, row and rendering.
        max_examples: overrides the collection's cap on training examples.
        max_rate: overrides the collection's cap on the mixing rate.
    """

    name: str
    source: Source
    text: Callable[[Row], str]
    objective: str = 'span_corruption'
    keep: Callable[[Row], Any] | None = None
    splits: Splits = Splits()
    length: int = 512
    density: float = 0.15
    mean_span: float = 3.0
    roll: bool = False
    longest_target: int | None = None
    corruptions: int = 1
    seed: int = 0
    lineage: tuple[str, ...] = ()
    licence: str = ''
    link: str = ''
    max_examples: int | None = None
    max_rate: int | None = None
    cluster: ClassVar[None] = None

    def __post_init__(self) -> None:
        if self.objective not in denoising.OBJECTIVES:
            raise ValueError(f'text {self.name!r}: unknown objective {self.objective!r}; expected {" or ".join(denoising.OBJECTIVES)}')
        if self.length < 2 or self.corruptions < 1 or not 0 < self.density < 1:
            raise ValueError(
                f'text {self.name!r}: got length {self.length}, corruptions {self.corruptions}, density {self.density}; '
                'expected at least 2, at least 1, and between 0 and 1'
            )

    def fingerprint(self) -> str:
        """Hash what decides the tokens, so that a stale cache is noticed."""
        shape = (self.objective, self.length, self.density, self.mean_span, self.roll, self.longest_target, self.corruptions, self.seed)
        code = (self.text, self.keep, denoising.span_corruption, denoising.prefix_lm, denoising.generator)
        return fingerprints.of(self.name, shape, self.splits, code, self.source.version())


Spec = DatasetSpec | TextSpec


def source_split(spec: Spec, split: str) -> str:
    """Return the source's split for ours, or say which the data set has."""
    found = spec.splits.get(split)
    if found is None:
        there = [name for name in SPLITS if spec.splits.get(name)]
        raise ValueError(f'data set {spec.name!r} has no {split} split, only {", ".join(there)}')
    return found


class Prompted(NamedTuple):
    """What T0's rule of mixing counts of a task.

    Args:
        examples: how many training examples its data set has on record, whatever is cached of them.
        prompts: how many prompts the data set has, each of which counts all examples; beyond the cap on the rate they share the cap.
        tasks: how many tasks stand for the data set, and share its rate.
    """

    examples: int
    prompts: int
    tasks: int = 1

    def rate(self, max_examples: int | None, max_rate: int | None) -> float:
        """Return the task's rate, as T0's release has it."""
        examples = min(self.examples, max_examples or self.examples)
        each = examples if max_rate is None or examples <= max_rate else max_rate // self.prompts
        return each * self.prompts / self.tasks


@dataclasses.dataclass(frozen=True)
class Collection:
    """Data sets that belong together, with FLAN's two caps and the vocabulary they are meant for.

    Args:
        name: the collection's and its mixture's name.
        specs: its data sets, plain texts among them.
        vocabulary: a name or path for `flanlite.data.tokens.vocabularies.load`.
        max_examples: truncates each data set's training data (FLAN: 30,000); None for no cap.
        max_rate: clips each data set's mixing rate (FLAN: 3,000); None for no cap.
        max_rates: clips the rates of single data sets, by name, in place of what the data set itself sets.
        prompted: what T0's rule of mixing counts, by task; these tasks are weighed by it.
        templates: how many templates each of its data sets should have at least.
    """

    name: str
    specs: tuple[Spec, ...]
    vocabulary: str = 't5'
    max_examples: int | None = 30_000
    max_rate: int | None = 3_000
    max_rates: Mapping[str, int] = dataclasses.field(default_factory=dict, hash=False)
    prompted: Mapping[str, Prompted] = dataclasses.field(default_factory=dict, hash=False)
    templates: int = 10

    def clusters(self) -> tuple[str, ...]:
        """Name the clusters that have a data set here, in `clusters.CLUSTERS`'s order."""
        present = {spec.cluster for spec in self.specs if spec.cluster}
        return tuple(cluster for cluster in clusters.CLUSTERS if cluster in present)


COLLECTIONS: dict[str, Collection] = {}


def register(collection: Collection) -> None:
    """Make a collection known by name; registering an equal one again is harmless, another of the same name an error."""
    if COLLECTIONS.get(collection.name, collection) is not collection:
        raise ValueError(f'a collection named {collection.name!r} is registered already')
    taken = {spec.name: (other.name, spec) for other in COLLECTIONS.values() if other is not collection for spec in other.specs}
    for spec in collection.specs:
        if sum(spec.name == other.name for other in collection.specs) > 1:
            raise ValueError(f'the collection {collection.name!r} has two data sets named {spec.name!r}')
        if spec.name in taken and taken[spec.name][1] is not spec:  # collections may share a data set, but not its name
            raise ValueError(f'data set {spec.name!r} of {collection.name!r} is in the collection {taken[spec.name][0]!r} already')
    COLLECTIONS[collection.name] = collection


def find_spec(name: str) -> Spec | None:
    """Return the registered data set of that name, or None."""
    return next((spec for collection in COLLECTIONS.values() for spec in collection.specs if spec.name == name), None)


def lint(spec: DatasetSpec, rows: Iterable[Row], count: int = 10) -> Iterator[str]:
    """Yield one line for each fault in a data set: in its templates, at least `count`, and in what its first rows make of them."""
    fields: dict[str, None] = {}
    faults: dict[str, str] = {}
    for place, row in enumerate(rows):
        try:
            example = spec.example(row)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            yield f'row {place} cannot be read: {type(error).__name__}: {error}'
            return
        if example is not None:
            fields.update(dict.fromkeys(example['texts']))
            for fault in example_faults(spec, example):
                faults.setdefault(fault, f'row {place}: {fault}')
    if not fields:
        yield 'no row is left to check the templates with'
        return
    yield from templates.lint(spec.templates, tuple(fields), count=count)
    forward = [template for template in spec.templates if not template.inverted]
    shown = sum(templates.OPTIONS_FIELD in template.fields() for template in forward)
    if count > 1 and templates.OPTIONS_FIELD in fields and shown <= len(forward) / 2:  # a lone prompt may have them in its words
        yield f'{shown} of {len(forward)} templates show the options; expected more than half'
    for index, template in enumerate(spec.baselines):
        for field in template.fields():
            if field not in fields:
                yield f'baseline {index} names the field {field!r}; the data set has {sorted(fields)}'
    yield from faults.values()


def example_faults(spec: DatasetSpec, example: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults of one example: nothing to read or to answer, the same option twice, a template that tells the answer."""
    texts, options = example['texts'], example['options']
    shown = {field for template in spec.templates + spec.baselines for field in template.fields()}
    for name in sorted(shown & set(texts)):
        if not texts[name].strip():
            yield f'the field {name!r} is empty'
    if len(set(options)) < len(options):
        yield 'two options are the same'
    if not options and len(texts['answer']) >= TELLING:
        for index, template in enumerate(spec.templates):
            literal = ''.join(literal for literal, _ in templates.parse(template.inputs))
            if not template.inverted and texts['answer'] in literal:
                yield f'template {index} tells the answer in its own words'
