"""BIG-bench, BIG-bench Hard, MMLU and Super-NaturalInstructions in their publishers' files: how rows are asked, and how they are scored."""

import json

import pytest

from flanlite import examples
from flanlite.cli import main
from flanlite.data.cache.view import BuildOptions
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import registry
from flanlite.data.specs.sources import MissingDataError
from flanlite.data.training_data import TrainingData
from flanlite.eval import evaluator
from flanlite.metrics.metrics import get_metric
from flanlite.report import results
from flanlite.report.scores import Summary

LONG = {'inputs': 5_000, 'targets': 50}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def asked(folder, mixture, shots=None, count=9):
    """Render the rows of a benchmark in a data folder, by data set and in the order of the rows."""
    config = MixtureConfig(mixture) if shots is None else MixtureConfig(mixture, shots=shots)
    made = examples(
        config, 'test', count, vocabulary='bytes', feature_lengths=LONG, options=BuildOptions(data_dir=folder)
    )
    found = {}
    for row in sorted(made, key=lambda row: row['row']):
        found.setdefault(row['task'], []).append(row)
    return found


def test_bigbench_choices(tmp_path):
    task = {
        'preferred_score': 'multiple_choice_grade', 'metrics': ['multiple_choice_grade'], 'task_prefix': 'Pick one.\n',
        'examples': [
            {'input': 'Sky?', 'target_scores': {'red': 0, 'blue': 1, 'azure': 1}},
            {'input': 'Grass?', 'target_scores': {'green': 1, 'red': 0.25, 'blue': 0}},
            {'input': 'Grass?', 'target_scores': {'green': 1, 'red': 0.25, 'blue': 0}},
        ],
    }  # fmt: skip
    write(tmp_path / 'bigbench/benchmark_tasks/colours/task.json', task)
    plain = {
        'example_input_prefix': 'In: ',
        'example_output_prefix': ' Out: ',
        'append_choices_to_input': False,
    }
    write(tmp_path / 'bigbench/benchmark_tasks/nested/one/task.json', task | plain)
    found = asked(tmp_path, 'bigbench')
    assert list(found) == ['bigbench:colours', 'bigbench:nested:one']
    sky, grass = found['bigbench:colours']  # the third example is there already
    head, *choices, tail = sky['inputs'].split('\n  choice: ')
    last, _, rest = tail.partition('\n')
    assert (
        head == 'Pick one.\n\nQ: Sky?'
        and rest == 'A: '
        and sorted([*choices, last]) == ['azure', 'blue', 'red']
    )
    assert sky['options'] == ['red', 'blue', 'azure'] and sky['answers'] == ['blue', 'azure']
    assert found['bigbench:nested:one'][0]['inputs'] == 'Pick one.\nIn: Sky? Out: '
    assert registry.find_spec('bigbench:nested:one').family == 'bigbench:nested'
    grade = get_metric(registry.find_spec('bigbench:colours').metric).count
    assert [grade(option, grass['answers'])[0] for option in ('green', 'red', 'blue', 'none')] == [
        1,
        0.25,
        0,
        0,
    ]
    assert grade('azure', sky['answers'])[0] == 1
    one, other = asked(tmp_path, 'bigbench', shots=1)['bigbench:nested:one']
    assert one['inputs'] == 'Pick one.\nIn: Grass? Out: green\nIn: Sky? Out: '
    assert other['inputs'] == 'Pick one.\nIn: Sky? Out: blue\nIn: Grass? Out: '


