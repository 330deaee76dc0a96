"""Ranking answer options: questions a second of flanlite's ranker, which encodes an input once for all its
options; of a loop that encodes it anew with each; of transformers on torch; and of the harness's own `hf`
model, where these install.

    python benchmarks/rank.py
    python benchmarks/rank.py --torch_python=PATH

T5 1.1 with random weights, the same for all, in float32; questions of 40 to 250 tokens with 2, 5 or 10
options of 1 to 12. transformers and the harness score each pair of input and option as a row of a padded
batch, sorted by length. Every system runs in a process of its own, in turns with the others, and scores all
questions once before it is timed. The table has medians over the turns, and how far the scores of all options
lie apart. `--torch_python` is a Python with torch and transformers, and lm_eval[hf] for the harness; by
default the one that runs this, if it has them.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

# emb_dim, num_heads, head_dim, mlp_dim, layers of each stack.
SIZES = {'tiny': (64, 4, 16, 128, 2), 'small': (512, 6, 64, 1024, 8), 'base': (768, 12, 64, 2048, 12)}
OPTIONS = (2, 5, 10)
VOCABULARY = 32128
PAIRS = 32  # rows of a batch of those that know only pairs
EOS = 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--size', default='small', choices=SIZES)
    parser.add_argument('--questions', type=int, default=64, help='of each number of options')
    parser.add_argument('--turns', type=int, default=3, help='how often each system is started')
    parser.add_argument('--torch_python', default=sys.executable, help='a Python with torch and transformers')
    parser.add_argument('--options', type=int, nargs='+', default=OPTIONS, help='numbers of options')
    parser.add_argument(
        '--systems', default='pairs,transformers,harness', help='what flanlite is compared with'
    )
    parser.add_argument('--child', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        system, folder = options.child.split(',', 1)
        CHILDREN[system](pathlib.Path(folder))
        return
    asked = options.systems.split(',')
    systems = {'flanlite': sys.executable} | ({'pairs': sys.executable} if 'pairs' in asked else {})
    needed = {'transformers': 'torch, transformers', 'harness': 'torch, lm_eval.models.huggingface'}
    for system, modules in needed.items():
        if system not in asked:
            continue
        if subprocess.run([options.torch_python, '-c', f'import {modules}'], capture_output=True).returncode:
            print(f'without {system}: {options.torch_python} has no {modules} (--torch_python)')
        else:
            systems[system] = options.torch_python
    with tempfile.TemporaryDirectory() as folder:
        write_work(pathlib.Path(folder), options)
        measured = {}
        for _ in range(options.turns):
            for system, python in systems.items():
                done = subprocess.run(
                    [python, __file__, f'--child={system},{folder}'], capture_output=True, text=True,
                    env=os.environ | {'TF_CPP_MIN_LOG_LEVEL': '3', 'HF_HUB_OFFLINE': '1'},
                )  # fmt: skip
                if done.returncode:
                    raise SystemExit(f'{system}:\n{done.stderr[-3000:]}')
                measured.setdefault(system, []).append(json.loads(done.stdout.splitlines()[-1]))
    show(options, measured)


def show(options, measured):
    """Print the table."""
    print(f'T5 1.1 {options.size}, {options.questions} questions of each, float32; {os.cpu_count()} cores')
    rows = [
        (
            'system',
            *(f'{count} options: questions/s' for count in options.options),
            'flanlite is faster',
            'scores apart',
        )
    ]
    ours = measured['flanlite']

    def rate(turns, count):
        return statistics.median(options.questions / turn[str(count)]['seconds'] for turn in turns)

    for system, turns in measured.items():
        rates = [rate(turns, count) for count in options.options]
        ratios = [rate(ours, count) / each for count, each in zip(options.options, rates, strict=True)]
        apart = max(
            abs(a - b)
            for count in options.options
            for one, other in zip(turns[0][str(count)]['scores'], ours[0][str(count)]['scores'], strict=True)
            for a, b in zip(one, other, strict=True)
        )
        faster = '' if system == 'flanlite' else ', '.join(f'{ratio:.1f}x' for ratio in ratios)
        rows.append((system, *(f'{each:.1f}' for each in rates), faster, f'{apart:.1e}'))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def write_work(folder, options):
    """Write the model as a Hugging Face folder, and the questions."""
    import jax
    import numpy as np

    from flanlite.mesh.partitioning import parameter_name
    from flanlite.model import models
    from flanlite.model.t5 import T5Config
    from flanlite.training import released
    from flanlite.training.lazy import LazyArray

    emb_dim, num_heads, head_dim, mlp_dim, layers = SIZES[options.size]
    config = T5Config(
        vocab_size=VOCABULARY, emb_dim=emb_dim, num_heads=num_heads, num_encoder_layers=layers,
        num_decoder_layers=layers, head_dim=head_dim, mlp_dim=mlp_dim, dropout_rate=0.0, dtype='float32',
    )  # fmt: skip
    params = models.init_params(config, jax.random.key(0))
    arrays = {
        parameter_name(path): LazyArray(leaf.shape, lambda index, leaf=leaf: np.asarray(leaf)[index])
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    released.write_huggingface(folder / 'model', config, arrays, None)
    random = np.random.default_rng(0)

    def text(low, high):
        return [*random.integers(100, VOCABULARY - 200, random.integers(low, high)).tolist(), EOS]

    work = {
        str(count): [
            {'inputs': text(40, 250), 'options': [text(1, 12) for _ in range(count)]}
            for _ in range(options.questions)
        ]
        for count in options.options
    }
    (folder / 'work.json').write_text(json.dumps(work))


def timed(folder, score):
    """Score all questions, and print the seconds and scores for each number of options."""
    found = {}
    for count, questions in json.loads((folder / 'work.json').read_text()).items():
        score(questions)  # compiles, and warms up
        began = time.perf_counter()
        scores = score(questions)
        found[count] = {
            'seconds': time.perf_counter() - began,
            'scores': [list(map(float, each)) for each in scores],
        }
    print(json.dumps(found))


def ours(folder, pairs=False):
    """Score with flanlite; with `pairs`, as so many questions of one option."""
    import numpy as np

    import flanlite
    from flanlite.eval import rank

    model = flanlite.load(str(folder / 'model'), vocabulary='bytes', dtype='float32')

    def score(questions):
        asked = [
            rank.Question(
                np.array(each['inputs'], np.int32), [np.array(option, np.int32) for option in each['options']]
            )
            for each in questions
        ]
        single = (
            [rank.Question(each.inputs, [option]) for each in asked for option in each.options]
            if pairs
            else asked
        )
        found = rank.score(model.config, model.params, model.partitioner, single)
        return np.concatenate(found).reshape(len(asked), -1) if pairs else found

    timed(folder, score)


def batches_of_pairs(questions):
    """Yield batches of (question, option, inputs, option tokens), the longest first."""
    pairs = [
        (number, place, each['inputs'], option)
        for number, each in enumerate(questions)
        for place, option in enumerate(each['options'])
    ]
    pairs.sort(key=lambda pair: -len(pair[2]))
    return (pairs[start : start + PAIRS] for start in range(0, len(pairs), PAIRS))


def with_transformers(folder):
    """Score with transformers on torch."""
    import torch
    import transformers

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder / 'model', dtype=torch.float32).eval()

    def padded(rows, fill):
        return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], True, fill)

    @torch.inference_mode()
    def score(questions):
        found = [[0.0] * len(each['options']) for each in questions]
        for batch in batches_of_pairs(questions):
            inputs, labels = padded([pair[2] for pair in batch], 0), padded([pair[3] for pair in batch], -100)
            logits = model(input_ids=inputs, attention_mask=inputs > 0, labels=labels).logits
            chosen = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
            for (number, place, *_), value in zip(
                batch, (chosen * (labels >= 0)).sum(-1).tolist(), strict=True
            ):
                found[number][place] = value
        return found

    timed(folder, score)


def with_harness(folder):
    """Score with the `hf` model of EleutherAI's harness, past its tokenizer."""
    import tokenizers
    import torch
    import transformers
    from lm_eval.models.huggingface import HFLM

    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({'<pad>': 0, '</s>': EOS}, unk_token='<pad>'))
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token='<pad>', eos_token='</s>'
    )
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder / 'model', dtype=torch.float32).eval()
    model.tie_weights = lambda: None  # the harness calls it; transformers 5 then ties what T5 1.1 has apart
    harness = HFLM(model, backend='seq2seq', tokenizer=tokenizer, batch_size=PAIRS, max_length=512)

    def score(questions):
        asked = [(('', ''), each['inputs'], option) for each in questions for option in each['options']]
        found = iter(harness._loglikelihood_tokens(asked, disable_tqdm=True))
        return [[next(found)[0] for _ in each['options']] for each in questions]

    timed(folder, score)


CHILDREN = {
    'flanlite': ours,
    'pairs': lambda folder: ours(folder, pairs=True),
    'transformers': with_transformers,
    'harness': with_harness,
}

if __name__ == '__main__':
    main()
