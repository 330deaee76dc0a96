"""Tables of a benchmark as Hugging Face and TFDS keep them: a repository of the hub in Parquet or JSON lines,
a folder that `save_to_disk` wrote, the folder of `datasets`' own cache, or one that TFDS prepared.

    <configuration>/<split>-00000-of-00001.parquet    a repository, as `hf download` copies it
    <configuration>/<split>/0000.parquet              one that the hub converted
    <split>/data-00000-of-00001.arrow                 `save_to_disk`, with or without a folder above
    <configuration>/0.0.0/<hash>/<name>-<split>.arrow the cache of `datasets`
    <configuration>/1.0.0/<name>-<split>.tfrecord-... TFDS, with its dataset_info.json and features.json

Nothing is downloaded, and what lies in the usual caches of both is found there.
"""

import json
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flanlite import reading
from flanlite.data.specs import files, sources
from flanlite.data.specs.sources import MissingDataError, Row

SPLITS = ('auxiliary_train', 'train', 'validation', 'valid', 'val', 'dev', 'test', 'default')
IN_FILE = re.compile(rf'(?:^|[-_])({"|".join(SPLITS)})(?=-\d|\.)')
# Folders that name no configuration: splits, versions and hashes.
NO_NAME = re.compile(rf'data|{"|".join(SPLITS)}|\d+\.\d+\.\d+|[0-9a-f]{{32,}}')
ENDINGS = ('.parquet', '.arrow', '.jsonl', '.jsonl.gz', '.csv')
TFDS = ('dataset_info.json', 'features.json')


class Table(NamedTuple):
    """A file of rows, or a split that TFDS prepared.

    Args:
        path: of the file, or of TFDS's folder, below the benchmark's.
        config: the configuration that its folders name; empty where they name none.
        split: the split that it is of, empty where nothing says it.
        files: those that it is read from, below the benchmark's folder.
    """

    path: str
    config: str
    split: str
    files: tuple[str, ...]

    def rows(self, folder: pathlib.Path) -> Iterator[Row]:
        """Read its rows as plain Python; a `ValueError` that names the file where it is damaged."""
        path = folder / self.path
        if path.is_dir():
            yield from read_tfds(path, self.split)
            return
        for _, row in files.reader_of(path)(path):
            yield row


def find(folder: pathlib.Path) -> list[Table]:
    """Find the tables below a folder, by configuration and split."""
    found, prepared = [], set()
    for info in sorted(folder.rglob(TFDS[1])):
        if (info.parent / TFDS[0]).is_file():
            prepared.add(info.parent)
            found += tfds_tables(folder, info.parent)
    for path in sorted(folder.rglob('*')):
        inside = path.relative_to(folder).parts
        if any(part.startswith('.') for part in inside) or not prepared.isdisjoint(path.parents):
            continue
        if files.suffix_of(path) in ENDINGS and path.is_file():
            in_name = IN_FILE.findall(path.name)
            folders = [part for part in inside[:-1] if part in SPLITS]
            split = in_name[-1] if in_name else folders[-1] if folders else ''
            name = str(path.relative_to(folder))
            found.append(Table(name, config_of(inside[:-1]), split, (name,)))
    return sorted(found)


def config_of(parts: Iterable[str]) -> str:
    """Return the configuration that the names of folders tell."""
    return '/'.join(part for part in parts if not NO_NAME.fullmatch(part))


def tfds_tables(folder: pathlib.Path, version: pathlib.Path) -> Iterator[Table]:
    """Yield the splits that TFDS prepared in a folder, by its own list of them."""
    about = reading.read_json(version / TFDS[0])
    names = [each['name'] for each in about.get('splits', ()) if isinstance(each, dict) and 'name' in each]
    inside = version.relative_to(folder)
    for name in names:
        own = [path.name for path in version.iterdir() if re.search(rf'-{re.escape(name)}\.', path.name)]
        yield Table(
            str(inside), config_of(inside.parts), name, tuple(str(inside / file) for file in sorted(own))
        )


