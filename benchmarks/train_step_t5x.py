"""Run T5X's own train.py for `train_step.py`, which starts this with its settings as JSON, and tell how long
its parts take.
"""

import json
import pathlib
import runpy
import sys
import tempfile
import types

from train_step import Clock, Turns

GIN = """
from __gin__ import dynamic_registration
import __main__ as train_script
import seqio
from t5x import trainer
from t5x import utils
from t5x.examples.t5 import network
include 't5x/examples/t5/t5_1_1/base.gin'
include 't5x/configs/runs/pretrain.gin'
USE_CACHED_TASKS = True
DROPOUT_RATE = 0.1
VOCABULARY = @seqio.PassThroughVocabulary()
seqio.PassThroughVocabulary.size = 32128
seqio.PassThroughVocabulary.eos_id = 1
network.T5Config.dtype = 'float32'
train_script.train.train_eval_dataset_cfg = None
train_script.train.stats_period = %TRAIN_STEPS
utils.SaveCheckpointConfig.period = %TRAIN_STEPS
utils.create_learning_rate_scheduler.factors = 'constant'
utils.create_learning_rate_scheduler.base_learning_rate = 0.001
"""


def main():
    try:
        settings = json.loads(sys.argv[1])
    except (IndexError, ValueError):
        print(__doc__.strip())
        sys.exit(0 if '--help' in sys.argv else 2)
    sys.path.insert(0, settings['t5x_dir'])
    stand_in('airio', 'airio.core', 'jestimator', 'jestimator.amos', 'jestimator.amos_helper')
    register(settings)
    measure(settings['window'])
    macros = {
        'TRAIN_STEPS': settings['steps'],
        'BATCH_SIZE': settings['rows'],
        'MODEL_DIR': settings['model_dir'],
    }
    macros |= {'MIXTURE_OR_TASK_NAME': settings['task'], 'TASK_FEATURE_LENGTHS': settings['lengths']}
    lines = [f'{name} = {value!r}' for name, value in macros.items()]
    lines += [f'network.T5Config.{name} = {value!r}' for name, value in settings['size'].items()]
    lines += [] if settings['saves'] else ['utils.CheckpointConfig.save = None']
    with tempfile.NamedTemporaryFile('w', suffix='.gin') as file:
        file.write(GIN + '\n'.join(lines) + '\n')
        file.flush()
        script = pathlib.Path(settings['t5x_dir'], 't5x', 'train.py')
        sys.argv = [str(script), f'--gin_file={file.name}', f'--gin_search_paths={settings["t5x_dir"]}']
        runpy.run_path(str(script), run_name='__main__')


def stand_in(*names):
    """Stand in for packages that T5X imports, has no use for here, and cannot get from PyPI: any name in them
    is an empty class.
    """
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = []
        module.__getattr__ = lambda attribute: Nothing
        sys.modules[name] = module
        parent, _, child = name.rpartition('.')
        if parent:
            setattr(sys.modules[parent], child, module)


class Nothing:
    pass


def register(settings):
    """Register the task, whose tokens are in SeqIO's own cache already."""
    import seqio
    import tensorflow as tf

    vocabulary = seqio.PassThroughVocabulary(32_128, eos_id=1)
    features = {name: seqio.Feature(vocabulary, add_eos=False) for name in settings['lengths']}
    seqio.add_global_cache_dirs([settings['cache']])
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files, seed=None: tf.data.Dataset.range(0), splits=('train',)
    )
    seqio.TaskRegistry.add(
        settings['task'],
        source=source,
        preprocessors=[seqio.CacheDatasetPlaceholder()],
        output_features=features,
    )


def measure(window):
    """Let the trainer run a step at first and then windows of steps; time the checkpoints."""
    import jax
    from t5x import checkpoints, trainer, utils

    train = trainer.Trainer.train

    def in_windows(self, batches, num_steps, start_step):
        turns = Turns(window)

        def run(steps):
            future = train(self, batches, steps, start_step + turns.done)
            jax.block_until_ready(self.train_state)
            turns.done += steps
            turns.tell()
            return future

        future = run(1)
        while turns.done < num_steps:
            future = run(min(window, num_steps - turns.done))
        return future

    trainer.Trainer.train = in_windows
    utils.create_checkpoint_manager_and_restore = Clock('restore').wrap(
        utils.create_checkpoint_manager_and_restore
    )
    manager, saving = checkpoints.OrbaxCheckpointManagerInterface, Clock('save')
    manager.save = saving.wrap(manager.save, restarts=True)
    manager.wait_until_finished = saving.wrap(manager.wait_until_finished)


if __name__ == '__main__':
    main()
