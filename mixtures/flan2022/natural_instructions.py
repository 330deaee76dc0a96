"""Super-NaturalInstructions as FLAN 2022 trains on it: each task of the publisher's folder is a data set, its category a cluster.

The folder is `super_natural_instructions` in the data folder, a copy of allenai/natural-instructions or a link to it. It is listed, not read: a task that
FLAN's release names has its category from there (`assets/natural_instructions.tsv`), any other from the beginning of its file. Without a folder the tasks
are those of the release. The last 100 instances of a task are its test data, the rest trains.
"""

import functools
import json
import pathlib
import re
from collections.abc import Iterable, Iterator

from flanlite.data.specs.checks import as_name
from flanlite.data.specs.sources import InFolder, MissingDataError
from flanlite.data.specs.specs import DatasetSpec, Row, Splits
from flanlite.data.specs.templates import MixedTemplate, Template
from flanlite.mixtures.super_natural_instructions import FOLDER, answers_of, category, definition_of
from flanlite.reading import foreign, read_text

RECORD = pathlib.Path(__file__).parent / 'assets/natural_instructions.tsv'
TEST_ROWS = 100
# Tasks that hold MMLU, which FLAN 2022 is evaluated on.
MMLU = re.compile(r'task(66[4-7]|68[5-9]|69\d|7[0-2]\d|73[0-7])_')
# Categories of the same kind as one of FLAN's clusters are held out with it.
CLUSTERS = {
    'Coreference Resolution': 'coreference',
    'Data to Text': 'struct_to_text',
    'Linguistic Probing': 'linguistic_acceptability',
    'Mathematics': 'math',
    'Paraphrasing': 'paraphrase',
    'Sentiment Analysis': 'sentiment',
    'Summarization': 'summarization',
    'Text Completion': 'commonsense',
    'Textual Entailment': 'nli',
    'Translation': 'translation',
    'Word Semantics': 'word_sense',
}
TEMPLATES = (
    Template('{definition}\n\n{input}'),
    Template('{definition}\n\nInput: {input}\nOutput:'),
    Template('Here is what to do.\n{definition}\n\nHere is what to do it with.\n{input}'),
    Template('{input}\n\n{definition}'),
    Template('Task: {definition}\nCase: {input}\nResult:'),
    Template('Read the instructions, then follow them for the text below.\n\n{definition}\n\n{input}'),
    Template('Q: {definition}\n{input}\nA:'),
    Template('The text is this:\n{input}\n\nWhat is asked of you: {definition}'),
    Template('{definition} Apply this to: {input}'),
    Template('[instructions] {definition}\n[input] {input}\n[answer]'),
)
# With exemplars, the definition stands once, before them.
FEW_SHOT = (
    MixedTemplate('{input}', header='{definition}\n\n'),
    MixedTemplate('{input}', header='{definition}\n\nHere is how it is done, and then a case to do.\n\n'),
    MixedTemplate('{input}', header='Task: {definition}\n\n'),
    MixedTemplate('{input}', header='What is asked for: {definition}\n----------\n'),
    MixedTemplate('{input}', header='[instructions]\n{definition}\n[cases]\n'),
)


@functools.cache
def recorded() -> dict[str, tuple[str, str]]:
    """Return the category of each task that FLAN's release trains on, and the corpus that its text is from."""
    lines = [line.split('\t') for line in RECORD.read_text(encoding='utf-8').splitlines()[1:]]
    return {task: (kind, corpus) for task, kind, corpus in lines}


def listed(folder: pathlib.Path) -> list[str]:
    """Return the names of a folder's tasks."""
    return sorted(path.stem for path in (folder / 'tasks').glob('task*.json') if path.is_file())


def tasks(folder: pathlib.Path, names: Iterable[str]) -> tuple[DatasetSpec, ...]:
    """Make the data sets of a folder's tasks, but for those that hold MMLU; where it has none, those of FLAN's release."""
    return tuple(task_spec(folder, name) for name in names or recorded() if not MMLU.match(name))


def task_spec(folder: pathlib.Path, task: str) -> DatasetSpec:
    """Make the data set of a task."""
    file = f'tasks/{task}.json'
    kind, corpus = recorded().get(task) or (category(folder / file), task)
    own = 'natural_instructions:' + (re.sub(r'\W+', '_', kind.lower()).strip('_') or 'no_category')
    return DatasetSpec(
        name=f'natural_instructions:{as_name(task)}',
        cluster=CLUSTERS.get(kind, own),
        source=InFolder(str(folder), functools.partial(read, file), (file,)),
        fields=dict,
        templates=TEMPLATES,
        mixed_templates=FEW_SHOT,
        metric='natural_instructions',
        splits=Splits(f'train[:-{TEST_ROWS}]', None, f'train[-{TEST_ROWS}:]'),
        category=kind,
        lineage=(corpus,),
        licence='Apache-2.0; sources vary',
        link='https://github.com/allenai/natural-instructions',
    )


def read(file: str, folder: pathlib.Path, split: str) -> Iterator[Row]:
    """Read a task's instances.

    Raises:
        MissingDataError: there is no such folder.
        ValueError: the file is not as its publisher writes it.
    """
    del split  # there is one
    path = folder / file
    if not folder.is_dir():
        raise MissingDataError(
            f'no folder {FOLDER!r} in the data folder; expected a copy of allenai/natural-instructions, or a link to one, with tasks/<task>.json; '
            '--data_dir or FLANLITE_DATA_DIR names the data folder'
        )
    with foreign(path):
        task = json.loads(read_text(path))
        definition = definition_of(task).strip()
        for row in task['Instances']:
            answers = answers_of(row)
            yield {'definition': definition, 'input': row['input'].strip(), 'answer': answers[0], 'answers': answers}
