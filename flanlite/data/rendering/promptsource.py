"""Promptsource's prompts, read at run time from a copy that the user has: Jinja in a sandbox, each prompt a data set. None are kept here.

A prompt is a template for inputs and targets, with `|||` between, over the columns of a data set of the Hugging Face hub. As in T0's
release, what renders to no inputs or no targets is no example of that prompt.
"""

import dataclasses
import functools
import importlib.util
import os
import pathlib
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.meta
import jinja2.sandbox

from flanlite.data.specs import fingerprints
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template

DIRECTORY = 'PROMPTSOURCE_DIR'
FILE = 'templates.yaml'
SEPARATOR = '|||'
PROTECTED = '\ue000'  # stands for a separator in a row's own text while a prompt is rendered; a character of private use
CHOICES = 'answer_choices'
POSITION = 'position_'  # the variable that tells the filter `choice` which row it is
# What promptsource calls a metric, and what it is here; others are left to `accuracy`.
METRICS = {
    'Accuracy': 'accuracy',
    'BLEU': 'bleu',
    'COQA F1': 'f1',
    'Edit Distance': 'edit_distance',
    'MultiRC': 'f1a',
    'ROUGE': 'rouge',
    'Squad': 'f1',
    'Trivia QA': 'exact_match',
}


class MissingPackageError(ImportError, ValueError):
    """A package that only promptsource's prompts need is not installed."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One prompt of promptsource.

    Args:
        data_set: the data set it is for, as promptsource names it.
        config: the data set's configuration, where it has several.
        name: its name, unique for the data set.
        jinja: the template of inputs and targets.
        choices: the template of the answer options, with `|||` between; None where any text may be the answer.
        original_task: whether it asks for what the data set was made for. T0 evaluates these only.
        metrics: promptsource's names of the metrics.
    """

    data_set: str
    config: str | None
    name: str
    jinja: str
    choices: str | None = None
    original_task: bool = True
    metrics: tuple[str, ...] = ()

    def task(self) -> str:
        """Name the task as T0's release does."""
        return re.sub(r'[^\w.]+', '_', '_'.join(filter(None, (self.data_set, self.config, self.name))))

    def metric(self) -> str:
        """Name the metric as `flanlite.metrics.metrics` does."""
        return next((METRICS[name] for name in self.metrics if name in METRICS), 'accuracy')

    def columns(self) -> set[str]:
        """Name the columns of a row that the prompt reads."""
        return read_columns(self.jinja) | (read_columns(self.choices) if self.choices else set())

    def render(self, row: Row, position: int = 0) -> dict[str, Any] | None:
        """Render a row to `inputs`, `targets` and `options`; None where the prompt does not apply to it.

        Args:
            row: the data set's row, as the hub has it.
            position: the row's index, which decides what the prompt's random choices are.
        """
        variables = {name.replace('-', '_'): protect(value) for name, value in row.items()} | {POSITION: f'{position}/{self.name}'}
        options = pieces(compiled(self.choices).render(variables)) if self.choices else []
        parts = pieces(compiled(self.jinja).render(variables | {CHOICES: options or None}))
        if len(parts) != 2 or not all(parts):
            return None
        inputs, targets = parts
        distinct = list(dict.fromkeys(filter(None, options)))
        return {'inputs': inputs, 'targets': targets, 'options': distinct if targets in distinct else []}


@dataclasses.dataclass(frozen=True)
class PromptSource:
    """A data set's rows as one prompt renders them.

    Args:
        source: where the rows come from, in the hub's shape.
        prompt: the prompt.
        renamed: columns that the source and the prompt call by different names, (the source's, the prompt's).
    """

    source: Any
    prompt: Prompt
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Name the source in the manifest."""
        return f'{self.source.name} {self.prompt.name}'

    def rows(self, split: str) -> Iterator[Row]:
        """Render a split's rows; those that the prompt does not apply to are empty."""
        names = dict(self.renamed)
        for position, found in enumerate(self.source.rows(split)):
            row = {names.get(name, name): value for name, value in found.items()} if names else found
            if position == 0:
                self.check(row)
            yield self.prompt.render(row, position) or {'inputs': '', 'targets': '', 'options': []}

    def check(self, row: Row) -> None:
        """Refuse rows that lack a column, which Jinja would pass over in silence."""
        missing = self.prompt.columns() - {name.replace('-', '_') for name in row}
        if missing:
            raise ValueError(
                f'the prompt {self.prompt.name!r} of {self.prompt.data_set} reads the columns {", ".join(sorted(missing))}, but the rows '
                f'of {self.source.name} have {", ".join(sorted(row))}; expected the columns that the data set has at the Hugging Face hub'
            )

    def version(self) -> str:
        """Say which data and which wording this is."""
        return f'{self.source.version()} {fingerprints.of(self.prompt)}'


def data_set(source: PromptSource, cluster: str, **settings: Any) -> DatasetSpec:
    """Make the data set of one prompt.

    Args:
        source: the data set's rows as the prompt renders them.
        cluster: its cluster.
        **settings: further arguments of `DatasetSpec`.
    """
    return DatasetSpec(
        name=source.prompt.task(),
        cluster=cluster,
        source=source,
        fields=fields,
        keep=applies,
        templates=(Template('{prompt}'),),
        metric=source.prompt.metric(),
        family=source.prompt.data_set,
        **settings,
    )


