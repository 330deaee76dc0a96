"""One evaluation: a checkpoint on a mixture, per template, with a report."""

import dataclasses
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import jax

from flanlite.config import FrozenDict, to_text, value
from flanlite.data.batches import batches
from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, view_of
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import Mixture, MixtureConfig
from flanlite.data.specs import registry, specs
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.variations import Variation
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.eval import costs, seqio_metrics, splits
from flanlite.eval.evaluator import (
    Evaluator,
    ScoringConfig,
    keep_predictions,
    option_notes,
    records,
    sample_places,
    score_task,
)
from flanlite.eval.load import Model
from flanlite.eval.score_cache import ScoreCache
from flanlite.limits import Count, Length, Name, one_of
from flanlite.mesh import partitioning, processes
from flanlite.mesh.partitioning import MeshConfig
from flanlite.metrics import metrics
from flanlite.metrics.metric import Metric
from flanlite.model.models import ModelConfig
from flanlite.paths import LocalPath, PathOrUrl, check_folder
from flanlite.reading import read_json
from flanlite.report import report, results, tables
from flanlite.report.results import Result
from flanlite.training import checkpoints, locate, parameters

# What may differ between an evaluation and the one whose results it replaces: where things lie.
FREE = ('output', 'base', 'data_dir', 'cache_dir', 'predictions')


@value
class EvalConfig:
    """All that decides an evaluation of a checkpoint.

    Args:
        checkpoint: for `parameters.load_run`; its config is its own, but for `model_changes`.
        mixture: the mixture's settings, or its name alone.
        base: as for `parameters.load_params`.
        prompts: see `Evaluator`.
        split: train, validation or test; a data set without a test split is scored on its validation split.
        output: the folder for results; by default `eval/<mixture>-<split>` in the run's folder, with `-3shot`
            behind it and such.
        vocabulary: by default the one that the model was trained with.
        feature_lengths: longer inputs are cut, and answers end there; by default as in training.
        style: see `specs.STYLES`.
        max_rows: at most so many rows of each task.
        model_changes: fields of the model's config to replace, such as {'dtype': 'float32'}.
        scoring: how the model is asked.
        mesh: the devices.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.
        cache_dir: the folder, or URL, of the token cache; by default that of FLANLITE_CACHE_DIR. Scores are
            kept there too, or, of a URL, in the user's cache folder.
        predictions: whether to keep each question with its answer, in `predictions/` beside the results.

    Raises:
        ValueError: a split or style that does not exist, or a number that cannot be.
    """

    checkpoint: Annotated[str, locate.checkpoint_path]
    mixture: MixtureConfig | str
    base: Annotated[str, locate.checkpoint_path] | None = None
    prompts: tuple[Name, ...] = ()
    split: Annotated[str, one_of(*specs.SPLITS)] = 'test'
    output: LocalPath | None = None
    vocabulary: Annotated[str, vocabularies.absolute_name] | None = None
    feature_lengths: Mapping[str, Length] | None = None
    style: Annotated[str, one_of(*specs.STYLES)] = 'instructions'
    max_rows: Count | None = None
    model_changes: Mapping[str, Any] = FrozenDict()
    scoring: ScoringConfig = ScoringConfig()
    mesh: MeshConfig = MeshConfig()
    data_dir: LocalPath | None = None
    cache_dir: PathOrUrl | None = None
    predictions: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.mixture, str):
            object.__setattr__(self, 'mixture', MixtureConfig(self.mixture))
        if self.feature_lengths is not None:
            batches.check_lengths(self.feature_lengths)

    def build_options(self) -> BuildOptions:
        """Return how the cache is built."""
        return BuildOptions(cache_dir=self.cache_dir, data_dir=self.data_dir)


def evaluate(config: EvalConfig) -> Result:
    """Evaluate a checkpoint on every task of a mixture; write results.json, report.html, report.md,
    report.tex, report.csv and predictions.

    Raises:
        ValueError: a checkpoint or mixture that does not exist, a mixture of which no task can be read, or a
            folder with results of other settings.
    """
    processes.join()
    processes.compare_settings(config)
    partitioning.keep_compiled(cache.cache_folder(config.cache_dir) / 'jax')
    mixed = mixtures.resolve(config.mixture, config.data_dir)
    names, failed = scorable(mixed)
    folder = output_folder(config, mixed)
    check_folder(folder, 'name another folder with --output')
    results.check_own(folder, 'name another folder with --output')
    results.check_settings(folder, to_text(config), FREE, '--output')
    run = parameters.load_run(config.checkpoint, base=config.base, **config.model_changes)
    result = score(config, mixed, names, failed, run, folder)
    if jax.process_index() == 0:
        report.build(folder, f'{mixed.name}: {result.system}')
        tables.print_tasks(result)
        kept = ', predictions/' if config.predictions else ''
        print(f'wrote {folder}/{results.WRITTEN}{kept} and results.json')
    return result


