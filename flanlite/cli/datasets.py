"""`flanlite datasets`, which reads no data and imports neither TensorFlow nor JAX."""

import argparse
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.table import Table

from flanlite.cli.command import MIXTURE, Command, Flag
from flanlite.cli.console import CONSOLE
from flanlite.data.mixing import mixtures, naming
from flanlite.data.specs import registry, sources, specs

MARKDOWN_ONLY = ('splits', 'rate')  # columns of data sets that a terminal has no room for
PAGE = (
    'Made by `flanlite datasets --format=markdown > docs/datasets.md`; `flanlite datasets` prints most of it '
    'in a terminal.',
    'Below the built-in collections stand those made beside them, with what they add.',
    '',
    '- *splits*: which of the source serve to train, validate and test, as TFDS writes slices.',
    '- *train, validation, test*: the examples in these, as published, before any cap or filter; empty where '
    'it is not recorded.',
    '- *download*: manual where files have to be asked for or fetched by hand first; `tfds build` says '
    'which, and where they go.',
    '- *rate*: what the two caps make of it; a share is a rate over the sum.',
    '- *templates*: how many, and how many of them turn the task around.',
    '- *lineage*: the corpora that the text descends from; see `--lineage` in [data.md](data.md).',
)
LONG_NAME = 50  # characters of a name that stand in one line; where one is longer, names fold
MANY = 300  # data sets, of which a table that folds cells takes seconds to lay out


def run(args: argparse.Namespace) -> None:
    """Print what is recorded of a mixture's data sets, or of every collection's."""
    datasets(args.mixture, args.format or 'table', args.data_dir)


def datasets(mixture: str | None = None, format: str = 'table', data_dir: str | None = None) -> None:
    """Print what is recorded of a mixture's data sets, or of every collection's."""
    if format not in ('table', 'markdown'):
        raise ValueError(f'unknown format {format!r}; expected table or markdown')
    tables = dataset_tables(mixture, data_dir)
    if format == 'markdown':
        print(markdown(tables), end='')
        return
    for name, rows in tables.items():
        shown = [
            {heading: cell for heading, cell in row.items() if heading not in MARKDOWN_ONLY} for row in rows
        ]
        title = f'{name}: {len(rows)} data sets'
        if CONSOLE.is_terminal and len(rows) <= MANY:
            CONSOLE.print(folded(title, shown))
            continue
        print(f'\n{title}')
        for line in in_columns(shown):
            print(line[: CONSOLE.width] if CONSOLE.is_terminal else line)
        if CONSOLE.is_terminal:
            print('cut to the width of the terminal; a file or pipe has all')


def folded(title: str, rows: Sequence[Mapping[str, str]]) -> Table:
    """Make a table that folds cells to the width of a terminal."""
    table = Table(title=title, box=box.SIMPLE, padding=(0, 1, 0, 0))
    for heading in rows[0]:
        whole = heading == 'data set' and max(len(row[heading]) for row in rows) <= LONG_NAME
        table.add_column(heading, overflow='fold', no_wrap=whole)
    for row in rows:
        table.add_row(*row.values())
    return table


def in_columns(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Write the headings, and a line for each row, in columns as wide as their cells."""
    lines = [list(rows[0]), *([' '.join(cell.split()) for cell in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        yield '  '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def dataset_tables(mixture: str | None, data_dir: str | None = None) -> dict[str, list[dict[str, str]]]:
    """Describe the data sets of a mixture, or of every built-in collection and then of each other what no
    table before it has.
    """
    if mixture:
        return {mixture: list(dataset_rows(mixtures.resolve(mixture, data_dir)))}
    tables: dict[str, list[dict[str, str]]] = {}
    for name in naming.import_collections():
        shown = (
            {row['data set'] for rows in tables.values() for row in rows}
            if name not in registry.builtin_names()
            else ()
        )
        if rows := [row for row in dataset_rows(mixtures.resolve(name)) if row['data set'] not in shown]:
            tables[name] = rows
    return tables


def dataset_rows(mixed: mixtures.Mixture) -> Iterator[dict[str, str]]:
    """Describe each data set of a mixture, a column a key."""
    counts = mixtures.published(mixed)
    rates = mixtures.rates(mixed, counts) if mixed.scheme != 'unimax' else {}
    for entry in mixed.entries:
        spec = registry.find_spec(entry.task)
        if spec is None:
            raise ValueError(
                f'{entry.task!r} is a task of SeqIO, of which nothing is recorded; name a collection or one '
                'of its data sets'
            )
        shown = getattr(spec, 'templates', ())
        source = getattr(spec.source, 'source', spec.source)
        name, _, version = sources.label(source).partition(':')
        inverted = sum(template.inverted for template in shown)
        yield {
            'data set': spec.name,
            'cluster': spec.cluster or ('none' if isinstance(spec, specs.DatasetSpec) else 'plain text'),
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
            **({'part': f'{entry.part.name}, {entry.part.share:.1%}'} if entry.part else {}),
            'licence': spec.licence,
            'lineage': ', '.join(spec.lineage),
        }


def number(value: float | None) -> str:
    """Write a number in a table's cell; one below 1, as of parts with shares, in four digits."""
    if value is None:
        return ''
    return f'{value:,.0f}' if value >= 1 or value == 0 else f'{value:.4g}'


def download(source: object) -> str:
    """Return how a source's data comes to the machine: by hand, from a function, from files, or by itself."""
    kinds = (
        (sources.InMemory, 'made by a function'),
        (sources.JsonLines | sources.InFolder, 'files in the data folder'),
    )
    kind = next((said for kind, said in kinds if isinstance(source, kind)), 'automatic')
    return 'manual' if getattr(source, 'manual', False) else kind


def markdown(tables: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Write the page of the data sets, a table for each mixture."""
    lines = ['# Data sets', '', *PAGE]
    for name, rows in tables.items():
        lines += ['', f'## {name}', '', f'| {" | ".join(rows[0])} |', f'|{"---|" * len(rows[0])}']
        lines += [f'| {" | ".join(cell.replace("|", " ") for cell in row.values())} |' for row in rows]
    return '\n'.join([*lines, ''])


COMMAND = Command(
    'datasets',
    'Look at data',
    'List data sets: cluster, source, licence, counts, caps, rates, templates, lineage.',
    run,
    (MIXTURE, Flag('format', 'table or markdown', complete=('table', 'markdown'))),
    reads_gin=False,
)