def fields(row: Row) -> dict[str, Any]:
    """Turn a rendered row into fields."""
    return {'prompt': row['inputs'], 'answer': row['targets'], 'options': row['options']}


def applies(row: Row) -> Any:
    """Say whether the prompt had something to say to a row."""
    return row['inputs'] != ''


def find_folder(directory: str | os.PathLike | None = None) -> pathlib.Path | None:
    """Return the folder with `<data set>/[<configuration>/]templates.yaml`, or None where there is no promptsource.

    Args:
        directory: a checkout, its package or its templates; by default the variable PROMPTSOURCE_DIR, else an installed promptsource.

    Raises:
        ValueError: the folder that was named holds no such files.
    """
    named = directory or os.environ.get(DIRECTORY)
    package = None if named else importlib.util.find_spec('promptsource')  # finds it without importing what it needs
    for root in [named] if named else (package and package.submodule_search_locations) or ():
        root = pathlib.Path(root).expanduser()
        for folder in (root / 'promptsource' / 'templates', root / 'templates', root):
            if folder.is_dir() and (any(folder.glob(f'*/{FILE}')) or any(folder.glob(f'*/*/{FILE}'))):
                return folder.absolute()
    if named:
        raise ValueError(f'no {FILE} of promptsource in {named!r}; expected a checkout of bigscience-workshop/promptsource in {DIRECTORY}')
    return None


def keys(folder: pathlib.Path) -> list[tuple[str, str | None]]:
    """List the data sets of a folder of prompts, with their configurations: (data set, configuration or None)."""
    found = []
    for file in sorted(folder.rglob(FILE)):
        head = re.search(r'^dataset: *(\S+)', file.read_text(encoding='utf-8'), re.MULTILINE)
        place = file.parent.relative_to(folder).as_posix()
        name = head[1].strip('\'"') if head else place
        found.append((name, place.removeprefix(f'{name}/')) if place.startswith(f'{name}/') else (place, None))
    return found


@functools.cache
def read(folder: pathlib.Path, name: str, config: str | None = None) -> tuple[Prompt, ...]:
    """Read a data set's prompts, sorted by name.

    Raises:
        ValueError: there are none, or the file is not in promptsource's form.
    """
    file = folder / name / (config or '') / FILE
    try:
        text = file.read_text(encoding='utf-8')
    except OSError as error:
        raise ValueError(f'promptsource has no prompts for {name} {config or ""}: {error}') from error
    try:
        listed = parse_yaml(text)['templates'].values()
        made = [made_prompt(name, config, entry) for entry in listed]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f'{file} is no file of prompts: {type(error).__name__} {error}') from error
    return tuple(sorted(made, key=lambda prompt: prompt.name))


def made_prompt(name: str, config: str | None, entry: Mapping[str, Any]) -> Prompt:
    """Make a prompt of what the file says."""
    about = entry.get('metadata') or {}
    original = bool(about.get('original_task'))
    return Prompt(name, config, entry['name'], entry['jinja'], entry.get(CHOICES) or None, original, tuple(about.get('metrics') or ()))


def parse_yaml(text: str) -> Any:
    """Parse YAML whose tags `!Template` and `!TemplateMetadata` stand for plain mappings; no other objects are made."""
    try:
        import yaml
    except ImportError as error:
        raise MissingPackageError("promptsource's files are YAML; install flanlite[t0], that is pyyaml") from error
    base = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    loader = type('Loader', (base,), {})
    for tag in ('!Template', '!TemplateMetadata'):
        yaml.add_constructor(tag, lambda loader, node: loader.construct_mapping(node, deep=True), loader)
    try:
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(f'the file of prompts does not parse: {error}') from error


@functools.cache
def environment() -> Any:
    """Make the sandbox that prompts are rendered in, with the functions and filters that promptsource gives them."""
    @jinja2.pass_context
    def choice(context: Any, texts: Sequence[Any]) -> Any:
        texts = list(texts)
        return texts[zlib.crc32(str(context.get(POSITION)).encode()) % len(texts)]

    made = jinja2.sandbox.SandboxedEnvironment()
    made.globals['zip'] = zip
    made.filters |= {'choice': choice, 'most_frequent': most_frequent, 'highlight': str}
    return made


def most_frequent(texts: Iterable[Any]) -> list[Any]:
    """Return those that occur most often, in their order."""
    counts: dict[Any, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return [text for text, count in counts.items() if count == max(counts.values())]


@functools.cache
def compiled(jinja: str) -> Any:
    """Compile a template once."""
    return environment().from_string(jinja)


@functools.cache
def read_columns(jinja: str) -> set[str]:
    """Name the variables that a template reads from the row."""
    return jinja2.meta.find_undeclared_variables(environment().parse(jinja)) - {CHOICES, *environment().globals}


def protect(value: Any) -> Any:
    """Hide separators in a row's own text."""
    if isinstance(value, str):
        return value.replace(SEPARATOR, PROTECTED) if SEPARATOR in value else value
    if isinstance(value, Mapping):
        return {key: protect(item) for key, item in value.items()}
    return [protect(item) for item in value] if isinstance(value, list | tuple) else value


def pieces(rendered: str) -> list[str]:
    """Split what was rendered at the separators, and show those of the row again."""
    return [piece.strip().replace(PROTECTED, SEPARATOR) for piece in rendered.split(SEPARATOR)]
