import io
import os
import pathlib
import shutil

import pytest
import sentencepiece

from flanlite.data.tokens import vocabularies
from flanlite.data.tokens.vocabulary import EOS_ID

SHARED = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'vocab' / 't5_sentencepiece.model'
T5_MODEL = pathlib.Path(os.environ.get('FLANLITE_T5_VOCAB') or SHARED)
TEXTS = [
    'A small red house.',
    'naïve “quotes” & tabs\tand\n\nlines',
    '',
    'sentinels <extra_id_0> and <extra_id_1>',
    '日本語 !!',
]


def train_model(path, **options):
    """Train a tiny SentencePiece model with T5's special ids."""
    model = io.BytesIO()
    lines = [
        f'the quick brown fox number {index} jumps over lazy dogs and naïve cats' for index in range(200)
    ]
    settings = {'vocab_size': 60, 'pad_id': 0, 'eos_id': 1, 'unk_id': 2, 'bos_id': -1, 'minloglevel': 2}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, **(settings | options)
    )
    path.write_bytes(model.getvalue())
    return str(path)


@pytest.fixture(scope='module')
def model_file(tmp_path_factory):
    return train_model(tmp_path_factory.mktemp('vocabulary') / 'tiny.model')


@pytest.fixture(params=['bytes', 'model'])
def vocabulary(request, model_file):
    return vocabularies.load('bytes' if request.param == 'bytes' else model_file)


def test_sentinels_are_last_and_fall(model_file):
    vocabulary = vocabularies.load(model_file, extra_ids=7)
    assert vocabulary.size == 67
    assert [vocabulary.sentinel(index) for index in range(7)] == list(range(66, 59, -1))
    assert vocabulary.encode('the <extra_id_0> fox <extra_id_6>')[-1] == 60
    assert vocabulary.decode([66, 60]) == '<extra_id_0> <extra_id_6>'
    with pytest.raises(ValueError, match='7 sentinels'):
        vocabulary.sentinel(7)


def test_decode_stops_at_eos_and_drops_padding(vocabulary):
    ids = vocabulary.encode('the fox')
    assert vocabulary.decode([0, *ids, 0, 1, *ids]) == 'the fox'
    # An id of a padded embedding.
    assert vocabulary.decode([*ids, vocabulary.size + 20]).startswith('the fox')


def test_pieces_stand_for_their_ids(vocabulary):
    ids = [*vocabulary.encode('a b'), 1, vocabulary.sentinel(0), 0, 2]
    pieces = vocabulary.pieces(ids)
    assert ''.join(pieces[:-4]).lstrip('▁') == 'a▁b'
    assert [piece.strip('▁') for piece in pieces[-4:]] == ['</s>', '<extra_id_0>', '<pad>', '<unk>']


def test_pieces_of_bytes():
    vocabulary = vocabularies.load('bytes')
    assert vocabulary.pieces(vocabulary.encode('é\n:')) == ['<0xC3>', '<0xA9>', '<0x0A>', ':']
    assert vocabulary.pieces([vocabulary.sentinel(124)]) == ['<extra_id_124>']


def test_arrays_end_with_eos(vocabulary):
    for text, ids in zip(TEXTS, vocabulary.encode_arrays(TEXTS), strict=True):
        assert ids.tolist() == [*vocabulary.encode(text), EOS_ID]
        assert ids.dtype == 'int32'


def test_fingerprints_differ_with_content(model_file, tmp_path):
    other = train_model(tmp_path / 'other.model', vocab_size=50)
    prints = {
        vocabularies.load(model_file).fingerprint(),
        vocabularies.load(other).fingerprint(),
        vocabularies.load(model_file, extra_ids=3).fingerprint(),
        vocabularies.load('bytes').fingerprint(),
    }
    assert len(prints) == 4
    copy = tmp_path / 'copy.model'
    copy.write_bytes(pathlib.Path(model_file).read_bytes())
    assert vocabularies.load(str(copy)).fingerprint() == vocabularies.load(model_file).fingerprint()


def test_the_number_of_sentinels_travels_in_the_name(model_file):
    few = vocabularies.load(model_file, extra_ids=7)
    assert few.name == f'{model_file}:extra_ids=7' and vocabularies.load(few.name) == few
    bare = vocabularies.load('bytes:extra_ids=3:no_input_eos')
    assert (bare.extra_ids, bare.input_eos, bare.name) == (3, False, 'bytes:extra_ids=3:no_input_eos')
    assert vocabularies.load('bytes', extra_ids=125).name == 'bytes'
    with pytest.raises(ValueError, match='expected a whole number'):
        vocabularies.load('bytes:extra_ids=x')


def test_same_tokens_as_seqio(vocabulary):
    seqio = vocabulary.to_seqio()
    assert seqio.vocab_size == vocabulary.size
    for text in TEXTS:
        assert vocabulary.encode(text) == list(seqio.encode(text)) == seqio.encode_tf(text).numpy().tolist()


@pytest.mark.skipif(not T5_MODEL.is_file(), reason="T5's vocabulary is not here")
def test_t5(monkeypatch):
    monkeypatch.setenv('FLANLITE_T5_VOCAB', str(T5_MODEL))
    vocabulary = vocabularies.load('t5')
    assert (vocabulary.size, vocabulary.sentinel(0), vocabulary.extra_ids) == (32_100, 32_099, 100)
    assert vocabulary.encode('Hello <extra_id_0> world') == [8774, 32099, 296]


def test_what_is_missing_is_named_with_a_remedy(monkeypatch, tmp_path):
    monkeypatch.delenv('FLANLITE_T5_VOCAB', raising=False)
    monkeypatch.setenv('FLANLITE_DATA_DIR', str(tmp_path))
    with pytest.raises(ValueError, match='FLANLITE_T5_VOCAB'):
        vocabularies.load('t5')
    with pytest.raises(ValueError, match='expected one of pocket, t5, bytes'):
        vocabularies.load('t6')
    (tmp_path / 'bad.model').write_text('no model')
    with pytest.raises(ValueError, match='cannot load the vocabulary'):
        vocabularies.load(str(tmp_path / 'bad.model'))
    with pytest.raises(ValueError, match='--pad_id=0'):
        vocabularies.load(train_model(tmp_path / 'other.model', pad_id=3, eos_id=2, unk_id=0, bos_id=1))


def test_a_model_may_lie_anywhere(tmp_path, monkeypatch):
    """The name that is kept means the same from any folder."""
    model = tmp_path / 'a:extra_ids=3' / 'b #[x]%20' / 'c:d.model'
    model.parent.mkdir(parents=True)
    shutil.copy(vocabularies.find_model('pocket'), model)
    monkeypatch.setenv('HOME', str(model.parent))
    monkeypatch.chdir(model.parent)
    for place in ('~/c:d.model', 'c:d.model', '../b #[x]%20/c:d.model'):
        for suffix, extra_ids, input_eos in (
            ('', 100, True),
            (':no_input_eos', 100, False),
            (':extra_ids=5', 5, True),
            (':extra_ids=5:no_input_eos', 5, False),
        ):
            found = vocabularies.load(place + suffix)
            assert (found.extra_ids, found.input_eos) == (extra_ids, input_eos)
            assert pathlib.Path(found.path).is_absolute() and pathlib.Path(found.path).samefile(model)
            assert vocabularies.load(found.name) == found
            assert vocabularies.load(vocabularies.absolute_name(place + suffix)) == found
    monkeypatch.setenv('FLANLITE_T5_VOCAB', '~/c:d.model')
    assert vocabularies.load('t5').path == str(model)
