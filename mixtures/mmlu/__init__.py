"""MMLU (Hendrycks et al. 2021): the subjects that a folder `mmlu` of the data folder has. Evaluation only.

The folder is the publisher's, with `dev`, `val` and `test` of files such as `abstract_algebra_test.csv`; or it has `train`, `validation` and
`test` in JSON lines, rows of `subject`, `question`, `choices` and `answer` (an index), where `train` stands for `dev`.

Questions are asked as the publisher's `evaluate.py` asks them (hendrycks/test, 0f23bce): a line names the subject, then stand the first five
questions of `dev` with their answers. In `mmlu` the answer is the letter of a choice, in `mmlu_text` its text, in place of the letters.
"""

import csv
import functools
import os
import pathlib
import string
from collections.abc import Iterator

from flanlite.data.specs import sources, specs
from flanlite.data.specs.checks import as_name
from flanlite.data.specs.sources import InFolder, JsonLines, MissingDataError
from flanlite.data.specs.specs import Collection, DatasetSpec, FewShot, Row, Splits
from flanlite.data.specs.templates import Template
from flanlite.mixtures.mmlu.groups import GROUPS

FOLDER = 'mmlu'
SPLITS = {'dev': 'train', 'val': 'validation', 'test': 'test'}  # the publisher's, and those in JSON lines
EXPECTED = 'test/<subject>_test.csv, or test.jsonl[.gz]'


def find(data_dir: str | os.PathLike | None = None) -> None:
    """Register the subjects of the data folder."""
    folder = sources.benchmark_folder(data_dir, FOLDER, EXPECTED)
    found = sorted(file.name.removesuffix('_test.csv') for file in folder.glob('test/*_test.csv') if file.is_file())
    lines = JsonLines(str(folder))
    in_lines = not found and 'test' in lines.files()
    if in_lines:
        found = sorted({row['subject'] for row in lines.rows('test')})
    if not found:
        raise MissingDataError(f'{folder} has {sources.named(folder.iterdir())}; expected {EXPECTED}')
    specs.register(*collections(str(folder), tuple(found), in_lines), replace=True)


@functools.cache
def collections(folder: str, subjects: tuple[str, ...], in_lines: bool) -> tuple[Collection, ...]:
    """Make the collections of some subjects."""
    asked = {
        'mmlu': (Template('{header}{question}\n{lettered}\nAnswer:'), True),
        'mmlu_text': (Template('{header}{question}\nAnswer:'), False),
    }
    return tuple(
        Collection(name, tuple(subject_spec(folder, name, subject, in_lines, *how) for subject in subjects), templates=1, shots=5)
        for name, how in asked.items()
    )


def subject_spec(folder: str, name: str, subject: str, in_lines: bool, template: Template, by_letter: bool) -> DatasetSpec:
    """Make the data set of a subject."""
    if in_lines:
        files = tuple(f'{split}{suffix}' for split in SPLITS.values() for suffix in sources.SUFFIXES)
    else:
        files = tuple(f'{split}/{subject}_{split}.csv' for split in SPLITS)
    return DatasetSpec(
        name=f'{name}:{as_name(subject)}',
        cluster=None,
        source=InFolder(folder, functools.partial(read_lines if in_lines else read_table, subject, by_letter), files),
        fields=dict,
        templates=(template,),
        splits=Splits(None, 'val', 'test'),
        few_shot=FewShot('dev'),
        category=GROUPS.get(subject, 'other subjects'),
        lineage=('MMLU',),
        licence='MIT',
        link='https://github.com/hendrycks/test',
    )


def read_table(subject: str, by_letter: bool, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a file of the publisher's: lines without headings, of a question, its choices and the letter of the right one."""
    path = folder / split / f'{subject}_{split}.csv'
    with path.open(encoding='utf-8-sig', newline='') as lines:
        for number, cells in enumerate(csv.reader(lines), 1):
            letters = string.ascii_uppercase[: max(0, len(cells) - 2)]
            if len(letters) < 2 or cells[-1] not in list(letters):
                raise ValueError(f'{path}, row {number}: {cells}; expected a question, its choices, and the letter of the right one')
            yield row_of(subject, by_letter, cells[0], cells[1:-1], letters.index(cells[-1]))


def read_lines(subject: str, by_letter: bool, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a subject's rows of JSON lines."""
    for row in JsonLines(str(folder)).rows(SPLITS[split]):
        if row['subject'] == subject:
            yield row_of(subject, by_letter, row['question'], row['choices'], row['answer'])


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
