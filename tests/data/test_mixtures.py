"""Mixtures: names, held-out clusters, caps and rates, by hand."""

import dataclasses
import json
import sys

import pytest

from flanlite.data.mixing import given_rates, mixtures, naming
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.mixing.stages import Stage
from flanlite.data.specs import registry, specs
from flanlite.data.specs.collection import Collection, Prompted
from flanlite.data.specs.templates import Template


class Rows:
    def rows(self, split):
        return iter([{'text': split}])

    def version(self):
        return '1'


def data_set(name, cluster, **more):
    return specs.DatasetSpec(
        name, cluster, Rows(), lambda row: {'answer': row['text']}, (Template('{answer}'),), **more
    )


TOY = Collection(
    name='toy',
    specs=(
        data_set('toy_nli', 'nli'),
        data_set('toy_nli2', 'nli', max_rate=500),
        data_set('toy_paraphrase', 'paraphrase'),
        data_set('toy_sentiment', 'sentiment', max_examples=100),
        data_set('toy_summary', 'summarization'),
    ),
)
COUNTS = {
    'toy_nli': 400_000,
    'toy_nli2': 20_000,
    'toy_paraphrase': 2_000,
    'toy_sentiment': 5_000,
    'toy_summary': 10,
}


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {'toy': TOY})


def tasks(mixture):
    return [entry.task for entry in mixture.entries]


def test_rates_in_proportion_with_both_caps():
    rates = mixtures.rates(mixtures.resolve('toy'), COUNTS)
    assert rates == {
        'toy_nli': 3_000,
        'toy_nli2': 500,
        'toy_paraphrase': 2_000,
        'toy_sentiment': 100,
        'toy_summary': 10,
    }


def test_truncation_and_rate_cap_are_two_things():
    assert mixtures.rates(mixtures.resolve(MixtureConfig('toy', max_rate=None)), COUNTS)['toy_nli'] == 30_000
    assert (
        mixtures.rates(mixtures.resolve(MixtureConfig('toy', max_rate=None, max_examples=None)), COUNTS)[
            'toy_nli'
        ]
        == 400_000
    )
    entry = mixtures.resolve(MixtureConfig('toy', max_examples=1_000)).entries[0]
    assert (entry.max_examples, entry.max_rate) == (1_000, 3_000)


def test_a_data_sets_own_caps_stay():
    entries = {
        entry.task: entry
        for entry in mixtures.resolve(MixtureConfig('toy', max_rate=None, max_examples=None)).entries
    }
    assert (entries['toy_nli2'].max_rate, entries['toy_sentiment'].max_examples) == (500, 100)


def test_temperature_comes_after_the_cap():
    rates = mixtures.rates(mixtures.resolve(MixtureConfig('toy', temperature=2.0)), COUNTS)
    assert rates['toy_nli'] == pytest.approx(3_000**0.5) and rates['toy_summary'] == pytest.approx(10**0.5)


def test_equal_rates():
    assert set(mixtures.rates(mixtures.resolve(MixtureConfig('toy', scheme='equal')), COUNTS).values()) == {
        1.0
    }


def test_unimax_is_as_even_as_the_epochs_allow():
    rates = mixtures.rates(
        mixtures.resolve(MixtureConfig('toy', scheme='unimax', budget=10_000, epochs=2)), COUNTS
    )
    assert rates == {
        'toy_summary': 20,
        'toy_sentiment': 200,
        'toy_paraphrase': 3260,
        'toy_nli': 3260,
        'toy_nli2': 3260,
    }
    rates = mixtures.rates(
        mixtures.resolve(MixtureConfig('toy', scheme='unimax', budget=100_000_000)), COUNTS
    )
    assert rates == {
        'toy_nli': 30_000,
        'toy_nli2': 20_000,
        'toy_paraphrase': 2_000,
        'toy_sentiment': 100,
        'toy_summary': 10,
    }


