"""Compile T5 XXL's train step for TPU slices, beside what T5X's own step needs there; runs on a CPU machine
with libtpu.

    python benchmarks/pods.py            # all rows, some minutes each
    python benchmarks/pods.py --rows=6   # one of them, or several with commas

T5 1.1 XXL, Adafactor, bfloat16 activations, dropout 0.1, packed 1024/256. T5X's figures are of its commit
cc342d4, compiled with jax 0.10.2 and libtpu 0.0.42.1 (scalable T5, unsafe_rbg keys), and counted in the same
way: GiB a chip at the peak, and GiB that a chip sends in a step, each collective round a ring.
"""

import argparse
import subprocess
import sys
from typing import NamedTuple

from flanlite.data.config import DataConfig
from flanlite.mesh import partitioning
from flanlite.model.t5 import T5Config
from flanlite.training import compile as ahead
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor


class Row(NamedTuple):
    """A slice, its mesh (data, model), how activations and parameters are partitioned, and T5X's peak and
    traffic in GiB there.
    """

    topology: str
    mesh: tuple[int, int]
    remat: str
    dims: tuple[int, int]
    batch: int
    t5x_peak: float | str
    t5x_sent: float | None


ROWS = (
    Row('v5p:4x4x4', (16, 4), 'minimal', (1, 1), 128, 31.5, 26.3),
    Row('v5p:4x4x4', (16, 4), 'minimal', (1, 2), 128, 11.5, 32.2),
    Row('v5p:4x4x4', (16, 4), 'minimal', (2, 2), 128, 8.3, 39.0),
    Row('v5p:4x4x4', (8, 8), 'minimal', (2, 2), 128, 8.0, 63.3),
    Row('v5p:4x4x4', (32, 2), 'minimal', (1, 2), 128, 10.1, 39.5),
    Row('v5p:4x4x4', (16, 4), 'full', (1, 2), 128, 4.5, 36.5),
    Row('v5p:4x4x4', (16, 4), 'full', (1, 2), 1024, 30.1, 163.7),
    Row('v4:4x4x4', (16, 4), 'minimal', (1, 1), 128, 'refused: 31.4', None),
    Row('v4:4x4x4', (8, 8), 'minimal', (1, 1), 128, 24.8, 39.9),
    Row('v5e:16x16', (64, 4), 'minimal', (1, 2), 128, 5.2, 21.2),
    Row('v5e:16x16', (32, 8), 'full', (2, 2), 128, 2.5, 26.7),
    Row('v5e:16x16', (64, 4), 'full', (1, 2), 1024, 'refused: 20.5', None),
    Row('v6e:16x16', (64, 4), 'minimal', (1, 2), 128, 4.6, 21.5),
    Row('v6e:16x16', (32, 8), 'minimal', (2, 2), 128, 3.6, 20.8),
    Row('v6e:16x16', (64, 4), 'minimal', (1, 2), 1024, 29.4, 47.4),
)
HEADINGS = (
    'slice',
    'mesh',
    'remat',
    'dims',
    'batch',
    'peak',
    "T5X's",
    'ratio',
    'sent',
    "T5X's",
    'ratio',
    'PFLOP a step',
)


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--rows', default=','.join(str(i) for i in range(1, len(ROWS) + 1)), help='numbers of rows, from 1'
    )
    parser.add_argument('--measure', type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print('|', ' | '.join(measure(ROWS[options.measure - 1])), '|')
        return
    print('|', ' | '.join(HEADINGS), '|')
    print('|' + '---|' * len(HEADINGS), flush=True)
    for number in options.rows.split(','):
        done = subprocess.run(
            [sys.executable, __file__, f'--measure={number}'], stdout=subprocess.PIPE, text=True, check=True
        )
        print(done.stdout.splitlines()[-1], flush=True)


def measure(row: Row) -> list[str]:
    """Compile one row's step, and write its cells."""
    chip, devices = ahead.topology_devices(row.topology)
    rules = {'activation_partitioning_dims': row.dims[0], 'parameter_partitioning_dims': row.dims[1]}
    partitioner = partitioning.make_partitioner(
        partitioning.MeshConfig(mesh_shape=row.mesh, **rules), devices
    )
    sizes = {
        'emb_dim': 4096,
        'num_heads': 64,
        'num_encoder_layers': 24,
        'num_decoder_layers': 24,
        'mlp_dim': 10240,
    }
    config = T5Config(**sizes, remat_policy=row.remat)
    data = DataConfig('any', {'inputs': 1024, 'targets': 256}, row.batch)
    found = ahead.forecast(TrainConfig('unused', data, Adafactor(1e-3), 1, config), partitioner, chip)
    peak, sent = found.peak / ahead.GIB, found.ring_bytes / ahead.GIB
    memory = [
        f'refused: {peak:.1f}' if found.refused else f'{peak:.1f}',
        str(row.t5x_peak),
        ratio(peak, row.t5x_peak),
    ]
    traffic = [f'{sent:.1f}', str(row.t5x_sent or ''), ratio(sent, row.t5x_sent)]
    place = [row.topology, '{}x{}'.format(*row.mesh), row.remat, '{},{}'.format(*row.dims), str(row.batch)]
    return place + memory + traffic + [f'{found.flops / 1e15:.2f}']


def ratio(own: float, other: float | str | None) -> str:
    """Divide by T5X's figure, where it has one."""
    return f'{own / other:.2f}' if isinstance(other, float) else ''


if __name__ == '__main__':
    main()
