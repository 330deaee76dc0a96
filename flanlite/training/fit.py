"""Whether the parameters of a checkpoint fit a model: their shapes, and what no shape tells."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax

from flanlite.config import TYPE, to_json
from flanlite.mesh.partitioning import parameter_name
from flanlite.model import models
from flanlite.model.layers import ACTIVATIONS
from flanlite.model.models import ModelConfig

Tree = Any


def shapes_by_name(tree: Tree) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a tree's arrays by parameter name."""
    return {
        parameter_name(path): tuple(leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def abstract_params(config: ModelConfig, shardings: Tree | None = None, dtype: str = 'float32') -> Tree:
    """Return shapes, shardings and `dtype` of parameters; without shardings they are for this process's first
    device.
    """
    found = models.abstract_params(config)
    if shardings is None:
        first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        shardings = jax.tree.map(lambda leaf: first, found)
    return jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=place), found, shardings
    )


def check_shapes(
    found: Mapping[str, tuple[int, ...]],
    wanted: Tree,
    config: ModelConfig,
    saved_config: Mapping[str, Any] | None,
    source: str,
) -> None:
    """Raise a `ValueError` if parameters do not fit the model; name the first that differs, both shapes, and
    the setting to change.

    Args:
        found: shapes in the checkpoint, by name.
        wanted: tree of the model's parameters, or of their shapes.
        config: the model's.
        saved_config: fields of the config that was saved with the checkpoint, if any.
        source: names the checkpoint.
    """
    expected = shapes_by_name(wanted)
    kind = type(config).__name__
    differing = {
        field: value
        for field, value in (saved_config or {}).items()
        if field not in CHOSEN and not same(field, value, getattr(config, field, None))
    }
    settings = ', '.join(f'{kind}.{field} = {value!r}' for field, value in differing.items())
    remedy = f'set {settings or f"the {kind} that it was trained with"}'
    if not all(hasattr(config, field) for field in differing):
        remedy = f'set a model of the kind that it was trained as, not a {kind}'
    elif saved_config and not differing:
        remedy = 'which is what it says of itself: is it whole?'
    if dict(found) == expected:
        if differing:  # in what no shape tells
            field, value = next(iter(differing.items()))
            raise ValueError(
                f'{source} was trained with {field} {value!r}, and {kind}.{field} is '
                f'{getattr(config, field, None)!r} in this configuration; {remedy}'
            )
        return
    name = next(
        name for name in sorted(found.keys() | expected.keys()) if found.get(name) != expected.get(name)
    )
    shape, other = (str(each[name]) if name in each else 'no such parameter' for each in (found, expected))
    raise ValueError(f'{name} is {shape} in {source}, and {other} in this configuration; {remedy}')


# Fields of a model's config that a run may choose, whatever the checkpoint was trained with.
CHOSEN = ('dropout_rate', 'dtype', 'remat_policy', 'attention', 'prefix_lm')


ADAPTERS_CHOSEN = ('base_dtype', 'dropout', 'init', 'text', 'file', 'source', 'source_file')


def same(field: str, saved: Any, current: Any) -> bool:
    """Return whether a field of a model's config means the same in a checkpoint and in a run."""
    if field == 'mlp_activations' and current is not None:
        return [ACTIVATIONS[name] for name in saved] == [ACTIVATIONS[name] for name in current]
    if isinstance(saved, float) and isinstance(current, int | float):
        return math.isclose(saved, current, rel_tol=1e-6)  # config.json may hold a float32 of it
    if field == 'adapter' and saved and current:
        current, saved = ({**to_json(each), **dict.fromkeys(ADAPTERS_CHOSEN)} for each in (current, saved))
    if isinstance(saved, Mapping) and TYPE not in saved and dataclasses.is_dataclass(current):
        current = dataclasses.asdict(current)
    return to_json(saved) == to_json(current)
