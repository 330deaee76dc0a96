"""Task clusters: names, overlaps, hold-outs, shared corpora, levels of generalization. Tables to check
against the paper.
"""

import dataclasses
import random
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from flanlite import config

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

# The twelve clusters of the paper (FLAN, figure 3), each with the clusters of its release that it consists
# of.
PAPER_CLUSTERS: dict[str, tuple[str, ...]] = {
    'natural language inference': ('nli',),
    'commonsense': ('commonsense',),
    'sentiment': ('sentiment',),
    'paraphrase': ('paraphrase',),
    'closed-book question answering': ('closed_book_qa',),
    'struct to text': ('struct_to_text',),
    'reading comprehension': ('reading_comprehension',),
    'reading comprehension with commonsense': ('reading_comprehension_commonsense',),
    'coreference': ('coreference',),
    'translation': ('translation',),
    'summarization': ('summarization',),
    'miscellaneous': (
        'conversational_qa',
        'question_classification',
        'math',
        'text_formatting',
        'word_sense',
        'linguistic_acceptability',
    ),
}

# When the cluster on the left is held out, those on the right leave the training mixture too (FLAN, section
# 2.2, and its release's splits).
OVERLAPS: dict[str, tuple[str, ...]] = {
    'reading_comprehension': ('reading_comprehension_commonsense',),
    'commonsense': ('reading_comprehension_commonsense',),
    'reading_comprehension_commonsense': ('reading_comprehension', 'commonsense'),
    'paraphrase': ('nli',),
    'nli': ('paraphrase',),
}

# What else FLAN's release holds out, by the same draws (what it calls task splits; section 4 of the paper).
INTRA_HOLD_OUTS = 10
SUPERGLUE = ('bool_q', 'cb', 'copa', 'multirc', 'record', 'rte', 'wic', 'wsc')
SUPERGLUE_TRAIN = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55)  # how many data sets train
SUPERGLUE_SEED = 42
DIVERSITY_TEST = ('nli', 'commonsense', 'closed_book_qa')
DIVERSITY_TRAIN = (  # the first 1, 2, ... of these train
    'summarization',
    'translation',
    'reading_comprehension',
    'sentiment',
    'struct_to_text',
    'coreference',
    'conversational_qa',
)
DIVERSITY_LIMIT = 15  # data sets at most, where their number is held constant
DIVERSITY_EACH = (1, 2, 3, 4)  # data sets of each cluster, where the number of clusters is

OWN = re.compile(r'\w+:\w+')  # a cluster that is none of `CLUSTERS`

# Several clusters, and how many of the others, and of the data sets of each, train.
SEVERAL = re.compile(r'(?P<clusters>.+?)(?:_first_(?P<first>\d+))?(?:_each_(?P<each>\d+))?')

# What to do with training data that descends from the same corpus as held-out data: drop it, name it, or
# ignore it.
LINEAGE = ('strict', 'warn', 'off')

# How far an evaluated data set is from the training mixture (OPT-IML, section 2.3), the farthest first.
LEVELS = ('held_out_cluster', 'held_out_task', 'held_in')


class Member(Protocol):
    """The fields of a data set that a hold-out depends on; see `specs.DatasetSpec`. Plain text has no
    cluster, and always trains.
    """

    name: str
    cluster: str | None
    lineage: tuple[str, ...]
    splits: Any


def check_cluster(cluster: str) -> None:
    """Check that a name is a cluster's: one of `CLUSTERS`, or somebody's own, which has a colon.

    Raises:
        ValueError: it is not; the message names the closest valid ones.
    """
    if cluster not in CLUSTERS and not OWN.fullmatch(cluster):
        raise ValueError(
            f'unknown cluster {cluster!r}; {config.closest(cluster, CLUSTERS)}the clusters are '
            f'{", ".join(CLUSTERS)}, and those of your own with a colon, such as source:cluster'
        )


def ordered(members: Sequence[Member]) -> tuple[str, ...]:
    """Return the clusters that have a data set among these, in the order of `CLUSTERS`, and others behind
    them in that of the data sets.
    """
    present = dict.fromkeys(member.cluster for member in members if member.cluster)
    known = [cluster for cluster in CLUSTERS if cluster in present]
    return (*known, *(cluster for cluster in present if cluster not in CLUSTERS))


