"""Promptsource's prompts, read at run time from the user's own copy, and rendered by Jinja in a sandbox. Each
prompt is a data set.

A prompt is a Jinja template of inputs and targets, with `|||` between them, over the columns of a data set of
the Hugging Face hub. As in T0's release, a row whose inputs render to nothing is not an example of that
prompt, and targets that render to nothing are `<NO LABEL>`. flanlite contains none of the prompts.
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

from flanlite import sandbox
from flanlite.data.specs import fingerprints, sources
from flanlite.data.specs.specs import DatasetSpec, Row
from flanlite.data.specs.templates import Template
from flanlite.paths import at_home

DIRECTORY = 'PROMPTSOURCE_DIR'
CHOSEN: dict[str, str | os.PathLike] = {}  # what `use_folder` was told
FILE = 'templates.yaml'
SEPARATOR = '|||'
# Replaces a separator in a row's own text while a prompt is rendered. It is promptsource's own, since some
# prompts split their text at it: Multi-News separates its articles with `|||||`.
PROTECTED = '3ed2dface8203c4c9dfb1a5dc58e41e0'
NO_LABEL = '<NO LABEL>'  # the targets of T0's release where a prompt renders none
LONGEST = 2_048  # characters that an expression of a prompt inserts at most, as in promptsource
CHOICES = 'answer_choices'
POSITION = 'position_'  # the variable from which the filter `choice` knows the row
# Promptsource's names of metrics, and ours. A prompt with other metrics only is scored by `accuracy`.
METRICS = {
    'Accuracy': 'accuracy',
    'BLEU': 'sacrebleu_intl',
    'COQA F1': 'squad_f1',
    'Edit Distance': 'edit_similarity',
    'Pearson Correlation': 'pearson',
    'ROUGE': 't5_rouge',
    'Squad': 'squad_f1',
    'Trivia QA': 'trivia_qa_exact_match',
}


class MissingPackageError(ImportError, ValueError):
    """Raised where a package is missing that only promptsource's prompts need."""


@dataclasses.dataclass(frozen=True)
class Prompt:
    """One prompt of promptsource.

    Args:
        data_set: promptsource's name of the data set that it is for.
        config: the data set's configuration, where it has several.
        name: its name, unique in the data set.
        jinja: the template of inputs and targets.
        choices: the template of the answer options, with `|||` between them; None where any text may be the
            answer.
        original_task: whether it asks for what the data set was made for; T0 is evaluated on these prompts
            only.
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
        """Return the task's name in T0's release."""
        return re.sub(r'[^\w.]+', '_', '_'.join(filter(None, (self.data_set, self.config, self.name))))

    def metric(self) -> str:
        """Return the name of the metric in `flanlite.metrics.metrics.METRICS`."""
        return next((METRICS[name] for name in self.metrics if name in METRICS), 'accuracy')

    def columns(self) -> set[str]:
        """Return the names of the row's columns that the prompt reads."""
        return read_columns(self.jinja) | (read_columns(self.choices) if self.choices else set())

    def render(self, row: Row, position: int = 0) -> dict[str, Any] | None:
        """Render a row to `inputs`, `targets` and `options`; None where the prompt does not apply to the row.

        Args:
            row: the data set's row, in the hub's form.
            position: the row's index, which decides the prompt's random choices.
        """
        variables = {name.replace('-', '_'): protect(value) for name, value in row.items()} | {
            POSITION: f'{position}/{self.name}'
        }
        options = pieces(filled(self.choices, variables)) if self.choices else []
        parts = pieces(filled(truncated(self.jinja), variables | {CHOICES: options or None}))
        if len(parts) != 2 or not parts[0]:
            return None
        inputs, targets = parts[0], parts[1] or NO_LABEL
        distinct = list(dict.fromkeys(filter(None, options)))
        return {'inputs': inputs, 'targets': targets, 'options': distinct if targets in distinct else []}


