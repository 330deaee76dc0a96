"""Files of strangers: checkpoints, vocabularies, data and settings that are not what they seem are one line with
the file and the place; nothing is called, opened elsewhere, or waited for.
"""

import gzip
import io
import json
import os
import struct

import msgpack
import numpy as np
import pytest
from flax import serialization

from flanlite import config
from flanlite.data.mixing import drop_list
from flanlite.data.specs.files import Files
from flanlite.data.specs.sources import JsonLines
from flanlite.data.tokens import vocabularies
from flanlite.training import locate, parameters
from flanlite.training.config import TrainConfig

BASE = 'mixtures/pocket/assets/base.safetensors'
DEEP, DIGITS = b'[' * 100_000, b'9' * 5_000
T5 = {
    'model_type': 't5',
    'vocab_size': 9,
    'd_model': 8,
    'num_heads': 2,
    'num_layers': 1,
    'd_kv': 4,
    'd_ff': 16,
}
GOOD = b'{"prompt": "a", "completion": "b"}\n'
TOKENIZER = {
    'version': '1.0',
    'added_tokens': [],
    'model': {'type': 'WordLevel', 'vocab': {'a': 0, 'b': 1}, 'unk_token': 'a'},
}


def as_bytes(content):
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def safetensors(header, length=None, body=b''):
    text = as_bytes(header)
    return struct.pack('<Q', len(text) if length is None else length) + text + body


