import pytest

from flanlite.data.specs import templates
from flanlite.data.specs.templates import Template


def test_fill():
    assert templates.fill('{a} and {{b}}: {c}!', {'a': 'x{y}', 'c': ''}) == 'x{y} and {b}: !'
    assert Template('{b} {a} {b}', '{c}{a}').fields() == ('b', 'a', 'c')


def test_missing_field_is_named():
    with pytest.raises(ValueError, match=r"names the field 'premiss'.*\['hypothesis', 'premise'\]"):
        templates.fill('{premiss}', {'premise': '', 'hypothesis': ''})


@pytest.mark.parametrize('text', ['{a', '{a.b}', '{0}', '{}', '{a!r}', '{a:>3}'])
def test_bad_places_are_refused(text):
    for make in (
        lambda: templates.fill(text, {'a': ''}),
        lambda: Template(text),
        lambda: Template('{a}', text),
    ):
        with pytest.raises(ValueError, match='template'):
            make()


def test_templates_without_a_field_are_refused():
    with pytest.raises(
        ValueError, match=r"inputs without a field: 'What\?'; expected at least one, such as \{premise\}"
    ):
        Template('What?')
    with pytest.raises(
        ValueError, match=r"targets without a field: 'yes'; expected at least one, such as \{answer\}"
    ):
        Template('{a}', 'yes')


def test_options_block():
    assert templates.options_block(['yes', 'no']) == 'OPTIONS:\n- yes\n- no'


FAULTS = {
    'expected 10': (),
    "names the field 'c'": (Template('{a} {c}'),),
    'shows its own target {answer}': (Template('{a} {answer}'),),
    'not marked inverted': (Template('{answer}', '{a}'),),
    'templates 0 and 1 have nearly the same wording': (Template('Say {a}'), Template('say  {a} ')),
    '0 and 2 have nearly the same': (
        Template('{a} What is it about?'),
        Template('{a}'),
        Template('What is it all about?\n\n{a}'),
    ),
    'inverted templates, expected at most 3': (Template('{answer}', '{a}', inverted=True),) * 4 + (Template('{a}?'),),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_lint_finds(fault):
    assert any(fault in found for found in templates.lint(FAULTS[fault], ['a', 'answer']))


def test_lint_passes_good_templates():
    good = [Template(f'Way {number}: {{a}}') for number in range(9)] + [
        Template('{answer}?', '{a}', inverted=True)
    ]
    assert list(templates.lint(good, ['a', 'answer'])) == []
