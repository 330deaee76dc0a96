"""Ways to adapt the pocket base, side by side: untuned, full tuning, LoRA, (IA)3, prefixes, and soft prompts
in several ways. Mean score over the data sets of some clusters, with its interval over seeds.

    python benchmarks/adaptation.py --seeds=0
    python benchmarks/adaptation.py

Each data set is one that the base has not seen as a task. A way's run trains all of them together, so that a
prompt a task is as many prompts; the prompts of `SPoT` begin with one that was trained on all other clusters,
ATTEMPT's mix those of `--sources`, and PPT's begin with one that plain text trained. What is
done is kept in the folder: the same command goes on after an interruption.
"""

import argparse
import json
import pathlib
import time

import numpy as np

import flanlite
from flanlite.data.specs import registry
from flanlite.mixtures import pocket
from flanlite.progress import duration
from flanlite.report.results import write_text
from flanlite.report.seeds import told
from flanlite.report.tables import markdown_table

BASE = 'mixtures/pocket/assets/base.safetensors'
LENGTHS = {'inputs': 116, 'targets': 32}
PROMPT = flanlite.SoftPrompt(length=20)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model_dir', default='runs/adaptation', help='the folder of all runs')
    parser.add_argument('--seeds', default='0,1,2,3,4', help='with commas')
    parser.add_argument('--clusters', default='sentiment,question_classification', help='with commas')
    parser.add_argument(
        '--sources', default='pocket_feelings,pocket_nli3,pocket_pronouns', help='with commas'
    )
    parser.add_argument('--ways', default=','.join(WAYS), help='with commas')
    parser.add_argument('--steps', type=int, default=250)
    parser.add_argument('--max_rows', type=int, default=60, help='rows of each data set that are scored')
    options = parser.parse_args()
    unknown = set(options.ways.split(',')) - set(WAYS)
    if unknown:
        parser.error(f'no way {", ".join(unknown)}; expected some of {", ".join(WAYS)}, with commas')
    world = World(options)
    if set(world.sources) & set(world.tasks):
        parser.error(f'--sources={options.sources} are of --clusters={options.clusters}; expected others')
    began, scores, seeds = time.monotonic(), {}, [int(seed) for seed in options.seeds.split(',')]
    for number, seed in enumerate(seeds):
        for way in options.ways.split(','):
            path = WAYS[way](world, seed)
            scores.setdefault(way, []).append(world.score(path, seed, way))
        text = '\n'.join(table(scores))
        write_text(pathlib.Path(options.model_dir) / 'adaptation.md', text + '\n')
        write_text(pathlib.Path(options.model_dir) / 'adaptation.json', json.dumps(scores, indent=1) + '\n')
        print(f'{text}\n{number + 1} of {len(seeds)} seeds, {duration(time.monotonic() - began)}', flush=True)


class World:
    """The pocket world with its data sets, and what is trained on them."""

    def __init__(self, options):
        self.options, clusters = options, options.clusters.split(',')
        self.sources = tuple(options.sources.split(','))
        chosen = [spec for spec in pocket.COLLECTION.specs if spec.cluster in clusters]
        self.tasks = tuple(spec.name for spec in chosen)
        rest = [spec for spec in pocket.COLLECTION.specs if spec.cluster not in clusters]
        named = {
            'chosen': chosen,
            'rest': rest,
            'sources': [spec for spec in pocket.COLLECTION.specs if spec.name in self.sources],
        }
        for name, members in named.items():
            registry.register(flanlite.Collection(name, tuple(members), vocabulary='pocket'))

    def train(self, name, seed, mixture='chosen', adapter=None, optimizer=None):
        """Train a way from the base; return the run's folder."""
        folder = pathlib.Path(self.options.model_dir) / f'seed{seed}' / name
        config = flanlite.from_gin(
            'gin/runs/pocket_train.gin',
            MODEL_DIR=folder,
            TRAIN_STEPS=self.options.steps,
            SEED=seed,
            MIXTURE_OR_TASK_NAME=mixture,
            TASK_FEATURE_LENGTHS=LENGTHS,
        )
        changes = {'model.adapter': adapter, 'initial_checkpoint_path': BASE}
        flanlite.train(config.replace(**changes, **({'optimizer': optimizer} if optimizer else {})))
        return str(folder)

    def prompt(self, name, seed, mixture='chosen', **fields):
        """Train soft prompts as Lester et al. 2021 do; return the run's folder."""
        adapter = fields.pop('adapter', PROMPT).replace(**fields)
        optimizer = flanlite.Adafactor(
            0.3, multiply_by_parameter_scale=False, decay_rate=0.8, weight_decay_rate=1e-5
        )
        return self.train(name, seed, mixture, adapter, optimizer)

    def score(self, path, seed, way):
        """Return the mean score over the chosen data sets."""
        output = pathlib.Path(self.options.model_dir) / f'seed{seed}' / 'scores' / way.replace(' ', '_')
        settings = {'max_rows': self.options.max_rows, 'output': str(output)}
        result = flanlite.evaluate(path, 'chosen', **settings)
        return float(np.mean([task.summary.mean for task in result.tasks]))


def low_rank(world, seed):
    adapter = flanlite.LoRA(targets=('.*/(query|value|wi_0|wi_1|wo)',), rank=8)
    return world.train('lora', seed, adapter=adapter, optimizer=flanlite.AdamW(5e-3))


def factors(world, seed):
    return world.train('ia3', seed, adapter=flanlite.IA3(), optimizer=flanlite.AdamW(2e-2))


def spot(world, seed):
    source = world.prompt('source', seed, 'rest')
    return world.prompt('spot', seed, tasks=world.tasks, init='file', file=source)


def ppt(world, seed):
    source = world.prompt('proxies', seed, 'pocket_proxies')
    return world.prompt('ppt', seed, tasks=world.tasks, init='file', file=source)


def attempt(world, seed):
    sources = world.prompt('sources', seed, 'sources', tasks=world.sources)
    adapter = flanlite.Attempt(
        length=PROMPT.length, tasks=world.tasks, sources=world.sources, source_file=sources, temperature=10.0
    )
    return world.prompt('attempt', seed, adapter=adapter)


def prefix(world, seed):
    adapter = flanlite.SoftPrefix(length=10, tasks=world.tasks)
    return world.train('prefix', seed, adapter=adapter, optimizer=flanlite.AdamW(3e-2))


def hyper_prompt(world, seed):
    adapter = flanlite.HyperPrompt(length=10, tasks=world.tasks, bottleneck=4, task_dim=8)
    return world.train('hyper', seed, adapter=adapter, optimizer=flanlite.AdamW(5e-3))


def of_fields(world, seed):
    adapter = flanlite.SchemaPrompt(length=10, schemas=flanlite.schemas('chosen'))
    return world.prompt('schema', seed, adapter=adapter)


WAYS = {
    'untuned': lambda world, seed: BASE,
    'full tuning': lambda world, seed: world.train('full', seed),
    'LoRA': low_rank,
    '(IA)3': factors,
    'one prompt': lambda world, seed: world.prompt('one', seed),
    'a prompt a task': lambda world, seed: world.prompt('each', seed, tasks=world.tasks),
    'SPoT': spot,
    'PPT': ppt,
    'ATTEMPT': attempt,
    'prefix': prefix,
    'HyperPrompt': hyper_prompt,
    'prompts of fields': of_fields,
}


def table(scores):
    """Make the table of the seeds so far, with 95% intervals (Student's t)."""
    rows = [[way, told(values)] for way, values in scores.items()]
    return markdown_table(['way', 'mean score'], rows)


if __name__ == '__main__':
    main()
