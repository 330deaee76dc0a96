"""Text beside supervised tasks, by hand."""

import pytest

from flanlite.data.mixing import mixtures
from flanlite.data.specs import registry, sources
from flanlite.data.specs.co_training import co_training
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.specs import DatasetSpec, TextSpec
from flanlite.data.specs.templates import Template


def source(name):
    return sources.InMemory(lambda split: [{'text': split}], name)


def data_set(name, cluster, **more):
    return DatasetSpec(
        name, cluster, source(name), lambda row: {'answer': row['text']}, (Template('{answer}'),), **more
    )


WEB, BOOKS = (TextSpec(name, source(name), lambda row: row['text']) for name in ('web', 'books'))
WHOLE = Collection(
    'tasks', (data_set('a', 'nli'), data_set('b', 'sentiment', max_rate=50)), max_examples=30_000, max_rate=9
)
SIZES = {'a': 400_000, 'b': 1_000, 'web': 900, 'books': 100, 'c': 5, 'd': 7_000}


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})


def rates(collection, name=None):
    registry.register(collection, replace=True)
    mixture = mixtures.resolve(name or collection.name)
    found = mixtures.rates(mixture, {entry.task: SIZES[entry.task] for entry in mixture.entries})
    return {task: rate / sum(found.values()) for task, rate in found.items()}


def test_text_has_its_share_whatever_the_sizes():
    mixed = co_training('mixed', WHOLE, (WEB, BOOKS))
    # 2 to 1; a data set's own cap comes first, max_examples truncates; text has no cap of its collection
    assert rates(mixed) == pytest.approx(
        {'a': 30_000 / 30_050 / 3, 'b': 50 / 30_050 / 3, 'web': 0.9 * 2 / 3, 'books': 0.1 * 2 / 3}
    )
    entries = {entry.task: entry for entry in mixtures.resolve('mixed').entries}
    assert (entries['a'].max_examples, entries['a'].max_rate) == (30_000, 300_000)
    assert (entries['web'].max_examples, entries['web'].max_rate) == (None, None)
    assert rates(mixed, 'mixed_held_out_nli') == pytest.approx({'b': 1 / 3, 'web': 0.6, 'books': 0.2 / 3})


def test_ratio_cap_and_parts():
    mixed = co_training('mixed', WHOLE, (WEB,), ratio=0.5, max_rate=100)
    assert rates(mixed) == pytest.approx({'a': 100 / 150 / 1.5, 'b': 50 / 150 / 1.5, 'web': 1 / 3})
    parted = Collection(
        'parted',
        (data_set('d', 'nli'), data_set('c', 'math')),
        parts=(Part('one', 3, ('d',)), Part('other', 1, ('c',), max_rate=2)),
    )
    mixed = co_training('both', parted, (WEB,), ratio=3)
    assert rates(mixed) == pytest.approx({'d': 0.75 / 4, 'c': 0.25 / 4, 'web': 0.75})
    assert [part.max_rate for part in mixed.parts] == [3_000, 2, None]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'ratio': 0}, 'ratio is 0; expected a number above 0'),
        ({'ratio': float('nan')}, 'ratio is nan'),
        ({'max_rate': 0}, 'max_rate is 0; expected a whole number from 1'),
        ({'texts': ()}, r'texts=\(\); expected a tuple of TextSpec'),
        ({'texts': (data_set('c', 'nli'),)}, 'expected a tuple of TextSpec'),
        ({'supervised': Collection('words', (BOOKS,))}, "'words' has no data set"),
        ({'supervised': Collection('words', (*WHOLE.specs, WEB))}, "'mixed' has two data sets named 'web'"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    given = {'supervised': WHOLE, 'texts': (WEB,)} | settings
    with pytest.raises(ValueError, match=message):
        registry.register(co_training('mixed', **given))
