"""Examples of SeqIO tasks that the user registered, for flanlite's cache.

SeqIO and TensorFlow are imported inside the functions: training on flanlite's own data sets does not need
them.
"""

import dataclasses
import inspect
import itertools
import pathlib
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from flanlite.data.rendering import fewshot
from flanlite.data.rendering.asking import Asking
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.rendering.rendering import Rendered
from flanlite.data.specs import fingerprints, notices, registry, specs
from flanlite.data.specs.prompt_mix import PromptMix
from flanlite.data.specs.templates import Template
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.example import Example
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.progress import CONSOLE

PREFIX = 'seqio:'  # before a name: what SeqIO has by it, where flanlite has something by it too
PRETOKENIZED = ('inputs_pretokenized', 'targets_pretokenized')  # SeqIO's fields of the texts
OWN_MIXTURES: weakref.WeakSet = weakref.WeakSet()  # those that flanlite added to SeqIO's registry


def registered_names() -> list[str]:
    """Return the names of the registered SeqIO tasks. SeqIO is not imported for this: if nobody did, no task
    is registered.
    """
    seqio = sys.modules.get('seqio')
    return sorted(seqio.TaskRegistry.names()) if seqio else []


def registered_task(name: str) -> Any:
    """Return the registered SeqIO task of a name, with `PREFIX` before it or without.

    Raises:
        ValueError: SeqIO has no such task.
    """
    import seqio

    return seqio.TaskRegistry.get(name.removeprefix(PREFIX))


def is_users(name: str) -> bool:
    """Return whether SeqIO has a task or mixture of a name that flanlite did not register there."""
    seqio: Any = sys.modules.get('seqio')
    if seqio is None:
        return False
    if name in seqio.TaskRegistry.names():
        spec = spec_of(seqio.TaskRegistry.get(name))
        return spec is None or spec is not registry.find_spec(name)
    return name in seqio.MixtureRegistry.names() and seqio.MixtureRegistry.get(name) not in OWN_MIXTURES


def spec_of(task: Any) -> specs.Spec | None:
    """Return the data set that flanlite made a SeqIO task of, or None for a task of others."""
    return getattr(task.preprocessors[0], 'keywords', {}).get('spec') if task.preprocessors else None


def name_of_member(name: str) -> str:
    """Return the name by which flanlite knows a task of a SeqIO mixture: with `PREFIX` before it, where a
    data set has the name that is not the task's own.
    """
    return PREFIX + name if registry.find_spec(name) and is_users(name) else name


def seqio_examples(name: str, split: str, vocabulary: Vocabulary, texts: bool = False) -> Iterator[Example]:
    """Run a registered SeqIO task once, unshuffled and uncut, and yield its examples.

    Args:
        name: the task.
        split: train, validation or test; examples of the latter two have options, answers and the other
            fields.
        vocabulary: the vocabulary that the task's ids must be of.
        texts: whether examples of `train` have their texts among their fields.

    Raises:
        ValueError: the task lacks the split or the features `inputs` and `targets`, its features are not
            lists of ids, it has another vocabulary, or one of its preprocessors needs sequence lengths.
    """
    found = registered_task(name)
    features = found.output_features
    if not {'inputs', 'targets'} <= set(features):
        raise ValueError(
            f'the SeqIO task {name!r} has the features {", ".join(sorted(features))}; expected inputs and '
            'targets: '
            'an encoder-decoder needs both, so tasks for decoder-only models do not fit'
        )
    if split not in found.splits:
        raise ValueError(f'the SeqIO task {name!r} has no split {split!r}, only {", ".join(found.splits)}')
    for feature in ('inputs', 'targets'):
        if not vocabulary.has_ids_of(features[feature].vocabulary):
            own = vocabularies.name_of_seqio(features[feature])
            raise ValueError(
                f'the {feature} of the SeqIO task {name!r} are tokens of {own!r}, not of '
                f'{vocabulary.name!r}; train with '
                f'VOCABULARY={own!r}, or register the task with {vocabulary.name!r}'
            )
    try:
        dataset = found.get_dataset(sequence_length=None, split=split, shuffle=False)
    except (TypeError, KeyError) as error:
        if not any(
            'sequence_length' in inspect.signature(function).parameters for function in found.preprocessors
        ):
            raise
        raise ValueError(
            f'a preprocessor of the SeqIO task {name!r} fails with sequence_length=None '
            f'({type(error).__name__}: {error}): examples are '
            'cached whole, and cut to TASK_FEATURE_LENGTHS when they are read; bind the lengths it needs '
            'with functools.partial'
        ) from error
    if split != 'train':
        kept = kept_fields(name, dataset.element_spec)
    else:
        kept = [key for key in PRETOKENIZED if texts and key in dataset.element_spec]
    for index, example in enumerate(dataset.as_numpy_iterator()):
        inputs, targets = (np.asarray(example[feature]) for feature in ('inputs', 'targets'))
        if inputs.ndim != 1 or targets.ndim != 1:
            raise ValueError(
                f'the SeqIO task {name!r} has features of {inputs.ndim} and {targets.ndim} axes; expected '
                'lists of ids'
            )
        options = decoded(example.get('options'))
        answers = decoded(example.get('answers')) or decoded(example.get('targets_pretokenized'))
        tokens = tuple(vocabulary.encode_arrays(options)) if options else ()
        row, template = (int(example.get(key, default)) for key, default in (('row', index), ('template', 0)))
        evaluated = (
            {} if split == 'train' else {'options': options, 'option_tokens': tokens, 'answers': answers}
        )
        fields = {key: example[key] for key in kept}
        yield Example(
            inputs.astype(np.int32), targets.astype(np.int32), row, template, **evaluated, fields=fields
        )


