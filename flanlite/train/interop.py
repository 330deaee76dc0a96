"""T5X's parameters in ours: the names are T5X's, the layers are stacked on axis 0."""

import re
from collections.abc import Mapping
from typing import Any

import jax
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
            unscanned.setdefault(f'{stack}/layers/{name}', {})[int(number)] = np.asarray(value, np.float32)
        elif match := SCANNED_LAYER.match(path):
            stack, name = match.groups()
            params[f'{stack}/layers/{name}'] = _join_heads(name, np.moveaxis(np.asarray(value, np.float32), SCAN_AXIS, 0))
        else:
            params[path] = np.asarray(value, np.float32)
    for path, layers in unscanned.items():
        if sorted(layers) != list(range(len(layers))):
            raise ValueError(f'{path} has layers {sorted(layers)}; expected each of 0 to {max(layers)}')
        params[path] = np.stack([layers[number] for number in range(len(layers))])
    return traverse_util.unflatten_dict(params, sep='/')


def _join_heads(name: str, value: np.ndarray) -> np.ndarray:
    """Join heads and head dimension, which scalable_t5 keeps apart in the kernels of attention."""
    if value.ndim < 4:
        return value
    layers, first, second, third = value.shape
    return value.reshape(layers, first * second, third) if name.endswith('out/kernel') else value.reshape(layers, first, second * third)


def optimizer_state_from_t5x(flat: Flat, step: int, template: Any) -> Any:
    """Convert T5X's Adafactor state, `{'encoder/layers_0/mlp/wo/kernel/v_row': array}`, of the unscanned network.

    Args:
        flat: T5X's `param_states`.
        step: T5X's step, which the second moment's decay depends on.
        template: the state of our `adafactor` with the same settings, or its shapes.
    """
    slots = {
        slot: traverse_util.flatten_dict(
            from_t5x({path.removesuffix('/' + slot): value for path, value in flat.items() if path.endswith('/' + slot)}), sep='/'
        )
        for slot in ('v_row', 'v_col', 'v')
    }

    def fill(path: tuple[Any, ...], leaf: Any) -> np.ndarray:
        names = [getattr(key, 'name', getattr(key, 'key', None)) for key in path]
        if names[-1] == 'count':
            return np.asarray(step, leaf.dtype)
        start, slot = next((i, name) for i, name in enumerate(names) if name in slots)
        name = '/'.join(names[start + 1 :])
        value = slots[slot][name]
        if value.shape != leaf.shape:
            raise ValueError(f'{slot} of {name} has shape {value.shape}, but {leaf.shape} in our state: were they factored alike?')
        return value

    return jax.tree.map_with_path(fill, template)
