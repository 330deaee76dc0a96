"""Files of instruction data as people have them: chats, instructions, prompts with their completions, as JSON
lines, JSON, CSV, Parquet or Arrow, one file, a folder of them, or what Hugging Face's `save_to_disk` wrote.

A path stands for a data set of its own, without a spec (`find`); `Files` is the source of a `DatasetSpec`.
"""

import csv
import dataclasses
import functools
import hashlib
import itertools
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from flanlite import reading
from flanlite.config import check_field
from flanlite.data.specs import fingerprints, notices, registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.forms import BadRow, Form, chat_examples, form_of, pair_examples, shortened
from flanlite.data.specs.json_rows import Surrogates, file_identity, json_lines
from flanlite.data.specs.sources import MissingDataError, Row
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.limits import Name
from flanlite.paths import absolute, at_home

MOST = 100_000  # files and folders in a folder of data
SKIP = ':skip'  # behind a path: bad rows are left out
BAD_ROWS = ('raise', 'skip')
SPLIT_OF = {'train': 'train', 'training': 'train', 'validation': 'validation', 'valid': 'validation'}
SPLIT_OF |= {'val': 'validation', 'dev': 'validation', 'eval': 'validation', 'evaluation': 'validation'}
SPLIT_OF |= {'test': 'test', 'tests': 'test', 'testing': 'test'}
# A split's word in a name, between what is no letter.
IN_NAME = re.compile(
    rf'(?<![a-z])({"|".join(sorted(SPLIT_OF, key=len, reverse=True))})(?![a-z])', re.IGNORECASE
)
# Names of data in forms that are not read.
LIKE_DATA = re.compile(r'\.(jsonl?|ndjson|csv|tsv|parquet|arrow)(\.(gz|zst|bz2|xz|zip))?$', re.IGNORECASE)
# Files about data, in folders of it.
ABOUT = (
    'dataset_info.json',
    'dataset_infos.json',
    'features.json',
    'info.json',
    'manifest.json',
    'checksums.json',
    'state.json',
)
csv.field_size_limit(sys.maxsize)


