"""Flat rows as CSV, which every spreadsheet and data frame reads."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from flanlite.report.results import without_nan

COLUMNS = ('run', 'system', 'held_out', 'seed', 'level', 'task', 'template', 'metric', 'value', 'n')


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write the rows of a report; what is None or nan is an empty cell."""
    text = io.StringIO(newline='')
    written = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    written.writeheader()
    written.writerows(without_nan(row) for row in rows)
    return text.getvalue()
