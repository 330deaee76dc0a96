"""Launchers: sound shell, what they would run, and starting again."""

import os
import pathlib
import subprocess
import sysconfig
import time

import pytest

LAUNCH = pathlib.Path(__file__).parents[1] / 'launch'
SCRIPTS = sorted(path for path in LAUNCH.rglob('*') if path.suffix in ('.sh', '.sbatch'))
COMMAND = ['flanlite', 'train', '--gin_file=gin/runs/x.gin', '--gin.MODEL_DIR=/data/a b']


def launch(script, *arguments, **environment):
    path = pathlib.Path(script) if os.path.isabs(script) else LAUNCH / script
    return subprocess.run(
        ['bash', str(path), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_shell_is_sound(script):
    shellcheck = pathlib.Path(sysconfig.get_path('scripts')) / 'shellcheck'
    checked = subprocess.run([str(shellcheck), str(script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert os.access(script, os.X_OK) or script.suffix == '.sbatch'


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_without_arguments_says_how(script):
    done = launch(str(script))
    assert done.returncode == 2 and f'launch/{script.relative_to(LAUNCH)}' in done.stderr


def test_local_shows_each_process():
    done = launch('local.sh', '--dry_run', '2', *COMMAND[:3], FLANLITE_COORDINATOR='localhost:1')
    assert done.stdout.splitlines() == [
        f'FLANLITE_COORDINATOR=localhost:1 FLANLITE_NUM_PROCESSES=2 FLANLITE_PROCESS_ID={i} flanlite train '
        '--gin_file=gin/runs/x.gin'
        for i in (0, 1)
    ]


def test_local_starts_again_until_all_succeed(tmp_path):
    """Each process counts its starts; process 1 is killed at its first."""
    code = 'n=$(cat "$0.$FLANLITE_PROCESS_ID" 2>/dev/null || echo 0); echo $((n + 1)) > "$0.$FLANLITE_PROCESS_ID"; '
    code += 'if [[ $n == 0 && $FLANLITE_PROCESS_ID == 1 ]]; then until [[ -s $0.0 ]]; do sleep 0.1; done; kill -9 $$; fi; '
    code += 'if [[ $n == 0 ]]; then exec sleep 30; fi'
    done = launch('local.sh', '2', 'bash', '-c', code, str(tmp_path / 'starts'))
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f'starts.{i}').read_text().strip() for i in (0, 1)] == ['2', '2']
    assert 'status 137; starting again' in done.stderr


def test_local_does_not_repeat_bad_input(tmp_path):
    done = launch('local.sh', '2', 'bash', '-c', 'echo x >> "$0"; exit 2', str(tmp_path / 'starts'))
    assert done.returncode == 2 and len((tmp_path / 'starts').read_text()) <= 4
    done = launch('local.sh', '2', 'flanlight')
    assert done.returncode == 127 and done.stderr.count('flanlight') <= 2


def test_slurm_holds_out_the_array_tasks_cluster():
    done = launch(
        'slurm.sbatch',
        '--dry_run',
        'gin/runs/x.gin',
        'runs/s',
        'nli,sentiment',
        '--gin.SEED=1',
        SLURM_ARRAY_TASK_ID='1',
    )
    expected = 'srun --kill-on-bad-exit=1 flanlite loco --gin_file=gin/runs/x.gin --model_dir=runs/s --only=sentiment --gin.SEED=1\n'
    assert done.stdout == expected
    done = launch('slurm.sbatch', '--dry_run', 'gin/runs/x.gin', 'runs/s', 'nli', SLURM_ARRAY_TASK_ID='1')
    assert done.returncode == 2 and 'only 1 clusters: nli' in done.stderr


def test_slurm_queues_a_preempted_job_again(tmp_path):
    for name, text in (('srun', 'exit 143'), ('scontrol', f'echo "$@" > {tmp_path}/said')):
        (tmp_path / name).write_text(f'#!/bin/bash\n{text}\n')
        (tmp_path / name).chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    done = launch(
        'slurm.sbatch',
        'x.gin',
        'runs/s',
        'nli,math',
        PATH=path,
        SLURM_ARRAY_TASK_ID='1',
        SLURM_ARRAY_JOB_ID='7',
    )
    assert done.returncode == 143 and (tmp_path / 'said').read_text() == 'requeue 7_1\n'


def test_tpu_vm_asks_installs_and_runs_on_all_workers():
    done = launch('tpu_vm.sh', '--dry_run', *COMMAND, NAME='flan', ZONE='z', TYPE='v5litepod-256')
    wheel, create, bring, install, run = done.stdout.splitlines()
    assert 'pip wheel' in wheel and str(LAUNCH.parent) in wheel  # never by name from an index
    assert 'tpu-vm scp --recurse' in bring and 'flan:' in bring
    assert (
        'queued-resources create flan' in create
        and '--accelerator-type=v5litepod-256' in create
        and '--spot' in create
    )
    assert 'tpu-vm ssh flan --worker=all' in install and '.whl' in install and 'tpu' in install
    assert '--worker=all' in run and 'flanlite' in run and 'train' in run
    assert launch('tpu_vm.sh', '--dry_run', 'flanlite', NAME='flan', ZONE='z').returncode != 0


def test_tpu_vm_asks_again_after_a_preemption(tmp_path):
    """A made-up gcloud: the first run fails on a slice that is gone, the second succeeds."""
    (tmp_path / 'gcloud').write_text(
        f"""#!/bin/bash
echo "$*" >> {tmp_path}/log
case "$*" in
  *describe*) if [ -f {tmp_path}/gone ]; then rm {tmp_path}/gone; echo SUSPENDED; else echo ACTIVE; fi ;;
  *"flanlite train"*) if [ ! -f {tmp_path}/once ]; then touch {tmp_path}/once {tmp_path}/gone; exit 1; fi ;;
esac
"""
    )
    (tmp_path / 'gcloud').chmod(0o755)
    path = f'{tmp_path}:{os.environ["PATH"]}'
    done = launch(
        'tpu_vm.sh', 'flanlite', 'train', NAME='flan', ZONE='z', TYPE='t', INSTALL='true', PATH=path
    )
    log = (tmp_path / 'log').read_text()
    assert done.returncode == 0 and log.count('create flan') == 2 and log.count('delete flan') == 1, (
        done.stderr + log
    )


def test_gke_fills_in_the_manifest():
    yaml = pytest.importorskip('yaml')
    settings = {
        'IMAGE': 'registry/flanlite:1',
        'CLAIM': 'disk',
        'ACCELERATOR': 'tpu-v5-lite-podslice',
        'TOPOLOGY': '4x4',
        'HOSTS': '4',
    }
    quoted = [*COMMAND, '--gin.VOCABULARY="bytes"', "--gin.TASK_FEATURE_LENGTHS={'inputs': 8, 'targets': 4}"]
    done = launch('gke/submit.sh', '--dry_run', *quoted, **settings)
    assert done.returncode == 0, done.stderr
    job = yaml.safe_load(done.stdout)
    assert job['spec']['failurePolicy']['maxRestarts'] == 100
    spec = job['spec']['replicatedJobs'][0]['template']['spec']
    assert spec['parallelism'] == spec['completions'] == 4
    container = spec['template']['spec']['containers'][0]
    command = container['command'][2]
    echoed = subprocess.run(['bash', '-c', f'printf "%s\\n" {command}'], capture_output=True, text=True)
    assert echoed.stdout.splitlines() == quoted
    assert launch('gke/submit.sh', '--dry_run', 'flanlite', IMAGE='x').returncode != 0


def test_local_takes_bad_input_from_whoever_says_so(tmp_path):
    """A peer leaves first, with status 1, as it does when process 0 says that its input is bad."""
    code = 'echo x >> "$0"; if [[ $FLANLITE_PROCESS_ID == 1 ]]; then exit 1; fi; sleep 1.5; exit 2'
    done = launch('local.sh', '2', 'bash', '-c', code, str(tmp_path / 'starts'))
    assert done.returncode == 2 and len((tmp_path / 'starts').read_text()) == 4, done.stderr


def test_local_kills_what_ignores_term(tmp_path):
    code = 'trap "" TERM; touch "$0"; while true; do sleep 0.1; done'
    process = subprocess.Popen(
        ['bash', str(LAUNCH / 'local.sh'), '1', 'bash', '-c', code, str(tmp_path / 'on')],
        env={**os.environ, 'STOPS_WITHIN': '1'},
    )
    while not (tmp_path / 'on').exists():
        time.sleep(0.05)
    process.terminate()
    assert process.wait(30) == 143


@pytest.mark.parametrize(('created', 'looks'), [(1, 1), (0, 5)])
def test_tpu_vm_ends_where_there_is_no_slice(created, looks, tmp_path):
    (tmp_path / 'gcloud').write_text(
        f"""#!/bin/bash
echo "$*" >> {tmp_path}/log
case "$*" in
  *create*) if (({created})); then echo 'no quota' >&2; exit 1; fi ;;
  *describe*) echo 'not found' >&2; exit 1 ;;
esac
"""
    )
    (tmp_path / 'gcloud').chmod(0o755)
    settings = {'NAME': 'flan', 'ZONE': 'z', 'TYPE': 't', 'INSTALL': 'true', 'LOOKS_EVERY': '0'}
    done = launch('tpu_vm.sh', 'flanlite', PATH=f'{tmp_path}:{os.environ["PATH"]}', **settings)
    assert done.returncode == 1 and 'not found' in done.stderr and 'no queued resource flan' in done.stderr
    assert ('no quota' in done.stderr) == bool(created)
    assert (tmp_path / 'log').read_text().count('describe') == looks + 1
