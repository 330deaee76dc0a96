"""Measure training: start-up to the first step, step time, tokens/s, MFU, peak memory, saving and restoring;
T5X's own beside them.

    python benchmarks/train_step.py
    python benchmarks/train_step.py --sizes=tiny --t5x_dir=PATH --t5x_python=PATH

Rows of 256 and 64 tokens, 8 of them packed a step, dropout 0.1, float32, a vocabulary of 32,128, Adafactor.
Each line is of runs of the whole trainer, `flanlite train` and T5X's train.py, in processes of their own, on
the same tokens from either's cache. Start-up counts from before the interpreter starts to the end of the
first step, with and without compiled programs in JAX's cache, which T5X is given too. Step times are of
windows in which the two take turns, so that what else the machine does falls on both; where that is much, CPU
seconds and the ratios say more than seconds. Tokens/s counts all places in the rows, padding too.

T5X is not on PyPI: `git clone https://github.com/google-research/t5x`, and, in a virtual environment of its
own, what its setup.py names, without airio and jestimator, for which there are stand-ins here, and with
tensorboard.
"""

import argparse
import contextlib
import functools
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BATCH_SIZE, LENGTHS = 8, {'inputs': 256, 'targets': 64}
TOKENS = BATCH_SIZE * sum(LENGTHS.values())
DATA_SET = 'pocket_reviews'
SIZES = {
    'tiny': {
        'emb_dim': 64,
        'num_heads': 4,
        'num_encoder_layers': 4,
        'num_decoder_layers': 4,
        'head_dim': 16,
        'mlp_dim': 128,
    },
    'small': {
        'emb_dim': 512,
        'num_heads': 6,
        'num_encoder_layers': 8,
        'num_decoder_layers': 8,
        'head_dim': 64,
        'mlp_dim': 1024,
    },
}
CHECKPOINTS = {
    'save': 'save, s',
    'save_cpu': '  CPU seconds of it',
    'restore': 'restore, s',
    'restore_cpu': '  CPU seconds of it',
}
MARK = '@'  # begins the lines in which a run tells its figures


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--sizes', default='tiny,small', help='with commas')
    parser.add_argument('--windows', type=int, default=6, help='how often the step is timed')
    parser.add_argument('--steps', type=int, default=4, help='steps of a window')
    parser.add_argument(
        '--starts', type=int, default=2, help='how often a warm start is timed, and saving and restoring'
    )
    parser.add_argument('--t5x_dir', help="a checkout of T5X; without it, T5X's figures are left out")
    parser.add_argument('--t5x_python', default=sys.executable, help='the Python that has what T5X needs')
    parser.add_argument(
        '--work_dir', help='where caches and checkpoints are written; by default a temporary folder'
    )
    parser.add_argument('--child', choices=('make', 'flanlite'), help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.child:
        make(options) if options.child == 'make' else train(options, rest)
        return
    if rest:
        parser.error(f'no such flags: {" ".join(rest)}')
    if unknown := set(options.sizes.split(',')) - set(SIZES):
        parser.error(
            f'--sizes={options.sizes}: no size {unknown.pop()!r}; expected {", ".join(SIZES)}, with commas'
        )
    if options.t5x_dir and not pathlib.Path(options.t5x_dir, 't5x', 'train.py').is_file():
        parser.error(
            f'--t5x_dir={options.t5x_dir} has no t5x/train.py; expected a checkout of '
            'github.com/google-research/t5x'
        )
    with contextlib.ExitStack() as stack:
        options.work_dir = options.work_dir or stack.enter_context(tempfile.TemporaryDirectory())
        systems = [Flanlite(options)] + ([T5X(options)] if options.t5x_dir else [])
        subprocess.run(
            [sys.executable, __file__, '--child=make', *given(options)], check=True, env=environment(options)
        )
        print(
            f'{BATCH_SIZE} rows of {LENGTHS["inputs"]}/{LENGTHS["targets"]}, dropout 0.1, float32, '
            f'Adafactor; {os.cpu_count()} cores'
        )
        for size in options.sizes.split(','):
            show(size, {system.name: figures for system, figures in measure(systems, size, options).items()})
    if not options.t5x_dir:
        print("T5X's column is left out: --t5x_dir=CHECKOUT gives it (see --help)")


def given(options):
    return [
        f'--{key}={value}' for key, value in vars(options).items() if key != 'child' and value is not None
    ]


def environment(options):
    return os.environ | {
        'FLANLITE_CACHE_DIR': f'{options.work_dir}/flanlite',
        'TF_CPP_MIN_LOG_LEVEL': '3',
        'PYTHONUNBUFFERED': '1',
    }


class Flanlite:
    """Starts runs of `flanlite train`."""

    name = 'flanlite'

    def __init__(self, options):
        self.options, self.compiled = options, pathlib.Path(options.work_dir, 'flanlite', 'jax')

    def start(self, size, model_dir, steps, saves=False):
        config = SIZES[size] | {'dtype': 'float32', 'remat_policy': 'none'}
        macros = {
            'TRAIN_STEPS': steps,
            'BATCH_SIZE': BATCH_SIZE,
            'TASK_FEATURE_LENGTHS': LENGTHS,
            'DROPOUT_RATE': 0.1,
        }
        bindings = [f'--gin.{name}={value!r}' for name, value in macros.items()]
        bindings += [f'--gin.T5Config.{name}={value!r}' for name, value in config.items()]
        files = [f'--gin_file=gin/{name}.gin' for name in ('models/base', 'train')]
        command = [sys.executable, __file__, '--child=flanlite', *given(self.options)]
        return Run(
            [*command, 'train', *files, f'--mixture={DATA_SET}', f'--model_dir={model_dir}', *bindings],
            environment(self.options),
        )


class T5X:
    """Starts runs of T5X's train.py."""

    name = 'T5X'

    def __init__(self, options):
        self.options, self.compiled = options, pathlib.Path(options.work_dir, 't5x_compiled')

    def start(self, size, model_dir, steps, saves=False):
        settings = {
            'size': SIZES[size],
            'steps': steps,
            'window': self.options.steps,
            'saves': saves,
            'model_dir': str(model_dir),
        }
        settings |= {
            't5x_dir': self.options.t5x_dir,
            'cache': f'{self.options.work_dir}/seqio',
            'lengths': LENGTHS,
            'rows': BATCH_SIZE,
        }
        script = pathlib.Path(__file__).with_name('train_step_t5x.py')
        compiled = {'JAX_COMPILATION_CACHE_DIR': str(self.compiled)}
        return Run(
            [self.options.t5x_python, script, json.dumps(settings | {'task': DATA_SET})],
            environment(self.options) | compiled,
        )


class Run:
    """A training run in a process of its own that tells its figures, and waits for a word after its first
    step and each window of them.
    """

    def __init__(self, command, env):
        self.began = time.time()
        self.errors = tempfile.TemporaryFile('w+')  # noqa: SIM115 - it lives as long as the process
        pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'stderr': self.errors}
        self.process = subprocess.Popen(list(map(str, command)), env=env, text=True, **pipes)
        self.figures = {}

    def tells(self, name):
        """Read what it tells until it tells this; returns that."""
        for line in self.process.stdout:
            if line.startswith(MARK):
                found = json.loads(line[len(MARK) :])
                self.figures |= found
                if name in found:
                    return found
        self.end()
        sys.exit(f'never told {name!r}: {" ".join(self.process.args)}')

    def first(self):
        """Wait for the first step; returns seconds since the process was started."""
        return self.tells('first')['first'] - self.began

    def window(self):
        """Let a window of steps run."""
        self.go()
        return self.tells('seconds')

    def go(self):
        with contextlib.suppress(BrokenPipeError):  # what ended before its time is found out by reading
            self.process.stdin.write('go\n')
            self.process.stdin.flush()

    def end(self):
        """Let it save, and wait for the end; returns all figures, with the process's peak memory."""
        self.go()
        for line in self.process.stdout:
            self.figures |= json.loads(line[len(MARK) :]) if line.startswith(MARK) else {}
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode:
            self.errors.seek(0)
            sys.exit(
                f'{self.errors.read()[-5_000:]}\nended with status {self.process.returncode}: '
                f'{" ".join(self.process.args)}'
            )
        return self.figures | {'rss': used.ru_maxrss / 1024}


