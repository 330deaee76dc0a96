"""Choose a mixture by evidence: train small runs on drawn mixtures, fit held-out loss as a function of the
weights, and take the mixture of the least loss that the fit foretells (RegMix, Liu et al. 2024, arXiv
2407.01492; Data Mixing Optimization for SFT, Li et al. 2025, arXiv 2508.11953).

A folder holds

    <number>/         the training run of a mixture, 0 that of the mixture as it is set; with losses.json
    rates.json        the rates of the chosen mixture, by task, which `MixtureConfig.rates` reads
    mix.md, mix.json  the weights, and how far the fits can be trusted
"""

import dataclasses
import json
import math
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Annotated

import jax
import numpy as np

from flanlite import reading
from flanlite.config import check_own, to_text, value
from flanlite.data.mixing import given_rates
from flanlite.data.mixing.mixtures import GROUPS, groups_of, resolve
from flanlite.data.training_data import TrainingData
from flanlite.eval import comparison, loco, mixing_laws
from flanlite.eval.conflict import check_names
from flanlite.limits import Count, Positive, PositiveShare, one_of, whole
from flanlite.mesh import partitioning, processes
from flanlite.progress import duration
from flanlite.report import results
from flanlite.report.mix import MixReport
from flanlite.training import parameters, run
from flanlite.training.begin import choose_vocabulary
from flanlite.training.config import TrainConfig
from flanlite.training.step import abstract_state, jit_eval_step

LOSSES, RATES, MARKDOWN, JSON = 'losses.json', 'rates.json', 'mix.md', 'mix.json'
BEST = 'best'
DRAWS = 0x4D6978  # sets the draws of mixtures apart from all else that the seed decides
WEAK = 0.05  # the p from which on a fit orders mixtures no better than chance may
FREE = (  # what may differ between jobs of one folder: where things lie, what each does, how is chosen
    'train.model_dir',
    'only',
    'law',
    'samples',
    'average',
    'train.data.data_dir',
    'train.data.cache_dir',
    'train.data.fail_fast',
    'train.records.',
    'train.checkpoints.fall_back',
)


@value
class MixConfig:
    """All that decides a sweep over mixtures.

    Args:
        train: how each run is trained, all for as many steps; `model_dir` is the folder of all, and
            `data.mixture` the mixture that is varied.
        groups: what has a weight: 'clusters', within which the tasks keep their rates to each other, or
            'tasks'.
        runs: how many mixtures are trained on, the one that is set among them.
        targets: the clusters (or tasks, where these have weights) on whose validation data the loss is to be
            low, in the mean over them; 'all' of those that train, or names with commas between them, also of
            what is held out.
        law: which fit to choose by, one of `mixing_laws.LAWS`, or 'best' for the one that foretells other
            runs best.
        only: which runs this job does, as '0-7' or '3,5'; 'all'.
        strengths: how concentrated the drawn mixtures are around the one that is set, from the least to the
            most.
        temperature: the exponent that flattens its weights before.
        most: no weight is above so many times that of the mixture as it is set.
        batches: how many validation batches of each task a loss is of.
        samples: how many mixtures the law is asked for.
        average: of how many of the best of them the chosen mixture is the mean.

    Raises:
        ValueError: numbers or settings that cannot be.
    """

    train: TrainConfig
    groups: Annotated[str, one_of(*GROUPS)] = 'clusters'
    runs: Annotated[int, whole(8, 100_000)] = 32
    targets: str | tuple[str, ...] = 'all'
    law: Annotated[str, one_of(BEST, *mixing_laws.LAWS)] = BEST
    only: str = 'all'
    strengths: tuple[Positive, Positive] = (0.1, 5.0)
    temperature: PositiveShare = 0.5
    most: Positive = 15.0
    batches: Count = 4
    samples: Annotated[int, whole(1, 10_000_000)] = 100_000
    average: Count = 100

    def __post_init__(self) -> None:
        if self.train.bandit or self.train.data.mixture.stages:
            raise ValueError(
                'a run of the sweep has one mixture from its first step to its last; expected neither '
                'TrainConfig.bandit nor MixtureConfig.stages'
            )
        if self.most <= 1 or self.strengths[0] > self.strengths[1]:
            raise ValueError(
                f'got MixConfig.most={self.most} and strengths={self.strengths}; expected most above 1, and '
                'the least strength before the most'
            )
        if self.average > self.samples:
            raise ValueError(
                f'MixConfig.average is {self.average:,}, expected at most samples, {self.samples:,}'
            )
        if self.train.restore_optimizer:
            raise ValueError(
                'TrainConfig.restore_optimizer is True, but each run is trained from its first step; leave '
                'it out'
            )
        if not comparison.names_of(self.targets):
            raise ValueError('MixConfig.targets is empty; expected all, or names of clusters or tasks')
        self.numbers()

    def numbers(self) -> list[int]:
        """Return the numbers of the runs that this job does.

        Raises:
            ValueError: `only` says none, or some that there are not.
        """
        if self.only == 'all':
            return list(range(self.runs))
        found: list[int] = []
        for part in comparison.names_of(self.only):
            ends = re.fullmatch(r'(\d{1,9})(?:-(\d{1,9}))?', part)
            first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
            if not first <= last < self.runs:
                raise ValueError(
                    f'MixConfig.only is {self.only!r}; expected all, or numbers from 0 to {self.runs - 1}, '
                    "as '0-7' or '3,5'"
                )
            found += range(first, last + 1)
        if not found:
            raise ValueError("MixConfig.only is empty; expected all, or numbers, as '0-7' or '3,5'")
        return sorted(set(found))


