"""Templates of strangers that loop or grow without end are ended, in any thread, before they take memory."""

import concurrent.futures
import resource

import pytest

from flanlite import sandbox

pytestmark = pytest.mark.smoke

DOUBLED = (
    '{%% set n = namespace(x=%s) %%}{%% for i in range(60) %%}{%% set n.x = %s %%}{%% endfor %%}{{ n.x }}'
)
A, B = "('a' * 99999)", "('b' * 99999)"
FAULTS = [  # a template, and what is said of it
    ('{{ "x" * 10**9 }}', 'too long'),
    ('{{ [1] * 10**9 }}', 'too long'),
    ('{{ 10 ** 10 ** 10 ** 10 }}', 'too large|power above 64'),
    (DOUBLED % ('10', 'n.x * n.x'), 'a number that is too large'),
    (DOUBLED % ("'ab'", 'n.x ~ n.x'), 'more than 1,048'),
    (DOUBLED % ("'ab'", 'n.x + n.x'), 'more than 1,048'),
    (DOUBLED % ('[1]', '[n.x, n.x]'), 'more than 1,048'),
    ('{{ "x"|center(10**9) }}', 'center makes'),
    ('{{ "x".ljust(10**9) }}', 'ljust makes'),
    ('{{ "x"|attr("zfill")(10**9) }}', 'zfill makes'),
    ('{{ "%1000000000d" % 1 }}', 'too long'),
    ('{{ "%*d" % (10**9, 1) }}', 'too long'),
    ('{{ "{:1000000000}".format(1) }}', 'format makes'),
    ('{{ "{0:{1}}".format(1, 10**9) }}', 'format makes'),
    ('{{ "%1000000000d"|format(1) }}', 'format makes'),
    (f'{{{{ {A}|replace("a", {B}) }}}}', 'replace makes'),
    (f'{{{{ {A}.replace("a", {B}) }}}}', 'replace makes'),
    (f'{{{{ {A}.join({B}) }}}}', 'join makes'),
    (f'{{{{ ([{A}] * 99999)|join }}}}', 'too long'),
    ('{{ ("a\n" * 99999)|indent(99999) }}', 'indent makes'),
    ('{{ ("\t" * 99999).expandtabs(99999) }}', 'expandtabs makes'),
    ('{{ ("%(a)s" * 99999) % {"a": "b" * 99999} }}', 'too long'),
    ('{{ range(99999)|map("center", 99999)|list }}', 'in all'),
    ('{{ [1]|slice(10**9)|list }}', 'slice makes'),
    ('{{ (5).to_bytes(10**9, "big") }}', 'to_bytes makes'),
    ('{% for i in range(10**9) %}{% endfor %}', 'Range too big'),
    (
        f'{{% macro m() %}}{{% for i in range(99999) %}}{"y" * 9999}{{% endfor %}}{{% endmacro %}}{{{{ m() }}}}',
        'in all',
    ),
    ('{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}', 'too deep'),
    ('{{' + '(' * 3_000 + '1' + ')' * 3_000 + '}}', 'too deep'),
    ('{{ x.__class__.__mro__ }}', 'SecurityError'),
    ('{{ 1 / 0 }}', 'ZeroDivisionError'),
    ('{% include "a" %}', 'no loader'),
    ('{{ x', 'TemplateSyntaxError'),
]
ENDLESS = [
    '{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}',
    '{% for a in range(99999) recursive %}{% if loop.depth < 3 %}{{ loop(range(99999)) }}{% endif %}{% endfor %}',
    '{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}',
]


@pytest.mark.parametrize(('template', 'words'), FAULTS)
def test_a_template_that_grows_is_ended_before_it_has_grown(template, words):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    environment = sandbox.Limited()
    with pytest.raises(sandbox.TemplateFault, match=words) as raised:
        environment.filled(environment.compiled(template), {'x': 'a'})
    assert '\n' not in str(raised.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, 'KiB'


def test_a_template_that_loops_is_ended_in_any_thread(monkeypatch):
    monkeypatch.setattr(sandbox, 'SECONDS', 0.3)

    def fill(template):
        environment = sandbox.LimitedImmutable()
        with pytest.raises(sandbox.TemplateFault, match=r'takes longer than 0\.3 seconds'):
            environment.filled(environment.compiled(template), {})
        return True

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        assert all(threads.map(fill, ENDLESS))


@pytest.mark.parametrize(
    ('template', 'text'),
    [
        ('{% for i in range(3) %}{{ loop.index }}{{ i ~ "a" }},{% endfor %}', '10a,21a,32a,'),
        ('{{ texts|join(", ")|upper }} {{ texts|length }} {{ 2 ** 10 * 3 }}', 'ONE, TWO 2 3072'),
        (
            '{{ "%s of %d" % (texts[0], 10**12) }} {{ "{:,} {}".format(10**9, "a") }}',
            'one of 1000000000000 1,000,000,000 a',
        ),
        (
            '{% for i in texts recursive %}{{ i }}{% if loop.depth < 2 %}{{ loop(texts) }}{% endif %}{% endfor %}',
            'oneonetwotwoonetwo',
        ),
        (
            '{% set n = namespace(t=[]) %}{% for i in texts %}{% set n.t = n.t + [i] %}{% endfor %}{{ n.t }}',
            "['one', 'two']",
        ),
        ('{{ long|replace("a", "bb")|length }} {{ long|truncate(9) }}', '4000000 aaaaaa...'),
    ],
)
def test_other_templates_are_filled_as_jinja_does(template, text):
    environment = sandbox.Limited()
    assert (
        environment.filled(environment.compiled(template), {'texts': ['one', 'two'], 'long': 'a' * 2_000_000})
        == text
    )
