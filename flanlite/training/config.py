"""A training run as a value: `TrainConfig` holds all that decides it."""

import pathlib
from collections.abc import Mapping
from typing import Annotated

from flanlite.config import FrozenDict, load_as, value
from flanlite.data.config import DataConfig
from flanlite.limits import Between0And1, Count, Pattern, Positive, Seed
from flanlite.mesh.partitioning import MeshConfig
from flanlite.model import adapters
from flanlite.model.kinds import FromCheckpoint
from flanlite.model.models import ModelConfig
from flanlite.paths import LocalPath
from flanlite.training import parameters, profiler
from flanlite.training.bandit import BanditConfig
from flanlite.training.checkpoints import FOLDER, CheckpointConfig, newest_whole, saved_step
from flanlite.training.locate import checkpoint_path
from flanlite.training.optimizers import Adafactor, AdamW, Optimizer, OptimizerConfig, make_optimizer
from flanlite.training.step import StepConfig
from flanlite.training.weights_biases import WandbConfig


@value
class RecordsConfig:
    """What a run measures and writes down on its way; decides nothing of what is trained.

    Args:
        log_every_steps: steps that a record in metrics.jsonl is of.
        eval_every_steps: how often the loss on the validation split is computed; never by default.
        eval_batches: how many batches of it.
        profile_steps: 'A-B' traces the steps from A to B, 'N' traces N steps as soon as the run is warm; None
            traces none.
        wandb: where on Weights & Biases the records go, too.
    """

    log_every_steps: Count = 10
    eval_every_steps: Count | None = None
    eval_batches: Count = 8
    profile_steps: str | Count | None = None
    wandb: WandbConfig = WandbConfig()


