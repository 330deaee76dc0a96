"""Make the collection's vocabulary again: `python -m flanlite.mixtures.pocket.vocabulary [PATH]`.

A SentencePiece model whose pieces are the world's and the templates' words, and single characters for all else. Case is folded and
quotation marks stand apart: to a model this small, `Where`, `where` and `"Where` should hold the same word.
"""

import io
import itertools
import pathlib
import re
import string
import sys
import tempfile
import unicodedata
from collections.abc import Iterator

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from flanlite.data.specs import templates
from flanlite.mixtures import pocket
from flanlite.mixtures.pocket import text

PATH = pathlib.Path(__file__).parent / 'assets' / 'pocket.model'
DOCUMENTS = 20_000
CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation
SPACE = '\N{LOWER ONE EIGHTH BLOCK}'  # how SentencePiece writes a word's beginning
WORD_SCORE, CHARACTER_SCORE = -10.0, -20.0  # a word is never spelt where it is known


def texts() -> Iterator[str]:
    """Yield the pretraining text, the training rows' fields and the templates' words."""
    for row in itertools.islice(text.documents('train'), DOCUMENTS):
        yield row['text']
    for spec in pocket.COLLECTION.specs:
        for row in spec.source.rows('train'):
            yield ' '.join(spec.example(row)['texts'].values())
        for template in spec.templates + spec.baselines:
            yield ' '.join(literal for text in (template.inputs, template.targets) for literal, _ in templates.parse(text))


def words() -> list[str]:
    """Return the words in alphabetical order, so that ids stay the same as long as the words do."""
    found: set[str] = set()
    for line in texts():
        found.update(re.findall('[a-z]+', line.lower()))
    return sorted(word for word in found if len(word) > 1)


def normalization() -> str:
    """Write SentencePiece's normalization table: lower case, no accents, plain spaces, and quotation marks as words of their own."""
    table = {mark: ' " ' for mark in '"\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}'}
    table |= {space: ' ' for space in '\t\n\r\N{NO-BREAK SPACE}'}
    table |= {'\N{RIGHT SINGLE QUOTATION MARK}': "'", '(': ' ( ', ')': ' ) '}
    for letter in itertools.chain(string.ascii_uppercase, map(chr, range(0xC0, 0x180))):
        plain = ''.join(part for part in unicodedata.normalize('NFKD', letter).lower() if not unicodedata.combining(part))
        if plain != letter and plain.isascii():
            table[letter] = plain
    codes = {source: ' '.join(f'{ord(character):X}' for character in target) for source, target in table.items()}
    return ''.join(f'{ord(source):X}\t{target}\n' for source, target in codes.items())


def make(path: pathlib.Path) -> None:
    """Train a model of single characters to get its normalization, replace its pieces by ours, and write it."""
    trained = io.BytesIO()
    with tempfile.NamedTemporaryFile('w', suffix='.tsv') as rules:
        rules.write(normalization())
        rules.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([' '.join(CHARACTERS)]),
            model_writer=trained,
            model_type='unigram',
            vocab_size=len(CHARACTERS) + 4,
            required_chars=CHARACTERS,
            normalization_rule_tsv=rules.name,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=1,
        )
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(trained.getvalue())
    del model.pieces[3:]
    whole = [(SPACE + word, WORD_SCORE) for word in words()]
    single = [(piece, CHARACTER_SCORE) for piece in (SPACE, *CHARACTERS, *(SPACE + character for character in CHARACTERS))]
    for piece, score in whole + single:
        model.pieces.add(piece=piece, score=score)
    model.trainer_spec.vocab_size = len(model.pieces)
    model.normalizer_spec.ClearField('normalization_rule_tsv')
    path.write_bytes(model.SerializeToString(deterministic=True))


if __name__ == '__main__':
    make(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else PATH)
