"""`flanlite export`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import (
    DROP,
    LINEAGE,
    MIXTURE,
    PROMPT_MIX,
    SETTINGS,
    SHOTS,
    VOCABULARY,
    Command,
    Flag,
)
from flanlite.limits import Count, Length, Seed

HARNESS = 'lm-eval'
TRAINING = ('jsonl', 'parquet')
LENGTHS = {'inputs': 1024, 'targets': 256}  # room for exemplars, where no gin file says another
OF_ONE = {
    HARNESS: ('split', 'max_rows', 'max_length'),
    'jsonl': ('examples', 'seed', 'permissive', 'settings'),
}


def run(args: argparse.Namespace) -> None:
    """Write a mixture for others."""
    formats = (HARNESS, *TRAINING)
    if args.format not in formats:
        got = f'got --format={args.format}' if args.format else 'export needs --format'
        raise ValueError(f'{got}; expected {", ".join(formats[:-1])} or {formats[-1]}')
    if not args.output:
        raise ValueError('export needs --output=DIR, a new folder')
    for form, flags in OF_ONE.items():
        if (form == HARNESS) != (args.format == HARNESS):
            for flag in command.given(args, *flags):
                raise ValueError(f'--{flag} is of --format={form}; got --format={args.format}')
    (export_tasks if args.format == HARNESS else export_training)(args)


def export_tasks(args: argparse.Namespace) -> None:
    """Write evaluation splits as tasks of the harness."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    mixture = gin_config.build('MixtureConfig', name=command.mixture_name(args))
    lengths = gin_config.macro('TASK_FEATURE_LENGTHS', None)
    flags = command.given(args, 'split', 'max_rows', 'vocabulary', 'data_dir', 'max_length')
    from flanlite.eval import export

    export.export(mixture, args.output, feature_lengths=lengths, **flags)


def export_training(args: argparse.Namespace) -> None:
    """Write the training examples of a mixture: that of a run, or one by name."""
    from flanlite.cli import gin_config
    from flanlite.data import export
    from flanlite.data.config import DataConfig

    if args.gin_file or args.settings:
        config, _ = command.read_run(args)
        data, seed = config.data, config.seed
    else:
        command.read_gin(args)
        mixture = gin_config.build('MixtureConfig', name=command.mixture_name(args))
        data = DataConfig(mixture, LENGTHS, 1, **command.given(args, 'vocabulary', 'data_dir', 'cache_dir'))
        seed = 0
    flags = {'seed': seed} | command.given(args, 'examples', 'seed', 'permissive')
    export.export(data, args.output, args.format, **flags)


COMMAND = Command(
    'export',
    'Train',
    'Write a mixture for other trainers, or its evaluation splits as tasks of lm-evaluation-harness.',
    run,
    (
        Flag(
            'format',
            'jsonl or parquet, as a mixture is trained; lm-eval, as it is evaluated',
            complete=(HARNESS, *TRAINING),
        ),
        SETTINGS,
        MIXTURE,
        Flag('output', 'the folder to write', metavar='DIR', complete='file'),
        Flag('examples', 'so many, drawn by rates and seed as in training; by default each once', Count),
        Flag('seed', "of the draw; by default the run's, or 0", Seed),
        Flag('permissive', 'leave out data sets whose licence does not let anyone pass them on', bool),
        Flag('split', 'of lm-eval: train, validation or test', complete=('train', 'validation', 'test')),
        Flag('max_rows', 'of lm-eval: at most so many rows of each data set', Count),
        Flag('max_length', 'of lm-eval: tokens of a written answer, such as a run had in targets', Length),
        SHOTS,
        PROMPT_MIX,
        LINEAGE,
        DROP,
        VOCABULARY,
    ),
)
