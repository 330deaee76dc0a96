"""Ship a pretraining run's last checkpoint as the collection's base: `python -m flanlite.mixtures.pocket.base RUN_FOLDER`."""

import json
import pathlib
import sys

PATH = pathlib.Path(__file__).parent / 'assets' / 'base.safetensors'


def ship(model_dir: str, path: pathlib.Path = PATH) -> None:
    """Write the parameters of a run's last checkpoint in bfloat16, with the metadata that a later run needs."""
    from flanlite.training import parameters

    run = parameters.load_run(model_dir)
    manifest = json.loads((pathlib.Path(model_dir) / 'manifest.json').read_text(encoding='utf-8'))
    tasks = {name: {key: value for key, value in task.items() if key != 'path'} for name, task in manifest['tasks'].items()}
    made = {'vocabulary': run.vocabulary, 'feature_lengths': dict(run.feature_lengths), 'step': run.step, 'tasks': tasks}
    parameters.save_params(path, run.params, run.config, metadata=made)


if __name__ == '__main__':
    ship(sys.argv[1])
