"""Whether a model's answers hold where only the form of the questions changes: other orders of the options,
other words for the answers, and templates that were never trained on.

Each way of asking is an evaluation in a folder of its own, so that what is done is not done again.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated

import jax

from flanlite.config import SETTINGS_FILE, check_own, load_as, save, to_text, value
from flanlite.data.cache import cache
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import registry, specs
from flanlite.data.specs.variations import ANSWER_WORDS, WORDS, Variation
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval import evaluate
from flanlite.eval.evaluate import EvalConfig
from flanlite.eval.evaluator import metric_of
from flanlite.limits import Count, one_of
from flanlite.mesh import partitioning, processes
from flanlite.paths import check_folder
from flanlite.report import results
from flanlite.report import robustness as tables
from flanlite.report.results import RESULT
from flanlite.report.robustness import AS_IS, JSON, KINDS, MARKDOWN, PAGE, TEMPLATES, Asked, Robustness
from flanlite.training import parameters

REMEDY = 'name another folder with --output'
# What may differ from the settings that a folder was begun with: more is then asked, or things lie elsewhere.
FREE = ('kinds', 'seeds', *(f'evaluation.{name}' for name in evaluate.FREE))


@value
class RobustnessConfig:
    """All that decides a measurement of robustness.

    Args:
        evaluation: how the model is asked as is; predictions are always kept.
        kinds: what is changed.
        seeds: how many orders of the options of each example, and how many choices of words, are asked.
        words: what the answers are replaced by.

    Raises:
        ValueError: no kind of change, or a word twice.
    """

    evaluation: EvalConfig
    kinds: tuple[Annotated[str, one_of(*KINDS)], ...] = tuple(KINDS)
    seeds: Count = 3
    words: tuple[str, ...] = WORDS

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError(f'RobustnessConfig.kinds is empty; expected some of {", ".join(KINDS)}')
        if len(set(self.words)) < len(self.words) or '' in self.words:
            raise ValueError(f'RobustnessConfig.words are {", ".join(self.words)}; expected different words')

    def variations(self, kind: str) -> list[Variation]:
        """Return the changes of a kind, one a seed; none of templates."""
        if kind == TEMPLATES:
            return []
        return [Variation(kind, seed, self.words) for seed in range(self.seeds)]


def robustness(config: RobustnessConfig) -> Robustness | None:
    """Ask a model as is and in changed ways; write an evaluation for each, and robustness.md,
    robustness.json and robustness.html.

    Returns:
        The comparison; None in all processes of a run but the first.

    Raises:
        ValueError: a checkpoint or mixture that does not exist, data sets of which none can be changed so,
            words that the vocabulary cannot write, or a folder with results of other settings.
    """
    evaluation = config.evaluation.replace(predictions=True)
    processes.join()
    processes.compare_settings(config)
    partitioning.keep_compiled(cache.cache_folder(evaluation.cache_dir) / 'jax')
    mixed = mixtures.resolve(evaluation.mixture, evaluation.data_dir)
    names, failed = evaluate.scorable(mixed)
    folder = evaluate.output_folder(evaluation, mixed, 'robustness')
    check(folder, config)
    reasons = {kind: against(kind, config, names) for kind in config.kinds}
    asked = {kind: [name for name in names if not reasons[kind][name]] for kind in config.kinds}
    notes = [note for kind in config.kinds for note in left_out(kind, reasons[kind])]
    if not any(asked.values()):
        raise ValueError(f'no data set of {mixed.name!r} can be asked in another way: {" ".join(notes)}')
    if asked.get(ANSWER_WORDS):
        check_words(config.words, evaluate.vocabulary_of(evaluation))
    every = [name for name in names if any(name in members for members in asked.values())]
    ways = {folder / AS_IS: (None, every)}
    ways |= {
        folder / each.name: (each, asked[kind])
        for kind in config.kinds
        if asked[kind]
        for each in config.variations(kind)
    }
    for where in ways:
        results.check_own(where, REMEDY)
    run = parameters.load_run(evaluation.checkpoint, base=evaluation.base, **evaluation.model_changes)
    if jax.process_index() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        save(config, folder / SETTINGS_FILE)
    system = evaluate.system_name(evaluation.checkpoint, run.step)
    todo = {where: way for where, way in ways.items() if not is_done(where, system, way[1])}
    processes.compare('results', {where.name: 'missing' if where in todo else 'done' for where in ways})
    for where, (variation, members) in todo.items():
        evaluate.score(evaluation, mixed, members, failed, run, where, variation)
    if jax.process_index() != 0:
        return None
    found = collect(folder, config, mixed, asked, notes)
    tables.write(folder, found)
    tables.show(found)
    print(f'wrote {folder}/{PAGE}, {MARKDOWN}, {JSON} and an evaluation for each way of asking')
    return found


def check(folder: pathlib.Path, config: RobustnessConfig) -> None:
    """Refuse a folder that cannot be written, or has what others or other settings made."""
    check_folder(folder, REMEDY)
    check_own(folder, (SETTINGS_FILE, JSON, MARKDOWN, PAGE), REMEDY)
    if (folder / SETTINGS_FILE).is_file():
        before = to_text(load_as(RobustnessConfig, folder))
        results.check_same(folder, before, to_text(config), FREE, REMEDY)


def against(kind: str, config: RobustnessConfig, names: Sequence[str]) -> dict[str, str]:
    """Say of each data set why it cannot be asked in a changed way; nothing where it can."""
    found = {name: registry.find_spec(name) for name in names}
    style = config.evaluation.style
    if kind != TEMPLATES:
        first = config.variations(kind)[0]
        return {name: first.reason_against(spec, style) for name, spec in found.items()}
    if style != 'instructions':
        return dict.fromkeys(names, 'the style has no templates that were trained on')
    number = trained_templates(config.evaluation.checkpoint)
    return {name: unseen_reason(found[name], number.get(name)) for name in names}


def trained_templates(checkpoint: str) -> dict[str, int]:
    """Return with how many templates, the first ones, a run trained each data set; nothing where it trained
    with all.
    """
    manifest = evaluate.manifest_of(checkpoint)
    number = manifest and manifest['style'] == 'instructions' and manifest['mixture']['templates_per_task']
    return dict.fromkeys(manifest['tasks'], number) if number else {}


def unseen_reason(spec: object, number: int | None) -> str:
    """Say why a data set has no templates to compare; nothing where it has."""
    if number is None or not isinstance(spec, specs.DatasetSpec):
        return 'not trained on with a part of its templates (MixtureConfig.templates_per_task)'
    seen, unseen = (any(map(spec.asks, part)) for part in (spec.templates[:number], spec.templates[number:]))
    return '' if seen and unseen else f'the first {number} of its templates leave none to compare'


def left_out(kind: str, reasons: Mapping[str, str]) -> list[str]:
    """Return a note for each reason for which data sets are left out."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        if reason:
            names.setdefault(reason, []).append(name)
    return [f'{kind} leaves out {", ".join(members)}: {reason}.' for reason, members in names.items()]


