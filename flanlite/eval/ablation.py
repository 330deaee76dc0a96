"""FLAN's and T0's ablations as one sweep: the same clusters are held out each time, and what is tuned on
varies.
"""

from typing import Annotated

from flanlite.config import closest, to_text, value
from flanlite.data.mixing import mixtures
from flanlite.data.specs import clusters
from flanlite.data.specs.collection import Collection
from flanlite.eval import comparison, loco
from flanlite.eval.evaluator import ScoringConfig
from flanlite.eval.sweep import Sweep, SweepConfig
from flanlite.limits import Count, one_of
from flanlite.report import results
from flanlite.report.collected import Report
from flanlite.report.results import SYSTEMS
from flanlite.training.config import TrainConfig

STUDIES = ('instructions', 'clusters', 'data_sets', 'templates', 'shots')


@value
class AblationConfig:
    """All that decides which ablations are run.

    A study varies one thing, and leaves all else at its most: every other cluster, all their data sets, all
    templates, no exemplars. So the studies share that run.

    Args:
        train: how each system is tuned; `model_dir` is the folder of all, and `data.mixture` a collection.
        held_out: the clusters that are held out, together, as names or with commas between them; or another
            hold-out, such as `superglue`, which allows no study of clusters and of data sets.
        studies: which of `STUDIES` to run, as names or with commas: `instructions` compares tuning with
            instructions, with names of data sets and with bare fields (FLAN, section 4.3), `clusters` tunes
            on more and more clusters (section 4.1), `data_sets` on more and more data sets of each,
            `templates` with more and more templates (T0's p), `shots` with exemplars before each example, in
            training and in evaluation (section 4.4).
        clusters: numbers of clusters; by default 1, 2, ... to all that are left.
        data_sets: numbers of data sets of each cluster.
        templates: numbers of templates of each data set.
        shots: numbers of exemplars; tuning without exemplars stands beside them.
        more: other hold-outs to tune for, as patterns, such as `diversity_*` and `superglue_*` of FLAN's
            release.
        rivals: the systems without tuning to compare with; see `results.SYSTEMS`.
        seeds: see `SweepConfig`.
        max_rows: see `SweepConfig`.
        dev_rows: see `SweepConfig`.
        scoring: see `SweepConfig`.
        predictions: see `SweepConfig`.
        notes: see `SweepConfig`.

    Raises:
        ValueError: an unknown study, a number below 1, or what `SweepConfig` raises.
    """

    train: TrainConfig
    held_out: str | tuple[str, ...]
    studies: str | tuple[str, ...] = STUDIES
    clusters: tuple[Count, ...] = ()
    data_sets: tuple[Count, ...] = (1, 2, 3, 4)
    templates: tuple[Count, ...] = (1, 2, 4, 7)
    shots: tuple[Count, ...] = (1, 2, 5)
    more: tuple[str, ...] = ()
    rivals: tuple[Annotated[str, one_of(*SYSTEMS)], ...] = ('untuned', 'majority', 'chance')
    seeds: Count = 1
    max_rows: Count | None = None
    dev_rows: Count = 200
    scoring: ScoringConfig = ScoringConfig()
    predictions: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in comparison.names_of(self.studies):
            if name not in STUDIES:
                raise ValueError(
                    f'unknown study {name!r}; {closest(name, STUDIES)}expected some of {", ".join(STUDIES)}'
                )
        if not comparison.names_of(self.studies) or not comparison.names_of(self.held_out):
            raise ValueError(
                f'got studies={self.studies!r} and held_out={self.held_out!r}; expected at least one of each'
            )
        self.sweep()

    def sweep(self) -> SweepConfig:
        """Return the settings that all studies share: those of a sweep."""
        return SweepConfig(
            self.train,
            '+'.join(comparison.names_of(self.held_out)),
            ('tuned', *self.rivals),
            self.max_rows,
            self.dev_rows,
            seeds=self.seeds,
            scoring=self.scoring,
            predictions=self.predictions,
            notes=self.notes,
        )

    def plan(self, collection: Collection) -> list[tuple[str, str]]:
        """Return each (hold-out, system) to score, the cheapest studies first.

        Raises:
            ValueError: an unknown hold-out, a number of clusters that are not there, or a study of clusters
                or of data sets where no clusters are held out.
        """
        whole = '+'.join(comparison.names_of(self.held_out))
        found = clusters.get_hold_out(whole, collection.specs)
        no_clusters = [name for name in whole.split('+') if name not in collection.clusters()]
        counted = [study for study in comparison.names_of(self.studies) if study in ('clusters', 'data_sets')]
        if no_clusters and counted:
            raise ValueError(
                f'got held_out={no_clusters[0]!r}, which is no cluster, with the studies '
                f'{", ".join(counted)}; expected some of {", ".join(collection.clusters())}, or studies '
                'without these'
            )
        members = [spec for spec in collection.specs if spec.name in found.train]
        trained = clusters.by_cluster(members)
        most = {
            'data_sets': max(map(len, trained.values()), default=0),
            'templates': max((len(getattr(spec, 'templates', ())) for spec in members), default=0),
        }
        steps = [(whole, system) for system in ('tuned', *self.rivals)]
        for study in comparison.names_of(self.studies):
            if study == 'instructions':
                steps += [(whole, system) for system in ('names', 'names_asked', 'no_instructions')]
            elif study == 'clusters':
                numbers = self.clusters or range(1, len(trained))
                steps += [
                    (f'{whole}_first_{number}', 'tuned') for number in numbers if number != len(trained)
                ]
            elif study == 'shots':
                steps += [(f'{whole}_{number}shots', 'tuned') for number in self.shots]
            else:
                ending = {'data_sets': '_each_{}', 'templates': '_{}templates'}[study]
                numbers = [number for number in getattr(self, study) if number < most[study]]
                steps += [(whole + ending.format(number), 'tuned') for number in numbers]
        if self.more:
            steps += [(name, 'tuned') for name in loco.choose_held_out(self.more, collection)]
        for held_out in dict.fromkeys(name for name, _ in steps):
            loco.choose_held_out([held_out], collection)
        return list(dict.fromkeys(steps))


def ablate(config: AblationConfig, gin: str | None = None) -> Report:
    """Tune once for each point of each study, score what is held out, and report, with a curve a study.

    What is done already is not done again; a run that was killed goes on. Jobs with other `studies` or `more`
    fill one folder, or several that `flanlite report` merges. The folder is that of a sweep; see `loco.loco`.

    Args:
        config: all that decides it.
        gin: the gin text that the settings were made from, where they were, to be kept beside
            `settings.json`.

    Raises:
        ValueError: as `loco.loco`, and as `AblationConfig.plan`.
    """
    comparison.begin(config, AblationConfig, 'ablate')
    sweep = Sweep.open(config.sweep())
    points = config.plan(sweep.collection)
    results.check_settings(sweep.folder, to_text(sweep.config), loco.FREE, 'MODEL_DIR')
    for held_out in dict.fromkeys(name for name, _ in points):
        mixtures.resolve(sweep.mixture(held_out))  # nothing left to tune on fails here
    _ = sweep.base_params  # a checkpoint that does not fit fails here
    comparison.keep_settings(sweep.folder, config, gin)
    plan = [(name, system, seed) for name, system in points for seed in sweep.seeds(system)]
    return loco.score_all(sweep, plan, f'{sweep.collection.name}: ablations')
