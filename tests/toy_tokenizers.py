"""Small tokenizers in Hugging Face folders, one of each kind that released models have."""

import json

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

TEXTS = [
    '',
    ' ',
    'a hen  in the hay',
    ' the end ',
    'tab\there\n\n\nlines\r\n',
    'naïve “quotes”',
    '日本語 Привет مرحبا',
    '👍🏽👨‍👩‍👧',
    'x\u00a0y\u200bz',
    '12345',
    '▁the',
    '\x00\x01',
]
SPELT = ['</s>', 'the<|im_end|>end', '<pad> <bos>', '<eos>', '<unk>', '<extra_id_0> a', '<|endoftext|>']


CHAT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>the\\n<|im_end|>' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] }}"
    "{{ eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def save(tokenizer, folder, named, **files):
    """Write a folder as `save_pretrained` does: the tokenizer, its config, and other files by their names."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / 'tokenizer.json'))
    for name, content in (files | {'tokenizer_config': named}).items():
        (folder / f'{name}.json').write_text(json.dumps(content))
    return str(folder)


def llama(folder, bos=None, **files):
    """Make byte-level BPE as SmolLM2 and Llama 3 have it: the id 0 is a token like any other.

    Args:
        folder: to write.
        bos: the token that the post-processor puts before a text, such as '<|im_start|>'.
        files: more files by their names.
    """
    vocab = {piece: i for i, piece in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [('h', 'e'), ('Ġ', 't'), ('Ġt', 'he'), ('t', 'he'), ('e', 'n'), ('en', 'd'), ('i', 'm')]
    for pair in merges:
        vocab[''.join(pair)] = len(vocab)
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(['<|endoftext|>', '<|im_start|>', '<|im_end|>'])
    if bos:
        ids = [(bos, tokenizer.token_to_id(bos))]
        begin = processors.TemplateProcessing(f'{bos} $A', f'{bos} $A $B', ids)
        tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), begin])
    named = {'bos_token': '<|im_start|>', 'eos_token': '<|im_end|>', 'unk_token': '<|endoftext|>'}
    return save(tokenizer, folder, named | {'tokenizer_class': 'PreTrainedTokenizerFast'}, **files)


def gemma(folder, **files):
    """Make BPE that writes what it does not know in bytes, with special tokens among the pieces."""
    pieces = ['<pad>', '<eos>', '<bos>', '<unk>', '\n\n', *(f'<0x{byte:02X}>' for byte in range(256))]
    pieces += ['▁', *'abehinty<>os', 'th', 'the', '▁the', 'in']
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = [('t', 'h'), ('th', 'e'), ('▁', 'the'), ('i', 'n')]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(vocab, merges, unk_token='<unk>', byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Replace(' ', '▁')
    tokenizer.pre_tokenizer = pre_tokenizers.Split(' ', 'merged_with_previous')
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace('▁', ' '), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens(pieces[:4])
    tokenizer.add_tokens([tokenizers.AddedToken('\n\n', normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing('<bos> $A', '<bos> $A $B', [('<bos>', 2)])
    named = {f'{name}_token': f'<{name}>' for name in ('pad', 'eos', 'bos', 'unk')}
    return save(tokenizer, folder, named | {'tokenizer_class': 'PreTrainedTokenizerFast'}, **files)


def t5(folder, extra_ids=3, **files):
    """Make T5's kind, Unigram, as transformers 5 saves it, special tokens among the pieces."""
    special = ['<pad>', '</s>', '<unk>']
    words = [
        '▁',
        '▁the',
        '▁a',
        '▁hen',
        '▁in',
        '▁hay',
        'end',
        'e',
        'n',
        'd',
        'a',
        's',
        '<',
        '>',
        '/',
        't',
        'h',
    ]
    sentinels = [f'<extra_id_{i}>' for i in reversed(range(extra_ids))]
    scores = [(piece, 0.0) for piece in special]
    scores += [(piece, -2.0 - 0.1 * i) for i, piece in enumerate(words)] + [(name, 0.0) for name in sentinels]
    tokenizer = tokenizers.Tokenizer(models.Unigram(scores, unk_id=2, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme='always')]
    )
    tokenizer.decoder = decoders.Metaspace(prepend_scheme='always')
    tokenizer.add_special_tokens([*special, *sentinels])
    tokenizer.post_processor = processors.TemplateProcessing('$A </s>', '$A </s> $B </s>', [('</s>', 1)])
    named = {'eos_token': '</s>', 'pad_token': '<pad>', 'unk_token': '<unk>', 'extra_ids': extra_ids}
    return save(tokenizer, folder, named | {'tokenizer_class': 'T5Tokenizer'}, **files)
