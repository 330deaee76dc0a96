"""How comparisons of many runs begin: checks that cost nothing, and their settings on disk."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from flanlite.config import SETTINGS_FILE, check_kind, to_json, unsaved
from flanlite.data.cache import cache
from flanlite.mesh import partitioning, processes
from flanlite.paths import check_folder
from flanlite.report import results
from flanlite.training.run import GIN_FILE


def begin(config: Any, kind: type, command: str) -> None:
    """Check the settings of a comparison, join the processes of the run, and keep compiled programs.

    Args:
        config: the settings; `train` is the settings of its runs.
        kind: what they are to be.
        command: what was asked for, for the error.

    Raises:
        ValueError: settings of another kind, or some that no file can hold.
        OSError: nothing can be written in the folder.
    """
    check_kind(config, kind, command)
    if lost := unsaved(config):
        raise ValueError(
            f'{SETTINGS_FILE} cannot hold {", ".join(lost)}, so results could not be told apart by it; '
            'expected values, or functions that a module holds by name'
        )
    remedy = 'name another MODEL_DIR, with --model_dir'
    check_folder(config.train.model_dir, remedy)
    results.check_own(pathlib.Path(config.train.model_dir), remedy)
    processes.join()
    processes.compare_settings(config)
    partitioning.keep_compiled(cache.cache_folder(config.train.data.cache_dir) / 'jax')


def keep_settings(folder: pathlib.Path, config: Any, gin: str | None) -> None:
    """Write the settings of a comparison, and the gin text that they were made from, where there was one."""
    if jax.process_index() == 0:
        results.write_text(folder / SETTINGS_FILE, json.dumps(to_json(config), indent=1) + '\n')
        if gin:
            results.write_text(folder / GIN_FILE, gin)


def names_of(wanted: str | Sequence[str]) -> list[str]:
    """Take names as a list, whether they are separated by commas or apart."""
    names = wanted.split(',') if isinstance(wanted, str) else wanted
    return [name.strip() for name in names if name.strip()]
