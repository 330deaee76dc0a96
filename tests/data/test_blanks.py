"""Blanks of label words, by hand."""

import pytest

from flanlite.data.specs.blanks import blank_task
from flanlite.data.specs.sources import InMemory

LABELS = {'good': ('good', 'Great'), 'bad': ('bad', 'awful'), 'so-so': ('so-so',)}
TEXTS = (
    'I went. I ate soup. It was hot. The soup was GREAT!',
    'It was good. But the tea was bad.',  # the second blank would show a word of another label
    'Goodness, a badger.',
    'Awful, just awful. It was so-so, I mean.',
    'A so-so day.',
    'A good, great day.',
    'ſo-ſo, in old books.',  # which is so-so but for case, by Unicode
)


def task(labels=LABELS, **changes):
    source = InMemory(lambda split: [{'text': text} for text in TEXTS] if split == 'train' else None, 'texts')
    made = blank_task('blanks', source, lambda row: row['text'], labels, **changes)
    return made, list(made.source.rows('train'))


def test_each_sentence_with_one_label_has_a_blank():
    spec, rows = task()
    assert [(row['text'], row['answer']) for row in rows] == [
        ('I ate soup. It was hot. The soup was _!', 'Great'),
        ('It was _.', 'good'),
        ('Awful, just _.', 'awful'),
        ('A _ day.', 'so-so'),
        ('A good, _ day.', 'Great'),
    ]
    for row in rows:
        words = {word: label for label, words in LABELS.items() for word in words}
        assert row['answer'] in row['options'] and sorted(words[each] for each in row['options']) == sorted(
            LABELS
        )
        assert spec.example(row)['texts']['answer'] == row['answer']
    _, alone = task(before=0)
    assert [row['text'] for row in alone if 'tea' in row['text']] == ['But the tea was _.']


def test_options_are_drawn_and_capped():
    orders = {tuple(task(seed=seed)[1][0]['options']) for seed in range(30)}
    assert len(orders) > 6, 'both the order and the words of the other labels are drawn'
    assert task()[1] == task()[1]
    _, rows = task(per_label=1)
    assert [row['answer'] for row in rows] == ['Great', 'awful', 'so-so']
    assert (
        len({task(seed=0)[0].fingerprint(), task(seed=1)[0].fingerprint(), task(before=1)[0].fingerprint()})
        == 3
    )


@pytest.mark.parametrize(
    ('labels', 'settings', 'message'),
    [
        ({'good': ('good',)}, {}, 'expected at least two'),
        ({'good': ('good',), 'bad': ()}, {}, 'each with a word'),
        ({'good': ('fine',), 'bad': ('Fine',)}, {}, 'fine'),
        ({'good': 'good', 'bad': 'bad'}, {}, 'expected a tuple of words for each'),
        (LABELS, {'per_label': 0}, 'per_label is 0'),
        (LABELS, {'before': -1}, 'before is -1'),
    ],
)
def test_labels_that_cannot_be(labels, settings, message):
    with pytest.raises(ValueError, match=message):
        task(labels, **settings)
