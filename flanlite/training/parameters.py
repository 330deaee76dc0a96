"""Load parameters from a run, a parameter file, or a checkpoint of T5X or Hugging Face, and save them."""

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from flanlite import reading
from flanlite.config import to_json
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import NO_INPUT_EOS, Vocabulary
from flanlite.mesh.partitioning import parameter_name
from flanlite.model import adapters, kinds
from flanlite.model.models import ModelConfig
from flanlite.model.soft_prompt import SoftTokens
from flanlite.training import checkpoints, interop, lazy, merged, released
from flanlite.training.base import check_base, find_base
from flanlite.training.checkpoints import Tree
from flanlite.training.fit import abstract_params, check_shapes
from flanlite.training.interop import LazyArrays
from flanlite.training.lazy import LazyArray
from flanlite.training.locate import (
    FLAN_LENGTHS,
    SUFFIX,
    file_metadata,
    find_foreign,
    find_released,
    find_run,
    locate,
    recorded_base,
    said,
)
from flanlite.training.state import TrainState, like

T5_VOCAB = 32128
NO_VOCABULARY = (
    '{} does not come with its vocabulary; name it: --vocabulary (VOCABULARY, vocabulary=...), a name, or '
    'the path of a SentencePiece model or of a Hugging Face folder'
)


class Known(NamedTuple):
    """What a checkpoint says of its model.

    Args:
        config: the model's; of a T5X checkpoint some fields are only likely, see `interop.infer_config`.
        vocabulary: name for `vocabularies.load`, or None if it is not said.
        fingerprint: of the vocabulary, or None if it is not said.
        feature_lengths: tokens of inputs and targets in training, FLAN's if they are not said.
        step: number of training steps.
        inferred: the fields of `config` that are only likely.
    """

    config: ModelConfig
    vocabulary: str | None
    fingerprint: str | None
    feature_lengths: dict[str, int]
    step: int
    inferred: tuple[str, ...] = ()

    def usual_vocabulary(self) -> str | None:
        """Return the vocabulary, or T5's where none is said and the number of embeddings is T5's."""
        return self.vocabulary or ('t5' if self.config.vocab_size == T5_VOCAB else None)


class Run(NamedTuple):
    """A trained model with what evaluation needs: its config and parameters, the name of its vocabulary or
    None, the lengths in training, and the number of training steps; see `Known`.
    """

    config: ModelConfig
    params: Tree
    vocabulary: str | None
    feature_lengths: dict[str, int]
    step: int


def describe(path: str | os.PathLike[str], base: str | None = None) -> Known:
    """Read what a checkpoint says of its model, without its parameters.

    Args:
        path: as for `load_params`.
        base: as for `load_params`.

    Raises:
        ValueError: there is no checkpoint, or it cannot be read; or a base is named of what is no adapter.
    """
    with reading.foreign(path):
        known = _describe(locate(path), base)
    if base and known.config.adapter is None:
        raise ValueError(f'{path} is no adapter, so it has no base; leave out {base}')
    return known


def _describe(path: pathlib.Path, base: str | None) -> Known:
    if foreign := find_foreign(path):
        where = find_base(foreign.base_of(path), base)
        with reading.foreign(where):
            known = _describe_whole(locate(where))
        config = known.config.replace(adapter=foreign.read(path, known.config)[0])
        lengths = dict(known.feature_lengths)
        if isinstance(config.adapter, SoftTokens):  # it was trained beside inputs of the model's length
            lengths['inputs'] += config.adapter.length
        return known._replace(config=config, feature_lengths=lengths)
    return _describe_whole(path)


def _describe_whole(path: pathlib.Path) -> Known:
    if ours := find_run(path):
        manifest = ours.checkpoints.manifest(ours.step)
        vocabulary, lengths = manifest['vocabulary'], manifest['feature_lengths']
        config = kinds.config_from_fields(manifest['model'])
        return Known(config, vocabulary['name'], vocabulary['fingerprint'], lengths, ours.step)
    if path.suffix == SUFFIX:
        found = file_metadata(path)
        config = kinds.config_from_fields(found['config'])
        return Known(config, found['vocabulary'], None, found['feature_lengths'], found['step'] or 0)
    other = find_released(path)
    return Known(other.config, other.vocabulary, None, FLAN_LENGTHS, other.step, other.inferred)