def score(
    config: EvalConfig,
    mixed: Mixture,
    names: Sequence[str],
    failed: Mapping[str, str],
    run: parameters.Run,
    folder: pathlib.Path,
    variation: Variation | None = None,
) -> Result:
    """Score a model on tasks, and write the result and, where they are to be kept, the predictions.

    Args:
        config: the evaluation's.
        mixed: its mixture.
        names: the tasks to score, see `scorable`.
        failed: why each of the others cannot be.
        run: the model.
        folder: for the results.
        variation: how the examples are changed; None for not at all.

    Raises:
        ValueError: no task can be read or scored.
    """
    checkpoint, failed = config.checkpoint, dict(failed)
    evaluator, opened = open_evaluator(config, mixed, names, run.config, run.feature_lengths, variation)
    start = time.monotonic()
    scores = evaluator.run(
        run.config, run.params, partitioning.make_partitioner(config.mesh), skip=failed.__setitem__
    )
    if not scores:
        raise ValueError('; '.join(failed.values()))
    seen = trained_on(checkpoint)
    result = results.make_result(
        scores,
        {
            entry.task: (entry.cluster or '', splits.level(entry.task, entry.cluster, seen))
            for entry in mixed.entries
        },
        {name: splits.wordings(name, split) for name, split in opened.splits.items()},
        run=pathlib.Path(checkpoint).name,
        system=system_name(checkpoint, run.step),
        trained=seen,
        split=config.split,
        skipped=opened.skipped | failed,
        notes=(
            *opened.notes,
            *evaluator.notes(run.config),
            *evaluator.attention_notes(run.config, run.params),
            *seqio_metrics.notes(scores.values()),
        ),
        samples=tuple(
            record for each in scores.values() for record in evaluator.records(each, sample_places(each))
        ),
        seconds={'score': time.monotonic() - start},
        costs=costs.of_scoring(
            scores, {name: evaluator.examples(name) for name in scores}, run.config, evaluator.vocabulary
        ),
        **results.told_settings(config),
        environment=splits.environment(),
    )
    if jax.process_index() == 0:
        keep_predictions(folder, config.predictions, scores, evaluator.records)
        results.save(folder, result, scores)
    return result


def system_name(checkpoint: str, step: int) -> str:
    """Return what results call a checkpoint."""
    return f'{pathlib.Path(checkpoint).name} at step {step}'


def open_evaluator(
    config: EvalConfig,
    mixed: Mixture,
    names: Sequence[str],
    model: ModelConfig,
    feature_lengths: Mapping[str, int],
    variation: Variation | None = None,
) -> tuple[Evaluator, splits.Opened]:
    """Open the data of an evaluation; build what is not cached.

    Args:
        config: the evaluation's.
        mixed: its mixture.
        names: the tasks to score, see `scorable`.
        model: the config of the model to score.
        feature_lengths: in its training.
        variation: how the examples are changed; None for not at all.

    Raises:
        ValueError: the model comes without a vocabulary, or with fewer embeddings than it has; or no task can
            be read.
    """
    model.check_prompts(config.prompts)
    vocabulary = vocabulary_of(config)
    model.check_vocabulary(vocabulary.name, vocabulary.size)
    lengths = config.feature_lengths or feature_lengths
    soft = max(len(model.prompt(prompt)) for name in names for prompt in config.prompts or (name,))
    view = view_of(mixed, config.split, vocabulary, lengths, config.style, config.max_rows, soft_tokens=soft)
    view = dataclasses.replace(view, variation=variation)
    opened = splits.open_splits(names, view, config.build_options())
    if not opened.splits:
        raise ValueError(
            f'no task of {mixed.name!r} has a readable {config.split} split; the reasons stand above'
        )
    kept = ScoreCache.inside(cache.cache_folder(config.cache_dir))
    return Evaluator(opened.splits, vocabulary, lengths, config.scoring, config.prompts, kept), opened


def vocabulary_of(config: EvalConfig) -> Vocabulary:
    """Load the vocabulary of an evaluation; a `ValueError` where the model comes without one."""
    found = parameters.load_vocabulary(
        config.checkpoint, config.vocabulary, config.data_dir, base=config.base
    )
    if found is None:
        raise ValueError(parameters.NO_VOCABULARY.format(config.checkpoint))
    return found


