"""What prompts of some tasks do for others: the results of `flanlite transfer`, and what they add up to.

Letters in the names of arrays: S resamples, N pairs of a source and a target.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flanlite.metrics.correlation import weighted_correlations
from flanlite.report import scores
from flanlite.report.results import Result
from flanlite.report.scores import Resampled

ZERO_SHOT, START = 'zero_shot', 'start'  # systems of a pair: a source's prompt as it is, or to begin with
PAIR_SYSTEMS = {
    ZERO_SHOT: 'zero-shot: gain over the model without a prompt',
    START: 'as a beginning: gain over plain prompt tuning',
}
# What is compared, in the order of the tables: (label, what it is).
STRATEGIES = {
    'untuned': ('No prompt', 'the model without a prompt'),
    ZERO_SHOT: ('Nearest, zero-shot', 'the prompt of the most similar source, as it is'),
    'plain': ('Plain', "prompt tuning from the prompt's own first values"),
    'random': ('Random source', 'tuning from the prompt of a source, the mean over all sources'),
    'best': ('Best of top-k', 'tuning from each of the k most similar sources; the best on validation'),
    'average': ('Weighted average', 'tuning from the average of the k prompts, weighted by their similarity'),
    'mixture': ('Top-k mixture', 'tuning from a prompt that was trained on the mixture of the k sources'),
    'oracle': ('Best of all', 'tuning from each source; the best on validation'),
    'projected': (
        'Projected, zero-shot',
        "another model's prompt of the task, through a projector, as it is",
    ),
}
RESAMPLES = 1_000
FEWEST = 3  # pairs that have a correlation


@dataclasses.dataclass(frozen=True)
class Trial:
    """One score of a target.

    Args:
        target: the task that was scored.
        system: what of: `untuned`, `plain`, `zero_shot`, `start`, `average`, `mixture` or `projected`.
        source: whose prompt, of `zero_shot` and `start`; else empty.
        seed: the number of the repetition.
        result: the score on the test split.
        resampled: the same on draws of the rows.
        curve: (step, score on validation rows) in the order of the steps; empty of what did not train.
    """

    target: str
    system: str
    source: str
    seed: int
    result: Result
    resampled: Resampled
    curve: tuple[tuple[int, float], ...]

    @property
    def score(self) -> float:
        """Return the headline score."""
        return self.result.tasks[0].summary.mean

    @property
    def chosen_by(self) -> float:
        """Return the last score on validation rows."""
        return self.curve[-1][1]


@dataclasses.dataclass(frozen=True)
class Combined:
    """The mean of some trials of one target.

    Args:
        score: the mean over the trials.
        by_seed: the mean over those of each seed.
        limits: the least and the greatest that it can be.
        resampled: the score on draws of the rows.
        steps: those that each trial took to reach the share of the plain result; infinite where it did not.
    """

    score: float
    by_seed: Mapping[int, float]
    limits: tuple[float, float]
    resampled: Resampled
    steps: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class TransferReport:
    """All that was measured.

    Args:
        title: the heading.
        sources: their names.
        targets: their names.
        own: the pairs (source, target) whose source has the target in it.
        similarity: the name of the one that sources are retrieved by.
        top_k: how many are.
        share: of the plain result on validation, that steps are counted to.
        similarities: {name: {(source, target, seed): value}}.
        retrieved: {(target, seed): the k most similar sources}, of those whose prompts are all there.
        trials: what was scored.
        settings: the configuration in force.
    """

    title: str
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    own: frozenset[tuple[str, str]]
    similarity: str
    top_k: int
    share: float
    similarities: Mapping[str, Mapping[tuple[str, str, int], float]]
    retrieved: Mapping[tuple[str, int], tuple[str, ...]]
    trials: tuple[Trial, ...]
    settings: str

    def of(self, target: str, system: str, source: str = '') -> list[Trial]:
        """Return the trials of a target by what was done, a seed each."""
        return [
            trial
            for trial in self.trials
            if (trial.target, trial.system, trial.source) == (target, system, source)
        ]

    def candidates(self, target: str) -> list[str]:
        """Return the sources that may be retrieved for a target."""
        return [source for source in self.sources if (source, target) not in self.own]

    def of_strategy(self, target: str, strategy: str) -> list[Trial]:
        """Return the trials whose mean is a strategy's score on a target; none where it is not complete."""
        if strategy == 'random':
            found = [self.of(target, START, source) for source in self.candidates(target)]
            whole = set.intersection(*({trial.seed for trial in each} for each in found)) if found else set()
            return [trial for each in found for trial in each if trial.seed in whole]
        if strategy == 'oracle':
            return self._chosen(target, lambda seed: self.candidates(target))
        if strategy == 'best':
            return self._chosen(target, lambda seed: self.retrieved.get((target, seed), ()))
        if strategy == ZERO_SHOT:
            nearest = {seed: found[0] for (of, seed), found in self.retrieved.items() if of == target}
            return [
                trial
                for seed, source in nearest.items()
                for trial in self.of(target, ZERO_SHOT, source)
                if trial.seed == seed
            ]
        return self.of(target, strategy)

    def _chosen(self, target: str, among: Callable[[int], Sequence[str]]) -> list[Trial]:
        """Return for each seed the trial with the best score on validation rows, of those that begin with
        some sources' prompts.
        """
        best = []
        for seed in sorted({trial.seed for trial in self.trials if trial.target == target}):
            started = [
                [trial for trial in self.of(target, START, source) if trial.seed == seed]
                for source in among(seed)
            ]
            if started and all(started):
                best.append(max((each[0] for each in started), key=lambda trial: known(trial.chosen_by)))
        return best

    def combined(self, target: str, strategy: str) -> Combined | None:
        """Return a strategy's mean score on a target; None where there is none."""
        return self.mean(self.of_strategy(target, strategy))

    def mean(self, trials: Sequence[Trial]) -> Combined | None:
        """Return the mean of trials of the same target."""
        if not trials:
            return None
        drawn = [trial.resampled for trial in trials]
        resampled = Resampled(
            drawn[0].rows,
            np.mean([each.means for each in drawn], axis=0),
            *(float(np.mean([getattr(each, side) for each in drawn])) for side in ('below', 'above')),
        )
        steps = tuple(self.steps(trial) for trial in trials if trial.curve)
        by_seed = {
            seed: float(np.mean([trial.score for trial in trials if trial.seed == seed]))
            for seed in sorted({trial.seed for trial in trials})
        }
        mean, limits = float(np.mean([trial.score for trial in trials])), trials[0].result.tasks[0].limits
        return Combined(mean, by_seed, limits, resampled, steps)

    def steps(self, trial: Trial) -> float:
        """Return the first step at which a trial has the share of the plain result on validation rows;
        infinite where none has, nan without a plain result.
        """
        plain = [each for each in self.of(trial.target, 'plain') if each.seed == trial.seed]
        if not plain:
            return math.nan
        wanted = self.share * plain[0].chosen_by
        return next((float(step) for step, score in trial.curve if score >= wanted), math.inf)

    def gain(self, target: str, system: str, source: str = '') -> float:
        """Return the points that a system of a pair gains: zero-shot over no prompt, as a beginning over
        plain with the same seeds; nan where a score is missing.
        """
        ours, base = self.mean(self.of(target, system, source)), self.combined(target, BASES[system])
        if not ours or not base:
            return math.nan
        if len(base.by_seed) == 1:  # what is not tuned
            return ours.score - base.score
        both = ours.by_seed.keys() & base.by_seed.keys()
        gains = [ours.by_seed[seed] - base.by_seed[seed] for seed in both]
        return float(np.mean(gains)) if gains else math.nan

    def alike(self, name: str, source: str, target: str) -> float:
        """Return a similarity of a pair, the mean over the seeds; nan where a prompt is missing."""
        found = [value for key, value in self.similarities[name].items() if key[:2] == (source, target)]
        return float(np.mean(found)) if found else math.nan

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of a source and a target that it is not, nor has in it."""
        return [(source, target) for target in self.targets for source in self.candidates(target)]


def known(score: float) -> float:
    """Return a score to choose the best by: one that is not known is the least."""
    return -math.inf if math.isnan(score) else score


BASES = {ZERO_SHOT: 'untuned', START: 'plain'}


@dataclasses.dataclass(frozen=True)
class Correlation:
    """A correlation with the ends of its 95% interval."""

    value: float
    low: float
    high: float

    def cell(self) -> str:
        """Return it as a cell of a table."""
        return (
            f'{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f})' if math.isfinite(self.value) else '–'
        )


def correlate(
    pairs: Sequence[tuple[str, str]],
    x_N: Sequence[float],
    y_N: Sequence[float],
    within: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[Correlation, Correlation]:
    """Return Pearson's and Spearman's correlation over pairs of a source and a target, with intervals:
    sources and targets are drawn with replacement, independently, and a pair counts as often as the product
    of both. Draws of fewer than three pairs are left out.

    Args:
        pairs: (source, target).
        x_N: a number of each.
        y_N: another.
        within: whether to correlate the differences from the means of the pairs of the same target.
        resamples: draws.
        seed: of the draws.
    """
    x_N, y_N = np.asarray(x_N, np.float64), np.asarray(y_N, np.float64)
    finite = np.isfinite(x_N) & np.isfinite(y_N)
    kept = [pair for pair, there in zip(pairs, finite, strict=True) if there]
    if len(kept) < FEWEST:
        return (Correlation(math.nan, math.nan, math.nan),) * 2
    x_N, y_N = x_N[finite], y_N[finite]
    random = np.random.default_rng(seed)
    weights_SN = np.ones((resamples, len(kept)))
    for side in (0, 1):
        names, place_N = np.unique([pair[side] for pair in kept], return_inverse=True)
        counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
        weights_SN *= counts[:, place_N]
        if within and side == 1:
            means = [np.bincount(place_N, numbers_N) / np.bincount(place_N) for numbers_N in (x_N, y_N)]
            x_N, y_N = x_N - means[0][place_N], y_N - means[1][place_N]
    value = weighted_correlations(x_N, y_N, np.ones((1, len(kept))))[0]
    drawn = weighted_correlations(x_N, y_N, weights_SN)
    drawn[(weights_SN > 0).sum(axis=1) < FEWEST] = np.nan
    return tuple(Correlation(float(value[which]), *scores.interval(drawn[:, which])) for which in (0, 1))
