"""Vocabularies of Hugging Face folders: transformers' ids, with no special token from a text, and the BOS and
EOS that the model expects.
"""

import json
import pathlib
import shutil

import numpy as np
import pytest
import toy_specs
import toy_tokenizers

from flanlite.data import preview
from flanlite.data.batches import packing, prefix_lm
from flanlite.data.rendering import rendering
from flanlite.data.rendering.fewshot import Shots
from flanlite.data.tokens import vocabularies

KINDS = {'llama': toy_tokenizers.llama, 'gemma': toy_tokenizers.gemma, 't5': toy_tokenizers.t5}
# What transformers 5.24 gives.
EXPECTED = {
    'llama': ([64, 220, 256, 77, 220, 220, 72, 77, 258, 220, 71, 64, 88], [172, 253, 239, 235]),
    'gemma': ([262, 261, 265, 264, 267, 261, 261, 277, 276, 261, 265, 262, 269], [245, 164, 150, 146]),
    't5': ([5, 6, 7, 4, 8], [3, 2]),
}


@pytest.fixture(scope='module', params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope='module')
def vocabulary(kind, tmp_path_factory):
    return vocabularies.load(KINDS[kind](tmp_path_factory.mktemp('tokenizers') / kind))


def test_ids_by_hand(kind, vocabulary):
    assert vocabulary.encode_batch(['a hen  in the hay', '👍']) == list(EXPECTED[kind])
    ids = {'llama': [77, 258, 0, 0], 'gemma': [267, 275, 4, 275], 't5': [3, 11, 4, 4]}[kind]
    text = {'llama': 'n the!!', 'gemma': 'nthe\n\nthe', 't5': 'n the the'}[kind]
    assert (vocabulary.encode(text), vocabulary.decode(ids)) == (ids, text)
    marks = {'llama': (None, 265, False, 0), 'gemma': (2, 1, False, 0), 't5': (None, 1, True, 3)}[kind]
    assert (vocabulary.bos_id, vocabulary.eos_id, vocabulary.input_eos, vocabulary.extra_ids) == marks


def test_ids_and_texts_are_those_of_transformers(kind, vocabulary):
    transformers = pytest.importorskip('transformers', reason='pip install flanlite[hf]')
    theirs = transformers.AutoTokenizer.from_pretrained(vocabulary.folder, local_files_only=True)
    assert len(theirs) == vocabulary.size
    texts = toy_tokenizers.TEXTS + (toy_tokenizers.SPELT if kind != 't5' else [])
    for text, ids in zip(texts, vocabulary.encode_batch(texts), strict=True):
        assert ids == theirs(text, add_special_tokens=False, split_special_tokens=True).input_ids
        assert vocabulary.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    ids = [*theirs('the end').input_ids, *theirs.all_special_ids, len(theirs) + 9]
    assert vocabulary.decode_kept(ids) == theirs.decode(ids[:-1], skip_special_tokens=True)


def test_no_text_becomes_a_special_token(kind, vocabulary):
    special = {'llama': {263, 264, 265}, 'gemma': {0, 1, 2, 3}, 't5': {0, 1, 20, 21, 22}}[kind]
    for ids in vocabulary.encode_batch(toy_tokenizers.SPELT):
        assert ids and not special & set(ids)


def test_bos_and_eos_are_the_models(tmp_path):
    generates = {'generation_config': {'eos_token_id': [263, 265]}}
    llama3 = vocabularies.load(toy_tokenizers.llama(tmp_path / 'a', bos='<|im_start|>', **generates))
    assert (llama3.eos_id, llama3.around) == (265, ((264,), ()))
    assert llama3.as_inputs(llama3.encode_arrays(['!n'])[0]).tolist() == [264, 0, 77]
    # Of several that are none of the tokenizer's the first; config.json where the other file says nothing.
    others = {'generation_config': {}, 'config': {'eos_token_id': [263, 264]}}
    assert vocabularies.load(toy_tokenizers.llama(tmp_path / 'b', **others)).eos_id == 263
    # BOS and EOS may be one token.
    one = toy_tokenizers.llama(tmp_path / 'c', bos='<|endoftext|>', config={'eos_token_id': 263})
    one = vocabularies.load(one)
    assert one.decode_inputs(one.as_inputs(one.encode_arrays(['the end'])[0])) == 'the end'
    # The post-processor alone decides, as in transformers 5.
    for number, told in enumerate(({'add_bos_token': False}, {'add_eos_token': False}, {'add_eos_token': True})):
        folder = pathlib.Path(toy_tokenizers.gemma(tmp_path / f'd{number}'))
        config = json.loads((folder / 'tokenizer_config.json').read_text())
        (folder / 'tokenizer_config.json').write_text(json.dumps(config | told))
        assert vocabularies.load(str(folder)).around == ((2,), ())
    (folder / 'tokenizer_config.json').write_text('{}')
    shutil.copytree(folder, tmp_path / 'e')
    with pytest.raises(ValueError, match='what ends an answer; expected eos_token_id in generation_config'):
        vocabularies.load(str(tmp_path / 'e'))


