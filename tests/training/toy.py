"""A collection of two made-up data sets in bytes and a tiny model, for runs that take seconds; also a command
of its own, for tests that need another process: `python toy.py MODEL_DIR STEPS [JSON of changed settings]`.
"""

import json
import os
import socket
import sys

if os.environ.get('BLOCK_TENSORFLOW'):
    sys.modules['tensorflow'] = None  # makes every import of it an ImportError

import numpy as np

from flanlite.data.config import DataConfig
from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.mesh import processes
from flanlite.model.t5 import T5Config
from flanlite.training import run
from flanlite.training.config import RecordsConfig, TrainConfig
from flanlite.training.optimizers import AdamW

if patience := os.environ.get('PEERS_PATIENCE'):
    processes.PATIENCE = float(patience)

LENGTHS = {'inputs': 48, 'targets': 8}
CONFIG = T5Config(
    vocab_size=384, emb_dim=16, num_heads=4, num_encoder_layers=1, num_decoder_layers=1, head_dim=4, mlp_dim=32, dropout_rate=0.1,
    dtype='float32',
)  # fmt: skip


def rows(split):
    seed, count = {'train': (0, 300), 'validation': (1, 40)}[split]
    numbers = np.random.default_rng(seed).integers(0, 50, (count, 2)).tolist()
    return [{'a': a, 'b': b} for a, b in numbers]


def spec(name, cluster, fields, options, words):
    templates = tuple(Template(f'{word} {{a}} and {{b}}?', '{answer}') for word in words)
    source = sources.InMemory(rows, name)
    return DatasetSpec(
        name=name, cluster=cluster, source=source, fields=fields, options=options, templates=templates
    )


COLLECTION = Collection(
    'toy',
    (
        spec(
            'toy_order',
            'nli',
            lambda row: {**row, 'answer': int(row['a'] < row['b'])},
            ('falls', 'rises'),
            ('order of', 'which way'),
        ),
        spec(
            'toy_parity',
            'math',
            lambda row: {**row, 'answer': row['a'] % 2},
            ('even', 'odd'),
            ('parity of first:', 'even or odd:'),
        ),
    ),
    vocabulary='bytes',
)
registry.register(COLLECTION)


# Where in a run's settings a test's short name stands.
PLACES = {
    name: f'{part}.{name}'
    for part, names in {
        'records': ('log_every_steps', 'eval_every_steps', 'eval_batches', 'profile_steps'),
        'data': ('batch_size', 'feature_lengths'),
        'checkpoints': ('every_steps', 'keep_last', 'keep_best', 'fall_back'),
        'mesh': ('num_partitions', 'num_slices', 'parameter_partitioning_dims'),
        'step': ('microbatches', 'norms_depth'),
    }.items()
    for name in names
} | {'mixture': 'data.mixture.name', 'held_out': 'data.mixture.held_out'}


def settings(model_dir, train_steps, **changes):
    """Make the settings of a run that takes seconds, with changes by the names of `PLACES` or of
    TrainConfig.
    """
    made = TrainConfig(
        str(model_dir),
        DataConfig('toy', LENGTHS, 8),
        AdamW(1e-2),
        train_steps,
        CONFIG,
        records=RecordsConfig(log_every_steps=2),
    )
    return made.replace(**{PLACES.get(name, name): new for name, new in changes.items()})


def train(model_dir, train_steps, **changes):
    return run.train(settings(model_dir, train_steps, **changes))


def process_variables(count=2):
    """Make the environment variables of each of a run's processes on this machine."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        coordinator = f'127.0.0.1:{free.getsockname()[1]}'
    common = {'FLANLITE_COORDINATOR': coordinator, 'FLANLITE_NUM_PROCESSES': str(count)}
    return [common | {'FLANLITE_PROCESS_ID': str(index)} for index in range(count)]


if __name__ == '__main__':
    more = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    print(train(sys.argv[1], int(sys.argv[2]), **more))
