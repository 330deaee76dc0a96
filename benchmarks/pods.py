"""Compile train steps for TPU slices, beside what other frameworks' own steps need there; runs on a CPU
machine with libtpu.

    python benchmarks/pods.py                # T5 XXL beside T5X, all rows, some minutes each
    python benchmarks/pods.py --rows=6       # one of them, or several with commas
    python benchmarks/pods.py --model=llama  # Llama 3.1 8B beside MaxText; also gemma (Gemma 3 4B), t5gemma

T5 1.1 XXL: bfloat16 activations, dropout 0.1, packed 1024/256. T5X's figures are of its commit cc342d4,
compiled with jax 0.10.2 and libtpu 0.0.42.1 (scalable T5, unsafe_rbg keys).

Llama and Gemma: bfloat16 activations, packed rows of 2048 tokens; AdamW has float32 state, weight decay, and
the gradient clipped by its norm. MaxText's figures are of its wheel 0.2.5, compiled with jax 0.11.1 and
libtpu 0.0.52; its mesh axis fsdp is our data, its tensor our model. Rows without figures are ours only, as is
T5Gemma 2 4B-4B (1024/256).

All are counted in the same way: GiB a chip at the peak, and GiB that a chip sends in a step, each collective
round a ring.
"""

import argparse
import subprocess
import sys
from typing import NamedTuple

from flanlite.cli import gin_config
from flanlite.data.config import DataConfig
from flanlite.mesh import partitioning
from flanlite.training import compile as ahead
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor, AdamW

OPTIMIZERS = {
    'adafactor': Adafactor(1e-3),
    'adamw': AdamW(1e-4, weight_decay=0.1, global_norm_clip_threshold=1.0),
}


class Row(NamedTuple):
    """A slice, its mesh (data, model), how activations and parameters are partitioned, the peak and traffic
    there in GiB of the other framework, and the optimizer.
    """

    topology: str
    mesh: tuple[int, int]
    remat: str
    dims: tuple[int, int]
    batch: int
    peak: float | str | None = None
    sent: float | None = None
    optimizer: str = 'adamw'


class Model(NamedTuple):
    """A model's gin file and its config's name there, lengths of a row, and the rows of its table."""

    gin_file: str
    config: str
    lengths: dict[str, int]
    other: str
    rows: tuple[Row, ...]


