"""Sources of rows: TFDS, Hugging Face, a folder of JSON lines, or a function. Rows are plain Python:
dictionaries of str, int, list.

If the data folder (`FLANLITE_DATA_DIR`) has a data set, as `<folder>/<split>.jsonl[.gz]`, it is read instead
of TFDS or Hugging Face.
"""

import contextlib
import dataclasses
import hashlib
import itertools
import os
import pathlib
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flanlite.data.specs import fingerprints
from flanlite.data.specs.json_rows import Row, Surrogates, file_identity, json_lines
from flanlite.data.specs.notices import warn_of_unnoticed
from flanlite.paths import absolute, at_home
from flanlite.reading import check_ordinary

SUFFIXES = ('.jsonl', '.jsonl.gz')
SLICE = re.compile(r'(?P<split>[^\[\]]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?')
TFDS_HOST = 'https://storage.googleapis.com'  # TFDS's own, for builders that do not list what they download


class MissingDataError(FileNotFoundError, ValueError):
    """Raised where a data set or split is not available; the message says how to get it."""


@dataclasses.dataclass(frozen=True)
class JsonLines:
    """A folder with files `<split>.jsonl` or `<split>.jsonl.gz`, one row per line.

    A split without a file, such as `train_xl`, is read from the file of its first word, `train`.

    Args:
        folder: an absolute path, or one below the data folder.
        renamed: pairs (split that is asked for, split that is read instead).
    """

    folder: str
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """Return the source's name for the manifest."""
        return self.folder

    def path(self) -> pathlib.Path:
        """Return the folder.

        Raises:
            MissingDataError: there is no such folder.
        """
        path = pathlib.Path(at_home(self.folder))
        found = path if path.is_absolute() else data_folder(None, self.folder)
        if found is None:
            raise MissingDataError(
                f'{self.folder!r} lies in the data folder, and none is named; name it with --data_dir or '
                'FLANLITE_DATA_DIR'
            )
        if not found.is_dir():
            raise MissingDataError(
                f'no folder {str(found)!r}; expected one with <split>.jsonl[.gz], and --data_dir or '
                'FLANLITE_DATA_DIR names the folder that it lies in'
            )
        return found

    def files(self) -> dict[str, pathlib.Path]:
        """Return the file of each split.

        Raises:
            ValueError: a split has two.
        """
        found: dict[str, pathlib.Path] = {}
        for suffix in SUFFIXES:
            for file in sorted(self.path().glob(f'*{suffix}')):
                split = file.name.removesuffix(suffix)
                if split in found:
                    raise ValueError(
                        f'{file.parent} has {found[split].name} and {file.name}; remove one of them'
                    )
                if not file.is_dir():
                    check_ordinary(file)
                    found[split] = file
        return found

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows in the file's order; `split` may be a slice, or several joined with `+`."""
        return sliced(self.read, dict(self.renamed).get(split, split))

    def read(self, split: str) -> Iterator[Row]:
        """Read all rows of one split; see `json_lines`.

        Raises:
            MissingDataError: there is no file for the split.
        """
        files = self.files()
        # TFDS has train_xl, validation_matched and the like.
        file = files.get(split) or files.get(split.partition('_')[0])
        if file is None:
            raise MissingDataError(self._missing(split))
        return (row for _, row in json_lines(file))

    def _missing(self, split: str) -> str:
        """Say what the folder has instead of a split."""
        files = self.files()
        others = [file for file in self.path().iterdir() if file not in files.values()]
        near = [file for file in others if file.name.startswith(split.partition('_')[0])] or others
        has = f', only {", ".join(sorted(files))}' if files else ''
        found = f'found {named(near)}, ' if near or not files else ''
        return f'{self.path()} has no split {split!r}{has}; {found}expected {split}.jsonl[.gz]'

    def version(self) -> str:
        """Identify the files by their content: a plain file by its hash, a compressed one by its size and its
        ends (see `EDGE`).
        """
        files = sorted(self.files().items())
        described = [
            f'{split}:{file_identity(file, file.stat().st_size, file.stat().st_mtime_ns)}'
            for split, file in files
        ]
        described += ['='.join(pair) for pair in self.renamed]
        return f'jsonl {self.path().name} {hashlib.sha256(" ".join(described).encode()).hexdigest()[:12]}'


