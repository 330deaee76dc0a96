"""What comes from TFDS: its builder, version, configuration and splits are there, and rows of TFDS's own
features render.

No network: rows are mocked from the feature specification, and builders name their splits while downloads are
pretended.
"""

import os

import pytest

from flanlite.data.seqio_bridge import tasks
from flanlite.data.specs import sources, templates
from flanlite.data.specs.sources import HuggingFace, Tfds
from flanlite.mixtures import flan2021, t0

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
tfds = pytest.importorskip('tensorflow_datasets')
tf = pytest.importorskip('tensorflow')

ALL = {
    spec.name: spec for collection in (*flan2021.COLLECTIONS, *t0.COLLECTIONS) for spec in collection.specs
}
SPECS = {name: spec for name, spec in ALL.items() if isinstance(spec.source, Tfds)}
ROWS = 14  # mocked, so that every template, plain prompt and bare list of fields has one

# What a field map looks for in a row and random text and numbers lack: a gap, so many options, an answer that
# is one of them.
ARC = {'choices': {'text': ['bark', 'wood', 'sap', 'leaf'], 'label': [0, 1, 2, 3]}, 'answerKey': 1}
SHAPED = {
    'arc_challenge': ARC,
    'arc_easy': ARC,
    'sentiment140': {'polarity': 4},
    'true_case': {'en': 'The Ferry leaves.'},
    'fix_punct': {'en': 'The ferry, at last, leaves.'},
    'word_segment': {'en': 'The ferry leaves.'},
    'story_cloze': {'endings': ['It rained.', 'It snowed.'], 'label': 2},
    'winogrande': {'sentence': 'The jug did not fit as the _ was too tall.'},
    'wsc273': {
        'text': 'Ann thanked Jon, because he had come.',
        'pronoun_start': 25,
        'pronoun_end': 27,
        'label': 1,
    },
    'qasc': {'choices': {'text': list('abcdefgh'), 'label': list('ABCDEFGH')}, 'answerKey': 'C'},
    'record': {'entities': ['Skerry', 'Ida Harrow', 'Harrow'], 'answers': ['Ida Harrow', 'Harrow']},
    'cos_e': {'choices': ['hallway', 'attic', 'lake'], 'answer': 'attic'},
}
# What builders open or look for before they name their splits.
EMPTY = ('empty', 'czeng16pre.deduped-ignoring-sections.txt.gz', '1mcorpus.zip')
FOLDERS = ('folder/cnn/stories', 'folder/dailymail/stories')
TEXT = ('.txt', '.csv', '.tsv', '.json', '.jsonl')


class Downloads:
    """Stands in for TFDS's download manager: a text file is an empty one, all else a folder."""

    def __init__(self, folder):
        self.manual_dir = tfds.core.Path(folder)

    def download(self, resource):
        """Name what stands in for each resource asked for."""
        if isinstance(resource, dict):
            return {name: self.download(each) for name, each in resource.items()}
        if isinstance(resource, list | tuple):
            return [self.download(each) for each in resource]
        return self.manual_dir / ('empty' if str(resource).endswith(TEXT) else 'folder')

    download_and_extract = extract = download

    def iter_archive(self, resource):
        """Find nothing in an archive."""
        return iter(())


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Make TFDS's folder, in which nothing is prepared."""
    path = tmp_path_factory.mktemp('tfds')
    for name in FOLDERS:
        (path / name).mkdir(parents=True)
    for name in EMPTY:
        (path / name).touch()
    return str(path)


@pytest.fixture(scope='module')
def mocked(folder):
    """Have TFDS make up rows by the code of its builders."""
    policy = tfds.testing.MockPolicy.USE_CODE
    with tfds.testing.mock_data(num_examples=ROWS, max_value=2, policy=policy, data_dir=folder):
        yield


def tensors(value, like):
    """Turn values into tensors of the types that TFDS gives; it must have each field."""
    if isinstance(value, dict):
        return {name: tensors(each, like[name]) for name, each in value.items()}
    return tf.constant(value, like.dtype)


@pytest.mark.parametrize('name', SPECS)
def test_mocked_rows_render(name, mocked):
    """Every template renders what TFDS makes up by its feature specification, natively and in TensorFlow, to
    the same text.
    """
    spec = SPECS[name]
    dataset = spec.source.dataset('train')
    changes = tensors(SHAPED.get(name, {}), dataset.element_spec)
    dataset = dataset.map(lambda row: {**row, **changes})
    examples = [spec.example(sources.to_python(row)) for row in dataset.as_numpy_iterator()]
    assert len(examples) == ROWS
    assert None not in examples
    shown = (*spec.templates, *spec.baselines, spec.bare_template())
    assert len(shown) <= ROWS
    rendered = tasks.render_tensors(dataset, spec=spec, shown=shown, rendering=0).as_numpy_iterator()
    for place, (example, found) in enumerate(zip(examples, rendered, strict=True)):
        template = shown[place % len(shown)]
        for part in ('inputs', 'targets'):
            text = templates.fill(getattr(template, part), example['texts'])
            assert text.strip(), f'{part} of template {place % len(shown)}'
            assert text == found[part].decode(), f'{part} of template {place % len(shown)}'


@pytest.mark.parametrize('name', SPECS)
def test_splits(name, folder):
    """TFDS's builder has the splits that a data set names."""
    spec = SPECS[name]
    generators = tfds.builder(spec.source.name, data_dir=folder)._split_generators(Downloads(folder))
    there = (
        set(generators) if isinstance(generators, dict) else {str(generator.name) for generator in generators}
    )
    named = {split.partition('[')[0] for split in vars(spec.splits).values() if split}
    assert named <= {str(split) for split in there}


def test_versions_are_pinned(folder, mocked):
    """Each source names the version that the installed TFDS has; another version, or a name that it lacks, is
    an error even when mocked.
    """
    for spec in SPECS.values():
        name, _, version = spec.source.name.partition(':')
        assert str(tfds.builder(name, data_dir=folder).version) == version, spec.name
    for name in (
        'cnn_dailymail:3.1.0',
        'multi_news:1.0.0',
        'winogrande:1.1.0',
        'super_glue/rte:9.9.9',
        'huggingface_xsum:1.0.0',
    ):
        with pytest.raises(sources.MissingDataError, match=name):
            Tfds(name).dataset('train')


def test_what_is_not_of_tfds_is_of_hugging_face():
    """FLAN's data sets are TFDS's but for XSum, which FLAN reads from Hugging Face too; of those that T0
    adds, most are Hugging Face's.
    """
    assert {spec.name for spec in flan2021.COLLECTION.specs} - set(SPECS) == {'xsum'}
    others = [spec for name, spec in ALL.items() if name not in SPECS]
    assert [
        spec.name
        for spec in others
        if not isinstance(getattr(spec.source, 'source', spec.source), HuggingFace)
    ] == []