def check_words(words: Sequence[str], vocabulary: Vocabulary) -> None:
    """Raise a `ValueError` where a vocabulary cannot write some words."""
    encoded = vocabulary.encode_arrays(words)
    if lost := [word for word, ids in zip(words, encoded, strict=True) if vocabulary.decode(ids) != word]:
        raise ValueError(
            f'the vocabulary {vocabulary.name!r} cannot write the words {", ".join(lost)}; expected '
            'others, with --words'
        )


def is_done(folder: pathlib.Path, system: str, names: Sequence[str]) -> bool:
    """Return whether a folder has the result of a model on data sets."""
    if not (folder / RESULT).is_file():
        return False
    found = results.load(folder / RESULT)
    return found.system == system and set(names) <= {task.task for task in found.tasks} | set(found.skipped)


def collect(
    folder: pathlib.Path,
    config: RobustnessConfig,
    mixed: Mixture,
    asked: Mapping[str, Sequence[str]],
    notes: Sequence[str],
) -> Robustness:
    """Compare all ways of asking."""
    base = results.load(folder / AS_IS / RESULT)
    as_is, clusters = (
        tables.read(folder / AS_IS),
        {entry.task: entry.cluster or '' for entry in mixed.entries},
    )
    number, table = trained_templates(config.evaluation.checkpoint), []
    for kind, names in asked.items():
        ways = [tables.read(folder / each.name) for each in config.variations(kind)]
        compared = {}
        for name in names:
            if name not in as_is or any(name not in way for way in ways):
                continue
            by_seed = [way[name] for way in ways]
            pair = (
                against_seen(as_is[name], number[name])
                if kind == TEMPLATES
                else with_seeds(as_is[name], by_seed)
            )
            compared[name] = (clusters[name], metric_of(name), *pair, by_seed)
        table += tables.compare(kind, compared)
    words = [
        {name: each.renamed(registry.find_spec(name)) for name in asked[ANSWER_WORDS]}
        for each in (config.variations(ANSWER_WORDS) if asked.get(ANSWER_WORDS) else ())
    ]
    skipped = [f'{name} is skipped: {reason}' for name, reason in base.skipped.items()]
    return Robustness(base.system, tuple(table), tuple(words), (*notes, *skipped))


def with_seeds(as_is: Asked, by_seed: Sequence[Asked]) -> tuple[Asked, Asked]:
    """Return what was answered as is and changed: all templates of a seed, then those of the next."""
    return tables.joined([as_is.of(each.templates) for each in by_seed]), tables.joined(by_seed)


def against_seen(as_is: Asked, number: int) -> tuple[Asked, Asked]:
    """Return what was answered with templates that were trained on, the first ones, and with others: a
    column for each pair.
    """
    pairs = [
        (seen, unseen) for seen in as_is.templates for unseen in as_is.templates if seen < number <= unseen
    ]
    seen, unseen = zip(*pairs, strict=True)
    return as_is.of(seen), as_is.of(unseen)
