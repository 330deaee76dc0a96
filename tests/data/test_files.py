"""Instruction data in the forms that people have, without a spec."""

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

import flanlite
from flanlite.cli import main as cli
from flanlite.data.cache.view import BuildOptions
from flanlite.data.mixing import mixtures, naming
from flanlite.data.specs import files, registry
from flanlite.data.specs.files import Files

CHAT = [
    {'role': 'system', 'content': 'Be brief.'},
    {'role': 'user', 'content': 'One?'},
    {'role': 'assistant', 'content': 'Uno.'},
    {'role': 'tool', 'content': '7'},
    {'role': 'user', 'content': [{'type': 'text', 'text': 'Two?'}]},
    {'role': 'assistant', 'content': 'Dos.'},
]
SHARED = [{'from': 'human', 'value': 'One?'}, {'from': 'gpt', 'value': 'Uno.'}]
BEFORE = 'System: Be brief.\n\nUser: One?'
ROWS = {  # by the form's name: a row, and its examples as (input, answer)
    'messages': (
        {'messages': CHAT},
        [(BEFORE, 'Uno.'), (f'{BEFORE}\n\nAssistant: Uno.\n\nTool: 7\n\nUser: Two?', 'Dos.')],
    ),
    'weights': (
        {'messages': [*CHAT[:2], {**CHAT[2], 'weight': 0}, *CHAT[4:]]},
        [(f'{BEFORE}\n\nAssistant: Uno.\n\nUser: Two?', 'Dos.')],
    ),
    'sharegpt': ({'id': 'x', 'conversations': SHARED}, [('One?', 'Uno.')]),
    'alpaca': ({'instruction': 'Add.', 'input': '1 2', 'output': '3'}, [('Add.\n\n1 2', '3')]),
    'alpaca without input': ({'instruction': 'Add.', 'input': '', 'output': '3'}, [('Add.', '3')]),
    'pairs': ({'inputs': 'a', 'targets': 7, 'other': None}, [('a', '7')]),
    'completion': ({'prompt': 'a', 'completion': 'b'}, [('a', 'b')]),
    'turns': (
        {'prompt': [*CHAT[1:3], CHAT[1]], 'completion': [CHAT[2]]},
        [('User: One?\n\nAssistant: Uno.\n\nUser: One?', 'Uno.')],
    ),
    'p3': (
        {
            'inputs': [1],
            'inputs_pretokenized': 'a?',
            'targets_pretokenized': 'b',
            'answer_choices': ['b', 'c'],
        },
        [('a?', 'b')],
    ),
}


def read(path, split='train', **fields):
    return [(row['input'], row['answer']) for row in Files(str(path), **fields).rows(split)]


def rows_of(path, **fields):
    return list(Files(str(path), **fields).rows('train'))


@pytest.mark.parametrize('form', ROWS)
def test_every_form_from_lines_and_a_list(form, tmp_path):
    row, expected = ROWS[form]
    (tmp_path / 'a.jsonl').write_text(json.dumps(row) + '\n\n' + json.dumps(row) + '\n')
    (tmp_path / 'a.json').write_text(json.dumps([row]))
    with gzip.open(tmp_path / 'b.jsonl.gz', 'wt') as file:
        file.write('\ufeff' + json.dumps(row))
    assert read(tmp_path / 'a.jsonl') == expected * 2
    assert read(tmp_path / 'a.json') == read(tmp_path / 'b.jsonl.gz') == expected
    assert read(tmp_path) == expected * 4


