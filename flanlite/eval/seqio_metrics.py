"""A SeqIO task's own metrics, called as SeqIO's Evaluator calls them: on postprocessed texts, or the targets'
log-probabilities.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flanlite.data.rendering import seqio_tasks
from flanlite.data.specs import registry
from flanlite.data.tokens.example import Example
from flanlite.report.scores import OwnScores, TaskScores

RESAMPLES = 100
RESAMPLE_SECONDS = 5.0  # a metric that would take longer for all resamples has no interval
# By SeqIO's name of a model's output, what its metric functions call it.
NEEDS = {
    'PREDICTION': 'predictions',
    'SCORE': 'scores',
}


class MetricError(ValueError):
    """A SeqIO task's own metrics or postprocessor cannot be used, or failed."""


class OwnMetric(NamedTuple):
    """One of a task's metrics.

    Args:
        name: the function's name, or the object's class.
        needs: the model output that it is computed from, by SeqIO's name: a key of `NEEDS`.
        measure: the function, or the `seqio.metrics` object.
        is_object: whether it is an object.
    """

    name: str
    needs: str
    measure: Any
    is_object: bool = False


def get_seqio_task(name: str) -> Any | None:
    """Return the SeqIO task of a name if it has metrics of its own, else None; a data set of flanlite's
    collections is no such task.

    Raises:
        MetricError: the metrics cannot be used; see `metrics_of`.
    """
    bare = name.removeprefix(seqio_tasks.PREFIX)
    if registry.find_spec(name) or bare not in seqio_tasks.registered_names():
        return None
    task = seqio_tasks.registered_task(name)
    return task if metrics_of(task) else None


def metrics_of(task: Any) -> list[OwnMetric]:
    """List a SeqIO task's metric functions, then its metric objects.

    Raises:
        MetricError: one has other arguments than SeqIO allows, or needs more of a model than answers and
            log-probabilities.
    """
    try:
        functions = {
            'PREDICTION': task.predict_metric_fns,
            'SCORE': task.score_metric_fns,
            'PREDICTION_WITH_AUX': task.predict_with_aux_metric_fns,
        }
        # SeqIO appends the functions, wrapped.
        objects = task.metric_objs[: len(task.metric_objs) - len(task.metric_fns)]
    except ValueError as error:
        raise MetricError(
            f'a metric function of the SeqIO task {task.name!r} cannot be called: {in_line(error)}'
        ) from error
    found = [
        OwnMetric(name_of(function), needs, function)
        for needs, each in functions.items()
        for function in each
    ]
    found += [OwnMetric(name_of(each), each.model_output_type.name, each, is_object=True) for each in objects]
    for metric in found:
        if metric.needs not in NEEDS:
            raise MetricError(
                f'the metric {metric.name!r} of the SeqIO task {task.name!r} needs {metric.needs.lower()}; '
                'expected a function of '
                '(targets, predictions) or (targets, scores), or a metric object for PREDICTION or SCORE'
            )
    return found


def faults(names: Iterable[str]) -> dict[str, str]:
    """Return the tasks whose metrics cannot be used, with the reasons; computes no metric."""
    found = {}
    for name in names:
        try:
            get_seqio_task(name)
        except MetricError as error:
            found[name] = str(error)
    return found


