"""The pocket world's collections for co-training, retrieval, schemas, blanks, anchors and matching."""

import collections
import importlib.util
import itertools

import pytest

from flanlite.data.mixing import mixtures
from flanlite.data.specs import linting, templates
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import UNK_ID
from flanlite.metrics.span_sets import read_spans
from flanlite.mixtures.pocket import facts, retrieval, schemas

NAMES = ('bigbio', 'label_blanks', 'anchors', 'match')
LENGTHS = {'bigbio': 96, 'label_blanks': 128, 'anchors': 128, 'match': 96, 'retrieval': 144}


def rows_of(spec, split='train', count=300):
    return list(itertools.islice(spec.source.rows(spec.splits.get(split)), count))


def longest(spec, rows):
    vocabulary = vocabularies.load('pocket')
    filled = [spec.example(row)['texts'] for row in rows]
    texts = [templates.fill(template.inputs, each) for template in spec.templates for each in filled]
    encoded = vocabulary.encode_batch(texts)
    assert not any(UNK_ID in ids for ids in encoded)
    return max(map(len, encoded))


@pytest.mark.parametrize('name', NAMES)
def test_data_sets_are_sound_and_fit(name):
    collection = mixtures.resolve(f'pocket_{name}').collection
    for spec in collection.specs:
        rows = rows_of(spec)
        assert len(rows) > 50, spec.name
        assert list(linting.lint(spec, rows, collection.templates)) == []
        assert longest(spec, rows) < LENGTHS[name], spec.name
        for row in rows:
            spans = read_spans(row['answer']) if spec.metric == 'span_sets' and 'text' in row else ()
            parts = [part.partition(': ')[2] or part for span in spans for part in span.split(' | ')]
            assert spec.name == 'pocket_bigbio_text' or all(part in row['text'] for part in parts), row


def test_text_stands_beside_all_data_sets():
    mixture = mixtures.resolve('pocket_exmix_held_out_sentiment')
    sizes = {entry.task: 2_000 for entry in mixture.entries} | {'pocket_spans': 600_000}
    rates = mixtures.rates(mixture, sizes)
    assert rates['pocket_spans'] / sum(rates.values()) == pytest.approx(2 / 3)
    assert 'pocket_reviews' not in rates and len(rates) == 24


@pytest.mark.skipif(not importlib.util.find_spec('bm25s'), reason='needs bm25s, of the extra retrieval')
def test_passages_tell_the_answer():
    for spec in retrieval.COLLECTION.specs:
        rows = rows_of(spec, 'test', 200)
        assert sum(row['answer'] in ' '.join(row['passages']) for row in rows) > 0.75 * len(rows)
        assert longest(spec, rows) < LENGTHS['retrieval']
        assert not any('?' in passage for row in rows for passage in row['passages']), (
            'no question is in the corpus'
        )


def test_documents_are_annotated_where_they_say():
    for row in itertools.islice(schemas.ROWS['kb']('test'), 100):
        (text,) = row['passages'][0]['text']
        for part in (*row['entities'], *(event['trigger'] for event in row['events'])):
            ((start, stop),) = part['offsets']
            assert text[start:stop] == part['text'][0]
        assert len({part['id'] for part in row['entities']}) == len(row['entities'])


def test_answers_are_as_many_of_each():
    for name in ('label_blanks', 'match'):
        for spec in mixtures.resolve(f'pocket_{name}').collection.specs:
            counts = collections.Counter(
                spec.example(row)['texts']['answer'] for row in rows_of(spec, count=1_000)
            )
            assert len(counts) >= 2 and min(counts.values()) > 0.02 * sum(counts.values()), (
                spec.name,
                counts,
            )
    (spec,) = mixtures.resolve('pocket_anchors').collection.specs
    found = rows_of(spec)
    described = {row['answer']: row['definition'] for row in found if row['answer'] != 'none'}
    for name, (home, food, colour, size) in facts.ANIMALS.items():
        for anchor in {f'a {name}', f'the {name}'} & set(described):
            assert all(word in described[anchor] for word in (facts.HOMES[home], food, colour, size[1:]))
    assert 0.4 < sum(row['answer'] == 'none' for row in found) / len(found) < 0.6
