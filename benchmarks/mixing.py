"""Which way of mixing does best on what was not tuned on? The pocket world with unequal clusters: the first
has 2,000 examples of each data set, the second half as many, the third a third, and so on.

    python benchmarks/mixing.py                                   # both clusters, three seeds
    python benchmarks/mixing.py --held_out=sentiment --seeds=1 --runs=8 --steps=20      # a rehearsal

For each held-out cluster the pocket base is tuned on the others, mixed in proportion, equally, by UniMax (at
most one epoch), by the rates that `flanlite mix` chooses from short runs without the held-out cluster, and
by the bandit; and scored zero-shot. A cell is the accuracy in percent with its 95% interval over the seeds
(Student's t), and the difference to proportional mixing, paired by seed. What is done is kept in the folder:
the same command goes on after an interruption.
"""

import argparse
import dataclasses
import json
import pathlib

import numpy as np

import flanlite
from flanlite.mixtures import pocket
from flanlite.report.results import HELD_OUT, write_text
from flanlite.report.seeds import told
from flanlite.report.tables import markdown_table

LARGEST, EPOCHS = 2_000, 1.0
CLUSTERS = list(pocket.COLLECTION.clusters())
SPECS = tuple(
    dataclasses.replace(
        spec,
        name=spec.name.replace('pocket', 'skewed'),
        max_examples=LARGEST // (1 + CLUSTERS.index(spec.cluster)),
    )
    for spec in pocket.COLLECTION.specs
)
SKEWED = flanlite.Collection('skewed', SPECS, vocabulary='pocket')
BASELINE = 'proportional'


def main():
    """Choose rates, tune, score, and print the table after each way of mixing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model_dir', default='runs/mixing')
    parser.add_argument('--held_out', default='coreference,sentiment')
    parser.add_argument('--only', default='equal,unimax,mix,bandit', help='ways of mixing to compare')
    parser.add_argument('--seeds', type=int, default=3)
    parser.add_argument('--steps', type=int, default=80)
    parser.add_argument('--runs', type=int, default=12, help='mixtures that the rates are chosen by')
    parser.add_argument('--short', type=int, default=20, help='steps of these')
    parser.add_argument('--max_rows', type=int, default=120)
    options = parser.parse_args()
    flanlite.register(SKEWED)
    folder, scores = pathlib.Path(options.model_dir), {}
    for name in dict.fromkeys((BASELINE, *options.only.split(','))):
        for held_out in options.held_out.split(','):
            report = flanlite.loco(sweep(folder, name, held_out, options))
            tuned = report.of(held_out)['tuned']
            by_seed = report.by_seed.get((held_out, 'tuned'), [tuned])
            scores[name, held_out] = np.array([result.groups[HELD_OUT].mean for result in by_seed])
        text = '\n'.join(table(scores))
        write_text(folder / 'mixing.md', text + '\n')
        kept = {f'{name}/{held_out}': each.tolist() for (name, held_out), each in scores.items()}
        write_text(folder / 'mixing.json', json.dumps(kept, indent=1) + '\n')
        print(text, flush=True)


def sweep(folder, name, held_out, options):
    """Return the settings of one way of mixing with one cluster held out; choose the rates of `mix` first."""
    config = flanlite.from_gin(
        'gin/runs/pocket.gin', what='loco', TRAIN_STEPS=options.steps, MIXTURE_OR_TASK_NAME='skewed',
        MODEL_DIR=folder / name,
    ).replace(
        held_out=held_out, systems=('tuned',), seeds=options.seeds, max_rows=options.max_rows,
        predictions=False,
    )  # fmt: skip
    changes = {
        BASELINE: {},
        'equal': {'scheme': 'equal'},
        # Packed rows of 96 and 32 tokens hold about two examples of the pocket world.
        'unimax': {
            'scheme': 'unimax', 'epochs': EPOCHS, 'budget': 2 * options.steps * config.train.data.batch_size
        },
        'mix': {},
        'bandit': {},
    }[name]  # fmt: skip
    if name == 'mix':
        chosen = flanlite.from_gin(
            'gin/runs/pocket_mix.gin', what='mix', MIXTURE_OR_TASK_NAME=f'skewed_held_out_{held_out}',
            MODEL_DIR=folder / 'rates' / held_out, TRAIN_STEPS=options.short,
        ).replace(runs=options.runs)  # fmt: skip
        flanlite.mix(chosen)
        changes = {'rates': str(folder / 'rates' / held_out / 'rates.json')}
        config = config.replace(**{'train.model_dir': str(folder / name / held_out)})
    if name == 'bandit':
        looks = flanlite.BanditConfig('clusters', every_steps=10, rows=16)
        # What is left of a window is not read where the shares change, so windows are small.
        config = config.replace(**{'train.bandit': looks, 'train.data.window': 256})
    return config.replace(**{f'train.data.mixture.{field}': new for field, new in changes.items()})


def table(scores):
    """Make a line for each way of mixing, with a column for each held-out cluster and one for all."""
    held_out = list(dict.fromkeys(cluster for _, cluster in scores))
    lines = []
    for name in dict.fromkeys(name for name, _ in scores):
        each = [scores[name, cluster] for cluster in held_out]
        gains = [scores[name, cluster] - scores[BASELINE, cluster] for cluster in held_out]
        cells = [
            told(value) if name == BASELINE else f'{told(value)} ({told(gain, "+")})'
            for value, gain in zip((*each, np.mean(each, 0)), (*gains, np.mean(gains, 0)), strict=True)
        ]
        lines.append([name, *cells])
    return markdown_table(['mixing', *(f'{cluster} held out' for cluster in held_out), 'mean'], lines)


if __name__ == '__main__':
    main()
