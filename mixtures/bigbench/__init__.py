"""BIG-bench (Srivastava et al. 2022): all JSON tasks that a folder `bigbench` of the data folder has. Evaluation only: its authors ask that
none of it is trained on.

The folder is a checkout of google/BIG-bench, its `benchmark_tasks`, or any folder of task folders with a `task.json`, those of subtasks below it.
What stands there instead in JSON lines, `<task>/test.jsonl[.gz]`, has rows of `inputs`, `targets`, `multiple_choice_targets` and
`multiple_choice_scores`. Tasks are written, asked and scored as BIG-bench's `json_task.py` does it: see `task_json.py`. Where there is neither, the
tables of `tasksource/bigbench` or `google/bigbench` on Hugging Face, or of TFDS, are read (`tables.py`): a configuration is a task, rows have the
same columns, and `inputs` have prefixes and choices in them already, so that they are asked as they are.
"""

import dataclasses
import functools
import itertools
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flanlite.data.specs import notices, registry, sources, tables
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InFolder, JsonLines, MissingDataError
from flanlite.data.specs.specs import DatasetSpec, FewShot, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.bigbench import task_json

FOLDER = 'bigbench'
EXPECTED = 'task folders with task.json, or with test.jsonl[.gz], or tables of Hugging Face or TFDS'
REPOSITORIES = ('tasksource/bigbench', 'google/bigbench', 'bigbench')
ABOVE = 'benchmark_tasks'  # in a checkout
# BIG-bench's scores, and ours.
METRICS = {
    'multiple_choice_grade': 'multiple_choice_grade',
    'exact_str_match': 'accuracy',
    'bleu': 'sacrebleu_intl',
    'rouge1': 'rouge1',
    'rouge2': 'rouge2',
    'rougeL': 'rougeL',
    'rougeLsum': 't5_rouge',
    'sequence_f1': 'squad_f1',
}


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the tasks of the data folder."""
    folder = tables.folder_of(data_dir, FOLDER, EXPECTED, REPOSITORIES)
    paths = [*folder.rglob('task.json'), *itertools.chain(*(folder.rglob(f'test{suffix}') for suffix in sources.SUFFIXES))]
    # A file that changed may be scored otherwise.
    found = tuple(sorted((str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths))
    if found:
        registry.register(collection(str(folder), found), replace=True)
        return
    named = tables.by_config(tables.find(folder))
    if not named:
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    registry.register(Collection(FOLDER, tuple(table_spec(folder, task, own) for task, own in named.items()), templates=1), replace=True)


def table_spec(folder: pathlib.Path, task: str, own: tuple[tables.Table, ...]) -> DatasetSpec:
    """Make the data set of a task's tables: of all its rows, which `default` has, or else `train` and `validation` together."""
    chosen = tables.of_split(own, 'default', 'test', 'train+validation', '')
    row = next((row for table in chosen for row in table.rows(folder)), {})
    metric = 'multiple_choice_grade' if row.get('multiple_choice_targets') else 'accuracy'
    read = functools.partial(read_tables, chosen, metric == 'multiple_choice_grade')
    name = f'{FOLDER}:{as_name(task)}'
    return make_spec(name, InFolder(str(folder), read, tables.files_of(chosen)), task, metric, {})


@functools.cache
def collection(folder: str, files: tuple[tuple[str, int, int], ...]) -> Collection:
    """Make the collection of some files."""
    made: dict[str, DatasetSpec] = {}
    for file, *_ in files:
        try:
            for spec in task_specs(pathlib.Path(folder), file):
                name, number = spec.name, 1
                while name in made:  # names differ in what a name cannot have
                    number += 1
                    name = f'{spec.name}_{number}'
                if number > 1:
                    notices.warn_once(f'{file} is {name}, since {spec.name} is that of another file')
                made[name] = dataclasses.replace(spec, name=name)
        except (ValueError, TypeError, AttributeError, OSError, re.error) as error:  # the other tasks stay
            notices.warn_once(f'{file} is left out: {error}')
    if not made:
        raise MissingDataError(f'{folder} has no task that can be read; the reasons stand above')
    return Collection(FOLDER, tuple(made.values()), templates=1)


