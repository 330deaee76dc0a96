"""Read checkpoints of T5X (msgpack and tensorstore, or Orbax) and of Hugging Face without their libraries;
write Hugging Face's.

Opening a checkpoint reads names and shapes only. Parameters are lazy arrays: a part of one is read when it is
asked for (see `lazy`).
"""

import contextlib
import functools
import json
import math
import os
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import tensorstore
from flax import serialization
from safetensors import safe_open

from flanlite import limits, reading
from flanlite.config import shown
from flanlite.data.tokens import tokenizer_json, vocabularies
from flanlite.data.tokens.tokenizer_json import read_json
from flanlite.data.tokens.vocabulary import EOS_ID, SentencePieceVocabulary, TokenizerVocabulary, Vocabulary
from flanlite.model.models import ModelConfig
from flanlite.model.rotary import RotaryConfig
from flanlite.progress import progress_bar
from flanlite.reading import foreign
from flanlite.training import huggingface, huggingface_config, interop, lazy
from flanlite.training.checkpoints import check_backslash
from flanlite.training.interop import LazyArrays
from flanlite.training.lazy import Index, LazyArray
from flanlite.writing import check_new, whole_file, whole_folder

CONFIG_FILE = 'config.json'
WEIGHTS_FILE, INDEX_FILE = 'model.safetensors', 'model.safetensors.index.json'
SHARD = 'model{}.safetensors'
SHARD_BYTES = 5 * 2**30
GENERATION_FILE = 'generation_config.json'
TOKENIZER_FILE = vocabularies.SPIECE_FILE
TOKENIZER_CONFIG_FILE = 'tokenizer_config.json'
# What a folder's tokenizer consists of, beside a SentencePiece model.
TOKENIZER_FILES = (tokenizer_json.FILE, *tokenizer_json.NAMED_IN, 'chat_template.jinja')
T5X_FILE = 'checkpoint'  # legacy T5X: msgpack, with tensorstore specs for the large arrays
ORBAX_FOLDER = 'state'
T5X_PROMPT = 'encoder/prompt/prompt/prompt'  # of google-research/prompt-tuning, among the parameters
ListArrays = Callable[[str], Iterator[tuple[str, LazyArray]]]
KINDS = (
    "a folder of Hugging Face's (config.json, *.safetensors), of PEFT (adapter_config.json), or T5X's "
    '(checkpoint_STEP with `checkpoint` or state/)'
)


class Released(NamedTuple):
    """A checkpoint that another library wrote.

    Args:
        config: from its files, or inferred from the shapes of its parameters; activations are float32.
        params: arrays by our names.
        vocabulary: name for `vocabularies.load`; None if it comes without one.
        step: of its training, 0 if that is not known.
        state: reads the state of T5X's Adafactor, by T5X's names; None if there is no such state.
        inferred: the fields of `config` that are only likely.
    """

    config: ModelConfig
    params: LazyArrays
    vocabulary: str | None
    step: int
    state: Callable[[], LazyArrays] | None = None
    inferred: tuple[str, ...] = ()


def open_released(path: pathlib.Path) -> Released | None:
    """Open a checkpoint of T5X or Hugging Face.

    Args:
        path: a Hugging Face folder, a T5X checkpoint, or a folder of T5X checkpoints, of which the last is
            opened.

    Returns:
        The checkpoint, or None if there is none at `path`.

    Raises:
        ValueError: there is a checkpoint, but it cannot be read or is not a T5's.
    """
    if (path / CONFIG_FILE).is_file():
        with foreign(path):
            return read_huggingface(path)
    if found := find_t5x(path):
        with foreign(found[0]):
            return read_t5x(*found)
    return None


def find_t5x(path: pathlib.Path) -> tuple[pathlib.Path, ListArrays] | None:
    """Find T5X's checkpoint at a path, or the last one in it.

    Returns:
        Its folder, and what lists names and arrays of a part of it, `target` or `state/param_states`; None if
        there is none.
    """
    steps = [
        (int(child.name[11:]), child)
        for child in path.glob('checkpoint_*')
        if re.fullmatch(r'[0-9]{1,18}', child.name[11:])
    ]
    if steps:
        path = max(steps)[1]
    if (path / T5X_FILE).is_file():
        return path, functools.partial(legacy_arrays, path)
    if (path / ORBAX_FOLDER / 'manifest.ocdbt').is_file():
        return path, functools.partial(orbax_arrays, path / ORBAX_FOLDER)
    return None


