"""The settings of a run beside the defaults of their classes: what somebody chose."""

import dataclasses
import re

from flanlite.config import ABSENT, TYPE, TYPES, to_lines

NO_DEFAULT = 'no default'  # of a field that a run has to set


def changed(text: str) -> list[tuple[str, str, str]]:
    """Return each field that differs from the default of its class: (field, value, default), all as text.

    A part of another class than its default is compared with the defaults of its own class.

    Args:
        text: settings as `config.to_text` writes them; lines of another form are passed over.
    """
    lines = {
        field: value
        for field, equals, value in (each.partition(' = ') for each in text.splitlines())
        if equals
    }
    found = []
    known = defaults(lines)
    for field, value in lines.items():
        default = known.get(field, NO_DEFAULT)
        if field != TYPE and value != default and not (field.endswith(f'.{TYPE}') and default == NO_DEFAULT):
            found.append((field, value, default))
    return found


def defaults(lines: dict[str, str]) -> dict[str, str]:
    """Return the default of each field that has one, as text, by the field's path."""
    found: dict[str, str] = {}
    # Outer classes come first, so that a part which is of its default class has the outer one's default.
    for field, value in sorted(lines.items(), key=lambda line: line[0].count('.')):
        name = re.split('[:.]', value.strip('"'))[-1]  # of a user's own class, module:name
        if field.rpartition('.')[2] == TYPE and name in TYPES and found.get(field) != value:
            path = field.removesuffix(TYPE)
            kept = [known for known in found if known == field or not known.startswith(path)]
            found = {known: found[known] for known in kept}
            for each in dataclasses.fields(TYPES[name]):
                default = (
                    each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
                )
                if default is not dataclasses.MISSING:
                    found |= to_lines(default, path + each.name)
    return found


def differing(texts: dict[str, str]) -> list[list[str]]:
    """Return the fields in which runs differ, a row each: the field, then its value in each run.

    Args:
        texts: the settings of each run.
    """
    each = [
        {
            field: value
            for field, equals, value in (line.partition(' = ') for line in text.splitlines())
            if equals
        }
        for text in texts.values()
    ]
    fields = dict.fromkeys(field for lines in each for field in lines)
    rows = [[field, *(lines.get(field, ABSENT) for lines in each)] for field in fields]
    return [row for row in rows if len(set(row[1:])) > 1]
