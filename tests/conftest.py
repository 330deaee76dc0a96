"""Forbid silent faults in every test."""

import os

os.environ.setdefault('JAX_NUMPY_RANK_PROMOTION', 'raise')
