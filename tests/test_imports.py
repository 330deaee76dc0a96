"""The data flows one way: a module imports modules of a lower rank only, and light modules stay light."""

import ast
import pathlib
import subprocess
import sys

import pytest

import flanlite

PACKAGE = pathlib.Path(flanlite.__file__).parent
RANKS = {
    'flanlite': -4,
    'data.shared_tokens': -1,  # SeqIO's side of data.vocabularies
    'data.ties': -1,
    'config': -1,
    'data.templates': 0, 'data.clusters': 0, 'data.vocabularies': 0, 'data.text': 0, 'data.denoising': 0, 'data.packing': -1,
    'data.fingerprints': 0, 'data.prefix_lm': 0, 'data.progress': 0, 'data.shuffling': 0,
    'data.specs': 1, 'data.sources': 1, 'data.cached': 1,
    'data.fewshot': 1, 'data.batches': 2, 'data.naming': 2, 'data.promptsource': 2, 'data.remote': 2, 'data.rendering': 2, 'data.tasks': 2,
    'data.builds': 3, 'data.mixtures': 3, 'data.on_beam': 4, 'data.workers': 4, 'data.audit': 4, 'data.registration': 4, 'data.cache': 5,
    'model.layers': -4, 'model.attention_blocks': -3, 'model.attention_blockwise': -2, 'model.attention_tpu': -2,
    'model.attention_gpu': -2, 'model.attention': -1, 'model.models': 0, 'model.stacks': 1, 'model.t5': 2, 'model.decoder_only': 3,
    'model.kinds': 4, 'model.decoding': 1, 'model.flops': 2,
    'train.collectives': 0, 'train.partitioning': 0, 'train.losses': 0, 'train.interrupts': 0, 'train.meter': 0, 'train.lazy': 0,
    'train.schedules': 0, 'train.weights_biases': 0, 'train.profiler': 0, 'train.journal': 1, 'train.state': 1, 'train.patterns': 1,
    'train.norms': 1, 'train.optimizers': 2, 'train.checkpoints': 2, 'train.interop': 4, 'train.step': 3, 'train.released': 5,
    'train.parameters': 6, 'train.explain': 4, 'train.begin': 7, 'train.compile': 5, 'train.run': 8,
    'eval.metrics': 0, 'eval.figures': 0, 'eval.progress': 0, 'eval.scores': 1, 'eval.results': 2, 'eval.rank': 2,
    'eval.seqio_metrics': 2, 'eval.tables': 3, 'eval.generate': 3, 'eval.report': 4, 'eval.evaluate': 4, 'eval.load': 7,
    'eval.baselines': 5, 'eval.infer': 8, 'eval.splits': 6, 'eval.run': 7, 'eval.contenders': 9, 'eval.loco': 10,
    'catalogue': 6, 'cli': 11,
}  # fmt: skip


def name_of(path: pathlib.Path) -> str:
    name = '.'.join(path.relative_to(PACKAGE).with_suffix('').parts).removesuffix('.__init__')
    return 'flanlite' if name == '__init__' else name


def modules() -> dict[str, pathlib.Path]:
    found = {name_of(path): path for path in sorted(PACKAGE.rglob('*.py')) if 'mixtures' not in path.relative_to(PACKAGE).parts}
    return {name: path for name, path in found.items() if path.name != '__init__.py' or name == 'flanlite'}


def imported(path: pathlib.Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f'{node.module}.{alias.name}' for alias in node.names)
    return {name.removeprefix('flanlite.') for name in names if name.startswith('flanlite.')}


def test_every_module_has_a_rank():
    assert set(modules()) == set(RANKS), 'add new modules to RANKS, and to the layout in docs/design.md'


@pytest.mark.parametrize('name', sorted(RANKS))
def test_modules_import_lower_ranks_only(name):
    if name == 'flanlite':
        return  # flanlite.load imports evaluation when it is called
    too_high = {other for other in imported(modules()[name]) if other in RANKS and RANKS[other] >= RANKS[name]}
    assert not too_high, f'{name} (rank {RANKS[name]}) imports {sorted(too_high)}'


def heavy_after(code: str) -> set[str]:
    probe = f'{code}\nimport sys\nprint(" ".join(m for m in ("jax", "tensorflow", "seqio", "orbax") if m in sys.modules))'
    return set(subprocess.run([sys.executable, '-c', probe], capture_output=True, text=True, check=True).stdout.split())


COLLECTIONS = ['flanlite.mixtures.flan2021', 'flanlite.mixtures.pocket', 'flanlite.mixtures.t0']
LIGHT = ['flanlite', 'flanlite', 'flanlite.data.mixing.mixtures', *COLLECTIONS]


@pytest.mark.parametrize('module', LIGHT)
def test_light_imports_stay_light(module):
    assert heavy_after(f'import {module}') == set()


def test_gin_folder_is_no_package():
    assert not list((PACKAGE.parent / 'gin').rglob('*.py')), 'a package named gin would shadow gin-config'