def read_t5x(path: pathlib.Path, arrays: ListArrays) -> Released:
    """Read a T5X checkpoint; a soft prompt in it is no part of the model (see `soft_prompts`).

    Args:
        path: its folder, `checkpoint_STEP`.
        arrays: as `find_t5x` returns it.

    Raises:
        ValueError: there are no parameters, they are not those of a T5, or the path has a backslash.
    """
    check_backslash(path)
    target = dict(arrays('target'))
    if not target:
        raise ValueError(f'{path} has no parameters under `target`; expected a checkpoint of T5X')
    target.pop(T5X_PROMPT, None)
    params = interop.stack_layers(target)
    number = re.fullmatch(r'checkpoint_([0-9]{1,18})', path.name)
    step = int(number[1]) if number else t5x_step(path)
    return Released(
        interop.infer_config(params),
        params,
        None,
        step,
        lambda: dict(arrays('state/param_states')),
        interop.INFERRED,
    )


def t5x_step(path: pathlib.Path) -> int:
    """Read the step of a T5X checkpoint whose folder does not say it; 0 where it holds none."""
    if (path / T5X_FILE).is_file():
        tree = serialization.msgpack_restore((path / T5X_FILE).read_bytes())
        found = tree['optimizer'].get('state', {}).get('step', 0)
    else:
        kept = {'driver': 'ocdbt', 'base': {'driver': 'file', 'path': f'{path / ORBAX_FOLDER}/'}}
        spec = {'driver': 'zarr', 'kvstore': {**kept, 'path': 'state.step/'}}
        try:
            found = tensorstore.open(spec, open=True, read=True).result().read().result()
        except ValueError:  # there is none
            found = 0
    return int(np.asarray(found))


def legacy_arrays(path: pathlib.Path, part: str) -> Iterator[tuple[str, LazyArray]]:
    """List names and arrays of a part of a msgpack checkpoint.

    Small arrays are in the file itself. Large ones lie in folders beside it; the file has a tensorstore spec
    for each.
    """
    try:
        tree = serialization.msgpack_restore((path / T5X_FILE).read_bytes())['optimizer']
    except Exception as error:  # msgpack and flax raise errors of many types
        raise ValueError(f"{path / T5X_FILE} is no checkpoint of T5X's: {error}") from error

    def walk(prefix: str, node: Any) -> Iterator[tuple[str, LazyArray]]:
        if isinstance(node, dict) and 'kvstore' in node:
            name = pathlib.PurePosixPath(node['kvstore']['path']).name
            if name in ('', '..') or node.get('driver', 'zarr') != 'zarr':
                raise ValueError(
                    f'{path / T5X_FILE} has {shown(node)} for the parameter {prefix}; expected an array of '
                    'zarr in a folder beside it'
                )
            folder = path / name
            yield (
                prefix,
                tensorstore_array(
                    {
                        'driver': 'zarr',
                        'kvstore': {'driver': 'file', 'path': str(folder)},
                    },
                    prefix,
                ),
            )
        elif isinstance(node, dict):
            for name, child in node.items():
                yield from walk(f'{prefix}/{name}' if prefix else name, child)
        elif isinstance(node, np.ndarray):
            yield prefix, lazy.from_numpy(node)

    for name in part.split('/'):
        tree = tree.get(name, {}) if isinstance(tree, dict) else {}
    return walk('', tree)


def orbax_arrays(folder: pathlib.Path, part: str) -> Iterator[tuple[str, LazyArray]]:
    """List names and arrays of a part of a folder that Orbax wrote, in tensorstore's OCDBT format; all of it
    where the part is ''.
    """
    prefix = part.replace('/', '.') + '.' if part else ''
    base = {'driver': 'file', 'path': f'{folder}/'}  # no URL, in which `%20`, `#` and `?` mean something
    store = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()
    for key in store.list().result():
        name, _, last = key.decode().rpartition('/')
        if last in ('.zarray', 'zarr.json') and name.startswith(prefix):
            driver = 'zarr' if last == '.zarray' else 'zarr3'
            spec = {
                'driver': driver,
                'kvstore': {'driver': 'ocdbt', 'base': base, 'path': f'{name}/'},
            }
            yield name.removeprefix(prefix).replace('.', '/'), tensorstore_array(spec, name)