def test_a_name_gives_the_vocabulary_again_and_says_what_is_missing(tmp_path):
    folder = toy_tokenizers.t5(tmp_path / 't5')
    bare = vocabularies.load(f'{folder}:no_input_eos')
    assert bare.name == f'{folder}:no_input_eos' and not bare.input_eos
    assert vocabularies.load(bare.name) == bare != vocabularies.load(folder)
    shutil.copytree(folder, tmp_path / 'copy')
    other = toy_tokenizers.t5(tmp_path / 'other', generation_config={'eos_token_id': 4})
    prints = [
        vocabularies.load(str(each)).fingerprint() for each in (folder, tmp_path / 'copy', other, bare.name)
    ]
    assert prints[0] == prints[1] and len(set(prints)) == 3
    with pytest.raises(ValueError, match='a folder says it itself'):
        vocabularies.load(f'{folder}:extra_ids=7')
    with pytest.raises(ValueError, match=r'has neither spiece.model nor tokenizer.json'):
        vocabularies.load(str(tmp_path))
    (tmp_path / 'copy' / 'tokenizer.json').write_text('{"model": 1}')
    vocabularies.tokenizer_json.load.cache_clear()
    with pytest.raises(ValueError, match='cannot load the vocabulary'):
        vocabularies.load(str(tmp_path / 'copy'))


def test_a_lone_character_stays_text_whatever_it_is_named_for(tmp_path):
    """As where padding is `!`."""
    folder = pathlib.Path(toy_tokenizers.llama(tmp_path / 'llama', bos='<|im_start|>'))
    config = json.loads((folder / 'tokenizer_config.json').read_text())
    (folder / 'tokenizer_config.json').write_text(json.dumps(config | {'pad_token': '!'}))
    assert vocabularies.load(str(folder)).encode('n!') == [77, 0]


def test_tokens_that_were_added_to_a_t5_are_there(tmp_path):
    """Its tokenizer.json knows them, and its SentencePiece model does not."""
    folder = pathlib.Path(toy_tokenizers.t5(tmp_path / 't5'))
    (folder / 'config.json').write_text('{"extra_ids": 3}')
    assert not vocabularies.tokenizer_json.has_more(folder, 3)
    described = json.loads((folder / 'tokenizer.json').read_text())
    usual = {'single_word': False, 'lstrip': False, 'rstrip': False, 'normalized': True}
    described['added_tokens'].append({'id': 23, 'content': '{', 'special': False} | usual)
    (folder / 'tokenizer.json').write_text(json.dumps(described))
    assert vocabularies.tokenizer_json.has_more(folder, 3)


def test_t5s_sentinels_are_the_last_ids(tmp_path):
    vocabulary = vocabularies.load(toy_tokenizers.t5(tmp_path / 't5'))
    assert [vocabulary.sentinel(index) for index in range(3)] == [22, 21, 20]
    found = next(iter(rendering.examples(toy_specs.prose(), 'train', vocabulary)))
    llama = vocabularies.load(toy_tokenizers.llama(tmp_path / 'llama'))
    with pytest.raises(ValueError, match=r"has no sentinels; expected objective='prefix_lm'"):
        next(iter(rendering.examples(toy_specs.prose(), 'train', llama)))
    assert found.inputs[-1] == found.targets[-1] == vocabulary.eos_id and 22 in found.inputs


def test_examples_keep_the_token_0_through_packing(tmp_path):
    vocabulary = vocabularies.load(toy_tokenizers.llama(tmp_path / 'llama', bos='<|im_start|>'))
    spec = toy_specs.colours(options=('red!', '!', '!blue'))
    made = list(rendering.examples(spec, 'train', vocabulary, shots=Shots(1, 300)))
    assert all(len(example.inputs) <= 300 and example.inputs[0] == 264 for example in made)
    assert any(example.targets.tolist() == [0, 265] for example in made)
    given = [(example.inputs, example.targets) for example in made]
    texts = [[vocabulary.decode_inputs(inputs), vocabulary.decode(targets)] for inputs, targets in given]
    packed = packing.pack([given], (8192, 1024))
    (row,) = preview.texts(packed, vocabulary)
    assert [list(pair) for pair in zip(row['inputs'], row['targets'], strict=True)] == texts
    for batch in (packed, prefix_lm.pack([given], (8192, 1024)), packing.pad(given, (1024, 32))):
        assert batch['decoder_loss_weights'].sum() == sum(len(targets) for _, targets in given)


