"""Which neurons a soft prompt activates, as the code of Su et al. 2022 has it
(thunlp/Prompt-Transferability).
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

from flanlite.data.batches import batches
from flanlite.model import layers, models
from flanlite.model.models import ModelConfig


def activated(config: ModelConfig, params: models.Params) -> np.ndarray:
    """Return which neurons of the MLPs a model's soft prompt activates, where it alone is the input: bool[N],
    layer by layer.

    A neuron is one of the MLP's inner units, activated where the activation of its first branch is above 0,
    which for ReLU, GELU and SiLU is where its product is. They are read at the place that predicts the
    answer's first token: the decoder's first, or the prompt's last in a decoder alone.

    Args:
        config: the model's, with a soft prompt that all tasks share.
        params: its parameters.
    """
    config, prompt = config.replace(remat_policy='none'), config.prompt()
    lengths = (len(prompt), len(prompt) + 1)  # by their lengths, the two sides of a batch can be told apart
    batch = batches.CONVERTERS[config.converter].pad([(prompt, np.ones(1, np.int32))], lengths)
    place = int(np.argmax(batch['decoder_loss_weights'][0]))
    forward, found = _watched(config)
    found.clear()
    forward(params, batch)
    jax.effects_barrier()
    length = batch['decoder_target_tokens'].shape[1]
    return np.concatenate([product[0, place] > 0 for product in found if product.shape[1] == length])


@functools.lru_cache
def _watched(config: ModelConfig) -> tuple[Callable[..., jax.Array], list[np.ndarray]]:
    """Compile a forward pass, and return it with the list that it puts the MLPs' products into."""
    found: list[np.ndarray] = []

    def forward(params: models.Params, batch: models.Batch) -> jax.Array:
        with layers.watch_mlps(lambda product_BTF: found.append(np.asarray(product_BTF))):
            return models.bind(config, params)(batch)

    return jax.jit(forward), found
