"""Rows in BigBio's schemas, from a folder and from any source, by hand."""

import json

import pytest

from flanlite.cli import main
from flanlite.data.mixing import mixtures
from flanlite.data.specs import linting, registry, specs
from flanlite.data.specs.sources import InMemory, MissingDataError
from flanlite.metrics.span_sets import read_spans
from flanlite.mixtures import bigbio
from flanlite.mixtures.bigbio.schemas import data_sets


def entity(number, kind, texts, normalized=()):
    return {'id': f'T{number}', 'type': kind, 'text': texts, 'offsets': [[0, 1]] * len(texts),
            'normalized': [dict(zip(('db_name', 'db_id'), each, strict=True)) for each in normalized]}  # fmt: skip


DOCUMENT = {
    'id': '1', 'document_id': '1',
    'passages': [{'id': 'a', 'type': 'title', 'text': ['Naloxone reverses'], 'offsets': [[0, 17]]},
                 {'id': 'b', 'type': 'abstract', 'text': ['It (naloxone) inhibits left and right lungs.'], 'offsets': [[18, 60]]}],
    'entities': [entity(1, 'Chemical', ['Naloxone'], [('MESH', 'D009270'), ('MESH', 'D1')]), entity(2, 'Chemical', ['naloxone']),
                 entity(3, 'Organ', ['left', 'lungs']), entity(4, 'Chemical', ['Naloxone'], [('MESH', 'D009270')])],
    'events': [{'id': 'E1', 'type': 'Inhibition', 'trigger': {'text': ['inhibits'], 'offsets': [[31, 39]]},
                'arguments': [{'role': 'Cause', 'ref_id': 'T1'}, {'role': 'Theme', 'ref_id': 'T3'}, {'role': 'Theme', 'ref_id': 'gone'}]}],
    'coreferences': [{'id': 'R1', 'entity_ids': ['T1', 'T2']}, {'id': 'R2', 'entity_ids': ['T3']}],
    'relations': [{'id': 'r', 'type': 'acts on', 'arg1_id': 'T1', 'arg2_id': 'T3', 'normalized': []},
                  {'id': 's', 'type': 'acts on', 'arg1_id': 'E1', 'arg2_id': 'T2', 'normalized': []}],
}  # fmt: skip
OTHER = {
    **DOCUMENT,
    'entities': [entity(1, 'Gene', ['BRCA1'])],
    'events': [],
    'coreferences': [],
    'relations': [],
}


def made(schema, rows, **settings):
    source = InMemory(lambda split: rows, 'rows')
    return {
        spec.name: (spec, list(spec.source.rows('test')))
        for spec in data_sets('x', schema, source, **settings)
    }


def test_documents_become_questions():
    found = made('kb', [DOCUMENT, OTHER])
    text = 'Naloxone reverses It (naloxone) inhibits left and right lungs.'
    spec, rows = found['x_ner']
    asked = {row['type']: row['answer'] for row in rows[:3]}
    assert asked == {'Chemical': 'Naloxone; naloxone', 'Organ': 'left lungs', 'Gene': 'none'}
    assert all(row['text'] == text for row in rows)
    assert (
        rows[3]['answer'] == 'BRCA1'
        and rows[4]['answer'] == 'none'
        and rows[4]['type'] in ('Chemical', 'Organ')
    )
    assert spec.cluster == 'bigbio:ner' and read_spans(spec.example(rows[2])['answers'][0]) == frozenset()
    assert [row['answer'] for row in found['x_re'][1]] == [
        'Naloxone | left lungs; inhibits | naloxone',
        'none',
    ]
    assert found['x_ee'][1][0]['answer'] == 'inhibits | Cause: Naloxone | Theme: left lungs'
    assert [(row['mention'], row['answer']) for row in found['x_coref'][1]] == [('Naloxone', 'naloxone')]
    (row,) = found['x_ned'][1]
    assert (row['mention'], row['database'], row['answer'], row['answers']) == (
        'Naloxone', 'MESH', 'D009270', ['D009270', 'D1'])  # fmt: skip
    for spec, rows in found.values():
        assert list(linting.lint(spec, rows, count=3)) == []