def task_specs(folder: pathlib.Path, file: str) -> Iterator[DatasetSpec]:
    """Make the data set of a file; none where it is no task, or nothing here scores it, which is said."""
    path, parts = folder / file, list(pathlib.PurePath(file).parts[:-1])
    parts = parts[parts.index(ABOVE) + 1 :] if ABOVE in parts else parts
    name = ':'.join([FOLDER, *map(as_name, parts or [folder.name])])
    if path.name == task_json.NAME:
        about = task_json.read_about(path)
        metric = metric_of(about)
        if metric is None:
            scores = ', '.join(named_scores(about))
            notices.warn_once(f'{name} is left out: nothing here scores {scores or "it"}; expected {", ".join(METRICS)}')
            return
        yield task_spec(folder, file, name, parts, metric, task_json.read, about)
    else:
        row = next(JsonLines(str(path.parent)).rows('test'), {})
        metric = 'multiple_choice_grade' if row.get('multiple_choice_targets') else 'accuracy'
        yield task_spec(folder, file, name, parts, metric, read_lines, {})


def metric_of(about: Mapping[str, Any]) -> str | None:
    """Return the metric of a task: its preferred score, or the first of its others that is known here."""
    return next((METRICS[each] for each in named_scores(about) if each in METRICS), None)


def named_scores(about: Mapping[str, Any]) -> list[str]:
    """Return the scores that a task names, the preferred one first."""
    return list(dict.fromkeys([*task_json.texts(about.get('preferred_score')), *task_json.texts(about.get('metrics'))]))


def task_spec(
    folder: pathlib.Path, file: str, name: str, parts: list[str], metric: str, read: Callable[..., Any], about: Mapping[str, Any]
) -> DatasetSpec:
    """Make the data set of a file."""
    function = functools.partial(read, file, metric == 'multiple_choice_grade')
    return make_spec(name, InFolder(str(folder), function, (file,)), '/'.join(parts), metric, about)


def make_spec(name: str, source: InFolder, place: str, metric: str, about: Mapping[str, Any]) -> DatasetSpec:
    """Make the data set of a task."""
    chosen = metric == 'multiple_choice_grade'
    return DatasetSpec(
        name=name,
        cluster=None,
        source=source,
        fields=dict,
        templates=(Template('{header}{input}'),),
        metric=metric,
        splits=Splits(None, None, 'test'),
        family=':'.join(name.split(':')[:2]),
        few_shot=FewShot('test', exemplar='{inputs}{targets}{separator}', drawn=True),
        stop=() if chosen else task_json.stops(about),
        extract='' if chosen else task_json.extraction(about),
        category='all tasks',
        lineage=('BIG-bench',),
        licence='Apache-2.0',
        link=f'https://github.com/google/BIG-bench/tree/main/bigbench/benchmark_tasks/{place}',
    )


def read_tables(chosen: tuple[tables.Table, ...], choose: bool, folder: pathlib.Path, split: str) -> Iterator[sources.Row]:
    """Read rows of tables, whose inputs are written already."""
    del split
    for table in chosen:
        for number, row in enumerate(table.rows(folder)):
            try:
                yield task_json.row_of(task_json.WRITTEN, example_of(row, choose), number, choose)
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f'{folder / table.path}, row {number}: {type(error).__name__}: {error}; it is {tables.shown(row)}') from error


def example_of(row: sources.Row, chosen: bool) -> dict[str, Any]:
    """Return a row as an example of a task.json."""
    example: dict[str, Any] = {'input': row['inputs'], 'target': row['targets']}
    if chosen:
        example['target_scores'] = dict(zip(row['multiple_choice_targets'], row['multiple_choice_scores'], strict=True))
    return example


def read_lines(file: str, chosen: bool, folder: pathlib.Path, split: str) -> Iterator[sources.Row]:
    """Read rows of JSON lines as examples of a task.json without settings of its own."""
    del split
    rows = JsonLines(str((folder / file).parent)).rows('test')
    for number, row in enumerate(rows):
        try:
            yield task_json.row_of({'task_prefix': row.get('task_prefix') or ''}, example_of(row, chosen), number, chosen)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{folder / file}, row {number}: {type(error).__name__}: {error}; it is {json.dumps(row)[:200]}') from error
