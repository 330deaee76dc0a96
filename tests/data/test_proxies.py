"""Tasks that plain text answers by itself, and few examples of a data set."""

import dataclasses

import pytest

from flanlite.data.specs import few_examples, proxies, sources, specs
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.specs import DatasetSpec, Splits, TextSpec
from flanlite.data.specs.templates import Template

TEXTS = [
    [f'Text {number} has sentence {place}{"!" if place % 2 else "."}' for place in range(1 + number % 5)]
    for number in range(60)
]


def rows(split):
    made = [{'text': ' '.join(sentences)} for sentences in TEXTS]
    return [*made[:5], {'text': ' '}, *made[5:]] if split == 'train' else None


def of_kind(kind, **settings):
    source = sources.InMemory(rows, 'texts')
    made = proxies.proxy_tasks(
        'any', source, lambda row: row['text'], splits=Splits('train', None, None), **settings
    )
    (spec,) = (spec for spec in made if spec.name == f'any_{kind}')
    return spec, list(spec.source.rows('train'))


def place_of(sentence):
    words = sentence.rstrip('.!').split()
    return int(words[1]), int(words[4])


def test_sentence_pairs_are_next_near_or_far():
    spec, found = of_kind('sentence_pair')
    counts = [0, 0, 0]
    for row in found:
        (text, place), (other, there) = place_of(row['first']), place_of(row['second'])
        expected = 0 if other != text else 2 if there == place + 1 else 1
        assert row['answer'] == expected and not (expected == 1 and abs(there - place) < 2)
        counts[expected] += 1
    assert min(counts) > 10
    example = spec.example(found[0])
    assert example['options'] == ('no', 'maybe', 'yes')
    assert 'Does the second line go on' in spec.templates[0].inputs
    assert list(spec.source.rows('train')) == found and of_kind('sentence_pair', seed=1)[1] != found
    assert list(spec.source.rows('train[:3]')) == found[:3]
    assert of_kind('sentence_pair', seed=1)[0].fingerprint() != spec.fingerprint()


def test_of_the_choices_one_comes_next():
    for unified, counts in ((False, {6}), (True, set(range(2, 17)))):
        _, found = of_kind('multiple_choice', unified=unified)
        assert {len(row['options']) for row in found} <= counts and len(found) > 50
        assert len({row['answer'] for row in found}) >= min(10, max(counts))
        for row in found:
            query = row['question'].split('\n')[0] if unified else row['query']
            text, place = place_of(query)
            asked = [place_of(option) for option in row['options']]
            assert asked[row['answer']] == (text, place + 1)
            near = [there for other, there in asked if other == text]
            assert len(near) <= 2 and len({other for other, _ in asked}) >= len(asked) - 1


def test_a_classifier_labels_single_sentences():
    spec, found = of_kind('single_sentence', label=lambda sentences: [len(each) % 5 for each in sentences])
    assert [row['sentence'] for row in found] == [sentence for each in TEXTS for sentence in each]
    assert [row['answer'] for row in found] == [len(row['sentence']) % 5 for row in found]
    assert spec.example(found[0])['answers'][0] in proxies.STAR_LABELS
    spec, found = of_kind('single_sentence', label=lambda sentences: [0] * len(sentences), unified=True)
    assert spec.templates == (Template('{question}\n\n{options_}', '{answer}'),)
    assert found[0]['question'].startswith(TEXTS[0][0])


def numbered(split):
    return [{'n': number} for number in range({'train': 100, 'test': 7}[split])]


def test_few_examples_train_and_as_many_validate():
    def spec(name, **fields):
        return DatasetSpec(
            name, 'nli', sources.InMemory(numbered, name), lambda row: {'n': str(row['n']), 'answer': 'yes'},
            (Template('{n}', '{answer}'),), splits=Splits('train[10:]', None, 'test'), train_examples=90, **fields,
        )  # fmt: skip

    text = TextSpec('words', sources.InMemory(rows), lambda row: row['text'])
    whole = Collection('numbers', (spec('a'), spec('b', family='a'), text), max_rates={'a': 5})
    small = few_examples.few_examples(whole, 8, seed=3)
    assert small.name == 'numbers_8examples_seed3'
    assert [each.name for each in small.specs] == ['a_8examples_seed3', 'b_8examples_seed3']
    assert [each.family for each in small.specs] == ['a', 'a']
    drawn = {
        (each.name, split): [row['n'] for row in each.source.rows(each.splits.get(split))]
        for each in small.specs
        for split in specs.SPLITS
    }
    first = drawn['a_8examples_seed3', 'train'], drawn['a_8examples_seed3', 'validation']
    assert [len(each) for each in first] == [8, 8] and len({*first[0], *first[1]}) == 16
    assert min(*first[0], *first[1]) >= 10
    assert drawn['a_8examples_seed3', 'test'] == list(range(7))
    assert drawn['b_8examples_seed3', 'train'] != first[0], 'each data set has a draw of its own'
    again = few_examples.few_examples(whole, 8, seed=4).specs[0]
    assert [row['n'] for row in again.source.rows('train')] != first[0]
    assert again.fingerprint() != small.specs[0].fingerprint()
    # Rows that the data set leaves out are not drawn; parts of a collection have no share of few examples.
    even = dataclasses.replace(spec('a'), keep=lambda row: row['n'] % 4 == 0)
    parts = (Part('one', 1.0, ('a',)), Part('two', 2.0, ('b',)))
    kept = few_examples.few_examples(Collection('parts', (even, spec('b')), parts=parts), 8).specs[0]
    assert [row['n'] % 4 for split in ('train', 'validation') for row in kept.source.rows(split)] == [0] * 16
    with pytest.raises(
        ValueError, match='a has 90 rows to train on; expected at least 100, of which 50 train'
    ):
        list(few_examples.few_examples(whole, 50).specs[0].source.rows('train'))
    with pytest.raises(ValueError, match='examples=0; expected at least 1'):
        few_examples.few_examples(whole, 0)
    with pytest.raises(ValueError, match="no data set of 'words' has rows"):
        few_examples.few_examples(Collection('words', (text,)))