def load_vocabulary(
    path: str | os.PathLike[str],
    named: str | None = None,
    data_dir: str | None = None,
    *,
    like: str | None = None,
    other: bool = False,
    base: str | None = None,
) -> Vocabulary | None:
    """Load the vocabulary that a checkpoint was trained with.

    Args:
        path: as for `load_params`.
        named: what is asked for, by a name for `vocabularies.load`; by default what the checkpoint says.
        data_dir: the folder of local data, where T5's vocabulary may lie; by default that of
            FLANLITE_DATA_DIR.
        like: the name of a vocabulary that says whether inputs end with EOS; by default the checkpoint's.
        other: take what is named even if its ids mean other text than the checkpoint's.
        base: as for `load_params`.

    Returns:
        The vocabulary; None where none is named and the checkpoint says none.

    Raises:
        ValueError: there is no such vocabulary, or its ids mean other text.
    """
    known = describe(path, base)
    name = named or known.usual_vocabulary()
    if name is None:
        return None
    if not named and like:
        name = vocabularies.with_input_eos_of(name, like)
    loaded = vocabularies.load(name, data_dir)
    if named and known.vocabulary and not other:
        check_same(path, known, loaded, data_dir)
    return loaded


def check_same(
    path: str | os.PathLike[str], known: Known, loaded: Vocabulary, data_dir: str | None = None
) -> None:
    """Raise a `ValueError` if a vocabulary's ids mean other text than those of a checkpoint.

    Args:
        path: of the checkpoint, for the error.
        known: what it says; its vocabulary is compared piece by piece, or by its fingerprint where it is no
            longer where it was.
        loaded: the vocabulary.
        data_dir: where T5's vocabulary may lie.
    """
    why = differs(known, loaded, data_dir)
    if why is None:
        return
    raise ValueError(
        f'{path} was trained with the vocabulary {known.vocabulary!r}{why}, and {loaded.name!r} is asked '
        'for, whose ids mean other text to it; leave VOCABULARY (--vocabulary, vocabulary=...) out to have '
        "its own (SeqIO's tasks bring theirs: register them with it, or train from random weights), "
        'or train with another on purpose: TrainConfig.other_vocabulary = True'
    )


def differs(known: Known, loaded: Vocabulary, data_dir: str | None = None) -> str | None:
    """Return None if a vocabulary's ids mean the same text as those of a checkpoint, else why that cannot be
    compared, or an empty text; see `check_same`.
    """
    ending = NO_INPUT_EOS
    if (known.fingerprint or '').removesuffix(ending) == loaded.fingerprint().removesuffix(ending):
        return None
    try:
        same = vocabularies.load(known.vocabulary, data_dir).own_pieces() == loaded.own_pieces()
    except ValueError as error:
        return f' (which cannot be compared: {error})'
    return None if same else ''


