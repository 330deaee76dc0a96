"""`flanlite show`."""

import argparse
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from flanlite.cli import command, lint
from flanlite.cli.command import DROP, LINEAGE, MIXTURE, PROMPT_MIX, SHOTS, VOCABULARY, Command, Flag
from flanlite.cli.console import CONSOLE
from flanlite.data import preview
from flanlite.data.cache.cache import CacheReport
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import linting, prompt_mix, registry, specs
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.limits import Whole
from flanlite.paths import at_home

LENGTHS = {'inputs': 512, 'targets': 128}  # of a page, where no gin file says any


def run(args: argparse.Namespace) -> None:
    """Print a mixture's tasks with counts, caps, rates and shares, SeqIO's with their metrics, then rendered
    examples with their tokens.
    """
    from flanlite.cli import cached_splits
    from flanlite.data.mixing import mixtures
    from flanlite.data.rendering import fewshot
    from flanlite.eval import seqio_metrics

    if args.html:
        from flanlite.report import data_page  # a page needs Jinja and tables, a terminal neither

        data_page.check(args.html)
    command.read_gin(args)
    if args.data:
        if args.mixture:
            raise ValueError(f'got --mixture={args.mixture} and --data={args.data}; expected one of them')
        args.mixture = os.path.abspath(at_home(args.data))
    mixed = command.mixture_of(args)
    report = cached_splits.ensure(args, mixed, 'train')
    if not report.splits:
        raise ValueError(f'nothing of {mixed.name!r} could be cached: {report.reasons()}')
    counts = {name: cached.num_examples for name, cached in report.splits.items()}
    rates = mixtures.rates(mixed, counts)
    total = sum(rates.values())
    tasks = '1 task' if len(counts) == 1 else f'{len(counts)} tasks'
    table = Table(title=f'{mixed.name}: {tasks}, total rate {short(total)}')
    for heading in ('cluster', 'task'):
        table.add_column(heading)
    for heading in ('examples', 'max_examples', 'max_rate', 'rate', 'share %'):
        table.add_column(heading, justify='right')
    rows = []
    for entry in mixed.entries:
        if entry.task in counts:
            caps = [f'{cap:,}' if cap else '-' for cap in (entry.max_examples, entry.max_rate)]
            numbers = [
                f'{counts[entry.task]:,}',
                *caps,
                short(rates[entry.task]),
                short(100 * rates[entry.task] / total, places=2),
            ]
            rows.append((entry.cluster or '', entry.task, *numbers))
            table.add_row(*rows[-1])
    CONSOLE.print(table)
    vocabulary = cached_splits.vocabulary_of(args, mixed)
    for entry in mixed.entries:
        spec = registry.find_spec(entry.task)
        if entry.task in counts and spec is None:
            CONSOLE.print(Text(f'{entry.task}: {seqio_metrics.metrics_line(entry.task)}'))
        elif entry.task in counts and isinstance(spec, specs.DatasetSpec):
            for fault in option_faults(spec, vocabulary, args.data_dir):
                CONSOLE.print(Text(f'{entry.task}: {fault}', style='yellow'))
    if mixed.held_out:
        CONSOLE.print(f'held out: {mixed.held_out}; removed with it: {", ".join(mixed.removed) or "nothing"}')
    if mixed.shots:
        CONSOLE.print(
            fewshot.kept_note({name: cached.manifest['shots'] for name, cached in report.splits.items()})
        )
    if told := prompt_mix.note({name: cached.manifest for name, cached in report.splits.items()}):
        CONSOLE.print(told)
    for name, reason in report.skipped.items():
        CONSOLE.print(Text(f'skipped {name}: {reason}', style='yellow'))
    count = 1 if args.examples is None else args.examples
    if args.html:
        write_page(args, mixed, report, rates, rows, count)
    else:
        print_examples(report, vocabulary, count)


