"""The command line: quick, and one clear line for bad input."""

import json
import os
import re
import subprocess
import sys

import pytest

from flanlite.cli import command, gin_config, show
from flanlite.cli import main as cli
from flanlite.cli.command import COMMON, GROUPS
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.sources import JsonLines
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (['train'], ['needs a gin file', 'gin/runs/pocket_train.gin']),
        (
            ['train', '--gin_file=gin/runs/poket_train.gin'],
            ['poket_train.gin', 'did you mean gin/runs/pocket_train.gin'],
        ),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.TRAIN_STEP=3'],
            ['TRAIN_STEP', 'did you mean TRAIN_STEPS'],
        ),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.TRAIN_STEPS=0'],
            ['TRAIN_STEPS is 0; expected a whole number from 1'],
        ),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.MODEL_DIR=/dev/null/run'],
            ['/dev/null/run', '--model_dir'],
        ),
        (
            ['infer', '--checkpoint=nowhere', '--input=/dev/null/x', '--output=/nowhere/x'],
            ['no folder /nowhere'],
        ),
        (
            ['infer', '--checkpoint=nowhere', f'--input={__file__}', '--max_length=0'],
            ["--max_length is '0'", 'expected a whole number from 1'],
        ),
        (['loco', '--onyl=nli'], ['--onyl', 'did you mean --only']),
        (
            ['loco', '--gin_file=gin/runs/pocket.gin', '--only=sentimant'],
            ['sentimant', 'did you mean sentiment'],
        ),
        (['show', '--mixture=poket'], ['poket', 'did you mean pocket']),
        (['show', '--mixture=pocket_held_out_math'], ['math', 'sentiment']),
        (['show'], ['show needs a mixture', '--mixture=NAME']),
        (['show', '--mixture=pocket', '--examples=-1'], ["--examples is '-1'", 'from 0']),
        (['show', '--mixture=pocket', '--data_dir=/nowhere'], ["data_dir is '/nowhere'"]),
        (['show', '--mixture=mine'], ['--import=MODULE']),
        (['trian'], ['did you mean train']),
        (['report', '--model_dir=,'], ['needs the folder']),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.adafactor.learning_rate=@linear'],
            ['expected @linear()'],
        ),
        (['show', '--mixture=pocket', '--lineage=lax'], ["lineage is 'lax'", 'strict, warn, off']),
        (['show', '--mixture=pocket', '--shots=few'], ["--shots is 'few'", "'multi'"]),
        (['datasets', '--format=html'], ['html', 'table or markdown']),
        (['audit', '--mixture=pocket'], ['holds nothing out', '--held_out']),
        (['eval', '--checkpoint=nowhere', '--mixture=pocket'], ['nowhere']),
        (['infer', '--checkpoint=nowhere', '--input=nothing.txt'], ['nothing.txt']),
        (
            ['compile', '--gin_file=gin/runs/pocket_decoder.gin', '--topology=v9:8'],
            ["topology 'v9:8'", 'v5e:16x16'],
        ),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.train.batch_size=3'],
            ['batch_size', 'did you mean DataConfig.batch_size'],
        ),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.make_partitioner.num_partitions=2'],
            ['MeshConfig.num_partitions'],
        ),
        (
            ['loco', '--gin_file=gin/runs/pocket.gin', "--gin.loco.clusters=('nli',)"],
            ['SweepConfig.held_out'],
        ),
        (['show', '--mixture=pocket', '--gin.mixture.shots=3'], ['MixtureConfig.shots']),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.BATCH_SIZE=33', '--gin.MICROBATCHES=2'],
            ['33', 'MICROBATCHES, which is 2'],
        ),
        (
            ['train', '--gin_file=gin/runs/pocket_pretrain.gin', '--checkpoint=x'],
            ['--checkpoint is short for INITIAL_CHECKPOINT_PATH', 'nothing in gin/runs/pocket_pretrain.gin'],
        ),
        (['lint', '--gin.TRAIN_STEPS=3'], ['lint reads no gin']),
        (['train', '--settings=/nowhere/settings.json'], ['/nowhere/settings.json']),
        (['train', '--settings=a.json', '--gin_file=gin/runs/pocket_train.gin'], ['one of them']),
        (['compare', 'a', 'b', '--seed=--'], ["--seed is '--'"]),
        (['show', '--mixture=--'], ["unknown mixture or task '--'"]),
        (['show', '--mixture=d/\udcff.jsonl'], [r"d/\udcff.jsonl' is not in UTF-8", 'PYTHONUTF8=1']),
        (
            ['train', '--gin_file=gin/runs/pocket_train.gin', '--model_dir=r\udcff'],
            [r"'r\udcff' is not in UTF-8"],
        ),
    ],
)
def test_bad_input_is_one_clear_line(argv, words, capsys, tmp_path):
    assert cli.main([*argv, f'--cache_dir={tmp_path}']) == cli.USAGE_ERROR
    message = capsys.readouterr().err
    assert message.startswith('flanlite: error: ') and message.count('\n') == 1
    assert all(word in message for word in words), message