def load_params(
    path: str | os.PathLike[str],
    config: ModelConfig,
    shardings: Tree | None = None,
    base: str | None = None,
    dtype: str = 'float32',
) -> Tree:
    """Load a model's parameters; each process reads only what its devices hold.

    Where the checkpoint is an adapter's, the model that it belongs to is loaded with it.

    Args:
        path: a run's folder (meaning its last checkpoint) or one of its checkpoints, both with `/ema` at the
            end for the moving average of the parameters; a file that `save_params` wrote; a T5X checkpoint;
            a Hugging Face folder, a PEFT folder, or soft prompts. See `locate`, `soft_prompts`.
        config: must fit the parameters; dropout and the dtype of activations may differ from those in
            training.
        shardings: tree of shardings; by default everything goes to this process's first device.
        base: where the model that an adapter belongs to lies; by default where it was in training.
        dtype: of the parameters; an adapter's are float32, and its config says the others'.

    Raises:
        ValueError: there is no checkpoint, or it does not fit the config, or the base is another model.
    """
    path = locate(path)
    if config.adapter is not None:
        own, record = load_adapter(path, config, shardings)
        return adapters.put_together(load_base(record, config, shardings, base), own)
    if ours := find_run(path):
        return ours.checkpoints.restore_params(ours.step, config, shardings, ours.item, dtype)
    if path.suffix == SUFFIX:
        tensors, saved = dict(released.safetensors_arrays(path)), file_metadata(path)['config']
        return place_params(tensors, config, shardings, saved, path, dtype)
    other = find_released(path)
    return place_params(other.params, config, shardings, said(other), path, dtype)


def open_arrays(path: str | os.PathLike[str], config: ModelConfig) -> LazyArrays:
    """List a checkpoint's parameters by our names, without reading them; of an adapter's, only the adapter's.

    Args:
        path: as for `load_params`.
        config: must fit the parameters.

    Raises:
        ValueError: there is no checkpoint, or it does not fit the config.
    """
    path = locate(path)
    # T5X's checkpoint may have a model and a soft prompt.
    if config.adapter is not None and (foreign := find_foreign(path)):
        adapter, arrays = foreign.read(path, config.replace(adapter=None))
        saved = {'adapter': to_json(adapter)}
    elif ours := find_run(path):
        folder = ours.checkpoints.item_folder(ours.step, ours.item)
        arrays = lazy.one_at_a_time(dict(released.orbax_arrays(folder, '')))
        saved = ours.checkpoints.manifest(ours.step)['model']
    elif path.suffix == SUFFIX:
        arrays, saved = dict(released.safetensors_arrays(path)), file_metadata(path)['config']
    else:
        other = find_released(path)
        arrays, saved = dict(other.params), said(other)
        if other.state:  # T5X's, through tensorstore
            arrays = lazy.one_at_a_time(arrays)
    expected = abstract_params(config)
    expected = adapters.parts(expected)[1] if config.adapter else expected
    found = {name: array.shape for name, array in arrays.items()}
    check_shapes(found, expected, config, saved, str(path))
    return arrays


def open_model(path: str | os.PathLike[str], config: ModelConfig, base: str | None = None) -> LazyArrays:
    """List a model's parameters by our names, without reading them; an adapter is merged into its base.

    Args:
        path: as for `load_params`.
        config: must fit the parameters.
        base: as for `load_params`.

    Raises:
        ValueError: there is no checkpoint, or it does not fit the config, or the base is another model.
    """
    arrays = open_arrays(path, config)
    if config.adapter is None:
        return arrays
    record = recorded_base(path)
    where = find_base(record['path'], base)
    own = open_model(where, config.replace(adapter=None))
    check_base(record, own, where)
    return merged.merge(config.adapter, own, arrays)


def load_adapter(
    path: str | os.PathLike[str], config: ModelConfig, shardings: Tree | None = None
) -> tuple[Tree, dict[str, str]]:
    """Load the parameters of an adapter alone, and what it says of its base; see `load_params`."""
    path, record = locate(path), recorded_base(path)
    if not record:
        raise ValueError(f'{path} is no adapter; expected one that fits {config.adapter}')
    if foreign := find_foreign(path):
        adapter, tensors = foreign.read(path, config.replace(adapter=None))
        return place_params(tensors, config, shardings, {'adapter': to_json(adapter)}, path), record
    ours = find_run(path)
    return ours.checkpoints.restore_params(ours.step, config, shardings, ours.item), record


