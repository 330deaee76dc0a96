"""`flanlite transfer`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import BEGINS_WITH, MODEL_DIR, SETTINGS, VOCABULARY, Command, Flag
from flanlite.limits import Count, Name


def run(args: argparse.Namespace) -> None:
    """Train prompts of sources, and what targets make of them."""
    config, gin = command.read_run(args, build='transfer')
    from flanlite.eval import transfer

    flags = command.given(args, 'sources', 'targets', 'only', 'projector', 'seeds')
    transfer.transfer(config.replace(**flags), gin)


COMMAND = Command(
    'transfer',
    'Evaluate',
    'Train a soft prompt on each source, reuse it on each target, and compare with how alike they are.',
    run,
    (
        SETTINGS,
        Flag(
            'sources',
            'tasks and mixtures to take prompts from, with commas',
            tuple[Name, ...],
            metavar='NAMES',
        ),
        Flag('targets', 'tasks to give them to, with commas', tuple[Name, ...], metavar='NAMES'),
        Flag(
            'only',
            'the sources and targets that this job works on, with commas; by default all',
            metavar='NAMES',
        ),
        Flag(
            'projector',
            'the folder of a transfer with another model, whose prompts are carried to this one',
            metavar='DIR',
            complete='file',
        ),
        Flag('seeds', 'how often all is repeated, each time with another seed', Count),
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
    ),
    example='gin/runs/pocket_transfer.gin',
)