def tensorstore_array(spec: Mapping[str, Any], name: str) -> LazyArray:
    """Open a tensorstore array on disk; a `ValueError` names the parameter if it, or a chunk of it, is
    missing or broken, or holds no weights.
    """

    def opened(**more: Any) -> Any:
        with readable(name):
            return tensorstore.open({**spec, **more}, open=True, read=True).result()

    store = opened()
    # A chunk that is not there reads as zeros. Without a value to fill gaps with, none was left out.
    if store.fill_value is None:
        store = opened(fill_missing_data_reads=False)

    def read(index: Index) -> np.ndarray:
        with readable(name):
            part = np.asarray(store[index].read().result())
        return check_weights(part, name, spec['kvstore']['path'])

    return LazyArray(tuple(store.shape), read)


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Raise a `ValueError` that names a parameter if tensorstore cannot read it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f'cannot read the parameter {name}: {str(error).splitlines()[0]}; is the checkpoint complete?'
        ) from error


def check_weights(part: np.ndarray, name: str, source: str | os.PathLike[str]) -> np.ndarray:
    """Return a part of a parameter; raise a `ValueError` if its numbers are no floating-point ones, or some
    are not finite.

    Args:
        part: as it was read.
        name: of the parameter.
        source: where it lies.
    """
    if not jnp.issubdtype(part.dtype, jnp.floating):
        raise ValueError(f'{name} in {source} is of {part.dtype}; expected floating-point weights')
    if bad := int(np.count_nonzero(~np.isfinite(part))):
        raise ValueError(
            f'{name} in {source} has {bad:,} of {part.size:,} numbers that are not finite; expected those of '
            'a whole checkpoint, of a run that did not diverge'
        )
    return part


def read_huggingface(path: pathlib.Path) -> Released:
    """Read a Hugging Face folder: config.json, one or several safetensors files, and the vocabulary if there
    is one.

    Raises:
        ValueError: a file is missing, or the model is none that is known here.
    """
    described = read_json(path / CONFIG_FILE)
    kind = described.get('model_type')
    if kind not in (known := (*interop.MODEL_TYPES, *huggingface_config.MODEL_TYPES)):
        raise ValueError(f'{path / CONFIG_FILE} says model_type {kind!r}; expected one of {", ".join(known)}')
    ours = kind in huggingface_config.MODEL_TYPES
    if not ours:
        interop.check_huggingface(described)
    if (path / WEIGHTS_FILE).is_file():  # as transformers has it, whatever else lies there
        files = [path / WEIGHTS_FILE]
    elif (path / INDEX_FILE).is_file():
        parts = read_json(path / INDEX_FILE).get('weight_map')
        if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
            raise ValueError(
                f'{path / INDEX_FILE} has no weight_map from tensors to files; expected it as '
                'save_pretrained of transformers writes it'
            )
        if outside := [name for name in parts.values() if not limits.is_name(name)]:
            raise ValueError(
                f'{path / INDEX_FILE} names the file {shown(outside[0])}; expected files of its own folder'
            )
        files = sorted({path / name for name in parts.values()})
    else:
        files = sorted(path.glob('*.safetensors'))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        others = sorted(file.name for file in path.iterdir() if file.suffix in ('.bin', '.msgpack', '.h5'))
        found = f'it lacks {missing[0]}' if missing else f'it has {", ".join(others) or "no weights"}'
        raise ValueError(
            f'{path} holds no whole set of safetensors files: {found}; write them with save_pretrained of '
            'transformers, '
            'or download the repository with its .safetensors files'
        )
    tensors: dict[str, LazyArray] = {}
    indexed = (path / INDEX_FILE).is_file()
    for file in files:
        own = dict(safetensors_arrays(file))
        if twice := [name for name in own if name in tensors and not indexed]:
            raise ValueError(
                f'{path} has {twice[0]} in {file.name} and in another file, and neither {WEIGHTS_FILE} nor '
                f'{INDEX_FILE}; expected one of them, or the files of one model'
            )
        tensors |= own
    if ours:
        config = huggingface_config.config_from_huggingface(described)
        params = huggingface.params_from_huggingface(tensors, config)
        return Released(config, params, vocabularies.name_in_folder(path), 0)
    config = interop.config_from_huggingface(described)
    params = interop.from_huggingface(tensors)
    table, kernel = 'token_embedder/embedding', 'decoder/logits_dense/kernel'
    if (
        config.logits_via_embedding and {table, kernel} <= params.keys()
    ):  # some folders hold the tied embedding twice
        told = huggingface.difference('shared.weight', 'lm_head.weight', tied=False)
        params[table] = lazy.same(params[table], lazy.transpose(params.pop(kernel)), told)
    elif not config.logits_via_embedding and table in params:
        # Some hold it once where it serves for unscaled logits, too.
        params.setdefault(kernel, lazy.transpose(params[table]))
    return Released(config, params, vocabularies.name_in_folder(path), 0)


