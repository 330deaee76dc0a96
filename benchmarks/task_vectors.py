"""Task vectors on the pocket world: does a difference of checkpoints add what a cluster teaches, and does it
take away what a model knows of one?

    python benchmarks/task_vectors.py --seeds=0
    python benchmarks/task_vectors.py

To add: the pocket base is tuned on one cluster, on another, and on both together; the two differences are
added to the base by their sum, by TIES and by DARE, at a scale that the validation rows of both choose. To
forget: what tuning on one cluster changed in the base is taken from a model tuned on the whole collection, at
the scale that lowers the cluster's validation score most and leaves 95% of the others'.

All scores are percent on test rows, means over data sets and seeds; with several seeds with their 95%
interval (Student's t). What is done is kept in the folder: the same command goes on after an interruption.
"""

import argparse
import json
import pathlib
import time

import numpy as np

import flanlite
from flanlite.data.specs import registry
from flanlite.eval.arithmetic import ArithmeticConfig, arithmetic
from flanlite.mixtures import pocket
from flanlite.progress import duration
from flanlite.report.results import write_text
from flanlite.report.seeds import told
from flanlite.report.tables import markdown_table
from flanlite.training.task_vectors import Method, TaskVector

BASE = 'mixtures/pocket/assets/base.safetensors'
TUNING = 'gin/runs/pocket_train.gin'
SCALES = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
METHODS = {
    'sum of both': Method(),
    'TIES of both, 20% kept': Method('ties'),
    'TIES of both, 80% kept': Method('ties', density=0.8),
    'DARE of both, 90% dropped': Method('dare'),
    'DARE, then TIES, of both': Method('dare_ties'),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model_dir', default='runs/task_vectors', help='the folder of all runs')
    parser.add_argument('--seeds', default='0,1,2,3,4', help='with commas')
    parser.add_argument('--clusters', default='sentiment,question_classification', help='two, with a comma')
    parser.add_argument('--max_rows', type=int, default=60, help='rows of each data set that are scored')
    options = parser.parse_args()
    clusters = options.clusters.split(',')
    named = {cluster: f'pocket_held_out_{cluster}_eval' for cluster in clusters}
    both = tuple(spec for spec in pocket.COLLECTION.specs if spec.cluster in clusters)
    registry.register(flanlite.Collection('both', both, vocabulary='pocket'))
    named['both'] = 'both'
    rest = tuple(spec for spec in pocket.COLLECTION.specs if spec.cluster != clusters[0])
    registry.register(flanlite.Collection('rest', rest, vocabulary='pocket'))
    began, scores = time.monotonic(), {}
    seeds = [int(seed) for seed in options.seeds.split(',')]
    for number, seed in enumerate(seeds):
        for row, each in measure(options, named, clusters, seed).items():
            scores.setdefault(row, []).append(each)
        text = '\n'.join(table(scores, clusters))
        write_text(pathlib.Path(options.model_dir) / 'task_vectors.md', text + '\n')
        write_text(pathlib.Path(options.model_dir) / 'task_vectors.json', json.dumps(scores, indent=1) + '\n')
        print(f'{text}\n{number + 1} of {len(seeds)} seeds, {duration(time.monotonic() - began)}', flush=True)


def measure(options, named, clusters, seed):
    """Train, add, take away and score with one seed: {row of the table: score by column}."""
    folder = pathlib.Path(options.model_dir) / f'seed{seed}'

    def tune(name, mixture, checkpoint=BASE, steps=100):
        config = flanlite.from_gin(
            TUNING, MODEL_DIR=folder / name, TRAIN_STEPS=steps, SEED=seed, MIXTURE_OR_TASK_NAME=mixture
        )
        flanlite.train(config.replace(initial_checkpoint_path=checkpoint))
        return str(folder / name)

    def put_together(name, base, vectors, mixture, method=Method(), **settings):  # noqa: B008
        output = folder / name
        if not (output / 'config.json').is_file():
            evaluation = flanlite.EvalConfig(base, mixture, split='validation', max_rows=20)
            made = {'method': method, 'scales': SCALES, 'evaluation': evaluation, **settings}
            arithmetic(ArithmeticConfig(base, tuple(vectors), str(output), **made))
        return str(output)

    def score(path, *mixtures):
        found = []
        for mixture in mixtures:
            settings = {
                'max_rows': options.max_rows,
                'output': str(folder / 'scores' / pathlib.Path(path).name / mixture),
            }
            result = flanlite.evaluate(path, mixture, **settings)
            found.append(float(np.mean([task.summary.mean for task in result.tasks])))
        return found

    rows = {}
    tuned = {cluster: tune(cluster, named[cluster]) for cluster in named}
    models = {'the base': BASE} | {f'tuned on {cluster}': tuned[cluster] for cluster in named}
    vectors = [TaskVector(tuned[cluster]) for cluster in clusters]
    for number, (row, method) in enumerate(METHODS.items()):
        models[row] = put_together(f'{method.name}{number}', BASE, vectors, 'both', method)
    for row, path in models.items():
        rows[row] = score(path, *(named[cluster] for cluster in clusters))
    first = clusters[0]
    joint = tune('joint', 'pocket', steps=250)
    away = [TaskVector(BASE), TaskVector(tuned[first], -1.0)]
    less = put_together('less', joint, away, named[first], keep='rest')
    for row, path in {'tuned on all': joint, f'{first} taken away': less}.items():
        rows[row] = score(path, named[first], 'rest')
    return rows


def table(scores, clusters):
    """Make the table of the seeds so far."""
    rows = [[row, *map(told, zip(*found, strict=True))] for row, found in scores.items()]
    added, forgotten = rows[:-2], rows[-2:]
    first = clusters[0]
    return [
        *markdown_table(['model', *clusters], added),
        '',
        *markdown_table(['model', first, f'all but {first}'], forgotten),
    ]


if __name__ == '__main__':
    main()
