import gzip
import json
import os
import socket

import pytest
import toy_specs

from flanlite.data.mixing import drop_list
from flanlite.data.specs import sources
from flanlite.data.specs.sources import HuggingFace, InMemory, JsonLines, Tfds

ROWS = [{'id': number, 'text': f'tëxt {number}', 'tags': ['x'] * number} for number in range(10)]


def write(folder, split, rows=ROWS, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    if packed:
        (folder / f'{split}.jsonl.gz').write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        (folder / f'{split}.jsonl').write_text(text, encoding='utf-8')
    return JsonLines(str(folder))


SLICES = {
    'train': range(10), 'train[:3]': range(3), 'train[-3:]': range(7, 10), 'train[:-3]': range(7), 'train[2:-2]': range(2, 8),
    'train[:20%]': range(2), 'train[80%:]': range(8, 10), 'train[-25%:]': range(8, 10), 'train[:99]': range(10),
    'train[:2]+train[9:]': [0, 1, 9],
}  # fmt: skip


@pytest.mark.parametrize('split', SLICES)
@pytest.mark.parametrize('packed', [False, True])
def test_slices(split, packed, tmp_path):
    source = write(tmp_path / 'data', 'train', packed=packed)
    assert [row['id'] for row in source.rows(split)] == list(SLICES[split])
    assert [row['id'] for row in InMemory(lambda name: ROWS).rows(split)] == list(SLICES[split])
    assert list(source.rows('train'))[3] == ROWS[3]


@pytest.mark.parametrize('split', ['train[', 'train[1]', 'train[a:]', '', '[:3]'])
def test_bad_slices(split):
    with pytest.raises(ValueError, match='does not parse'):
        list(InMemory(lambda name: ROWS).rows(split))


def test_a_local_folder_stands_in_for_tfds(tmp_path, monkeypatch):
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    write(tmp_path / 'super_glue_rte', 'train')
    write(tmp_path / 'elsewhere', 'validation', ROWS[:4], packed=True)
    source, other = Tfds('super_glue/rte:1.0.2'), Tfds('glue/rte:2.0.0', folder='elsewhere')
    assert sources.prefer_data_folder(source) is source
    assert isinstance(sources.prefer_data_folder(source, tmp_path), JsonLines)
    assert source.version() == 'tfds super_glue/rte:1.0.2'
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path))
    assert [row['id'] for row in source.rows('train[:-8]')] == [0, 1]
    assert [row['id'] for row in other.rows('validation_matched')] == [0, 1, 2, 3]
    assert source.version().startswith('jsonl super_glue_rte ')
    assert [row['id'] for row in JsonLines('elsewhere').rows('validation[3:]')] == [3]
    assert sources.prefer_data_folder(
        HuggingFace('allenai/social_i_qa', 'plain', folder='elsewhere')
    ).folder == str(tmp_path / 'elsewhere')
    assert HuggingFace('allenai/social_i_qa', 'plain').local_name() == 'allenai_social_i_qa_plain'


@pytest.mark.parametrize('packed', [False, True])
def test_version_follows_content_not_time(tmp_path, packed):
    first = write(tmp_path / 'a' / 'data', 'train', packed=packed).version()
    copy = write(tmp_path / 'b' / 'data', 'train', packed=packed)
    assert copy.version() == first
    changed = write(
        tmp_path / 'c' / 'data', 'train', [ROWS[0] | {'text': 'tëxt 9'}, *ROWS[1:]], packed=packed
    )
    assert changed.version() != first
    write(tmp_path / 'b' / 'data', 'test')
    assert copy.version() != first


def test_missing_data_says_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path))
    source = write(tmp_path / 'data', 'train')
    with pytest.raises(ValueError, match="no split 'test', only train"):
        list(source.rows('test'))
    with pytest.raises(FileNotFoundError, match='FLANLITE_DATA_DIR'):
        list(JsonLines('nowhere').rows('train'))
    with pytest.raises(ValueError, match="no split 'dev'"):
        list(InMemory(lambda split: {'train': ROWS}[split], 'toy').rows('dev'))


