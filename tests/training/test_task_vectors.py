"""Task vectors, recomputed in numpy from the papers' definitions, on checkpoints of all formats."""

import json
import shutil
import tracemalloc
import weakref

import numpy as np
import pytest
import safetensors.numpy
import t5x_fixtures
import toy
from flax import traverse_util

from flanlite.cli import main as cli
from flanlite.config import to_json
from flanlite.data.tokens import vocabularies
from flanlite.eval.sweep import SweepConfig
from flanlite.model import adapters, models
from flanlite.model.linear_adapters import IA3, LoRA
from flanlite.training import lazy, locate, parameters, peft, released, task_vectors
from flanlite.training.base import fingerprint
from flanlite.training.lazy import LazyArray
from flanlite.training.parameters import Known
from flanlite.training.task_vectors import Method, Opened, TaskVector, Tuned

GRAIN = 2.0**-6  # all numbers are multiples of it, so that sums are exact, and magnitudes often equal


def drawn(config, seed, spread=64):
    """Draw parameters by name."""
    rng = np.random.default_rng(seed)
    flat = traverse_util.flatten_dict(models.abstract_params(config), sep='/')
    return {
        name: (rng.integers(-spread, spread, leaf.shape) * GRAIN).astype(np.float32)
        for name, leaf in sorted(flat.items())
    }


def as_lazy(arrays):
    return {name: lazy.from_numpy(array) for name, array in arrays.items()}


def as_file(path, arrays, config=toy.CONFIG, vocabulary='bytes', lengths=toy.LENGTHS):
    metadata = {'vocabulary': vocabulary, 'feature_lengths': lengths}
    parameters.save_arrays(path, as_lazy(arrays), config, 'float32', metadata)
    return str(path)


def as_folder(path, arrays, config=toy.CONFIG, vocabulary=None):
    released.write_huggingface(path, config, as_lazy(arrays), vocabulary)
    return str(path)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """A base and two tuned models: their parameters, and the paths of their checkpoints.

    Of the vectors, some numbers are zero, and those of one array much larger than the rest.
    """
    folder = tmp_path_factory.mktemp('made')
    base = drawn(toy.CONFIG, 0)
    arrays = {'base': base}
    for seed, name in enumerate(('one', 'two'), 1):
        change = drawn(toy.CONFIG, seed, spread=4)
        change['decoder/layers/mlp/wo/kernel'] *= 32
        arrays[name] = {key: base[key] + change[key] for key in base}
    paths = {
        'base': as_file(folder / 'base.safetensors', base),
        'one': as_folder(folder / 'one', arrays['one'], vocabulary=vocabularies.load('bytes')),
        'two': as_file(folder / 'two.safetensors', arrays['two']),
    }
    return arrays, paths


def added(paths, scales, scale=1.0, **method):
    """Return the parameters that come out, by name."""
    vectors = [TaskVector(paths[name], each) for name, each in scales.items()]
    opened = task_vectors.open_vectors(paths['base'], vectors, Method(**method))
    return {name: array.to_numpy() for name, array in opened.at(scale).items()}


def joined(arrays):
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


def difference(arrays, name):
    return joined(arrays[name]) - joined(arrays['base'])


def ties(vectors, density):
    """TIES as the paper defines it, on whole vectors."""
    trimmed = []
    for vector in vectors:
        place = len(vector) - int(len(vector) * density)
        least = np.sort(np.abs(vector))[place - 1] if place else 0
        trimmed.append(np.where(np.abs(vector) >= least, vector, 0))
    trimmed = np.array(trimmed)
    agrees = (np.sign(trimmed) == np.sign(trimmed.sum(axis=0))) & (trimmed != 0)
    return (trimmed * agrees).sum(axis=0) / np.maximum(agrees.sum(axis=0), 1)


