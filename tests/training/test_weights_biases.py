"""Weights & Biases, offline: one run there, however often ours is stopped."""

import sys

import gin
import pytest
import toy

from flanlite.training import weights_biases


def test_without_the_package_it_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    monkeypatch.setattr(weights_biases.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'flanlite\[wandb\]'"):
        weights_biases.WandbConfig(project='toy')
    weights_biases.WandbConfig()


def test_a_run_that_goes_on_is_one_run_there(tmp_path, monkeypatch):
    wandb = pytest.importorskip('wandb', reason='wandb is not installed: pip install flanlite[wandb]')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    try:
        gin.parse_config('WandbConfig.project = "toy"')
        toy.train(tmp_path / 'run', 2)
        toy.train(tmp_path / 'run', 4)
    finally:
        gin.clear_config()
        wandb.teardown()  # until then its service may still be writing
    run_id = (tmp_path / 'run' / weights_biases.RUN_ID).read_text()
    logs = sorted((tmp_path / 'run' / 'wandb').glob(f'offline-run-*/run-{run_id}.wandb'))
    assert len(logs) == 2
    assert all(b'encoder_fill' in log.read_bytes() and b'toy_order' in log.read_bytes() for log in logs), (
        'records, and the manifest'
    )
