"""Collections in SeqIO's registry: tokens, rates, what is held out, metrics, and T5X's configuration."""

import os
import subprocess
import sys

import numpy as np
import pytest
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
from toy_specs import BYTES, choices, colours, prose

from flanlite.cli import gin_config
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import mixtures
from flanlite.data.seqio_bridge import registration, tasks
from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection, Part, Prompted
from flanlite.data.specs.specs import Splits
from flanlite.data.tokens import seqio_vocabulary, vocabularies
from flanlite.mixtures import flan2022


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    yield
    seqio.TaskRegistry.reset()
    seqio.MixtureRegistry.reset()


def toy(name='toy', data_sets=None, **settings):
    made = Collection(
        name,
        data_sets or (colours(train_examples=500), choices(), prose()),
        **({'vocabulary': 'bytes'} | settings),
    )
    registry.register(made)
    return made


def rates(name):
    mixture = seqio.MixtureRegistry.get(name)
    return {task.name: mixture.get_rate(task) for task in mixture.tasks}


def examples(name, split, num_epochs=1, shuffle=False):
    lengths = {'inputs': 900, 'targets': 900}
    found = (
        seqio.get_mixture_or_task(name)
        .get_dataset(lengths, split=split, num_epochs=num_epochs, shuffle=shuffle)
        .take(300)
    )
    return sorted(
        (tuple(example['inputs'].tolist()), tuple(example['targets'].tolist()))
        for example in found.as_numpy_iterator()
    )


@pytest.mark.parametrize('shuffle', [False, True])
def test_mixtures_give_the_tokens_of_the_cache(tmp_path, shuffle):
    collection = toy(max_examples=7)
    assert registration.register(collection) == [
        'toy', 'toy_held_out_nli', 'toy_held_out_nli_eval', 'toy_held_out_closed_book_qa', 'toy_held_out_closed_book_qa_eval',
    ]  # fmt: skip
    parts = {
        'toy': ['toy_colours', 'toy_choices'],
        'toy_held_out_nli': ['toy_choices'],
        'toy_held_out_closed_book_qa': ['toy_colours'],
    }
    for name, members in parts.items():
        cached = cache.ensure(
            members, View('train', BYTES, max_examples=7), BuildOptions(tmp_path)
        ).splits.values()
        expected = {
            (tuple(e.inputs.tolist()), tuple(e.targets.tolist()))
            for split in cached
            for e in split.examples()
        }
        assert len(expected) == 7 * len(members)
        assert set(examples(name, 'train', num_epochs=None, shuffle=shuffle)) == expected
    assert len(examples('toy_held_out_nli_eval', 'test')) == 10


def test_what_is_registered_in_seqio_is_still_ours():
    collection = toy()
    for name in registration.register(collection):
        assert mixtures.resolve(name).collection is collection
    assert mixtures.resolve('toy_colours').collection is collection


def test_other_hold_outs_are_mixtures_too():
    names = registration.register(toy(data_sets=(colours('a'), colours('b'), choices())))
    assert {'toy_intra_0', 'toy_intra_0_eval', 'toy_held_out_nli'} < set(names)
    held = set(rates('toy_intra_0_eval'))
    assert (
        len(held) == 1 and held < {'a', 'b'} and set(rates('toy_intra_0')) == {'a', 'b', 'toy_choices'} - held
    )


def test_rates_are_recorded_or_counted():
    registration.register(toy(max_rate=300, max_rates={'toy_choices': 4}))
    assert rates('toy') == {'toy_colours': 300, 'toy_choices': 4}
    assert rates('toy_held_out_nli_eval') == {'toy_colours': 1}
    registry.COLLECTIONS.clear()
    like_t0 = toy('prompted', prompted={'b': Prompted(100, 8)}, data_sets=(colours('a'), choices('b')))
    registration.register(like_t0)
    assert rates('prompted') == {'a': 20, 'b': 800}, '20 of 23 rows are kept'


