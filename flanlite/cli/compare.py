"""`flanlite compare`."""

import argparse

from flanlite.cli.command import Command, Flag, given
from flanlite.limits import Seed


def run(args: argparse.Namespace) -> None:
    """Compare two or more models on the same examples."""
    import pathlib

    from flanlite.paths import at_home, check_folder
    from flanlite.report import comparison_page, paired, results, tables

    if not args.first or not args.second:
        raise ValueError('compare needs two folders or more: flanlite compare FIRST SECOND [OTHERS ...]')
    if args.output:
        check_folder(at_home(args.output), 'name another --output')
        paired.check_own(pathlib.Path(at_home(args.output)), 'name another --output')
    paths = [args.first, args.second, *args.others]
    if args.system and all((pathlib.Path(at_home(path)) / results.RESULT).is_file() for path in paths):
        raise ValueError(f'--system={args.system} is of sweeps, and these are evaluations; leave it out')
    compared = paired.compare_all(paths, **given(args, 'system', 'seed'))
    for each in compared:
        tables.print_paired(each)
    if args.output:
        folder = pathlib.Path(at_home(args.output))
        comparison_page.write(folder, compared, **given(args, 'system'))
        print(f'wrote {folder}/comparison.html, comparison.md and comparison.json')


FOLDER = 'the folder of an evaluation (flanlite eval --output), or of a sweep'
COMMAND = Command(
    'compare',
    'Evaluate',
    'Compare models on the same examples: a paired bootstrap and a permutation test.',
    run,
    (
        Flag(
            'system',
            'of sweeps: which system, such as tuned (the default) or untuned',
            complete=('tuned', 'untuned', 'untuned_plain', 'no_instructions'),
        ),
        Flag('seed', 'of draws and permutations; by default 0', Seed),
        Flag(
            'output',
            'a folder for comparison.html, comparison.md and comparison.json',
            metavar='DIR',
            complete='file',
        ),
    ),
    reads_gin=False,
    places=(
        Flag('first', FOLDER, metavar='FIRST', complete='file'),
        Flag('second', FOLDER, metavar='SECOND', complete='file'),
        Flag(
            'others',
            'more folders; each is compared with the first',
            metavar='OTHERS',
            complete='file',
            repeats=True,
        ),
    ),
)
