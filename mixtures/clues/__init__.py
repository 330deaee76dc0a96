"""CLUES (Mukherjee et al. 2021): six tasks with 10, 20 and 30 training examples in five draws each, from a folder `clues` of the data folder.

The folder is the publisher's `data/JSON/CLUES-JSON` (microsoft/CLUES): `SST-2/sst_train_10_1.jsonl`, `SST-2/sst_test.jsonl` and so on. A draw is a data
set such as `clues_sst_10examples_seed1`, and all of a number and draw are the collection `clues_10examples_seed1`. There is no validation split.
As in CLUES a task is a question about a context and its answer a set of spans, scored by S1; of the two classification tasks that is accuracy.
"""

import functools
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

from flanlite.data.specs import json_rows, registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.few_examples import draw_name
from flanlite.data.specs.sources import InFolder, MissingDataError
from flanlite.data.specs.specs import DatasetSpec, Row, Splits
from flanlite.data.specs.templates import Template
from flanlite.metrics.span_sets import write_spans
from flanlite.reading import foreign

FOLDER = 'clues'
EXAMPLES = (10, 20, 30)
DRAWS = (1, 2, 3, 4, 5)
EXPECTED = 'SST-2/sst_train_10_1.jsonl, SST-2/sst_test.jsonl and so on'


class Task(NamedTuple):
    """A task of CLUES: its folder, how its files begin, its cluster, its labels where it has some, and what it descends from."""

    folder: str
    file: str
    cluster: str
    options: tuple[str, ...] = ()
    lineage: tuple[str, ...] = ()


TASKS = (
    Task('SST-2', 'sst', 'sentiment', ('positive', 'negative'), ('SST',)),
    Task('MNLI', 'mnli', 'nli', ('entailment', 'contradiction', 'neutral'), ('MultiNLI',)),
    Task('CoNLL2003', 'conll', 'clues:named_entities', lineage=('CoNLL-2003', 'Reuters')),
    Task('WikiANN_EN', 'wikiann', 'clues:named_entities', lineage=('WikiANN', 'Wikipedia')),
    Task('SQuAD-v2', 'squad-v2', 'reading_comprehension', lineage=('SQuAD', 'Wikipedia')),
    Task('ReCoRD', 'record', 'reading_comprehension_commonsense', lineage=('ReCoRD', 'CNN/DailyMail')),
)


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the draws of the tasks that the folder has."""
    folder = sources.benchmark_folder(data_dir, FOLDER, EXPECTED)
    there = tuple(task for task in TASKS if (folder / task.folder / f'{task.file}_test.jsonl').is_file())
    if not there:
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    registry.register(*collections(str(folder), there), replace=True)


@functools.cache
def collections(folder: str, tasks: tuple[Task, ...]) -> tuple[Collection, ...]:
    """Make the collection of all draws, and one of each number and draw."""
    made = {
        draw_name(FOLDER, examples, draw): tuple(
            task_spec(folder, task, examples, draw) for task in tasks if (pathlib.Path(folder) / train_file(task, examples, draw)).is_file()
        )
        for examples in EXAMPLES
        for draw in DRAWS
    }
    everything = tuple(spec for found in made.values() for spec in found)
    if not everything:
        raise MissingDataError(f'{folder} has test files and no training files; expected {EXPECTED}')
    return (Collection(FOLDER, everything, templates=1), *(Collection(name, found, templates=1) for name, found in made.items() if found))


def train_file(task: Task, examples: int, draw: int) -> str:
    """Return where the training examples of a draw lie."""
    return f'{task.folder}/{task.file}_train_{examples}_{draw}.jsonl'


def task_spec(folder: str, task: Task, examples: int, draw: int) -> DatasetSpec:
    """Make the data set of a draw."""
    name = f'{FOLDER}_{task.file.replace("-", "_")}'
    files = (train_file(task, examples, draw), f'{task.folder}/{task.file}_test.jsonl')
    return DatasetSpec(
        name=draw_name(name, examples, draw),
        cluster=task.cluster,
        source=InFolder(folder, functools.partial(read, files), files),
        fields=dict,
        templates=(Template('{context}\n\n{question}'),),
        metric='span_sets',
        options=task.options,
        splits=Splits('train', None, 'test'),
        family=name,
        lineage=task.lineage,
        licence='MIT; sources vary',
        link='https://github.com/microsoft/CLUES',
    )


def read(files: tuple[str, str], folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a draw's training examples, or the task's test examples."""
    path = folder / files[('train', 'test').index(split)]
    for place, row in json_rows.json_lines(path):
        with foreign(place):
            asked = {'question': row['question'], 'context': context_of(row), **answers_of(row)}
        yield asked


def context_of(row: Row) -> str:
    """Return the context of a row, a line a part where it has several."""
    return row['context'] if isinstance(row['context'], str) else '\n'.join(row['context'])


def answers_of(row: Row) -> Row:
    """Return the answer of a row, and all that are right.

    Spans with their place in the context are answers of several people, of which each is right; others are one set.
    """
    given = row['answer']
    if given and not isinstance(given[0], str):
        texts = list(dict.fromkeys(write_spans([each['text']]) for each in given))
        return {'answer': texts[0], 'answers': texts}
    return {'answer': write_spans(given)}
