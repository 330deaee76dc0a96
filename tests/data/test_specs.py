import dataclasses
import re

import pytest
from toy_specs import TEMPLATES, choices, colours, prose

from flanlite.data.specs import linting, registry, specs, text
from flanlite.data.specs.collection import Collection, Prompted
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})


def test_example_has_texts_options_and_answers():
    row = {'thing': 'a door', 'number': 3, 'colour': 1, 'skip': False}
    example = colours().example(row)
    assert example['texts'] == {
        'question': 'Which colour has a door?',
        'thing': 'a door',
        'number': '3',
        'answer': 'green',
        'options_': 'OPTIONS:\n- red\n- green\n- blue',
    }
    assert (example['options'], example['answers']) == (('red', 'green', 'blue'), ('green',))
    assert colours().example(row | {'skip': True}) is None


def test_a_row_may_bring_options_and_answers():
    row = {'q': ' Why? ', 'choices': ['a', 'b'], 'right': 1, 'accepted': ['b', 'B'], 'info': {'note': ''}}
    example = choices().example(row)
    assert (example['options'], example['answers'], example['texts']['answer']) == (
        ('a', 'b'),
        ('b', 'B'),
        'b',
    )
    assert choices().example(row | {'accepted': []})['answers'] == ('b',)


@pytest.mark.parametrize('field, value, said', [
    ('number', 1.5, 'is a float'), ('number', True, 'is a bool'), ('number', None, 'is a NoneType'),
    ('answer', 3, 'none of the options'), ('answer', -1, 'none of the options'), ('answer', 1.0, 'none of the options'),
    ('answer', None, 'none of the options'), ('answer', 'pink', 'none of the options'),
    ('options', 'red', 'expected a list of texts'), ('options', [1, 2], 'expected a list of texts'),
    ('answers', 'green', 'expected a list of texts'), ('answers', None, 'expected a list of texts'),
])  # fmt: skip
def test_fields_that_cannot_be(field, value, said):
    spec = colours(fields=lambda row: {'answer': 1, field: value})
    with pytest.raises(ValueError, match=f'toy_colours.*{said}'):
        spec.example({'skip': False})
    with pytest.raises(ValueError, match='expected an answer among them'):
        colours(fields=lambda row: {'question': row['thing']}).example({'skip': False, 'thing': 'a door'})


def test_styles():
    spec = colours()
    assert spec.style_templates('instructions') == TEMPLATES
    assert spec.style_templates('baseline') == spec.baselines
    assert [template.inputs for template in spec.style_templates('fields')] == ['{question}']
    with pytest.raises(ValueError, match='expected one of instructions, baseline, fields'):
        spec.style_templates('plain')


@pytest.mark.parametrize('change, said', [
    ({'name': ''}, "got the name ''; expected letters, digits"),
    ({'name': 'a/b'}, "got the name 'a/b'"), ({'name': 'a*'}, 'got the name'), ({'name': 'a b'}, 'got the name'),
    ({'cluster': 'nlii'}, "unknown cluster 'nlii'; did you mean nli"),
    ({'metric': 'acuracy'}, "unknown metric 'acuracy'; did you mean accuracy.*the metrics are accuracy, "
                            "glue_accuracy_f1,.* t5_rouge"),
    ({'metric': ''}, "unknown metric ''; the metrics are"), ({'metric': len}, 'unknown metric <built-in function len>'),
    ({'metric': 'glue_accuracy_f1', 'options': ('Yes', 'No')}, r"the metric 'glue_accuracy_f1' counts the "
        r"answers yes, no, but the options are \('Yes', 'No'\); expected no, yes among them"),
    ({'options': ('a', 'b', 'a')}, r"got options=\('a', 'b', 'a'\); expected different texts, but 'a' is "
                                   r"there 2 times"),
    ({'options': 'yes'}, "got options='yes'; expected a tuple of "
                         "texts"), ({'options': ('a', ' ')}, 'got options=.*not empty'),
    ({'lineage': 'BNC'}, "got lineage='BNC'; expected a tuple of texts"),
    ({'max_examples': 0}, 'max_examples is 0; expected a whole number from '
                          '1'), ({'max_rate': -1}, 'max_rate is -1; expected a whole number from 1'),
    ({'train_examples': -5}, 'train_examples is -5; expected a whole number from 0'),
    ({'templates': ()}, 'it has no templates; expected at least one'),
    ({'templates': Template('{question}')}, r'got templates=Template.*; expected a tuple of Template\(...\)'),
    ({'baselines': ('{question}',)}, r'got baselines=.*; expected a tuple of Template\(...\)'),
])  # fmt: skip
def test_settings_of_a_data_set_that_cannot_be(change, said):
    with pytest.raises(
        ValueError, match=f'^data set {re.escape(repr(change.get("name", "toy_colours")))}: {said}'
    ):
        colours(**change)


@pytest.mark.parametrize('change, said', [
    ({'name': 'a+b'}, 'got the name'), ({'objective': 'mlm'}, "unknown objective 'mlm'; expected "
                                                              "span_corruption or prefix_lm"),
    ({'length': 1}, 'length is 1; expected a whole number from 2'), ({'corruptions': 0}, 'corruptions is 0; expected a whole number from 1'),
    ({'density': 1.0}, 'density is 1.0; expected a number above 0 and below 1'), ({'mean_span': 0.0}, 'mean_span is 0.0; expected a number above 0'),
    ({'longest_target': 0}, 'longest_target is 0'), ({'max_rate': 0}, 'max_rate is 0'), ({'lineage': 'web'}, "got lineage='web'"),
])  # fmt: skip
def test_settings_of_a_text_that_cannot_be(change, said):
    with pytest.raises(ValueError, match=f'^text .*: {said}'):
        prose(**change)