@pytest.mark.parametrize(
    ('scales', 'scale'),
    [({'one': 1.0}, 0.5), ({'one': -1.0}, 0.25), ({'one': 1.0, 'two': -0.5}, 1.0)],
    ids=['add', 'negate', 'analogy'],
)
def test_sums_are_those_of_numpy(made, scales, scale):
    arrays, paths = made
    expected = joined(arrays['base']) + scale * sum(
        each * difference(arrays, name) for name, each in scales.items()
    )
    np.testing.assert_array_equal(joined(added(paths, scales, scale)), expected)


@pytest.mark.parametrize('density', [0.01, 0.2, 0.77, 1.0])
def test_ties_is_the_papers(made, density):
    arrays, paths = made
    vectors = [difference(arrays, name) for name in ('one', 'two')]
    found = added(paths, {'one': 1.0, 'two': 1.0}, 0.5, name='ties', density=density)
    expected = ties(vectors, density)
    assert (np.sum(vectors, axis=0) == 0).any() and (expected != np.mean(vectors, axis=0)).any()
    np.testing.assert_array_equal(joined(found), joined(arrays['base']) + 0.5 * expected)
    weighed = added(paths, {'one': 1.0, 'two': -2.0}, name='ties', density=1.0)
    expected = ties([vectors[0], -2 * vectors[1]], 1.0)
    np.testing.assert_array_equal(joined(weighed), joined(arrays['base']) + expected)


def test_dare_drops_at_random_and_rescales(made):
    arrays, paths = made
    each = {}
    for name, scales in {'one': {'one': 1, 'two': 0}, 'two': {'one': 0, 'two': 1}}.items():
        vector = difference(arrays, name)
        each[name] = joined(added(paths, scales, name='dare', drop=0.75)) - joined(arrays['base'])
        stays = each[name][vector != 0] != 0
        np.testing.assert_array_equal(each[name], np.where(each[name] != 0, 4 * vector, 0))
        assert abs(stays.mean() - 0.25) < 4 * np.sqrt(0.25 * 0.75 / len(stays))
    both = {'one': 1, 'two': 1}
    total = joined(added(paths, both, name='dare', drop=0.75))
    np.testing.assert_array_equal(total, joined(arrays['base']) + each['one'] + each['two'])
    overlap = ((each['one'] != 0) & (each['two'] != 0)).mean()
    assert 0.02 < overlap < 0.09, 'the two are drawn apart'
    other = joined(added(paths, both, name='dare', drop=0.75, seed=1))
    assert not np.array_equal(other, total)
    trimmed = joined(added(paths, both, name='dare_ties', drop=0.75, density=0.1))
    np.testing.assert_array_equal(trimmed, joined(arrays['base']) + ties([*each.values()], 0.1))


def test_a_part_is_as_in_the_whole(made):
    _, paths = made
    vectors = [TaskVector(paths[name]) for name in ('one', 'two')]
    opened = task_vectors.open_vectors(paths['base'], vectors, Method('dare_ties', drop=0.5)).at(1.0)
    for name, index in {
        'token_embedder/embedding': (slice(3, 9), slice(1, 5)),
        'decoder/decoder_norm/scale': (slice(2, 7),),
        'encoder/layers/mlp/wi_0/kernel': (slice(0, 1), slice(None), slice(4, 6)),
    }.items():
        np.testing.assert_array_equal(opened[name].read(index), opened[name].to_numpy()[index])


