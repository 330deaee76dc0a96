"""The results of `flanlite transfer` as tables, plots, Markdown and a page."""

import dataclasses
import math
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from flanlite.report import figures, page, results, scores, seeds, tables
from flanlite.report.figures import number
from flanlite.report.page import PageTable, Plot
from flanlite.report.scores import Difference
from flanlite.report.transfer import (
    FEWEST,
    PAIR_SYSTEMS,
    START,
    STRATEGIES,
    ZERO_SHOT,
    Combined,
    TransferReport,
    correlate,
)

# Of curves: (label, colour). No more than three names fit below a plot.
CURVES = {
    'plain': ('Plain', 'm-untuned'),
    'best': ('Best of top-k', 'm-tuned'),
    'average': ('Average', 'm-no_instructions'),
}
OWN = '·'  # in the cell of a source that is, or has in it, the target
NAME_LENGTH = 20
METHOD = (
    'A score is the mean over the templates of a data set, on its test split; intervals are those of 95% '
    'over its rows, drawn with replacement, the same rows for what is compared, and over the seeds, where '
    'there are several.',
    'What is chosen (the best of some sources) is chosen by the score of the last step on validation rows, '
    'which the scores shown are not of, but where a note says so.',
    "Similarities are of prompts at an early step: the mean tokens' cosine and the mean cosine of all "
    'pairs of tokens (Vu et al. 2022); 1 / (1 + distance) of whole prompts and of pairs of tokens, and '
    'the overlap of activated neurons (Su et al. 2022).',
    'A correlation is over all pairs of a source and a target, or over their differences from the mean of '
    'their target. Its interval draws sources and targets with replacement, both at once; with few of '
    'them it is wide. It takes no account of there being several similarities.',
    'A source that is the target, or a mixture that has it, is left out of what is retrieved and correlated.',
)


def build(folder: pathlib.Path, found: TransferReport) -> TransferReport:
    """Write the results.json, report.md and report.html of what was measured."""
    texts = {
        'results.json': results.to_json(rows(found)),
        'report.md': markdown(found),
        'report.html': page.render('transfer.html', values(found)),
    }
    results.write_texts(folder, texts)
    return found


def rows(found: TransferReport) -> list[dict[str, Any]]:
    """Return each score as a flat dictionary; a pair's has its similarities."""
    flat = []
    for trial in found.trials:
        summary = trial.result.tasks[0].summary
        row = {
            'target': trial.target,
            'system': trial.system,
            'source': trial.source or None,
            'seed': trial.seed,
            'metric': trial.result.tasks[0].headline,
            'value': summary.mean,
            'low': summary.low,
            'high': summary.high,
            'steps_to_share': found.steps(trial) if trial.curve else None,
            'curve': [list(point) for point in trial.curve],
        }
        key = (trial.source, trial.target, trial.seed)
        flat.append(row | {name: values.get(key) for name, values in found.similarities.items()})
    return flat


CORRELATION_HEADINGS = ['similarity', 'with', 'over', 'pairs', 'Pearson (95%)', 'Spearman (95%)']


def correlation_rows(found: TransferReport) -> list[list[str]]:
    """Return a row for each similarity and what transferred: the correlation over all pairs, and within
    targets.
    """
    pairs, table = found.pairs(), []
    for system in PAIR_SYSTEMS:
        gains = [found.gain(target, system, source) for source, target in pairs]
        count = int(np.isfinite(gains).sum())
        for name in found.similarities if count >= FEWEST else ():
            alike = [found.alike(name, *pair) for pair in pairs]
            for within in (False, True):
                both = correlate(pairs, alike, gains, within)
                over = 'within targets' if within else 'all pairs'
                cells = [each.cell() for each in both]
                table.append([name.replace('_', ' '), GAINS[system], over, str(count), *cells])
    return table


GAINS = {ZERO_SHOT: 'zero-shot gain', START: 'gain as a beginning'}


def strategy_headings(found: TransferReport) -> list[str]:
    """Return the headings of `strategy_rows`."""
    reach = f'steps to {100 * found.share:g}% of plain'
    return ['strategy', 'targets', 'mean', '95% interval', 'gain over plain (95%)', reach, 'speed-up']


