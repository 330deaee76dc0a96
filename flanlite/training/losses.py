"""Cross entropy with z-loss, as sums and counts: these are added up over microbatches and devices, and
divided once.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp

# Divisors of a batch's loss that depend on the batch (t5x.losses.SpecialLossNormalizingFactor); a number is
# allowed, too.
NORMALIZING_FACTORS = ('NUM_REAL_TARGET_TOKENS', 'NUM_TOTAL_TARGET_TOKENS', 'AVERAGE_PER_SEQUENCE')


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def cross_entropy_with_logits(
    logits_BTV: jax.Array, targets_BT: jax.Array, z_loss: float = 0.0, label_smoothing: float = 0.0
) -> tuple[jax.Array, jax.Array]:
    """Compute the loss of every token as t5x.losses.cross_entropy_with_logits does.

    The backward pass keeps the logits and log_z_BT only, not one-hot targets or probabilities, which are as
    large as the logits.

    Args:
        logits_BTV: float32.
        targets_BT: token ids.
        z_loss: weight of log(Z)^2, which keeps the normaliser Z near 1.
        label_smoothing: share of the target's probability that is spread over the other tokens. The entropy
            of that distribution is subtracted from the loss, so that the least loss is 0.

    Returns:
        loss_BT, z-loss included, and z_loss_BT, which is for logging: it has no gradient.
    """
    return _forward(logits_BTV, targets_BT, z_loss, label_smoothing)[0]


def _smoothed(label_smoothing: float, vocab: int) -> tuple[float, float]:
    return 1.0 - label_smoothing, label_smoothing / (vocab - 1)


def _is_target(logits_BTV: jax.Array, targets_BT: jax.Array) -> jax.Array:
    return jax.lax.broadcasted_iota(jnp.int32, logits_BTV.shape, 2) == targets_BT[..., None]


def _forward(logits_BTV: jax.Array, targets_BT: jax.Array, z_loss: float, label_smoothing: float) -> tuple:
    log_z_BT = jax.nn.logsumexp(logits_BTV, axis=-1)
    target_logit_BT = jnp.sum(jnp.where(_is_target(logits_BTV, targets_BT), logits_BTV, 0.0), axis=-1)
    if label_smoothing:
        vocab = logits_BTV.shape[-1]
        on, off = _smoothed(label_smoothing, vocab)
        entropy = -(on * jnp.log(on) + (vocab - 1) * off * jnp.log(off))
        target_logit_BT = (on - off) * target_logit_BT + off * jnp.sum(logits_BTV, axis=-1) + entropy
    z_loss_BT = z_loss * jnp.square(log_z_BT)
    return (log_z_BT - target_logit_BT + z_loss_BT, z_loss_BT), (logits_BTV, targets_BT, log_z_BT)


def _backward(
    z_loss: float, label_smoothing: float, saved: tuple, cotangents: tuple
) -> tuple[jax.Array, None]:
    logits_BTV, targets_BT, log_z_BT = saved
    on, off = _smoothed(label_smoothing, logits_BTV.shape[-1])
    probs_BTV = jnp.exp(logits_BTV - log_z_BT[..., None])
    soft_targets_BTV = jnp.where(_is_target(logits_BTV, targets_BT), on, off)
    grad_BTV = (1.0 + 2.0 * z_loss * log_z_BT)[..., None] * probs_BTV - soft_targets_BTV
    return (cotangents[0][..., None] * grad_BTV).astype(logits_BTV.dtype), None


cross_entropy_with_logits.defvjp(_forward, _backward)


def normalization(factor: float | str, batch: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Compute the weights of tokens in the loss and the divisor, as
    t5x.losses.get_loss_normalizing_factor_and_weights does.

    Args:
        factor: a number, or one of `NORMALIZING_FACTORS`. NUM_REAL_TARGET_TOKENS divides by the sum of
            weights, NUM_TOTAL_TARGET_TOKENS by the number of target positions, padding included.
            AVERAGE_PER_SEQUENCE gives every sequence the same weight, however long its targets are, and
            divides by the number of sequences.
        batch: arrays under SeqIO's keys; a packed batch has `decoder_segment_ids`.

    Returns:
        weights_BT, and the divisor of the loss summed with these weights.
    """
    weights_BT = batch['decoder_loss_weights'].astype(jnp.float32)
    if factor == 'AVERAGE_PER_SEQUENCE':
        if 'decoder_segment_ids' in batch:
            segments_BT = batch['decoder_segment_ids']
            same_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
            totals_BT = jnp.einsum('BTS,BS->BT', same_BTS.astype(jnp.float32), weights_BT)
        else:
            totals_BT = jnp.sum(weights_BT, axis=-1, keepdims=True)
        weights_BT = jnp.where(weights_BT > 0.0, weights_BT / jnp.maximum(totals_BT, 1e-30), 0.0)
    elif factor == 'NUM_TOTAL_TARGET_TOKENS':
        return weights_BT, jnp.float32(weights_BT.size)
    elif factor not in NORMALIZING_FACTORS:
        return weights_BT, jnp.float32(factor)
    return weights_BT, jnp.sum(weights_BT)


def loss_sums(
    logits_BTV: jax.Array,
    targets_BT: jax.Array,
    weights_BT: jax.Array,
    z_loss: float = 0.0,
    label_smoothing: float = 0.0,
    objective_weights_BT: jax.Array | None = None,
) -> dict[str, jax.Array]:
    """Sum a batch's loss, z-loss, correct tokens and token weights.

    Args:
        logits_BTV: float32.
        targets_BT: token ids.
        weights_BT: 0 for tokens that do not count.
        z_loss: see `cross_entropy_with_logits`.
        label_smoothing: see `cross_entropy_with_logits`.
        objective_weights_BT: weights of the loss to differentiate; by default `weights_BT`. With axes before
            them, the objective has these, too.

    Returns:
        `objective`, the sum to differentiate; `loss`, `z_loss` and `accuracy`, which divided by `weight_sum`
        are means; `weight_sum`.
    """
    weights_BT = weights_BT.astype(jnp.float32)
    objective_weights_BT = weights_BT if objective_weights_BT is None else objective_weights_BT
    loss_BT, z_loss_BT = cross_entropy_with_logits(logits_BTV, targets_BT, z_loss, label_smoothing)
    correct_BT = jnp.argmax(logits_BTV, axis=-1) == targets_BT
    return {
        'objective': jnp.sum(
            jnp.broadcast_to(loss_BT, objective_weights_BT.shape) * objective_weights_BT, (-2, -1)
        ),
        'loss': jnp.sum(loss_BT * weights_BT),
        'z_loss': jnp.sum(z_loss_BT * weights_BT),
        'accuracy': jnp.sum(correct_BT * weights_BT),
        'weight_sum': jnp.sum(weights_BT),
    }


def target_log_likelihoods(logits_BTV: jax.Array, targets_BT: jax.Array, weights_BT: jax.Array) -> jax.Array:
    """Compute scores_B, the summed log-probability of each row's targets.

    Args:
        logits_BTV: float32.
        targets_BT: token ids.
        weights_BT: factor of each log-probability; 0 for tokens that do not count.
    """
    loss_BT, _ = cross_entropy_with_logits(logits_BTV, targets_BT)
    return -jnp.sum(loss_BT * weights_BT.astype(jnp.float32), axis=-1)
