"""The audit of shared text, on planted overlaps, and on WNLI and the Winograd schemas where the data is at
hand.
"""

import dataclasses
import json
import os
import pathlib
import random
import re

import pytest

from flanlite import workers
from flanlite.cli import main as cli
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import audit, held_out_text, mixtures, overlap
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import registry, sources, specs
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.templates import Template

DATA = pathlib.Path(
    os.environ.get('FLANLITE_DATA_DIR') or pathlib.Path(__file__).parents[3] / 'shared' / 'data'
)
HELD_OUT_NLI = MixtureConfig('toy', held_out='nli')
WORDS = [f'word{place}' for place in range(15)]
LONG = 'The lighthouse keeper rowed to the island'  # 41 characters, 7 words
HELD_OUT = [
    {'text': LONG, 'label': 0},
    {'text': f'Count: {" ".join(WORDS)}!', 'label': 1},
    {'text': 'Short, though equal.', 'label': 0},
    {'text': 'Nothing else tells of this.', 'options': ['no', f'She said "{LONG}".'], 'label': 1},
]


def data_set(name, cluster, rows, **more):
    source = rows if not isinstance(rows, list) else sources.InMemory(lambda split: rows)
    fields = lambda row: {'text': row['text'], 'answer': row['text']}  # noqa: E731
    return specs.DatasetSpec(name, cluster, source, fields, (Template('{text}'),), **more)


@pytest.fixture(autouse=True)
def planted(monkeypatch):
    trained = (
        data_set(
            'field', 'math', [{'text': 'other'}, {'text': 'the LIGHTHOUSE keeper, rowed -- to the island'}]
        ),
        data_set('run', 'sentiment', [{'text': f'so {" ".join(WORDS[1:14])} and on'}]),
        data_set('nested', 'sentiment', [{'text': '', 'deep': {'list': ['', LONG]}}]),
        data_set(
            'clean',
            'math',
            [{'text': ' '.join(WORDS[:12])}, {'text': 'Short, though equal'}, {'text': f'{LONG} again'}],
        ),
        data_set('kept_out', 'math', [{'text': LONG}], keep=lambda row: row['text'] != LONG),
        data_set('capped', 'math', [{'text': 'first'}, {'text': LONG}], max_examples=1),
        data_set('absent', 'math', sources.Tfds('nowhere:1.0.0')),
    )
    toy = Collection('toy', (*trained, data_set('unseen', 'nli', HELD_OUT)))
    monkeypatch.setattr(registry, 'COLLECTIONS', {'toy': toy})


def test_files_are_read_from_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    (tmp_path / 'nowhere').mkdir()
    (tmp_path / 'nowhere' / 'train.jsonl').write_text(json.dumps({'text': LONG}))
    found = audit.search(HELD_OUT_NLI, data_dir=tmp_path)
    assert (
        found.searched['absent'] == 1
        and found.pairs['absent', 'unseen'].examples == {0}
        and not found.skipped
    )


def test_planted_overlaps_are_found_and_nothing_else():
    found = audit.search(HELD_OUT_NLI)
    assert {trained: (pair.rows, pair.examples) for (trained, _), pair in found.pairs.items()} == {
        'field': ({'field': {0}, 'ngram': set()}, {1}),
        'run': ({'field': set(), 'ngram': {1}}, {0}),
        'nested': ({'field': {0}, 'ngram': set()}, {0}),
    }
    assert found.pairs['run', 'unseen'].sample == ' '.join(WORDS[1:14])
    assert (found.searched['capped'], found.searched.get('kept_out')) == (1, None)
    assert found.held_out == {'unseen': audit.HeldOut(rows=4, short=3, shared=2, mostly=0)}
    assert 'downloads nothing' in found.skipped.pop('absent') and not found.skipped


