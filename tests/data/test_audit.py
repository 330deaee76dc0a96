"""The audit of shared text, on planted overlaps, and on WNLI and the Winograd schemas where the data is at
hand.
"""

import dataclasses
import json
import os
import pathlib

import pytest

from flanlite.cli import main as cli
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import audit, mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import sources, specs
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
    toy = specs.Collection('toy', (*trained, data_set('unseen', 'nli', HELD_OUT)))
    monkeypatch.setattr(specs, 'COLLECTIONS', {'toy': toy})


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
    assert (found.searched['unseen'], found.searched['capped'], found.searched.get('kept_out')) == (
        4,
        1,
        None,
    )
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
    assert (worst.trained, worst.held_out, worst.affected(), found.searched['wsc273']) == (
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
