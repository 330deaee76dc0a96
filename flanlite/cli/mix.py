"""`flanlite mix`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import (
    BEGINS_WITH,
    DROP,
    LINEAGE,
    MIXTURE,
    MODEL_DIR,
    SETTINGS,
    SHOTS,
    VOCABULARY,
    Command,
    Flag,
)
from flanlite.limits import Count


def run(args: argparse.Namespace) -> None:
    """Choose a mixture by small runs."""
    config, gin = command.read_run(args, build='mix')
    from flanlite.eval import mix

    mix.mix(config.replace(**command.given(args, 'targets', 'runs', 'only')), gin)


COMMAND = Command(
    'mix',
    'Train',
    'Choose mixing rates by small runs: fit held-out loss to the weights, write a rates file.',
    run,
    (
        SETTINGS,
        Flag('runs', 'how many mixtures to train on', Count),
        Flag(
            'targets',
            'the clusters whose validation loss is to be low, with commas; by default all that train',
        ),
        Flag('only', 'which of the runs this job does, such as 0-7 or 3,5; by default all'),
        MIXTURE,
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
        LINEAGE,
        SHOTS,
        DROP,
    ),
    example='gin/runs/pocket_mix.gin',
)
