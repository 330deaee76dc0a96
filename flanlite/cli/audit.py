"""`flanlite audit`."""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from flanlite.cli import command
from flanlite.cli.command import DROP, LINEAGE, MIXTURE, Command, Flag
from flanlite.limits import Count, Processes, Share
from flanlite.paths import absolute, at_home, check_file
from flanlite.writing import whole_file

if TYPE_CHECKING:
    from flanlite.data.mixing.audit import Audit

WORST = 30  # pairs of data sets, or held-out data sets, that an audit prints
SAMPLE = 60  # characters of the text that they share
SHARED = 1  # the exit status where more is shared than --max_shared allows


def run(args: argparse.Namespace) -> None:
    """Print which training data sets share text with what a mixture holds out, and with what is named beside
    it, the worst first; see `audit.search`.
    """
    from flanlite.cli import gin_config
    from flanlite.cli.console import CONSOLE
    from flanlite.data.mixing import audit as audits

    for file in filter(None, (args.output, args.report)):
        check_file(file)
    if args.output and args.report and absolute(args.output) == absolute(args.report):
        raise ValueError(f'--output and --report are both {args.output!r}; expected two files')
    command.read_gin(args)
    mixture = gin_config.build(
        'MixtureConfig', name=command.mixture_name(args), **command.given(args, 'held_out')
    )
    found = audits.search(
        mixture,
        against=args.against,
        **command.given(args, 'ngram', 'max_rows', 'data_dir', 'processes'),
    )
    show(found)
    if args.output:
        lines = [json.dumps(line) for line in found.to_drop()]
        with whole_file(at_home(args.output)) as file:
            file.writelines(f'{line}\n' for line in lines)
        CONSOLE.print(f'wrote the {len(lines):,} training examples that share text to {args.output}')
    if args.report:
        with whole_file(at_home(args.report)) as file:
            json.dump(found.to_json(), file, indent=1)
    if args.max_shared is not None and found.most_shared() > args.max_shared:
        CONSOLE.print(
            f'{found.most_shared():.1%} of a held-out data set share text, more than --max_shared='
            f'{args.max_shared:g} allows',
            markup=False,
        )
        sys.exit(SHARED)


def show(found: 'Audit') -> None:
    """Print the pairs and the held-out data sets that share most, and what was not searched."""
    from rich.table import Table
    from rich.text import Text

    from flanlite.cli.console import CONSOLE
    from flanlite.data.mixing import audit as audits

    named = f'{found.mixture.name}, {found.mixture.held_out} held out' * bool(found.mixture.held_out)
    title = (
        f'{named or found.mixture.name}: whole fields and runs of {found.ngram} words that training shares'
    )
    pairs = Table(
        'trained on', 'held out', 'rows', '%', 'by field', 'by run', 'examples', 'such as', title=title
    )
    worst = found.worst()
    for pair in worst[:WORST]:
        total = found.held_out[pair.held_out].rows
        rows = (f'{pair.affected():,} of {total:,}', f'{100 * pair.affected() / total:.1f}')
        by = (f'{len(pair.rows[how]):,}' for how in audits.HOW)
        examples = f'{len(pair.examples):,}'
        sample = Text(pair.sample[:SAMPLE])
        pairs.add_row(Text(pair.trained), Text(pair.held_out), *rows, *by, examples, sample)
    CONSOLE.print(pairs)
    mostly = f'{audits.MOSTLY:.0%} of their runs'
    each = Table('held out', 'rows', 'share text', '%', mostly, 'too short for a run')
    shared = sorted(found.held_out.items(), key=lambda item: item[1].shared / item[1].rows, reverse=True)
    for name, told in shared[:WORST]:
        counts = (f'{count:,}' for count in (told.mostly, told.short))
        each.add_row(
            Text(name), f'{told.rows:,}', f'{told.shared:,}', f'{100 * told.shared / told.rows:.1f}', *counts
        )
    CONSOLE.print(each)
    more = (max(0, len(worst) - WORST), max(0, len(shared) - WORST))
    if any(more):
        CONSOLE.print(
            f'{more[0]:,} more pairs and {more[1]:,} more held-out data sets share less: --report has all'
        )
    rows = sum(found.searched.values())
    CONSOLE.print(f'{rows:,} training rows of {len(found.searched):,} data sets were searched')
    for reason in dict.fromkeys(found.skipped.values()):
        names = [name for name in found.skipped if found.skipped[name] == reason]
        CONSOLE.print(Text(f'not searched: {", ".join(names)}: {reason}', style='yellow'))


COMMAND = Command(
    'audit',
    'Look at data',
    "Search a mixture's training data for text of what it holds out, and of benchmarks.",
    run,
    (
        MIXTURE,
        Flag('held_out', 'the cluster to hold out, or another hold-out such as intra_3'),
        Flag(
            'against',
            'what else must not be trained on: bbh, mmlu, a data set, or a path of texts; may repeat',
            metavar='NAME',
            complete='mixture',
            repeats=True,
        ),
        Flag('ngram', 'how many words in a row two texts share; 13 by default', Count),
        Flag('max_rows', 'at most so many rows of each data set', Count),
        Flag(
            'output',
            'a JSONL file for the training examples that share text',
            metavar='FILE',
            complete='file',
        ),
        Flag('report', 'a JSON file for all that was found', metavar='FILE', complete='file'),
        Flag(
            'max_shared',
            'exit with status 1 where more than this share of the rows of a held-out data set share text',
            Share,
        ),
        Flag(
            'processes', 'how many processes search; by default as many as there are CPUs to use', Processes
        ),
        DROP,
        LINEAGE,
    ),
)
