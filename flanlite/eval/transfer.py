"""Prompt transfer: soft prompts of source tasks, what they do for target tasks as they are and as a
beginning, and whether the similarity of prompts foretells it (SPoT, Vu et al. 2022; Su et al. 2022).

A folder holds

    prompts/<name>-<seed>.npy            the prompt of a source, or of a target that began anew
    prompts/<name>-<seed>.embedding.npz  the same at an early step, and the neurons that it activates
    runs/<name>/<what>-<seed>/           the training runs
    <target>/<system>-<seed>/            a score, with curve.json, that of validation rows over the steps
"""

import pathlib
import time
from collections.abc import Sequence

import jax
import numpy as np

from flanlite import reading
from flanlite.config import SETTINGS_FILE, to_text
from flanlite.data.mixing import mixtures
from flanlite.eval import comparison
from flanlite.eval.similarity import SIMILARITIES
from flanlite.eval.transfer_config import TransferConfig, mixture_of
from flanlite.eval.transfer_work import (
    CURVE,
    PROMPTS,
    Transfer,
    embeddings,
    most_similar,
    named,
    own_pairs,
    similarity_of,
)
from flanlite.mesh import processes
from flanlite.paths import at_home, check_folder
from flanlite.progress import duration
from flanlite.report import results, transfer_page
from flanlite.report.transfer import TransferReport, Trial

# What may differ between results that lie in one folder or are merged: where things lie, what each job does,
# what else is tried or counted, and what a run writes down.
FREE = (
    'train.model_dir',
    'only',
    'seeds',
    'starts',
    'strategies',
    'share',
    'projector',
    'train.data.data_dir',
    'train.data.cache_dir',
    'train.data.fail_fast',
    'train.records.',
    'train.checkpoints.fall_back',
)


def transfer(config: TransferConfig, gin: str | None = None) -> TransferReport:
    """Train a prompt on each source and each target; score each source's prompt on each target, as it is and
    as a beginning; try what retrieval by similarity makes of them; report.

    What is done already is not done again; a run that was killed goes on. Jobs with another `only` fill one
    folder, or several that `merge` puts together; targets wait until the prompts of all sources are there.

    Args:
        config: all that decides it.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Raises:
        ValueError: settings that cannot work, or results of others in the folder; all before anything is
            trained.
    """
    comparison.begin(config, TransferConfig, 'transfer')
    chosen = config.chosen()
    work = Transfer.open(config)
    check_settings(work.folder, to_text(config))
    _ = work.base  # a checkpoint that does not fit fails here
    comparison.keep_settings(work.folder, config, gin)
    began = time.monotonic()
    seeds = range(config.seeds)
    waiting = [(name, seed) for seed in seeds for name in chosen if not work.embedded(name, seed)]
    processes.compare('prompts', {f'{name}-{seed}': 'missing' for name, seed in waiting})
    for number, (name, seed) in enumerate(waiting, 1):
        say(f'[prompt {number} of {len(waiting)}, {duration(time.monotonic() - began)}]  {name}')
        work.embed(name, seed)
    targets = [name for name in chosen if name in config.targets]
    lacking = [name for seed in seeds for name in config.sources if not work.embedded(name, seed)]
    if targets and lacking:
        say(
            f'{", ".join(targets)} wait for the prompts of {", ".join(dict.fromkeys(lacking))}; run the same '
            'command again when these are there'
        )
        targets = []
    plan = [
        (target, *system, seed)
        for target in targets
        for seed in seeds
        for system in work.systems(target, seed)
    ]
    plan = [
        each for each in plan if not (work.folder / each[0] / named(*each[1:]) / results.RESULT).is_file()
    ]
    processes.compare('results', {f'{target}/{named(*each)}': 'missing' for target, *each in plan})
    for number, (target, system, source, seed) in enumerate(plan, 1):
        say(
            f'[score {number} of {len(plan)}, {duration(time.monotonic() - began)}]  {target}: {system} '
            f'{source}'.rstrip()
        )
        work.measure(target, system, source, seed)
        if number < len(plan) and plan[number][0] != target and jax.process_index() == 0:
            transfer_page.build(work.folder, collect(work.folder, config, work.own))
    found = collect(work.folder, config, work.own)
    if jax.process_index() == 0:
        transfer_page.build(work.folder, found)
        transfer_page.print_strategies(found)
    say(
        f'{duration(time.monotonic() - began)} in all; wrote {work.folder}/report.html, report.md and '
        'results.json'
    )
    return found


