"""DatasetSpec: everything about one data set in one place."""

import dataclasses
import numbers
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Protocol

from flanlite import config
from flanlite.data.specs import checks, clusters, denoising, fingerprints, notices, templates
from flanlite.data.specs.templates import MixedTemplate, Template
from flanlite.limits import Between0And1, Positive, Seed
from flanlite.metrics import metrics
from flanlite.metrics.metric import Metric

Row = Mapping[str, Any]
SPLITS = ('train', 'validation', 'test')
STYLES = ('instructions', 'baseline', 'fields', 'names')
CONSTANT = 'files are read when the module is imported, into a constant whose name is in capitals'


class Source(Protocol):
    """The interface of a data set's source of rows; the sources that exist are in
    `flanlite.data.specs.sources`.
    """

    def rows(self, split: str) -> Iterable[Row]:
        """Read a split's rows in their fixed order; `split` may be a slice such as `train[:-200]`."""

    def version(self) -> str:
        """Return a text that identifies the data: it goes into the manifest, and a changed text makes a cache
        stale.
        """


@dataclasses.dataclass(frozen=True)
class Splits:
    """The source's splits to train, validate and test with: names or slices as in TFDS, or None where there
    is none.

    Raises:
        ValueError: a split does not parse, or all are None.
    """

    train: str | None = 'train'
    validation: str | None = 'validation'
    test: str | None = 'test'

    def __post_init__(self) -> None:
        for split in SPLITS:
            checks.check_split(split, getattr(self, split))
        if self.train is self.validation is self.test is None:
            raise ValueError(f'got no split at all; expected at least one of {", ".join(SPLITS)}')

    def get(self, split: str) -> str | None:
        """Return the source's split for `train`, `validation` or `test`, or None where there is none.

        Raises:
            ValueError: the split is none of these three.
        """
        if split not in SPLITS:
            raise ValueError(f'unknown split {split!r}; expected one of {", ".join(SPLITS)}')
        return getattr(self, split)


@dataclasses.dataclass(frozen=True)
class FewShot:
    """How a benchmark sets exemplars before an example, where it says so itself.

    Args:
        split: the source's split that they are from.
        exemplar: the text of one: `{inputs}` and `{targets}` as its template renders them, `{number}` from 1,
            and its fields.
        header: the field with which inputs begin and which stands once, before the first exemplar; all rows
            have the same one.
        drawn: whether they are drawn at random for each example, which is never among them; else they are the
            first ones, in order.
    """

    split: str
    exemplar: str = '{inputs} {targets}\n\n'
    header: str = 'header'
    drawn: bool = False


