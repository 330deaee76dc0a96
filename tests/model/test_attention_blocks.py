"""Every implementation that holds no scores, against the plain one; the kernels in Pallas's interpreter."""

import functools
import os
import subprocess
import sys
import types

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

B, H, K = 2, 2, 12
CASES = {  # T, S, causal, prefix, with a bias, dtype
    'bidirectional': (37, 53, False, False, True, 'float32'),
    'causal': (37, 37, True, False, True, 'float32'),
    'prefix': (53, 37, True, True, True, 'float32'),
    'cross': (37, 53, False, False, False, 'float32'),
    'bfloat16': (37, 37, True, True, True, 'bfloat16'),
}
FEW = ('bidirectional', 'prefix', 'bfloat16')  # of the kernels, which take seconds to interpret
SLACK = {'float32': 3e-5, 'bfloat16': 2e-2}


def interpreted(kernels):
    return blocks.Kernels(*(functools.partial(kernel, interpret=True) for kernel in kernels))


def use(monkeypatch, implementation):
    """Use an implementation here, in small blocks, and return its name; 'tpu' and 'gpu' are the kernels, as
    if that platform were here.
    """
    monkeypatch.setattr(attention_module, 'BLOCKWISE', (blockwise.KERNELS, (16, 16)))
    interpretable = {'tpu': (tpu, (128, 128)), 'gpu': (gpu, (16, 16))}
    pallas = {name: (interpreted(module.KERNELS), blocks) for name, (module, blocks) in interpretable.items()}
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
    T, S, causal, prefix, with_bias, dtype = CASES[case]
    rng = np.random.default_rng(0)
    q, k, v, weight = (jnp.asarray(rng.normal(size=(B, n, H, K)) / 2, dtype) for n in (T, S, S, T))
    bias = jnp.asarray(rng.normal(size=(H, T + S)), jnp.float32) if with_bias else None
    seen = {
        'q_segments_BT': packed(T),
        'kv_segments_BS': packed(S),
        'kv_prefix_BS': rng.random((B, S)) < 0.3 if prefix else None,
    }
    mask_BTS = segment_mask(
        seen['q_segments_BT'], seen['kv_segments_BS'], causal=causal, kv_prefix_BS=seen['kv_prefix_BS']
    )
    weight *= jnp.asarray(mask_BTS.any(axis=-1), dtype)[:, :, None, None]

    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1, 2, 3), has_aux=True)
    def gradients(q, k, v, bias):
        out = attention(q, k, v, **seen, bias=bias, causal=causal, implementation=implementation)
        return jnp.sum((out * weight).astype(jnp.float32)), out

    grads, out = gradients(q, k, v, bias)
    assert np.isfinite(np.asarray(out, np.float32)).all()
    return {
        'out': out * (weight != 0),
        **{name: grad for name, grad in zip('qkvb', grads, strict=True) if grad is not None},
    }


@functools.lru_cache
def plain(case):
    return outcome(case, 'xla')


@pytest.mark.parametrize(
    'implementation, case',
    [('blockwise', case) for case in CASES] + [(p, c) for p in ('tpu', 'gpu') for c in FEW],
)
def test_equals_the_plain_one_forward_and_backward(monkeypatch, implementation, case):
    expected, got = plain(case), outcome(case, use(monkeypatch, implementation))
    assert expected.keys() == got.keys()
    for name, value in expected.items():
        assert got[name].dtype == value.dtype
        wanted = np.asarray(value, np.float32)
        atol = SLACK[CASES[case][-1]] * np.abs(wanted).max()
        np.testing.assert_allclose(np.asarray(got[name], np.float32), wanted, rtol=0, atol=atol, err_msg=name)


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


def test_bias_of_another_length_is_refused():
    x, ids = jnp.zeros((1, 4, 2, 16)), np.ones((1, 4), np.int32)
    with pytest.raises(ValueError, match=r'shape \(2, 4, 4\), expected \(2, 8\)'):
        attention(
            x,
            x,
            x,
            q_segments_BT=ids,
            kv_segments_BS=ids,
            bias=jnp.zeros((2, 4, 4)),
            implementation='blockwise',
        )