@dataclasses.dataclass(frozen=True)
class HoldOut:
    """The data sets that train and those that are held out.

    Args:
        name: the held-out cluster's name, or a name such as `intra_3`, `superglue` or `diversity_4`.
        train: the data sets to train on, in the collection's order.
        test: the data sets that are held out.
        removed: the clusters that leave training because they overlap with the held-out one.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    removed: tuple[str, ...] = ()


def hold_outs(members: Sequence[Member]) -> dict[str, HoldOut]:
    """Return all hold-outs that a collection's data sets allow, by name: one for each cluster, and those of
    FLAN's ablations.
    """
    makers = (held_out_clusters, intra_cluster, superglue, diversity)
    return {found.name: found for maker in makers for found in maker(members) if found.test}


def get_hold_out(name: str, members: Sequence[Member]) -> HoldOut:
    """Return the hold-out of a name.

    Args:
        name: a cluster, or such as `intra_3`, `superglue` or `diversity_4`; or several clusters, such as
            `nli+sentiment`, see `several_clusters`.
        members: the data sets of a collection.

    Raises:
        ValueError: the data sets allow no such hold-out; the message names the closest valid ones.
    """
    found = hold_outs(members)
    if name not in found and (several := several_clusters(name, members)):
        return several
    if name not in found:
        present = {member.cluster for member in members}
        hint = config.closest(name, found)
        others = [other for other in found if other not in present]
        more = f'; other hold-outs are {others[0]} to {others[-1]}' if others else ''
        raise ValueError(
            f'unknown cluster {name!r}; {hint}the clusters are {", ".join(ordered(members))}{more}'
        )
    return found[name]


def without(test: Collection[str], members: Sequence[Member]) -> tuple[str, ...]:
    """Return the names of the data sets that can train and are not held out."""
    gone = set(test)
    return tuple(member.name for member in members if member.splits.train and member.name not in gone)


def by_cluster(members: Sequence[Member]) -> dict[str, list[str]]:
    """Return the names of the data sets that can train, by cluster, in the collection's order."""
    found: dict[str, list[str]] = {}
    for member in members:
        if member.cluster and member.splits.train:
            found.setdefault(member.cluster, []).append(member.name)
    return found


def held_out_clusters(members: Sequence[Member]) -> Iterator[HoldOut]:
    """Yield a hold-out for each cluster; the clusters that overlap with it do not train either."""
    present = {member.cluster for member in members}
    for cluster in ordered(members):
        removed = tuple(other for other in OVERLAPS.get(cluster, ()) if other in present)
        gone = [member.name for member in members if member.cluster in (cluster, *removed)]
        test = tuple(member.name for member in members if member.cluster == cluster)
        yield HoldOut(cluster, without(gone, members), test, removed)


def several_clusters(name: str, members: Sequence[Member]) -> HoldOut | None:
    """Hold out clusters, and train on some of the others: the hold-outs of `flanlite ablate`.

    Args:
        name: clusters, with a plus sign between two; behind them `_first_3`, to train on the first three of
            the other clusters in the collection's order, `_each_2`, to train on the first two data sets of
            each, or both. Other hold-outs may stand among them, such as `nli+intra_3`: then what either holds
            out does not train, and there is no such ending.
        members: the data sets of a collection.

    Returns:
        None where the name has no such form, or has a cluster that the collection has not.

    Raises:
        ValueError: a number is 0, or greater than that of the clusters that are left to train on; none is
            left; or a cluster is there twice.
    """
    form = SEVERAL.fullmatch(name)
    each = {found.name: found for found in held_out_clusters(members) if found.test}
    held = form['clusters'].split('+') if form else []
    if len(set(held)) < len(held) and set(held) <= set(each):
        raise ValueError(f'got {name!r}; expected each cluster once')
    if held and not set(held) <= set(each):
        return together(name, members)
    if not held:
        return None
    test = tuple(member.name for member in members if member.cluster in held)
    trained = by_cluster([m for m in members if all(m.name in each[cluster].train for cluster in held)])
    if not trained:
        raise ValueError(f'got {name!r}, which leaves no cluster to train on; hold out fewer')
    first = len(trained) if form['first'] is None else int(form['first'])
    most = max(map(len, trained.values()))
    limit = most if form['each'] is None else int(form['each'])
    if not 1 <= first <= len(trained) or limit < 1:
        raise ValueError(
            f'got {name!r}; expected _first_1 to _first_{len(trained)}, as many clusters as are left, and '
            '_each_1 or more'
        )
    kept = [task for names in list(trained.values())[:first] for task in names[:limit]]
    train = without(test, [m for m in members if m.cluster is None or m.name in kept])
    removed = {other: None for cluster in held for other in each[cluster].removed if other not in held}
    return HoldOut(name, train, test, tuple(removed))


