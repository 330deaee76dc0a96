"""Measure the input pipeline: open cached tasks, mix, pack and batch them; Grain's own and SeqIO's pipelines
beside it, on the same examples.

    python benchmarks/input.py --tasks=600 --seconds=20 --lengths=1024,256
    python benchmarks/input.py --tasks=2000 --hosts=1,8 --seqio_tasks=70

Each pipeline runs in a process of its own, and with `--hosts=8` eight processes at once read a host's rows
each; the line has the worst of them. Opening includes the checksums of all files, as in a run. Grain mixes
(`MapDataset.mix`) and packs (`BestFitPackIterDataset`) the same ArrayRecord files with its default options.
SeqIO reads its own offline cache (token ids in TFRecords), mixes the same tasks at the same rates and packs
with EncDecFeatureConverter(pack=True). It needs a graph a task, so it is given `--seqio_tasks` of them, and
flanlite reads as few once more. Threads are counted in all, and beside those that were there after the
imports: NumPy starts as many as there are cores, JAX some. Where other work shares the machine, CPU time says
more than examples a second.

With several numbers of hosts, each continues from the position at which the first one stopped, and must read
the same rows.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np

from flanlite.data.tokens import example

SAME_BATCHES = 20  # that are compared between numbers of hosts
SIDES = {'encoder': 'inputs', 'decoder': 'targets'}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--tasks', type=int, default=600, help='cached tasks')
    parser.add_argument(
        '--seqio_tasks', type=int, default=20, help='how many of them SeqIO gets; 0 leaves it out'
    )
    parser.add_argument('--hosts', default='1', help='numbers of processes that share the batches')
    parser.add_argument('--host', type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument('--position', default='', help=argparse.SUPPRESS)
    parser.add_argument('--examples', type=int, default=500, help='examples a task')
    parser.add_argument('--seconds', type=float, default=20.0, help='how long to read')
    parser.add_argument('--lengths', default='1024,256', help='inputs,targets')
    parser.add_argument('--batch_size', type=int, default=64)
    parser.add_argument('--work_dir', help='where the examples are made; by default a temporary folder')
    parser.add_argument('--measure', choices=list(PIPELINES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(PIPELINES[options.measure](options)))
        return

    with contextlib.ExitStack() as stack:
        options.work_dir = options.work_dir or stack.enter_context(tempfile.TemporaryDirectory())
        make(options)
        results = []
        for hosts in map(int, options.hosts.split(',')):
            found = measure_hosts(hosts, options)
            results.append((f'flanlite, {hosts} hosts' if hosts > 1 else 'flanlite', found))
            # The others go on where the first one stopped.
            options.position = options.position or json.dumps(found['position'])
        if any(found['rows'] != results[0][1]['rows'] for _, found in results):
            sys.exit('the rows behind a position depend on the number of hosts')
        results.append(('Grain', measure('grain', options.tasks, options)))
        if options.seqio_tasks:
            results += [(name, measure(name, options.seqio_tasks, options)) for name in ('flanlite', 'seqio')]
    show(results, options)


def make(options):
    """Write the tasks twice: as cached splits and, the first few, in SeqIO's cache format."""
    started = time.time()
    root = pathlib.Path(options.work_dir)
    rng = np.random.default_rng(0)
    for number in range(options.tasks):
        folder = root / 'flanlite' / f'task_{number:04d}'
        if not folder.exists():
            write_split(folder, synthetic(rng, options.examples))
        if number < options.seqio_tasks and not (root / 'seqio' / folder.name).exists():
            write_seqio(root / 'seqio' / folder.name, folder)
    print(
        f'made {options.tasks} tasks of {options.examples} examples in {time.time() - started:.1f} s',
        flush=True,
    )


def peak_gibibytes():
    """Read the most memory that this process has had so far; `getrusage` would count what its parent had when
    it was forked, too.
    """
    status = pathlib.Path('/proc/self/status').read_text(encoding='utf-8')
    return int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) / 2**20


def count_threads():
    """Count the threads of this process."""
    return len(os.listdir('/proc/self/task'))


def synthetic(rng, count):
    """Draw a task's examples: lengths log-normal around the task's own means, which spread as an instruction
    mixture's do.
    """
    mean_inputs = rng.lognormal(np.log(130), 0.7)
    mean_targets = rng.lognormal(np.log(8), 0.9)
    lengths = rng.lognormal(np.log([mean_inputs, mean_targets]), [0.4, 0.3], (count, 2))
    inputs, targets = np.clip(lengths, [8, 2], [2_000, 400]).astype(int).T
    return [
        (np.append(rng.integers(3, 32_000, source - 1), 1), np.append(rng.integers(3, 32_000, target - 1), 1))
        for source, target in zip(inputs, targets, strict=True)
    ]


