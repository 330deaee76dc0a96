"""Kill runs at random and damage their files, in real processes, and compare what comes of it with runs that
nothing disturbed.

    python benchmarks/faults.py --kills=200 --damages=60 --seed=1 --folder=runs/faults
    python benchmarks/faults.py --soak=120 --folder=runs/faults

A kill starts a command in two to four processes, sends SIGKILL to some of them at a random moment, or while a
checkpoint is written, and waits for the others to end by themselves. Then the command is started again,
training in another number of processes as often as not, and may be killed again, up to six times in a row.
What the last start leaves must be what an undisturbed run leaves: the bytes of a cache; losses, bit for bit
in the same number of processes; scores. A damage cuts, lengthens, changes, empties, removes or replaces a
file of the newest checkpoint or of a cached split; training must say so in one line, and give the undisturbed
run once it falls back or the cache is built again. A bad input is a setting that makes no sense, for a run
that has begun: it must be refused in one line and leave all files as they were. Trials in `trials.jsonl` of
the folder are not done again. A soak trains for some minutes and prints how much memory grows after the first
fifth.
"""

import argparse
import collections
import functools
import itertools
import json
import math
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

from flanlite.data.cache.cached_split import LENGTHS

LIMIT = 600  # seconds that any command may take
ENDS = 90  # seconds within which the others end; more than processes.CONNECTS_WITHIN
STEPS = 12
TRAIN = [
    'train', '--gin_file=gin/runs/pocket_train.gin', '--mixture=pocket_reviews', f'--gin.TRAIN_STEPS={STEPS}',
    '--gin.BATCH_SIZE=12', '--gin.RecordsConfig.log_every_steps=1', '--gin.CheckpointConfig.every_steps=4',
]  # fmt: skip
SMALL = ['--gin.BATCH_SIZE=12', '--gin.CheckpointConfig.every_steps=4']
JOBS = {
    'cache': ['cache', '--mixture=pocket_reviews', '--split=train', '--processes=1'],
    'train': [*TRAIN, '--model_dir={folder}/run'],
    'save': [*TRAIN, '--model_dir={folder}/run', '--gin.CheckpointConfig.every_steps=1'],
    'eval': [
        'eval', '--checkpoint=mixtures/pocket/assets/base.safetensors', '--mixture=pocket_reviews',
        '--max_rows=12', '--output={folder}/scores',
    ],
    'loco': [
        'loco', '--gin_file=gin/runs/pocket.gin', '--only=sentiment', '--gin.SweepConfig.max_rows=4',
        "--gin.SweepConfig.systems=('tuned', 'untuned')", '--gin.TRAIN_STEPS=8', '--model_dir={folder}/sweep',
        *SMALL,
    ],
    'transfer': [
        'transfer', '--gin_file=gin/runs/pocket_transfer.gin', '--model_dir={folder}/prompts', *SMALL,
        "--gin.SOURCES=('pocket_topics', 'pocket_feelings')", "--gin.TARGETS=('pocket_comments',)",
        '--gin.TRAIN_STEPS=4', '--gin.EMBEDDING_STEPS=2', '--gin.EVERY_STEPS=2',
        '--gin.TransferConfig.source_steps=4', '--gin.TransferConfig.max_rows=4',
        '--gin.TransferConfig.dev_rows=4', '--gin.TransferConfig.seeds=1',
    ],
}  # fmt: skip
OFTEN = ('train', 'train', 'save', 'save', 'cache', 'eval', 'loco', 'transfer')  # some twice as often
IN_A_ROW = 6  # kills of one trial at most
PLACES = {
    'checkpoint': (
        '_CHECKPOINT_METADATA', 'checksums.json', 'config/metadata', 'manifest/metadata', 'metrics/metrics',
        'position/metadata', 'optimizer/manifest.ocdbt', 'optimizer/_METADATA', 'optimizer/*/d/*',
        'params/manifest.ocdbt', 'params/_METADATA', 'params/*/d/*', 'params/d/*',
    ),
    'cache': ('checksums.json', 'manifest.json', LENGTHS, '*.arrayrecord'),
}  # fmt: skip
HOW = {
    'cut': lambda path, rng: os.truncate(path, path.stat().st_size // 2),
    'longer': lambda path, rng: path.write_bytes(path.read_bytes() + rng.randbytes(rng.randint(1, 100))),
    'changed': lambda path, rng: change(path, rng),
    'empty': lambda path, rng: os.truncate(path, 0),
    'removed': lambda path, rng: path.unlink(),
    'replaced by a folder': lambda path, rng: (path.unlink(), path.mkdir()),
}
BAD = (
    '--gin.BATCH_SIZE=-1', '--gin.BATCH_SIZE=1e10', "--gin.BATCH_SIZE='12'", '--gin.TRAIN_STEPS=1e24',
    '--gin.SEED=-1', '--gin.SEED=0.5', '--gin.RecordsConfig.log_every_steps=0',
    '--gin.CheckpointConfig.every_steps=-4', '--gin.CheckpointConfig.keep_last=0',
    "--gin.TASK_FEATURE_LENGTHS={'inputs': '96', 'targets': 24}",
    "--gin.TASK_FEATURE_LENGTHS={'inputs': 96.5, 'targets': 24}", '--gin.MESH=(2.0, 4.0)',
    '--gin.NO_SUCH_SETTING=1', '--gin.TRAIN_STEPS=', '--gin_file=gin/runs/no_such_run.gin',
    '--mixture=no_such_mixture', '--import=no_such_module',
    '--data_dir=no/such/folder', '--vocabulary=no_such_vocabulary',
)  # fmt: skip
INPUTS = [('input', text) for text in BAD]
KINDS = [(of, place, how) for of in PLACES for place in PLACES[of] for how in HOW] + INPUTS


def change(path, rng):
    content = bytearray(path.read_bytes())
    at = rng.randrange(max(1, len(content) - 3))
    content[at : at + 4] = (byte ^ rng.randrange(1, 256) for byte in content[at : at + 4])
    path.write_bytes(content)


def start(job, folder, count, cache, more=()):
    """Start a command in `count` processes."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', 'flanlite', *(part.format(folder=folder) for part in JOBS[job]), *more]
    started = []
    for index in range(count):
        variables = {'JAX_PLATFORMS': 'cpu', 'FLANLITE_CACHE_DIR': str(cache)}
        if count > 1 and job != 'cache':
            names = ('FLANLITE_COORDINATOR', 'FLANLITE_NUM_PROCESSES', 'FLANLITE_PROCESS_ID')
            variables |= dict(zip(names, (f'localhost:{port}', str(count), str(index)), strict=True))
        with (
            open(folder / f'said{index}.txt', 'w') as said,
            open(folder / f'errors{index}.txt', 'w') as errors,
        ):
            started.append(subprocess.Popen(command, stdout=said, stderr=errors, env=os.environ | variables))
    return started


def finish(started, seconds):
    """Wait for processes; return their exit statuses, None for those that had to be killed."""
    until = time.monotonic() + seconds
    found = []
    for process in started:
        try:
            found.append(process.wait(max(0.1, until - time.monotonic())))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            found.append(None)
    return found


def errors(folder, index=0):
    """Return the lines of errors of a process, without those of progress."""
    text = (folder / f'errors{index}.txt').read_text(errors='replace')
    return [line for line in text.splitlines() if line.strip() and not line.startswith('caching ')]


def waits(folder, index):
    """Return whether a process last said that it waits for one that has not come: a launcher starts that one
    again, which was killed before all had come together.
    """
    said = (folder / f'said{index}.txt').read_text(errors='replace').strip().splitlines()
    return bool(said) and said[-1].startswith(('waiting for process', f'process {index} of'))


def outcome(job, folder, cache):
    """Return what a command left that does not depend on when it ran."""
    if job == 'cache':
        found = {}
        for path in sorted(cache.glob(f'*/*/{LENGTHS}')):
            files = json.loads((path.parent / 'checksums.json').read_text())['files']
            found[path.parent.name] = {name: files[name] for name in files if name != 'manifest.json'}
        return found
    if job in ('train', 'save'):
        records = map(json.loads, (folder / 'run/metrics.jsonl').read_text().splitlines())
        names = ('step', 'loss', 'accuracy', 'gradient_norm')
        return [[record[name] for name in names] for record in records]
    place = {'eval': 'scores', 'loco': 'sweep', 'transfer': 'prompts'}[job]
    return without_times(json.loads((folder / place / 'results.json').read_text()))


def without_times(item):
    if isinstance(item, dict):
        return {name: without_times(part) for name, part in item.items() if 'seconds' not in name}
    return [without_times(part) for part in item] if isinstance(item, list) else item


def close(found, expected):
    """Return whether two outcomes are the same but for rounding."""
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    return math.isclose(found, expected, rel_tol=2e-4, abs_tol=1e-6)


def check_others(others, folder, job):
    """Wait for the processes that were not killed, by index; all must end by themselves, with one line."""
    until = time.monotonic() + ENDS
    while running := [index for index, process in others.items() if process.poll() is None]:
        if all(waits(folder, index) for index in running):
            return  # a launcher starts again the one that they wait for
        if time.monotonic() > until:
            raise Failed(f'processes {running} did not end within {ENDS} s')
        time.sleep(0.5)
    for index in others:
        if job != 'cache' and len(errors(folder, index)) > 1:
            raise Failed(f'more than one line: {errors(folder, index)[:3]}')


def contents(folder):
    """Return the files of a run and what is in them, but for its lock."""
    files = (path for path in folder.rglob('*') if path.is_file() and path.name != 'train.lock')
    return {(str(path.relative_to(folder)), path.read_bytes()) for path in files}


class Failed(Exception):
    """What came of a trial is not what must."""


class Campaign:
    """Trials in a folder, which holds `trials.jsonl`, and what undisturbed runs leave in `reference/`."""

    def __init__(self, folder, seed, jobs=OFTEN):
        self.folder, self.seed, self.jobs = pathlib.Path(folder).absolute(), seed, jobs
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file, self.cache = self.folder / 'trials.jsonl', self.folder / 'cache'
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.done = {trial['name']: trial for trial in map(json.loads, lines)}

    def reference_folder(self, job, count):
        cores = len(os.sched_getaffinity(0))  # on another number of them, sums are rounded otherwise
        return self.folder / 'reference' / f'{job}-{count}-{cores}cores'

    def reference(self, job, count):
        """Return what an undisturbed run leaves, and how long it takes."""
        folder = self.reference_folder(job, count)
        if not (folder / 'outcome.json').exists():
            shutil.rmtree(folder, ignore_errors=True)
            for _ in range(1 + (job != 'cache')):  # the second time, all is compiled and cached
                shutil.rmtree(folder, ignore_errors=True)
                cache = folder / 'cache' if job == 'cache' else self.cache
                began = time.monotonic()
                if any(finish(start(job, folder, count, cache), LIMIT)):
                    raise SystemExit(f'{job} failed undisturbed: {errors(folder)}')
            took = time.monotonic() - began
            (folder / 'outcome.json').write_text(json.dumps([outcome(job, folder, cache), took]))
        return json.loads((folder / 'outcome.json').read_text())

    def trial(self, name, kind, what, run):
        """Do a trial, unless it is done, and keep what came of it."""
        if name in self.done:
            return
        rng, folder = random.Random(f'{self.seed}/{name}'), self.folder / 'trial'
        shutil.rmtree(folder, ignore_errors=True)
        began, self.killed = time.monotonic(), 0
        try:
            result = run(rng, folder)
        except Failed as failed:
            result = str(failed)
            folder.rename(self.folder / f'failed-{name}')
        trial = {'name': name, 'kind': kind, 'what': what, 'kills': self.killed, 'result': result}
        self.done[name] = trial | {'seconds': round(time.monotonic() - began, 1)}
        with self.file.open('a') as file:
            file.write(json.dumps(self.done[name]) + '\n')
        print(f'{name}  {kind}, {what}: {result}', flush=True)

    def kill(self, name):
        """Kill some processes of a command, up to `IN_A_ROW` times, and run it to its end."""
        rng = random.Random(f'{self.seed}/{name}/job')
        job, count = rng.choice(self.jobs), rng.randint(2, 4)
        run = functools.partial(self.kills, job, count)
        self.trial(name, f'kill: {job}', f'{count} processes', run)

    def kills(self, job, count, rng, folder):
        expected, took = self.reference(job, count)
        cache = folder / 'cache' if job == 'cache' else self.cache
        counts = [count]
        for kill in range(rng.randint(1, IN_A_ROW)):
            started = start(job, folder, counts[-1], cache)
            latest = 0.5 if kill else 1.0  # what goes on is sooner done
            until = time.monotonic() + rng.uniform(0.1, latest) * took
            if job == 'save':
                while not list(folder.glob('run/checkpoints/*tmp*')) and started[0].poll() is None:
                    time.sleep(0.002)
                until = time.monotonic() + rng.uniform(0, 0.15)
            time.sleep(max(0, until - time.monotonic()))
            if any(process.poll() is not None for process in started):
                finish(started, 0)
                break
            self.killed += 1
            victims = rng.sample(range(counts[-1]), rng.randint(1, counts[-1]))
            for victim in victims:
                started[victim].send_signal(signal.SIGKILL)
            others = {index: process for index, process in enumerate(started) if index not in victims}
            check_others(others, folder, job)
            finish(started, 0)
            counts.append(rng.choice((count, rng.randint(2, 4))) if job in ('train', 'save') else count)
        counts.append(rng.choice((count, rng.randint(1, 4))) if job in ('train', 'save') else count)
        if any(finish(start(job, folder, counts[-1], cache), LIMIT)):
            raise Failed(f'failed when it was started again: {errors(folder)[-1:]}')
        found = outcome(job, folder, cache)
        if not (found == expected if {*counts} == {count} else close(found, expected)):
            raise Failed(f'differs from the undisturbed run ({counts} processes)')
        return 'as undisturbed' if self.killed else 'over before'

    def damage(self, name, of, what, how=None):
        """Damage a file, or give a bad input, as an item of `KINDS` says."""
        kind = f'{of}: file {how}' if how else 'bad input'
        run = functools.partial(self.mend, of, what, how) if how else functools.partial(self.refuse, what)
        self.trial(name, kind, what, run)

    def mend(self, of, place, how, rng, folder):
        """Damage a file of the newest checkpoint or of a cached split; then mend it as the message says."""
        expected, cache = self.begun(folder), folder / 'cache'
        shutil.copytree(self.cache / 'pocket_reviews', cache / 'pocket_reviews')
        if (self.cache / 'jax').is_dir():
            (cache / 'jax').symlink_to(self.cache / 'jax')
        damaged = folder / 'run/checkpoints' / str(STEPS)
        if of == 'cache':
            shutil.rmtree(damaged)
            (damaged,) = (cache / 'pocket_reviews').glob('train-*')
        path = rng.choice(sorted(damaged.glob(place)))
        HOW[how](path, rng)
        (status,) = finish(start('train', folder, 1, cache), LIMIT)
        told = errors(folder)
        if status != 2 or len(told) != 1 or 'damaged' not in told[0]:
            raise Failed(f'status {status} and {told[-1:]}')
        if of == 'cache':
            again = [sys.executable, '-m', 'flanlite', 'cache', '--mixture=pocket_reviews', '--split=train']
            again += ['--vocabulary=pocket', '--rebuild', f'--cache_dir={cache}']
            subprocess.run(again, check=True, capture_output=True)
        if any(finish(start('train', folder, 1, cache, ['--fall_back']), LIMIT)):
            raise Failed(f'failed after it was mended: {errors(folder)[-1:]}')
        if outcome('train', folder, cache) != expected:
            raise Failed('differs from the undisturbed run')
        return 'as undisturbed'

    def refuse(self, setting, rng, folder):
        """Go on with a run that has begun, with a setting that makes no sense."""
        self.begun(folder)
        shutil.rmtree(folder / 'run/checkpoints' / str(STEPS))
        before = contents(folder / 'run')
        (status,) = finish(start('train', folder, 1, self.cache, [setting]), LIMIT)
        told = errors(folder)
        if status != 2 or len(told) != 1:
            raise Failed(f'status {status} and {told[-1:]}')
        if changed := [name for name, _ in before ^ contents(folder / 'run')]:
            raise Failed(f'changed {sorted({*changed})}')
        return 'as undisturbed'

    def begun(self, folder):
        """Put a run of all steps into a folder; return what it left."""
        expected, _ = self.reference('train', 1)
        shutil.copytree(self.reference_folder('train', 1), folder)
        return expected

    def table(self):
        """Print how many trials of each kind ended how."""
        kinds = collections.defaultdict(list)
        for trial in self.done.values():
            kinds[trial['kind']].append(trial)
        print('| kind | trials | different | kills | as undisturbed | over before the kill | failed |')
        print('|---|---|---|---|---|---|---|')
        total = collections.Counter()
        for kind, trials in sorted(kinds.items()):
            counts = collections.Counter(trial['result'] for trial in trials)
            known = [counts[result] for result in ('as undisturbed', 'over before')]
            row = {
                'trials': len(trials),
                'different': len({trial['what'] for trial in trials}),
                'kills': sum(trial['kills'] for trial in trials),
                'undisturbed': known[0],
                'over': known[1],
                'failed': len(trials) - sum(known),
            }
            total.update(row)
            print(f'| {kind} | {" | ".join(map(str, row.values()))} |')
        print(f'| all | {" | ".join(map(str, total.values()))} |')
        return total['failed']

    def soak(self, minutes):
        """Train for some minutes; print how much memory grows after the first fifth."""
        folder = self.folder / 'soak'
        shutil.rmtree(folder, ignore_errors=True)
        more = ['--gin.TRAIN_STEPS=100000000', '--gin.CheckpointConfig.every_steps=200']
        (process,) = start('train', folder, 1, self.cache, more)
        began, sizes = time.monotonic(), []
        while (spent := time.monotonic() - began) < 60 * minutes and process.poll() is None:
            time.sleep(1)
            status = pathlib.Path(f'/proc/{process.pid}/status').read_text()
            if 'VmRSS:' in status:  # a process that has ended has none
                sizes.append((spent, int(status.split('VmRSS:')[1].split()[0])))
        if process.poll() is not None:
            raise SystemExit(f'the soak ended after {spent:.0f} s: {errors(folder)[-1:]}')
        process.kill()
        warm = [size for spent, size in sizes if spent > 12 * minutes]
        tenth = max(1, len(warm) // 10)
        first, last = (sum(part) / tenth for part in (warm[:tenth], warm[-tenth:]))
        grown = f'{first / 1024:.0f} MiB, then {last / 1024:.0f} MiB, {last / first - 1:+.1%}'
        print(f'soak of {minutes:g} minutes: {grown}')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--kills', type=int, default=0, help='all that the folder shall have')
    parser.add_argument('--damages', type=int, default=0, help=f'of {len(KINDS)} kinds in a random order')
    parser.add_argument('--jobs', default=','.join(OFTEN), help='what is killed, with commas')
    parser.add_argument('--soak', type=float, default=0, help='minutes')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', default='runs/faults')
    args = parser.parse_args()
    campaign = Campaign(args.folder, args.seed, args.jobs.split(','))
    kinds = random.Random(args.seed).sample(KINDS, len(KINDS))
    for number in range(args.damages):
        campaign.damage(f'damage-{args.seed}-{number}', *kinds[number % len(kinds)])
    for number in itertools.count():
        if sum(trial['kills'] for trial in campaign.done.values()) >= args.kills:
            break
        campaign.kill(f'kill-{args.seed}-{number}')
    if args.soak:
        campaign.soak(args.soak)
    sys.exit(1 if campaign.table() else 0)


if __name__ == '__main__':
    main()
