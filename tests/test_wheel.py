"""A wheel installed into an empty place, away from the checkout, carries gin files, assets and the report's
page, and runs.
"""

import pathlib
import subprocess
import sys
import zipfile

import pytest

import flanlite

pytestmark = pytest.mark.smoke

ROOT = pathlib.Path(flanlite.__file__).parent.parent


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    if not (ROOT / 'setup.py').exists():
        pytest.skip('needs a checkout to build a wheel from')
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    copied = subprocess.run(['git', 'clone', '-q', str(ROOT), str(source)], capture_output=True, text=True)
    if copied.returncode:
        pytest.skip(f'needs a git checkout to build a wheel from: {copied.stderr.strip()}')
    build = [
        sys.executable,
        '-m',
        'pip',
        'wheel',
        '-q',
        '--no-deps',
        '--no-build-isolation',
        '-w',
        str(folder),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True, text=True)
    return next(folder.glob('flanlite-*.whl'))


def test_wheel_holds_gin_files_and_assets(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = {f'mixtures/pocket/assets/{name}' for name in ('pocket.model', 'base.safetensors')}
    files = {
        'gin/runs/pocket.gin',
        'gin/models/pocket.gin',
        'report/report.html',
        'report/transfer.html',
        'report/report.css',
    }
    assert {f'flanlite/{name}' for name in assets | files} <= names
    assert not [name for name in names if name.startswith(('gin/', 'tests/', 'mixtures/'))]


def test_wheel_runs_away_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / 'site')
    script = (
        'import sys, flanlite\n'
        f'assert flanlite.__file__.startswith({str(tmp_path)!r}), flanlite.__file__\n'
        'from flanlite.cli import main as cli\n'
        'sys.exit(cli.main(sys.argv[1:]))\n'
    )
    train = [
        'train',
        '--gin_file=gin/runs/pocket_train.gin',
        '--gin.TRAIN_STEPS=2',
        f'--model_dir={tmp_path / "run"}',
    ]
    environment = {'PYTHONPATH': str(tmp_path / 'site'), 'PATH': '/usr/bin:/bin', 'HOME': str(tmp_path)}
    run = [sys.executable, '-c', script, *train, f'--cache_dir={tmp_path / "cache"}']
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'run' / 'metrics.jsonl').exists()