@dataclasses.dataclass(frozen=True)
class Tfds:
    """A data set of TensorFlow Datasets.

    Args:
        name: its name with configuration and version, such as `super_glue/rte:1.0.2`.
        folder: the name of its folder in the data folder; by default `name` without the version, with `_` for
            `/`.
        manual: whether TFDS needs files that the user has to ask for or fetch by hand.
        folder_splits: pairs (split, split that is read instead), for a data folder that has the data set in
            other splits.

    Raises:
        ValueError: the name has no version.
    """

    name: str
    folder: str | None = None
    manual: bool = False
    folder_splits: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not re.search(r':\d+\.\d+\.\d+$', self.name):
            raise ValueError(
                f'got Tfds({self.name!r}); expected a name with a version, such as super_glue/rte:1.0.2: '
                'without one, a newer version would not be noticed, and an old cache read'
            )

    def local_name(self) -> str:
        """Return the name of its folder in the data folder."""
        return self.folder or self.name.partition(':')[0].replace('/', '_')

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows in TFDS's order; `split` may be a slice as TFDS takes them."""
        local = prefer_data_folder(self)
        return self.read(split) if local is self else local.rows(split)

    def read(self, split: str) -> Iterator[Row]:
        """Read a split through TFDS as plain Python.

        Raises:
            MissingDataError: the data set cannot be prepared or read.
        """
        import tensorflow as tf
        import tensorflow_datasets as tfds

        try:
            yield from map(to_python, tfds.as_numpy(self.dataset(split)))
        except tf.errors.OpError as error:
            raise MissingDataError(
                f'cannot read what TFDS prepared of {self.name} ({split}): {type(error).__name__}, as where '
                'a file was cut short; '
                f'prepare it again with `tfds build --overwrite {self.name}`'
            ) from error

    def dataset(self, split: str) -> Any:
        """Open a split as a `tf.data.Dataset` in TFDS's order; TFDS prepares the data set on first use.

        Raises:
            MissingDataError: the data set cannot be prepared or read.
        """
        import tensorflow_datasets as tfds  # imports TensorFlow

        try:
            builder = tfds.builder(self.name)
            # By tfds.testing.mock_data, which needs no network.
            mocked = 'testing' in builder.download_and_prepare.__module__
            if not (mocked or builder.is_prepared()):
                check_reachable(builder.url_infos or [TFDS_HOST])
            return tfds.load(self.name, split=split, shuffle_files=False)
        except Exception as error:  # TFDS raises whatever its readers, builders and network raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MissingDataError(
                f'cannot read {self.name} ({split}) through TFDS: {reason}; prepare it with `tfds build '
                f'{self.name}`, '
                f'or put {self.local_name()}/{SLICE.match(split)["split"]}.jsonl[.gz] into the folder '
                'FLANLITE_DATA_DIR'
            ) from error

    def version(self) -> str:
        """Return the name with TFDS's version, or the version of the files that replace it."""
        local = prefer_data_folder(self)
        return f'tfds {self.name}' if local is self else local.version()


