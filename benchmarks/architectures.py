"""A control for an old question: encoder-decoder, prefix LM or causal LM? Three models of equal parameters
are pretrained from random weights and instruction-tuned with equal training FLOPs on the pocket world, and
scored zero-shot on each cluster that was left out.

    python benchmarks/architectures.py --share=0.02 --held_out=sentiment --max_rows=10   # a rehearsal
    python benchmarks/architectures.py

All three have T5's layers, objectives, data, optimizer and schedules: those of gin/runs/pocket_pretrain.gin,
and then gin/runs/pocket.gin. A token passes about half of an encoder-decoder's layers and all of a decoder's,
so with equal FLOPs the decoders take fewer steps; with --equal=steps they read as many rows of the same
lengths, at more than twice the FLOPs. FLOPs are those of `flanlite.model.flops`: padding counts, and so do
the logits that a decoder computes at inputs.

A line is a held-out cluster, scored in percent with its 95% interval over the seeds (Student's t); the
differences are paired by seed and cluster. The last interval is over clusters, of the means over seeds.
What is done is kept in the folder: the same command goes on after an interruption, and --seeds=0,1,2,3,4
adds seeds.
"""

import argparse
import itertools
import json
import pathlib
import time

import jax
import numpy as np

import flanlite
from flanlite.model import flops, models
from flanlite.progress import duration
from flanlite.report.results import HELD_OUT, write_text
from flanlite.report.seeds import told
from flanlite.report.tables import markdown_table

SLACK = 0.02  # of equal parameters and FLOPs
SHARED = {
    'vocab_size': 1408,
    'emb_dim': 128,
    'num_heads': 4,
    'head_dim': 32,
    'dropout_rate': 0.0,
    'logits_via_embedding': True,
    'dtype': 'float32',
    'remat_policy': 'none',
}
DECODER = SHARED | {'num_layers': 5, 'mlp_dim': 240}
MODELS = {
    'encoder-decoder': flanlite.T5Config(**SHARED, num_encoder_layers=2, num_decoder_layers=2, mlp_dim=256),
    'prefix LM': flanlite.DecoderOnlyConfig(**DECODER, prefix_lm=True),
    'causal LM': flanlite.DecoderOnlyConfig(**DECODER, prefix_lm=False),
}
FIRST = next(iter(MODELS))
# Gin file, steps of the first model, and what differs from the file.
SPANS = ('gin/runs/pocket_pretrain.gin', 300, {})
ENDINGS = (
    'gin/runs/pocket_pretrain.gin',
    4500,
    {
        'MIXTURE_OR_TASK_NAME': 'pocket_prefix',
        'TASK_FEATURE_LENGTHS': {'inputs': 96, 'targets': 24},
    },
)
TUNING = ('gin/runs/pocket.gin', 250, {})
STAGES = {'spans': SPANS, 'endings': ENDINGS, 'tuning': TUNING}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--model_dir', default='runs/architectures', help='the folder of all runs')
    parser.add_argument('--seeds', default='0,1,2', help='with commas')
    parser.add_argument('--held_out', default='all', help='clusters, with commas')
    parser.add_argument('--max_rows', type=int, default=120, help='rows of each data set that are scored')
    parser.add_argument('--equal', default='flops', choices=('flops', 'steps'), help='of the three models')
    parser.add_argument('--share', type=float, default=1.0, help='of the steps, for a rehearsal')
    options = parser.parse_args()
    counts = {name: steps(name, options.equal) for name in MODELS}
    check_equal(counts, options.equal)
    counts = {
        name: {stage: max(1, round(count * options.share)) for stage, count in stages.items()}
        for name, stages in counts.items()
    }
    folder, began = pathlib.Path(options.model_dir), time.monotonic()
    plan = list(itertools.product(map(int, options.seeds.split(',')), MODELS))
    scores = {}
    for number, (seed, name) in enumerate(plan):
        spent = time.monotonic() - began
        left = f', about {duration(spent / number * (len(plan) - number))} left' if number else ''
        print(f'[{number + 1}/{len(plan)}, {duration(spent)} elapsed{left}]  {name}, seed {seed}', flush=True)
        place = folder / name.replace(' ', '_') / f'seed{seed}'
        report = measure(place, MODELS[name], counts[name], seed, options)
        for result in report.results:
            scores[name, result.system, result.held_out, seed] = result.groups[HELD_OUT].mean
        if name == list(MODELS)[-1]:  # all models have this seed
            text = '\n'.join(table(scores, counts))
            write_text(folder / 'architectures.md', text + '\n')
            rows = [[*key, score] for key, score in scores.items()]
            write_text(folder / 'architectures.json', json.dumps(rows, indent=1) + '\n')
            print(text, flush=True)
    print(f'{duration(time.monotonic() - began)} in all; wrote {folder}/architectures.md and .json')