@dataclasses.dataclass(frozen=True)
class PromptSource:
    """A data set's rows, rendered by one prompt.

    Args:
        source: where the rows come from, in the hub's form.
        prompt: the prompt.
        renamed: pairs (name of a column in the source, its name in the prompt), where these differ.
    """

    source: Any
    prompt: Prompt
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Return the source's name for the manifest."""
        return f'{self.source.name} {self.prompt.name}'

    def rows(self, split: str) -> Iterator[Row]:
        """Render a split's rows; where the prompt does not apply to a row, its inputs and targets are
        empty.
        """
        names = dict(self.renamed)
        for position, found in enumerate(self.source.rows(split)):
            row = {names.get(name, name): value for name, value in found.items()} if names else found
            if position == 0:
                self.check(row)
            try:
                rendered = self.prompt.render(row, position)
            except sandbox.TemplateFault as error:
                raise ValueError(
                    f'the prompt {self.prompt.name!r} of {self.prompt.data_set} fails on row {position} of '
                    f'{self.source.name}: {error}'
                ) from error
            yield rendered or {'inputs': '', 'targets': '', 'options': []}

    def check(self, row: Row) -> None:
        """Raise a `ValueError` where the prompt does not parse, or a row lacks a column that it reads: Jinja
        would render that as nothing.
        """
        try:
            read = self.prompt.columns()
        except sandbox.TemplateFault as error:
            raise ValueError(
                f'the prompt {self.prompt.name!r} of {self.prompt.data_set} is no template of Jinja: {error}'
            ) from error
        missing = read - {name.replace('-', '_') for name in row}
        if missing:
            raise ValueError(
                f'the prompt {self.prompt.name!r} of {self.prompt.data_set} reads the columns '
                f'{", ".join(sorted(missing))}, but the rows '
                f'of {self.source.name} have {", ".join(sorted(row))}; expected the columns that the data '
                'set has at the Hugging Face hub'
            )

    def version(self) -> str:
        """Return a text that identifies the data, the prompt's wording and how it is rendered."""
        return f'{self.source.version()} {fingerprints.of(self.prompt, Prompt.render)}'


def make_spec(source: PromptSource, cluster: str, **settings: Any) -> DatasetSpec:
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
    """Turn a rendered row into the fields of the template `{prompt}`."""
    return {'prompt': row['inputs'], 'answer': row['targets'], 'options': row['options']}


def applies(row: Row) -> Any:
    """Return whether the prompt applied to a row."""
    return row['inputs'] != ''


def use_folder(directory: str | os.PathLike) -> None:
    """Use a promptsource in this process instead of that of PROMPTSOURCE_DIR.

    It must be called before a collection that reads prompts is imported.

    Raises:
        ValueError: the folder holds no prompts.
    """
    find_folder(directory)
    CHOSEN[DIRECTORY] = directory


def find_folder(directory: str | os.PathLike | None = None) -> pathlib.Path | None:
    """Return the folder with `<data set>/[<configuration>/]templates.yaml`, or None where there is no
    promptsource.

    Args:
        directory: a checkout, its package or its templates; by default that of PROMPTSOURCE_DIR, else the
            installed promptsource.

    Raises:
        ValueError: the given folder has no such files.
    """
    named = directory or CHOSEN.get(DIRECTORY) or os.environ.get(DIRECTORY)
    # Finds it without importing what it needs.
    package = None if named else importlib.util.find_spec('promptsource')
    for root in [named] if named else (package and package.submodule_search_locations) or ():
        root = pathlib.Path(at_home(root))
        for folder in (root / 'promptsource' / 'templates', root / 'templates', root):
            if folder.is_dir() and (any(folder.glob(f'*/{FILE}')) or any(folder.glob(f'*/*/{FILE}'))):
                return folder.absolute()
    if named:
        found = f'found {sources.named(root.iterdir())}' if root.is_dir() else 'there is no such folder'
        raise ValueError(
            f'no <data set>/{FILE} of promptsource in {str(named)!r}; {found}, expected a checkout of '
            f'bigscience-workshop/promptsource in {DIRECTORY}'
        )
    return None


def list_data_sets(folder: pathlib.Path) -> list[tuple[str, str | None]]:
    """Return the data sets of a folder of prompts, each with its configuration or None."""
    found = []
    for file in sorted(folder.rglob(FILE)):
        head = re.search(r'^dataset: *(\S+)', read_text(file), re.MULTILINE)
        place = file.parent.relative_to(folder).as_posix()
        name = head[1].strip('\'"') if head else place
        found.append(
            (name, place.removeprefix(f'{name}/')) if place.startswith(f'{name}/') else (place, None)
        )
    return found


def read_text(file: pathlib.Path) -> str:
    """Read a file of prompts.

    Raises:
        ValueError: it is not in UTF-8.
    """
    try:
        return file.read_text(encoding='utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{file} is not in UTF-8 ({error}); get it again') from error