def test_tables(tmp_path):
    """CSV with line ends in cells, Parquet, both formats of Arrow, and what save_to_disk writes."""
    expected = [('Say "a,\nb"', 'é'), ('c', 'd')]
    table = pyarrow.table({'prompt': [each[0] for each in expected], 'completion': ['é', 'd']})
    chats = pyarrow.table({'messages': [ROWS['messages'][0]['messages'][1:3]]})
    (tmp_path / 'a.csv').write_text('prompt,completion\n"Say ""a,\nb""",é\nc,d\n', encoding='utf-8')
    (tmp_path / 'a.tsv').write_text('prompt\tcompletion\n"Say ""a,\nb"""\té\nc\td\n', encoding='utf-8')
    pyarrow.parquet.write_table(table, tmp_path / 'a.parquet')
    pyarrow.parquet.write_table(chats, tmp_path / 'chats.parquet')
    for name, opened in {'stream': pyarrow.ipc.new_stream, 'file': pyarrow.ipc.new_file}.items():
        with opened(tmp_path / f'{name}.arrow', table.schema) as writer:
            writer.write_table(table)
    for name in ('a.csv', 'a.tsv', 'a.parquet', 'stream.arrow', 'file.arrow'):
        assert read(tmp_path / name) == expected, name
    assert read(tmp_path / 'chats.parquet') == [('One?', 'Uno.')]

    saved = tmp_path / 'saved'
    for split in ('train', 'test'):
        (saved / split).mkdir(parents=True)
        with pyarrow.ipc.new_stream(saved / split / 'data-00000-of-00001.arrow', table.schema) as writer:
            writer.write_table(table)
        (saved / split / 'state.json').write_text(
            json.dumps({'_data_files': [{'filename': 'data-00000-of-00001.arrow'}], '_split': split})
        )
    (saved / 'dataset_dict.json').write_text('{"splits": ["train", "test"]}')
    assert read(saved, 'test') == read(saved / 'train') == expected
    (saved / 'test/data-00000-of-00001.arrow').unlink()
    with pytest.raises(ValueError, match=r'data-00000-of-00001.arrow is missing, which .*state.json names'):
        read(saved)


