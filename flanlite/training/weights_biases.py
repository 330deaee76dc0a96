"""Logging to Weights & Biases, if a run asks for it: a run has one page there, however often it is stopped
and continued.
"""

import importlib.util
import os
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from flanlite.config import value

RUN_ID = 'wandb_id'  # file in the run's folder with the run's id on Weights & Biases


@value
class WandbConfig:
    """Where on Weights & Biases a run is logged.

    It needs `pip install 'flanlite[wandb]'`. With WANDB_MODE=offline, wandb writes to the run's folder only.

    Args:
        project: name of the project; None logs nothing.
        entity: team or user; by default the account's own.
        name: name of the run; by default that of its folder.
    """

    project: str | None = None
    entity: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.project and importlib.util.find_spec('wandb') is None:
            raise ValueError(
                f'WandbConfig.project is {self.project!r}, but wandb is not installed: pip install '
                "'flanlite[wandb]'"
            )


class WandbLog:
    """A run on Weights & Biases, continued under the id in the run's folder.

    Args:
        model_dir: the run's folder, which exists.
        settings: have a project.
        described: shown as the run's configuration.

    Raises:
        ValueError: the project cannot be reached.
    """

    def __init__(
        self, model_dir: str | os.PathLike[str], settings: WandbConfig, described: Mapping[str, Any]
    ) -> None:
        import wandb

        folder = pathlib.Path(model_dir)
        file = folder / RUN_ID
        if not file.exists():
            file.write_text(uuid.uuid4().hex, encoding='utf-8')
        try:
            self._run = wandb.init(
                project=settings.project,
                entity=settings.entity,
                name=settings.name or folder.resolve().name,
                dir=folder,
                id=file.read_text(encoding='utf-8').strip(),
                resume='allow',
                config=dict(described),
                settings=wandb.Settings(quiet=True),
            )
        except Exception as error:  # of several kinds
            raise ValueError(
                f'cannot log to the project {settings.project} of Weights & Biases: '
                f'{" ".join(str(error).split())}; log in (wandb login), set WANDB_MODE=offline, or leave out '
                '--wandb'
            ) from error
        # Not wandb's own counter: a run that repeats steps after a kill logs them twice.
        self._run.define_metric('step')
        self._run.define_metric('*', step_metric='step')

    def write(self, record: Mapping[str, Any]) -> None:
        """Log a record, which has its `step`."""
        self._run.log(dict(record))

    def close(self) -> None:
        """Send what is left, and end the connection."""
        self._run.finish()
