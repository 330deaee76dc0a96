"""Passages found by BM25, against its formula in numpy."""

import dataclasses
import importlib.util
import re
import sys

import numpy as np
import pytest

from flanlite.data.rendering import rendering
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import retrieval, text
from flanlite.data.specs.few_examples import few_of
from flanlite.data.specs.retrieval import Retrieved
from flanlite.data.specs.sources import InMemory, JsonLines, MissingDataError, prefer_data_folder
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies

needs_bm25s = pytest.mark.skipif(
    not importlib.util.find_spec('bm25s'),
    reason='needs bm25s, of the extra retrieval',
)
PASSAGES = (
    'The fox lives in the forest.',
    'A whale, the biggest animal, lives in the sea; the sea is deep.',
    'Foxes eat mice.',
    'The sea the sea the sea',
    'Лиса живёт в лесу.',
    'The sea the sea the sea',
    '',
)
QUESTIONS = ('Where does the FOX live?', 'the deep sea', 'лиса', 'Zebra!', '')


def corpus(split):
    return [{'body': passage} for passage in PASSAGES] if split == 'train' else None


def questions(split):
    del split
    return [{'question': question, 'number': number} for number, question in enumerate(QUESTIONS)]


def source(**changes):
    made = Retrieved(
        InMemory(questions, 'questions'),
        InMemory(corpus, 'corpus'),
        lambda row: row['body'],
        lambda row: row['question'],
    )
    return dataclasses.replace(made, **changes)


def scores(query, k1=1.5, b=0.75):
    """Robertson's formula with Lucene's idf, and no factor (k1 + 1)."""
    words = [re.findall(r'\w+', passage.lower()) for passage in PASSAGES]
    lengths = np.array([len(each) for each in words])
    total = np.zeros(len(words))
    for word in re.findall(r'\w+', query.lower()):
        counts = np.array([each.count(word) for each in words])
        found = (counts > 0).sum()
        idf = np.log(1 + (len(words) - found + 0.5) / (found + 0.5))
        total += idf * counts / (counts + k1 * (1 - b + b * lengths / lengths.mean()))
    return total


@needs_bm25s
@pytest.mark.parametrize('number', [1, 2, 3, 100])
def test_the_best_passages_come_first(number):
    found = list(source(number=number).rows('test'))
    assert [row['number'] for row in found] == list(range(len(QUESTIONS)))
    for row in found:
        expected = scores(row['question'])
        order = [place for place in np.argsort(-expected.round(6), kind='stable') if expected[place] > 0]
        assert row['passages'] == [PASSAGES[place] for place in order[:number]], row['question']
    assert found[2]['passages'] == ['Лиса живёт в лесу.'] and found[3]['passages'] == []


@needs_bm25s
def test_passages_are_a_field_of_few_examples_and_exemplars():
    spec = DatasetSpec(
        'asked',
        'closed_book_qa',
        source(number=1),
        lambda row: {
            'passages': text.join(row['passages'], '\n'),
            'question': row['question'],
            'answer': str(row['number']),
        },
        (Template('{passages} | {question}'),),
        keep=lambda row: row['number'] < 3,
    )
    vocabulary = vocabularies.load('bytes')
    shown = list(rendering.texts(spec, 'test', vocabulary, shots=Shots(2, budget=500)))
    assert len(shown) == 3 and all(each.shots == 2 for each in shown)
    assert all('The fox lives in the forest. | Where does the FOX live?' in each.inputs for each in shown)
    few = few_of(spec, 1, 0)
    assert all(row['passages'] for row in few.source.rows('train'))
    assert few.fingerprint() != few_of(dataclasses.replace(spec, source=source(number=2)), 1, 0).fingerprint()


@needs_bm25s
def test_what_cannot_be_retrieved():
    with pytest.raises(MissingDataError, match="split 'train' of a corpus to retrieve from has no text"):
        next(source(corpus=InMemory(lambda split: [{'body': ' '}], 'blank')).rows('test'))
    with pytest.raises(MissingDataError, match='has no text'):
        next(source(corpus=InMemory(lambda split: [{'body': '?! ...'}], 'marks')).rows('test'))
    with pytest.raises(
        ValueError, match=r'Retrieved.text made a NoneType, None, of train row 1; expected a text'
    ):
        next(source(corpus=InMemory(lambda split: [{'body': 'a'}, {'body': None}], 'none')).rows('test'))
    with pytest.raises(ValueError, match=r'Retrieved.query made a int, 0, of test row 0'):
        next(source(query=lambda row: row['number']).rows('test'))
    again = source(source=source())
    with pytest.raises(ValueError, match="test row 0 has a field 'passages' already"):
        next(again.rows('test'))
    with pytest.raises(ValueError, match=r'Retrieved.number is 0; expected a whole number from 1'):
        source(number=0)


def test_rows_and_passages_may_lie_in_the_data_folder(tmp_path):
    for name in ('quiz', 'wiki'):
        (tmp_path / name).mkdir()
    made = source(source=JsonLines('quiz'), corpus=JsonLines('wiki'))
    found = prefer_data_folder(made, tmp_path)
    assert (found.source, found.corpus) == (JsonLines(f'{tmp_path}/quiz'), JsonLines(f'{tmp_path}/wiki'))


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, 'bm25s', None)
    retrieval.open_index.cache_clear()
    with pytest.raises(MissingDataError, match=r'install flanlite\[retrieval\]'):
        next(source().rows('test'))
    assert source().version() == source().version() != source(number=1).version(), 'a cache needs no library'