@functools.cache
def read_prompts(folder: pathlib.Path, name: str, config: str | None = None) -> tuple[Prompt, ...]:
    """Read a data set's prompts, sorted by name.

    Raises:
        ValueError: there are none, or the file does not have promptsource's form.
    """
    file = folder / name / (config or '') / FILE
    try:
        text = read_text(file)
    except OSError as error:
        raise ValueError(f'promptsource has no prompts for {name} {config or ""}: {error}') from error
    try:
        listed = parse_yaml(text)['templates'].values()
        made = [made_prompt(name, config, entry) for entry in listed]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, MissingPackageError):
            raise
        raise ValueError(f'{file} is no file of prompts: {type(error).__name__}: {error}') from error
    return tuple(sorted(made, key=lambda prompt: prompt.name))


def made_prompt(name: str, config: str | None, entry: Mapping[str, Any]) -> Prompt:
    """Make a prompt from its entry in the file."""
    for key in ('name', 'jinja'):
        if not isinstance(entry[key], str):
            raise TypeError(f'got {key}: {entry[key]!r}; expected a text')
    about = entry.get('metadata') or {}
    original = bool(about.get('original_task'))
    return Prompt(
        name,
        config,
        entry['name'],
        entry['jinja'],
        entry.get(CHOICES) or None,
        original,
        tuple(about.get('metrics') or ()),
    )


def parse_yaml(text: str) -> Any:
    """Parse YAML in which the tags `!Template` and `!TemplateMetadata` mark plain mappings; no other objects
    are made.

    Raises:
        MissingPackageError: pyyaml is not installed.
        ValueError: the text does not parse.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingPackageError(
            "promptsource's files are YAML; install flanlite[t0], that is pyyaml"
        ) from error
    base = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    loader = type('Loader', (base,), {})
    for tag in ('!Template', '!TemplateMetadata'):
        yaml.add_constructor(tag, lambda loader, node: loader.construct_mapping(node, deep=True), loader)
    try:
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(f'it does not parse: {error}') from error


@functools.cache
def environment() -> Any:
    """Make the sandbox in which prompts are rendered, with promptsource's functions and filters.

    Promptsource's filter `choice` is random; here it is a function of the row and the prompt, so that a
    rebuilt cache is the same.
    """

    @jinja2.pass_context
    def choice(context: Any, texts: Sequence[Any]) -> Any:
        texts = list(texts)
        return texts[zlib.crc32(str(context.get(POSITION)).encode()) % len(texts)]

    made = sandbox.Limited()
    made.globals['zip'] = zip
    made.add_filters({'choice': choice, 'most_frequent': most_frequent, 'highlight': str})
    return made


def most_frequent(texts: Iterable[Any]) -> list[Any]:
    """Return the texts that occur most often, in their order."""
    counts: dict[Any, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return [text for text, count in counts.items() if count == max(counts.values())]


def truncated(jinja: str) -> str:
    """Let every expression of a template insert at most `LONGEST` characters, cut between words.

    As in promptsource, the filter stands behind all else in the braces, so that of `{{ a + b }}` only `b` is
    cut.
    """
    return re.sub(r'\s*([-+]?}})', rf' | string | truncate({LONGEST}) \1', jinja)


@functools.cache
def compiled(jinja: str) -> Any:
    """Compile a template once per process."""
    return environment().compiled(jinja)


def filled(jinja: str, variables: Mapping[str, Any]) -> str:
    """Fill a template; a `TemplateFault` where it cannot be."""
    return environment().filled(compiled(jinja), variables)


@functools.cache
def read_columns(jinja: str) -> set[str]:
    """Return the names of the variables that a template reads from the row."""
    return environment().columns(jinja) - {CHOICES}


def protect(value: Any) -> Any:
    """Replace the separators in a row's own text, so that the rendered text is split only where the prompt
    has one.
    """
    if isinstance(value, str):
        return value.replace(SEPARATOR, PROTECTED) if SEPARATOR in value else value
    if isinstance(value, Mapping):
        return {key: protect(item) for key, item in value.items()}
    return [protect(item) for item in value] if isinstance(value, list | tuple) else value


def pieces(rendered: str) -> list[str]:
    """Split rendered text at the prompt's separators, and restore those of the row, which filters such as
    `upper` may have passed.
    """
    return [
        re.sub(PROTECTED, SEPARATOR, piece, flags=re.IGNORECASE).strip()
        for piece in rendered.split(SEPARATOR)
    ]
