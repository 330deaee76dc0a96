"""Models with parameters drawn at random, and their loss, for tests."""

import jax
import numpy as np

from flanlite.model import models
from flanlite.training import losses


def randomly(config):
    """Draw all parameters of a model, the same each time."""
    rng = np.random.default_rng(1)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape, scale=0.3).astype(np.float32), models.abstract_params(config)
    )


def loss_of(config, params, batch):
    """Compute the mean loss of a batch's target tokens, with exact products."""
    with jax.default_matmul_precision('highest'):
        logits = models.bind(config, params)(batch)
    sums = losses.loss_sums(logits, batch['decoder_target_tokens'], batch['decoder_loss_weights'])
    return sums['loss'] / sums['weight_sum']
