"""Warnings about data that are logged once in a process."""

import functools
import logging
from typing import Any

from flanlite.data.specs import fingerprints


def warn_of_unnoticed(what: str, remedy: str, *functions: Any) -> None:
    """Log a warning where functions use what no fingerprint has, such as files: a cache may then be stale
    without a sign.
    """
    for use in fingerprints.unnoticed(*functions):
        warn_once(f'{what}: {use}; a change there is not noticed, and an old cache read; {remedy}')


@functools.cache
def warn_once(message: str) -> None:
    """Log a warning, once in a process."""
    logging.getLogger('flanlite').warning(message)
