"""FLAN 2022: its parts, shares and caps, and the forms of its publishers' files, on made-up ones."""

import collections
import json

import pytest

from flanlite.cli import main
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View, view_of
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.data.rendering import rendering
from flanlite.data.specs import clusters, registry
from flanlite.data.specs.collection import Collection, Part
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.tokens import vocabularies
from flanlite.data.training_data import TrainingData
from flanlite.mixtures import flan2022

TASKS = {  # (category, instances)
    'task001_quoref_question_generation': ('Question Generation', 300),
    'task665_mmlu_philosophy_answer_generation': ('Question Answering', 300),
    'task737_mmlu_world_religions_answer_generation': ('Question Answering', 300),
    'task738_perspectrum_classification': ('Textual Entailment', 150),
    'task9998_stones-and-towers': ('Reading Stones', 130),
}


@pytest.fixture(autouse=True)
def known_collections(monkeypatch):
    """Forget the collections of a test's folder."""
    monkeypatch.setattr(registry, 'COLLECTIONS', dict(registry.COLLECTIONS))
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    folder = tmp_path / 'super_natural_instructions' / 'tasks'
    folder.mkdir(parents=True)
    for name, (category, count) in TASKS.items():
        instances = [{'id': str(i), 'input': f' {i} ', 'output': [str(i + 1), 'more']} for i in range(count)]
        content = {
            'Categories': [category],
            'Definition': ['Add one.'],
            'Positive Examples': [],
            'Instances': instances,
        }
        (folder / f'{name}.json').write_text(json.dumps(content))
    (tmp_path / 'cot_data').mkdir()
    (tmp_path / 'cot_data' / 'aqua_train.tsv').write_text(
        '1 or 2?\\n(A) 1\\n(B) 2\t(B)\tTwo is more.\\nSo.\n' * 12
    )
    (tmp_path / 'cot_creak').mkdir()
    rows = [{'question': 'Is it so?', 'answer': 'no', 'cot': 'It is not.'}] * 12
    (tmp_path / 'cot_creak' / 'train.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    (tmp_path / 'gsm8k').mkdir()
    row = {'question': 'How many?', 'answer': '1+1=<<1+1=2>>2\n#### 2'}
    (tmp_path / 'gsm8k' / 'train.jsonl').write_text(json.dumps(row))
    (tmp_path / 'qrecc').mkdir()
    rows = [{'turn_id': turn, 'context': ['a?', 'b.', 'c?', 'd.']} for turn in (6, 7, 8)]
    (tmp_path / 'qrecc' / 'train.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path))
    return tmp_path


def test_shares_and_caps_of_the_release():
    mixture = mixtures.resolve('flan2022')
    entries = {entry.task: entry for entry in mixture.entries}
    counts = collections.Counter(entry.part.name for entry in mixture.entries)
    assert counts['natural_instructions'] == 1_556 and counts['chain_of_thought'] == 9
    assert not [task for task in entries if 'mmlu' in task]
    sizes = mixtures.published(mixture)
    sizes |= {
        task: 3_000 + 10 * place
        for place, task in enumerate(entries)
        if entries[task].part.name == 'natural_instructions'
    }
    rates = mixtures.rates(mixture, sizes)
    sums = collections.Counter()
    for task, rate in rates.items():
        sums[entries[task].part.name.removesuffix('_inverted')] += rate
    assert sums == pytest.approx(
        {'flan2021': 0.40, 't0': 0.32, 'natural_instructions': 0.20, 'chain_of_thought': 0.05, 'dialog': 0.03}
    )
    assert rates['cot_inverted_aqua'] == pytest.approx(0.3 * rates['cot_aqua'])
    for part, cap in {
        'flan2021': 30_000,
        't0': 20_000,
        'natural_instructions': 5_000,
        'dialog': 200_000,
    }.items():
        own = [task for task, entry in entries.items() if entry.part.name == part and task in rates]
        clipped = {task: min(sizes[task], cap) for task in own}
        share = sums[part] / (1.3 if part == 'dialog' else 1)
        assert [rates[task] for task in own] == pytest.approx(
            [share * size / sum(clipped.values()) for size in clipped.values()]
        )
        assert max(clipped.values()) == cap, 'the cap is reached'
    assert not [task for task, entry in entries.items() if entry.max_examples and entry.part.name == 't0']


def test_shares_of_the_paper_truncate():
    mixture = mixtures.resolve('flan2022_paper')
    assert {entry.part.name: entry.part.share for entry in mixture.entries} == {
        'flan2021': 0.52,
        't0': 0.15,
        'natural_instructions': 0.30,
        'chain_of_thought': 0.03,
    }
    assert {entry.max_examples for entry in mixture.entries if entry.part.name == 'natural_instructions'} == {
        5_000
    }


def test_a_folder_of_tasks_is_a_data_set_each(data_dir, tmp_path):
    mixture = mixtures.resolve('flan2022_natural_instructions')
    found = {entry.task: entry.cluster for entry in mixture.entries}
    assert found == {
        'natural_instructions:task001_quoref_question_generation': 'natural_instructions:question_generation',
        'natural_instructions:task738_perspectrum_classification': 'nli',
        'natural_instructions:task9998_stones_and_towers': 'natural_instructions:reading_stones',
    }
    built = cache.ensure(list(found), View('train', 'bytes'), BuildOptions(tmp_path / 'cache', data_dir))
    assert not built.skipped
    assert [split.num_examples for split in built.splits.values()] == [200, 50, 30]
    test = cache.ensure(
        list(found), View('test', 'bytes', renderings='all'), BuildOptions(tmp_path / 'cache', data_dir)
    )
    assert [split.num_examples for split in test.splits.values()] == [10 * 100] * 3, 'each with ten templates'
    answer, other = next(iter(test.splits.values())).read(0).answers
    assert 200 < int(answer) <= 300 and other == 'more', 'the last hundred'


def test_ways_of_asking_of_the_release(data_dir, tmp_path):
    # run_example.py: four styles in equal parts, or the two with options; of these the release's T0 has letters in zero-shot alone.
    shares = {
        entry.part.name.removesuffix('_inverted'): entry.part.prompt_mix.shares
        for entry in mixtures.resolve('flan2022').entries
    }
    four, two = (
        dict.fromkeys(('zs_opt', 'zs_noopt', 'fs_opt', 'fs_noopt'), 1),
        dict.fromkeys(('zs_opt', 'fs_opt'), 1),
    )
    assert shares == {
        'flan2021': four,
        't0': four,
        'natural_instructions': two,
        'chain_of_thought': two,
        'dialog': two,
    }
    mixture = mixtures.resolve('flan2022_natural_instructions')
    view = view_of(mixture, 'train', 'bytes', {'inputs': 2_000, 'targets': 99})
    built = cache.ensure(
        [entry.task for entry in mixture.entries], view, BuildOptions(tmp_path / 'cache', data_dir)
    )
    examples = [example for split in built.splits.values() for example in split.examples()]
    shots = collections.Counter(example.shots for example in examples)
    assert set(shots) == {0, 1, 2} and shots[0] / len(examples) == pytest.approx(0.5, abs=0.12)
    for example in examples:
        text = vocabularies.load('bytes').decode(example.inputs)
        assert (example.setting == 'fs_opt') == (example.shots > 0) == (example.template >= 10)
        assert text.count('Add one.') == 1, 'the definition stands once'

    mixtures.resolve('cot_aqua')
    spec = registry.find_spec('cot_aqua')
    mix = PromptMix(shares={'zs_opt': 1}, chains={'last': 1, 'first': 1, 'none': 1})
    found = [
        (example.template, example.targets)
        for example in rendering.texts(spec, 'train', vocabularies.load('bytes'), mix=mix)
    ]
    assert {targets: max(1, template // 5) for template, targets in found} == {
        'Two is more.\nSo.\nSo the answer is (B).': 1,
        'Answer: (B)\nReasons: Two is more.\nSo.': 2,
        '(B)': 3,
    }
    assert {spec.read_answer(targets) for _, targets in found} == {'(B)'}


def test_a_data_set_is_found_by_its_own_name(data_dir):
    for name, collection in (
        ('cot_gsm8k', 'flan2022'),
        ('natural_instructions:task9998_stones_and_towers', 'flan2022'),
    ):
        registry.COLLECTIONS.clear()
        found = mixtures.resolve(name)
        assert [entry.task for entry in found.entries] == [name] and found.collection.name == collection
    with pytest.raises(ValueError, match=r"unknown mixture or task 'cot_gsm9k'.*did you mean cot_gsm8k"):
        mixtures.resolve('cot_gsm9k')


def test_another_folder_takes_the_place_of_the_first(data_dir, tmp_path):
    mixtures.resolve('flan2022')
    other = tmp_path / 'other'
    (other / 'super_natural_instructions' / 'tasks').mkdir(parents=True)
    (other / 'super_natural_instructions' / 'tasks' / 'task9999_odd.json').write_text('{"Categories": ["?!"]')
    for folder, count in ((other, 1), (data_dir, 3), (other, 1)):
        for name in ('flan2022', 'flan2022_natural_instructions'):
            found = [entry for entry in mixtures.resolve(name, folder).entries if ':task' in entry.task]
            assert len(found) == count
    assert {entry.cluster for entry in found} == {'natural_instructions:no_category'}


def test_hold_outs_reach_into_every_part(data_dir):
    held = mixtures.resolve('flan2022_held_out_nli')
    tasks = {entry.task for entry in held.entries}
    assert not {'rte', 'natural_instructions:task738_perspectrum_classification'} & tasks
    assert 'natural_instructions:task9998_stones_and_towers' in tasks
    own = mixtures.resolve('flan2022_held_out_natural_instructions:reading_stones_eval')
    assert [entry.task for entry in own.entries] == ['natural_instructions:task9998_stones_and_towers']
    assert 'flan2022:dialog' in clusters.ordered(held.collection.specs)
    with pytest.raises(ValueError, match='unknown cluster'):
        mixtures.resolve('flan2022_held_out_natural_instructions:reading_stone')


def test_chains_of_thought_in_each_form(data_dir, tmp_path):
    def texts(task):
        built = cache.ensure([task], View('train', 'bytes'), BuildOptions(tmp_path / 'cache', data_dir))
        assert not built.skipped, built.skipped
        shown = built.splits[task].read(0)
        return vocabulary.decode(shown.inputs), vocabulary.decode(shown.targets)

    vocabulary = vocabularies.load('bytes')
    mixtures.resolve('flan2022_chain_of_thought')
    inputs, targets = texts('cot_aqua')
    assert (
        inputs.startswith('1 or 2?\n(A) 1\n(B) 2\n') and targets == 'Two is more.\nSo.\nSo the answer is (B).'
    )
    assert texts('cot_creak')[1] == 'It is not.\nSo the answer is no.'
    assert texts('cot_gsm8k')[1] == '1+1=2\nSo the answer is 2.'
    assert texts('cot_inverted_aqua')[1] == '1 or 2?\n(A) 1\n(B) 2'
    mixtures.resolve('flan2022_dialog')
    inputs, targets = texts('qrecc')
    assert (inputs.split('\n')[0], targets) in [('- a?', 'b.'), ('- a?', 'd.')]

    (data_dir / 'cot_data' / 'aqua_train.tsv').write_text('only two\tcolumns\n')
    built = cache.ensure(['cot_aqua'], View('train', 'bytes'), BuildOptions(tmp_path / 'other', data_dir))
    assert 'aqua_train.tsv, line 1 has 2 columns' in built.skipped['cot_aqua']
    (data_dir / 'cot_data' / 'aqua_train.tsv').unlink()
    built = cache.ensure(['cot_qed'], View('train', 'bytes'), BuildOptions(tmp_path / 'other', data_dir))
    assert 'no cot_data/qed_train.tsv' in built.skipped['cot_qed']


def test_parts_of_a_collection():
    spec = flan2022.others.LAMBADA
    for tasks, told in {
        ('lambada', 'lambada'): "'lambada' is in a; expected each",
        ('lambda', 'lambada'): "'lambda' is in a; .* no others",
        (): "'lambada' is in no part",
    }.items():
        with pytest.raises(ValueError, match=told):
            Collection('mine', (spec,), parts=(Part('a', 1.0, tasks),))
    with pytest.raises(ValueError, match="expected different texts, but 'a' is there 2 times"):
        Collection('mine', (spec,), parts=(Part('a', 1.0, ('lambada',)), Part('a', 2.0, ())))
    with pytest.raises(ValueError, match=r'Part.share is -1.*from 0'):
        Part('a', -1.0, ('lambada',))
    with pytest.raises(ValueError, match=r"unknown cluster 'stones'.*with a colon"):
        clusters.check_cluster('stones')
    clusters.check_cluster('mine:stones')


def test_each_data_set_is_listed_in_a_line(capsys):
    assert main.main(['datasets', '--mixture=flan2022_chain_of_thought']) == 0
    title, headings, *lines = capsys.readouterr().out.strip().splitlines()
    assert title == 'flan2022_chain_of_thought: 18 data sets' and len(lines) == 18
    place, (line,) = headings.index('train'), [each for each in lines if each.startswith('cot_gsm8k ')]
    assert line[place:].split()[0] == '7,473'


def test_an_error_does_not_grow_with_the_mixture(data_dir, tmp_path):
    for file in (data_dir / 'super_natural_instructions' / 'tasks').glob('*.json'):
        file.write_text('{}')
    for number in range(20):
        (data_dir / 'super_natural_instructions' / 'tasks' / f'task20{number:02}_more.json').write_text('{}')
    config = DataConfig(
        'flan2022_natural_instructions', {'inputs': 32, 'targets': 8}, 4, cache_dir=str(tmp_path / 'cache')
    )
    with pytest.raises(
        ValueError, match=r'no task of the mixture .* could be cached: .*; 18 more stand above$'
    ) as raised:
        TrainingData.resolve(config, 0, 'encdec', vocabularies.load('bytes')).build()
    assert str(raised.value).count('natural_instructions:task') == 5