def write_split(folder, examples):
    from array_record.python import array_record_module

    from flanlite import checksums
    from flanlite.data.cache import cached_split

    folder.mkdir(parents=True)
    writer = array_record_module.ArrayRecordWriter(
        str(folder / 'shard.array_record'), 'group_size:1,uncompressed'
    )
    for row, (inputs, targets) in enumerate(examples):
        writer.write(cached_split.encode_example(example.Example(inputs, targets, row, row % 10)))
    writer.close()
    np.save(
        folder / cached_split.LENGTHS,
        np.array([[len(inputs), len(targets)] for inputs, targets in examples], np.uint16),
    )
    shards = [{'file': 'shard.array_record', 'num_examples': len(examples)}]
    (folder / cached_split.MANIFEST).write_text(
        json.dumps({'name': folder.name, 'num_examples': len(examples), 'shards': shards})
    )
    checksums.write(folder)


def write_seqio(folder, split_folder):
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    import tensorflow as tf

    from flanlite.data.cache import cached_split

    def feature(ids):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=ids.tolist()))

    folder.mkdir(parents=True)
    count = 0
    with tf.io.TFRecordWriter(str(folder / 'train.tfrecord-00000-of-00001')) as writer:
        for example in cached_split.CachedSplit(split_folder).examples():
            features = {'inputs': feature(example.inputs), 'targets': feature(example.targets)}
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
            count += 1
    described = {'shape': [None], 'dtype': 'int32'}
    info = {
        'seqio_version': '0.0.20',
        'num_shards': 1,
        'features': {'inputs': described, 'targets': described},
    }
    (folder / 'info.train.json').write_text(json.dumps(info))
    (folder / 'stats.train.json').write_text(json.dumps({'examples': count}))
    (folder / 'COMPLETED').touch()


def started(name, options, **settings):
    """Start a process that runs one pipeline."""
    settings = vars(options) | {'measure': name} | settings
    command = [sys.executable, __file__, *(f'--{key}={value}' for key, value in settings.items())]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(process):
    """Return the figures that a process printed."""
    output, _ = process.communicate()
    if process.returncode:
        sys.exit(f'{" ".join(process.args)} failed')
    return json.loads(output.splitlines()[-1])


def measure(name, tasks, options):
    """Run one pipeline over the first tasks in a process of its own."""
    return finished(started(name, options, tasks=tasks, hosts=1, position=''))


def measure_hosts(hosts, options):
    """Read with as many processes at once; return the worst of their figures, their examples a second
    together, and the rows behind the position, in the order of the batches.
    """
    processes = [started('flanlite', options, hosts=hosts, host=host) for host in range(hosts)]
    found = [finished(process) for process in processes]
    worst = ('imports', 'first', 'opened', 'rss', 'threads', 'own_threads', 'cpu')
    rows = [row for rows in zip(*(each['rows'] for each in found), strict=True) for row in rows]
    return (
        found[0]
        | {key: max(each[key] for each in found) for key in worst}
        | {'rate': sum(each['rate'] for each in found), 'rows': rows}
    )


def measure_flanlite(options):
    started = time.time()
    import grain  # noqa: F401
    from grain.experimental import ThreadPrefetchDatasetIterator  # noqa: F401

    from flanlite.data.batches import batches
    from flanlite.data.cache import cached_split

    imported, threads = time.time(), count_threads()
    lengths = split_lengths(options)
    folders = sorted((pathlib.Path(options.work_dir) / 'flanlite').iterdir())[: options.tasks]
    splits = [cached_split.open_checked(folder) for folder in folders]
    rates = [float(len(split)) for split in splits]
    iterator = batches.train_iterator(
        splits,
        rates,
        feature_lengths=lengths,
        batch_size=options.batch_size,
        seed=0,
        host_rows=range(options.host, options.batch_size, int(options.hosts)),
    )
    figures = read(iterator, options, imported, threads)
    if options.position:
        iterator.set_state(json.loads(options.position))
    position, rows = iterator.get_state(), []
    for _ in range(SAME_BATCHES):
        rows += [zlib.crc32(row.tobytes()) for row in next(iterator)['encoder_input_tokens']]
    now, better = batches.hint_shape(splits, rates, lengths)
    hint = (
        f'{lengths["inputs"]}/{better.targets} would fill {better.encoder_fill:.3f} and '
        f'{better.decoder_fill:.3f}, '
        f'and cut {better.cut:.1%} of the targets where {lengths["targets"]} cuts {now.cut:.1%}'
    )
    about = {'position': position, 'rows': rows, 'hint': hint}
    return figures | about | {'tasks': len(splits), 'imports': imported - started}


