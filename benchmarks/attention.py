"""Measure attention, forward and backward: time on this machine, and the memory that the compiler asks for
beside inputs and outputs.

    python benchmarks/attention.py
    python benchmarks/attention.py --topology=v5e:2x2

The second prints memory only, compiled for that TPU, which need not be here (pip install libtpu).

Beside flanlite's implementations are the formula that T5X uses, which makes bias and mask into arrays and
holds all scores, and `jax.nn.dot_product_attention` with the same arrays. Where other work shares a CPU, CPU
time says more than time. Shapes are ROWSxHEADSxTARGETSxSOURCESxHEAD_DIM; `c` at the end makes it causal.
"""

import argparse
import functools
import os
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flanlite.mesh import activations, partitioning
from flanlite.model.attention import attention, blocks
from flanlite.training import compile as ahead

SHAPES = '1x8x512x512x64,1x8x256x256x64c,1x8x2048x2048x64'
TPU_SHAPES = '4x16x1024x1024x64,4x16x256x256x64c,4x16x256x1024x64,4x16x4096x4096x64'


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--shapes', help=f'with commas; by default {SHAPES}, for a topology {TPU_SHAPES}')
    parser.add_argument(
        '--topology', help='a TPU topology to compile for, such as v4:2x2x1, v5e:2x2, v5p:2x2x1 or v6e:2x2'
    )
    parser.add_argument('--dtype', help='float32 or bfloat16; by default float32 on a CPU')
    parser.add_argument('--repeats', type=int, default=5)
    options = parser.parse_args()
    devices = ahead.topology_devices(options.topology)[1] if options.topology else jax.devices()
    rules = partitioning.Partitioner(
        Mesh(np.array(devices[:1]).reshape(1, 1, 1), partitioning.MESH_AXES),
        partitioning.standard_logical_axis_rules(),
    )
    dtype = options.dtype or ('float32' if rules.platform == 'cpu' else 'bfloat16')
    where = (
        f'compiled for {options.topology}, not run'
        if options.topology
        else f'{devices[0].device_kind}, {os.cpu_count()} cores'
    )
    print(f'forward and backward, {dtype}, {where}; load of the machine {os.getloadavg()[0]:.0f}')
    print(
        f'{"rows x heads x T x S x K":26}{"implementation":24}{"median ms":>12}'
        f'{"CPU ms":>12}{"temporary MiB":>16}'
    )
    for shape in (options.shapes or (TPU_SHAPES if options.topology else SHAPES)).split(','):
        for name, attend in implementations(rules.platform).items():
            times, mebibytes = measure(
                attend, shape, dtype, rules, 0 if options.topology else options.repeats
            )
            spent = (
                ''.join(f'{1e3 * statistics.median(each):>12,.1f}' for each in zip(*times, strict=True))
                or f'{"":24}'
            )
            print(f'{shape:26}{name:24}{spent}{mebibytes:>16,.1f}', flush=True)


def implementations(platform):
    found = {"T5X's formula": t5x_formula, 'jax.nn': jax_nn}
    for name in attention.IMPLEMENTATIONS[1:]:
        if platform in attention.PLATFORMS.get(name, (platform,)):
            found[f'flanlite {name}'] = functools.partial(flanlite, name)
    return found


def flanlite(implementation, q, k, v, bias, ids_BT, ids_BS, causal):
    return attention.attention(
        q,
        k,
        v,
        q_segments_BT=ids_BT,
        kv_segments_BS=ids_BS,
        bias=bias,
        causal=causal,
        implementation=implementation,
    )


def t5x_formula(q, k, v, bias, ids_BT, ids_BS, causal):
    """Add the bias's and the mask's array to the scores; weights in the inputs' dtype."""
    mask_BTS = attention.segment_mask(ids_BT, ids_BS, causal=causal)
    bias_BHTS = blocks.spread_bias(bias, q.shape[1])[None] + jnp.where(mask_BTS, 0.0, blocks.MASKED)[:, None]
    logits_BHTS = jnp.einsum('BTHK,BSHK->BHTS', q, k).astype(jnp.float32) + bias_BHTS
    return jnp.einsum('BHTS,BSHK->BTHK', jax.nn.softmax(logits_BHTS).astype(q.dtype), v)


def jax_nn(q, k, v, bias, ids_BT, ids_BS, causal):
    mask_BTS = attention.segment_mask(ids_BT, ids_BS)
    bias_1HTS = blocks.spread_bias(bias, q.shape[1])[None].astype(q.dtype)
    return jax.nn.dot_product_attention(
        q, k, v, bias=bias_1HTS, mask=mask_BTS[:, None], scale=1.0, is_causal=causal, implementation='xla'
    )  # fmt: skip


def measure(attend, shape, dtype, rules, repeats):
    """Compile and run: (seconds, CPU seconds) of each of `repeats` runs, and MiB of temporary memory."""
    causal, sizes = shape.endswith('c'), [int(size) for size in shape.rstrip('c').split('x')]
    B, H, T, S, K = sizes
    shapes = [(B, T, H, K), *[(B, S, H, K)] * 2, (H, T + S), (B, T), (B, S)]
    dtypes = [dtype] * 3 + ['float32', 'int32', 'int32']
    structs = [
        jax.ShapeDtypeStruct(*of, sharding=rules.replicated) for of in zip(shapes, dtypes, strict=True)
    ]

    def total(q, k, v, bias, ids_BT, ids_BS):
        with activations.activation_rules(rules):
            return jnp.sum(jnp.square(attend(q, k, v, bias, ids_BT, ids_BS, causal).astype(jnp.float32)))

    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)), out_shardings=rules.replicated)
    compiled = gradients.lower(*structs).compile()
    mebibytes = compiled.memory_analysis().temp_size_in_bytes / 2**20
    if not repeats:
        return [], mebibytes
    rng = np.random.default_rng(0)
    arrays = [
        jnp.asarray(rng.normal(size=x.shape) / 4, x.dtype)
        if x.dtype != jnp.int32
        else jnp.ones(x.shape, x.dtype)
        for x in structs
    ]
    jax.block_until_ready(compiled(*arrays))
    times = []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        jax.block_until_ready(compiled(*arrays))
        times.append((time.perf_counter() - started, time.process_time() - worked))
    return times, mebibytes


if __name__ == '__main__':
    main()