def test_damaged_files_are_named(tmp_path):
    source = write(tmp_path, 'train')
    (tmp_path / 'test.jsonl').write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(ValueError, match=r'test.jsonl, line 2 is no JSON'):
        list(source.rows('test'))
    for line in ('[' * 100_000, '9' * 5_000, '{"a": "\0"}', '\0\0'):
        (tmp_path / 'test.jsonl').write_text(f'{{"a": 1}}\r\n{line}')
        with pytest.raises(ValueError, match=r'test.jsonl, line 2 is no JSON'):
            list(source.rows('test'))
    (tmp_path / 'test.jsonl').write_text('[1]\n')
    with pytest.raises(ValueError, match='line 1: expected a JSON object'):
        list(source.rows('test'))
    whole = gzip.compress(json.dumps({'a': [index**5 for index in range(1000)]}).encode())
    middle = len(whole) // 2
    for damaged in (whole[:-20], whole[:middle] + b'?' * 99 + whole[middle + 99 :], b'{"a": 1}\n'):
        (tmp_path / 'half.jsonl.gz').write_bytes(damaged)
        with pytest.raises(ValueError, match=r'half.jsonl.gz is damaged'):
            list(source.rows('half'))


def test_other_files_are_named_where_a_split_is_missing(tmp_path):
    source = JsonLines(str(tmp_path))
    with pytest.raises(ValueError, match=r"no split 'train'; found nothing, expected train\.jsonl\[\.gz\]"):
        list(source.rows('train'))
    for name in ('train.csv', 'test.csv'):
        (tmp_path / name).write_text('a,b')
    with pytest.raises(
        ValueError, match=r"no split 'train'; found train\.csv, expected train\.jsonl\[\.gz\]$"
    ):
        list(source.rows('train'))
    write(tmp_path, 'test')
    with pytest.raises(
        ValueError, match=r"no split 'train', only test; found train\.csv, expected train\.jsonl"
    ):
        list(source.rows('train'))
    (tmp_path / 'train.jsonl').mkdir()
    (tmp_path / 'train-00000-of-00001.jsonl').write_text('{}')
    with pytest.raises(
        ValueError, match=r'only test, train-00000-of-00001; found train\.csv, train\.jsonl/, expected train'
    ):
        list(source.rows('train'))


def test_a_split_has_one_file(tmp_path):
    source = write(tmp_path, 'train')
    write(tmp_path, 'train', packed=True)
    with pytest.raises(ValueError, match=r'has train\.jsonl and train\.jsonl\.gz; remove one of them'):
        list(source.rows('train'))


@pytest.mark.parametrize('packed', [False, True])
def test_half_characters_are_replaced_and_counted(tmp_path, caplog, packed):
    rows = [{'a': 'fine 😀'}, {'a': 'cut \ud83d', 'b': ['\ude00x', 1]}, {'\ud83d\ude00': 'a\ud83db'}]
    source = write(tmp_path, 'train', rows, packed)
    expected = [{'a': 'fine 😀'}, {'a': 'cut \ufffd', 'b': ['\ufffdx', 1]}, {'😀': 'a\ufffdb'}]
    for _ in range(2):
        assert list(source.rows('train')) == expected
    (said,) = caplog.messages
    assert f'{"train.jsonl.gz" if packed else "train.jsonl"}: 3 texts with half a character' in said
    assert 'the first in line 2; U+FFFD' in said
    caplog.clear()
    made = list(InMemory(lambda split: rows, name=f'half {packed}').rows('train'))
    assert made[:2] == expected[:2] and made[0] is rows[0]
    assert 'the first in row 1' in caplog.messages[0]


