"""Super-NaturalInstructions (Wang et al. 2022): the tasks of its default test split in a folder `super_natural_instructions` of the data
folder. Evaluation only.

The folder is the publisher's (allenai/natural-instructions): `tasks/<task>.json` and `splits/default/test_tasks.txt`. An input is written as
Tk-Instruct writes it (its `ni_collator.py`): the definition, two positive examples, the question. As there, the first 100 instances of a task are
asked, and scored by ROUGE-L and exact match. What is listed is the split; of the files only their beginnings are read for it.

In place of these files there may be the tables of `Muennighoff/natural-instructions` on Hugging Face, see `tables.py`: rows of `task_name`, `id`,
`definition`, `inputs` and `targets`, several of one `id` where an instance has several answers. They have no positive examples and no categories, so that
the definition alone stands before a question.
"""

import functools
import json
import os
import pathlib
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from flanlite.data.specs import notices, registry, sources, tables
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InFolder, MissingDataError
from flanlite.data.specs.specs import DatasetSpec, FewShot, Row, Splits
from flanlite.data.specs.templates import Template
from flanlite.reading import foreign, read_text

FOLDER = 'super_natural_instructions'
TEST = 'splits/default/test_tasks.txt'
EXPECTED = f'tasks/<task>.json and {TEST}, or tables of Hugging Face'
REPOSITORIES = ('Muennighoff/natural-instructions',)
INSTANCES = 100  # of each task, as in Tk-Instruct
POSITIVE = 'positive'  # the split of the positive examples
HEAD = 1 << 16  # bytes of a file in which its category is looked for


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the tasks of the test split."""
    folder = tables.folder_of(data_dir, FOLDER, EXPECTED, REPOSITORIES)
    if not (folder / TEST).is_file():
        if named := tables.by_value(folder, tables.of_split(tables.find(folder), 'test'), 'task_name'):
            made = tuple(table_spec(str(folder), task, own) for task, own in named.items())
            registry.register(Collection(FOLDER, made, templates=1, shots=0), replace=True)
            return
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    listed = tuple(dict.fromkeys(read_text(folder / TEST).split()))
    missing = [task for task in listed if not (folder / 'tasks' / f'{task}.json').is_file()]
    if missing:
        notices.warn_once(f'{folder}/tasks lacks {len(missing)} of the {len(listed)} tasks of {TEST}, the first {missing[0]}')
    found = tuple(task for task in listed if task not in missing)
    if not found:
        raise MissingDataError(f'{folder}/tasks has none of the {len(listed)} tasks of {TEST}')
    registry.register(collection(str(folder), found), replace=True)


@functools.cache
def collection(folder: str, tasks: tuple[str, ...]) -> Collection:
    """Make the collection of some tasks."""
    return Collection(FOLDER, tuple(task_spec(folder, task) for task in tasks), templates=1, shots=2)


def task_spec(folder: str, task: str) -> DatasetSpec:
    """Make the data set of a file."""
    file = f'tasks/{task}.json'
    return make_spec(task, InFolder(folder, functools.partial(read, file), (file,)), category(pathlib.Path(folder) / file))


def table_spec(folder: str, task: str, own: tuple[tables.Table, ...]) -> DatasetSpec:
    """Make the data set of a task's tables."""
    return make_spec(task, InFolder(folder, functools.partial(read_tables, own, task), tables.files_of(own)), 'no category')


def make_spec(task: str, source: InFolder, named: str) -> DatasetSpec:
    """Make the data set of a task."""
    return DatasetSpec(
        name=f'{FOLDER}:{as_name(task)}',
        cluster=None,
        source=source,
        fields=dict,
        templates=(Template('{header}Now complete the following example -\nInput: {input}\nOutput: '),),
        metric='natural_instructions',
        splits=Splits(None, None, 'test'),
        few_shot=FewShot(POSITIVE, exemplar=' Positive Example {number} -\nInput: {input}\n Output: {shown}\n\n'),
        category=named,
        lineage=('Super-NaturalInstructions',),
        licence='Apache-2.0; sources vary',
        link='https://github.com/allenai/natural-instructions',
    )


def category(path: pathlib.Path) -> str:
    """Return a task's category, which stands at the beginning of its file."""
    with path.open('rb') as content:
        head = content.read(HEAD).decode('utf-8', 'ignore')
    found = re.search(r'"Categories"\s*:\s*\[\s*"([^"\\]+)"', head)
    return found[1] if found else 'no category'


def read(file: str, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a task's instances, or its positive examples."""
    path = folder / file
    with foreign(path):
        task = json.loads(read_text(path))
        header = f'Definition: {ended(definition_of(task))}\n\n'
        rows = task['Positive Examples'] if split == POSITIVE else task['Instances'][:INSTANCES]
        for row in rows:
            answers = answers_of(row)
            shown = ended(answers[0])
            yield {'header': header, 'input': ended(row['input']), 'shown': shown, 'answer': answers[0], 'answers': answers}


def read_tables(chosen: tuple[tables.Table, ...], task: str, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a task's instances of tables; there are no positive examples."""
    if split == POSITIVE:
        raise MissingDataError(f'the tables of {folder} have no positive examples; ask with --shots=0')
    found: dict[str, Row] = {}
    for table in chosen:
        with foreign(folder / table.path):
            for row in table.rows(folder):
                if row['task_name'] != task:
                    continue
                if row['id'] in found:
                    found[row['id']]['answers'].append(row['targets'])
                elif len(found) < INSTANCES:
                    header = f'Definition: {ended(row["definition"])}\n\n'
                    asked = {'header': header, 'input': ended(row['inputs']), 'shown': ended(row['targets'])}
                    found[row['id']] = asked | {'answer': row['targets'], 'answers': [row['targets']]}
    yield from found.values()


def definition_of(task: Mapping[str, Any]) -> str:
    """Return a task's definition, the first of several."""
    return task['Definition'] if isinstance(task['Definition'], str) else task['Definition'][0]


def answers_of(row: Mapping[str, Any]) -> list[str]:
    """Return the right answers of an instance, or of a positive example, which has one."""
    answers = [row['output']] if isinstance(row['output'], str) else row['output']
    if not answers:
        raise ValueError(f'an instance has no output: {json.dumps(row)[:200]}')
    return answers


def ended(text: str) -> str:
    """Strip a text, and end it with a full stop where no punctuation ends it."""
    text = text.strip()
    return text if text.endswith(tuple(string.punctuation)) else f'{text}.'
