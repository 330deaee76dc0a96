"""`flanlite compile`."""

import argparse

from flanlite.cli import command
from flanlite.cli.command import MIXTURE, SETTINGS, Command, Flag


def run(args: argparse.Namespace) -> None:
    """Compile a run's step for chips that are not here."""
    if not args.topology:
        raise ValueError('compile needs --topology=CHIP:SIZE, such as v5e:16x16 or v5p:4x4x4')
    config, _ = command.read_run(args, begins=False)
    from flanlite.training import compile

    compile.compile_ahead(config, args.topology, try_all=bool(args.search))


COMMAND = Command(
    'compile',
    'Train',
    "Compile a run's train step for a TPU slice that is not here, and tell what each chip would need.",
    run,
    (
        SETTINGS,
        MIXTURE,
        Flag(
            'topology', 'the chips to compile for: v5e:16x16, 2*v5e:16x16 (two slices), or h100:8 (roughly)'
        ),
        Flag('search', 'try meshes, remat policies and microbatches, and rank those that fit', bool),
    ),
    example='gin/runs/finetune_xxl.gin',
)