def read_tfds(folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a split that TFDS prepared, in its order."""
    import tensorflow_datasets as tfds  # imports TensorFlow

    with reading.foreign(folder):
        rows = tfds.builder_from_directory(str(folder)).as_dataset(split=split, shuffle_files=False)
        yield from map(sources.to_python, tfds.as_numpy(rows))


def of_split(tables: Iterable[Table], *splits: str) -> tuple[Table, ...]:
    """Return the tables of the first of some splits that there is; `train+validation` is both."""
    tables = list(tables)
    for names in splits:
        if found := tuple(table for table in tables if table.split in names.split('+')):
            return found
    return ()


def by_config(tables: Iterable[Table]) -> dict[str, tuple[Table, ...]]:
    """Group tables by the last part of their configuration; those without one are left out."""
    found: dict[str, tuple[Table, ...]] = {}
    for table in tables:
        if name := table.config.rpartition('/')[2]:
            found[name] = (*found.get(name, ()), table)
    return found


def by_value(folder: pathlib.Path, tables: Iterable[Table], field: str) -> dict[str, tuple[Table, ...]]:
    """Group tables by what their rows have in a field, a text. Of one whose path names the first row's value
    only that row is read; another may have rows of several.

    Raises:
        ValueError: a table lacks the field.
    """
    found: dict[str, tuple[Table, ...]] = {}
    for table in tables:
        names: dict[str, None] = {}
        for row in table.rows(folder):
            if not isinstance(row.get(field), str):
                raise ValueError(
                    f'{folder / table.path} has the fields {", ".join(row)}; expected {field!r}, a text'
                )
            names[row[field]] = None
            if row[field] in table.path:
                break
        for name in names:
            found[name] = (*found.get(name, ()), table)
    return found


def files_of(tables: Iterable[Table]) -> tuple[str, ...]:
    """Name the files of tables, for `InFolder`."""
    return tuple(dict.fromkeys(file for table in tables for file in table.files))


def cached(repositories: Iterable[str], prepared: str) -> pathlib.Path | None:
    """Return where one of some repositories of the hub lies in Hugging Face's caches, or a data set in
    TFDS's; None where none does.

    Args:
        repositories: such as `cais/mmlu`, the first that is there is taken.
        prepared: the name that the data set has in TFDS.
    """
    home = pathlib.Path(os.environ.get('HF_HOME') or '~/.cache/huggingface').expanduser()
    hub = pathlib.Path(os.environ.get('HF_HUB_CACHE') or home / 'hub').expanduser()
    converted = pathlib.Path(os.environ.get('HF_DATASETS_CACHE') or home / 'datasets').expanduser()
    for name in repositories:
        copies = hub / f'datasets--{name.replace("/", "--")}'
        head = copies / 'refs' / 'main'
        folders = [copies / 'snapshots' / head.read_text().strip()] if head.is_file() else []
        for folder in (*folders, converted / name.replace('/', '___')):
            if folder.is_dir() and find(folder):
                return folder
    root = pathlib.Path(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets').expanduser()
    return root / prepared if (root / prepared).is_dir() and find(root / prepared) else None


def folder_of(
    data_dir: str | os.PathLike | None, name: str, expected: str, repositories: Sequence[str]
) -> pathlib.Path:
    """Return a benchmark's folder: that in the data folder, or else where its caches have it.

    Args:
        data_dir: as for `sources.benchmark_folder`, as the next two.
        name: of the folder, and of the data set in TFDS.
        expected: what is looked for in it, for the error.
        repositories: see `cached`.

    Raises:
        MissingDataError: there is none.
    """
    try:
        return sources.benchmark_folder(data_dir, name, expected)
    except MissingDataError as error:
        if (found := cached(repositories, name)) is not None:
            return found
        raise MissingDataError(
            f'{error}; `hf download --repo-type=dataset {repositories[0]}` fetches it too, and is found in '
            "Hugging Face's cache"
        ) from None


def shown(row: Row) -> str:
    """Write a row for an error."""
    return json.dumps(row, ensure_ascii=False, default=str)[:200]
