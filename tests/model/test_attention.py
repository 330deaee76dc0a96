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


def reference(q, k, v, mask, bias=None, soft_cap=None):
    """Attend one query and head at a time, leaving masked keys out altogether."""
    out = np.zeros(q.shape, np.float32)
    for b, t, h in np.ndindex(q.shape[:3]):
        keys, g = np.flatnonzero(mask[b, t]), h // (q.shape[2] // k.shape[2])
        if len(keys):
            logits = np.array([q[b, t, h] @ k[b, s, g] for s in keys])
            if soft_cap:
                logits = soft_cap * np.tanh(logits / soft_cap)
            if bias is not None:
                logits += bias[h, t, keys]
            weights = np.exp(logits - logits.max())
            out[b, t, h] = (weights / weights.sum()) @ v[b, keys, g]
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
        np.asarray(got)[sees], reference(q, k, v, mask, bias)[sees], rtol=1e-5, atol=1e-6
    )
    assert np.isfinite(got).all(), 'a query that sees nothing must stay finite'


@pytest.mark.parametrize(
    'causal, prefix, alone, window, source, soft_cap',
    [
        (True, False, False, None, False, None),
        (False, False, False, (3, 2), False, None),
        (True, True, True, (4, 4), False, 2.0),
        (True, False, True, (2, 2), True, 3.0),
    ],
)
def test_grouped_heads_windows_soft_caps_and_a_source(causal, prefix, alone, window, source, soft_cap):
    T, H, G = 17, 6, 2
    rng = np.random.default_rng(0)
    q, k, v, source_k, source_v = (
        rng.normal(size=(B, n, heads, K)).astype(np.float32)
        for n, heads in ((T, H), (T, G), (T, G), (S, G), (S, G))
    )
    segments = np.stack([np.repeat([1, 2, 0], [6, 8, 3]), np.ones(T, int)])
    source_segments = np.array([[1, 1, 2, 2, 2, 0, 0], [1] * S])
    is_prefix, is_alone = np.arange(T) < 3, np.isin(np.arange(T), (1, 8))
    mask = np.zeros((B, T, T), bool)
    for b, t, s in np.ndindex(mask.shape):
        sees = not causal or s <= t or (prefix and is_prefix[s])
        if window:
            sees &= -window[0] <= s - t <= window[1]
        if alone and is_alone[s]:
            sees = s == t
        mask[b, t, s] = sees and segments[b, t] == segments[b, s] > 0
    got = attention(
        q,
        k,
        v,
        q_segments_BT=segments,
        kv_segments_BS=segments,
        causal=causal,
        kv_prefix_BS=np.tile(is_prefix, (B, 1)) if prefix else None,
        kv_alone_BS=np.tile(is_alone, (B, 1)) if alone else None,
        window=window,
        source=(source_k, source_v, source_segments) if source else None,
        soft_cap=soft_cap or 0.0,
    )
    if source:
        k, v = np.concatenate([k, source_k], axis=1), np.concatenate([v, source_v], axis=1)
        mask = np.concatenate([mask, segments[:, :, None] == source_segments[:, None]], axis=2)
    real = segments > 0
    expected = reference(q, k, v, mask, soft_cap=soft_cap)
    np.testing.assert_allclose(np.asarray(got)[real], expected[real], rtol=1e-5, atol=2e-6)


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
