"""What cannot work is refused in one line that says why, and leaves the folder as it was."""

import sys

import pytest

from flanlite.cli import main as cli
from flanlite.data.specs import registry

BASE = 'mixtures/pocket/assets/base.safetensors'
MODULE = """
from flanlite import Collection, DatasetSpec, JsonLines, Template, register

TEMPLATES = (Template('{text} {options_}'),)
FIELDS = lambda row: {'text': row['text'], 'answer': row['label']}
REVIEWS = DatasetSpec('reviews', 'sentiment', JsonLines('reviews'), FIELDS, TEMPLATES, options=('bad', 'good'))
register(Collection('mine', (REVIEWS,), vocabulary='pocket', templates=1))
"""
TWICE = """
import dataclasses
from flanlite import Collection, register
from reviews_module import REVIEWS

register(Collection('mine', (dataclasses.replace(REVIEWS, cluster='nli'),)))
"""
GOOD = '{"text": "a", "label": 1}\n'
DATA = {  # a data folder, and what its files hold
    'data': GOOD,
    'no_rows': '',
    'half': GOOD + '{"text": "b", "la',
    'wrong': '{"text": 3, "label": "excellent"}\n',
    'other_fields': '{"review": "a"}\n',
}
FILES = {
    'afile': 'x',
    'lines.txt': 'a\n',
    'bad.jsonl': '{"inputs": "a"}\n{"inp": 3}\n',
    'broken.json': '{"a":',
    'broken.gin': 'TRAIN_STEPS = = 3\n',
    'cut.safetensors': '\0\0\0',
}
OWN = ['--import=reviews_module', '--data_dir=data']
TRAIN = [
    'train',
    '--gin_file=gin/runs/pocket_train.gin',
    *OWN,
    '--mixture=mine',
    '--model_dir=new/run',
    '--gin.INITIAL_CHECKPOINT_PATH=None',
]
LOCO = ['loco', '--gin_file=gin/runs/pocket.gin', '--model_dir=new/sweep']
TRANSFER = ['transfer', '--gin_file=gin/runs/pocket_transfer.gin', '--model_dir=new/prompts']
CACHE = ['cache', *OWN, '--mixture=mine', '--split=train']
EVAL = ['eval', *OWN, '--mixture=mine', f'--checkpoint={BASE}', '--output=new/scores']
INFER = ['infer', f'--checkpoint={BASE}', '--input=lines.txt', '--output=answers.jsonl']
CONVERT = ['convert', f'--checkpoint={BASE}', '--output=new/model']
AUDIT = ['audit', '--mixture=pocket', '--held_out=sentiment', '--max_rows=1']


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        ([*TRAIN, '--mixture=mien'], ["'mien'", 'did you mean mine', '--import=MODULE']),
        ([*TRAIN, '--mixture='], ['--mixture is empty']),
        ([*TRAIN, '--import=twice'], ['mine']),
        ([*TRAIN, '--import=reviews_module.py'], ['reviews_module.py', 'such as reviews_module']),
        ([*TRAIN, '--gin.TRAIN_STEPS=-1'], ['TRAIN_STEPS is -1', 'a whole number from 1']),
        ([*TRAIN, '--gin.BATCH_SIZE=0'], ['BATCH_SIZE is 0']),
        ([*TRAIN, '--gin.SEED=-1'], ['SEED is -1; expected a whole number from 0']),
        ([*TRAIN, '--gin.TrainConfig.optimizer=@adamw()', '--gin.adamw.learning_rate=-1'], ['rate is -1']),
        ([*TRAIN, '--model_dir=afile'], ['afile', 'Not a directory', '--model_dir']),
        ([*TRAIN, '--model_dir=/dev/null/run'], ['/dev/null/run', '--model_dir']),
        ([*TRAIN, '--model_dir=gs://bucket/run'], ['MODEL_DIR', 'gs://bucket/run', 'mount']),
        ([*TRAIN, '--model_dir=~nobody.here/run'], ['MODEL_DIR', '~nobody.here/run', './~nobody.here/run']),
        ([*TRAIN, '--cache_dir=~nobody.here'], ['~nobody.here']),
        ([*TRAIN, '--cache_dir=afile'], ['afile', '--cache_dir']),
        ([*TRAIN, '--gin.INITIAL_CHECKPOINT_PATH=nowhere'], ['nowhere', 'expected a run folder']),
        ([*TRAIN, '--gin.INITIAL_CHECKPOINT_PATH=cut.safetensors'], ['cut.safetensors']),
        ([*TRAIN, f'--gin.INITIAL_CHECKPOINT_PATH={BASE}', '--gin.T5Config.emb_dim=64'], ['T5Config.emb_dim = 128']),
        ([*TRAIN, '--drop=nowhere.jsonl'], ['nowhere.jsonl', 'audit --output']),
        ([*TRAIN, '--drop=bad.jsonl'], ['bad.jsonl, line 1', 'expected such as']),
        ([*TRAIN, '--vocabulary=afile'], ['afile', 'expected a SentencePiece model']),
        ([*TRAIN, '--data_dir=nowhere'], ['nowhere', 'expected a folder']),
        ([*TRAIN, '--data_dir=no_rows'], ['no examples']),
        ([*TRAIN, '--data_dir=half'], ['train.jsonl, line 2 is no JSON']),
        ([*TRAIN, '--data_dir=wrong'], ["'excellent' is none of the options"]),
        ([*TRAIN, '--data_dir=other_fields'], ["'text'", 'review']),
        ([*TRAIN, '--data_dir=data/reviews'], ['data/reviews/reviews', '--data_dir']),
        (['train', '--gin_file=broken.gin'], ['broken.gin']),
        (['train', '--settings=broken.json'], ['broken.json', 'expected a file that a run']),
        ([*LOCO, '--model_dir=afile'], ['afile', '--model_dir']),
        ([*LOCO, *OWN, '--mixture=mine', '--only=sentiment'], ['no task', "held_out='sentiment'"]),
        ([*LOCO, '--only=sentimant'], ['did you mean sentiment']),
        ([*LOCO, '--gin.INITIAL_CHECKPOINT_PATH=nowhere'], ['nowhere']),
        ([*TRANSFER, '--model_dir=afile'], ['afile', '--model_dir']),
        ([*TRANSFER, '--sources=pocket_reviws,pocket_topics'], ['pocket_reviws', 'did you mean pocket_reviews']),
        ([*TRANSFER, '--targets=pocket'], ["the target 'pocket' is no task", 'such as']),
        ([*TRANSFER, '--sources=pocket_reviews'], ['top_k is 2', '1 sources']),
        ([*TRANSFER, '--only=pocket_new'], ['pocket_new', 'expected all']),
        ([*TRANSFER, '--gin.T5Config.adapter=None'], ['expected a SoftPrompt']),
        ([*TRANSFER, '--gin.INITIAL_CHECKPOINT_PATH=nowhere'], ['nowhere']),
        ([*CACHE, '--data_dir=half', '--fail_fast'], ['line 2 is no JSON']),
        ([*CACHE, '--processes=0'], ['--processes is', 'a whole number from 1']),
        ([*EVAL, '--output=afile'], ['afile', '--output']),
        ([*EVAL, '--output=afile/x'], ['afile/x', '--output']),
        ([*EVAL, '--data_dir=no_rows'], ['no task']),
        ([*EVAL, '--checkpoint=cut.safetensors'], ['cut.safetensors']),
        ([*INFER, '--output=nowhere/x'], ['nowhere', 'make it']),
        ([*INFER, '--output=data'], ['data is a folder']),
        ([*INFER, '--output=lines.txt'], ['both the input and the output']),
        ([*INFER, '--input=bad.jsonl'], ['line 2 of bad.jsonl', '"inputs"']),
        ([*CONVERT, '--output=afile'], ['afile', 'another output']),
        ([*CONVERT, '--output=x.safetensors'], ['x.safetensors', '--form=safetensors']),
        ([*CONVERT, '--output=run'], ["run's folder"]),
        ([*CONVERT, '--output=nowhere/x.safetensors', '--form=safetensors'], ['nowhere']),
        ([*CONVERT, '--gin.T5Config.emb_dim=5'], ['--gin_file=FILE']),
        ([*AUDIT, '--output=nowhere/x.jsonl'], ['nowhere', 'make it']),
        (['report', '--model_dir=data'], ['data holds no results']),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_line_and_leaves_nothing(argv, words, capsys, tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    for name, text in DATA.items():
        (tmp_path / name / 'reviews').mkdir(parents=True)
        for split in ('train', 'test'):
            (tmp_path / name / 'reviews' / f'{split}.jsonl').write_text(text)
    (tmp_path / 'run' / 'checkpoints').mkdir(parents=True)
    (tmp_path / 'reviews_module.py').write_text(MODULE)
    (tmp_path / 'twice.py').write_text(TWICE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(registry, 'COLLECTIONS', dict(registry.COLLECTIONS))
    sys.modules.pop('reviews_module', None)
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    before = sorted(tmp_path.rglob('*'))
    assert cli.main(argv) == cli.USAGE_ERROR
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('flanlite: error: ') and all(word in last for word in words), last
    assert sorted(tmp_path.rglob('*')) == before