def test_the_length_of_a_run():
    found = audit.search('toy_held_out_nli', ngram=7)
    assert found.pairs['clean', 'unseen'].rows == {'field': set(), 'ngram': {0, 1, 3}}
    assert found.worst()[0].trained == 'clean' and found.worst()[0].affected() == 3
    with pytest.raises(ValueError, match='got ngram=0'):
        audit.search(HELD_OUT_NLI, ngram=0)


def test_something_must_be_held_out():
    with pytest.raises(ValueError, match='holds nothing out'):
        audit.search('toy')
    with pytest.raises(ValueError, match="unknown cluster 'nil'; did you mean nli"):
        audit.search(MixtureConfig('toy', held_out='nil'))


def test_command_prints_the_worst_and_writes_what_to_drop(tmp_path, capsys):
    path = tmp_path / 'drop.jsonl'
    assert cli.main(['audit', '--mixture=toy', '--held_out=nli', f'--output={path}']) == 0
    printed = capsys.readouterr().out
    assert '1 of 4' in printed and 'not searched: absent' in printed and 'lighthouse' in printed
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {'task': name, 'split': 'train', 'row': row, 'held_out': ['unseen']}
        for name, row in (('field', 1), ('nested', 0), ('run', 0))
    ]


def test_two_things_are_not_written_to_one_file(tmp_path, capsys):
    same = [f'--output={tmp_path}/a.json', f'--report={tmp_path}/./a.json']
    assert cli.main(['audit', '--mixture=toy', '--held_out=nli', *same]) == 2
    assert 'expected two files' in capsys.readouterr().err and not (tmp_path / 'a.json').exists()


def test_what_is_listed_trains_no_more(tmp_path):
    """The other rows stay as they were: row, template and cap."""
    path = tmp_path / 'drop.jsonl'
    path.write_text(
        '{"task": "clean", "split": "train", "row": 1}\n{"task": "run", "split": "train", "row": 0}\n'
    )
    view, options = View('train', 'bytes', max_examples=2), BuildOptions(tmp_path / 'cache')
    whole = cache.ensure(['clean', 'run', 'field'], view, options).splits
    view = dataclasses.replace(view, drop=path)
    dropped = cache.ensure(['clean', 'run', 'field'], view, options)
    assert (
        list(dropped.splits) == ['clean', 'field']
        and "dropped {'listed to be dropped': 1}" in dropped.skipped['run']
    )
    assert [example.row for example in whole['clean'].examples()] == [0, 1]
    assert [example.row for example in dropped.splits['clean'].examples()] == [0]
    assert dropped.splits['clean'].manifest['filtered'] == {'listed to be dropped': 1}
    assert dropped.splits['field'].path == whole['field'].path
    options = BuildOptions(tmp_path / 'longer')
    for limit, rows in ((None, [0, 2]), (2, [0])):  # not the longer one's first two
        found = cache.ensure(['clean'], dataclasses.replace(view, max_examples=limit), options).splits[
            'clean'
        ]
        assert [example.row for example in found.examples()] == rows
    assert (
        cache.ensure(['clean'], dataclasses.replace(view, split='test'), options).splits['clean'].num_examples
        == 2
    )


def texts(folder):
    """Write a folder of texts as people have them, three of which training shares."""
    (folder / 'deep').mkdir(parents=True)
    (folder / 'essay.txt').write_text(f'First.\n\nSecond, {" ".join(WORDS[:9])}\n{" ".join(WORDS[9:])}.\n')
    (folder / 'deep' / 'rows.jsonl').write_text(f'{{"a": ""}}\n{{"q": {{"text": [7, "{LONG.upper()}"]}}}}\n')
    # One line of five megabytes; what is shared lies where the first piece ends.
    line = ' '.join(f'w{number}' for number in range(140_000))
    (folder / 'line').write_text(f'{line[:1_048_500]} {" ".join(WORDS)} {line} {line}' + 'x' * 3_000_000)
    (folder / 'task.json').write_text(json.dumps({'examples': [{'input': f'A {LONG}', 'target': LONG}]}))
    (folder / 'empty.md').write_text('')
    (folder / 'blank.txt').write_text(' \n\n \n')
    (folder / 'picture.png').write_bytes(b'\x89PNG\0' + bytes(range(256)) * 40)
    (folder / 'latin1.txt').write_bytes('Voilà, une idée'.encode('latin-1'))
    (folder / 'broken.jsonl').write_text('{"text": "fine"}\n{"text": ')
    (folder / '.hidden').write_text(LONG)
    (folder / 'bad.parquet').write_bytes(b'PAR1')
    return folder


