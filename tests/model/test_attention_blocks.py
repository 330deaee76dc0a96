"""Every implementation that holds no scores, against the plain one; the kernels in Pallas's interpreter."""

import functools
import os
import subprocess
import sys
import types
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import t5x_fixtures
from jax.experimental import topologies

from flanlite.mesh import activations, partitioning
from flanlite.model import models, t5
from flanlite.model.attention import attention as attention_module
from flanlite.model.attention import blocks, blockwise, gpu, tpu
from flanlite.model.attention.attention import attention, segment_mask

B, K = 2, 12


class Case(NamedTuple):
    T: int
    S: int
    causal: bool = False
    prefix: bool = False
    bias: bool = False
    dtype: str = 'float32'
    heads: tuple[int, int] = (2, 2)  # of queries, of keys
    windows: tuple[blocks.Window | None, ...] = (None,)  # one a layer; several travel through a scan
    alone: bool = False
    source: int = 0  # keys
    soft_cap: float = 0.0


CASES = {
    'bidirectional': Case(37, 53, bias=True),
    'prefix': Case(53, 37, causal=True, prefix=True, bias=True),
    'bfloat16': Case(37, 37, causal=True, bias=True, dtype='bfloat16'),
    'window': Case(53, 37, bias=True, windows=((6, 3),)),
    'everything': Case(
        53, 53, causal=True, prefix=True, heads=(6, 2), windows=((7, 4),), alone=True, source=21, soft_cap=2.0
    ),
    'layers': Case(53, 53, causal=True, heads=(6, 3), windows=((5, 0), (blocks.FAR, 0))),
}
FEW = ('prefix', 'bfloat16', 'window', 'everything', 'layers')  # of the kernels, which are slow to interpret
SLACK = {'float32': 3e-5, 'bfloat16': 2e-2}


def interpreted(kernels):
    return blocks.Kernels(*(functools.partial(kernel, interpret=True) for kernel in kernels))


def use(monkeypatch, implementation):
    """Use an implementation here, in small blocks, and return its name; 'tpu' and 'gpu' are the kernels, as
    if that platform were here.
    """
    monkeypatch.setattr(attention_module, 'BLOCKWISE', (blockwise.KERNELS, (16, 16)))
    pallas = {name: (interpreted(module.KERNELS), (16, 16)) for name, module in (('tpu', tpu), ('gpu', gpu))}
    monkeypatch.setattr(attention_module, 'PALLAS', pallas)
    if implementation in pallas:
        monkeypatch.setattr(attention_module, '_platform', lambda: implementation)
    return 'pallas' if implementation in pallas else implementation


def packed(length):
    """Make segment ids: a row of three segments and padding, and one of one segment."""
    parts = [length // 4, length // 4, length // 3]
    return np.stack([np.repeat([1, 2, 3, 0], [*parts, length - sum(parts)]), np.ones(length, int)]).astype(
        np.int32
    )


def outcome(case, implementation):
    """Attend; return the output of queries that see something, and the gradients of a sum that weighs only
    those.
    """
    c = CASES[case]
    (H, G), dtype = c.heads, c.dtype
    rng = np.random.default_rng(0)
    shapes = [(B, c.T, H, K), *[(B, n, G, K) for n in (c.S, c.S, c.source, c.source)], (B, c.T, H, K)]
    q, k, v, *kept, weight = (jnp.asarray(rng.normal(size=shape) / 2, dtype) for shape in shapes)
    bias = jnp.asarray(rng.normal(size=(H, c.T + c.S)), jnp.float32) if c.bias else None
    ids = {'q_segments_BT': packed(c.T), 'kv_segments_BS': packed(c.S)}
    seen = {
        'causal': c.causal,
        'kv_prefix_BS': rng.random((B, c.S)) < 0.3 if c.prefix else None,
        'kv_alone_BS': rng.random((B, c.S)) < 0.3 if c.alone else None,
    }
    for window in c.windows:
        mask_BTS = segment_mask(**ids, **seen, window=window)
        weight *= jnp.asarray(mask_BTS.any(axis=-1), dtype)[:, :, None, None]

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2, 3, 4), has_aux=True)
    def gradients(q, k, v, kept, bias):
        source = (*kept, packed(c.source)) if c.source else None
        options = {**ids, **seen, 'bias': bias, 'source': source, 'soft_cap': c.soft_cap}
        attend = functools.partial(attention, **options, implementation=implementation)
        if len(c.windows) == 1:
            out = attend(q, k, v, window=c.windows[0])
        else:
            windows = jnp.asarray(c.windows, jnp.int32)
            out, _ = jax.lax.scan(lambda x, window: (attend(x, k, v, window=tuple(window)), None), q, windows)
        return jnp.sum((out * weight).astype(jnp.float32)), out

    grads, out = gradients(q, k, v, kept, bias)
    assert np.isfinite(np.asarray(out, np.float32)).all()
    return {'out': out * (weight != 0), **dict(zip('qkvsb', grads, strict=True))}


