"""The pieces of a run, merged: what was held out, verdicts, the tables of the report, and the report as Markdown."""

import dataclasses
import math
import pathlib
import re
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from flanlite.data.specs import clusters
from flanlite.report import results
from flanlite.report.figures import number
from flanlite.report.results import HELD_IN, HELD_OUT, MODELS, Piece
from flanlite.report.scores import Summary
from flanlite.train.journal import read_metrics

FEW_CLUSTERS = 3  # that fit side by side in 80 characters
CURVES = ('loss', 'accuracy')

METHOD = (
    'All scores are percent (0 to 100). A data set with answer options is scored by rank: the option with the greatest sum of token '
    'log-probabilities, without length normalisation. Others are decoded greedily and compared by the data set\'s own metric.',
    'Mean, sd, median and IQR are over the data set\'s templates (those that turn the task around are left out); a cluster\'s numbers '
    'are the means of its data sets\' numbers.',
    'The 95% interval is a percentile bootstrap over the rows of the data set: all templates of a row are drawn together.',
    'The model tuned without instructions is asked with instructions, as in FLAN (section 4.3): without them it could not know the task.',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Report:
    """The pieces of one run, merged, with the curves of what was trained."""

    title: str
    pieces: tuple[Piece, ...]
    curves: Mapping[tuple[str, str], Mapping[str, list[tuple[float, float]]]]  # (held-out cluster, model) -> metric -> (step, value)s

    def held_out(self) -> list[str]:
        """Name the held-out clusters, in the order that they have in the pieces."""
        return list(dict.fromkeys(piece.held_out_cluster for piece in self.pieces if piece.held_out_cluster))

    def of(self, cluster: str | None) -> dict[str, Piece]:
        """Return the pieces with one cluster held out, by model, in the order of the tables."""
        found = {piece.model: piece for piece in self.pieces if piece.held_out_cluster == cluster}
        return {model: found[model] for model in sorted(found, key=model_order)}

    def rows(self) -> list[dict[str, object]]:
        """Flatten all pieces."""
        return [row for piece in self.pieces for row in piece.rows()]


def model_order(model: str) -> tuple[int, str]:
    """Sort models as `MODELS` lists them, others behind."""
    return (list(MODELS).index(model), '') if model in MODELS else (len(MODELS), model)


def label(model: str) -> str:
    """Name a model in a table."""
    return MODELS[model][0] if model in MODELS else model


def piece_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the pieces of an evaluation (one in the folder) or of a sweep (`<cluster>/<model>/`)."""
    own = folder / results.PIECE
    return [own] if own.is_file() else sorted(folder.glob(f'*/*/{results.PIECE}'))


def collect(folder: pathlib.Path, title: str = '') -> Report:
    """Read a folder's piece, or a sweep's `<cluster>/<model>/` pieces, and the training curves that lie beside them."""
    pieces, curves = [], {}
    for path in piece_paths(folder):
        piece = results.load(path)
        pieces.append(piece)
        if found := read_curves(path.parent):
            curves[piece.held_out_cluster or '', piece.model] = found
    pieces.sort(key=lambda piece: (natural(piece.held_out_cluster or ''), model_order(piece.model)))
    if not pieces:
        raise ValueError(f'{folder} holds no results ({results.PIECE}) to report')
    return Report(title or pieces[0].run, tuple(pieces), curves)


def read_curves(model_dir: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """Read the curves from a run's metrics.jsonl."""
    records = read_metrics(model_dir)
    curves = {name: [(record['step'], record[name]) for record in records if name in record] for name in CURVES}
    return {name: points for name, points in curves.items() if points}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How many points the tuned model is above a rival, and whether the two 95% intervals are apart."""

    rival: str
    gain: float
    apart: bool

    def sentence(self) -> str:
        """Say it."""
        return f'{abs(self.gain):.1f} points {"above" if self.gain >= 0 else "below"} {self.rival}'


RIVALS = (
    (('untuned',), 'the untuned model with the same instructions'),
    (('untuned_plain',), 'the untuned model with its best plain prompt'),
    (('majority', 'chance'), 'the better simple rule'),
)


def verdict(models: Mapping[str, Piece]) -> list[Comparison]:
    """Compare the tuned model on the held-out cluster with the untuned one, asked in either way, and with the better simple rule."""
    groups = {model: piece.groups[HELD_OUT] for model, piece in models.items() if HELD_OUT in piece.groups}
    said = []
    for names, phrase in RIVALS:
        rivals = [groups[name] for name in names if name in groups]
        if rivals and 'tuned' in groups:
            tuned, best = groups['tuned'], max(rivals, key=lambda rival: rival.mean)
            above = all(tuned.low > rival.high for rival in rivals)
            said.append(Comparison(phrase, tuned.mean - best.mean, above or tuned.high < best.low))
    return said


def only_clusters(report: Report) -> bool:
    """Say whether nothing but clusters was held out."""
    return set(report.held_out()) <= set(clusters.CLUSTERS)


def overall(report: Report) -> list[str]:
    """Say in a sentence for each rival on how many held-out clusters, or other splits, the tuned model is above it."""
    said: dict[str, list[Comparison]] = {}
    for cluster in report.held_out():
        for comparison in verdict(report.of(cluster)):
            said.setdefault(comparison.rival, []).append(comparison)
    sentences = []
    for rival, comparisons in said.items():
        above = [comparison for comparison in comparisons if comparison.gain > 0]
        clear = sum(comparison.apart for comparison in above)
        share = f'{len(above)} of {len(comparisons)} held-out {"clusters" if only_clusters(report) else "splits"}'
        sentences.append(f'The tuned model is above {rival} on {share} ({clear} with 95% intervals apart).')
    return sentences


def summary_cells(summary: Summary) -> list[str]:
    """Write a summary as the cells mean ± sd, median, IQR, 95% interval."""
    mean, sd, median, q1, q3, low, high = (number(value) for value in dataclasses.astuple(summary))
    several, drawn = math.isfinite(summary.sd), math.isfinite(summary.low)
    over_templates = [f'{mean} ± {sd}', median, f'{q1} to {q3}'] if several else [mean, '–', '–']
    return [*over_templates, f'{low} to {high}' if drawn else '–']


SUMMARY_HEADINGS = ['mean ± sd', 'median', 'IQR', '95% interval']


def headline_rows(report: Report) -> list[list[str]]:
    """List held-out cluster, model and summary, a row each."""
    rows = []
    for cluster in report.held_out():
        for model, piece in report.of(cluster).items():
            if HELD_OUT in piece.groups:
                rows.append([cluster, label(model), *summary_cells(piece.groups[HELD_OUT])])
    return rows


LEVEL_HEADINGS = ['held out', 'model', 'level', 'data sets', *SUMMARY_HEADINGS]


def level_rows(report: Report) -> list[list[str]]:
    """List the levels of generalization, a row each, where there is another one than a held-out cluster."""
    rows = []
    for held_out in report.held_out():
        for model, piece in report.of(held_out).items():
            for level in (level for level in clusters.LEVELS if level in piece.groups):
                count = sum(task.level == level for task in piece.tasks)
                rows.append([held_out, label(model), level.replace('_', ' '), str(count), *summary_cells(piece.groups[level])])
    return rows if len({row[2] for row in rows} | {'held out cluster'}) > 1 else []


SERIES_HEADINGS = ['held out', 'model', 'tuned on clusters', 'on data sets', *SUMMARY_HEADINGS, 'mean by cluster']


def series_rows(report: Report) -> list[list[str]]:
    """List what a tuned model scores on the same held-out data sets after tuning on more and more, as the ablations of FLAN do."""
    series: dict[tuple[str, frozenset[str]], list[Piece]] = {}
    for piece in report.pieces:
        held_out = frozenset(task.task for task in piece.tasks if task.level != HELD_IN)
        if piece.trained and HELD_OUT in piece.groups:
            series.setdefault((piece.model, held_out), []).append(piece)
    rows = []
    for (model, _), pieces in series.items():
        for piece in pieces if len(pieces) > 1 else ():
            means: dict[str, list[float]] = {}
            for task in piece.tasks:
                if task.level != HELD_IN:
                    means.setdefault(task.cluster, []).append(task.summary.mean)
            by_cluster = ', '.join(f'{cluster} {number(sum(values) / len(values))}' for cluster, values in means.items())
            counts = (str(len(piece.trained)), str(sum(map(len, piece.trained.values()))))
            rows.append([piece.held_out_cluster or '', label(model), *counts, *summary_cells(piece.groups[HELD_OUT]), by_cluster])
    return rows


def natural(name: str) -> list[tuple[int, str]]:
    """Sort names by the numbers in them."""
    return [(int(part), '') if part.isdecimal() else (-1, part) for part in re.split(r'(\d+)', name)]


def task_rows(models: Mapping[str, Piece]) -> list[list[str]]:
    """List each task of one setting with every model's summary, a row for each."""
    tasks = dict.fromkeys((task.level, task.task) for piece in models.values() for task in piece.tasks)
    rows = []
    for level, name in tasks:
        for model, piece in models.items():
            for task in piece.tasks:
                if (task.level, task.task) == (level, name):
                    size = f'{task.num_rows:,} × {len(task.templates)}'
                    rows.append([name, level.replace('_', ' '), label(model), task.headline, size, *summary_cells(task.summary)])
    return rows


TASK_HEADINGS = ['data set', 'level', 'model', 'metric', 'rows × templates', *SUMMARY_HEADINGS]


def skipped_rows(report: Report) -> list[list[str]]:
    """List what gave no score, where, and why; the models of one setting that share a reason share a row."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for piece in report.pieces:
        for task, reason in piece.skipped.items():
            reasons.setdefault((piece.held_out_cluster or '', task, reason), []).append(label(piece.model))
    return [[cluster, task, ', '.join(models), reason] for (cluster, task, reason), models in reasons.items()]


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table; bars and line ends in cells are escaped."""
    lines = [headings, ['---'] * len(headings), *rows]
    return ['| ' + ' | '.join(' '.join(cell.replace('|', '\\|').split()) for cell in cells) + ' |' for cells in lines]


def removal(cluster: str, models: Mapping[str, Piece]) -> str:
    """Say what else left training with a cluster, and what stayed."""
    piece = next((piece for piece in models.values() if piece.trained), next(iter(models.values())))
    gone = f'also removed because they overlap with it: {", ".join(piece.removed)}' if piece.removed else 'nothing else had to be removed'
    data_sets = sum(len(names) for names in piece.trained.values())
    stayed = f'; tuned on {data_sets} data sets of {len(piece.trained)} clusters ({", ".join(piece.trained)})' if data_sets else ''
    return gone + stayed


def markdown(report: Report) -> str:
    """Write the report as Markdown."""
    lines = [f'# {report.title}', '', *([' '.join(said), ''] if (said := overall(report)) else [])]
    for cluster in report.held_out():
        models = report.of(cluster)
        lines.append(f'- **Held out: {cluster}**; {removal(cluster, models)}.')
        for said in verdict(models):
            lines.append(f'  - tuned is {said.sentence()} (intervals {"apart" if said.apart else "overlap"})')
    if rows := headline_rows(report):
        lines += ['', '## What was held out', '', *markdown_table(['held out', 'model', *SUMMARY_HEADINGS], rows)]
    for heading, headings, rows in extra_tables(report):
        lines += ['', f'## {heading}', '', *markdown_table(headings, rows)]
    lines += ['', *(f'- {name}: {meaning}' for name, meaning in MODELS.values())] if report.held_out() else []
    for cluster in dict.fromkeys(piece.held_out_cluster for piece in report.pieces):
        heading = f'Data sets with {cluster} held out' if cluster else 'Data sets'
        lines += ['', f'## {heading}', '', *markdown_table(TASK_HEADINGS, task_rows(report.of(cluster)))]
    lines += ['', '## Skipped', '']
    skipped = skipped_rows(report)
    lines += markdown_table(['held out', 'data set', 'models', 'reason'], skipped) if skipped else ['Nothing was skipped.']
    lines += ['', '## How the numbers were made', '', *(f'- {sentence}' for sentence in (*METHOD, *notes(report)))]
    first = report.pieces[0]
    lines += ['', '## Environment', '', *(f'- {name}: {value}' for name, value in first.environment.items())]
    lines += ['', '## Configuration', '', '```', first.settings.strip(), '```', '']
    return '\n'.join(lines)


def extra_tables(report: Report) -> list[tuple[str, list[str], list[list[str]]]]:
    """List the heading, headings and rows of the tables that only some sweeps have."""
    tables = (
        ('Levels of generalization', LEVEL_HEADINGS, level_rows(report)),
        ('The same data sets held out, tuned on more', SERIES_HEADINGS, series_rows(report)),
    )
    return [table for table in tables if table[2]]


def notes(report: Report) -> list[str]:
    """Gather the pieces' notes, each once."""
    return list(dict.fromkeys(note for piece in report.pieces for note in piece.notes))


def print_headline(report: Report) -> None:
    """Print what there is so far: models by held-out cluster, or clusters by model where there are many."""
    clusters = report.held_out()
    models = sorted({piece.model for piece in report.pieces}, key=model_order)
    few = len(clusters) <= FEW_CLUSTERS
    between = '  ' if few else '\n'
    cells = {(cluster, model): headline_cell(report.of(cluster).get(model), between) for cluster in clusters for model in models}
    if few:
        table = Table('model', *clusters)
        for model in models:
            table.add_row(label(model), *(cells[cluster, model] for cluster in clusters))
    else:
        headings = [label(model).replace(' ', '\n', 1) for model in models]
        table = Table('held out', *headings, box=box.SIMPLE, padding=0, show_edge=False)  # seven columns in 80 characters
        for cluster in clusters:
            table.add_row(cluster.replace('_', '_\n', 1), *(cells[cluster, model] for model in models))
    Console().print(table)


def headline_cell(piece: Piece | None, between: str) -> str:
    """Write a piece's mean and 95% interval on the held-out cluster."""
    if piece is None or HELD_OUT not in piece.groups:
        return ''
    group = piece.groups[HELD_OUT]
    return f'{number(group.mean)}{between}{number(group.low)}-{number(group.high)}'


def print_tasks(piece: Piece) -> None:
    """Print one model's tasks."""
    table = Table('data set', 'metric', 'rows x templates', 'mean ± sd', '95% interval')
    for task in piece.tasks:
        cells = summary_cells(task.summary)
        table.add_row(task.task, task.headline, f'{task.num_rows:,} x {len(task.templates)}', cells[0], cells[-1])
    Console().print(table)
    for task, reason in piece.skipped.items():
        print(f'skipped {task}: {reason}')
