"""`flanlite loco`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import (
    BEGINS_WITH,
    DROP,
    LINEAGE,
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
    """Hold out one cluster after the other."""
    config, gin = command.read_run(args, build='loco')
    from flanlite.eval import loco

    flags = {'held_out': args.only, 'seeds': args.seeds}
    loco.loco(config.replace(**{name: value for name, value in flags.items() if value is not None}), gin)


COMMAND = Command(
    'loco',
    'Evaluate',
    'Hold out one cluster at a time: tune, evaluate zero-shot, compare, report.',
    run,
    (
        SETTINGS,
        Flag(
            'only',
            'what to hold out: a cluster, several with commas, or all; or others such as intra_3, superglue '
            'and diversity_*',
        ),
        SEEDS,
        MIXTURE,
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
        LINEAGE,
        SHOTS,
        DROP,
    ),
    example='gin/runs/pocket.gin',
)