def measure(systems, size, options):
    """Measure one size; the systems take turns in everything."""
    found = {
        system: {'cold': [], 'warm': [], 'warm CPU': [], 'step': [], 'step CPU': []} for system in systems
    }
    for turn in range(1 + options.starts):
        for system in systems:
            if not turn:
                shutil.rmtree(system.compiled, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=options.work_dir) as model_dir:
                run = system.start(size, model_dir, steps=1)
                found[system]['warm' if turn else 'cold'].append(run.first())
                ended = run.end()
                if turn:
                    found[system]['warm CPU'].append(ended['first_cpu'])
    with contextlib.ExitStack() as stack:
        folders = {
            system: stack.enter_context(tempfile.TemporaryDirectory(dir=options.work_dir))
            for system in systems
        }
        steps = 1 + options.windows * options.steps
        runs = {}
        for system in systems:
            runs[system] = system.start(size, folders[system], steps, saves=True)
            runs[system].first()
        for _ in range(options.windows):
            for system, run in runs.items():
                window = run.window()
                found[system]['step'].append(window['seconds'] / options.steps)
                found[system]['step CPU'].append(window['cpu'] / options.steps)
        for system, run in runs.items():
            found[system] |= run.end() | {name: [] for name in CHECKPOINTS}
        for turn in range(1, 1 + options.starts):
            for system in systems:
                run = system.start(size, folders[system], steps + turn, saves=True)
                run.first()
                ended = run.end()
                for name in CHECKPOINTS:
                    found[system][name].append(ended[name])
    return found


