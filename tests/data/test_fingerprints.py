import collections
import datetime
import enum
import functools
import gzip
import json
import operator
import os
import pathlib
import re
import subprocess
import sys

import numpy as np

from flanlite.data.specs import fingerprints

TABLE = {'a': [1, 2], 'b': {'x', 'y', 'z'}}
labels = ['no', 'yes']


def helper(value):
    return value + 1


def caller(value):
    return helper(value)


def looker(value):
    return TABLE[value]


def even(number):
    return number == 0 or odd(number - 1)


def odd(number):
    return number != 0 and even(number - 1)


def read(name):
    return pathlib.Path(name).read_text()


def reader(name):
    return read(name)


class Reader:
    def __call__(self, split):
        return pandas.read_csv(split)  # noqa: F821


class Maker:
    size = 3

    def __init__(self, seed):
        self.seed = seed
        self.random = np.random.default_rng()

    def make(self, split):
        return [self.seed] * self.size


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Names:
    NAMES = ['yes', 'no']


class Others:
    NAMES = ['no', 'yes']


Others.__qualname__ = Names.__qualname__


def test_values_differ():
    values = [
        pathlib.Path('/a'),
        pathlib.Path('/b'),
        np.array([1, 2]),
        np.array([1, 3]),
        np.array([[1, 2]]),
        np.int64(1),
        np.int64(2),
        datetime.date(2021, 5, 1),
        datetime.date(2021, 5, 2),
        collections.deque([1]),
        collections.deque([2]),
        operator.itemgetter('a'),
        operator.itemgetter('b'),
        Colour.RED,
        Colour.BLUE,
        Names,
        Others,
        0,
        1,
        '0',
        b'0',
        None,
        (),
        [1, 2],
        [2, 1],
        {'a': 1},
        {'b': 1},
        {1, 2},
        re.compile('a'),
        re.compile('a', re.I),
        helper,
        caller,
        functools.partial(caller, 1),
        functools.partial(caller, 2),
        Maker(1).make,
        Maker(2).make,
        Maker([1]).make,
        Maker([1, 2]).make,
        Maker({'a': 1}).make,
        Maker({1, 2}).make,
        np.mean,
        {'a': 1}.get,
        {'a': 2}.get,
        {'a': 1}.pop,
        len,
    ]
    assert len({fingerprints.of(value) for value in values}) == len(values)
    assert fingerprints.of('a', 'b') != fingerprints.of('ab')


def test_edits_of_what_a_function_uses_are_noticed(monkeypatch):
    before = [fingerprints.of(function) for function in (caller, looker, even, Maker(1).make)]
    monkeypatch.setitem(globals(), 'helper', lambda value: value + 2)
    monkeypatch.setitem(globals(), 'TABLE', TABLE | {'c': 1})
    monkeypatch.setitem(globals(), 'odd', lambda number: False)
    monkeypatch.setattr(Maker, 'size', 4)
    after = [fingerprints.of(function) for function in (caller, looker, even, Maker(1).make)]
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_what_does_not_count_is_named():
    def nested(name):
        return [line for line in gzip.open(name)]

    def unread(name):
        return json.loads(name).open_now

    assert fingerprints.unnoticed(caller, looker, unread, np.load, {'a': 1}.get) == []
    found = fingerprints.unnoticed(
        functools.partial(reader, 'a'), nested, Reader(), lambda row: row, lambda row: labels[row]
    )
    assert found == [
        'read calls read_text',
        f'{nested.__qualname__} calls open',
        'Reader.__call__ calls read_csv',
        f'{nested.__qualname__.replace("nested", "<lambda>")} names the list labels, which would count if its '
        'name were in capitals',
    ]


def test_captured_values_and_defaults_count():
    def make(number):
        return lambda value, default=number: value + number + default

    assert fingerprints.of(make(1)) != fingerprints.of(make(2))
    assert fingerprints.of(make(1)) == fingerprints.of(make(1))


def test_equal_constants_need_not_be_one_object():
    first, second = [''.join(['a', 'b']), (1, 2)], [''.join(['a', 'b']), (1, 2)]
    assert fingerprints.of(first, first) == fingerprints.of(first, second)


def test_every_process_agrees():
    code = (
        'import test_fingerprints as t; print(t.fingerprints.of(t.looker, t.even, t.Maker({"a", "b"}).make))'
    )
    found = {
        subprocess.run(
            [sys.executable, '-c', code],
            cwd=__file__.rpartition('/')[0],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {'PYTHONHASHSEED': seed},
        ).stdout
        for seed in ('1', '2')
    }
    assert found == {fingerprints.of(looker, even, Maker({'a', 'b'}).make) + '\n'}