@dataclasses.dataclass(frozen=True)
class DatasetSpec:
    """One data set: its source, the fields of its templates, its answers, its metric and its cluster.

    `fields` and `keep` are written once and run in two ways: on Python rows when the cache is built, and on
    TensorFlow tensors inside a `seqio.Task`. Therefore they only index the row and call functions of
    `flanlite.data.specs.text`.

    Args:
        name: unique among all collections; also the name of the SeqIO task.
        cluster: one of `clusters.CLUSTERS`, or one of its own with a colon, `source:cluster`; None for a data
            set of no cluster, which is never held out.
        source: where the rows come from.
        fields: a function from a row to the fields of the templates. `answer` is a text, or an index into the
            options. `options` (a list of texts) gives a row its own options. `answers` (a list of texts)
            holds all texts that count as right, where there are several.
        templates: `Template`s, ten for FLAN.
        mixed_templates: `MixedTemplate`s, which only a prompt mix asks with beside these.
        metric: a name in `flanlite.metrics.metrics.METRICS`, or a `Metric` of your own.
        options: the answer options, where all rows have the same.
        keep: a function from a row to whether it is used; by default all rows are.
        group: a function from a row to its group, for metrics that score groups as a whole: MultiRC's
            question, for example.
        splits: the source's splits to train, validate and test with.
        baselines: plain prompts without instructions, for the comparison with an untuned model.
        family: data sets of the same family are held out together, such as ANLI's rounds; by default the
            name.
        lineage: the corpora that the text descends from.
        licence: the publisher's terms, in short.
        link: the data set's page.
        max_examples: overrides the collection's cap on training examples.
        max_rate: overrides the collection's cap on the mixing rate.
        train_examples: the number of training examples in the publisher's data, before any cap; None where it
            is not known.
        validation_examples: the same of the validation split, as `splits` cuts it, before `keep`.
        test_examples: the same of the test split.
        few_shot: how exemplars stand before an example, where a benchmark fixes that; by default `Shots`
            says it, and they are from the training data.
        stop: texts that end a generated answer; what stands behind the first of them is not read.
        extract: a regular expression that finds the answer in what a model writes, such as a chain of
            thought: the first group of its last match is scored. Where it finds nothing, the whole text is.
        category: a benchmark's own group of data sets, over which its averages are taken.

    Raises:
        ValueError: a setting cannot be; the message names the data set, the value and what was expected.
    """

    name: str
    cluster: str | None
    source: Source
    fields: Callable[[Row], dict[str, Any]]
    templates: tuple[Template, ...]
    metric: str | Metric = 'accuracy'
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
    few_shot: FewShot | None = None
    stop: tuple[str, ...] = ()
    extract: str = ''
    category: str = ''
    mixed_templates: tuple[MixedTemplate, ...] = ()

    def __post_init__(self) -> None:
        with checks.prefix_errors('data set', self.name):
            checks.check_name(self.name)
            for field in ('cluster', 'family', 'licence', 'link'):
                config.check_field(field, getattr(self, field), str | None if field == 'cluster' else str)
            if self.cluster is not None:
                clusters.check_cluster(self.cluster)
            metric = metrics.get_metric(self.metric)
            checks.check_texts('options', self.options)
            metric.check_options(self.options)
            checks.check_texts('lineage', self.lineage)
            checks.check_numbers(1, max_examples=self.max_examples, max_rate=self.max_rate)
            sizes = {f'{split}_examples': getattr(self, f'{split}_examples') for split in SPLITS}
            checks.check_numbers(0, **sizes)
            for kind, of in (
                ('templates', Template),
                ('baselines', Template),
                ('mixed_templates', MixedTemplate),
            ):
                given = getattr(self, kind)
                if not isinstance(given, tuple) or not all(isinstance(template, of) for template in given):
                    raise ValueError(f'got {kind}={given!r}; expected a tuple of {of.__name__}(...)')
            if not self.templates:
                raise ValueError('it has no templates; expected at least one')
            checks.check_pattern('extract', self.extract)

    def example(self, row: Row) -> dict[str, Any] | None:
        """Turn a row into `texts` (fields by name), `options`, `shown` (the options as the model reads them),
        `answers` (tuples) and `group` (a hash); None where `keep` drops the row.

        Raises:
            ValueError: the fields have no answer, an answer that is not an option, or values that are not
                texts or integers.
        """
        if self.keep is not None and not self.keep(row):
            return None
        fields = dict(self.fields(row))
        if 'answer' not in fields:
            raise ValueError(
                f'data set {self.name!r}: its fields are {sorted(fields)}; expected an answer among them'
            )
        options = self.several_texts('options', fields.pop('options', self.options))
        answer = fields.pop('answer')
        if isinstance(answer, numbers.Integral) and 0 <= answer < len(options):
            answer = options[answer]
        if not isinstance(answer, str) or (options and answer not in options):
            raise ValueError(
                f'data set {self.name!r}: the answer {answer!r} is none of the options {options}, and not '
                'the index of one'
            )
        answers = self.several_texts('answers', fields.pop('answers', ())) or (answer,)
        texts = {
            name: value if isinstance(value, str) else self.integer_text(name, value)
            for name, value in fields.items()
        }
        texts['answer'] = answer
        if options:
            texts[templates.OPTIONS_FIELD] = templates.options_block(options)
        group = fingerprints.of(self.group(row)) if self.group else ''
        return {'texts': texts, 'options': options, 'shown': options, 'answers': answers, 'group': group}

    def asks(self, template: Template) -> bool:
        """Return whether evaluation asks with a template: with all that are not inverted."""
        return not template.inverted

    def several_texts(self, name: str, values: Any) -> tuple[str, ...]:
        """Return a list of texts as a tuple.

        Raises:
            ValueError: it is something else. A lone text is refused too, since it would be read letter by
                letter.
        """
        if values is None or isinstance(values, str) or not all(isinstance(value, str) for value in values):
            raise ValueError(f'data set {self.name!r}: the {name} are {values!r}; expected a list of texts')
        return tuple(values)

    def integer_text(self, name: str, value: Any) -> str:
        """Return an integer field as text.

        Raises:
            ValueError: it is not an integer. TensorFlow would write other types, such as floats, in another
                way than Python does.
        """
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError(
                f'data set {self.name!r}: the field {name!r} is a {type(value).__name__}, {value!r}; '
                'expected a text or an integer: '
                'use choose, decimal, join or string of flanlite.data.specs.text'
            )
        return str(value)

    def read_answer(self, text: str) -> str:
        """Return the answer in a generated text; see `stop` and `extract`."""
        for stop in self.stop:
            text = text.partition(stop)[0]
        found = re.findall(self.extract, text) if self.extract else []
        return found[-1] if found else text

    def style_templates(self, style: str) -> tuple[Template, ...]:
        """Return the templates of a style.

        Args:
            style: `instructions` for the templates, `baseline` for the plain prompts, `fields` for the fields
                without any words, `names` for the fields behind the names of cluster and data set.

        Raises:
            ValueError: there is no such style.
        """
        if style == 'instructions':
            return self.templates
        if style == 'baseline':
            return self.baselines
        if style == 'fields':
            return (self.bare_template(),)
        if style == 'names':
            return (self.named_template(),)
        raise ValueError(f'unknown style {style!r}; expected one of {", ".join(STYLES)}')

    def bare_template(self) -> Template:
        """Make the template of FLAN's ablation without instructions (section 4.3): the fields that the
        instructions show, one per line.
        """
        return Template('\n'.join(f'{{{field}}}' for field in self.schema()))

    def named_template(self) -> Template:
        """Make the template of FLAN's ablation with names in place of instructions (section 4.3): the fields
        behind `[cluster: data set]`.
        """
        names = ': '.join(name for name in (self.cluster, self.name) if name)
        return Template(f'[{names}]\n{self.bare_template().inputs}')

    def schema(self) -> tuple[str, ...]:
        """Return the names of the fields that the instructions show, in their order."""
        shown: dict[str, None] = {}
        for template in self.templates:
            if not template.inverted:
                shown.update(
                    (field, None)
                    for _, field in templates.parse(template.inputs)
                    if field not in (None, templates.OPTIONS_FIELD)
                )
        return tuple(shown)

    def fingerprint(self) -> str:
        """Hash all that decides the rendered text, functions by their code, so that a stale cache is
        noticed.
        """
        grouped = (self.group,) if self.group else ()
        mixed = (self.mixed_templates,) if self.mixed_templates else ()
        code = (self.fields, self.keep, *grouped)
        notices.warn_of_unnoticed(f'the data set {self.name!r}', CONSTANT, *code)
        return fingerprints.of(
            self.name,
            self.options,
            self.splits,
            self.templates,
            self.baselines,
            *code,
            self.source.version(),
            *mixed,
        )