def show(size, found):
    """Print the figures of one size, and their ratio where there are two systems."""
    print(
        f'\n{size:26}'
        + ''.join(f'{name:>24}' for name in found)
        + (f'{"ratio":>10}' if len(found) > 1 else '')
    )

    def spread(values, form):
        return '/'.join(
            form.format(value) for value in sorted({min(values), statistics.median(values), max(values)})
        )

    def line(name, values, form='{:.2f}'):
        cells = [f'{spread(each, form):>24}' for each in values]
        ratio = (
            [f'{statistics.median(values[0]) / statistics.median(values[1]):>10.2f}']
            if len(values) > 1
            else []
        )
        print(f'{name:26}' + ''.join(cells + ratio))

    figures = list(found.values())
    for name, key in (
        ('cold start to 1st step, s', 'cold'),
        ('warm start to 1st step, s', 'warm'),
        ('  CPU seconds of it', 'warm CPU'),
    ):
        line(name, [each[key] for each in figures])
    line('step, s', [each['step'] for each in figures], '{:.3f}')
    line('  CPU seconds of it', [each['step CPU'] for each in figures], '{:.3f}')
    line('tokens/s', [[TOKENS / seconds for seconds in each['step']] for each in figures], '{:.0f}')
    line('peak RSS, MiB', [[each['rss']] for each in figures], '{:.0f}')
    for name, words in CHECKPOINTS.items():
        line(words, [each[name] for each in figures])
    ours = figures[0]
    seconds = statistics.median(ours['step'])
    mfu = f'{ours["ideal"] / seconds:.3f}' if ours['ideal'] else f'not known on {ours["device"]}'
    print(f'{ours["flops"]:.3g} FLOPs a step, {ours["flops"] / seconds:.3g} FLOP/s; MFU {mfu}', flush=True)


def tell(**figures):
    """Tell the parent process figures, in a run."""
    print(MARK + json.dumps(figures), flush=True)


def make(options):
    """Fill the token cache, and SeqIO's with the same tokens."""
    from flanlite.data.cache import cache
    from flanlite.data.cache.view import BuildOptions, view_of
    from flanlite.data.mixing import mixtures

    view = view_of(mixtures.resolve(DATA_SET), 'train', 'pocket')
    split = cache.ensure([DATA_SET], view, BuildOptions(fail_fast=True)).splits[DATA_SET]
    folder = pathlib.Path(options.work_dir, 'seqio', DATA_SET)
    if options.t5x_dir and not folder.exists():
        import input as pipelines

        pipelines.write_seqio(folder, split.path)


def train(options, arguments):
    """Run `flanlite train`, and tell how long its parts take."""
    import jax

    from flanlite.cli import main as cli
    from flanlite.model import flops
    from flanlite.training import checkpoints, run

    def compiled(config, optimizer, settings, partitioner):
        computed = flops.train_step_flops(config, BATCH_SIZE, *LENGTHS.values())
        device = partitioner.mesh.devices.flat[0].device_kind
        tell(
            flops=computed, device=device, ideal=flops.ideal_seconds(computed, device, partitioner.mesh.size)
        )
        return Turns(options.steps).wrap(
            jit_train_step(config, optimizer, settings, partitioner), jax.block_until_ready
        )

    jit_train_step = run.jit_train_step
    run.jit_train_step = compiled
    reading, saving = Clock('restore'), Clock('save')
    # Which T5X's time has in it, too.
    checkpoints.Checkpoints.__init__ = reading.wrap(checkpoints.Checkpoints.__init__)
    checkpoints.Checkpoints.restore = reading.wrap(checkpoints.Checkpoints.restore, jax.block_until_ready)
    checkpoints.Checkpoints.save = saving.wrap(checkpoints.Checkpoints.save)
    checkpoints.Checkpoints.wait = saving.wrap(checkpoints.Checkpoints.wait)
    sys.exit(cli.main(arguments))


class Clock:
    """Adds up the seconds of the functions that it wraps, and of CPUs in them, from the last call of one that
    `restarts` it.
    """

    def __init__(self, name):
        self.name, self.seconds, self.cpu = name, 0.0, 0.0

    def wrap(self, function, finish=lambda result: result, restarts=False):
        @functools.wraps(function)
        def timed(*args, **kwargs):
            self.seconds, self.cpu = (0.0, 0.0) if restarts else (self.seconds, self.cpu)
            began = time.perf_counter(), time.process_time()
            result = finish(function(*args, **kwargs))
            self.seconds += time.perf_counter() - began[0]
            self.cpu += time.process_time() - began[1]
            tell(**{self.name: self.seconds, f'{self.name}_cpu': self.cpu})
            return result

        return timed


class Turns:
    """Tells when the first step and then each window of them is done, and goes on, or saves, when the parent
    process says so.
    """

    def __init__(self, window):
        self.window, self.done = window, 0

    def wrap(self, step, finish):
        @functools.wraps(step)
        def timed(*args):
            result = step(*args)
            self.done += 1
            if self.done % self.window == 1 % self.window:
                finish(result)
                self.tell()
            return result

        return timed

    def tell(self):
        if self.done == 1:
            tell(first=time.time(), first_cpu=time.process_time())
        else:
            tell(seconds=time.perf_counter() - self.began[0], cpu=time.process_time() - self.began[1])
        sys.stdin.readline()
        self.began = time.perf_counter(), time.process_time()


if __name__ == '__main__':
    main()
