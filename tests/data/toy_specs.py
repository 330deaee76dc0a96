"""Toy data sets for the tests of the data side."""

import dataclasses

from flanlite.data.cache.view import BuildOptions
from flanlite.data.specs import sources, text
from flanlite.data.specs.specs import DatasetSpec, Splits, TextSpec
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies

BYTES = vocabularies.load('bytes')
OPTIONS = {field.name for field in dataclasses.fields(BuildOptions)}
COLOURS = ('red', 'green', 'blue')
TEMPLATES = tuple(
    Template(f'Question {number}: {{question}}\n\n{{options_}}\n{{{{{number}}}}}', '{answer}')
    for number in range(4)
) + (Template('Ask something about {thing} that is answered by {answer}.', '{question}', inverted=True),)


def make_rows(split):
    """Make rows whose colours are sorted, as labels are in many a test file."""
    count = {'train': 23, 'test': 12}[split]
    return [
        {
            'id': index,
            'thing': f'{split} thing {index}',
            'number': index % 5,
            'colour': index * 3 // count,
            'skip': index % 6 == 5,
        }
        for index in range(count)
    ]


def colours(name='toy_colours', **changes):
    """Make a data set of three options, whose every sixth row is dropped."""
    settings = {
        'cluster': 'nli',
        'source': sources.InMemory(make_rows),
        'fields': lambda row: {
            'question': text.concat('Which colour has ', row['thing'], '?'),
            'thing': row['thing'],
            'number': row['number'],
            'answer': row['colour'],
        },
        'options': COLOURS,
        'keep': lambda row: text.negate(row['skip']),
        'templates': TEMPLATES,
        'baselines': (Template('{question} Answer:'),),
        'splits': Splits('train', 'test[:50%]', 'test'),
    }
    return DatasetSpec(name, **(settings | changes))


def choices(name='toy_choices', **changes):
    """Make a data set whose rows have options and several right answers of their own."""
    settings = {
        'cluster': 'closed_book_qa',
        'source': sources.InMemory(
            lambda split: [
                {
                    'q': f' What is {index}? ',
                    'choices': [f'{index}a', f'{index}b', f'{index}c'][: 2 + index % 2],
                    'right': index % 2,
                    'accepted': [f'{index}x'] * (index % 3),
                    'info': {'ids': [index], 'note': 'é ünï'},
                }
                for index in range(9)
            ]
        ),
        'fields': lambda row: {
            'question': text.strip(row['q']),
            'note': row['info']['note'],
            'options': row['choices'],
            'answer': row['right'],
            'answers': row['accepted'],
        },
        'templates': (Template('{question} ({note})\n{options_}'), Template('{question}')),
        'splits': Splits('train', None, 'test'),
    }
    return DatasetSpec(name, **(settings | changes))


def prose(name='toy_prose', **changes):
    """Make plain text."""
    settings = {
        'source': sources.InMemory(
            lambda split: [{'text': f'{split} {index} ' + 'word ' * index} for index in range(8)]
        ),
        'text': lambda row: row['text'],
        'length': 20,
    }
    return TextSpec(name, **(settings | changes))


def separate(settings):
    """Part the settings of a view from those that say how it is built."""
    options = {name: value for name, value in settings.items() if name in OPTIONS}
    return {name: value for name, value in settings.items() if name not in OPTIONS}, options
