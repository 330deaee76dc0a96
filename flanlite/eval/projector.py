"""A projector, which carries soft prompts from one model to another (Su et al. 2022)."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

WIDTH = 768  # between the two layers, as in the authors' code
STEPS, LEARNING_RATE = 300, 1e-3


def train(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """Train a projector on the prompts that two models have of the same tasks, by the squared distance
    between what it makes of the one and the other ("distance minimizing").

    It is two linear maps with a leaky ReLU between them, and takes a prompt as one vector, as in the paper.

    Args:
        ours: prompts [P, D] of the model that they come from, all alike in shape.
        theirs: prompts [P', D'] of the model that they go to, in the same order.
        seed: of the first values.

    Returns:
        A function of a prompt of the first model.
    """
    x_NI, y_NO = (np.stack([prompt.ravel() for prompt in side]).astype(np.float32) for side in (ours, theirs))
    first, second = jax.random.split(jax.random.key(seed))
    scale = jax.nn.initializers.lecun_normal()
    params = (
        scale(first, (x_NI.shape[1], WIDTH), jnp.float32),
        jnp.zeros((1, WIDTH), jnp.float32),
        scale(second, (WIDTH, y_NO.shape[1]), jnp.float32),
        jnp.zeros((1, y_NO.shape[1]), jnp.float32),
    )
    optimizer = optax.adam(LEARNING_RATE)

    def project(params: tuple[jax.Array, ...], x_NI: jax.Array) -> jax.Array:
        return jax.nn.leaky_relu(x_NI @ params[0] + params[1]) @ params[2] + params[3]

    def step(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
        params, state = carry
        loss, gradient = jax.value_and_grad(lambda params: jnp.mean((project(params, x_NI) - y_NO) ** 2))(
            params
        )
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), loss

    (params, _), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, length=STEPS))(
        (params, optimizer.init(params))
    )
    shape = theirs[0].shape
    return lambda prompt_PD: np.asarray(project(params, prompt_PD.reshape(1, -1))).reshape(shape)
