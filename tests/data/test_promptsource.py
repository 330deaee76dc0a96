"""Promptsource's prompts: a made-up file of them always, and every one of a checkout where PROMPTSOURCE_DIR
names it.
"""

import collections
import os
import shutil
import sys

import pytest
import t0_rows

from flanlite import sandbox
from flanlite.data.rendering import promptsource, rendering
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import linting, registry, sources, specs
from flanlite.data.specs.collection import Collection
from flanlite.data.tokens import vocabularies
from flanlite.metrics import metrics
from flanlite.mixtures.t0 import groups

FILE = """\
dataset: harbours
subset: skerry
templates:
  b: !Template
    answer_choices: closed ||| open
    id: b
    jinja: |-
      Harbour: {{name}}. Is it {{ answer_choices | join(" or ") }}?
      |||
      {{ answer_choices[state] }}
    metadata: !TemplateMetadata
      choices_in_prompt: true
      metrics:
      - Accuracy
      original_task: true
    name: Open, or not?
    reference: ''
  a: !Template
    answer_choices: null
    id: a
    jinja: "{% if depth > 3 %}{{ ['How deep', 'What depth'] | choice }} is {{ name | upper }}?|||{{ depth }} m{% endif %}"
    metadata: !TemplateMetadata
      metrics: [ROUGE]
      original_task: false
    name: a depth
    reference: ''
"""
CHECKOUT = os.environ.get('TESTED_PROMPTSOURCE_DIR')  # what PROMPTSOURCE_DIR said, see conftest
ROWS = [{'name': 'Old ||| New', 'state': 1, 'depth': 5}, {'name': 'Tolland', 'state': 0, 'depth': 2}]


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip('yaml')
    place = tmp_path / 'promptsource' / 'templates' / 'harbours' / 'skerry'
    place.mkdir(parents=True)
    (place / 'templates.yaml').write_text(FILE)
    return promptsource.find_folder(tmp_path)


def prompts(folder):
    return {prompt.name: prompt for prompt in promptsource.read_prompts(folder, 'harbours', 'skerry')}


def source(prompt, rows=ROWS, **changes):
    return promptsource.PromptSource(sources.InMemory(lambda split: rows, name='harbours'), prompt, **changes)


def test_folders_are_found(folder, tmp_path, monkeypatch):
    assert folder == tmp_path / 'promptsource' / 'templates'
    assert promptsource.find_folder(tmp_path / 'promptsource') == promptsource.find_folder(folder) == folder
    monkeypatch.setenv('PROMPTSOURCE_DIR', str(tmp_path))
    assert promptsource.find_folder() == folder and promptsource.list_data_sets(folder) == [
        ('harbours', 'skerry')
    ]
    odd = tmp_path / 'lr[1e-3] %20#?*{}' / '\'"~日'
    shutil.copytree(tmp_path / 'promptsource', odd / 'promptsource')
    monkeypatch.setenv('HOME', str(odd))
    found = promptsource.find_folder('~')
    assert found == odd / 'promptsource' / 'templates'
    assert promptsource.list_data_sets(found) == [('harbours', 'skerry')] and prompts(found)
    monkeypatch.setenv('PROMPTSOURCE_DIR', str(tmp_path / 'nowhere'))
    with pytest.raises(
        ValueError,
        match=r"no <data set>/templates.yaml of promptsource in '.*nowhere'; there is no such folder, expected a",
    ):
        promptsource.find_folder()


def test_a_folder_without_prompts_says_what_it_has(tmp_path):
    (tmp_path / 'prompts').mkdir()
    (tmp_path / 'main.zip').touch()
    with pytest.raises(ValueError, match=r'; found main\.zip, prompts/, expected a checkout'):
        promptsource.find_folder(tmp_path)


def test_an_installed_promptsource_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.delenv('PROMPTSOURCE_DIR', raising=False)
    assert 'promptsource' in sys.modules or promptsource.find_folder() is None
    (tmp_path / 'promptsource' / '__init__.py').write_text('raise RuntimeError("imported")')
    monkeypatch.syspath_prepend(tmp_path)
    assert promptsource.find_folder() == folder


