"""`flanlite robustness`."""

import argparse

from flanlite.cli import evaluate
from flanlite.cli.command import Command, Flag, given
from flanlite.limits import Count


def run(args: argparse.Namespace) -> None:
    """Measure whether a model's answers hold."""
    settings = evaluate.settings(args)
    from flanlite.cli import gin_config
    from flanlite.eval import robustness

    flags = given(args, 'kinds', 'seeds', 'words')
    robustness.robustness(gin_config.build('RobustnessConfig', evaluation=settings, **flags))


COMMAND = Command(
    'robustness',
    'Evaluate',
    'Ask with the options in other orders, other words for the answers, and unseen templates.',
    run,
    (
        *evaluate.COMMAND.flags,
        Flag(
            'kinds',
            'what is changed, with commas: option_order, answer_words, templates; by default all',
            tuple[str, ...],
            metavar='NAMES',
        ),
        Flag('seeds', 'how many orders of the options, and choices of words; by default 3', Count),
        Flag(
            'words',
            'what answers are replaced by, with commas; by default nouns',
            tuple[str, ...],
            metavar='WORDS',
        ),
    ),
)