@dataclasses.dataclass(frozen=True)
class Files:
    """The rows of a file, or of all files of a folder, as {'input', 'answer'} and, where there are some,
    'options'. Of a chat each answer of the assistant is a row, with all turns before it as the input.

    A file's split is told by a word in its name or its folder's: `train`, `validation` (`val`, `dev`, `eval`)
    or `test`; others are `train`.

    Args:
        path: the file or folder.
        bad_rows: `raise` an error that names file and line, or `skip` them and tell how many.

    Raises:
        ValueError: another `bad_rows`.
    """

    path: str
    bad_rows: str = 'raise'

    def __post_init__(self) -> None:
        if self.bad_rows not in BAD_ROWS:
            raise ValueError(f'bad_rows is {self.bad_rows!r}; expected {" or ".join(BAD_ROWS)}')

    @property
    def name(self) -> str:
        """Return the source's name for the manifest."""
        return self.path

    def files(self) -> dict[str, list[pathlib.Path]]:
        """Return the files of each split.

        Raises:
            MissingDataError: there is nothing at the path, or nothing of a kind that is read.
            ValueError: the folder has more files than data has, or a file twice.
        """
        path = pathlib.Path(at_home(self.path))
        if not path.exists():
            raise MissingDataError(
                f'no file or folder {self.path!r}; the name of a mixture with a slash, or the ending of a '
                'file of data, is a path'
            )
        if path.is_file():
            reader_of(path)
            return {'train': [path]}
        if not path.is_dir():
            raise MissingDataError(f'{self.path!r} is neither a file nor a folder')
        if (saved := saved_to_disk(path)) is not None:
            return saved
        found: dict[str, list[pathlib.Path]] = {}
        twins: dict[pathlib.Path, pathlib.Path] = {}
        others: list[str] = []
        inner = list(itertools.islice(path.rglob('*'), MOST + 1))
        if len(inner) > MOST:
            raise ValueError(
                f'{self.path!r} has more than {MOST:,} files and folders; expected a folder of data alone'
            )
        for file in sorted(inner):
            inside = file.relative_to(path).parts
            if any(part.startswith('.') for part in inside) or file.name in ABOUT:
                continue
            if suffix_of(file) and not file.is_dir():
                reading.check_ordinary(file)
                beside = twins.setdefault(file.with_name(file.name.removesuffix('.gz')), file)
                if beside != file:
                    raise ValueError(
                        f'{file.parent} has {beside.name} and {file.name}; remove one of them, or rename it '
                        'if it holds other rows'
                    )
                found.setdefault(next(filter(None, map(split_in, reversed(inside))), 'train'), []).append(
                    file
                )
            elif LIKE_DATA.search(file.name):
                others.append('/'.join(inside))
        if found and others:
            notices.warn_once(
                f'{self.path} has {", ".join(others)[:200]}, which are not read; expected files '
                f'{", ".join(READERS)}'
            )
        if not found:
            raise MissingDataError(
                f'{self.path!r} has {sources.named(path.iterdir())}; expected files {", ".join(READERS)}'
            )
        return found

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows; `split` may be a slice, or several joined with `+`."""
        return sources.sliced(self.read, split)

    def read(self, split: str) -> Iterator[Row]:
        """Read all rows of one split.

        Raises:
            MissingDataError: there is no file of the split.
            ValueError: a file is damaged or has columns that mean nothing here; or a row is bad.
        """
        files = self.files()
        if split not in files:
            raise MissingDataError(f'{self.path!r} has no split {split!r}, only {", ".join(files)}')
        bad: list[str] = []
        for file in files[split]:
            form: Form | None = None
            for where, row in reader_of(file)(file):
                try:
                    if form is None:
                        form = self.form_of(row, file)
                    examples = list(form.examples(row))
                except BadRow as error:
                    told = f'{where}: {error}'
                    if self.bad_rows == 'raise':
                        raise ValueError(
                            f'{told}; mend it, or leave bad rows out: {SKIP!r} behind the path (Files(..., '
                            "bad_rows='skip'))"
                        ) from None
                    bad.append(told)
                    continue
                yield from examples
        if bad:
            rows = 'row is' if len(bad) == 1 else 'rows are'
            notices.warn_once(f'{self.path}: {len(bad):,} bad {rows} left out, the first {bad[0]}')

    def form_of(self, row: Row, file: pathlib.Path) -> Form:
        """Tell what columns mean; see `forms.form_of`. A row that is to be left out may have others."""
        try:
            return form_of(row, file)
        except ValueError as error:
            raise (BadRow(str(error)) if self.bad_rows == 'skip' else error) from None

    def version(self) -> str:
        """Identify the files by their content, see `file_identity`, and the code that reads them."""
        described = [
            f'{split}:{file.name}:{file_identity(file, file.stat().st_size, file.stat().st_mtime_ns)}'
            for split, files in self.files().items()
            for file in files
        ]
        code = fingerprints.of(form_of, chat_examples, pair_examples, read_json, read_csv, json_lines)
        made = hashlib.sha256(' '.join([self.bad_rows, code, *described]).encode()).hexdigest()[:12]
        return f'files {pathlib.Path(self.path).name} {made}'


def split_in(name: str) -> str | None:
    """Return the split that a name has a word for, the first of several; None where it has none."""
    named = IN_NAME.search(name)
    return SPLIT_OF[named[1].lower()] if named else None


def find(name: str) -> Collection | None:
    """Return the collection of one data set that a path means, or None for what is no path.

    Raises:
        MissingDataError: there is no such file, or nothing to read in it.
    """
    whole = from_here(name)
    if whole == name and not os.path.isabs(name):
        return None
    return collection_of(whole.removesuffix(SKIP), 'skip' if name.endswith(SKIP) else 'raise')


def from_here(name: str) -> str:
    """Make the path of a file or folder absolute; another name stays as it is.

    A path has a slash, or the ending of a file that is read; `:skip` behind it leaves bad rows out.
    """
    bare = name.removesuffix(SKIP)
    if not ('/' in bare or os.sep in bare or suffix_of(pathlib.Path(bare))):
        return check_field('the name of the mixture', name, Name)
    return absolute(bare) + name[len(bare) :]


@functools.cache
def collection_of(path: str, bad_rows: str) -> Collection:
    """Make and register the collection of a file or folder; see `find`."""
    source = Files(path, bad_rows)
    found = source.files()
    first, form = first_of(source, found)
    stem = re.sub(r'\W+', '_', pathlib.Path(path).name.partition('.')[0]) or 'data'
    name = f'file_{stem}'
    if name in registry.COLLECTIONS:  # of another file with the same name, or with other bad rows
        name += '_' + hashlib.sha256(f'{path} {bad_rows}'.encode()).hexdigest()[:6]
    splits = {split: split if split in found else None for split in ('train', 'validation', 'test')}
    if len(found) == 1:  # what a lone file is asked for are its rows
        splits['test'] = next(iter(found))
    spec = DatasetSpec(
        name=name,
        cluster=None,
        source=source,
        fields=as_fields,
        templates=(Template('{input}', '{answer}'),),
        metric='accuracy' if 'options' in first else 't5_rouge',
        splits=Splits(**splits),
    )
    collection = Collection(name, (spec,), max_examples=None, max_rate=None, templates=1)
    registry.register(collection)
    counts = ', '.join(f'{split}: {len(files)}' for split, files in found.items())
    print(f'{path}: {form.meaning}' + (f'; files of {counts}' if pathlib.Path(path).is_dir() else ''))
    return collection


def first_of(source: Files, found: Mapping[str, Sequence[pathlib.Path]]) -> tuple[Row, Form]:
    """Read the first good row, and what the columns of its file mean.

    Raises:
        MissingDataError: there is none.
    """
    why = 'it has no rows'
    for file in itertools.chain(*found.values()):
        for number, (where, row) in enumerate(reader_of(file)(file)):
            told = 'it has no answer'
            try:
                form = source.form_of(row, file)
                for example in form.examples(row):
                    return example, form
            except BadRow as error:
                told = str(error)
            if not number:
                why = f'{where}: {told}'
    raise MissingDataError(f'{source.path!r} has no row that is an example; {why}')


def as_fields(row: Row) -> dict[str, Any]:
    """Return a row of `Files` as the fields of a template."""
    return dict(row)


def read_json(file: pathlib.Path) -> Iterator[tuple[str, Row]]:
    """Read a file that is one list of JSON objects."""
    try:
        rows = reading.read_json(file)
    except ValueError as error:
        raise ValueError(f'{error}; JSON lines are read from files *.jsonl') from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f'{file} is {shortened(rows)}; expected a list of objects, or JSON lines in *.jsonl')
    surrogates = Surrogates()
    for number, row in enumerate(rows):
        yield f'{file}, row {number}', surrogates.replaced(row, f'row {number}')
    surrogates.tell(str(file))


@dataclasses.dataclass(frozen=True)
class Surplus:
    """Stands for a cell of a line with more cells than headings, of which nobody can tell whose it is."""

    cells: int
    headings: int

    def __repr__(self) -> str:
        return f'one of {self.cells} cells below {self.headings} headings'


def read_csv(file: pathlib.Path) -> Iterator[tuple[str, Row]]:
    """Read a table with a line of headings."""
    delimiter = '\t' if file.suffix == '.tsv' else ','
    try:
        with file.open(encoding='utf-8-sig', newline='') as lines:
            read = csv.DictReader(lines, delimiter=delimiter, strict=True)
            names = read.fieldnames or ()
            check_headings(names, file)
            for row in read:
                where = f'{file}, line {read.line_num}'
                if None in row:
                    yield where, dict.fromkeys(names, Surplus(len(names) + len(row[None]), len(names)))
                else:
                    yield where, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f'{file} is no table in UTF-8: {error}') from error


def check_headings(names: Sequence[str], file: pathlib.Path) -> None:
    """Raise a `ValueError` where two columns have the same name."""
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f'{file} has the heading {twice!r} twice; expected different ones')


def read_parquet(file: pathlib.Path) -> Iterator[tuple[str, Row]]:
    """Read a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(file)
        check_headings(table.schema_arrow.names, file)
        yield from arrow_rows(table.iter_batches(1_000), file)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f'{file} is no whole Parquet file: {error}') from error


