"""Benchmarks as Hugging Face and TFDS keep them."""

import json

import pyarrow
import pyarrow.ipc
import pyarrow.parquet
import pytest

from flanlite.data.cache.view import BuildOptions
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.preview import examples
from flanlite.data.specs import registry, tables

LONG = {'inputs': 4_000, 'targets': 50}


def asked(folder, mixture, shots=None):
    """Render the test rows of a benchmark, by data set, in the order of the rows."""
    config = MixtureConfig(mixture) if shots is None else MixtureConfig(mixture, shots=shots)
    made = examples(
        config, 'test', 200, vocabulary='bytes', feature_lengths=LONG, options=BuildOptions(data_dir=folder)
    )
    found = {}
    for row in sorted(made, key=lambda row: row['row']):
        found.setdefault(row['task'].partition(':')[2], []).append(row)
    return found


def parquet(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def arrow(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_stream(path, table.schema) as sink:
        sink.write_table(table)


def saved(folder, splits):
    """What `save_to_disk` writes of a `DatasetDict`."""
    for split, rows in splits.items():
        arrow(folder / split / 'data-00000-of-00001.arrow', rows)
        state = {'_data_files': [{'filename': 'data-00000-of-00001.arrow'}]}
        (folder / split / 'state.json').write_text(json.dumps(state))
        (folder / split / 'dataset_info.json').write_text('{}')
    (folder / 'dataset_dict.json').write_text(json.dumps({'splits': list(splits)}))


def questions(subject, split, count=2):
    return [
        {
            'question': f'{split} {number}?',
            'subject': subject,
            'choices': ['one', 'two', 'three', 'four'],
            'answer': (number + 1) % 4,
        }
        for number in range(count)
    ]


SUBJECTS = ('anatomy', 'formal_logic')


def mmlu_repository(folder):
    """As in `cais/mmlu`: a folder a subject, and two that are none."""
    for subject in SUBJECTS:
        for split, count in (('dev', 5), ('test', 2), ('validation', 1)):
            parquet(folder / f'{subject}/{split}-00000-of-00001.parquet', questions(subject, split, count))
    parquet(folder / 'all/test-00000-of-00001.parquet', questions('virology', 'test'))
    parquet(folder / 'auxiliary_train/train-00000-of-00001.parquet', questions('', 'train'))
    (folder / '.cache').mkdir()
    parquet(folder / '.cache/x/test-00000-of-00001.parquet', [{'other': 1}])


def mmlu_converted(folder):
    """As the hub converts it, in the columns of `lukaemon/mmlu`."""
    for subject in SUBJECTS:
        for split, from_, count in (
            ('train', 'dev', 5),
            ('test', 'test', 2),
            ('validation', 'validation', 1),
        ):
            rows = [
                {
                    'input': row['question'],
                    **dict(zip('ABCD', row['choices'], strict=True)),
                    'target': 'ABCD'[row['answer']],
                }
                for row in questions(subject, from_, count)
            ]
            parquet(folder / f'{subject}/{split}/0000.parquet', rows)


def mmlu_saved(folder):
    """The configuration `all`, saved to disk: subjects are told apart by a column."""
    splits = {'dev': 5, 'test': 2, 'validation': 1}
    saved(
        folder,
        {
            split: [row for subject in SUBJECTS for row in questions(subject, split, count)]
            for split, count in splits.items()
        },
    )


def mmlu_cached(folder):
    """The cache of `datasets`."""
    for subject in SUBJECTS:
        for split, count in (('dev', 5), ('test', 2), ('validation', 1)):
            arrow(
                folder / subject / '0.0.0' / ('0a' * 20) / f'mmlu-{split}.arrow',
                questions(subject, split, count),
            )
        (folder / subject / '0.0.0' / ('0a' * 20) / 'dataset_info.json').write_text('{}')


def mmlu_tfds(folder):
    tfds = pytest.importorskip('tensorflow_datasets')
    import tensorflow as tf

    kinds = {
        'question': tfds.features.Text(),
        'subject': tfds.features.Text(),
        'choices': tfds.features.Sequence(tfds.features.Text()),
        'answer': tf.int64,
    }
    signature = {
        'question': tf.TensorSpec((), tf.string),
        'subject': tf.TensorSpec((), tf.string),
        'choices': tf.TensorSpec((None,), tf.string),
        'answer': tf.TensorSpec((), tf.int64),
    }
    for subject in SUBJECTS:
        splits = {
            split: tf.data.Dataset.from_generator(
                lambda subject=subject, split=split, count=count: iter(questions(subject, split, count)),
                output_signature=signature,
            )
            for split, count in (('dev', 5), ('test', 2), ('validation', 1))
        }
        tfds.dataset_builders.store_as_tfds_dataset(
            name='mmlu',
            version='1.0.0',
            config=subject,
            features=tfds.features.FeaturesDict(kinds),
            split_datasets=splits,
            data_dir=folder.parent,
            disable_shuffling=True,
        )


@pytest.mark.parametrize('make', [mmlu_repository, mmlu_converted, mmlu_saved, mmlu_cached, mmlu_tfds])
def test_mmlu(make, tmp_path):
    make(tmp_path / 'mmlu')
    found = asked(tmp_path, 'mmlu')
    assert list(found) == ['anatomy', 'formal_logic'] and [len(rows) for rows in found.values()] == [2, 2]
    head = 'The following are multiple choice questions (with answers) about formal logic.\n\n'
    block = '{}?\nA. one\nB. two\nC. three\nD. four\nAnswer:'
    exemplars = ''.join(f'{block.format(f"dev {n}")} {"BCDAB"[n]}\n\n' for n in range(5))
    row = found['formal_logic'][1]
    assert row['inputs'] == head + exemplars + block.format('test 1')
    assert (row['options'], row['answers'], row['shots']) == (list('ABCD'), ['C'], 5)
    assert registry.find_spec('mmlu:formal_logic').category == 'humanities'
    assert [row['question'] for row in registry.find_spec('mmlu:anatomy').source.rows('val')] == [
        'validation 0?'
    ]


def test_bbh(tmp_path):
    rows = [{'input': 'True and not True is', 'target': 'False'}]
    parquet(tmp_path / 'bbh/boolean_expressions/test/0000.parquet', rows)
    (row,) = asked(tmp_path, 'bbh')['boolean_expressions']
    assert (row['inputs'], row['answers'], row['shots']) == ('Q: True and not True is\nA:', ['False'], 0)
    prompt = "Evaluate.\n\nQ: not True is\nA: Let's think step by step.\nIt is False. So the answer is False."
    (tmp_path / 'bbh/cot-prompts').mkdir()
    (tmp_path / 'bbh/cot-prompts/boolean_expressions.txt').write_text(prompt)
    (row,) = asked(tmp_path, 'bbh', shots=1)['boolean_expressions']
    assert row['inputs'] == 'Evaluate.\n\nQ: not True is\nA: False\n\nQ: True and not True is\nA:'


def test_bigbench(tmp_path):
    """Inputs have their choices in them; `default` is all rows, and else `train` and `validation` are."""

    def row(number, choices=('x', 'y')):
        return {
            'idx': number, 'inputs': f'Q: {number}?\n  choice: x\n  choice: y\nA:', 'targets': ['y'],
            'multiple_choice_targets': list(choices), 'multiple_choice_scores': [0, 1][: len(choices)],
        }  # fmt: skip

    folder = tmp_path / 'bigbench'
    for split, numbers in (('train', (0, 1)), ('validation', (2,))):
        parquet(folder / f'chosen/{split}-00000-of-00001.parquet', [row(number) for number in numbers])
        parquet(folder / f'both/{split}-00000-of-00001.parquet', [row(number) for number in numbers])
    parquet(folder / 'both/default-00000-of-00001.parquet', [row(number) for number in range(4)])
    schema = pyarrow.schema(
        [
            ('inputs', pyarrow.string()),
            *[(name, pyarrow.list_(pyarrow.string())) for name in ('targets', 'multiple_choice_targets')],
        ]
    )
    written = pyarrow.Table.from_pylist(
        [{'inputs': 'Say y.', 'targets': ['y', 'Y'], 'multiple_choice_targets': []}], schema
    )
    (folder / 'written').mkdir()
    pyarrow.parquet.write_table(written, folder / 'written/validation-00000-of-00001.parquet')
    found = asked(tmp_path, 'bigbench')
    assert {task: len(rows) for task, rows in found.items()} == {'both': 4, 'chosen': 3, 'written': 1}
    first = found['chosen'][0]
    assert (first['inputs'], first['options'], first['answers']) == (
        'Q: 0?\n  choice: x\n  choice: y\nA:',
        ['x', 'y'],
        ['y'],
    )
    assert registry.find_spec('bigbench:written').metric == 'accuracy' and found['written'][0]['answers'] == [
        'y',
        'Y',
    ]
    parquet(folder / 'chosen/train-00000-of-00001.parquet', [row(0) | {'multiple_choice_scores': [1]}])
    with pytest.raises(
        ValueError, match=r'chosen/train-00000-of-00001.parquet, row 0: ValueError: .*multiple_choice_scores'
    ):
        list(mixtures.resolve('bigbench', tmp_path).collection.specs[1].source.rows('test'))


def test_super_natural_instructions(tmp_path):
    def line(task, number, answer):
        return {
            'task_name': task,
            'id': f'{task}-{number}',
            'definition': 'Give a title',
            'inputs': f'Snow {number}',
            'targets': answer,
        }

    folder = tmp_path / 'super_natural_instructions/test'
    folder.mkdir(parents=True)
    own = [line('task1_title', number, answer) for number in range(110) for answer in ('Cold', 'White')]
    mixed = [line('task2_a', 0, 'a'), line('task3_b', 0, 'b')]
    (folder / 'task1_title_test.jsonl').write_text(''.join(f'{json.dumps(row)}\n' for row in own))
    (folder / 'rest_test.jsonl').write_text(''.join(f'{json.dumps(row)}\n' for row in mixed))
    found = asked(tmp_path, 'super_natural_instructions')
    assert sorted(found) == ['task1_title', 'task2_a', 'task3_b'] and found['task3_b'][0]['answers'] == ['b']
    row = found['task1_title'][3]
    assert (
        row['inputs']
        == 'Definition: Give a title.\n\nNow complete the following example -\nInput: Snow 3.\nOutput: '
    )
    assert row['answers'] == ['Cold', 'White']
    assert len(list(registry.find_spec('super_natural_instructions:task1_title').source.rows('test'))) == 100


def test_caches_are_found_without_a_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    for name in ('HF_HUB_CACHE', 'HF_DATASETS_CACHE'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('HF_HOME', str(tmp_path))
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    with pytest.raises(ValueError, match='hf download --repo-type=dataset cais/mmlu'):
        mixtures.resolve('mmlu')
    mmlu_cached(tmp_path / 'datasets/cais___mmlu')
    assert [spec.name for spec in mixtures.resolve('mmlu').collection.specs] == [
        'mmlu:anatomy',
        'mmlu:formal_logic',
    ]
    copies = tmp_path / 'hub/datasets--cais--mmlu'
    parquet(copies / 'snapshots/abc/virology/test-00000-of-00001.parquet', questions('virology', 'test'))
    (copies / 'refs').mkdir()
    (copies / 'refs/main').write_text('abc')
    assert [spec.name for spec in mixtures.resolve('mmlu').collection.specs] == ['mmlu:virology'], (
        'the hub goes before'
    )


@pytest.mark.parametrize(
    ('name', 'config', 'split'),
    [
        ('a_test_task/train-00000-of-00002.parquet', 'a_test_task', 'train'),
        ('dev/0000.parquet', '', 'dev'),
        ('data/validation.jsonl', '', 'validation'),
        ('x/1.2.0/0123456789abcdef0123456789abcdef/x-test-00000-of-00001.arrow', 'x', 'test'),
        ('rows.csv', '', ''),
    ],
)
def test_names_tell_configuration_and_split(name, config, split, tmp_path):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b'')
    (found,) = tables.find(tmp_path)
    assert (found.path, found.config, found.split, found.files) == (name, config, split, (name,))


def test_what_is_damaged_or_lacks_a_column_is_named(tmp_path):
    mmlu_repository(tmp_path / 'mmlu')
    (tmp_path / 'mmlu/anatomy/test-00000-of-00001.parquet').write_bytes(b'PAR1 nothing')
    anatomy, logic = mixtures.resolve('mmlu', tmp_path).collection.specs
    with pytest.raises(ValueError, match=r'anatomy/test-00000-of-00001.parquet'):
        list(anatomy.source.rows('test'))
    parquet(
        tmp_path / 'mmlu/formal_logic/test-00000-of-00001.parquet',
        [{'question': 'Why?', 'choices': ['a', 'b'], 'answer': 2}],
    )
    with pytest.raises(
        ValueError,
        match=r'formal_logic/test-.*, row 0: .*"Why\?".*; expected a question, its choices, and the index',
    ):
        list(logic.source.rows('test'))
    parquet(tmp_path / 'two/mmlu/test.parquet', [{'question': 'Why?'}])
    with pytest.raises(ValueError, match=r"test.parquet has the fields question; expected 'subject', a text"):
        mixtures.resolve('mmlu', tmp_path / 'two')