@dataclasses.dataclass(frozen=True)
class TextSpec:
    """Plain text to pretrain on: an ordinary task whose inputs and targets come from T5's objectives instead
    of templates.

    Args:
        name: unique among all collections.
        source: where the rows come from.
        text: a function from a row to its text.
        objective: `span_corruption` (Raffel et al. 2020) or `prefix_lm`.
        keep: a function from a row to whether it is used; by default all rows are.
        splits: the source's splits to train, validate and test with.
        length: longer texts are cut into pieces of this many tokens; a remaining piece of fewer than 2 tokens
            is dropped.
        density: the share of tokens that span corruption hides.
        mean_span: the mean length of a hidden span, in tokens.
        roll: hide spans anywhere. Without it, as in T5, the last tokens are always hidden, which matters in
            short texts.
        longest_target: the greatest number of tokens in the targets of prefix_lm; by default it cuts
            anywhere.
        corruptions: how many times each text is in the training data, each time with other spans hidden or
            another cut.
        seed: decides the random choices, together with the task, row and rendering.
        lineage: the corpora that the text descends from.
        licence: the publisher's terms, in short.
        link: the data set's page.
        max_examples: overrides the collection's cap on training examples.
        max_rate: overrides the collection's cap on the mixing rate.

    Raises:
        ValueError: a setting cannot be; the message names the text, the value and what was expected.
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
        with checks.prefix_errors('text', self.name):
            checks.check_name(self.name)
            if self.objective not in denoising.OBJECTIVES:
                raise ValueError(
                    f'unknown objective {self.objective!r}; expected {" or ".join(denoising.OBJECTIVES)}'
                )
            config.check_field('density', self.density, Between0And1)
            config.check_field('mean_span', self.mean_span, Positive)
            config.check_field('seed', self.seed, Seed)
            checks.check_numbers(2, length=self.length)
            checks.check_numbers(1, corruptions=self.corruptions, longest_target=self.longest_target)
            checks.check_numbers(1, max_examples=self.max_examples, max_rate=self.max_rate)
            checks.check_texts('lineage', self.lineage)

    def fingerprint(self) -> str:
        """Hash all that decides the tokens, so that a stale cache is noticed."""
        shape = (
            self.objective,
            self.length,
            self.density,
            self.mean_span,
            self.roll,
            self.longest_target,
            self.corruptions,
            self.seed,
        )
        code = (self.text, self.keep, denoising.span_corruption, denoising.prefix_lm, denoising.generator)
        notices.warn_of_unnoticed(f'the text {self.name!r}', CONSTANT, *code)
        return fingerprints.of(self.name, shape, self.splits, code, self.source.version())


Spec = DatasetSpec | TextSpec


def source_split(spec: Spec, split: str) -> str:
    """Return the source's split that a data set uses as `train`, `validation` or `test`.

    Raises:
        ValueError: it has none; the message names those that it has.
    """
    found = spec.splits.get(split)
    if found is None:
        there = [name for name in SPLITS if spec.splits.get(name)]
        raise ValueError(f'data set {spec.name!r} has no {split} split, only {", ".join(there)}')
    return found
