"""gin at the command line: overrides, clear errors, and a resolved config that gives the same run."""

import dataclasses
import pickle
from collections.abc import Mapping

import gin
import pytest

from flanlite.cli import gin_config
from flanlite.config import departures, to_lines

pytestmark = pytest.mark.smoke


@gin.configurable
def toy_run(steps: int = 3, folder: str | None = '', lengths: Mapping[str, int] | None = None):
    return steps, folder, lengths


@pytest.fixture
def toy_gin(tmp_path):
    path = tmp_path / 'toy.gin'
    path.write_text("TRAIN_STEPS = 5\ntoy_run.steps = %TRAIN_STEPS\ntoy_run.lengths = {'inputs': 4}\n")
    yield str(path)
    gin.clear_config()


def test_bindings_override_files_and_strings_need_no_quotes(toy_gin):
    gin_config.load([toy_gin], ['TRAIN_STEPS=7', 'toy_run.folder=/some/where'])
    assert toy_run() == (7, '/some/where', {'inputs': 4})


def test_resolved_config_gives_the_same_run(toy_gin, tmp_path):
    gin_config.load([toy_gin], ['TRAIN_STEPS=7', 'toy_run.folder=a b'])
    before = toy_run()
    (tmp_path / 'resolved.gin').write_text(gin_config.resolved())
    gin_config.load([str(tmp_path / 'resolved.gin')])
    assert toy_run() == before


@pytest.mark.parametrize(
    ('binding', 'words'),
    [
        ('toy_ran.steps=3', ['toy_ran', 'did you mean toy_run']),
        ('toy_run.step=3', ["no parameter 'step'", 'did you mean steps', 'folder']),
        ('TRAIN_STEP=3', ['TRAIN_STEP', 'did you mean TRAIN_STEPS']),
        ('toy_run.folder=%MODEL_DIR', ['MODEL_DIR', 'has no value', '--gin.MODEL_DIR']),
        ('toy_run.folder=@toy_rum()', ['toy_rum', 'did you mean toy_run']),
        ('nonsense', ['nonsense', 'TRAIN_STEPS=100']),
        ('toy_run.folder=3', ['toy_run.folder is 3; expected str or None']),
        ('TRAIN_STEPS=many', ["TRAIN_STEPS is 'many'; expected int"]),
        ('TRAIN_STEPS=12,5', ['TRAIN_STEPS is (12, 5); expected int']),
        ('TRAIN_STEPS=1e3', ['TRAIN_STEPS is 1000.0; expected int']),
        ('toy_run.lengths=96', ['toy_run.lengths is 96; expected Mapping[str, int] or None']),
        ('TRAIN_STEPS=%TRAIN_STEPS', ['TRAIN_STEPS', 'bound to itself']),
        ('toy_run.folder=@linear', ['toy_run.folder is @linear', 'expected @linear()']),
        ('toy_run.folder=@mine()', ["nothing named 'mine'"]),
        ('TRAIN_STEPS=@linear', ['TRAIN_STEPS is @linear', 'expected @linear()']),
        ('toy_run.folder={%x}', ['with one value', 'quotes: toy_run.folder = {%x}']),
        ('toy_run.folder=%x y', ['with one value', 'quotes: toy_run.folder = %x y']),
    ],
)
def test_mistakes_are_one_line_with_the_closest_names(toy_gin, binding, words):
    with pytest.raises(ValueError) as raised:
        gin_config.load([toy_gin], [binding])
    message = str(raised.value)
    assert '\n' not in message
    assert all(word in message for word in words), message


def test_a_text_may_hold_what_looks_like_a_macro(toy_gin, tmp_path):
    own = tmp_path / 'own.gin'
    own.write_text(f"include '{toy_gin}'\nMODEL_DIR = '/runs/%data/@x'\ntoy_run.folder = %MODEL_DIR\n")
    gin_config.load([str(own)])
    assert toy_run()[1] == '/runs/%data/@x'
    gin_config.load([toy_gin], ['toy_run.folder=/runs/top50%data'])
    assert toy_run()[1] == '/runs/top50%data'


IN_QUOTES = ['%x', '{%x}', "['%x']", '"quoted"', ' a ']  # without them gin takes these for something else
AS_THEY_ARE = [
    '50%',
    '%',
    '@',
    'a@b',
    "it's",
    'a=b',
    'a,b',
    '{x}',
    '[x',
    '(a',
    '#1',
    'two\nlines',
    'C:\\x',
    '日本',
]


def test_any_text_may_be_given_as_a_value_and_is_kept(toy_gin, tmp_path):
    for text, given in [(text, text) for text in AS_THEY_ARE] + [
        (t, repr(t)) for t in IN_QUOTES + AS_THEY_ARE
    ]:
        gin_config.load([toy_gin], [f'toy_run.folder={given}'])
        assert toy_run()[1] == text
        (tmp_path / 'resolved.gin').write_text(gin_config.resolved(), encoding='utf-8')
        gin_config.load([str(tmp_path / 'resolved.gin')])
        assert toy_run()[1] == text


def test_missing_gin_file_names_the_closest(toy_gin):
    with pytest.raises(ValueError, match=r'gin/models/smal\.gin.*did you mean gin/models/small\.gin'):
        gin_config.load(['gin/models/smal.gin'])


def test_what_differs_from_the_gin_files_goes_with_a_value(tmp_path):
    name = 'gin/runs/pocket_train.gin'
    config = gin_config.read('train', [name], ['TRAIN_STEPS=20', 'MODEL_DIR=first'])
    parent, rows = departures(config.replace(seed=3))
    assert parent == name
    assert {field: (value, before) for field, value, before in rows} == {
        'model_dir': (to_lines(config)['model_dir'], to_lines(gin_config.read('train', [name]))['model_dir']),
        'train_steps': ('20', '250'),
        'optimizer.learning_rate.steps': ('20', '250'),
        'seed': ('3', '0'),
    }
    assert config == config.replace(seed=3).replace(seed=config.seed)
    assert departures(gin_config.read('train', [name])) == (name, ())
    # Settings of no file, or of one that is not whole without bindings, have none.
    assert departures(pickle.loads(pickle.dumps(config)))[0] == name
    assert departures(dataclasses.replace(config)) == ('', ())
    part = tmp_path / 'part.gin'
    part.write_text(f"include '{name}'\nTrainConfig.train_steps = %STEPS\n")
    assert departures(gin_config.read('train', [str(part)], ['STEPS=5'])) == ('', ())
