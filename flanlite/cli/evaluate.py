"""`flanlite eval`."""

import argparse
from typing import Any

from flanlite.cli import command
from flanlite.cli.command import BASE, CHECKPOINT, MIXTURE, PROMPT_MIX, SHOTS, VOCABULARY, Command, Flag
from flanlite.limits import Count


def run(args: argparse.Namespace) -> None:
    """Evaluate a checkpoint."""
    config = settings(args)
    from flanlite.eval import evaluate

    evaluate.evaluate(config)


def settings(args: argparse.Namespace) -> Any:
    """Make the settings of an evaluation."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    if not args.checkpoint and 'checkpoint' not in gin_config.set_fields('EvalConfig'):
        raise ValueError(f'{args.command.name} needs a model; give one with --checkpoint=PATH')
    mixture = gin_config.build('MixtureConfig', name=command.mixture_name(args))
    names = (
        'checkpoint',
        'base',
        'split',
        'output',
        'style',
        'max_rows',
        'vocabulary',
        'data_dir',
        'cache_dir',
    )
    flags = command.given(args, *names)
    if args.prompt:
        flags['prompts'] = tuple(args.prompt.split(','))
    config = gin_config.build('EvalConfig', mixture=mixture, model_changes=gin_config.model_fields(), **flags)
    if args.scores:
        config = config.replace(**{'scoring.scores': tuple(args.scores.split(','))})
    return config


COMMAND = Command(
    'eval',
    'Evaluate',
    'Evaluate a checkpoint on a mixture, per template.',
    run,
    (
        CHECKPOINT,
        BASE,
        Flag(
            'prompt',
            'of a model with several soft prompts, the one to ask with; of several, with commas, the answers '
            'are put to the vote',
            metavar='NAME',
        ),
        MIXTURE,
        Flag('split', 'train, validation or test', complete=('train', 'validation', 'test')),
        Flag('output', 'the folder for the results', metavar='DIR', complete='file'),
        Flag(
            'style',
            'instructions, baseline (plain prompts) or fields (no words of a template)',
            complete=('instructions', 'baseline', 'fields', 'names'),
        ),
        Flag('max_rows', 'at most so many rows of each data set', Count),
        Flag(
            'scores',
            'other scores of ranked options, with commas: acc, acc_norm, acc_bytes, acc_tokens, '
            'acc_mutual_info, brier_score, ece',
            metavar='NAMES',
        ),
        SHOTS,
        PROMPT_MIX,
        VOCABULARY,
    ),
)