def safetensors_arrays(path: pathlib.Path) -> Iterator[tuple[str, LazyArray]]:
    """List names and tensors of a safetensors file."""
    with open_safetensors(path) as file:
        with path.open('rb') as content:  # of a name that is there twice, safetensors takes the last
            reading.parse_json(content.read(int.from_bytes(content.read(8), 'little')).decode(), str(path))
        for name in file.keys():  # noqa: SIM118 (the file is no mapping)
            yield (
                name,
                LazyArray(tuple(file.get_slice(name).get_shape()), functools.partial(read_slice, path, name)),
            )


def read_slice(path: pathlib.Path, name: str, index: Index) -> np.ndarray:
    """Read a part of one tensor of a safetensors file; raise a `ValueError` if it holds no weights.

    Args:
        path: the file.
        name: of the tensor.
        index: a slice for each axis.
    """
    with open_safetensors(path) as file:
        try:
            found = file.get_slice(name)[index]
        except Exception as error:  # of types of its own, or of numpy's that there are not
            raise ValueError(f'{path} has a tensor {name} that cannot be read: {error}') from error
    return check_weights(found, name, path)


def open_safetensors(path: pathlib.Path) -> Any:
    """Open a safetensors file; raise a `ValueError` if it is not one."""
    reading.check_ordinary(path)
    try:
        return safe_open(path, framework='numpy')
    except Exception as error:  # safetensors raises an error type of its own, or OSError if there is no file
        raise ValueError(f'{path} is no parameter file: {error}') from error


def write_tensors(
    path: pathlib.Path,
    tensors: Mapping[str, LazyArray],
    metadata: Mapping[str, str],
    dtype: str = 'float32',
) -> None:
    """Write a safetensors file, of which one tensor is in memory at a time; safetensors itself takes all at
    once.

    Args:
        path: of the file.
        tensors: by name, in the order of the file; parts of one array are best beside each other.
        metadata: for the file's header.
        dtype: of the tensors in the file, 'float32' or 'bfloat16'.
    """
    code, item = {'float32': 'F32', 'bfloat16': 'BF16'}[dtype], jnp.dtype(dtype)
    header: dict[str, Any] = {'__metadata__': dict(metadata)} if metadata else {}
    end = 0
    for name in tensors:
        begin, end = end, end + math.prod(tensors[name].shape) * item.itemsize
        header[name] = {'dtype': code, 'shape': [*tensors[name].shape], 'data_offsets': [begin, end]}
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)  # so that the numbers are aligned
    bar = progress_bar(f'writing {path.name}', len(tensors), 'arrays')
    with whole_file(path, 'wb') as file, bar as advance:
        file.write(len(text).to_bytes(8, 'little') + text)
        for name in tensors:
            file.write(np.ascontiguousarray(tensors[name].to_numpy(), item).view(np.uint8).data)
            advance(1)


