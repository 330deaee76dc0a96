"""How far a model's answers hold where only the form of a question changes: the scores as is and changed,
their paired difference, and how many answers changed.

Letters in the names of arrays are those of `scores`: R rows, P templates, K counts.
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Column, Table

from flanlite import reading
from flanlite.data.specs.variations import ANSWER_WORDS, OPTION_ORDER
from flanlite.metrics.metric import Metric
from flanlite.report import figures, page, paired, predictions, results, tables
from flanlite.report.figures import number
from flanlite.report.page import PageTable, Plot
from flanlite.report.scores import CONFIDENCE, nanmean

TEMPLATES = 'templates'
AS_IS = 'as_is'  # the folder of what is not changed
# What is changed: (heading, what is compared with what, names of the two scores).
KINDS: dict[str, tuple[str, str, tuple[str, str]]] = {
    OPTION_ORDER: (
        'Option order',
        'The options of each example are shown in another order, with the templates that show them.',
        ('as is', 'reordered'),
    ),
    ANSWER_WORDS: (
        'Answer words',
        'The options are replaced by other words, with the templates that show the options and do not name '
        'them. Answers are counted as those that the words stand for.',
        ('as is', 'renamed'),
    ),
    TEMPLATES: (
        'Unseen templates',
        'The templates that the model was never trained on against those that it was, on the same rows; each '
        'pair of one and the other is an answer that may change.',
        ('trained on', 'unseen'),
    ),
}
JSON, MARKDOWN, PAGE = 'robustness.json', 'robustness.md', 'robustness.html'
FOLDER = 'robustness'  # in a run's folder; see `eval.evaluate.output_folder`
PRINTED = (0, 2, 3, 5, 6, 8)  # the columns that fit side by side in a terminal


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a model answered on a data set.

    Args:
        rows: int[R], the rows of the data set, in order.
        templates: int[P].
        sums_RPK: what the metric counted of each answer.
        answers_RP: the answers, as texts.
    """

    rows: np.ndarray
    templates: np.ndarray
    sums_RPK: np.ndarray
    answers_RP: np.ndarray

    def of(self, templates: Sequence[int]) -> 'Asked':
        """Return what was answered with some of the templates, which may repeat."""
        places = np.searchsorted(self.templates, templates)
        columns = self.sums_RPK[:, places], self.answers_RP[:, places]
        return Asked(self.rows, self.templates[places], *columns)

    def score(self, metric: Metric) -> float:
        """Return the mean over the templates of the first score."""
        return float(nanmean(metric.score(self.sums_RPK.sum(axis=0))[..., 0], axis=-1))


def joined(parts: Sequence[Asked]) -> Asked:
    """Put what was answered to the same rows side by side."""
    columns = ('templates', 0), ('sums_RPK', 1), ('answers_RP', 1)
    return Asked(
        parts[0].rows,
        *(np.concatenate([getattr(part, name) for part in parts], axis) for name, axis in columns),
    )


def read(folder: pathlib.Path) -> dict[str, Asked]:
    """Read what was answered on each data set from the folder of an evaluation.

    Raises:
        ValueError: the predictions of a data set are not there, or have other rows than its scores.
    """
    found, files = {}, predictions.paths(folder)
    for task, sums in results.load_sums(folder).items():
        if task not in files:
            raise ValueError(
                f'{folder} has lost the predictions of {task}; remove it, and the same command asks again'
            )
        answers_RP = np.full(sums.sums_RPK.shape[:2], None, object)
        for record in predictions.read(files[task]):
            place = (
                np.searchsorted(sums.rows, record['row']),
                np.searchsorted(sums.templates, record['template']),
            )
            answers_RP[place] = record['extracted' if 'extracted' in record else 'prediction']
        found[task] = Asked(sums.rows, sums.templates, sums.sums_RPK, answers_RP)
    return found


@dataclasses.dataclass(frozen=True)
class Change:
    """What a change does to a data set, or to the mean of several.

    Args:
        kind: of the change, one of `KINDS`.
        row: the changed score (first), that as is (second), and their difference.
        seeds: the changed score with each seed, percent; none of templates, which have no seeds.
        answers: percent of the answers that changed.
    """

    kind: str
    row: paired.Row
    seeds: tuple[float, ...]
    answers: float