@dataclasses.dataclass(frozen=True)
class HuggingFace:
    """A data set of the Hugging Face hub; needs the extra `flanlite[hf]`.

    Args:
        name: the repository, such as `allenai/social_i_qa`.
        config: its configuration, where it has several.
        revision: a commit or tag. Pin it: only this name is in the cache's fingerprint, so changed data
            behind it would not be noticed.
        folder: the name of its folder in the data folder; by default `name` and `config`, with `_` for `/`.
    """

    name: str
    config: str | None = None
    revision: str | None = None
    folder: str | None = None

    def local_name(self) -> str:
        """Return the name of its folder in the data folder."""
        return self.folder or '_'.join(filter(None, (self.name, self.config))).replace('/', '_')

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows in the hub's order; `split` may be a slice."""
        local = prefer_data_folder(self)
        return self.read(split) if local is self else local.rows(split)

    def read(self, split: str) -> Iterator[Row]:
        """Read a split through `datasets`, which downloads it on first use.

        Raises:
            ImportError: `datasets` is not installed.
            MissingDataError: the data set cannot be read.
        """
        try:
            import datasets
        except ImportError as error:
            raise ImportError(f'{self.name} is read through Hugging Face; install flanlite[hf]') from error
        try:
            dataset = datasets.load_dataset(self.name, self.config, split=split, revision=self.revision)
        except Exception as error:  # whatever the hub, its readers and the network raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MissingDataError(
                f'cannot read {self.name} ({split}) from the Hugging Face hub: {reason}; check the name, '
                'split and network, '
                f'or put {self.local_name()}/{SLICE.match(split)["split"]}.jsonl[.gz] into the folder '
                'FLANLITE_DATA_DIR'
            ) from error
        return iter(dataset)

    def version(self) -> str:
        """Return the name with the revision, or the version of the files that replace it."""
        local = prefer_data_folder(self)
        name = ' '.join(filter(None, ('huggingface', self.name, self.config, self.revision)))
        return name if local is self else local.version()


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Rows that a function makes.

    Args:
        function: takes the name of a split and returns its rows in a fixed order; it raises KeyError, or
            returns None, where there is no such split.
        name: the source's name in the manifest.
        files: the files that the function reads, as a tuple of paths; a cache is stale when one of them
            changes.

    Raises:
        ValueError: `files` is no tuple of paths.
    """

    function: Callable[[str], Iterable[Row] | None]
    name: str = 'in memory'
    files: tuple[str | os.PathLike, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.files, tuple) or not all(
            isinstance(file, str | os.PathLike) for file in self.files
        ):
            raise ValueError(
                f'the source {self.name!r} got files={self.files!r}; expected a tuple of paths, such as '
                "('rows.csv',)"
            )

    def rows(self, split: str) -> Iterator[Row]:
        """Make a split's rows; `split` may be a slice, or several joined with `+`."""
        return sliced(self.read, split)

    def read(self, split: str) -> Iterator[Row]:
        """Make all rows of one split.

        Raises:
            MissingDataError: the function has no such split.
        """
        try:
            rows = self.function(split)
        except KeyError as error:
            raise MissingDataError(f'the source {self.name!r} has no split {split!r}: {error}') from error
        if rows is None:
            raise MissingDataError(
                f'the source {self.name!r} has no split {split!r}: its function returned None'
            )
        surrogates = Surrogates()
        try:
            for number, row in enumerate(rows):
                yield surrogates.replaced(row, f'row {number}')
        finally:
            surrogates.tell(self.name)

    def version(self) -> str:
        """Identify the function's code, with the functions and constants it uses, and the files' content.

        Raises:
            MissingDataError: one of the files cannot be read.
        """
        if not self.files:
            warn_of_unnoticed(
                f'the source {self.name!r}',
                "files are named by InMemory(function, files=('rows.csv',))",
                self.function,
            )
        return f'{self.name} {fingerprints.of(self.function, *map(self.identity, self.files))}'

    def identity(self, file: str | os.PathLike) -> str:
        """Identify a file's content."""
        path = pathlib.Path(at_home(file))
        try:
            found = path.stat()
            return file_identity(path, found.st_size, found.st_mtime_ns)
        except OSError as error:
            raise MissingDataError(
                f'the source {self.name!r} names the file {str(file)!r}: {error.strerror}'
            ) from error


