"""A collection of two made-up data sets in bytes and a tiny model, for runs that take seconds; also a command of its own, for tests
that need another process: `python toy.py MODEL_DIR STEPS [JSON of train's arguments]`."""

import json
import os
import socket
import sys

if os.environ.get('BLOCK_TENSORFLOW'):
    sys.modules['tensorflow'] = None  # makes every import of it an ImportError

import numpy as np

from flanlite.data.specs import sources, specs
from flanlite.data.specs.specs import Collection, DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.model.t5 import T5Config
from flanlite.train import optimizers, run

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
    return DatasetSpec(name=name, cluster=cluster, source=source, fields=fields, options=options, templates=templates)


COLLECTION = Collection(
    'toy',
    (
        spec('toy_order', 'nli', lambda row: {**row, 'answer': int(row['a'] < row['b'])}, ('falls', 'rises'), ('order of', 'which way')),
        spec('toy_parity', 'math', lambda row: {**row, 'answer': row['a'] % 2}, ('even', 'odd'), ('parity of first:', 'even or odd:')),
    ),
    vocabulary='bytes',
)
specs.register(COLLECTION)


def train(model_dir, train_steps, **settings):
    settings = {
        'mixture_or_task_name': 'toy', 'task_feature_lengths': LENGTHS, 'batch_size': 8, 'config': CONFIG, 'log_every_steps': 2,
        'optimizer': optimizers.adamw(learning_rate=1e-2),
    } | settings  # fmt: skip
    return run.train(str(model_dir), train_steps=train_steps, **settings)


def process_variables(count=2):
    """Make the environment variables of each of a run's processes on this machine."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        coordinator = f'127.0.0.1:{free.getsockname()[1]}'
    common = {'FLANLITE_COORDINATOR': coordinator, 'FLANLITE_NUM_PROCESSES': str(count)}
    return [common | {'FLANLITE_PROCESS_ID': str(index)} for index in range(count)]


if __name__ == '__main__':
    import gin

    for binding in os.environ.get('BINDINGS', '').split(';'):
        gin.parse_config(binding)
    more = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    print(train(sys.argv[1], int(sys.argv[2]), **more))