def write_huggingface(
    path: str | os.PathLike[str],
    config: ModelConfig,
    params: Mapping[str, LazyArray],
    vocabulary: Vocabulary | None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a folder that `transformers.AutoModelForSeq2SeqLM.from_pretrained` reads, in float32.

    One tensor is in memory at a time.

    Args:
        path: the folder, which is new or empty.
        config: the model's.
        params: arrays by our names.
        vocabulary: for the tokenizer's files; None writes none.
        shard_bytes: the most bytes of tensors in a file.

    Raises:
        ValueError: the folder has something in it, or transformers has no such model.
    """
    check_new(path)
    described = config_to_huggingface(config)
    if isinstance(config, RotaryConfig):
        tensors = huggingface.params_to_huggingface(params, config)
    else:
        tensors = interop.to_huggingface(params)
    with whole_folder(path) as folder:
        write_files(folder, config, described, tensors, vocabulary, shard_bytes)


def write_files(
    path: pathlib.Path,
    config: ModelConfig,
    described: Mapping[str, Any],
    tensors: Mapping[str, LazyArray],
    vocabulary: Vocabulary | None,
    shard_bytes: int,
) -> None:
    """Write the files of a Hugging Face folder; see `write_huggingface`.

    Args:
        path: the folder.
        config: the model's.
        described: what its config.json says of it.
        tensors: by transformers' names.
        vocabulary: for the tokenizer's files; None writes none.
        shard_bytes: the most bytes of tensors in a file.
    """
    shards: list[list[str]] = [[]]
    filled = 0
    for name in tensors:
        size = 4 * int(np.prod(tensors[name].shape))
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    names = [
        SHARD.format(f'-{number:05}-of-{len(shards):05}' if len(shards) > 1 else '')
        for number in range(1, len(shards) + 1)
    ]
    for file, members in zip(names, shards, strict=True):
        write_tensors(path / file, {name: tensors[name] for name in members}, {'format': 'pt'})
    if len(shards) > 1:
        total = sum(4 * int(np.prod(value.shape)) for value in tensors.values())
        weight_map = {name: file for file, members in zip(names, shards, strict=True) for name in members}
        (path / INDEX_FILE).write_text(
            json.dumps({'metadata': {'total_size': total}, 'weight_map': weight_map}, indent=1)
        )
    if vocabulary is not None:
        write_tokenizer(path, vocabulary)
    eos_id = EOS_ID if vocabulary is None else vocabulary.eos_id
    ids = {'eos_token_id': eos_id}
    if config.converter == 'encoder_decoder':
        begin_id = getattr(config, 'begin_id', 0)
        ids |= {'decoder_start_token_id': begin_id, 'pad_token_id': 0}
    if vocabulary is not None and vocabulary.bos_id is not None:
        ids['bos_token_id'] = vocabulary.bos_id
    (path / GENERATION_FILE).write_text(json.dumps(ids))
    (path / CONFIG_FILE).write_text(json.dumps(described | ids, indent=1))


def config_to_huggingface(config: ModelConfig) -> dict[str, Any]:
    """Convert a config to the content of a config.json; a `ValueError` where transformers has no such
    model.
    """
    family = huggingface_config if isinstance(config, RotaryConfig) else interop
    return family.config_to_huggingface(config)


def write_tokenizer(path: pathlib.Path, vocabulary: Vocabulary) -> None:
    """Write the tokenizer's files that `transformers.AutoTokenizer` reads."""
    if isinstance(vocabulary, TokenizerVocabulary):
        for name in TOKENIZER_FILES:
            if (file := pathlib.Path(vocabulary.folder) / name).is_file():
                shutil.copyfile(file, path / name)
        return
    described = {
        'extra_ids': vocabulary.extra_ids,
        'eos_token': '</s>',
        'pad_token': '<pad>',
        'unk_token': '<unk>',
    }
    described['tokenizer_class'] = 'ByT5Tokenizer'
    if isinstance(vocabulary, SentencePieceVocabulary):
        described['tokenizer_class'] = 'T5Tokenizer'
        shutil.copyfile(vocabulary.path, path / TOKENIZER_FILE)
    (path / TOKENIZER_CONFIG_FILE).write_text(json.dumps(described, indent=1))
