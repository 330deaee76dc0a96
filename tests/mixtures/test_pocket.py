"""The pocket collection: its world, its templates, its text and its vocabulary."""

import collections
import itertools
import re
import subprocess
import sys

import pytest

from flanlite.data.specs import templates
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import UNK_ID
from flanlite.mixtures import pocket
from flanlite.mixtures.pocket import facts, text, vocabulary, words
from flanlite.mixtures.pocket.world import CASTS, World

SPECS = {spec.name: spec for spec in pocket.COLLECTION.specs}
LENGTHS = (96, 32)


@pytest.fixture(scope='module')
def rows():
    return {
        (name, split): list(spec.source.rows(split))
        for name, spec in SPECS.items()
        for split in ('train', 'validation', 'test')
    }


@pytest.fixture(scope='module')
def documents():
    return [row['text'] for row in itertools.islice(text.documents('train'), 20_000)]


def test_clusters_and_data_sets():
    counts = collections.Counter(spec.cluster for spec in SPECS.values())
    assert len(counts) >= 8
    assert min(counts.values()) >= 2
    assert [name for name in SPECS if not name.startswith('pocket_')] == []


@pytest.mark.parametrize('name', SPECS)
def test_templates(name, rows):
    spec = SPECS[name]
    example = spec.example(rows[name, 'train'][0])
    assert list(templates.lint(spec.templates, tuple(example['texts']))) == []
    assert len(spec.baselines) >= 2
    shown = sum(templates.OPTIONS_FIELD in template.fields() for template in spec.templates)
    assert shown >= 5 or not example['options']
    for template in spec.templates:
        literals = ' '.join(literal for literal, _ in templates.parse(template.inputs)).lower()
        for option in spec.options:
            assert not re.search(rf'\b{option}\b', literals), (
                f'{template.inputs!r} names the option {option!r}'
            )


@pytest.mark.parametrize('name', SPECS)
def test_rows(name, rows):
    spec = SPECS[name]
    for split in ('train', 'validation', 'test'):
        examples = [spec.example(row) for row in rows[name, split]]
        assert len(examples) >= {'train': 1_000, 'validation': 40, 'test': 100}[split]
        answered = [
            (example['texts']['answer'], example['options']) for example in examples if example['options']
        ]
        assert [pair for pair in answered if pair[0] not in pair[1]] == []
        if spec.options:
            shares = collections.Counter(example['texts']['answer'] for example in examples)
            assert min(shares.values()) > 0.6 * max(shares.values())
    trained = {repr(row) for row in rows[name, 'train']}
    assert not any(repr(row) in trained for split in ('validation', 'test') for row in rows[name, split])


def test_rows_are_made_again(rows):
    spec = SPECS['pocket_stories']
    assert list(spec.source.rows('test')) == rows['pocket_stories', 'test']
    assert list(spec.source.rows('train[:5]')) == rows['pocket_stories', 'train'][:5]


def test_worlds_are_disjoint(rows):
    worlds = {split: World(split, 'test') for split in ('train', 'validation', 'test')}
    for one, other in itertools.combinations(worlds.values(), 2):
        assert not set(one.people) & set(other.people)
    for place, thing in itertools.product(words.PLACES, words.THINGS):
        assert sum(world.owns(place, thing) for world in worlds.values()) == 1
    for name in ('pocket_stories', 'pocket_entail', 'pocket_pronouns', 'pocket_to_talo'):
        trained = ' '.join(map(str, rows[name, 'train']))
        assert not any(f' {person} ' in trained for person in worlds['test'].people)


def test_closed_book_facts_are_disjoint(rows):
    for name in ('pocket_animals', 'pocket_lands'):
        asked = {
            split: {(row['topic'], row['question']) for row in rows[name, split]}
            for split in ('train', 'test')
        }
        assert not asked['train'] & asked['test']


def test_texts_fit_the_lengths(rows):
    loaded = vocabularies.load('pocket')
    for name, spec in SPECS.items():
        for row in rows[name, 'test']:
            filled = spec.example(row)['texts']
            for template in spec.templates:
                for side, length in zip((template.inputs, template.targets), LENGTHS, strict=True):
                    assert template.inverted or len(loaded.encode(templates.fill(side, filled))) < length


def test_text_holds_no_template(documents):
    """No run of six words that a template has stands in the text."""

    def runs(line):
        found = re.findall(r'\w+', line.lower())
        return {tuple(found[i : i + 6]) for i in range(len(found) - 5)}

    written = set().union(*map(runs, documents))
    for spec in SPECS.values():
        for template in spec.templates:
            for literal, _ in templates.parse(template.inputs):
                assert not runs(literal) & written, literal


def test_text_holds_no_test_story(documents, rows):
    written = '\n'.join(documents)
    for name, field in (
        ('pocket_news', 'answer'),
        ('pocket_from_talo', 'english'),
        ('pocket_pronouns', 'text'),
    ):
        assert not any(
            row[field].split('. ')[0].rstrip('.') + '.' in written
            for row in rows[name, 'test']
            if ' a ' in row[field]
        )


def test_text_does_not_ask_for_test_facts(documents, rows):
    written = '\n'.join(documents)
    for name in ('pocket_animals', 'pocket_lands'):
        assert not any(row['question'] in written for row in rows[name, 'test'])


def test_text_states_the_facts(documents):
    written = '\n'.join(documents)
    for land in facts.LANDS:
        assert f'The capital of {land} is {facts.LAND_FACTS[land]["capital"]}.' in written
    assert [
        name for name in (*words.BOYS[CASTS['text']], *words.GIRLS, *facts.ANIMALS) if name not in written
    ] == []


def test_vocabulary_is_made_again(tmp_path):
    vocabulary.make(tmp_path / 'pocket.model')
    assert (tmp_path / 'pocket.model').read_bytes() == vocabulary.PATH.read_bytes(), (
        'run python -m flanlite.mixtures.pocket.vocabulary'
    )


def test_vocabulary_knows_the_words(documents):
    loaded = vocabularies.load('pocket')
    counted = re.findall('[a-z]+', ' '.join(documents[:2_000]).lower())
    assert [word for word in set(counted) if len(loaded.encode(word)) != 1] == []
    assert loaded.decode(loaded.encode('Tom asked: "Where?" (Café)')) == 'tom asked: " where? " ( cafe )'
    assert UNK_ID not in loaded.encode('OPTIONS:\n- yes; 1,234 zebras! _ {x}')


def test_import_is_light():
    code = 'import sys, flanlite.mixtures.pocket; print([name for name in ("jax", "tensorflow", "seqio") if name in sys.modules])'
    assert (
        subprocess.run(
            [sys.executable, '-c', code], check=True, capture_output=True, text=True
        ).stdout.strip()
        == '[]'
    )