def test_bigbench_written_answers(tmp_path, caplog):
    rows = [{'input': '1+1=', 'target': '2'}, {'input': 'Name a vowel', 'target': ['a', 'e']}]
    about = {'preferred_score': 'exact_str_match', 'metrics': ['exact_str_match']}
    write(tmp_path / 'bigbench/sums/task.json', about | {'examples': rows, 'output_regex': r'\d+'})
    write(tmp_path / 'bigbench/stops/task.json', {'examples': rows} | about | {'stop_string': ';'})
    write(tmp_path / 'bigbench/sentences/task.json', {'examples': rows} | about)
    write(
        tmp_path / 'bigbench/odd/task.json',
        {'examples': rows, 'preferred_score': 'bleurt', 'metrics': ['bleurt']},
    )
    write(tmp_path / 'bigbench/broken/task.json', '{"examples": [')
    write(tmp_path / 'bigbench/pattern/task.json', about | {'examples': rows, 'output_regex': '('})
    found = asked(tmp_path, 'bigbench')
    assert sorted(found) == ['bigbench:sentences', 'bigbench:stops', 'bigbench:sums']
    assert 'pattern/task.json is left out: ' in caplog.text
    assert (
        'bigbench:odd is left out: nothing here scores bleurt' in caplog.text
        and 'broken/task.json is no JSON' in caplog.text
    )
    assert [row['answers'] for row in found['bigbench:sums']] == [['2'], ['a', 'e']]
    assert found['bigbench:sums'][0]['inputs'] == '\nQ: 1+1=\nA: '
    assert evaluator.read_answer('bigbench:sums', 'It is 2, not 3.') == '2'
    assert evaluator.read_answer('bigbench:stops', ' 2; 3; ') == ' 2'
    assert evaluator.read_answer('bigbench:sentences', 'It is 2. No!') == 'It is 2'
    notes = evaluator.extraction_notes(['bigbench:stops'])
    assert notes == ["Scored is what the model writes before ';': of bigbench:stops."]


def test_bigbench_keys_may_hold_one_text_or_several(tmp_path, caplog):
    """As files have them: a score by its name alone, several texts that end an answer, patterns with flags."""
    rows = [{'input': '1+1=', 'target': '2'}, {'input': 'A vowel:', 'target': ['a', 'e']}]
    match = {'examples': rows, 'metrics': 'exact_str_match'}
    write(tmp_path / 'bigbench/one/task.json', match | {'stop_string': ['.', ';'], 'metrics': None, 'preferred_score': ['rouge2']})
    write(tmp_path / 'bigbench/either/task.json', match | {'output_regex': r'answer is (\d+)|none'})
    write(tmp_path / 'bigbench/flags/task.json', match | {'output_regex': '(?i)yes|no'})
    write(tmp_path / 'bigbench/verbose/task.json', match | {'output_regex': '(?x) \\d+  # a number'})
    write(tmp_path / 'bigbench/a-b/task.json', match)
    write(tmp_path / 'bigbench/a_b/task.json', match)
    write(tmp_path / 'bigbench/odd/task.json', match | {'metrics': 'bleurt_diff'})
    assert sorted(asked(tmp_path, 'bigbench')) == [
        'bigbench:a_b', 'bigbench:a_b_2', 'bigbench:either', 'bigbench:flags', 'bigbench:one', 'bigbench:verbose',
    ]  # fmt: skip
    assert 'nothing here scores bleurt_diff; expected' in caplog.text
    assert 'a_b/task.json is bigbench:a_b_2, since bigbench:a_b is that of another file' in caplog.text
    one = registry.find_spec('bigbench:one')
    assert one.stop == ('.', ';') and get_metric(one.metric).names[0] == 'rouge2'
    for task, said, answer in (
        ('one', '2; 3. 4', '2'),
        ('either', 'The answer is 5, none', '5'),
        ('either', 'none of them. The answer is 5', ''),
        ('either', 'I do not know', ''),
        ('flags', 'It is NO, or yes', 'NO'),
        ('verbose', 'It is 42, not 43', '42'),
    ):
        assert evaluator.read_answer(f'bigbench:{task}', said) == answer, task


