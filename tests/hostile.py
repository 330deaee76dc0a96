"""Texts and rows that are unlike those of the data: what people really have, and what breaks programs."""

import contextlib
import copy
import functools
import operator
import random

TEXTS = (
    '', ' ', '   ', '\n', '\r', '\r\n', '\t', '\x0b\x0c', '\0', 'a\0', '\0a\0B', '\u00a0', '\u2003x\u3000', '\ufeffa', '\u2028', '\x85', '\x1c',
    ' a b ', 'ab\n', 'Яблоко и груша.', 'مرحبا ١٢٣', '漢字かな交じり文。', 'e\u0301\u0323', '👩‍💻🏳️‍🌈 🇩🇪', 'İıẞßﬁ ΑΣ', 'ΑΣ\0ΑΣ', '１２３', '²', '\U0010ffff', '\ufffd',
    '{answer}', '{}', '}', '\\', '\\n', '\\1', '.*+?[](){}^$|', '(?i)a', 'a_b_c', '_', "``a''", '&lt;b&gt; &amp;amp;', ' amp;', '<br />', '<a\n>x</a>',
    '-lrb-', '||||| a |||||', '\n@highlight\n', '(A) x (B) y', 'UNK #', '"?!"', '[title] ', 'x' * 3000, 'я ' * 2000,
)  # fmt: skip


def text(draw: random.Random) -> str:
    """Draw a text, or two together."""
    return draw.choice(TEXTS) if draw.random() < 0.6 else draw.choice(TEXTS) + draw.choice(TEXTS)


def rows(row: dict, count: int, seed: str) -> list[dict]:
    """Return a row and variants of it, in which one, a few or all values are changed; lists may be of another
    length, or empty.
    """
    draw, found, paths = random.Random(seed), [row], list(leaves(row))
    for _ in range(count - 1):
        changed = copy.deepcopy(row)
        for path in draw.sample(paths, min(len(paths), draw.choice((1, 1, 2, 3, len(paths))))):
            # What was in a list that is shorter now is gone.
            with contextlib.suppress(LookupError):
                place = functools.reduce(operator.getitem, path[:-1], changed)
                place[path[-1]] = change(place[path[-1]], draw)
        found.append(changed)
    return found


def leaves(value, path=()):
    """Yield the paths of a row's values and lists, lists before what is in them."""
    if isinstance(value, list):
        yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path


def change(value, draw):
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice((0, 1, 2, -1, value + 1))
    if isinstance(value, float):
        return draw.choice((0.0, 0.5, 2.5, 4.75, -0.25, 1.4999999999))
    if isinstance(value, list):
        return draw.choice(([], value[:1], value[:-1], value + value, value[::-1]))
    drawn, middle = text(draw), draw.randrange(len(value) + 1)
    return draw.choice((drawn, value + drawn, drawn + value, value[:middle] + drawn + value[middle:]))
