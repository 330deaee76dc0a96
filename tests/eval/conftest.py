import pytest


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FLANLITE_CACHE_DIR', str(tmp_path_factory.mktemp('cache')))
        yield