def write_page(
    args: argparse.Namespace,
    mixed: Mixture,
    report: CacheReport,
    rates: Mapping[str, float],
    rows: Sequence[Sequence[str]],
    count: int,
) -> None:
    """Write the page that shows a mixture.

    Args:
        args: the command's.
        mixed: the mixture.
        report: its cached splits.
        rates: its mixing rates.
        rows: the table of its tasks.
        count: how many examples of each template are shown.
    """
    from flanlite.cli import cached_splits, gin_config
    from flanlite.data import overview
    from flanlite.report import data_page

    known = gin_config.macro('TASK_FEATURE_LENGTHS', None)
    config = gin_config.build(
        'DataConfig',
        mixture=mixed.name,
        feature_lengths=known or LENGTHS,
        batch_size=gin_config.macro('BATCH_SIZE', 16),
    )
    model = gin_config.macro('MODEL', None)
    seed = gin_config.macro('SEED', 0)
    packed = overview.packing(
        report.splits.values(), rates, config, seed, getattr(model, 'converter', 'encoder_decoder')
    )
    vocabulary = cached_splits.vocabulary_of(args, mixed)
    lengths = config.feature_lengths
    total = sum(split.num_examples for split in report.splits.values())
    facts = [
        f'{len(report.splits):,} tasks, {total:,} examples',
        f'vocabulary {vocabulary.name}',
        f'cut at {lengths["inputs"]:,} tokens of inputs and {lengths["targets"]:,} of targets'
        + ('' if known else ', since no TASK_FEATURE_LENGTHS were given'),
        *([f'held out: {mixed.held_out}'] if mixed.held_out else []),
    ]
    view = cached_splits.view(args, mixed, 'train')
    data_page.build(
        args.html,
        f'{mixed.name}: training data',
        facts,
        rows,
        report.splits,
        {entry.task: entry.cluster or '' for entry in mixed.entries},
        vocabulary,
        lengths,
        packed,
        overview.all_duplicates(report.splits, view, args.data_dir),
        report.skipped,
        count,
    )
    CONSOLE.print(f'wrote {args.html}')


def option_faults(
    spec: specs.DatasetSpec, vocabulary: Vocabulary, data_dir: str | None = None
) -> Iterable[str]:
    """Return what is wrong with the options of a data set's first rows, each fault once."""
    examples = filter(None, map(spec.example, lint.first_rows(spec, data_dir)[1]))
    faults = (linting.option_faults(example['options'], vocabulary.encode) for example in examples)
    return dict.fromkeys(itertools.chain.from_iterable(faults))


def short(number: float, places: int = 0) -> str:
    """Write a number with some decimal places, or with three digits where these would be off by more than a
    hundredth of it.
    """
    near = abs(round(number, places) - number) <= abs(number) / 100
    return f'{number:,.{places}f}' if near else f'{number:,.3g}'


def print_examples(report: CacheReport, vocabulary: Vocabulary, count: int) -> None:
    """Print the first examples of each task: template, text, and the pieces of it with their token ids."""
    for example in preview.rendered(report, vocabulary, count):
        exemplars = (
            f', exemplars: {example["shots"]}' if report.splits[example['task']].manifest['shots'] else ''
        )
        if example['setting']:
            exemplars = f', {example["setting"]}, exemplars: {example["shots"]}'
        if example['form']:
            exemplars += f', options: {example["form"]!r}'
        CONSOLE.rule(
            Text(f'{example["task"]}: row {example["row"]}, template {example["template"]}{exemplars}'),
            align='left',
        )
        for part, tokens in (('inputs', example['input_tokens']), ('targets', example['target_tokens'])):
            CONSOLE.print(Text(f'{part} ({len(tokens)} tokens)', style='bold'))
            CONSOLE.print(Text(example[part]))
            pieces = zip(vocabulary.pieces(tokens), tokens, strict=True)
            CONSOLE.print(Text(' '.join(f'{piece}:{token}' for piece, token in pieces), style='dim'))


COMMAND = Command(
    'show',
    'Look at data',
    "Print a mixture's tasks, counts, caps, rates and shares, and rendered examples with their tokens.",
    run,
    (
        MIXTURE,
        Flag(
            'data',
            'in place of a mixture a file or folder of instruction data, as --mixture=PATH too; :skip behind '
            'it leaves bad rows out',
            metavar='PATH',
            complete='file',
        ),
        VOCABULARY,
        Flag(
            'examples',
            'how many rendered examples to show of each task, or on a page of each template',
            Whole,
        ),
        Flag(
            'html',
            'a file for a page with examples of each template, packed rows, lengths and duplicates, in place '
            'of printed examples',
            metavar='FILE',
            complete='file',
        ),
        LINEAGE,
        SHOTS,
        PROMPT_MIX,
        DROP,
    ),
)