def test_bigbench_lists_large_files_by_their_beginning(tmp_path, monkeypatch):
    from flanlite.mixtures.bigbench import task_json

    filler = [{'input': str(number), 'target_scores': {'a': 1, 'b': 0}} for number in range(20)]
    write(
        tmp_path / 'bigbench/first/task.json',
        {'preferred_score': 'multiple_choice_grade', 'examples': filler},
    )
    write(
        tmp_path / 'bigbench/last/task.json', {'examples': filler, 'preferred_score': 'multiple_choice_grade'}
    )
    whole = []
    with pytest.raises(ValueError, match='has no target'):
        task_json.row_of({}, {'input': '1+1=', 'target': []}, 0, chosen=False)
    read = task_json.load
    monkeypatch.setattr(task_json, 'WHOLE', 200)
    monkeypatch.setattr(task_json, 'load', lambda path: whole.append(path.parent.name) or read(path))
    assert len(mixtures.resolve('bigbench', tmp_path).entries) == 2
    assert whole == ['last']
    # What stands behind the examples counts, too.
    written = [{'input': str(number), 'target': 'a'} for number in range(20)]
    about = {'metrics': ['rouge1', 'exact_str_match']}
    behind = {'preferred_score': 'exact_str_match', 'output_regex': '\\d+'}
    write(tmp_path / 'bigbench/both/task.json', about | {'examples': written} | behind)
    mixtures.resolve('bigbench', tmp_path)
    assert registry.find_spec('bigbench:both').metric == 'accuracy' and 'both' in whole
    # Whatever the last key is: of a list of objects, too.
    behind = {'stop_string': '\n', 'authors': [{'name': 'a'}]}
    write(tmp_path / 'bigbench/authors/task.json', about | {'examples': written} | behind)
    mixtures.resolve('bigbench', tmp_path)
    assert registry.find_spec('bigbench:authors').stop == ('\n',)


def test_bigbench_in_json_lines(tmp_path):
    row = {
        'inputs': 'Was it so?',
        'targets': ['No'],
        'multiple_choice_targets': ['Yes', 'No'],
        'multiple_choice_scores': [0, 1],
    }
    write(tmp_path / 'bigbench/lines/test.jsonl', f'{json.dumps(row)}\n')
    (found,) = asked(tmp_path, 'bigbench')['bigbench:lines']
    assert found['inputs'] == '\nQ: Was it so?\n  choice: Yes\n  choice: No\nA: ' and found['answers'] == [
        'No'
    ]


PROMPT = (
    'A canary.\n-----\nCount things.\n\n'
    "Q: Two cats. How many?\nOptions:\n(A) 2\n(B) 3\nA: Let's think step by step.\nThere are cats.\nSo the answer is (A).\n\n"
    "Q: Three. How many?\nA: Let's think step by step.\nThe answer is 2.5 at first. So the answer is 3.0."
)


def test_bbh(tmp_path):
    write(
        tmp_path / 'bbh/bbh/counting.json',
        {'canary': 'x', 'examples': [{'input': 'Four dogs?', 'target': '4'}]},
    )
    write(tmp_path / 'bbh/cot-prompts/counting.txt', PROMPT)
    cats = 'Q: Two cats. How many?\nOptions:\n(A) 2\n(B) 3\n'
    (row,) = asked(tmp_path, 'bbh')['bbh:counting']
    assert (
        row['inputs'] == f'Count things.\n\n{cats}A: (A)\n\nQ: Three. How many?\nA: 3.0\n\nQ: Four dogs?\nA:'
    )
    assert (row['answers'], row['options'], row['shots']) == (['4'], [], 2)
    (alone,) = asked(tmp_path, 'bbh', shots=0)['bbh:counting']
    assert alone['inputs'] == 'Count things.\n\nQ: Four dogs?\nA:'
    (chain,) = asked(tmp_path, 'bbh_cot', shots=1)['bbh_cot:counting']
    think = "A: Let's think step by step."
    reasoned = f'{cats}{think}\nThere are cats.\nSo the answer is (A).'
    assert chain['inputs'] == f'Count things.\n\n{reasoned}\n\nQ: Four dogs?\n{think}'
    write(tmp_path / 'bbh/cot-prompts/counting.txt', PROMPT.replace('step.\nThere', 'step. There'))
    (chain,) = asked(tmp_path, 'bbh_cot', shots=1)['bbh_cot:counting']
    assert f'{think} There are cats.' in chain['inputs']  # as the publisher sets it, which is not always a line
    written = ' Two and two.\nThe answer is 3? No, so the answer is 4.\n\nQ: And the answer is 5.'
    assert evaluator.read_answer('bbh_cot:counting', written) == '4'
    assert evaluator.read_answer('bbh_cot:counting', 'no idea') == 'no idea'
    scored = evaluator.score_task(
        'bbh_cot:counting', 'generate', [evaluator.Example(None, None, answers=('4',))], [written], None
    )
    assert scored.counts.tolist() == [[1.0, 1.0]] and scored.predictions == (written,)


