"""The dialogues of FLAN 2022, WikiDialog and QReCC: the next turn, and the same turned around.

As in the release, the turn that is answered is one of the first twenty answers of a dialogue. There it is drawn anew each time; here the row's number
draws it, so that a cache is the same wherever it is built.
"""

import dataclasses
import random
from collections.abc import Iterable, Iterator

from flanlite.data.specs import fingerprints
from flanlite.data.specs.sources import JsonLines, Row, Tfds, sliced
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template

CLUSTER = 'flan2022:dialog'
MAX_EXAMPLES = 200_000  # of 11 million: the cap of the rate, which nobody would cache the rest beyond
TURNS = 20  # answers that one is drawn from
QRECC_TURN = 6  # only later turns have a history
TEMPLATES = (
    Template('{dialog}\n\nWhat is said next?'),
    Template('Continue this conversation by one turn.\n{dialog}'),
    Template('Dialogue so far:\n{dialog}\nReply:'),
    Template('Here is a conversation.\n\n{dialog}\n\nGive the answer to its last line.'),
    Template('{dialog}\n-'),
    Template('Answer the last question; what stands before it tells you what it is about.\n{dialog}'),
    Template('You are the second speaker.\n{dialog}\nYou say:'),
    Template('Two people talk.\n{dialog}\nHow does it go on?'),
    Template('Read the exchange, then write the next turn.\n\n{dialog}'),
    Template('Conversation: {dialog}\nNext turn:'),
)
INVERTED = (
    Template('A conversation ends with this: "{answer}"\nWrite what had been said before.', '{dialog}', inverted=True),
    Template('Last turn: {answer}\nAll turns before it:', '{dialog}', inverted=True),
    Template('Make up the dialogue that leads to this reply.\n{answer}', '{dialog}', inverted=True),
    Template('"{answer}" is how it ended. How did the conversation get there?', '{dialog}', inverted=True),
)


@dataclasses.dataclass(frozen=True)
class Turns:
    """Rows of dialogues: what was said, and the answer to the last of it.

    Args:
        source: has the dialogues.
        field: its list of turns; a question first, then its answer, and so on.
        skip: turns at the beginning that belong to nobody.
    """

    source: Tfds | JsonLines
    field: str
    skip: int = 0

    def rows(self, split: str) -> Iterator[Row]:
        """Read a split's rows; `split` may be a slice."""
        return sliced(self.read, split)

    def read(self, split: str) -> Iterable[Row]:
        """Read all rows of a split."""
        for number, row in enumerate(self.source.rows(split)):
            turns = row[self.field][self.skip :]
            if row.get('turn_id', QRECC_TURN + 1) <= QRECC_TURN or len(turns) < 2:
                continue
            place = 2 * random.Random(number).randrange(min(len(turns) // 2, TURNS)) + 1
            yield {'dialog': '\n'.join(f'- {turn}' for turn in turns[:place]), 'answer': turns[place]}

    def version(self) -> str:
        """Identify the rows, and the code that reads them."""
        return f'{self.source.version()} {fingerprints.of(self.field, self.skip, type(self).read)}'


SOURCES = {
    'wiki_dialog': (Turns(Tfds('wiki_dialog:1.0.0'), 'utterances', skip=1), 11_264_129, ('WikiDialog',), 'CC BY-SA 3.0'),
    'qrecc': (Turns(Tfds('q_re_cc:1.0.0', folder='qrecc'), 'context'), 10_170, ('QReCC', 'QuAC', 'Natural Questions'), 'CC BY-SA 3.0'),
}


def specs() -> tuple[tuple[DatasetSpec, ...], tuple[DatasetSpec, ...]]:
    """Return the two data sets, and the two turned around."""
    kinds = (('', TEMPLATES), ('_inverted', INVERTED))
    return tuple(tuple(dialog_spec(name, name + ending, shown) for name in SOURCES) for ending, shown in kinds)


def dialog_spec(source: str, name: str, shown: tuple[Template, ...]) -> DatasetSpec:
    """Make one data set."""
    turns, rows, lineage, licence = SOURCES[source]
    return DatasetSpec(
        name=name,
        cluster=CLUSTER,
        source=turns,
        fields=dict,
        templates=shown,
        metric='t5_rouge',
        splits=Splits('train', None, None),
        max_examples=MAX_EXAMPLES,
        train_examples=rows,
        lineage=lineage,
        licence=licence,
        link='https://github.com/google-research/dialog-inpainting' if source == 'wiki_dialog' else 'https://github.com/apple/ml-qrecc',
    )
