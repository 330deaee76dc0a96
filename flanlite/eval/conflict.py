"""Task conflict: how the gradients of clusters agree over a run on all of them, and what tuning on one does
for another.
"""

import pathlib
import time
from collections.abc import Mapping, Sequence

import jax
import numpy as np

from flanlite.config import SETTINGS_FILE, closest, to_json, to_text, value
from flanlite.data.mixing import mixtures
from flanlite.data.training_data import TrainingData
from flanlite.eval import comparison, loco
from flanlite.eval.evaluator import ScoringConfig
from flanlite.eval.sweep import Sweep, SweepConfig
from flanlite.limits import Count
from flanlite.mesh import partitioning, processes
from flanlite.progress import duration, progress_bar
from flanlite.reading import read_json
from flanlite.report import gradients, results
from flanlite.report.collected import Report, label
from flanlite.report.gradients import TaskGradients
from flanlite.report.results import ALONE, JOINT, JOINT_PCGRAD
from flanlite.training import checkpoints, parameters, run, task_gradients
from flanlite.training.begin import first_state
from flanlite.training.config import TrainConfig
from flanlite.training.step import abstract_state, jit_gradient


@value
class ConflictConfig:
    """All that decides what `conflict` trains and measures.

    Args:
        train: how each system is tuned, all for as many steps; `model_dir` is the folder of all, and
            `data.mixture` a collection.
        clusters: the clusters that are compared, by name, or 'all' of the collection; several names may be
            separated by commas. All else leaves the mixture.
        only: what this job does, of those clusters and 'joint', or 'all'. A cluster stands for the runs on it
            alone and on all others, 'joint' for the run on all, with its gradients, and the model before
            tuning.
        every_steps: the gradients are measured before the joint run, at each multiple of this, and at its
            end; by default at quarters.
        batches: how many batches of each data set a gradient is of, an even number.
        pcgrad: whether to tune on all with PCGrad between clusters, too.
        max_rows: at most so many rows of each data set are scored; by default all.
        seeds: how often each system is tuned, and the gradients measured: with `train.seed` and the whole
            numbers behind it.
        scoring: how a model is asked.
        notes: what a reader of the report should know of the model or the data, a sentence each.

    Raises:
        ValueError: numbers or settings that cannot be.
    """

    train: TrainConfig
    clusters: str | tuple[str, ...] = 'all'
    only: str | tuple[str, ...] = 'all'
    every_steps: Count | None = None
    batches: Count = 4
    pcgrad: bool = False
    max_rows: Count | None = None
    seeds: Count = 1
    scoring: ScoringConfig = ScoringConfig()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.batches % task_gradients.HALVES:
            raise ValueError(
                f'ConflictConfig.batches is {self.batches}, expected an even number, since a gradient is of '
                'two halves'
            )
        if self.train.step.pcgrad:
            raise ValueError(
                f'StepConfig.pcgrad is {self.train.step.pcgrad!r}, but a run on one cluster has no conflict '
                'to project; leave it out, and set ConflictConfig.pcgrad = True to compare with it'
            )
        if self.train.restore_optimizer:
            raise ValueError(
                'TrainConfig.restore_optimizer is True, but each system is tuned from its first step; leave '
                'it out'
            )

    def chosen(self) -> tuple[str, ...]:
        """Return the clusters to compare, in the collection's order.

        Raises:
            ValueError: the mixture is no collection, a cluster is unknown, or there are fewer than two.
        """
        mixture = mixtures.resolve(self.train.data.mixture)
        present = list(dict.fromkeys(entry.cluster for entry in mixture.entries if entry.cluster))
        wanted = comparison.names_of(self.clusters)
        found = present if 'all' in wanted else [name for name in present if name in wanted]
        check_names(wanted, present, 'cluster')
        if len(found) < 2:
            raise ValueError(
                f'the clusters to compare are {", ".join(found) or "none"}; expected at least two of '
                f'{", ".join(present) or f"{mixture.name!r}, which has none"} (ConflictConfig.clusters, '
                '--clusters)'
            )
        return tuple(found)

    def sweep(self) -> SweepConfig:
        """Return the sweep whose results are the matrix: the clusters, and nothing else."""
        chosen = self.chosen()
        entries = mixtures.resolve(self.train.data.mixture).entries
        include = tuple(entry.task for entry in entries if entry.cluster in chosen)
        return SweepConfig(
            self.train.replace(**{'data.mixture.include': include, 'data.mixture.exclude': ()}),
            chosen,
            ('tuned', 'untuned'),
            self.max_rows,
            seeds=self.seeds,
            scoring=self.scoring,
            predictions=False,
            notes=self.notes,
        )


def check_names(wanted: Sequence[str], known: Sequence[str], kind: str) -> None:
    """Raise a `ValueError` for a name that is unknown, and is not 'all'."""
    for name in wanted:
        if name not in (*known, 'all'):
            raise ValueError(
                f'unknown {kind} {name!r}; {closest(name, known)}expected all, or some of {", ".join(known)}'
            )