def test_bbh_sizes_of_a_task_count_once_in_the_average(tmp_path):
    write(tmp_path / 'bbh/bbh/one-more.json', '[')
    assert 'bbh:one_more' in {entry.task for entry in mixtures.resolve('bbh', tmp_path).entries}
    with pytest.raises(ValueError, match=r'one-more\.json'):
        list(registry.find_spec('bbh:one_more').source.rows('test'))
    (tmp_path / 'bbh/bbh/one-more.json').unlink()
    for size in ('three', 'five', 'seven'):
        write(
            tmp_path / f'bbh/bbh/logical_deduction_{size}_objects.json',
            {'examples': [{'input': 'x', 'target': 'y'}]},
        )
    write(tmp_path / 'bbh/bbh/navigate.json', {'examples': [{'input': 'x', 'target': 'y'}]})
    found = asked(tmp_path, 'bbh', shots=0)
    assert found['bbh:navigate'][0]['inputs'] == 'Q: x\nA:'  # without prompts
    scored = [
        results.TaskResult(
            name, '', '', 'accuracy', 'generate', 10, ({'scores': {'accuracy': mean}},), Summary(mean, *[0.0] * 6),
            registry.find_spec(name).category, registry.find_spec(name).family,
        )
        for name, mean in zip(found, (30.0, 60.0, 90.0, 100.0), strict=True)
    ]  # fmt: skip
    (average,) = results.averages(scored)
    assert (average.data_sets, average.macro, average.micro) == (2, 80.0, 70.0)


def mmlu(folder):
    for split, count in (('dev', 6), ('val', 1), ('test', 2)):
        for subject in ('anatomy', 'formal_logic'):
            lines = [
                f'"{split} {subject}, {number}?",one,"two, or 2",three,four,{"ABCD"[number % 4]}'
                for number in range(count)
            ]
            write(folder / f'mmlu/{split}/{subject}_{split}.csv', '\n\n'.join(lines) + '\n\n')  # empty lines are none


def test_mmlu(tmp_path):
    mmlu(tmp_path)
    head = 'The following are multiple choice questions (with answers) about formal logic.\n\n'
    block = '{}?\nA. one\nB. two, or 2\nC. three\nD. four\nAnswer:'
    _, row = asked(tmp_path, 'mmlu')['mmlu:formal_logic']
    exemplars = ''.join(f'{block.format(f"dev formal_logic, {n}")} {"ABCDA"[n]}\n\n' for n in range(5))
    assert row['inputs'] == head + exemplars + block.format('test formal_logic, 1')
    assert (row['options'], row['answers'], row['shots']) == (list('ABCD'), ['B'], 5)
    _, row = asked(tmp_path, 'mmlu', shots=0)['mmlu:formal_logic']
    assert row['inputs'] == head + block.format('test formal_logic, 1')
    _, row = asked(tmp_path, 'mmlu_text', shots=1)['mmlu_text:formal_logic']
    assert row['inputs'] == f'{head}dev formal_logic, 0?\nAnswer: one\n\ntest formal_logic, 1?\nAnswer:'
    assert (row['options'], row['answers']) == (['one', 'two, or 2', 'three', 'four'], ['two, or 2'])
    groups = {name: registry.find_spec(f'mmlu:{name}').category for name in ('anatomy', 'formal_logic')}
    assert groups == {'anatomy': 'other', 'formal_logic': 'humanities'}


