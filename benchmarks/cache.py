"""Measure the building of the token cache: natively, and by running the same data sets' SeqIO tasks, on the
same rows in the same run.

    python benchmarks/cache.py --mixture=pocket
    FLANLITE_DATA_DIR=... python benchmarks/cache.py --mixture=imdb_reviews,sst2,rte --vocabulary=t5

Natively means all of `cache.ensure`: rows read, rendered, tokenised, and written with lengths and manifest.
SeqIO's tf.data only makes the examples; nothing is written, and its time to the first example, the making of
the graph, is shown apart. Where other work shares the machine, CPU time says more than examples a second.
"""

import argparse
import os
import tempfile
import time

from flanlite.data.cache import cache
from flanlite.data.cache.view import BuildOptions, View
from flanlite.data.mixing import mixtures
from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import registry
from flanlite.data.tokens import vocabularies


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--mixture', default='pocket', help='collections or data sets, with commas')
    parser.add_argument('--vocabulary', help="by default the collection's")
    parser.add_argument('--max_examples', type=int, default=10_000, help='rows a task')
    parser.add_argument(
        '--seqio_tasks',
        type=int,
        default=3,
        help='how many of the tasks SeqIO runs, the first ones; 0 for none',
    )
    parser.add_argument(
        '--repeats', type=int, default=2, help='native builds; the last one counts, when files are warm'
    )
    options = parser.parse_args()

    resolved = [mixtures.resolve(name) for name in options.mixture.split(',')]
    names = [entry.task for mixture in resolved for entry in mixture.entries]
    vocabulary = vocabularies.load(options.vocabulary or resolved[0].collection.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            native = {name: build(name, vocabulary, folder, options.max_examples) for name in names}
    native = {name: found for name, found in native.items() if found}
    rows = [('native, one task after the other', total(native.values()))]
    rows += zip(
        ('native, all tasks at once', 'native, opened again'),
        native_together(native, vocabulary, options),
        strict=True,
    )
    if options.seqio_tasks:
        chosen = [name for name, found in native.items() if found['seqio']][: options.seqio_tasks]
        rows += [(f'native, {name}', native[name]) for name in chosen]
        rows += [(f'SeqIO, {name}', run_seqio(name, vocabulary, native[name]['examples'])) for name in chosen]
    show(rows, options, vocabulary, len(native))


def build(name, vocabulary, folder, max_examples):
    """Build one task's cache and measure it; None where its data is not at hand."""
    started, worked = time.time(), time.process_time()
    report = cache.ensure(
        [name], View('train', vocabulary, max_examples=max_examples), BuildOptions(folder, rebuild=True)
    )
    spent, cpu = time.time() - started, time.process_time() - worked
    if name not in report.splits:
        return None
    cached = report.splits[name]
    spec = registry.find_spec(name)
    is_seqio = isinstance(spec, tasks.specs.DatasetSpec)
    return {
        'start': 0.0,
        'seconds': spent,
        'cpu': cpu,
        'examples': len(cached),
        'tokens': int(cached.lengths[:].sum()),
        'seqio': is_seqio,
    }


def native_together(native, vocabulary, options):
    """Measure building all tasks in one call, with as many processes as there are CPUs, and then finding them
    in the cache.
    """
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            started, worked = time.time(), sum(os.times()[:4])  # with the processes that were started
            view = View('train', vocabulary, max_examples=options.max_examples)
            found = cache.ensure(list(native), view, BuildOptions(folder)).splits.values()
            spent, cpu = time.time() - started, sum(os.times()[:4]) - worked
            tokens = sum(int(cached.lengths[:].sum()) for cached in found)
            yield {
                'start': 0.0,
                'seconds': spent,
                'cpu': cpu,
                'examples': sum(map(len, found)),
                'tokens': tokens,
            }


def total(measured):
    measured = list(measured)
    return {
        key: sum(found[key] for found in measured)
        for key in ('start', 'seconds', 'cpu', 'examples', 'tokens')
    }


def run_seqio(name, vocabulary, count):
    """Run a data set's SeqIO task over the same rows."""
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    task = tasks.task(name, vocabulary=vocabulary)
    begun = time.time()
    examples = (
        task.get_dataset(sequence_length=None, split='train', shuffle=False).take(count).as_numpy_iterator()
    )
    example = next(examples)
    started, worked = time.time(), time.process_time()
    found, tokens = 1, len(example['inputs']) + len(example['targets'])
    for example in examples:
        found += 1
        tokens += len(example['inputs']) + len(example['targets'])
    spent, cpu = time.time() - started, time.process_time() - worked
    return {'start': started - begun, 'seconds': spent, 'cpu': cpu, 'examples': found, 'tokens': tokens}


def show(rows, options, vocabulary, count):
    rows_each = f'at most {options.max_examples:,} rows each'
    print(
        f'{count} tasks of {options.mixture}, {rows_each}, vocabulary {vocabulary.name}, {os.cpu_count()} '
        'cores'
    )
    heads = ('examples', 'tokens each', 'start s', 'seconds', 'examples/s', 'CPU us/example')
    print(f'{"":34}' + ''.join(f'{head:>16}' for head in heads))
    for name, found in rows:
        cells = [
            f'{found["examples"]:,}',
            f'{found["tokens"] / found["examples"]:.0f}',
            f'{found["start"]:.2f}',
            f'{found["seconds"]:.2f}',
        ]
        cells += [
            f'{found["examples"] / found["seconds"]:,.0f}',
            f'{1e6 * found["cpu"] / found["examples"]:.0f}',
        ]
        print(f'{name:34}' + ''.join(f'{cell:>16}' for cell in cells))


if __name__ == '__main__':
    main()
