"""`flanlite report`."""

import argparse
import os
import pathlib

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
    for folder in (*folders, *([args.output] if args.output else [])):
        check_kind(pathlib.Path(at_home(folder)))
    (transfer if transfer.is_transfer(folders[0]) else loco).merge(folders, args.output)


def check_kind(folder: pathlib.Path) -> None:
    """Raise a `ValueError` where a folder is one of `flanlite fewshot`, whose report would be replaced."""
    from flanlite.config import SETTINGS_FILE, TYPE
    from flanlite.reading import read_json

    path = folder / SETTINGS_FILE
    found = read_json(path) if path.is_file() else None
    if isinstance(found, dict) and found.get(TYPE) == 'FewShotConfig':
        raise ValueError(
            f'{folder} is a folder of flanlite fewshot, which writes its own report: run that; expected '
            'the folder of a sweep or a transfer'
        )


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