def test_prompts_are_read(folder):
    found = prompts(folder)
    assert list(found) == ['Open, or not?', 'a depth']
    assert [prompt.task() for prompt in found.values()] == [
        'harbours_skerry_Open_or_not_',
        'harbours_skerry_a_depth',
    ]
    assert [prompt.metric() for prompt in found.values()] == ['accuracy', 't5_rouge']
    assert [prompt.original_task for prompt in found.values()] == [True, False]
    assert found['a depth'].columns() == {'depth', 'name'}
    with pytest.raises(ValueError, match='no prompts for lakes'):
        promptsource.read_prompts(folder, 'lakes')


def test_prompts_are_rendered(folder):
    found = prompts(folder)
    assert list(source(found['Open, or not?']).rows('train')) == [
        {
            'inputs': 'Harbour: Old ||| New. Is it closed or open?',
            'targets': 'open',
            'options': ['closed', 'open'],
        },
        {
            'inputs': 'Harbour: Tolland. Is it closed or open?',
            'targets': 'closed',
            'options': ['closed', 'open'],
        },
    ]
    deep, nothing = source(found['a depth']).rows('train')
    assert nothing == {'inputs': '', 'targets': '', 'options': []}
    assert deep['inputs'] in ('How deep is OLD ||| NEW?', 'What depth is OLD ||| NEW?')
    assert (deep['targets'], deep['options']) == ('5 m', [])
    chosen = {found['a depth'].render(ROWS[0], position)['inputs'] for position in range(20)}
    assert len(chosen) == 2 and deep == found['a depth'].render(ROWS[0], 0)


def test_what_is_inserted_is_cut_as_promptsource_cuts_it():
    """Behind a word, with three dots, 2,048 characters with them; five more are let through whole."""
    prompt = promptsource.Prompt(
        'harbours', None, 'log', '{{ log }}#{{ 3 }}#{{ log + word -}} |||{{ word }}', '{{ log }}|||b'
    )
    words = 'tide ' * 500
    rendered = prompt.render({'log': words, 'word': 'x' * 2053})
    cut = 'tide ' * 408 + 'tide...'
    assert rendered['inputs'] == f'{cut}#3#{words}{"x" * 2053}' and rendered['targets'] == 'x' * 2053
    assert len(cut) == 2047 and rendered['options'] == []
    assert prompt.render({'log': 'a', 'word': 'x' * 2054})['targets'] == 'x' * 2045 + '...'
    answer = promptsource.Prompt('harbours', None, 'log', 'Log?|||b', '{{ log }}|||b').render({'log': words})
    assert answer['options'] == [words.strip(), 'b']


def test_empty_targets_have_no_label():
    """As in T0's release, which leaves out rows without inputs, or where the prompt says nothing."""
    prompt = promptsource.Prompt(
        'harbours', None, 'ask', '{% if name %}{{ name.strip() }} |||\n {{ use }}{% endif %}', 'a ||| b'
    )
    row = {'name': 'Tolland', 'use': ' '}
    assert prompt.render(row) == {'inputs': 'Tolland', 'targets': '<NO LABEL>', 'options': []}
    assert prompt.render(row | {'use': 'b'})['options'] == ['a', 'b']
    for name in ('', ' '):
        assert prompt.render(row | {'name': name}) is None


def test_prompts_may_split_where_promptsource_protects():
    """Multi-News separates articles with five bars, of which promptsource replaces three."""
    split = 'document.split("3ed2dface8203c4c9dfb1a5dc58e41e0||")'
    prompt = promptsource.Prompt(
        'multi_news',
        None,
        'split',
        f'{{% for text in {split} %}}Article: {{{{ text }}}}\n{{% endfor %}}||| {{{{ summary }}}}',
    )
    rendered = prompt.render({'document': 'First ||||| Second', 'summary': 'a ||| b'})
    assert rendered['inputs'] == 'Article: First \nArticle:  Second' and rendered['targets'] == 'a ||| b'


def test_a_cache_follows_how_prompts_are_rendered(folder, monkeypatch):
    whole = source(prompts(folder)['a depth'])
    before = whole.version()
    assert whole.version() == before
    monkeypatch.setattr(promptsource, 'LONGEST', 100)
    assert whole.version() != before


def test_columns_must_be_there(folder):
    prompt = prompts(folder)['a depth']
    rows = [{'title': 'Tolland', 'depth': 9}]
    with pytest.raises(
        ValueError,
        match=r"'a depth' of harbours reads the columns name, but the rows of harbours have depth, title",
    ):
        list(source(prompt, rows).rows('train'))
    assert len(list(source(prompt, rows, renamed=(('title', 'name'),)).rows('train'))) == 1