def test_any_folder_of_texts_is_searched_for(tmp_path, capsys):
    folder, report = texts(tmp_path / 'texts'), tmp_path / 'report.json'
    flags = ['audit', '--mixture=toy_held_out_nli', f'--against={folder}', f'--report={report}']
    assert cli.main([*flags, '--max_shared=1']) == 0
    with pytest.raises(SystemExit) as ended:
        cli.main([*flags, '--max_shared=0.5'])
    assert ended.value.code == 1 and '100.0% of a held-out' in capsys.readouterr().out
    found = json.loads(report.read_text())
    named = {pair['held_out'].removeprefix(f'{folder}/'): pair['trained'] for pair in found['pairs']}
    assert set(named) == {'essay.txt', 'line', 'deep/rows.jsonl', 'task.json', 'unseen'}
    assert named['essay.txt'] == named['line'] == 'run'
    rows = {pair['trained']: pair for pair in found['pairs'] if pair['held_out'].endswith('rows.jsonl')}
    assert set(rows) == {'field', 'nested'}
    assert rows['field']['such_as'] == {
        'text': ' '.join(LONG.lower().split()),
        'held_out_rows': [1],
        'examples': [1],
    }
    assert found['held_out'][f'{folder}/essay.txt'] == {'rows': 2, 'short': 1, 'shared': 1, 'mostly': 0}
    reasons = {name.rpartition('/')[2]: why for name, why in found['not_searched'].items()}
    assert reasons.pop('picture.png') == 'it is binary' and 'after 1 rows' in reasons.pop('broken.jsonl')
    assert 'no whole Parquet file' in reasons.pop('bad.parquet')
    assert reasons.pop('empty.md') == reasons.pop('blank.txt') == 'it has no text'
    assert set(reasons) == {'absent'}


@pytest.mark.parametrize('name, said', [
    ('nowhere/texts', 'there is no file or folder nowhere/texts'),
    ('nowhere', 'nowhere'),
    ('unseen', None),
])  # fmt: skip
def test_what_is_searched_for_is_named(name, said):
    if said:
        with pytest.raises(ValueError, match=said):
            audit.search('toy', against=[name])
    else:
        others = MixtureConfig('toy', exclude=('unseen',))
        assert audit.search(others, against=[name]).pairs == audit.search(HELD_OUT_NLI).pairs


def test_an_empty_folder_is_an_error(tmp_path, monkeypatch):
    (tmp_path / 'texts').mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="'texts' is a folder, too: texts/ names it"):
        audit.search('toy', against=['texts'])
    with pytest.raises(ValueError, match='has no files'):
        audit.search('toy', against=[str(tmp_path)])


def test_parts_and_processes_find_the_same(tmp_path, monkeypatch):
    """An index of a few runs holds a row or two, so that the training rows are read again and again."""
    folder = str(texts(tmp_path / 'texts'))
    whole = audit.search(HELD_OUT_NLI, ngram=5, against=[folder])
    monkeypatch.setattr(held_out_text, 'INDEX_RUNS', 5)
    monkeypatch.setattr(workers, 'QUICK_SECONDS', 0.0)
    parts = audit.search(HELD_OUT_NLI, ngram=5, against=[folder], processes=3)
    assert whole.pairs and parts.pairs == whole.pairs and parts.searched == whole.searched
    assert parts.skipped == whole.skipped and parts.held_out == whole.held_out


