import dataclasses
import os

import pytest
from toy_specs import BYTES, choices, colours, prose

from flanlite.data.cache.view import BuildOptions, View, view_of
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.rendering.fewshot import BUDGET, Shots
from flanlite.data.specs import registry
from flanlite.data.specs.collection import Collection


@pytest.fixture
def mixture(monkeypatch):
    monkeypatch.setattr(registry, 'COLLECTIONS', {})
    registry.register(
        Collection('toy', (colours(max_examples=5), choices(), prose()), vocabulary='bytes', max_examples=9)
    )
    return mixtures.resolve(MixtureConfig('toy', templates_per_task=2, shots=3, drop='drop.jsonl'))


@pytest.mark.parametrize('setting, value, said', [
    ('split', 'dev', "split is 'dev'; expected one of train, validation, test"),
    ('style', 'plain', "style is 'plain'; expected one of instructions"),
    ('renderings', 0, "renderings is 0; expected a whole number from 1 to .* or 'all'"),
    ('renderings', 'some', "renderings is 'some'; expected .* or 'all'"),
    ('templates', 0, 'templates is 0; expected a whole number from 1'),
    ('max_examples', 0, 'max_examples is 0; expected a whole number from 1'),
    ('max_examples', {'toy_colours': 0}, r"max_examples\['toy_colours'\] is 0; expected a whole number from 1"),
])  # fmt: skip
def test_a_view_checks_itself(setting, value, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(View('train', BYTES), **{setting: value})


def test_build_options_check_themselves():
    with pytest.raises(ValueError, match='processes is 0; expected a whole number from 1'):
        BuildOptions(processes=0)


def test_what_is_trained_on(mixture):
    caps = {'toy_colours': 5, 'toy_choices': 9, 'toy_prose': 9}
    expected = View('train', BYTES, 'fields', 1, Shots(3, 64), 2, caps, os.path.abspath('drop.jsonl'))
    assert view_of(mixture, 'train', BYTES, {'inputs': 64, 'targets': 8}, 'fields') == expected
    held = view_of(mixture, 'validation', BYTES, {'inputs': 64, 'targets': 8}, 'fields', 20, scored=False)
    assert held == dataclasses.replace(expected, split='validation', max_examples=20), (
        'as the training loss is computed of it'
    )


def test_what_is_scored(mixture):
    expected = View('test', BYTES, renderings='all', shots=Shots(3, BUDGET), max_examples=20)
    assert view_of(mixture, 'test', BYTES, max_rows=20) == expected
    assert view_of(mixture, 'train', BYTES, max_rows=20, scored=True) == dataclasses.replace(
        expected, split='train'
    )


def test_one_task_of_a_view(mixture):
    view = view_of(mixture, 'train', BYTES)
    ours, text = view.of_task('toy_colours', colours()), view.of_task('toy_prose', prose())
    assert (ours.max_examples, ours.shots) == (5, Shots(3, BUDGET)) and (text.max_examples, text.shots) == (
        9,
        None,
    )
    assert view.of_task('a SeqIO task', None).max_examples is None
    assert view.applied_to(colours()).templates == colours().templates[:2]
    assert view.applied_to(None) is None and view.applied_to(prose()).name == 'toy_prose'


def test_rows_are_dropped_from_training_only(tmp_path):
    path = tmp_path / 'drop.jsonl'
    path.write_text('{"task": "toy_colours", "split": "train", "row": 3}')
    assert View('train', BYTES, drop=path).dropped_rows() == {'toy_colours': frozenset({3})}
    assert View('test', BYTES, drop=path).dropped_rows() == {} == View('train', BYTES).dropped_rows()