@dataclasses.dataclass(frozen=True)
class Mix:
    """A sweep over mixtures with its data: groups of tasks, the rates of the mixture as it is set, and the
    tasks of each target.
    """

    config: MixConfig
    data: TrainingData
    groups: Mapping[str, Sequence[str]]
    targets: Mapping[str, Sequence[str]]

    @classmethod
    def open(cls, config: MixConfig) -> 'Mix':
        """Find what the settings name, and build what the cache lacks.

        Raises:
            ValueError: fewer than two groups, an unknown target, or one without validation data.
        """
        train = config.train
        vocabulary = choose_vocabulary(train)
        data = TrainingData.resolve(
            train.data, train.seed, train.model.converter, vocabulary, train.model.prompt
        )
        every = resolve(train.data.mixture.replace(name=base_name(data), held_out=None, rates=None)).entries
        known = groups_of(every, config.groups)
        wanted = comparison.names_of(config.targets)
        check_names(wanted, list(known), 'target')
        check_groups(groups_of(data.mixture.entries, config.groups))
        data = data.build()
        trained = [entry for entry in data.mixture.entries if data.rates.get(entry.task, 0) > 0]
        groups = groups_of(trained, config.groups)
        check_groups(groups)
        chosen = list(groups) if 'all' in wanted else [name for name in known if name in wanted]
        # Of a cluster that trains in part, what is held out stays unseen.
        return cls(config, data, groups, {name: groups.get(name, known[name]) for name in chosen})

    @property
    def folder(self) -> pathlib.Path:
        """The folder of all."""
        return pathlib.Path(self.config.train.model_dir)

    def losses_of(self, number: int) -> pathlib.Path:
        """The file of a run's losses, which is there when they are measured."""
        return self.folder / str(number) / LOSSES

    def prior(self) -> np.ndarray:
        """Return the weights of the groups in the mixture as it is set: float64[K]."""
        sums_K = np.array([sum(self.data.rates[task] for task in tasks) for tasks in self.groups.values()])
        return sums_K / sums_K.sum()

    def weights(self) -> np.ndarray:
        """Return the weights of each run: float64[N, K]."""
        config, prior_K = self.config, self.prior()
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence((config.train.seed, DRAWS))))
        drawn_NK = mixing_laws.draw(
            prior_K, config.runs - 1, random, config.strengths, config.temperature, config.most
        )
        return np.concatenate([prior_K[None], drawn_NK])

    def rates(self, weights_K: np.ndarray) -> dict[str, float]:
        """Return weights of groups as rates of all tasks of the mixture."""
        own, found = self.data.rates, {entry.task: 0.0 for entry in self.data.mixture.entries}
        for weight, tasks in zip(weights_K, self.groups.values(), strict=True):
            whole_rate = sum(own[task] for task in tasks)
            found |= {task: float(weight) * own[task] / whole_rate for task in tasks}
        return found

    def settings(self, number: int, weights_K: np.ndarray) -> TrainConfig:
        """Return the settings of a run."""
        changes = {'rates': self.rates(weights_K), 'scheme': 'proportional', 'temperature': 1.0}
        mixture = self.config.train.data.mixture.replace(**changes)
        return self.config.train.replace(
            **{'model_dir': str(self.folder / str(number)), 'data.mixture': mixture}
        )


