"""What an adapter saves: trained parameters, optimizer state, peak memory and step time of full tuning, LoRA,
(IA)3 and prompt tuning; the same by Hugging Face's PEFT on torch beside them, where it installs.

    python benchmarks/adapters.py
    python benchmarks/adapters.py --peft_python=PATH

T5 1.1 with random weights, 8 rows of 256 and 64 tokens, of which a prompt takes 20 of the inputs; float32, no
dropout, AdamW. LoRA has rank 8 on queries and values, (IA)3 the keys, values and the end of the MLP. Every
system runs in a process of its own, in turns with the others; step times are medians over all turns, and peak
memory is that of the process in its timed steps, libraries included. `--peft_python` is a Python with torch,
transformers and peft; by default the one that runs this, if it has them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

# emb_dim, num_heads, head_dim, mlp_dim, layers of each stack.
SIZES = {
    'tiny': (64, 4, 16, 128, 4),
    'small': (512, 6, 64, 1024, 8),
    'base': (768, 12, 64, 2048, 12),
}
ROWS, INPUTS, TARGETS, PROMPT = 8, 256, 64, 20
METHODS = ('full', 'lora', 'ia3', 'prompt')
VOCABULARY = 32128


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument('--size', default='small', choices=SIZES)
    parser.add_argument('--turns', type=int, default=3, help='how often each system is started')
    parser.add_argument('--steps', type=int, default=5, help='timed steps of a turn')
    parser.add_argument('--peft_python', default=sys.executable, help='a Python with torch and peft')
    parser.add_argument('--child', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        system, method = options.child.split(',')
        print(
            json.dumps({'flanlite': ours, 'peft': theirs}[system](method, SIZES[options.size], options.steps))
        )
        return
    systems = {'flanlite': sys.executable}
    has_peft = subprocess.run(
        [options.peft_python, '-c', 'import torch, transformers, peft'], capture_output=True
    )
    if has_peft.returncode == 0:
        systems['peft'] = options.peft_python
    else:
        print(f'without PEFT: {options.peft_python} has no torch, transformers and peft (--peft_python)')
    measured = {}
    for _ in range(options.turns):
        for method in METHODS:
            for system, python in systems.items():
                command = [python, __file__, f'--size={options.size}', f'--steps={options.steps}']
                done = subprocess.run(
                    [*command, f'--child={system},{method}'], capture_output=True, text=True,
                    env=os.environ | {'TF_CPP_MIN_LOG_LEVEL': '3'},
                )  # fmt: skip
                if done.returncode:
                    raise SystemExit(f'{system}, {method}:\n{done.stderr[-3000:]}')
                measured.setdefault((method, system), []).append(json.loads(done.stdout.splitlines()[-1]))
    show(options, systems, measured)


def show(options, systems, measured):
    """Print the table; in brackets the ratio to full tuning by the same system."""
    print(f'T5 1.1 {options.size}, {ROWS} rows of {INPUTS}/{TARGETS}, float32, AdamW; {os.cpu_count()} cores')
    columns = ('method', 'system', 'trained', 'share', 'optimizer MiB', 'peak MiB', 's a step')
    rows = [columns]
    for method in METHODS:
        for system in systems:
            turns, full = (measured[each, system] for each in (method, 'full'))
            step, base = (
                statistics.median(seconds for turn in each for seconds in turn['seconds'])
                for each in (turns, full)
            )
            peak, whole = (statistics.median(turn['peak'] for turn in each) for each in (turns, full))
            trained, size = turns[0]['trained'], turns[0]['parameters']
            held = f'{turns[0]["optimizer"] / 2**20:,.1f}'
            peaks, steps = f'{peak / 2**20:,.0f} ({peak / whole:.2f})', f'{step:.2f} ({step / base:.2f})'
            rows.append((method, system, f'{trained:,}', f'{trained / size:.2%}', held, peaks, steps))
    widths = [max(len(row[column]) for row in rows) for column in range(len(columns))]
    for row in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def peak_from_here():
    """Let the process's peak memory begin anew, where that is possible; return what reads it, in bytes."""
    try:
        with open('/proc/self/clear_refs', 'w') as file:
            file.write('5')
    except OSError:
        import resource

        return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def read():
        with open('/proc/self/status') as file:
            line = next(line for line in file if line.startswith('VmHWM'))
        return int(line.split()[1]) * 1024

    return read


