"""`flanlite convert`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import BASE, CHECKPOINT, VOCABULARY, Command, Flag


def run(args: argparse.Namespace) -> None:
    """Write a checkpoint in another format."""
    from flanlite.cli import gin_config

    command.read_gin(args)
    for flag in ('checkpoint', 'output'):
        if not getattr(args, flag):
            raise ValueError(f'convert needs --{flag}=PATH')
    if args.bindings and not args.gin_file:
        raise ValueError(
            'got --gin flags and no gin file; convert takes the model of a gin file: --gin_file=FILE'
        )
    config = gin_config.macro('MODEL') if args.gin_file else None
    from flanlite.training import convert

    convert.convert(config=config, **command.given(args, *(flag.name for flag in COMMAND.flags), 'data_dir'))


COMMAND = Command(
    'convert',
    'Train',
    "Write a checkpoint of ours, T5X's or Hugging Face's as a Hugging Face folder, or as one safetensors "
    'file.',
    run,
    (
        CHECKPOINT,
        BASE,
        Flag('output', 'the folder or file to write', metavar='PATH', complete='file'),
        Flag(
            'form',
            'huggingface (a folder; the default), safetensors (one file, for flanlite), peft (an adapter '
            'alone), or npy (soft prompts alone)',
            complete=('huggingface', 'safetensors', 'peft', 'npy'),
        ),
        VOCABULARY,
    ),
)
