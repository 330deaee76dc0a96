"""PCGrad: the paper's algorithm, recomputed in numpy; in the train step, and in whole runs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import toy
from test_step import CONFIG, batch_of

from flanlite.data.mixing import mixtures
from flanlite.model import models
from flanlite.training import optimizers, pcgrad, step
from flanlite.training.journal import read_metrics
from flanlite.training.step import StepConfig

GROUPS = 3


def projected(grads, orders):
    """Algorithm 1 of Yu et al. 2020, on whole vectors: float64[K, N] and the order of each."""
    total = np.zeros(grads.shape[1])
    for group, order in enumerate(orders):
        own = grads[group].copy()
        for other in order:
            if other != group and own @ grads[other] < 0:
                own -= own @ grads[other] / (grads[other] @ grads[other]) * grads[other]
        total += own
    return total


def orders_of(seed, number, count):
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), number), pcgrad.ORDER)
    return [np.asarray(jax.random.permutation(own, count)) for own in jax.random.split(key, count)]


def flat(tree):
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


def test_the_projection_is_the_papers():
    random = np.random.default_rng(0)
    for seed in range(20):
        grads = random.normal(size=(5, 6)).astype(np.float32)
        grads[seed % 5] *= seed % 3  # of some steps, a group has no gradient
        tree = {'a': jnp.asarray(grads[:, :2]), 'b': jnp.asarray(grads[:, 2:].reshape(5, 2, 2))}
        got, conflicts = jax.jit(pcgrad.surgery)(tree, np.uint32(seed), np.int32(7))
        expected = projected(grads.astype(np.float64), orders_of(seed, 7, 5))
        np.testing.assert_allclose(flat(got), expected, rtol=1e-4, atol=1e-5)
        here = [number for number in range(5) if grads[number].any()]
        pairs = [(a, b) for a in here for b in here if a != b]
        assert float(conflicts) == pytest.approx(np.mean([grads[a] @ grads[b] < 0 for a, b in pairs]))
    # The order counts, and changes from step to step.
    assert len({tuple(map(tuple, orders_of(0, number, 5))) for number in range(5)}) == 5
    assert not np.allclose(*(flat(pcgrad.surgery(tree, np.uint32(0), np.int32(at))[0]) for at in (0, 3)))


@functools.cache
def compiled(frozen, num_groups, settings):
    optimizer = optimizers.Optimizer(optax.sgd(1.0), optax.constant_schedule(1.0), frozen)
    state = step.state.create(models.init_params(CONFIG, jax.random.key(0)), optimizer)
    fixed = {'config': CONFIG, 'optimizer': optimizer, 'settings': settings, 'num_groups': num_groups}
    return state, jax.jit(functools.partial(step.train_step, **fixed))


def gradient(batch, frozen=(), num_groups=0, **settings):
    """Return the gradient that a step hands to the optimizer, and its sums."""
    state, train_step = compiled(frozen, num_groups, StepConfig(**settings))
    after, sums = train_step(state, batch, np.uint32(3))
    return jax.tree.map(jnp.subtract, state.params, after.params), sums


@pytest.mark.parametrize('factor', ['NUM_REAL_TARGET_TOKENS', 'AVERAGE_PER_SEQUENCE'])
def test_a_step_projects_the_groups_parts_of_its_loss(factor):
    """Over the parameters that train alone; in microbatches as at once; several groups share a row."""
    batch, frozen = batch_of(), ('encoder/.*',)
    segments = np.repeat([[1, 1, 1, 2, 2, 2]], 16, axis=0) * (batch['decoder_target_tokens'] > 0)
    groups = np.random.default_rng(1).integers(0, GROUPS, (16, 6), dtype=np.int32)
    groups = np.where(segments == 1, groups[:, :1], groups[:, 3:4])
    batch |= {'decoder_segment_ids': segments.astype(np.int32), 'decoder_group_ids': groups}
    batch |= {'encoder_segment_ids': np.repeat([[1] * 6 + [2] * 6], 16, axis=0).astype(np.int32)}
    total, divided = batch['decoder_loss_weights'], {'loss_normalizing_factor': factor}
    count = total.sum() if factor.startswith('NUM') else sum(len(set(row) - {0}) for row in segments)
    parts = []
    for group in range(GROUPS):
        own = batch | {'decoder_loss_weights': total * (groups == group)}
        tokens = own['decoder_loss_weights'].sum()
        if not factor.startswith('NUM'):
            tokens = sum(len(set(segments[row][groups[row] == group]) - {0}) for row in range(16))
        # Its own step divides by its own tokens.
        parts.append(flat(gradient(own, frozen=frozen, **divided)[0]) * tokens / count)
    plain, _ = gradient(batch, frozen=frozen, **divided)
    np.testing.assert_allclose(np.sum(parts, axis=0), flat(plain), rtol=1e-3, atol=1e-6)
    # Apart enough to conflict.
    assert min(parts[a] @ parts[b] for a in range(3) for b in range(a)) < 0
    expected = projected(np.array(parts), orders_of(3, 0, GROUPS))
    for microbatches in (1, 4):
        got, sums = gradient(batch, frozen, GROUPS, pcgrad='tasks', microbatches=microbatches, **divided)
        np.testing.assert_allclose(flat(got), expected, rtol=1e-3, atol=2e-6)
        assert float(sums['gradient_norm']) == pytest.approx(np.linalg.norm(expected), rel=1e-4)
        assert float(sums['gradient_conflicts']) > 0
    assert not np.allclose(flat(plain), expected, rtol=1e-3, atol=2e-6)


def test_one_group_is_the_plain_step():
    batch = batch_of() | {'decoder_group_ids': np.zeros((16, 6), np.int32)}
    plain, _ = gradient(batch)
    alone, sums = gradient(batch, pcgrad='clusters', num_groups=1)
    np.testing.assert_allclose(flat(alone), flat(plain), rtol=1e-5, atol=1e-8)
    assert float(sums['gradient_conflicts']) == 0


def test_a_run_goes_on_bit_by_bit_and_reads_the_same_data(tmp_path):
    """With the average of the parameters; the clusters of the toy collection are its tasks."""
    settings = {'step.pcgrad': 'clusters', 'ema_decay': 0.9, 'log_every_steps': 1}
    whole, stopped, plain = (tmp_path / name for name in ('whole', 'stopped', 'plain'))
    toy.train(whole, 6, **settings)
    toy.train(stopped, 3, **settings)
    toy.train(stopped, 6, **settings)
    toy.train(plain, 6, log_every_steps=1)
    names = ('loss', 'gradient_norm', 'gradient_conflicts')
    ran, resumed = (
        [[each[name] for name in names] for each in read_metrics(folder)] for folder in (whole, stopped)
    )
    assert ran == resumed
    fills = [[each['encoder_fill'] for each in read_metrics(folder)] for folder in (whole, plain)]
    assert fills[0] == fills[1]
    # The first step's loss is before any update.
    assert ran[0][0] == next(iter(read_metrics(plain)))['loss']


def test_what_is_of_one_group_is_refused():
    entries = [mixtures.Entry('a', 'nli'), mixtures.Entry('b', 'nli'), mixtures.Entry('c')]
    assert pcgrad.number_groups(entries, 'clusters') == {'a': 0, 'b': 0, 'c': 1}
    assert pcgrad.number_groups(entries, 'tasks') == {'a': 0, 'b': 1, 'c': 2}
    assert pcgrad.number_groups(entries, None) == {}
    with pytest.raises(ValueError, match=r"pcgrad is 'clusters'.*one group, nli"):
        pcgrad.number_groups(entries[:2], 'clusters')
