"""PPT's questions, which the pocket world's text answers by itself: prompts are trained on these before they meet few examples of a task."""

from flanlite.data.specs.collection import Collection
from flanlite.data.specs.proxies import proxy_tasks
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import Splits
from flanlite.mixtures.pocket import text

COLLECTION = Collection(
    'pocket_proxies',
    proxy_tasks(
        'pocket_proxy',
        InMemory(text.documents, 'the text of the pocket world'),
        lambda row: row['text'],
        splits=Splits('train[:20000]', 'validation', None),
        lineage=('pocket world',),
        licence='Apache-2.0',
    ),
    vocabulary='pocket',
    templates=1,
)
