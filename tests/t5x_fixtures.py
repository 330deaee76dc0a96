"""Numbers that T5X produced, for tests to compare with: `golden/` holds them, and its README says where they
come from.
"""

import atexit
import functools
import os
import pathlib
import shutil
import tempfile

import jax
import numpy as np
import pytest
from flax import traverse_util

from flanlite.model.t5 import T5Config
from flanlite.training import interop, lazy, released

GOLDEN = pathlib.Path(__file__).parent / 'golden'
# What is not shipped.
SHARED = (
    pathlib.Path(os.environ.get('FLANLITE_SHARED', pathlib.Path(__file__).parents[2] / 'shared')) / 'fixtures'
)
CHECKPOINTS = {'unscanned': 'unscanned_t5x_orbax', 'scanned': 'scanned_t5x_legacy'}  # those in GOLDEN
STEP = 400  # of the checkpoints
STRIDE = 9  # of the large outputs, each 9th value is kept
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


@functools.cache
def stored() -> dict[str, np.ndarray]:
    """Read the numbers as they are on disk."""
    with np.load(GOLDEN / 'outputs.npz') as arrays:
        return dict(arrays)


@functools.cache
def outputs() -> dict[str, np.ndarray]:
    """Return inputs and T5X's outputs by name, in their own shapes; NaN stands for each value that is not
    kept.
    """
    found = {}
    for name, value in stored().items():
        kind, _, part = name.rpartition('/')
        if kind in ('layout', 'digests'):
            continue
        if part.startswith('grads') or part == 'params':
            found |= spread(name, value, 'params')
        elif part == 'state':
            found |= spread(name, value, 'state_min8' if kind.endswith('min8') else 'state')
        else:
            found[name] = value
    return found


def spread(prefix: str, kept: np.ndarray, layout: str) -> dict[str, np.ndarray]:
    """Put the values that were kept of a set of arrays where they stood."""
    found, start = {}, 0
    for line in stored()[f'layout/{layout}']:
        name, sizes = line.split()
        array = np.full([int(size) for size in sizes.split(',')], np.nan, np.float32)
        taken = array.ravel()[::STRIDE]
        taken[:] = kept[start : start + taken.size]
        found[f'{prefix}/{name}'], start = array, start + taken.size
    assert start == kept.size, f'{prefix} has {kept.size} values, and its layout {start}'
    return found


def assert_close(got: object, expected: object, **tolerance: float) -> None:
    """Compare two trees where the values of the second are known; a failure names the leaf."""
    paths, tree = jax.tree.flatten_with_path(expected)
    assert jax.tree.structure(got) == tree
    for (path, known), value in zip(paths, jax.tree.leaves(got), strict=True):
        mask = ~np.isnan(known)
        assert mask.any() and np.shape(value) == np.shape(known), jax.tree_util.keystr(path)
        np.testing.assert_allclose(
            np.asarray(value)[mask], np.asarray(known)[mask], err_msg=jax.tree_util.keystr(path), **tolerance
        )


@functools.cache
def checkpoint(folder: str) -> pathlib.Path:
    """Unpack a checkpoint that T5X wrote; one that is not shipped is taken from $FLANLITE_SHARED, or
    ../shared beside the repository.
    """
    archive = GOLDEN / f'{folder}.tar.xz'
    if archive.exists():
        made = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, made)
        shutil.unpack_archive(archive, made)
        return pathlib.Path(made)
    if folder in CHECKPOINTS.values():
        raise FileNotFoundError(
            f'{archive} is missing; expected it in the repository: git checkout tests/golden'
        )
    if not (SHARED / folder).exists():
        pytest.skip(
            f'{folder} is not shipped, its like are: {[*CHECKPOINTS.values()]}; FLANLITE_SHARED may name the '
            'folder of fixtures/'
        )
    return SHARED / folder


@functools.cache
def read(folder: str) -> dict[str, np.ndarray]:
    """Read a checkpoint by T5X's names, `params/encoder/layers_0/mlp/wo/kernel` and
    `state/encoder/layers_0/mlp/wo/kernel/v`.
    """
    path = checkpoint(folder) / f'checkpoint_{STEP}'
    arrays = functools.partial(
        *((released.legacy_arrays, path) if 'legacy' in folder else (released.orbax_arrays, path / 'state'))
    )
    parts = {'params': 'target', 'state': 'state/param_states'}
    return {
        f'{part}/{name}': array.to_numpy() for part, theirs in parts.items() for name, array in arrays(theirs)
    }


@functools.cache
def params(kind: str = 'unscanned') -> dict:
    """Return the parameters that T5X trained, in our layout."""
    return from_t5x(under(read(CHECKPOINTS[kind]), 'params'))


def state(template: object) -> object:
    """Return the state of Adafactor that T5X trained those parameters with, in our layout."""
    return adafactor_state(under(read(CHECKPOINTS['unscanned']), 'state'), STEP, template)


def under(flat: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Select the keys below a prefix, and strip it."""
    return {
        key.removeprefix(prefix + '/'): value for key, value in flat.items() if key.startswith(prefix + '/')
    }


def from_t5x(flat: dict[str, np.ndarray]) -> dict:
    """Bring T5X's parameters, `{'encoder/layers_0/mlp/wo/kernel': array}`, into ours, in memory."""
    stacked = interop.stack_layers(
        {path: lazy.from_numpy(np.asarray(value, np.float32)) for path, value in flat.items()}
    )
    return traverse_util.unflatten_dict({path: value.to_numpy() for path, value in stacked.items()}, sep='/')


def adafactor_state(flat: dict[str, np.ndarray], step: int, template: object) -> object:
    """Bring T5X's Adafactor state into ours, in memory."""
    lazies = interop.adafactor_state(
        {name: lazy.from_numpy(value) for name, value in flat.items()}, step, template
    )
    return jax.tree.map(lambda array: array.to_numpy(), lazies)