def name_of(function: Any) -> str:
    """Return the name of a function, or of a metric object's class."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, '__name__', type(function).__name__)


def in_line(value: object) -> str:
    """Return what a value, such as an error, prints as one line."""
    return ' '.join(str(value).split())


def metrics_line(name: str) -> str:
    """Return a line that says what a SeqIO task is scored with, or why it cannot be."""
    if fault := faults([name]):
        return fault[name]
    task = get_seqio_task(name)
    if task is None:
        return 'no metrics of its own; accuracy'
    listed = ', '.join(f'{metric.name} (of {NEEDS[metric.needs]})' for metric in metrics_of(task))
    return f'metrics {listed}' + (
        f'; postprocess_fn {name_of(task.postprocessor)}' if task.postprocessor else ''
    )


def notes(scores: Iterable[TaskScores | OwnScores]) -> list[str]:
    """Return a note for each score that a task's own metrics did not give, and one that names the tasks whose
    scores are in units of their own; none where all are percent.
    """
    own = [scored for scored in scores if isinstance(scored, OwnScores)]
    missing = [f'Left out: {fault}.' for scored in own for fault in scored.missing]
    names = ', '.join(scored.task for scored in own)
    units = f"The scores of {names} are those of the SeqIO task's own metrics, in their own units."
    return [*missing, units] if own else []


def score(
    task: Any, examples: Sequence[Example], tokens: Sequence[np.ndarray] | None, log_probs: np.ndarray | None
) -> OwnScores:
    """Compute a task's metrics over its examples, in the order of their rows as SeqIO does.

    Args:
        task: the SeqIO task.
        examples: N examples from the cache; the postprocessor sees their fields.
        tokens: the token ids of the N answers; None where no metric needs predictions.
        log_probs: float32[N], of the targets; None where no metric needs scores.

    Raises:
        MetricError: the postprocessor fails, no metric gives a finite number, or two give the same name.
    """
    rows = np.array([example.row for example in examples], np.int64)
    order = np.argsort(rows, kind='stable')
    shown = [
        dict(examples[place].fields) | {'inputs': examples[place].inputs, 'targets': examples[place].targets}
        for place in order
    ]
    vocabulary = task.output_features['targets'].vocabulary
    given: dict[str, Any] = {
        'targets': postprocess(
            task, [target_text(example, vocabulary) for example in shown], shown, is_target=True
        )
    }
    outputs: dict[str, np.ndarray] = {}
    texts = [vocabulary.decode(ids.tolist()) for ids in tokens or ()]
    if tokens is not None:
        given['predictions'] = postprocess(task, [texts[place] for place in order], shown, is_target=False)
        outputs['PREDICTION'] = padded([tokens[place] for place in order])
    if log_probs is not None:
        given['scores'] = outputs['SCORE'] = log_probs[order]

    metrics = metrics_of(task)
    values: dict[str, float] = {}
    missing: list[str] = []
    resampled = np.zeros(0)
    for metric in metrics:
        start = time.monotonic()
        found, faults = measure(task, metric, given, shown, outputs)
        seconds = time.monotonic() - start
        if twice := set(found) & set(values):
            raise MetricError(
                f'two metrics of the SeqIO task {task.name!r} give {min(twice)!r}; expected names that differ'
            )
        if found and not values and not metric.is_object and seconds * RESAMPLES <= RESAMPLE_SECONDS:
            resampled = resample(metric, next(iter(found)), given)
        values |= found
        missing += faults
    if not values:
        raise MetricError('; '.join(missing))
    names = ', '.join(metric.name for metric in metrics)
    methods = [('generate', tokens), ('score', log_probs)]
    method = ', '.join(name for name, output in methods if output is not None)
    found = OwnScores(task.name, names, method, rows, values, resampled, tuple(texts), tuple(missing))
    return found if log_probs is None else dataclasses.replace(found, log_probs=log_probs)


def target_text(example: Mapping[str, Any], vocabulary: Any) -> str:
    """Return the target's text: as it was before tokenisation where the example has that, else decoded."""
    text = example.get('targets_pretokenized')
    text = vocabulary.decode(example['targets'].tolist()) if text is None else text
    return text.decode('utf-8') if isinstance(text, bytes) else text


def postprocess(
    task: Any, texts: Sequence[str], examples: Sequence[Mapping[str, Any]], *, is_target: bool
) -> list[Any]:
    """Apply a task's postprocessor to each text; without one the texts are returned as they are."""
    with blamed(
        task,
        'postprocess_fn',
        task.postprocessor,
        f'; the cache has the fields {", ".join(examples[0])} of its examples',
    ):
        pairs = zip(texts, examples, strict=True)
        return [
            task.postprocess_fn(text, example=dict(example), is_target=is_target) for text, example in pairs
        ]


