import jax
import pytest
import toy
from jax.sharding import AbstractMesh
from rich.console import Console

from flanlite.mesh.partitioning import MESH_AXES, Partitioner, standard_logical_axis_rules
from flanlite.training import explain, optimizers


def printed(optimizer, mesh_shape, dims):
    partitioner = Partitioner(AbstractMesh((1, *mesh_shape), MESH_AXES), standard_logical_axis_rules(*dims))
    console = Console(width=200)
    with console.capture() as capture:
        console.print(explain.explain(toy.CONFIG, optimizer, partitioner))
    lines = capture.get().splitlines()
    return lambda *words: next(
        [cell.strip() for cell in line.split('│')[1:-1]]
        for line in lines
        if all(word in line for word in words)
    )


def test_every_parameter_has_its_place_and_bytes():
    optimizer = optimizers.make_optimizer(optimizers.AdamW(1e-3), ('encoder/layers/.*',), 0.9)
    row = printed(optimizer, (2, 4), (2, 2))
    wi = 4 * 16 * 32 // 8
    assert row('decoder/layers/mlp/wi_0') == [
        'decoder/layers/mlp/wi_0/kernel', '(1, 16, 32)', 'float32', '(layers, embed, '
                                                                    'mlp)', 'P(None, data, model)', f'{wi:,}'
    ]  # fmt: skip
    assert row('encoder/layers/mlp/wi_0')[0].endswith('(frozen)')
    shapes = jax.eval_shape(lambda: explain.models.init_params(toy.CONFIG, jax.random.key(0)))
    total = sum(leaf.size * 4 for leaf in jax.tree.leaves(shapes))
    one = printed(optimizers.AdamW(1e-3).build(), (1, 1), (1, 1))
    assert one('parameters, ')[-1] == f'{total:,}'
    assert one('optimizer state')[-1] == f'{2 * total + 8:,}', 'two moments, and two counts of steps'
    assert one('in all')[-1] == f'{3 * total + 12:,}'
    with pytest.raises(StopIteration):
        one('moving average')
    whole, average, state = (
        int(row(name)[-1].replace(',', '')) for name in ('parameters, ', 'moving average', 'optimizer state')
    )
    assert state == 2 * average + 8 and average < whole, 'both of what trains alone'


def test_train_explains_and_leaves_nothing(tmp_path, capsys):
    explain.show(toy.settings(tmp_path / 'run', 1, mixture='needs no data'))
    assert 'token_embedder/embedding' in capsys.readouterr().out and not (tmp_path / 'run').exists()