def test_epochs_of_tasks():
    rates = mixtures.rates(
        mixtures.resolve(MixtureConfig('toy', scheme='epochs', epochs={'toy_nli2': 0.5, 'toy_nli*': 2})),
        COUNTS,
    )
    assert rates == {
        'toy_nli': 2 * 30_000,
        'toy_nli2': 0.5 * 20_000,
        'toy_paraphrase': 2_000,
        'toy_sentiment': 100,
        'toy_summary': 10,
    }
    capped = MixtureConfig('toy', scheme='unimax', budget=1_000, epochs={'toy_s*': 3, 'toy_para*': 0.01})
    rates = mixtures.rates(mixtures.resolve(capped), COUNTS)
    assert rates == {  # 1,000 less 20, 30 and what is left for three of them
        'toy_paraphrase': 20,
        'toy_summary': 30,
        'toy_sentiment': 300,
        'toy_nli2': 325,
        'toy_nli': 325,
    }


GIVEN = {'toy_nli': 1, 'toy_nli2': 0.5, 'toy_paraphrase': 0, 'toy_sentiment': 2e3, 'toy_summary': 4}


def test_rates_from_a_file_are_part_of_the_value(tmp_path):
    files = {
        'rates.json': '\ufeff' + json.dumps(GIVEN),
        'rates.csv': 'task, rate\n' + ''.join(f'{task},{rate}\n\n' for task, rate in GIVEN.items()),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        config = MixtureConfig('toy', rates=str(tmp_path / name))
        (tmp_path / name).unlink()
        assert config == MixtureConfig('toy', rates=GIVEN)
        assert mixtures.rates(mixtures.resolve(config), COUNTS) == GIVEN
        # What does not train may have a rate: one file serves all hold-outs.
        held = mixtures.resolve(config.replace(held_out='sentiment', exclude=['toy_nli']))
        assert set(mixtures.rates(held, COUNTS)) == {'toy_nli2', 'toy_paraphrase', 'toy_summary'}
    given_rates.write(tmp_path / 'again.json', GIVEN)
    assert given_rates.read(tmp_path / 'again.json') == GIVEN


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('r.json', '[1]', 'is a list; expected an object'),
        ('r.json', '{"a": 1, "a": 2}', "has the key 'a' twice"),
        ('r.json', '{"a": true}', "rate of 'a' is True; expected a number from 0"),
        ('r.json', '{"a": NaN}', "rate of 'a' is nan"),
        ('r.json', '{"a": {}}', "rate of 'a' is {}"),
        ('r.json', '{"a": "1"}', "rate of 'a' is '1'"),
        ('r.csv', 'task,rate\na,1_000\n', "rate of 'a' is '1_000'"),
        ('r.json', '{"a": 1' + '0' * 400 + '}', 'expected a number from 0'),
        ('r.json', '{"a": 1e308, "b": 1e308}', 'expected a number from 0'),
        ('r.json', '{}', 'has no rates'),
        ('r.json', '{"a"', 'is no JSON'),
        ('r.csv', 'a,1\n', "begins with .'a', '1'.; expected the header task,rate"),
        ('r.csv', '', 'begins with nothing'),
        ('r.csv', 'task,rate\na,1\na,2\n', "has the task 'a' twice"),
        ('r.csv', 'task,rate\na,-1\n', "rate of 'a' is '-1'"),
        ('r.csv', 'task,rate\na,"1\n', 'is no table'),
        ('r.csv', 'task,rate\na,1,2\n', "row 2 is .'a', '1', '2'.; expected a task and its rate"),
        ('r.txt', '', "ends with '.txt'; expected .json or .csv"),
    ],
)
def test_a_bad_file_of_rates_is_one_error_with_its_name(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as raised:
        MixtureConfig('toy', rates=str(tmp_path / name))
    assert str(tmp_path / name) in str(raised.value)


def test_stages_of_a_curriculum():
    late = {task: rate for task, rate in GIVEN.items() if task != 'toy_summary'}
    config = MixtureConfig(
        'toy',
        temperature=2.0,
        stages=(
            Stage(11, include=['toy_nli*'], scheme='equal'),
            Stage(21, exclude=['toy_summary'], rates=late, temperature=1.0),
            Stage(31),
        ),
    )
    for mixture, gone in ((config, ()), (config.replace(held_out='sentiment'), ('toy_sentiment',))):
        found = mixtures.resolve(mixture)
        (first, equal), (second, given), (third, same) = found.stages
        assert (first, second, third) == (11, 21, 31)
        assert mixtures.rates(equal, COUNTS) == {'toy_nli': 1, 'toy_nli2': 1}
        assert mixtures.rates(given, COUNTS) == {task: late[task] for task in late if task not in gone}
        assert mixtures.rates(same, COUNTS) == mixtures.rates(found, COUNTS)


def test_rates_from_recorded_sizes():
    sized = Collection(
        'sized',
        (data_set('big', 'nli', train_examples=50_000), data_set('unknown', 'math')),
        max_rates={'big': 70},
    )
    registry.COLLECTIONS['sized'] = sized
    mixture = mixtures.resolve('sized')
    assert mixtures.published(mixture) == {'big': 50_000} and mixtures.rates(
        mixture, mixtures.published(mixture)
    ) == {'big': 70}
    assert data_set('big', 'nli').fingerprint() == sized.specs[0].fingerprint()


def test_tasks_without_examples_take_no_part():
    assert mixtures.rates(mixtures.resolve('toy'), {'toy_summary': 10}) == {'toy_summary': 10}


def test_held_out_cluster_leaves_with_what_overlaps():
    for mixture in (
        mixtures.resolve('toy_held_out_nli'),
        mixtures.resolve(MixtureConfig('toy', held_out='nli')),
    ):
        assert (mixture.held_out, mixture.removed) == ('nli', ('paraphrase',))
        assert tasks(mixture) == ['toy_sentiment', 'toy_summary']
    sentiment = mixtures.resolve('toy_held_out_sentiment')
    assert sentiment.removed == () and len(sentiment.entries) == 4


def test_other_hold_outs_and_what_is_held_out():
    for index in range(10):
        train = tasks(mixtures.resolve(f'toy_intra_{index}'))
        test = tasks(mixtures.resolve(f'toy_intra_{index}_eval'))
        assert len(test) == 1 and test[0].startswith('toy_nli') and sorted(train + test) == sorted(COUNTS)
        assert (
            mixtures.resolve(MixtureConfig('toy', held_out=f'intra_{index}')).entries
            == mixtures.resolve(f'toy_intra_{index}').entries
        )
    assert tasks(mixtures.resolve('toy_held_out_nli_eval')) == ['toy_nli', 'toy_nli2']


def test_lineage_is_named_dropped_or_left_alone(caplog):
    members = (
        data_set('schemas', 'coreference', lineage=('Winograd', 'all')),
        data_set('recast', 'nli', lineage=('Winograd', 'all')),
        data_set('other', 'sentiment', lineage=('all',)),
    )
    registry.COLLECTIONS['kin'] = Collection('kin', members)
    found = {
        lineage: mixtures.resolve(MixtureConfig('kin_held_out_coreference', lineage=lineage))
        for lineage in ('off', 'warn', 'strict')
    }
    assert {lineage: tasks(mixture) for lineage, mixture in found.items()} == {
        'off': ['recast', 'other'], 'warn': ['recast', 'other'], 'strict': ['other'],
    }  # fmt: skip
    assert (
        found['warn'].shared == found['strict'].shared == {'recast': {'Winograd': ('schemas',)}}
        and not found['off'].shared
    )
    assert [record.message for record in caplog.records] == [
        f'kin_held_out_coreference: {verb} of the same origin as what is held out: recast (Winograd, as in '
        'schemas).'
        for verb in ('trained on, with text', 'left out of training, with text')
    ]


def test_one_data_set_is_a_mixture():
    mixture = mixtures.resolve('toy_sentiment')
    assert (
        tasks(mixture) == ['toy_sentiment']
        and mixture.collection is TOY
        and mixture.entries[0].max_examples == 100
    )


def test_include_and_exclude():
    asked = MixtureConfig('toy', include=['toy_nli*', 'toy_summary'], exclude=['toy_nli2'])
    assert tasks(mixtures.resolve(asked)) == ['toy_nli', 'toy_summary']
    assert tasks(mixtures.resolve(MixtureConfig('toy_held_out_nli', exclude=['toy_nli']))) == [
        'toy_sentiment',
        'toy_summary',
    ]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            {'name': 'toi'},
            "unknown mixture or task 'toi' .*--import=MODULE.*did you mean toy.*the collections are .*pocket.*toy",
        ),
        ({'name': 'toy_sentimant'}, 'did you mean toy_sentiment'),
        ({'name': 'toy_heldout_nli'}, 'did you mean toy_held_out_nli'),
        (
            {'name': 'toy_held_out_nil'},
            "unknown cluster 'nil'; did you mean nli.*the clusters are nli, paraphrase, sentiment, "
            'summarization',
        ),
        ({'name': 'toy_held_out_math'}, "unknown cluster 'math'"),
        ({'name': 'toy', 'held_out': 'translation'}, "unknown cluster 'translation'"),
        ({'name': 'toy_held_out_nli', 'held_out': 'sentiment'}, 'expected only one'),
        ({'name': 'toy_nli', 'held_out': 'nli'}, 'is no collection'),
        ({'name': 'toy', 'scheme': 'even'}, "scheme is 'even'; expected one of proportional, equal, unimax"),
        ({'name': 'toy', 'scheme': 'unimax'}, 'budget is None'),
        (
            {'name': 'toy', 'rates': {'toy_nle': 1, 'toy_nli': 1}},
            "has unknown tasks, 'toy_nle'; did you mean toy_nli.* and no rate for 'toy_nli2', 'toy_para",
        ),
        ({'name': 'toy', 'rates': dict.fromkeys(GIVEN, 0)}, 'is 0 for all tasks that train'),
        ({'name': 'toy', 'rates': {'toy_nli': -1}}, "rates.'toy_nli'. is -1; expected a number from 0"),
        ({'name': 'toy', 'rates': GIVEN, 'scheme': 'equal'}, 'expected rates alone'),
        ({'name': 'toy', 'rates': '/no/such.json'}, 'there is no file /no/such.json'),
        ({'name': 'toy', 'scheme': 'epochs', 'epochs': {'toy_nle*': 1}}, "'toy_nle.', which matches no task"),
        ({'name': 'toy', 'epochs': {'toy_nli': 0}}, "epochs.'toy_nli'. is 0"),
        ({'name': 'toy', 'epochs': 2}, "epochs are set, and the scheme is 'proportional'"),
        ({'name': 'toy', 'stages': [Stage(5, epochs=2), Stage(9, scheme='epochs')]}, 'epochs are set'),
        ({'name': 'toy', 'stages': [Stage(5), Stage(5)]}, r'begin at the steps .5, 5.; expected each later'),
        ({'name': 'toy', 'stages': [Stage(5, include=['toy_x'])]}, "has no task 'toy_x'"),
        (
            {'name': 'toy_held_out_nli', 'stages': [Stage(5, include=['toy_nli'])]},
            'the stage from step 5 leaves no task',
        ),
        ({'name': 'toy', 'stages': [Stage(5, scheme='unimax')]}, 'budget is None'),
        ({'name': 'toy', 'stages': [Stage(5, rates={'toy_nli': 1})]}, 'from step 5.*no rate for'),
        ({'name': 'toy', 'lineage': 'loose'}, "lineage is 'loose'; expected one of strict, warn, off"),
        ({'name': 'toy_intra_10'}, 'did you mean toy_intra_1'),
        ({'name': 'toy', 'max_rate': 0}, 'max_rate is 0'),
        ({'name': 'toy_0templates'}, 'templates_per_task is 0'),
        ({'name': 'toy', 'temperature': 0}, 'temperature is 0'),
        ({'name': 'toy', 'exclude': ['toy_nle']}, "no task 'toy_nle'; did you mean toy_nli"),
        ({'name': 'toy_held_out_nli', 'include': ['toy_nli']}, 'no task of the mixture .* is left'),
    ],
)
def test_mistakes_are_told_with_the_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixtures.rates(mixtures.resolve(MixtureConfig(**arguments)), COUNTS)


