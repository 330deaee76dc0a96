"""`flanlite ablate`."""

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
    VOCABULARY,
    Command,
    Flag,
)


def run(args: argparse.Namespace) -> None:
    """Hold out the same clusters each time, and tune on more and more."""
    config, gin = command.read_run(args, build='ablate')
    from flanlite.eval import ablation

    ablation.ablate(config.replace(**command.given(args, 'held_out', 'studies', 'seeds')), gin)


COMMAND = Command(
    'ablate',
    'Evaluate',
    "Run FLAN's and T0's ablations: instructions, clusters, data sets, templates, shots.",
    run,
    (
        SETTINGS,
        Flag('held_out', 'the clusters that are held out together, with commas'),
        Flag(
            'studies',
            'what varies, with commas: instructions, clusters, data_sets, templates, shots; by default all',
        ),
        SEEDS,
        MIXTURE,
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
        LINEAGE,
        DROP,
    ),
    example='gin/runs/pocket_ablate.gin',
)
