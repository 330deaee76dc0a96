"""Measure attention, forward and backward: time on this machine, and the most memory that is in use at once,
inputs and outputs counted.

    python benchmarks/attention.py
    python benchmarks/attention.py --topology=v5e:2x2

The second prints memory only, compiled for that TPU, which need not be here (pip install libtpu).

Beside flanlite's implementations are the formula that T5X uses, which makes bias and mask into arrays and
holds all scores, and `jax.nn.dot_product_attention` with the same arrays. Where other work shares a CPU, CPU
time says more than time.

Shapes are ROWSxHEADSxTARGETSxSOURCESxHEAD_DIM, as T5 has them, with a bias by distance. 32/8 heads share 8
heads of keys, without a bias; 256+1024 sources are 256 keys at the queries' own positions and 1,024 of merged
attention. At the end, `c` makes a shape causal, `w1024` shows each query itself and 1,023 positions before
it, and `s50` is a soft cap.
"""

import argparse
import functools
import os
import re
import statistics
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from flanlite.mesh import activations, partitioning
from flanlite.model.attention import attention, blocks
from flanlite.training import compile as ahead

# T5; then Llama 3, Gemma 2 and 3 and T5Gemma 2, on a CPU with fewer and smaller heads.
SHAPES = (
    '1x8x512x512x64,1x8x256x256x64c,1x8x2048x2048x64,'
    '1x8/2x1024x1024x32c,1x4/2x1024x1024x64cw256s50,1x4/2x1024x1024x64cw256,1x4/2x256x256+1024x64cw256'
)
TPU_SHAPES = (
    '4x16x1024x1024x64,4x16x256x256x64c,4x16x256x1024x64,4x16x4096x4096x64,'
    '1x32/8x2048x2048x128c,1x8/4x2048x2048x256cw4096s50,1x8/4x2048x2048x256cw1024,'
    '1x8/4x256x256+1024x256cw1024'
)
SHAPE = re.compile(
    r'(?P<rows>\d+)x(?P<heads>\d+)(/(?P<shared>\d+))?x(?P<targets>\d+)x(?P<sources>\d+)(\+(?P<merged>\d+))?'
    r'x(?P<size>\d+)(?P<causal>c?)(w(?P<window>\d+))?(s(?P<soft_cap>\d+))?'
)


class Arrays(NamedTuple):
    """What attention is given."""

    q_BTHK: jax.Array
    k_BSGK: jax.Array
    v_BSGK: jax.Array
    bias_HN: jax.Array | None
    ids_BT: jax.Array
    ids_BS: jax.Array
    source: tuple[jax.Array, jax.Array, jax.Array] | None


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
        f'{"rows x heads x T x S x K":30}{"implementation":24}{"median ms":>12}{"CPU ms":>12}{"peak MiB":>16}'
    )
    for shape in (options.shapes or (TPU_SHAPES if options.topology else SHAPES)).split(','):
        arrays, seen = parse(shape, dtype, rules)
        for name, attend in implementations(rules.platform, arrays, seen).items():
            print(f'{shape:30}{name:24}', end='')
            try:
                times, mebibytes = measure(attend, arrays, rules, 0 if options.topology else options.repeats)
            except ValueError as error:  # it cannot do this
                print(error, flush=True)
                continue
            spent = (
                ''.join(f'{1e3 * statistics.median(each):>12,.1f}' for each in zip(*times, strict=True))
                or f'{"":24}'
            )
            print(f'{spent}{mebibytes:>16,.1f}', flush=True)


