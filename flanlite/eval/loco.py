"""Leave one cluster out: tune on the others, score zero-shot on what was held out, beside untuned models and
baselines; report.
"""

import fnmatch
import functools
import pathlib
import time
from collections.abc import Sequence

import jax

from flanlite import reading
from flanlite.config import SETTINGS_FILE, TYPE, shown, to_text
from flanlite.data.mixing import mixtures, naming
from flanlite.data.specs.clusters import get_hold_out
from flanlite.data.specs.collection import Collection
from flanlite.eval import comparison
from flanlite.eval.evaluator import keep_predictions
from flanlite.eval.sweep import Sweep, SweepConfig
from flanlite.eval.systems import OpenedHoldOut, score_system
from flanlite.mesh import processes
from flanlite.paths import at_home, check_folder
from flanlite.progress import duration
from flanlite.report import collected, gradients, predictions, report, results, robustness, tables
from flanlite.report.collected import Report, label
from flanlite.training import journal

# Guesses, to begin with.
COSTS = {
    'majority': 0.05,
    'chance': 0.05,
    'untuned': 1.0,
    'untuned_plain': 0.3,
    'tuned': 10.0,
    'no_instructions': 10.0,
    'names': 10.0,
    'names_asked': 1.0,
}
# What may differ between results that are merged: where things lie, what each job holds out and compares, and
# what a run writes down.
FREE = (
    'train.model_dir',
    'held_out',
    'systems',
    'seeds',
    'predictions',
    'train.data.data_dir',
    'train.data.cache_dir',
    'train.data.fail_fast',
    'train.records.',
    'train.checkpoints.fall_back',
)


def loco(config: SweepConfig, gin: str | None = None) -> Report:
    """Hold out one cluster at a time, tune on the rest, score everything on it, and report.

    What is done already is not done again; a run that was killed goes on. Results of several jobs with the
    same settings merge when they lie in the same folder, which holds a run for each hold-out and tuned
    system, results.json, report.html, report.md, report.tex, report.csv and settings.json.

    Args:
        config: all that decides the sweep.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Raises:
        ValueError: an unknown collection or hold-out, a checkpoint that does not fit, or results of other
            settings or of an earlier version in the folder; all before anything is trained.
    """
    comparison.begin(config, SweepConfig, 'loco')
    sweep = Sweep.open(config)
    chosen = choose_held_out(config.held_out, sweep.collection)
    results.check_settings(sweep.folder, to_text(config), FREE, 'MODEL_DIR')
    for held_out in chosen:
        mixtures.resolve(sweep.mixture(held_out))  # nothing left to tune on fails here
    _ = sweep.base_params  # a checkpoint that does not fit fails here
    comparison.keep_settings(sweep.folder, config, gin)
    systems = sorted(config.systems, key=list(COSTS).index)
    plan = [(name, system, seed) for name in chosen for system in systems for seed in sweep.seeds(system)]
    return score_all(sweep, plan, f'{sweep.collection.name}: leave one cluster out')


def score_all(sweep: Sweep, plan: Sequence[tuple[str, str, int | None]], heading: str) -> Report:
    """Score what a plan of (held out, system, seed) has no results of yet, and write the report, with its
    heading, after each.
    """
    waiting = [step for step in plan if not (sweep.result_folder(*step) / results.RESULT).is_file()]
    processes.compare('results', {str(sweep.result_folder(*step)): 'missing' for step in waiting})
    names = ', '.join(dict.fromkeys(held_out for held_out, _, _ in plan))
    say(
        f'{sweep.collection.name}: holding out {names}; {len(plan)} results, {len(plan) - len(waiting)} '
        f'done; in {sweep.folder}'
    )
    clock = Clock(waiting)
    opened = functools.lru_cache(maxsize=1)(functools.partial(OpenedHoldOut.open, sweep))
    for held_out, system, seed in waiting:
        doing = f'scored on {held_out}' if results.is_shared(system) else f'with {held_out} held out'
        tuned_with = f', seed {seed}' if seed is not None and sweep.config.seeds > 1 else ''
        say(f'{clock.status()}  {label(system)}, {doing}{tuned_with}')
        result, outcome = score_system(opened(held_out), system, seed)
        clock.done(system)
        if jax.process_index() == 0:
            folder = sweep.result_folder(held_out, system, seed)
            keep_predictions(folder, sweep.config.predictions, outcome.scores, outcome.records)
            results.save(folder, result, outcome.scores)
            publish(sweep, heading)
        # No process reads the folder before the result is there.
        processes.wait_for_all(f'{held_out}/{system}/{seed}')
    built = collected.collect(sweep.folder, heading) if waiting else publish(sweep, heading)
    say(
        f'{duration(time.monotonic() - clock.start)} in all; wrote {sweep.folder}/{results.WRITTEN} '
        'and results.json'
    )
    return built