def test_builtin_collections_are_imported_only_when_named(monkeypatch, tmp_path):
    for name in ('madeup', 'madeup_more'):
        (tmp_path / name).mkdir()
        (tmp_path / name / '__init__.py').write_text(
            f'import dataclasses\nfrom flanlite.data.specs import registry\n'
            f'from flanlite.data.specs.collection import Collection\nfrom test_mixtures import data_set\n'
            f'registry.register(Collection("{name}", (data_set("{name}_task", "math"), '
            f'data_set("odd_{name}", "nli"))))\n'
        )
    package = __import__('flanlite.mixtures').mixtures
    monkeypatch.setattr(package, '__path__', [str(tmp_path)])
    monkeypatch.setitem(sys.modules, 'test_mixtures', sys.modules[__name__])
    try:
        assert naming.collection_names() == ['madeup', 'madeup_more', 'toy']
        assert mixtures.resolve('toy').entries and 'madeup' not in registry.COLLECTIONS
        assert (
            tasks(mixtures.resolve('madeup_more_held_out_nli')) == ['madeup_more_task']
            and 'madeup' not in registry.COLLECTIONS
        )
        assert tasks(mixtures.resolve('odd_madeup')) == ['odd_madeup']
    finally:
        for name in ('madeup', 'madeup_more'):
            sys.modules.pop(f'flanlite.mixtures.{name}', None)