@functools.lru_cache
def plain(case):
    return outcome(case, 'xla')


@pytest.mark.parametrize(
    'implementation, case',
    [('blockwise', case) for case in CASES] + [(p, c) for p in ('tpu', 'gpu') for c in FEW],
)
def test_equals_the_plain_one_forward_and_backward(monkeypatch, implementation, case):
    assert_close(outcome(case, use(monkeypatch, implementation)), plain(case), SLACK[CASES[case].dtype])


def assert_close(got, expected, slack):
    def check(path, got, expected):
        wanted = np.asarray(expected, np.float32)
        assert got.dtype == expected.dtype
        atol = slack * np.abs(wanted).max(initial=0.0)
        np.testing.assert_allclose(
            np.asarray(got, np.float32), wanted, rtol=0, atol=atol, err_msg=jax.tree_util.keystr(path)
        )

    jax.tree_util.tree_map_with_path(check, got, expected)


@pytest.mark.parametrize('window, tiles', [(None, 4 + 3 + 2 + 1), ((16, 0), 4 + 3), ((0, 0), 4)])
def test_windows_skip_tiles(window, tiles):
    segments_BS = jnp.ones((1, 64), jnp.int32)
    first_BS, last_BS = blocks.visible_range(segments_BS, causal=True, window=window)
    inputs = blocks.Inputs(None, None, None, segments_BS, segments_BS, first_BS, last_BS, None)
    visible = blocks.visible_blocks(inputs, blocks.Tiling(16, 16, True, 0.0))
    mask_BTS = segment_mask(segments_BS, segments_BS, causal=True, window=window)
    np.testing.assert_array_equal(visible[0] > 0, mask_BTS.reshape(4, 16, 4, 16).any(axis=(1, 3)))
    assert visible.sum() == tiles


def temporary_bytes(implementation, length):
    x = jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)

    def total(q, k, v, bias, ids):
        return attention(
            q, k, v, q_segments_BT=ids, kv_segments_BS=ids, bias=bias, implementation=implementation
        ).sum()

    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2, 3)))
    compiled = gradients.lower(x, x, x, jax.ShapeDtypeStruct((2, 2 * length), jnp.float32), ids).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def test_memory_grows_with_the_length_and_not_its_square():
    scores = 2 * 4096**2 * 4
    assert temporary_bytes('xla', 4096) > scores
    assert temporary_bytes('blockwise', 4096) < scores / 8
    assert temporary_bytes('blockwise', 8192) < 2.2 * temporary_bytes('blockwise', 4096)


@pytest.mark.parametrize('kind', ['unpacked', 'packed'])
def test_blockwise_logits_are_t5xs(monkeypatch, kind):
    use(monkeypatch, 'blockwise')
    outputs, params = t5x_fixtures.outputs(), t5x_fixtures.params()
    batch = t5x_fixtures.under(outputs, f'{kind}/batch')
    config = t5.T5Config(**{**t5x_fixtures.CONFIG.__dict__, 'attention': 'blockwise'})
    logits_BTV = jax.jit(lambda params: models.bind(config, params)(batch))(params)
    real_BT = batch['decoder_loss_weights'] > 0
    np.testing.assert_allclose(
        np.asarray(logits_BTV)[real_BT], outputs[f'{kind}/logits'][real_BT], atol=2e-5, rtol=1e-5
    )


def chosen(platform, name, length):
    with activations.activation_rules(types.SimpleNamespace(platform=platform)):
        return attention_module.choose_implementation(name, length, length)