def test_the_other_schemas():
    question = {'question': 'Is it?', 'context': 'It is.', 'type': 'yesno', 'choices': [], 'answer': ['yes']}
    listed = question | {'type': 'list', 'context': None, 'answer': ['b', 'a', 'b']}
    chosen = question | {'type': 'multiple_choice', 'choices': ['x', 'y'], 'answer': ['y']}
    found = made('qa', [question, listed, chosen, question | {'answer': []}])
    assert [row['answer'] for row in found['x_qa'][1]] == ['b; a']
    assert [(row['options'], row['answer']) for row in found['x_choice'][1]] == [
        (['yes', 'no'], 'yes'),
        (['x', 'y'], 'y'),
    ]
    spec, rows = made('te', [{'premise': 'p', 'hypothesis': 'h', 'label': label} for label in ('no', 'yes')])[
        'x_te'
    ]
    assert spec.cluster == 'nli' and rows[1] == {
        'premise': 'p',
        'hypothesis': 'h',
        'options': ['no', 'yes'],
        'answer': 'yes',
    }
    pair = {'text_1': 'a', 'text_2': 'b'}
    found = made('pairs', [pair | {'label': 1}, pair | {'label': 0}])
    assert [row['answer'] for row in found['x_pairs'][1]] == ['1', '0'] and found['x_sts'][1] == []
    found = made('pairs', [pair | {'label': 1.5}, pair | {'label': '4'}])
    assert [row['answer'] for row in found['x_sts'][1]] == ['1.5', '4'] and found['x_pairs'][1] == []
    assert found['x_sts'][0].metric == 'pearson'
    row = pair | {'text_1_name': 'zh', 'text_2_name': 'en'}
    spec, rows = made('t2t', [row], metric='sacrebleu_intl')['x_t2t']
    assert (
        rows == [{'text': 'a', 'from': 'zh', 'to': 'en', 'answer': 'b'}] and spec.metric == 'sacrebleu_intl'
    )
    rows = made('text', [{'text': 'a', 'labels': ['q', 'b']}, {'text': 'c', 'labels': []}])['x_text'][1]
    assert [(row['labels'], row['answer']) for row in rows] == [('b, q', 'q; b'), ('b, q', 'none')]


def test_what_is_not_in_a_schema():
    with pytest.raises(ValueError, match=r"schema 'kg' .*expected one of kb, qa, te, pairs, t2t, text"):
        data_sets('x', 'kg', InMemory(lambda split: []))
    with pytest.raises(ValueError, match=r"tasks=\('ner',\); .*some of its tasks pairs, sts"):
        data_sets('x', 'pairs', InMemory(lambda split: []), tasks=('ner',))
    with pytest.raises(ValueError, match=r"test row 0 is not in the schema 't2t': KeyError: 'text_1'"):
        made('t2t', [{'text': 'a'}])
    with pytest.raises(ValueError, match=r"train row 0 is not in the schema 'kb': KeyError: 'entities'"):
        made('kb', [{'passages': []}])
    with pytest.raises(ValueError, match=r"row 0 .* TypeError: 'Tom' is a text; expected a list of texts"):
        made('qa', [{'question': 'Who?', 'context': '', 'choices': [], 'type': 'list', 'answer': 'Tom'}])
    with pytest.raises(ValueError, match=r"row 0 .* TypeError: 'Tom met Ann.' is a text"):
        made('kb', [DOCUMENT | {'passages': [{'text': 'Tom met Ann.'}]}])


def test_a_folder_is_listed(tmp_path, capsys):
    def write(name, rows):
        path = tmp_path / 'bigbio' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(''.join(json.dumps(row) + '\n' for row in rows))

    with pytest.raises(MissingDataError, match="expected a folder 'bigbio'"):
        bigbio.find(tmp_path)
    write('readme/train.jsonl', [])
    with pytest.raises(MissingDataError, match=r'has readme/; expected <data set>_bigbio_<schema>'):
        bigbio.find(tmp_path)
    for split in ('train', 'test'):
        write(f'bc5cdr_bigbio_kb/{split}.jsonl', [DOCUMENT | {'events': []}])
    write(
        'mqp_bigbio_pairs/train.jsonl', [{'text_1': 'a', 'text_2': 'b', 'label': label} for label in (0, 1)]
    )
    found = mixtures.resolve('bigbio', tmp_path)
    assert [entry.task for entry in found.entries] == [
        *(f'bigbio:bc5cdr_{task}' for task in ('ner', 'ned', 're', 'coref')), 'bigbio:mqp_pairs'
    ]  # fmt: skip
    assert registry.find_spec('bigbio:mqp_pairs').splits == specs.Splits('train', None, None)
    assert main.main(['lint', '--mixture=bigbio', f'--data_dir={tmp_path}']) == 0
    assert main.main(['datasets', '--mixture=bigbio', f'--data_dir={tmp_path}']) == 0
    assert 'bigbio:bc5cdr_re' in capsys.readouterr().out
    # What cannot be read is a matter of its own data sets.
    write('empty_bigbio_te/dev.jsonl', [])
    (tmp_path / 'bigbio' / 'empty_bigbio_te' / 'train.txt').write_text('x')
    write('broken_bigbio_kb/train.jsonl', [])
    (tmp_path / 'bigbio' / 'broken_bigbio_kb' / 'train.jsonl').write_text('{"no json')
    found = mixtures.resolve('bigbio', tmp_path)
    assert len(found.entries) == 5 + 1 + 5
    for name, words in (('empty_te', 'train'), ('broken_re', 'train.jsonl')):
        with pytest.raises(MissingDataError if name == 'empty_te' else ValueError, match=words):
            list(registry.find_spec(f'bigbio:{name}').source.rows('train'))
