"""Forbid silent faults in every test."""

import os

os.environ.setdefault('JAX_NUMPY_RANK_PROMOTION', 'raise')

# A promptsource would take the place of T0's templates in every test: only those that ask for it get it.
if checkout := os.environ.pop('PROMPTSOURCE_DIR', None):
    os.environ['TESTED_PROMPTSOURCE_DIR'] = checkout