def adapt(path: str | os.PathLike[str], config: ModelConfig, params: Tree) -> tuple[ModelConfig, Tree]:
    """Put an adapter beside a model that is loaded already, in place of its own if it has one; the arrays of
    the model are shared, not copied.

    Args:
        path: the adapter's, as for `load_params`.
        config: the model's.
        params: the model's parameters.

    Returns:
        The config and parameters with the adapter.

    Raises:
        ValueError: there is no adapter, or it belongs to another model.
    """
    path, bare = locate(path), config.replace(adapter=None)
    if form := find_foreign(path):
        with reading.foreign(path):
            adapter = form.read(path, bare)[0]
    elif (adapter := describe(path).config.adapter) is None:
        raise ValueError(f'{path} is no adapter; expected one of a {type(config).__name__}')
    config, base = bare.replace(adapter=adapter), adapters.parts(params)[0]
    own, record = load_adapter(path, config)
    check_base(record, base, 'the model that is loaded')
    base = jax.tree.map(lambda leaf: leaf.astype(adapter.base_dtype), base)
    return config, adapters.put_together(base, own)


def restore(
    saved: checkpoints.Checkpoints,
    step: int,
    abstract: TrainState,
    config: ModelConfig,
    base: str | None = None,
) -> checkpoints.Restored:
    """Restore a checkpoint of a run; where it is an adapter's, with the model that it belongs to.

    Args:
        saved: the run's checkpoints.
        step: the checkpoint's.
        abstract: shapes, dtypes and shardings of the state.
        config: the model's.
        base: as for `load_params`.

    Raises:
        ValueError: the checkpoint is of another model or optimizer, or the base is another model.
    """
    restored = saved.restore(step, abstract, config)
    if config.adapter is None:
        return restored
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract.whole())
    own = load_base(saved.manifest(step)['base'], config, shardings, base)
    frozen = like(abstract.frozen, adapters.put_together(restored.state.whole(), own))
    return restored._replace(state=restored.state._replace(frozen=frozen))


def load_base(
    record: Mapping[str, str], config: ModelConfig, shardings: Tree | None = None, moved: str | None = None
) -> Tree:
    """Load the parameters of the model that an adapter belongs to.

    Args:
        record: the adapter's record of it, `path` and `fingerprint`, which is None where it is not known.
        config: the model's, with the adapter.
        shardings: tree of shardings, the adapter's among them.
        moved: where it lies now; by default where it was.

    Raises:
        ValueError: it is not there, or is another model.
    """
    path = find_base(record['path'], moved)
    own = None if shardings is None else adapters.parts(shardings)[0]
    found = load_params(path, config.replace(adapter=None), own, dtype=config.adapter.base_dtype)
    check_base(record, found, path)
    return found


def load_state(path: str | os.PathLike[str], config: ModelConfig, abstract: TrainState) -> TrainState:
    """Load the train state of a run of flanlite, or of T5X with Adafactor, to continue it.

    T5X has no moving average of the parameters; if one is wanted, it begins with the loaded parameters.

    Args:
        path: as for `load_params`.
        config: must fit the parameters.
        abstract: shapes, dtypes and shardings of the state, for the optimizer of the new run.

    Raises:
        ValueError: there is no optimizer state, or it is another optimizer's.
    """
    path = locate(path)
    if ours := find_run(path):
        if ours.item == checkpoints.EMA:
            raise ValueError(
                f'{path} is an average of parameters, which has no optimizer state; name the run, or set '
                'TrainConfig.restore_optimizer=False'
            )
        return restore(ours.checkpoints, ours.step, abstract, config).state
    other = find_released(path) if path.suffix != SUFFIX else None
    if other is None or other.state is None:
        raise ValueError(
            f'{path} holds no optimizer state; expected a run of flanlite or T5X, or '
            'TrainConfig.restore_optimizer=False'
        )
    moments = interop.adafactor_state(other.state(), other.step, abstract.opt_state)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract.whole())
    whole = place_params(other.params, config, shardings, said(other), path)
    params = like(abstract.params, whole)
    step = place_array(lazy.from_numpy(np.int32(other.step)), abstract.step)
    ema = None if abstract.ema is None else jax.tree.map(jnp.copy, params)
    opt_state = jax.tree.map(place_array, moments, abstract.opt_state)
    return TrainState(step, params, opt_state, ema, like(abstract.frozen, whole))


