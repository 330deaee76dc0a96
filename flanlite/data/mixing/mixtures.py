"""Mixtures: which tasks are trained on together, and at which rates.

A mixture is a collection, with or without something held out, a single task, or one of SeqIO's own mixtures.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from flanlite.config import FrozenDict, value
from flanlite.data.mixing import given_rates, naming, selection, seqio_mixtures
from flanlite.data.mixing.naming import Found
from flanlite.data.mixing.stages import Epochs, Rates, Scheme, Stage, Temperature, read_rates
from flanlite.data.rendering import seqio_tasks
from flanlite.data.rendering.fewshot import Shots, ShotsNumber
from flanlite.data.specs import checks, clusters, files, notices, registry, specs
from flanlite.data.specs.collection import Collection, Part, Prompted
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.tokens import vocabularies
from flanlite.limits import Count, NotNegative, one_of, whole
from flanlite.paths import LocalPath

GROUPS = ('clusters', 'tasks')  # what gradients of a mixture are told apart by
LISTED = 5  # names in a sentence
NAMED = 20  # data sets that share text with held-out ones, in a note
OWN = 'own'  # stands for the collection's own cap, or prompt mix


@dataclasses.dataclass(frozen=True)
class Entry:
    """One task of a mixture.

    Args:
        task: its name.
        cluster: its cluster, where it has one.
        max_examples: truncates its training data; None for no cap.
        max_rate: clips its mixing rate; None for no cap.
        rate: returns the rate that a SeqIO mixture gives it, called when it is needed; None for a rate by the
            number of its examples.
        prompted: its numbers in T0's mixing rule, if its rate follows that rule.
        part: the part of the collection that it belongs to, where this has a share to itself.
    """

    task: str
    cluster: str | None = None
    max_examples: int | None = None
    max_rate: int | None = None
    rate: Callable[[], float] | None = None
    prompted: Prompted | None = None
    part: Part | None = None

    def __post_init__(self) -> None:
        checks.check_name(self.task)  # SeqIO's may be any


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Tasks to train on, and how to weigh them.

    Args:
        name: the name that was resolved.
        entries: the tasks.
        collection: the collection they come from; None for SeqIO's tasks and mixtures.
        held_out: the cluster that is held out, or the name of another hold-out.
        removed: the clusters that leave training together with it.
        scheme: one of `stages.SCHEMES`.
        rates: what somebody decided, by task, in place of the scheme; None for none.
        temperature: the temperature of T5's mixing: rates become rate^(1/temperature).
        lineage: one of `clusters.LINEAGE`.
        shared: the data sets that share a corpus with held-out ones: {data set: {corpus: held-out data
            sets}}. They are dropped if `lineage` is `strict`.
        budget: the number of examples that the run reads, for `unimax`.
        epochs: the number of times that an example is read, of all tasks or by pattern of their names; for
            `unimax` the greatest.
        templates_per_task: the number of templates that each data set is trained with, the first ones; None
            for all.
        shots: the few-shot exemplars before each example; None for none.
        drop: a drop list, which has the training rows to leave out; None for none.
        prompt_mix: the prompt mix of all tasks; 'own' for those of the parts that they belong to, in training
            alone; None for none.
        stages: the first step of each later stage, and its mixture, of tasks that are among these.
    """

    name: str
    entries: tuple[Entry, ...]
    collection: Collection | None = None
    held_out: str | None = None
    removed: tuple[str, ...] = ()
    scheme: str = 'proportional'
    rates: Mapping[str, float] | None = None
    temperature: float = 1.0
    lineage: str = 'warn'
    shared: Mapping[str, Mapping[str, Sequence[str]]] = dataclasses.field(default_factory=dict)
    budget: int | None = None
    epochs: float | Mapping[str, float] = 1.0
    templates_per_task: int | None = None
    shots: Shots | None = None
    drop: str | None = None
    prompt_mix: PromptMix | str | None = None
    stages: tuple[tuple[int, 'Mixture'], ...] = ()

    def prompt_mixes(self) -> dict[str, PromptMix]:
        """Return the prompt mix that each task is trained with, where it has one."""
        own = self.prompt_mix == OWN
        mixes = {
            entry.task: entry.part and entry.part.prompt_mix if own else self.prompt_mix
            for entry in self.entries
        }
        return {task: mix for task, mix in mixes.items() if mix}

    @property
    def vocabulary(self) -> str:
        """Return the name of the vocabulary of its collection, or of its SeqIO tasks."""
        if self.collection:
            return self.collection.vocabulary
        features = seqio_tasks.registered_task(self.entries[0].task).output_features
        return vocabularies.name_of_seqio(features.get('inputs') or next(iter(features.values())))

    def notes(self) -> list[str]:
        """Return sentences for the user: which training data sets share a corpus with held-out ones, and
        whether they were dropped.
        """
        verb = 'Left out of training' if self.lineage == 'strict' else 'Trained on'
        named = [
            f'{name} ({"; ".join(f"{corpus}, as in {listed(held)}" for corpus, held in corpora.items())})'
            for name, corpora in list(self.shared.items())[:NAMED]
        ]
        if len(self.shared) > NAMED:
            named.append(f'and {len(self.shared) - NAMED} more')
        return (
            [f'{verb}, with text of the same origin as what is held out: {", ".join(named)}.']
            if named
            else []
        )