def merge(folders: Sequence[str], output: str | None = None) -> TransferReport:
    """Put together what jobs left in several folders, or report one folder again.

    Args:
        folders: where `transfer` wrote, with the same settings.
        output: the folder for what is merged; needed for several folders. It may be one of them.

    Raises:
        ValueError: other settings, or two folders with different results of the same.
    """
    if len(folders) > 1 and not output:
        raise ValueError(
            f'{len(folders)} folders are to be merged; name the folder for the result with --output=FOLDER'
        )
    paths = [pathlib.Path(at_home(folder)) for folder in folders]
    target = pathlib.Path(at_home(output)) if output else paths[0]
    check_folder(target, 'name another folder with --output')
    results.check_own(target, 'name another folder with --output')
    config = TransferConfig.load(paths[0])
    settings = kept_settings(paths[0])
    found: dict[pathlib.Path, pathlib.Path] = {}  # where each file goes, and whence
    for folder in (target, *paths):
        check_settings(folder, settings)
        beside = [path for result in results.result_paths(folder) for path in result.parent.iterdir()]
        for path in (*sorted((folder / PROMPTS).glob('*')), *beside):
            goes = target / path.relative_to(folder)
            if found.setdefault(goes, path).read_bytes() != path.read_bytes():
                raise ValueError(
                    f'{path} and {found[goes]} are not the same; merge only one of their folders'
                )
    # Nothing is copied before all was looked at; results last: where one lies, all of it is there.
    for goes, path in sorted(found.items(), key=lambda pair: pair[0].name == results.RESULT):
        if goes.resolve() != path.resolve():
            results.write_bytes(goes, path.read_bytes())
    if not (target / SETTINGS_FILE).is_file():
        results.write_bytes(target / SETTINGS_FILE, (paths[0] / SETTINGS_FILE).read_bytes())
    mixed = {name: mixtures.resolve(mixture_of(config, name)) for name in config.names}
    built = transfer_page.build(target, collect(target, config, own_pairs(config, mixed)))
    transfer_page.print_strategies(built)
    print(f'wrote {target}/report.html, report.md and results.json')
    return built


def is_transfer(folder: str) -> bool:
    """Return whether `transfer` wrote a folder."""
    path = pathlib.Path(at_home(folder)) / SETTINGS_FILE
    found = reading.read_json(path) if path.is_file() else None
    return isinstance(found, dict) and found.get('type') == TransferConfig.__name__


def collect(folder: pathlib.Path, config: TransferConfig, own: frozenset[tuple[str, str]]) -> TransferReport:
    """Read all that a folder holds."""
    trials = []
    for path in results.result_paths(folder):
        result = results.load(path)
        (task,) = result.tasks
        system, _, seed = result.system.rpartition('-')
        system, _, source = system.partition('.')
        resampled = results.load_resamples(path.parent)[task.task]
        with reading.foreign(path.parent / CURVE):
            points = reading.read_json(path.parent / CURVE)
            curve = tuple((step, float('nan') if score is None else score) for step, score in points)
        trials.append(Trial(task.task, system, source, int(seed), result, resampled, curve))
    similarities: dict[str, dict[tuple[str, str, int], float]] = {name: {} for name in SIMILARITIES}
    retrieved = {}
    for seed in sorted({*range(config.seeds), *(trial.seed for trial in trials)}):  # also of earlier settings
        found = embeddings(folder, config.names, seed)
        for target in config.targets:
            for name, values in similarities.items():
                alike = similarity_of(name, found, config.sources, target, own)
                values |= {(source, target, seed): each for source, each in alike.items()}
                if (
                    name == config.similarity
                    and target in found
                    and all(each in found for each in config.sources)
                ):
                    retrieved[target, seed] = most_similar(alike, config.top_k)
    return TransferReport(
        f'{folder.name}: prompts of {len(config.sources)} sources for {len(config.targets)} targets',
        config.sources,
        config.targets,
        own,
        config.similarity,
        config.top_k,
        config.share,
        similarities,
        retrieved,
        tuple(trials),
        to_text(config),
    )


def kept_settings(folder: pathlib.Path) -> str:
    """Return the settings that the first prompt of a folder was made with, as that version wrote them."""
    for path in sorted((folder / PROMPTS).glob('*.npz')):
        return settings_of(path)
    raise ValueError(
        f'{folder} holds no prompts yet; expected a folder in which flanlite transfer trained some'
    )


def settings_of(path: pathlib.Path) -> str:
    """Return the settings that a prompt was made with."""
    with reading.foreign(path), np.load(path) as kept:
        return str(kept['settings'])


def check_settings(folder: pathlib.Path, settings: str) -> None:
    """Refuse a folder whose results or prompts were made with other settings."""
    results.check_settings(folder, settings, FREE, 'MODEL_DIR')
    for path in sorted((folder / PROMPTS).glob('*.npz')):
        made_with = settings_of(path)
        results.check_same(path, made_with, settings, FREE, f'choose another MODEL_DIR, or remove {folder}')


def say(text: str) -> None:
    """Print a line, in the first process only."""
    if jax.process_index() == 0:
        print(text, flush=True)
