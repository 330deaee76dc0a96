"""The nine sets of FLAN 2022 with chains of thought, and the same turned around.

They are read from the data folder: `cot_data/<name>_train.tsv`, the form of FLAN's release (question, answer, chain of thought, with \\n for line ends), or
JSON lines in `cot_<name>/`, with the fields question, answer and cot. Without either, GSM8K and e-SNLI come from TFDS.
"""

import dataclasses
import pathlib
import re
from collections.abc import Iterable, Iterator

from flanlite.data.specs import fingerprints
from flanlite.data.specs.json_rows import file_identity
from flanlite.data.specs.sources import JsonLines, MissingDataError, Row, Tfds, sliced
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import MixedTemplate, Template

CLUSTER = 'flan2022:chain_of_thought'
ROWS = {  # of the release's files: (rows, lineage, licence)
    'gsm8k': (7_473, ('GSM8K',), 'MIT'),
    'strategyqa': (2_061, ('StrategyQA',), 'MIT'),
    'creak': (6_915, ('CREAK',), 'MIT'),
    'qasc': (1_084, ('QASC',), 'CC BY 4.0'),
    'esnli': (36_174, ('SNLI', 'Flickr30k'), 'MIT; SNLI CC BY-SA 4.0'),
    'ecqa': (7_112, ('CommonsenseQA', 'ConceptNet'), 'CDLA-Sharing-1.0'),
    'sensemaking': (6_070, ('SemEval-2020 task 4',), 'CC BY-SA 4.0'),
    'aqua': (2_728, ('AQUA-RAT',), 'Apache-2.0'),
    'qed': (5_154, ('Natural Questions',), 'CC BY-SA 3.0, Apache-2.0'),
}
CALCULATED = re.compile(r'<<.*?>>')  # notes for a calculator in GSM8K
ANSWER = r'(?im)(?:answer is:?|^answer:) (.+?)\.?\s*$'  # where the answer stands behind a chain of thought, or before it
THOUGHT = '{thought}\nSo the answer is {answer}.'
ANSWER_FIRST = 'Answer: {answer}\nReasons: {thought}'
TEMPLATES = (
    Template('{question}\nThink it through step by step, then answer.', THOUGHT),
    Template('{question}\n\nGive your reasons first, and the answer at the end.', THOUGHT),
    Template('Question: {question}\nReasons, then the answer:', THOUGHT),
    Template('Here is something to work out.\n{question}\nShow how you get there.', THOUGHT),
    Template('Take your time with this one: {question}', THOUGHT),
    Template('{question}\nWhat follows from what? Write that down before you answer.', THOUGHT),
    Template('Q: {question}\nA, with the steps that lead to it:', THOUGHT),
    Template('Reason about the following until you can answer it.\n\n{question}', THOUGHT),
    Template('{question} Explain, and end with the answer.', THOUGHT),
    Template('Solve this by small steps.\n{question}\nSteps:', THOUGHT),
)
# Only a prompt mix that has these places of the answer asks so; FLAN's release always has the answer last.
OTHER_CHAINS = (
    MixedTemplate('{question}\nAnswer first, then say why.', ANSWER_FIRST, chain='first'),
    MixedTemplate('Question: {question}\nThe answer, and behind it the reasons:', ANSWER_FIRST, chain='first'),
    MixedTemplate('{question}\n\nGive the answer at once, and justify it afterwards.', ANSWER_FIRST, chain='first'),
    MixedTemplate('What is the answer to this, and what makes it right?\n{question}', ANSWER_FIRST, chain='first'),
    MixedTemplate('Answer this, and defend your answer: {question}', ANSWER_FIRST, chain='first'),
    MixedTemplate('{question}', chain='none'),
    MixedTemplate('{question}\nAnswer:', chain='none'),
    MixedTemplate('Give nothing but the answer.\n{question}', chain='none'),
    MixedTemplate('Question: {question}\nAnswer, without reasons:', chain='none'),
    MixedTemplate('Say briefly what the answer is: {question}', chain='none'),
)
INVERTED = (
    Template('Reasons: {thought}\nAnswer: {answer}\nWhat was the question?', '{question}', inverted=True),
    Template('Somebody answered "{answer}", and argued so: {thought}\nWrite what they had been asked.', '{question}', inverted=True),
    Template('{question}\nThe answer is {answer}. Why?', '{thought}', inverted=True),
    Template('Question: {question}\nAnswer: {answer}\nGive the reasoning between the two.', '{thought}', inverted=True),
    Template('Explain why "{answer}" answers this.\n\n{question}', '{thought}', inverted=True),
    Template('{thought}\n\nMake a question of this, and answer it.', 'Question: {question}\nAnswer: {answer}', inverted=True),
    Template('Write a question and its answer, so that this is the way from one to the other: {thought}',
             'Question: {question}\nAnswer: {answer}', inverted=True),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class ThoughtRows:
    """Rows of one set: question, answer, thought.

    Args:
        name: a key of `ROWS`.
        root: the data folder, absolute; empty where none is named.
    """

    name: str
    root: str

    @property
    def origin(self) -> JsonLines | Tfds | None:
        """Return the source that the rows are taken from, where they are not those of a file of the release."""
        folder = pathlib.Path(self.root) / f'cot_{self.name}'
        if self.root and folder.is_dir():
            return JsonLines(str(folder))
        known = {'gsm8k': Tfds('gsm8k:1.0.0'), 'esnli': Tfds('esnli:0.1.0')}
        return None if self.file else known.get(self.name)

    @property
    def file(self) -> pathlib.Path | None:
        """Return the release's file, where it is there."""
        found = pathlib.Path(self.root) / f'cot_data/{self.name}_train.tsv'
        return found if self.root and found.is_file() else None

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows; `split` may be a slice."""
        return sliced(self.read, split)

    def read(self, split: str) -> Iterable[Row]:
        """Read all rows of a split.

        Raises:
            MissingDataError: the rows are nowhere.
            ValueError: a line of the file has no three columns.
        """
        if self.origin is not None:
            return (self.from_row(row) for row in self.origin.rows(split))
        if self.file is None:
            raise MissingDataError(
                f'no cot_data/{self.name}_train.tsv in the data folder, and no folder cot_{self.name} with train.jsonl; expected one of them, from '
                "FLAN's release; --data_dir or FLANLITE_DATA_DIR names the data folder"
            )
        return self.from_file(self.file)

    @staticmethod
    def from_file(path: pathlib.Path) -> Iterator[Row]:
        """Read the release's file."""
        with path.open(encoding='utf-8', newline='\n') as lines:
            for number, line in enumerate(lines, 1):
                columns = [column.replace('\\n', '\n') for column in line.rstrip('\r\n').split('\t')]
                if len(columns) != 3:
                    raise ValueError(f'{path}, line {number} has {len(columns)} columns; expected question, answer and chain of thought, with tabs between')
                yield dict(zip(('question', 'answer', 'thought'), columns, strict=True))

    @staticmethod
    def from_row(row: Row) -> Row:
        """Take a row of JSON lines, or of TFDS."""
        if 'cot' in row:
            return {'question': row['question'], 'answer': row['answer'], 'thought': row['cot']}
        if 'premise' in row:
            answer = ('yes', 'it is not possible to tell', 'no')[row['label']]
            question = f'Premise: {row["premise"]}\nHypothesis: {row["hypothesis"]}\nDoes the hypothesis follow?'
            return {'question': question, 'answer': answer, 'thought': row['explanation_1']}
        thought, _, answer = row['answer'].partition('####')
        return {'question': row['question'], 'answer': answer.strip(), 'thought': CALCULATED.sub('', thought).strip()}

    def version(self) -> str:
        """Identify the rows, and the code that reads them."""
        if self.origin is not None:
            return f'{self.origin.version()} {fingerprints.of(self.from_row)}'
        known = self.file and file_identity(self.file, self.file.stat().st_size, self.file.stat().st_mtime_ns)
        return f'{self.name} {known} {fingerprints.of(self.from_file)}'


def specs(root: str) -> tuple[tuple[DatasetSpec, ...], tuple[DatasetSpec, ...]]:
    """Return the nine data sets, and the nine turned around."""
    kinds = (('cot', TEMPLATES, OTHER_CHAINS), ('cot_inverted', INVERTED, ()))
    return tuple(tuple(thought_spec(kind, name, root, *shown) for name in ROWS) for kind, *shown in kinds)


def thought_spec(kind: str, name: str, root: str, shown: tuple[Template, ...], mixed: tuple[MixedTemplate, ...]) -> DatasetSpec:
    """Make one data set."""
    rows, lineage, licence = ROWS[name]
    return DatasetSpec(
        name=f'{kind}_{name}',
        cluster=CLUSTER,
        source=ThoughtRows(name, root),
        fields=dict,
        templates=shown,
        mixed_templates=mixed,
        metric='squad_exact_match',
        extract=ANSWER,
        splits=Splits('train', None, None),
        train_examples=rows,
        lineage=lineage,
        licence=licence,
        link='https://github.com/google-research/FLAN/tree/main/flan/v2/cot_data',
    )
