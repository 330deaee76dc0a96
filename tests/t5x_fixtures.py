"""Numbers that T5X produced, for tests to compare with; found under $FLANLITE_SHARED, or ../shared beside the repository."""

import os
import pathlib

import jax
import numpy as np
import pytest
from flax import traverse_util

from flanlite.model.t5 import T5Config
from flanlite.train import interop, lazy

ROOT = pathlib.Path(os.environ.get('FLANLITE_SHARED', pathlib.Path(__file__).parents[2] / 'shared')) / 'fixtures'
CONFIG = T5Config(
    vocab_size=128,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=2,
    head_dim=8,
    mlp_dim=32,
    mlp_activations=('gelu', 'linear'),
    dropout_rate=0.0,
    logits_via_embedding=False,
    dtype='float32',
)


def load(name: str) -> dict[str, np.ndarray]:
    """Read `{name}.npz`, or skip the test where the fixtures are not at hand."""
    path = ROOT / f'{name}.npz'
    if not path.exists():
        pytest.skip(f"T5X's numbers are not at {path}; point FLANLITE_SHARED at the folder that holds fixtures/")
    with np.load(path) as arrays:
        return dict(arrays)


def under(flat: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Select the keys below a prefix, and strip it."""
    return {key.removeprefix(prefix + '/'): value for key, value in flat.items() if key.startswith(prefix + '/')}


def from_t5x(flat: dict[str, np.ndarray]) -> dict:
    """Bring T5X's parameters, `{'encoder/layers_0/mlp/wo/kernel': array}`, into ours, in memory."""
    stacked = interop.stack_layers({path: lazy.from_numpy(np.asarray(value, np.float32)) for path, value in flat.items()})
    return traverse_util.unflatten_dict({path: value.to_numpy() for path, value in stacked.items()}, sep='/')


def adafactor_state(flat: dict[str, np.ndarray], step: int, template: object) -> object:
    """Bring T5X's Adafactor state into ours, in memory."""
    lazies = interop.adafactor_state({name: lazy.from_numpy(value) for name, value in flat.items()}, step, template)
    return jax.tree.map(lambda array: array.to_numpy(), lazies)