@value
class MixtureConfig:
    """The settings of a mixture: which tasks are trained on together, and how their rates are computed.

    Args:
        name: one of these: a collection; `<collection>_held_out_<cluster>`; `<collection>_<hold-out>` (see
            `clusters.hold_outs`); one of the last two with `_eval` at the end, for the data sets that are
            held out; a data set; a registered SeqIO task or mixture, with `seqio:` before it where one of the
            others has its name; the path of a file or folder (see `files.Files`). A name that ends with
            `_4templates`, `_2shots` or both also sets `templates_per_task` and the number of `shots`.
        held_out: a cluster of the collection to hold out, with those that overlap with it, or the name of
            another hold-out.
        scheme: `proportional` to the numbers of examples; `equal`; `unimax` (Chung et al. 2023), which is
            as equal as `epochs` allows; or `epochs`, the numbers of examples times `epochs`, without cap on
            the rate and temperature. With `proportional`, SeqIO's mixtures keep their own rates.
        rates: the rates themselves, in place of scheme, caps on rates and temperature: by task, or the path
            of a file (see `given_rates.read`), as `flanlite mix` writes it. Each task that trains needs one;
            tasks of the mixture that do not train may have one.
        max_examples: truncates each data set's training data; 'own' for the collection's cap, None for no
            cap. A data set's own cap is always kept.
        max_rate: clips each data set's rate, in the same way.
        temperature: rates become rate^(1/temperature), after the caps, as in T5.
        include: the tasks to keep, as names or patterns such as `anli_*`; by default all.
        exclude: the tasks to leave out, as names or patterns.
        lineage: what to do with data sets that share a corpus with held-out ones: `strict` drops them, `warn`
            names them, `off` ignores them, as in FLAN's paper.
        budget: for `unimax`, the number of examples that the run reads: steps times examples per batch.
        epochs: for `epochs`, how often each example is read for once that those of other tasks with 1 are;
            for `unimax`, the greatest number of times that an example is read. A number for all tasks, or
            numbers by name or pattern, of which the first that matches counts; 1 where none does.
        prompts: whether T0's mixing rule counts a data set once for each of its prompts, as T0's release
            does, or just once, as its authors meant.
        templates_per_task: the number of templates that each data set is trained with, the first ones; by
            default all.
        shots: the few-shot exemplars before each example, in training and in evaluation, from the data set's
            own training data: their number, or `Shots`; by default none, or what a benchmark asks with.
        drop: a drop list, which has the training rows to leave out, as `flanlite audit --output` writes it.
        prompt_mix: how rows are asked, drawn for each: a `PromptMix`, or the shares of settings as
            `PromptMix.of` reads them. 'own' is that of the collection's parts, which FLAN 2022's have, for
            training alone and where no `shots` are asked for; None asks with the templates as they are.
        shares: the shares of parts of the collection by name, in place of their own; 0 leaves a part out.
        stages: a curriculum: how the tasks are mixed from which steps on, in the order of these. Until the
            first, they are mixed by the settings above.

    Raises:
        ValueError: a scheme, cap or number cannot be.
    """

    name: Annotated[str, files.from_here]
    held_out: str | None = None
    scheme: Scheme = 'proportional'
    rates: Rates | None = None
    max_examples: Count | Annotated[str, one_of(OWN)] | None = OWN
    max_rate: Count | Annotated[str, one_of(OWN)] | None = OWN
    temperature: Temperature = 1.0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    lineage: Annotated[str, one_of(*clusters.LINEAGE)] = 'warn'
    budget: Annotated[int, whole(1, 2**62)] | None = None
    epochs: Epochs = 1.0
    prompts: bool = True
    templates_per_task: Count | None = None
    shots: Shots | ShotsNumber = Shots()
    drop: LocalPath | None = None
    prompt_mix: PromptMix | str | None = OWN
    shares: Mapping[str, NotNegative] = FrozenDict()
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.prompt_mix, str) and self.prompt_mix != OWN:
            object.__setattr__(self, 'prompt_mix', PromptMix.of(self.prompt_mix))
        if not isinstance(self.shots, Shots):
            object.__setattr__(self, 'shots', Shots(self.shots))
        read_rates(self)
        if self.rates is not None and (self.scheme, self.temperature) != ('proportional', 1.0):
            raise ValueError(
                f'MixtureConfig.rates is set, and scheme={self.scheme!r}, temperature={self.temperature}; '
                'expected rates alone, or none'
            )
        for stage in self.stages:
            changed = stage.temperature not in (None, 1.0) and stage.scheme is None
            if self.rates is not None and changed:
                raise ValueError(
                    f'MixtureConfig.rates is set, and a stage has temperature={stage.temperature}, which '
                    'changes no rates that are given; expected Stage.scheme beside it, or none'
                )
        steps = [stage.first_step for stage in self.stages]
        if steps != sorted(set(steps)):
            raise ValueError(
                f'MixtureConfig.stages begin at the steps {steps}; expected each later than the last'
            )
        self._check_epochs()
        if 'unimax' in (self.scheme, *(stage.scheme for stage in self.stages)) and self.budget is None:
            raise ValueError(
                'MixtureConfig.budget is None; unimax needs the number of examples that the run reads: steps '
                'times BATCH_SIZE'
            )

    def _check_epochs(self) -> None:
        """Raise a `ValueError` where epochs are set, and no scheme of the mixture or its stage reads them."""
        later = [(stage.epochs is not None, {stage.scheme or self.scheme}) for stage in self.stages]
        every = {self.scheme, *(stage.scheme for stage in self.stages)}
        for is_set, schemes in [(self.epochs != 1.0, every), *later]:
            if is_set and not schemes & {'epochs', 'unimax'}:
                raise ValueError(
                    f'epochs are set, and the scheme is {self.scheme!r}, which has none; expected '
                    "MixtureConfig.scheme or Stage.scheme 'epochs' or 'unimax', or no epochs"
                )