def load_run(
    path: str | os.PathLike[str],
    config: ModelConfig | None = None,
    base: str | None = None,
    **config_changes: Any,
) -> Run:
    """Load a model with the config, vocabulary and lengths that it was trained with.

    Args:
        path: as for `load_params`.
        config: instead of the checkpoint's. A T5X checkpoint's is inferred from shapes, which do not tell the
            activations.
        base: as for `load_params`.
        config_changes: fields of the config to replace, such as `dtype`.

    Raises:
        ValueError: there is no checkpoint, or it does not fit the config.
    """
    known = describe(path, base)
    config = kinds.replace_fields(config or known.config, config_changes)
    params = load_params(path, config, base=base)
    return Run(config, params, known.usual_vocabulary(), known.feature_lengths, known.step)


def place_params(
    arrays: Mapping[str, LazyArray],
    config: ModelConfig,
    shardings: Tree | None,
    saved_config: Mapping[str, Any],
    source: pathlib.Path,
    dtype: str = 'float32',
) -> Tree:
    """Put a model's parameters onto devices; of a model with an adapter, only the adapter's.

    Args:
        arrays: by our names.
        config: the model's.
        shardings: tree of shardings; by default everything goes to this process's first device.
        saved_config: fields of the config that the parameters were saved with, for the error.
        source: names the checkpoint, for the error.
        dtype: of the parameters.

    Raises:
        ValueError: the parameters do not fit the config.
    """
    abstract = abstract_params(config, shardings, dtype)
    abstract = adapters.parts(abstract)[1] if config.adapter else abstract
    check_shapes(
        {name: array.shape for name, array in arrays.items()}, abstract, config, saved_config, str(source)
    )

    return jax.tree_util.tree_map_with_path(
        lambda tree_path, leaf: place_array(arrays[parameter_name(tree_path)], leaf), abstract
    )


def place_array(array: LazyArray, leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """Put an array onto devices with the shape, dtype and sharding of `leaf`; a part that several devices
    hold is read once.
    """
    pieces: dict[Any, np.ndarray] = {}

    def piece(index: tuple[slice, ...]) -> np.ndarray:
        key = tuple((part.start, part.stop) for part in index)
        if key not in pieces:
            pieces[key] = np.asarray(array.read(index)).astype(leaf.dtype)
        return pieces[key]

    return jax.make_array_from_callback(leaf.shape, leaf.sharding, piece)


def save_params(
    path: str | os.PathLike[str],
    params: Tree,
    config: ModelConfig,
    *,
    dtype: str = 'bfloat16',
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write parameters as one safetensors file, with the config and `metadata` as JSON in its header.

    Args:
        path: ends in .safetensors.
        params: a nested dict; the names of tensors join its keys with '/'.
        config: the model's.
        dtype: of the tensors, 'bfloat16' or 'float32'.
        metadata: `vocabulary`, `feature_lengths`, `step`, and anything else that JSON can hold.

    Raises:
        ValueError: another ending or dtype.
    """
    flat = traverse_util.flatten_dict(params, sep='/')
    save_arrays(
        path, {name: lazy.from_numpy(array) for name, array in flat.items()}, config, dtype, metadata or {}
    )


def save_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, LazyArray],
    config: ModelConfig,
    dtype: str,
    metadata: Mapping[str, Any],
) -> None:
    """Write what `save_params` writes, of lazy arrays by our names; one is in memory at a time."""
    path = pathlib.Path(path)
    if path.suffix != SUFFIX or dtype not in ('bfloat16', 'float32'):
        raise ValueError(
            f'expected a file *{SUFFIX} and the dtype bfloat16 or float32, got {path.name} and {dtype!r}'
        )
    described = {'config': kinds.fields_of(config), **metadata}
    texts = {name: json.dumps(value) for name, value in described.items()}
    released.write_tensors(path, arrays, texts, dtype)