def test_parts_have_their_shares_and_caps():
    sized = {'a': 500, 'b': 60, 'd': 30}
    members = [colours(name, cluster='math' if name == 'b' else 'nli', train_examples=size) for name, size in sized.items()]
    parts = (Part('one', 0.6, ('a', 'b'), max_rate=120), Part('two', 0.3, ('toy_choices',), max_examples=9), Part('three', 0.1, ('d',)))
    registration.register(toy(data_sets=(*members, choices()), max_examples=None, max_rate=None, parts=parts))
    assert rates('toy') == pytest.approx({'a': 0.4, 'b': 0.2, 'toy_choices': 0.3, 'd': 0.1})
    assert rates('toy_held_out_math') == pytest.approx({'a': 0.6, 'toy_choices': 0.3, 'd': 0.1})
    assert seqio.TaskRegistry.get('toy_choices').num_input_examples('train') == 9


def counted(spec, split):
    return sum(spec.keep is None or spec.keep(row) for row in spec.source.rows(spec.splits.get(split)))


def test_sizes_weigh_tasks_in_mixtures_of_others():
    recorded = colours(train_examples=500, test_examples=40)
    untrained = colours('toy_untrained', splits=Splits(None, None, 'test'))
    registration.register(toy(data_sets=(recorded, choices(), untrained), max_examples=300))
    task = seqio.TaskRegistry.get('toy_colours')
    assert {split: task.num_input_examples(split) for split in task.splits} == {
        'train': 300, 'validation': counted(recorded, 'validation'), 'test': 40,
    }  # fmt: skip
    seqio.MixtureRegistry.add(
        'mine', ['toy_colours', 'toy_choices'], default_rate=seqio.mixing_rate_num_examples
    )
    unrecorded = counted(choices(), 'train')
    assert rates('mine') == {'toy_colours': 300, 'toy_choices': unrecorded} and 0 < unrecorded < 300
    assert tasks.task('toy_colours').num_input_examples('train') == 500, 'not cut'
    seqio.MixtureRegistry.add('tested', ['toy_untrained'], default_rate=1.0)
    assert mixtures.rates(mixtures.resolve('tested'), {'toy_untrained': 5}) == {'toy_untrained': 1}


def test_collections_that_share_data_sets():
    shared = colours()
    first = toy('first', (shared,))
    plus = toy('first_plus', (shared, choices()))
    bare = toy('bare', (shared,), vocabulary='bytes:no_input_eos')
    bare_plus = toy('bare_plus', (shared,), vocabulary='bytes:no_input_eos', max_rate=1)
    for collection in (first, plus, bare, bare_plus, first):
        registration.register(collection)
    assert sorted(seqio.TaskRegistry.names()) == ['bare_toy_colours', 'toy_choices', 'toy_colours']
    assert rates('bare_plus') == {'bare_toy_colours': 1} and rates('first_plus') == {
        'toy_colours': 20,
        'toy_choices': 9,
    }
    assert all(
        (*bare[0], 1) == ended[0]
        for bare, ended in zip(examples('bare', 'test'), examples('first', 'test'), strict=True)
    )
    with pytest.raises(ValueError, match='another task'):
        registration.register(first, vocabulary='pocket')


