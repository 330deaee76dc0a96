"""Check and time flanlite on an NVIDIA GPU, within ten minutes: every attention implementation, forward and
backward, against plain attention in float32; then training and ranking; transformers on torch beside them.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --peer      # the same rows of transformers; pip install torch transformers
    python benchmarks/gpu.py --tiny      # rehearses all of it on a CPU, with tiny sizes

Every row is a process of its own, and is printed and added to a file of JSON lines when it is done. One that
fails says why, and the next goes on. What the file has is not done again: the same command goes on after an
interruption, or when the minutes were not enough.

A check is right where output and gradients are within a tolerance of plain attention's, as a share of their
size. Training is the whole step, bfloat16 activations, Adafactor, rows full of tokens: T5 1.1 of 1024/256
tokens with dropout 0.1, Llama of 2,048. The batch is as large as the memory holds, up to the first number of
rows; a model that does not fit even with one row loses layers, which the row says. The first model of a
family is timed with each implementation, the others with the quickest of these. Peak memory is what the
device reports, or else the compiler. Ranking scores 4 options of 16 tokens for inputs of 448; transformers
reads each pair of input and option.
"""

import argparse
import contextlib
import functools
import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

MARK = '@'  # begins the lines in which a row tells its figures
LEAST_SECONDS, MOST_SECONDS = 15, 180  # of a row
TINY_MEMORY = 8 * 2**20  # so that not all rows fit
IMPLEMENTATIONS = ('xla', 'blockwise', 'pallas', 'cudnn')
TOLERANCES = {'bfloat16': 2e-2, 'float32': 5e-3}  # float32 products are TF32 on a GPU


class Size(NamedTuple):
    """A model's gin file, lengths of inputs and targets, and the most rows of a batch."""

    file: str
    lengths: tuple[int, int]
    rows: int


SIZES = {
    'T5 base': Size('base', (1024, 256), 64),
    'T5 small': Size('small', (1024, 256), 128),
    'T5 large': Size('large', (1024, 256), 32),
    'T5 xl': Size('xl', (1024, 256), 16),
    'Llama 3.2 1B': Size('llama3_2_1b', (1536, 512), 16),
    'Llama 3.1 8B': Size('llama3_1_8b', (1536, 512), 8),
}
FAMILIES = {'T5 base': 'T5', 'Llama 3.2 1B': 'Llama'}  # by the model that each implementation is timed with
RANKED = ('T5 base', 'T5 xl', 'Llama 3.2 1B')
RANKING = {'questions': 256, 'inputs': 448, 'options': 4, 'length': 16}
TINY_RANKING = {'questions': 16, 'inputs': 28, 'options': 4, 'length': 4}


class Case(NamedTuple):
    """What attention is asked for: heads of queries and of keys, size of a head, queries, keys, the rest."""

    heads: tuple[int, int]
    size: int
    targets: int = 488  # no multiple of a block; cuDNN wants even lengths
    sources: int = 488
    bias: bool = False
    causal: bool = False
    prefix: bool = False
    window: int = 0
    soft_cap: float = 0.0
    merged: int = 0


