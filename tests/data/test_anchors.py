"""Anchors of linked text, by hand."""

import html

import pytest

from flanlite.data.specs import anchors
from flanlite.data.specs.sources import InMemory
from flanlite.metrics.span_sets import read_spans

ARTICLES = [
    {'title': 'Red fox', 'text': 'A small animal. It eats <a href="Mouse">mice</a>.'},
    {
        'title': 'mouse',
        'text': 'A tiny animal &amp; food of the <a href="red_fox#Diet">fox</a>. <b>The</b> <a class="x" href="Red%20fox">red\nfox</a> '
        'hunts <a href="U.S.">the U.S. Army</a>. See <a href="Nowhere">nowhere</a>, or <a href="mouse">itself</a>.',
    },
    {'title': 'Sea', 'text': 'Water. ' + 'No links here. ' * 3},
]


def task(articles=ARTICLES, **changes):
    source = InMemory(lambda split: articles if split == 'train' else [], 'articles')
    made = anchors.anchor_task('links', source, lambda row: row['title'], lambda row: row['text'], **changes)
    return made, list(made.source.rows('train'))


def test_a_link_to_a_definition_is_an_answer():
    spec, rows = task(negatives=0)
    assert rows == [
        {'passage': 'A small animal. It eats mice.', 'definition': 'A tiny animal & food of the fox. The red fox hunts the U.S. Army. See nowhere, or itself.',
         'answer': 'mice'},
        {'passage': 'A tiny animal & food of the fox. The red fox hunts the U.S. Army. See nowhere, or itself.', 'definition': 'A small animal. It eats mice.',
         'answer': 'fox; red fox'},
    ]  # fmt: skip
    assert read_spans(spec.example(rows[1])['answers'][0]) == {'fox', 'red fox'}
    _, rows = task(negatives=0, words=8, definition_words=3)
    assert [(row['passage'], row['definition'], row['answer']) for row in rows] == [
        ('A small animal. It eats mice.', 'A tiny animal', 'mice'),
        ('A tiny animal & food of the fox.', 'A small animal.', 'fox'),
        ('The red fox hunts the U.S. Army.', 'A small animal.', 'red fox'),
    ]


def test_tags_may_be_escaped():
    """As WikiExtractor 3 writes them where it is not told otherwise."""
    escaped = [row | {'text': html.escape(row['text'], quote=False)} for row in ARTICLES]
    assert task(escaped, negatives=0)[1] == task(negatives=0)[1]


def test_definitions_without_a_link_have_no_answer():
    spec, rows = task(seed=3)
    assert len(rows) == 4 and sum(row['answer'] == 'none' for row in rows) == 2
    for row in rows:
        if row['answer'] == 'none':
            assert row['definition'].startswith('Water.'), 'neither the article itself nor one it links to'
            assert not read_spans(spec.example(row)['answers'][0])
    assert list(spec.source.rows('train')) == rows and list(spec.source.rows('train[1:3]')) == rows[1:3]
    fewer = [task(negatives=0.5, seed=seed)[1] for seed in range(40)]
    assert 20 < sum(len(each) - 2 for each in fewer) < 60, 'one for each second link'
    assert spec.fingerprint() != task(seed=4)[0].fingerprint() != task(words=9)[0].fingerprint()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'words': 0}, 'words is 0; expected a whole number from 1'),
        ({'negatives': -1.0}, 'negatives is -1.0; expected a number from 0'),
        ({'definition_words': 2.5}, 'definition_words is 2.5'),
    ],
)
def test_numbers_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        task(**settings)