@pytest.mark.parametrize('packed', [False, True])
def test_byte_order_marks_and_other_encodings(tmp_path, packed):
    pack, name = (gzip.compress, 'train.jsonl.gz') if packed else (bytes, 'train.jsonl')
    (tmp_path / name).write_bytes(pack('\ufeff{"a": "é"}\n{"a": "b"}\n'.encode()))
    assert list(JsonLines(str(tmp_path)).rows('train')) == [{'a': 'é'}, {'a': 'b'}]
    (tmp_path / name).write_bytes(pack('{"a": "b"}\n{"a": "é"}\n'.encode('latin1')))
    with pytest.raises(ValueError, match=rf'{name}, line 2 is not in UTF-8; convert .* -f latin1'):
        list(JsonLines(str(tmp_path)).rows('train'))
    (tmp_path / name).write_bytes(pack('{"a": "b"}\n'.encode('utf-16')))
    with pytest.raises(ValueError, match=rf'{name}, line 1 is not in UTF-8; convert .* -f utf-16'):
        list(JsonLines(str(tmp_path)).rows('train'))
    (tmp_path / name).write_bytes(pack(gzip.compress(b'{"a": 1}\n')))
    with pytest.raises(ValueError, match=r'compressed by gzip: .*ends with \.jsonl\.gz'):
        list(JsonLines(str(tmp_path)).rows('train'))


def test_drop_lists_may_have_a_byte_order_mark(tmp_path):
    (tmp_path / 'drop.jsonl').write_text(
        '\ufeff{"task": "wnli", "split": "train", "row": 7}\n', encoding='utf-8'
    )
    assert drop_list.read_drop_list(tmp_path / 'drop.jsonl') == {'wnli': {7}}
    for content, said in (
        ('{"task": "é"}'.encode('latin1'), r'drop\.jsonl, line 1 is not in UTF-8'),
        (b'\n{"task": "wnli", "split": "train", "row": -1}', r'drop\.jsonl, line 2 is .*expected such as'),
    ):
        (tmp_path / 'drop.jsonl').write_bytes(content)
        with pytest.raises(ValueError, match=said):
            drop_list.read_drop_list(tmp_path / 'drop.jsonl')


def test_a_cut_file_of_tfds_is_named(tmp_path, monkeypatch):
    tf = pytest.importorskip('tensorflow')
    file = tmp_path / 'train.tfrecord'
    with tf.io.TFRecordWriter(str(file)) as writer:
        for index in range(100):
            writer.write(b'text %d' % index)
    monkeypatch.setattr(
        Tfds,
        'dataset',
        lambda source, split: tf.data.TFRecordDataset(str(file)).map(lambda text: {'text': text}),
    )
    assert [row['text'] for row in Tfds('corpus:1.0.0').rows('train')][98:] == ['text 98', 'text 99']
    os.truncate(file, file.stat().st_size - 5)
    with pytest.raises(
        ValueError,
        match=r'what TFDS prepared of corpus:1.0.0 .*DataLossError.*tfds build --overwrite corpus:1.0.0',
    ):
        list(Tfds('corpus:1.0.0').rows('train'))


@pytest.mark.parametrize('name', ['cola', 'glue/cola', 'glue/cola:2', 'glue/cola:2.*.*'])
def test_data_sets_of_tfds_have_versions(name):
    with pytest.raises(ValueError, match=r'expected a name with a version, such as super_glue/rte:1\.0\.2'):
        Tfds(name)


def test_in_memory_version_follows_the_code():
    assert InMemory(lambda split: [1]).version() == InMemory(lambda split: [1]).version()
    assert InMemory(lambda split: [1]).version() != InMemory(lambda split: [2]).version()


def test_in_memory_version_follows_the_files_that_are_named(tmp_path, caplog):
    file = tmp_path / 'rows.csv'

    def rows(split):
        return [{'text': line} for line in file.read_text().splitlines()]

    file.write_text('a,b')
    named = InMemory(rows, 'named', (str(file),))
    first = named.version()
    os.utime(file, ns=(1, 1))
    assert named.version() == first and not caplog.messages
    file.write_text('a,c')
    assert named.version() != first
    file.unlink()
    with pytest.raises(sources.MissingDataError, match=r"'named' names the file .*rows\.csv': No such file"):
        named.version()
    for _ in range(2):
        InMemory(rows, 'unnamed').version()
    (said,) = caplog.messages
    assert "the source 'unnamed': " in said and 'rows calls read_text; a change there is not noticed' in said
    assert "InMemory(function, files=('rows.csv',))" in said
    for files in ('rows.csv', ['rows.csv'], (1,)):
        with pytest.raises(ValueError, match='expected a tuple of paths'):
            InMemory(rows, files=files)