def test_pallas_kernels_lower_to_triton():
    x, ids = jax.ShapeDtypeStruct((1, 128, 1, 64), jnp.bfloat16), jax.ShapeDtypeStruct((1, 128), jnp.int32)

    def total(q, bias, ids):
        attend = functools.partial(blocks.attend, gpu.KERNELS, gpu.BLOCKS, causal=True)
        return attend(q, q, q, ids, ids, None, bias).astype(jnp.float32).sum()

    traced = jax.jit(jax.grad(total, argnums=(0, 1))).trace(
        x, jax.ShapeDtypeStruct((1, 256), jnp.float32), ids
    )
    assert traced.lower(lowering_platforms=('cuda',)).as_text().count('triton') >= 4


def test_cudnn_takes_bias_and_mask(monkeypatch):
    monkeypatch.setattr(attention_module, '_platform', lambda: 'gpu')
    # There is none here.
    monkeypatch.setattr('jax._src.cudnn.fused_attention_stablehlo.check_cudnn_version', lambda: 91300)
    x, ids = jax.ShapeDtypeStruct((1, 64, 2, 64), jnp.bfloat16), jax.ShapeDtypeStruct((1, 64), jnp.int32)

    def total(q, bias, ids):
        out = attention(
            q, q, q, q_segments_BT=ids, kv_segments_BS=ids, bias=bias, causal=True, implementation='cudnn'
        )
        return out.astype(jnp.float32).sum()

    traced = jax.jit(jax.grad(total, argnums=(0, 1))).trace(
        x, jax.ShapeDtypeStruct((2, 128), jnp.float32), ids
    )
    text = traced.lower(lowering_platforms=('cuda',)).as_text()
    assert '__cudnn$fmhaScaleBiasSoftmaxBackward' in text


@pytest.mark.parametrize('topology', ['v4:2x2x1', 'v6e:2x2'])
def test_pallas_kernels_compile_for_tpu(monkeypatch, topology):
    pytest.importorskip('libtpu', reason='the TPU compiler is in libtpu: pip install libtpu')
    monkeypatch.setenv('TPU_SKIP_MDS_QUERY', '1')
    monkeypatch.setenv('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
    devices = topologies.get_topology_desc(platform='tpu', topology_name=topology).devices[:4]
    mesh = jax.sharding.Mesh(np.array(devices).reshape(1, 2, 2), partitioning.MESH_AXES)
    rules = partitioning.Partitioner(mesh, partitioning.standard_logical_axis_rules())
    axes = ('batch', 'length', 'heads', 'kv')
    x = jax.ShapeDtypeStruct((4, 256, 2, 64), jnp.bfloat16, sharding=rules.sharding(axes))
    ids = jax.ShapeDtypeStruct((4, 256), jnp.int32, sharding=rules.batch)
    bias = jax.ShapeDtypeStruct((2, 512), jnp.float32, sharding=rules.replicated)

    def total(q, bias, ids):
        with activations.activation_rules(rules):
            out = attention(
                q,
                q,
                q,
                q_segments_BT=ids,
                kv_segments_BS=ids,
                bias=bias,
                causal=True,
                implementation='pallas',
            )
        return out.astype(jnp.float32).sum()

    compiled = jax.jit(jax.grad(total, argnums=(0, 1))).lower(x, bias, ids).compile()
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
    assert done.stdout.split() == ['8', 'blockwise', 'tpu']


def check_meshes():
    """Compare with the plain one where the data axis has 2 devices and the model axis 2 (heads)."""
    partitioner = partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(2, 2)))
    expected = plain('prefix')
    print(jax.device_count())
    for implementation in ('blockwise', 'tpu'):
        with pytest.MonkeyPatch.context() as monkeypatch, activations.activation_rules(partitioner):
            got = outcome('prefix', use(monkeypatch, implementation))
        for name, value in expected.items():
            np.testing.assert_allclose(
                np.asarray(got[name]), np.asarray(value), rtol=0, atol=1e-4, err_msg=name
            )
        assert len(got['q'].sharding.device_set) == 4, 'the kernels ran on one device'
        print(implementation)


if __name__ == '__main__':
    check_meshes()