@pytest.mark.parametrize('file', ['finetune', 'pocket_decoder'])
def test_no_checkpoint_is_needed_where_none_is_read(file, capsys):
    assert cli.main(['show', f'--gin_file=gin/runs/{file}.gin', '--mixture=pocket']) == 0
    assert 'pocket: 25 tasks' in capsys.readouterr().out


def test_small_rates_are_shown():
    numbers = (0, 1.0, 0.5, 0.0005, 12.34, 3000, 188330.4)
    assert [show.short(number) for number in numbers] == [
        '0', '1', '0.5', '0.0005', '12.3', '3,000', '188,330',
    ]  # fmt: skip
    assert [show.short(share, places=2) for share in (12.34, 0.004, 100, 1.5)] == [
        '12.34',
        '0.004',
        '100.00',
        '1.50',
    ]


def test_gin_flags_with_and_without_equals():
    args = cli.parse(
        ['train', '--gin_file=a.gin', '--gin_file', 'b.gin', '--gin.TRAIN_STEPS=3', '--gin.SEED', '4']
    )
    assert (args.gin_file, args.bindings) == (['a.gin', 'b.gin'], ['TRAIN_STEPS=3', 'SEED=4'])


def test_flags_beside_runner_are_beams(capsys):
    args = cli.parse(
        [
            'cache',
            '--mixture=rte',
            '--region',
            'x',
            '--gin.SEED=4',
            '--runner=DataflowRunner',
            '--temp_location=gs://b',
        ]
    )
    assert (args.runner, args.beam_flags, args.bindings) == (
        'DataflowRunner',
        ['--region', 'x', '--temp_location=gs://b'],
        ['SEED=4'],
    )
    assert cli.main(['cache', '--mixture=rte', '--region=x']) == 2
    assert "no flag '--region=x'" in capsys.readouterr().err


def test_show_prints_shares_and_rendered_examples(capsys, tmp_path):
    assert (
        cli.main(['show', '--mixture=pocket_held_out_sentiment', f'--cache_dir={tmp_path}', '--examples=1'])
        == 0
    )
    printed = capsys.readouterr().out
    assert 'held out: sentiment' in printed and 'share %' in printed
    assert 'pocket_entail: row 0, template 0' in printed
    shown = iter(printed.splitlines())
    tokens = [next(shown) and next(shown) for line in shown if line.startswith('targets (')]
    vocabulary = vocabularies.load('pocket')
    for line in tokens:
        pieces, ids = zip(*(token.rsplit(':', 1) for token in line.split(' ')), strict=True)
        assert list(pieces) == vocabulary.pieces(map(int, ids)) and pieces[-1] == '</s>'
        assert ''.join(pieces[:-1]).replace('▁', ' ').strip() == vocabulary.decode(map(int, ids))


def test_shots_are_short_for_a_gin_binding(capsys, tmp_path):
    assert cli.main(['show', '--mixture=pocket_entail', '--shots=2', f'--cache_dir={tmp_path}']) == 0
    printed = capsys.readouterr().out
    assert 'before each example: 2.' in printed and 'row 0, template 0, exemplars: 2' in printed
    assert mixture_after('show', '--mixture=pocket', '--shots=multi').shots.number == 'multi'
    assert mixture_after('show', '--mixture=pocket', '--shots=2', '--gin.Shots.form=flan').shots == Shots(
        2, form='flan'
    )


def mixture_after(*argv):
    """Parse a command line as its command does, and build its mixture."""
    args = cli.parse(argv)
    command.read_gin(args)
    return gin_config.build('MixtureConfig', name=args.mixture)


def test_lineage_is_short_for_a_gin_binding():
    assert mixture_after('show', '--mixture=pocket', '--lineage=strict').lineage == 'strict'
    assert mixture_after('show', '--mixture=pocket').lineage == 'warn'


