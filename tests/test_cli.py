"""The command line: quick, and one clear line for bad input."""

import subprocess
import sys

import pytest

from flanlite.cli import main as cli
from flanlite.data.mixing import mixtures

pytestmark = pytest.mark.smoke


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (['train'], ['needs a gin file', 'gin/runs/pocket_train.gin']),
        (['train', '--gin_file=gin/runs/poket_train.gin'], ['poket_train.gin', 'did you mean gin/runs/pocket_train.gin']),
        (['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.TRAIN_STEP=3'], ['TRAIN_STEP', 'did you mean TRAIN_STEPS']),
        (['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.TRAIN_STEPS=0'], ['TRAIN_STEPS is 0, expected at least 1']),
        (['train', '--gin_file=gin/runs/pocket_train.gin', '--gin.MODEL_DIR=/dev/null/run'], ['/dev/null/run', '--model_dir']),
        (['infer', '--checkpoint=nowhere', '--input=/dev/null/x', '--output=/nowhere/x'], ["no folder '/nowhere'"]),
        (['infer', '--checkpoint=nowhere', f'--input={__file__}', '--max_length=0'], ['max_length=0', 'expected at least 1']),
        (['loco', '--onyl=nli'], ['--onyl', 'did you mean --only']),
        (['loco', '--gin_file=gin/runs/pocket.gin', '--only=sentimant'], ['sentimant', 'did you mean sentiment']),
        (['show', '--mixture=poket'], ['poket', 'did you mean pocket']),
        (['show', '--mixture=pocket_held_out_math'], ['math', 'sentiment']),
        (['show'], ['MIXTURE_OR_TASK_NAME', 'has no value']),
        (['show', '--mixture=pocket', '--lineage=lax'], ['lax', 'strict, warn or off']),
        (['show', '--mixture=pocket', '--shots=few'], ["shots='few'", "'multi'"]),
        (['datasets', '--format=html'], ['html', 'table or markdown']),
        (['audit', '--mixture=pocket'], ['holds nothing out', '--held_out']),
        (['eval', '--checkpoint=nowhere', '--mixture=pocket'], ['nowhere']),
        (['infer', '--checkpoint=nowhere', '--input=nothing.txt'], ['nothing.txt']),
        (['compile', '--gin_file=gin/runs/pocket_decoder.gin', '--topology=v9:8'], ["topology 'v9:8'", 'v5e:16x16']),
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


def test_gin_flags_with_and_without_equals():
    args = cli.parse(['train', '--gin_file=a.gin', '--gin_file', 'b.gin', '--gin.TRAIN_STEPS=3', '--gin.SEED', '4'])
    assert (args.gin_file, args.bindings) == (['a.gin', 'b.gin'], ['TRAIN_STEPS=3', 'SEED=4'])


def test_flags_beside_runner_are_beams(capsys):
    args = cli.parse(['cache', '--mixture=rte', '--region', 'x', '--gin.SEED=4', '--runner=DataflowRunner', '--temp_location=gs://b'])
    assert (args.runner, args.beam_flags, args.bindings) == ('DataflowRunner', ['--region', 'x', '--temp_location=gs://b'], ['SEED=4'])
    assert cli.main(['cache', '--mixture=rte', '--region=x']) == 2
    assert "no flag '--region=x'" in capsys.readouterr().err


def test_show_prints_shares_and_rendered_examples(capsys, tmp_path):
    assert cli.main(['show', '--mixture=pocket_held_out_sentiment', f'--cache_dir={tmp_path}', '--examples=1']) == 0
    printed = capsys.readouterr().out
    assert 'held out: sentiment' in printed and 'share %' in printed
    assert 'pocket_entail: row 0, template 0' in printed


def test_shots_are_short_for_a_gin_binding(capsys, tmp_path):
    assert cli.main(['show', '--mixture=pocket_entail', '--shots=2', f'--cache_dir={tmp_path}']) == 0
    printed = capsys.readouterr().out
    assert 'before each example: 2.' in printed and 'row 0, template 0, exemplars: 2' in printed
    assert [mixtures.resolve('pocket').shots.number, cli.parse(['show', '--shots=multi']).shots] == [2, 'multi']
    cli.load_config(cli.parse(['show', '--mixture=pocket']))


def test_lineage_is_short_for_a_gin_binding():
    args = cli.parse(['show', '--mixture=pocket', '--lineage=strict'])
    cli.load_config(args)
    assert mixtures.resolve('pocket').lineage == 'strict'
    cli.load_config(cli.parse(['show', '--mixture=pocket']))
    assert mixtures.resolve('pocket').lineage == 'warn'


def test_lint_passes():
    """All collections are checked, those beside the built-in ones too, and each data set once."""
    found = subprocess.run([sys.executable, '-m', 'flanlite', 'lint'], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    checked = [line.partition(' data sets')[0] for line in found.stdout.splitlines()]
    assert checked == ['flan2021: 70', 'pocket: 25', 't0: 25', 'flan2021_faithful: 1', 't0_bigbench: 14', 't0_plus: 3']
