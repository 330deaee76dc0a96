"""Leave one cluster out: tune on the others, score zero-shot on what was held out, beside untuned models and baselines; report."""

import fnmatch
import functools
import pathlib
import re
import shutil
import time
from collections.abc import Mapping, Sequence

import gin
import jax
from jax.experimental import multihost_utils

from flanlite.cli import gin_config
from flanlite.data.batches import batches
from flanlite.data.cache import cache
from flanlite.data.mixing import mixtures, naming
from flanlite.data.specs import specs
from flanlite.data.specs.clusters import find_split
from flanlite.data.tokens import vocabularies
from flanlite.eval.systems import HeldOut, Sweep, score_piece
from flanlite.mesh import partitioning
from flanlite.model import kinds
from flanlite.model.models import ModelConfig
from flanlite.progress import duration
from flanlite.report import report, results, tables
from flanlite.report.results import MODELS
from flanlite.report.tables import Report
from flanlite.train import journal

COSTS = {'majority': 0.05, 'chance': 0.05, 'untuned': 1.0, 'untuned_plain': 0.3, 'tuned': 10.0, 'ablation': 10.0}  # guesses, to begin with
NOT_SETTINGS = ('MODEL_DIR', 'loco.only', 'loco.clusters', 'loco.model_dir')  # may differ between results that are merged
BINDING = re.compile(r'^([\w./]+) = (.*(?:\n[ \t]+.*|\n[\])}].*)*)', re.MULTILINE)


@gin.configurable
def loco(
    model_dir: str,
    mixture: str,
    task_feature_lengths: Mapping[str, int],
    *,
    clusters: str | Sequence[str] = 'all',
    only: str | Sequence[str] | None = None,
    models: Sequence[str] = tuple(MODELS),
    config: ModelConfig | None = None,
    vocabulary: str | None = None,
    initial_checkpoint_path: str | None = None,
    seed: int = 0,
    max_rows: int | None = None,
    seen: int = 0,
) -> Report:
    """Hold out one cluster at a time, tune on the rest, score everything on it, and report.

    What is done already is not done again; a run that was killed goes on. Results of several jobs with the same settings merge when they
    lie in the same folder.

    Args:
        model_dir: the sweep's folder: a run for each cluster and tuned model, results.json, report.md and report.html.
        mixture: a collection.
        task_feature_lengths: tokens that a model reads and writes, {'inputs': S, 'targets': T}.
        clusters: which clusters are held out, one after the other; 'all' for every one of the collection. Other splits of it may stand
            there too, such as `intra_3`, or `diversity_*` for all that fit, also with a number of templates, `superglue_4templates`.
        only: overrides `clusters`; several names may be separated by commas.
        models: which of `results.MODELS` to compare.
        config: the model; by default what gin says, see `kinds.model`.
        vocabulary: a name for `vocabularies.load`; by default the collection's.
        initial_checkpoint_path: the model before tuning; a random one without.
        seed: of a random model, and of tuning.
        max_rows: at most so many rows of each data set are scored; by default all.
        seen: how many data sets that the model was tuned on are scored too, each from another cluster.

    Raises:
        ValueError: an unknown collection, cluster or model, a checkpoint that does not fit, or results of other settings in the folder;
            all before anything is trained.
    """
    partitioning.join_processes()
    partitioning.keep_compiled(cache.cache_folder() / 'jax')
    resolved = mixtures.resolve(mixture)
    collection = resolved.collection
    if collection is None or mixture != collection.name:
        raise ValueError(f'{mixture!r} is no collection; the collections are {", ".join(naming.collection_names())}')
    batches.check_lengths(task_feature_lengths)
    held_out = choose_clusters(only if only is not None else clusters, collection)
    if unknown := [model for model in models if model not in MODELS]:
        raise ValueError(f'unknown model {unknown[0]!r}; the compared models are {", ".join(MODELS)}')
    sweep = Sweep(
        pathlib.Path(model_dir), collection, config or kinds.model(), vocabularies.load(vocabulary or collection.vocabulary),
        dict(task_feature_lengths), initial_checkpoint_path, seed, max_rows, seen,
    )  # fmt: skip
    check_settings(sweep.folder, gin_config.resolved())
    _ = sweep.base_params  # a checkpoint that does not fit fails here
    plan = [(cluster, model) for cluster in held_out for model in sorted(models, key=list(COSTS).index)]
    return score_all(sweep, plan)


def score_all(sweep: Sweep, plan: Sequence[tuple[str, str]]) -> Report:
    """Score the pieces of a plan, (held-out cluster, model), that are not there yet, and write the report after each."""
    waiting = [step for step in plan if not (sweep.folder / step[0] / step[1] / results.PIECE).is_file()]
    held_out = ', '.join(dict.fromkeys(cluster for cluster, _ in plan))
    say(f'{sweep.collection.name}: holding out {held_out}; {len(plan)} pieces, {len(plan) - len(waiting)} done; in {sweep.folder}')
    clock = Clock(waiting)
    opened = functools.lru_cache(maxsize=1)(functools.partial(HeldOut.open, sweep))
    for cluster, model in waiting:
        say(f'{clock.status()}  {cluster} held out: {MODELS[model][0]}')
        piece = score_piece(opened(cluster), model)
        clock.done(model)
        if jax.process_index() == 0:
            results.save(sweep.folder / cluster / model, piece)
            publish(sweep)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f'{cluster}/{model}')  # no process reads the folder before the piece is there
    built = tables.collect(sweep.folder, title(sweep)) if waiting else publish(sweep)
    say(f'{duration(time.monotonic() - clock.start)} in all; wrote {sweep.folder}/report.html, report.md and results.json')
    return built