def test_an_adapters_vector_is_what_it_changes(made, tmp_path):
    """Two LoRAs and an (IA)3 add up."""
    arrays, paths = made
    folders, expected = {'base': paths['base']}, {**arrays['base']}
    for seed, adapter in enumerate((LoRA(rank=2, alpha=6.0), LoRA(('.*/wo',), rank=3), IA3(('.*/key',)))):
        config = toy.CONFIG.replace(adapter=adapter)
        own = {name: array for name, array in drawn(config, seed).items() if f'/{adapters.PART}/' in name}
        folders[seed] = str(tmp_path / str(seed))
        peft.write(tmp_path / str(seed), config, traverse_util.unflatten_dict(own, sep='/'), paths['base'])
        for name in own:
            linear, _, last = name.rpartition(f'/{adapters.PART}/')
            kernel = arrays['base'][f'{linear}/kernel']
            if last == 'lora_a':
                change = adapter.scale * own[name] @ own[name.replace('lora_a', 'lora_b')]
                expected[f'{linear}/kernel'] = expected[f'{linear}/kernel'] + change
            elif last == 'ia3':
                change = kernel * (own[name][:, None, :] - 1)
                expected[f'{linear}/kernel'] = expected[f'{linear}/kernel'] + change
    found = added(folders, {0: 1.0, 1: 1.0, 2: 1.0})
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-4, err_msg=name)
    changed = [name for name in found if not np.array_equal(found[name], arrays['base'][name])]
    assert len(changed) == 11, 'query, key and value of three attentions, the ends of two MLPs'


def test_runs_say_what_they_began_with(made, tmp_path, capsys):
    """A run, an adapter's run, a sweep's runs; the base may have moved, and another one is refused."""
    arrays, paths = made
    toy.train(tmp_path / 'sweep/nli/tuned', 1, initial_checkpoint_path=paths['base'])
    shutil.copytree(tmp_path / 'sweep/nli', tmp_path / 'sweep/math')
    sweep = SweepConfig(toy.settings(tmp_path / 'sweep', 1, initial_checkpoint_path=paths['base']))
    (tmp_path / 'sweep/settings.json').write_text(json.dumps(to_json(sweep)))
    lora = toy.CONFIG.replace(adapter=LoRA(rank=2))
    toy.train(tmp_path / 'lora', 2, model=lora, initial_checkpoint_path=paths['base'])
    moved = shutil.copy(paths['base'], tmp_path / 'moved.safetensors')
    out = tmp_path / 'out.safetensors'
    common = ['arithmetic', f'--output={out}', '--form=safetensors']
    assert (
        cli.main(
            [*common, f'--base={moved}', f'--add={tmp_path}/lora:2', f'--subtract={tmp_path}/sweep/nli/tuned']
        )
        == 0
    )
    run = {
        name: array.to_numpy()
        for name, array in parameters.open_arrays(tmp_path / 'sweep/nli/tuned', toy.CONFIG).items()
    }
    own = {name: array.to_numpy() for name, array in parameters.open_arrays(tmp_path / 'lora', lora).items()}
    written = safetensors.numpy.load_file(out)
    for name, array in written.items():
        expected = 2 * arrays['base'][name] - run[name]
        linear = name.removesuffix('/kernel')
        if f'{linear}/adapter/lora_a' in own:
            a, b = (own[f'{linear}/adapter/lora_{each}'] for each in 'ab')
            expected = expected + 2 * lora.adapter.scale * a @ b
        np.testing.assert_allclose(array, expected, atol=1e-5, err_msg=name)
    record = locate.file_metadata(out)['arithmetic']
    assert [each['scale'] for each in record['vectors']] == [2.0, -1.0]
    assert record['base']['fingerprint'] == fingerprint(as_lazy(arrays['base']))
    out.unlink()
    assert cli.main([*common, f'--sweep={tmp_path}/sweep', '--add=all:0.5']) == 0
    for name, array in safetensors.numpy.load_file(out).items():
        np.testing.assert_allclose(array, run[name], atol=1e-6, err_msg=name)
    out.unlink()
    argv = [f'--base={paths["two"]}', f'--add={tmp_path}/sweep/nli/tuned', f'--subtract={paths["base"]}']
    assert cli.main([*common, *argv]) == 0, 'what two others differ by'
    for name, array in safetensors.numpy.load_file(out).items():
        expected = arrays['two'][name] + run[name] - arrays['base'][name]
        np.testing.assert_allclose(array, expected, atol=1e-5, err_msg=name)
    out.unlink()
    capsys.readouterr()
    for argv, words in [
        ([f'--base={paths["two"]}', f'--add={tmp_path}/lora'], 'lora belongs to the model that was'),
        ([f'--base={paths["two"]}', f'--add={tmp_path}/sweep/nli/tuned'], 'tuned began with'),
        (
            [f'--base={paths["two"]}', f'--add={paths["one"]}', f'--subtract={tmp_path}/lora'],
            'lora belongs to',
        ),
        ([f'--sweep={tmp_path}/sweep', '--add=sentiment'], "held out 'sentiment'; it has math, nli"),
        ([f'--sweep={tmp_path}/lora', '--add=nli'], 'no tuned runs'),
    ]:
        assert cli.main([*common, *argv]) == cli.USAGE_ERROR
        assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_t5x_checkpoint_and_a_hugging_face_folder(tmp_path, capsys):
    """What no shape tells of the base is taken from the other; the folder is read again as any."""
    base = str(t5x_fixtures.checkpoint(t5x_fixtures.CHECKPOINTS['unscanned']))
    config = t5x_fixtures.CONFIG
    arrays = traverse_util.flatten_dict(t5x_fixtures.params(), sep='/')
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    tuned = as_folder(tmp_path / 'tuned', {name: array + 0.5 for name, array in arrays.items()}, config)
    out = tmp_path / 'out'
    argv = ['arithmetic', f'--base={base}', f'--add={tuned}', '--scale=0.5', f'--output={out}']
    assert cli.main(argv) == 0
    written = parameters.load_run(out)
    for name, array in traverse_util.flatten_dict(written.params, sep='/').items():
        np.testing.assert_allclose(array, arrays[name] + 0.25, atol=1e-5, err_msg=name)
    assert written.config.mlp_activations == config.mlp_activations
    record = json.loads((out / 'arithmetic.json').read_text())
    assert (record['scale'], record['vectors'][0]['checkpoint']) == (0.5, tuned)
    assert cli.main(argv) == cli.USAGE_ERROR
    assert 'expected a new or empty folder' in capsys.readouterr().err