def together(name: str, members: Sequence[Member]) -> HoldOut | None:
    """Hold out what several hold-outs do, so that one model has data sets of all levels to be scored on.

    Args:
        name: their names, with a plus sign between two.
        members: the data sets of a collection.

    Returns:
        None where one of the names is no hold-out.

    Raises:
        ValueError: nothing is left to train on.
    """
    known = hold_outs(members)
    if '+' not in name or not set(names := name.split('+')) <= set(known):
        return None
    found = [known[each] for each in dict.fromkeys(names)]
    test = {task: None for each in found for task in each.test}
    train = tuple(m.name for m in members if all(m.name in each.train for each in found))
    if not train:
        raise ValueError(f'got {name!r}, which leaves nothing to train on; hold out less')
    removed = {other: None for each in found for other in each.removed}
    return HoldOut(name, train, tuple(m.name for m in members if m.name in test), tuple(removed))


def intra_cluster(members: Sequence[Member]) -> Iterator[HoldOut]:
    """Yield hold-outs of one family of data sets from each cluster that has several.

    The next hold-out takes the next family of a permutation, whose seed is the cluster's place in the
    collection.
    """
    families: dict[str, dict[str, list[str]]] = {}
    for member in members:
        if member.cluster and member.splits.train:
            families.setdefault(member.cluster, {}).setdefault(family_of(member), []).append(member.name)
    collapsed = {family_of(member) for member in members} - {member.name for member in members}
    turns = []
    for place, cluster in enumerate(families.values()):
        # Collapsed ones stand behind, by name.
        ranked = sorted(cluster, key=lambda family: family if family in collapsed else '')
        order = np.random.RandomState(place).permutation(len(cluster))
        turns += [[cluster[ranked[turn]] for turn in order]] if len(cluster) > 1 else []
    for index in range(INTRA_HOLD_OUTS):
        test = tuple(name for cluster in turns for name in cluster[index % len(cluster)])
        yield HoldOut(f'intra_{index}', without(test, members), test)


def family_of(member: Member) -> str:
    """Return the family of a data set, by default its own name."""
    return getattr(member, 'family', '') or member.name


def superglue(members: Sequence[Member]) -> Iterator[HoldOut]:
    """Yield hold-outs of SuperGLUE's eight data sets, with all others or a number of them to train on."""
    test = tuple(member.name for member in members if member.name in SUPERGLUE)
    shuffled = [name for names in by_cluster(members).values() for name in names]
    random.Random(SUPERGLUE_SEED).shuffle(shuffled)
    drawn = [name for name in shuffled if name not in test]
    yield HoldOut('superglue', without(test, members), test)
    for count in SUPERGLUE_TRAIN:
        if count < len(drawn):
            yield HoldOut(f'superglue_{count}', tuple(drawn[:count]), test)


def diversity(members: Sequence[Member]) -> Iterator[HoldOut]:
    """Yield hold-outs of three clusters, with the first few of seven others to train on: all their data sets,
    or a limited number.
    """
    found = by_cluster(members)
    if not {*DIVERSITY_TEST, *DIVERSITY_TRAIN} <= set(found):
        return
    test = tuple(name for cluster, names in found.items() if cluster in DIVERSITY_TEST for name in names)
    for count in range(1, len(DIVERSITY_TRAIN) + 1):
        trained = [names for cluster, names in found.items() if cluster in DIVERSITY_TRAIN[:count]]
        in_turn = [names[i] for i in range(max(map(len, trained))) for names in trained if i < len(names)]
        yield HoldOut(f'diversity_{count}', tuple(name for names in trained for name in names), test)
        yield HoldOut(f'diversity_{count}_limit_{DIVERSITY_LIMIT}', tuple(in_turn[:DIVERSITY_LIMIT]), test)
    for each in DIVERSITY_EACH:
        yield HoldOut(
            f'diversity_{count}_each_{each}', tuple(name for names in trained for name in names[:each]), test
        )


def shared_corpora(
    members: Sequence[Member], train: Collection[str], test: Collection[str]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the corpora that data sets to train on share with held-out ones: {data set: {corpus: held-out
    data sets}}.

    A corpus that all data sets of a collection descend from does not count, such as the world that the pocket
    collection tells of: otherwise there would be nothing to train on.

    Args:
        members: all data sets of the collection.
        train: the names of those to train on.
        test: the names of those that are held out.
    """
    common = set.intersection(*(set(member.lineage) for member in members if member.cluster))
    held: dict[str, list[str]] = {}
    for member in members:
        for corpus in (corpus for corpus in member.lineage if member.name in test and corpus not in common):
            held.setdefault(corpus, []).append(member.name)
    trained = [member for member in members if member.name in train]
    shared = {
        member.name: {corpus: tuple(held[corpus]) for corpus in member.lineage if corpus in held}
        for member in trained
    }
    return {name: corpora for name, corpora in shared.items() if corpora}