@dataclasses.dataclass(frozen=True)
class InFolder:
    """Rows that a function reads from files in the form in which their publisher gives them.

    Args:
        folder: that of the files, absolute.
        function: takes the folder and the name of a split, and returns its rows in a fixed order.
        files: those that the function reads, below the folder; a cache is stale when one of them changes.
    """

    folder: str
    function: Callable[[pathlib.Path, str], Iterable[Row]]
    files: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the source's name for the manifest."""
        return f'{pathlib.Path(self.folder).name}/{self.files[0]}'

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows; `split` may be a slice, or several joined with `+`."""
        return sliced(self.read, split)

    def read(self, split: str) -> Iterator[Row]:
        """Read all rows of one split.

        Raises:
            MissingDataError: a file is missing.
            ValueError: a file is not as its publisher writes it; the message names it.
        """
        surrogates = Surrogates()
        try:
            for number, row in enumerate(self.function(pathlib.Path(self.folder), split)):
                yield surrogates.replaced(row, f'row {number}')
        except FileNotFoundError as error:
            if isinstance(error, MissingDataError):
                raise
            raise MissingDataError(f'no file {error.filename!r}, of which {split} is read') from error
        finally:
            surrogates.tell(self.name)

    def version(self) -> str:
        """Identify the files by their content, and the code that reads them."""
        paths = [pathlib.Path(self.folder) / file for file in self.files]
        found = [
            file_identity(path, path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
            for path in paths
        ]
        return f'{self.name} {fingerprints.of(self.function, self.files, found)}'


def prefer_data_folder(source: Any, data_dir: str | os.PathLike | None = None) -> Any:
    """Return the JSON lines that replace a source in the data folder, or the source itself where the folder
    has none.

    Args:
        source: any source.
        data_dir: the data folder; by default that of FLANLITE_DATA_DIR.
    """
    if dataclasses.is_dataclass(source) and hasattr(source, 'source'):
        wrapped = [name for name in ('source', 'corpus') if hasattr(source, name)]
        inner = {name: prefer_data_folder(getattr(source, name), data_dir) for name in wrapped}
        return dataclasses.replace(source, **inner)
    if isinstance(source, Tfds | HuggingFace):
        folder = data_folder(data_dir, source.local_name())
    elif isinstance(source, JsonLines) and not os.path.isabs(at_home(source.folder)):
        folder = data_folder(data_dir, source.folder)
    else:
        folder = None
    renamed = getattr(source, 'folder_splits', getattr(source, 'renamed', ()))
    ours = isinstance(source, JsonLines)  # then the error, too, names the folder
    return JsonLines(str(folder), renamed) if folder and (ours or folder.is_dir()) else source


def at_hand(source: Any, data_dir: str | os.PathLike | None = None) -> bool:
    """Return whether rows can be read without the network: from a file or function, or from data that TFDS
    prepared before.

    For a source that wraps another one, in its attribute `source`, that one decides.

    Args:
        source: any source.
        data_dir: the data folder; by default that of FLANLITE_DATA_DIR.
    """
    source = prefer_data_folder(getattr(source, 'source', source), data_dir)
    if isinstance(source, Tfds):
        prepared = pathlib.Path(
            os.path.expanduser(os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets')
        )
        return (prepared / source.name.replace(':', '/') / 'dataset_info.json').is_file()
    return not isinstance(source, HuggingFace)


def has_rows(source: Any, split: str) -> bool:
    """Return whether a folder of JSON lines has rows of a split; True for sources of other kinds, which are
    not opened.

    Raises:
        MissingDataError: the file is damaged.
    """
    if not isinstance(prefer_data_folder(getattr(source, 'source', source)), JsonLines):
        return True
    try:
        return next(iter(source.rows(split)), None) is not None
    except MissingDataError:
        return False
    except ValueError as error:
        raise MissingDataError(str(error)) from error


def named(files: Iterable[pathlib.Path]) -> str:
    """Name some files and folders for a message, five at most."""
    names = sorted(f'{file.name}/' if file.is_dir() else file.name for file in files)
    return ', '.join(names[:5]) + (', ...' if names[5:] else '') if names else 'nothing'


def label(source: Any) -> str:
    """Return a source's name for the manifest: its kind, name and configuration."""
    return ' '.join(
        filter(None, (type(source).__name__, getattr(source, 'name', ''), getattr(source, 'config', None)))
    )


def data_folder(data_dir: str | os.PathLike | None, name: str) -> pathlib.Path | None:
    """Return the absolute path that a data set has in the data folder, or None where no data folder is
    set.
    """
    root = data_dir or os.environ.get('FLANLITE_DATA_DIR')
    return pathlib.Path(absolute(root)) / name if root else None