def schemas(mixture: MixtureConfig | str) -> dict[str, tuple[str, ...]]:
    """Return the names of the fields that instructions show, in their order, of each data set of a mixture.

    Args:
        mixture: as for `resolve`.

    Raises:
        ValueError: as of `resolve`; or a task has no fields, as plain text and tasks of SeqIO have none.
    """
    found = {entry.task: registry.find_spec(entry.task) for entry in resolve(mixture).entries}
    if without := [task for task, spec in found.items() if not isinstance(spec, specs.DatasetSpec)]:
        raise ValueError(f'{", ".join(without)} has no fields; expected data sets with templates')
    return {task: spec.schema() for task, spec in found.items()}


def resolve(config: MixtureConfig | str, data_dir: str | os.PathLike | None = None) -> Mixture:
    """Find the tasks of a mixture by its settings.

    Args:
        config: the settings, or only a name.
        data_dir: the data folder, in which benchmarks are looked for; by default that of FLANLITE_DATA_DIR.

    Raises:
        ValueError: a name or cluster does not exist, or no task is left.
    """
    if isinstance(config, str):
        config = MixtureConfig(config)
    name = config.name
    named = naming.numbers_in_name(name)
    if named.templates is not None:
        config = config.replace(templates_per_task=named.templates)
    templates_per_task = config.templates_per_task
    found = naming.resolve_name(named.bare, data_dir)
    shots = config.shots
    if named.shots is not None:
        shots = dataclasses.replace(shots, number=named.shots)
    prompt_mix = config.prompt_mix
    if isinstance(prompt_mix, PromptMix) and shots.changes_inputs():
        raise ValueError(
            f'got shots={shots.number!r} and a prompt mix, which draws the number of exemplars; expected one '
            'of them'
        )
    if prompt_mix == OWN and shots.number is not None:
        prompt_mix = None
    if shots.number is None:
        own = found.collection.shots if found.collection and not isinstance(prompt_mix, PromptMix) else 0
        shots = dataclasses.replace(shots, number=own)
    name = found.name if found.is_file else name
    if not found.collection and templates_per_task:
        raise ValueError(
            f"{name!r} is SeqIO's: got {templates_per_task=}; only flanlite's own data sets have templates"
        )
    held_out = found.holding_out(config.held_out)
    every = [
        entry if config.prompts else count_once(entry)
        for entry in selection.with_shares(
            entries_of(found, config.max_examples, config.max_rate), found.collection, config.shares
        )
    ]
    entries, removed, shared = selection.hold_out(
        selection.select(every, name, config.include, config.exclude),
        found.collection,
        held_out,
        config.lineage,
    )
    if not entries:
        left_out = (
            f'{held_out=}, include={config.include}, exclude={config.exclude}, lineage={config.lineage!r}, '
            f'shares={dict(config.shares)}'
        )
        raise ValueError(f'no task of the mixture {name!r} is left with {left_out}; leave out less')
    mixture = Mixture(
        name,
        tuple(entries),
        found.collection,
        held_out,
        removed,
        config.scheme,
        config.rates,
        config.temperature,
        config.lineage,
        shared,
        config.budget,
        config.epochs,
        templates_per_task,
        shots if shots.changes_inputs() else None,
        config.drop,
        prompt_mix,
    )
    check_given(mixture, every, 'MixtureConfig')
    mixture = dataclasses.replace(
        mixture, stages=tuple((stage.first_step, in_stage(mixture, every, stage)) for stage in config.stages)
    )
    for note in mixture.notes():
        notices.warn_once(f'{name}: {note[0].lower()}{note[1:]}')
    return mixture