@dataclasses.dataclass(frozen=True)
class Robustness:
    """How far a model's answers hold.

    Args:
        system: the model.
        table: for each kind of change a line for each data set, each cluster of several, and all.
        words: the word for each option, by data set, for each seed.
        notes: what a reader should know.
    """

    system: str
    table: tuple[Change, ...]
    words: tuple[Mapping[str, Mapping[str, str]], ...] = ()
    notes: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """Return the table as flat dictionaries."""
        names = {'kind': 'of', 'first': 'changed', 'second': 'as_is'}
        return [
            {'kind': change.kind}
            | {names.get(key, key): item for key, item in dataclasses.asdict(change.row).items()}
            | {
                'difference': change.row.difference,
                'seeds': list(change.seeds),
                'answers_changed': change.answers,
            }
            for change in self.table
        ]


def compare(
    kind: str, asked: Mapping[str, tuple[str, Metric, Asked, Asked, Sequence[Asked]]]
) -> list[Change]:
    """Compare what was answered as is and changed.

    Args:
        kind: of the change.
        asked: by data set (cluster, metric, as is, changed, changed with each seed); the columns of the two
            belong together.
    """
    tasks, answers, seeds = [], {}, {}
    for name, (cluster, metric, as_is, changed, by_seed) in asked.items():
        tasks.append(paired.Task.of_sums(name, cluster, metric, changed.sums_RPK, as_is.sums_RPK))
        answers[name] = 100 * float(np.mean(changed.answers_RP != as_is.answers_RP))
        seeds[name] = [each.score(metric) for each in by_seed]
    found = []
    for row in paired.table(tasks):
        members = [
            task.name
            for task in tasks
            if row.kind == 'all' or row.name == (task.name if row.kind == 'data set' else task.cluster)
        ]
        means = np.mean([seeds[name] for name in members], axis=0).tolist()
        found.append(Change(kind, row, tuple(means), float(np.mean([answers[name] for name in members]))))
    return found


def cells(change: Change) -> list[str]:
    """Return the cells of a line of a table."""
    name, rows, changed, as_is, difference, between, _, p = tables.paired_cells(change.row)
    over_seeds = f'{number(min(change.seeds))} to {number(max(change.seeds))}' if change.seeds else '–'
    return [name, rows, as_is, changed, over_seeds, difference, between, p, f'{change.answers:.1f}%']


def headings(kind: str) -> list[str]:
    """Return the headings of the table of a kind of change."""
    as_is, changed = KINDS[kind][2]
    names = ['data set or cluster', 'rows', as_is, changed, 'over seeds', 'difference', '95% interval']
    return [*names, 'p, corrected', 'answers\nchanged']


def lines(found: Robustness) -> list[str]:
    """Say in words what the columns are, and what a reader should know."""
    return [
        'Scores are percent, means over templates and seeds. The difference, the second minus the first, has '
        f'its {CONFIDENCE:.0%} interval by a paired bootstrap over rows, and p by a paired permutation test, '
        'corrected for the number of data sets or clusters (Holm).',
        *found.notes,
    ]


def show(found: Robustness) -> None:
    """Print the tables, without what does not fit side by side."""
    for kind, (title, what, _) in KINDS.items():
        if changes := [change for change in found.table if change.kind == kind]:
            first, *others = [headings(kind)[place] for place in PRINTED]
            print(f'\n{title}. {what}')
            table = Table(Column(first, overflow='fold'), *others, box=box.SIMPLE, pad_edge=False)
            for change in changes:
                table.add_row(*[cells(change)[place] for place in PRINTED])
            Console(emoji=False, markup=False).print(table)
    for line in lines(found):
        print(line)


def markdown(found: Robustness) -> str:
    """Write the tables as Markdown."""
    parts = [f'# Robustness of {found.system}', '']
    for kind, (title, what, _) in KINDS.items():
        if changes := [change for change in found.table if change.kind == kind]:
            head = [heading.replace('\n', ' ') for heading in headings(kind)]
            rows = [cells(change) for change in changes]
            parts += [f'## {title}', '', what, '', *tables.markdown_table(head, rows), '']
    parts += [f'- {line}' for line in lines(found)]
    if found.words:
        named = [
            [task, str(seed), ', '.join(f'{option} → {word}' for option, word in mapping.items())]
            for seed, by_task in enumerate(found.words)
            for task, mapping in by_task.items()
        ]
        parts += ['', '## Words', '', *tables.markdown_table(['data set', 'seed', 'words'], named)]
    return '\n'.join([*parts, ''])


