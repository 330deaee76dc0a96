"""CLUES in its publisher's files."""

import json

import pytest

from flanlite.cli import main
from flanlite.data.mixing import mixtures
from flanlite.data.specs import registry
from flanlite.data.specs.sources import MissingDataError
from flanlite.mixtures import clues

SST = {'context': 'dull ', 'question': 'positive or negative?', 'answer': ['negative'], 'id': 1}
MNLI = {
    'context': ['It rains.', 'It is wet.'],
    'question': 'entailment, contraction, or neutral?',
    'answer': ['entailment'],
    'genre': 'fiction',
    'id': '2',
}
CONLL = {
    'context': 'Tom met Ann .',
    'question': 'List all the people names in the context',
    'answer': ['Tom', 'Ann'],
    'id': '3',
}
SQUAD = {'context': 'In 1066 it was.', 'question': 'When?', 'answer': [{'text': '1066', 'answer_start': 3}, {'text': 'In 1066', 'answer_start': 0},
         {'text': '1066', 'answer_start': 3}], 'is_impossible': False, 'id': '4'}  # fmt: skip


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_draws_are_data_sets(tmp_path, capsys):
    with pytest.raises(MissingDataError, match="expected a folder 'clues', or a link, with SST-2/"):
        mixtures.resolve('clues', tmp_path)
    folder = tmp_path / 'clues'
    folder.mkdir()
    with pytest.raises(MissingDataError, match='has nothing; expected SST-2/'):
        mixtures.resolve('clues', tmp_path)
    write(folder / 'SST-2/sst_test.jsonl', SST, SST | {'answer': ['positive']})
    with pytest.raises(MissingDataError, match='has test files and no training files'):
        mixtures.resolve('clues', tmp_path)
    write(folder / 'SST-2/sst_train_10_1.jsonl', SST)
    write(folder / 'SST-2/sst_train_10_2.jsonl', SST)
    for name, row in (('MNLI/mnli', MNLI), ('CoNLL2003/conll', CONLL), ('SQuAD-v2/squad-v2', SQUAD)):
        write(folder / f'{name}_test.jsonl', row, row | {'answer': ['']} if row is CONLL else row)
        write(folder / f'{name}_train_10_2.jsonl', row)
    names = [entry.task for entry in mixtures.resolve('clues_10examples_seed2', tmp_path).entries]
    assert names == [f'clues_{task}_10examples_seed2' for task in ('sst', 'mnli', 'conll', 'squad_v2')]
    assert len(mixtures.resolve('clues', tmp_path).entries) == 5
    shown = {}
    for name in names:
        spec = registry.find_spec(name)
        shown[spec.family] = [spec.example(row) for row in spec.source.rows('test')]
        assert len(list(spec.source.rows('train'))) == 1 and spec.splits.validation is None
    assert [each['answers'] for each in shown['clues_sst']] == [('negative',), ('positive',)]
    assert shown['clues_sst'][0]['options'] == ('positive', 'negative')
    assert shown['clues_mnli'][0]['texts']['context'] == 'It rains.\nIt is wet.'
    assert [each['answers'] for each in shown['clues_conll']] == [('Tom; Ann',), ('none',)]
    assert shown['clues_squad_v2'][0]['answers'] == ('1066', 'In 1066')
    assert main.main(['lint', '--mixture=clues', f'--data_dir={tmp_path}']) == 0
    assert main.main(['datasets', '--mixture=clues', f'--data_dir={tmp_path}']) == 0
    assert 'clues_squad_v2_10examples_seed2' in capsys.readouterr().out


def test_rows_that_cannot_be(tmp_path):
    folder = tmp_path / 'clues'
    write(folder / 'SST-2/sst_test.jsonl', SST)
    write(folder / 'SST-2/sst_train_30_5.jsonl', {'question': 'what?'})
    spec = mixtures.resolve('clues_30examples_seed5', tmp_path).collection.specs[0]
    with pytest.raises(
        ValueError, match=r"sst_train_30_5.jsonl, line 1 cannot be read: .*KeyError: 'context'"
    ):
        list(spec.source.rows('train'))
    write(folder / 'SST-2/sst_train_30_5.jsonl', SST, {'question': 'a', 'context': 'b', 'answer': 'positive'})
    with pytest.raises(
        ValueError, match=r"sst_train_30_5.jsonl, line 2 .* 'positive' is a text; expected a list"
    ):
        list(spec.source.rows('train'))
    assert clues.answers_of({'answer': []}) == {'answer': 'none'}, 'a question that has no answer'
