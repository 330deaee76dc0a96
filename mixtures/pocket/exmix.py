"""Co-training: the pocket world's text, with spans hidden, beside all its data sets, two examples to one as in ExT5."""

from flanlite.data.specs.co_training import co_training
from flanlite.data.specs.collection import Collection
from flanlite.mixtures.pocket import text


def collection(supervised: Collection) -> Collection:
    """Make the collection `pocket_exmix` of the pocket collection."""
    return co_training('pocket_exmix', supervised, text.SPECS[:1])
