"""Prompt settings that are drawn for each row: their shares, the forms of options, exemplars in the same form, and hostile rows."""

import collections
import dataclasses
import json
import re

import msgpack
import pytest
from toy_specs import BYTES, COLOURS, colours, prose

from flanlite.cli import main
from flanlite.data import export, preview
from flanlite.data.cache import cache, cached_split
from flanlite.data.cache.view import BuildOptions, View, view_of
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering import rendering
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import option_forms, registry, sources, templates
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.option_forms import OptionForm
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import MixedTemplate, Template
from flanlite.data.training_data import TrainingData
from flanlite.eval import evaluator
from flanlite.eval import export as harness_export

WIDE = 100_000


def things(name='toy_things', options=('red', 'green', 'blue'), rows=300, **changes):
    """Make a data set whose rows take turns among lists of options, by default one."""
    lists = options if options and isinstance(options[0], tuple) else (options,)

    def source(split):
        for row in range(rows):
            shown = lists[row % len(lists)]
            yield {
                'thing': f'thing {row}',
                'options': list(shown),
                'answer': shown[row % len(shown)] if shown else 'none',
            }

    settings = {
        'cluster': 'nli', 'source': sources.InMemory(source), 'fields': dict, 'splits': Splits('train', None, 'test'),
        'templates': (Template('What of {thing}?\n{options_}\nWell?'), Template('{options_}\n\n{thing} is')),
    }  # fmt: skip
    return DatasetSpec(name, **(settings | changes))


def made(spec, mix, split='train', **settings):
    view = View(split, BYTES, prompt_mix=mix.within(settings.pop('length', WIDE))).of_task(spec.name, spec)
    return list(rendering.texts(spec, split, BYTES, shots=view.shots, mix=view.prompt_mix, **settings))


def only(setting, **changes):
    return PromptMix(shares={setting: 1}, **changes)


def test_settings_have_their_shares_and_the_releases_numbers_of_exemplars():
    mix = PromptMix(shares={'zs_opt': 3, 'fs_opt': 1, 'fs_noopt': 4}, seed=5)
    ways = [mix.draw('any', row) for row in range(20_000)]
    counts = collections.Counter(way.setting for way in ways)
    for setting, share in {'zs_opt': 3 / 8, 'fs_opt': 1 / 8, 'fs_noopt': 1 / 2}.items():
        assert abs(counts[setting] / len(ways) - share) < 4 * (share * (1 - share) / len(ways)) ** 0.5
    # Of 25 draws the template's own, of ten: binomial, without 0. Half of fs_opt has five.
    mean = 25 * 0.1 / (1 - 0.9**25)
    shots = {name: [way.shots for way in ways if way.setting == name] for name in counts}
    assert set(shots['zs_opt']) == {0} and min(shots['fs_opt'] + shots['fs_noopt']) == 1
    assert sum(shots['fs_noopt']) / len(shots['fs_noopt']) == pytest.approx(mean, abs=0.06)
    assert sum(shots['fs_opt']) / len(shots['fs_opt']) == pytest.approx((5 + mean) / 2, abs=0.1)
    turned = PromptMix(shares={'fs_noopt': 4.0, 'fs_opt': 1, 'zs_opt': 3}, seed=5)
    assert turned == mix and ways == [turned.draw('any', row) for row in range(20_000)]
    others = (
        [mix.draw('other', row).setting for row in range(500)],
        [mix.replace(seed=6).draw('any', row).setting for row in range(500)],
    )
    assert all(other != [way.setting for way in ways[:500]] for other in others)


def test_forms_of_options():
    assert option_forms.PLAIN.block(COLOURS) == templates.options_block(COLOURS)
    numbers = [option_forms.roman(number) for number in (1, 4, 9, 14, 26, 40, 99, 444)]
    assert numbers == ['I', 'IV', 'IX', 'XIV', 'XXVI', 'XL', 'XCIX', 'CDXLIV']
    assert [option_forms.letters(number) for number in (1, 26, 27, 52, 53, 703)] == [
        'A',
        'Z',
        'AA',
        'AZ',
        'BA',
        'AAA',
    ]
    form = OptionForm('Choices:', ' ', 'A', '({})', ' ', ';')
    assert form.block(('red', 'blue')) == 'Choices: (A) red; (B) blue;' and form.name == 'Choices: (A) ...;'
    assert form.answers(('red', 'blue')) == ('(A)', '(B)') and OptionForm(mark='*').answers(('red',)) == (
        'red',
    )
    assert (
        not form.is_clear(('say (B) or so', 'x'))
        and not form.is_clear(('a; b', 'x'))
        and form.is_clear(('(C) is far', 'a;b'))
    )
    drawn = [option_forms.draw(str(row), COLOURS) for row in range(5_000)]
    kinds = collections.Counter(each.count or '-' for each in drawn)
    assert kinds['-'] / 5_000 == pytest.approx(23 / 87, abs=0.03) and min(kinds.values()) > 300
    assert {each.header for each in drawn} == {*option_forms.HEADERS} and len(set(drawn)) > 1_000