def conflict(config: ConflictConfig, gin: str | None = None) -> Report:
    """Tune on each cluster alone, on all but one, and on all; score each on every cluster; measure how the
    gradients agree over the run on all; report.

    What is done already is not done again; a run that was killed goes on. Jobs with another `only` each fill
    one folder, or several that `flanlite report` merges. The folder is that of a sweep (see `loco.loco`),
    with the runs that all hold-outs share in `runs/`, a file for each checkpoint and seed in `gradients/`,
    and conflict.json.

    Args:
        config: all that decides it.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Raises:
        ValueError: as `loco.loco`; fewer than two clusters; nothing left to tune on.
    """
    comparison.begin(config, ConflictConfig, 'conflict')
    sweep = Sweep.open(config.sweep())
    clusters = config.chosen()
    mine = comparison.names_of(config.only)
    check_names(mine, [JOINT, *clusters], 'part of the work')
    mine = [JOINT, *clusters] if 'all' in mine else mine
    results.check_settings(sweep.folder, to_text(sweep.config), loco.FREE, 'MODEL_DIR')
    for cluster in clusters:
        mixtures.resolve(sweep.mixture(cluster))  # nothing left to tune on fails here
    _ = sweep.base_params  # a checkpoint that does not fit fails here
    check_measured(sweep.folder, config)
    comparison.keep_settings(sweep.folder, config, gin)

    joint = [JOINT, *[JOINT_PCGRAD] * config.pcgrad] if JOINT in mine else []
    shared = [*joint, *(ALONE + cluster for cluster in clusters if cluster in mine)]
    runs = [(system, seed) for system in shared for seed in sweep.seeds(system)]
    for number, (system, seed) in enumerate(runs, 1):
        settings = sweep.shared_run(system, seed)
        if system == JOINT:
            settings = measured_run(settings, config.every_steps)
        if checkpoints.saved_step(settings.model_dir) < settings.train_steps:
            tuned_with = f', seed {seed}' if config.seeds > 1 else ''
            loco.say(f'[{number}/{len(runs)}]  tuning: {label(system)}{tuned_with}')
            run.train(settings)
        if system == JOINT:
            measure_run(sweep, settings, config.batches)
    scored = [*shared, *['untuned'] * bool(joint)]
    plan = [
        (cluster, system, seed)
        for cluster in clusters
        for system in ([*scored, 'tuned'] if cluster in mine else scored)
        for seed in sweep.seeds(system)
    ]
    return loco.score_all(sweep, plan, f'{sweep.collection.name}: task conflict')


def check_measured(folder: pathlib.Path, config: ConflictConfig) -> None:
    """Refuse a folder whose gradients were measured with other settings, which results do not record."""
    file = folder / SETTINGS_FILE
    if not file.is_file() or not gradients.folder_files(folder):
        return
    before, now = read_json(file), to_json(config)
    for name in ('batches', 'every_steps'):
        if isinstance(before, dict) and before.get(name, now[name]) != now[name]:
            raise ValueError(
                f'{folder} has gradients of ConflictConfig.{name} {before[name]}, now it is {now[name]}; '
                f'choose another MODEL_DIR, or remove {folder / gradients.FOLDER}'
            )


def measured_run(settings: TrainConfig, every_steps: int | None) -> TrainConfig:
    """Return a run that keeps all checkpoints at which its gradients are measured."""
    every = every_steps or max(1, settings.train_steps // 4)
    kept = settings.train_steps // every + 1
    return settings.replace(**{'checkpoints.every_steps': every, 'checkpoints.keep_last': kept})


def measure_run(sweep: Sweep, settings: TrainConfig, count: int) -> None:
    """Measure the gradients of each task before the run's first step, and at each checkpoint that it kept; a
    checkpoint that was measured is not measured again.

    Args:
        sweep: in whose folder the files go.
        settings: the run's.
        count: batches of each task.
    """
    saved = pathlib.Path(settings.model_dir) / checkpoints.FOLDER
    steps = [0, *sorted(int(path.name) for path in saved.iterdir() if path.name.isdigit())]
    files = {step: gradients.file_of(sweep.folder, step, sweep.ending(settings.seed)) for step in steps}
    missing = [step for step in steps if not files[step].is_file()]
    processes.compare('gradients', {str(files[step]): 'missing' for step in missing})
    if not missing:
        return
    start = time.monotonic()
    partitioner = partitioning.make_partitioner(settings.mesh)
    optimizer = settings.make_optimizer()
    abstract = abstract_state(settings.model, optimizer, partitioner)
    placed = jax.tree.map(lambda leaf: leaf.sharding, abstract.whole())
    gradient = jit_gradient(settings.model, optimizer, settings.step, partitioner)
    converter, prompt = settings.model.converter, settings.model.prompt
    data = TrainingData.resolve(settings.data, settings.seed, converter, sweep.vocabulary, prompt).build()
    batches, clusters = read_batches(data, count, partitioner)
    with progress_bar('gradients', len(missing) * len(batches), 'data sets') as advance:
        for step in missing:
            if step:
                params = parameters.load_params(saved / str(step), settings.model, placed)
            else:
                params = first_state(settings, optimizer, partitioner, abstract, data).whole()
            parts, products = task_gradients.measure(params, batches, gradient, partitioner, advance)
            modules, layers = zip(*parts, strict=True)
            found = TaskGradients(step, tuple(batches), clusters, modules, layers, products[None])
            if jax.process_index() == 0:
                results.write_bytes(files[step], found.to_bytes())
    loco.say(
        f'measured the gradients of {len(batches)} data sets at steps {", ".join(map(str, missing))} in '
        f'{duration(time.monotonic() - start)}'
    )


def read_batches(
    data: TrainingData, count: int, partitioner: partitioning.Partitioner
) -> tuple[Mapping[str, Sequence[Mapping[str, np.ndarray]]], tuple[str, ...]]:
    """Read this process's rows of the same batches of each task each time; return them, and the tasks'
    clusters.
    """
    rows = partitioner.host_rows(data.config.batch_size)
    batches = {
        entry.task: data.batches_of(entry.task, count, rows)
        for entry in data.mixture.entries
        if data.rates.get(entry.task, 0) > 0
    }
    clusters = {entry.task: entry.cluster or entry.task for entry in data.mixture.entries}
    return batches, tuple(clusters[task] for task in batches)