@pytest.mark.parametrize('passed', [False, True])
def test_what_is_evaluated_only_and_what_is_not_at_hand(passed, monkeypatch, tmp_path, caplog):
    data_dir = tmp_path if passed else None
    held = colours('held', splits=Splits(None, None, 'test'))
    far = choices('far', source=sources.Tfds('nowhere/far:1.0.0'))
    assert registration.register(toy('only_eval', (held,))) == ['only_eval', 'only_eval_held_out_nli_eval']
    registry.COLLECTIONS.clear()
    if not passed:
        monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path))
    names = registration.register(toy('there', (colours(), far)), data_dir=data_dir)
    assert names == ['there', 'there_held_out_nli_eval', 'there_held_out_closed_book_qa']
    assert rates('there') == {'toy_colours': 20}
    (tmp_path / 'half').mkdir()
    (tmp_path / 'half' / 'test.jsonl').write_text('{"thing": "x", "number": 1, "colour": 1, "skip": false}\n')
    half = colours('half', source=sources.JsonLines('half'))
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'train.jsonl').write_text('{"thing": \n')
    (tmp_path / 'bad' / 'test.jsonl').write_text((tmp_path / 'half' / 'test.jsonl').read_text())
    registry.COLLECTIONS.clear()
    lacking = [colours(name, source=sources.JsonLines(name)) for name in ('nowhere', 'bad')]
    registration.register(toy('partly', (half, choices('c'), *lacking)), data_dir=data_dir)
    assert not {'nowhere', 'bad'} & set(seqio.TaskRegistry.names())
    assert 'bad/train.jsonl, line 1 is no JSON' in caplog.text
    assert seqio.TaskRegistry.get('half').splits == ('test',) and rates('partly') == {'c': 9}
    assert (
        rates('partly_held_out_nli_eval') == {'half': 1}
        and len(examples('partly_held_out_nli_eval', 'test')) == 1
    )
    registry.COLLECTIONS.clear()
    registration.register(toy('all', (colours('b'), far)), at_hand=False)
    assert {task.name for task in seqio.MixtureRegistry.get('all').tasks} == {'b', 'far'}


def test_seqio_evaluator_scores():
    registration.register(toy())
    evaluator = seqio.Evaluator(
        'toy', feature_converter=seqio.EncDecFeatureConverter(pack=False), eval_split='test'
    )
    assert sorted(task.name for task in evaluator.eval_tasks) == ['toy_choices', 'toy_colours']

    def predict(dataset):
        rows = [
            (int(index), example['decoder_target_tokens']) for index, example in dataset.as_numpy_iterator()
        ]
        return [(index, tokens if index % 2 else np.full_like(tokens, 100)) for index, tokens in rows]

    metrics, *_ = evaluator.evaluate(compute_metrics=True, step=0, predict_fn=predict, score_fn=None)
    found = metrics.result() if hasattr(metrics, 'result') else metrics
    assert set(found) == {'toy_choices', 'toy_colours'}
    assert found['toy_colours']['accuracy'] == 50, (
        'a turned-around template is right where it asks the question'
    )