def prompter(
    name: str, split: str, vocabulary: Vocabulary, shots: Shots | None, mix: PromptMix | None
) -> Callable[[Sequence[Example]], list[Example]]:
    """Return what puts exemplars before a SeqIO task's examples, which are drawn from its own training data.

    Args:
        name: the task.
        split: that the examples are of.
        vocabulary: that of the task.
        shots: the number of exemplars, and their budget.
        mix: draws how each example is asked. It has no templates to choose from, and knows no options.

    Raises:
        ValueError: the task has no training data.
    """
    if not (shots or mix):
        return list
    shown = (Template('{inputs}', '{targets}'),)
    asks = Asking(mix, name, shown, (0,), strict=False) if mix else None
    exemplars = None
    if shots:
        if 'train' not in registered_task(name).splits:
            raise ValueError(
                f'the SeqIO task {name!r} has no training split to draw few-shot exemplars from; ask it '
                'without shots'
            )
        read = seqio_examples(name, 'train', vocabulary, texts=True) if shots.most else ()
        rows = ((example.row, example) for example in itertools.islice(read, fewshot.READ))
        drawn = fewshot.sample_pool(rows, shots.seed)
        found = as_rows([example for _, example in drawn], vocabulary)
        pool = [(number, row) for (number, _), row in zip(drawn, found, strict=True)]
        exemplars = fewshot.Exemplars(shots, pool, shown, vocabulary, split == 'train', asks=asks)

    def prompt(examples: Sequence[Example]) -> list[Example]:
        items = []
        for example, row in zip(examples, as_rows(examples, vocabulary), strict=True):
            asked = asks and asks.draw(example.row, row)
            texts = row['texts']
            setting = asked.way.setting if asked else ''
            items.append(
                Rendered(texts['inputs'], texts['targets'], example.row, 0, setting=setting, asked=asked)
            )
        prompted = exemplars.prompt(items) if exemplars else items
        tokens = vocabulary.encode_arrays([item.inputs for item in prompted])
        return [
            dataclasses.replace(
                example,
                # An input that stays as it is keeps the task's own tokens.
                inputs=example.inputs if item.inputs == given.inputs else vocabulary.as_inputs(ids),
                shots=item.shots,
                setting=item.setting,
                fields={} if split == 'train' else example.fields,
            )
            for example, given, item, ids in zip(examples, items, prompted, tokens, strict=True)
        ]

    return prompt


