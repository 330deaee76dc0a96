import dataclasses
import functools
import glob
import itertools
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import seqio
import tensorflow as tf
import tensorflow_datasets as tfds
import toy_tokenizers
from toy_specs import BYTES, choices, colours, make_rows, prose

from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering import rendering, seqio_tasks
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import fingerprints, registry, sources, text
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.specs import Splits
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies


@pytest.fixture(autouse=True)
def no_collections(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    yield
    seqio.TaskRegistry.reset()
    seqio.MixtureRegistry.reset()


def register(*data_sets):
    registry.register(Collection('toy', data_sets, vocabulary='bytes'))


def through_seqio(task, split):
    return list(task.get_dataset(sequence_length=None, split=split, shuffle=False).as_numpy_iterator())


def texts(values):
    return tuple(value.decode() for value in values)


@pytest.mark.parametrize('spec', [colours(), choices()], ids=lambda spec: spec.name)
@pytest.mark.parametrize('split', ['train', 'test'])
@pytest.mark.parametrize('style', ['instructions', 'fields'])
def test_native_and_seqio_ways_agree(spec, split, style):
    register(spec)
    native = {example.row: example for example in rendering.examples(spec, split, BYTES, style=style)}
    ours = through_seqio(tasks.task(spec.name, style=style), split)
    assert [int(example['row']) for example in ours] == sorted(native)
    for example in ours:
        expected = native[int(example['row'])]
        np.testing.assert_array_equal(example['inputs'], expected.inputs)
        np.testing.assert_array_equal(example['targets'], expected.targets)
        assert int(example['template']) == expected.template
        if split != 'train':
            assert (texts(example['options']), texts(example['answers'])) == (
                expected.options,
                expected.answers,
            )


@pytest.mark.parametrize('change', [{'colour': None}, {'thing': None}, {'colour': 3}, {'skip': ...}])
def test_rows_that_cannot_be_rendered_are_named_in_both_ways(change):
    rows = make_rows('train')
    rows[4] = {name: value for name, value in (rows[4] | change).items() if value is not ...}
    spec = colours(source=sources.InMemory(lambda split: rows))
    register(spec)
    for way in (
        lambda: list(rendering.examples(spec, 'train', BYTES)),
        lambda: through_seqio(tasks.task(spec.name), 'train'),
    ):
        with pytest.raises(ValueError, match=r"'toy_colours', train row 4: .*the row has id"):
            way()


@pytest.mark.parametrize('ending', ['', ':chat'])
def test_tasks_of_a_hugging_face_vocabulary(tmp_path, ending):
    folder = toy_tokenizers.llama(tmp_path / 'llama', bos='<|im_start|>')
    pathlib.Path(folder, 'chat_template.jinja').write_text(toy_tokenizers.CHAT)
    vocabulary = vocabularies.load(folder + ending)
    register(colours())
    made = tasks.register('toy_colours', seqio_name='in_pieces', vocabulary=vocabulary)
    native = [
        (example.inputs.tolist(), example.targets.tolist())
        for example in rendering.examples(colours(), 'train', vocabulary)
    ]
    assert native[0][0][0] == 264
    assert [
        (each['inputs'].tolist(), each['targets'].tolist()) for each in through_seqio(made, 'train')
    ] == native
    assert vocabularies.name_of_seqio(made.output_features['inputs']) == vocabulary.name
    cached = ensure('in_pieces', tmp_path, vocabulary=vocabulary).splits['in_pieces']
    assert [(each.inputs.tolist(), each.targets.tolist()) for each in cached.examples()] == native


def test_rendering_r_takes_the_next_template():
    register(colours())
    ways = [through_seqio(tasks.task('toy_colours', rendering=number), 'train') for number in range(3)]
    for first, second in itertools.pairwise(ways):
        assert [(int(a['template']) + 1) % 5 for a in first] == [int(b['template']) for b in second]


def test_the_graph_has_no_python():
    register(colours())
    dataset = tasks.task('toy_colours').get_dataset(None, split='train', shuffle=False)
    assert 'PyFunc' not in str(dataset._as_serialized_graph())


class ToyTfds(tfds.core.GeneratorBasedBuilder):
    """A little TFDS data set."""

    VERSION = tfds.core.Version('1.0.0')

    def _info(self):
        answers = tfds.features.Sequence({'text': tfds.features.Text()})
        features = {
            'text': tfds.features.Text(),
            'label': tfds.features.ClassLabel(num_classes=2),
            'answers': answers,
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {'train': self.make(30), 'validation': self.make(10)}

    def make(self, count):
        for index in range(count):
            yield (
                index,
                {
                    'text': f'tëxt {index}',
                    'label': index % 2,
                    'answers': [{'text': f'a{n}'} for n in range(1 + index % 3)],
                },
            )

    def _generate_examples(self):
        return {}


def test_tfds_rows_are_plain_python_and_agree_with_seqio(tmp_path, monkeypatch):
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    ToyTfds(data_dir=tmp_path).download_and_prepare()
    tfds.core.add_data_dir(tmp_path)
    spec = colours(
        'toy_from_tfds',
        source=sources.Tfds('toy_tfds:1.0.0'),
        keep=lambda row: row['label'] >= 0,
        options=('no', 'yes'),
        splits=Splits('train[:-5]', 'train[-5:]', 'validation'),
        fields=lambda row: {
            'question': row['text'], 'thing': row['text'], 'number': 1, 'answer': row['label'], 'answers': row['answers']['text'],
        },
    )  # fmt: skip
    register(spec)
    rows = list(spec.source.rows('train[:4]'))
    assert all(
        type(row['text']) is str and type(row['label']) is int and type(row['answers']['text']) is list
        for row in rows
    )
    assert isinstance(tasks.task(spec.name).source, seqio.TfdsDataSource)
    for split, count in (('train', 25), ('validation', 5)):
        native = {example.row: example.inputs.tolist() for example in rendering.examples(spec, split, BYTES)}
        assert len(native) == count
        assert {
            int(example['row']): example['inputs'].tolist()
            for example in through_seqio(tasks.task(spec.name), split)
        } == native


def test_bytes_of_tfds_that_are_not_utf_8_are_the_same_in_both_ways():
    things = [b'a\xffb', b'\xed\xa0\xbd', b'\xc0\x80\x00', b'caf\xe9 \xf0\x9f\x98']
    dataset = tf.data.Dataset.from_tensor_slices(
        {'thing': things, 'more': tf.ragged.constant([things, [], things[:1], []])}
    )
    spec = colours(
        keep=None,
        fields=lambda row: {
            'question': row['thing'], 'thing': row['thing'], 'answer': text.strip(row['thing']), 'answers': row['more'],
        },
        options=(),
        templates=(Template('{question}'),),
    )  # fmt: skip
    native = [spec.example(sources.to_python(row)) for row in dataset.as_numpy_iterator()]
    ours = tasks.render_tensors(dataset, spec=spec, shown=spec.templates, rendering=0).as_numpy_iterator()
    assert [(row['inputs'].decode(), texts(row['answers'])) for row in ours] == [
        (example['texts']['question'], example['answers']) for example in native
    ]


def test_missing_tfds_data_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    monkeypatch.setattr(
        tfds, 'load', lambda *args, **options: (_ for _ in ()).throw(ConnectionError('no network'))
    )
    with pytest.raises(ValueError, match=r'no network.*tfds build glue/rte.*glue_rte/train.jsonl'):
        list(sources.Tfds('glue/rte:2.0.0').rows('train[:3]'))


def add_task(name, texts_of, vocabulary=None, features=('inputs', 'targets'), also=()):
    feature = seqio.Feature(vocabulary or BYTES.to_seqio(), add_eos=True)

    def dataset(split, shuffle_files, seed=None):
        return tf.data.Dataset.from_tensor_slices(
            {key: [texts_of(split, key, index) for index in range(12)] for key in features}
        )

    return seqio.TaskRegistry.add(
        name, source=seqio.FunctionDataSource(dataset, splits=['train', 'validation']),
        preprocessors=[seqio.preprocessors.tokenize, *also, seqio.preprocessors.append_eos],
        output_features=dict.fromkeys(features, feature), metric_fns=[],
    )  # fmt: skip


def ensure(name, tmp_path, split='train', vocabulary=BYTES, **view):
    return cache.ensure([name], View(split, vocabulary, **view), BuildOptions(tmp_path))


def test_a_users_seqio_task_has_exemplars_of_its_training_data(tmp_path):
    add_task('shot_task', lambda split, key, index: f'{split} {key} {index}')
    alone = {
        split: ensure('shot_task', tmp_path, split=split).splits['shot_task']
        for split in ('train', 'validation')
    }
    for split, plain in alone.items():
        asked = ensure('shot_task', tmp_path, split=split, shots=Shots(3, 500)).splits['shot_task']
        assert asked.path != plain.path and asked.manifest['shots']['kept'] == {'3': 12}
        for own, example in zip(plain.examples(), asked.examples(), strict=True):
            pairs = re.findall(r'Question: (.*)\nAnswer:(?: (.*)\n\n)?', BYTES.decode(example.inputs))
            *before, (question, _) = pairs
            assert (question, example.row, example.shots) == (f'{split} inputs {own.row}', own.row, 3)
            assert [inputs.replace('inputs', 'targets') for inputs, _ in before] == [
                targets for _, targets in before
            ]
            assert all(inputs.startswith('train') and inputs != question for inputs, _ in before)
            assert example.targets.tolist() == own.targets.tolist() and example.answers == own.answers
            assert example.fields == own.fields
    few = ensure('shot_task', tmp_path, shots=Shots(20, 9_999)).splits['shot_task']
    assert {example.shots for example in few.examples()} == {11}, 'all but itself'

    mix = PromptMix(shares={'zs_opt': 1, 'fs_noopt': 2}, noopt_shots=(2,))
    mixed = ensure('shot_task', tmp_path, prompt_mix=mix).splits['shot_task']
    for own, example in zip(alone['train'].examples(), mixed.examples(), strict=True):
        assert (example.setting, example.shots) == (
            mix.draw('shot_task', own.row).setting,
            2 * (example.setting == 'fs_noopt'),
        )
        assert BYTES.decode(example.inputs).count('train inputs') == example.shots + 1
        assert example.shots or example.inputs.tolist() == own.inputs.tolist()

    def reverse(dataset):
        return dataset.map(lambda example: example | {'inputs': example['inputs'][::-1]})

    add_task('turned_task', lambda split, key, index: f'{key} {index}', also=(reverse,))
    turned = ensure('turned_task', tmp_path, shots=Shots(1)).splits['turned_task']
    assert BYTES.decode(turned.read(7).inputs).endswith('Question: 7 stupni\nAnswer:'), (
        'the ids, not the text before'
    )
    assert mixtures.resolve(MixtureConfig('shot_task', shots=2)).shots == Shots(2)
    with pytest.raises(ValueError, match="'shot_task' is SeqIO's: got templates_per_task=2"):
        mixtures.resolve(MixtureConfig('shot_task', templates_per_task=2))


def test_a_users_seqio_task_goes_through_the_cache(tmp_path):
    add_task('my_task', lambda split, key, index: f'{split} {key} {index}')
    cached = ensure('my_task', tmp_path).splits['my_task']
    assert [BYTES.decode(example.inputs) for example in cached.examples()] == [
        f'train inputs {index}' for index in range(12)
    ]
    assert cached.read(3).targets[-1] == 1 and cached.read(3).row == 3
    cut = ensure('my_task', tmp_path, split='validation', max_examples=5).splits['my_task']
    found = [(example.row, BYTES.decode(example.targets), example.answers) for example in cut.examples()]
    assert found == [
        (row, f'validation targets {row}', (f'validation targets {row}',)) for row, _, _ in found
    ]
    assert [row for row, _, _ in found] != list(range(5)), 'a sample, not the first'
    assert len(list(tmp_path.glob('my_task/train*'))) == 1
    seqio.TaskRegistry.reset()
    add_task('my_task', lambda split, key, index: f'{split} {key} {index}!')
    assert BYTES.decode(ensure('my_task', tmp_path).splits['my_task'].read(0).inputs) == 'train inputs 0!'


def test_a_seqio_tasks_shards_may_lie_in_folders_of_any_name(tmp_path):
    """SeqIO takes their names for patterns."""
    folder = tmp_path / 'lr[1e-3] %20#?*{}' / '\'"~日'
    folder.mkdir(parents=True)
    for shard in range(2):
        (folder / f'{shard}.txt').write_text(f'{shard}\n')
    for name, pattern in (('escaped', f'{glob.escape(str(folder))}/*.txt'), ('as_it_is', f'{folder}/*.txt')):
        seqio.TaskRegistry.add(
            name, source=seqio.TextLineDataSource({'train': pattern}),
            preprocessors=[lambda dataset: dataset.map(lambda line: {'inputs': line, 'targets': line}), seqio.preprocessors.tokenize],
            output_features=dict.fromkeys(('inputs', 'targets'), seqio.Feature(BYTES.to_seqio())), metric_fns=[],
        )  # fmt: skip
    cached = ensure('escaped', tmp_path).splits['escaped']
    assert sorted(BYTES.decode(example.inputs) for example in cached.examples()) == ['0', '1']
    assert (
        f'No file is found for the file pattern: {folder}' in ensure('as_it_is', tmp_path).skipped['as_it_is']
    )


class Doubler:
    """A preprocessor with a setting, as an object."""

    def __init__(self, times):
        self.times = times

    def __call__(self, dataset):
        return dataset.repeat(self.times)


def add_tasks_of_all_kinds():
    """Register tasks with whatever may be written with an address in memory."""
    vocabularies_of = {
        'of_bytes': seqio.ByteVocabulary(),
        'of_pieces': vocabularies.load('pocket').to_seqio(),
        'passed': seqio.PassThroughVocabulary(9),
    }
    for name, vocabulary in vocabularies_of.items():
        texts = {'a', 'b', 'c'}
        also = [Doubler(2), functools.partial(lambda dataset, by: dataset.take(by), by=5), seqio.CacheDatasetPlaceholder()]  # fmt: skip
        add_task(name, lambda split, key, index, texts=texts: sorted(texts)[index % 3], vocabulary, also=also)
    return vocabularies_of


def test_every_process_finds_the_caches_of_seqio_tasks():
    names = list(add_tasks_of_all_kinds())
    code = (
        'import test_tasks as t; '
        'print(*[t.seqio_tasks.seqio_fingerprint(name) for name in t.add_tasks_of_all_kinds()])'
    )
    elsewhere = subprocess.run(
        [sys.executable, '-c', code],
        cwd=pathlib.Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {'PYTHONHASHSEED': '1', 'PYTHONPATH': os.pathsep.join(sys.path)},
    ).stdout.split()
    assert elsewhere == [seqio_tasks.seqio_fingerprint(name) for name in names]
    seqio.TaskRegistry.get('of_pieces').output_features['inputs'].vocabulary.encode('loaded at its first use')
    assert elsewhere == [seqio_tasks.seqio_fingerprint(name) for name in names]


def test_preprocessors_that_read_files_are_named(caplog):
    def renamed(dataset):
        return dataset.take(len(pathlib.Path('names.txt').read_text()))

    add_task('reading', lambda split, key, index: 'a', also=[renamed])
    add_task('plain', lambda split, key, index: 'a')
    for name in ('plain', 'reading', 'reading'):
        seqio_tasks.seqio_fingerprint(name)
    (said,) = caplog.messages
    assert "the SeqIO task 'reading': " in said and 'renamed calls read_text' in said
    assert 'build it again with --rebuild' in said


def test_settings_of_features_count():
    feature = seqio.Feature(seqio.ByteVocabulary(3))
    others = [
        feature,
        seqio.Feature(seqio.ByteVocabulary(4)),
        seqio.Feature(seqio.PassThroughVocabulary(3)),
        *[
            dataclasses.replace(feature, **change)
            for change in ({'add_eos': False}, {'dtype': tf.int64}, {'rank': 2}, {'required': False})
        ],
    ]
    found = {fingerprints.of(seqio_tasks.feature_settings(each)) for each in others}
    assert len(found) == len(others)
    again = seqio.Feature(seqio.ByteVocabulary(3))
    assert fingerprints.of(seqio_tasks.feature_settings(again)) in found


def test_seqio_tasks_that_do_not_fit_are_skipped_with_the_reason(tmp_path):
    add_task('decoder_only', lambda split, key, index: 'a', features=('targets',))
    add_task('other_tokens', lambda split, key, index: 'a', vocabulary=seqio.ByteVocabulary(3))
    assert 'expected inputs and targets' in ensure('decoder_only', tmp_path).skipped['decoder_only']
    assert (
        "tokens of 'bytes:extra_ids=3', not of 'bytes'"
        in ensure('other_tokens', tmp_path).skipped['other_tokens']
    )
    add_task('fine', lambda split, key, index: 'a')
    assert "no split 'test', only" in ensure('fine', tmp_path, split='test').skipped['fine']


def test_a_preprocessor_that_needs_lengths_says_so(tmp_path):
    add_task(
        'cut',
        lambda split, key, index: 'a',
        also=[lambda dataset, sequence_length: dataset.take(sequence_length['inputs'])],
    )
    assert 'fails with sequence_length=None' in ensure('cut', tmp_path).skipped['cut']


def test_a_seqio_mixture_brings_its_vocabulary_and_rates(tmp_path):
    for name, vocabulary in (('bare', seqio.ByteVocabulary()), ('full', seqio.ByteVocabulary(125))):
        add_task(name, lambda split, key, index: f'{split} {index}', vocabulary=vocabulary)
    seqio.MixtureRegistry.add(
        'mine', ['bare', 'full'], default_rate=functools.partial(seqio.mixing_rate_num_examples, scale=2.0)
    )
    mixture = mixtures.resolve('mine')
    assert mixture.vocabulary == 'bytes'
    cached = cache.ensure(['bare', 'full'], View('train', mixture.vocabulary), BuildOptions(tmp_path))
    assert {name: split.num_examples for name, split in cached.splits.items()} == {'bare': 12, 'full': 12}
    assert mixtures.rates(mixture, {'bare': 12, 'full': 10}) == {'bare': 24, 'full': 20}
    seqio.MixtureRegistry.add('broken', ['bare'], default_rate=lambda task: {}['rate'])
    with pytest.raises(ValueError, match="rates of SeqIO's mixture 'broken' cannot be computed: KeyError"):
        mixtures.rates(mixtures.resolve('broken'), {'bare': 12})


def test_a_users_task_is_not_replaced_by_a_data_set_of_its_name(tmp_path):
    register(colours(), choices())
    tasks.register('toy_choices')
    add_task('toy_colours', lambda split, key, index: f'own {split} {index}')
    seqio.MixtureRegistry.add('my_mix', [('toy_colours', 2.0), ('toy_choices', 1.0)])
    mixture = mixtures.resolve('my_mix')
    names = [entry.task for entry in mixture.entries]
    assert sorted(names) == ['seqio:toy_colours', 'toy_choices'] and mixture.vocabulary == 'bytes'
    assert mixtures.rates(mixture, dict.fromkeys(names, 9)) == {'seqio:toy_colours': 2, 'toy_choices': 1}
    splits = cache.ensure(names, View('train', BYTES), BuildOptions(tmp_path)).splits
    assert BYTES.decode(splits['seqio:toy_colours'].read(3).inputs) == 'own train 3'
    ours = [example.inputs.tolist() for example in rendering.examples(choices(), 'train', BYTES)]
    assert [example.inputs.tolist() for example in splits['toy_choices'].examples()] == ours
    theirs = ensure('toy_colours', tmp_path).splits['toy_colours']
    assert BYTES.decode(theirs.read(3).inputs) != 'own train 3', 'a bare name is the data set to the cache'


def test_a_name_of_two_is_refused_and_can_be_said():
    register(colours(), choices())
    tasks.register('toy_choices')
    for name in ('toy_colours', 'mine'):
        add_task(name, lambda split, key, index: 'a')
    assert mixtures.resolve('toy_3templates').templates_per_task == 3, 'SeqIO has no such name'
    ours = ('toy', 'toy_held_out_nli', 'toy_2templates')
    for name in (*ours, 'mine_2templates'):
        seqio.MixtureRegistry.add(name, ['mine'], default_rate=1.0)
    for name in ('toy_colours', *ours):
        with pytest.raises(ValueError, match=f"{name!r} is a name of the collection 'toy'.*'seqio:{name}'"):
            mixtures.resolve(name)
        assert mixtures.resolve(f'seqio:{name}').collection is None
    for name in ('seqio:toy', 'mine_2templates', 'seqio:mine_2templates'):
        assert [entry.task for entry in mixtures.resolve(name).entries] == ['mine']
    assert [entry.task for entry in mixtures.resolve('seqio:toy_colours').entries] == ['seqio:toy_colours']
    assert [entry.task for entry in mixtures.resolve('seqio:mine').entries] == ['mine'], 'one cache'
    assert mixtures.resolve('toy_choices').collection.name == 'toy', 'what we registered is ours'
    with pytest.raises(ValueError, match="unknown mixture or task 'seqio:nothing'"):
        mixtures.resolve('seqio:nothing')


def test_the_vocabulary_of_a_seqio_task():
    no_eos = seqio.Feature(seqio.ByteVocabulary(3), add_eos=False)
    assert vocabularies.name_of_seqio(no_eos) == 'bytes:extra_ids=3:no_input_eos'
    assert (
        vocabularies.name_of_seqio(seqio.Feature(seqio.SentencePieceVocabulary('a.model', 100))) == 'a.model'
    )
    with pytest.raises(ValueError, match='PassThroughVocabulary; expected a ByteVocabulary'):
        vocabularies.name_of_seqio(seqio.Feature(seqio.PassThroughVocabulary(10)))
    pocket = vocabularies.load('pocket')
    assert pocket.has_ids_of(seqio.SentencePieceVocabulary(pocket.path, pocket.extra_ids))
    assert pocket.has_ids_of(seqio.SentencePieceVocabulary(pocket.path)) and not pocket.has_ids_of(
        seqio.ByteVocabulary()
    )


def test_registered_tasks_are_known_to_seqio_and_score():
    register(choices())
    made = tasks.register('toy_choices')
    assert seqio.TaskRegistry.get('toy_choices') is made and made.splits == ('train', 'test')
    example = through_seqio(made, 'test')[2]
    targets = made.postprocess_fn('2a', example=example, is_target=True)
    assert targets == ['2x', '2x']
    assert (
        made.metric_fns[0]([targets, ['b']], [made.postprocess_fn('2x', is_target=False), 'c'])['accuracy']
        == 50
    )


def test_what_is_no_data_set():
    register(prose())
    with pytest.raises(ValueError, match='is no registered data set'):
        tasks.task('toy_nothing')
    with pytest.raises(ValueError, match='is plain text'):
        tasks.task('toy_prose')


def test_columns_fill_what_is_missing():
    rows = [{'a': 'x', 'b': [1], 'c': {'d': 1.5}}, {'a': None, 'b': [], 'c': {}}, {'b': [2, 3], 'e': True}]
    found = list(tasks.rows_dataset(rows).as_numpy_iterator())
    assert [row['a'] for row in found] == [b'x', b'', b'']
    assert [row['b'].tolist() for row in found] == [[1], [], [2, 3]]
    assert [(float(row['c']['d']), bool(row['e'])) for row in found] == [(1.5, False), (0, False), (0, True)]


@pytest.mark.parametrize('values', [('x', 5), (2**70, 1), (['x'], 'x'), ({'b': 1}, 3), ([[1], 2],)])
def test_columns_of_several_types_are_named(values):
    with pytest.raises(ValueError, match=r"for their field 'a' .*expected values of one type"):
        tasks.rows_dataset([{'a': value, 'c': 1} for value in values])


def test_columns_of_records_are_records_of_columns():
    first = [{'b': 'x', 'c': {'d': 1}, 'e': [{}]}, {'b': None, 'c': {'d': 2}, 'e': []}]
    rows = [{'a': first}, {'a': []}, {'a': [{'b': 'y', 'c': {'d': 3}}]}]
    found = list(tasks.rows_dataset(rows).as_numpy_iterator())
    assert [row['a']['b'].tolist() for row in found] == [[b'x', b''], [], [b'y']]
    assert [row['a']['c']['d'].tolist() for row in found] == [[1, 2], [], [3]]
    assert 'e' not in found[0]['a']


def test_inputs_without_eos():
    register(colours(), prose())
    bare = vocabularies.load('bytes:no_input_eos')
    assert (bare.input_eos, BYTES.input_eos) == (False, True) and bare.fingerprint() != BYTES.fingerprint()
    for split in ('train', 'test'):
        native = {example.row: example for example in rendering.examples(colours(), split, bare)}
        usual = {example.row: example for example in rendering.examples(colours(), split, BYTES)}
        ours = through_seqio(tasks.task('toy_colours', vocabulary=bare), split)
        assert len(ours) == len(native) > 0
        for example in ours:
            expected, ended = native[int(example['row'])], usual[int(example['row'])]
            np.testing.assert_array_equal(example['inputs'], expected.inputs)
            np.testing.assert_array_equal(example['targets'], expected.targets)
            np.testing.assert_array_equal([*expected.inputs, 1], ended.inputs)
            np.testing.assert_array_equal(expected.targets, ended.targets)
            assert [ids.tolist() for ids in expected.option_tokens] == [
                ids.tolist() for ids in ended.option_tokens
            ]
    for example in rendering.examples(prose(), 'train', bare):
        assert example.inputs[-1] != 1 and example.targets[-1] == 1