def parse(shape, dtype, rules):
    """Return the arrays' shapes, and what else `attention.attention` is told."""
    found = SHAPE.fullmatch(shape)
    if found is None:
        raise SystemExit(f'shape {shape!r}; expected such as 1x8x512x512x64c; see --help')
    B, H, T, S, K = (int(found[name]) for name in ('rows', 'heads', 'targets', 'sources', 'size'))
    G, N = int(found['shared'] or H), int(found['merged'] or 0)

    def struct(dtype, *shape):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=rules.replicated)

    keys, merged = struct(dtype, B, S, G, K), struct(dtype, B, N, G, K)
    arrays = Arrays(
        struct(dtype, B, T, H, K),
        keys,
        keys,
        None if found['shared'] else struct('float32', H, T + S),
        struct('int32', B, T),
        struct('int32', B, S),
        (merged, merged, struct('int32', B, N)) if N else None,
    )
    window = (int(found['window']) - 1, blocks.FAR) if found['window'] else None
    seen = {'causal': bool(found['causal']), 'window': window}
    return arrays, seen | {'soft_cap': float(found['soft_cap'] or 0)}


def implementations(platform, arrays, seen):
    found = {}
    if not seen['soft_cap'] and arrays.source is None:
        if arrays.bias_HN is not None:
            found["T5X's formula"] = functools.partial(t5x_formula, seen)
        found['jax.nn'] = functools.partial(jax_nn, seen)
    for name in attention.IMPLEMENTATIONS[1:]:
        if platform in attention.PLATFORMS.get(name, (platform,)):
            found[f'flanlite {name}'] = functools.partial(flanlite, name, seen)
    return found


def flanlite(implementation, seen, arrays):
    return attention.attention(
        *arrays[:3],
        q_segments_BT=arrays.ids_BT,
        kv_segments_BS=arrays.ids_BS,
        bias=arrays.bias_HN,
        source=arrays.source,
        implementation=implementation,
        **seen,
    )


def mask(seen, arrays):
    return attention.segment_mask(arrays.ids_BT, arrays.ids_BS, causal=seen['causal'], window=seen['window'])


def t5x_formula(seen, arrays):
    """Add the bias's and the mask's array to the scores; weights in the inputs' dtype."""
    q, k, v, bias_HN = arrays[:4]
    mask_BHTS = jnp.where(mask(seen, arrays), 0.0, blocks.MASKED)[:, None]
    bias_BHTS = blocks.spread_bias(bias_HN, q.shape[1])[None] + mask_BHTS
    logits_BHTS = jnp.einsum('BTHK,BSHK->BHTS', q, k).astype(jnp.float32) + bias_BHTS
    return jnp.einsum('BHTS,BSHK->BTHK', jax.nn.softmax(logits_BHTS).astype(q.dtype), v)


def jax_nn(seen, arrays):
    q, k, v, bias_HN = arrays[:4]
    bias_1HTS = None if bias_HN is None else blocks.spread_bias(bias_HN, q.shape[1])[None].astype(q.dtype)
    return jax.nn.dot_product_attention(
        q, k, v, bias=bias_1HTS, mask=mask(seen, arrays)[:, None], scale=1.0, implementation='xla'
    )  # fmt: skip


def measure(attend, arrays, rules, repeats):
    """Compile and run: (seconds, CPU seconds) of each of `repeats` runs, and the peak in MiB."""

    def total(differentiable, others):
        with activations.activation_rules(rules):
            out = attend(Arrays(*differentiable, *others))
        return jnp.sum(jnp.square(out.astype(jnp.float32)))

    gradients = jax.jit(jax.grad(total), out_shardings=rules.replicated)
    compiled = gradients.lower(arrays[:4], arrays[4:]).compile()
    mebibytes = ahead.peak_bytes(compiled.memory_analysis(), rules.platform) / 2**20
    if not repeats:
        return [], mebibytes
    rng = np.random.default_rng(0)

    def fill(x):
        ids = x.dtype == jnp.int32
        return jnp.ones(x.shape, x.dtype) if ids else jnp.asarray(rng.normal(size=x.shape) / 4, x.dtype)

    values = jax.tree.map(fill, (arrays[:4], arrays[4:]))
    jax.block_until_ready(compiled(*values))
    times = []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        jax.block_until_ready(compiled(*values))
        times.append((time.perf_counter() - started, time.process_time() - worked))
    return times, mebibytes


if __name__ == '__main__':
    main()
