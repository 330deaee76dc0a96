"""Soft prompts in files of google-research/prompt-tuning and its T5X: numpy arrays [P, D], one a prompt.

A checkpoint of a prompt is a file `NAME.npy`, a folder of such files, or what prompt tuning in T5X wrote:
`numpy_checkpoints/checkpoint_N/encoder.prompt.prompt.prompt`, of which the last is taken, or a checkpoint
with the prompt among the parameters, `encoder/prompt/prompt/prompt`, beside those of its model or without.
"""

import contextlib
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from flanlite.model import adapters, models
from flanlite.model.adapters import PART
from flanlite.model.models import ModelConfig
from flanlite.model.soft_prompt import ONE, SoftPrompt
from flanlite.reading import check_ordinary, foreign
from flanlite.training import checkpoints, lazy, released
from flanlite.training.lazy import LazyArray
from flanlite.training.released import T5X_PROMPT
from flanlite.writing import whole_file, whole_folder

SUFFIX = '.npy'
T5X_FILE = T5X_PROMPT.replace('/', '.')
T5X_FOLDER = 'numpy_checkpoints'
T5X_STEP = re.compile(r'checkpoint_([0-9]{1,18})')  # others are backups and what was not finished
OTHERS = (checkpoints.FOLDER, released.CONFIG_FILE)  # in folders that are checkpoints of other kinds


def files_of(path: pathlib.Path) -> dict[str, pathlib.Path]:
    """Find the prompts of a path by their names; none where it holds none."""
    if path.suffix == SUFFIX or path.name == T5X_FILE:
        return {ONE: path} if path.is_file() else {}
    if (path / T5X_FILE).is_file():
        return {ONE: path / T5X_FILE}
    saved = [
        (int(number[1]), child / T5X_FILE)
        for child in (path / T5X_FOLDER).glob('checkpoint_*')
        if (number := T5X_STEP.fullmatch(child.name)) and (child / T5X_FILE).is_file()
    ]
    if saved:
        return {ONE: max(saved)[1]}
    if any((path / name).exists() for name in OTHERS):
        return {}
    return {file.stem: file for file in sorted(path.glob(f'*{SUFFIX}')) if file.is_file()}


def in_t5x(path: pathlib.Path, part: str = T5X_PROMPT) -> LazyArray | None:
    """Find a soft prompt among the parameters of T5X's checkpoint at a path, or another parameter."""
    if (path / released.CONFIG_FILE).is_file() or not (found := released.find_t5x(path)):
        return None
    folder, name = part.rsplit('/', 1)
    with foreign(found[0]):
        return dict(found[1](f'target/{folder}')).get(name)


def holds(path: pathlib.Path) -> bool:
    """Return whether there is a soft prompt at a path."""
    return bool(files_of(path)) or in_t5x(path) is not None


def base_of(path: pathlib.Path) -> str:
    """Return the model that a prompt names as its base: T5X's checkpoint that has both. Files of numpy name
    none.
    """
    return '(not named)' if in_t5x(path, 'token_embedder/embedding') is None else str(path)


def read(path: pathlib.Path, config: ModelConfig) -> tuple[SoftPrompt, dict[str, LazyArray]]:
    """Read the prompts of a path.

    Args:
        path: see the module.
        config: the model's that they belong to.

    Returns:
        The adapter, and its parameters by our names.

    Raises:
        ValueError: one is no such array, or of another model, or they differ in length.
    """
    found = {name: read_file(file) for name, file in files_of(path).items()}
    if not found:
        found = {ONE: check_rows(in_t5x(path).to_numpy(), path)}
    return as_adapter(found, config, path)


def read_file(file: pathlib.Path) -> np.ndarray:
    """Read the prompt of a file of numpy, [P, D]; a `ValueError` names the file where it holds none."""
    check_ordinary(file)
    try:
        found = np.load(file, allow_pickle=False)
    except Exception as error:  # of many types, such as zipfile's and tokenize's
        raise ValueError(f'{file} is no array of numpy: {" ".join(str(error).split())}') from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f'{file} holds several arrays; expected one of numpy, *.npy')
    return check_rows(found, file)


def check_rows(rows_PD: np.ndarray, path: pathlib.Path) -> np.ndarray:
    """Return a prompt's rows in float32; a `ValueError` names where they lie if they are none."""
    rows = rows_PD.ndim == 2 and len(rows_PD) > 0 and jnp.issubdtype(rows_PD.dtype, jnp.floating)
    with np.errstate(over='ignore'):
        found = rows_PD.astype(np.float32) if rows else None
    if found is None or not np.isfinite(found).all():
        raise ValueError(
            f'{path} holds {rows_PD.dtype}{list(rows_PD.shape)}; expected finite numbers [length, width] in '
            'float32'
        )
    return found


def as_adapter(
    prompts: Mapping[str, np.ndarray], config: ModelConfig, path: pathlib.Path
) -> tuple[SoftPrompt, dict[str, LazyArray]]:
    """Make an adapter of prompts; see `read`.

    Args:
        prompts: arrays [P, D] by their names.
        config: the model's that they belong to.
        path: where they come from, for the error.
    """
    table, width = place_of(config)
    if widths := {rows_PD.shape[1] for rows_PD in prompts.values()} - {width}:
        raise ValueError(
            f'{path} holds a prompt of width {widths.pop()}, and the embeddings of the model have {width}; '
            'expected a prompt of this model'
        )
    lengths = {len(rows_PD) for rows_PD in prompts.values()}
    if len(lengths) > 1:
        raise ValueError(f'the prompts of {path} have {sorted(lengths)} rows; expected as many in all')
    adapter = SoftPrompt(length=lengths.pop(), tasks=() if list(prompts) == [ONE] else tuple(prompts))
    return adapter, {
        f'{table}/{PART}/prompts/{name}': lazy.from_numpy(rows_PD) for name, rows_PD in prompts.items()
    }


def place_of(config: ModelConfig) -> tuple[str, int]:
    """Return the name of a model's table of embeddings that prompts belong to, and its width."""
    params = models.abstract_params(config.replace(adapter=SoftPrompt(length=1)))
    (path, rows_PD), *_ = traverse_util.flatten_dict(adapters.parts(params)[1]).items()
    return '/'.join(path[: path.index(PART)]), rows_PD.shape[1]


def write(path: pathlib.Path, prompts: Mapping[str, Any]) -> None:
    """Write prompts: one as a file, where the path is of one, else each into a folder.

    Args:
        path: a file *.npy, or a folder.
        prompts: arrays [P, D] by their names.

    Raises:
        ValueError: there is no prompt, or several for a file; or something is in the way.
    """
    if not prompts:
        raise ValueError('the checkpoint has no soft prompt; expected that of a SoftPrompt')
    if path.suffix == SUFFIX and len(prompts) > 1:
        raise ValueError(
            f'{path} is a file, and there are {len(prompts)} prompts, {", ".join(prompts)}; name a folder'
        )
    with contextlib.ExitStack() as stack:
        folder = None if path.suffix == SUFFIX else stack.enter_context(whole_folder(path))
        for name, rows_PD in prompts.items():
            file = path if folder is None else folder / f'{name}{SUFFIX}'
            with whole_file(file, 'wb') as sink:
                np.save(sink, np.asarray(rows_PD, np.float32))
