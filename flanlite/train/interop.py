"""T5X's parameters in ours: the names are T5X's, the layers are stacked on axis 0."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

Flat = Mapping[str, np.ndarray]

# T5X's two networks name their layers `encoder/layers_3/...` (t5) and, stacked on axis 1, `encoder/encoder/...` (scalable_t5).
UNSCANNED_LAYER = re.compile(r'^(encoder|decoder)/layers_(\d+)/(.*)$')
SCANNED_LAYER = re.compile(r'^(encoder|decoder)/\1/(.*)$')
SCAN_AXIS = 1


def from_t5x(flat: Flat) -> dict[str, Any]:
    """Convert the parameters of T5X's `t5` or `scalable_t5` network, `{'encoder/layers_0/mlp/wo/kernel': array}`.

    scalable_t5 has a relative position bias in each layer: its parameters fit a config with `relpos_bias_per_layer`.
    """
    params: dict[str, np.ndarray] = {}
    unscanned: dict[str, dict[int, np.ndarray]] = {}
    for path, value in flat.items():
        if match := UNSCANNED_LAYER.match(path):
            stack, number, name = match.groups()
            unscanned.setdefault(f'{stack}/layers/{name}', {})[int(number)] = _matrix(name, value, ndim=2)
        elif match := SCANNED_LAYER.match(path):
            stack, name = match.groups()
            params[f'{stack}/layers/{name}'] = _matrix(name, np.moveaxis(value, SCAN_AXIS, 0), ndim=3)
        else:
            params[path] = np.asarray(value, np.float32)
    for path, layers in unscanned.items():
        if sorted(layers) != list(range(len(layers))):
            raise ValueError(f'{path} has layers {sorted(layers)}; expected each of 0 to {max(layers)}')
        params[path] = np.stack([layers[number] for number in range(len(layers))])
    return traverse_util.unflatten_dict(params, sep='/')


def _matrix(name: str, value: np.ndarray, ndim: int) -> np.ndarray:
    """Join heads and head dimension, which scalable_t5 keeps apart in attention kernels."""
    value = np.asarray(value, np.float32)
    if not name.endswith('kernel') or value.ndim == ndim:
        return value
    joined = slice(-3, -1) if name.endswith('out/kernel') else slice(-2, None)
    axes = range(value.ndim)[joined]
    shape = value.shape[: axes[0]] + (-1,) + value.shape[axes[-1] + 1 :]
    return value.reshape(shape)