def test_mmlu_in_json_lines_and_another_folder(tmp_path):
    mmlu(tmp_path / 'one')
    mixtures.resolve('mmlu', tmp_path / 'one')
    row = {'subject': 'astronomy', 'question': 'Where?', 'choices': ['here', 'there'], 'answer': 1}
    for split in ('train', 'test'):
        write(tmp_path / f'two/mmlu/{split}.jsonl', f'{json.dumps(row)}\n')
    found = asked(tmp_path / 'two', 'mmlu', shots=0)
    assert list(found) == ['mmlu:astronomy'] and found['mmlu:astronomy'][0]['answers'] == ['B']
    write(tmp_path / 'two/mmlu/test.jsonl', f'{json.dumps(row | {"answer": "A"})}\n')
    mixtures.resolve('mmlu', tmp_path / 'two')
    assert asked(tmp_path / 'two', 'mmlu_text', shots=0)['mmlu_text:astronomy'][0]['answers'] == ['here']
    write(tmp_path / 'two/mmlu/test.jsonl', f'{json.dumps(row | {"answer": 2})}\n')
    with pytest.raises(ValueError, match=r'test.jsonl, row 0: .*expected a question, its choices, and the index'):
        list(mixtures.resolve('mmlu', tmp_path / 'two').collection.specs[0].source.rows('test'))


def test_mmlu_names_a_bad_row(tmp_path):
    mmlu(tmp_path)
    write(tmp_path / 'mmlu/test/anatomy_test.csv', 'What?,yes,no,maybe,never,E\n')
    with pytest.raises(
        ValueError, match=r'anatomy_test.csv, row 1: .*expected a question, its choices, and the letter'
    ):
        list(mixtures.resolve('mmlu', tmp_path).collection.specs[0].source.rows('test'))


def test_super_natural_instructions(tmp_path):
    folder = tmp_path / 'super_natural_instructions'
    task = {
        'Categories': ['Title Generation'], 'Definition': ['Give a title'],
        'Positive Examples': [{'input': 'A cat sat', 'output': 'Cat', 'explanation': ''}, {'input': 'Rain.', 'output': 'Wet!'}, {'input': 'c', 'output': 'd'}],
        'Instances': [{'id': number, 'input': f'Snow {number}', 'output': ['Cold', 'White']} for number in range(120)],
    }  # fmt: skip
    write(folder / 'tasks/task1_title.json', task)
    write(folder / 'tasks/task2_train.json', task)
    write(folder / 'splits/default/test_tasks.txt', 'task1_title\ntask3_gone\n')
    found = asked(tmp_path, 'super_natural_instructions', count=200)
    (name,) = found
    assert name == 'super_natural_instructions:task1_title' and len(found[name]) == 100
    assert found[name][1]['inputs'] == (
        'Definition: Give a title.\n\n Positive Example 1 -\nInput: A cat sat.\n Output: Cat.\n\n'
        ' Positive Example 2 -\nInput: Rain.\n Output: Wet!\n\nNow complete the following example -\nInput: Snow 1.\nOutput: '
    )
    assert (
        found[name][1]['answers'] == ['Cold', 'White']
        and registry.find_spec(name).category == 'Title Generation'
    )
    metric = get_metric(registry.find_spec(name).metric)
    # Its own script: stems count as equal for ROUGE, and punctuation does not for the match.
    assert metric.scores(metric.counts(['white!', 'colds days'], [['Cold', 'White'], ['cold day']]).sum(axis=0)) == {
        'rougeL': 100.0, 'exact_match': 50.0,
    }  # fmt: skip


