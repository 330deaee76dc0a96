import os
import subprocess
import sys

import pytest

NOTES = [
    'WARNING: All log messages before absl::InitializeLog() is called are written to STDERR',
    'I0000 00:00:1.000001    7 port.cc:153] oneDNN custom operations are on.',
    'E0000 00:00:1.000002    7 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error',
]
ERRORS = ['W0000 00:00:1.000003    7 a.cc:1] a warning', 'F0000 00:00:1.000004    7 b.cc:1] no AVX here']
FAKE = f"""
import os
os.write(2, {chr(10).join([*NOTES, *ERRORS, '']).encode()!r})
if os.environ.get('CRASH'):
    os.abort()
if os.environ.get('START'):
    import subprocess
    subprocess.Popen(['sh', '-c', 'until [ -e after ]; do sleep 0.1; done'], stdout=subprocess.DEVNULL)

class config:
    def set_visible_devices(devices, kind):
        os.write(2, f'hidden {{devices}} {{kind}}\\n'.encode())
"""


@pytest.mark.parametrize(
    ('more', 'seen', 'code'),
    [
        ({}, [*ERRORS, 'hidden [] GPU', 'after'], 0),
        ({'CRASH': '1'}, ERRORS, -6),
        ({'START': '1'}, [*ERRORS, 'hidden [] GPU', 'after'], 0),
        ({'TF_CPP_MIN_LOG_LEVEL': '0'}, [*NOTES, *ERRORS, 'after'], 0),
    ],
)
def test_tensorflow_is_imported_without_its_greeting(tmp_path, more, seen, code):
    """With a module of that name in place of TensorFlow: its notes are left out and nothing else, even of a
    process that crashes, and nobody waits for a process that another thread starts in the meantime. Who sets
    TensorFlow's log level hears all of it.
    """
    (tmp_path / 'tensorflow.py').write_text(FAKE)
    program = 'from flanlite.cli import greeting; greeting.leave_out(); import tensorflow, sys; print("after", file=sys.stderr); open("after", "w")'
    environment = {name: text for name, text in os.environ.items() if name != 'TF_CPP_MIN_LOG_LEVEL'}
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, '-c', program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env=environment | more | {'PYTHONPATH': path},
    )
    assert (done.stderr.splitlines(), done.returncode) == (seen, code)