def merge(folders: Sequence[str], output: str | None = None) -> Report:
    """Report the results of one or several folders of a sweep, such as jobs with a cluster each leave behind.

    Args:
        folders: where `loco` wrote; of several, with the same settings.
        output: the folder for the merged results; needed for several folders. It may be one of them.

    Raises:
        ValueError: no results, results of different settings, or two folders with the same cluster and model.
    """
    if len(folders) > 1 and not output:
        raise ValueError(f'{len(folders)} folders are to be merged; name the folder for the result with --output=FOLDER')
    target = pathlib.Path(output or folders[0])
    for folder in map(pathlib.Path, folders):
        if not tables.piece_paths(folder):
            raise ValueError(f'{folder} holds no results ({results.PIECE}); expected a folder that flanlite loco wrote')
        if folder.resolve() == target.resolve():
            continue
        check_settings(target, results.load(tables.piece_paths(folder)[0]).settings)
        for path in tables.piece_paths(folder):
            copied = target / path.parent.relative_to(folder)
            if (copied / results.PIECE).is_file() and (copied / results.PIECE).read_bytes() != path.read_bytes():
                raise ValueError(f'{folder} and {target} both have results of {path.parent.relative_to(folder)}; merge only one of them')
            copied.mkdir(parents=True, exist_ok=True)
            if (path.parent / journal.METRICS).is_file():
                shutil.copy2(path.parent / journal.METRICS, copied)
            shutil.copy2(path, copied)
    built = report.build(target, f'{target.name}: leave one cluster out')
    if built.held_out():
        tables.print_headline(built)
    print(f'wrote {target}/report.html, report.md and results.json')
    return built


def title(sweep: Sweep) -> str:
    """Head the report."""
    return f'{sweep.collection.name}: leave one cluster out'


def publish(sweep: Sweep) -> Report:
    """Write the report of what is done, and print its headline."""
    built = report.build(sweep.folder, title(sweep))
    tables.print_headline(built)
    return built


def say(text: str) -> None:
    """Print a line, in the first process only."""
    if jax.process_index() == 0:
        print(text, flush=True)


def choose_clusters(wanted: str | Sequence[str], collection: specs.Collection) -> list[str]:
    """Read which clusters, or other splits, are to be held out, in the order given; an unknown one is a `ValueError`."""
    names = [name.strip() for name in wanted.split(',')] if isinstance(wanted, str) else list(wanted)
    names = [name for name in names if name]
    if not names:
        raise ValueError(f'no cluster to hold out; the clusters of {collection.name} are {", ".join(collection.clusters())}, or all')
    if 'all' in names:
        return list(collection.clusters())
    others = naming.other_splits(collection)
    chosen = [split for name in names for split in fnmatch.filter(others, name) or [name]]
    for name in chosen:
        find_split(naming.templates_in_name(name)[0], collection.specs)
    return list(dict.fromkeys(chosen))


def bindings(settings: str) -> dict[str, str]:
    """Split gin text into its bindings."""
    return {name: ' '.join(value.split()) for name, value in BINDING.findall(settings) if name not in NOT_SETTINGS}


def check_settings(folder: pathlib.Path, settings: str) -> None:
    """Refuse to go on in a folder whose results were made with other settings."""
    for path in tables.piece_paths(folder):
        before, now = bindings(results.load(path).settings), bindings(settings)
        if differing := [name for name in before | now if before.get(name) != now.get(name)]:
            name = differing[0]
            raise ValueError(
                f'{path.parent} holds results of other settings: {name} was {before.get(name, "not set")}, now it is '
                f'{now.get(name, "not set")}{f" ({len(differing) - 1} more differ)" if len(differing) > 1 else ""}; '
                f'set it back, choose another MODEL_DIR, or remove {folder}'
            )


class Clock:
    """Guesses how long the waiting pieces take, from those that are done."""

    def __init__(self, waiting: Sequence[tuple[str, str]]) -> None:
        self.models = [model for _, model in waiting]
        self.spent: dict[str, list[float]] = {}
        self.start = self.last = time.monotonic()
        self.count = 0

    def done(self, model: str) -> None:
        """Note that the next piece is done."""
        now = time.monotonic()
        self.spent.setdefault(model, []).append(now - self.last)
        self.last, self.count = now, self.count + 1

    def seconds_left(self) -> float | None:
        """Guess what the rest takes: as long as like pieces took, or in proportion to the costs; None before the first."""
        spent = sum(map(sum, self.spent.values()))
        cost = sum(COSTS[model] * len(times) for model, times in self.spent.items())
        if cost < min(COSTS['untuned_plain'], 0.5 * sum(COSTS[model] for model in self.models)):
            return None
        means = {model: sum(times) / len(times) for model, times in self.spent.items()}
        return sum(means.get(model, COSTS[model] * spent / cost) for model in self.models[self.count :])

    def status(self) -> str:
        """Write which piece is next, the time spent and the time left."""
        left = self.seconds_left()
        rest = '' if left is None else f', about {duration(left)} left'
        return f'[{self.count + 1}/{len(self.models)}, {duration(time.monotonic() - self.start)} elapsed{rest}]'
