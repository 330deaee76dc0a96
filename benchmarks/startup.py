"""Measure what starts slowly elsewhere: the command line, importing a collection, and opening a cached
mixture to train on it.

    python benchmarks/startup.py
    python benchmarks/startup.py --tasks=600 --seqio_tasks=70

Each line is a process of its own, so that imports count. The mixture has `--tasks` tasks, each with ten
templates, cached by `cache.ensure` as any user's are; opening it is `mixtures.resolve`, `cache.ensure` and
the first packed batch. SeqIO has as many of the same tasks registered with `seqio.TaskRegistry`, over its own
offline cache of the same tokens, and gives its first packed batch. It is told nothing of templates, which
spares it the ten tasks for each data set that FLAN's release registers. Where other work shares the machine,
CPU time says more than seconds.
"""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

ROWS = 500
COMMANDS = {
    'flanlite --help': 'from flanlite.cli import main as cli; cli.main(["--help"])',
    'flanlite datasets': 'from flanlite.cli import main as cli; cli.main(["datasets"])',
    'import flanlite.mixtures.flan2021': 'import flanlite.mixtures.flan2021',
    'import seqio': 'import seqio',
}
LENGTHS = {'inputs': 512, 'targets': 64}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--tasks', type=int, default=70, help='tasks of the mixture')
    parser.add_argument(
        '--seqio_tasks', type=int, default=70, help='how many of them SeqIO opens; 0 leaves it out'
    )
    parser.add_argument('--work_dir', help='where the caches are made; by default a temporary folder')
    parser.add_argument('--measure', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options)
        return
    with contextlib.ExitStack() as stack:
        options.work_dir = options.work_dir or stack.enter_context(tempfile.TemporaryDirectory())
        run('make', options)
        lines = [(name, run(name, options)) for name in COMMANDS]
        lines.append((f'open {options.tasks} tasks, first batch', run('flanlite', options)))
        if options.seqio_tasks:
            lines.append((f'SeqIO: open {options.seqio_tasks} tasks, first batch', run('seqio', options)))
    print(f'{os.cpu_count()} cores')
    print(
        f'{"":40}'
        + ''.join(f'{head:>14}' for head in ('seconds', 'CPU seconds', 'peak RSS MB', 'TensorFlow'))
    )
    for name, found in lines:
        cells = (
            f'{found["seconds"]:.2f}',
            f'{found["cpu"]:.2f}',
            f'{found["rss"]:.0f}',
            'imported' if found['tensorflow'] else 'no',
        )
        print(f'{name:40}' + ''.join(f'{cell:>14}' for cell in cells))


def run(name, options):
    """Run one line in a process of its own; its time is counted from before the interpreter starts."""
    given = [f'--{key}={value}' for key, value in vars(options).items() if key != 'measure']
    environment = os.environ | {
        'FLANLITE_CACHE_DIR': f'{options.work_dir}/flanlite',
        'TF_CPP_MIN_LOG_LEVEL': '3',
    }
    started = time.time()
    command = [sys.executable, __file__, f'--measure={name}', *given]
    done = subprocess.run(command, capture_output=True, env=environment, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]) | {'seconds': time.time() - started}


def measure(options):
    """Do what a line names and print this process's figures."""
    functions = {'make': make, 'flanlite': open_flanlite, 'seqio': open_seqio}
    if options.measure in functions:
        functions[options.measure](options)
    else:
        with (
            open(os.devnull, 'w') as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.suppress(SystemExit),
        ):
            exec(COMMANDS[options.measure], {})
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu, rss = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(json.dumps({'cpu': cpu, 'rss': rss, 'tensorflow': 'tensorflow' in sys.modules}))


def collection(options):
    """Register a collection of made-up data sets."""
    from flanlite.data.specs import registry, sources
    from flanlite.data.specs.collection import Collection
    from flanlite.data.specs.specs import DatasetSpec
    from flanlite.data.specs.templates import Template

    def rows(split):
        return [
            {'text': f'Is {index} times {index} more than {7 * index}?', 'label': index % 2}
            for index in range(ROWS)
        ]

    def fields(row):
        return {'text': row['text'], 'answer': row['label']}

    templates = tuple(
        Template(f'Question {number}: {{text}}\n\n{{options_}}', '{answer}') for number in range(10)
    )
    made = tuple(
        DatasetSpec(
            f'task_{number:04d}', 'nli', sources.InMemory(rows), fields, templates, options=('no', 'yes')
        )
        for number in range(options.tasks)
    )
    registry.register(Collection('startup', made, vocabulary='pocket'))


def ensure(options):
    """Find the mixture in the cache, or build it."""
    from flanlite.data.cache import cache
    from flanlite.data.cache.view import BuildOptions, view_of
    from flanlite.data.mixing import mixtures

    collection(options)
    mixture = mixtures.resolve('startup')
    found = cache.ensure(
        [entry.task for entry in mixture.entries],
        view_of(mixture, 'train', 'pocket'),
        BuildOptions(fail_fast=True),
    )
    return found.splits, mixtures.rates(mixture, {name: len(split) for name, split in found.splits.items()})


def make(options):
    """Write flanlite's cache, and SeqIO's with the same tokens."""
    import input as pipelines

    for number, split in enumerate(ensure(options)[0].values()):
        folder = pathlib.Path(options.work_dir) / 'seqio' / split.name
        if number < options.seqio_tasks and not folder.exists():
            pipelines.write_seqio(folder, split.path)


def open_flanlite(options):
    from flanlite.data.batches import batches

    splits, rates = ensure(options)
    iterator = batches.train_iterator(
        list(splits.values()), list(rates.values()), feature_lengths=LENGTHS, batch_size=64, seed=0
    )
    assert next(iterator)['encoder_input_tokens'].shape == (64, LENGTHS['inputs'])


def open_seqio(options):
    import seqio
    import tensorflow as tf

    vocabulary = seqio.PassThroughVocabulary(32_128, eos_id=1)
    features = {name: seqio.Feature(vocabulary, add_eos=False) for name in LENGTHS}
    seqio.add_global_cache_dirs([f'{options.work_dir}/seqio'])
    names = [f'task_{number:04d}' for number in range(options.seqio_tasks)]
    for name in names:
        source = seqio.FunctionDataSource(
            lambda split, shuffle_files, seed=None: tf.data.Dataset.range(0), splits=('train',)
        )
        seqio.TaskRegistry.add(
            name, source=source, preprocessors=[seqio.CacheDatasetPlaceholder()], output_features=features
        )
    seqio.MixtureRegistry.add('all', [(name, ROWS) for name in names])
    dataset = seqio.get_dataset(
        'all', LENGTHS, dataset_split='train', shuffle=True, use_cached=True, seed=0, num_epochs=None,
        feature_converter=seqio.EncDecFeatureConverter(pack=True),
    )  # fmt: skip
    assert next(dataset.batch(64).as_numpy_iterator())['encoder_input_tokens'].shape == (
        64,
        LENGTHS['inputs'],
    )


if __name__ == '__main__':
    main()