@value
class TrainConfig:
    """All that decides a training run.

    Args:
        model_dir: the run's folder; see `flanlite.training.run.train`.
        data: the mixture, and how it becomes batches.
        optimizer: `Adafactor`, `AdamW`, or another value with a method `build`.
        train_steps: the last step.
        model: the model's config; by default that of the checkpoint that the run begins with, which is then
            read when this value is made. Where the run has begun, it is that of its own last checkpoint.
        initial_checkpoint_path: parameters to begin with, for `parameters.load_params`; by default they are
            drawn.
        other_vocabulary: whether the data may be tokens of another vocabulary than the checkpoint's, whose
            embeddings then mean other text.
        restore_optimizer: take that checkpoint's optimizer state and step, too, and go on to `train_steps`
            from there, as T5X does.
        frozen: patterns of parameters to leave as they are: regular expressions for whole names, such as
            'encoder/.*'.
        learning_rate_factors: what the learning rate of some parameters is multiplied by, by the pattern of
            their names; of several that match the first counts.
        ema_decay: of a moving average of the parameters, kept and evaluated beside them; for example 0.999.
        seed: of parameters, dropout and the order of the data.
        step: how a batch becomes a gradient.
        mesh: the devices.
        checkpoints: when the run saves, and what it keeps.
        records: what it writes down.
        bandit: how the mixing rates change during the run by what the model learns; None leaves them.

    Raises:
        ValueError: settings that contradict each other.
    """

    model_dir: LocalPath
    data: DataConfig
    optimizer: OptimizerConfig | Optimizer
    train_steps: Count
    model: ModelConfig | FromCheckpoint = FromCheckpoint()
    initial_checkpoint_path: Annotated[str, checkpoint_path] | None = None
    other_vocabulary: bool = False
    restore_optimizer: bool = False
    frozen: tuple[Pattern, ...] = ()
    learning_rate_factors: Mapping[Pattern, Positive] = FrozenDict()
    ema_decay: Between0And1 | None = None
    seed: Seed = 0
    step: StepConfig = StepConfig()
    mesh: MeshConfig = MeshConfig()
    checkpoints: CheckpointConfig = CheckpointConfig()
    records: RecordsConfig = RecordsConfig()
    bandit: BanditConfig | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer) and not callable(getattr(self.optimizer, 'build', None)):
            known = ', '.join(kind.__name__ for kind in (Adafactor, AdamW))
            raise ValueError(
                f'TrainConfig.optimizer is {self.optimizer!r}; expected {known}, or a value with a method '
                'build()'
            )
        if isinstance(self.model, FromCheckpoint):
            if not (begun := self.begins_from()):
                raise ValueError(
                    'there is neither a model nor a checkpoint that says one; set TrainConfig.model, as '
                    'the files of gin/models do, or initial_checkpoint_path (INITIAL_CHECKPOINT_PATH)'
                )
            object.__setattr__(self, 'model', self.model.of(parameters.describe(begun).config))
        if not hasattr(self.model, 'converter'):
            raise ValueError(
                f'TrainConfig.model is a {type(self.model).__name__}; expected that of a family, such as '
                'T5Config'
            )
        if self.restore_optimizer and not self.initial_checkpoint_path:
            raise ValueError(
                'TrainConfig.restore_optimizer needs a checkpoint to take it from: set '
                'INITIAL_CHECKPOINT_PATH'
            )
        if self.data.batch_size % self.step.microbatches:
            raise ValueError(
                f'BATCH_SIZE is {self.data.batch_size}, expected a multiple of MICROBATCHES, which is '
                f'{self.step.microbatches}'
            )
        if self.bandit and self.data.mixture.stages:
            raise ValueError(
                'both MixtureConfig.stages and TrainConfig.bandit are set, and both decide the rates; '
                'expected one of them'
            )
        if self.bandit and (self.bandit.rows or 0) % self.step.microbatches:
            raise ValueError(
                f'BanditConfig.rows is {self.bandit.rows}, expected a multiple of MICROBATCHES, which is '
                f'{self.step.microbatches}'
            )
        if self.model.adapter is not None and self.frozen:
            raise ValueError(
                f'TrainConfig.frozen is {self.frozen}, and the model has an adapter, beside which all its '
                'own parameters stay as they are; leave one of the two out'
            )
        if self.model.adapter is not None and not self.initial_checkpoint_path:
            raise ValueError(
                'an adapter needs the model that it belongs to: set INITIAL_CHECKPOINT_PATH (--checkpoint)'
            )
        if self.restore_optimizer and self.data.mixture.stages:
            raise ValueError(
                'TrainConfig.restore_optimizer is True, and MixtureConfig.stages are set, which count the '
                "steps of this run, and not the checkpoint's; leave one of the two out"
            )
        self.checkpoints.check_metric(self.records.eval_every_steps is not None, self.ema_decay is not None)
        if self.records.profile_steps is not None:
            profiler.parse_steps(self.records.profile_steps, self.train_steps)

    def check_start(self, first: int) -> None:
        """Raise a `ValueError` where a phase of the optimizer begins after the run does.

        Args:
            first: the step that the run begins with, 0 but where it goes on.
        """
        schedule = getattr(self.optimizer, 'learning_rate', None)
        offsets = {type(self.optimizer).__name__: (self.optimizer, first)}
        offsets[type(schedule).__name__] = (schedule, max(first, self.train_steps - 1))
        for name, (item, latest) in offsets.items():
            if (offset := getattr(item, 'step_offset', 0)) > latest:
                raise ValueError(
                    f'{name}.step_offset is {offset:,}, and the run goes from step {first:,} to '
                    f'{self.train_steps:,}; expected at most {latest:,}: set restore_optimizer=True to go on '
                    "from the checkpoint's step, or step_offset=0"
                )

    def notes(self) -> list[str]:
        """Return sentences on settings that the run ends before; one with more steps may go on to them."""
        begin = [
            stage.first_step for stage in self.data.mixture.stages if stage.first_step > self.train_steps
        ]
        found = [f'the stage of MixtureConfig.stages from step {step:,} on never begins' for step in begin]
        if self.bandit and self.bandit.every_steps > self.train_steps:
            found.append(f'the bandit never looks, which is due every {self.bandit.every_steps:,} steps')
        return [f'TRAIN_STEPS is {self.train_steps:,}, and {each}' for each in found]

    def make_optimizer(self) -> Optimizer:
        """Make the optimizer."""
        factors = tuple(self.learning_rate_factors.items())
        return make_optimizer(self.optimizer, self.stays(), self.ema_decay, factors)

    def begins_from(self) -> str | None:
        """Return the checkpoint that the run goes on from: its own last one, else that it begins with, if
        any.
        """
        if self.checkpoints.fall_back:
            folder = pathlib.Path(self.model_dir) / FOLDER
            whole = newest_whole(folder)
            return str(folder / str(whole)) if whole else self.initial_checkpoint_path
        return self.model_dir if saved_step(self.model_dir) else self.initial_checkpoint_path

    def stays(self) -> tuple[str, ...]:
        """Return patterns of the parameters that do not train: all but an adapter's, or `frozen`."""
        adapter = self.model.adapter
        return self.frozen if adapter is None else (*adapters.FROZEN, *adapter.frozen)

    @classmethod
    def load(cls, path: str | pathlib.Path) -> 'TrainConfig':
        """Read the settings of a run from its folder, or from a file that holds them.

        Raises:
            ValueError: there are none, or they are not those of a run, or of another version.
        """
        return load_as(cls, path)