def as_rows(examples: Sequence[Example], vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Return a SeqIO task's examples as what exemplars are made of: their texts, as they were before being
    tokenised or, where preprocessors changed the ids, as these read.
    """
    rows: list[dict[str, Any]] = [{'texts': {}, 'shown': ()} for _ in examples]
    for part, read in (('inputs', vocabulary.decode_inputs), ('targets', vocabulary.decode)):
        told = [example.fields.get(f'{part}_pretokenized') for example in examples]
        texts = [text.decode('utf-8', 'replace') if isinstance(text, bytes) else '' for text in told]
        encoded = vocabulary.encode_arrays(texts)
        for row, example, text, ids in zip(rows, examples, texts, encoded, strict=True):
            own = getattr(example, part)
            same = np.array_equal(own, vocabulary.as_inputs(ids) if part == 'inputs' else ids)
            row['texts'][part] = text if same else read(own)
    return rows


def kept_fields(name: str, described: dict[str, Any]) -> list[str]:
    """Return the fields of a SeqIO task's examples to cache for its postprocessor, and print a line on those
    that cannot be cached.

    Args:
        name: the task.
        described: the dataset's `element_spec`.
    """
    import tensorflow as tf

    def plain(spec: Any) -> bool:
        return isinstance(spec, tf.TensorSpec) and (
            spec.dtype == tf.string or np.dtype(spec.dtype.as_numpy_dtype).kind in 'biufc'
        )

    beside = [key for key in described if key not in ('inputs', 'targets')]
    kept = [key for key in beside if all(plain(spec) for spec in tf.nest.flatten(described[key]))]
    if left := [f'{key} ({described[key]})' for key in beside if key not in kept]:
        CONSOLE.print(
            f'{name}: not cached, so its postprocess_fn does not see: {", ".join(left)}; expected dense '
            'tensors of texts or numbers',
            style='yellow',
            markup=False,
        )
    return kept


def decoded(value: Any) -> tuple[str, ...]:
    """Return the texts of an example's string feature; none where it is missing or of another type."""
    found = np.asarray([] if value is None else value).reshape(-1).tolist()
    return tuple(item.decode('utf-8', 'replace') for item in found if isinstance(item, bytes))


def seqio_fingerprint(name: str) -> str:
    """Hash what decides a registered SeqIO task's examples: its source, the source's files, the code of its
    preprocessors, its features.

    Files count by size and time of change, since reading all of them could take as long as a build. What
    functions of the user's read by themselves does not count; a warning says so.
    """
    import seqio

    found = registered_task(name)
    source = found.source
    described = [
        type(source).__name__,
        sorted(source.splits),
        [getattr(getattr(source, 'tfds_dataset', None), setting, None) for setting in ('name', '_split_map')],
    ]
    described += [
        value for _, value in sorted(vars(source).items()) if callable(value) or isinstance(value, str | dict)
    ]
    read = list(found.preprocessors)
    if isinstance(source, seqio.FileDataSource):
        files = [
            pathlib.Path(shard) for split in sorted(source.splits) for shard in source.list_shards(split)
        ]
        described += [
            (str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()
        ]
    else:
        read += [value for value in vars(source).values() if callable(value)]
    notices.warn_of_unnoticed(f'the SeqIO task {name!r}', 'after one, build it again with --rebuild', *read)
    features = {key: feature_settings(feature) for key, feature in found.output_features.items()}
    return fingerprints.of(name, described, found.preprocessors, kept_fields, features)


def feature_settings(feature: Any) -> list[Any]:
    """Return what decides a SeqIO feature, as values that are the same in every process.

    SeqIO's text of a feature is not: it holds the vocabulary's address in memory. Of the vocabulary, the
    class and its plain settings are taken; None may stand for what is loaded at the first use, and does not
    count.
    """
    settings = {field.name: getattr(feature, field.name) for field in dataclasses.fields(feature)}
    vocabulary = settings.pop('vocabulary')
    plain = {
        key: value
        for key, value in sorted(vars(vocabulary).items())
        if isinstance(value, str | bytes | int | float | list | tuple)
    }
    dtype = np.dtype(getattr(feature.dtype, 'as_numpy_dtype', feature.dtype)).name
    return [type(feature), settings | {'dtype': dtype}, type(vocabulary), plain]