@pytest.mark.parametrize('method', ['sum', 'ties', 'dare', 'dare_ties'])
def test_one_array_of_each_checkpoint_is_in_memory(method, tmp_path, monkeypatch):
    monkeypatch.setattr(lazy, 'BLOCK', 2**16)  # one of the four entries of an array
    shape, count = (4, 256, 256), 16
    size = 4 * int(np.prod(shape))
    given = {seed: [] for seed in range(4)}

    def checkpoint(seed):
        def array(number):
            def read(index):
                assert not any(earlier() is not None for earlier in given[seed])
                part = np.random.default_rng([seed, number]).random(shape, np.float32)[index].copy()
                given[seed].append(weakref.ref(part))
                return part

            return LazyArray(shape, read)

        return {f'array_{number}/kernel': array(number) for number in range(count)}

    tuned = tuple(Tuned(TaskVector(str(seed)), checkpoint(seed), None) for seed in (1, 2, 3))
    opened = Opened(Known(toy.CONFIG, None, None, {}, 0), checkpoint(0), tuned, Method(method), None, ())
    tracemalloc.start()
    try:
        parameters.save_arrays(tmp_path / 'out.safetensors', opened.at(0.5), toy.CONFIG, 'float32', {})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One of the base, one tuned, what is made of them, and 3 MB of counts; not the 16 of even one checkpoint.
    assert peak < 8 * size, f'{peak / size:.1f} arrays'
    assert all(len(refs) >= count for refs in given.values())


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (['--add={two}'], ['needs the model that was tuned', '--base']),
        (['--base={base}'], ['needs a task vector']),
        (['--base={base}', '--add=nowhere'], ['no checkpoint at', 'nowhere']),
        (['--base=nowhere', '--add={two}'], ['no checkpoint at', 'nowhere']),
        (['--base={base}', '--add={two}:half'], ["is 'half'; expected a number"]),
        (['--base={base}', '--add={two}:nan'], ["is 'nan'; expected a number"]),
        (['--base={base}', '--add={two}:inf'], ["is 'inf'; expected a number", 'finite']),
        (['--base={base}', '--add={two}', '--scale=-inf'], ["--scale is '-inf'", 'finite']),
        (['--base={base}', '--add={two}', '--scale=half'], ['--scale', 'half']),
        (['--base={base}', '--add={two}', '--scales=0,1'], ['--scales', '--mixture=NAME']),
        (['--base={base}', '--add={two}', '--scales=0,half'], ["--scales is 'half'"]),
        (['--base={base}', '--add={two}', '--scale=1', '--mixture=toy'], ['expected one of them']),
        (['--base={base}', '--add={two}', '--mixture=nothing'], ["unknown mixture or task 'nothing'"]),
        (['--base={base}', '--add={two}', '--method=mean'], ["'mean'", 'sum, ties, dare, dare_ties']),
        (['--base={base}', '--add={two}', '--method=ties', '--density=0'], ["--density is '0'", 'at most 1']),
        (['--base={base}', '--add={two}', '--method=ties', '--density=20'], ["--density is '20'"]),
        (['--base={base}', '--add={two}', '--method=dare', '--drop=1'], ["--drop is '1'"]),
        (['--base={base}', '--add={two}', '--density=0.5'], ['sum has no density', 'ties, dare_ties']),
        (['--base={base}', '--add={wide}'], ['mlp_dim is 64 in', 'and 32 in the base']),
        (['--base={base}', '--add={llama}'], ['is a LlamaConfig, and the base', 'T5Config']),
        (['--base={base}', '--subtract={pocket}'], ["vocabulary 'bytes'", "'pocket'", 'other text']),
        (['--base={base}', '--add={hole}'], ['token_embedder/embedding', 'not finite']),
        (['--base={base}', '--add={two}', '--form=peft'], ["form is 'peft'"]),
        (['--base={base}', '--add={two}', '--output=model'], ['model would be a file', '*.safetensors']),
    ],
)
def test_bad_input_is_one_clear_line(argv, words, made, tmp_path, capsys, others):
    paths = made[1] | others
    argv = [flag.format_map(paths) for flag in argv]
    form = [] if '--form=peft' in argv else ['--form=safetensors']
    out = tmp_path / 'out.safetensors'
    argv = ['arithmetic', *form, f'--output={out if form else tmp_path / "folder"}', *argv]
    assert cli.main(argv) == cli.USAGE_ERROR
    message = capsys.readouterr().err
    assert message.startswith('flanlite: error: ') and message.count('\n') == 1, message
    assert all(word in message for word in words), message
    assert not out.exists()


@pytest.fixture(scope='module')
def others(made, tmp_path_factory):
    """Checkpoints that do not fit the base."""
    from flanlite.model.llama import LlamaConfig

    folder = tmp_path_factory.mktemp('others')
    wide = toy.CONFIG.replace(mlp_dim=64)
    llama = LlamaConfig(
        vocab_size=384, emb_dim=16, num_heads=4, num_kv_heads=2, num_layers=1, head_dim=4, mlp_dim=32, dtype='float32'
    )  # fmt: skip
    hole = {name: array.copy() for name, array in made[0]['two'].items()}
    hole['token_embedder/embedding'][3, 3] = np.nan
    return {
        'wide': as_file(folder / 'wide.safetensors', drawn(wide, 0), wide),
        'llama': as_file(folder / 'llama.safetensors', drawn(llama, 0), llama),
        'pocket': as_file(folder / 'pocket.safetensors', made[0]['two'], vocabulary='pocket'),
        'hole': as_file(folder / 'hole.safetensors', hole),
    }