def test_choice_is_by_platform_and_size():
    assert [chosen(platform, 'auto', 64) for platform in ('cpu', 'gpu', 'tpu')] == ['xla'] * 3
    assert [chosen(platform, 'auto', 4096) for platform in ('cpu', 'gpu', 'tpu')] == [
        'blockwise',
        'blockwise',
        'pallas',
    ]
    assert chosen('gpu', 'cudnn', 64) == 'cudnn'
    assert [chosen('tpu', name, 1) for name in ('pallas', 'blockwise')] == ['xla', 'xla']


@pytest.mark.parametrize('platform, name', [('cpu', 'pallas'), ('cpu', 'cudnn'), ('tpu', 'cudnn')])
def test_what_does_not_run_on_the_platform_is_refused(platform, name):
    with pytest.raises(ValueError, match=f"'{name}' does not run on {platform}; use 'auto'"):
        chosen(platform, name, 64)


@pytest.mark.parametrize(
    'platform, implementation, heads, length, options, expected',
    [
        ('cpu', 'blockwise', 2, 4, {'bias': (2, 4, 4)}, r'shape \(2, 4, 4\), expected \(2, 8\)'),
        ('cpu', 'xla', 2, 4, {'bias': (2, 8), 'soft_cap': 50.0}, 'expected no bias with these'),
        ('cpu', 'xla', 1, 4, {'bias': (2, 8)}, 'a bias with grouped heads'),
        ('cpu', 'xla', 3, 4, {}, '2 heads of queries and 3 of keys'),
        ('gpu', 'cudnn', 2, 4, {'soft_cap': 50.0}, "'cudnn' has no soft caps, and got 50.0; use 'auto'"),
        (
            'tpu',
            'pallas',
            1,
            2**15,
            {},
            r"'pallas' needs about 37.0 MiB .* 32768 keys of size 128, and may use 16; use",
        ),
    ],
)
def test_what_an_implementation_cannot_do_is_refused(
    monkeypatch, platform, implementation, heads, length, options, expected
):
    monkeypatch.setattr(attention_module, '_platform', lambda: platform)
    q, k = (jax.ShapeDtypeStruct((1, length, n, 128), jnp.bfloat16) for n in (2, heads))
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)

    def attend(implementation, q, k, ids):
        arrays = {
            name: jnp.zeros(value) if isinstance(value, tuple) else value for name, value in options.items()
        }
        return attention(
            q, k, k, q_segments_BT=ids, kv_segments_BS=ids, **arrays, implementation=implementation
        )

    with pytest.raises(ValueError, match=expected):
        jax.eval_shape(functools.partial(attend, implementation), q, k, ids)
    if implementation == 'pallas':
        assert 'pallas_call' not in str(jax.make_jaxpr(functools.partial(attend, 'auto'))(q, k, ids))


GROUPED = {'window': (16, 0), 'soft_cap': 50.0}


@pytest.mark.parametrize('heads, bias, options, kernels', [(2, (2, 256), {}, 4), (1, None, GROUPED, 3)])
def test_pallas_kernels_lower_to_triton(monkeypatch, heads, bias, options, kernels):
    monkeypatch.setattr(attention_module, '_platform', lambda: 'gpu')
    text = lowered_for_gpu(128, heads, bias, {**options, 'implementation': 'pallas'})
    assert text.count('triton') >= kernels


@pytest.mark.parametrize('heads, bias, options', [(2, (2, 256), {}), (1, None, {'window': (16, 0)})])
def test_cudnn_takes_bias_and_mask(monkeypatch, heads, bias, options):
    monkeypatch.setattr(attention_module, '_platform', lambda: 'gpu')
    # There is none here.
    monkeypatch.setattr('jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version', lambda: 91300)
    text = lowered_for_gpu(128, heads, bias, {**options, 'implementation': 'cudnn'})
    assert '__cudnn$fmhaScaleBiasSoftmaxBackward' in text


def lowered_for_gpu(length, heads, bias, options):
    q, k = (jax.ShapeDtypeStruct((1, length, n, 64), jnp.bfloat16) for n in (2, heads))
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
    bias = bias and jax.ShapeDtypeStruct(bias, jnp.float32)
    traced = jax.jit(jax.grad(functools.partial(total, options), argnums=(0, 1, 2))).trace(q, k, bias, ids)
    return traced.lower(lowering_platforms=('cuda',)).as_text()


