"""What there is: data sets, a mixture's task table, rendered examples, shared text, the lint of templates, and building the cache."""

import contextlib
import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flanlite.cli import gin_config
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, view_of
from flanlite.data.mixing import audit as audits
from flanlite.data.mixing import mixtures, naming
from flanlite.data.rendering import fewshot
from flanlite.data.specs import sources, specs, templates
from flanlite.data.tokens import vocabularies
from flanlite.eval import seqio_metrics

LINT_ROWS = 50
WORST = 30  # pairs of data sets that an audit prints
SAMPLE = 60  # characters of the text that they share
MARKDOWN_ONLY = ('splits', 'rate')  # columns of data sets that a terminal has no room for
PAGE = (
    'Made by `flanlite datasets --format=markdown > docs/datasets.md`; `flanlite datasets` prints most of it in a terminal.',
    'Below the built-in collections stand those made beside them, with what they add.',
    '',
    '- *splits*: which of the source serve to train, validate and test, as TFDS writes slices.',
    '- *train, validation, test*: the examples in these, as published, before any cap or filter; empty where it is not recorded.',
    '- *download*: manual where files have to be asked for or fetched by hand first; `tfds build` says which, and where they go.',
    '- *rate*: what the two caps make of it; a share is a rate over the sum.',
    '- *templates*: how many, and how many of them turn the task around.',
    '- *lineage*: the corpora that the text descends from; see `--lineage` in [data.md](data.md).',
)
WIDE = 230  # columns of the table of data sets in a file or pipe
CONSOLE = Console(soft_wrap=True) if Console().is_terminal else Console(soft_wrap=True, width=140)  # a file or pipe has no width


def build_cache(
    mixture: str | None = None,
    split: str = 'all',
    vocabulary: str | None = None,
    fail_fast: bool = False,
    rebuild: bool = False,
    processes: int | None = None,
    beam_flags: Sequence[str] = (),
) -> dict[str, cache.CacheReport]:
    """Build the token cache of a mixture's tasks and print what was built, and what was skipped and why.

    Args:
        mixture: a name for `mixtures.resolve`; by default the gin macro MIXTURE_OR_TASK_NAME.
        split: `train` caches rendering 0, as training reads it; `validation` and `test` cache every template; `all` is each of them.
        vocabulary: a name for `vocabularies.load`; by default the gin macro VOCABULARY, else the collection's.
        fail_fast: raise at the first task that fails instead of skipping it.
        rebuild: build again what is there.
        processes: how many processes build at once; see `BuildOptions`.
        beam_flags: build on Apache Beam with these flags.

    Returns:
        A report for each split.
    """
    if split not in (*specs.SPLITS, 'all'):
        raise ValueError(f'unknown split {split!r}; expected {", ".join(specs.SPLITS)} or all')
    mixed = mixtures.resolve(mixture or gin_config.macro('MIXTURE_OR_TASK_NAME'))
    wanted = specs.SPLITS if split == 'all' else (split,)
    options = BuildOptions(fail_fast=fail_fast, rebuild=rebuild, processes=processes, beam_flags=beam_flags)
    reports = {each: ensure(mixed, each, vocabulary, options) for each in wanted}
    table = Table('task', title=f'cache of {mixed.name}')
    for each in wanted:
        table.add_column(each, justify='right')
    for heading in ('data', 'dropped'):
        table.add_column(heading)
    for task in (entry.task for entry in mixed.entries):
        built = {each: report.splits[task] for each, report in reports.items() if task in report.splits}
        if built:
            counts = [f'{built[each].num_examples:,}' if each in built else '-' for each in wanted]
            manifests = [cached.manifest for cached in built.values()]
            dropped = next((manifest['filtered'] for manifest in manifests if manifest.get('filtered')), None)
            table.add_row(task, *counts, manifests[0].get('version'), describe(dropped))
    if table.rows:
        CONSOLE.print(table)
    built = {task for report in reports.values() for task in report.splits}
    absent = [entry.task for entry in mixed.entries if entry.task not in built]
    gone = f'; not at hand, for the reasons above: {", ".join(absent)}' if absent else ''
    CONSOLE.print(f'{len(built)} of {len(mixed.entries)} data sets are cached{gone}')
    if not built:
        raise ValueError(f'nothing of {mixed.name!r} could be cached; the reasons stand above')
    return reports


def ensure(
    mixed: mixtures.Mixture, split: str, vocabulary: str | None, options: BuildOptions = BuildOptions()
) -> cache.CacheReport:
    """Cache a mixture's tasks with its own vocabulary unless another is named."""
    vocabulary = vocabulary or gin_config.macro('VOCABULARY', None) or mixed.vocabulary
    named = [entry.task for entry in mixed.entries]
    tasks = [task for task in named if (spec := specs.find_spec(task)) is None or spec.splits.get(split)]
    return cache.ensure(tasks, view_of(mixed, split, vocabulary, gin_config.macro('TASK_FEATURE_LENGTHS', None)), options)