def test_hashes_find_what_sets_of_words_find(monkeypatch):
    """Against the runs of words themselves, in texts of several scripts."""
    rng, alphabet = random.Random(0), ['a', 'B', 'ß', 'Ж', 'ñ', '七', '_', '9', 'İ']
    texts = [
        [''.join(rng.choices([*alphabet, ' ', ' ', '-', '\n'], k=rng.randrange(60))) for _ in range(200)]
        for _ in range(2)
    ]
    monkeypatch.setattr(overlap, 'PIECE', 500)  # several batches

    def runs(text):
        words = re.findall(r'\w+', text.lower())
        return {tuple(words[start : start + 3]) for start in range(len(words) - 2)}

    trained, unseen = (
        data_set(name, cluster, [{'text': text} for text in each])
        for name, cluster, each in zip(('trained', 'unseen'), ('math', 'nli'), texts, strict=True)
    )
    monkeypatch.setattr(registry, 'COLLECTIONS', {'toy': Collection('toy', (trained, unseen))})
    pair = audit.search(HELD_OUT_NLI, ngram=3).pairs['trained', 'unseen']
    known = [set().union(*map(runs, each)) for each in texts]
    assert pair.rows['ngram'] == {row for row, text in enumerate(texts[1]) if runs(text) & known[0]}
    shared = {row for row, text in enumerate(texts[0]) if runs(text) & known[1]}
    assert 20 < len(shared) < 180 and shared <= pair.examples


def test_what_is_dropped_is_not_found_again(tmp_path):
    drop = tmp_path / 'drop.jsonl'
    assert cli.main(['audit', '--mixture=toy', '--held_out=nli', f'--output={drop}']) == 0
    again = audit.search(MixtureConfig('toy', held_out='nli', drop=str(drop)))
    assert not again.pairs and again.most_shared() == 0


@pytest.mark.parametrize('line, said', [
    ('{"task": "clean", "row": 1}', "line 1 is {'task': 'clean', 'row': 1}; expected such as"),
    ('clean 1', 'line 1 is no JSON'),
    (None, 'No such file or directory; audit --output writes one'),
])  # fmt: skip
def test_lists_that_cannot_be_read(tmp_path, line, said):
    path = tmp_path / 'drop.jsonl'
    if line:
        path.write_text(line)
    with pytest.raises(ValueError, match=said):
        cache.ensure(['clean'], View('train', 'bytes', drop=path), BuildOptions(tmp_path))


@pytest.mark.skipif(
    not (DATA / 'glue_wnli').is_dir(), reason=f'no real data: set FLANLITE_DATA_DIR (looked in {DATA})'
)
def test_wnli_holds_the_winograd_schemas(monkeypatch):
    monkeypatch.undo()
    found = audit.search(MixtureConfig('flan2021', held_out='coreference'), max_rows=700, data_dir=DATA)
    worst = found.worst()[0]
    assert (worst.trained, worst.held_out, worst.affected(), found.held_out['wsc273'].rows) == (
        'wnli',
        'wsc273',
        267,
        273,
    )
    assert not any(pair.trained == 'imdb_reviews' for pair in found.pairs.values())
    strict = mixtures.resolve(MixtureConfig('flan2021', held_out='coreference', lineage='strict'))
    assert 'wnli' not in [entry.task for entry in strict.entries]


def test_reasons_are_said_once_for_all_data_sets(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(sources, 'at_hand', lambda *_: False)  # TFDS may have prepared some
    with pytest.raises(ValueError, match='coreference could be read') as error:
        audit.search(MixtureConfig('flan2021', held_out='coreference'), max_rows=1, data_dir=tmp_path)
    assert str(error.value).count('neither in the data folder') == 1 and 'wsc273' in str(error.value)