def read_arrow(file: pathlib.Path) -> Iterator[tuple[str, Row]]:
    """Read an Arrow file, of either format."""
    import pyarrow
    import pyarrow.ipc

    try:
        with pyarrow.memory_map(str(file)) as content:
            try:
                yield from arrow_rows(pyarrow.ipc.open_stream(content), file)
            except pyarrow.ArrowInvalid:
                content.seek(0)
                opened = pyarrow.ipc.open_file(content)
                yield from arrow_rows((opened.get_batch(i) for i in range(opened.num_record_batches)), file)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f'{file} is no whole Arrow file: {error}') from error


def arrow_rows(batches: Any, file: pathlib.Path) -> Iterator[tuple[str, Row]]:
    """Turn record batches into rows."""
    number = itertools.count()
    for batch in batches:
        for row in batch.to_pylist():
            yield f'{file}, row {next(number)}', row


READERS: dict[str, Callable[[pathlib.Path], Iterator[tuple[str, Row]]]] = {
    '.jsonl': json_lines,
    '.jsonl.gz': json_lines,
    '.json': read_json,
    '.csv': read_csv,
    '.tsv': read_csv,
    '.parquet': read_parquet,
    '.arrow': read_arrow,
}


def suffix_of(file: pathlib.Path) -> str | None:
    """Return the ending by which a file's reader is found; None where there is none."""
    return next((suffix for suffix in READERS if file.name.endswith(suffix)), None)


