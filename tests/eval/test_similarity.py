import jax
import numpy as np
import pytest

from flanlite.eval import neurons, similarity
from flanlite.eval.similarity import SIMILARITIES, TaskEmbedding
from flanlite.model import models
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.model.llama import LlamaConfig
from flanlite.model.soft_prompt import SoftPrompt
from flanlite.model.t5 import T5Config

SIZES = {'vocab_size': 50, 'emb_dim': 16, 'num_heads': 2, 'head_dim': 8, 'mlp_dim': 12, 'dtype': 'float32'}
PROMPT = SoftPrompt(length=3)
CONFIGS = [
    T5Config(**SIZES, num_encoder_layers=1, num_decoder_layers=2, adapter=PROMPT, remat_policy='minimal'),
    DecoderOnlyConfig(**SIZES, num_layers=2, adapter=PROMPT),
    LlamaConfig(**SIZES, num_kv_heads=1, num_layers=2, windows=(0,), adapter=PROMPT),
]


def test_similarities_are_those_of_a_loop_over_tokens():
    rng = np.random.default_rng(0)
    one, other = (TaskEmbedding(rng.normal(size=(3, 4)), rng.random(10) < 0.5) for _ in range(2))
    pairs = [(a, b) for a in one.prompt_PD for b in other.prompt_PD]
    mean, other_mean = one.prompt_PD.sum(0) / 3, other.prompt_PD.sum(0) / 3
    both = sum(bool(a and b) for a, b in zip(one.neurons_N, other.neurons_N, strict=True))
    expected = {
        'average_cosine': mean @ other_mean / (np.sqrt(mean @ mean) * np.sqrt(other_mean @ other_mean)),
        'per_token_cosine': sum(a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs) / 9,
        'euclidean': 1 / (1 + np.sqrt(((one.prompt_PD - other.prompt_PD) ** 2).sum())),
        'per_token_euclidean': 1 / (1 + sum(np.sqrt(((a - b) ** 2).sum()) for a, b in pairs) / 9),
        'neuron_overlap': both / np.sqrt(one.neurons_N.sum() * other.neurons_N.sum()),
    }
    assert {name: of(one, other) for name, of in SIMILARITIES.items()} == pytest.approx(expected)


def test_prompts_are_weighted_by_their_similarities():
    prompts = [np.full((2, 2), value) for value in (1.0, 2.0, 4.0)]
    for similarities, expected in (((0.3, 0.1, -0.5), 1.25), ((-1.0, 0.0, -2.0), 7 / 3)):
        np.testing.assert_allclose(similarity.weighted_prompt(prompts, similarities), expected, rtol=1e-6)


@pytest.mark.parametrize('config', CONFIGS, ids=lambda config: type(config).__name__)
def test_a_neuron_counts_as_activated_where_it_changes_the_answer(config):
    """By another way: an inner unit of a ReLU's MLP that is not activated can be left out."""
    config = config.replace(mlp_activations=('relu',))
    params = models.init_params(config, jax.random.key(0))
    found = neurons.activated(config, params)
    assert found.shape == (24,) and 4 <= found.sum() <= 20  # of two layers of 12, some, not all
    assert not np.array_equal(found, neurons.activated(config, models.init_params(config, jax.random.key(1))))

    prompt = config.prompt()

    @jax.jit
    def first_logits(params):
        network = models.bind(config, params)
        cache = network.start_decoding(prompt[None], np.array([3], np.int32), 1)
        return network.decode_step(cache.first_B, cache)[0]

    logits = first_logits(params)
    layers = params['decoder']['layers']['mlp']['wo']
    kernel_LFD = layers['kernel']
    # The last layer alone is read at this place only; what others write is read by later layers, too.
    for neuron, active in enumerate(found[12:]):
        layers['kernel'] = kernel_LFD.at[1, neuron].set(0.0)
        assert (np.abs(first_logits(params) - logits).max() > 1e-6) == active
