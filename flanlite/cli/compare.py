"""`flanlite compare`."""

import argparse

from flanlite.cli.command import Command, Flag, given
from flanlite.limits import Seed


def run(args: argparse.Namespace) -> None:
    """Compare two models on the same examples."""
    import pathlib

    from flanlite.config import at_home, check_folder
    from flanlite.report import paired, results, tables

    if not args.first or not args.second:
        raise ValueError('compare needs two folders: flanlite compare FIRST SECOND')
    if args.output:
        check_folder(at_home(args.output), 'name another --output')
        paired.check_own(pathlib.Path(at_home(args.output)), 'name another --output')
    compared = paired.compare(args.first, args.second, **given(args, 'system', 'seed'))
    tables.print_paired(compared)
    if args.output:
        folder = pathlib.Path(at_home(args.output))
        results.write_text(folder / 'comparison.md', tables.paired_markdown(compared))
        results.write_text(
            folder / 'comparison.json', results.to_json({'rows': compared.rows(), 'notes': compared.notes})
        )
        print(f'wrote {folder}/comparison.md and comparison.json')


FOLDER = 'the folder of an evaluation (flanlite eval --output), or of a sweep'
COMMAND = Command(
    'compare',
    'Evaluate',
    'Compare two models on the same examples: a paired bootstrap and a permutation test.',
    run,
    (
        Flag(
            'system',
            'of sweeps: which system, such as tuned (the default) or untuned',
            complete=('tuned', 'untuned', 'untuned_plain', 'no_instructions'),
        ),
        Flag('seed', 'of draws and permutations; by default 0', Seed),
        Flag('output', 'a folder for comparison.md and comparison.json', metavar='DIR', complete='file'),
    ),
    reads_gin=False,
    places=(
        Flag('first', FOLDER, metavar='FIRST', complete='file'),
        Flag('second', FOLDER, metavar='SECOND', complete='file'),
    ),
)
