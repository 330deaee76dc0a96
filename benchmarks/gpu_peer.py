"""Transformers on torch at the shapes of gpu.py's rows, which runs this; random weights, and what a user
would choose: float32 parameters under bfloat16 autocast, SDPA, torch's Adafactor.

A batch that does not fit is tried again with gradient checkpointing, and then with half the rows.
"""

import math
import os
import time


def measure(what, model, rows, layers, tiny, questions, inputs, options, length):
    """Return the figures of a row."""
    os.environ['JAX_PLATFORMS'] = 'cpu'  # a GPU is torch's here
    import gpu
    import torch
    import transformers

    from flanlite.model import flops
    from flanlite.training.released import config_to_huggingface

    config, lengths, _, _ = gpu.config_of(model, tiny=tiny, layers=layers)
    described = config_to_huggingface(config)
    torch.manual_seed(0)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    kind = getattr(transformers, described['architectures'][0])
    settings = transformers.AutoConfig.for_model(**described)
    told = f'torch {torch.__version__}, transformers {transformers.__version__}'
    with torch.device(device):
        network = kind._from_config(settings, attn_implementation='sdpa')

    def draw(*shape):
        return torch.randint(3, config.vocab_size, shape, device=device)

    def batch(rows, lengths):
        """Make rows of inputs and targets; a decoder has them in one sequence."""
        if settings.is_encoder_decoder:
            return {'input_ids': draw(rows, lengths[0]), 'labels': draw(rows, lengths[1])}
        tokens = draw(rows, sum(lengths))
        labels = tokens.clone()
        labels[:, : lengths[0]] = -100
        return {'input_ids': tokens, 'labels': labels}

    def clock():
        if device == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter()

    def forward(data):
        with torch.autocast(device, torch.bfloat16):
            return network(**data, use_cache=False)

    def score(count):
        """Score options, each behind its input; a decoder computes logits of the options alone."""
        for first in range(0, count, rows):
            data = batch(min(rows, count - first), (inputs, length))
            with torch.no_grad():
                if settings.is_encoder_decoder:
                    logits = forward(data).logits
                else:
                    data['logits_to_keep'] = length + 1
                    logits = forward({key: data[key] for key in data if key != 'labels'}).logits[:, :-1]
                labels = data['labels'][:, -length:]
                torch.log_softmax(logits.float(), -1).gather(2, labels[..., None]).sum((1, 2))

    if what == 'rank':
        network.eval()
        pairs = questions * options
        while True:
            try:
                score(rows)  # warms up
                began = clock()
                score(pairs)
                return {'rows': rows, 'options_a_second': pairs / (clock() - began), 'note': told}
            except torch.OutOfMemoryError:
                if rows == 1:
                    raise
                rows //= 2
                torch.cuda.empty_cache()

    network.train()
    checkpointing = False
    while True:
        try:
            if device == 'cuda':
                torch.cuda.reset_peak_memory_stats()
            optimizer = torch.optim.Adafactor(network.parameters(), lr=1e-3)
            data = batch(rows, lengths)

            def steps(count, data=data, optimizer=optimizer):
                began = clock()
                for _ in range(count):
                    forward(data).loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()
                return (clock() - began) / count

            steps(1)
            seconds = steps(max(3, math.ceil((0.5 if tiny else 3.0) / steps(1))))
            break
        except torch.OutOfMemoryError:
            optimizer = data = None
            network.zero_grad()
            torch.cuda.empty_cache()
            if checkpointing and rows == 1:
                raise
            if checkpointing:
                rows //= 2
            else:
                checkpointing = True
                network.gradient_checkpointing_enable()
    name = torch.cuda.get_device_name() if device == 'cuda' else device
    ideal = flops.ideal_seconds(flops.train_step_flops(config, rows, *lengths), name, 1)
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == 'cuda' else None
    return {
        'rows': rows,
        'layers': layers,
        'step': seconds,
        'tokens_a_second': rows * sum(lengths) / seconds,
        'mfu': ideal and ideal / seconds,
        'peak_gib': peak,
        'note': told + ', gradient checkpointing' * checkpointing,
    }