def test_the_answer_is_what_stands_before_the_right_option():
    found = made(things(), only('zs_opt'))
    lettered = 0
    for example in found:
        index = example.row % 3
        assert example.options == COLOURS and example.answers == (COLOURS[index],), 'metrics count the texts'
        assert example.targets == example.shown[index] and example.setting == 'zs_opt' and example.shots == 0
        shown = [re.escape(each) for each in (*example.shown, '') if each not in COLOURS] or ['']
        if example.shown != COLOURS:
            lettered += 1
            marks = zip(example.shown, COLOURS, strict=True)
            assert all(f'{mark} {option}' in example.inputs for mark, option in marks)
            assert f'{shown[0]} ...'.replace('\\', '') in example.form
        assert example.form.split('...')[0].removesuffix(' ').rstrip('-+*[] \n1AaIi().') in example.inputs
    assert 0.6 < lettered / len(found) < 0.85
    tokens = rendering.tokenize(found[:20], BYTES)
    assert [[BYTES.decode(ids) for ids in each.option_tokens] for each in tokens] == [
        list(each.shown) for each in found[:20]
    ]


def test_without_options_their_place_and_words_about_them_go():
    spec = things(
        templates=(
            Template('Choose one.\n{options_}\n{thing}'), Template('{thing}?\n\n{options_}\n\nSay.'), Template('{thing}: {options_}'),
            Template('One is {answer}.', '{thing}', inverted=True), Template('{options_}'),
        )
    )  # fmt: skip
    found = made(spec, only('zs_noopt'))
    assert {example.template for example in found} == {1, 2, 3} and {example.form for example in found} == {
        ''
    }
    assert [example.inputs for example in found[:3]] == ['thing 0?\n\nSay.', 'thing 1:', 'One is blue.']
    assert found[0].shown == COLOURS and found[0].targets == 'red', 'what is ranked, though it is not shown'
    bare = made(things(options=(), templates=spec.templates[:3]), only('zs_opt'))
    assert {example.template for example in bare} == {1, 2} and bare[0].form == '', 'a row without options'
    every = made(spec, only('zs_noopt'), 'test', renderings='all', limit=1)
    assert [(each.template, each.inputs) for each in every][:3] == [
        (0, f'Choose one.\nthing {every[0].row}'), (1, f'thing {every[0].row}?\n\nSay.'), (2, f'thing {every[0].row}:'),
    ]  # fmt: skip


def test_exemplars_are_written_in_the_form_of_their_example():
    found = made(things(), only('fs_opt', shots=(2, 3), drawn_forms=('fs_opt',)))
    assert {example.shots for example in found} == {2, 3}
    joins = set()
    for example in found:
        form = example.asked.form
        block = form.block(COLOURS)
        assert example.inputs.count(block) == example.shots + 1, 'the same form, with the same options'
        before = example.inputs.split(block)
        joins.add(tuple(re.sub(r'thing \d+', '', part) for part in before[1:2]))
        rows = [int(row) for row in re.findall(r'thing (\d+)', example.inputs)]
        assert rows[-1] == example.row and example.row not in rows[:-1] and len(rows) == example.shots + 1
        answer = form.answers(COLOURS)[rows[0] % 3]
        assert answer in re.split(r'thing \d+', example.inputs)[1].replace(block, '')
        assert not example.inputs.endswith(' ')
    assert len(joins) > 20, 'separators are drawn'
    many, mix = things(rows=2_600), only('fs_opt', shots=(1, 3))
    view = View('train', BYTES, prompt_mix=mix).of_task('toy_things', many)
    built = rendering.examples(
        many, 'train', BYTES, shots=view.shots, mix=view.prompt_mix
    )  # threads of 500 each
    expected = made(many, mix, length=960)
    assert [BYTES.decode(example.inputs) for example in built] == [example.inputs for example in expected]


