"""`flanlite export`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import MIXTURE, SHOTS, VOCABULARY, Command, Flag, at_least

FORMATS = ('lm-eval',)


def run(args: argparse.Namespace) -> None:
    """Write a mixture, or its evaluation splits, for others."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    for flag in ('format', 'output'):
        if not getattr(args, flag):
            raise ValueError(f'export needs --{flag}; formats are {", ".join(FORMATS)}')
    if args.format not in FORMATS:
        raise ValueError(f'unknown format {args.format!r}; expected {", ".join(FORMATS)}')
    mixture = gin_config.build('MixtureConfig', name=command.mixture_name(args))
    flags = command.given(args, 'split', 'max_rows', 'vocabulary', 'data_dir')
    lengths = gin_config.macro('TASK_FEATURE_LENGTHS', None)
    from flanlite.eval import export

    export.export(mixture, args.output, feature_lengths=lengths, **flags)


COMMAND = Command(
    'export',
    'Evaluate',
    "Write evaluation splits as tasks of EleutherAI's lm-evaluation-harness.",
    run,
    (
        Flag('format', 'lm-eval', complete=FORMATS),
        MIXTURE,
        Flag('output', 'the folder to write', metavar='PATH', complete='file'),
        Flag('split', 'train, validation or test', complete=('train', 'validation', 'test')),
        Flag('max_rows', 'at most so many rows of each data set', at_least(1)),
        SHOTS,
        VOCABULARY,
    ),
)
