"""The pretrained base that the pocket collection ships, and the run files around it."""

import dataclasses

import pytest

from flanlite.cli import gin_config
from flanlite.data.mixing import mixtures
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies
from flanlite.mixtures.pocket import base

RUNS = ('pocket', 'pocket_train', 'pocket_pretrain')


@pytest.mark.parametrize('run', RUNS)
def test_run_files_parse(run):
    config = gin_config.read('train', [f'gin/runs/{run}.gin'])
    assert config.model.vocab_size >= vocabularies.load('pocket').size
    assert config.model.vocab_size % 128 == 0
    if run == 'pocket':
        assert gin_config.read('loco', ['gin/runs/pocket.gin']).train == config


def test_base_fits_the_model():
    from flanlite.training import locate, parameters

    assert base.PATH.stat().st_size < 4_000_000
    run = parameters.load_run('mixtures/pocket/assets/base.safetensors')
    assert dataclasses.replace(run.config, dtype='float32') == gin_config.read(
        'MODEL', ['gin/models/pocket.gin']
    )
    assert run.vocabulary == 'pocket'
    # No folder of who made it.
    assert not any('path' in task for task in locate.file_metadata(base.PATH)['tasks'].values())


def test_text_is_no_part_of_the_collection():
    names = {entry.task for entry in mixtures.resolve('pocket').entries}
    assert not names & {'pocket_spans', 'pocket_prefix'}
    assert {spec.name for spec in registry.COLLECTIONS['pocket_text'].specs} == {
        'pocket_spans',
        'pocket_prefix',
    }
    assert mixtures.resolve('pocket_spans').entries[0].max_rate is None
