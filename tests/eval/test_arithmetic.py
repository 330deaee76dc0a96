"""A scale that is chosen on validation data."""

import numpy as np
import pytest
import toyeval as toy
from flax import traverse_util

from flanlite.cli import main as cli
from flanlite.eval import arithmetic, evaluate
from flanlite.eval.evaluate import EvalConfig
from flanlite.training import lazy, locate, parameters


@pytest.fixture(scope='module')
def paths(tmp_path_factory):
    """A base, and a model that differs from it at random."""
    folder, rng = tmp_path_factory.mktemp('models'), np.random.default_rng(0)
    base = traverse_util.flatten_dict(toy.params(), sep='/')
    tuned = {name: leaf + rng.normal(scale=0.3, size=leaf.shape) for name, leaf in base.items()}
    found = {}
    for name, arrays in {'base': base, 'tuned': tuned}.items():
        found[name] = folder / f'{name}.safetensors'
        arrays = {key: lazy.from_numpy(np.asarray(leaf)) for key, leaf in arrays.items()}
        metadata = {'vocabulary': 'bytes', 'feature_lengths': toy.LENGTHS}
        parameters.save_arrays(found[name], arrays, toy.CONFIG, 'float32', metadata)
    return found


def test_the_scale_with_the_best_validation_score_is_taken(paths, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = ['arithmetic', f'--base={paths["base"]}', f'--add={paths["tuned"]}', '--form=safetensors']
    scales = ['--scales=-1,0,0.5,1,2', '--max_rows=6']
    assert cli.main([*argv, '--mixture=toyeval_parity', *scales, '--output=best.safetensors']) == 0
    printed = capsys.readouterr().out
    record = locate.file_metadata(tmp_path / 'best.safetensors')['arithmetic']
    tried = {row['scale']: row['score'] for row in record['scales']}
    assert [*tried] == [-1, 0, 0.5, 1, 2] and len(set(tried.values())) > 1
    assert tried[record['scale']] == max(tried.values()) and 'chosen' in printed
    assert record['evaluation']['split'] == 'validation'
    settings = {'split': 'validation', 'max_rows': 6}
    for path, scale in {'best.safetensors': record['scale'], paths['base']: 0, paths['tuned']: 1}.items():
        settings['output'] = f'scored-{scale}'
        result = evaluate.evaluate(EvalConfig(str(path), 'toyeval_parity', **settings))
        assert result.tasks[0].summary.mean == pytest.approx(tried[scale])

    kept = ['--keep=toyeval_order', '--mixture=toyeval_parity', *scales[:1], '--output=kept.safetensors']
    assert cli.main([*argv, *kept]) == 0
    record = locate.file_metadata(tmp_path / 'kept.safetensors')['arithmetic']
    assert record['keep'] == 'toyeval_order' and all(
        row.keys() == {'scale', 'score', 'keep'} for row in record['scales']
    )


@pytest.mark.parametrize(
    ('rows', 'chosen'),
    [
        ([(0.0, 50), (0.5, 60), (1.0, 60)], 0.5),
        ([(0.0, float('nan')), (0.5, 10)], 0.5),
        ([(0.0, 50, 80), (0.5, 40, 77), (1.0, 30, 75), (0.25, 45, 81)], 0.5),
        ([(0.0, 50, 80), (0.5, 40, 70)], 0.0),
        ([(0.0, 50, -2.0), (0.5, 40, -2.05), (1.0, 30, -2.2)], 0.5),
        ([(0.0, float('nan'), 80), (0.5, 40, 79)], 0.5),
    ],
    ids=['highest, nearest 0', 'numbers only', 'lowest that keeps 95 percent', 'nothing else keeps', 'below 0', 'base'],
)
def test_which_scale_is_best(rows, chosen):
    rows = [dict(zip(('scale', 'score', 'keep'), row, strict=False)) for row in rows]
    assert arithmetic.best_scale(rows) == chosen


@pytest.mark.parametrize(('keep', 'said'), [(float('nan'), 'the base has the score nan'), (80, 'no scale that keeps')])
def test_scales_of_which_none_can_be_chosen(keep, said):
    rows = [{'scale': 0.0, 'score': float('nan'), 'keep': keep}, {'scale': 1.0, 'score': 5.0, 'keep': 10.0}]
    with pytest.raises(ValueError, match=said):
        arithmetic.best_scale(rows)
