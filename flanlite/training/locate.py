"""Where a checkpoint lies, which kind it is, and what a run's, or an adapter's, says it was made from."""

import dataclasses
import importlib.resources
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from flanlite.config import check_field
from flanlite.data.batches import batches
from flanlite.data.tokens import vocabularies
from flanlite.limits import Length, Whole
from flanlite.paths import absolute
from flanlite.reading import parse_json
from flanlite.training import peft, released, soft_prompts
from flanlite.training.checkpoints import EMA, FOLDER, Checkpoints

SUFFIX = '.safetensors'
METADATA = {  # of a parameter file
    'config': Mapping[str, Any],
    'vocabulary': str | None,
    'feature_lengths': Mapping[str, Length] | None,
    'step': Whole | None,
}
FOREIGN = (peft, soft_prompts)  # forms of adapters that name no model of their own
# FLAN's (Wei et al. 2021, section 2.4), for checkpoints that do not record lengths.
FLAN_LENGTHS = {
    'inputs': 1024,
    'targets': 256,
}


def recorded_base(path: str | os.PathLike[str]) -> dict[str, str | None] | None:
    """Return what an adapter's checkpoint says of the model that it belongs to, `path` and `fingerprint`,
    which is None where it is not known; None for any other checkpoint.
    """
    if foreign := find_foreign(locate(path)):
        return {'path': foreign.base_of(locate(path)), 'fingerprint': None}
    ours = find_run(locate(path))
    return ours.checkpoints.manifest(ours.step).get('base') if ours else None


def base_path(path: str) -> str:
    """Return the model that an adapter's checkpoint belongs to; any other checkpoint's path as it is."""
    record = recorded_base(path)
    return record['path'] if record else path


def begun_with(path: str | os.PathLike[str]) -> list[str | None]:
    """Return what a run's checkpoint began with, what that one began with, and so on, as far as they say it;
    None at the end stands for random weights.
    """
    found: list[str | None] = []
    while ours := find_run(locate(path)):
        path = ours.checkpoints.manifest(ours.step)['initial_checkpoint_path']
        if path in found:
            break
        found.append(path)
        if path is None:
            break
    return found


def place(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return the folder of the checkpoints of the run that a path means; any other checkpoint's own path."""
    ours = find_run(locate(path))
    return ours.checkpoints.path if ours else locate(path)


def said(other: released.Released) -> dict[str, Any]:
    """Return the fields of a released checkpoint's config that it says itself."""
    fields = dataclasses.asdict(other.config)
    return {name: field for name, field in fields.items() if name not in other.inferred}


def locate(path: str | os.PathLike[str]) -> pathlib.Path:
    """Return the absolute path of a checkpoint, which may be the name of one that comes with flanlite."""
    found = pathlib.Path(absolute(path))
    return found if found.exists() else shipped(path) or found


def shipped(name: str | os.PathLike[str]) -> pathlib.Path | None:
    """Find a file that is installed with flanlite, by a name such as
    `mixtures/pocket/assets/base.safetensors`; None if there is none.
    """
    first, *rest = pathlib.PurePath(name).parts or ('',)
    if first != 'mixtures':
        return None
    found = pathlib.Path(str(importlib.resources.files('flanlite.mixtures').joinpath(*rest)))
    return found if found.is_file() else None


def checkpoint_path(path: str) -> str:
    """Return a checkpoint's absolute path, as settings keep it; the name of one that comes with flanlite
    stays as it is.
    """
    return path if shipped(path) else absolute(path)


def file_metadata(path: pathlib.Path) -> dict[str, Any]:
    """Read the metadata that `save_params` wrote; raise a `ValueError` if there is no config among it."""
    with released.open_safetensors(path) as file:
        found = dict(file.metadata() or {})
    if 'config' not in found:
        beside = peft.CONFIG_FILE if peft.holds(path.parent) else released.CONFIG_FILE
        raise ValueError(
            f'{path} does not say what model it is of; expected a file of flanlite, or the folder that it '
            f'lies in, with {beside}'
        )
    told = {name: parse_json(text, f'{name} in the header of {path}') for name, text in found.items()}
    for name, kind in METADATA.items():
        told[name] = check_field(f'{name} in the header of {path}', told.get(name), kind)
    told['feature_lengths'] = told['feature_lengths'] or FLAN_LENGTHS
    batches.check_lengths(told['feature_lengths'])
    return told


class FoundCheckpoint(NamedTuple):
    """A checkpoint of a run, and the item of it that a path means: `params` or `ema`."""

    checkpoints: Checkpoints
    step: int
    item: str


def find_checkpoint(path: pathlib.Path) -> FoundCheckpoint | None:
    """Find the checkpoint of a run that a path means.

    Args:
        path: a run's folder or its `checkpoints/`, which mean the last checkpoint, or `checkpoints/STEP`.
            With `/ema` at its end, a path means the moving average of the parameters.

    Returns:
        The checkpoint, or None if there is none.
    """
    item = EMA if path.name == EMA and not (path / FOLDER).is_dir() else 'params'
    path = path.parent if item == EMA else path
    step = int(path.name) if path.name.isdigit() and path.parent.name == FOLDER else None
    model_dir = path.parents[1] if step is not None else path.parent if path.name == FOLDER else path
    if (model_dir / FOLDER).is_dir():
        saved = Checkpoints(model_dir)
        step = step if step is not None else saved.latest_step()
        if step is not None and (saved.path / str(step)).is_dir():
            return FoundCheckpoint(saved, step, item)
    return None


def find_run(path: pathlib.Path) -> FoundCheckpoint | None:
    """Return the run's checkpoint that a path means; None if it is another kind, or there is none."""
    return None if path.suffix == SUFFIX else find_checkpoint(path)


def find_foreign(path: pathlib.Path) -> Any:
    """Return the module that reads an adapter in another's form, one of `FOREIGN`; None if it is no such."""
    return next((form for form in FOREIGN if form.holds(path)), None)


def find_released(path: pathlib.Path) -> released.Released:
    """Open a checkpoint of T5X or Hugging Face; a `ValueError` says what was expected."""
    found = released.open_released(path)
    if found is None:
        ours = f'a run folder with {FOLDER}/STEP, one of these steps, a {SUFFIX} file'
        hint = ''
        if adapters := sorted(child.parent.name for child in path.glob(f'*/{peft.CONFIG_FILE}')):
            hint = f'; it has adapters of PEFT in {", ".join(adapters)}: name one of these folders'
        if path.name.endswith(vocabularies.CHAT):
            hint = f'; {vocabularies.CHAT} belongs to the vocabulary, --vocabulary={path}'
        raise ValueError(f'no checkpoint at {path}; expected {ours}, {released.KINDS}{hint}')
    return found
