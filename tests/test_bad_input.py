"""Every number and name is checked where it enters: one line that names the setting, the value, and what was
expected; before anything is compiled, and with nothing written.
"""

import typing

import gin
import pytest

from flanlite import config
from flanlite.cli import gin_config, gin_names
from flanlite.cli import main as cli
from flanlite.cli.command import COMMON
from flanlite.data.mixing import mixtures, naming
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import InMemory
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies

TRAIN, LOCO, TRANSFER = (f'gin/runs/{name}.gin' for name in ('pocket_train', 'pocket', 'pocket_transfer'))
WHOLE, NAME = 'expected a whole number from', 'expected a name of 1 to 200 characters'
LONG = 'x' * 300
DIGITS = '9' * 5_000


def bare(annotation):
    """Tell whether any number would do."""
    if typing.get_origin(annotation) is typing.Annotated:
        return bare(typing.get_args(annotation)[0]) and not annotation.__metadata__
    return annotation in (int, float) or any(map(bare, typing.get_args(annotation)))


def test_no_setting_takes_any_number():
    gin_names.register()
    ours = [kind for kind in config.TYPES.values() if kind.__module__.startswith('flanlite.')]
    assert len(ours) > 30
    fields = [(kind, *field) for kind in ours for field in config.annotations(kind).items()]
    assert [f'{kind.__name__}.{name}' for kind, name, annotation in fields if bare(annotation)] == []
    flags = [flag for each in cli.COMMANDS.values() for flag in (*each.flags, *COMMON)]
    assert [flag.name for flag in flags if bare(flag.kind)] == []


