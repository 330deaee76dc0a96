"""Data sets in BigBio's schemas (Fries et al. 2022), from a folder `bigbio` of the data folder.

Each is a folder named as BigBio names its configurations, `<data set>_bigbio_<schema>`, such as `bc5cdr_bigbio_kb`, with `<split>.jsonl[.gz]`:
rows as its loaders give them. What is listed is the folder; of a `kb`, the tasks that its first rows have annotations for. `schemas.data_sets`
makes the same of any other source.
"""

import contextlib
import itertools
import os
import re

import numpy as np

from flanlite.data.specs import registry, sources
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import JsonLines, MissingDataError
from flanlite.data.specs.specs import SPLITS, DatasetSpec, Splits
from flanlite.mixtures.bigbio.schemas import SCHEMAS, TASKS, data_sets

FOLDER = 'bigbio'
CONFIGURATION = re.compile(rf'(?P<name>.+)_bigbio_(?P<schema>{"|".join(SCHEMAS)})')
EXPECTED = '<data set>_bigbio_<schema>/<split>.jsonl[.gz]'
FIRST = 100  # rows that tell which annotations there are


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the data sets of the folder."""
    folder = sources.benchmark_folder(data_dir, FOLDER, EXPECTED)
    found = {each.name: match for each in sorted(folder.iterdir()) if each.is_dir() and (match := CONFIGURATION.fullmatch(each.name))}
    if not found:
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    made = []
    for name, match in found.items():
        made += in_folder(JsonLines(str(folder / name)), f'{FOLDER}:{as_name(match["name"])}', match['schema'])
    registry.register(Collection(FOLDER, tuple(made), templates=3), replace=True)


def in_folder(source: JsonLines, name: str, schema: str) -> tuple[DatasetSpec, ...]:
    """Make the data sets of a folder, of the splits that it has. What is wrong with its files is said when they are read, so that one
    folder does not stop the others."""
    there = set(SPLITS) & set(source.files())
    splits = Splits(*(split if split in there else None for split in SPLITS)) if there else Splits()
    return data_sets(name, schema, source, tasks=tasks_of(source, schema, splits), splits=splits)


def tasks_of(source: JsonLines, schema: str, splits: Splits) -> tuple[str, ...]:
    """Return the tasks of a schema that the first rows of a data set give questions of; all where that cannot be told."""
    tasks = tuple(task for task, each in TASKS.items() if each.schema == schema)
    if len(tasks) == 1:
        return tasks
    try:
        rows = list(itertools.islice(source.rows(splits.train or splits.validation or splits.test), FIRST))
    except ValueError:  # said when the rows are read
        return tasks
    there = []
    for task in tasks:
        with contextlib.suppress(KeyError, TypeError, AttributeError):  # said when the task is read
            names = tuple({name for row in rows for name in TASKS[task].names(row)})
            if any(True for row in rows for _ in TASKS[task].make(row, names, np.random.default_rng(0))):
                there.append(task)
    return tuple(there) or tasks