def tensors(**shapes):
    """Make a file of zeros."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [begin, end]}
    return safetensors(header, body=b'\0' * end)


def pocket(**metadata):
    """Make the pocket base with other metadata."""
    path = locate.locate(BASE)
    content = path.read_bytes()
    end = 8 + struct.unpack('<Q', content[:8])[0]
    header = json.loads(content[8:end])
    header['__metadata__'] |= {
        name: text if isinstance(text, str) else json.dumps(text) for name, text in metadata.items()
    }
    return safetensors(header, body=content[end:])


def pocket_config(**fields):
    return pocket(config=locate.file_metadata(locate.locate(BASE))['config'] | fields)


def npy(replaced=b'', by=b''):
    content = io.BytesIO()
    np.save(content, np.zeros((3, 128), np.float32))
    return content.getvalue().replace(replaced, by)


def t5x(target):
    return {'checkpoint_3/checkpoint': serialization.msgpack_serialize({'optimizer': {'target': target}})}


def folder(config, **files):
    """Make a Hugging Face folder; two underscores stand for a dot."""
    return {'config.json': as_bytes(config)} | {
        name.replace('__', '.'): as_bytes(content) for name, content in files.items()
    }


def indexed(weight_map):
    return folder(T5, model__safetensors__index__json={'weight_map': weight_map})


def tokenizer(**files):
    files = {'tokenizer__json': TOKENIZER, 'generation_config__json': {'eos_token_id': 1}} | files
    return folder({}, **files)


def chat(template):
    return tokenizer(tokenizer_config__json={'chat_template': template})


def make(path, content):
    """Write a file, or a folder of files; `os.mkfifo` makes a pipe."""
    if callable(content):
        content(path)
    elif isinstance(content, dict):
        for name, each in content.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            make(path / name, each)
    else:
        path.write_bytes(content)
    return path


CHECKPOINTS = [
    ('a.safetensors', safetensors(b'{}', 2**60), ['no parameter file']),
    ('a.safetensors', safetensors(b'{}', 10**9), ['no parameter file']),
    ('a.safetensors', safetensors(DEEP), ['no parameter file']),
    ('a.safetensors', b'', ['no parameter file']),
    ('a.safetensors', os.mkfifo, ['pipe']),
    ('a.safetensors', pocket(config='[]'), ['config in the header of', 'is []', 'expected Mapping']),
    ('a.safetensors', pocket(config='{"a": 1, "a": 2}'), ["the key 'a' twice"]),
    ('a.safetensors', pocket(config='[' * 99_999), ['nested too deep']),
    ('a.safetensors', pocket(step='9' * 5_000), ['step in the header of', '4300 digits']),
    ('a.safetensors', pocket(vocabulary={'a': 1}), ['vocabulary in the header of', 'expected str or None']),
    ('a.safetensors', pocket(feature_lengths={'inputs': 'a', 'targets': 3}), ["['inputs'] is 'a'"]),
    ('a.safetensors', pocket(feature_lengths={'inputs': 3}), ["'inputs' and 'targets'"]),
    ('a.safetensors', pocket_config(vocab_size='x'), ["T5Config.vocab_size is 'x'"]),
    ('a.safetensors', pocket_config(num_heads=-1), ['T5Config.num_heads is -1']),
    (
        'a.safetensors',
        pocket_config(adapter={'type': 'os:mkdir', 'path': 'made'}),
        ["'os:mkdir'", 'no class'],
    ),
    ('hf', indexed({'a': '../x.safetensors'}), ['index.json', "'../x.safetensors'", 'its own folder']),
    ('hf', indexed({'a': '/etc/passwd'}), ['index.json', "'/etc/passwd'", 'its own folder']),
    ('hf', indexed({'a': '..'}), ["'..'", 'its own folder']),
    ('hf', indexed({'a': 'x' * 5_000}), ['its own folder']),
    ('hf', indexed({'a': 3}), ['no weight_map']),
    ('hf', folder(b'{"model_type": "t5", "model_type": "t5"}'), ["'model_type' twice"]),
    ('hf', folder(DEEP), ['config.json', 'nested too deep']),
    ('hf', folder(b'\xff\xfe'), ['config.json is not in UTF-8']),
    ('hf', folder(b'{"vocab_size": ' + DIGITS + b'}'), ['config.json', '4300 digits']),
    ('hf', folder({'model_type': {}}), ['model_type {}']),
    ('hf', folder(T5 | {'feed_forward_proj': []}), ['cannot be read']),
    ('hf', folder(T5, model__safetensors=tensors(shared=[2])), ['no parameter of a T5']),
    (
        'hf',
        folder(T5, model__safetensors=tensors(**{'encoder.block.9.layer.0.SelfAttention.q.weight': [1, 1]})),
        ['layers [9]'],
    ),
    ('t5x', {'checkpoint_3/checkpoint': b'\x81' * 9_999}, ["no checkpoint of T5X's"]),
    ('t5x', {'checkpoint_3/checkpoint': msgpack.packb(3)}, ["no checkpoint of T5X's"]),
    ('t5x', t5x([]), ['no parameters under']),
    ('t5x', t5x({'a': 3}), ['no parameters under']),
    ('t5x', t5x({'a': {'kvstore': 3}}), ['cannot be read']),
    ('t5x', t5x({'a': {'kvstore': {'path': '/x/..'}}}), ['folder beside it']),
    ('t5x', t5x({'a': {'driver': 'n5', 'kvstore': {'path': 'a'}}}), ['folder beside it']),
    ('t5x', t5x({'a': {'kvstore': {'path': 'gone'}}}), ['cannot read the parameter a']),
    ('t5x', {'checkpoint_3/state/manifest.ocdbt': b'x' * 99}, ['Error decoding manifest']),
    ('peft', {'adapter_config.json': b'[]'}, ['adapter_config.json is []', 'JSON object']),
    ('peft', {'adapter_config.json': b'{"base_model_name_or_path": 3}'}, ['cannot be read']),
    ('a.npy', npy(b'(3, 128)', b'(99999999999, 128)'), ['no array of numpy']),
    ('a.npy', npy(b'(3, 128)', b'(' * 999), ['no array of numpy']),
    ('a.npy', b'PK\3\4' + b'x' * 99, ['no array of numpy']),
    ('folder', {'a.npy': os.mkfifo}, ['no checkpoint']),
]
VOCABULARIES = [
    ('a.model', b'x' * 99, ['expected']),
    ('a.model', os.mkfifo, ['expected']),
    ('hf', tokenizer(tokenizer__json=DEEP), ['tokenizer.json', 'nested too deep']),
    ('hf', tokenizer(tokenizer__json={}), ['cannot load the vocabulary']),
    (
        'hf',
        tokenizer(
            tokenizer__json=TOKENIZER
            | {'model': {'type': 'WordLevel', 'vocab': {'a': 0, 'b': 4 * 10**9}, 'unk_token': 'a'}}
        ),
        ['the id 4,000,000,000'],
    ),
    ('hf', tokenizer(generation_config__json={'eos_token_id': 10**12}), ['1000000000000 ends an answer']),
    ('hf', tokenizer(generation_config__json={'eos_token_id': ['x']}), ["'x' ends an answer"]),
    (
        'hf',
        folder({}, tokenizer_config__json={'tokenizer_class': 'ByT5Tokenizer', 'extra_ids': 10**9}),
        ['to 10,000'],
    ),
    ('hf:chat', chat('{{ "x" * 10**9 }}'), ['cannot be filled', 'too long']),
    ('hf:chat', chat('{{ messages[0]'), ['cannot be filled', 'TemplateSyntaxError']),
    ('hf:chat', chat('{{ messages[0].content * 3 }}'), ['writes a turn 3 times']),
    ('hf:chat', chat([3, {'name': 'default', 'template': 3}]), ['no chat template']),
]
DATA = [
    ('a.jsonl', DEEP, ['line 1', 'nested too deep']),
    ('a.jsonl', b'{"prompt": ' + DIGITS + b'}', ['line 1', '4300 digits']),
    ('a.jsonl', GOOD + b'{"prompt": "a", "completion": "b", "prompt": "c"}', ['line 2', "'prompt' twice"]),
    ('a.jsonl', GOOD + GOOD[:-1] + b'more', ['line 2']),
    ('a.jsonl', os.mkfifo, ['neither a file nor a folder']),
    ('a.json', b'[' + GOOD + b',', ['a.json is no JSON']),
    ('a.json', b'{"a": 1}', ['expected a list']),
    ('a.csv', b'prompt,completion,prompt\na,b,c\n', ["'prompt' twice"]),
    ('a.jsonl.gz', gzip.compress(GOOD * 99)[:-9], ['damaged']),
    ('a.jsonl.gz', b'\x1f\x8b' + b'x' * 99, ['damaged']),
    ('a.parquet', b'PAR1' + b'x' * 99 + b'PAR1', ['no whole Parquet file']),
    ('a.arrow', b'ARROW1\0\0' + b'x' * 99, ['no whole Arrow file']),
    ('two', {'train.jsonl': GOOD, 'train.jsonl.gz': gzip.compress(GOOD)}, ['remove one of them']),
    ('pipe', {'train.jsonl': os.mkfifo}, ['train.jsonl is a pipe']),
]
SETTINGS = [
    (b'{"type": "MeshConfig", "num_slices": 1, "num_slices": 2}', ["'num_slices' twice"]),
    (b'{"type": "MeshConfig", "num_slices": ' + DIGITS + b'}', ['4300 digits']),
    (b'{"type": "MeshConfig", "num_slices": 0}', ['num_slices is 0']),
    (b'{"type": "os:mkdir", "path": "made"}', ["'os:mkdir'", 'no class of values']),
    (b'{"type": []}', ['cannot read settings']),
    (b'{"partial": {"function": "os:mkdir"}}', ['cannot read settings']),
    (DEEP, ['nested too deep']),
    (b'\xff', ['not in UTF-8']),
    (b'null', ['holds a NoneType']),
    (os.mkfifo, ['pipe']),
]


def check(run, name, words):
    with pytest.raises(ValueError) as raised:
        run()
    message = str(raised.value)
    assert '\n' not in message and len(message) < 900
    assert all(word in message for word in (name, *words)), message


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / 'cwd').mkdir()
    monkeypatch.chdir(tmp_path / 'cwd')
    yield
    assert not list((tmp_path / 'cwd').iterdir()), 'something was called'


@pytest.mark.parametrize(('name', 'content', 'words'), CHECKPOINTS)
def test_checkpoints(name, content, words, tmp_path):
    path = str(make(tmp_path / name, content))
    base = BASE if name.endswith('.npy') else None

    def load():
        known = parameters.describe(path, base)
        parameters.open_arrays(path, known.config)

    check(load, name, words)


@pytest.mark.parametrize(('name', 'content', 'words'), VOCABULARIES)
def test_vocabularies(name, content, words, tmp_path):
    make(tmp_path / name.partition(':')[0], content)
    check(lambda: vocabularies.load(str(tmp_path / name)), name.partition(':')[0], words)


@pytest.mark.parametrize(('name', 'content', 'words'), DATA)
def test_data(name, content, words, tmp_path):
    path = make(tmp_path / name, content)
    check(lambda: list(Files(str(path)).rows('train')), name, words)
    if path.is_dir():
        check(lambda: list(JsonLines(str(path)).rows('train')), name, ['train.jsonl'])


@pytest.mark.parametrize(
    'content', [DEEP, os.mkfifo, b'\xff', b'{"task": "a", "split": "train", "row": ' + DIGITS + b'}']
)
def test_drop_lists(content, tmp_path):
    path = make(tmp_path / 'drop.jsonl', content)
    check(lambda: drop_list.read_drop_list(path), 'drop.jsonl', [])


@pytest.mark.parametrize(('content', 'words'), SETTINGS)
def test_settings(content, words, tmp_path):
    path = make(tmp_path / 'settings.json', content)
    check(lambda: config.load_as(TrainConfig, path), 'settings.json', words)