def timed(step, count):
    """Run a step twice to warm up, and then time it: seconds of each, and the peak memory meanwhile."""
    step(), step()
    peak = peak_from_here()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return {'seconds': seconds, 'peak': peak()}


def ours(method, size, count):
    """Return the figures of flanlite."""
    import jax
    import numpy as np

    import flanlite
    from flanlite.data.batches import packing
    from flanlite.mesh.partitioning import make_partitioner
    from flanlite.model import adapters
    from flanlite.training import step as steps
    from flanlite.training.begin import run_seed
    from flanlite.training.optimizers import make_optimizer

    adapter = {
        'full': None,
        'lora': flanlite.LoRA(rank=8),
        'ia3': flanlite.IA3(),
        'prompt': flanlite.SoftPrompt(length=PROMPT, init='random'),
    }[method]
    emb_dim, num_heads, head_dim, mlp_dim, layers = size
    config = flanlite.T5Config(
        emb_dim=emb_dim,
        num_heads=num_heads,
        head_dim=head_dim,
        mlp_dim=mlp_dim,
        num_encoder_layers=layers,
        num_decoder_layers=layers,
        vocab_size=VOCABULARY,
        dtype='float32',
        dropout_rate=0.0,
        adapter=adapter,
    )
    mesh = make_partitioner()
    optimizer = make_optimizer(flanlite.AdamW(1e-3), adapters.FROZEN if adapter else ())
    state = steps.jit_init(config, optimizer, mesh)(run_seed(0, mesh))
    rng, prompt = np.random.default_rng(0), config.prompt()
    inputs = rng.integers(3, VOCABULARY, (ROWS, INPUTS - len(prompt)))
    rows = [
        (np.concatenate([prompt, row]), rng.integers(3, VOCABULARY, TARGETS))
        for row in inputs.astype(np.int32)
    ]
    batch = mesh.place(packing.pad(rows, (INPUTS, TARGETS)))
    seed, train = run_seed(0, mesh), steps.jit_train_step(config, optimizer, steps.StepConfig(), mesh)

    def step():
        nonlocal state
        state, sums = train(state, batch, seed)
        jax.block_until_ready((state, sums))

    sizes = {
        'parameters': sum(leaf.size for leaf in jax.tree.leaves(state.whole())),
        'trained': sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        'optimizer': sum(leaf.nbytes for leaf in jax.tree.leaves(state.opt_state)),
    }
    return sizes | timed(step, count)


def theirs(method, size, count):
    """Return the figures of PEFT on torch."""
    import peft
    import torch
    import transformers

    d_model, num_heads, d_kv, d_ff, layers = size
    settings = transformers.T5Config(
        vocab_size=VOCABULARY,
        d_model=d_model,
        num_heads=num_heads,
        d_kv=d_kv,
        d_ff=d_ff,
        num_layers=layers,
        num_decoder_layers=layers,
        feed_forward_proj='gated-gelu',
        dropout_rate=0.0,
        decoder_start_token_id=0,
        tie_word_embeddings=False,
    )
    model = transformers.T5ForConditionalGeneration(settings)
    # As in T5 1.1. From version 5 on transformers ties the logits of every model that is not loaded.
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    task = {'task_type': 'SEQ_2_SEQ_LM'}
    adapter = {
        'full': None,
        'lora': lambda: peft.LoraConfig(**task, r=8, lora_alpha=16, target_modules=['q', 'v']),
        'ia3': lambda: peft.IA3Config(**task, target_modules=['k', 'v', 'wo'], feedforward_modules=['wo']),
        'prompt': lambda: peft.PromptTuningConfig(
            **task, num_virtual_tokens=PROMPT, num_transformer_submodules=1
        ),
    }[method]
    model = model if adapter is None else peft.get_peft_model(model, adapter())
    model.train()
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3)
    length = INPUTS - PROMPT if method == 'prompt' else INPUTS
    batch = {
        'input_ids': torch.randint(3, VOCABULARY, (ROWS, length)),
        'attention_mask': torch.ones((ROWS, length), dtype=torch.long),
        'labels': torch.randint(3, VOCABULARY, (ROWS, TARGETS)),
    }

    def step():
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    figures = timed(step, count)
    states = [each for state in optimizer.state.values() for each in state.values() if torch.is_tensor(each)]
    return figures | {
        'parameters': sum(each.numel() for each in model.parameters()),
        'trained': sum(each.numel() for each in trained),
        'optimizer': sum(each.numel() * each.element_size() for each in states),
    }


if __name__ == '__main__':
    main()
