"""Forbid silent faults in every test."""

import os

import gin
import pytest

from flanlite.data.mixing import naming

os.environ.setdefault('JAX_NUMPY_RANK_PROMOTION', 'raise')
# Programs compile in a half of the time: tests compile much and compute little.
os.environ['XLA_FLAGS'] = f'--xla_backend_optimization_level=0 {os.environ.get("XLA_FLAGS", "")}'

# A promptsource would take the place of T0's templates in every test: only those that ask for it get it.
if checkout := os.environ.pop('PROMPTSOURCE_DIR', None):
    os.environ['TESTED_PROMPTSOURCE_DIR'] = checkout


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory):
    """Keep out of the user's token cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FLANLITE_CACHE_DIR', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session', autouse=True)
def collections():
    """Register the built-in collections: one that a test imports while it has a registry of its own would be
    lost to the others.
    """
    naming.import_collections()


@pytest.fixture(scope='module', autouse=True)
def own_settings():
    """Leave no gin setting of a test file to the next."""
    yield
    gin.clear_config()