def describe(value: object) -> str:
    """Show a manifest's value in a table's cell."""
    return '' if value in (None, {}, 0) else value if isinstance(value, str) else json.dumps(value)


def show(mixture: str | None = None, vocabulary: str | None = None, examples: int = 1) -> None:
    """Print a mixture's tasks with counts, caps, rates and shares, SeqIO's with their metrics, then rendered examples with their tokens."""
    mixed = mixtures.resolve(mixture or gin_config.macro('MIXTURE_OR_TASK_NAME'))
    report = ensure(mixed, 'train', vocabulary)
    if not report.splits:
        raise ValueError(f'nothing of {mixed.name!r} could be cached; the reasons stand above')
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
    for entry in mixed.entries:
        if entry.task in counts and specs.find_spec(entry.task) is None:
            CONSOLE.print(Text(f'{entry.task}: {seqio_metrics.describe(entry.task)}'))
    if mixed.held_out:
        CONSOLE.print(f'held out: {mixed.held_out}; removed with it: {", ".join(mixed.removed) or "nothing"}')
    if mixed.shots:
        CONSOLE.print(fewshot.kept_note({name: cached.manifest['shots'] for name, cached in report.splits.items()}))
    for name, reason in report.skipped.items():
        CONSOLE.print(Text(f'skipped {name}: {reason}', style='yellow'))
    print_examples(report, vocabularies.load(vocabulary or gin_config.macro('VOCABULARY', None) or mixed.vocabulary), examples)


def print_examples(report: cache.CacheReport, vocabulary: vocabularies.Vocabulary, count: int) -> None:
    """Print the first examples of each task: template, text and token ids."""
    for name, cached in report.splits.items():
        for index in range(min(count, cached.num_examples)):
            example = cached.read(index)
            exemplars = f', exemplars: {example.shots}' if cached.manifest['shots'] else ''
            CONSOLE.rule(f'{name}: row {example.row}, template {example.template}{exemplars}', align='left')
            for part, tokens in (('inputs', example.inputs), ('targets', example.targets)):
                CONSOLE.print(Text(f'{part} ({len(tokens)} tokens)', style='bold'))
                CONSOLE.print(Text(vocabulary.decode(tokens)))
                CONSOLE.print(Text(' '.join(str(token) for token in tokens), style='dim'))


def datasets(mixture: str | None = None, format: str = 'table') -> None:
    """Print what is recorded of a mixture's data sets, or of every collection's; reads no data, and imports neither TensorFlow nor JAX."""
    if format not in ('table', 'markdown'):
        raise ValueError(f'unknown format {format!r}; expected table or markdown')
    tables = dataset_tables(mixture)
    if format == 'markdown':
        print(markdown(tables), end='')
        return
    for name, rows in tables.items():
        table = Table(title=f'{name}: {len(rows)} data sets', box=box.SIMPLE, padding=(0, 1, 0, 0))
        for heading in rows[0]:
            if heading not in MARKDOWN_ONLY:
                table.add_column(heading, overflow='fold', no_wrap=heading == 'data set')
        for row in rows:
            table.add_row(*(cell for heading, cell in row.items() if heading not in MARKDOWN_ONLY))
        (CONSOLE if CONSOLE.is_terminal else Console(soft_wrap=True, width=WIDE)).print(table)


def dataset_tables(mixture: str | None) -> dict[str, list[dict[str, str]]]:
    """Describe the data sets of a mixture, or of every built-in collection and then of each other what no table before it has."""
    if mixture:
        return {mixture: list(dataset_rows(mixtures.resolve(mixture)))}
    tables: dict[str, list[dict[str, str]]] = {}
    for name in naming.import_collections():
        shown = {row['data set'] for rows in tables.values() for row in rows} if name not in naming.builtin_names() else ()
        if rows := [row for row in dataset_rows(mixtures.resolve(name)) if row['data set'] not in shown]:
            tables[name] = rows
    return tables


def dataset_rows(mixed: mixtures.Mixture) -> Iterator[dict[str, str]]:
    """Describe each data set of a mixture, a column a key."""
    counts = mixtures.published(mixed)
    rates = mixtures.rates(mixed, counts) if mixed.scheme != 'unimax' else {}
    for entry in mixed.entries:
        spec = specs.find_spec(entry.task)
        if spec is None:
            raise ValueError(f'{entry.task!r} is a task of SeqIO, of which nothing is recorded; name a collection or one of its data sets')
        shown = getattr(spec, 'templates', ())
        source = getattr(spec.source, 'source', spec.source)
        name, _, version = sources.label(source).partition(':')
        inverted = sum(template.inverted for template in shown)
        yield {
            'data set': spec.name,
            'cluster': spec.cluster or 'plain text',
            'source': name,
            'version': version or getattr(source, 'revision', None) or '',
            'download': download(source),
            'splits': ', '.join(spec.splits.get(split) or '-' for split in specs.SPLITS),
            'train': number(counts.get(spec.name)),
            'validation': number(getattr(spec, 'validation_examples', None)),
            'test': number(getattr(spec, 'test_examples', None)),
            'max_examples': number(entry.max_examples),
            'max_rate': number(entry.max_rate),
            'rate': number(rates.get(spec.name)),
            'templates': f'{len(shown)}, {inverted} inverted' if inverted else f'{len(shown)}',
            'licence': spec.licence,
            'lineage': ', '.join(spec.lineage),
        }


