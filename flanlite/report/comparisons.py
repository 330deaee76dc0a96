"""How the tuned model compares with its rivals on what was held out, in numbers and words."""

import dataclasses
import math

from flanlite.data.specs import clusters
from flanlite.report import seeds
from flanlite.report.collected import Report
from flanlite.report.results import HELD_IN, HELD_OUT
from flanlite.report.scores import Difference, difference


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How the tuned model compares with a rival.

    Args:
        rival: what it is compared with, in words.
        difference: the tuned model's mean score minus the rival's.
    """

    rival: str
    difference: Difference

    @property
    def above(self) -> bool:
        """Return whether the 95% interval of the difference lies above 0."""
        return self.difference.low > 0

    def sentence(self) -> str:
        """Return the difference and the rival in words."""
        gain = self.difference.mean
        return f'{abs(gain):.1f} points {"above" if gain >= 0 else "below"} {self.rival}'

    def interval(self) -> str:
        """Return the interval of the difference in words."""
        if not math.isfinite(self.difference.low):
            return 'interval of the difference not known'
        unpaired = '' if self.difference.paired else ', of different rows'
        return f'difference {self.difference.low:+.1f} to {self.difference.high:+.1f}{unpaired}'


RIVALS = (
    (('untuned',), 'the untuned model with the same instructions'),
    (('untuned_plain',), 'the untuned model with its best plain prompt'),
    (('majority', 'chance'), 'the better simple rule'),
)


def verdict(report: Report, held_out: str) -> list[Comparison]:
    """Compare the tuned model, on what was held out, with each of `RIVALS` that has a result; of two rules
    with the better one.
    """
    groups = {
        system: result.groups[HELD_OUT]
        for system, result in report.of(held_out).items()
        if HELD_OUT in result.groups
    }
    comparisons = []
    for names, phrase in RIVALS:
        rivals = [name for name in names if name in groups]
        if rivals and 'tuned' in groups:
            best = max(
                rivals, key=lambda name: -math.inf if math.isnan(groups[name].mean) else groups[name].mean
            )
            if found := compare(report, held_out, 'tuned', best):
                comparisons.append(Comparison(phrase, found))
    return comparisons


def compare(
    report: Report, held_out: str, system: str, rival: str, tuned_on: bool = False
) -> Difference | None:
    """Compare two systems on the held-out data sets that both have scores of; None where there is none. The
    interval holds the variance of the seeds, too, of a system that has several.

    Args:
        report: has the results.
        held_out: what was held out.
        system: the one system.
        rival: the other.
        tuned_on: whether to compare them on data sets, too, that one was tuned on.
    """
    results_of = report.of(held_out)
    ours, theirs = (
        {task.task: task for task in results_of[name].tasks if tuned_on or task.level != HELD_IN}
        for name in (system, rival)
    )
    both = [task for task in ours if task in theirs]
    if not both:
        return None
    mean = sum(ours[task].summary.mean - theirs[task].summary.mean for task in both) / len(both)
    drawn = [report.resamples.get((held_out, name), {}) for name in (system, rival)]
    if not all(task in each for task in both for each in drawn):
        return Difference(mean, math.nan, math.nan, paired=False)
    found = difference(mean, *([each[task] for task in both] for each in drawn))
    by_seed = (report.by_seed.get((held_out, name), ()) for name in (system, rival))
    reaches = [seeds.reach([seeds.mean_of(result, both) for result in each]) for each in by_seed]
    low, high = seeds.widened(mean, found.low, found.high, math.hypot(*reaches))
    return dataclasses.replace(found, low=low, high=high)


def only_clusters(report: Report) -> bool:
    """Return whether nothing but clusters was held out."""
    return all(name in clusters.CLUSTERS or clusters.OWN.fullmatch(name) for name in report.held_out())


def overall(report: Report) -> list[str]:
    """Write a sentence for each rival: on how many hold-outs the tuned model is above it."""
    by_rival: dict[str, list[Comparison]] = {}
    for held_out in report.held_out():
        for comparison in verdict(report, held_out):
            by_rival.setdefault(comparison.rival, []).append(comparison)
    sentences = []
    for rival, comparisons in by_rival.items():
        above = [comparison for comparison in comparisons if comparison.difference.mean > 0]
        clear = sum(comparison.above for comparison in above)
        kind = 'held-out clusters' if only_clusters(report) else 'hold-outs'
        share = f'{len(above)} of {len(comparisons)} {kind}'
        sentences.append(
            f'The tuned model is above {rival} on {share} ({clear} with the 95% interval of the difference '
            'above 0).'
        )
    return sentences