def benchmark_folder(data_dir: str | os.PathLike | None, name: str, expected: str) -> pathlib.Path:
    """Return a benchmark's folder in the data folder.

    Args:
        data_dir: the data folder; by default that of FLANLITE_DATA_DIR.
        name: of the benchmark's folder, or of a link to it.
        expected: what is looked for in it, for the error.

    Raises:
        MissingDataError: there is none.
    """
    found = data_folder(data_dir, name)
    if found is None or not found.is_dir():
        where = f'no folder {str(found)!r}' if found else 'no data folder is named'
        raise MissingDataError(
            f'{name} is read from files: {where}; expected a folder {name!r}, or a link, with {expected}, '
            'and --data_dir or FLANLITE_DATA_DIR names the folder that it lies in'
        )
    return found


def check_data_folder(data_dir: str | os.PathLike | None) -> None:
    """Raise a `ValueError` where a data folder is named and is none; the default may be missing."""
    if data_dir is not None and not os.path.isdir(at_home(data_dir)):
        raise ValueError(
            f'data_dir is {str(data_dir)!r}; expected a folder with <dataset>/<split>.jsonl[.gz], or none'
        )


def sliced(read: Callable[[str], Iterable[Row]], split: str) -> Iterator[Row]:
    """Read `name`, `name[start:stop]` (rows or percents, counted from the end where negative), or several of
    these joined with `+`.

    Args:
        read: reads all rows of a split. It is called twice where a bound depends on the number of rows.
        split: the splits to read.

    Raises:
        ValueError: `split` does not parse.
    """
    for part in split.split('+'):
        found = SLICE.fullmatch(part.strip())
        if found is None:
            raise ValueError(
                f'split {split!r} does not parse; expected such as train, train[:-200], validation[10%:] or '
                'train+test'
            )
        bounds = [found['start'], found['stop']]
        if any(bound and (bound.startswith('-') or bound.endswith('%')) for bound in bounds):
            count = sum(1 for _ in read(found['split']))
            bounds = [bound and slice_bound(bound, count) for bound in bounds]
        start, stop = (None if bound is None else int(bound) for bound in bounds)
        yield from itertools.islice(read(found['split']), start, stop)


def slice_bound(bound: str, count: int) -> int:
    """Return the row index of a slice's bound; percents are rounded to the closest row, as in TFDS."""
    number = round(int(bound[:-1]) * count / 100) if bound.endswith('%') else int(bound)
    return min(max(number + count if number < 0 else number, 0), count)


def count_rows(source: Any, split: str) -> int | None:
    """Count a split's rows; None for kinds of source that cannot be counted quickly."""
    source = prefer_data_folder(source)
    if isinstance(source, Tfds):
        import tensorflow_datasets as tfds

        return tfds.builder(source.name).info.splits[split].num_examples
    return sum(1 for _ in source.rows(split)) if isinstance(source, JsonLines | InMemory | InFolder) else None


def check_reachable(urls: Iterable[str]) -> None:
    """Raise an error at once where no host of some addresses can be looked up: without a network, TFDS tries
    each for minutes.

    Behind a proxy nothing is checked, since the proxy looks names up.

    Raises:
        ConnectionError: no host was found.
    """
    hosts = sorted({urllib.parse.urlsplit(url).hostname for url in urls} - {None})
    if urllib.request.getproxies():
        return
    for host in hosts:
        with contextlib.suppress(OSError):
            socket.getaddrinfo(host, None)
            return
    if hosts:
        raise ConnectionError(f'no network, or none to {" or ".join(hosts)}')


def to_python(value: Any) -> Any:
    """Convert values from TFDS to plain Python: bytes to str, arrays to lists, numpy scalars to numbers."""
    if isinstance(value, dict):
        return {key: to_python(item) for key, item in value.items()}
    if hasattr(value, 'tolist'):
        value = value.tolist()
    if isinstance(value, bytes):
        return value.decode('utf-8', errors='replace')
    if isinstance(value, list | tuple):
        return [to_python(item) for item in value]
    return value
