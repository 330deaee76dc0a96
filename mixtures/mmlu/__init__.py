"""MMLU (Hendrycks et al. 2021): the subjects that a folder `mmlu` of the data folder has. Evaluation only.

The folder is the publisher's, with `dev`, `val` and `test` of files such as `abstract_algebra_test.csv`; or it has `train`, `validation` and
`test` in JSON lines, rows of `subject`, `question`, `choices` and `answer` (an index or a letter), where `train` stands for `dev`; or it has the tables of
`cais/mmlu` or `lukaemon/mmlu` on Hugging Face, or of TFDS, see `tables.py`.

Questions are asked as the publisher's `evaluate.py` asks them (hendrycks/test, 0f23bce): a line names the subject, then stand the first five
questions of `dev` with their answers. In `mmlu` the answer is the letter of a choice, in `mmlu_text` its text, in place of the letters.
"""

import csv
import functools
import os
import pathlib
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from flanlite.data.specs import registry, sources, tables
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InFolder, JsonLines, MissingDataError
from flanlite.data.specs.specs import DatasetSpec, FewShot, Row, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.mmlu.groups import GROUPS

FOLDER = 'mmlu'
SPLITS = {'dev': 'train', 'val': 'validation', 'test': 'test'}  # the publisher's, and those in JSON lines
EXPECTED = 'test/<subject>_test.csv, test.jsonl[.gz], or tables of Hugging Face or TFDS'
REPOSITORIES = ('cais/mmlu', 'lukaemon/mmlu')
OTHER = {'all', 'auxiliary_train'}  # configurations that are no subject


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the subjects of the data folder."""
    folder = tables.folder_of(data_dir, FOLDER, EXPECTED, REPOSITORIES)
    lines = JsonLines(str(folder))
    if found := sorted(file.name.removesuffix('_test.csv') for file in folder.glob('test/*_test.csv') if file.is_file()):
        read = [(subject, read_table, (), tuple(f'{split}/{subject}_{split}.csv' for split in reversed(SPLITS))) for subject in found]
    elif 'test' in lines.files():
        files = tuple(f'{split}{suffix}' for split in reversed(SPLITS.values()) for suffix in sources.SUFFIXES)
        read = [(subject, read_lines, (), files) for subject in sorted({row['subject'] for row in lines.rows('test')})]
    else:
        read = [(subject, read_tables, (own,), tables.files_of(own)) for subject, own in sorted(tables_of(folder).items())]
    if not read:
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    registry.register(*collections(str(folder), tuple(read)), replace=True)


@functools.cache
def collections(folder: str, read: tuple[tuple[str, Callable[..., Iterator[Row]], tuple, tuple[str, ...]], ...]) -> tuple[Collection, ...]:
    """Make the collections of some subjects, each with what reads it, the tables for that, if any, and the files."""
    asked = {
        'mmlu': (Template('{header}{question}\n{lettered}\nAnswer:'), True),
        'mmlu_text': (Template('{header}{question}\nAnswer:'), False),
    }
    return tuple(
        Collection(name, tuple(subject_spec(folder, name, *reader, *how) for reader in read), templates=1, shots=5)
        for name, how in asked.items()
    )


def subject_spec(
    folder: str,
    name: str,
    subject: str,
    read: Callable[..., Iterator[Row]],
    own: tuple,
    files: tuple[str, ...],
    template: Template,
    by_letter: bool,
) -> DatasetSpec:
    """Make the data set of a subject."""
    return DatasetSpec(
        name=f'{name}:{as_name(subject)}',
        cluster=None,
        source=InFolder(folder, functools.partial(read, *own, subject, by_letter), files),
        fields=dict,
        templates=(template,),
        splits=Splits(None, 'val', 'test'),
        few_shot=FewShot('dev'),
        category=GROUPS.get(subject, 'other subjects'),
        lineage=('MMLU',),
        licence='MIT',
        link='https://github.com/hendrycks/test',
    )


def tables_of(folder: pathlib.Path) -> dict[str, tuple[tables.Table, ...]]:
    """Return the tables of each subject: those of its own configuration, or those that have it in a column."""
    found = [table for table in tables.find(folder) if table.split != 'auxiliary_train']
    own = tables.by_config(table for table in found if table.config not in OTHER)
    return own or tables.by_value(folder, found, 'subject')


def read_tables(chosen: tuple[tables.Table, ...], subject: str, by_letter: bool, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a subject's rows of tables: `question`, `choices` and `answer`, an index or a letter; or `input`, `A` to `D` and `target`. The
    latter have `train` for `dev`.
    """
    named = {'dev': ('dev', 'train'), 'val': ('validation', 'val'), 'test': ('test', '')}
    for table in tables.of_split(chosen, *named[split]):
        for number, row in enumerate(table.rows(folder)):
            if row.get('subject', subject) != subject:
                continue
            yield checked(subject, by_letter, row, f'{folder / table.path}, row {number}')


def read_table(subject: str, by_letter: bool, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a file of the publisher's: lines without headings, of a question, its choices and the letter of the right one."""
    path = folder / split / f'{subject}_{split}.csv'
    with path.open(encoding='utf-8-sig', newline='') as lines:
        for number, cells in enumerate(csv.reader(lines), 1):
            if not cells:  # an empty line
                continue
            letters = string.ascii_uppercase[: max(0, len(cells) - 2)]
            if len(letters) < 2 or cells[-1] not in list(letters):
                raise ValueError(f'{path}, row {number}: {cells}; expected a question, its choices, and the letter of the right one')
            yield row_of(subject, by_letter, cells[0], cells[1:-1], letters.index(cells[-1]))


def read_lines(subject: str, by_letter: bool, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a subject's rows of JSON lines."""
    for number, row in enumerate(JsonLines(str(folder)).rows(SPLITS[split])):
        if row['subject'] == subject:
            yield checked(subject, by_letter, row, f'{folder / SPLITS[split]}.jsonl, row {number}')


def checked(subject: str, by_letter: bool, row: Mapping[str, Any], place: str) -> Row:
    """Make a row of one of a table or of JSON lines; a `ValueError` with its place where it is none."""
    choices = row['choices'] if 'choices' in row else [row.get(letter) for letter in 'ABCD']
    question, answer = row.get('question', row.get('input')), row.get('answer', row.get('target'))
    if isinstance(answer, str):
        answer = string.ascii_uppercase.find(answer) if len(answer) == 1 else -1
    texts = [question, *choices] if isinstance(choices, list) else [None]
    if not all(isinstance(text, str) for text in texts) or type(answer) is not int or not 0 <= answer < len(choices):
        raise ValueError(f'{place}: {tables.shown(row)}; expected a question, its choices, and the index or letter of one')
    return row_of(subject, by_letter, question, choices, answer)


def row_of(subject: str, by_letter: bool, question: str, choices: list[str], answer: int) -> Row:
    """Make a row."""
    letters = list(string.ascii_uppercase[: len(choices)])
    return {
        # `evaluate.py` sets two blanks before the subject, a slip.
        'header': f'The following are multiple choice questions (with answers) about {subject.replace("_", " ")}.\n\n',
        'question': question,
        'lettered': '\n'.join(f'{letter}. {choice}' for letter, choice in zip(letters, choices, strict=True)),
        'options': letters if by_letter else choices,
        'answer': answer,
    }