@pytest.mark.parametrize(
    ('file', 'binding', 'words'),
    [
        (TRAIN, 'BATCH_SIZE=1e10', ['BATCH_SIZE is 10000000000.0', WHOLE]),
        (TRAIN, 'BATCH_SIZE=100000000', ['BATCH_SIZE is 100000000', 'tokens in a batch']),
        (TRAIN, 'TRAIN_STEPS=1e24', ['TRAIN_STEPS is 1e+24', WHOLE]),
        (TRAIN, 'TRAIN_STEPS=2147483648', ['TRAIN_STEPS is 2147483648', 'to 2,147,483,647']),
        (TRAIN, 'TRAIN_STEPS=None', ['TRAIN_STEPS is None', WHOLE]),
        (TRAIN, f'TRAIN_STEPS={DIGITS}', ['TRAIN_STEPS is', '(5,002 characters)', WHOLE]),
        (TRAIN, f'TRAIN_STEPS={"[" * 9000}', ['TRAIN_STEPS is', WHOLE]),
        (TRAIN, 'SEED=-1', ['SEED is -1', WHOLE]),
        (TRAIN, 'SEED=True', ['SEED is True', WHOLE]),
        (TRAIN, 'RecordsConfig.log_every_steps=0', ['log_every_steps is 0', WHOLE]),
        (TRAIN, 'RecordsConfig.eval_every_steps=0', ['eval_every_steps is 0', WHOLE]),
        (TRAIN, 'CheckpointConfig.keep_last=0', ['keep_last is 0', WHOLE]),
        (TRAIN, 'adafactor.learning_rate=-1', ['learning_rate is -1', 'a number from 0']),
        (TRAIN, 'adafactor.learning_rate=1e300', ['learning_rate is 1e+300', 'float32']),
        (TRAIN, 'adafactor.beta1=1.0', ['beta1 is 1.0', 'below 1']),
        (TRAIN, 'MixtureConfig.max_rate=0', ['max_rate is 0', WHOLE, "'own'"]),
        (TRAIN, 'MixtureConfig.temperature=1e-9', ['temperature is 1e-09', 'from 0.1']),
        (TRAIN, 'MixtureConfig.scheme=evne', ["scheme is 'evne'", 'expected one of proportional, equal']),
        (TRAIN, 'MixtureConfig.shots=99999', ['shots is 99999', "from 0 to 4,950 or 'multi'"]),
        (TRAIN, 'MIXTURE_OR_TASK_NAME=..', ["'..'", NAME]),
        (TRAIN, "MIXTURE_OR_TASK_NAME=''", ["''", NAME]),
        (TRAIN, f'MIXTURE_OR_TASK_NAME={LONG}', [NAME, '(302 characters)']),
        (TRAIN, 'MeshConfig.mesh_shape=(2.0, 4.0)', ['mesh_shape[0] is 2.0', WHOLE]),
        (TRAIN, 'MeshConfig.num_partitions=0', ['num_partitions is 0', WHOLE]),
        (TRAIN, "TASK_FEATURE_LENGTHS={'inputs': '96', 'targets': 8}", ["['inputs'] is '96'", 'to 65,535']),
        (TRAIN, "TASK_FEATURE_LENGTHS={'inputs': 96, 'targets': 96.5}", ["['targets'] is 96.5", WHOLE]),
        (TRAIN, "TASK_FEATURE_LENGTHS={'inputs': 96}", ["'inputs' and 'targets'"]),
        (TRAIN, 'DataConfig.prefetch=1000000', ['prefetch is 1000000', 'to 1,000']),
        (TRAIN, 'TrainConfig.ema_decay=1', ['ema_decay is 1', 'below 1']),
        (TRAIN, "TrainConfig.frozen=('*',)", ["frozen[0] is '*'", 'a regular expression']),
        (TRAIN, 'T5Config.num_heads=0', ['num_heads is 0', WHOLE]),
        (TRAIN, 'T5Config.dtype=float16', ["dtype is 'float16'", 'bfloat16', 'overflow']),
        (TRAIN, "TrainConfig.learning_rate_factors={'.*': -1}", ["learning_rate_factors['.*'] is -1"]),
        (LOCO, 'SweepConfig.seen=-3', ['seen is -3', WHOLE]),
        (LOCO, 'ScoringConfig.tokens_per_batch=0', ['tokens_per_batch is 0', WHOLE]),
        (LOCO, "SweepConfig.systems=('tunde',)", ["systems[0] is 'tunde'", 'did you mean tuned']),
        (TRANSFER, 'TransferConfig.share=0', ['share is 0', 'above 0']),
        (TRANSFER, "TransferConfig.sources=('../x', 'y')", ["sources[0] is '../x'", NAME]),
        (TRANSFER, 'SoftPrompt.length=0', ['length is 0', WHOLE]),
    ],
)
def test_a_binding_is_checked(file, binding, words):
    what = {TRAIN: 'train', LOCO: 'loco', TRANSFER: 'transfer'}[file]
    with pytest.raises(ValueError) as raised:
        gin_config.read(what, [file], [binding, 'MODEL_DIR=/nowhere/run'])
    message = str(raised.value)
    assert '\n' not in message and len(message) < 800
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ('flags', 'words'),
    [
        ('infer --temperature=nan', ["--temperature is 'nan'", 'a number from 0']),
        ('infer --max_length=100000000', ["--max_length is '100000000'", 'to 65,535']),
        ('infer --beams=1000000', ["--beams is '1000000'", 'to 1,000']),
        (f'infer --beams={DIGITS}', ['--beams is', WHOLE]),
        ('eval --shots=99999', ["--shots is '99999'", '4,950', "'multi'"]),
        ('eval --max_rows=1.5', ["--max_rows is '1.5'", WHOLE]),
        ('eval --mixture=.. --checkpoint=x', ["'..'", NAME]),
        (f'show --mixture={LONG}', [NAME]),
        ('cache --processes=0', ["--processes is '0'", 'from 1']),
        ('arithmetic --scales=1,inf', ["--scales is 'inf'", 'finite']),
        ('arithmetic --density=0', ["--density is '0'", 'above 0']),
        ('arithmetic --output=x --base=x --add=x:nan', ["--add=x:nan is 'nan'", 'finite']),
        ('transfer --sources=../x,y', ["--sources is '../x'", NAME]),
        ('compare a b --seed=-1', ["--seed is '-1'", WHOLE]),
        (f'compile --gin_file={TRAIN} --topology=h100:99999999', ['h100:99999999', '99999999', '16,384']),
        (f'compile --gin_file={TRAIN} --topology=9999*v5e:16x16', ['9999*v5e:16x16', '16,384']),
        (f'compile --gin_file={TRAIN} --topology=h100:0', ['h100:0', 'expected CHIP:SIZE']),
        ('show --mixture=pocket --vocabulary=pocket:extra_ids=1000000000', ['1000000000', 'to 10,000']),
        ('show --mixture=pocket --vocabulary=pocket:extra_ids=', ["extra_ids=' is ''"]),
    ],
)
def test_a_flag_is_checked(flags, words, capsys, tmp_path):
    assert cli.main([*flags.split(), f'--cache_dir={tmp_path}/cache']) == cli.USAGE_ERROR
    message = capsys.readouterr().err
    assert message.startswith('flanlite: error: ') and message.count('\n') == 1 and len(message) < 800
    assert all(word in message for word in words), message
    assert not list(tmp_path.iterdir())