def test_a_file_that_is_odd_costs_its_own_task(tmp_path, capsys):
    folder = tmp_path / 'super_natural_instructions'
    task = {'Categories': ['A'], 'Definition': 'd', 'Positive Examples': [], 'Instances': [{'input': 'q', 'output': 'a'}]}
    write(folder / 'tasks/task1-fine_(2).json', task)
    contents = {
        'cut': '{"Definition": ["d',
        'list': [1],
        'deep': '[' * 100_000,
        'null': task | {'Instances': None},
        'no_output': task | {'Instances': [{'input': 'q', 'output': []}]},
    }
    for name, content in contents.items():
        write(folder / f'tasks/{name}.json', content)
    (folder / 'tasks/latin.json').write_bytes('{"Definition": "é"}'.encode('latin-1'))
    (folder / 'tasks/folder.json').mkdir()
    listed = ['task1-fine_(2)', *contents, 'latin', 'folder', 'cut']
    write(folder / 'splits/default/test_tasks.txt', '\n'.join(listed))
    found = {spec.name.partition(':')[2]: spec for spec in mixtures.resolve('super_natural_instructions', tmp_path).collection.specs}
    assert list(found) == ['task1_fine__2_', *contents, 'latin']
    assert [row['answers'] for row in found['task1_fine__2_'].source.rows('test')] == [['a']]
    for name in (*contents, 'latin'):
        with pytest.raises(ValueError, match=rf'tasks/{name}\.json'):
            list(found[name].source.rows('test'))
    with pytest.raises(ValueError, match=r'has no output: .*"q"'):
        list(found['no_output'].source.rows('test'))
    capsys.readouterr()
    assert main.main(['lint', '--mixture=super_natural_instructions', f'--data_dir={tmp_path}']) == 2
    linted = capsys.readouterr()
    assert all(f'super_natural_instructions:{name}: ' in linted.out for name in (*contents, 'latin'))
    assert '7 data sets, 7 templates checked' in linted.out
    (folder / 'splits/default/test_tasks.txt').write_bytes(b'\xff')
    with pytest.raises(ValueError, match=r'test_tasks.txt is not in UTF-8'):
        mixtures.resolve('super_natural_instructions', tmp_path)


def test_exemplars_that_do_not_fit_are_left_out_the_last_first(tmp_path):
    mmlu(tmp_path)
    two = {'inputs': 330, 'targets': 50}
    (row, *_) = examples(
        'mmlu', 'test', 1, vocabulary='bytes', feature_lengths=two, options=BuildOptions(data_dir=tmp_path)
    )
    assert (
        row['shots'] == 3 and row['inputs'].count('dev anatomy, ') == 3 and 'dev anatomy, 0' in row['inputs']
    )


def test_a_benchmark_is_linted_and_listed_and_never_trained_on(tmp_path, capsys):
    mmlu(tmp_path)
    assert main.main(['lint', '--mixture=mmlu', f'--data_dir={tmp_path}']) == 0
    assert main.main(['datasets', '--mixture=mmlu', f'--data_dir={tmp_path}']) == 0
    assert 'mmlu:anatomy' in capsys.readouterr().out
    config = DataConfig('mmlu', LONG, 1, vocabulary='bytes', data_dir=str(tmp_path))
    with pytest.raises(
        ValueError, match="'mmlu' is for evaluation only: none of its data sets has a train split"
    ):
        TrainingData.resolve(config, 0, 'encoder_decoder')


@pytest.mark.parametrize('name', ['bigbench', 'bbh', 'mmlu', 'super_natural_instructions'])
def test_a_benchmark_that_is_not_there_says_what_is_expected(name, tmp_path, monkeypatch):
    with pytest.raises(
        MissingDataError, match=f"{name} is read from files: no folder .*expected a folder '{name}'"
    ):
        mixtures.resolve(name, tmp_path)
    (tmp_path / name).mkdir()
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    with pytest.raises(MissingDataError, match=r'has nothing; expected'):
        mixtures.resolve(name, tmp_path)
    with pytest.raises(ValueError, match='no data folder is named'):
        mixtures.resolve(name)
