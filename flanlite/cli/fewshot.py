"""`flanlite fewshot`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import (
    BEGINS_WITH,
    MIXTURE,
    MODEL_DIR,
    SETTINGS,
    SHOTS,
    VOCABULARY,
    Command,
    Flag,
)
from flanlite.limits import Count, Whole


def run(args: argparse.Namespace) -> None:
    """Tune each task on a few of its examples, with several draws."""
    config, gin = command.read_run(args, build='fewshot')
    from flanlite.eval import few_shot

    few_shot.few_shot(config.replace(**command.given(args, 'examples', 'draws')), gin)


COMMAND = Command(
    'fewshot',
    'Evaluate',
    'Tune each task on a few of its examples, with several draws of them: mean and standard deviation.',
    run,
    (
        SETTINGS,
        Flag('examples', 'how many training examples, with commas', tuple[Count, ...], metavar='NUMBERS'),
        Flag('draws', 'the seeds of the draws, with commas', tuple[Whole, ...], metavar='SEEDS'),
        MIXTURE,
        SHOTS,
        MODEL_DIR,
        BEGINS_WITH,
        VOCABULARY,
    ),
    example='gin/runs/pocket_clues.gin',
)
