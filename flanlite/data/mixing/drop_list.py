"""Drop lists: files that list the training rows to leave out, as an audit writes them."""

import os
import pathlib

from flanlite.data.specs import json_rows


def read_drop_list(path: str | os.PathLike) -> dict[str, frozenset[int]]:
    """Read a drop list: a JSON object per line, as `audit.Audit.to_drop` yields them.

    Returns:
        For each data set, the indices of the rows of its training split to leave out.

    Raises:
        ValueError: the file cannot be read, or a line does not name a row of a training split.
    """
    rows: dict[str, set[int]] = {}
    try:
        for where, listed in json_rows.json_lines(pathlib.Path(path)):
            named = (listed.get('split'), type(listed.get('task')), type(listed.get('row')))
            if named != ('train', str, int) or listed['row'] < 0:
                raise ValueError(
                    f'{where} is {listed}; expected such as {{"task": "wnli", "split": "train", "row": 7}}'
                )
            rows.setdefault(listed['task'], set()).add(listed['row'])
    except OSError as error:
        raise ValueError(
            f'cannot read the list of examples to drop, {path}: {error.strerror}; audit --output writes one'
        ) from error
    return {task: frozenset(found) for task, found in rows.items()}
