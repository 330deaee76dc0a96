"""Settings as values: they check themselves, print, compare, hash, and are read again from JSON."""

import functools
import json
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from flanlite import config
from flanlite.config import value

pytestmark = pytest.mark.smoke


def halve(step):
    return 0.5**step


@value
class ToyPart:
    size: int = 1
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f'ToyPart.size is {self.size}, expected at least 1')


@value
class ToyWhole:
    name: str
    rate: float | Callable = 0.5
    part: ToyPart = ToyPart()
    lengths: Mapping[str, int] | None = None
    pair: tuple[int, int] | None = None
    anything: Any = None


WHOLE = ToyWhole('a', halve, ToyPart(3, ['b', 'c']), {'inputs': 4}, [1, 2])


def test_lists_and_dictionaries_are_frozen_and_a_value_is_a_key():
    assert WHOLE.part.names == ('b', 'c')
    assert WHOLE.lengths == {'inputs': 4}
    with pytest.raises(TypeError, match='cannot be changed'):
        WHOLE.lengths['inputs'] = 5
    assert {WHOLE: 1}[ToyWhole('a', halve, ToyPart(3, ('b', 'c')), {'inputs': 4}, (1, 2))] == 1
    assert pickle.loads(pickle.dumps(WHOLE)) == WHOLE


def test_a_value_is_read_again_from_json(tmp_path):
    config.save(WHOLE, tmp_path / 'settings.json')
    again = config.load(tmp_path / 'settings.json')
    assert again == WHOLE
    assert again.rate is halve
    assert json.loads((tmp_path / 'settings.json').read_text())['part'] == {
        'type': f'{__name__}:ToyPart',
        'size': 3,
        'names': ['b', 'c'],
    }


def test_a_value_prints_as_it_is_made():
    assert str(ToyPart(3, ('b',))) == "ToyPart(size=3, names=('b',))"


def test_lines_say_which_fields_differ():
    before, after = config.to_lines(WHOLE), config.to_lines(WHOLE.replace(**{'part.size': 7, 'name': 'z'}))
    assert {name: (before[name], after[name]) for name in before if before[name] != after[name]} == {
        'name': ('"a"', '"z"'), 'part.size': ('3', '7'),
    }  # fmt: skip


def test_a_number_of_another_kind_is_taken():
    import numpy as np

    assert ToyPart(np.int64(3)) == ToyPart(3)
    assert ToyWhole('a', 1).rate == 1
    assert type(ToyWhole('a', np.float32(0.5)).rate) is float


def test_what_json_cannot_hold_is_named():
    held = ToyWhole('a', functools.partial(scaled, by=2))
    again = config.from_json(config.to_json(held))
    assert again.rate(3) == 6 and config.unsaved(held) == []
    nameless = ToyWhole('a', lambda step: step)
    assert config.unsaved(nameless) == ['rate']
    assert config.unsaved(ToyWhole('a', anything=[1, object()])) == ['anything.1']
    with pytest.raises(ValueError, match='cannot hold'):
        config.from_json(config.to_json(nameless))


def test_parts_change_together():
    assert ToyRange().replace(**{'low': 7, 'high': 9}) == ToyRange(7, 9)
    whole = ToyOuter().replace(**{'range.low': 7, 'range.high': 9})  # neither alone would do
    assert whole.range == ToyRange(7, 9)


@config.value
class ToyRange:
    low: int = 1
    high: int = 5

    def __post_init__(self):
        if self.low > self.high:
            raise ValueError(f'ToyRange is {self.low} to {self.high}')


@config.value
class ToyOuter:
    range: ToyRange = ToyRange()


def scaled(step, by):
    return step * by


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (
            lambda: ToyWhole('a', raet=1),
            ["ToyWhole has no field 'raet'", 'did you mean rate', 'its fields are name, rate'],
        ),
        (lambda: ToyWhole(), ['ToyWhole needs a value for name']),
        (lambda: ToyWhole('a', 1, ToyPart(), {}, (1, 2), 0, 'more'), ['got 7 values; expected at most 6']),
        (lambda: ToyWhole('a', name='b'), ['two values for name']),
        (lambda: ToyWhole('a', float('nan')), ['ToyWhole.rate is nan']),
        (lambda: ToyWhole('a', ToyPart), ['ToyWhole.rate is', 'expected float or Callable']),
        (lambda: ToyWhole(3), ['ToyWhole.name is 3; expected str']),
        (lambda: ToyWhole('a', 'fast'), ["ToyWhole.rate is 'fast'; expected float or Callable"]),
        (lambda: ToyWhole('a', part={'size': 3}), ['ToyWhole.part is', 'expected ToyPart']),
        (
            lambda: ToyWhole('a', lengths={'inputs': 'many'}),
            ["ToyWhole.lengths['inputs'] is 'many'"],
        ),
        (lambda: ToyWhole('a', pair=(1, 2, 3)), ['ToyWhole.pair is (1, 2, 3)']),
        (lambda: ToyPart(True), ['ToyPart.size is True; expected int']),
        (lambda: ToyPart(names='abc'), ["ToyPart.names is 'abc'; expected tuple"]),
        (lambda: WHOLE.replace(**{'part.size': 0}), ['ToyPart.size is 0, expected at least 1']),
        (lambda: WHOLE.replace(**{'part.sise': 3}), ["no field 'sise'", 'did you mean size']),
        (lambda: WHOLE.replace(**{'name.first': 3}), ['ToyWhole.name has no fields of its own']),
        (
            lambda: config.from_json({'type': 'ToyPort', 'size': 3}),
            ["'ToyPort'", 'did you mean ToyPart', 'another version'],
        ),
        (lambda: config.from_json({'type': 'ToyPart', 'sise': 3}), ["no field 'sise'"]),
        (
            lambda: config.from_json({'function': 'test_values:gone'}),
            ["'test_values:gone'", 'cannot be imported'],
        ),
        (lambda: config.from_json(config.to_json(object())), ['builtins:object', 'cannot hold']),
        (lambda: config.load('/nowhere.json'), ['cannot read settings from /nowhere.json']),
    ],
)
def test_mistakes_are_one_line(make, words):
    with pytest.raises(ValueError) as raised:
        make()
    message = str(raised.value)
    assert '\n' not in message
    assert all(word in message for word in words), message