def reader_of(file: pathlib.Path) -> Callable[[pathlib.Path], Iterator[tuple[str, Row]]]:
    """Return what reads a file: pairs of a row's place and the row.

    Raises:
        MissingDataError: files of this name are not read.
    """
    suffix = suffix_of(file)
    if suffix is None:
        raise MissingDataError(f'{file} ends with none of {", ".join(READERS)}; give it the name that it is')
    return READERS[suffix]


def saved_to_disk(folder: pathlib.Path) -> dict[str, list[pathlib.Path]] | None:
    """Return the files of each split of what `save_to_disk` wrote, or None for another folder.

    Raises:
        MissingDataError: a file is missing, or says nothing.
    """

    def listed(file: pathlib.Path, read: Callable[[Any], list[str]]) -> list[str]:
        try:
            return read(reading.read_json(file))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingDataError(f'{file} is not as save_to_disk writes it: {error!r}') from error

    if (folder / 'dataset_dict.json').is_file():
        splits = listed(folder / 'dataset_dict.json', lambda found: list(found['splits']))
        found: dict[str, list[pathlib.Path]] = {}
        for split in splits:
            found.setdefault(split_in(split) or 'train', []).extend(
                (saved_to_disk(folder / split) or {}).get('train', [])
            )
        return found
    if (folder / 'state.json').is_file():
        names = listed(
            folder / 'state.json', lambda found: [each['filename'] for each in found['_data_files']]
        )
        files = [folder / pathlib.PurePath(name).name for name in names]
        if lost := [file for file in files if not file.is_file()]:
            raise MissingDataError(f'{lost[0]} is missing, which {folder}/state.json names')
        return {'train': files}
    return None
