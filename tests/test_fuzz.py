"""Whatever is read, the outcome is a value or one line: templates, specs, gin bindings, JSON lines, vocabularies
and checkpoints of others, made up at random.

FLANLITE_FUZZ=5000 tries as many of each, other ones every time; by default a few, always the same.
"""

import contextlib
import json
import os
import pathlib
import struct
import tempfile

import pytest
from flax import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from flanlite import config, sandbox
from flanlite.cli import gin_config, gin_names
from flanlite.cli import main as cli
from flanlite.data.specs import forms
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.files import Files
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec, Splits, TextSpec
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies
from flanlite.training import locate, parameters

TRIED = int(os.environ.get('FLANLITE_FUZZ', '0'))
fuzzed = settings(
    max_examples=TRIED or 40, deadline=None, derandomize=not TRIED, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
LARGE = some.sampled_from(
    [-1, 0, 1, 2**31, 2**63, 10**30, -(10**30), 1e300, 5e-324, float('inf'), float('nan')]
)
NUMBERS = some.integers() | some.floats() | LARGE
TEXTS = some.text(max_size=12) | some.sampled_from(
    ['', '.', '..', '/', '\0', '\ud83d', '{', '%', '@x', 'x' * 300, 'é']
)
SCALARS = some.none() | some.booleans() | NUMBERS | TEXTS
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
JSON = some.recursive(
    some.none() | some.booleans() | NUMBERS | some.text(max_size=8),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@contextlib.contextmanager
def one_line():
    """Let a run end, or say in one line why it cannot; anything else fails the test."""
    try:
        yield
    except (ValueError, OSError) as error:
        message = str(error)
        assert message and '\n' not in message and len(message) < 2_000, message


@contextlib.contextmanager
def file_of(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        yield path


PIECES = ['x', '{{ ', ' }}', '{% ', ' %}', 'for i in x', 'endfor', 'if x', 'endif', 'set y = ', 'x', 'i', 'y', ' * 10**9', ' ~ x', '|join', '|center(10**9)', '.format(', ')', '[0]', '%d', 'range(99999)', 'x.__class__', "'", '(', '\n', '|replace("a", x)', 'macro m(n)', 'm(m)', 'endmacro']  # fmt: skip


@fuzzed
@given(some.lists(some.sampled_from(PIECES), max_size=12), VALUES)
def test_templates_of_jinja(pieces, value):
    environment = sandbox.Limited()
    with pytest.MonkeyPatch.context() as patch, one_line():
        patch.setattr(sandbox, 'SECONDS', 0.2)
        environment.filled(environment.compiled(''.join(pieces)), {'x': value})


@fuzzed
@given(
    some.lists(
        some.sampled_from(
            ['{', '}', 'text', '{text}', '{answer}', '{options_}', '\n', '{{', '}}', '!r', ':>9']
        ),
        max_size=6,
    ).map(''.join),
    TEXTS,
)
def test_templates(inputs, targets):
    with one_line():
        Template(inputs, targets)


FIELDS = some.sampled_from(['name', 'cluster', 'templates', 'metric', 'options', 'splits', 'family', 'lineage', 'max_examples', 'max_rate', 'train_examples', 'baselines'])  # fmt: skip


@fuzzed
@given(some.dictionaries(FIELDS, VALUES, max_size=3), VALUES, VALUES)
def test_specs(changes, row, answer):
    usual = {
        'name': 'fuzz', 'cluster': 'nli', 'source': InMemory(lambda split: [row], lambda: '1'),
        'fields': lambda row: {'text': row, 'answer': answer}, 'templates': (Template('{text}', '{answer}'),),
    }  # fmt: skip
    with one_line():
        DatasetSpec(**usual | changes).example({'a': row})
    with one_line():
        Splits(row, answer)
    with one_line():
        Collection('fuzz', (), max_examples=row, max_rate=answer)


TEXT_FIELDS = some.sampled_from(['objective', 'length', 'density', 'mean_span', 'longest_target', 'corruptions', 'seed', 'max_rate'])  # fmt: skip


@fuzzed
@given(some.dictionaries(TEXT_FIELDS, VALUES, min_size=1, max_size=2))
def test_specs_of_text(changes):
    with one_line():
        TextSpec('fuzz', InMemory(lambda split: [], lambda: '1'), lambda row: row, **changes)


@fuzzed
@given(some.data())
def test_settings(data):
    """Every field of every class of values, through Python and through JSON."""
    gin_names.register()
    kinds = [kind for _, kind in sorted(config.TYPES.items()) if kind.__module__.startswith('flanlite.')]
    kind = data.draw(some.sampled_from(kinds))
    name = data.draw(some.sampled_from(sorted(config.annotations(kind))))
    value = data.draw(VALUES)
    with one_line():
        kind(**{name: value})
    with one_line():
        config.from_json({'type': kind.__name__, name: value})


@fuzzed
@given(some.data())
def test_bindings_of_gin(data):
    gin_names.register()
    names = [
        f'{kind}.{field}'
        for kind in ('TrainConfig', 'DataConfig', 'MixtureConfig', 'StepConfig', 'adafactor', 'T5Config')
        for field in config.annotations(gin_names.VALUES[f'flanlite.{kind}'])
    ]
    known = ['TRAIN_STEPS', 'SEED', 'BATCH_SIZE', 'TASK_FEATURE_LENGTHS', 'MIXTURE_OR_TASK_NAME', 'MODEL_DIR']
    name = data.draw(some.sampled_from([*known, *names]) | TEXTS)
    value = data.draw(VALUES.map(repr) | TEXTS)
    with one_line():
        gin_config.read(
            'train', ['gin/runs/pocket_train.gin'], [f'{name}={value}', 'INITIAL_CHECKPOINT_PATH=None']
        )


@fuzzed
@given(some.text(max_size=60) | some.lists(some.sampled_from(['A', 'B', ' = ', '%', '@', '\n', "include 'a.gin'", '(', ')', '[', '1', 'import ', '.', '/', "'"]), max_size=12).map(''.join))  # fmt: skip
def test_gin_files(text):
    with file_of('a.gin', text.encode(errors='surrogatepass')) as path, one_line():
        gin_config.load([str(path)])


@fuzzed
@given(some.data())
def test_flags(data):
    command = data.draw(
        some.sampled_from(
            [cli.COMMANDS[name] for name in ('infer', 'eval', 'arithmetic', 'compare', 'cache')]
        )
    )
    flag = data.draw(some.sampled_from([flag for flag in command.flags if flag.kind is not bool]))
    value = data.draw(TEXTS | NUMBERS.map(str))
    with one_line():
        cli.parse([command.name, f'--{flag.name}={value}'])


ROWS = JSON | some.dictionaries(some.sampled_from(['prompt', 'completion', 'messages', 'instruction', 'input', 'output', 'inputs', 'targets']), JSON | some.just([{'role': 'user', 'content': 'a'}]), max_size=3)  # fmt: skip


@fuzzed
@given(
    some.lists(ROWS.map(json.dumps) | some.text(max_size=20), max_size=4),
    some.binary(max_size=6),
    some.integers(0, 200),
)
def test_json_lines(lines, noise, place):
    content = '\n'.join(lines).encode(errors='surrogatepass')
    for noisy in (content, content[:place] + noise + content[place:]):
        for name in ('a.jsonl', 'a.json', 'a.csv', 'a.jsonl.gz', 'a.parquet'):
            with file_of(name, noisy) as path, one_line():
                list(Files(str(path)).rows('train'))


@fuzzed
@given(JSON)
def test_forms_of_rows(row):
    with one_line():
        form = forms.form_of(row if isinstance(row, dict) else {'prompt': row}, pathlib.Path('a'))
        with contextlib.suppress(forms.BadRow):
            list(form.examples(row))


@fuzzed
@given(
    some.sampled_from(['pocket', 'bytes', 't5', '']) | TEXTS,
    TEXTS | NUMBERS.map(str),
    some.sampled_from(['', ':chat', ':no_input_eos']),
)
def test_names_of_vocabularies(kind, number, ending):
    with one_line():
        vocabularies.load(f'{kind}:extra_ids={number}{ending}')
    with one_line():
        vocabularies.load(f'{kind}{ending}')


@fuzzed
@given(some.dictionaries(some.sampled_from(['tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'config.json', 'spiece.model', 'chat_template.jinja']), JSON.map(json.dumps) | some.text(max_size=20), min_size=1))  # fmt: skip
def test_folders_of_vocabularies(files):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (pathlib.Path(folder) / name).write_bytes(text.encode(errors='surrogatepass'))
        for ending in ('', ':chat'):
            with one_line():
                vocabularies.load(folder + ending)


POCKET = locate.locate('mixtures/pocket/assets/base.safetensors').read_bytes()
HEADER = json.loads(POCKET[8 : 8 + struct.unpack('<Q', POCKET[:8])[0]])


def open_checkpoint(path):
    known = parameters.describe(path)
    for array in parameters.open_arrays(path, known.config).values():
        array.to_numpy()


@fuzzed
@given(some.data())
def test_parameter_files(data):
    header = {name: dict(each) for name, each in HEADER.items()}
    name = data.draw(some.sampled_from(sorted(header)))
    field = data.draw(some.sampled_from(sorted(header[name])))
    header[name][field] = data.draw(JSON.map(json.dumps) if name == '__metadata__' else JSON)
    text = json.dumps(header).encode()
    body = POCKET[8 + struct.unpack('<Q', POCKET[:8])[0] :][: data.draw(some.sampled_from([-1, 10, 10**9]))]
    with file_of('a.safetensors', struct.pack('<Q', len(text)) + text + body) as path, one_line():
        open_checkpoint(path)


SIZES = ['vocab_size', 'd_model', 'num_heads', 'num_layers', 'd_kv', 'd_ff', 'hidden_size', 'intermediate_size', 'num_attention_heads', 'num_hidden_layers', 'rope_scaling', 'rope_theta', 'tie_word_embeddings', 'text_config', 'encoder', 'decoder', 'feed_forward_proj']  # fmt: skip
CONFIGS = some.fixed_dictionaries(
    {'model_type': some.sampled_from(['t5', 'umt5', 'llama', 'qwen3', 'gemma3', 'gemma3_text', 't5gemma', 't5gemma2', 'olmo2'])},
    optional={name: some.integers(1, 9) | JSON for name in SIZES},
)  # fmt: skip
SHAPES = some.dictionaries(some.sampled_from(['shared.weight', 'lm_head.weight', 'encoder.block.0.layer.0.SelfAttention.q.weight', 'decoder.block.7.layer.0.layer_norm.weight', 'model.embed_tokens.weight', 'model.layers.0.self_attn.q_proj.weight', 'x']), some.lists(some.integers(0, 4), max_size=3), max_size=3)  # fmt: skip


@fuzzed
@given(CONFIGS, SHAPES, JSON)
def test_folders_of_hugging_face(described, shapes, index):
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for each in shape:
            size *= each
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with file_of('hf/config.json', json.dumps(described).encode()) as path:
        with one_line():
            parameters.describe(path.parent)
        (path.parent / 'model.safetensors').write_bytes(struct.pack('<Q', len(text)) + text + b'\0' * end)
        with one_line():
            open_checkpoint(path.parent)
        (path.parent / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': index}))
        with one_line():
            open_checkpoint(path.parent)


TREES = some.recursive(
    some.none() | some.integers(-9, 9) | some.text(max_size=5) | some.binary(max_size=9),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(some.sampled_from(['kvstore', 'path', 'driver', 'token_embedder', 'embedding', 'encoder', 'decoder', 'layers_0', '..']), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@fuzzed
@given(TREES, some.binary(max_size=40))
def test_checkpoints_of_t5x(tree, noise):
    for content in (
        serialization.msgpack_serialize({'optimizer': {'target': tree}}),
        serialization.msgpack_serialize({'optimizer': tree}),
        noise,
    ):
        with file_of('checkpoint_3/checkpoint', content) as path, one_line():
            open_checkpoint(path.parent)


@fuzzed
@given(some.dictionaries(some.sampled_from(['peft_type', 'r', 'lora_alpha', 'base_model_name_or_path', 'target_modules', 'lora_dropout', 'modules_to_save']), JSON | some.sampled_from(['LORA', 'IA3', 'PROMPT_TUNING', 'mixtures/pocket/assets/base.safetensors'])))  # fmt: skip
def test_folders_of_peft(described):
    with file_of('adapter_config.json', json.dumps(described).encode()) as path, one_line():
        open_checkpoint(path.parent)


@fuzzed
@given(some.binary(max_size=200))
def test_soft_prompts(noise):
    header = b'\x93NUMPY\x01\x00'
    for content in (noise, header + noise):
        with file_of('a.npy', content) as path, one_line():
            parameters.adapt(path, parameters.describe('mixtures/pocket/assets/base.safetensors').config, {})
