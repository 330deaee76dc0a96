"""One evaluation: a checkpoint on a mixture, per template, with a report."""

import json
import pathlib
import time
from collections.abc import Mapping

import gin
import jax

from flanlite.cli import gin_config
from flanlite.data.cache import cache
from flanlite.data.cache.view import view_of
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import specs
from flanlite.data.tokens import vocabularies
from flanlite.eval import seqio_metrics, splits
from flanlite.eval.evaluator import Evaluator, samples
from flanlite.mesh import partitioning
from flanlite.model import kinds
from flanlite.report import report, results, tables
from flanlite.report.results import Piece
from flanlite.train import checkpoints, parameters


@gin.configurable
def evaluate_checkpoint(
    checkpoint: str | None = None,
    mixture: str | None = None,
    split: str = 'test',
    output: str | None = None,
    *,
    vocabulary: str | None = None,
    feature_lengths: Mapping[str, int] | None = None,
    style: str = 'instructions',
    max_rows: int | None = None,
) -> Piece:
    """Evaluate a checkpoint on every task of a mixture; write results.json, report.md and report.html.

    Args:
        checkpoint: for `parameters.load_params`; its config is its own, but for what gin sets, such as `T5Config.dtype`.
        mixture: a name for `mixtures.resolve`; by default the gin macro MIXTURE_OR_TASK_NAME.
        split: train, validation or test; a data set without a test split is scored on its validation split.
        output: the folder for results; by default `eval/<mixture>-<split>` in the run's folder, with `-3shot` behind it and such.
        vocabulary: by default the one that the model was trained with.
        feature_lengths: longer inputs are cut, and answers end there; by default as in training.
        style: see `specs.STYLES`.
        max_rows: at most so many rows of each task.

    Raises:
        ValueError: a checkpoint, mixture or split that does not exist, or a mixture of which no task can be read.
    """
    if not checkpoint:
        raise ValueError('eval needs a model; give one with --checkpoint=PATH')
    partitioning.join_processes()
    partitioning.keep_compiled(cache.cache_folder() / 'jax')
    mixed = mixtures.resolve(mixture or gin_config.macro('MIXTURE_OR_TASK_NAME'))
    names, failed = scorable(mixed)
    run = parameters.load_run(checkpoint, **kinds.set_by_gin())
    vocabulary = vocabularies.load(run.vocabulary_or(vocabulary, checkpoint))
    run.config.check_vocabulary(vocabulary.name, vocabulary.size)
    lengths = feature_lengths or run.feature_lengths
    view = view_of(mixed, split, vocabulary, lengths, style, max_rows, scored=True)
    opened = splits.open_splits(names, view)
    if not opened.splits:
        raise ValueError(f'no task of {mixed.name!r} has a readable {split} split; the reasons stand above')

    evaluator = Evaluator(opened.splits, vocabulary, lengths)
    start = time.monotonic()
    scores = evaluator.run(run.config, run.params, skip=failed.__setitem__)
    if not scores:
        raise ValueError('; '.join(failed.values()))
    seen = trained_on(checkpoint)
    piece = results.piece(
        scores,
        {entry.task: (entry.cluster or '', splits.level(entry.task, entry.cluster, seen)) for entry in mixed.entries},
        run=pathlib.Path(checkpoint).name, model=f'{pathlib.Path(checkpoint).name} at step {run.step}',
        trained=seen, split=split, skipped=opened.skipped | failed,
        notes=(*opened.notes, *evaluator.cut_notes(), *seqio_metrics.notes(scores.values())),
        samples=tuple(samples(scores, opened.splits, vocabulary)),
        seconds={'score': time.monotonic() - start},
        settings=gin_config.resolved(), environment=splits.environment(),
    )  # fmt: skip
    if jax.process_index() == 0:
        kind = f'{split}-{view.shots.number}shot' if view.shots else split
        publish(pathlib.Path(output) if output else default_output(checkpoint, mixed.name, kind), piece, mixed.name)
    return piece


def scorable(mixture: Mixture) -> tuple[list[str], dict[str, str]]:
    """Name the tasks of a mixture that can be scored, and say of the others why not; a `ValueError` where none can."""
    failed = seqio_metrics.faults([entry.task for entry in mixture.entries])
    names = [entry.task for entry in mixture.entries if entry.task not in failed]
    if not names:
        raise ValueError('; '.join(failed.values()))
    return names, failed


def publish(folder: pathlib.Path, piece: Piece, mixture: str) -> None:
    """Write results and report to a folder, and print a table."""
    results.save(folder, piece)
    report.build(folder, f'{mixture}: {piece.model}')
    tables.print_tasks(piece)
    print(f'wrote {folder}/report.html, report.md and results.json')


def default_output(checkpoint: str, mixture: str, split: str) -> pathlib.Path:
    """Name the folder of an evaluation's results: in the run's folder, or beside a file."""
    path = pathlib.Path(checkpoint)
    if path.is_file():
        return path.with_suffix('') / 'eval' / f'{mixture}-{split}'
    model_dir = next((folder for folder in (path, *path.parents) if (folder / checkpoints.FOLDER).is_dir()), path)
    average = '-ema' if path.name == checkpoints.EMA and path != model_dir else ''
    return model_dir / 'eval' / f'{mixture}-{split}{average}'


def trained_on(checkpoint: str) -> dict[str, list[str]]:
    """Read from a run's manifest which tasks it trained on, by cluster; nothing where there is no manifest."""
    path = pathlib.Path(checkpoint)
    manifest = next((folder / 'manifest.json' for folder in (path, *path.parents[:3]) if (folder / 'manifest.json').is_file()), None)
    found: dict[str, list[str]] = {}
    for name in json.loads(manifest.read_text(encoding='utf-8'))['tasks'] if manifest else ():
        found.setdefault(getattr(specs.find_spec(name), 'cluster', None) or '', []).append(name)
    return found