def check_given(mixture: Mixture, every: Sequence[Entry], where: str) -> None:
    """Check the names of the rates and epochs that were given.

    Args:
        mixture: has them.
        every: the entries of all its tasks, those that do not train among them.
        where: the class of the settings, for the error.

    Raises:
        ValueError: a name is unknown.
    """
    known = [entry.task for entry in every]
    given_rates.check_epochs(f'{where}.epochs', mixture.epochs, known)
    if mixture.rates is not None:
        trained = [entry.task for entry in mixture.entries]
        given_rates.check_known(f'{where}.rates', mixture.rates, known, trained)


def check_rates(mixture: Mixture) -> None:
    """Raise a `ValueError` where rates were given, and not for each task that trains. A sweep resolves what
    it holds out of, too, so that this is no matter of resolving.
    """
    stages = [(f'Stage (from step {step:,}).rates', later) for step, later in mixture.stages]
    for where, each in [('MixtureConfig.rates', mixture), *stages]:
        if each.rates is not None:
            given_rates.check_whole(where, each.rates, [entry.task for entry in each.entries])


def in_stage(mixture: Mixture, every: Sequence[Entry], stage: Stage) -> Mixture:
    """Return the mixture of a stage of a curriculum.

    Args:
        mixture: that of the run.
        every: the entries of all its tasks, those that do not train among them.
        stage: what is other in the stage.

    Raises:
        ValueError: it names a task that there is not, or leaves none.
    """
    chosen = {entry.task for entry in selection.select(every, mixture.name, stage.include, stage.exclude)}
    kept = tuple(entry for entry in mixture.entries if entry.task in chosen)
    where = f'the stage from step {stage.first_step:,}'
    if not kept:
        raise ValueError(
            f'{where} leaves no task of {mixture.name!r} to train on, with include={stage.include} and '
            f'exclude={stage.exclude}; leave out less'
        )
    changed = dataclasses.replace(mixture, entries=kept, **stage.changes())
    check_given(changed, every, f'Stage (from step {stage.first_step:,})')
    return changed


def groups_of(entries: Sequence[Entry], by: str) -> dict[str, list[str]]:
    """Return the tasks of each group, in the order of the entries.

    Args:
        entries: the tasks of a mixture.
        by: one of `GROUPS`: a cluster is a group, or a task is; a task without a cluster always is.
    """
    found: dict[str, list[str]] = {}
    for entry in entries:
        name = entry.cluster if by == 'clusters' and entry.cluster else entry.task
        found.setdefault(name, []).append(entry.task)
    return found


def entries_of(found: Found, max_examples: int | str | None, max_rate: int | str | None) -> list[Entry]:
    """Make the entries of a collection's data sets, or of SeqIO's tasks with the rates of their mixture."""
    if found.collection:
        return [entry_of(spec, found.collection, max_examples, max_rate) for spec in found.data_sets]
    caps = [None if cap == OWN else cap for cap in (max_examples, max_rate)]
    return [Entry(task, None, *caps, rate) for task, rate in seqio_mixtures.seqio_rates(found.name).items()]


def listed(names: Sequence[str]) -> str:
    """Return names as an enumeration in a sentence: "a, b and c"; of many the first, and how many more."""
    if len(names) > LISTED:
        names = [*names[:LISTED], f'{len(names) - LISTED} more']
    return f'{", ".join(names[:-1])} and {names[-1]}' if len(names) > 1 else ''.join(names)


