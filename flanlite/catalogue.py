"""What there is: a mixture's task table, rendered examples with their tokens, the lint of templates, and building the cache by name."""

import contextlib
import itertools
import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flanlite import config
from flanlite.data import cache, mixtures, sources, specs, templates, vocabularies

LINT_ROWS = 50
CONSOLE = Console(soft_wrap=True) if Console().is_terminal else Console(soft_wrap=True, width=140)  # a file or pipe has no width


def build_cache(
    mixture: str | None = None, split: str = 'train', vocabulary: str | None = None, fail_fast: bool = False, rebuild: bool = False
) -> cache.CacheReport:
    """Build the token cache of a mixture's tasks and print what was built, and what was skipped and why.

    Args:
        mixture: a name for `mixtures.resolve`; by default the gin macro MIXTURE_OR_TASK_NAME.
        split: `train` caches rendering 0, as training reads it; `validation` and `test` cache every template.
        vocabulary: a name for `vocabularies.load`; by default the gin macro VOCABULARY, else the collection's.
        fail_fast: raise at the first task that fails instead of skipping it.
        rebuild: build again what is there.
    """
    mixed = mixtures.resolve(mixture or config.macro('MIXTURE_OR_TASK_NAME'))
    report = ensure(mixed, split, vocabulary, fail_fast=fail_fast, rebuild=rebuild)
    table = Table('task', 'examples', 'data', 'dropped', title=f'cached {split} of {mixed.name}')
    for name, cached in report.splits.items():
        manifest = cached.manifest
        table.add_row(name, f'{cached.num_examples:,}', *(describe(manifest.get(key)) for key in ('version', 'filtered')))
    CONSOLE.print(table)
    for name, reason in report.skipped.items():
        CONSOLE.print(Text(f'skipped {name}: {reason}', style='yellow'))
    if not report.splits:
        raise ValueError(f'nothing of {mixed.name!r} could be cached; the reasons stand above')
    return report


def ensure(mixed: mixtures.Mixture, split: str, vocabulary: str | None, **options: object) -> cache.CacheReport:
    """Cache a mixture's tasks with its own vocabulary unless another is named."""
    own = mixed.collection.vocabulary if mixed.collection else 't5'
    vocabulary = vocabularies.load(vocabulary or config.macro('VOCABULARY', None) or own)
    options['renderings'] = 1 if split == 'train' else 'all'
    if split == 'train':
        options['max_examples'] = {entry.task: entry.max_examples for entry in mixed.entries}
    return cache.ensure([entry.task for entry in mixed.entries], split=split, vocabulary=vocabulary, **options)


def describe(value: object) -> str:
    """Show a manifest's value in a table's cell."""
    return '' if value in (None, {}, 0) else value if isinstance(value, str) else json.dumps(value)


def show(mixture: str | None = None, vocabulary: str | None = None, examples: int = 1) -> None:
    """Print a mixture's tasks with counts, caps, rates and shares, then rendered examples with their tokens."""
    mixed = mixtures.resolve(mixture or config.macro('MIXTURE_OR_TASK_NAME'))
    report = ensure(mixed, 'train', vocabulary)
    counts = {name: cached.num_examples for name, cached in report.splits.items()}
    rates = mixtures.rates(mixed, counts)
    total = sum(rates.values())
    table = Table(title=f'{mixed.name}: {len(counts)} tasks, total rate {total:,.0f}')
    for heading in ('cluster', 'task'):
        table.add_column(heading)
    for heading in ('examples', 'max_examples', 'max_rate', 'rate', 'share %'):
        table.add_column(heading, justify='right')
    for entry in mixed.entries:
        if entry.task in counts:
            caps = [f'{cap:,}' if cap else '-' for cap in (entry.max_examples, entry.max_rate)]
            numbers = [f'{counts[entry.task]:,}', *caps, f'{rates[entry.task]:,.0f}', f'{100 * rates[entry.task] / total:.2f}']
            table.add_row(entry.cluster or '', entry.task, *numbers)
    CONSOLE.print(table)
    if mixed.held_out:
        CONSOLE.print(f'held out: {mixed.held_out}; removed with it: {", ".join(mixed.removed) or "nothing"}')
    for name, reason in report.skipped.items():
        CONSOLE.print(Text(f'skipped {name}: {reason}', style='yellow'))
    own = mixed.collection.vocabulary if mixed.collection else 't5'
    print_examples(report, vocabularies.load(vocabulary or config.macro('VOCABULARY', None) or own), examples)


def print_examples(report: cache.CacheReport, vocabulary: vocabularies.Vocabulary, count: int) -> None:
    """Print the first examples of each task: template, text and token ids."""
    for name, cached in report.splits.items():
        for index in range(min(count, cached.num_examples)):
            example = cached.read(index)
            CONSOLE.rule(f'{name}: row {example.row}, template {example.template}', align='left')
            for part, tokens in (('inputs', example.inputs), ('targets', example.targets)):
                CONSOLE.print(Text(f'{part} ({len(tokens)} tokens)', style='bold'))
                CONSOLE.print(Text(vocabulary.decode(tokens)))
                CONSOLE.print(Text(' '.join(str(token) for token in tokens), style='dim'))


def lint(mixture: str | None = None) -> int:
    """Check every template of a collection, or of all, and print the faults; return how many there are."""
    faults = 0
    for name in [mixture] if mixture else mixtures.collection_names():
        collection = mixtures.resolve(name).collection
        if collection is None:
            raise ValueError(f'{name!r} is no collection; the collections are {", ".join(mixtures.collection_names())}')
        checked = [spec for spec in collection.specs if isinstance(spec, specs.DatasetSpec)]
        for spec in checked:
            for fault in spec_faults(spec):
                faults += 1
                CONSOLE.print(Text(f'{spec.name}: {fault}', style='red'))
        CONSOLE.print(f'{name}: {len(checked)} data sets, {sum(len(spec.templates) for spec in checked)} templates checked')
    return faults


def spec_faults(spec: specs.DatasetSpec) -> list[str]:
    """List the faults of a data set's templates; where its rows are at hand, some are rendered. Nothing is downloaded for this."""
    source = sources.resolve(spec.source)
    local = not isinstance(source, sources.Tfds | sources.HuggingFace)
    for split in filter(None, (spec.splits.test, spec.splits.validation, spec.splits.train) if local else ()):
        with contextlib.suppress(sources.MissingDataError):  # a folder may hold some of the splits only
            if rows := list(itertools.islice(source.rows(split), LINT_ROWS)):
                return list(specs.lint(spec, rows))
    return list(templates.lint(spec.templates, sorted({field for template in spec.templates for field in template.fields()})))
