"""Weights & Biases, where a run asks for it: the records of metrics.jsonl, under one run there however often the run here is stopped."""

import importlib.util
import os
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from flanlite.config import value

RUN_ID = 'wandb_id'  # the file in the run's folder that holds the name of the run there


@value
class WandbConfig:
    """Where on Weights & Biases a run is logged; needs `pip install 'flanlite[wandb]'`. WANDB_MODE=offline keeps it in the run's folder.

    Args:
        project: the project's name; None logs nothing there.
        entity: the team or user; by default the account's own.
        name: the run's; by default that of its folder.
    """

    project: str | None = None
    entity: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.project and importlib.util.find_spec('wandb') is None:
            raise ValueError(f"WandbConfig.project is {self.project!r}, but wandb is not installed: pip install 'flanlite[wandb]'")


class WandbLog:
    """A run on Weights & Biases that goes on under the id in the run's folder.

    Args:
        model_dir: the run's folder, which exists.
        settings: with a project.
        described: what is shown as its configuration.
    """

    def __init__(self, model_dir: str | os.PathLike[str], settings: WandbConfig, described: Mapping[str, Any]) -> None:
        import wandb

        folder = pathlib.Path(model_dir)
        file = folder / RUN_ID
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding='utf-8')
        self._run = wandb.init(
            project=settings.project, entity=settings.entity, name=settings.name or folder.resolve().name, dir=folder,
            id=file.read_text(encoding='utf-8').strip(), resume='allow', config=dict(described), settings=wandb.Settings(quiet=True),
        )  # fmt: skip
        self._run.define_metric('step')  # ours: a run that repeats steps after a kill may write them once more
        self._run.define_metric('*', step_metric='step')

    def write(self, record: Mapping[str, Any]) -> None:
        """Log a record of some step."""
        self._run.log(dict(record))

    def close(self) -> None:
        """Send what is left, and let go."""
        self._run.finish()