@pytest.mark.parametrize('split', ['', 'train[:-200', 'train]', 'train+', '[:5]', 5])
def test_splits_that_cannot_be(split):
    with pytest.raises(
        ValueError, match=f'got the test split {re.escape(repr(split))}; expected None or such as'
    ):
        specs.Splits(test=split)


def test_splits_that_can_be():
    specs.Splits('train[:-200]+extra', 'train[10%:](pct1_dropremainder)', 'validation[:50%] + test')
    with pytest.raises(ValueError, match='got no split at all'):
        specs.Splits(None, None, None)


@pytest.mark.parametrize('change, said', [
    ({'name': 'a b'}, 'got the name'), ({'max_examples': 0}, 'max_examples is 0'),
    ({'max_rates': {'toy_colours': 0}}, 'toy_colours is 0'),
    ({'max_rates': {'toy_colour': 5}}, "max_rates has 'toy_colour'; did you mean toy_colours.*its data sets "
                                       "are toy_colours"),
    ({'prompted': {'other': Prompted(1, 1)}}, "prompted has 'other'; its data sets are toy_colours"),
])  # fmt: skip
def test_settings_of_a_collection_that_cannot_be(change, said):
    with pytest.raises(ValueError, match=f'^collection .*: {said}'):
        Collection(**({'name': 'toy', 'specs': (colours(),)} | change))


def test_registry():
    first = Collection('first', (colours(), prose()))
    registry.register(first)
    registry.register(first)
    assert registry.find_spec('toy_prose') is first.specs[1]
    assert registry.find_spec('toy') is None
    assert first.clusters() == ('nli',)
    with pytest.raises(ValueError, match='is there already'):
        registry.register(Collection('first', ()))
    with pytest.raises(ValueError, match="in the collection 'first' already"):
        registry.register(Collection('second', (colours(),)))
    # The very same data set is fine, and stays the first collection's.
    registry.register(Collection('sharing', first.specs[:1]))
    assert registry.find_spec('toy_colours') is first.specs[0]
    with pytest.raises(ValueError, match="two data sets named 'toy_choices'"):
        registry.register(Collection('third', (choices(), choices())))


def shout(value):
    return text.concat(value, '!')


def test_fingerprint_changes_with_what_decides_the_text():
    def same(row):
        return {'answer': shout(row['thing'])}

    base = colours(fields=same)
    changed = [
        dataclasses.replace(base, options=('red', 'green')),
        dataclasses.replace(base, templates=TEMPLATES[1:]),
        dataclasses.replace(base, baselines=()),
        dataclasses.replace(base, keep=None),
        dataclasses.replace(base, fields=lambda row: {'answer': shout(row['number'])}),
        dataclasses.replace(base, source=choices().source),
        dataclasses.replace(base, splits=specs.Splits('train[:9]')),
    ]
    assert len({spec.fingerprint() for spec in [base, *changed]}) == 1 + len(changed)
    assert (
        dataclasses.replace(base, cluster='math', licence='other', metric='squad_f1').fingerprint()
        == base.fingerprint()
    )
    assert (
        len(
            {
                prose(**change).fingerprint()
                for change in ({}, {'length': 9}, {'seed': 1}, {'corruptions': 2}, {'density': 0.3})
            }
        )
        == 5
    )


def test_fingerprint_counts_helper_functions(monkeypatch):
    before = colours(fields=lambda row: {'answer': shout(row['thing'])}).fingerprint()
    monkeypatch.setitem(globals(), 'shout', lambda value: text.concat(value, '?'))
    assert colours(fields=lambda row: {'answer': shout(row['thing'])}).fingerprint() != before


LETTERS = ('Alpha', 'Bravo', 'Charlie', 'Delta', 'Echo', 'Foxtrot', 'Golf', 'Hotel', 'India', 'Juliet')
GOOD = tuple(Template(f'{letter} of asking: {{question}}\n{{options_}}\n{letter * 2}') for letter in LETTERS)


def test_lint_of_rows():
    rows = [{'thing': 'a door', 'number': 1, 'colour': 0, 'skip': False}]
    assert list(linting.lint(colours(templates=GOOD), rows)) == []

    def faults(**changes):
        return ' / '.join(linting.lint(colours(templates=GOOD, **changes), rows))

    assert "row 0: the field 'question' is empty" in faults(fields=lambda row: {'question': ' ', 'answer': 1})
    assert 'row 0 cannot be read: KeyError' in faults(
        fields=lambda row: {'question': row['missing'], 'answer': 1}
    )
    hidden = colours(templates=GOOD, fields=lambda row: {'question': row['missing'], 'answer': 1})
    assert next(linting.lint(hidden, rows, split='test')).startswith('test row 0 cannot be read')
    assert 'two options are the same' in faults(
        fields=lambda row: {'question': 'q', 'options': ['red', 'red'], 'answer': 1}
    )
    assert "baseline 0 names the field 'topic'" in faults(baselines=(Template('{topic}'),))
    assert '1 of 2 templates show the options' in '/'.join(
        linting.lint(colours(templates=(GOOD[0], Template('{question}'))), rows)
    )
    told = faults(options=(), baselines=(), fields=lambda row: {'question': 'q', 'answer': 'of asking'})
    assert 'template 9 tells the answer' in told
    assert 'no row is left' in faults(keep=lambda row: False)


def test_specs_are_plain_values():
    assert isinstance(colours(), DatasetSpec)
    assert hash(Collection('c', (), 'bytes')) == hash(Collection('c', (), 'bytes'))
