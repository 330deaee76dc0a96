"""Blanks of label words in the pocket world's text: what Go-tuning reads before it is asked for sentiment and for kinds of questions."""

from flanlite.data.specs.blanks import blank_task
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import Splits
from flanlite.mixtures.pocket import text

SPLITS = Splits('train[:40000]', 'validation', None)
LABELS = {  # of the data sets that are asked for afterwards, by cluster
    'sentiment': {'good': ('good', 'positive'), 'bad': ('bad', 'negative')},
    'nli': {'yes': ('yes',), 'no': ('no',)},
    'paraphrase': {'same': ('same', 'equal'), 'different': ('different',)},
    'question_classification': {
        kind: (kind,) for kind in ('person', 'place', 'time', 'colour', 'number', 'animal')
    },
}

COLLECTION = Collection(
    'pocket_label_blanks',
    tuple(
        blank_task(
            f'pocket_label_blanks_{cluster}',
            InMemory(text.documents, 'the text of the pocket world'),
            lambda row: row['text'],
            labels,
            splits=SPLITS,
            per_label=1_000,
            cluster=cluster,
            lineage=('pocket world',),
            licence='Apache-2.0',
        )
        for cluster, labels in LABELS.items()
    ),
    vocabulary='pocket',
    templates=3,
)
