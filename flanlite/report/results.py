"""What the compared systems scored: one `Result` for each system and hold-out, kept as JSON and flattened
into rows.
"""

import dataclasses
import io
import itertools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flanlite import config, reading
from flanlite.data.specs import registry
from flanlite.metrics.metrics import METRICS
from flanlite.report.scores import (
    NO_KEY,
    OwnScores,
    Resampled,
    Summary,
    TaskScores,
    summarize,
    summarize_group,
)
from flanlite.writing import explained, write_all, write_whole

RESULT = 'result.json'
REPORT = (
    'results.json',
    'report.md',
    'report.html',
    'report.tex',
    'report.csv',
    'conflict.json',
)  # what is made of results
PREDICTIONS, PREDICTIONS_ENDING = 'predictions', '.jsonl.gz'  # the folder beside a result, and its files
RESAMPLES = 'resamples.npz'  # beside it: what two systems are compared by
WRITTEN = 'report.html, report.md, report.tex, report.csv'  # as what is told names them
FORMER_RESULT = 'piece.json'  # what versions before this one called it; its fields have other names
HELD_OUT = 'held_out'  # the group of all that was held out, whatever its level
HELD_IN = 'held_in'
SHOWN = 5  # differing settings that an error names

# The compared systems in the order of the tables: (short label, what it is).
SYSTEMS: dict[str, tuple[str, str]] = {
    'tuned': ('Tuned', 'instruction-tuned on the other clusters, asked with instructions'),
    'no_instructions': (
        'No instructions',
        'tuned on the same data without instructions (bare fields), asked with instructions',
    ),
    'names': (
        'Names',
        'tuned on the same data with the names of cluster and data set in place of instructions, asked with '
        'instructions',
    ),
    'names_asked': ('Names, asked so', 'the same model, asked with these names, too'),
    'untuned': ('Untuned', 'the model before tuning, asked with instructions'),
    'untuned_plain': (
        'Untuned, plain',
        'the model before tuning, asked with its best plain prompt (chosen on the validation split)',
    ),
    'majority': ('Majority', 'always the commonest training answer'),
    'chance': (
        'Chance or copy',
        'a random option (its expected score); of data sets without options, a copy of the input',
    ),
}

# Systems of a transfer matrix: tuned once, and scored on each cluster.
JOINT = 'joint'  # on all clusters, that which is scored among them
ALONE = 'alone_'  # and a cluster's name: on that cluster alone
JOINT_PCGRAD = 'joint_pcgrad'  # the same with PCGrad between clusters


def is_shared(system: str) -> bool:
    """Return whether a system is tuned once for all hold-outs, so that it may have been tuned on them."""
    return system in (JOINT, JOINT_PCGRAD) or system.startswith(ALONE)


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """The scores of one task: those of each template, and their summary.

    Args:
        task: the task's name.
        cluster: the task's cluster; empty where it has none.
        level: one of `clusters.LEVELS`; empty where it is not known what the system trained on.
        metric: the name of the metric, or the names of a SeqIO task's own metrics.
        method: `rank`, `generate`, `score`, or the name of a baseline without a model.
        num_rows: the number of distinct rows of the data set that were scored.
        templates: one entry a template, {'template': index, or None where no template is read, 'text': its
            wording, where it is known, 'n': number of examples, 'scores': {name: percent}}.
        summary: over the templates, of the first score.
        category: the benchmark's own group that it belongs to; empty where there is none.
        family: data sets of one family count as one in averages.
    """

    task: str
    cluster: str
    level: str
    metric: str
    method: str
    num_rows: int
    templates: tuple[dict[str, Any], ...]
    summary: Summary
    category: str = ''
    family: str = ''

    @property
    def headline(self) -> str:
        """Return the name of the score that the summary is of."""
        return next(iter(self.templates[0]['scores']))

    @property
    def percent(self) -> bool:
        """Return whether the scores are percent; those of a SeqIO task's own metrics are what they are."""
        return self.metric in METRICS

    @property
    def limits(self) -> tuple[float, float]:
        """Return the least and the greatest that the summary can be: percent, from -100 of correlations."""
        if not self.percent:
            return -math.inf, math.inf
        return (-100.0 if METRICS[self.metric].together else 0.0), 100.0