def test_seqio_mixtures_keep_their_rates():
    seqio = pytest.importorskip('seqio')
    feature = {'targets': seqio.Feature(seqio.PassThroughVocabulary(10))}
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files, seed=None: None, ['train'], num_input_examples={'train': 50}
    )
    for name in ('user_a', 'user_b'):
        seqio.TaskRegistry.add(name, source=source, preprocessors=[], output_features=feature)
    seqio.MixtureRegistry.add('user_inner', [('user_a', 3), ('user_b', 1)])
    seqio.MixtureRegistry.add('user_outer', [('user_inner', 10), ('user_b', seqio.mixing_rate_num_examples)])
    counts = {'user_a': 7, 'user_b': 9}
    try:
        assert mixtures.rates(mixtures.resolve('user_outer'), counts) == {'user_a': 7.5, 'user_b': 52.5}
        assert mixtures.rates(mixtures.resolve(MixtureConfig('user_outer', max_rate=10)), counts) == {
            'user_a': 7.5,
            'user_b': 10,
        }
        assert mixtures.rates(mixtures.resolve(MixtureConfig('user_outer', scheme='equal')), counts) == {
            'user_a': 1,
            'user_b': 1,
        }
        assert mixtures.rates(mixtures.resolve('user_b'), counts) == {'user_b': 9}
        with pytest.raises(ValueError, match=r'did you mean .*user_inner'):
            mixtures.resolve('user_iner')
    finally:
        for name in ('user_outer', 'user_inner'):
            seqio.MixtureRegistry.remove(name)
        for name in ('user_a', 'user_b'):
            seqio.TaskRegistry.remove(name)


def test_the_rule_of_t0_counts_prompts(monkeypatch):
    prompted = {
        'toy_nli': Prompted(400_000, 3),
        'toy_nli2': Prompted(20_000, 3),
        'toy_summary': Prompted(20_000, 4, 2),
    }
    collection = dataclasses.replace(TOY, max_examples=None, max_rate=100_000, prompted=prompted)
    monkeypatch.setattr(registry, 'COLLECTIONS', {'toy': collection})
    rates = mixtures.rates(mixtures.resolve('toy'), COUNTS)
    assert rates == {
        'toy_nli': 99_999,
        'toy_nli2': 498,
        'toy_paraphrase': 2_000,
        'toy_sentiment': 100,
        'toy_summary': 40_000,
    }
    once = mixtures.rates(mixtures.resolve(MixtureConfig('toy', prompts=False)), COUNTS)
    assert (once['toy_nli'], once['toy_nli2'], once['toy_summary']) == (100_000, 500, 10_000)
    capped = mixtures.rates(mixtures.resolve(MixtureConfig('toy', max_examples=1_000)), COUNTS)
    assert (capped['toy_nli'], capped['toy_summary']) == (3_000, 2_000)