def number(value: float | None) -> str:
    """Write a number in a table's cell."""
    return '' if value is None else f'{value:,.0f}'


def download(source: object) -> str:
    """Say how a source's data comes to the machine."""
    kinds = ((sources.InMemory, 'made by a function'), (sources.JsonLines, 'files in the data folder'))
    kind = next((said for kind, said in kinds if isinstance(source, kind)), 'automatic')
    return 'manual' if getattr(source, 'manual', False) else kind


def markdown(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Write the page of the data sets, a table for each mixture."""
    lines = ['# Data sets', '', *PAGE]
    for name, rows in tables.items():
        lines += ['', f'## {name}', '', f'| {" | ".join(rows[0])} |', f'|{"---|" * len(rows[0])}']
        lines += [f'| {" | ".join(cell.replace("|", " ") for cell in row.values())} |' for row in rows]
    return '\n'.join([*lines, ''])


def audit(
    mixture: str | None = None,
    held_out: str | None = None,
    ngram: int = audits.NGRAM,
    max_rows: int | None = None,
    output: str | None = None,
) -> audits.Audit:
    """Print which training data sets share text with what a mixture holds out, the worst first; see `audits.search`.

    Args:
        mixture: a name for `mixtures.resolve`; by default the gin macro MIXTURE_OR_TASK_NAME.
        held_out: a cluster, or another split; by default what the mixture's name holds out.
        ngram: how many words a shared run has.
        max_rows: at most so many rows of each data set.
        output: a JSONL file for the training examples that share text, a line each.
    """
    found = audits.search(mixture or gin_config.macro('MIXTURE_OR_TASK_NAME'), held_out, ngram, max_rows)
    title = f'{found.mixture.name}, {found.mixture.held_out} held out: whole fields and runs of {ngram} words that training shares'
    table = Table('trained on', 'held out', 'rows', '%', 'by field', 'by run', 'examples', 'such as', title=title)
    for pair in found.worst()[:WORST]:
        total = found.searched[pair.held_out]
        rows = (f'{pair.affected():,} of {total:,}', f'{100 * pair.affected() / total:.1f}')
        by = (f'{len(pair.rows[how]):,}' for how in audits.HOW)
        table.add_row(pair.trained, pair.held_out, *rows, *by, f'{len(pair.examples):,}', Text(pair.sample[:SAMPLE]))
    CONSOLE.print(table)
    for reason in dict.fromkeys(found.skipped.values()):
        names = [name for name in found.skipped if found.skipped[name] == reason]
        CONSOLE.print(Text(f'not searched: {", ".join(names)}: {reason}', style='yellow'))
    if output:
        lines = [json.dumps(line) for line in found.to_drop()]
        pathlib.Path(output).write_text(''.join(f'{line}\n' for line in lines), encoding='utf-8')
        CONSOLE.print(f'wrote the {len(lines):,} training examples that share text to {output}')
    return found


def lint(mixture: str | None = None) -> int:
    """Check every template of a collection, or of all, each data set once, and print the faults; return how many there are."""
    faults, seen = 0, set()
    for name in [mixture] if mixture else naming.import_collections():
        collection = mixtures.resolve(name).collection
        if collection is None:
            raise ValueError(f'{name!r} is no collection; the collections are {", ".join(naming.collection_names())}')
        checked = [spec for spec in collection.specs if isinstance(spec, specs.DatasetSpec) and spec.name not in seen]
        seen |= {spec.name for spec in checked}
        for spec in checked:
            for fault in spec_faults(spec, collection.templates):
                faults += 1
                CONSOLE.print(Text(f'{spec.name}: {fault}', style='red'))
        if checked:
            CONSOLE.print(f'{name}: {len(checked)} data sets, {sum(len(spec.templates) for spec in checked)} templates checked')
    return faults


def spec_faults(spec: specs.DatasetSpec, count: int) -> list[str]:
    """List the faults of a data set's templates; where its rows are at hand, some are rendered. Nothing is downloaded for this."""
    source = sources.resolve(spec.source)
    for split in filter(None, (spec.splits.test, spec.splits.validation, spec.splits.train) if sources.at_hand(source) else ()):
        with contextlib.suppress(sources.MissingDataError):  # a folder may hold some of the splits only
            if rows := list(itertools.islice(source.rows(split), LINT_ROWS)):
                return list(specs.lint(spec, rows, count))
    fields = sorted({field for template in spec.templates for field in template.fields()})
    return list(templates.lint(spec.templates, fields, count=count))