def strategy_rows(found: TransferReport, targets: Iterable[str] | None = None) -> list[list[str]]:
    """Return a row for each strategy: its mean over the targets that it has been tried on, the gain over
    plain prompt tuning on these, and the steps.

    Args:
        found: the results.
        targets: those to average over; by default all.
    """
    table = []
    for strategy, (label, _) in STRATEGIES.items():
        each = {target: found.combined(target, strategy) for target in targets or found.targets}
        each = {target: score for target, score in each.items() if score}
        if not each:
            continue
        low, high, mean = over_targets(each.values())
        plain = {target: score for target in each if (score := found.combined(target, 'plain'))}
        compared = strategy != 'plain' and plain
        gain = compare(each, plain) if compared else None
        cell = f'{gain.mean:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})' if gain else ''
        cells = [number(mean), f'{number(low)} to {number(high)}', cell, steps_cell(each.values())]
        table.append([label, str(len(each)), *cells, speed_up(each, plain) if compared else ''])
    return table


def over_targets(each: Iterable[Combined]) -> tuple[float, float, float]:
    """Return the ends of the 95% interval of the mean of targets' scores, and the mean."""
    each = list(each)
    mean = float(np.mean([one.score for one in each]))
    drawn = np.mean([one.resampled.means for one in each], axis=0)
    low, high = scores.bounds(mean, drawn, [(one.resampled.below, one.resampled.above) for one in each])
    low, high = seeds.widened(mean, low, high, seeds.reach(list(means_by_seed(each).values())))
    least, greatest = np.mean([one.limits for one in each], axis=0).tolist()
    return max(low, least), min(high, greatest), mean


def means_by_seed(each: Iterable[Combined]) -> dict[int, float]:
    """Return the mean of targets' scores with each seed that all of them have."""
    tables = [one.by_seed for one in each]
    return {
        seed: float(np.mean([table[seed] for table in tables]))
        for seed in set(tables[0]).intersection(*tables)
    }


def compare(ours: Mapping[str, Combined], theirs: Mapping[str, Combined]) -> Difference:
    """Return how much higher one side is on the targets of both. The interval holds the variance over seeds,
    too, of the differences where both sides have the same ones.
    """
    both = [target for target in ours if target in theirs]
    mean = float(np.mean([ours[target].score - theirs[target].score for target in both]))
    found = scores.difference(mean, *([side[target].resampled for target in both] for side in (ours, theirs)))
    one, other = (means_by_seed(side[target] for target in both) for side in (ours, theirs))
    if one.keys() == other.keys():
        reach = seeds.reach([one[seed] - other[seed] for seed in one])
    else:  # what is not tuned has one seed
        reach = math.hypot(*(seeds.reach(list(each.values())) for each in (one, other)))
    low, high = seeds.widened(mean, found.low, found.high, reach)
    return dataclasses.replace(found, low=low, high=high)


def steps_cell(each: Iterable[Combined]) -> str:
    """Return the mean number of steps of what reached the share, and how many did where not all."""
    steps = [step for one in each for step in one.steps]
    reached = [step for step in steps if math.isfinite(step)]
    if not steps:
        return ''
    mean = f'{np.mean(reached):.0f}' if reached else '–'
    return mean if len(reached) == len(steps) else f'{mean} ({len(reached)} of {len(steps)} reached it)'


def speed_up(ours: Mapping[str, Combined], plain: Mapping[str, Combined]) -> str:
    """Return how many times as many steps plain prompt tuning took, over the targets on which both always
    reached the share; empty where there is none, or no step was needed.
    """
    both = [
        (np.mean(ours[target].steps), np.mean(plain[target].steps))
        for target in plain
        if target in ours
        and ours[target].steps
        and np.isfinite((*ours[target].steps, *plain[target].steps)).all()
    ]
    steps, of_plain = np.sum(both, axis=0) if both else (0, 0)
    return f'{of_plain / steps:.1f}×' if steps else ''


TARGET_HEADINGS = [
    'target',
    'strategy',
    'sources',
    'score',
    '95% interval',
    'gain over plain (95%)',
    'steps',
    'speed-up',
]


def target_rows(found: TransferReport) -> list[list[str]]:
    """Return a row for each target and strategy, with the sources that were taken."""
    table = []
    for target in found.targets:
        for strategy, (label, _) in STRATEGIES.items():
            trials = found.of_strategy(target, strategy)
            if not trials:
                continue
            taken = dict.fromkeys(trial.source for trial in trials if trial.source)
            if strategy in ('average', 'mixture'):
                taken = dict.fromkeys(
                    source for trial in trials for source in found.retrieved.get((target, trial.seed), ())
                )
            named = '' if strategy == 'random' else ', '.join(taken)
            (cells,) = (row for row in strategy_rows(found, [target]) if row[0] == label)
            table.append([target, label, named, *cells[2:]])
    return table


