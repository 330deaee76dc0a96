"""`flanlite cache`."""

import argparse
import json

from flanlite.cli import command
from flanlite.cli.command import DROP, MIXTURE, PROMPT_MIX, SHOTS, VOCABULARY, Command, Flag
from flanlite.limits import Processes


def run(args: argparse.Namespace) -> None:
    """Build the token cache of a mixture's tasks and print what was built, and what was skipped and why."""
    from rich.table import Table

    from flanlite.cli import cached_splits
    from flanlite.cli.console import CONSOLE
    from flanlite.data.specs import specs

    command.read_gin(args)
    split = args.split or 'all'
    if split not in (*specs.SPLITS, 'all'):
        raise ValueError(f'unknown split {split!r}; expected {", ".join(specs.SPLITS)} or all')
    mixed = command.mixture_of(args)
    wanted = specs.SPLITS if split == 'all' else (split,)
    options = command.given(args, 'fail_fast', 'rebuild', 'processes')
    options['beam_flags'] = (f'--runner={args.runner}', *args.beam_flags) if args.runner else ()
    reports = {each: cached_splits.ensure(args, mixed, each, **options) for each in wanted}
    table = Table('task', title=f'cache of {mixed.name}')
    for each in wanted:
        table.add_column(each, justify='right')
    for heading in ('data', 'dropped'):
        table.add_column(heading)
    for task in (entry.task for entry in mixed.entries):
        built = {each: report.splits[task] for each, report in reports.items() if task in report.splits}
        if built:
            counts = [f'{built[each].num_examples:,}' if each in built else '-' for each in wanted]
            manifests = [cached.manifest for cached in built.values()]
            dropped = next((manifest['filtered'] for manifest in manifests if manifest.get('filtered')), None)
            table.add_row(task, *counts, manifests[0].get('version'), cell(dropped))
    if table.rows:
        CONSOLE.print(table)
    built = {task for report in reports.values() for task in report.splits}
    absent = [entry.task for entry in mixed.entries if entry.task not in built]
    gone = f'; not at hand, for the reasons above: {", ".join(absent)}' if absent else ''
    CONSOLE.print(f'{len(built)} of {len(mixed.entries)} data sets are cached{gone}')
    if not built:
        report = next((report for report in reports.values() if report.skipped), reports[wanted[0]])
        raise ValueError(f'nothing of {mixed.name!r} could be cached: {report.reasons()}')


def cell(value: object) -> str:
    """Write a manifest's value in a table's cell."""
    return '' if value in (None, {}, 0) else value if isinstance(value, str) else json.dumps(value)


COMMAND = Command(
    'cache',
    'Look at data',
    'Turn the tasks of a mixture into the token cache.',
    run,
    (
        MIXTURE,
        Flag(
            'split',
            'train, validation, test, or all, the default',
            complete=('train', 'validation', 'test', 'all'),
        ),
        VOCABULARY,
        Flag('fail_fast', 'stop at the first task that fails, instead of skipping and naming it', bool),
        Flag('rebuild', 'build again what is cached already', bool),
        SHOTS,
        PROMPT_MIX,
        DROP,
        Flag(
            'processes',
            'how many processes build the cache; by default as many as there are CPUs to use',
            Processes,
        ),
        Flag(
            'runner',
            'build on Apache Beam: DirectRunner, DataflowRunner, FlinkRunner, SparkRunner; with it, any '
            "other flag is Beam's",
            complete=('DirectRunner', 'DataflowRunner', 'FlinkRunner', 'SparkRunner'),
        ),
    ),
)
