"""OPT-IML: its parts, shares and caps, and its run file, without data."""

import collections

import pytest

import flanlite
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.eval.sweep import Sweep
from flanlite.mixtures import flan2021
from flanlite.model.llama import LlamaConfig

SHARES = {'flan': 0.20, 'promptsource': 0.45, 'natural_instructions': 0.25, 'reasoning': 0.01}
RUN = 'gin/runs/opt_iml.gin'


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv('FLANLITE_DATA_DIR', raising=False)


def test_shares_and_caps_are_the_papers():
    mixture = mixtures.resolve('opt_iml')
    parts = {entry.task: entry.part.name for entry in mixture.entries}
    counts = collections.Counter(parts.values())
    assert set(counts) == set(SHARES), 'the final models have no dialogues'
    assert counts['reasoning'] == 9 and counts['natural_instructions'] > 1_500
    assert {task for task, part in parts.items() if part == 'flan'} == {
        entry.task for entry in mixtures.resolve('flan2021').entries
    }
    assert {(entry.part.name == 'flan', entry.max_rate, entry.max_examples) for entry in mixture.entries} == {
        (True, 4_096, 30_000),
        (False, 4_096, 100_000),
    }
    sizes = {task: 100 * place for place, task in enumerate(parts, 1)}
    rates, sums = mixtures.rates(mixture, sizes), collections.Counter()
    for task, rate in rates.items():
        sums[parts[task]] += rate
    assert sums == pytest.approx(SHARES)
    first = [task for task, part in parts.items() if part == 'flan']
    capped = [min(sizes[task], 4_096) for task in first]
    assert [rates[task] for task in first] == pytest.approx([0.2 * size / sum(capped) for size in capped])
    assert set(flan2021.COLLECTION.clusters()) < {entry.cluster for entry in mixture.entries}


def test_another_folder_is_listed_anew(tmp_path):
    assert len(mixtures.resolve('opt_iml').entries) > 1_600
    folder = tmp_path / 'super_natural_instructions' / 'tasks'
    folder.mkdir(parents=True)
    (folder / 'task9001_mine.json').write_text('{"Categories": ["Mathematics"]}')
    for name in ('flan2022', 'opt_iml', 'flan2022_dialog', 'opt_iml'):
        found = mixtures.resolve(name, str(tmp_path))
        own = [entry.task for entry in found.entries if entry.part.name == 'natural_instructions']
        assert own == ['natural_instructions:task9001_mine'] * (name != 'flan2022_dialog')
    assert len(mixtures.resolve('opt_iml').entries) > 1_600


def test_shares_of_parts_are_a_setting():
    changed = MixtureConfig('opt_iml', shares={'dialogue': 0.005, 'reasoning': 0.04, 'promptsource': 0})
    found = {entry.part.name: entry.part.share for entry in mixtures.resolve(changed).entries}
    assert found == {'flan': 0.2, 'natural_instructions': 0.25, 'reasoning': 0.04, 'dialogue': 0.005}
    with pytest.raises(ValueError, match="shares has 'dialog'; did you mean dialogue"):
        mixtures.resolve(changed.replace(shares={'dialog': 1}))
    with pytest.raises(ValueError, match='this mixture has none'):
        mixtures.resolve(MixtureConfig('flan2021', shares={'dialogue': 1}))


def test_the_run_file_plans_without_data():
    sweep = flanlite.from_gin(RUN, what='loco')
    train = sweep.train
    assert isinstance(train.model, LlamaConfig) and not train.model.prefix_lm
    assert sum(train.data.feature_lengths.values()) == 2_048 and train.data.pack
    optimizer = train.optimizer
    assert (optimizer.b1, optimizer.b2, optimizer.global_norm_clip_threshold) == (0.9, 0.95, 1.0)
    assert [float(optimizer.learning_rate(step)) for step in (0, 60, 4_000)] == pytest.approx([0, 5e-5, 0])
    held = mixtures.resolve(train.data.mixture.replace(held_out=sweep.held_out))
    opened = Sweep.tasks.__get__(Sweep(sweep, held.collection, None))(sweep.held_out)
    trained = {entry.cluster for entry in held.entries}
    clusters = {held.collection.by_name[task].cluster for task in opened}
    assert {'nli', 'coreference'} <= clusters - trained and clusters & trained, 'both of the farther levels'