T5_ROWS = (
    Row('v5p:4x4x4', (16, 4), 'minimal', (1, 1), 128, 31.5, 26.3, 'adafactor'),
    Row('v5p:4x4x4', (16, 4), 'minimal', (1, 2), 128, 11.5, 32.2, 'adafactor'),
    Row('v5p:4x4x4', (16, 4), 'minimal', (2, 2), 128, 8.3, 39.0, 'adafactor'),
    Row('v5p:4x4x4', (8, 8), 'minimal', (2, 2), 128, 8.0, 63.3, 'adafactor'),
    Row('v5p:4x4x4', (32, 2), 'minimal', (1, 2), 128, 10.1, 39.5, 'adafactor'),
    Row('v5p:4x4x4', (16, 4), 'full', (1, 2), 128, 4.5, 36.5, 'adafactor'),
    Row('v5p:4x4x4', (16, 4), 'full', (1, 2), 1024, 30.1, 163.7, 'adafactor'),
    Row('v4:4x4x4', (16, 4), 'minimal', (1, 1), 128, 'refused: 31.4', None, 'adafactor'),
    Row('v4:4x4x4', (8, 8), 'minimal', (1, 1), 128, 24.8, 39.9, 'adafactor'),
    Row('v5e:16x16', (64, 4), 'minimal', (1, 2), 128, 5.2, 21.2, 'adafactor'),
    Row('v5e:16x16', (32, 8), 'full', (2, 2), 128, 2.5, 26.7, 'adafactor'),
    Row('v5e:16x16', (64, 4), 'full', (1, 2), 1024, 'refused: 20.5', None, 'adafactor'),
    Row('v6e:16x16', (64, 4), 'minimal', (1, 2), 128, 4.6, 21.5, 'adafactor'),
    Row('v6e:16x16', (32, 8), 'minimal', (2, 2), 128, 3.6, 20.8, 'adafactor'),
    Row('v6e:16x16', (64, 4), 'minimal', (1, 2), 1024, 29.4, 47.4, 'adafactor'),
)
LLAMA_ROWS = (
    Row('v5e:8x8', (64, 1), 'full', (1, 2), 64, 4.595, 55.09),
    Row('v5e:8x8', (64, 1), 'full', (1, 2), 256, 7.723, 55.19),
    Row('v5e:8x8', (64, 1), 'minimal', (1, 2), 64, 9.353, 55.09),
    Row('v5p:4x4x4', (64, 1), 'full', (1, 2), 128, 5.081, 54.14),
    Row('v5p:4x4x4', (64, 1), 'minimal', (1, 2), 128, 15.139, 54.14),
    Row('v5p:4x4x4', (16, 4), 'full', (1, 2), 128, 4.996, 50.73),
    Row('v5e:8x8', (64, 1), 'full', (1, 2), 64, optimizer='adafactor'),
)
GEMMA_ROWS = (
    Row('v5e:8x8', (64, 1), 'full', (1, 2), 64, 4.504, 34.28),
    Row('v5e:8x8', (64, 1), 'full', (1, 2), 256, 10.305, 34.35),
    Row('v5e:8x8', (64, 1), 'full', (1, 2), 64, optimizer='adafactor'),
)
T5GEMMA_ROWS = tuple(
    Row(topology, (64, 1), 'full', (1, 2), 64, optimizer=optimizer)
    for topology in ('v5e:8x8', 'v5p:4x4x4')
    for optimizer in ('adamw', 'adafactor')
)
ENCODER_DECODER, DECODER = {'inputs': 1024, 'targets': 256}, {'inputs': 1024, 'targets': 1024}
MODELS = {
    't5': Model('xxl', 'T5Config', ENCODER_DECODER, 'T5X', T5_ROWS),
    'llama': Model('llama3_1_8b', 'LlamaConfig', DECODER, 'MaxText', LLAMA_ROWS),
    'gemma': Model('gemma3_4b', 'LlamaConfig', DECODER, 'MaxText', GEMMA_ROWS),
    't5gemma': Model('t5gemma2_4b_4b', 'T5GemmaConfig', ENCODER_DECODER, 'none', T5GEMMA_ROWS),
}


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model', choices=MODELS, default='t5')
    parser.add_argument('--rows', help='numbers of rows, from 1; by default all')
    parser.add_argument('--measure', type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = MODELS[options.model]
    if options.measure:
        print('|', ' | '.join(measure(model, model.rows[options.measure - 1])), '|')
        return
    known = [str(number) for number in range(1, len(model.rows) + 1)]
    numbers = options.rows.split(',') if options.rows else known
    if unknown := set(numbers) - set(known):
        parser.error(f'got the rows {sorted(unknown)}; expected some of 1 to {len(known)}, with commas')
    other = f"{model.other}'s"
    headings = ['slice', 'mesh', 'remat', 'dims', 'batch', 'optimizer']
    headings += ['peak', other, 'ratio', 'sent', other, 'ratio', 'PFLOP a step']
    print('|', ' | '.join(headings), '|')
    print('|' + '---|' * len(headings), flush=True)
    for number in numbers:
        done = subprocess.run(
            [sys.executable, __file__, f'--model={options.model}', f'--measure={number}'],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(done.stdout.splitlines()[-1], flush=True)


def measure(model: Model, row: Row) -> list[str]:
    """Compile one row's step, and write its cells."""
    chip, devices = ahead.topology_devices(row.topology)
    rules = {'activation_partitioning_dims': row.dims[0], 'parameter_partitioning_dims': row.dims[1]}
    partitioner = partitioning.make_partitioner(
        partitioning.MeshConfig(mesh_shape=row.mesh, **rules), devices
    )
    gin_config.load([f'gin/models/{model.gin_file}.gin'])
    config = gin_config.build(model.config, remat_policy=row.remat)
    data = DataConfig('any', model.lengths, row.batch)
    found = ahead.forecast(
        TrainConfig('unused', data, OPTIMIZERS[row.optimizer], 1, config), partitioner, chip
    )
    peak, sent = found.peak / ahead.GIB, found.ring_bytes / ahead.GIB
    memory = [
        f'refused: {peak:.1f}' if found.refused else f'{peak:.1f}',
        str(row.peak or ''),
        ratio(peak, row.peak),
    ]
    traffic = [f'{sent:.1f}', str(row.sent or ''), ratio(sent, row.sent)]
    place = [row.topology, '{}x{}'.format(*row.mesh), row.remat, '{},{}'.format(*row.dims), str(row.batch)]
    return [*place, row.optimizer, *memory, *traffic, f'{found.flops / 1e15:.2f}']


def ratio(own: float, other: float | str | None) -> str:
    """Divide by the other framework's figure, where it has one."""
    return f'{own / other:.2f}' if isinstance(other, float) else ''


if __name__ == '__main__':
    main()
