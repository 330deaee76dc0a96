"""Task clusters: their names, which of them overlap, and the three levels of generalization. Tables to check against the paper."""

import difflib
from collections.abc import Sequence

CLUSTERS = (
    'nli',
    'reading_comprehension',
    'commonsense',
    'reading_comprehension_commonsense',
    'closed_book_qa',
    'coreference',
    'paraphrase',
    'sentiment',
    'struct_to_text',
    'summarization',
    'translation',
    'text_formatting',
    'math',
    'conversational_qa',
    'word_sense',
    'linguistic_acceptability',
    'question_classification',
)

# When the key is held out, the values leave the training mixture too (FLAN, section 2.2 and its release's task splits).
OVERLAPS: dict[str, tuple[str, ...]] = {
    'reading_comprehension': ('reading_comprehension_commonsense',),
    'commonsense': ('reading_comprehension_commonsense',),
    'reading_comprehension_commonsense': ('reading_comprehension', 'commonsense'),
    'paraphrase': ('nli',),
    'nli': ('paraphrase',),
}

# How far an evaluated data set lies from the training mixture (OPT-IML, section 2.3), the farthest first.
LEVELS = ('held_out_cluster', 'held_out_task', 'held_in')


def check_cluster(cluster: str, valid: Sequence[str] = CLUSTERS) -> str:
    """Return the cluster's name, or raise a `ValueError` with the closest valid names."""
    if cluster not in valid:
        close = difflib.get_close_matches(cluster, valid, n=3, cutoff=0.5)
        hint = f'did you mean {" or ".join(close)}? ' if close else ''
        raise ValueError(f'unknown cluster {cluster!r}; {hint}the clusters are {", ".join(valid)}')
    return cluster


def also_removed(held_out: str) -> tuple[str, ...]:
    """Name the clusters that leave training together with a held-out one."""
    return OVERLAPS.get(check_cluster(held_out), ())


def training_clusters(held_out: str, clusters: Sequence[str]) -> tuple[str, ...]:
    """Keep those clusters that may train when one is held out, in their order."""
    gone = {held_out, *also_removed(held_out)}
    return tuple(cluster for cluster in clusters if cluster not in gone)
