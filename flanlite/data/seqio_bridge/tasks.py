"""One of flanlite's data sets as a `seqio.Task`, made on request with TensorFlow's operations, for other
trainers.

SeqIO and TensorFlow are imported inside the functions: training on flanlite's own data sets does not need
them.
"""

import dataclasses
import functools
import itertools
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from flanlite.data.rendering import rendering
from flanlite.data.specs import registry, sources, specs, templates, text
from flanlite.data.specs.specs import DatasetSpec
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.metrics import metrics
from flanlite.metrics.metric import Metric


def task(
    name: str,
    *,
    seqio_name: str | None = None,
    vocabulary: str | Vocabulary | None = None,
    style: str = 'instructions',
    rendering: int = 0,
    max_examples: int | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Any:
    """Make the `seqio.Task` of a data set, with the same rows, texts and tokens as flanlite's own cache.

    Besides `inputs` and `targets`, its examples have `row`, `template`, `options` and `answers`. Under SeqIO,
    the template depends on the example's place in its shard of the source; with `max_examples`, the source
    has one shard.

    Args:
        name: a registered data set.
        seqio_name: the task's name in SeqIO; by default the data set's name.
        vocabulary: the vocabulary, or what `vocabularies.load` takes; by default that of its collection.
        style: `instructions`, `baseline` or `fields`; see `DatasetSpec.style_templates`.
        rendering: the kept row i gets the template i + rendering, modulo their number.
        max_examples: truncates the training data to the first rows that are kept; by default nothing is
            truncated.
        data_dir: the folder of local data; by default that of FLANLITE_DATA_DIR.

    Raises:
        ValueError: no data set has the name, or it is plain text; `t5.data` has SeqIO preprocessors for its
            objectives.
    """
    import seqio

    spec = registry.find_spec(name)
    if not isinstance(spec, DatasetSpec):
        what = (
            'is no registered data set'
            if spec is None
            else 'is plain text; use the preprocessors of t5.data for it'
        )
        raise ValueError(f'{name!r} {what}; a data set is registered when its collection is imported')
    if vocabulary is None:
        vocabulary = next(
            collection.vocabulary for collection in registry.COLLECTIONS.values() if spec in collection.specs
        )
    vocabulary = vocabularies.load(vocabulary, data_dir)
    shared, shown = vocabulary.to_seqio(), spec.style_templates(style)
    inputs, targets = (seqio.Feature(shared, add_eos=add_eos) for add_eos in (vocabulary.input_eos, True))
    return seqio.Task(
        seqio_name or name,
        source=seqio_source(
            dataclasses.replace(spec, source=sources.prefer_data_folder(spec.source, data_dir)), max_examples
        ),
        output_features={'inputs': inputs, 'targets': targets},
        preprocessors=[
            functools.partial(render_tensors, spec=spec, shown=shown, rendering=rendering),
            seqio.preprocessors.tokenize,
            functools.partial(frame_inputs, vocabulary=vocabulary),
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        postprocess_fn=functools.partial(
            postprocess, inverted=[index for index, template in enumerate(shown) if template.inverted]
        ),
        metric_fns=[metric_function(spec.metric)],
    )


def frame_inputs(dataset: Any, vocabulary: Vocabulary) -> Any:
    """Put what stands around inputs there, in a `tf.data.Dataset` of tokens; EOS is SeqIO's to append."""
    import tensorflow as tf

    before, behind = vocabulary.around
    behind = () if vocabulary.input_eos else behind
    if not before and not behind:
        return dataset
    before, behind = (tf.constant(ids, tf.int32, [len(ids)]) for ids in (before, behind))
    return dataset.map(
        lambda example: example | {'inputs': tf.concat([before, example['inputs'], behind], axis=0)},
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def register(name: str, **options: Any) -> Any:
    """Make a data set's task and add it to SeqIO's registry, where other code finds it by name; `options` are
    those of `task`.
    """
    import seqio

    made = task(name, **options)
    seqio.TaskRegistry.add_provider(made.name, made)
    return made


def seqio_source(spec: DatasetSpec, max_examples: int | None = None) -> Any:
    """Make the SeqIO source of a data set: a TFDS source where the data comes from TFDS, else one of its rows
    as tensors.

    Args:
        spec: the data set, its source resolved. Splits that its data folder lacks are left out.
        max_examples: truncates the training split.

    Raises:
        MissingDataError: the data folder has none of its splits.
    """
    import seqio

    splits = {split: spec.splits.get(split) for split in specs.SPLITS if spec.splits.get(split)}
    splits = {split: part for split, part in splits.items() if sources.has_rows(spec.source, part)}
    if not splits:
        label = sources.label(spec.source)
        raise sources.MissingDataError(
            f'data set {spec.name!r} has no rows: {label}; expected its splits in the data folder, data_dir '
            'or FLANLITE_DATA_DIR'
        )
    from_tfds = isinstance(spec.source, sources.Tfds)
    if from_tfds and max_examples is None:
        return seqio.TfdsDataSource(spec.source.name, splits=splits)

    def dataset(split: str, shuffle_files: bool, seed: int | None = None) -> Any:
        # Always in order, so that a row keeps its template: SeqIO shuffles examples instead.
        del shuffle_files, seed
        limit = max_examples if split == 'train' else None
        if from_tfds:
            return first_kept(spec, spec.source.dataset(splits[split]), limit)
        return rows_dataset(list(first_rows(spec, split, spec.source.rows(splits[split]), limit)))

    class Source(seqio.FunctionDataSource):
        """Rows that are counted when SeqIO asks for a size that is not on record."""

        def on_record(self, split: str) -> int | None:
            return super().num_input_examples(split)

        def num_input_examples(self, split: str) -> int | None:
            size = self.on_record(split)
            if size is None and split in splits:
                size = count_rows(spec, splits[split], max_examples if split == 'train' else None)
            return size

    return Source(
        dataset, splits=tuple(splits), num_input_examples=sizes_on_record(spec, splits, max_examples)
    )


def sizes_on_record(
    spec: DatasetSpec, splits: Collection[str], max_examples: int | None
) -> dict[str, int | None]:
    """Return the numbers of examples that are on record, by split, with which SeqIO weighs tasks; None where
    there is none, and for splits that the task lacks.

    Args:
        spec: the data set.
        splits: those of the task.
        max_examples: truncates the training split.
    """
    sizes = {split: getattr(spec, f'{split}_examples') if split in splits else None for split in specs.SPLITS}
    if max_examples and sizes.get('train'):
        sizes['train'] = min(sizes['train'], max_examples)
    return sizes


@functools.cache
def count_rows(spec: DatasetSpec, split: str, limit: int | None = None) -> int:
    """Count the rows of a split that a data set keeps, by reading them.

    Args:
        spec: the data set, its source resolved.
        split: as the source names it.
        limit: the most that count; None for all.
    """
    kept = (row for row in spec.source.rows(split) if spec.keep is None or spec.keep(row))
    return sum(1 for _ in itertools.islice(kept, limit))


def first_rows(
    spec: DatasetSpec, split: str, rows: Iterable[specs.Row], limit: int | None
) -> Iterator[specs.Row]:
    """Yield rows until `limit` of them are rows that the data set keeps; None means no limit.

    Raises:
        ValueError: a row cannot be rendered, as where a value is missing, for which tensors would have 0 or
            nothing.
    """
    kept = 0
    for index, row in enumerate(rows):
        if kept == limit:
            return
        with rendering.located(spec, split, index, row):
            kept += spec.example(row) is not None
        yield row


def first_kept(spec: DatasetSpec, dataset: Any, limit: int | None) -> Any:
    """Apply the limit of `first_rows` to a `tf.data.Dataset`."""
    import tensorflow as tf

    if limit is None or spec.keep is None:
        return dataset if limit is None else dataset.take(limit)
    graph = tf.autograph.experimental.do_not_convert
    counted = dataset.scan(
        tf.constant(0, tf.int64),
        graph(lambda kept, row: (kept + tf.cast(spec.keep(row), tf.int64), (kept, row))),
    )
    return counted.take_while(graph(lambda kept, row: kept < limit)).map(graph(lambda kept, row: row))


def rows_dataset(rows: Sequence[specs.Row]) -> Any:
    """Turn Python rows into a `tf.data.Dataset` of tensors; lists may differ in length.

    Raises:
        ValueError: there are no rows.
    """
    import tensorflow as tf

    if not rows:
        raise ValueError('there are no rows to make a data set of')
    return tf.data.Dataset.from_tensor_slices(columns(rows))


def columns(rows: Sequence[specs.Row]) -> dict[str, Any]:
    """Collect each field of all rows into one tensor, or one ragged tensor if its values are lists.

    A field that is a record becomes a dictionary of tensors. So does a list of records, each of whose fields
    becomes a list, as in TFDS. Lists of lists of records are left out. Missing values become an empty text, 0
    or False.

    Raises:
        ValueError: the values of a field are of several types, or too large.
    """
    collected: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        try:
            found = column([row.get(name) for row in rows])
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f'the rows cannot be tensors for their field {name!r} ({error}); expected values of one '
                'type, and integers of 64 bits'
            ) from error
        if found is not None:
            collected[name] = found
    return collected


def column(values: Sequence[Any]) -> Any:
    """Collect a field's values in a tensor, ragged tensor or dictionary of these; None where none is."""
    import tensorflow as tf

    filled = [value for value in values if value is not None]
    if not filled:
        return None
    if isinstance(filled[0], dict):
        return columns([value or {} for value in values])
    if any(isinstance(leaf, dict) for leaf in leaves(filled)):
        records = all(isinstance(item, dict) for value in filled for item in value)
        return columns([transposed(value or []) for value in values]) if records else None
    dtype = tensor_type(filled)
    if isinstance(filled[0], list | tuple):
        return tf.ragged.constant([value or [] for value in values], dtype=dtype, ragged_rank=None)
    missing = {tf.string: '', tf.bool: False}.get(dtype, 0)
    return tf.constant([missing if value is None else value for value in values], dtype)


def transposed(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Turn a list of records into a record of lists; missing values become an empty text."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: ['' if record.get(name) is None else record[name] for record in records] for name in names}


def tensor_type(values: Any) -> Any:
    """Return the tensor type that holds all of some values, however nested they are."""
    import tensorflow as tf

    kinds = {type(value) for value in leaves(values)}
    if kinds <= {bool}:
        return tf.bool if kinds else tf.string
    return tf.string if str in kinds else tf.float64 if float in kinds else tf.int64


def leaves(values: Any) -> Iterator[Any]:
    """Yield the values in nested lists."""
    if isinstance(values, list | tuple):
        for value in values:
            yield from leaves(value)
    else:
        yield values


def render_tensors(dataset: Any, *, spec: DatasetSpec, shown: Sequence[Template], rendering: int) -> Any:
    """Fill templates in a `tf.data` graph, as `rendering.render` does in Python.

    Args:
        dataset: the rows as tensors.
        spec: the data set.
        shown: the templates.
        rendering: the kept row i gets the template i + rendering, modulo their number.
    """
    import tensorflow as tf

    # The functions consist of operations on tensors; there is nothing to convert.
    graph = tf.autograph.experimental.do_not_convert

    def decoded(row: Any) -> Any:
        # TFDS's bytes need not be UTF-8; this is what `bytes.decode` makes of them.
        return tf.nest.map_structure(
            lambda value: (
                tf.strings.unicode_transcode(value, 'UTF-8', 'UTF-8') if value.dtype == tf.string else value
            ),
            row,
            expand_composites=True,
        )

    def keep(row_index: Any, row: Any) -> Any:
        del row_index
        return tf.cast(spec.keep(row), tf.bool)

    def fill(place: Any, indexed_row: Any) -> dict[str, Any]:
        row_index, row = indexed_row
        texts, options, answers = tensor_example(spec, row)
        index = tf.cast((place + rendering) % len(shown), tf.int32)
        branches = [functools.partial(fill_tensors, template, texts) for template in shown]
        inputs, targets = tf.switch_case(index, branches)
        return {
            'inputs': inputs,
            'targets': targets,
            'row': row_index,
            'template': index,
            'options': options,
            'answers': answers,
        }

    dataset = dataset.map(graph(decoded)).enumerate()
    if spec.keep is not None:
        dataset = dataset.filter(graph(keep))
    return dataset.enumerate().map(graph(fill), num_parallel_calls=tf.data.AUTOTUNE)


def tensor_example(spec: DatasetSpec, row: Any) -> tuple[dict[str, Any], Any, Any]:
    """Return a row's text fields, options and answers as tensors; this is `DatasetSpec.example` in
    TensorFlow.

    An answer that is none of the options is TensorFlow's error.
    """
    import tensorflow as tf

    fields = dict(spec.fields(row))
    options = fields.pop('options', spec.options)
    if not tf.is_tensor(options):
        options = tf.stack(list(options)) if options else tf.constant([], tf.string)
    answer = tf.convert_to_tensor(fields.pop('answer'))
    if answer.dtype != tf.string:
        answer = tf.gather(options, tf.cast(answer, tf.int64))
    else:
        found = tf.reduce_any(tf.equal(options, answer)) | tf.equal(tf.size(options), 0)
        with tf.control_dependencies(
            [tf.debugging.Assert(found, ['the answer is no option', answer, options])]
        ):
            answer = tf.identity(answer)
    answers = fields.pop('answers', None)
    answers = (
        answer[tf.newaxis]
        if answers is None
        else tf.stack(answers)
        if isinstance(answers, list | tuple)
        else answers
    )
    answers = tf.cond(tf.size(answers) > 0, lambda: answers, lambda: answer[tf.newaxis])
    texts = {name: text.string(tf.convert_to_tensor(value)) for name, value in fields.items()}
    texts['answer'] = answer
    block = tf.strings.reduce_join(tf.strings.join(['\n- ', options]))
    texts[templates.OPTIONS_FIELD] = tf.strings.join([templates.OPTIONS_HEADER, block])
    return texts, options, answers


def fill_tensors(template: Template, texts: dict[str, Any]) -> tuple[Any, Any]:
    """Fill a template's inputs and targets with tensors."""
    import tensorflow as tf

    def filled(pattern: str) -> Any:
        parts = []
        for literal, field in templates.parse(pattern):
            parts.append(literal)
            if field == templates.OPTIONS_FIELD:
                some = tf.not_equal(texts[field], templates.OPTIONS_HEADER)
                with tf.control_dependencies([tf.debugging.Assert(some, ['there are no options to show'])]):
                    parts.append(tf.identity(texts[field]))
            elif field is not None:
                parts.append(texts[field])
        return tf.strings.join(parts)

    return filled(template.inputs), filled(template.targets)


def postprocess(
    value: Any, example: dict[str, Any] | None = None, is_target: bool = False, inverted: Sequence[int] = ()
) -> Any:
    """Return what SeqIO's evaluator compares: the text of a prediction; for a target, all answers that count
    as right.

    The answers do not fit the targets of inverted templates, so there the target itself is the only right
    answer.

    Args:
        value: the decoded prediction or target.
        example: the example that it belongs to.
        is_target: whether it is a target.
        inverted: the indices of the inverted templates.
    """
    if not is_target:
        return str(value)
    answers = (
        []
        if example is None or int(example.get('template', -1)) in inverted
        else np.asarray(example.get('answers', [])).tolist()
    )
    return [answer.decode() for answer in answers] or [str(value)]


def metric_function(
    metric: str | Metric,
) -> Callable[[Sequence[Sequence[str]], Sequence[str]], dict[str, float]]:
    """Make a SeqIO metric function from one of flanlite's metrics, or one of a user's."""
    metric = metrics.get_metric(metric)

    def measure(targets: Sequence[Sequence[str]], predictions: Sequence[str]) -> dict[str, float]:
        scores = metric.scores(metric.counts(predictions, targets).sum(0))
        # Of groups, which SeqIO does not know.
        return {name: score for name, score in scores.items() if not math.isnan(score)}

    return measure