def test_the_help_lists_every_command_by_what_people_do(capsys):
    with pytest.raises(SystemExit):
        cli.main(['--help'])
    shown = capsys.readouterr().out
    assert [line.rstrip(':') for line in shown.splitlines() if line.rstrip(':') in GROUPS] == list(GROUPS)
    assert set(re.findall(r'^  (\w+) ', shown, re.MULTILINE)) == set(cli.COMMANDS)
    for name, each in cli.COMMANDS.items():
        with pytest.raises(SystemExit):
            cli.main([name, '--help'])
        shown = capsys.readouterr().out
        assert all(f'--{flag.name}' in shown for flag in (*each.flags, *COMMON)), name


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('flanlite sh', {'show'}),
        ('flanlite train --gin_file gin/runs/pocket_t', {'gin/runs/pocket_train.gin'}),
        ('flanlite show --mixture fl', {'flan2021'}),
        ('flanlite eval --spl', {'--split'}),
        ('flanlite eval --split va', {'validation'}),
    ],
)
def test_a_shell_completes_commands_flags_and_values(line, expected, tmp_path):
    """As bash asks: argcomplete answers on a file descriptor, here a file."""
    environment = os.environ | {
        '_ARGCOMPLETE': '1', 'COMP_LINE': line, 'COMP_POINT': str(len(line)), '_ARGCOMPLETE_STDOUT_FILENAME': str(tmp_path / 'answer'),
        '_ARGCOMPLETE_IFS': '\n',
    }  # fmt: skip
    code = 'from flanlite.cli.main import main; main()'
    subprocess.run(
        [sys.executable, '-c', code], env=environment, check=False, capture_output=True, timeout=60
    )
    answers = {answer.strip() for answer in (tmp_path / 'answer').read_text().splitlines()}
    assert expected <= answers
    assert all(answer.startswith(line.split()[-1]) for answer in answers)


def test_completion_prints_a_shells_code(capsys):
    assert cli.main(['completion', '--shell=zsh']) == 0
    assert 'flanlite' in capsys.readouterr().out


def test_folders_are_passed_and_not_set(tmp_path, monkeypatch, capsys):
    """--data_dir and --cache_dir reach the data without a change of the process's environment, and config.gin
    keeps them.
    """
    for variable in ('FLANLITE_DATA_DIR', 'FLANLITE_CACHE_DIR'):
        monkeypatch.delenv(variable, raising=False)
    before = dict(os.environ)
    (tmp_path / 'data' / 'lines').mkdir(parents=True)
    rows = ''.join(json.dumps({'text': f'row {number}', 'label': number % 2}) + '\n' for number in range(8))
    (tmp_path / 'data' / 'lines' / 'train.jsonl').write_text(rows)
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    spec = DatasetSpec(
        'lines', 'sentiment', JsonLines('lines'), lambda row: {'text': row['text'], 'answer': row['label']}, (Template('{text}?'),),
        options=('bad', 'good'), splits=Splits('train', None, None),
    )  # fmt: skip
    registry.register(Collection('lined', (spec,), vocabulary='bytes'))
    folders = [f'--data_dir={tmp_path}/data', f'--cache_dir={tmp_path}/cache']
    assert cli.main(['show', '--mixture=lined', *folders]) == 0
    assert 'row 0?' in capsys.readouterr().out
    assert list((tmp_path / 'cache').iterdir())
    train = ['train', '--gin_file=gin/runs/pocket_train.gin', '--mixture=lined', '--checkpoint=begun']
    args = cli.parse([*train, *folders])
    config, gin_text = command.read_run(args)
    assert (config.data.data_dir, config.data.cache_dir) == (f'{tmp_path}/data', f'{tmp_path}/cache')
    assert config.initial_checkpoint_path == os.path.abspath('begun')
    assert f'{tmp_path}/data' in gin_text
    assert dict(os.environ) == before


def test_options_that_are_the_same_tokens_are_told(tmp_path, monkeypatch, capsys):
    """Two emoji are one unknown token to the pocket vocabulary, and different bytes to another."""
    (tmp_path / 'moods').mkdir()
    (tmp_path / 'moods' / 'train.jsonl').write_text('{"text": "a", "label": 1}\n')
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    spec = DatasetSpec(
        'moods', 'sentiment', JsonLines('moods'), lambda row: {'text': row['text'], 'answer': row['label']}, (Template('{text} {options_}'),),
        options=('😀', '😡'), splits=Splits('train', None, None),
    )  # fmt: skip
    registry.register(Collection('felt', (spec,), templates=1, vocabulary='pocket'))
    flags = ['--mixture=felt', f'--data_dir={tmp_path}']
    same = 'two options are the same tokens, which no model can tell apart'
    assert cli.main(['lint', *flags]) == 2
    assert f'moods: train row 0: {same}' in capsys.readouterr().out
    for vocabulary, told in (('pocket', True), ('bytes', False)):
        show = ['show', *flags, f'--cache_dir={tmp_path}/cache', f'--vocabulary={vocabulary}']
        assert cli.main(show) == 0
        assert (f'moods: {same}' in capsys.readouterr().out) == told