def total(options, q, k, bias, ids, **arrays):
    out = attention(
        q, k, k, q_segments_BT=ids, kv_segments_BS=ids, bias=bias, causal=True, **arrays, **options
    )
    return out.astype(jnp.float32).sum()


class Shape(NamedTuple):
    """Of one of the models; a window comes as two scalars."""

    topology: str
    mesh: tuple[int, int, int]
    rows: int
    length: int
    heads: tuple[int, int]
    size: int
    bias: bool = False
    window: bool = False
    source: int = 0
    soft_cap: float = 0.0


@pytest.mark.parametrize(
    'shape',
    [
        pytest.param(Shape('v4:2x2x1', (1, 2, 2), 4, 256, (2, 2), 64, bias=True), id='T5 on v4'),
        pytest.param(Shape('v6e:2x2', (1, 2, 2), 4, 256, (2, 2), 64, bias=True), id='T5 on v6e'),
        pytest.param(Shape('v4:2x2x1', (1, 1, 1), 1, 2048, (32, 8), 128), id='Llama 3'),
        pytest.param(
            Shape('v4:2x2x1', (1, 1, 1), 1, 2048, (8, 4), 256, window=True, soft_cap=50.0), id='Gemma 2 and 3'
        ),
        pytest.param(
            Shape('v4:2x2x1', (1, 1, 1), 1, 256, (8, 4), 256, window=True, source=1024), id='T5Gemma 2'
        ),
    ],
)
def test_pallas_kernels_compile_for_tpu(monkeypatch, shape):
    pytest.importorskip('libtpu', reason='the TPU compiler is in libtpu: pip install libtpu')
    monkeypatch.setenv('TPU_SKIP_MDS_QUERY', '1')
    monkeypatch.setenv('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
    devices = topologies.get_topology_desc(platform='tpu', topology_name=shape.topology).devices
    devices = np.array(devices[: np.prod(shape.mesh)]).reshape(shape.mesh)
    rules = partitioning.Partitioner(
        jax.sharding.Mesh(devices, partitioning.MESH_AXES), partitioning.standard_logical_axis_rules()
    )

    def struct(shape, dtype, sharding):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    heads = rules.sharding(('batch', 'length', 'heads', 'kv'))
    (H, G), B, T = shape.heads, shape.rows, shape.length
    q, k, kept = (
        struct((B, n, heads_, shape.size), jnp.bfloat16, heads)
        for n, heads_ in ((T, H), (T, G), (shape.source, G))
    )
    ids, kept_ids = (struct((B, n), jnp.int32, rules.batch) for n in (T, shape.source))
    scalar = struct((), jnp.int32, rules.replicated)
    arrays = {
        'window': (scalar, scalar) if shape.window else None,
        'source': (kept, kept, kept_ids) if shape.source else None,
    }
    bias = struct((H, 2 * T), jnp.float32, rules.replicated) if shape.bias else None
    options = {'implementation': 'pallas', 'soft_cap': shape.soft_cap}
    gradients = jax.grad(functools.partial(total, options), argnums=(0, 1, 2))
    with activations.activation_rules(rules):
        compiled = jax.jit(gradients).lower(q, k, bias, ids, **arrays).compile()
    assert compiled.as_text().count('tpu_custom_call') >= 2


def test_meshes_give_the_same():
    # The latter compiles sooner.
    flags = '--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0'
    environment = os.environ | {
        'XLA_FLAGS': flags,
        'JAX_PLATFORMS': 'cpu',
        'PYTHONPATH': os.pathsep.join(sys.path),
    }
    done = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == ['8 devices', *(' '.join(run) for run in ON_MESH)]


# Heads of keys divide over the mesh, but for those of 'layers'.
ON_MESH = [('prefix', 'tpu'), ('everything', 'blockwise'), ('layers', 'blockwise')]


def check_meshes():
    """Compare with the plain one where the data axis has 2 devices and the model axis 2 (heads)."""
    partitioner = partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(2, 2)))
    print(jax.device_count(), 'devices')
    for case, implementation in ON_MESH:
        expected = plain(case)
        with pytest.MonkeyPatch.context() as monkeypatch, activations.activation_rules(partitioner):
            got = outcome(case, use(monkeypatch, implementation))
        assert_close(got, expected, 1e-4)
        assert len(got['q'].sharding.device_set) == 4, 'the kernels ran on one device'
        print(case, implementation)


if __name__ == '__main__':
    check_meshes()