def merge(folders: Sequence[str], output: str | None = None) -> Report:
    """Report the results of one or several folders of a sweep, such as jobs with a hold-out each leave
    behind.

    Args:
        folders: where `loco` wrote; of several, with the same settings.
        output: the folder for the merged results; needed for several folders. It may be one of them.

    Raises:
        ValueError: no results, results of different settings or of an earlier version, or two folders with
            the same hold-out and system.
    """
    if len(folders) > 1 and not output:
        raise ValueError(
            f'{len(folders)} folders are to be merged; name the folder for the result with --output=FOLDER'
        )
    folders = [at_home(folder) for folder in folders]
    target = pathlib.Path(at_home(output) if output else folders[0])
    check_folder(target, 'name another folder with --output')
    results.check_own(target, 'name another folder with --output')
    for folder in map(pathlib.Path, folders):
        if not results.result_paths(folder):
            raise ValueError(
                f'{folder} holds no results ({results.RESULT}); expected a folder that flanlite loco wrote'
            )
    first = results.load(results.result_paths(pathlib.Path(folders[0]))[0])
    found: dict[pathlib.Path, pathlib.Path] = {}  # where each result goes, and whence
    for folder in map(pathlib.Path, (target, *folders)):
        results.check_settings(folder, first.settings, FREE, 'MODEL_DIR')
        is_ablation(folder)  # raises where its settings cannot be read
        for path in results.result_paths(folder):
            goes = target / path.relative_to(folder)
            if found.setdefault(goes, path).read_bytes() != path.read_bytes():
                raise ValueError(
                    f'{folder} and {found[goes].parents[2]} both have results of '
                    f'{path.parent.relative_to(folder)}; merge only one of them'
                )
    for goes, path in found.items():  # nothing is copied before all was looked at
        if goes.resolve() == path.resolve():
            continue
        for name in (journal.METRICS, results.RESAMPLES):
            if (path.parent / name).is_file():
                results.write_bytes(goes.parent / name, (path.parent / name).read_bytes())
        predictions.copy(path.parent, goes.parent)
        results.write_bytes(goes, path.read_bytes())  # last: where it lies, all of it is there
    for folder in map(pathlib.Path, folders):
        for path in (*gradients.folder_files(folder), *robustness.below(folder)):
            if not (goes := target / path.relative_to(folder)).is_file():
                results.write_bytes(goes, path.read_bytes())
        if (folder / SETTINGS_FILE).is_file() and not (target / SETTINGS_FILE).is_file():
            results.write_bytes(target / SETTINGS_FILE, (folder / SETTINGS_FILE).read_bytes())
    kind = 'ablations' if is_ablation(target) else 'leave one cluster out'
    built = report.build(target, f'{target.name}: {kind}' if first.held_out else '')
    if built.held_out():
        tables.print_headline(built)
    print(f'wrote {target}/{results.WRITTEN} and results.json')
    return built


def is_ablation(folder: pathlib.Path) -> bool:
    """Return whether a sweep's folder is one of `flanlite ablate`, by the settings in it; a `ValueError`
    where these are none.
    """
    kept = folder / SETTINGS_FILE
    if not kept.is_file():
        return False
    found = reading.read_json(kept)
    if not isinstance(found, dict):
        raise ValueError(
            f'{kept} holds {shown(found)}; expected the settings that flanlite wrote there: put them back, '
            'or remove the file'
        )
    return found.get(TYPE) == 'AblationConfig'


def publish(sweep: Sweep, heading: str) -> Report:
    """Write the report of what is done, and print its headline."""
    built = report.build(sweep.folder, heading)
    tables.print_headline(built)
    return built


def say(text: str) -> None:
    """Print a line, in the first process only."""
    if jax.process_index() == 0:
        print(text, flush=True)


def choose_held_out(wanted: str | Sequence[str], collection: Collection) -> list[str]:
    """Return the names of the clusters, or other hold-outs, that are wanted, in the order given; an unknown
    one is a `ValueError`.
    """
    names = comparison.names_of(wanted)
    if not names:
        raise ValueError(
            f'no cluster to hold out; the clusters of {collection.name} are '
            f'{", ".join(collection.clusters())}, or all'
        )
    if 'all' in names:
        return list(collection.clusters())
    others = naming.other_hold_outs(collection)
    chosen = [found for name in names for found in fnmatch.filter(others, name) or [name]]
    for name in chosen:
        get_hold_out(naming.numbers_in_name(name).bare, collection.specs)
    return list(dict.fromkeys(chosen))


def cost_of(system: str) -> float:
    """Return what a system costs; one that is tuned already costs as much as the untuned one."""
    return COSTS.get(system, COSTS['untuned'])


class Clock:
    """Guesses how long the waiting results take, from those that are done."""

    def __init__(self, waiting: Sequence[tuple[str, str, int | None]]) -> None:
        self.systems = [system for _, system, _ in waiting]
        self.spent: dict[str, list[float]] = {}
        self.start = self.last = time.monotonic()
        self.count = 0

    def done(self, system: str) -> None:
        """Note that the next result is done."""
        now = time.monotonic()
        self.spent.setdefault(system, []).append(now - self.last)
        self.last, self.count = now, self.count + 1

    def seconds_left(self) -> float | None:
        """Estimate the rest: each system takes as long as before, a new one in proportion to its cost; None
        while too little is done.
        """
        spent = sum(map(sum, self.spent.values()))
        cost = sum(cost_of(system) * len(times) for system, times in self.spent.items())
        if cost < min(COSTS['untuned_plain'], 0.5 * sum(map(cost_of, self.systems))):
            return None
        means = {system: sum(times) / len(times) for system, times in self.spent.items()}
        return sum(means.get(system, cost_of(system) * spent / cost) for system in self.systems[self.count :])

    def status(self) -> str:
        """Return which result is next, the time spent and the time left, as text."""
        left = self.seconds_left()
        rest = '' if left is None else f', about {duration(left)} left'
        return (
            f'[{self.count + 1}/{len(self.systems)}, {duration(time.monotonic() - self.start)} elapsed{rest}]'
        )
