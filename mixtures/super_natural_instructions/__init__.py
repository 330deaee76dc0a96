"""Super-NaturalInstructions (Wang et al. 2022): the tasks of its default test split in a folder `super_natural_instructions` of the data
folder. Evaluation only.

The folder is the publisher's (allenai/natural-instructions): `tasks/<task>.json` and `splits/default/test_tasks.txt`. An input is written as
Tk-Instruct writes it (its `ni_collator.py`): the definition, two positive examples, the question. As there, the first 100 instances of a task are
asked, and scored by ROUGE-L and exact match. What is listed is the split; of the files only their beginnings are read for it.
"""

import functools
import json
import os
import pathlib
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from flanlite.data.specs import sources, specs
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.sources import InFolder, MissingDataError
from flanlite.data.specs.specs import Collection, DatasetSpec, FewShot, Row, Splits
from flanlite.data.specs.templates import Template
from flanlite.reading import foreign, read_text

FOLDER = 'super_natural_instructions'
TEST = 'splits/default/test_tasks.txt'
EXPECTED = f'tasks/<task>.json and {TEST}'
INSTANCES = 100  # of each task, as in Tk-Instruct
POSITIVE = 'positive'  # the split of the positive examples
HEAD = 1 << 16  # bytes of a file in which its category is looked for


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the tasks of the test split."""
    folder = sources.benchmark_folder(data_dir, FOLDER, EXPECTED)
    if not (folder / TEST).is_file():
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    listed = tuple(dict.fromkeys(read_text(folder / TEST).split()))
    missing = [task for task in listed if not (folder / 'tasks' / f'{task}.json').is_file()]
    if missing:
        sources.warn_once(f'{folder}/tasks lacks {len(missing)} of the {len(listed)} tasks of {TEST}, the first {missing[0]}')
    found = tuple(task for task in listed if task not in missing)
    if not found:
        raise MissingDataError(f'{folder}/tasks has none of the {len(listed)} tasks of {TEST}')
    specs.register(collection(str(folder), found), replace=True)


@functools.cache
def collection(folder: str, tasks: tuple[str, ...]) -> Collection:
    """Make the collection of some tasks."""
    return Collection(FOLDER, tuple(task_spec(folder, task) for task in tasks), templates=1, shots=2)


def task_spec(folder: str, task: str) -> DatasetSpec:
    """Make the data set of a task."""
    file = f'tasks/{task}.json'
    return DatasetSpec(
        name=f'{FOLDER}:{as_name(task)}',
        cluster=None,
        source=InFolder(folder, functools.partial(read, file), (file,)),
        fields=dict,
        templates=(Template('{header}Now complete the following example -\nInput: {input}\nOutput: '),),
        metric='natural_instructions',
        splits=Splits(None, None, 'test'),
        few_shot=FewShot(POSITIVE, exemplar=' Positive Example {number} -\nInput: {input}\n Output: {shown}\n\n'),
        category=category(pathlib.Path(folder) / file),
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
