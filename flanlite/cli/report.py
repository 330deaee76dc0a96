"""`flanlite report`."""

import argparse
import os

from flanlite.cli.command import Command, Flag


def run(args: argparse.Namespace) -> None:
    """Merge the folders of a sweep or a transfer."""
    from flanlite.eval import loco, transfer
    from flanlite.paths import at_home

    if not (args.model_dir or '').strip(','):
        raise ValueError(
            'report needs the folder of a sweep or a transfer, or several with commas: '
            '--model_dir=FOLDER[,FOLDER ...]'
        )
    whole = os.path.isdir(at_home(args.model_dir))  # a folder's name may have commas
    folders = [args.model_dir] if whole else [folder for folder in args.model_dir.split(',') if folder]
    (transfer if transfer.is_transfer(folders[0]) else loco).merge(folders, args.output)


COMMAND = Command(
    'report',
    'Evaluate',
    'Merge what several jobs left in one or several folders, and write the report again.',
    run,
    (
        Flag(
            'model_dir',
            'the folder of a sweep or a transfer, or several with commas',
            metavar='DIRS',
            complete='file',
        ),
        Flag('output', 'the folder for the merged results', metavar='DIR', complete='file'),
    ),
    reads_gin=False,
)
