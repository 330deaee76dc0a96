import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flanlite.model.attention.attention import DecodingCache, attention, segment_mask

B, T, S, H, K = 2, 5, 7, 3, 4
attend = jax.jit(attention, static_argnames='causal')


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(B, n, H, K)).astype(np.float32) for n in (T, S, S))
    bias = rng.normal(size=(H, T, S)).astype(np.float32)
    q_segments = np.array([[1, 1, 2, 2, 0], [1, 1, 1, 1, 1]])
    kv_segments = np.array([[1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1, 1]])
    return q, k, v, bias, q_segments, kv_segments


def reference(q, k, v, bias, mask):
    """Attend one query and head at a time, leaving masked keys out altogether."""
    out = np.zeros((B, T, H, K), np.float32)
    for b, t, h in np.ndindex(B, T, H):
        keys = np.flatnonzero(mask[b, t])
        if len(keys):
            logits = np.array([q[b, t, h] @ k[b, s, h] + bias[h, t, s] for s in keys])
            weights = np.exp(logits - logits.max())
            out[b, t, h] = (weights / weights.sum()) @ np.asarray(v[b, keys, h])
    return out


@pytest.mark.parametrize('causal', [False, True])
def test_attention_leaves_other_segments_padding_and_the_future_out(inputs, causal):
    q, k, v, bias, q_segments, kv_segments = inputs
    got = attend(q, k, v, q_segments_BT=q_segments, kv_segments_BS=kv_segments, bias=bias, causal=causal)
    mask = (q_segments[:, :, None] == kv_segments[:, None, :]) & (kv_segments[:, None, :] > 0)
    if causal:
        mask &= np.arange(S)[None, None] <= np.arange(T)[None, :, None]
    np.testing.assert_array_equal(segment_mask(q_segments, kv_segments, causal=causal), mask)
    sees = mask.any(axis=-1)
    np.testing.assert_allclose(
        np.asarray(got)[sees], reference(q, k, v, bias, mask)[sees], rtol=1e-5, atol=1e-6
    )
    assert np.isfinite(got).all(), 'a query that sees nothing must stay finite'


def test_bias_gradient_sums_over_rows(inputs):
    q, k, v, bias, q_segments, kv_segments = inputs

    def total(bias, weight):
        out = attention(q, k, v, q_segments_BT=q_segments, kv_segments_BS=kv_segments, bias=bias)
        return jnp.sum(jnp.square(out) * weight[:, None, None, None])

    value_and_grad = jax.jit(jax.value_and_grad(total))
    whole = value_and_grad(bias, np.ones(B, np.float32))[1]
    parts = sum(value_and_grad(bias, row)[1] for row in np.eye(B, dtype=np.float32))
    np.testing.assert_allclose(whole, parts, rtol=1e-5, atol=1e-6)
    nudge = np.zeros_like(bias)
    nudge[0, 1, 1] = 1e-2
    ahead, behind = (value_and_grad(bias + sign * nudge, np.ones(B, np.float32))[0] for sign in (1, -1))
    np.testing.assert_allclose(whole[0, 1, 1], (ahead - behind) / 2e-2, rtol=2e-2)


def test_low_precision_inputs_are_softmaxed_in_float32():
    q = np.full((1, 1, 1, 64), 8.0, jnp.bfloat16)
    k = np.ones((1, 2, 1, 64), jnp.bfloat16)
    k[0, 1, 0, 0] = 1.125  # logits 512 and 513, which bfloat16 cannot tell apart
    v = np.array([0.0, 1.0], jnp.bfloat16).reshape(1, 2, 1, 1)
    ones = np.ones((1, 2), np.int32)
    got = attend(q, k, v, q_segments_BT=ones[:, :1], kv_segments_BS=ones)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.item(), 1 / (1 + np.exp(-1.0)), rtol=1e-2)


def test_cache_repeats_and_reorders_rows():
    L = 2
    arrays = [np.arange(L * B * 6.0, dtype=np.float32).reshape(L, B, 3, 1, 2) for _ in range(4)]
    cache = DecodingCache(jnp.int32(1), np.arange(B), np.arange(B * 4).reshape(B, 4), *arrays)

    @jax.jit
    def run(cache):
        repeated = cache.repeat(2)
        written = repeated.write(
            jnp.int32(1), jnp.full((4, 1, 1, 2), -1.0), jnp.arange(8.0).reshape(4, 1, 1, 2)
        )
        return repeated, written, written.read(1), written.reorder(jnp.asarray([1, 1, 2, 2]))

    repeated, written, (_, value_BTHK), taken = jax.tree.map(np.asarray, run(cache))
    assert repeated.key_LBTGK.shape == (L, 4, 3, 1, 2)
    np.testing.assert_array_equal(repeated.first_B, [0, 0, 1, 1])
    np.testing.assert_array_equal(repeated.source_segments_BS[0], repeated.source_segments_BS[1])
    assert (written.key_LBTGK[1, :, 1] == -1.0).all()
    assert (written.key_LBTGK == -1.0).sum() == 8
    np.testing.assert_array_equal(value_BTHK[:, 1, 0, 0], [0, 2, 4, 6])
    np.testing.assert_array_equal(taken.value_LBTGK[1, :, 1, 0, 0], [2, 2, 4, 4])
    np.testing.assert_array_equal(taken.source_key_LBSGK, repeated.source_key_LBSGK)