def test_lint_passes():
    """All collections are checked, those beside the built-in ones too, and each data set once."""
    found = subprocess.run([sys.executable, '-m', 'flanlite', 'lint'], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    checked = [line.partition(' data set')[0] for line in found.stdout.splitlines()]
    assert checked == [
        'flan2021: 70',
        'pocket: 25',
        't0: 25',
        'flan2021_faithful: 1',
        'pocket_anchors: 1',
        'pocket_bigbio: 9',
        'pocket_label_blanks: 4',
        'pocket_match: 5',
        'pocket_proxies: 2',
        'pocket_retrieval: 2',
        't0_bigbench: 14',
        't0_plus: 3',
    ]


@pytest.mark.parametrize(
    ('line', 'status', 'words'),
    [
        ('datasets | true; exit ${PIPESTATUS[0]}', 141, ''),
        ('datasets >&- 2>&-', 0, ''),
        ('datasets > /dev/full', 2, 'No space left on device'),
        ('nonsense 2>&-', 2, ''),
    ],
)
def test_output_that_nobody_reads(line, status, words):
    done = subprocess.run(
        ['bash', '-c', f'{sys.executable} -m flanlite {line}'], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status and words in done.stderr and bool(words) == bool(done.stderr), (
        done.stderr
    )


HEAPS = """
import ctypes, sys, threading
from flanlite.cli import main

libc, gate = ctypes.CDLL(None), threading.Barrier(8)
libc.fopen.restype = ctypes.c_void_p
if sys.argv[2:]:
    main.share_heaps()

def allocate():
    gate.wait()
    libc.malloc(5000)
    gate.wait()

threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b'w'))
libc.malloc_info(0, file), libc.fclose(file)
"""


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason="counts the heaps of glibc's malloc")
def test_threads_share_two_heaps(tmp_path):
    def heaps(*flags, **variables):
        environment = {name: text for name, text in os.environ.items() if name != 'MALLOC_ARENA_MAX'}
        command = [sys.executable, '-c', HEAPS, str(tmp_path / 'heaps.xml'), *flags]
        subprocess.run(command, env=environment | variables, check=True)
        return (tmp_path / 'heaps.xml').read_text().count('<heap nr=')

    assert heaps() > 4 and heaps('shared') == 2
    assert heaps('shared', MALLOC_ARENA_MAX='4') == 4


def test_what_the_environment_lacks_is_one_line(tmp_path):
    def said(argv, **variables):
        ran = subprocess.run(
            [sys.executable, '-m', 'flanlite', *argv], capture_output=True, text=True, env=os.environ | variables
        )
        return ran.returncode, ran.stdout, ran.stderr.splitlines()

    asked = ['eval', '--checkpoint=mixtures/pocket/assets/base.safetensors', '--mixture=pocket_reviews', '--max_rows=2']
    status, _, errors = said([*asked, f'--output={tmp_path}/a'], JAX_PLATFORMS='nope')
    assert status == 2 and len(errors) == 1 and "Unable to initialize backend 'nope'" in errors[0]
    # A terminal that has no ±.
    plain = {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONIOENCODING': 'ascii', 'JAX_PLATFORMS': 'cpu'}
    status, out, errors = said([*asked, f'--output={tmp_path}/b'], **plain)
    assert status == 0 and len(errors) <= 1 and '\\xb1' in out  # one line of caching


def test_report_leaves_a_few_shot_folder_alone(tmp_path, capsys):
    (tmp_path / 'settings.json').write_text('{"type": "FewShotConfig"}')
    (tmp_path / 'report.html').write_text('its own')
    for flags in ([f'--model_dir={tmp_path}'], [f'--model_dir={tmp_path}/x', f'--output={tmp_path}']):
        assert cli.main(['report', *flags]) == cli.USAGE_ERROR
        assert f'{tmp_path} is a folder of flanlite fewshot, which writes its own' in capsys.readouterr().err
    assert (tmp_path / 'report.html').read_text() == 'its own'
