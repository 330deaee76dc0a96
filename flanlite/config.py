"""Settings as values."""

import difflib
from collections.abc import Iterable


def closest(name: str, valid: Iterable[str]) -> str:
    """Suggest the valid names closest to one, as a clause that ends in '; ', or nothing."""
    close = difflib.get_close_matches(name, dict.fromkeys(valid), n=3, cutoff=0.5)  # collections share data sets
    return f'did you mean {" or ".join(close)}? ' if close else ''
