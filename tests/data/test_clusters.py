import pytest

from flanlite.data import clusters


def test_paper_overlaps():
    assert clusters.also_removed('nli') == ('paraphrase',)
    assert clusters.also_removed('paraphrase') == ('nli',)
    assert clusters.also_removed('reading_comprehension') == ('reading_comprehension_commonsense',)
    assert clusters.also_removed('commonsense') == ('reading_comprehension_commonsense',)
    assert clusters.also_removed('reading_comprehension_commonsense') == ('reading_comprehension', 'commonsense')
    assert all(clusters.also_removed(name) == () for name in clusters.CLUSTERS if name not in clusters.OVERLAPS)


def test_training_clusters():
    assert clusters.training_clusters('nli', ('sentiment', 'paraphrase', 'nli', 'math')) == ('sentiment', 'math')
    held = {name: clusters.training_clusters(name, clusters.CLUSTERS) for name in clusters.CLUSTERS}
    assert all(name not in kept for name, kept in held.items())
    assert len(clusters.CLUSTERS) == len(set(clusters.CLUSTERS)) == 17


def test_unknown_cluster_gets_a_hint():
    with pytest.raises(ValueError, match='did you mean paraphrase'):
        clusters.check_cluster('paraphrases')
