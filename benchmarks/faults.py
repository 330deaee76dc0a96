"""Kill runs at random and damage their files, in real processes, and compare what comes of it with runs that
nothing disturbed.

    python benchmarks/faults.py --kills=200 --damages=60 --seed=1 --folder=runs/faults
    python benchmarks/faults.py --soak=120 --folder=runs/faults

A kill starts a command in two to four processes, sends SIGKILL to some of them at a random moment, or while a
checkpoint is written, waits for the others to end by themselves, and starts the command again, training in
another number of processes as often as not. What is left must be what an undisturbed run leaves: the bytes of
a cache; losses, bit for bit in the same number of processes; scores. A damage cuts, changes, empties or
removes a file of the newest checkpoint or of a cached split; training must say so in one line, and give the
undisturbed run once it falls back or the cache is built again. Trials in `trials.jsonl` of the folder are
not done again. A soak trains for some minutes and prints how much memory grows after the first fifth.
"""

import argparse
import collections
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
HOW = {
    'cut': lambda path, rng: os.truncate(path, path.stat().st_size // 2),
    'changed': lambda path, rng: change(path, rng),
    'empty': lambda path, rng: os.truncate(path, 0),
    'removed': lambda path, rng: path.unlink(),
}


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


class Campaign:
    """Trials in a folder, which holds `trials.jsonl`, and what undisturbed runs leave in `reference/`."""

    def __init__(self, folder, seed, jobs=OFTEN):
        self.folder, self.seed, self.jobs = pathlib.Path(folder).absolute(), seed, jobs
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file, self.cache = self.folder / 'trials.jsonl', self.folder / 'cache'
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        self.done = {trial['name']: trial for trial in map(json.loads, lines)}

    def reference(self, job, count):
        """Return what an undisturbed run leaves, and how long it takes."""
        folder = self.folder / 'reference' / f'{job}-{count}'
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

    def trial(self, name, run):
        """Do a trial, unless it is done, and keep what came of it."""
        if name in self.done:
            return
        rng, folder = random.Random(f'{self.seed}/{name}'), self.folder / 'trial'
        shutil.rmtree(folder, ignore_errors=True)
        began = time.monotonic()
        kind, result = run(rng, folder)
        trial = {'name': name, 'kind': kind, 'result': result, 'seconds': round(time.monotonic() - began, 1)}
        self.done[name] = trial
        with self.file.open('a') as file:
            file.write(json.dumps(trial) + '\n')
        print(f'{name}  {kind}: {result}', flush=True)
        if result not in ('as undisturbed', 'over before'):
            folder.rename(self.folder / f'failed-{name}')

    def kill(self, rng, folder):
        """Kill some processes of a command, and run it again."""
        job, count = rng.choice(self.jobs), rng.randint(2, 4)
        expected, took = self.reference(job, count)
        cache = folder / 'cache' if job == 'cache' else self.cache
        victims = rng.sample(range(count), rng.randint(1, count))
        started = start(job, folder, count, cache)
        until = time.monotonic() + rng.uniform(0.1, 1.0) * took
        if job == 'save':
            while not list(folder.glob('run/checkpoints/*tmp*')) and started[0].poll() is None:
                time.sleep(0.002)
            until = time.monotonic() + rng.uniform(0, 0.15)
        time.sleep(max(0, until - time.monotonic()))
        late = any(process.poll() is not None for process in started)
        for victim in victims:
            started[victim].send_signal(signal.SIGKILL)
        finish(started, 0 if late else ENDS)
        statuses = [process.returncode for process in started]
        others = [index for index in range(count) if index not in victims]
        kind = f'kill: {job}'
        if not late and job != 'cache':
            if any(statuses[index] == -signal.SIGKILL and not waits(folder, index) for index in others):
                return kind, f'others did not end within {ENDS} s: {statuses}'
            if bad := [errors(folder, index) for index in others if len(errors(folder, index)) > 1]:
                return kind, f'more than one line: {bad[0][:3]}'
        again = rng.choice((count, rng.randint(1, 4))) if job in ('train', 'save') else count
        if any(finish(start(job, folder, again, cache), LIMIT)):
            return kind, f'failed when it was started again: {errors(folder)[-1:]}'
        found = outcome(job, folder, cache)
        same = found == expected if again == count else close(found, expected)
        if not same:
            return kind, f'differs from the undisturbed run ({count} then {again} processes)'
        return kind, 'over before' if late else 'as undisturbed'

    def damage(self, rng, folder):
        """Damage a file of the newest checkpoint or of a cached split; then mend it as the message says."""
        how, of = rng.choice(list(HOW)), rng.choice(('checkpoint', 'checkpoint', 'cache'))
        expected, _ = self.reference('train', 1)
        kind, cache = f'{how} file of a {of}', folder / 'cache'
        shutil.copytree(self.folder / 'reference/train-1', folder)
        shutil.copytree(self.cache / 'pocket_reviews', cache / 'pocket_reviews')
        if (self.cache / 'jax').is_dir():
            (cache / 'jax').symlink_to(self.cache / 'jax')
        checkpoints = folder / 'run/checkpoints'
        newest = checkpoints / str(STEPS)
        if of == 'cache':
            shutil.rmtree(newest)
        place = newest if of == 'checkpoint' else cache / 'pocket_reviews'
        files = [path for path in sorted(place.rglob('*')) if path.is_file() and path.stat().st_size > 3]
        path = rng.choice(files)
        HOW[how](path, rng)
        (status,) = finish(start('train', folder, 1, cache), LIMIT)
        told = errors(folder)
        if status != 2 or len(told) != 1 or 'damaged' not in told[0]:
            return kind, f'status {status} and {told[-1:]} for {path.relative_to(folder)}'
        if of == 'cache':
            again = [sys.executable, '-m', 'flanlite', 'cache', '--mixture=pocket_reviews', '--split=train']
            again += ['--vocabulary=pocket', '--rebuild', f'--cache_dir={cache}']
            subprocess.run(again, check=True, capture_output=True)
        if any(finish(start('train', folder, 1, cache, ['--fall_back']), LIMIT)):
            return kind, f'failed after it was mended: {errors(folder)[-1:]}'
        same = outcome('train', folder, cache) == expected
        return kind, 'as undisturbed' if same else 'differs from the undisturbed run'

    def table(self):
        """Print how many trials of each kind ended how."""
        kinds = collections.defaultdict(collections.Counter)
        for trial in self.done.values():
            known = trial['result'] in ('as undisturbed', 'over before')
            kinds[trial['kind']][trial['result'] if known else 'failed'] += 1
        print('| kind | trials | as undisturbed | over before the kill | failed |\n|---|---|---|---|---|')
        for kind, counts in sorted(kinds.items()):
            ended = [counts[name] for name in ('as undisturbed', 'over before', 'failed')]
            numbers = (sum(counts.values()), *ended)
            print(f'| {kind} | {" | ".join(map(str, numbers))} |')
        return sum(counts['failed'] for counts in kinds.values())

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
    parser.add_argument('--kills', type=int, default=0)
    parser.add_argument('--damages', type=int, default=0)
    parser.add_argument('--jobs', default=','.join(OFTEN), help='what is killed, with commas')
    parser.add_argument('--soak', type=float, default=0, help='minutes')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folder', default='runs/faults')
    args = parser.parse_args()
    campaign = Campaign(args.folder, args.seed, args.jobs.split(','))
    for number in range(args.damages):
        campaign.trial(f'damage-{args.seed}-{number}', campaign.damage)
    for number in range(args.kills):
        campaign.trial(f'kill-{args.seed}-{number}', campaign.kill)
    if args.soak:
        campaign.soak(args.soak)
    sys.exit(1 if campaign.table() else 0)


if __name__ == '__main__':
    main()