def test_what_is_asked_has_all_that_a_row_says_of_it(tmp_path, capsys):
    """Columns that only some rows have, contexts, systems and histories, options by number or letter."""
    rows = [
        {'instruction': 'Say hi', 'output': 'hi'},
        {'instruction': 'Sum', 'input': '1 2', 'output': '3'},
        {'instruction': 'Who?', 'context': 'Ann ran.', 'response': 'Ann', 'output': 'Ann', 'input': ' '},
        {'instruction': 'And?', 'output': 'so', 'system': 'Be brief.', 'history': [['a', 'b']]},
    ]
    expected = [
        {'input': 'Say hi', 'answer': 'hi'},
        {'input': 'Sum\n\n1 2', 'answer': '3'},
        {'input': 'Who?\n\nAnn ran.', 'answer': 'Ann'},
        {'input': 'System: Be brief.\n\nUser: a\n\nAssistant: b\n\nUser: And?', 'answer': 'so'},
    ]
    (tmp_path / 'a.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    assert rows_of(tmp_path / 'a.jsonl') == expected
    questions = [
        ({'question': 'Q', 'choices': ['0', '4', '2'], 'answer': 1}, '4'),
        ({'question': 'Q', 'choices': ['1', '2', '0'], 'answer': 1}, '2'),
        ({'question': 'Q', 'choices': ['1', '2', '0'], 'answer': '1'}, '1'),
        ({'question': 'Q', 'choices': ['x', 'y'], 'answer': 'B'}, 'y'),
        ({'question': 'Q', 'choices': ['x', 'y'], 'answer': 'x'}, 'x'),
        ({'question': 'Q', 'options': [3, 4], 'answer': 4}, '4'),
        ({'question': 'Q', 'answer_choices': ['safe', 'trolley'], 'answer': '\ntrolley'}, 'trolley'),
    ]
    (tmp_path / 'b.jsonl').write_text('\n'.join(json.dumps(row) for row, _ in questions))
    found = rows_of(tmp_path / 'b.jsonl')
    assert [row['answer'] for row in found] == [answer for _, answer in questions]
    assert all(row['answer'] in row['options'] for row in found)
    pretokenized = [
        {'inputs_pretokenized': 'Who?', 'targets_pretokenized': name, 'is_correct': name == 'Kyle'}
        for name in ('Logan', 'Kyle')
    ]
    (tmp_path / 'c.jsonl').write_text('\n'.join(map(json.dumps, pretokenized)))
    assert rows_of(tmp_path / 'c.jsonl') == [{'input': 'Who?', 'answer': 'Kyle'}]
    said = {'system': 'Be kind.', 'conversations': [{'from': 'human', 'value': 'a'}, {'from': 'gpt', 'value': 'b'}], 'id': 7}
    (tmp_path / 'd.jsonl').write_text('{"version": 1}\n' + json.dumps(said))
    assert rows_of(tmp_path / 'd.jsonl', bad_rows='skip') == [{'input': 'System: Be kind.\n\nUser: a', 'answer': 'b'}]
    mixtures.resolve(f'{tmp_path}/d.jsonl:skip')
    assert 'are the targets; not read: id\n' in capsys.readouterr().out


def test_splits_are_told_by_names(tmp_path, caplog):
    row = json.dumps({'inputs': 'a', 'targets': 'b'})
    for name in (
        'train-00000.jsonl',
        'train-00001.jsonl',
        'dev.jsonl',
        'contest.jsonl',
        'gsm8k_Test.jsonl',
        'alpaca-evaluation.jsonl',
        'test/x.jsonl',
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(row)
    (tmp_path / '.hidden.jsonl').write_text('no JSON')
    (tmp_path / 'README.md').write_text('# no data')
    (tmp_path / 'more.jsonl.zst').write_text('')
    (tmp_path / 'other.CSV').write_text('')
    found = {split: [each.name for each in group] for split, group in Files(str(tmp_path)).files().items()}
    assert found == {
        'validation': ['alpaca-evaluation.jsonl', 'dev.jsonl'],
        'test': ['gsm8k_Test.jsonl', 'x.jsonl'],
        'train': ['contest.jsonl', 'train-00000.jsonl', 'train-00001.jsonl'],
    }
    assert f'{tmp_path} has more.jsonl.zst, other.CSV, which are not read' in caplog.text


ASK = {'role': 'user', 'content': 'a'}
BAD = {
    'no turns': ({'messages': []}, 'messages is []; expected a list of turns'),
    'nested': ({'messages': [[ASK]]}, "turn 0 of messages is [{'role': 'user'"),
    'no role': ({'messages': [{'content': 'a'}]}, 'turn 0 of messages has the role None'),
    'odd role': ({'messages': [{'role': 7, 'content': 'a'}]}, 'has the role 7; expected one of user'),
    'empty turn': ({'messages': [ASK, {'role': 'assistant', 'content': ' '}]}, 'turn 1 of messages is empty'),
    'tool call': (
        {'messages': [ASK, {'role': 'assistant', 'content': None, 'tool_calls': [{}]}]},
        'turn 1 of messages calls a tool',
    ),
    'image': (
        {'messages': [{'role': 'user', 'content': [{'type': 'image_url'}]}]},
        "has a part 'image_url'; expected text",
    ),
    'number': ({'messages': [{'role': 'user', 'content': 7}]}, 'says 7; expected a text'),
    'nobody asked': ({'messages': [{'role': 'assistant', 'content': 'a'}]}, 'nobody asked before it'),
    'no answer': ({'messages': [ASK]}, 'no answer of the assistant'),
}


@pytest.mark.parametrize('kind', BAD)
def test_a_bad_row_is_named_and_may_be_left_out(kind, tmp_path, caplog):
    row, words = BAD[kind]
    good = {'messages': [ASK, {'role': 'assistant', 'content': 'b'}]}
    file = tmp_path / 'a.jsonl'
    file.write_text('\n'.join(map(json.dumps, (good, row, good))))
    with pytest.raises(ValueError, match=r'mend it, or leave bad rows out: .*:skip') as raised:
        read(file)
    assert f'{file}, line 2: ' in str(raised.value) and words in str(raised.value)
    assert read(file, bad_rows='skip') == [('a', 'b')] * 2
    assert '1 bad row is left out, the first' in caplog.text


@pytest.mark.parametrize(
    ('name', 'text', 'words'),
    [
        ('a.jsonl', '{"text": "a"}', 'has the columns text; expected messages or conversations, or one of'),
        ('a.jsonl', '{"prompt": "a", "completion": null}', 'completion is None; expected a text'),
        ('a.jsonl', '{"prompt": "a", "completion": 1.5}', 'completion is 1.5'),
        ('a.jsonl', '{"prompt": "a", "completion": "b"}\n{"prompt": "a"}', 'line 2: it has no completion'),
        ('a.json', '{"prompt": "a", "completion": "b"}', 'expected a list of objects'),
        ('a.json', '[{"prompt"', 'is no JSON'),
        ('a.json', '{"prompt": "a", "completion": "b"}\n{}', 'JSON lines are read from files *.jsonl'),
        ('a.csv', 'prompt,completion\n1,2\n3\n', 'line 3: completion is None'),
        ('a.csv', 'prompt,completion\n1,2\n3,4,5\n', 'line 3: prompt is one of 3 cells below 2 headings'),
        ('a.csv', 'prompt,completion\n"1,2\n', 'is no table in UTF-8'),
        ('a.parquet', 'PAR1', 'is no whole Parquet file'),
        ('a.arrow', 'ARROW', 'is no whole Arrow file'),
    ],
)
def test_files_that_cannot_be_read(name, text, words, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as raised:
        read(tmp_path / name)
    assert words in str(raised.value) and name in str(raised.value)


def test_columns_of_a_table_have_different_names(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    from pyarrow import parquet

    table = pyarrow.table([['a'], ['b'], ['c']], names=['prompt', 'completion', 'completion'])
    parquet.write_table(table, tmp_path / 'a.parquet')
    with pytest.raises(ValueError, match=r"a.parquet has the heading 'completion' twice"):
        read(tmp_path / 'a.parquet')


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('{"prompt": "a", "completion": [1]}', 'line 1: completion is'),
        ('', 'it has no rows'),
    ],
)
def test_a_file_without_an_example_says_why(text, words, tmp_path):
    (tmp_path / 'a.jsonl').write_text(text)
    with pytest.raises(files.MissingDataError, match=f'has no row that is an example; .*{words}'):
        files.find(f'{tmp_path}/a.jsonl')


@pytest.fixture
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', dict(registry.COLLECTIONS))
    files.collection_of.cache_clear()
    yield
    files.collection_of.cache_clear()


def test_a_folder_that_is_no_folder_of_data_is_not_walked_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(files, 'MOST', 3)
    for number in range(4):
        (tmp_path / f'{number}.jsonl').touch()
    with pytest.raises(ValueError, match=r'has more than 3 files and folders; expected a folder of data'):
        files.Files(str(tmp_path)).files()


def test_a_path_is_a_mixture(own_registry, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ('.', 'other'):
        (tmp_path / folder).mkdir(exist_ok=True)
        lines = [{'prompt': f'{folder} {n}?', 'completion': 'yes'} for n in range(4)]
        (tmp_path / folder / 'my-data.jsonl').write_text('\n'.join(map(json.dumps, lines)))
    mixture = mixtures.resolve('my-data.jsonl')
    assert mixture.name == 'file_my_data' == mixtures.resolve('./my-data.jsonl').name
    assert f'{tmp_path}/my-data.jsonl: prompt is the input, completion the target' in capsys.readouterr().out
    assert mixtures.resolve(str(tmp_path / 'other/my-data.jsonl')).name.startswith('file_my_data_')
    shown = flanlite.examples('my-data.jsonl', vocabulary='bytes', options=BuildOptions(tmp_path / 'cache'))
    assert (shown[0]['inputs'], shown[0]['targets']) == ('. 0?', 'yes')
    (tmp_path / 'some').mkdir()
    (tmp_path / 'some/a.jsonl').write_text('')  # its first file has no rows
    (tmp_path / 'some/b.jsonl').write_text(
        '{"messages": []}\n{"messages": [{"role": "user", "content": "a"}]}'
    )
    with pytest.raises(ValueError, match=r"some' has no row that is an example"):
        mixtures.resolve('some/')
    (tmp_path / 'some/c.jsonl').write_text('{"inputs": "a", "targets": "b"}')
    assert mixtures.resolve('some/').name == 'file_some'
    assert 'inputs is the input' in capsys.readouterr().out
    spec = naming.resolve_name('my-data.jsonl').data_sets[0]
    assert (spec.splits.train, spec.splits.validation, spec.splits.test) == ('train', None, 'train')
    told = ['show', '--data=other/my-data.jsonl', '--vocabulary=bytes', f'--cache_dir={tmp_path}/cache']
    assert cli.main(told) == 0
    assert 'other 0?' in capsys.readouterr().out
    for name, words in {
        'no.jsonl': 'no file or folder',
        './no': 'no file or folder',
        'other/': None,
        f'{tmp_path}/cache': 'expected files .jsonl',
    }.items():
        if words is None:
            assert mixtures.resolve(name).name == 'file_other'
            continue
        with pytest.raises(ValueError, match=words):
            mixtures.resolve(name)
    with pytest.raises(ValueError, match='nli'):
        mixtures.resolve(mixtures.MixtureConfig('my-data.jsonl', held_out='nli'))
