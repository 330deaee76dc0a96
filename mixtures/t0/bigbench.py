"""The fourteen tasks of BIG-bench that T0 is evaluated on. Evaluation only: BIG-bench asks that none of it be trained on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from flanlite.data.specs import sources, text
from flanlite.data.specs.sources import HuggingFace
from flanlite.data.specs.specs import DatasetSpec, Row, Splits
from flanlite.data.specs.templates import Template


@dataclasses.dataclass(frozen=True)
class Whole:
    """All rows of a task, in whichever splits they are: `test` in the data folder, `train` and `validation` at the hub.

    Args:
        source: the task at the hub, or the files that stand in for it.
    """

    source: HuggingFace | sources.JsonLines

    @property
    def name(self) -> str:
        """Return the source's name for the manifest."""
        return self.source.name

    def rows(self, split: str) -> Iterator[Row]:
        """Read all rows; the only split is `test`."""
        if split != 'test':
            raise ValueError(f'{self.name} is for evaluation only: got the split {split!r}, expected test')
        found = sources.prefer_data_folder(self.source)
        return found.rows('train+validation' if isinstance(found, HuggingFace) else 'test')

    def version(self) -> str:
        """Return a text that identifies the data."""
        return self.source.version()


# A row has the task's text, the options with a score each, and the texts that count as right:
#     inputs                  The ferry runs all the year round.
#     multiple_choice_targets T / F
#     multiple_choice_scores  0 / 1
#     targets                 F
def task(folder: str, examples: int, cluster: str, ask: str, again: str) -> DatasetSpec:
    """Make the data set of a BIG-bench task; `ask` and `again` are two wordings of its question, which not all copies of the data have."""
    return DatasetSpec(
        name=f'bigbench_{folder}',
        cluster=cluster,
        source=Whole(HuggingFace('tasksource/bigbench', folder, folder=f'bigbench/{folder}')),
        splits=Splits(None, None, 'test'),
        fields=fields,
        keep=lambda row: text.length(row['multiple_choice_targets']) > 1,
        family='bigbench',
        lineage=('BIG-bench',),
        licence='Apache-2.0',
        link=f'https://github.com/google/BIG-bench/tree/main/bigbench/benchmark_tasks/{folder}',
        test_examples=examples,
        templates=(
            Template(f'{ask}\n\n{{question}}\n\n{{options_}}'),
            Template(f'{{question}}\n\n{again}\n{{options_}}\nAnswer:'),
            Template(f'This is one item of a long test, which says at the top of each page: {again}\n\nItem: {{question}}\n'
                     '{options_}'),
            Template(f'{{options_}}\n\nIt has to be one of those, and I cannot make up my mind. {ask}\n\n"{{question}}"'),
            Template(f'User: {again} I mean this:\n{{question}}\nAssistant: What can I choose from?\nUser:\n{{options_}}\nAssistant:'),
        ),
        baselines=(
            Template('{question}\nanswer:'),
            Template('{question}'),
        ),
    )


def fields(row: Row) -> dict[str, Any]:
    """Turn a row of any task into fields."""
    return {
        'question': text.strip(row['inputs']),
        'options': row['multiple_choice_targets'],
        'answer': text.index(row['multiple_choice_scores'], 1),
    }


SPECS = (
    task(
        'code_line_description', 60, 'reading_comprehension', 'Say in English what this piece of code does.',
        'Which description fits the code?',
    ),
    task(
        'conceptual_combinations', 103, 'commonsense', 'What do these words mean when they are put together, or which words mean that?',
        'Think of the words as one thing. Which choice goes with it?',
    ),
    task(
        'hindu_knowledge', 175, 'closed_book_qa', 'This is about Hindu mythology. What is right?',
        'Which choice do the stories of Hinduism bear out?',
    ),
    task(
        'known_unknowns', 46, 'closed_book_qa', 'Answer if the answer can be known at all, and say so if it cannot.',
        'Does anybody know this? If so, give the answer; if not, admit it.',
    ),
    task('language_identification', 10_000, 'translation', 'In which language is this written?', 'Name the language of the text.'),
    task(
        'logic_grid_puzzle', 1_000, 'commonsense', 'Work out from the clues what the puzzle asks.',
        'Every clue holds. What follows for the question at the end?',
    ),
    task(
        'logical_deduction', 1_500, 'commonsense', 'Several things stand in an order that the statements settle. Which conclusion is true?',
        'Put the things into order first, and then choose the statement that holds.',
    ),
    task(
        'misconceptions', 219, 'closed_book_qa', 'Many believe things that are not so. Is this true (T) or false (F)?',
        'Mark the statement T if it is so, and F if people only think it is.',
    ),
    task(
        'movie_dialog_same_or_different', 50_000, 'conversational_qa', 'In this dialogue from a film, does the same person say both lines?',
        'Does the same character speak both times, or two different ones?',
    ),
    task('novel_concepts', 32, 'commonsense', 'What do these things have in common?', 'Name what unites these.'),
    task(
        'strategyqa', 2_289, 'closed_book_qa', 'Think about the facts that this rests on, then answer yes or no.',
        'Yes or no? Several facts have to be put together for this.',
    ),
    task(
        'formal_fallacies_syllogisms_negation', 14_200, 'nli',
        'Does the conclusion follow from the premises? Call the argument valid or invalid.',
        'Valid or invalid: may one infer this from what was said before?',
    ),
    task(
        'vitaminc_fact_verification', 54_668, 'nli', 'Going by the passage alone, is the claim true or false, or neither of the two?',
        'True, false or neither: compare what is claimed with what is written, and with nothing else.',
    ),
    task(
        'winowhy', 2_862, 'coreference', 'A reason is given for what a pronoun refers to. Is it right?',
        'Does this explain correctly whom or what the pronoun means?',
    ),
)
