"""A mixture exported as it is trained: read back, it has the same tokens; other trainers read it, too."""

import collections
import dataclasses
import json

import numpy as np
import pytest
import toy_tokenizers
from toy_specs import colours, prose

from flanlite.cli import main
from flanlite.data import export
from flanlite.data.batches.batches import Order
from flanlite.data.config import DataConfig
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection
from flanlite.data.training_data import TrainingData

LENGTHS = {'inputs': 400, 'targets': 40}
FREE = colours(name='export_free', licence='CC BY-SA 4.0')
BOUND = colours(name='export_bound', licence='CC BY-NC 4.0')
registry.register(Collection('toyexport', (FREE, BOUND, prose(name='export_prose')), vocabulary='bytes', max_rate=7, templates=1))


def data(**changes):
    return DataConfig(**{'mixture': 'toyexport', 'feature_lengths': LENGTHS, 'batch_size': 2, 'vocabulary': 'bytes'} | changes)


def built(config):
    return TrainingData.resolve(config, 5, 'encoder_decoder').build()


def tokens(split):
    return [tuple(map(bytes, pair)) for pair in split.read_tokens(range(len(split)))]


def rows(folder, form='jsonl'):
    if form == 'jsonl':
        return [json.loads(line) for line in (folder / 'train.jsonl').open(encoding='utf-8')]
    import pyarrow.parquet

    return pyarrow.parquet.read_table(folder / 'train.parquet').to_pylist()


@pytest.mark.parametrize('form', export.FORMATS)
@pytest.mark.parametrize('shots', [0, 2])
def test_each_example_once_and_read_back_with_the_same_tokens(tmp_path, form, shots):
    config = data(mixture=MixtureConfig('toyexport', shots=shots))
    folder = export.export(config, str(tmp_path / 'out'), form)
    ours = built(config).cached.splits
    found = rows(folder, form)
    assert [row['task'] for row in found] == ['export_free'] * len(ours['export_free']) + ['export_bound'] * len(ours['export_bound'])
    assert {row['shots'] for row in found} == {shots}
    (tmp_path / 'plain').mkdir()
    assert folder.stat().st_mode == (tmp_path / 'plain').stat().st_mode
    (back,) = built(data(mixture=f'{folder}/')).cached.splits.values()
    assert tokens(back) == [*tokens(ours['export_free']), *tokens(ours['export_bound'])]
    manifest = json.loads((folder / 'manifest.json').read_text())
    assert manifest['tasks']['export_free'] | {'licence': 'CC BY-SA 4.0', 'rate': 7.0, 'exported': len(ours['export_free'])} == manifest['tasks']['export_free']
    assert list(manifest['left_out']) == ['export_prose'] and manifest['forbidding'] == {'export_bound': 'CC BY-NC 4.0'}


def test_examples_are_drawn_as_a_run_draws_them(tmp_path):
    config = data(mixture=MixtureConfig('toyexport', exclude=('export_prose',)), window=16)
    folder = export.export(config, str(tmp_path / 'out'), examples=50, seed=5)
    found, run = rows(folder), built(config)
    order = Order(list(run.cached.splits.values()), list(run.rates.values()), 5, 16)
    drawn = [(order.splits[task], index) for window in range(4) for task, index in zip(*order.draw(window), strict=True)]
    expected = [(split.name, split.read(int(index))) for split, index in drawn[:50]]
    assert [(row['task'], row['row'], row['template']) for row in found] == [(name, each.row, each.template) for name, each in expected]
    assert min(collections.Counter(row['task'] for row in found).values()) >= 24  # of equal rates
    back = built(data(mixture=f'{folder}/')).cached.splits
    assert tokens(next(iter(back.values()))) == [
        (bytes(each.inputs.astype(np.uint16)), bytes(each.targets.astype(np.uint16))) for _, each in expected
    ]
    other = export.export(config, str(tmp_path / 'other'), examples=50, seed=6)
    assert rows(other) != found


def test_licences_that_forbid_passing_on_are_named_or_left_out(tmp_path, capsys):
    export.export(data(), str(tmp_path / 'all'))
    assert '(--permissive leaves them out): export_bound: CC BY-NC 4.0\n' in capsys.readouterr().out
    many = {f't{number}': 'unknown' for number in range(900)} | {'other': 'not free'}
    assert export.said(many) == 't0, t1, t2, t3, t4 and 895 more: unknown; other: not free'
    folder = export.export(data(), str(tmp_path / 'open'), permissive=True)
    assert {row['task'] for row in rows(folder)} == {'export_free'}
    with pytest.raises(ValueError, match=r"nothing of 'export_bound' can be exported: export_bound: its licence is 'CC BY-NC 4.0'"):
        export.export(data(mixture='export_bound'), str(tmp_path / 'none'), permissive=True)
    allowed = ('Apache-2.0', 'MIT, HotpotQA CC BY-SA 4.0', 'BSD-3-Clause', 'CC0-1.0', 'OANC and others, free use')
    refused = ('', 'unknown', 'CC BY-NC-SA 4.0', 'CC BY-ND 4.0', 'SuperGLUE terms', 'Apache-2.0; sources vary', 'research', 'LDC user agreement')
    assert [export.is_permissive(each) for each in (*allowed, *refused)] == [True] * len(allowed) + [False] * len(refused)