def base_name(data: TrainingData) -> str:
    """Return the name of the mixture without what it holds out."""
    mixture = data.mixture
    return mixture.collection.name if mixture.held_out and mixture.collection else data.config.mixture.name


def check_groups(groups: Mapping[str, Sequence[str]]) -> None:
    """Raise a `ValueError` where there are fewer than two groups."""
    if len(groups) < 2:
        raise ValueError(
            f'the groups that have a weight are {", ".join(groups) or "none"}; expected at least two: name a '
            "mixture of more clusters, or set MixConfig.groups = 'tasks'"
        )


def mix(config: MixConfig, gin: str | None = None) -> MixReport | None:
    """Train runs on drawn mixtures, measure their losses on validation data, fit, and choose.

    What is done already is not done again; a run that was killed goes on. Jobs with other `only` fill one
    folder; the last one fits. See the module for what the folder holds.

    Args:
        config: all that decides it.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Returns:
        What was found; None while runs are missing.

    Raises:
        ValueError: settings that cannot be, or results of other settings in the folder; before anything is
            trained.
    """
    comparison.begin(config, MixConfig, 'mix')
    remedy = 'choose another MODEL_DIR'
    check_own(pathlib.Path(config.train.model_dir), (RATES, MARKDOWN, JSON), remedy)
    sweep = Mix.open(config)
    weights_NK = sweep.weights()
    paths = list(map(sweep.losses_of, range(config.runs)))
    for path in paths:
        if path.is_file():
            read_losses(path, sweep, remedy)
    comparison.keep_settings(sweep.folder, config, gin)
    train_all(sweep, weights_NK)
    if missing := sum(not path.is_file() for path in paths):
        loco.say(f'{missing} of {config.runs} runs are still to do; the last job fits')
        return None
    report = choose(sweep, weights_NK, [read_losses(path, sweep, remedy) for path in paths])
    if jax.process_index() == 0:
        given_rates.write(sweep.folder / RATES, sweep.rates(np.array(list(report.chosen.values()))))
        texts = {JSON: results.to_json(dataclasses.asdict(report)), MARKDOWN: report.markdown()}
        results.write_texts(sweep.folder, texts)
    loco.say(f'{report.markdown()}\nwrote {sweep.folder}/{RATES}, {MARKDOWN} and {JSON}')
    return report


def read_losses(path: pathlib.Path, sweep: Mix, remedy: str) -> dict[str, float]:
    """Read the losses of a run on each target.

    Raises:
        ValueError: the file holds none, or those of other settings.
    """
    found = reading.read_json(path)
    made_with = found.get('settings') if isinstance(found, dict) else None
    if isinstance(made_with, str):
        results.check_same(path.parent, made_with, to_text(sweep.config), FREE, remedy)
    losses = found.get('losses') if isinstance(made_with, str) else None
    if not isinstance(losses, dict) or any(
        type(losses.get(name)) not in (int, float) for name in sweep.targets
    ):
        raise ValueError(
            f'{path} does not hold the settings and losses of a run, on {", ".join(sweep.targets)}; remove '
            'it, and the run is measured again'
        )
    return losses


def train_all(sweep: Mix, weights_NK: np.ndarray) -> None:
    """Train and measure what this job is to do and nobody has done."""
    waiting = [number for number in sweep.config.numbers() if not sweep.losses_of(number).is_file()]
    if not waiting:
        return
    measured = open_validation(sweep)
    start = time.monotonic()
    for place, number in enumerate(waiting):
        spent = time.monotonic() - start
        left = f', about {duration(spent / place * (len(waiting) - place))} left' if place else ''
        loco.say(f'[{place + 1}/{len(waiting)}, {duration(spent)} elapsed{left}]  mixture {number}')
        settings = sweep.settings(number, weights_NK[number])
        run.train(settings)
        losses = measure(sweep, settings, measured)
        if jax.process_index() == 0:
            weights = dict(zip(sweep.groups, weights_NK[number].tolist(), strict=True))
            found = {'weights': weights, 'losses': losses, 'settings': to_text(sweep.config)}
            results.write_text(sweep.losses_of(number), json.dumps(found, indent=1) + '\n')
        processes.wait_for_all(f'mixture {number}')