@pytest.mark.parametrize('setting', ['zs_opt', 'fs_opt', 'fs_noopt'])
def test_rows_with_no_option_with_one_and_with_forty(setting):
    many = tuple(f'option {number}' for number in range(40))
    spec = things(options=((), ('lone',), many, ('a (B) b', '- c', 'd; e\n2. f', 'OPTIONS:\n- g')))
    found = made(spec, only(setting, drawn_forms=('zs_opt', 'fs_opt'), shots=(2,)))
    assert len(found) == 300
    for example in found:
        options = ((), ('lone',), many, ('a (B) b', '- c', 'd; e\n2. f', 'OPTIONS:\n- g'))[example.row % 4]
        assert example.options == options and len(example.shown) == len(options) == len(set(example.shown))
        assert example.targets == (example.shown[example.row % len(options)] if options else 'none')
        assert bool(example.form) == (bool(options) and setting != 'fs_noopt')
        if example.form and example.asked.form != option_forms.PLAIN:
            assert example.asked.form.is_clear(options)
    rendering.tokenize(found, BYTES)


def test_fewer_rows_than_exemplars():
    for rows in (1, 2, 4):
        found = made(things(rows=rows), only('fs_opt', shots=(5,)))
        assert [example.shots for example in found] == [rows - 1] * rows
        assert {example.setting for example in found} == {'fs_opt'}, (
            'what was drawn; shots says what is there'
        )
    assert made(things(rows=1), only('fs_opt', shots=(5,)))[0].inputs.startswith('What of thing 0?\nOPTIONS:')
    tight = made(things(), only('fs_opt', shots=(5,)), length=120)
    assert {example.shots for example in tight} < {0, 1, 2} and all(
        len(example.inputs) < 120 for example in tight
    )


def test_chains_of_thought_headers_and_templates_that_are_turned_around():
    spec = things(
        options=(),
        rows=60,
        templates=(
            Template('{thing}. Think.', 'So {answer}'),
            Template('{answer}?', '{thing}', inverted=True),
        ),
        mixed_templates=(
            MixedTemplate('{thing}, first', '{answer}, since', chain='first'),
            MixedTemplate('{thing}', '{answer}', chain='none'),
        ),
    )
    assert {each.template for each in made(spec, only('zs_opt'))} == {0, 1}
    mix = only('zs_opt', chains={'first': 1, 'none': 2}, inverted=0.0)
    counts = collections.Counter(each.template for each in made(spec, mix))
    assert set(counts) == {2, 3} and counts[3] > counts[2] > 10
    assert {each.template for each in made(spec, only('zs_opt', inverted=1.0, chains={'none': 1}))} == {1}
    headed = things(
        options=(),
        templates=spec.templates[:1],
        mixed_templates=(MixedTemplate('{thing}', header='Do so.\n{answer}\n\n'),),
    )
    for example in made(headed, PromptMix(shares={'zs_opt': 1, 'fs_opt': 1}, shots=(2,)), limit=40):
        assert example.inputs.count('Do so.') == (example.shots > 0) == (example.template == 1)
        assert not example.shots or example.inputs.startswith('Do so.\nnone\n\n')
    alone = made(headed, only('fs_opt', shots=(2,)), length=1, limit=1)[0]
    assert (alone.inputs, alone.shots) == ('Do so.\nnone\n\nthing 0', 0)
    with pytest.raises(ValueError, match=r'mixed_templates=.*expected a tuple of MixedTemplate'):
        things(mixed_templates=(Template('{thing}'),))