def test_in_memory_rows_of_a_dictionary(caplog):
    rows = {'train': ROWS[:2]}
    source = InMemory(rows.get)
    before = source.version()
    assert list(source.rows('train')) == ROWS[:2]
    with pytest.raises(sources.MissingDataError, match="no split 'test': its function returned None"):
        list(source.rows('test'))
    rows['train'] = ROWS
    assert source.version() != before and not caplog.messages


def test_functions_of_a_data_set_that_read_files_are_named(caplog):
    def fields(row):
        with open('names.txt') as names:
            return {'question': names.read(), 'answer': row['colour']}

    toy_specs.colours('reading', fields=fields, keep=None).fingerprint()
    toy_specs.prose('prose', text=fields).fingerprint()
    first, second = caplog.messages
    assert "the data set 'reading': " in first and 'fields calls open; a change there' in first
    assert 'a constant whose name is in capitals' in first and "the text 'prose': " in second


def test_count():
    assert sources.count_rows(InMemory(lambda name: ROWS), 'train[:-3]') == 7


def test_what_is_at_hand_without_a_download(tmp_path, monkeypatch):
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path / 'tfds'))
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path / 'data'))
    rte, hub = sources.Tfds('super_glue/rte:1.0.2'), sources.HuggingFace('some/hub')
    assert not sources.at_hand(rte)
    assert not sources.at_hand(hub)
    assert sources.at_hand(sources.InMemory(list))
    with monkeypatch.context() as bucket:
        bucket.setenv('TFDS_DATA_DIR', 'gs://bucket/tfds')  # as TFDS takes it
        assert not sources.at_hand(rte)
    prepared = tmp_path / 'tfds' / 'super_glue' / 'rte' / '1.0.2'
    prepared.mkdir(parents=True)
    (prepared / 'dataset_info.json').write_text('{}')
    (tmp_path / 'data' / 'some_hub').mkdir(parents=True)
    assert sources.at_hand(rte)
    assert sources.at_hand(hub)


def test_a_folder_may_be_cut_in_another_way(tmp_path, monkeypatch):
    folder = tmp_path / 'other'
    folder.mkdir(exist_ok=True)
    for split, count in (('train', 5), ('test', 2)):
        (folder / f'{split}.jsonl').write_text(
            ''.join(f'{{"row": "{split} {index}"}}\n' for index in range(count))
        )
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path))
    source = Tfds(
        'corpus:1.0.0', folder='other', folder_splits=(('train[:300]', 'train[1:3]'), ('dev', 'test'))
    )
    assert [row['row'] for row in source.rows('train[:300]')] == ['train 1', 'train 2']
    assert [row['row'] for row in source.rows('dev')] == ['test 0', 'test 1']
    assert [row['row'] for row in source.rows('train[4:]')] == ['train 4']
    assert source.version() != Tfds('corpus:1.0.0', folder='other').version()


def test_without_a_network_nothing_is_tried_for_minutes(monkeypatch, tmp_path):
    def unknown(host, port):
        raise socket.gaierror(f'{host} is not known')

    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)
    monkeypatch.setenv('TFDS_DATA_DIR', str(tmp_path))
    monkeypatch.setattr(sources.urllib.request, 'getproxies', dict)
    monkeypatch.setattr(sources.socket, 'getaddrinfo', unknown)
    with pytest.raises(
        sources.MissingDataError,
        match=r'super_glue/rte.*no network, or none to dl\.fbaipublicfiles\.com; prepare it with',
    ):
        next(sources.Tfds('super_glue/rte:1.0.2').rows('train'))
    sources.check_reachable([])
    monkeypatch.setattr(
        sources.socket, 'getaddrinfo', lambda host, port: unknown(host, port) if 'one' in host else []
    )
    sources.check_reachable(['https://one.example/a.zip', 'https://two.example/b.zip'])