def measure_grain(options):
    started = time.time()
    import grain
    from grain import experimental

    from flanlite.data.cache import cached_split

    imported, threads = time.time(), count_threads()
    lengths = split_lengths(options)

    def decode(record):
        inputs, targets = cached_split.decode_tokens(record)
        return {'inputs': inputs[: lengths['inputs']], 'targets': targets[: lengths['targets']]}

    def renamed(batch):
        return {f'{side}_segment_ids': batch[f'{name}_segment_ids'] for side, name in SIDES.items()}

    folders = sorted((pathlib.Path(options.work_dir) / 'flanlite').iterdir())[: options.tasks]
    sources = [grain.sources.ArrayRecordDataSource(str(folder / 'shard.array_record')) for folder in folders]
    tasks = [
        grain.MapDataset.source(source).seed(number).shuffle().repeat().map(decode)
        for number, source in enumerate(sources)
    ]
    mixed = grain.MapDataset.mix(tasks, [float(len(source)) for source in sources]).to_iter_dataset()
    packed = experimental.BestFitPackIterDataset(
        mixed, length_struct=lengths, num_packing_bins=options.batch_size
    )
    iterator = iter(packed.batch(options.batch_size, drop_remainder=True).map(renamed))
    return read(iterator, options, imported, threads) | {'tasks': len(folders), 'imports': imported - started}


def measure_seqio(options):
    os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'
    started = time.time()
    import seqio
    import tensorflow as tf

    imported, threads = time.time(), count_threads()
    vocabulary = seqio.PassThroughVocabulary(32_128, eos_id=1)
    features = {name: seqio.Feature(vocabulary, add_eos=False) for name in ('inputs', 'targets')}
    cache = pathlib.Path(options.work_dir) / 'seqio'
    seqio.add_global_cache_dirs([str(cache)])
    names = sorted(folder.name for folder in cache.iterdir())[: options.tasks]
    for name in names:
        source = seqio.FunctionDataSource(
            lambda split, shuffle_files, seed=None: tf.data.Dataset.range(0), splits=('train',)
        )
        seqio.TaskRegistry.add(
            name, source=source, preprocessors=[seqio.CacheDatasetPlaceholder()], output_features=features
        )
    seqio.MixtureRegistry.add('all', [(name, options.examples) for name in names])
    dataset = seqio.get_dataset(
        'all',
        split_lengths(options),
        dataset_split='train',
        shuffle=True,
        use_cached=True,
        seed=0,
        num_epochs=None,
        feature_converter=seqio.EncDecFeatureConverter(pack=True),
    )
    batches = iter(dataset.batch(options.batch_size, drop_remainder=True).prefetch(2).as_numpy_iterator())
    return read(batches, options, imported, threads) | {'tasks': len(names), 'imports': imported - started}


def split_lengths(options):
    return dict(zip(('inputs', 'targets'), map(int, options.lengths.split(',')), strict=True))


def read(iterator, options, started, threads):
    """Read for a while; count examples by their segments, and threads beside those that there were."""
    batch = next(iterator)
    first, worked, opened = time.time(), time.process_time(), peak_gibibytes()
    examples = rows = most = 0
    fills = np.zeros(2)
    while time.time() - first < options.seconds:
        batch = next(iterator)
        most = max(most, count_threads())
        rows += len(batch['encoder_segment_ids'])
        examples += int(batch['decoder_segment_ids'].max(axis=1).sum())
        fills += [(batch[f'{side}_segment_ids'] > 0).mean(axis=1).sum() for side in ('encoder', 'decoder')]
    spent = time.time() - first
    return {
        'first': first - started,
        'opened': opened,
        'rss': peak_gibibytes(),
        'threads': most,
        'own_threads': most - threads,
        'rate': examples / spent,
        'cpu': (time.process_time() - worked) / examples,
        'encoder': fills[0] / rows,
        'decoder': fills[1] / rows,
    }


PIPELINES = {'flanlite': measure_flanlite, 'grain': measure_grain, 'seqio': measure_seqio}


def show(results, options):
    print(
        f'{options.lengths} tokens, batches of {options.batch_size} rows, {os.cpu_count()} cores, '
        f'{options.seconds:g} s of reading'
    )
    heads = ('tasks', 'imports s', 'first batch s', 'GiB until it', 'peak RSS GiB')
    heads += ('threads', 'of the input', 'examples/s', 'CPU us/example', 'encoder fill', 'decoder fill')
    print(f'{"":18}' + ''.join(f'{head:>15}' for head in heads))
    for name, found in results:
        cells = [f'{found["tasks"]}'] + [
            f'{found[name]:.2f}' for name in ('imports', 'first', 'opened', 'rss')
        ]
        cells += [
            f'{found["threads"]}',
            f'{found["own_threads"]}',
            f'{found["rate"]:,.0f}',
            f'{1e6 * found["cpu"]:.0f}',
            f'{found["encoder"]:.4f}',
            f'{found["decoder"]:.4f}',
        ]
        print(f'{name:18}' + ''.join(f'{cell:>15}' for cell in cells))
    print(f'a better shape for the {options.tasks} tasks: {results[0][1]["hint"]}')
    if options.seqio_tasks:
        print(
            "SeqIO's time to the first batch and its memory grow with the number of tasks: give it more with "
            '--seqio_tasks'
        )


if __name__ == '__main__':
    main()
