"""A look at what a mixture is made of: rendered examples, and the batches that training reads."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from flanlite.data.batches.batches import TrainBatches
from flanlite.data.cache import cache
from flanlite.data.cache.cache import CacheReport
from flanlite.data.cache.view import BuildOptions, view_of
from flanlite.data.config import DataConfig
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import MixtureConfig
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.data.training_data import TrainingData


def examples(
    mixture: MixtureConfig | str,
    split: str = 'train',
    count: int = 1,
    *,
    vocabulary: str | None = None,
    feature_lengths: Mapping[str, int] | None = None,
    style: str = 'instructions',
    options: BuildOptions = BuildOptions(),
) -> list[dict[str, Any]]:
    """Render the first examples of each task of a mixture.

    Args:
        mixture: its settings, or its name alone.
        split: train, validation or test.
        count: how many examples of each task.
        vocabulary: a name for `vocabularies.load`; by default the mixture's own.
        feature_lengths: {'inputs': S, 'targets': T}, of which few-shot inputs depend on S; nothing is cut.
        style: see `specs.STYLES`.
        options: how the cache is built, where it lacks the mixture.

    Returns:
        A dictionary an example: task, source, row, template, the texts `inputs` and `targets`, options,
            answers, shots, the setting of a prompt mix and the form of the options, and the token ids
        `input_tokens` and `target_tokens`. `pandas.DataFrame` takes the list as it is.

    Raises:
        ValueError: a mixture or split that does not exist, or of which nothing can be read.
    """
    mixed = mixtures.resolve(mixture, options.data_dir)
    loaded = vocabularies.load(vocabulary or mixed.vocabulary, data_dir=options.data_dir)
    named = [entry.task for entry in mixed.entries]
    tasks = [task for task in named if (spec := registry.find_spec(task)) is None or spec.splits.get(split)]
    report = cache.ensure(tasks, view_of(mixed, split, loaded, feature_lengths, style), options)
    if not report.splits:
        reasons = (
            '; '.join(f'{task}: {reason}' for task, reason in report.skipped.items())
            or f'it has no {split} split'
        )
        raise ValueError(f'nothing of {mixed.name!r} can be shown: {reasons}')
    return list(rendered(report, loaded, count))


def rendered(report: CacheReport, vocabulary: Vocabulary, count: int) -> Iterator[dict[str, Any]]:
    """Yield the first examples of each cached split, as `examples` returns them."""
    for name, split in report.splits.items():
        for example in split.examples(limit=count):
            yield {
                'task': name, 'source': split.manifest['source'],
                'row': example.row, 'template': example.template,
                'inputs': vocabulary.decode_inputs(example.inputs),
                'targets': vocabulary.decode(example.targets),
                'options': list(example.options), 'answers': list(example.answers), 'shots': example.shots,
                'setting': example.setting, 'form': example.form,
                'input_tokens': example.inputs.tolist(), 'target_tokens': example.targets.tolist(),
            }  # fmt: skip


def batches(config: DataConfig, seed: int = 0, converter: str = 'encoder_decoder') -> TrainBatches:
    """Open the endless batches that a run with these settings trains on, all rows of each.

    Args:
        config: the mixture, and how it becomes batches.
        seed: of the order, as that of the run.
        converter: how examples are laid out, as `T5Config.converter` and `DecoderOnlyConfig.converter` name
            it.

    Returns:
        An iterator of dictionaries by SeqIO's keys: int32[batch_size, length], `decoder_loss_weights`
            float32.

    Raises:
        ValueError: settings that do not work, or a mixture of which nothing can be read.
    """
    return TrainingData.resolve(config, seed, converter).build().batches()


def texts(
    batch: Mapping[str, np.ndarray], vocabulary: str | Vocabulary, data_dir: str | None = None
) -> list[dict[str, list[str]]]:
    """Write the examples that share each row of a packed batch as text, by side: {'inputs': [...], 'targets':
    [...]}.

    Args:
        batch: what `batches` yields.
        vocabulary: the vocabulary, or what `vocabularies.load` takes.
        data_dir: the folder of local data, where T5's vocabulary may lie; by default that of
            FLANLITE_DATA_DIR.
    """
    loaded = vocabularies.load(vocabulary, data_dir)
    sides = {
        'inputs': ('encoder_input_tokens', 'encoder_segment_ids'),
        'targets': ('decoder_target_tokens', 'decoder_segment_ids'),
    }
    rows: list[dict[str, list[str]]] = []
    for row in range(len(batch['decoder_target_tokens'])):
        rows.append({})
        for side, (tokens, segments) in sides.items():
            if tokens in batch:
                ids = batch[segments][row]
                decode = loaded.decode_inputs if side == 'inputs' else loaded.decode
                rows[-1][side] = [
                    decode(batch[tokens][row][ids == each]) for each in range(1, int(ids.max(initial=0)) + 1)
                ]
    return rows