CASES = {
    "T5's encoder": Case((8, 8), 64, bias=True),
    "T5's decoder": Case((8, 8), 64, bias=True, causal=True),
    "T5's source": Case((8, 8), 64, targets=232),
    'prefix LM': Case((8, 8), 64, bias=True, causal=True, prefix=True),
    "Llama's grouped heads": Case((16, 4), 128, causal=True),
    "Gemma 3's window": Case((8, 4), 256, causal=True, window=100),
    "Gemma 2's window and soft cap": Case((8, 4), 256, causal=True, window=100, soft_cap=3.0),
    "T5Gemma 2's merged attention": Case((4, 1), 256, targets=232, sources=232, causal=True, merged=488),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--peer', action='store_true', help='also time transformers on torch')
    parser.add_argument('--tiny', action='store_true', help='tiny sizes, on a CPU')
    parser.add_argument('--minutes', type=float, default=9, help='after which no row is waited for')
    parser.add_argument('--output', help='the JSON lines; by default runs/gpu.jsonl or runs/gpu_tiny.jsonl')
    parser.add_argument('--row', type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        kind = options.row.pop('kind')
        signal.alarm(MOST_SECONDS + 60)  # so that nothing holds the device where what started this was killed
        try:
            KINDS[kind](**options.row)
        except Exception as error:  # whatever a compiler or a peer raises
            tell(error=f'{type(error).__name__}: {" ".join(str(error).split())[:300]}')
            raise
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the row's process ends with this one
    run = Run(options)
    before = run.done.pop('device', {}).get('device')
    device = run.row('device', kind='device', tiny=options.tiny)
    if 'error' in device:
        raise SystemExit(1)
    if len(run.done) > 1 and before and before != device['device']:
        raise SystemExit(f'{run.path} has rows of {before}; name another file with --output')
    if device['platform'] != 'gpu' and not options.tiny:
        raise SystemExit(f'JAX runs on {device["platform"]} here; expected a GPU; --tiny rehearses on a CPU')
    for way in IMPLEMENTATIONS:
        run.row(f'check {way}', kind='check', way=way, tiny=options.tiny)
    for model, family in FAMILIES.items():
        for way in IMPLEMENTATIONS:
            run.train(model, way)
        for each in (name for name in SIZES if name.startswith(family)):
            run.train(each, run.quickest(model))
            run.peer('train', each, run.quickest(model))
    for model in RANKED:
        way = run.quickest(next(first for first in FAMILIES if model.startswith(FAMILIES[first])))
        run.rank(model, way)
        run.peer('rank', model, way)
    print(f'{run.seconds():.0f} s in all; rows in {run.path}')


class Run:
    """Runs rows in processes of their own, and keeps what they tell."""

    def __init__(self, options):
        self.options, self.began = options, time.monotonic()
        self.path = pathlib.Path(options.output or f'runs/gpu{"_tiny" * options.tiny}.jsonl')
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.done, self.shown = {}, set()
        for line in lines:
            with contextlib.suppress(ValueError):  # the last one of a killed run
                found = json.loads(line)
                self.done[found['row']] = found

    def seconds(self):
        return time.monotonic() - self.began

    def train(self, model, way):
        self.row(f'train {model}, {way}', kind='train', model=model, way=way, tiny=self.options.tiny)

    def rank(self, model, way):
        self.row(f'rank {model}, {way}', kind='rank', model=model, way=way, tiny=self.options.tiny)

    def peer(self, what, model, way):
        """Run transformers at the shapes of a row of ours, where that is asked for."""
        own = self.done.get(f'train {model}, {way}', {})
        rows, layers = own.get('rows', 8), own.get('layers')
        if what == 'rank':  # of whole models, and as many tokens in a batch as ours has
            asked = TINY_RANKING if self.options.tiny else RANKING
            rows, layers = max(1, 2**16 // (asked['inputs'] + asked['length'])), None
        if self.options.peer:
            row = {'what': what, 'model': model, 'rows': rows, 'layers': layers, 'tiny': self.options.tiny}
            self.row(f'{what} {model}, transformers', kind='peer', **row)

    def quickest(self, model):
        """Return the implementation that trained a model quickest; 'auto' where none is known."""
        rows = [self.done.get(f'train {model}, {way}', {}) for way in IMPLEMENTATIONS]
        found = [(row['tokens_a_second'], row['way']) for row in rows if 'error' not in row and row]
        return max(found)[1] if found else 'auto'

    def row(self, name, **row):
        """Run a row unless it is done; print it, and keep it."""
        if name in self.shown:
            return self.done[name]
        self.shown.add(name)
        if 'error' not in self.done.get(name, {'error': ''}):
            return self.show(self.done[name])
        left = 60 * self.options.minutes - self.seconds()
        if left < LEAST_SECONDS:
            return self.show({'row': name, 'error': 'no time left; the same command goes on'})
        found = {'row': name} | {key: row[key] for key in ('model', 'way') if key in row}
        began = time.monotonic()
        seconds = min(left, MOST_SECONDS)
        found |= self.process([sys.executable, __file__, '--row', json.dumps(row)], seconds)
        self.done[name] = found | {'seconds': round(time.monotonic() - began, 1)}
        with self.path.open('a') as file:
            file.write(json.dumps(self.done[name]) + '\n')
        return self.show(self.done[name])

    def process(self, command, seconds):
        """Run a process that tells its figures; return these, and why it failed if it did."""
        environment = os.environ | {
            'XLA_PYTHON_CLIENT_MEM_FRACTION': '0.92',
            'JAX_COMPILATION_CACHE_DIR': str(pathlib.Path('runs/compiled').absolute()),
            'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
            'TF_CPP_MIN_LOG_LEVEL': '3',
        }
        if self.options.tiny:  # compiling takes most of its time
            environment['XLA_FLAGS'] = '--xla_backend_optimization_level=0'
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        process = subprocess.Popen(command, env=environment, start_new_session=True, **pipes)
        try:
            out, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, errors = process.communicate()
            errors = f'not done after {seconds:.0f} s; the same command tries again'
        except BaseException:  # Ctrl-C or SIGTERM
            os.killpg(process.pid, signal.SIGKILL)
            raise
        found = {}
        for line in out.splitlines():
            if line.startswith(MARK):
                found |= json.loads(line[len(MARK) :])
        if process.returncode and 'error' not in found:
            last = errors.strip().splitlines()[-1:] or [f'ended with status {process.returncode}']
            found['error'] = last[0][:300]
        return found

    def show(self, row):
        cells = {
            'rows': '{} rows',
            'layers': '{} layers',
            'step': '{:.4f} s a step',
            'tokens_a_second': '{:,.0f} tokens/s',
            'mfu': 'MFU {:.3f}',
            'peak_gib': 'peak {:.3g} GiB',
            'options_a_second': '{:,.0f} options/s',
            'device': '{}',
            'right': '{} right',
            'refused': 'refused: {}',
            'wrong': 'wrong: {}',
            'note': '{}',
            'error': 'failed: {}',
        }
        told = [form.format(row[key]) for key, form in cells.items() if row.get(key) not in (None, '', [])]
        print(f'{row["row"]:34} {", ".join(told)}', flush=True)
        return row


def tell(**figures):
    """Tell the parent process figures, in a row."""
    print(MARK + json.dumps(figures), flush=True)


def device(tiny):
    """Tell what the machine is."""
    import jax

    found = jax.devices()[0]
    tell(device=f'{found.device_kind}, jax {jax.__version__}', platform=found.platform)


def check(way, tiny):
    """Compare an implementation with plain attention in float32, all cases, output and gradients."""
    import jax
    import numpy as np

    from flanlite.model.attention import attention

    if jax.default_backend() not in attention.PLATFORMS.get(way, (jax.default_backend(),)):
        raise SystemExit(f'{way} does not run on {jax.default_backend()}')
    right, refused, wrong, errors = 0, [], [], {}
    for name, case in CASES.items():
        if tiny:
            case = case._replace(
                size=8, targets=case.targets // 8, sources=case.sources // 8, window=case.window // 8
            )
        for dtype in ('bfloat16',) if way == 'cudnn' else TOLERANCES:
            with jax.default_matmul_precision('highest'):
                expected = outcome(case, 'xla', 'float32')
            try:
                got = outcome(case, way, dtype)
            except (ValueError, NotImplementedError) as error:  # it cannot do this, and says so
                refused.append(f'{name}, {dtype}: {error}')
                continue
            except Exception as error:  # whatever a compiler raises
                wrong.append(f'{name}, {dtype}: {str(error).splitlines()[0][:200]}')
                continue
            found = [
                float(np.linalg.norm(x - y) / np.linalg.norm(y)) for x, y in zip(got, expected, strict=True)
            ]
            errors[f'{name}, {dtype}'] = found
            if max(found) < TOLERANCES[dtype]:  # a nan is not
                right += 1
            else:
                wrong.append(f'{name}, {dtype}: off by {max(found):.2g}')
            tell(errors=errors, right=right, refused=refused, wrong=wrong)
    tell(errors=errors, right=right, refused=refused, wrong=wrong)


def outcome(case, way, dtype):
    """Return the output of queries that are no padding, and the gradients, in float32."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from flanlite.model.attention import attention, blocks

    rng = np.random.default_rng(0)
    (H, G), B, T, S = case.heads, 2, case.targets, case.sources

    def draw(*shape):
        return jnp.asarray(rng.normal(size=shape), 'bfloat16').astype(dtype)

    def packed(length):
        parts = [length // 4, length // 4, length // 3]
        first = np.repeat([1, 2, 3, 0], [*parts, length - sum(parts)])
        return jnp.asarray(np.stack([first, np.ones(length, int)]), 'int32')

    scale = np.float32(1.5 / case.size**0.25)  # so that logits are of the size 2, and the soft cap counts
    arrays = {
        'q': draw(B, T, H, case.size) * scale.astype(dtype),
        'k': draw(B, S, G, case.size) * scale.astype(dtype),
        'v': draw(B, S, G, case.size),
    }
    if case.bias:
        arrays['bias'] = draw(H, T + S).astype('float32')
    if case.merged:
        arrays |= {
            'source_k': draw(B, case.merged, G, case.size) * scale.astype(dtype),
            'source_v': draw(B, case.merged, G, case.size),
        }
    weights_BTHK = draw(B, T, H, case.size).astype('float32')
    seen = {'causal': case.causal, 'soft_cap': case.soft_cap}
    if case.window:
        seen['window'] = (case.window - 1, blocks.FAR)
    if case.prefix:
        seen['kv_prefix_BS'] = jnp.asarray(rng.random((B, S)) < 0.5)
    own_BT, own_BS = packed(T), packed(S)

    def total(arrays):
        merged = (arrays['source_k'], arrays['source_v'], packed(case.merged)) if case.merged else None
        out = attention.attention(
            arrays['q'],
            arrays['k'],
            arrays['v'],
            q_segments_BT=own_BT,
            kv_segments_BS=own_BS,
            bias=arrays.get('bias'),
            source=merged,
            implementation=way,
            **seen,
        )
        out = jnp.where((own_BT > 0)[:, :, None, None], out.astype(jnp.float32), 0.0)
        return jnp.sum(out * weights_BTHK), out

    gradients, out = jax.jit(jax.grad(total, has_aux=True))(arrays)
    return [np.asarray(x, np.float32) for x in (out, *jax.tree.leaves(gradients))]


def config_of(model, way='auto', tiny=False, layers=None):
    """Make a model's config; returns it with its lengths, the most rows, and its layers."""
    import flanlite

    file, lengths, rows = SIZES[model]
    config = flanlite.from_gin(f'gin/models/{file}.gin', what='MODEL').replace(attention=way)
    if tiny:
        small = {
            'vocab_size': 512,
            'emb_dim': 32,
            'num_heads': 4,
            'num_kv_heads': 2,
            'head_dim': 8,
            'mlp_dim': 64,
        }
        config = config.replace(**{name: size for name, size in small.items() if hasattr(config, name)})
        lengths, rows = tuple(length // 16 for length in lengths), 8
    stacks = [
        name for name in ('num_layers', 'num_encoder_layers', 'num_decoder_layers') if hasattr(config, name)
    ]
    layers = layers or (2 if tiny else getattr(config, stacks[0]))
    return config.replace(**dict.fromkeys(stacks, layers)), lengths, rows, layers


def train(model, way, tiny):
    """Time the train step with as many rows, and then layers, as fit."""
    import jax

    from flanlite.data.config import DataConfig
    from flanlite.mesh import partitioning
    from flanlite.training import compile as ahead
    from flanlite.training.config import TrainConfig
    from flanlite.training.optimizers import Adafactor

    device = jax.devices()[0]
    partitioner = partitioning.make_partitioner(devices=[device])
    memory = (device.memory_stats() or {'bytes_limit': TINY_MEMORY})['bytes_limit']
    chip = ahead.Chip(memory / ahead.GIB, 1.0, '')
    config, lengths, rows, layers = config_of(model, way, tiny)
    whole, overran = layers, False
    while True:
        data = DataConfig('any', dict(zip(('inputs', 'targets'), lengths, strict=True)), rows)
        run = TrainConfig('unused', data, Adafactor(1e-3), 1, config)
        share = 0.5
        try:
            found = ahead.forecast(run, partitioner, chip)
            if not found.refused:
                figures = time_steps(run, partitioner, 0.5 if tiny else 3.0)
                break
            fixed = 2 * found.parameters + found.optimizer  # gradients, too
            share = min(share, (memory - fixed) / (found.peak - fixed))
        except jax.errors.JaxRuntimeError as error:
            if 'RESOURCE_EXHAUSTED' not in str(error):
                raise
            overran = True
        if rows > 1:
            rows = 2 ** int(math.log2(max(1, rows * share)))
        elif layers > 1:
            config, lengths, rows, layers = config_of(model, way, tiny, layers // 2)
        else:
            raise SystemExit(f'one layer and one row do not fit into {chip.memory:.3g} GiB')
    if layers < whole:
        tell(note=f'not whole: {whole} layers do not fit into {chip.memory:.3g} GiB')
    stats = device.memory_stats()
    # The device's peak is that of the whole process, and so of a batch that did not fit.
    peak = stats['peak_bytes_in_use'] if stats and not overran else found.peak
    tell(rows=rows, layers=layers, peak_gib=peak / ahead.GIB, **figures)


def time_steps(run, partitioner, least):
    """Time steps on full rows, at least so many seconds of them."""
    import jax
    import numpy as np

    from flanlite.data.batches import batches
    from flanlite.model import flops
    from flanlite.training.begin import run_seed
    from flanlite.training.optimizers import make_optimizer
    from flanlite.training.step import jit_init, jit_train_step

    config, rows, lengths = run.model, run.data.batch_size, tuple(run.data.feature_lengths.values())
    rng = np.random.default_rng(0)
    examples = [
        [[rng.integers(3, config.vocab_size, length, np.int32) for length in lengths]] for _ in range(rows)
    ]
    batch = partitioner.place(batches.CONVERTERS[config.converter].pack(examples, lengths))
    optimizer, seed = make_optimizer(run.optimizer, (), None), run_seed(0, partitioner)
    state = jit_init(config, optimizer, partitioner)(seed)
    step = jit_train_step(config, optimizer, run.step, partitioner)

    def steps(count):
        nonlocal state
        began = time.perf_counter()
        for _ in range(count):
            state, sums = step(state, batch, seed)
        loss = float(jax.device_get(sums['loss']))
        if not math.isfinite(loss):
            raise SystemExit(f'the loss is {loss}')
        return (time.perf_counter() - began) / count

    steps(1)
    seconds = steps(max(3, math.ceil(least / steps(1))))
    device = partitioner.mesh.devices.flat[0]
    ideal = flops.ideal_seconds(flops.train_step_flops(config, rows, *lengths), device.device_kind, 1)
    tokens = rows * sum(lengths)
    return {'step': seconds, 'tokens_a_second': tokens / seconds, 'mfu': ideal and ideal / seconds}


def rank(model, way, tiny):
    """Time ranking."""
    import jax
    import numpy as np

    from flanlite.eval import rank as ranking
    from flanlite.mesh import partitioning
    from flanlite.model import models

    partitioner = partitioning.make_partitioner(devices=jax.devices()[:1])
    config, *_ = config_of(model, way, tiny)
    placed = models.shardings(config, partitioner)
    params = jax.jit(functools.partial(models.init_params, config), out_shardings=placed)(jax.random.key(0))
    count, inputs, options, length = (TINY_RANKING if tiny else RANKING).values()
    rng = np.random.default_rng(0)

    def draw(size):
        return rng.integers(3, config.vocab_size, size, np.int32)

    questions = [ranking.Question(draw(inputs), [draw(length) for _ in range(options)]) for _ in range(count)]
    for _ in range(2):  # the first compiles
        began = time.perf_counter()
        ranking.score(config, params, partitioner, questions, 2**12 if tiny else 2**16)
        seconds = time.perf_counter() - began
    tell(options_a_second=count * options / seconds)


def peer(tiny, **row):
    """Time transformers."""
    import gpu_peer

    tell(**gpu_peer.measure(**row, tiny=tiny, **(TINY_RANKING if tiny else RANKING)))


KINDS = {'device': device, 'check': check, 'train': train, 'rank': rank, 'peer': peer}


if __name__ == '__main__':
    main()