def entry_of(
    spec: specs.Spec, collection: Collection, max_examples: int | str | None, max_rate: int | str | None
) -> Entry:
    """Make a data set's entry.

    For each cap the first of these counts that is set: for the rate, the collection's cap for this data set
    alone; the data set's own cap; the cap that is asked for; that of its part; the collection's cap.
    """
    part = collection.part_of(spec.name)
    if max_examples == OWN:
        max_examples = (part and part.max_examples) or collection.max_examples
    if max_rate == OWN:
        max_rate = (part and part.max_rate) or collection.max_rate
    max_rate = collection.max_rates.get(spec.name) or spec.max_rate or max_rate
    return Entry(
        spec.name,
        spec.cluster,
        spec.max_examples or max_examples,
        max_rate,
        prompted=collection.prompted.get(spec.name),
        part=part,
    )


def count_once(entry: Entry) -> Entry:
    """Return an entry whose data set T0's rule counts once, instead of once for each prompt."""
    return dataclasses.replace(entry, prompted=entry.prompted and entry.prompted._replace(prompts=1))


def rates(mixture: Mixture, num_examples: Mapping[str, int]) -> dict[str, float]:
    """Return the mixing rates of a mixture's tasks.

    Args:
        mixture: the mixture.
        num_examples: the number of examples of each task; tasks without a number get no rate.

    Returns:
        Rates by task, in the mixture's order. As in SeqIO they are min(examples, max_examples,
        max_rate)^(1/temperature), and do not sum to 1. Those of a part with a share sum to that share, as
        those of a SeqIO mixture of mixtures do.

    Raises:
        ValueError: the rates of a SeqIO mixture cannot be computed, or given ones lack a task.
    """
    check_rates(mixture)
    entries = [entry for entry in mixture.entries if entry.task in num_examples]
    if mixture.rates is not None:
        return {entry.task: float(mixture.rates[entry.task]) for entry in entries}
    if mixture.scheme == 'equal':
        return {entry.task: 1.0 for entry in entries}
    if mixture.scheme in ('unimax', 'epochs'):
        limits = {
            entry.task: given_rates.epochs_of(entry.task, mixture.epochs)
            * min(num_examples[entry.task], entry.max_examples or num_examples[entry.task])
            for entry in entries
        }
        return limits if mixture.scheme == 'epochs' else unimax(limits, mixture.budget)
    with_rates = [entry.task for entry in mixture.entries if entry.rate]
    with seqio_mixtures.sizes_known(mixture.name, with_rates, num_examples):
        found = {entry.task: weigh(entry, num_examples[entry.task], mixture.temperature) for entry in entries}
    sums: dict[str, float] = {}
    for entry in entries:
        if entry.part:
            sums[entry.part.name] = sums.get(entry.part.name, 0.0) + found[entry.task]
    return {
        entry.task: found[entry.task] * entry.part.share / sums[entry.part.name]
        if entry.part and sums[entry.part.name]
        else found[entry.task]
        for entry in entries
    }


def unimax(limits: Mapping[str, float], budget: float) -> dict[str, float]:
    """Share a budget of examples as evenly as the limits allow (Chung et al. 2023, algorithm 1).

    Args:
        limits: the most examples that are read of each task: its size times its greatest number of epochs.
        budget: the number of examples to share.
    """
    shares, left = dict.fromkeys(limits, 0.0), float(budget)
    for place, task in enumerate(sorted(limits, key=limits.get)):
        shares[task] = min(limits[task], left / (len(limits) - place))
        left -= shares[task]
    return shares


def published(mixture: Mixture) -> dict[str, int]:
    """Return the numbers of training examples on record, with which rates can be shown without data; tasks
    without one are left out.
    """
    counts = (
        {spec.name: getattr(spec, 'train_examples', None) for spec in mixture.collection.specs}
        if mixture.collection
        else {}
    )
    return {entry.task: counts[entry.task] for entry in mixture.entries if counts.get(entry.task)}


def weigh(entry: Entry, num_examples: int, temperature: float) -> float:
    """Return one task's rate: that of its SeqIO mixture, that of T0's rule, or one in proportion to its
    examples.
    """
    rate = entry.rate() if entry.rate else min(num_examples, entry.max_examples or num_examples)
    if entry.prompted:
        rate = entry.prompted.rate(entry.max_examples, entry.max_rate)
    elif entry.max_rate:
        rate = min(rate, entry.max_rate)
    return float(rate if temperature == 1.0 else rate ** (1 / temperature))