GIN_FILES = {
    'alone.gin': "include 'alone.gin'\n",
    'one.gin': "include 'two.gin'\n",
    'two.gin': "include 'one.gin'\n",
    'macros.gin': 'A = %B\nB = %C\nC = %B\n',
    'in_lists.gin': 'A = [%B]\nB = {1: (%A, 2)}\n',
    'itself.gin': 'MixtureConfig.shots = @MixtureConfig()\n',
    'latin.gin': 'A = "\xfc"\n',
    'digits.gin': f'# a line\nTRAIN_STEPS = {DIGITS}\n',
    'nested.gin': f'A = {"[" * 5_000}\n',
    'length.gin': f"include '{TRAIN}'\nLEN = 9.5\nTASK_FEATURE_LENGTHS = {{'inputs': %LEN, 'targets': 8}}\n",
}


@pytest.mark.parametrize(
    ('name', 'words'),
    [
        ('alone.gin', ['includes itself', 'alone.gin includes /']),
        ('one.gin', ['includes itself', 'one.gin includes /', 'two.gin includes /']),
        ('macros.gin', ["'B' is bound to itself", 'B = C = B']),
        ('in_lists.gin', ["'A' is bound to itself"]),
        ('itself.gin', ["'MixtureConfig' is bound to itself"]),
        ('latin.gin', ['latin.gin is no text in UTF-8', '0xfc']),
        ('digits.gin', ['digits.gin', 'line 2', '4300 digits']),
        ('nested.gin', ['nested.gin']),
        ('length.gin', ["TASK_FEATURE_LENGTHS['inputs'] is 9.5"]),
    ],
)
def test_a_gin_file_is_checked(name, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, text in GIN_FILES.items():
        (tmp_path / file).write_bytes(text.encode('latin-1'))
    with pytest.raises(ValueError) as raised:
        gin_config.load([name])
    message = str(raised.value)
    assert '\n' not in message and len(message) < 800
    assert all(word in message for word in words), message
    assert gin_config.OPEN == []
    gin.clear_config()


def spec(name):
    return DatasetSpec(
        name, 'nli', InMemory(lambda split: [], lambda: '1'), lambda row: row, (Template('{a} {answer}'),)
    )


@pytest.mark.parametrize('name', ['', '.', '..', '...', 'a/b', 'a\0b', LONG, 'ж' * 40, 3])
def test_no_data_set_is_named_so_that_it_leaves_its_folder(name):
    for make in (spec, lambda name: Collection(name, ()), mixtures.Entry):
        with pytest.raises(ValueError, match=r'got the name .*expected letters, digits'):
            make(name)


def test_what_comes_with_flanlite_is_not_replaced(monkeypatch):
    for name in ('pocket', 't0', 't0_plus'):
        with pytest.raises(ValueError, match=f"'{name}' is there already; give yours another name"):
            registry.register(Collection(name, ()))
    monkeypatch.setattr(registry, 'COLLECTIONS', {})  # as before anything of ours was imported
    mine = Collection('mine', (spec('rte'),))
    registry.register(mine)
    monkeypatch.setattr(
        naming, 'import_collections', lambda: registry.register(Collection('shipped', (spec('rte'),)))
    )
    with pytest.raises(ValueError, match="'rte' of 'shipped' is in the collection 'mine' already"):
        mixtures.resolve('rte')


@pytest.mark.parametrize('number', ['-1', '1e9', '1000000000', 'many', '', DIGITS])
def test_a_vocabulary_has_so_many_sentinels(number):
    for kind in ('pocket', 'bytes'):
        with pytest.raises(ValueError, match=f'{kind}:extra_ids=.*expected a whole number from 0 to 10,000'):
            vocabularies.load(f'{kind}:extra_ids={number}')
