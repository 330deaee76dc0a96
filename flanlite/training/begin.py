"""What a run begins with: its vocabulary, and its state, which is its own last checkpoint's, another
checkpoint's, or a drawn one.
"""

from typing import Any

import jax
import numpy as np
from flax import traverse_util

from flanlite.config import closest
from flanlite.data.mixing import mixtures
from flanlite.data.mixing.mixtures import Mixture
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import Vocabulary
from flanlite.data.training_data import TrainingData
from flanlite.mesh.partitioning import Partitioner
from flanlite.model import adapters, models
from flanlite.model.soft_prompt import SoftPrompt, prompts_of, table_of
from flanlite.training.checkpoints import Checkpoints, Restored
from flanlite.training.config import TrainConfig
from flanlite.training.locate import base_path, locate
from flanlite.training.optimizers import Optimizer
from flanlite.training.parameters import (
    NO_VOCABULARY,
    describe,
    load_adapter,
    load_params,
    load_state,
    load_vocabulary,
    restore,
)
from flanlite.training.state import TrainState
from flanlite.training.step import jit_create, jit_init

Tree = Any


def choose_vocabulary(config: TrainConfig) -> Vocabulary:
    """Load the vocabulary of a run; see `vocabulary_for`."""
    data = config.data
    mixture = mixtures.resolve(data.mixture, data.data_dir)
    return vocabulary_for(
        mixture, data.vocabulary, config.begins_from(), data.data_dir, config.other_vocabulary
    )


def vocabulary_for(
    mixture: Mixture,
    named: str | None,
    begun: str | None,
    data_dir: str | None = None,
    other: bool = False,
) -> Vocabulary:
    """Load the vocabulary to train on a mixture with: what is named, else that of the checkpoint to begin
    from, else the mixture's own.

    Whether inputs end with EOS is the mixture's to say, as T0's inputs have none. SeqIO's tasks have their
    tokens already, so that their vocabulary counts as named.

    Args:
        mixture: the mixture.
        named: a name for `vocabularies.load`, if any.
        begun: the checkpoint, if any.
        data_dir: the folder of local data, where T5's vocabulary may lie.
        other: whether what is named may be another vocabulary than the checkpoint's.

    Raises:
        ValueError: the checkpoint does not say what it was trained with, or it is another vocabulary than
            what is named.
    """
    named = named or (None if mixture.collection else mixture.vocabulary)
    if not begun:
        return vocabularies.load(named or mixture.vocabulary, data_dir)
    loaded = load_vocabulary(begun, named, data_dir, like=mixture.vocabulary, other=other)
    if loaded is None:
        raise ValueError(NO_VOCABULARY.format(begun))
    return loaded


def begin(
    checkpoints: Checkpoints,
    config: TrainConfig,
    optimizer: Optimizer,
    partitioner: Partitioner,
    abstract: TrainState,
    data: TrainingData,
) -> Restored:
    """Restore the run's last checkpoint, if it has one; else begin with another's parameters, if one is
    named; else draw them.

    Args:
        checkpoints: the run's.
        config: the run's.
        optimizer: what `config` says, made.
        partitioner: says where the state goes.
        abstract: what `abstract_state` says of them.
        data: what the run trains on, by name only.

    Raises:
        ValueError: a checkpoint that does not fit, or that is at the run's last step already.
    """
    model, path = config.model, config.initial_checkpoint_path
    if step := checkpoints.latest_step():
        begun = base_path(path) if path and locate(path).exists() else None
        return restore(checkpoints, step, abstract, model, begun)
    if config.restore_optimizer:
        state = load_state(path, model, abstract)
        if int(state.step) >= config.train_steps:
            raise ValueError(
                f'{path} is at step {state.step} and TRAIN_STEPS is {config.train_steps}; expected more than '
                'that'
            )
        return Restored(state, None, {})
    return Restored(first_state(config, optimizer, partitioner, abstract, data), None, {})


def first_state(
    config: TrainConfig,
    optimizer: Optimizer,
    partitioner: Partitioner,
    abstract: TrainState,
    data: TrainingData,
) -> TrainState:
    """Make the state before a run's first step, of a checkpoint's parameters or drawn ones; the arguments are
    those of `begin`.
    """
    model, path = config.model, config.initial_checkpoint_path
    if path:
        shardings = jax.tree.map(lambda leaf: leaf.sharding, abstract.whole())
        if model.adapter is not None and describe(path).config.adapter is None:
            params = begin_adapter(config, shardings, partitioner, data)
        else:
            params = load_params(path, model, shardings)
        return jit_create(model, optimizer, partitioner)(params)
    return jit_init(model, optimizer, partitioner)(run_seed(config.seed, partitioner))


def begin_adapter(config: TrainConfig, shardings: Tree, partitioner: Partitioner, data: TrainingData) -> Tree:
    """Load a model's own parameters, and make those of its new adapter; see `begin`."""
    model = config.model
    own, new = adapters.parts(shardings)
    base = load_params(
        config.initial_checkpoint_path, model.replace(adapter=None), own, dtype=model.adapter.base_dtype
    )
    draw = jax.jit(
        lambda seed: adapters.parts(models.init_params(model, jax.random.key(seed)))[1], out_shardings=new
    )

    def options(task: str | None) -> list[str]:
        found = [
            registry.find_spec(entry.task) for entry in data.mixture.entries if task in (None, entry.task)
        ]
        return list(dict.fromkeys(option for spec in found if spec for option in spec.options))

    params = adapters.put_together(base, draw(run_seed(config.seed, partitioner)))
    scale = table_of(models.abstract_network(model)).scale
    start = adapters.Start(data.vocabulary.encode, options, config.seed, scale)
    begun = model.adapter.begin(params, start)
    if isinstance(model.adapter, SoftPrompt):
        return put_prompts(begun, config, shardings)
    return begun


def put_prompts(params: Tree, config: TrainConfig, shardings: Tree) -> Tree:
    """Put the prompts of files in the place of those that were drawn; see `SoftPrompt.files`."""
    adapter, opened = config.model.adapter, {}
    flat, places = traverse_util.flatten_dict(params), traverse_util.flatten_dict(shardings)
    for name, (file, source) in adapter.files().items():
        if file not in opened:
            opened[file] = read_prompts(file, config)
        found = opened[file]
        source = source or (next(iter(found)) if len(found) == 1 else name[-1])
        if source not in found:
            raise ValueError(
                f'{file} has no prompt {source!r}; {closest(source, found)}it has {", ".join(found)}: name '
                f'one, {type(adapter).__name__}.source'
            )
        path = next(path for path in flat if adapters.is_adapters(path) and path[-2:] == name)
        rows_PD = np.asarray(found[source])
        flat[path] = jax.make_array_from_callback(rows_PD.shape, places[path], rows_PD.__getitem__)
    return traverse_util.unflatten_dict(flat)


def read_prompts(file: str, config: TrainConfig) -> dict[str, Any]:
    """Read the prompts of a file, as long as those of the run's adapter, by their names."""
    there, adapter = describe(file, config.initial_checkpoint_path).config, config.model.adapter
    if not isinstance(there.adapter, SoftPrompt) or there.adapter.length != adapter.length:
        raise ValueError(
            f'{file} has {there.adapter or "no adapter"}; expected soft prompts of the length '
            f'{adapter.length}, to begin with'
        )
    return prompts_of(load_adapter(file, there)[0])


def run_seed(seed: int, partitioner: Partitioner) -> jax.Array:
    """Put a run's seed onto the mesh: uint32."""
    return partitioner.replicate(np.uint32(seed % 2**32))