def write(folder: pathlib.Path, found: Robustness) -> None:
    """Write robustness.md, robustness.json and robustness.html."""
    kept = {'system': found.system, 'rows': found.rows(), 'words': found.words, 'notes': found.notes}
    title = f'Robustness of {found.system}'
    shown = {'title': title, 'robustness': [section(found, folder.name)]}
    texts = {
        MARKDOWN: markdown(found),
        JSON: results.to_json(kept),
        PAGE: page.render('robustness.html', shown),
    }
    results.write_texts(folder, texts)


def load(path: pathlib.Path) -> Robustness:
    """Read what `write` wrote.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        kept = reading.read_json(path)
        table = [
            Change(
                each['kind'],
                paired.Row(
                    each['of'],
                    each['name'],
                    *(finite(each[name]) for name in ('changed', 'as_is', 'low', 'high', 'p', 'adjusted')),
                    each['rows'],
                ),
                tuple(map(finite, each['seeds'])),
                finite(each['answers_changed']),
            )
            for each in kept['rows']
        ]
        return Robustness(kept['system'], tuple(table), tuple(kept['words']), tuple(kept['notes']))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} holds no readable robustness ({error}); remove it and run flanlite robustness again'
        ) from error


def finite(value: float | None) -> float:
    """Return what JSON holds of a number; null is nan."""
    return math.nan if value is None else float(value)


def paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """List what was measured of the models of a sweep, or of the model of an evaluation in a run's folder."""
    folder = folder.absolute()
    beside = folder.parents[1].glob(f'{FOLDER}/*/{JSON}') if folder.parent.name == 'eval' else ()
    return sorted([*below(folder), *beside])


def below(folder: pathlib.Path) -> list[pathlib.Path]:
    """List what was measured of the models of a sweep."""
    return sorted(folder.glob(f'*/*/{FOLDER}/*/{JSON}'))


def find(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Return the values of the page's section for each of `paths`."""
    found = []
    for path in paths(folder.absolute()):
        parts = path.parent.relative_to(folder.absolute()).parts if folder.absolute() in path.parents else ()
        found.append(section(load(path), ', '.join([*parts[:2], parts[-1]]) if parts else path.parent.name))
    return found


def section(found: Robustness, where: str) -> dict[str, Any]:
    """Return the values that a page shows: for each kind of change its plots and its table.

    Args:
        found: what was measured.
        where: what the model was asked, in words.
    """
    kinds = []
    for kind, (title, what, _) in KINDS.items():
        if changes := [change for change in found.table if change.kind == kind]:
            heads = [heading.replace('\n', ' ') for heading in headings(kind)]
            kinds.append(
                {
                    'title': title,
                    'what': what,
                    'plots': plots(title, changes),
                    'table': PageTable(
                        f'{title}: {found.system}', heads, [cells(change) for change in changes]
                    ),
                }
            )
    words = [
        [task, str(seed), ', '.join(f'{option} → {word}' for option, word in mapping.items())]
        for seed, by_task in enumerate(found.words)
        for task, mapping in by_task.items()
    ]
    return {
        'system': found.system,
        'where': where,
        'kinds': kinds,
        'lines': lines(found),
        'words': PageTable('Words in place of the answers', ('data set', 'seed', 'words'), words),
    }


def plots(title: str, changes: Sequence[Change]) -> list[Plot]:
    """Draw the difference and the share of answers that change: of each cluster of several data sets and of
    all, or of each data set where there are no clusters.
    """
    shown = [change for change in changes if change.row.kind != 'data set'] or changes
    names = page.shortened([change.row.name for change in shown])
    moved = [
        figures.Bar('m-untuned', names[row.name], row.difference, row.low, row.high)
        for row in (change.row for change in shown)
    ]
    changed = [
        figures.Bar('m-tuned', names[change.row.name], change.answers, math.nan, math.nan) for change in shown
    ]
    return [
        Plot(
            'Score, changed less as is',
            'points, 95% interval',
            figures.bars(title, moved, percent=False, told='{:+.1f}'.format),
        ),
        Plot('Answers that change', 'percent', figures.bars(f'{title}: answers that change', changed)),
    ]
