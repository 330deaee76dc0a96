"""Place activations on the mesh while a model is traced, and gather the parameters that a layer multiplies
with.

A model names the logical axes of its activations and calls the functions below. The rules in force
(`activation_rules`) turn names into mesh axes. Without rules, or on a mesh of one device, every function
returns its argument.

A layer alternates between two placements of x_BTD. Rows (`batch`) are split over `dcn` and `data` in both:

    RESIDUAL  the residual stream between blocks: its length is split over `model`, too. Norms, residual
              additions and dropout compute on 1/model of the positions, and what the backward pass keeps of
              a layer is 1/model as large.
    GATHERED  the input and the output of a block: length and width are whole. The block multiplies with its
              share of heads or MLP columns, so its output is a partial sum on each device of `model`.

`reshard` from RESIDUAL to GATHERED is an all-gather, and from GATHERED to RESIDUAL a reduce-scatter. Together
they move the same bytes as the one all-reduce of T5X's 1-D rules, which keep the residual stream whole on
every device of the model. This is sequence parallelism (Korthikanti et al. 2022, arXiv:2205.05198). It needs
less memory than T5X's 1-D rules at equal traffic. T5X's 2-D rules split the residual stream along `embed`
instead, the axis that norms and products reduce over, and send more; docs/pods.md has figures.

The sharding of a value does not fix the sharding of its gradient: XLA may sum a gradient on all devices where
a scatter is enough. So `reshard` and `gather_param` are custom VJPs that constrain the gradient as well.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from flanlite.mesh.partitioning import Axes, Partitioner

RESIDUAL = ('batch', 'residual_length', 'embed')
GATHERED = ('batch', 'length', None)
# x_MBSD, one copy for each device of the `model` axis. 'joined_kv' stands for the mesh axis that splits the
# heads: the first axis of the copies is split as the columns of the kernels are that multiply them.
MODEL_COPIES = ('joined_kv', 'batch', 'length', None)

_rules: contextvars.ContextVar[Partitioner | None] = contextvars.ContextVar('activation_rules', default=None)


@contextlib.contextmanager
def activation_rules(rules: Partitioner) -> Iterator[None]:
    """Put rules in force for everything that is traced in this context.

    The rules place the activations that the model names. They also tell `attention` for which platform it is
    traced.
    """
    token = _rules.set(rules)
    try:
        yield
    finally:
        _rules.reset(token)


def constrain(x: jax.Array, axes: Axes) -> jax.Array:
    """Constrain the sharding of an activation by its logical axes; return it unchanged where no rules are in
    force.
    """
    rules = _rules.get()
    return x if rules is None else rules.constrain(x, axes)


def constrain_to_storage(x: jax.Array, axes: Axes) -> jax.Array:
    """Constrain the gradient of a parameter to lie as the parameter does between steps; return it unchanged
    where no rules are in force.
    """
    rules = _rules.get()
    return x if rules is None else rules.constrain_to_storage(x, axes)


def current_rules() -> Partitioner | None:
    """Return the rules in force, or None."""
    return _rules.get()


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def reshard(x: jax.Array, before: Axes, after: Axes) -> jax.Array:
    """Move an activation from one sharding to another, and its gradient back.

    RESIDUAL to GATHERED is an all-gather, and its gradient a reduce-scatter. GATHERED to RESIDUAL is the
    opposite: the product before it contracts an axis that is split over `model`, so XLA turns the sum and
    this constraint into one reduce-scatter.

    Args:
        x: the activation.
        before: logical axes of its placement now; the gradient gets this placement.
        after: logical axes of the placement wanted.
    """
    return constrain(x, after)


reshard.defvjp(
    lambda x, before, after: (reshard(x, before, after), None),
    lambda before, after, _, grad: (constrain(grad, before),),
)


def broadcast_over_model(x_BSD: jax.Array, columns: int) -> jax.Array:
    """Copy the encoder's output to x_MBSD, one copy for each device of the `model` axis.

    All decoder layers read the encoder's output, and its gradient is a sum over layers and over the devices
    of the `model` axis. With one shared array, XLA sums over the devices in every layer. With an explicit
    axis M that is split over `model`, each device adds up the gradients of its own copy over all layers, and
    the transpose of the broadcast sums over M once. A device holds one copy only, which it would hold anyway,
    so this needs no memory. `Linear` multiplies such an array copy by copy.

    Args:
        x_BSD: the encoder's output.
        columns: of the kernels that multiply it. If they do not divide over `model`, each device has them
            all, and there are no copies.
    """
    rules = _rules.get()
    if rules is None or (parts := rules.mesh.shape['model']) == 1 or columns % parts:
        return x_BSD
    return constrain(jnp.broadcast_to(x_BSD[None], (parts, *x_BSD.shape)), MODEL_COPIES)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather_param(param: jax.Array, axes: Axes) -> jax.Array:
    """Gather a parameter along `embed` for a product, and scatter its gradient to its storage sharding.

    Where the rules split parameters over `data` (`parameter_partitioning_dims=2`), this is ZeRO-3's
    all-gather of one layer's parameter. Elsewhere the parameter is already whole (see
    `models.prepare_for_compute`), and only the scatter of the gradient remains.
    """
    if scatters_in_stages(param.shape, axes) and is_gathered(axes):
        # The stages of `kernel_gradient`, the other way round. In one, the TPU compiler would sum arrays that
        # are zero elsewhere, of small parameters on v5e and of all on v5p.
        devices = _rules.get().mesh.devices.reshape(-1, near_devices())
        mesh, at = Mesh(devices, ('far', 'near'), axis_types=(AxisType.Auto,) * 2), axes.index('embed')
        for placed in ('far', None):
            spec = PartitionSpec(*(placed if i == at else None for i in range(param.ndim)))
            param = jax.lax.with_sharding_constraint(param, NamedSharding(mesh, spec))
        return param
    return constrain(param, tuple(None if axis == 'embed' else axis for axis in axes))


def _scatter(axes: Axes, _: None, grad: jax.Array) -> tuple[jax.Array]:
    if (rules := _rules.get()) is None:
        return (grad,)
    if (
        axes[-1] == 'embed'
        # Transposed, since the TPU compiler does not scatter narrow pieces of the last axis: it sums on all
        # devices.
    ):
        return (rules.constrain_to_storage(grad.T, axes[::-1]).T,)
    return (rules.constrain_to_storage(grad, axes),)


gather_param.defvjp(lambda param, axes: (gather_param(param, axes), None), _scatter)


def scatters_in_stages(shape: tuple[int, ...], axes: Axes) -> bool:
    """Tell whether `kernel_gradient` is how to sum a kernel's gradient: where `data` has all devices and the
    kernel lies over it.

    Of a group with all devices of a slice, the TPU compiler makes no reduce-scatter but an all-reduce, which
    sends twice as much and needs the whole sum in memory, and then a slice of it.
    """
    rules = _rules.get()
    if rules is None or rules.mesh.size == 1 or rules.mesh.shape['data'] < rules.mesh.size:
        return False
    return 'data' in rules.storage_sharding(shape, axes).spec


def is_gathered(axes: Axes) -> bool:
    """Tell whether layers gather a parameter with these axes over `data`, and have not got it whole."""
    rules = _rules.get()
    return rules is not None and 'data' in rules.spec(axes)


def look_up(table_VD: jax.Array, tokens_BT: jax.Array) -> jax.Array:
    """Look up tokens in a table of embeddings.

    Where `data` has all devices and the table lies over it, each device looks up its columns for the whole
    batch, and an all-to-all exchanges them for the other columns of its rows. This moves what was looked up
    instead of the table, unless the batch is larger than the table. Elsewhere the table is gathered along its
    width; XLA alone would gather what was looked up for the whole batch.
    """
    axes, rules = ('vocab', 'embed'), _rules.get()
    if (
        not (scatters_in_stages(table_VD.shape, axes) and is_gathered(axes))
        or tokens_BT.shape[0] % rules.mesh.size
        or tokens_BT.size > rules.mesh.size * table_VD.shape[0]
    ):
        return gather_param(table_VD, axes)[tokens_BT]

    def exchange(table_VD: jax.Array, tokens_BT: jax.Array) -> jax.Array:
        x_BTD = table_VD[jax.lax.all_gather(tokens_BT, 'data', tiled=True)]
        return jax.lax.all_to_all(x_BTD, 'data', 0, 2, tiled=True)

    rows, stored = rules.spec(('batch', None, None)), rules.spec(axes)
    return jax.shard_map(
        exchange,
        mesh=rules.mesh,
        in_specs=(stored, rules.spec(('batch', None))),
        out_specs=rows,
        check_vma=False,
    )(table_VD, tokens_BT)


def near_devices() -> int:
    """Return the size of the groups of neighbours in `kernel_gradient`."""
    size = _rules.get().mesh.size
    return next(i for i in range(math.isqrt(size), 0, -1) if size % i == 0)


def kernel_gradient(x_BTX: jax.Array, grad_BTX: jax.Array, axes: Axes) -> jax.Array:
    """Compute the gradient of a kernel from its input and the gradient of the product, and scatter it to its
    storage sharding in two stages: over groups of devices far apart, then over groups of neighbours.

    Args:
        x_BTX: what the kernel multiplied.
        grad_BTX: the gradient of the product.
        axes: logical axes of the kernel, `embed` among them.
    """
    rules, turned = _rules.get(), axes[-1] == 'embed'
    groups = np.arange(rules.mesh.size).reshape(-1, near_devices())

    def scatter(x_BTX: jax.Array, grad_BTX: jax.Array) -> jax.Array:
        first, last = (grad_BTX, x_BTX) if turned else (x_BTX, grad_BTX)
        sum_DX = jnp.einsum('btd,btf->df', first, last)
        for stage in (groups.T, groups):
            sum_DX = jax.lax.psum_scatter(sum_DX, 'data', axis_index_groups=stage.tolist(), tiled=True)
        return sum_DX.T if turned else sum_DX

    rows = rules.spec(('batch', None, None))
    stored = rules.storage_sharding((x_BTX.shape[-1], grad_BTX.shape[-1]), axes).spec
    return jax.shard_map(scatter, mesh=rules.mesh, in_specs=(rows, rows), out_specs=stored, check_vma=False)(
        x_BTX, grad_BTX
    )
