"""Clusters and hold-outs on a toy collection; those of FLAN 2021 are held in
tests/mixtures/test_flan2021_splits.py.
"""

import dataclasses
import re

import pytest

from flanlite.data.specs import clusters
from flanlite.data.specs.specs import Splits


@dataclasses.dataclass(frozen=True)
class Member:
    """The fields of a data set that a hold-out depends on."""

    name: str
    cluster: str | None
    family: str = ''
    lineage: tuple[str, ...] = ()
    splits: Splits = dataclasses.field(default_factory=Splits)


TOY = (
    Member('text', None),
    Member('sums', 'math'),
    Member('stars', 'sentiment', lineage=('films',)),
    Member('moods', 'sentiment', lineage=('letters',)),
    Member('round_1', 'nli', 'rounds', lineage=('wiki',)),
    Member('round_2', 'nli', 'rounds', lineage=('wiki', 'films')),
    Member('claims', 'nli'),
    Member('twins', 'paraphrase', lineage=('letters',)),
    Member('schemas', 'nli', splits=Splits(None, None, 'test')),
)


def test_paper_overlaps():
    assert clusters.OVERLAPS == {
        'nli': ('paraphrase',),
        'paraphrase': ('nli',),
        'reading_comprehension': ('reading_comprehension_commonsense',),
        'commonsense': ('reading_comprehension_commonsense',),
        'reading_comprehension_commonsense': ('reading_comprehension', 'commonsense'),
    }


def test_the_papers_twelve_clusters():
    assert len(clusters.CLUSTERS) == len(set(clusters.CLUSTERS)) == 17
    assert len(clusters.PAPER_CLUSTERS) == 12
    assert sorted(name for names in clusters.PAPER_CLUSTERS.values() for name in names) == sorted(
        clusters.CLUSTERS
    )


def test_held_out_cluster():
    found = clusters.get_hold_out('nli', TOY)
    assert found.train == ('text', 'sums', 'stars', 'moods') and found.removed == ('paraphrase',)
    assert found.test == ('round_1', 'round_2', 'claims', 'schemas')
    assert clusters.get_hold_out('math', TOY).train == (
        'text',
        'stars',
        'moods',
        'round_1',
        'round_2',
        'claims',
        'twins',
    )


@pytest.mark.parametrize(
    ('name', 'train', 'removed'),
    [
        ('math+sentiment', ('text', 'round_1', 'round_2', 'claims', 'twins'), ()),
        ('nli+math', ('text', 'stars', 'moods'), ('paraphrase',)),
        ('nli+paraphrase', ('text', 'sums', 'stars', 'moods'), ()),
        ('nli_first_1', ('text', 'sums'), ('paraphrase',)),
        ('nli_each_1', ('text', 'sums', 'stars'), ('paraphrase',)),
        ('math_first_2_each_1', ('text', 'stars', 'round_1'), ()),
        ('math_each_2', ('text', 'stars', 'moods', 'round_1', 'round_2', 'twins'), ()),
    ],
)
def test_several_clusters_and_some_of_the_others(name, train, removed):
    found = clusters.get_hold_out(name, TOY)
    assert (found.name, found.train, found.removed) == (name, train, removed)
    held = name.split('_')[0].split('+')
    assert found.test == tuple(member.name for member in TOY if member.cluster in held)


@pytest.mark.parametrize('name', ['nli_first_0', 'nli_first_3', 'nli_each_0', 'nli+math_first_2'])
def test_numbers_of_clusters_that_are_not_there(name):
    with pytest.raises(ValueError, match=f'{re.escape(name)}.*expected _first_1 to _first_[12], .*_each_1'):
        clusters.get_hold_out(name, TOY)


def test_several_clusters_are_each_named_once_and_leave_some():
    with pytest.raises(ValueError, match=r"'nli\+math\+nli'; expected each cluster once"):
        clusters.get_hold_out('nli+math+nli', TOY)
    with pytest.raises(ValueError, match='leaves no cluster to train on; hold out fewer'):
        clusters.get_hold_out('nli+math+sentiment_first_1', TOY)


@pytest.mark.parametrize('name', ['nli+', '+nli', 'nli+maths', 'nli_first_', 'nli_first_x', 'text_first_1'])
def test_hold_outs_of_unknown_clusters(name):
    with pytest.raises(ValueError, match='unknown cluster'):
        clusters.get_hold_out(name, TOY)


def test_clusters_and_single_data_sets_are_held_out_together():
    intra = clusters.get_hold_out('intra_0', TOY)
    found = clusters.get_hold_out('math+intra_0', TOY)
    assert set(found.test) == {*intra.test, *clusters.get_hold_out('math', TOY).test}
    assert set(found.train) == {m.name for m in TOY if m.splits.train} - set(found.test)
    assert clusters.get_hold_out('nli+intra_0', TOY).removed == clusters.get_hold_out('nli', TOY).removed
    with pytest.raises(ValueError, match='unknown cluster'):
        clusters.get_hold_out('math+intra_0+maths', TOY)


def test_intra_cluster_hold_outs_keep_families_together():
    hold_outs = [clusters.get_hold_out(f'intra_{index}', TOY) for index in range(clusters.INTRA_HOLD_OUTS)]
    for found in hold_outs:
        assert sorted(found.train + found.test) == sorted(
            member.name for member in TOY if member.splits.train
        )
        assert ('round_1' in found.test) == ('round_2' in found.test) != ('claims' in found.test)
        assert ('stars' in found.test) != ('moods' in found.test)
        assert {'text', 'sums', 'twins'} <= set(found.train)
    assert {name for found in hold_outs[:2] for name in found.test} == {
        'stars',
        'moods',
        'round_1',
        'round_2',
        'claims',
    }


def test_hold_outs_that_a_collection_does_not_allow():
    assert set(clusters.hold_outs(TOY)) == {'nli', 'sentiment', 'paraphrase', 'math'} | {
        f'intra_{index}' for index in range(10)
    }
    assert set(clusters.hold_outs(TOY[:2])) == {'math'}


def test_shared_corpora():
    train, test = ('stars', 'moods', 'twins'), ('round_1', 'round_2')
    assert clusters.shared_corpora(TOY, train, test) == {'stars': {'films': ('round_2',)}}
    assert clusters.shared_corpora(TOY, ('twins',), ('stars', 'moods')) == {'twins': {'letters': ('moods',)}}
    assert clusters.shared_corpora(TOY, ('sums',), test) == {}
    assert clusters.shared_corpora((TOY[4], TOY[5]), ('round_1',), ('round_2',)) == {}, (
        'what all descend from is passed over'
    )


def test_unknown_names_get_a_hint():
    with pytest.raises(ValueError, match='did you mean paraphrase'):
        clusters.check_cluster('paraphrases')
    with pytest.raises(
        ValueError, match=r'did you mean intra_1.*the clusters are nli, paraphrase.*intra_0 to intra_9'
    ):
        clusters.get_hold_out('intra_11', TOY)