def test_inputs_and_targets_are_turns_of_a_chat(tmp_path, caplog):
    folder = pathlib.Path(toy_tokenizers.llama(tmp_path / 'llama', bos='<|im_start|>'))
    with pytest.raises(ValueError, match=r'has no chat template; expected chat_template.jinja'):
        vocabularies.load(f'{folder}:chat')
    (folder / 'chat_template.jinja').write_text(toy_tokenizers.CHAT)
    vocabulary = vocabularies.load(f'{folder}:chat:no_input_eos')
    assert vocabulary.name == f'{folder}:chat' and vocabularies.load(vocabulary.name) == vocabulary
    assert vocabulary.fingerprint() != vocabularies.load(str(folder)).fingerprint()
    assert vocabulary.own_pieces() == vocabularies.load(str(folder)).own_pieces()
    asked = vocabulary.as_inputs(vocabulary.encode_arrays(['n<|im_end|>'])[0])
    turn = vocabulary.encode('user\nn<|im_end|>')
    system = [264, *vocabulary.encode('the\n'), 265]
    assert asked.tolist() == [*system, 264, *turn, 265, 198, 264, *vocabulary.encode('assistant\n')]
    assert not {263, 264, 265} & set(turn) and vocabulary.decode_inputs(asked) == 'n<|im_end|>'
    assert vocabulary.encode_arrays(['n!'])[0].tolist() == [77, 0, 265]
    with pytest.raises(ValueError, match=r"expected a folder with tokenizer.json before ':chat'"):
        vocabularies.load('bytes:chat')
    assert 'may differ' not in caplog.text
    # Tags and variables of others are theirs; text of a template's own beside that of a turn is told.
    shutil.copytree(folder, tmp_path / 'other')
    written = toy_tokenizers.CHAT.replace("+ message['content'] }}", "}}{% generation %}{{ message['content'] }}{% endgeneration %}")
    assert written != toy_tokenizers.CHAT
    tagged = '{% if tools is not none %}tools{% endif %}' + written
    (tmp_path / 'other' / 'chat_template.jinja').write_text(tagged)
    assert vocabularies.load(f'{tmp_path}/other:chat').around == vocabulary.around
    shutil.copytree(folder, tmp_path / 'seam')
    seam = "{% for message in messages %}[the ]{{ message['content'] }}[end]{% endfor %}"
    (tmp_path / 'seam' / 'chat_template.jinja').write_text(seam.replace('[the ]', 'the '))
    vocabularies.load(f'{tmp_path}/seam:chat')
    assert f'{tmp_path}/seam has text of its own next to that of a turn; ids may differ' in caplog.text
    transformers = pytest.importorskip('transformers', reason='pip install flanlite[hf]')
    theirs = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    texts = [text for text in toy_tokenizers.TEXTS if text == text.lstrip('\n')]
    for text, ids in zip(texts, vocabulary.encode_arrays(texts), strict=True):
        turns = [{'role': 'user', 'content': text}]
        filled = theirs.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
        assert vocabulary.as_inputs(ids).tolist() == filled


def test_seqio_gives_the_same_ids(kind, vocabulary, tmp_path):
    pytest.importorskip('seqio')
    seqio_vocabulary = vocabulary.to_seqio()
    assert seqio_vocabulary.vocab_size == vocabulary.size and vocabulary.has_ids_of(seqio_vocabulary)
    assert not vocabulary.has_ids_of(vocabularies.load(toy_tokenizers.t5(tmp_path, extra_ids=2)).to_seqio())
    for text in toy_tokenizers.TEXTS:
        ids = vocabulary.encode(text)
        assert ids == seqio_vocabulary.encode(text) == seqio_vocabulary.encode_tf(text).numpy().tolist()
        assert seqio_vocabulary.decode_tf(np.array(ids, np.int32)).numpy().decode() == vocabulary.decode(ids)


def test_two_vocabularies_in_a_folder_are_refused(tmp_path):
    folder = pathlib.Path(toy_tokenizers.t5(tmp_path / 't5'))
    shutil.copyfile(vocabularies.load('pocket').path, folder / 'spiece.model')
    with pytest.raises(
        ValueError, match=r"two vocabularies: id \d+ is '.+' in spiece.model and '.+' in token"
    ):
        vocabularies.load(str(folder))
    (folder / 'tokenizer.json').unlink()
    assert vocabularies.load(str(folder)).own_pieces() == vocabularies.load('pocket').own_pieces()