@pytest.fixture
def collection(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    mix = PromptMix(shares={'zs_opt': 1, 'fs_noopt': 1}, shots=(1,), noopt_shots=(1,))
    parts = (
        Part('a', 0.5, ('toy_colours', 'toy_prose'), prompt_mix=mix),
        Part('b', 0.5, ('toy_things',)),
    )
    kept = Collection(
        'toy',
        (colours(licence='CC0-1.0'), prose(), things(licence='CC0-1.0')),
        vocabulary='bytes',
        parts=parts,
        templates=1,
    )
    registry.register(kept)
    return kept


def test_a_part_has_its_mix_in_training_and_what_is_asked_for_everywhere(collection, monkeypatch):
    own, lengths = collection.parts[0].prompt_mix, {'inputs': 400, 'targets': 10}
    view = view_of(mixtures.resolve('toy'), 'train', BYTES, lengths)
    assert view.prompt_mix == {'toy_colours': own.within(400), 'toy_prose': own.within(400)}
    of_colours = view.of_task('toy_colours', collection.specs[0])
    assert of_colours.prompt_mix == own.within(400) and of_colours.shots == Shots(1, 400)
    for name, spec in (('toy_prose', collection.specs[1]), ('toy_things', collection.specs[2])):
        assert (view.of_task(name, spec).prompt_mix, view.of_task(name, spec).shots) == (None, None)
    assert view_of(mixtures.resolve('toy'), 'test', BYTES).prompt_mix is None, 'scored as the templates are'
    for config in (
        MixtureConfig('toy', prompt_mix=None),
        MixtureConfig('toy', shots=0),
        MixtureConfig('toy_2shots'),
    ):
        assert view_of(mixtures.resolve(config), 'train', BYTES).prompt_mix is None
    asked = mixtures.resolve(MixtureConfig('toy', prompt_mix='zs_noopt, fs_opt:3'))
    expected = PromptMix(shares={'zs_noopt': 1.0, 'fs_opt': 3.0})
    assert view_of(asked, 'test', BYTES).prompt_mix == expected
    assert set(view_of(asked, 'train', BYTES).prompt_mix.values()) == {expected}
    monkeypatch.setitem(
        registry.COLLECTIONS, 'toy', dataclasses.replace(collection, shots=5)
    )  # as benchmarks ask
    assert mixtures.resolve('toy').shots == Shots(5)
    assert mixtures.resolve(MixtureConfig('toy', prompt_mix='zs_opt')).shots is None
    with pytest.raises(ValueError, match='got shots=3 and a prompt mix'):
        mixtures.resolve(MixtureConfig('toy', shots=3, prompt_mix='zs_opt'))


def test_the_cache_and_everything_behind_it_know_how_each_example_is_asked(collection, tmp_path, capsys):
    options = BuildOptions(tmp_path / 'cache', fail_fast=True)
    asked = [
        None,
        only('zs_opt'),
        only('zs_opt', seed=1),
        only('zs_opt', drawn_forms=()),
        PromptMix(),
        PromptMix(budget=200),
        PromptMix(shares={'zs_opt': 2, 'fs_opt': 1}),
    ]
    built = [
        cache.ensure(['toy_colours', 'toy_prose'], View('train', BYTES, prompt_mix=mix), options).splits
        for mix in asked
    ]
    assert len({splits['toy_colours'].path for splits in built}) == len(asked)
    assert len({splits['toy_prose'].path for splits in built}) == 1, 'plain text is not asked'
    plain, mixed = built[0]['toy_colours'], built[4]['toy_colours']
    assert 'prompt_mix' not in plain.manifest and set(msgpack.unpackb(plain.read_records([0])[0])) == {
        'i',
        't',
        'w',
        'r',
        'p',
    }, 'as before'
    counts = collections.Counter(example.setting for example in mixed.examples())
    assert mixed.manifest['prompt_mix']['examples'] == counts and sum(counts.values()) == 20
    assert mixed.manifest['shots'] is None and sum(mixed.manifest['prompt_mix']['kept'].values()) == 20
    assert cached_split.decode_example(cached_split.encode_example(mixed.read(1))).form == mixed.read(1).form

    config = MixtureConfig('toy', prompt_mix=PromptMix(shots=(2,)), exclude=('toy_prose',))
    rows = preview.examples(config, 'train', 30, options=options)
    assert {row['setting'] for row in rows} == {'zs_opt', 'zs_noopt', 'fs_opt', 'fs_noopt'}
    assert {bool(row['form']) for row in rows if row['setting'].endswith('_noopt')} == {False}
    assert all(row['source'].startswith('InMemory') and row['options'] == list(COLOURS) for row in rows)
    main.main(
        [
            'show',
            '--mixture=toy',
            '--vocabulary=bytes',
            f'--cache_dir={tmp_path}/cache',
            '--prompt_mix=zs_opt:2,fs_opt',
            '--examples=9',
        ]
    )
    told = capsys.readouterr().out
    assert re.search(r'Prompt settings, drawn for each row: fs_opt \d+\.\d%, zs_opt \d+\.\d%\.', told)
    assert re.search(r'template \d, zs_opt, exemplars: 0, options: ', told)

    def tokens(mixture, **changes):
        data = DataConfig(
            mixture,
            {'inputs': WIDE // 2, 'targets': 99},
            2,
            'bytes',
            cache_dir=f'{tmp_path}/cache',
            **changes,
        )
        return data, TrainingData.resolve(data, 0, 'encoder_decoder').build().cached.splits

    def pairs(splits):
        return [
            tuple(map(bytes, pair))
            for split in splits.values()
            for pair in split.read_tokens(range(len(split)))
        ]

    for form in export.FORMATS:
        data, ours = tokens(config)
        folder = export.export(data, str(tmp_path / form), form)
        assert pairs(tokens(f'{folder}/')[1]) == pairs(ours)
    lines = [json.loads(line) for line in (tmp_path / 'jsonl' / 'train.jsonl').open(encoding='utf-8')]
    assert {line['setting'] for line in lines} == set(PromptMix().shares)
    assert all(line['completion'] in line['options'] for line in lines if line['options']) and any(
        line['form'] for line in lines
    )
    assert {'-', 'A'} & {
        line['options'][0].strip('().[]').upper()[:1] for line in lines if line['options']
    }, 'letters'


def test_scores_are_those_of_what_is_asked(collection, tmp_path):
    mix = only('zs_opt', seed=2)
    split = cache.ensure(
        ['toy_things'],
        View('test', BYTES, renderings='all', prompt_mix=mix, max_examples=30),
        BuildOptions(tmp_path),
    ).splits
    asked = evaluator.Evaluator(split, BYTES)
    examples = asked.examples('toy_things')
    right = [BYTES.decode(example.targets) for example in examples]
    ranked = [
        [BYTES.decode(tokens) for tokens in example.option_tokens].index(text)
        for example, text in zip(examples, right, strict=True)
    ]
    scored = evaluator.score_task(
        'toy_things',
        'rank',
        examples,
        [each.options[i] for each, i in zip(examples, ranked, strict=True)],
        BYTES,
    )
    assert scored.counts[:, 0].all() and len({example.form for example in examples}) > 10
    record = next(asked.records(scored))
    assert (record['setting'], record['shots'], record['source']) == ('zs_opt', 0, 'InMemory in memory')
    assert record['form'] == examples[0].form and record['options'] == list(COLOURS)

    config = MixtureConfig('toy', prompt_mix='zs_opt', include=('toy_things',))
    folder = harness_export.export(config, str(tmp_path / 'harness'), max_rows=9, vocabulary='bytes')
    (file, *_), (task, *_) = (sorted(folder.glob(pattern)) for pattern in ('data/*_t0.jsonl', '*_t0.yaml'))
    assert '"doc_to_choice": "choices"' in task.read_text()
    for line in map(json.loads, file.open(encoding='utf-8')):
        (gold,) = line['gold']
        assert line['options'][gold] == COLOURS[line['row'] % 3] and line['choices'][gold] in line['inputs']


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'shares': {}}, 'PromptMix.shares is empty'),
        ({'shares': {'zero_shot': 1}}, "a key of PromptMix.shares is 'zero_shot'; .*one of zs_opt"),
        ({'shares': {'zs_opt': 0}}, r"PromptMix.shares\['zs_opt'\] is 0; expected a number above 0"),
        ({'shots': (0,)}, r'PromptMix.shots\[0\] is 0'),
        ({'shots': ('y',)}, r"PromptMix.shots\[0\] is 'y'"),
        ({'inverted': 1.5}, 'PromptMix.inverted is 1.5'),
        ({'drawn_forms': ('zs_noopt',)}, r"drawn_forms\[0\] is 'zs_noopt'; .*expected one of zs_opt, fs_opt"),
        ({'chains': {'middle': 1}}, "a key of PromptMix.chains is 'middle'; .*one of last"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        PromptMix(**settings)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('zs_opt:many', "a prompt mix has 'zs_opt:many'; expected settings"),
        ('zs_opt:1, zs_opt:3', "a prompt mix has 'zs_opt' twice"),
        ('', "a key of .* is ''"),
        ('zs', "is 'zs'"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ValueError, match=message):
        MixtureConfig('toy', prompt_mix=text)