def matrix(
    found: TransferReport, value: Callable[[str, str], float], title: str, scale: float, form: str
) -> str:
    """Draw sources x targets; empty where no value is there.

    Args:
        found: the results.
        value: of a source and a target.
        title: for screen readers.
        scale: the value with the strongest colour, or 0 for the largest.
        form: how a value is written.
    """
    values = {pair: value(*pair) for pair in found.pairs()}
    finite = [abs(each) for each in values.values() if math.isfinite(each)]
    if not finite:
        return ''
    largest = scale or max(finite) or 1.0

    def cell(source: str, target: str) -> figures.Cell:
        each = values.get((source, target), math.nan)
        shown = form.format(each) if math.isfinite(each) else (OWN if (source, target) in found.own else '–')
        return figures.Cell(shown, each / largest, f'{source} for {target}: {shown}')

    cells = [[cell(source, target) for target in found.targets] for source in found.sources]
    return figures.heat_map(
        title, *(list(map(shorten, each)) for each in (found.sources, found.targets)), cells
    )


def shorten(name: str) -> str:
    """Shorten a name to what fits beside a heat map on a phone."""
    return name if len(name) <= NAME_LENGTH else name[: NAME_LENGTH - 1] + '…'


def matrices(found: TransferReport) -> list[Plot]:
    """Draw the heat maps: what transferred in both ways, and the similarity that sources are retrieved by."""
    drawn = [
        Plot(
            described.partition(':')[0].capitalize(),
            described.partition(': ')[2],
            matrix(
                found,
                lambda source, target, of=system: found.gain(target, of, source),
                described,
                0.0,
                '{:+.1f}',
            ),
        )
        for system, described in PAIR_SYSTEMS.items()
    ]
    named = found.similarity.replace('_', ' ')
    alike = matrix(found, lambda *pair: found.alike(found.similarity, *pair), named, 0.0, '{:.2f}')
    return [plot for plot in (*drawn, Plot('Similarity', named, alike)) if plot.drawing]


def scatters(found: TransferReport) -> list[Plot]:
    """Draw each similarity against what transferred, a plot for each."""
    plots = []
    for system, named in GAINS.items():
        for name in found.similarities:
            points = [
                (found.alike(name, *pair), found.gain(pair[1], system, pair[0]), f'{pair[0]} for {pair[1]}')
                for pair in found.pairs()
            ]
            shown = name.replace('_', ' ')
            points = [(x, y, f'{label}: {shown} {x:.3f}, {named} {y:+.1f}') for x, y, label in points]
            finite = [point for point in points if math.isfinite(point[0] + point[1])]
            if len(finite) >= FEWEST:
                drawing = figures.scatter(f'{shown} and {named}', finite, shown, 'points', x_zero=False)
                plots.append(Plot(shown, named, drawing))
    return plots


def curve_plots(found: TransferReport) -> list[Plot]:
    """Draw the scores on validation rows over the steps, a plot for each target; of the first seed."""
    plots = []
    for target in found.targets:
        curves = [
            figures.Curve(colour, label, trials[0].curve)
            for strategy, (label, colour) in CURVES.items()
            if (trials := found.of_strategy(target, strategy))
        ]
        if drawing := figures.curves(f'{target}: validation score over steps', curves, 0.0, 100.0):
            plots.append(Plot(target, 'score on validation rows', drawing))
    return plots


