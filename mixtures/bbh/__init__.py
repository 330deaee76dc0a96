"""BIG-bench Hard (Suzgun et al. 2022): the tasks that a folder `bbh` of the data folder has. Evaluation only.

The folder is the publisher's (suzgunmirac/BIG-Bench-Hard): `bbh/<task>.json` and `cot-prompts/<task>.txt`, whose three questions with their
chains of thought, and the line above them that describes the task, are all that is set before a question. `bbh` shows the answers alone,
`bbh_cot` the chains too and takes the answer from what the model writes. Both write their answers, and match them letter for letter.
In place of `bbh/<task>.json` there may be the tables of `lukaemon/bbh` on Hugging Face, or of TFDS, see `tables.py`; these have no prompts, which
`cot-prompts` beside them has; without, questions are asked alone.
"""

import functools
import json
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from flanlite.data.specs import registry, sources, tables
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InFolder, MissingDataError
from flanlite.data.specs.specs import DatasetSpec, FewShot, Row, Splits
from flanlite.data.specs.templates import Template
from flanlite.reading import foreign, read_text

FOLDER = 'bbh'
EXPECTED = 'bbh/<task>.json and cot-prompts/<task>.txt, or tables of Hugging Face or TFDS'
REPOSITORIES = ('lukaemon/bbh',)
PROMPTS = 'prompts'  # the split of the questions in cot-prompts
THINK = "A: Let's think step by step."
# What stands behind the last "answer is", without a full stop at the line's end.
ANSWER = r'.*answer is:?[ \t]*(.+?)\.?[ \t]*(?:\n|\Z)'
# Of 27 files, those that are one of the paper's 23 tasks in three sizes.
SIZES = re.compile(r'(logical_deduction|tracking_shuffled_objects)_(?:three|five|seven)_objects')


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the tasks of the data folder."""
    folder = tables.folder_of(data_dir, FOLDER, EXPECTED, REPOSITORIES)
    found: dict[str, tuple[tables.Table, ...]] = {file.stem: () for file in sorted(folder.glob('bbh/*.json')) if file.is_file()}
    found = found or {task: tables.of_split(own, 'test', 'train', '') for task, own in tables.by_config(tables.find(folder)).items()}
    if not found:
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    registry.register(*collections(str(folder), tuple(found.items()), (folder / 'cot-prompts').is_dir()), replace=True)


@functools.cache
def collections(folder: str, tasks: tuple[tuple[str, tuple[tables.Table, ...]], ...], prompts: bool) -> tuple[Collection, ...]:
    """Make the collections of some tasks, each with the tables that it is read from, if it is not the publisher's file."""
    direct, chained = Template('{header}Q: {question}\nA:'), Template('{header}Q: {question}\n' + THINK)
    asked = {
        'bbh': (direct, FewShot(PROMPTS), ''),
        'bbh_cot': (chained, FewShot(PROMPTS, exemplar='{inputs}{chain}\n\n'), ANSWER),
    }
    return tuple(
        Collection(name, tuple(task_spec(folder, name, *task, *how) for task in tasks), templates=1, shots=3 if prompts else 0)
        for name, how in asked.items()
    )


def task_spec(
    folder: str, name: str, task: str, chosen: tuple[tables.Table, ...], template: Template, few_shot: FewShot, extract: str
) -> DatasetSpec:
    """Make the data set of a task."""
    files = (*(tables.files_of(chosen) or [f'bbh/{task}.json']), f'cot-prompts/{task}.txt')
    return DatasetSpec(
        name=f'{name}:{as_name(task)}',
        cluster=None,
        source=InFolder(folder, functools.partial(read, task, chosen), files),
        fields=dict,
        templates=(template,),
        splits=Splits(None, None, 'test'),
        family=SIZES.sub(r'\1', f'{name}:{as_name(task)}'),
        few_shot=few_shot,
        stop=('\n\n',),
        extract=extract,
        category='all tasks',
        lineage=('BIG-bench',),
        licence='MIT',
        link='https://github.com/suzgunmirac/BIG-Bench-Hard',
    )


def read(task: str, chosen: tuple[tables.Table, ...], folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a task's questions, or those of its prompt."""
    prompt = folder / 'cot-prompts' / f'{task}.txt'
    if split == PROMPTS:
        yield from read_prompt(prompt)
        return
    # Without prompts, questions can still be asked alone.
    header = next(read_prompt(prompt))['header'] if prompt.is_file() else ''
    for path, rows in questions(task, chosen, folder):
        with foreign(path):
            for row in rows():
                yield {'header': header, 'question': row['input'], 'chain': '', 'answer': row['target']}


def questions(
    task: str, chosen: tuple[tables.Table, ...], folder: pathlib.Path
) -> Iterator[tuple[pathlib.Path, Callable[[], Iterable[Mapping[str, str]]]]]:
    """Yield each file of a task's questions, and what reads them."""
    for table in chosen:
        yield folder / table.path, functools.partial(table.rows, folder)
    if not chosen:
        path = folder / 'bbh' / f'{task}.json'
        yield path, lambda: json.loads(read_text(path))['examples']


def read_prompt(path: pathlib.Path) -> Iterator[Row]:
    """Read the questions of a prompt, each with its chain of thought and the answer at its end."""
    text = read_text(path).partition('-----\n')
    described, *questions = re.split(r'(?:\A|\n\n)Q: ', '\n\n' + (text[2] or text[0]).strip())
    for question in questions:
        asked, found, chain = question.partition(f'\n{THINK}')
        answers = re.findall(ANSWER, chain)
        if not found or not answers:
            raise ValueError(f'{path}: {question[:80]!r} has no {THINK!r} with "the answer is" behind it')
        yield {'header': f'{described.strip()}\n\n', 'question': asked, 'chain': chain.rstrip(), 'answer': answers[-1]}
    if not questions:
        raise ValueError(f'{path} has no question; expected lines that begin with "Q: "')