class NumbersTfds(tfds.core.GeneratorBasedBuilder):
    """A TFDS data set of twenty rows."""

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        features = {
            'thing': tfds.features.Text(),
            'colour': tfds.features.ClassLabel(num_classes=3),
            'skip': tfds.features.Scalar(tf.bool),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {'train': ((i, {'thing': str(i), 'colour': i % 3, 'skip': i % 2 == 1}) for i in range(20))}

    def _generate_examples(self):
        return {}


def test_the_cap_counts_kept_rows_of_tfds_as_of_files(tmp_path):
    NumbersTfds(data_dir=tmp_path).download_and_prepare()
    tfds.core.add_data_dir(tmp_path)
    fields = lambda row: {'question': row['thing'], 'thing': row['thing'], 'answer': row['colour']}  # noqa: E731
    common = {'splits': Splits('train', None, None), 'fields': fields}
    spec = colours(source=sources.Tfds('numbers_tfds:1.0.0'), **common)
    rows = list(spec.source.rows('train'))
    assert sum(row['skip'] for row in rows) == 10
    in_memory = colours('same', source=sources.InMemory(lambda split: rows), **common)
    registration.register(toy('sized', (spec, in_memory), max_examples=4))
    assert len(examples('toy_colours', 'train')) == 4
    assert examples('toy_colours', 'train') == examples('same', 'train')
    assert (
        len(list(tasks.first_kept(spec, spec.source.dataset('train'), 4)))
        == len(list(tasks.first_rows(spec, 'train', rows, 4)))
        < 20
    )


def test_tasks_share_one_tokenizer(monkeypatch):
    made = []
    original = seqio_vocabulary.tf_text.SentencepieceTokenizer
    monkeypatch.setattr(
        seqio_vocabulary.tf_text,
        'SentencepieceTokenizer',
        lambda **options: made.append(1) or original(**options),
    )
    seqio_vocabulary.make_tokenizer.cache_clear()
    registration.register(
        toy(data_sets=tuple(colours(f'task_{index}') for index in range(4)), vocabulary='pocket')
    )
    native = vocabularies.load('pocket')
    for index in range(4):
        for inputs, _ in examples(f'task_{index}', 'train')[:3]:
            assert native.encode(native.decode(inputs)) == list(inputs[:-1])
    assert len(made) == 1
    np.testing.assert_array_equal(
        native.to_seqio().encode_tf(tf.constant('a red house')), native.encode('a red house')
    )
    assert native.to_seqio() == seqio.SentencePieceVocabulary(native.path, extra_ids=native.extra_ids)


def test_pocket_registers_by_an_import():
    code = (
        'import sys, flanlite.mixtures.pocket as m\n'
        'assert "tensorflow" not in sys.modules and "seqio" not in sys.modules\n'
        'from flanlite.mixtures.pocket import in_seqio\n'
        'import seqio\n'
        'names = m.register()\n'
        'print(len(names), len(seqio.get_mixture_or_task("pocket_held_out_nli").tasks))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == ['45', '21'], (
        'the collection, and a pair for each of 12 clusters and 10 intra-cluster hold-outs'
    )


FINETUNE = """
from __gin__ import dynamic_registration
from t5x import utils
MIXTURE_OR_TASK_NAME = %gin.REQUIRED
infer_eval/utils.DatasetConfig:
  mixture_or_task_name = %MIXTURE_OR_TASK_NAME
  task_feature_lengths = None
utils.model.vocabulary = %VOCABULARY
"""
PARSE = """
import gin, seqio
from t5x import utils
gin.add_config_file_search_path({folder!r})
gin.parse_config_file({file!r})
gin.finalize()
with gin.config_scope('infer_eval'):
    name, lengths = gin.get_configurable(utils.DatasetConfig)()
found = seqio.get_mixture_or_task(name)
assert found.output_features['inputs'].vocabulary == gin.get_configurable(utils.model)()
print(name, lengths['inputs'], len(found.tasks))
"""


def test_t5x_configuration_parses(tmp_path):
    files = {
        '__init__.py': '',
        'utils.py': 'def DatasetConfig(mixture_or_task_name, task_feature_lengths):\n  return '
        'mixture_or_task_name, task_feature_lengths\n'
        'def model(vocabulary):\n  return vocabulary\n',
        'examples/t5/t5_1_1/small.gin': 'VOCABULARY = None\n',
        'configs/runs/finetune.gin': FINETUNE,
    }
    for name, content in files.items():
        path = tmp_path / 't5x' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / '__init__.py').touch()
        path.write_text(content)
    code = PARSE.format(
        folder=str(tmp_path), file=str(gin_config.find_gin_file('gin/t5x/finetune_flan2021.gin'))
    )
    settings = {
        'FLANLITE_T5_VOCAB': vocabularies.find_model('pocket'),
        'PYTHONPATH': os.pathsep.join([str(tmp_path), *sys.path]),
    }
    environment = {
        name: value for name, value in os.environ.items() if name != 'FLANLITE_DATA_DIR'
    } | settings
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ['flan2021', '1024', '69'], done.stderr[-2000:]


def test_one_collection_of_flan_2022_at_a_time():
    names = flan2022.register('flan2022_dialog', vocabulary='bytes', at_hand=False)
    assert names[0] == 'flan2022_dialog' and {name.startswith('flan2022_dialog') for name in names} == {True}
    found = rates('flan2022_dialog')
    assert found['wiki_dialog_inverted'] == pytest.approx(0.3 * found['wiki_dialog'])
    assert sum(found.values()) == pytest.approx(1) and 'wiki_dialog' in seqio.TaskRegistry.names()
    with pytest.raises(ValueError, match=r"unknown collection 'flan2022_dialogue'; did you mean flan2022_dialog"):
        flan2022.register('flan2022_dialogue')