def steps(name, equal):
    """Count a model's steps of each stage, so that they take as many FLOPs as the first model's."""
    if equal == 'steps':
        return {stage: count for stage, (_, count, _) in STAGES.items()}
    return {
        stage: round(count * step_flops(FIRST, stage) / step_flops(name, stage))
        for stage, (_, count, _) in STAGES.items()
    }


def step_flops(name, stage):
    """Count the FLOPs of a step."""
    file, _, changes = STAGES[stage]
    data = flanlite.from_gin(file, what='DataConfig', **changes)
    return flops.train_step_flops(MODELS[name], data.batch_size, *data.feature_lengths.values())


def parameters(name):
    """Count a model's parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(models.abstract_params(MODELS[name])))


def total_flops(name, counts):
    """Count the FLOPs of pretraining and of one tuned model."""
    return sum(count * step_flops(name, stage) for stage, count in counts.items())


def check_equal(counts, equal):
    """Refuse models that are not equal."""
    found = {'parameters': {name: parameters(name) for name in MODELS}}
    if equal == 'flops':
        found['FLOPs'] = {name: total_flops(name, counts[name]) for name in MODELS}
    for what, each in found.items():
        if max(each.values()) > (1 + SLACK) * min(each.values()):
            raise SystemExit(
                f'{what} differ by more than {SLACK:.0%}: {each}; change the sizes in {__file__}'
            )


def measure(place, model, counts, seed, options):
    """Pretrain, tune and score one model with one seed; what is done is not done again."""
    checkpoint = None
    for stage in ('spans', 'endings'):
        file, _, changes = STAGES[stage]
        config = flanlite.from_gin(
            file, MODEL_DIR=place / stage, TRAIN_STEPS=counts[stage], SEED=seed, **changes
        ).replace(model=model, initial_checkpoint_path=checkpoint)
        settings = place / stage / 'settings.json'
        if settings.is_file() and flanlite.TrainConfig.load(settings) != config:
            raise SystemExit(
                f'{settings} has other settings, of another --share or --equal; expected the same: choose '
                'another --model_dir'
            )
        flanlite.train(config)
        checkpoint = str(place / stage)
    sweep = flanlite.from_gin(
        TUNING[0], what='loco', MODEL_DIR=place / 'tuning', TRAIN_STEPS=counts['tuning'], SEED=seed
    )
    tuning = {'train.model': model, 'train.initial_checkpoint_path': checkpoint}
    compared = {
        'held_out': options.held_out, 'systems': ('tuned', 'untuned'), 'max_rows': options.max_rows
    }  # fmt: skip
    return flanlite.loco(sweep.replace(**tuning, **compared))


def table(scores, counts):
    """Make the table of the seeds so far, and of the clusters that all of them have."""
    seeds = list(dict.fromkeys(seed for *_, seed in scores))
    clusters = [
        cluster
        for cluster in dict.fromkeys(cluster for _, _, cluster, _ in scores)
        if all((name, 'tuned', cluster, seed) in scores for name in MODELS for seed in seeds)
    ]

    def of(name, system, held_out):
        return np.array([scores[name, system, held_out, seed] for seed in seeds])

    def cells(system, held_out, form):
        each = {name: np.stack([of(name, system, cluster) for cluster in held_out]) for name in MODELS}
        pairs = itertools.combinations(MODELS, 2)
        return [form(each[name]) for name in MODELS] + [form(each[a] - each[b], '+') for a, b in pairs]

    def over_seeds(scores_CN, sign=''):
        return told(scores_CN.mean(axis=0), sign)

    def over_clusters(scores_CN, sign=''):
        return told(scores_CN.mean(axis=1), sign)

    def plain(values):
        return [*values, '', '', '']

    lines = [[cluster, *cells('tuned', [cluster], over_seeds)] for cluster in clusters]
    lines += [
        ['all, over seeds', *cells('tuned', clusters, over_seeds)],
        ['all, over clusters', *cells('tuned', clusters, over_clusters)],
        ['all before tuning, over seeds', *cells('untuned', clusters, over_seeds)],
        ['parameters', *plain(f'{parameters(name):,}' for name in MODELS)],
        ['training FLOPs', *plain(f'{total_flops(name, counts[name]):.4g}' for name in MODELS)],
        ['steps', *plain(' + '.join(map(str, counts[name].values())) for name in MODELS)],
    ]
    differences = [f'{a} less {b}' for a, b in itertools.combinations(MODELS, 2)]
    return markdown_table(['held out', *MODELS, *differences], lines)


if __name__ == '__main__':
    main()