def test_nothing_is_half_written_and_nothing_overwritten(tmp_path, monkeypatch):
    (tmp_path / 'there').mkdir()
    with pytest.raises(ValueError, match='is there already; expected a new folder'):
        export.export(data(), str(tmp_path / 'there'))
    monkeypatch.setattr(export, 'write', lambda *args: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(OSError, match='disk full'):
        export.export(data(), str(tmp_path / 'out'))
    assert [path.name for path in tmp_path.iterdir()] == ['there']
    for wrong, message in (({'form': 'csv'}, "unknown form 'csv'"), ({'examples': 0}, 'got examples=0')):
        with pytest.raises(ValueError, match=message):
            export.export(data(), str(tmp_path / 'out'), **wrong)


def test_rows_on_a_drop_list_stay_out(tmp_path):
    drop = tmp_path / 'drop.jsonl'
    first = next(iter(built(data()).cached.splits['export_free'].examples())).row
    drop.write_text(json.dumps({'task': 'export_free', 'split': 'train', 'row': first}) + '\n')
    config = data(mixture=MixtureConfig('toyexport', include=('export_free',), drop=str(drop)))
    found = rows(export.export(config, str(tmp_path / 'out')))
    assert found and first not in {row['row'] for row in found}


def test_another_trainers_reader_has_the_same_texts(tmp_path):
    datasets = pytest.importorskip('datasets', reason="needs Hugging Face's datasets: pip install 'flanlite[hf]'")
    folder = export.export(data(), str(tmp_path / 'out'))
    read = datasets.load_dataset('json', data_files=str(folder / 'train.jsonl'), split='train', cache_dir=str(tmp_path / 'hf'))
    assert [(row['prompt'], row['completion']) for row in read] == [(row['prompt'], row['completion']) for row in rows(folder)]


def test_trl_trains_on_the_same_tokens(tmp_path):
    trl = pytest.importorskip('trl', reason="needs TRL: pip install 'trl>=1.16,<2'")
    import datasets
    import transformers

    config = data(vocabulary=toy_tokenizers.llama(tmp_path / 'tokenizer'))
    folder = export.export(config, str(tmp_path / 'out'))
    ours = [
        (ids, targets)
        for split in TrainingData.resolve(config, 5, 'decoder_only').build().cached.splits.values()
        for ids, targets in split.read_tokens(range(len(split)))
    ]
    tokenizer = transformers.AutoTokenizer.from_pretrained(config.vocabulary)
    shape = {'hidden_size': 16, 'intermediate_size': 16, 'num_hidden_layers': 1, 'num_attention_heads': 2}
    trainer = trl.SFTTrainer(
        transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(tokenizer), **shape)),
        args=trl.SFTConfig(
            str(tmp_path / 'trl'), max_steps=1, per_device_train_batch_size=2, use_cpu=True, bf16=False, report_to=[]
        ),
        train_dataset=datasets.load_dataset(
            'json', data_files=str(folder / 'train.jsonl'), split='train', cache_dir=str(tmp_path / 'hf')
        ),
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == len(ours) == 40
    for (inputs, targets), theirs in zip(ours, trainer.train_dataset, strict=True):
        assert theirs['input_ids'] == [*inputs, *targets]
        assert theirs['labels'] == [-100] * len(inputs) + list(targets)  # loss on the completion alone
    trainer.train()


def test_the_command_exports_a_run_as_it_was(tmp_path, capsys, monkeypatch):
    kept = {}
    monkeypatch.setattr(export, 'export', lambda config, output, form, **flags: kept.update(config=config, form=form, **flags))
    assert main.main(['export', '--format=parquet', '--gin_file=gin/runs/pocket_train.gin', '--output=x', '--examples=9', '--permissive']) == 0
    assert (kept['form'], kept['examples'], kept['permissive']) == ('parquet', 9, True)
    assert kept['config'].mixture.name == 'pocket' and kept['config'].vocabulary is None
    assert main.main(['export', '--format=jsonl', '--mixture=toyexport', '--shots=2', '--output=x']) == 0
    assert (kept['config'].mixture.shots.number, kept['seed']) == (2, 0)
    assert dataclasses.is_dataclass(kept['config']) and not capsys.readouterr().err
