"""What gin knows by name: the classes of values, the commands that take one, and macros."""

import functools
import inspect
from typing import Any

import gin

from flanlite.config import annotations

# The class of what gin builds for a command, `<command>.config`.
COMMANDS = {
    'train': 'TrainConfig',
    'loco': 'SweepConfig',
    'ablate': 'AblationConfig',
    'conflict': 'ConflictConfig',
    'mix': 'MixConfig',
    'transfer': 'TransferConfig',
    'fewshot': 'FewShotConfig',
    'evaluate': 'EvalConfig',
}
VALUES: dict[str, type] = {}  # the classes of values, by what gin calls them


@functools.cache
def register_mixtures() -> None:
    """Make known to gin what a mixture is made of; imports neither JAX nor TensorFlow."""
    from flanlite.data.mixing.mixtures import MixtureConfig, schemas
    from flanlite.data.mixing.stages import Stage
    from flanlite.data.rendering.fewshot import Shots
    from flanlite.data.specs.prompt_mix import PromptMix

    for kind in (MixtureConfig, Stage, Shots, PromptMix, schemas):
        configurable(kind, kind.__name__)


@functools.cache
def register() -> None:
    """Make every class of values known to gin, which imports all that runs them."""
    from flanlite.data.config import DataConfig
    from flanlite.eval.ablation import AblationConfig
    from flanlite.eval.conflict import ConflictConfig
    from flanlite.eval.evaluate import EvalConfig
    from flanlite.eval.evaluator import ScoringConfig
    from flanlite.eval.few_shot import FewShotConfig
    from flanlite.eval.generate import Decoding
    from flanlite.eval.mix import MixConfig
    from flanlite.eval.robustness import RobustnessConfig
    from flanlite.eval.sweep import SweepConfig
    from flanlite.eval.transfer_config import TransferConfig
    from flanlite.mesh.partitioning import MeshConfig
    from flanlite.model import kinds
    from flanlite.model.rotary import RotaryConfig
    from flanlite.training import optimizers, schedules
    from flanlite.training.bandit import BanditConfig
    from flanlite.training.checkpoints import CheckpointConfig
    from flanlite.training.config import RecordsConfig, TrainConfig
    from flanlite.training.step import StepConfig
    from flanlite.training.weights_biases import WandbConfig

    comparisons = (SweepConfig, AblationConfig, ConflictConfig, MixConfig, TransferConfig, FewShotConfig)
    runs = (TrainConfig, *comparisons, EvalConfig)
    parts = (
        RobustnessConfig,
        BanditConfig,
        DataConfig,
        StepConfig,
        MeshConfig,
        CheckpointConfig,
        RecordsConfig,
        WandbConfig,
        ScoringConfig,
        Decoding,
    )
    register_mixtures()
    for kind in (*runs, *parts, kinds.FromCheckpoint, *kinds.KINDS, RotaryConfig, *kinds.ADAPTERS):
        configurable(kind, kind.__name__)
    for name, kind in (optimizers.GIN_NAMES | schedules.GIN_NAMES).items():
        # T5X's gin files call the learning rate utils.create_learning_rate_scheduler.
        configurable(kind, name, 'flanlite.utils' if name.startswith('create_') else 'flanlite')
    with gin.unlock_config():
        for command in COMMANDS:
            gin.external_configurable(lambda config: config, name=command, module='flanlite')


def configurable(kind: type, name: str, module: str = 'flanlite') -> None:
    """Make a class known to gin by a function that calls it: gin would else change the class itself."""

    def make(**fields: Any) -> Any:
        return kind(**fields)

    make.__signature__ = inspect.signature(kind)
    VALUES[f'{module}.{name}'] = kind
    with gin.unlock_config():  # a command may register more once its bindings were read
        gin.external_configurable(make, name=name, module=module)


def annotations_of(selector: str) -> dict[str, Any]:
    """Return the annotations of a configurable's parameters; none for a macro, which holds anything."""
    if selector == 'gin.macro':
        return {}
    if selector in VALUES:
        return annotations(VALUES[selector])
    parameters = inspect.signature(gin.get_configurable(selector)).parameters
    return {name: parameter.annotation for name, parameter in parameters.items()}


def macros() -> set[str]:
    """Name the macros that are bound or used."""
    return bound_macros() | used_macros()


def bound_macros() -> set[str]:
    """Name the macros that have a value."""
    # Gin has no public list.
    return {name for name, selector in gin.config._CONFIG if selector == 'gin.macro'}


def used_macros() -> set[str]:
    """Name the macros that a value refers to."""
    found = (reference.scoped_selector for reference in gin.config.iterate_references(gin.config._CONFIG))
    return {name.removesuffix('/gin.macro') for name in found if name.endswith('/gin.macro')}


def is_reference(found: object) -> bool:
    """Return whether a binding refers to a configurable or macro."""
    return isinstance(found, gin.config.ConfigurableReference)


def followed(value: Any) -> tuple[list[str], Any]:
    """Return the macros that a bound value comes through, and what the last of them holds."""
    through: list[str] = []
    while is_reference(value) and value.scoped_selector.endswith('/gin.macro'):
        through.append(value.scoped_selector.removesuffix('/gin.macro'))
        value = gin.query_parameter(f'%{through[-1]}')
    return through, value
