"""A collection of four made-up data sets in three clusters, in bytes, and a tiny model: everything for an
evaluation in seconds.
"""

import jax
import numpy as np

from flanlite.data.specs import registry, sources
from flanlite.data.specs.collection import Collection
from flanlite.data.specs.specs import DatasetSpec, Splits
from flanlite.data.specs.templates import Template
from flanlite.model import models
from flanlite.model.t5 import T5Config

LENGTHS = {'inputs': 40, 'targets': 8}
CONFIG = T5Config(
    vocab_size=384, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=2, head_dim=8, mlp_dim=32, dropout_rate=0.0,
    dtype='float32',
)  # fmt: skip


def rows(split):
    seed, count = {'train': (0, 40), 'validation': (1, 6), 'test': (2, 12)}[split]
    return [{'a': a, 'b': b} for a, b in np.random.default_rng(seed).integers(0, 30, (count, 2)).tolist()]


def spec(name, cluster, fields, words, options=(), **more):
    templates = tuple(Template(f'{word} {{a}} {{b}}?', '{answer}') for word in words) + (
        Template('guess from {answer}', '{a}', inverted=True),
    )
    baselines = (Template('{a} {b}:'), Template('{b} {a}:'))
    more = {'baselines': baselines, 'splits': Splits('train', 'validation', 'test')} | more
    return DatasetSpec(
        name=name,
        cluster=cluster,
        source=sources.InMemory(rows, name),
        fields=fields,
        options=options,
        templates=templates,
        **more,
    )


COLLECTION = Collection(
    'toyeval',
    (
        spec('toyeval_order', 'nli', lambda row: {**row, 'answer': int(row['a'] < row['b'])}, ('order of', 'which'), ('falls', 'rises')),
        spec('toyeval_parity', 'math', lambda row: {**row, 'answer': row['a'] % 2}, ('parity', 'even', 'odd'), ('even', 'odd')),
        spec('toyeval_pick', 'math', lambda row: {**row, 'answer': 0, 'options': [str(row['a']), str(row['a'] + 1), str(row['b'])]},
             ('pick', 'choose'), splits=Splits('train', 'validation', None), baselines=()),
        spec('toyeval_copy', 'translation', lambda row: {**row, 'answer': str(row['b'])}, ('second of', 'last of'), metric='squad_exact_match'),
    ),
    vocabulary='bytes',
)  # fmt: skip
registry.register(COLLECTION)


def not_finite():
    """Parameters with one NaN, in the scale of the decoder's last norm."""
    broken = params()
    scale = broken['decoder']['decoder_norm']['scale']
    broken['decoder']['decoder_norm']['scale'] = scale.at[3].set(np.nan)
    return broken


def params(seed=0):
    return models.init_params(CONFIG, jax.random.key(seed))