@contextlib.contextmanager
def blamed(task: Any, kind: str, function: Any, more: str = '') -> Iterator[None]:
    """Turn an error of a user's function into a `MetricError` of one line that names the function and the
    task.
    """
    try:
        yield
    except Exception as error:  # whatever the user's function raises
        what = f'{kind} {name_of(function)!r} of the SeqIO task {task.name!r}'
        raise MetricError(f'the {what} fails: {type(error).__name__}: {in_line(error)}{more}') from error


def padded(tokens: Sequence[np.ndarray]) -> np.ndarray:
    """Stack N answers of different lengths into int32[N, longest], padded with 0."""
    stacked = np.zeros((len(tokens), max(map(len, tokens))), np.int32)
    for row, ids in zip(stacked, tokens, strict=True):
        row[: len(ids)] = ids
    return stacked


def measure(
    task: Any,
    metric: OwnMetric,
    given: Mapping[str, Any],
    examples: Sequence[Mapping[str, Any]],
    outputs: Mapping[str, np.ndarray],
) -> tuple[dict[str, float], list[str]]:
    """Compute one metric: the finite numbers that it gives, by name, and a statement for all else.

    Args:
        task: the SeqIO task.
        metric: the metric.
        given: the arguments of metric functions, by name.
        examples: the examples, for metric objects.
        outputs: the model's outputs by SeqIO's names, for metric objects.
    """
    try:
        with blamed(task, 'metric', metric.measure):
            if not metric.is_object:
                found = call(metric, given)
            else:
                made = metric.measure.from_model_output(
                    examples, outputs[metric.needs], task.output_features, 'targets'
                )
                collects = hasattr(made, 'actual_compute')
                found = (
                    made.actual_compute(examples, task.output_features, 'targets')[0]
                    if collects
                    else made.compute()
                )
    except MetricError as error:
        return {}, [str(error)]
    gave = f'the metric {metric.name!r} of the SeqIO task {task.name!r} gave'
    if not isinstance(found, Mapping) or not found:
        return {}, [f'{gave} {in_line(found)[:80]!r}; expected a mapping of names to numbers']
    values = {str(name): finite_number(value) for name, value in found.items()}
    faults = [
        f'{gave} {name} = {in_line(getattr(value, "value", value))[:80]}, which is no finite number'
        for name, value in found.items()
        if values[str(name)] is None
    ]
    return {name: value for name, value in values.items() if value is not None}, faults


def finite_number(value: Any) -> float | None:
    """Return the one finite number that a metric's value holds, if it does; else None."""
    try:
        held = np.asarray(getattr(value, 'value', value)).item()
        number = np.nan if isinstance(held, str | bytes) else float(held)
    except (TypeError, ValueError, OverflowError):  # several numbers, or none
        return None
    return number if np.isfinite(number) else None


def call(metric: OwnMetric, given: Mapping[str, Any]) -> Any:
    """Call a metric function with the targets and the output that it needs."""
    return metric.measure(**{name: given[name] for name in ('targets', NEEDS[metric.needs])})


def resample(metric: OwnMetric, headline: str, given: Mapping[str, Any]) -> np.ndarray:
    """Return the headline score of examples drawn with replacement: float64[RESAMPLES], or float64[0] where a
    draw makes it fail, or gives no finite number.
    """
    random, count = np.random.default_rng(0), len(given['targets'])
    values = []
    for _ in range(RESAMPLES):
        drawn = random.integers(count, size=count)
        picked = {
            name: each[drawn] if isinstance(each, np.ndarray) else [each[place] for place in drawn]
            for name, each in given.items()
        }
        try:
            value = finite_number(call(metric, picked)[headline])
        except Exception:  # a user's function that needs, for example, every class among the targets
            value = None
        if value is None:
            return np.zeros(0)
        values.append(value)
    return np.array(values)
