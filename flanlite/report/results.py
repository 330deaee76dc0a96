"""Pieces: what one model scored in one setting, kept as JSON, written whole or not at all, and flattened into rows."""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flanlite.report.scores import OwnScores, Summary, TaskScores, summarize, summarize_group

PIECE = 'piece.json'
HELD_OUT = 'held_out'  # the group of all that was held out, whatever its level
HELD_IN = 'held_in'

# The compared models in the order of the tables: (short label, what it is).
MODELS: dict[str, tuple[str, str]] = {
    'tuned': ('Tuned', 'instruction-tuned on the other clusters, asked with instructions'),
    'ablation': ('No instructions', 'tuned on the same data without instructions (bare fields), asked with instructions'),
    'untuned': ('Untuned', 'the model before tuning, asked with instructions'),
    'untuned_plain': ('Untuned, plain', 'the model before tuning, asked with its best plain prompt (chosen on the validation split)'),
    'majority': ('Majority', 'always the commonest training answer'),
    'chance': ('Chance or copy', 'a random option (its expected score); of data sets without options, a copy of the input'),
}


@dataclasses.dataclass(frozen=True)
class TaskResult:
    """One task's scores: each template's, and their summary."""

    task: str
    cluster: str
    level: str
    metric: str
    method: str
    num_rows: int
    templates: tuple[dict[str, Any], ...]  # {'template': index or None, 'n': examples, 'scores': {metric: percent}}
    summary: Summary

    @property
    def headline(self) -> str:
        """Name the score that the summary is of."""
        return next(iter(self.templates[0]['scores']))


@dataclasses.dataclass(frozen=True)
class Piece:
    """What one model scored with one cluster held out (or on one mixture, with none).

    Args:
        run: the run's name.
        model: a key of `MODELS`, or a checkpoint's name.
        held_out_cluster: the cluster that the model did not train on, or the split, such as `intra_3`; None where nothing was held out.
        removed: the clusters that left training because they overlap with it.
        trained: the data sets that the model was tuned on, by cluster.
        split: the split that was scored.
        tasks: each task's scores.
        groups: for each level of generalization, and for all that was held out, the summary over the tasks.
        skipped: tasks that gave no score, and why.
        notes: what a reader should know, a sentence each.
        samples: a few questions with the model's answers.
        seconds: what training and scoring took.
        settings: the configuration in force, as gin text.
        environment: versions and devices, by name.
    """

    run: str
    model: str
    held_out_cluster: str | None = None
    removed: tuple[str, ...] = ()
    trained: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    split: str = 'test'
    tasks: tuple[TaskResult, ...] = ()
    groups: Mapping[str, Summary] = dataclasses.field(default_factory=dict)
    skipped: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    samples: tuple[dict[str, Any], ...] = ()
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    settings: str = ''
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Flatten into a row for each task, template and metric."""
        for task in self.tasks:
            for template in task.templates:
                for metric, value in template['scores'].items():
                    yield {
                        'run': self.run, 'model': self.model, 'held_out_cluster': self.held_out_cluster, 'level': task.level,
                        'task': task.task, 'template': template['template'], 'metric': metric, 'value': value, 'n': template['n'],
                    }  # fmt: skip


def task_result(scores: TaskScores | OwnScores, cluster: str, level: str) -> TaskResult:
    """Summarize a task's scores."""
    counts = {int(t): int((scores.templates == t).sum()) for t in scores.templates}
    templates = tuple(
        {'template': None if index < 0 else index, 'n': counts[index], 'scores': named}
        for index, named in scores.template_scores().items()
    )
    num_rows = len(set(scores.rows.tolist()))
    return TaskResult(scores.task, cluster, level, scores.metric, scores.method, num_rows, templates, summarize(scores))


def piece(scores: Mapping[str, TaskScores | OwnScores], places: Mapping[str, tuple[str, str]], **described: Any) -> Piece:
    """Make a piece of the tasks' scores.

    Args:
        scores: the scores of each task.
        places: each task's (cluster, level).
        **described: the other fields of `Piece`.
    """
    tasks = tuple(task_result(scores[name], *places[name]) for name in scores)
    members: dict[str, list[str]] = {}
    for task in tasks:
        for group in (task.level, HELD_OUT) if task.level not in ('', HELD_IN) else (task.level,):
            members.setdefault(group, []).append(task.task)
    summaries = {names: summarize_group([scores[name] for name in names]) for names in map(tuple, members.values())}
    groups = {group: summaries[tuple(names)] for group, names in members.items()}
    return Piece(tasks=tasks, groups=groups, **described)


def write_text(path: pathlib.Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.name}.{os.getpid()}')
    unfinished.write_text(text, encoding='utf-8')
    unfinished.replace(path)


def to_json(value: object) -> str:
    """Write JSON; a score of nothing (nan) becomes null."""
    return json.dumps(without_nan(value), indent=1, ensure_ascii=False, allow_nan=False)


def without_nan(value: Any) -> Any:
    """Replace nan by None, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def save(folder: pathlib.Path, result: Piece) -> None:
    """Write a piece into its folder."""
    write_text(folder / PIECE, to_json(dataclasses.asdict(result)))


def load(path: pathlib.Path) -> Piece:
    """Read a piece back.

    Raises:
        ValueError: the file is no piece of this version.
    """
    try:
        fields = json.loads(path.read_text(encoding='utf-8'))
        for task in fields['tasks']:
            task.update(templates=tuple(task['templates']), summary=read_summary(task['summary']))
        fields['tasks'] = tuple(TaskResult(**task) for task in fields['tasks'])
        fields['groups'] = {level: read_summary(summary) for level, summary in fields['groups'].items()}
        return Piece(**{**fields, **{name: tuple(fields[name]) for name in ('removed', 'notes', 'samples')}})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} holds no readable result ({error}); remove it and run the same command again') from error


def read_summary(fields: Mapping[str, float | None]) -> Summary:
    """Read a summary back; null is nan."""
    return Summary(**{name: math.nan if value is None else value for name, value in fields.items()})
