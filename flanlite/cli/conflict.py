"""`flanlite conflict`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import (
    BEGINS_WITH,
    DROP,
    MIXTURE,
    MODEL_DIR,
    SEEDS,
    SETTINGS,
    SHOTS,
    VOCABULARY,
    Command,
    Flag,
)


def run(args: argparse.Namespace) -> None:
    """Measure how tasks conflict, and what tuning on one does for another."""
    config, gin = command.read_run(args, build='conflict')
    from flanlite.eval import conflict

    conflict.conflict(config.replace(**command.given(args, 'clusters', 'only', 'seeds')), gin)


COMMAND = Command(
    'conflict',
    'Evaluate',
    'Compare gradients between clusters over training with what tuning on one does for another.',
    run,
    (
        SETTINGS,
        Flag('clusters', 'the clusters to compare, with commas, or all; all else leaves the mixture'),
        Flag(
            'only',
            'what this job does: joint, for the run on all and its gradients, or clusters, for the runs on '
            'each alone and on all others; by default all',
        ),
        SEEDS,
        MIXTURE,
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
        SHOTS,
        DROP,
    ),
    example='gin/runs/pocket_conflict.gin',
)