def sentences(found: TransferReport) -> list[str]:
    """Write what the results say, first of the strategies, then of the similarities."""
    said = []
    for strategy in ('best', 'average', 'mixture'):
        each = {target: score for target in found.targets if (score := found.combined(target, strategy))}
        plain = {target: score for target in each if (score := found.combined(target, 'plain'))}
        if plain:
            gain = compare(each, plain)
            clear = 'clear of 0' if gain.low > 0 or gain.high < 0 else 'not clear of 0'
            said.append(
                f'{STRATEGIES[strategy][0]} is {abs(gain.mean):.1f} points '
                f'{"above" if gain.mean >= 0 else "below"} plain prompt tuning over {len(plain)} '
                f'target{"s" * (len(plain) != 1)} ({gain.low:+.1f} to {gain.high:+.1f}, {clear}); steps to '
                f'{100 * found.share:g}% of plain on validation rows: '
                f'{steps_cell(each[target] for target in plain)}, plain {steps_cell(plain.values())}.'
            )
    pairs = found.pairs()
    for system, named in GAINS.items():
        gains = [found.gain(target, system, source) for source, target in pairs]
        known = {
            name: correlate(pairs, [found.alike(name, *pair) for pair in pairs], gains)[0]
            for name in found.similarities
        }
        known = {name: each for name, each in known.items() if math.isfinite(each.value)}
        if known:
            name = max(known, key=lambda each: known[each].value)
            said.append(
                f'The {named} is best followed by the {name.replace("_", " ")}: r = {known[name].cell()}.'
                if known[name].low > 0
                else f'No similarity clearly follows the {named}; the highest correlation is that of the '
                f'{name.replace("_", " ")}: r = {known[name].cell()}.'
            )
    return said


def notes(found: TransferReport) -> list[str]:
    """Return how the numbers were made, and the notes of all results, each once."""
    return [*METHOD, *dict.fromkeys(note for trial in found.trials for note in trial.result.notes)]


def tables_of(found: TransferReport) -> list[PageTable]:
    """Return the tables in the order of the page."""
    return [
        PageTable('Strategies', strategy_headings(found), strategy_rows(found)),
        PageTable('Correlations', CORRELATION_HEADINGS, correlation_rows(found), 2),
        PageTable('Every target', TARGET_HEADINGS, target_rows(found), 1),
    ]


def missing(found: TransferReport) -> str:
    """Say which targets have no results yet; empty where all have."""
    waiting = [target for target in found.targets if not found.combined(target, 'plain')]
    return f'Without results so far: {", ".join(waiting)}.' if waiting else ''


def values(found: TransferReport) -> dict[str, Any]:
    """Return the values that `transfer.html` shows, by the names that it has for them."""
    strategies, correlations, targets = tables_of(found)
    tried = {row[0] for row in strategies.rows}
    environment = found.trials[0].result.environment if found.trials else {}
    return {
        'title': found.title,
        'sentences': [*sentences(found), missing(found)],
        'strategies': strategies,
        'meanings': [each for each in STRATEGIES.values() if each[0] in tried],
        'matrices': matrices(found),
        'scatters': scatters(found),
        'correlations': correlations,
        'curve_plots': curve_plots(found),
        'targets': targets,
        'method': notes(found),
        'environment': PageTable('Environment', ('what', 'which'), list(environment.items())),
        'settings': found.settings,
        'colours': {},
    }


def markdown(found: TransferReport) -> str:
    """Return the report as Markdown."""
    lines = [f'# {found.title}', '', ' '.join([*sentences(found), missing(found)]).strip()]
    for table in tables_of(found):
        if table.rows:
            lines += ['', f'## {table.caption}', '', *tables.markdown_table(table.headings, table.rows)]
    for heading, system in (('Zero-shot gains', ZERO_SHOT), ('Gains as a beginning', START)):
        cells = [
            [
                source,
                *(
                    signed(found.gain(target, system, source), (source, target) in found.own)
                    for target in found.targets
                ),
            ]
            for source in found.sources
        ]
        if any(cell not in ('–', OWN) for row in cells for cell in row[1:]):
            lines += ['', f'## {heading}', '', *tables.markdown_table(['source', *found.targets], cells)]
    lines += ['', '## How the numbers were made', '', *(f'- {note}' for note in notes(found))]
    return '\n'.join([*lines, '', '## Configuration', '', '```', found.settings.strip(), '```', ''])


def signed(gain: float, own: bool) -> str:
    """Write a gain as a cell."""
    if own:
        return OWN
    return f'{gain:+.1f}' if math.isfinite(gain) else '–'


def print_strategies(found: TransferReport) -> None:
    """Print the table of strategies, and what the results say."""
    table = Table(*strategy_headings(found), box=box.SIMPLE, show_edge=False, pad_edge=False)
    for row in strategy_rows(found):
        table.add_row(*row)
    Console(emoji=False, markup=False).print(table)
    for sentence in (*sentences(found), missing(found)):
        print(sentence)