def test_prompts_that_fail_are_named():
    def rows(jinja, *values):
        prompt = promptsource.Prompt('harbours', None, 'share', jinja)
        return list(source(prompt, [{'whole': value} for value in values]).rows('train'))

    with pytest.raises(
        ValueError, match="the prompt 'share' of harbours fails on row 1 of harbours: ZeroDivisionError"
    ):
        rows('{{ (6 / whole) }}|||b', 3, 0)
    with pytest.raises(ValueError, match=r"the prompt 'share' of harbours is no template of Jinja: .*Expected"):
        rows('{% if %}|||b', 3)


def test_the_sandbox_holds(folder):
    prompt = promptsource.Prompt(
        'harbours', None, 'bad', '{{ name.__class__.__mro__[1].__subclasses__() }} ||| x'
    )
    with pytest.raises(sandbox.TemplateFault, match='SecurityError'):
        prompt.render(ROWS[0])


def test_a_prompt_is_a_data_set(folder, monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    spec = promptsource.make_spec(
        source(prompts(folder)['Open, or not?']), 'sentiment', splits=specs.Splits('train', None, 'test')
    )
    registry.register(Collection('harbours', (spec,), vocabulary='bytes'))
    assert list(linting.lint(spec, spec.source.rows('train'), count=1)) == []
    (first, _) = rendering.render(spec, 'train')
    assert (first.inputs, first.targets) == ('Harbour: Old ||| New. Is it closed or open?', 'open')
    (example, _) = rendering.examples(spec, 'test', vocabularies.load('bytes'), renderings='all')
    assert example.options == ('closed', 'open')
    other = promptsource.make_spec(
        source(prompts(folder)['a depth']), 'sentiment', splits=specs.Splits('train', None, 'test')
    )
    registry.register(Collection('depths', (other,), vocabulary='bytes'))
    for each, count in ((spec, 2), (other, 1)):
        seqio_way = (
            tasks.task(each.name)
            .get_dataset(sequence_length=None, split='train', shuffle=False)
            .as_numpy_iterator()
        )
        native = list(rendering.examples(each, 'train', vocabularies.load('bytes')))
        assert [row['inputs'].tolist() for row in seqio_way] == [
            example.inputs.tolist() for example in native
        ]
        assert len(native) == count
    tally = rendering.Tally()
    assert [item.targets for item in rendering.render(other, 'train', tally=tally)] == [
        '5 m'
    ] and tally.filtered == {'keep': 1}
    assert spec.fingerprint() != other.fingerprint() and spec.family == 'harbours'


def test_metrics_of_prompts_are_checked(folder, monkeypatch):
    assert set(promptsource.METRICS.values()) <= set(metrics.METRICS)
    monkeypatch.setitem(promptsource.METRICS, 'Accuracy', 'acuracy')
    with pytest.raises(
        ValueError,
        match="data set 'harbours_skerry_Open_or_not_': unknown metric 'acuracy'; did you mean accuracy",
    ):
        promptsource.make_spec(source(prompts(folder)['Open, or not?']), 'sentiment')


def test_what_is_missing_is_named(folder, monkeypatch):
    (folder / 'rivers').mkdir()
    prompt = 'templates:\n  a: !Template {name: "a é", jinja: "{{ b }}|||c", metadata: null}\n'
    for content, said in (
        (b'templates: [1]', 'AttributeError'),
        (b'', 'TypeError'),
        (prompt.replace('"{{ b }}|||c"', '5').encode(), 'TypeError: got jinja: 5; expected a text'),
        (prompt.replace('b }}', '\0 }}').encode(), 'it does not parse: unacceptable character'),
        (prompt.replace('b }}', '\\ud83d').encode(), 'it does not parse'),
    ):
        (folder / 'rivers' / 'templates.yaml').write_bytes(content)
        with pytest.raises(ValueError, match=rf'rivers/templates.yaml is no file of prompts: (?s:.)*{said}'):
            promptsource.read_prompts(folder, 'rivers')
    for encoding in ('latin1', 'utf-16'):
        (folder / 'rivers' / 'templates.yaml').write_bytes(prompt.encode(encoding))
        for read in (promptsource.list_data_sets, lambda folder: promptsource.read_prompts(folder, 'rivers')):
            with pytest.raises(ValueError, match=r'rivers/templates.yaml is not in UTF-8'):
                read(folder)
    (folder / 'rivers' / 'templates.yaml').write_bytes(('\ufeff' + prompt).replace('\n', '\r\n').encode())
    assert promptsource.read_prompts(folder, 'rivers')[0].name == 'a é'
    monkeypatch.setitem(sys.modules, 'yaml', None)
    with pytest.raises(ValueError, match=r'are YAML; install flanlite\[t0\], that is pyyaml'):
        promptsource.parse_yaml(FILE)


class Anything(str):
    """Stands in for a value of any type: a text that is also a number, a list of such, and a record of
    such.
    """

    def __new__(cls, number=0):
        made = super().__new__(cls, 'lamp oil')
        made.number = number
        return made

    def __getitem__(self, key):
        return str.__getitem__(self, key) if isinstance(key, slice) else Anything(self.number)

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return Anything(self.number)

    def __call__(self, *args, **options):
        return Anything(self.number)

    def __iter__(self):
        return iter([Anything(0), Anything(1)])

    def __index__(self):
        return self.number

    def __int__(self):
        return self.number

    def __float__(self):
        return float(self.number)

    def __eq__(self, other):
        return str.__eq__(self, other) if isinstance(other, str) else self.number == other

    def __hash__(self):
        return hash(self.number)

    def __lt__(self, other):
        return self.number < other if isinstance(other, int | float) else str.__lt__(self, other)

    def __gt__(self, other):
        return self.number > other if isinstance(other, int | float) else str.__gt__(self, other)

    def __le__(self, other):
        return not self > other

    def __ge__(self, other):
        return not self < other

    def __add__(self, other):
        return self.number + other if isinstance(other, int | float) else str.__add__(self, other)

    def __radd__(self, other):
        return other + self.number if isinstance(other, int | float) else other + str(self)

    def __sub__(self, other):
        return self.number - int(other)

    def __rsub__(self, other):
        return int(other) - self.number

    def __mul__(self, other):
        return self.number * other

    def __truediv__(self, other):
        return self.number / float(other)

    def __round__(self, places=None):
        return self.number

    def items(self):
        return [(Anything(0), Anything(self.number))]

    def keys(self):
        return [Anything(0)]

    def values(self):
        return [Anything(self.number)]


VALUES = (Anything(0), Anything(1), 0, 1, True, 'lamp oil', ['lamp oil', 'wick'], [[0, 1], [1, 0]])
KNOWN = {(listed.hub, listed.config): t0_rows.HUB[name] for name, listed in groups.LISTED.items()}


def attempt(prompt):
    """Render a prompt on a row of its shape, and on rows of several values; say whether one rendered, all
    were skipped, or all failed.
    """
    error = None
    known = KNOWN.get((prompt.data_set, prompt.config)) or t0_rows.OTHERS.get(prompt.data_set)
    for row in [known] * (known is not None) + [dict.fromkeys(prompt.columns(), value) for value in VALUES]:
        try:
            if prompt.render(row):
                return 'rendered'
            error = error or 'skipped'
        except Exception as fault:  # whatever Jinja and a value of the wrong type raise
            error = error if error == 'skipped' else f'{type(fault).__name__}: {fault}'
    return error


@pytest.mark.skipif(not CHECKOUT, reason='PROMPTSOURCE_DIR names no checkout of promptsource')
def test_every_prompt_of_a_checkout(capsys):
    """At most one in a hundred fails; a prompt may have nothing to say to a row that was made up without
    knowing the data set.
    """
    folder = promptsource.find_folder(CHECKOUT)
    counts, failed = collections.Counter(), []
    for name, config in promptsource.list_data_sets(folder):
        for prompt in promptsource.read_prompts(folder, name, config):
            outcome = attempt(prompt)
            counts[outcome if outcome in ('rendered', 'skipped') else 'failed'] += 1
            if outcome not in ('rendered', 'skipped'):
                failed.append(f'{name} {config or ""} {prompt.name}: {outcome}')
    with capsys.disabled():
        print(
            f'\npromptsource: {", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))}'
        )
    assert counts['rendered'] > 0 and counts['failed'] <= counts.total() / 100, '\n'.join(failed)
