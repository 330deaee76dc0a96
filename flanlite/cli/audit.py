"""`flanlite audit`."""

import argparse
import json

from flanlite.cli import command
from flanlite.cli.command import LINEAGE, MIXTURE, Command, Flag
from flanlite.config import at_home, check_file
from flanlite.limits import Count
from flanlite.writing import whole_file

WORST = 30  # pairs of data sets that an audit prints
SAMPLE = 60  # characters of the text that they share


def run(args: argparse.Namespace) -> None:
    """Print which training data sets share text with what a mixture holds out, the worst first; see
    `audit.search`.
    """
    from rich.table import Table
    from rich.text import Text

    from flanlite.cli import gin_config
    from flanlite.cli.console import CONSOLE
    from flanlite.data.mixing import audit as audits

    if args.output:
        check_file(args.output)
    command.read_gin(args)
    mixture = gin_config.build(
        'MixtureConfig', name=command.mixture_name(args), **command.given(args, 'held_out')
    )
    found = audits.search(mixture, **command.given(args, 'ngram', 'max_rows', 'data_dir'))
    shared = f'whole fields and runs of {found.ngram} words that training shares'
    title = f'{found.mixture.name}, {found.mixture.held_out} held out: {shared}'
    table = Table(
        'trained on', 'held out', 'rows', '%', 'by field', 'by run', 'examples', 'such as', title=title
    )
    for pair in found.worst()[:WORST]:
        total = found.searched[pair.held_out]
        rows = (f'{pair.affected():,} of {total:,}', f'{100 * pair.affected() / total:.1f}')
        by = (f'{len(pair.rows[how]):,}' for how in audits.HOW)
        table.add_row(
            pair.trained, pair.held_out, *rows, *by, f'{len(pair.examples):,}', Text(pair.sample[:SAMPLE])
        )
    CONSOLE.print(table)
    for reason in dict.fromkeys(found.skipped.values()):
        names = [name for name in found.skipped if found.skipped[name] == reason]
        CONSOLE.print(Text(f'not searched: {", ".join(names)}: {reason}', style='yellow'))
    if args.output:
        lines = [json.dumps(line) for line in found.to_drop()]
        with whole_file(at_home(args.output)) as file:
            file.writelines(f'{line}\n' for line in lines)
        CONSOLE.print(f'wrote the {len(lines):,} training examples that share text to {args.output}')


COMMAND = Command(
    'audit',
    'Look at data',
    "Search a mixture's training data for text of what it holds out.",
    run,
    (
        MIXTURE,
        Flag('held_out', 'the cluster to hold out, or another hold-out such as intra_3'),
        Flag('ngram', 'how many words in a row two texts share; 13 by default', Count),
        Flag('max_rows', 'at most so many rows of each data set', Count),
        Flag(
            'output',
            'a JSONL file for the training examples that share text',
            metavar='FILE',
            complete='file',
        ),
        LINEAGE,
    ),
)