def open_validation(sweep: Mix) -> dict[str, list[dict[str, np.ndarray]]]:
    """Read the validation batches of each task of the targets.

    Raises:
        ValueError: a target has no validation data.
    """
    partitioner = partitioning.make_partitioner(sweep.config.train.mesh)
    rows = partitioner.host_rows(sweep.config.train.data.batch_size)
    tasks = [task for tasks in sweep.targets.values() for task in tasks]
    found = sweep.data.validation_by_task(tasks, sweep.config.batches, rows)
    for name, members in sweep.targets.items():
        if not any(task in found for task in members):
            raise ValueError(
                f'the target {name} has no validation data; leave it out of MixConfig.targets, or add some'
            )
    return found


def measure(
    sweep: Mix, settings: TrainConfig, batches: Mapping[str, Sequence[dict[str, np.ndarray]]]
) -> dict[str, float]:
    """Return the loss of a run on each target: the mean over its tasks of their losses a target token."""
    partitioner = partitioning.make_partitioner(settings.mesh)
    eval_step = jit_eval_step(settings.model, settings.step, partitioner)
    abstract = abstract_state(settings.model, settings.make_optimizer(), partitioner)
    placed = jax.tree.map(lambda leaf: leaf.sharding, abstract.whole())
    params = parameters.load_params(settings.model_dir, settings.model, placed)
    by_task = {}
    for task, read in batches.items():
        sums = [jax.device_get(eval_step(params, partitioner.place(batch))) for batch in read]
        weight = math.fsum(float(each['weight_sum']) for each in sums)
        by_task[task] = math.fsum(float(each['loss']) for each in sums) / weight
    return {
        name: float(np.mean([by_task[task] for task in tasks if task in by_task]))
        for name, tasks in sweep.targets.items()
    }


def choose(sweep: Mix, weights_NK: np.ndarray, losses: Sequence[Mapping[str, float]]) -> MixReport:
    """Fit the laws to the runs, and choose the mixture of the least loss that one foretells."""
    config, names = sweep.config, list(sweep.groups)
    losses_NG = np.array([[each[name] for name in sweep.targets] for each in losses])
    own = [names.index(name) if name in names else None for name in sweep.targets]
    qualities = [mixing_laws.judge(name, weights_NK, losses_NG, own) for name in mixing_laws.LAWS]
    judged = {each.law: each for each in qualities}
    name = min(judged, key=lambda law: judged[law].rmse) if config.law == BEST else config.law
    law = mixing_laws.LAWS[name](weights_NK, losses_NG, own)
    prior_K = sweep.prior()
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence((config.train.seed, DRAWS, 1))))
    asked_SK = mixing_laws.draw(
        prior_K, config.samples, random, config.strengths, config.temperature, config.most
    )
    best_S = np.argsort(law(asked_SK).mean(axis=1), kind='stable')[: config.average]
    chosen_K = asked_SK[best_S].mean(axis=0)
    foretold = law(np.stack([prior_K, chosen_K])).mean(axis=1)
    return MixReport(
        f'{sweep.data.mixture.name}: mixed by {config.runs} runs of {config.train.train_steps:,} steps',
        sweep.groups,
        dict(zip(names, prior_K.tolist(), strict=True)),
        dict(zip(names, chosen_K.tolist(), strict=True)),
        list(sweep.targets),
        losses_NG.mean(axis=1).tolist(),
        (float(foretold[0]), float(foretold[1])),
        name,
        [each._asdict() for each in qualities],
        notes(judged[name], sweep),
    )


def notes(quality: mixing_laws.Quality, sweep: Mix) -> list[str]:
    """Return what a reader should know before the rates are used."""
    said = [
        'What is best for small and short runs need not be for large and long ones: train on the chosen '
        'rates and on others, and compare.'
    ]
    if not (quality.p < WEAK and quality.spearman > 0):
        said.insert(
            0,
            f'The {quality.law} law does not order runs that it was not fitted to better than chance may; '
            'the chosen rates have no evidence behind them. More runs, longer runs or fewer groups may help.',
        )
    if held := [name for name in sweep.targets if name not in sweep.groups]:
        said.append(
            f'The rates were chosen by validation data of {", ".join(held)}, which is not trained on: a '
            'score there is no longer zero-shot.'
        )
    return said
