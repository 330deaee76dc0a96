import io
import os
import pathlib
import random
import struct

import pytest
import sentencepiece

from flanlite.data.tokens import ties, vocabularies

SHARED = pathlib.Path(__file__).parents[3] / 'shared' / 'data' / 'vocab' / 't5_sentencepiece.model'
T5_MODEL = pathlib.Path(os.environ.get('FLANLITE_T5_VOCAB') or SHARED)
PARTS = [
    '!',
    '?',
    '.',
    '-',
    '_',
    '*',
    '=',
    '4',
    '44',
    'm',
    'o',
    'x',
    'ha',
    'wow',
    ' ',
    'the ',
    'cats',
    '{',
    '~',
    '語',
    '<extra_id_0>',
]


def texts(count):
    """Make texts full of runs, where segmentations tie, amid words, unknown characters and a sentinel."""
    draw = random.Random(0)
    return [
        ''.join(draw.choice(PARTS) * draw.choice([1, 1, 1, 2, 3, 5, 12]) for _ in range(draw.randint(0, 40)))
        for _ in range(count)
    ]


def run_piece(text, score):
    """Make a piece's entry in a serialized model."""
    name = text.encode()
    piece = b'\x0a' + bytes([len(name)]) + name + b'\x15' + struct.pack('<f', score)
    return b'\x0a' + bytes([len(piece)]) + piece


@pytest.fixture(scope='module', params=['unigram', 'byte_fallback', 'bpe', 't5'])
def vocabulary(request, tmp_path_factory):
    """Load T5's vocabulary, or train one of single characters and add runs of them in several lengths."""
    if request.param == 't5':
        if not T5_MODEL.is_file():
            pytest.skip("T5's vocabulary is not here")
        return vocabularies.load(str(T5_MODEL))
    settings = (
        {'model_type': 'bpe'}
        if request.param == 'bpe'
        else {'byte_fallback': request.param == 'byte_fallback'}
    )
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(['the cats say wow ha '
                                '!?.-_*=4mox'] * 9), model_writer=model, vocab_size=300, hard_vocab_limit=False,
        max_sentencepiece_length=1, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2, **settings,
    )  # fmt: skip
    runs = b''.join(
        run_piece(c * n, -1.7 - 1.3 * n / (n + 1) - i / 7)
        for i, c in enumerate([*'!?.-_*=4mox', 'ha'])
        for n in (2, 3, 5)
    )
    path = tmp_path_factory.mktemp('ties') / f'{request.param}.model'
    path.write_bytes(model.getvalue() + (b'' if request.param == 'bpe' else runs))
    return vocabularies.load(str(path))


def test_tokens_are_tensorflow_texts(vocabulary):
    made = texts(500)
    plain = vocabulary.processor.encode(made)
    expected = vocabulary.to_seqio().tf_tokenizer.tokenize(made).to_list()
    assert vocabulary.encode_batch(made) == expected
    assert [ids[:-1].tolist() for ids in vocabulary.encode_arrays(made)] == expected
    breaker = ties.TieBreaker(vocabulary.processor)
    if breaker.is_unigram:
        assert plain != expected, 'no text has a tie'
        assert [breaker.encode(text) for text in made] == expected
    else:
        assert plain == expected


def test_texts_without_ties_keep_their_arrays(vocabulary):
    encoded = vocabulary.processor.encode_as_numpy(['the cats', '', 'wow'], add_eos=True)
    mended = ties.TieBreaker(vocabulary.processor).mend(['the cats', '', 'wow'], encoded)
    assert all(before is after for before, after in zip(encoded, mended, strict=True))
    assert ties.TieBreaker(vocabulary.processor).mend([], []) == []
