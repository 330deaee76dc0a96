"""The model that an adapter belongs to: its fingerprint, where it lies, and whether it is the same."""

import functools
import hashlib
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import traverse_util

from flanlite.mesh.partitioning import parameter_name
from flanlite.training.checkpoints import Tree
from flanlite.training.lazy import LazyArray
from flanlite.training.locate import base_path, locate

WHERE = 'say where it is: --base=PATH, or load(PATH, adapter=...)'


def check_base(record: Mapping[str, str], params: Tree, path: str) -> None:
    """Raise a `ValueError` if parameters are not those of the model that an adapter belongs to.

    Args:
        record: the adapter's, as for `load_base`.
        params: a model's own.
        path: names the model, for the error.
    """
    if record['fingerprint'] not in (None, fingerprint(params)):
        raise ValueError(
            f'the adapter belongs to the model that was {record["path"]}, and {path} is another, with other '
            f'parameters; {WHERE}'
        )


def find_base(path: str, moved: str | None = None) -> str:
    """Return where the model that an adapter belongs to lies; a `ValueError` if there is nothing.

    Args:
        path: where it was.
        moved: where it lies now; by default where it was.
    """
    if not locate(moved or path).exists():
        raise ValueError(f'the adapter belongs to the model {moved or path}, which is not there; {WHERE}')
    return moved or path


def base_record(path: str, params: Tree) -> dict[str, str]:
    """Return what an adapter's checkpoint says of the model that it belongs to.

    Args:
        path: what the run began with: the model, or another adapter of it.
        params: the model's own.
    """
    return {'path': base_path(path), 'fingerprint': fingerprint(params)}


def fingerprint(params: Tree, exact: bool = False) -> str:
    """Return 16 hexadecimal digits that tell a model's parameters from another's, whatever mesh they lie on.

    They are read as bfloat16, so that a copy in that dtype counts as the same.

    Args:
        params: a nested dict; or lazy arrays by our names, which are read one after the other.
        exact: reads them as they are instead: each bit counts, and so does the dtype.
    """
    params = traverse_util.unflatten_dict(traverse_util.flatten_dict(params, sep='/'), sep='/')
    sums = jax.tree.map(
        lambda leaf: _checksum(leaf.to_numpy() if isinstance(leaf, LazyArray) else leaf, exact), params
    )
    text = '\n'.join(
        f'{parameter_name(path)} {tuple(leaf.shape)}{f" {leaf.dtype}" if exact else ""} {int(found)}'
        for (path, found), leaf in zip(jax.tree.leaves_with_path(sums), jax.tree.leaves(params), strict=True)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.partial(jax.jit, static_argnums=1)
def _checksum(x: jax.Array, exact: bool) -> jax.Array:
    """Add up the bits of an array, each number times a weight of its place, modulo 2^32, so that the order
    does not count.
    """
    read = x if exact else x.astype(jnp.bfloat16)
    bits = jax.lax.bitcast_convert_type(read, f'uint{8 * read.dtype.itemsize}').astype(jnp.uint32)
    place = jnp.zeros(x.shape, jnp.uint32)
    for axis, size in enumerate(x.shape):
        place = place * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, x.shape, axis)
    return jnp.sum(bits * (place * jnp.uint32(2654435761) | 1), dtype=jnp.uint32)