def evaluate_examples(
    model: Model,
    examples: Sequence[Mapping[str, Any]],
    metric: str | Metric = 'accuracy',
    name: str = 'examples',
    scoring: ScoringConfig = ScoringConfig(),
    prompts: Sequence[str] = (),
) -> Result:
    """Score a loaded model on examples of one's own: by rank where all have options, else by generating.

    Args:
        model: what `flanlite.load` returned.
        examples: dictionaries with `inputs`, a text; `answers`, the texts that count as right, or `targets`,
            the only one; and `options`, a list of texts to choose from, in all of them or in none.
        metric: a name in `metrics.METRICS`, or a `Metric` of one's own.
        name: what the results call these examples.
        scoring: how the model is asked.
        prompts: of a model with several soft prompts, those to ask with; see `Evaluator`.

    Returns:
        Scores, an interval and samples, as those of one task; `result.rows()` is a table.

    Raises:
        ValueError: no examples, one that lacks a text, or a metric that there is not or that cannot count
            them; the message says which.
    """
    examples, counted = list(examples), metrics.get_metric(metric)
    made = [example_of(model, number, example) for number, example in enumerate(examples)]
    with_options = sum(bool(example.options) for example in made)
    if not made or with_options not in (0, len(made)):
        raise ValueError(
            f'got {len(made)} examples, {with_options} of them with options; expected some, with options in '
            'all or in none'
        )
    counted.check_counts(made[0].answers)
    for example in made:
        counted.check_options(example.options)
    start = time.monotonic()
    model.config.check_prompts(prompts)
    evaluator = Evaluator({}, model.vocabulary, None, scoring, tuple(prompts))
    asked, vocabulary = (name, made, model.config, model.params, model.partitioner), model.vocabulary
    if with_options:
        method, (predictions, option_scores) = 'rank', evaluator.ranked(*asked)
    else:
        method, predictions, option_scores = 'generate', evaluator.generated(*asked), []
    scores = score_task(name, method, made, predictions, vocabulary, templates=False, metric=counted)
    if option_scores:
        others = evaluator.variants_of(name, counted, made, option_scores, *asked[2:])
        scores = dataclasses.replace(scores, option_scores=tuple(option_scores), variants=others)
    shown = [
        record | {'inputs': example['inputs']}
        for example, record in zip(examples, records(scores, made, vocabulary), strict=True)
    ]
    return results.make_result(
        {name: scores}, {name: ('', '')}, run='', system='model', samples=tuple(shown),
        notes=tuple(option_notes(name, made)),
        seconds={'score': time.monotonic() - start}, environment=splits.environment(),
    )  # fmt: skip


def example_of(model: Model, number: int, example: Mapping[str, Any]) -> Example:
    """Tokenise one of a user's examples; a `ValueError` that names it where it lacks a text."""
    if not isinstance(example, Mapping):
        raise ValueError(
            f'example {number} is {example!r}; expected a dictionary with "inputs" and "answers"'
        )
    options = example.get('options', ())
    answers = example.get('answers', [example['targets']] if 'targets' in example else None)
    for key, texts in (('inputs', [example.get('inputs')]), ('options', options), ('answers', answers)):
        if texts is None or isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f'example {number} has {key} {example.get(key)!r}; expected a text "inputs", and lists of '
                'texts "answers" and "options"'
            )
    if not answers:
        raise ValueError(
            f'example {number} has no answers; expected at least one in "answers", or a text "targets"'
        )
    tokens = model.encode([answers[0], *options])
    return Example(
        model.vocabulary.as_inputs(model.encode([example['inputs']])[0]),
        tokens[0],
        number,
        -1,
        tuple(options),
        tuple(tokens[1:]),
        tuple(answers),
    )


def scorable(mixture: Mixture) -> tuple[list[str], dict[str, str]]:
    """Name the tasks of a mixture that can be scored, and say of the others why not; a `ValueError` where
    none can.
    """
    failed = seqio_metrics.faults([entry.task for entry in mixture.entries])
    names = [entry.task for entry in mixture.entries if entry.task not in failed]
    if not names:
        raise ValueError('; '.join(failed.values()))
    return names, failed


def output_folder(config: EvalConfig, mixed: Mixture, kind: str = 'eval') -> pathlib.Path:
    """Name the folder of results: the one that is asked for, else `<kind>/<mixture>-<split>` in the run's
    folder, or beside a file.
    """
    if config.output:
        return pathlib.Path(config.output)
    number = f'-{mixed.shots.number}shot' if mixed.shots else ''
    number = '-mix' if isinstance(mixed.prompt_mix, PromptMix) else number
    path, name = pathlib.Path(config.checkpoint), f'{mixed.name}-{config.split}{number}'
    if path.is_file():
        return path.with_suffix('') / kind / name
    model_dir = next(
        (folder for folder in (path, *path.parents) if (folder / checkpoints.FOLDER).is_dir()), path
    )
    average = '-ema' if path.name == checkpoints.EMA and path != model_dir else ''
    return model_dir / kind / f'{name}{average}'


def manifest_of(checkpoint: str) -> dict[str, Any] | None:
    """Read the manifest of a run; None where there is none, or another program's file of that name."""
    path = pathlib.Path(checkpoint)
    files = [folder / 'manifest.json' for folder in (path, *path.parents[:3])]
    found = next((file for file in files if file.is_file()), None)
    manifest = found and read_json(found)
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get('tasks'), dict) else None


def trained_on(checkpoint: str) -> dict[str, list[str]]:
    """Read from a run's manifest which tasks it trained on, by cluster; nothing where there is no
    manifest.
    """
    manifest = manifest_of(checkpoint)
    found: dict[str, list[str]] = {}
    for name in manifest['tasks'] if manifest else ():
        found.setdefault(getattr(registry.find_spec(name), 'cluster', None) or '', []).append(name)
    return found