@dataclasses.dataclass(frozen=True)
class Result:
    """What one system scored with one thing held out, or on a mixture with nothing held out.

    Args:
        run: the run's name.
        system: a key of `SYSTEMS`, or a checkpoint's name.
        held_out: the name of what was held out: a cluster, or another hold-out such as `intra_3`; None for
            nothing.
        removed: the clusters that left training because they overlap with the held-out one.
        trained: the data sets that the system was tuned on, by cluster.
        templates: the greatest number of templates that one of them was tuned with; 0 where none was.
        shots: the greatest number of exemplars before each example that it was tuned with.
        split: the split that was scored: train, validation or test.
        tasks: the scores of each task.
        groups: the summary over the tasks of each level of generalization, and over all that was held out
            (`HELD_OUT`).
        skipped: the reason for each task that has no scores.
        notes: what a reader should know, a sentence each.
        samples: a few questions with the system's answers.
        seconds: the time that training and scoring took.
        costs: what these computed, by name; see `eval.costs`.
        seed: of a sweep's tuned system; None where nothing was tuned.
        settings: the configuration in force, a field a line.
        parent: the name of the settings that it was made from: gin files, or an earlier run.
        departures: what differs from these: (field, value, value there).
        environment: versions and devices, by name.
    """

    run: str
    system: str
    held_out: str | None = None
    removed: tuple[str, ...] = ()
    trained: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    templates: int = 0
    shots: int = 0
    split: str = 'test'
    tasks: tuple[TaskResult, ...] = ()
    groups: Mapping[str, Summary] = dataclasses.field(default_factory=dict)
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    samples: tuple[dict[str, Any], ...] = ()
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    seed: int | None = None
    settings: str = ''
    parent: str = ''
    departures: tuple[Sequence[str], ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def trained_clusters(self) -> list[str]:
        """Return the clusters that the system was tuned on; plain text has none."""
        return [cluster for cluster in self.trained if cluster]

    @property
    def trained_tasks(self) -> list[str]:
        """Return the data sets and texts that the system was tuned on."""
        return list(itertools.chain(*self.trained.values()))

    def rows(self) -> list[dict[str, Any]]:
        """Return a flat dictionary for each task, template and metric; all have the same keys, and plain
        values.
        """
        return [
            {
                'run': self.run,
                'system': self.system,
                'held_out': self.held_out,
                'seed': self.seed,
                'level': task.level,
                'task': task.task,
                'template': template['template'],
                'metric': metric,
                'value': value,
                'n': template['n'],
            }
            for task in self.tasks
            for template in task.templates
            for metric, value in template['scores'].items()
        ]


def task_result(
    scores: TaskScores | OwnScores, cluster: str, level: str, wordings: Mapping[int, str]
) -> TaskResult:
    """Summarize the scores of one task."""
    templates = tuple(
        {
            'template': None if index < 0 else index,
            'text': wordings.get(index, ''),
            'n': int((scores.templates == index).sum()),
            'scores': named,
        }
        for index, named in scores.template_scores().items()
    )
    num_rows = len(set(scores.rows.tolist()))
    spec = registry.find_spec(scores.task)
    return TaskResult(
        scores.task,
        cluster,
        level,
        scores.metric_name,
        scores.method,
        num_rows,
        templates,
        summarize(scores),
        getattr(spec, 'category', ''),
        getattr(spec, 'family', '') or scores.task,
    )


@dataclasses.dataclass(frozen=True)
class Average:
    """The averages of one score over a benchmark's group of data sets, or over all.

    Args:
        category: the group; empty for all.
        metric: the name of the score.
        data_sets: how many are averaged; those of one family count as one.
        num_rows: the number of their rows.
        macro: the mean over data sets, of the mean of each family; each mean is over templates.
        micro: the mean over rows.
    """

    category: str
    metric: str
    data_sets: int
    num_rows: int
    macro: float
    micro: float


def averages(tasks: Sequence[TaskResult]) -> list[Average]:
    """Average the headline scores of tasks that belong to a benchmark's groups: each group, then, of several,
    all together.
    """
    grouped: dict[tuple[str, str], list[TaskResult]] = {}
    for task in tasks:
        if task.category:
            grouped.setdefault((task.headline, task.category), []).append(task)
    for metric in {metric: None for metric, _ in grouped}:
        groups = [members for (name, _), members in grouped.items() if name == metric]
        if len(groups) > 1:
            grouped[metric, ''] = list(itertools.chain(*groups))
    found = []
    for (metric, category), members in grouped.items():
        families: dict[str, list[float]] = {}
        for task in members:
            families.setdefault(task.family, []).append(task.summary.mean)
        rows = [task.num_rows for task in members]
        macro = float(np.mean([np.mean(means) for means in families.values()]))
        micro = float(np.average([task.summary.mean for task in members], weights=rows))
        found.append(Average(category, metric, len(families), sum(rows), macro, micro))
    return found


def make_result(
    scores: Mapping[str, TaskScores | OwnScores],
    places: Mapping[str, tuple[str, str]],
    wordings: Mapping[str, Mapping[int, str]] | None = None,
    **fields: Any,
) -> Result:
    """Summarize the tasks' scores, each alone and by level of generalization.

    Args:
        scores: the scores of each task.
        places: the (cluster, level) of each task.
        wordings: the text of each template of each task, where they are known.
        **fields: the other fields of `Result`.
    """
    known = wordings or {}
    tasks = tuple(task_result(scores[name], *places[name], known.get(name, {})) for name in scores)
    named = members(tasks)
    summaries = {
        names: summarize_group([scores[name] for name in names]) for names in map(tuple, named.values())
    }
    groups = {group: summaries[tuple(names)] for group, names in named.items()}
    return Result(tasks=tasks, groups=groups, **fields)


def members(tasks: Sequence[TaskResult]) -> dict[str, list[str]]:
    """Return the names of the tasks of each level of generalization, and of all that was held out."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        for group in (task.level, HELD_OUT) if task.level not in ('', HELD_IN) else (task.level,):
            found.setdefault(group, []).append(task.task)
    return found


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file atomically: a reader sees the old content or all of the new."""
    write_bytes(path, text.encode())


def write_texts(folder: pathlib.Path, texts: Mapping[str, str]) -> None:
    """Write files in a folder, by name, as `write_text` does: all of them, or none where one cannot be."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_all({folder / name: text for name, text in texts.items()})


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Write a file as `write_text` does."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)


def check_own(folder: pathlib.Path, remedy: str) -> None:
    """Raise a `ValueError` that ends with a remedy where a folder of others has files that a report would
    replace.
    """
    if not result_paths(folder):
        config.check_own(folder, (config.SETTINGS_FILE, *REPORT), remedy)
    kept = (folder / PREDICTIONS).glob('*')
    if others := [file.name for file in kept if not file.name.endswith(PREDICTIONS_ENDING)]:
        raise ValueError(
            f'{folder}/{PREDICTIONS} has {others[0]}, which flanlite did not write and would remove; {remedy}'
        )


def to_json(value: object) -> str:
    """Return a value as JSON; nan, the score of nothing, becomes null."""
    return json.dumps(without_nan(value), indent=1, ensure_ascii=False, allow_nan=False)


def without_nan(value: Any) -> Any:
    """Return a value with None in place of nan, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save(
    folder: pathlib.Path, result: Result, scores: Mapping[str, TaskScores | OwnScores] | None = None
) -> None:
    """Write a result into its folder, last: where it lies, all of it is there.

    Args:
        folder: the folder.
        result: the result.
        scores: the scores that it summarizes, by which it can be compared with others.
    """
    content, kept = io.BytesIO(), {}
    for task, each in (scores or {}).items():
        kept |= {f'{name}/{task}': array for name, array in dataclasses.asdict(Resampled.draw(each)).items()}
        if isinstance(each, TaskScores):
            kept |= {f'templates/{task}': np.unique(each.templates), f'sums/{task}': each.sums()}
            kept[f'keys/{task}'] = each.row_keys()
    np.savez_compressed(content, **kept)
    write_bytes(folder / RESAMPLES, content.getvalue())
    write_text(folder / RESULT, to_json(dataclasses.asdict(result)))


def load_resamples(folder: pathlib.Path) -> dict[str, Resampled]:
    """Read the resampled scores of the tasks of a result; nothing where none were kept."""
    if not (folder / RESAMPLES).is_file():
        return {}
    with reading.foreign(folder / RESAMPLES), np.load(folder / RESAMPLES) as kept:
        tasks = [name.removeprefix('rows/') for name in kept if name.startswith('rows/')]
        names = [field.name for field in dataclasses.fields(Resampled)]
        found = {task: {name: kept[f'{name}/{task}'] for name in names} for task in tasks}
    return {
        task: Resampled(each['rows'], each['means'], float(each['below']), float(each['above']))
        for task, each in found.items()
    }


@dataclasses.dataclass(frozen=True)
class Sums:
    """What a metric counted of one system on one task.

    Args:
        rows: int[R], the rows of the data set, in order.
        templates: int[P], the templates, in order.
        sums_RPK: the counts of each row with each template.
        keys: uint32[R], hashes of what is right in each row; see `TaskScores`.
    """

    rows: np.ndarray
    templates: np.ndarray
    sums_RPK: np.ndarray
    keys: np.ndarray

    def of(self, rows: np.ndarray, templates: np.ndarray) -> np.ndarray:
        """Return the counts of some of the rows with some templates, zero with those that it lacks."""
        found = np.zeros((len(rows), len(templates), self.sums_RPK.shape[-1]))
        own = self.sums_RPK[np.searchsorted(self.rows, rows)]
        found[:, np.searchsorted(templates, self.templates)] = own
        return found

    def keys_of(self, rows: np.ndarray) -> np.ndarray:
        """Return the keys of some of the rows."""
        return self.keys[np.searchsorted(self.rows, rows)]


def load_sums(folder: pathlib.Path) -> dict[str, Sums]:
    """Read what was counted of the tasks of a result; nothing where none was kept."""
    if not (folder / RESAMPLES).is_file():
        return {}
    with reading.foreign(folder / RESAMPLES), np.load(folder / RESAMPLES) as kept:
        tasks = [name.removeprefix('sums/') for name in kept if name.startswith('sums/')]
        found = {task: [kept[f'{name}/{task}'] for name in ('rows', 'templates', 'sums')] for task in tasks}
        # Earlier versions kept no keys.
        return {
            task: Sums(*each, kept.get(f'keys/{task}', np.full(len(each[0]), NO_KEY)))
            for task, each in found.items()
        }


def result_paths(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the result files of an evaluation (one, in the folder) or of a sweep (`<held_out>/<system>/`).

    Raises:
        ValueError: the folder holds results of an earlier version.
    """
    own = folder / RESULT
    if own.is_file():
        return [own]
    for former in (folder / FORMER_RESULT, *sorted(folder.glob(f'*/*/{FORMER_RESULT}'))):
        if former.is_file():
            raise ValueError(
                f'{former} was written by an earlier version of flanlite; expected {RESULT}; choose another '
                'MODEL_DIR, '
                f'or remove the results in {folder}'
            )
    return sorted(folder.glob(f'*/*/{RESULT}'))


def load(path: pathlib.Path) -> Result:
    """Read a result.

    Raises:
        ValueError: the file holds no result of this version.
    """
    try:
        fields = reading.read_json(path)
        for task in fields['tasks']:
            task.update(templates=tuple(task['templates']), summary=read_summary(task['summary']))
        fields['tasks'] = tuple(checked(TaskResult(**task)) for task in fields['tasks'])
        fields['groups'] = {level: read_summary(summary) for level, summary in fields['groups'].items()}
        tuples = {name: tuple(fields[name]) for name in ('removed', 'notes', 'samples')}
        return checked(Result(**{**fields, **tuples}))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path} holds no readable result ({error}); remove it and run the same command again'
        ) from error


def read_summary(fields: Mapping[str, float | None]) -> Summary:
    """Return the summary that JSON fields hold; null is nan."""
    return checked(Summary(**{name: math.nan if value is None else value for name, value in fields.items()}))


def checked(made: Any) -> Any:
    """Return a value of a dataclass; raise a `TypeError` where a text or number of it is none."""
    for field in dataclasses.fields(made):
        kind, found = {float: int | float}.get(field.type, field.type), getattr(made, field.name)
        if kind in (str, int, int | float) and (not isinstance(found, kind) or isinstance(found, bool)):
            raise TypeError(f'{field.name} is {found!r}')
    return made


def told_settings(settings: Any) -> dict[str, Any]:
    """Return what a result keeps of the settings that it was made with."""
    parent, rows = config.departures(settings)
    return {'settings': config.to_text(settings), 'parent': parent, 'departures': rows}


def check_settings(folder: pathlib.Path, settings: str, free: Sequence[str], other: str) -> None:
    """Refuse to go on in a folder whose results were made with other settings; the error names the fields
    that differ.

    Args:
        folder: of an evaluation or a sweep.
        settings: those of now, as `config.to_text` writes them.
        free: the beginnings of the fields that may differ.
        other: how another folder is named, for the error.
    """
    for path in result_paths(folder):
        check_same(
            path.parent, load(path).settings, settings, free, f'choose another {other}, or remove {folder}'
        )


def check_same(where: pathlib.Path, made_with: str, settings: str, free: Sequence[str], remedy: str) -> None:
    """Refuse what was made with other settings than those of now; see `check_settings`."""
    before, now = compared(made_with, free), compared(settings, free)
    differing = [name for name in before | now if before.get(name) != now.get(name)]
    if differing:
        named = [
            f'{name} was {before.get(name, "not set")}, now it is {now.get(name, "not set")}'
            for name in differing[:SHOWN]
        ]
        more = f'; {len(differing) - SHOWN} more differ' if len(differing) > SHOWN else ''
        raise ValueError(
            f'{where} holds results of other settings: {"; ".join(named)}{more}; set them back, {remedy}'
        )


def compared(settings: str, free: Sequence[str]) -> dict[str, str]:
    """Read settings as results keep them, without those that may differ: {'train.data.batch_size': '8'}."""
    lines = (line.partition(' = ') for line in settings.splitlines())
    return {field: text for field, _, text in lines if not field.startswith(tuple(free))}
