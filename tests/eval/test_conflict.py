"""Task conflict, on a collection of three clusters in seconds: gradients, the matrix, jobs apart, bad input."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toyeval as toy

from flanlite.data.config import DataConfig
from flanlite.eval import conflict, loco
from flanlite.eval.conflict import ConflictConfig
from flanlite.mesh import partitioning
from flanlite.model import models
from flanlite.model.decoder_only import DecoderOnlyConfig
from flanlite.report import gradients, results
from flanlite.training import losses, parameters, task_gradients
from flanlite.training.config import TrainConfig
from flanlite.training.optimizers import Adafactor, make_optimizer
from flanlite.training.step import StepConfig, jit_gradient

DECODER = DecoderOnlyConfig(
    vocab_size=384, emb_dim=16, num_heads=2, num_layers=2, head_dim=8, mlp_dim=32, dropout_rate=0.0, dtype='float32',
)  # fmt: skip
CLUSTERS = ['nli', 'math', 'translation']
ALONE = [f'alone_{cluster}' for cluster in CLUSTERS]


def settings(folder, model=toy.CONFIG, **changes):
    """Make settings; changes of the training go by their paths."""
    own = {
        name: changes.pop(name)
        for name in ('clusters', 'only', 'pcgrad', 'every_steps', 'batches', 'seeds')
        if name in changes
    }
    train = TrainConfig(str(folder), DataConfig('toyeval', toy.LENGTHS, 4), Adafactor(0.01), 4, model)
    return ConflictConfig(train.replace(**changes), **{'batches': 2, **own})


@pytest.fixture(scope='module')
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp('conflict')
    return folder, conflict.conflict(settings(folder, pcgrad=True, every_steps=2))


def test_each_system_is_scored_on_each_cluster(done):
    folder, built = done
    shared = ['joint', 'joint_pcgrad', *ALONE]
    assert {result.held_out: result for result in built.results}.keys() == set(CLUSTERS)
    for cluster in CLUSTERS:
        systems = built.of(cluster)
        assert set(systems) == {'tuned', 'untuned', *shared}
        for system, result in systems.items():
            assert {task.cluster for task in result.tasks} == {cluster}
            own = system in ('joint', 'joint_pcgrad', f'alone_{cluster}')
            assert {task.level for task in result.tasks} == {'held_in' if own else 'held_out_cluster'}, system
    trained = {system: set(built.of('math')[system].trained) for system in ('tuned', *shared)}
    assert trained['joint'] == trained['joint_pcgrad'] == set(CLUSTERS)
    assert trained['tuned'] == {'nli', 'translation'} and trained['alone_nli'] == {'nli'}
    assert TrainConfig.load(folder / 'runs' / 'joint_pcgrad').step.pcgrad == 'clusters'
    # What is tuned once for all is the same model everywhere, and another than the other ones.
    made = {system: parameters.load_params(folder / 'runs' / system, toy.CONFIG) for system in shared}
    kernels = [float(jnp.sum(params['encoder']['layers']['mlp']['wo']['kernel'])) for params in made.values()]
    assert len(set(kernels)) == len(shared)


def test_the_report_has_the_matrix_and_the_cosines(done):
    folder, built = done
    kept = json.loads((folder / 'conflict.json').read_text())
    cell = next(row for row in kept['matrix'] if (row['system'], row['cluster']) == ('alone_nli', 'math'))
    scores = {
        name: [task.summary.mean for task in built.of('math')[name].tasks]
        for name in ('alone_nli', 'untuned')
    }
    assert cell['score'] == pytest.approx(np.mean(scores['alone_nli']))
    assert cell['gain'] == pytest.approx(np.mean(scores['alone_nli']) - np.mean(scores['untuned']))
    assert cell['low'] <= cell['gain'] <= cell['high']
    assert len(kept['matrix']) == 7 * 3
    steps = [0, 2, 4]
    assert list(dict.fromkeys(row['step'] for row in kept['cosines'])) == steps
    modules = {(row['module'], row['layer']) for row in kept['agreement']}
    assert {
        (None, None),
        ('decoder/mlp', None),
        ('decoder/mlp', 0),
        ('decoder/mlp', 1),
        ('token_embedder', None),
    } <= modules
    assert {row['cosines'] for row in kept['correlations']} == {
        *(f'step {step}' for step in steps),
        'mean over the steps',
    }
    assert {row['pairs'] for row in kept['correlations']} == {6}
    page = (folder / 'report.html').read_text()
    assert 'Task conflict' in page and 'nli alone' in page and 'All, PCGrad' in page
    assert (folder / 'results.json').is_file()


def test_what_is_done_is_not_done_again_and_jobs_merge(done, tmp_path, monkeypatch):
    folder, _ = done
    before = {
        path: path.stat().st_mtime_ns
        for path in [*folder.glob('*/*/result.json'), *folder.glob('gradients/*')]
    }
    assert len(before) == 3 * 7 + 3
    monkeypatch.setattr(conflict.run, 'train', None)
    monkeypatch.setattr(conflict.task_gradients, 'measure', None)
    conflict.conflict(settings(folder, pcgrad=True, every_steps=2))
    assert {path: path.stat().st_mtime_ns for path in before} == before
    whole, jobs = (
        {path.relative_to(folder) for path in before},
        [tmp_path / name for name in ('joint', 'rest')],
    )
    for own in whole:
        goes = jobs[own.parent.name not in ('joint', 'joint_pcgrad', 'untuned', 'gradients')] / own
        for beside in {own, own.with_name(results.RESAMPLES)}:
            if (folder / beside).is_file():
                goes.parent.mkdir(parents=True, exist_ok=True)
                goes.with_name(beside.name).write_bytes((folder / beside).read_bytes())
    merged = tmp_path / 'merged'
    loco.merge(list(map(str, jobs)), str(merged))
    assert {
        path.relative_to(merged) for path in [*merged.glob('*/*/result.json'), *merged.glob('gradients/*')]
    } == whole
    assert (merged / 'conflict.json').read_text() == (folder / 'conflict.json').read_text()


def test_a_job_does_its_part_and_more_seeds_follow(tmp_path):
    """Also of a decoder alone, and of two clusters."""
    made = settings(tmp_path, DECODER, clusters='nli,translation', only='nli', train_steps=1)
    conflict.conflict(made)
    found = {str(path.parent.relative_to(tmp_path)) for path in tmp_path.glob('*/*/result.json')}
    assert found == {'nli/tuned', 'nli/alone_nli', 'translation/alone_nli'}
    built = conflict.conflict(made.replace(only=('joint',)))
    assert set(built.of('translation')) == {'untuned', 'joint', 'alone_nli'}
    measured = gradients.read(gradients.folder_files(tmp_path)[-1])
    assert measured.step == 1 and measured.clusters == ('nli', 'translation')
    assert set(measured.modules) >= {'decoder/self_attention', 'decoder/mlp', 'decoder/token_embedder'}

    # Two seeds, asked for later, join what is done.
    built = conflict.conflict(made.replace(only=('joint',), seeds=2))
    other = tmp_path / 'other'
    one = settings(other, DECODER, clusters='nli,translation', only='joint', train_steps=1, seed=1)
    by_seed = built.by_seed['nli', 'joint']
    assert [result.seed for result in by_seed] == [0, 1]
    assert by_seed[1].tasks == conflict.conflict(one).of('nli')['joint'].tasks
    files = [tmp_path / 'gradients' / '1.npz', tmp_path / 'gradients' / '1_seed_1.npz']
    assert files == gradients.folder_files(tmp_path)[2:]
    first, second, alone = map(gradients.read, [*files, other / 'gradients' / '1.npz'])
    np.testing.assert_array_equal(second.products, alone.products)
    together = gradients.agreement(gradients.read_folder(tmp_path)[1])
    between = [gradients.agreement(each).between for each in (first, second)]
    assert together.between == pytest.approx(np.mean(between))
    assert together.reach == pytest.approx(12.7062 * abs(between[0] - between[1]) / 2, rel=1e-5)
    kept = json.loads((tmp_path / 'conflict.json').read_text())
    row = next(each for each in kept['agreement'] if (each['step'], each['module']) == (1, None))
    assert (row['between'], row['reach']) == (together.between, together.reach)
    cell = next(each for each in kept['matrix'] if (each['system'], each['cluster']) == ('joint', 'nli'))
    assert cell['score'] == pytest.approx(np.mean([result.tasks[0].summary.mean for result in by_seed]))
    assert '(mean of 2 seeds)' in (tmp_path / 'report.html').read_text()


@pytest.mark.parametrize('model', [toy.CONFIG, DECODER], ids=['t5', 'decoder'])
def test_products_are_those_of_the_gradients(model):
    """Recomputed with plain differentiation and numpy, by module and layer."""
    random = np.random.default_rng(0)
    partitioner = partitioning.make_partitioner(partitioning.MeshConfig(mesh_shape=(1, 1)))
    optimizer = make_optimizer(Adafactor(0.01), ('.*relpos_bias.*',))
    params = models.init_params(model, jax.random.key(0))

    def batch_of():
        tokens = random.integers(2, 384, (2, 6), dtype=np.int32)
        batch = {
            'decoder_input_tokens': np.pad(tokens[:, :-1], ((0, 0), (1, 0))),
            'decoder_target_tokens': tokens,
        }
        batch |= {'decoder_loss_weights': random.integers(0, 2, (2, 6)).astype(np.float32)}
        if model is DECODER:
            return batch | {'decoder_causal_attention': np.zeros((2, 6), np.int32)}
        return batch | {'encoder_input_tokens': random.integers(2, 384, (2, 5), dtype=np.int32)}

    def loss(params, batch):
        sums = losses.loss_sums(
            models.bind(model, params)(batch),
            batch['decoder_target_tokens'],
            batch['decoder_loss_weights'],
            1e-4,
        )
        return sums['objective'] / sums['weight_sum']

    batches = {task: [batch_of() for _ in range(4)] for task in 'ab'}
    gradient = jit_gradient(model, optimizer, StepConfig(), partitioner)
    told = []
    parts, products = task_gradients.measure(params, batches, gradient, partitioner, told.append)
    assert told == [1, 1]
    plain = jax.jit(jax.grad(loss))
    halves = [
        jax.tree.map(lambda one, other: one + other, plain(params, each[half]), plain(params, each[half + 1]))
        for half in (0, 2)
        for each in batches.values()
    ]
    vectors = {}
    for path, leaves in zip(
        [path for path, _ in jax.tree.leaves_with_path(params)],
        zip(*map(jax.tree.leaves, halves), strict=True),
        strict=True,
    ):
        names = [key.key for key in path]
        if 'relpos_bias' in names:
            continue  # frozen
        where = '/'.join([name for name in names[:-1] if name != 'layers'][:2])
        stack = np.stack(leaves)
        for layer in range(stack.shape[1]) if 'layers' in names else [-1]:
            own = stack[:, layer] if 'layers' in names else stack
            vectors.setdefault((where, layer), []).append(own.reshape(4, -1))
    assert set(parts) == set(vectors) and len(parts) == len(vectors)
    for part, found in zip(parts, products, strict=True):
        own = np.concatenate(vectors[part], axis=1).astype(np.float64)
        np.testing.assert_allclose(found.reshape(4, 4), own @ own.T, rtol=2e-4, atol=1e-7, err_msg=str(part))


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'clusters': 'nil,math'}, "unknown cluster 'nil'.*did you mean nli"),
        ({'clusters': 'nli'}, 'compare are nli; expected at least two'),
        ({'data.mixture.name': 'toyeval_copy'}, 'at least two of translation'),
        ({'only': 'jiont'}, "unknown part of the work 'jiont'.*did you mean joint"),
        ({'initial_checkpoint_path': 'nowhere'}, 'no checkpoint at .*nowhere'),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        conflict.conflict(settings(tmp_path / 'new', **changes))
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'batches': 3}, 'batches is 3, expected an even number'),
        ({'every_steps': 0}, 'every_steps is 0'),
        ({'step.pcgrad': 'tasks'}, 'set ConflictConfig.pcgrad'),
    ],
)
def test_settings_that_cannot_be(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        settings(tmp_path, **changes)


def test_results_of_other_settings_are_refused(done):
    for change, told in (({'batches': 4}, 'batches 2, now it is 4'), ({'every_steps': 1}, 'every_steps 2, now it is 1')):
        with pytest.raises(ValueError, match=f'has gradients of ConflictConfig.{told}; choose another MODEL_DIR'):
            conflict.conflict(settings(done[0], **({'pcgrad': True, 'every_steps': 2} | change)))
    with pytest.raises(ValueError, match=r'train\.train_steps was 4, now it is 5'):
        conflict.conflict(settings(done[0], train_steps=5))
